/* dns.c - look-ups by c-ares, cached, on the worker's loop.
 *
 * A look-up is found by its key ("mx example.com", "host mx.example.com") and
 * lives in its own pool: those who ask while it runs wait at it, those who ask
 * later get its answer until that is stale. An MX look-up asks for its hosts'
 * addresses by host look-ups, so that domains behind one provider share them.
 */
#include <ares.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <idn2.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "dns_private.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define TTL_MIN 30            /* seconds an answer is kept at least */
#define TTL_MAX 3600          /* and at most */
#define TTL_NONE 300          /* "no such domain" */
#define TTL_LATER 5           /* a failure: spare the resolver */
#define HOSTS_MAX 16          /* MX records that are followed */
#define ADDRESSES_MAX 8       /* of one family and host */
#define CACHE_MAX 5000        /* look-ups, of 8 KB each */
#define NAME_MAX_ 253         /* RFC 1035 2.3.4 */

typedef struct waiter_t waiter_t;
struct waiter_t {
    dns_fn *fn;
    void *baton;
    waiter_t *next;
};

typedef struct lookup_t lookup_t;
struct lookup_t {
    dns_t *dns;
    apr_pool_t *pool;
    const char *key, *name;    /* name: within key */
    int pending;               /* queries and host look-ups still out */
    int done;
    int failed;                /* one of them failed: not the whole truth */
    int ttl;
    const char *why;           /* of the failure */
    const apr_array_header_t *records;  /* MX: what is being followed */
    apr_array_header_t *hosts; /* of dns_host_t */
    dns_answer_t answer;
    waiter_t *waiters;
};

/* --- the life of a look-up --- */

static apr_uint32_t draw(dns_t *dns)
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

static void make_room(dns_t *dns, int all)
{
    apr_hash_index_t *hi;
    apr_time_t now = mg_ticks();

    for (hi = apr_hash_first(NULL, dns->cache); hi; hi = apr_hash_next(hi)) {
        lookup_t *l;

        apr_hash_this(hi, NULL, NULL, (void **)&l);
        if (!l->done || l->pending > 0 || (!all && l->answer.until > now))
            continue;
        apr_hash_set(dns->cache, l->key, APR_HASH_KEY_STRING, NULL);
        apr_pool_destroy(l->pool);
    }
}

static lookup_t *lookup_make(dns_t *dns, const char *key)
{
    apr_pool_t *p;
    lookup_t *l;

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
    apr_hash_set(dns->cache, l->key, APR_HASH_KEY_STRING, l);
    return l;
}

static void lookup_wait(lookup_t *l, dns_fn *fn, void *baton)
{
    waiter_t *w = apr_palloc(l->pool, sizeof(*w));

    w->fn = fn;
    w->baton = baton;
    w->next = l->waiters;
    l->waiters = w;
}

/* Everybody who waits hears it. pending keeps the look-up from being thrown
 * out of the cache by what they do. */
static void lookup_tell(lookup_t *l)
{
    waiter_t *w = l->waiters;

    l->waiters = NULL;
    l->pending++;
    for (; w; w = w->next)
        w->fn(&l->answer, w->baton);
    l->pending--;
}

static void lookup_finish(lookup_t *l, dns_status_t status, const char *reply)
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
    l->answer.hosts = (const dns_host_t *)l->hosts->elts;
    l->answer.nhosts = l->hosts->nelts;
    l->answer.until = mg_ticks() + apr_time_from_sec(ttl);
    l->done = 1;
    if (mg_log_get_level() >= MG_LOG_DEBUG)
        mg_log(MG_LOG_DEBUG, APR_SUCCESS, "dns: %s: %d addresses, for %d s%s%s",
               l->key, l->answer.nhosts, ttl, reply ? ": " : "",
               reply ? reply : "");
    lookup_tell(l);
}

/* A NXDOMAIN or an answer without such records, rather than no answer; or a
 * name that no resolver will ever know. */
static int is_answer(int status)
{
    return status == ARES_ENOTFOUND || status == ARES_ENODATA
           || status == ARES_EBADNAME;
}

