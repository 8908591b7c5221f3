/* test_auth.c - questions about passwords, receiver to auth and back. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "auth_client.h"
#include "auth_memory.h"
#include "mg_credential.h"
#include "mg_seal.h"
#include "mg_time.h"
#include "unit_records.h"
#include "unit_worker.h"

typedef struct {
    unit_store_t *s;
    worker_t *auth, *receiver;
    auth_client_t *client;
    mg_domain_t *domain;
    int fds[2];
} bench_t;

typedef struct {
    int done;
    auth_answer_t answer;
} asked_t;

static void on_answer(const auth_answer_t *answer, void *baton)
{
    asked_t *asked = baton;

    asked->answer = *answer;
    asked->done++;
}

static void begin(bench_t *b, unit_store_t *s)
{
    apr_array_header_t *fds = apr_array_make(s->p, 1, sizeof(int));
    mg_mailbox_t *box;

    memset(b, 0, sizeof(*b));
    b->s = s;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0,
                                b->fds), 0);
    b->domain = unit_domain(s, unit_account(s, "acme"), "a.test");
    unit_store_ok(s->db, mg_mailbox_add(&box, s->db, b->domain->account_id,
                                        b->domain->id, "Bob@a.test",
                                        mg_password_hash("bobspass", s->p),
                                        s->p));
    b->auth = unit_worker(s, MG_ROLE_AUTH);
    APR_ARRAY_PUSH(fds, int) = b->fds[1];
    b->auth->auth_fds = fds;
    assert_int_equal(auth_start(b->auth), APR_SUCCESS);
    b->receiver = unit_worker(s, MG_ROLE_RECEIVER);
    b->receiver->auth_fd = b->fds[0];
    assert_int_equal(auth_client_create(&b->client, b->receiver),
                     APR_SUCCESS);
}

static void end(bench_t *b)
{
    apr_pool_destroy(b->receiver->pool);
    apr_pool_destroy(b->auth->pool);
    close(b->fds[0]);
    close(b->fds[1]);
}

static void turn(bench_t *b)
{
    loop_turn(b->auth->loop, 1000);
    loop_turn(b->receiver->loop, 1000);
}

static auth_answer_t ask(bench_t *b, const char *login, const char *password)
{
    asked_t asked = { 0 };
    int i;

    /* another address each time: nobody is held back */
    static int n;
    const char *ip = apr_psprintf(b->s->p, "192.0.2.%d", n++ % 250);

    auth_client_ask(b->client, login, password, ip, on_answer, &asked);
    assert_int_equal(asked.done, 0); /* never from within */
    for (i = 0; i < 5000 && !asked.done; i++)
        turn(b);
    assert_int_equal(asked.done, 1);
    return asked.answer;
}

static void verdicts(void **state)
{
    static const struct {
        const char *login, *password;
        auth_verdict_t verdict;
    } cases[] = {
        { "bob@a.test", "bobspass", AUTH_OK },
        { "bob@a.test", "bobspass", AUTH_OK },
        { "BOB@A.TEST", "bobspass", AUTH_OK },
        { "bob@a.test", "Bobspass", AUTH_WRONG },
        { "bob@a.test", "", AUTH_WRONG },
        { "bob", "bobspass", AUTH_WRONG },
        { "", "", AUTH_WRONG },
        { "alice@a.test", "bobspass", AUTH_WRONG },
        { "bob@a.test' OR 1=1 --", "x", AUTH_WRONG },
        { "bob@\377.test", "x", AUTH_WRONG },
    };
    char *longest;
    bench_t b;
    size_t i;

    begin(&b, *state);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auth_answer_t a = ask(&b, cases[i].login, cases[i].password);

        assert_int_equal(a.verdict, cases[i].verdict);
        assert_int_equal(a.domain_id,
                         a.verdict == AUTH_OK ? b.domain->id : 0);
    }
    longest = apr_palloc(b.s->p, 5001);
    memset(longest, 'x', 5000);
    longest[5000] = '\0';
    assert_int_equal(ask(&b, longest, "x").verdict, AUTH_WRONG);
    assert_int_equal(ask(&b, "bob@a.test", longest).verdict, AUTH_WRONG);
    end(&b);
}

