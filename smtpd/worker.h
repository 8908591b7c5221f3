/* worker.h - what every role of mailgun-smtpd has: configuration, store,
 * loop, shared state, its doorbell, orderly stop.
 *
 * The master (master.c) binds the ports and reads the keys as root, forks a
 * worker per slot, and only supervises: it restarts who dies and says so,
 * gives a dead worker's claims back, passes on SIGTERM (stop when sessions are
 * done), SIGHUP (reread the configuration: workers are replaced one by one;
 * the old ones finish their sessions) and SIGUSR1 (reopen the log). Workers
 * drop their rights before anything else; the master keeps root's, so that
 * SIGHUP can bind another port and read a renewed certificate.
 *
 * A worker whose master is gone stops as for SIGTERM, within 10 seconds.
 */
#ifndef WORKER_H
#define WORKER_H

#include <sys/types.h>

#include <apr_pools.h>
#include <openssl/types.h>
#include "loop.h"
#include "mg_config.h"
#include "mg_db.h"
#include "mg_domain.h"
#include "mg_seal.h"
#include "mg_shared.h"

typedef struct worker_t worker_t;
/** What a role's start function is: see receiver_start() and so on. */
typedef apr_status_t worker_start_fn(worker_t *worker);
struct worker_t {
    apr_pool_t *pool;
    const mg_config_t *config;
    const mg_secret_t *secret;   /* opened by the master before it dropped */
    mg_shared_t *shared;
    mg_role_t role;
    worker_start_fn *start;
    int slot;                    /* of the shared state; also the stat slot */
    int index;                   /* 0, 1 ... within the role */
    apr_int64_t worker_id;       /* claimed_by */
    loop_t *loop;
    mg_db_t *db;                 /* perhaps not connected: MG_ELOST then */
    mg_domain_cache_t *domains;
    int stopping;                /* finish what is begun, take nothing new */
    int retiring;                /* stopping because another has its place:
                                    there is time, sessions end by themselves.
                                    on_stop comes again if that changes */
    /* receiver: listening sockets; one end of the socketpair to auth */
    const apr_array_header_t *listeners;  /* of listener_t */
    SSL_CTX *tls;                /* receiver: of the master; NULL: none */
    int auth_fd;                 /* receiver: SOCK_SEQPACKET to the auth role,
                                    -1 in others */
    const apr_array_header_t *auth_fds; /* auth: of int, the other ends */
    int mailboxd_fd;             /* mailboxd: its listening socket */
    const char *node;            /* this host's name */
    struct mg_track_keys_t *track_keys; /* worker_links.h */
    apr_time_t links_said;
    /* set by the role's start function */
    void (*on_bell)(worker_t *worker);    /* or each second */
    void (*on_stop)(worker_t *worker);    /* stopping was set */
    void *role_data;
    struct worker_own_t *own;    /* worker.c's */
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
/**
 * Pass what the store said here. The first failure of an outage is logged,
 * with the store's words, and so is its end; a lost connection is made again,
 * now and then about once a second. Statuses that are answers (APR_ENOENT,
 * APR_EEXIST, MG_ECONFLICT, MG_EBUSY ...) are none of its business.
 *
 * @return rv, unchanged: what was begun has failed all the same
 */
apr_status_t worker_db_check(worker_t *worker, apr_status_t rv);
/** The same of another connection of this process, which said these words. */
apr_status_t worker_db_check_words(worker_t *worker, apr_status_t rv,
                                   const char *words);
/** False during an outage: worth no try. */
int worker_db_usable(const worker_t *worker);

/* --- the master's --- */
/** All of a worker's life, in the child; the exit code. The caller filled in
 * config ... node; rights are dropped and descriptors closed already. */
int worker_run(worker_t *worker, pid_t master);

#endif
