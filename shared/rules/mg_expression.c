/* mg_expression.c - filters of routes (mg_expression.h). */
#include <string.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "mg_expression.h"
#include "mg_mime.h"
#include "mg_status.h"
#include "mg_text.h"

#define DEPTH_MAX 50
#define TERMS_MAX 100

typedef enum { TERM_RECIPIENT, TERM_HEADER, TERM_CATCH_ALL, TERM_NOT,
               TERM_AND, TERM_OR } kind_t;

struct mg_expression_t {
    kind_t kind;
    mg_expression_t *left, *right;   /* not: left */
    const char *header;
    mg_pattern_t *pattern;
    const char *text;                /* of a term, as it is written */
};

/* --- calls --- */

apr_status_t mg_parse_bad(mg_parse_t *parse, const char *what)
{
    int at = (int)(parse->at - parse->text) + 1;

    if (!*parse->at)
        parse->error = apr_psprintf(parse->p, "%s at the end of '%s'", what,
                                    parse->text);
    else
        parse->error = apr_psprintf(parse->p, "%s at character %d, '%.40s'",
                                    what, at, parse->at);
    return MG_EBADINPUT;
}

void mg_parse_space(mg_parse_t *parse)
{
    while (apr_isspace(*parse->at))
        parse->at++;
}

static apr_status_t parse_string(mg_parse_t *parse, const char **pstring)
{
    const char *start;
    int raw = 0;
    char quote, *out;

    if ((*parse->at == 'r' || *parse->at == 'R') &&
        (parse->at[1] == '"' || parse->at[1] == '\'')) {
        raw = 1;
        parse->at++;
    }
    quote = *parse->at;
    if (quote != '"' && quote != '\'')
        return mg_parse_bad(parse, "a quoted string is missing");
    start = parse->at++;
    *pstring = out = apr_palloc(parse->p, strlen(parse->at) + 1);
    for (; *parse->at && *parse->at != quote; parse->at++) {
        if (*parse->at == '\\' && parse->at[1]) {
            if (raw || !strchr("\\'\"", parse->at[1]))
                *out++ = '\\';
            parse->at++;
        }
        *out++ = *parse->at;
    }
    *out = '\0';
    if (!*parse->at) {
        parse->at = start;
        return mg_parse_bad(parse, "a quote is not closed");
    }
    parse->at++;
    return APR_SUCCESS;
}

static const char *parse_name(mg_parse_t *parse)
{
    const char *start = parse->at;

    while (apr_isalnum(*parse->at) || *parse->at == '_')
        parse->at++;
    return apr_pstrmemdup(parse->p, start, (apr_size_t)(parse->at - start));
}

/* [ name "=" ] string */
static apr_status_t parse_argument(mg_call_t *call, mg_parse_t *parse)
{
    const char *start = parse->at, *name;

    if (call->nstrings == MG_CALL_STRINGS)
        return mg_parse_bad(parse, "there are too many strings");
    name = parse_name(parse);
    mg_parse_space(parse);
    if (*name && *parse->at == '=') {
        call->keys[call->nstrings] = name;
        parse->at++;
        mg_parse_space(parse);
    }
    else {
        parse->at = start; /* the r of r'' too */
    }
    return parse_string(parse, &call->strings[call->nstrings++]);
}

apr_status_t mg_parse_call(mg_call_t *call, mg_parse_t *parse)
{
    apr_status_t rv;

    memset(call, 0, sizeof(*call));
    call->name = parse_name(parse);
    if (!*call->name)
        return mg_parse_bad(parse, "a name is missing");
    mg_parse_space(parse);
    if (*parse->at != '(')
        return mg_parse_bad(parse, "'(' is missing");
    parse->at++;
    mg_parse_space(parse);
    while (*parse->at != ')') {
        rv = parse_argument(call, parse);
        if (rv != APR_SUCCESS)
            return rv;
        mg_parse_space(parse);
        if (*parse->at == ',') {
            parse->at++;
            mg_parse_space(parse);
        }
        else if (*parse->at != ')') {
            return mg_parse_bad(parse, "')' is missing");
        }
    }
    parse->at++;
    return APR_SUCCESS;
}

/* --- the grammar --- */

typedef struct {
    mg_parse_t parse;
    apr_hash_t *patterns;
    int depth, terms;
} compile_t;

static apr_status_t compile_or(mg_expression_t **pexpr, compile_t *c);

static mg_expression_t *node(compile_t *c, kind_t kind, mg_expression_t *left,
                             mg_expression_t *right)
{
    mg_expression_t *e = apr_pcalloc(c->parse.p, sizeof(*e));

    e->kind = kind;
    e->left = left;
    e->right = right;
    return e;
}

/* A word of the grammar, not the beginning of a longer one. */
static int take_word(compile_t *c, const char *word)
{
    apr_size_t n = strlen(word);

    mg_parse_space(&c->parse);
    if (strncasecmp(c->parse.at, word, n) != 0
        || apr_isalnum(c->parse.at[n]) || c->parse.at[n] == '_')
        return 0;
    c->parse.at += n;
    return 1;
}

