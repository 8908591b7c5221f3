/* smtp_body.c - see smtp_body.h. RFC 5321 4.1.1.4, 4.5.2, 2.3.8; RFC 3030. */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "mg_message.h"
#include "mg_status.h"
#include "smtp_body.h"

static apr_status_t spares_cleanup(void *baton)
{
    smtp_spares_t *spares = baton;

    while (spares->n > 0)
        free(spares->buf[--spares->n]);
    return APR_SUCCESS;
}

void smtp_spares_bind(smtp_spares_t *spares, apr_pool_t *p)
{
    apr_pool_cleanup_register(p, spares, spares_cleanup,
                              apr_pool_cleanup_null);
}

static apr_status_t body_cleanup(void *baton)
{
    smtp_body_t *body = baton;

    if (body->cap == SMTP_BODY_FIRST && body->spares->n < SMTP_BODY_SPARES)
        body->spares->buf[body->spares->n++] = body->buf;
    else
        free(body->buf);
    body->buf = NULL;
    body->len = body->cap = 0;
    return APR_SUCCESS;
}

void smtp_body_init(smtp_body_t *body, apr_int64_t limit,
                    const char *spool_dir, smtp_spares_t *spares,
                    apr_pool_t *p)
{
    memset(body, 0, sizeof(*body));
    body->state = BODY_LINE;
    body->limit = limit;
    body->spool_dir = spool_dir;
    body->spares = spares;
    body->pool = p;
    apr_pool_cleanup_register(p, body, body_cleanup, apr_pool_cleanup_null);
}

/* --- where the octets go --- */

/* 16 KB, 64 KB, 256 KB: few steps, and most messages need the first only. */
static apr_status_t body_grow(smtp_body_t *body, apr_size_t want)
{
    apr_size_t cap = body->cap ? body->cap : SMTP_BODY_FIRST;
    char *buf;

    while (cap < want)
        cap *= 4;
    if (body->cap == 0 && cap == SMTP_BODY_FIRST && body->spares->n > 0) {
        buf = body->spares->buf[--body->spares->n];
    }
    else {
        buf = realloc(body->buf, cap);
        if (buf == NULL)
            return APR_ENOMEM;
    }
    body->buf = buf;
    body->cap = cap;
    return APR_SUCCESS;
}

static apr_status_t body_open_spool(smtp_body_t *body)
{
    char *path = apr_pstrcat(body->pool, body->spool_dir,
                             "/incoming.XXXXXX", NULL);
    apr_status_t rv;

    rv = apr_file_mktemp(&body->file, path,
                         APR_FOPEN_CREATE | APR_FOPEN_EXCL | APR_FOPEN_READ
                             | APR_FOPEN_WRITE | APR_FOPEN_BINARY,
                         body->pool);
    if (rv == APR_SUCCESS)
        rv = apr_file_remove(path, body->pool);
    return rv;
}

static apr_status_t body_spool(smtp_body_t *body, const char *bytes,
                               apr_size_t len)
{
    apr_status_t rv = APR_SUCCESS;

    if (body->file == NULL)
        rv = body_open_spool(body);
    if (rv == APR_SUCCESS)
        rv = apr_file_write_full(body->file, bytes, len, NULL);
    if (rv == APR_SUCCESS)
        body->file_size += (apr_int64_t)len;
    return APR_STATUS_IS_ENOSPC(rv) ? MG_EFULL : rv;
}

static apr_status_t body_keep(smtp_body_t *body, const char *bytes,
                              apr_size_t len)
{
    apr_size_t n = len;
    apr_status_t rv;

    if (n > MG_CONTENT_INLINE - body->len)
        n = MG_CONTENT_INLINE - body->len;
    if (n > 0) {
        if (body->len + n > body->cap) {
            rv = body_grow(body, body->len + n);
            if (rv != APR_SUCCESS)
                return rv;
        }
        memcpy(body->buf + body->len, bytes, n);
        body->len += n;
    }
    return n < len ? body_spool(body, bytes + n, len - n) : APR_SUCCESS;
}

void smtp_body_put(smtp_body_t *body, const char *bytes, apr_size_t len)
{
    body->failed = body_keep(body, bytes, len);
}

