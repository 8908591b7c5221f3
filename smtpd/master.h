/* master.h - the process that supervises (worker.h). */
#ifndef MASTER_H
#define MASTER_H

#include "setup.h"
#include "worker.h"

typedef worker_start_fn *master_roles_t[MG_ROLE_MAX];

/** Listen, fork, supervise until SIGTERM; the exit code. ready is called once
 * everything is bound and the workers are forked. */
int master_run(setup_t *setup, const char *config_path,
               const master_roles_t roles, void (*ready)(void),
               apr_pool_t *p);

#endif