static int is_catch_all(const char *name)
{
    return !strcmp(name, "catch_all") || !strcmp(name, "catchall");
}

/* NULL, or what is wrong with a call as a filter. */
static const char *misfit(const mg_call_t *call, apr_pool_t *p)
{
    int strings = !strcmp(call->name, "match_recipient") ? 1
                  : !strcmp(call->name, "match_header")  ? 2
                  : is_catch_all(call->name)             ? 0
                                                         : -1;

    if (strings < 0)
        return apr_psprintf(p, "'%s' is no filter (there are match_recipient(),"
                            " match_header(), catch_all())", call->name);
    if (call->nstrings != strings || call->keys[0] || call->keys[1])
        return apr_psprintf(p, "%s() takes %s", call->name,
                            strings == 0   ? "no string"
                            : strings == 1 ? "one string"
                                           : "a header's name and a pattern");
    if (strings == 2 && !*call->strings[0])
        return "match_header() takes a header's name and a pattern";
    return NULL;
}

static apr_status_t compile_term(mg_expression_t **pexpr, compile_t *c)
{
    const char *start = c->parse.at, *wrong;
    mg_call_t call;
    apr_status_t rv;

    if (++c->terms > TERMS_MAX)
        return mg_parse_bad(&c->parse, "there are too many filters");
    rv = mg_parse_call(&call, &c->parse);
    if (rv != APR_SUCCESS)
        return rv;
    wrong = misfit(&call, c->parse.p);
    if (wrong) {
        c->parse.at = start;
        return mg_parse_bad(&c->parse, wrong);
    }
    *pexpr = node(c, TERM_CATCH_ALL, NULL, NULL);
    (*pexpr)->text = apr_pstrmemdup(c->parse.p, start,
                                    (apr_size_t)(c->parse.at - start));
    if (call.nstrings == 0)
        return APR_SUCCESS;
    (*pexpr)->kind = call.nstrings == 1 ? TERM_RECIPIENT : TERM_HEADER;
    if (call.nstrings == 2)
        (*pexpr)->header = call.strings[0];
    (*pexpr)->pattern =
        c->patterns && call.nstrings == 1
            ? mg_pattern_intern(c->patterns, call.strings[0], c->parse.p)
            : mg_pattern_make(call.strings[call.nstrings - 1],
                              call.nstrings == 1, c->parse.p);
    return c->patterns ? APR_SUCCESS
                     : mg_pattern_check((*pexpr)->pattern, &c->parse.error,
                                        c->parse.p);
}

static apr_status_t compile_not(mg_expression_t **pexpr, compile_t *c)
{
    mg_expression_t *inner;
    apr_status_t rv;

    if (c->depth > DEPTH_MAX)
        return mg_parse_bad(&c->parse, "it is nested too deeply");
    c->depth++;
    if (take_word(c, "not")) {
        rv = compile_not(&inner, c);
        if (rv == APR_SUCCESS)
            *pexpr = node(c, TERM_NOT, inner, NULL);
    }
    else if (*c->parse.at == '(') {
        c->parse.at++;
        rv = compile_or(pexpr, c);
        mg_parse_space(&c->parse);
        if (rv == APR_SUCCESS && *c->parse.at++ != ')') {
            c->parse.at--;
            rv = mg_parse_bad(&c->parse, "')' is missing");
        }
    }
    else {
        rv = compile_term(pexpr, c);
    }
    c->depth--;
    return rv;
}

static apr_status_t compile_chain(mg_expression_t **pexpr, compile_t *c,
                                  kind_t kind)
{
    mg_expression_t *right;
    apr_status_t rv;

    rv = kind == TERM_OR ? compile_chain(pexpr, c, TERM_AND)
                         : compile_not(pexpr, c);
    while (rv == APR_SUCCESS
           && take_word(c, kind == TERM_OR ? "or" : "and")) {
        rv = kind == TERM_OR ? compile_chain(&right, c, TERM_AND)
                             : compile_not(&right, c);
        if (rv == APR_SUCCESS)
            *pexpr = node(c, kind, *pexpr, right);
    }
    return rv;
}

static apr_status_t compile_or(mg_expression_t **pexpr, compile_t *c)
{
    return compile_chain(pexpr, c, TERM_OR);
}

apr_status_t mg_expression_compile(mg_expression_t **pexpr, const char *text,
                                   apr_hash_t *patterns, const char **perror,
                                   apr_pool_t *p)
{
    compile_t c = { { text, text, NULL, p }, patterns, 0, 0 };
    mg_expression_t *e = NULL;
    apr_status_t rv;

    *pexpr = NULL;
    if (strlen(text) > MG_EXPRESSION_MAX) {
        *perror = "it is too long";
        return MG_EBADINPUT;
    }
    rv = compile_or(&e, &c);
    mg_parse_space(&c.parse);
    if (rv == APR_SUCCESS && *c.parse.at)
        rv = mg_parse_bad(&c.parse, "'and' or 'or' is missing");
    *perror = c.parse.error;
    if (rv == APR_SUCCESS)
        *pexpr = e;
    return rv;
}

/* --- matching --- */

