/* mg_stat_read.c - GET /<domain>/stats: counters as a customer sees them. */
#include <stdlib.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "mg_event_kind.h"
#include "mg_seal.h"
#include "mg_stat.h"
#include "mg_text.h"

const char *const mg_stat_events[MG_STAT_MAX] = {
    [MG_STAT_SENT] = "sent", [MG_STAT_DELIVERED] = "delivered",
    [MG_STAT_OPENED] = "opened", [MG_STAT_CLICKED] = "clicked",
    [MG_STAT_BOUNCED] = "bounced", [MG_STAT_DROPPED] = "dropped",
    [MG_STAT_COMPLAINED] = "complained",
    [MG_STAT_UNSUBSCRIBED] = "unsubscribed",
};

/* What mg_event_kind.c has a stat for. */
#define SHOWN_KINDS                                                           \
    "('accepted', 'delivered', 'opened', 'clicked', 'failed', 'failed_late'," \
    " 'dropped', 'complained', 'unsubscribed')"

const char *mg_stat_slug(const char *tag, apr_pool_t *p)
{
    char *slug = apr_palloc(p, strlen(tag) + 1), *out = slug;
    const char *c;

    for (c = tag; *c; c++) {
        if (apr_isalnum(*c) || *c == '-')
            *out++ = (char)apr_tolower(*c);
        else if (out == slug || out[-1] != '_')
            *out++ = '_';
    }
    *out = '\0';
    return slug;
}

/* --- days --- */

typedef struct {
    apr_array_header_t *items;   /* of mg_stat_item_t, the page's */
    unsigned events;
    apr_int64_t domain_id, skip, limit, total;
    apr_int64_t day, n[MG_STAT_MAX];  /* the day that is added up */
    apr_pool_t *p;
} days_t;

/* -1: not shown */
static int event_of_kind(const char *kind)
{
    const mg_event_kind_info_t *info = mg_event_kind_by_name(kind);
    int i;

    for (i = 0; info && info->stat && i < MG_STAT_MAX; i++)
        if (!strcmp(mg_stat_events[i], info->stat))
            return i;
    return -1;
}

/* When the day began, as other ids of 24 hex begin, and which counter. */
static const char *item_id(apr_int64_t domain_id, const mg_stat_item_t *item,
                           apr_pool_t *p)
{
    const char *name = apr_psprintf(p, "%" APR_INT64_T_FMT " %s", domain_id,
                                    mg_stat_events[item->event]);
    unsigned char digest[32];

    mg_sha256(digest, name, strlen(name));
    return apr_psprintf(p, "%08x%s", (unsigned)(item->day * 86400),
                        mg_text_hex(digest, 8, p));
}

static void end_day(days_t *days)
{
    mg_stat_item_t *item;
    int i;

    for (i = 0; i < MG_STAT_MAX; i++) {
        if (days->n[i] <= 0 || !(days->events & (1u << i)))
            continue;
        if (days->total++ < days->skip || days->items->nelts >= days->limit)
            continue;
        item = apr_array_push(days->items);
        item->day = days->day;
        item->event = (mg_stat_event_t)i;
        item->n = days->n[i];
        item->id = item_id(days->domain_id, item, days->p);
        item->tags = apr_array_make(days->p, 4, sizeof(mg_stat_tag_t));
    }
    memset(days->n, 0, sizeof(days->n));
}

static apr_status_t read_days(days_t *days, mg_db_t *db, apr_int64_t since)
{
    mg_stmt_t *stmt;
    apr_status_t rv;
    apr_pool_t *row;
    int event;

    apr_pool_create(&row, days->p);
    rv = mg_db_query(&stmt, db,
                     "SELECT day, kind, n FROM stat WHERE domain_id = $1"
                     " AND day >= $2 AND kind IN " SHOWN_KINDS
                     " ORDER BY day DESC",
                     "ii", days->domain_id, since);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        apr_pool_clear(row);
        if (mg_stmt_int(stmt, 0) != days->day)
            end_day(days);
        days->day = mg_stmt_int(stmt, 0);
        event = event_of_kind(mg_stmt_text(stmt, 1, row));
        if (event >= 0)
            days->n[event] += mg_stmt_int(stmt, 2);
    }
    end_day(days);
    apr_pool_destroy(row);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* --- tags --- */

#define TAG_ROWS_MAX (2 * MG_STAT_TAGS_MAX)   /* those of today have slots */

/* items: newest first. */
static mg_stat_item_t *item_at(const days_t *days, apr_int64_t day, int event)
{
    mg_stat_item_t *items = (mg_stat_item_t *)days->items->elts;
    int low = 0, high = days->items->nelts, middle;

    while (low < high) {
        middle = (low + high) / 2;
        if (items[middle].day > day || (items[middle].day == day
                                        && (int)items[middle].event < event))
            low = middle + 1;
        else
            high = middle;
    }
    return low < days->items->nelts && items[low].day == day
           && (int)items[low].event == event ? &items[low] : NULL;
}

