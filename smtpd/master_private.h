/* master_private.h - the inside of the master: master*.c only.
 *
 * master.c        signals, configuration, stopping
 * master_seats.c  which worker sits where; who ended, who follows
 * master_child.c  forking, and what a child does before it is a worker
 */
#ifndef MASTER_PRIVATE_H
#define MASTER_PRIVATE_H

#include "master.h"
#include "mg_shared.h"

#define AUTH_PAIRS 32         /* receivers alive at a time, old ones too */
#define CHILDREN 128

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

/* master_child.c */
child_t *child_by_pid(master_t *m, pid_t pid);
/** A new child; dead: whose claims a reaper (MG_ROLE_MASTER) gives back. NULL:
 * there is no place; it is logged. */
child_t *child_spawn(master_t *m, mg_role_t role, int index, pid_t dead);
/** It stops after the others, which need it. */
int child_is_last(const child_t *c);
/** How many live: also auth and mailboxd, also reapers? */
int child_count(const master_t *m, int also_last, int reapers);
/** SIGTERM: stop; SIGUSR2: another has your place, take your time. */
void child_stop(master_t *m, pid_t pid, int sig);

/* master_seats.c */
/** Take notice of who ended. */
void seats_reap(master_t *m);
/** One step of what seats need: empty ones filled, then one replaced. */
void seats_tend(master_t *m);
/** When seats_tend() is needed next. */
apr_interval_time_t seats_until_next(master_t *m);
/** The seats of this configuration; who sits on one of before's keeps it, to
 * be replaced, the others go. */
void seats_make(master_t *m, apr_array_header_t *before);

#endif
