/* mta_route.c - where mail goes: the site of a recipient's domain.
 *
 * Domains behind the same mail exchangers are one site. The MX records say so,
 * hence an entry waits at its domain until they are known; a domain is small,
 * for there may be a hundred thousand dead ones in one customer's list. An
 * answer holds for its TTL. Where the look-up fails the domain is closed for a
 * while, as a site is; what waited is put off.
 *
 * The host that MailgunTransport or MailgunLMTP names is a site of its own,
 * and looked up by that site.
 */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mta_mx.h"
#include "mta_site_private.h"
#include "sender_schedule.h"
#include "sender_warmup.h"

#define CLOSED_MAX apr_time_from_sec(600)
#define STALE_ROUTE apr_time_from_sec(60)
#define FORGET_AFTER apr_time_from_sec(60)
#define FORGET_FAILED apr_time_from_sec(3600)
#define RESOLVING apr_time_from_sec(10) /* many wait for the resolver */
#define DOMAINS_MANY 20000    /* then none is kept idle */
#define HOSTS_MAX 64          /* bits of mta_attempt_t.tried */

/* --- a site's hosts --- */

void mta_route_drop(mta_site_t *site)
{
    free(site->hosts);
    site->hosts = NULL;
    site->nhosts = 0;
}

/* One block: hosts, then their names. */
void mta_route_set(mta_site_t *site, const dns_host_t *hosts, int n,
                   apr_time_t until)
{
    apr_size_t size;
    char *at;
    int i;

    if (n > HOSTS_MAX)
        n = HOSTS_MAX;
    size = sizeof(*hosts) * (apr_size_t)n;
    for (i = 0; i < n; i++)
        size += strlen(hosts[i].name) + 1;
    mta_route_drop(site);
    site->hosts = malloc(size);
    if (!site->hosts)
        abort(); /* as APR's pools do */
    memcpy(site->hosts, hosts, sizeof(*hosts) * (apr_size_t)n);
    at = (char *)(site->hosts + n);
    for (i = 0; i < n; i++) {
        apr_size_t len = strlen(hosts[i].name) + 1;

        site->hosts[i].name = memcpy(at, hosts[i].name, len);
        at += len;
    }
    site->nhosts = n;
    site->route_until = until;
}

static void on_host(const dns_answer_t *answer, void *baton)
{
    mta_site_t *site = baton;

    site->resolving = 0;
    mta_site_touch(site);
    if (answer->status == DNS_FOUND)
        mta_route_set(site, answer->hosts, answer->nhosts, answer->until);
    else if (answer->status == DNS_LATER && site->nhosts > 0)
        site->route_until = mg_ticks() + STALE_ROUTE;
    else {
        mta_route_drop(site);
        /* a host that is not found because the configuration names it wrongly
         * is no reason to return mail */
        mta_site_fail(site, answer->reply,
                      (int)apr_strtoi64(answer->reply, NULL, 10), 0);
    }
}

/* What waits at a site of MX records came with them: they may be a little
 * old, but they are there. */
int mta_route_known(mta_site_t *site)
{
    if (site->nhosts > 0 && (site->by_mx || site->route_until > mg_ticks()))
        return 1;
    if (site->resolving || site->by_mx)
        return 0;
    site->resolving = 1;
    dns_host(site->s->dns, site->name, on_host, site);
    return !site->resolving && site->nhosts > 0;
}

/* --- the site of MX records --- */

