/* mg_shared.h - advice between processes: the mapped file and the doorbells.
 *
 * Nothing here is truth; without it everything works a second later
 * (design 7). The file <run_dir>/shared (0660) holds: magic, layout version,
 * boot id, the configuration generation, and per worker-slot gauges. Who finds
 * another boot id attaches anew; mg_shared_attach() costs a stat() at most once
 * a second. Without a file the generation moves on each second by itself, so
 * that nothing stays cached longer.
 *
 * Doorbells are Unix datagram sockets <run_dir>/bell.<role>.<n>, one byte
 * after a commit, sent without blocking; errors are ignored.
 */
#ifndef MG_SHARED_H
#define MG_SHARED_H

#include <apr_pools.h>

typedef enum {
    MG_ROLE_MASTER, MG_ROLE_RECEIVER, MG_ROLE_AUTH, MG_ROLE_SENDER,
    MG_ROLE_NOTIFIER, MG_ROLE_KEEPER, MG_ROLE_MAILBOXD,
    MG_ROLE_MAX
} mg_role_t;
const char *mg_role_name(mg_role_t role);

typedef struct mg_shared_t mg_shared_t;

/** Master only: make the file anew. */
apr_status_t mg_shared_create(mg_shared_t **pshared, const char *run_dir,
                              apr_pool_t *p);
/** Everybody else. Never fails: without a file, values are local. */
mg_shared_t *mg_shared_attach(const char *run_dir, apr_pool_t *p);

/** Caches made under another generation are stale. Bumped after a change to
 * domains, mailboxes, settings, routes, keys was committed. */
apr_uint32_t mg_shared_generation(mg_shared_t *shared);
void mg_shared_bump(mg_shared_t *shared);

typedef enum {
    MG_GAUGE_ACCEPTED, MG_GAUGE_DELIVERED, MG_GAUGE_DEFERRED, MG_GAUGE_FAILED,
    MG_GAUGE_SESSIONS, MG_GAUGE_CLAIMED, MG_GAUGE_WAL_BYTES,
    MG_GAUGE_SPAM_CHECKED, MG_GAUGE_SPAM_UNCHECKED, MG_GAUGE_MAX
} mg_gauge_t;
void mg_shared_add(mg_shared_t *shared, int slot, mg_gauge_t g, apr_int64_t n);
void mg_shared_set(mg_shared_t *shared, int slot, mg_gauge_t g, apr_int64_t v);
void mg_shared_zero_slot(mg_shared_t *shared, int slot);
apr_int64_t mg_shared_sum(mg_shared_t *shared, mg_gauge_t g);

/** Bind <run_dir>/bell.<role>.<n>; *pfd is non-blocking, closed with p. */
apr_status_t mg_bell_open(int *pfd, const char *run_dir, mg_role_t role, int n,
                          apr_pool_t *p);
/** Ring every bell of a role: n = 0 .. 15, until one that never was. */
void mg_bell_ring(const char *run_dir, mg_role_t role);

#endif
