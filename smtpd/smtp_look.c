/* smtp_look.c - see smtp_look.h. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mg_log.h"
#include "smtp_look.h"
#include "smtp_submission.h"

typedef struct {
    smtp_tx_t *first, **end;
} line_t;

struct smtp_look_t {
    worker_t *worker;
    int n;                     /* the loop's: not back yet */
    int fd;                    /* eventfd: some are done */
    loop_watch_t *watch;
    pthread_t thread;

    pthread_mutex_t lock;      /* of what follows */
    pthread_cond_t wake;
    line_t due, done;
    int stop;
};

static void line_init(line_t *line)
{
    line->first = NULL;
    line->end = &line->first;
}

static void line_add(line_t *line, smtp_tx_t *tx)
{
    tx->look_next = NULL;
    *line->end = tx;
    line->end = &tx->look_next;
}

static smtp_tx_t *line_take(line_t *line)
{
    smtp_tx_t *tx = line->first;

    if (tx) {
        line->first = tx->look_next;
        if (!line->first)
            line->end = &line->first;
    }
    return tx;
}

/* --- the thread --- */

/* @return NULL: it shall end */
static smtp_tx_t *next_due(smtp_look_t *look)
{
    smtp_tx_t *tx = NULL;

    pthread_mutex_lock(&look->lock);
    while (!look->stop && (tx = line_take(&look->due)) == NULL)
        pthread_cond_wait(&look->wake, &look->lock);
    pthread_mutex_unlock(&look->lock);
    return tx;
}

static void *run(void *data)
{
    smtp_look_t *look = data;
    const apr_uint64_t one = 1;
    smtp_tx_t *tx;

    while ((tx = next_due(look)) != NULL) {
        smtp_submission_look(tx);
        pthread_mutex_lock(&look->lock);
        line_add(&look->done, tx);
        pthread_mutex_unlock(&look->lock);
        /* fails only if 2^64 - 1 were not read */
        while (write(look->fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
    }
    return NULL;
}

/* --- the loop --- */

static void on_done(loop_t *loop, int fd, int events, void *baton)
{
    smtp_look_t *look = baton;
    apr_uint64_t n;
    smtp_tx_t *tx;

    (void)loop;
    (void)events;
    if (read(fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
        return;
    for (;;) {
        pthread_mutex_lock(&look->lock);
        tx = line_take(&look->done);
        pthread_mutex_unlock(&look->lock);
        if (tx == NULL)
            return;
        look->n--;
        smtp_commit_looked(tx);
    }
}

static apr_status_t end(void *data)
{
    smtp_look_t *look = data;

    pthread_mutex_lock(&look->lock);
    look->stop = 1;
    pthread_cond_signal(&look->wake);
    pthread_mutex_unlock(&look->lock);
    pthread_join(look->thread, NULL);
    loop_unwatch(look->watch);
    close(look->fd);
    pthread_cond_destroy(&look->wake);
    pthread_mutex_destroy(&look->lock);
    return APR_SUCCESS;
}

/* Signals are the loop's. */
static int start_thread(smtp_look_t *look)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&look->thread, NULL, run, look);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static smtp_look_t *create(worker_t *worker)
{
    smtp_look_t *look = apr_pcalloc(worker->pool, sizeof(*look));

    look->worker = worker;
    line_init(&look->due);
    line_init(&look->done);
    look->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (look->fd < 0)
        return NULL;
    if (loop_watch(&look->watch, worker->loop, look->fd, LOOP_READ, on_done,
                   look) != APR_SUCCESS) {
        close(look->fd);
        return NULL;
    }
    pthread_mutex_init(&look->lock, NULL);
    pthread_cond_init(&look->wake, NULL);
    if (start_thread(look) != 0) {
        loop_unwatch(look->watch);
        close(look->fd);
        return NULL;
    }
    /* ahead of the children: their pools hold transactions */
    apr_pool_pre_cleanup_register(worker->pool, look, end);
    return look;
}

void smtp_look_add(smtp_server_t *server, smtp_tx_t *tx)
{
    smtp_look_t *look = server->look;

    tx->under_way = 1;
    if (look == NULL)
        look = server->look = create(server->worker);
    if (look == NULL) { /* no thread is to be had: it takes its time here */
        mg_log(MG_LOG_WARN, APR_FROM_OS_ERROR(errno), "smtp: no thread for "
               "what is looked through");
        smtp_submission_look(tx);
        smtp_commit_looked(tx);
        return;
    }
    look->n++;
    pthread_mutex_lock(&look->lock);
    line_add(&look->due, tx);
    pthread_cond_signal(&look->wake);
    pthread_mutex_unlock(&look->lock);
}

int smtp_look_is_busy(const smtp_server_t *server)
{
    return server->look != NULL && server->look->n > 0;
}
