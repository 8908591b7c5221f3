/* api_campaign_reports.c - /<domain>/campaigns/<id>/events, stats, clicks,
 * opens, unsubscribes, complaints (reference, section 7). */
#include "api.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_campaign_report.h"
#include "mg_log.h"
#include "mg_message.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define LIMIT_MAX 100
#define KIND(name) (1u << MG_CAMPAIGN_##name)

/* what may be grouped by */

#define BY_PLACES (MG_BY_COUNTRY | MG_BY_REGION | MG_BY_CITY)
#define BY_TIMES (MG_BY_MONTH | MG_BY_DAY | MG_BY_HOUR | MG_BY_MINUTE | \
                  MG_BY_DAILY_HOUR)

static const struct {
    const char *name;
    unsigned by;
} groupings[] = {
    { "link", MG_BY_LINK }, { "recipient", MG_BY_RECIPIENT },
    { "domain", MG_BY_DOMAIN }, { "country", MG_BY_COUNTRY },
    { "region", MG_BY_REGION }, { "city", MG_BY_CITY },
    { "month", MG_BY_MONTH }, { "day", MG_BY_DAY }, { "hour", MG_BY_HOUR },
    { "minute", MG_BY_MINUTE }, { "daily_hour", MG_BY_DAILY_HOUR },
};
#define GROUPINGS (sizeof(groupings) / sizeof(groupings[0]))

static const char *list_groupings(unsigned allowed, apr_pool_t *p)
{
    const char *list = "";
    apr_size_t i;

    for (i = 0; i < GROUPINGS; i++)
        if (allowed & groupings[i].by)
            list = apr_pstrcat(p, list, *list ? ", " : "", "'",
                               groupings[i].name, "'", NULL);
    return list;
}

/* groupby may repeat, and may name several by comma. */
static int add_groupings(unsigned *pby, api_t *q, const char *text,
                         unsigned allowed)
{
    char *last, *name = apr_strtok(apr_pstrdup(q->p, text), ", ", &last);
    apr_size_t i;

    for (; name; name = apr_strtok(NULL, ", ", &last)) {
        for (i = 0; i < GROUPINGS; i++)
            if (allowed & groupings[i].by && !strcmp(groupings[i].name, name))
                break;
        if (i == GROUPINGS)
            return api_reply_message(q, HTTP_BAD_REQUEST,
                                     "Invalid groupby '%s'. It can be any of: "
                                     "%s.", name,
                                     list_groupings(allowed, q->p));
        *pby |= groupings[i].by;
    }
    return API_GO_ON;
}

/* Each value of a parameter that may repeat. */
typedef int value_fn(unsigned *pmask, api_t *q, const char *value,
                     unsigned allowed);

static int each_value(unsigned *pmask, api_t *q, const char *name,
                      value_fn *fn, unsigned allowed)
{
    const mg_form_field_t *f = NULL;
    const char *bytes;
    apr_size_t len;
    apr_status_t rv;

    while ((f = mg_form_find(q->form, name, f)) != NULL) {
        rv = mg_form_bytes(&bytes, &len, f, q->p);
        if (rv != APR_SUCCESS)
            return api_reply_failed(q, rv, "cannot read a parameter");
        if (fn(pmask, q, mg_text_clean(bytes, len, q->p), allowed))
            return API_REPLIED;
    }
    return API_GO_ON;
}

static int read_groupby(mg_campaign_query_t *query, api_t *q, unsigned allowed,
                        int must)
{
    if (each_value(&query->by, q, "groupby", add_groupings, allowed))
        return API_REPLIED;
    if (!query->by && must)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Parameter 'groupby' is missing");
    return API_GO_ON;
}

/* filters and pages */

static const char *given(api_t *q, const char *name)
{
    const char *text = api_param(q, name);

    return text && *text ? text : NULL;
}

