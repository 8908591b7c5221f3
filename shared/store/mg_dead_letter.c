/* mg_dead_letter.c - what was given up: listed, posted again, forgotten. */
#include <apr_strings.h>
#include <string.h>

#include "mg_dead_letter.h"
#include "mg_event.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_time.h"
#include "mg_tx.h"

static const char *event_of(const char *payload, apr_pool_t *p)
{
    const char *error, *event;
    json_t *json = mg_json_parse(payload, strlen(payload), &error, p);

    event = json_string_value(json_object_get(json, "event"));
    return event ? event : "";
}

apr_status_t mg_dead_letter_hooks(apr_array_header_t **plist, mg_db_t *db,
                                  apr_int64_t domain_id, apr_int64_t limit,
                                  apr_pool_t *p)
{
    mg_dead_letter_t *letter;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 32, sizeof(mg_dead_letter_t));
    rv = mg_db_query(
        &stmt, db,
        "SELECT l.id, l.domain_id, d.name, l.payload, l.recipient, l.target,"
        " l.last_reply, l.attempts, l.created_at FROM dead_letter l"
        " LEFT JOIN domain d ON d.id = l.domain_id"
        " WHERE l.transport = 4 AND ($1 = 0 OR l.domain_id = $1)"
        " ORDER BY l.id DESC LIMIT $2",
        "ii", domain_id, limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        letter = apr_array_push(*plist);
        letter->id = mg_stmt_int(stmt, 0);
        letter->domain_id = mg_stmt_int(stmt, 1);
        letter->domain = mg_stmt_text(stmt, 2, p);
        letter->event = event_of(mg_stmt_text(stmt, 3, p), p);
        letter->recipient = mg_stmt_text(stmt, 4, p);
        letter->url = mg_stmt_text(stmt, 5, p);
        letter->last_reply = mg_stmt_text(stmt, 6, p);
        letter->attempts = (int)mg_stmt_int(stmt, 7);
        letter->created_at = mg_stmt_int(stmt, 8);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* --- again --- */

static apr_status_t find(apr_array_header_t *rows, int *pseen,
                         apr_int64_t *pafter, apr_int64_t before, mg_db_t *db,
                         apr_int64_t id, apr_int64_t domain_id, int limit,
                         apr_pool_t *p)
{
    mg_delivery_t *row;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pseen = 0;
    rv = mg_db_query(
        &stmt, db,
        "SELECT l.id, l.message_id, l.domain_id, COALESCE(d.account_id, 0),"
        " l.recipient, l.target, l.payload FROM dead_letter l"
        " LEFT JOIN domain d ON d.id = l.domain_id"
        " WHERE l.transport = 4 AND l.id > $1 AND l.id < $2"
        " AND ($3 = 0 OR l.id = $3) AND ($4 = 0 OR l.domain_id = $4)"
        " ORDER BY l.id LIMIT $5",
        "iiiii", *pafter, before, id, domain_id, (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        *pafter = mg_stmt_int(stmt, 0);
        ++*pseen;
        if (mg_stmt_int(stmt, 3) == 0)
            continue; /* the domain was removed: nobody's */
        row = apr_array_push(rows);
        memset(row, 0, sizeof(*row));
        row->id = mg_stmt_int(stmt, 0);
        row->message_id = mg_stmt_int(stmt, 1);
        row->domain_id = mg_stmt_int(stmt, 2);
        row->account_id = mg_stmt_int(stmt, 3);
        row->recipient = mg_stmt_text(stmt, 4, p);
        row->target = mg_stmt_text(stmt, 5, p);
        row->payload = mg_stmt_text(stmt, 6, p);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static apr_status_t replay_one(apr_int64_t *preplayed, mg_db_t *db,
                               mg_delivery_t *row, apr_pool_t *p)
{
    apr_time_t now = mg_now();
    apr_int64_t n = 0;
    mg_domain_t *domain;
    const char *url;
    apr_status_t rv;

    rv = mg_db_exec(db, &n, "DELETE FROM dead_letter WHERE id = $1", "i",
                    row->id);
    if (rv != APR_SUCCESS || n == 0)
        return rv; /* somebody else was quicker */
    rv = mg_domain_by_id(&domain, db, row->domain_id, p);
    if (rv != APR_SUCCESS)
        return rv;
    url = mg_event_hook_url(domain, event_of(row->payload, p));
    if (url)
        row->target = url;
    row->id = mg_id_next();
    row->transport = MG_TRANSPORT_HOOK;
    row->dest = mg_queue_url_dest(row->target, p);
    if (row->dest == NULL)
        row->dest = ""; /* the notifier says what is wrong with it */
    row->created_at = row->due_at = now;
    row->expires_at = now + MG_RETRY_LIMIT;
    rv = mg_queue_add_hook(db, row);
    if (rv == APR_SUCCESS)
        ++*preplayed;
    return rv;
}

apr_status_t mg_dead_letter_replay(apr_int64_t *preplayed, int *pmore,
                                   apr_int64_t *pafter, apr_int64_t before,
                                   mg_db_t *db, apr_int64_t id,
                                   apr_int64_t domain_id, int limit,
                                   apr_pool_t *p)
{
    apr_array_header_t *rows = apr_array_make(p, 32, sizeof(mg_delivery_t));
    apr_status_t rv;
    int i, own, seen;

    *pmore = 0;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = find(rows, &seen, pafter, before, db, id, domain_id, limit, p);
    for (i = 0; rv == APR_SUCCESS && i < rows->nelts; i++)
        rv = replay_one(preplayed, db,
                        &APR_ARRAY_IDX(rows, i, mg_delivery_t), p);
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *pmore = seen >= limit;
    return rv;
}

/* --- forgotten --- */

/* Ids are as old as what they name: a letter is given up within days of it. */
apr_status_t mg_dead_letter_forget(int *pn, mg_db_t *db, apr_time_t before,
                                   int limit)
{
    apr_int64_t n = 0, found = 0, floor = mg_id_floor(before);
    apr_status_t rv;

    *pn = 0;
    rv = mg_db_get_int(db, &found, "SELECT 1 FROM dead_letter WHERE id < $1"
                       " AND created_at < $2 LIMIT 1", "ii", floor,
                       (apr_int64_t)before);
    if (rv != APR_SUCCESS)
        return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
    rv = mg_db_exec(db, &n, "DELETE FROM dead_letter WHERE id IN (SELECT l.id"
                    " FROM dead_letter l WHERE l.id < $1 AND l.created_at < $2"
                    " ORDER BY l.id LIMIT $3)", "iii", floor,
                    (apr_int64_t)before, (apr_int64_t)limit);
    *pn = (int)n;
    return rv;
}
