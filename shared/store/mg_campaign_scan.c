/* mg_campaign_scan.c - events of one campaign and kind, column by column. */
#include <stdlib.h>
#include <string.h>

#include "mg_campaign_scan.h"
#include "mg_status.h"

/* More of them than this wait only where the keeper does not run. */
#define WAITING_MAX 1000000

typedef struct {
    apr_int64_t seq, last_id;
} segment_t;

struct mg_campaign_scan_t {
    mg_db_t *db;
    apr_pool_t *pool;
    apr_int64_t campaign_id;
    mg_campaign_kind_t kind;
    apr_array_header_t *segments;       /* of segment_t, by seq */
    apr_array_header_t *waiting;        /* of mg_campaign_row_t */
    void *buffer[MG_COLUMNS];           /* of the chunk that is loaded */
    apr_size_t buffer_rows[MG_COLUMNS];
    apr_int64_t row_seq;                /* whose numbers these are; -1: none */
    struct {
        apr_uint64_t id[MG_CAMPAIGN_SEGMENT], message[MG_CAMPAIGN_SEGMENT];
        apr_uint32_t time[MG_CAMPAIGN_SEGMENT], end[MG_CAMPAIGN_SEGMENT];
    } numbers;
};

static apr_status_t scan_free(void *baton)
{
    mg_campaign_scan_t *scan = baton;
    int i;

    for (i = 0; i < MG_COLUMNS; i++)
        free(scan->buffer[i]);
    return APR_SUCCESS;
}

static apr_status_t read_segments(mg_campaign_scan_t *scan)
{
    segment_t *segment;
    mg_stmt_t *stmt;
    apr_status_t rv;

    scan->segments = apr_array_make(scan->pool, 64, sizeof(segment_t));
    rv = mg_db_query(&stmt, scan->db,
                     "SELECT seq, last_id, rows FROM campaign_segment"
                     " WHERE campaign_id = $1 AND kind = $2 ORDER BY seq",
                     "ii", scan->campaign_id, (apr_int64_t)scan->kind);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        segment = apr_array_push(scan->segments);
        segment->seq = mg_stmt_int(stmt, 0);
        segment->last_id = mg_stmt_int(stmt, 1);
        if (mg_stmt_int(stmt, 2) != MG_CAMPAIGN_SEGMENT) {
            mg_stmt_done(stmt);
            return MG_EIO;
        }
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_scan_open(mg_campaign_scan_t **pscan, mg_db_t *db,
                          apr_int64_t campaign_id, mg_campaign_kind_t kind,
                          apr_pool_t *p)
{
    mg_campaign_scan_t *scan = apr_pcalloc(p, sizeof(*scan));
    apr_status_t rv;

    scan->db = db;
    scan->pool = p;
    scan->campaign_id = campaign_id;
    scan->kind = kind;
    scan->row_seq = -1;
    apr_pool_cleanup_register(p, scan, scan_free, apr_pool_cleanup_null);
    rv = read_segments(scan);
    if (rv == APR_SUCCESS)
        rv = mg_column_waiting(&scan->waiting, db, campaign_id, kind,
                               WAITING_MAX, p);
    *pscan = scan;
    return rv;
}

apr_uint32_t mg_scan_rows(const mg_campaign_scan_t *scan)
{
    return (apr_uint32_t)(scan->segments->nelts * MG_CAMPAIGN_SEGMENT +
                          scan->waiting->nelts);
}

/* segments of a chunk: from, and how many */
static int chunk_segments(const mg_campaign_scan_t *scan, int chunk)
{
    int left = scan->segments->nelts - chunk * MG_SCAN_SEGMENTS;

    return left < 0 ? 0 : left < MG_SCAN_SEGMENTS ? left : MG_SCAN_SEGMENTS;
}

int mg_scan_chunks(const mg_campaign_scan_t *scan)
{
    return (scan->segments->nelts + MG_SCAN_SEGMENTS - 1) / MG_SCAN_SEGMENTS +
           1;
}

static int is_last(const mg_campaign_scan_t *scan, int chunk)
{
    return chunk == mg_scan_chunks(scan) - 1;
}

int mg_scan_chunk_rows(const mg_campaign_scan_t *scan, int chunk)
{
    return is_last(scan, chunk)
               ? scan->waiting->nelts
               : chunk_segments(scan, chunk) * MG_CAMPAIGN_SEGMENT;
}

apr_int64_t mg_scan_chunk_last(const mg_campaign_scan_t *scan, int chunk)
{
    apr_int64_t last = 0;
    int i, from = chunk * MG_SCAN_SEGMENTS;

    if (is_last(scan, chunk))
        return APR_INT64_MAX;
    for (i = from; i < from + chunk_segments(scan, chunk); i++)
        if (APR_ARRAY_IDX(scan->segments, i, segment_t).last_id > last)
            last = APR_ARRAY_IDX(scan->segments, i, segment_t).last_id;
    return last;
}

/* loading */

static apr_status_t make_buffer(mg_campaign_scan_t *scan,
                                mg_campaign_column_t column, int rows)
{
    apr_size_t width = mg_column_width(column);

    if (scan->buffer_rows[column] < (apr_size_t)rows) {
        free(scan->buffer[column]);
        scan->buffer_rows[column] = 0;
        scan->buffer[column] = malloc((apr_size_t)rows * width);
        if (!scan->buffer[column])
            return APR_ENOMEM;
        scan->buffer_rows[column] = (apr_size_t)rows;
    }
    return APR_SUCCESS;
}

/* Stored little-endian; on a machine that is not, turned round. */
static void to_host(void *values, apr_size_t width, apr_size_t n)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    apr_size_t i;

    for (i = 0; i < n; i++)
        if (width == 4)
            ((apr_uint32_t *)values)[i] =
                __builtin_bswap32(((apr_uint32_t *)values)[i]);
        else
            ((apr_uint64_t *)values)[i] =
                __builtin_bswap64(((apr_uint64_t *)values)[i]);
#else
    (void)values;
    (void)width;
    (void)n;
#endif
}

