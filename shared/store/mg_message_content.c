/* mg_message_content.c - bytes of messages, in slices, while they are needed.
 */
#include <apr_strings.h>

#include "mg_fault.h"
#include "mg_id.h"
#include "mg_message_content.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_tx.h"

/* One transaction of content written ahead: 25 MB in one would stop everyone
 * for 0.2 s. */
#define CONTENT_STEP (4 * MG_CONTENT_SLICE)
/* Content without a message is one being accepted, or one whose face died. */
#define ORPHAN_AGE (3600 * APR_TIME_C(1000000))

static apr_status_t insert_slice(mg_db_t *db, apr_int64_t message_id,
                                 apr_int64_t seq, const void *bytes,
                                 apr_size_t len)
{
    apr_status_t rv = MG_FAULT("content.write");

    if (rv != APR_SUCCESS)
        return rv;
    return mg_db_exec(db, NULL,
                      "INSERT INTO content (message_id, seq, bytes)"
                      " VALUES ($1, $2, $3)",
                      "iib", message_id, seq, bytes, len);
}

apr_status_t mg_content_insert(mg_db_t *db, apr_int64_t message_id,
                               apr_int64_t first_seq, const void *bytes,
                               apr_size_t len)
{
    const char *at = len ? bytes : "";
    apr_status_t rv;
    apr_size_t n;

    do {
        n = len < MG_CONTENT_SLICE ? len : MG_CONTENT_SLICE;
        rv = insert_slice(db, message_id, first_seq++, at, n);
        at += n;
        len -= n;
    } while (rv == APR_SUCCESS && len > 0);
    return rv;
}

apr_status_t mg_content_is_there(mg_db_t *db, apr_int64_t message_id,
                                 apr_int64_t seq)
{
    apr_int64_t one;

    return mg_db_get_int(db, &one, "SELECT 1 FROM content"
                         " WHERE message_id = $1 AND seq = $2",
                         "ii", message_id, seq);
}

static apr_status_t store_step(mg_db_t *db, apr_int64_t message_id,
                               apr_int64_t seq, const char *bytes,
                               apr_size_t len)
{
    apr_status_t rv = mg_tx_begin(db, MG_TX_WRITE);

    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_content_insert(db, message_id, seq, bytes, len);
    return mg_tx_leave(db, 1, rv);
}

/* Where the answer to COMMIT was lost, the step may be there. */
static apr_status_t store_step_again(mg_db_t *db, apr_int64_t message_id,
                                     apr_int64_t seq, const char *bytes,
                                     apr_size_t len)
{
    apr_status_t rv = mg_content_is_there(db, message_id, seq);

    return rv == APR_ENOENT ? store_step(db, message_id, seq, bytes, len) : rv;
}

apr_status_t mg_message_store_content(mg_db_t *db, apr_int64_t message_id,
                                      apr_file_t *file, apr_int64_t size,
                                      apr_pool_t *ptemp)
{
    char *buf = apr_palloc(ptemp, CONTENT_STEP);
    apr_int64_t done = 0, seq = 0;
    apr_off_t start = 0;
    apr_status_t rv;
    apr_size_t n, got;

    rv = apr_file_seek(file, APR_SET, &start);
    while (rv == APR_SUCCESS && (done < size || seq == 0)) {
        n = size - done < CONTENT_STEP ? (apr_size_t)(size - done)
                                       : CONTENT_STEP;
        rv = n ? apr_file_read_full(file, buf, n, &got) : APR_SUCCESS;
        if (rv == APR_EOF)
            rv = MG_EIO; /* the file is shorter than it was said to be */
        if (rv == APR_SUCCESS)
            rv = store_step(db, message_id, seq, buf, n);
        if (rv == MG_ELOST && mg_db_reconnect(db) == APR_SUCCESS)
            rv = store_step_again(db, message_id, seq, buf, n);
        done += (apr_int64_t)n;
        seq += (apr_int64_t)((n + MG_CONTENT_SLICE - 1) / MG_CONTENT_SLICE);
        if (n == 0)
            break;
    }
    return rv;
}

