/* db_pgsql.c - the store on a PostgreSQL server.
 *
 * The connection stays in libpq's pipeline mode. What is sent waits in a list
 * (conn->sent) until somebody needs an answer: then one Sync, and all answers
 * are read in order (pgsql_collect). So BEGIN, a batch of INSERTs nobody asks
 * about and COMMIT are one round trip, and PREPARE costs none of its own. After
 * an error the server skips everything up to the Sync: a COMMIT behind a failed
 * INSERT does not run, and the INSERT's error is what COMMIT returns.
 *
 * Parameters and results are binary. A statement is prepared for the types of
 * its format letters: i int8, t text, b bytea, n left to the server.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <apr_strings.h>
#include "db_pgsql.h"
#include "mg_log.h"

/* Answers left to read before we look at them: bounds memory. */
#define SENT_MAX 512

/* --- statements --- */

/* The highest $n. The server does not mind one too many; we do. */
static int count_params(const char *sql)
{
    const char *at;
    int n, most = 0;

    for (at = strchr(sql, '$'); at; at = strchr(at + 1, '$')) {
        n = (int)strtol(at + 1, NULL, 10);
        most = n > most ? n : most;
    }
    return most;
}

static apr_status_t pgsql_prepare(mg_stmt_t *stmt)
{
    pgsql_stmt_t *s = apr_pcalloc(stmt->pool, sizeof(*s));

    s->nparams = count_params(stmt->sql);
    stmt->handle = s;
    return APR_SUCCESS;
}

static void pgsql_finalize(mg_stmt_t *stmt)
{
    pgsql_conn_t *conn = stmt->db->conn;
    pgsql_stmt_t *s = stmt->handle;
    variant_t *v;
    int i;

    for (i = 0; i < conn->sent->nelts; i++) {
        sent_t *sent = &APR_ARRAY_IDX(conn->sent, i, sent_t);
        if (sent->variant && sent->variant->stmt == stmt)
            sent->variant = NULL;
    }
    for (v = s->variants; v; v = v->next)
        if (v->prepared)
            APR_ARRAY_PUSH(conn->stale, char *) =
                apr_pstrdup(conn->pool, v->name);
}

static apr_status_t pgsql_exec(mg_stmt_t *stmt, const mg_param_t *params,
                               int n, apr_int64_t *paffected)
{
    mg_db_t *db = stmt->db;
    pgsql_conn_t *conn = db->conn;
    PGresult *r;
    apr_status_t rv;

    if (!paffected && db->tx_open && db->tx_mode == MG_TX_WRITE) {
        rv = pgsql_send_stmt(stmt, params, n);
        if (rv == APR_SUCCESS && conn->sent->nelts >= SENT_MAX)
            rv = pgsql_collect(db, NULL);
        return rv;
    }
    rv = pgsql_round_trip(stmt, params, n, &r);
    if (rv != APR_SUCCESS)
        return rv;
    if (paffected)
        *paffected = apr_atoi64(PQcmdTuples(r));
    PQclear(r);
    return APR_SUCCESS;
}

static apr_status_t pgsql_query(mg_stmt_t *stmt, const mg_param_t *params,
                                int n)
{
    pgsql_stmt_t *s = stmt->handle;

    s->row = -1;
    return pgsql_round_trip(stmt, params, n, &s->result);
}

static apr_status_t pgsql_next(mg_stmt_t *stmt)
{
    pgsql_stmt_t *s = stmt->handle;

    return ++s->row < PQntuples(s->result) ? APR_SUCCESS : APR_EOF;
}

static void pgsql_done(mg_stmt_t *stmt)
{
    pgsql_stmt_t *s = stmt->handle;

    PQclear(s->result);
    s->result = NULL;
}

/* --- transactions --- */

static apr_status_t pgsql_alive(mg_db_t *db)
{
    pgsql_conn_t *conn = db->conn;
    struct pollfd fd = { .fd = PQsocket(conn->pg), .events = POLLIN };
    int i;

    /* words of farewell first, then the end of file */
    for (i = 0; i < 4; i++) {
        if (conn->doomed)
            return mg_db_fail(db, MG_ELOST, "postgresql: the connection has "
                              "ended");
        if (PQstatus(conn->pg) == CONNECTION_BAD)
            return pgsql_conn_failed(db);
        if (db->tx_open || poll(&fd, 1, 0) <= 0)
            return APR_SUCCESS;
        if (!PQconsumeInput(conn->pg))
            return mg_db_fail(db, MG_ELOST, "postgresql: %s",
                              PQerrorMessage(conn->pg));
        (void)PQisBusy(conn->pg); /* have it read: on_notice */
    }
    return APR_SUCCESS;
}

