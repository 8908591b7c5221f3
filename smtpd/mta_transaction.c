/* mta_transaction.c - the client's transaction: MAIL, RCPT, DATA, content
 * (RFC 5321 3.3, RFC 2033 4.2 for LMTP's replies).
 *
 * Where the server pipelines, mta_say_mail() says MAIL, all RCPTs and (but for
 * chunks, mta_chunks.c) DATA in one go and sets `ahead`: the states that follow then only listen. When MAIL
 * or all RCPTs fail, what was said ahead is still answered: `drain` marks that
 * those answers decide nothing any more, and a 354 that comes all the same is
 * answered by a lone dot (RFC 2920 3.1).
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_status.h"
#include "mta_client_private.h"

#define BODY_A_TURN (512 * 1024)
#define DSN_VALUE_MAX 500     /* RFC 3461 4.2 */

static int is_ascii(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s > 127)
            return 0;
    return 1;
}

/* What this server cannot take is decided here, without asking it. */
void mta_refuse_at_home(mta_client_t *c)
{
    mta_job_t *job = c->job;
    mta_reply_t reply;
    int i;

    if (c->max_size > 0 && job->size > c->max_size) {
        mta_reply_set(&reply, "552 5.3.4 message of %" APR_INT64_T_FMT
                      " octets is over the limit of %s, %" APR_INT64_T_FMT,
                      job->size, c->where, c->max_size);
        mta_give_result_to_rest(c, MTA_AT_HOME, &reply);
        return;
    }
    if (c->caps & CAP_SMTPUTF8)
        return;
    mta_reply_set(&reply, "553 5.6.7 %s does not offer SMTPUTF8, which this "
                  "address needs", c->where);
    if (!is_ascii(job->sender)) {
        mta_give_result_to_rest(c, MTA_AT_HOME, &reply);
        return;
    }
    for (i = 0; i < job->nrcpts; i++)
        if (!is_ascii(job->rcpts[i].address))
            mta_give_result(c, &job->rcpts[i], MTA_AT_HOME, &reply);
}

static int needs_utf8(const mta_job_t *job)
{
    int i;

    if (!is_ascii(job->sender))
        return 1;
    for (i = 0; i < job->nrcpts; i++)
        if (!job->rcpts[i].done && !is_ascii(job->rcpts[i].address))
            return 1;
    return 0;
}

/* The next recipient from `from` on that is to be said or was said. */
int mta_next_rcpt(const mta_job_t *job, int from)
{
    while (from < job->nrcpts && !job->rcpts[from].said
           && job->rcpts[from].done)
        from++;
    return from;
}

/* " NAME=value" of DSN (RFC 3461 4), where it is offered. A value that would
 * not be one word on the wire is left out. */
static void say_dsn(mta_client_t *c, const char *name, const char *value)
{
    const char *v;

    if (!value || !*value || !(c->caps & CAP_DSN))
        return;
    for (v = value; *v; v++)
        if (*v <= 0x20 || *v > 0x7e)
            return;
    if (v - value > DSN_VALUE_MAX)
        return;
    conn_write(c->conn, name, strlen(name));
    conn_write(c->conn, value, (apr_size_t)(v - value));
}

static void say_one_rcpt(mta_client_t *c, mta_rcpt_t *rcpt)
{
    rcpt->said = 1;
    conn_write(c->conn, "RCPT TO:<", 9);
    conn_write(c->conn, rcpt->address, strlen(rcpt->address));
    conn_write(c->conn, ">", 1);
    say_dsn(c, " NOTIFY=", rcpt->notify);
    say_dsn(c, " ORCPT=", rcpt->orcpt);
    conn_write(c->conn, "\r\n", 2);
}

void mta_say_mail(mta_client_t *c)
{
    mta_job_t *job = c->job;
    char size[40] = "";
    int i;

    if ((c->caps & CAP_SIZE) && job->size > 0)
        apr_snprintf(size, sizeof(size), " SIZE=%" APR_INT64_T_FMT,
                     job->size);
    conn_write(c->conn, "MAIL FROM:<", 11);
    conn_write(c->conn, job->sender, strlen(job->sender));
    conn_printf(c->conn, ">%s%s%s", size,
                job->eight_bit && (c->caps & CAP_8BITMIME)
                    ? " BODY=8BITMIME" : "",
                (c->caps & CAP_SMTPUTF8) && needs_utf8(job)
                    ? " SMTPUTF8" : "");
    say_dsn(c, " RET=", job->dsn_ret);
    say_dsn(c, " ENVID=", job->dsn_envid);
    conn_write(c->conn, "\r\n", 2);
    c->ahead = (c->caps & CAP_PIPELINING) != 0;
    if (!c->ahead)
        return;
    for (i = mta_next_rcpt(job, 0); i < job->nrcpts;
         i = mta_next_rcpt(job, i + 1))
        say_one_rcpt(c, &job->rcpts[i]);
    if (!c->chunking)
        conn_write(c->conn, "DATA\r\n", 6);
}

void mta_on_mail_reply(mta_client_t *c)
{
    if (mta_reply_class(&c->reply) != MTA_GOOD) {
        mta_give_result_to_rest(c, MTA_AT_MAIL, &c->reply);
        if (!c->ahead) {
            mta_finish_job(c, 1);
            return;
        }
        c->drain = 1;
    }
    c->rcpt = mta_next_rcpt(c->job, 0);
    mta_enter(c, S_RCPT);
}

