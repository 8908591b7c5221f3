/* mta_site.c - destinations: finding hosts, handing out work, back-off. */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mta_site_private.h"
#include "sender_schedule.h"

#define CLOSED_MAX apr_time_from_sec(600)
#define STALE_ROUTE apr_time_from_sec(60)
#define FORGET_AFTER apr_time_from_sec(60)
#define FORGET_FAILED apr_time_from_sec(3600)
#define SITES_MANY 5000                   /* then none is kept idle */
#define JOB_MAX apr_time_from_sec(3600)   /* however slowly it drips */
#define HOSTS_MAX 64                      /* bits of mta_attempt_t.tried */

/* --- which site --- */

static const mg_transport_t *transport_for(const mg_config_t *config,
                                           const char *domain)
{
    const mg_transport_t *all = NULL;
    int i;

    for (i = 0; config->transports && i < config->transports->nelts; i++) {
        const mg_transport_t *t = &APR_ARRAY_IDX(config->transports, i,
                                                 mg_transport_t);

        if (strcasecmp(t->domain, domain) == 0)
            return t;
        if (!all && strcmp(t->domain, "*") == 0)
            all = t;
    }
    return all;
}

static mta_site_t *site_make(sender_t *s, const char *key,
                             mta_protocol_t protocol, const char *name,
                             int port, int by_mx)
{
    mta_site_t *site = calloc(1, sizeof(*site));

    if (!site || !(site->key = strdup(key)) || !(site->name = strdup(name)))
        abort();
    site->s = s;
    site->protocol = protocol;
    site->port = port;
    site->by_mx = by_mx;
    site->window = s->config->destination_connections;
    APR_RING_INIT(&site->waiting, sender_group_t, link);
    APR_RING_INIT(&site->links, mta_link_t, link);
    apr_hash_set(s->sites, site->key, APR_HASH_KEY_STRING, site);
    return site;
}

static void drop_route(mta_site_t *site)
{
    if (site->route_pool)
        apr_pool_destroy(site->route_pool);
    site->route_pool = NULL;
    site->hosts = NULL;
    site->nhosts = 0;
}

static void site_forget(mta_site_t *site)
{
    apr_hash_set(site->s->sites, site->key, APR_HASH_KEY_STRING, NULL);
    drop_route(site);
    free(site->key);
    free(site->name);
    free(site);
}

static void set_unix_route(mta_site_t *site, const char *path)
{
    struct sockaddr_un *un;

    apr_pool_create(&site->route_pool, site->s->pool);
    site->hosts = apr_pcalloc(site->route_pool, sizeof(*site->hosts));
    site->nhosts = 1;
    site->hosts->name = site->name;
    un = (struct sockaddr_un *)&site->hosts->addr;
    un->sun_family = AF_UNIX;
    apr_cpystrn(un->sun_path, path, sizeof(un->sun_path));
    site->hosts->addr_len = (int)sizeof(*un);
    site->route_until = APR_INT64_MAX;
}

/* MailgunLMTP: unix:PATH or host:port */
static mta_site_t *lmtp_site(sender_t *s)
{
    static const char key[] = "lmtp";
    const char *to = s->config->lmtp ? s->config->lmtp : "";
    mta_site_t *site = apr_hash_get(s->sites, key, APR_HASH_KEY_STRING);
    const char *colon;
    char host[256];

    if (site)
        return site;
    if (strncmp(to, "unix:", 5) == 0) {
        site = site_make(s, key, MTA_LMTP, to, 0, 0);
        set_unix_route(site, to + 5);
        return site;
    }
    colon = strrchr(to, ':');
    apr_cpystrn(host, to, sizeof(host));
    if (colon && colon - to < (long)sizeof(host))
        host[colon - to] = '\0';
    return site_make(s, key, MTA_LMTP, host,
                     colon ? (int)apr_atoi64(colon + 1) : 24, 0);
}

mta_site_t *mta_site_for(sender_t *s, const mg_delivery_t *delivery)
{
    const mg_transport_t *t;
    mta_site_t *site;
    char key[400];

    if (delivery->transport == MG_TRANSPORT_LMTP)
        return lmtp_site(s);
    t = transport_for(s->config, delivery->dest);
    if (t)
        apr_snprintf(key, sizeof(key), "smtp [%.255s]:%d", t->host, t->port);
    else
        apr_snprintf(key, sizeof(key), "smtp %.255s", delivery->dest);
    site = apr_hash_get(s->sites, key, APR_HASH_KEY_STRING);
    if (!site)
        site = t ? site_make(s, key, MTA_SMTP, t->host, t->port, 0)
                 : site_make(s, key, MTA_SMTP, delivery->dest,
                             s->config->smtp_port, 1);
    return site;
}

