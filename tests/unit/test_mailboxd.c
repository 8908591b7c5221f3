/* test_mailboxd.c - what mail processes ask, over a real socket. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mailboxd_parse.h"
#include "mg_status.h"
#include "unit_records.h"
#include "unit_worker.h"

#define N "%" APR_INT64_T_FMT

/* parsing */

static const struct {
    const char *line, *wrong;
} parse_cases[] = {
    { "a\tLIMITS\t5", NULL },
    { "a\tLIMITS\t5\t6", "too many arguments" },
    { "a\tLIMITS", "an argument is missing" },
    { "a\tLIMITS\t", "an argument is malformed" },
    { "a\tLIMITS\t0", "an argument is malformed" },
    { "a\tLIMITS\t-5", "an argument is malformed" },
    { "a\tLIMITS\t5x", "an argument is malformed" },
    { "a\tLIMITS\t 5", "an argument is malformed" },
    { "a\tLIMITS\t+5", "an argument is malformed" },
    { "a\tLIMITS\t9223372036854775807", NULL },
    { "a\tLIMITS\t9223372036854775808", "an argument is malformed" },
    { "a\tLIMITS\t99999999999999999999", "an argument is malformed" },
    { "", "no tag" },
    { "\tPING", "no tag" },
    { "a b\tPING", "no tag" },
    { "123456789012345678901\tPING", "no tag" },
    { "12345678901234567890\tPING", NULL },
    { "a", "no verb" },
    { "a\tping", "unknown verb" },
    { "a\tPING", NULL },
    { "a\tRESERVE\t5\t100\t1\t12:34", NULL },
    { "a\tRESERVE\t5\t100\t1\t12:34\t77", NULL },
    { "a\tRESERVE\t5\t100\t1\tnode:12:34\t0", NULL },
    { "a\tRESERVE\t5\t100\t1\tnode", "an argument is malformed" },
    { "a\tRESERVE\t5\t100\t1\t0:34", "an argument is malformed" },
    { "a\tRESERVE\t5\t-100\t1\t12:34", "an argument is malformed" },
    { "a\tSETTLE\t0\t5\t-100\t-1", NULL },
    { "a\tSETTLE\t9\t5\t100\t1\t77", NULL },
    { "a\tSETTLE\t-9\t5\t100\t1", "an argument is malformed" },
    { "a\tRELEASE\t0", "an argument is malformed" },
    { "a\tRECOUNT\t5\t0\t0\t0", NULL },
    { "a\tSEEN\t5\t77", NULL },
    { "a\tSEEN\t5\t0", "an argument is malformed" },
    { "a\tb\tc\td\te\tf\tg\th\ti\tj\tk", "too many fields" },
};

static void parse(void **state)
{
    mailboxd_request_t r;
    const char *wrong;
    char line[256];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(parse_cases) / sizeof(parse_cases[0]); i++) {
        apr_cpystrn(line, parse_cases[i].line, sizeof(line));
        wrong = mailboxd_parse(&r, line);
        if (parse_cases[i].wrong)
            assert_string_equal(wrong ? wrong : "", parse_cases[i].wrong);
        else
            assert_null(wrong);
    }
    apr_cpystrn(line, "x\tSETTLE\t9\t5\t-100\t-1\t77", sizeof(line));
    assert_null(mailboxd_parse(&r, line));
    assert_int_equal(r.verb, MAILBOXD_SETTLE);
    assert_true(r.is_change);
    assert_int_equal(r.reservation, 9);
    assert_int_equal(r.mailbox_id, 5);
    assert_int_equal(r.bytes, -100);
    assert_int_equal(r.messages, -1);
    assert_int_equal(r.delivery_id, 77);
}

static void owners(void **state)
{
    const char *node;
    apr_uint64_t start;
    apr_size_t len;
    pid_t pid;

    (void)state;
    assert_true(mailboxd_owner_parse(&pid, &start, &node, &len,
                                     "a:b:12:3456"));
    assert_int_equal(pid, 12);
    assert_int_equal(start, 3456);
    assert_int_equal(len, 3);
    assert_true(mailboxd_owner_alive(getpid(), 0));
    assert_false(mailboxd_owner_alive(getpid(), 1));
    pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    assert_false(mailboxd_owner_alive(pid, 0));
}

/* the role */

typedef struct {
    unit_store_t *s;
    worker_t *w;
    mg_domain_t *domain;
    mg_mailbox_t *box;
    struct sockaddr_un address;
} bench_t;

