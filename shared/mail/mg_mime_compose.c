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
 * (RFC 2046 5.1, RFC 2387). The parts are GMime's objects and GMime writes
 * them; the message's own fields stand above, in our order (mime_field.c). The
 * bytes depend on the parameters alone: what is accepted once can be made again
 * (design 9). Files are read and encoded as they are written, whatever their
 * size.
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
static const char *given_charset(const mg_part_t *part, const char *type,
                                 apr_pool_t *p)
{
    const char *s = part->content_type;
    apr_size_t len;

    if (s == NULL || strncasecmp(type, "text/", 5) != 0)
        return NULL;
    for (s = strchr(s, ';'); s; s = strchr(s, ';')) {
        s += 1 + strspn(s + 1, " \t");
        if (strncasecmp(s, "charset=", 8) != 0)
            continue;
        s += 8;
        s += *s == '"';
        len = token_len(s);
        return len && len < 40 ? apr_pstrmemdup(p, s, len) : NULL;
    }
    return NULL;
}

/* --- parts --- */

/* Fixed by the message's id, so that a copy made again is the same. "=_"
 * cannot stand in base64 or quoted-printable (RFC 2045 6.7). */
static GMimeMultipart *new_multipart(compose_t *m, const char *subtype)
{
    GMimeMultipart *multipart = g_mime_multipart_new_with_subtype(subtype);
    unsigned char digest[32];
    const char *seed = apr_psprintf(m->p, "%d %s", m->boundaries++,
                                    m->c->message_id);

    mg_sha256(digest, seed, strlen(seed));
    g_mime_multipart_set_boundary(
        multipart,
        apr_pstrcat(m->p, "=_", mg_text_hex(digest, 14, m->p), NULL));
    return multipart;
}

static void add(GMimeMultipart *multipart, GMimeObject *part)
{
    g_mime_multipart_add(multipart, part);
    g_object_unref(part);
}

/* Takes the stream. */
static void set_content(GMimePart *part, GMimeStream *stream,
                        mime_encoding_t encoding)
{
    GMimeDataWrapper *content = g_mime_data_wrapper_new_with_stream(
        stream, GMIME_CONTENT_ENCODING_DEFAULT);

    g_mime_part_set_content(part, content);
    g_mime_part_set_content_encoding(part, mime_encoding_gmime(encoding));
    g_object_unref(content);
    g_object_unref(stream);
}

/* Within a multipart the line end before a boundary is the boundary's; a
 * message that is one text ends its last line. */
