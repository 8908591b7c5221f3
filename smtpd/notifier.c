/* notifier.c - the notifier role: posts what is due to customers' servers.
 *
 * Each customer has its share of the rows held and of the posts under way
 * (notifier_line.c), so that a URL that hangs or is flooded delays nobody else.
 */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include "mg_fault.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "notifier.h"

#define CLAIM_BATCH 100
#define EMPTY_ROUNDS 8                   /* then a bell or the poll goes on */
#define STARTS_A_TURN 16
#define LATER apr_time_from_sec(20)      /* what is over a line's share */
#define STORE_PAUSE apr_time_from_msec(500)
#define LEASE_SPARE apr_time_from_sec(30)

/* --- posts held --- */

static notifier_post_t *hold(notifier_t *n, const mg_delivery_t *row,
                             apr_time_t lease_until)
{
    notifier_line_t *line;
    notifier_post_t *post;
    apr_pool_t *p;

    apr_pool_create(&p, n->pool);
    post = apr_pcalloc(p, sizeof(*post));
    post->pool = p;
    post->notifier = n;
    post->row = *row;
    post->row.recipient = apr_pstrdup(p, row->recipient);
    post->row.recipient_as_given = apr_pstrdup(p, row->recipient_as_given);
    post->row.variables = apr_pstrdup(p, row->variables);
    post->row.dest = apr_pstrdup(p, row->dest ? row->dest : "");
    post->row.target = apr_pstrdup(p, row->target ? row->target : "");
    post->row.payload = apr_pstrdup(p, row->payload);
    post->row.last_reply = apr_pstrdup(p, row->last_reply);
    post->lease_until = lease_until;
    notifier_owner(n, row->domain_id, row->account_id);
    line = post->line = notifier_line(n, row->account_id, post->row.dest, p);
    APR_RING_INSERT_TAIL(&line->waiting, post, notifier_post_t, link);
    if (line->nwaiting++ == 0)
        APR_RING_INSERT_TAIL(&n->ready, line, notifier_line_t, link);
    line->held++;
    line->customer->held++;
    n->nwaiting++;
    n->nheld++;
    return post;
}

static void left_waiting(notifier_t *n, notifier_line_t *line)
{
    n->nwaiting--;
    if (--line->nwaiting == 0)
        APR_RING_REMOVE(line, link);
}

void notifier_post_left(notifier_post_t *post)
{
    notifier_line_t *line = post->line;
    notifier_t *n = post->notifier;

    APR_RING_REMOVE(post, link);
    if (!post->running) {
        left_waiting(n, line);
        return;
    }
    post->running = 0;
    line->running--;
    line->host->running--;
    line->customer->running--;
    n->nrunning--;
    n->memory -= post->memory;
}

void notifier_let_go(notifier_post_t *post)
{
    notifier_line_t *line = post->line;

    line->held--;
    line->customer->held--;
    line->idle_since = mg_ticks();
    post->notifier->nheld--;
    apr_pool_destroy(post->pool);
}

static void put_back(notifier_post_t *post, apr_time_t due_at)
{
    notifier_result(post, NOTIFIER_GIVEN_BACK, 0, NULL, due_at);
}

/* --- claiming --- */

int notifier_store_works(notifier_t *n, apr_status_t rv)
{
    if (rv == APR_SUCCESS || rv == APR_EOF || APR_STATUS_IS_ENOENT(rv)) {
        n->store_down_until = 0;
        worker_db_check(n->worker, APR_SUCCESS);
        return 1;
    }
    n->store_down_until = mg_ticks() + STORE_PAUSE;
    worker_db_check(n->worker, rv);
    return 0;
}

/* When a line that is left alone is tried again; not all at once. */
static apr_time_t reopens(const notifier_post_t *post)
{
    return mg_now() + (post->line->closed_until - mg_ticks())
           + post->row.id % LATER;
}

static void take(notifier_t *n, const mg_delivery_t *row,
                 apr_time_t lease_until)
{
    notifier_post_t *post = hold(n, row, lease_until);
    notifier_line_t *line = post->line;

    if (mg_ticks() < line->closed_until)
        put_back(post, reopens(post));
    else if (line->nwaiting > NOTIFIER_LINE_CLAIMS
             && line->customer->lines > 1)
        put_back(post, mg_now() + LATER + row->id % LATER);
}

static void on_claim_timer(loop_t *loop, void *baton)
{
    notifier_t *n = baton;

    (void)loop;
    n->claim_timer = NULL;
    n->want_claim = 1;
}

/* Less than a second ahead the worker's poll would be late. */
static void look_ahead(notifier_t *n)
{
    apr_time_t due = 0, now;

    if (n->claim_timer
        || !notifier_store_works(n, mg_queue_next_due(&due, n->worker->db,
                                                      n->claimer)))
        return;
    now = mg_now();
    if (due > 0 && due < now + APR_USEC_PER_SEC)
        n->claim_timer = loop_timer_set(n->worker->loop,
                                        due > now ? due - now + 500 : 20000,
                                        on_claim_timer, n);
}

