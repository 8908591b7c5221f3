/* mta_client.c - the SMTP and LMTP client's state machine (RFC 5321, 2033).
 *
 * say_x() speaks when state x is entered, on_x_reply() makes something of the
 * answer; states[] pairs them; mta_enter() is the only way to change state.
 * The states before a transaction are in mta_hello.c and mta_tls.c, those of a
 * transaction in mta_transaction.c.
 */
#include <apr_strings.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mta_client_private.h"

mta_timeouts_t mta_timeouts = MTA_TIMEOUTS_RFC;
static int quit_timeout = 2;

/* --- ending --- */

static void shut(mta_client_t *c)
{
    c->state = S_END;
    mta_chunks_forget(c);
    if (c->conn) {
        conn_close(c->conn);
        c->conn = NULL;
    }
}

void mta_end(mta_client_t *c, mta_end_t why, const mta_reply_t *reply)
{
    mta_job_t *job = c->job;

    c->job = NULL;
    shut(c);
    c->events->on_end(c, why, why == MTA_END_STALE ? job : NULL, reply,
                      c->baton);
}

void mta_give_result(mta_client_t *c, mta_rcpt_t *rcpt, mta_stage_t stage,
                     const mta_reply_t *reply)
{
    if (rcpt->done)
        return;
    rcpt->done = 1;
    c->events->on_result(c, c->job, rcpt, stage, reply, c->baton);
}

void mta_give_result_to_rest(mta_client_t *c, mta_stage_t stage,
                             const mta_reply_t *reply)
{
    int i;

    for (i = 0; i < c->job->nrcpts; i++)
        mta_give_result(c, &c->job->rcpts[i], stage, reply);
}

static mta_stage_t stage_of(state_t state)
{
    switch (state) {
    case S_MAIL:
        return MTA_AT_MAIL;
    case S_RCPT:
        return MTA_AT_RCPT;
    case S_DATA:
        return MTA_AT_DATA;
    default:
        return MTA_AT_END;
    }
}

/* The connection cannot go on: the job's results, then the end. */
void mta_end_in_job(mta_client_t *c, const mta_reply_t *reply)
{
    mta_job_t *job = c->job;

    if (job) {
        mta_give_result_to_rest(c, stage_of(c->state), reply);
        c->events->on_done(c, job, c->baton);
        c->job = NULL;
    }
    mta_end(c, MTA_END_LOST, reply);
}

static const char *const doing[S_MAX] = {
    "connecting", "waiting for the greeting", "EHLO", "HELO", "STARTTLS",
    "the TLS handshake", "idle", "MAIL FROM", "RCPT TO", "DATA",
    "sending the content", "waiting for the reply to the content",
    "sending chunks", "waiting for the reply to the last chunk", "RSET", "QUIT",
    ""
};

/* Lost, timed out, or nonsense received: what that means depends on where. */
void mta_fail(mta_client_t *c, const char *enhanced, const char *what)
{
    mta_reply_t reply;

    mta_reply_set(&reply, "499 %s %s: %s (%s)", enhanced, c->where, what,
                  doing[c->state]);
    switch (c->state) {
    case S_END:
        return;
    case S_TLS:
        mta_tls_failed(c, &reply);
        return;
    case S_HELLO:
        if (c->in_tls)
            mta_tls_failed(c, &reply);
        else
            mta_end(c, MTA_END_CONNECT, &reply);
        return;
    case S_CONNECT:
    case S_GREETING:
    case S_HELO:
    case S_STARTTLS:
        mta_end(c, MTA_END_CONNECT, &reply);
        return;
    case S_READY:
    case S_RSET:
    case S_QUIT:
        mta_end(c, MTA_END_IDLE, &reply);
        return;
    case S_MAIL:
        if (c->served > 0 && c->reply.lines == 0) {
            /* it had closed while idle and we did not know yet */
            mta_end(c, MTA_END_STALE, &reply);
            return;
        }
        /* fall through */
    default:
        mta_end_in_job(c, &reply);
    }
}

/* --- ready, and between jobs --- */

