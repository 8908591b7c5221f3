/* db_pgsql.c - the store on a PostgreSQL server.
 *
 * The connection stays in libpq's pipeline mode. What is sent waits in a list
 * (conn->sent) until somebody needs an answer: then one Sync, and all answers
 * are read in order (collect). So BEGIN, a batch of INSERTs nobody asks about
 * and COMMIT are one round trip, and PREPARE costs none of its own. After an
 * error the server skips everything up to the Sync: a COMMIT behind a failed
 * INSERT does not run, and the INSERT's error is what COMMIT returns.
 *
 * Parameters and results are binary. A statement is prepared for the types of
 * its format letters: i int8, t text, b bytea, n left to the server.
 */
#include <endian.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <apr_strings.h>
#include <libpq-fe.h>
#include "mg_db_driver.h"
#include "mg_log.h"
#include "db_pgsql.h"

/* Answers left to read before we look at them: bounds memory. */
#define SENT_MAX 512

enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21,
       OID_INT4 = 23, OID_TEXT = 25, OID_FLOAT4 = 700, OID_FLOAT8 = 701,
       OID_NUMERIC = 1700 };

/* A statement for one set of parameter types. */
typedef struct variant_t variant_t;
struct variant_t {
    mg_stmt_t *stmt;
    char name[16];
    char types[MG_PARAM_MAX + 1];
    int prepared;           /* or on its way */
    variant_t *next;
};

typedef struct {
    int nparams;
    variant_t *variants;
    PGresult *result;       /* of the query that is open */
    int row;
} pgsql_stmt_t;

typedef enum { SENT_PREPARE, SENT_RUN, SENT_PLAIN } sent_kind_t;
typedef struct {
    sent_kind_t kind;
    variant_t *variant;     /* NULL: plain, or its statement was forgotten */
} sent_t;

typedef struct {
    PGconn *pg;
    apr_pool_t *pool;
    apr_array_header_t *sent;   /* of sent_t */
    apr_array_header_t *stale;  /* of char *: names to DEALLOCATE */
    unsigned names;
    int replan;                 /* a plan went stale: prepare it anew */
    int doomed;                 /* the server said farewell */
} pgsql_conn_t;

/* --- errors --- */

/* SQLSTATEs, exact ones before their class (PostgreSQL appendix A). */
static const struct {
    const char *state;
    apr_status_t rv;
} states[] = {
    { "08", MG_ELOST },        /* connection exception */
    { "22", MG_ESQL },         /* data exception */
    { "23", MG_ECONFLICT },    /* integrity constraint */
    { "25P03", MG_ELOST },     /* idle in transaction for too long */
    { "40003", MG_ELOST },     /* statement completion unknown */
    { "40", MG_EBUSY },        /* serialisation, deadlock */
    { "53100", MG_EFULL },     /* disk full */
    { "53", MG_EBUSY },        /* memory, connections */
    { "55P03", MG_EBUSY },     /* lock_timeout */
    { "55006", MG_EBUSY },     /* object in use */
    { "57014", MG_EBUSY },     /* cancelled, statement_timeout */
    { "57P", MG_ELOST },       /* shut down, crashed, starting up */
    { "58", MG_EIO },          /* system error, I/O */
    { "XX001", MG_EIO },       /* data corrupted */
    { "XX002", MG_EIO },       /* index corrupted */
};

apr_status_t db_pgsql_class_of(const char *sqlstate)
{
    apr_size_t i;

    for (i = 0; i < sizeof(states) / sizeof(*states); i++)
        if (strncmp(sqlstate, states[i].state, strlen(states[i].state)) == 0)
            return states[i].rv;
    return MG_ESQL;
}

static const char *field(const PGresult *r, int code, const char *otherwise)
{
    const char *s = PQresultErrorField(r, code);

    return s ? s : otherwise;
}

/* The statement was planned for tables that look different now, or a pooler
 * gave us a session that never heard of it. */
