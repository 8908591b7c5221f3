/* mg_destination.h - what senders learned of destinations, kept over restarts.
 *
 * A row is one site as one sender sees it: each has its own connections. state
 * is JSON, read and written here only. Rows are written in batches every few
 * seconds and forgotten when nothing was sent there for a week.
 */
#ifndef MG_DESTINATION_H
#define MG_DESTINATION_H

#include <apr_tables.h>
#include "mg_db.h"

#define MG_DESTINATION_DOMAINS 50   /* names of domains that are kept */

typedef struct {
    const char *site;            /* "smtp mx1.a.test,mx2.a.test:25 ..." */
    const char *worker;          /* "host/0" */
    int window;                  /* connections it may have */
    int ceiling;                 /* that many worked, one more did not; or 0 */
    apr_interval_time_t probe_wait;
    int links, waiting;          /* in use; deliveries in memory */
    int per_hour;                /* the configured rate; 0: none */
    int failures;                /* in a row */
    apr_time_t closed_until;     /* 0: open */
    const char *source;          /* the sending address, "" any */
    const char *last_reply;      /* that made us slower, or NULL */
    const apr_array_header_t *domains; /* of const char *: some that lead there */
    int ndomains;                /* how many do */
    apr_time_t updated_at;
} mg_learned_t;

/** In one transaction, n of them. */
apr_status_t mg_destination_save(mg_db_t *db, const mg_learned_t *rows, int n,
                                 apr_pool_t *p);
/** Newest first. Array of mg_learned_t *. @param worker  NULL: all */
apr_status_t mg_destination_list(apr_array_header_t **plist, mg_db_t *db,
                                 const char *worker, int limit,
                                 apr_pool_t *p);
/** Deliveries that are queued for one of the recipients' domains. */
apr_status_t mg_destination_queued(apr_int64_t *pn, mg_db_t *db,
                                   const char *domain);
/** Rows that nobody wrote since then, some at a time. *pn how many went. */
apr_status_t mg_destination_forget(int *pn, mg_db_t *db, apr_time_t before,
                                   int limit);

/* --- what waits for a destination that takes nothing now --- */

typedef struct {
    const char *dest;            /* the recipients' domain */
    apr_int64_t domain_id;       /* the sending one */
    const char *target;          /* rows with another one go another way:
                                  * where they go may be open */
    apr_time_t until;            /* due then ... */
    apr_interval_time_t spread;  /* ... and within this, > 0 */
    apr_interval_time_t retry_limit; /* of rows without an end of their own */
    apr_int64_t after;           /* in and out: rows behind this id */
    int looked, moved;           /* out: rows of this step; looked 0: the end */
} mg_queue_move_t;
/**
 * Move what is due before its destination's next try to that time, up to limit
 * rows a step. Rows in somebody's hands, held ones, those that the operator wants
 * tried now, and those whose time ends before are left alone. In the caller's transaction, or one of its own.
 */
apr_status_t mg_queue_move(mg_db_t *db, mg_queue_move_t *move, int limit);

#endif