static int by_name(const void *va, const void *vb)
{
    const dns_host_t *a = va, *b = vb;

    if (a->preference != b->preference)
        return a->preference < b->preference ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* "mx1.a.test,mx2.a.test>backup.a.test": the names sorted, > where the next
 * ones are preferred less, since their order must be kept (RFC 5321 5.1). */
static char *mx_set(const dns_host_t *hosts, int n, apr_pool_t *p)
{
    dns_host_t *sorted = apr_pmemdup(p, hosts, sizeof(*hosts)
                                                   * (apr_size_t)n);
    apr_array_header_t *parts = apr_array_make(p, 2 * n, sizeof(char *));
    int i;

    qsort(sorted, (size_t)n, sizeof(*sorted), by_name);
    for (i = 0; i < n; i++) {
        if (i > 0 && sorted[i].preference == sorted[i - 1].preference
            && strcmp(sorted[i].name, sorted[i - 1].name) == 0)
            continue; /* another address of the same host */
        if (i > 0)
            APR_ARRAY_PUSH(parts, const char *) =
                sorted[i].preference == sorted[i - 1].preference ? "," : ">";
        APR_ARRAY_PUSH(parts, const char *) = sorted[i].name;
    }
    return apr_array_pstrcat(p, parts, 0);
}

static mta_site_t *site_of(const mta_domain_t *d, const mta_mx_t *mx,
                           apr_time_t until, apr_pool_t *ptemp)
{
    mta_site_t *site = mta_site_by_mx(d->s, mx_set(mx->hosts, mx->n, ptemp),
                                      d->way, mx->by_sts, mx->secure);

    mta_route_set(site, mx->hosts, mx->n, until);
    return site;
}

/* --- domains --- */

/* @param way  what else parts the mail of one domain: "" for nothing */
static mta_domain_t *domain_for(sender_t *s, const char *name,
                                const char *way)
{
    apr_size_t key_len, name_len;
    mta_domain_t *d;
    char key[700];

    /* no domain name is longer (RFC 1035 2.3.4): the look-up says so */
    apr_snprintf(key, sizeof(key), "%.255s %.400s", name, way);
    d = apr_hash_get(s->mx_domains, key, APR_HASH_KEY_STRING);
    if (d)
        return d;
    key_len = strlen(key);
    name_len = (apr_size_t)(strchr(key, ' ') - key);
    d = calloc(1, sizeof(*d) + key_len + name_len + 2);
    if (!d)
        abort();
    d->s = s;
    d->key = memcpy(d + 1, key, key_len + 1);
    d->way = d->key + name_len + 1;
    d->name = memcpy((char *)(d + 1) + key_len + 1, key, name_len);
    APR_RING_INIT(&d->waiting, sender_entry_t, link);
    APR_RING_ELEM_INIT(d, link);
    apr_hash_set(s->mx_domains, d->key, APR_HASH_KEY_STRING, d);
    return d;
}

static void leave_site(mta_domain_t *d)
{
    if (!d->site)
        return;
    APR_RING_REMOVE(d, link);
    APR_RING_ELEM_INIT(d, link);
    d->site = NULL;
}

static void join_site(mta_domain_t *d, mta_site_t *site)
{
    int i;

    leave_site(d);
    d->site = site;
    mta_window_limits(site, d->name);
    for (i = 0; i < site->nhosts; i++)
        mta_window_limits(site, site->hosts[i].name);
    APR_RING_INSERT_TAIL(&site->domains, d, mta_domain_t, link);
}

void mta_route_leave(mta_site_t *site)
{
    while (!APR_RING_EMPTY(&site->domains, mta_domain_t, link))
        leave_site(APR_RING_FIRST(&site->domains));
}

static void domain_forget(mta_domain_t *d)
{
    leave_site(d);
    apr_hash_set(d->s->mx_domains, d->key, APR_HASH_KEY_STRING, NULL);
    free(d);
}

static sender_entry_t *next_waiting(mta_domain_t *d)
{
    sender_entry_t *e;

    if (APR_RING_EMPTY(&d->waiting, sender_entry_t, link))
        return NULL;
    e = APR_RING_FIRST(&d->waiting);
    APR_RING_REMOVE(e, link);
    APR_RING_ELEM_INIT(e, link);
    d->nwaiting--;
    d->s->waiting--;
    return e;
}

/* The resolver failed: later. Permanent: what DNS says is final. */
static void domain_fail(mta_domain_t *d, const char *reply, int permanent)
{
    int code = (int)apr_strtoi64(reply, NULL, 10);
    apr_interval_time_t delay;
    sender_entry_t *e;

    if (!permanent) {
        d->failures++;
        delay = sender_schedule_delay(d->s->config, d->failures,
                                      (apr_uint64_t)(apr_uintptr_t)d);
        if (delay > CLOSED_MAX)
            delay = CLOSED_MAX;
        d->closed_until = mg_now() + delay;
        mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: closed for %" APR_INT64_T_FMT
               " ms: %s", d->name, delay / 1000, reply);
    }
    while ((e = next_waiting(d)) != NULL)
        if (permanent)
            sender_failed(d->s, e, reply, code, NULL);
        else
            sender_deferred(d->s, e, reply, code, NULL);
    sender_check_done(d->s);
}

static void on_mx(const dns_answer_t *answer, void *baton);

static void on_sts(const sts_policy_t *policy, void *baton)
{
    mta_domain_t *d = baton;

    (void)policy; /* on_mx() asks for what is known */
    dns_mx(d->s->dns, d->name, on_mx, d);
}

/* The MXs are known: so must be what the domain says about TLS to them.
 * @return 0: asked for; on_mx() comes again */
static int policy_of(const sts_policy_t **ppolicy, mta_domain_t *d,
                     apr_pool_t *ptemp)
{
    const char *name = d->s->sts ? dns_ascii(d->name, ptemp) : NULL;
    int fresh;

    *ppolicy = NULL;
    if (!name)
        return 1;
    *ppolicy = sts_known(d->s->sts, name, &fresh);
    if (fresh)
        return 1;
    d->resolving = 1;
    sts_lookup(d->s->sts, name, on_sts, d);
    return 0;
}

static void on_found(mta_domain_t *d, const dns_answer_t *answer)
{
    const sts_policy_t *policy;
    apr_pool_t *ptemp;
    sender_entry_t *e;
    mta_mx_t mx;

    apr_pool_create(&ptemp, d->s->pool);
    if (!policy_of(&policy, d, ptemp)) {
        apr_pool_destroy(ptemp);
        return;
    }
    mta_mx_choose(&mx, d->s, d->name, answer, policy, ptemp);
    if (mx.n > 0) {
        join_site(d, site_of(d, &mx, answer->until, ptemp));
        d->until = answer->until;
        d->failures = 0;
        while ((e = next_waiting(d)) != NULL)
            mta_site_add(d->site, e);
    }
    else {
        leave_site(d);
        domain_fail(d, mx.reply, mx.permanent);
    }
    apr_pool_destroy(ptemp);
}

