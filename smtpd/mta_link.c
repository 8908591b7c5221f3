/* mta_link.c - one connection of a site: hosts in their order, jobs, rest.
 *
 * A host that does not answer or refuses at the greeting is left for the next
 * one (RFC 5321 5.1) and tried last for a while. Where TLS fails, the host is
 * tried in clear at once, and in clear only for a day (RFC 7435).
 */
#include <apr_strings.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "mg_fault.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mta_dane.h"
#include "mta_site_private.h"

#define BAD_FOR apr_time_from_sec(120)
#define CLEAR_FOR apr_time_from_sec(24 * 3600)
#define HOSTS_MAX 10000
#define REFUSALS_MAX 3        /* 4xx to MAIL in a row: it means all of us */

/* --- what is known of hosts, by address --- */

typedef struct {
    apr_time_t bad_until;     /* mg_ticks() */
    apr_time_t clear_until;   /* no STARTTLS until */
} host_note_t;

static host_note_t *host_note(sender_t *s, const char *address)
{
    host_note_t *note = apr_hash_get(s->hosts, address, APR_HASH_KEY_STRING);

    if (note)
        return note;
    if (apr_hash_count(s->hosts) >= HOSTS_MAX) {
        apr_pool_clear(s->hosts_pool);
        s->hosts = apr_hash_make(s->hosts_pool);
    }
    note = apr_pcalloc(s->hosts_pool, sizeof(*note));
    apr_hash_set(s->hosts, apr_pstrdup(s->hosts_pool, address),
                 APR_HASH_KEY_STRING, note);
    return note;
}

static void address_of(char *buf, apr_size_t len, const mta_site_t *site,
                       const dns_host_t *host)
{
    char ip[INET6_ADDRSTRLEN] = "unix";

    if (host->addr.ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)&host->addr)
                                ->sin_addr, ip, sizeof(ip));
    else if (host->addr.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&host->addr)
                                 ->sin6_addr, ip, sizeof(ip));
    apr_snprintf(buf, len, "%s %d %s", ip, site->port,
                 site->way.source ? site->way.source->name : "");
}

static const host_note_t *known(const mta_site_t *site, int i)
{
    char address[100];

    address_of(address, sizeof(address), site, &site->hosts[i]);
    return apr_hash_get(site->s->hosts, address, APR_HASH_KEY_STRING);
}

/* The first that was not tried; those known as bad come last. */
static int pick_host(const mta_site_t *site, const mta_attempt_t *attempt)
{
    apr_time_t now = mg_ticks();
    int i, bad = -1;

    for (i = 0; i < site->nhosts; i++) {
        const host_note_t *note;

        if (attempt->tried & APR_UINT64_C(1) << i)
            continue;
        note = known(site, i);
        if (!note || note->bad_until <= now)
            return i;
        if (bad < 0)
            bad = i;
    }
    return bad;
}

/* --- life --- */

void mta_links_bury(sender_t *s)
{
    mta_link_t *link;

    while ((link = s->dead_links) != NULL) {
        s->dead_links = link->next_dead;
        apr_pool_destroy(link->pool);
    }
}

static void end_rest(mta_link_t *link)
{
    if (!link->timer)
        return;
    loop_timer_cancel(link->timer);
    link->timer = NULL;
    APR_RING_REMOVE(link, rest);
    link->s->nresting--;
}

/* It is no longer one of the site's. */
static void leave_site(mta_link_t *link)
{
    mta_site_t *site = link->site;

    end_rest(link);
    if (link->left) {
        link->s->nleaving--;
        link->left->nleaving--;
        mta_site_touch(link->left);
        link->left = NULL;
    }
    if (!site)
        return;
    if (link->state == LINK_CONNECTING)
        site->nconnecting--;
    else if (link->state == LINK_BUSY)
        link->s->running--;
    APR_RING_REMOVE(link, link);
    site->nlinks--;
    link->site = NULL;
}

static void link_free(mta_link_t *link)
{
    leave_site(link);
    link->state = LINK_DEAD;
    link->s->connections--;
    /* the client may still be in one of its functions */
    link->next_dead = link->s->dead_links;
    link->s->dead_links = link;
}