static void begin(bench_t *b, unit_store_t *s)
{
    memset(b, 0, sizeof(*b));
    b->s = s;
    b->w = unit_worker(s, MG_ROLE_MAILBOXD);
    b->domain = unit_domain(s, unit_account(s, "a"), "a.test");
    unit_store_ok(s->db, mg_mailbox_add(&b->box, s->db, b->domain->account_id,
                                        b->domain->id, "one@a.test", "h",
                                        s->p));
    b->address.sun_family = AF_UNIX;
    snprintf(b->address.sun_path, sizeof(b->address.sun_path),
             "/tmp/unit-mailboxd.%d", (int)getpid());
    unlink(b->address.sun_path);
    b->w->mailboxd_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(b->w->mailboxd_fd, (struct sockaddr *)&b->address,
                          sizeof(b->address)), 0);
    assert_int_equal(listen(b->w->mailboxd_fd, 10), 0);
    assert_int_equal(mailboxd_start(b->w), APR_SUCCESS);
}

static void end(bench_t *b)
{
    unlink(b->address.sun_path);
    apr_pool_destroy(b->w->pool);
    close(b->w->mailboxd_fd);
}

static int client(bench_t *b)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&b->address,
                             sizeof(b->address)), 0);
    return fd;
}

/* What comes until there is silence, TAB shown as a blank, LF as |. */
static const char *hear(bench_t *b, int fd)
{
    static char text[8192];
    size_t len = 0, i;
    int silent = 0;
    ssize_t n;

    while (silent < 3) {
        loop_turn(b->w->loop, 1000);
        n = recv(fd, text + len, sizeof(text) - len - 1, MSG_DONTWAIT);
        silent = n > 0 ? 0 : silent + 1;
        len += n > 0 ? (size_t)n : 0;
    }
    text[len] = '\0';
    for (i = 0; i < len; i++)
        text[i] = text[i] == '\t' ? ' ' : text[i] == '\n' ? '|' : text[i];
    return text;
}

__attribute__((format(printf, 3, 4)))
static const char *ask(bench_t *b, int fd, const char *fmt, ...)
{
    char line[1024];
    va_list args;
    size_t i;
    int n;

    va_start(args, fmt);
    n = vsnprintf(line, sizeof(line) - 1, fmt, args);
    va_end(args);
    for (i = 0; line[i]; i++)
        if (line[i] == ' ')
            line[i] = '\t';
    line[n] = '\n';
    assert_int_equal(write(fd, line, (size_t)n + 1), n + 1);
    return hear(b, fd);
}

static const char *me(void)
{
    static char owner[64];

    snprintf(owner, sizeof(owner), "%d:0", (int)getpid());
    return owner;
}

static apr_int64_t reserve(bench_t *b, int fd, apr_int64_t bytes,
                           const char *owner, const char *delivery)
{
    const char *reply = ask(b, fd, "r RESERVE " N " " N " 1 %s%s", b->box->id,
                            bytes, owner, delivery);

    assert_memory_equal(reply, "r OK ", 5);
    return strtoll(reply + 5, NULL, 10);
}

static const char *limits(bench_t *b, int fd)
{
    return ask(b, fd, "l LIMITS " N, b->box->id);
}

static void quota(void **state)
{
    bench_t b;
    apr_int64_t r;
    int fd;

    begin(&b, *state);
    unit_worker_config(b.w)->mailbox_quota = 1000;
    fd = client(&b);
    assert_string_equal(ask(&b, fd, "1 PING"), "1 OK|");
    assert_string_equal(limits(&b, fd), "l OK 0 0 1000 0 0 0 0|");
    r = reserve(&b, fd, 600, me(), "");
    assert_string_equal(ask(&b, fd, "2 RESERVE " N " 500 1 %s", b.box->id,
                            me()), "2 NO QUOTA over quota|");
    assert_string_equal(ask(&b, fd, "3 SETTLE " N " " N " 600 1", r,
                            b.box->id), "3 OK|");
    assert_string_equal(limits(&b, fd), "l OK 600 1 1000 600 0 0 0|");
    /* a repeat changes nothing */
    assert_string_equal(ask(&b, fd, "4 SETTLE " N " " N " 600 1", r,
                            b.box->id), "4 OK|");
    assert_string_equal(limits(&b, fd), "l OK 600 1 1000 600 0 0 0|");
    /* an expunge */
    assert_string_equal(ask(&b, fd, "5 SETTLE 0 " N " -100 0", b.box->id),
                        "5 OK|");
    assert_string_equal(limits(&b, fd), "l OK 500 1 1000 500 0 0 0|");
    r = reserve(&b, fd, 500, me(), "");
    assert_string_equal(ask(&b, fd, "6 RELEASE " N, r), "6 OK|");
    reserve(&b, fd, 500, me(), "");
    assert_string_equal(ask(&b, fd, "7 RESERVE 12345 5 1 %s", me()),
                        "7 NO UNKNOWN No such file or directory|");
    assert_string_equal(ask(&b, fd, "8 LIMITS 12345"),
                        "8 NO UNKNOWN No such file or directory|");
    close(fd);
    end(&b);
}

