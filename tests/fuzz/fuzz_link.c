/* fuzz_link.c - links of html and of text, rewritten.
 *
 * The first line is the charset, the rest the text. What is found lies within
 * the text, in order; with our links in place of those that were there, the same
 * places are found again, and what lies between them is untouched.
 */
#include <strings.h>

#include "fuzz.h"
#include "mg_link.h"
#include "mg_mime.h"

#define OURS "http://email.d.test/c/EAE"

typedef void find_fn(mg_links_t *, const char *, apr_size_t, apr_pool_t *);

static void look(mg_links_t *found, find_fn *find, const char *charset,
                 const char *text, apr_size_t len, apr_pool_t *p)
{
    char *shadow, *exact;
    int shifted;

    shadow = mg_link_shadow(&shifted, charset, text, len, p);
    if (shadow == NULL)
        shadow = mg_link_shadow(&shifted, NULL, text, len, p);
    exact = fuzz_exact(shadow, len);
    find(found, exact, len, p);
    free(exact);
}

static void check(const mg_links_t *found, apr_size_t len)
{
    apr_size_t at = 0;
    int i;

    FUZZ_MUST(found->end <= len);
    FUZZ_MUST(found->links->nelts <= MG_LINKS_MAX);
    FUZZ_MUST(!found->why || found->links->nelts == 0);
    for (i = 0; i < found->links->nelts; i++) {
        const mg_link_t *l = &APR_ARRAY_IDX(found->links, i, mg_link_t);

        FUZZ_MUST(l->len > 0 && l->offset >= at && l->len <= len
                  && l->offset <= len - l->len);
        at = l->offset + l->len;
    }
}

static char *rewrite(apr_size_t *plen, const mg_links_t *found,
                     const char *text, apr_size_t len, apr_pool_t *p)
{
    char *out = apr_palloc(p, len + (apr_size_t)found->links->nelts
                                        * sizeof(OURS) + 1), *o = out;
    apr_size_t at = 0;
    int i;

    for (i = 0; i < found->links->nelts; i++) {
        const mg_link_t *l = &APR_ARRAY_IDX(found->links, i, mg_link_t);

        memcpy(o, text + at, l->offset - at);
        o += l->offset - at;
        memcpy(o, OURS, sizeof(OURS) - 1);
        o += sizeof(OURS) - 1;
        at = l->offset + l->len;
    }
    memcpy(o, text + at, len - at);
    *plen = (apr_size_t)(o - out) + len - at;
    return out;
}

static void again(find_fn *find, const char *charset, const char *text,
                  apr_size_t len, apr_pool_t *p)
{
    mg_links_t found, twice;
    apr_size_t out_len;
    char *out;
    int i;

    look(&found, find, charset, text, len, p);
    check(&found, len);
    if (found.links->nelts == 0)
        return;
    out = rewrite(&out_len, &found, text, len, p);
    look(&twice, find, charset, out, out_len, p);
    check(&twice, out_len);
    if (twice.why)
        return; /* it has become longer */
    FUZZ_MUST(twice.links->nelts == found.links->nelts);
    for (i = 0; i < twice.links->nelts; i++) {
        const mg_link_t *l = &APR_ARRAY_IDX(twice.links, i, mg_link_t);

        FUZZ_MUST(l->len == sizeof(OURS) - 1
                  && memcmp(out + l->offset, OURS, l->len) == 0);
    }
}

FUZZ(text, len, p)
{
    char *eol = memchr(text, '\n', len), *body = eol ? eol + 1 : text;
    apr_size_t n = (apr_size_t)(text + len - body);
    const char *charset = NULL, *target;
    char *read;

    if (eol && eol > text)
        charset = apr_pstrmemdup(p, text, (apr_size_t)(eol - text));
    mg_mime_init();
    again(mg_links_html, charset, body, n, p);
    again(mg_links_text, charset, body, n, p);
    read = mg_link_unescape(body, n, p);
    FUZZ_MUST(strlen(read) <= n);
    target = mg_link_target(read, p);
    FUZZ_MUST(!target || !strncasecmp(target, "http", 4));
}
