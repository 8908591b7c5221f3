/* mg_campaign_report.c - events of a campaign, grouped. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mg_campaign_group.h"
#include "mg_campaign_report.h"
#include "mg_campaign_scan.h"
#include "mg_status.h"
#include "mg_tx.h"

typedef struct {
    const mg_campaign_query_t *query;
    mg_campaign_filter_t filters[MG_CAMPAIGN_FILTERS];
    int filters_n;
    mg_campaign_scan_t *scans[MG_CAMPAIGN_KINDS];
    mg_campaign_groups_t *groups;
    mg_campaign_set_t *recipients[MG_CAMPAIGN_KINDS];
    mg_campaign_set_t *links[MG_CAMPAIGN_KINDS];
    /* by group; room for so many */
    apr_uint32_t *totals[MG_CAMPAIGN_KINDS];
    apr_uint32_t *unique_recipients[MG_CAMPAIGN_KINDS];
    apr_uint32_t *unique_links[MG_CAMPAIGN_KINDS];
    apr_uint32_t room;
    apr_uint64_t *keys;               /* of each row of the chunk */
    apr_uint32_t *group_of;
    int chunk_room;
    apr_pool_t *pool;
    apr_pool_t *counting;             /* groups, sets: gone before the answer */
} report_t;

/* shared with mg_campaign_page.c */

int mg_campaign_filters(mg_campaign_filter_t filters[MG_CAMPAIGN_FILTERS],
                        const mg_campaign_query_t *query)
{
    const struct {
        mg_campaign_column_t column;
        const char *text;
    } all[] = {
        { MG_COLUMN_RECIPIENT, query->recipient },
        { MG_COLUMN_COUNTRY, query->country },
        { MG_COLUMN_REGION, query->region },
        { MG_COLUMN_CITY, query->city },
    };
    int i, n = 0;

    for (i = 0; i < MG_CAMPAIGN_FILTERS; i++) {
        if (!all[i].text)
            continue;
        filters[n].column = all[i].column;
        filters[n++].key = mg_column_key(all[i].column, all[i].text);
    }
    return n;
}

static void swap(apr_uint64_t *a, apr_uint64_t *b)
{
    apr_uint64_t was = *a;

    *a = *b;
    *b = was;
}

/* Hoare's Find, the pivot drawn by a mixing of the bounds. */
void mg_campaign_select(apr_uint64_t *values, apr_size_t n, apr_size_t k)
{
    apr_size_t from = 0, to = n, i, j;
    apr_uint64_t pivot;

    if (k >= n)
        return;
    while (to - from > 1) {
        pivot = values[from + mg_mix(from ^ (to << 20)) % (to - from)];
        i = from;
        j = to - 1;
        for (;;) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i >= j)
                break;
            swap(&values[i++], &values[j--]);
        }
        if (i == j && k == i)
            return;
        if (k <= j)
            to = i > j ? j + 1 : i;
        else
            from = i > j ? i : i + 1;
    }
}

/* what a row is grouped by */

static apr_int64_t month_of_day(apr_int64_t day)
{
    apr_time_exp_t t;

    apr_time_exp_gmt(&t, apr_time_from_sec(day * 86400));
    return t.tm_year * 12 + t.tm_mon;
}

/* Rows stand by time: mostly it is the day of the row before. */
static void mix_months(apr_uint64_t *keys, const apr_uint32_t *time, int n)
{
    apr_int64_t day = -1, month = 0;
    int i;

    for (i = 0; i < n; i++) {
        if (time[i] / 86400 != day) {
            day = time[i] / 86400;
            month = month_of_day(day);
        }
        keys[i] = mg_mix(keys[i] + (apr_uint64_t)month + 1);
    }
}

static void mix_times(apr_uint64_t *keys, const apr_uint32_t *time, int n,
                      apr_uint32_t unit, apr_uint32_t modulo)
{
    int i;

    for (i = 0; i < n; i++)
        keys[i] = mg_mix(keys[i] + time[i] / unit % modulo + 1);
}

static void mix_values(apr_uint64_t *keys, const apr_uint64_t *value, int n)
{
    int i;

    for (i = 0; i < n; i++)
        keys[i] = mg_mix(keys[i] + value[i] + 1);
}

