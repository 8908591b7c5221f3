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

#define SUBJECT_MAX 64     /* octets: "domain 17", "address 192.0.2.1" */

/* A sending domain or address that has a volume, or had one. */
typedef struct {
    char subject[SUBJECT_MAX];
    apr_int64_t domain_id;
    const mg_sending_ip_t *ip; /* or NULL: a domain */
    int left;              /* may be sent without asking the store */
    int over;              /* no limit any more */
    apr_time_t started_at, until; /* mg_now(): of what is left */
    apr_time_t closed_until;
} warmup_t;

/* ip NULL: of the domain */
static void name_it(char subject[SUBJECT_MAX], apr_int64_t domain_id,
                    const mg_sending_ip_t *ip)
{
    if (ip)
        apr_snprintf(subject, SUBJECT_MAX, "address %s",
                     ip->v4 ? ip->v4 : ip->v6);
    else
        apr_snprintf(subject, SUBJECT_MAX, "domain %" APR_INT64_T_FMT,
                     domain_id);
}

static warmup_t *warmup_for(sender_t *s, apr_int64_t domain_id,
                            const mg_sending_ip_t *ip)
{
    char subject[SUBJECT_MAX];
    warmup_t *w;

    name_it(subject, domain_id, ip);
    w = apr_hash_get(s->warmups, subject, APR_HASH_KEY_STRING);
    if (w)
        return w;
    w = apr_pcalloc(s->pool, sizeof(*w)); /* few, and they stay */
    memcpy(w->subject, subject, sizeof(subject));
    w->domain_id = domain_id;
    w->ip = ip;
    apr_hash_set(s->warmups, w->subject, APR_HASH_KEY_STRING, w);
    return w;
}

static apr_time_t closed_until(const sender_t *s, apr_int64_t domain_id,
                               const mg_sending_ip_t *ip)
{
    char subject[SUBJECT_MAX];
    const warmup_t *w;

    if (s->config->warmup.first == 0)
        return 0;
    name_it(subject, domain_id, ip);
    w = apr_hash_get(s->warmups, subject, APR_HASH_KEY_STRING);
    return w && w->closed_until > mg_now() ? w->closed_until : 0;
}

apr_time_t sender_warmup_closed(const sender_t *s, apr_int64_t domain_id)
{
    return closed_until(s, domain_id, NULL);
}

apr_time_t sender_warmup_ip_closed(const sender_t *s,
                                   const mg_sending_ip_t *ip)
{
    return ip && ip->since ? closed_until(s, 0, ip) : 0;
}

/* Small volumes message by message, large ones in parts. */
static int advance(const sender_t *s, int n)
{
    int part = s->config->warmup.first / 20;

    part = part < ADVANCE_MAX ? part : ADVANCE_MAX;
    return part > n ? part : n;
}

/* Since when it sends. @return 0: not known now */
static int begun_at(apr_time_t *pbegun, const char **pname, sender_t *s,
                    warmup_t *w)
{
    const mg_domain_t *domain;
    apr_status_t rv;

    if (w->ip) {
        *pbegun = w->ip->since;
        *pname = w->ip->name;
        return 1;
    }
    rv = mg_domain_cached_by_id(&domain, s->worker->domains, s->db,
                                w->domain_id);
    if (APR_STATUS_IS_ENOENT(rv)) {
        w->over = 1; /* removed meanwhile */
        return 0;
    }
    if (!sender_store_works(s, rv))
        return 0;
    *pbegun = domain->created_at;
    *pname = domain->name;
    return 1;
}

static void fetch(sender_t *s, warmup_t *w, int n)
{
    const char *name;
    mg_warmup_t take;

    memset(&take, 0, sizeof(take));
    if (!begun_at(&take.started_at, &name, s, w))
        return;
    take.subject = w->subject;
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
    mg_log(MG_LOG_INFO, APR_SUCCESS, "%s %s: today's volume is sent; the rest "
           "waits for the next day", w->ip ? "address" : "domain", name);
}

static int take(sender_t *s, warmup_t *w, int n)
{
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

int sender_warmup_take(sender_t *s, apr_int64_t domain_id,
                       const mg_sending_ip_t *ip, int n)
{
    warmup_t *of_domain;
    int own;

    if (s->config->warmup.first == 0)
        return n;
    of_domain = warmup_for(s, domain_id, NULL);
    own = take(s, of_domain, n);
    if (!ip || !ip->since || own == 0)
        return own;
    n = take(s, warmup_for(s, 0, ip), own);
    if (!of_domain->over)
        of_domain->left += own - n; /* they are not sent */
    return n;
}

void sender_warmup_stop(sender_t *s)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->warmups); hi; hi = apr_hash_next(hi)) {
        warmup_t *w;

        apr_hash_this(hi, NULL, NULL, (void **)&w);
        if (w->left == 0 || w->until <= mg_now() || s->store_down)
            continue;
        sender_store_works(s, mg_warmup_return(
            s->db, w->subject, (w->until - w->started_at) / MG_WARMUP_DAY - 1,
            w->left));
        w->left = 0;
    }
}
