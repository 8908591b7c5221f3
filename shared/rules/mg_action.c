/* mg_action.c - actions of routes (mg_action.h). */
#include <string.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "mg_action.h"
#include "mg_address.h"
#include "mg_log.h"
#include "mg_queue.h"
#include "mg_status.h"

#define ACTIONS_MAX 50       /* of a route, each forward by comma counted */
#define CAPTURED_MAX 8192    /* octets of a target with captures filled in */

/* --- references: \1, \12, \g<1>, \g<name> --- */

typedef struct {
    int number;              /* -1: it has a name */
    const char *name;
} reference_t;

/* The reference at a backslash. @return its length; 0: it is none */
static apr_size_t read_reference(reference_t *ref, const char *at,
                                 apr_pool_t *p)
{
    const char *end;

    ref->name = NULL;
    if (apr_isdigit(at[1])) {
        ref->number = at[1] - '0';
        if (!apr_isdigit(at[2]) || !ref->number)
            return 2;
        ref->number = ref->number * 10 + at[2] - '0';
        return 3;
    }
    if (at[1] != 'g' || at[2] != '<' || !(end = strchr(at, '>'))
        || end == at + 3)
        return 0;
    ref->name = apr_pstrmemdup(p, at + 3, (apr_size_t)(end - at - 3));
    ref->number = -1;
    if (apr_isdigit(*ref->name)) {
        ref->number = (int)(apr_atoi64(ref->name) & 0xffff);
        ref->name = NULL;
    }
    return (apr_size_t)(end + 1 - at);
}

static const char *captured(const mg_captures_t *captures,
                            const reference_t *ref)
{
    const char *value = NULL;

    if (!captures->groups)
        return "";
    if (ref->name)
        value = apr_table_get(captures->names, ref->name);
    else if (ref->number < captures->groups->nelts)
        value = APR_ARRAY_IDX(captures->groups, ref->number, const char *);
    return value ? value : "";
}

static const char *percent_encode(const char *s, apr_pool_t *p)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = apr_palloc(p, strlen(s) * 3 + 1), *to = out;

    for (; *s; s++) {
        if (apr_isalnum(*s) || strchr("-._~", *s)) {
            *to++ = *s;
            continue;
        }
        *to++ = '%';
        *to++ = hex[(unsigned char)*s >> 4];
        *to++ = hex[(unsigned char)*s & 15];
    }
    *to = '\0';
    return out;
}

static const char *fill_in(const mg_action_t *action,
                           const mg_captures_t *captures, apr_pool_t *p)
{
    const char *at = action->target, *next;
    const char *out = "";

    for (;; at = next) {
        apr_size_t n = strcspn(at, "\\");
        reference_t ref;

        out = apr_pstrcat(p, out, apr_pstrmemdup(p, at, n), NULL);
        at += n;
        if (!*at)
            return out;
        n = read_reference(&ref, at, p);
        next = at + (n ? n : 1);
        if (!n) {
            out = apr_pstrcat(p, out, "\\", NULL);
            continue;
        }
        at = captured(captures, &ref);
        if (action->kind != MG_ACTION_FORWARD_ADDRESS)
            at = percent_encode(at, p);
        out = apr_pstrcat(p, out, at, NULL);
        if (strlen(out) > CAPTURED_MAX)
            return NULL;
    }
}

/* A single word with an @. */
static const char *address_of(const char *text, apr_pool_t *p)
{
    mg_address_t *address;
    const char *c;

    for (c = text; (unsigned char)*c > 0x20 && !strchr("\x7f,;<>\"\\()", *c);
         c++)
        ;
    if (*c || !strchr(text, '@')
        || mg_address_parse(&address, text, p) != APR_SUCCESS)
        return NULL;
    return address->address;
}

const char *mg_action_target(const mg_action_t *action,
                             const mg_captures_t *captures, apr_pool_t *p)
{
    const char *target;

    if (!action->target)
        return NULL;
    if (!strchr(action->target, '\\'))
        return apr_pstrdup(p, action->target);
    target = fill_in(action, captures, p);
    if (target && action->kind == MG_ACTION_FORWARD_ADDRESS)
        target = address_of(target, p);
    if (!target)
        mg_log(MG_LOG_INFO, APR_SUCCESS, "route %s: '%s' is left out: with what"
               " was captured it leads nowhere",
               action->route_id ? action->route_id : "", action->target);
    return target;
}

const char *mg_action_text(const mg_action_t *action, apr_pool_t *p)
{
    if (action->kind == MG_ACTION_STOP)
        return "stop()";
    if (action->kind != MG_ACTION_STORE)
        return apr_psprintf(p, "forward(\"%s\")", action->target);
    return action->target ? apr_psprintf(p, "store(notify=\"%s\")",
                                         action->target) : "store()";
}

/* --- reading --- */

static int is_url(const char *s)
{
    return !strncasecmp(s, "http://", 7) || !strncasecmp(s, "https://", 8);
}

/* Who sends mail must not choose where it is posted. */
static int has_fixed_host(const char *url)
{
    const char *host = strstr(url, "://") + 3;

    return !memchr(host, '\\', strcspn(host, "/?#"));
}

static apr_status_t check_url(const char *url, const char **perror,
                              apr_pool_t *p)
{
    const char *c;

    for (c = url; (unsigned char)*c > 0x20 && *c != 0x7F; c++)
        ;
    if (!is_url(url) || *c || !mg_queue_url_dest(url, p)) {
        *perror = apr_psprintf(p, "'%s' is no URL", url);
        return MG_EBADINPUT;
    }
    if (!has_fixed_host(url)) {
        *perror = apr_psprintf(p, "'%s': a host cannot be captured", url);
        return MG_EBADINPUT;
    }
    return APR_SUCCESS;
}

