/* smtp_session.c - the state machine of an SMTP server session (RFC 5321).
 *
 * Bytes come in by on_input(); smtp_session_run() takes a line (or a piece of
 * the message) at a time, finds the verb in commands[], asks whether it is
 * legal in this state, and calls its handler. Nothing else changes a session's
 * state but smtp_session_enter().
 */
#include <string.h>
#include <strings.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "smtp_session.h"
#include "smtp_spam.h"
#include "smtp_verify.h"

#define ANY (S_GREETED | S_READY | S_MAIL | S_RCPT | S_BDAT)

enum {
    F_LAST = 1,  /* RFC 2920 3.1: last of a pipelined group */
    F_IDLE = 2   /* does nothing; too many of these are a nuisance */
};

typedef struct {
    const char *verb;
    int states;              /* legal in */
    int flags;
    smtp_handler_fn *handler;
    smtp_reply_t otherwise;  /* the reply in other states */
} smtp_command_t;

/* RFC 5321 4.1.1; RFC 3207 4 has STARTTLS, RFC 4954 4 AUTH, RFC 3030 2 BDAT. */
static const smtp_command_t commands[] = {
    /* verb       legal in         flags   handler            else */
    { "EHLO",     ANY,             F_LAST, smtp_cmd_ehlo,     SAY_SEQUENCE },
    { "HELO",     ANY,             F_LAST, smtp_cmd_helo,     SAY_SEQUENCE },
    { "MAIL",     S_READY,         0,      smtp_cmd_mail,     SAY_NESTED_MAIL },
    { "RCPT",     S_MAIL | S_RCPT, 0,      smtp_cmd_rcpt,     SAY_MAIL_FIRST },
    { "DATA",     S_MAIL | S_RCPT, F_LAST, smtp_cmd_data,     SAY_RCPT_FIRST },
    { "BDAT",     ANY,             0,      smtp_cmd_bdat,     SAY_SEQUENCE },
    { "RSET",     ANY,             F_IDLE, smtp_cmd_rset,     SAY_SEQUENCE },
    { "VRFY",     ANY,             F_IDLE, smtp_cmd_vrfy,     SAY_SEQUENCE },
    { "EXPN",     ANY,             F_IDLE, smtp_cmd_expn,     SAY_SEQUENCE },
    { "HELP",     ANY,             F_IDLE, smtp_cmd_help,     SAY_SEQUENCE },
    { "NOOP",     ANY,             F_IDLE, smtp_cmd_noop,     SAY_SEQUENCE },
    { "QUIT",     ANY,             0,      smtp_cmd_quit,     SAY_SEQUENCE },
    { "STARTTLS", S_READY,         0,      smtp_cmd_starttls, SAY_SEQUENCE },
    { "AUTH",     S_READY,         0,      smtp_cmd_auth,     SAY_SEQUENCE },
    { "GET",      ANY,             0,      smtp_cmd_http,     SAY_SEQUENCE },
    { "POST",     ANY,             0,      smtp_cmd_http,     SAY_SEQUENCE },
    { "CONNECT",  ANY,             0,      smtp_cmd_http,     SAY_SEQUENCE },
};

static const char *state_name(smtp_state_t state)
{
    switch (state) {
    case S_HANDSHAKE: return "handshake";
    case S_GREETED: return "greeted";
    case S_READY: return "ready";
    case S_MAIL: return "mail";
    case S_RCPT: return "rcpt";
    case S_DATA: return "data";
    case S_COMMIT: return "commit";
    case S_AUTH: return "auth";
    case S_CHECK: return "check";
    case S_CLOSED: return "closed";
    case S_BDAT: return "bdat";
    case S_CHUNK: return "chunk";
    }
    return "?";
}

void smtp_session_enter(smtp_session_t *s, smtp_state_t next)
{
    if (mg_log_get_level() >= MG_LOG_DEBUG)
        mg_log(MG_LOG_DEBUG, APR_SUCCESS, "smtp %s:%d: %s -> %s",
               conn_peer_ip(s->conn), conn_peer_port(s->conn),
               state_name(s->state), state_name(next));
    s->state = next;
}

/* --- the end --- */

