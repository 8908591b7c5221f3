/* test_spamc.c - what spamd answers, and what becomes of those who ask. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "spamc.h"
#include "unit_pool.h"

#define OK "SPAMD/1.1 0 EX_OK\r\n"

static const struct {
    const char *said;
    apr_status_t rv;             /* as long as more may follow */
    apr_status_t at_eof;
    int score;
    const char *rules, *skipped; /* at eof */
} answers[] = {
    { OK "Content-length: 7\r\nSpam: True ; 15.1 / 5.0\r\n\r\nA_B,C_D",
      APR_SUCCESS, APR_SUCCESS, 15100, "A_B,C_D", NULL },
    { OK "Content-length: 5\r\nSpam: False ; -0.75 / 5.0\r\n\r\nA,B\r\n",
      APR_SUCCESS, APR_SUCCESS, -750, "A,B", NULL },
    { OK "Spam: False ; 0 / 5.0\r\n\r\nA\r\n", APR_EAGAIN, APR_SUCCESS, 0, "A",
      NULL },
    { OK "Content-length: 0\r\nSpam: False ; 0.0 / 5.0\r\n\r\n", APR_SUCCESS,
      APR_SUCCESS, 0, "", NULL },
    /* rspamd's */
    { "RSPAMD/1.3 0 EX_OK\r\nContent-length: 3\r\nSpam: False ; 1.20 / 15.00"
      "\r\n\r\nA,B", APR_SUCCESS, APR_SUCCESS, 1200, "A,B", NULL },
    { OK "Content-length: 30\r\nSpam: False ; 0.00 / 15.00\r\n\r\n", APR_EAGAIN,
      APR_SUCCESS, 0, "", NULL },
    /* nothing gets into a header field */
    { OK "Content-length: 26\r\nspam: True;5/5\r\n\r\nA,\r\nX-Evil: 1,<b>,,_C\x01\xff,"
      "\r\n\r\n", APR_SUCCESS, APR_SUCCESS, 5000, "A,X-Evil1,b,_C", NULL },
    { OK "Content-length: 9\r\nSpam: True ; 15.1 / 5.0\r\n\r\nA_B,C_D",
      APR_EAGAIN, MG_EBADINPUT, 0, NULL, "spamd hung up" },
    { "", APR_EAGAIN, MG_EBADINPUT, 0, NULL, "spamd hung up" },
    { "SPAMD/1.1 0 EX_OK", APR_EAGAIN, MG_EBADINPUT, 0, NULL, "spamd hung up" },
    { OK, APR_EAGAIN, MG_EBADINPUT, 0, NULL, "spamd hung up" },
    { OK "\r\n", APR_EAGAIN, MG_EBADINPUT, 0, NULL,
      "spamd's answer has no score" },
    { "SPAMD/1.0 76 Bad header line: (Protocol error)\r\n", MG_EBADINPUT,
      MG_EBADINPUT, 0, NULL,
      "spamd says 76 Bad header line: (Protocol error)" },
    { "HTTP/1.1 400 no\r\n", MG_EBADINPUT, MG_EBADINPUT, 0, NULL,
      "what answers is no spamd" },
    { "220 mail.test ESMTP SPAMD/1.1 0\r\n", MG_EBADINPUT, MG_EBADINPUT, 0,
      NULL, "what answers is no spamd" },
    { "SPAMD/1.1\r\n", MG_EBADINPUT, MG_EBADINPUT, 0, NULL,
      "what answers is no spamd" },
    { OK "Spam: True\r\n\r\n", MG_EBADINPUT, MG_EBADINPUT, 0, NULL,
      "spamd's answer has no score" },
    { OK "Spam: True ; 1e9 / 5\r\n\r\n", MG_EBADINPUT, MG_EBADINPUT, 0, NULL,
      "spamd's answer has no score" },
    { OK "Spam: True ; 99999999999999 / 5\r\n\r\n", MG_EBADINPUT, MG_EBADINPUT,
      0, NULL, "spamd's answer has no score" },
    { OK "Content-length: -1\r\n", MG_EBADINPUT, MG_EBADINPUT, 0, NULL,
      "spamd's answer has no length" },
    { OK "Content-length: x\r\n", MG_EBADINPUT, MG_EBADINPUT, 0, NULL,
      "spamd's answer has no length" },
};

