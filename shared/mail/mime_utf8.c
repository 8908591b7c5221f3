/* mime_utf8.c - a message with its texts and header fields in UTF-8.
 *
 * The manual, "Routes": "Mailgun will transcode the original message into
 * UTF-8 encoding, even for raw MIME". Text parts of other charsets and encoded
 * header fields are written anew; everything else stays byte for byte, also
 * what lies between the parts.
 */
#include <apr_strings.h>
#include <string.h>
#include "mg_text.h"
#include "mime_internal.h"

#define DEPTH_MAX 32

static void put_entity(mime_sink_t *sink, const char *bytes, apr_size_t len,
                       const char *default_type, int depth);

static int is_plain_ascii(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s >= 0x80)
            return 0;
    }
    return 1;
}

/* 8-bit bytes, or encoded words of another charset. */
static int needs_utf8(const mg_header_t *h)
{
    const char *s = h->raw;

    if (!is_plain_ascii(s))
        return 1;
    while ((s = strstr(s, "=?")) != NULL) {
        if (strncasecmp(s + 2, "utf-8?", 6) != 0)
            return 1;
        s += 2;
    }
    return 0;
}

static int any_needs_utf8(const apr_array_header_t *headers)
{
    int i;

    for (i = 0; i < headers->nelts; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(headers, i, mg_header_t);

        if (needs_utf8(h) && strncasecmp(h->name, "Content-", 8) != 0)
            return 1;
    }
    return 0;
}

void mime_put_utf8_type(mime_sink_t *sink, const char *name, const char *raw)
{
    GMimeContentType *type = g_mime_content_type_parse(mime_options(), raw);
    char *type_name = g_mime_content_type_get_mime_type(type);
    const char *keep[] = { "name", "format", "delsp", "method" };
    apr_size_t i;

    mime_puts(sink, name);
    mime_puts(sink, ": ");
    mime_puts(sink, type_name);
    mime_put_param(sink, "charset", "utf-8");
    for (i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) {
        const char *value = g_mime_content_type_get_parameter(type, keep[i]);

        if (value)
            mime_put_param(sink, keep[i], value);
    }
    mime_puts(sink, "\r\n");
    g_free(type_name);
    g_object_unref(type);
}

/* new_text: the body is written anew too, so what describes it changes. */
static void put_head(mime_sink_t *sink, const mime_entity_t *e, int new_text,
                     mime_encoding_t encoding)
{
    int i, has_encoding = 0;

    for (i = 0; i < e->headers->nelts; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(e->headers, i, mg_header_t);
        int content = strncasecmp(h->name, "Content-", 8) == 0;

        if (new_text && strcasecmp(h->name, "Content-Type") == 0) {
            mime_put_utf8_type(sink, h->name, h->raw);
        }
        else if (new_text
                 && strcasecmp(h->name, "Content-Transfer-Encoding") == 0) {
            has_encoding = 1;
            mime_put_plain(sink, h->name, mime_encoding_name(encoding));
        }
        else if (needs_utf8(h) && !content) {
            mime_put_any(sink, h->name, h->value);
        }
        else {
            /* it was folded somewhere: fold it as we do */
            mime_put_field_raw(sink, h->name, h->raw);
        }
    }
    if (new_text && !has_encoding)
        mime_put_plain(sink, "Content-Transfer-Encoding",
                       mime_encoding_name(encoding));
    mime_puts(sink, "\r\n");
}

/* The line end before a boundary is the boundary's, and is copied with it. */
static void put_text(mime_sink_t *sink, const mime_entity_t *e, int depth)
{
    mime_encoding_t encoding;
    apr_size_t len;
    int ascii;
    const char *text = mime_entity_decode(&len, e, sink->p);

    text = mime_to_utf8(e->charset, text, len, sink->p);
    len = strlen(text);
    encoding = mime_best_encoding(text, len, &ascii);
    put_head(sink, e, 1, encoding);
    mime_put_text(sink, text, len, encoding);
    if (depth && len && (encoding == MIME_BASE64 || text[len - 1] != '\n')) {
        sink->used -= 2;
        sink->total -= 2;
    }
}

static void put_multipart(mime_sink_t *sink, const mime_entity_t *e,
                          int depth)
{
    const char *start = e->body, *end = start + e->body_len;
    const char *part, *next, *stop, *part_end;
    const char *type = strcmp(e->subtype, "digest") == 0 ? "message/rfc822"
                                                         : "text/plain";
    int closed = 0;

    if (mime_find_boundary(start, end, start, e->boundary, &part, &closed)
        == NULL)
        part = end;
    mime_put(sink, start, (apr_size_t)(part - start));
    while (!closed && part < end) {
        stop = mime_find_boundary(part, end, start, e->boundary, &next,
                                  &closed);
        if (stop == NULL)
            stop = next = end;
        part_end = stop;
        if (part_end > part && part_end[-1] == '\n')
            part_end--;
        if (part_end > part && part_end[-1] == '\r')
            part_end--;
        put_entity(sink, part, (apr_size_t)(part_end - part), type,
                   depth + 1);
        mime_put(sink, part_end, (apr_size_t)(next - part_end));
        part = next;
    }
    mime_put(sink, part, (apr_size_t)(end - part)); /* epilogue */
}

static void put_entity(mime_sink_t *sink, const char *bytes, apr_size_t len,
                       const char *default_type, int depth)
{
    mime_entity_t e;

    mime_entity_read(&e, bytes, len, default_type, sink->p);
    if (strcmp(e.type, "text") == 0 && !e.is_attachment
        && !mime_is_utf8_name(e.charset)) {
        put_text(sink, &e, depth);
        return;
    }
    if (any_needs_utf8(e.headers))
        put_head(sink, &e, 0, MIME_7BIT);
    else
        mime_put(sink, bytes, (apr_size_t)(e.body - bytes));
    if (strcmp(e.type, "multipart") == 0 && e.boundary && *e.boundary
        && strcmp(e.subtype, "signed") != 0 && depth < DEPTH_MAX
        && strlen(e.boundary) <= 1000)
        put_multipart(sink, &e, depth);
    else
        mime_put(sink, e.body, e.body_len);
}

const char *mg_mime_utf8(apr_size_t *pout_len, const char *bytes,
                         apr_size_t len, apr_pool_t *p)
{
    mime_sink_t sink;
    mg_mime_out_t out;

    mime_sink_init(&sink, len + len / 8 + 1024, NULL, 0, p);
    put_entity(&sink, bytes, len, "text/plain", 0);
    mime_put(&sink, "", 1);
    if (mime_sink_finish(&out, &sink) != APR_SUCCESS) {
        *pout_len = len;
        return bytes;
    }
    *pout_len = (apr_size_t)out.size - 1;
    return out.bytes;
}
