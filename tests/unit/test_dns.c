/* test_dns.c - where mail goes, asked of a resolver in a thread of ours. */
#include "unit_pool.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns.h"
#include "mg_status.h"
#include "mg_time.h"

static loop_t *loop;

/* --- the resolver: a zone, over UDP --- */

enum { RCODE_OK = 0, RCODE_SERVFAIL = 2, RCODE_NX = 3, SILENT = 99,
       TRUNCATED_JUNK = 98 };

static const struct {
    const char *name;
    int type;             /* 1 A, 15 MX, 28 AAAA, 16 TXT, 52 TLSA; 0: any */
    const char *data;     /* "10 mx1", "192.0.2.1", or RDATA in hex; several by
                             commas */
    int rcode;
} zone[] = {
    { "plain.test", 15, "20 mx2.plain.test,10 mx1.plain.test,20 "
                        "mx3.plain.test", 0 },
    { "mx1.plain.test", 1, "192.0.2.1", 0 },
    { "mx1.plain.test", 28, "2001:db8::1", 0 },
    { "mx2.plain.test", 1, "192.0.2.2,192.0.2.22", 0 },
    { "mx3.plain.test", 1, "192.0.2.3", 0 },
    { "implicit.test", 1, "192.0.2.9", 0 },
    { "null.test", 15, "0 .", 0 },
    { "nothing.test", 1, "", 0 },
    { "servfail.test", 0, "", RCODE_SERVFAIL },
    { "silent.test", 0, "", SILENT },
    { "junk.test", 15, "", TRUNCATED_JUNK },
    { "junk.test", 0, "", 0 },
    /* one MX without an address, one with */
    { "half.test", 15, "10 gone.half.test,20 mx.half.test", 0 },
    { "mx.half.test", 1, "192.0.2.5", 0 },
    /* an MX whose address cannot be looked up is no verdict */
    { "later.test", 15, "10 servfail.test", 0 },
    { "dangling.test", 15, "10 gone.test", 0 },
    { "xn--bcher-kva.test", 15, "10 mx1.plain.test", 0 },
    /* names with "signed" in them are answered with the AD bit, if asked */
    { "signed.test", 15, "10 mx.signed.test,20 mx3.plain.test", 0 },
    { "mx.signed.test", 1, "192.0.2.7", 0 },
    { "onlymx.test", 15, "10 mx.signed.test", 0 },
    { "implicit.signed.test", 1, "192.0.2.8", 0 },
    { "_25._tcp.mx.signed.test", 52, "030101a1b2c3,020002ff", 0 },
    { "_25._tcp.short.signed.test", 52, "0301", 0 },
    { "_25._tcp.mx3.plain.test", 52, "030101a1", 0 },
    { "_25._tcp.broken.signed.test", 0, "", RCODE_SERVFAIL },
    { "_mta-sts.plain.test", 16, "03763d3104aabbccdd,0161", 0 },
    { "_mta-sts.torn.test", 16, "0976", 0 },
};

static int udp, port, asked;
static pthread_t thread;

static unsigned char *put_name(unsigned char *o, const char *name)
{
    while (*name && strcmp(name, ".") != 0) {
        const char *dot = strchr(name, '.');
        size_t n = dot ? (size_t)(dot - name) : strlen(name);

        *o++ = (unsigned char)n;
        memcpy(o, name, n);
        o += n;
        name += n + (dot ? 1 : 0);
    }
    *o++ = 0;
    return o;
}

static unsigned char *put16(unsigned char *o, unsigned int v)
{
    *o++ = (unsigned char)(v >> 8);
    *o++ = (unsigned char)v;
    return o;
}

static unsigned char *put_record(unsigned char *o, int type, const char *data)
{
    unsigned char *len;
    char exchange[256];
    int preference;

    o = put16(o, 0xc00c); /* the question's name */
    o = put16(o, (unsigned int)type);
    o = put16(o, 1);
    o = put16(o, 0);
    o = put16(o, 600);    /* TTL */
    len = o;
    o += 2;
    if (type == 1) {
        inet_pton(AF_INET, data, o);
        o += 4;
    }
    else if (type == 28) {
        inet_pton(AF_INET6, data, o);
        o += 16;
    }
    else if (type == 16 || type == 52) {
        for (; data[0] && data[1]; data += 2) {
            unsigned int byte;

            sscanf(data, "%2x", &byte);
            *o++ = (unsigned char)byte;
        }
    }
    else {
        sscanf(data, "%d %255s", &preference, exchange);
        o = put16(o, (unsigned int)preference);
        o = put_name(o, exchange);
    }
    put16(len, (unsigned int)(o - len - 2));
    return o;
}

