/* test_sender.c - the sender role on a real store, against a small MX in the
 * same process: claim, send, settle; and what must not get lost. */
#include "unit_store.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "conn.h"
#include "mg_account.h"
#include "mg_event.h"
#include "mg_id.h"
#include "mg_log.h"
#include "mg_mailbox.h"
#include "mg_status.h"
#include "mg_suppression.h"
#include "mg_time.h"
#include "mg_verp.h"
#include "mg_warmup.h"
#include "mta_site_private.h"
#include "sender.h"
#include "unit_records.h"

/* --- the MX: "ok", "defer", "bounce", "spam" are local parts --- */

typedef struct mx_t mx_t;
typedef struct {
    mx_t *mx;
    conn_t *conn;
    apr_pool_t *p;
    int in_data, rcpts, counted;
    char envelope[4000];
    char *content;
    apr_size_t len, size;
} session_t;

struct mx_t {
    apr_pool_t *p;
    loop_t *loop;
    conn_listener_t *listener;
    int fd, port;
    int is_lmtp, hang_up_after_message, hold_the_answer;
    int broken_tls, rcpt_limit, dsn;
    const char *busy;          /* the greeting then, or NULL */
    const char *refusal;       /* of MAIL, or NULL */
    int sessions, messages;
    int limit, open, refused;  /* connections at a time; 0: any number */
    session_t *held;           /* waits for its answer */
    char seen[60][4000];       /* envelopes */
    char *contents[60];
    apr_size_t lens[60];
};

static void count_out(session_t *s)
{
    s->mx->open -= s->counted;
    s->counted = 0;
}

static void put(session_t *s, const char *line)
{
    apr_snprintf(s->envelope + strlen(s->envelope),
                 sizeof(s->envelope) - strlen(s->envelope), "%s|", line);
}

static void message_done(session_t *s)
{
    mx_t *mx = s->mx;
    int i;

    if (mx->messages < 60) {
        apr_cpystrn(mx->seen[mx->messages], s->envelope, 4000);
        mx->contents[mx->messages] = apr_pstrmemdup(mx->p, s->content,
                                                    s->len);
        mx->lens[mx->messages] = s->len;
    }
    mx->messages++;
    s->in_data = 0;
    if (mx->hold_the_answer) {
        mx->held = s;
        return;
    }
    for (i = 0; i < (mx->is_lmtp ? s->rcpts : 1); i++)
        conn_printf(s->conn, strstr(s->envelope, "<spam@")
                                 ? "550 5.7.1 spam\r\n"
                                 : "250 2.0.0 queued as 1\r\n");
    if (mx->hang_up_after_message)
        conn_finish(s->conn);
}

static void data_line(session_t *s, const char *line, apr_size_t len)
{
    if (strcmp(line, ".") == 0) {
        message_done(s);
        return;
    }
    if (line[0] == '.') {
        line++;
        len--;
    }
    if (s->len + len + 2 > s->size) {
        s->size = 2 * (s->len + len + 2);
        s->content = memcpy(apr_palloc(s->p, s->size), s->content, s->len);
    }
    memcpy(s->content + s->len, line, len);
    memcpy(s->content + s->len + len, "\r\n", 2);
    s->len += len + 2;
}