typedef struct {
    const mg_rule_subject_t *subject;
    mg_captures_t *captures;
    const char *decided;
    apr_pool_t *p;
} match_t;

/* Of several terms that matched: what is there already stays. */
static void add_captures(mg_captures_t *all, const mg_captures_t *more)
{
    const apr_array_header_t *names;
    const apr_table_entry_t *e;
    int i;

    if (!more->groups)
        return;
    if (!all->groups) {
        *all = *more;
        return;
    }
    names = apr_table_elts(more->names);
    e = (const apr_table_entry_t *)names->elts;
    for (i = all->groups->nelts; i < more->groups->nelts; i++)
        APR_ARRAY_PUSH(all->groups, const char *) =
            APR_ARRAY_IDX(more->groups, i, const char *);
    for (i = 0; i < names->nelts; i++)
        if (!apr_table_get(all->names, e[i].key))
            apr_table_setn(all->names, e[i].key, e[i].val);
}

static int match_pattern(match_t *m, const mg_expression_t *e,
                         const char *text, const char *lower)
{
    mg_captures_t own = { NULL, NULL };

    if (!mg_pattern_matches(e->pattern, text, lower,
                            m->captures ? &own : NULL, m->subject->whose,
                            m->p))
        return 0;
    if (m->captures)
        add_captures(m->captures, &own);
    return 1;
}

static int match_recipient(match_t *m, const mg_expression_t *e)
{
    const mg_rule_subject_t *s = m->subject;

    if (s->number && !m->captures)
        return mg_pattern_matches_again(e->pattern, s->number, s->recipient,
                                        s->lower, s->whose, m->p);
    return match_pattern(m, e, s->recipient, s->lower);
}

static const char *lower_header(match_t *m, const mg_header_t *h, int i)
{
    const char **kept = m->subject->lower_headers;

    if (!kept || mg_text_has_eight_bit(h->value, strlen(h->value)))
        return NULL;
    if (!kept[i])
        kept[i] = mg_text_lower(h->value, m->p);
    return kept[i];
}

/* Any field of that name will do. */
static mg_rules_t match_header(match_t *m, const mg_expression_t *e)
{
    const apr_array_header_t *headers = m->subject->headers;
    int i;

    if (!headers)
        return MG_RULES_MAYBE;
    for (i = 0; i < headers->nelts; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(headers, i, mg_header_t);

        if (!strcasecmp(h->name, e->header)
            && match_pattern(m, e, h->value, lower_header(m, h, i)))
            return MG_RULES_YES;
    }
    return MG_RULES_NO;
}

static mg_rules_t match(match_t *m, const mg_expression_t *e);

/* Groups of one side count only if the other is true as well. */
static mg_rules_t match_both(match_t *m, const mg_expression_t *e)
{
    mg_captures_t *all = m->captures, own = { NULL, NULL };
    mg_rules_t left, right = MG_RULES_NO;

    m->captures = all ? &own : NULL;
    left = match(m, e->left);
    if (left != MG_RULES_NO)
        right = match(m, e->right);
    m->captures = all;
    if (all && right == MG_RULES_YES && left == MG_RULES_YES)
        add_captures(all, &own);
    return left < right ? left : right;
}

static mg_rules_t match_not(match_t *m, const mg_expression_t *e)
{
    mg_captures_t *all = m->captures;
    mg_rules_t result;

    m->captures = NULL;
    result = MG_RULES_YES - match(m, e->left);
    m->captures = all;
    return result;
}

static mg_rules_t match(match_t *m, const mg_expression_t *e)
{
    mg_rules_t left, right;

    switch (e->kind) {
    case TERM_RECIPIENT:
        m->decided = e->text;
        return match_recipient(m, e) ? MG_RULES_YES : MG_RULES_NO;
    case TERM_HEADER:
        m->decided = e->text;
        return match_header(m, e);
    case TERM_CATCH_ALL:
        m->decided = e->text;
        return MG_RULES_YES - m->subject->matched_before;
    case TERM_NOT:
        return match_not(m, e);
    case TERM_AND:
        return match_both(m, e);
    case TERM_OR:
        left = match(m, e->left);
        if (left == MG_RULES_YES)
            return left;
        right = match(m, e->right);
        return left > right ? left : right;
    }
    return MG_RULES_NO;
}

mg_rules_t mg_expression_match(const mg_expression_t *expr,
                               const mg_rule_subject_t *subject,
                               mg_captures_t *captures,
                               const char **pdecided, apr_pool_t *p)
{
    match_t m = { subject, captures, NULL, p };
    mg_rules_t result;

    if (captures)
        memset(captures, 0, sizeof(*captures));
    result = match(&m, expr);
    if (pdecided)
        *pdecided = m.decided;
    return result;
}

/* --- groups --- */

int mg_expression_has_group(const mg_expression_t *expr, int number,
                            const char *name)
{
    if (!expr)
        return 0;
    if (expr->pattern)
        return name ? mg_pattern_has_name(expr->pattern, name)
                    : number <= mg_pattern_groups(expr->pattern);
    return mg_expression_has_group(expr->left, number, name)
           || mg_expression_has_group(expr->right, number, name);
}
