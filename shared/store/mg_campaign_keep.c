/* mg_campaign_keep.c - what the keeper does for campaigns: counters folded,
 * segments made, what is deleted or old removed. */
#include <string.h>

#include "mg_campaign_column.h"
#include "mg_id.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_tx.h"

/* A transaction that began before the campaign was deleted may still add rows
 * to it. */
#define GONE_FOR apr_time_from_sec(600)
#define CLEAR_ROWS 1000       /* of campaign_event, in one step */
#define CLEAR_SEGMENTS 4
#define EXPIRE_CAMPAIGNS 50

/* folding */

typedef struct {
    apr_int64_t campaign_id, kind, slot, n, waiting;
} count_t;

static apr_status_t fold_find(apr_array_header_t *rows, mg_db_t *db,
                              const mg_campaign_cursor_t *cursor, int limit)
{
    mg_stmt_t *stmt;
    count_t *row;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db,
                     "SELECT campaign_id, kind, slot, n, waiting"
                     " FROM campaign_count WHERE slot <> 0"
                     " AND (campaign_id, kind, slot) > ($1, $2, $3)"
                     " ORDER BY campaign_id, kind, slot LIMIT $4", "iiii",
                     cursor->campaign_id, cursor->kind, cursor->slot,
                     (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        row = apr_array_push(rows);
        row->campaign_id = mg_stmt_int(stmt, 0);
        row->kind = mg_stmt_int(stmt, 1);
        row->slot = mg_stmt_int(stmt, 2);
        row->n = mg_stmt_int(stmt, 3);
        row->waiting = mg_stmt_int(stmt, 4);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static apr_status_t count_add(mg_db_t *db, apr_int64_t campaign_id,
                              apr_int64_t kind, apr_int64_t n,
                              apr_int64_t waiting)
{
    return mg_db_exec(db, NULL,
                      "INSERT INTO campaign_count (campaign_id, kind, slot, n,"
                      " waiting) VALUES ($1, $2, 0, $3, $4)"
                      " ON CONFLICT (campaign_id, kind, slot) DO UPDATE SET"
                      " n = campaign_count.n + excluded.n,"
                      " waiting = campaign_count.waiting + excluded.waiting",
                      "iiii", campaign_id, kind, n, waiting);
}

/* A writer that added meanwhile changed n: then the row is left for the next
 * round. */
static apr_status_t fold_row(mg_db_t *db, const count_t *row)
{
    apr_int64_t gone = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &gone, "DELETE FROM campaign_count"
                    " WHERE campaign_id = $1 AND kind = $2 AND slot = $3"
                    " AND n = $4", "iiii", row->campaign_id, row->kind,
                    row->slot, row->n);
    if (rv != APR_SUCCESS || !gone)
        return rv;
    return count_add(db, row->campaign_id, row->kind, row->n, row->waiting);
}

apr_status_t mg_campaign_fold(int *pmore, mg_db_t *db,
                              mg_campaign_cursor_t *cursor, int limit,
                              apr_pool_t *ptemp)
{
    apr_array_header_t *rows = apr_array_make(ptemp, 64, sizeof(count_t));
    apr_status_t rv = fold_find(rows, db, cursor, limit);
    const count_t *last;
    int i, own;

    *pmore = rows->nelts == limit;
    if (!*pmore)
        memset(cursor, 0, sizeof(*cursor));
    if (rv != APR_SUCCESS || !rows->nelts)
        return rv;
    if (*pmore) {
        last = &APR_ARRAY_IDX(rows, rows->nelts - 1, count_t);
        cursor->campaign_id = last->campaign_id;
        cursor->kind = last->kind;
        cursor->slot = last->slot;
    }
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    mg_tx_lazy(db);
    for (i = 0; rv == APR_SUCCESS && i < rows->nelts; i++)
        rv = fold_row(db, &APR_ARRAY_IDX(rows, i, count_t));
    return mg_tx_leave(db, own, rv);
}

/* segments */

typedef struct {
    apr_int64_t campaign_id, kind, seq;
    const apr_array_header_t *rows;
    const void *bytes[MG_COLUMNS];
    apr_size_t len[MG_COLUMNS];
} segment_t;

static apr_status_t pack_find(segment_t *segment, mg_db_t *db)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db,
                     "SELECT campaign_id, kind FROM campaign_count"
                     " WHERE slot = 0 AND waiting >= 1000 LIMIT 1", "");
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv;
    segment->campaign_id = mg_stmt_int(stmt, 0);
    segment->kind = mg_stmt_int(stmt, 1);
    mg_stmt_done(stmt);
    segment->seq = 0;
    return mg_db_get_int(db, &segment->seq,
                         "SELECT COALESCE(MAX(seq), 0) + 1"
                         " FROM campaign_segment WHERE campaign_id = $1"
                         " AND kind = $2", "ii", segment->campaign_id,
                         segment->kind);
}

