/* db_sqlite.c - the store in one SQLite file.
 *
 * WAL, so readers never wait for writers; writers of all processes stand in
 * line at the turnstile. A write outside a transaction stands in line too.
 *
 * Files: PATH, PATH-wal, PATH-shm, PATH-line, PATH-turn, all 0660 and of the
 * store's group, whatever the umask of who comes first. The log stays when the
 * last one closes (PERSIST_WAL), so that a reader without the right to make
 * files can open.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sqlite3.h>
#include <apr_strings.h>
#include "mg_db_driver.h"
#include "turnstile.h"

/* Only what stands outside of our line can make us wait here: a person's
 * sqlite3, a recovery. */
#define BUSY_MS 3000
/* The checkpoint holds the line while it waits for readers: not for long. */
#define CHECKPOINT_BUSY_MS 10

enum { P_CREATE = 1, P_WRITE = 2, P_FULL = 4, P_RELAXED = 8, P_READ = 16 };
#define P_ALL (P_WRITE | P_READ)

/* Every pragma we set, in order; make bench-store has the figures. */
static const struct {
    const char *sql;
    int when;
} pragmas[] = {
    /* Only when the file is made. 4096 is the file system's block. */
    { "PRAGMA page_size=4096", P_CREATE },
    { "PRAGMA auto_vacuum=NONE", P_CREATE },
    { "PRAGMA journal_mode=WAL", P_WRITE },
    /* FULL syncs the log at each COMMIT: "accepted" means committed. NORMAL
     * syncs at checkpoints only: may lose the last seconds, never tears. */
    { "PRAGMA synchronous=FULL", P_FULL },
    { "PRAGMA synchronous=NORMAL", P_RELAXED },
    /* Debian compiles it on: deleting content then writes 50 x the log */
    { "PRAGMA secure_delete=OFF", P_WRITE },
    /* checked by fsck; a REFERENCES clause is documentation here */
    { "PRAGMA foreign_keys=OFF", P_WRITE },
    /* the keeper's alone (mg_db_checkpoint) */
    { "PRAGMA wal_autocheckpoint=0", P_WRITE },
    { "PRAGMA cache_size=-16384", P_ALL },   /* KiB */
    { "PRAGMA mmap_size=0", P_ALL },         /* a bad disk is EIO, not SIGBUS */
    { "PRAGMA temp_store=MEMORY", P_ALL },
    { "PRAGMA trusted_schema=OFF", P_ALL },
};

typedef struct {
    sqlite3 *handle;
    const char *path, *wal_path;
    apr_pool_t *pool;
    turnstile_t *turnstile;  /* NULL: read-only */
    int in_line;
} sqlite_conn_t;

typedef struct {
    sqlite3_stmt *handle;
    int nparams;
    int readonly;
    int in_line;             /* this statement alone holds the turnstile */
    int index[MG_PARAM_MAX]; /* where $1, $2 ... are */
} sqlite_stmt_t;

/* --- errors --- */

static apr_status_t class_of(sqlite3 *handle, int rc)
{
    int os = handle ? sqlite3_system_errno(handle) : 0;

    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_INTERRUPT:
    case SQLITE_SCHEMA: /* changed over and over; the next try may succeed */
        return MG_EBUSY;
    case SQLITE_CONSTRAINT:
        return MG_ECONFLICT;
    case SQLITE_FULL:
        return MG_EFULL;
    case SQLITE_IOERR:
        /* the log's index cannot grow, or a disk quota is used up */
        return os == ENOSPC || os == EDQUOT ? MG_EFULL : MG_EIO;
    case SQLITE_NOMEM:
        return APR_ENOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return MG_EIO;
    default: /* ERROR, MISUSE, RANGE, MISMATCH, TOOBIG */
        return MG_ESQL;
    }
}

static apr_status_t failed(mg_db_t *db, int rc, const char *sql)
{
    sqlite_conn_t *conn = db->conn;
    int code = sqlite3_extended_errcode(conn->handle);
    int os = sqlite3_system_errno(conn->handle);
    char why[80] = "";

    if ((code & 0xff) != (rc & 0xff))
        code = rc;
    if (os != 0 && ((rc & 0xff) == SQLITE_IOERR
                    || (rc & 0xff) == SQLITE_CANTOPEN))
        apr_strerror(APR_FROM_OS_ERROR(os), why, sizeof(why));
    return mg_db_fail(db, class_of(conn->handle, code),
                      "sqlite: %s (%d)%s%s%s%s",
                      sqlite3_errmsg(conn->handle), code,
                      *why ? ": " : "", why, sql ? " in " : "",
                      sql ? sql : "");
}

