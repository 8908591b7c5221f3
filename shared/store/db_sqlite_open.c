/* db_sqlite_open.c - the store's files and how SQLite is told to treat them.
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
#include <apr_strings.h>
#include "db_sqlite.h"
#include "mg_fault.h"

enum { P_CREATE = 1, P_WRITE = 2, P_READ = 4 };
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
    /* NORMAL syncs what keeps the store whole: the log ahead of a checkpoint,
     * its header when it begins anew. What makes a COMMIT last, FULL would do
     * while everybody stands in line; db_sqlite_sync() does it after. */
    { "PRAGMA synchronous=NORMAL", P_WRITE },
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

apr_status_t db_sqlite_failed(mg_db_t *db, int rc, const char *sql)
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
           || (when & P_CREATE && flags & MG_DB_CREATE);
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
            return db_sqlite_failed(db, rc, pragmas[i].sql);
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
        return db_sqlite_failed(db, rc, NULL);
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

/* The log is there from the first look on and stays (PERSIST_WAL). Its locks
 * are not on this file, so closing a descriptor of it takes none away. */
static apr_status_t open_log(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;
    char why[120];

    conn->log_fd = open(conn->wal_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (conn->log_fd >= 0)
        return APR_SUCCESS;
    return mg_db_fail(db, MG_EIO, "%s: %s", conn->wal_path,
                      apr_strerror(APR_FROM_OS_ERROR(errno), why,
                                   sizeof(why)));
}

/* A checkpoint that came in between has synced the log before us, and then the
 * store: what we wrote is on disk wherever it stands now.
 *
 * A failure is never MG_EFULL, which says that the transaction was undone: it
 * stands in the log, others see it, and who replays it does it twice. */
apr_status_t db_sqlite_sync(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;
    apr_status_t rv = MG_FAULT("store.sync");
    char why[120];

    if (rv == APR_SUCCESS && fdatasync(conn->log_fd) != 0)
        rv = APR_FROM_OS_ERROR(errno);
    if (rv == APR_SUCCESS)
        return APR_SUCCESS;
    conn->sync_failed = 1;
    return mg_db_fail(db, MG_EIO, "sync of %s: %s", conn->wal_path,
                      apr_strerror(rv, why, sizeof(why)));
}

apr_status_t db_sqlite_make_good(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;
    int frames = 0, done = 0, rc;

    sqlite3_busy_timeout(conn->handle, CHECKPOINT_BUSY_MS);
    rc = sqlite3_wal_checkpoint_v2(conn->handle, NULL, SQLITE_CHECKPOINT_FULL,
                                   &frames, &done);
    sqlite3_busy_timeout(conn->handle, BUSY_MS);
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
        return db_sqlite_failed(db, rc, "checkpoint");
    if (rc != SQLITE_OK || done < frames)
        return mg_db_fail(db, MG_EIO, "sync of %s failed, and readers are in "
                          "the way of a checkpoint", conn->wal_path);
    conn->sync_failed = 0;
    return APR_SUCCESS;
}

void db_sqlite_close(mg_db_t *db)
{
    sqlite_conn_t *conn = db->conn;

    if (!conn)
        return;
    if (conn->handle)
        sqlite3_close_v2(conn->handle);
    if (conn->log_fd >= 0)
        close(conn->log_fd);
    apr_pool_destroy(conn->pool); /* and the turnstile with it */
    db->conn = NULL;
}

apr_status_t db_sqlite_open(mg_db_t *db)
{
    apr_pool_t *pool;
    sqlite_conn_t *conn;
    apr_status_t rv;

    apr_pool_create(&pool, db->pool);
    conn = apr_pcalloc(pool, sizeof(*conn));
    conn->pool = pool;
    conn->log_fd = -1;
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
            rv = db_sqlite_failed(db, rc, NULL);
        share_files(conn);
        if (rv == APR_SUCCESS && !(db->flags & MG_DB_READONLY))
            rv = open_log(db);
    }
    if (rv != APR_SUCCESS)
        db_sqlite_close(db);
    return rv;
}

/* A child that closed the parent's handle could take its locks away and
 * delete its log. The memory is lost until exec or exit, as it must be. */
void db_sqlite_abandon(mg_db_t *db)
{
    db->conn = NULL;
}

apr_status_t db_sqlite_alive(mg_db_t *db)
{
    (void)db;
    return APR_SUCCESS;
}
