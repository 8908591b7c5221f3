/* master.c - supervising (worker.h).
 *
 * The master opens no store, runs no loop and talks to nobody: it waits for
 * signals. A seat is a place that should have a worker: (role, index). A
 * worker that ends leaves its seat empty, and it is filled again: at once the
 * first time, later with a growing pause. On SIGHUP each seat gets its new
 * worker first; when that has lived for a moment, the old one is told to stop
 * and goes on, seatless, until its sessions are done. A short-lived child
 * gives the claims of the dead back (reaper.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "master.h"
#include "mg_log.h"
#include "mg_shared.h"
#include "mg_status.h"
#include "mg_time.h"
#include "process.h"
#include "reaper.h"
#include "worker.h"

#define SLOTS 64              /* of the shared state; 0 is nobody's */
#define AUTH_PAIRS 32         /* receivers alive at a time, old ones too */
#define CHILDREN 128
#define STOP_TIME apr_time_from_sec(30)
#define REAP_TIME apr_time_from_sec(5)
#define SETTLE_TIME apr_time_from_msec(200) /* lived so long: it is well */
#define GOOD_LIFE apr_time_from_sec(2)      /* not what it died of: no pause */
#define FIRST_PAUSE apr_time_from_msec(200)
#define LONGEST_PAUSE apr_time_from_sec(10)

typedef struct {
    pid_t pid;                /* 0: this entry is free */
    mg_role_t role;           /* MG_ROLE_MASTER: a reaper */
    int index, slot, auth_pair;
    int leaving;              /* was told to stop, by this signal */
    apr_time_t started;
} child_t;

typedef struct {
    mg_role_t role;
    int index;
    pid_t pid, old_pid;       /* old: until the new one is well */
    int failures, replace;
    apr_time_t start_at;
} seat_t;

typedef struct {
    apr_pool_t *pool;
    const char *config_path;
    worker_start_fn *const *roles;
    setup_t *setup;
    mg_shared_t *shared;
    const char *node, *pid_path;
    int pid_fd, mailboxd_fd;
    int auth_pairs[AUTH_PAIRS][2]; /* receiver's end, auth's end */
    child_t children[CHILDREN];
    apr_array_header_t *seats;     /* of seat_t */
    pid_t pid;
    apr_time_t stop_by;            /* 0: not stopping */
    int killed, last_phase;
} master_t;

/* children */

static child_t *child_by_pid(master_t *m, pid_t pid)
{
    int i;

    for (i = 0; i < CHILDREN && pid > 0; i++) {
        if (m->children[i].pid == pid)
            return &m->children[i];
    }
    return NULL;
}

static child_t *child_free(master_t *m)
{
    int i;

    for (i = 0; i < CHILDREN; i++) {
        if (!m->children[i].pid)
            return &m->children[i];
    }
    return NULL;
}

/* The lowest number that no living child has; -1 if all are taken. */
static int free_number(const master_t *m, int from, int to, int pair)
{
    int n, i;

    for (n = from; n < to; n++) {
        for (i = 0; i < CHILDREN; i++) {
            const child_t *c = &m->children[i];

            if (c->pid && (pair ? c->auth_pair : c->slot) == n)
                break;
        }
        if (i == CHILDREN)
            return n;
    }
    return -1;
}

static int count_children(const master_t *m, int also_last, int reapers)
{
    int i, n = 0;

    for (i = 0; i < CHILDREN; i++) {
        const child_t *c = &m->children[i];
        int last = c->role == MG_ROLE_AUTH || c->role == MG_ROLE_MAILBOXD;

        if (c->pid && (c->role != MG_ROLE_MASTER || reapers) &&
            (also_last || !last))
            n++;
    }
    return n;
}

/* in the child */

/* of a reaper; a worker takes its signals by signalfd, none is lost */
static void child_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child_title(const child_t *c)
{
    static char title[64], name[64];

    if (c->role == MG_ROLE_MASTER)
        apr_snprintf(title, sizeof(title), "mailgun-smtpd: reaper");
    else
        apr_snprintf(title, sizeof(title), "mailgun-smtpd: %s %d",
                     mg_role_name(c->role), c->index);
    process_title(title);
    apr_snprintf(name, sizeof(name), "mailgun-smtpd/%s",
                 c->role == MG_ROLE_MASTER ? "reaper" : mg_role_name(c->role));
    mg_log_to_stderr(name);
}