/* Domains of customers who have their share already stand before others. */
static void claim_again(notifier_t *n)
{
    n->want_claim = 1;
    loop_again(n->worker->loop);
}

static void claim_if_due(notifier_t *n)
{
    int room = NOTIFIER_CLAIMS - n->nheld, i;
    apr_array_header_t *claimed;
    apr_time_t lease_until;
    apr_pool_t *ptemp;

    if (!n->want_claim || n->worker->stopping || room <= 0
        || mg_ticks() < n->store_down_until)
        return;
    n->want_claim = 0;
    lease_until = mg_ticks() + n->lease;
    if (room > CLAIM_BATCH)
        room = CLAIM_BATCH;
    apr_pool_create(&ptemp, n->pool);
    if (notifier_store_works(n, mg_queue_claim(&claimed, n->worker->db,
                                               n->claimer, room, ptemp))) {
        if (claimed->nelts > 0)
            (void)MG_FAULT("queue.claim.after");
        for (i = 0; i < claimed->nelts; i++)
            take(n, APR_ARRAY_IDX(claimed, i, mg_delivery_t *), lease_until);
        n->empty_rounds = claimed->nelts ? 0 : n->empty_rounds + 1;
        if (claimed->nelts >= room)
            n->want_claim = 1;
        else if (mg_claimer_more(n->claimer)
                 && n->empty_rounds < EMPTY_ROUNDS)
            claim_again(n);
        else if (n->nwaiting == 0)
            look_ahead(n);
        mg_shared_set(n->worker->shared, n->worker->slot, MG_GAUGE_CLAIMED,
                      n->nheld);
    }
    apr_pool_destroy(ptemp);
}

/* --- starting --- */

/* A post must end before its lease does: else another posts it too. */
static int lease_lasts(const notifier_post_t *post)
{
    return post->lease_until - mg_ticks()
           > post->notifier->worker->config->hook_timeout;
}

/* @return 0: the store failed, start no more */
static int start_one(notifier_t *n, notifier_line_t *line)
{
    notifier_post_t *post = APR_RING_FIRST(&line->waiting);
    apr_status_t rv;

    if (!lease_lasts(post)) {
        put_back(post, mg_now()); /* or it is another's already: MG_ELEASE */
        return 1;
    }
    rv = notifier_post_start(post);
    if (rv == APR_SUCCESS && post->easy) {
        APR_RING_REMOVE(post, link);
        APR_RING_INSERT_TAIL(&n->running, post, notifier_post_t, link);
        left_waiting(n, line);
        line->running++;
        line->host->running++;
        line->customer->running++;
        n->nrunning++;
        n->memory += post->memory;
        post->running = 1;
    }
    return notifier_store_works(n, rv);
}

static int is_full(const notifier_t *n)
{
    return n->nrunning >= n->worker->config->hook_connections
           || n->memory >= NOTIFIER_MEMORY
           || mg_ticks() < n->store_down_until;
}

/* One post of each line in turn; who had one stands behind the others. */
static void pump(notifier_t *n)
{
    int started = 1, left = STARTS_A_TURN;
    notifier_line_t *line, *next, *last;

    while (started && !APR_RING_EMPTY(&n->ready, notifier_line_t, link)) {
        started = 0;
        last = APR_RING_LAST(&n->ready);
        for (line = APR_RING_FIRST(&n->ready);; line = next) {
            int is_last = line == last;

            next = APR_RING_NEXT(line, link);
            if (notifier_line_may_start(n, line)) {
                if (is_full(n))
                    return;
                if (left-- == 0) {
                    loop_again(n->worker->loop);
                    return;
                }
                APR_RING_REMOVE(line, link);
                APR_RING_INSERT_TAIL(&n->ready, line, notifier_line_t, link);
                if (!start_one(n, line))
                    return;
                started = 1;
            }
            if (is_last)
                break;
        }
    }
}

/* Posts that wait for a line that was closed meanwhile go back. */
static void clear_closed(notifier_t *n)
{
    apr_time_t now = mg_ticks();
    notifier_line_t *line, *next;

    for (line = APR_RING_FIRST(&n->ready);
         line != APR_RING_SENTINEL(&n->ready, notifier_line_t, link);
         line = next) {
        next = APR_RING_NEXT(line, link);
        while (now < line->closed_until && line->nwaiting) {
            notifier_post_t *post = APR_RING_FIRST(&line->waiting);

            put_back(post, reopens(post));
        }
    }
}

static void on_turn_end(loop_t *loop, void *baton)
{
    notifier_t *n = baton;

    (void)loop;
    claim_if_due(n);
    if (n->nwaiting) {
        clear_closed(n);
        pump(n);
    }
    notifier_results_check(n);
}

/* --- leases --- */

