/* mg_mime_batch.c - see mg_mime_batch.h. RFC 2046 5.1, 5.2.1. */
#include "mg_mime_batch.h"

#include <string.h>
#include <strings.h>

#include "mg_status.h"
#include "mime_internal.h"

#define TYPE "multipart/mailgun-variables"
#define BOUNDARY_MAX 200  /* RFC 2046 5.1.1 has 70 */

int mg_mime_is_batch(const apr_array_header_t *headers)
{
    const mg_header_t *h = mg_mime_header(headers, "Content-Type");

    return h != NULL && strncasecmp(h->raw, TYPE, sizeof(TYPE) - 1) == 0
           && strchr("; \t", h->raw[sizeof(TYPE) - 1]) != NULL;
}

static int is_type(const mime_entity_t *e, const char *type,
                   const char *subtype)
{
    return strcmp(e->type, type) == 0 && strcmp(e->subtype, subtype) == 0;
}

static apr_status_t refuse(const char **perror, const char *words)
{
    *perror = words;
    return MG_EBADINPUT;
}

/* RFC 2046 5.2.1: a message in a message is not encoded once more. */
static int is_encoded(const mime_entity_t *e)
{
    return e->encoding == GMIME_CONTENT_ENCODING_BASE64
           || e->encoding == GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE
           || e->encoding == GMIME_CONTENT_ENCODING_UUENCODE;
}

apr_status_t mg_mime_batch_read(mg_mime_batch_t *batch, const char **perror,
                                const char *bytes, apr_size_t len,
                                apr_pool_t *p)
{
    const char *end = bytes + len, *start, *part, *stop, *next = NULL;
    mime_entity_t outer, json, message;
    apr_size_t json_len;
    int closed = 0;

    mime_entity_read(&outer, bytes, len, "text/plain", p);
    if (outer.boundary == NULL || *outer.boundary == '\0'
        || strlen(outer.boundary) > BOUNDARY_MAX)
        return refuse(perror, TYPE " without a boundary");
    start = outer.body;
    if (mime_find_boundary(start, end, start, outer.boundary, &part, &closed)
            == NULL
        || closed)
        return refuse(perror, TYPE " has no parts");
    stop = mime_find_boundary(part, end, start, outer.boundary, &next,
                              &closed);
    if (stop == NULL)
        return refuse(perror, "the first part of " TYPE " is too large");
    /* RFC 2046 5.1.1: the line end before a boundary is its own */
    json_len = (apr_size_t)(stop - part);
    if (json_len >= 2 && memcmp(stop - 2, "\r\n", 2) == 0)
        json_len -= 2;
    mime_entity_read(&json, part, json_len, "text/plain", p);
    if (!is_type(&json, "application", "json"))
        return refuse(perror, "the first part of " TYPE
                      " is not application/json");
    if (closed)
        return refuse(perror, TYPE " has no message/rfc822");
    batch->variables = mime_entity_decode(&batch->variables_len, &json, p);
    mime_entity_read(&message, next, (apr_size_t)(end - next), "text/plain",
                     p);
    if (!is_type(&message, "message", "rfc822") || is_encoded(&message))
        return refuse(perror, "the second part of " TYPE
                      " is not message/rfc822 as it is");
    batch->begin = (apr_size_t)(message.body - bytes);
    batch->boundary = outer.boundary;
    return APR_SUCCESS;
}

apr_status_t mg_mime_batch_end(apr_size_t *pend, const mg_mime_batch_t *batch,
                               const char *tail, apr_size_t len)
{
    const char *s = tail, *end = tail + len, *found, *next;
    int closed, seen = 0;

    while ((found = mime_find_boundary(s, end, tail, batch->boundary, &next,
                                       &closed)) != NULL) {
        if (closed && found > tail) {
            *pend = (apr_size_t)(found - tail);
            seen = 1;
        }
        s = next;
    }
    return seen ? APR_SUCCESS : MG_EBADINPUT;
}
