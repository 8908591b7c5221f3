/* mg_expression.c - filters and actions of routes (manual, "Routes").
 *
 *     expression = name "(" [ string *( "," string ) ] ")"
 *     string     = [ "r" ] ( "'" *char "'" / DQUOTE *char DQUOTE )
 *
 * Strings are Python's: in a plain one \\, \' and \" lose their backslash and
 * every other stays (so that "\d" and "\." are what the pattern wants); in r''
 * all stay. Regular expressions run on PCRE2, anchored at the start only, as
 * Python's match() is; letter case does not count, as in addresses. Limits on
 * pattern, steps, depth and heap hold whatever a customer writes.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "mg_address.h"
#include "mg_expression.h"
#include "mg_log.h"
#include "mg_queue.h"
#include "mg_status.h"
#include "mg_text.h"

#define TEXT_MAX 4096
#define STRINGS_MAX 2
#define PATTERN_MAX 1024
#define STEPS_MAX 50000
#define DEPTH_MAX 1000
#define HEAP_MAX_KB 1024
#define RECIPIENT_MAX 1024
/* Compiling to machine code costs as much as some ten matches. */
#define JIT_AFTER 16

struct mg_expression_t {
    int is_catch_all;
    pcre2_code *code;
    int uses;             /* until it is worth the JIT compiler's time */
    int gave_up;          /* said so in the log once */
};

/* --- the text --- */

typedef struct {
    const char *name;
    const char *strings[STRINGS_MAX];
    int nstrings;
} call_t;

typedef struct {
    const char *text, *at;
    const char *error;
    apr_pool_t *p;
} parse_t;

static apr_status_t bad(parse_t *parse, const char *what)
{
    if (!*parse->at)
        parse->error = apr_psprintf(parse->p, "%s at the end of '%s'", what,
                                    parse->text);
    else
        parse->error = apr_psprintf(parse->p, "%s at '%s'", what, parse->at);
    return MG_EBADINPUT;
}

static void skip_space(parse_t *parse)
{
    while (*parse->at == ' ' || *parse->at == '\t')
        parse->at++;
}

static apr_status_t parse_string(parse_t *parse, const char **pstring)
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
        return bad(parse, "a quoted string is missing");
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
        return bad(parse, "a quote is not closed");
    }
    parse->at++;
    return APR_SUCCESS;
}

/* name("a", 'b'), spaces between, nothing behind */
static apr_status_t parse_call(call_t *call, parse_t *parse)
{
    const char *start;
    apr_status_t rv;

    if (strlen(parse->text) > TEXT_MAX) {
        parse->error = "it is too long";
        return MG_EBADINPUT;
    }
    skip_space(parse);
    start = parse->at;
    while (apr_isalnum(*parse->at) || *parse->at == '_')
        parse->at++;
    call->name = apr_pstrmemdup(parse->p, start,
                                (apr_size_t)(parse->at - start));
    if (!*call->name)
        return bad(parse, "a name is missing");
    skip_space(parse);
    if (*parse->at != '(')
        return bad(parse, "'(' is missing");
    parse->at++;
    skip_space(parse);
    while (*parse->at != ')') {
        if (call->nstrings == STRINGS_MAX)
            return bad(parse, "too many strings");
        rv = parse_string(parse, &call->strings[call->nstrings++]);
        if (rv != APR_SUCCESS)
            return rv;
        skip_space(parse);
        if (*parse->at == ',') {
            parse->at++;
            skip_space(parse);
        }
        else if (*parse->at != ')') {
            return bad(parse, "')' is missing");
        }
    }
    parse->at++;
    while (apr_isspace(*parse->at))
        parse->at++;
    return *parse->at ? bad(parse, "there is more than one call")
                      : APR_SUCCESS;
}

static apr_status_t parse_text(call_t *call, const char *text,
                               const char **perror, apr_pool_t *p)
{
    parse_t parse = { text, text, NULL, p };
    apr_status_t rv;

    memset(call, 0, sizeof(*call));
    rv = parse_call(call, &parse);
    *perror = parse.error;
    return rv;
}

