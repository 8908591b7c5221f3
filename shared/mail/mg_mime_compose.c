/* mg_mime_compose.c - the message that API parameters describe.
 *
 *   mixed                   if there are attachments
 *     alternative           if there is text and html
 *       text/plain
 *       related             if there is html and inline parts
 *         text/html
 *         inline parts
 *     attachments
 *
 * (RFC 2046 5.1, RFC 2387). The bytes depend on the parameters alone: what is
 * accepted once can be made again (design 9). GMime reads better than it
 * writes fast, so the writing is done here; tests read it back with GMime and
 * with Python's parser.
 */
#include <apr_strings.h>
#include <string.h>
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mime_internal.h"

#define HEADER_NAME_MAX 128

typedef struct {
    const char *extension, *type;
} known_type_t;

static const known_type_t known_types[] = {
    { "avi", "video/x-msvideo" },
    { "bmp", "image/bmp" },
    { "css", "text/css" },
    { "csv", "text/csv" },
    { "doc", "application/msword" },
    { "docx", "application/vnd.openxmlformats-officedocument"
              ".wordprocessingml.document" },
    { "eml", "message/rfc822" },
    { "gif", "image/gif" },
    { "gz", "application/gzip" },
    { "htm", "text/html" },
    { "html", "text/html" },
    { "ics", "text/calendar" },
    { "ico", "image/x-icon" },
    { "jpeg", "image/jpeg" },
    { "jpg", "image/jpeg" },
    { "js", "text/javascript" },
    { "json", "application/json" },
    { "log", "text/plain" },
    { "md", "text/markdown" },
    { "mov", "video/quicktime" },
    { "mp3", "audio/mpeg" },
    { "mp4", "video/mp4" },
    { "odt", "application/vnd.oasis.opendocument.text" },
    { "ods", "application/vnd.oasis.opendocument.spreadsheet" },
    { "ogg", "audio/ogg" },
    { "pdf", "application/pdf" },
    { "png", "image/png" },
    { "ppt", "application/vnd.ms-powerpoint" },
    { "pptx", "application/vnd.openxmlformats-officedocument"
              ".presentationml.presentation" },
    { "rtf", "application/rtf" },
    { "svg", "image/svg+xml" },
    { "tar", "application/x-tar" },
    { "tif", "image/tiff" },
    { "tiff", "image/tiff" },
    { "txt", "text/plain" },
    { "vcf", "text/vcard" },
    { "wav", "audio/x-wav" },
    { "webp", "image/webp" },
    { "xls", "application/vnd.ms-excel" },
    { "xlsx", "application/vnd.openxmlformats-officedocument"
              ".spreadsheetml.sheet" },
    { "xml", "application/xml" },
    { "zip", "application/zip" },
};

typedef struct {
    mime_sink_t sink;
    const mg_compose_t *c;
    int has_attachments, has_inline;
    int boundaries;  /* made so far */
    apr_pool_t *p;
    apr_status_t rv; /* of a file that could not be read */
} compose_t;

/* --- content types --- */

static const char *type_by_name(const char *filename)
{
    const char *dot = filename ? strrchr(filename, '.') : NULL;
    apr_size_t i;

    if (dot == NULL)
        return NULL;
    for (i = 0; i < sizeof(known_types) / sizeof(known_types[0]); i++) {
        if (strcasecmp(dot + 1, known_types[i].extension) == 0)
            return known_types[i].type;
    }
    return NULL;
}

static apr_size_t token_len(const char *s)
{
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789!#$%&'*+-.^_`{|}~");
}

/* "type/subtype" of what the client said, without parameters; or NULL. */
static const char *given_type(const char *type, apr_pool_t *p)
{
    apr_size_t major, minor;

    if (type == NULL)
        return NULL;
    major = token_len(type);
    if (major == 0 || type[major] != '/')
        return NULL;
    minor = token_len(type + major + 1);
    if (minor == 0 || major + minor > 120)
        return NULL;
    return apr_pstrmemdup(p, type, major + 1 + minor);
}

/* Every file goes as base64, byte for byte. message/ and multipart/ may not
 * be (RFC 2046 5.2.1), so they become opaque files. */
