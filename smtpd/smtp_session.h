/* smtp_session.h - one SMTP session, as server (RFC 5321).
 *
 * smtp_session.c has the table of commands and the only function that changes
 * a session's state; smtp_cmd_*.c has a file per group of verbs: check, act,
 * reply. smtp_reply.c has every reply there is. receiver.c accepts, limits and
 * sweeps; receiver_commit.c commits the transactions of all sessions together.
 *
 *  S_HANDSHAKE -> S_GREETED -> S_READY -> S_MAIL -> S_RCPT -> S_DATA
 *                                ^ |  ^                          |
 *                  S_AUTH, S_CHECK-+  +------- S_COMMIT <--------+
 *
 * BDAT (RFC 3030) is legal wherever a command is: the octets behind it are
 * taken in S_CHUNK in any case. Chunks of a message that lacks its last one
 * leave the session in S_BDAT.
 */
#ifndef SMTP_SESSION_H
#define SMTP_SESSION_H

#include <apr_allocator.h>
#include <apr_ring.h>

#include "auth_client.h"
#include "conn.h"
#include "mg_routing.h"
#include "receiver_rates.h"
#include "smtp_refused.h"
#include "smtp_reply.h"
#include "smtp_tx.h"
#include "worker.h"

typedef enum {
    S_HANDSHAKE = 1, /* TLS is being agreed on */
    S_GREETED = 2,   /* nothing but our 220 so far */
    S_READY = 4,     /* after HELO or EHLO, no transaction */
    S_MAIL = 8,      /* MAIL was taken */
    S_RCPT = 16,     /* at least one RCPT was taken */
    S_DATA = 32,     /* the message is coming */
    S_COMMIT = 64,   /* it waits for spamd, then for the commit */
    S_AUTH = 128,    /* the next line answers our 334 */
    S_CHECK = 256,   /* the auth worker was asked */
    S_CLOSED = 512,  /* gone; freed at the end of the turn */
    S_BDAT = 1024,   /* part of a message came by BDAT */
    S_CHUNK = 2048   /* the octets behind a BDAT are coming */
} smtp_state_t;

#define SMTP_LINE_MAX 2048       /* RFC 5321 4.5.3.1.4 has 512; be generous */
#define SMTP_AUTH_LINE_MAX 12288 /* RFC 4954 4.  */
#define SMTP_HELO_MAX 255
#define SMTP_LOGIN_MAX 320
#define SMTP_ERROR_LIMIT 20      /* 5xx without a message taken between */
#define SMTP_IDLE_LIMIT 100      /* NOOP, RSET ... without a message */
#define SMTP_LOGIN_TRIES 5
#define SMTP_CONTENT_RATE 500    /* octets/s, or it is no mail but a siege */
#define SMTP_BATCH_MAX 256       /* messages of one commit */

typedef struct smtp_server_t smtp_server_t;
typedef struct smtp_session_t smtp_session_t;
typedef struct smtp_client_t smtp_client_t; /* an address, receiver_clients.c */

typedef apr_uint32_t smtp_ask_fn(smtp_server_t *server, const char *login,
                                 const char *password, const char *remote_ip,
                                 auth_answer_fn *fn, void *baton);
typedef void smtp_forget_fn(smtp_server_t *server, apr_uint32_t ticket);

/** The BDAT whose octets are coming. */
typedef struct {
    apr_int64_t size, left;
    int last;
    smtp_reply_t verdict;        /* SAY_OK: they belong to the message */
    smtp_state_t back;           /* the state it was said in */
} smtp_chunk_t;

typedef struct {
    apr_int64_t account_id, domain_id;
    char login[SMTP_LOGIN_MAX + 1];
    char domain[256];            /* the login's, as it is written */
} smtp_login_t;

struct smtp_session_t {
    APR_RING_ENTRY(smtp_session_t) link;
    smtp_server_t *server;
    apr_pool_t *pool;
    conn_t *conn;
    smtp_client_t *client;
    int role;                    /* MG_LISTEN_* of the port */
    smtp_state_t state;
    int esmtp;                   /* EHLO, not HELO */
    int tls;
    int running;                 /* smtp_session_run() is on the stack */
    int authenticated;
    int errors, idles, login_failures;
    apr_uint32_t ticket;         /* of the question, in S_CHECK */
    apr_uint32_t epoch;          /* of the last input, receiver_commit.c */
    apr_time_t heard;            /* mg_ticks() of the last command or octet */
    apr_time_t content_since;    /* mg_ticks() of the DATA, the first BDAT */
    smtp_tx_t *tx;
    smtp_chunk_t chunk;
    smtp_login_t login;
    char helo[SMTP_HELO_MAX + 1];
    enum { AUTH_NONE, AUTH_PLAIN, AUTH_LOGIN_NAME, AUTH_LOGIN_PASSWORD } auth;
};
APR_RING_HEAD(smtp_session_ring_t, smtp_session_t);
APR_RING_HEAD(smtp_tx_ring_t, smtp_tx_t);