/* --- filters --- */

static apr_status_t free_code(void *code)
{
    pcre2_code_free(code);
    return APR_SUCCESS;
}

static apr_status_t compile_pattern(mg_expression_t *expr, const char *pattern,
                                    const char **perror, apr_pool_t *p)
{
    PCRE2_UCHAR words[256];
    PCRE2_SIZE offset;
    int code;

    if (strlen(pattern) > PATTERN_MAX) {
        *perror = "the pattern is too long";
        return MG_EBADINPUT;
    }
    expr->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                               PCRE2_ANCHORED | PCRE2_CASELESS |
                                   PCRE2_MATCH_INVALID_UTF |
                                   PCRE2_NEVER_BACKSLASH_C,
                               &code, &offset, NULL);
    if (!expr->code) {
        pcre2_get_error_message(code, words, sizeof(words));
        *perror = apr_psprintf(p, "pattern '%s': %s at character %d", pattern,
                               (const char *)words, (int)offset);
        return MG_EBADINPUT;
    }
    apr_pool_cleanup_register(p, expr->code, free_code,
                              apr_pool_cleanup_null);
    return APR_SUCCESS;
}

apr_status_t mg_expression_compile(mg_expression_t **pexpr, const char *text,
                                   const char **perror, apr_pool_t *p)
{
    mg_expression_t *expr = apr_pcalloc(p, sizeof(*expr));
    call_t call;
    apr_status_t rv;

    *pexpr = NULL;
    rv = parse_text(&call, text, perror, p);
    if (rv != APR_SUCCESS)
        return rv;
    if (!strcmp(call.name, "catch_all") || !strcmp(call.name, "catchall")) {
        if (call.nstrings != 0) {
            *perror = apr_psprintf(p, "%s() takes no string", call.name);
            return MG_EBADINPUT;
        }
        expr->is_catch_all = 1;
    }
    else if (!strcmp(call.name, "match_recipient")) {
        if (call.nstrings != 1) {
            *perror = "match_recipient() takes one string";
            return MG_EBADINPUT;
        }
        rv = compile_pattern(expr, call.strings[0], perror, p);
    }
    else {
        *perror = apr_psprintf(p, "'%s' is no filter; there are"
                               " match_recipient(), catch_all()", call.name);
        return MG_EBADINPUT;
    }
    if (rv == APR_SUCCESS)
        *pexpr = expr;
    return rv;
}

/* One per thread: PCRE2's contexts may not be shared. Freed with the thread's
 * process; a few hundred bytes. */
static pcre2_match_context *match_limits(void)
{
    static __thread pcre2_match_context *context;

    if (!context && (context = pcre2_match_context_create(NULL)) != NULL) {
        pcre2_set_match_limit(context, STEPS_MAX);
        pcre2_set_depth_limit(context, DEPTH_MAX);
        pcre2_set_heap_limit(context, HEAP_MAX_KB);
    }
    return context;
}

static int pattern_matches(mg_expression_t *expr, const char *recipient)
{
    static __thread pcre2_match_data *data;
    apr_size_t len = strlen(recipient);
    int n;

    if (!data)
        data = pcre2_match_data_create(1, NULL);
    if (!data || len > RECIPIENT_MAX)
        return 0;
    if (++expr->uses == JIT_AFTER)
        pcre2_jit_compile(expr->code, PCRE2_JIT_COMPLETE); /* or without */
    n = pcre2_match(expr->code, (PCRE2_SPTR)recipient, len, 0, 0, data,
                    match_limits());
    if (n < 0 && n != PCRE2_ERROR_NOMATCH && !expr->gave_up++)
        mg_log(MG_LOG_WARN, APR_SUCCESS,
               "route: a pattern gave up on '%s' (PCRE2 error %d): no match",
               recipient, n);
    return n >= 0;
}

