/* mg_saved_delivery.c - which deliveries a mailbox has taken already. */
#include "mg_saved_delivery.h"
#include "mg_time.h"

apr_status_t mg_saved_begin(mg_db_t *db, apr_int64_t mailbox_id,
                            apr_int64_t delivery_id)
{
    return mg_db_exec(db, NULL,
                      "INSERT INTO saved_delivery (delivery_id, mailbox_id,"
                      " state, created_at) VALUES ($1, $2, 2, $3)"
                      " ON CONFLICT (delivery_id, mailbox_id) DO NOTHING",
                      "iii", delivery_id, mailbox_id, (apr_int64_t)mg_now());
}

apr_status_t mg_saved_add(mg_db_t *db, apr_int64_t mailbox_id,
                          apr_int64_t delivery_id)
{
    return mg_db_exec(db, NULL,
                      "INSERT INTO saved_delivery (delivery_id, mailbox_id,"
                      " state, created_at) VALUES ($1, $2, 1, $3)"
                      " ON CONFLICT (delivery_id, mailbox_id)"
                      " DO UPDATE SET state = 1",
                      "iii", delivery_id, mailbox_id, (apr_int64_t)mg_now());
}

apr_status_t mg_saved_find(int *pstate, mg_db_t *db, apr_int64_t mailbox_id,
                           apr_int64_t delivery_id)
{
    apr_int64_t state = MG_DELIVERY_NEW;
    apr_status_t rv;

    rv = mg_db_get_int(db, &state,
                       "SELECT state FROM saved_delivery"
                       " WHERE delivery_id = $1 AND mailbox_id = $2",
                       "ii", delivery_id, mailbox_id);
    *pstate = (int)state;
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

apr_status_t mg_saved_expire(int *pn, mg_db_t *db, apr_time_t before,
                             int limit)
{
    apr_int64_t n = 0, found = 0;
    apr_status_t rv;

    *pn = 0;
    /* mostly there is nothing: no write transaction for that */
    rv = mg_db_get_int(db, &found,
                       "SELECT 1 FROM saved_delivery WHERE created_at < $1"
                       " LIMIT 1", "i", (apr_int64_t)before);
    if (rv != APR_SUCCESS)
        return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
    rv = mg_db_exec(db, &n,
                    "DELETE FROM saved_delivery WHERE (delivery_id,"
                    " mailbox_id) IN (SELECT delivery_id, mailbox_id"
                    " FROM saved_delivery WHERE created_at < $1"
                    " ORDER BY created_at LIMIT $2)",
                    "ii", (apr_int64_t)before, (apr_int64_t)limit);
    *pn = (int)n;
    return rv;
}