/* --- what waits --- */

void mta_site_touch(mta_site_t *site)
{
    site->used_at = mg_ticks();
    if (site->is_dirty)
        return;
    site->is_dirty = 1;
    site->next_dirty = site->s->dirty;
    site->s->dirty = site;
}

void mta_site_add(mta_site_t *site, sender_entry_t *entry)
{
    sender_group_t *last = NULL;

    if (site->s->worker->stopping) {
        sender_released(site->s, entry, mg_now());
        return;
    }
    if (!APR_RING_EMPTY(&site->waiting, sender_group_t, link))
        last = APR_RING_LAST(&site->waiting);
    site->nentries++;
    mta_site_touch(site);
    /* LMTP: the content names the delivery, so each has its own */
    if (last && site->protocol == MTA_SMTP && sender_group_takes(last, entry)) {
        sender_group_add(last, entry);
        return;
    }
    last = sender_group_make(site->s, entry);
    APR_RING_INSERT_TAIL(&site->waiting, last, sender_group_t, link);
    site->ngroups++;
    site->s->waiting++;
}

static void take_out(mta_site_t *site, sender_group_t *group)
{
    APR_RING_REMOVE(group, link);
    APR_RING_ELEM_INIT(group, link);
    site->ngroups--;
    site->nentries -= group->n;
    site->s->waiting--;
}

typedef void each_fn(sender_t *s, sender_entry_t *e, const void *baton);

/* Each entry gets its result; the group is gone. */
static void resolve_group(mta_site_t *site, sender_group_t *group,
                          each_fn *fn, const void *baton)
{
    take_out(site, group);
    while (!APR_RING_EMPTY(&group->entries, sender_entry_t, link))
        fn(site->s, APR_RING_FIRST(&group->entries), baton);
    sender_group_free(group);
}

static void resolve_all(mta_site_t *site, each_fn *fn, const void *baton)
{
    while (!APR_RING_EMPTY(&site->waiting, sender_group_t, link))
        resolve_group(site, APR_RING_FIRST(&site->waiting), fn, baton);
}

typedef struct {
    const char *text;
    int code, permanent;
} words_t;

static void put_off(sender_t *s, sender_entry_t *e, const void *baton)
{
    const words_t *w = baton;

    if (w->permanent)
        sender_failed(s, e, w->text, w->code, NULL);
    else
        sender_deferred(s, e, w->text, w->code, NULL);
}

static void give_back(sender_t *s, sender_entry_t *e, const void *baton)
{
    sender_released(s, e, *(const apr_time_t *)baton);
}

/* A transaction that was not begun is the next one again. */
void mta_site_put_back(mta_site_t *site, sender_group_t *group)
{
    apr_time_t now = mg_now();

    APR_RING_INSERT_HEAD(&site->waiting, group, sender_group_t, link);
    site->ngroups++;
    site->nentries += group->n;
    site->s->waiting++;
    mta_site_touch(site);
    if (site->s->worker->stopping)
        resolve_group(site, group, give_back, &now);
}

/* --- back-off --- */

apr_time_t mta_site_closed_until(const mta_site_t *site)
{
    return site->closed_until > mg_now() ? site->closed_until : 0;
}

void mta_site_fail(mta_site_t *site, const char *reply, int code,
                   int permanent)
{
    words_t words = { reply, code, permanent };
    apr_interval_time_t delay;

    if (!permanent) {
        site->failures++;
        delay = sender_schedule_delay(site->s->config, site->failures,
                                      (apr_uint64_t)(apr_uintptr_t)site);
        if (delay > CLOSED_MAX)
            delay = CLOSED_MAX;
        site->closed_until = mg_now() + delay;
        mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: closed for %" APR_INT64_T_FMT
               " ms: %s", site->key, delay / 1000, reply);
    }
    site->mail_refusals = 0;
    resolve_all(site, put_off, &words);
}

/* --- where it is --- */

static void on_route(const dns_answer_t *answer, void *baton)
{
    mta_site_t *site = baton;
    int i, code;

    site->resolving = 0;
    mta_site_touch(site);
    if (answer->status == DNS_FOUND) {
        drop_route(site);
        apr_pool_create(&site->route_pool, site->s->pool);
        site->nhosts = answer->nhosts < HOSTS_MAX ? answer->nhosts
                                                  : HOSTS_MAX;
        site->hosts = apr_pmemdup(site->route_pool, answer->hosts,
                                  sizeof(dns_host_t)
                                      * (apr_size_t)site->nhosts);
        for (i = 0; i < site->nhosts; i++)
            site->hosts[i].name = apr_pstrdup(site->route_pool,
                                              site->hosts[i].name);
        site->route_until = answer->until;
        return;
    }
    if (answer->status == DNS_LATER && site->nhosts > 0) {
        site->route_until = mg_ticks() + STALE_ROUTE;
        return;
    }
    drop_route(site);
    code = (int)apr_strtoi64(answer->reply, NULL, 10);
    /* a host that is not found because the configuration names it wrongly is
     * no reason to return mail */
    mta_site_fail(site, answer->reply, code,
                  site->by_mx && answer->status != DNS_LATER);
}

