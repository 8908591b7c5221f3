/* db_sqlite.h - the parts of the SQLite driver among themselves.
 *
 *   db_sqlite.c       transactions, statements, the checkpoint
 *   db_sqlite_open.c  files, pragmas; errors by class
 */
#ifndef DB_SQLITE_H
#define DB_SQLITE_H

#include <sqlite3.h>
#include "mg_db_driver.h"
#include "turnstile.h"

/* Only what stands outside of our line can make us wait here: a person's
 * sqlite3, a recovery. */
#define BUSY_MS 3000
/* A checkpoint holds the line while it waits for readers: not for long. */
#define CHECKPOINT_BUSY_MS 10

typedef struct {
    sqlite3 *handle;
    const char *path, *wal_path;
    apr_pool_t *pool;
    turnstile_t *turnstile;  /* NULL: read-only */
    int in_line;
    int log_fd;              /* of the log, to sync it; -1: not open */
    int sync_failed;         /* part of the log may never come to the disk */
} sqlite_conn_t;

/** Leaves SQLite's words for mg_db_error(). @return our class for rc */
apr_status_t db_sqlite_failed(mg_db_t *db, int rc, const char *sql);

apr_status_t db_sqlite_open(mg_db_t *db);
void db_sqlite_close(mg_db_t *db);
void db_sqlite_abandon(mg_db_t *db);
apr_status_t db_sqlite_alive(mg_db_t *db);
/** What was committed is on disk when this returns. Not in line: others write
 * meanwhile. */
apr_status_t db_sqlite_sync(mg_db_t *db);
/** In line, after a sync that failed: the kernel tells of a page that it could
 * not write once, and then calls it clean. All of the log goes into the store,
 * and that is synced; before, nothing that comes behind it in the log lasts.
 * @return MG_EIO if it cannot be done now */
apr_status_t db_sqlite_make_good(mg_db_t *db);

#endif
