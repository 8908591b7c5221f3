/* reaper.h - gives the claims of dead workers back. */
#ifndef REAPER_H
#define REAPER_H

#include <sys/types.h>

#include "mg_config.h"
#include "mg_db.h"

/**
 * A short-lived process of its own, so that the master never opens the store.
 * Tries again for half a minute while the store is down; later the keeper
 * finds what is left.
 *
 * @param dead  the worker's pid; 0: all of this node whose process is gone
 * @return the exit code
 */
int reaper_run(const mg_config_t *config, const char *node, pid_t dead);

/** The same on an open store. pid 0 as above; also by the keeper. */
apr_status_t reaper_sweep(int *preleased, mg_db_t *db, const char *node,
                          pid_t dead, apr_pool_t *ptemp);

#endif
