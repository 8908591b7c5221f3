/* smtp_cmd_bdat.c - BDAT (RFC 3030 2; BINARYMIME is not offered).
 *
 *   "BDAT" SP chunk-size [SP "LAST"] CRLF, then so many octets
 *
 * The octets come in any case, refused or not: they are read first, then
 * comes the reply (RFC 3030 2). Who announces more than could ever be wanted,
 * or a size that is none, is hung up on: what follows could only be taken for
 * commands.
 */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_time.h"
#include "smtp_session.h"

#define DIGITS_MAX 20  /* RFC 3030 2: 1*DIGIT; RFC 1870 6.1 has 20 */
#define DRAIN_LIMITS 4 /* message limits that are read and thrown away */

/* @return -1: no size; APR_INT64_MAX: one that is beyond all */
static apr_int64_t read_size(const char *args, int *plast)
{
    apr_size_t digits = strspn(args, "0123456789");
    const char *rest = args + digits;

    if (digits == 0 || (*rest != ' ' && *rest != '\0'))
        return -1;
    rest += strspn(rest, " ");
    *plast = strcasecmp(rest, "LAST") == 0;
    if (*rest != '\0' && !*plast)
        return -1;
    if (digits > DIGITS_MAX)
        return APR_INT64_MAX;
    return digits > 18 ? APR_INT64_MAX : apr_strtoi64(args, NULL, 10);
}

static smtp_reply_t check_bdat(const smtp_session_t *s, apr_int64_t size)
{
    const mg_config_t *config = s->server->worker->config;
    apr_int64_t before = s->state == S_BDAT ? s->tx->body.size : 0;

    switch (s->state) {
    case S_GREETED:
        return SAY_HELO_FIRST;
    case S_MAIL:
        return s->tx->refused ? SAY_NO_RECIPIENTS : SAY_RCPT_FIRST;
    case S_RCPT:
    case S_BDAT:
        return size > config->message_limit - before ? SAY_TOO_BIG : SAY_OK;
    default:
        return SAY_MAIL_FIRST;
    }
}

static void refuse_and_close(smtp_session_t *s, smtp_reply_t reply)
{
    smtp_refuse(s, reply, NULL);
    smtp_session_finish(s);
}

/* This chunk is no part of a message. One that does not fit ends it: what is
 * said behind it in the same breath finds no transaction. */
static void chunk_refused(smtp_session_t *s, smtp_reply_t reply)
{
    int ends = reply == SAY_OK ? 0 : s->chunk.back & (S_RCPT | S_BDAT);

    if (ends)
        smtp_refused_message(s, reply);
    smtp_refuse(s, reply, NULL);
    if (ends)
        smtp_session_reset(s);
    smtp_session_enter(s, ends ? S_READY : s->chunk.back);
}

static void chunk_end(smtp_session_t *s)
{
    smtp_reply_t verdict = s->chunk.verdict;

    if (verdict != SAY_OK) {
        chunk_refused(s, verdict);
        return;
    }
    if (s->chunk.last) {
        smtp_body_last(&s->tx->body);
        smtp_data_end(s);
        return;
    }
    verdict = smtp_data_verdict(&s->tx->body);
    if (verdict != SAY_OK) {
        chunk_refused(s, verdict);
        return;
    }
    smtp_session_enter(s, S_BDAT);
    smtp_reply(s, SAY_CHUNK_OK,
               apr_psprintf(s->tx->pool, "%" APR_INT64_T_FMT, s->chunk.size));
}

void smtp_cmd_bdat(smtp_session_t *s, const char *args)
{
    smtp_chunk_t *chunk = &s->chunk;
    apr_int64_t size = read_size(args, &chunk->last);

    if (size < 0) {
        refuse_and_close(s, SAY_BDAT_SYNTAX);
        return;
    }
    if (size / DRAIN_LIMITS > s->server->worker->config->message_limit) {
        refuse_and_close(s, SAY_BDAT_SIZE);
        return;
    }
    chunk->size = chunk->left = size;
    chunk->back = s->state;
    if (s->state != S_BDAT)
        s->content_since = mg_ticks();
    chunk->verdict = check_bdat(s, size);
    if (chunk->verdict == SAY_OK && s->state == S_RCPT)
        smtp_tx_begin_body(s->tx);
    smtp_session_enter(s, S_CHUNK);
    if (size == 0)
        chunk_end(s);
}

int smtp_bdat_input(smtp_session_t *s)
{
    smtp_chunk_t *chunk = &s->chunk;
    apr_size_t len;
    const char *in = conn_peek(s->conn, &len);

    if (len == 0)
        return 0;
    if ((apr_int64_t)len > chunk->left)
        len = (apr_size_t)chunk->left;
    if (chunk->verdict == SAY_OK)
        smtp_body_chunk(&s->tx->body, in, len);
    conn_skip(s->conn, len);
    chunk->left -= (apr_int64_t)len;
    if (chunk->left == 0)
        chunk_end(s);
    return 1;
}
