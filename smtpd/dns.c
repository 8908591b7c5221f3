/* dns.c - look-ups of MX and hosts by c-ares, on the worker's loop.
 *
 * An MX look-up asks for its hosts' addresses by host look-ups, so that domains
 * behind one provider share them. What is found is marked as secure where MX
 * and addresses were validated (dns_query.c).
 */
#include <ares.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <idn2.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "dns_private.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define TTL_LOCAL 30          /* seconds, of /etc/hosts */
#define HOSTS_MAX 16          /* MX records that are followed */
#define ADDRESSES_MAX 8       /* of one family and host */

/* --- hosts: A and AAAA --- */

static void add_address(dns_lookup_t *l, int family, const void *addr)
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

static void host_part_done(dns_lookup_t *l)
{
    if (--l->pending > 0)
        return;
    if (l->hosts->nelts > 0)
        dns_lookup_finish(l, DNS_FOUND, NULL);
    else if (l->failed)
        dns_lookup_finish(l, DNS_LATER,
                      apr_psprintf(l->pool, "498 4.4.3 the address of %s could"
                                   " not be looked up: %s", l->name, l->why));
    else
        dns_lookup_finish(l, DNS_NONE,
                      apr_psprintf(l->pool, "498 No MX for %s: there is no "
                                   "address", l->name));
}

static void on_a(dns_lookup_t *l, int status, int secure,
                 const unsigned char *message, int len)
{
    struct ares_addrttl found[ADDRESSES_MAX];
    int i, n = ADDRESSES_MAX;

    (void)secure;
    if (status == ARES_SUCCESS)
        status = ares_parse_a_reply(message, len, NULL, found, &n);
    if (status == ARES_SUCCESS)
        for (i = 0; i < n; i++) {
            add_address(l, AF_INET, &found[i].ipaddr);
            if (found[i].ttl < l->ttl)
                l->ttl = found[i].ttl;
        }
    else
        dns_note_failure(l, status);
    host_part_done(l);
}

static void on_aaaa(dns_lookup_t *l, int status, int secure,
                    const unsigned char *message, int len)
{
    struct ares_addr6ttl found[ADDRESSES_MAX];
    int i, n = ADDRESSES_MAX;

    (void)secure;
    if (status == ARES_SUCCESS)
        status = ares_parse_aaaa_reply(message, len, NULL, found, &n);
    if (status == ARES_SUCCESS)
        for (i = 0; i < n; i++) {
            add_address(l, AF_INET6, &found[i].ip6addr);
            if (found[i].ttl < l->ttl)
                l->ttl = found[i].ttl;
        }
    else
        dns_note_failure(l, status);
    host_part_done(l);
}

static int from_hosts_file(dns_lookup_t *l)
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
    l->ttl = TTL_LOCAL;
    return l->hosts->nelts > 0;
}

static int from_literal(dns_lookup_t *l)
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

static void host_start(dns_lookup_t *l, int local)
{
    if (local && (from_literal(l) || from_hosts_file(l))) {
        l->secure = 0;
        dns_lookup_finish(l, DNS_FOUND, NULL);
        return;
    }
    l->pending = 3; /* our own share: the answers may come at once */
    dns_query(l, l->name, DNS_A, on_a);
    dns_query(l, l->name, DNS_AAAA, on_aaaa);
    host_part_done(l);
}

/* local: an administrator's name, to which addresses and /etc/hosts apply;
 * what DNS names as an MX is looked up in DNS. */
static dns_lookup_t *host_lookup(dns_t *dns, const char *host, int local)
{
    char key[DNS_NAME_MAX + 16];
    dns_lookup_t *l;
    apr_size_t len = strlen(host);

    if (len > DNS_NAME_MAX)
        return NULL;
    apr_snprintf(key, sizeof(key), "%s %s", local ? "local" : "host", host);
    l = dns_lookup_find(dns, key);
    if (!l) {
        l = dns_lookup_make(dns, key);
        host_start(l, local);
    }
    return l;
}

/* --- MX --- */

static void mx_part_done(dns_lookup_t *l)
{
    if (--l->pending > 0)
        return;
    if (l->hosts->nelts > 0)
        dns_lookup_finish(l, DNS_FOUND, NULL);
    else if (l->failed)
        dns_lookup_finish(l, DNS_LATER,
                      apr_psprintf(l->pool, "498 4.4.3 the MX of %s could not "
                                   "be looked up: %s", l->name, l->why));
    else
        dns_lookup_finish(l, DNS_NONE,
                      apr_psprintf(l->pool, "498 No MX for %s", l->name));
}