static void test_answers(void **state)
{
    apr_size_t i;

    (void)state;
    for (i = 0; i < COUNT(answers); i++) {
        apr_size_t len = strlen(answers[i].said);
        spamc_answer_t a;

        assert_int_equal(spamc_read(&a, answers[i].said, len, 0, pool),
                         answers[i].rv);
        assert_int_equal(spamc_read(&a, answers[i].said, len, 1, pool),
                         answers[i].at_eof);
        if (answers[i].skipped) {
            assert_string_equal(a.skipped, answers[i].skipped);
            continue;
        }
        assert_null(a.skipped);
        assert_int_equal(a.score, answers[i].score);
        assert_string_equal(a.rules, answers[i].rules);
    }
}

/* However it is cut, it is whole only at its end. */
static void test_pieces(void **state)
{
    apr_size_t len = strlen(answers[0].said), n;
    spamc_answer_t a;

    (void)state;
    for (n = 0; n < len; n++)
        assert_int_equal(spamc_read(&a, answers[0].said, n, 0, pool),
                         APR_EAGAIN);
}

static void test_many_rules(void **state)
{
    char *said = apr_pstrdup(pool, OK "Spam: True ; 9 / 5\r\n\r\n");
    spamc_answer_t a;
    int i;

    (void)state;
    for (i = 0; i < 1000; i++)
        said = apr_psprintf(pool, "%sRULE_NUMBER_%d,", said, i);
    assert_int_equal(spamc_read(&a, said, strlen(said), 1, pool), APR_SUCCESS);
    assert_true(strlen(a.rules) <= SPAMC_RULES_MAX);
    assert_true(spamc_has_rule(&a, "RULE_NUMBER_0"));
    assert_true(spamc_has_rule(&a, "RULE_NUMBER_10"));
    assert_false(spamc_has_rule(&a, "RULE_NUMBER_"));
    assert_false(spamc_has_rule(&a, "NUMBER_10"));
    assert_false(spamc_has_rule(&a, "RULE_NUMBER_999"));
}

/* --- asking --- */

/* What plays spamd. */
static enum { ANSWERS, NO_LENGTH, IS_SILENT, HANGS_UP, TALKS, STREAMS } manner;
static int n_open, n_most, n_accepted;
static char heard[1 << 20];
static apr_size_t n_heard;

static loop_t *loop;
static mg_config_t *config;
static conn_listener_t *listener;
static apr_pool_t *servers;

static void server_input(conn_t *conn, void *baton)
{
    static const char body[] = "\r\n\r\n";
    static char stream[60000];
    apr_size_t len;
    const char *in = conn_peek(conn, &len), *start;

    (void)baton;
    if (n_heard + len < sizeof(heard)) {
        memcpy(heard + n_heard, in, len);
        n_heard += len;
        heard[n_heard] = '\0';
    }
    conn_skip(conn, len);
    start = strstr(heard, body);
    if (manner == IS_SILENT || !start
        || (apr_int64_t)strlen(start + 4)
               < apr_atoi64(strstr(heard, "length: ") + 8))
        return;
    n_heard = 0;
    if (manner == HANGS_UP) {
        n_open--;
        conn_close(conn);
        return;
    }
    if (manner == STREAMS) {
        memset(stream, 'a', sizeof(stream));
        conn_write(conn, stream, sizeof(stream));
        return;
    }
    conn_printf(conn, "%s", manner == TALKS ? "how are you?\r\n"
                : manner == NO_LENGTH ? OK "Spam: True ; 6.5 / 5.0\r\n\r\nRULES"
                : OK "Content-length: 5\r\nSpam: True ; 6.5 / 5.0\r\n\r\nRULES");
    n_open--;
    conn_finish(conn);
}

static void server_close(conn_t *conn, apr_status_t rv, void *baton)
{
    (void)conn;
    (void)rv;
    (void)baton;
    n_open--;
}

static const conn_events_t server_events = { server_input, NULL, NULL,
                                             server_close };

static void server_accept(int fd, const struct sockaddr *peer, socklen_t len,
                          void *baton)
{
    (void)peer;
    (void)len;
    (void)baton;
    n_accepted++;
    if (++n_open > n_most)
        n_most = n_open;
    conn_create(loop, fd, &server_events, NULL, servers);
}

static int listen_somewhere(void)
{
    struct sockaddr_in in;
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 100), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    config->spamd = apr_psprintf(pool, "127.0.0.1:%d", ntohs(in.sin_port));
    return fd;
}

typedef struct {
    const char *text;
    int done;
    char *skipped;
    int score;
    spamc_check_t *check;
} question_t;

