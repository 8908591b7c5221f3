/* mime_html.c - a text for people whose message has only html.
 *
 * Blocks become lines, blanks collapse, characters' names are resolved, and
 * what no one sees (script, style, head) goes.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include "mime_internal.h"

/* how far a tag's quotes are trusted; an open one must not cost much */
#define ATTRIBUTE_MAX 65536

typedef struct {
    char *out;
    apr_size_t used, size;
    int blanks;      /* white space is pending */
    int breaks;      /* line ends that stand at the end of out */
    int pre;
    apr_pool_t *p;
} text_t;

static void add(text_t *t, const char *s, apr_size_t len)
{
    if (t->used + len + 2 > t->size) {
        apr_size_t size = (t->size + len) * 2;
        char *larger = apr_palloc(t->p, size);

        memcpy(larger, t->out, t->used);
        t->out = larger;
        t->size = size;
    }
    memcpy(t->out + t->used, s, len);
    t->used += len;
}

static void add_word(text_t *t, const char *s, apr_size_t len)
{
    if (t->blanks && t->used && !t->breaks)
        add(t, " ", 1);
    t->blanks = 0;
    t->breaks = 0;
    add(t, s, len);
}

static void add_breaks(text_t *t, int n)
{
    t->blanks = 0;
    if (t->used == 0)
        return;
    for (; t->breaks < n; t->breaks++)
        add(t, "\n", 1);
}

static const struct { const char *name, *text; } entities[] = {
    { "amp", "&" }, { "lt", "<" }, { "gt", ">" }, { "quot", "\"" },
    { "apos", "'" }, { "nbsp", " " }, { "copy", "\xc2\xa9" },
    { "reg", "\xc2\xae" }, { "trade", "\xe2\x84\xa2" },
    { "hellip", "\xe2\x80\xa6" }, { "mdash", "\xe2\x80\x94" },
    { "ndash", "\xe2\x80\x93" }, { "lsquo", "\xe2\x80\x98" },
    { "rsquo", "\xe2\x80\x99" }, { "ldquo", "\xe2\x80\x9c" },
    { "rdquo", "\xe2\x80\x9d" }, { "bull", "\xe2\x80\xa2" },
    { "middot", "\xc2\xb7" }, { "laquo", "\xc2\xab" },
    { "raquo", "\xc2\xbb" }, { "euro", "\xe2\x82\xac" },
    { "pound", "\xc2\xa3" }, { "yen", "\xc2\xa5" }, { "cent", "\xc2\xa2" },
    { "sect", "\xc2\xa7" }, { "deg", "\xc2\xb0" }, { "times", "\xc3\x97" },
    { "auml", "\xc3\xa4" }, { "ouml", "\xc3\xb6" }, { "uuml", "\xc3\xbc" },
    { "Auml", "\xc3\x84" }, { "Ouml", "\xc3\x96" }, { "Uuml", "\xc3\x9c" },
    { "szlig", "\xc3\x9f" }, { "eacute", "\xc3\xa9" },
    { "egrave", "\xc3\xa8" }, { "agrave", "\xc3\xa0" },
    { "ccedil", "\xc3\xa7" }, { "zwnj", "" }, { "shy", "" },
};

static apr_size_t put_utf8(char out[8], unsigned long u)
{
    if (u == 0 || u > 0x10ffff || (u >= 0xd800 && u < 0xe000))
        u = 0xfffd;
    return (apr_size_t)g_unichar_to_utf8((gunichar)u, out);
}

/* "&...;" at s; returns how much was read, 0: it is a bare '&'. */
static apr_size_t add_entity(text_t *t, const char *s, const char *end)
{
    const char *semi = memchr(s, ';', (apr_size_t)(end - s > 12 ? 12
                                                                : end - s));
    char name[16], utf8[8];
    apr_size_t i, len;

    if (semi == NULL || semi - s < 3)
        return 0;
    len = (apr_size_t)(semi - s - 1);
    memcpy(name, s + 1, len);
    name[len] = '\0';
    if (name[0] == '#') {
        int hex = name[1] == 'x' || name[1] == 'X';
        char *rest;
        unsigned long u = strtoul(name + 1 + hex, &rest, hex ? 16 : 10);

        if (*rest || rest == name + 1 + hex)
            return 0;
        if (u == 0xa0)
            t->blanks = 1;
        else
            add_word(t, utf8, put_utf8(utf8, u));
        return len + 2;
    }
    for (i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
        if (strcmp(name, entities[i].name) != 0)
            continue;
        if (entities[i].text[0] == ' ')
            t->blanks = 1;
        else
            add_word(t, entities[i].text, strlen(entities[i].text));
        return len + 2;
    }
    return 0;
}