static int read_number(apr_int64_t *pn, api_t *q, const char *name,
                       apr_int64_t fallback)
{
    const char *text = given(q, name);
    char *end;

    *pn = fallback;
    if (!text)
        return API_GO_ON;
    *pn = apr_strtoi64(text, &end, 10);
    if (*end || *pn < 0)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'%s' parameter is not a valid number", name);
    return API_GO_ON;
}

/* Pages count from 1; 0 is the first, too. */
static int read_page(mg_campaign_query_t *query, api_t *q)
{
    apr_int64_t page;

    if (read_number(&query->limit, q, "limit", LIMIT_MAX) ||
        read_number(&page, q, "page", 1))
        return API_REPLIED;
    if (query->limit > LIMIT_MAX)
        query->limit = LIMIT_MAX;
    if (page > MG_CAMPAIGN_PAGES_MAX)
        page = MG_CAMPAIGN_PAGES_MAX;
    query->skip = page > 1 ? (page - 1) * query->limit : 0;
    return API_GO_ON;
}

/* Given at all, it counts; count=no says the contrary. */
static int wants_count(api_t *q)
{
    const char *text = api_param(q, "count");

    return text && (!*text || mg_text_bool(text) != 0);
}

/* machine=yes asks for what machines opened and clicked, and only that. */
static int wants_machines(api_t *q)
{
    const char *text = given(q, "machine");

    return text && mg_text_bool(text) == 1;
}

static unsigned of_machines(unsigned kinds)
{
    unsigned machines = 0;

    if (kinds & KIND(OPENED))
        machines |= KIND(OPENED_MACHINE);
    if (kinds & KIND(CLICKED))
        machines |= KIND(CLICKED_MACHINE);
    return machines;
}

static int begin(mg_campaign_query_t *query, mg_campaign_t **pcampaign,
                 api_t *q)
{
    memset(query, 0, sizeof(*query));
    if (api_campaign_find(q, pcampaign))
        return API_REPLIED;
    query->campaign_id = (*pcampaign)->id;
    return API_GO_ON;
}

static int reply_count(api_t *q, apr_int64_t count)
{
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:I}", "count", (json_int_t)count));
}

static int reply_failed(api_t *q, apr_status_t rv)
{
    if (rv == MG_ELIMIT)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "That is too much for one report. Ask for "
                                 "fewer groups, an earlier page, or less by "
                                 "filters.");
    return api_reply_failed(q, rv, "cannot read a campaign's events");
}

/* groups as JSON */

static json_t *start_of(apr_time_t t, unsigned by, apr_pool_t *p)
{
    apr_time_exp_t e;
    apr_time_t start;

    apr_time_exp_gmt(&e, t);
    if (by == MG_BY_DAILY_HOUR)
        return json_integer(e.tm_hour);
    e.tm_usec = e.tm_sec = 0;
    e.tm_min = by == MG_BY_MINUTE ? e.tm_min : 0;
    e.tm_hour = by == MG_BY_MINUTE || by == MG_BY_HOUR ? e.tm_hour : 0;
    e.tm_mday = by == MG_BY_MONTH ? 1 : e.tm_mday;
    if (apr_time_exp_gmt_get(&start, &e) != APR_SUCCESS)
        start = t;
    return json_string(mg_time_gmt(start, p));
}

static json_t *group_value(const mg_campaign_row_t *first, unsigned by,
                           apr_pool_t *p)
{
    switch (by) {
    case MG_BY_LINK:
        return json_string(first->link);
    case MG_BY_RECIPIENT:
        return json_string(mg_text_lower(first->recipient, p));
    case MG_BY_DOMAIN:
        return json_string(mg_text_lower(mg_column_domain(first->recipient),
                                         p));
    case MG_BY_COUNTRY:
        return json_string(first->country);
    case MG_BY_REGION:
        return json_string(first->region);
    case MG_BY_CITY:
        return json_string(first->city);
    default:
        return start_of(first->created_at, by, p);
    }
}