static void keep_fds(const master_t *m, const child_t *c, worker_t *worker)
{
    int keep[CHILDREN + AUTH_PAIRS], n = 0, i;
    apr_array_header_t *auth = apr_array_make(m->pool, AUTH_PAIRS,
                                              sizeof(int));

    worker->auth_fd = worker->mailboxd_fd = -1;
    worker->auth_fds = auth;
    if (c->role == MG_ROLE_RECEIVER) {
        worker->listeners = m->setup->listeners;
        for (i = 0; i < worker->listeners->nelts && n < CHILDREN - 1; i++)
            keep[n++] = APR_ARRAY_IDX(worker->listeners, i, listener_t).fd;
        keep[n++] = worker->auth_fd = m->auth_pairs[c->auth_pair][0];
    }
    for (i = 0; c->role == MG_ROLE_AUTH && i < AUTH_PAIRS; i++) {
        keep[n++] = m->auth_pairs[i][1];
        APR_ARRAY_PUSH(auth, int) = m->auth_pairs[i][1];
    }
    if (c->role == MG_ROLE_MAILBOXD)
        keep[n++] = worker->mailboxd_fd = m->mailboxd_fd;
    process_close_others(keep, n);
}

static void child_main(master_t *m, const child_t *c, pid_t dead)
{
    const setup_t *setup = m->setup;
    worker_t worker = {
        .config = setup->config, .secret = setup->secret,
        .shared = m->shared, .role = c->role,
        .start = m->roles[c->role], .slot = c->slot, .index = c->index,
        .tls = setup->tls, .node = m->node,
        .listeners = apr_array_make(m->pool, 1, sizeof(listener_t))
    };
    apr_status_t rv;

    keep_fds(m, c, &worker);
    child_title(c);
    rv = process_drop(setup->config->user, setup->uid, setup->gid);
    if (rv != APR_SUCCESS) {
        mg_log(MG_LOG_ERR, rv, "cannot become %s", setup->config->user);
        exit(1);
    }
    if (c->role != MG_ROLE_MASTER)
        exit(worker_run(&worker, m->pid));
    child_signals();
    exit(reaper_run(setup->config, m->node, dead));
}

/* A new child; dead: whose claims a reaper gives back. */
static child_t *spawn(master_t *m, mg_role_t role, int index, pid_t dead)
{
    child_t *c = child_free(m), made = { .role = role, .index = index,
                                         .auth_pair = -1 };

    if (role != MG_ROLE_MASTER)
        made.slot = free_number(m, 1, SLOTS, 0);
    if (role == MG_ROLE_RECEIVER)
        made.auth_pair = free_number(m, 0, AUTH_PAIRS, 1);
    if (!c || made.slot < 0 ||
        (role == MG_ROLE_RECEIVER && made.auth_pair < 0)) {
        mg_log(MG_LOG_WARN, APR_SUCCESS, "no place for another %s: waiting "
               "for old ones to end", mg_role_name(role));
        return NULL;
    }
    made.started = mg_ticks();
    made.pid = fork();
    if (made.pid < 0) {
        mg_log(MG_LOG_ERR, errno, "cannot fork");
        return NULL;
    }
    if (made.pid == 0)
        child_main(m, &made, dead);
    *c = made;
    return c;
}

/* seats */

static seat_t *seat_at(master_t *m, int i)
{
    return &APR_ARRAY_IDX(m->seats, i, seat_t);
}

static void seat_fill(master_t *m, seat_t *seat)
{
    child_t *c = spawn(m, seat->role, seat->index, 0);

    seat->pid = c ? c->pid : 0;
    if (!c)
        seat->start_at = mg_ticks() + apr_time_from_sec(1);
}

static apr_interval_time_t seat_pause(seat_t *seat, const child_t *c)
{
    apr_interval_time_t pause;

    if (mg_ticks() - c->started > GOOD_LIFE)
        seat->failures = 0;
    if (seat->failures++ == 0)
        return 0;
    pause = FIRST_PAUSE << (seat->failures < 10 ? seat->failures - 2 : 8);
    return pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
}

