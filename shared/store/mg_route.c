/* mg_route.c - rows of routes; what they mean is in rules/. */
#include <string.h>
#include <apr_strings.h>

#include "mg_id.h"
#include "mg_json.h"
#include "mg_route.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

static const char *actions_to_json(const apr_array_header_t *actions,
                                   apr_pool_t *p)
{
    json_t *list = json_array();
    const char *action;
    int i;

    mg_json_bind(list, p);
    for (i = 0; i < actions->nelts; i++) {
        action = APR_ARRAY_IDX(actions, i, const char *);
        json_array_append_new(
            list, json_string(mg_text_clean(action, strlen(action), p)));
    }
    return mg_json_compact(list, p);
}

static apr_array_header_t *actions_from_json(const char *text, apr_pool_t *p)
{
    apr_array_header_t *actions = apr_array_make(p, 4, sizeof(char *));
    const char *error;
    json_t *list = mg_json_parse(text, strlen(text), &error, p);
    json_t *item;
    size_t i;

    if (list)
        json_array_foreach(list, i, item)
            if (json_is_string(item))
                APR_ARRAY_PUSH(actions, const char *) =
                    apr_pstrdup(p, json_string_value(item));
    return actions;
}

/* Who has routes compiled sees that they are others now. */
static apr_status_t touch_account(mg_db_t *db, apr_int64_t account_id)
{
    return mg_db_exec(db, NULL, "UPDATE account SET revision = revision + 1"
                      " WHERE id = $1", "i", account_id);
}

apr_status_t mg_route_add(mg_route_t **proute, mg_db_t *db,
                          apr_int64_t account_id, apr_int64_t priority,
                          const char *description, const char *expression,
                          const apr_array_header_t *actions, apr_pool_t *p)
{
    mg_route_t *r = apr_pcalloc(p, sizeof(*r));
    apr_status_t rv;
    int own;

    *proute = NULL;
    r->id = mg_id_next();
    r->account_id = account_id;
    r->public_id = mg_id_hex24(p);
    r->priority = priority;
    r->description = mg_text_clean(description, strlen(description), p);
    r->expression = mg_text_clean(expression, strlen(expression), p);
    r->actions = apr_array_copy(p, actions);
    r->created_at = mg_now();

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, NULL,
                    "INSERT INTO route (id, public_id, account_id, priority,"
                    " description, expression, actions, created_at)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                    "itiittti", r->id, r->public_id, account_id, priority,
                    r->description, r->expression,
                    actions_to_json(actions, p), (apr_int64_t)r->created_at);
    if (rv == APR_SUCCESS)
        rv = touch_account(db, account_id);
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *proute = r;
    return rv;
}

apr_status_t mg_route_list(apr_array_header_t **plist, mg_db_t *db,
                           apr_int64_t account_id, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    mg_route_t *r;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_route_t *));
    rv = mg_db_query(&stmt, db,
                     "SELECT id, public_id, priority, description, expression,"
                     " actions, created_at FROM route WHERE account_id = $1"
                     " ORDER BY priority, id DESC",
                     "i", account_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        r = apr_pcalloc(p, sizeof(*r));
        r->id = mg_stmt_int(stmt, 0);
        r->account_id = account_id;
        r->public_id = mg_stmt_text(stmt, 1, p);
        r->priority = mg_stmt_int(stmt, 2);
        r->description = mg_stmt_text(stmt, 3, p);
        r->expression = mg_stmt_text(stmt, 4, p);
        r->actions = actions_from_json(mg_stmt_text(stmt, 5, p), p);
        r->created_at = mg_stmt_int(stmt, 6);
        APR_ARRAY_PUSH(*plist, mg_route_t *) = r;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_route_remove(mg_db_t *db, apr_int64_t account_id,
                             const char *public_id)
{
    apr_int64_t gone = 0;
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, &gone, "DELETE FROM route WHERE public_id = $1"
                    " AND account_id = $2", "ti", public_id, account_id);
    if (rv == APR_SUCCESS && gone == 0)
        rv = APR_ENOENT;
    if (rv == APR_SUCCESS)
        rv = touch_account(db, account_id);
    return mg_tx_leave(db, own, rv);
}
