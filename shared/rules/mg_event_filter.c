/* mg_event_filter.c - filters of GET /<domain>/events.
 *
 *     filter = all *( "OR" all )
 *     all    = one *( [ "AND" ] one )
 *     one    = ( "NOT" / "-" ) one / "(" filter ")" / term
 *     term   = phrase / word             ; of numbers: [ ">" [ "=" ] /
 *                                        ; "<" [ "=" ] ] 1*DIGIT
 *     phrase = DQUOTE *( char / "\" char ) DQUOTE
 *     word   = 1*char                    ; no space, parenthesis, quote
 *
 * AND, OR and NOT are operators in capitals only, as "or" is a word of many
 * subjects.
 */
#include <string.h>
#include <strings.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "mg_event_filter.h"
#include "mg_status.h"

/* A term, and for each AND, OR, NOT one node; "a -b" has four. */
#define NODES_MAX (4 * MG_FILTER_TERMS)

enum match { EXACT, EXACT_CASE, TEXT, ADDRESS, NUMBER };

static const struct {
    const char *name;
    enum match match;
} fields[MG_FILTER_MAX] = {
    [MG_FILTER_EVENT] = { "event", EXACT },
    [MG_FILTER_LIST] = { "list", ADDRESS },
    [MG_FILTER_ATTACHMENT] = { "attachment", TEXT },
    [MG_FILTER_FROM] = { "from", ADDRESS },
    [MG_FILTER_TO] = { "to", ADDRESS },
    [MG_FILTER_MESSAGE_ID] = { "message-id", EXACT_CASE },
    [MG_FILTER_SUBJECT] = { "subject", TEXT },
    [MG_FILTER_SIZE] = { "size", NUMBER },
    [MG_FILTER_RECIPIENT] = { "recipient", ADDRESS },
    [MG_FILTER_RECIPIENTS] = { "recipients", ADDRESS },
    [MG_FILTER_TAGS] = { "tags", EXACT },
    [MG_FILTER_SEVERITY] = { "severity", EXACT },
};

enum op { TERM, NOT, AND, OR };

typedef struct {
    enum op op;
    int left, right;          /* nodes; NOT has left only */
    const char *word;         /* TERM */
    apr_int64_t low, high;    /* TERM of a number: both included */
} node_t;

struct mg_event_filter_t {
    mg_filter_field_t field;
    int root, nnodes, nterms;
    node_t nodes[NODES_MAX];
};

const char *mg_event_filter_name(mg_filter_field_t field)
{
    return fields[field].name;
}

/* --- reading --- */

typedef struct {
    mg_event_filter_t *filter;
    const char *at;
    const char *error;
    int depth;
    apr_pool_t *p;
} parse_t;

static int parse_any(parse_t *parse);

/* -1, with the reason */
static int bad(parse_t *parse, const char *what)
{
    if (parse->error)
        return -1;
    if (!*parse->at)
        parse->error = apr_pstrcat(parse->p, what, " at the end", NULL);
    else
        parse->error = apr_pstrcat(parse->p, what, " at '", parse->at, "'",
                                   NULL);
    return -1;
}

static int node(parse_t *parse, enum op op, int left, int right)
{
    mg_event_filter_t *f = parse->filter;

    if (left < 0 || right < 0)
        return -1;
    if (f->nnodes == NODES_MAX)
        return bad(parse, "it is too long");
    f->nodes[f->nnodes].op = op;
    f->nodes[f->nnodes].left = left;
    f->nodes[f->nnodes].right = right;
    return f->nnodes++;
}

static void skip_space(parse_t *parse)
{
    while (apr_isspace(*parse->at))
        parse->at++;
}

static int ends_word(char c)
{
    return !c || apr_isspace(c) || c == '(' || c == ')' || c == '"';
}

static int is_next(const parse_t *parse, const char *op)
{
    apr_size_t len = strlen(op);

    return !strncmp(parse->at, op, len) && ends_word(parse->at[len]);
}

static const char *read_phrase(parse_t *parse)
{
    const char *start = parse->at++;
    char *out = apr_palloc(parse->p, strlen(start)), *word = out;

    for (; *parse->at && *parse->at != '"'; parse->at++) {
        if (*parse->at == '\\' && parse->at[1])
            parse->at++;
        *out++ = *parse->at;
    }
    *out = '\0';
    if (!*parse->at) {
        parse->at = start;
        bad(parse, "a quote is not closed");
        return NULL;
    }
    parse->at++;
    return word;
}