static apr_status_t add_target(apr_array_header_t *actions, const char *target,
                               const char **perror, apr_pool_t *p)
{
    mg_action_t action = { MG_ACTION_FORWARD_ADDRESS, target, NULL, NULL };

    if (is_url(target)) {
        action.kind = MG_ACTION_FORWARD_URL;
        if (check_url(target, perror, p) != APR_SUCCESS)
            return MG_EBADINPUT;
    }
    else if (!strchr(target, '\\')) {
        action.target = address_of(target, p);
    }
    else if (strpbrk(target, " \t\",;()")) {
        action.target = NULL;
    }
    if (!action.target) {
        *perror = apr_psprintf(p, "'%s' is neither a URL nor an address",
                               target);
        return MG_EBADINPUT;
    }
    APR_ARRAY_PUSH(actions, mg_action_t) = action;
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

/* store() and store(notify="URL"); the key may be missing. */
static apr_status_t parse_store(apr_array_header_t *actions,
                                const mg_call_t *call, const char **perror,
                                apr_pool_t *p)
{
    mg_action_t action = { MG_ACTION_STORE, NULL, NULL, NULL };

    if (call->nstrings > 1
        || (call->keys[0] && strcmp(call->keys[0], "notify") != 0)) {
        *perror = "store() takes nothing, or notify=\"URL\"";
        return MG_EBADINPUT;
    }
    if (call->nstrings == 1) {
        action.target = call->strings[0];
        if (check_url(action.target, perror, p) != APR_SUCCESS)
            return MG_EBADINPUT;
    }
    APR_ARRAY_PUSH(actions, mg_action_t) = action;
    return APR_SUCCESS;
}

static apr_status_t read_call(mg_call_t *call, const char *text,
                              const char **perror, apr_pool_t *p)
{
    mg_parse_t parse = { text, text, NULL, p };
    apr_status_t rv;

    if (strlen(text) > MG_EXPRESSION_MAX) {
        *perror = "it is too long";
        return MG_EBADINPUT;
    }
    mg_parse_space(&parse);
    rv = mg_parse_call(call, &parse);
    mg_parse_space(&parse);
    if (rv == APR_SUCCESS && *parse.at)
        rv = mg_parse_bad(&parse, "there is more than one call");
    *perror = parse.error;
    return rv;
}

apr_status_t mg_action_parse(apr_array_header_t *actions, const char *text,
                             const char **perror, apr_pool_t *p)
{
    mg_call_t call;
    apr_status_t rv;

    rv = read_call(&call, text, perror, p);
    if (rv != APR_SUCCESS)
        return rv;
    if (!strcmp(call.name, "store"))
        return parse_store(actions, &call, perror, p);
    if (!strcmp(call.name, "stop")) {
        if (call.nstrings != 0) {
            *perror = "stop() takes no string";
            return MG_EBADINPUT;
        }
        APR_ARRAY_PUSH(actions, mg_action_t) =
            (mg_action_t){ MG_ACTION_STOP, NULL, NULL, NULL };
        return APR_SUCCESS;
    }
    if (strcmp(call.name, "forward") != 0) {
        *perror = apr_psprintf(p, "'%s' is no action; there are forward(),"
                               " store(), stop()", call.name);
        return MG_EBADINPUT;
    }
    if (call.nstrings != 1 || call.keys[0]) {
        *perror = "forward() takes one string";
        return MG_EBADINPUT;
    }
    return parse_forward(actions, call.strings[0], perror, p);
}

/* --- checking --- */

apr_status_t mg_action_check(const mg_action_t *action,
                             const mg_expression_t *expr, const char **perror,
                             apr_pool_t *p)
{
    const char *at = action->target;

    for (; at && (at = strchr(at, '\\')); at++) {
        reference_t ref;
        apr_size_t n = read_reference(&ref, at, p);

        if (n && !mg_expression_has_group(expr, ref.number, ref.name)) {
            *perror = apr_psprintf(p, "'%.*s' in '%s': the filter has no such"
                                   " group", (int)n, at, action->target);
            return MG_EBADINPUT;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t say_which(const char **perror, const char *what,
                              apr_pool_t *p)
{
    *perror = apr_pstrcat(p, what, ": ", *perror, NULL);
    return MG_EBADINPUT;
}

apr_status_t mg_action_check_route(const char *expression,
                                   const apr_array_header_t *actions,
                                   const char **perror, apr_pool_t *p)
{
    apr_array_header_t *parsed = apr_array_make(p, 4, sizeof(mg_action_t));
    mg_expression_t *expr;
    int i;

    if (mg_expression_compile(&expr, expression, NULL, perror, p) != APR_SUCCESS)
        return say_which(perror, "expression", p);
    for (i = 0; i < actions->nelts; i++)
        if (mg_action_parse(parsed, APR_ARRAY_IDX(actions, i, const char *),
                            perror, p) != APR_SUCCESS)
            return say_which(perror, "action", p);
    for (i = 0; i < parsed->nelts; i++)
        if (mg_action_check(&APR_ARRAY_IDX(parsed, i, mg_action_t), expr,
                            perror, p) != APR_SUCCESS)
            return say_which(perror, "action", p);
    if (parsed->nelts > ACTIONS_MAX) {
        *perror = apr_psprintf(p, "%d actions at most", ACTIONS_MAX);
        return say_which(perror, "action", p);
    }
    return APR_SUCCESS;
}
