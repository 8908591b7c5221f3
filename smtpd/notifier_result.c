/* notifier_result.c - what became of posts, committed in batches, as the
 * sender does it (sender_result.c).
 *
 * A forward that was taken, put off or given up is an event; a webhook is not:
 * it tells of one.
 */
#include <apr_strings.h>
#include <string.h>
#include "mg_log.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "notifier.h"

#define BATCH 50
#define COMMIT_MAX 500
#define WAIT_MIN apr_time_from_msec(4)
#define WAIT_MAX apr_time_from_msec(50)
#define RETRY apr_time_from_msec(500)
#define TRIES_MAX 5

static apr_status_t append_event(mg_db_t *db, const notifier_post_t *post,
                                 apr_pool_t *ptemp)
{
    static const mg_event_kind_t kinds[] = {
        MG_EVENT_POSTED, MG_EVENT_FAILED_TEMP, MG_EVENT_FAILED
    };
    mg_message_t none = { .message_id = "", .sender = "", .from_header = "",
                          .subject = "", .method = "",
                          .direction = MG_INCOMING };
    mg_event_t event;

    event = mg_event_of(kinds[post->verdict], &post->row,
                        post->message ? post->message : &none, ptemp);
    event.code = post->code;
    event.reply = post->reply;
    event.mx = post->row.dest;
    return mg_event_append(db, &event, ptemp);
}

static apr_status_t run_result(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    notifier_post_t *post = baton;
    apr_status_t rv;

    post->lost = 0;
    if (post->notifier->commit_lazy)
        mg_tx_lazy(db);
    switch (post->verdict) {
    case NOTIFIER_DONE:
        rv = mg_queue_settle(db, &post->row);
        break;
    case NOTIFIER_LATER:
        rv = mg_queue_defer(db, &post->row, post->reply, post->due_at);
        break;
    case NOTIFIER_GIVEN_UP:
        rv = mg_queue_bury(db, &post->row, post->reply);
        break;
    default:
        rv = mg_queue_release(db, &post->row, post->due_at);
        break;
    }
    if (rv == MG_ELEASE) {
        post->lost = 1; /* another's now: his result counts, not ours */
        return APR_SUCCESS;
    }
    if (rv != APR_SUCCESS || post->verdict == NOTIFIER_GIVEN_BACK
        || post->row.transport != MG_TRANSPORT_HTTP)
        return rv;
    return append_event(db, post, ptemp);
}

/* After a COMMIT whose answer was lost: a row still under our claim was not
 * touched. */
