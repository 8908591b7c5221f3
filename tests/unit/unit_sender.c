/* unit_sender.c - see unit_sender.h. */
#include "unit_sender.h"

#include <netinet/in.h>
#include <string.h>

#include <apr_strings.h>

#include "mg_id.h"
#include "mg_status.h"
#include "mg_time.h"

void unit_sender_transport(unit_sender_t *b, const char *domain, int port)
{
    mg_transport_t *t = apr_array_push(b->config.transports);

    t->domain = domain;
    t->host = "127.0.0.1";
    t->port = port;
}

static void make_config(unit_sender_t *b, apr_pool_t *p)
{
    mg_config_t *c = &b->config;

    c->tracking_host = "email.<domain>";
    c->tracking_scheme = "http";
    c->tracking_secret = "/nonexistent";
    c->store = b->store->url;
    c->run_dir = b->store->dir;
    c->hostname = "us.test";
    c->transports = apr_array_make(p, 2, sizeof(mg_transport_t));
    unit_sender_transport(b, "*", b->mx->port);
    unit_sender_transport(b, "down.test", 1); /* nobody listens there */
    c->lmtp = apr_psprintf(p, "127.0.0.1:%d", b->lmtp->port);
    c->retry = apr_array_make(p, 1, sizeof(apr_interval_time_t));
    APR_ARRAY_PUSH(c->retry, apr_interval_time_t) = apr_time_from_msec(300);
    c->retry_limit = apr_time_from_sec(1000);
    c->smtp_port = 25;
    c->claims = 100;
    c->destination_connections = 4;
    c->lease = apr_time_from_sec(30);
}

static void make_records(unit_sender_t *b, mg_secret_t *secret, apr_pool_t *p)
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

void unit_sender_begin(unit_sender_t *b)
{
    worker_t *w = &b->worker;

    w->db = b->store->db;
    w->stopping = 0;
    unit_store_ok(w->db, mg_worker_register(&w->worker_id, w->db, "sender"));
    assert_int_equal(sender_start(w), APR_SUCCESS);
    b->s = w->role_data;
}

unit_sender_t *unit_sender(void **state)
{
    unit_store_t *store = *state;
    apr_pool_t *p = store->p;
    unit_sender_t *b = apr_pcalloc(p, sizeof(*b));
    const char *path = apr_pstrcat(p, store->dir, "/secret", NULL);
    worker_t *w = &b->worker;
    mg_secret_t *secret;

    b->store = store;
    assert_int_equal(loop_create(&w->loop, p), APR_SUCCESS);
    b->mx = unit_mx_start(w->loop, INADDR_LOOPBACK, 0, p);
    b->lmtp = unit_mx_start(w->loop, INADDR_LOOPBACK, 0, p);
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
    unit_sender_begin(b);
    return b;
}

/* recipients: "x@d,y@d"; a transport is taken from dest */
apr_int64_t unit_sender_accept(unit_sender_t *b, const char *recipients,
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

apr_int64_t unit_mail_to(unit_sender_t *b, const char *recipients)
{
    static const char content[] = "Subject: hello\r\n\r\n.dot\r\n";

    return unit_sender_accept(b, recipients, content, sizeof(content) - 1);
}

apr_int64_t unit_rows(unit_sender_t *b, const char *where)
{
    return unit_store_int(b->look, apr_pstrcat(b->store->p, "SELECT count(*) "
                                               "FROM ", where, NULL));
}

void unit_turn(unit_sender_t *b, int ms)
{
    apr_time_t until = mg_ticks() + apr_time_from_msec(ms);

    do
        loop_turn(b->worker.loop, 1000);
    while (mg_ticks() < until);
}

/* Turn until this many rows are there. */
void unit_await(unit_sender_t *b, const char *where, apr_int64_t n)
{
    int i;

    for (i = 0; i < 400 && unit_rows(b, where) != n; i++) {
        unit_turn(b, 10);
        if (i % 20 == 0)
            b->worker.on_bell(&b->worker); /* the worker's poll */
    }
    if (unit_rows(b, where) != n)
        fail_msg("%s: %d rows, wanted %d", where, (int)unit_rows(b, where),
                 (int)n);
}

const char *unit_text(unit_sender_t *b, const char *sql)
{
    mg_stmt_t *stmt;
    const char *found = "(none)";

    unit_store_ok(b->look, mg_db_query(&stmt, b->look, sql, ""));
    if (mg_stmt_next(stmt) == APR_SUCCESS)
        found = mg_stmt_text(stmt, 0, b->store->p);
    mg_stmt_done(stmt);
    return found ? found : "(null)";
}

mta_site_t *unit_site_of_x(unit_sender_t *b)
{
    mg_delivery_t d;

    memset(&d, 0, sizeof(d));
    d.transport = MG_TRANSPORT_SMTP;
    d.dest = "x.test";
    return mta_site_for(b->s, &d, "");
}

/* Not because it were slow, which would give its share back. */
void unit_site_stop(unit_sender_t *b, mta_site_t **psite)
{
    *psite = unit_site_of_x(b);
    (*psite)->done += 100000;
    (*psite)->window = 0;
}

void unit_site_go_on(mta_site_t *site, int window)
{
    site->window = window;
    mta_site_touch(site);
}
