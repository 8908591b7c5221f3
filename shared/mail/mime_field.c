/* mime_field.c - header fields as they are written.
 *
 * Lines are folded near 76 octets and never pass 998 (RFC 5322 2.1.1). What is
 * not printable ASCII becomes encoded words (RFC 2047): never over 75 octets,
 * never cut inside a character. Parameters follow RFC 2231.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdio.h>
#include <string.h>
#include "mg_text.h"
#include "mime_internal.h"

#define LINE 76
#define WORD_MAX 900  /* a longer word cannot be folded: it is encoded */
#define WORD_OPEN "=?utf-8?"

typedef struct {
    mime_sink_t *sink;
    apr_size_t col;
} field_t;

static void put(field_t *f, const char *s, apr_size_t len)
{
    mime_put(f->sink, s, len);
    f->col += len;
}

static void puts_(field_t *f, const char *s)
{
    put(f, s, strlen(s));
}

static void fold(field_t *f)
{
    mime_put(f->sink, "\r\n", 2);
    f->col = 0;
}

static field_t field_begin(mime_sink_t *sink, const char *name)
{
    field_t f = { sink, 0 };

    puts_(&f, name);
    puts_(&f, ":");
    return f;
}

static int is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* In phrases too only these may stand bare in Q (RFC 2047 5, rule 3). */
static int is_q_plain(unsigned char c)
{
    return apr_isalnum(c) || c == '!' || c == '*' || c == '+' || c == '-'
           || c == '/';
}

static apr_size_t char_len(const char *s, apr_size_t left)
{
    unsigned char c = (unsigned char)*s;
    apr_size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

    return n > left ? left : n;
}

static apr_size_t put_q_char(char *out, const char *s, apr_size_t n)
{
    static const char hex[] = "0123456789ABCDEF";
    char *o = out;

    for (; n; n--, s++) {
        unsigned char c = (unsigned char)*s;

        if (c == ' ') {
            *o++ = '_';
        }
        else if (is_q_plain(c)) {
            *o++ = (char)c;
        }
        else {
            *o++ = '=';
            *o++ = hex[c >> 4];
            *o++ = hex[c & 15];
        }
    }
    return (apr_size_t)(o - out);
}

/* One encoded word of at most room octets; returns how much of s is in it. */
static apr_size_t put_word(field_t *f, const char *s, apr_size_t len, int q,
                           apr_size_t room)
{
    apr_size_t used = 0, out = 0, n;
    char text[80];

    room -= sizeof(WORD_OPEN) - 1 + 2 + 2;
    while (used < len) {
        n = char_len(s + used, len - used);
        if (q) {
            char c[16];
            apr_size_t add = put_q_char(c, s + used, n);

            if (out + add > room)
                break;
            memcpy(text + out, c, add);
            out += add;
        }
        else if ((used + n + 2) / 3 * 4 > room) {
            break;
        }
        used += n;
    }
    puts_(f, WORD_OPEN);
    puts_(f, q ? "q?" : "b?");
    if (!q)
        out = (apr_size_t)mime_base64(text, s, used);
    put(f, text, out);
    puts_(f, "?=");
    return used;
}

/* s as encoded words with a blank before each: what stands between two of
 * them is not part of the text. */
static void put_words(field_t *f, const char *s, apr_size_t len)
{
    apr_size_t i, q_len = 0, done, room;
    int q;

    for (i = 0; i < len; i++)
        q_len += is_q_plain((unsigned char)s[i]) || s[i] == ' ' ? 1 : 3;
    q = q_len <= (len + 2) / 3 * 4;
    while (len) {
        if (f->col + 1 + 32 > LINE)
            fold(f);
        puts_(f, " ");
        room = LINE - f->col > 75 ? 75 : LINE - f->col;
        done = put_word(f, s, len, q, room);
        s += done;
        len -= done;
    }
}

static int word_needs_encoding(const char *s, apr_size_t len)
{
    apr_size_t i;

    if (len > WORD_MAX)
        return 1;
    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c < 0x20 || c > 0x7e)
            return 1;
        if (c == '=' && i + 1 < len && s[i + 1] == '?')
            return 1;
    }
    return 0;
}

/* Plain words: the blanks before a word go with it, so that unfolding gives
 * back exactly what was there. */
static void put_plain_words(field_t *f, const char *s, const char *end)
{
    while (s < end) {
        const char *word = s, *next;

        while (word < end && is_space(*word))
            word++;
        for (next = word; next < end && !is_space(*next); next++)
            ;
        if (next > word && is_space(*s) && f->col > 1
            && f->col + (apr_size_t)(next - s) > LINE)
            fold(f);
        put(f, s, (apr_size_t)(next - s));
        s = next;
    }
}

