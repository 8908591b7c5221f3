/* unit_smtp.c - see unit_smtp.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mg_account.h"
#include "mg_event.h"
#include "mg_id.h"
#include "mg_mailbox.h"
#include "mg_migrate.h"
#include "mg_route.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_cert.h"
#include "unit_dir.h"
#include "unit_smtp.h"

#define PATIENCE apr_time_from_sec(5)

static void must(apr_status_t rv, const char *what)
{
    char buf[200];

    if (rv == APR_SUCCESS)
        return;
    fprintf(stderr, "%s: %s\n", what, mg_strerror(rv, buf, sizeof(buf)));
    abort();
}

/* --- the store --- */

static apr_int64_t make_domain(unit_smtp_t *u, apr_int64_t account_id,
                               const mg_dkim_t *dkim, const char *name)
{
    mg_mailbox_t *mailbox;
    mg_domain_t *domain;

    must(mg_domain_add(&domain, u->worker.db, u->worker.secret, account_id,
                       name, "$2y$none", dkim, u->pool), "mg_domain_add");
    must(mg_mailbox_add(&mailbox, u->worker.db, account_id, domain->id,
                        apr_pstrcat(u->pool, "bob@", name, NULL), "$2y$none",
                        u->pool), "mg_mailbox_add");
    must(mg_mailbox_add(&mailbox, u->worker.db, account_id, domain->id,
                        apr_pstrcat(u->pool, "carol@", name, NULL), "$2y$none",
                        u->pool), "mg_mailbox_add");
    return domain->id;
}

static void make_records(unit_smtp_t *u)
{
    apr_array_header_t *actions = apr_array_make(u->pool, 1, sizeof(char *));
    mg_account_t *account, *other;
    mg_route_t *route;
    mg_dkim_t *dkim;

    must(mg_dkim_make(&dkim, u->pool), "mg_dkim_make");
    must(mg_account_add(&account, u->worker.db, "one", u->pool), "account");
    must(mg_account_add(&other, u->worker.db, "other", u->pool), "account");
    u->account_id = account->id;
    u->domain_id = make_domain(u, account->id, dkim, "a.test");
    make_domain(u, account->id, dkim, "b.test");
    make_domain(u, other->id, dkim, "other.test");
    APR_ARRAY_PUSH(actions, const char *) = "forward(\"http://hook.test/in\")";
    must(mg_route_add(&route, u->worker.db, account->id, 0, "",
                      "match_recipient('routed@a.test')", actions, u->pool),
         "mg_route_add");
}

static void open_store(unit_smtp_t *u)
{
    int from, to;

    must(mg_db_open(&u->worker.db, u->config->store,
                    MG_DB_CREATE | MG_DB_ANY_SCHEMA, u->pool), "mg_db_open");
    must(mg_migrate(u->worker.db, &from, &to), "mg_migrate");
    must(mg_db_open(&u->db, u->config->store, 0, u->pool), "mg_db_open");
}

apr_int64_t unit_smtp_count(unit_smtp_t *u, const char *sql)
{
    apr_int64_t n = -1;

    must(mg_db_get_int(u->db, &n, sql, ""), sql);
    return n;
}

/* --- passwords: "secret" is right, "later" gets no answer --- */

static unit_smtp_t *the_one;

static struct {
    loop_timer_t *timer;
    auth_answer_t answer;
    auth_answer_fn *fn;
    void *baton;
} question;

static void answer_now(loop_t *loop, void *baton)
{
    (void)loop;
    (void)baton;
    question.timer = NULL;
    question.fn(&question.answer, question.baton);
}

static apr_uint32_t ask_table(smtp_server_t *server, const char *login,
                              const char *password, const char *remote_ip,
                              auth_answer_fn *fn, void *baton)
{
    auth_answer_t *a = &question.answer;

    memset(a, 0, sizeof(*a));
    if (strcmp(password, "later") == 0)
        a->verdict = AUTH_UNAVAILABLE;
    else if (strcmp(password, "secret") == 0 && remote_ip[0]
             && strcmp(login, "bob@a.test") == 0)
        a->verdict = AUTH_OK;
    else
        a->verdict = AUTH_WRONG;
    a->account_id = the_one->account_id;
    a->domain_id = the_one->domain_id;
    question.fn = fn;
    question.baton = baton;
    question.timer = loop_timer_set(server->worker->loop, 1000, answer_now,
                                    NULL);
    return 1;
}

