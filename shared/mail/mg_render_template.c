/* mg_render_template.c - a message with variables, parsed once; its copies.
 *
 * A template is the stored content with spots in it: the message's header
 * block, and each part that holds variables. What lies between the spots is
 * stored content, byte for byte, kept in memory only where it is little.
 *
 * A spot is written in two steps, the text first: its charset and encoding
 * depend on what was filled in, and the header says them.
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_render_private.h"
#include "mg_status.h"

#define BETWEEN_KEPT (64 * 1024)
#define HEAD_MAX (512 * 1024)
#define LINE_MAX_OCTETS 998

typedef enum { HEAD_LITERAL, HEAD_FIELD, HEAD_TYPE, HEAD_ENCODING }
    head_kind_t;

typedef struct {
    head_kind_t kind;
    const char *bytes;             /* as it stands */
    apr_size_t len;
    const render_field_t *field;   /* HEAD_FIELD; NULL: it is left out */
    const char *name, *raw;        /* HEAD_TYPE, HEAD_ENCODING */
} head_item_t;

typedef struct {
    apr_array_header_t *tokens;
    render_place_t place;
    const char *charset;           /* that it is written in, or NULL: UTF-8 */
    int says_utf8;                 /* its Content-Type does */
    mime_encoding_t encoding;      /* as it came; MIME_7BIT: none */
    int raw;                       /* octets as they came, without variables */
    int ascii;                     /* its charset is UTF-8, or ASCII's */
    int eight_bit;                 /* raw: there are octets above 127 */
} template_text_t;

typedef struct {
    apr_int64_t offset;
    apr_size_t head_len, body_len; /* stored octets that it replaces */
    int nested;                    /* a boundary follows */
    apr_array_header_t *head;      /* of head_item_t */
    template_text_t *text;         /* or NULL: the body stays */
    const json_t *track;           /* what is tracked of it, or NULL */
} spot_t;

struct mg_template_t {
    apr_array_header_t *spots;     /* of spot_t; the first is the message */
    apr_array_header_t *between;   /* of mg_render_piece_t: before each spot,
                                    * and behind the last */
    apr_size_t memory;
    int eight_bit;
};

/* --- the plan --- */

static int plan_number(apr_int64_t *pn, const json_t *numbers, size_t i,
                       apr_int64_t max)
{
    const json_t *n = json_array_get(numbers, i);

    *pn = json_integer_value(n);
    return json_is_integer(n) && *pn >= 0 && *pn <= max;
}

static int read_spot(spot_t *spot, const json_t *numbers, apr_int64_t from,
                     apr_int64_t size)
{
    apr_int64_t head_len, body_len;

    if (!plan_number(&spot->offset, numbers, 0, size)
        || !plan_number(&head_len, numbers, 1, HEAD_MAX)
        || !plan_number(&body_len, numbers, 2, MG_RENDER_TEXT_MAX)
        || spot->offset < from
        || spot->offset + head_len + body_len > size)
        return 0;
    spot->head_len = (apr_size_t)head_len;
    spot->body_len = (apr_size_t)body_len;
    spot->track = json_array_get(numbers, 4);
    return 1;
}

/* --- parsing --- */

static void add_literal(apr_array_header_t *items, const char *s,
                        const char *end)
{
    head_item_t *item;

    if (end == s)
        return;
    item = apr_array_push(items);
    memset(item, 0, sizeof(*item));
    item->bytes = s;
    item->len = (apr_size_t)(end - s);
}

static const char *field_end(const char *s, const char *end)
{
    do {
        const char *eol = memchr(s, '\n', (apr_size_t)(end - s));

        s = eol ? eol + 1 : end;
    } while (s < end && (*s == ' ' || *s == '\t'));
    return s;
}

typedef struct {
    const spot_t *spot;
    int own_to, to_seen;
} head_reader_t;

/* @return 0: the field goes out as it stands */
static int read_item(head_item_t *item, head_reader_t *r, const mg_header_t *h,
                     apr_pool_t *p)
{
    memset(item, 0, sizeof(*item));
    if (r->spot->text && strcasecmp(h->name, "Content-Type") == 0)
        item->kind = HEAD_TYPE;
    else if (r->spot->text
             && strcasecmp(h->name, "Content-Transfer-Encoding") == 0)
        item->kind = HEAD_ENCODING;
    else if (r->spot->nested)
        return 0;
    else {
        item->kind = HEAD_FIELD;
        if (r->own_to && strcasecmp(h->name, "To") == 0) {
            item->field = r->to_seen++ ? NULL : render_field_own_to(p);
            return 1;
        }
        item->field = render_field_parse(h, p);
        return item->field != NULL;
    }
    item->name = h->name;
    item->raw = h->raw;
    return 1;
}