struct smtp_server_t {
    worker_t *worker;
    apr_pool_t *pool;
    apr_allocator_t *allocator;  /* all sessions' pools share its blocks */
    SSL_CTX *tls;                /* NULL: no certificate */
    mg_routing_t *routing;
    smtp_ask_fn *ask;
    smtp_forget_fn *forget;
    auth_client_t *auth;
    const char *greeting;
    const char *ehlo[4];         /* by STARTTLS (1) and AUTH (2) offered */
    struct smtp_session_ring_t sessions, closed;
    int n_sessions;
    apr_time_t limit_told;       /* mg_ticks() of the last warning */
    smtp_client_t **clients;     /* by hash of the address */
    smtp_client_t *free_clients;
    smtp_rates_t *rates;
    smtp_spares_t spares;
    /* receiver_commit.c */
    struct smtp_tx_ring_t ready, storing;
    int n_ready;
    apr_uint32_t epoch;          /* one more with each commit */
    int lively;                  /* sessions heard in this epoch, not ready */
    int inputs, inputs_seen;
    apr_time_t ready_since, heard;
    loop_timer_t *again;         /* while a batch waits for company */
    struct committer_t *committer;
    smtp_refused_t *refused;
    struct spamc_t *spamc;       /* smtp_spam.c; NULL: no MailgunSpamd */
    int spam_told;               /* that there is none */
    struct dns_t *dns;           /* smtp_verify.c; NULL: MailgunARC is off */
    int verifying;               /* messages whose signatures are looked at */
    struct smtp_look_t *look;    /* smtp_look.c; NULL: not needed yet */
    smtp_tx_t *batch[SMTP_BATCH_MAX]; /* under way */
    int n_batch;
    /* receiver_clients.c */
    apr_time_t space_checked;
    int space_low;
};

/* --- smtp_session.c --- */

/** Takes over fd, greets. */
smtp_session_t *smtp_session_start(smtp_server_t *server, int fd, int role,
                                   smtp_client_t *client);
/** The one place where a session changes state; the debug log shows it. */
void smtp_session_enter(smtp_session_t *s, smtp_state_t next);
/** Work on what is buffered, as far as the state allows. */
void smtp_session_run(smtp_session_t *s);
/** Our reply was given: flush and hang up. */
void smtp_session_finish(smtp_session_t *s);
/** The transaction is over, however it ended. */
void smtp_session_reset(smtp_session_t *s);
/** Frees those that ended since, at the end of a turn; not whose message is
 * being committed. */
void smtp_session_reap(smtp_server_t *server);
int smtp_session_is_idle(const smtp_session_t *s);

/* --- what handlers ask --- */
int smtp_auth_is_usable(const smtp_session_t *s);
/** NULL, or what follows "FROM:"/"TO:", at the path. */
const char *smtp_after(const char *args, const char *keyword);

/* --- handlers; args: what follows the verb, no blanks around --- */
typedef void smtp_handler_fn(smtp_session_t *s, const char *args);
smtp_handler_fn smtp_cmd_helo, smtp_cmd_ehlo, smtp_cmd_mail, smtp_cmd_rcpt,
    smtp_cmd_data, smtp_cmd_bdat, smtp_cmd_auth, smtp_cmd_starttls,
    smtp_cmd_rset, smtp_cmd_noop, smtp_cmd_quit, smtp_cmd_vrfy, smtp_cmd_expn,
    smtp_cmd_help, smtp_cmd_http;
/** The answer to a 334. */
void smtp_auth_line(smtp_session_t *s, const char *line);
/** S_DATA: take what is buffered. @return 0: it was not all yet */
int smtp_data_input(smtp_session_t *s);
/** S_CHUNK: the same. */
int smtp_bdat_input(smtp_session_t *s);
/** The message is whole: to the commit, or refused. */
void smtp_data_end(smtp_session_t *s);
/** Its signatures were looked at, and it goes on from there. */
void smtp_data_verified(smtp_session_t *s);
/** spamd was asked, and it goes on from there. */
void smtp_data_checked(smtp_session_t *s);
/** SAY_OK, or what is wrong with what came so far. */
smtp_reply_t smtp_data_verdict(const smtp_body_t *body);
/** How its commit went. */
void smtp_data_committed(smtp_session_t *s, apr_status_t rv);

/* --- receiver_clients.c --- */
/** One more session of this address. NULL: it has too many. */
smtp_client_t *smtp_client_enter(smtp_server_t *server,
                                 const struct sockaddr *addr);
/** Its name for receiver_rates.h: an address, or an IPv6 /64. */
const char *smtp_client_name(const smtp_client_t *client, apr_pool_t *p);
void smtp_client_leave(smtp_server_t *server, smtp_client_t *client);
/** True below MailgunMinFreeSpace; asks the disk at most once a second. */
int smtp_space_is_low(smtp_server_t *server);

/* --- smtp_session_rates.c: receiver_rates.h for this session's sender --- */
/** SAY_OK or why not now: at MAIL, at RCPT. */
smtp_reply_t smtp_rate_of_messages(smtp_session_t *s);
smtp_reply_t smtp_rate_of_recipients(smtp_session_t *s);
/** One more message with n recipients was taken. */
void smtp_rate_taken(smtp_session_t *s, int messages, int recipients);

/* --- receiver_commit.c --- */
apr_status_t smtp_commit_setup(smtp_server_t *server);
/** False while messages of sessions, gone ones too, are with the store, and
 * events of the refused wait. */
int smtp_commit_is_idle(const smtp_server_t *server);
/** A session was heard: a batch that waits may wait for it. */
void smtp_commit_heard(smtp_session_t *s);
void smtp_commit_add(smtp_session_t *s);
/** It waits for something else before: others need not wait for it. */
void smtp_commit_elsewhere(smtp_session_t *s);
void smtp_commit_forget(smtp_session_t *s);
/** It is back from smtp_look_add(): it goes on to its commit. */
void smtp_commit_looked(smtp_tx_t *tx);

/* --- receiver.c --- */
/** All but the listening sockets and the questions to auth. */
apr_status_t smtp_server_create(smtp_server_t **pserver, worker_t *worker);
/** Of a worker that receiver_start() was called for. */
smtp_server_t *smtp_server_of(const worker_t *worker);
#endif