/* Not waited for: the first answer anybody needs brings BEGIN's along. */
static apr_status_t pgsql_begin(mg_db_t *db, mg_tx_mode_t mode)
{
    /* SQLite's readers see one snapshot; so do ours */
    return pgsql_send_plain(db, mode == MG_TX_WRITE
                              ? "BEGIN"
                              : "BEGIN ISOLATION LEVEL REPEATABLE READ "
                                "READ ONLY");
}

static void pgsql_rollback(mg_db_t *db)
{
    pgsql_conn_t *conn = db->conn;
    char words[sizeof(db->error)];

    if (PQstatus(conn->pg) == CONNECTION_BAD)
        return;
    /* what led here stays said */
    apr_cpystrn(words, db->error, sizeof(words));
    if (conn->sent->nelts > 0)
        (void)pgsql_collect(db, NULL); /* among them it might be skipped */
    if (PQtransactionStatus(conn->pg) != PQTRANS_IDLE
        && pgsql_send_plain(db, "ROLLBACK") == APR_SUCCESS)
        (void)pgsql_collect(db, NULL);
    apr_cpystrn(db->error, words, sizeof(db->error));
}

static apr_status_t pgsql_commit(mg_db_t *db)
{
    PGresult *r = NULL;
    apr_status_t rv = pgsql_send_plain(db, "COMMIT");

    if (rv == APR_SUCCESS)
        rv = pgsql_collect(db, &r);
    /* COMMIT of a failed transaction succeeds, and says ROLLBACK */
    if (rv == APR_SUCCESS && strcmp(PQcmdStatus(r), "COMMIT") != 0)
        rv = mg_db_fail(db, MG_ESQL, "postgresql: COMMIT was answered %s",
                        PQcmdStatus(r));
    PQclear(r);
    if (rv != APR_SUCCESS)
        pgsql_rollback(db);
    return rv;
}

/* --- opening and closing --- */

static void on_notice(void *baton, const PGresult *r)
{
    pgsql_conn_t *conn = baton;

    if (strcmp(pgsql_field(r, PG_DIAG_SEVERITY_NONLOCALIZED, ""), "FATAL") == 0)
        conn->doomed = 1;
    mg_log(MG_LOG_DEBUG, APR_SUCCESS, "postgresql: %s",
           pgsql_field(r, PG_DIAG_MESSAGE_PRIMARY, "?"));
}

/* What a session of ours is like. Commits wait for the disk unless told
 * otherwise, whatever the server's default is. */
static const char session_sql[] =
    "SET lock_timeout = '10s';"
    "SET idle_in_transaction_session_timeout = '60s';"
    "SET jit = off;";
static const char durable_sql[] =
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') = 'off'";

static apr_status_t plain_exec(mg_db_t *db, const char *sql)
{
    pgsql_conn_t *conn = db->conn;
    PGresult *r = PQexec(conn->pg, sql);
    ExecStatusType status = PQresultStatus(r);
    apr_status_t rv = APR_SUCCESS;

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        rv = r ? pgsql_failed(db, r, NULL) : pgsql_conn_failed(db);
    PQclear(r);
    return rv;
}

static apr_status_t set_up_session(mg_db_t *db)
{
    pgsql_conn_t *conn = db->conn;
    const char *encoding = PQparameterStatus(conn->pg, "server_encoding");
    apr_status_t rv;

    if (!encoding || strcmp(encoding, "UTF8") != 0)
        return mg_db_fail(db, MG_ESCHEMA, "the database's encoding is %s; "
                          "make it with ENCODING 'UTF8'",
                          encoding ? encoding : "unknown");
    PQsetNoticeReceiver(conn->pg, on_notice, conn);
    rv = plain_exec(db, session_sql);
    if (rv == APR_SUCCESS)
        rv = plain_exec(db, db->flags & MG_DB_RELAXED
                                ? "SET synchronous_commit = off"
                                : durable_sql);
    if (rv == APR_SUCCESS && db->flags & MG_DB_READONLY)
        rv = plain_exec(db, "SET default_transaction_read_only = on");
    if (rv == APR_SUCCESS && !PQenterPipelineMode(conn->pg))
        rv = pgsql_conn_failed(db);
    return rv;
}

