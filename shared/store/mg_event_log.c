/* mg_event_log.c - GET /<domain>/log: the newest lines first. */
#include "mg_event_kind.h"
#include "mg_stat.h"
#include "mg_status.h"

apr_status_t mg_event_log(apr_array_header_t **pitems, apr_int64_t *ptotal,
                          mg_db_t *db, apr_int64_t domain_id,
                          apr_int64_t skip, apr_int64_t limit, apr_pool_t *p)
{
    const mg_event_kind_info_t *kind;
    mg_log_item_t *item;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pitems = apr_array_make(p, 16, sizeof(mg_log_item_t *));
    rv = mg_stat_total(ptotal, db, domain_id);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_query(&stmt, db,
                     "SELECT e.kind, e.log_text, e.created_at, m.message_id"
                     " FROM event e LEFT JOIN message m ON m.id = e.message_id"
                     " WHERE e.domain_id = $1"
                     " ORDER BY e.id DESC LIMIT $2 OFFSET $3",
                     "iii", domain_id, limit, skip);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        item = apr_pcalloc(p, sizeof(*item));
        kind = mg_event_kind_by_name(mg_stmt_text(stmt, 0, p));
        item->hap = kind ? kind->hap : "unknown";
        item->type = kind ? kind->type : "info";
        item->message = mg_stmt_text(stmt, 1, p);
        item->created_at = mg_stmt_int(stmt, 2);
        item->message_id = mg_stmt_text(stmt, 3, p);
        if (!item->message_id)
            item->message_id = "";
        APR_ARRAY_PUSH(*pitems, mg_log_item_t *) = item;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}