/* --- hosts: A and AAAA --- */

static void add_address(lookup_t *l, int family, const void *addr)
{
    dns_host_t *host = apr_array_push(l->hosts);

    memset(host, 0, sizeof(*host));
    host->name = l->name;
    host->addr.ss_family = (sa_family_t)family;
    if (family == AF_INET) {
        memcpy(&((struct sockaddr_in *)&host->addr)->sin_addr, addr, 4);
        host->addr_len = (int)sizeof(struct sockaddr_in);
    }
    else {
        memcpy(&((struct sockaddr_in6 *)&host->addr)->sin6_addr, addr, 16);
        host->addr_len = (int)sizeof(struct sockaddr_in6);
    }
}

static void host_part_done(lookup_t *l)
{
    if (--l->pending > 0)
        return;
    if (l->hosts->nelts > 0)
        lookup_finish(l, DNS_FOUND, NULL);
    else if (l->failed)
        lookup_finish(l, DNS_LATER,
                      apr_psprintf(l->pool, "498 4.4.3 the address of %s could"
                                   " not be looked up: %s", l->name, l->why));
    else
        lookup_finish(l, DNS_NONE,
                      apr_psprintf(l->pool, "498 No MX for %s: there is no "
                                   "address", l->name));
}

static void note_failure(lookup_t *l, int status)
{
    if (is_answer(status))
        return;
    l->failed = 1;
    l->why = ares_strerror(status);
}

static void on_a(void *baton, int status, int timeouts, unsigned char *abuf,
                 int alen)
{
    lookup_t *l = baton;
    struct ares_addrttl found[ADDRESSES_MAX];
    int i, n = ADDRESSES_MAX;

    (void)timeouts;
    if (l->dns->closing)
        return;
    if (status == ARES_SUCCESS)
        status = ares_parse_a_reply(abuf, alen, NULL, found, &n);
    if (status == ARES_SUCCESS)
        for (i = 0; i < n; i++) {
            add_address(l, AF_INET, &found[i].ipaddr);
            if (found[i].ttl < l->ttl)
                l->ttl = found[i].ttl;
        }
    else
        note_failure(l, status);
    host_part_done(l);
}

static void on_aaaa(void *baton, int status, int timeouts,
                    unsigned char *abuf, int alen)
{
    lookup_t *l = baton;
    struct ares_addr6ttl found[ADDRESSES_MAX];
    int i, n = ADDRESSES_MAX;

    (void)timeouts;
    if (l->dns->closing)
        return;
    if (status == ARES_SUCCESS)
        status = ares_parse_aaaa_reply(abuf, alen, NULL, found, &n);
    if (status == ARES_SUCCESS)
        for (i = 0; i < n; i++) {
            add_address(l, AF_INET6, &found[i].ip6addr);
            if (found[i].ttl < l->ttl)
                l->ttl = found[i].ttl;
        }
    else
        note_failure(l, status);
    host_part_done(l);
}

static int from_hosts_file(lookup_t *l)
{
    static const int families[] = { AF_INET, AF_INET6 };
    struct hostent *ent;
    int i, n;

    for (i = 0; i < 2; i++) {
        if (ares_gethostbyname_file(l->dns->channel, l->name, families[i],
                                    &ent) != ARES_SUCCESS)
            continue;
        for (n = 0; n < ADDRESSES_MAX && ent->h_addr_list[n]; n++)
            add_address(l, families[i], ent->h_addr_list[n]);
        ares_free_hostent(ent);
    }
    l->ttl = TTL_MIN;
    return l->hosts->nelts > 0;
}

static int from_literal(lookup_t *l)
{
    unsigned char addr[16];
    char text[64];
    const char *name = l->name;
    apr_size_t len = strlen(name);

    if (len > 2 && len < sizeof(text) && name[0] == '['
        && name[len - 1] == ']') {
        memcpy(text, name + 1, len - 2);
        text[len - 2] = '\0';
        name = text;
    }
    if (inet_pton(AF_INET, name, addr) == 1)
        add_address(l, AF_INET, addr);
    else if (inet_pton(AF_INET6, name, addr) == 1)
        add_address(l, AF_INET6, addr);
    else
        return 0;
    return 1;
}

