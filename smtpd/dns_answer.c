/* dns_answer.c - reading a DNS message for its records (RFC 1035 4.1).
 *
 * c-ares parses some types too, but keeps their TTLs to itself.
 */
#include <ares.h>
#include <apr_strings.h>

#include "dns.h"
#include "mg_status.h"

#define HEADER 12
#define TYPE_CNAME 5
#define TYPE_MX 15
#define CLASS_IN 1
#define RECORDS_MAX 64

static unsigned int get16(const unsigned char *p)
{
    return (unsigned int)p[0] << 8 | p[1];
}

/* Step over a name. @return NULL: it does not end within the message */
static const unsigned char *skip_name(const unsigned char *p,
                                      const unsigned char *message, int len)
{
    const unsigned char *end = message + len;

    while (p < end) {
        if (*p == 0)
            return p + 1;
        if ((*p & 0xc0) == 0xc0)
            return p + 2 <= end ? p + 2 : NULL;
        if (*p & 0xc0)
            return NULL;
        p += 1 + *p;
    }
    return NULL;
}

static const unsigned char *skip_questions(const unsigned char *message,
                                           int len)
{
    const unsigned char *at = message + HEADER, *end = message + len;
    unsigned int questions = get16(message + 4);

    while (questions-- > 0) {
        at = skip_name(at, message, len);
        if (!at || end - at < 4)
            return NULL;
        at += 4;
    }
    return at;
}

/* RDATA points into the message. */
apr_status_t dns_parse_records(apr_array_header_t **precords, int *pttl,
                               int type, const unsigned char *message,
                               int len, apr_pool_t *p)
{
    const unsigned char *at, *end = message + len;
    apr_array_header_t *records = apr_array_make(p, 4, sizeof(dns_record_t));
    unsigned int answers;

    *precords = records;
    *pttl = 86400;
    if (len < HEADER || !(at = skip_questions(message, len)))
        return MG_EBADINPUT;
    answers = get16(message + 6);
    while (answers-- > 0 && records->nelts < RECORDS_MAX) {
        unsigned int data_len;
        apr_int64_t ttl;

        at = skip_name(at, message, len);
        if (!at || end - at < 10)
            return MG_EBADINPUT;
        ttl = (apr_int64_t)get16(at + 4) << 16 | get16(at + 6);
        data_len = get16(at + 8);
        if (end - at - 10 < (long)data_len)
            return MG_EBADINPUT;
        if (ttl < *pttl)
            *pttl = (int)ttl;
        if (get16(at) == (unsigned int)type && get16(at + 2) == CLASS_IN) {
            dns_record_t *record = apr_array_push(records);

            record->data = at + 10;
            record->len = data_len;
        }
        at += 10 + data_len;
    }
    return records->nelts > 0 ? APR_SUCCESS : APR_ENOENT;
}

apr_status_t dns_parse_mx(apr_array_header_t **precords, int *pttl,
                          const unsigned char *message, int len,
                          apr_pool_t *p)
{
    apr_array_header_t *raw, *records;
    apr_status_t rv = dns_parse_records(&raw, pttl, TYPE_MX, message, len, p);
    int i;

    *precords = records = apr_array_make(p, 4, sizeof(dns_mx_record_t));
    for (i = 0; rv == APR_SUCCESS && i < raw->nelts; i++) {
        const dns_record_t *r = &APR_ARRAY_IDX(raw, i, dns_record_t);
        dns_mx_record_t *mx;
        char *name = NULL;
        long used;

        /* the name may be compressed: it goes on elsewhere in the message */
        if (r->len < 3
            || ares_expand_name(r->data + 2, message, len, &name, &used)
                   != ARES_SUCCESS)
            return MG_EBADINPUT;
        mx = apr_array_push(records);
        mx->preference = (int)get16(r->data);
        mx->exchange = apr_pstrdup(p, name);
        ares_free_string(name);
    }
    return rv;
}

apr_status_t dns_parse_cname(const char **ptarget,
                             const unsigned char *message, int len,
                             apr_pool_t *p)
{
    apr_array_header_t *raw;
    char *name = NULL;
    apr_status_t rv;
    long used;
    int ttl;

    *ptarget = NULL;
    rv = dns_parse_records(&raw, &ttl, TYPE_CNAME, message, len, p);
    if (rv != APR_SUCCESS)
        return rv;
    if (ares_expand_name(APR_ARRAY_IDX(raw, 0, dns_record_t).data, message,
                         len, &name, &used) != ARES_SUCCESS)
        return MG_EBADINPUT;
    *ptarget = apr_pstrdup(p, name);
    ares_free_string(name);
    return APR_SUCCESS;
}
