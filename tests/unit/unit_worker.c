/* unit_worker.c - a worker_t without a process. */
#include <stdio.h>
#include <sys/stat.h>

#include <apr_strings.h>

#include "mg_event.h"
#include "unit_worker.h"

mg_config_t *unit_worker_config(worker_t *worker)
{
    return (mg_config_t *)worker->config;
}

worker_t *unit_worker(unit_store_t *store, mg_role_t role)
{
    worker_t *worker = apr_pcalloc(store->p, sizeof(*worker));
    mg_config_t *config = mg_config_create(store->p);

    config->store = store->url;
    config->run_dir = apr_pstrcat(store->p, store->dir, "/run", NULL);
    config->mail_dir = apr_pstrcat(store->p, store->dir, "/mail", NULL);
    mkdir(config->run_dir, 0700);
    mkdir(config->mail_dir, 0700);
    apr_pool_create(&worker->pool, store->p);
    worker->config = config;
    worker->role = role;
    worker->slot = 1;
    worker->node = "unit";
    worker->db = store->db;
    worker->auth_fd = worker->mailboxd_fd = -1;
    worker->shared = mg_shared_attach(config->run_dir, worker->pool);
    worker->domains = mg_domain_cache_create(worker->shared, worker->pool);
    mg_event_context(worker->db, worker->domains, 1);
    assert_int_equal(loop_create(&worker->loop, worker->pool), APR_SUCCESS);
    return worker;
}

void unit_worker_turns(worker_t *worker, const int *done)
{
    int i;

    for (i = 0; i < 500 && !(done && *done); i++) {
        assert_int_equal(loop_turn(worker->loop, 10000), APR_SUCCESS);
        if (!done)
            return;
    }
}