static void host_start(lookup_t *l, int local)
{
    dns_t *dns = l->dns;

    if (local && (from_literal(l) || from_hosts_file(l))) {
        lookup_finish(l, DNS_FOUND, NULL);
        return;
    }
    l->pending = 3; /* our own share: the answers may come at once */
    ares_query(dns->channel, l->name, 1 /* IN */, 1 /* A */, on_a, l);
    ares_query(dns->channel, l->name, 1, 28 /* AAAA */, on_aaaa, l);
    dns_set_timer(dns);
    host_part_done(l);
}

/* local: an administrator's name, to which addresses and /etc/hosts apply;
 * what DNS names as an MX is looked up in DNS. */
static lookup_t *host_lookup(dns_t *dns, const char *host, int local)
{
    char key[NAME_MAX_ + 16];
    lookup_t *l;
    apr_size_t len = strlen(host);

    if (len > NAME_MAX_)
        return NULL;
    apr_snprintf(key, sizeof(key), "%s %s", local ? "local" : "host", host);
    l = apr_hash_get(dns->cache, key, APR_HASH_KEY_STRING);
    if (l && l->done && l->pending == 0 && l->answer.until <= mg_ticks()) {
        apr_hash_set(dns->cache, l->key, APR_HASH_KEY_STRING, NULL);
        apr_pool_destroy(l->pool);
        l = NULL;
    }
    if (!l) {
        l = lookup_make(dns, key);
        host_start(l, local);
    }
    return l;
}

/* --- MX --- */

static void mx_part_done(lookup_t *l)
{
    if (--l->pending > 0)
        return;
    if (l->hosts->nelts > 0)
        lookup_finish(l, DNS_FOUND, NULL);
    else if (l->failed)
        lookup_finish(l, DNS_LATER,
                      apr_psprintf(l->pool, "498 4.4.3 the MX of %s could not "
                                   "be looked up: %s", l->name, l->why));
    else
        lookup_finish(l, DNS_NONE,
                      apr_psprintf(l->pool, "498 No MX for %s", l->name));
}

typedef struct {
    lookup_t *lookup;
    int preference;
    apr_uint32_t shuffle;
} mx_part_t;

static void on_mx_host(const dns_answer_t *answer, void *baton)
{
    mx_part_t *part = baton;
    lookup_t *l = part->lookup;
    int i, ttl;

    if (answer->status == DNS_LATER) {
        l->failed = 1;
        l->why = apr_pstrdup(l->pool, answer->reply + sizeof("498 4.4.3"));
    }
    for (i = 0; i < answer->nhosts; i++) {
        dns_host_t *host = apr_array_push(l->hosts);

        *host = answer->hosts[i];
        host->name = apr_pstrdup(l->pool, host->name);
        host->preference = part->preference;
        host->shuffle = part->shuffle;
    }
    if (answer->nhosts > 0) {
        ttl = (int)apr_time_sec(answer->until - mg_ticks());
        if (ttl < l->ttl)
            l->ttl = ttl;
    }
    mx_part_done(l);
}

static void follow_host(lookup_t *l, const char *name, int preference)
{
    mx_part_t *part = apr_palloc(l->pool, sizeof(*part));
    lookup_t *host = host_lookup(l->dns, name, 0);

    if (!host)
        return;
    part->lookup = l;
    part->preference = preference;
    part->shuffle = draw(l->dns);
    l->pending++;
    if (host->done)
        on_mx_host(&host->answer, part);
    else
        lookup_wait(host, on_mx_host, part);
}

static int compare_records(const void *va, const void *vb)
{
    const dns_mx_record_t *a = va, *b = vb;

    return a->preference < b->preference ? -1 : a->preference > b->preference;
}

