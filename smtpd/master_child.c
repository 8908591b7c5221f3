/* master_child.c - forking, and what a child does before it is a worker. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <apr_strings.h>

#include "master_private.h"
#include "mg_log.h"
#include "mg_time.h"
#include "process.h"
#include "reaper.h"

#define SLOTS 64              /* of the shared state; 0 is nobody's */

child_t *child_by_pid(master_t *m, pid_t pid)
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

int child_is_last(const child_t *c)
{
    return c->role == MG_ROLE_AUTH || c->role == MG_ROLE_MAILBOXD;
}

int child_count(const master_t *m, int also_last, int reapers)
{
    int i, n = 0;

    for (i = 0; i < CHILDREN; i++) {
        const child_t *c = &m->children[i];

        if (c->pid && (c->role != MG_ROLE_MASTER || reapers) &&
            (also_last || !child_is_last(c)))
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

/* Ends with _exit(): what the master would tidy up is not ours. */
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
        _exit(1);
    }
    if (c->role != MG_ROLE_MASTER)
        _exit(worker_run(&worker, m->pid));
    child_signals();
    _exit(reaper_run(setup->config, m->node, dead));
}

/* A new child; dead: whose claims a reaper gives back. */
child_t *child_spawn(master_t *m, mg_role_t role, int index, pid_t dead)
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

void child_stop(master_t *m, pid_t pid, int sig)
{
    child_t *c = child_by_pid(m, pid);

    if (!c || c->leaving == sig || c->leaving == SIGTERM)
        return;
    c->leaving = sig;
    kill(pid, sig);
}
