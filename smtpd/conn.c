/* conn.c - the life of a non-blocking connection (conn.h): made, timed out,
 * closed, freed. conn_io.c reads and writes, conn_line.c finds lines,
 * conn_tls.c encrypts, conn_listen.c accepts.
 *
 * A conn_t is malloc'ed and freed by its own "late" job, after the turn in
 * which it was closed, so callbacks may close it while its functions run.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn_private.h"
#include "mg_status.h"
#include "mg_time.h"

#define FINISH_TIME apr_time_from_sec(10)

static void on_timer(loop_t *loop, void *baton);

/* out of memory ends the process, as it does for pools */
void *conn_need(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* life */

static apr_status_t close_with_pool(void *baton)
{
    conn_t *conn = baton;

    conn->pool = NULL;
    conn_close(conn);
    return APR_SUCCESS;
}

void conn_own_by(conn_t *conn, apr_pool_t *p)
{
    if (conn->pool)
        apr_pool_cleanup_kill(conn->pool, conn, close_with_pool);
    conn->pool = p;
    if (p)
        apr_pool_cleanup_register(p, conn, close_with_pool,
                                  apr_pool_cleanup_null);
}

static conn_t *conn_make(loop_t *loop, int fd, const conn_events_t *events,
                         void *baton, apr_pool_t *p)
{
    conn_t *conn = conn_need(calloc(1, sizeof(*conn)));

    conn->loop = loop;
    conn->fd = fd;
    conn->events = events;
    conn->baton = baton;
    conn->late.fn = conn_on_late;
    conn->soon.fn = conn_on_soon;
    conn->late.baton = conn->soon.baton = conn;
    conn_own_by(conn, p);
    return conn;
}

conn_t *conn_create(loop_t *loop, int fd, const conn_events_t *events,
                    void *baton, apr_pool_t *p)
{
    conn_t *conn = conn_make(loop, fd, events, baton, p);
    apr_status_t rv;

    conn->state = CONN_OPEN;
    conn->watching = LOOP_READ;
    rv = loop_watch(&conn->watch, loop, fd, LOOP_READ, conn_on_io, conn);
    if (rv != APR_SUCCESS)
        conn_fail(conn, rv);
    return conn;
}

static apr_status_t connect_fd(int fd, const struct sockaddr *addr,
                               int addrlen, const struct sockaddr *local,
                               int locallen)
{
    int one = 1;

    if (addr->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    /* the port is chosen by connect(), which may take one that is in use
     * towards another remote: there are only 28,000 */
    if (local && addr->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
                   sizeof(one));
    if (local && bind(fd, local, (socklen_t)locallen) != 0)
        return errno;
    if (connect(fd, addr, (socklen_t)addrlen) != 0 && errno != EINPROGRESS)
        return errno;
    return APR_SUCCESS;
}

apr_status_t conn_connect(conn_t **pconn, loop_t *loop,
                          const struct sockaddr *addr, int addrlen,
                          const struct sockaddr *local, int locallen,
                          const conn_events_t *events, void *baton,
                          apr_pool_t *p)
{
    conn_t *conn;
    apr_status_t rv;
    int fd;

    *pconn = NULL;
    fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                0);
    if (fd < 0)
        return errno;
    rv = connect_fd(fd, addr, addrlen, local, locallen);
    if (rv != APR_SUCCESS) {
        close(fd);
        return rv;
    }
    conn = conn_make(loop, fd, events, baton, p);
    conn->state = CONN_CONNECTING;
    conn->client = 1;
    conn_set_peer(conn, addr, (socklen_t)addrlen);
    /* a Unix socket that is connected already is writable at once */
    conn->watching = LOOP_WRITE;
    rv = loop_watch(&conn->watch, loop, fd, LOOP_WRITE, conn_on_io, conn);
    if (rv != APR_SUCCESS) {
        conn_close(conn);
        return rv;
    }
    *pconn = conn;
    return APR_SUCCESS;
}

void conn_close(conn_t *conn)
{
    if (conn->state == CONN_CLOSED)
        return;
    conn->state = CONN_CLOSED;
    if (conn->pool)
        conn_own_by(conn, NULL);
    conn_tls_free(conn);
    if (conn->timer)
        loop_timer_cancel(conn->timer);
    conn->timer = NULL;
    if (conn->watch)
        loop_unwatch_close(conn->watch);
    else
        close(conn->fd);
    conn->watch = NULL;
    conn->fd = -1;
    loop_late(conn->loop, &conn->late);
}

/* The one place that says on_close. */
void conn_end(conn_t *conn, apr_status_t rv)
{
    int told = conn->state == CONN_FINISHING || conn->state == CONN_LINGERING;

    if (conn->state == CONN_CLOSED)
        return;
    conn_close(conn);
    if (!told)
        conn->events->on_close(conn, rv, conn->baton);
}

void conn_free(conn_t *conn)
{
    free(conn->in.data);
    free(conn->out.data);
    free(conn);
}

/* time-outs: activity only moves active_at; the timer looks when it fires */

static void set_timer(conn_t *conn, apr_interval_time_t t)
{
    conn->timer_at = mg_ticks() + t;
    conn->timer = loop_timer_set(conn->loop, t, on_timer, conn);
}

static void on_timer(loop_t *loop, void *baton)
{
    conn_t *conn = baton;
    apr_interval_time_t left;

    (void)loop;
    conn->timer = NULL;
    if (!conn->timeout)
        return;
    if (conn->paused && !conn->out.len && conn->state == CONN_OPEN)
        conn->active_at = mg_ticks(); /* it is we who let the peer wait */
    left = conn->active_at + conn->timeout - mg_ticks();
    if (left > 0)
        set_timer(conn, left);
    else
        conn_end(conn, APR_TIMEUP);
}

void conn_set_timeout(conn_t *conn, apr_interval_time_t t)
{
    if (conn->state == CONN_CLOSED)
        return;
    conn->timeout = t;
    conn->active_at = mg_ticks();
    if (!t)
        return;
    if (conn->timer && conn->timer_at > conn->active_at + t) {
        loop_timer_cancel(conn->timer);
        conn->timer = NULL;
    }
    if (!conn->timer)
        set_timer(conn, t);
}

void conn_finish(conn_t *conn)
{
    if (conn->state == CONN_CONNECTING || conn->error != APR_SUCCESS) {
        conn_close(conn);
        return;
    }
    if (conn->state != CONN_OPEN)
        return;
    if (conn->tls == CONN_HANDSHAKE && !conn->clear_left) {
        conn_close(conn);
        return;
    }
    conn->state = CONN_FINISHING;
    conn_own_by(conn, NULL);   /* the session may go now */
    conn_set_timeout(conn, FINISH_TIME);
    loop_late(conn->loop, &conn->late);
}

/* who it is */

int conn_fd(const conn_t *conn)
{
    return conn->fd;
}

void conn_set_peer(conn_t *conn, const struct sockaddr *peer, socklen_t len)
{
    if (len > sizeof(conn->peer))
        return;
    memcpy(&conn->peer, peer, len);
    conn->peer_len = len;
    conn->peer_ip[0] = '\0';
}

static void find_peer(conn_t *conn)
{
    socklen_t len = sizeof(conn->peer);

    if (conn->peer_len || conn->fd < 0)
        return;
    if (getpeername(conn->fd, (struct sockaddr *)&conn->peer, &len) == 0)
        conn->peer_len = len;
}

const char *conn_peer_ip(conn_t *conn)
{
    const struct sockaddr_in *in = (const void *)&conn->peer;
    const struct sockaddr_in6 *in6 = (const void *)&conn->peer;

    if (conn->peer_ip[0])
        return conn->peer_ip;
    find_peer(conn);
    if (conn->peer.ss_family == AF_INET)
        inet_ntop(AF_INET, &in->sin_addr, conn->peer_ip,
                  sizeof(conn->peer_ip));
    else if (conn->peer.ss_family == AF_INET6 &&
             IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, conn->peer_ip,
                  sizeof(conn->peer_ip));
    else if (conn->peer.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &in6->sin6_addr, conn->peer_ip,
                  sizeof(conn->peer_ip));
    return conn->peer_ip;
}

int conn_peer_port(conn_t *conn)
{
    find_peer(conn);
    if (conn->peer.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&conn->peer)->sin_port);
    if (conn->peer.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&conn->peer)->sin6_port);
    return 0;
}
