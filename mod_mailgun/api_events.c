/* api_events.c - GET /<domain>/events and /<domain>/events/<token>: what
 * happened, either way through time, and where to ask for what happens next
 * (reference, section 12). */
#include "api_events.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <string.h>

#include "mg_id.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define LIMIT_V2 100
#define LIMIT_V3 300
#define PAGE_OCTETS 2048    /* of a reply, about: the links, */
#define ITEM_OCTETS 1900    /* and an item */
#define MSEC APR_TIME_C(1000)

/* --- what is asked for --- */

static int read_time(api_t *q, const char *name, apr_time_t *pt, int *pgiven)
{
    const char *text = api_param(q, name);

    *pgiven = text && *text;
    if (*pgiven && (mg_time_parse(pt, text) != APR_SUCCESS || *pt < 0))
        return api_reply_message(q, HTTP_BAD_REQUEST, "'%s' parameter is not "
                                 "a valid date: use RFC 2822 or seconds since "
                                 "1970", name);
    return API_GO_ON;
}

/* -1: not said */
static int read_bool(api_t *q, const char *name, int *pvalue)
{
    const char *text = api_param(q, name);

    if (!text || !*text)
        return API_GO_ON;
    *pvalue = mg_text_bool(text);
    if (*pvalue < 0)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'%s' parameter is neither yes nor no", name);
    return API_GO_ON;
}

static int read_limit(api_t *q, int *plimit)
{
    int max = q->version == 3 ? LIMIT_V3 : LIMIT_V2;
    const char *text = api_param(q, "limit");
    apr_int64_t n;
    char *end;

    *plimit = 100;
    if (!text || !*text)
        return API_GO_ON;
    n = apr_strtoi64(text, &end, 10);
    if (*end || n < 1)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'limit' parameter is not a valid number");
    if (n > max && q->version == 3)
        return api_reply_message(q, HTTP_BAD_REQUEST, "The 'limit' parameter "
                                 "can't be larger than %d", max);
    *plimit = n > max ? max : (int)n;
    return API_GO_ON;
}

/* Direction follows from begin and end; without end it is descending. */
static int read_direction(api_t *q, api_events_query_t *query, apr_time_t begin,
                          apr_time_t end, int end_given)
{
    int said = -1;

    if (read_bool(q, "ascending", &said))
        return API_REPLIED;
    if (!end_given) {
        query->ascending = said == 1;
        return API_GO_ON;
    }
    query->ascending = begin < end || (begin == end && said == 1);
    if (said >= 0 && said != query->ascending && begin != end)
        return api_reply_message(
            q, HTTP_BAD_REQUEST, "'ascending' is %s, but 'end' is %s than "
            "'begin'", said ? "yes" : "no", said ? "earlier" : "later");
    return API_GO_ON;
}

static int read_range(api_t *q, api_events_query_t *query)
{
    apr_time_t begin = mg_now(), end = 0;
    int begin_given, end_given;

    if (read_time(q, "begin", &begin, &begin_given) ||
        read_time(q, "end", &end, &end_given) ||
        read_direction(q, query, begin, end, end_given))
        return API_REPLIED;
    if (query->ascending) {
        query->low = mg_id_floor(begin);
        query->high = end_given ? mg_id_floor(end + MSEC) : APR_INT64_MAX;
        query->gap = query->low;
    }
    else {
        query->low = end_given ? mg_id_floor(end) : 0;
        query->high = mg_id_floor(begin + MSEC);
        query->gap = query->high;
    }
    return API_GO_ON;
}

static int read_parameters(api_t *q, api_events_query_t *query)
{
    int i;

    memset(query, 0, sizeof(*query));
    query->pretty = 1;
    if (read_range(q, query) || read_limit(q, &query->limit) ||
        read_bool(q, "pretty", &query->pretty))
        return API_REPLIED;
    for (i = 0; i < MG_FILTER_MAX; i++) {
        query->filters[i] = api_param(q, mg_event_filter_name(i));
        if (query->filters[i] && !*query->filters[i])
            query->filters[i] = NULL;
    }
    return API_GO_ON;
}

/* --- filters --- */