void mta_ready(mta_client_t *c)
{
    c->via.dsn = (c->caps & CAP_DSN) != 0;
    c->via.utf8 = (c->caps & CAP_SMTPUTF8) != 0;
    mta_enter(c, S_READY);
    c->events->on_ready(c, c->baton);
}

void mta_finish_job(mta_client_t *c, int reset)
{
    mta_job_t *job = c->job;

    c->job = NULL;
    c->served++;
    if (reset)
        mta_enter(c, S_RSET);
    else if (conn_pending(c->conn) > 0)
        reset = -1; /* answered before it had read all: out of step */
    c->events->on_done(c, job, c->baton);
    if (c->state == S_END)
        return;
    if (reset < 0)
        mta_end(c, MTA_END_IDLE, &c->reply);
    else if (!reset)
        mta_ready(c);
}

static void say_rset(mta_client_t *c)
{
    conn_write(c->conn, "RSET\r\n", 6);
}

static void on_rset_reply(mta_client_t *c)
{
    if (mta_reply_class(&c->reply) == MTA_GOOD)
        mta_ready(c);
    else
        mta_end(c, MTA_END_IDLE, &c->reply);
}

static void say_quit(mta_client_t *c)
{
    conn_write(c->conn, "QUIT\r\n", 6);
}

/* In idle time a server only speaks to say that it goes. */
static void on_ready_reply(mta_client_t *c)
{
    mta_end(c, MTA_END_IDLE, &c->reply);
}

/* --- the machine --- */

static const struct {
    const char *name;
    void (*say)(mta_client_t *c);
    void (*on_reply)(mta_client_t *c);
    int *timeout;
} states[S_MAX] = {
    { "connect",  NULL, NULL, &mta_timeouts.connect },
    { "greeting", NULL, mta_on_greeting_reply, &mta_timeouts.greeting },
    { "hello", mta_say_hello, mta_on_hello_reply, &mta_timeouts.hello },
    { "helo", mta_say_helo, mta_on_helo_reply, &mta_timeouts.hello },
    { "starttls", mta_say_starttls, mta_on_starttls_reply,
      &mta_timeouts.data },
    { "tls", mta_say_tls, NULL, &mta_timeouts.data },
    { "ready", NULL, on_ready_reply, &mta_timeouts.idle },
    { "mail", mta_say_mail, mta_on_mail_reply, &mta_timeouts.mail },
    { "rcpt", mta_say_rcpt, mta_on_rcpt_reply, &mta_timeouts.rcpt },
    { "data", mta_say_data, mta_on_data_reply, &mta_timeouts.data },
    { "body", mta_begin_body, mta_on_body_reply, &mta_timeouts.block },
    { "dot", mta_begin_dot, mta_on_dot_reply, &mta_timeouts.end },
    { "chunks", mta_begin_chunks, mta_on_chunks_reply, &mta_timeouts.block },
    { "last", NULL, mta_on_last_reply, &mta_timeouts.end },
    { "rset", say_rset, on_rset_reply, &mta_timeouts.mail },
    { "quit", say_quit, on_ready_reply, &quit_timeout },
    { "end", NULL, NULL, NULL }
};

/* The one place where a client changes state; the log shows every step. */
void mta_enter(mta_client_t *c, state_t next)
{
    if (mg_log_get_level() >= MG_LOG_DEBUG)
        mg_log(MG_LOG_DEBUG, APR_SUCCESS, "mta: %s: %s -> %s", c->where,
               states[c->state].name, states[next].name);
    c->state = next;
    mta_reply_clear(&c->reply);
    conn_set_timeout(c->conn, apr_time_from_sec(*states[next].timeout));
    if (states[next].say)
        states[next].say(c);
}

static void on_reply(mta_client_t *c)
{
    if (!states[c->state].on_reply)
        mta_fail(c, "4.5.0", "an answer nobody asked for");
    else if (c->reply.code == 421 && c->job) {
        /* service not available, closing (RFC 5321 3.8) */
        if (c->state == S_MAIL && c->served > 0)
            mta_end(c, MTA_END_STALE, &c->reply);
        else
            mta_end_in_job(c, &c->reply);
    }
    else
        states[c->state].on_reply(c);
}

