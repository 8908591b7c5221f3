/* mg_render_field.c - header fields with variables (RFC 5322, 2047).
 *
 * A field is read when the template is parsed: encoded words first, then what
 * it is made of. What comes from a recipient's values is quoted or encoded by
 * the same functions that write all our fields, and is on one line before it
 * gets there: it can neither end the field nor, in an address field, add an
 * address.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_render_private.h"

typedef enum { FIELD_TEXT, FIELD_ADDRESSES, FIELD_JSON, FIELD_OWN_TO }
    field_kind_t;

struct render_field_t {
    field_kind_t kind;
    const char *name;
    apr_array_header_t *tokens;     /* FIELD_TEXT */
    apr_array_header_t *mailboxes;  /* FIELD_ADDRESSES, of mailbox_t */
    const json_t *json;
};

typedef struct {
    int whole;                            /* %recipient% and nothing else */
    apr_array_header_t *name, *spec;      /* tokens; name NULL: none */
} mailbox_t;

/* What the body is, how the message came, or what others rely on. */
static int is_left_alone(const char *name)
{
    static const char *const names[] = {
        "MIME-Version", "Message-Id", "Date", "Received", "Return-Path",
        "DKIM-Signature", "ARC-Seal", "ARC-Message-Signature",
        "ARC-Authentication-Results", "Authentication-Results",
        "X-Mailgun-Recipient-Variables", NULL
    };
    int i;

    if (strncasecmp(name, "Content-", 8) == 0)
        return 1;
    for (i = 0; names[i]; i++)
        if (strcasecmp(name, names[i]) == 0)
            return 1;
    return 0;
}

static int holds_addresses(const char *name)
{
    static const char *const names[] = {
        "From", "To", "Cc", "Reply-To", "Sender", "Resent-From", "Resent-To",
        "Resent-Cc", "Resent-Sender", "Resent-Reply-To", NULL
    };
    int i;

    for (i = 0; names[i]; i++)
        if (strcasecmp(name, names[i]) == 0)
            return 1;
    return 0;
}

/* --- mailboxes --- */

/* The end of one mailbox of a list: a comma outside quotes, comments and
 * angle brackets. *popen: where the last '<' stands, or NULL. */
static const char *mailbox_end(const char *s, const char **popen)
{
    int quoted = 0, comment = 0, angle = 0;

    *popen = NULL;
    for (; *s; s++) {
        if (*s == '\\' && s[1])
            s++;
        else if (*s == '"' && !comment)
            quoted = !quoted;
        else if (quoted)
            continue;
        else if (*s == '(')
            comment++;
        else if (*s == ')' && comment)
            comment--;
        else if (comment)
            continue;
        else if (*s == '<') {
            *popen = s;
            angle = 1;
        }
        else if (*s == '>')
            angle = 0;
        else if (*s == ',' && !angle)
            break;
    }
    return s;
}

static char *trimmed(const char *s, const char *end, apr_pool_t *p)
{
    while (s < end && apr_isspace(*s))
        s++;
    while (end > s && apr_isspace(end[-1]))
        end--;
    return apr_pstrmemdup(p, s, (apr_size_t)(end - s));
}

/* Encoded words read; what they may hide stays on its line. */
static const char *decoded(const char *raw, apr_pool_t *p)
{
    char *text = apr_pstrdup(p, mime_decode_words(raw, p)), *c;

    for (c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    }
    return text;
}

/* A phrase as people read it: without quotes, encoded words read. */
static const char *phrase_text(const char *phrase, apr_pool_t *p)
{
    char *copy = apr_palloc(p, strlen(phrase) + 1), *o = copy;
    int quoted = 0;

    for (; *phrase; phrase++) {
        if (*phrase == '"') {
            quoted = !quoted;
            continue;
        }
        if (quoted && *phrase == '\\' && phrase[1])
            phrase++;
        *o++ = *phrase;
    }
    *o = '\0';
    return decoded(copy, p);
}

static apr_array_header_t *tokens_of(const char *text, apr_pool_t *p)
{
    apr_array_header_t *tokens;
    int variables;

    render_parse(&tokens, &variables, text, strlen(text), p);
    return tokens;
}

