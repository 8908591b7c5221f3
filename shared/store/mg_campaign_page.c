/* mg_campaign_page.c - events of a campaign, one by one, newest first. */
#include <stdlib.h>
#include <string.h>

#include "mg_campaign_report.h"
#include "mg_campaign_scan.h"
#include "mg_status.h"
#include "mg_tx.h"

#define HITS_MIN 4096

typedef struct {
    apr_int64_t id;
    apr_uint32_t row, kind;
} hit_t;

typedef struct {
    const mg_campaign_query_t *query;
    mg_campaign_filter_t filters[MG_CAMPAIGN_FILTERS];
    int filters_n;
    mg_campaign_scan_t *scans[MG_CAMPAIGN_KINDS];
    apr_pool_t *pool;
    apr_int64_t count;            /* matches, where they are counted */
    hit_t *hits;                  /* room for 2 * keep */
    apr_size_t n, keep;           /* keep: what the page ends behind */
    apr_int64_t oldest;           /* no row up to here is on the page */
} page_t;

static unsigned filter_columns(const page_t *page)
{
    unsigned columns = 0;
    int i;

    for (i = 0; i < page->filters_n; i++)
        columns |= 1u << page->filters[i].column;
    return columns;
}

static int is_wanted(const page_t *page, const mg_campaign_chunk_t *chunk,
                     int row)
{
    int i;

    for (i = 0; i < page->filters_n; i++)
        if (chunk->value[page->filters[i].column][row] != page->filters[i].key)
            return 0;
    return 1;
}

/* counting */

static apr_status_t count_kind(page_t *page, mg_db_t *db,
                               mg_campaign_kind_t kind)
{
    mg_campaign_scan_t *scan;
    mg_campaign_chunk_t rows;
    apr_status_t rv;
    int chunk, i;

    rv = mg_scan_open(&scan, db, page->query->campaign_id, kind, page->pool);
    if (rv != APR_SUCCESS)
        return rv;
    if (!page->filters_n) {
        page->count += mg_scan_rows(scan);
        return APR_SUCCESS;
    }
    for (chunk = 0; chunk < mg_scan_chunks(scan); chunk++) {
        rv = mg_scan_load(&rows, scan, chunk, filter_columns(page));
        if (rv != APR_SUCCESS)
            return rv;
        for (i = 0; i < rows.rows; i++)
            page->count += is_wanted(page, &rows, i);
    }
    return APR_SUCCESS;
}

static page_t *page_create(const mg_campaign_query_t *query, apr_pool_t *p)
{
    page_t *page = apr_pcalloc(p, sizeof(*page));

    page->query = query;
    page->pool = p;
    page->filters_n = mg_campaign_filters(page->filters, query);
    return page;
}

typedef apr_status_t kind_fn(page_t *page, mg_db_t *db,
                             mg_campaign_kind_t kind);

static apr_status_t each_kind(page_t *page, mg_db_t *db, kind_fn *fn)
{
    apr_status_t rv = APR_SUCCESS;
    int kind;

    for (kind = 0; kind < MG_CAMPAIGN_KINDS && rv == APR_SUCCESS; kind++)
        if (page->query->kinds & (1u << kind))
            rv = fn(page, db, (mg_campaign_kind_t)kind);
    return rv;
}

apr_status_t mg_campaign_events_count(apr_int64_t *pcount, mg_db_t *db,
                                      const mg_campaign_query_t *query,
                                      apr_pool_t *p)
{
    page_t *page = page_create(query, p);
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_READ, &own);
    if (rv == APR_SUCCESS)
        rv = mg_tx_leave(db, own, each_kind(page, db, count_kind));
    *pcount = page->count;
    return rv;
}

/* the page: the newest of all that match are kept, twice as many as it takes,
 * then the older half goes; chunks that are older than all of these are not
 * read */

static int newest_first(const void *a, const void *b)
{
    const hit_t *x = a, *y = b;

    return x->id > y->id ? -1 : x->id < y->id;
}

/* The newest keep of them, in no order. */
static apr_status_t drop_older(page_t *page)
{
    apr_uint64_t *ids = malloc(page->n * sizeof(*ids)), bound;
    apr_size_t i, n = 0;

    if (!ids)
        return APR_ENOMEM;
    for (i = 0; i < page->n; i++)
        ids[i] = ~(apr_uint64_t)page->hits[i].id;
    mg_campaign_select(ids, page->n, page->keep - 1);
    bound = ~ids[page->keep - 1];
    free(ids);
    for (i = 0; i < page->n; i++)
        if (page->hits[i].id >= (apr_int64_t)bound)
            page->hits[n++] = page->hits[i];
    page->n = n;
    page->oldest = (apr_int64_t)bound;
    return APR_SUCCESS;
}