static const char *how_it_ended(int status, char *buf, apr_size_t len)
{
    if (WIFSIGNALED(status))
        apr_snprintf(buf, len, "was killed by signal %d%s", WTERMSIG(status),
                     WCOREDUMP(status) ? " (core dumped)" : "");
    else
        apr_snprintf(buf, len, "ended with status %d", WEXITSTATUS(status));
    return buf;
}

/* Nobody asked it to end. */
static void seat_lost(master_t *m, seat_t *seat, const child_t *c, int status)
{
    apr_interval_time_t pause = seat_pause(seat, c);
    char how[64];

    how_it_ended(status, how, sizeof(how));
    seat->pid = 0;
    seat->start_at = mg_ticks() + pause;
    if (!pause)
        seat_fill(m, seat);
    if (seat->pid)
        mg_log(MG_LOG_WARN, APR_SUCCESS, "%s %d (pid %d) %s; started again as "
               "pid %d", mg_role_name(c->role), c->index, (int)c->pid, how,
               (int)seat->pid);
    else
        mg_log(MG_LOG_WARN, APR_SUCCESS, "%s %d (pid %d) %s; starting it "
               "again in %d ms", mg_role_name(c->role), c->index, (int)c->pid,
               how, (int)apr_time_as_msec(seat->start_at - mg_ticks()));
}

static seat_t *seat_of(master_t *m, pid_t pid)
{
    int i;

    for (i = 0; i < m->seats->nelts; i++) {
        seat_t *seat = seat_at(m, i);

        if (seat->pid == pid || seat->old_pid == pid)
            return seat;
    }
    return NULL;
}

static void child_ended(master_t *m, pid_t pid, int status)
{
    child_t *c = child_by_pid(m, pid), was;
    seat_t *seat = seat_of(m, pid);
    char how[64];

    if (!c)
        return;
    was = *c;
    c->pid = 0;
    if (was.role == MG_ROLE_MASTER)
        return;
    mg_shared_zero_slot(m->shared, was.slot);
    if (seat && seat->old_pid == pid)
        seat->old_pid = 0;
    else if (seat && !was.leaving && !m->stop_by)
        seat_lost(m, seat, &was, status);
    else if (seat)
        seat->pid = 0;
    if (status == 0)
        return;
    if (was.leaving || m->stop_by)
        mg_log(MG_LOG_WARN, APR_SUCCESS, "%s %d (pid %d) %s while it stopped",
               mg_role_name(was.role), was.index, (int)pid,
               how_it_ended(status, how, sizeof(how)));
    spawn(m, MG_ROLE_MASTER, 0, pid);
}

static void reap(master_t *m)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        child_ended(m, pid, status);
}

/* SIGTERM: stop; SIGUSR2: another has your place, take your time. */
static void tell_to_stop(master_t *m, pid_t pid, int sig)
{
    child_t *c = child_by_pid(m, pid);

    if (!c || c->leaving == sig || c->leaving == SIGTERM)
        return;
    c->leaving = sig;
    kill(pid, sig);
}

/* One step of what seats need: empty ones filled, then one replaced. */
static void tend_seats(master_t *m)
{
    apr_time_t now = mg_ticks();
    child_t *c;
    int i;

    for (i = 0; i < m->seats->nelts; i++) {
        seat_t *seat = seat_at(m, i);

        if (!seat->pid && seat->start_at <= now)
            seat_fill(m, seat);
    }
    for (i = 0; i < m->seats->nelts; i++) {
        seat_t *seat = seat_at(m, i);

        if (seat->old_pid) {
            c = child_by_pid(m, seat->pid);
            if (c && now - c->started >= SETTLE_TIME) {
                tell_to_stop(m, seat->old_pid, SIGUSR2);
                seat->old_pid = 0;
            }
            return; /* one at a time */
        }
        if (seat->replace) {
            seat->replace = 0;
            seat->old_pid = seat->pid;
            seat_fill(m, seat);
            return;
        }
    }
}

static apr_interval_time_t until_next(master_t *m)
{
    apr_interval_time_t wait = apr_time_from_sec(1), left;
    int i;

    for (i = 0; i < m->seats->nelts && !m->stop_by; i++) {
        const seat_t *seat = seat_at(m, i);

        if (seat->old_pid || seat->replace)
            return apr_time_from_msec(50);
        left = seat->pid ? wait : seat->start_at - mg_ticks();
        wait = left < wait ? left : wait;
    }
    if (m->stop_by)
        wait = apr_time_from_msec(100);
    return wait > 1000 ? wait : 1000;
}