static void follow_records(lookup_t *l, apr_array_header_t *records)
{
    int i;

    qsort(records->elts, (size_t)records->nelts, sizeof(dns_mx_record_t),
          compare_records);
    for (i = 0; i < records->nelts && i < HOSTS_MAX; i++) {
        const dns_mx_record_t *mx = &APR_ARRAY_IDX(records, i,
                                                   dns_mx_record_t);

        if (mx->exchange[0])
            follow_host(l, mg_text_lower(mx->exchange, l->pool),
                        mx->preference);
    }
}

static void on_mx(void *baton, int status, int timeouts, unsigned char *abuf,
                  int alen)
{
    lookup_t *l = baton;
    apr_array_header_t *records = NULL;
    apr_status_t rv = APR_ENOENT;

    (void)timeouts;
    if (l->dns->closing)
        return;
    if (status == ARES_SUCCESS)
        rv = dns_parse_mx(&records, &l->ttl, abuf, alen, l->pool);
    if (status == ARES_SUCCESS && rv == MG_EBADINPUT)
        status = ARES_EBADRESP;

    if (rv == APR_SUCCESS && records->nelts == 1
        && !APR_ARRAY_IDX(records, 0, dns_mx_record_t).exchange[0]) {
        l->pending--;
        lookup_finish(l, DNS_NULL_MX,
                      apr_psprintf(l->pool, "556 5.1.10 %s does not accept "
                                   "mail (null MX)", l->name));
        return;
    }
    if (rv == APR_SUCCESS)
        follow_records(l, records);
    else if (status == ARES_SUCCESS || status == ARES_ENODATA)
        follow_host(l, l->name, 0); /* the implicit MX */
    else
        note_failure(l, status);
    mx_part_done(l);
}

/* --- what is called --- */

char *dns_ascii(const char *domain, apr_pool_t *p)
{
    char *out = NULL, *copy;

    if (idn2_to_ascii_8z(domain, &out, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL)
        != IDN2_OK)
        return NULL;
    copy = mg_text_lower(out, p);
    idn2_free(out);
    return copy[0] && strlen(copy) <= NAME_MAX_ ? copy : NULL;
}

static void answer_no_name(const char *name, dns_fn *fn, void *baton)
{
    char reply[NAME_MAX_ + 80];
    dns_answer_t answer = { DNS_NONE, reply, NULL, 0, 0 };

    apr_snprintf(reply, sizeof(reply), "498 No MX for %.200s: this is no "
                 "domain name", name);
    fn(&answer, baton);
}

void dns_mx(dns_t *dns, const char *domain, dns_fn *fn, void *baton)
{
    apr_pool_t *ptemp;
    char key[NAME_MAX_ + 16];
    const char *name = domain;
    lookup_t *l;

    apr_pool_create(&ptemp, dns->pool);
    name = dns_ascii(domain, ptemp);
    if (!name || name[0] == '[') {
        answer_no_name(domain, fn, baton);
        apr_pool_destroy(ptemp);
        return;
    }
    apr_snprintf(key, sizeof(key), "mx %s", name);
    apr_pool_destroy(ptemp);

    l = apr_hash_get(dns->cache, key, APR_HASH_KEY_STRING);
    if (l && l->done && l->pending == 0 && l->answer.until <= mg_ticks()) {
        apr_hash_set(dns->cache, l->key, APR_HASH_KEY_STRING, NULL);
        apr_pool_destroy(l->pool);
        l = NULL;
    }
    if (l && l->done) {
        fn(&l->answer, baton);
        return;
    }
    if (l) {
        lookup_wait(l, fn, baton);
        return;
    }
    l = lookup_make(dns, key);
    lookup_wait(l, fn, baton);
    l->pending = 1;
    ares_query(dns->channel, l->name, 1 /* IN */, 15 /* MX */, on_mx, l);
    dns_set_timer(dns);
}

void dns_host(dns_t *dns, const char *host, dns_fn *fn, void *baton)
{
    lookup_t *l = host_lookup(dns, host, 1);

    if (!l)
        answer_no_name(host, fn, baton);
    else if (l->done)
        fn(&l->answer, baton);
    else
        lookup_wait(l, fn, baton);
}

void dns_flush(dns_t *dns)
{
    make_room(dns, 1);
}
