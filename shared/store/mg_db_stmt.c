/* mg_db_stmt.c - statements of a connection (mg_db.h): found by their text,
 * bound by a format, stepped. */
#include <stdarg.h>
#include <string.h>
#include <apr_strings.h>
#include "mg_db_stmt.h"
#include "mg_text.h"

/* Statements a connection keeps. SQL is literals, so there are some hundred;
 * the cap is for who makes texts at run time. */
#define STMT_MAX 512

/* --- statements: the cache --- */

static void stmt_end(mg_stmt_t *stmt)
{
    if (!stmt->active)
        return;
    stmt->active = 0;
    stmt->has_row = 0;
    stmt->db->driver->done(stmt);
}

static void stmt_forget(mg_stmt_t *stmt)
{
    stmt_end(stmt);
    apr_hash_set(stmt->db->stmts, stmt->sql, APR_HASH_KEY_STRING, NULL);
    stmt->db->driver->finalize(stmt);
    apr_pool_destroy(stmt->pool);
}

/* It is safe to delete the current entry. */
void mg_db_stmts_forget(mg_db_t *db, int all)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(db->ptemp, db->stmts); hi;
         hi = apr_hash_next(hi)) {
        mg_stmt_t *stmt = apr_hash_this_val(hi);
        if (all || !stmt->active)
            stmt_forget(stmt);
    }
}

void mg_db_stmts_end(mg_db_t *db)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(db->ptemp, db->stmts); hi; hi = apr_hash_next(hi))
        stmt_end(apr_hash_this_val(hi));
}

static apr_status_t stmt_find(mg_stmt_t **pstmt, mg_db_t *db, const char *sql)
{
    mg_stmt_t *stmt = apr_hash_get(db->stmts, sql, APR_HASH_KEY_STRING);
    apr_pool_t *pool;
    apr_status_t rv;

    *pstmt = stmt;
    if (stmt && stmt->active) {
        stmt_end(stmt);
        return mg_db_fail(db, MG_ESQL, "statement is still in use: %s", sql);
    }
    if (stmt)
        return APR_SUCCESS;

    if (apr_hash_count(db->stmts) >= STMT_MAX)
        mg_db_stmts_forget(db, 0);
    apr_pool_create(&pool, db->pool);
    stmt = apr_pcalloc(pool, sizeof(*stmt));
    stmt->pool = pool;
    stmt->db = db;
    stmt->sql = apr_pstrdup(pool, sql);
    rv = db->driver->prepare(stmt);
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return rv;
    }
    apr_hash_set(db->stmts, stmt->sql, APR_HASH_KEY_STRING, stmt);
    *pstmt = stmt;
    return APR_SUCCESS;
}

/* --- statements: parameters --- */

/* Text is valid UTF-8 when it goes in, whoever wrote it: PostgreSQL refuses
 * what SQLite takes. */
static void take_text(mg_db_t *db, mg_param_t *param, const char *text)
{
    param->data = text;
    if (!text)
        return;
    param->len = strlen(text);
    if (!mg_text_is_utf8(text, param->len)) {
        param->data = mg_text_clean(text, param->len, db->ptemp);
        param->len = strlen(param->data);
    }
}

static apr_status_t take_params(mg_db_t *db, mg_param_t *params, int *pn,
                                const char *fmt, va_list ap)
{
    int n;

    for (n = 0; fmt && fmt[n]; n++) {
        mg_param_t *param = &params[n];

        if (n >= MG_PARAM_MAX)
            return mg_db_fail(db, MG_ESQL, "more than %d parameters",
                              MG_PARAM_MAX);
        memset(param, 0, sizeof(*param));
        param->type = fmt[n];
        switch (fmt[n]) {
        case 'i':
            param->num = va_arg(ap, apr_int64_t);
            break;
        case 't':
            take_text(db, param, va_arg(ap, const char *));
            break;
        case 'b':
            param->data = va_arg(ap, const void *);
            param->len = va_arg(ap, apr_size_t);
            break;
        case 'n':
            break;
        default:
            return mg_db_fail(db, MG_ESQL, "parameter format '%s': no such "
                              "letter as '%c'", fmt, fmt[n]);
        }
        db->tx_bytes += (apr_int64_t)param->len;
    }
    *pn = n;
    return APR_SUCCESS;
}

