/* sender_hold.c - what the operator holds back is let go of, and what he wants
 * tried again is tried.
 *
 * mailgunctl queue hold and drop mark rows, also those that are claimed. What
 * is claimed and still waits for its turn goes back to the queue, so that the
 * mark counts at once; what is in a transaction right now is finished: its
 * result is worth more than the mark.
 */
#include <apr_strings.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_tx.h"
#include "mta_site.h"
#include "sender.h"

#define LOOK_EVERY apr_time_from_sec(5)  /* where nobody tells us: another
                                          * machine's mailgunctl */

int sender_is_asked_for(const sender_entry_t *e)
{
    return e->row.last_reply && !e->row.last_reply[0];
}

static apr_status_t held_ids(apr_hash_t *ids, sender_t *s, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, s->db, "SELECT id FROM delivery"
                     " WHERE claimed_by = $1 AND claimed_by <> 0"
                     " AND hold <> 0", "i", s->worker->worker_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        apr_int64_t id = mg_stmt_int(stmt, 0);

        apr_hash_set(ids, apr_pmemdup(p, &id, sizeof(id)), sizeof(id), "");
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static int is_to_go(const sender_entry_t *e, apr_hash_t *ids)
{
    return !e->running && !e->lost
           && apr_hash_get(ids, &e->row.id, sizeof(e->row.id)) != NULL;
}

static apr_status_t release_rows(int *pn, sender_t *s, apr_hash_t *ids)
{
    apr_time_t now = mg_now();
    apr_status_t rv;
    sender_entry_t *e;
    int own;

    *pn = 0;
    rv = mg_tx_join(s->db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    APR_RING_FOREACH(e, &s->held, sender_entry_t, held) {
        if (!is_to_go(e, ids))
            continue;
        rv = mg_queue_release(s->db, &e->row, now);
        if (rv == MG_ELEASE)
            rv = APR_SUCCESS; /* another's already */
        if (rv != APR_SUCCESS)
            break;
        ++*pn;
    }
    return mg_tx_leave(s->db, own, rv);
}

static void give_back(sender_t *s, apr_hash_t *ids)
{
    sender_entry_t *e;
    apr_status_t rv;
    int n;

    rv = release_rows(&n, s, ids);
    if (!sender_store_works(s, rv) || n == 0)
        return;
    APR_RING_FOREACH(e, &s->held, sender_entry_t, held)
        if (is_to_go(e, ids))
            e->lost = 1;
    mta_sites_drop_lost(s);
    mg_log(MG_LOG_INFO, APR_SUCCESS, "%d deliveries are held: back to the "
           "queue", n);
}

void sender_look_for_held(sender_t *s)
{
    apr_uint32_t generation = mg_shared_generation(s->worker->shared);
    apr_time_t now = mg_ticks();
    apr_hash_t *ids;
    apr_pool_t *p;
    apr_status_t rv;

    if (s->nheld == 0 || s->store_down || s->worker->stopping
        || (generation == s->hold_generation
            && now - s->hold_looked < LOOK_EVERY))
        return;
    s->hold_generation = generation;
    s->hold_looked = now;
    apr_pool_create(&p, s->pool);
    ids = apr_hash_make(p);
    rv = held_ids(ids, s, p);
    if (sender_store_works(s, rv) && apr_hash_count(ids) > 0)
        give_back(s, ids);
    apr_pool_destroy(p);
}
