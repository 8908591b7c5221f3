/* mg_reply_html.c - quotes in html (mg_reply.h).
 *
 * Clients put a quote into a container that can be known: a class, an id, a
 * border. Some begin it with an element and let it reach to the end of its
 * parent. What is cut is found as offsets; the rest stays octet for octet.
 */
#include <string.h>
#include <strings.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_tables.h>

#include "html_tree.h"
#include "mg_reply_private.h"

#define CPU_MAX (100 * 1000)   /* microseconds */
#define CUTS_MAX 1000
#define TEXT_MAX 500           /* octets of an element that are looked at */
#define LEVELS_MAX 3           /* parents whose line above counts */

typedef struct {
    apr_size_t begin, end;
} range_t;

typedef struct {
    const char *html;
    apr_size_t len;
    apr_array_header_t *cuts;  /* of range_t, in order, none within another */
    apr_pool_t *p;
} html_t;

/* --- what an element is --- */

typedef enum { NO_QUOTE, QUOTE, QUOTE_TO_THE_END } quote_t;

/* Words of a class attribute, whole; an id, whole or up to a "*". */
static const struct {
    const char *attribute, *value;
    quote_t quote;
} containers[] = {
    { "class", "gmail_quote", QUOTE },
    { "class", "moz-cite-prefix", QUOTE },
    { "class", "gmail_quote_container", QUOTE },
    { "class", "gmail_extra", QUOTE },
    { "class", "yahoo_quoted", QUOTE },
    { "class", "protonmail_quote", QUOTE },
    { "class", "tutanota_quote", QUOTE },
    { "class", "zmail_extra", QUOTE },
    { "class", "zmail_extra_hr", QUOTE },
    { "class", "OutlookMessageHeader", QUOTE_TO_THE_END },
    { "class", "replyHeader", QUOTE },
    { "class", "x_gmail_quote", QUOTE },
    { "class", "ydp*yahoo_quoted", QUOTE },
    { "class", "mail-quoted", QUOTE },
    { "class", "front-blockquote", QUOTE },
    { "id", "divRplyFwdMsg", QUOTE_TO_THE_END },
    { "id", "x_divRplyFwdMsg", QUOTE_TO_THE_END },
    { "id", "appendonsend", QUOTE_TO_THE_END },
    { "id", "OLK_SRC_BODY_SECTION", QUOTE },
    { "id", "mail-editor-reference-message-container", QUOTE },
    { "id", "ms-outlook-mobile-body-separator-line", QUOTE_TO_THE_END },
    { "class", "ms-outlook-mobile-reference-message", QUOTE },
    { "id", "reply-intro", QUOTE },
    { "id", "isReplyContent", QUOTE },
    { "id", "yahoo_quoted_*", QUOTE },
    { "id", "yiv*yahoo_quoted", QUOTE },
    { "id", "includetail", QUOTE },
    { "id", "zwchr", QUOTE_TO_THE_END },
    { "name", "quote", QUOTE },
    { "name", "messageReplySection", QUOTE },
    { "data-marker", "__QUOTED_TEXT__", QUOTE },
    { "data-marker", "__HEADERS__", QUOTE },
};

/* Does a word of the value fit? A "*" is anything. */
static int fits(const char *word, apr_size_t len, const char *pattern)
{
    const char *star = strchr(pattern, '*');
    apr_size_t head = star ? (apr_size_t)(star - pattern) : strlen(pattern);
    apr_size_t tail = star ? strlen(star + 1) : 0;

    if (star ? len < head + tail : len != head)
        return 0;
    return strncasecmp(word, pattern, head) == 0
           && (!tail || strncasecmp(word + len - tail, star + 1, tail) == 0);
}

static int has_word(const char *value, const char *pattern)
{
    while (*value) {
        apr_size_t n = strcspn(value, " \t\r\n");

        if (n && fits(value, n, pattern))
            return 1;
        value += n;
        value += strspn(value, " \t\r\n");
    }
    return 0;
}

static const char *attribute(const GumboElement *e, const char *name)
{
    const GumboAttribute *a = gumbo_get_attribute(&e->attributes, name);

    return a ? a->value : "";
}

/* Outlook on the desktop draws a line above the header fields. */
static int is_outlook_border(const GumboElement *e)
{
    const char *style = attribute(e, "style");
    char plain[200];
    apr_size_t n = 0;

    for (; *style && n + 1 < sizeof(plain); style++)
        if (!apr_isspace(*style))
            plain[n++] = (char)apr_tolower(*style);
    plain[n] = '\0';
    return strstr(plain, "border-top:solid#e1e1e1") != NULL
           || strstr(plain, "border-top:solid#b5c4df") != NULL
           || strstr(plain, "border-top:1ptsolid") != NULL
           || (strstr(plain, "border:none") != NULL
               && strstr(plain, "border-top:solid") != NULL);
}