/* Slots of a tag come one behind the other. @return whether it is a new one */
static int add_tag(mg_stat_item_t *item, const char *slug, apr_int64_t n,
                   apr_pool_t *p)
{
    mg_stat_tag_t *tag = (mg_stat_tag_t *)item->tags->elts
                         + item->tags->nelts - 1;

    if (item->tags->nelts && !strcmp(tag->slug, slug)) {
        tag->n += n;
        return 0;
    }
    tag = apr_array_push(item->tags);
    tag->slug = apr_pstrdup(p, slug);
    tag->n = n;
    return 1;
}

static int by_slug(const void *a, const void *b)
{
    return strcmp(((const mg_stat_tag_t *)a)->slug,
                  ((const mg_stat_tag_t *)b)->slug);
}

/* In order; a slug comes again where two kinds are one event (bounced). */
static void sort_tags(apr_array_header_t *tags)
{
    mg_stat_tag_t *list = (mg_stat_tag_t *)tags->elts;
    int from, to = 0;

    qsort(list, (size_t)tags->nelts, sizeof(*list), by_slug);
    for (from = 1; from < tags->nelts; from++) {
        if (!strcmp(list[from].slug, list[to].slug))
            list[to].n += list[from].n;
        else
            list[++to] = list[from];
    }
    if (tags->nelts)
        tags->nelts = to + 1;
}

/* Rows of stat_tag, up to MG_STAT_TAGS_MAX tags: there is none of which some
 * slots are missing. */
static apr_status_t take_tags(const days_t *days, mg_stmt_t *stmt)
{
    apr_pool_t *row;
    mg_stat_item_t *item = NULL;
    const char *kind;
    char last[32] = "";              /* kind of the row before, and its day */
    apr_int64_t day = -1;
    int n = 0, rows = 0;
    apr_status_t rv;

    apr_pool_create(&row, days->p);
    while ((rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        apr_pool_clear(row);
        kind = mg_stmt_text(stmt, 1, row);
        if (mg_stmt_int(stmt, 0) != day || strcmp(kind, last) != 0) {
            day = mg_stmt_int(stmt, 0);
            apr_cpystrn(last, kind, sizeof(last));
            item = item_at(days, day, event_of_kind(kind));
        }
        if (item)
            n += add_tag(item, mg_stmt_text(stmt, 2, row),
                         mg_stmt_int(stmt, 3), days->p);
        if (n > MG_STAT_TAGS_MAX || (++rows == TAG_ROWS_MAX && item)) {
            apr_array_pop(item->tags);
            mg_stmt_done(stmt);
            rv = APR_EOF;
            break;
        }
    }
    apr_pool_destroy(row);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* Along the table's key, the newest first, and no further than
 * MG_STAT_TAGS_MAX: a customer may invent a tag for each message. Slots are
 * added up here: grouping them took SQLite half of its time. */
static apr_status_t read_tags(const days_t *days, mg_db_t *db)
{
    const mg_stat_item_t *items = (const mg_stat_item_t *)days->items->elts;
    mg_stmt_t *stmt;
    apr_status_t rv;
    int i;

    if (days->items->nelts == 0)
        return APR_SUCCESS;
    rv = mg_db_query(&stmt, db,
                     "SELECT day, kind, tag, n FROM stat_tag"
                     " WHERE domain_id = $1 AND day >= $2 AND day <= $3"
                     " ORDER BY day DESC, kind DESC, tag DESC LIMIT $4",
                     "iiii", days->domain_id,
                     items[days->items->nelts - 1].day, items[0].day,
                     (apr_int64_t)TAG_ROWS_MAX);
    if (rv == APR_SUCCESS)
        rv = take_tags(days, stmt);
    for (i = 0; i < days->items->nelts; i++)
        sort_tags(items[i].tags);
    return rv;
}

apr_status_t mg_stat_list(apr_array_header_t **pitems, apr_int64_t *ptotal,
                          mg_db_t *db, apr_int64_t domain_id,
                          unsigned events, apr_int64_t since,
                          apr_int64_t skip, apr_int64_t limit, apr_pool_t *p)
{
    days_t days = { .events = events, .domain_id = domain_id, .skip = skip,
                    .limit = limit, .p = p };
    apr_status_t rv;

    days.items = apr_array_make(p, 16, sizeof(mg_stat_item_t));
    rv = read_days(&days, db, since);
    if (rv == APR_SUCCESS)
        rv = read_tags(&days, db);
    *pitems = days.items;
    *ptotal = days.total;
    return rv;
}

apr_status_t mg_stat_has_tag(int *phas, mg_db_t *db, apr_int64_t domain_id,
                             const char *tag, apr_pool_t *p)
{
    apr_int64_t one;
    apr_status_t rv;

    rv = mg_db_get_int(db, &one, "SELECT 1 FROM stat_tag WHERE domain_id = $1"
                       " AND tag = $2 LIMIT 1", "it", domain_id,
                       mg_stat_slug(tag, p));
    *phas = rv == APR_SUCCESS;
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

apr_status_t mg_stat_remove_tag(mg_db_t *db, apr_int64_t domain_id,
                                const char *tag, apr_pool_t *p)
{
    apr_int64_t n = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &n, "DELETE FROM stat_tag WHERE domain_id = $1"
                    " AND tag = $2", "it", domain_id, mg_stat_slug(tag, p));
    return rv == APR_SUCCESS && n == 0 ? APR_ENOENT : rv;
}
