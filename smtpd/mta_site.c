/* mta_site.c - a destination: which one, and its upkeep. */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mta_site_private.h"

#define FORGET_AFTER apr_time_from_sec(60)
#define FORGET_FAILED apr_time_from_sec(3600)
#define SITES_MANY 5000                   /* then none is kept idle */
#define JOB_MAX apr_time_from_sec(3600)   /* however slowly it drips */

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
    APR_RING_INIT(&site->lines, mta_line_t, link);
    APR_RING_INIT(&site->links, mta_link_t, link);
    APR_RING_INIT(&site->domains, mta_domain_t, link);
    apr_hash_set(s->sites, site->key, APR_HASH_KEY_STRING, site);
    return site;
}

static void site_forget(mta_site_t *site)
{
    apr_hash_set(site->s->sites, site->key, APR_HASH_KEY_STRING, NULL);
    mta_route_leave(site);
    mta_route_drop(site);
    free(site->key);
    free(site->name);
    free(site);
}

static void set_unix_route(mta_site_t *site, const char *path)
{
    struct sockaddr_un *un;
    dns_host_t host;

    memset(&host, 0, sizeof(host));
    host.name = site->name;
    un = (struct sockaddr_un *)&host.addr;
    un->sun_family = AF_UNIX;
    apr_cpystrn(un->sun_path, path, sizeof(un->sun_path));
    host.addr_len = (int)sizeof(*un);
    mta_route_set(site, &host, 1, APR_INT64_MAX);
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

static void set_way(mta_site_t *site, const char *base, const char *way)
{
    apr_cpystrn(site->base_way, base, sizeof(site->base_way));
    mta_way_read(&site->way, way, site->s->config);
}

mta_site_t *mta_site_for(sender_t *s, const mg_delivery_t *delivery,
                         const char *way)
{
    const mg_transport_t *t;
    mta_site_t *site;
    char key[600];

    if (delivery->transport == MG_TRANSPORT_LMTP)
        return lmtp_site(s);
    t = transport_for(s->config, delivery->dest);
    if (!t)
        return NULL;
    apr_snprintf(key, sizeof(key), "smtp [%.255s]:%d%s%s", t->host, t->port,
                 *way ? " " : "", way);
    site = apr_hash_get(s->sites, key, APR_HASH_KEY_STRING);
    if (!site) {
        site = site_make(s, key, MTA_SMTP, t->host, t->port, 0);
        set_way(site, way, way);
    }
    return site;
}

mta_site_t *mta_site_by_mx(sender_t *s, const char *mx_set, const char *way,
                           int by_sts)
{
    char whole[MTA_WAY_MAX + 8];
    apr_pool_t *ptemp;
    mta_site_t *site;
    const char *key;

    apr_cpystrn(whole, way, sizeof(whole));
    if (by_sts)
        mta_way_add_sts(whole, sizeof(whole), way);
    apr_pool_create(&ptemp, s->pool);
    key = apr_psprintf(ptemp, "smtp %s:%d%s%s", mx_set, s->config->smtp_port,
                       *whole ? " " : "", whole);
    site = apr_hash_get(s->sites, key, APR_HASH_KEY_STRING);
    if (!site) {
        site = site_make(s, key, MTA_SMTP, mx_set, s->config->smtp_port, 1);
        set_way(site, way, whole);
    }
    apr_pool_destroy(ptemp);
    return site;
}

/* --- what waits --- */

static void give_back(sender_t *s, sender_entry_t *e, const void *baton)
{
    sender_released(s, e, *(const apr_time_t *)baton);
}

void mta_site_add(mta_site_t *site, sender_entry_t *entry)
{
    apr_time_t closed = mta_site_closed_until(site);

    if (closed && sender_is_asked_for(entry))
        closed = site->closed_until = 0;

    if (site->s->worker->stopping)
        sender_released(site->s, entry, mg_now());
    else if (closed)
        sender_released(site->s, entry, closed + entry->row.id % MTA_SPREAD);
    else {
        mta_line_add(site, entry);
        mta_site_touch(site);
    }
}

/* A transaction that was not begun is the next one again. */
void mta_site_put_back(mta_site_t *site, sender_group_t *group)
{
    apr_time_t now = mg_now();

    mta_line_put_back(site, group);
    mta_site_touch(site);
    if (site->s->worker->stopping)
        mta_line_resolve_all(site, give_back, &now);
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
    mta_line_resolve_newest(site, share, give_back, &due);
}

void mta_sites_tidy(sender_t *s)
{
    apr_hash_index_t *hi;
    apr_time_t now = mg_ticks();
    int many = apr_hash_count(s->sites) > SITES_MANY;

    mta_route_tidy(s);
    for (hi = apr_hash_first(NULL, s->sites); hi; hi = apr_hash_next(hi)) {
        mta_site_t *site;

        apr_hash_this(hi, NULL, NULL, (void **)&site);
        abort_endless(site);
        enforce_share(site);
        if (site->ngroups > 0)
            mta_site_touch(site);
        else if (site->nlinks == 0 && !site->resolving && !site->asking
                 && !site->is_dirty
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

    mta_route_stop(s);
    for (hi = apr_hash_first(NULL, s->sites); hi; hi = apr_hash_next(hi)) {
        mta_site_t *site;
        mta_link_t *link, *next;

        apr_hash_this(hi, NULL, NULL, (void **)&site);
        mta_line_resolve_all(site, give_back, &now);
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

    mta_route_forget(s);
    for (hi = apr_hash_first(NULL, s->sites); hi; hi = apr_hash_next(hi)) {
        mta_site_t *site;

        apr_hash_this(hi, NULL, NULL, (void **)&site);
        site_forget(site);
    }
}

void mta_sites_drop_lost(sender_t *s)
{
    mta_line_drop_lost(s);
    mta_route_drop_lost(s);
}
