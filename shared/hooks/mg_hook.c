/* mg_hook.c - fields, signature, and how they are written.
 *
 * application/x-www-form-urlencoded as HTML 4.01 17.13.4.1 has it: blanks are
 * '+', what is not unreserved is %XX.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include "mg_hook.h"
#include "mg_id.h"
#include "mg_seal.h"
#include "mg_text.h"

#define TOKEN_LEN 50

void mg_hook_field(apr_array_header_t *fields, const char *name,
                   const char *value)
{
    mg_field_t *field = apr_array_push(fields);

    memset(field, 0, sizeof(*field));
    field->name = name;
    field->value = value ? value : "";
}

void mg_hook_sign(apr_array_header_t *fields, const char *api_key,
                  apr_time_t now, apr_pool_t *p)
{
    const char *timestamp, *token, *joined;
    unsigned char mac[32];

    timestamp = apr_psprintf(p, "%" APR_TIME_T_FMT, apr_time_sec(now));
    token = mg_id_random(TOKEN_LEN, p);
    joined = apr_pstrcat(p, timestamp, token, NULL);
    mg_hmac_sha256(mac, api_key, strlen(api_key), joined, strlen(joined));
    mg_hook_field(fields, "timestamp", timestamp);
    mg_hook_field(fields, "token", token);
    mg_hook_field(fields, "signature", mg_text_hex(mac, sizeof(mac), p));
}

int mg_hook_has_files(const apr_array_header_t *fields)
{
    int i;

    for (i = 0; i < fields->nelts; i++) {
        if (APR_ARRAY_IDX(fields, i, mg_field_t).value == NULL)
            return 1;
    }
    return 0;
}

static char *put_encoded(char *out, const char *s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (apr_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            *out++ = (char)c;
        }
        else if (c == ' ') {
            *out++ = '+';
        }
        else {
            *out++ = '%';
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        }
    }
    return out;
}

char *mg_hook_urlencode(const apr_array_header_t *fields, apr_size_t *plen,
                        apr_pool_t *p)
{
    apr_size_t size = 1;
    char *out, *o;
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const mg_field_t *f = &APR_ARRAY_IDX(fields, i, mg_field_t);

        size += 3 * (strlen(f->name) + (f->value ? strlen(f->value) : 0)) + 2;
    }
    o = out = apr_palloc(p, size);
    for (i = 0; i < fields->nelts; i++) {
        const mg_field_t *f = &APR_ARRAY_IDX(fields, i, mg_field_t);

        if (f->value == NULL)
            continue;
        if (o > out)
            *o++ = '&';
        o = put_encoded(o, f->name);
        *o++ = '=';
        o = put_encoded(o, f->value);
    }
    *o = '\0';
    *plen = (apr_size_t)(o - out);
    return out;
}
