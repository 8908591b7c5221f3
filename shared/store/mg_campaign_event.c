/* mg_campaign_event.c - an event of a campaign's message is noted. */
#include <stdlib.h>
#include <string.h>
#include <apr_strings.h>

#include "mg_campaign_event.h"
#include "mg_campaign_name.h"
#include "mg_json.h"
#include "mg_status.h"

#define LINK_MAX 2048
#define AGENT_MAX 512

/* Of one campaign in this transaction. */
typedef struct {
    apr_int64_t campaign_id;
    apr_int64_t n[MG_CAMPAIGN_KINDS], waiting[MG_CAMPAIGN_KINDS];
} tally_t;

static int kind_of(const mg_event_t *event)
{
    switch (event->kind) {
    case MG_EVENT_ACCEPTED:
        return MG_CAMPAIGN_SUBMITTED;
    case MG_EVENT_DELIVERED:
        return MG_CAMPAIGN_DELIVERED;
    case MG_EVENT_FAILED:
    case MG_EVENT_FAILED_LATE:
        return MG_CAMPAIGN_BOUNCED;
    case MG_EVENT_DROPPED:
        return MG_CAMPAIGN_DROPPED;
    case MG_EVENT_OPENED:
        return event->machine ? MG_CAMPAIGN_OPENED_MACHINE
                              : MG_CAMPAIGN_OPENED;
    case MG_EVENT_CLICKED:
        return event->machine ? MG_CAMPAIGN_CLICKED_MACHINE
                              : MG_CAMPAIGN_CLICKED;
    case MG_EVENT_UNSUBSCRIBED:
        return MG_CAMPAIGN_UNSUBSCRIBED;
    case MG_EVENT_COMPLAINED:
        return MG_CAMPAIGN_COMPLAINED;
    default:
        return -1;
    }
}

static int is_listed(int kind)
{
    return kind != MG_CAMPAIGN_SUBMITTED && kind != MG_CAMPAIGN_DROPPED;
}

/* counting */

static tally_t *tally_get(mg_batch_t *batch, apr_int64_t campaign_id)
{
    tally_t *t;

    if (!batch->campaign_tallies)
        batch->campaign_tallies = apr_hash_make(batch->pool);
    t = apr_hash_get(batch->campaign_tallies, &campaign_id,
                     sizeof(campaign_id));
    if (!t) {
        t = apr_pcalloc(batch->pool, sizeof(*t));
        t->campaign_id = campaign_id;
        apr_hash_set(batch->campaign_tallies, &t->campaign_id,
                     sizeof(t->campaign_id), t);
    }
    return t;
}

static int by_id(const void *a, const void *b)
{
    const tally_t *x = *(tally_t *const *)a, *y = *(tally_t *const *)b;

    return x->campaign_id < y->campaign_id ? -1
                                           : x->campaign_id > y->campaign_id;
}

static mg_value_t *tally_rows(mg_value_t *v, const tally_t *t, int slot)
{
    int kind;

    for (kind = 0; kind < MG_CAMPAIGN_KINDS; kind++) {
        if (!t->n[kind])
            continue;
        (v++)->num = t->campaign_id;
        (v++)->num = kind;
        (v++)->num = slot;
        (v++)->num = t->n[kind];
        (v++)->num = t->waiting[kind];
    }
    return v;
}

/* In key order, as all writers of counters go. */
apr_status_t mg_campaign_count_write(mg_batch_t *batch)
{
    apr_hash_index_t *hi;
    mg_value_t *values, *v;
    tally_t **list;
    int i, n = 0;

    if (!batch->campaign_tallies)
        return APR_SUCCESS;
    list = apr_palloc(batch->pool, apr_hash_count(batch->campaign_tallies) *
                                       sizeof(*list));
    for (hi = apr_hash_first(batch->pool, batch->campaign_tallies); hi;
         hi = apr_hash_next(hi))
        list[n++] = apr_hash_this_val(hi);
    batch->campaign_tallies = NULL;
    qsort(list, (size_t)n, sizeof(*list), by_id);
    values = v = apr_pcalloc(batch->pool, (apr_size_t)n * MG_CAMPAIGN_KINDS
                                              * 5 * sizeof(*values));
    for (i = 0; i < n; i++)
        v = tally_rows(v, list[i], batch->stat_slot);
    return mg_db_exec_rows(
        batch->db,
        "INSERT INTO campaign_count (campaign_id, kind, slot, n, waiting)",
        " ON CONFLICT (campaign_id, kind, slot) DO UPDATE SET"
        " n = campaign_count.n + excluded.n,"
        " waiting = campaign_count.waiting + excluded.waiting", "iiiii",
        values, (int)(v - values) / 5);
}

