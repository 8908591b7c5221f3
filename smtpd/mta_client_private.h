/* mta_client_private.h - what the client's files share. */
#ifndef MTA_CLIENT_PRIVATE_H
#define MTA_CLIENT_PRIVATE_H

#include <apr_strings.h>

#include "mta_client.h"

enum {
    CAP_PIPELINING = 1, CAP_SIZE = 2, CAP_8BITMIME = 4, CAP_SMTPUTF8 = 8,
    CAP_STARTTLS = 16, CAP_CHUNKING = 32, CAP_DSN = 64
};

typedef enum {
    S_CONNECT, S_GREETING, S_HELLO, S_HELO, S_STARTTLS, S_TLS, S_READY,
    S_MAIL, S_RCPT, S_DATA, S_BODY, S_DOT, S_CHUNKS, S_LAST, S_RSET, S_QUIT,
    S_END, S_MAX
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
    mta_tls_need_t need, least;
    const dns_tlsa_t *tlsa;
    int ntlsa;
    int in_tls;             /* from the handshake's beginning */
    mta_via_t via;
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
    int chunking;           /* this job goes in chunks */
    char *chunk;            /* what is collected for the next one */
    apr_size_t chunk_len, chunk_size;
    int chunks_out;         /* said and not answered */
    loop_timer_t *later;    /* the content is not ready: asks again */
};

/* mta_client.c */

/** The one place where a client changes state. */
void mta_enter(mta_client_t *c, state_t next);
/** Shut, and told to the owner. */
void mta_end(mta_client_t *c, mta_end_t why, const mta_reply_t *reply);
/** Lost, timed out, or nonsense received: the end, whatever that means here.
 * @param enhanced  the code's class is 4 */
void mta_fail(mta_client_t *c, const char *enhanced, const char *what);
/** Greeted, secured, or done with a job: the next may come. */
void mta_ready(mta_client_t *c);
/** The connection cannot go on: the job's results, then the end. */
void mta_end_in_job(mta_client_t *c, const mta_reply_t *reply);
/** @param reset  the server still has an open transaction: say RSET */
void mta_finish_job(mta_client_t *c, int reset);
void mta_give_result(mta_client_t *c, mta_rcpt_t *rcpt, mta_stage_t stage,
                     const mta_reply_t *reply);
void mta_give_result_to_rest(mta_client_t *c, mta_stage_t stage,
                             const mta_reply_t *reply);

/* mta_hello.c */
void mta_on_greeting_reply(mta_client_t *c);
void mta_say_hello(mta_client_t *c);
/** One line of the answer to EHLO, from the second on. */
void mta_learn_capability(mta_client_t *c, const char *s, apr_size_t len);
void mta_on_hello_reply(mta_client_t *c);
void mta_say_helo(mta_client_t *c);
void mta_on_helo_reply(mta_client_t *c);

/* mta_tls.c */

/** In clear, and that will not do: says so and ends. @return 0: it will */
int mta_tls_missing(mta_client_t *c);
void mta_say_starttls(mta_client_t *c);
void mta_on_starttls_reply(mta_client_t *c);
void mta_say_tls(mta_client_t *c);
/** The handshake is done: is it what was needed? */
void mta_on_tls(mta_client_t *c);
/** The handshake, or the first words after it, failed. */
void mta_tls_failed(mta_client_t *c, const mta_reply_t *reply);

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
/** The content is not ready: say it in the next turn. */
void mta_ask_later(mta_client_t *c);
void mta_on_body_reply(mta_client_t *c);
void mta_begin_dot(mta_client_t *c);
void mta_on_dot_reply(mta_client_t *c);

/* mta_chunks.c */
void mta_begin_chunks(mta_client_t *c);
void mta_say_chunks(mta_client_t *c);
void mta_on_chunks_reply(mta_client_t *c);
void mta_on_last_reply(mta_client_t *c);
/** The job ends in the middle. */
void mta_chunks_forget(mta_client_t *c);
#endif
