/* api_graceful.c - a child that stops answers what was sent to it.
 *
 * On a graceful restart the event MPM shuts all kept-alive connections at
 * once. A client that uses its connection all the time has then, more often
 * than not, a request under way, sees the connection end without an answer,
 * and cannot know whether its message was accepted. So such a connection of
 * ours gets a moment: the request that comes is served, and its answer says
 * "Connection: close", after which nobody sends more.
 *
 * The MPM closes connections in its worker threads, through the
 * pre_close_connection hook; that is where this sits.
 */
#include "api.h"

#include <ap_mpm.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <scoreboard.h>

#include "mg_time.h"

/* From the moment the child began to stop. Long enough for a busy client,
 * short enough that idle connections do not hold up the restart. */
#define MOMENT apr_time_from_sec(1)
/* As the MPM has it while it closes. */
#define LINGER apr_time_from_sec(2)
#define NOTE "mailgun-api"

static int is_stopping(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS &&
           state == AP_MPMQ_STOPPING;
}

void api_graceful_check(request_rec *r)
{
    apr_table_setn(r->connection->notes, NOTE, "1");
    if (is_stopping())
        r->connection->keepalive = AP_CONN_CLOSE;
}

/* What is left of the moment. */
static apr_interval_time_t time_left(void)
{
    static apr_time_t began; /* benign race: all see about the same time */
    apr_time_t now = mg_ticks();

    if (!began)
        began = now;
    return began + MOMENT - now;
}

/* True when there is a byte to read, decrypted where there is TLS. */
static int has_request(conn_rec *c, apr_socket_t *socket,
                       apr_interval_time_t timeout)
{
    apr_bucket_brigade *bb = apr_brigade_create(c->pool, c->bucket_alloc);
    apr_status_t rv;
    int has;

    apr_socket_timeout_set(socket, timeout);
    rv = ap_get_brigade(c->input_filters, bb, AP_MODE_SPECULATIVE,
                        APR_BLOCK_READ, 1);
    has = rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb) &&
          !APR_BUCKET_IS_EOS(APR_BRIGADE_FIRST(bb));
    apr_brigade_destroy(bb);
    return has;
}

static int may_have_request(conn_rec *c)
{
    return api_child() && !c->master && !c->aborted &&
           c->keepalive == AP_CONN_KEEPALIVE &&
           apr_table_get(c->notes, NOTE) && is_stopping();
}

int api_pre_close(conn_rec *c)
{
    apr_interval_time_t left;
    apr_socket_t *socket;
    request_rec *r;
    int state;

    if (!may_have_request(c))
        return OK;
    left = time_left();
    socket = ap_get_conn_socket(c);
    if (!has_request(c, socket, left > 0 ? left : 0))
        return OK;
    apr_socket_timeout_set(socket, c->base_server->timeout);
    state = c->cs ? (int)c->cs->state : 0;
    r = ap_read_request(c);
    if (r && r->status == HTTP_OK) {
        if (c->cs)
            c->cs->state = CONN_STATE_HANDLER;
        ap_process_request(r);
    }
    if (c->cs)
        c->cs->state = (conn_state_e)state;
    c->keepalive = AP_CONN_CLOSE;
    apr_socket_timeout_set(socket, LINGER);
    return OK;
}
