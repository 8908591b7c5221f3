/* unit_worker.h - a worker_t as the roles know it, without a process. */
#ifndef UNIT_WORKER_H
#define UNIT_WORKER_H

#include "unit_dir.h"
#include "unit_store.h"
#include "worker.h"

/** On the store's own connection; run_dir and mail_dir are in store->dir. */
worker_t *unit_worker(unit_store_t *store, mg_role_t role);
/** Its configuration, to be changed. */
mg_config_t *unit_worker_config(worker_t *worker);
/** Turns of its loop, some milliseconds, until *done (or NULL: once). */
void unit_worker_turns(worker_t *worker, const int *done);

#endif
