/* worker.c - the life of a worker process (worker.h): store, loop, doorbell,
 * signals, heartbeat. What it does is its role's. */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mg_event.h"
#include "mg_id.h"
#include "mg_log.h"
#include "mg_queue.h"
#include "mg_status.h"
#include "mg_time.h"
#include "process.h"
#include "worker.h"

#define POLL_TIME apr_time_from_sec(1)
#define POLL_TIME_PGSQL apr_time_from_msec(250) /* other nodes ring no bell */
#define SEEN_TIME apr_time_from_sec(30)
#define WELL_TIME apr_time_from_sec(10)
#define RECONNECT_TIME apr_time_from_sec(1)
#define ORPHAN_TIME apr_time_from_sec(10)

typedef struct worker_own_t worker_own_t;
struct worker_own_t {
    pid_t master;
    int signal_fd, bell_fd;
    int started;              /* the role is */
    int failed;               /* the role could not be started */
    int unconnected;          /* from the store */
    apr_status_t said;        /* the outage that is in the log, or 0 */
    apr_time_t failed_at, reconnect_at, seen_at, orphan_until;
};

/* the store */

static int is_outage(apr_status_t rv)
{
    return rv == MG_ELOST || rv == MG_EIO || rv == MG_EFULL ||
           rv == MG_ESCHEMA;
}

/* Said once per outage, and again where the reason is another. */
static void say_outage(worker_t *worker, apr_status_t rv, const char *words)
{
    worker_own_t *own = worker->own;

    own->failed_at = mg_ticks();
    if (own->said == rv)
        return;
    own->said = rv;
    mg_log(MG_LOG_ERR, rv, "store: %s", words);
}

static void reconnect(worker_t *worker)
{
    worker_own_t *own = worker->own;
    apr_status_t rv;

    own->unconnected = 1;
    if (mg_ticks() < own->reconnect_at)
        return;
    rv = mg_db_reconnect(worker->db);
    own->reconnect_at = mg_ticks() + RECONNECT_TIME;
    if (rv != APR_SUCCESS) {
        say_outage(worker, rv, mg_db_error(worker->db));
        return;
    }
    own->unconnected = 0;
    own->said = 0;
    mg_log(MG_LOG_WARN, APR_SUCCESS, "store: connected again");
}

apr_status_t worker_db_check(worker_t *worker, apr_status_t rv)
{
    return worker_db_check_words(worker, rv, mg_db_error(worker->db));
}

apr_status_t worker_db_check_words(worker_t *worker, apr_status_t rv,
                                   const char *words)
{
    worker_own_t *own = worker->own;

    if (!own) /* in a unit test */
        return rv;
    /* a full disk still reads: it is well when nothing failed for a while */
    if (rv == APR_SUCCESS && own->said && !own->unconnected &&
        mg_ticks() - own->failed_at > WELL_TIME) {
        own->said = 0;
        mg_log(MG_LOG_WARN, APR_SUCCESS, "store: works again");
    }
    if (!is_outage(rv))
        return rv;
    say_outage(worker, rv, words);
    if (rv == MG_ELOST || rv == MG_ESCHEMA)
        reconnect(worker);
    return rv;
}

int worker_db_usable(const worker_t *worker)
{
    const worker_own_t *own = worker->own;

    return !own || !own->unconnected;
}

static int db_flags(const worker_t *worker)
{
    return (worker->config->relaxed ? MG_DB_RELAXED : 0) |
           (worker->role == MG_ROLE_KEEPER ? MG_DB_KEEPER : 0);
}

/* A row in `node`: who claims, and that it lives. */
static apr_status_t be_seen(worker_t *worker)
{
    worker_own_t *own = worker->own;
    apr_status_t rv;

    if (!worker->worker_id)
        rv = mg_worker_register(&worker->worker_id, worker->db,
                                mg_role_name(worker->role));
    else
        rv = mg_worker_seen(worker->db, worker->worker_id);
    if (rv == APR_SUCCESS)
        own->seen_at = mg_ticks();
    return worker_db_check(worker, rv);
}

/* the role */

/* These have an answer while the store is down; the others wait for it. */
static int starts_without_store(mg_role_t role)
{
    return role == MG_ROLE_RECEIVER || role == MG_ROLE_AUTH ||
           role == MG_ROLE_MAILBOXD;
}

static void try_to_start(worker_t *worker)
{
    worker_own_t *own = worker->own;
    apr_status_t rv = MG_ELOST;

    if (worker_db_usable(worker))
        rv = be_seen(worker);
    if (rv != APR_SUCCESS && !starts_without_store(worker->role))
        return;
    own->started = 1;
    rv = worker->start(worker);
    if (rv != APR_SUCCESS) {
        mg_log(MG_LOG_ERR, rv, "cannot start");
        own->failed = 1;
        loop_stop(worker->loop);
        return;
    }
    mg_log(MG_LOG_DEBUG, APR_SUCCESS, "started");
}

static void begin_stop(worker_t *worker, int retiring)
{
    if (worker->stopping && !(worker->retiring && !retiring))
        return;
    worker->stopping = 1;
    worker->retiring = retiring;
    mg_log(MG_LOG_DEBUG, APR_SUCCESS, retiring ? "retiring" : "stopping");
    if (worker->own->started && worker->on_stop)
        worker->on_stop(worker);
    else
        worker_done(worker);
}

void worker_done(worker_t *worker)
{
    loop_stop(worker->loop);
}

/* events */

