/* loop.c - the event loop of a worker.
 *
 * epoll by apr_pollset (level-triggered, NOCOPY: a watch carries its own
 * apr_pollfd_t), timers in an apr_skiplist ordered by (time, number). Watches
 * and timers are recycled; a watch that was dropped during a turn is recycled
 * at the turn's end, because the kernel may have told an event of it already.
 */
#include <unistd.h>

#include <apr_poll.h>
#include <apr_portable.h>
#include <apr_skiplist.h>

#include "loop.h"
#include "mg_log.h"
#include "mg_time.h"

#define EVENTS_PER_TURN 256
#ifdef MG_TEST
/* the test clock may jump while we sleep */
#define LONGEST_WAIT apr_time_from_msec(50)
#else
#define LONGEST_WAIT apr_time_from_sec(60)
#endif

struct loop_watch_t {
    loop_t *loop;
    int fd, events, dead;
    loop_io_fn *fn;
    void *baton;
    apr_pollfd_t pfd;
    apr_socket_t *sock;
    loop_watch_t *next;
};

struct loop_timer_t {
    loop_t *loop;
    apr_time_t at;
    apr_uint64_t no;
    loop_timer_fn *fn;
    void *baton;
    loop_timer_t *next;
};

typedef struct turn_end_t turn_end_t;
struct turn_end_t {
    loop_timer_fn *fn;
    void *baton;
    turn_end_t *next;
};

typedef struct {
    loop_job_t *first, **plast;
} job_list_t;

struct loop_t {
    apr_pool_t *pool;
    apr_pollset_t *pollset;
    apr_skiplist *timers;
    apr_uint64_t timer_no;
    loop_watch_t *dropped, *free_watches;
    loop_timer_t *free_timers;
    turn_end_t *turn_ends, **pturn_last;
    job_list_t soon, late;
    int stop, again;
};

static int compare_timers(void *a, void *b)
{
    const loop_timer_t *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->no < y->no ? -1 : x->no > y->no;
}

static void list_init(job_list_t *list)
{
    list->first = NULL;
    list->plast = &list->first;
}

static void list_add(job_list_t *list, loop_job_t *job)
{
    if (job->queued)
        return;
    job->queued = 1;
    job->next = NULL;
    *list->plast = job;
    list->plast = &job->next;
}

/* Those that are queued now; what they queue waits for the next time. A job
 * may free itself. */
static void list_run(loop_t *loop, job_list_t *list)
{
    loop_job_t *job = list->first, *next;

    list_init(list);
    for (; job; job = next) {
        next = job->next;
        job->queued = 0;
        if (job->fn)
            job->fn(loop, job->baton);
    }
}

static apr_status_t run_frees(void *baton)
{
    loop_t *loop = baton;

    while (loop->late.first)
        list_run(loop, &loop->late);
    return APR_SUCCESS;
}

apr_status_t loop_create(loop_t **ploop, apr_pool_t *p)
{
    loop_t *loop = apr_pcalloc(p, sizeof(*loop));
    apr_status_t rv;

    *ploop = NULL;
    loop->pool = p;
    loop->pturn_last = &loop->turn_ends;
    list_init(&loop->soon);
    list_init(&loop->late);
    rv = apr_pollset_create_ex(&loop->pollset, EVENTS_PER_TURN, p,
                               APR_POLLSET_NOCOPY | APR_POLLSET_NODEFAULT,
                               APR_POLLSET_EPOLL);
    if (rv != APR_SUCCESS)
        return rv;
    rv = apr_skiplist_init(&loop->timers, p);
    if (rv != APR_SUCCESS)
        return rv;
    apr_skiplist_set_compare(loop->timers, compare_timers, compare_timers);
    apr_pool_cleanup_register(p, loop, run_frees, apr_pool_cleanup_null);
    *ploop = loop;
    return APR_SUCCESS;
}

apr_pool_t *loop_pool(const loop_t *loop)
{
    return loop->pool;
}

/* descriptors */

static apr_status_t watch_add(loop_watch_t *watch)
{
    apr_pollfd_t *pfd = &watch->pfd;

    pfd->reqevents = (apr_int16_t)
        (((watch->events & LOOP_READ) ? APR_POLLIN : 0) |
         ((watch->events & LOOP_WRITE) ? APR_POLLOUT : 0));
    return apr_pollset_add(watch->loop->pollset, pfd);
}

apr_status_t loop_watch(loop_watch_t **pwatch, loop_t *loop, int fd,
                        int events, loop_io_fn *fn, void *baton)
{
    loop_watch_t *watch = loop->free_watches;
    apr_os_sock_t os_fd = fd;
    apr_status_t rv;

    *pwatch = NULL;
    if (watch)
        loop->free_watches = watch->next;
    else
        watch = apr_pcalloc(loop->pool, sizeof(*watch));
    watch->loop = loop;
    watch->fd = fd;
    watch->events = events;
    watch->dead = 0;
    watch->fn = fn;
    watch->baton = baton;
    rv = apr_os_sock_put(&watch->sock, &os_fd, loop->pool);
    if (rv == APR_SUCCESS) {
        watch->pfd.p = loop->pool;
        watch->pfd.desc_type = APR_POLL_SOCKET;
        watch->pfd.desc.s = watch->sock;
        watch->pfd.client_data = watch;
        rv = watch_add(watch);
    }
    if (rv != APR_SUCCESS) {
        watch->next = loop->free_watches;
        loop->free_watches = watch;
        return rv;
    }
    *pwatch = watch;
    return APR_SUCCESS;
}

/* apr_pollset has no "modify": it is two epoll_ctl()s, so callers change
 * their interest only when they must. */