typedef struct {
    dns_lookup_t *lookup;
    int preference, secure;
    apr_uint32_t shuffle;
} mx_part_t;

static void on_mx_host(const dns_answer_t *answer, void *baton)
{
    mx_part_t *part = baton;
    dns_lookup_t *l = part->lookup;
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
        host->secure = part->secure && answer->secure;
    }
    if (answer->nhosts > 0) {
        ttl = (int)apr_time_sec(answer->until - mg_ticks());
        if (ttl < l->ttl)
            l->ttl = ttl;
    }
    mx_part_done(l);
}

static void follow_host(dns_lookup_t *l, const char *name, int preference)
{
    mx_part_t *part = apr_palloc(l->pool, sizeof(*part));
    dns_lookup_t *host = host_lookup(l->dns, name, 0);

    if (!host)
        return;
    part->lookup = l;
    part->secure = l->secure;
    part->preference = preference;
    part->shuffle = dns_draw(l->dns);
    l->pending++;
    dns_lookup_wait(host, on_mx_host, part);
}

static int compare_records(const void *va, const void *vb)
{
    const dns_mx_record_t *a = va, *b = vb;

    return a->preference < b->preference ? -1 : a->preference > b->preference;
}

static void follow_records(dns_lookup_t *l, apr_array_header_t *records)
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

static void on_mx(dns_lookup_t *l, int status, int secure,
                  const unsigned char *message, int len)
{
    apr_array_header_t *records = NULL;
    apr_status_t rv = APR_ENOENT;

    (void)secure;
    if (status == ARES_SUCCESS)
        rv = dns_parse_mx(&records, &l->ttl, message, len, l->pool);
    if (status == ARES_SUCCESS && rv == MG_EBADINPUT)
        status = ARES_EBADRESP;

    if (rv == APR_SUCCESS && records->nelts == 1
        && !APR_ARRAY_IDX(records, 0, dns_mx_record_t).exchange[0]) {
        l->pending--;
        dns_lookup_finish(l, DNS_NULL_MX,
                      apr_psprintf(l->pool, "556 5.1.10 %s does not accept "
                                   "mail (null MX)", l->name));
        return;
    }
    if (rv == APR_SUCCESS)
        follow_records(l, records);
    else if (status == ARES_SUCCESS || status == ARES_ENODATA)
        follow_host(l, l->name, 0); /* the implicit MX */
    else
        dns_note_failure(l, status);
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
    return copy[0] && strlen(copy) <= DNS_NAME_MAX ? copy : NULL;
}

static void answer_no_name(const char *name, dns_fn *fn, void *baton)
{
    char reply[DNS_NAME_MAX + 80];
    dns_answer_t answer;

    memset(&answer, 0, sizeof(answer));
    answer.status = DNS_NONE;
    answer.reply = reply;
    apr_snprintf(reply, sizeof(reply), "498 No MX for %.200s: this is no "
                 "domain name", name);
    fn(&answer, baton);
}

void dns_mx(dns_t *dns, const char *domain, dns_fn *fn, void *baton)
{
    apr_pool_t *ptemp;
    char key[DNS_NAME_MAX + 16];
    const char *name = domain;
    dns_lookup_t *l;

    apr_pool_create(&ptemp, dns->pool);
    name = dns_ascii(domain, ptemp);
    if (!name || name[0] == '[') {
        answer_no_name(domain, fn, baton);
        apr_pool_destroy(ptemp);
        return;
    }
    apr_snprintf(key, sizeof(key), "mx %s", name);
    apr_pool_destroy(ptemp);

    l = dns_lookup_find(dns, key);
    if (!l) {
        l = dns_lookup_make(dns, key);
        l->pending = 1;
        dns_query(l, l->name, DNS_MX, on_mx);
    }
    dns_lookup_wait(l, fn, baton);
}

void dns_host(dns_t *dns, const char *host, dns_fn *fn, void *baton)
{
    dns_lookup_t *l = host_lookup(dns, host, 1);

    if (!l)
        answer_no_name(host, fn, baton);
    else
        dns_lookup_wait(l, fn, baton);
}
