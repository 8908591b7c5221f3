/* test_conn.c - the loop and the connections of smtpd. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <unistd.h>
#include <fcntl.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "conn.h"
#include "mg_status.h"
#include "mg_time.h"
#include "tls.h"
#include "unit_cert.h"

/* One side of a connection: what happened to it, as text. */
typedef struct {
    apr_pool_t *pool;
    conn_t *conn;
    char told[65536];
    apr_size_t max;
    int raw, ready, drained, closed, inputs;
    int close_on_input, finish_on_input, destroy_on_input, pause_on_input;
    int start_tls_on_input;
    apr_size_t bytes;
    apr_status_t why;
    SSL_CTX *ctx;
} side_t;

typedef struct {
    apr_pool_t *pool;
    loop_t *loop;
    side_t a;
    int peer;
} bench_t;

static void tell(side_t *side, const char *what, const char *more)
{
    apr_size_t len = strlen(side->told);

    apr_snprintf(side->told + len, sizeof(side->told) - len, "%s%s|", what,
                 more);
}

static void take_lines(side_t *side)
{
    const char *line;
    apr_size_t len;
    apr_status_t rv;

    while (!APR_STATUS_IS_EAGAIN(rv = conn_line(side->conn, &line, &len,
                                                side->max))) {
        if (rv == MG_ELIMIT) {
            tell(side, "LONG", "");
        }
        else if (rv == MG_EBADINPUT) {
            tell(side, "BAD", "");
        }
        else {
            assert_int_equal(rv, APR_SUCCESS);
            assert_int_equal(strlen(line), len);
            tell(side, "", line);
            if (side->start_tls_on_input && !strcmp(line, "STARTTLS")) {
                side->start_tls_on_input = 0;
                conn_write(side->conn, "220\r\n", 5);
                conn_start_tls_server(side->conn, side->ctx);
            }
        }
    }
}

static void on_input(conn_t *conn, void *baton)
{
    side_t *side = baton;
    apr_size_t len;

    assert_false(side->closed);
    side->inputs++;
    if (side->close_on_input) {
        conn_close(conn);
        return;
    }
    if (side->destroy_on_input) {
        apr_pool_destroy(side->pool);
        side->pool = NULL;
        return;
    }
    if (side->raw) {
        conn_peek(conn, &len);
        side->bytes += len;
        conn_skip(conn, len);
    }
    else {
        take_lines(side);
    }
    if (side->finish_on_input) {
        conn_write(conn, "bye\r\n", 5);
        conn_finish(conn);
        apr_pool_destroy(side->pool);
        side->pool = NULL;
    }
    else if (side->pause_on_input) {
        conn_pause(conn, 1);
    }
}

static void on_ready(conn_t *conn, void *baton)
{
    side_t *side = baton;

    (void)conn;
    side->ready++;
}

static void on_drained(conn_t *conn, void *baton)
{
    side_t *side = baton;

    (void)conn;
    side->drained++;
}

static void on_close(conn_t *conn, apr_status_t rv, void *baton)
{
    side_t *side = baton;

    (void)conn;
    side->closed++;
    side->why = rv;
    if (side->pool)
        apr_pool_destroy(side->pool);
    side->pool = NULL;
}

static const conn_events_t events = { on_input, on_ready, on_drained,
                                      on_close };

static void pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
}

static void begin(bench_t *b)
{
    int fds[2];

    memset(b, 0, sizeof(*b));
    apr_pool_create(&b->pool, NULL);
    assert_int_equal(loop_create(&b->loop, b->pool), APR_SUCCESS);
    pair(fds);
    b->peer = fds[1];
    b->a.max = 100;
    apr_pool_create(&b->a.pool, b->pool);
    b->a.conn = conn_create(b->loop, fds[0], &events, &b->a, b->a.pool);
}

static void end(bench_t *b)
{
    if (b->peer >= 0)
        close(b->peer);
    apr_pool_destroy(b->pool);
}

static void turns(bench_t *b, int n)
{
    while (n-- > 0)
        assert_int_equal(loop_turn(b->loop, 0), APR_SUCCESS);
}

static void say(bench_t *b, const char *text, apr_size_t len)
{
    assert_int_equal(write(b->peer, text, len), (ssize_t)len);
}

static const char *hear(bench_t *b)
{
    static char heard[65536];
    ssize_t n = recv(b->peer, heard, sizeof(heard) - 1, MSG_DONTWAIT);

    heard[n > 0 ? n : 0] = '\0';
    return heard;
}

