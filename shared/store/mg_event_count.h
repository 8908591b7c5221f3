/* mg_event_count.h - how many events a domain has, hour by hour.
 *
 * event_hour holds, for each domain and hour, how many rows of event have ids
 * of that hour: written with the batch that appends them, taken away by
 * retention with the rows. So a total is a sum of few rows and always what is
 * there, and a row far behind (skip=100000) is found by adding hours up, not
 * by walking to it.
 */
#ifndef MG_EVENT_COUNT_H
#define MG_EVENT_COUNT_H

#include "mg_batch.h"

typedef struct mg_event_count_t mg_event_count_t;

/** The hour an id belongs to, as event_hour has it; its smallest id. */
apr_int64_t mg_event_hour(apr_int64_t id);
apr_int64_t mg_event_hour_floor(apr_int64_t hour);

/** One event more, in the batch's transaction. */
void mg_event_count_add(mg_batch_t *batch, apr_int64_t domain_id,
                        apr_int64_t id);
/** Write what was added up; before COMMIT. */
apr_status_t mg_event_count_write(mg_batch_t *batch);
/** n rows of that hour went. Inside the transaction that removes them. */
apr_status_t mg_event_count_take(mg_db_t *db, apr_int64_t domain_id,
                                 apr_int64_t hour, apr_int64_t n);

/**
 * @param skip    newest first: that many are passed over
 * @param pbelow  the row after them has an id below this ...
 * @param prest   ... and that many more are to be passed over from there
 */
apr_status_t mg_event_count_rank(apr_int64_t *ptotal, apr_int64_t *pbelow,
                                 apr_int64_t *prest, mg_db_t *db,
                                 apr_int64_t domain_id, apr_int64_t skip);

/** Fold slots of past hours into slot 0, at most limit rows. The keeper's. */
apr_status_t mg_event_count_fold(int *pfolded, mg_db_t *db, int limit,
                                 apr_pool_t *ptemp);

#endif
