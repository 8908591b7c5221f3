/* master_seats.c - which worker sits where.
 *
 * A seat is a place that should have a worker: (role, index). A worker that
 * ends leaves its seat empty, and it is filled again: at once the first time,
 * later with a growing pause. When the configuration was read again, each seat
 * gets its new worker first; when that has lived for a moment, the old one is
 * told to stop and goes on, seatless, until its sessions are done.
 */
#include <signal.h>
#include <sys/wait.h>

#include <apr_strings.h>

#include "master_private.h"
#include "mg_log.h"
#include "mg_time.h"

#define SETTLE_TIME apr_time_from_msec(200) /* lived so long: it is well */
#define GOOD_LIFE apr_time_from_sec(2)      /* not what it died of: no pause */
#define FIRST_PAUSE apr_time_from_msec(200)
#define LONGEST_PAUSE apr_time_from_sec(10)

static seat_t *seat_at(master_t *m, int i)
{
    return &APR_ARRAY_IDX(m->seats, i, seat_t);
}

static void seat_fill(master_t *m, seat_t *seat)
{
    child_t *c = child_spawn(m, seat->role, seat->index, 0);

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
    child_spawn(m, MG_ROLE_MASTER, 0, pid);
}

void seats_reap(master_t *m)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        child_ended(m, pid, status);
}

void seats_tend(master_t *m)
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
                child_stop(m, seat->old_pid, SIGUSR2);
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

apr_interval_time_t seats_until_next(master_t *m)
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

void seats_make(master_t *m, apr_array_header_t *before)
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
            child_stop(m, old->old_pid, SIGUSR2);
        if (!seat) {
            child_stop(m, old->pid, SIGUSR2);
            continue;
        }
        seat->pid = old->pid;
        seat->replace = old->pid != 0;
    }
}