static void forget_question(smtp_server_t *server, apr_uint32_t ticket)
{
    (void)server;
    (void)ticket;
    if (question.timer != NULL)
        loop_timer_cancel(question.timer);
    question.timer = NULL;
}

/* --- the receiver --- */

static int listen_somewhere(int *pport)
{
    struct sockaddr_in in;
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&in, sizeof(in)) != 0
        || listen(fd, 100) != 0
        || getsockname(fd, (struct sockaddr *)&in, &len) != 0)
        abort();
    *pport = ntohs(in.sin_port);
    return fd;
}

static apr_status_t remove_dir(void *baton)
{
    unit_smtp_t *u = baton;

    unit_dir_remove(u->dir);
    return APR_SUCCESS;
}

static void make_config(unit_smtp_t *u)
{
    mg_config_t *config = mg_config_create(u->pool);
    char dir[300];

    if (!unit_dir_make(dir, sizeof(dir), "smtp"))
        abort();
    u->dir = apr_pstrdup(u->pool, dir);
    apr_pool_cleanup_register(u->pool, u, remove_dir, apr_pool_cleanup_null);
    u->config = config;
    config->store = apr_pstrcat(u->pool, "sqlite:", dir, "/store.db", NULL);
    config->secret_file = apr_pstrcat(u->pool, dir, "/secret", NULL);
    config->run_dir = u->dir;
    config->spool_dir = u->dir;
    config->hostname = "mx.a.test";
    config->message_limit = 2 * 1024 * 1024;
    config->recipient_limit = 5;
    config->session_limit = 100;
    config->client_limit = 10;
    config->command_timeout = apr_time_from_sec(60);
    config->auth_without_tls = MG_NOTLS_AUTH_OFF;
    config->min_free = 0;
    unit_cert_make(&config->tls_certificate, &config->tls_key, u->pool);
}

static void make_worker(unit_smtp_t *u)
{
    apr_array_header_t *ports = apr_array_make(u->pool, 3, sizeof(listener_t));
    worker_t *w = &u->worker;
    mg_secret_t *secret;
    int role;

    must(mg_secret_create(u->config->secret_file, u->pool), "secret");
    must(mg_secret_load(&secret, u->config->secret_file, u->pool), "secret");
    w->pool = u->pool;
    w->config = u->config;
    w->secret = secret;
    w->shared = mg_shared_attach(u->dir, u->pool);
    w->role = MG_ROLE_RECEIVER;
    w->domains = mg_domain_cache_create(w->shared, u->pool);
    w->auth_fd = -1;
    w->own = apr_pcalloc(u->pool, 4096); /* worker.c's: zero is "all is well" */
    must(loop_create(&w->loop, u->pool), "loop");
    for (role = 0; role < 3; role++) {
        listener_t *l = apr_array_push(ports);

        l->role = role;
        l->fd = listen_somewhere(&u->port[role]);
    }
    w->listeners = ports;
}

unit_smtp_t *unit_smtp_start(apr_pool_t *parent)
{
    unit_smtp_t *u;
    apr_pool_t *p;

    apr_pool_create(&p, parent);
    u = apr_pcalloc(p, sizeof(*u));
    u->pool = p;
    the_one = u;
    mg_id_init();
    make_config(u);
    make_worker(u);
    open_store(u);
    make_records(u);
    mg_event_context(u->worker.db, u->worker.domains, 0);
    must(receiver_start(&u->worker), "receiver_start");
    u->server = smtp_server_of(&u->worker);
    u->server->ask = ask_table;
    u->server->forget = forget_question;
    return u;
}

void unit_smtp_stop(unit_smtp_t *u)
{
    int i;

    for (i = 0; i < 3; i++)
        close(APR_ARRAY_IDX(u->worker.listeners, i, listener_t).fd);
    apr_pool_destroy(u->pool);
    the_one = NULL;
}

void unit_smtp_turn(unit_smtp_t *u, apr_interval_time_t t)
{
    apr_time_t until = mg_ticks() + t;

    do {
        must(loop_turn(u->worker.loop, 1000), "loop_turn");
    } while (mg_ticks() < until);
}