static void pgsql_close(mg_db_t *db)
{
    pgsql_conn_t *conn = db->conn;

    if (!conn)
        return;
    PQfinish(conn->pg);
    apr_pool_destroy(conn->pool);
    db->conn = NULL;
}

static apr_status_t pgsql_open(mg_db_t *db)
{
    /* the URL comes last: what it says wins */
    static const char *const keywords[] = {
        "connect_timeout", "keepalives_idle", "keepalives_interval",
        "keepalives_count", "tcp_user_timeout", "fallback_application_name",
        "dbname", "client_encoding", NULL
    };
    const char *const values[] = {
        "5", "30", "10", "3", "20000", "mailgun", db->url, "UTF8", NULL
    };
    apr_pool_t *pool;
    pgsql_conn_t *conn;
    apr_status_t rv;

    apr_pool_create(&pool, db->pool);
    conn = apr_pcalloc(pool, sizeof(*conn));
    conn->pool = pool;
    conn->sent = apr_array_make(pool, SENT_MAX + 8, sizeof(sent_t));
    conn->stale = apr_array_make(pool, 8, sizeof(char *));
    db->conn = conn;
    conn->pg = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(conn->pg) != CONNECTION_OK)
        rv = mg_db_fail(db, MG_ELOST, "postgresql: %s",
                        PQerrorMessage(conn->pg));
    else
        rv = set_up_session(db);
    if (rv != APR_SUCCESS)
        pgsql_close(db);
    return rv;
}

/* PQfinish() would say goodbye in the parent's name. */
static void pgsql_abandon(mg_db_t *db)
{
    pgsql_conn_t *conn = db->conn;

    close(PQsocket(conn->pg));
    db->conn = NULL;
}

/* --- scripts and upkeep --- */

static apr_status_t pgsql_script(mg_db_t *db, const char *sql)
{
    pgsql_conn_t *conn = db->conn;
    apr_status_t rv = APR_SUCCESS;

    if (conn->sent->nelts > 0)
        rv = pgsql_collect(db, NULL);
    if (rv != APR_SUCCESS)
        return rv;
    if (!PQexitPipelineMode(conn->pg)) /* PQexec is not for pipelines */
        return pgsql_conn_failed(db);
    rv = plain_exec(db, sql);
    if (PQstatus(conn->pg) == CONNECTION_OK && !PQenterPipelineMode(conn->pg))
        rv = pgsql_conn_failed(db);
    return rv;
}

static apr_status_t pgsql_checkpoint(mg_db_t *db, apr_int64_t wal_limit,
                                     mg_checkpoint_t *result)
{
    (void)db;
    (void)wal_limit;
    (void)result;
    return APR_SUCCESS; /* the server makes its own */
}

const mg_db_driver_t mg_db_pgsql = {
    .kind = MG_DB_PGSQL,
    .id_type = "BIGINT PRIMARY KEY",
    .text_type = "TEXT COLLATE \"C\"", /* compares bytewise, as SQLite does */
    .blob_type = "BYTEA",
    .without_rowid = "",
    /* not to_regclass(): within a transaction it may answer from a cache */
    .has_table = "SELECT 1 FROM pg_catalog.pg_tables WHERE tablename = $1 "
                 "AND schemaname = ANY (current_schemas(false))",
    .migration_lock = "SELECT pg_advisory_xact_lock(1835755883)",
    .one_row_begin = "WITH changed AS (",
    .one_row_end = " RETURNING 1) SELECT 1 / count(*) FROM changed",
    .open = pgsql_open,
    .close = pgsql_close,
    .abandon = pgsql_abandon,
    .alive = pgsql_alive,
    .begin = pgsql_begin,
    .commit = pgsql_commit,
    .rollback = pgsql_rollback,
    .prepare = pgsql_prepare,
    .finalize = pgsql_finalize,
    .exec = pgsql_exec,
    .query = pgsql_query,
    .next = pgsql_next,
    .done = pgsql_done,
    .is_null = pgsql_is_null,
    .get_int = pgsql_get_int,
    .get_text = pgsql_get_text,
    .get_blob = pgsql_get_blob,
    .script = pgsql_script,
    .checkpoint = pgsql_checkpoint,
};