static void on_signal(loop_t *loop, int fd, int events, void *baton)
{
    worker_t *worker = baton;
    struct signalfd_siginfo info;

    (void)loop;
    (void)events;
    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM)
            begin_stop(worker, 0);
        else if (info.ssi_signo == SIGUSR2)
            begin_stop(worker, 1);
        else if (info.ssi_signo == SIGUSR1)
            process_reopen_log();
    }
}

static void ring(worker_t *worker)
{
    if (worker->own->started && worker->on_bell)
        worker->on_bell(worker);
}

static void on_bell_fd(loop_t *loop, int fd, int events, void *baton)
{
    char bytes[16];
    int i;

    (void)loop;
    (void)events;
    for (i = 0; i < 64 && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0;
         i++)
        ;
    ring(baton);
}

static void look_for_master(worker_t *worker)
{
    worker_own_t *own = worker->own;

    if (getppid() == own->master)
        return;
    if (!own->orphan_until) {
        mg_log(MG_LOG_WARN, APR_SUCCESS, "the master is gone: stopping");
        own->orphan_until = mg_ticks() + ORPHAN_TIME;
        begin_stop(worker, 0);
    }
    else if (mg_ticks() > own->orphan_until) {
        worker_done(worker);
    }
}

static void on_poll(loop_t *loop, void *baton)
{
    worker_t *worker = baton;
    worker_own_t *own = worker->own;

    look_for_master(worker);
    if (!worker_db_usable(worker))
        reconnect(worker);
    if (!own->started && !worker->stopping)
        try_to_start(worker);
    if (worker_db_usable(worker) &&
        (!worker->worker_id || mg_ticks() - own->seen_at > SEEN_TIME))
        be_seen(worker);
    ring(worker);
    loop_timer_set(loop, mg_db_kind(worker->db) == MG_DB_PGSQL
                             ? POLL_TIME_PGSQL : POLL_TIME, on_poll, worker);
}

/* setting up */

static apr_status_t watch_signals(worker_t *worker)
{
    worker_own_t *own = worker->own;
    loop_watch_t *watch;
    sigset_t set;

    /* the master's other signals: Ctrl-C reaches the whole group, but it is
     * the master who says stop */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2); /* the master: another has your place */
    own->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (own->signal_fd < 0)
        return errno;
    sigprocmask(SIG_SETMASK, &set, NULL);
    /* after the drop of rights, which clears it; and the master may have
     * died before */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    return loop_watch(&watch, worker->loop, own->signal_fd, LOOP_READ,
                      on_signal, worker);
}

static void open_bell(worker_t *worker)
{
    worker_own_t *own = worker->own;
    loop_watch_t *watch;
    apr_status_t rv;

    if (worker->role == MG_ROLE_RECEIVER || worker->role == MG_ROLE_AUTH)
        return; /* nothing to wake them for */
    rv = mg_bell_open(&own->bell_fd, worker->config->run_dir, worker->role,
                      worker->index, worker->pool);
    if (rv == APR_SUCCESS)
        rv = loop_watch(&watch, worker->loop, own->bell_fd, LOOP_READ,
                        on_bell_fd, worker);
    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_WARN, rv, "no doorbell in %s: looking each second",
               worker->config->run_dir);
}

static apr_status_t set_up(worker_t *worker, pid_t master)
{
    worker_own_t *own;
    apr_status_t rv;

    mg_id_init();
    apr_pool_create(&worker->pool, NULL);
    own = worker->own = apr_pcalloc(worker->pool, sizeof(*own));
    own->master = master;
    own->bell_fd = -1;
    rv = loop_create(&worker->loop, worker->pool);
    if (rv == APR_SUCCESS)
        rv = watch_signals(worker);
    if (rv != APR_SUCCESS)
        return rv;
    mg_message_set_run_dir(worker->config->run_dir);
    mg_message_set_stored_for(worker->config->stored_retention);
    mg_event_hook_machines(worker->config->hook_machines);
    worker->domains = mg_domain_cache_create(worker->shared, worker->pool);
    rv = mg_db_open(&worker->db, worker->config->store, db_flags(worker),
                    worker->pool);
    if (rv == MG_ECONFIG)
        return rv;
    if (rv != APR_SUCCESS) {
        say_outage(worker, rv, mg_db_error(worker->db));
        own->unconnected = 1;
        own->reconnect_at = mg_ticks() + RECONNECT_TIME;
    }
    mg_event_context(worker->db, worker->domains, worker->slot);
    open_bell(worker);
    return APR_SUCCESS;
}

/* Nothing is left that is ours; else the keeper finds it. */
static void give_back(worker_t *worker)
{
    int released = 0;
    apr_status_t rv;

    mg_tx_rollback(worker->db);
    rv = mg_worker_gone(&released, worker->db, worker->worker_id);
    if (rv == MG_ELOST && mg_db_reconnect(worker->db) == APR_SUCCESS)
        rv = mg_worker_gone(&released, worker->db, worker->worker_id);
    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_WARN, rv, "cannot give claims back; the keeper will");
    else if (released)
        mg_log(MG_LOG_INFO, APR_SUCCESS, "gave %d claims back", released);
}

int worker_run(worker_t *worker, pid_t master)
{
    apr_status_t rv = set_up(worker, master);

    if (rv != APR_SUCCESS) {
        mg_log(MG_LOG_ERR, rv, "cannot set up");
        return 1;
    }
    look_for_master(worker);
    if (!worker->stopping)
        on_poll(worker->loop, worker);
    if (!worker->own->failed)
        rv = loop_run(worker->loop);
    if (worker->worker_id && worker_db_usable(worker))
        give_back(worker);
    mg_db_close(worker->db);
    return rv != APR_SUCCESS || worker->own->failed;
}
