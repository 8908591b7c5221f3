/* mg_usage.c - what an account is charged for, by day. */
#include <string.h>

#include "mg_stat.h"
#include "mg_time.h"
#include "mg_tx.h"
#include "mg_usage.h"

void mg_usage_count(mg_batch_t *batch, const mg_event_t *event,
                    apr_int64_t day)
{
    if (event->kind != MG_EVENT_ACCEPTED || event->testmode || event->notice)
        return;
    if (event->direction == MG_INCOMING) {
        mg_stat_add_usage(batch, event->account_id, day, "received", 1);
        return;
    }
    mg_stat_add_usage(batch, event->account_id, day, "sent", 1);
    if (event->campaigns && event->campaigns->nelts > 0)
        mg_stat_add_usage(batch, event->account_id, day, "campaign_sent", 1);
}

static void add(mg_usage_t *usage, const char *kind, apr_int64_t n)
{
    if (!strcmp(kind, "sent"))
        usage->sent += n;
    else if (!strcmp(kind, "campaign_sent"))
        usage->campaign_sent += n;
    else if (!strcmp(kind, "received"))
        usage->received += n;
    else if (!strcmp(kind, "stored_bytes"))
        usage->stored_bytes += n;
}

apr_status_t mg_usage_list(apr_array_header_t **plist, mg_db_t *db,
                           apr_int64_t account_id, apr_int64_t since,
                           apr_int64_t until, apr_pool_t *p)
{
    mg_usage_t *usage = NULL;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 32, sizeof(mg_usage_t));
    rv = mg_db_query(&stmt, db,
                     "SELECT day, kind, CAST(SUM(n) AS BIGINT)"
                     " FROM account_usage WHERE account_id = $1"
                     " AND day >= $2 AND day <= $3"
                     " GROUP BY day, kind ORDER BY day",
                     "iii", account_id, since, until);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        if (!usage || usage->day != mg_stmt_int(stmt, 0)) {
            usage = apr_array_push(*plist);
            memset(usage, 0, sizeof(*usage));
            usage->day = mg_stmt_int(stmt, 0);
        }
        add(usage, mg_stmt_text(stmt, 1, p), mg_stmt_int(stmt, 2));
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* --- storage --- */

typedef struct {
    apr_int64_t account_id, bytes;
} held_t;

static apr_status_t next_accounts(apr_array_header_t *list, mg_db_t *db,
                                  apr_int64_t after, int limit)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db, "SELECT id FROM account WHERE id > $1"
                     " ORDER BY id LIMIT $2", "ii", after,
                     (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        held_t *held = apr_array_push(list);

        held->account_id = mg_stmt_int(stmt, 0);
        held->bytes = 0;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* It is no sum over slots: the measured one stands in slot 0. */
static apr_status_t write_held(mg_db_t *db, const held_t *held)
{
    return mg_db_exec(
        db, NULL,
        "INSERT INTO account_usage (account_id, day, kind, slot, n)"
        " VALUES ($1, $2, 'stored_bytes', 0, $3)"
        " ON CONFLICT (account_id, day, kind, slot)"
        " DO UPDATE SET n = excluded.n WHERE account_usage.n < excluded.n",
        "iii", held->account_id, mg_time_day(mg_now()), held->bytes);
}

apr_status_t mg_usage_measure(apr_int64_t *pafter, mg_db_t *db, int limit,
                              apr_pool_t *ptemp)
{
    apr_array_header_t *list = apr_array_make(ptemp, limit, sizeof(held_t));
    held_t *held;
    apr_status_t rv;
    int i, own;

    rv = next_accounts(list, db, *pafter, limit);
    for (i = 0; rv == APR_SUCCESS && i < list->nelts; i++) {
        held = &APR_ARRAY_IDX(list, i, held_t);
        rv = mg_db_get_int(db, &held->bytes,
                           "SELECT CAST(COALESCE(SUM(u.bytes), 0) AS BIGINT)"
                           " FROM domain d JOIN mailbox_usage u"
                           " ON u.domain_id = d.id WHERE d.account_id = $1",
                           "i", held->account_id);
    }
    if (rv == APR_SUCCESS)
        rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; rv == APR_SUCCESS && i < list->nelts; i++) {
        held = &APR_ARRAY_IDX(list, i, held_t);
        if (held->bytes > 0)
            rv = write_held(db, held);
    }
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *pafter = list->nelts < limit
                      ? 0 : APR_ARRAY_IDX(list, limit - 1, held_t).account_id;
    return rv;
}
