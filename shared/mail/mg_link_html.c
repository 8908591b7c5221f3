/* mg_link_html.c - links in html, found by gumbo. */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "html_tree.h"
#include "mg_link.h"
#include "mg_render_private.h"

#define CPU_MAX (300 * 1000)    /* microseconds; 256 KB take 25000 */

/* --- what is there --- */

static int is_off(const char *value)
{
    return strcasecmp(value, "no") == 0 || strcasecmp(value, "false") == 0
           || strcasecmp(value, "off") == 0 || strcmp(value, "0") == 0;
}

/* Without its quotes. @return 0: there is none, or it does not lie in the text
 */
static int value_within(mg_link_t *link, const GumboAttribute *attribute,
                        const char *text, apr_size_t len)
{
    const char *s = attribute->original_value.data;
    apr_size_t n = attribute->original_value.length;

    if (s == NULL || n == 0 || s < text || s + n > text + len)
        return 0;
    if (*s == '"' || *s == '\'') {
        if (n < 2 || s[n - 1] != *s)
            return 0;
        s++;
        n -= 2;
    }
    link->offset = (apr_size_t)(s - text);
    link->len = n;
    return n > 0;
}

static int has_variable(const char *s, apr_size_t len)
{
    return memchr(s, '%', len) && render_has_variables(s, len);
}

#define REPLACEMENT "\xef\xbf\xbd"

/* Line ends are LF to gumbo, and what the shadow hides is U+FFFD. */
static int reads_alike(const char *ours, const char *gumbos)
{
    for (; *ours; ours++) {
        if (*ours == '\r')
            continue;
        if (*ours == 0x7f && strncmp(gumbos, REPLACEMENT, 3) == 0)
            gumbos += 3;
        else if (*ours != *gumbos++)
            return 0;
    }
    return *gumbos == '\0';
}

/* http: or https:, or with a variable that may say so; read by us as by gumbo.
 */
static int leads_by_us(const GumboAttribute *href, const mg_link_t *link,
                       const char *text, apr_pool_t *p)
{
    const char *s = text + link->offset;
    const char *read = mg_link_unescape(s, link->len, p);

    if (!reads_alike(read, href->value) || link_is_ours(s, link->len, p))
        return 0;
    if (has_variable(s, link->len)
        && (*read == '%' || strncasecmp(read, "http", 4) == 0))
        return 1;
    return mg_link_target(read, p) != NULL;
}

static void look_at(mg_links_t *found, const GumboElement *element,
                    const char *text, apr_size_t len, apr_pool_t *p)
{
    const GumboAttribute *href, *off;
    mg_link_t link;

    if (element->tag_namespace != GUMBO_NAMESPACE_HTML
        || (element->tag != GUMBO_TAG_A && element->tag != GUMBO_TAG_AREA))
        return;
    href = gumbo_get_attribute(&element->attributes, "href");
    off = gumbo_get_attribute(&element->attributes, "disable-tracking");
    if (href && !(off && !is_off(off->value))
        && value_within(&link, href, text, len)
        && leads_by_us(href, &link, text, p))
        APR_ARRAY_PUSH(found->links, mg_link_t) = link;
}

/* Elements that the parser closes and opens again stand there twice. */
static int by_offset(const void *a, const void *b)
{
    apr_size_t one = ((const mg_link_t *)a)->offset,
               two = ((const mg_link_t *)b)->offset;

    return one < two ? -1 : one > two;
}

static void each_once(apr_array_header_t *links)
{
    mg_link_t *all = (mg_link_t *)links->elts;
    int i, n = 0;

    qsort(all, (size_t)links->nelts, sizeof(*all), by_offset);
    for (i = 0; i < links->nelts; i++)
        if (n == 0 || all[i].offset >= all[n - 1].offset + all[n - 1].len)
            all[n++] = all[i];
    links->nelts = n;
}

static void look_at_body(mg_links_t *found, const GumboElement *body,
                         const char *text, apr_size_t len)
{
    const char *tag = body->original_end_tag.data;

    if (body->tag == GUMBO_TAG_BODY && tag && tag >= text && tag < text + len
        && body->original_end_tag.length > 6
        && strncasecmp(tag, "</body", 6) == 0)
        found->end = (apr_size_t)(tag - text);
}

static void walk(mg_links_t *found, const GumboOutput *output,
                 const char *text, apr_size_t len, apr_pool_t *p)
{
    const GumboNode *node = output->document;

    for (; node && found->links->nelts <= 4 * MG_LINKS_MAX;
         node = html_tree_next(node, output->document)) {
        if (node->type != GUMBO_NODE_ELEMENT)
            continue;
        look_at(found, &node->v.element, text, len, p);
        if (node->v.element.tag == GUMBO_TAG_BODY)
            look_at_body(found, &node->v.element, text, len);
    }
    each_once(found->links);
    if (found->links->nelts > MG_LINKS_MAX) {
        found->links->nelts = 0;
        found->why = "it has more than 1000 links";
    }
}

typedef struct {
    mg_links_t *found;
    const char *text;
    apr_size_t len;
    apr_pool_t *p;
} look_t;

static void look_at_tree(const GumboOutput *output, void *baton)
{
    const look_t *look = baton;

    walk(look->found, output, look->text, look->len, look->p);
}

void mg_links_html(mg_links_t *found, const char *shadow, apr_size_t len,
                   apr_pool_t *p)
{
    look_t look = { found, shadow, len, p };

    memset(found, 0, sizeof(*found));
    found->links = apr_array_make(p, 16, sizeof(mg_link_t));
    found->end = len;
    if (len > MG_LINK_HTML_MAX) {
        found->why = "its html is larger than 256 kB";
        return;
    }
    if (!html_tree_read(shadow, len, CPU_MAX, look_at_tree, &look)) {
        found->links->nelts = 0;
        found->end = len;
        found->why = "its html takes too much to read";
    }
}
