/* db_pgsql.h - what a test asks of the PostgreSQL driver. */
#ifndef DB_PGSQL_H
#define DB_PGSQL_H

#include <apr_errno.h>

/** Our class of error for a SQLSTATE. */
apr_status_t db_pgsql_class_of(const char *sqlstate);

#endif