/* --- the client --- */

unit_client_t *unit_client_connect(unit_smtp_t *u, int role, apr_pool_t *p)
{
    unit_client_t *c = apr_pcalloc(p, sizeof(*c));
    struct sockaddr_in in;

    c->u = u;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons((unsigned short)u->port[role]);
    if (connect(c->fd, (struct sockaddr *)&in, sizeof(in)) != 0)
        abort();
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return c;
}

/* n > 0, 0: the end, -1: nothing now */
static int client_read(unit_client_t *c, char *to, apr_size_t room)
{
    int n, error;

    if (c->ssl == NULL) {
        n = (int)recv(c->fd, to, room, 0);
        return n >= 0 ? n : errno == EAGAIN ? -1 : 0;
    }
    n = SSL_read(c->ssl, to, (int)room);
    if (n > 0)
        return n;
    error = SSL_get_error(c->ssl, n);
    return error == SSL_ERROR_WANT_READ ? -1 : 0;
}

void unit_client_send(unit_client_t *c, const char *bytes, apr_size_t len)
{
    apr_time_t until = mg_ticks() + PATIENCE;
    int n;

    while (len > 0 && mg_ticks() < until) {
        n = c->ssl ? SSL_write(c->ssl, bytes, (int)len)
                   : (int)send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n;
            len -= (apr_size_t)n;
            continue;
        }
        if (c->ssl == NULL && errno != EAGAIN)
            return;
        unit_smtp_turn(c->u, 0);
    }
}

/* The first line's end; NULL: not here yet. */
static const char *take_line(unit_client_t *c, apr_pool_t *p)
{
    char *lf = memchr(c->in, '\n', c->len);
    apr_size_t n;
    char *line;

    if (lf == NULL)
        return NULL;
    n = (apr_size_t)(lf - c->in) + 1;
    line = apr_pstrmemdup(p, c->in, n > 1 && lf[-1] == '\r' ? n - 2 : n - 1);
    c->len -= n;
    memmove(c->in, c->in + n, c->len);
    return line;
}

static const char *next_line(unit_client_t *c, apr_pool_t *p)
{
    apr_time_t until = mg_ticks() + PATIENCE;
    const char *line;
    int n;

    for (;;) {
        line = take_line(c, p);
        if (line != NULL || c->closed || mg_ticks() > until)
            return line;
        unit_smtp_turn(c->u, 0);
        n = client_read(c, c->in + c->len, sizeof(c->in) - c->len);
        if (n == 0)
            c->closed = 1;
        if (n > 0)
            c->len += (apr_size_t)n;
    }
}

const char *unit_client_reply(unit_client_t *c, apr_pool_t *p)
{
    const char *line, *all = NULL;

    do {
        line = next_line(c, p);
        if (line == NULL)
            return NULL;
        all = all ? apr_pstrcat(p, all, "\n", line, NULL) : line;
    } while (strlen(line) > 3 && line[3] == '-');
    return all;
}

int unit_client_is_closed(unit_client_t *c)
{
    apr_time_t until = mg_ticks() + PATIENCE;
    char byte;

    while (!c->closed && mg_ticks() < until) {
        int n = client_read(c, &byte, 1);

        if (n == 0)
            c->closed = 1;
        if (n > 0)
            return 0;
        unit_smtp_turn(c->u, 0);
    }
    return c->closed;
}

int unit_client_start_tls(unit_client_t *c)
{
    apr_time_t until = mg_ticks() + PATIENCE;
    int done;

    c->len = 0;
    c->ctx = SSL_CTX_new(TLS_client_method());
    c->ssl = SSL_new(c->ctx);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
    while ((done = SSL_do_handshake(c->ssl)) != 1 && mg_ticks() < until) {
        int error = SSL_get_error(c->ssl, done);

        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            return 0;
        unit_smtp_turn(c->u, 0);
    }
    return done == 1;
}

void unit_client_close(unit_client_t *c)
{
    if (c->ssl != NULL)
        SSL_free(c->ssl);
    if (c->ctx != NULL)
        SSL_CTX_free(c->ctx);
    close(c->fd);
    unit_smtp_turn(c->u, 0);
    unit_smtp_turn(c->u, 0);
}
