/* mg_render_track.c - what tracking puts into texts (mg_tracking.h): links that
 * lead by us, the pixel, footers, List-Unsubscribe.
 *
 * Where they go is found when a message is accepted (mg_link.h) and kept as
 * numbers; from them a text becomes tokens once, and copies are written from
 * these. Between the tokens a text stays octet for octet.
 */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_link.h"
#include "mg_render_private.h"
#include "mg_status.h"

#define PIXEL "<img width=\"1px\" height=\"1px\" alt=\"\" src=\""

/* --- when a message is accepted --- */

static int is_html(const mime_entity_t *e)
{
    return strcmp(e->subtype, "html") == 0;
}

/* Variables are filled in in UTF-8. Where there are none, the octets that came
 * are looked at, and stay. *pshadow NULL: neither will do. */
static const char *text_of(apr_size_t *plen, char **pshadow, int *pshifted,
                           int *praw, const mime_entity_t *e, apr_pool_t *p)
{
    const char *text;

    *pshadow = NULL;
    if (*praw) {
        text = mime_entity_decode(plen, e, p);
        *pshadow = mg_link_shadow(pshifted, e->charset, text, *plen, p);
        if (*pshadow)
            return text;
    }
    *praw = 0;
    text = render_decode(plen, e, p);
    *pshadow = mg_link_shadow(pshifted, NULL, text, *plen, p);
    return text;
}

static json_t *offsets_of(const apr_array_header_t *links)
{
    json_t *list = json_array();
    int i;

    for (i = 0; i < links->nelts; i++) {
        const mg_link_t *link = &APR_ARRAY_IDX(links, i, mg_link_t);

        json_array_append_new(list, json_integer((json_int_t)link->offset));
        json_array_append_new(list, json_integer((json_int_t)link->len));
    }
    return list;
}

json_t *render_track_find(const mime_entity_t *e, int variables, int pixel,
                          int footer, int links, const char **pwhy,
                          apr_pool_t *p)
{
    int raw = !variables, shifted = 0, add;
    apr_size_t len;
    mg_links_t found;
    char *shadow;
    json_t *numbers;

    text_of(&len, &shadow, &shifted, &raw, e, p);
    if (is_html(e))
        mg_links_html(&found, shadow, len, p);
    else
        mg_links_text(&found, shadow, len, p);
    if (found.why)
        *pwhy = found.why;
    if (!links)
        found.links->nelts = 0;
    add = !shifted || found.end < len;
    if (!found.links->nelts && !(add && (pixel || footer)))
        return NULL;
    numbers = json_pack("{s:I, s:i, s:o}", "n", (json_int_t)len, "r", raw, "l",
                        offsets_of(found.links));
    if (add && pixel)
        json_object_set_new(numbers, "p", json_integer((json_int_t)found.end));
    if (add && footer)
        json_object_set_new(numbers, "f", json_integer((json_int_t)found.end));
    return numbers;
}

/* --- tokens --- */

typedef struct {
    apr_array_header_t *tokens;
    const char *text;
    apr_size_t len, at;         /* up to there it is cut */
    const mime_entity_t *e;
    int raw;
    apr_pool_t *p;
} cutter_t;

static render_token_t *push(cutter_t *c, render_kind_t kind, apr_size_t len)
{
    render_token_t *token = apr_array_push(c->tokens);

    memset(token, 0, sizeof(*token));
    token->kind = kind;
    token->text = c->text + c->at;
    token->len = len;
    c->at += len;
    return token;
}

static void cut_plain(cutter_t *c, apr_size_t to)
{
    apr_array_header_t *tokens;
    int variables;

    if (to == c->at)
        return;
    if (c->raw) {
        push(c, RENDER_LITERAL, to - c->at);
        return;
    }
    render_parse(&tokens, &variables, c->text + c->at, to - c->at, c->p);
    apr_array_cat(c->tokens, tokens);
    c->at = to;
}

