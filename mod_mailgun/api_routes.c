/* api_routes.c - /routes: what happens to an account's incoming mail. */
#include "api.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_action.h"
#include "mg_address.h"
#include "mg_mime.h"
#include "mg_route.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define DESCRIPTION_MAX 4096
#define HEADER_MAX (256 * 1024)   /* of a message that is asked about */

static int not_found(api_t *q)
{
    return api_reply_message(q, HTTP_NOT_FOUND, "Route not found");
}

static json_t *texts_json(const apr_array_header_t *texts)
{
    json_t *list = json_array();
    int i;

    for (i = 0; i < texts->nelts; i++)
        json_array_append_new(list, json_string(APR_ARRAY_IDX(texts, i,
                                                              const char *)));
    return list;
}

static json_t *route_json(const mg_route_t *r, apr_pool_t *p)
{
    return json_pack("{s:s, s:I, s:s, s:s, s:o, s:s}", "id", r->public_id,
                     "priority", (json_int_t)r->priority, "description",
                     r->description, "expression", r->expression, "actions",
                     texts_json(r->actions), "created_at",
                     mg_time_gmt(r->created_at, p));
}

/* --- parameters --- */

/* All actions; none is NULL. */
static apr_array_header_t *actions_of(api_t *q)
{
    apr_array_header_t *list = apr_array_make(q->p, 4, sizeof(char *));
    const mg_form_field_t *f = NULL;

    while ((f = mg_form_find(q->form, "action", f)) != NULL)
        if (f->value && f->size)
            APR_ARRAY_PUSH(list, const char *) =
                mg_text_clean(f->value, (apr_size_t)f->size, q->p);
    return list->nelts ? list : NULL;
}

static int bad_priority(api_t *q)
{
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "'priority' parameter is not an integer");
}

static int read_priority(api_t *q, apr_int64_t *ppriority)
{
    const char *text = api_param(q, "priority");
    char *end;

    if (!text || !*text)
        return API_GO_ON;
    *ppriority = apr_strtoi64(text, &end, 10);
    if (*end || end == text || *ppriority > APR_INT32_MAX
        || *ppriority < APR_INT32_MIN)
        return bad_priority(q);
    return API_GO_ON;
}

/* What is given replaces what is there. */
static int read_route(api_t *q, mg_route_t *r)
{
    const char *description = api_param(q, "description");
    const char *expression = api_param(q, "expression"), *error;
    apr_array_header_t *actions = actions_of(q);

    if (read_priority(q, &r->priority))
        return API_REPLIED;
    if (description)
        r->description = description;
    if (expression && *expression)
        r->expression = expression;
    if (actions)
        r->actions = actions;
    if (!r->expression)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Parameter 'expression' is missing");
    if (!r->actions)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Parameter 'action' is missing");
    if (strlen(r->description) > DESCRIPTION_MAX)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'description' parameter is longer than %d",
                                 DESCRIPTION_MAX);
    if (mg_action_check_route(r->expression, r->actions, &error, q->p)
        != APR_SUCCESS)
        return api_reply_message(q, HTTP_BAD_REQUEST, "Invalid %s", error);
    return API_GO_ON;
}

/* --- reading --- */

int api_routes_list(api_t *q)
{
    apr_array_header_t *routes;
    apr_int64_t skip, limit, total;
    apr_status_t rv;
    json_t *items;
    int i;

    if (api_paging(q, &skip, &limit) || api_reader(q))
        return API_REPLIED;
    rv = mg_route_page(&routes, &total, q->db, q->account_id, skip, limit,
                       q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list routes");
    items = json_array();
    for (i = 0; i < routes->nelts; i++)
        json_array_append_new(items, route_json(APR_ARRAY_IDX(routes, i,
                                                              mg_route_t *),
                                                q->p));
    return api_reply_items(q, total, items);
}

static int find_route(api_t *q, mg_route_t **proute)
{
    apr_status_t rv;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_route_get(proute, q->db, q->account_id, q->args[0], q->p);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up a route");
    return API_GO_ON;
}

int api_routes_get(api_t *q)
{
    mg_route_t *route;

    if (find_route(q, &route))
        return API_REPLIED;
    return api_reply_json(q, HTTP_OK, json_pack("{s:o}", "route",
                                                route_json(route, q->p)));
}

/* --- changing --- */

typedef struct {
    api_t *q;
    mg_route_t *route;
} change_t;

static apr_status_t run_create(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;

    return mg_route_insert(db, change->route, ptemp);
}

static apr_status_t is_created(mg_db_t *db, void *baton)
{
    const change_t *change = baton;
    mg_route_t *there;

    return mg_route_get(&there, db, change->route->account_id,
                        change->route->public_id, change->q->p);
}

int api_routes_create(api_t *q)
{
    change_t change = { q, mg_route_make(q->account_id, q->p) };
    apr_status_t rv;

    change.route->description = "";
    if (read_route(q, change.route))
        return API_REPLIED;
    rv = api_unit(q, run_create, is_created, &change);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot add a route");
    mg_shared_bump(q->child->shared);
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:s, s:o}", "message",
                                    "Route has been created", "route",
                                    route_json(change.route, q->p)));
}

static apr_status_t run_update(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;

    return mg_route_update(db, change->route, ptemp);
}

