/* remover.h - a tree of files is removed, a slice at a time.
 *
 * Paths are walked by openat() and O_NOFOLLOW: a symbolic link is removed and
 * never followed, whoever put it there, whenever. */
#ifndef REMOVER_H
#define REMOVER_H

#include <apr_pools.h>

typedef struct remover_t remover_t;

/**
 * Takes <dir>/<name> out of the way first (renames it to <name>.gone, or goes
 * on with one that is there from before), so that who has it open by name
 * finds nothing any more.
 *
 * @return APR_ENOENT: there is neither
 */
apr_status_t remover_create(remover_t **premover, const char *dir,
                            const char *name, apr_pool_t *p);
/** At most limit entries. @return APR_EAGAIN: there is more; APR_SUCCESS: all
 * is gone; else why it cannot go on */
apr_status_t remover_step(remover_t *remover, int limit);
/** Where it is, for the log. */
const char *remover_path(const remover_t *remover);

#endif
