/* api_log.c - GET /<domain>/log: what happened, newest first. */
#include "api.h"

#include "mg_event.h"
#include "mg_log.h"
#include "mg_time.h"

static json_t *item_json(const mg_log_item_t *item, apr_pool_t *p)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "hap", item->hap,
                     "created_at", mg_time_gmt(item->created_at, p), "type",
                     item->type, "message", item->message, "message_id",
                     item->message_id);
}

int api_log_list(api_t *q)
{
    apr_array_header_t *items;
    apr_int64_t skip, limit, total;
    apr_status_t rv;
    json_t *list;
    int i;

    if (api_paging(q, &skip, &limit) || api_reader(q))
        return API_REPLIED;
    rv = mg_event_log(&items, &total, q->db, q->domain.id, skip, limit, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read the log");
    list = json_array();
    for (i = 0; i < items->nelts; i++)
        json_array_append_new(
            list, item_json(APR_ARRAY_IDX(items, i, mg_log_item_t *), q->p));
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:I, s:o}", "total_count",
                                    (json_int_t)total, "items", list));
}