/* The struct lives until the end of the turn: callers are on the stack. */
static void session_gone(smtp_session_t *s)
{
    smtp_server_t *server = s->server;
    worker_t *worker = server->worker;

    smtp_commit_forget(s);
    if (s->tx != NULL) {
        smtp_spam_forget(s->tx);
        smtp_verify_forget(s->tx);
    }
    if (s->ticket != 0)
        server->forget(server, s->ticket);
    s->ticket = 0;
    smtp_session_enter(s, S_CLOSED);
    APR_RING_REMOVE(s, link);
    APR_RING_INSERT_TAIL(&server->closed, s, smtp_session_t, link);
    server->n_sessions--;
    smtp_client_leave(server, s->client);
    mg_shared_set(worker->shared, worker->slot, MG_GAUGE_SESSIONS,
                  server->n_sessions);
}

void smtp_session_finish(smtp_session_t *s)
{
    if (s->state == S_CLOSED)
        return;
    session_gone(s);
    conn_finish(s->conn);
}

void smtp_session_reset(smtp_session_t *s)
{
    if (s->tx == NULL)
        return;
    smtp_commit_forget(s);
    apr_pool_destroy(s->tx->pool);
    s->tx = NULL;
}

void smtp_session_reap(smtp_server_t *server)
{
    smtp_session_t *s, *next;

    for (s = APR_RING_FIRST(&server->closed);
         s != APR_RING_SENTINEL(&server->closed, smtp_session_t, link);
         s = next) {
        next = APR_RING_NEXT(s, link);
        if (s->tx != NULL && s->tx->under_way)
            continue;
        APR_RING_REMOVE(s, link);
        apr_pool_destroy(s->pool);
    }
}

int smtp_session_is_idle(const smtp_session_t *s)
{
    return (s->state & (S_HANDSHAKE | S_GREETED | S_READY | S_AUTH)) != 0;
}

/* --- lines --- */

const char *smtp_after(const char *args, const char *keyword)
{
    apr_size_t len = strlen(keyword);

    if (strncasecmp(args, keyword, len) != 0)
        return NULL;
    /* "MAIL FROM: <a@b>": wrong, common, and harmless */
    return args + len + strspn(args + len, " ");
}

static const smtp_command_t *find_command(const char *verb, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strncasecmp(commands[i].verb, verb, len) == 0
            && commands[i].verb[len] == '\0')
            return &commands[i];
    }
    return NULL;
}

static void not_legal(smtp_session_t *s, const smtp_command_t *command)
{
    if (s->state == S_GREETED)
        smtp_reply(s, SAY_HELO_FIRST, NULL);
    else if (s->state == S_BDAT)
        smtp_reply(s, SAY_SEQUENCE, NULL);
    else
        smtp_reply(s, command->otherwise, NULL);
}