int mg_expression_matches(const mg_expression_t *expr, const char *recipient,
                          int matched_before, apr_pool_t *ptemp)
{
    (void)ptemp;
    if (expr->is_catch_all)
        return !matched_before;
    /* const to callers: only the count of its uses changes */
    return pattern_matches((mg_expression_t *)expr, recipient);
}

/* --- actions --- */

static int is_url(const char *s)
{
    return !strncasecmp(s, "http://", 7) || !strncasecmp(s, "https://", 8);
}

static apr_status_t add_target(apr_array_header_t *actions, char *target,
                               const char **perror, apr_pool_t *p)
{
    mg_address_t *address;
    mg_action_t *action;
    const char *c;

    for (c = target; (unsigned char)*c > 0x20 && *c != 0x7F; c++)
        ;
    if (is_url(target)) {
        if (*c || !mg_queue_url_dest(target, p)) {
            *perror = apr_psprintf(p, "'%s' is no URL", target);
            return MG_EBADINPUT;
        }
        action = apr_array_push(actions);
        action->kind = MG_ACTION_FORWARD_URL;
        action->target = target;
        return APR_SUCCESS;
    }
    if (*c || !strchr(target, '@') ||
        mg_address_parse(&address, target, p) != APR_SUCCESS) {
        *perror = apr_psprintf(p, "'%s' is neither a URL nor an address",
                               target);
        return MG_EBADINPUT;
    }
    action = apr_array_push(actions);
    action->kind = MG_ACTION_FORWARD_ADDRESS;
    action->target = address->address;
    return APR_SUCCESS;
}

/* Where the next target begins: a comma may be part of a URL, so it divides
 * only where a URL or an address follows. */
static char *next_target(char *s)
{
    char *comma, *next, *end;

    for (comma = strchr(s, ','); comma; comma = strchr(comma + 1, ',')) {
        for (next = comma + 1; *next == ' ' || *next == '\t'; next++)
            ;
        end = next + strcspn(next, ",/?&=");
        if (!is_url(s) || is_url(next) ||
            ((*end == '\0' || *end == ',') &&
             memchr(next, '@', (apr_size_t)(end - next))))
            break;
    }
    if (!comma)
        return NULL;
    *comma = '\0';
    return next;
}

static apr_status_t parse_forward(apr_array_header_t *actions,
                                  const char *list, const char **perror,
                                  apr_pool_t *p)
{
    char *at = apr_pstrdup(p, list), *next, *end;
    apr_status_t rv = APR_SUCCESS;

    for (; at && rv == APR_SUCCESS; at = next) {
        while (*at == ' ' || *at == '\t')
            at++;
        next = next_target(at);
        for (end = at + strlen(at);
             end > at && (end[-1] == ' ' || end[-1] == '\t');)
            *--end = '\0';
        rv = add_target(actions, at, perror, p);
    }
    return rv;
}

apr_status_t mg_action_parse(apr_array_header_t *actions, const char *text,
                             const char **perror, apr_pool_t *p)
{
    mg_action_t *action;
    call_t call;
    apr_status_t rv;

    rv = parse_text(&call, text, perror, p);
    if (rv != APR_SUCCESS)
        return rv;
    if (!strcmp(call.name, "stop")) {
        if (call.nstrings != 0) {
            *perror = "stop() takes no string";
            return MG_EBADINPUT;
        }
        action = apr_array_push(actions);
        action->kind = MG_ACTION_STOP;
        action->target = NULL;
        return APR_SUCCESS;
    }
    if (strcmp(call.name, "forward")) {
        *perror = apr_psprintf(p, "'%s' is no action; there are forward(),"
                               " stop()", call.name);
        return MG_EBADINPUT;
    }
    if (call.nstrings != 1) {
        *perror = "forward() takes one string";
        return MG_EBADINPUT;
    }
    return parse_forward(actions, call.strings[0], perror, p);
}
