/* auth.c - the auth role: is this password right?
 *
 * All auth workers read all receivers' pairs (auth_wire.h); a question goes to
 * who is free, because a busy one is inside bcrypt and reads nothing. This is
 * the one role whose loop may stand still for 50 ms.
 *
 * An unknown login costs the same bcrypt as a known one, so that time does not
 * tell which addresses exist. After failures the next question of the same
 * address for the same login is held back by a timer, right or wrong.
 */
#include <string.h>
#include <sys/socket.h>

#include <openssl/crypto.h>

#include "auth_client.h"
#include "auth_memory.h"
#include "auth_wire.h"
#include "mg_credential.h"
#include "mg_log.h"
#include "mg_mailbox.h"
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_time.h"

#define HELD_MAX 1000
/* bcrypt, cost 10, of a password that nobody has */
#define NOBODYS_HASH \
    "$2y$10$KbQi0ZyzPWVnOWoK4oUVDeur6ywPnDS/sqpANOofUxz3kAOfbKrOu"

typedef struct auth_t auth_t;
typedef struct held_t held_t;
struct held_t {
    auth_t *auth;
    int fd;
    auth_question_t q;
    held_t *next;              /* free ones */
};

struct auth_t {
    worker_t *worker;
    apr_pool_t *ptemp;         /* of one question */
    auth_memory_t *memory;
    loop_watch_t **watches;
    int n_held;
    held_t *free_held;
};

