/* db_sqlite.c - the store in one SQLite file.
 *
 * WAL, so readers never wait for writers; writers of all processes stand in
 * line at the turnstile. A write outside a transaction stands in line too.
 *
 * COMMIT puts the transaction into the log and leaves the line; then the log is
 * synced, and only then is it said to be committed. While one waits for the
 * disk the next one writes, and one sync serves all that wrote before it. What
 * others see of us meanwhile they may act upon: a machine that loses power
 * forgets both, or ours is only not acknowledged.
 */
#include <string.h>
#include <sys/stat.h>
#include <apr_strings.h>
#include "db_sqlite.h"

/* Frames of a log (32 MB) that is worth two syncs with the line held. A shorter
 * one, once all of it is in the store, is begun anew by the next who writes. */
#define RESTART_FRAMES 8192

typedef struct {
    sqlite3_stmt *handle;
    int nparams;
    int readonly;
    int in_line;             /* this statement alone holds the turnstile */
    int index[MG_PARAM_MAX]; /* where $1, $2 ... are */
} sqlite_stmt_t;

/* --- transactions --- */

static void leave_line(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;

    conn->in_line = 0;
    if (conn->turnstile)
        turnstile_leave(conn->turnstile);
}

static apr_status_t enter_line(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;
    char why[120];
    apr_status_t rv;

    if (!conn->turnstile)
        return mg_db_fail(db, MG_ESQL, "the store was opened read-only");
    rv = turnstile_enter(conn->turnstile);
    if (rv != APR_SUCCESS)
        return mg_db_fail(db, MG_EIO, "turnstile: %s",
                          apr_strerror(rv, why, sizeof(why)));
    conn->in_line = 1;
    rv = conn->sync_failed ? db_sqlite_make_good(db) : APR_SUCCESS;
    if (rv != APR_SUCCESS)
        leave_line(db);
    return rv;
}

/* After the line was left: it lasts, unless nobody needs that. */
static apr_status_t make_last(mg_db_t *db)
{
    if (db->flags & MG_DB_RELAXED || db->tx_lazy)
        return APR_SUCCESS;
    return db_sqlite_sync(db);
}

