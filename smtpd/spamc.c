/* spamc.c - see spamc.h. */
#include <apr_ring.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "conn.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "spamc.h"

#define LINE_WAIT apr_time_from_sec(5)
#define LINE_LENGTH 1000            /* in line; beyond them: unchecked at once */
#define FAILURES_MAX 3           /* in a row */
#define PAUSE apr_time_from_sec(5)
#define PIECE (64 * 1024)        /* written at a time */
#define ANSWER_MAX (32 * 1024)

struct spamc_check_t {
    APR_RING_ENTRY(spamc_check_t) link; /* waiting, asked or done */
    spamc_t *spamc;
    apr_pool_t *pool;
    apr_int64_t size, written;
    spamc_content_fn *content;
    spamc_done_fn *done;
    void *baton;
    conn_t *conn;                /* NULL: it waits, or is over */
    loop_timer_t *timer;
    char *said;                  /* by spamd, so far: a closed connection
                                  * shows nothing any more */
    apr_size_t said_len;
    spamc_answer_t answer;
};
APR_RING_HEAD(spamc_ring_t, spamc_check_t);

struct spamc_t {
    loop_t *loop;
    const mg_config_t *config;
    apr_pool_t *pool;
    struct sockaddr_storage addr;
    socklen_t addrlen;
    struct spamc_ring_t waiting, asked, over;
    int n_waiting, n_asked;
    int failures;                /* in a row */
    int is_told;                 /* of this outage */
    apr_time_t pause_until;      /* mg_ticks() */
    loop_job_t job;              /* tells those that are over */
};

/* --- the end of a check --- */

static void unlink_check(spamc_check_t *check)
{
    APR_RING_REMOVE(check, link);
    APR_RING_ELEM_INIT(check, link);
}

static void stop_work(spamc_check_t *check)
{
    if (check->timer)
        loop_timer_cancel(check->timer);
    check->timer = NULL;
    if (check->conn) {
        conn_close(check->conn);
        check->conn = NULL;
        check->spamc->n_asked--;
    }
}

static void tell_all(loop_t *loop, void *baton)
{
    spamc_t *spamc = baton;

    (void)loop;
    while (!APR_RING_EMPTY(&spamc->over, spamc_check_t, link)) {
        spamc_check_t *check = APR_RING_FIRST(&spamc->over);

        unlink_check(check);
        check->done(&check->answer, check->baton);
        apr_pool_destroy(check->pool);
    }
}

/* Its caller hears of it in a job: who is told may ask again, or go. */
static void end_check(spamc_check_t *check)
{
    spamc_t *spamc = check->spamc;

    stop_work(check);
    unlink_check(check);
    APR_RING_INSERT_TAIL(&spamc->over, check, spamc_check_t, link);
    loop_soon(spamc->loop, &spamc->job);
}

static void skip(spamc_check_t *check, const char *why)
{
    memset(&check->answer, 0, sizeof(check->answer));
    check->answer.skipped = why;
    end_check(check);
}

/* --- outages --- */

static void went_wrong(spamc_t *spamc, const char *why)
{
    if (!spamc->is_told)
        mg_log(MG_LOG_WARN, APR_SUCCESS, "spam: %s cannot be asked (%s); mail "
               "passes unchecked", spamc->config->spamd, why);
    spamc->is_told = 1;
    if (++spamc->failures >= FAILURES_MAX)
        spamc->pause_until = mg_ticks() + PAUSE;
}

static void went_well(spamc_t *spamc)
{
    if (spamc->is_told)
        mg_log(MG_LOG_INFO, APR_SUCCESS, "spam: %s answers again",
               spamc->config->spamd);
    spamc->is_told = 0;
    spamc->failures = 0;
    spamc->pause_until = 0;
}

static void begin_waiting(spamc_t *spamc);

static void fail(spamc_check_t *check, const char *why)
{
    spamc_t *spamc = check->spamc;

    went_wrong(spamc, why);
    skip(check, why);
    begin_waiting(spamc);
}

/* --- one connection --- */

