/* mg_ruleset.h - all routes of an account, compiled; the priority waterfall.
 *
 * Routes are asked in their order. Each one that matches has its actions done,
 * until one says stop(). catch_all() is true where none before has matched.
 *
 * Patterns are compiled when they are needed first, so one thread at a time
 * uses a set.
 */
#ifndef MG_RULESET_H
#define MG_RULESET_H

#include "mg_action.h"

typedef struct mg_ruleset_t mg_ruleset_t;

/** routes: of mg_route_t *, in their order. A stored route that does not
 * compile is left out and said so in the log: it must not stop the others. */
apr_status_t mg_ruleset_compile(mg_ruleset_t **pset,
                                const apr_array_header_t *routes,
                                apr_pool_t *p);
/** Could a message for this recipient be wanted, whatever it says? */
mg_rules_t mg_ruleset_wants(const mg_ruleset_t *set, const char *recipient,
                            apr_pool_t *ptemp);
/**
 * What happens to a message for one recipient.
 *
 * @param headers  of mg_header_t, decoded; NULL: it has none
 * @return array of mg_action_t (without stop), captures filled in, all in p
 */
apr_array_header_t *mg_ruleset_apply(const mg_ruleset_t *set,
                                     const char *recipient,
                                     const apr_array_header_t *headers,
                                     apr_pool_t *p);

/** Why, for people: one per route that was asked, in order. */
typedef struct {
    const char *route_id, *expression;
    int matches, stops;
    const char *decided;              /* the term of the filter that did */
    apr_array_header_t *actions;      /* of mg_action_t; NULL: it does not
                                         match */
} mg_rule_verdict_t;
/** Array of mg_rule_verdict_t, those of behind a stop() are not in it. */
apr_array_header_t *mg_ruleset_explain(const mg_ruleset_t *set,
                                       const char *recipient,
                                       const apr_array_header_t *headers,
                                       apr_pool_t *p);
#endif