/* the copy */

static const char *cut(const char *s, apr_size_t max, apr_pool_t *p)
{
    if (!s)
        return "";
    if (strlen(s) <= max)
        return s;
    while (max > 0 && ((unsigned char)s[max] & 0xC0) == 0x80)
        max--;
    return apr_pstrmemdup(p, s, max);
}

static const char *tags_json(const apr_array_header_t *tags, apr_pool_t *p)
{
    json_t *list;
    char *text;
    int i;

    if (!tags || !tags->nelts)
        return "";
    list = json_array();
    for (i = 0; i < tags->nelts; i++)
        json_array_append_new(list,
                              json_string(APR_ARRAY_IDX(tags, i, char *)));
    text = mg_json_compact(list, p);
    json_decref(list);
    return text ? text : "";
}

static apr_status_t insert(mg_batch_t *batch, apr_int64_t campaign_id,
                           int kind, const mg_event_t *event,
                           apr_int64_t event_id, apr_time_t now,
                           const char *tags, apr_pool_t *p)
{
    const char *link = kind == MG_CAMPAIGN_CLICKED ||
                               kind == MG_CAMPAIGN_CLICKED_MACHINE
                           ? event->url
                           : NULL;

    return mg_db_exec(
        batch->db, NULL,
        "INSERT INTO campaign_event (campaign_id, kind, id, created_at,"
        " message_id, recipient, link, country, region, city, ip, user_agent,"
        " tags) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
        " $13)",
        "iiiiitttttttt", campaign_id, (apr_int64_t)kind, event_id,
        (apr_int64_t)now, event->message_id, event->recipient,
        cut(link, LINK_MAX, p), cut(event->country, 2, p),
        cut(event->region, 64, p), cut(event->city, 64, p),
        cut(event->ip, 64, p), cut(event->user_agent, AGENT_MAX, p), tags);
}

/* Of one campaign or list. */
static apr_status_t note(mg_batch_t *batch, apr_int64_t id, int kind,
                         const mg_event_t *event, apr_int64_t event_id,
                         apr_time_t now, const char **ptags, apr_pool_t *p)
{
    tally_t *tally = tally_get(batch, id);

    tally->n[kind]++;
    if (!is_listed(kind))
        return APR_SUCCESS;
    tally->waiting[kind]++;
    if (!*ptags)
        *ptags = tags_json(event->tags, p);
    return insert(batch, id, kind, event, event_id, now, *ptags, p);
}

/* A list that is gone counts no more; asked once per transaction.
 * @return APR_ENOENT */
static apr_status_t find_list(mg_batch_t *batch, apr_int64_t list_id)
{
    apr_int64_t one;

    if (batch->campaign_tallies
        && apr_hash_get(batch->campaign_tallies, &list_id, sizeof(list_id)))
        return APR_SUCCESS;
    return mg_db_get_int(batch->db, &one, "SELECT 1 FROM list WHERE id = $1",
                         "i", list_id);
}

apr_status_t mg_campaign_note(mg_batch_t *batch, const mg_event_t *event,
                              apr_int64_t event_id, apr_time_t now,
                              apr_pool_t *ptemp)
{
    int i, kind = kind_of(event);
    const char *tags = NULL;
    apr_int64_t id;
    apr_status_t rv = APR_SUCCESS;

    if (kind < 0 || event->testmode)
        return APR_SUCCESS;
    for (i = 0; event->campaigns && i < event->campaigns->nelts
                && rv == APR_SUCCESS; i++) {
        rv = mg_campaign_name_find(
            &id, batch, event->domain_id,
            APR_ARRAY_IDX(event->campaigns, i, const char *),
            event->message_id);
        if (rv == APR_SUCCESS && id)
            rv = note(batch, id, kind, event, event_id, now, &tags, ptemp);
    }
    if (rv != APR_SUCCESS || !event->list_id)
        return rv;
    rv = find_list(batch, event->list_id);
    if (rv == APR_SUCCESS)
        rv = note(batch, event->list_id, kind, event, event_id, now, &tags,
                  ptemp);
    return rv == APR_ENOENT ? APR_SUCCESS : rv;
}
