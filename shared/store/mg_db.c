/* mg_db.c - the store's interface: what both drivers do alike (mg_db.h). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <apr_strings.h>
#include "mg_db_stmt.h"
#include "mg_fault.h"
#include "mg_migrate.h"

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

apr_status_t mg_db_note(mg_db_t *db, apr_status_t rv)
{
    if (rv == APR_SUCCESS || rv == APR_EOF)
        return rv;
    if (db->tx_open && db->tx_error == APR_SUCCESS)
        db->tx_error = rv;
    return rv;
}

apr_status_t mg_db_usable(mg_db_t *db)
{
    if (!db->conn)
        return mg_db_fail(db, MG_ELOST, "not connected to the store");
    if (db->tx_open && db->tx_error != APR_SUCCESS)
        return db->tx_error;
    return APR_SUCCESS;
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
    db->tx_lazy = 0;
    db->tx_error = APR_SUCCESS;
}

apr_status_t mg_tx_begin(mg_db_t *db, mg_tx_mode_t mode)
{
    apr_status_t rv;

    if (db->tx_open)
        return mg_db_note(db, mg_db_fail(db, MG_ESQL,
                                   "a transaction is open already"));
    rv = mg_db_alive(db);
    if (rv != APR_SUCCESS)
        return rv;
    mg_db_stmts_end(db);
    rv = mg_db_note(db, db->driver->begin(db, mode));
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
            return mg_db_note(db, mg_db_fail(db, rv, "failpoint store.begin"));
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
    mg_db_stmts_end(db);
    rv = mg_db_note(db, db->driver->commit(db));
    if (rv == APR_SUCCESS && db->tx_mode == MG_TX_WRITE) {
        rv = MG_FAULT("store.commit.after");
        if (rv != APR_SUCCESS)
            mg_db_note(db, mg_db_fail(db, rv, "failpoint store.commit.after"));
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
    mg_db_stmts_end(db);
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

void mg_tx_lazy(mg_db_t *db)
{
    db->tx_lazy = db->tx_open;
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

apr_status_t mg_db_script(mg_db_t *db, const char *sql)
{
    apr_status_t rv = mg_db_usable(db);

    if (rv != APR_SUCCESS)
        return rv;
    return mg_db_note(db, db->driver->script(db, sql));
}

/* --- opening and closing --- */

static void disconnect(mg_db_t *db)
{
    mg_tx_rollback(db);
    mg_db_stmts_forget(db, 1);
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
    apr_status_t rv = mg_db_usable(db);

    return rv == APR_SUCCESS ? mg_db_note(db, db->driver->alive(db)) : rv;
}

void mg_db_reset(mg_db_t *db)
{
    mg_tx_rollback(db);
    mg_db_stmts_end(db);
}

mg_db_kind_t mg_db_kind(const mg_db_t *db)
{
    return db->driver->kind;
}

const char *mg_db_error(const mg_db_t *db)
{
    return db->error;
}

apr_status_t mg_db_checkpoint(mg_db_t *db, apr_int64_t wal_limit,
                              mg_checkpoint_t *result)
{
    apr_status_t rv = mg_db_usable(db);

    memset(result, 0, sizeof(*result));
    if (rv != APR_SUCCESS)
        return rv;
    return mg_db_note(db, db->driver->checkpoint(db, wal_limit, result));
}