typedef struct {
    api_t *q;
    mg_event_filter_t *filters[MG_FILTER_MAX];
    int in_detail;                 /* filters that look there */
    apr_pool_t *prow;              /* of one row */
} sieve_t;

static int compile(api_t *q, sieve_t *sieve, const api_events_query_t *query)
{
    const char *error;
    int i;

    for (i = 0; i < MG_FILTER_MAX; i++)
        if (query->filters[i] &&
            mg_event_filter_compile(&sieve->filters[i], i, query->filters[i],
                                    &error, q->p) != APR_SUCCESS)
            return api_reply_message(q, HTTP_BAD_REQUEST,
                                     "'%s' parameter is no filter: %s",
                                     mg_event_filter_name(i), error);
    return API_GO_ON;
}

static int passes(const sieve_t *sieve, mg_filter_field_t field,
                  const char *value)
{
    return !sieve->filters[field] ||
           mg_event_filter_matches(sieve->filters[field], &value, value != NULL);
}

static int kind_passes(const sieve_t *sieve, mg_event_kind_t kind)
{
    const char *severity, *name = api_events_name(kind, &severity);

    return name && passes(sieve, MG_FILTER_EVENT, name) &&
           passes(sieve, MG_FILTER_SEVERITY, *severity ? severity : NULL);
}

/* event= and severity= say which kinds the store should look for; more than it
 * takes are looked for here. */
static void choose_kinds(mg_event_query_t *walk, const sieve_t *sieve)
{
    int i, n = 0;

    if (!sieve->filters[MG_FILTER_EVENT] && !sieve->filters[MG_FILTER_SEVERITY])
        return;
    for (i = 0; i < MG_EVENT_MAX; i++) {
        if (!kind_passes(sieve, i))
            continue;
        if (n < MG_EVENT_KINDS)
            walk->kinds[n] = mg_event_kinds[i].name;
        n++;
    }
    if (n > MG_EVENT_KINDS)
        walk->kinds[0] = NULL;
    if (n == 0)
        walk->limit = 0; /* there are none of that name */
}

static int list_passes(const sieve_t *sieve, mg_filter_field_t field,
                       mg_json_span_t span, const char *member)
{
    const char *values[MG_OPTIONS_LIMIT / 256];
    const int most = sizeof(values) / sizeof(values[0]);
    mg_json_view_t list = { 0 }, one;
    int i;

    if (!sieve->filters[field])
        return 1;
    if (span.at)
        mg_json_view(&list, span.at, span.len, '[', sieve->prow);
    for (i = 0; i < list.n && i < most; i++) {
        mg_json_span_t value = list.members[i].value;

        if (member) {
            mg_json_view(&one, value.at, value.len, '{', sieve->prow);
            value = mg_json_view_find(&one, member);
        }
        values[i] = mg_json_span_text(value, sieve->prow);
    }
    return mg_event_filter_matches(sieve->filters[field], values, i);
}

static int summary_passes(const sieve_t *sieve, const mg_event_row_t *row)
{
    mg_json_view_t summary;

    if (!sieve->filters[MG_FILTER_TO] && !sieve->filters[MG_FILTER_ATTACHMENT])
        return 1;
    mg_json_view(&summary, row->summary, strlen(row->summary), '{',
                 sieve->prow);
    return passes(sieve, MG_FILTER_TO,
                  mg_json_span_text(mg_json_view_find(&summary, "to"),
                                    sieve->prow)) &&
           list_passes(sieve, MG_FILTER_ATTACHMENT,
                       mg_json_view_find(&summary, "attachments"),
                       "filename");
}

static int recipients_pass(const sieve_t *sieve, const mg_event_row_t *row)
{
    mg_event_row_t copy = *row, *list = &copy;
    apr_array_header_t *rows;

    if (!sieve->filters[MG_FILTER_RECIPIENTS])
        return 1;
    rows = apr_array_make(sieve->prow, 1, sizeof(mg_event_row_t *));
    APR_ARRAY_PUSH(rows, mg_event_row_t *) = list;
    if (mg_event_recipients(sieve->q->db, rows, sieve->prow) != APR_SUCCESS ||
        !copy.all_recipients)
        return passes(sieve, MG_FILTER_RECIPIENTS, row->recipient);
    return mg_event_filter_matches(
        sieve->filters[MG_FILTER_RECIPIENTS],
        (const char *const *)(void *)copy.all_recipients->elts,
        copy.all_recipients->nelts);
}

