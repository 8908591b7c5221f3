/* conn.h - one non-blocking connection, in clear or TLS, with line buffers.
 *
 * Server and client sessions stand on this. Input comes as whole lines or as
 * raw bytes; output is buffered and flushed by the loop. STARTTLS empties both
 * buffers (conn_start_tls), so nothing said in clear is taken as said inside.
 *
 * Every callback may close the connection, or destroy the session's pool: the
 * conn_t itself lives until the turn ends. No callback comes from within
 * conn_write() and the like, nor from conn_create() and conn_connect(), always
 * from the loop. At most CONN_INPUT_MAX is read ahead of the session: a peer
 * that talks faster than it is listened to stands still.
 */
#ifndef CONN_H
#define CONN_H

#include <sys/socket.h>

#include <openssl/ssl.h>
#include "loop.h"

typedef struct conn_t conn_t;

typedef struct {
    /** Bytes are there: take them with conn_line() or conn_peek()/skip(). */
    void (*on_input)(conn_t *conn, void *baton);
    /** A client connected, or a TLS handshake ended. */
    void (*on_ready)(conn_t *conn, void *baton);
    /** Everything written is with the kernel. May be NULL. */
    void (*on_drained)(conn_t *conn, void *baton);
    /** The end: rv APR_EOF for an orderly close, APR_TIMEUP for the time-out,
     * else the error. The connection is closed already; free the session. */
    void (*on_close)(conn_t *conn, apr_status_t rv, void *baton);
} conn_events_t;

/** Takes over fd (accepted, non-blocking). Freed with conn_close() or before
 * on_close() is called; p is the session's pool. */
conn_t *conn_create(loop_t *loop, int fd, const conn_events_t *events,
                    void *baton, apr_pool_t *p);
/** Client: a non-blocking connect to addr; on_ready or on_close follows. */
apr_status_t conn_connect(conn_t **pconn, loop_t *loop,
                          const struct sockaddr *addr, int addrlen,
                          const struct sockaddr *local, int locallen,
                          const conn_events_t *events, void *baton,
                          apr_pool_t *p);

#define CONN_INPUT_MAX (64 * 1024)

/** One line without its CRLF, NUL-terminated, valid until the next call.
 * APR_EAGAIN: not whole yet; MG_ELIMIT: longer than max (< CONN_INPUT_MAX,
 * without the CRLF); MG_EBADINPUT: bare CR or LF, or a NUL in it. After the
 * last two the line is skipped, up to its CRLF even if that is not here yet. */
apr_status_t conn_line(conn_t *conn, const char **pline, apr_size_t *plen,
                       apr_size_t max);
/** What is buffered, without taking it. */
const char *conn_peek(conn_t *conn, apr_size_t *plen);
void conn_skip(conn_t *conn, apr_size_t n);
int conn_has_input(const conn_t *conn);

void conn_write(conn_t *conn, const void *data, apr_size_t len);
void conn_printf(conn_t *conn, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/** Bytes not yet with the kernel. Producers pause above CONN_HIGH_WATER. */
apr_size_t conn_pending(const conn_t *conn);
#define CONN_HIGH_WATER (256 * 1024)

/** Stop or go on reading (back pressure, waiting for the commit). While it
 * is paused there is no on_input, and the time-out stands still unless the
 * peer has output to take. */
void conn_pause(conn_t *conn, int pause);
/** on_close(APR_TIMEUP) unless input comes (or, in a client, output goes)
 * within t; 0: never. */
void conn_set_timeout(conn_t *conn, apr_interval_time_t t);

apr_status_t conn_start_tls_server(conn_t *conn, SSL_CTX *ctx);
/** @param name  for SNI, NULL for none */
apr_status_t conn_start_tls_client(conn_t *conn, SSL_CTX *ctx,
                                   const char *name);
SSL *conn_ssl(const conn_t *conn); /* NULL in clear */
/** Right after conn_start_tls_client(): for what is to be set before the
 * handshake, which begins when this turn ends. */
SSL *conn_ssl_begun(const conn_t *conn);
/** For on_close() after a handshake or record failed (MG_ETLS): what OpenSSL
 * said; "" otherwise. */
const char *conn_tls_error(const conn_t *conn);
/** "192.0.2.1", "2001:db8::1" (an IPv4-mapped address is shown as IPv4), ""
 * for Unix sockets. Stays valid while the conn does. */
const char *conn_peer_ip(conn_t *conn);
int conn_peer_port(conn_t *conn);
/** Who it is, if accept() said so already: saves a getpeername(). */
void conn_set_peer(conn_t *conn, const struct sockaddr *peer, socklen_t len);
int conn_fd(const conn_t *conn);

/** Flush what is buffered, then close; no callback any more. */
void conn_finish(conn_t *conn);
/** Now; no callback any more. */
void conn_close(conn_t *conn);

/* --- servers --- */

typedef struct conn_listener_t conn_listener_t;
/** The fd is the callee's now: conn_create() or close() it. */
typedef void conn_accept_fn(int fd, const struct sockaddr *peer,
                            socklen_t len, void *baton);
/** Hand over what is accepted on listen_fd (non-blocking; made so), several
 * a turn. When no descriptor is left it is said once in the log and accepting
 * pauses for a second. TCP_NODELAY is set here, once, and inherited. */
apr_status_t conn_listen_accept(conn_listener_t **plistener, loop_t *loop,
                                int listen_fd, conn_accept_fn *fn,
                                void *baton);
/** Take nothing new for now (a limit is reached), or go on. */
void conn_listen_pause(conn_listener_t *listener, int pause);
/** The end; the descriptor is the caller's to close. */
void conn_listen_stop(conn_listener_t *listener);
#endif
