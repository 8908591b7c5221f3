/* mg_id.h - identifiers we make ourselves.
 *
 * 64 bits, ordered by time: 41 bits of milliseconds since 2020-01-01, 14
 * random bits a process draws at start, 8 bits of sequence (the sign bit stays
 * 0). They never go back when the clock does. A child process must call
 * mg_id_init() again after fork.
 *
 * Two processes may have the same random bits, and then make the same ids all
 * the time. Who sees a conflict draws other bits (mg_id_draw_anew; mg_group.c
 * does), and the caller other ids.
 */
#ifndef MG_ID_H
#define MG_ID_H

#include <apr_pools.h>
#include <apr_time.h>

void mg_id_init(void);
void mg_id_draw_anew(void);                /* thread-safe */
apr_int64_t mg_id_next(void);              /* thread-safe */
apr_time_t mg_id_time(apr_int64_t id);     /* when it was made, to the ms */
apr_int64_t mg_id_floor(apr_time_t t);     /* smallest id of that millisecond */

char *mg_id_hex24(apr_pool_t *p);          /* public ids of routes and the like */
char *mg_id_event(apr_int64_t id, apr_pool_t *p); /* 22 chars base64url */
/** "20111114174239.25659.5817@domain", without angle brackets. */
char *mg_id_message(const char *domain, apr_pool_t *p);
/** n random characters of [0-9a-z]; from the system's CSPRNG. */
char *mg_id_random(apr_size_t n, apr_pool_t *p);

#endif
