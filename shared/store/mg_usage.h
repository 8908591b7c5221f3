/* mg_usage.h - what an account is charged for, by day (manual, "Pricing").
 *
 *   sent            messages sent, one for each recipient
 *   campaign_sent   those of them that are in a campaign: they cost twice
 *   received        messages received, one for each recipient
 *   stored_bytes    mailboxes: the most they held that day, as measured
 *                   every quarter of an hour
 *
 * Mail in test mode, and reports that we write ourselves, cost nothing.
 * Counted in account_usage by mg_event_append(), in its transaction.
 */
#ifndef MG_USAGE_H
#define MG_USAGE_H

#include <apr_tables.h>
#include "mg_batch.h"
#include "mg_event.h"

typedef struct {
    apr_int64_t day;             /* mg_time_day() */
    apr_int64_t sent, campaign_sent, received, stored_bytes;
} mg_usage_t;

/** An event's share of it. */
void mg_usage_count(mg_batch_t *batch, const mg_event_t *event,
                    apr_int64_t day);
/** Days with anything, oldest first; array of mg_usage_t. */
apr_status_t mg_usage_list(apr_array_header_t **plist, mg_db_t *db,
                           apr_int64_t account_id, apr_int64_t since,
                           apr_int64_t until, apr_pool_t *p);
/**
 * Measure what the mailboxes of some accounts hold. The keeper's.
 *
 * @param pafter  accounts up to this id are done; 0 from the beginning, and
 *                again when all are done
 */
apr_status_t mg_usage_measure(apr_int64_t *pafter, mg_db_t *db, int limit,
                              apr_pool_t *ptemp);
#endif