#define L10 "0123456789"
#define L100 L10 L10 L10 L10 L10 L10 L10 L10 L10 L10
#define CASE(in, out) { in, sizeof(in) - 1, out }
static const struct {
    const char *in;
    apr_size_t len;
    const char *told;
} line_cases[] = {
    CASE("one\r\n", "one|"),
    CASE("\r\n", "|"),
    CASE("one\r\ntwo\r\nthree", "one|two|"),
    CASE(L100 "\r\nx\r\n", L100 "|x|"),
    CASE(L100 "1\r\nx\r\n", "LONG|x|"),
    CASE(L100 L100 L100 "\r\nx\r\n", "LONG|x|"),
    CASE("a\nb\r\nx\r\n", "BAD|x|"),
    CASE("a\nb\nc\r\nx\r\n", "BAD|x|"),
    CASE("a\n", "BAD|"),
    CASE("a\nb\n", "BAD|"),
    CASE("\n\r\nx\r\n", "BAD|x|"),
    CASE("a\rb\r\nx\r\n", "BAD|x|"),
    CASE("a\r\r\nx\r\n", "BAD|x|"),
    CASE("a\0b\r\nx\r\n", "BAD|x|"),
    CASE("a\r", ""),
    CASE(L100 "\r", ""),
    CASE("\377\200\r\n", "\377\200|"),
};

/* Each case whole, and cut in two at every byte. */
static void test_lines(void **state)
{
    apr_size_t i, cut;

    (void)state;
    for (i = 0; i < sizeof(line_cases) / sizeof(line_cases[0]); i++) {
        for (cut = 0; cut <= line_cases[i].len; cut++) {
            bench_t b;

            begin(&b);
            say(&b, line_cases[i].in, cut);
            turns(&b, 2);
            say(&b, line_cases[i].in + cut, line_cases[i].len - cut);
            turns(&b, 2);
            assert_string_equal(b.a.told, line_cases[i].told);
            end(&b);
        }
    }
}

static void test_lines_byte_by_byte(void **state)
{
    static const char text[] = "one\r\n" L100 L100 "\r\na\nb\r\ntwo\r\n";
    bench_t b;
    apr_size_t i;

    (void)state;
    begin(&b);
    for (i = 0; i < sizeof(text) - 1; i++) {
        say(&b, text + i, 1);
        turns(&b, 1);
    }
    assert_string_equal(b.a.told, "one|LONG|BAD|two|");
    end(&b);
}

static void test_write_and_drained(void **state)
{
    bench_t b;

    (void)state;
    begin(&b);
    conn_printf(b.a.conn, "%d ", 250);
    conn_printf(b.a.conn, "%s\r\n", L100 L100 L100 L100 L100 L100 L100 L100
                L100 L100 L100);
    assert_int_equal(conn_pending(b.a.conn), 1106);
    assert_string_equal(hear(&b), "");      /* gathered until the turn ends */
    turns(&b, 1);
    assert_int_equal(strlen(hear(&b)), 1106);
    assert_int_equal(conn_pending(b.a.conn), 0);
    assert_int_equal(b.a.drained, 1);
    turns(&b, 2);
    assert_int_equal(b.a.drained, 1);
    end(&b);
}

static void test_large_write(void **state)
{
    static char big[3 * 1024 * 1024], got[65536];
    apr_size_t total = 0;
    bench_t b;
    ssize_t n;
    int i;

    (void)state;
    for (i = 0; i < (int)sizeof(big); i++)
        big[i] = (char)(i * 7 + i / 4096);
    begin(&b);
    conn_write(b.a.conn, big, sizeof(big));
    assert_true(conn_pending(b.a.conn) > CONN_HIGH_WATER);
    for (i = 0; i < 10000 && total < sizeof(big); i++) {
        turns(&b, 1);
        n = recv(b.peer, got, sizeof(got), MSG_DONTWAIT);
        if (n > 0) {
            assert_memory_equal(got, big + total, n);
            total += (apr_size_t)n;
        }
    }
    turns(&b, 2);
    assert_int_equal(total, sizeof(big));
    assert_int_equal(b.a.drained, 1);
    end(&b);
}