static void command(session_t *s, const char *line)
{
    if (strncmp(line, "EHLO", 4) == 0 && s->mx->broken_tls)
        conn_printf(s->conn, "250-mx\r\n250 STARTTLS\r\n");
    else if (strcmp(line, "STARTTLS") == 0)
        conn_printf(s->conn, "220 go\r\n");
    else if (strncmp(line, "EHLO", 4) == 0 && s->mx->dsn)
        conn_printf(s->conn, "250-mx\r\n250 DSN\r\n");
    else if (strncmp(line, "EHLO", 4) == 0 || strncmp(line, "LHLO", 4) == 0)
        conn_printf(s->conn, "250-mx\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
    else if (strncmp(line, "MAIL", 4) == 0 && s->mx->refusal)
        conn_printf(s->conn, "%s", s->mx->refusal);
    else if (strncmp(line, "RCPT", 4) == 0 && s->mx->refusal)
        conn_printf(s->conn, "503 5.5.1 MAIL first\r\n");
    else if (strncmp(line, "MAIL", 4) == 0) {
        s->envelope[0] = '\0';
        s->rcpts = 0;
        s->len = 0;
        put(s, line);
        conn_printf(s->conn, "250 ok\r\n");
    }
    else if (strncmp(line, "RCPT TO:<defer", 14) == 0)
        conn_printf(s->conn, "451 4.7.1 later\r\n");
    else if (strncmp(line, "RCPT TO:<full", 13) == 0)
        conn_printf(s->conn, "552 5.2.2 mailbox full\r\n");
    else if (strncasecmp(line, "RCPT TO:<bounce", 15) == 0)
        conn_printf(s->conn, "550 5.1.1 no such user\r\n");
    else if (strncmp(line, "RCPT", 4) == 0 && s->mx->rcpt_limit
             && s->rcpts == s->mx->rcpt_limit)
        conn_printf(s->conn, "452 4.5.3 too many recipients\r\n");
    else if (strncmp(line, "RCPT", 4) == 0) {
        s->rcpts++;
        put(s, line);
        conn_printf(s->conn, "250 ok\r\n");
    }
    else if (strcmp(line, "DATA") == 0 && s->rcpts == 0)
        conn_printf(s->conn, "554 no recipients\r\n");
    else if (strcmp(line, "DATA") == 0) {
        s->in_data = 1;
        conn_printf(s->conn, "354 go\r\n");
    }
    else if (strcmp(line, "QUIT") == 0) {
        conn_printf(s->conn, "221 bye\r\n");
        conn_finish(s->conn);
        count_out(s);
    }
    else
        conn_printf(s->conn, "250 ok\r\n");
}

static void mx_input(conn_t *conn, void *baton)
{
    session_t *s = baton;
    const char *line;
    apr_size_t len;

    line = conn_peek(conn, &len);
    if (len > 0 && line[0] == 0x16) { /* a ClientHello */
        conn_printf(conn, "500 what is that\r\n");
        conn_finish(conn);
        return;
    }
    while (conn_line(conn, &line, &len, 4000) == APR_SUCCESS) {
        if (s->in_data)
            data_line(s, line, len);
        else
            command(s, line);
    }
}

static void mx_close(conn_t *conn, apr_status_t rv, void *baton)
{
    session_t *s = baton;

    (void)conn;
    (void)rv;
    count_out(s);
}

static const conn_events_t mx_events = { mx_input, NULL, NULL, mx_close };

static void mx_accept(int fd, const struct sockaddr *peer, socklen_t len,
                      void *baton)
{
    mx_t *mx = baton;
    session_t *s = apr_pcalloc(mx->p, sizeof(*s));

    (void)peer;
    (void)len;
    s->mx = mx;
    s->p = mx->p;
    s->content = "";
    mx->sessions++;
    s->conn = conn_create(mx->loop, fd, &mx_events, s, mx->p);
    if (mx->limit && mx->open >= mx->limit) {
        mx->refused++;
        conn_printf(s->conn, "421 4.7.0 too many connections\r\n");
        conn_finish(s->conn);
        return;
    }
    s->counted = 1;
    mx->open++;
    conn_printf(s->conn, "%s", mx->busy ? mx->busy : "220 mx\r\n");
    if (mx->busy)
        conn_finish(s->conn);
}

/* port 0: any */
static mx_t *mx_start(loop_t *loop, unsigned int ip, int port, apr_pool_t *p)
{
    mx_t *mx = apr_pcalloc(p, sizeof(*mx));
    struct sockaddr_in in;
    socklen_t len = sizeof(in);

    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(ip);
    in.sin_port = htons((apr_uint16_t)port);
    mx->p = p;
    mx->loop = loop;
    mx->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(mx->fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(mx->fd, 100), 0);
    getsockname(mx->fd, (struct sockaddr *)&in, &len);
    mx->port = ntohs(in.sin_port);
    assert_int_equal(conn_listen_accept(&mx->listener, loop, mx->fd,
                                        mx_accept, mx), APR_SUCCESS);
    return mx;
}

/* --- the bench --- */

typedef struct {
    unit_store_t *store;
    mg_db_t *look;             /* a second connection */
    worker_t worker;
    mg_config_t config;
    mx_t *mx, *lmtp;
    apr_int64_t account_id, domain_id, mailbox_id;
    const char *options;       /* of messages that are accepted, or NULL */
    const char *variables;     /* of their recipients, or NULL */
    sender_t *s;
    const char *method, *sender, *payload; /* of mail; NULL */
} bench_t;

static void add_transport(bench_t *b, const char *domain, int port)
{
    mg_transport_t *t = apr_array_push(b->config.transports);

    t->domain = domain;
    t->host = "127.0.0.1";
    t->port = port;
}

static void make_config(bench_t *b, apr_pool_t *p)
{
    mg_config_t *c = &b->config;

    c->store = b->store->url;
    c->run_dir = b->store->dir;
    c->hostname = "us.test";
    c->transports = apr_array_make(p, 2, sizeof(mg_transport_t));
    add_transport(b, "*", b->mx->port);
    add_transport(b, "down.test", 1); /* nobody listens there */
    c->lmtp = apr_psprintf(p, "127.0.0.1:%d", b->lmtp->port);
    c->retry = apr_array_make(p, 1, sizeof(apr_interval_time_t));
    APR_ARRAY_PUSH(c->retry, apr_interval_time_t) = apr_time_from_msec(300);
    c->retry_limit = apr_time_from_sec(1000);
    c->smtp_port = 25;
    c->claims = 100;
    c->destination_connections = 4;
    c->lease = apr_time_from_sec(30);
}

static void make_records(bench_t *b, mg_secret_t *secret, apr_pool_t *p)
{
    mg_account_t *account;
    mg_domain_t *domain;
    mg_mailbox_t *mailbox;
    mg_db_t *db = b->store->db;

    unit_store_ok(db, mg_account_add(&account, db, "one", p));
    unit_store_ok(db, mg_domain_add(&domain, db, secret, account->id,
                                    "a.test", "$2y$none", unit_dkim(), p));
    unit_store_ok(db, mg_mailbox_add(&mailbox, db, account->id, domain->id,
                                     "Bob@a.test", "$2y$none", p));
    b->account_id = account->id;
    b->domain_id = domain->id;
    b->mailbox_id = mailbox->id;
}

static void begin_sender(bench_t *b)
{
    worker_t *w = &b->worker;

    w->db = b->store->db;
    w->stopping = 0;
    unit_store_ok(w->db, mg_worker_register(&w->worker_id, w->db, "sender"));
    assert_int_equal(sender_start(w), APR_SUCCESS);
    b->s = w->role_data;
}

static bench_t *bench(void **state)
{
    unit_store_t *store = *state;
    apr_pool_t *p = store->p;
    bench_t *b = apr_pcalloc(p, sizeof(*b));
    const char *path = apr_pstrcat(p, store->dir, "/secret", NULL);
    worker_t *w = &b->worker;
    mg_secret_t *secret;

    b->store = store;
    assert_int_equal(loop_create(&w->loop, p), APR_SUCCESS);
    b->mx = mx_start(w->loop, INADDR_LOOPBACK, 0, p);
    b->lmtp = mx_start(w->loop, INADDR_LOOPBACK, 0, p);
    b->lmtp->is_lmtp = 1;
    make_config(b, p);
    assert_int_equal(mg_secret_create(path, p), APR_SUCCESS);
    assert_int_equal(mg_secret_load(&secret, path, p), APR_SUCCESS);
    make_records(b, secret, p);
    b->look = unit_store_open(store, 0);
    w->pool = p;
    w->config = &b->config;
    w->secret = secret;
    w->shared = mg_shared_attach(store->dir, p);
    w->role = MG_ROLE_SENDER;
    w->domains = mg_domain_cache_create(w->shared, p);
    w->own = apr_pcalloc(p, 4096); /* worker.c's: zero is "all is well" */
    begin_sender(b);
    return b;
}

/* recipients: "x@d,y@d"; a transport is taken from dest */
static apr_int64_t accept_message(bench_t *b, const char *recipients,
                                  const char *content, apr_size_t len)
{
    apr_pool_t *p = b->store->p;
    mg_message_t *m = apr_pcalloc(p, sizeof(*m));
    char *last = NULL, *one, *list = apr_pstrdup(p, recipients);
    mg_db_t *db = b->look;

    m->id = mg_id_next();
    m->account_id = b->account_id;
    m->domain_id = b->domain_id;
    m->method = b->method ? b->method : "http";
    m->options = b->options;
    m->message_id = apr_psprintf(p, "%" APR_INT64_T_FMT "@a.test", m->id);
    m->sender = b->sender ? b->sender : "me@a.test";
    m->from_header = "me@a.test";
    m->subject = "hello";
    m->size = (apr_int64_t)len;
    m->created_at = mg_now();
    m->bytes = content;
    m->bytes_len = len;
    m->envelopes = apr_array_make(p, 4, sizeof(mg_envelope_t));
    for (one = apr_strtok(list, ",", &last); one;
         one = apr_strtok(NULL, ",", &last)) {
        mg_envelope_t *e = apr_array_push(m->envelopes);
        const char *domain = strchr(one, '@') + 1;

        memset(e, 0, sizeof(*e));
        e->id = mg_id_next();
        e->recipient = e->recipient_as_given = one;
        e->variables = b->variables;
        e->transport = strcmp(domain, "a.test") == 0 ? MG_TRANSPORT_LMTP
                                                     : MG_TRANSPORT_SMTP;
        e->dest = e->transport == MG_TRANSPORT_LMTP
                      ? apr_psprintf(p, "%" APR_INT64_T_FMT, b->mailbox_id)
                      : domain;
        if (e->transport == MG_TRANSPORT_LMTP)
            m->direction = MG_INCOMING;
        e->payload = b->payload;
        e->due_at = m->created_at;
        e->expires_at = m->created_at + b->config.retry_limit;
    }
    unit_store_ok(db, mg_tx_begin(db, MG_TX_WRITE));
    unit_store_ok(db, mg_message_accept(db, m, p));
    unit_store_ok(db, mg_tx_commit(db));
    b->worker.on_bell(&b->worker);
    return m->id;
}

static apr_int64_t mail_to(bench_t *b, const char *recipients)
{
    static const char content[] = "Subject: hello\r\n\r\n.dot\r\n";

    return accept_message(b, recipients, content, sizeof(content) - 1);
}

static apr_int64_t rows(bench_t *b, const char *where)
{
    return unit_store_int(b->look, apr_pstrcat(b->store->p, "SELECT count(*) "
                                               "FROM ", where, NULL));
}

static void turn(bench_t *b, int ms)
{
    apr_time_t until = mg_ticks() + apr_time_from_msec(ms);

    do
        loop_turn(b->worker.loop, 1000);
    while (mg_ticks() < until);
}

/* Turn until this many rows are there. */
static void await(bench_t *b, const char *where, apr_int64_t n)
{
    int i;

    for (i = 0; i < 400 && rows(b, where) != n; i++) {
        turn(b, 10);
        if (i % 20 == 0)
            b->worker.on_bell(&b->worker); /* the worker's poll */
    }
    if (rows(b, where) != n)
        fail_msg("%s: %d rows, wanted %d", where, (int)rows(b, where),
                 (int)n);
}

static const char *text(bench_t *b, const char *sql)
{
    mg_stmt_t *stmt;
    const char *found = "(none)";

    unit_store_ok(b->look, mg_db_query(&stmt, b->look, sql, ""));
    if (mg_stmt_next(stmt) == APR_SUCCESS)
        found = mg_stmt_text(stmt, 0, b->store->p);
    mg_stmt_done(stmt);
    return found ? found : "(null)";
}

static mta_site_t *site_of_x(bench_t *b)
{
    mg_delivery_t d;

    memset(&d, 0, sizeof(d));
    d.transport = MG_TRANSPORT_SMTP;
    d.dest = "x.test";
    return mta_site_for(b->s, &d, "");
}

/* Not because it were slow, which would give its share back. */
static void stop_site(bench_t *b, mta_site_t **psite)
{
    *psite = site_of_x(b);
    (*psite)->done += 100000;
    (*psite)->window = 0;
}

static void go_on(mta_site_t *site, int window)
{
    site->window = window;
    mta_site_touch(site);
}

/* --- tests --- */

static void test_delivered(void **state)
{
    bench_t *b = bench(state);
    apr_int64_t id;
    char address[200];
    unsigned char key[32];
    mg_verp_t verp;

    id = mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(b->mx->messages, 1);
    assert_non_null(strstr(b->mx->contents[0], "X-Mailgun-Sid: "));
    assert_non_null(strstr(b->mx->contents[0],
                           "Subject: hello\r\n\r\n.dot\r\n"));
    assert_int_equal(sscanf(b->mx->seen[0], "MAIL FROM:<%199[^@]@a.test>",
                            address), 1);
    assert_int_equal(mg_secret_derive(key, b->worker.secret, "verp"),
                     APR_SUCCESS);
    assert_int_equal(mg_verp_read(&verp, key, address, "a.test"),
                     APR_SUCCESS);
    assert_true(verp.message_id == id);
    assert_true(mg_verp_is_for(&verp, key, "OK@x.test"));
    assert_non_null(strstr(text(b, "SELECT detail FROM event WHERE kind = "
                                "'delivered'"), "250 2.0.0 queued as 1"));
    /* everything that was held is let go */
    assert_int_equal(b->s->nheld, 0);
    assert_int_equal(apr_hash_count(b->s->messages), 0);
    assert_int_equal(b->s->content_bytes, 0);
}

static void test_connection_is_reused(void **state)
{
    bench_t *b = bench(state);
    int i;

    for (i = 0; i < 20; i++) {
        mail_to(b, "ok@x.test");
        await(b, "delivery", 0);
    }
    assert_int_equal(b->mx->messages, 20);
    assert_int_equal(b->mx->sessions, 1);
}

static void test_many(void **state)
{
    bench_t *b = bench(state);
    int i;

    for (i = 0; i < 250; i++)
        mail_to(b, apr_psprintf(b->store->p, "ok@%d.test", i % 7));
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 250);
    assert_int_equal(b->mx->messages, 250);
    assert_true(b->mx->sessions <= 4);
}