static int name_is(const char *name, const char *const *list)
{
    for (; *list; list++) {
        if (strcmp(name, *list) == 0)
            return 1;
    }
    return 0;
}

/* The '>' that ends a tag: not one inside of an attribute's quotes. */
static const char *tag_end(const char *s, const char *end)
{
    const char *start = s;
    const char *last = end - s > ATTRIBUTE_MAX ? s + ATTRIBUTE_MAX : end;
    char quote = 0;

    for (; s < last; s++) {
        if (quote)
            quote = *s == quote ? 0 : quote;
        else if ((*s == '"' || *s == '\'') && s > start && s[-1] == '=')
            quote = *s;
        else if (*s == '>')
            return s;
    }
    /* an open quote: the first '>' after all */
    return memchr(start, '>', (apr_size_t)(end - start));
}

/* Behind "</name", for what is not shown. */
static const char *skip_to_close(const char *s, const char *end,
                                 const char *name)
{
    apr_size_t len = strlen(name);

    for (; s < end && (s = memchr(s, '<', (apr_size_t)(end - s))); s++) {
        if ((apr_size_t)(end - s) > len + 2 && s[1] == '/'
            && strncasecmp(s + 2, name, len) == 0)
            return s;
    }
    return end;
}

static void on_tag(text_t *t, const char *name, int closing)
{
    static const char *const blocks[] = {
        "address", "article", "aside", "blockquote", "center", "dd", "div",
        "dl", "dt", "footer", "form", "header", "li", "main", "nav", "ol",
        "pre", "section", "table", "tbody", "tr", "ul", "body", "html", NULL
    };
    static const char *const paragraphs[] = { "p", "h1", "h2", "h3", "h4",
                                              "h5", "h6", NULL };

    if (strcmp(name, "br") == 0)
        add_breaks(t, t->breaks + 1 > 2 ? 2 : t->breaks + 1);
    else if (name_is(name, paragraphs))
        add_breaks(t, 2);
    else if (name_is(name, blocks))
        add_breaks(t, 1);
    else if (strcmp(name, "td") == 0 || strcmp(name, "th") == 0)
        t->blanks = 1;
    else if (strcmp(name, "hr") == 0)
        add_breaks(t, 2);
    if (strcmp(name, "li") == 0 && !closing)
        add_word(t, "* ", 2);
    if (strcmp(name, "pre") == 0)
        t->pre = !closing;
}

/* A tag or comment at s ('<'); returns where the text goes on. */
static const char *read_tag(text_t *t, const char *s, const char *end)
{
    static const char *const hidden[] = { "script", "style", "head", "title",
                                          "template", NULL };
    int closing = s + 1 < end && s[1] == '/';
    const char *c = s + 1 + closing, *gt;
    char name[16];
    apr_size_t n = 0;

    if (end - s >= 4 && memcmp(s, "<!--", 4) == 0) {
        gt = memmem(s + 4, (apr_size_t)(end - s - 4), "-->", 3);
        return gt ? gt + 3 : end;
    }
    if (c >= end || (!apr_isalpha(*c) && *c != '!' && *c != '?')) {
        add_word(t, "<", 1);
        return s + 1;
    }
    while (c < end && n < sizeof(name) - 1 && apr_isalnum(*c))
        name[n++] = (char)apr_tolower(*c++);
    name[n] = '\0';
    gt = tag_end(c, end);
    if (gt == NULL)
        return end;
    if (!closing && name_is(name, hidden) && gt[-1] != '/')
        return skip_to_close(gt + 1, end, name);
    on_tag(t, name, closing);
    return gt + 1;
}

char *mime_html_to_text(const char *html, apr_pool_t *p)
{
    const char *s = html, *end = html + strlen(html);
    text_t t = { .p = p };
    apr_size_t n;

    t.size = (apr_size_t)(end - s) / 2 + 64;
    t.out = apr_palloc(p, t.size);
    while (s < end) {
        if (*s == '<') {
            s = read_tag(&t, s, end);
        }
        else if (*s == '&' && (n = add_entity(&t, s, end)) > 0) {
            s += n;
        }
        else if (*s == '\n' && t.pre) {
            add(&t, "\n", 1);
            t.breaks = 1;
            s++;
        }
        else if (*s == ' ' || *s == '\t' || *s == '\r' || *s == '\n') {
            t.blanks = 1;
            s++;
        }
        else {
            for (n = 1; s + n < end && !strchr("<& \t\r\n", s[n]); n++)
                ;
            add_word(&t, s, n);
            s += n;
        }
    }
    while (t.used && (t.out[t.used - 1] == '\n' || t.out[t.used - 1] == ' '))
        t.used--;
    if (t.used)
        add(&t, "\n", 1);
    t.out[t.used] = '\0';
    return t.out;
}