/* What was proven is worth nothing after a change. */
static void changes(void **state)
{
    const char *error;
    mg_mailbox_t *box;
    bench_t b;

    begin(&b, *state);
    assert_int_equal(ask(&b, "bob@a.test", "bobspass").verdict, AUTH_OK);
    unit_store_ok(b.s->db, mg_mailbox_by_address(&box, b.s->db, "bob@a.test",
                                                 b.s->p));
    unit_store_ok(b.s->db, mg_mailbox_set_password(
        b.s->db, box->id, mg_password_hash("newpass", b.s->p)));
    assert_int_equal(ask(&b, "bob@a.test", "bobspass").verdict, AUTH_WRONG);
    assert_int_equal(ask(&b, "bob@a.test", "newpass").verdict, AUTH_OK);
    unit_store_ok(b.s->db, mg_account_set(b.s->db, b.domain->account_id,
                                          "state", "disabled", &error,
                                          b.s->p));
    assert_int_equal(ask(&b, "bob@a.test", "newpass").verdict, AUTH_WRONG);
    unit_store_ok(b.s->db, mg_account_set(b.s->db, b.domain->account_id,
                                          "state", "active", &error, b.s->p));
    assert_int_equal(ask(&b, "bob@a.test", "newpass").verdict, AUTH_OK);
    unit_store_ok(b.s->db, mg_mailbox_delete(b.s->db, box->id));
    assert_int_equal(ask(&b, "bob@a.test", "newpass").verdict, AUTH_WRONG);
    end(&b);
}

/* A login without a mailbox, and the mailbox that is made at its address. */
static void credentials(void **state)
{
    mg_credential_t *c;
    mg_mailbox_t *box;
    auth_answer_t a;
    bench_t b;

    begin(&b, *state);
    unit_store_ok(b.s->db, mg_credential_add(
        &c, b.s->db, b.domain, "app", mg_password_hash("appspass", b.s->p),
        b.s->p));
    a = ask(&b, "App@a.test", "appspass");
    assert_int_equal(a.verdict, AUTH_OK);
    assert_int_equal(a.domain_id, b.domain->id);
    assert_int_equal(a.account_id, b.domain->account_id);
    assert_int_equal(a.mailbox_id, 0);
    assert_int_equal(ask(&b, "app@a.test", "bobspass").verdict, AUTH_WRONG);
    assert_int_equal(ask(&b, "app", "appspass").verdict, AUTH_WRONG);
    unit_store_ok(b.s->db, mg_credential_set_password(
        b.s->db, c->id, mg_password_hash("newpass", b.s->p)));
    assert_int_equal(ask(&b, "app@a.test", "appspass").verdict, AUTH_WRONG);
    assert_int_equal(ask(&b, "app@a.test", "newpass").verdict, AUTH_OK);
    unit_store_ok(b.s->db, mg_mailbox_add(
        &box, b.s->db, b.domain->account_id, b.domain->id, "app@a.test",
        mg_password_hash("boxspass", b.s->p), b.s->p));
    assert_int_equal(ask(&b, "app@a.test", "newpass").verdict, AUTH_WRONG);
    assert_int_equal(ask(&b, "app@a.test", "boxspass").mailbox_id, box->id);
    unit_store_ok(b.s->db, mg_mailbox_delete(b.s->db, box->id));
    assert_int_equal(ask(&b, "app@a.test", "newpass").verdict, AUTH_OK);
    unit_store_ok(b.s->db, mg_credential_remove(b.s->db, c->id));
    assert_int_equal(ask(&b, "app@a.test", "newpass").verdict, AUTH_WRONG);
    end(&b);
}