static void test_shared_transaction(void **state)
{
    bench_t *b = bench(state);

    mail_to(b, "ok1@x.test,bounce@x.test,ok2@x.test,defer@x.test");
    await(b, "delivery", 1);
    assert_int_equal(b->mx->messages, 1);
    assert_non_null(strstr(b->mx->seen[0],
                           "RCPT TO:<ok1@x.test>|RCPT TO:<ok2@x.test>|"));
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 2);
    assert_int_equal(rows(b, "event WHERE kind = 'failed'"), 1);
    assert_int_equal(rows(b, "event WHERE kind = 'failed_temp'"), 1);
    assert_string_equal(text(b, "SELECT last_reply FROM delivery"),
                        "451 4.7.1 later");
    assert_int_equal(unit_store_int(b->look, "SELECT attempts FROM delivery"),
                     1);
    /* nobody learns of another */
    assert_null(strstr(b->mx->seen[0], "ok1=x.test"));
    assert_non_null(strstr(b->mx->seen[0], "-x.test@a.test>"));
    /* several destinations of one server: the address is bound to none */
    mail_to(b, "ok1@x.test,ok2@y.test");
    await(b, "event WHERE kind = 'delivered'", 4);
    assert_non_null(strstr(b->mx->seen[1], "-@a.test>|RCPT TO:<ok1@x.test>|"
                                           "RCPT TO:<ok2@y.test>|"));
}

static void test_deferred_comes_again(void **state)
{
    bench_t *b = bench(state);

    mail_to(b, "defer@x.test");
    await(b, "delivery WHERE attempts = 2", 1);
    await(b, "delivery WHERE attempts = 3", 1);
    assert_true(rows(b, "event WHERE kind = 'failed_temp'") >= 3);
    assert_int_equal(rows(b, "event WHERE kind = 'failed'"), 0);
}

static void test_content_refused(void **state)
{
    bench_t *b = bench(state);

    mail_to(b, "spam@x.test");
    await(b, "delivery", 0);
    assert_non_null(strstr(text(b, "SELECT detail FROM event WHERE kind = "
                                "'failed'"), "550 5.7.1 spam"));
}

static void test_host_down(void **state)
{
    bench_t *b = bench(state);

    /* closed for long enough that a slow machine still sees it so */
    APR_ARRAY_IDX(b->config.retry, 0, apr_interval_time_t) =
        apr_time_from_sec(3);
    mail_to(b, "ok@down.test");
    await(b, "delivery WHERE attempts = 1", 1);
    assert_int_equal(strncmp(text(b, "SELECT last_reply FROM delivery"),
                             "499 4.4.1 ", 10), 0);
    /* while it is closed nothing is tried, and others go on */
    mail_to(b, "late@down.test");
    mail_to(b, "ok@x.test");
    await(b, "event WHERE kind = 'delivered'", 1);
    assert_int_equal(rows(b, "delivery WHERE recipient = 'late@down.test' AND"
                          " claimed_by = 0 AND attempts = 0"), 1);
    /* and it comes again in its time: either it is the one that finds the
     * host down, or the other one was first, and it waits once more */
    await(b, "delivery WHERE recipient = 'late@down.test' AND"
             " (attempts > 0 OR claim_no > 1)", 1);
}

static void test_busy_greeting(void **state)
{
    bench_t *b = bench(state);

    b->mx->busy = "421 busy\r\n";
    mail_to(b, "ok@x.test");
    await(b, "delivery WHERE attempts = 1", 1);
    assert_string_equal(text(b, "SELECT last_reply FROM delivery"),
                        "421 busy");
    b->mx->busy = NULL;
    await(b, "delivery", 0);
}

static void test_expired(void **state)
{
    bench_t *b = bench(state);
    const char *found;

    b->config.retry_limit = apr_time_from_msec(100);
    mail_to(b, "defer@x.test");
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'dropped'"), 1);
    found = text(b, "SELECT detail FROM event WHERE kind = 'dropped'");
    assert_non_null(strstr(found, "451 4.7.1 later"));
    assert_non_null(strstr(found, "\"reason\":\"maxfails\""));
    assert_int_equal(rows(b, "bounce"), 0);
}

/* Hard: one attempt, and in the table; not for a refusal of another kind. */
static void test_bounce_table(void **state)
{
    bench_t *b = bench(state);

    mail_to(b, "bounce@x.test,spam@x.test");
    mail_to(b, "bounce@y.test");
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'failed'"), 3);
    assert_int_equal(rows(b, "bounce"), 2);
    assert_int_equal(rows(b, "bounce WHERE code = '550' AND class = 'unknown'"
                          " AND error = '550 5.1.1 no such user' AND"
                          " address_lc IN ('bounce@x.test',"
                          " 'bounce@y.test')"), 2);
    assert_int_equal(rows(b, "event WHERE kind = 'failed' AND detail LIKE"
                          " '%\"class\":\"spam\"%'"), 1);
    /* from now on it is not even tried */
    mail_to(b, "Bounce@X.test,ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(rows(b, "event WHERE kind = 'dropped' AND detail LIKE"
                          " '{\"code\":605,\"reply\":\"Not delivering to"
                          " previously bounced address\","
                          "\"reason\":\"hardfail\",%'"), 1);
    unit_fsck(b->store, 0, NULL);
}

/* A full mailbox is temporary, whatever digits its server uses. */
static void test_full_is_soft(void **state)
{
    bench_t *b = bench(state);

    mail_to(b, "full@x.test");
    await(b, "delivery WHERE attempts = 1", 1);
    assert_int_equal(rows(b, "bounce"), 0);
    assert_string_equal(text(b, "SELECT last_reply FROM delivery"),
                        "552 5.2.2 mailbox full");
}

/* Mail that comes in is delivered, whoever is in the tables. */
static void test_suppressed(void **state)
{
    bench_t *b = bench(state);
    mg_suppression_t entry = { .kind = MG_COMPLAINED,
                               .address = "ok@x.test" };
    apr_pool_t *p = b->store->p;
    mg_db_t *db = b->look;

    unit_store_ok(db, mg_suppression_add(db, b->domain_id, &entry, p));
    entry.kind = MG_UNSUBSCRIBED;
    entry.address = "out@x.test";
    unit_store_ok(db, mg_suppression_add(db, b->domain_id, &entry, p));
    entry.address = "bob@a.test";
    unit_store_ok(db, mg_suppression_add(db, b->domain_id, &entry, p));
    mail_to(b, "bob@a.test,ok@x.test"); /* incoming */
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 2);
    mail_to(b, "ok@x.test,out@x.test,ok@y.test");
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 3);
    assert_int_equal(rows(b, "event WHERE detail LIKE '%\"code\":607,%'"), 1);
    assert_int_equal(rows(b, "event WHERE detail LIKE '%\"code\":606,%'"), 1);
    /* the null sender is a customer's too */
    b->sender = "";
    b->method = "smtp";
    mail_to(b, "ok@x.test,bounce@x.test");
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 3);
    assert_int_equal(rows(b, "bounce"), 1);
    b->sender = NULL;
    unit_store_ok(db, mg_suppression_remove(db, b->domain_id, MG_COMPLAINED,
                                            "ok@x.test", NULL, p));
    mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 4);
}

/* Who sent by SMTP is told; a sender in a domain of ours by mailbox. */
static void test_notices(void **state)
{
    static const struct {
        const char *to, *method, *sender, *payload;
        const char *action;         /* of the report; NULL: there is none */
    } cases[] = {
        { "bounce@x.test", "smtp", "bob@a.test", NULL, "failed" },
        { "bounce@x.test", "smtp", "bob@a.test", "{\"notify\":\"NEVER\"}",
          NULL },
        { "bounce@x.test", "smtp", "bob@a.test", "{\"notify\":\"SUCCESS\"}",
          NULL },
        { "bounce@x.test", "smtp", "", NULL, NULL },
        { "bounce@x.test", "http", "bob@a.test", NULL, NULL },
        { "ok@x.test", "smtp", "bob@a.test", NULL, NULL },
        { "ok@x.test", "smtp", "bob@a.test",
          "{\"notify\":\"SUCCESS,FAILURE\"}", "relayed" },
        { "bob@a.test", "smtp", "bob@a.test", "{\"notify\":\"SUCCESS\"}",
          "delivered" },
        { "bob@a.test", "smtp", "bob@a.test", NULL, NULL },
    };
    bench_t *b = bench(state);
    apr_pool_t *p = b->store->p;
    mg_db_t *db = b->look;
    int before, own;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unit_store_ok(db, mg_suppression_clear(db, b->domain_id, -1));
        b->method = cases[i].method;
        b->sender = cases[i].sender;
        b->payload = cases[i].payload;
        before = b->lmtp->messages;
        own = strcmp(cases[i].to, "bob@a.test") == 0;
        mail_to(b, cases[i].to);
        await(b, "delivery", 0);
        if (b->lmtp->messages != before + own + (cases[i].action != NULL))
            fail_msg("case %d: %d messages", (int)i, b->lmtp->messages);
        if (!cases[i].action)
            continue;
        assert_non_null(strstr(b->lmtp->seen[before + own], "MAIL FROM:<>"));
        assert_non_null(strstr(b->lmtp->contents[before + own],
                               apr_pstrcat(p, "\r\nAction: ",
                                           cases[i].action, "\r\n", NULL)));
        assert_non_null(strstr(b->lmtp->contents[before + own],
                               "\r\nSubject: hello\r\n"));
    }
    unit_fsck(b->store, 0, NULL);
}

/* What a route forwards keeps its sender and what that one asked for; where
 * the next server offers no DSN, we say that it was handed on. */