static apr_status_t stmt_ready(mg_stmt_t **pstmt, mg_param_t *params, int *pn,
                               mg_db_t *db, const char *sql, const char *fmt,
                               va_list ap)
{
    apr_status_t rv = mg_db_usable(db);

    *pstmt = NULL;
    if (rv != APR_SUCCESS)
        return rv;
    apr_pool_clear(db->ptemp);
    rv = take_params(db, params, pn, fmt, ap);
    if (rv == APR_SUCCESS)
        rv = stmt_find(pstmt, db, sql);
    return mg_db_note(db, rv);
}

/* --- statements: use --- */

static apr_status_t exec_v(mg_db_t *db, apr_int64_t *paffected,
                           const char *sql, const char *fmt, va_list ap)
{
    mg_param_t params[MG_PARAM_MAX];
    mg_stmt_t *stmt;
    apr_status_t rv;
    int n;

    if (paffected)
        *paffected = 0;
    rv = stmt_ready(&stmt, params, &n, db, sql, fmt, ap);
    if (rv != APR_SUCCESS)
        return rv;
    return mg_db_note(db, db->driver->exec(stmt, params, n, paffected));
}

apr_status_t mg_db_exec(mg_db_t *db, apr_int64_t *paffected, const char *sql,
                        const char *fmt, ...)
{
    va_list ap;
    apr_status_t rv;

    va_start(ap, fmt);
    rv = exec_v(db, paffected, sql, fmt, ap);
    va_end(ap);
    return rv;
}

apr_status_t mg_db_exec_one(mg_db_t *db, apr_status_t otherwise,
                            const char *sql, const char *fmt, ...)
{
    int server_checks = db->tx_open && db->tx_will_replay
                        && db->driver->one_row_begin;
    apr_int64_t affected = 1;
    va_list ap;
    apr_status_t rv;

    if (server_checks)
        sql = apr_pstrcat(db->tx_pool, db->driver->one_row_begin, sql,
                          db->driver->one_row_end, NULL);
    va_start(ap, fmt);
    rv = exec_v(db, server_checks ? NULL : &affected, sql, fmt, ap);
    va_end(ap);
    return rv == APR_SUCCESS && affected != 1 ? otherwise : rv;
}

/* --- many rows --- */

/* How many go together: few enough that the rest, one by one, is short. */
#define ROWS_AT_ONCE 8

static const char *rows_sql(const char *head, const char *tail, int columns,
                            int rows, apr_pool_t *p)
{
    apr_size_t room = strlen(head) + strlen(tail) + sizeof(" VALUES ")
                      + (apr_size_t)(rows * (columns * 5 + 4));
    char *sql = apr_palloc(p, room), *end = sql + room, *to;
    int row, column, n = 0;

    to = sql + apr_snprintf(sql, room, "%s VALUES ", head);
    for (row = 0; row < rows; row++)
        for (column = 0; column < columns; column++)
            to += apr_snprintf(to, (apr_size_t)(end - to), "%s$%d%s",
                               column ? ", " : row ? ", (" : "(", ++n,
                               column + 1 < columns ? "" : ")");
    apr_cpystrn(to, tail, (apr_size_t)(end - to));
    return sql;
}

static void take_value(mg_db_t *db, mg_param_t *param, char type,
                       const mg_value_t *value)
{
    memset(param, 0, sizeof(*param));
    param->type = type;
    if (type == 'i')
        param->num = value->num;
    else
        take_text(db, param, value->text);
    db->tx_bytes += (apr_int64_t)param->len;
}