static const char *read_word(parse_t *parse)
{
    const char *start = parse->at;

    while (!ends_word(*parse->at))
        parse->at++;
    return apr_pstrmemdup(parse->p, start, (apr_size_t)(parse->at - start));
}

/* ">10", "<=10", "10" as a range; what a number may be is bounded. */
static int read_range(parse_t *parse, node_t *term, const char *word)
{
    const char *digits = word + strspn(word, "<>=");
    apr_size_t signs = (apr_size_t)(digits - word);
    char *end;
    apr_int64_t n;

    if (signs > 2 || (signs == 2 && word[1] != '=') || *word == '=')
        return bad(parse, "'>', '>=', '<' or '<=' and a number belong before "
                          "what stands");
    if (!*digits || strspn(digits, "0123456789") != strlen(digits) ||
        strlen(digits) > 18)
        return bad(parse, "a number is missing before what stands");
    n = apr_strtoi64(digits, &end, 10);
    term->low = *word == '<' ? 0 : *word == '>' && signs == 1 ? n + 1 : n;
    term->high = *word == '>' ? APR_INT64_MAX
                 : *word == '<' && signs == 1 ? n - 1 : n;
    return 0;
}

/* "> 10" is ">10" */
static const char *with_number(parse_t *parse, const char *word)
{
    if (word[strspn(word, "<>=")])
        return word;
    skip_space(parse);
    return apr_pstrcat(parse->p, word, read_word(parse), NULL);
}

static int parse_term(parse_t *parse)
{
    mg_event_filter_t *f = parse->filter;
    const char *word;
    int at;

    if (++f->nterms > MG_FILTER_TERMS)
        return bad(parse, apr_psprintf(parse->p, "more than %d words",
                                       MG_FILTER_TERMS));
    word = *parse->at == '"' ? read_phrase(parse) : read_word(parse);
    if (!word)
        return -1;
    if (!*word)
        return bad(parse, "a word is missing");
    at = node(parse, TERM, 0, 0);
    if (at < 0)
        return -1;
    if (fields[f->field].match == NUMBER &&
        read_range(parse, &f->nodes[at], with_number(parse, word)))
        return -1;
    f->nodes[at].word = word;
    return at;
}

static int parse_one(parse_t *parse)
{
    int at;

    skip_space(parse);
    if (!*parse->at || *parse->at == ')' || is_next(parse, "OR") ||
        is_next(parse, "AND"))
        return bad(parse, "a word is missing");
    if (parse->depth >= MG_FILTER_DEPTH)
        return bad(parse, "it goes too deep");
    parse->depth++;
    if (is_next(parse, "NOT") ||
        (*parse->at == '-' && parse->at[1] && !apr_isspace(parse->at[1]))) {
        parse->at += *parse->at == '-' ? 1 : 3;
        at = parse_one(parse);
        at = node(parse, NOT, at, 0);
    }
    else if (*parse->at == '(') {
        parse->at++;
        at = parse_any(parse);
        if (at >= 0 && *parse->at != ')')
            at = bad(parse, "a parenthesis is not closed");
        else if (at >= 0)
            parse->at++;
    }
    else {
        at = parse_term(parse);
    }
    parse->depth--;
    return at;
}

static int parse_all(parse_t *parse)
{
    int at = parse_one(parse);

    for (;;) {
        skip_space(parse);
        if (at < 0 || !*parse->at || *parse->at == ')' ||
            is_next(parse, "OR"))
            return at;
        if (is_next(parse, "AND"))
            parse->at += 3;
        at = node(parse, AND, at, parse_one(parse));
    }
}

static int parse_any(parse_t *parse)
{
    int at = parse_all(parse);

    while (at >= 0 && is_next(parse, "OR")) {
        parse->at += 2;
        at = node(parse, OR, at, parse_all(parse));
    }
    return at;
}

