/* conn_private.h - the inside of a connection: for conn*.c only. */
#ifndef CONN_PRIVATE_H
#define CONN_PRIVATE_H

#include "conn.h"

typedef struct {
    char *data;
    apr_size_t start, len, size; /* len bytes from start; size allocated */
} conn_buf_t;

enum conn_state {
    CONN_CONNECTING, CONN_OPEN,
    CONN_FINISHING,  /* conn_finish(): flush, then close */
    CONN_LINGERING,  /* all said; waits for the peer's end */
    CONN_CLOSED
};
enum conn_tls { CONN_CLEAR, CONN_HANDSHAKE, CONN_TLS };
/* How a line that is no good is dropped. */
enum conn_skip { CONN_SKIP_NO, CONN_SKIP_LONG, CONN_SKIP_BAD, CONN_SKIP_QUIET };

struct conn_t {
    loop_t *loop;
    apr_pool_t *pool;
    int fd;
    enum conn_state state;
    enum conn_tls tls;
    int client, paused, eof, drained, tls_more;
    apr_status_t error;          /* told by on_close when input is used up */
    loop_watch_t *watch;
    int watching;                /* LOOP_READ | LOOP_WRITE */
    const conn_events_t *events;
    void *baton;
    conn_buf_t in, out;
    apr_size_t scanned;          /* of in: no LF up to here */
    enum conn_skip skip;
    apr_size_t clear_left;       /* of out: to be sent before the handshake */
    SSL *ssl;
    int ssl_write_wants_read;
    char tls_words[160];
    loop_job_t soon, late;
    loop_timer_t *timer;
    apr_time_t timer_at;
    apr_interval_time_t timeout;
    apr_time_t active_at;
    struct sockaddr_storage peer;
    socklen_t peer_len;
    char peer_ip[64];
};

/* conn.c */
void *conn_need(void *memory);
/** Who closes it: this pool's end; NULL: nobody. */
void conn_own_by(conn_t *conn, apr_pool_t *p);
/** Closed by itself; the one place that says on_close. */
void conn_end(conn_t *conn, apr_status_t rv);
void conn_free(conn_t *conn);

/* conn_io.c */
void conn_on_io(loop_t *loop, int fd, int events, void *baton);
void conn_on_late(loop_t *loop, void *baton);
void conn_on_soon(loop_t *loop, void *baton);
void conn_made_room(conn_t *conn);
void conn_want_write(conn_t *conn, int want);
void conn_fail(conn_t *conn, apr_status_t rv);
void conn_drop_input(conn_t *conn);

/* conn_tls.c: n bytes, or 0 with *prv: APR_EAGAIN, APR_EOF, an error */
apr_size_t conn_tls_read(conn_t *conn, char *buf, apr_size_t len,
                         apr_status_t *prv);
apr_size_t conn_tls_write(conn_t *conn, const char *buf, apr_size_t len,
                          apr_status_t *prv);
/** APR_SUCCESS: done; APR_EAGAIN; or the error. */
apr_status_t conn_tls_handshake(conn_t *conn);
void conn_tls_bye(conn_t *conn);
void conn_tls_free(conn_t *conn);

#endif