static int detail_passes(const sieve_t *sieve, const mg_event_row_t *row)
{
    int is_dropped =
        !strcmp(row->kind, mg_event_kinds[MG_EVENT_DROPPED].name);
    mg_json_view_t detail;

    if (!is_dropped && !sieve->in_detail)
        return 1;
    api_events_detail(&detail, row, sieve->prow);
    return !(is_dropped &&
             api_events_is_repeat(row, &detail, sieve->prow)) &&
           list_passes(sieve, MG_FILTER_TAGS,
                       api_events_labels(row, &detail, "tags", sieve->prow),
                       NULL) &&
           passes(sieve, MG_FILTER_LIST,
                  mg_json_span_text(mg_json_view_find(&detail, "mailing-list"),
                                    sieve->prow));
}

static int is_wanted(const mg_event_row_t *row, void *baton)
{
    sieve_t *sieve = baton;
    const mg_event_kind_info_t *kind = mg_event_kind_by_name(row->kind);
    const mg_event_filter_t *size = sieve->filters[MG_FILTER_SIZE];
    int wanted;

    if (!kind || !kind_passes(sieve, (mg_event_kind_t)(kind - mg_event_kinds)))
        return 0;
    if (size && (!row->message ||
                 !mg_event_filter_matches_number(size, row->size)))
        return 0;
    wanted = passes(sieve, MG_FILTER_RECIPIENT, row->recipient) &&
             passes(sieve, MG_FILTER_MESSAGE_ID, row->message_id) &&
             passes(sieve, MG_FILTER_FROM, row->from_header) &&
             passes(sieve, MG_FILTER_SUBJECT, row->subject) &&
             summary_passes(sieve, row) && detail_passes(sieve, row) &&
             recipients_pass(sieve, row);
    apr_pool_clear(sieve->prow);
    return wanted;
}

/* "a@b" alone can be looked for by the store. */
static const char *whole_address(const mg_event_filter_t *filter, apr_pool_t *p)
{
    const char *word = filter ? mg_event_filter_word(filter) : NULL;

    return word && strchr(word, '@') ? mg_text_lower(word, p) : NULL;
}

static const char *whole_id(const mg_event_filter_t *filter, apr_pool_t *p)
{
    const char *word = filter ? mg_event_filter_word(filter) : NULL;
    apr_size_t len = word ? strlen(word) : 0;

    if (len > 2 && word[0] == '<' && word[len - 1] == '>')
        return apr_pstrmemdup(p, word + 1, len - 2);
    return word;
}

/* --- a page --- */

typedef struct {
    apr_array_header_t *rows;     /* of mg_event_row_t *, as they are shown */
    apr_int64_t before, behind;   /* gaps around them */
} page_t;

/* The walk of a page: its own direction, or for one that ends at the gap, the
 * other one. */
static void set_walk(mg_event_query_t *walk, const api_events_query_t *query,
                     apr_int64_t settled)
{
    apr_int64_t top = query->high < settled ? query->high : settled;

    walk->is_down = query->ascending == query->back;
    walk->low = query->low;
    walk->high = top;
    if (walk->is_down && query->gap < top)
        walk->high = query->gap;
    if (!walk->is_down && query->gap > walk->low)
        walk->low = query->gap;
}

static void turn_round(apr_array_header_t *rows)
{
    void **list = (void **)(void *)rows->elts, *swap;
    int i, k;

    for (i = 0, k = rows->nelts - 1; i < k; i++, k--) {
        swap = list[i];
        list[i] = list[k];
        list[k] = swap;
    }
}

/* Where the walk began, so that going back from there finds what comes later.
 * Rows say it best: what is not settled is not seen by any. */
static apr_int64_t near_gap(const page_t *page,
                            const api_events_query_t *query,
                            const mg_event_query_t *walk, int cut)
{
    int first = query->back ? page->rows->nelts - 1 : 0;

    if (page->rows->nelts) {
        const mg_event_row_t *row = APR_ARRAY_IDX(page->rows, first,
                                                  mg_event_row_t *);

        return walk->is_down ? row->id + 1 : row->id;
    }
    if (!walk->is_down)
        return walk->low;
    if (query->gap <= walk->high)
        return query->gap;
    return cut ? walk->high : query->low;
}