static apr_status_t content(apr_int64_t offset, char *to, apr_size_t len,
                            void *baton)
{
    question_t *q = baton;

    if (!q->text)
        return MG_EFULL;
    memcpy(to, q->text + offset, len);
    return APR_SUCCESS;
}

static void on_done(const spamc_answer_t *answer, void *baton)
{
    question_t *q = baton;

    q->done++;
    q->score = answer->score;
    q->skipped = answer->skipped ? apr_pstrdup(pool, answer->skipped) : NULL;
}

static question_t *ask(spamc_t *spamc, const char *text)
{
    question_t *q = apr_pcalloc(pool, sizeof(*q));

    q->text = text;
    q->check = spamc_ask(spamc, text ? (apr_int64_t)strlen(text) : 10, content,
                         on_done, q);
    assert_int_equal(q->done, 0);
    return q;
}

static void turn(apr_interval_time_t t)
{
    apr_time_t until = mg_ticks() + t;

    do
        loop_turn(loop, 1000);
    while (mg_ticks() < until);
}

static const char *outcome(question_t *q)
{
    apr_time_t until = mg_ticks() + apr_time_from_sec(5);

    while (!q->done && mg_ticks() < until)
        loop_turn(loop, 1000);
    assert_int_equal(q->done, 1);
    return q->skipped ? q->skipped : "";
}

static int fd;

static spamc_t *begin(void)
{
    spamc_t *spamc;

    n_open = n_most = n_accepted = 0;
    n_heard = 0;
    manner = ANSWERS;
    config = mg_config_create(pool);
    config->spam_timeout = apr_time_from_msec(200);
    config->spam_concurrency = 2;
    assert_int_equal(loop_create(&loop, pool), APR_SUCCESS);
    apr_pool_create(&servers, pool);
    fd = listen_somewhere();
    conn_listen_accept(&listener, loop, fd, server_accept, NULL);
    assert_int_equal(spamc_create(&spamc, loop, config, pool), APR_SUCCESS);
    return spamc;
}

static void test_asks(void **state)
{
    spamc_t *spamc = begin();
    question_t *q = ask(spamc, "From: a\r\n\r\nhello\r\n");

    (void)state;
    assert_string_equal(outcome(q), "");
    assert_int_equal(q->score, 6500);
    assert_string_equal(heard, "SYMBOLS SPAMC/1.5\r\nContent-length: 18\r\n"
                               "\r\nFrom: a\r\n\r\nhello\r\n");
}

/* Its end is that spamd hangs up. */
static void test_no_length(void **state)
{
    spamc_t *spamc = begin();
    question_t *q;

    (void)state;
    manner = NO_LENGTH;
    q = ask(spamc, "x");
    assert_string_equal(outcome(q), "");
    assert_int_equal(q->score, 6500);
}

static void test_large(void **state)
{
    spamc_t *spamc = begin();
    char *text = apr_palloc(pool, 300001);

    (void)state;
    memset(text, 'x', 300000);
    text[300000] = '\0';
    assert_string_equal(outcome(ask(spamc, text)), "");
    config->spam_size_limit = 299999;
    assert_string_equal(outcome(ask(spamc, text)),
                        "the message is too large");
    assert_int_equal(n_accepted, 1);
}

/* As many as are wanted at a time, the others in line. */
static void test_concurrency(void **state)
{
    spamc_t *spamc = begin();
    question_t *q[10];
    int i;

    (void)state;
    for (i = 0; i < 10; i++)
        q[i] = ask(spamc, "x");
    for (i = 0; i < 10; i++)
        assert_string_equal(outcome(q[i]), "");
    assert_int_equal(n_most, 2);
    assert_int_equal(n_accepted, 10);
}

static const struct {
    int manner;
    const char *why;
} trouble[] = {
    { IS_SILENT, "spamd takes too long" },
    { HANGS_UP, "spamd hung up" },
    { TALKS, "what answers is no spamd" },
    { STREAMS, "spamd's answer has no end" },
};

static void test_trouble(void **state)
{
    apr_size_t i;

    (void)state;
    for (i = 0; i < COUNT(trouble); i++) {
        spamc_t *spamc = begin();
        question_t *q;

        manner = (int)trouble[i].manner;
        q = ask(spamc, "x");
        assert_string_equal(outcome(q), trouble[i].why);
        /* one is no outage */
        manner = ANSWERS;
        assert_string_equal(outcome(ask(spamc, "x")), "");
        apr_pool_destroy(servers);
    }
}

