/* test_mta_client.c - the SMTP and LMTP client against scripted servers.
 *
 * A case is a transcript: "S: " lines the server says, "C: " lines the client
 * must say; "DROP" closes, "HANG" lets the client's time-out come, "RAW x"
 * sends x as it is. What the owner was told is compared as text:
 * ready|, bob=250@end|, done|, lost: 499 ...|
 */
#include "unit_pool.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mg_status.h"
#include "mg_time.h"
#include "mta_client.h"
#include "tls.h"
#include "unit_cert.h"

static loop_t *loop;

typedef struct {
    apr_pool_t *p;
    mta_client_t *client;
    mta_job_t jobs[3];
    mta_rcpt_t rcpts[3][4];
    int njobs, next;
    const char *body;
    int body_at, body_parts, body_error;
    int ended;
    char told[8192], words[1001];
} owner_t;

static void tell(owner_t *o, const char *fmt, ...)
{
    apr_size_t len = strlen(o->told);
    va_list ap;

    va_start(ap, fmt);
    apr_vsnprintf(o->told + len, sizeof(o->told) - len, fmt, ap);
    va_end(ap);
}

static void on_ready(mta_client_t *client, void *baton)
{
    owner_t *o = baton;

    tell(o, "ready%s|", mta_client_via(client)->tls ? "+tls" : "");
    if (o->next < o->njobs) {
        o->body_at = 0;
        mta_client_send(client, &o->jobs[o->next++]);
    }
}

static void on_result(mta_client_t *client, mta_job_t *job, mta_rcpt_t *rcpt,
                      mta_stage_t stage, const mta_reply_t *reply,
                      void *baton)
{
    static const char *const stages[] = { "mail", "rcpt", "data", "end",
                                          "home" };

    (void)client;
    (void)job;
    tell(baton, "%s=%d@%s|", (const char *)rcpt->baton, reply->code,
         stages[stage]);
}

static void on_done(mta_client_t *client, mta_job_t *job, void *baton)
{
    (void)client;
    (void)job;
    tell(baton, "done|");
}

static void on_end(mta_client_t *client, mta_end_t why, mta_job_t *job,
                   const mta_reply_t *reply, void *baton)
{
    static const char *const whys[] = { "connect", "refused", "tls", "policy",
                                        "idle", "stale", "lost" };
    owner_t *o = baton;

    (void)client;
    assert_true((job != NULL) == (why == MTA_END_STALE));
    tell(o, "%s %d", whys[why], reply->code);
    apr_cpystrn(o->words, reply->text, sizeof(o->words));
    o->ended = 1;
}

static const mta_events_t events = { on_ready, on_result, on_done, on_end };

static apr_status_t read_body(const char **pbytes, apr_size_t *plen,
                              void *baton)
{
    owner_t *o = baton;

    if (o->body_error)
        return MG_EIO;
    if (o->body_at++ >= o->body_parts)
        return APR_EOF;
    *pbytes = o->body;
    *plen = strlen(o->body);
    return APR_SUCCESS;
}

/* recipients: "bob,eve": <bob@b.test>, <eve@b.test> */
static void add_job(owner_t *o, const char *recipients)
{
    mta_job_t *job = &o->jobs[o->njobs];
    char *last, *name, *list = apr_pstrdup(o->p, recipients);

    job->sender = "me@a.test";
    job->rcpts = o->rcpts[o->njobs++];
    job->read = read_body;
    job->baton = o;
    for (name = apr_strtok(list, ",", &last); name;
         name = apr_strtok(NULL, ",", &last)) {
        job->rcpts[job->nrcpts].baton = name;
        job->rcpts[job->nrcpts++].address =
            apr_pstrcat(o->p, name, "@b.test", NULL);
    }
}

typedef struct {
    const char *name;
    mta_protocol_t protocol;
    const char *jobs[3];
    const char *script;
    const char *told;
    int flags;
} case_t;

enum { EIGHT_BIT = 1, SIZED = 2, BODY_ERROR = 4, NULL_SENDER = 8,
       WITH_DSN = 16, HOSTILE_DSN = 32 };

#define HELLO "S: 220 mx\nC: EHLO us\nS: 250 mx\n"
#define HELLO_PIPE "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250 PIPELINING\n"
#define SAID "C: MAIL FROM:<me@a.test>\nC: RCPT TO:<bob@b.test>\nC: DATA\n"
#define HELLO_CHUNKS \
    "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250-CHUNKING\nS: 250 PIPELINING\n"
#define SAID_CHUNKS "C: MAIL FROM:<me@a.test>\nC: RCPT TO:<bob@b.test>\n"
#define CHUNK "C: BDAT 20 LAST\nC: Subject: x\nC: \nC: .dot\n"
#define BODY "C: Subject: x\nC: \nC: ..dot\nC: .\n"