/* "me@d (Bob)" without its comments, trimmed; *pcomment: the text of the last,
 * or NULL. With a value filled in, a comment would be part of the address. */
static char *without_comments(const char *spec, const char **pcomment,
                              apr_pool_t *p)
{
    char *out = apr_pstrdup(p, spec), *o = out;
    const char *s, *begin = NULL;
    int quoted = 0, depth = 0;

    *pcomment = NULL;
    for (s = spec; *s; s++) {
        int escaped = *s == '\\' && s[1];

        if (!escaped && *s == '"' && !depth)
            quoted = !quoted;
        if (!escaped && *s == '(' && !quoted && depth++ == 0)
            begin = s + 1;
        if (!depth)
            *o++ = *s;
        if (escaped && *++s && !depth)
            *o++ = *s;
        else if (!escaped && *s == ')' && depth && --depth == 0)
            *pcomment = trimmed(begin, s, p);
    }
    out = trimmed(out, o, p);
    if (!depth && *out)
        return out;
    *pcomment = NULL; /* it has no end, or is all there is: it is none */
    return apr_pstrdup(p, spec);
}

static void read_mailbox(mailbox_t *m, const char *s, const char *end,
                         const char *open, apr_pool_t *p)
{
    const char *close = open ? memchr(open, '>', (apr_size_t)(end - open))
                             : NULL;
    const char *spec, *name, *comment;

    memset(m, 0, sizeof(*m));
    if (close) {
        name = phrase_text(trimmed(s, open, p), p);
        spec = without_comments(trimmed(open + 1, close, p), &comment, p);
        if (*name)
            m->name = tokens_of(name, p);
    }
    else {
        spec = without_comments(decoded(trimmed(s, end, p), p), &comment, p);
        m->whole = strcmp(spec, "%recipient%") == 0;
        if (comment && *comment)
            m->name = tokens_of(comment, p);
    }
    m->spec = tokens_of(spec, p);
}

static apr_array_header_t *read_mailboxes(const char *raw, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 2, sizeof(mailbox_t));
    const char *s = raw, *end, *open;

    while (*s) {
        end = mailbox_end(s, &open);
        if (*trimmed(s, end, p))
            read_mailbox(apr_array_push(list), s, end, open, p);
        s = *end ? end + 1 : end;
    }
    return list;
}

/* --- reading --- */

static const json_t *json_with_variables(const char *value, apr_pool_t *p)
{
    const char *why;
    json_t *json = mg_json_parse(value, strlen(value), &why, p);

    return json_is_object(json) ? json : NULL;
}

/* "<%unsubscribe_email%>" is to be a URI there (RFC 2369 3.2). */
static void make_uris(apr_array_header_t *tokens)
{
    int i;

    for (i = 1; i < tokens->nelts; i++) {
        render_token_t *token = &APR_ARRAY_IDX(tokens, i, render_token_t);

        if (token->kind == RENDER_UNSUBSCRIBE_EMAIL && token[-1].len > 0
            && token[-1].text[token[-1].len - 1] == '<')
            token->key = "mailto:";
    }
}

render_field_t *render_field_parse(const mg_header_t *h, apr_pool_t *p)
{
    render_field_t *field;

    /* Without a percent sign, or an encoded word that may hide one, nothing
     * needs to be looked at. */
    if (!strchr(h->value, '%') || is_left_alone(h->name)
        || !render_has_variables(h->value, strlen(h->value)))
        return NULL;
    field = apr_pcalloc(p, sizeof(*field));
    field->name = apr_pstrdup(p, h->name);
    if (holds_addresses(h->name)) {
        field->kind = FIELD_ADDRESSES;
        field->mailboxes = read_mailboxes(apr_pstrdup(p, h->raw), p);
        return field;
    }
    if (strcasecmp(h->name, "X-Mailgun-Variables") == 0)
        field->json = json_with_variables(h->value, p);
    field->kind = field->json ? FIELD_JSON : FIELD_TEXT;
    if (field->kind == FIELD_TEXT)
        field->tokens = tokens_of(apr_pstrdup(p, h->value), p);
    if (strcasecmp(h->name, "List-Unsubscribe") == 0)
        make_uris(field->tokens);
    return field;
}

