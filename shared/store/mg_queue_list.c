/* mg_queue_list.c - the queue as people look at it (mailgunctl queue). */
#include "mg_queue.h"
#include "mg_queue_row.h"
#include "mg_queue_sql.h"
#include "mg_status.h"
#include "mg_text.h"

static const char *const transport_names[] = {
    [MG_TRANSPORT_SMTP] = "smtp", [MG_TRANSPORT_LMTP] = "lmtp",
    [MG_TRANSPORT_HTTP] = "http", [MG_TRANSPORT_HOOK] = "hook",
    [MG_TRANSPORT_LIST] = "list", [MG_TRANSPORT_BOUNCE] = "bounce",
};

const char *mg_transport_name(mg_transport_kind_t t)
{
    if ((int)t < MG_TRANSPORT_SMTP || t > MG_TRANSPORT_BOUNCE)
        return "unknown";
    return transport_names[t];
}

static int transport_by_name(const char *name)
{
    int t;

    for (t = MG_TRANSPORT_SMTP; t <= MG_TRANSPORT_BOUNCE; t++)
        if (!strcmp(transport_names[t], name))
            return t;
    return -1;
}

apr_status_t mg_queue_list(apr_array_header_t **plist, mg_db_t *db,
                           const mg_queue_filter_t *filter, int limit,
                           apr_pool_t *p)
{
    static const mg_queue_filter_t everything;
    apr_int64_t transport = 0;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_delivery_t *));
    if (!filter)
        filter = &everything;
    if (filter->transport)
        transport = transport_by_name(filter->transport);
    rv = mg_db_query(
        &stmt, db,
        "SELECT " QUEUE_COLUMNS " FROM delivery"
        " WHERE ($1 = '' OR domain_id IN"
        "  (SELECT d.id FROM domain d WHERE d.name_lc = $1))"
        " AND ($2 = 0 OR message_id = $2) AND ($3 = 0 OR transport = $3)"
        " ORDER BY id LIMIT $4",
        "tiii", filter->domain ? mg_text_lower(filter->domain, p) : "",
        filter->message_id, transport, (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plist, mg_delivery_t *) = mg_queue_row(stmt, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}