static json_t *group_keys(const mg_campaign_group_t *group, unsigned by,
                          apr_pool_t *p)
{
    json_t *json = json_object();
    apr_size_t i;

    for (i = 0; i < GROUPINGS; i++)
        if (by & groupings[i].by)
            json_object_set_new(json, groupings[i].name,
                                group_value(&group->first, groupings[i].by,
                                            p));
    return json;
}

/* stats */

static const mg_campaign_kind_t stats_kinds[] = {
    MG_CAMPAIGN_UNSUBSCRIBED, MG_CAMPAIGN_OPENED, MG_CAMPAIGN_DELIVERED,
    MG_CAMPAIGN_CLICKED, MG_CAMPAIGN_BOUNCED, MG_CAMPAIGN_COMPLAINED,
};

static json_t *stats_json(json_t *json, const apr_int64_t *total,
                          const mg_campaign_group_t *unique)
{
    json_t *totals = json_object();
    apr_size_t i;

    for (i = 0; i < sizeof(stats_kinds) / sizeof(stats_kinds[0]); i++)
        json_object_set_new(totals, mg_campaign_kind_name(stats_kinds[i]),
                            json_integer(total[stats_kinds[i]]));
    json_object_set_new(json, "total", totals);
    json_object_set_new(
        json, "unique",
        json_pack("{s:{s:I}, s:{s:I, s:I}}", "opened", "recipient",
                  (json_int_t)unique->recipients[MG_CAMPAIGN_OPENED],
                  "clicked", "recipient",
                  (json_int_t)unique->recipients[MG_CAMPAIGN_CLICKED], "link",
                  (json_int_t)unique->links[MG_CAMPAIGN_CLICKED]));
    return json;
}

/* How often from the counters; how many from the events. */
static int stats_of_all(api_t *q, mg_campaign_t *campaign,
                        mg_campaign_query_t *query)
{
    mg_campaign_group_t none;
    apr_array_header_t *groups;
    apr_int64_t count;
    apr_status_t rv;
    json_t *json, *total;

    memset(&none, 0, sizeof(none));
    query->kinds = query->unique;
    query->limit = 1;
    rv = mg_campaign_read_counts(campaign, q->db);
    if (rv == APR_SUCCESS)
        rv = mg_campaign_report(&groups, &count, q->db, query, q->p);
    if (rv != APR_SUCCESS)
        return reply_failed(q, rv);
    json = stats_json(json_object(), campaign->counts,
                      groups->nelts ? &APR_ARRAY_IDX(groups, 0,
                                                     mg_campaign_group_t)
                                    : &none);
    total = json_object_get(json, "total");
    json_object_set_new(total, "sent",
                        json_integer(campaign->counts[MG_CAMPAIGN_SUBMITTED]));
    json_object_set_new(total, "dropped",
                        json_integer(campaign->counts[MG_CAMPAIGN_DROPPED]));
    return api_reply_json(q, HTTP_OK, json);
}

int api_campaign_stats(api_t *q)
{
    mg_campaign_query_t query;
    mg_campaign_t *campaign;
    apr_array_header_t *groups;
    apr_int64_t count;
    apr_status_t rv;
    json_t *list;
    apr_size_t i;

    if (begin(&query, &campaign, q) ||
        read_groupby(&query, q, MG_BY_DOMAIN | BY_PLACES | MG_BY_DAILY_HOUR,
                     0) || read_page(&query, q))
        return API_REPLIED;
    if (query.by & (query.by - 1))
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Only one 'groupby' is possible here");
    query.unique = KIND(OPENED) | KIND(CLICKED);
    if (!query.by)
        return stats_of_all(q, campaign, &query);
    for (i = 0; i < sizeof(stats_kinds) / sizeof(stats_kinds[0]); i++)
        query.kinds |= 1u << stats_kinds[i];
    rv = mg_campaign_report(&groups, &count, q->db, &query, q->p);
    if (rv != APR_SUCCESS)
        return reply_failed(q, rv);
    if (wants_count(q))
        return reply_count(q, count);
    list = json_array();
    for (i = 0; i < (apr_size_t)groups->nelts; i++) {
        const mg_campaign_group_t *g = &APR_ARRAY_IDX(groups, (int)i,
                                                      mg_campaign_group_t);

        json_array_append_new(list, stats_json(group_keys(g, query.by, q->p),
                                               g->total, g));
    }
    return api_reply_json(q, HTTP_OK, list);
}