static GMimeObject *new_text(compose_t *m, const char *subtype,
                             const char *text, apr_size_t len)
{
    GMimePart *part = g_mime_part_new_with_type("text", subtype);
    mime_encoding_t encoding;
    int ascii;

    encoding = mime_best_encoding(text, len, &ascii);
    if (encoding != MIME_7BIT && !mg_text_is_utf8(text, len)) {
        text = mg_text_clean(text, len, m->p);
        len = strlen(text);
        encoding = mime_best_encoding(text, len, &ascii);
    }
    text = mg_mime_crlf(text, len, &len, m->p);
    if (m->boundaries == 0 && len && text[len - 1] != '\n') {
        text = apr_pstrcat(m->p, text, "\r\n", NULL);
        len += 2;
    }
    g_mime_object_set_content_type_parameter(
        GMIME_OBJECT(part), "charset", ascii ? "us-ascii" : "utf-8");
    set_content(part, mime_stream_of_bytes(text, len, m->p), encoding);
    return GMIME_OBJECT(part);
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

/* GMime writes a line break in a name as one. */
static const char *file_name(const mg_part_t *part, apr_pool_t *p)
{
    char *name = apr_pstrdup(p, part->filename ? part->filename : ""), *c;

    for (c = name; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '_';
    }
    return mg_text_clean(name, strlen(name), p);
}

/* NULL and m->rv: the file holds less than it should. */
static GMimeStream *stream_of(compose_t *m, const mg_part_t *part)
{
    GMimeStream *stream = NULL;
    apr_finfo_t info;

    if (part->bytes || part->file == NULL)
        return mime_stream_of_bytes(part->bytes ? part->bytes : "", part->len,
                                    m->p);
    m->rv = apr_file_info_get(&info, APR_FINFO_SIZE, part->file);
    if (m->rv == APR_SUCCESS
        && info.size - part->offset >= (apr_off_t)part->len)
        stream = mime_stream_of_file(part->file, part->offset, part->len);
    if (stream == NULL && m->rv == APR_SUCCESS)
        m->rv = MG_EIO;
    return stream;
}

static GMimeObject *new_file(compose_t *m, const mg_part_t *part)
{
    const char *name = file_name(part, m->p);
    const char *type = part_type(part, m->p);
    const char *slash = strchr(type, '/');
    const char *charset = given_charset(part, type, m->p);
    GMimePart *file = g_mime_part_new_with_type(
        apr_pstrmemdup(m->p, type, (apr_size_t)(slash - type)), slash + 1);
    GMimeStream *stream = stream_of(m, part);

    if (charset)
        g_mime_object_set_content_type_parameter(GMIME_OBJECT(file),
                                                 "charset", charset);
    g_mime_object_set_disposition(GMIME_OBJECT(file),
                                  part->is_inline ? "inline" : "attachment");
    if (*name)
        g_mime_part_set_filename(file, name);
    if (part->is_inline && *name && strlen(name) <= 300)
        g_mime_part_set_content_id(file, content_id(name, m->p));
    if (stream)
        set_content(file, stream, MIME_BASE64);
    return GMIME_OBJECT(file);
}

static void add_files(compose_t *m, GMimeMultipart *multipart, int is_inline)
{
    const apr_array_header_t *parts = m->c->parts;
    int i;

    for (i = 0; i < parts->nelts; i++) {
        const mg_part_t *part = APR_ARRAY_IDX(parts, i, const mg_part_t *);

        if (!part->is_inline == !is_inline)
            add(multipart, new_file(m, part));
    }
}

static GMimeObject *new_html(compose_t *m)
{
    GMimeMultipart *related;

    if (!m->has_inline)
        return new_text(m, "html", m->c->html, m->c->html_len);
    related = new_multipart(m, "related");
    g_mime_object_set_content_type_parameter(GMIME_OBJECT(related), "type",
                                             "text/html");
    add(related, new_text(m, "html", m->c->html, m->c->html_len));
    add_files(m, related, 1);
    return GMIME_OBJECT(related);
}

static GMimeObject *new_texts(compose_t *m)
{
    GMimeMultipart *alternative;

    if (m->c->html == NULL)
        return new_text(m, "plain", m->c->text ? m->c->text : "",
                        m->c->text ? m->c->text_len : 0);
    if (m->c->text == NULL)
        return new_html(m);
    alternative = new_multipart(m, "alternative");
    add(alternative, new_text(m, "plain", m->c->text, m->c->text_len));
    add(alternative, new_html(m));
    return GMIME_OBJECT(alternative);
}

static GMimeObject *new_body(compose_t *m)
{
    /* inline parts without html have nothing to be related to */
    int loose = m->has_inline && m->c->html == NULL;
    GMimeMultipart *mixed;

    if (!m->has_attachments && !loose)
        return new_texts(m);
    mixed = new_multipart(m, "mixed");
    add(mixed, new_texts(m));
    if (loose)
        add_files(m, mixed, 1);
    add_files(m, mixed, 0);
    return GMIME_OBJECT(mixed);
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

/* Unless h:Sender names one in the same domain. */
static const char *sender_of(compose_t *m)
{
    const char *given = m->c->headers ? apr_table_get(m->c->headers, "Sender")
                                      : NULL;

    return m->c->sender && given
               && mime_is_sender_in(given, m->c->sender, m->p)
               ? NULL : m->c->sender;
}

static int has_any(const apr_array_header_t *list)
{
    return list && list->nelts > 0;
}

static void put_headers(mime_sink_t *sink, compose_t *m)
{
    const mg_compose_t *c = m->c;
    const char *ours = sender_of(m);
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
    if (ours)
        mime_put_any(sink, "Sender", ours);
    if (c->headers) {
        const apr_array_header_t *all = apr_table_elts(c->headers);
        const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts;
        int i;

        for (i = 0; i < all->nelts; i++) {
            if (!is_reserved(e[i].key)
                && !(ours && strcasecmp(e[i].key, "Sender") == 0))
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

/* Base64 of all files alone: nothing is written that is too large anyway. */
static int is_too_large(const mg_compose_t *c, apr_int64_t limit)
{
    apr_int64_t total = 0;
    int i;

    for (i = 0; c->parts && i < c->parts->nelts; i++)
        total += (apr_int64_t)APR_ARRAY_IDX(c->parts, i,
                                            const mg_part_t *)->len;
    return limit && total / 3 * 4 > limit;
}

static apr_status_t write_body(mime_sink_t *sink, compose_t *m)
{
    GMimeObject *body = new_body(m);
    GMimeStream *out = mime_stream_to_sink(sink);

    if (m->rv == APR_SUCCESS
        && g_mime_object_write_to_stream(body, mime_format(), out) < 0)
        m->rv = sink->rv != APR_SUCCESS ? sink->rv : MG_EIO;
    g_object_unref(out);
    g_object_unref(body);
    return m->rv;
}

apr_status_t mg_mime_compose(mg_mime_out_t *out, const mg_compose_t *compose,
                             const char *spool_dir, apr_int64_t limit,
                             const char **perror, apr_pool_t *p)
{
    compose_t m = { .c = compose, .p = p };
    mime_sink_t sink;
    apr_status_t rv;

    *perror = NULL;
    rv = check(compose, perror, p);
    if (rv != APR_SUCCESS)
        return rv;
    if (is_too_large(compose, limit))
        return MG_ELIMIT;
    count_parts(&m);
    mime_sink_init(&sink,
                   compose->text_len + compose->text_len / 8
                       + compose->html_len + compose->html_len / 8 + 2048,
                   spool_dir, limit, p);
    put_headers(&sink, &m);
    rv = write_body(&sink, &m);
    return rv != APR_SUCCESS ? rv : mime_sink_finish(out, &sink);
}