static void cut_link(cutter_t *c, apr_size_t len)
{
    render_token_t *token = push(c, RENDER_LINK, len);
    apr_array_header_t *parts;
    const char *utf8 = token->text;
    int variables = 0;

    if (!c->raw)
        render_parse(&parts, &variables, utf8, len, c->p);
    if (variables) {
        token->parts = parts;
        return;
    }
    if (c->raw) {
        utf8 = mime_to_utf8(c->e->charset, utf8, len, c->p);
        len = strlen(utf8);
    }
    utf8 = is_html(c->e) ? mg_link_unescape(utf8, len, c->p)
                         : apr_pstrmemdup(c->p, utf8, len);
    token->key = mg_link_target(utf8, c->p);
}

static int number(apr_size_t *pn, const json_t *json, apr_size_t from,
                  apr_size_t to)
{
    json_int_t n = json_integer_value(json);

    *pn = (apr_size_t)n;
    return json_is_integer(json) && n >= (json_int_t)from
           && n <= (json_int_t)to;
}

/* NULL: UTF-8. An ASCII text may become that; one that is not, and says no
 * charset, keeps its secret. */
static const char *footer_charset(const cutter_t *c)
{
    const char *charset = c->e->charset;
    apr_size_t i;

    if (!c->raw || (charset && strcasecmp(charset, "utf-8") == 0))
        return NULL;
    for (i = 0; mime_is_utf8_name(charset) && i < c->len; i++)
        if ((unsigned char)c->text[i] > 126)
            break;
    if (mime_is_utf8_name(charset) && i == c->len)
        return NULL;
    return charset ? charset : "us-ascii";
}

/* @return 0: it does not fit */
static int cut(cutter_t *c, const json_t *numbers)
{
    const json_t *links = json_object_get(numbers, "l"),
                 *pixel = json_object_get(numbers, "p"),
                 *footer = json_object_get(numbers, "f");
    apr_size_t offset, len = 0, end = c->len;
    size_t i = 0, n = json_array_size(links);
    int added = !pixel && !footer;

    if (!added && !number(&end, pixel ? pixel : footer, 0, c->len))
        return 0;
    while (i < n || !added) {
        offset = c->len + 1;
        if (i < n && (!number(&offset, json_array_get(links, i), c->at, c->len)
                      || !number(&len, json_array_get(links, i + 1), 1,
                                 c->len - offset)))
            return 0;
        if (!added && end < offset) {
            if (end < c->at)
                return 0;
            cut_plain(c, end);
            if (footer)
                push(c, RENDER_FOOTER, 0)->key = footer_charset(c);
            if (pixel)
                push(c, RENDER_PIXEL, 0);
            added = 1;
            continue;
        }
        cut_plain(c, offset);
        cut_link(c, len);
        i += 2;
    }
    cut_plain(c, c->len);
    return 1;
}

apr_array_header_t *render_track_tokens(const json_t *numbers,
                                        const mime_entity_t *e, int *praw,
                                        apr_pool_t *p)
{
    cutter_t c = { apr_array_make(p, 16, sizeof(render_token_t)), NULL, 0, 0,
                   e, 0, p };
    apr_size_t len;

    c.raw = json_integer_value(json_object_get(numbers, "r")) != 0;
    c.text = c.raw ? mime_entity_decode(&c.len, e, p)
                   : render_decode(&c.len, e, p);
    *praw = c.raw;
    if (!number(&len, json_object_get(numbers, "n"), c.len, c.len))
        return NULL;
    return cut(&c, numbers) ? c.tokens : NULL;
}

/* --- a copy --- */

static const char *url_of(mg_track_kind_t kind, const char *text,
                          render_values_t *values)
{
    const mg_render_for_t *who = values->who;
    mg_track_t track = { kind, who->message->domain_id, who->message->id,
                         NULL, text };
    apr_status_t rv;
    char *url;

    if (!who->links || who->links->only_variables || !who->delivery
        || !who->delivery->recipient)
        return NULL;
    track.recipient = who->delivery->recipient;
    rv = mg_track_url(&url, who->links->keys, &track, who->links->scheme,
                      who->links->host, values->p);
    values->unsigned_links |= rv == MG_ECRYPT;
    return rv == APR_SUCCESS ? url : NULL;
}