static apr_array_header_t *parse_head(const spot_t *spot, const char *head,
                                      int own_to, apr_pool_t *p)
{
    apr_array_header_t *items = apr_array_make(p, 4, sizeof(head_item_t));
    const char *s = head, *plain = head, *end = head + spot->head_len, *next;
    head_reader_t r = { spot, own_to, 0 };
    apr_array_header_t *fields;
    head_item_t item;

    for (; s < end && *s != '\r' && *s != '\n'; s = next) {
        next = field_end(s, end);
        mg_mime_headers(&fields, NULL, s, (apr_size_t)(next - s), p);
        if (fields->nelts != 1
            || !read_item(&item, &r, &APR_ARRAY_IDX(fields, 0, mg_header_t),
                          p))
            continue;
        item.bytes = s;
        item.len = (apr_size_t)(next - s);
        add_literal(items, plain, s);
        APR_ARRAY_PUSH(items, head_item_t) = item;
        plain = next;
    }
    add_literal(items, plain, s); /* without the empty line */
    if (own_to && !r.to_seen) {
        memset(&item, 0, sizeof(item));
        item.kind = HEAD_FIELD;
        item.field = render_field_own_to(p);
        APR_ARRAY_PUSH(items, head_item_t) = item;
    }
    return items;
}

static int has_eight_bit(const char *bytes, apr_size_t len)
{
    unsigned char all = 0;
    apr_size_t i;

    for (i = 0; i < len; i++)
        all |= (unsigned char)bytes[i];
    return all > 127;
}

static int ends_in_html(const char *subtype)
{
    apr_size_t len = strlen(subtype);

    return len >= 4 && strcmp(subtype + len - 4, "html") == 0;
}

/* NULL: what is to be tracked of it are no places in it. */
static template_text_t *parse_text(const mime_entity_t *e, const json_t *track,
                                   apr_pool_t *p)
{
    template_text_t *text = apr_pcalloc(p, sizeof(*text));
    const char *utf8;
    apr_size_t len;
    int variables, i;

    if (json_object_get(track, "n")) {
        text->tokens = render_track_tokens(track, e, &text->raw, p);
        if (!text->tokens)
            return NULL;
    }
    else {
        utf8 = render_decode(&len, e, p);
        render_parse(&text->tokens, &variables, utf8, len, p);
    }
    for (i = 0; text->raw && i < text->tokens->nelts; i++) {
        const render_token_t *t = &APR_ARRAY_IDX(text->tokens, i,
                                                 render_token_t);

        text->eight_bit |= has_eight_bit(t->text, t->len);
    }
    text->place = ends_in_html(e->subtype) || strcmp(e->subtype, "xml") == 0
                      ? RENDER_HTML : RENDER_RAW;
    text->says_utf8 = e->charset && strcasecmp(e->charset, "utf-8") == 0;
    text->ascii = mime_is_utf8_name(e->charset);
    if (!text->ascii)
        text->charset = e->charset;
    text->encoding = e->encoding == GMIME_CONTENT_ENCODING_BASE64
                         ? MIME_BASE64
                     : e->encoding == GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE
                         ? MIME_QP : MIME_7BIT;
    return text;
}

static apr_status_t parse_spot(mg_template_t *t, spot_t *spot, int own_to,
                               mg_render_read_fn *read, void *baton,
                               apr_pool_t *p)
{
    const char *bytes;
    mime_entity_t e;
    apr_status_t rv;

    rv = read(&bytes, spot->offset, spot->head_len + spot->body_len, baton, p);
    if (rv != APR_SUCCESS)
        return rv;
    mime_entity_read(&e, bytes, spot->head_len + spot->body_len, "text/plain",
                     p);
    if ((apr_size_t)(e.body - bytes) != spot->head_len)
        return MG_EBADINPUT;
    if (spot->body_len) {
        if (!render_is_text(&e))
            return MG_EBADINPUT;
        spot->text = parse_text(&e, spot->track, p);
        if (!spot->text)
            return MG_EBADINPUT;
    }
    spot->head = parse_head(spot, bytes, own_to, p);
    t->memory += 3 * (spot->head_len + spot->body_len);
    return APR_SUCCESS;
}

