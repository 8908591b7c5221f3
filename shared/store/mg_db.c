/* mg_db.c - the store's interface: what both drivers do alike (mg_db.h). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <apr_strings.h>
#include "mg_db_driver.h"
#include "mg_fault.h"
#include "mg_migrate.h"
#include "mg_text.h"

/* Statements a connection keeps. SQL is literals, so there are some hundred;
 * the cap is for who makes texts at run time. */
#define STMT_MAX 512

typedef struct {
    mg_tx_before_fn *before;
    mg_tx_after_fn *after;
    void *baton;
} mg_hook_entry_t;

apr_status_t mg_db_fail(mg_db_t *db, apr_status_t rv, const char *fmt, ...)
{
    va_list ap;
    apr_size_t len;

    va_start(ap, fmt);
    vsnprintf(db->error, sizeof(db->error), fmt, ap);
    va_end(ap);
    len = strlen(db->error); /* libpq ends its words with a newline */
    while (len > 0 && db->error[len - 1] == '\n')
        db->error[--len] = '\0';
    return rv;
}

/* Every result of a driver passes here. */
static apr_status_t note(mg_db_t *db, apr_status_t rv)
{
    if (rv == APR_SUCCESS || rv == APR_EOF)
        return rv;
    if (rv == MG_ELOST)
        db->lost = 1;
    if (db->tx_open && db->tx_error == APR_SUCCESS)
        db->tx_error = rv;
    return rv;
}

/* May a statement run now? After an error in a transaction none may, in
 * either driver: PostgreSQL would refuse, SQLite would go on and commit half.
 * The words of the first error stay. */
static apr_status_t check_usable(mg_db_t *db)
{
    if (!db->conn)
        return mg_db_fail(db, MG_ELOST, "not connected to the store");
    if (db->tx_open && db->tx_error != APR_SUCCESS)
        return db->tx_error;
    return APR_SUCCESS;
}

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

/* all: with those in use. It is safe to delete the current entry. */
static void stmts_forget(mg_db_t *db, int all)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(db->ptemp, db->stmts); hi;
         hi = apr_hash_next(hi)) {
        mg_stmt_t *stmt = apr_hash_this_val(hi);
        if (all || !stmt->active)
            stmt_forget(stmt);
    }
}

/* A statement left open would hold SQLite's snapshot and keep the log from
 * being checkpointed: none outlives the transaction it was begun in. */
static void stmts_end(mg_db_t *db)
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
        stmts_forget(db, 0);
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
    apr_status_t rv = check_usable(db);

    *pstmt = NULL;
    if (rv != APR_SUCCESS)
        return rv;
    apr_pool_clear(db->ptemp);
    rv = take_params(db, params, pn, fmt, ap);
    if (rv == APR_SUCCESS)
        rv = stmt_find(pstmt, db, sql);
    return note(db, rv);
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
    return note(db, db->driver->exec(stmt, params, n, paffected));
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
    rv = note(db, db->driver->query(stmt, params, n));
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
    rv = note(stmt->db, stmt->db->driver->next(stmt));
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

apr_status_t mg_db_script(mg_db_t *db, const char *sql)
{
    apr_status_t rv = check_usable(db);

    if (rv != APR_SUCCESS)
        return rv;
    return note(db, db->driver->script(db, sql));
}

/* --- transactions --- */

static void tx_end(mg_db_t *db)
{
    if (db->tx_pool)
        apr_pool_destroy(db->tx_pool);
    db->tx_pool = NULL;
    db->hooks = NULL;
    db->tx_open = 0;
    db->tx_will_replay = 0;
    db->tx_error = APR_SUCCESS;
}

