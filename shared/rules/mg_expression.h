/* mg_expression.h - filters and actions of routes (manual, "Routes").
 *
 * So far: match_recipient("re"), catch_all() / catchall(); forward("URL"),
 * stop(). Single or double quotes, r'' too. Regular expressions are Python's,
 * on PCRE2 with match limits, anchored at the start as Python's match() is;
 * letter case does not count.
 */
#ifndef MG_EXPRESSION_H
#define MG_EXPRESSION_H

#include <apr_pools.h>
#include <apr_tables.h>

typedef struct mg_expression_t mg_expression_t;
typedef struct {
    enum { MG_ACTION_FORWARD_URL, MG_ACTION_FORWARD_ADDRESS,
           MG_ACTION_STOP } kind;
    const char *target;
    const char *filter;          /* of its route; mg_ruleset_apply() */
} mg_action_t;

/** @param perror  what is wrong and where @return MG_EBADINPUT */
apr_status_t mg_expression_compile(mg_expression_t **pexpr, const char *text,
                                   const char **perror, apr_pool_t *p);
/** catch_all() is true only if nothing matched before. */
int mg_expression_matches(const mg_expression_t *expr, const char *recipient,
                          int matched_before, apr_pool_t *ptemp);
/** Array of mg_action_t: forward("a, b") gives two. */
apr_status_t mg_action_parse(apr_array_header_t *actions, const char *text,
                             const char **perror, apr_pool_t *p);

/** All routes of an account, compiled; what happens to one recipient: array
 * of mg_action_t (without stop). routes: of mg_route_t *, in order. */
typedef struct mg_ruleset_t mg_ruleset_t;
apr_status_t mg_ruleset_compile(mg_ruleset_t **pset,
                                const apr_array_header_t *routes,
                                apr_pool_t *p);
apr_array_header_t *mg_ruleset_apply(const mg_ruleset_t *set,
                                     const char *recipient, apr_pool_t *p);
#endif