static void write_more(spamc_check_t *check)
{
    static char piece[PIECE];    /* the loop's; conn_write() copies */
    apr_int64_t left;
    apr_status_t rv;

    while ((left = check->size - check->written) > 0
           && conn_pending(check->conn) < PIECE) {
        apr_size_t len = left < PIECE ? (apr_size_t)left : PIECE;

        rv = check->content(check->written, piece, len, check->baton);
        if (rv != APR_SUCCESS) {
            fail(check, "the message cannot be read");
            return;
        }
        conn_write(check->conn, piece, len);
        check->written += (apr_int64_t)len;
    }
}

static void on_ready(conn_t *conn, void *baton)
{
    spamc_check_t *check = baton;

    conn_printf(conn, "SYMBOLS SPAMC/1.5\r\nContent-length: %" APR_INT64_T_FMT
                "\r\n\r\n", check->size);
    write_more(check);
}

static void on_drained(conn_t *conn, void *baton)
{
    (void)conn;
    write_more(baton);
}

/* @return 1: that is all */
static int read_answer(spamc_check_t *check, int eof)
{
    spamc_t *spamc = check->spamc;
    apr_status_t rv;

    rv = spamc_read(&check->answer, check->said ? check->said : "",
                    check->said_len, eof, check->pool);
    if (rv == APR_EAGAIN && check->said_len == ANSWER_MAX) {
        fail(check, "spamd's answer has no end");
        return 1;
    }
    if (rv == APR_EAGAIN)
        return 0;
    if (rv != APR_SUCCESS) {
        fail(check, check->answer.skipped);
        return 1;
    }
    went_well(spamc);
    end_check(check);
    begin_waiting(spamc);
    return 1;
}

static void on_input(conn_t *conn, void *baton)
{
    spamc_check_t *check = baton;
    apr_size_t len;
    const char *in = conn_peek(conn, &len);

    if (len > ANSWER_MAX - check->said_len)
        len = ANSWER_MAX - check->said_len;
    if (!check->said)
        check->said = apr_palloc(check->pool, ANSWER_MAX);
    memcpy(check->said + check->said_len, in, len);
    check->said_len += len;
    conn_skip(conn, len);
    read_answer(check, 0);
}

static void on_close(conn_t *conn, apr_status_t rv, void *baton)
{
    spamc_check_t *check = baton;
    char words[120];

    (void)conn;
    if (rv == APR_EOF && check->written == check->size
        && read_answer(check, 1))
        return;
    fail(check, rv == APR_EOF ? "spamd hung up"
                              : apr_pstrdup(check->pool,
                                            mg_strerror(rv, words,
                                                        sizeof(words))));
}

static const conn_events_t events = { on_input, on_ready, on_drained,
                                      on_close };

static void on_timeout(loop_t *loop, void *baton)
{
    spamc_check_t *check = baton;

    (void)loop;
    check->timer = NULL;
    if (check->conn) {
        fail(check, "spamd takes too long");
        return;
    }
    check->spamc->n_waiting--;
    skip(check, "too many messages wait for spamd");
}

static void begin(spamc_check_t *check)
{
    spamc_t *spamc = check->spamc;
    apr_status_t rv;

    if (check->timer)
        loop_timer_cancel(check->timer);
    check->timer = loop_timer_set(spamc->loop, spamc->config->spam_timeout,
                                  on_timeout, check);
    rv = conn_connect(&check->conn, spamc->loop,
                      (const struct sockaddr *)&spamc->addr,
                      (int)spamc->addrlen, NULL, 0, &events, check,
                      check->pool);
    APR_RING_INSERT_TAIL(&spamc->asked, check, spamc_check_t, link);
    if (rv == APR_SUCCESS) {
        spamc->n_asked++;
        return;
    }
    check->conn = NULL;
    went_wrong(spamc, "no connection can be made");
    skip(check, "no connection can be made");
}

/* --- the line --- */

static void begin_waiting(spamc_t *spamc)
{
    while (spamc->n_asked < spamc->config->spam_concurrency
           && !APR_RING_EMPTY(&spamc->waiting, spamc_check_t, link)) {
        spamc_check_t *check = APR_RING_FIRST(&spamc->waiting);

        unlink_check(check);
        spamc->n_waiting--;
        begin(check);
    }
}

