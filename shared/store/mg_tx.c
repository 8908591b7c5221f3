/* mg_tx.c - part of a transaction, or one of its own. */
#include "mg_status.h"
#include "mg_tx.h"

apr_status_t mg_tx_join(mg_db_t *db, mg_tx_mode_t mode, int *pown)
{
    apr_status_t rv;

    *pown = 0;
    if (mg_tx_is_open(db))
        return APR_SUCCESS;
    rv = mg_tx_begin(db, mode);
    *pown = (rv == APR_SUCCESS);
    return rv;
}

apr_status_t mg_tx_leave(mg_db_t *db, int own, apr_status_t rv)
{
    if (!own)
        return rv;
    if (rv == APR_SUCCESS)
        return mg_tx_commit(db);
    mg_tx_rollback(db);
    return rv;
}
