/* auth_memory.h - what an auth worker remembers for a while: logins that were
 * proven, and failures. Bounded, private to the process, gone with it. */
#ifndef AUTH_MEMORY_H
#define AUTH_MEMORY_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct auth_memory_t auth_memory_t;

auth_memory_t *auth_memory_create(apr_pool_t *p);

/** Was this very password right for this row, less than a minute ago? Kept is
 * an HMAC under a key made at start, bound to the row's revision: a changed
 * password makes it worthless at once. */
int auth_memory_is_proven(auth_memory_t *memory, apr_int64_t mailbox_id,
                          apr_int64_t revision, const char *password);
void auth_memory_prove(auth_memory_t *memory, apr_int64_t mailbox_id,
                       apr_int64_t revision, const char *password);

/** How long to wait before a question of this address for this login is
 * looked at; 0 as long as there were no failures. */
apr_interval_time_t auth_memory_delay(auth_memory_t *memory, const char *ip,
                                      const char *login);
void auth_memory_failed(auth_memory_t *memory, const char *ip,
                        const char *login);
void auth_memory_succeeded(auth_memory_t *memory, const char *ip,
                           const char *login);

#endif