/* What arrives together: changes first; one refusal spoils no other. */
static void batch(void **state)
{
    const char *reply;
    bench_t b;
    int fd;

    begin(&b, *state);
    unit_worker_config(b.w)->mailbox_quota = 1000;
    fd = client(&b);
    reply = ask(&b, fd, "l LIMITS " N "\n1 SETTLE 0 " N " 300 1\n"
                "2 RESERVE " N " 5000 1 %s\n3 SETTLE 0 " N " 200 1",
                b.box->id, b.box->id, b.box->id, me(), b.box->id);
    assert_string_equal(reply, "1 OK|2 NO QUOTA over quota|3 OK|"
                        "l OK 500 2 1000 500 0 0 0|");
    close(fd);
    end(&b);
}

static void many_at_once(void **state)
{
    char lines[200 * 16] = "", *at = lines;
    const char *reply;
    int fd, i, n = 0;
    bench_t b;

    begin(&b, *state);
    fd = client(&b);
    for (i = 0; i < 200; i++)
        at += snprintf(at, 16, "%d\tPING\n", i);
    assert_int_equal(write(fd, lines, (size_t)(at - lines)), at - lines);
    for (reply = hear(&b, fd); (reply = strchr(reply, '|')); reply++)
        n++;
    assert_int_equal(n, 200);
    close(fd);
    end(&b);
}

static void dirty_and_recount(void **state)
{
    bench_t b;
    apr_int64_t r;
    int fd, other;

    begin(&b, *state);
    fd = client(&b);
    other = client(&b);
    /* a live owner: not dirty, connection or not */
    r = reserve(&b, other, 100, me(), "");
    close(other);
    hear(&b, fd);
    assert_string_equal(limits(&b, fd),
                        apr_psprintf(b.s->p, "l OK 0 0 0 0 0 0 " N "|", r));
    /* but older than any save: its answer was lost, nobody will settle it */
    unit_store_ok(b.s->db, mg_db_exec(b.s->db, NULL,
                                      "UPDATE quota_reservation SET"
                                      " created_at = created_at - $1", "i",
                                      MG_QUOTA_STALE_AFTER + 1));
    assert_string_equal(limits(&b, fd),
                        apr_psprintf(b.s->p, "l OK 0 0 0 0 0 1 " N "|", r));
    ask(&b, fd, "x RELEASE " N, r);
    /* a dead one whose connection is open may still settle */
    other = client(&b);
    r = reserve(&b, other, 100, "999999:1", "");
    assert_string_equal(limits(&b, fd),
                        apr_psprintf(b.s->p, "l OK 0 0 0 0 0 0 " N "|", r));
    close(other);
    hear(&b, fd);
    assert_string_equal(limits(&b, fd),
                        apr_psprintf(b.s->p, "l OK 0 0 0 0 0 1 " N "|", r));
    /* without LIMITS before: no */
    other = client(&b);
    assert_memory_equal(ask(&b, other, "c RECOUNT " N " 7 1 " N, b.box->id,
                            r), "c NO BUSY", 9);
    /* somebody changes it meanwhile: no */
    assert_string_equal(ask(&b, other, "s SETTLE 0 " N " 5 1", b.box->id),
                        "s OK|");
    assert_memory_equal(ask(&b, fd, "c RECOUNT " N " 7 1 " N, b.box->id, r),
                        "c NO BUSY", 9);
    /* nobody does: yes */
    limits(&b, fd);
    assert_string_equal(ask(&b, fd, "c RECOUNT " N " 700 7 " N, b.box->id, r),
                        "c OK|");
    assert_string_equal(limits(&b, fd), "l OK 700 7 0 700 0 0 0|");
    assert_int_equal(unit_store_int(b.s->db,
                                    "SELECT count(*) FROM quota_reservation"),
                     0);
    /* beside a save that is under way: no */
    r = reserve(&b, other, 100, me(), "");
    limits(&b, fd);
    assert_memory_equal(ask(&b, fd, "c RECOUNT " N " 1 1 " N, b.box->id, r),
                        "c NO BUSY", 9);
    close(fd);
    close(other);
    end(&b);
}

