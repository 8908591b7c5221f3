/* mg_link_text.c - links in plain text; where a link leads. */
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mg_link.h"
#include "mg_render_private.h"

/* --- in text --- */

static apr_size_t scheme_len(const char *s, const char *end)
{
    apr_size_t left = (apr_size_t)(end - s);

    if (left > 7 && strncasecmp(s, "http://", 7) == 0)
        return 7;
    return left > 8 && strncasecmp(s, "https://", 8) == 0 ? 8 : 0;
}

/* Where what looks like a URL stops; variables are part of it, whatever their
 * names hold. */
static const char *run_end(const char *s, const char *end)
{
    while (s < end && (unsigned char)*s > ' ' && *s != '<' && *s != '>'
           && *s != '"' && *s != 0x7f) {
        apr_size_t n = *s == '%' ? render_variable_len(s, end) : 0;

        s += n ? n : 1;
    }
    return s;
}

/* What ends a sentence around it; a bracket, if none in it opens. Counted once:
 * there may be a million of them. */
static const char *without_tail(const char *s, const char *end)
{
    static const char brackets[] = "()[]{}";
    apr_size_t n[sizeof(brackets)] = { 0 };
    const char *c, *b;

    for (c = s; c < end; c++)
        if ((b = strchr(brackets, *c)) != NULL)
            n[b - brackets]++;
    for (; end > s; end--) {
        b = strchr(brackets, end[-1]);
        if (b && (b - brackets) % 2) {
            apr_size_t *closed = &n[b - brackets];

            if (closed[-1] >= *closed)
                break;
            --*closed;
        }
        else if (!strchr(".,:;!?'*_~|", end[-1]))
            break;
    }
    return end;
}

static int holds_unsubscribing(const char *s, apr_size_t len, apr_pool_t *p)
{
    apr_array_header_t *tokens;
    int i, variables;

    render_parse(&tokens, &variables, s, len, p);
    for (i = 0; variables && i < tokens->nelts; i++) {
        render_kind_t kind = APR_ARRAY_IDX(tokens, i, render_token_t).kind;

        if (kind >= RENDER_URL && kind <= RENDER_UNSUBSCRIBE_EMAIL)
            return 1;
    }
    return 0;
}

int link_is_ours(const char *s, apr_size_t len, apr_pool_t *p)
{
    return memchr(s, '%', len) && holds_unsubscribing(s, len, p);
}

void mg_links_text(mg_links_t *found, const char *shadow, apr_size_t len,
                   apr_pool_t *p)
{
    const char *s = shadow, *end = shadow + len, *stop, *tail;
    apr_size_t n;
    mg_link_t *link;

    memset(found, 0, sizeof(*found));
    found->links = apr_array_make(p, 8, sizeof(mg_link_t));
    found->end = len;
    for (; s < end; s++) {
        s = memchr(s, ':', (apr_size_t)(end - s));
        if (s == NULL)
            break;
        /* back to where its scheme would begin */
        n = (apr_size_t)(s - shadow);
        tail = n >= 5 && scheme_len(s - 5, end) ? s - 5
               : n >= 4 && scheme_len(s - 4, end) ? s - 4 : NULL;
        if (tail == NULL || (tail > shadow && apr_isalnum(tail[-1])))
            continue;
        n = scheme_len(tail, end);
        stop = run_end(tail + n, end);
        s = stop - 1;
        if (stop < end && *stop == 0x7f)
            continue;
        stop = without_tail(tail + n, stop);
        if (stop == tail + n || *(tail + n) == '/'
            || link_is_ours(tail, (apr_size_t)(stop - tail), p))
            continue;
        if (found->links->nelts == MG_LINKS_MAX) {
            found->links->nelts = 0;
            found->why = "it has more than 1000 links";
            break;
        }
        link = apr_array_push(found->links);
        link->offset = (apr_size_t)(tail - shadow);
        link->len = (apr_size_t)(stop - tail);
    }
}

/* --- where it leads --- */

static char *put_utf8(char *o, apr_uint32_t c)
{
    if (c < 0x80) {
        *o++ = (char)c;
    }
    else if (c < 0x800) {
        *o++ = (char)(0xc0 | c >> 6);
        *o++ = (char)(0x80 | (c & 0x3f));
    }
    else if (c < 0x10000) {
        *o++ = (char)(0xe0 | c >> 12);
        *o++ = (char)(0x80 | (c >> 6 & 0x3f));
        *o++ = (char)(0x80 | (c & 0x3f));
    }
    else {
        *o++ = (char)(0xf0 | c >> 18);
        *o++ = (char)(0x80 | (c >> 12 & 0x3f));
        *o++ = (char)(0x80 | (c >> 6 & 0x3f));
        *o++ = (char)(0x80 | (c & 0x3f));
    }
    return o;
}

