/* conn.c - one non-blocking connection: its life, reading, writing.
 *
 * A round of a session costs one recv() and one send(): output is gathered
 * and sent once when the turn ends (or at once when there is much), and the
 * set of events that epoll watches is changed only when an event comes that
 * nobody wants, or the kernel's buffer is full.
 *
 * A conn_t is malloc'ed and freed by its own "late" job, after the turn in
 * which it was closed, so callbacks may close it while its functions run.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conn_private.h"
#include "mg_status.h"
#include "mg_time.h"

#define FIRST_SIZE (16 * 1024)
#define FLUSH_SIZE (64 * 1024)           /* much output: do not gather more */
#define FINISH_TIME apr_time_from_sec(10)
#define LINGER_TIME apr_time_from_sec(2)

static void on_io(loop_t *loop, int fd, int events, void *baton);
static void on_late(loop_t *loop, void *baton);
static void on_soon(loop_t *loop, void *baton);
static void on_timer(loop_t *loop, void *baton);

/* buffers: out of memory ends the process, as it does for pools */

static void *need(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* Room for n more bytes behind what is there. */
static void buf_room(conn_buf_t *buf, apr_size_t n)
{
    apr_size_t size = buf->size ? buf->size : FIRST_SIZE;

    if (buf->start + buf->len + n <= buf->size)
        return;
    if (buf->start) {
        memmove(buf->data, buf->data + buf->start, buf->len);
        buf->start = 0;
    }
    while (size < buf->len + n)
        size *= 2;
    if (size != buf->size) {
        buf->data = need(realloc(buf->data, size));
        buf->size = size;
    }
}

static void buf_used(conn_buf_t *buf, apr_size_t n)
{
    buf->start += n;
    buf->len -= n;
    if (buf->len)
        return;
    buf->start = 0;
    if (buf->size > 2 * FLUSH_SIZE) { /* after a large message: give it back */
        free(buf->data);
        buf->data = NULL;
        buf->size = 0;
    }
}

/* interest */

static int interest(const conn_t *conn)
{
    return conn->watch ? conn->watching : 0;
}

static void set_interest(conn_t *conn, int events)
{
    apr_status_t rv;

    if (!conn->watch || conn->watching == events)
        return;
    rv = loop_watch_set(conn->watch, events);
    conn->watching = events;
    if (rv != APR_SUCCESS)
        conn_fail(conn, rv);
}

void conn_want_write(conn_t *conn, int want)
{
    int now = interest(conn);

    set_interest(conn, want ? now | LOOP_WRITE : now & ~LOOP_WRITE);
}

static int wants_read(const conn_t *conn)
{
    return !conn->paused && !conn->eof && conn->in.len < CONN_INPUT_MAX;
}

void conn_made_room(conn_t *conn)
{
    if (conn->state != CONN_OPEN || !wants_read(conn))
        return;
    if (conn->watch && !(conn->watching & LOOP_READ))
        set_interest(conn, conn->watching | LOOP_READ);
    if (conn->tls_more)
        loop_soon(conn->loop, &conn->soon);
}

/* Remember why this ends; the late job tells. */
void conn_fail(conn_t *conn, apr_status_t rv)
{
    if (conn->error == APR_SUCCESS)
        conn->error = rv;
    loop_late(conn->loop, &conn->late);
}

/* life */

static apr_status_t close_with_pool(void *baton)
{
    conn_t *conn = baton;

    conn->pool = NULL;
    conn_close(conn);
    return APR_SUCCESS;
}

static void own_by(conn_t *conn, apr_pool_t *p)
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
    conn_t *conn = need(calloc(1, sizeof(*conn)));

    conn->loop = loop;
    conn->fd = fd;
    conn->events = events;
    conn->baton = baton;
    conn->late.fn = on_late;
    conn->soon.fn = on_soon;
    conn->late.baton = conn->soon.baton = conn;
    own_by(conn, p);
    return conn;
}

