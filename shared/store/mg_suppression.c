/* mg_suppression.c - rows of the three tables: put, removed, listed. */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_id.h"
#include "mg_status.h"
#include "mg_suppression_private.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

#define FORGET_STEP 250     /* addresses: some 10 ms among a million */
/* Behind all text there is. */
#define LAST "\xF4\x8F\xBF\xBF"
#define OF_BOUNCE "address, created_at, code, error, class, 0, '', ''"
#define OF_UNSUBSCRIBE "address, created_at, '', '', '', 0, tag, public_id"
#define OF_COMPLAINT "address, created_at, '', '', '', count, '', ''"
/* The statements that differ in names alone. */
#define COMMON(table, columns, order)                                         \
    .name = table,                                                            \
    .remove = "DELETE FROM " table " WHERE domain_id = $1"                    \
              " AND address_lc = $2",                                         \
    .clear_some = "DELETE FROM " table " WHERE domain_id = $1 AND address_lc" \
                  " IN (SELECT address_lc FROM " table " WHERE"               \
                  " domain_id = $1 ORDER BY address_lc LIMIT $2)",            \
    .list = "SELECT " columns " FROM " table " WHERE domain_id = $1"          \
            " AND address_lc > $2 ORDER BY " order " LIMIT $3 OFFSET $4",     \
    .get = "SELECT " columns " FROM " table " WHERE domain_id = $1"           \
           " AND address_lc = $2 ORDER BY " order,                            \
    .between = "SELECT " columns " FROM " table " WHERE domain_id = $1"       \
               " AND address_lc >= $2 AND address_lc <= $3 ORDER BY " order,  \
    .pages_up = "SELECT DISTINCT address_lc FROM " table " WHERE"             \
                " domain_id = $1 AND address_lc > $2 AND address_lc >= $3"    \
                " AND address_lc < $4 ORDER BY address_lc LIMIT $5",          \
    .pages_down = "SELECT DISTINCT address_lc FROM " table " WHERE"           \
                  " domain_id = $1 AND address_lc < $2 AND address_lc >= $3"  \
                  " AND address_lc < $4 ORDER BY address_lc DESC LIMIT $5"

const mg_suppression_table_t mg_suppression_tables[MG_SUPPRESSIONS] = {
    [MG_BOUNCED] = {
        COMMON("bounce", OF_BOUNCE, "address_lc"), .code = 605,
        .why = "Not delivering to previously bounced address" },
    [MG_UNSUBSCRIBED] = {
        COMMON("unsubscribe", OF_UNSUBSCRIBE, "address_lc, tag"), .code = 606,
        .why = "Not delivering to unsubscribed address" },
    [MG_COMPLAINED] = {
        COMMON("complaint", OF_COMPLAINT, "address_lc"), .code = 607,
        .why = "Not delivering to a user who marked your messages as spam" },
};
#define tables mg_suppression_tables

const char *mg_suppression_name(mg_suppression_kind_t kind)
{
    return tables[kind].name;
}

int mg_suppression_by_name(const char *name)
{
    int kind;

    for (kind = 0; kind < MG_SUPPRESSIONS; kind++)
        if (strcmp(tables[kind].name, name) == 0)
            return kind;
    return -1;
}

static const char *clean(const char *text, const char *unsaid, apr_pool_t *p)
{
    return text ? mg_text_clean(text, strlen(text), p) : unsaid;
}

const char *mg_suppression_key(const char *address, apr_pool_t *p)
{
    return mg_text_lower(mg_text_clean(address, strlen(address), p), p);
}

/* --- put --- */

/* One row as it is written. */
typedef struct {
    apr_int64_t domain_id, now;
    const char *key, *address, *code, *error, *class, *tag;
} row_t;

/* *pn: 1, or 0 where there is one. A row is put in and changed by two
 * statements, so that what is new is known: totals follow from it. */
