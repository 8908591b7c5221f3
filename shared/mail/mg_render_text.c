/* mg_render_text.c - texts with variables: cut into tokens once, written for
 * each recipient.
 *
 *   variable = "%" name "%"            name = one of names[]
 *            / "%recipient." key "%"   key  = 1*128 octets but % < > " and
 *                                             controls, no blank at its ends
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_render_private.h"

#define KEY_MAX 128
#define KEY_PREFIX "%recipient."

static const struct {
    const char *text;
    render_kind_t kind;
} names[] = {
    { "%recipient%",                    RENDER_RECIPIENT },
    { "%recipient_name%",               RENDER_NAME },
    { "%recipient_email%",              RENDER_EMAIL },
    { "%recipient_fname%",              RENDER_FNAME },
    { "%recipient_lname%",              RENDER_LNAME },
    { "%unsubscribe_url%",              RENDER_URL },
    { "%tag_unsubscribe_url%",          RENDER_TAG_URL },
    { "%mailing_list_unsubscribe_url%", RENDER_LIST_URL },
    { "%unsubscribe_email%",            RENDER_UNSUBSCRIBE_EMAIL },
};

/* --- reading --- */

static apr_size_t key_len(const char *s, const char *end)
{
    const char *c = s;

    while (c < end && c - s <= KEY_MAX && (unsigned char)*c >= 0x20
           && *c != '%' && *c != '<' && *c != '>' && *c != '"' && *c != 0x7f)
        c++;
    if (c == s || c == end || *c != '%' || c - s > KEY_MAX || *s == ' '
        || c[-1] == ' ')
        return 0;
    return (apr_size_t)(c - s);
}

/* The variable at s, which is a '%'. @return its length, 0: none */
static apr_size_t read_variable(render_token_t *token, const char *s,
                                const char *end, apr_pool_t *p)
{
    apr_size_t left = (apr_size_t)(end - s), i, len;

    token->key = NULL;
    token->parts = NULL;
    token->text = s;
    if (left < 11 || !strchr("rutm", s[1]))
        return 0;
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        len = strlen(names[i].text);
        if (len <= left && memcmp(s, names[i].text, len) == 0) {
            token->kind = names[i].kind;
            return token->len = len;
        }
    }
    len = sizeof(KEY_PREFIX) - 1;
    if (left <= len || memcmp(s, KEY_PREFIX, len) != 0)
        return 0;
    i = key_len(s + len, end);
    if (i == 0)
        return 0;
    token->kind = RENDER_KEY;
    if (p)
        token->key = apr_pstrmemdup(p, s + len, i);
    return token->len = len + i + 1;
}

apr_size_t render_variable_len(const char *s, const char *end)
{
    render_token_t token;

    return read_variable(&token, s, end, NULL);
}

int render_has_variables(const char *text, apr_size_t len)
{
    const char *s = text, *end = text + len;
    render_token_t token;

    while ((s = memchr(s, '%', (apr_size_t)(end - s))) != NULL) {
        if (read_variable(&token, s, end, NULL))
            return 1;
        s++;
    }
    return 0;
}

static void push_literal(apr_array_header_t *tokens, const char *s,
                         const char *end)
{
    render_token_t *token;

    if (end == s)
        return;
    token = apr_array_push(tokens);
    token->kind = RENDER_LITERAL;
    token->text = s;
    token->len = (apr_size_t)(end - s);
    token->key = NULL;
    token->parts = NULL;
}

void render_parse(apr_array_header_t **ptokens, int *pvariables,
                  const char *text, apr_size_t len, apr_pool_t *p)
{
    apr_array_header_t *tokens = apr_array_make(p, 8, sizeof(render_token_t));
    const char *s = text, *plain = text, *end = text + len;
    render_token_t token;

    *pvariables = 0;
    while ((s = memchr(s, '%', (apr_size_t)(end - s))) != NULL) {
        if (!read_variable(&token, s, end, p)) {
            s++;
            continue;
        }
        push_literal(tokens, plain, s);
        APR_ARRAY_PUSH(tokens, render_token_t) = token;
        *pvariables += 1;
        s = plain = s + token.len;
    }
    push_literal(tokens, plain, end);
    *ptokens = tokens;
}

/* --- values --- */

