/* mg_time.h - the only place that reads a clock (design 12).
 *
 * mg_now() is wall time in microseconds since 1970, UTC: what is stored.
 * mg_ticks() is monotonic microseconds: what time-outs are measured by. Test
 * builds add the offset of the test clock (mg_fault.h) to both.
 */
#ifndef MG_TIME_H
#define MG_TIME_H

#include <apr_pools.h>
#include <apr_time.h>

apr_time_t mg_now(void);
apr_time_t mg_ticks(void);
/** That long from now, by CLOCK_MONOTONIC, whatever a test's clock shows: for
 * sem_clockwait(). */
struct timespec;
void mg_time_deadline(struct timespec *deadline, apr_interval_time_t in);
/** Microseconds that this thread was on a processor. No test clock. */
apr_time_t mg_thread_ticks(void);

/** "Thu, 13 Oct 2011 18:02:00 GMT": dates in API replies. */
char *mg_time_gmt(apr_time_t t, apr_pool_t *p);
/** "Thu, 13 Oct 2011 18:02:00 +0000": RFC 5322 3.3, for Date: and Received:. */
char *mg_time_rfc5322(apr_time_t t, apr_pool_t *p);
/** "20111013180200", as message ids begin. */
char *mg_time_compact(apr_time_t t, apr_pool_t *p);
/** "2011-10-13T18:02:00.123Z", for logs. */
char *mg_time_iso(apr_time_t t, apr_pool_t *p);
/** "2011-10-13" of days since 1970. */
char *mg_time_day_text(apr_int64_t day, apr_pool_t *p);
/**
 * A day, written "2011-10-13", or as RFC 3339 5.6 has a date and time, or as
 * mg_time_parse() has it. @return MG_EBADINPUT
 */
apr_status_t mg_time_parse_day(apr_int64_t *pday, const char *text);
/** Days since 1970: the day a statistic is counted on. */
apr_int64_t mg_time_day(apr_time_t t);
/**
 * RFC 5322 date (obsolete zones too, week day not checked) or Unix epoch,
 * integer or float. @return MG_EBADINPUT if it is neither
 */
apr_status_t mg_time_parse(apr_time_t *pt, const char *text);

#endif
