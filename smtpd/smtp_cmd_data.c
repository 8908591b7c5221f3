/* smtp_cmd_data.c - DATA, and what comes of it (RFC 5321 4.1.1.4). */
#include "mg_fault.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "smtp_session.h"
#include "smtp_spam.h"
#include "smtp_verify.h"

void smtp_cmd_data(smtp_session_t *s, const char *args)
{
    if (*args != '\0') {
        smtp_reply(s, SAY_NO_ARGUMENTS, NULL);
        return;
    }
    if (s->state != S_RCPT) {
        /* a pipelined group whose recipients were all refused: RFC 2920 3.1 */
        smtp_reply(s, s->tx->refused ? SAY_NO_RECIPIENTS : SAY_RCPT_FIRST,
                   NULL);
        return;
    }
    smtp_tx_begin_body(s->tx);
    s->content_since = mg_ticks();
    smtp_session_enter(s, S_DATA);
    smtp_reply(s, SAY_GO_AHEAD, NULL);
}

smtp_reply_t smtp_data_verdict(const smtp_body_t *body)
{
    if (body->failed != APR_SUCCESS)
        mg_log(MG_LOG_ERR, body->failed, "cannot spool a message in %s",
               body->spool_dir);
    if (body->bare)
        return SAY_BARE_NEWLINE;
    if (body->nul)
        return SAY_NUL;
    if (body->too_big)
        return SAY_TOO_BIG;
    if (body->failed == MG_EFULL)
        return SAY_NO_SPACE;
    return body->failed == APR_SUCCESS ? SAY_OK : SAY_SPOOL;
}

static void refuse_message(smtp_session_t *s, smtp_reply_t reply)
{
    smtp_refused_message(s, reply);
    smtp_refuse(s, reply, s->tx->why);
    smtp_session_reset(s);
    smtp_session_enter(s, S_READY);
}

/* @return 1: it goes to the commit; 0: it was refused */
static int decide(smtp_session_t *s)
{
    smtp_reply_t reply = smtp_tx_finish(s->tx);

    if (reply != SAY_OK) {
        refuse_message(s, reply);
        return 0;
    }
    smtp_rate_taken(s, 1, 0);
    smtp_session_enter(s, S_COMMIT);
    smtp_commit_add(s);
    return 1;
}

/* For somebody else's answer. */
static void wait_elsewhere(smtp_session_t *s)
{
    if (s->state == S_COMMIT)
        return;
    smtp_session_enter(s, S_COMMIT);
    smtp_commit_elsewhere(s);
}

/* @return as decide(), or 1 while spamd is asked */
static int look_for_spam(smtp_session_t *s)
{
    if (!s->tx->incoming || !smtp_spam_check(s->tx))
        return decide(s);
    wait_elsewhere(s);
    return 1;
}

void smtp_data_end(smtp_session_t *s)
{
    smtp_reply_t reply = smtp_data_verdict(&s->tx->body);

    if (reply == SAY_OK)
        reply = smtp_tx_read(s->tx);
    if (reply != SAY_OK) {
        refuse_message(s, reply);
        return;
    }
    if (s->tx->incoming && smtp_verify_check(s->tx)) {
        wait_elsewhere(s);
        return;
    }
    look_for_spam(s);
}

void smtp_data_verified(smtp_session_t *s)
{
    s->heard = mg_ticks();
    if (!look_for_spam(s))
        smtp_session_run(s);
}

void smtp_data_checked(smtp_session_t *s)
{
    s->heard = mg_ticks(); /* it is we who let it wait */
    if (!decide(s))
        smtp_session_run(s);
}

int smtp_data_input(smtp_session_t *s)
{
    apr_size_t len;
    const char *in = conn_peek(s->conn, &len);

    if (len == 0)
        return 0;
    conn_skip(s->conn, smtp_body_feed(&s->tx->body, in, len));
    if (s->tx->body.state != BODY_END)
        return 0;
    smtp_data_end(s);
    return 1;
}

static smtp_reply_t commit_verdict(apr_status_t rv)
{
    if (rv == MG_EBADINPUT)
        return SAY_OPTIONS;
    return rv == MG_EFULL ? SAY_NO_SPACE : SAY_TRY_LATER;
}

static void log_accepted(const smtp_session_t *s)
{
    const smtp_tx_t *tx = s->tx;
    int i;

    for (i = 0; i < tx->shares->nelts; i++) {
        const smtp_share_t *share = APR_ARRAY_IDX(tx->shares, i,
                                                  smtp_share_t *);

        mg_log(MG_LOG_INFO, APR_SUCCESS,
               "smtp accepted: domain=%s id=%" APR_INT64_T_FMT
               " message-id=<%s> size=%" APR_INT64_T_FMT
               " deliveries=%d client=[%s] login=%s from=<%s>",
               share->domain, share->message.id, share->message.message_id,
               tx->size, share->envelopes->nelts, conn_peer_ip(s->conn),
               s->authenticated ? s->login.login : "", tx->sender);
    }
}

void smtp_data_committed(smtp_session_t *s, apr_status_t rv)
{
    worker_t *worker = s->server->worker;

    if (rv == APR_SUCCESS) {
        (void)MG_FAULT("receiver.reply.before");
        smtp_reply(s, SAY_QUEUED, smtp_tx_name(s->tx));
        log_accepted(s);
        smtp_spam_log(s);
        mg_shared_add(worker->shared, worker->slot, MG_GAUGE_ACCEPTED,
                      s->tx->shares->nelts);
        s->errors = s->idles = 0;
    }
    else {
        smtp_refuse(s, commit_verdict(rv), s->tx->why);
    }
    smtp_session_reset(s);
    smtp_session_enter(s, S_READY);
    smtp_session_run(s);
}