/* clicks, opens, unsubscribes, complaints */

static json_t *report_json(const mg_campaign_group_t *group, unsigned by,
                           mg_campaign_kind_t kind, apr_pool_t *p)
{
    json_t *json = group_keys(group, by, p);
    json_t *unique = json_pack("{s:I}", "recipient",
                               (json_int_t)group->recipients[kind]);

    if (kind == MG_CAMPAIGN_CLICKED || kind == MG_CAMPAIGN_CLICKED_MACHINE)
        json_object_set_new(unique, "link",
                            json_integer((json_int_t)group->links[kind]));
    json_object_set_new(json, "total",
                        json_integer((json_int_t)group->total[kind]));
    json_object_set_new(json, "unique", unique);
    return json;
}

static int report(api_t *q, mg_campaign_kind_t kind, unsigned allowed,
                  int by_place)
{
    mg_campaign_query_t query;
    mg_campaign_t *campaign;
    apr_array_header_t *groups;
    apr_int64_t count;
    apr_status_t rv;
    json_t *list;
    int i;

    if (begin(&query, &campaign, q) || read_groupby(&query, q, allowed, 1) ||
        read_page(&query, q))
        return API_REPLIED;
    query.kinds = query.unique = 1u << kind;
    if (by_place) {
        query.country = given(q, "country");
        query.region = given(q, "region");
        query.city = given(q, "city");
    }
    rv = mg_campaign_report(&groups, &count, q->db, &query, q->p);
    if (rv != APR_SUCCESS)
        return reply_failed(q, rv);
    if (wants_count(q))
        return reply_count(q, count);
    list = json_array();
    for (i = 0; i < groups->nelts; i++)
        json_array_append_new(
            list, report_json(&APR_ARRAY_IDX(groups, i, mg_campaign_group_t),
                              query.by, kind, q->p));
    return api_reply_json(q, HTTP_OK, list);
}

int api_campaign_clicks(api_t *q)
{
    return report(q, wants_machines(q) ? MG_CAMPAIGN_CLICKED_MACHINE
                                       : MG_CAMPAIGN_CLICKED,
                  MG_BY_LINK | MG_BY_RECIPIENT | MG_BY_DOMAIN | BY_PLACES |
                      BY_TIMES, 1);
}

int api_campaign_opens(api_t *q)
{
    return report(q, wants_machines(q) ? MG_CAMPAIGN_OPENED_MACHINE
                                       : MG_CAMPAIGN_OPENED,
                  MG_BY_RECIPIENT | MG_BY_DOMAIN | BY_PLACES | BY_TIMES, 1);
}

int api_campaign_unsubscribes(api_t *q)
{
    return report(q, MG_CAMPAIGN_UNSUBSCRIBED,
                  MG_BY_DOMAIN | BY_PLACES | BY_TIMES, 1);
}

int api_campaign_complaints(api_t *q)
{
    return report(q, MG_CAMPAIGN_COMPLAINED,
                  MG_BY_RECIPIENT | MG_BY_DOMAIN | BY_TIMES, 0);
}

/* events */

#define EVENT_KINDS (KIND(CLICKED) | KIND(OPENED) | KIND(UNSUBSCRIBED) | \
                     KIND(BOUNCED) | KIND(COMPLAINED) | KIND(DELIVERED))