static void test_dsn_goes_along(void **state)
{
    bench_t *b = bench(state);
    int dsn;

    b->mx->hang_up_after_message = 1;
    for (dsn = 1; dsn >= 0; dsn--) {
        b->mx->dsn = dsn;
        b->method = "smtp";
        b->sender = "writer@z.test";
        b->payload = "{\"notify\":\"SUCCESS\","
                     "\"orcpt\":\"rfc822;a@a.test\"}";
        b->options = "{\"dsn\":{\"ret\":\"HDRS\",\"envid\":\"id7\"}}";
        mail_to(b, dsn ? "bob@a.test,ok@x.test" : "bob@a.test,ok@y.test");
        await(b, "delivery", 0);
        /* two at Dovecot's: mailbox "delivered" notices go out to z.test */
        assert_int_equal(rows(b, "message WHERE method = 'dsn'"),
                         dsn ? 1 : 3);
    }
    assert_non_null(strstr(b->mx->seen[0], "MAIL FROM:<writer@z.test> RET=HDRS"
                                           " ENVID=id7|RCPT TO:<ok@x.test>"
                                           " NOTIFY=SUCCESS"
                                           " ORCPT=rfc822;a@a.test|"));
    b->options = NULL;
}

/* To a sender elsewhere it goes from <>; that it bounces is told nobody. */
static void test_notice_outside(void **state)
{
    bench_t *b = bench(state);

    b->method = "smtp";
    b->sender = "bounce@y.test";
    mail_to(b, "spam@x.test");
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "message"), 2);
    assert_int_equal(rows(b, "message WHERE method = 'dsn' AND sender = ''"),
                     1);
    assert_int_equal(rows(b, "event WHERE kind = 'failed'"), 2);
    assert_int_equal(rows(b, "bounce"), 0);
    b->sender = "ok@y.test";
    mail_to(b, "spam@x.test");
    await(b, "delivery", 0);
    assert_non_null(strstr(b->mx->seen[b->mx->messages - 1],
                           "MAIL FROM:<>|RCPT TO:<ok@y.test>|"));
}

/* Mail from outside in somebody's name does not flood him. */
static void test_notices_are_few(void **state)
{
    bench_t *b = bench(state);
    int i;

    b->method = "smtp";
    b->sender = apr_psprintf(b->store->p, "ok%d@y.test", (int)getpid());
    mg_log_set_level(MG_LOG_WARN);
    for (i = 0; i < NOTICE_AN_HOUR + 5; i++)
        mail_to(b, "bob@a.test,spam@x.test");
    await(b, "delivery", 0);
    assert_true(rows(b, "message WHERE method = 'dsn'") <= NOTICE_AN_HOUR);
    assert_true(rows(b, "message WHERE method = 'dsn'") > 0);
    assert_int_equal(rows(b, "event WHERE kind = 'failed'"),
                     NOTICE_AN_HOUR + 5);
}

/* After four hours, and once. */
static void test_notice_of_delay(void **state)
{
    bench_t *b = bench(state);

    b->method = "smtp";
    b->sender = "bob@a.test";
    b->payload = "{\"notify\":\"DELAY\"}";
    b->config.retry_limit = apr_time_from_sec(86400);
    mail_to(b, "defer@x.test");
    await(b, "delivery WHERE attempts = 1", 1);
    assert_int_equal(rows(b, "message"), 1);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET"
                                      " created_at = created_at -"
                                      " 15000000000", ""));
    await(b, "message", 2);
    await(b, "event WHERE kind = 'delivered'", 1);
    assert_non_null(strstr(b->lmtp->contents[0], "\r\nAction: delayed\r\n"));
    await(b, "delivery WHERE attempts >= 5", 1);
    assert_int_equal(rows(b, "message"), 2);
}

/* What waits in memory goes back when the operator holds it; what is under
 * way is finished. */
static void test_held_in_memory(void **state)
{
    bench_t *b = bench(state);
    apr_pool_t *p = b->store->p;
    int i;

    b->config.destination_connections = 1;
    b->mx->hold_the_answer = 1;
    for (i = 0; i < 6; i++)
        mail_to(b, apr_psprintf(p, "ok%d@x.test", i));
    await(b, "delivery WHERE claimed_by <> 0", 6);
    for (i = 0; i < 100 && !b->mx->held; i++)
        turn(b, 10);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery"
                                      " SET hold = 1", ""));
    b->s->hold_looked = 0;
    sender_look_for_held(b->s);
    assert_int_equal(b->s->nheld, 1);
    assert_int_equal(rows(b, "delivery WHERE claimed_by = 0 AND hold = 1"),
                     5);
    conn_printf(b->mx->held->conn, "250 ok\r\n");
    b->mx->hold_the_answer = 0;
    await(b, "delivery", 5);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(b->s->nheld, 0);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery"
                                      " SET hold = 0", ""));
    await(b, "delivery", 0);
}

static void test_closed_behind_our_back(void **state)
{
    bench_t *b = bench(state);

    b->mx->hang_up_after_message = 1;
    mail_to(b, "ok@x.test");
    mail_to(b, "ok@x.test");
    mail_to(b, "ok@x.test");
    mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 4);
    assert_int_equal(rows(b, "event WHERE kind = 'failed_temp'"), 0);
    assert_int_equal(b->mx->messages, 4);
}

static void test_lmtp(void **state)
{
    bench_t *b = bench(state);

    mail_to(b, "bob+x@a.test,bob@a.test");
    await(b, "delivery", 0);
    assert_int_equal(b->lmtp->messages, 2); /* one delivery each */
    assert_string_equal(b->lmtp->seen[0],
                        "MAIL FROM:<me@a.test>|RCPT TO:<Bob@a.test>|");
    assert_int_equal(strncmp(b->lmtp->contents[0],
                             "X-Mailgun-Delivery-Id: ", 23), 0);
    assert_null(strstr(b->lmtp->contents[0], "X-Mailgun-Sid"));
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 2);

    unit_store_ok(b->look, mg_mailbox_delete(b->look, b->mailbox_id));
    mg_shared_bump(b->worker.shared);
    mail_to(b, "bob@a.test");
    await(b, "delivery", 0);
    assert_int_equal(b->lmtp->messages, 2);
    assert_non_null(strstr(text(b, "SELECT detail FROM event WHERE kind = "
                                "'failed'"), "550 5.1.1"));
}

static void test_large(void **state)
{
    bench_t *b = bench(state);
    apr_size_t len = 700 * 1024, i, top;
    char *content = apr_palloc(b->store->p, len);

    memset(content, 'x', len);
    memcpy(content, "Subject: l\r\n\r\n", 14);
    for (i = 100; i + 3 < len; i += 100)
        memcpy(content + i, "\r\n.", 3);
    memcpy(content + len - 2, "\r\n", 2);
    accept_message(b, "ok@x.test", content, len);
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 1);
    top = b->mx->lens[0] - len;
    assert_memory_equal(b->mx->contents[0] + top, content, len);
}

/* The store fails when results are to be committed: they stay and are
 * committed later, the remote is not asked again. */
static void test_failed_commit(void **state)
{
    bench_t *b = bench(state);

    b->mx->hold_the_answer = 1;
    mail_to(b, "ok@x.test");
    while (!b->mx->held)
        turn(b, 5);
    unit_fault("store.commit.before", UNIT_EIO, 0, 3);
    conn_printf(b->mx->held->conn, "250 2.0.0 at last\r\n");
    turn(b, 50);
    assert_int_equal(b->s->nresults, 1);
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(b->mx->messages, 1);
    assert_int_equal(b->s->store_down, 0);
}

/* The answer to COMMIT is lost: nothing is written twice. */
static void test_lost_commit(void **state)
{
    bench_t *b = bench(state);

    b->mx->hold_the_answer = 1;
    mail_to(b, "ok@x.test");
    while (!b->mx->held)
        turn(b, 5);
    unit_fault("store.commit.after", UNIT_LOST, 0, 1);
    conn_printf(b->mx->held->conn, "451 4.3.0 not so\r\n");
    b->mx->hold_the_answer = 0;
    await(b, "delivery WHERE attempts = 1 OR claimed_by = 0", 1);
    assert_int_equal(rows(b, "event WHERE kind = 'failed_temp'"), 1);
    assert_int_equal(unit_store_int(b->look, "SELECT attempts FROM delivery"),
                     1);
}

/* Our lease went to another while the remote took its time: his result
 * counts. */
static void test_lost_lease(void **state)
{
    bench_t *b = bench(state);

    b->mx->hold_the_answer = 1;
    mail_to(b, "ok@x.test");
    while (!b->mx->held)
        turn(b, 5);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET "
                                      "claim_no = claim_no + 1, claimed_by = "
                                      "77", ""));
    conn_printf(b->mx->held->conn, "250 2.0.0 at last\r\n");
    turn(b, 100);
    assert_int_equal(b->s->nheld, 0);
    assert_int_equal(rows(b, "delivery WHERE claimed_by = 77"), 1);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 0);
}

/* The same, and the connection was gone before anything was said: what is
 * another's does not stand in the way of what is ours. */
static void test_lost_and_put_back(void **state)
{
    bench_t *b = bench(state);
    sender_group_t *group;
    mta_site_t *site;

    stop_site(b, &site);
    mail_to(b, "ok@x.test");
    await(b, "delivery WHERE claimed_by <> 0", 1);
    group = mta_line_first(site);
    mta_line_take_out(site, group);
    APR_RING_FIRST(&group->entries)->running = 1;
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET "
                                      "claim_no = claim_no + 1, claimed_by = "
                                      "77", ""));
    APR_RING_FIRST(&b->s->held)->lease_until = mg_ticks();
    unit_store_ok(b->look, sender_renew(b->s));
    assert_int_equal(b->s->nheld, 1);
    mta_site_put_back(site, group);
    assert_int_equal(b->s->nheld, 0);
    mail_to(b, "ok@x.test");
    go_on(site, 1);
    await(b, "event WHERE kind = 'delivered'", 1);
    assert_int_equal(b->mx->messages, 1);
    assert_int_equal(rows(b, "delivery WHERE claimed_by = 77"), 1);
}

