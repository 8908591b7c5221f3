/* dns_answer.c - reading a DNS message for its MX records (RFC 1035 4.1).
 *
 * c-ares parses MX records too, but keeps their TTLs to itself.
 */
#include <ares.h>
#include <apr_strings.h>

#include "dns.h"
#include "mg_status.h"

#define HEADER 12
#define TYPE_MX 15
#define CLASS_IN 1
#define MX_MAX 64

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

static apr_status_t read_mx(apr_array_header_t *records,
                            const unsigned char *data, int data_len,
                            const unsigned char *message, int len,
                            apr_pool_t *p)
{
    dns_mx_record_t *mx;
    char *name = NULL;
    long used;

    if (data_len < 3
        || ares_expand_name(data + 2, message, len, &name, &used)
               != ARES_SUCCESS)
        return MG_EBADINPUT;
    mx = apr_array_push(records);
    mx->preference = (int)get16(data);
    mx->exchange = apr_pstrdup(p, name);
    ares_free_string(name);
    return APR_SUCCESS;
}

apr_status_t dns_parse_mx(apr_array_header_t **precords, int *pttl,
                          const unsigned char *message, int len,
                          apr_pool_t *p)
{
    const unsigned char *at = message + HEADER, *end = message + len;
    apr_array_header_t *records = apr_array_make(p, 4,
                                                 sizeof(dns_mx_record_t));
    unsigned int questions, answers;
    apr_status_t rv;

    *precords = records;
    *pttl = 86400;
    if (len < HEADER)
        return MG_EBADINPUT;
    questions = get16(message + 4);
    answers = get16(message + 6);
    while (questions-- > 0) {
        at = skip_name(at, message, len);
        if (!at || end - at < 4)
            return MG_EBADINPUT;
        at += 4;
    }
    while (answers-- > 0 && records->nelts < MX_MAX) {
        unsigned int type, class, data_len;
        apr_int64_t ttl;

        at = skip_name(at, message, len);
        if (!at || end - at < 10)
            return MG_EBADINPUT;
        type = get16(at);
        class = get16(at + 2);
        ttl = (apr_int64_t)get16(at + 4) << 16 | get16(at + 6);
        data_len = get16(at + 8);
        at += 10;
        if (end - at < (long)data_len)
            return MG_EBADINPUT;
        if (ttl < *pttl)
            *pttl = (int)ttl;
        if (type == TYPE_MX && class == CLASS_IN) {
            rv = read_mx(records, at, (int)data_len, message, len, p);
            if (rv != APR_SUCCESS)
                return rv;
        }
        at += data_len;
    }
    return records->nelts > 0 ? APR_SUCCESS : APR_ENOENT;
}