static int add_events(unsigned *pkinds, api_t *q, const char *text,
                      unsigned allowed)
{
    char *last, *name = apr_strtok(apr_pstrdup(q->p, text), ", ", &last);
    int kind;

    for (; name; name = apr_strtok(NULL, ", ", &last)) {
        for (kind = 0; kind <= MG_CAMPAIGN_DROPPED; kind++)
            if (allowed & (1u << kind) &&
                !strcmp(mg_campaign_kind_name((mg_campaign_kind_t)kind),
                        name))
                break;
        if (kind > MG_CAMPAIGN_DROPPED)
            return api_reply_message(
                q, HTTP_BAD_REQUEST,
                "Invalid event '%s'. It can be any of: 'clicked', 'opened', "
                "'unsubscribed', 'bounced', 'complained', 'delivered'.", name);
        *pkinds |= 1u << kind;
    }
    return API_GO_ON;
}

/* v:, as long as the message is remembered. */
static json_t *user_vars(api_t *q, apr_int64_t message_id)
{
    mg_message_t *message;
    const char *error;
    json_t *json = NULL;

    if (mg_message_get(&message, q->db, message_id, q->p) == APR_SUCCESS &&
        message->variables)
        json = mg_json_parse(message->variables, strlen(message->variables),
                             &error, q->p);
    return json_is_object(json) ? json_incref(json) : json_object();
}

static json_t *tags_of(const mg_campaign_row_t *row, apr_pool_t *p)
{
    const char *error;
    json_t *json = *row->tags ? mg_json_parse(row->tags, strlen(row->tags),
                                              &error, p)
                              : NULL;

    return json_is_array(json) ? json_incref(json) : json_array();
}

static json_t *event_json(api_t *q, const mg_campaign_row_t *row)
{
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o}", "timestamp",
        mg_time_gmt(row->created_at, q->p), "domain",
        mg_text_lower(mg_column_domain(row->recipient), q->p), "recipient",
        row->recipient, "event", mg_campaign_kind_name(row->kind), "tags",
        tags_of(row, q->p), "user_vars", user_vars(q, row->message_id));

    if (!((1u << row->kind) & (KIND(OPENED) | KIND(CLICKED) |
                               KIND(OPENED_MACHINE) | KIND(CLICKED_MACHINE))))
        return json;
    json_object_set_new(json, "ip", json_string(row->ip));
    json_object_set_new(json, "country", json_string(row->country));
    json_object_set_new(json, "region", json_string(row->region));
    json_object_set_new(json, "city", json_string(row->city));
    json_object_set_new(json, "user_agent", json_string(row->user_agent));
    if (*row->link)
        json_object_set_new(json, "link", json_string(row->link));
    return json;
}

static int count_events(api_t *q, const mg_campaign_query_t *query)
{
    apr_int64_t count;
    apr_status_t rv;

    rv = mg_campaign_events_count(&count, q->db, query, q->p);
    return rv == APR_SUCCESS ? reply_count(q, count) : reply_failed(q, rv);
}

int api_campaign_events(api_t *q)
{
    mg_campaign_query_t query;
    mg_campaign_t *campaign;
    apr_array_header_t *rows;
    apr_status_t rv;
    json_t *list;
    int i;

    if (begin(&query, &campaign, q) ||
        each_value(&query.kinds, q, "event", add_events, EVENT_KINDS) ||
        read_page(&query, q))
        return API_REPLIED;
    if (!query.kinds)
        query.kinds = EVENT_KINDS;
    if (wants_machines(q))
        query.kinds = of_machines(query.kinds);
    query.recipient = given(q, "recipient");
    query.country = given(q, "country");
    query.region = given(q, "region");
    if (wants_count(q))
        return count_events(q, &query);
    rv = mg_campaign_events(&rows, q->db, &query, q->p);
    if (rv != APR_SUCCESS)
        return reply_failed(q, rv);
    list = json_array();
    for (i = 0; i < rows->nelts; i++)
        json_array_append_new(
            list, event_json(q, &APR_ARRAY_IDX(rows, i, mg_campaign_row_t)));
    return api_reply_json(q, HTTP_OK, list);
}