apr_status_t mg_tx_begin(mg_db_t *db, mg_tx_mode_t mode)
{
    apr_status_t rv;

    if (db->tx_open)
        return note(db, mg_db_fail(db, MG_ESQL,
                                   "a transaction is open already"));
    rv = mg_db_alive(db);
    if (rv != APR_SUCCESS)
        return rv;
    stmts_end(db);
    rv = note(db, db->driver->begin(db, mode));
    if (rv != APR_SUCCESS)
        return rv;
    db->tx_open = 1;
    db->tx_mode = mode;
    db->tx_error = APR_SUCCESS;
    db->tx_bytes = 0;
    apr_pool_create(&db->tx_pool, db->pool);
    db->hooks = apr_array_make(db->tx_pool, 4, sizeof(mg_hook_entry_t));
    if (mode == MG_TX_WRITE) {
        rv = MG_FAULT("store.begin");
        if (rv != APR_SUCCESS) {
            mg_tx_rollback(db);
            return note(db, mg_db_fail(db, rv, "failpoint store.begin"));
        }
    }
    return APR_SUCCESS;
}

static apr_status_t run_before(mg_db_t *db)
{
    apr_status_t rv;
    int i;

    /* a hook may add hooks: no pointer into the array is kept */
    for (i = 0; i < db->hooks->nelts; i++) {
        mg_hook_entry_t hook = APR_ARRAY_IDX(db->hooks, i, mg_hook_entry_t);

        if (!hook.before)
            continue;
        rv = hook.before(db, hook.baton);
        if (rv == APR_SUCCESS)
            rv = db->tx_error; /* one that overlooked its error */
        if (rv != APR_SUCCESS)
            return rv;
    }
    return APR_SUCCESS;
}

/* The transaction is over already, so that a hook may begin its own. */
static void run_after(mg_db_t *db)
{
    apr_pool_t *pool = db->tx_pool;
    apr_array_header_t *hooks = db->hooks;
    int i;

    db->tx_pool = NULL;
    tx_end(db);
    for (i = 0; i < hooks->nelts; i++) {
        mg_hook_entry_t *hook = &APR_ARRAY_IDX(hooks, i, mg_hook_entry_t);
        if (hook->after)
            hook->after(db, hook->baton);
    }
    apr_pool_destroy(pool);
}

apr_status_t mg_tx_commit(mg_db_t *db)
{
    apr_status_t rv;

    if (!db->tx_open)
        return mg_db_fail(db, MG_ESQL, "COMMIT without a transaction");
    rv = db->tx_error;
    if (rv == APR_SUCCESS)
        rv = run_before(db);
    if (rv == APR_SUCCESS && db->tx_mode == MG_TX_WRITE) {
        rv = MG_FAULT("store.commit.before");
        if (rv != APR_SUCCESS)
            mg_db_fail(db, rv, "failpoint store.commit.before");
    }
    if (rv != APR_SUCCESS) {
        mg_tx_rollback(db);
        return rv;
    }
    stmts_end(db);
    rv = note(db, db->driver->commit(db));
    if (rv == APR_SUCCESS && db->tx_mode == MG_TX_WRITE) {
        rv = MG_FAULT("store.commit.after");
        if (rv != APR_SUCCESS)
            note(db, mg_db_fail(db, rv, "failpoint store.commit.after"));
    }
    if (rv != APR_SUCCESS) {
        tx_end(db);
        return rv;
    }
    run_after(db);
    return APR_SUCCESS;
}

void mg_tx_rollback(mg_db_t *db)
{
    if (!db->tx_open)
        return;
    stmts_end(db);
    if (db->conn)
        db->driver->rollback(db);
    tx_end(db);
}

int mg_tx_is_open(const mg_db_t *db)
{
    return db->tx_open;
}

apr_int64_t mg_tx_bytes(const mg_db_t *db)
{
    return db->tx_open ? db->tx_bytes : 0;
}

void mg_tx_will_replay(mg_db_t *db)
{
    db->tx_will_replay = db->tx_open;
}

apr_status_t mg_tx_error(const mg_db_t *db)
{
    return db->tx_error;
}

void mg_tx_hook(mg_db_t *db, mg_tx_before_fn *before, mg_tx_after_fn *after,
                void *baton)
{
    mg_hook_entry_t *hook;
    int i;

    if (!db->tx_open)
        return;
    for (i = 0; i < db->hooks->nelts; i++) {
        hook = &APR_ARRAY_IDX(db->hooks, i, mg_hook_entry_t);
        if (hook->before == before && hook->after == after
            && hook->baton == baton)
            return;
    }
    hook = apr_array_push(db->hooks);
    hook->before = before;
    hook->after = after;
    hook->baton = baton;
}

