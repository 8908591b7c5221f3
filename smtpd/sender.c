/* sender.c - the sender role: claims what is due and sees it through.
 *
 * A turn of the loop: connections work (mta_link.c), then, at its end, rows
 * are claimed if that is due, work is handed out (mta_site.c), and results are
 * committed (sender_result.c) once the turn's output is with the kernel.
 *
 * Claims come in batches: at once where nothing waits, else when little is
 * left or some time has gone by, so that a stream of doorbells does not become
 * a stream of small transactions. What is due within the second that the
 * worker's poll would take is waited for by a timer.
 */
#include <apr_strings.h>
#include <stdlib.h>

#include "mg_log.h"
#include "mg_message.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mta_site_private.h"
#include "sender.h"
#include "sender_move.h"
#include "sender_sign.h"
#include "sender_schedule.h"
#include "sender_share.h"
#include "sender_warmup.h"
#include "tls.h"

#define CLAIM_BATCH 300
#define CLAIM_PAUSE apr_time_from_msec(20)
#define RENEW_MAX apr_time_from_sec(15)   /* between looks at the leases */
#define RENEW_PAUSE apr_time_from_msec(10) /* others have their turn between */

/* --- claiming --- */

/* A claimed row finds its place. */
static void take(sender_t *s, const mg_delivery_t *d, apr_time_t lease_until)
{
    sender_entry_t *e = sender_hold(s, d, lease_until);

    if (d->attempts > 0 && mg_now() >= sender_schedule_end(s->config, d)) {
        /* MG_EEXPIRED: what the remote said last stays the reason */
        const char *why = d->last_reply && d->last_reply[0]
                              ? d->last_reply
                              : "499 4.4.7 the delivery time has expired";
        int code = (int)apr_strtoi64(why, NULL, 10);

        APR_RING_ELEM_INIT(e, link);
        sender_dropped(s, e, code, why, SENDER_MAXFAILS);
        return;
    }
    mta_route_add(s, e);
}

static void on_claim_timer(loop_t *loop, void *baton)
{
    sender_t *s = baton;

    (void)loop;
    s->claim_timer = NULL;
    s->want_claim = 1;
}

static void claim_in(sender_t *s, apr_interval_time_t delay)
{
    if (!s->claim_timer)
        s->claim_timer = loop_timer_set(s->loop, delay, on_claim_timer, s);
}

/* Less than a second ahead the poll would be late. */
static void look_ahead(sender_t *s)
{
    apr_time_t due = 0, now;

    if (!sender_store_works(s, mg_queue_next_due(&due, s->db, s->claimer)))
        return;
    now = mg_now();
    if (due > 0 && due < now + APR_USEC_PER_SEC)
        claim_in(s, due > now ? due - now + 500 : APR_USEC_PER_SEC / 50);
}

/* Oldest message first, whatever order the store returned them in, and the
 * recipients of one message together. */