static const struct {
    unsigned by;
    mg_campaign_column_t column;
} by_column[] = {
    { MG_BY_LINK, MG_COLUMN_LINK },
    { MG_BY_RECIPIENT, MG_COLUMN_RECIPIENT },
    { MG_BY_DOMAIN, MG_COLUMN_DOMAIN },
    { MG_BY_COUNTRY, MG_COLUMN_COUNTRY },
    { MG_BY_REGION, MG_COLUMN_REGION },
    { MG_BY_CITY, MG_COLUMN_CITY },
};
static const struct {
    unsigned by;
    apr_uint32_t unit, modulo;
} by_time[] = {
    { MG_BY_DAY, 86400, 0xffffffffu },
    { MG_BY_HOUR, 3600, 0xffffffffu },
    { MG_BY_MINUTE, 60, 0xffffffffu },
    { MG_BY_DAILY_HOUR, 3600, 24 },
};
#define BY_TIMES (MG_BY_MONTH | MG_BY_DAY | MG_BY_HOUR | MG_BY_MINUTE | \
                  MG_BY_DAILY_HOUR)
#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static void make_keys(apr_uint64_t *keys, const mg_campaign_chunk_t *chunk,
                      unsigned by)
{
    apr_size_t i;

    memset(keys, 0, (apr_size_t)chunk->rows * sizeof(*keys));
    for (i = 0; i < LENGTH(by_column); i++)
        if (by & by_column[i].by)
            mix_values(keys, chunk->value[by_column[i].column], chunk->rows);
    for (i = 0; i < LENGTH(by_time); i++)
        if (by & by_time[i].by)
            mix_times(keys, chunk->time, chunk->rows, by_time[i].unit,
                      by_time[i].modulo);
    if (by & MG_BY_MONTH)
        mix_months(keys, chunk->time, chunk->rows);
}

/* A column by itself is a key already. */
static const apr_uint64_t *keys_of(report_t *report,
                                   const mg_campaign_chunk_t *chunk)
{
    apr_size_t i;

    for (i = 0; i < LENGTH(by_column); i++)
        if (report->query->by == by_column[i].by)
            return chunk->value[by_column[i].column];
    make_keys(report->keys, chunk, report->query->by);
    return report->keys;
}

static unsigned columns_for(const report_t *report, mg_campaign_kind_t kind)
{
    unsigned columns = 0;
    apr_size_t i;
    int j;

    for (i = 0; i < LENGTH(by_column); i++)
        if (report->query->by & by_column[i].by)
            columns |= 1u << by_column[i].column;
    if (report->query->by & BY_TIMES)
        columns |= 1u << MG_COLUMN_TIME;
    for (j = 0; j < report->filters_n; j++)
        columns |= 1u << report->filters[j].column;
    if (report->recipients[kind])
        columns |= 1u << MG_COLUMN_RECIPIENT;
    if (report->links[kind])
        columns |= 1u << MG_COLUMN_LINK;
    return columns;
}

/* counting */

static int is_wanted(const report_t *report, const mg_campaign_chunk_t *chunk,
                     int row)
{
    int i;

    for (i = 0; i < report->filters_n; i++)
        if (chunk->value[report->filters[i].column][row] !=
            report->filters[i].key)
            return 0;
    return 1;
}

static apr_status_t grow_counts(report_t *report)
{
    apr_uint32_t count = (apr_uint32_t)mg_groups_count(report->groups);
    apr_uint32_t room = report->room, kind, i;
    apr_uint32_t **arrays[3], *grown;

    if (count <= room)
        return APR_SUCCESS;
    while (room < count)
        room = room ? room * 2 : 1024;
    for (kind = 0; kind < MG_CAMPAIGN_KINDS; kind++) {
        if (!(report->query->kinds & (1u << kind)))
            continue;
        arrays[0] = &report->totals[kind];
        arrays[1] = &report->unique_recipients[kind];
        arrays[2] = &report->unique_links[kind];
        for (i = 0; i < 3; i++) {
            grown = realloc(*arrays[i], room * sizeof(*grown));
            if (!grown)
                return APR_ENOMEM;
            *arrays[i] = grown;
            memset(grown + report->room, 0,
                   (room - report->room) * sizeof(*grown));
        }
    }
    report->room = room;
    return APR_SUCCESS;
}