static apr_status_t take_rows(page_t *page, mg_campaign_kind_t kind,
                              int number)
{
    mg_campaign_chunk_t chunk;
    apr_status_t rv;
    const apr_uint64_t *ids;
    hit_t *hit;
    int i;

    rv = mg_scan_load(&chunk, page->scans[kind], number,
                      filter_columns(page) | 1u << MG_COLUMN_ID);
    ids = chunk.value[MG_COLUMN_ID];
    for (i = chunk.rows - 1; i >= 0 && rv == APR_SUCCESS; i--) {
        if ((apr_int64_t)ids[i] <= page->oldest ||
            !is_wanted(page, &chunk, i))
            continue;
        hit = &page->hits[page->n++];
        hit->id = (apr_int64_t)ids[i];
        hit->row = chunk.first + (apr_uint32_t)i;
        hit->kind = kind;
        if (page->n == 2 * page->keep)
            rv = drop_older(page);
    }
    return rv;
}

static apr_status_t take_kind(page_t *page, mg_db_t *db,
                              mg_campaign_kind_t kind)
{
    int chunk;
    apr_status_t rv;

    rv = mg_scan_open(&page->scans[kind], db, page->query->campaign_id, kind,
                      page->pool);
    if (rv != APR_SUCCESS)
        return rv;
    for (chunk = mg_scan_chunks(page->scans[kind]) - 1;
         chunk >= 0 && rv == APR_SUCCESS; chunk--)
        if (mg_scan_chunk_last(page->scans[kind], chunk) > page->oldest)
            rv = take_rows(page, kind, chunk);
    return rv;
}

/* Those of the page alone, in order. */
static apr_status_t cut_page(page_t *page)
{
    apr_uint64_t *ids = malloc(page->n * sizeof(*ids)), first, last;
    apr_size_t i, n = 0, skip = (apr_size_t)page->query->skip;
    apr_size_t limit = (apr_size_t)page->query->limit;

    if (!ids)
        return APR_ENOMEM;
    if (limit > page->n - skip)
        limit = page->n - skip;
    for (i = 0; i < page->n; i++)
        ids[i] = ~(apr_uint64_t)page->hits[i].id;
    mg_campaign_select(ids, page->n, skip);
    mg_campaign_select(ids + skip, page->n - skip, limit);
    first = last = ids[skip];
    for (i = skip; i < skip + limit; i++) {
        first = ids[i] < first ? ids[i] : first;
        last = ids[i] > last ? ids[i] : last;
    }
    free(ids);
    for (i = 0; i < page->n; i++)
        if (~(apr_uint64_t)page->hits[i].id >= first &&
            ~(apr_uint64_t)page->hits[i].id <= last)
            page->hits[n++] = page->hits[i];
    page->n = n;
    qsort(page->hits, n, sizeof(*page->hits), newest_first);
    return APR_SUCCESS;
}

static apr_status_t fill_page(apr_array_header_t *list, page_t *page)
{
    apr_status_t rv;
    apr_size_t i;

    if (page->n <= (apr_size_t)page->query->skip)
        return APR_SUCCESS;
    rv = cut_page(page);
    for (i = 0; i < page->n && rv == APR_SUCCESS; i++)
        rv = mg_scan_row(apr_array_push(list),
                         page->scans[page->hits[i].kind], page->hits[i].row,
                         page->pool);
    return rv;
}

static apr_status_t run(apr_array_header_t *list, page_t *page, mg_db_t *db)
{
    apr_status_t rv = each_kind(page, db, take_kind);

    return rv == APR_SUCCESS ? fill_page(list, page) : rv;
}

apr_status_t mg_campaign_events(apr_array_header_t **prows, mg_db_t *db,
                                const mg_campaign_query_t *query,
                                apr_pool_t *p)
{
    page_t *page = page_create(query, p);
    apr_status_t rv;
    int own;

    *prows = apr_array_make(p, 16, sizeof(mg_campaign_row_t));
    if (query->limit <= 0)
        return APR_SUCCESS;
    if (query->skip + query->limit > MG_CAMPAIGN_PAGES_MAX)
        return MG_ELIMIT;
    page->keep = (apr_size_t)(query->skip + query->limit);
    if (page->keep < HITS_MIN)
        page->keep = HITS_MIN;
    page->hits = malloc(2 * page->keep * sizeof(*page->hits));
    if (!page->hits)
        return APR_ENOMEM;
    rv = mg_tx_join(db, MG_TX_READ, &own);
    if (rv == APR_SUCCESS)
        rv = mg_tx_leave(db, own, run(*prows, page, db));
    free(page->hits);
    return rv;
}
