/* conn_listen.c - accepting connections. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "conn.h"
#include "mg_log.h"

#define ACCEPTS_PER_TURN 16

struct conn_listener_t {
    loop_t *loop;
    int fd, paused, stopped;
    conn_accept_fn *fn;
    void *baton;
    loop_watch_t *watch;
    loop_timer_t *timer;
};

static void set_watch(conn_listener_t *listener)
{
    int listen_now = !listener->paused && !listener->timer;

    loop_watch_set(listener->watch, listen_now ? LOOP_READ : 0);
}

static void on_pause_over(loop_t *loop, void *baton)
{
    conn_listener_t *listener = baton;

    (void)loop;
    listener->timer = NULL;
    set_watch(listener);
}

/* No descriptor or memory left: the connection stays in the queue and would
 * wake us for ever. */
static void rest(conn_listener_t *listener, int error)
{
    mg_log(MG_LOG_WARN, error, "cannot accept; trying again in a second");
    listener->timer = loop_timer_set(listener->loop, apr_time_from_sec(1),
                                     on_pause_over, listener);
    set_watch(listener);
}

static void on_listen(loop_t *loop, int fd, int events, void *baton)
{
    conn_listener_t *listener = baton;
    int i;

    (void)loop;
    (void)events;
    for (i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        int accepted;

        if (listener->paused || listener->stopped)
            return;
        accepted = accept4(fd, (struct sockaddr *)&peer, &len,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            listener->fn(accepted, (struct sockaddr *)&peer, len,
                         listener->baton);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
            errno == ENOMEM)
            rest(listener, errno);
        /* what else there is (EAGAIN, ECONNABORTED ...) passes */
        return;
    }
}

apr_status_t conn_listen_accept(conn_listener_t **plistener, loop_t *loop,
                                int listen_fd, conn_accept_fn *fn,
                                void *baton)
{
    conn_listener_t *listener =
        apr_pcalloc(loop_pool(loop), sizeof(*listener));
    int flags = fcntl(listen_fd, F_GETFL), one = 1;

    *plistener = NULL;
    if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return errno;
    /* fails for Unix sockets, and does not matter */
    setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    listener->loop = loop;
    listener->fd = listen_fd;
    listener->fn = fn;
    listener->baton = baton;
    *plistener = listener;
    return loop_watch(&listener->watch, loop, listen_fd, LOOP_READ, on_listen,
                      listener);
}

void conn_listen_pause(conn_listener_t *listener, int pause)
{
    if (listener->stopped || listener->paused == !!pause)
        return;
    listener->paused = !!pause;
    set_watch(listener);
}

void conn_listen_stop(conn_listener_t *listener)
{
    if (listener->stopped)
        return;
    listener->stopped = 1;
    if (listener->timer)
        loop_timer_cancel(listener->timer);
    loop_unwatch(listener->watch);
}