/* The text within a node, its blanks as one, at most TEXT_MAX of it. */
static reply_span_t inner_text(const GumboNode *node, char *buf)
{
    const GumboNode *at = node;
    reply_span_t span = { buf, 0 };

    for (; at && span.len < TEXT_MAX; at = html_tree_next(at, node)) {
        const char *s;

        if (at->type != GUMBO_NODE_TEXT
            && at->type != GUMBO_NODE_WHITESPACE) {
            if (span.len && buf[span.len - 1] != ' ')
                buf[span.len++] = ' ';
            continue;
        }
        for (s = at->v.text.text; *s && span.len < TEXT_MAX; s++) {
            int is_blank = apr_isspace(*s);

            if ((unsigned char)s[0] == 0xC2 && (unsigned char)s[1] == 0xA0) {
                is_blank = 1;
                s++;
            }
            if (!is_blank)
                buf[span.len++] = *s;
            else if (span.len && buf[span.len - 1] != ' ')
                buf[span.len++] = ' ';
        }
    }
    while (span.len && ((unsigned char)buf[span.len - 1] & 0xC0) == 0x80
           && span.len == TEXT_MAX)
        span.len--; /* not within a character */
    return reply_trim(span);
}

/* From:, and Sent: or To: or Subject:, in a row. */
static int is_header_block(reply_span_t text)
{
    return reply_says(REPLY_FROM, text)
           && (memchr(text.s, '@', text.len) != NULL
               || reply_says(REPLY_DATE, text));
}

static int is_forward(const GumboNode *node)
{
    char buf[TEXT_MAX + 8];
    reply_span_t text = inner_text(node, buf);

    text.len = text.len > 90 ? 90 : text.len;
    while (text.len && ((unsigned char)text.s[text.len - 1] & 0xC0) == 0x80)
        text.len--;
    return reply_says(REPLY_FORWARD, text);
}

static quote_t known_container(const GumboElement *e)
{
    apr_size_t i;

    for (i = 0; i < sizeof(containers) / sizeof(containers[0]); i++)
        if (has_word(attribute(e, containers[i].attribute),
                     containers[i].value))
            return containers[i].quote;
    return NO_QUOTE;
}

/* --- siblings --- */

static const GumboNode *sibling(const GumboNode *node, int step)
{
    const GumboVector *all = node->parent ? html_tree_children(node->parent)
                                          : NULL;
    long i = (long)node->index_within_parent + step;

    return all && i >= 0 && i < (long)all->length ? all->data[i] : NULL;
}

static int is_blank_node(const GumboNode *node)
{
    char buf[TEXT_MAX + 8];

    return node->type == GUMBO_NODE_WHITESPACE
           || node->type == GUMBO_NODE_COMMENT
           || (node->type == GUMBO_NODE_ELEMENT
               && node->v.element.tag == GUMBO_TAG_BR)
           || (node->type == GUMBO_NODE_TEXT
               && inner_text(node, buf).len == 0);
}

/* A blockquote is a quote if it says so, or a line above says who wrote. */
static const GumboNode *attribution_above(const GumboNode *node)
{
    char buf[TEXT_MAX + 8];
    const GumboNode *above = NULL;
    int n = 0, level;

    for (level = 0; !above && level < LEVELS_MAX; level++) {
        above = sibling(node, -1);
        while (above && is_blank_node(above) && n++ < 5)
            above = sibling(above, -1);
        node = node->parent;
        if (!node || node->type != GUMBO_NODE_ELEMENT
            || node->v.element.tag == GUMBO_TAG_BODY)
            break;
    }
    if (!above)
        return NULL;
    return reply_attribution(inner_text(above, buf)) != REPLY_NOT ? above
                                                                   : NULL;
}

static int is_cited(const GumboElement *e)
{
    return strcasecmp(attribute(e, "type"), "cite") == 0
           || *attribute(e, "cite") || has_word(attribute(e, "class"), "cite")
           || has_word(attribute(e, "class"), "gmail_quote")
           || strstr(attribute(e, "style"), "border-left") != NULL;
}

static quote_t quote_of(const GumboNode *node)
{
    const GumboElement *e = &node->v.element;
    char buf[TEXT_MAX + 8];
    quote_t known;

    if (e->tag == GUMBO_TAG_BLOCKQUOTE)
        return is_cited(e) || attribution_above(node) ? QUOTE : NO_QUOTE;
    known = known_container(e);
    if (known != NO_QUOTE)
        return known;
    if ((e->tag == GUMBO_TAG_DIV || e->tag == GUMBO_TAG_TD)
        && is_outlook_border(e)
        && is_header_block(inner_text(node, buf)))
        return QUOTE_TO_THE_END;
    if (e->tag == GUMBO_TAG_DIV || e->tag == GUMBO_TAG_P) {
        reply_span_t text = inner_text(node, buf);

        if (text.len < 80 && reply_says(REPLY_ORIGINAL, text))
            return QUOTE_TO_THE_END;
    }
    return NO_QUOTE;
}

/* --- cutting --- */

static apr_size_t offset_of(const html_t *h, const char *at)
{
    return at && at >= h->html && at <= h->html + h->len
               ? (apr_size_t)(at - h->html) : h->len;
}

