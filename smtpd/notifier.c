/* notifier.c - the notifier role: posts what is due to customers' servers.
 *
 * Each host (host:port) has its share of the rows held and of the posts under
 * way, so that one that hangs or is flooded delays nobody else: what is over
 * its share goes back to the queue for a few seconds.
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
#define STARTS_A_TURN 16
#define LATER apr_time_from_sec(5)       /* what is over a host's share */
#define STORE_PAUSE apr_time_from_msec(500)
#define HOST_IDLE apr_time_from_sec(60)
#define LEASE_SPARE apr_time_from_sec(30)

/* --- hosts --- */

static notifier_host_t *host_for(notifier_t *n, const char *dest)
{
    notifier_host_t *host = apr_hash_get(n->hosts, dest, APR_HASH_KEY_STRING);

    if (host)
        return host;
    host = calloc(1, sizeof(*host) + strlen(dest) + 1);
    if (host == NULL)
        abort();
    host->dest = memcpy(host + 1, dest, strlen(dest) + 1);
    APR_RING_INIT(&host->waiting, notifier_post_t, link);
    apr_hash_set(n->hosts, host->dest, APR_HASH_KEY_STRING, host);
    n->nhosts++;
    return host;
}

static void on_tidy(loop_t *loop, void *baton)
{
    notifier_t *n = baton;
    apr_time_t now = mg_ticks();
    apr_hash_index_t *hi;

    loop_timer_set(loop, HOST_IDLE, on_tidy, n);
    for (hi = apr_hash_first(NULL, n->hosts); hi; hi = apr_hash_next(hi)) {
        notifier_host_t *host = apr_hash_this_val(hi);

        if (host->nwaiting || host->running || now < host->closed_until
            || now < host->idle_since + HOST_IDLE)
            continue;
        apr_hash_set(n->hosts, host->dest, APR_HASH_KEY_STRING, NULL);
        n->nhosts--;
        free(host);
    }
}

static apr_status_t cleanup_hosts(void *baton)
{
    notifier_t *n = baton;
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, n->hosts); hi; hi = apr_hash_next(hi))
        free(apr_hash_this_val(hi));
    return APR_SUCCESS;
}

/* --- posts held --- */

static notifier_post_t *hold(notifier_t *n, const mg_delivery_t *row,
                             apr_time_t lease_until)
{
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
    post->host = host_for(n, post->row.dest);
    APR_RING_INSERT_TAIL(&post->host->waiting, post, notifier_post_t, link);
    post->host->nwaiting++;
    n->nwaiting++;
    n->nheld++;
    return post;
}

void notifier_post_left(notifier_post_t *post)
{
    notifier_t *n = post->notifier;

    APR_RING_REMOVE(post, link);
    if (post->running) {
        post->running = 0;
        post->host->running--;
        n->nrunning--;
        n->memory -= post->memory;
    }
    else {
        post->host->nwaiting--;
        n->nwaiting--;
    }
    post->host->idle_since = mg_ticks();
}

