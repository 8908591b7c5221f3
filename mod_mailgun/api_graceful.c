/* api_graceful.c - no request is left without an answer.
 *
 * The event MPM shuts kept-alive connections at once on a graceful restart,
 * and one by one while all its workers are busy (then even those whose request
 * has already arrived). A client that uses its connection all the time has,
 * more often than not, a request under way, sees the connection end without an
 * answer, and cannot know whether its message was accepted. So a connection of
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

/* On a restart, from when the child began to stop. Long enough for a busy
 * client, short enough that idle connections do not hold up the restart. */
#define STOP_MOMENT apr_time_from_sec(1)
/* Otherwise, for a client whose last answer is no older than BUSY_CLIENT. */
#define BUSY_MOMENT apr_time_from_msec(50)
#define BUSY_CLIENT apr_time_from_sec(1)
/* As the MPM has it while it closes. */
#define LINGER apr_time_from_sec(2)

typedef struct {
    apr_time_t answered;  /* mg_ticks() */
} connection_t;

static int is_stopping(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS &&
           state == AP_MPMQ_STOPPING;
}

void api_graceful_check(request_rec *r)
{
    conn_rec *c = r->connection;
    connection_t *ours = ap_get_module_config(c->conn_config, &mailgun_module);

    if (!ours) {
        ours = apr_pcalloc(c->pool, sizeof(*ours));
        ap_set_module_config(c->conn_config, &mailgun_module, ours);
    }
    ours->answered = mg_ticks();
    if (is_stopping())
        c->keepalive = AP_CONN_CLOSE;
}

/* How long to wait for a request. */
static apr_interval_time_t moment(const connection_t *ours)
{
    static apr_time_t began; /* benign race: all see about the same time */
    apr_time_t now = mg_ticks();

    if (!is_stopping())
        return now < ours->answered + BUSY_CLIENT ? BUSY_MOMENT : 0;
    if (!began)
        began = now;
    return now < began + STOP_MOMENT ? began + STOP_MOMENT - now : 0;
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

static void serve_last(conn_rec *c)
{
    request_rec *r = ap_read_request(c);

    c->keepalive = AP_CONN_CLOSE;
    if (!r || r->status != HTTP_OK)
        return;
    if (c->cs)
        c->cs->state = CONN_STATE_HANDLER;
    ap_process_request(r);
}

int api_pre_close(conn_rec *c)
{
    connection_t *ours = ap_get_module_config(c->conn_config, &mailgun_module);
    apr_socket_t *socket = ap_get_conn_socket(c);
    conn_state_e before = CONN_STATE_LINGER;

    if (!ours || !api_child() || c->master || c->aborted ||
        c->keepalive != AP_CONN_KEEPALIVE)
        return OK;
    if (!has_request(c, socket, moment(ours)))
        return OK;
    if (c->cs)
        before = c->cs->state;
    apr_socket_timeout_set(socket, c->base_server->timeout);
    serve_last(c);
    apr_socket_timeout_set(socket, LINGER);
    if (c->cs)
        c->cs->state = before;
    c->keepalive = AP_CONN_CLOSE;
    return OK;
}
