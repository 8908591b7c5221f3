/* mg_stat.h - counters by day.
 *
 * Added up per transaction, written in key order just before its COMMIT, into
 * this process's slot: no two processes write the same row, no two
 * transactions lock rows in different orders (design, "Store"). The keeper
 * folds slots into slot 0.
 */
#ifndef MG_STAT_H
#define MG_STAT_H

#include "mg_batch.h"

/** Count n of kind for a domain (tag '': all) and, where tag is '', for its
 * account. kind must be a literal. */
apr_status_t mg_stat_add(mg_batch_t *batch, apr_int64_t account_id,
                         apr_int64_t domain_id, apr_int64_t day,
                         const char *kind, const char *tag, apr_int64_t n);
/** Write what was added up; the batch's before-commit hook. */
apr_status_t mg_stat_write(mg_batch_t *batch);
/** All that was ever counted for a domain: kinds of the log, tag ''. */
apr_status_t mg_stat_total(apr_int64_t *ptotal, mg_db_t *db,
                           apr_int64_t domain_id);
/** Fold the slots of past days into slot 0, at most limit rows of
 * either table. The keeper's. */
apr_status_t mg_stat_fold(int *pfolded, mg_db_t *db, int limit,
                          apr_pool_t *ptemp);
#endif