static apr_status_t free_report(void *baton)
{
    report_t *report = baton;
    int kind;

    for (kind = 0; kind < MG_CAMPAIGN_KINDS; kind++) {
        free(report->totals[kind]);
        free(report->unique_recipients[kind]);
        free(report->unique_links[kind]);
    }
    free(report->group_of);
    free(report->keys);
    return APR_SUCCESS;
}

/* group_of[] of a chunk. */
static apr_status_t find_groups(report_t *report,
                                const mg_campaign_chunk_t *chunk,
                                mg_campaign_kind_t kind)
{
    int i;

    for (i = 0; i < chunk->rows; i++)
        report->group_of[i] = is_wanted(report, chunk, i) ? 0 : MG_NO_GROUP;
    return mg_groups_find(report->group_of, report->groups,
                          keys_of(report, chunk), chunk->rows, kind, chunk);
}

static apr_status_t make_room(report_t *report, int rows)
{
    if (report->chunk_room >= rows)
        return APR_SUCCESS;
    free(report->group_of);
    free(report->keys);
    report->group_of = malloc((apr_size_t)rows * sizeof(*report->group_of));
    report->keys = malloc((apr_size_t)rows * sizeof(*report->keys));
    report->chunk_room = report->group_of && report->keys ? rows : 0;
    return report->chunk_room ? APR_SUCCESS : APR_ENOMEM;
}

static apr_status_t count_chunk(report_t *report,
                                const mg_campaign_chunk_t *chunk,
                                mg_campaign_kind_t kind)
{
    apr_status_t rv;
    int i;

    rv = make_room(report, chunk->rows);
    if (rv == APR_SUCCESS)
        rv = find_groups(report, chunk, kind);
    if (rv == APR_SUCCESS)
        rv = grow_counts(report);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; i < chunk->rows; i++)
        if (report->group_of[i] != MG_NO_GROUP)
            report->totals[kind][report->group_of[i]]++;
    if (report->recipients[kind])
        rv = mg_set_add(report->unique_recipients[kind],
                        report->recipients[kind], report->group_of,
                          chunk->value[MG_COLUMN_RECIPIENT], chunk->rows);
    if (rv == APR_SUCCESS && report->links[kind])
        rv = mg_set_add(report->unique_links[kind], report->links[kind],
                        report->group_of, chunk->value[MG_COLUMN_LINK],
                          chunk->rows);
    return rv;
}