/* Takes one line from the input. @return 0: there is none yet */
static int take_line(mta_client_t *c)
{
    apr_size_t have, len;
    const char *in = conn_peek(c->conn, &have), *words = NULL;
    const char *lf = have > 0 ? memchr(in, '\n', have) : NULL;
    apr_status_t rv;

    if (!lf) {
        if (have > MTA_REPLY_LINE)
            mta_fail(c, "4.5.0", "a line without end");
        return 0;
    }
    len = (apr_size_t)(lf - in);
    if (len > 0 && in[len - 1] == '\r')
        len--;

    /* the next reply begins where the last one was whole */
    rv = mta_reply_add(&c->reply, in, len, &words);
    if (c->state == S_HELLO && c->reply.lines > 1 && words
        && words < in + len)
        mta_learn_capability(c, words, len - (apr_size_t)(words - in));
    conn_skip(c->conn, (apr_size_t)(lf + 1 - in));
    if (rv == APR_SUCCESS) {
        on_reply(c);
        if (c->state != S_END)
            mta_reply_clear(&c->reply);
    }
    else if (rv != APR_INCOMPLETE)
        mta_fail(c, "4.5.0", rv == MG_ELIMIT ? "a reply too long"
                                             : "this is no SMTP reply");
    return 1;
}

/* A server that answers a pipelined group line by line, with Nagle's algorithm
 * on, waits with the second line for our kernel's acknowledgement of the
 * first, which that would hold back for 40 ms. */
static void acknowledge(mta_client_t *c)
{
    int one = 1;

    setsockopt(conn_fd(c->conn), IPPROTO_TCP, TCP_QUICKACK, &one,
               sizeof(one));
}

static void on_input(conn_t *conn, void *baton)
{
    mta_client_t *c = baton;

    (void)conn;
    while (c->state != S_END && take_line(c))
        ;
    if (c->ahead && (c->state == S_RCPT || c->state == S_DATA))
        acknowledge(c);
}

/* Which of our addresses it is that the remote sees. */
static void learn_own_address(mta_client_t *c)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof(own);

    memset(&own, 0, sizeof(own));
    if (getsockname(conn_fd(c->conn), (struct sockaddr *)&own, &len) != 0)
        return;
    if (own.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&own)->sin_addr, c->via.ip,
                  sizeof(c->via.ip));
    else if (own.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&own)->sin6_addr,
                  c->via.ip, sizeof(c->via.ip));
}

static void on_connected(conn_t *conn, void *baton)
{
    mta_client_t *c = baton;

    (void)conn;
    if (c->state == S_CONNECT) {
        learn_own_address(c);
        mta_enter(c, S_GREETING);
    }
    else if (c->state == S_TLS)
        mta_on_tls(c);
}

static void on_drained(conn_t *conn, void *baton)
{
    mta_client_t *c = baton;

    (void)conn;
    if (c->state == S_BODY)
        mta_say_body(c);
    else if (c->state == S_CHUNKS)
        mta_say_chunks(c);
}

static void on_close(conn_t *conn, apr_status_t rv, void *baton)
{
    mta_client_t *c = baton;
    char words[120];

    c->conn = NULL;
    if (APR_STATUS_IS_TIMEUP(rv))
        mta_fail(c, "4.4.2", "timed out");
    else if (APR_STATUS_IS_EOF(rv))
        mta_fail(c, "4.4.2", "connection closed by the remote");
    else if (rv == MG_ETLS && *conn_tls_error(conn))
        mta_fail(c, "4.7.5", conn_tls_error(conn));
    else
        mta_fail(c, c->state == S_CONNECT ? "4.4.1" : "4.4.2",
                 mg_strerror(rv, words, sizeof(words)));
}

static const conn_events_t conn_events = { on_input, on_connected, on_drained,
                                           on_close };

/* --- what the owner calls --- */