/* Blobs come by seq; a segment without one is empty in that column. */
static apr_status_t load_column(mg_campaign_scan_t *scan, int from, int n,
                                mg_campaign_column_t column)
{
    const segment_t *segments = (const segment_t *)scan->segments->elts + from;
    apr_size_t width = mg_column_width(column), len;
    apr_size_t size = MG_CAMPAIGN_SEGMENT * width;
    char *to = scan->buffer[column];
    const void *bytes;
    mg_stmt_t *stmt;
    apr_status_t rv;
    int i = 0;

    rv = mg_db_query(&stmt, scan->db,
                     "SELECT seq, bytes FROM campaign_column"
                     " WHERE campaign_id = $1 AND kind = $2 AND name = $3"
                     " AND seq >= $4 AND seq <= $5 ORDER BY seq", "iiiii",
                     scan->campaign_id, (apr_int64_t)scan->kind,
                     (apr_int64_t)column, segments[0].seq,
                     segments[n - 1].seq);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        while (i < n && segments[i].seq < mg_stmt_int(stmt, 0))
            memset(to + (apr_size_t)i++ * size, 0, size);
        bytes = mg_stmt_blob(stmt, 1, &len, NULL);
        if (i == n || segments[i].seq != mg_stmt_int(stmt, 0) || len != size) {
            mg_stmt_done(stmt);
            return MG_EIO;
        }
        memcpy(to + (apr_size_t)i++ * size, bytes, size);
    }
    memset(to + (apr_size_t)i * size, 0, (apr_size_t)(n - i) * size);
    to_host(to, width, (apr_size_t)n * MG_CAMPAIGN_SEGMENT);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static apr_status_t load_waiting(mg_campaign_scan_t *scan,
                                 mg_campaign_column_t column)
{
    apr_pool_t *ptemp;
    const void *bytes;
    apr_size_t len;

    apr_pool_create(&ptemp, scan->pool);
    bytes = mg_column_make(&len, column, scan->waiting, ptemp);
    if (len)
        memcpy(scan->buffer[column], bytes, len);
    else
        memset(scan->buffer[column], 0, (apr_size_t)scan->waiting->nelts *
                                            mg_column_width(column));
    apr_pool_destroy(ptemp);
    to_host(scan->buffer[column], mg_column_width(column),
            (apr_size_t)scan->waiting->nelts);
    return APR_SUCCESS;
}

