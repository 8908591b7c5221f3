/* mta_client_private.h - what mta_client.c and mta_transaction.c share. */
#ifndef MTA_CLIENT_PRIVATE_H
#define MTA_CLIENT_PRIVATE_H

#include "mta_client.h"

enum {
    CAP_PIPELINING = 1, CAP_SIZE = 2, CAP_8BITMIME = 4, CAP_SMTPUTF8 = 8,
    CAP_STARTTLS = 16
};

typedef enum {
    S_CONNECT, S_GREETING, S_HELLO, S_HELO, S_STARTTLS, S_TLS, S_READY,
    S_MAIL, S_RCPT, S_DATA, S_BODY, S_DOT, S_RSET, S_QUIT, S_END, S_MAX
} state_t;

struct mta_client_t {
    loop_t *loop;
    apr_pool_t *pool;
    const mta_events_t *events;
    void *baton;
    conn_t *conn;
    state_t state;
    mta_protocol_t protocol;
    const char *host;
    const char *where;      /* "mx.example[192.0.2.1]:25" */
    const char *hello;
    SSL_CTX *tls;
    int in_tls;
    int caps;
    apr_int64_t max_size;   /* of SIZE; 0: none told */
    int served;
    mta_reply_t reply;      /* the one that is being read */

    mta_job_t *job;
    int rcpt;               /* whose reply is next */
    int accepted;           /* RCPTs taken in this job */
    int ahead, drain;
    int at_bol;             /* the content stands at the beginning of a line */
    int all_read;
};

/* mta_client.c */

/** The one place where a client changes state. */
void mta_enter(mta_client_t *c, state_t next);
/** Lost, timed out, or nonsense received: the end, whatever that means here.
 * @param enhanced  the code's class is 4 */
void mta_fail(mta_client_t *c, const char *enhanced, const char *what);
/** The connection cannot go on: the job's results, then the end. */
void mta_end_in_job(mta_client_t *c, const mta_reply_t *reply);
/** @param reset  the server still has an open transaction: say RSET */
void mta_finish_job(mta_client_t *c, int reset);
void mta_give_result(mta_client_t *c, mta_rcpt_t *rcpt, mta_stage_t stage,
                     const mta_reply_t *reply);
void mta_give_result_to_rest(mta_client_t *c, mta_stage_t stage,
                             const mta_reply_t *reply);

/* mta_transaction.c */

/** What this server cannot take gets its results. */
void mta_refuse_at_home(mta_client_t *c);
/** The next recipient from `from` on that is to be said or was said. */
int mta_next_rcpt(const mta_job_t *job, int from);
void mta_say_mail(mta_client_t *c);
void mta_on_mail_reply(mta_client_t *c);
void mta_say_rcpt(mta_client_t *c);
void mta_on_rcpt_reply(mta_client_t *c);
void mta_say_data(mta_client_t *c);
void mta_on_data_reply(mta_client_t *c);
void mta_begin_body(mta_client_t *c);
void mta_say_body(mta_client_t *c);
void mta_on_body_reply(mta_client_t *c);
void mta_begin_dot(mta_client_t *c);
void mta_on_dot_reply(mta_client_t *c);
#endif