apr_status_t mg_event_filter_compile(mg_event_filter_t **pfilter,
                                     mg_filter_field_t field, const char *text,
                                     const char **perror, apr_pool_t *p)
{
    parse_t parse = { .at = text, .p = p };

    *pfilter = NULL;
    if (strlen(text) > MG_FILTER_LENGTH) {
        *perror = apr_psprintf(p, "it is longer than %d octets",
                               MG_FILTER_LENGTH);
        return MG_EBADINPUT;
    }
    parse.filter = apr_pcalloc(p, sizeof(*parse.filter));
    parse.filter->field = field;
    parse.filter->root = parse_any(&parse);
    if (parse.filter->root >= 0 && *parse.at)
        parse.filter->root = bad(&parse, "a parenthesis too many");
    if (parse.filter->root < 0) {
        *perror = parse.error;
        return MG_EBADINPUT;
    }
    *pfilter = parse.filter;
    return APR_SUCCESS;
}

/* --- matching --- */

static int is_letter(char c)
{
    return apr_isalnum(c) || (unsigned char)c >= 0x80;
}

/* What may stand in an address (RFC 5322 3.2.3, dots and '@' between). */
static int is_address_char(char c)
{
    return is_letter(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~.@", c));
}

/* The words of phrase one after the other, whole words, whatever stands
 * between them. One that has no words is nowhere. */
static int has_words(const char *value, const char *phrase)
{
    const char *start, *v, *w;

    for (; *phrase && !is_letter(*phrase); phrase++)
        ;
    if (!*phrase)
        return 0;
    for (start = value; *start; start++) {
        if (!is_letter(*start) || (start > value && is_letter(start[-1])))
            continue;
        for (v = start, w = phrase;;) {
            while (is_letter(*w) && apr_tolower(*w) == apr_tolower(*v)) {
                v++;
                w++;
            }
            if (is_letter(*w) || is_letter(*v))
                break;
            while (*w && !is_letter(*w))
                w++;
            if (!*w)
                return 1;
            while (*v && !is_letter(*v))
                v++;
        }
    }
    return 0;
}

/* The address stands somewhere in value, and nothing that would make it
 * another one beside it. */
static int has_address(const char *value, const char *address)
{
    apr_size_t len = strlen(address);
    const char *v;

    for (v = value; *v; v++)
        if ((v == value || !is_address_char(v[-1])) &&
            !strncasecmp(v, address, len) && !is_address_char(v[len]))
            return 1;
    return 0;
}

/* message-id is kept without < and >; who writes them means the same. */
static int is_message_id(const char *value, const char *word)
{
    apr_size_t len = strlen(word);

    if (len >= 2 && word[0] == '<' && word[len - 1] == '>')
        return strlen(value) == len - 2 && !strncmp(value, word + 1, len - 2);
    return !strcmp(value, word);
}

static int term_holds(enum match match, const char *value, const char *word)
{
    switch (match) {
    case EXACT:
        return !strcasecmp(value, word);
    case EXACT_CASE:
        return is_message_id(value, word);
    case ADDRESS:
        return strchr(word, '@') ? has_address(value, word)
                                 : has_words(value, word);
    case TEXT:
        return has_words(value, word);
    case NUMBER:
        break;
    }
    return 0;
}

typedef struct {
    const char *const *values;
    int n;
    apr_int64_t number;
} subject_t;

static int holds(const mg_event_filter_t *f, int at, const subject_t *s)
{
    const node_t *n = &f->nodes[at];
    int i;

    switch (n->op) {
    case NOT:
        return !holds(f, n->left, s);
    case AND:
        return holds(f, n->left, s) && holds(f, n->right, s);
    case OR:
        return holds(f, n->left, s) || holds(f, n->right, s);
    case TERM:
        break;
    }
    if (fields[f->field].match == NUMBER)
        return s->number >= n->low && s->number <= n->high;
    for (i = 0; i < s->n; i++)
        if (s->values[i] &&
            term_holds(fields[f->field].match, s->values[i], n->word))
            return 1;
    return 0;
}

int mg_event_filter_matches(const mg_event_filter_t *filter,
                            const char *const *values, int n)
{
    subject_t s = { .values = values, .n = n };

    return holds(filter, filter->root, &s);
}

int mg_event_filter_matches_number(const mg_event_filter_t *filter,
                                   apr_int64_t value)
{
    subject_t s = { .number = value };

    return holds(filter, filter->root, &s);
}

const char *mg_event_filter_word(const mg_event_filter_t *filter)
{
    const node_t *root = &filter->nodes[filter->root];

    return root->op == TERM ? root->word : NULL;
}