static void on_mx(const dns_answer_t *answer, void *baton)
{
    mta_domain_t *d = baton;
    sender_entry_t *e;

    d->resolving = 0;
    d->used_at = mg_ticks();
    if (answer->status == DNS_FOUND)
        on_found(d, answer);
    else if (answer->status == DNS_LATER && d->site) {
        d->until = mg_ticks() + STALE_ROUTE;
        while ((e = next_waiting(d)) != NULL)
            mta_site_add(d->site, e);
    }
    else {
        leave_site(d);
        domain_fail(d, answer->reply, answer->status != DNS_LATER);
    }
    loop_again(d->s->loop);
}

/* By MX: to the site at once if that is known, else it waits here. */
static void domain_add(mta_domain_t *d, sender_entry_t *e)
{
    mta_site_t *fixed = mta_site_for(d->s, &e->row, d->way);
    apr_time_t until = sender_warmup_closed(d->s, e->row.domain_id);

    if (!until)
        until = mta_way_closed(d->s, d->way);
    d->used_at = mg_ticks();
    if (until) {
        mta_site_hold_off(d->s, e, until, NULL);
        return;
    }
    if (fixed) {
        if (d->site != fixed)
            join_site(d, fixed);
        mta_site_add(fixed, e);
        return;
    }
    if (sender_is_asked_for(e))
        d->closed_until = 0;
    if (d->closed_until > mg_now()) {
        mta_site_hold_off(d->s, e, d->closed_until, NULL);
        return;
    }
    if (d->site && d->until > mg_ticks()) {
        mta_site_add(d->site, e);
        return;
    }
    if (d->nwaiting >= mta_site_share(d->s, 0)) {
        mta_site_hold_off(d->s, e, mg_now() + RESOLVING, NULL);
        return;
    }
    APR_RING_INSERT_TAIL(&d->waiting, e, sender_entry_t, link);
    d->nwaiting++;
    d->s->waiting++;
    if (d->resolving)
        return;
    d->resolving = 1;
    dns_mx(d->s->dns, d->name, on_mx, d);
}

void mta_route_add(sender_t *s, sender_entry_t *e)
{
    char way[MTA_WAY_MAX];

    if (s->worker->stopping)
        sender_released(s, e, mg_now());
    else if (mta_way_of(way, sizeof(way), s, e) != APR_SUCCESS)
        sender_released(s, e, mg_now() + MTA_SPREAD);
    else if (e->row.transport == MG_TRANSPORT_LMTP)
        mta_site_add(mta_site_for(s, &e->row, way), e);
    else
        domain_add(domain_for(s, e->row.dest, way), e);
}

/* --- upkeep --- */

void mta_route_tidy(sender_t *s)
{
    int many = apr_hash_count(s->mx_domains) > DOMAINS_MANY;
    apr_time_t now = mg_ticks(), wall = mg_now();
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->mx_domains); hi;
         hi = apr_hash_next(hi)) {
        mta_domain_t *d;

        apr_hash_this(hi, NULL, NULL, (void **)&d);
        if (!d->resolving && d->closed_until <= wall
            && (many || !d->site || !mta_site_closed_until(d->site))
            && APR_RING_EMPTY(&d->waiting, sender_entry_t, link)
            && (many || now - d->used_at > (d->failures > 0 ? FORGET_FAILED
                                                            : FORGET_AFTER)))
            domain_forget(d);
    }
}

void mta_route_stop(sender_t *s)
{
    apr_time_t now = mg_now();
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->mx_domains); hi;
         hi = apr_hash_next(hi)) {
        sender_entry_t *e;
        mta_domain_t *d;

        apr_hash_this(hi, NULL, NULL, (void **)&d);
        while ((e = next_waiting(d)) != NULL)
            sender_released(s, e, now);
    }
}

void mta_route_forget(sender_t *s)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->mx_domains); hi;
         hi = apr_hash_next(hi)) {
        mta_domain_t *d;

        apr_hash_this(hi, NULL, NULL, (void **)&d);
        domain_forget(d);
    }
}

void mta_route_drop_lost(sender_t *s)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->mx_domains); hi;
         hi = apr_hash_next(hi)) {
        sender_entry_t *e, *next;
        mta_domain_t *d;

        apr_hash_this(hi, NULL, NULL, (void **)&d);
        for (e = APR_RING_FIRST(&d->waiting);
             e != APR_RING_SENTINEL(&d->waiting, sender_entry_t, link);
             e = next) {
            next = APR_RING_NEXT(e, link);
            if (!e->lost)
                continue;
            APR_RING_REMOVE(e, link);
            d->nwaiting--;
            s->waiting--;
            sender_let_go(s, e);
        }
    }
}
