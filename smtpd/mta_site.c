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
#include "sender_move.h"
#include "sender_schedule.h"

#define FORGET_AFTER apr_time_from_sec(60)
#define FORGET_FAILED apr_time_from_sec(3600)
#define SITES_MANY 5000                   /* then none is kept idle */
#define SHARE_SECONDS 2                   /* of work may be held */
#define SLOW_MAX 20                       /* seconds until it is looked again */
#define EXPIRED "499 4.4.7 the delivery time has expired"
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
    APR_RING_INIT(&site->lines, mta_line_t, link);
    APR_RING_INIT(&site->links, mta_link_t, link);
    APR_RING_INIT(&site->domains, mta_domain_t, link);
    mta_window_start(site);
    mta_learned_recall(site);
    apr_hash_set(s->sites, site->key, APR_HASH_KEY_STRING, site);
    return site;
}

static void site_forget(mta_site_t *site)
{
    mta_learned_keep(site);
    apr_hash_set(site->s->sites, site->key, APR_HASH_KEY_STRING, NULL);
    mta_route_leave(site);
    mta_route_drop(site);
    free(site->key);
    free(site->name);
    free(site->last_reply);
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
        mta_way_read(&site->way, way, s->config);
    }
    mta_window_limits(site, delivery->dest);
    return site;
}

mta_site_t *mta_site_by_mx(sender_t *s, const char *mx_set, const char *way,
                           int by_sts, int secure)
{
    char whole[MTA_WAY_MAX + 8];
    apr_pool_t *ptemp;
    mta_site_t *site;
    const char *key;

    apr_cpystrn(whole, way, sizeof(whole));
    if (by_sts)
        mta_way_add_sts(whole, sizeof(whole), way);
    apr_pool_create(&ptemp, s->pool);
    key = apr_psprintf(ptemp, "smtp %s:%d%s%s%s", mx_set,
                       s->config->smtp_port, secure ? " secure" : "",
                       *whole ? " " : "", whole);
    site = apr_hash_get(s->sites, key, APR_HASH_KEY_STRING);
    if (!site) {
        site = site_make(s, key, MTA_SMTP, mx_set, s->config->smtp_port, 1);
        mta_way_read(&site->way, whole, s->config);
    }
    apr_pool_destroy(ptemp);
    return site;
}

/* --- what waits --- */

static void give_back(sender_t *s, sender_entry_t *e, const void *baton)
{
    sender_released(s, e, *(const apr_time_t *)baton);
}

void mta_site_hold_off(sender_t *s, sender_entry_t *entry, apr_time_t until,
                       const char *why)
{
    const char *reply = entry->row.last_reply;

    if (until >= sender_schedule_end(s->config, &entry->row)) {
        if (!reply || !*reply)
            reply = why && *why ? why : EXPIRED;
        sender_failed(s, entry, reply, (int)apr_strtoi64(reply, NULL, 10),
                      NULL);
        return;
    }
    sender_move(s, &entry->row, until);
    sender_released(s, entry, until + entry->row.id % MTA_SPREAD);
}

void mta_site_hold_off_all(mta_site_t *site, sender_group_t *group,
                           apr_time_t until)
{
    while (!APR_RING_EMPTY(&group->entries, sender_entry_t, link))
        mta_site_hold_off(site->s, APR_RING_FIRST(&group->entries), until,
                          NULL);
    sender_group_free(group);
}

/* While there is room, as many as come; else as many as go out in some seconds,
 * and a few: of many that stand still, each has one. */
static int share_beyond(const sender_t *s, int room, int rate)
{
    int claims = s->config->claims, few;

    if (s->nheld <= room)
        return claims;
    few = claims / 2 / (s->nbusy > 0 ? s->nbusy : 1);
    return SHARE_SECONDS * rate + (few > 1 ? few : 1);
}

int mta_site_share(const sender_t *s, int rate)
{
    return share_beyond(s, s->config->claims - s->config->claims / 4, rate);
}