/* @return its length; 0: say nothing */
static size_t answer(unsigned char *msg, size_t len)
{
    char name[256] = "";
    unsigned char *at = msg + 12, *o;
    int type, rcode = RCODE_NX, n = 0, asked_ad = msg[3] & 0x20;
    size_t i;

    (void)len;
    while (*at) {
        apr_snprintf(name + strlen(name), sizeof(name) - strlen(name),
                     "%.*s%s", (int)*at, (char *)at + 1,
                     at[1 + *at] ? "." : "");
        at += 1 + *at;
    }
    type = at[1] << 8 | at[2];
    o = at + 5;
    msg[2] = 0x81;
    msg[3] = 0x80;
    memset(msg + 6, 0, 6);
    for (i = 0; i < COUNT(zone); i++) {
        char list[256], *part, *last = NULL;

        if (strcasecmp(zone[i].name, name) != 0)
            continue;
        if (zone[i].type && zone[i].type != type) {
            rcode = rcode == RCODE_NX ? RCODE_OK : rcode;
            continue;
        }
        rcode = zone[i].rcode;
        apr_cpystrn(list, zone[i].data, sizeof(list));
        for (part = strtok_r(list, ",", &last); part;
             part = strtok_r(NULL, ",", &last), n++)
            o = put_record(o, type, part);
        break;
    }
    if (rcode == SILENT)
        return 0;
    if (rcode == TRUNCATED_JUNK) {
        put16(msg + 6, 3); /* three answers, and none there */
        return (size_t)(o - msg);
    }
    msg[3] |= (unsigned char)rcode;
    if (asked_ad && strstr(name, "signed"))
        msg[3] |= 0x20;
    put16(msg + 6, (unsigned int)n);
    return (size_t)(o - msg);
}

static void *serve(void *unused)
{
    unsigned char msg[2048];
    struct sockaddr_storage from;

    (void)unused;
    for (;;) {
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(udp, msg, 512, 0, (struct sockaddr *)&from,
                             &from_len);
        size_t len;

        if (n < 12)
            return NULL;
        __atomic_add_fetch(&asked, 1, __ATOMIC_SEQ_CST);
        len = answer(msg, (size_t)n);
        if (len > 0)
            sendto(udp, msg, len, 0, (struct sockaddr *)&from, from_len);
    }
}

/* --- asking --- */

typedef struct {
    int got;
    dns_status_t status;
    char text[1000], reply[300];
} heard_t;

static void on_answer(const dns_answer_t *a, void *baton)
{
    heard_t *h = baton;
    int i;

    h->got++;
    h->status = a->status;
    h->text[0] = '\0';
    apr_cpystrn(h->reply, a->reply ? a->reply : "", sizeof(h->reply));
    for (i = 0; i < a->nhosts; i++) {
        const dns_host_t *host = &a->hosts[i];
        char ip[64];

        inet_ntop(host->addr.ss_family,
                  host->addr.ss_family == AF_INET
                      ? (const void *)&((const struct sockaddr_in *)
                                        &host->addr)->sin_addr
                      : (const void *)&((const struct sockaddr_in6 *)
                                        &host->addr)->sin6_addr,
                  ip, sizeof(ip));
        apr_snprintf(h->text + strlen(h->text),
                     sizeof(h->text) - strlen(h->text), "%d %s %s|",
                     host->preference, host->name, ip);
    }
}

static dns_t *dns;

static void wait_for(heard_t *h)
{
    int i;

    for (i = 0; i < 3000 && !h->got; i++)
        loop_turn(loop, 2000);
    assert_int_equal(h->got, 1);
}

static heard_t ask(const char *domain)
{
    heard_t h;

    memset(&h, 0, sizeof(h));
    dns_mx(dns, domain, on_answer, &h);
    wait_for(&h);
    return h;
}

