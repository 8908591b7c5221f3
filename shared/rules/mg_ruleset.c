/* mg_ruleset.c - all routes of an account, compiled (mg_ruleset.h). */
#include <string.h>
#include <apr_strings.h>

#include "mg_log.h"
#include "mg_route.h"
#include "mg_ruleset.h"
#include "mg_status.h"
#include "mg_text.h"

typedef struct {
    const char *route_id, *text;
    mg_expression_t *expression;
    apr_array_header_t *actions; /* of mg_action_t, without stop */
    int stops;
} rule_t;

struct mg_ruleset_t {
    apr_array_header_t *rules;   /* of rule_t */
    apr_uint32_t number;         /* of the last recipient that was asked for */
};

static apr_status_t rule_compile(rule_t *rule, const mg_route_t *route,
                                 apr_hash_t *patterns, const char **perror,
                                 apr_pool_t *p)
{
    apr_array_header_t *all = apr_array_make(p, 2, sizeof(mg_action_t));
    apr_status_t rv;
    int i;

    rule->stops = 0;
    rule->route_id = apr_pstrdup(p, route->public_id);
    rule->text = apr_pstrdup(p, route->expression);
    rule->actions = apr_array_make(p, 2, sizeof(mg_action_t));
    rv = mg_expression_compile(&rule->expression, rule->text, patterns,
                               perror, p);
    for (i = 0; rv == APR_SUCCESS && i < route->actions->nelts; i++)
        rv = mg_action_parse(all, APR_ARRAY_IDX(route->actions, i,
                                                const char *), perror, p);
    for (i = 0; rv == APR_SUCCESS && i < all->nelts; i++) {
        mg_action_t *action = &APR_ARRAY_IDX(all, i, mg_action_t);

        if (action->kind == MG_ACTION_STOP) {
            rule->stops = 1;
            continue;
        }
        action->filter = rule->text;
        action->route_id = rule->route_id;
        APR_ARRAY_PUSH(rule->actions, mg_action_t) = *action;
    }
    return rv;
}

apr_status_t mg_ruleset_compile(mg_ruleset_t **pset,
                                const apr_array_header_t *routes,
                                apr_pool_t *p)
{
    mg_ruleset_t *set = apr_pcalloc(p, sizeof(*set));
    apr_hash_t *patterns = apr_hash_make(p);
    const mg_route_t *route;
    const char *error = NULL;
    rule_t rule;
    int i;

    set->rules = apr_array_make(p, routes->nelts, sizeof(rule_t));
    for (i = 0; i < routes->nelts; i++) {
        route = APR_ARRAY_IDX(routes, i, const mg_route_t *);
        if (rule_compile(&rule, route, patterns, &error, p) == APR_SUCCESS)
            APR_ARRAY_PUSH(set->rules, rule_t) = rule;
        else
            mg_log(MG_LOG_WARN, APR_SUCCESS, "route %s is left out: %s",
                   route->public_id, error);
    }
    *pset = set;
    return APR_SUCCESS;
}

static mg_rule_subject_t subject_of(const mg_ruleset_t *set,
                                    const char *recipient,
                                    const apr_array_header_t *headers,
                                    apr_pool_t *p)
{
    mg_rule_subject_t subject = { .recipient = recipient, .headers = headers };
    /* const to callers: only what was asked last changes */
    apr_uint32_t *number = (apr_uint32_t *)&set->number;

    if (++*number == 0)
        ++*number;
    subject.number = *number;

    if (!mg_text_has_eight_bit(recipient, strlen(recipient)))
        subject.lower = mg_text_lower(recipient, p);
    if (headers)
        subject.lower_headers = apr_pcalloc(
            p, sizeof(char *) * ((apr_size_t)headers->nelts + 1));
    return subject;
}