void render_values_init(render_values_t *values, const mg_render_for_t *who,
                        apr_pool_t *p)
{
    memset(values, 0, sizeof(*values));
    values->who = who;
    values->p = p;
}

const char *render_email(const render_values_t *values)
{
    const mg_delivery_t *d = values->who->delivery;

    return d && d->recipient ? d->recipient : "";
}

const char *render_name(render_values_t *values)
{
    const mg_delivery_t *d = values->who->delivery;
    mg_address_t *address;

    if (values->named)
        return values->name;
    values->named = 1;
    values->name = "";
    if (d && d->recipient_as_given
        && strcmp(d->recipient_as_given, render_email(values)) != 0
        && mg_address_parse(&address, d->recipient_as_given, values->p)
               == APR_SUCCESS
        && address->name)
        values->name = address->name;
    return values->name;
}

static const char *full_spec(render_values_t *values)
{
    const char *name = render_name(values);

    if (*name == '\0')
        return render_email(values);
    return apr_pstrcat(values->p, name, " <", render_email(values), ">",
                       NULL);
}

static const char *first_name(render_values_t *values)
{
    const char *name = render_name(values);

    return apr_pstrmemdup(values->p, name, strcspn(name, " "));
}

static const char *last_name(render_values_t *values)
{
    const char *rest = strchr(render_name(values), ' ');

    return rest ? rest + strspn(rest, " ") : "";
}

/* "a.b" is the member of that name, or else b within a. */
static const json_t *find_key(const json_t *keys, const char *key,
                              apr_pool_t *p)
{
    const json_t *value = json_object_get(keys, key);
    const char *dot = strchr(key, '.');

    if (value || !dot || !json_is_object(keys))
        return value;
    keys = json_object_get(keys, apr_pstrmemdup(p, key,
                                                (apr_size_t)(dot - key)));
    return json_is_object(keys) ? find_key(keys, dot + 1, p) : NULL;
}

static const char *key_value(render_values_t *values, const char *key)
{
    const mg_delivery_t *d = values->who->delivery;
    const json_t *value;
    const char *why;

    if (!values->keys && d && d->variables)
        values->keys = mg_json_parse(d->variables, strlen(d->variables), &why,
                                     values->p);
    if (!values->keys)
        return NULL;
    value = find_key(values->keys, key, values->p);
    if (!value)
        return NULL;
    switch (json_typeof(value)) {
    case JSON_STRING:
        return json_string_value(value);
    case JSON_NULL:
        return "";
    default:
        return mg_json_compact(value, values->p);
    }
}

static const char *link_value(render_values_t *values, render_kind_t kind)
{
    static const mg_link_kind_t kinds[RENDER_LINKS] = {
        MG_LINK_UNSUBSCRIBE, MG_LINK_UNSUBSCRIBE_TAG, MG_LINK_UNSUBSCRIBE_LIST,
        MG_LINK_UNSUBSCRIBE_EMAIL
    };
    int i = (int)kind - RENDER_URL;

    if (!values->links[i])
        values->links[i] = mg_render_link(kinds[i], values->who, values->p);
    values->unsigned_links |= values->links[i] == NULL;
    return values->links[i];
}

const char *render_value(const render_token_t *token, render_values_t *values,
                         render_place_t place)
{
    const char *link;

    switch (token->kind) {
    case RENDER_RECIPIENT:
        return place == RENDER_ADDRESS ? render_email(values)
                                       : full_spec(values);
    case RENDER_NAME:
        return render_name(values);
    case RENDER_EMAIL:
        return render_email(values);
    case RENDER_FNAME:
        return first_name(values);
    case RENDER_LNAME:
        return last_name(values);
    case RENDER_KEY:
        return key_value(values, token->key);
    case RENDER_LITERAL:
    case RENDER_LINK:
    case RENDER_PIXEL:
    case RENDER_FOOTER:
        break;
    case RENDER_UNSUBSCRIBE_EMAIL:
        link = link_value(values, token->kind);
        return link && token->key ? apr_pstrcat(values->p, token->key, link,
                                                NULL) : link;
    default:
        return link_value(values, token->kind);
    }
    return NULL;
}

/* --- writing --- */