static void do_command(smtp_session_t *s, char *line, apr_size_t len)
{
    const smtp_command_t *command;
    apr_size_t verb_len = strcspn(line, " ");
    char *args = line + verb_len;

    while (len > verb_len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        line[--len] = '\0'; /* 4.1.1: trailing blanks are nothing */
    args += strspn(args, " ");
    command = find_command(line, verb_len);
    if (command == NULL) {
        smtp_reply(s, SAY_UNKNOWN_COMMAND, NULL);
        return;
    }
    if (!(command->states & s->state)) {
        not_legal(s, command);
        return;
    }
    if ((command->flags & F_LAST) && conn_has_input(s->conn)) {
        /* it talks on without having heard us: what follows DATA would be
         * read as commands if DATA is refused */
        smtp_refuse(s, SAY_NOT_IN_STEP, NULL);
        smtp_session_finish(s);
        return;
    }
    if (command->flags & F_IDLE)
        s->idles++;
    command->handler(s, args);
}

/* @return 0: it was told to go */
static int is_patient(smtp_session_t *s)
{
    if (s->errors < SMTP_ERROR_LIMIT && s->idles < SMTP_IDLE_LIMIT
        && s->login_failures < SMTP_LOGIN_TRIES)
        return 1;
    smtp_refuse(s, SAY_TOO_MANY_ERRORS, NULL);
    smtp_session_finish(s);
    return 0;
}

/* An AUTH line may carry a Kerberos ticket; no other line is long. */
static apr_size_t line_limit(smtp_session_t *s)
{
    apr_size_t len;
    const char *in;

    if (s->state == S_AUTH)
        return SMTP_AUTH_LINE_MAX;
    in = conn_peek(s->conn, &len);
    return len > 5 && strncasecmp(in, "AUTH ", 5) == 0 ? SMTP_AUTH_LINE_MAX
                                                       : SMTP_LINE_MAX;
}

/* @return 0: no whole line yet */
static int take_line(smtp_session_t *s)
{
    const char *line;
    apr_size_t len;
    apr_status_t rv;

    rv = conn_line(s->conn, &line, &len, line_limit(s));
    if (rv == APR_EAGAIN)
        return 0;
    s->heard = mg_ticks();
    if (rv == APR_SUCCESS && !mg_text_is_utf8(line, len))
        rv = MG_EBADINPUT;
    if (rv != APR_SUCCESS) {
        if (s->state == S_AUTH) {
            s->auth = AUTH_NONE;
            smtp_session_enter(s, S_READY);
        }
        smtp_reply(s, rv == MG_ELIMIT ? SAY_LINE_TOO_LONG : SAY_LINE_BAD, NULL);
    }
    else if (s->state == S_AUTH) {
        smtp_auth_line(s, line);
    }
    else {
        do_command(s, (char *)line, len);
    }
    return 1;
}

void smtp_session_run(smtp_session_t *s)
{
    if (s->running)
        return; /* a handler's call; the loop below goes on anyway */
    s->running = 1;
    for (;;) {
        if (s->state & (S_HANDSHAKE | S_COMMIT | S_CHECK | S_CLOSED))
            break;
        if (!is_patient(s))
            break;
        if (conn_pending(s->conn) > CONN_HIGH_WATER)
            break; /* it asks and does not listen: on_drained() goes on */
        if (s->state & (S_DATA | S_CHUNK)) {
            if (!(s->state == S_DATA ? smtp_data_input(s)
                                     : smtp_bdat_input(s)))
                break;
        }
        else if (!take_line(s)) {
            break;
        }
    }
    s->running = 0;
}

/* --- what the connection tells --- */

static void on_input(conn_t *conn, void *baton)
{
    smtp_session_t *s = baton;

    (void)conn;
    if (s->state == S_CLOSED)
        return;
    smtp_commit_heard(s);
    if (s->state & (S_DATA | S_CHUNK))
        s->heard = mg_ticks();
    smtp_session_run(s);
}

/* A TLS handshake ended: RFC 3207 4.2, all that was said is forgotten. */
static void on_ready(conn_t *conn, void *baton)
{
    smtp_session_t *s = baton;

    if (s->state != S_HANDSHAKE)
        return;
    s->tls = 1;
    s->heard = mg_ticks();
    if (s->helo[0] == '\0') /* port 465: it has not been greeted */
        conn_write(conn, s->server->greeting, strlen(s->server->greeting));
    s->helo[0] = '\0';
    s->esmtp = 0;
    s->authenticated = 0;
    memset(&s->login, 0, sizeof(s->login));
    smtp_session_reset(s);
    smtp_session_enter(s, S_GREETED);
}

static void on_drained(conn_t *conn, void *baton)
{
    smtp_session_t *s = baton;

    if (s->state != S_CLOSED && conn_has_input(conn))
        smtp_session_run(s);
}

static void on_close(conn_t *conn, apr_status_t rv, void *baton)
{
    smtp_session_t *s = baton;

    if (s->state == S_CLOSED)
        return;
    if (s->tx != NULL && (s->state & (S_DATA | S_COMMIT | S_BDAT | S_CHUNK)))
        mg_log(MG_LOG_INFO, rv, "smtp lost: client=[%s] hung up in %s "
               "from=<%s>", conn_peer_ip(conn), state_name(s->state),
               s->tx->sender);
    session_gone(s);
}

static const conn_events_t events = { on_input, on_ready, on_drained,
                                      on_close };

/* --- the beginning --- */

smtp_session_t *smtp_session_start(smtp_server_t *server, int fd, int role,
                                   smtp_client_t *client)
{
    worker_t *worker = server->worker;
    smtp_session_t *s;
    apr_pool_t *p;

    apr_pool_create_ex(&p, server->pool, NULL, server->allocator);
    s = apr_pcalloc(p, sizeof(*s));
    APR_RING_ELEM_INIT(s, link);
    s->server = server;
    s->pool = p;
    s->client = client;
    s->role = role;
    s->heard = mg_ticks();
    s->epoch = server->epoch - 1;
    s->conn = conn_create(worker->loop, fd, &events, s, p);
    APR_RING_INSERT_TAIL(&server->sessions, s, smtp_session_t, link);
    server->n_sessions++;
    mg_shared_set(worker->shared, worker->slot, MG_GAUGE_SESSIONS,
                  server->n_sessions);
    return s;
}
