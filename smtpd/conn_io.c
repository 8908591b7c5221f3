/* conn_io.c - reading and writing of a connection (conn.h).
 *
 * A round of a session costs one recv() and one send(): output is gathered
 * and sent once when the turn ends (or at once when there is much), and the
 * set of events that epoll watches is changed only when an event comes that
 * nobody wants, or the kernel's buffer is full.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conn_private.h"
#include "mg_status.h"
#include "mg_time.h"

#define FIRST_SIZE (16 * 1024)
#define FLUSH_SIZE (64 * 1024)           /* much output: do not gather more */
#define LINGER_TIME apr_time_from_sec(2)

static void receive(conn_t *conn);

/* buffers */

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
        buf->data = conn_need(realloc(buf->data, size));
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
    large = conn_need(malloc((apr_size_t)n + 1));
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
    conn_own_by(conn, loop_pool(conn->loop));
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
            conn_own_by(conn, loop_pool(conn->loop));
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
        set_interest(conn, LOOP_READ);
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

void conn_on_late(loop_t *loop, void *baton)
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

void conn_on_soon(loop_t *loop, void *baton)
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
    if (conn->out.len || conn->tls == CONN_HANDSHAKE)
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
    if (conn->tls == CONN_HANDSHAKE && conn->clear_left) {
        /* it talks before it took our last clear words: it must wait */
        set_interest(conn, interest(conn) & ~LOOP_READ);
        return;
    }
    if (conn->tls == CONN_HANDSHAKE) {
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

void conn_on_io(loop_t *loop, int fd, int events, void *baton)
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
        rv = loop_watch(&conn->watch, conn->loop, conn->fd, LOOP_READ,
                        conn_on_io, conn);
        if (rv != APR_SUCCESS)
            conn_fail(conn, rv);
    }
    conn_made_room(conn);
    if (conn->in.len || conn->tls_more || conn->eof)
        loop_soon(conn->loop, &conn->soon);
}
