/* mg_stat.c - counters by day. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "mg_stat.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_tx.h"

typedef enum { STAT, STAT_TAG, USAGE, TABLES } table_t;

typedef struct {
    table_t table;
    apr_int64_t id, day;
    const char *kind, *tag;
    apr_int64_t n;
} counter_t;

/* One batch has few counters; the last hit is nearly always the next one. */
static counter_t *counter_get(mg_batch_t *batch, table_t table, apr_int64_t id,
                              apr_int64_t day, const char *kind,
                              const char *tag)
{
    struct {
        apr_int64_t id, day;
        apr_uint64_t table;
        char names[192];
    } key;
    apr_size_t kind_len = strlen(kind), tag_len = strlen(tag);
    apr_ssize_t len;
    counter_t *c;

    memset(&key, 0, sizeof(key));
    if (kind_len + 1 + tag_len >= sizeof(key.names))
        tag_len = sizeof(key.names) - kind_len - 2;
    key.id = id;
    key.day = day;
    key.table = (apr_uint64_t)table;
    memcpy(key.names, kind, kind_len);
    memcpy(key.names + kind_len + 1, tag, tag_len);
    len = (apr_ssize_t)(offsetof(__typeof__(key), names) + kind_len + 1 +
                        tag_len);

    if (!batch->counters)
        batch->counters = apr_hash_make(batch->pool);
    c = apr_hash_get(batch->counters, &key, len);
    if (!c) {
        c = apr_pcalloc(batch->pool, sizeof(*c));
        c->table = table;
        c->id = id;
        c->day = day;
        c->kind = kind;
        c->tag = apr_pstrdup(batch->pool, tag);
        apr_hash_set(batch->counters,
                     apr_pmemdup(batch->pool, &key, (apr_size_t)len), len, c);
    }
    return c;
}

void mg_stat_add(mg_batch_t *batch, apr_int64_t domain_id, apr_int64_t day,
                 const char *kind, apr_int64_t n)
{
    counter_get(batch, STAT, domain_id, day, kind, "")->n += n;
}

void mg_stat_add_tag(mg_batch_t *batch, apr_int64_t domain_id,
                     apr_int64_t day, const char *kind, const char *slug,
                     apr_int64_t n)
{
    counter_get(batch, STAT_TAG, domain_id, day, kind, slug)->n += n;
}

void mg_stat_add_usage(mg_batch_t *batch, apr_int64_t account_id,
                       apr_int64_t day, const char *kind, apr_int64_t n)
{
    counter_get(batch, USAGE, account_id, day, kind, "")->n += n;
}

static int by_key(const void *a, const void *b)
{
    const counter_t *x = *(counter_t *const *)a, *y = *(counter_t *const *)b;
    int d;

    if (x->table != y->table)
        return (int)x->table - (int)y->table;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    d = strcmp(x->kind, y->kind);
    return d ? d : strcmp(x->tag, y->tag);
}

static const struct {
    const char *head, *tail, *fmt;
} write_sql[TABLES] = {
    { "INSERT INTO stat (domain_id, day, slot, n, kind)",
      " ON CONFLICT (domain_id, day, kind, slot)"
      " DO UPDATE SET n = stat.n + excluded.n", "iiiit" },
    { "INSERT INTO stat_tag (domain_id, day, slot, n, kind, tag)",
      " ON CONFLICT (domain_id, day, kind, tag, slot)"
      " DO UPDATE SET n = stat_tag.n + excluded.n", "iiiitt" },
    { "INSERT INTO account_usage (account_id, day, slot, n, kind)",
      " ON CONFLICT (account_id, day, kind, slot)"
      " DO UPDATE SET n = account_usage.n + excluded.n", "iiiit" },
};

/* Of one table, in key order. */
static apr_status_t counters_write(const mg_batch_t *batch,
                                   counter_t *const *list, int n)
{
    table_t table = list[0]->table;
    mg_value_t *values = apr_palloc(batch->pool, (apr_size_t)n * 6
                                                     * sizeof(*values)), *v;
    int i;

    for (v = values, i = 0; i < n; i++) {
        (v++)->num = list[i]->id;
        (v++)->num = list[i]->day;
        (v++)->num = batch->stat_slot;
        (v++)->num = list[i]->n;
        (v++)->text = list[i]->kind;
        if (table == STAT_TAG)
            (v++)->text = list[i]->tag;
    }
    return mg_db_exec_rows(batch->db, write_sql[table].head,
                           write_sql[table].tail, write_sql[table].fmt,
                           values, n);
}

apr_status_t mg_stat_write(mg_batch_t *batch)
{
    apr_hash_index_t *hi;
    counter_t **list;
    apr_status_t rv = APR_SUCCESS;
    int i, n = 0, of_table;

    if (!batch->counters)
        return APR_SUCCESS;
    list = apr_palloc(batch->pool, apr_hash_count(batch->counters) *
                                       sizeof(*list));
    for (hi = apr_hash_first(batch->pool, batch->counters); hi;
         hi = apr_hash_next(hi))
        list[n++] = apr_hash_this_val(hi);
    batch->counters = NULL;
    qsort(list, (size_t)n, sizeof(*list), by_key);
    for (i = 0; i < n && rv == APR_SUCCESS; i += of_table) {
        for (of_table = 1; i + of_table < n; of_table++)
            if (list[i + of_table]->table != list[i]->table)
                break;
        rv = counters_write(batch, list + i, of_table);
    }
    return rv;
}