/* Where a link leads with this recipient's variables in it. */
static const char *filled(const render_token_t *link, render_values_t *values,
                          render_place_t place)
{
    const char *url = "";
    int i;

    for (i = 0; i < link->parts->nelts; i++) {
        const render_token_t *t = &APR_ARRAY_IDX(link->parts, i,
                                                 render_token_t);
        const char *value = render_value(t, values, RENDER_RAW);

        if (!value)
            value = place == RENDER_HTML
                        ? mg_link_unescape(t->text, t->len, values->p)
                        : apr_pstrmemdup(values->p, t->text, t->len);
        url = apr_pstrcat(values->p, url, value, NULL);
        if (strlen(url) > 2 * MG_LINK_TARGET_MAX)
            return NULL;
    }
    return mg_link_target(url, values->p);
}

static const char *link_value(const render_token_t *link,
                              render_values_t *values, render_place_t place)
{
    const char *target = link->parts ? filled(link, values, place) : link->key;
    const char *url = target ? url_of(MG_TRACK_CLICK, target, values) : NULL;
    apr_size_t len;

    if (!url && link->parts)
        return render_text(&len, link->parts, values, place);
    return url;
}

/* ASCII, whatever it was. */
static char *as_ascii(const char *utf8, int html, apr_pool_t *p)
{
    const unsigned char *s = (const unsigned char *)utf8;
    char *out = apr_palloc(p, 10 * strlen(utf8) + 1), *o = out;

    while (*s) {
        apr_uint32_t c = *s;
        int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;

        if (more == 0) {
            *o++ = (char)*s++;
            continue;
        }
        c &= 0x3fu >> more;
        for (s++; more > 0 && (*s & 0xc0) == 0x80; more--)
            c = c << 6 | (*s++ & 0x3f);
        if (html)
            o += apr_snprintf(o, 11, "&#%u;", c);
        else
            *o++ = '?';
    }
    *o = '\0';
    return out;
}

/* In the part's own charset, lines as mail has them. */
static const char *footer_value(const render_token_t *token,
                                render_values_t *values, render_place_t place)
{
    const mg_render_links_t *links = values->who->links;
    const char *footer = !links ? NULL : place == RENDER_HTML
                             ? links->footer_html : links->footer_text;
    apr_array_header_t *tokens;
    apr_size_t len;
    char *text, *own;
    int variables;

    if (!footer || !*footer)
        return NULL;
    render_parse(&tokens, &variables, footer, strlen(footer), values->p);
    text = render_text(&len, tokens, values, place);
    text = mg_mime_crlf(text, len, &len, values->p);
    text = apr_pstrmemdup(values->p, text, len);
    if (token->key == NULL)
        return text;
    if (place == RENDER_HTML)
        return as_ascii(text, 1, values->p);
    own = mime_from_utf8(token->key, text, len, &len, values->p);
    return own ? apr_pstrmemdup(values->p, own, len)
               : as_ascii(text, 0, values->p);
}

const char *render_track_value(const render_token_t *token,
                               render_values_t *values, render_place_t place)
{
    const char *url;

    if (token->kind != RENDER_LINK && values->who->links
        && values->who->links->only_variables)
        return NULL;
    switch (token->kind) {
    case RENDER_LINK:
        return link_value(token, values, place);
    case RENDER_PIXEL:
        url = url_of(MG_TRACK_OPEN, NULL, values);
        return url ? apr_pstrcat(values->p, PIXEL, url, "\">", NULL) : NULL;
    case RENDER_FOOTER:
        return footer_value(token, values, place);
    default:
        return NULL;
    }
}

void render_track_fields(mime_sink_t *sink, render_values_t *values)
{
    const mg_render_for_t *who = values->who;
    const char *url, *mail;

    if (who->list || (who->links && who->links->only_variables))
        return; /* a list's is its own (mg_render.c) */
    url = mg_render_link(MG_LINK_UNSUBSCRIBE, who, values->p);
    mail = mg_render_link(MG_LINK_UNSUBSCRIBE_EMAIL, who, values->p);
    if (!url || !mail) {
        values->unsigned_links |= who->links != NULL;
        return;
    }
    mime_puts(sink, apr_pstrcat(values->p, "List-Unsubscribe: <", url,
                                ">,\r\n <mailto:", mail, ">\r\n"
                                "List-Unsubscribe-Post: "
                                "List-Unsubscribe=One-Click\r\n", NULL));
}