static int read_page(api_t *q, page_t *page, const api_events_query_t *query)
{
    sieve_t sieve = { .q = q };
    mg_event_query_t walk = { .domain_id = q->domain.id,
                              .limit = query->limit, .baton = &sieve,
                              .wanted = is_wanted };
    apr_int64_t settled, after, near;
    apr_status_t rv;
    int cut;

    if (compile(q, &sieve, query) || api_reader(q))
        return API_REPLIED;
    choose_kinds(&walk, &sieve);
    sieve.in_detail = sieve.filters[MG_FILTER_TAGS] ||
                      sieve.filters[MG_FILTER_LIST];
    apr_pool_create(&sieve.prow, q->p);
    walk.recipient = whole_address(sieve.filters[MG_FILTER_RECIPIENT], q->p);
    walk.message_id = whole_id(sieve.filters[MG_FILTER_MESSAGE_ID], q->p);
    rv = mg_event_settled(&settled, q->db, q->config->event_settle);
    if (rv == APR_SUCCESS) {
        set_walk(&walk, query, settled);
        rv = mg_event_page(&page->rows, &after, &cut, q->db, &walk, q->p);
    }
    if (rv == APR_SUCCESS)
        rv = mg_event_recipients(q->db, page->rows, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read events");
    if (query->back)
        turn_round(page->rows);
    near = near_gap(page, query, &walk, cut);
    page->before = query->back ? after : near;
    page->behind = query->back ? near : after;
    return API_GO_ON;
}

/* --- the answer --- */

static void write_paging(mg_json_out_t *out, api_t *q,
                         const api_events_query_t *query, const page_t *page)
{
    apr_int64_t begin = query->ascending ? query->low : query->high;
    apr_int64_t end = query->ascending ? query->high : query->low;
    const struct {
        const char *name;
        apr_int64_t gap;
        int back;
    } urls[] = { { "first", begin, 0 }, { "last", end, 1 },
                 { "next", page->behind, 0 }, { "previous", page->before, 1 } };
    const char *base = apr_pstrcat(q->p, api_url(q), "/",
                                   ap_escape_path_segment(q->p, q->args[0]),
                                   "/events/", NULL);
    api_events_query_t other = *query;
    apr_size_t i;

    mg_json_out_open(out, "paging", '{');
    for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        other.gap = urls[i].gap;
        other.back = urls[i].back;
        mg_json_out_text(out, urls[i].name,
                         apr_pstrcat(q->p, base, api_events_token(&other, q->p),
                                     NULL));
    }
    mg_json_out_close(out, '}');
}

static int reply(api_t *q, const api_events_query_t *query)
{
    api_events_show_t show = { .q = q, .campaigns = apr_hash_make(q->p) };
    page_t page;
    int i;

    if (read_page(q, &page, query))
        return API_REPLIED;
    apr_pool_create(&show.pitem, q->p);
    show.out = mg_json_out_make(query->pretty, PAGE_OCTETS +
                                (apr_size_t)page.rows->nelts * ITEM_OCTETS,
                                q->p);
    mg_json_out_open(show.out, NULL, '{');
    mg_json_out_open(show.out, "items", '[');
    for (i = 0; i < page.rows->nelts; i++)
        api_events_item(&show, APR_ARRAY_IDX(page.rows, i, mg_event_row_t *));
    mg_json_out_close(show.out, ']');
    write_paging(show.out, q, query, &page);
    mg_json_out_close(show.out, '}');
    return api_reply_out(q, HTTP_OK, show.out);
}

int api_events_list(api_t *q)
{
    api_events_query_t query;

    if (read_parameters(q, &query))
        return API_REPLIED;
    return reply(q, &query);
}

int api_events_page(api_t *q)
{
    api_events_query_t query;

    if (api_events_token_read(&query, q->args[1], q->p) != APR_SUCCESS)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'%s' is no page of events", q->args[1]);
    return reply(q, &query);
}
