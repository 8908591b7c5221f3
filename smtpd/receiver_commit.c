/* receiver_commit.c - group commit of an event loop (design 3).
 *
 * All sessions that reached their end of data are committed together at the
 * end of a turn. A commit blocks the loop for as long as the disk takes, so it
 * pays to fill the batch first: while other sessions are in the middle of
 * their dialogue and have something to say, the loop turns on without waiting.
 * That is work to be done anyway, so it costs those who wait little: at most
 * 2 ms and twice what a commit took of late, never over 20 ms. Where a commit
 * is slow (over 1 ms), the batch waits a little even when nothing is readable
 * right now: a client needs time to answer. When nobody is talking it goes.
 *
 * Content over MG_CONTENT_INLINE goes ahead in stretches, one per commit, of
 * one session after the other, so that the batch stays short.
 */
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "smtp_session.h"

#define WAIT_LEAST 2000      /* us from the first that is ready */
#define WAIT_MOST 20000
#define SLOW_COMMIT 1000     /* us */
#define SILENCE_MAX 2000     /* us without a word from anybody */
#define BATCH_MAX 256
#define CONFLICTS_MAX 3

static int in_batch(const smtp_session_t *s)
{
    return s->state == S_COMMIT && s->tx != NULL;
}

static int is_lively(const smtp_session_t *s)
{
    return s->epoch == s->server->epoch;
}

void smtp_commit_heard(smtp_session_t *s)
{
    smtp_server_t *server = s->server;

    server->inputs++;
    if (is_lively(s) || in_batch(s))
        return;
    s->epoch = server->epoch;
    server->lively++;
}

static void no_longer_lively(smtp_session_t *s)
{
    if (!is_lively(s))
        return;
    s->epoch = s->server->epoch - 1;
    s->server->lively--;
}

void smtp_commit_add(smtp_session_t *s)
{
    smtp_server_t *server = s->server;

    no_longer_lively(s);
    if (s->tx->ahead) {
        APR_RING_INSERT_TAIL(&server->storing, s->tx, smtp_tx_t, link);
        conn_pause(s->conn, 1); /* this takes several turns */
        return;
    }
    APR_RING_INSERT_TAIL(&server->ready, s->tx, smtp_tx_t, link);
    if (server->n_ready++ == 0)
        server->ready_since = mg_ticks();
}

/* Its client left before our 250: it will send again, so this copy goes. */
void smtp_commit_forget(smtp_session_t *s)
{
    no_longer_lively(s);
    if (!in_batch(s) || APR_RING_NEXT(s->tx, link) == s->tx)
        return;
    APR_RING_REMOVE(s->tx, link);
    APR_RING_ELEM_INIT(s->tx, link);
    if (!s->tx->ahead)
        s->server->n_ready--;
}

/* --- when --- */

static void turn_again(loop_t *loop, void *baton)
{
    smtp_server_t *server = baton;

    (void)loop;
    server->again = NULL;
}

static apr_interval_time_t longest_wait(const smtp_server_t *server)
{
    apr_interval_time_t t = WAIT_LEAST + 2 * server->commit_cost;

    return t < WAIT_MOST ? t : WAIT_MOST;
}

static int shall_wait(smtp_server_t *server)
{
    apr_interval_time_t silence = server->commit_cost / 2;
    apr_time_t now = mg_ticks();
    int heard = server->inputs != server->inputs_seen;

    server->inputs_seen = server->inputs;
    if (heard)
        server->heard = now;
    if (server->lively == 0 || server->n_ready >= BATCH_MAX
        || now - server->ready_since >= longest_wait(server))
        return 0;
    if (heard) {
        loop_again(server->worker->loop);
        return 1;
    }
    if (silence > SILENCE_MAX)
        silence = SILENCE_MAX;
    if (server->commit_cost < SLOW_COMMIT || now - server->heard >= silence)
        return 0;
    if (server->again == NULL)
        server->again = loop_timer_set(server->worker->loop, 1000, turn_again,
                                       server);
    return 1;
}

/* --- the commit --- */

