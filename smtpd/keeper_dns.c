/* keeper_dns.c - see keeper_dns.h. */
#include <ares.h>
#include <ares_nameser.h>
#include <apr_strings.h>
#include <string.h>

#include "dns_private.h"
#include "keeper_dns.h"
#include "mg_dns_rule.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define SEC(n) apr_time_from_sec(n)
#define AT_ONCE 20             /* domains; each has some five queries out */
#define LEASE SEC(120)         /* c-ares gives up sooner */
#define AGAIN SEC(3600)
#define AGAIN_SOON SEC(300)    /* something had no answer */
#define TEXTS_MAX 50           /* TXT records that are read at one name */

struct keeper_dns_t {
    worker_t *worker;
    apr_pool_t *pool;
    dns_t *dns;
    int busy;
};

/* A look at one domain. */
typedef struct {
    keeper_dns_t *k;
    apr_pool_t *pool;
    mg_dns_due_t due;
    const char *name;
    apr_array_header_t *records;   /* of mg_dns_record_t */
    apr_array_header_t *results;   /* of mg_dns_result_t, as they come */
    apr_time_t began;
    int pending, failed;
} look_t;

typedef struct {
    look_t *look;
    const mg_dns_record_t *record;
} query_t;

/* --- the end of a look --- */

static apr_interval_time_t next_after(const look_t *l)
{
    apr_interval_time_t wait = l->failed ? AGAIN_SOON : AGAIN;

    /* spread: a thousand domains added together are not due together */
    return wait - wait / 20 + (l->due.domain_id >> 8) % (wait / 10);
}

static void store(look_t *l)
{
    worker_t *w = l->k->worker;
    const char *words;
    apr_status_t rv;

    if (!worker_db_usable(w))
        return; /* the lease ends, and another look follows */
    rv = mg_dns_store(&words, w->db, &l->due, l->results, l->began,
                      mg_now() + next_after(l), l->pool);
    worker_db_check(w, rv);
    if (rv != APR_SUCCESS) {
        if (!mg_is_temporary(rv))
            mg_log(MG_LOG_ERR, rv, "domain %s: what DNS says cannot be "
                   "stored: %s", l->name, mg_db_error(w->db));
        return;
    }
    if (words) {
        mg_log(MG_LOG_INFO, APR_SUCCESS, "domain %s: by its DNS: %s", l->name,
               words);
        mg_shared_bump(w->shared);
    }
}

static void look_part_done(look_t *l)
{
    keeper_dns_t *k = l->k;

    if (--l->pending > 0)
        return;
    store(l);
    k->busy--;
    apr_pool_destroy(l->pool);
}

static void found(look_t *l, const mg_dns_record_t *record,
                  mg_dns_verdict_t verdict, const char *seen)
{
    mg_dns_result_t *r = apr_array_push(l->results);

    r->record = record->record;
    r->verdict = verdict;
    r->seen = seen;
    l->failed |= verdict == MG_DNS_FAILED;
    look_part_done(l);
}

/* --- answers --- */

/* NXDOMAIN, or a name without such records, is an answer: nothing is there. */
static int is_empty(int status)
{
    return status == ARES_ENOTFOUND || status == ARES_ENODATA
           || status == ARES_EBADNAME;
}

static void on_failure(query_t *q, int status)
{
    const char *seen;

    if (is_empty(status))
        found(q->look, q->record, MG_DNS_MISSING, "");
    else {
        seen = apr_pstrcat(q->look->pool, "no answer: ",
                           ares_strerror(status), NULL);
        found(q->look, q->record, MG_DNS_FAILED, seen);
    }
}

/* The strings of a record are one text (RFC 6376 3.6.2.2, RFC 7208 3.3). */
static apr_array_header_t *join_texts(const struct ares_txt_ext *parts,
                                      apr_pool_t *p)
{
    apr_array_header_t *texts = apr_array_make(p, 4, sizeof(char *));
    const char *part;
    char **last;

    for (; parts; parts = parts->next) {
        part = mg_text_clean((const char *)parts->txt, parts->length, p);
        if (parts->record_start || texts->nelts == 0) {
            if (texts->nelts == TEXTS_MAX)
                break;
            APR_ARRAY_PUSH(texts, const char *) = part;
            continue;
        }
        last = &APR_ARRAY_IDX(texts, texts->nelts - 1, char *);
        *last = apr_pstrcat(p, *last, part, NULL);
    }
    return texts;
}

static void on_txt(void *baton, int status, int timeouts, unsigned char *abuf,
                   int alen)
{
    query_t *q = baton;
    struct ares_txt_ext *parts = NULL;
    apr_array_header_t *texts;
    mg_dns_verdict_t verdict;
    const char *seen;

    (void)timeouts;
    if (q->look->k->dns->closing)
        return;
    if (status == ARES_SUCCESS)
        status = ares_parse_txt_reply_ext(abuf, alen, &parts);
    if (status != ARES_SUCCESS) {
        on_failure(q, status);
        return;
    }
    texts = join_texts(parts, q->look->pool);
    ares_free_data(parts);
    verdict = mg_dns_judge_text(q->record, texts, &seen, q->look->pool);
    found(q->look, q->record, verdict, seen);
}

static void judge_hosts(query_t *q, const apr_array_header_t *hosts)
{
    mg_dns_verdict_t verdict;
    const char *seen;

    verdict = mg_dns_judge_host(q->record, q->look->records, hosts, &seen,
                                q->look->pool);
    found(q->look, q->record, verdict, seen);
}