/* --- opening --- */

static int pragma_applies(int when, int flags)
{
    if (when & P_READ && flags & MG_DB_READONLY)
        return 1;
    if (flags & MG_DB_READONLY)
        return 0;
    return (when & P_WRITE)
           || (when & P_CREATE && flags & MG_DB_CREATE)
           || (when & P_RELAXED && flags & MG_DB_RELAXED)
           || (when & P_FULL && !(flags & MG_DB_RELAXED));
}

static apr_status_t set_pragmas(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;
    apr_size_t i;
    int rc;

    for (i = 0; i < sizeof(pragmas) / sizeof(*pragmas); i++) {
        if (!pragma_applies(pragmas[i].when, db->flags))
            continue;
        rc = sqlite3_exec(conn->handle, pragmas[i].sql, NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            return failed(db, rc, pragmas[i].sql);
    }
    return APR_SUCCESS;
}

static void sync_directory(const char *path, apr_pool_t *p)
{
    char *dir = apr_pstrdup(p, path);
    char *slash = strrchr(dir, '/');
    int fd;

    if (!slash)
        dir = apr_pstrdup(p, ".");
    else
        slash[slash == dir] = '\0';
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

/* SQLite would make the file with the umask's rights; the log's and the
 * index's follow the store's. */
static apr_status_t create_file(mg_db_t *db, const char *path, apr_pool_t *p)
{
    char why[120];
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);

    if (fd < 0 && errno == EEXIST)
        return APR_SUCCESS;
    if (fd < 0 || fchmod(fd, 0660) != 0) {
        apr_status_t rv = APR_FROM_OS_ERROR(errno);
        if (fd >= 0)
            close(fd);
        return mg_db_fail(db, MG_EIO, "store %s cannot be made: %s", path,
                          apr_strerror(rv, why, sizeof(why)));
    }
    close(fd);
    sync_directory(path, p);
    return APR_SUCCESS;
}

static apr_status_t check_file(mg_db_t *db, const char *path)
{
    struct stat st;
    char why[120];

    if (stat(path, &st) == 0)
        return APR_SUCCESS;
    if (errno == ENOENT)
        return mg_db_fail(db, MG_ESCHEMA, "store %s does not exist: run "
                          "mailgunctl init", path);
    return mg_db_fail(db, MG_EIO, "store %s: %s", path,
                      apr_strerror(APR_FROM_OS_ERROR(errno), why,
                                   sizeof(why)));
}

static apr_status_t open_turnstile(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;
    char why[120];
    apr_status_t rv = turnstile_open(&conn->turnstile, conn->path, conn->pool);

    if (rv == APR_SUCCESS)
        return APR_SUCCESS;
    return mg_db_fail(db, MG_EIO, "%s-line, %s-turn: %s (is this user of the "
                      "store's group?)", conn->path, conn->path,
                      apr_strerror(rv, why, sizeof(why)));
}

/* Its counters of memory are one mutex for all threads. */
static void configure_library(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static apr_status_t open_handle(mg_db_t *db)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sqlite_conn_t *conn = db->conn;
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
                | (db->flags & MG_DB_READONLY ? SQLITE_OPEN_READONLY
                                              : SQLITE_OPEN_READWRITE);
    int persist = 1, rc;

    pthread_once(&once, configure_library);
    rc = sqlite3_open_v2(conn->path, &conn->handle, flags, NULL);
    if (!conn->handle)
        return mg_db_fail(db, APR_ENOMEM, "sqlite: out of memory");
    if (rc != SQLITE_OK)
        return failed(db, rc, NULL);
    sqlite3_busy_timeout(conn->handle, BUSY_MS);
    sqlite3_file_control(conn->handle, NULL, SQLITE_FCNTL_PERSIST_WAL,
                         &persist);
    return set_pragmas(db);
}

static void share_files(sqlite_conn_t *conn)
{
    turnstile_share(conn->wal_path, conn->path);
    turnstile_share(apr_pstrcat(conn->pool, conn->path, "-shm", NULL),
                    conn->path);
}

static void sqlite_close(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;

    if (!conn)
        return;
    if (conn->handle)
        sqlite3_close_v2(conn->handle);
    apr_pool_destroy(conn->pool); /* and the turnstile with it */
    db->conn = NULL;
}

static apr_status_t sqlite_open(mg_db_t *db)
{
    apr_pool_t *pool;
    sqlite_conn_t *conn;
    apr_status_t rv;

    apr_pool_create(&pool, db->pool);
    conn = apr_pcalloc(pool, sizeof(*conn));
    conn->pool = pool;
    conn->path = db->url + strlen("sqlite:");
    conn->wal_path = apr_pstrcat(pool, conn->path, "-wal", NULL);
    db->conn = conn;
    rv = APR_SUCCESS;
    if (db->flags & MG_DB_CREATE)
        rv = create_file(db, conn->path, pool);
    if (rv == APR_SUCCESS)
        rv = check_file(db, conn->path);
    if (rv == APR_SUCCESS && !(db->flags & MG_DB_READONLY))
        rv = open_turnstile(db);
    if (rv == APR_SUCCESS)
        rv = open_handle(db);
    if (rv == APR_SUCCESS) {
        /* the first look makes log and index, whoever looks */
        int rc = sqlite3_exec(conn->handle, "SELECT 1 FROM sqlite_master",
                              NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            rv = failed(db, rc, NULL);
        share_files(conn);
    }
    if (rv != APR_SUCCESS)
        sqlite_close(db);
    return rv;
}

/* A child that closed the parent's handle could take its locks away and
 * delete its log. The memory is lost until exec or exit, as it must be. */
static void sqlite_abandon(mg_db_t *db)
{
    db->conn = NULL;
}

static apr_status_t sqlite_alive(mg_db_t *db)
{
    (void)db;
    return APR_SUCCESS;
}

/* --- transactions --- */

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
    return APR_SUCCESS;
}

static void leave_line(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;

    conn->in_line = 0;
    if (conn->turnstile)
        turnstile_leave(conn->turnstile);
}

static apr_status_t simple(mg_db_t *db, const char *sql)
{
    sqlite_conn_t *conn = db->conn;
    int rc = sqlite3_exec(conn->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? APR_SUCCESS : failed(db, rc, sql);
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
    if (rv != APR_SUCCESS)
        sqlite_rollback(db);
    else
        leave_line(db);
    return rv;
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
        return failed(db, rc, stmt->sql);
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
            return failed(stmt->db, rc, stmt->sql);
    }
    return APR_SUCCESS;
}

static void stmt_leave_line(mg_stmt_t *stmt)
{
    sqlite_stmt_t *s = stmt->handle;

    if (s->in_line)
        leave_line(stmt->db);
    s->in_line = 0;
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
    apr_status_t rv = stmt_begin(stmt, params, n, SQLITE_STATIC);
    int rc;

    if (rv != APR_SUCCESS)
        return rv;
    do {
        rc = sqlite3_step(s->handle);
    } while (rc == SQLITE_ROW);
    if (rc != SQLITE_DONE)
        rv = failed(stmt->db, rc, stmt->sql);
    else if (paffected && !s->readonly)
        *paffected = sqlite3_changes64(conn->handle);
    sqlite3_reset(s->handle);
    stmt_leave_line(stmt);
    return rv;
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
    stmt_leave_line(stmt);
}

static apr_status_t sqlite_next(mg_stmt_t *stmt)
{
    sqlite_stmt_t *s = stmt->handle;
    int rc = sqlite3_step(s->handle);

    if (rc == SQLITE_ROW)
        return APR_SUCCESS;
    return rc == SQLITE_DONE ? APR_EOF : failed(stmt->db, rc, stmt->sql);
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
    if (alone)
        leave_line(db);
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
    return rc == SQLITE_OK ? APR_SUCCESS : failed(db, rc, "checkpoint");
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
    .open = sqlite_open,
    .close = sqlite_close,
    .abandon = sqlite_abandon,
    .alive = sqlite_alive,
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