static apr_status_t insert(apr_int64_t *pn, mg_db_t *db,
                           mg_suppression_kind_t kind, const row_t *row,
                           apr_pool_t *p)
{
    if (kind == MG_BOUNCED)
        return mg_db_exec(
            db, pn,
            "INSERT INTO bounce (domain_id, address_lc, address, code, error,"
            " class, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)"
            " ON CONFLICT (domain_id, address_lc) DO NOTHING",
            "ittttti", row->domain_id, row->key, row->address, row->code,
            row->error, row->class, row->now);
    if (kind == MG_COMPLAINED)
        return mg_db_exec(
            db, pn,
            "INSERT INTO complaint (domain_id, address_lc, address, count,"
            " created_at) VALUES ($1, $2, $3, 1, $4)"
            " ON CONFLICT (domain_id, address_lc) DO NOTHING",
            "itti", row->domain_id, row->key, row->address, row->now);
    return mg_db_exec(
        db, pn,
        "INSERT INTO unsubscribe (domain_id, address_lc, tag, address,"
        " public_id, created_at) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (domain_id, address_lc, tag) DO NOTHING",
        "itttti", row->domain_id, row->key, row->tag, row->address,
        mg_id_hex24(p), row->now);
}

static apr_status_t update(apr_int64_t *pn, mg_db_t *db,
                           mg_suppression_kind_t kind, const row_t *row)
{
    if (kind == MG_BOUNCED)
        return mg_db_exec(
            db, pn,
            "UPDATE bounce SET address = $3, code = $4, error = $5,"
            " class = $6, created_at = $7"
            " WHERE domain_id = $1 AND address_lc = $2",
            "ittttti", row->domain_id, row->key, row->address, row->code,
            row->error, row->class, row->now);
    if (kind == MG_COMPLAINED)
        return mg_db_exec(
            db, pn,
            "UPDATE complaint SET count = count + 1, created_at = $3"
            " WHERE domain_id = $1 AND address_lc = $2",
            "iti", row->domain_id, row->key, row->now);
    *pn = 1; /* it keeps id and time */
    return APR_SUCCESS;
}

static apr_status_t put(mg_db_t *db, mg_suppression_kind_t kind,
                        const row_t *row, apr_pool_t *p)
{
    apr_int64_t n = 0;
    apr_status_t rv = APR_SUCCESS;
    int again;

    /* what was there may be removed between the two */
    for (again = 0; rv == APR_SUCCESS && n == 0 && again < 3; again++) {
        rv = insert(&n, db, kind, row, p);
        if (rv == APR_SUCCESS && n > 0)
            return mg_suppression_total_add(db, row->domain_id, kind, 1);
        if (rv == APR_SUCCESS)
            rv = update(&n, db, kind, row);
    }
    return rv == APR_SUCCESS && n == 0 ? MG_ECONFLICT : rv;
}

apr_status_t mg_suppression_add(mg_db_t *db, apr_int64_t domain_id,
                                const mg_suppression_t *entry, apr_pool_t *p)
{
    row_t row = {
        .domain_id = domain_id,
        .now = entry->created_at ? entry->created_at : mg_now(),
        .key = mg_suppression_key(entry->address, p),
        .address = clean(entry->address, "", p),
        .code = clean(entry->code, "550", p),
        .error = clean(entry->error, "", p),
        .class = clean(entry->class, "", p),
        .tag = clean(entry->tag, "*", p),
    };
    apr_status_t rv;
    int own;

    if (entry->kind >= MG_SUPPRESSIONS)
        return APR_EINVAL;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    return mg_tx_leave(db, own, put(db, entry->kind, &row, p));
}

/* --- remove --- */

/* n rows are gone. */
static apr_status_t count_off(mg_db_t *db, apr_int64_t domain_id,
                              mg_suppression_kind_t kind, apr_int64_t n)
{
    return n ? mg_suppression_total_add(db, domain_id, kind, -n)
             : APR_SUCCESS;
}