static const struct {
    const char *domain;
    dns_status_t status;
    const char *text;    /* NULL: looked at elsewhere */
    const char *reply;   /* how it begins */
} domains[] = {
    { "plain.test", DNS_FOUND, NULL, "" },
    { "PLAIN.test", DNS_FOUND, NULL, "" },
    { "implicit.test", DNS_FOUND, "0 implicit.test 192.0.2.9|", "" },
    { "null.test", DNS_NULL_MX, "", "556 5.1.10 null.test" },
    { "nothing.test", DNS_NONE, "", "498 No MX for nothing.test" },
    { "nosuch.test", DNS_NONE, "", "498 No MX for nosuch.test" },
    { "dangling.test", DNS_NONE, "", "498 No MX for dangling.test" },
    { "servfail.test", DNS_LATER, "", "498 4.4.3 the MX of servfail.test" },
    { "later.test", DNS_LATER, "", "498 4.4.3 the MX of later.test" },
    { "silent.test", DNS_LATER, "", "498 4.4.3 the MX of silent.test" },
    { "junk.test", DNS_LATER, "", "498 4.4.3 the MX of junk.test" },
    { "half.test", DNS_FOUND, "20 mx.half.test 192.0.2.5|", "" },
    { "b\xc3\xbc" "cher.test", DNS_FOUND,
      "10 mx1.plain.test 192.0.2.1|10 mx1.plain.test 2001:db8::1|", "" },
    { "[127.0.0.1]", DNS_NONE, "", "498 No MX for [127.0.0.1]" },
    { "", DNS_NONE, "", "498 No MX for" },
    { "a..b", DNS_NONE, "", "498 No MX for a..b" },
};

static void test_domains(void **state)
{
    apr_size_t i;

    (void)state;
    for (i = 0; i < COUNT(domains); i++) {
        heard_t h = ask(domains[i].domain);

        if (h.status != domains[i].status)
            fail_msg("%s: status %d, %s", domains[i].domain, h.status,
                     h.reply);
        if (domains[i].text)
            assert_string_equal(h.text, domains[i].text);
        if (strncmp(h.reply, domains[i].reply, strlen(domains[i].reply)) != 0)
            fail_msg("%s: '%s'", domains[i].domain, h.reply);
    }
}

/* Whose AD bit is believed, and what it takes for a host to be secure. */
static const struct {
    const char *domain;
    dns_trust_t trust;
    const char *secure;  /* host=0 or 1, by preference */
} secured[] = {
    { "signed.test", DNS_TRUST_LOCAL, "mx.signed.test=1|mx3.plain.test=0|" },
    { "signed.test", DNS_TRUST_ALWAYS, "mx.signed.test=1|mx3.plain.test=0|" },
    { "signed.test", DNS_TRUST_NEVER, "mx.signed.test=0|mx3.plain.test=0|" },
    { "onlymx.test", DNS_TRUST_LOCAL, "mx.signed.test=0|" },
    { "implicit.signed.test", DNS_TRUST_LOCAL, "implicit.signed.test=1|" },
    { "implicit.test", DNS_TRUST_LOCAL, "implicit.test=0|" },
};

static void on_secure(const dns_answer_t *a, void *baton)
{
    heard_t *h = baton;
    int i;

    h->got++;
    for (i = 0; i < a->nhosts; i++)
        apr_snprintf(h->text + strlen(h->text),
                     sizeof(h->text) - strlen(h->text), "%s=%d|",
                     a->hosts[i].name, a->hosts[i].secure);
}

static dns_t *another(const char *resolver, dns_trust_t trust, apr_pool_t *p)
{
    apr_array_header_t *servers = apr_array_make(p, 2, sizeof(char *));
    dns_t *made;

    APR_ARRAY_PUSH(servers, char *) = apr_psprintf(p, "127.0.0.1:%d", port);
    if (resolver)
        APR_ARRAY_PUSH(servers, const char *) = resolver;
    assert_int_equal(dns_create(&made, loop, servers, trust, p), APR_SUCCESS);
    return made;
}