void notifier_let_go(notifier_post_t *post)
{
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

static void take(notifier_t *n, const mg_delivery_t *row,
                 apr_time_t lease_until)
{
    notifier_post_t *post = hold(n, row, lease_until);
    notifier_host_t *host = post->host;
    apr_time_t now = mg_ticks();

    if (now < host->closed_until)
        put_back(post, mg_now() + (host->closed_until - now)
                           + row->id % LATER);
    else if (host->nwaiting > NOTIFIER_HOST_CLAIMS)
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
        if (claimed->nelts >= room)
            n->want_claim = 1;
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
static int start_one(notifier_t *n, notifier_host_t *host)
{
    notifier_post_t *post = APR_RING_FIRST(&host->waiting);
    apr_status_t rv;

    if (!lease_lasts(post)) {
        put_back(post, mg_now()); /* or it is another's already: MG_ELEASE */
        return 1;
    }
    rv = notifier_post_start(post);
    if (rv == APR_SUCCESS && post->easy) {
        APR_RING_REMOVE(post, link);
        APR_RING_INSERT_TAIL(&n->running, post, notifier_post_t, link);
        host->nwaiting--;
        n->nwaiting--;
        host->running++;
        n->nrunning++;
        n->memory += post->memory;
        post->running = 1;
    }
    return notifier_store_works(n, rv);
}

/* One post of each host in turn. */
static void pump(notifier_t *n)
{
    int started = 1, left = STARTS_A_TURN;
    apr_hash_index_t *hi;

    while (started && n->nwaiting) {
        started = 0;
        for (hi = apr_hash_first(NULL, n->hosts); hi;
             hi = apr_hash_next(hi)) {
            notifier_host_t *host = apr_hash_this_val(hi);

            if (host->nwaiting == 0 || host->running >= NOTIFIER_HOST_POSTS
                || mg_ticks() < host->closed_until)
                continue;
            if (n->nrunning >= NOTIFIER_POSTS || n->memory >= NOTIFIER_MEMORY
                || mg_ticks() < n->store_down_until)
                return;
            if (left-- == 0) {
                loop_again(n->worker->loop);
                return;
            }
            if (!start_one(n, host))
                return;
            started = 1;
        }
    }
}

/* Posts that wait for a host that was closed meanwhile go back. */
static void clear_closed(notifier_t *n)
{
    apr_time_t now = mg_ticks();
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, n->hosts); hi; hi = apr_hash_next(hi)) {
        notifier_host_t *host = apr_hash_this_val(hi);

        while (now < host->closed_until && host->nwaiting) {
            notifier_post_t *post = APR_RING_FIRST(&host->waiting);

            put_back(post, mg_now() + (host->closed_until - now)
                               + post->row.id % LATER);
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
        mg_log(MG_LOG_WARN, MG_ELEASE, "notifier: delivery %" APR_INT64_T_FMT,
               post->row.id);
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
    apr_hash_index_t *hi;
    apr_pool_t *ptemp;
    int lost;

    loop_timer_set(loop, n->lease / 8, on_renew, n);
    if (n->nheld == 0 || mg_ticks() < n->store_down_until)
        return;
    apr_pool_create(&ptemp, n->pool);
    rows = apr_array_make(ptemp, n->nheld, sizeof(mg_delivery_t *));
    for (hi = apr_hash_first(ptemp, n->hosts); hi; hi = apr_hash_next(hi))
        add_old(rows, &((notifier_host_t *)apr_hash_this_val(hi))->waiting,
                before);
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
    apr_hash_index_t *hi;

    mg_log(MG_LOG_INFO, APR_SUCCESS, "notifier: stopping; %d under way, %d go "
           "back to the queue", n->nrunning, n->nwaiting);
    for (hi = apr_hash_first(NULL, n->hosts); hi; hi = apr_hash_next(hi)) {
        notifier_host_t *host = apr_hash_this_val(hi);

        while (host->nwaiting)
            put_back(APR_RING_FIRST(&host->waiting), mg_now());
    }
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
    n->hosts = apr_hash_make(n->pool);
    APR_RING_INIT(&n->running, notifier_post_t, link);
    APR_RING_INIT(&n->results, notifier_post_t, link);
    apr_pool_cleanup_register(n->pool, n, cleanup_hosts,
                              apr_pool_cleanup_null);
    rv = notifier_curl_init(n);
    if (rv != APR_SUCCESS)
        return rv;
    worker->role_data = n;
    worker->on_bell = on_bell;
    worker->on_stop = on_stop;
    loop_at_turn_end(worker->loop, on_turn_end, n);
    loop_timer_set(worker->loop, n->lease / 8, on_renew, n);
    loop_timer_set(worker->loop, HOST_IDLE, on_tidy, n);
    n->want_claim = 1;
    return APR_SUCCESS;
}
