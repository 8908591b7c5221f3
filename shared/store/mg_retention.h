/* mg_retention.h - what is old enough to be forgotten. The keeper's. */
#ifndef MG_RETENTION_H
#define MG_RETENTION_H

#include "mg_db.h"

/**
 * One small step: messages accepted before then that have no delivery any
 * more go together with their events, so that what is left still adds up; then
 * events of no message, and counters of days before.
 *
 * @param pn  rows that went; 0: nothing is left to do
 */
apr_status_t mg_retention_step(int *pn, mg_db_t *db, apr_time_t before,
                               int limit, apr_pool_t *ptemp);

#endif
