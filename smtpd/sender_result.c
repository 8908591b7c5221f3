/* sender_result.c - what became of deliveries, committed in batches.
 *
 * A result is the row settled, deferred or released and the event that says
 * so, in one unit of a group commit. Results are collected while connections
 * work on, and committed when BATCH of them wait, when nothing else is under
 * way, or when the oldest has waited as long as the last commit took: so half
 * of the time at most goes into commits, and an idle sender does not wait.
 *
 * A result is never dropped: a failed commit is tried again, and leases are
 * renewed meanwhile. A COMMIT whose outcome is unknown is asked after: a row
 * that is still under our claim was not touched.
 */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "mg_dsn_request.h"
#include "mg_fault.h"
#include "mg_log.h"
#include "mg_render.h"
#include "mg_status.h"
#include "mg_suppression.h"
#include "mg_text.h"
#include "mg_time.h"
#include "sender.h"
#include "sender_schedule.h"

#define BATCH 50
#define COMMIT_MAX 500                   /* units of one transaction */
#define WAIT_MIN apr_time_from_msec(4)
#define WAIT_MAX apr_time_from_msec(50)
#define RETRY_MIN apr_time_from_msec(100)
#define RETRY_MAX apr_time_from_sec(10)
#define TRIES_MAX 5                      /* of a unit that fails alone */

/* --- collecting --- */

static void keep_words(sender_entry_t *e, const char *reply, const char *mx)
{
    apr_size_t reply_len = reply ? strlen(reply) + 1 : 0;
    apr_size_t mx_len = mx ? strlen(mx) + 1 : 0;
    char *at;

    if (reply_len + mx_len == 0)
        return;
    at = malloc(reply_len + mx_len);
    if (!at)
        abort();
    if (mx)
        e->mx = memcpy(at + reply_len, mx, mx_len);
    e->reply = at;
    if (reply)
        memcpy(at, reply, reply_len);
    else
        *at = '\0'; /* cannot be: an mx comes with its words */
}

static void collect(sender_t *s, sender_entry_t *e, sender_verdict_t verdict,
                    const char *reply, int code, const char *mx,
                    apr_time_t due_at)
{
    APR_RING_REMOVE(e, link);
    e->running = 1;
    e->verdict = verdict;
    e->code = code;
    e->due_at = due_at;
    keep_words(e, reply, reply ? mx : NULL);
    APR_RING_INSERT_TAIL(&s->results, e, sender_entry_t, link);
    if (s->nresults++ == 0)
        s->results_since = mg_ticks();
}

static void say(const char *what, const sender_entry_t *e, const char *reply)
{
    if (mg_log_get_level() >= MG_LOG_INFO)
        mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: message %" APR_INT64_T_FMT
               " delivery %" APR_INT64_T_FMT " to <%s> %s", what,
               e->row.message_id, e->row.id, e->row.recipient,
               reply ? reply : "");
}

void sender_delivered(sender_t *s, sender_entry_t *entry, const char *reply,
                      int code, const char *mx)
{
    mg_log(MG_LOG_INFO, APR_SUCCESS, "sent: message %" APR_INT64_T_FMT
           " delivery %" APR_INT64_T_FMT " remote %s", entry->row.message_id,
           entry->row.id, reply);
    collect(s, entry, SENDER_DELIVERED, reply, code, mx, 0);
}

void sender_failed(sender_t *s, sender_entry_t *entry, const char *reply,
                   int code, const char *mx)
{
    entry->bounce = mg_bounce_classify(entry->stage, code, reply, 1);
    /* our own mailboxes say what they mean, and their senders are told */
    if (entry->bounce.severity == MG_SOFT
        && entry->row.transport == MG_TRANSPORT_SMTP) {
        sender_deferred(s, entry, reply, code, mx);
        return;
    }
    say("failed", entry, reply);
    collect(s, entry, SENDER_FAILED, reply, code, mx, 0);
}

static void give_up(sender_t *s, sender_entry_t *entry, const char *why,
                    int code, const char *mx, const char *reason)
{
    say("dropped", entry, why);
    entry->reason = reason;
    collect(s, entry, SENDER_DROPPED, why, code, mx, 0);
}

void sender_dropped(sender_t *s, sender_entry_t *entry, int code,
                    const char *why, const char *reason)
{
    give_up(s, entry, why, code, NULL, reason);
}