static int is_stale_plan(const PGresult *r)
{
    const char *state = field(r, PG_DIAG_SQLSTATE, "");

    return strcmp(state, "26000") == 0
           || (strcmp(state, "0A000") == 0
               && strcmp(field(r, PG_DIAG_SOURCE_FUNCTION, ""),
                         "RevalidateCachedQuery") == 0);
}

/* DETAIL stays out of the words: it quotes what was stored. */
static apr_status_t failed(mg_db_t *db, const PGresult *r,
                           const variant_t *variant)
{
    pgsql_conn_t *conn = db->conn;
    const char *state = field(r, PG_DIAG_SQLSTATE, NULL);
    apr_status_t rv;

    if (!state) /* libpq's own: the connection, or our use of it */
        return mg_db_fail(db, PQstatus(conn->pg) == CONNECTION_BAD ? MG_ELOST
                                                                   : MG_ESQL,
                          "postgresql: %s", PQresultErrorMessage(r));
    rv = is_stale_plan(r) ? MG_EBUSY : db_pgsql_class_of(state);
    return mg_db_fail(db, rv, "postgresql: %s (%s)%s%s",
                      field(r, PG_DIAG_MESSAGE_PRIMARY, "?"), state,
                      variant ? " in " : "", variant ? variant->stmt->sql
                                                     : "");
}

static apr_status_t conn_failed(mg_db_t *db)
{
    pgsql_conn_t *conn = db->conn;
    const char *words = PQerrorMessage(conn->pg);

    return mg_db_fail(db, PQstatus(conn->pg) == CONNECTION_BAD ? MG_ELOST
                                                               : MG_ESQL,
                      "postgresql: %s", *words ? words : "connection lost");
}

/* --- the pipeline --- */

static void push_sent(pgsql_conn_t *conn, sent_kind_t kind, variant_t *variant)
{
    sent_t *s = apr_array_push(conn->sent);

    s->kind = kind;
    s->variant = variant;
}

/* Prepared no more: under another name next time. */
static void retire(pgsql_conn_t *conn, variant_t *v, int deallocate)
{
    if (deallocate)
        APR_ARRAY_PUSH(conn->stale, char *) = apr_pstrdup(conn->pool, v->name);
    v->prepared = 0;
    apr_snprintf(v->name, sizeof(v->name), "s%u", ++conn->names);
}

/* One answer. @return its error */
static apr_status_t take_result(mg_db_t *db, const sent_t *sent,
                                const PGresult *r)
{
    pgsql_conn_t *conn = db->conn;
    variant_t *v = sent->variant;

    switch (PQresultStatus(r)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        return APR_SUCCESS;
    case PGRES_PIPELINE_ABORTED: /* skipped: something before it failed */
        if (sent->kind == SENT_PREPARE && v)
            v->prepared = 0;
        return mg_db_fail(db, MG_ESQL, "postgresql: skipped after an error");
    default:
        if (v && sent->kind == SENT_PREPARE)
            v->prepared = 0;
        if (v && sent->kind == SENT_RUN && is_stale_plan(r)) {
            retire(conn, v, strcmp(field(r, PG_DIAG_SQLSTATE, ""), "0A000") == 0);
            conn->replan = 1;
        }
        return failed(db, r, v);
    }
}

/* All answers up to the one of sent[last], and what closes it. *presult: the
 * result of the last one, if it was good and somebody wants it. */
static apr_status_t read_answers(mg_db_t *db, PGresult **presult)
{
    pgsql_conn_t *conn = db->conn;
    apr_status_t rv = APR_SUCCESS, one;
    PGresult *r;
    int i;

    for (i = 0; i < conn->sent->nelts; i++) {
        r = PQgetResult(conn->pg);
        if (!r)
            return rv != APR_SUCCESS ? rv : conn_failed(db);
        /* the first error is the cause; the rest was skipped */
        if (rv == APR_SUCCESS) {
            one = take_result(db, &APR_ARRAY_IDX(conn->sent, i, sent_t), r);
            rv = one;
        } else if (PQresultStatus(r) == PGRES_PIPELINE_ABORTED) {
            sent_t *s = &APR_ARRAY_IDX(conn->sent, i, sent_t);
            if (s->kind == SENT_PREPARE && s->variant)
                s->variant->prepared = 0;
        }
        if (presult && i == conn->sent->nelts - 1 && rv == APR_SUCCESS)
            *presult = r;
        else
            PQclear(r);
        while ((r = PQgetResult(conn->pg)) != NULL)
            PQclear(r);
        if (PQstatus(conn->pg) == CONNECTION_BAD)
            return rv != APR_SUCCESS ? rv : conn_failed(db);
    }
    r = PQgetResult(conn->pg);
    if (PQresultStatus(r) != PGRES_PIPELINE_SYNC && rv == APR_SUCCESS)
        rv = r ? failed(db, r, NULL) : conn_failed(db);
    PQclear(r);
    return rv;
}