static void wait_in_line(spamc_check_t *check)
{
    spamc_t *spamc = check->spamc;
    apr_interval_time_t most = spamc->config->spam_timeout;

    APR_RING_INSERT_TAIL(&spamc->waiting, check, spamc_check_t, link);
    spamc->n_waiting++;
    check->timer = loop_timer_set(spamc->loop, most < LINE_WAIT ? most
                                                                : LINE_WAIT,
                                  on_timeout, check);
    begin_waiting(spamc);
}

/* NULL: it can be asked */
static const char *why_not(const spamc_t *spamc, apr_int64_t size)
{
    if (size > spamc->config->spam_size_limit)
        return "the message is too large";
    if (spamc->pause_until > mg_ticks())
        return "spamd does not answer";
    return spamc->n_waiting >= LINE_LENGTH ? "too many messages wait for spamd"
                                        : NULL;
}

spamc_check_t *spamc_ask(spamc_t *spamc, apr_int64_t size,
                         spamc_content_fn *content, spamc_done_fn *done,
                         void *baton)
{
    spamc_check_t *check;
    const char *why;
    apr_pool_t *p;

    apr_pool_create(&p, spamc->pool);
    check = apr_pcalloc(p, sizeof(*check));
    APR_RING_ELEM_INIT(check, link);
    check->spamc = spamc;
    check->pool = p;
    check->size = size;
    check->content = content;
    check->done = done;
    check->baton = baton;
    why = why_not(spamc, size);
    if (why)
        skip(check, why);
    else
        wait_in_line(check);
    return check;
}

void spamc_forget(spamc_check_t *check)
{
    spamc_t *spamc = check->spamc;
    int was_waiting = check->timer && !check->conn;

    stop_work(check);
    unlink_check(check);
    if (was_waiting)
        spamc->n_waiting--;
    apr_pool_destroy(check->pool);
    begin_waiting(spamc);
}

/* --- where it is --- */

static int set_unix(spamc_t *spamc, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&spamc->addr;

    if (strlen(path) >= sizeof(un->sun_path))
        return 0;
    un->sun_family = AF_UNIX;
    apr_cpystrn(un->sun_path, path, sizeof(un->sun_path));
    spamc->addrlen = sizeof(*un);
    return 1;
}

/* As MailgunSpamd was checked: "127.0.0.1:783", "[::1]:783" */
static int set_inet(spamc_t *spamc, const char *text)
{
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&spamc->addr;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&spamc->addr;
    const char *colon = strrchr(text, ':');
    apr_uint16_t port = htons((apr_uint16_t)apr_atoi64(colon + 1));
    int six = *text == '[';
    char *host = apr_pstrmemdup(spamc->pool, text + six,
                                (apr_size_t)(colon - text) - 2 * (unsigned)six);

    if (six) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = port;
        spamc->addrlen = sizeof(*in6);
        return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1;
    }
    in->sin_family = AF_INET;
    in->sin_port = port;
    spamc->addrlen = sizeof(*in);
    return inet_pton(AF_INET, host, &in->sin_addr) == 1;
}

apr_status_t spamc_create(spamc_t **pspamc, loop_t *loop,
                          const mg_config_t *config, apr_pool_t *p)
{
    spamc_t *spamc = apr_pcalloc(p, sizeof(*spamc));

    *pspamc = spamc;
    spamc->loop = loop;
    spamc->config = config;
    spamc->pool = p;
    APR_RING_INIT(&spamc->waiting, spamc_check_t, link);
    APR_RING_INIT(&spamc->asked, spamc_check_t, link);
    APR_RING_INIT(&spamc->over, spamc_check_t, link);
    spamc->job.fn = tell_all;
    spamc->job.baton = spamc;
    if (strncmp(config->spamd, "unix:", 5) == 0)
        return set_unix(spamc, config->spamd + 5) ? APR_SUCCESS : MG_ECONFIG;
    return set_inet(spamc, config->spamd) ? APR_SUCCESS : MG_ECONFIG;
}
