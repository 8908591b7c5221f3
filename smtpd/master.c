/* master.c - supervising (worker.h).
 *
 * The master opens no store, runs no loop and talks to nobody: it waits for
 * signals. A short-lived child gives the claims of the dead back (reaper.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "master_private.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "process.h"

#define STOP_TIME apr_time_from_sec(30)
#define REAP_TIME apr_time_from_sec(5)
#define LISTEN_PATIENCE apr_time_from_sec(15) /* over a worker's ORPHAN_TIME */
#define LISTEN_PAUSE 50000

/* SIGHUP */

static const char *not_while_running(const setup_t *old, const setup_t *new)
{
    if (strcmp(old->config->run_dir, new->config->run_dir) != 0)
        return "MailgunRunDir";
    if (old->uid != new->uid)
        return "MailgunUser";
    if (old->gid != new->gid)
        return "MailgunGroup";
    return NULL;
}

static void set_level(const mg_config_t *config)
{
    static const char *const names[] = { "err", "warn", "info", "debug" };
    int i;

    for (i = 0; config->log_level && i < 4; i++) {
        if (strcmp(config->log_level, names[i]) == 0)
            mg_log_set_level((mg_log_level_t)i);
    }
}

static void reread(master_t *m)
{
    setup_t *old = m->setup, *new;
    apr_array_header_t *before = m->seats;
    const char *error = NULL, *fixed;
    apr_status_t rv;

    rv = setup_read(&new, m->config_path, &error, m->pool);
    if (rv == APR_SUCCESS) {
        fixed = not_while_running(old, new);
        if (fixed) {
            rv = MG_ECONFIG;
            error = apr_psprintf(new->pool, "%s needs a restart", fixed);
        }
        if (rv == APR_SUCCESS)
            rv = setup_make_dirs(new, &error);
        if (rv == APR_SUCCESS)
            rv = setup_listen(new, old, &error);
    }
    if (rv != APR_SUCCESS) {
        mg_log(MG_LOG_ERR, APR_SUCCESS, "%s; the old configuration stays",
               error);
        if (new)
            apr_pool_destroy(new->pool);
        return;
    }
    setup_close_others(old, new);
    m->setup = new;
    set_level(new->config);
    seats_make(m, before);
    apr_pool_destroy(old->pool);
    mg_log(MG_LOG_INFO, APR_SUCCESS, "configuration read again: replacing "
           "workers");
}

/* stopping */

static void signal_children(master_t *m, int sig, int also_last)
{
    int i;

    for (i = 0; i < CHILDREN; i++) {
        child_t *c = &m->children[i];

        if (!c->pid || c->role == MG_ROLE_MASTER ||
            (child_is_last(c) && !also_last))
            continue;
        if (sig == SIGTERM)
            child_stop(m, c->pid, SIGTERM);
        else
            kill(c->pid, sig);
    }
}

static void begin_stop(master_t *m)
{
    if (m->stop_by)
        return;
    mg_log(MG_LOG_INFO, APR_SUCCESS, "stopping");
    process_notify("STOPPING=1");
    m->stop_by = mg_ticks() + STOP_TIME;
    signal_children(m, SIGTERM, 0);
}

/* auth and mailboxd go last: sessions that finish need them.
 * @return true when there is nobody left */
static int go_on_stopping(master_t *m)
{
    if (!m->last_phase && child_count(m, 0, 0) == 0) {
        m->last_phase = 1;
        signal_children(m, SIGTERM, 1);
    }
    if (!m->killed && mg_ticks() > m->stop_by) {
        m->killed = 1;
        mg_log(MG_LOG_WARN, APR_SUCCESS, "%d workers did not stop in time: "
               "killing them", child_count(m, 1, 0));
        signal_children(m, SIGKILL, 1);
    }
    if (child_count(m, 1, 0))
        return 0;
    return !child_count(m, 1, 1) || mg_ticks() > m->stop_by + REAP_TIME;
}

/* setting up */

static const char *host_name(apr_pool_t *p)
{
    char name[256] = "localhost";

    if (gethostname(name, sizeof(name) - 1) != 0)
        return "localhost";
    return apr_pstrdup(p, name);
}

/* The lock says whether another master uses this run directory. */
static apr_status_t write_pid(master_t *m)
{
    char text[32];
    int n = apr_snprintf(text, sizeof(text), "%d\n", (int)getpid());

    m->pid_path = apr_pstrcat(m->pool, m->setup->config->run_dir,
                              "/smtpd.pid", NULL);
    m->pid_fd = open(m->pid_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                     0644);
    if (m->pid_fd < 0)
        return errno;
    if (flock(m->pid_fd, LOCK_EX | LOCK_NB) != 0) {
        close(m->pid_fd);
        return APR_EEXIST;
    }
    if (fchmod(m->pid_fd, 0644) != 0 || ftruncate(m->pid_fd, 0) != 0 ||
        pwrite(m->pid_fd, text, (apr_size_t)n, 0) != n)
        return errno;
    return APR_SUCCESS;
}