static apr_status_t count_kind(report_t *report, mg_db_t *db,
                               mg_campaign_kind_t kind)
{
    int chunk, is_click = kind == MG_CAMPAIGN_CLICKED ||
                          kind == MG_CAMPAIGN_CLICKED_MACHINE;
    unsigned columns, by = report->query->by;
    apr_uint32_t expected;
    mg_campaign_chunk_t rows;
    apr_status_t rv;

    rv = mg_scan_open(&report->scans[kind], db, report->query->campaign_id,
                      kind, report->pool);
    if (rv != APR_SUCCESS)
        return rv;
    expected = mg_scan_rows(report->scans[kind]);
    /* where rows are grouped by it, each group has one */
    if (report->query->unique & (1u << kind)) {
        if (!(by & MG_BY_RECIPIENT))
            report->recipients[kind] = mg_set_create(expected,
                                                    report->counting);
        if (is_click && !(by & MG_BY_LINK))
            report->links[kind] = mg_set_create(expected / 8,
                                               report->counting);
    }
    columns = columns_for(report, kind);
    for (chunk = 0; chunk < mg_scan_chunks(report->scans[kind]); chunk++) {
        rv = mg_scan_load(&rows, report->scans[kind], chunk, columns);
        if (rv == APR_SUCCESS && rows.rows)
            rv = count_chunk(report, &rows, kind);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return APR_SUCCESS;
}

/* the page */

static apr_uint64_t sum_of(const report_t *report, apr_uint32_t group)
{
    apr_uint64_t sum = 0;
    int kind;

    for (kind = 0; kind < MG_CAMPAIGN_KINDS; kind++)
        if (report->totals[kind])
            sum += report->totals[kind][group];
    return sum;
}

static int by_value(const void *a, const void *b)
{
    apr_uint64_t x = *(const apr_uint64_t *)a, y = *(const apr_uint64_t *)b;

    return x < y ? -1 : x > y;
}

static apr_status_t fill_group(mg_campaign_group_t *to, report_t *report,
                               apr_uint32_t group)
{
    apr_uint32_t row, seconds;
    int k;

    memset(to, 0, sizeof(*to));
    for (k = 0; k < MG_CAMPAIGN_KINDS; k++) {
        if (!report->totals[k])
            continue;
        to->total[k] = report->totals[k][group];
        to->recipients[k] = report->recipients[k]
                                ? report->unique_recipients[k][group]
                                : to->total[k] > 0;
        to->links[k] = report->links[k] ? report->unique_links[k][group]
                                        : to->total[k] > 0;
    }
    mg_groups_first(&to->first.kind, &row, &seconds, report->groups, group);
    to->first.created_at = apr_time_from_sec((apr_time_t)seconds);
    if (!(report->query->by & ~(unsigned)BY_TIMES))
        return APR_SUCCESS;
    return mg_scan_texts(&to->first, report->scans[to->first.kind], row,
                         report->pool);
}

static apr_status_t take_page(apr_array_header_t *list, report_t *report)
{
    apr_size_t n = (apr_size_t)mg_groups_count(report->groups), i, end;
    apr_size_t skip = (apr_size_t)report->query->skip;
    apr_uint64_t *order;
    apr_status_t rv = APR_SUCCESS;

    if (skip >= n || report->query->limit <= 0)
        return APR_SUCCESS;
    end = n - skip < (apr_size_t)report->query->limit
              ? n : skip + (apr_size_t)report->query->limit;
    order = malloc(n * sizeof(*order));
    if (!order)
        return APR_ENOMEM;
    for (i = 0; i < n; i++)
        order[i] = (0xffffffffu - sum_of(report, (apr_uint32_t)i)) << 32 | i;
    mg_campaign_select(order, n, skip);
    mg_campaign_select(order + skip, n - skip, end - skip);
    qsort(order + skip, end - skip, sizeof(*order), by_value);
    for (i = skip; i < end && rv == APR_SUCCESS; i++)
        rv = fill_group(apr_array_push(list), report,
                        (apr_uint32_t)(order[i] & 0xffffffffu));
    free(order);
    return rv;
}

/* --- so many at once ---
 *
 * A report of a million groups takes some 60 MB for a tenth of a second of a
 * core: those that come together stand in line, before they read anything. */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t one_is_done = PTHREAD_COND_INITIALIZER;
static int running;

static void enter(void)
{
    pthread_mutex_lock(&lock);
    while (running == MG_CAMPAIGN_REPORTS_MAX)
        pthread_cond_wait(&one_is_done, &lock);
    running++;
    pthread_mutex_unlock(&lock);
}

static void leave(void)
{
    pthread_mutex_lock(&lock);
    running--;
    pthread_cond_signal(&one_is_done);
    pthread_mutex_unlock(&lock);
}

static apr_status_t run(apr_array_header_t *list, report_t *report,
                        mg_db_t *db)
{
    apr_status_t rv = APR_SUCCESS;
    int kind;

    for (kind = 0; kind < MG_CAMPAIGN_KINDS && rv == APR_SUCCESS; kind++)
        if (report->query->kinds & (1u << kind))
            rv = count_kind(report, db, (mg_campaign_kind_t)kind);
    return rv == APR_SUCCESS ? take_page(list, report) : rv;
}

apr_status_t mg_campaign_report(apr_array_header_t **pgroups,
                                apr_int64_t *pcount, mg_db_t *db,
                                const mg_campaign_query_t *query,
                                apr_pool_t *p)
{
    report_t *report;
    apr_pool_t *pool;
    apr_status_t rv;
    int own;

    *pgroups = apr_array_make(p, 16, sizeof(mg_campaign_group_t));
    apr_pool_create(&pool, p); /* p's: the rows on the page stay */
    report = apr_pcalloc(pool, sizeof(*report));
    report->query = query;
    report->pool = pool;
    report->filters_n = mg_campaign_filters(report->filters, query);
    apr_pool_create(&report->counting, pool);
    report->groups = mg_groups_create(report->counting);
    apr_pool_cleanup_register(report->counting, report, free_report,
                              apr_pool_cleanup_null);
    enter();
    rv = mg_tx_join(db, MG_TX_READ, &own);
    if (rv == APR_SUCCESS)
        rv = mg_tx_leave(db, own, run(*pgroups, report, db));
    *pcount = mg_groups_count(report->groups);
    apr_pool_destroy(report->counting);
    leave();
    return rv;
}
