/* conn.h - one non-blocking connection, in clear or TLS, with line buffers.
 *
 * Server and client sessions stand on this. Input comes as whole lines or as
 * raw bytes; output is buffered and flushed by the loop. STARTTLS empties both
 * buffers (conn_start_tls), so nothing said in clear is taken as said inside.
 */
#ifndef CONN_H
#define CONN_H

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

/** Takes over fd (accepted or connecting). Freed with conn_close() or before
 * on_close() is called; p is the session's pool. */
conn_t *conn_create(loop_t *loop, int fd, const conn_events_t *events,
                    void *baton, apr_pool_t *p);
/** Client: a non-blocking connect to addr; on_ready or on_close follows. */
apr_status_t conn_connect(conn_t **pconn, loop_t *loop,
                          const struct sockaddr *addr, int addrlen,
                          const struct sockaddr *local, int locallen,
                          const conn_events_t *events, void *baton,
                          apr_pool_t *p);

/** One line without its CRLF, NUL-terminated, valid until the next call.
 * APR_EAGAIN: not whole yet; MG_ELIMIT: longer than max; MG_EBADINPUT: bare CR
 * or LF, or a NUL in it. After the last two the line was skipped. */
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

/** Stop or go on reading (back pressure, waiting for the commit). */
void conn_pause(conn_t *conn, int pause);
/** on_close(APR_TIMEUP) unless input comes (or, in a client, output goes)
 * within t; 0: never. */
void conn_set_timeout(conn_t *conn, apr_interval_time_t t);

apr_status_t conn_start_tls_server(conn_t *conn, SSL_CTX *ctx);
/** @param name  for SNI, NULL for none */
apr_status_t conn_start_tls_client(conn_t *conn, SSL_CTX *ctx,
                                   const char *name);
SSL *conn_ssl(const conn_t *conn); /* NULL in clear */
const char *conn_peer_ip(const conn_t *conn);
int conn_peer_port(const conn_t *conn);

/** Flush what is buffered, then close; no callback any more. */
void conn_finish(conn_t *conn);
/** Now; no callback any more. */
void conn_close(conn_t *conn);
#endif