/* What follows the last "@" has to be said, and to be the domain. */
static int keeps_domain(const mailbox_t *m, const char *domain, apr_pool_t *p)
{
    const render_token_t *last;
    const char *at, *text;
    int i;

    for (i = 0; i < m->spec->nelts; i++)
        if (APR_ARRAY_IDX(m->spec, i, render_token_t).kind != RENDER_LITERAL)
            break;
    if (i == m->spec->nelts)
        return 1;
    last = &APR_ARRAY_IDX(m->spec, m->spec->nelts - 1, render_token_t);
    if (last->kind != RENDER_LITERAL)
        return 0;
    text = apr_pstrmemdup(p, last->text, last->len);
    at = strrchr(text, '@');
    return at && strcasecmp(mg_address_ascii_domain(at + 1, p),
                            mg_address_ascii_domain(domain, p)) == 0;
}

int mg_render_keeps_domain(const mg_header_t *field, const char *domain,
                           apr_pool_t *p)
{
    apr_array_header_t *list;
    int i;

    if (!render_has_variables(field->value, strlen(field->value)))
        return 1;
    list = read_mailboxes(field->raw, p);
    for (i = 0; i < list->nelts; i++)
        if (!keeps_domain(&APR_ARRAY_IDX(list, i, mailbox_t), domain, p))
            return 0;
    return 1;
}

render_field_t *render_field_own_to(apr_pool_t *p)
{
    render_field_t *field = apr_pcalloc(p, sizeof(*field));

    field->kind = FIELD_OWN_TO;
    field->name = "To";
    return field;
}

/* --- writing --- */

static void split_spec(mg_address_t *a, apr_pool_t *p)
{
    const char *at = strrchr(a->address, '@');

    if (!at)
        return;
    a->local = apr_pstrmemdup(p, a->address, (apr_size_t)(at - a->address));
    a->domain = at + 1;
}

static mg_address_t *own_mailbox(render_values_t *values)
{
    mg_address_t *a = apr_pcalloc(values->p, sizeof(*a));
    const char *name = render_name(values);

    a->name = *name ? name : NULL;
    a->address = render_email(values);
    split_spec(a, values->p);
    return a;
}

static mg_address_t *mailbox_for(const mailbox_t *m, render_values_t *values)
{
    mg_address_t *a;
    apr_size_t len;
    char *name;

    if (m->whole)
        return own_mailbox(values);
    a = apr_pcalloc(values->p, sizeof(*a));
    a->address = render_text(&len, m->spec, values, RENDER_ADDRESS);
    split_spec(a, values->p);
    if (!m->name)
        return a;
    name = render_text(&len, m->name, values, RENDER_LINE);
    name = trimmed(name, name + len, values->p);
    a->name = *name ? name : NULL;
    return a;
}

static void put_mailboxes(mime_sink_t *sink, const render_field_t *field,
                          render_values_t *values)
{
    apr_array_header_t *list = apr_array_make(values->p, 2,
                                              sizeof(mg_address_t *));
    int i;

    if (field->kind == FIELD_OWN_TO)
        APR_ARRAY_PUSH(list, mg_address_t *) = own_mailbox(values);
    for (i = 0; field->mailboxes && i < field->mailboxes->nelts; i++)
        APR_ARRAY_PUSH(list, mg_address_t *) =
            mailbox_for(&APR_ARRAY_IDX(field->mailboxes, i, mailbox_t),
                        values);
    mime_put_addresses(sink, field->name, list);
}

void render_field_put(mime_sink_t *sink, const render_field_t *field,
                      render_values_t *values)
{
    apr_size_t len;
    json_t *json;

    switch (field->kind) {
    case FIELD_ADDRESSES:
    case FIELD_OWN_TO:
        put_mailboxes(sink, field, values);
        break;
    case FIELD_JSON:
        json = render_json(field->json, values);
        mime_put_json(sink, field->name, mg_json_compact(json, values->p));
        json_decref(json);
        break;
    case FIELD_TEXT:
        mime_put_field(sink, field->name,
                       render_text(&len, field->tokens, values, RENDER_LINE));
        break;
    }
}