/* @return whether hosts are known now; if not, the answer will touch us */
static int find_route(mta_site_t *site)
{
    if (site->nhosts > 0 && site->route_until > mg_ticks())
        return 1;
    if (site->resolving)
        return 0;
    site->resolving = 1;
    if (site->by_mx)
        dns_mx(site->s->dns, site->name, on_route, site);
    else
        dns_host(site->s->dns, site->name, on_route, site);
    return !site->resolving && site->nhosts > 0;
}

/* --- handing out --- */

static mta_link_t *ready_link(mta_site_t *site)
{
    mta_link_t *link;

    APR_RING_FOREACH(link, &site->links, mta_link_t, link)
        if (link->state == LINK_READY)
            return link;
    return NULL;
}

/* This group's message, and those of the next few that wait. */
static apr_status_t read_ahead(mta_site_t *site, sender_group_t *first)
{
    sender_message_t *unread[MG_MESSAGES_AT_ONCE];
    sender_group_t *g;
    int n = 0, looked = 0;

    for (g = first; g != APR_RING_SENTINEL(&site->waiting, sender_group_t,
                                           link)
                    && n < MG_MESSAGES_AT_ONCE
                    && looked < 2 * MG_MESSAGES_AT_ONCE;
         g = APR_RING_NEXT(g, link), looked++)
        sender_list_unread(unread, &n, g->message);
    return sender_read_messages(site->s, unread, n);
}

static int leases_are_good(const sender_t *s, const sender_group_t *group)
{
    const sender_entry_t *e;

    APR_RING_FOREACH(e, &group->entries, sender_entry_t, link)
        if (!sender_lease_is_good(s, e))
            return 0;
    return 1;
}

/* Now that the message is read: its recipients may have copies of their own.
 */
static void split_up(mta_site_t *site, sender_group_t *group)
{
    sender_entry_t *e;
    sender_group_t *own;

    while (group->n > 1) {
        e = APR_RING_LAST(&group->entries);
        APR_RING_REMOVE(e, link);
        group->n--;
        own = sender_group_make(site->s, e);
        APR_RING_INSERT_AFTER(group, own, link);
        site->ngroups++;
        site->s->waiting++;
    }
}

/* @return 0: not now (the store, or leases that cannot be renewed) */
static int send_first(mta_site_t *site, mta_link_t *link)
{
    sender_t *s = site->s;
    sender_group_t *group = APR_RING_FIRST(&site->waiting);
    apr_status_t rv;

    if (!leases_are_good(s, group)) {
        rv = sender_renew(s); /* may drop this very group */
        if (rv != APR_SUCCESS
            || APR_RING_EMPTY(&site->waiting, sender_group_t, link))
            return 0;
        group = APR_RING_FIRST(&site->waiting);
        if (!leases_are_good(s, group))
            return 0;
    }
    if (group->message->state == SENDER_UNREAD
        && read_ahead(site, group) != APR_SUCCESS)
        return 0;
    if (group->message->state == SENDER_THERE
        && !sender_copy_is_shared(group->message))
        split_up(site, group);
    take_out(site, group);
    rv = sender_job_make(s, group);
    if (rv == APR_SUCCESS)
        mta_link_send(link, group);
    else if (APR_STATUS_IS_ENOENT(rv))
        sender_group_free(group);
    else {
        mta_site_put_back(site, group);
        return 0;
    }
    return 1;
}

/* Slow start: as many again as already work. Where many sites hang, their
 * connections leave room for everybody's first one, and for our own LMTP. */
static int may_open(const mta_site_t *site)
{
    int working = site->nlinks - site->nconnecting;
    int most = site->protocol == MTA_LMTP ? 2 * MTA_CONNECTIONS
               : site->nlinks > 0         ? MTA_CONNECTIONS / 2
                                          : MTA_CONNECTIONS;

    return site->nconnecting < site->ngroups
           && site->nconnecting < (working > 1 ? working : 2)
           && site->nlinks < site->window
           && site->s->connections < most;
}

