/* mg_campaign_event.h - what happened to the messages of campaigns.
 *
 * mg_event_append() notes each event of a campaign's message here, in its
 * transaction, and each of a mailing list's under the list's id:
 *
 *   campaign_count    how often, by kind; added up in the batch, written just
 *                     before COMMIT into this process's slot
 *   campaign_event    a narrow copy, of the kinds that reports list (not of
 *                     submitted and dropped: those are only counted)
 *
 * The keeper makes segments of them, 1000 of one campaign and kind, a blob per
 * column (mg_campaign_column.h): a report reads the columns it needs, a million
 * events in some tens of milliseconds, and adds what still waits in
 * campaign_event. All reports are computed from these rows, so any grouping
 * and any filter is exact.
 *
 * Events of test mode are none of a campaign's. What machines opened and
 * clicked is of another kind (mg_campaign.h).
 */
#ifndef MG_CAMPAIGN_EVENT_H
#define MG_CAMPAIGN_EVENT_H

#include "mg_batch.h"
#include "mg_campaign.h"
#include "mg_event.h"

#define MG_CAMPAIGN_SEGMENT 1000   /* schema: campaign_count_due */

/** Inside the transaction of the event. */
apr_status_t mg_campaign_note(mg_batch_t *batch, const mg_event_t *event,
                              apr_int64_t event_id, apr_time_t now,
                              apr_pool_t *ptemp);
/** What was added up; the batch's before-commit hook. */
apr_status_t mg_campaign_count_write(mg_batch_t *batch);

/* --- the keeper's; each is one small step --- */

/** Where the next step of one task goes on; zeroed at first. */
typedef struct {
    apr_int64_t campaign_id, kind, slot;
} mg_campaign_cursor_t;

/** Fold slots into slot 0, at most limit rows.
 * @param pmore  0: none is left behind the cursor, which begins anew */
apr_status_t mg_campaign_fold(int *pmore, mg_db_t *db,
                              mg_campaign_cursor_t *cursor, int limit,
                              apr_pool_t *ptemp);
/** Make one segment where enough rows wait. @param pmore  one was made */
apr_status_t mg_campaign_pack(int *pmore, mg_db_t *db, apr_pool_t *ptemp);
/** Remove a slice of what deleted campaigns left. */
apr_status_t mg_campaign_clear(int *pmore, mg_db_t *db, apr_pool_t *ptemp);
/** Remove a slice of what happened before then; delivered before
 * delivered_before. Counters stay. */
apr_status_t mg_campaign_expire(int *pmore, mg_db_t *db,
                                mg_campaign_cursor_t *cursor,
                                apr_time_t before, apr_time_t delivered_before,
                                apr_pool_t *ptemp);

#endif
