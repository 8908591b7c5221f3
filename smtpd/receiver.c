/* receiver.c - the receiver role: listening sockets, limits on sessions, the
 * sweep for silent ones, orderly stop (design 6).
 *
 * Ports (mg_config.h): mx takes mail for our domains from anybody, and any
 * mail after AUTH; submission requires AUTH; smtps is submission in TLS from
 * the first byte (RFC 8314).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mg_log.h"
#include "mg_mime.h"
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_time.h"
#include "smtp_session.h"
#include "smtp_spam.h"
#include "smtp_verify.h"
#include "tls.h"
#include "worker_links.h"

/* blocks of freed sessions that are kept for new ones */
#define KEEP_FREE (16 * 1024 * 1024)
#define STOP_TIME apr_time_from_sec(60)

typedef struct {
    smtp_server_t *server;
    conn_listener_t *listener;
    int role;
} port_t;

typedef struct {
    smtp_server_t *server;
    port_t *ports;
    int n_ports;
    apr_time_t stop_by;
} receiver_t;

/* --- accepting --- */

/* Said without waiting: it fits into any socket buffer, or is lost. */
static void turn_away(int fd, const struct sockaddr *peer, smtp_reply_t reply)
{
    const struct sockaddr_in *in = (const void *)peer;
    const struct sockaddr_in6 *in6 = (const void *)peer;
    char line[128], ip[INET6_ADDRSTRLEN] = "";
    int n = apr_snprintf(line, sizeof(line), "%s\r\n", smtp_reply_text(reply));

    if (send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        mg_log(MG_LOG_DEBUG, errno, "smtp: cannot say %s", line);
    close(fd);
    if (peer->sa_family == AF_INET)
        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
    else if (peer->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
    mg_log(MG_LOG_INFO, APR_SUCCESS, "smtp refused: %s client=[%s]",
           smtp_reply_text(reply), ip);
}

/* Somebody should look, but not at a line for each of a flood. */
static void warn_of_limit(smtp_server_t *server)
{
    apr_time_t now = mg_ticks();

    if (server->limit_told != 0
        && now - server->limit_told < apr_time_from_sec(60))
        return;
    server->limit_told = now;
    mg_log(MG_LOG_WARN, APR_SUCCESS, "smtp: MailgunSessionLimit is reached: %d"
           " sessions", server->n_sessions);
}

/* Who talks before our greeting is no mail server (and what it said is no
 * answer to us). Asked once, at accept: nobody is made to wait for it. */
static int talks_early(int fd)
{
    char c;

    return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void greet(smtp_server_t *server, smtp_session_t *s)
{
    apr_status_t rv;

    if (s->role == MG_LISTEN_SMTPS) {
        smtp_session_enter(s, S_HANDSHAKE);
        rv = conn_start_tls_server(s->conn, server->tls);
        if (rv != APR_SUCCESS) {
            mg_log(MG_LOG_ERR, rv, "smtp: cannot start TLS");
            smtp_session_finish(s);
        }
        return;
    }
    smtp_session_enter(s, S_GREETED);
    if (talks_early(conn_fd(s->conn))) {
        smtp_refuse(s, SAY_EARLY_TALKER, NULL);
        smtp_session_finish(s);
        return;
    }
    conn_write(s->conn, server->greeting, strlen(server->greeting));
}

static void on_accept(int fd, const struct sockaddr *peer, socklen_t len,
                      void *baton)
{
    port_t *port = baton;
    smtp_server_t *server = port->server;
    smtp_client_t *client;
    smtp_session_t *s;

    server->inputs++;
    if (server->n_sessions >= server->worker->config->session_limit) {
        warn_of_limit(server);
        turn_away(fd, peer, SAY_SESSIONS);
        return;
    }
    client = smtp_client_enter(server, peer);
    if (client == NULL) {
        turn_away(fd, peer, SAY_CLIENT_SESSIONS);
        return;
    }
    s = smtp_session_start(server, fd, port->role, client);
    conn_set_peer(s->conn, peer, len);
    greet(server, s);
}

/* --- sweeping --- */

static void hang_up(smtp_session_t *s, smtp_reply_t reply)
{
    if (s->state == S_HANDSHAKE) {
        smtp_session_finish(s); /* no words fit in there */
        return;
    }
    smtp_refuse(s, reply, NULL);
    smtp_session_finish(s);
}

/* Silent for too long, or feeding us a message a drop at a time. */
static int is_too_slow(const smtp_session_t *s, apr_time_t now,
                       apr_interval_time_t timeout)
{
    apr_int64_t octets = s->chunk.size - s->chunk.left;

    if (s->state == S_COMMIT)
        return 0;
    if (now - s->heard > timeout)
        return 1;
    if (!(s->state & (S_DATA | S_CHUNK)))
        return 0;
    if (s->tx != NULL && s->tx->body.size > octets)
        octets = s->tx->body.size;
    return now - s->content_since
           > timeout + apr_time_from_sec(octets / SMTP_CONTENT_RATE);
}

static void sweep(receiver_t *r)
{
    smtp_server_t *server = r->server;
    apr_interval_time_t timeout = server->worker->config->command_timeout;
    apr_time_t now = mg_ticks();
    smtp_session_t *s, *next;
    /* one that retires has time: its sessions end by themselves */
    int stopping = server->worker->stopping && !server->worker->retiring;

    for (s = APR_RING_FIRST(&server->sessions);
         s != APR_RING_SENTINEL(&server->sessions, smtp_session_t, link);
         s = next) {
        next = APR_RING_NEXT(s, link);
        if (stopping && (smtp_session_is_idle(s) || now > r->stop_by))
            hang_up(s, SAY_SHUTDOWN);
        else if (is_too_slow(s, now, timeout))
            hang_up(s, SAY_TIMEOUT);
    }
}

static void on_sweep(loop_t *loop, void *baton)
{
    receiver_t *r = baton;
    worker_t *worker = r->server->worker;
    apr_interval_time_t again = worker->config->command_timeout / 4;

    sweep(r);
    if (worker->stopping && r->server->n_sessions == 0
        && smtp_commit_is_idle(r->server)) {
        worker_done(worker);
        return;
    }
    if (again > apr_time_from_sec(1) || again <= 0)
        again = apr_time_from_sec(1);
    if (worker->stopping && again > apr_time_from_msec(100))
        again = apr_time_from_msec(100);
    loop_timer_set(loop, again, on_sweep, r);
}

/* Sessions finish their message; who is between messages is told to go. */
static void on_stop(worker_t *worker)
{
    receiver_t *r = worker->role_data;
    int i, again = r->stop_by != 0;

    r->stop_by = mg_ticks() + STOP_TIME;
    if (again)
        return;
    for (i = 0; i < r->n_ports; i++)
        conn_listen_stop(r->ports[i].listener);
    loop_timer_set(worker->loop, 0, on_sweep, r);
}

/* --- setting up --- */

static apr_uint32_t ask_worker(smtp_server_t *server, const char *login,
                               const char *password, const char *remote_ip,
                               auth_answer_fn *fn, void *baton)
{
    return auth_client_ask(server->auth, login, password, remote_ip, fn,
                           baton);
}

static void forget_worker(smtp_server_t *server, apr_uint32_t ticket)
{
    auth_client_forget(server->auth, ticket);
}

static void make_texts(smtp_server_t *server)
{
    const mg_config_t *config = server->worker->config;
    int i;

    server->greeting = apr_psprintf(server->pool, "220 %s ESMTP Mailgun\r\n",
                                    config->hostname);
    for (i = 0; i < 4; i++)
        server->ehlo[i] = apr_psprintf(
            server->pool,
            "250-%s\r\n250-PIPELINING\r\n250-SIZE %" APR_INT64_T_FMT "\r\n"
            "%s%s250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n"
            "250-CHUNKING\r\n250 SMTPUTF8\r\n",
            config->hostname, config->message_limit,
            i & 1 ? "250-STARTTLS\r\n" : "",
            i & 2 ? "250-AUTH PLAIN LOGIN\r\n" : "");
}

static apr_status_t make_tls(smtp_server_t *server)
{
    const mg_config_t *config = server->worker->config;
    const char *error = NULL;
    apr_status_t rv;

    if (config->tls_certificate == NULL)
        return APR_SUCCESS;
    if (server->worker->tls != NULL) { /* the master could read the key */
        server->tls = server->worker->tls;
        return APR_SUCCESS;
    }
    rv = tls_server_create(&server->tls, config->tls_certificate,
                           config->tls_key, &error, server->pool);
    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_ERR, rv, "%s", error ? error : "MailgunTLSCertificate");
    return rv;
}

apr_status_t smtp_server_create(smtp_server_t **pserver, worker_t *worker)
{
    smtp_server_t *server = apr_pcalloc(worker->pool, sizeof(*server));
    unsigned char *key = apr_palloc(worker->pool, 32);
    apr_status_t rv;

    *pserver = server;
    server->worker = worker;
    rv = apr_allocator_create(&server->allocator);
    if (rv != APR_SUCCESS)
        return rv;
    apr_allocator_max_free_set(server->allocator, KEEP_FREE);
    apr_pool_create_ex(&server->pool, worker->pool, NULL, server->allocator);
    apr_allocator_owner_set(server->allocator, server->pool);
    smtp_spares_bind(&server->spares, server->pool);
    server->rates = smtp_rates_create(worker->pool);
    APR_RING_INIT(&server->sessions, smtp_session_t, link);
    APR_RING_INIT(&server->closed, smtp_session_t, link);
    mg_mime_init();
    if (worker->secret == NULL
        || mg_secret_derive(key, worker->secret, "verp") != APR_SUCCESS)
        key = NULL;
    server->routing = mg_routing_create(worker->domains, worker->shared, key,
                                        worker->pool);
    mg_routing_reports(server->routing, worker->config->feedback,
                       worker_track_keys(worker));
    make_texts(server);
    rv = smtp_commit_setup(server);
    if (rv == APR_SUCCESS)
        rv = smtp_spam_setup(server);
    if (rv == APR_SUCCESS)
        rv = smtp_verify_setup(server);
    return rv == APR_SUCCESS ? make_tls(server) : rv;
}

static apr_status_t open_ports(receiver_t *r, worker_t *worker)
{
    const apr_array_header_t *listeners = worker->listeners;
    apr_status_t rv = APR_SUCCESS;
    int i;

    r->ports = apr_pcalloc(worker->pool,
                           (apr_size_t)listeners->nelts * sizeof(*r->ports));
    for (i = 0; rv == APR_SUCCESS && i < listeners->nelts; i++) {
        const listener_t *l = &APR_ARRAY_IDX(listeners, i, listener_t);
        port_t *port = &r->ports[r->n_ports];

        if (l->role == MG_LISTEN_SMTPS && r->server->tls == NULL) {
            mg_log(MG_LOG_ERR, APR_SUCCESS,
                   "MailgunListen smtps needs MailgunTLSCertificate");
            continue;
        }
        port->server = r->server;
        port->role = l->role;
        rv = conn_listen_accept(&port->listener, worker->loop, l->fd,
                                on_accept, port);
        if (rv == APR_SUCCESS)
            r->n_ports++;
    }
    return rv;
}

smtp_server_t *smtp_server_of(const worker_t *worker)
{
    const receiver_t *r = worker->role_data;

    return r->server;
}

apr_status_t receiver_start(worker_t *worker)
{
    receiver_t *r = apr_pcalloc(worker->pool, sizeof(*r));
    smtp_server_t *server;
    apr_status_t rv;

    rv = smtp_server_create(&server, worker);
    if (rv != APR_SUCCESS)
        return rv;
    if (worker->auth_fd >= 0) {
        rv = auth_client_create(&server->auth, worker);
        if (rv != APR_SUCCESS)
            return rv;
        server->ask = ask_worker;
        server->forget = forget_worker;
    }
    r->server = server;
    worker->role_data = r;
    worker->on_stop = on_stop;
    loop_timer_set(worker->loop, apr_time_from_msec(250), on_sweep, r);
    return open_ports(r, worker);
}
