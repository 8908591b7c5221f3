/* committer.c - see committer.h. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <apr_allocator.h>
#include <apr_strings.h>

#include "committer.h"
#include "mg_event.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"

/* freed blocks that are kept for the next batch */
#define KEEP_FREE (4 * 1024 * 1024)

struct committer_t {
    worker_t *worker;
    committer_done_fn *done;
    void *baton;
    int busy;                  /* the loop's: a batch is under way */
    int fd;                    /* eventfd: it is done */
    loop_watch_t *watch;
    pthread_t thread;

    pthread_mutex_t lock;      /* of the two below */
    pthread_cond_t wake;
    mg_unit_t *units;          /* handed over, not yet taken */
    int stop;

    /* the thread's; the loop looks between done and the next start */
    apr_pool_t *pool;          /* its own allocator: no other thread's blocks */
    mg_db_t *db;
    apr_status_t rv;
    apr_interval_time_t took;
};

/* --- the thread --- */

/* @return NULL: it shall end */
static mg_unit_t *take(committer_t *c)
{
    mg_unit_t *units;

    pthread_mutex_lock(&c->lock);
    while (c->units == NULL && !c->stop)
        pthread_cond_wait(&c->wake, &c->lock);
    units = c->units;
    c->units = NULL;
    pthread_mutex_unlock(&c->lock);
    return units;
}

static void *run(void *data)
{
    committer_t *c = data;
    const apr_uint64_t one = 1;
    mg_unit_t *units;
    apr_time_t begun;

    while ((units = take(c)) != NULL) {
        begun = mg_ticks();
        c->rv = mg_group_commit(c->db, units, c->pool);
        c->took = mg_ticks() - begun;
        /* fails only if 2^64 - 1 were not read */
        while (write(c->fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
    }
    return NULL;
}

/* --- the loop --- */

static void on_done(loop_t *loop, int fd, int events, void *baton)
{
    committer_t *c = baton;
    apr_uint64_t n;

    (void)loop;
    (void)events;
    if (read(fd, &n, sizeof(n)) != (ssize_t)sizeof(n) || !c->busy)
        return;
    c->busy = 0;
    c->done(c->rv, mg_db_error(c->db), c->took, c->baton);
}

void committer_start(committer_t *c, mg_unit_t *units)
{
    c->busy = 1;
    pthread_mutex_lock(&c->lock);
    c->units = units;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

int committer_is_busy(const committer_t *c)
{
    return c->busy;
}

/* --- its life --- */

static apr_status_t end(void *data)
{
    committer_t *c = data;

    pthread_mutex_lock(&c->lock);
    c->stop = 1;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    if (c->watch != NULL)
        loop_unwatch(c->watch);
    close(c->fd);
    apr_pool_destroy(c->pool);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    return APR_SUCCESS;
}

static apr_status_t open_store(committer_t *c)
{
    const worker_t *w = c->worker;
    apr_allocator_t *allocator;
    mg_domain_cache_t *domains;
    apr_status_t rv;

    rv = apr_allocator_create(&allocator);
    if (rv != APR_SUCCESS)
        return rv;
    apr_allocator_max_free_set(allocator, KEEP_FREE);
    rv = apr_pool_create_unmanaged_ex(&c->pool, NULL, allocator);
    if (rv != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return rv;
    }
    apr_allocator_owner_set(allocator, c->pool);
    domains = mg_domain_cache_create(w->shared, c->pool);
    rv = mg_db_open(&c->db, w->config->store,
                    w->config->relaxed ? MG_DB_RELAXED : 0, c->pool);
    mg_event_context(c->db, domains, w->slot);
    /* down: the worker's own connection has said so, and a batch that comes
     * connects */
    return rv == MG_ECONFIG ? rv : APR_SUCCESS;
}

/* Signals are the loop's. */
static apr_status_t start_thread(committer_t *c)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&c->thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

apr_status_t committer_create(committer_t **pcommitter, worker_t *worker,
                              committer_done_fn *done, void *baton,
                              apr_pool_t *p)
{
    committer_t *c = apr_pcalloc(p, sizeof(*c));
    apr_status_t rv;

    *pcommitter = NULL;
    c->worker = worker;
    c->done = done;
    c->baton = baton;
    rv = open_store(c);
    if (rv != APR_SUCCESS)
        return rv;
    c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (c->fd < 0)
        return errno;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
    rv = start_thread(c);
    if (rv != APR_SUCCESS)
        return rv;
    /* ahead of the children: their pools hold units */
    apr_pool_pre_cleanup_register(p, c, end);
    rv = loop_watch(&c->watch, worker->loop, c->fd, LOOP_READ, on_done, c);
    if (rv == APR_SUCCESS)
        *pcommitter = c;
    return rv;
}
