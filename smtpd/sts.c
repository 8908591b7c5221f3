/* sts.c - see sts.h. */
#include <apr_hash.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "mg_log.h"
#include "mg_time.h"
#include "sts.h"

#define ENTRIES_MAX 20000
#define CHECK_MIN apr_time_from_sec(60)     /* between two looks at the DNS */
#define RETRY apr_time_from_sec(300)        /* after a failure, RFC 8461 5.1 */
#define REFRESH apr_time_from_sec(86400)    /* fetched anew, at the latest */

typedef struct waiter_t waiter_t;
struct waiter_t {
    sts_fn *fn;
    void *baton;
    waiter_t *next;
};

/* malloc'ed: there may be many, most of them without a policy */
typedef struct {
    sts_t *sts;
    char *domain;
    apr_pool_t *pool;               /* of the policy; NULL: there is none */
    sts_policy_t *policy;
    char id[STS_ID_MAX + 1], new_id[STS_ID_MAX + 1];
    apr_time_t fetched_at, expires_at; /* mg_now() */
    apr_time_t check_at, retry_at;     /* mg_ticks() */
    int busy;                          /* asking or fetching */
    int pins;                          /* somebody is being told */
    waiter_t *waiters;
} entry_t;

struct sts_t {
    dns_t *dns;
    sts_fetch_fn *fetch;
    void *fetch_baton;
    sts_save_fn *save;
    void *save_baton;
    apr_pool_t *pool;
    apr_hash_t *entries;
    int closing;
};

/* --- entries --- */

static void drop_policy(entry_t *e)
{
    if (e->pool)
        apr_pool_destroy(e->pool);
    e->pool = NULL;
    e->policy = NULL;
    e->id[0] = '\0';
}

static void forget(entry_t *e)
{
    apr_hash_set(e->sts->entries, e->domain, APR_HASH_KEY_STRING, NULL);
    drop_policy(e);
    free(e->domain);
    free(e);
}

static const sts_policy_t *held(const entry_t *e)
{
    return e->policy && e->expires_at > mg_now() ? e->policy : NULL;
}

static void make_room(sts_t *sts, int all)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, sts->entries); hi; hi = apr_hash_next(hi)) {
        entry_t *e;

        apr_hash_this(hi, NULL, NULL, (void **)&e);
        if (!e->busy && !e->pins && (all || !held(e)))
            forget(e);
    }
}

static entry_t *find(sts_t *sts, const char *domain)
{
    return apr_hash_get(sts->entries, domain, APR_HASH_KEY_STRING);
}

static entry_t *find_or_make(sts_t *sts, const char *domain)
{
    entry_t *e = find(sts, domain);

    if (e)
        return e;
    if (apr_hash_count(sts->entries) >= ENTRIES_MAX) {
        make_room(sts, 0);
        if (apr_hash_count(sts->entries) >= ENTRIES_MAX)
            make_room(sts, 1);
    }
    e = calloc(1, sizeof(*e));
    if (!e || !(e->domain = strdup(domain)))
        abort(); /* as APR's pools do */
    e->sts = sts;
    apr_hash_set(sts->entries, e->domain, APR_HASH_KEY_STRING, e);
    return e;
}

/* @return NULL, or what is wrong with the text */
static const char *set_policy(entry_t *e, const char *id, const char *text,
                              apr_size_t len)
{
    sts_policy_t *policy;
    apr_pool_t *p;
    const char *why;

    apr_pool_create(&p, e->sts->pool);
    if (sts_policy_parse(&policy, text, len, &why, p) != APR_SUCCESS) {
        apr_pool_destroy(p);
        return why; /* static words */
    }
    drop_policy(e);
    e->pool = p;
    e->policy = policy;
    apr_cpystrn(e->id, id, sizeof(e->id));
    return NULL;
}

/* --- a look-up --- */

/* The pin keeps the entry from being thrown out by what is done then. */
static void tell(entry_t *e, sts_fn *fn, void *baton)
{
    e->pins++;
    fn(held(e), baton);
    e->pins--;
}

/* Everybody who waits hears it. */
static void finish(entry_t *e)
{
    waiter_t *w = e->waiters, *next;

    e->waiters = NULL;
    e->busy = 0;
    e->pins++;
    for (; w; w = next) {
        next = w->next;
        tell(e, w->fn, w->baton);
        free(w);
    }
    e->pins--;
}

