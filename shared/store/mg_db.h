/* mg_db.h - the store: one connection, its statements, its transaction.
 *
 * Two drivers, one set of statements (design 1). SQL is what SQLite 3.40 and
 * PostgreSQL 15 both take: parameters are $1, $2 ... in order of first
 * appearance, ids we make ourselves, ON CONFLICT, BIGINT for every integer,
 * times in microseconds. Where a dialect must differ, it differs in
 * db_sqlite.c and db_pgsql.c, nowhere else.
 *
 * A connection belongs to one thread at a time. A statement is prepared once
 * per connection, found again by its text (keep SQL in string literals).
 *
 * Errors: MG_EBUSY MG_ECONFLICT MG_EFULL MG_EIO MG_ELOST MG_ESCHEMA MG_ESQL.
 * After any of them inside a transaction, the only way on is mg_tx_rollback().
 * Success of mg_tx_commit() means the server's answer was COMMIT and, unless
 * MG_DB_RELAXED, that the data is on disk. MG_ELOST from mg_tx_commit() means
 * the outcome is not known (see mg_group.h).
 *
 * SQLite writers stand in line at the turnstile (turnstile.h) from
 * mg_tx_begin(WRITE) to commit or rollback.
 */
#ifndef MG_DB_H
#define MG_DB_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct mg_db_t mg_db_t;
typedef struct mg_stmt_t mg_stmt_t;

enum {
    MG_DB_READONLY = 1, /* Dovecot's auth-worker */
    MG_DB_RELAXED = 2,  /* MailgunDurability relaxed: COMMIT without fsync */
    MG_DB_KEEPER = 4,   /* this connection makes the checkpoints */
    MG_DB_CREATE = 8,   /* mailgunctl init */
    MG_DB_ANY_SCHEMA = 16 /* do not check schema_version */
};

typedef enum { MG_DB_SQLITE, MG_DB_PGSQL } mg_db_kind_t;

/**
 * @param url  "sqlite:/path/mailgun.db" or "postgresql://..." (libpq's URI)
 * @return MG_ESCHEMA if migrations are missing or the store is for newer
 *         programs; mg_db_error() says which and what to do
 *
 * *pdb is set even on failure so that mg_db_error() can be asked.
 * The pool's cleanup rolls an open transaction back and closes.
 */
apr_status_t mg_db_open(mg_db_t **pdb, const char *url, int flags,
                        apr_pool_t *p);
void mg_db_close(mg_db_t *db);
mg_db_kind_t mg_db_kind(const mg_db_t *db);
/** What the driver said of the last failure, for the log. */
const char *mg_db_error(const mg_db_t *db);
/** After MG_ELOST: connect again; statements are prepared anew as needed. */
apr_status_t mg_db_reconnect(mg_db_t *db);
/** MG_ELOST if this connection, idle now, is known to be gone. Cheap: asks
 * nobody. mg_tx_begin() looks too. */
apr_status_t mg_db_alive(mg_db_t *db);
/** End whatever was left open: statements, a transaction (rolled back). */
void mg_db_reset(mg_db_t *db);

/* --- transactions --- */

typedef enum { MG_TX_READ, MG_TX_WRITE } mg_tx_mode_t;
apr_status_t mg_tx_begin(mg_db_t *db, mg_tx_mode_t mode);
apr_status_t mg_tx_commit(mg_db_t *db);
void mg_tx_rollback(mg_db_t *db);
int mg_tx_is_open(const mg_db_t *db);
/** The error that dooms this transaction; APR_SUCCESS if none is known. */
apr_status_t mg_tx_error(const mg_db_t *db);

/** Nobody is told of this transaction: its COMMIT need not wait for the disk.
 * A process that dies loses nothing of it, a machine that loses power may lose
 * it, until the next COMMIT that waits or the next checkpoint (a second): for
 * claims, sweeps, and what else is then simply done again. PostgreSQL waits
 * all the same: its server may die while we live on with what it forgot. */
void mg_tx_lazy(mg_db_t *db);
/** Bytes of texts and blobs bound in it so far. */
apr_int64_t mg_tx_bytes(const mg_db_t *db);
/** Whoever began this transaction runs its parts again one by one should it
 * fail, wherever the failure shows (mg_group.c). */
