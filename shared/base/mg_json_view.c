/* mg_json_view.c - JSON text read where it stands (RFC 8259). */
#include "mg_json_view.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_tables.h>
#include <string.h>

#include "mg_text.h"

#define DEPTH_MAX 64

typedef struct {
    const char *at, *end;
    int depth;
} scan_t;

static int scan_value(scan_t *s);

static void skip_blanks(scan_t *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' ||
                              *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* c and blanks behind it. */
static int take(scan_t *s, char c)
{
    if (s->at >= s->end || *s->at != c)
        return 0;
    s->at++;
    skip_blanks(s);
    return 1;
}

/* --- strings --- */

/* Four hex digits at s; -1: they are not. */
static int hex4(const char *s, const char *end)
{
    int i, n = 0;

    if (end - s < 4)
        return -1;
    for (i = 0; i < 4; i++) {
        if (!apr_isxdigit(s[i]))
            return -1;
        n = n * 16 + (apr_isdigit(s[i]) ? s[i] - '0'
                                        : (apr_tolower(s[i]) - 'a') + 10);
    }
    return n;
}

/* The character of "uXXXX" or a pair of them, *ps behind it; 0: none. */
static unsigned escaped_char(const char **ps, const char *end)
{
    int unit = hex4(*ps + 1, end), low;

    *ps += 5;
    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return 0;
    if (unit < 0xd800 || unit > 0xdfff)
        return (unsigned)unit;
    if (end - *ps < 6 || (*ps)[0] != '\\' || (*ps)[1] != 'u')
        return 0;
    low = hex4(*ps + 2, end);
    *ps += 6;
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    return 0x10000u + ((unsigned)(unit - 0xd800) << 10)
           + (unsigned)(low - 0xdc00);
}

static int scan_escape(scan_t *s)
{
    if (++s->at >= s->end)
        return 0;
    if (*s->at == 'u')
        return s->end - s->at >= 5 && escaped_char(&s->at, s->end) != 0;
    return *s->at && strchr("\"\\/bfnrt", *s->at++) != NULL;
}

static int scan_string(scan_t *s)
{
    const char *from = ++s->at;
    unsigned char all = 0;

    while (s->at < s->end && *s->at != '"') {
        all |= (unsigned char)*s->at;
        if ((unsigned char)*s->at < 0x20)
            return 0;
        if (*s->at != '\\')
            s->at++;
        else if (!scan_escape(s))
            return 0;
    }
    if (s->at >= s->end ||
        (all > 0x7f && !mg_text_is_utf8(from, (apr_size_t)(s->at - from))))
        return 0;
    s->at++;
    return 1;
}

/* --- other values --- */

static int scan_digits(scan_t *s)
{
    const char *from = s->at;

    while (s->at < s->end && apr_isdigit(*s->at))
        s->at++;
    return s->at > from;
}

static int scan_number(scan_t *s)
{
    if (*s->at == '-')
        s->at++;
    if (s->at < s->end && *s->at == '0')
        s->at++;
    else if (!scan_digits(s))
        return 0;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!scan_digits(s))
            return 0;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        return scan_digits(s);
    }
    return 1;
}

static int scan_word(scan_t *s)
{
    static const char *const words[] = { "true", "false", "null" };
    apr_size_t i, len;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        len = strlen(words[i]);
        if ((apr_size_t)(s->end - s->at) >= len &&
            !memcmp(s->at, words[i], len)) {
            s->at += len;
            return 1;
        }
    }
    return 0;
}

/* members: where they are wanted, of mg_json_member_t. */
static int scan_members(scan_t *s, char bracket, apr_array_header_t *members)
{
    char close = bracket == '{' ? '}' : ']';
    mg_json_member_t m;

    if (!take(s, bracket) || ++s->depth > DEPTH_MAX)
        return 0;
    memset(&m, 0, sizeof(m));
    while (s->at < s->end && *s->at != close) {
        if (bracket == '{') {
            m.name.at = s->at;
            if (*s->at != '"' || !scan_string(s))
                return 0;
            m.name.len = (apr_size_t)(s->at - m.name.at);
            skip_blanks(s);
            if (!take(s, ':'))
                return 0;
        }
        m.value.at = s->at;
        if (!scan_value(s))
            return 0;
        m.value.len = (apr_size_t)(s->at - m.value.at);
        if (members)
            APR_ARRAY_PUSH(members, mg_json_member_t) = m;
        skip_blanks(s);
        if (!take(s, ','))
            break;
        if (s->at < s->end && *s->at == close)
            return 0;
    }
    s->depth--;
    return s->at < s->end && *s->at++ == close;
}

static int scan_value(scan_t *s)
{
    if (s->at >= s->end)
        return 0;
    switch (*s->at) {
    case '{':
    case '[':
        return scan_members(s, *s->at, NULL);
    case '"':
        return scan_string(s);
    case 't':
    case 'f':
    case 'n':
        return scan_word(s);
    default:
        return scan_number(s);
    }
}

/* --- views --- */

int mg_json_view(mg_json_view_t *view, const char *text, apr_size_t len,
                 char bracket, apr_pool_t *p)
{
    scan_t s = { text, text + len, 0 };
    apr_array_header_t *members = apr_array_make(p, 16,
                                                 sizeof(mg_json_member_t));

    view->n = 0;
    view->members = NULL;
    skip_blanks(&s);
    if (!scan_members(&s, bracket, members))
        return 0;
    skip_blanks(&s);
    if (s.at != s.end)
        return 0;
    view->n = members->nelts;
    view->members = (const mg_json_member_t *)(void *)members->elts;
    return 1;
}

mg_json_span_t mg_json_view_find(const mg_json_view_t *view, const char *name)
{
    mg_json_span_t none = { NULL, 0 };
    apr_size_t len = strlen(name);
    int i;

    for (i = view->n - 1; i >= 0; i--)
        if (view->members[i].name.len == len + 2 &&
            !memcmp(view->members[i].name.at + 1, name, len))
            return view->members[i].value;
    return none;
}

static char *put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
    }
    else {
        if (c < 0x10000) {
            *out++ = (char)(0xe0 | c >> 12);
        }
        else {
            *out++ = (char)(0xf0 | c >> 18);
            *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (c & 0x3f));
    return out;
}

const char *mg_json_span_text(mg_json_span_t span, apr_pool_t *p)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *s, *end, *letter;
    char *text, *out;

    if (!span.at || *span.at != '"')
        return NULL;
    s = span.at + 1;
    end = span.at + span.len - 1;
    if (!memchr(s, '\\', (apr_size_t)(end - s)))
        return apr_pstrmemdup(p, s, (apr_size_t)(end - s));
    text = out = apr_palloc(p, span.len);
    while (s < end) {
        if (*s != '\\') {
            *out++ = *s++;
        }
        else if (*++s == 'u') {
            out = put_utf8(out, escaped_char(&s, end));
        }
        else {
            letter = strchr(from, *s);
            *out++ = letter ? to[letter - from] : *s;
            s++;
        }
    }
    *out = '\0';
    return text;
}

apr_int64_t mg_json_span_int(mg_json_span_t span)
{
    char digits[24];

    if (!span.at || span.len >= sizeof(digits))
        return 0;
    memcpy(digits, span.at, span.len);
    digits[span.len] = '\0';
    return strspn(digits, "-0123456789") == span.len ? apr_atoi64(digits) : 0;
}

int mg_json_span_is_true(mg_json_span_t span)
{
    return span.len == 4 && !memcmp(span.at, "true", 4);
}