static const char *escape_html(const char *value, apr_pool_t *p)
{
    apr_size_t n = strcspn(value, "&<>\"'");
    const char *s;
    char *out, *o;

    if (value[n] == '\0')
        return value;
    o = out = apr_palloc(p, n + strlen(value + n) * 6 + 1);
    for (s = value; *s; s++) {
        const char *entity = *s == '&' ? "&amp;" : *s == '<' ? "&lt;"
                             : *s == '>' ? "&gt;" : *s == '"' ? "&quot;"
                             : *s == '\'' ? "&#39;" : NULL;

        if (entity)
            o = apr_cpystrn(o, entity, 8);
        else
            *o++ = *s;
    }
    *o = '\0';
    return out;
}

static const char *replace_chars(const char *value, const char *bad, char by,
                                 apr_pool_t *p)
{
    char *copy = apr_pstrdup(p, value), *c;

    for (c = copy; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f || strchr(bad, *c))
            *c = by;
    }
    return copy;
}

/* at: the address has its "@" already */
static const char *escape(const char *value, render_kind_t kind,
                          render_place_t place, int at, apr_pool_t *p)
{
    switch (place) {
    case RENDER_HTML:
        return escape_html(value, p);
    case RENDER_LINE:
        return replace_chars(value, "", ' ', p);
    case RENDER_ADDRESS:
        if (at)
            return replace_chars(value, "@ <>()[],;:\\\"", '_', p);
        /* the recipient's own was read as an address */
        return kind == RENDER_RECIPIENT || kind == RENDER_EMAIL
                   ? value : replace_chars(value, " <>()[],;:\\\"", '_', p);
    case RENDER_RAW:
        break;
    }
    return value;
}

typedef struct {
    const char *text;
    apr_size_t len;
} span_t;

char *render_text(apr_size_t *plen, const apr_array_header_t *tokens,
                  render_values_t *values, render_place_t place)
{
    span_t *spans = apr_palloc(values->p, sizeof(*spans)
                                              * ((apr_size_t)tokens->nelts
                                                 + 1));
    apr_size_t len = 0;
    char *out, *o;
    int i, at = 0;

    for (i = 0; i < tokens->nelts; i++) {
        const render_token_t *token = &APR_ARRAY_IDX(tokens, i,
                                                     render_token_t);
        int tracked = token->kind >= RENDER_LINK;
        const char *value = tracked ? render_track_value(token, values, place)
                                    : render_value(token, values, place);

        spans[i].text = token->text;
        spans[i].len = token->len;
        if (value) {
            spans[i].text = tracked ? value : escape(value, token->kind, place,
                                                     at, values->p);
            spans[i].len = strlen(spans[i].text);
            /* links have no "--" where a line begins */
            values->dashes |= token->kind < RENDER_URL
                              && strstr(value, "--") != NULL;
        }
        else if (memchr(token->text, '@', token->len))
            at = 1;
        len += spans[i].len;
        /* a long value that stands there often */
        if (len > RENDER_OUT_MAX || values->total + len > RENDER_COPY_MAX) {
            values->over = 1;
            *plen = 0;
            return apr_pstrdup(values->p, "");
        }
    }
    o = out = apr_palloc(values->p, len + 1);
    for (i = 0; i < tokens->nelts; i++) {
        memcpy(o, spans[i].text, spans[i].len);
        o += spans[i].len;
    }
    *o = '\0';
    *plen = len;
    values->total += len;
    return out;
}

/* --- JSON --- */

static json_t *render_string(const json_t *json, render_values_t *values)
{
    apr_array_header_t *tokens;
    apr_size_t len = json_string_length(json);
    int variables;
    char *text;

    render_parse(&tokens, &variables, json_string_value(json), len,
                 values->p);
    if (variables == 0)
        return json_incref((json_t *)(size_t)json);
    text = render_text(&len, tokens, values, RENDER_RAW);
    return json_stringn(text, len);
}

json_t *render_json(const json_t *json, render_values_t *values)
{
    json_t *copy, *member;
    const char *key;
    size_t i;

    switch (json_typeof(json)) {
    case JSON_STRING:
        return render_string(json, values);
    case JSON_OBJECT:
        copy = json_object();
        json_object_foreach((json_t *)(size_t)json, key, member)
            json_object_set_new(copy, key, render_json(member, values));
        return copy;
    case JSON_ARRAY:
        copy = json_array();
        json_array_foreach(json, i, member)
            json_array_append_new(copy, render_json(member, values));
        return copy;
    default:
        return json_incref((json_t *)(size_t)json);
    }
}