/* A transaction that outlasts half of its lease is renewed. */
static void test_renewed(void **state)
{
    bench_t *b = bench(state);
    apr_int64_t first;

    b->mx->hold_the_answer = 1;
    mail_to(b, "ok@x.test");
    while (!b->mx->held)
        turn(b, 5);
    first = unit_store_int(b->look, "SELECT due_at FROM delivery");
    APR_RING_FIRST(&b->s->held)->lease_until = mg_ticks()
                                               + apr_time_from_sec(10);
    turn(b, 20);
    unit_store_ok(b->look, sender_renew(b->s));
    assert_true(unit_store_int(b->look, "SELECT due_at FROM delivery")
                > first);
    conn_printf(b->mx->held->conn, "250 ok\r\n");
    await(b, "delivery", 0);
}

/* Many leases are renewed in parts: other work has its turn between. */
static void test_renewed_in_parts(void **state)
{
    bench_t *b = bench(state);
    mta_site_t *site;
    sender_entry_t *e;
    int i, more;

    b->config.claims = 1000;
    stop_site(b, &site);
    for (i = 0; i < 250; i++)
        mail_to(b, "ok@x.test");
    await(b, "delivery WHERE claimed_by <> 0", 250);
    APR_RING_FOREACH(e, &b->s->held, sender_entry_t, held)
        e->lease_until = mg_ticks() + apr_time_from_sec(10);
    unit_store_ok(b->look, sender_renew_some(b->s, &more));
    assert_int_equal(more, 1);
    i = 0;
    APR_RING_FOREACH(e, &b->s->held, sender_entry_t, held)
        i += e->lease_until > mg_ticks() + apr_time_from_sec(20);
    assert_int_equal(i, 200);
    unit_store_ok(b->look, sender_renew_some(b->s, &more));
    assert_int_equal(more, 0);
}

static void test_stop(void **state)
{
    bench_t *b = bench(state);
    apr_int64_t claimed;
    int i;

    b->mx->hold_the_answer = 1;
    b->config.destination_connections = 1;
    for (i = 0; i < 5; i++)
        mail_to(b, "ok@x.test");
    while (!b->mx->held)
        turn(b, 5);
    await(b, "delivery WHERE claimed_by <> 0", 5);
    b->worker.stopping = 1;
    b->worker.on_stop(&b->worker);
    turn(b, 60);
    claimed = rows(b, "delivery WHERE claimed_by <> 0");
    assert_int_equal(claimed, 1); /* what is under way; the rest is free */
    conn_printf(b->mx->held->conn, "250 ok\r\n");
    turn(b, 60);
    assert_int_equal(rows(b, "delivery"), 4);
    assert_int_equal(rows(b, "delivery WHERE claimed_by <> 0"), 0);
    assert_int_equal(b->s->connections, 0);
    assert_int_equal(b->s->nheld, 0);
}

static void test_stop_idle(void **state)
{
    bench_t *b = bench(state);

    mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    b->worker.stopping = 1;
    b->worker.on_stop(&b->worker);
    turn(b, 20);
    assert_int_equal(b->s->connections, 0);
}

/* More is due than may be held, and one destination stands still. */
static void test_memory_is_bounded(void **state)
{
    bench_t *b = bench(state);
    int i;

    for (i = 0; i < 300; i++)
        mail_to(b, "ok@down.test");
    for (i = 0; i < 50; i++)
        mail_to(b, "ok@x.test");
    for (i = 0; i < 300; i++) {
        turn(b, 5);
        assert_true(b->s->nheld <= b->config.claims);
        if (b->mx->messages == 50)
            break;
    }
    await(b, "event WHERE kind = 'delivered'", 50);
    assert_int_equal(rows(b, "delivery"), 300);
}

/* Two of its recipients fail before the message was read, with another's result
 * between theirs: it is read once, and the third gets it. */
static void test_read_for_results(void **state)
{
    bench_t *b = bench(state);
    mta_site_t *site;
    mg_delivery_t d;

    add_transport(b, "down2.test", 2);
    memset(&d, 0, sizeof(d));
    d.transport = MG_TRANSPORT_SMTP;
    d.dest = "x.test";
    site = mta_site_for(b->s, &d, "");
    site->window = 0;
    mail_to(b, "1@down.test,1@down2.test,ok@x.test");
    mail_to(b, "2@down.test,2@down2.test");
    await(b, "delivery WHERE attempts > 0", 4);
    site->window = 4;
    mta_site_touch(site);
    await(b, "event WHERE kind = 'delivered'", 1);
    assert_int_equal(rows(b, "event WHERE kind = 'failed'"), 0);
    assert_int_equal(b->mx->messages, 1);
    await(b, "delivery WHERE claimed_by <> 0", 0);
    assert_int_equal(b->s->content_bytes, 0);
}

/* All that may be held is held and waits, and a question to the store fails:
 * nothing else asks it, yet it is seen that it works again. */
static void test_full_in_an_outage(void **state)
{
    bench_t *b = bench(state);
    mta_site_t *site;
    mg_delivery_t d;
    int i;

    b->config.claims = 6; /* of which one domain may hold five */
    memset(&d, 0, sizeof(d));
    d.transport = MG_TRANSPORT_SMTP;
    d.dest = "x.test";
    site = mta_site_for(b->s, &d, "");
    site = mta_site_for(b->s, &d, "");
    site->done += 100000;
    site->window = 0;
    for (i = 0; i < 10; i++)
        mail_to(b, "ok@x.test");
    await(b, "delivery WHERE claimed_by <> 0", 5);
    assert_int_equal(sender_store_works(b->s, MG_EIO), 0);
    site->window = 4;
    for (i = 0; i < 400 && b->mx->messages == 0; i++) {
        turn(b, 10);
        b->worker.on_bell(&b->worker);
    }
    assert_true(b->mx->messages > 0);
}

/* Others hold many connections that hang. */
static void test_many_connections(void **state)
{
    bench_t *b = bench(state);
    int i;

    b->s->connections += MTA_CONNECTIONS;
    mail_to(b, "bob@a.test");
    await(b, "delivery", 0);
    b->s->connections -= MTA_CONNECTIONS / 2;
    for (i = 0; i < 5; i++)
        mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 5);
    assert_int_equal(b->mx->sessions, 1);
}

/* All are taken, and one of them is at rest: it makes room for another site,
 * which has it as soon as the other is gone. */
static void test_rest_makes_room(void **state)
{
    bench_t *b = bench(state);
    int i;

    add_transport(b, "y.test", b->lmtp->port);
    mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(b->s->nresting, 1);
    b->s->connections += MTA_CONNECTIONS - 1;
    mail_to(b, "ok@y.test");
    for (i = 0; i < 400 && b->s->nleaving == 0; i++)
        loop_turn(b->worker.loop, 1000);
    assert_int_equal(b->s->nleaving, 1);
    assert_int_equal(b->s->nroom_line, 1);
    await(b, "delivery", 0);
    assert_int_equal(b->lmtp->messages, 1);
    assert_int_equal(b->s->nroom_line, 0);
    b->s->connections -= MTA_CONNECTIONS - 1;
}

/* A transaction that was given up ends with RSET: the next one begins when
 * that was answered, else its recipients get each other's replies. */
static void test_after_reset(void **state)
{
    bench_t *b = bench(state);
    int i;

    b->config.destination_connections = 1;
    for (i = 0; i < 3; i++)
        mail_to(b, apr_psprintf(b->store->p, "bounce%d@x.test", i));
    mail_to(b, "bounce@x.test,ok1@x.test,ok2@x.test");
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 2);
    assert_int_equal(rows(b, "event WHERE kind = 'failed'"), 4);
    assert_int_equal(rows(b, "event WHERE kind = 'failed' AND recipient LIKE "
                          "'bounce%'"), 4);
    assert_int_equal(rows(b, "event WHERE kind = 'failed_temp'"), 0);
    assert_int_equal(b->mx->sessions, 1);
}

/* The handshake fails: again in clear, at once, and from then on. */
static void test_broken_tls(void **state)
{
    bench_t *b = bench(state);

    b->mx->broken_tls = 1;
    mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(rows(b, "event"), 2);
    assert_int_equal(b->mx->sessions, 2);
    b->mx->hang_up_after_message = 1;
    mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 3);
    assert_int_equal(b->mx->sessions, 3);
}

/* x.test has two hosts. */
static mta_site_t *site_of_two(bench_t *b)
{
    static const unsigned int ips[] = { 0x7f000002, INADDR_LOOPBACK };
    mta_site_t *site = site_of_x(b);
    dns_host_t hosts[2];
    int i;

    memset(hosts, 0, sizeof(hosts));
    for (i = 0; i < 2; i++) {
        struct sockaddr_in *in = (struct sockaddr_in *)&hosts[i].addr;

        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(ips[i]);
        hosts[i].addr_len = (int)sizeof(*in);
        hosts[i].name = "mx.x.test";
    }
    mta_route_set(site, hosts, 2, APR_INT64_MAX);
    return site;
}

/* Nobody listens at the first address, the second one takes it; and where
 * neither does, the site is closed. */
static void test_next_host(void **state)
{
    bench_t *b = bench(state);
    mta_site_t *site = site_of_two(b);

    mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 1);
    assert_int_equal(rows(b, "event WHERE kind = 'failed_temp'"), 0);
    /* the bad one comes last for a while: now it would be the second try */
    b->mx->hang_up_after_message = 1;
    mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    b->mx->busy = "421 busy\r\n";
    mail_to(b, "ok@x.test");
    await(b, "delivery WHERE attempts = 1", 1);
    assert_int_equal(strncmp(text(b, "SELECT last_reply FROM delivery"),
                             "499 4.4.1 ", 10), 0);
    assert_int_equal(site->failures, 1);
}

