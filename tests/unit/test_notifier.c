/* test_notifier.c - the notifier role on a real store, against an HTTP server
 * of the test's own that answers by path. */
#include "unit_store.h"
#include <apr_strings.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "mg_account.h"
#include "mg_event.h"
#include "mg_id.h"
#include "mg_log.h"
#include "mg_queue.h"
#include "mg_status.h"
#include "mg_time.h"
#include "notifier.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define PATIENCE apr_time_from_sec(10)

/* --- the server: a thread for each connection --- */

static struct {
    pthread_mutex_t lock;
    int fd, port, requests;
    char last[1024 * 1024];    /* the last request, whole */
} server = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const struct {
    const char *path, *answer;
} answers[] = {
    { "/200", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nthanks" },
    { "/mime", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
    { "/201", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n" },
    { "/302", "HTTP/1.1 302 Found\r\nLocation: /200\r\n"
              "Content-Length: 0\r\n\r\n" },
    { "/406", "HTTP/1.1 406 Not Acceptable\r\nContent-Length: 2\r\n\r\nno" },
    { "/500", "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops" },
    { "/cut", "" },
    { "/nonsense", "hello, who is there?\r\n" },
    { "/endless", "HTTP/1.1 200 OK\r\n\r\n" },
    { "/hang", NULL },
};

static apr_size_t body_missing(const char *request, apr_size_t len)
{
    const char *end = strstr(request, "\r\n\r\n"), *field;
    apr_size_t have, want;

    if (end == NULL)
        return 1;
    field = strcasestr(request, "\r\nContent-Length:");
    want = field ? (apr_size_t)strtoul(field + 17, NULL, 10) : 0;
    have = len - (apr_size_t)(end + 4 - request);
    return want > have ? want - have : 0;
}

static void send_all(int fd, const char *s)
{
    size_t len = strlen(s);

    while (len) {
        ssize_t n = send(fd, s, len, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        s += n;
        len -= (size_t)n;
    }
}

static void give_answer(int fd, const char *request)
{
    size_t i;
    int k;

    for (i = 0; i < COUNT(answers); i++) {
        const char *path = strchr(request, ' ') + 1;
        size_t len = strlen(answers[i].path);

        if (strncmp(path, answers[i].path, len) != 0 || path[len] != ' ')
            continue;
        if (answers[i].answer == NULL) {
            char wait;

            (void)!read(fd, &wait, 1); /* until the client is tired of it */
            return;
        }
        send_all(fd, answers[i].answer);
        for (k = 0; strcmp(answers[i].path, "/endless") == 0 && k < 1000; k++)
            send_all(fd, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        return;
    }
}

static void *serve_one(void *baton)
{
    int fd = (int)(intptr_t)baton;
    char *request = calloc(1, sizeof(server.last));
    apr_size_t len = 0;

    while (body_missing(request, len) && len < sizeof(server.last) - 1) {
        ssize_t n = recv(fd, request + len, sizeof(server.last) - 1 - len, 0);

        if (n <= 0)
            break;
        len += (apr_size_t)n;
    }
    if (len) {
        pthread_mutex_lock(&server.lock);
        server.requests++;
        memcpy(server.last, request, len + 1);
        pthread_mutex_unlock(&server.lock);
        give_answer(fd, request);
    }
    close(fd);
    free(request);
    return NULL;
}

static void *serve(void *baton)
{
    (void)baton;
    for (;;) {
        int fd = accept(server.fd, NULL, NULL);
        pthread_t thread;

        if (fd < 0)
            return NULL;
        if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd))
            close(fd);
        else
            pthread_detach(thread);
    }
}

static void start_server(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t len = sizeof(in);
    pthread_t thread;

    if (server.port)
        return;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(server.fd, 64), 0);
    getsockname(server.fd, (struct sockaddr *)&in, &len);
    server.port = ntohs(in.sin_port);
    pthread_create(&thread, NULL, serve, NULL);
    pthread_detach(thread);
}

/* --- a worker with one message in its store --- */

typedef struct {
    unit_store_t *store;
    worker_t worker;
    mg_config_t config;
    apr_int64_t account_id, domain_id, message_id;
    const char *key;
    apr_time_t until;
} rig_t;

static const char content[] =
    "From: Al <al@y.com>\r\nTo: bob@d.test\r\nSubject: gr\xc3\xbc\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n"
    "--b\r\nContent-Type: image/gif; name=\"a \\\"b\\\".gif\"\r\n\r\nGIF\r\n"
    "--b--\r\n";
static const char plain[] =
    "From: Al <al@y.com>\r\nSubject: hi & all\r\n\r\ntext\r\n";

static apr_status_t accept_it(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    return mg_message_accept(db, baton, ptemp);
}

static void accept_message(rig_t *r, const char *bytes, int direction)
{
    mg_message_t m = {
        .id = mg_id_next(), .account_id = r->account_id,
        .domain_id = r->domain_id, .direction = direction, .method = "smtp",
        .message_id = "1.2@d.test", .sender = "al@y.com",
        .from_header = "Al <al@y.com>", .subject = "hi", .options = "{}",
        .variables = "{\"id\":7}", .size = (apr_int64_t)strlen(bytes),
        .created_at = mg_now(), .bytes = bytes, .bytes_len = strlen(bytes)
    };
    mg_unit_t unit = { .run = accept_it, .baton = &m };

    unit_store_ok(r->store->db, mg_group_commit(r->store->db, &unit,
                                                r->store->p));
    assert_int_equal(unit.status, APR_SUCCESS);
    r->message_id = m.id;
}

static apr_int64_t add_row(rig_t *r, mg_transport_kind_t transport,
                           const char *url, int attempts, const char *payload)
{
    apr_int64_t id = mg_id_next();
    const char *dest = mg_queue_url_dest(url, r->store->p);

    unit_store_ok(r->store->db, mg_db_exec(r->store->db, NULL,
        "INSERT INTO delivery (id, message_id, account_id, domain_id,"
        " transport, recipient, recipient_as_given, variables, dest, target,"
        " payload, due_at, attempts, created_at, expires_at) VALUES ($1, $2,"
        " $3, $4, $5, 'bob@d.test', 'bob@d.test', '{}', $6, $7, $8, $9, $10,"
        " $11, $12)", "iiiiitttiiii", id, r->message_id, r->account_id,
        r->domain_id, (apr_int64_t)transport, dest ? dest : "", url, payload,
        (apr_int64_t)mg_now(), (apr_int64_t)attempts, (apr_int64_t)mg_now(),
        (apr_int64_t)(mg_now() + apr_time_from_sec(86400))));
    return id;
}

static void make_rig(rig_t *r, unit_store_t *store, const char *allow)
{
    const char *path = apr_pstrcat(store->p, store->dir, "/secret", NULL);
    apr_array_header_t *list = apr_array_make(store->p, 1, sizeof(char *));
    mg_secret_t *secret;
    mg_account_t *account;

    memset(r, 0, sizeof(*r));
    r->store = store;
    start_server();
    server.requests = 0;
    server.last[0] = '\0';
    assert_int_equal(mg_secret_create(path, store->p), APR_SUCCESS);
    assert_int_equal(mg_secret_load(&secret, path, store->p), APR_SUCCESS);
    unit_store_ok(store->db, mg_account_add(&account, store->db, "one",
                                            store->p));
    r->account_id = account->id;
    unit_store_ok(store->db, mg_key_add(&r->key, store->db, secret,
                                        account->id, store->p));
    r->domain_id = mg_id_next();
    unit_store_ok(store->db, mg_db_exec(store->db, NULL,
        "INSERT INTO domain (id, account_id, name, name_lc, state, created_at)"
        " VALUES ($1, $2, 'd.test', 'd.test', 'active', $3)", "iii",
        r->domain_id, r->account_id, (apr_int64_t)mg_now()));
    if (allow)
        APR_ARRAY_PUSH(list, const char *) = allow;
    r->config = *mg_config_create(store->p);
    r->config.hook_allow = list;
    r->config.hook_timeout = apr_time_from_msec(700);
    r->config.run_dir = store->dir;
    r->worker.pool = store->p;
    r->worker.config = &r->config;
    r->worker.secret = secret;
    r->worker.shared = mg_shared_attach(store->dir, store->p);
    r->worker.role = MG_ROLE_NOTIFIER;
    r->worker.own = apr_pcalloc(store->p, 1024); /* worker.c's: no outage */
    r->worker.db = unit_store_open(store, 0);
    r->worker.domains = mg_domain_cache_create(r->worker.shared, store->p);
    mg_event_context(r->worker.db, r->worker.domains, 1);
    unit_store_ok(r->worker.db, mg_worker_register(&r->worker.worker_id,
                                                   r->worker.db, "notifier"));
    assert_int_equal(loop_create(&r->worker.loop, store->p), APR_SUCCESS);
}

/* Every 10 ms: is nothing claimed and nothing due any more? */
static void look(loop_t *loop, void *baton)
{
    rig_t *r = baton;
    apr_int64_t left = unit_store_int(
        r->store->db, apr_psprintf(r->store->p, "SELECT count(*) FROM delivery"
                                   " WHERE claimed_by <> 0 OR due_at <= %"
                                   APR_INT64_T_FMT, (apr_int64_t)mg_now()));

    if (left == 0 || mg_ticks() > r->until) {
        r->worker.stopping = 1;
        r->worker.on_stop(&r->worker);
        if (mg_ticks() > r->until + PATIENCE)
            loop_stop(loop);
    }
    loop_timer_set(loop, 10000, look, r);
}

static void run(rig_t *r)
{
    const notifier_t *n;

    r->until = mg_ticks() + PATIENCE;
    assert_int_equal(notifier_start(&r->worker), APR_SUCCESS);
    loop_timer_set(r->worker.loop, 10000, look, r);
    assert_int_equal(loop_run(r->worker.loop), APR_SUCCESS);
    assert_true(mg_ticks() < r->until);
    /* what was counted was given back, and no more */
    n = r->worker.role_data;
    assert_true(n->memory == 0);
    assert_int_equal(n->nheld, 0);
}

/* --- what becomes of a row --- */

enum { GONE, DEAD, LATER };
enum { HTTP = MG_TRANSPORT_HTTP, HOOK = MG_TRANSPORT_HOOK };
#define DELIVERED "{\"event\":\"delivered\"}"
#define OTHER "{\"event\":\"bounced\"}"

static const struct {
    int transport;
    const char *url;      /* a path: of our server */
    int attempts;
    const char *payload;
    int fate, minutes;    /* minutes: when it is LATER */
    const char *reply;    /* how last_reply begins */
    const char *event;    /* its kind, or NULL */
    int requests;
} cases[] = {
    { HTTP, "/200", 0, "", GONE, 0, "", "posted", 1 },
    { HTTP, "/201", 0, "", LATER, 10, "201", "failed_temp", 1 },
    { HTTP, "/302", 2, "", LATER, 15, "302", "failed_temp", 1 },
    { HTTP, "/406", 0, "", DEAD, 0, "406 no", "forward_failed", 1 },
    { HTTP, "/500", 0, "", LATER, 10, "500 oops", "failed_temp", 1 },
    { HTTP, "/500", 6, "", LATER, 240, "500 oops", "failed_temp", 1 },
    { HTTP, "/500", 7, "", DEAD, 0, "500 oops", "forward_failed", 1 },
    { HTTP, "/cut", 0, "", LATER, 10, "", "failed_temp", 1 },
    { HTTP, "/nonsense", 0, "", LATER, 10, "", "failed_temp", 1 },
    { HTTP, "/endless", 0, "", GONE, 0, "", "posted", 1 },
    { HTTP, "/hang", 0, "", LATER, 10, "", "failed_temp", 1 },
    { HTTP, "http://127.0.0.1:1/", 0, "", LATER, 10, "", "failed_temp", 0 },
    { HTTP, "http://127.9.9.9/", 0, "", DEAD, 0, "refused: 127.9.9.9 is a lo",
      "forward_failed", 0 },
    { HTTP, "http://[::1]:81/", 0, "", DEAD, 0, "refused: ::1 is a loopback",
      "forward_failed", 0 },
    { HTTP, "http://[::ffff:10.0.0.1]/", 0, "", DEAD, 0, "refused: ",
      "forward_failed", 0 },
    { HTTP, "http://169.254.169.254/latest/meta-data/", 0, "", DEAD, 0,
      "refused: 169.254.169.254 is a link-local", "forward_failed", 0 },
    { HTTP, "http://0x7f.9/", 0, "", DEAD, 0, "refused: 127.0.0.9",
      "forward_failed", 0 },
    { HTTP, "ftp://127.0.0.1/", 0, "", DEAD, 0, "the URL",
      "forward_failed", 0 },
    { HTTP, "file:///etc/passwd", 0, "", DEAD, 0, "the URL",
      "forward_failed", 0 },
    { HTTP, "nonsense", 0, "", DEAD, 0, "the URL", "forward_failed", 0 },
    { HOOK, "/200", 0, DELIVERED, GONE, 0, "", NULL, 1 },
    { HOOK, "/201", 0, DELIVERED, GONE, 0, "", NULL, 1 },
    { HOOK, "/500", 0, DELIVERED, DEAD, 0, "500", NULL, 1 },
    { HOOK, "/hang", 0, DELIVERED, DEAD, 0, "", NULL, 1 },
    { HOOK, "/500", 0, OTHER, LATER, 10, "500", NULL, 1 },
    { HOOK, "/500", 3, OTHER, LATER, 30, "500", NULL, 1 },
    { HOOK, "/500", 7, OTHER, DEAD, 0, "500", NULL, 1 },
    { HOOK, "/406", 0, OTHER, DEAD, 0, "406", NULL, 1 },
};

static const char *text_of(rig_t *r, const char *sql, apr_int64_t id)
{
    mg_stmt_t *stmt;
    const char *text = NULL;

    unit_store_ok(r->store->db, mg_db_query(&stmt, r->store->db, sql, "i",
                                            id));
    if (mg_stmt_next(stmt) == APR_SUCCESS) {
        text = mg_stmt_text(stmt, 0, r->store->p);
        mg_stmt_done(stmt);
    }
    return text;
}

static apr_int64_t int_of(rig_t *r, const char *sql, apr_int64_t id)
{
    apr_int64_t value = -1;

    mg_db_get_int(r->store->db, &value, sql, "i", id);
    return value;
}

static void check(rig_t *r, size_t i, apr_int64_t id)
{
    apr_int64_t minutes = cases[i].minutes;
    const char *reply, *kind;
    apr_int64_t due;

    due = int_of(r, "SELECT due_at FROM delivery WHERE id = $1", id);
    if ((cases[i].fate == LATER) != (due != -1))
        fail_msg("%d %s: %s", (int)i, cases[i].url,
                 due == -1 ? "is gone" : "is still there");
    reply = text_of(r, cases[i].fate == LATER
                           ? "SELECT last_reply FROM delivery WHERE id = $1"
                           : "SELECT last_reply FROM dead_letter WHERE id = $1",
                    id);
    if ((cases[i].fate == GONE) != (reply == NULL))
        fail_msg("%d %s: reply %s", (int)i, cases[i].url, reply);
    if (reply && strncmp(reply, cases[i].reply, strlen(cases[i].reply)) != 0)
        fail_msg("%d %s: '%s'", (int)i, cases[i].url, reply);
    if (cases[i].fate == LATER) {
        assert_true(due > mg_now() + apr_time_from_sec(60 * minutes - 30));
        assert_true(due <= mg_now() + apr_time_from_sec(60 * minutes));
        assert_int_equal(int_of(r, "SELECT attempts FROM delivery WHERE id ="
                                " $1", id), cases[i].attempts + 1);
    }
    kind = text_of(r, "SELECT kind FROM event WHERE delivery_id = $1", id);
    assert_int_equal(kind == NULL, cases[i].event == NULL);
    if (kind)
        assert_string_equal(kind, cases[i].event);
}

static const char *url_of(rig_t *r, const char *url)
{
    if (*url != '/')
        return url;
    return apr_psprintf(r->store->p, "http://127.0.0.1:%d%s", server.port,
                        url);
}

static void fates(void **state)
{
    apr_int64_t ids[COUNT(cases)];
    int requests = 0;
    size_t i;
    rig_t r;

    /* only this one address of 127/8 */
    make_rig(&r, *state, "127.0.0.1");
    accept_message(&r, plain, MG_INCOMING);
    for (i = 0; i < COUNT(cases); i++) {
        ids[i] = add_row(&r, (mg_transport_kind_t)cases[i].transport,
                         url_of(&r, cases[i].url), cases[i].attempts,
                         cases[i].payload);
        requests += cases[i].requests;
    }
    run(&r);
    for (i = 0; i < COUNT(cases); i++)
        check(&r, i, ids[i]);
    assert_int_equal(server.requests, requests);
}

static const char *form_value(const char *body, const char *name,
                              apr_pool_t *p)
{
    const char *at = strstr(body, apr_pstrcat(p, name, "=", NULL));

    assert_non_null(at);
    at += strlen(name) + 1;
    return apr_pstrmemdup(p, at, strcspn(at, "&"));
}

/* The request as the customer sees it, its signature checked. */
static void request(void **state)
{
    unit_store_t *store = *state;
    unsigned char mac[32];
    const char *body, *joined;
    char hex[65];
    rig_t r;
    int i;

    make_rig(&r, store, "127.0.0.0/8");
    accept_message(&r, plain, MG_OUTGOING);
    add_row(&r, MG_TRANSPORT_HOOK, url_of(&r, "/200"), 0, DELIVERED);
    run(&r);
    assert_true(strncmp(server.last, "POST /200 HTTP/1.1\r\n", 20) == 0);
    assert_non_null(strstr(server.last, "\r\nUser-Agent: mailgun/"));
    assert_non_null(strstr(server.last, "\r\nContent-Type: "
                           "application/x-www-form-urlencoded\r\n"));
    assert_null(strstr(server.last, "100-continue"));
    body = strstr(server.last, "\r\n\r\n") + 4;
    assert_true(strncmp(body, "event=delivered&recipient=bob%40d.test&"
                        "domain=d.test&message-headers=", 69) == 0);
    assert_non_null(strstr(body, "&Message-Id=%3C1.2%40d.test%3E&id=7&"));
    joined = apr_pstrcat(store->p, form_value(body, "timestamp", store->p),
                         form_value(body, "token", store->p), NULL);
    mg_hmac_sha256(mac, r.key, strlen(r.key), joined, strlen(joined));
    for (i = 0; i < 32; i++)
        apr_snprintf(hex + 2 * i, 3, "%02x", mac[i]);
    assert_string_equal(form_value(body, "signature", store->p), hex);
}

static void multipart(void **state)
{
    rig_t r;

    make_rig(&r, *state, "127.0.0.0/8");
    accept_message(&r, content, MG_INCOMING);
    add_row(&r, MG_TRANSPORT_HTTP, url_of(&r, "/200"), 0, "");
    run(&r);
    assert_non_null(strstr(server.last, "Content-Type: multipart/form-data"));
    assert_non_null(strstr(server.last, "name=\"body-plain\"\r\n\r\ntext"));
    assert_non_null(strstr(server.last, "name=\"Subject\"\r\n\r\ngr\xc3\xbc"));
    assert_non_null(strstr(server.last, "name=\"attachment-count\"\r\n\r\n1"));
    assert_non_null(strstr(server.last, "name=\"attachment-1\"; filename=\"a "
                           "%22b%22.gif\"\r\nContent-Type: image/gif\r\n\r\n"
                           "GIF\r\n"));
}

static void raw_form(void **state)
{
    rig_t r;

    make_rig(&r, *state, "127.0.0.0/8");
    accept_message(&r, content, MG_INCOMING);
    add_row(&r, MG_TRANSPORT_HTTP, url_of(&r, "/mime"), 0, "");
    run(&r);
    assert_non_null(strstr(server.last, "&body-mime=From%3A+Al+"));
}

/* Without a key there is nothing to sign with; without a message, no forward;
 * an event of a message that is forgotten is posted all the same. */
static void nothing_to_post(void **state)
{
    apr_int64_t id, other;
    rig_t r;

    make_rig(&r, *state, "127.0.0.0/8");
    accept_message(&r, plain, MG_INCOMING);
    unit_store_ok(r.store->db, mg_key_revoke(r.store->db, r.account_id, r.key,
                                             r.store->p));
    id = add_row(&r, MG_TRANSPORT_HTTP, url_of(&r, "/200"), 0, "");
    r.message_id++;
    other = add_row(&r, MG_TRANSPORT_HTTP, url_of(&r, "/200"), 0, "");
    run(&r);
    assert_int_equal(server.requests, 0);
    assert_string_equal(text_of(&r, "SELECT last_reply FROM dead_letter WHERE "
                                "id = $1", id),
                        "the account has no API key to sign with");
    assert_string_equal(text_of(&r, "SELECT last_reply FROM dead_letter WHERE "
                                "id = $1", other),
                        "the message is not in the store any more");
}

static void forgotten_message(void **state)
{
    const char *body;
    rig_t r;

    make_rig(&r, *state, "127.0.0.0/8");
    r.message_id = 4711;
    add_row(&r, MG_TRANSPORT_HOOK, url_of(&r, "/200"), 0,
            "{\"event\":\"opened\",\"fields\":{\"ip\":\"192.0.2.1\"}}");
    run(&r);
    assert_int_equal(server.requests, 1);
    body = strstr(server.last, "\r\n\r\n") + 4;
    assert_true(strncmp(body, "event=opened&recipient=bob%40d.test&"
                        "domain=d.test&ip=192.0.2.1&timestamp=", 66) == 0);
}

/* A bounce comes with the message; a report's own where the content is gone. */
static void attachment(void **state)
{
    rig_t r;

    make_rig(&r, *state, "127.0.0.0/8");
    accept_message(&r, plain, MG_OUTGOING);
    add_row(&r, MG_TRANSPORT_HOOK, url_of(&r, "/200"), 0,
            "{\"event\":\"bounced\",\"fields\":{\"code\":\"5.1.1\"}}");
    run(&r);
    assert_non_null(strstr(server.last, "name=\"code\"\r\n\r\n5.1.1\r\n"));
    assert_non_null(strstr(server.last, "[[\"From\",\"Al <al@y.com>\"],"
                           "[\"Subject\",\"hi & all\"]]"));
    assert_non_null(strstr(server.last, "name=\"attachment-count\"\r\n\r\n1"));
    assert_non_null(strstr(server.last, "name=\"attachment-1\"; filename="
                           "\"message.mime\"\r\nContent-Type: message/rfc822"
                           "\r\n\r\nFrom: Al <al@y.com>\r\nSubject: hi & "
                           "all\r\n\r\ntext\r\n"));
}

/* A large one goes out slice by slice, octet for octet. */
static void large_attachment(void **state)
{
    const apr_size_t len = 3 * MG_CONTENT_SLICE + 4711;
    const char *at, *end;
    char *bytes;
    apr_size_t i, used;
    rig_t r;

    make_rig(&r, *state, "127.0.0.0/8");
    bytes = apr_palloc(r.store->p, len + 1);
    used = (apr_size_t)apr_snprintf(bytes, len, "Subject: large\r\n\r\n");
    for (i = used; i < len; i++)
        bytes[i] = (char)('a' + i % 23);
    bytes[len] = '\0';
    accept_message(&r, bytes, MG_OUTGOING);
    add_row(&r, MG_TRANSPORT_HOOK, url_of(&r, "/200"), 0,
            "{\"event\":\"dropped\",\"fields\":{\"reason\":\"hardfail\"}}");
    run(&r);
    assert_int_equal(server.requests, 1);
    at = strstr(server.last, "\r\n\r\nSubject: large\r\n\r\n");
    assert_non_null(at);
    end = strstr(at + 4, "\r\n--");
    assert_non_null(end);
    assert_int_equal(end - (at + 4), len);
    assert_memory_equal(at + 4, bytes, len);
}

static void attachment_of_report(void **state)
{
    rig_t r;

    make_rig(&r, *state, "127.0.0.0/8");
    accept_message(&r, plain, MG_OUTGOING);
    unit_store_ok(r.store->db, mg_db_exec(r.store->db, NULL,
                                          "DELETE FROM content", ""));
    add_row(&r, MG_TRANSPORT_HOOK, url_of(&r, "/200"), 0,
            "{\"event\":\"complained\",\"original\":\"U3ViamVjdDogeA0KDQpi\"}");
    run(&r);
    assert_non_null(strstr(server.last, "\r\n\r\n[[\"Subject\",\"x\"]]\r\n"));
    assert_non_null(strstr(server.last, "filename=\"message.mime\""));
    assert_non_null(strstr(server.last, "\r\n\r\nSubject: x\r\n\r\nb\r\n"));
}

/* A dead letter needs nothing but itself. */
static void dead_letter(void **state)
{
    static const char wanted[] = "name=\"event\"\r\n\r\nbounced\r\n";
    const char *payload, *end;
    apr_int64_t id;
    char *first;
    rig_t r;

    make_rig(&r, *state, "127.0.0.0/8");
    accept_message(&r, plain, MG_OUTGOING);
    id = add_row(&r, MG_TRANSPORT_HOOK, url_of(&r, "/406"), 0,
                 "{\"event\":\"bounced\",\"fields\":{\"code\":\"5.1.1\"}}");
    unit_store_ok(r.store->db, mg_db_exec(r.store->db, NULL,
        "UPDATE delivery SET variables = '{\"a\":1}'", ""));
    run(&r);
    first = strstr(server.last, wanted);
    assert_non_null(first);
    first = apr_pstrdup(r.store->p, first);
    payload = text_of(&r, "SELECT payload FROM dead_letter WHERE id = $1", id);
    assert_non_null(payload);
    unit_store_ok(r.store->db, mg_db_exec(r.store->db, NULL,
                                          "DELETE FROM content", ""));
    unit_store_ok(r.store->db, mg_db_exec(r.store->db, NULL,
                                          "DELETE FROM message", ""));
    r.worker.stopping = 0;
    assert_int_equal(loop_create(&r.worker.loop, r.store->p), APR_SUCCESS);
    add_row(&r, MG_TRANSPORT_HOOK, url_of(&r, "/200"), 0, payload);
    run(&r);
    assert_int_equal(server.requests, 2);
    /* all but the boundary and what is signed anew */
    assert_non_null(strstr(server.last, wanted));
    for (; (end = strstr(first, "name=\"")) != NULL; first += 6) {
        apr_size_t len;
        char *part;

        first = strstr(first, "name=\"");
        end = strstr(first, "\r\n--");
        if (end == NULL)
            break;
        len = (apr_size_t)(end - first);
        part = apr_pstrmemdup(r.store->p, first, len);
        if (strncmp(part, "name=\"token", 11)
            && strncmp(part, "name=\"signature", 15)
            && strncmp(part, "name=\"timestamp", 15)
            && !strstr(server.last, part))
            fail_msg("not posted again: %s", part);
    }
}

/* A host that hangs does not hold up another; what is over its share, and what
 * waits when the worker stops, goes back as it was. */
static void shares(void **state)
{
    const int hanging = NOTIFIER_LINE_CLAIMS + 30;
    apr_int64_t id, tried;
    int i;
    rig_t r;

    make_rig(&r, *state, "127.0.0.0/8");
    r.config.hook_timeout = apr_time_from_sec(1);
    accept_message(&r, plain, MG_INCOMING);
    for (i = 0; i < hanging; i++)
        add_row(&r, MG_TRANSPORT_HTTP,
                apr_psprintf(r.store->p, "http://localhost:%d/hang",
                             server.port), 0, "");
    id = add_row(&r, MG_TRANSPORT_HTTP, url_of(&r, "/200"), 0, "");
    run(&r);
    (void)id;
    assert_int_equal(unit_store_int(r.store->db, "SELECT count(*) FROM "
                                    "delivery"), hanging);
    assert_int_equal(unit_store_int(r.store->db, "SELECT count(*) FROM "
                                    "delivery WHERE claimed_by <> 0"), 0);
    /* four at once were tried, and perhaps one that went out before three of
     * them had failed; the host was then left alone */
    tried = unit_store_int(r.store->db, "SELECT count(*) FROM delivery WHERE "
                                        "attempts = 1");
    assert_in_range(tried, 4, 5);
    assert_int_equal(server.requests, tried + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(fates),          UNIT_ON_BOTH(request),
        UNIT_ON_BOTH(multipart),      UNIT_ON_BOTH(raw_form),
        UNIT_ON_BOTH(nothing_to_post), UNIT_ON_BOTH(shares),
        UNIT_ON_BOTH(forgotten_message), UNIT_ON_BOTH(attachment),
        UNIT_ON_BOTH(attachment_of_report), UNIT_ON_BOTH(large_attachment), UNIT_ON_BOTH(dead_letter),
    };

    mg_log_set_level(MG_LOG_ERR);
    if (getenv("MG_TEST_LOG"))
        mg_log_set_level(MG_LOG_DEBUG);
    return unit_store_run("notifier", tests);
}