static const struct {
    mg_role_t role;
    int n;                    /* 0: as the configuration says */
} role_order[] = {
    { MG_ROLE_AUTH, 0 }, { MG_ROLE_MAILBOXD, 1 }, { MG_ROLE_KEEPER, 1 },
    { MG_ROLE_SENDER, 0 }, { MG_ROLE_NOTIFIER, 1 }, { MG_ROLE_RECEIVER, 0 },
};

static int wanted(const mg_config_t *config, mg_role_t role, int n)
{
    switch (role) {
    case MG_ROLE_AUTH:     return config->auth_workers;
    case MG_ROLE_SENDER:   return config->senders;
    case MG_ROLE_RECEIVER: return config->receivers;
    default:               return n;
    }
}

/* The seats of this configuration; who sits on one of before's keeps it, to
 * be replaced, the others go. */
static void make_seats(master_t *m, apr_array_header_t *before)
{
    apr_array_header_t *seats = apr_array_make(m->setup->pool, 16,
                                               sizeof(seat_t));
    apr_size_t r;
    int i, k;

    for (r = 0; r < sizeof(role_order) / sizeof(role_order[0]); r++) {
        int n = wanted(m->setup->config, role_order[r].role, role_order[r].n);

        for (i = 0; i < n; i++)
            APR_ARRAY_PUSH(seats, seat_t) = (seat_t){
                .role = role_order[r].role, .index = i
            };
    }
    m->seats = seats;
    for (i = 0; before && i < before->nelts; i++) {
        const seat_t *old = &APR_ARRAY_IDX(before, i, seat_t);
        seat_t *seat = NULL;

        for (k = 0; k < seats->nelts; k++) {
            if (seat_at(m, k)->role == old->role &&
                seat_at(m, k)->index == old->index)
                seat = seat_at(m, k);
        }
        if (old->old_pid)
            tell_to_stop(m, old->old_pid, SIGUSR2);
        if (!seat) {
            tell_to_stop(m, old->pid, SIGUSR2);
            continue;
        }
        seat->pid = old->pid;
        seat->replace = old->pid != 0;
    }
}

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
    make_seats(m, before);
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
        int last = c->role == MG_ROLE_AUTH || c->role == MG_ROLE_MAILBOXD;

        if (!c->pid || c->role == MG_ROLE_MASTER || (last && !also_last))
            continue;
        if (sig == SIGTERM)
            tell_to_stop(m, c->pid, SIGTERM);
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
    if (!m->last_phase && count_children(m, 0, 0) == 0) {
        m->last_phase = 1;
        signal_children(m, SIGTERM, 1);
    }
    if (!m->killed && mg_ticks() > m->stop_by) {
        m->killed = 1;
        mg_log(MG_LOG_WARN, APR_SUCCESS, "%d workers did not stop in time: "
               "killing them", count_children(m, 1, 0));
        signal_children(m, SIGKILL, 1);
    }
    if (count_children(m, 1, 0))
        return 0;
    return !count_children(m, 1, 1) || mg_ticks() > m->stop_by + REAP_TIME;
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
        rv = setup_listen(m->setup, NULL, &error);
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
    default: /* SIGCHLD: reap() looks in any case */
        break;
    }
}

static void supervise(master_t *m, const sigset_t *set)
{
    struct timespec wait;
    apr_interval_time_t t;
    int sig;

    for (;;) {
        t = until_next(m);
        wait.tv_sec = (time_t)apr_time_sec(t);
        wait.tv_nsec = (long)apr_time_usec(t) * 1000;
        sig = sigtimedwait(set, NULL, &wait);
        if (sig > 0)
            on_signal(m, sig);
        reap(m);
        if (!m->stop_by)
            tend_seats(m);
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
    spawn(m, MG_ROLE_MASTER, 0, 0); /* claims of who died with the last one */
    make_seats(m, NULL);
    tend_seats(m);
    ready();
    process_notify("READY=1");
    supervise(m, &set);
    unlink(m->pid_path);
    mg_log(MG_LOG_INFO, APR_SUCCESS, "stopped");
    return 0;
}
