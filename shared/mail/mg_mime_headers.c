/* mg_mime_headers.c - the header block: read, decoded, shown, mended.
 *
 * RFC 5322 2.2, read as it comes in the wild: folded anywhere, CRLF or LF,
 * raw 8-bit, encoded words of wrong charsets.
 */
#include <apr_strings.h>
#include <string.h>
#include "mg_json.h"
#include "mg_options.h"
#include "mg_render.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mime_internal.h"

#define FIELDS_MAX 2000
#define FROM_MAX 8192     /* a list of more takes a loop too long */
#define DECODE_MAX 65536  /* of one field: longer ones are shown raw */

/* One field as it stands: from name to the line end of its last line. */
typedef struct {
    const char *start, *colon, *end;  /* colon NULL: no field */
    apr_size_t name_len;
} raw_field_t;

static const char *line_end(const char *s, const char *end)
{
    const char *eol = memchr(s, '\n', (apr_size_t)(end - s));

    return eol ? eol + 1 : end;
}

static int is_blank_line(const char *s, const char *end)
{
    return s < end && (*s == '\n' || (*s == '\r' && s + 1 < end
                                      && s[1] == '\n'));
}

/* field-name: printable ASCII but ':'; blanks before the colon are obsolete
 * (RFC 5322 4.5), not wrong. */
static int read_field(raw_field_t *f, const char *s, const char *end)
{
    const char *c = s;

    while (c < end && *c > 0x20 && *c < 0x7f && *c != ':')
        c++;
    f->start = s;
    f->name_len = (apr_size_t)(c - s);
    while (c < end && (*c == ' ' || *c == '\t'))
        c++;
    if (c >= end || *c != ':' || f->name_len == 0)
        return 0;
    f->colon = c;
    s = line_end(c, end);
    while (s < end && (*s == ' ' || *s == '\t'))
        s = line_end(s, end);
    f->end = s;
    return 1;
}

/* Line ends go, the blanks that follow them stay (RFC 5322 2.2.3). NUL, a CR
 * within and other control characters have no business in a line: blanks, as
 * put_line() writes them. */
static char *unfold(const char *s, const char *end, int *pplain,
                    apr_pool_t *p)
{
    char *out, *o;
    int plain = 1;

    while (s < end && (*s == ' ' || *s == '\t' || *s == '\r' || *s == '\n'))
        s++;
    o = out = apr_palloc(p, (apr_size_t)(end - s) + 1);
    for (; s < end; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '\n' || (c == '\r' && (s + 1 == end || s[1] == '\n')))
            continue;
        if (c >= 0x80 || (c == '=' && s + 1 < end && s[1] == '?'))
            plain = 0;
        *o++ = (c < 0x20 && c != '\t') || c == 0x7f ? ' ' : (char)c;
    }
    while (o > out && (o[-1] == ' ' || o[-1] == '\t'))
        o--;
    *o = '\0';
    *pplain = plain;
    return out;
}

static const char *decode(const char *raw, apr_pool_t *p)
{
    const char *text;
    char *clean, *c;

    if (strlen(raw) > DECODE_MAX)
        return mg_text_clean(raw, strlen(raw), p);
    text = mime_decode_words(raw, p);
    c = clean = apr_pstrdup(p, mg_text_clean(text, strlen(text), p));
    for (; *c; c++) {
        if ((unsigned char)*c < 0x20 && *c != '\t')
            *c = ' ';
    }
    return clean;
}

/* Mailboxes of old begin with "From bob Mon Jan..."; some paste it. */
static const char *skip_mbox_from(const char *s, const char *end)
{
    if (end - s > 5 && memcmp(s, "From ", 5) == 0)
        return line_end(s, end);
    return s;
}

apr_status_t mg_mime_headers(apr_array_header_t **pheaders,
                             apr_size_t *pbody_offset, const char *bytes,
                             apr_size_t len, apr_pool_t *p)
{
    const char *end = bytes + len, *s = skip_mbox_from(bytes, end);
    apr_array_header_t *list = apr_array_make(p, 16, sizeof(mg_header_t));
    raw_field_t f;
    int plain;

    while (s < end && read_field(&f, s, end)) {
        if (list->nelts < FIELDS_MAX) {
            mg_header_t *h = apr_array_push(list);

            h->name = apr_pstrmemdup(p, f.start, f.name_len);
            h->raw = unfold(f.colon + 1, f.end, &plain, p);
            h->value = plain ? h->raw : decode(h->raw, p);
        }
        s = f.end;
    }
    if (is_blank_line(s, end))
        s = line_end(s, end);
    if (pbody_offset)
        *pbody_offset = (apr_size_t)(s - bytes);
    *pheaders = list;
    return APR_SUCCESS;
}

const mg_header_t *mg_mime_header(const apr_array_header_t *headers,
                                  const char *name)
{
    int i;

    for (i = 0; i < headers->nelts; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(headers, i, mg_header_t);

        if (strcasecmp(h->name, name) == 0)
            return h;
    }
    return NULL;
}

