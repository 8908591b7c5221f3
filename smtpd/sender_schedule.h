/* sender_schedule.h - when to try again (MailgunRetry, MailgunRetryLimit).
 *
 * MailgunRetry lists the waits after the first, second ... attempt; the last
 * one holds for all further attempts. A delivery whose next try would come
 * after its last day is given up at once (RFC 5321 4.5.4.1).
 */
#ifndef SENDER_SCHEDULE_H
#define SENDER_SCHEDULE_H

#include "mg_config.h"
#include "mg_queue.h"

/** The wait after `attempts` attempts (>= 1), a tenth at random on top, so
 * that what failed together does not come back together. seed: any number. */
apr_interval_time_t sender_schedule_delay(const mg_config_t *config,
                                          int attempts, apr_uint64_t seed);
/** When this delivery may be tried no more. */
apr_time_t sender_schedule_end(const mg_config_t *config,
                               const mg_delivery_t *delivery);
/** After an attempt that failed now.
 * @return MG_EEXPIRED if the next would be past its end; *pdue is set anyway */
apr_status_t sender_schedule_next(apr_time_t *pdue, const mg_config_t *config,
                                  const mg_delivery_t *delivery,
                                  apr_time_t now);
#endif