static int by_message(const void *va, const void *vb)
{
    const mg_delivery_t *a = *(mg_delivery_t *const *)va;
    const mg_delivery_t *b = *(mg_delivery_t *const *)vb;

    if (a->message_id != b->message_id)
        return a->message_id < b->message_id ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* A quarter of the room is kept for domains of which little is held, so that
 * one whose destinations are slow does not keep the others out. */
static void share_of(int *pshare, int *proom, apr_int64_t domain_id,
                     void *baton)
{
    sender_t *s = baton;
    const sender_owner_t *owner = apr_hash_get(s->owners, &domain_id,
                                               sizeof(domain_id));
    int reserve = s->config->claims / 4;
    int nowners = (int)apr_hash_count(s->owners) + !owner;
    int own = reserve / nowners - (owner ? owner->nheld : 0);
    int common = s->config->claims - reserve - s->nheld;

    *pshare = sender_share(s, domain_id);
    *proom = common > own ? common : own;
    if (*proom < CLAIM_BATCH)
        s->held_back = s->nheld - s->nheld / 8;
}

static void claim(sender_t *s, int limit)
{
    apr_time_t lease_until = mg_ticks() + s->config->lease;
    apr_array_header_t *claimed;
    apr_pool_t *ptemp;
    apr_status_t rv;
    int i;

    s->want_claim = 0;
    s->held_back = 0;
    s->claimed_at = mg_ticks();
    apr_pool_create(&ptemp, s->pool);
    rv = mg_queue_claim(&claimed, s->db, s->claimer, limit, ptemp);
    if (!sender_store_works(s, rv)) {
        apr_pool_destroy(ptemp);
        return;
    }
    qsort(claimed->elts, (size_t)claimed->nelts, sizeof(mg_delivery_t *),
          by_message);
    sender_suppress(s, claimed, lease_until, ptemp);
    for (i = 0; i < claimed->nelts; i++)
        if (APR_ARRAY_IDX(claimed, i, mg_delivery_t *))
            take(s, APR_ARRAY_IDX(claimed, i, mg_delivery_t *), lease_until);
    if (claimed->nelts >= limit)
        s->want_claim = 1; /* there is more */
    else if (s->waiting == 0)
        look_ahead(s);
    apr_pool_destroy(ptemp);
    mg_shared_set(s->worker->shared, s->worker->slot, MG_GAUGE_CLAIMED,
                  s->nheld);
}

static void claim_if_due(sender_t *s)
{
    int room = s->config->claims - s->nheld;
    apr_interval_time_t since;

    if (s->held_back && s->nheld < s->held_back)
        s->want_claim = 1;
    if (!s->want_claim || s->worker->stopping || room <= 0)
        return;
    /* full, or nearly: results and their commits make room */
    if (room < CLAIM_BATCH / 3 && room < s->config->claims / 8
        && s->nheld > 0)
        return;
    since = mg_ticks() - s->claimed_at;
    if (s->waiting > 0 && since < CLAIM_PAUSE) {
        claim_in(s, CLAIM_PAUSE - since);
        return;
    }
    claim(s, room < CLAIM_BATCH ? room : CLAIM_BATCH);
}

/* --- the worker's calls --- */

static void on_turn_end(loop_t *loop, void *baton)
{
    sender_t *s = baton;

    (void)loop;
    sender_signers_turn(s->signers);
    mta_links_bury(s);
    claim_if_due(s);
    mta_sites_pump(s);
    sender_results_check(s);
    sender_moves_check(s);
}

static void on_bell(worker_t *worker)
{
    sender_t *s = worker->role_data;

    s->want_claim = 1;
}

static void on_renew(loop_t *loop, void *baton)
{
    sender_t *s = baton;
    apr_interval_time_t every = s->config->lease / 8;
    int more;

    if (every > RENEW_MAX)
        every = RENEW_MAX;
    sender_renew_some(s, &more);
    loop_timer_set(loop, more ? RENEW_PAUSE : every, on_renew, s);
}

static void on_tidy(loop_t *loop, void *baton)
{
    sender_t *s = baton;

    loop_timer_set(loop, APR_USEC_PER_SEC, on_tidy, s);
    sender_sts_load(s);
    if (s->store_down)
        look_ahead(s); /* whether it works again */
    sender_look_for_held(s);
    mta_sites_tidy(s);
    mta_learned_save(s);
    sender_moves_tidy(s);
}

static void on_stop(worker_t *worker)
{
    sender_t *s = worker->role_data;

    mg_log(MG_LOG_INFO, APR_SUCCESS, "sender: stopping; %d under way, %d go "
           "back to the queue", s->running, s->nheld - s->running);
    mta_sites_stop(s);
    mta_learned_save(s);
    sender_warmup_stop(s);
    sender_check_done(s);
}

void sender_check_done(sender_t *s)
{
    if (s->worker->stopping && s->running == 0 && s->nresults == 0
        && s->waiting == 0)
        worker_done(s->worker);
}

/* --- start --- */

static apr_status_t forget(void *baton)
{
    mta_sites_forget(baton);
    return APR_SUCCESS;
}

static sender_t *sender_make(worker_t *worker)
{
    static const mg_transport_kind_t transports[] = { MG_TRANSPORT_SMTP,
                                                      MG_TRANSPORT_LMTP };
    apr_pool_t *p = worker->pool;
    sender_t *s = apr_pcalloc(p, sizeof(*s));

    s->worker = worker;
    s->loop = worker->loop;
    s->db = worker->db;
    s->config = worker->config;
    s->pool = p;
    APR_RING_INIT(&s->held, sender_entry_t, held);
    APR_RING_INIT(&s->results, sender_entry_t, link);
    s->owners = apr_hash_make(p);
    s->messages = apr_hash_make(p);
    s->sites = apr_hash_make(p);
    s->mx_domains = apr_hash_make(p);
    s->lines = apr_hash_make(p);
    s->notes = apr_hash_make(p);
    s->moves = apr_hash_make(p);
    s->warmups = apr_hash_make(p);
    s->moves_end = &s->moves_first;
    APR_RING_INIT(&s->resting, mta_link_t, rest);
    s->room_line_end = &s->room_line;
    apr_pool_create(&s->hosts_pool, p);
    s->hosts = apr_hash_make(s->hosts_pool);
    apr_pool_create(&s->mailbox_pool, p);
    s->mailboxes = apr_hash_make(s->mailbox_pool);
    apr_pool_pre_cleanup_register(p, s, forget);
    s->claimer = mg_claimer_create(worker->worker_id, transports, 2,
                                   s->config->lease, p);
    mg_claimer_shares(s->claimer, share_of, s);
    return s;
}

apr_status_t sender_start(worker_t *worker)
{
    static const dns_trust_t trusts[] = { DNS_TRUST_NEVER, DNS_TRUST_ALWAYS,
                                          DNS_TRUST_LOCAL };
    sender_t *s = sender_make(worker);
    const char *error;
    apr_status_t rv;

    rv = mg_secret_derive(s->verp_key, worker->secret, "verp");
    if (rv != APR_SUCCESS)
        return rv;
    rv = tls_client_create(&s->tls, s->config->tls_trust, &error, s->pool);
    if (rv != APR_SUCCESS) {
        mg_log(MG_LOG_ERR, rv, "%s", error);
        return rv;
    }
    s->routing = mg_routing_create(worker->domains, worker->shared,
                                   s->verp_key, s->pool);
    rv = dns_create(&s->dns, s->loop, s->config->resolvers,
                    trusts[s->config->dane], s->pool);
    if (rv != APR_SUCCESS)
        return rv;
    s->signers = sender_signers_create(s, s->pool);
    rv = sender_sts_create(s);
    if (rv != APR_SUCCESS)
        return rv;
    mg_event_context(s->db, worker->domains, worker->slot);
    mg_message_set_run_dir(s->config->run_dir);
    mta_learned_load(s);

    worker->role_data = s;
    worker->on_bell = on_bell;
    worker->on_stop = on_stop;
    loop_at_turn_end(s->loop, on_turn_end, s);
    on_renew(s->loop, s);
    on_tidy(s->loop, s);
    s->want_claim = 1;
    loop_again(s->loop);
    return APR_SUCCESS;
}