static void test_back_pressure(void **state)
{
    static char big[65536];
    apr_size_t sent = 0;
    bench_t b;
    ssize_t n;
    int i;

    (void)state;
    memset(big, 'x', sizeof(big));
    begin(&b);
    b.a.raw = 1;
    conn_pause(b.a.conn, 1);
    fcntl(b.peer, F_SETFL, O_NONBLOCK);
    for (i = 0; i < 200; i++) {
        n = write(b.peer, big, sizeof(big));
        sent += n > 0 ? (apr_size_t)n : 0;
        turns(&b, 1);
    }
    assert_int_equal(b.a.inputs, 0);
    assert_true(sent < 2 * 1024 * 1024);
    conn_pause(b.a.conn, 0);
    turns(&b, 200);
    assert_int_equal(b.a.bytes, sent);
    end(&b);
}

/* Who does not take its input is not read for: 64 KB, no more. */
static void test_input_is_bounded(void **state)
{
    static char big[65536];
    apr_size_t len, sent = 0;
    bench_t b;
    ssize_t n;
    int i;

    (void)state;
    memset(big, 'x', sizeof(big));
    begin(&b);
    b.a.max = 100000; /* so that conn_line() waits for ever */
    fcntl(b.peer, F_SETFL, O_NONBLOCK);
    for (i = 0; i < 100; i++) {
        n = write(b.peer, big, sizeof(big));
        sent += n > 0 ? (apr_size_t)n : 0;
        turns(&b, 1);
    }
    conn_peek(b.a.conn, &len);
    assert_int_equal(len, CONN_INPUT_MAX);
    b.a.raw = 1;
    conn_skip(b.a.conn, len);
    turns(&b, 200);
    assert_int_equal(len + b.a.bytes, sent);
    end(&b);
}

static void test_pause_holds_lines(void **state)
{
    bench_t b;

    (void)state;
    begin(&b);
    b.a.pause_on_input = 1;
    say(&b, "one\r\n", 5);
    turns(&b, 2);
    say(&b, "two\r\n", 5);
    close(b.peer);
    b.peer = -1;
    turns(&b, 4);
    assert_string_equal(b.a.told, "one|");
    assert_false(b.a.closed);    /* the end is told when it is listened to */
    b.a.pause_on_input = 0;
    conn_pause(b.a.conn, 0);
    turns(&b, 4);
    assert_string_equal(b.a.told, "one|two|");
    assert_int_equal(b.a.closed, 1);
    assert_int_equal(b.a.why, APR_EOF);
    end(&b);
}

static void test_replies_before_the_end(void **state)
{
    bench_t b;

    (void)state;
    begin(&b);
    b.a.pause_on_input = 1;
    say(&b, "one\r\n", 5);
    shutdown(b.peer, SHUT_WR);
    turns(&b, 3);
    conn_write(b.a.conn, "250\r\n", 5);
    conn_pause(b.a.conn, 0);
    turns(&b, 3);
    assert_string_equal(hear(&b), "250\r\n");
    assert_int_equal(b.a.why, APR_EOF);
    end(&b);
}

static void test_close_in_callback(void **state)
{
    bench_t b;

    (void)state;
    begin(&b);
    b.a.close_on_input = 1;
    say(&b, "one\r\n", 5);
    turns(&b, 3);
    assert_int_equal(b.a.inputs, 1);
    assert_int_equal(b.a.closed, 0);
    end(&b);

    begin(&b);
    b.a.destroy_on_input = 1;
    say(&b, "one\r\n", 5);
    turns(&b, 3);
    assert_int_equal(b.a.inputs, 1);
    assert_int_equal(b.a.closed, 0);
    end(&b);
}

static void test_finish(void **state)
{
    bench_t b;

    (void)state;
    begin(&b);
    b.a.finish_on_input = 1;
    say(&b, "QUIT\r\n", 6);
    turns(&b, 3);
    assert_string_equal(hear(&b), "bye\r\n");
    assert_int_equal(recv(b.peer, b.a.told, 1, MSG_DONTWAIT), 0);
    assert_int_equal(b.a.closed, 0);
    end(&b);

    /* unread input: our words still arrive, then the end */
    begin(&b);
    say(&b, "one\r\ntwo", 8);
    conn_pause(b.a.conn, 1);
    turns(&b, 2);
    conn_write(b.a.conn, "421\r\n", 5);
    conn_finish(b.a.conn);
    apr_pool_destroy(b.a.pool);
    turns(&b, 3);
    assert_string_equal(hear(&b), "421\r\n");
    assert_int_equal(recv(b.peer, b.a.told, 1, MSG_DONTWAIT), 0);
    say(&b, "more", 4);
    turns(&b, 3);
    end(&b);
}