/* Two <> in one address: each reader takes another one of them. */
static int is_unclear(const char *field)
{
    int quoted = 0, comment = 0, angles = 0;
    const char *s;

    for (s = field; *s; s++) {
        if (*s == '\\' && (quoted || comment) && s[1])
            s++;
        else if (quoted)
            quoted = *s != '"';
        else if (comment)
            comment += (*s == '(') - (*s == ')');
        else if (*s == '"')
            quoted = 1;
        else if (*s == '(')
            comment = 1;
        else if (*s == ',' || *s == ';')
            angles = 0;
        else if (*s == '<' && angles++)
            return 1;
    }
    return 0;
}

int mg_mime_is_own(const char *field, const char *domain, apr_pool_t *p)
{
    apr_array_header_t *list;

    return strlen(field) <= FROM_MAX && !is_unclear(field)
           && mg_address_parse_list(&list, field, p) == APR_SUCCESS
           && mg_address_all_in(list, domain, p);
}

int mg_mime_is_from(const apr_array_header_t *headers, const char *domain,
                    apr_pool_t *p)
{
    int i, from = 0, sender = 0;

    for (i = 0; i < headers->nelts; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(headers, i, mg_header_t);
        int is_from = strcasecmp(h->name, "From") == 0;

        if (!is_from && strcasecmp(h->name, "Sender") != 0)
            continue;
        if ((is_from ? from++ : sender++) > 0 /* RFC 5322 3.6 */
            || !mg_mime_is_own(h->raw, domain, p)
            || !mg_render_keeps_domain(h, domain, p))
            return 0;
    }
    return headers->nelts < FIELDS_MAX;
}

char *mg_mime_headers_json(const apr_array_header_t *headers, apr_pool_t *p)
{
    json_t *list = json_array();
    char *text;
    int i;

    for (i = 0; i < headers->nelts; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(headers, i, mg_header_t);

        json_array_append_new(list, json_pack("[ss]", h->name, h->value));
    }
    text = mg_json_compact(list, p);
    json_decref(list);
    return text;
}

/* --- mending --- */

static int is_field(const raw_field_t *f, const char *name)
{
    return f->name_len == strlen(name)
           && strncasecmp(f->start, name, f->name_len) == 0;
}

static int is_json_object(const raw_field_t *f, apr_pool_t *p)
{
    int plain;
    char *value = unfold(f->colon + 1, f->end, &plain, p);

    if (!plain)
        value = (char *)(size_t)decode(value, p);
    return json_is_object(mg_json_parse(value, strlen(value), NULL, p));
}

static int is_replaced(const raw_field_t *f, const mg_mime_fix_t *fix,
                       apr_pool_t *p)
{
    const char *name;

    if (is_field(f, "Bcc") || is_field(f, "Resent-Bcc"))
        return 1;
    if (fix->sender && is_field(f, "Sender"))
        return 1;
    if (fix->variables && is_field(f, "X-Mailgun-Variables")
        && is_json_object(f, p))
        return 1;
    name = apr_pstrmemdup(p, f->start, f->name_len);
    return mg_options_removes_field(name)
           || (fix->set && apr_table_get(fix->set, name));
}

int mime_is_sender_in(const char *given, const char *ours, apr_pool_t *p)
{
    const char *domain = strrchr(ours, '@');
    apr_array_header_t *list;

    return domain && mg_address_parse_list(&list, given, p) == APR_SUCCESS
           && list->nelts > 0
           && strcasecmp(APR_ARRAY_IDX(list, 0, const mg_address_t *)->domain,
                         domain + 1) == 0;
}

/* NULL if the message names a sender in that domain itself (RFC 5322 3.6.2:
 * there is one Sender). */
static const char *sender_to_set(const char *head, apr_size_t len,
                                 const mg_mime_fix_t *fix, apr_pool_t *p)
{
    const char *given = fix->set ? apr_table_get(fix->set, "Sender") : NULL;
    apr_array_header_t *headers;
    const mg_header_t *h;

    if (fix->sender == NULL)
        return NULL;
    if (given == NULL) {
        mg_mime_headers(&headers, NULL, head, len, p);
        h = mg_mime_header(headers, "Sender");
        given = h ? h->raw : NULL;
    }
    return given && mime_is_sender_in(given, fix->sender, p) ? NULL
                                                             : fix->sender;
}

/* What stands between < and >; without them, the first word. NULL: nothing
 * that can name a message. */
static const char *read_message_id(const char *value, apr_pool_t *p)
{
    const char *open = strchr(value, '<'), *close, *c;

    if (open && (close = strchr(open, '>')) != NULL) {
        value = open + 1;
    }
    else {
        close = value + strcspn(value, " \t<>");
    }
    if (close == value || close - value > 900)
        return NULL;
    for (c = value; c < close; c++) {
        if (*c <= 0x20 || *c == 0x7f || (unsigned char)*c >= 0x80)
            return NULL;
    }
    return apr_pstrmemdup(p, value, (apr_size_t)(close - value));
}

static int is_blank(const char *s, const char *end)
{
    while (s < end && (*s == ' ' || *s == '\t' || *s == '\r' || *s == '\0'))
        s++;
    return s == end;
}