/* One domain's rows fill three quarters and no more (sender.c). Where nothing
 * moves the room ends before: else its rows, of which none leaves, would be all
 * that is held, until the connection times out. */
static int share_of(const mta_site_t *site)
{
    const sender_t *s = site->s;

    if (site->rate == 0 && site->nlinks > 0)
        return share_beyond(s, s->config->claims / 2, 0);
    return mta_site_share(s, site->rate);
}

/* When a part of what waits there will have gone out. One that stands still is
 * left alone for as long as it has done so: it may be us who stood still. */
static apr_time_t has_room_at(const mta_site_t *site)
{
    apr_time_t wait = SLOW_MAX;

    if (site->rate > 0)
        wait = site->nentries / site->rate;
    else if (site->moved_at)
        wait = apr_time_sec(mg_ticks() - site->moved_at);
    return mg_now() + apr_time_from_sec(wait < 1          ? 1
                                        : wait > SLOW_MAX ? SLOW_MAX
                                                          : wait);
}

void mta_site_add(mta_site_t *site, sender_entry_t *entry)
{
    sender_t *s = site->s;
    apr_time_t closed = mta_site_closed_until(site);

    if (closed && sender_is_asked_for(entry))
        closed = site->closed_until = 0;

    entry->stage = MG_STAGE_NONE; /* what an earlier host refused is over */
    if (entry->lost)
        sender_let_go(s, entry);
    else if (s->worker->stopping)
        sender_released(s, entry, mg_now());
    else if (closed)
        mta_site_hold_off(s, entry, closed, site->last_reply);
    else if (site->is_slow && site->nentries >= share_of(site))
        mta_site_hold_off(s, entry, has_room_at(site), NULL);
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
    mta_line_drop_lost_of(site, group);
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

static void hold_off(sender_t *s, sender_entry_t *e, const void *baton)
{
    mta_site_hold_off(s, e, *(const apr_time_t *)baton, NULL);
}

/* Once a second. A site that has had work for a while and holds more than its
 * share is slow: the newest go back, and no more are taken. */
static void enforce_share(mta_site_t *site)
{
    int share, now = site->done - site->done_before;
    apr_time_t due;

    site->done_before = site->done;
    if (now > 0)
        site->moved_at = mg_ticks();
    site->rate = (site->rate + 2 * now + 1) / 3;
    site->seconds = site->ngroups > 0 ? site->seconds + 1 : 0;
    share = share_of(site);
    site->is_slow = site->seconds > SHARE_SECONDS && site->nentries >= share;
    if (!site->is_slow || site->nentries <= share + share / 4)
        return;
    due = has_room_at(site);
    mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: slow; %d of %d go back to the queue",
           site->key, site->nentries - share, site->nentries);
    mta_line_resolve_newest(site, share, hold_off, &due);
}

/* What was learned stays as a note (mta_learned.c), so of many none is kept. */
static int is_idle(const mta_site_t *site, int many)
{
    apr_interval_time_t idle = mg_ticks() - site->used_at;

    if (site->ngroups > 0 || site->nlinks > 0 || site->nleaving > 0
        || site->pace_timer || site->resolving || site->asking
        || site->is_dirty || site->in_line)
        return 0;
    if (many)
        return 1;
    return !site->learned && !mta_site_closed_until(site)
           && idle > (site->failures > 0 ? FORGET_FAILED : FORGET_AFTER);
}

void mta_sites_tidy(sender_t *s)
{
    apr_hash_index_t *hi;
    int many = apr_hash_count(s->sites) > SITES_MANY;

    mta_route_tidy(s);
    for (hi = apr_hash_first(NULL, s->sites); hi; hi = apr_hash_next(hi)) {
        mta_site_t *site;

        apr_hash_this(hi, NULL, NULL, (void **)&site);
        abort_endless(site);
        enforce_share(site);
        if (site->ngroups > 0)
            mta_site_touch(site);
        else if (is_idle(site, many))
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
    mta_learned_forget(s);
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