void mta_link_quit(mta_link_t *link)
{
    mta_site_t *site = link->site;

    if (link->state == LINK_CONNECTING || link->s->worker->stopping) {
        if (link->state == LINK_CONNECTING)
            mta_client_close(link->client);
        else
            mta_client_finish(link->client);
        link_free(link);
        return;
    }
    leave_site(link);
    link->left = site;
    site->nleaving++;
    link->s->nleaving++;
    link->state = LINK_LEAVING;
    mta_client_quit(link->client);
}

/* No host took us. Where other connections work, the remote means "not so
 * many"; where none does, the site is down. */
static void attempt_failed(mta_site_t *site, const mta_attempt_t *attempt)
{
    if (site->nlinks > site->nconnecting)
        mta_window_refused(site, attempt->reply.text);
    else if (site->nlinks == 0 && site->ngroups > 0)
        mta_site_fail(site, attempt->reply.text, attempt->reply.code,
                      attempt->n > 0 && attempt->refused == attempt->n);
    sender_check_done(site->s);
}

static void on_ready(mta_client_t *client, void *baton)
{
    mta_link_t *link = baton;
    mta_site_t *site = link->site;

    if (link->state == LINK_CONNECTING) {
        site->nconnecting--;
        mta_window_connected(site);
    }
    link->state = LINK_READY;
    if (site->s->worker->stopping
        || mta_client_served(client) >= mta_window_messages(site)) {
        mta_link_quit(link);
        sender_check_done(site->s);
    }
    mta_site_touch(site);
}

/* --- results --- */

static int some_accepted(const mta_job_t *job)
{
    int i;

    for (i = 0; i < job->nrcpts; i++)
        if (job->rcpts[i].accepted)
            return 1;
    return 0;
}

static void on_result(mta_client_t *client, mta_job_t *job, mta_rcpt_t *rcpt,
                      mta_stage_t stage, const mta_reply_t *reply,
                      void *baton)
{
    mta_link_t *link = baton;
    mta_site_t *site = link->site;
    sender_entry_t *e = rcpt->baton;
    const char *mx = mta_client_host(client);

    e->stage = (mg_stage_t)(MG_STAGE_MAIL + (stage - MTA_AT_MAIL));
    site->done++;
    link->group->n--;
    e->via = *mta_client_via(client);
    e->session = mg_ticks() - link->begun;
    switch (mta_reply_class(reply)) {
    case MTA_GOOD:
        link->group->delivered++;
        site->mail_refusals = 0;
        sender_delivered(site->s, e, reply->text, reply->code, mx);
        return;
    case MTA_PERMANENT:
        sender_failed(site->s, e, reply->text, reply->code, mx);
        return;
    default:
        break;
    }
    if (stage == MTA_AT_RCPT && reply->code == 452 && some_accepted(job)) {
        /* too many recipients: the rest at once (RFC 5321 4.5.3.1.10) */
        APR_RING_REMOVE(e, link);
        APR_RING_ELEM_INIT(e, link);
        e->running = 0;
        mta_site_add(site, e);
        return;
    }
    if (stage == MTA_AT_MAIL || reply->code == 421
        || (stage == MTA_AT_END && strncmp(reply->enhanced, "4.7.", 4) == 0)) {
        link->refused = 1; /* RCPT would mean that one, or greylisting */
        link->refusal = *reply;
    }
    sender_deferred(site->s, e, reply->text, reply->code, mx);
}

/* The transaction as a whole was refused for now: others may fare alike. With
 * others at work the site means "not so many". */
static void on_refusal(mta_site_t *site, const mta_reply_t *reply)
{
    int others = site->nlinks - site->nconnecting - 1;

    if (++site->mail_refusals >= REFUSALS_MAX
        || (reply->code == 421 && others < 1))
        mta_site_fail(site, reply->text, reply->code, 0);
    else if (others > 0)
        mta_window_halve(site, reply->text);
}