apr_status_t mg_db_exec_rows(mg_db_t *db, const char *head, const char *tail,
                             const char *fmt, const mg_value_t *values,
                             int rows)
{
    int columns = (int)strlen(fmt), at_once, i;
    mg_param_t params[MG_PARAM_MAX];
    const char *many = NULL, *one = NULL, **psql;
    apr_status_t rv = mg_db_usable(db);
    mg_stmt_t *stmt;

    if (rv == APR_SUCCESS && (!db->tx_open
                              || columns * ROWS_AT_ONCE > MG_PARAM_MAX))
        rv = MG_ESQL;
    for (; rv == APR_SUCCESS && rows > 0; rows -= at_once) {
        at_once = rows >= ROWS_AT_ONCE ? ROWS_AT_ONCE : 1;
        psql = at_once == 1 ? &one : &many;
        if (!*psql)
            *psql = rows_sql(head, tail, columns, at_once, db->tx_pool);
        apr_pool_clear(db->ptemp);
        for (i = 0; i < columns * at_once; i++)
            take_value(db, &params[i], fmt[i % columns], values++);
        rv = stmt_find(&stmt, db, *psql);
        if (rv == APR_SUCCESS)
            rv = db->driver->exec(stmt, params, columns * at_once, NULL);
        rv = mg_db_note(db, rv);
    }
    return rv;
}

static apr_status_t query_v(mg_stmt_t **pstmt, mg_db_t *db, const char *sql,
                            const char *fmt, va_list ap)
{
    mg_param_t params[MG_PARAM_MAX];
    mg_stmt_t *stmt;
    apr_status_t rv;
    int n;

    *pstmt = NULL;
    rv = stmt_ready(&stmt, params, &n, db, sql, fmt, ap);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_note(db, db->driver->query(stmt, params, n));
    if (rv != APR_SUCCESS)
        return rv;
    stmt->active = 1;
    stmt->has_row = 0;
    *pstmt = stmt;
    return APR_SUCCESS;
}

apr_status_t mg_db_query(mg_stmt_t **pstmt, mg_db_t *db, const char *sql,
                         const char *fmt, ...)
{
    va_list ap;
    apr_status_t rv;

    va_start(ap, fmt);
    rv = query_v(pstmt, db, sql, fmt, ap);
    va_end(ap);
    return rv;
}

apr_status_t mg_stmt_next(mg_stmt_t *stmt)
{
    apr_status_t rv;

    if (!stmt->active)
        return mg_db_fail(stmt->db, MG_ESQL, "statement has ended: %s",
                          stmt->sql);
    rv = mg_db_note(stmt->db, stmt->db->driver->next(stmt));
    stmt->has_row = rv == APR_SUCCESS;
    if (rv != APR_SUCCESS)
        stmt_end(stmt);
    return rv;
}

void mg_stmt_done(mg_stmt_t *stmt)
{
    if (stmt)
        stmt_end(stmt);
}

int mg_stmt_is_null(mg_stmt_t *stmt, int col)
{
    return !stmt->has_row || stmt->db->driver->is_null(stmt, col);
}

apr_int64_t mg_stmt_int(mg_stmt_t *stmt, int col)
{
    if (mg_stmt_is_null(stmt, col))
        return 0;
    return stmt->db->driver->get_int(stmt, col);
}

char *mg_stmt_text(mg_stmt_t *stmt, int col, apr_pool_t *p)
{
    if (mg_stmt_is_null(stmt, col))
        return NULL;
    return stmt->db->driver->get_text(stmt, col, p);
}

const void *mg_stmt_blob(mg_stmt_t *stmt, int col, apr_size_t *plen,
                         apr_pool_t *p)
{
    const void *data;

    *plen = 0;
    if (mg_stmt_is_null(stmt, col))
        return NULL;
    data = stmt->db->driver->get_blob(stmt, col, plen);
    if (*plen == 0)
        return ""; /* empty is not NULL */
    return p ? apr_pmemdup(p, data, *plen) : data;
}

apr_status_t mg_db_get_int(mg_db_t *db, apr_int64_t *pvalue, const char *sql,
                           const char *fmt, ...)
{
    mg_stmt_t *stmt;
    va_list ap;
    apr_status_t rv;

    va_start(ap, fmt);
    rv = query_v(&stmt, db, sql, fmt, ap);
    va_end(ap);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_stmt_next(stmt);
    if (rv == APR_EOF)
        return APR_ENOENT;
    if (rv != APR_SUCCESS)
        return rv;
    *pvalue = mg_stmt_int(stmt, 0);
    stmt_end(stmt);
    return APR_SUCCESS;
}