static void add_old(apr_array_header_t *rows, struct notifier_ring_t *ring,
                    apr_time_t before)
{
    notifier_post_t *post;

    APR_RING_FOREACH(post, ring, notifier_post_t, link) {
        if (post->lease_until < before && post->row.claim_no != -1)
            APR_ARRAY_PUSH(rows, mg_delivery_t *) = &post->row;
    }
}

static notifier_post_t *post_of(mg_delivery_t *row)
{
    return (notifier_post_t *)((char *)row
                               - APR_OFFSETOF(notifier_post_t, row));
}

/* Who lost its lease while it waits is dropped; what is under way ends, and
 * its result comes too late. */
static void take_renewed(apr_array_header_t *rows, apr_time_t lease_until)
{
    int i;

    for (i = 0; i < rows->nelts; i++) {
        notifier_post_t *post = post_of(APR_ARRAY_IDX(rows, i,
                                                      mg_delivery_t *));

        if (post->row.claim_no != -1) {
            post->lease_until = lease_until;
            continue;
        }
        mg_log(post->running ? MG_LOG_WARN : MG_LOG_INFO, MG_ELEASE,
               "notifier: delivery %" APR_INT64_T_FMT, post->row.id);
        if (!post->running) {
            notifier_post_left(post);
            notifier_let_go(post);
        }
    }
}

/* At half-life; an eighth of the lease is how often it is looked after. */
static void on_renew(loop_t *loop, void *baton)
{
    notifier_t *n = baton;
    apr_time_t before = mg_ticks() + n->lease * 5 / 8, lease_until;
    apr_array_header_t *rows;
    notifier_line_t *line;
    apr_pool_t *ptemp;
    int lost;

    loop_timer_set(loop, n->lease / 8, on_renew, n);
    if (n->nheld == 0 || mg_ticks() < n->store_down_until)
        return;
    apr_pool_create(&ptemp, n->pool);
    rows = apr_array_make(ptemp, n->nheld, sizeof(mg_delivery_t *));
    APR_RING_FOREACH(line, &n->ready, notifier_line_t, link)
        add_old(rows, &line->waiting, before);
    add_old(rows, &n->running, before);
    lease_until = mg_ticks() + n->lease;
    if (rows->nelts
        && notifier_store_works(n, mg_queue_renew(&lost, n->worker->db, rows,
                                                  n->lease)))
        take_renewed(rows, lease_until);
    apr_pool_destroy(ptemp);
}

/* --- the worker's calls --- */

static void on_bell(worker_t *worker)
{
    notifier_t *n = worker->role_data;

    n->empty_rounds = 0;
    n->want_claim = 1;
}

void notifier_check_done(notifier_t *n)
{
    if (n->worker->stopping && n->nrunning == 0 && n->nresults == 0
        && n->nwaiting == 0)
        worker_done(n->worker);
}

/* What is under way ends by itself within MailgunHookTimeout. */
static void on_stop(worker_t *worker)
{
    notifier_t *n = worker->role_data;

    mg_log(MG_LOG_INFO, APR_SUCCESS, "notifier: stopping; %d under way, %d go "
           "back to the queue", n->nrunning, n->nwaiting);
    while (!APR_RING_EMPTY(&n->ready, notifier_line_t, link))
        put_back(APR_RING_FIRST(&APR_RING_FIRST(&n->ready)->waiting),
                 mg_now());
    notifier_check_done(n);
}

apr_status_t notifier_start(worker_t *worker)
{
    static const mg_transport_kind_t transports[] = { MG_TRANSPORT_HOOK,
                                                      MG_TRANSPORT_HTTP };
    apr_interval_time_t least = 2 * worker->config->hook_timeout
                                + LEASE_SPARE;
    notifier_t *n = apr_pcalloc(worker->pool, sizeof(*n));
    apr_status_t rv;

    mg_mime_init();
    n->worker = worker;
    apr_pool_create(&n->pool, worker->pool);
    n->lease = worker->config->lease > least ? worker->config->lease : least;
    n->claimer = mg_claimer_create(worker->worker_id, transports, 2, n->lease,
                                   n->pool);
    n->guard = notifier_guard_create(worker->config->hook_allow, n->pool);
    mg_claimer_shares(n->claimer, notifier_share, n);
    notifier_lines_init(n);
    APR_RING_INIT(&n->running, notifier_post_t, link);
    APR_RING_INIT(&n->results, notifier_post_t, link);
    rv = dns_create(&n->dns, worker->loop, worker->config->resolvers,
                    DNS_TRUST_NEVER, n->pool);
    if (rv == APR_SUCCESS)
        rv = notifier_curl_init(n);
    if (rv != APR_SUCCESS)
        return rv;
    worker->role_data = n;
    worker->on_bell = on_bell;
    worker->on_stop = on_stop;
    loop_at_turn_end(worker->loop, on_turn_end, n);
    loop_timer_set(worker->loop, n->lease / 8, on_renew, n);
    n->want_claim = 1;
    return APR_SUCCESS;
}
