/* api_stats.c - GET /<domain>/stats: what happened, by event and day;
 * DELETE /<domain>/tags/<tag>. */
#include "api.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_stat.h"
#include "mg_status.h"
#include "mg_time.h"

#define PAGE_OCTETS (40 * 1024)   /* of a reply, about */

static void write_item(mg_json_out_t *out, const mg_stat_item_t *item,
                       apr_pool_t *p)
{
    int i;

    mg_json_out_open(out, NULL, '{');
    mg_json_out_text(out, "event", mg_stat_events[item->event]);
    mg_json_out_int(out, "total_count", item->n);
    mg_json_out_text(out, "created_at",
                     mg_time_gmt(item->day * apr_time_from_sec(86400), p));
    mg_json_out_text(out, "id", item->id);
    mg_json_out_open(out, "tags", '{');
    for (i = 0; i < item->tags->nelts; i++) {
        const mg_stat_tag_t *tag = &APR_ARRAY_IDX(item->tags, i,
                                                  mg_stat_tag_t);

        mg_json_out_int(out, tag->slug, tag->n);
    }
    mg_json_out_close(out, '}');
    mg_json_out_close(out, '}');
}

/* 1 << mg_stat_event_t of one name; 0: there is none. */
static unsigned event_bit(const char *name)
{
    unsigned i;

    for (i = 0; i < MG_STAT_MAX; i++)
        if (!strcasecmp(name, mg_stat_events[i]))
            return 1u << i;
    return 0;
}

/* All where none is named. */
static int wanted_events(api_t *q, unsigned *pevents)
{
    const mg_form_field_t *field = NULL;
    unsigned bit;

    *pevents = 0;
    while ((field = mg_form_find(q->form, "event", field)) != NULL) {
        if (!field->value || !*field->value)
            continue;
        bit = event_bit(field->value);
        if (!bit)
            return api_reply_message(q, HTTP_BAD_REQUEST,
                                     "'event' parameter must be one of sent, "
                                     "delivered, opened, clicked, bounced, "
                                     "dropped, complained, unsubscribed");
        *pevents |= bit;
    }
    if (!*pevents)
        *pevents = (1u << MG_STAT_MAX) - 1;
    return API_GO_ON;
}

static int first_day(api_t *q, apr_int64_t *pday)
{
    const char *text = api_param(q, "start-date");

    *pday = 0;
    if (!text || !*text || mg_time_parse_day(pday, text) == APR_SUCCESS)
        return API_GO_ON;
    return api_reply_message(q, HTTP_BAD_REQUEST, "'start-date' parameter is "
                             "not a date like 2012-02-14");
}

int api_stats_list(api_t *q)
{
    apr_int64_t skip, limit, since, total;
    apr_array_header_t *items;
    unsigned events;
    mg_json_out_t *out;
    apr_status_t rv;
    int i;

    if (wanted_events(q, &events) || first_day(q, &since)
        || api_paging(q, &skip, &limit) || api_reader(q))
        return API_REPLIED;
    rv = mg_stat_list(&items, &total, q->db, q->domain.id, events, since, skip,
                      limit, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read statistics");
    out = mg_json_out_make(1, PAGE_OCTETS, q->p);
    mg_json_out_open(out, NULL, '{');
    mg_json_out_int(out, "total_count", total);
    mg_json_out_open(out, "items", '[');
    for (i = 0; i < items->nelts; i++)
        write_item(out, &APR_ARRAY_IDX(items, i, mg_stat_item_t), q->p);
    mg_json_out_close(out, ']');
    mg_json_out_close(out, '}');
    return api_reply_out(q, HTTP_OK, out);
}

/* DELETE /<domain>/tags/<tag> */

static apr_status_t run_remove(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const api_t *q = baton;

    return mg_stat_remove_tag(db, q->domain.id, q->args[1], ptemp);
}

/* After a COMMIT whose answer was lost: it is there if the tag is not. */
static apr_status_t is_removed(mg_db_t *db, void *baton)
{
    api_t *q = baton;
    int has;
    apr_status_t rv = mg_stat_has_tag(&has, db, q->domain.id, q->args[1],
                                      q->p);

    return rv != APR_SUCCESS ? rv : has ? APR_ENOENT : APR_SUCCESS;
}

int api_tags_delete(api_t *q)
{
    apr_status_t rv = api_unit(q, run_remove, is_removed, q);

    if (rv == APR_ENOENT)
        return api_reply_message(q, HTTP_NOT_FOUND, "Tag not found");
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot delete a tag");
    return api_reply_message(q, HTTP_OK, "Tag deleted");
}
