/* db_pgsql_pipe.c - what goes down the pipeline, and what comes back. */
#include <endian.h>
#include <limits.h>
#include <string.h>
#include <apr_strings.h>
#include "db_pgsql.h"

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

const char *pgsql_field(const PGresult *r, int code, const char *otherwise)
{
    const char *s = PQresultErrorField(r, code);

    return s ? s : otherwise;
}

/* The statement was planned for tables that look different now, or a pooler
 * gave us a session that never heard of it. */
static int is_stale_plan(const PGresult *r)
{
    const char *state = pgsql_field(r, PG_DIAG_SQLSTATE, "");

    return strcmp(state, "26000") == 0
           || (strcmp(state, "0A000") == 0
               && strcmp(pgsql_field(r, PG_DIAG_SOURCE_FUNCTION, ""),
                         "RevalidateCachedQuery") == 0);
}

/* DETAIL stays out of the words: it quotes what was stored. */
apr_status_t pgsql_failed(mg_db_t *db, const PGresult *r,
                          const variant_t *variant)
{
    pgsql_conn_t *conn = db->conn;
    const char *state = pgsql_field(r, PG_DIAG_SQLSTATE, NULL);
    apr_status_t rv;

    if (!state) /* libpq's own: the connection, or our use of it */
        return mg_db_fail(db, PQstatus(conn->pg) == CONNECTION_BAD ? MG_ELOST
                                                                   : MG_ESQL,
                          "postgresql: %s", PQresultErrorMessage(r));
    rv = is_stale_plan(r) ? MG_EBUSY : db_pgsql_class_of(state);
    return mg_db_fail(db, rv, "postgresql: %s (%s)%s%s",
                      pgsql_field(r, PG_DIAG_MESSAGE_PRIMARY, "?"), state,
                      variant ? " in " : "", variant ? variant->stmt->sql
                                                     : "");
}

apr_status_t pgsql_conn_failed(mg_db_t *db)
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
            retire(conn, v, strcmp(pgsql_field(r, PG_DIAG_SQLSTATE, ""),
                                   "26000") != 0);
            conn->replan = 1;
        }
        return pgsql_failed(db, r, v);
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
        if (!r) { /* out of step with the server: no use any more */
            conn->doomed = 1;
            return rv != APR_SUCCESS ? rv
                                     : mg_db_fail(db, MG_ELOST, "postgresql: "
                                                  "an answer is missing");
        }
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
            return rv != APR_SUCCESS ? rv : pgsql_conn_failed(db);
    }
    r = PQgetResult(conn->pg);
    if (PQresultStatus(r) != PGRES_PIPELINE_SYNC && rv == APR_SUCCESS)
        rv = r ? pgsql_failed(db, r, NULL) : pgsql_conn_failed(db);
    PQclear(r);
    return rv;
}

apr_status_t pgsql_collect(mg_db_t *db, PGresult **presult)
{
    pgsql_conn_t *conn = db->conn;
    apr_status_t rv;

    if (presult)
        *presult = NULL;
    conn->replan = 0;
    if (PQpipelineSync(conn->pg))
        rv = read_answers(db, presult);
    else
        rv = pgsql_conn_failed(db);
    apr_array_clear(conn->sent);
    if (rv != APR_SUCCESS && presult && *presult) {
        PQclear(*presult);
        *presult = NULL;
    }
    return rv;
}

apr_status_t pgsql_send_plain(mg_db_t *db, const char *sql)
{
    pgsql_conn_t *conn = db->conn;

    if (!PQsendQueryParams(conn->pg, sql, 0, NULL, NULL, NULL, NULL, 1))
        return pgsql_conn_failed(db);
    push_sent(conn, SENT_PLAIN, NULL);
    return APR_SUCCESS;
}

static apr_status_t send_stale(mg_db_t *db)
{
    pgsql_conn_t *conn = db->conn;
    apr_status_t rv;
    int i;

    for (i = 0; i < conn->stale->nelts; i++) {
        rv = pgsql_send_plain(db, apr_pstrcat(db->ptemp, "DEALLOCATE ",
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
        return pgsql_conn_failed(db);
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
        return pgsql_conn_failed(db);
    push_sent(conn, SENT_RUN, v);
    return APR_SUCCESS;
}

apr_status_t pgsql_send_stmt(mg_stmt_t *stmt, const mg_param_t *params, int n)
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

apr_status_t pgsql_round_trip(mg_stmt_t *stmt, const mg_param_t *params,
                              int n, PGresult **presult)
{
    pgsql_conn_t *conn = stmt->db->conn;
    apr_status_t rv = pgsql_send_stmt(stmt, params, n);

    if (rv == APR_SUCCESS)
        rv = pgsql_collect(stmt->db, presult);
    if (rv == MG_EBUSY && conn->replan && !stmt->db->tx_open) {
        rv = pgsql_send_stmt(stmt, params, n);
        if (rv == APR_SUCCESS)
            rv = pgsql_collect(stmt->db, presult);
    }
    return rv;
}