static const mg_campaign_row_t *row_at(const segment_t *segment, int i)
{
    return &APR_ARRAY_IDX(segment->rows, i, mg_campaign_row_t);
}

/* Exactly the rows that were read leave. Where a transaction that had drawn a
 * lower id committed meanwhile (PostgreSQL), another number of them is there:
 * all is undone and done again. */
static apr_status_t pack_remove(mg_db_t *db, const segment_t *segment)
{
    int n = segment->rows->nelts;
    apr_int64_t gone = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &gone, "DELETE FROM campaign_event"
                    " WHERE campaign_id = $1 AND kind = $2 AND id >= $3"
                    " AND id <= $4", "iiii", segment->campaign_id,
                    segment->kind, row_at(segment, 0)->id,
                    row_at(segment, n - 1)->id);
    if (rv == APR_SUCCESS && gone != n)
        return MG_EBUSY;
    return rv != APR_SUCCESS ? rv
                             : count_add(db, segment->campaign_id,
                                         segment->kind, 0, -n);
}

static apr_status_t pack_write(mg_db_t *db, const segment_t *segment)
{
    int i, n = segment->rows->nelts;
    apr_status_t rv;

    rv = mg_db_exec(db, NULL,
                    "INSERT INTO campaign_segment (campaign_id, kind, seq,"
                    " rows, first_id, last_id) VALUES ($1, $2, $3, $4, $5,"
                    " $6)", "iiiiii", segment->campaign_id, segment->kind,
                    segment->seq, (apr_int64_t)n, row_at(segment, 0)->id,
                    row_at(segment, n - 1)->id);
    for (i = 0; i < MG_COLUMNS && rv == APR_SUCCESS; i++)
        if (segment->len[i])
            rv = mg_db_exec(db, NULL,
                            "INSERT INTO campaign_column (campaign_id, kind,"
                            " name, seq, bytes) VALUES ($1, $2, $3, $4, $5)",
                            "iiiib", segment->campaign_id, segment->kind,
                            (apr_int64_t)i, segment->seq, segment->bytes[i],
                            segment->len[i]);
    return rv == APR_SUCCESS ? pack_remove(db, segment) : rv;
}

/* The counter was wrong, say after a repair: what waits is what is there. */
static apr_status_t count_again(mg_db_t *db, const segment_t *segment)
{
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, NULL,
                    "UPDATE campaign_count SET waiting = (SELECT COUNT(*)"
                    " FROM campaign_event e WHERE e.campaign_id = $1"
                    " AND e.kind = $2) - (SELECT"
                    " CAST(COALESCE(SUM(c.waiting), 0) AS BIGINT)"
                    " FROM campaign_count c WHERE c.campaign_id = $1"
                    " AND c.kind = $2 AND c.slot <> 0)"
                    " WHERE campaign_id = $1 AND kind = $2 AND slot = 0",
                    "ii", segment->campaign_id, segment->kind);
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_campaign_pack(int *pmore, mg_db_t *db, apr_pool_t *ptemp)
{
    apr_array_header_t *rows;
    segment_t segment;
    apr_status_t rv;
    int i, own;

    *pmore = 0;
    rv = pack_find(&segment, db);
    if (rv == APR_SUCCESS)
        rv = mg_column_waiting(&rows, db, segment.campaign_id,
                               (mg_campaign_kind_t)segment.kind,
                               MG_CAMPAIGN_SEGMENT, ptemp);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_SUCCESS : rv;
    *pmore = 1;
    if (rows->nelts < MG_CAMPAIGN_SEGMENT)
        return count_again(db, &segment);
    segment.rows = rows;
    for (i = 0; i < MG_COLUMNS; i++)
        segment.bytes[i] = mg_column_make(&segment.len[i],
                                          (mg_campaign_column_t)i, rows,
                                          ptemp);
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    mg_tx_lazy(db);
    return mg_tx_leave(db, own, pack_write(db, &segment));
}