static apr_status_t collect(mg_db_t *db, PGresult **presult)
{
    pgsql_conn_t *conn = db->conn;
    apr_status_t rv;

    if (presult)
        *presult = NULL;
    conn->replan = 0;
    if (PQpipelineSync(conn->pg))
        rv = read_answers(db, presult);
    else
        rv = conn_failed(db);
    apr_array_clear(conn->sent);
    if (rv != APR_SUCCESS && presult && *presult) {
        PQclear(*presult);
        *presult = NULL;
    }
    return rv;
}

static apr_status_t send_plain(mg_db_t *db, const char *sql)
{
    pgsql_conn_t *conn = db->conn;

    if (!PQsendQueryParams(conn->pg, sql, 0, NULL, NULL, NULL, NULL, 1))
        return conn_failed(db);
    push_sent(conn, SENT_PLAIN, NULL);
    return APR_SUCCESS;
}

static apr_status_t send_stale(mg_db_t *db)
{
    pgsql_conn_t *conn = db->conn;
    apr_status_t rv;
    int i;

    for (i = 0; i < conn->stale->nelts; i++) {
        rv = send_plain(db, apr_pstrcat(db->ptemp, "DEALLOCATE ",
                                        APR_ARRAY_IDX(conn->stale, i, char *),
                                        NULL));
        if (rv != APR_SUCCESS)
            return rv;
    }
    apr_array_clear(conn->stale);
    return APR_SUCCESS;
}

/* --- sending a statement --- */

static variant_t *variant_of(mg_stmt_t *stmt, const mg_param_t *params, int n)
{
    pgsql_conn_t *conn = stmt->db->conn;
    pgsql_stmt_t *s = stmt->handle;
    char types[MG_PARAM_MAX + 1];
    variant_t *v;
    int i;

    for (i = 0; i < n; i++)
        types[i] = params[i].type;
    types[n] = '\0';
    for (v = s->variants; v; v = v->next)
        if (strcmp(v->types, types) == 0)
            return v;
    v = apr_pcalloc(stmt->pool, sizeof(*v));
    v->stmt = stmt;
    memcpy(v->types, types, n + 1);
    apr_snprintf(v->name, sizeof(v->name), "s%u", ++conn->names);
    v->next = s->variants;
    s->variants = v;
    return v;
}

static Oid oid_of(char type)
{
    switch (type) {
    case 'i':
        return OID_INT8;
    case 't':
        return OID_TEXT;
    case 'b':
        return OID_BYTEA;
    default:
        return 0;
    }
}

static apr_status_t send_prepare(mg_db_t *db, variant_t *v, int n)
{
    pgsql_conn_t *conn = db->conn;
    Oid oids[MG_PARAM_MAX];
    int i;

    for (i = 0; i < n; i++)
        oids[i] = oid_of(v->types[i]);
    if (!PQsendPrepare(conn->pg, v->name, v->stmt->sql, n, oids))
        return conn_failed(db);
    v->prepared = 1;
    push_sent(conn, SENT_PREPARE, v);
    return APR_SUCCESS;
}