static void on_mx(void *baton, int status, int timeouts, unsigned char *abuf,
                  int alen)
{
    query_t *q = baton;
    apr_pool_t *p = q->look->pool;
    apr_array_header_t *hosts = apr_array_make(p, 4, sizeof(char *));
    apr_array_header_t *records = NULL;
    apr_status_t rv = APR_SUCCESS;
    int i, ttl;

    (void)timeouts;
    if (q->look->k->dns->closing)
        return;
    if (status == ARES_SUCCESS)
        rv = dns_parse_mx(&records, &ttl, abuf, alen, p);
    if (rv == MG_EBADINPUT)
        status = ARES_EBADRESP;
    if (status != ARES_SUCCESS) {
        on_failure(q, status);
        return;
    }
    for (i = 0; i < records->nelts; i++)
        APR_ARRAY_PUSH(hosts, const char *) =
            APR_ARRAY_IDX(records, i, dns_mx_record_t).exchange;
    judge_hosts(q, hosts);
}

static void on_cname(void *baton, int status, int timeouts,
                     unsigned char *abuf, int alen)
{
    query_t *q = baton;
    apr_pool_t *p = q->look->pool;
    apr_array_header_t *hosts = apr_array_make(p, 1, sizeof(char *));
    const char *target;
    apr_status_t rv = APR_SUCCESS;

    (void)timeouts;
    if (q->look->k->dns->closing)
        return;
    if (status == ARES_SUCCESS)
        rv = dns_parse_cname(&target, abuf, alen, p);
    if (rv == MG_EBADINPUT)
        status = ARES_EBADRESP;
    if (status != ARES_SUCCESS) {
        on_failure(q, status);
        return;
    }
    if (rv == APR_SUCCESS)
        APR_ARRAY_PUSH(hosts, const char *) = target;
    judge_hosts(q, hosts);
}

/* --- the beginning of a look --- */

static void ask(look_t *l, const mg_dns_record_t *record)
{
    query_t *q = apr_palloc(l->pool, sizeof(*q));
    const char *name = dns_ascii(record->name, l->pool);
    dns_t *dns = l->k->dns;

    q->look = l;
    q->record = record;
    l->pending++;
    if (!name)
        found(l, record, MG_DNS_MISSING, "this is no name for DNS");
    else if (strcmp(record->type, "TXT") == 0)
        ares_query(dns->channel, name, C_IN, T_TXT, on_txt, q);
    else if (strcmp(record->type, "MX") == 0)
        ares_query(dns->channel, name, C_IN, T_MX, on_mx, q);
    else
        ares_query(dns->channel, name, C_IN, T_CNAME, on_cname, q);
}

/* Records of ours with U-labels are compared as DNS has them. */
static void to_ascii(apr_array_header_t *records, apr_pool_t *p)
{
    int i;

    for (i = 0; i < records->nelts; i++) {
        mg_dns_record_t *r = &APR_ARRAY_IDX(records, i, mg_dns_record_t);
        const char *ascii;

        if (strcmp(r->type, "TXT") == 0)
            continue;
        ascii = dns_ascii(r->value, p);
        if (ascii)
            r->value = ascii;
    }
}

static apr_status_t look_at(keeper_dns_t *k, const mg_dns_due_t *due)
{
    worker_t *w = k->worker;
    mg_domain_t *domain;
    apr_pool_t *p;
    apr_status_t rv;
    look_t *l;
    int i;

    apr_pool_create(&p, k->pool);
    l = apr_pcalloc(p, sizeof(*l));
    l->k = k;
    l->pool = p;
    l->due = *due;
    l->began = mg_now();
    rv = mg_domain_by_id(&domain, w->db, due->domain_id, p);
    if (rv == APR_SUCCESS)
        rv = mg_dns_records(&l->records, w->config, w->db, domain, p);
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(p);
        return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
    }
    l->name = domain->name;
    l->results = apr_array_make(p, l->records->nelts, sizeof(mg_dns_result_t));
    to_ascii(l->records, p);
    k->busy++;
    l->pending = 1; /* our own share: the answers may come at once */
    for (i = 0; i < l->records->nelts; i++) {
        const mg_dns_record_t *r = &APR_ARRAY_IDX(l->records, i,
                                                  mg_dns_record_t);

        if (i == 0 || strcmp(r->record, r[-1].record) != 0)
            ask(l, r);
    }
    dns_set_timer(k->dns);
    look_part_done(l);
    return APR_SUCCESS;
}

apr_status_t keeper_dns_step(keeper_dns_t *k, int *pmore, apr_pool_t *ptemp)
{
    apr_array_header_t *due;
    apr_status_t rv;
    int i, room = AT_ONCE - k->busy;

    *pmore = 0;
    if (room <= 0)
        return APR_SUCCESS;
    if (room > 5)
        room = 5; /* a few at a time: reading their keys takes its time */
    rv = mg_dns_claim(&due, k->worker->db, room, LEASE, ptemp);
    for (i = 0; rv == APR_SUCCESS && i < due->nelts; i++)
        rv = look_at(k, &APR_ARRAY_IDX(due, i, mg_dns_due_t));
    *pmore = rv == APR_SUCCESS && due->nelts == room;
    return rv;
}

int keeper_dns_busy(const keeper_dns_t *dns)
{
    return dns->busy;
}

apr_status_t keeper_dns_create(keeper_dns_t **pdns, worker_t *worker,
                               apr_pool_t *p)
{
    keeper_dns_t *k = apr_pcalloc(p, sizeof(*k));
    apr_status_t rv;

    k->worker = worker;
    k->pool = p;
    rv = dns_create(&k->dns, worker->loop, worker->config->resolvers,
                    DNS_TRUST_NEVER, p);
    *pdns = rv == APR_SUCCESS ? k : NULL;
    return rv;
}