static void held_back(void **state)
{
    asked_t asked[2] = { { 0 } };
    apr_time_t begun;
    bench_t b;
    int i;

    begin(&b, *state);
    auth_client_ask(b.client, "bob@a.test", "wrong", "198.51.100.1",
                    on_answer, &asked[0]);
    for (i = 0; i < 5000 && !asked[0].done; i++)
        turn(&b);
    begun = mg_ticks();
    auth_client_ask(b.client, "bob@a.test", "bobspass", "198.51.100.1",
                    on_answer, &asked[1]);
    for (i = 0; i < 5000 && !asked[1].done; i++)
        turn(&b);
    assert_int_equal(asked[1].answer.verdict, AUTH_OK);
    assert_true(mg_ticks() - begun > apr_time_from_msec(150));
    end(&b);
}

static void forgotten(void **state)
{
    asked_t asked = { 0 };
    apr_uint32_t ticket;
    bench_t b;
    int i;

    begin(&b, *state);
    ticket = auth_client_ask(b.client, "bob@a.test", "x", "192.0.2.1",
                             on_answer, &asked);
    auth_client_forget(b.client, ticket);
    auth_client_forget(b.client, ticket);
    for (i = 0; i < 100; i++)
        turn(&b);
    assert_int_equal(asked.done, 0);
    end(&b);
}

/* No auth worker: the pair fills up, and nobody waits for ever. */
static void unavailable(void **state)
{
    static asked_t asked[400];
    int i, n = 0;
    bench_t b;

    begin(&b, *state);
    memset(asked, 0, sizeof(asked));
    for (i = 0; i < 400; i++)
        auth_client_ask(b.client, "bob@a.test", "x", "192.0.2.1", on_answer,
                        &asked[i]);
    for (i = 0; i < 10; i++)
        loop_turn(b.receiver->loop, 1000);
    for (i = 0; i < 400; i++) {
        n += asked[i].done;
        if (asked[i].done)
            assert_int_equal(asked[i].answer.verdict, AUTH_UNAVAILABLE);
    }
    assert_in_range(n, 100, 399);
    end(&b);
}

static void memory(void **state)
{
    unit_store_t *s = *state;
    auth_memory_t *m = auth_memory_create(s->p);
    int i;

    assert_false(auth_memory_is_proven(m, 1, 7, "secret"));
    auth_memory_prove(m, 1, 7, "secret");
    assert_true(auth_memory_is_proven(m, 1, 7, "secret"));
    assert_false(auth_memory_is_proven(m, 1, 8, "secret"));
    assert_false(auth_memory_is_proven(m, 1, 7, "Secret"));
    assert_false(auth_memory_is_proven(m, 2, 7, "secret"));
    assert_int_equal(auth_memory_delay(m, "192.0.2.1", "bob"), 0);
    for (i = 0; i < 3; i++)
        auth_memory_failed(m, "192.0.2.1", "bob");
    assert_true(auth_memory_delay(m, "192.0.2.1", "BOB") >
                apr_time_from_msec(800));
    assert_int_equal(auth_memory_delay(m, "192.0.2.2", "bob"), 0);
    assert_int_equal(auth_memory_delay(m, "192.0.2.1", "eve"), 0);
    auth_memory_succeeded(m, "192.0.2.1", "bob");
    assert_int_equal(auth_memory_delay(m, "192.0.2.1", "bob"), 0);
    /* many logins of one address */
    for (i = 0; i < 30; i++)
        auth_memory_failed(m, "192.0.2.3", apr_psprintf(s->p, "l%d", i));
    assert_true(auth_memory_delay(m, "192.0.2.3", "new") > 0);
    /* bounded */
    for (i = 0; i < 20000; i++)
        auth_memory_failed(m, apr_psprintf(s->p, "10.0.%d.%d", i / 250,
                                           i % 250), "x");
    assert_int_equal(auth_memory_delay(m, "192.0.2.3", "new"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_SQLITE(verdicts),
        UNIT_ON_SQLITE(changes),
        UNIT_ON_SQLITE(credentials),
        UNIT_ON_SQLITE(held_back),
        UNIT_ON_SQLITE(forgotten),
        UNIT_ON_SQLITE(unavailable),
        UNIT_ON_SQLITE(memory),
    };

    return unit_store_run("auth", tests);
}
