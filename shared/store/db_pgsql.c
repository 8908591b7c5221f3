/* db_pgsql.c - the store on PostgreSQL. */
#include "mg_db_driver.h"

static apr_status_t pgsql_open(mg_db_t *db)
{
    return mg_db_fail(db, MG_ESCHEMA, "PostgreSQL is not built in");
}

static void pgsql_close(mg_db_t *db)
{
    db->conn = NULL;
}

const mg_db_driver_t mg_db_pgsql = {
    .kind = MG_DB_PGSQL,
    .open = pgsql_open,
    .close = pgsql_close,
};