static apr_status_t make_shared(master_t *m)
{
    apr_status_t rv;

    process_act_as(m->setup->uid, m->setup->gid);
    rv = mg_shared_create(&m->shared, m->setup->config->run_dir, m->pool);
    process_act_as_root();
    return rv;
}

static apr_status_t make_auth_pairs(master_t *m)
{
    int i;

    for (i = 0; i < AUTH_PAIRS; i++) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
                       0, m->auth_pairs[i]) != 0)
            return errno;
    }
    return APR_SUCCESS;
}

/* Workers of a master that was killed have its sockets until they are done. */
static apr_status_t listen_first(master_t *m, const char **perror)
{
    apr_time_t until = mg_ticks() + LISTEN_PATIENCE;
    apr_status_t rv;
    int said = 0;

    for (;;) {
        rv = setup_listen(m->setup, NULL, perror);
        if (rv != EADDRINUSE || mg_ticks() > until)
            return rv;
        if (!said++)
            mg_log(MG_LOG_WARN, APR_SUCCESS, "%s: waiting", *perror);
        usleep(LISTEN_PAUSE);
    }
}

static apr_status_t set_up(master_t *m)
{
    const char *error = NULL;
    apr_status_t rv;

    rv = setup_make_dirs(m->setup, &error);
    if (rv == APR_SUCCESS) {
        rv = write_pid(m);
        if (rv == APR_EEXIST)
            error = apr_psprintf(m->pool, "another mailgun-smtpd runs in %s",
                                 m->setup->config->run_dir);
        else if (rv != APR_SUCCESS)
            error = m->pid_path;
    }
    if (rv == APR_SUCCESS)
        rv = listen_first(m, &error);
    if (rv == APR_SUCCESS)
        rv = make_shared(m);
    if (rv == APR_SUCCESS)
        rv = setup_mailboxd(&m->mailboxd_fd, m->setup, &error);
    if (rv == APR_SUCCESS)
        rv = make_auth_pairs(m);
    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_ERR, rv, "cannot start%s%s", error ? ": " : "",
               error ? error : "");
    return rv;
}

/* Blocked from here on, and taken by sigtimedwait() one at a time. */
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
    sigaddset(set, SIGCHLD);
    sigprocmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void on_signal(master_t *m, int sig)
{
    switch (sig) {
    case SIGTERM:
    case SIGINT:
        begin_stop(m);
        break;
    case SIGHUP:
        if (!m->stop_by)
            reread(m);
        break;
    case SIGUSR1:
        process_reopen_log();
        signal_children(m, SIGUSR1, 1);
        break;
    default: /* SIGCHLD: seats_reap() looks in any case */
        break;
    }
}

static void supervise(master_t *m, const sigset_t *set)
{
    struct timespec wait;
    apr_interval_time_t t;
    int sig;

    for (;;) {
        t = seats_until_next(m);
        wait.tv_sec = (time_t)apr_time_sec(t);
        wait.tv_nsec = (long)apr_time_usec(t) * 1000;
        sig = sigtimedwait(set, NULL, &wait);
        if (sig > 0)
            on_signal(m, sig);
        seats_reap(m);
        if (!m->stop_by)
            seats_tend(m);
        else if (go_on_stopping(m))
            return;
    }
}

int master_run(setup_t *setup, const char *config_path,
               const master_roles_t roles, void (*ready)(void),
               apr_pool_t *p)
{
    master_t *m = apr_pcalloc(p, sizeof(*m));
    sigset_t set;

    m->pool = p;
    m->setup = setup;
    m->config_path = config_path;
    m->roles = roles;
    m->node = host_name(p);
    m->pid = getpid();
    set_level(setup->config);
    block_signals(&set);
    process_raise_limits();
    if (set_up(m) != APR_SUCCESS)
        return 1;
    mg_log(MG_LOG_INFO, APR_SUCCESS, "started, with %s",
           setup->config->store);
    child_spawn(m, MG_ROLE_MASTER, 0, 0); /* claims of who died with the last one */
    seats_make(m, NULL);
    seats_tend(m);
    ready();
    process_notify("READY=1");
    supervise(m, &set);
    unlink(m->pid_path);
    mg_log(MG_LOG_INFO, APR_SUCCESS, "stopped");
    return 0;
}