void mta_say_rcpt(mta_client_t *c)
{
    if (!c->ahead)
        say_one_rcpt(c, &c->job->rcpts[c->rcpt]);
}

void mta_on_rcpt_reply(mta_client_t *c)
{
    mta_rcpt_t *rcpt = &c->job->rcpts[c->rcpt];

    if (mta_reply_class(&c->reply) != MTA_GOOD)
        mta_give_result(c, rcpt, MTA_AT_RCPT, &c->reply);
    else if (!c->drain) {
        rcpt->accepted = 1;
        c->accepted++;
    }
    c->rcpt = mta_next_rcpt(c->job, c->rcpt + 1);
    if (c->rcpt < c->job->nrcpts)
        mta_enter(c, S_RCPT);
    else if (c->accepted == 0 && (!c->ahead || c->chunking))
        mta_finish_job(c, 1);
    else if (c->chunking)
        mta_enter(c, S_CHUNKS);
    else {
        c->drain = c->accepted == 0;
        mta_enter(c, S_DATA);
    }
}

void mta_say_data(mta_client_t *c)
{
    if (!c->ahead)
        conn_write(c->conn, "DATA\r\n", 6);
}

void mta_on_data_reply(mta_client_t *c)
{
    int class = mta_reply_class(&c->reply);

    if (class == MTA_GOOD) {
        mta_fail(c, "4.5.0", "DATA was answered with a 2xx");
        return;
    }
    if (class != MTA_GO_ON) {
        mta_give_result_to_rest(c, MTA_AT_DATA, &c->reply);
        mta_finish_job(c, 1);
        return;
    }
    mta_enter(c, c->drain ? S_DOT : S_BODY);
}

/* An answer before the content's end: it has made up its mind. */
void mta_on_body_reply(mta_client_t *c)
{
    if (mta_reply_class(&c->reply) < MTA_TEMPORARY)
        mta_fail(c, "4.5.0", "an answer came before the end of the content");
    else
        mta_end_in_job(c, &c->reply);
}

/* A line that begins with a dot gets another (RFC 5321 4.5.2). */
static void write_stuffed(mta_client_t *c, const char *p, apr_size_t len)
{
    const char *end_ = p + len, *hit;

    if (len == 0)
        return;
    if (c->at_bol && *p == '.')
        conn_write(c->conn, ".", 1);
    while ((hit = memmem(p, (apr_size_t)(end_ - p), "\n.", 2)) != NULL) {
        conn_write(c->conn, p, (apr_size_t)(hit + 1 - p));
        conn_write(c->conn, ".", 1);
        p = hit + 1;
    }
    conn_write(c->conn, p, (apr_size_t)(end_ - p));
    c->at_bol = end_[-1] == '\n';
}

void mta_begin_body(mta_client_t *c)
{
    c->at_bol = 1;
    c->all_read = 0;
    mta_say_body(c);
}

static void on_later(loop_t *loop, void *baton)
{
    mta_client_t *c = baton;

    (void)loop;
    c->later = NULL;
    if (c->state == S_BODY)
        mta_say_body(c);
    else if (c->state == S_CHUNKS)
        mta_say_chunks(c);
}

void mta_ask_later(mta_client_t *c)
{
    if (!c->later)
        c->later = loop_timer_set(c->loop, 0, on_later, c);
}

/* Called again whenever the buffer is drained: a message of 25 MB passes
 * through, it never sits in memory; and it goes BODY_A_TURN octets at a time,
 * or a remote that takes them as fast as we read them would have us for
 * itself. */
void mta_say_body(mta_client_t *c)
{
    apr_size_t said = 0;

    while (!c->all_read && said < BODY_A_TURN
           && conn_pending(c->conn) < CONN_HIGH_WATER) {
        const char *bytes = NULL;
        apr_size_t len = 0;
        apr_status_t rv = c->job->read(&bytes, &len, c->job->baton);

        if (rv == APR_EOF)
            c->all_read = 1;
        else if (rv == APR_SUCCESS) {
            write_stuffed(c, bytes, len);
            said += len;
        }
        else if (APR_STATUS_IS_EAGAIN(rv)) {
            mta_ask_later(c);
            return;
        }
        else {
            mta_reply_set(&c->reply, "451 4.3.0 the message could not be "
                          "read from our store");
            mta_give_result_to_rest(c, MTA_AT_HOME, &c->reply);
            mta_end_in_job(c, &c->reply);
            return;
        }
    }
    if (c->all_read) {
        if (!c->at_bol)
            conn_write(c->conn, "\r\n", 2);
        mta_enter(c, S_DOT);
    }
}

void mta_begin_dot(mta_client_t *c)
{
    conn_write(c->conn, ".\r\n", 3);
    c->rcpt = -1;
}

void mta_on_dot_reply(mta_client_t *c)
{
    mta_job_t *job = c->job;
    int i, left = 0;

    if (c->drain) { /* the lone dot */
        mta_finish_job(c, 1);
        return;
    }
    if (mta_reply_class(&c->reply) == MTA_GO_ON) {
        mta_fail(c, "4.5.0", "the content was answered with a 3xx");
        return;
    }
    for (i = 0; i < job->nrcpts; i++) {
        if (!job->rcpts[i].accepted || job->rcpts[i].done)
            continue;
        if (c->protocol == MTA_LMTP && left++ > 0)
            break; /* RFC 2033 4.2: one reply for each, in their order */
        mta_give_result(c, &job->rcpts[i], MTA_AT_END, &c->reply);
    }
    if (left < 2)
        mta_finish_job(c, 0);
}