apr_status_t loop_watch_set(loop_watch_t *watch, int events)
{
    apr_status_t rv;

    if (watch->events == events)
        return APR_SUCCESS;
    rv = apr_pollset_remove(watch->loop->pollset, &watch->pfd);
    if (rv != APR_SUCCESS)
        return rv;
    watch->events = events;
    return watch_add(watch);
}

static void watch_drop(loop_watch_t *watch)
{
    loop_t *loop = watch->loop;

    watch->dead = 1;
    watch->next = loop->dropped;
    loop->dropped = watch;
}

void loop_unwatch(loop_watch_t *watch)
{
    apr_pollset_remove(watch->loop->pollset, &watch->pfd);
    watch_drop(watch);
}

void loop_unwatch_close(loop_watch_t *watch)
{
    close(watch->fd);   /* the last descriptor of it: epoll forgets it too */
    watch_drop(watch);
}

static void recycle_watches(loop_t *loop)
{
    loop_watch_t *watch;

    while ((watch = loop->dropped)) {
        loop->dropped = watch->next;
        watch->next = loop->free_watches;
        loop->free_watches = watch;
    }
}

/* timers */

loop_timer_t *loop_timer_set(loop_t *loop, apr_interval_time_t delay,
                             loop_timer_fn *fn, void *baton)
{
    loop_timer_t *timer = loop->free_timers;

    if (timer)
        loop->free_timers = timer->next;
    else
        timer = apr_palloc(loop->pool, sizeof(*timer));
    timer->loop = loop;
    timer->at = mg_ticks() + (delay > 0 ? delay : 0);
    timer->no = ++loop->timer_no;
    timer->fn = fn;
    timer->baton = baton;
    timer->next = NULL;
    apr_skiplist_insert(loop->timers, timer);
    return timer;
}

static void timer_free(loop_timer_t *timer)
{
    timer->next = timer->loop->free_timers;
    timer->loop->free_timers = timer;
}

void loop_timer_cancel(loop_timer_t *timer)
{
    apr_skiplist_remove(timer->loop->timers, timer, NULL);
    timer_free(timer);
}

static void run_timers(loop_t *loop)
{
    loop_timer_t *timer = apr_skiplist_peek(loop->timers);
    apr_uint64_t newest = loop->timer_no;
    apr_time_t now;

    if (!timer)
        return;
    now = mg_ticks();
    while ((timer = apr_skiplist_peek(loop->timers)) && timer->at <= now &&
           timer->no <= newest) {
        loop_timer_fn *fn = timer->fn;
        void *baton = timer->baton;

        apr_skiplist_pop(loop->timers, NULL);
        timer_free(timer);
        fn(loop, baton);
    }
}

static apr_interval_time_t time_to_wait(loop_t *loop,
                                        apr_interval_time_t longest)
{
    loop_timer_t *timer;
    apr_interval_time_t left;

    if (loop->again || loop->soon.first || loop->late.first || loop->stop)
        return 0;
    timer = apr_skiplist_peek(loop->timers);
    if (!timer)
        return longest;
    left = timer->at - mg_ticks();
    if (left <= 0)
        return 0;
    left = (left + 999) / 1000 * 1000; /* epoll counts in milliseconds */
    return left < longest ? left : longest;
}

/* turns */

void loop_at_turn_end(loop_t *loop, loop_timer_fn *fn, void *baton)
{
    turn_end_t *end = apr_pcalloc(loop->pool, sizeof(*end));

    end->fn = fn;
    end->baton = baton;
    *loop->pturn_last = end;
    loop->pturn_last = &end->next;
}

void loop_soon(loop_t *loop, loop_job_t *job)
{
    list_add(&loop->soon, job);
}

void loop_late(loop_t *loop, loop_job_t *job)
{
    list_add(&loop->late, job);
}

void loop_again(loop_t *loop)
{
    loop->again = 1;
}

static void tell(loop_t *loop, const apr_pollfd_t *pfd)
{
    loop_watch_t *watch = pfd->client_data;
    int events = 0;

    if (watch->dead)
        return;
    if (pfd->rtnevents & APR_POLLIN)
        events |= LOOP_READ;
    if (pfd->rtnevents & APR_POLLOUT)
        events |= LOOP_WRITE;
    if (pfd->rtnevents & (APR_POLLHUP | APR_POLLERR | APR_POLLNVAL))
        events |= LOOP_HANGUP;
    watch->fn(loop, watch->fd, events, watch->baton);
}

apr_status_t loop_turn(loop_t *loop, apr_interval_time_t wait)
{
    const apr_pollfd_t *told = NULL;
    apr_int32_t n = 0, i;
    apr_status_t rv;
    turn_end_t *end;

    wait = time_to_wait(loop, wait);
    loop->again = 0;
    rv = apr_pollset_poll(loop->pollset, wait, &n, &told);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_TIMEUP(rv) &&
        !APR_STATUS_IS_EINTR(rv))
        return rv;
    if (rv != APR_SUCCESS)
        n = 0;
    if (loop->soon.first)
        list_run(loop, &loop->soon);
    for (i = 0; i < n; i++)
        tell(loop, &told[i]);
    run_timers(loop);
    for (end = loop->turn_ends; end; end = end->next)
        end->fn(loop, end->baton);
    if (loop->late.first)
        list_run(loop, &loop->late);
    recycle_watches(loop);
    return APR_SUCCESS;
}

apr_status_t loop_run(loop_t *loop)
{
    apr_status_t rv = APR_SUCCESS;

    while (!loop->stop && rv == APR_SUCCESS)
        rv = loop_turn(loop, LONGEST_WAIT);
    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_ERR, rv, "the event loop cannot go on");
    loop->stop = 0;
    return rv;
}

void loop_stop(loop_t *loop)
{
    loop->stop = 1;
}