static void body_emit(smtp_body_t *body, const char *bytes, apr_size_t len)
{
    if (len == 0 || body->too_big || body->failed != APR_SUCCESS)
        return;
    if (body->size + (apr_int64_t)len > body->limit) {
        body->too_big = 1;
        return;
    }
    body->size += (apr_int64_t)len;
    body->failed = body_keep(body, bytes, len);
}

/* --- the scanner --- */

/* From p, within a line: to behind the next CRLF, or as far as is certain. A
 * CR at the very end waits for what comes next (BODY_CR). */
static const char *scan_line(smtp_body_t *body, const char *p, const char *end)
{
    const char *cr;

    for (;;) {
        cr = memchr(p, '\r', (apr_size_t)(end - p));
        if (!body->bare
            && memchr(p, '\n', (apr_size_t)((cr ? cr : end) - p)) != NULL)
            body->bare = 1;
        if (cr == NULL) {
            body->state = BODY_TEXT;
            return end;
        }
        if (cr + 1 == end) {
            body->state = BODY_CR;
            return cr;
        }
        if (cr[1] == '\n') {
            body->state = BODY_LINE;
            return cr + 2;
        }
        body->bare = 1;
        p = cr + 1;
    }
}

/*            '.'       CR        LF        else
 * LINE       DOT       CR        TEXT!     TEXT
 * DOT        TEXT      DOT_CR    TEXT!     TEXT     the dot is dropped
 * DOT_CR     TEXT!     CR!       END       TEXT!
 * TEXT       TEXT      CR        TEXT!     TEXT     scan_line() does these
 * CR         TEXT!     CR!       LINE      TEXT!
 *                                          !: a bare CR or LF
 */
apr_size_t smtp_body_feed(smtp_body_t *body, const char *in, apr_size_t len)
{
    const char *p = in, *end = in + len;
    const char *run = in; /* from here to p is content not yet passed on */

    while (p < end && body->state != BODY_END) {
        switch (body->state) {
        case BODY_LINE:
            if (*p == '.') {
                body_emit(body, run, (apr_size_t)(p - run));
                run = ++p;
                body->state = BODY_DOT;
                break;
            }
            p = scan_line(body, p, end);
            break;
        case BODY_DOT:
            if (*p == '\r') {
                run = ++p;
                body->state = BODY_DOT_CR;
                break;
            }
            run = p;
            p = scan_line(body, p, end);
            break;
        case BODY_DOT_CR:
            if (*p == '\n') {
                run = ++p;
                body->state = BODY_END;
                break;
            }
            /* a CR that stands alone */
            __attribute__((fallthrough));
        case BODY_CR:
            body_emit(body, "\r", 1);
            run = p;
            if (*p == '\n') {
                p++;
                body->state = BODY_LINE;
                break;
            }
            body->bare = 1;
            p = scan_line(body, p, end);
            break;
        case BODY_TEXT:
            p = scan_line(body, p, end);
            break;
        case BODY_END:
            break;
        }
        if (body->state == BODY_CR && p < end) {
            /* the CR is the last octet: pass on what stands before it */
            body_emit(body, run, (apr_size_t)(p - run));
            run = p = end;
        }
    }
    body_emit(body, run, (apr_size_t)(p - run));
    if (!body->nul && memchr(in, '\0', (apr_size_t)(p - in)) != NULL)
        body->nul = 1;
    return (apr_size_t)(p - in);
}

/* --- chunks --- */

void smtp_body_chunk(smtp_body_t *body, const char *in, apr_size_t len)
{
    const char *p = in, *end = in + len;

    if (len == 0)
        return;
    if (!body->nul && memchr(in, '\0', len) != NULL)
        body->nul = 1;
    if (body->state == BODY_CR) {
        /* the CR was passed on with its chunk */
        if (*p == '\n')
            p++;
        else
            body->bare = 1;
        body->state = BODY_LINE;
    }
    while (p < end) {
        p = scan_line(body, p, end);
        if (body->state == BODY_CR)
            break;
    }
    body_emit(body, in, len);
}

void smtp_body_last(smtp_body_t *body)
{
    if (body->state == BODY_CR)
        body->bare = 1;
    else if (body->state == BODY_TEXT)
        body_emit(body, "\r\n", 2);
    body->state = BODY_END;
}