void mg_tx_will_replay(mg_db_t *db);

/** before: runs inside the transaction just ahead of COMMIT (counters that
 * were added up are written now); after: once COMMIT succeeded (doorbells).
 * Either may be NULL. Called once per registration; a (fn, baton) pair that is
 * registered already is not added twice. Rollback drops them. */
typedef apr_status_t mg_tx_before_fn(mg_db_t *db, void *baton);
typedef void mg_tx_after_fn(mg_db_t *db, void *baton);
void mg_tx_hook(mg_db_t *db, mg_tx_before_fn *before, mg_tx_after_fn *after,
                void *baton);
/** Lives until the transaction ends. NULL outside of one. */
apr_pool_t *mg_tx_pool(mg_db_t *db);

/* --- statements ---
 *
 * Binding by a format, one letter per parameter:
 *   i  apr_int64_t (cast!)      t  const char *, NULL is NULL
 *   b  const void *, apr_size_t (NULL pointer is NULL)
 *   n  NULL, takes no argument
 */

/**
 * A statement without rows. Outside a transaction it is one of its own.
 *
 * @param paffected  rows changed; NULL if nobody asks: then PostgreSQL may
 *                   send it down the pipeline and an error shows at the next
 *                   query or at COMMIT
 */
apr_status_t mg_db_exec(mg_db_t *db, apr_int64_t *paffected, const char *sql,
                        const char *fmt, ...);
typedef struct {
    apr_int64_t num;       /* of an i */
    const char *text;      /* of a t */
} mg_value_t;
/**
 * Many rows by few statements, in a transaction: "head VALUES ($1, $2), ...
 * tail". In order; an upsert must not name a key twice.
 *
 * @param fmt     of one row: i and t, 8 at most
 * @param values  rows * strlen(fmt)
 */
apr_status_t mg_db_exec_rows(mg_db_t *db, const char *head, const char *tail,
                             const char *fmt, const mg_value_t *values,
                             int rows);
/** A statement that must change exactly one row: a fenced UPDATE or DELETE.
 * In a batch that is replayed (mg_tx_will_replay) PostgreSQL checks by itself,
 * without a round trip, and the failure shows later, as MG_ESQL.
 * @return otherwise, if it changed none; the transaction goes on */
apr_status_t mg_db_exec_one(mg_db_t *db, apr_status_t otherwise,
                            const char *sql, const char *fmt, ...);
/** A statement with rows. Use up or mg_stmt_done() before the next use of the
 * same text. Outside a transaction a read of its own; keep it short. */
apr_status_t mg_db_query(mg_stmt_t **pstmt, mg_db_t *db, const char *sql,
                         const char *fmt, ...);
/** @return APR_SUCCESS: a row; APR_EOF: no more (and done) */
apr_status_t mg_stmt_next(mg_stmt_t *stmt);
void mg_stmt_done(mg_stmt_t *stmt);

int mg_stmt_is_null(mg_stmt_t *stmt, int col);
apr_int64_t mg_stmt_int(mg_stmt_t *stmt, int col); /* NULL is 0 */
char *mg_stmt_text(mg_stmt_t *stmt, int col, apr_pool_t *p); /* or NULL */
/** Copied into p, unless p is NULL: then valid until the next mg_stmt call. */
const void *mg_stmt_blob(mg_stmt_t *stmt, int col, apr_size_t *plen,
                         apr_pool_t *p);

/** One row, one integer; *pvalue is left alone when there is no row.
 * @return APR_ENOENT if there is no row */
apr_status_t mg_db_get_int(mg_db_t *db, apr_int64_t *pvalue, const char *sql,
                           const char *fmt, ...);

/** For scripts (migrations, tests): several statements, no parameters. */
apr_status_t mg_db_script(mg_db_t *db, const char *sql);

/* --- SQLite's upkeep, the keeper's (design 4); no-ops on PostgreSQL --- */
typedef struct {
    apr_int64_t wal_bytes;
    int busy;               /* a reader held it up */
} mg_checkpoint_t;
/** PASSIVE without the lock, then RESTART under it, TRUNCATE above limit. */
apr_status_t mg_db_checkpoint(mg_db_t *db, apr_int64_t wal_limit,
                              mg_checkpoint_t *result);

#endif
