/* worker.h - what every role of mailgun-smtpd has: configuration, store,
 * loop, shared state, its doorbell, orderly stop.
 *
 * The master (master.c) binds the ports as root, forks a worker per slot,
 * drops its rights, and only supervises: it restarts who dies and says so,
 * gives a dead worker's claims back, passes on SIGTERM (stop when sessions are
 * done), SIGHUP (reread the configuration: workers are replaced one by one;
 * the old ones finish their sessions) and SIGUSR1 (reopen the log).
 */
#ifndef WORKER_H
#define WORKER_H

#include <apr_pools.h>
#include "loop.h"
#include "mg_config.h"
#include "mg_db.h"
#include "mg_domain.h"
#include "mg_seal.h"
#include "mg_shared.h"

typedef struct worker_t worker_t;
struct worker_t {
    apr_pool_t *pool;
    const mg_config_t *config;
    const mg_secret_t *secret;   /* opened by the master before it dropped */
    mg_shared_t *shared;
    mg_role_t role;
    int slot;                    /* of the shared state; also the stat slot */
    int index;                   /* 0, 1 ... within the role */
    apr_int64_t worker_id;       /* claimed_by */
    loop_t *loop;
    mg_db_t *db;                 /* NULL in auth's children that need none */
    mg_domain_cache_t *domains;
    int stopping;                /* finish what is begun, take nothing new */
    /* receiver: listening sockets; one end of the socketpair to auth */
    const apr_array_header_t *listeners;  /* of listener_t */
    int auth_fd;                 /* receiver: SOCK_SEQPACKET to the auth role */
    /* set by the role's start function */
    void (*on_bell)(worker_t *worker);    /* or each second */
    void (*on_stop)(worker_t *worker);    /* stopping was set */
    void *role_data;
};

typedef struct {
    int fd;
    int role;                    /* MG_LISTEN_* */
} listener_t;

/* Each role has one: set up, register watches and timers, return; the loop
 * runs then. */
apr_status_t receiver_start(worker_t *worker);
apr_status_t auth_start(worker_t *worker);
apr_status_t sender_start(worker_t *worker);
apr_status_t notifier_start(worker_t *worker);
apr_status_t keeper_start(worker_t *worker);
apr_status_t mailboxd_start(worker_t *worker);

/** The role is done stopping: leave the loop. */
void worker_done(worker_t *worker);
/** The store failed: log once per outage, reconnect with back-off. */
apr_status_t worker_db_check(worker_t *worker, apr_status_t rv);
#endif