static void test_secure(void **state)
{
    apr_pool_t *p;
    apr_size_t i;
    heard_t h;

    (void)state;
    for (i = 0; i < COUNT(secured); i++) {
        apr_pool_create(&p, pool);
        memset(&h, 0, sizeof(h));
        dns_mx(another(NULL, secured[i].trust, p), secured[i].domain,
               on_secure, &h);
        wait_for(&h);
        assert_string_equal(h.text, secured[i].secure);
        apr_pool_destroy(p);
    }
    /* one that is elsewhere: the way to it is not ours */
    apr_pool_create(&p, pool);
    memset(&h, 0, sizeof(h));
    dns_mx(another("192.0.2.53", DNS_TRUST_LOCAL, p), "signed.test",
           on_secure, &h);
    wait_for(&h);
    assert_string_equal(h.text, "mx.signed.test=0|mx3.plain.test=0|");
    apr_pool_destroy(p);
}

static const struct {
    const char *host;
    dns_status_t status;
    int secure;
    const char *text;
} tlsas[] = {
    { "mx.signed.test", DNS_FOUND, 1, "3 1 1 a1b2c3|2 0 2 ff|" },
    { "short.signed.test", DNS_FOUND, 1, "damaged|" },
    { "mx3.plain.test", DNS_FOUND, 0, "3 1 1 a1|" },
    { "gone.signed.test", DNS_NONE, 1, "" },
    { "gone.test", DNS_NONE, 0, "" },
    { "broken.signed.test", DNS_LATER, 0, "" },
    { "", DNS_NONE, 0, "" },
};

typedef struct {
    int got, secure;
    dns_status_t status;
    char text[500];
} records_t;

static void on_records(const dns_answer_t *a, void *baton)
{
    records_t *r = baton;
    apr_size_t j, at;
    int i;

    r->got++;
    r->status = a->status;
    r->secure = a->secure;
    for (i = 0; i < a->nrecords; i++) {
        dns_tlsa_t t;

        at = strlen(r->text);
        if (!dns_tlsa_value(&t, &a->records[i])) {
            apr_cpystrn(r->text + at, "damaged|", sizeof(r->text) - at);
            continue;
        }
        apr_snprintf(r->text + at, sizeof(r->text) - at, "%d %d %d ", t.usage,
                     t.selector, t.matching);
        for (j = 0; j < t.len; j++)
            apr_snprintf(r->text + strlen(r->text), 3, "%02x", t.data[j]);
        apr_cpystrn(r->text + strlen(r->text), "|", 2);
    }
}

static void on_txt(const dns_answer_t *a, void *baton)
{
    records_t *r = baton;
    int i;

    r->got++;
    r->status = a->status;
    for (i = 0; i < a->nrecords; i++) {
        const char *value = dns_txt_value(&a->records[i], pool);

        apr_snprintf(r->text + strlen(r->text), 100, "%s|",
                     value ? value : "damaged");
    }
}

static void wait_records(records_t *r)
{
    int i;

    for (i = 0; i < 3000 && !r->got; i++)
        loop_turn(loop, 2000);
    assert_int_equal(r->got, 1);
}

static void test_records(void **state)
{
    records_t r;
    apr_size_t i;
    int before;

    (void)state;
    for (i = 0; i < COUNT(tlsas); i++) {
        memset(&r, 0, sizeof(r));
        dns_tlsa(dns, tlsas[i].host, 25, on_records, &r);
        wait_records(&r);
        if (r.status != tlsas[i].status || r.secure != tlsas[i].secure
            || strcmp(r.text, tlsas[i].text) != 0)
            fail_msg("%s: %d %d %s", tlsas[i].host, r.status, r.secure,
                     r.text);
    }
    memset(&r, 0, sizeof(r));
    dns_txt(dns, "_mta-sts.plain.test", on_txt, &r);
    wait_records(&r);
    assert_string_equal(r.text, "v=1\xaa\xbb\xcc\xdd|a|");
    before = asked;
    memset(&r, 0, sizeof(r));
    dns_txt(dns, "_mta-sts.plain.test", on_txt, &r); /* cached */
    assert_int_equal(r.got, 1);
    assert_int_equal(asked, before);
    memset(&r, 0, sizeof(r));
    dns_txt(dns, "_mta-sts.torn.test", on_txt, &r);
    wait_records(&r);
    assert_string_equal(r.text, "damaged|");
}

