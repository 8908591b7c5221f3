/* dns_record.c - TXT and TLSA records (RFC 1035 3.3.14, RFC 6698). */
#include <apr_strings.h>
#include <string.h>

#include "dns_private.h"
#include "mg_status.h"

static void on_records(dns_lookup_t *l, int type, int status,
                       const unsigned char *message, int len)
{
    apr_status_t rv = APR_ENOENT;

    l->pending--;
    if (status == ARES_SUCCESS) {
        /* the records point into it, and stay */
        message = apr_pmemdup(l->pool, message, (apr_size_t)len);
        rv = dns_parse_records(&l->records, &l->ttl, type, message, len,
                               l->pool);
        if (rv == MG_EBADINPUT)
            status = ARES_EBADRESP;
    }
    dns_note_failure(l, status);
    if (l->failed)
        dns_lookup_finish(l, DNS_LATER,
                          apr_psprintf(l->pool, "498 4.4.3 the %s record of "
                                       "%s could not be looked up: %s",
                                       type == DNS_TLSA ? "TLSA" : "TXT",
                                       l->name, l->why));
    else
        dns_lookup_finish(l, rv == APR_SUCCESS ? DNS_FOUND : DNS_NONE,
                          rv == APR_SUCCESS
                              ? NULL : apr_psprintf(l->pool, "498 %s has no "
                                                    "such record", l->name));
}

static void on_txt(dns_lookup_t *l, int status, int secure,
                   const unsigned char *message, int len)
{
    (void)secure;
    on_records(l, DNS_TXT, status, message, len);
}

static void on_tlsa(dns_lookup_t *l, int status, int secure,
                    const unsigned char *message, int len)
{
    (void)secure;
    on_records(l, DNS_TLSA, status, message, len);
}

static void ask(dns_t *dns, const char *key, int type, dns_query_fn *on,
                dns_fn *fn, void *baton)
{
    dns_lookup_t *l = dns_lookup_find(dns, key);

    if (!l) {
        l = dns_lookup_make(dns, key);
        l->pending = 1;
        dns_query(l, l->name, type, on);
    }
    dns_lookup_wait(l, fn, baton);
}

static void no_name(const char *name, dns_fn *fn, void *baton)
{
    dns_answer_t answer;

    memset(&answer, 0, sizeof(answer));
    answer.status = DNS_NONE;
    answer.reply = "498 this is no domain name";
    (void)name;
    fn(&answer, baton);
}

void dns_txt(dns_t *dns, const char *name, dns_fn *fn, void *baton)
{
    char key[DNS_NAME_MAX + 16];

    if (!*name || strlen(name) > DNS_NAME_MAX) {
        no_name(name, fn, baton);
        return;
    }
    apr_snprintf(key, sizeof(key), "txt %s", name);
    ask(dns, key, DNS_TXT, on_txt, fn, baton);
}

void dns_tlsa(dns_t *dns, const char *host, int port, dns_fn *fn, void *baton)
{
    char key[DNS_NAME_MAX + 40];

    if (!*host || strlen(host) > DNS_NAME_MAX - 14) {
        no_name(host, fn, baton);
        return;
    }
    apr_snprintf(key, sizeof(key), "tlsa _%d._tcp.%s", port, host);
    ask(dns, key, DNS_TLSA, on_tlsa, fn, baton);
}

const dns_answer_t *dns_tlsa_known(dns_t *dns, const char *host, int port)
{
    char key[DNS_NAME_MAX + 40];
    const dns_lookup_t *l;

    apr_snprintf(key, sizeof(key), "tlsa _%d._tcp.%.253s", port, host);
    l = apr_hash_get(dns->cache, key, APR_HASH_KEY_STRING);
    return l && l->done ? &l->answer : NULL;
}

char *dns_txt_value(const dns_record_t *record, apr_pool_t *p)
{
    char *value = apr_palloc(p, record->len + 1);
    apr_size_t at = 0, len = 0;

    while (at < record->len) {
        apr_size_t n = record->data[at++];

        if (n > record->len - at)
            return NULL;
        memcpy(value + len, record->data + at, n);
        at += n;
        len += n;
    }
    value[len] = '\0';
    return strlen(value) == len ? value : NULL;
}

int dns_tlsa_value(dns_tlsa_t *tlsa, const dns_record_t *record)
{
    if (record->len < 4)
        return 0;
    tlsa->usage = record->data[0];
    tlsa->selector = record->data[1];
    tlsa->matching = record->data[2];
    tlsa->data = record->data + 3;
    tlsa->len = record->len - 3;
    return 1;
}