static void test_timeout(void **state)
{
    bench_t b;
    int i;

    (void)state;
    begin(&b);
    conn_set_timeout(b.a.conn, apr_time_from_msec(60));
    for (i = 0; i < 4; i++) {
        usleep(30000);
        say(&b, "x\r\n", 3);
        turns(&b, 2);
    }
    assert_false(b.a.closed);
    for (i = 0; i < 40 && !b.a.closed; i++)
        loop_turn(b.loop, apr_time_from_msec(10));
    assert_int_equal(b.a.closed, 1);
    assert_int_equal(b.a.why, APR_TIMEUP);
    end(&b);

    /* who waits for us is not timed out */
    begin(&b);
    conn_set_timeout(b.a.conn, apr_time_from_msec(20));
    conn_pause(b.a.conn, 1);
    for (i = 0; i < 8; i++)
        loop_turn(b.loop, apr_time_from_msec(10));
    assert_false(b.a.closed);
    conn_pause(b.a.conn, 0);
    for (i = 0; i < 40 && !b.a.closed; i++)
        loop_turn(b.loop, apr_time_from_msec(10));
    assert_int_equal(b.a.why, APR_TIMEUP);
    end(&b);
}

static void test_reset(void **state)
{
    bench_t b;

    (void)state;
    begin(&b);
    close(b.peer);
    b.peer = -1;
    conn_write(b.a.conn, "hello\r\n", 7);
    turns(&b, 3);
    assert_int_equal(b.a.closed, 1);
    end(&b);
}

/* TLS */

static SSL_CTX *server_ctx(apr_pool_t *p)
{
    const char *certificate, *key, *error;
    SSL_CTX *ctx;

    unit_cert_make(&certificate, &key, p);
    assert_int_equal(tls_server_create(&ctx, certificate, key, &error, p),
                     APR_SUCCESS);
    return ctx;
}

/* A second conn at the other end, as our clients are. */
static void client_side(bench_t *b, side_t *side)
{
    const char *error;

    memset(side, 0, sizeof(*side));
    side->max = 1000;
    apr_pool_create(&side->pool, b->pool);
    fcntl(b->peer, F_SETFL, O_NONBLOCK);
    side->conn = conn_create(b->loop, b->peer, &events, side, side->pool);
    b->peer = -1;
    tls_client_create(&side->ctx, NULL, &error, b->pool);
}

static void test_tls(void **state)
{
    static char big[200 * 1024];
    side_t c;
    bench_t b;

    (void)state;
    begin(&b);
    client_side(&b, &c);
    b.a.ctx = server_ctx(b.pool);
    assert_null(conn_ssl(c.conn));
    assert_int_equal(conn_start_tls_server(b.a.conn, b.a.ctx), APR_SUCCESS);
    assert_int_equal(conn_start_tls_client(c.conn, c.ctx, "unit.test"),
                     APR_SUCCESS);
    conn_write(c.conn, "early\r\n", 7); /* waits for the handshake */
    turns(&b, 20);
    assert_int_equal(b.a.ready, 1);
    assert_int_equal(c.ready, 1);
    assert_non_null(conn_ssl(c.conn));
    assert_string_equal(b.a.told, "early|");
    conn_write(b.a.conn, "250 ok\r\n", 8);
    turns(&b, 5);
    assert_string_equal(c.told, "250 ok|");

    memset(big, 'x', sizeof(big));
    c.raw = 1;
    conn_write(b.a.conn, big, sizeof(big));
    turns(&b, 100);
    assert_int_equal(c.bytes, sizeof(big));
    /* more than is read ahead, while paused */
    b.a.raw = 1;
    conn_pause(b.a.conn, 1);
    conn_write(c.conn, big, sizeof(big));
    turns(&b, 20);
    assert_int_equal(b.a.bytes, 0);
    conn_pause(b.a.conn, 0);
    turns(&b, 100);
    assert_int_equal(b.a.bytes, sizeof(big));
    conn_finish(c.conn);
    turns(&b, 5);
    assert_int_equal(b.a.why, APR_EOF);
    assert_int_equal(b.a.closed, 1);
    end(&b);
}