static const case_t cases[] = {
    { "delivered, one step at a time", MTA_SMTP, { "bob" },
      HELLO "C: MAIL FROM:<me@a.test>\nS: 250 ok\n"
      "C: RCPT TO:<bob@b.test>\nS: 250 ok\nC: DATA\nS: 354 go\n" BODY
      "S: 250 2.0.0 queued\n",
      "ready|bob=250@end|done|ready|", 0 },
    { "delivered, pipelined", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250 ok\nS: 250 ok\nS: 354 go\n" BODY "S: 250 ok\n",
      "ready|bob=250@end|done|ready|", 0 },
    { "two messages, no RSET between", MTA_SMTP, { "bob", "eve" },
      HELLO_PIPE SAID "S: 250 ok\nS: 250 ok\nS: 354 go\n" BODY "S: 250 ok\n"
      "C: MAIL FROM:<me@a.test>\nC: RCPT TO:<eve@b.test>\nC: DATA\n"
      "S: 250 ok\nS: 250 ok\nS: 354 go\n" BODY "S: 250 ok\n",
      "ready|bob=250@end|done|ready|eve=250@end|done|ready|", 0 },
    { "parameters", MTA_SMTP, { "bob" },
      "S: 220 mx\nC: EHLO us\nS: 250-mx hello\nS: 250-SIZE 1000\n"
      "S: 250-smtputf8\nS: 250 8BITMIME\n"
      "C: MAIL FROM:<me@a.test> SIZE=999 BODY=8BITMIME\nS: 550 no\nC: RSET\n"
      "S: 250 ok\n",
      "ready|bob=550@mail|done|ready|", EIGHT_BIT | SIZED },
    { "too large for it", MTA_SMTP, { "bob" },
      "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250 SIZE 998\n",
      "ready|bob=552@home|done|ready|", SIZED },
    { "null sender", MTA_SMTP, { "bob" },
      HELLO "C: MAIL FROM:<>\nS: 451 later\nC: RSET\nS: 250\n",
      "ready|bob=451@mail|done|ready|", NULL_SENDER },
    { "SMTPUTF8 not offered", MTA_SMTP, { "b\xc3\xb6" "b,bob" },
      HELLO "C: MAIL FROM:<me@a.test>\nS: 250\nC: RCPT TO:<bob@b.test>\n"
      "S: 250\nC: DATA\nS: 354\n" BODY "S: 250\n",
      "ready|b\xc3\xb6" "b=553@home|bob=250@end|done|ready|", 0 },
    { "SMTPUTF8 not offered to the only one", MTA_SMTP, { "b\xc3\xb6" "b" },
      HELLO, "ready|b\xc3\xb6" "b=553@home|done|ready|", 0 },
    { "SMTPUTF8", MTA_SMTP, { "b\xc3\xb6" "b" },
      "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250 SMTPUTF8\n"
      "C: MAIL FROM:<me@a.test> SMTPUTF8\nS: 250\n"
      "C: RCPT TO:<b\xc3\xb6" "b@b.test>\nS: 250\nC: DATA\nS: 354\n" BODY
      "S: 250\n",
      "ready|b\xc3\xb6" "b=250@end|done|ready|", 0 },
    { "HELO where EHLO is unknown", MTA_SMTP, { "bob" },
      "S: 220 mx\nC: EHLO us\nS: 502 what\nC: HELO us\nS: 250 mx\n"
      "C: MAIL FROM:<me@a.test>\nDROP\n",
      "ready|bob=499@mail|done|lost 499", 0 },

    /* greeting and EHLO */
    { "greeting 4xx", MTA_SMTP, { "bob" }, "S: 421 busy\n", "refused 421", 0 },
    { "greeting 5xx", MTA_SMTP, { "bob" }, "S: 554-no\nS: 554 never\n",
      "refused 554", 0 },
    { "greeting of many lines", MTA_SMTP, { "" },
      "S: 220-a\nS: 220-b\nS: 220 c\nC: EHLO us\nS: 250 mx\n", "ready|", 0 },
    { "greeting is garbage", MTA_SMTP, { "bob" }, "S: SSH-2.0-x\n",
      "connect 499", 0 },
    { "no greeting", MTA_SMTP, { "bob" }, "DROP\n", "connect 499", 0 },
    { "greeting never comes", MTA_SMTP, { "bob" }, "HANG\n", "connect 499",
      0 },
    { "EHLO 4xx", MTA_SMTP, { "bob" }, "S: 220 mx\nC: EHLO us\nS: 451 no\n",
      "refused 451", 0 },
    { "EHLO and HELO refused", MTA_SMTP, { "bob" },
      "S: 220 mx\nC: EHLO us\nS: 550 no\nC: HELO us\nS: 550 no\n",
      "refused 550", 0 },
    { "EHLO dropped", MTA_SMTP, { "bob" }, "S: 220 mx\nC: EHLO us\nDROP\n",
      "connect 499", 0 },
    { "a bare LF is a line end too", MTA_SMTP, { "" },
      "RAW 220 mx\nC: EHLO us\nS: 250 mx\n", "ready|", 0 },

    /* MAIL */
    { "MAIL 5xx, pipelined: a lone dot answers the 354", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 550 no\nS: 250 ok\nS: 354 go\nC: .\nS: 250 ok\n"
      "C: RSET\nS: 250 ok\n",
      "ready|bob=550@mail|done|ready|", 0 },
    { "MAIL 4xx, pipelined", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 451 no\nS: 503 no\nS: 503 no\nC: RSET\nS: 250\n",
      "ready|bob=451@mail|done|ready|", 0 },
    { "MAIL 421", MTA_SMTP, { "bob" }, HELLO_PIPE SAID "S: 421 bye\n",
      "ready|bob=421@mail|done|lost 421", 0 },
    { "MAIL dropped", MTA_SMTP, { "bob" }, HELLO_PIPE SAID "DROP\n",
      "ready|bob=499@mail|done|lost 499", 0 },
    { "MAIL: garbage", MTA_SMTP, { "bob" }, HELLO_PIPE SAID "S: what?\n",
      "ready|bob=499@mail|done|lost 499", 0 },
    { "MAIL hangs", MTA_SMTP, { "bob" }, HELLO_PIPE SAID "HANG\n",
      "ready|bob=499@mail|done|lost 499", 0 },
    { "second MAIL dropped: taken back", MTA_SMTP, { "bob", "eve" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 354\n" BODY "S: 250\n"
      "C: MAIL FROM:<me@a.test>\nDROP\n",
      "ready|bob=250@end|done|ready|stale 499", 0 },
    { "second MAIL 421: taken back", MTA_SMTP, { "bob", "eve" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 354\n" BODY "S: 250\n"
      "C: MAIL FROM:<me@a.test>\nS: 421 enough\n",
      "ready|bob=250@end|done|ready|stale 421", 0 },

    /* RCPT */
    { "mixed recipients", MTA_SMTP, { "bob,eve,joe" },
      HELLO_PIPE "C: MAIL FROM:<me@a.test>\nC: RCPT TO:<bob@b.test>\n"
      "C: RCPT TO:<eve@b.test>\nC: RCPT TO:<joe@b.test>\nC: DATA\n"
      "S: 250\nS: 250\nS: 550-5.1.1 no\nS: 550 5.1.1 way\nS: 451 later\n"
      "S: 354\n" BODY "S: 250\n",
      "ready|eve=550@rcpt|joe=451@rcpt|bob=250@end|done|ready|", 0 },
    { "no recipient taken, not pipelined: no DATA", MTA_SMTP, { "bob,eve" },
      HELLO "C: MAIL FROM:<me@a.test>\nS: 250\nC: RCPT TO:<bob@b.test>\n"
      "S: 550\nC: RCPT TO:<eve@b.test>\nS: 450\nC: RSET\nS: 250\n",
      "ready|bob=550@rcpt|eve=450@rcpt|done|ready|", 0 },
    { "no recipient taken, pipelined, DATA refused", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 550\nS: 554 no valid recipients\nC: RSET\n"
      "S: 250\n",
      "ready|bob=550@rcpt|done|ready|", 0 },
    { "no recipient taken, pipelined, 354 all the same", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 550\nS: 354 go\nC: .\nS: 554 none\n"
      "C: RSET\nS: 250\n",
      "ready|bob=550@rcpt|done|ready|", 0 },
    { "RCPT 421", MTA_SMTP, { "bob,eve" },
      HELLO "C: MAIL FROM:<me@a.test>\nS: 250\nC: RCPT TO:<bob@b.test>\n"
      "S: 421 bye\n",
      "ready|bob=421@rcpt|eve=421@rcpt|done|lost 421", 0 },
    { "RCPT dropped", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nDROP\n",
      "ready|bob=499@rcpt|done|lost 499", 0 },

    /* DATA and content */
    { "DATA 4xx", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 451 later\nC: RSET\nS: 250\n",
      "ready|bob=451@data|done|ready|", 0 },
    { "DATA 5xx", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 554 no\nC: RSET\nS: 250\n",
      "ready|bob=554@data|done|ready|", 0 },
    { "DATA 250 is nonsense", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 250 what\n",
      "ready|bob=499@data|done|lost 499", 0 },
    { "dropped after 354", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 354 go\nDROP\n",
      "ready|bob=499@end|done|lost 499", 0 },
    { "content 4xx", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 354\n" BODY "S: 452 full\n",
      "ready|bob=452@end|done|ready|", 0 },
    { "content 5xx", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 354\n" BODY "S: 550 spam\n",
      "ready|bob=550@end|done|ready|", 0 },
    { "content 354 again", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 354\n" BODY "S: 354 again\n",
      "ready|bob=499@end|done|lost 499", 0 },
    { "dropped after the dot", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 354\n" BODY "DROP\n",
      "ready|bob=499@end|done|lost 499", 0 },
    { "hangs after the dot", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 354\n" BODY "HANG\n",
      "ready|bob=499@end|done|lost 499", 0 },
    { "our store fails", MTA_SMTP, { "bob" },
      HELLO_PIPE SAID "S: 250\nS: 250\nS: 354\n",
      "ready|bob=451@home|done|lost 451", BODY_ERROR },
    { "RSET refused", MTA_SMTP, { "bob", "eve" },
      HELLO "C: MAIL FROM:<me@a.test>\nS: 451\nC: RSET\nS: 500 what\n",
      "ready|bob=451@mail|done|idle 500", 0 },

    /* idle */
    { "says good-bye while idle", MTA_SMTP, { "" }, HELLO "S: 421 bye\n",
      "ready|idle 421", 0 },
    { "goes while idle", MTA_SMTP, { "" }, HELLO "DROP\n", "ready|idle 499",
      0 },

    /* STARTTLS */
    { "STARTTLS refused: in clear", MTA_SMTP, { "" },
      "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n"
      "S: 454 not now\n", "ready|", 0 },
    { "STARTTLS: no TLS follows", MTA_SMTP, { "" },
      "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n"
      "S: 220 go\nWAIT\nRAW 500 no such thing\n", "tls 499", 0 },
    { "STARTTLS: dropped", MTA_SMTP, { "" },
      "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n"
      "S: 220 go\nWAIT\nDROP\n", "tls 499", 0 },

    /* CHUNKING */
    { "one chunk", MTA_SMTP, { "bob" },
      HELLO_CHUNKS SAID_CHUNKS "S: 250 ok\nS: 250 ok\n" CHUNK
      "S: 250 2.0.0 queued\n",
      "ready|bob=250@end|done|ready|", 0 },
    { "two messages in chunks", MTA_SMTP, { "bob", "eve" },
      HELLO_CHUNKS SAID_CHUNKS "S: 250\nS: 250\n" CHUNK "S: 250\n"
      "C: MAIL FROM:<me@a.test>\nC: RCPT TO:<eve@b.test>\n"
      "S: 250\nS: 250\n" CHUNK "S: 250\n",
      "ready|bob=250@end|done|ready|eve=250@end|done|ready|", 0 },
    { "chunks, not pipelined", MTA_SMTP, { "bob,eve" },
      "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250 CHUNKING\n"
      "C: MAIL FROM:<me@a.test>\nS: 250\nC: RCPT TO:<bob@b.test>\nS: 250\n"
      "C: RCPT TO:<eve@b.test>\nS: 550 5.1.1 no\n" CHUNK "S: 250\n",
      "ready|eve=550@rcpt|bob=250@end|done|ready|", 0 },
    { "chunks, no recipient taken: none is said", MTA_SMTP, { "bob" },
      HELLO_CHUNKS SAID_CHUNKS "S: 250\nS: 550\nC: RSET\nS: 250\n",
      "ready|bob=550@rcpt|done|ready|", 0 },
    { "chunks, MAIL refused", MTA_SMTP, { "bob" },
      HELLO_CHUNKS SAID_CHUNKS "S: 451 no\nS: 503\nC: RSET\nS: 250\n",
      "ready|bob=451@mail|done|ready|", 0 },
    { "chunk 5xx", MTA_SMTP, { "bob" },
      HELLO_CHUNKS SAID_CHUNKS "S: 250\nS: 250\n" CHUNK
      "S: 552 5.2.2 full\nC: RSET\nS: 250\n",
      "ready|bob=552@end|done|ready|", 0 },
    { "chunk 354 is nonsense", MTA_SMTP, { "bob" },
      HELLO_CHUNKS SAID_CHUNKS "S: 250\nS: 250\n" CHUNK "S: 354 go\n",
      "ready|bob=499@end|done|lost 499", 0 },
    { "dropped after the chunk", MTA_SMTP, { "bob" },
      HELLO_CHUNKS SAID_CHUNKS "S: 250\nS: 250\n" CHUNK "DROP\n",
      "ready|bob=499@end|done|lost 499", 0 },
    { "hangs after the chunk", MTA_SMTP, { "bob" },
      HELLO_CHUNKS SAID_CHUNKS "S: 250\nS: 250\n" CHUNK "HANG\n",
      "ready|bob=499@end|done|lost 499", 0 },
    { "chunks: our store fails", MTA_SMTP, { "bob" },
      HELLO_CHUNKS SAID_CHUNKS "S: 250\nS: 250\n",
      "ready|bob=451@home|done|lost 451", BODY_ERROR },

    /* DSN */
    { "DSN", MTA_SMTP, { "bob" },
      "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250 DSN\n"
      "C: MAIL FROM:<me@a.test> RET=HDRS ENVID=QQ+2B314\nS: 250\n"
      "C: RCPT TO:<bob@b.test> NOTIFY=SUCCESS,DELAY "
      "ORCPT=rfc822;bob+2Bx@b.test\nS: 550\nC: RSET\nS: 250\n",
      "ready|bob=550@rcpt|done|ready|", WITH_DSN },
    { "DSN is not offered", MTA_SMTP, { "bob" },
      HELLO "C: MAIL FROM:<me@a.test>\nS: 250\n"
      "C: RCPT TO:<bob@b.test>\nS: 550\nC: RSET\nS: 250\n",
      "ready|bob=550@rcpt|done|ready|", WITH_DSN },
    { "DSN that would break out", MTA_SMTP, { "bob" },
      "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250 DSN\n"
      "C: MAIL FROM:<me@a.test> RET=HDRS\nS: 250\n"
      "C: RCPT TO:<bob@b.test>\nS: 550\nC: RSET\nS: 250\n",
      "ready|bob=550@rcpt|done|ready|", WITH_DSN | HOSTILE_DSN },

    /* LMTP: a reply for each recipient that was taken */
    { "LMTP: no chunks", MTA_LMTP, { "bob" },
      "S: 220 mx\nC: LHLO us\nS: 250-mx\nS: 250-PIPELINING\n"
      "S: 250 CHUNKING\n" SAID "S: 250\nS: 250\nS: 354\n" BODY "S: 250\n",
      "ready|bob=250@end|done|ready|", 0 },
    { "LMTP", MTA_LMTP, { "bob,eve,joe" },
      "S: 220 mx\nC: LHLO us\nS: 250-mx\nS: 250 PIPELINING\n"
      "C: MAIL FROM:<me@a.test>\nC: RCPT TO:<bob@b.test>\n"
      "C: RCPT TO:<eve@b.test>\nC: RCPT TO:<joe@b.test>\nC: DATA\n"
      "S: 250\nS: 250\nS: 550 no\nS: 250\nS: 354\n" BODY
      "S: 250 bob has it\nS: 452-4.2.2 joe\nS: 452 4.2.2 is full\n",
      "ready|eve=550@rcpt|bob=250@end|joe=452@end|done|ready|", 0 },
    { "LMTP dropped between replies", MTA_LMTP, { "bob,eve" },
      "S: 220 mx\nC: LHLO us\nS: 250 mx\nC: MAIL FROM:<me@a.test>\nS: 250\n"
      "C: RCPT TO:<bob@b.test>\nS: 250\nC: RCPT TO:<eve@b.test>\nS: 250\n"
      "C: DATA\nS: 354\n" BODY "S: 250 bob has it\nDROP\n",
      "ready|bob=250@end|eve=499@end|done|lost 499", 0 },
    { "LMTP: no HELO", MTA_LMTP, { "bob" },
      "S: 220 mx\nC: LHLO us\nS: 500 no\n", "refused 500", 0 },
};

/* --- the server's side: a script --- */

static void turns(int n)
{
    while (n-- > 0)
        loop_turn(loop, 2000);
}

/* The next line the client says; "" on EOF or silence. */
static const char *hear(int fd, char *line, apr_size_t size)
{
    apr_size_t len = 0;
    int silence = 0;
    char c;

    while (len < size - 1 && silence < 200) {
        ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

        if (n == 0)
            break;
        if (n < 0) {
            silence++;
            turns(1);
            continue;
        }
        if (c == '\n')
            break;
        line[len++] = c;
    }
    if (len > 0 && line[len - 1] == '\r')
        len--;
    line[len] = '\0';
    return line;
}

static int run_line(const case_t *tc, int fd, const char *line, owner_t *o)
{
    char heard[2048];
    int i;

    if (strncmp(line, "S: ", 3) == 0) {
        const char *out = apr_pstrcat(o->p, line + 3, "\r\n", NULL);

        assert_int_equal(send(fd, out, strlen(out), MSG_NOSIGNAL),
                         (ssize_t)strlen(out));
        turns(2);
    }
    else if (strncmp(line, "RAW ", 4) == 0) {
        const char *out = apr_pstrcat(o->p, line + 4, "\n", NULL);

        send(fd, out, strlen(out), MSG_NOSIGNAL);
    }
    else if (strncmp(line, "C: ", 3) == 0) {
        hear(fd, heard, sizeof(heard));
        if (strcmp(heard, line + 3) != 0)
            fail_msg("%s: heard '%s', not '%s'; told: %s", tc->name, heard,
                     line + 3, o->told);
    }
    else if (strcmp(line, "WAIT") == 0)
        turns(5);
    else if (strcmp(line, "HANG") == 0)
        for (i = 0; i < 1000 && !o->ended; i++)
            turns(1);
    else
        return 0; /* DROP */
    return 1;
}

static SSL_CTX *client_tls;
static mta_peer_t wanted; /* what a test needs of TLS */

static void owner_make(owner_t *o, mta_protocol_t protocol, int fd)
{
    mta_peer_t peer = wanted;

    peer.protocol = protocol;
    peer.host = "mx.b.test";
    peer.hello = "us";
    if (!peer.tls)
        peer.tls = client_tls;
    o->client = mta_client_adopt(loop, fd, &peer, &events, o, o->p);
}

static void run_case(const case_t *tc)
{
    owner_t *o = apr_pcalloc(pool, sizeof(*o));
    char *script, *line, *last;
    int fds[2], i, open = 1;

    apr_pool_create(&o->p, pool);
    o->body = "Subject: x\r\n\r\n.dot\r\n";
    o->body_parts = 1;
    o->body_error = tc->flags & BODY_ERROR;
    for (i = 0; i < 3 && tc->jobs[i] && tc->jobs[i][0]; i++) {
        add_job(o, tc->jobs[i]);
        o->jobs[i].eight_bit = tc->flags & EIGHT_BIT;
        o->jobs[i].size = tc->flags & SIZED ? 999 : 0;
        if (tc->flags & NULL_SENDER)
            o->jobs[i].sender = "";
        if (tc->flags & WITH_DSN) {
            int hostile = tc->flags & HOSTILE_DSN;

            o->jobs[i].dsn_ret = "HDRS";
            o->jobs[i].dsn_envid = hostile ? "a\r\nQUIT" : "QQ+2B314";
            o->rcpts[i][0].notify = hostile ? "SUCCESS X=y" : "SUCCESS,DELAY";
            o->rcpts[i][0].orcpt = hostile ? "rfc822;b\xc3\xb6"
                                           : "rfc822;bob+2Bx@b.test";
        }
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    owner_make(o, tc->protocol, fds[0]);

    script = apr_pstrdup(pool, tc->script);
    for (line = apr_strtok(script, "\n", &last); line && open;
         line = apr_strtok(NULL, "\n", &last)) {
        /* apr_strtok joins empty lines: the one in the body is "C: " */
        open = run_line(tc, fds[1], line, o);
    }
    if (!open)
        close(fds[1]);
    turns(6);
    if (strcmp(o->told, tc->told) != 0)
        fail_msg("%s: told '%s', not '%s'", tc->name, o->told, tc->told);
    mta_client_close(o->client);
    turns(1);
    apr_pool_destroy(o->p);
    if (open)
        close(fds[1]);
}

static void test_transcripts(void **state)
{
    mta_timeouts_t one = { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, before = mta_timeouts;
    apr_size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        mta_timeouts = strstr(cases[i].script, "HANG") ? one : before;
        run_case(&cases[i]);
    }
    mta_timeouts = before;
}

/* --- dots, and parts that begin and end anywhere --- */

static const struct {
    const char *part;
    int times;
    const char *wire;
} bodies[] = {
    { "a\r\n", 1, "a\r\n.\r\n" },
    { "a", 1, "a\r\n.\r\n" },
    { "", 1, ".\r\n" },
    { ".\r\n", 1, "..\r\n.\r\n" },
    { ".\r\n", 2, "..\r\n..\r\n.\r\n" },
    { "a\r\n.", 2, "a\r\n..a\r\n..\r\n.\r\n" },
    { ".a.\r\n", 2, "..a.\r\n..a.\r\n.\r\n" },
    { "\r\n.\r\n.\r\n", 1, "\r\n..\r\n..\r\n.\r\n" },
    { "x.", 2, "x.x.\r\n.\r\n" },
};

static void test_dots(void **state)
{
    apr_size_t i;

    (void)state;
    for (i = 0; i < COUNT(bodies); i++) {
        owner_t *o = apr_pcalloc(pool, sizeof(*o));
        char line[256], wire[512];
        static const char *const replies[] = {
            "220\r\n", "250\r\n", "250\r\n", "250\r\n", "354\r\n"
        };
        int fds[2], step;
        ssize_t n;

        apr_pool_create(&o->p, pool);
        o->body = bodies[i].part;
        o->body_parts = bodies[i].times;
        add_job(o, "bob");
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        fcntl(fds[0], F_SETFL, O_NONBLOCK);
        owner_make(o, MTA_SMTP, fds[0]);
        for (step = 0; step < 5; step++) {
            if (step > 0)
                hear(fds[1], line, sizeof(line));
            send(fds[1], replies[step], strlen(replies[step]), MSG_NOSIGNAL);
        }
        turns(4);
        n = recv(fds[1], wire, sizeof(wire) - 1, MSG_DONTWAIT);
        assert_true(n > 0);
        wire[n] = '\0';
        assert_string_equal(wire, bodies[i].wire);
        mta_client_close(o->client);
        turns(1);
        apr_pool_destroy(o->p);
        close(fds[1]);
    }
}

/* --- a large message passes through without sitting in memory --- */

#define LARGE (25 * 1024 * 1024)

typedef struct {
    apr_int64_t left;
    char *slice;
    int asked, not_yet;
} large_t;

static apr_status_t read_large(const char **pbytes, apr_size_t *plen,
                               void *baton)
{
    large_t *l = baton;

    if (l->not_yet && l->asked++ % 3 != 2)
        return APR_EAGAIN; /* it is still being made */
    if (l->left == 0)
        return APR_EOF;
    *pbytes = l->slice;
    *plen = 256 * 1024;
    l->left -= 256 * 1024;
    return APR_SUCCESS;
}

/* Up to where the content begins. */
static owner_t *begin_large(large_t *l, int fds[2])
{
    owner_t *o = apr_pcalloc(pool, sizeof(*o));
    char line[256];
    int i, step;

    apr_pool_create(&o->p, pool);
    memset(l, 0, sizeof(*l));
    l->left = LARGE;
    l->slice = apr_palloc(o->p, 256 * 1024);
    memset(l->slice, 'x', 256 * 1024);
    for (i = 77; i < 256 * 1024; i += 78)
        l->slice[i] = '\n';
    add_job(o, "bob");
    o->jobs[0].read = read_large;
    o->jobs[0].baton = l;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    owner_make(o, MTA_SMTP, fds[0]);
    send(fds[1], "220\r\n", 5, 0);
    for (step = 0; step < 3; step++) {
        hear(fds[1], line, sizeof(line));
        send(fds[1], "250\r\n", 5, 0);
    }
    hear(fds[1], line, sizeof(line));
    return o;
}

static void end_large(owner_t *o, int fds[2])
{
    send(fds[1], "250\r\n", 5, 0);
    turns(4);
    assert_string_equal(o->told, "ready|bob=250@end|done|ready|");
    mta_client_close(o->client);
    turns(1);
    apr_pool_destroy(o->p);
    close(fds[1]);
}

static void test_large(void **state)
{
    char *buf = malloc(1 << 20);
    int fds[2], i, reads_at_stall;
    apr_int64_t got = 0;
    owner_t *o;
    large_t l;

    (void)state;
    o = begin_large(&l, fds);
    send(fds[1], "354\r\n", 5, 0);
    turns(50);
    /* the remote does not read: we do not either */
    reads_at_stall = (int)((LARGE - l.left) / (256 * 1024));
    assert_true(reads_at_stall >= 1 && reads_at_stall <= 4);
    for (i = 0; i < 100000 && got < LARGE + 3; i++) {
        ssize_t n = recv(fds[1], buf, 1 << 20, MSG_DONTWAIT);

        if (n > 0)
            got += n;
        else
            turns(1);
    }
    end_large(o, fds);
    free(buf);
}

static void *take_all(void *baton)
{
    int fd = *(int *)baton;
    apr_int64_t got = 0;
    char buf[65536];
    ssize_t n;

    while (got < LARGE + 3 && (n = recv(fd, buf, sizeof(buf), 0)) > 0)
        got += n;
    return NULL;
}

/* The remote takes it as fast as it comes: others have their turns too. */
static void test_large_and_fast(void **state)
{
    int fds[2], i;
    pthread_t thread;
    owner_t *o;
    large_t l;

    (void)state;
    o = begin_large(&l, fds);
    assert_int_equal(pthread_create(&thread, NULL, take_all, &fds[1]), 0);
    send(fds[1], "354\r\n", 5, 0);
    for (i = 0; i < 1000 && l.left > 0; i++) {
        apr_int64_t before = l.left;

        turns(1);
        assert_true(before - l.left <= 3 * 512 * 1024);
    }
    turns(20);
    pthread_join(thread, NULL);
    end_large(o, fds);
}

/* --- a large message in chunks: each is as long as it says --- */

/* Reads chunks from the stream as a server does. @return octets of content */
typedef struct {
    char head[64];
    apr_size_t head_len;
    apr_int64_t left, got;
    int chunks, last;
} chunks_t;

static void take_chunks(chunks_t *ch, const char *in, apr_size_t len)
{
    while (len > 0) {
        if (ch->left > 0) {
            apr_size_t n = (apr_int64_t)len < ch->left ? len
                                                       : (apr_size_t)ch->left;

            ch->left -= (apr_int64_t)n;
            ch->got += (apr_int64_t)n;
            in += n;
            len -= n;
            continue;
        }
        assert_true(ch->head_len < sizeof(ch->head) - 1);
        ch->head[ch->head_len++] = *in++;
        len--;
        if (ch->head[ch->head_len - 1] != '\n')
            continue;
        ch->head[ch->head_len] = '\0';
        assert_int_equal(strncmp(ch->head, "BDAT ", 5), 0);
        assert_int_equal(ch->last, 0);
        ch->left = apr_atoi64(ch->head + 5);
        ch->last = strstr(ch->head, " LAST\r\n") != NULL;
        ch->chunks++;
        ch->head_len = 0;
    }
}

/* part: octets of each read; pipelined or not; *pahead: chunks that came
 * before one was answered */
static void send_chunks(int part, int times, int pipelined, int *pahead,
                        chunks_t *ch)
{
    owner_t *o = apr_pcalloc(pool, sizeof(*o));
    char *body, line[256], *buf = malloc(1 << 20);
    const char *offer;
    int fds[2], i, answered = 0;

    memset(ch, 0, sizeof(*ch));
    apr_pool_create(&o->p, pool);
    body = apr_palloc(o->p, (apr_size_t)part + 1);
    memset(body, 'x', (apr_size_t)part);
    body[part] = '\0';
    o->body = body;
    o->body_parts = times;
    add_job(o, "bob");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    owner_make(o, MTA_SMTP, fds[0]);
    send(fds[1], "220\r\n", 5, 0);
    hear(fds[1], line, sizeof(line));
    offer = pipelined ? "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
                      : "250-mx\r\n250 CHUNKING\r\n";
    send(fds[1], offer, strlen(offer), 0);
    hear(fds[1], line, sizeof(line));
    send(fds[1], "250\r\n", 5, 0);
    hear(fds[1], line, sizeof(line));
    send(fds[1], "250\r\n", 5, 0);
    *pahead = 0;
    for (i = 0; i < 20000 && (!ch->last || ch->left > 0); i++) {
        ssize_t n = recv(fds[1], buf, 1 << 20, MSG_DONTWAIT);

        if (n > 0) {
            take_chunks(ch, buf, (apr_size_t)n);
            continue;
        }
        turns(1);
        if (i % 20 != 19 || ch->left > 0 || answered >= ch->chunks)
            continue;
        if (ch->chunks - answered > *pahead)
            *pahead = ch->chunks - answered;
        for (; answered < ch->chunks && !ch->last; answered++)
            send(fds[1], "250\r\n", 5, 0);
    }
    for (; answered < ch->chunks; answered++)
        send(fds[1], "250\r\n", 5, 0);
    turns(6);
    assert_string_equal(o->told, "ready|bob=250@end|done|ready|");
    mta_client_close(o->client);
    turns(1);
    apr_pool_destroy(o->p);
    close(fds[1]);
    free(buf);
}

static void test_chunks(void **state)
{
    chunks_t ch;
    int ahead;

    (void)state;
    /* small parts are put together; a line end is added */
    send_chunks(100, 3, 1, &ahead, &ch);
    assert_int_equal(ch.chunks, 1);
    assert_int_equal(ch.got, 302);
    send_chunks(50000, 100, 1, &ahead, &ch);
    assert_int_equal(ch.got, 5000002);
    assert_true(ch.chunks < 40);
    /* large ones go as they are */
    send_chunks(256 * 1024, 8, 1, &ahead, &ch);
    assert_int_equal(ch.got, 8 * 256 * 1024 + 2);
    assert_int_equal(ch.chunks, 9);
    /* without PIPELINING one at a time */
    send_chunks(256 * 1024, 8, 0, &ahead, &ch);
    assert_int_equal(ch.got, 8 * 256 * 1024 + 2);
    assert_int_equal(ahead, 1);
    /* nothing at all */
    send_chunks(0, 0, 1, &ahead, &ch);
    assert_int_equal(ch.chunks, 1);
    assert_int_equal(ch.got, 0);
}

/* Content that is still being made is asked for again, turn by turn; a client
 * that is closed meanwhile asks no more. */
static void test_content_in_the_making(void **state)
{
    pthread_t thread;
    large_t l;
    owner_t *o;
    int fds[2], i;

    (void)state;
    o = begin_large(&l, fds);
    l.not_yet = 1;
    assert_int_equal(pthread_create(&thread, NULL, take_all, &fds[1]), 0);
    send(fds[1], "354\r\n", 5, 0);
    for (i = 0; i < 2000 && l.left > 0; i++)
        turns(1);
    assert_true(l.asked >= 3 * (LARGE / (256 * 1024)) - 2);
    turns(20);
    pthread_join(thread, NULL);
    end_large(o, fds);

    o = begin_large(&l, fds);
    l.not_yet = 1;
    send(fds[1], "354\r\n", 5, 0);
    turns(2);
    i = l.asked;
    assert_true(i > 0);
    mta_client_close(o->client);
    apr_pool_destroy(o->p);
    turns(5);
    assert_int_equal(l.asked, i);
    close(fds[1]);
}

/* --- STARTTLS with a server that does it --- */

typedef struct {
    conn_t *conn;
    SSL_CTX *ctx;
    int hellos, in_tls, data;
    char heard[2000];
} server_t;

static void serve_line(server_t *s, const char *line)
{
    apr_size_t len = strlen(s->heard);

    apr_snprintf(s->heard + len, sizeof(s->heard) - len, "%s|", line);
    if (s->data) {
        if (strcmp(line, ".") == 0) {
            s->data = 0;
            conn_printf(s->conn, "250 ok\r\n");
        }
    }
    else if (strncmp(line, "EHLO", 4) == 0) {
        s->hellos++;
        conn_printf(s->conn, "250-mx\r\n250 %s\r\n",
                    s->in_tls ? "PIPELINING" : "STARTTLS");
    }
    else if (strcmp(line, "STARTTLS") == 0) {
        /* what comes behind it in clear must not count as said inside */
        conn_printf(s->conn, "220 go\r\n250 injected\r\n");
        conn_start_tls_server(s->conn, s->ctx);
    }
    else if (strcmp(line, "DATA") == 0) {
        s->data = 1;
        conn_printf(s->conn, "354 go\r\n");
    }
    else
        conn_printf(s->conn, "250 ok\r\n");
}

static void server_input(conn_t *conn, void *baton)
{
    const char *line;
    apr_size_t len;

    while (conn_line(conn, &line, &len, 1000) == APR_SUCCESS)
        serve_line(baton, line);
}

static void server_ready(conn_t *conn, void *baton)
{
    (void)conn;
    ((server_t *)baton)->in_tls = 1;
}

static void server_close(conn_t *conn, apr_status_t rv, void *baton)
{
    (void)conn;
    (void)rv;
    ((server_t *)baton)->conn = NULL;
}

static const conn_events_t server_events = { server_input, server_ready, NULL,
                                             server_close };


/* One message over a server with that certificate; what was told. */
static owner_t *run_starttls(server_t *s, const char *cert, const char *key)
{
    owner_t *o = apr_pcalloc(pool, sizeof(*o));
    const char *error;
    int fds[2], i;

    memset(s, 0, sizeof(*s));
    apr_pool_create(&o->p, pool);
    assert_int_equal(tls_server_create(&s->ctx, cert, key, &error, o->p),
                     APR_SUCCESS);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    fcntl(fds[1], F_SETFL, O_NONBLOCK);
    o->body = "Subject: x\r\n\r\n";
    o->body_parts = 1;
    add_job(o, "bob");
    s->conn = conn_create(loop, fds[1], &server_events, s, o->p);
    conn_printf(s->conn, "220 mx\r\n");
    owner_make(o, MTA_SMTP, fds[0]);
    for (i = 0; i < 200 && !strstr(o->told, "done") && !o->ended; i++)
        turns(1);
    turns(2);
    return o;
}

static void end_starttls(owner_t *o, server_t *s)
{
    mta_client_close(o->client);
    turns(4);
    if (s->conn)
        conn_close(s->conn);
    turns(2);
    apr_pool_destroy(o->p);
}

static void test_starttls(void **state)
{
    const char *cert, *key;
    apr_pool_t *p;
    server_t s;
    owner_t *o;

    (void)state;
    apr_pool_create(&p, pool);
    unit_cert_make(&cert, &key, p);
    o = run_starttls(&s, cert, key);
    assert_string_equal(o->told, "ready+tls|bob=250@end|done|ready+tls|");
    assert_int_equal(s.hellos, 2);
    assert_string_equal(s.heard, "EHLO us|STARTTLS|EHLO us|"
                        "MAIL FROM:<me@a.test>|RCPT TO:<bob@b.test>|DATA|"
                        "Subject: x||.|");
    assert_int_equal(mta_client_via(o->client)->verified, 0);
    mta_client_quit(o->client);
    turns(4);
    assert_non_null(strstr(s.heard, "QUIT"));
    end_starttls(o, &s);
    apr_pool_destroy(p);
}

/* --- what the certificate must prove --- */

#define DELIVERED "ready+tls|bob=250@end|done|ready+tls|"

enum { GOOD, OTHER, EXPIRED, WILD, SELF, CERTS };

static const struct {
    const char *name;
    int cert;
    mta_tls_need_t need;
    int usage, selector, matching, wrong;  /* DANE */
    const char *told, *words;
    int verified;
    mta_tls_need_t least;                  /* DANE: besides the records */
} proofs[] = {
    { "may, good", GOOD, MTA_TLS_MAY, 0, 0, 0, 0, DELIVERED, NULL, 1, 0 },
    { "may, other name", OTHER, MTA_TLS_MAY, 0, 0, 0, 0, DELIVERED, NULL, 0, 0 },
    { "may, self-signed", SELF, MTA_TLS_MAY, 0, 0, 0, 0, DELIVERED, NULL, 0, 0 },
    { "encrypt, self-signed", SELF, MTA_TLS_ENCRYPT, 0, 0, 0, 0, DELIVERED,
      NULL, 0, 0 },
    { "verify, good", GOOD, MTA_TLS_VERIFY, 0, 0, 0, 0, DELIVERED, NULL, 1, 0 },
    { "verify, wildcard", WILD, MTA_TLS_VERIFY, 0, 0, 0, 0, DELIVERED, NULL,
      1, 0 },
    { "verify, other name", OTHER, MTA_TLS_VERIFY, 0, 0, 0, 0, "policy 499",
      "499 4.7.5 mx.b.test has a certificate that cannot be verified "
      "(hostname mismatch); require-tls requires TLS with a verified "
      "certificate", 0, 0 },
    { "verify, expired", EXPIRED, MTA_TLS_VERIFY, 0, 0, 0, 0, "policy 499",
      "expired", 0, 0 },
    { "verify, self-signed", SELF, MTA_TLS_VERIFY, 0, 0, 0, 0, "policy 499",
      "self-signed", 0, 0 },
    /* DANE-EE: the key is the proof; names, dates, authorities do not count */
    { "3 1 1", SELF, MTA_TLS_DANE, 3, 1, 1, 0, DELIVERED, NULL, 1, 0 },
    { "3 0 1", SELF, MTA_TLS_DANE, 3, 0, 1, 0, DELIVERED, NULL, 1, 0 },
    { "3 1 2", SELF, MTA_TLS_DANE, 3, 1, 2, 0, DELIVERED, NULL, 1, 0 },
    { "3 1 0", SELF, MTA_TLS_DANE, 3, 1, 0, 0, DELIVERED, NULL, 1, 0 },
    { "3 0 0", SELF, MTA_TLS_DANE, 3, 0, 0, 0, DELIVERED, NULL, 1, 0 },
    { "3 1 1, expired", EXPIRED, MTA_TLS_DANE, 3, 1, 1, 0, DELIVERED, NULL,
      1, 0 },
    { "3 1 1, another key", GOOD, MTA_TLS_DANE, 3, 1, 1, 1, "policy 499",
      "4.7.5", 0, 0 },
    /* DANE-TA: the authority that the record names, and the host's name */
    { "2 0 1", GOOD, MTA_TLS_DANE, 2, 0, 1, 0, DELIVERED, NULL, 1, 0 },
    { "2 1 1", GOOD, MTA_TLS_DANE, 2, 1, 1, 0, DELIVERED, NULL, 1, 0 },
    { "2 0 1, other name", OTHER, MTA_TLS_DANE, 2, 0, 1, 0, "policy 499",
      "hostname mismatch", 0, 0 },
    { "2 0 1, expired", EXPIRED, MTA_TLS_DANE, 2, 0, 1, 0, "policy 499",
      "expired", 0, 0 },
    { "2 0 1, another authority", SELF, MTA_TLS_DANE, 2, 0, 1, 0,
      "policy 499", "4.7.5", 0, 0 },
    /* none that can be used: TLS all the same (RFC 7672 2.2) */
    { "1 1 1", SELF, MTA_TLS_DANE, 1, 1, 1, 0, DELIVERED, NULL, 0, 0 },
    { "3 1 9", SELF, MTA_TLS_DANE, 3, 1, 9, 0, DELIVERED, NULL, 0, 0 },
    /* but not less than would be needed without any */
    { "1 1 1, verify, good", GOOD, MTA_TLS_DANE, 1, 1, 1, 0, DELIVERED, NULL,
      1, MTA_TLS_VERIFY },
    { "1 1 1, verify, self-signed", SELF, MTA_TLS_DANE, 1, 1, 1, 0,
      "policy 499", "self-signed", 0, MTA_TLS_VERIFY },
    { "3 1 1, verify", SELF, MTA_TLS_DANE, 3, 1, 1, 0, DELIVERED, NULL, 1,
      MTA_TLS_VERIFY },
};

static void test_proofs(void **state)
{
    unit_cert_t certs[CERTS], ca;
    apr_pool_t *p;
    SSL_CTX *trusting;
    const char *error;
    apr_size_t i;

    (void)state;
    apr_pool_create(&p, pool);
    unit_cert_authority(&ca, p);
    unit_cert_signed(&certs[GOOD], &ca, "mx.b.test", 10, p);
    unit_cert_signed(&certs[OTHER], &ca, "mx.other.test", 10, p);
    unit_cert_signed(&certs[EXPIRED], &ca, "mx.b.test", -1, p);
    unit_cert_signed(&certs[WILD], &ca, "*.b.test", 10, p);
    unit_cert_signed(&certs[SELF], NULL, "mx.b.test", 10, p);
    assert_int_equal(tls_client_create(&trusting, ca.certificate, &error, p),
                     APR_SUCCESS);
    for (i = 0; i < COUNT(proofs); i++) {
        dns_tlsa_t tlsa;
        server_t s;
        owner_t *o;

        memset(&wanted, 0, sizeof(wanted));
        wanted.tls = trusting;
        wanted.need = proofs[i].need;
        wanted.least = proofs[i].least;
        wanted.policy = "require-tls";
        if (proofs[i].need == MTA_TLS_DANE) {
            unit_cert_tlsa(&tlsa, proofs[i].usage == 2
                                      ? &ca : &certs[proofs[i].cert],
                           proofs[i].usage, proofs[i].selector,
                           proofs[i].matching, p);
            if (proofs[i].wrong)
                ((unsigned char *)(apr_uintptr_t)tlsa.data)[0] ^= 1;
            wanted.tlsa = &tlsa;
            wanted.ntlsa = 1;
        }
        o = run_starttls(&s, certs[proofs[i].cert].certificate,
                         certs[proofs[i].cert].key);
        if (strcmp(o->told, proofs[i].told) != 0
            || (proofs[i].words && !strstr(o->words, proofs[i].words)))
            fail_msg("%s: told '%s', '%s'", proofs[i].name, o->told,
                     o->words);
        if (mta_client_via(o->client)->verified != proofs[i].verified)
            fail_msg("%s: verified", proofs[i].name);
        if (!strcmp(o->told, "policy 499")) /* nothing was said inside */
            assert_string_equal(s.heard, "EHLO us|STARTTLS|");
        end_starttls(o, &s);
    }
    memset(&wanted, 0, sizeof(wanted));
    apr_pool_destroy(p);
}

static void test_required(void **state)
{
    static const case_t refused[] = {
        { "no STARTTLS", MTA_SMTP, { "bob" },
          "S: 220 mx\nC: EHLO us\nS: 250 mx\nDROP\n", "policy 499", 0 },
        { "HELO", MTA_SMTP, { "bob" },
          "S: 220 mx\nC: EHLO us\nS: 500\nC: HELO us\nS: 250 mx\nDROP\n",
          "policy 499", 0 },
        { "STARTTLS refused", MTA_SMTP, { "bob" },
          "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n"
          "S: 454 not now\nDROP\n", "policy 499", 0 },
        { "no TLS follows", MTA_SMTP, { "bob" },
          "S: 220 mx\nC: EHLO us\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n"
          "S: 220 go\nWAIT\nRAW 500 no such thing\n", "policy 499", 0 },
    };
    apr_size_t i;

    (void)state;
    memset(&wanted, 0, sizeof(wanted));
    wanted.need = MTA_TLS_ENCRYPT;
    for (i = 0; i < COUNT(refused); i++)
        run_case(&refused[i]);
    memset(&wanted, 0, sizeof(wanted));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transcripts), cmocka_unit_test(test_dots),
        cmocka_unit_test(test_large), cmocka_unit_test(test_large_and_fast),
        cmocka_unit_test(test_starttls), cmocka_unit_test(test_proofs),
        cmocka_unit_test(test_required), cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_content_in_the_making)
    };
    apr_pool_t *loop_p;
    const char *error;
    int failed;

    signal(SIGPIPE, SIG_IGN);
    apr_initialize();
    apr_pool_create(&pool, NULL);
    apr_pool_create(&loop_p, pool);
    if (loop_create(&loop, loop_p) != APR_SUCCESS
        || tls_client_create(&client_tls, NULL, &error, pool)
               != APR_SUCCESS)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed ? 1 : 0;
}
