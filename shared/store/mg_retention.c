/* mg_retention.c - what is old enough to be forgotten. */
#include <apr_tables.h>

#include "mg_id.h"
#include "mg_retention.h"
#include "mg_time.h"
#include "mg_tx.h"

static apr_status_t old_messages(apr_array_header_t *ids, mg_db_t *db,
                                 apr_time_t before, int limit)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db,
                     "SELECT m.id FROM message m WHERE m.id < $1"
                     " AND NOT EXISTS (SELECT 1 FROM delivery d"
                     "  WHERE d.message_id = m.id) ORDER BY m.id LIMIT $2",
                     "ii", mg_id_floor(before), (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(ids, apr_int64_t) = mg_stmt_int(stmt, 0);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static apr_status_t forget_message(mg_db_t *db, apr_int64_t id)
{
    apr_status_t rv;

    rv = mg_db_exec(db, NULL, "DELETE FROM event WHERE message_id = $1", "i",
                    id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM content WHERE message_id = $1",
                        "i", id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM message WHERE id = $1", "i",
                        id);
    return rv;
}

/* Is there anything? Reading costs no lock. */
static int is_any(mg_db_t *db, const char *sql, apr_int64_t bound,
                  apr_status_t *prv)
{
    apr_int64_t found = 0;
    apr_status_t rv = mg_db_get_int(db, &found, sql, "i", bound);

    if (rv != APR_SUCCESS && !APR_STATUS_IS_ENOENT(rv) &&
        *prv == APR_SUCCESS)
        *prv = rv;
    return rv == APR_SUCCESS;
}

static apr_status_t forget_rest(int *pn, mg_db_t *db, apr_time_t before,
                                int limit)
{
    apr_int64_t n = 0, floor = mg_id_floor(before);
    apr_int64_t day = mg_time_day(before);
    apr_status_t rv = APR_SUCCESS;

    if (is_any(db, "SELECT 1 FROM event e WHERE e.id < $1 AND NOT EXISTS"
                   " (SELECT 1 FROM message m WHERE m.id = e.message_id)"
                   " LIMIT 1", floor, &rv)) {
        rv = mg_db_exec(db, &n,
                        "DELETE FROM event WHERE id IN (SELECT e.id FROM event"
                        " e WHERE e.id < $1 AND NOT EXISTS (SELECT 1 FROM"
                        " message m WHERE m.id = e.message_id) LIMIT $2)",
                        "ii", floor, (apr_int64_t)limit);
        *pn += (int)n;
    }
    if (rv == APR_SUCCESS &&
        is_any(db, "SELECT 1 FROM stat WHERE day < $1 LIMIT 1", day, &rv)) {
        rv = mg_db_exec(db, &n, "DELETE FROM stat WHERE day < $1", "i", day);
        if (rv == APR_SUCCESS)
            rv = mg_db_exec(db, NULL, "DELETE FROM stat_tag WHERE day < $1",
                            "i", day);
        if (rv == APR_SUCCESS)
            rv = mg_db_exec(db, NULL,
                            "DELETE FROM account_usage WHERE day < $1", "i",
                            day);
    }
    return rv;
}

apr_status_t mg_retention_step(int *pn, mg_db_t *db, apr_time_t before,
                               int limit, apr_pool_t *ptemp)
{
    apr_array_header_t *ids = apr_array_make(ptemp, 16, sizeof(apr_int64_t));
    apr_status_t rv = old_messages(ids, db, before, limit);
    int i, own;

    *pn = 0;
    if (rv != APR_SUCCESS)
        return rv;
    if (!ids->nelts)
        return forget_rest(pn, db, before, limit);
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; rv == APR_SUCCESS && i < ids->nelts; i++)
        rv = forget_message(db, APR_ARRAY_IDX(ids, i, apr_int64_t));
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *pn = ids->nelts;
    return rv;
}