/* removing */

static apr_status_t remove_segment(mg_db_t *db, apr_int64_t campaign_id,
                                   apr_int64_t kind, apr_int64_t seq)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < MG_COLUMNS && rv == APR_SUCCESS; i++)
        rv = mg_db_exec(db, NULL, "DELETE FROM campaign_column"
                        " WHERE campaign_id = $1 AND kind = $2 AND name = $3"
                        " AND seq = $4", "iiii", campaign_id, kind,
                        (apr_int64_t)i, seq);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM campaign_segment"
                        " WHERE campaign_id = $1 AND kind = $2 AND seq = $3",
                        "iii", campaign_id, kind, seq);
    return rv;
}

typedef struct {
    apr_int64_t campaign_id, kind, seq;
} segment_id_t;

static apr_status_t read_segment_ids(apr_array_header_t *ids, mg_stmt_t *stmt)
{
    segment_id_t *id;
    apr_status_t rv;

    while ((rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        id = apr_array_push(ids);
        id->campaign_id = mg_stmt_int(stmt, 0);
        id->kind = mg_stmt_int(stmt, 1);
        id->seq = mg_stmt_int(stmt, 2);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static apr_status_t remove_segments(mg_db_t *db, const apr_array_header_t *ids)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < ids->nelts && rv == APR_SUCCESS; i++) {
        const segment_id_t *id = &APR_ARRAY_IDX(ids, i, segment_id_t);

        rv = remove_segment(db, id->campaign_id, id->kind, id->seq);
    }
    return rv;
}

/* Events that wait, then segments, then counters. */
static apr_status_t clear_slice(int *pmore, mg_db_t *db, apr_int64_t id,
                                apr_pool_t *p)
{
    apr_array_header_t *ids = apr_array_make(p, CLEAR_SEGMENTS,
                                             sizeof(segment_id_t));
    apr_int64_t n = 0, counts = 0;
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_exec(db, &n, "DELETE FROM campaign_event"
                    " WHERE (campaign_id, kind, id) IN (SELECT campaign_id,"
                    " kind, id FROM campaign_event WHERE campaign_id = $1"
                    " LIMIT $2)", "ii", id, (apr_int64_t)CLEAR_ROWS);
    *pmore = n > 0;
    if (rv != APR_SUCCESS || *pmore)
        return rv;
    rv = mg_db_query(&stmt, db, "SELECT campaign_id, kind, seq"
                     " FROM campaign_segment WHERE campaign_id = $1 LIMIT $2",
                     "ii", id, (apr_int64_t)CLEAR_SEGMENTS);
    if (rv == APR_SUCCESS)
        rv = read_segment_ids(ids, stmt);
    if (rv == APR_SUCCESS)
        rv = remove_segments(db, ids);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, &counts, "DELETE FROM campaign_count"
                        " WHERE campaign_id = $1", "i", id);
    *pmore = ids->nelts > 0 || counts > 0;
    return rv;
}

apr_status_t mg_campaign_clear(int *pmore, mg_db_t *db, apr_pool_t *ptemp)
{
    apr_int64_t id, gone_at = 0;
    apr_status_t rv;
    int own;

    *pmore = 0;
    rv = mg_db_get_int(db, &id, "SELECT campaign_id FROM campaign_gone"
                       " WHERE cleared_at < $1 ORDER BY cleared_at LIMIT 1",
                       "i", (apr_int64_t)(mg_now() - GONE_FOR));
    if (rv != APR_SUCCESS)
        return rv == APR_ENOENT ? APR_SUCCESS : rv;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    mg_tx_lazy(db);
    rv = clear_slice(pmore, db, id, ptemp);
    if (rv == APR_SUCCESS && !*pmore)
        rv = mg_db_get_int(db, &gone_at, "SELECT gone_at FROM campaign_gone"
                           " WHERE campaign_id = $1", "i", id);
    if (rv == APR_SUCCESS && !*pmore && gone_at < mg_now() - GONE_FOR)
        rv = mg_db_exec(db, NULL, "DELETE FROM campaign_gone"
                        " WHERE campaign_id = $1", "i", id);
    else if (rv == APR_SUCCESS && !*pmore)
        rv = mg_db_exec(db, NULL, "UPDATE campaign_gone SET cleared_at = $1"
                        " WHERE campaign_id = $2", "ii",
                        (apr_int64_t)mg_now(), id);
    *pmore = 1;
    return mg_tx_leave(db, own, rv);
}