apr_status_t mg_scan_load(mg_campaign_chunk_t *chunk, mg_campaign_scan_t *scan,
                          int number, unsigned columns)
{
    int column, n = chunk_segments(scan, number);
    int from = number * MG_SCAN_SEGMENTS;
    apr_status_t rv = APR_SUCCESS;

    memset(chunk, 0, sizeof(*chunk));
    chunk->rows = mg_scan_chunk_rows(scan, number);
    chunk->first = (apr_uint32_t)(is_last(scan, number)
                                      ? scan->segments->nelts
                                      : from) * MG_CAMPAIGN_SEGMENT;
    if (!chunk->rows)
        return APR_SUCCESS;
    for (column = 0; column < MG_COLUMNS && rv == APR_SUCCESS; column++) {
        if (!(columns & (1u << column)))
            continue;
        rv = make_buffer(scan, (mg_campaign_column_t)column, chunk->rows);
        if (rv == APR_SUCCESS && is_last(scan, number))
            rv = load_waiting(scan, (mg_campaign_column_t)column);
        else if (rv == APR_SUCCESS)
            rv = load_column(scan, from, n, (mg_campaign_column_t)column);
        if (column == MG_COLUMN_TIME)
            chunk->time = scan->buffer[column];
        else
            chunk->value[column] = scan->buffer[column];
    }
    return rv;
}

/* one row */

/* The columns of numbers of one segment; rows that are asked for one after the
 * other are mostly of the same. */
static apr_status_t read_numbers(mg_campaign_scan_t *scan, apr_int64_t seq)
{
    apr_size_t len, width;
    const void *bytes;
    mg_stmt_t *stmt;
    apr_status_t rv;
    int column;

    if (scan->row_seq == seq)
        return APR_SUCCESS;
    scan->row_seq = -1;
    memset(&scan->numbers, 0, sizeof(scan->numbers));
    rv = mg_db_query(&stmt, scan->db,
                     "SELECT name, bytes FROM campaign_column"
                     " WHERE campaign_id = $1 AND kind = $2"
                     " AND name IN (0, 1, 2, 9) AND seq = $3", "iii",
                     scan->campaign_id, (apr_int64_t)scan->kind, seq);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        column = (int)mg_stmt_int(stmt, 0);
        width = mg_column_width((mg_campaign_column_t)column);
        bytes = mg_stmt_blob(stmt, 1, &len, NULL);
        if (len != width * MG_CAMPAIGN_SEGMENT) {
            mg_stmt_done(stmt);
            return MG_EIO;
        }
        memcpy(column == MG_COLUMN_ID        ? (void *)scan->numbers.id
               : column == MG_COLUMN_TIME    ? (void *)scan->numbers.time
               : column == MG_COLUMN_MESSAGE ? (void *)scan->numbers.message
                                             : (void *)scan->numbers.end,
               bytes, len);
    }
    if (rv != APR_EOF)
        return rv;
    to_host(scan->numbers.id, 8, MG_CAMPAIGN_SEGMENT);
    to_host(scan->numbers.time, 4, MG_CAMPAIGN_SEGMENT);
    to_host(scan->numbers.message, 8, MG_CAMPAIGN_SEGMENT);
    to_host(scan->numbers.end, 4, MG_CAMPAIGN_SEGMENT);
    scan->row_seq = seq;
    return APR_SUCCESS;
}

static apr_status_t read_bytes(const unsigned char **pbytes, apr_size_t *plen,
                               mg_campaign_scan_t *scan, apr_int64_t seq,
                               mg_campaign_column_t column, apr_int64_t from,
                               apr_int64_t len, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, scan->db,
                     "SELECT substr(bytes, CAST($1 AS INTEGER),"
                     " CAST($2 AS INTEGER)) FROM campaign_column"
                     " WHERE campaign_id = $3 AND kind = $4 AND name = $5"
                     " AND seq = $6", "iiiiii", from + 1, len,
                     scan->campaign_id, (apr_int64_t)scan->kind,
                     (apr_int64_t)column, seq);
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? MG_EIO : rv;
    *pbytes = mg_stmt_blob(stmt, 0, plen, p);
    mg_stmt_done(stmt);
    return *plen == (apr_size_t)len ? APR_SUCCESS : MG_EIO;
}