apr_pool_t *mg_tx_pool(mg_db_t *db)
{
    return db->tx_pool;
}

/* --- opening and closing --- */

static void disconnect(mg_db_t *db)
{
    mg_tx_rollback(db);
    stmts_forget(db, 1);
    db->driver->close(db);
    db->conn = NULL;
}

static apr_status_t close_at_cleanup(void *data)
{
    mg_db_t *db = data;

    if (!db->conn)
        return APR_SUCCESS;
    if (db->pid == getpid())
        disconnect(db);
    else
        db->driver->abandon(db);
    return APR_SUCCESS;
}

static apr_status_t connect_store(mg_db_t *db)
{
    const char *words = NULL;
    apr_status_t rv = db->driver->open(db);

    if (rv != APR_SUCCESS)
        return rv;
    db->lost = 0;
    if (db->flags & (MG_DB_ANY_SCHEMA | MG_DB_CREATE))
        return APR_SUCCESS;
    rv = mg_schema_check(db, &words, db->ptemp);
    if (rv != APR_SUCCESS) {
        if (words)
            mg_db_fail(db, rv, "%s", words);
        disconnect(db);
    }
    return rv;
}

static const mg_db_driver_t *driver_of(const char *url)
{
    if (strncmp(url, "sqlite:", 7) == 0)
        return &mg_db_sqlite;
    if (strncmp(url, "postgresql://", 13) == 0
        || strncmp(url, "postgres://", 11) == 0)
        return &mg_db_pgsql;
    return NULL;
}

apr_status_t mg_db_open(mg_db_t **pdb, const char *url, int flags,
                        apr_pool_t *p)
{
    apr_pool_t *pool;
    mg_db_t *db;

    apr_pool_create(&pool, p);
    db = apr_pcalloc(pool, sizeof(*db));
    db->pool = pool;
    apr_pool_create(&db->ptemp, pool);
    db->url = apr_pstrdup(pool, url);
    db->flags = flags;
    db->pid = getpid();
    db->stmts = apr_hash_make(pool);
    *pdb = db;
    db->driver = driver_of(url);
    if (!db->driver)
        return mg_db_fail(db, MG_ECONFIG, "'%s' is no store; try "
                          "sqlite:/var/lib/mailgun/mailgun.db or "
                          "postgresql://user@host/name", url);
    /* before the children: statements live in pools of their own */
    apr_pool_pre_cleanup_register(pool, db, close_at_cleanup);
    return connect_store(db);
}

void mg_db_close(mg_db_t *db)
{
    apr_pool_destroy(db->pool);
}

apr_status_t mg_db_reconnect(mg_db_t *db)
{
    if (!db->driver)
        return MG_ECONFIG;
    if (db->conn)
        disconnect(db);
    db->pid = getpid();
    return connect_store(db);
}

apr_status_t mg_db_alive(mg_db_t *db)
{
    apr_status_t rv = check_usable(db);

    return rv == APR_SUCCESS ? note(db, db->driver->alive(db)) : rv;
}

void mg_db_reset(mg_db_t *db)
{
    mg_tx_rollback(db);
    stmts_end(db);
}

mg_db_kind_t mg_db_kind(const mg_db_t *db)
{
    return db->driver->kind;
}

const char *mg_db_url(const mg_db_t *db)
{
    return db->url;
}

const char *mg_db_error(const mg_db_t *db)
{
    return db->error;
}

apr_status_t mg_db_checkpoint(mg_db_t *db, apr_int64_t wal_limit,
                              mg_checkpoint_t *result)
{
    apr_status_t rv = check_usable(db);

    memset(result, 0, sizeof(*result));
    if (rv != APR_SUCCESS)
        return rv;
    return note(db, db->driver->checkpoint(db, wal_limit, result));
}