apr_status_t mg_message_slice(const void **pbytes, apr_size_t *plen,
                              mg_db_t *db, apr_int64_t id, apr_int64_t seq,
                              apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pbytes = NULL;
    *plen = 0;
    rv = mg_db_query(&stmt, db,
                     "SELECT bytes FROM content"
                     " WHERE message_id = $1 AND seq = $2",
                     "ii", id, seq);
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv;
    *pbytes = mg_stmt_blob(stmt, 0, plen, p);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

apr_status_t mg_message_whole(const char **pbytes, apr_size_t *plen,
                              mg_db_t *db, apr_int64_t id, apr_int64_t room,
                              apr_pool_t *p)
{
    apr_size_t size = (apr_size_t)room + 1, used = 0, len;
    char *bytes = apr_palloc(p, size);
    apr_status_t rv = APR_SUCCESS;
    apr_pool_t *ptemp;
    const void *slice;
    apr_int64_t seq;

    apr_pool_create(&ptemp, p);
    for (seq = 0; rv == APR_SUCCESS; seq++) {
        apr_pool_clear(ptemp);
        rv = mg_message_slice(&slice, &len, db, id, seq, ptemp);
        if (rv != APR_SUCCESS)
            break;
        if (used + len > size) {
            char *larger = apr_palloc(p, (used + len) * 2);

            memcpy(larger, bytes, used);
            bytes = larger;
            size = (used + len) * 2;
        }
        memcpy(bytes + used, slice, len);
        used += len;
    }
    apr_pool_destroy(ptemp);
    *pbytes = bytes;
    *plen = used;
    if (rv == APR_EOF)
        rv = seq ? APR_SUCCESS : APR_ENOENT;
    return rv;
}

/* --- sweeping ---
 *
 * At most CONTENT_STEP goes in one transaction: the pages of 25 MB at once
 * would stop everyone for some 50 ms. Of what is larger its last slices go
 * first: who has a slice 0 is found again.
 */

typedef struct {
    apr_int64_t id, size;
} content_t;

/* Contents nobody needs (array of content_t), from behind *pcursor on, which
 * moves on to the last one that was looked at; 0 at the end. */
static apr_status_t sweep_find(apr_array_header_t *found,
                               apr_int64_t *pcursor, mg_db_t *db, int limit)
{
    apr_int64_t orphan_floor = mg_id_floor(mg_now() - ORPHAN_AGE);
    apr_int64_t id, look_at = (apr_int64_t)limit * 10;
    apr_status_t rv;
    mg_stmt_t *stmt;
    content_t *c;
    int seen = 0, full = 0;

    rv = mg_db_query(&stmt, db,
                     "SELECT c.message_id,"
                     " CASE WHEN m.id IS NULL THEN 0 ELSE 1 END,"
                     " CASE WHEN EXISTS (SELECT 1 FROM delivery d"
                     "  WHERE d.message_id = c.message_id) OR EXISTS"
                     "  (SELECT 1 FROM stored_message s"
                     "  WHERE s.message_id = c.message_id) THEN 1 ELSE 0 END,"
                     " COALESCE(m.size, $3)"
                     " FROM content c LEFT JOIN message m"
                     "  ON m.id = c.message_id"
                     " WHERE c.message_id > $1 AND c.seq = 0"
                     " ORDER BY c.message_id LIMIT $2",
                     "iii", *pcursor, look_at, (apr_int64_t)CONTENT_STEP + 1);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        seen++;
        *pcursor = id = mg_stmt_int(stmt, 0);
        if (mg_stmt_int(stmt, 2))
            continue;
        if (!mg_stmt_int(stmt, 1) && id >= orphan_floor)
            continue;
        c = apr_array_push(found);
        c->id = id;
        c->size = mg_stmt_int(stmt, 3);
        if (found->nelts >= limit) {
            mg_stmt_done(stmt);
            full = 1;
            break;
        }
    }
    if (rv == APR_EOF)
        rv = APR_SUCCESS;
    if (rv == APR_SUCCESS && !full && seen < look_at)
        *pcursor = 0;
    return rv;
}

/* The last ones, CONTENT_STEP of them at most. */
static apr_status_t sweep_slices(mg_db_t *db, apr_int64_t id)
{
    return mg_db_exec(db, NULL,
                      "DELETE FROM content WHERE message_id = $1"
                      " AND seq > (SELECT MAX(c.seq) - 4 FROM content c"
                      "  WHERE c.message_id = $1)"
                      " AND NOT EXISTS (SELECT 1 FROM delivery d"
                      "  WHERE d.message_id = $1)"
                      " AND NOT EXISTS (SELECT 1 FROM stored_message s"
                      "  WHERE s.message_id = $1)",
                      "i", id);
}

apr_status_t mg_message_sweep(int *pswept, mg_db_t *db, int limit,
                              apr_pool_t *ptemp)
{
    /* Where the last round stopped: content that is still needed (a long
     * queue) is not looked at again each time. Advice only. */
    static apr_int64_t cursor;
    apr_array_header_t *found = apr_array_make(ptemp, 16, sizeof(content_t));
    apr_int64_t bytes = 0;
    const content_t *c;
    apr_status_t rv;
    int i, own;

    *pswept = 0;
    rv = sweep_find(found, &cursor, db, limit);
    if (rv != APR_SUCCESS || found->nelts == 0)
        return rv;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (own)
        mg_tx_lazy(db);
    for (i = 0; rv == APR_SUCCESS && i < found->nelts; i++) {
        c = &APR_ARRAY_IDX(found, i, const content_t);
        if (i > 0 && bytes + c->size > CONTENT_STEP)
            break;
        bytes += c->size;
        rv = sweep_slices(db, c->id);
    }
    rv = mg_tx_leave(db, own, rv);
    if (rv != APR_SUCCESS)
        return rv;
    if (bytes > CONTENT_STEP) /* the first, and there may be more of it */
        cursor = APR_ARRAY_IDX(found, 0, content_t).id - 1;
    else if (i < found->nelts)
        cursor = APR_ARRAY_IDX(found, i, content_t).id - 1;
    *pswept = i;
    return APR_SUCCESS;
}