static apr_status_t result_is_there(mg_db_t *db, void *baton)
{
    const notifier_post_t *post = baton;
    apr_int64_t one;
    apr_status_t rv = mg_db_get_int(
        db, &one, "SELECT 1 FROM delivery WHERE id = $1 AND claim_no = $2 AND "
        "claimed_by = $3", "iii", post->row.id, post->row.claim_no,
        post->row.claimed_by);

    if (rv == APR_SUCCESS)
        return APR_ENOENT;
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

void notifier_result(notifier_post_t *post, notifier_verdict_t verdict,
                     int code, const char *reply, apr_time_t due_at)
{
    notifier_t *n = post->notifier;

    post->verdict = verdict;
    post->code = code;
    post->reply = reply ? mg_text_clean(reply, strlen(reply), post->pool)
                        : NULL;
    post->due_at = due_at;
    notifier_post_left(post);
    APR_RING_INSERT_TAIL(&n->results, post, notifier_post_t, link);
    if (n->nresults++ == 0)
        n->results_since = mg_ticks();
}

static void count(notifier_post_t *post)
{
    static const mg_gauge_t gauges[] = { MG_GAUGE_DELIVERED,
                                         MG_GAUGE_DEFERRED, MG_GAUGE_FAILED };
    worker_t *worker = post->notifier->worker;

    if (post->verdict <= NOTIFIER_GIVEN_UP)
        mg_shared_add(worker->shared, worker->slot, gauges[post->verdict], 1);
}

/* A unit of its own that the store refuses again and again. */
static int is_hopeless(notifier_post_t *post)
{
    if (mg_is_temporary(post->unit.status) || ++post->tries < TRIES_MAX)
        return 0;
    mg_log(MG_LOG_ERR, post->unit.status, "notifier: message %"
           APR_INT64_T_FMT " delivery %" APR_INT64_T_FMT ": its result cannot "
           "be stored; it will be tried again when the lease is over",
           post->row.message_id, post->row.id);
    return 1;
}

static void take_leave(notifier_t *n, int units)
{
    while (units-- > 0) {
        notifier_post_t *post = APR_RING_FIRST(&n->results);

        APR_RING_REMOVE(post, link);
        if (post->unit.status != APR_SUCCESS && !is_hopeless(post)) {
            APR_RING_INSERT_TAIL(&n->results, post, notifier_post_t, link);
            continue;
        }
        if (post->lost) /* what was never posted: dropped, or another's */
            mg_log(post->verdict == NOTIFIER_GIVEN_BACK ? MG_LOG_INFO
                                                        : MG_LOG_WARN,
                   MG_ELEASE, "notifier: message %"
                   APR_INT64_T_FMT " delivery %" APR_INT64_T_FMT
                   ": its result came too late", post->row.message_id,
                   post->row.id);
        else if (post->unit.status == APR_SUCCESS)
            count(post);
        n->nresults--;
        notifier_let_go(post);
    }
}

static void commit(notifier_t *n)
{
    mg_unit_t *units = NULL, **plast = &units;
    apr_time_t begun = mg_ticks();
    notifier_post_t *post;
    apr_pool_t *ptemp;
    int count_units = 0;

    /* what a machine that loses power forgets of webhooks is posted again; a
     * forward is mail */
    n->commit_lazy = 1;
    APR_RING_FOREACH(post, &n->results, notifier_post_t, link) {
        if (!notifier_is_hook(post) && post->verdict != NOTIFIER_GIVEN_BACK)
            n->commit_lazy = 0;
        post->unit.run = run_result;
        post->unit.is_there = result_is_there;
        post->unit.baton = post;
        post->unit.status = APR_SUCCESS;
        post->unit.next = NULL;
        *plast = &post->unit;
        plast = &post->unit.next;
        if (++count_units == COMMIT_MAX)
            break;
    }
    apr_pool_create(&ptemp, n->pool);
    if (notifier_store_works(n, mg_group_commit(n->worker->db, units, ptemp)))
        take_leave(n, count_units);
    apr_pool_destroy(ptemp);
    n->commit_took = mg_ticks() - begun;
    n->results_since = mg_ticks();
    n->want_claim = 1; /* there is room again */
}

static void on_commit_timer(loop_t *loop, void *baton)
{
    notifier_t *n = baton;

    (void)loop;
    n->commit_timer = NULL; /* the turn's end looks again */
}

void notifier_results_check(notifier_t *n)
{
    apr_interval_time_t wait = n->commit_took, waited;
    int idle = n->nrunning == 0 && n->nwaiting == 0;

    if (n->nresults == 0)
        return;
    wait = wait < WAIT_MIN ? WAIT_MIN : wait > WAIT_MAX ? WAIT_MAX : wait;
    waited = mg_ticks() - n->results_since;
    if (mg_ticks() >= n->store_down_until
        && (n->nresults >= BATCH || waited >= wait || idle))
        commit(n);
    if (n->nresults == 0) {
        notifier_check_done(n);
        return;
    }
    if (n->commit_timer == NULL)
        n->commit_timer = loop_timer_set(
            n->worker->loop,
            mg_ticks() < n->store_down_until ? RETRY
            : waited < wait ? wait - waited : wait, on_commit_timer, n);
}