static void test_order(void **state)
{
    static const char first[] = "10 mx1.plain.test 192.0.2.1|"
                                "10 mx1.plain.test 2001:db8::1|";
    static const char two[] = "20 mx2.plain.test 192.0.2.2|"
                              "20 mx2.plain.test 192.0.2.22|";
    static const char three[] = "20 mx3.plain.test 192.0.2.3|";
    int i, two_first = 0, three_first = 0;

    (void)state;
    for (i = 0; i < 60; i++) {
        heard_t h;

        dns_flush(dns);
        h = ask("plain.test");
        assert_true(strncmp(h.text, first, strlen(first)) == 0);
        assert_non_null(strstr(h.text, two));
        assert_non_null(strstr(h.text, three));
        if (strstr(h.text, two) < strstr(h.text, three))
            two_first++;
        else
            three_first++;
    }
    assert_true(two_first > 5 && three_first > 5);
}

static void test_cache(void **state)
{
    heard_t a, b;
    int before;

    (void)state;
    dns_flush(dns);
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    dns_mx(dns, "implicit.test", on_answer, &a);
    dns_mx(dns, "implicit.test", on_answer, &b); /* waits at the same one */
    wait_for(&a);
    assert_int_equal(b.got, 1);
    before = asked;
    a = ask("implicit.test");
    a = ask("nosuch.test");
    before += 1;
    a = ask("nosuch.test");
    assert_int_equal(asked, before);
    /* the host of one domain serves another */
    a = ask("b\xc3\xbc" "cher.test");
    before = asked;
    dns_mx(dns, "xn--bcher-kva.test", on_answer, &b);
    assert_int_equal(asked, before);
}

/* A thousand at once: the sockets' buffers hold a few hundred packets. */
static void test_burst(void **state)
{
    static heard_t h[1000];
    int i, before = __atomic_load_n(&asked, __ATOMIC_SEQ_CST), sent;

    (void)state;
    for (i = 0; i < 1000; i++)
        dns_mx(dns, apr_psprintf(pool, "d%d.none.test", i), on_answer, &h[i]);
    usleep(20000);
    sent = __atomic_load_n(&asked, __ATOMIC_SEQ_CST) - before;
    assert_true(sent > 0 && sent <= 100);
    for (i = 0; i < 1000; i++) {
        wait_for(&h[i]);
        assert_int_equal(h[i].status, DNS_NONE);
    }
}

static void test_hosts(void **state)
{
    heard_t h;

    (void)state;
    memset(&h, 0, sizeof(h));
    dns_host(dns, "127.0.0.1", on_answer, &h);
    assert_string_equal(h.text, "0 127.0.0.1 127.0.0.1|");
    memset(&h, 0, sizeof(h));
    dns_host(dns, "::1", on_answer, &h);
    assert_string_equal(h.text, "0 ::1 ::1|");
    memset(&h, 0, sizeof(h));
    dns_host(dns, "mx3.plain.test", on_answer, &h);
    wait_for(&h);
    assert_string_equal(h.text, "0 mx3.plain.test 192.0.2.3|");
    memset(&h, 0, sizeof(h));
    dns_host(dns, "gone.test", on_answer, &h);
    wait_for(&h);
    assert_int_equal(h.status, DNS_NONE);
}

static void test_closing(void **state)
{
    apr_array_header_t *servers;
    apr_pool_t *p;
    heard_t h;
    dns_t *other;

    (void)state;
    memset(&h, 0, sizeof(h));
    apr_pool_create(&p, pool);
    servers = apr_array_make(p, 1, sizeof(char *));
    APR_ARRAY_PUSH(servers, char *) = apr_psprintf(p, "127.0.0.1:%d", port);
    assert_int_equal(dns_create(&other, loop, servers, DNS_TRUST_LOCAL, p),
                     APR_SUCCESS);
    dns_mx(other, "silent.test", on_answer, &h);
    apr_pool_destroy(p); /* with a question out: nobody is called */
    assert_int_equal(h.got, 0);

    apr_pool_create(&p, pool);
    servers = apr_array_make(p, 1, sizeof(char *));
    APR_ARRAY_PUSH(servers, char *) = "not an address";
    assert_int_equal(dns_create(&other, loop, servers, DNS_TRUST_LOCAL, p),
                     MG_ECONFIG);
    apr_pool_destroy(p);
}