static void pump(mta_site_t *site)
{
    sender_t *s = site->s;
    mta_link_t *link;
    int before;

    while (site->ngroups > 0 && !s->store_down && !s->worker->stopping
           && (link = ready_link(site)) != NULL)
        if (!send_first(site, link))
            break;
    while (site->ngroups > 0 && !s->store_down && !s->worker->stopping
           && !mta_site_closed_until(site) && may_open(site)
           && find_route(site)) {
        before = site->nlinks;
        mta_link_open(site, NULL);
        if (site->nlinks == before)
            break;
    }
    APR_RING_FOREACH(link, &site->links, mta_link_t, link)
        if (link->state == LINK_READY)
            mta_link_rest(link);
}

void mta_sites_pump(sender_t *s)
{
    mta_site_t *site, *list = s->dirty;

    s->dirty = NULL;
    while ((site = list) != NULL) {
        list = site->next_dirty;
        site->is_dirty = 0;
        pump(site);
    }
    if (s->dirty)
        loop_again(s->loop);
}

/* --- upkeep --- */

static void abort_endless(mta_site_t *site)
{
    apr_time_t now = mg_ticks();
    mta_link_t *link, *next;

    for (link = APR_RING_FIRST(&site->links);
         link != APR_RING_SENTINEL(&site->links, mta_link_t, link);
         link = next) {
        next = APR_RING_NEXT(link, link);
        if (link->state == LINK_BUSY && now - link->begun > JOB_MAX)
            mta_client_abort(link->client, "the transaction took too long");
    }
}

/* Memory is full: a site that could not send its share within ten seconds
 * gives the newest back, so that others can be claimed. */
static void enforce_share(mta_site_t *site)
{
    sender_t *s = site->s;
    int share = s->config->claims / 4 + 1;
    int rate = site->done - site->done_before;
    apr_time_t due;

    site->done_before = site->done;
    if (s->nheld < s->config->claims - s->config->claims / 8
        || site->nentries <= share || site->nentries <= rate * 10)
        return;
    due = mg_now() + apr_time_from_sec(site->nentries / (rate > 0 ? rate : 1)
                                               > 30 ? 30 : 10);
    mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: slow; %d of %d go back to the queue",
           site->key, site->nentries - share, site->nentries);
    while (site->nentries > share)
        resolve_group(site, APR_RING_LAST(&site->waiting), give_back, &due);
}

void mta_sites_tidy(sender_t *s)
{
    apr_hash_index_t *hi;
    apr_time_t now = mg_ticks();
    int many = apr_hash_count(s->sites) > SITES_MANY;

    for (hi = apr_hash_first(NULL, s->sites); hi; hi = apr_hash_next(hi)) {
        mta_site_t *site;

        apr_hash_this(hi, NULL, NULL, (void **)&site);
        abort_endless(site);
        enforce_share(site);
        if (site->ngroups > 0)
            mta_site_touch(site);
        else if (site->nlinks == 0 && !site->resolving && !site->is_dirty
                 && !mta_site_closed_until(site)
                 && (many || now - site->used_at > (site->failures > 0
                                                        ? FORGET_FAILED
                                                        : FORGET_AFTER)))
            site_forget(site);
    }
}

void mta_sites_stop(sender_t *s)
{
    apr_time_t now = mg_now();
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->sites); hi; hi = apr_hash_next(hi)) {
        mta_site_t *site;
        mta_link_t *link, *next;

        apr_hash_this(hi, NULL, NULL, (void **)&site);
        resolve_all(site, give_back, &now);
        for (link = APR_RING_FIRST(&site->links);
             link != APR_RING_SENTINEL(&site->links, mta_link_t, link);
             link = next) {
            next = APR_RING_NEXT(link, link);
            if (link->state != LINK_BUSY)
                mta_link_quit(link);
        }
    }
}

void mta_sites_forget(sender_t *s)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->sites); hi; hi = apr_hash_next(hi)) {
        mta_site_t *site;

        apr_hash_this(hi, NULL, NULL, (void **)&site);
        site_forget(site);
    }
}

void mta_sites_drop_lost(sender_t *s)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->sites); hi; hi = apr_hash_next(hi)) {
        mta_site_t *site;
        sender_group_t *g, *next_g;
        sender_entry_t *e, *next_e;

        apr_hash_this(hi, NULL, NULL, (void **)&site);
        for (g = APR_RING_FIRST(&site->waiting);
             g != APR_RING_SENTINEL(&site->waiting, sender_group_t, link);
             g = next_g) {
            next_g = APR_RING_NEXT(g, link);
            for (e = APR_RING_FIRST(&g->entries);
                 e != APR_RING_SENTINEL(&g->entries, sender_entry_t, link);
                 e = next_e) {
                next_e = APR_RING_NEXT(e, link);
                if (!e->lost)
                    continue;
                APR_RING_REMOVE(e, link);
                g->n--;
                site->nentries--;
                sender_let_go(s, e);
            }
            if (g->n == 0) {
                take_out(site, g);
                sender_group_free(g);
            }
        }
    }
}
