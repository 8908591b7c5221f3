/* mg_event_count.c - how many events a domain has, hour by hour. */
#include <stdlib.h>

#include "mg_event_count.h"
#include "mg_id.h"
#include "mg_time.h"
#include "mg_tx.h"

#define ID_BITS 22              /* below the milliseconds (mg_id.h) */
#define HOUR_MS APR_INT64_C(3600000)

struct mg_event_count_t {
    apr_int64_t domain_id, hour, n;
};

apr_int64_t mg_event_hour(apr_int64_t id)
{
    return (id >> ID_BITS) / HOUR_MS;
}

apr_int64_t mg_event_hour_floor(apr_int64_t hour)
{
    return (hour * HOUR_MS) << ID_BITS;
}

/* --- writing --- */

/* A batch has few domains; the last one is nearly always the next one. */
void mg_event_count_add(mg_batch_t *batch, apr_int64_t domain_id,
                        apr_int64_t id)
{
    apr_int64_t hour = mg_event_hour(id);
    mg_event_count_t *c;
    int i;

    if (!batch->event_counts)
        batch->event_counts =
            apr_array_make(batch->pool, 4, sizeof(mg_event_count_t));
    for (i = batch->event_counts->nelts - 1; i >= 0; i--) {
        c = &APR_ARRAY_IDX(batch->event_counts, i, mg_event_count_t);
        if (c->domain_id == domain_id && c->hour == hour) {
            c->n++;
            return;
        }
    }
    c = apr_array_push(batch->event_counts);
    c->domain_id = domain_id;
    c->hour = hour;
    c->n = 1;
}

static int by_key(const void *a, const void *b)
{
    const mg_event_count_t *x = a, *y = b;

    if (x->domain_id != y->domain_id)
        return x->domain_id < y->domain_id ? -1 : 1;
    return x->hour < y->hour ? -1 : x->hour > y->hour;
}

#define ADD_HEAD "INSERT INTO event_hour (domain_id, hour, slot, n)"
#define ADD_TAIL \
    " ON CONFLICT (domain_id, hour, slot)" \
    " DO UPDATE SET n = event_hour.n + excluded.n"

static apr_status_t add(mg_db_t *db, apr_int64_t domain_id, apr_int64_t hour,
                        apr_int64_t slot, apr_int64_t n)
{
    return mg_db_exec(db, NULL,
                      ADD_HEAD " VALUES ($1, $2, $3, $4)" ADD_TAIL,
                      "iiii", domain_id, hour, slot, n);
}

apr_status_t mg_event_count_write(mg_batch_t *batch)
{
    apr_array_header_t *counts = batch->event_counts;
    mg_value_t *values, *v;
    int i;

    if (!counts)
        return APR_SUCCESS;
    batch->event_counts = NULL;
    qsort(counts->elts, (size_t)counts->nelts, sizeof(mg_event_count_t),
          by_key);
    values = v = apr_pcalloc(batch->pool, (apr_size_t)counts->nelts * 4
                                              * sizeof(*values));
    for (i = 0; i < counts->nelts; i++) {
        const mg_event_count_t *c = &APR_ARRAY_IDX(counts, i,
                                                   mg_event_count_t);

        (v++)->num = c->domain_id;
        (v++)->num = c->hour;
        (v++)->num = batch->stat_slot;
        (v++)->num = c->n;
    }
    return mg_db_exec_rows(batch->db, ADD_HEAD, ADD_TAIL, "iiii", values,
                           counts->nelts);
}

apr_status_t mg_event_count_take(mg_db_t *db, apr_int64_t domain_id,
                                 apr_int64_t hour, apr_int64_t n)
{
    apr_status_t rv = add(db, domain_id, hour, 0, -n);

    if (rv != APR_SUCCESS)
        return rv;
    return mg_db_exec(db, NULL,
                      "DELETE FROM event_hour WHERE domain_id = $1"
                      " AND hour = $2 AND slot = 0 AND n = 0", "ii",
                      domain_id, hour);
}

/* --- reading --- */

apr_status_t mg_event_count_rank(apr_int64_t *ptotal, apr_int64_t *pbelow,
                                 apr_int64_t *prest, mg_db_t *db,
                                 apr_int64_t domain_id, apr_int64_t skip)
{
    apr_int64_t total = 0, before = 0, at = APR_INT64_MAX, hour, n;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pbelow = *prest = 0;
    rv = mg_db_query(&stmt, db,
                     "SELECT hour, n FROM event_hour WHERE domain_id = $1"
                     " ORDER BY hour DESC", "i", domain_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        hour = mg_stmt_int(stmt, 0);
        n = mg_stmt_int(stmt, 1);
        if (hour != at) { /* its slots stand together */
            at = hour;
            before = total;
        }
        total += n;
        if (!*pbelow && skip < total) {
            *pbelow = before == 0 ? APR_INT64_MAX
                                  : mg_event_hour_floor(hour + 1);
            *prest = skip - before;
        }
    }
    *ptotal = total;
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* --- folding --- */

static int by_row(const void *a, const void *b)
{
    const apr_int64_t *x = a, *y = b;

    if (x[0] != y[0])
        return x[0] < y[0] ? -1 : 1;
    return x[1] < y[1] ? -1 : x[1] > y[1];
}

static apr_status_t fold_find(apr_array_header_t *rows, mg_db_t *db,
                              int limit)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db,
                     "SELECT domain_id, hour, slot, n FROM event_hour"
                     " WHERE hour < $1 AND slot <> 0 LIMIT $2", "ii",
                     mg_event_hour(mg_id_floor(mg_now())),
                     (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        apr_int64_t *row = apr_array_push(rows);
        int i;

        for (i = 0; i < 4; i++)
            row[i] = mg_stmt_int(stmt, i);
    }
    /* as writers go: whoever is late must not wait for us, and we for him */
    qsort(rows->elts, (size_t)rows->nelts, (size_t)rows->elt_size, by_row);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* A late writer adds to the row: then n differs, and it waits. */
static apr_status_t fold_row(int *pfolded, mg_db_t *db, const apr_int64_t *row)
{
    apr_int64_t gone = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &gone,
                    "DELETE FROM event_hour WHERE domain_id = $1 AND hour = $2"
                    " AND slot = $3 AND n = $4", "iiii", row[0], row[1],
                    row[2], row[3]);
    if (rv != APR_SUCCESS || gone == 0)
        return rv;
    *pfolded += 1;
    return add(db, row[0], row[1], 0, row[3]);
}

apr_status_t mg_event_count_fold(int *pfolded, mg_db_t *db, int limit,
                                 apr_pool_t *ptemp)
{
    apr_array_header_t *rows = apr_array_make(ptemp, 16,
                                              4 * sizeof(apr_int64_t));
    apr_status_t rv;
    int i, own;

    *pfolded = 0;
    rv = fold_find(rows, db, limit);
    if (rv != APR_SUCCESS || rows->nelts == 0)
        return rv;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; rv == APR_SUCCESS && i < rows->nelts; i++)
        rv = fold_row(pfolded, db, (apr_int64_t *)rows->elts + 4 * i);
    return mg_tx_leave(db, own, rv);
}