/* retention */

static apr_status_t expire_segments(int *pmore, mg_db_t *db, int kind,
                                    apr_int64_t floor, apr_pool_t *p)
{
    apr_array_header_t *ids = apr_array_make(p, CLEAR_SEGMENTS,
                                             sizeof(segment_id_t));
    mg_stmt_t *stmt;
    apr_status_t rv;
    int own;

    rv = mg_db_query(&stmt, db, "SELECT campaign_id, kind, seq"
                     " FROM campaign_segment WHERE kind = $1 AND last_id < $2"
                     " LIMIT $3", "iii", (apr_int64_t)kind, floor,
                     (apr_int64_t)CLEAR_SEGMENTS);
    if (rv == APR_SUCCESS)
        rv = read_segment_ids(ids, stmt);
    if (rv != APR_SUCCESS || !ids->nelts)
        return rv;
    *pmore = 1;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    mg_tx_lazy(db);
    return mg_tx_leave(db, own, remove_segments(db, ids));
}

static apr_status_t campaigns_from(apr_array_header_t *ids, mg_db_t *db,
                                   apr_int64_t after)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db, "SELECT id FROM campaign WHERE id > $1"
                     " ORDER BY id LIMIT $2", "ii", after,
                     (apr_int64_t)EXPIRE_CAMPAIGNS);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(ids, apr_int64_t) = mg_stmt_int(stmt, 0);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* Of what waits less than a segment's rows are there, or it is soon made one. */
static apr_status_t expire_waiting(mg_db_t *db, apr_int64_t campaign_id,
                                   int kind, apr_int64_t floor)
{
    apr_int64_t found, n = 0;
    apr_status_t rv;
    int own;

    rv = mg_db_get_int(db, &found, "SELECT 1 FROM campaign_event"
                       " WHERE campaign_id = $1 AND kind = $2 AND id < $3"
                       " LIMIT 1", "iii", campaign_id, (apr_int64_t)kind,
                       floor);
    if (rv != APR_SUCCESS)
        return rv == APR_ENOENT ? APR_SUCCESS : rv;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    mg_tx_lazy(db);
    rv = mg_db_exec(db, &n, "DELETE FROM campaign_event"
                    " WHERE campaign_id = $1 AND kind = $2 AND id < $3",
                    "iii", campaign_id, (apr_int64_t)kind, floor);
    if (rv == APR_SUCCESS && n)
        rv = count_add(db, campaign_id, kind, 0, -n);
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_campaign_expire(int *pmore, mg_db_t *db,
                                mg_campaign_cursor_t *cursor,
                                apr_time_t before, apr_time_t delivered_before,
                                apr_pool_t *ptemp)
{
    apr_array_header_t *ids = apr_array_make(ptemp, EXPIRE_CAMPAIGNS,
                                             sizeof(apr_int64_t));
    apr_int64_t floors[MG_CAMPAIGN_KINDS];
    apr_status_t rv = APR_SUCCESS;
    int i, kind;

    *pmore = 0;
    for (kind = 0; kind < MG_CAMPAIGN_KINDS; kind++)
        floors[kind] = mg_id_floor(kind == MG_CAMPAIGN_DELIVERED
                                       ? delivered_before : before);
    for (kind = 0; kind < MG_CAMPAIGN_KINDS && rv == APR_SUCCESS; kind++)
        rv = expire_segments(pmore, db, kind, floors[kind], ptemp);
    if (rv != APR_SUCCESS || *pmore)
        return rv;
    rv = campaigns_from(ids, db, cursor->campaign_id);
    for (i = 0; i < ids->nelts; i++)
        for (kind = 0; kind < MG_CAMPAIGN_KINDS && rv == APR_SUCCESS; kind++)
            rv = expire_waiting(db, APR_ARRAY_IDX(ids, i, apr_int64_t), kind,
                                floors[kind]);
    *pmore = ids->nelts == EXPIRE_CAMPAIGNS;
    cursor->campaign_id = *pmore ? APR_ARRAY_IDX(ids, ids->nelts - 1,
                                                 apr_int64_t) : 0;
    return rv;
}