static const char *part_type(const mg_part_t *part, apr_pool_t *p)
{
    const char *type = given_type(part->content_type, p);
    const char *by_name = type_by_name(part->filename);

    if (type == NULL
        || (strcasecmp(type, "application/octet-stream") == 0 && by_name))
        type = by_name;
    if (type == NULL || strncasecmp(type, "message/", 8) == 0
        || strncasecmp(type, "multipart/", 10) == 0)
        type = "application/octet-stream";
    return type;
}

/* A file's text charset is not ours to guess: the client's word, if any. */
static void put_given_charset(compose_t *m, const mg_part_t *part,
                              const char *type)
{
    const char *s = part->content_type;
    apr_size_t len;

    if (s == NULL || strncasecmp(type, "text/", 5) != 0)
        return;
    for (s = strchr(s, ';'); s; s = strchr(s, ';')) {
        s += 1 + strspn(s + 1, " \t");
        if (strncasecmp(s, "charset=", 8) != 0)
            continue;
        s += 8;
        s += *s == '"';
        len = token_len(s);
        if (len && len < 40)
            mime_put_param(&m->sink, "charset",
                           apr_pstrmemdup(m->p, s, len));
        return;
    }
}

/* --- parts --- */

/* Fixed by the message's id, so that a copy made again is the same. "=_"
 * cannot stand in base64 or quoted-printable (RFC 2045 6.7). */
static const char *next_boundary(compose_t *m)
{
    unsigned char digest[32];
    const char *seed = apr_psprintf(m->p, "%d %s", m->boundaries++,
                                    m->c->message_id);

    mg_sha256(digest, seed, strlen(seed));
    return apr_pstrcat(m->p, "=_", mg_text_hex(digest, 14, m->p), NULL);
}

static void open_multipart(compose_t *m, const char *subtype,
                           const char *boundary, const char *root_type)
{
    mime_puts(&m->sink, "Content-Type: multipart/");
    mime_puts(&m->sink, subtype);
    if (root_type)
        mime_put_param(&m->sink, "type", root_type);
    mime_put_param(&m->sink, "boundary", boundary);
    mime_puts(&m->sink, "\r\n\r\n");
}

static void next_part(compose_t *m, const char *boundary)
{
    mime_puts(&m->sink, "--");
    mime_puts(&m->sink, boundary);
    mime_puts(&m->sink, "\r\n");
}

static void close_multipart(compose_t *m, const char *boundary)
{
    mime_puts(&m->sink, "--");
    mime_puts(&m->sink, boundary);
    mime_puts(&m->sink, "--\r\n");
}

static void put_text_part(compose_t *m, const char *type, const char *text,
                          apr_size_t len)
{
    mime_encoding_t encoding;
    int ascii;

    encoding = mime_best_encoding(text, len, &ascii);
    if (encoding != MIME_7BIT && !mg_text_is_utf8(text, len)) {
        text = mg_text_clean(text, len, m->p);
        len = strlen(text);
        encoding = mime_best_encoding(text, len, &ascii);
    }
    mime_puts(&m->sink, "Content-Type: ");
    mime_puts(&m->sink, type);
    mime_puts(&m->sink, ascii ? "; charset=\"us-ascii\"\r\n"
                              : "; charset=\"utf-8\"\r\n");
    mime_put_plain(&m->sink, "Content-Transfer-Encoding",
                   mime_encoding_name(encoding));
    mime_puts(&m->sink, "\r\n");
    mime_put_text(&m->sink, text, len, encoding);
    /* the line end before a boundary is the boundary's, not the text's */
    if (m->boundaries && encoding != MIME_BASE64 && len
        && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        mime_puts(&m->sink, "\r\n");
}

/* The file's name, so that html finds it as cid:<name> (manual, "inline").
 * What no Content-ID may hold is percent-encoded, as in the URL. */
static const char *content_id(const char *filename, apr_pool_t *p)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = apr_palloc(p, strlen(filename) * 3 + 1), *o = out;

    for (; *filename; filename++) {
        unsigned char c = (unsigned char)*filename;

        if (c > 0x20 && c < 0x7f && !strchr("<>\"()\\", c)) {
            *o++ = (char)c;
            continue;
        }
        *o++ = '%';
        *o++ = hex[c >> 4];
        *o++ = hex[c & 15];
    }
    *o = '\0';
    return out;
}