/* From the first word that needs it to the last, all is encoded. */
static void put_unstructured(field_t *f, const char *value)
{
    const char *s = value, *end = value + strlen(value);
    const char *first = NULL, *last = NULL;

    while (end > s && is_space(end[-1]))
        end--;
    while (s < end) {
        const char *word = s;

        while (s < end && is_space(*s))
            s++;
        word = s;
        while (s < end && !is_space(*s))
            s++;
        if (word_needs_encoding(word, (apr_size_t)(s - word))) {
            if (first == NULL)
                first = word;
            last = s;
        }
    }
    if (first == NULL) {
        puts_(f, " ");
        put_plain_words(f, value, end);
        return;
    }
    if (first > value) {
        puts_(f, " ");
        /* put_words() makes the one blank before the encoded word */
        put_plain_words(f, value, first - 1);
    }
    put_words(f, first, (apr_size_t)(last - first));
    put_plain_words(f, last, end);
}

void mime_put_field(mime_sink_t *sink, const char *name, const char *value)
{
    field_t f = field_begin(sink, name);

    while (is_space(*value))
        value++;
    if (!mg_text_is_utf8(value, strlen(value)))
        value = mg_text_clean(value, strlen(value), sink->p);
    put_unstructured(&f, value);
    fold(&f);
}

void mime_put_field_raw(mime_sink_t *sink, const char *name,
                        const char *value)
{
    field_t f = field_begin(sink, name);

    puts_(&f, " ");
    put_plain_words(&f, value, value + strlen(value));
    fold(&f);
}

void mime_put_plain(mime_sink_t *sink, const char *name, const char *value)
{
    mime_puts(sink, name);
    mime_puts(sink, ": ");
    mime_puts(sink, value);
    mime_puts(sink, "\r\n");
}

/* --- addresses --- */

/* phrase (RFC 5322 3.2.5): atoms, a quoted string, or encoded words */
static void put_phrase(field_t *f, const char *name)
{
    apr_size_t len = strlen(name);
    int atoms = 1, ascii = len <= 64;
    const char *c;
    char *quoted, *o;

    for (c = name; *c; c++) {
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e
            || (c[0] == '=' && c[1] == '?'))
            ascii = 0;
        if (!apr_isalnum(*c) && !strchr("!#$%&'*+-/=?^_`{|}~", *c)
            && !(*c == ' ' && c > name && c[-1] != ' ' && c[1]))
            atoms = 0;
    }
    if (!ascii) {
        put_words(f, name, len);
        return;
    }
    if (f->col > 1 && f->col + len + 3 > LINE)
        fold(f);
    puts_(f, " ");
    if (atoms) {
        puts_(f, name);
        return;
    }
    quoted = o = apr_palloc(f->sink->p, len * 2 + 3);
    *o++ = '"';
    for (c = name; *c; c++) {
        if (*c == '"' || *c == '\\')
            *o++ = '\\';
        *o++ = *c;
    }
    *o++ = '"';
    put(f, quoted, (apr_size_t)(o - quoted));
}

/* In the header a domain stands as its A-labels: not every MTA on the way
 * speaks SMTPUTF8. A local part that is not ASCII has no such form. */
static const char *header_spec(const mg_address_t *a, apr_pool_t *p)
{
    const char *domain;

    if (a->domain == NULL)
        return a->address;
    domain = mg_address_ascii_domain(a->domain, p);
    return domain == a->domain
               ? a->address : apr_pstrcat(p, a->local, "@", domain, NULL);
}

static void put_address(field_t *f, const mg_address_t *a)
{
    const char *spec = header_spec(a, f->sink->p);
    apr_size_t len = strlen(spec) + 3;

    if (a->name)
        put_phrase(f, a->name);
    if (f->col > 1 && f->col + len > LINE)
        fold(f);
    puts_(f, a->name ? " <" : " ");
    puts_(f, spec);
    if (a->name)
        puts_(f, ">");
}

static void put_address_list(field_t *f, const apr_array_header_t *list)
{
    int i;

    for (i = 0; i < list->nelts; i++) {
        if (i)
            puts_(f, ",");
        put_address(f, APR_ARRAY_IDX(list, i, const mg_address_t *));
    }
}

void mime_put_addresses(mime_sink_t *sink, const char *name,
                        const apr_array_header_t *list)
{
    field_t f = field_begin(sink, name);

    put_address_list(&f, list);
    fold(&f);
}

void mime_put_any(mime_sink_t *sink, const char *name, const char *value)
{
    static const char *const address_fields[] = {
        "From", "To", "Cc", "Reply-To", "Sender", "Resent-From", "Resent-To",
        "Resent-Cc", "Resent-Sender", NULL
    };
    apr_array_header_t *list;
    int i;

    for (i = 0; address_fields[i]; i++) {
        if (strcasecmp(name, address_fields[i]) == 0
            && mg_address_parse_list(&list, value, sink->p) == APR_SUCCESS) {
            mime_put_addresses(sink, name, list);
            return;
        }
    }
    mime_put_field(sink, name, value);
}

