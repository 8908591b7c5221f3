/* mg_db_stmt.h - between mg_db.c (connection, transaction) and mg_db_stmt.c. */
#ifndef MG_DB_STMT_H
#define MG_DB_STMT_H

#include "mg_db_driver.h"

/** Every result of a driver passes here. @return rv */
apr_status_t mg_db_note(mg_db_t *db, apr_status_t rv);
/** May a statement run now? After an error in a transaction none may, in
 * either driver: PostgreSQL would refuse, SQLite would go on and commit half.
 * The words of the first error stay. */
apr_status_t mg_db_usable(mg_db_t *db);

/** A statement left open would hold SQLite's snapshot and keep the log from
 * being checkpointed: none outlives the transaction it was begun in. */
void mg_db_stmts_end(mg_db_t *db);
/** all: with those in use. */
void mg_db_stmts_forget(mg_db_t *db, int all);

#endif