static const char *where_of(const mta_peer_t *peer, apr_pool_t *p)
{
    char ip[INET6_ADDRSTRLEN] = "";
    int port = 0;

    if (peer->addr && peer->addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)peer->addr;

        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
        port = ntohs(in->sin_port);
    }
    else if (peer->addr && peer->addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)peer->addr;

        inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
        port = ntohs(in6->sin6_port);
    }
    else
        return apr_pstrdup(p, peer->host);
    return apr_psprintf(p, "%s[%s]:%d", peer->host, ip, port);
}

static apr_status_t client_gone(void *baton)
{
    mta_client_t *c = baton;

    if (c->later)
        loop_timer_cancel(c->later);
    return APR_SUCCESS;
}

static mta_client_t *client_make(loop_t *loop, const mta_peer_t *peer,
                                 const mta_events_t *events, void *baton,
                                 apr_pool_t *p)
{
    mta_client_t *c = apr_pcalloc(p, sizeof(*c));

    c->loop = loop;
    c->pool = p;
    c->events = events;
    c->baton = baton;
    c->protocol = peer->protocol;
    c->host = apr_pstrdup(p, peer->host);
    c->where = where_of(peer, p);
    c->hello = apr_pstrdup(p, peer->hello);
    c->tls = peer->tls;
    c->need = peer->tls ? peer->need : MTA_TLS_MAY;
    c->least = peer->least;
    c->tlsa = peer->tlsa;
    c->ntlsa = peer->ntlsa;
    c->via.policy = peer->policy;
    c->state = S_CONNECT;
    apr_pool_cleanup_register(p, c, client_gone, apr_pool_cleanup_null);
    return c;
}

apr_status_t mta_client_open(mta_client_t **pclient, loop_t *loop,
                             const mta_peer_t *peer,
                             const mta_events_t *events, void *baton,
                             apr_pool_t *p)
{
    mta_client_t *c = client_make(loop, peer, events, baton, p);
    apr_status_t rv = conn_connect(&c->conn, loop, peer->addr, peer->addr_len,
                                   peer->local, peer->local_len,
                                   &conn_events, c, p);

    *pclient = c;
    if (rv != APR_SUCCESS) {
        c->conn = NULL;
        c->state = S_END;
        return rv;
    }
    conn_set_timeout(c->conn, apr_time_from_sec(mta_timeouts.connect));
    return APR_SUCCESS;
}

mta_client_t *mta_client_adopt(loop_t *loop, int fd, const mta_peer_t *peer,
                               const mta_events_t *events, void *baton,
                               apr_pool_t *p)
{
    mta_client_t *c = client_make(loop, peer, events, baton, p);

    c->conn = conn_create(loop, fd, &conn_events, c, p);
    mta_enter(c, S_GREETING);
    return c;
}

void mta_client_send(mta_client_t *client, mta_job_t *job)
{
    int i;

    client->job = job;
    client->rcpt = 0;
    client->accepted = 0;
    client->ahead = client->drain = 0;
    client->chunking = client->protocol == MTA_SMTP
                       && (client->caps & CAP_CHUNKING) != 0;
    for (i = 0; i < job->nrcpts; i++)
        job->rcpts[i].said = job->rcpts[i].accepted = job->rcpts[i].done = 0;

    mta_refuse_at_home(client);
    if (mta_next_rcpt(job, 0) == job->nrcpts)
        mta_finish_job(client, 0);
    else
        mta_enter(client, S_MAIL);
}

void mta_client_quit(mta_client_t *client)
{
    if (client->state != S_END)
        mta_enter(client, S_QUIT);
}

void mta_client_finish(mta_client_t *client)
{
    if (client->state == S_END)
        return;
    if (client->state != S_QUIT)
        say_quit(client);
    client->state = S_END;
    conn_finish(client->conn);
    client->conn = NULL;
}

void mta_client_close(mta_client_t *client)
{
    client->job = NULL;
    shut(client);
}

void mta_client_abort(mta_client_t *client, const char *why)
{
    mta_fail(client, "4.4.2", why);
}

const char *mta_client_host(const mta_client_t *client)
{
    return client->host;
}

int mta_client_served(const mta_client_t *client)
{
    return client->served;
}

const mta_via_t *mta_client_via(const mta_client_t *client)
{
    return &client->via;
}
