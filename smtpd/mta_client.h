/* mta_client.h - one connection to a remote SMTP or LMTP server, in curl's
 * manner: RFC 5321, 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 6531
 * (SMTPUTF8), 3207 (STARTTLS), 3030 (CHUNKING), 3461 (DSN), 2033 (LMTP).
 *
 * A client connects, greets, secures itself where the server offers it, and is
 * then ready for jobs, one after the other. A job is one transaction: a
 * message, an envelope sender, recipients. Each recipient gets exactly one
 * result, then on_done() ends the job; only a connection that had served
 * before and dies before the server answered MAIL hands the job back
 * unharmed (MTA_END_STALE).
 *
 * on_end() comes once, last, unless the owner called mta_client_finish() or
 * mta_client_close() first. The pool may go when the loop's turn is over, not
 * inside of one of these callbacks.
 */
#ifndef MTA_CLIENT_H
#define MTA_CLIENT_H

#include "conn.h"
#include "dns.h"
#include "mta_reply.h"

typedef struct mta_client_t mta_client_t;
typedef struct mta_job_t mta_job_t;

typedef enum { MTA_SMTP, MTA_LMTP } mta_protocol_t;

/** Where in a transaction a recipient's result was decided. */
typedef enum {
    MTA_AT_MAIL, MTA_AT_RCPT, MTA_AT_DATA, MTA_AT_END,
    MTA_AT_HOME  /* by us: an address or a size the server cannot take */
} mta_stage_t;

typedef struct {
    const char *address;  /* as it goes on the wire: checked by the owner */
    const char *notify, *orcpt; /* RFC 3461 4.1, 4.2; or NULL */
    void *baton;
    unsigned int said : 1, accepted : 1, done : 1; /* the client's own */
} mta_rcpt_t;

struct mta_job_t {
    const char *sender;   /* "" for the null sender */
    mta_rcpt_t *rcpts;
    int nrcpts;
    apr_int64_t size;     /* octets; 0: not known */
    const char *dsn_ret, *dsn_envid; /* RFC 3461 4.3, 4.4; or NULL */
    int eight_bit;        /* content may have octets above 127 */
    /** The next part of the content (CRLF lines); valid until the next call.
     * @return APR_EOF after the last; APR_EAGAIN: not yet, it is asked again
     *         in the loop's next turn; an error gives the job up */
    apr_status_t (*read)(const char **pbytes, apr_size_t *plen, void *baton);
    void *baton;
};

typedef enum {
    MTA_END_CONNECT,  /* never became ready: no connection, no or bad reply */
    MTA_END_REFUSED,  /* greeting or EHLO was answered 4xx or 5xx */
    MTA_END_TLS,      /* the handshake failed: try in clear */
    MTA_END_POLICY,   /* it cannot give the TLS that is needed: another host */
    MTA_END_IDLE,     /* closed while nothing was under way */
    MTA_END_STALE,    /* the job was not begun: take it back */
    MTA_END_LOST      /* within a job; its results were given */
} mta_end_t;

typedef struct {
    /** Takes a job: call mta_client_send() now or later. */
    void (*on_ready)(mta_client_t *client, void *baton);
    void (*on_result)(mta_client_t *client, mta_job_t *job, mta_rcpt_t *rcpt,
                      mta_stage_t stage, const mta_reply_t *reply,
                      void *baton);
    void (*on_done)(mta_client_t *client, mta_job_t *job, void *baton);
    /** @param job  only with MTA_END_STALE */
    void (*on_end)(mta_client_t *client, mta_end_t why, mta_job_t *job,
                   const mta_reply_t *reply, void *baton);
} mta_events_t;

/** What TLS must give before a message goes out. */
typedef enum {
    MTA_TLS_MAY,      /* where it is offered; in clear else (RFC 7435) */
    MTA_TLS_ENCRYPT,  /* TLS, with whatever certificate */
    MTA_TLS_VERIFY,   /* and a certificate that we trust for the host's name */
    MTA_TLS_DANE      /* and one that the host's TLSA records name */
} mta_tls_need_t;

typedef struct {
    mta_protocol_t protocol;
    const char *host;             /* as the log and the event name it */
    const struct sockaddr *addr;
    int addr_len;
    const struct sockaddr *local; /* the address we come from, or NULL */
    int local_len;
    const char *hello;            /* our name */
    SSL_CTX *tls;                 /* NULL: never STARTTLS */
    mta_tls_need_t need;
    const char *policy;           /* who needs it, "require-tls"; static */
    const dns_tlsa_t *tlsa;       /* MTA_TLS_DANE; they live as the client */
    int ntlsa;
    mta_tls_need_t least;         /* of DANE, where no record can be used */
} mta_peer_t;

/** What a connection is, as it is recorded with a delivery. Words are static. */
typedef struct {
    const char *tls, *cipher;     /* "TLSv1.3"; NULL: in clear */
    const char *policy;           /* of the peer, or NULL */
    int verified;                 /* the certificate, for the host's name */
    int dsn;                      /* it offers DSN (RFC 3461) */
    int utf8;                     /* and SMTPUTF8 (RFC 6531) */
    char ip[46];                  /* ours: "192.0.2.1", "" over a Unix socket */
} mta_via_t;

/** Connects. @return the connect's error if that is known at once */
apr_status_t mta_client_open(mta_client_t **pclient, loop_t *loop,
                             const mta_peer_t *peer,
                             const mta_events_t *events, void *baton,
                             apr_pool_t *p);
/** The same over a connected descriptor. */
mta_client_t *mta_client_adopt(loop_t *loop, int fd, const mta_peer_t *peer,
                               const mta_events_t *events, void *baton,
                               apr_pool_t *p);
/** Only in or after on_ready(). job and all in it live until on_done(). */
void mta_client_send(mta_client_t *client, mta_job_t *job);
/** Say QUIT; on_end() comes with the answer to it, or after two seconds. Not
 * with a job under way. */
void mta_client_quit(mta_client_t *client);
/** Say QUIT and go; no callback any more. */
void mta_client_finish(mta_client_t *client);
/** Go; no callback any more. A job is simply forgotten. */
void mta_client_close(mta_client_t *client);
/** End a job that takes too long: results 499, then on_end(). */
void mta_client_abort(mta_client_t *client, const char *why);

const char *mta_client_host(const mta_client_t *client);
int mta_client_served(const mta_client_t *client); /* jobs ended well */
const mta_via_t *mta_client_via(const mta_client_t *client);

/* RFC 5321 4.5.3.2, in seconds; a test may shorten them all. */
typedef struct {
    int connect, greeting, hello, mail, rcpt, data, block, end, idle;
} mta_timeouts_t;
extern mta_timeouts_t mta_timeouts;
#define MTA_TIMEOUTS_RFC { 30, 300, 300, 300, 300, 120, 180, 600, 300 }
#endif
