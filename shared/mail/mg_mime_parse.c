/* mg_mime_parse.c - a message taken apart, as a route's post wants it.
 *
 * The tree is cut here by its boundaries (RFC 2046 5.1), on slices of the
 * bytes as they are, under limits of depth and number: a hostile message costs
 * no more than its size. GMime reads types, names and encodings; charsets are
 * mime_charset.c's. Whatever is not understood becomes an attachment: nothing
 * of a message is lost but the preamble and epilogue.
 */
#include <apr_strings.h>
#include <string.h>
#include "mg_json.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mime_internal.h"

#define DEPTH_MAX 32
#define PARTS_MAX 1000
#define FIELD_MAX 8192

typedef struct {
    const char *end;          /* of the message */
    int parts, full;
    apr_array_header_t *plain, *html;  /* of const char *, to be joined */
    mg_parsed_t *parsed;
    apr_pool_t *p;
} parse_t;

static void parse_entity(parse_t *ps, const char *bytes, apr_size_t len,
                         const char *default_type, int depth);

/* --- one entity's headers --- */

/* GMime walks its list of parameters for each that it adds. */
static const char *bounded(const char *field, apr_pool_t *p)
{
    if (strlen(field) > FIELD_MAX)
        field = apr_pstrmemdup(p, field, FIELD_MAX);
    return mime_merge_words(field, p);
}

void mime_entity_read(mime_entity_t *e, const char *bytes, apr_size_t len,
                      const char *default_type, apr_pool_t *p)
{
    GMimeContentDisposition *disposition;
    GMimeContentType *type = NULL;
    const mg_header_t *h;
    apr_size_t offset;

    memset(e, 0, sizeof(*e));
    mg_mime_headers(&e->headers, &offset, bytes, len, p);
    e->head = bytes;
    e->body = bytes + offset;
    e->body_len = len - offset;

    h = mg_mime_header(e->headers, "Content-Type");
    if (h && strchr(h->raw, '/'))
        type = g_mime_content_type_parse(mime_options(), bounded(h->raw, p));
    if (type == NULL)
        type = g_mime_content_type_parse(mime_options(), default_type);
    e->type = mg_text_lower(g_mime_content_type_get_media_type(type), p);
    e->subtype = mg_text_lower(g_mime_content_type_get_media_subtype(type), p);
    e->boundary = apr_pstrdup(
        p, g_mime_content_type_get_parameter(type, "boundary"));
    e->charset = apr_pstrdup(
        p, g_mime_content_type_get_parameter(type, "charset"));
    e->filename = apr_pstrdup(
        p, g_mime_content_type_get_parameter(type, "name"));
    g_object_unref(type);

    h = mg_mime_header(e->headers, "Content-Disposition");
    if (h) {
        const char *name, *word;

        disposition = g_mime_content_disposition_parse(mime_options(),
                                                       bounded(h->raw, p));
        name = g_mime_content_disposition_get_parameter(disposition,
                                                        "filename");
        word = g_mime_content_disposition_get_disposition(disposition);
        if (name && *name)
            e->filename = apr_pstrdup(p, name);
        e->is_attachment = word && strcasecmp(word, "attachment") == 0;
        g_object_unref(disposition);
    }
    h = mg_mime_header(e->headers, "Content-ID");
    if (h && *h->raw)
        e->content_id = h->value;
    h = mg_mime_header(e->headers, "Content-Transfer-Encoding");
    e->encoding = h ? g_mime_content_encoding_from_string(h->raw)
                    : GMIME_CONTENT_ENCODING_DEFAULT;
}

int mime_entity_is_message(const mime_entity_t *e)
{
    apr_size_t len = e->filename ? strlen(e->filename) : 0;

    if (strcmp(e->type, "message") == 0)
        return strcmp(e->subtype, "rfc822") == 0
               || strcmp(e->subtype, "global") == 0
               || strcmp(e->subtype, "rfc822-headers") == 0
               || strcmp(e->subtype, "global-headers") == 0;
    if (strcmp(e->type, "text") == 0)
        return strcmp(e->subtype, "rfc822-headers") == 0
               || strcmp(e->subtype, "rfc822") == 0;
    return len > 4 && strcasecmp(e->filename + len - 4, ".eml") == 0;
}