/* Those behind two that take all their time wait no longer than that. */
static void test_line_waits_briefly(void **state)
{
    spamc_t *spamc = begin();
    question_t *q[4];
    int i;

    (void)state;
    manner = IS_SILENT;
    for (i = 0; i < 4; i++)
        q[i] = ask(spamc, "x");
    assert_string_equal(outcome(q[0]), "spamd takes too long");
    assert_string_equal(outcome(q[1]), "spamd takes too long");
    for (i = 2; i < 4; i++)
        assert_true(strcmp(outcome(q[i]), "too many messages wait for spamd")
                        == 0 || strcmp(outcome(q[i]),
                                       "spamd takes too long") == 0);
}

/* Nobody is there: after three it is not tried for some seconds. */
static void test_nobody(void **state)
{
    spamc_t *spamc = begin();
    int i;

    (void)state;
    conn_listen_stop(listener);
    close(fd);
    for (i = 0; i < 3; i++)
        assert_string_equal(outcome(ask(spamc, "x")), "Connection refused");
    assert_string_equal(outcome(ask(spamc, "x")), "spamd does not answer");
}

static void test_unreadable(void **state)
{
    spamc_t *spamc = begin();

    (void)state;
    assert_string_equal(outcome(ask(spamc, NULL)),
                        "the message cannot be read");
}

static void test_forgotten(void **state)
{
    spamc_t *spamc = begin();
    question_t *q[5];
    int i;

    (void)state;
    manner = IS_SILENT;
    for (i = 0; i < 5; i++)
        q[i] = ask(spamc, "x");
    turn(20000);
    spamc_forget(q[4]->check); /* in line */
    spamc_forget(q[0]->check); /* asked: q[2] is next */
    turn(20000);
    spamc_forget(q[1]->check);
    turn(20000);
    assert_int_equal(n_accepted, 4);
    spamc_forget(q[2]->check);
    manner = ANSWERS;
    spamc_forget(q[3]->check);
    q[0] = ask(spamc, NULL);   /* over, and not told yet */
    turn(0);
    config->spam_size_limit = 1;
    q[1] = ask(spamc, "xxx");
    spamc_forget(q[1]->check);
    outcome(q[0]);
    turn(20000);
    for (i = 1; i < 5; i++)
        assert_int_equal(q[i]->done, 0);
    assert_int_equal(n_open, 0);
}

static void test_unix_socket(void **state)
{
    spamc_t *spamc = begin();

    (void)state;
    config->spamd = "unix:/nonexistent/spamd.sock";
    assert_int_equal(spamc_create(&spamc, loop, config, pool), APR_SUCCESS);
    assert_string_equal(outcome(ask(spamc, "x")),
                        "no connection can be made");
    config->spamd = apr_psprintf(pool, "unix:/%0300d", 1);
    assert_int_equal(spamc_create(&spamc, loop, config, pool), MG_ECONFIG);
    config->spamd = "[::1]:9";
    assert_int_equal(spamc_create(&spamc, loop, config, pool), APR_SUCCESS);
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        int n;                   /* -1: it is none */
    } cases[] = {
        { "5", 5000 }, { "5.0", 5000 }, { "-0.75", -750 }, { "+1.2345", 1234 },
        { "0", 0 }, { "1000000", 1000000000 }, { "1000001", -1 }, { "", -1 },
        { ".5", -1 }, { "5.", -1 }, { "5.x", -1 }, { "5 ", -1 }, { "x", -1 },
        { "--5", -1 }, { "99999999999999999999", -1 },
    };
    apr_size_t i;
    int n;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        apr_status_t rv = mg_text_thousandths(&n, cases[i].text);

        assert_int_equal(rv, cases[i].n == -1 ? MG_EBADINPUT : APR_SUCCESS);
        if (rv == APR_SUCCESS)
            assert_int_equal(n, cases[i].n);
    }
}

UNIT_MAIN(cmocka_unit_test(test_answers), cmocka_unit_test(test_pieces),
          cmocka_unit_test(test_many_rules), cmocka_unit_test(test_asks),
          cmocka_unit_test(test_no_length),
          cmocka_unit_test(test_large), cmocka_unit_test(test_concurrency),
          cmocka_unit_test(test_trouble),
          cmocka_unit_test(test_line_waits_briefly),
          cmocka_unit_test(test_nobody), cmocka_unit_test(test_unreadable),
          cmocka_unit_test(test_forgotten), cmocka_unit_test(test_unix_socket),
          cmocka_unit_test(test_numbers))
