/* sender_warmup.c - see sender_warmup.h. */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_warmup.h"
#include "sender_warmup.h"

#define ADVANCE_MAX 100    /* messages that are taken in advance at most */

/* A sending domain that has a volume, or had one. */
typedef struct {
    apr_int64_t domain_id;
    int left;              /* may be sent without asking the store */
    int over;              /* no limit any more */
    apr_time_t started_at, until; /* mg_now(): of what is left */
    apr_time_t closed_until;
} warmup_t;

static warmup_t *warmup_for(sender_t *s, apr_int64_t domain_id)
{
    warmup_t *w = apr_hash_get(s->warmups, &domain_id, sizeof(domain_id));

    if (w)
        return w;
    w = apr_pcalloc(s->pool, sizeof(*w)); /* few, and they stay */
    w->domain_id = domain_id;
    apr_hash_set(s->warmups, &w->domain_id, sizeof(w->domain_id), w);
    return w;
}

static void subject_of(char subject[40], const warmup_t *w)
{
    apr_snprintf(subject, 40, "domain %" APR_INT64_T_FMT, w->domain_id);
}

apr_time_t sender_warmup_closed(const sender_t *s, apr_int64_t domain_id)
{
    const warmup_t *w;

    if (s->config->warmup.first == 0)
        return 0;
    w = apr_hash_get(s->warmups, &domain_id, sizeof(domain_id));
    return w && w->closed_until > mg_now() ? w->closed_until : 0;
}

/* Small volumes message by message, large ones in parts. */
static int advance(const sender_t *s, int n)
{
    int part = s->config->warmup.first / 20;

    part = part < ADVANCE_MAX ? part : ADVANCE_MAX;
    return part > n ? part : n;
}

static void fetch(sender_t *s, warmup_t *w, int n)
{
    const mg_domain_t *domain;
    mg_warmup_t take;
    char subject[40];
    apr_status_t rv;

    rv = mg_domain_cached_by_id(&domain, s->worker->domains, s->db,
                                w->domain_id);
    if (APR_STATUS_IS_ENOENT(rv)) {
        w->over = 1; /* removed meanwhile */
        return;
    }
    if (!sender_store_works(s, rv))
        return;
    subject_of(subject, w);
    memset(&take, 0, sizeof(take));
    take.subject = subject;
    take.started_at = domain->created_at;
    take.want = advance(s, n) - w->left;
    if (!sender_store_works(s, mg_warmup_take(s->db, &s->config->warmup,
                                              &take)))
        return;
    w->over = take.over;
    w->left += take.got;
    w->started_at = take.started_at;
    w->until = take.next;
    if (w->over || w->left > 0)
        return;
    w->closed_until = take.next;
    mg_log(MG_LOG_INFO, APR_SUCCESS, "domain %s: today's volume is sent; the "
           "rest waits for the next day", domain->name);
}

int sender_warmup_take(sender_t *s, apr_int64_t domain_id, int n)
{
    warmup_t *w;

    if (s->config->warmup.first == 0)
        return n;
    w = warmup_for(s, domain_id);
    if (w->over)
        return n;
    if (w->closed_until > mg_now())
        return 0;
    if (w->until <= mg_now())
        w->left = 0; /* yesterday's */
    if (w->left < n)
        fetch(s, w, n);
    if (w->over)
        return n;
    if (n > w->left)
        n = w->left;
    w->left -= n;
    return n;
}

void sender_warmup_stop(sender_t *s)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->warmups); hi; hi = apr_hash_next(hi)) {
        char subject[40];
        warmup_t *w;

        apr_hash_this(hi, NULL, NULL, (void **)&w);
        if (w->left == 0 || w->until <= mg_now() || s->store_down)
            continue;
        subject_of(subject, w);
        sender_store_works(s, mg_warmup_return(
            s->db, subject, (w->until - w->started_at) / MG_WARMUP_DAY - 1,
            w->left));
        w->left = 0;
    }
}