/* The first file in it; without one, what is there. */
static const void *uudecode_part(apr_size_t *plen, const mime_entity_t *e,
                                 apr_pool_t *p)
{
    apr_array_header_t *files = apr_array_make(p, 1, sizeof(mime_uufile_t));
    apr_size_t left;

    *plen = e->body_len;
    (void)mime_uudecode(&left, files, e->body, e->body_len, p);
    if (files->nelts == 0)
        return e->body;
    *plen = APR_ARRAY_IDX(files, 0, mime_uufile_t).len;
    return APR_ARRAY_IDX(files, 0, mime_uufile_t).bytes;
}

const void *mime_entity_decode(apr_size_t *plen, const mime_entity_t *e,
                               apr_pool_t *p)
{
    GMimeEncoding state;
    char *out;

    *plen = e->body_len;
    switch (e->encoding) {
    case GMIME_CONTENT_ENCODING_BASE64:
    case GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE:
        break;
    case GMIME_CONTENT_ENCODING_UUENCODE:
        return uudecode_part(plen, e, p);
    default:
        return e->body;
    }
    g_mime_encoding_init_decode(&state, e->encoding);
    out = apr_palloc(p, g_mime_encoding_outlen(&state, e->body_len) + 16);
    *plen = g_mime_encoding_step(&state, e->body, e->body_len, out);
    /* base64 whose padding was cut off still holds its last octets */
    *plen += g_mime_encoding_flush(&state, "==",
                                   e->encoding
                                           == GMIME_CONTENT_ENCODING_BASE64
                                       ? 2 : 0,
                                   out + *plen);
    return out;
}

/* --- leaves --- */

static const char *clean_filename(const char *name, apr_pool_t *p)
{
    char *copy, *c;

    if (name == NULL || *name == '\0')
        return NULL;
    copy = apr_pstrdup(p, mg_text_clean(name, strlen(name), p));
    for (c = copy; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '_';
    }
    return copy;
}