static void test_starttls_injection(void **state)
{
    side_t c;
    bench_t b;

    (void)state;
    begin(&b);
    b.a.ctx = server_ctx(b.pool);
    b.a.start_tls_on_input = 1;
    say(&b, "STARTTLS\r\nMAIL FROM:<evil@x>\r\nRCPT", 34);
    turns(&b, 3);
    assert_string_equal(hear(&b), "220\r\n");
    client_side(&b, &c);
    conn_start_tls_client(c.conn, c.ctx, NULL);
    turns(&b, 20);
    assert_int_equal(b.a.ready, 1);
    conn_write(c.conn, "EHLO x\r\n", 8);
    turns(&b, 5);
    assert_string_equal(b.a.told, "STARTTLS|EHLO x|");
    end(&b);

    /* clear text that comes later is no handshake */
    begin(&b);
    b.a.ctx = server_ctx(b.pool);
    b.a.start_tls_on_input = 1;
    say(&b, "STARTTLS\r\n", 10);
    turns(&b, 3);
    say(&b, "MAIL FROM:<evil@x>\r\n", 20);
    turns(&b, 5);
    assert_string_equal(b.a.told, "STARTTLS|");
    assert_int_equal(b.a.closed, 1);
    assert_int_equal(b.a.why, MG_ETLS);
    end(&b);
}

/* Fill the pipe with replies nobody reads, then STARTTLS and talk on: neither
 * does that keep us busy, nor does the handshake begin before it may. */
static void test_starttls_behind_a_full_pipe(void **state)
{
    static char big[4 * 1024 * 1024], got[65536];
    apr_size_t total = 0;
    int i, turn_limit = 2000;
    side_t c;
    bench_t b;
    ssize_t n;

    (void)state;
    memset(big, 'x', sizeof(big));
    begin(&b);
    b.a.ctx = server_ctx(b.pool);
    conn_write(b.a.conn, big, sizeof(big));
    turns(&b, 2);
    assert_int_equal(conn_start_tls_server(b.a.conn, b.a.ctx), APR_SUCCESS);
    say(&b, "early", 0);
    for (i = 0; i < 4; i++)
        turns(&b, 1);
    while (total < sizeof(big) && turn_limit--) {
        n = recv(b.peer, got, sizeof(got), MSG_DONTWAIT);
        total += n > 0 ? (apr_size_t)n : 0;
        turns(&b, 1);
    }
    assert_int_equal(total, sizeof(big));
    assert_int_equal(b.a.closed, 0);
    client_side(&b, &c);
    conn_start_tls_client(c.conn, c.ctx, NULL);
    conn_write(c.conn, "EHLO x\r\n", 8);
    turns(&b, 20);
    assert_string_equal(b.a.told, "EHLO x|");
    end(&b);
}

static void test_tls_bad_files(void **state)
{
    const char *error, *certificate, *key;
    apr_pool_t *p;
    SSL_CTX *ctx;

    (void)state;
    apr_pool_create(&p, NULL);
    assert_int_equal(tls_server_create(&ctx, "/nonexistent", "/nonexistent",
                                       &error, p), MG_ECONFIG);
    assert_non_null(strstr(error, "MailgunTLSCertificate /nonexistent: "));
    unit_cert_make(&certificate, &key, p);
    assert_int_equal(tls_server_create(&ctx, certificate, certificate, &error,
                                       p), MG_ECONFIG);
    assert_non_null(strstr(error, "MailgunTLSKey "));
    apr_pool_destroy(p);
}

/* listening and connecting */

typedef struct {
    bench_t *b;
    side_t s;
    int accepted;
} server_t;

static void on_accept(int fd, const struct sockaddr *peer, socklen_t len,
                      void *baton)
{
    server_t *server = baton;
    side_t *s = &server->s;

    server->accepted++;
    apr_pool_create(&s->pool, server->b->pool);
    s->conn = conn_create(server->b->loop, fd, &events, s, s->pool);
    s->max = 100;
    conn_set_peer(s->conn, peer, len);
    conn_write(s->conn, "220\r\n", 5);
}