conn_t *conn_create(loop_t *loop, int fd, const conn_events_t *events,
                    void *baton, apr_pool_t *p)
{
    conn_t *conn = conn_make(loop, fd, events, baton, p);
    apr_status_t rv;

    conn->state = CONN_OPEN;
    conn->watching = LOOP_READ;
    rv = loop_watch(&conn->watch, loop, fd, LOOP_READ, on_io, conn);
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
    rv = loop_watch(&conn->watch, loop, fd, LOOP_WRITE, on_io, conn);
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
        own_by(conn, NULL);
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
static void conn_end(conn_t *conn, apr_status_t rv)
{
    int told = conn->state == CONN_FINISHING || conn->state == CONN_LINGERING;

    if (conn->state == CONN_CLOSED)
        return;
    conn_close(conn);
    if (!told)
        conn->events->on_close(conn, rv, conn->baton);
}

static void conn_free(conn_t *conn)
{
    free(conn->in.data);
    free(conn->out.data);
    free(conn);
}

/* writing */

static apr_size_t send_clear(conn_t *conn, const char *data, apr_size_t len,
                             apr_status_t *prv)
{
    ssize_t n;

    do {
        n = send(conn->fd, data, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        *prv = APR_SUCCESS;
        return (apr_size_t)n;
    }
    *prv = errno == EAGAIN || errno == EWOULDBLOCK ? APR_EAGAIN : errno;
    return 0;
}

/* What may go now: all, the rest of the clear text, or nothing. */
static apr_size_t sendable(const conn_t *conn)
{
    if (conn->state == CONN_CONNECTING || conn->state == CONN_LINGERING)
        return 0;
    return conn->tls == CONN_HANDSHAKE ? conn->clear_left : conn->out.len;
}

/* APR_SUCCESS: all that may go is with the kernel. No callbacks. */
static apr_status_t flush_some(conn_t *conn)
{
    apr_status_t rv = APR_SUCCESS;
    apr_size_t len, n;

    while (rv == APR_SUCCESS && (len = sendable(conn)) > 0) {
        const char *data = conn->out.data + conn->out.start;

        n = conn->tls == CONN_TLS ? conn_tls_write(conn, data, len, &rv)
                                  : send_clear(conn, data, len, &rv);
        if (!n)
            break;
        buf_used(&conn->out, n);
        if (conn->clear_left)
            conn->clear_left -= n;
        if (conn->client || conn->paused)
            conn->active_at = mg_ticks();
        if (n < len && conn->tls == CONN_CLEAR)
            rv = APR_EAGAIN; /* asking again would only say so */
    }
    return rv;
}

void conn_write(conn_t *conn, const void *data, apr_size_t len)
{
    apr_status_t rv;

    if ((conn->state != CONN_OPEN && conn->state != CONN_CONNECTING) ||
        conn->error != APR_SUCCESS || !len)
        return;
    buf_room(&conn->out, len);
    memcpy(conn->out.data + conn->out.start + conn->out.len, data, len);
    conn->out.len += len;
    conn->drained = 0;
    if (conn->out.len >= FLUSH_SIZE && !(interest(conn) & LOOP_WRITE)) {
        rv = flush_some(conn);
        if (APR_STATUS_IS_EAGAIN(rv))
            conn_want_write(conn, 1);
        else if (rv != APR_SUCCESS)
            conn_fail(conn, rv);
    }
    if (!(interest(conn) & LOOP_WRITE))
        loop_late(conn->loop, &conn->late);
}

void conn_printf(conn_t *conn, const char *fmt, ...)
{
    char text[1024], *large;
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n < (int)sizeof(text)) {
        if (n > 0)
            conn_write(conn, text, (apr_size_t)n);
        return;
    }
    large = need(malloc((apr_size_t)n + 1));
    va_start(args, fmt);
    vsnprintf(large, (apr_size_t)n + 1, fmt, args);
    va_end(args);
    conn_write(conn, large, (apr_size_t)n);
    free(large);
}

apr_size_t conn_pending(const conn_t *conn)
{
    return conn->state == CONN_CLOSED ? 0 : conn->out.len;
}

/* Closing with unread input makes the kernel send a reset, which may overtake
 * our last words: then shut our side down and read to the end first. */
static void close_finished(conn_t *conn)
{
    int unread = conn->in.len || !(conn->watching & LOOP_READ);

    conn_tls_bye(conn);
    if (!unread || conn->eof || !conn->watch ||
        shutdown(conn->fd, SHUT_WR) != 0) {
        conn_close(conn);
        return;
    }
    conn->state = CONN_LINGERING;
    own_by(conn, loop_pool(conn->loop));
    set_interest(conn, LOOP_READ);
    conn_set_timeout(conn, LINGER_TIME);
}

static void handshake_step(conn_t *conn)
{
    apr_status_t rv = conn_tls_handshake(conn);

    if (APR_STATUS_IS_EAGAIN(rv))
        return;
    if (rv != APR_SUCCESS) {
        conn_end(conn, rv);
        return;
    }
    conn->tls = CONN_TLS;
    conn->tls_more = SSL_has_pending(conn->ssl);
    conn_want_write(conn, 0);
    if (conn->out.len)
        loop_late(conn->loop, &conn->late);
    if (conn->tls_more)
        loop_soon(conn->loop, &conn->soon);
    if (conn->events->on_ready)
        conn->events->on_ready(conn, conn->baton);
}

static void receive(conn_t *conn);

/* Writing failed: the peer may have said why before it went away. */
static void write_failed(conn_t *conn, apr_status_t rv)
{
    buf_used(&conn->out, conn->out.len);
    conn->clear_left = 0;
    conn->error = rv;
    if (conn->state == CONN_OPEN && !conn->eof && wants_read(conn))
        receive(conn);
    conn_end(conn, rv);
}

static void flush(conn_t *conn)
{
    apr_status_t rv = flush_some(conn);

    if (APR_STATUS_IS_EAGAIN(rv)) {
        conn_want_write(conn, 1);
        if (conn->state == CONN_FINISHING && conn->pool == NULL)
            own_by(conn, loop_pool(conn->loop));
        return;
    }
    if (rv != APR_SUCCESS) {
        write_failed(conn, rv);
        return;
    }
    if (interest(conn) & LOOP_WRITE)
        conn_want_write(conn, 0);
    if (conn->state == CONN_FINISHING) {
        close_finished(conn);
    }
    else if (conn->tls == CONN_HANDSHAKE) {
        handshake_step(conn);
    }
    else if (!conn->drained && conn->out.len == 0) {
        conn->drained = 1;
        if (conn->events->on_drained) {
            loop_again(conn->loop);
            conn->events->on_drained(conn, conn->baton);
        }
    }
}

static void on_late(loop_t *loop, void *baton)
{
    conn_t *conn = baton;

    if (conn->state == CONN_CLOSED) {
        if (conn->soon.queued)
            loop_late(loop, &conn->late);
        else
            conn_free(conn);
        return;
    }
    if (conn->error != APR_SUCCESS) {
        loop_again(loop);
        write_failed(conn, conn->error);
        return;
    }
    if (conn->state != CONN_CONNECTING && conn->state != CONN_LINGERING)
        flush(conn);
}

/* reading */

void conn_drop_input(conn_t *conn)
{
    conn->in.start = conn->in.len = conn->scanned = 0;
    conn->skip = CONN_SKIP_NO;
}

static apr_size_t recv_clear(conn_t *conn, char *buf, apr_size_t len,
                             apr_status_t *prv)
{
    ssize_t n;

    do {
        n = recv(conn->fd, buf, len, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        *prv = APR_SUCCESS;
        return (apr_size_t)n;
    }
    if (n == 0)
        *prv = APR_EOF;
    else
        *prv = errno == EAGAIN || errno == EWOULDBLOCK ? APR_EAGAIN : errno;
    return 0;
}

/* One recv(); inside TLS all records that are here, as the kernel will not
 * tell of what OpenSSL holds. */
static apr_size_t read_some(conn_t *conn, apr_status_t *prv)
{
    conn_buf_t *in = &conn->in;
    apr_size_t got = 0, n, room;

    *prv = APR_SUCCESS;
    do {
        /* half-full buffers grow, up to what we read ahead */
        if (in->start + in->len == in->size) {
            room = in->size && !in->start ? in->size : FIRST_SIZE;
            if (room > CONN_INPUT_MAX - in->len)
                room = CONN_INPUT_MAX - in->len;
            buf_room(in, room);
        }
        room = in->size - in->start - in->len;
        if (room > CONN_INPUT_MAX - in->len)
            room = CONN_INPUT_MAX - in->len;
        n = conn->tls == CONN_TLS
                ? conn_tls_read(conn, in->data + in->start + in->len, room,
                                prv)
                : recv_clear(conn, in->data + in->start + in->len, room, prv);
        in->len += n;
        got += n;
    } while (n && conn->tls == CONN_TLS && in->len < CONN_INPUT_MAX);
    conn->tls_more = n && conn->tls == CONN_TLS;
    return got;
}

/* The peer's end was seen; what it said before was heard. */
static void tell_end(conn_t *conn)
{
    if (conn->state != CONN_OPEN || !conn->eof || conn->paused)
        return;
    if (conn->error == APR_SUCCESS && conn->out.len)
        flush_some(conn);
    conn_end(conn, conn->error == APR_SUCCESS ? APR_EOF : conn->error);
}

static void receive(conn_t *conn)
{
    apr_status_t rv;

    if (read_some(conn, &rv) > 0) {
        conn->active_at = mg_ticks();
        if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) {
            conn->eof = 1;
            if (rv != APR_EOF && conn->error == APR_SUCCESS)
                conn->error = rv;
            set_interest(conn, interest(conn) & ~LOOP_READ);
        }
        conn->events->on_input(conn, conn->baton);
        tell_end(conn);
        return;
    }
    if (rv == APR_SUCCESS || APR_STATUS_IS_EAGAIN(rv))
        return;
    conn->eof = 1;
    if (rv != APR_EOF && conn->error == APR_SUCCESS)
        conn->error = rv;
    tell_end(conn);
}

static void on_soon(loop_t *loop, void *baton)
{
    conn_t *conn = baton;

    (void)loop;
    if (conn->state != CONN_OPEN || conn->paused ||
        conn->tls == CONN_HANDSHAKE)
        return;
    if (conn->tls_more && wants_read(conn)) {
        receive(conn);
        return;
    }
    if (conn->in.len)
        conn->events->on_input(conn, conn->baton);
    tell_end(conn);
}

static void connected(conn_t *conn)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error) {
        conn_end(conn, error);
        return;
    }
    conn->state = CONN_OPEN;
    conn->active_at = mg_ticks();
    set_interest(conn, LOOP_READ);
    if (conn->out.len)
        loop_late(conn->loop, &conn->late);
    if (conn->events->on_ready && conn->tls == CONN_CLEAR)
        conn->events->on_ready(conn, conn->baton);
}