static apr_size_t begin_of(const html_t *h, const GumboNode *node)
{
    if (node->type == GUMBO_NODE_ELEMENT)
        return node->v.element.original_tag.length
                   ? offset_of(h, node->v.element.original_tag.data) : h->len;
    return offset_of(h, node->v.text.original_text.data);
}

/* Behind a node; where its end tag was left out, where the next one begins. */
static apr_size_t end_of(const html_t *h, const GumboNode *node)
{
    const GumboElement *e = &node->v.element;
    apr_size_t tag;

    if (node->type != GUMBO_NODE_ELEMENT)
        return offset_of(h, node->v.text.original_text.data)
               + node->v.text.original_text.length;
    if (e->original_end_tag.length)
        return offset_of(h, e->original_end_tag.data)
               + e->original_end_tag.length;
    tag = begin_of(h, node) + e->original_tag.length;
    if (e->end_pos.offset < tag) /* <hr>, <br> */
        return tag;
    return e->end_pos.offset <= h->len ? e->end_pos.offset : h->len;
}

static void cut(html_t *h, apr_size_t begin, apr_size_t end)
{
    range_t *last = h->cuts->nelts ? &APR_ARRAY_IDX(h->cuts,
                                                    h->cuts->nelts - 1,
                                                    range_t) : NULL;

    if (begin >= end || end > h->len)
        return;
    if (last && begin < last->end) {
        if (end > last->end)
            last->end = end;
        if (begin < last->begin)
            last->begin = begin;
        return;
    }
    APR_ARRAY_PUSH(h->cuts, range_t) = (range_t){ begin, end };
}

/* From a node to the end of all that is shown, tags that close what was open
 * before stay: of each element around it, what follows is cut. */
static void cut_to_the_end(html_t *h, const GumboNode *node)
{
    const GumboNode *at = node;

    cut(h, begin_of(h, node), end_of(h, node));
    while (at && at->parent && at->parent->type == GUMBO_NODE_ELEMENT) {
        const GumboNode *next;

        for (next = sibling(at, 1); next; next = sibling(next, 1))
            if (begin_of(h, next) < h->len)
                cut(h, begin_of(h, next), end_of(h, next));
        at = at->parent;
        if (at->v.element.tag == GUMBO_TAG_BODY)
            return;
    }
}

/* A line above goes along: Outlook on the web draws one, others say who. */
static void cut_above(html_t *h, const GumboNode *node)
{
    const GumboNode *above = sibling(node, -1);
    int n = 0;

    while (above && is_blank_node(above) && n++ < 5)
        above = sibling(above, -1);
    if (above && above->type == GUMBO_NODE_ELEMENT
        && above->v.element.tag == GUMBO_TAG_HR)
        cut(h, begin_of(h, above), end_of(h, above));
    above = attribution_above(node);
    if (above && begin_of(h, above) < h->len)
        cut(h, begin_of(h, above), end_of(h, above));
}

/* The node behind another, without what is within. */
static const GumboNode *skip(const GumboNode *node, const GumboNode *root)
{
    for (; node != root; node = node->parent) {
        const GumboNode *next = sibling(node, 1);

        if (next)
            return next;
    }
    return NULL;
}

static void find_quotes(const GumboOutput *output, void *baton)
{
    html_t *h = baton;
    const GumboNode *root = output->document, *node = root;

    while (node && h->cuts->nelts < CUTS_MAX) {
        quote_t quote = node->type == GUMBO_NODE_ELEMENT ? quote_of(node)
                                                         : NO_QUOTE;

        if (quote == NO_QUOTE || begin_of(h, node) >= h->len) {
            node = html_tree_next(node, root);
            continue;
        }
        if (is_forward(node)) { /* what is forwarded is not quoted */
            node = skip(node, root);
            continue;
        }
        cut_above(h, node);
        if (quote == QUOTE_TO_THE_END) {
            cut_to_the_end(h, node);
            return;
        }
        cut(h, begin_of(h, node), end_of(h, node));
        node = skip(node, root);
    }
}

const char *mg_reply_strip_html(const char *html, apr_pool_t *p)
{
    html_t h = { html, strlen(html), NULL, p };
    apr_size_t at = 0, n = 0;
    char *out;
    int i;

    h.cuts = apr_array_make(p, 4, sizeof(range_t));
    if (h.len > MG_REPLY_MAX
        || !html_tree_read(html, h.len, CPU_MAX, find_quotes, &h)
        || h.cuts->nelts == 0)
        return html;
    out = apr_palloc(p, h.len + 1);
    for (i = 0; i < h.cuts->nelts; i++) {
        const range_t *r = &APR_ARRAY_IDX(h.cuts, i, range_t);

        if (r->begin < at)
            continue;
        memcpy(out + n, html + at, r->begin - at);
        n += r->begin - at;
        at = r->end;
    }
    memcpy(out + n, html + at, h.len - at);
    out[n + h.len - at] = '\0';
    return out;
}
