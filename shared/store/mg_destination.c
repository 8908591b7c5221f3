/* mg_destination.c - see mg_destination.h. */
#include <string.h>
#include <apr_strings.h>

#include "mg_destination.h"
#include "mg_json.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

static void set_int(json_t *json, const char *key, apr_int64_t n)
{
    if (n != 0)
        json_object_set_new(json, key, json_integer(n));
}

static void set_text(json_t *json, const char *key, const char *text,
                     apr_pool_t *p)
{
    if (text && *text)
        json_object_set_new(json, key,
                            json_string(mg_text_clean(text, strlen(text), p)));
}

static const char *state_of(const mg_learned_t *row, apr_pool_t *p)
{
    json_t *json = json_object(), *domains = json_array();
    int i;

    mg_json_bind(json, p);
    set_int(json, "window", row->window);
    set_int(json, "ceiling", row->ceiling);
    set_int(json, "probe-wait", row->probe_wait);
    set_int(json, "links", row->links);
    set_int(json, "waiting", row->waiting);
    set_int(json, "per-hour", row->per_hour);
    set_int(json, "failures", row->failures);
    set_int(json, "closed-until", row->closed_until);
    set_int(json, "ndomains", row->ndomains);
    set_text(json, "source", row->source, p);
    set_text(json, "last-reply", row->last_reply, p);
    for (i = 0; row->domains && i < row->domains->nelts; i++) {
        const char *name = APR_ARRAY_IDX(row->domains, i, const char *);

        json_array_append_new(
            domains, json_string(mg_text_clean(name, strlen(name), p)));
    }
    json_object_set_new(json, "domains", domains);
    return mg_json_compact(json, p);
}

static apr_status_t save_rows(mg_db_t *db, const mg_learned_t *rows, int n,
                              apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < n; i++)
        rv = mg_db_exec(
            db, NULL,
            "INSERT INTO destination (site, worker, state, updated_at)"
            " VALUES ($1, $2, $3, $4) ON CONFLICT (site, worker) DO UPDATE"
            " SET state = excluded.state, updated_at = excluded.updated_at",
            "ttti", mg_text_clean(rows[i].site, strlen(rows[i].site), p),
            rows[i].worker, state_of(&rows[i], p), (apr_int64_t)mg_now());
    return rv;
}

apr_status_t mg_destination_save(mg_db_t *db, const mg_learned_t *rows, int n,
                                 apr_pool_t *p)
{
    apr_status_t rv;
    int own;

    if (n == 0)
        return APR_SUCCESS;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    if (own)
        mg_tx_lazy(db); /* what is lost is learned again */
    return mg_tx_leave(db, own, save_rows(db, rows, n, p));
}

/* --- reading --- */

static apr_int64_t int_of(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

static const apr_array_header_t *domains_of(const json_t *json, apr_pool_t *p)
{
    const json_t *list = json_object_get(json, "domains");
    apr_array_header_t *domains = apr_array_make(p, 4, sizeof(char *));
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));

        if (name)
            APR_ARRAY_PUSH(domains, const char *) = name;
    }
    return domains;
}

static mg_learned_t *row_of(mg_stmt_t *stmt, apr_pool_t *p)
{
    mg_learned_t *row = apr_pcalloc(p, sizeof(*row));
    const char *state = mg_stmt_text(stmt, 2, p), *why;
    const json_t *json = mg_json_parse(state, strlen(state), &why, p);

    row->site = mg_stmt_text(stmt, 0, p);
    row->worker = mg_stmt_text(stmt, 1, p);
    row->updated_at = mg_stmt_int(stmt, 3);
    row->window = (int)int_of(json, "window");
    row->ceiling = (int)int_of(json, "ceiling");
    row->probe_wait = int_of(json, "probe-wait");
    row->links = (int)int_of(json, "links");
    row->waiting = (int)int_of(json, "waiting");
    row->per_hour = (int)int_of(json, "per-hour");
    row->failures = (int)int_of(json, "failures");
    row->closed_until = int_of(json, "closed-until");
    row->ndomains = (int)int_of(json, "ndomains");
    row->source = json_string_value(json_object_get(json, "source"));
    row->last_reply = json_string_value(json_object_get(json, "last-reply"));
    row->domains = domains_of(json, p);
    return row;
}

apr_status_t mg_destination_list(apr_array_header_t **plist, mg_db_t *db,
                                 const char *worker, int limit,
                                 apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_learned_t *));
    rv = mg_db_query(&stmt, db,
                     "SELECT site, worker, state, updated_at FROM destination"
                     " WHERE $1 = '' OR worker = $1"
                     " ORDER BY updated_at DESC LIMIT $2",
                     "ti", worker ? worker : "", (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plist, mg_learned_t *) = row_of(stmt, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_destination_queued(apr_int64_t *pn, mg_db_t *db,
                                   const char *domain)
{
    return mg_db_get_int(db, pn,
                         "SELECT COUNT(*) FROM delivery"
                         " WHERE transport = 1 AND dest = $1", "t", domain);
}

apr_status_t mg_destination_forget(int *pn, mg_db_t *db, apr_time_t before,
                                   int limit)
{
    apr_int64_t n = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &n,
                    "DELETE FROM destination WHERE (site, worker) IN"
                    " (SELECT d.site, d.worker FROM destination d"
                    "  WHERE d.updated_at < $1 ORDER BY d.updated_at LIMIT $2)",
                    "ii", (apr_int64_t)before, (apr_int64_t)limit);
    *pn = (int)n;
    return rv;
}