/* The first host takes nobody now, or nobody ever: the second one is asked (RFC
 * 5321 5.1), and mail is returned only where both say so. */
static void test_next_host_after_a_greeting(void **state)
{
    static const char *const greetings[] = { "421 4.3.2 not now\r\n",
                                             "554 5.3.2 never\r\n" };
    bench_t *b = bench(state);
    mx_t *first = mx_start(b->worker.loop, 0x7f000002, b->mx->port,
                           b->store->p);
    int i;

    site_of_two(b);
    b->mx->hang_up_after_message = 1;
    for (i = 0; i < 2; i++) {
        first->busy = greetings[i];
        apr_hash_clear(b->s->hosts); /* it is not known as a bad one */
        mail_to(b, "ok@x.test");
        await(b, "delivery", 0);
        assert_int_equal(first->sessions, i + 1);
        assert_int_equal(b->mx->messages, i + 1);
    }
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 2);
    assert_int_equal(rows(b, "event WHERE kind LIKE 'failed%'"), 0);
    b->mx->busy = "421 busy\r\n";
    mail_to(b, "ok@x.test");
    await(b, "delivery WHERE attempts = 1", 1);
    assert_int_equal(rows(b, "event WHERE kind = 'failed'"), 0);
}

/* 4.7.x to MAIL means us, not the recipient: the third in a row closes the site,
 * for as long as it asks, and the fourth is not even said. */
static void test_refused_at_mail(void **state)
{
    bench_t *b = bench(state);
    mta_site_t *site;
    int i;

    b->config.destination_connections = 1;
    b->mx->refusal = "450 4.7.1 slow down, try again in 20 seconds\r\n";
    stop_site(b, &site);
    for (i = 0; i < 6; i++)
        mail_to(b, "ok@x.test");
    await(b, "delivery WHERE claimed_by <> 0", 6);
    go_on(site, 1);
    await(b, "delivery WHERE claimed_by = 0", 6);
    assert_int_equal(site->failures, 1);
    assert_in_range(mta_site_closed_until(site) - mg_now(),
                    apr_time_from_sec(15), apr_time_from_sec(20));
    assert_string_equal(site->last_reply, "450 4.7.1 slow down, try again in "
                        "20 seconds");
    assert_int_equal(b->mx->messages, 0);
    b->mx->refusal = NULL;
    site->closed_until = 0;
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET "
                                      "due_at = 1", ""));
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 6);
    assert_int_equal(site->mail_refusals, 0);
}

static void test_too_many_recipients(void **state)
{
    bench_t *b = bench(state);

    b->mx->rcpt_limit = 2;
    mail_to(b, "a@x.test,b@x.test,c@x.test,d@x.test,e@x.test");
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 3);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 5);
    assert_int_equal(rows(b, "event WHERE kind = 'failed_temp'"), 0);
}

static apr_int64_t another_domain(bench_t *b, const char *name)
{
    mg_domain_t *domain;
    mg_db_t *db = b->look;

    unit_store_ok(db, mg_domain_add(&domain, db, b->worker.secret,
                                    b->account_id, name, "$2y$none",
                                    unit_dkim(), b->store->p));
    return domain->id;
}

/* Many of one domain wait for a destination: another's one does not wait for
 * all of them, and shares say how many go first. */
static void test_turns_at_a_site(void **state)
{
    bench_t *b = bench(state);
    mg_share_t *share;
    mta_site_t *site;
    int i, of_b = 0;

    b->config.shares = apr_array_make(b->store->p, 1, sizeof(mg_share_t));
    share = apr_array_push(b->config.shares);
    share->domain = "b.test";
    share->share = 3;
    stop_site(b, &site);
    for (i = 0; i < 40; i++)
        mail_to(b, "ok@x.test");
    await(b, "delivery WHERE claimed_by <> 0", 40);
    b->domain_id = another_domain(b, "b.test");
    for (i = 0; i < 10; i++)
        mail_to(b, "ok@x.test");
    await(b, "delivery WHERE claimed_by <> 0", 50);
    go_on(site, 1);
    await(b, "delivery", 0);
    for (i = 0; i < 8; i++)
        of_b += strstr(b->mx->seen[i], "@b.test>") != NULL;
    assert_int_equal(of_b, 6);
    assert_int_equal(apr_hash_count(b->s->lines), 0);
    assert_int_equal(apr_hash_count(b->s->owners), 0);
}

/* All that one domain may hold is held: there is room for another's. */
static void test_room_for_others(void **state)
{
    bench_t *b = bench(state);
    mta_site_t *site;
    int i;

    stop_site(b, &site);
    for (i = 0; i < 150; i++)
        mail_to(b, "ok@x.test");
    await(b, "delivery WHERE claimed_by <> 0", 75);
    b->domain_id = another_domain(b, "b.test");
    mail_to(b, "ok@y.test,ok@x.test");
    await(b, "delivery WHERE claimed_by <> 0", 77);
    go_on(site, 4);
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 151);
}

/* Where each has a copy of his own, each has a transaction of his own. */
static void test_copies_that_differ(void **state)
{
    bench_t *b = bench(state);

    b->options = "{\"batch\":true}";
    mail_to(b, "a@x.test,b@x.test,c@x.test");
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 3);
    b->options = NULL;
    mail_to(b, "a@x.test,b@x.test,c@x.test");
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 4);
}

/* --- copies --- */

static void template_to(bench_t *b, const char *recipients,
                        const char *variables, const char *content,
                        apr_size_t len)
{
    json_t *options = json_object();
    const char *error;

    assert_int_equal(mg_render_check(options, &error, 0, content, len,
                                     b->store->p), APR_SUCCESS);
    assert_int_equal(json_object_size(options), 1);
    b->options = mg_json_compact(options, b->store->p);
    b->variables = variables;
    json_decref(options);
    accept_message(b, recipients, content, len);
    b->options = b->variables = NULL;
}

static const char *content_for(bench_t *b, const char *recipient)
{
    int i;

    for (i = 0; i < b->mx->messages; i++)
        if (strstr(b->mx->seen[i], recipient))
            return b->mx->contents[i];
    fail_msg("nothing for %s", recipient);
    return "";
}

/* Each its own transaction and text; each VERP sender is the recipient's. */
static void test_copies(void **state)
{
    static const char content[] =
        "To: %recipient%\r\nSubject: hi\r\nContent-Type: text/plain\r\n\r\n"
        ".for %recipient_email%\r\n%recipient.n%\r\n";
    bench_t *b = bench(state);
    int i;

    template_to(b, "a@x.test,b@x.test,c@x.test", "{\"n\":1}", content,
                sizeof(content) - 1);
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 3);
    assert_int_equal(rows(b, "event WHERE kind = 'delivered'"), 3);
    assert_non_null(strstr(content_for(b, "<b@x.test>"),
                           "\r\nTo: b@x.test\r\nSubject: hi\r\n"
                           "Content-Type: text/plain\r\n\r\n"
                           ".for b@x.test\r\n1\r\n"));
    for (i = 0; i < 3; i++) {
        assert_non_null(strstr(b->mx->contents[i], "X-Mailgun-Sid: "));
        assert_null(strstr(strstr(b->mx->seen[i], "RCPT") + 1, "RCPT"));
    }
    assert_string_not_equal(content_for(b, "<a@x.test>"),
                            content_for(b, "<c@x.test>"));
    assert_int_equal(b->s->template_bytes, 0);
    assert_int_equal(b->s->copy_bytes, 0);
}

/* The text is one part, the content is read from the store slice by slice. */
static void test_large_template(void **state)
{
    bench_t *b = bench(state);
    apr_size_t size = 700 * 1024, len;
    char *content = apr_palloc(b->store->p, size + 1000);
    const char *got;
    apr_size_t i;

    len = (apr_size_t)apr_snprintf(
        content, 500, "Subject: hi\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
        "Hi %%recipient_email%%\r\n--b\r\n"
        "Content-Type: application/octet-stream\r\n\r\n");
    for (i = 0; len < size; i++)
        len += (apr_size_t)apr_snprintf(content + len, 100, "%09d line of an "
                                        "attachment %%recipient%%\r\n",
                                        (int)i);
    len += (apr_size_t)apr_snprintf(content + len, 100, "\r\n--b\r\n\r\n"
                                    "Bye %%recipient_email%%\r\n--b--\r\n");
    template_to(b, "a@x.test,bob@x.test", NULL, content, len);
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 2);
    got = content_for(b, "<bob@x.test>");
    assert_non_null(strstr(got, "\r\n\r\nHi bob@x.test\r\n--b\r\n"));
    got = strstr(got, "application/octet-stream");
    assert_memory_equal(got, strstr(content, "application/octet-stream"),
                        (size_t)(strstr(got, "\r\n--b\r\n") - got));
    assert_non_null(strstr(got, "\r\n--b\r\n\r\nBye bob@x.test\r\n--b--\r\n"));
    assert_int_equal(b->s->copy_bytes, 0);
}

/* What is under way fills the memory there is for it: the others wait. */
static void test_copies_wait(void **state)
{
    static const char content[] = "Subject: x\r\n\r\n%recipient%\r\n";
    bench_t *b = bench(state);
    int i;

    b->s->copy_bytes = 64 * 1024 * 1024;
    template_to(b, "a@x.test", NULL, content, sizeof(content) - 1);
    for (i = 0; i < 100 && !b->s->copies_full; i++)
        turn(b, 10);
    assert_int_equal(b->s->copies_full, 1);
    turn(b, 50);
    assert_int_equal(b->mx->messages, 0);
    b->s->copy_bytes = 0; /* the one that filled it is gone */
    b->s->copies_full = 0;
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 1);
    assert_int_equal(b->s->copy_bytes, 0);
}