apr_status_t mg_suppression_remove(mg_db_t *db, apr_int64_t domain_id,
                                   mg_suppression_kind_t kind,
                                   const char *address, const char *tag,
                                   apr_pool_t *p)
{
    const char *key = mg_suppression_key(address, p);
    apr_int64_t n = 0;
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    if (tag && kind == MG_UNSUBSCRIBED)
        rv = mg_db_exec(db, &n, "DELETE FROM unsubscribe WHERE domain_id = $1"
                        " AND address_lc = $2 AND LOWER(tag) = $3", "itt", domain_id,
                        key, mg_text_lower(clean(tag, "", p), p));
    else
        rv = mg_db_exec(db, &n, tables[kind].remove, "it", domain_id, key);
    if (rv == APR_SUCCESS)
        rv = n == 0 ? APR_ENOENT : count_off(db, domain_id, kind, n);
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_suppression_clear_some(apr_int64_t *pn, mg_db_t *db,
                                       apr_int64_t domain_id,
                                       mg_suppression_kind_t kind,
                                       apr_int64_t limit)
{
    apr_status_t rv;
    int own;

    *pn = 0;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, pn, tables[kind].clear_some, "ii", domain_id, limit);
    if (rv == APR_SUCCESS)
        rv = count_off(db, domain_id, kind, *pn);
    return mg_tx_leave(db, own, rv);
}

/* What a step leaves is the next one's; rows of no domain stop no mail. */
static apr_status_t forget_step(int *pmore, mg_db_t *db, apr_int64_t domain_id)
{
    apr_int64_t n, left = FORGET_STEP;
    apr_status_t rv = APR_SUCCESS;
    int k;

    for (k = 0; rv == APR_SUCCESS && k < MG_SUPPRESSIONS && left > 0; k++) {
        rv = mg_suppression_clear_some(&n, db, domain_id,
                                       (mg_suppression_kind_t)k, left);
        left -= n;
    }
    *pmore = left <= 0;
    return rv == APR_SUCCESS && !*pmore
               ? mg_suppression_total_forget(db, domain_id) : rv;
}

apr_status_t mg_suppression_forget(int *pmore, mg_db_t *db,
                                   apr_int64_t domain_id)
{
    apr_status_t rv;
    int own;

    *pmore = 0;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    return mg_tx_leave(db, own, forget_step(pmore, db, domain_id));
}

apr_status_t mg_suppression_sweep(int *pmore, mg_db_t *db)
{
    apr_int64_t domain_id;
    apr_status_t rv;

    *pmore = 0;
    rv = mg_db_get_int(db, &domain_id,
                       "SELECT t.domain_id FROM suppression_total t"
                       " WHERE NOT EXISTS (SELECT 1 FROM domain d"
                       " WHERE d.id = t.domain_id) LIMIT 1", "");
    if (rv != APR_SUCCESS)
        return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
    rv = mg_suppression_forget(pmore, db, domain_id);
    *pmore = 1; /* another domain, or a late writer's */
    return rv;
}

/* --- list --- */