static void put_file_part(compose_t *m, const mg_part_t *part)
{
    const char *name = part->filename ? part->filename : "";
    const char *type = part_type(part, m->p);
    apr_status_t rv;

    mime_puts(&m->sink, "Content-Type: ");
    mime_puts(&m->sink, type);
    put_given_charset(m, part, type);
    if (*name)
        mime_put_param(&m->sink, "name", name);
    mime_puts(&m->sink, "\r\nContent-Disposition: ");
    mime_puts(&m->sink, part->is_inline ? "inline" : "attachment");
    if (*name)
        mime_put_param(&m->sink, "filename", name);
    mime_puts(&m->sink, "\r\nContent-Transfer-Encoding: base64\r\n");
    if (part->is_inline && *name && strlen(name) <= 300) {
        mime_puts(&m->sink, "Content-ID: <");
        mime_puts(&m->sink, content_id(name, m->p));
        mime_puts(&m->sink, ">\r\n");
    }
    mime_puts(&m->sink, "\r\n");
    if (part->bytes || part->file == NULL) {
        mime_put_base64(&m->sink, part->bytes, part->len);
        return;
    }
    rv = mime_put_file_base64(&m->sink, part->file, part->offset, part->len);
    if (rv != APR_SUCCESS && m->rv == APR_SUCCESS)
        m->rv = rv;
}

static void put_file_parts(compose_t *m, const char *boundary, int is_inline)
{
    const apr_array_header_t *parts = m->c->parts;
    int i;

    for (i = 0; i < parts->nelts; i++) {
        const mg_part_t *part = APR_ARRAY_IDX(parts, i, const mg_part_t *);

        if (!part->is_inline != !is_inline)
            continue;
        next_part(m, boundary);
        put_file_part(m, part);
    }
}

static void put_html(compose_t *m)
{
    const char *boundary;

    if (!m->has_inline) {
        put_text_part(m, "text/html", m->c->html, m->c->html_len);
        return;
    }
    boundary = next_boundary(m);
    open_multipart(m, "related", boundary, "text/html");
    next_part(m, boundary);
    put_text_part(m, "text/html", m->c->html, m->c->html_len);
    put_file_parts(m, boundary, 1);
    close_multipart(m, boundary);
}

static void put_texts(compose_t *m)
{
    const char *boundary;

    if (m->c->html == NULL) {
        put_text_part(m, "text/plain", m->c->text ? m->c->text : "",
                      m->c->text ? m->c->text_len : 0);
        return;
    }
    if (m->c->text == NULL) {
        put_html(m);
        return;
    }
    boundary = next_boundary(m);
    open_multipart(m, "alternative", boundary, NULL);
    next_part(m, boundary);
    put_text_part(m, "text/plain", m->c->text, m->c->text_len);
    next_part(m, boundary);
    put_html(m);
    close_multipart(m, boundary);
}

static void put_body(compose_t *m)
{
    /* inline parts without html have nothing to be related to */
    int loose = m->has_inline && m->c->html == NULL;
    const char *boundary;

    if (!m->has_attachments && !loose) {
        put_texts(m);
        return;
    }
    boundary = next_boundary(m);
    open_multipart(m, "mixed", boundary, NULL);
    next_part(m, boundary);
    put_texts(m);
    if (loose)
        put_file_parts(m, boundary, 1);
    put_file_parts(m, boundary, 0);
    close_multipart(m, boundary);
}

/* --- header --- */

/* What decides how the body is read is ours; Bcc never shows. */
static int is_reserved(const char *name)
{
    static const char *const names[] = {
        "Content-Type", "Content-Transfer-Encoding", "MIME-Version", "Bcc",
        "Resent-Bcc", NULL
    };
    int i;

    for (i = 0; names[i]; i++) {
        if (strcasecmp(name, names[i]) == 0)
            return 1;
    }
    return 0;
}

static int is_replaced(compose_t *m, const char *name)
{
    return m->c->headers && apr_table_get(m->c->headers, name) != NULL;
}

static int has_any(const apr_array_header_t *list)
{
    return list && list->nelts > 0;
}