void sender_deferred(sender_t *s, sender_entry_t *entry, const char *reply,
                     int code, const char *mx)
{
    apr_time_t due, asked = mg_now() + mta_reply_wait(reply);
    apr_status_t rv = sender_schedule_next(&due, s->config, &entry->row,
                                           mg_now());

    entry->bounce = mg_bounce_classify(entry->stage, code, reply, 0);
    /* "try again in 20 minutes": the remote knows better */
    if (asked > due && asked < sender_schedule_end(s->config, &entry->row))
        due = asked;
    if (rv != APR_SUCCESS) {
        give_up(s, entry, reply, code, mx, SENDER_MAXFAILS);
        return;
    }
    say("deferred", entry, reply);
    collect(s, entry, SENDER_DEFERRED, reply, code, mx, due);
}

void sender_released(sender_t *s, sender_entry_t *entry, apr_time_t due_at)
{
    collect(s, entry, SENDER_RELEASED, NULL, 0, NULL, due_at);
}

/* --- the unit of one result --- */

/* A forward that ran out has failed, too. */
static sender_verdict_t verdict_of(const sender_entry_t *e)
{
    const mg_message_t *message = e->message->row;

    return e->verdict == SENDER_DROPPED && message
                   && message->direction == MG_INCOMING
                   && e->row.transport == MG_TRANSPORT_SMTP
               ? SENDER_FAILED : e->verdict;
}

static mg_event_t event_of(const sender_entry_t *e, apr_pool_t *p)
{
    static const mg_event_kind_t kinds[] = {
        [SENDER_DELIVERED] = MG_EVENT_DELIVERED,
        [SENDER_DEFERRED] = MG_EVENT_FAILED_TEMP,
        [SENDER_FAILED] = MG_EVENT_FAILED,
        [SENDER_DROPPED] = MG_EVENT_DROPPED,
    };
    mg_event_t event = mg_event_of(kinds[verdict_of(e)], &e->row,
                                   e->message->row, p);
    mg_render_for_t who = { e->message->row, &e->row, "", NULL,
                            e->message->sending.list };
    mg_dsn_rcpt_t rcpt = { NULL, NULL };

    if (e->message->sending.is_template)
        event.subject = mg_render_line(event.subject, &who, p);
    event.code = e->code;
    event.reply = e->reply ? mg_text_clean(e->reply, strlen(e->reply), p)
                           : NULL;
    event.mx = e->mx;
    event.tls = e->via.tls;
    event.tls_cipher = e->via.cipher;
    event.tls_policy = e->via.policy;
    event.verified = e->via.verified;
    event.utf8 = e->via.utf8;
    event.session = e->session;
    event.sending_ip = e->via.ip[0] ? e->via.ip : NULL;
    event.bounce_class = e->bounce.name;
    if (e->verdict == SENDER_DELIVERED && e->row.payload && *e->row.payload) {
        mg_dsn_payload_read(&rcpt, e->row.payload, p);
        event.notify = rcpt.notify;
    }
    event.reason = e->reason;
    if (e->verdict == SENDER_DEFERRED)
        event.retry_in = e->due_at - mg_now();
    return event;
}

/* A hard bounce of mail that went out for a customer. */
static apr_status_t enter_bounce(mg_db_t *db, const sender_entry_t *e,
                                 const mg_event_t *event, apr_pool_t *ptemp)
{
    mg_suppression_t entry = { .kind = MG_BOUNCED };

    if (e->verdict != SENDER_FAILED || e->bounce.severity != MG_HARD
        || e->row.transport != MG_TRANSPORT_SMTP || !e->message->row
        || event->direction != MG_OUTGOING
        || strcmp(e->message->row->method, NOTICE_METHOD) == 0)
        return APR_SUCCESS; /* a notice of ours is nobody's mailing */
    entry.address = e->row.recipient;
    entry.code = apr_itoa(ptemp, e->code);
    entry.error = event->reply;
    entry.class = e->bounce.name;
    return mg_suppression_add(db, e->row.domain_id, &entry, ptemp);
}

static apr_status_t run_result(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    sender_entry_t *e = baton;
    mg_event_t event;
    apr_status_t rv;

    e->lost = 0;
    if (e->verdict == SENDER_RELEASED)
        rv = mg_queue_release(db, &e->row, e->due_at);
    else if (e->verdict == SENDER_DEFERRED)
        rv = mg_queue_defer(db, &e->row,
                            mg_text_clean(e->reply, strlen(e->reply), ptemp),
                            e->due_at);
    else
        rv = mg_queue_settle(db, &e->row);
    if (rv == MG_ELEASE) {
        e->lost = 1; /* another's now: his result counts, not ours */
        return APR_SUCCESS;
    }
    if (rv != APR_SUCCESS || e->verdict == SENDER_RELEASED)
        return rv;
    event = event_of(e, ptemp);
    rv = mg_event_append(db, &event, ptemp);
    if (rv == APR_SUCCESS)
        rv = enter_bounce(db, e, &event, ptemp);
    if (rv == APR_SUCCESS && e->notice)
        rv = notice_accept(db, e->notice, ptemp);
    return rv;
}