static apr_status_t take_rows(apr_array_header_t **plist, mg_stmt_t *stmt,
                              mg_suppression_kind_t kind, apr_pool_t *p)
{
    mg_suppression_t *entry;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_suppression_t));
    while ((rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        entry = apr_array_push(*plist);
        entry->kind = kind;
        entry->address = mg_stmt_text(stmt, 0, p);
        entry->created_at = mg_stmt_int(stmt, 1);
        entry->code = mg_stmt_text(stmt, 2, p);
        entry->error = mg_stmt_text(stmt, 3, p);
        entry->class = mg_stmt_text(stmt, 4, p);
        entry->count = mg_stmt_int(stmt, 5);
        entry->tag = mg_stmt_text(stmt, 6, p);
        entry->public_id = mg_stmt_text(stmt, 7, p);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_suppression_list(apr_array_header_t **plist, mg_db_t *db,
                                 apr_int64_t domain_id,
                                 mg_suppression_kind_t kind,
                                 const char *address, const char *after,
                                 apr_int64_t skip, apr_int64_t limit,
                                 apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    if (address)
        rv = mg_db_query(&stmt, db, tables[kind].get, "it", domain_id,
                         mg_suppression_key(address, p));
    else
        rv = mg_db_query(&stmt, db, tables[kind].list, "itii", domain_id,
                         mg_suppression_key(after ? after : "", p), limit,
                         skip);
    return rv == APR_SUCCESS ? take_rows(plist, stmt, kind, p) : rv;
}

static int has_row(const apr_array_header_t *rows, const char *tag)
{
    int i;

    for (i = 0; i < rows->nelts; i++)
        if (!strcasecmp(APR_ARRAY_IDX(rows, i, mg_suppression_t).tag, tag))
            return 1;
    return 0;
}

apr_status_t mg_suppression_has_tags(int *pis, mg_db_t *db,
                                     apr_int64_t domain_id,
                                     const char *address,
                                     const apr_array_header_t *tags,
                                     apr_pool_t *p)
{
    apr_array_header_t *rows;
    apr_status_t rv;
    int i;

    *pis = 0;
    rv = mg_suppression_list(&rows, db, domain_id, MG_UNSUBSCRIBED, address,
                             NULL, 0, 0, p);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; i < tags->nelts; i++)
        if (!has_row(rows, APR_ARRAY_IDX(tags, i, const char *)))
            return APR_SUCCESS;
    *pis = 1;
    return APR_SUCCESS;
}

/* The least and the greatest key of a page; *pn: how many there are. */
static apr_status_t page_bounds(const char **pfirst, const char **plast,
                                int *pn, mg_db_t *db, apr_int64_t domain_id,
                                mg_suppression_kind_t kind,
                                const mg_suppression_page_t *page,
                                apr_pool_t *p)
{
    const char *prefix = mg_suppression_key(page->prefix ? page->prefix : "",
                                            p);
    const char *beyond = apr_pstrcat(p, prefix, LAST, NULL);
    const char *pivot = page->pivot ? mg_suppression_key(page->pivot, p)
                                    : page->down ? beyond : "";
    mg_stmt_t *stmt;
    const char *key;
    apr_status_t rv;

    *pn = 0;
    rv = mg_db_query(&stmt, db, page->down ? tables[kind].pages_down
                                           : tables[kind].pages_up, "ittti",
                     domain_id, pivot, prefix, beyond, page->limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        key = mg_stmt_text(stmt, 0, p);
        if ((*pn)++ == 0)
            *pfirst = *plast = key;
        else if (page->down)
            *pfirst = key;
        else
            *plast = key;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_suppression_page(apr_array_header_t **plist, mg_db_t *db,
                                 apr_int64_t domain_id,
                                 mg_suppression_kind_t kind,
                                 const mg_suppression_page_t *page,
                                 apr_pool_t *p)
{
    const char *first = "", *last = "";
    mg_stmt_t *stmt;
    apr_status_t rv;
    int n;

    *plist = apr_array_make(p, 1, sizeof(mg_suppression_t));
    rv = page_bounds(&first, &last, &n, db, domain_id, kind, page, p);
    if (rv != APR_SUCCESS || n == 0)
        return rv;
    rv = mg_db_query(&stmt, db, tables[kind].between, "itt", domain_id, first,
                     last);
    return rv == APR_SUCCESS ? take_rows(plist, stmt, kind, p) : rv;
}

apr_status_t mg_suppression_by_id(mg_suppression_t **pentry, mg_db_t *db,
                                  apr_int64_t domain_id, const char *public_id,
                                  apr_pool_t *p)
{
    apr_array_header_t *list;
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db, "SELECT " OF_UNSUBSCRIBE " FROM unsubscribe"
                     " WHERE public_id = $1 AND domain_id = $2", "ti",
                     clean(public_id, "", p), domain_id);
    if (rv == APR_SUCCESS)
        rv = take_rows(&list, stmt, MG_UNSUBSCRIBED, p);
    if (rv == APR_SUCCESS && list->nelts == 0)
        return APR_ENOENT;
    if (rv == APR_SUCCESS)
        *pentry = &APR_ARRAY_IDX(list, 0, mg_suppression_t);
    return rv;
}