static void put_headers(compose_t *m)
{
    const mg_compose_t *c = m->c;
    mime_sink_t *sink = &m->sink;
    apr_array_header_t *from;

    if (c->received)
        mime_put_field(sink, "Received", c->received);
    if (!is_replaced(m, "From") && c->from) {
        from = apr_array_make(m->p, 1, sizeof(mg_address_t *));
        APR_ARRAY_PUSH(from, const mg_address_t *) = c->from;
        mime_put_addresses(sink, "From", from);
    }
    if (!is_replaced(m, "To") && has_any(c->to))
        mime_put_addresses(sink, "To", c->to);
    if (!is_replaced(m, "Cc") && has_any(c->cc))
        mime_put_addresses(sink, "Cc", c->cc);
    if (!is_replaced(m, "Subject") && c->subject)
        mime_put_field(sink, "Subject", c->subject);
    if (!is_replaced(m, "Date"))
        mime_put_plain(sink, "Date", mg_time_rfc5322(c->date, m->p));
    if (!is_replaced(m, "Message-Id"))
        mime_put_plain(sink, "Message-Id",
                       apr_pstrcat(m->p, "<", c->message_id, ">", NULL));
    if (!is_replaced(m, "Sender") && c->sender)
        mime_put_any(sink, "Sender", c->sender);
    if (c->headers) {
        const apr_array_header_t *all = apr_table_elts(c->headers);
        const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts;
        int i;

        for (i = 0; i < all->nelts; i++) {
            if (!is_reserved(e[i].key))
                mime_put_any(sink, e[i].key, e[i].val);
        }
    }
    if (c->variables)
        mime_put_json(sink, "X-Mailgun-Variables", c->variables);
    mime_put_plain(sink, "MIME-Version", "1.0");
}

int mime_check_header(const char *name, const char *value,
                      const char **perror, apr_pool_t *p)
{
    const unsigned char *c;

    for (c = (const unsigned char *)name; *c; c++) {
        if (*c >= 0x80) {
            *perror = apr_pstrcat(p, "Header name must be pure ASCII: ",
                                  mg_text_clean(name, strlen(name), p), NULL);
            return 0;
        }
        if (*c <= 0x20 || *c == 0x7f || *c == ':')
            break;
    }
    if (*c || c == (const unsigned char *)name
        || strlen(name) > HEADER_NAME_MAX) {
        *perror = apr_pstrcat(p, "Header name is not valid: ",
                              mg_text_clean(name, strlen(name), p), NULL);
        return 0;
    }
    if (value && mg_text_breaks_header(value, strlen(value))) {
        *perror = apr_pstrcat(p, "Header value must not contain line breaks: ",
                              name, NULL);
        return 0;
    }
    return 1;
}

static apr_status_t check(const mg_compose_t *c, const char **perror,
                          apr_pool_t *p)
{
    if (!mime_check_header("Subject", c->subject, perror, p)
        || !mime_check_header("Sender", c->sender, perror, p)
        || !mime_check_header("Message-Id", c->message_id, perror, p))
        return MG_EBADINPUT;
    if (c->headers) {
        const apr_array_header_t *all = apr_table_elts(c->headers);
        const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts;
        int i;

        for (i = 0; i < all->nelts; i++) {
            if (!mime_check_header(e[i].key, e[i].val, perror, p))
                return MG_EBADINPUT;
        }
    }
    return APR_SUCCESS;
}

static void count_parts(compose_t *m)
{
    const apr_array_header_t *parts = m->c->parts;
    int i;

    for (i = 0; parts && i < parts->nelts; i++) {
        if (APR_ARRAY_IDX(parts, i, const mg_part_t *)->is_inline)
            m->has_inline = 1;
        else
            m->has_attachments = 1;
    }
}

apr_status_t mg_mime_compose(mg_mime_out_t *out, const mg_compose_t *compose,
                             const char *spool_dir, apr_int64_t limit,
                             const char **perror, apr_pool_t *p)
{
    compose_t m = { .c = compose, .p = p };
    apr_status_t rv;

    *perror = NULL;
    rv = check(compose, perror, p);
    if (rv != APR_SUCCESS)
        return rv;
    count_parts(&m);
    mime_sink_init(&m.sink,
                   compose->text_len + compose->text_len / 8
                       + compose->html_len + compose->html_len / 8 + 2048,
                   spool_dir, limit, p);
    put_headers(&m);
    put_body(&m);
    rv = mime_sink_finish(out, &m.sink);
    return m.rv != APR_SUCCESS ? m.rv : rv;
}
