/* unit_smtp.h - a receiver in this process, and a client that talks to it.
 *
 * One thread: the client's waiting turns the server's loop. The store is a
 * SQLite file with an account, two domains of it (a.test, b.test), one of
 * another account (other.test), mailboxes bob@ and carol@ in the first two,
 * and a catch-all route for routed@a.test. Passwords are not asked of auth
 * workers but of a table here.
 */
#ifndef UNIT_SMTP_H
#define UNIT_SMTP_H

#include "smtp_session.h"

typedef struct {
    apr_pool_t *pool;
    const char *dir;            /* removed with the pool */
    mg_config_t *config;
    worker_t worker;
    smtp_server_t *server;
    int port[3];                /* by MG_LISTEN_* */
    mg_db_t *db;                /* a second connection, to look */
    apr_int64_t account_id, domain_id;
    int done;                   /* worker_done() would have been called */
} unit_smtp_t;

unit_smtp_t *unit_smtp_start(apr_pool_t *p);
void unit_smtp_stop(unit_smtp_t *u);
/** How many rows; sql is a SELECT count(*) */
apr_int64_t unit_smtp_count(unit_smtp_t *u, const char *sql);

typedef struct {
    unit_smtp_t *u;
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    char in[65536];
    apr_size_t len;
    int closed;
} unit_client_t;

unit_client_t *unit_client_connect(unit_smtp_t *u, int role, apr_pool_t *p);
void unit_client_send(unit_client_t *c, const char *bytes, apr_size_t len);
/** A whole reply, lines parted by "\n", the last one's code first. NULL: the
 * connection was closed, or nothing came for five seconds. */
const char *unit_client_reply(unit_client_t *c, apr_pool_t *p);
/** @return 1: the server hung up */
int unit_client_is_closed(unit_client_t *c);
int unit_client_start_tls(unit_client_t *c);
void unit_client_close(unit_client_t *c);
/** Turn the loop for so long. */
void unit_smtp_turn(unit_smtp_t *u, apr_interval_time_t t);
#endif