/* Damaged messages: every cut of a good one, and every byte of it changed. */
static void test_damaged(void **state)
{
    unsigned char msg[512] = { 0 }, copy[512];
    unsigned char *o = msg + 12;
    apr_array_header_t *records;
    apr_size_t len, i;
    int ttl;

    (void)state;
    put16(msg + 4, 1);
    put16(msg + 6, 2);
    o = put_name(o, "plain.test");
    o = put16(put16(o, 15), 1);
    o = put_record(o, 15, "10 mx1.plain.test");
    o = put_record(o, 15, "20 mx2.plain.test");
    len = (apr_size_t)(o - msg);
    assert_int_equal(dns_parse_mx(&records, &ttl, msg, (int)len, pool),
                     APR_SUCCESS);
    assert_int_equal(records->nelts, 2);
    assert_int_equal(ttl, 600);
    for (i = 0; i < len; i++) {
        unsigned char *exact = malloc(i + 1);

        memcpy(exact, msg, i);
        assert_int_equal(dns_parse_mx(&records, &ttl, exact, (int)i, pool),
                         MG_EBADINPUT);
        free(exact);
    }
    for (i = 0; i < len * 256; i++) {
        memcpy(copy, msg, len);
        copy[i / 256] = (unsigned char)i;
        dns_parse_mx(&records, &ttl, copy, (int)len, pool);
    }
}

static void test_cname(void **state)
{
    unsigned char msg[512] = { 0 }, *o = msg + 12, *data;
    const char *target;
    apr_size_t len, i;

    (void)state;
    put16(msg + 4, 1);
    put16(msg + 6, 1);
    o = put_name(o, "email.plain.test");
    o = put16(put16(o, 5), 1);
    o = put_name(o, "email.plain.test");
    o = put16(put16(put16(put16(o, 5), 1), 0), 600);
    data = o + 2;
    len = (apr_size_t)(put_name(data, "track.test") - data);
    put16(o, (unsigned int)len);
    len += (apr_size_t)(data - msg);
    assert_int_equal(dns_parse_cname(&target, msg, (int)len, pool),
                     APR_SUCCESS);
    assert_string_equal(target, "track.test");
    for (i = 0; i < len; i++) {
        unsigned char *exact = malloc(i + 1);

        memcpy(exact, msg, i);
        assert_int_equal(dns_parse_cname(&target, exact, (int)i, pool),
                         MG_EBADINPUT);
        free(exact);
    }
    put16(msg + 6, 0);
    assert_int_equal(dns_parse_cname(&target, msg, (int)len, pool),
                     APR_ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_domains), cmocka_unit_test(test_order),
        cmocka_unit_test(test_secure), cmocka_unit_test(test_records),
        cmocka_unit_test(test_cache), cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_burst),
        cmocka_unit_test(test_closing), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_cname)
    };
    struct sockaddr_in in;
    socklen_t len = sizeof(in);
    apr_array_header_t *servers;
    apr_pool_t *p, *loop_p;
    int failed;

    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    udp = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(udp, (struct sockaddr *)&in, sizeof(in)) != 0)
        return 1;
    getsockname(udp, (struct sockaddr *)&in, &len);
    port = ntohs(in.sin_port);
    pthread_create(&thread, NULL, serve, NULL);

    apr_initialize();
    apr_pool_create(&pool, NULL);
    apr_pool_create(&loop_p, pool);
    apr_pool_create(&p, pool);
    dns_timeout_ms = 100;
    dns_tries = 2;
    servers = apr_array_make(p, 1, sizeof(char *));
    APR_ARRAY_PUSH(servers, char *) = apr_psprintf(p, "127.0.0.1:%d", port);
    if (loop_create(&loop, loop_p) != APR_SUCCESS
        || dns_create(&dns, loop, servers, DNS_TRUST_LOCAL, p) != APR_SUCCESS)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(p);
    apr_pool_destroy(pool);
    apr_terminate();
    shutdown(udp, SHUT_RDWR);
    sendto(udp, "", 0, 0, (struct sockaddr *)&in, sizeof(in));
    close(udp);
    pthread_join(thread, NULL);
    return failed ? 1 : 0;
}