/* A large template is parsed in one turn and rendered in the next. */
static void test_large_text(void **state)
{
    bench_t *b = bench(state);
    apr_size_t size = 300 * 1024, len;
    char *content = apr_palloc(b->store->p, size + 1000);
    int i;

    len = (apr_size_t)apr_snprintf(content, 500, "Subject: hi\r\n\r\n");
    for (i = 0; len < size; i++)
        len += (apr_size_t)apr_snprintf(content + len, 100, "%06d for you, "
                                        "alone, %%recipient_email%%\r\n",
                                        i % 100);
    template_to(b, "a@x.test,bob@x.test", NULL, content, len);
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 2);
    assert_non_null(strstr(content_for(b, "<bob@x.test>"),
                           "000099 for you, alone, bob@x.test\r\n"));
    assert_null(strstr(content_for(b, "<bob@x.test>"), "%recipient"));
}

/* A plan that does not fit the content, values that fill too much. */
static void test_no_copy(void **state)
{
    static const char content[] = "Subject: %recipient.a%\r\n\r\nx\r\n";
    bench_t *b = bench(state);
    char *value = apr_palloc(b->store->p, 2200 * 1024);

    b->options = "{\"template\":[[0,7,0]]}";
    accept_message(b, "a@x.test", content, sizeof(content) - 1);
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'failed'"), 1);
    assert_non_null(strstr(text(b, "SELECT detail FROM event WHERE kind = "
                                "'failed'"), "554 5.6.0 "));
    memset(value, 'x', 2200 * 1024 - 1);
    memcpy(value, "{\"a\":\"", 6);
    memcpy(value + 2200 * 1024 - 3, "\"}", 3);
    template_to(b, "a@x.test", value, content, sizeof(content) - 1);
    await(b, "delivery", 0);
    assert_int_equal(rows(b, "event WHERE kind = 'failed'"), 2);
    assert_int_equal(b->mx->messages, 0);
}

/* A site that takes three connections and no more: it is worked with three,
 * and hardly ever asked for a fourth. */
static void test_window_is_learned(void **state)
{
    bench_t *b = bench(state);
    mta_site_t *site;
    int i;

    b->config.destination_connections = 10;
    b->mx->limit = 3;
    for (i = 0; i < 300; i++)
        mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 300);
    assert_int_equal(rows(b, "event WHERE kind <> 'accepted' AND"
                          " kind <> 'delivered'"), 0);
    site = site_of_x(b);
    assert_int_equal(site->ceiling, 3);
    assert_in_range(b->mx->refused, 1, 3);
    /* time goes by: it may have room for more by now */
    b->mx->limit = 4;
    site->probe_at = 0;
    for (i = 0; i < 100; i++)
        mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(site->ceiling, 4);
    assert_in_range(b->mx->refused, 1, 3);
}

/* A server that restarts takes all connections with it: that is one reason for
 * fewer of them, not one each. */
static void test_window_after_a_restart(void **state)
{
    bench_t *b = bench(state);
    mta_site_t *site = site_of_x(b);
    int i;

    b->config.destination_connections = 16;
    site->window = 16;
    for (i = 0; i < 15; i++)
        mta_window_halve(site, "499 4.4.2 closed by the remote");
    assert_int_equal(site->window, 8);
    site->halved_at -= apr_time_from_sec(10);
    mta_window_halve(site, "421 4.7.0 still too much");
    assert_int_equal(site->window, 4);
}

/* What it asks for is done: one connection, twenty messages each, so many in a
 * second. */
static void test_limits_of_the_configuration(void **state)
{
    bench_t *b = bench(state);
    mg_destination_t *limits;
    apr_time_t begun;
    int i;

    b->config.destinations = apr_array_make(b->store->p, 2,
                                            sizeof(mg_destination_t));
    limits = apr_array_push(b->config.destinations);
    memset(limits, 0, sizeof(*limits));
    limits->pattern = "*.test";
    limits->connections = 1;
    limits->messages = 5;
    limits->per_hour = 50 * 3600;
    begun = mg_ticks();
    for (i = 0; i < 20; i++)
        mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 20);
    assert_int_equal(b->mx->sessions, 4);
    assert_true(mg_ticks() - begun >= apr_time_from_msec(380));
}

/* "Try again in 10 minutes": not before, whatever the schedule says. */
static void test_waits_as_asked(void **state)
{
    bench_t *b = bench(state);
    mta_site_t *site;

    b->mx->busy = "421 4.7.0 try again in 10 minutes\r\n";
    mail_to(b, "ok@x.test");
    await(b, "delivery WHERE attempts = 1", 1);
    site = site_of_x(b);
    assert_true(mta_site_closed_until(site)
                > mg_now() + apr_time_from_sec(500));
    assert_true(unit_store_int(b->look, "SELECT due_at FROM delivery")
                > mg_now() + apr_time_from_sec(500));
}

/* Most rows of a closed destination are put off without having been in
 * anybody's hands. */
static void test_closed_is_moved(void **state)
{
    bench_t *b = bench(state);
    int i;

    APR_ARRAY_IDX(b->config.retry, 0, apr_interval_time_t) =
        apr_time_from_sec(100);
    for (i = 0; i < 400; i++)
        mail_to(b, "ok@down.test");
    for (i = 0; i < 20; i++)
        mail_to(b, "ok@x.test");
    await(b, "event WHERE kind = 'delivered'", 20);
    await(b, apr_psprintf(b->store->p, "delivery WHERE claimed_by = 0 AND"
                          " due_at > %" APR_INT64_T_FMT,
                          mg_now() + apr_time_from_sec(60)), 400);
    assert_true(rows(b, "delivery WHERE claim_no = 0") > 150);
    assert_true(rows(b, "delivery WHERE attempts = 0") > 150);
}

/* A host without TLS is closed to what needs it; what does not need it is not
 * kept from going there. */
static void test_closed_to_some(void **state)
{
    bench_t *b = bench(state);
    int i;

    APR_ARRAY_IDX(b->config.retry, 0, apr_interval_time_t) =
        apr_time_from_sec(100);
    b->options = "{\"require-tls\": true}";
    mail_to(b, "secret@x.test");
    await(b, "delivery WHERE attempts = 1", 1);
    b->options = NULL;
    for (i = 0; i < 3; i++)
        accept_message(b, "ok@x.test", "A: b\r\n\r\n", 8);
    b->options = "{\"require-tls\": true}";
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET"
                                      " due_at = $1 WHERE target = ''", "i",
                                      (apr_int64_t)(mg_now()
                                      + apr_time_from_sec(30))));
    /* it comes back, and all like it are moved with it */
    mail_to(b, "secret@x.test");
    await(b, apr_psprintf(b->store->p, "delivery WHERE claimed_by = 0 AND"
                          " due_at > %" APR_INT64_T_FMT " AND target <> ''",
                          mg_now() + apr_time_from_sec(50)), 2);
    for (i = 0; i < 20 && b->s->moves_first; i++)
        turn(b, 10);
    assert_int_equal(rows(b, "event WHERE kind = 'failed_temp'"), 1);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET"
                                      " due_at = due_at - $1", "i",
                                      (apr_int64_t)apr_time_from_sec(30)));
    await(b, "event WHERE kind = 'delivered'", 3);
}

/* What it would come due for is past its end: it fails with what the closed
 * destination said. */
static void test_ends_while_closed(void **state)
{
    bench_t *b = bench(state);

    b->config.retry_limit = apr_time_from_sec(90);
    APR_ARRAY_IDX(b->config.retry, 0, apr_interval_time_t) =
        apr_time_from_sec(80);
    mail_to(b, "ok@down.test");
    await(b, "delivery WHERE attempts = 1", 1);
    b->config.retry_limit = apr_time_from_sec(10);
    mail_to(b, "late@down.test");
    await(b, "event WHERE kind = 'failed'", 1);
    assert_non_null(strstr(text(b, "SELECT detail FROM event WHERE kind = "
                                "'failed'"), "Connection refused"));
}

/* What was learned of a site is there after a restart. */
static void test_learned_is_kept(void **state)
{
    bench_t *b = bench(state);
    mta_site_t *site;

    mail_to(b, "ok@x.test");
    await(b, "delivery", 0);
    site = site_of_x(b);
    mta_window_refused(site, "421 no more");
    site->ceiling = 3;
    site->saved_at = 0;
    mta_learned_save(b->s);
    assert_int_equal(rows(b, "destination"), 1);
    begin_sender(b);
    site = site_of_x(b);
    assert_int_equal(site->ceiling, 3);
    assert_true(site->probe_at > mg_ticks());
    /* idle for days: it may be otherwise by now */
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE destination SET "
                                      "updated_at = $1", "i",
                                      (apr_int64_t)(mg_now()
                                      - apr_time_from_sec(4 * 86400))));
    begin_sender(b);
    assert_int_equal(site_of_x(b)->ceiling, 0);
}

