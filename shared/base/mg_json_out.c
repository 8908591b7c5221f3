/* mg_json_out.c - JSON written straight into its text. */
#include "mg_json_out.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_text.h"

static const char upper_hex[] = "0123456789ABCDEF";

/* --- octets --- */

/* Where n more can be put, NUL not counted. */
static char *reserve(mg_json_out_t *out, apr_size_t n)
{
    apr_size_t room = out->room;
    char *text;

    if (out->len + n < room)
        return out->text + out->len;
    while (out->len + n >= room)
        room *= 2;
    text = apr_palloc(out->p, room);
    memcpy(text, out->text, out->len);
    out->text = text;
    out->room = room;
    return text + out->len;
}

static void put(mg_json_out_t *out, const char *s, apr_size_t len)
{
    memcpy(reserve(out, len), s, len);
    out->len += len;
    out->text[out->len] = '\0';
}

static void put_char(mg_json_out_t *out, char c)
{
    put(out, &c, 1);
}

static void new_line(mg_json_out_t *out)
{
    apr_size_t n = 1 + 2 * (apr_size_t)out->depth;
    char *at = reserve(out, n);

    at[0] = '\n';
    memset(at + 1, ' ', n - 1);
    out->len += n;
    out->text[out->len] = '\0';
}

/* --- strings --- */

static void put_unit(mg_json_out_t *out, unsigned unit)
{
    char escape[6] = { '\\', 'u', upper_hex[unit >> 12 & 15],
                       upper_hex[unit >> 8 & 15], upper_hex[unit >> 4 & 15],
                       upper_hex[unit & 15] };

    put(out, escape, sizeof(escape));
}

/* A character beyond ASCII of valid UTF-8. @return its octets */
static apr_size_t put_wide(mg_json_out_t *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned c;

    if (s[0] < 0xe0) {
        put_unit(out, (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu));
        return 2;
    }
    c = (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
    if (s[0] < 0xf0) {
        put_unit(out, c);
        return 3;
    }
    c = ((s[0] & 0x7u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 |
         (s[3] & 0x3fu)) - 0x10000;
    put_unit(out, 0xd800 | c >> 10);
    put_unit(out, 0xdc00 | (c & 0x3ff));
    return 4;
}

static void put_escaped(mg_json_out_t *out, char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *letter = strchr(from, c);
    char escape[2] = { '\\' };

    if (!letter) {
        put_unit(out, (unsigned char)c);
        return;
    }
    escape[1] = to[letter - from];
    put(out, escape, sizeof(escape));
}

/* s: valid UTF-8, without NUL. */
static void put_string(mg_json_out_t *out, const char *s, apr_size_t len)
{
    const char *end = s + len, *from;

    put_char(out, '"');
    while (s < end) {
        for (from = s; s < end && (unsigned char)*s >= 0x20 &&
                       (unsigned char)*s < 0x80 && *s != '"' && *s != '\\'; )
            s++;
        put(out, from, (apr_size_t)(s - from));
        if (s >= end)
            break;
        if ((unsigned char)*s >= 0x80)
            s += put_wide(out, s);
        else
            put_escaped(out, *s++);
    }
    put_char(out, '"');
}

static void put_text(mg_json_out_t *out, const char *text)
{
    apr_size_t len = strlen(text);

    if (!mg_text_is_utf8(text, len)) {
        text = mg_text_clean(text, len, out->p);
        len = strlen(text);
    }
    put_string(out, text, len);
}

/* --- members --- */

static int is_empty(const mg_json_out_t *out)
{
    char last = out->len ? out->text[out->len - 1] : '\0';

    return last == '{' || last == '['; /* that of a string is '"' */
}

/* What stands before a value. */
static void begin(mg_json_out_t *out, const char *name)
{
    if (out->depth && !is_empty(out))
        put(out, ", ", out->pretty ? 1 : 2);
    if (out->depth && out->pretty)
        new_line(out);
    if (!name)
        return;
    put_text(out, name);
    put(out, ": ", 2);
}

mg_json_out_t *mg_json_out_make(int pretty, apr_size_t room, apr_pool_t *p)
{
    mg_json_out_t *out = apr_pcalloc(p, sizeof(*out));

    out->pretty = pretty;
    out->room = room < 64 ? 64 : room;
    out->text = apr_palloc(p, out->room);
    out->text[0] = '\0';
    out->p = p;
    return out;
}

void mg_json_out_open(mg_json_out_t *out, const char *name, char bracket)
{
    begin(out, name);
    put_char(out, bracket);
    out->depth++;
}

void mg_json_out_close(mg_json_out_t *out, char bracket)
{
    out->depth--;
    if (out->pretty && !is_empty(out))
        new_line(out);
    put_char(out, bracket);
}

void mg_json_out_text(mg_json_out_t *out, const char *name, const char *text)
{
    if (!text)
        return;
    begin(out, name);
    put_text(out, text);
}

void mg_json_out_int(mg_json_out_t *out, const char *name, apr_int64_t n)
{
    const char *digits = apr_psprintf(out->p, "%" APR_INT64_T_FMT, n);

    begin(out, name);
    put(out, digits, strlen(digits));
}

void mg_json_out_bool(mg_json_out_t *out, const char *name, int value)
{
    begin(out, name);
    put(out, value ? "true" : "false", value ? 4 : 5);
}

void mg_json_out_seconds(mg_json_out_t *out, const char *name, apr_int64_t us)
{
    char *digits = apr_psprintf(out->p, "%" APR_INT64_T_FMT ".%06d",
                                us / 1000000, (int)(us % 1000000));
    apr_size_t len = strlen(digits);

    while (digits[len - 1] == '0' && digits[len - 2] != '.')
        len--;
    begin(out, name);
    put(out, digits, len);
}

/* --- what was read --- */

static const char *string_end(const char *s)
{
    for (s++; *s != '"'; s++)
        if (*s == '\\')
            s++;
    return s + 1;
}

/* A string in its quotes; its escapes stay. */
static void copy_string(mg_json_out_t *out, const char *s, const char *end)
{
    const char *from;

    while (s < end) {
        for (from = s; s < end && (unsigned char)*s < 0x80; )
            s++;
        put(out, from, (apr_size_t)(s - from));
        if (s < end)
            s += put_wide(out, s);
    }
}

/* A string, number or word. @return where it ends */
static const char *copy_scalar(mg_json_out_t *out, const char *s,
                               const char *end)
{
    const char *from = s;

    if (*s == '"') {
        s = string_end(s);
        copy_string(out, from, s);
        return s;
    }
    while (s < end && !strchr(",:]} \t\r\n", *s))
        s++;
    put(out, from, (apr_size_t)(s - from));
    return s;
}

void mg_json_out_copy(mg_json_out_t *out, const char *name,
                      mg_json_span_t value)
{
    const char *s = value.at, *end = value.at + value.len;
    int is_named = 1;                /* what comes stands behind "name": */

    if (!value.at)
        return;
    begin(out, name);
    while (s < end) {
        switch (*s) {
        case '}':
        case ']':
            mg_json_out_close(out, *s++);
            continue;
        case ':':
            put(out, ": ", 2);
            is_named = 1;
            /* fallthrough */
        case ',':
        case ' ':
        case '\t':
        case '\r':
        case '\n':
            s++;
            continue;
        }
        if (!is_named)
            begin(out, NULL);
        is_named = 0;
        if (*s == '{' || *s == '[') {
            put_char(out, *s++);
            out->depth++;
        }
        else {
            s = copy_scalar(out, s, end);
        }
    }
}