static void add_attachment(parse_t *ps, const mime_entity_t *e,
                           const void *bytes, apr_size_t len)
{
    mg_attachment_t *a = apr_array_push(ps->parsed->attachments);
    apr_pool_t *p = ps->p;

    a->bytes = bytes;
    a->len = len;
    a->content_type = apr_pstrcat(p, e->type, "/", e->subtype, NULL);
    if (mg_text_breaks_header(a->content_type, strlen(a->content_type)))
        a->content_type = "application/octet-stream";
    if (strcmp(e->type, "text") == 0 && e->charset
        && strspn(e->charset, "abcdefghijklmnopqrstuvwxyz0123456789_-:."
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
               == strlen(e->charset))
        a->content_type = apr_pstrcat(p, a->content_type, "; charset=",
                                      e->charset, NULL);
    a->filename = clean_filename(e->filename, p);
    if (a->filename == NULL)
        a->filename = strcmp(e->type, "message") == 0
                          ? "message.eml"
                          : apr_psprintf(p, "attachment-%d",
                                         ps->parsed->attachments->nelts);
    a->content_id = e->content_id;
}

/* From here to the end of the message, as it stands. */
static void add_rest(parse_t *ps, const char *from)
{
    mime_entity_t rest = { .type = "application", .subtype = "octet-stream",
                           .filename = "rest.eml" };

    add_attachment(ps, &rest, from, (apr_size_t)(ps->end - from));
    ps->full = 1;
}

static void add_other_text(parse_t *ps, const char *subtype, const char *text)
{
    apr_table_addn(ps->parsed->other_texts,
                   apr_pstrcat(ps->p, "body-", subtype, NULL), text);
}

/* What mailers of before MIME put into a text. */
static const void *take_files(apr_size_t *plen, parse_t *ps, const void *text,
                              apr_size_t len)
{
    apr_array_header_t *files = apr_array_make(ps->p, 2,
                                               sizeof(mime_uufile_t));
    int i;

    text = mime_uudecode(plen, files, text, len, ps->p);
    for (i = 0; i < files->nelts; i++) {
        const mime_uufile_t *f = &APR_ARRAY_IDX(files, i, mime_uufile_t);
        mime_entity_t e = { .type = "application", .subtype = "octet-stream",
                            .filename = f->name };

        add_attachment(ps, &e, f->bytes, f->len);
    }
    return text;
}

static void add_leaf(parse_t *ps, const mime_entity_t *e)
{
    apr_size_t len;
    const void *bytes = mime_entity_decode(&len, e, ps->p);
    const char *text;

    if (strcmp(e->type, "text") != 0 || e->is_attachment
        || (e->filename && *e->filename)) {
        add_attachment(ps, e, bytes, len);
        return;
    }
    if (strcmp(e->subtype, "plain") == 0)
        bytes = take_files(&len, ps, bytes, len);
    text = mime_to_utf8(e->charset, bytes, len, ps->p);
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3; /* a byte order mark is no text */
    if (strcmp(e->subtype, "plain") == 0)
        APR_ARRAY_PUSH(ps->plain, const char *) = text;
    else if (strcmp(e->subtype, "html") == 0)
        APR_ARRAY_PUSH(ps->html, const char *) = text;
    else
        add_other_text(ps, mg_text_clean(e->subtype, strlen(e->subtype),
                                         ps->p), text);
}

/* --- the tree --- */

/* The next "--boundary" that begins a line of [s, end). *pnext: behind its
 * line; *pclose: it was "--boundary--". NULL: there is none. */
const char *mime_find_boundary(const char *s, const char *end,
                               const char *start, const char *boundary,
                               const char **pnext, int *pclose)
{
    apr_size_t len = strlen(boundary);
    const char *at, *c;

    for (; s < end; s = at + 1) {
        at = memmem(s, (apr_size_t)(end - s), boundary, len);
        if (at == NULL)
            return NULL;
        if (at - start < 2 || at[-1] != '-' || at[-2] != '-'
            || (at - 2 > start && at[-3] != '\n'))
            continue;
        c = at + len;
        *pclose = end - c >= 2 && c[0] == '-' && c[1] == '-';
        if (*pclose)
            c += 2;
        while (c < end && (*c == ' ' || *c == '\t' || *c == '\r'))
            c++;
        if (c < end && *c != '\n')
            continue; /* a longer boundary that begins alike */
        *pnext = c < end ? c + 1 : end;
        return at - 2;
    }
    return NULL;
}

/* The line end before a boundary belongs to it (RFC 2046 5.1.1). */
static apr_size_t part_len(const char *start, const char *end)
{
    if (end > start && end[-1] == '\n')
        end--;
    if (end > start && end[-1] == '\r')
        end--;
    return (apr_size_t)(end - start);
}

static void parse_multipart(parse_t *ps, const mime_entity_t *e, int depth)
{
    const char *start = e->body, *end = start + e->body_len;
    const char *part, *next, *stop;
    const char *type = strcmp(e->subtype, "digest") == 0 ? "message/rfc822"
                                                         : "text/plain";
    int closed = 0;

    if (mime_find_boundary(start, end, start, e->boundary, &part, &closed)
        == NULL) {
        /* no part: what there is, is text */
        mime_entity_t text = *e;

        text.type = "text";
        text.subtype = "plain";
        add_leaf(ps, &text);
        return;
    }
    while (!closed && part < end && !ps->full) {
        stop = mime_find_boundary(part, end, start, e->boundary, &next,
                                  &closed);
        if (ps->parts >= PARTS_MAX) {
            add_rest(ps, part);
            return;
        }
        parse_entity(ps, part, stop ? part_len(part, stop)
                                    : (apr_size_t)(end - part),
                     type, depth + 1);
        if (stop == NULL)
            return; /* never closed: it was cut, or sent so */
        part = next;
    }
}

static void parse_entity(parse_t *ps, const char *bytes, apr_size_t len,
                         const char *default_type, int depth)
{
    mime_entity_t e;

    ps->parts++;
    mime_entity_read(&e, bytes, len, default_type, ps->p);
    if (depth == 0) {
        const mg_header_t *h;

        ps->parsed->headers = e.headers;
        h = mg_mime_header(e.headers, "From");
        ps->parsed->from = h ? h->value : "";
        h = mg_mime_header(e.headers, "Subject");
        ps->parsed->subject = h ? h->value : "";
    }
    if (strcmp(e.type, "multipart") != 0) {
        add_leaf(ps, &e);
        return;
    }
    if (depth >= DEPTH_MAX) {
        e.encoding = GMIME_CONTENT_ENCODING_DEFAULT;
        e.filename = "deep.eml";
        add_attachment(ps, &e, bytes, len);
        return;
    }
    if (e.boundary == NULL || *e.boundary == '\0'
        || strlen(e.boundary) > 1000) {
        e.type = "text";
        e.subtype = "plain";
        add_leaf(ps, &e);
        return;
    }
    parse_multipart(ps, &e, depth);
}

static const char *join(const apr_array_header_t *texts, apr_pool_t *p)
{
    if (texts->nelts == 1)
        return APR_ARRAY_IDX(texts, 0, const char *);
    return texts->nelts ? apr_array_pstrcat(p, texts, '\n') : NULL;
}

/* Texts of one subtype become one. */
static apr_table_t *join_others(const apr_table_t *texts, apr_pool_t *p)
{
    const apr_array_header_t *all = apr_table_elts(texts);
    const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts;
    apr_table_t *joined = apr_table_make(p, 2);
    int i, k;

    for (i = 0; i < all->nelts; i++) {
        apr_array_header_t *same;

        if (apr_table_get(joined, e[i].key))
            continue;
        same = apr_array_make(p, 2, sizeof(const char *));
        for (k = i; k < all->nelts; k++) {
            if (strcasecmp(e[k].key, e[i].key) == 0)
                APR_ARRAY_PUSH(same, const char *) = e[k].val;
        }
        apr_table_setn(joined, e[i].key, join(same, p));
    }
    return joined;
}

static const char *map_content_ids(const apr_array_header_t *attachments,
                                   apr_pool_t *p)
{
    json_t *map = json_object();
    const char *text = NULL;
    int i;

    for (i = 0; i < attachments->nelts; i++) {
        const mg_attachment_t *a = &APR_ARRAY_IDX(attachments, i,
                                                  mg_attachment_t);

        if (a->content_id)
            json_object_set_new(map, a->content_id,
                                json_string(apr_psprintf(p, "attachment-%d",
                                                         i + 1)));
    }
    if (json_object_size(map))
        text = mg_json_compact(map, p);
    json_decref(map);
    return text;
}

apr_status_t mg_mime_parse(mg_parsed_t **pparsed, const char *bytes,
                           apr_size_t len, apr_pool_t *p)
{
    mg_parsed_t *parsed = apr_pcalloc(p, sizeof(*parsed));
    parse_t ps = { .end = bytes + len, .parsed = parsed, .p = p };

    ps.plain = apr_array_make(p, 2, sizeof(const char *));
    ps.html = apr_array_make(p, 2, sizeof(const char *));
    parsed->attachments = apr_array_make(p, 4, sizeof(mg_attachment_t));
    parsed->other_texts = apr_table_make(p, 2);
    parse_entity(&ps, bytes, len, "text/plain", 0);
    parsed->body_html = join(ps.html, p);
    parsed->body_plain = join(ps.plain, p);
    if (parsed->body_plain == NULL)
        parsed->body_plain = parsed->body_html
                                 ? mime_html_to_text(parsed->body_html, p)
                                 : "";
    parsed->other_texts = join_others(parsed->other_texts, p);
    parsed->content_id_map = map_content_ids(parsed->attachments, p);
    *pparsed = parsed;
    return APR_SUCCESS;
}
