/* mg_warmup.h - how much a new domain or address may send a day.
 *
 * Receivers distrust who was never seen and sends much. The first day has a
 * volume, each day after it has more; what exceeds waits for the next. Days
 * are counted from started_at, 24 hours each. Senders take their part of a
 * day's volume in advance, so that the row is not written for each message.
 */
#ifndef MG_WARMUP_H
#define MG_WARMUP_H

#include "mg_config.h"
#include "mg_db.h"

#define MG_WARMUP_DAY apr_time_from_sec(86400)

typedef struct {
    const char *subject;      /* "domain 17", "address 192.0.2.1" */
    apr_time_t started_at;    /* in: of a subject that is new; out: of this one */
    int want;                 /* messages */
    int got;                  /* out: so many may be sent today */
    int over;                 /* out: there is no limit any more */
    apr_time_t next;          /* out: when the next day begins */
} mg_warmup_t;

/** Messages on day 0, 1 .... */
apr_int64_t mg_warmup_volume(const mg_warmup_plan_t *plan, apr_int64_t day);
/** Part of today's volume. In the caller's transaction, or one of its own. */
apr_status_t mg_warmup_take(mg_db_t *db, const mg_warmup_plan_t *plan,
                            mg_warmup_t *warmup);
/** What was taken and not sent, back into the volume of its day. */
apr_status_t mg_warmup_return(mg_db_t *db, const char *subject,
                              apr_int64_t day, int n);

#endif
