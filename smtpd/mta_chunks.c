/* mta_chunks.c - content in chunks (RFC 3030), instead of DATA where the server
 * offers CHUNKING: no dots, no waiting for 354.
 *
 * Chunks go out when all RCPTs were answered, so that nobody is sent what he
 * refused. Each has its answer; those before the last only say that it may go
 * on, and are waited for one by one where the server does not pipeline. A
 * message that fits into one chunk is "BDAT n LAST" alone.
 */
#include <stdlib.h>
#include <string.h>

#include "mg_status.h"
#include "mta_client_private.h"

#define CHUNK (128 * 1024)       /* octets collected for one, at least */
#define A_TURN (512 * 1024)      /* octets, then others have their turn */

void mta_chunks_forget(mta_client_t *c)
{
    free(c->chunk);
    c->chunk = NULL;
    c->chunk_len = c->chunk_size = 0;
}

static void say_chunk(mta_client_t *c, const char *bytes, apr_size_t len,
                      int last)
{
    conn_printf(c->conn, "BDAT %" APR_SIZE_T_FMT "%s\r\n", len,
                last ? " LAST" : "");
    conn_write(c->conn, bytes, len);
    c->chunks_out++;
}

static void collect(mta_client_t *c, const char *bytes, apr_size_t len)
{
    if (c->chunk_len + len > c->chunk_size) {
        c->chunk_size = c->chunk_len + len + 4096;
        c->chunk = realloc(c->chunk, c->chunk_size);
        if (!c->chunk)
            abort(); /* as APR's pools do */
    }
    memcpy(c->chunk + c->chunk_len, bytes, len);
    c->chunk_len += len;
}

static void take(mta_client_t *c, const char *bytes, apr_size_t len)
{
    if (len == 0)
        return;
    c->at_bol = bytes[len - 1] == '\n';
    if (c->chunk_len == 0 && len >= CHUNK) {
        say_chunk(c, bytes, len, 0);
        return;
    }
    collect(c, bytes, len);
    if (c->chunk_len >= CHUNK) {
        say_chunk(c, c->chunk, c->chunk_len, 0);
        c->chunk_len = 0;
    }
}

static void give_up(mta_client_t *c)
{
    mta_chunks_forget(c);
    mta_reply_set(&c->reply, "451 4.3.0 the message could not be read from "
                  "our store");
    mta_give_result_to_rest(c, MTA_AT_HOME, &c->reply);
    mta_end_in_job(c, &c->reply);
}

/* Called again when the buffer is drained, or a chunk was answered. */
void mta_say_chunks(mta_client_t *c)
{
    apr_int64_t said = 0;

    while (!c->all_read && said < A_TURN
           && conn_pending(c->conn) < CONN_HIGH_WATER
           && ((c->caps & CAP_PIPELINING) || c->chunks_out == 0)) {
        const char *bytes = NULL;
        apr_size_t len = 0;
        apr_status_t rv = c->job->read(&bytes, &len, c->job->baton);

        if (rv == APR_EOF)
            c->all_read = 1;
        else if (APR_STATUS_IS_EAGAIN(rv)) {
            mta_ask_later(c);
            return;
        }
        else if (rv != APR_SUCCESS) {
            give_up(c);
            return;
        }
        else {
            take(c, bytes, len);
            said += (apr_int64_t)len;
        }
    }
    if (!c->all_read || (!(c->caps & CAP_PIPELINING) && c->chunks_out > 0))
        return;
    if (!c->at_bol)
        collect(c, "\r\n", 2);
    say_chunk(c, c->chunk ? c->chunk : "", c->chunk_len, 1);
    mta_chunks_forget(c);
    mta_enter(c, S_LAST);
}

void mta_begin_chunks(mta_client_t *c)
{
    c->at_bol = 1;
    c->all_read = 0;
    c->chunks_out = 0;
    mta_say_chunks(c);
}

/* It takes no more of this: what is on its way already would be answered too,
 * so the connection goes. */
static void chunk_refused(mta_client_t *c)
{
    if (mta_reply_class(&c->reply) == MTA_GO_ON)
        mta_fail(c, "4.5.0", "a chunk was answered with a 3xx");
    else
        mta_end_in_job(c, &c->reply);
}

void mta_on_chunks_reply(mta_client_t *c)
{
    if (c->chunks_out == 0)
        mta_fail(c, "4.5.0", "an answer nobody asked for");
    else if (mta_reply_class(&c->reply) != MTA_GOOD)
        chunk_refused(c);
    else {
        c->chunks_out--;
        mta_say_chunks(c);
    }
}

void mta_on_last_reply(mta_client_t *c)
{
    if (c->chunks_out > 1) {
        if (mta_reply_class(&c->reply) != MTA_GOOD)
            chunk_refused(c);
        else
            c->chunks_out--;
        return;
    }
    if (mta_reply_class(&c->reply) == MTA_GO_ON) {
        chunk_refused(c);
        return;
    }
    mta_give_result_to_rest(c, MTA_AT_END, &c->reply);
    mta_finish_job(c, mta_reply_class(&c->reply) != MTA_GOOD);
}