/* --- JSON --- */

/* Characters outside ASCII stand in JSON strings only: \uXXXX is the same. */
static const char *json_ascii(const char *json, apr_pool_t *p)
{
    apr_size_t len = strlen(json);
    const char *s, *end = json + len;
    char *out, *o;

    for (s = json; s < end && (unsigned char)*s < 0x80; s++)
        ;
    if (s == end)
        return json;
    json = mg_text_clean(json, len, p);
    end = json + strlen(json);
    o = out = apr_palloc(p, (apr_size_t)(end - json) * 6 + 1);
    for (s = json; s < end;) {
        apr_size_t n = char_len(s, (apr_size_t)(end - s)), i;
        unsigned int u = (unsigned char)*s;

        if (n == 1) {
            *o++ = *s++;
            continue;
        }
        u &= 0xffu >> (n + 1);
        for (i = 1; i < n; i++)
            u = u << 6 | ((unsigned char)s[i] & 0x3f);
        s += n;
        if (u >= 0x10000) {
            u -= 0x10000;
            o += apr_snprintf(o, 13, "\\u%04x\\u%04x", 0xd800 + (u >> 10),
                              0xdc00 + (u & 0x3ff));
        }
        else {
            o += apr_snprintf(o, 7, "\\u%04x", u);
        }
    }
    *o = '\0';
    return out;
}

void mime_put_json(mime_sink_t *sink, const char *name, const char *json)
{
    char *out, *o;
    const char *s;
    int quoted = 0;

    s = json_ascii(json, sink->p);
    o = out = apr_palloc(sink->p, strlen(s) * 2 + 1);
    for (; *s; s++) {
        if (!quoted && (*s == '\r' || *s == '\n' || *s == '\t')) {
            *o++ = ' ';
            continue;
        }
        *o++ = *s;
        if (*s == '\\' && quoted && s[1])
            *o++ = *++s;
        else if (*s == '"')
            quoted = !quoted;
        else if (!quoted && (*s == ',' || *s == ':') && s[1] != ' ')
            *o++ = ' '; /* a place to fold */
    }
    *o = '\0';
    mime_put_field(sink, name, out);
}

/* --- parameters --- */

static int is_attribute_char(unsigned char c)
{
    return apr_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* RFC 2231 3 and 4: name*0*=utf-8''...; name*1*=... */
static void put_extended(mime_sink_t *sink, const char *name,
                         const char *value, apr_size_t len)
{
    static const char hex[] = "0123456789ABCDEF";
    apr_size_t i, total = 0;
    char *out = apr_palloc(sink->p, len * 3 + 1), *o = out;
    int segment = 0;

    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];

        if (is_attribute_char(c)) {
            *o++ = (char)c;
        }
        else {
            *o++ = '%';
            *o++ = hex[c >> 4];
            *o++ = hex[c & 15];
        }
    }
    total = (apr_size_t)(o - out);
    *o = '\0';
    if (total <= 56) {
        mime_puts(sink, apr_psprintf(sink->p, ";\r\n %s*=utf-8''%s", name,
                                     out));
        return;
    }
    for (o = out; total; segment++) {
        apr_size_t n = total > 54 ? 54 : total;

        /* an octet's %XX stays in one piece */
        if (n < total && o[n - 1] == '%')
            n--;
        else if (n < total && o[n - 2] == '%')
            n -= 2;
        mime_puts(sink, apr_psprintf(sink->p, ";\r\n %s*%d*=%s%.*s", name,
                                     segment, segment ? "" : "utf-8''",
                                     (int)n, o));
        o += n;
        total -= n;
    }
}

void mime_put_param(mime_sink_t *sink, const char *name, const char *value)
{
    apr_size_t len = strlen(value), i;
    int plain = len <= 60;

    if (!mg_text_is_utf8(value, len)) {
        value = mg_text_clean(value, len, sink->p);
        len = strlen(value);
    }
    for (i = 0; i < len && plain; i++)
        plain = value[i] >= 0x20 && value[i] < 0x7f;
    if (!plain) {
        put_extended(sink, name, value, len);
        return;
    }
    mime_puts(sink, ";\r\n ");
    mime_puts(sink, name);
    mime_puts(sink, "=\"");
    for (i = 0; i < len; i++) {
        if (value[i] == '"' || value[i] == '\\')
            mime_put(sink, "\\", 1);
        mime_put(sink, value + i, 1);
    }
    mime_puts(sink, "\"");
}