static void linger(conn_t *conn)
{
    char nowhere[4096];
    ssize_t n = recv(conn->fd, nowhere, sizeof(nowhere), 0);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        conn_close(conn);
}

static void readable(conn_t *conn, int events)
{
    if (conn->tls == CONN_HANDSHAKE) {
        if (!conn->clear_left)
            handshake_step(conn);
        return;
    }
    if (wants_read(conn)) {
        receive(conn);
        return;
    }
    if (events & LOOP_HANGUP) {
        /* nothing silences a hang-up; it is found again by reading */
        loop_unwatch(conn->watch);
        conn->watch = NULL;
        conn->watching = 0;
        return;
    }
    set_interest(conn, interest(conn) & ~LOOP_READ);
}

static void on_io(loop_t *loop, int fd, int events, void *baton)
{
    conn_t *conn = baton;

    (void)loop;
    (void)fd;
    switch (conn->state) {
    case CONN_CONNECTING:
        connected(conn);
        return;
    case CONN_LINGERING:
        linger(conn);
        return;
    case CONN_FINISHING:
        if (events & LOOP_HANGUP)
            conn_close(conn);
        else if (events & LOOP_WRITE)
            flush(conn);
        else
            set_interest(conn, LOOP_WRITE);
        return;
    case CONN_CLOSED:
        return;
    case CONN_OPEN:
        break;
    }
    if (((events & LOOP_WRITE) || conn->ssl_write_wants_read) &&
        conn->tls != CONN_HANDSHAKE) {
        conn->ssl_write_wants_read = 0;
        flush(conn);
    }
    else if ((events & LOOP_WRITE) && conn->clear_left) {
        flush(conn);
    }
    else if (events & LOOP_WRITE) {
        handshake_step(conn);
        return;
    }
    if (conn->state == CONN_OPEN && (events & (LOOP_READ | LOOP_HANGUP)))
        readable(conn, events);
}

void conn_pause(conn_t *conn, int pause)
{
    if (conn->paused == !!pause || conn->state == CONN_CLOSED)
        return;
    conn->paused = !!pause;
    conn->active_at = mg_ticks();
    if (pause)
        return;
    if (!conn->watch && conn->state == CONN_OPEN) {
        apr_status_t rv;

        conn->watching = LOOP_READ;
        rv = loop_watch(&conn->watch, conn->loop, conn->fd, LOOP_READ, on_io,
                        conn);
        if (rv != APR_SUCCESS)
            conn_fail(conn, rv);
    }
    conn_made_room(conn);
    if (conn->in.len || conn->tls_more || conn->eof)
        loop_soon(conn->loop, &conn->soon);
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
    own_by(conn, NULL);   /* the session may go now */
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