/* Where a row's text begins and ends. */
static apr_status_t read_ends(apr_uint32_t ends[2], mg_campaign_scan_t *scan,
                              apr_int64_t seq, int index, apr_pool_t *p)
{
    const unsigned char *bytes;
    apr_size_t len;
    apr_status_t rv;
    int n = index ? 2 : 1;

    ends[0] = 0;
    if (scan->row_seq == seq) {
        ends[0] = index ? scan->numbers.end[index - 1] : 0;
        ends[1] = scan->numbers.end[index];
        return APR_SUCCESS;
    }
    rv = read_bytes(&bytes, &len, scan, seq, MG_COLUMN_TEXT_END,
                    4 * (apr_int64_t)(index + 1 - n), 4 * n, p);
    if (rv == APR_SUCCESS) {
        memcpy(&ends[2 - n], bytes, len);
        to_host(&ends[2 - n], 4, (apr_size_t)n);
    }
    return rv;
}

static apr_status_t read_text(mg_campaign_row_t *row, mg_campaign_scan_t *scan,
                              apr_int64_t seq, int index, apr_pool_t *p)
{
    const unsigned char *bytes;
    apr_uint32_t ends[2];
    apr_size_t len;
    apr_status_t rv;

    rv = read_ends(ends, scan, seq, index, p);
    if (rv == APR_SUCCESS && ends[1] <= ends[0])
        rv = MG_EIO;
    if (rv == APR_SUCCESS)
        rv = read_bytes(&bytes, &len, scan, seq, MG_COLUMN_TEXT, ends[0],
                        ends[1] - ends[0], p);
    return rv == APR_SUCCESS
               ? mg_column_text(row, (const char *)bytes, len, p) : rv;
}

static void find_row(apr_int64_t *pseq, int *pindex,
                             const mg_campaign_row_t **pwaiting,
                             const mg_campaign_scan_t *scan,
                             apr_uint32_t number)
{
    apr_uint32_t kept = (apr_uint32_t)scan->segments->nelts *
                        MG_CAMPAIGN_SEGMENT;

    *pwaiting = NULL;
    *pindex = (int)(number % MG_CAMPAIGN_SEGMENT);
    if (number >= kept)
        *pwaiting = &APR_ARRAY_IDX(scan->waiting, (int)(number - kept),
                                   mg_campaign_row_t);
    else
        *pseq = APR_ARRAY_IDX(scan->segments,
                              (int)(number / MG_CAMPAIGN_SEGMENT),
                              segment_t).seq;
}

apr_status_t mg_scan_texts(mg_campaign_row_t *row, mg_campaign_scan_t *scan,
                           apr_uint32_t number, apr_pool_t *p)
{
    const mg_campaign_row_t *waiting;
    apr_time_t created_at = row->created_at;
    apr_int64_t seq = 0;
    int index;

    find_row(&seq, &index, &waiting, scan, number);
    if (!waiting)
        return read_text(row, scan, seq, index, p);
    *row = *waiting;
    row->created_at = created_at;
    return APR_SUCCESS;
}

apr_status_t mg_scan_row(mg_campaign_row_t *row, mg_campaign_scan_t *scan,
                         apr_uint32_t number, apr_pool_t *p)
{
    const mg_campaign_row_t *waiting;
    apr_int64_t seq = 0;
    apr_status_t rv;
    int index;

    memset(row, 0, sizeof(*row));
    find_row(&seq, &index, &waiting, scan, number);
    if (waiting) {
        *row = *waiting;
        return APR_SUCCESS;
    }
    rv = read_numbers(scan, seq);
    if (rv == APR_SUCCESS)
        rv = read_text(row, scan, seq, index, p);
    if (rv != APR_SUCCESS)
        return rv;
    row->kind = scan->kind;
    row->id = (apr_int64_t)scan->numbers.id[index];
    row->message_id = (apr_int64_t)scan->numbers.message[index];
    row->created_at =
        apr_time_from_sec((apr_time_t)scan->numbers.time[index]);
    return APR_SUCCESS;
}
