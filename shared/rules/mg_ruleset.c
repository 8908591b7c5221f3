/* mg_ruleset.c - all routes of an account, compiled; the priority waterfall.
 *
 * A stored route that does not compile (it was checked when it was made; a
 * later program may see it otherwise) is left out and said so in the log: it
 * must not stop the others.
 */
#include <apr_strings.h>

#include "mg_expression.h"
#include "mg_log.h"
#include "mg_route.h"
#include "mg_status.h"

typedef struct {
    mg_expression_t *expression;
    apr_array_header_t *actions; /* of mg_action_t, without stop */
    int stops;
} rule_t;

struct mg_ruleset_t {
    apr_array_header_t *rules;   /* of rule_t */
};

static apr_status_t rule_compile(rule_t *rule, const mg_route_t *route,
                                 const char **perror, apr_pool_t *p)
{
    apr_array_header_t *all = apr_array_make(p, 4, sizeof(mg_action_t));
    apr_status_t rv;
    int i;

    rule->stops = 0;
    rule->actions = apr_array_make(p, 4, sizeof(mg_action_t));
    rv = mg_expression_compile(&rule->expression, route->expression, perror,
                               p);
    for (i = 0; rv == APR_SUCCESS && i < route->actions->nelts; i++)
        rv = mg_action_parse(all, APR_ARRAY_IDX(route->actions, i,
                                                const char *), perror, p);
    for (i = 0; rv == APR_SUCCESS && i < all->nelts; i++) {
        mg_action_t *action = &APR_ARRAY_IDX(all, i, mg_action_t);

        if (action->kind == MG_ACTION_STOP) {
            rule->stops = 1;
            continue;
        }
        action->filter = apr_pstrdup(p, route->expression);
        APR_ARRAY_PUSH(rule->actions, mg_action_t) = *action;
    }
    return rv;
}

apr_status_t mg_ruleset_compile(mg_ruleset_t **pset,
                                const apr_array_header_t *routes,
                                apr_pool_t *p)
{
    mg_ruleset_t *set = apr_pcalloc(p, sizeof(*set));
    const mg_route_t *route;
    const char *error = NULL;
    rule_t rule;
    int i;

    set->rules = apr_array_make(p, routes->nelts, sizeof(rule_t));
    for (i = 0; i < routes->nelts; i++) {
        route = APR_ARRAY_IDX(routes, i, const mg_route_t *);
        if (rule_compile(&rule, route, &error, p) == APR_SUCCESS)
            APR_ARRAY_PUSH(set->rules, rule_t) = rule;
        else
            mg_log(MG_LOG_WARN, APR_SUCCESS, "route %s is left out: %s",
                   route->public_id, error);
    }
    *pset = set;
    return APR_SUCCESS;
}

apr_array_header_t *mg_ruleset_apply(const mg_ruleset_t *set,
                                     const char *recipient, apr_pool_t *p)
{
    apr_array_header_t *actions = apr_array_make(p, 4, sizeof(mg_action_t));
    int i, matched = 0;

    for (i = 0; i < set->rules->nelts; i++) {
        const rule_t *rule = &APR_ARRAY_IDX(set->rules, i, rule_t);

        if (!mg_expression_matches(rule->expression, recipient, matched, p))
            continue;
        matched = 1;
        apr_array_cat(actions, rule->actions);
        if (rule->stops)
            break;
    }
    return actions;
}
