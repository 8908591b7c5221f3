/* api_log.c - GET /<domain>/log: what happened, newest first. */
#include "api.h"

#include "mg_event.h"
#include "mg_log.h"
#include "mg_time.h"

#define PAGE_OCTETS (40 * 1024)   /* of a reply, about */

static void write_item(mg_json_out_t *out, const mg_log_item_t *item,
                       apr_pool_t *p)
{
    mg_json_out_open(out, NULL, '{');
    mg_json_out_text(out, "hap", item->hap);
    mg_json_out_text(out, "created_at", mg_time_gmt(item->created_at, p));
    mg_json_out_text(out, "type", item->type);
    mg_json_out_text(out, "message", item->message);
    mg_json_out_text(out, "message_id", item->message_id);
    mg_json_out_close(out, '}');
}

int api_log_list(api_t *q)
{
    apr_array_header_t *items;
    apr_int64_t skip, limit, total;
    mg_json_out_t *out;
    apr_status_t rv;
    int i;

    if (api_paging(q, &skip, &limit) || api_reader(q))
        return API_REPLIED;
    rv = mg_event_log(&items, &total, q->db, q->domain.id, skip, limit, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read the log");
    out = mg_json_out_make(1, PAGE_OCTETS, q->p);
    mg_json_out_open(out, NULL, '{');
    mg_json_out_int(out, "total_count", total);
    mg_json_out_open(out, "items", '[');
    for (i = 0; i < items->nelts; i++)
        write_item(out, APR_ARRAY_IDX(items, i, mg_log_item_t *), q->p);
    mg_json_out_close(out, ']');
    mg_json_out_close(out, '}');
    return api_reply_out(q, HTTP_OK, out);
}