static void on_policy(const char *text, apr_size_t len, const char *why,
                      void *baton)
{
    entry_t *e = baton;
    apr_pool_t *ptemp;

    if (e->sts->closing)
        return;
    if (e->check_at < mg_ticks() + CHECK_MIN)
        e->check_at = mg_ticks() + CHECK_MIN; /* it took its time */
    if (!why)
        why = set_policy(e, e->new_id, text, len);
    if (why) {
        e->retry_at = mg_ticks() + RETRY;
        mg_log(MG_LOG_INFO, APR_SUCCESS, "mta-sts: the policy of %s could not "
               "be had: %s; %s", e->domain, why,
               held(e) ? "the one from before holds" : "there is none");
        finish(e);
        return;
    }
    e->fetched_at = mg_now();
    e->expires_at = e->fetched_at + apr_time_from_sec(e->policy->max_age);
    mg_log(MG_LOG_INFO, APR_SUCCESS, "mta-sts: %s has policy %s, for %"
           APR_INT64_T_FMT " s", e->domain, e->id, e->policy->max_age);
    if (e->sts->save) {
        apr_pool_create(&ptemp, e->pool);
        e->sts->save(e->domain, e->id, sts_policy_text(e->policy, ptemp),
                     e->fetched_at, e->expires_at, e->sts->save_baton);
        apr_pool_destroy(ptemp);
    }
    finish(e);
}

/* The id that the records tell; NULL: none, or more than one. */
static const char *id_in(const dns_answer_t *answer, apr_pool_t *p)
{
    const char *ours = NULL;
    int i, n = 0;

    for (i = 0; i < answer->nrecords; i++) {
        const char *txt = dns_txt_value(&answer->records[i], p);

        if (txt && sts_txt_is_ours(txt)) {
            ours = txt;
            n++;
        }
    }
    return n == 1 ? sts_txt_id(ours, p) : NULL;
}

static int is_due(const entry_t *e, const char *id)
{
    apr_interval_time_t half;

    if (e->retry_at > mg_ticks())
        return 0;
    if (!held(e) || strcmp(e->id, id) != 0)
        return 1;
    half = apr_time_from_sec(e->policy->max_age / 2);
    return mg_now() - e->fetched_at > (half < REFRESH ? half : REFRESH);
}

static void on_txt(const dns_answer_t *answer, void *baton)
{
    entry_t *e = baton;
    apr_pool_t *ptemp;
    const char *id;
    apr_time_t now = mg_ticks();
    int due = 0;

    if (e->sts->closing)
        return;
    e->check_at = now + CHECK_MIN;
    if (answer->until > e->check_at)
        e->check_at = answer->until;
    apr_pool_create(&ptemp, e->sts->pool);
    id = id_in(answer, ptemp);
    if (id && is_due(e, id)) {
        apr_cpystrn(e->new_id, id, sizeof(e->new_id));
        due = 1;
    }
    apr_pool_destroy(ptemp);
    if (due)
        e->sts->fetch(e->domain, on_policy, e, e->sts->fetch_baton);
    else
        finish(e);
}

void sts_lookup(sts_t *sts, const char *domain, sts_fn *fn, void *baton)
{
    entry_t *e = find_or_make(sts, domain);
    char name[280];
    waiter_t *w;

    if (!e->busy && e->check_at > mg_ticks()) {
        tell(e, fn, baton);
        return;
    }
    w = calloc(1, sizeof(*w));
    if (!w)
        abort();
    w->fn = fn;
    w->baton = baton;
    w->next = e->waiters;
    e->waiters = w;
    if (e->busy)
        return;
    e->busy = 1;
    apr_snprintf(name, sizeof(name), "_mta-sts.%s", domain);
    dns_txt(sts->dns, name, on_txt, e);
}

const sts_policy_t *sts_known(sts_t *sts, const char *domain, int *pfresh)
{
    const entry_t *e = find(sts, domain);

    *pfresh = e && e->check_at > mg_ticks();
    return e ? held(e) : NULL;
}

/* --- life --- */

void sts_load(sts_t *sts, const char *domain, const char *id,
              const char *text, apr_time_t fetched_at, apr_time_t expires_at)
{
    entry_t *e;

    if (expires_at <= mg_now() || find(sts, domain))
        return;
    e = find_or_make(sts, domain);
    if (set_policy(e, id, text, strlen(text)) != NULL)
        return; /* another version's, or damaged: it is fetched anew */
    e->fetched_at = fetched_at;
    e->expires_at = expires_at;
}

static apr_status_t cleanup(void *baton)
{
    sts_t *sts = baton;
    apr_hash_index_t *hi;

    sts->closing = 1;
    for (hi = apr_hash_first(NULL, sts->entries); hi; hi = apr_hash_next(hi)) {
        waiter_t *w, *next;
        entry_t *e;

        apr_hash_this(hi, NULL, NULL, (void **)&e);
        for (w = e->waiters; w; w = next) {
            next = w->next;
            free(w);
        }
        forget(e);
    }
    return APR_SUCCESS;
}

sts_t *sts_create(dns_t *dns, sts_fetch_fn *fetch, void *fetch_baton,
                  sts_save_fn *save, void *save_baton, apr_pool_t *p)
{
    sts_t *sts = apr_pcalloc(p, sizeof(*sts));

    sts->dns = dns;
    sts->fetch = fetch;
    sts->fetch_baton = fetch_baton;
    sts->save = save;
    sts->save_baton = save_baton;
    sts->pool = p;
    sts->entries = apr_hash_make(p);
    apr_pool_pre_cleanup_register(p, sts, cleanup);
    return sts;
}
