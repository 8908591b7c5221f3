/* mg_campaign_scan.h - events of one campaign and kind, column by column.
 *
 * Rows are numbered from 0 in the order in which they were kept: those of the
 * segments, then those that wait. Inside one read transaction, or rows that are
 * made a segment meanwhile are seen twice or not at all.
 */
#ifndef MG_CAMPAIGN_SCAN_H
#define MG_CAMPAIGN_SCAN_H

#include "mg_campaign_column.h"

/* Rows that are looked at together; what is loaded of them stays in a cache. */
#define MG_SCAN_SEGMENTS 64
#define MG_SCAN_ROWS (MG_SCAN_SEGMENTS * MG_CAMPAIGN_SEGMENT)

typedef struct mg_campaign_scan_t mg_campaign_scan_t;

/** A stretch of rows; columns that were not asked for are NULL. */
typedef struct {
    int rows;
    apr_uint32_t first;                /* number of the first row */
    const apr_uint64_t *value[MG_COLUMNS]; /* all but TIME, TEXT_END, TEXT */
    const apr_uint32_t *time;
} mg_campaign_chunk_t;

apr_status_t mg_scan_open(mg_campaign_scan_t **pscan, mg_db_t *db,
                          apr_int64_t campaign_id, mg_campaign_kind_t kind,
                          apr_pool_t *p);
apr_uint32_t mg_scan_rows(const mg_campaign_scan_t *scan);
/** Chunks; the last one is what waits (it may have no rows). */
int mg_scan_chunks(const mg_campaign_scan_t *scan);
/** How many rows a chunk has, and its largest id; without reading it. */
int mg_scan_chunk_rows(const mg_campaign_scan_t *scan, int chunk);
apr_int64_t mg_scan_chunk_last(const mg_campaign_scan_t *scan, int chunk);
/** @param columns  1 << mg_campaign_column_t
 *  *chunk is valid until the next load of this scan. */
apr_status_t mg_scan_load(mg_campaign_chunk_t *chunk, mg_campaign_scan_t *scan,
                          int number, unsigned columns);
/** The texts of one row alone: cheaper, the rest of *row stays. */
apr_status_t mg_scan_texts(mg_campaign_row_t *row, mg_campaign_scan_t *scan,
                           apr_uint32_t number, apr_pool_t *p);
/** One row with its texts. */
apr_status_t mg_scan_row(mg_campaign_row_t *row, mg_campaign_scan_t *scan,
                         apr_uint32_t number, apr_pool_t *p);

#endif