static apr_status_t keep_between(mg_template_t *t, mg_render_read_fn *read,
                                 void *baton, apr_pool_t *p)
{
    apr_int64_t total = 0;
    apr_status_t rv;
    int i;

    for (i = 0; i < t->between->nelts; i++)
        total += APR_ARRAY_IDX(t->between, i, mg_render_piece_t).len;
    t->eight_bit = total > BETWEEN_KEPT;
    if (t->eight_bit)
        return APR_SUCCESS;
    for (i = 0; i < t->between->nelts; i++) {
        mg_render_piece_t *piece = &APR_ARRAY_IDX(t->between, i,
                                                  mg_render_piece_t);

        if (piece->len == 0)
            continue;
        rv = read(&piece->bytes, piece->offset, (apr_size_t)piece->len, baton,
                  p);
        if (rv != APR_SUCCESS)
            return rv;
        t->eight_bit |= has_eight_bit(piece->bytes, (apr_size_t)piece->len);
    }
    t->memory += (apr_size_t)total;
    return APR_SUCCESS;
}

static void add_between(mg_template_t *t, apr_int64_t from, apr_int64_t to)
{
    mg_render_piece_t *piece = apr_array_push(t->between);

    piece->bytes = NULL;
    piece->offset = from;
    piece->len = to - from;
}

apr_status_t mg_template_parse(mg_template_t **ptemplate, const json_t *plan,
                               apr_int64_t size, mg_render_read_fn *read,
                               void *baton, apr_pool_t *p)
{
    mg_template_t *t = apr_pcalloc(p, sizeof(*t));
    size_t i, n = json_array_size(plan);
    apr_int64_t at = 0;
    apr_status_t rv;

    if (n == 0 || n > MG_RENDER_SPOTS_MAX + 1)
        return MG_EBADINPUT;
    t->spots = apr_array_make(p, (int)n, sizeof(spot_t));
    t->between = apr_array_make(p, (int)n + 1, sizeof(mg_render_piece_t));
    t->memory = 4096;
    for (i = 0; i < n; i++) {
        const json_t *numbers = json_array_get(plan, i);
        spot_t *spot = apr_array_push(t->spots);

        memset(spot, 0, sizeof(*spot));
        spot->nested = i > 0;
        if (!read_spot(spot, numbers, at, size)
            || (i == 0 && spot->offset != 0))
            return MG_EBADINPUT;
        add_between(t, at, spot->offset);
        at = spot->offset + (apr_int64_t)(spot->head_len + spot->body_len);
        rv = parse_spot(t, spot,
                        json_integer_value(json_array_get(numbers, 3)) != 0,
                        read, baton, p);
        if (rv != APR_SUCCESS)
            return rv;
    }
    add_between(t, at, size);
    *ptemplate = t;
    return keep_between(t, read, baton, p);
}

apr_size_t mg_template_memory(const mg_template_t *t)
{
    return t->memory;
}

/* --- a copy --- */

/* How a text is written this time. */
typedef struct {
    const char *bytes;
    apr_size_t len;
    int utf8;                  /* its Content-Type has to say so, and does not */
    mime_encoding_t encoding;
} written_t;

static int fits_7bit(const char *bytes, apr_size_t len)
{
    const char *s = bytes, *end = bytes + len, *eol;

    if (has_eight_bit(bytes, len) || memchr(bytes, 0, len))
        return 0;
    for (; s < end; s = eol + 1) {
        eol = memchr(s, '\n', (apr_size_t)(end - s));
        if (eol == NULL)
            eol = end;
        if (eol - s > LINE_MAX_OCTETS)
            return 0;
    }
    return 1;
}

static int has_dash_line(const char *bytes, apr_size_t len)
{
    return (len >= 2 && memcmp(bytes, "--", 2) == 0)
           || memmem(bytes, len, "\n--", 3) || memmem(bytes, len, "\r--", 3);
}

/* A value with a line that looks like a boundary would end the part: base64
 * has no dashes. */
static mime_encoding_t choose_encoding(const template_text_t *text,
                                       const written_t *w,
                                       const render_values_t *values)
{
    mime_encoding_t best;
    int ascii;

    if (values->dashes && has_dash_line(w->bytes, w->len))
        return MIME_BASE64;
    if (text->encoding != MIME_7BIT || fits_7bit(w->bytes, w->len))
        return text->encoding;
    best = mime_best_encoding(w->bytes, w->len, &ascii);
    return best == MIME_7BIT ? MIME_QP : best;
}