/* "&#38;", "&#x26" (HTML 13.2.5.73 and on); 0: none that we read. */
static apr_size_t read_number(apr_uint32_t *pc, const char *s, const char *end)
{
    int hex = end - s > 2 && (s[2] == 'x' || s[2] == 'X');
    const char *c = s + 2 + hex, *first = c;
    apr_uint32_t n = 0;

    for (; c < end && (hex ? apr_isxdigit(*c) : apr_isdigit(*c)); c++) {
        n = n * (hex ? 16 : 10)
            + (apr_uint32_t)(*c <= '9' ? *c - '0' : (*c | 32) - 'a' + 10);
        if (n > 0x10ffff)
            return 0;
    }
    if (c == first || n == 0 || (n >= 0x80 && n < 0xa0)
        || (n >= 0xd800 && n < 0xe000))
        return 0;
    *pc = n;
    return (apr_size_t)(c - s) + (c < end && *c == ';');
}

static apr_size_t read_reference(apr_uint32_t *pc, const char *s,
                                 const char *end)
{
    static const struct {
        const char *name;
        char c;
        int bare;      /* also without its ';' */
    } names[] = {
        { "amp", '&', 1 }, { "lt", '<', 1 }, { "gt", '>', 1 },
        { "quot", '"', 1 }, { "AMP", '&', 1 }, { "apos", '\'', 0 },
        { "sol", '/', 0 }, { "colon", ':', 0 }, { "equals", '=', 0 },
        { "quest", '?', 0 }, { "num", '#', 0 }, { "percnt", '%', 0 },
        { "period", '.', 0 }, { "lowbar", '_', 0 }, { "comma", ',', 0 },
        { "plus", '+', 0 }, { "semi", ';', 0 }, { "Tab", '\t', 0 },
        { "NewLine", '\n', 0 }, { "commat", '@', 0 }, { "excl", '!', 0 },
        { "dollar", '$', 0 }, { "lpar", '(', 0 }, { "rpar", ')', 0 },
        { "ast", '*', 0 },
    };
    apr_size_t i, n, left = (apr_size_t)(end - s) - 1;

    if (left > 1 && s[1] == '#')
        return read_number(pc, s, end);
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        n = strlen(names[i].name);
        if (n > left || memcmp(s + 1, names[i].name, n) != 0)
            continue;
        *pc = (apr_uint32_t)names[i].c;
        if (n < left && s[1 + n] == ';')
            return n + 2;
        /* in an attribute "&amp=1" and "&ampere" are no references */
        if (names[i].bare
            && (n == left || (s[1 + n] != '=' && !apr_isalnum(s[1 + n]))))
            return n + 1;
    }
    return 0;
}

char *mg_link_unescape(const char *value, apr_size_t len, apr_pool_t *p)
{
    const char *s = value, *end = value + len;
    char *out = apr_palloc(p, len + 1), *o = out;
    apr_uint32_t c;
    apr_size_t n;

    while (s < end) {
        n = *s == '&' ? read_reference(&c, s, end) : 0;
        if (n == 0) {
            *o++ = *s++;
            continue;
        }
        o = put_utf8(o, c); /* never longer than what stands for it */
        s += n;
    }
    *o = '\0';
    return out;
}

static int is_in_url(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>';
}

char *mg_link_target(const char *url, apr_pool_t *p)
{
    static const char hex[] = "0123456789ABCDEF";
    const unsigned char *s = (const unsigned char *)url, *end;
    char *out, *o;
    apr_size_t n;

    while (*s && *s <= ' ')
        s++;
    end = s + strlen((const char *)s);
    while (end > s && end[-1] <= ' ')
        end--;
    if ((apr_size_t)(end - s) > MG_LINK_TARGET_MAX)
        return NULL;
    out = o = apr_palloc(p, 3 * (apr_size_t)(end - s) + 1);
    for (; s < end; s++) {
        if (*s == '\t' || *s == '\r' || *s == '\n')
            continue;
        if (is_in_url(*s)) {
            *o++ = (char)*s;
            continue;
        }
        *o++ = '%';
        *o++ = hex[*s >> 4];
        *o++ = hex[*s & 15];
    }
    *o = '\0';
    n = scheme_len(out, o);
    if (n == 0 || out[n] == '/' || o - out > MG_LINK_TARGET_MAX)
        return NULL;
    return out;
}
