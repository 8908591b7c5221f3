/* mta_pump.c - handing out: what waits goes to connections that are ready,
 * and new ones are opened where the window allows it. */
#include "mg_status.h"
#include "mg_time.h"
#include "mta_dane.h"
#include "mta_site_private.h"
#include "sender_warmup.h"

void mta_site_touch(mta_site_t *site)
{
    site->used_at = mg_ticks();
    if (site->is_dirty)
        return;
    site->is_dirty = 1;
    site->next_dirty = site->s->dirty;
    site->s->dirty = site;
}

static mta_link_t *ready_link(mta_site_t *site)
{
    mta_link_t *link;

    APR_RING_FOREACH(link, &site->links, mta_link_t, link)
        if (link->state == LINK_READY)
            return link;
    return NULL;
}

/* This group's message, and those of the next few that wait: of each line the
 * first ones, as they will be sent. */
static apr_status_t read_ahead(mta_site_t *site, sender_group_t *first)
{
    sender_message_t *unread[MG_MESSAGES_AT_ONCE];
    mta_line_t *line;
    sender_group_t *g;
    int n = 0, looked = 0;

    sender_list_unread(unread, &n, first->message);
    APR_RING_FOREACH(line, &site->lines, mta_line_t, link)
        for (g = APR_RING_FIRST(&line->groups);
             g != APR_RING_SENTINEL(&line->groups, sender_group_t, link)
             && n < MG_MESSAGES_AT_ONCE && looked < 2 * MG_MESSAGES_AT_ONCE;
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

/* The address has sent its volume: perhaps there is another (mta_way.c), else
 * it waits (mta_route.c). */
static void look_for_another_way(sender_t *s, sender_group_t *group)
{
    apr_time_t now = mg_now();

    while (!APR_RING_EMPTY(&group->entries, sender_entry_t, link))
        sender_released(s, APR_RING_FIRST(&group->entries), now);
    sender_group_free(group);
}

/* A new domain or address has a volume for the day. What is beyond it comes
 * back; @return 0: that is all of it */
static int within_volume(mta_site_t *site, sender_group_t *group)
{
    sender_t *s = site->s;
    const mg_sending_ip_t *ip = site->way.source;
    int n = sender_warmup_take(s, group->domain_id, ip, group->n);
    apr_time_t until = sender_warmup_closed(s, group->domain_id);
    sender_group_t *beyond = n > 0 ? sender_group_cut(group, n) : group;

    if (!beyond)
        return 1;
    if (until)
        mta_site_hold_off_all(site, beyond, until);
    else if (sender_warmup_ip_closed(s, ip))
        look_for_another_way(s, beyond);
    else
        mta_site_put_back(site, beyond);
    return n > 0;
}

/* @return 0: not now (the store, or leases that cannot be renewed) */
static int send_first(mta_site_t *site, mta_link_t *link)
{
    sender_t *s = site->s;
    sender_group_t *group = mta_line_first(site), *rest;
    apr_status_t rv;

    if (!leases_are_good(s, group)) {
        rv = sender_renew(s); /* may drop this very group */
        group = mta_line_first(site);
        if (rv != APR_SUCCESS || !group || !leases_are_good(s, group))
            return 0;
    }
    if (group->message->state == SENDER_UNREAD
        && read_ahead(site, group) != APR_SUCCESS)
        return 0;
    mta_line_take_out(site, group);
    rest = sender_group_split(group);
    if (rest)
        mta_line_put_back(site, rest);
    if (site->protocol == MTA_SMTP && !within_volume(site, group))
        return !s->store_down;
    rv = sender_job_make(s, group);
    if (rv == APR_SUCCESS) {
        mta_window_sent(site);
        if (site->protocol == MTA_SMTP)
            sender_job_from(group, mta_client_via(link->client)->ip);
        mta_link_send(link, group);
    }
    else if (APR_STATUS_IS_ENOENT(rv))
        sender_group_free(group);
    else {
        mta_site_put_back(site, group);
        return 0;
    }
    return 1;
}

static int may_work(const mta_site_t *site)
{
    return site->ngroups > 0 && !site->s->store_down
           && !site->s->copies_full && !site->s->worker->stopping;
}

static void pump(mta_site_t *site)
{
    mta_link_t *link;
    int before;

    while (may_work(site) && (link = ready_link(site)) != NULL
           && mta_window_may_send(site))
        if (!send_first(site, link))
            break;
    while (site->nlinks > site->window && (link = ready_link(site)) != NULL)
        mta_link_quit(link);
    while (may_work(site) && !mta_site_closed_until(site)
           && mta_window_may_open(site) && mta_window_may_send(site)
           && mta_route_known(site) && mta_dane_ready(site)) {
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
    mta_site_t *site, *list;

    mta_room_give(s);
    list = s->dirty;
    s->dirty = NULL;
    while ((site = list) != NULL) {
        list = site->next_dirty;
        site->is_dirty = 0;
        pump(site);
    }
    mta_room_make(s);
    if (s->dirty)
        loop_again(s->loop);
}
