/* mg_db_driver.h - between mg_db.c, mg_db_stmt.c and the two drivers; nobody
 * else's.
 *
 * Those two have what both drivers do alike: parameters from their format, the
 * cache of statements, transaction state, hooks, "after an error only
 * rollback". A driver talks to its library and sorts errors into our classes,
 * with the words left by mg_db_fail().
 */
#ifndef MG_DB_DRIVER_H
#define MG_DB_DRIVER_H

#include <apr_hash.h>
#include <apr_tables.h>
#include <sys/types.h>
#include "mg_db.h"
#include "mg_status.h"

#define MG_PARAM_MAX 64

/** One bound value. A NULL t or b keeps its letter: that is its type. */
typedef struct {
    char type;              /* i t b n, as in mg_db.h */
    apr_int64_t num;        /* i */
    const void *data;       /* t, b; NULL is SQL's NULL */
    apr_size_t len;         /* of data; a text has a NUL behind it */
} mg_param_t;

typedef struct {
    mg_db_kind_t kind;
    /* words of the dialect, for migrations: @ID@, @TEXT@ ... */
    const char *id_type, *text_type, *blob_type, *without_rowid;
    /* one row if the table $1 exists */
    const char *has_table;
    /* run first in a migration's transaction; NULL if it needs none */
    const char *migration_lock;

    /* around a statement that must change one row, so that it fails of itself
     * if it does not; NULL: asking costs nothing */
    const char *one_row_begin, *one_row_end;

    /** Connect; db->conn. Called again by mg_db_reconnect(). */
    apr_status_t (*open)(mg_db_t *db);
    /** Close; every statement was finalized. db->conn may be NULL. */
    void (*close)(mg_db_t *db);
    /** In a forked child: let go without a word to the other side. */
    void (*abandon)(mg_db_t *db);
    /** MG_ELOST if an idle connection is known to be gone. Cheap. */
    apr_status_t (*alive)(mg_db_t *db);

    apr_status_t (*begin)(mg_db_t *db, mg_tx_mode_t mode);
    /** On failure the transaction is over and undone (or in doubt:
     * MG_ELOST). */
    apr_status_t (*commit)(mg_db_t *db);
    void (*rollback)(mg_db_t *db);

    apr_status_t (*prepare)(mg_stmt_t *stmt);
    void (*finalize)(mg_stmt_t *stmt);
    apr_status_t (*exec)(mg_stmt_t *stmt, const mg_param_t *params, int n,
                         apr_int64_t *paffected);
    apr_status_t (*query)(mg_stmt_t *stmt, const mg_param_t *params, int n);
    apr_status_t (*next)(mg_stmt_t *stmt); /* APR_EOF: done() follows */
    void (*done)(mg_stmt_t *stmt);

    int (*is_null)(mg_stmt_t *stmt, int col);
    apr_int64_t (*get_int)(mg_stmt_t *stmt, int col);
    char *(*get_text)(mg_stmt_t *stmt, int col, apr_pool_t *p);
    const void *(*get_blob)(mg_stmt_t *stmt, int col, apr_size_t *plen);

    apr_status_t (*script)(mg_db_t *db, const char *sql);
    apr_status_t (*checkpoint)(mg_db_t *db, apr_int64_t wal_limit,
                               mg_checkpoint_t *result);
} mg_db_driver_t;

extern const mg_db_driver_t mg_db_sqlite;
extern const mg_db_driver_t mg_db_pgsql;

struct mg_stmt_t {
    mg_db_t *db;
    apr_pool_t *pool;       /* its own: the cache can let go of it */
    const char *sql;
    void *handle;           /* the driver's */
    int active;             /* between query and EOF or done */
    int has_row;            /* the last next() gave one */
};

struct mg_db_t {
    apr_pool_t *pool;
    apr_pool_t *ptemp;      /* cleaned texts; cleared with each statement */
    const mg_db_driver_t *driver;
    const char *url;
    int flags;
    void *conn;             /* the driver's; NULL: not connected */
    pid_t pid;              /* who opened: a forked child must not close */
    apr_hash_t *stmts;      /* by text */

    int tx_open;
    mg_tx_mode_t tx_mode;
    int tx_will_replay;
    int tx_lazy;            /* COMMIT need not wait for the disk */
    apr_int64_t tx_bytes;
    apr_status_t tx_error;  /* the first one; then only rollback */
    apr_pool_t *tx_pool;
    apr_array_header_t *hooks; /* of mg_hook_entry_t, in tx_pool */

    char error[1024];
};

/** Leave words for mg_db_error(). @return rv */
apr_status_t mg_db_fail(mg_db_t *db, apr_status_t rv, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
