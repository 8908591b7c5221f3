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

static const char *clean(const char *s, apr_pool_t *p)
{
    return s ? mg_text_clean(s, strlen(s), p) : "";
}

mg_route_t *mg_route_make(apr_int64_t account_id, apr_pool_t *p)
{
    mg_route_t *r = apr_pcalloc(p, sizeof(*r));

    r->id = mg_id_next();
    r->account_id = account_id;
    r->public_id = mg_id_hex24(p);
    r->created_at = mg_now();
    return r;
}

apr_status_t mg_route_insert(mg_db_t *db, const mg_route_t *r,
                             apr_pool_t *ptemp)
{
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, NULL,
                    "INSERT INTO route (id, public_id, account_id, priority,"
                    " description, expression, actions, created_at)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                    "itiittti", r->id, r->public_id, r->account_id,
                    r->priority, clean(r->description, ptemp),
                    clean(r->expression, ptemp),
                    actions_to_json(r->actions, ptemp),
                    (apr_int64_t)r->created_at);
    if (rv == APR_SUCCESS)
        rv = touch_account(db, r->account_id);
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_route_add(mg_route_t **proute, mg_db_t *db,
                          apr_int64_t account_id, apr_int64_t priority,
                          const char *description, const char *expression,
                          const apr_array_header_t *actions, apr_pool_t *p)
{
    mg_route_t *r = mg_route_make(account_id, p);
    apr_status_t rv;

    *proute = NULL;
    r->priority = priority;
    r->description = clean(description, p);
    r->expression = clean(expression, p);
    r->actions = apr_array_copy(p, actions);
    rv = mg_route_insert(db, r, p);
    if (rv == APR_SUCCESS)
        *proute = r;
    return rv;
}

apr_status_t mg_route_update(mg_db_t *db, const mg_route_t *r,
                             apr_pool_t *ptemp)
{
    apr_int64_t n = 0;
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, &n, "UPDATE route SET priority = $1, description = $2,"
                    " expression = $3, actions = $4 WHERE public_id = $5"
                    " AND account_id = $6", "itttti", r->priority,
                    clean(r->description, ptemp), clean(r->expression, ptemp),
                    actions_to_json(r->actions, ptemp), r->public_id,
                    r->account_id);
    if (rv == APR_SUCCESS && n == 0)
        rv = APR_ENOENT;
    if (rv == APR_SUCCESS)
        rv = touch_account(db, r->account_id);
    return mg_tx_leave(db, own, rv);
}

/* --- reading --- */

#define COLUMNS "id, public_id, priority, description, expression, actions," \
                " created_at"

static mg_route_t *read_row(mg_stmt_t *stmt, apr_int64_t account_id,
                            apr_pool_t *p)
{
    mg_route_t *r = apr_pcalloc(p, sizeof(*r));

    r->id = mg_stmt_int(stmt, 0);
    r->account_id = account_id;
    r->public_id = mg_stmt_text(stmt, 1, p);
    r->priority = mg_stmt_int(stmt, 2);
    r->description = mg_stmt_text(stmt, 3, p);
    r->expression = mg_stmt_text(stmt, 4, p);
    r->actions = actions_from_json(mg_stmt_text(stmt, 5, p), p);
    r->created_at = mg_stmt_int(stmt, 6);
    return r;
}

apr_status_t mg_route_get(mg_route_t **proute, mg_db_t *db,
                          apr_int64_t account_id, const char *public_id,
                          apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *proute = NULL;
    rv = mg_db_query(&stmt, db, "SELECT " COLUMNS " FROM route"
                     " WHERE public_id = $1 AND account_id = $2", "ti",
                     public_id, account_id);
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    *proute = read_row(stmt, account_id, p);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

apr_status_t mg_route_page(apr_array_header_t **plist, apr_int64_t *ptotal,
                           mg_db_t *db, apr_int64_t account_id,
                           apr_int64_t skip, apr_int64_t limit, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_route_t *));
    rv = mg_db_get_int(db, ptotal, "SELECT count(*) FROM route"
                       " WHERE account_id = $1", "i", account_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_query(&stmt, db, "SELECT " COLUMNS " FROM route"
                         " WHERE account_id = $1 ORDER BY priority, id DESC"
                         " LIMIT $2 OFFSET $3", "iii", account_id, limit,
                         skip);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plist, mg_route_t *) = read_row(stmt, account_id, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_route_list(apr_array_header_t **plist, mg_db_t *db,
                           apr_int64_t account_id, apr_pool_t *p)
{
    apr_int64_t total;

    return mg_route_page(plist, &total, db, account_id, 0, APR_INT64_MAX, p);
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