static void test_listen_and_connect(void **state)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);
    conn_listener_t *listener;
    server_t server = { 0 };
    side_t c = { .max = 100 };
    bench_t b;
    int fd;

    (void)state;
    begin(&b);
    server.b = &b;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 5), 0);
    getsockname(fd, (struct sockaddr *)&addr, &len);
    assert_int_equal(conn_listen_accept(&listener, b.loop, fd, on_accept,
                                        &server), APR_SUCCESS);
    apr_pool_create(&c.pool, b.pool);
    assert_int_equal(conn_connect(&c.conn, b.loop, (struct sockaddr *)&addr,
                                  sizeof(addr), NULL, 0, &events, &c, c.pool),
                     APR_SUCCESS);
    assert_int_equal(c.ready, 0);
    turns(&b, 10);
    assert_int_equal(c.ready, 1);
    assert_int_equal(server.accepted, 1);
    assert_string_equal(c.told, "220|");
    assert_string_equal(conn_peer_ip(server.s.conn), "127.0.0.1");
    assert_string_equal(conn_peer_ip(c.conn), "127.0.0.1");
    assert_int_equal(conn_peer_port(c.conn), ntohs(addr.sin_port));
    conn_close(c.conn);
    turns(&b, 5);
    assert_int_equal(server.s.why, APR_EOF);

    conn_listen_stop(listener);
    close(fd);
    apr_pool_create(&c.pool, b.pool);
    c.closed = 0;
    if (conn_connect(&c.conn, b.loop, (struct sockaddr *)&addr, sizeof(addr),
                     NULL, 0, &events, &c, c.pool) == APR_SUCCESS) {
        turns(&b, 5);
        assert_int_equal(c.closed, 1);
        assert_int_equal(c.why, ECONNREFUSED);
    }
    end(&b);
}

/* the loop */

static void note(loop_t *loop, void *baton)
{
    (void)loop;
    ++*(int *)baton;
}

static void note_again(loop_t *loop, void *baton)
{
    ++*(int *)baton;
    loop_timer_set(loop, 0, note_again, baton);
}

static void test_timers(void **state)
{
    int n[4] = { 0 }, i;
    loop_timer_t *cancelled;
    bench_t b;

    (void)state;
    begin(&b);
    loop_timer_set(b.loop, apr_time_from_msec(30), note, &n[0]);
    cancelled = loop_timer_set(b.loop, apr_time_from_msec(10), note, &n[1]);
    loop_timer_set(b.loop, apr_time_from_msec(10), note, &n[2]);
    loop_timer_cancel(cancelled);
    for (i = 0; i < 20 && !n[2]; i++)
        loop_turn(b.loop, apr_time_from_msec(20));
    assert_int_equal(n[0], 0);
    for (i = 0; i < 20 && !n[0]; i++)
        loop_turn(b.loop, apr_time_from_msec(20));
    assert_int_equal(n[0], 1);
    assert_int_equal(n[1], 0);
    assert_int_equal(n[2], 1);
    loop_timer_set(b.loop, 0, note_again, &n[3]); /* once a turn, not for ever */
    usleep(10);
    turns(&b, 1);
    assert_int_equal(n[3], 1);
    end(&b);
}

static void test_many_timers(void **state)
{
    enum { N = 5000 };
    static loop_timer_t *timers[N];
    int fired = 0, i, kept = 0;
    bench_t b;

    (void)state;
    begin(&b);
    for (i = 0; i < N; i++)
        timers[i] = loop_timer_set(b.loop, (i * 7919) % 20000, note, &fired);
    for (i = 0; i < N; i++) {
        if (i % 3)
            kept++;
        else
            loop_timer_cancel(timers[i]);
    }
    for (i = 0; i < 100 && fired < kept; i++)
        loop_turn(b.loop, apr_time_from_msec(5));
    assert_int_equal(fired, kept);
    end(&b);
}

static void test_jobs(void **state)
{
    int soon = 0, late = 0, ends = 0;
    loop_job_t a = { .fn = note, .baton = &soon };
    loop_job_t z = { .fn = note, .baton = &late };
    bench_t b;

    (void)state;
    begin(&b);
    loop_at_turn_end(b.loop, note, &ends);
    loop_soon(b.loop, &a);
    loop_soon(b.loop, &a);
    loop_late(b.loop, &z);
    turns(&b, 2);
    assert_int_equal(soon, 1);
    assert_int_equal(late, 1);
    assert_int_equal(ends, 2);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lines_byte_by_byte),
        cmocka_unit_test(test_write_and_drained),
        cmocka_unit_test(test_large_write),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_input_is_bounded),
        cmocka_unit_test(test_pause_holds_lines),
        cmocka_unit_test(test_replies_before_the_end),
        cmocka_unit_test(test_close_in_callback),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_starttls_injection),
        cmocka_unit_test(test_starttls_behind_a_full_pipe),
        cmocka_unit_test(test_tls_bad_files),
        cmocka_unit_test(test_listen_and_connect),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_many_timers),
        cmocka_unit_test(test_jobs),
    };

    apr_initialize();
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