/* Takes them out of their rings; they end up in one list of units. */
static void gather(smtp_tx_t **batch, int *pn, smtp_server_t *server)
{
    int n = 0;
    smtp_tx_t *tx;

    if (!APR_RING_EMPTY(&server->storing, smtp_tx_t, link)) {
        tx = APR_RING_FIRST(&server->storing);
        APR_RING_REMOVE(tx, link);
        APR_RING_ELEM_INIT(tx, link);
        batch[n++] = tx;
    }
    while (n < BATCH_MAX
           && !APR_RING_EMPTY(&server->ready, smtp_tx_t, link)) {
        tx = APR_RING_FIRST(&server->ready);
        APR_RING_REMOVE(tx, link);
        APR_RING_ELEM_INIT(tx, link);
        server->n_ready--;
        batch[n++] = tx;
    }
    *pn = n;
}

/* Another process made the same ids: the message waits once more, with others.
 */
static int is_drawn_anew(smtp_server_t *server, smtp_tx_t *tx)
{
    if (tx->unit.status != MG_ECONFLICT || tx->conflicts++ >= CONFLICTS_MAX)
        return 0;
    smtp_tx_draw_anew(tx);
    if (tx->ahead) {
        APR_RING_INSERT_TAIL(&server->storing, tx, smtp_tx_t, link);
    }
    else {
        APR_RING_INSERT_TAIL(&server->ready, tx, smtp_tx_t, link);
        server->n_ready++;
    }
    loop_again(server->worker->loop);
    return 1;
}

/* @param batch  what became of all; an outage is worker_db_check()'s to log */
static void tell(smtp_server_t *server, smtp_tx_t *tx, apr_status_t batch)
{
    smtp_session_t *s = tx->session;
    apr_status_t rv = tx->unit.status;

    if (is_drawn_anew(server, tx))
        return;
    if (rv == APR_SUCCESS && !smtp_tx_advance(tx)) {
        /* more content: behind the others that wait */
        APR_RING_INSERT_TAIL(&server->storing, tx, smtp_tx_t, link);
        loop_again(server->worker->loop);
        return;
    }
    if (rv != APR_SUCCESS && rv != MG_EBADINPUT && batch == APR_SUCCESS)
        mg_log(MG_LOG_WARN, rv, "smtp: message %" APR_INT64_T_FMT
               " could not be stored", tx->id);
    if (tx->ahead)
        conn_pause(s->conn, 0);
    smtp_data_committed(s, rv);
}

static void commit(smtp_server_t *server, apr_pool_t *ptemp)
{
    worker_t *worker = server->worker;
    smtp_tx_t *batch[BATCH_MAX];
    mg_unit_t *units = NULL;
    apr_time_t begun = mg_ticks();
    apr_status_t rv;
    int n, i;

    gather(batch, &n, server);
    for (i = n - 1; i >= 0; i--) {
        mg_unit_t *unit = smtp_tx_unit(batch[i]);

        unit->next = units;
        units = unit;
    }
    rv = worker_db_check(worker, mg_group_commit(worker->db, units, ptemp));
    server->commit_cost = (server->commit_cost * 3
                           + (mg_ticks() - begun)) / 4;
    server->epoch++;
    server->lively = 0;
    if (mg_log_get_level() >= MG_LOG_DEBUG)
        mg_log(MG_LOG_DEBUG, rv, "smtp: committed %d in %" APR_INT64_T_FMT
               " us", n, (apr_int64_t)(mg_ticks() - begun));
    for (i = 0; i < n; i++)
        tell(server, batch[i], rv);
    if (server->n_ready > 0) {
        server->ready_since = mg_ticks();
        loop_again(worker->loop);
    }
}

static void at_turn_end(loop_t *loop, void *baton)
{
    smtp_server_t *server = baton;
    int storing = !APR_RING_EMPTY(&server->storing, smtp_tx_t, link);
    apr_pool_t *ptemp;

    (void)loop;
    if (storing || (server->n_ready > 0 && !shall_wait(server))) {
        apr_pool_create_ex(&ptemp, server->pool, NULL, server->allocator);
        commit(server, ptemp);
        apr_pool_destroy(ptemp);
    }
    smtp_session_reap(server);
}

void smtp_commit_setup(smtp_server_t *server)
{
    APR_RING_INIT(&server->ready, smtp_tx_t, link);
    APR_RING_INIT(&server->storing, smtp_tx_t, link);
    server->epoch = 1;
    loop_at_turn_end(server->worker->loop, at_turn_end, server);
}