static void on_done(mta_client_t *client, mta_job_t *job, void *baton)
{
    mta_link_t *link = baton;
    mta_site_t *site = link->site;
    int delivered = link->group->delivered;

    (void)client;
    (void)job;
    sender_group_free(link->group);
    link->group = NULL;
    link->state = LINK_DONE; /* on_ready() says when it takes another */
    site->s->running--;
    mta_site_touch(site);
    if (delivered > 0) {
        mta_window_delivered(site);
        /* said by the remote, known to nobody else yet */
        if (site->protocol == MTA_LMTP)
            (void)MG_FAULT("lmtp.reply.after");
        else
            (void)MG_FAULT("sender.reply.after");
    }
    if (link->refused) {
        link->refused = 0;
        on_refusal(site, &link->refusal);
    }
}

static void on_end(mta_client_t *client, mta_end_t why, mta_job_t *job,
                   const mta_reply_t *reply, void *baton)
{
    mta_link_t *link = baton;
    mta_site_t *site = link->site;
    mta_attempt_t attempt = link->attempt;

    (void)client;
    (void)job;
    if (!site) {
        link_free(link);
        return;
    }
    if (why == MTA_END_STALE) {
        mta_site_put_back(site, link->group);
        link->group = NULL;
    }
    else if (why == MTA_END_TLS) {
        host_note(site->s, link->address)->clear_until =
            mg_ticks() + CLEAR_FOR;
        mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: in clear for a day: %s",
               site->key, reply->text);
        if (link->host < 64)
            attempt.tried &= ~(APR_UINT64_C(1) << link->host);
        attempt.n--;
    }
    else if (why == MTA_END_POLICY) {
        /* good for others: only what needs that TLS goes on to the next */
        attempt.reply = *reply;
        mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: %s", site->key, reply->text);
    }
    else if (why == MTA_END_CONNECT || why == MTA_END_REFUSED) {
        host_note(site->s, link->address)->bad_until = mg_ticks() + BAD_FOR;
        attempt.reply = *reply;
        attempt.refused += mta_reply_class(reply) == MTA_PERMANENT;
        mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: %s", site->key, reply->text);
    }
    link_free(link);
    /* what the remote said is counted already, or is about the content */
    if (why == MTA_END_LOST && reply->code == 499
        && site->nlinks > site->nconnecting)
        mta_window_halve(site, reply->text);
    mta_site_touch(site);
    if (why == MTA_END_CONNECT || why == MTA_END_REFUSED
        || why == MTA_END_TLS || why == MTA_END_POLICY)
        mta_link_open(site, &attempt);
    sender_check_done(site->s);
}

static const mta_events_t link_events = { on_ready, on_result, on_done,
                                          on_end };

/* --- opening --- */

/* Where TLS failed before it is left out, unless it must be.
 * @return 0: the host cannot be spoken to; *preply says why */
static int set_tls(mta_peer_t *peer, const mta_site_t *site,
                   const dns_host_t *host, const host_note_t *note,
                   const char **preply, apr_pool_t *p)
{
    peer->policy = "opportunistic";
    if (site->protocol == MTA_SMTP) {
        peer->need = site->way.need;
        peer->policy = site->way.policy;
        if (!mta_dane_set(peer, site, host, preply, p))
            return 0;
    }
    if (peer->need != MTA_TLS_MAY || !note
        || note->clear_until <= mg_ticks())
        peer->tls = site->s->tls;
    return 1;
}

/* @return 0: this source has no address of that family */
static int set_source(mta_peer_t *peer, const mta_site_t *site,
                      struct sockaddr_storage *local, const char **preply,
                      apr_pool_t *p)
{
    const mg_sending_ip_t *ip = site->way.source;
    int v6 = peer->addr->sa_family == AF_INET6;
    const char *text;

    peer->hello = ip && ip->hello ? ip->hello : site->s->config->hostname;
    if (!ip || peer->addr->sa_family == AF_UNIX)
        return 1;
    text = v6 ? ip->v6 : ip->v4;
    if (!text) {
        *preply = apr_psprintf(p, "499 4.4.1 %s has only IPv%d addresses, "
                               "MailgunSendingIP %s has none", peer->host,
                               v6 ? 6 : 4, ip->name);
        return 0;
    }
    memset(local, 0, sizeof(*local));
    local->ss_family = peer->addr->sa_family;
    inet_pton(local->ss_family, text,
              v6 ? (void *)&((struct sockaddr_in6 *)local)->sin6_addr
                 : (void *)&((struct sockaddr_in *)local)->sin_addr);
    peer->local = (const struct sockaddr *)local;
    peer->local_len = v6 ? (int)sizeof(struct sockaddr_in6)
                         : (int)sizeof(struct sockaddr_in);
    return 1;
}