/* A CR in the middle of a line ends it for some on the way, and a NUL for
 * others: what stands behind it is no field of its own. */
static void put_line(mime_sink_t *sink, const char *s, const char *end)
{
    const char *c;

    for (c = s; c < end; c++) {
        if (*c != '\r' && *c != '\0')
            continue;
        mime_put(sink, s, (apr_size_t)(c - s));
        mime_put(sink, " ", 1);
        s = c + 1;
    }
    mime_put(sink, s, (apr_size_t)(end - s));
    mime_put(sink, "\r\n", 2);
}

/* As it stood, with CRLF; empty lines of blanks inside a fold go. */
static void put_raw_field(mime_sink_t *sink, const raw_field_t *f)
{
    const char *s, *eol, *next;

    for (s = f->start; s < f->end; s = next) {
        next = line_end(s, f->end);
        for (eol = next; eol > s && (eol[-1] == '\n' || eol[-1] == '\r');)
            eol--;
        if (s > f->start && is_blank(s, eol))
            continue;
        put_line(sink, s, eol);
    }
}

typedef struct {
    int date, mime_version;
    const char *message_id;
} seen_t;

static void copy_fields(mime_sink_t *sink, seen_t *seen, const char *s,
                        const char *end, const mg_mime_fix_t *fix)
{
    raw_field_t f;
    int plain;

    for (; s < end && read_field(&f, s, end); s = f.end) {
        if (is_replaced(&f, fix, sink->p))
            continue;
        if (is_field(&f, "Message-Id")) {
            const char *id = read_message_id(
                unfold(f.colon + 1, f.end, &plain, sink->p), sink->p);

            if (id == NULL || seen->message_id)
                continue; /* an empty one, or a second */
            seen->message_id = id;
        }
        seen->date |= is_field(&f, "Date");
        seen->mime_version |= is_field(&f, "MIME-Version");
        put_raw_field(sink, &f);
    }
}

static void add_set_fields(mime_sink_t *sink, seen_t *seen,
                           const mg_mime_fix_t *fix)
{
    const apr_array_header_t *all = apr_table_elts(fix->set);
    const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts;
    int i;

    for (i = 0; i < all->nelts; i++) {
        if (strcasecmp(e[i].key, "Bcc") == 0
            || (fix->sender && strcasecmp(e[i].key, "Sender") == 0))
            continue;
        if (strcasecmp(e[i].key, "Message-Id") == 0) {
            const char *id = read_message_id(e[i].val, sink->p);

            if (id == NULL || seen->message_id)
                continue;
            seen->message_id = id;
        }
        seen->date |= strcasecmp(e[i].key, "Date") == 0;
        seen->mime_version |= strcasecmp(e[i].key, "MIME-Version") == 0;
        mime_put_any(sink, e[i].key, e[i].val);
    }
}

static apr_status_t check_set(const apr_table_t *set, apr_pool_t *p)
{
    const apr_array_header_t *all = apr_table_elts(set);
    const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts;
    const char *error;
    int i;

    for (i = 0; i < all->nelts; i++) {
        if (!mime_check_header(e[i].key, e[i].val, &error, p))
            return MG_EBADINPUT;
    }
    return APR_SUCCESS;
}

apr_status_t mg_mime_fix_headers(const char **phead, apr_size_t *phead_len,
                                 const char **pmessage_id,
                                 const char *old_head, apr_size_t old_len,
                                 const mg_mime_fix_t *given, apr_pool_t *p)
{
    mg_mime_fix_t own = *given, *fix = &own;
    const char *end = old_head + old_len;
    const char *s = skip_mbox_from(old_head, end);
    seen_t seen = { 0, 0, NULL };
    mime_sink_t sink;
    mg_mime_out_t out;
    apr_status_t rv;

    if (fix->set && (rv = check_set(fix->set, p)) != APR_SUCCESS)
        return rv;
    own.sender = sender_to_set(old_head, old_len, given, p);
    mime_sink_init(&sink, old_len + 1024, NULL, 0, p);
    if (fix->received)
        mime_put_field(&sink, "Received", fix->received);
    copy_fields(&sink, &seen, s, end, fix);
    if (fix->set)
        add_set_fields(&sink, &seen, fix);
    if (!seen.date)
        mime_put_plain(&sink, "Date", mg_time_rfc5322(fix->date, p));
    if (seen.message_id == NULL) {
        seen.message_id = fix->new_message_id;
        mime_put_plain(&sink, "Message-Id",
                       apr_pstrcat(p, "<", seen.message_id, ">", NULL));
    }
    if (fix->sender)
        mime_put_any(&sink, "Sender", fix->sender);
    if (fix->variables)
        mime_put_json(&sink, "X-Mailgun-Variables", fix->variables);
    if (!seen.mime_version)
        mime_put_plain(&sink, "MIME-Version", "1.0");
    mime_put(&sink, "\r\n", 2);
    rv = mime_sink_finish(&out, &sink);
    if (rv != APR_SUCCESS)
        return rv;
    *phead = out.bytes;
    *phead_len = (apr_size_t)out.size;
    *pmessage_id = seen.message_id;
    return APR_SUCCESS;
}
