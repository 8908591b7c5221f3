/* mg_queue_change.c - the queue as operators change it: hold, release, try
 * again now, drop.
 *
 * A row that is claimed belongs to its worker: it is never taken away, it is
 * held. The worker finishes what it has begun and gives the rest back; then
 * the row can be dropped like any other.
 */
#include <string.h>

#include "mg_event.h"
#include "mg_queue.h"
#include "mg_queue_row.h"
#include "mg_queue_sql.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_tx.h"

typedef struct {
    mg_db_t *db;
    mg_queue_change_t change;
    apr_time_t now;
    mg_message_t *message;      /* of the row before */
    apr_pool_t *p;
} change_t;

static int is_wanted(const mg_delivery_t *d, mg_queue_change_t change,
                     apr_time_t now)
{
    switch (change) {
    case MG_QUEUE_HOLD:
        return !d->hold;
    case MG_QUEUE_RELEASE:
        return d->hold != 0;
    case MG_QUEUE_RETRY:
        return !d->hold && !d->claimed_by && d->due_at > now;
    case MG_QUEUE_DROP:
        break;
    }
    return 1;
}

static apr_status_t append_dropped(const mg_delivery_t *d, change_t *c)
{
    mg_event_t event;
    apr_status_t rv;

    if (d->transport == MG_TRANSPORT_HOOK
        || d->transport == MG_TRANSPORT_BOUNCE
        || d->transport == MG_TRANSPORT_EXPANSION)
        return APR_SUCCESS; /* no mail of anybody's */
    if (!c->message || c->message->id != d->message_id) {
        rv = mg_message_get(&c->message, c->db, d->message_id, c->p);
        if (rv != APR_SUCCESS && !APR_STATUS_IS_ENOENT(rv))
            return rv;
    }
    event = mg_event_of(MG_EVENT_DROPPED, d, c->message, c->p);
    event.attempt = d->attempts;
    event.reply = "dropped by the operator";
    event.reason = "operator";
    return mg_event_append(c->db, &event, c->p);
}

/* In the transaction; *pn grows if the row was changed. */
static apr_status_t change_row(apr_int64_t *pn, const mg_delivery_t *d,
                               change_t *c)
{
    apr_int64_t n = 0;
    apr_status_t rv = APR_EINVAL;

    switch (c->change) {
    case MG_QUEUE_HOLD:
        rv = mg_db_exec(c->db, &n, "UPDATE delivery SET hold = 1"
                        " WHERE id = $1 AND hold = 0", "i", d->id);
        break;
    case MG_QUEUE_RELEASE:
        rv = mg_db_exec(c->db, &n, "UPDATE delivery SET hold = 0"
                        " WHERE id = $1 AND hold <> 0", "i", d->id);
        break;
    case MG_QUEUE_RETRY:
        rv = mg_db_exec(c->db, &n, "UPDATE delivery SET due_at = $1,"
                        " last_reply = '' WHERE id = $2"
                        " AND claimed_by = 0 AND hold = 0"
                        " AND due_at > $1", "ii", (apr_int64_t)c->now, d->id);
        break;
    case MG_QUEUE_DROP:
        rv = mg_db_exec(c->db, &n, "DELETE FROM delivery WHERE id = $1"
                        " AND claim_no = $2 AND claimed_by = 0", "ii", d->id,
                        d->claim_no);
        if (rv == APR_SUCCESS && n == 0)
            return mg_db_exec(c->db, NULL, "UPDATE delivery SET hold = 1"
                              " WHERE id = $1 AND hold = 0", "i", d->id);
        if (rv == APR_SUCCESS)
            rv = append_dropped(d, c);
        break;
    }
    *pn += n;
    return rv;
}

static apr_status_t change_rows(mg_queue_progress_t *progress,
                                const apr_array_header_t *rows, change_t *c)
{
    apr_status_t rv;
    int i, own;

    rv = mg_tx_join(c->db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; rv == APR_SUCCESS && i < rows->nelts; i++) {
        const mg_delivery_t *d = APR_ARRAY_IDX(rows, i, mg_delivery_t *);
        apr_int64_t before = progress->changed;

        if (!is_wanted(d, c->change, c->now))
            continue;
        rv = change_row(&progress->changed, d, c);
        if (c->change == MG_QUEUE_DROP && progress->changed == before)
            progress->in_hand++;
    }
    return mg_tx_leave(c->db, own, rv);
}

apr_status_t mg_queue_change(mg_queue_progress_t *progress, int *pmore,
                             mg_db_t *db, const mg_queue_filter_t *filter,
                             mg_queue_change_t change, int limit,
                             apr_pool_t *p)
{
    change_t c = { db, change, mg_now(), NULL, p };
    apr_array_header_t *rows;
    apr_status_t rv;

    rv = mg_queue_list(&rows, db, filter, progress->after, limit, p);
    if (rv != APR_SUCCESS)
        return rv;
    *pmore = rows->nelts == limit;
    if (rows->nelts == 0)
        return APR_SUCCESS;
    rv = change_rows(progress, rows, &c);
    if (rv == APR_SUCCESS)
        progress->after = APR_ARRAY_IDX(rows, rows->nelts - 1,
                                        mg_delivery_t *)->id;
    return rv;
}

apr_status_t mg_queue_would(mg_queue_progress_t *progress,
                            apr_array_header_t *shown, int *pmore,
                            mg_db_t *db, const mg_queue_filter_t *filter,
                            mg_queue_change_t change, int limit,
                            apr_pool_t *p)
{
    apr_time_t now = mg_now();
    apr_array_header_t *rows;
    apr_status_t rv;
    int i;

    rv = mg_queue_list(&rows, db, filter, progress->after, limit, p);
    if (rv != APR_SUCCESS)
        return rv;
    *pmore = rows->nelts == limit;
    for (i = 0; i < rows->nelts; i++) {
        mg_delivery_t *d = APR_ARRAY_IDX(rows, i, mg_delivery_t *);

        progress->after = d->id;
        if (!is_wanted(d, change, now))
            continue;
        progress->changed++;
        progress->in_hand += d->claimed_by != 0;
        if (shown->nelts < limit)
            APR_ARRAY_PUSH(shown, mg_delivery_t *) = d;
    }
    return APR_SUCCESS;
}