static apr_status_t simple(mg_db_t *db, const char *sql)
{
    sqlite_conn_t *conn = db->conn;
    int rc = sqlite3_exec(conn->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? APR_SUCCESS : db_sqlite_failed(db, rc, sql);
}

static apr_status_t sqlite_begin(mg_db_t *db, mg_tx_mode_t mode)
{
    apr_status_t rv;

    if (mode == MG_TX_READ)
        return simple(db, "BEGIN");
    rv = enter_line(db);
    if (rv != APR_SUCCESS)
        return rv;
    rv = simple(db, "BEGIN IMMEDIATE");
    if (rv != APR_SUCCESS)
        leave_line(db);
    return rv;
}

static void sqlite_rollback(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;

    /* some errors (full, I/O) have rolled back already */
    if (!sqlite3_get_autocommit(conn->handle))
        sqlite3_exec(conn->handle, "ROLLBACK", NULL, NULL, NULL);
    leave_line(db);
}

static apr_status_t sqlite_commit(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;
    apr_status_t rv;

    /* were it undone behind our back, COMMIT would say "no transaction" */
    rv = simple(db, "COMMIT");
    if (rv == APR_SUCCESS && !sqlite3_get_autocommit(conn->handle))
        rv = mg_db_fail(db, MG_EIO, "sqlite: COMMIT left it open");
    if (rv != APR_SUCCESS) {
        sqlite_rollback(db);
        return rv;
    }
    leave_line(db);
    return db->tx_mode == MG_TX_WRITE ? make_last(db) : APR_SUCCESS;
}

/* --- statements --- */

static apr_status_t map_params(mg_db_t *db, sqlite_stmt_t *s, const char *sql)
{
    char name[8];
    int i;

    s->nparams = sqlite3_bind_parameter_count(s->handle);
    if (s->nparams > MG_PARAM_MAX)
        return mg_db_fail(db, MG_ESQL, "too many parameters in %s", sql);
    for (i = 0; i < s->nparams; i++) {
        apr_snprintf(name, sizeof(name), "$%d", i + 1);
        s->index[i] = sqlite3_bind_parameter_index(s->handle, name);
        if (s->index[i] == 0)
            return mg_db_fail(db, MG_ESQL, "%d parameters but no %s in %s",
                              s->nparams, name, sql);
    }
    return APR_SUCCESS;
}

static apr_status_t sqlite_prepare(mg_stmt_t *stmt)
{
    mg_db_t *db = stmt->db;
    sqlite_conn_t *conn = db->conn;
    sqlite_stmt_t *s = apr_pcalloc(stmt->pool, sizeof(*s));
    const char *rest = NULL;
    apr_status_t rv;
    int rc;

    rc = sqlite3_prepare_v3(conn->handle, stmt->sql, -1,
                            SQLITE_PREPARE_PERSISTENT, &s->handle, &rest);
    if (rc != SQLITE_OK)
        return db_sqlite_failed(db, rc, stmt->sql);
    if (!s->handle)
        return mg_db_fail(db, MG_ESQL, "empty statement");
    rv = rest[strspn(rest, " \t\r\n;")]
             ? mg_db_fail(db, MG_ESQL, "more than one statement in %s",
                          stmt->sql)
             : map_params(db, s, stmt->sql);
    if (rv != APR_SUCCESS) {
        sqlite3_finalize(s->handle);
        return rv;
    }
    s->readonly = sqlite3_stmt_readonly(s->handle);
    stmt->handle = s;
    return APR_SUCCESS;
}

static void sqlite_finalize(mg_stmt_t *stmt)
{
    sqlite_stmt_t *s = stmt->handle;

    sqlite3_finalize(s->handle);
}

static int bind_one(sqlite3_stmt *h, int index, const mg_param_t *param,
                    void (*life)(void *))
{
    if (param->type == 'i')
        return sqlite3_bind_int64(h, index, param->num);
    if (!param->data)
        return sqlite3_bind_null(h, index);
    if (param->type == 't')
        return sqlite3_bind_text64(h, index, param->data, param->len, life,
                                   SQLITE_UTF8);
    return sqlite3_bind_blob64(h, index, param->data, param->len, life);
}

static apr_status_t bind_all(mg_stmt_t *stmt, const mg_param_t *params, int n,
                             void (*life)(void *))
{
    sqlite_stmt_t *s = stmt->handle;
    int i, rc;

    if (n != s->nparams)
        return mg_db_fail(stmt->db, MG_ESQL, "%d parameters given, %d wanted "
                          "in %s", n, s->nparams, stmt->sql);
    for (i = 0; i < n; i++) {
        rc = bind_one(s->handle, s->index[i], &params[i], life);
        if (rc != SQLITE_OK)
            return db_sqlite_failed(stmt->db, rc, stmt->sql);
    }
    return APR_SUCCESS;
}

/* The statement is over, and with it the transaction it may have been. */
static apr_status_t stmt_leave_line(mg_stmt_t *stmt)
{
    sqlite_stmt_t *s = stmt->handle;

    if (!s->in_line)
        return APR_SUCCESS;
    s->in_line = 0;
    leave_line(stmt->db);
    return make_last(stmt->db);
}

/* Bind, and stand in line if this is a write of its own. */
static apr_status_t stmt_begin(mg_stmt_t *stmt, const mg_param_t *params,
                               int n, void (*life)(void *))
{
    sqlite_stmt_t *s = stmt->handle;
    mg_db_t *db = stmt->db;
    sqlite_conn_t *conn = db->conn;
    apr_status_t rv = bind_all(stmt, params, n, life);

    if (rv != APR_SUCCESS || s->readonly)
        return rv;
    if (db->tx_open && db->tx_mode == MG_TX_READ)
        return mg_db_fail(db, MG_ESQL, "a write in a read transaction: %s",
                          stmt->sql);
    /* or another statement of this connection is in, its rows half read */
    if (!db->tx_open && !conn->in_line) {
        rv = enter_line(db);
        s->in_line = rv == APR_SUCCESS;
    }
    return rv;
}

static apr_status_t sqlite_exec(mg_stmt_t *stmt, const mg_param_t *params,
                                int n, apr_int64_t *paffected)
{
    sqlite_stmt_t *s = stmt->handle;
    sqlite_conn_t *conn = stmt->db->conn;
    /* the values outlive this call: no copies */
    apr_status_t rv = stmt_begin(stmt, params, n, SQLITE_STATIC), last;
    int rc;

    if (rv != APR_SUCCESS)
        return rv;
    do {
        rc = sqlite3_step(s->handle);
    } while (rc == SQLITE_ROW);
    if (rc != SQLITE_DONE)
        rv = db_sqlite_failed(stmt->db, rc, stmt->sql);
    else if (paffected && !s->readonly)
        *paffected = sqlite3_changes64(conn->handle);
    sqlite3_reset(s->handle);
    last = stmt_leave_line(stmt);
    return rv == APR_SUCCESS ? last : rv;
}

static apr_status_t sqlite_query(mg_stmt_t *stmt, const mg_param_t *params,
                                 int n)
{
    return stmt_begin(stmt, params, n, SQLITE_TRANSIENT);
}

static void sqlite_done(mg_stmt_t *stmt)
{
    sqlite_stmt_t *s = stmt->handle;

    sqlite3_reset(s->handle);
    (void)stmt_leave_line(stmt); /* who stops in the middle does not ask */
}

static apr_status_t sqlite_next(mg_stmt_t *stmt)
{
    sqlite_stmt_t *s = stmt->handle;
    int rc = sqlite3_step(s->handle);

    if (rc == SQLITE_ROW)
        return APR_SUCCESS;
    if (rc != SQLITE_DONE)
        return db_sqlite_failed(stmt->db, rc, stmt->sql);
    if (s->in_line) {
        apr_status_t rv;

        sqlite3_reset(s->handle);
        rv = stmt_leave_line(stmt);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return APR_EOF;
}

/* --- columns --- */

static int sqlite_is_null(mg_stmt_t *stmt, int col)
{
    sqlite_stmt_t *s = stmt->handle;

    return sqlite3_column_type(s->handle, col) == SQLITE_NULL;
}

static apr_int64_t sqlite_get_int(mg_stmt_t *stmt, int col)
{
    sqlite_stmt_t *s = stmt->handle;

    return sqlite3_column_int64(s->handle, col);
}

static char *sqlite_get_text(mg_stmt_t *stmt, int col, apr_pool_t *p)
{
    sqlite_stmt_t *s = stmt->handle;
    const void *text = sqlite3_column_text(s->handle, col);

    return apr_pstrmemdup(p, text ? text : "",
                          text ? sqlite3_column_bytes(s->handle, col) : 0);
}

static const void *sqlite_get_blob(mg_stmt_t *stmt, int col, apr_size_t *plen)
{
    sqlite_stmt_t *s = stmt->handle;
    const void *data = sqlite3_column_blob(s->handle, col);

    *plen = data ? sqlite3_column_bytes(s->handle, col) : 0;
    return data;
}

/* --- scripts and upkeep --- */

static apr_status_t sqlite_script(mg_db_t *db, const char *sql)
{
    sqlite_conn_t *conn = db->conn;
    int alone = !db->tx_open && !conn->in_line
                && !(db->flags & MG_DB_READONLY);
    apr_status_t rv = APR_SUCCESS;

    if (alone)
        rv = enter_line(db);
    if (rv != APR_SUCCESS)
        return rv;
    rv = simple(db, sql);
    if (alone) {
        leave_line(db);
        if (rv == APR_SUCCESS)
            rv = make_last(db);
    }
    return rv;
}

static apr_int64_t wal_bytes(const sqlite_conn_t *conn)
{
    struct stat st;

    return stat(conn->wal_path, &st) == 0 ? (apr_int64_t)st.st_size : 0;
}

static apr_status_t checkpoint_as(mg_db_t *db, int mode, int *pbusy,
                                  int *pframes, int *pdone)
{
    sqlite_conn_t *conn = db->conn;
    int rc = sqlite3_wal_checkpoint_v2(conn->handle, NULL, mode, pframes,
                                       pdone);

    if ((rc & 0xff) == SQLITE_BUSY) {
        *pbusy = 1;
        return APR_SUCCESS;
    }
    return rc == SQLITE_OK ? APR_SUCCESS : db_sqlite_failed(db, rc, "checkpoint");
}

static apr_status_t sqlite_checkpoint(mg_db_t *db, apr_int64_t wal_limit,
                                      mg_checkpoint_t *result)
{
    sqlite_conn_t *conn = db->conn;
    int frames = 0, done = 0, mode;
    apr_status_t rv;

    if (db->tx_open)
        return mg_db_fail(db, MG_ESQL, "checkpoint in a transaction");
    /* Most pages, and most of the syncing, without the lock ... */
    rv = checkpoint_as(db, SQLITE_CHECKPOINT_PASSIVE, &result->busy, &frames,
                       &done);
    result->wal_bytes = wal_bytes(conn);
    if (rv != APR_SUCCESS || frames <= 0)
        return rv;
    if (frames < RESTART_FRAMES && result->wal_bytes <= wal_limit)
        return APR_SUCCESS;
    /* ... what came meanwhile under it, so that the log begins anew. */
    mode = result->wal_bytes > wal_limit ? SQLITE_CHECKPOINT_TRUNCATE
                                         : SQLITE_CHECKPOINT_RESTART;
    result->busy = 0;
    rv = enter_line(db);
    if (rv != APR_SUCCESS)
        return rv;
    sqlite3_busy_timeout(conn->handle, CHECKPOINT_BUSY_MS);
    rv = checkpoint_as(db, mode, &result->busy, &frames, &done);
    sqlite3_busy_timeout(conn->handle, BUSY_MS);
    leave_line(db);
    result->wal_bytes = wal_bytes(conn);
    return rv;
}

const mg_db_driver_t mg_db_sqlite = {
    .kind = MG_DB_SQLITE,
    /* INTEGER PRIMARY KEY is the row's own key; BIGINT would be an index */
    .id_type = "INTEGER PRIMARY KEY",
    .text_type = "TEXT",
    .blob_type = "BLOB",
    .without_rowid = "WITHOUT ROWID",
    .has_table = "SELECT 1 FROM sqlite_master WHERE type = 'table' "
                 "AND name = $1",
    .migration_lock = NULL, /* the transaction is one */
    .open = db_sqlite_open,
    .close = db_sqlite_close,
    .abandon = db_sqlite_abandon,
    .alive = db_sqlite_alive,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .prepare = sqlite_prepare,
    .finalize = sqlite_finalize,
    .exec = sqlite_exec,
    .query = sqlite_query,
    .next = sqlite_next,
    .done = sqlite_done,
    .is_null = sqlite_is_null,
    .get_int = sqlite_get_int,
    .get_text = sqlite_get_text,
    .get_blob = sqlite_get_blob,
    .script = sqlite_script,
    .checkpoint = sqlite_checkpoint,
};
