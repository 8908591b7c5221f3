/* smtp_verify.c - see smtp_verify.h. */
#include <apr_strings.h>
#include <string.h>

#include "dns.h"
#include "mg_log.h"
#include "mg_verify.h"
#include "smtp_inbound.h"
#include "smtp_verify.h"

#define PATIENCE apr_time_from_sec(5)
#define AT_ONCE 200                  /* messages; more pass unverified */
#define SLICE MG_CONTENT_SLICE

typedef struct smtp_verifying_t verifying_t;

/* A question to DNS, which may be answered when nobody waits any more. */
typedef struct {
    verifying_t *of;
    int index;
} question_t;

struct smtp_verifying_t {
    apr_pool_t *pool;                /* its own: it may outlive the tx */
    smtp_server_t *server;
    smtp_tx_t *tx;                   /* NULL: nobody waits */
    mg_verify_t *verify;
    loop_timer_t *timer;             /* NULL: the time is over */
    int asking;                      /* answers that will come */
    int starting;                    /* answers may come at once */
    apr_int64_t at, size;            /* of the content */
    int is_fed;
};

apr_status_t smtp_verify_setup(smtp_server_t *server)
{
    worker_t *worker = server->worker;

    if (!worker->config->arc)
        return APR_SUCCESS;
    return dns_create(&server->dns, worker->loop, worker->config->resolvers,
                      DNS_TRUST_NEVER, server->pool);
}

/* --- its end --- */

static void add_results(verifying_t *v)
{
    smtp_tx_t *tx = v->tx;
    const char *host = v->server->worker->config->hostname;
    const char *results = mg_verify_results(v->verify, host, tx->pool);
    int i;

    for (i = 0; i < tx->shares->nelts; i++)
        smtp_inbound_add(tx, APR_ARRAY_IDX(tx->shares, i, smtp_share_t *),
                         "Authentication-Results", results);
}

/* Nobody waits, and nothing will come. */
static void free_unless_used(verifying_t *v)
{
    if (!v->tx && v->asking == 0 && !v->starting)
        apr_pool_destroy(v->pool);
}

static void detach(verifying_t *v)
{
    if (v->timer)
        loop_timer_cancel(v->timer);
    v->timer = NULL;
    v->tx->verifying = NULL;
    v->tx = NULL;
    v->server->verifying--;
}

static void finish(verifying_t *v)
{
    mg_verify_end(v->verify);
    add_results(v);
}

/* Both keys and body are there, or the time is over. */
static void go_on(verifying_t *v)
{
    struct smtp_session_t *session = v->tx->session;

    finish(v);
    detach(v);
    free_unless_used(v);
    smtp_data_verified(session);
}

void smtp_verify_forget(smtp_tx_t *tx)
{
    verifying_t *v = tx->verifying;

    if (!v)
        return;
    detach(v);
    free_unless_used(v);
}

/* --- the body --- */

static void on_slice(loop_t *loop, void *baton);

/* @return 0: not all of it yet */
static int feed_slice(verifying_t *v)
{
    apr_int64_t left = v->size - v->at;
    apr_size_t n = left < SLICE ? (apr_size_t)left : SLICE;
    char *bytes;
    apr_pool_t *p;

    if (left > 0) {
        apr_pool_create(&p, v->pool);
        bytes = apr_palloc(p, n);
        if (smtp_tx_original(v->tx, v->at, bytes, n) == APR_SUCCESS)
            mg_verify_feed(v->verify, bytes, n);
        apr_pool_destroy(p); /* a disk that fails: the hash is wrong */
        v->at += (apr_int64_t)n;
    }
    v->is_fed = v->at >= v->size;
    return v->is_fed;
}

/* One timer at a time: slices first, then the patience with DNS. */
static void on_late(loop_t *loop, void *baton)
{
    verifying_t *v = baton;

    (void)loop;
    v->timer = NULL;
    go_on(v);
}

