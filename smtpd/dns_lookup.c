/* dns_lookup.c - the life of a look-up, and the cache of them.
 *
 * A look-up is found by its key ("mx example.com", "host mx.example.com") and
 * lives in its own pool: those who ask while it runs wait at it, those who ask
 * later get its answer until that is stale.
 */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "dns_private.h"
#include "mg_log.h"
#include "mg_time.h"

#define TTL_MIN 30            /* seconds an answer is kept at least */
#define TTL_MAX 3600          /* and at most */
#define TTL_NONE 300          /* "no such domain" */
#define TTL_LATER 5           /* a failure: spare the resolver */
#define CACHE_MAX 5000        /* look-ups, of 8 KB each */

struct dns_waiter_t {
    dns_fn *fn;
    void *baton;
    dns_waiter_t *next;
};

apr_uint32_t dns_draw(dns_t *dns)
{
    /* xorshift64*: only to spread load among equal hosts */
    dns->random ^= dns->random >> 12;
    dns->random ^= dns->random << 25;
    dns->random ^= dns->random >> 27;
    return (apr_uint32_t)(dns->random * APR_UINT64_C(2685821657736338717)
                          >> 32);
}

static int compare_hosts(const void *va, const void *vb)
{
    const dns_host_t *a = va, *b = vb;

    if (a->preference != b->preference)
        return a->preference < b->preference ? -1 : 1;
    if (a->shuffle != b->shuffle)
        return a->shuffle < b->shuffle ? -1 : 1;
    if (a->addr.ss_family != b->addr.ss_family)
        return a->addr.ss_family == AF_INET ? -1 : 1;
    return 0;
}

static void forget(dns_t *dns, dns_lookup_t *l)
{
    apr_hash_set(dns->cache, l->key, APR_HASH_KEY_STRING, NULL);
    apr_pool_destroy(l->pool);
}

static void make_room(dns_t *dns, int all)
{
    apr_hash_index_t *hi;
    apr_time_t now = mg_ticks();

    for (hi = apr_hash_first(NULL, dns->cache); hi; hi = apr_hash_next(hi)) {
        dns_lookup_t *l;

        apr_hash_this(hi, NULL, NULL, (void **)&l);
        if (l->done && l->pending == 0 && (all || l->answer.until <= now))
            forget(dns, l);
    }
}

dns_lookup_t *dns_lookup_find(dns_t *dns, const char *key)
{
    dns_lookup_t *l = apr_hash_get(dns->cache, key, APR_HASH_KEY_STRING);

    if (l && l->done && l->pending == 0 && l->answer.until <= mg_ticks()) {
        forget(dns, l);
        l = NULL;
    }
    return l;
}

dns_lookup_t *dns_lookup_make(dns_t *dns, const char *key)
{
    apr_pool_t *p;
    dns_lookup_t *l;

    if (apr_hash_count(dns->cache) >= CACHE_MAX) {
        make_room(dns, 0);
        if (apr_hash_count(dns->cache) >= CACHE_MAX)
            make_room(dns, 1);
    }
    apr_pool_create(&p, dns->pool);
    l = apr_pcalloc(p, sizeof(*l));
    l->dns = dns;
    l->pool = p;
    l->key = apr_pstrdup(p, key);
    l->name = strchr(l->key, ' ') + 1;
    l->hosts = apr_array_make(p, 4, sizeof(dns_host_t));
    l->ttl = TTL_MAX;
    l->secure = 1;
    apr_hash_set(dns->cache, l->key, APR_HASH_KEY_STRING, l);
    return l;
}

void dns_lookup_wait(dns_lookup_t *l, dns_fn *fn, void *baton)
{
    dns_waiter_t *w;

    if (l->done) {
        l->pending++;
        fn(&l->answer, baton);
        l->pending--;
        return;
    }
    w = apr_palloc(l->pool, sizeof(*w));
    w->fn = fn;
    w->baton = baton;
    w->next = l->waiters;
    l->waiters = w;
}

/* Everybody who waits hears it. pending keeps the look-up from being thrown
 * out of the cache by what they do. */
static void tell(dns_lookup_t *l)
{
    dns_waiter_t *w = l->waiters;

    l->waiters = NULL;
    l->pending++;
    for (; w; w = w->next)
        w->fn(&l->answer, w->baton);
    l->pending--;
}

void dns_lookup_finish(dns_lookup_t *l, dns_status_t status,
                       const char *reply)
{
    int ttl = l->ttl;

    if (l->done)
        return;
    if (status == DNS_FOUND || status == DNS_NULL_MX)
        ttl = ttl < TTL_MIN ? TTL_MIN : ttl > TTL_MAX ? TTL_MAX : ttl;
    else
        ttl = status == DNS_NONE ? TTL_NONE : TTL_LATER;
    if (l->hosts->nelts > 1)
        qsort(l->hosts->elts, (size_t)l->hosts->nelts, sizeof(dns_host_t),
              compare_hosts);
    l->answer.status = status;
    l->answer.reply = reply;
    l->answer.secure = l->secure && status != DNS_LATER;
    l->answer.hosts = (const dns_host_t *)l->hosts->elts;
    l->answer.nhosts = l->hosts->nelts;
    if (l->records) {
        l->answer.records = (const dns_record_t *)l->records->elts;
        l->answer.nrecords = l->records->nelts;
    }
    l->answer.until = mg_ticks() + apr_time_from_sec(ttl);
    l->done = 1;
    if (mg_log_get_level() >= MG_LOG_DEBUG)
        mg_log(MG_LOG_DEBUG, APR_SUCCESS, "dns: %s: %d found%s, for %d s%s%s",
               l->key, l->answer.nhosts + l->answer.nrecords,
               l->answer.secure ? ", validated" : "", ttl,
               reply ? ": " : "", reply ? reply : "");
    tell(l);
}

void dns_flush(dns_t *dns)
{
    make_room(dns, 1);
}