/* After a COMMIT whose answer was lost. */
static apr_status_t result_is_there(mg_db_t *db, void *baton)
{
    const sender_entry_t *e = baton;
    apr_int64_t one;
    apr_status_t rv = mg_db_get_int(db, &one, "SELECT 1 FROM delivery WHERE "
                                    "id = $1 AND claim_no = $2 AND "
                                    "claimed_by = $3", "iii", e->row.id,
                                    e->row.claim_no, e->row.claimed_by);

    if (rv == APR_SUCCESS)
        return APR_ENOENT;
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

/* --- committing --- */

int sender_store_works(sender_t *s, apr_status_t rv)
{
    if (rv == APR_SUCCESS || APR_STATUS_IS_EOF(rv)
        || APR_STATUS_IS_ENOENT(rv)) {
        if (s->store_down)
            worker_db_check(s->worker, APR_SUCCESS);
        s->store_down = 0;
        s->outage = 0;
        return 1;
    }
    s->store_down = 1;
    s->outage++;
    worker_db_check(s->worker, rv);
    return 0;
}

static void count(sender_t *s, const int *by_verdict)
{
    static const mg_gauge_t gauges[] = {
        [SENDER_DELIVERED] = MG_GAUGE_DELIVERED,
        [SENDER_DEFERRED] = MG_GAUGE_DEFERRED,
        [SENDER_FAILED] = MG_GAUGE_FAILED,
        [SENDER_DROPPED] = MG_GAUGE_FAILED,
    };
    int i;

    for (i = 0; i < SENDER_RELEASED; i++)
        if (by_verdict[i] > 0)
            mg_shared_add(s->worker->shared, s->worker->slot, gauges[i],
                          by_verdict[i]);
}

/* A unit of its own that the store refuses again and again. */
static int is_hopeless(sender_entry_t *e)
{
    if (mg_is_temporary(e->unit.status) || ++e->tries < TRIES_MAX)
        return 0;
    mg_log(MG_LOG_ERR, e->unit.status, "message %" APR_INT64_T_FMT
           " delivery %" APR_INT64_T_FMT ": its result cannot be stored; it "
           "will be tried again when the lease is over",
           e->row.message_id, e->row.id);
    return 1;
}

static void drop_notice(sender_entry_t *e)
{
    if (e->notice)
        apr_pool_destroy(e->notice->pool);
    e->notice = NULL;
}

/* @return how many stay because their unit failed */
static int take_leave(sender_t *s, int n)
{
    int by_verdict[SENDER_VERDICTS] = { 0 }, stay = 0;
    sender_entry_t *e;

    while (n-- > 0) {
        e = APR_RING_FIRST(&s->results);
        APR_RING_REMOVE(e, link);
        if (e->unit.status != APR_SUCCESS && !is_hopeless(e)) {
            APR_RING_INSERT_TAIL(&s->results, e, sender_entry_t, link);
            stay++;
            continue;
        }
        if (e->lost)
            mg_log(MG_LOG_WARN, MG_ELEASE, "message %" APR_INT64_T_FMT
                   " delivery %" APR_INT64_T_FMT ": its result came too late",
                   e->row.message_id, e->row.id);
        else
            by_verdict[e->verdict]++;
        s->nresults--;
        drop_notice(e);
        sender_let_go(s, e);
    }
    count(s, by_verdict);
    return stay;
}

/* Events name sender and subject: of what never got so far that its message
 * was read, it is read now. */
static apr_status_t read_missing(sender_t *s)
{
    sender_message_t *missing[MG_MESSAGES_AT_ONCE];
    apr_status_t rv = APR_SUCCESS;
    sender_entry_t *e;
    int n = 0, seen = 0;

    APR_RING_FOREACH(e, &s->results, sender_entry_t, link) {
        if (e->verdict != SENDER_RELEASED)
            sender_list_unread(missing, &n, e->message);
        if (n == MG_MESSAGES_AT_ONCE) {
            rv = sender_read_messages(s, missing, n);
            n = 0;
        }
        if (rv != APR_SUCCESS || ++seen == COMMIT_MAX)
            break;
    }
    return rv == APR_SUCCESS ? sender_read_messages(s, missing, n) : rv;
}

/* Made before the transaction begins: it takes looks into the store. */
static apr_status_t prepare_notice(sender_t *s, sender_entry_t *e,
                                   apr_pool_t *ptemp)
{
    int lmtp = e->row.transport == MG_TRANSPORT_LMTP;
    notice_about_t about;
    apr_status_t rv;

    if (e->verdict == SENDER_RELEASED || e->notice)
        return APR_SUCCESS;
    /* forwarded under its own sender: that server tells him itself */
    if (e->verdict == SENDER_DELIVERED && e->via.dsn && e->message->row
        && e->message->row->direction == MG_INCOMING)
        return APR_SUCCESS;
    memset(&about, 0, sizeof(about));
    about.says = e->verdict == SENDER_DEFERRED    ? MG_DSN_SAYS_DELAYED
                 : e->verdict != SENDER_DELIVERED ? MG_DSN_SAYS_FAILED
                 : lmtp ? MG_DSN_SAYS_DELIVERED : MG_DSN_SAYS_RELAYED;
    about.message = e->message->row;
    about.recipient = e->row.recipient;
    about.payload = e->row.payload;
    about.delivery_id = e->row.id;
    about.created_at = e->row.created_at;
    about.reply = e->reply;
    about.mx = e->mx;
    about.until = sender_schedule_end(s->config, &e->row);
    if (!notice_is_wanted(&about, mg_now(), ptemp))
        return APR_SUCCESS;
    rv = notice_make(&e->notice, s->db, s->routing, s->config->hostname,
                     &about, s->pool);
    if (rv != MG_EADDRESS && rv != MG_ELIMIT)
        return rv;
    mg_log(MG_LOG_INFO, rv, "message %" APR_INT64_T_FMT ": its sender <%s> "
           "cannot be told", e->row.message_id, about.message->sender);
    return APR_SUCCESS;
}

static apr_status_t commit(sender_t *s, int *pstay)
{
    mg_unit_t *units = NULL, **plast = &units;
    apr_time_t begun = mg_ticks();
    sender_entry_t *e;
    apr_pool_t *ptemp;
    apr_status_t rv;
    int n = 0;

    rv = read_missing(s);
    if (rv != APR_SUCCESS)
        return rv;
    apr_pool_create(&ptemp, s->pool);
    APR_RING_FOREACH(e, &s->results, sender_entry_t, link) {
        rv = prepare_notice(s, e, ptemp);
        if (!sender_store_works(s, rv)) {
            apr_pool_destroy(ptemp);
            return rv;
        }
        e->unit.run = run_result;
        e->unit.is_there = result_is_there;
        e->unit.baton = e;
        e->unit.status = APR_SUCCESS;
        e->unit.next = NULL;
        *plast = &e->unit;
        plast = &e->unit.next;
        if (++n == COMMIT_MAX)
            break;
    }
    rv = mg_group_commit(s->db, units, ptemp);
    apr_pool_destroy(ptemp);
    if (sender_store_works(s, rv))
        *pstay = take_leave(s, n);
    s->commit_took = mg_ticks() - begun;
    return rv;
}

static void on_commit_timer(loop_t *loop, void *baton)
{
    sender_t *s = baton;

    s->commit_timer = NULL;
    s->commit_job.fn(loop, s);
}

static void set_timer(sender_t *s, apr_interval_time_t delay)
{
    if (!s->commit_timer)
        s->commit_timer = loop_timer_set(s->loop, delay, on_commit_timer, s);
}

/* Runs after the turn's output is with the kernel: the remotes work while we
 * wait for the disk. */
static void on_commit(loop_t *loop, void *baton)
{
    sender_t *s = baton;
    apr_interval_time_t delay;
    int stay = 0, i, rounds = s->nresults / COMMIT_MAX + 1;

    (void)loop;
    while (s->nresults > stay && rounds-- > 0)
        if (commit(s, &stay) != APR_SUCCESS)
            break;
    if (s->nresults > 0) {
        s->results_since = mg_ticks();
        delay = RETRY_MIN;
        for (i = 1; i < s->outage && delay < RETRY_MAX; i++)
            delay *= 2;
        set_timer(s, delay);
    }
    else
        sender_check_done(s);
    loop_again(s->loop); /* there is room again: for claims, for groups */
}

void sender_results_check(sender_t *s)
{
    apr_interval_time_t wait = s->commit_took, waited;

    if (s->nresults == 0)
        return;
    if (!s->commit_job.fn) {
        s->commit_job.fn = on_commit;
        s->commit_job.baton = s;
    }
    if (s->store_down) {
        set_timer(s, RETRY_MIN);
        return;
    }
    wait = wait < WAIT_MIN ? WAIT_MIN : wait > WAIT_MAX ? WAIT_MAX : wait;
    waited = mg_ticks() - s->results_since;
    if (s->nresults >= BATCH || waited >= wait
        || (s->running == 0 && s->waiting == 0)) {
        if (s->commit_timer)
            loop_timer_cancel(s->commit_timer);
        s->commit_timer = NULL;
        loop_late(s->loop, &s->commit_job);
    }
    else
        set_timer(s, wait - waited);
}