/* A new domain has a volume for the day; the rest waits for the next one. */
static void test_warmup(void **state)
{
    bench_t *b = bench(state);

    b->config.retry_limit = apr_time_from_sec(3 * 86400);
    b->config.warmup.first = 4;
    b->config.warmup.growth = 50;
    b->config.warmup.days = 10;
    mail_to(b, "ok1@x.test");
    await(b, "delivery", 0);
    mail_to(b, "ok2@x.test,ok3@x.test,ok4@x.test,ok5@x.test");
    mail_to(b, "ok6@y.test");
    await(b, "event WHERE kind = 'delivered'", 4);
    await(b, apr_psprintf(b->store->p, "delivery WHERE claimed_by = 0 AND"
                          " due_at > %" APR_INT64_T_FMT,
                          mg_now() + apr_time_from_sec(86000)), 2);
    assert_int_equal(unit_store_int(b->look, "SELECT sent FROM warmup"), 4);
    /* a day later */
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE warmup SET "
                                      "started_at = started_at - $1", "i",
                                      (apr_int64_t)apr_time_from_sec(86400)));
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET "
                                      "due_at = 0", ""));
    apr_hash_clear(b->s->warmups); /* a sender that knows nothing yet */
    await(b, "delivery", 0);
    assert_int_equal(unit_store_int(b->look, "SELECT sent FROM warmup"), 2);
    assert_int_equal(unit_store_int(b->look, "SELECT day FROM warmup"), 1);
    /* old enough */
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE warmup SET "
                                      "started_at = 0", ""));
    apr_hash_clear(b->s->warmups);
    mail_to(b, "1@x.test,2@x.test,3@x.test,4@x.test,5@x.test,6@x.test,"
            "7@x.test");
    await(b, "delivery", 0);
}

/* A new address has a volume, too, whoever sends from it; the rest goes from the
 * other address of the pool. Alone, it waits. */
static void test_warmup_of_an_address(void **state)
{
    bench_t *b = bench(state);
    apr_pool_t *p = b->store->p;
    mg_sending_ip_t *ips;
    mg_sending_pool_t *pool;
    int i;

    b->config.warmup.first = 2;
    b->config.warmup.growth = 50;
    b->config.warmup.days = 10;
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE domain SET "
                                      "created_at = 1", ""));
    b->config.sending_ips = apr_array_make(p, 2, sizeof(*ips));
    ips = apr_array_push(b->config.sending_ips);
    memset(ips, 0, sizeof(*ips));
    ips->name = "new";
    ips->v4 = "127.0.0.9";
    ips->since = mg_now() - apr_time_from_sec(3600);
    b->config.sending_pools = apr_array_make(p, 1, sizeof(*pool));
    pool = apr_array_push(b->config.sending_pools);
    pool->name = "default";
    pool->ips = apr_array_make(p, 2, sizeof(char *));
    APR_ARRAY_PUSH(pool->ips, const char *) = "new";
    b->config.retry_limit = apr_time_from_sec(3 * 86400);
    for (i = 0; i < 3; i++)
        mail_to(b, "ok@x.test");
    await(b, apr_psprintf(p, "delivery WHERE claimed_by = 0 AND due_at > %"
                          APR_INT64_T_FMT, mg_now()
                          + apr_time_from_sec(80000)), 1);
    assert_int_equal(b->mx->messages, 2);
    assert_int_equal(rows(b, "event WHERE detail LIKE '%127.0.0.9%'"), 2);
    assert_int_equal(unit_store_int(b->look, "SELECT sent FROM warmup WHERE "
                                    "subject = 'address 127.0.0.9'"), 2);
    /* an old one beside it */
    ips = apr_array_push(b->config.sending_ips);
    memset(ips, 0, sizeof(*ips));
    ips->name = "old";
    ips->v4 = "127.0.0.10";
    APR_ARRAY_PUSH(pool->ips, const char *) = "old";
    for (i = 0; i < 4; i++)
        mail_to(b, apr_psprintf(p, "ok@y%d.test", i));
    await(b, "event WHERE kind = 'delivered'", 6);
    assert_int_equal(rows(b, "event WHERE detail LIKE '%127.0.0.10%'"), 4);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET "
                                      "due_at = 1", ""));
    await(b, "delivery", 0);
}

/* Whoever asks may have more than MailgunTLSPolicy says, never less. */
static void test_what_a_way_needs(void **state)
{
    static const struct {
        int policy;               /* may, encrypt, verify */
        const char *way;
        mta_tls_need_t need;
    } cases[] = {
        { 0, "", MTA_TLS_MAY }, { 0, "skip", MTA_TLS_MAY },
        { 0, "require", MTA_TLS_VERIFY }, { 0, "sts", MTA_TLS_VERIFY },
        { 0, "require skip", MTA_TLS_ENCRYPT },
        { 0, "sts skip", MTA_TLS_ENCRYPT },
        { 0, "require from=skip", MTA_TLS_VERIFY },
        { 1, "", MTA_TLS_ENCRYPT }, { 1, "skip", MTA_TLS_ENCRYPT },
        { 1, "require", MTA_TLS_VERIFY },
        { 2, "", MTA_TLS_VERIFY }, { 2, "skip", MTA_TLS_VERIFY },
        { 2, "require skip", MTA_TLS_VERIFY },
    };
    mg_config_t config;
    mta_way_t way;
    size_t i;

    (void)state;
    memset(&config, 0, sizeof(config));
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        config.tls_policy = cases[i].policy;
        mta_way_read(&way, cases[i].way, &config);
        if (way.need != cases[i].need)
            fail_msg("%d %s: %d", cases[i].policy, cases[i].way, way.need);
    }
}

static void test_warmup_grows(void **state)
{
    static const struct {
        int first, growth, day, volume;
    } cases[] = {
        { 200, 50, 0, 200 }, { 200, 50, 1, 300 }, { 200, 50, 2, 450 },
        { 1, 10, 1, 2 }, { 10, 0, 5, 10 }, { 1000000, 1000, 100, 1000000000 },
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mg_warmup_plan_t plan = { cases[i].first, cases[i].growth, 999 };

        assert_int_equal(mg_warmup_volume(&plan, cases[i].day),
                         cases[i].volume);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(test_copies),
        UNIT_ON_BOTH(test_large_template),
        UNIT_ON_SQLITE(test_copies_wait),
        UNIT_ON_BOTH(test_large_text),
        UNIT_ON_SQLITE(test_no_copy),
        UNIT_ON_BOTH(test_delivered),
        UNIT_ON_BOTH(test_connection_is_reused),
        UNIT_ON_BOTH(test_many),
        UNIT_ON_BOTH(test_shared_transaction),
        UNIT_ON_BOTH(test_deferred_comes_again),
        UNIT_ON_BOTH(test_content_refused),
        UNIT_ON_BOTH(test_host_down),
        UNIT_ON_BOTH(test_busy_greeting),
        UNIT_ON_BOTH(test_expired),
        UNIT_ON_BOTH(test_bounce_table),
        UNIT_ON_BOTH(test_full_is_soft),
        UNIT_ON_BOTH(test_suppressed),
        UNIT_ON_BOTH(test_held_in_memory),
        UNIT_ON_BOTH(test_notices),
        UNIT_ON_BOTH(test_dsn_goes_along),
        UNIT_ON_BOTH(test_notice_outside),
        UNIT_ON_BOTH(test_notice_of_delay),
        UNIT_ON_SQLITE(test_notices_are_few),
        UNIT_ON_BOTH(test_closed_behind_our_back),
        UNIT_ON_BOTH(test_lmtp),
        UNIT_ON_BOTH(test_large),
        UNIT_ON_BOTH(test_failed_commit),
        UNIT_ON_BOTH(test_lost_commit),
        UNIT_ON_BOTH(test_lost_lease),
        UNIT_ON_BOTH(test_lost_and_put_back),
        UNIT_ON_BOTH(test_renewed),
        UNIT_ON_BOTH(test_renewed_in_parts),
        UNIT_ON_BOTH(test_stop),
        UNIT_ON_BOTH(test_stop_idle),
        UNIT_ON_BOTH(test_memory_is_bounded),
        UNIT_ON_SQLITE(test_read_for_results),
        UNIT_ON_SQLITE(test_full_in_an_outage),
        UNIT_ON_SQLITE(test_many_connections),
        UNIT_ON_SQLITE(test_rest_makes_room),
        UNIT_ON_SQLITE(test_after_reset),
        UNIT_ON_SQLITE(test_broken_tls),
        UNIT_ON_SQLITE(test_next_host),
        UNIT_ON_SQLITE(test_next_host_after_a_greeting),
        UNIT_ON_SQLITE(test_refused_at_mail),
        UNIT_ON_SQLITE(test_too_many_recipients),
        UNIT_ON_BOTH(test_turns_at_a_site),
        UNIT_ON_BOTH(test_room_for_others),
        UNIT_ON_SQLITE(test_copies_that_differ),
        UNIT_ON_SQLITE(test_window_is_learned),
        UNIT_ON_SQLITE(test_window_after_a_restart),
        UNIT_ON_SQLITE(test_limits_of_the_configuration),
        UNIT_ON_SQLITE(test_waits_as_asked),
        UNIT_ON_BOTH(test_closed_is_moved),
        UNIT_ON_BOTH(test_closed_to_some),
        UNIT_ON_SQLITE(test_ends_while_closed),
        UNIT_ON_BOTH(test_learned_is_kept),
        UNIT_ON_BOTH(test_warmup),
        UNIT_ON_BOTH(test_warmup_of_an_address),
        UNIT_ON_SQLITE(test_what_a_way_needs),
        UNIT_ON_SQLITE(test_warmup_grows),
    };

    mg_log_set_level(getenv("UNIT_LOG") ? MG_LOG_DEBUG : MG_LOG_ERR);
    return unit_store_run("sender", tests);
}
