/* mg_dkim_body.c - the hash of a body, relaxed (RFC 6376 3.4.4), or simple
 * (3.4.3), which is the same but for white space within lines, and an empty
 * body that has a CRLF.
 *
 * White space within a line becomes one space, at its end nothing; empty lines
 * at the end of the body do not count, and a last line without CRLF gets one.
 * What may yet turn out to be the end of a line or of the body waits as a
 * count, so that a body comes in parts of any size.
 */
#include <string.h>

#include "dkim_internal.h"
#include "mg_status.h"

const EVP_MD *dkim_sha256(void)
{
    static EVP_MD *fetched;

    if (!fetched)
        fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
    return fetched ? fetched : EVP_sha256();
}

static apr_status_t free_md(void *md)
{
    EVP_MD_CTX_free(md);
    return APR_SUCCESS;
}

apr_status_t dkim_body_init(dkim_body_t *body, apr_pool_t *p)
{
    body->md = EVP_MD_CTX_new();
    body->line_ends = 0;
    body->simple = 0;
    body->limit = -1;
    body->total = 0;
    body->space = body->cr = body->any = 0;
    body->len = 0;
    if (!body->md)
        return APR_ENOMEM;
    apr_pool_cleanup_register(p, body->md, free_md, apr_pool_cleanup_null);
    return EVP_DigestInit_ex2(body->md, dkim_sha256(), NULL) == 1
               ? APR_SUCCESS : MG_ECRYPT;
}

static void put(dkim_body_t *body, const char *bytes, apr_size_t len)
{
    apr_int64_t left = body->limit - body->total;

    body->total += (apr_int64_t)len;
    if (body->limit >= 0 && (apr_int64_t)len > left)
        len = left > 0 ? (apr_size_t)left : 0;
    if (len > sizeof(body->out) - body->len) {
        EVP_DigestUpdate(body->md, body->out, body->len);
        body->len = 0;
        if (len > sizeof(body->out)) {
            EVP_DigestUpdate(body->md, bytes, len);
            return;
        }
    }
    memcpy(body->out + body->len, bytes, len);
    body->len += len;
}

/* Bytes that are neither white space nor the end of a line; what waited before
 * them counts now. */
static void put_text(dkim_body_t *body, const char *bytes, apr_size_t len)
{
    for (; body->line_ends > 0; body->line_ends--)
        put(body, "\r\n", 2);
    if (body->space)
        put(body, " ", 1);
    body->space = 0;
    body->any = 1;
    put(body, bytes, len);
}

void dkim_body_feed(dkim_body_t *body, const char *bytes, apr_size_t len)
{
    const char *at = bytes, *end = bytes + len, *from;

    while (at < end) {
        if (body->cr) {
            body->cr = 0;
            if (*at == '\n') {
                body->space = 0;
                body->line_ends++;
                at++;
                continue;
            }
            put_text(body, "\r", 1); /* alone: a byte like others */
        }
        if (!body->simple && (*at == ' ' || *at == '\t')) {
            body->space = 1;
            at++;
            continue;
        }
        if (*at == '\r') {
            body->cr = 1;
            at++;
            continue;
        }
        for (from = at; at < end; at++)
            if (*at == '\r' || (!body->simple && (*at == ' ' || *at == '\t')))
                break;
        put_text(body, from, (apr_size_t)(at - from));
    }
}

apr_status_t dkim_body_end(unsigned char hash[DKIM_HASH_LEN],
                           dkim_body_t *body)
{
    unsigned int n = 0;

    if (body->cr)
        put_text(body, "\r", 1);
    body->cr = 0;
    if (body->any || body->simple)
        put(body, "\r\n", 2);
    if (EVP_DigestUpdate(body->md, body->out, body->len) != 1
        || EVP_DigestFinal_ex(body->md, hash, &n) != 1)
        return MG_ECRYPT;
    return n == DKIM_HASH_LEN ? APR_SUCCESS : MG_ECRYPT;
}
