/* turnstile.h - where the writers of a SQLite store stand in line (design 4).
 *
 * Two lock files beside the store, <store>-line (A) and <store>-turn (B):
 *
 *     take A, take B, give A back, work, give B back
 *
 * Who waits for B holds A, so at most one waits there, and whoever just gave
 * B back must queue at A behind it: a writer that comes back at once cannot
 * overtake. Locks are F_OFD_SETLKW: each open file excludes the others, within
 * a process too, and the kernel drops them with a dead process.
 */
#ifndef TURNSTILE_H
#define TURNSTILE_H

#include <apr_pools.h>

typedef struct turnstile_t turnstile_t;

/** Opens both files, makes them (0660, the store's group) where they are not.
 * Closed with the pool, and in every forked child. */
apr_status_t turnstile_open(turnstile_t **pturnstile, const char *store,
                            apr_pool_t *p);
apr_status_t turnstile_enter(turnstile_t *turnstile);
void turnstile_leave(turnstile_t *turnstile);

/** Let the group of the store share a file beside it: group and mode as the
 * store has them, where we may set them. */
void turnstile_share(const char *path, const char *store);

#endif