static void write_text(mg_render_piece_t *piece, written_t *w,
                       const spot_t *spot, render_values_t *values)
{
    const template_text_t *text = spot->text;
    apr_pool_t *p = values->p;
    mime_sink_t sink;
    mg_mime_out_t out;

    w->bytes = render_text(&w->len, text->tokens, values, text->place);
    w->utf8 = !text->says_utf8 && has_eight_bit(w->bytes, w->len)
              && (!text->raw || (text->ascii && !text->eight_bit));
    if (text->charset && !text->raw) {
        apr_size_t len;
        const char *bytes = mime_from_utf8(text->charset, w->bytes, w->len,
                                           &len, p);

        w->utf8 = bytes == NULL;
        if (bytes) {
            w->bytes = bytes;
            w->len = len;
        }
    }
    w->encoding = choose_encoding(text, w, values);
    mime_sink_init(&sink, w->len + w->len / (w->encoding == MIME_7BIT ? 64 : 2)
                              + 64, NULL, 0, p);
    if (text->raw)
        mime_put_octets(&sink, w->bytes, w->len, w->encoding, !spot->nested);
    else
        mime_put_text(&sink, w->bytes, w->len, w->encoding);
    mime_sink_finish(&out, &sink);
    piece->bytes = out.bytes;
    piece->len = out.size;
    /* the line end before a boundary is the boundary's */
    if (spot->nested && w->len
        && (w->encoding == MIME_BASE64
            || (!text->raw && w->bytes[w->len - 1] != '\n')))
        piece->len -= 2;
}

static void put_item(mime_sink_t *sink, const head_item_t *item,
                     const written_t *w, const template_text_t *text,
                     render_values_t *values)
{
    if (item->kind == HEAD_FIELD) {
        if (item->field)
            render_field_put(sink, item->field, values);
    }
    else if (item->kind == HEAD_TYPE && w->utf8)
        mime_put_utf8_type(sink, item->name, item->raw);
    else if (item->kind == HEAD_ENCODING && w->encoding != text->encoding)
        mime_put_plain(sink, item->name, mime_encoding_name(w->encoding));
    else
        mime_put(sink, item->bytes, item->len);
}

static void write_head(mg_render_piece_t *piece, const spot_t *spot,
                       const written_t *w, render_values_t *values)
{
    const template_text_t *text = spot->text;
    int i, type = 0, encoding = 0;
    mime_sink_t sink;
    mg_mime_out_t out;

    mime_sink_init(&sink, spot->head_len + 512, NULL, 0, values->p);
    for (i = 0; i < spot->head->nelts; i++) {
        const head_item_t *item = &APR_ARRAY_IDX(spot->head, i, head_item_t);

        type |= item->kind == HEAD_TYPE;
        encoding |= item->kind == HEAD_ENCODING;
        put_item(&sink, item, w, text, values);
    }
    if (text && w->utf8 && !type)
        mime_put_utf8_type(&sink, "Content-Type", "text/plain");
    if (text && w->encoding != text->encoding && !encoding)
        mime_put_plain(&sink, "Content-Transfer-Encoding",
                       mime_encoding_name(w->encoding));
    if (json_object_get(spot->track, "u"))
        render_track_fields(&sink, values);
    mime_put(&sink, "\r\n", 2);
    mime_sink_finish(&out, &sink);
    piece->bytes = out.bytes;
    piece->len = out.size;
    piece->offset = 0;
}

static void push_piece(mg_render_copy_t *copy, const mg_render_piece_t *piece)
{
    if (piece->len == 0)
        return;
    APR_ARRAY_PUSH(copy->pieces, mg_render_piece_t) = *piece;
    copy->size += piece->len;
}

static void write_spot(mg_render_copy_t *copy, const spot_t *spot,
                       render_values_t *values)
{
    mg_render_piece_t head = { 0 }, body = { 0 };
    written_t w = { 0 };

    if (spot->text)
        write_text(&body, &w, spot, values);
    write_head(&head, spot, &w, values);
    copy->eight_bit |= has_eight_bit(head.bytes, (apr_size_t)head.len);
    push_piece(copy, &head);
    if (!spot->nested)
        copy->nhead = 1;
    push_piece(copy, &body);
}

apr_status_t mg_render_copy(mg_render_copy_t *copy, const mg_template_t *t,
                            const mg_render_for_t *who, apr_pool_t *p)
{
    render_values_t values;
    int i;

    render_values_init(&values, who, p);
    memset(copy, 0, sizeof(*copy));
    copy->pieces = apr_array_make(p, 2 * t->between->nelts + 2,
                                  sizeof(mg_render_piece_t));
    copy->eight_bit = t->eight_bit;
    for (i = 0; i < t->between->nelts; i++) {
        push_piece(copy, &APR_ARRAY_IDX(t->between, i, mg_render_piece_t));
        if (i < t->spots->nelts)
            write_spot(copy, &APR_ARRAY_IDX(t->spots, i, spot_t), &values);
    }
    copy->unsigned_links = values.unsigned_links;
    return values.over ? MG_ELIMIT : APR_SUCCESS;
}