static apr_status_t send_run(mg_db_t *db, variant_t *v,
                             const mg_param_t *params, int n)
{
    pgsql_conn_t *conn = db->conn;
    const char *values[MG_PARAM_MAX];
    int lengths[MG_PARAM_MAX], formats[MG_PARAM_MAX];
    uint64_t nums[MG_PARAM_MAX];
    int i;

    for (i = 0; i < n; i++) {
        formats[i] = 1;
        if (params[i].type == 'i') {
            nums[i] = htobe64((uint64_t)params[i].num);
            values[i] = (const char *)&nums[i];
            lengths[i] = sizeof(nums[i]);
            continue;
        }
        if (params[i].len > INT_MAX)
            return mg_db_fail(db, MG_ESQL, "a value of 2 GB or more");
        values[i] = params[i].data;
        lengths[i] = (int)params[i].len;
    }
    if (!PQsendQueryPrepared(conn->pg, v->name, n, values, lengths, formats,
                             1))
        return conn_failed(db);
    push_sent(conn, SENT_RUN, v);
    return APR_SUCCESS;
}

static apr_status_t send_stmt(mg_stmt_t *stmt, const mg_param_t *params, int n)
{
    mg_db_t *db = stmt->db;
    pgsql_conn_t *conn = db->conn;
    pgsql_stmt_t *s = stmt->handle;
    apr_status_t rv = APR_SUCCESS;
    variant_t *v;

    if (n != s->nparams)
        return mg_db_fail(db, MG_ESQL, "%d parameters given, %d wanted in %s",
                          n, s->nparams, stmt->sql);
    v = variant_of(stmt, params, n);
    if (conn->stale->nelts > 0)
        rv = send_stale(db);
    if (rv == APR_SUCCESS && !v->prepared)
        rv = send_prepare(db, v, n);
    if (rv == APR_SUCCESS)
        rv = send_run(db, v, params, n);
    return rv;
}

/* Send and wait. A stale plan is made anew at once where nothing but this
 * statement is lost by it; in a transaction the caller begins again. */
static apr_status_t round_trip(mg_stmt_t *stmt, const mg_param_t *params,
                               int n, PGresult **presult)
{
    pgsql_conn_t *conn = stmt->db->conn;
    apr_status_t rv = send_stmt(stmt, params, n);

    if (rv == APR_SUCCESS)
        rv = collect(stmt->db, presult);
    if (rv == MG_EBUSY && conn->replan && !stmt->db->tx_open) {
        rv = send_stmt(stmt, params, n);
        if (rv == APR_SUCCESS)
            rv = collect(stmt->db, presult);
    }
    return rv;
}

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
        rv = send_stmt(stmt, params, n);
        if (rv == APR_SUCCESS && conn->sent->nelts >= SENT_MAX)
            rv = collect(db, NULL);
        return rv;
    }
    rv = round_trip(stmt, params, n, &r);
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
    return round_trip(stmt, params, n, &s->result);
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

/* --- columns --- */

static int pgsql_is_null(mg_stmt_t *stmt, int col)
{
    pgsql_stmt_t *s = stmt->handle;

    return col < 0 || col >= PQnfields(s->result)
           || PQgetisnull(s->result, s->row, col);
}

static apr_uint64_t big_endian(const unsigned char *data, int len)
{
    apr_uint64_t v = 0;

    while (len-- > 0)
        v = v << 8 | *data++;
    return v;
}

/* Two-byte count of digits, weight of the first, sign, scale, then digits to
 * base 10000. sum() of integers is numeric; what is behind the point is cut. */
static apr_int64_t numeric_to_int(const unsigned char *data, int len)
{
    int ndigits, weight, i;
    apr_int64_t v = 0;

    if (len < 8)
        return 0;
    ndigits = (int)big_endian(data, 2);
    weight = (apr_int16_t)big_endian(data + 2, 2);
    for (i = 0; i <= weight; i++) {
        int digit = 0;
        if (i < ndigits && 8 + 2 * i + 2 <= len)
            digit = (int)big_endian(data + 8 + 2 * i, 2);
        if (v > (APR_INT64_MAX - digit) / 10000) {
            v = APR_INT64_MAX; /* more than any count of ours */
            break;
        }
        v = v * 10000 + digit;
    }
    return big_endian(data + 4, 2) == 0x4000 ? -v : v;
}