mg_rules_t mg_ruleset_wants(const mg_ruleset_t *set, const char *recipient,
                            apr_pool_t *ptemp)
{
    mg_rule_subject_t subject = subject_of(set, recipient, NULL, ptemp);
    mg_rules_t most = MG_RULES_NO;
    int i;

    for (i = 0; i < set->rules->nelts && most != MG_RULES_YES; i++) {
        const rule_t *rule = &APR_ARRAY_IDX(set->rules, i, rule_t);
        mg_rules_t matches;

        subject.whose = rule->route_id;
        matches = mg_expression_match(rule->expression, &subject, NULL, NULL,
                                      ptemp);
        if (matches > subject.matched_before)
            subject.matched_before = matches;
        /* a route may match for its stop() alone */
        if (rule->actions->nelts > 0 && matches > most)
            most = matches;
        if (rule->stops && matches == MG_RULES_YES)
            break;
    }
    return most;
}

static apr_array_header_t *fill_in(const rule_t *rule,
                                   const mg_captures_t *captures,
                                   apr_pool_t *p)
{
    apr_array_header_t *actions = apr_array_make(p, rule->actions->nelts,
                                                 sizeof(mg_action_t));
    int i;

    for (i = 0; i < rule->actions->nelts; i++) {
        mg_action_t action = APR_ARRAY_IDX(rule->actions, i, mg_action_t);
        const char *wanted = action.target;

        action.target = mg_action_target(&action, captures, p);
        if (wanted && !action.target)
            continue;
        action.filter = apr_pstrdup(p, action.filter);
        action.route_id = apr_pstrdup(p, action.route_id);
        APR_ARRAY_PUSH(actions, mg_action_t) = action;
    }
    return actions;
}

/* @param verdicts  of mg_rule_verdict_t, or NULL
 * @param actions   of mg_action_t, or NULL */
static void walk(const mg_ruleset_t *set, const char *recipient,
                 const apr_array_header_t *headers,
                 apr_array_header_t *verdicts, apr_array_header_t *actions,
                 apr_pool_t *p)
{
    mg_rule_subject_t subject;
    mg_captures_t captures;
    int i;

    if (!headers)
        headers = apr_array_make(p, 1, sizeof(char *)); /* none */
    subject = subject_of(set, recipient, headers, p);
    for (i = 0; i < set->rules->nelts; i++) {
        const rule_t *rule = &APR_ARRAY_IDX(set->rules, i, rule_t);
        mg_rule_verdict_t v = { rule->route_id, rule->text, 0, rule->stops,
                                NULL, NULL };

        subject.whose = rule->route_id;
        v.matches = mg_expression_match(rule->expression, &subject, NULL,
                                        &v.decided, p) == MG_RULES_YES;
        if (v.matches) { /* few do: what was captured is asked for again */
            mg_expression_match(rule->expression, &subject, &captures, NULL,
                                p);
            v.actions = fill_in(rule, &captures, p);
        }
        if (verdicts)
            APR_ARRAY_PUSH(verdicts, mg_rule_verdict_t) = v;
        if (!v.matches)
            continue;
        subject.matched_before = MG_RULES_YES;
        if (actions)
            apr_array_cat(actions, v.actions);
        if (rule->stops)
            return;
    }
}

apr_array_header_t *mg_ruleset_apply(const mg_ruleset_t *set,
                                     const char *recipient,
                                     const apr_array_header_t *headers,
                                     apr_pool_t *p)
{
    apr_array_header_t *actions = apr_array_make(p, 4, sizeof(mg_action_t));

    walk(set, recipient, headers, NULL, actions, p);
    return actions;
}

apr_array_header_t *mg_ruleset_explain(const mg_ruleset_t *set,
                                       const char *recipient,
                                       const apr_array_header_t *headers,
                                       apr_pool_t *p)
{
    apr_array_header_t *verdicts = apr_array_make(p, 16,
                                                  sizeof(mg_rule_verdict_t));

    walk(set, recipient, headers, verdicts, NULL, p);
    return verdicts;
}