static void say(int fd, const auth_question_t *q, const auth_answer_t *answer)
{
    auth_answer_wire_t wire = {
        .nonce = q->nonce, .ticket = q->ticket, .verdict = answer->verdict,
        .account_id = answer->account_id, .domain_id = answer->domain_id,
        .mailbox_id = answer->mailbox_id
    };

    /* a receiver that does not read has given up waiting */
    if (send(fd, &wire, sizeof(wire), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        mg_log(MG_LOG_DEBUG, APR_SUCCESS, "an answer found no reader");
}

/* the store */

/* A mailbox, or a credential of a domain. Ids of both are of one kind. */
typedef struct {
    apr_int64_t id, account_id, domain_id, mailbox_id, revision;
    const char *password_hash;
} login_t;

/* APR_SUCCESS, or APR_ENOENT if its domain or account may not send. */
static apr_status_t check_owner(auth_t *auth, const login_t *login)
{
    worker_t *worker = auth->worker;
    const mg_domain_t *domain;
    apr_int64_t n = 0;
    apr_status_t rv;

    rv = mg_domain_cached_by_id(&domain, worker->domains, worker->db,
                                login->domain_id);
    if (rv != APR_SUCCESS)
        return rv;
    if (strcmp(domain->state, "disabled") == 0)
        return APR_ENOENT;
    return mg_db_get_int(worker->db, &n,
                         "SELECT 1 FROM account WHERE id = $1 AND "
                         "state = 'active'", "i", login->account_id);
}

static auth_verdict_t check_password(auth_t *auth, const auth_question_t *q,
                                     const login_t *login)
{
    if (login->id && auth_memory_is_proven(auth->memory, login->id,
                                           login->revision, q->password))
        return AUTH_OK;
    if (!mg_password_matches(q->password, login->id ? login->password_hash
                                                    : NOBODYS_HASH))
        return AUTH_WRONG;
    if (!login->id)
        return AUTH_WRONG;
    auth_memory_prove(auth->memory, login->id, login->revision, q->password);
    return AUTH_OK;
}

static apr_status_t find_credential(login_t *login, auth_t *auth,
                                    const auth_question_t *q)
{
    mg_credential_t *credential;
    apr_status_t rv;

    rv = mg_credential_by_login(&credential, auth->worker->db, q->login,
                                auth->ptemp);
    if (rv != APR_SUCCESS)
        return rv;
    login->id = credential->id;
    login->account_id = credential->account_id;
    login->domain_id = credential->domain_id;
    login->revision = credential->revision;
    login->password_hash = credential->password_hash;
    return APR_SUCCESS;
}

/* login->id 0: there is none. */
static apr_status_t find_login(login_t *login, auth_t *auth,
                               const auth_question_t *q)
{
    worker_t *worker = auth->worker;
    mg_mailbox_t *mailbox;
    apr_status_t rv;

    memset(login, 0, sizeof(*login));
    rv = mg_mailbox_by_address(&mailbox, worker->db, q->login, auth->ptemp);
    if (rv == MG_EADDRESS)
        rv = APR_ENOENT;
    if (rv == APR_SUCCESS) {
        login->id = login->mailbox_id = mailbox->id;
        login->account_id = mailbox->account_id;
        login->domain_id = mailbox->domain_id;
        login->revision = mailbox->revision;
        login->password_hash = mailbox->password_hash;
    }
    else if (rv == APR_ENOENT) {
        rv = find_credential(login, auth, q);
    }
    if (rv == APR_SUCCESS)
        rv = check_owner(auth, login);
    return worker_db_check(worker, rv);
}

static void judge(auth_t *auth, const auth_question_t *q,
                  auth_answer_t *answer)
{
    worker_t *worker = auth->worker;
    login_t login;
    apr_status_t rv;

    answer->verdict = AUTH_UNAVAILABLE;
    if (!worker_db_usable(worker))
        return;
    rv = find_login(&login, auth, q);
    /* the connection broke while we were idle, and is there again */
    if (rv == MG_ELOST && worker_db_usable(worker))
        rv = find_login(&login, auth, q);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_ENOENT(rv))
        return;
    answer->verdict = check_password(auth, q, &login);
    if (rv != APR_SUCCESS)
        answer->verdict = AUTH_WRONG;
    if (answer->verdict != AUTH_OK)
        return;
    answer->account_id = login.account_id;
    answer->domain_id = login.domain_id;
    answer->mailbox_id = login.mailbox_id;
}

static void answer_question(auth_t *auth, int fd, const auth_question_t *q)
{
    auth_answer_t answer = { 0 };

    judge(auth, q, &answer);
    if (answer.verdict == AUTH_WRONG) {
        auth_memory_failed(auth->memory, q->ip, q->login);
        mg_log(MG_LOG_INFO, APR_SUCCESS, "wrong password or login: %s from %s",
               q->login, q->ip);
    }
    else if (answer.verdict == AUTH_OK) {
        auth_memory_succeeded(auth->memory, q->ip, q->login);
    }
    say(fd, q, &answer);
    apr_pool_clear(auth->ptemp);
}

/* holding back */

static void check_stopped(auth_t *auth)
{
    if (auth->worker->stopping && !auth->n_held)
        worker_done(auth->worker);
}

static void on_held(loop_t *loop, void *baton);

static void hold(auth_t *auth, int fd, const auth_question_t *q,
                 apr_interval_time_t wait)
{
    static const auth_answer_t unavailable = { .verdict = AUTH_UNAVAILABLE };
    held_t *held = auth->free_held;

    if (auth->n_held >= HELD_MAX) {
        say(fd, q, &unavailable);
        return;
    }
    if (held)
        auth->free_held = held->next;
    else
        held = apr_palloc(auth->worker->pool, sizeof(*held));
    held->auth = auth;
    held->fd = fd;
    held->q = *q;
    auth->n_held++;
    loop_timer_set(auth->worker->loop, wait, on_held, held);
}

static void consider(auth_t *auth, int fd, const auth_question_t *q)
{
    apr_interval_time_t wait;

    if (mg_ticks() - q->asked_at > AUTH_PATIENCE)
        return; /* the session has its answer already */
    wait = auth_memory_delay(auth->memory, q->ip, q->login);
    if (wait > 0)
        hold(auth, fd, q, wait);
    else
        answer_question(auth, fd, q);
}

/* Others of the same address may have failed while this one waited. */
static void on_held(loop_t *loop, void *baton)
{
    held_t *held = baton;
    auth_t *auth = held->auth;
    auth_question_t q = held->q;

    (void)loop;
    OPENSSL_cleanse(&held->q, sizeof(held->q));
    held->next = auth->free_held;
    auth->free_held = held;
    auth->n_held--;
    consider(auth, held->fd, &q);
    OPENSSL_cleanse(&q, sizeof(q));
    check_stopped(auth);
}

/* One question a time and pair: what is left is for another worker. */
static void on_readable(loop_t *loop, int fd, int events, void *baton)
{
    auth_t *auth = baton;
    auth_question_t q;
    ssize_t n;

    (void)loop;
    (void)events;
    n = recv(fd, &q, sizeof(q), MSG_DONTWAIT);
    if (n != (ssize_t)sizeof(q) || auth->worker->stopping)
        return;
    q.login[sizeof(q.login) - 1] = '\0';
    q.password[sizeof(q.password) - 1] = '\0';
    q.ip[sizeof(q.ip) - 1] = '\0';
    consider(auth, fd, &q);
    OPENSSL_cleanse(&q, sizeof(q));
}

static void on_stop(worker_t *worker)
{
    auth_t *auth = worker->role_data;
    int i;

    for (i = 0; i < worker->auth_fds->nelts; i++)
        if (auth->watches[i])
            loop_unwatch(auth->watches[i]);
    memset(auth->watches, 0, sizeof(*auth->watches) *
           (size_t)worker->auth_fds->nelts);
    check_stopped(auth);
}

apr_status_t auth_start(worker_t *worker)
{
    auth_t *auth = apr_pcalloc(worker->pool, sizeof(*auth));
    apr_status_t rv = APR_SUCCESS;
    int i;

    auth->worker = worker;
    auth->memory = auth_memory_create(worker->pool);
    if (!auth->memory)
        return APR_EGENERAL;
    apr_pool_create(&auth->ptemp, worker->pool);
    auth->watches = apr_pcalloc(worker->pool, sizeof(*auth->watches) *
                                (apr_size_t)worker->auth_fds->nelts);
    for (i = 0; i < worker->auth_fds->nelts && rv == APR_SUCCESS; i++)
        rv = loop_watch(&auth->watches[i], worker->loop,
                        APR_ARRAY_IDX(worker->auth_fds, i, int), LOOP_READ,
                        on_readable, auth);
    worker->role_data = auth;
    worker->on_stop = on_stop;
    return rv;
}
