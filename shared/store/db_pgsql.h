/* db_pgsql.h - the parts of the PostgreSQL driver among themselves.
 *
 *   db_pgsql.c       opening, transactions, statements
 *   db_pgsql_pipe.c  what is sent and waits for its answer; errors
 *   db_pgsql_row.c   columns of a row
 */
#ifndef DB_PGSQL_H
#define DB_PGSQL_H

#include <libpq-fe.h>
#include "mg_db_driver.h"

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
    int doomed;                 /* the server said farewell; or confusion */
} pgsql_conn_t;

/** Our class of error for a SQLSTATE. */
apr_status_t db_pgsql_class_of(const char *sqlstate);
/** A field of an error, or otherwise. */
const char *pgsql_field(const PGresult *r, int code, const char *otherwise);
/** Words and class of a failure; variant: whose, or NULL. */
apr_status_t pgsql_failed(mg_db_t *db, const PGresult *r,
                          const variant_t *variant);
/** The same for a failure of the connection or of libpq. */
apr_status_t pgsql_conn_failed(mg_db_t *db);

/** Into the pipeline; no answer is waited for. */
apr_status_t pgsql_send_plain(mg_db_t *db, const char *sql);
apr_status_t pgsql_send_stmt(mg_stmt_t *stmt, const mg_param_t *params, int n);
/** Wait for all answers. @return the first error among them; *presult (NULL:
 * nobody asks) is the last one's result */
apr_status_t pgsql_collect(mg_db_t *db, PGresult **presult);
/** Send and wait. A stale plan is made anew at once where nothing but this
 * statement is lost by it; in a transaction the caller begins again. */
apr_status_t pgsql_round_trip(mg_stmt_t *stmt, const mg_param_t *params,
                              int n, PGresult **presult);

int pgsql_is_null(mg_stmt_t *stmt, int col);
apr_int64_t pgsql_get_int(mg_stmt_t *stmt, int col);
char *pgsql_get_text(mg_stmt_t *stmt, int col, apr_pool_t *p);
const void *pgsql_get_blob(mg_stmt_t *stmt, int col, apr_size_t *plen);

#endif