static apr_int64_t float_to_int(const unsigned char *data, int len)
{
    apr_uint64_t bits = big_endian(data, len);
    double d;
    float f;

    if (len == 8) {
        memcpy(&d, &bits, 8);
    } else {
        apr_uint32_t bits4 = (apr_uint32_t)bits;
        memcpy(&f, &bits4, 4);
        d = f;
    }
    if (!(d > -9.2e18 && d < 9.2e18))
        return 0;
    return (apr_int64_t)d;
}

static apr_int64_t pgsql_get_int(mg_stmt_t *stmt, int col)
{
    pgsql_stmt_t *s = stmt->handle;
    const unsigned char *data =
        (const unsigned char *)PQgetvalue(s->result, s->row, col);
    int len = PQgetlength(s->result, s->row, col);

    switch (PQftype(s->result, col)) {
    case OID_BOOL:
        return len == 1 && data[0];
    case OID_INT2:
        return (apr_int16_t)big_endian(data, len);
    case OID_INT4:
        return (apr_int32_t)big_endian(data, len);
    case OID_INT8:
        return (apr_int64_t)big_endian(data, len);
    case OID_NUMERIC:
        return numeric_to_int(data, len);
    case OID_FLOAT4:
    case OID_FLOAT8:
        return float_to_int(data, len);
    default: /* text; libpq puts a NUL behind it */
        return apr_atoi64((const char *)data);
    }
}

static char *pgsql_get_text(mg_stmt_t *stmt, int col, apr_pool_t *p)
{
    pgsql_stmt_t *s = stmt->handle;

    switch (PQftype(s->result, col)) {
    case OID_BOOL:
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_NUMERIC:
    case OID_FLOAT4:
    case OID_FLOAT8:
        return apr_psprintf(p, "%" APR_INT64_T_FMT, pgsql_get_int(stmt, col));
    default:
        return apr_pstrmemdup(p, PQgetvalue(s->result, s->row, col),
                              PQgetlength(s->result, s->row, col));
    }
}

static const void *pgsql_get_blob(mg_stmt_t *stmt, int col, apr_size_t *plen)
{
    pgsql_stmt_t *s = stmt->handle;

    *plen = PQgetlength(s->result, s->row, col);
    return PQgetvalue(s->result, s->row, col);
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
            return mg_db_fail(db, MG_ELOST, "postgresql: the server ended "
                              "the connection");
        if (PQstatus(conn->pg) == CONNECTION_BAD)
            return conn_failed(db);
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
    return send_plain(db, mode == MG_TX_WRITE
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
        (void)collect(db, NULL); /* a ROLLBACK among them might be skipped */
    if (PQtransactionStatus(conn->pg) != PQTRANS_IDLE
        && send_plain(db, "ROLLBACK") == APR_SUCCESS)
        (void)collect(db, NULL);
    apr_cpystrn(db->error, words, sizeof(db->error));
}

static apr_status_t pgsql_commit(mg_db_t *db)
{
    PGresult *r = NULL;
    apr_status_t rv = send_plain(db, "COMMIT");

    if (rv == APR_SUCCESS)
        rv = collect(db, &r);
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

    if (strcmp(field(r, PG_DIAG_SEVERITY_NONLOCALIZED, ""), "FATAL") == 0)
        conn->doomed = 1;
    mg_log(MG_LOG_DEBUG, APR_SUCCESS, "postgresql: %s",
           field(r, PG_DIAG_MESSAGE_PRIMARY, "?"));
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
        rv = r ? failed(db, r, NULL) : conn_failed(db);
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
        rv = conn_failed(db);
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
        rv = collect(db, NULL);
    if (rv != APR_SUCCESS)
        return rv;
    if (!PQexitPipelineMode(conn->pg)) /* PQexec is not for pipelines */
        return conn_failed(db);
    rv = plain_exec(db, sql);
    if (PQstatus(conn->pg) == CONNECTION_OK && !PQenterPipelineMode(conn->pg))
        rv = conn_failed(db);
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
