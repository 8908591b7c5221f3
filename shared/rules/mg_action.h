/* mg_action.h - actions of routes (manual, "Routes").
 *
 *     forward("http://host/path?x=\1")      forward("anna@b.test")
 *     forward("http://host/, anna@b.test")  several, by comma
 *     store()   store(notify="http://host/path")
 *     stop()
 *
 * \1 ... \99 and \g<1>, \g<name> are what the filter's groups matched, "" where
 * a group took no part. In a URL they are percent-encoded, all but RFC 3986's
 * unreserved characters, and may stand in path, query and fragment only: a
 * sender must not choose the host. An address must be one with its captures
 * filled in; if it is none, that forward is left out and the log says so.
 */
#ifndef MG_ACTION_H
#define MG_ACTION_H

#include "mg_expression.h"

typedef struct {
    enum { MG_ACTION_FORWARD_URL, MG_ACTION_FORWARD_ADDRESS,
           MG_ACTION_STORE, MG_ACTION_STOP } kind;
    const char *target;       /* URL, address; store: the URL that is notified,
                                 or NULL */
    const char *filter;       /* of its route; mg_ruleset_apply() */
    const char *route_id;     /* its public id; the same */
} mg_action_t;

/** Append what a text means (of mg_action_t): forward("a, b") gives two.
 * @param perror  what is wrong and where @return MG_EBADINPUT */
apr_status_t mg_action_parse(apr_array_header_t *actions, const char *text,
                             const char **perror, apr_pool_t *p);
/** Are there groups in the expression for what the action refers to? Of one
 * that was compiled at once. @return MG_EBADINPUT */
apr_status_t mg_action_check(const mg_action_t *action,
                             const mg_expression_t *expr, const char **perror,
                             apr_pool_t *p);
/** The target with captures filled in. NULL: it is no address then. */
const char *mg_action_target(const mg_action_t *action,
                             const mg_captures_t *captures, apr_pool_t *p);
/** As it could be written, for people. */
const char *mg_action_text(const mg_action_t *action, apr_pool_t *p);
/** A route as a customer gives it: filter and actions (const char *).
 * @return MG_EBADINPUT with *perror, "expression: ..." or "action: ..." */
apr_status_t mg_action_check_route(const char *expression,
                                   const apr_array_header_t *actions,
                                   const char **perror, apr_pool_t *p);
#endif
