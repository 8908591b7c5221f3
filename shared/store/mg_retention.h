/* mg_retention.h - what is old enough to be forgotten. The keeper's.
 *
 * Each call is one small step: a transaction of a few milliseconds that nobody
 * is told of (mg_tx_lazy), so that who writes meanwhile hardly waits.
 *
 *   events    in the order of their ids, so that of a message younger than the
 *             oldest event all are there; then messages that have neither
 *             events nor deliveries any more, with what is left of their
 *             content. A message that is opened late stays until that open is
 *             old, too.
 *   counters  by day: stat, stat_tag, account_usage
 */
#ifndef MG_RETENTION_H
#define MG_RETENTION_H

#include "mg_db.h"

/** Where the next step goes on; zeroed at first. */
typedef struct {
    apr_int64_t message;      /* up to this one all were looked at */
    int table;                /* of counters */
    apr_int64_t owner;        /* domain or account: up to this one */
} mg_retention_t;

/**
 * Events and messages from before then.
 *
 * @param pn     rows that went
 * @param pmore  0: all was looked at, and the next call begins anew
 */
apr_status_t mg_retention_events(int *pn, int *pmore, mg_retention_t *at,
                                 mg_db_t *db, apr_time_t before, int limit,
                                 apr_pool_t *ptemp);
/** Counters of days before that of then. */
apr_status_t mg_retention_counters(int *pn, int *pmore, mg_retention_t *at,
                                   mg_db_t *db, apr_time_t before, int limit,
                                   apr_pool_t *ptemp);

#endif
