/* loop.h - the event loop of a worker (design 6).
 *
 * apr_pollset for descriptors, apr_skiplist for timers, as httpd's event MPM
 * has them. One loop per process, one thread. Nothing called from here may
 * take over 5 ms.
 */
#ifndef LOOP_H
#define LOOP_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct loop_t loop_t;
typedef struct loop_watch_t loop_watch_t;
typedef struct loop_timer_t loop_timer_t;

enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };
typedef void loop_io_fn(loop_t *loop, int fd, int events, void *baton);
typedef void loop_timer_fn(loop_t *loop, void *baton);

apr_status_t loop_create(loop_t **ploop, apr_pool_t *p);
apr_pool_t *loop_pool(const loop_t *loop);
/** Until loop_stop(). A turn: wait, I/O, timers, then the idle functions. */
apr_status_t loop_run(loop_t *loop);
void loop_stop(loop_t *loop);

/** events 0: registered but silent (a hang-up is still told). */
apr_status_t loop_watch(loop_watch_t **pwatch, loop_t *loop, int fd,
                        int events, loop_io_fn *fn, void *baton);
apr_status_t loop_watch_set(loop_watch_t *watch, int events);
void loop_unwatch(loop_watch_t *watch); /* the fd is the caller's to close */
/** The same, and close the fd: one system call less. Only where no other
 * process or descriptor shares it. */
void loop_unwatch_close(loop_watch_t *watch);

/** Once, delay microseconds (mg_ticks) from now. */
loop_timer_t *loop_timer_set(loop_t *loop, apr_interval_time_t delay,
                             loop_timer_fn *fn, void *baton);
void loop_timer_cancel(loop_timer_t *timer); /* not after it has fired */

/** At the end of each turn: the group commit's place. */
void loop_at_turn_end(loop_t *loop, loop_timer_fn *fn, void *baton);

/* Jobs: work put off. The struct is the caller's, zeroed, and stays until the
 * job ran or was dropped; queueing it twice is queueing it once. */
typedef struct loop_job_t loop_job_t;
struct loop_job_t {
    loop_timer_fn *fn;
    void *baton;
    loop_job_t *next;
    int queued;
};
/** At the beginning of the next turn, which does not wait. */
void loop_soon(loop_t *loop, loop_job_t *job);
/** After this turn's idle functions: flushes, frees. */
void loop_late(loop_t *loop, loop_job_t *job);
/** The next turn shall not wait: its idle functions have work. */
void loop_again(loop_t *loop);
/** One turn; tests step with it.
 * @param wait  how long it may wait at most */
apr_status_t loop_turn(loop_t *loop, apr_interval_time_t wait);

#endif