/* --- folding --- */

/* A row of any table; only stat_tag has tags. */
typedef struct {
    apr_int64_t id, day, slot, n;
    const char *kind, *tag;
} slot_row_t;

static const struct {
    const char *find, *remove, *add;
} fold_sql[TABLES] = {
    { "SELECT domain_id, day, slot, n, kind, '' FROM stat"
      " WHERE day < $1 AND slot <> 0 LIMIT $2",
      "DELETE FROM stat WHERE domain_id = $1 AND day = $2"
      " AND slot = $3 AND n = $4 AND kind = $5 AND $6 = ''",
      "INSERT INTO stat (domain_id, day, slot, n, kind)"
      " SELECT $1, $2, $3, $4, $5 WHERE $6 = ''"
      " ON CONFLICT (domain_id, day, kind, slot)"
      " DO UPDATE SET n = stat.n + excluded.n" },
    { "SELECT domain_id, day, slot, n, kind, tag FROM stat_tag"
      " WHERE day < $1 AND slot <> 0 LIMIT $2",
      "DELETE FROM stat_tag WHERE domain_id = $1 AND day = $2 AND slot = $3"
      " AND n = $4 AND kind = $5 AND tag = $6",
      "INSERT INTO stat_tag (domain_id, day, slot, n, kind, tag)"
      " VALUES ($1, $2, $3, $4, $5, $6)"
      " ON CONFLICT (domain_id, day, kind, tag, slot)"
      " DO UPDATE SET n = stat_tag.n + excluded.n" },
    { "SELECT account_id, day, slot, n, kind, '' FROM account_usage"
      " WHERE day < $1 AND slot <> 0 LIMIT $2",
      "DELETE FROM account_usage WHERE account_id = $1 AND day = $2"
      " AND slot = $3 AND n = $4 AND kind = $5 AND $6 = ''",
      "INSERT INTO account_usage (account_id, day, slot, n, kind)"
      " SELECT $1, $2, $3, $4, $5 WHERE $6 = ''"
      " ON CONFLICT (account_id, day, kind, slot)"
      " DO UPDATE SET n = account_usage.n + excluded.n" },
};

/* As writers go (by_key): whoever is late must not wait for us while we wait
 * for him. */
static int by_row(const void *a, const void *b)
{
    const slot_row_t *x = a, *y = b;
    int d;

    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    d = strcmp(x->kind, y->kind);
    return d ? d : strcmp(x->tag, y->tag);
}

static apr_status_t fold_find(apr_array_header_t *rows, mg_db_t *db,
                              table_t table, int limit, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    slot_row_t *row;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db, fold_sql[table].find, "ii",
                     mg_time_day(mg_now()), (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        row = apr_array_push(rows);
        row->id = mg_stmt_int(stmt, 0);
        row->day = mg_stmt_int(stmt, 1);
        row->slot = mg_stmt_int(stmt, 2);
        row->n = mg_stmt_int(stmt, 3);
        row->kind = mg_stmt_text(stmt, 4, p);
        row->tag = mg_stmt_text(stmt, 5, p);
    }
    qsort(rows->elts, (size_t)rows->nelts, sizeof(slot_row_t), by_row);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* A late writer of a past day makes a new row or adds to this one: then n
 * differs, and it is left for the next round. */
static apr_status_t fold_row(int *pfolded, mg_db_t *db, table_t table,
                             const slot_row_t *row)
{
    apr_int64_t gone = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &gone, fold_sql[table].remove, "iiiitt", row->id,
                    row->day, row->slot, row->n, row->kind, row->tag);
    if (rv != APR_SUCCESS || gone == 0)
        return rv;
    *pfolded += 1;
    return mg_db_exec(db, NULL, fold_sql[table].add, "iiiitt", row->id,
                      row->day, (apr_int64_t)0, row->n, row->kind, row->tag);
}

static apr_status_t fold_table(int *pfolded, mg_db_t *db, table_t table,
                               int limit, apr_pool_t *p)
{
    apr_array_header_t *rows = apr_array_make(p, 16, sizeof(slot_row_t));
    apr_status_t rv;
    int i, own;

    /* mostly there is nothing: no need to stand in line for that */
    rv = fold_find(rows, db, table, limit, p);
    if (rv != APR_SUCCESS || rows->nelts == 0)
        return rv;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; rv == APR_SUCCESS && i < rows->nelts; i++)
        rv = fold_row(pfolded, db, table, &APR_ARRAY_IDX(rows, i, slot_row_t));
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_stat_fold(int *pfolded, mg_db_t *db, int limit,
                          apr_pool_t *ptemp)
{
    apr_status_t rv = APR_SUCCESS;
    int table;

    *pfolded = 0;
    for (table = 0; rv == APR_SUCCESS && table < TABLES; table++)
        rv = fold_table(pfolded, db, (table_t)table, limit, ptemp);
    return rv;
}
