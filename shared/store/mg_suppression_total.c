/* mg_suppression_total.c - how many rows a domain has in each table.
 *
 * A listing says the exact total at a million rows too, so rows are not
 * counted: what a transaction adds and removes is summed up and written just
 * before its COMMIT, in the order of the keys and into the writer's own slot
 * (as mg_stat.c does it, and for its reasons).
 */
#include <stdlib.h>

#include "mg_batch.h"
#include "mg_status.h"
#include "mg_suppression_private.h"
#include "mg_tx.h"

typedef struct {
    apr_int64_t domain_id;
    int kind;
    apr_int64_t n;
} change_t;

typedef struct {
    apr_array_header_t *changes;  /* of change_t */
    int slot;
} totals_t;

static int by_key(const void *a, const void *b)
{
    const change_t *x = a, *y = b;

    if (x->domain_id != y->domain_id)
        return x->domain_id < y->domain_id ? -1 : 1;
    return x->kind - y->kind;
}

static apr_status_t write_one(mg_db_t *db, const change_t *c, int slot)
{
    return mg_db_exec(
        db, NULL,
        "INSERT INTO suppression_total (domain_id, kind, slot, n)"
        " VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (domain_id, kind, slot)"
        " DO UPDATE SET n = suppression_total.n + excluded.n",
        "iiii", c->domain_id, (apr_int64_t)c->kind, (apr_int64_t)slot, c->n);
}

static apr_status_t write_all(mg_db_t *db, void *baton)
{
    totals_t *totals = baton;
    change_t *list = (change_t *)totals->changes->elts;
    int n = totals->changes->nelts, i;
    apr_status_t rv = APR_SUCCESS;

    qsort(list, (size_t)n, sizeof(*list), by_key);
    for (i = 0; rv == APR_SUCCESS && i < n; i++)
        if (list[i].n != 0)
            rv = write_one(db, &list[i], totals->slot);
    totals->changes->nelts = 0;
    return rv;
}

/* The open transaction's. */
static totals_t *totals_get(mg_db_t *db)
{
    static const char key[] = "mg_suppression_total";
    mg_batch_t *batch = mg_batch_get(db);
    totals_t *totals;
    void *found = NULL;

    if (!batch)
        return NULL;
    apr_pool_userdata_get(&found, key, batch->pool);
    if (found)
        return found;
    totals = apr_pcalloc(batch->pool, sizeof(*totals));
    totals->changes = apr_array_make(batch->pool, 4, sizeof(change_t));
    totals->slot = batch->stat_slot;
    apr_pool_userdata_setn(totals, key, NULL, batch->pool);
    mg_tx_hook(db, write_all, NULL, totals);
    return totals;
}

apr_status_t mg_suppression_total_add(mg_db_t *db, apr_int64_t domain_id,
                                      mg_suppression_kind_t kind,
                                      apr_int64_t n)
{
    totals_t *totals = totals_get(db);
    change_t *c;
    int i;

    if (!totals)
        return MG_ESQL; /* rows change in a transaction */
    for (i = 0; i < totals->changes->nelts; i++) {
        c = &APR_ARRAY_IDX(totals->changes, i, change_t);
        if (c->domain_id == domain_id && c->kind == (int)kind) {
            c->n += n;
            return APR_SUCCESS;
        }
    }
    c = apr_array_push(totals->changes);
    c->domain_id = domain_id;
    c->kind = (int)kind;
    c->n = n;
    return APR_SUCCESS;
}

apr_status_t mg_suppression_count(apr_int64_t *pn, mg_db_t *db,
                                  apr_int64_t domain_id,
                                  mg_suppression_kind_t kind)
{
    *pn = 0;
    return mg_db_get_int(db, pn,
                         "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM"
                         " suppression_total WHERE domain_id = $1"
                         " AND kind = $2", "ii", domain_id, (apr_int64_t)kind);
}

apr_status_t mg_suppression_total_forget(mg_db_t *db, apr_int64_t domain_id)
{
    totals_t *totals = totals_get(db);
    int i;

    for (i = 0; totals && i < totals->changes->nelts; i++)
        if (APR_ARRAY_IDX(totals->changes, i, change_t).domain_id == domain_id)
            APR_ARRAY_IDX(totals->changes, i, change_t).n = 0;
    return mg_db_exec(db, NULL, "DELETE FROM suppression_total"
                      " WHERE domain_id = $1", "i", domain_id);
}

/* --- folding --- */

typedef struct {
    apr_int64_t domain_id, kind, slot, n;
} row_t;

static apr_status_t find_rows(apr_array_header_t *rows, mg_db_t *db, int limit)
{
    mg_stmt_t *stmt;
    apr_status_t rv;
    row_t *row;

    rv = mg_db_query(&stmt, db, "SELECT domain_id, kind, slot, n FROM"
                     " suppression_total WHERE slot <> 0"
                     " ORDER BY domain_id, kind, slot LIMIT $1", "i",
                     (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        row = apr_array_push(rows);
        row->domain_id = mg_stmt_int(stmt, 0);
        row->kind = mg_stmt_int(stmt, 1);
        row->slot = mg_stmt_int(stmt, 2);
        row->n = mg_stmt_int(stmt, 3);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* Who adds to it meanwhile makes another n: it is left for the next round. */
static apr_status_t fold_row(int *pfolded, mg_db_t *db, const row_t *row)
{
    change_t change = { row->domain_id, (int)row->kind, row->n };
    apr_int64_t gone = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &gone, "DELETE FROM suppression_total WHERE"
                    " domain_id = $1 AND kind = $2 AND slot = $3 AND n = $4",
                    "iiii", row->domain_id, row->kind, row->slot, row->n);
    if (rv != APR_SUCCESS || gone == 0)
        return rv;
    *pfolded += 1;
    return write_one(db, &change, 0);
}

apr_status_t mg_suppression_fold(int *pfolded, mg_db_t *db, int limit,
                                 apr_pool_t *ptemp)
{
    apr_array_header_t *rows = apr_array_make(ptemp, 4, sizeof(row_t));
    apr_status_t rv;
    int i, own;

    *pfolded = 0;
    rv = find_rows(rows, db, limit);
    if (rv != APR_SUCCESS || rows->nelts == 0)
        return rv;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; rv == APR_SUCCESS && i < rows->nelts; i++)
        rv = fold_row(pfolded, db, &APR_ARRAY_IDX(rows, i, row_t));
    return mg_tx_leave(db, own, rv);
}