static void on_slice(loop_t *loop, void *baton)
{
    verifying_t *v = baton;

    v->timer = NULL;
    if (!feed_slice(v))
        v->timer = loop_timer_set(loop, 0, on_slice, v);
    else if (v->asking == 0)
        go_on(v);
    else
        v->timer = loop_timer_set(loop, PATIENCE, on_late, v);
}

/* --- keys --- */

/* RFC 6376 3.6.2.2: several records, one that is a key counts. */
static const char *key_of(const dns_answer_t *answer, apr_pool_t *p)
{
    int i;

    for (i = 0; i < answer->nrecords; i++) {
        const char *text = dns_txt_value(&answer->records[i], p);

        if (text && strstr(text, "p="))
            return text;
    }
    return NULL;
}

static void on_key(const dns_answer_t *answer, void *baton)
{
    question_t *q = baton;
    verifying_t *v = q->of;
    const char *text;

    v->asking--;
    if (v->tx) {
        text = answer->status == DNS_FOUND ? key_of(answer, v->pool) : NULL;
        if (text)
            mg_verify_key_found(v->verify, q->index, text);
        else if (answer->status != DNS_LATER)
            mg_verify_key_is_none(v->verify, q->index);
    }
    if (v->starting)
        return;
    if (v->tx && v->asking == 0 && v->is_fed)
        go_on(v);
    else
        free_unless_used(v);
}

static void ask_keys(verifying_t *v)
{
    const apr_array_header_t *names = mg_verify_keys(v->verify);
    int i;

    v->starting = 1;
    v->asking = names->nelts;
    for (i = 0; i < names->nelts; i++) {
        question_t *q = apr_palloc(v->pool, sizeof(*q));

        q->of = v;
        q->index = i;
        dns_txt(v->server->dns, APR_ARRAY_IDX(names, i, const char *), on_key,
                q);
    }
    v->starting = 0;
}

/* --- its beginning --- */

static int may_be_sent_on(const smtp_tx_t *tx)
{
    int i;

    for (i = 0; i < tx->rcpts->nelts; i++) {
        const mg_wanted_t *wanted =
            &APR_ARRAY_IDX(tx->rcpts, i, smtp_rcpt_t *)->wanted;

        if (wanted->routes != MG_RULES_NO)
            return 1;
    }
    return 0;
}

static verifying_t *begin(smtp_tx_t *tx)
{
    smtp_server_t *server = tx->session->server;
    verifying_t *v;
    apr_pool_t *p;
    char *head;

    apr_pool_create_ex(&p, server->pool, NULL, server->allocator);
    v = apr_pcalloc(p, sizeof(*v));
    v->pool = p;
    v->server = server;
    v->tx = tx;
    head = apr_pmemdup(p, tx->head, tx->head_len);
    v->verify = mg_verify_begin(head, tx->head_len, tx->now, p);
    v->at = (apr_int64_t)tx->head_len;
    v->size = v->at + (apr_int64_t)tx->rest_len + tx->body.file_size;
    if (tx->rest_len >= 2 && memcmp(tx->rest, "\r\n", 2) == 0)
        v->at += 2; /* the empty line */
    tx->verifying = v;
    server->verifying++;
    return v;
}

int smtp_verify_check(smtp_tx_t *tx)
{
    smtp_server_t *server = tx->session->server;
    verifying_t *v;

    if (!server->dns || server->verifying >= AT_ONCE || !may_be_sent_on(tx))
        return 0;
    v = begin(tx);
    if (mg_verify_is_needed(v->verify))
        ask_keys(v);
    else
        v->is_fed = 1;
    if (v->is_fed || (feed_slice(v) && v->asking == 0)) {
        finish(v);
        detach(v);
        free_unless_used(v);
        return 0;
    }
    v->timer = loop_timer_set(server->worker->loop, v->is_fed ? PATIENCE : 0,
                              v->is_fed ? on_late : on_slice, v);
    return 1;
}