int api_routes_update(api_t *q)
{
    change_t change = { q, NULL };
    apr_status_t rv;
    json_t *json;

    if (find_route(q, &change.route) || read_route(q, change.route))
        return API_REPLIED;
    rv = api_unit(q, run_update, NULL, &change);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot change a route");
    mg_shared_bump(q->child->shared);
    json = route_json(change.route, q->p);
    json_object_set_new(json, "message", json_string("Route has been updated"));
    return api_reply_json(q, HTTP_OK, json);
}

static apr_status_t run_delete(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;

    (void)ptemp;
    return mg_route_remove(db, change->route->account_id,
                           change->route->public_id);
}

static apr_status_t is_deleted(mg_db_t *db, void *baton)
{
    apr_status_t rv = is_created(db, baton);

    if (rv == APR_ENOENT)
        return APR_SUCCESS;
    return rv == APR_SUCCESS ? APR_ENOENT : rv;
}

int api_routes_delete(api_t *q)
{
    change_t change = { q, NULL };
    apr_status_t rv;

    if (find_route(q, &change.route))
        return API_REPLIED;
    rv = api_unit(q, run_delete, is_deleted, &change);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot delete a route");
    mg_shared_bump(q->child->shared);
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:s, s:s}", "message",
                                    "Route has been deleted", "id",
                                    change.route->public_id));
}

/* --- what would happen --- */

static json_t *verdict_json(const mg_rule_verdict_t *v, apr_pool_t *p)
{
    json_t *json = json_pack("{s:s, s:s, s:b, s:s, s:b}", "id", v->route_id,
                             "expression", v->expression, "matched",
                             v->matches, "decided-by", v->decided, "stop",
                             v->matches && v->stops);
    json_t *actions = json_array();
    int i;

    for (i = 0; v->actions && i < v->actions->nelts; i++)
        json_array_append_new(
            actions,
            json_string(mg_action_text(&APR_ARRAY_IDX(v->actions, i,
                                                      mg_action_t), p)));
    json_object_set_new(json, "actions", actions);
    return json;
}

/* The header of "message", a file or a field; none is fine. */
static int read_message(api_t *q, apr_array_header_t **pheaders)
{
    const mg_form_field_t *f = mg_form_find(q->form, "message", NULL);
    const char *bytes;
    apr_size_t len;
    char *crlf;

    *pheaders = NULL;
    if (!f || !f->size)
        return API_GO_ON;
    if (mg_form_bytes(&bytes, &len, f, q->p) != APR_SUCCESS)
        return api_reply_failed(q, APR_EGENERAL, "cannot read a spooled "
                                "field");
    crlf = mg_mime_crlf(bytes, len < HEADER_MAX ? len : HEADER_MAX, &len,
                        q->p);
    if (mg_mime_headers(pheaders, NULL, crlf, len, q->p) != APR_SUCCESS)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'message' parameter is not a message");
    return API_GO_ON;
}

static int verdicts_of(api_t *q, const char *recipient,
                       const apr_array_header_t *headers,
                       apr_array_header_t **pverdicts)
{
    const mg_ruleset_t *rules;
    mg_address_t *address;
    apr_status_t rv;

    if (!recipient || mg_address_parse(&address, recipient, q->p)
                          != APR_SUCCESS || !address->domain)
        return API_GO_ON;
    if (api_reader(q))
        return API_REPLIED;
    rv = mg_routing_rules(&rules, q->worker->routing, q->db, q->account_id);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read routes");
    *pverdicts = mg_ruleset_explain(rules, address->address, headers, q->p);
    return API_GO_ON;
}

int api_routes_test(api_t *q)
{
    apr_array_header_t *headers, *verdicts = NULL;
    json_t *items;
    int i;

    if (read_message(q, &headers)
        || verdicts_of(q, api_param(q, "recipient"), headers, &verdicts))
        return API_REPLIED;
    if (!verdicts)
        return api_reply_message(q, HTTP_BAD_REQUEST, "'recipient' parameter "
                                 "is not a valid address. please check "
                                 "documentation");
    items = json_array();
    for (i = 0; i < verdicts->nelts; i++)
        json_array_append_new(
            items, verdict_json(&APR_ARRAY_IDX(verdicts, i, mg_rule_verdict_t),
                                q->p));
    return api_reply_json(q, HTTP_OK, json_pack("{s:o}", "routes", items));
}

int api_routes_match(api_t *q)
{
    apr_array_header_t *verdicts = NULL;
    mg_route_t *route;
    apr_status_t rv;
    int i;

    if (verdicts_of(q, api_param(q, "address"), NULL, &verdicts))
        return API_REPLIED;
    if (!verdicts)
        return api_reply_message(q, HTTP_BAD_REQUEST, "'address' parameter is "
                                 "not a valid address. please check "
                                 "documentation");
    for (i = 0; i < verdicts->nelts; i++) {
        const mg_rule_verdict_t *v = &APR_ARRAY_IDX(verdicts, i,
                                                    mg_rule_verdict_t);

        if (!v->matches)
            continue;
        rv = mg_route_get(&route, q->db, q->account_id, v->route_id, q->p);
        if (rv == APR_SUCCESS)
            return api_reply_json(q, HTTP_OK,
                                  json_pack("{s:o}", "route",
                                            route_json(route, q->p)));
        if (rv != APR_ENOENT)
            return api_reply_failed(q, rv, "cannot look up a route");
    }
    return not_found(q);
}
