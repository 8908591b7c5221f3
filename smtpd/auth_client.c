/* auth_client.c - a receiver's questions to the auth workers (auth_client.h).
 *
 * Answers are given from the loop, never from within auth_client_ask().
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <apr_hash.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "auth_client.h"
#include "auth_wire.h"
#include "mg_log.h"
#include "mg_time.h"

#define OPEN_MAX 256           /* questions without an answer */
#define SAY_EVERY apr_time_from_sec(10)

typedef struct ask_t ask_t;
struct ask_t {
    apr_uint32_t ticket;
    auth_answer_fn *fn;        /* NULL: forgotten */
    void *baton;
    apr_time_t until;          /* 0: the answer is known already */
    auth_answer_t answer;
    ask_t *next;               /* free ones */
};

struct auth_client_t {
    apr_pool_t *pool;
    loop_t *loop;
    int fd;
    apr_uint64_t nonce;
    apr_uint32_t last_ticket;
    apr_hash_t *asks;
    ask_t *free_asks;
    loop_job_t job;            /* answers that are known at once */
    loop_timer_t *timer;
    apr_time_t said_at;        /* that auth does not listen */
};

static ask_t *ask_new(auth_client_t *client)
{
    ask_t *ask = client->free_asks;

    if (ask)
        client->free_asks = ask->next;
    else
        ask = apr_palloc(client->pool, sizeof(*ask));
    memset(ask, 0, sizeof(*ask));
    do {
        ask->ticket = ++client->last_ticket;
    } while (!ask->ticket || apr_hash_get(client->asks, &ask->ticket,
                                          sizeof(ask->ticket)));
    apr_hash_set(client->asks, &ask->ticket, sizeof(ask->ticket), ask);
    return ask;
}

static void ask_free(auth_client_t *client, ask_t *ask)
{
    apr_hash_set(client->asks, &ask->ticket, sizeof(ask->ticket), NULL);
    ask->next = client->free_asks;
    client->free_asks = ask;
}

static void ask_answer(auth_client_t *client, ask_t *ask)
{
    auth_answer_fn *fn = ask->fn;
    void *baton = ask->baton;
    auth_answer_t answer = ask->answer;

    ask_free(client, ask);
    if (fn)
        fn(&answer, baton);
}

/* One whose time is over, or whose answer was known at once. A callback may
 * ask again, so the search begins anew after each. */
static ask_t *find_due(auth_client_t *client, apr_time_t now)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, client->asks); hi; hi = apr_hash_next(hi)) {
        ask_t *ask = apr_hash_this_val(hi);

        if (ask->until <= now)
            return ask;
    }
    return NULL;
}

static void answer_known(loop_t *loop, void *baton)
{
    auth_client_t *client = baton;
    ask_t *ask;

    (void)loop;
    while ((ask = find_due(client, 0)))
        ask_answer(client, ask);
}

static void on_timer(loop_t *loop, void *baton)
{
    auth_client_t *client = baton;
    apr_time_t now = mg_ticks();
    ask_t *ask;

    client->timer = NULL;
    while ((ask = find_due(client, now))) {
        if (ask->until)
            mg_log(MG_LOG_WARN, APR_SUCCESS, "no answer from auth");
        ask->answer.verdict = AUTH_UNAVAILABLE;
        ask_answer(client, ask);
    }
    if (apr_hash_count(client->asks))
        client->timer = loop_timer_set(loop, apr_time_from_sec(1), on_timer,
                                       client);
}

static void take_answer(auth_client_t *client, const auth_answer_wire_t *wire)
{
    ask_t *ask;

    if (wire->nonce != client->nonce)
        return; /* meant for one before us */
    ask = apr_hash_get(client->asks, &wire->ticket, sizeof(wire->ticket));
    if (!ask || !ask->until)
        return; /* too late */
    ask->answer.verdict = (auth_verdict_t)wire->verdict;
    ask->answer.account_id = wire->account_id;
    ask->answer.domain_id = wire->domain_id;
    ask->answer.mailbox_id = wire->mailbox_id;
    ask_answer(client, ask);
}

static void on_readable(loop_t *loop, int fd, int events, void *baton)
{
    auth_answer_wire_t wire;
    ssize_t n;

    (void)loop;
    (void)events;
    while ((n = recv(fd, &wire, sizeof(wire), MSG_DONTWAIT)) >= 0) {
        if (n == 0)
            return;
        if (n == (ssize_t)sizeof(wire) && wire.verdict <= AUTH_UNAVAILABLE)
            take_answer(baton, &wire);
    }
}

apr_status_t auth_client_create(auth_client_t **pclient, worker_t *worker)
{
    auth_client_t *client = apr_pcalloc(worker->pool, sizeof(*client));
    loop_watch_t *watch;

    *pclient = client;
    client->pool = worker->pool;
    client->loop = worker->loop;
    client->fd = worker->auth_fd;
    client->asks = apr_hash_make(worker->pool);
    client->job.fn = answer_known;
    client->job.baton = client;
    if (RAND_bytes((unsigned char *)&client->nonce, sizeof(client->nonce)) !=
        1)
        return APR_EGENERAL;
    return loop_watch(&watch, client->loop, client->fd, LOOP_READ,
                      on_readable, client);
}

/* @return the answer if there is one without asking */
static int send_question(auth_client_t *client, const ask_t *ask,
                         const char *login, const char *password,
                         const char *remote_ip, auth_verdict_t *pverdict)
{
    auth_question_t q = { .nonce = client->nonce, .ticket = ask->ticket };
    ssize_t n;

    *pverdict = AUTH_WRONG; /* no login or password of ours is that long */
    if (strlen(login) >= sizeof(q.login) ||
        strlen(password) >= sizeof(q.password) ||
        strlen(remote_ip) >= sizeof(q.ip))
        return 1;
    *pverdict = AUTH_UNAVAILABLE;
    if (apr_hash_count(client->asks) > OPEN_MAX)
        return 1;
    q.asked_at = mg_ticks();
    apr_cpystrn(q.login, login, sizeof(q.login));
    apr_cpystrn(q.password, password, sizeof(q.password));
    apr_cpystrn(q.ip, remote_ip, sizeof(q.ip));
    n = send(client->fd, &q, sizeof(q), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && q.asked_at - client->said_at > SAY_EVERY) {
        mg_log(MG_LOG_WARN, errno, "cannot ask auth");
        client->said_at = q.asked_at;
    }
    OPENSSL_cleanse(&q, sizeof(q));
    return n != (ssize_t)sizeof(q);
}

apr_uint32_t auth_client_ask(auth_client_t *client, const char *login,
                             const char *password, const char *remote_ip,
                             auth_answer_fn *fn, void *baton)
{
    ask_t *ask = ask_new(client);

    ask->fn = fn;
    ask->baton = baton;
    ask->until = mg_ticks() + AUTH_PATIENCE;
    if (send_question(client, ask, login, password, remote_ip,
                      &ask->answer.verdict)) {
        ask->until = 0;
        loop_soon(client->loop, &client->job);
    }
    if (!client->timer)
        client->timer = loop_timer_set(client->loop, apr_time_from_sec(1),
                                       on_timer, client);
    return ask->ticket;
}

void auth_client_forget(auth_client_t *client, apr_uint32_t ticket)
{
    ask_t *ask = apr_hash_get(client->asks, &ticket, sizeof(ticket));

    if (ask)
        ask_free(client, ask);
}
