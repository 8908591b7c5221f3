/* mg_queue_list.c - the queue as people look at it (mailgunctl queue). */
#include "mg_queue.h"
#include "mg_queue_row.h"
#include "mg_queue_sql.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

static const char *const transport_names[] = {
    [MG_TRANSPORT_SMTP] = "smtp", [MG_TRANSPORT_LMTP] = "lmtp",
    [MG_TRANSPORT_HTTP] = "http", [MG_TRANSPORT_HOOK] = "hook",
    [MG_TRANSPORT_LIST] = "list", [MG_TRANSPORT_BOUNCE] = "bounce",
    [MG_TRANSPORT_EXPANSION] = "expansion",
};

const char *mg_transport_name(mg_transport_kind_t t)
{
    if ((int)t < MG_TRANSPORT_SMTP || t > MG_TRANSPORT_EXPANSION)
        return "unknown";
    return transport_names[t];
}

static int transport_by_name(const char *name)
{
    int t;

    for (t = MG_TRANSPORT_SMTP; t <= MG_TRANSPORT_EXPANSION; t++)
        if (!strcmp(transport_names[t], name))
            return t;
    return -1;
}

static apr_status_t query(mg_stmt_t **pstmt, mg_db_t *db,
                          const mg_queue_filter_t *f, apr_int64_t after,
                          int limit, apr_pool_t *p)
{
    apr_int64_t transport = f->transport ? transport_by_name(f->transport) : 0;
    const char *domain = f->domain ? mg_text_lower(f->domain, p) : "";
    const char *dest = f->dest ? mg_text_lower(f->dest, p) : "";

    if (f->message_id) /* by its own index */
        return mg_db_query(
            pstmt, db,
            "SELECT " QUEUE_COLUMNS " FROM delivery WHERE message_id = $1"
            " AND id > $2 AND ($3 = '' OR domain_id IN"
            "  (SELECT d.id FROM domain d WHERE d.name_lc = $3))"
            " AND ($4 = 0 OR transport = $4) AND ($5 = '' OR dest = $5)"
            " ORDER BY id LIMIT $6",
            "iititi", f->message_id, after, domain, transport, dest,
            (apr_int64_t)limit);
    return mg_db_query(
        pstmt, db,
        "SELECT " QUEUE_COLUMNS " FROM delivery WHERE id > $1"
        " AND ($2 = '' OR domain_id IN"
        "  (SELECT d.id FROM domain d WHERE d.name_lc = $2))"
        " AND ($3 = 0 OR transport = $3) AND ($4 = '' OR dest = $4)"
        " ORDER BY id LIMIT $5",
        "ititi", after, domain, transport, dest, (apr_int64_t)limit);
}

apr_status_t mg_queue_list(apr_array_header_t **plist, mg_db_t *db,
                           const mg_queue_filter_t *filter, apr_int64_t after,
                           int limit, apr_pool_t *p)
{
    static const mg_queue_filter_t everything;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_delivery_t *));
    rv = query(&stmt, db, filter ? filter : &everything, after, limit, p);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plist, mg_delivery_t *) = mg_queue_row(stmt, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* --- counts --- */

#define COUNTS(name, from, group)                                             \
    "SELECT " name ", COUNT(*),"                                              \
    " CAST(SUM(CASE WHEN q.hold = 0 AND q.claimed_by = 0 AND q.due_at <= $1"  \
    "  THEN 1 ELSE 0 END) AS BIGINT),"                                        \
    " CAST(SUM(CASE WHEN q.hold <> 0 THEN 1 ELSE 0 END) AS BIGINT),"          \
    " CAST(SUM(CASE WHEN q.claimed_by <> 0 THEN 1 ELSE 0 END) AS BIGINT),"    \
    " MIN(q.created_at)"                                                      \
    " FROM delivery q" from " GROUP BY " group
#define MINUTES(n) "CAST(60000000 AS BIGINT) * " #n
#define AGE                                                                   \
    "CASE WHEN q.created_at > $1 - " MINUTES(1) " THEN 0"                     \
    " WHEN q.created_at > $1 - " MINUTES(60) " THEN 1"                        \
    " WHEN q.created_at > $1 - " MINUTES(240) " THEN 2"                       \
    " WHEN q.created_at > $1 - " MINUTES(1440) " THEN 3 ELSE 4 END"

static const char *const count_sql[] = {
    [MG_QUEUE_BY_DOMAIN] =
        COUNTS("COALESCE(d.name, '(removed)')",
               " LEFT JOIN domain d ON d.id = q.domain_id", "1")
        " ORDER BY 2 DESC, 1 LIMIT $2",
    [MG_QUEUE_BY_DEST] = COUNTS("q.dest", "", "1")
        " ORDER BY 2 DESC, 1 LIMIT $2",
    [MG_QUEUE_BY_TRANSPORT] = COUNTS("q.transport", "", "1")
        " ORDER BY 2 DESC, 1 LIMIT $2",
    [MG_QUEUE_BY_AGE] = COUNTS(AGE, "", "1") " ORDER BY 1 LIMIT $2",
};

static const char *count_name(mg_stmt_t *stmt, mg_queue_by_t by,
                              apr_pool_t *p)
{
    static const char *const ages[] = { "up to a minute", "up to an hour",
                                        "up to 4 hours", "up to a day",
                                        "older" };

    if (by == MG_QUEUE_BY_AGE)
        return ages[mg_stmt_int(stmt, 0)];
    if (by == MG_QUEUE_BY_TRANSPORT)
        return mg_transport_name((mg_transport_kind_t)mg_stmt_int(stmt, 0));
    return mg_stmt_text(stmt, 0, p);
}

apr_status_t mg_queue_counts(apr_array_header_t **pcounts, mg_db_t *db,
                             mg_queue_by_t by, int limit, apr_pool_t *p)
{
    mg_queue_count_t *count;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pcounts = apr_array_make(p, 16, sizeof(mg_queue_count_t));
    rv = mg_db_query(&stmt, db, count_sql[by], "ii", (apr_int64_t)mg_now(),
                     (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        count = apr_array_push(*pcounts);
        count->name = count_name(stmt, by, p);
        count->all = mg_stmt_int(stmt, 1);
        count->due = mg_stmt_int(stmt, 2);
        count->held = mg_stmt_int(stmt, 3);
        count->in_hand = mg_stmt_int(stmt, 4);
        count->oldest = mg_stmt_int(stmt, 5);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}