static void deliveries(void **state)
{
    bench_t b;
    apr_int64_t r;
    int fd;

    begin(&b, *state);
    fd = client(&b);
    assert_string_equal(ask(&b, fd, "1 SEEN " N " 77", b.box->id), "1 OK 0|");
    r = reserve(&b, fd, 100, me(), " 77");
    assert_string_equal(ask(&b, fd, "2 SEEN " N " 77", b.box->id), "2 OK 2|");
    ask(&b, fd, "s SETTLE " N " " N " 100 1 77", r, b.box->id);
    assert_string_equal(ask(&b, fd, "3 SEEN " N " 77", b.box->id), "3 OK 1|");
    reserve(&b, fd, 100, me(), " 77");
    assert_string_equal(ask(&b, fd, "4 SEEN " N " 77", b.box->id), "4 OK 1|");
    assert_string_equal(ask(&b, fd, "5 SAVED " N " 78", b.box->id), "5 OK|");
    assert_string_equal(ask(&b, fd, "6 SEEN " N " 78", b.box->id), "6 OK 1|");
    assert_string_equal(ask(&b, fd, "7 SEEN 999 78"), "7 OK 0|");
    close(fd);
    end(&b);
}

static void watching(void **state)
{
    char gone[64];
    bench_t b;
    int fd, newer;

    begin(&b, *state);
    fd = client(&b);
    snprintf(gone, sizeof(gone), "* GONE " N "|", b.box->id);
    assert_string_equal(ask(&b, fd, "1 WATCH " N, b.box->id), "1 OK|");
    b.w->on_bell(b.w);
    assert_string_equal(hear(&b, fd), "");
    unit_store_ok(b.s->db, mg_mailbox_set_password(b.s->db, b.box->id, "h2"));
    /* who logs in with the new one stays */
    newer = client(&b);
    assert_string_equal(ask(&b, newer, "1 WATCH " N, b.box->id), "1 OK|");
    mg_shared_bump(b.w->shared);
    b.w->on_bell(b.w);
    assert_string_equal(hear(&b, fd), gone);
    assert_string_equal(hear(&b, newer), "");
    b.w->on_bell(b.w);
    assert_string_equal(hear(&b, fd), "");        /* once */
    close(newer);
    /* deleted, and nobody bumped the generation */
    assert_string_equal(ask(&b, fd, "2 WATCH " N, b.box->id), "2 OK|");
    b.w->on_bell(b.w);
    unit_store_ok(b.s->db, mg_mailbox_delete(b.s->db, b.box->id));
    b.w->on_bell(b.w);
    assert_string_equal(hear(&b, fd), gone);
    /* gone already */
    assert_string_equal(ask(&b, fd, "3 WATCH " N, b.box->id),
                        apr_pstrcat(b.s->p, "3 OK|", gone, NULL));
    close(fd);
    end(&b);
}

static void nonsense(void **state)
{
    static char junk[3000];
    bench_t b;
    int fd;

    begin(&b, *state);
    fd = client(&b);
    assert_string_equal(ask(&b, fd, "1 WHAT"), "1 NO SYNTAX unknown verb|");
    assert_int_equal(recv(fd, junk, 1, MSG_DONTWAIT), 0);
    close(fd);
    fd = client(&b);
    memset(junk, 'x', sizeof(junk));
    assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
    assert_string_equal(hear(&b, fd), "* NO SYNTAX no tag|");
    close(fd);
    fd = client(&b);
    assert_string_equal(ask(&b, fd, "1 PING"), "1 OK|");
    close(fd);
    end(&b);
}

static void stopping(void **state)
{
    bench_t b;
    char c;
    int fd;

    begin(&b, *state);
    fd = client(&b);
    assert_string_equal(ask(&b, fd, "1 PING"), "1 OK|");
    b.w->stopping = 1;
    b.w->on_stop(b.w);
    assert_string_equal(hear(&b, fd), "");
    assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), 0);
    close(fd);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse),
        cmocka_unit_test(owners),
        UNIT_ON_BOTH(quota),
        UNIT_ON_BOTH(batch),
        UNIT_ON_SQLITE(many_at_once),
        UNIT_ON_BOTH(dirty_and_recount),
        UNIT_ON_BOTH(deliveries),
        UNIT_ON_BOTH(watching),
        UNIT_ON_SQLITE(nonsense),
        UNIT_ON_SQLITE(stopping),
    };

    signal(SIGPIPE, SIG_IGN);
    return unit_store_run("mailboxd", tests);
}