/* @return 0: failed at once; the attempt says why */
static int open_to(mta_site_t *site, int host, mta_attempt_t *attempt)
{
    sender_t *s = site->s;
    dns_host_t to = site->hosts[host];
    const host_note_t *note;
    struct sockaddr_storage local;
    const char *why = NULL;
    mta_link_t *link;
    mta_peer_t peer;
    apr_pool_t *p;
    apr_status_t rv;
    char words[120];

    apr_pool_create(&p, s->pool);
    link = apr_pcalloc(p, sizeof(*link));
    link->pool = p;
    link->s = s;
    link->site = site;
    link->host = host;
    address_of(link->address, sizeof(link->address), site, &to);
    if (to.addr.ss_family == AF_INET)
        ((struct sockaddr_in *)&to.addr)->sin_port =
            htons((apr_uint16_t)site->port);
    else if (to.addr.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&to.addr)->sin6_port =
            htons((apr_uint16_t)site->port);

    note = known(site, host);
    memset(&peer, 0, sizeof(peer));
    peer.protocol = site->protocol;
    peer.host = to.name;
    peer.addr = (const struct sockaddr *)&to.addr;
    peer.addr_len = to.addr_len;
    /* a Unix socket has nobody on the way */
    if (!set_source(&peer, site, &local, &why, p)
        || (to.addr.ss_family != AF_UNIX
            && !set_tls(&peer, site, &to, note, &why, p))) {
        mta_reply_set(&attempt->reply, "%s", why);
        apr_pool_destroy(p);
        return 0;
    }
    rv = mta_client_open(&link->client, s->loop, &peer, &link_events, link,
                         p);
    if (rv != APR_SUCCESS) {
        mta_reply_set(&attempt->reply, "499 4.4.1 connect to %s%s%s: %s",
                      to.name, site->way.source ? " from " : "",
                      site->way.source ? site->way.source->name : "",
                      mg_strerror(rv, words, sizeof(words)));
        host_note(s, link->address)->bad_until = mg_ticks() + BAD_FOR;
        apr_pool_destroy(p);
        return 0;
    }
    link->attempt = *attempt;
    link->state = LINK_CONNECTING;
    APR_RING_INSERT_TAIL(&site->links, link, mta_link_t, link);
    site->nlinks++;
    site->nconnecting++;
    s->connections++;
    return 1;
}

void mta_link_open(mta_site_t *site, const mta_attempt_t *attempt)
{
    mta_attempt_t a;
    int host;

    if (attempt)
        a = *attempt;
    else {
        memset(&a, 0, sizeof(a));
        mta_reply_set(&a.reply, "499 4.4.1 %s has no host", site->name);
    }
    if (site->ngroups == 0 || site->s->worker->stopping)
        return;
    while ((host = pick_host(site, &a)) >= 0) {
        a.tried |= APR_UINT64_C(1) << host;
        a.n++;
        if (open_to(site, host, &a))
            return;
    }
    attempt_failed(site, &a);
}

/* --- work and rest --- */

void mta_link_send(mta_link_t *link, sender_group_t *group)
{
    sender_entry_t *e;

    APR_RING_FOREACH(e, &group->entries, sender_entry_t, link)
        e->running = 1;
    end_rest(link);
    link->state = LINK_BUSY;
    link->group = group;
    link->begun = mg_ticks();
    link->site->s->running++;
    mta_client_send(link->client, &group->job);
}

static void on_idle_timer(loop_t *loop, void *baton)
{
    mta_link_t *link = baton;

    (void)loop;
    link->timer = NULL;
    APR_RING_REMOVE(link, rest);
    link->s->nresting--;
    mta_link_quit(link);
}

void mta_link_rest(mta_link_t *link)
{
    if (link->timer)
        return;
    link->timer = loop_timer_set(link->s->loop, MTA_SITE_IDLE, on_idle_timer,
                                 link);
    APR_RING_INSERT_TAIL(&link->s->resting, link, mta_link_t, rest);
    link->s->nresting++;
}
