/* mg_retention.c - what is old enough to be forgotten. */
#include <apr_tables.h>

#include "mg_event_count.h"
#include "mg_id.h"
#include "mg_retention.h"
#include "mg_time.h"
#include "mg_tx.h"

/* Owners of counters looked at in one step: reading costs no lock. */
#define OWNERS_AT_ONCE 64

static apr_status_t begin(mg_db_t *db, int *pown)
{
    apr_status_t rv = mg_tx_join(db, MG_TX_WRITE, pown);

    if (rv == APR_SUCCESS)
        mg_tx_lazy(db);
    return rv;
}

/* Is there anything? Then it is worth standing in line. */
static apr_status_t is_any(int *pany, mg_db_t *db, const char *sql,
                           apr_int64_t bound)
{
    apr_int64_t found = 0;
    apr_status_t rv = mg_db_get_int(db, &found, sql, "i", bound);

    *pany = rv == APR_SUCCESS;
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

/* --- events --- */

/* They were counted by domain and hour (mg_event_count.h). */
typedef struct {
    apr_int64_t domain_id, hour, n;
} gone_t;

static void add_gone(apr_array_header_t *all, apr_int64_t domain_id,
                     apr_int64_t hour)
{
    gone_t *g;
    int i;

    for (i = all->nelts - 1; i >= 0; i--) {
        g = &APR_ARRAY_IDX(all, i, gone_t);
        if (g->domain_id == domain_id && g->hour == hour) {
            g->n++;
            return;
        }
    }
    g = apr_array_push(all);
    g->domain_id = domain_id;
    g->hour = hour;
    g->n = 1;
}

static apr_status_t remove_events(int *pn, mg_db_t *db, apr_int64_t floor,
                                  int limit, apr_pool_t *p)
{
    apr_array_header_t *gone = apr_array_make(p, 8, sizeof(gone_t));
    mg_stmt_t *stmt;
    apr_status_t rv;
    int i;

    rv = mg_db_query(&stmt, db,
                     "DELETE FROM event WHERE id IN (SELECT id FROM event"
                     " WHERE id < $1 ORDER BY id LIMIT $2)"
                     " RETURNING domain_id, id", "ii", floor,
                     (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        add_gone(gone, mg_stmt_int(stmt, 0),
                 mg_event_hour(mg_stmt_int(stmt, 1)));
        *pn += 1;
    }
    rv = rv == APR_EOF ? APR_SUCCESS : rv;
    for (i = 0; rv == APR_SUCCESS && i < gone->nelts; i++) {
        const gone_t *g = &APR_ARRAY_IDX(gone, i, gone_t);

        rv = mg_event_count_take(db, g->domain_id, g->hour, g->n);
    }
    return rv;
}

static apr_status_t forget_events(int *pn, mg_db_t *db, apr_int64_t floor,
                                  int limit, apr_pool_t *p)
{
    int any, own;
    apr_status_t rv;

    rv = is_any(&any, db, "SELECT 1 FROM event WHERE id < $1 LIMIT 1", floor);
    if (rv != APR_SUCCESS || !any)
        return rv;
    rv = begin(db, &own);
    if (rv != APR_SUCCESS)
        return rv;
    return mg_tx_leave(db, own, remove_events(pn, db, floor, limit, p));
}

/* --- messages --- */

/* *plast: the last that was looked at; 0: there is none. */
static apr_status_t find_messages(apr_array_header_t *ids, apr_int64_t *plast,
                                  mg_db_t *db, apr_int64_t after,
                                  apr_int64_t floor, int limit)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plast = 0;
    rv = mg_db_query(&stmt, db,
                     "SELECT m.id, CASE WHEN EXISTS (SELECT 1 FROM event e"
                     "  WHERE e.message_id = m.id) OR EXISTS (SELECT 1 FROM"
                     "  delivery d WHERE d.message_id = m.id) OR EXISTS"
                     "  (SELECT 1 FROM stored_message s WHERE"
                     "  s.message_id = m.id) THEN 1 ELSE 0"
                     " END FROM message m WHERE m.id > $1 AND m.id < $2"
                     " ORDER BY m.id LIMIT $3", "iii", after, floor,
                     (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        *plast = mg_stmt_int(stmt, 0);
        if (!mg_stmt_int(stmt, 1))
            APR_ARRAY_PUSH(ids, apr_int64_t) = *plast;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* Between looking and this an event may have come: an open of today. */
static apr_status_t remove_message(mg_db_t *db, apr_int64_t id)
{
    apr_status_t rv;

    rv = mg_db_exec(db, NULL,
                    "DELETE FROM message WHERE id = $1 AND NOT EXISTS"
                    " (SELECT 1 FROM event e WHERE e.message_id = $1)", "i",
                    id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM content WHERE message_id = $1",
                        "i", id);
    return rv;
}

static apr_status_t forget_messages(int *pn, int *pmore, mg_retention_t *at,
                                    mg_db_t *db, apr_int64_t floor, int limit,
                                    apr_pool_t *p)
{
    apr_array_header_t *ids = apr_array_make(p, limit, sizeof(apr_int64_t));
    apr_int64_t last;
    apr_status_t rv;
    int own, i;

    rv = find_messages(ids, &last, db, at->message, floor, limit);
    if (rv != APR_SUCCESS)
        return rv;
    *pmore = last != 0;
    if (ids->nelts) {
        rv = begin(db, &own);
        if (rv != APR_SUCCESS)
            return rv;
        for (i = 0; rv == APR_SUCCESS && i < ids->nelts; i++)
            rv = remove_message(db, APR_ARRAY_IDX(ids, i, apr_int64_t));
        rv = mg_tx_leave(db, own, rv);
        if (rv == APR_SUCCESS)
            *pn += ids->nelts;
    }
    at->message = last;
    return rv;
}

apr_status_t mg_retention_events(int *pn, int *pmore, mg_retention_t *at,
                                 mg_db_t *db, apr_time_t before, int limit,
                                 apr_pool_t *ptemp)
{
    apr_int64_t floor = mg_id_floor(before);
    apr_status_t rv;

    *pn = *pmore = 0;
    rv = forget_events(pn, db, floor, limit, ptemp);
    if (rv != APR_SUCCESS || *pn) {
        *pmore = *pn > 0;
        return rv;
    }
    return forget_messages(pn, pmore, at, db, floor, limit, ptemp);
}

/* --- counters --- */

static const struct {
    const char *find;     /* $1 behind this owner: the next one's first day */
    const char *remove;   /* $1 owner, $2 day, $3 limit */
} counters[] = {
    { "SELECT domain_id, day FROM stat WHERE domain_id > $1"
      " ORDER BY domain_id, day LIMIT 1",
      "DELETE FROM stat WHERE domain_id = $1 AND day = $2 AND (kind, slot) IN"
      " (SELECT kind, slot FROM stat WHERE domain_id = $1 AND day = $2"
      " LIMIT $3)" },
    { "SELECT domain_id, day FROM stat_tag WHERE domain_id > $1"
      " ORDER BY domain_id, day LIMIT 1",
      "DELETE FROM stat_tag WHERE domain_id = $1 AND day = $2 AND"
      " (kind, tag, slot) IN (SELECT kind, tag, slot FROM stat_tag"
      " WHERE domain_id = $1 AND day = $2 LIMIT $3)" },
    { "SELECT account_id, day FROM account_usage WHERE account_id > $1"
      " ORDER BY account_id, day LIMIT 1",
      "DELETE FROM account_usage WHERE account_id = $1 AND day = $2 AND"
      " (kind, slot) IN (SELECT kind, slot FROM account_usage"
      " WHERE account_id = $1 AND day = $2 LIMIT $3)" },
};

#define COUNTERS (int)(sizeof(counters) / sizeof(counters[0]))

/* The next owner behind *powner, and its oldest day. APR_ENOENT: none. */
static apr_status_t next_owner(apr_int64_t *powner, apr_int64_t *pday,
                               mg_db_t *db, int table)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db, counters[table].find, "i", *powner);
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    *powner = mg_stmt_int(stmt, 0);
    *pday = mg_stmt_int(stmt, 1);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

static apr_status_t remove_day(int *pn, mg_db_t *db, int table,
                               apr_int64_t owner, apr_int64_t day, int limit)
{
    apr_int64_t n = 0;
    apr_status_t rv;
    int own;

    rv = begin(db, &own);
    if (rv == APR_SUCCESS)
        rv = mg_tx_leave(db, own, mg_db_exec(db, &n, counters[table].remove,
                                             "iii", owner, day,
                                             (apr_int64_t)limit));
    *pn = (int)n;
    return rv;
}

apr_status_t mg_retention_counters(int *pn, int *pmore, mg_retention_t *at,
                                   mg_db_t *db, apr_time_t before, int limit,
                                   apr_pool_t *ptemp)
{
    apr_int64_t first = mg_time_day(before), owner, day;
    apr_status_t rv = APR_SUCCESS;
    int i;

    (void)ptemp;
    *pn = 0;
    *pmore = 1;
    for (i = 0; i < OWNERS_AT_ONCE; i++) {
        owner = at->owner;
        rv = next_owner(&owner, &day, db, at->table);
        if (rv == APR_SUCCESS && day < first)
            return remove_day(pn, db, at->table, owner, day, limit);
        if (rv == APR_SUCCESS) {
            at->owner = owner;
            continue;
        }
        if (!APR_STATUS_IS_ENOENT(rv))
            return rv;
        at->owner = 0;
        if (++at->table == COUNTERS) {
            at->table = 0;
            *pmore = 0;
            return APR_SUCCESS;
        }
    }
    return APR_SUCCESS;
}
