/* receiver_commit.c - group commit of an event loop (design 3).
 *
 * All sessions that reached their end of data are committed together, by the
 * committer's thread; who gets there meanwhile is in the next batch. A message
 * costs less the more there are in one, so it pays to fill a batch first: while
 * other sessions are in the middle of their dialogue, those that are ready wait
 * for them: from the first of them 4 ms at most, the commit under way included,
 * and not longer than 1 ms without a word from anybody. Where nobody else is
 * talking a message goes at once.
 *
 * Content over MG_CONTENT_INLINE goes ahead in stretches, one per commit, of
 * one session after the other, so that the batch stays short.
 *
 * A transaction under way (tx->under_way) is the committer's. Its client may
 * leave: the session then stays among the closed until the batch is back.
 */
#include "committer.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "smtp_look.h"
#include "smtp_session.h"
#include "smtp_submission.h"

#define WAIT_MOST 4000       /* us from the first that is ready */
#define SILENCE_MAX 1000     /* us without a word from anybody */
#define BATCH_MAX SMTP_BATCH_MAX
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

static void wait_for_commit(smtp_server_t *server, smtp_tx_t *tx)
{
    if (tx->ahead) {
        APR_RING_INSERT_TAIL(&server->storing, tx, smtp_tx_t, link);
        return;
    }
    APR_RING_INSERT_TAIL(&server->ready, tx, smtp_tx_t, link);
    if (server->n_ready++ == 0)
        server->ready_since = mg_ticks();
}

/* All of it is stored or small, and nobody looked for links yet. */
static int is_to_be_looked_through(const smtp_tx_t *tx)
{
    return tx->look_pool && !tx->is_looked
           && (!tx->ahead || tx->share_no == tx->shares->nelts);
}

void smtp_commit_add(smtp_session_t *s)
{
    no_longer_lively(s);
    if (s->tx->ahead)
        conn_pause(s->conn, 1); /* this takes several turns */
    if (is_to_be_looked_through(s->tx))
        smtp_look_add(s->server, s->tx);
    else
        wait_for_commit(s->server, s->tx);
}

void smtp_commit_looked(smtp_tx_t *tx)
{
    smtp_session_t *s = tx->session;

    tx->under_way = 0;
    if (s->state == S_CLOSED)
        return; /* it left without our 250, and will send again */
    smtp_submission_complete(
        tx, &APR_ARRAY_IDX(tx->shares, 0, smtp_share_t *)->message);
    wait_for_commit(s->server, tx);
}

void smtp_commit_elsewhere(smtp_session_t *s)
{
    no_longer_lively(s);
}

/* Its client left before our 250: it will send again, so this copy goes. */
void smtp_commit_forget(smtp_session_t *s)
{
    no_longer_lively(s);
    if (!in_batch(s) || s->tx->under_way
        || APR_RING_NEXT(s->tx, link) == s->tx)
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

static int shall_wait(smtp_server_t *server)
{
    apr_time_t now = mg_ticks();

    if (server->inputs != server->inputs_seen)
        server->heard = now;
    server->inputs_seen = server->inputs;
    if (server->lively == 0 || server->n_ready >= BATCH_MAX
        || now - server->ready_since >= WAIT_MOST
        || now - server->heard >= SILENCE_MAX)
        return 0;
    if (server->again == NULL)
        server->again = loop_timer_set(server->worker->loop, SILENCE_MAX,
                                       turn_again, server);
    return 1;
}

/* --- the commit --- */

static void take(smtp_server_t *server, smtp_tx_t *tx)
{
    APR_RING_REMOVE(tx, link);
    APR_RING_ELEM_INIT(tx, link);
    tx->under_way = 1;
    server->batch[server->n_batch++] = tx;
}

/* Takes them out of their rings. */
static void gather(smtp_server_t *server)
{
    server->n_batch = 0;
    if (!APR_RING_EMPTY(&server->storing, smtp_tx_t, link))
        take(server, APR_RING_FIRST(&server->storing));
    while (server->n_batch < BATCH_MAX
           && !APR_RING_EMPTY(&server->ready, smtp_tx_t, link)) {
        take(server, APR_RING_FIRST(&server->ready));
        server->n_ready--;
    }
    server->ready_since = mg_ticks(); /* of those that are left */
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
    return 1;
}

/* @param batch  what became of all; an outage is worker_db_check()'s to log */
static void tell(smtp_server_t *server, smtp_tx_t *tx, apr_status_t batch)
{
    smtp_session_t *s = tx->session;
    apr_status_t rv = tx->unit.status;

    tx->under_way = 0;
    if (s->state == S_CLOSED)
        return; /* it left without our 250, and will send again */
    if (is_drawn_anew(server, tx))
        return;
    if (rv == APR_SUCCESS && !smtp_tx_advance(tx)) {
        /* more content: behind the others that wait */
        if (is_to_be_looked_through(tx))
            smtp_look_add(server, tx);
        else
            APR_RING_INSERT_TAIL(&server->storing, tx, smtp_tx_t, link);
        return;
    }
    if (rv != APR_SUCCESS && rv != MG_EBADINPUT && batch == APR_SUCCESS)
        mg_log(MG_LOG_WARN, rv, "smtp: message %" APR_INT64_T_FMT
               " could not be stored", tx->id);
    if (tx->ahead)
        conn_pause(s->conn, 0);
    smtp_data_committed(s, rv);
}

static void on_committed(apr_status_t rv, const char *words,
                         apr_interval_time_t took, void *baton)
{
    smtp_server_t *server = baton;
    int i, n = server->n_batch;

    worker_db_check_words(server->worker, rv, words);
    if (mg_log_get_level() >= MG_LOG_DEBUG)
        mg_log(MG_LOG_DEBUG, rv, "smtp: committed %d in %" APR_INT64_T_FMT
               " us", n, (apr_int64_t)took);
    server->n_batch = 0;
    smtp_refused_done(server->refused);
    for (i = 0; i < n; i++)
        tell(server, server->batch[i], rv);
}

static void commit(smtp_server_t *server)
{
    mg_unit_t *units;
    int i;

    gather(server);
    units = smtp_refused_unit(server->refused);
    for (i = server->n_batch - 1; i >= 0; i--) {
        mg_unit_t *unit = smtp_tx_unit(server->batch[i]);

        unit->next = units;
        units = unit;
    }
    server->epoch++;
    server->lively = 0;
    committer_start(server->committer, units);
}

int smtp_commit_is_idle(const smtp_server_t *server)
{
    return !committer_is_busy(server->committer)
           && !smtp_refused_is_any(server->refused)
           && !smtp_look_is_busy(server);
}

static void at_turn_end(loop_t *loop, void *baton)
{
    smtp_server_t *server = baton;
    int storing = !APR_RING_EMPTY(&server->storing, smtp_tx_t, link);

    (void)loop;
    if (!committer_is_busy(server->committer)
        && (storing || (server->n_ready > 0 && !shall_wait(server))
            || smtp_refused_is_due(server->refused)))
        commit(server);
    smtp_session_reap(server);
}

apr_status_t smtp_commit_setup(smtp_server_t *server)
{
    worker_t *worker = server->worker;

    APR_RING_INIT(&server->ready, smtp_tx_t, link);
    APR_RING_INIT(&server->storing, smtp_tx_t, link);
    server->epoch = 1;
    server->refused = smtp_refused_create(worker, worker->pool);
    loop_at_turn_end(worker->loop, at_turn_end, server);
    return committer_create(&server->committer, worker, on_committed, server,
                            worker->pool);
}
