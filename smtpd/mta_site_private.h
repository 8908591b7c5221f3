/* mta_site_private.h - what mta_site.c and mta_link.c share. */
#ifndef MTA_SITE_PRIVATE_H
#define MTA_SITE_PRIVATE_H

#include "mta_site.h"

/* Hosts that were tried to get one connection. */
typedef struct {
    apr_uint64_t tried;        /* a bit for each host of the route */
    int n, refused;            /* tried; of these answered 5xx */
    mta_reply_t reply;         /* the last one's */
} mta_attempt_t;

/* One connection of a site. */
struct mta_link_t {
    APR_RING_ENTRY(mta_link_t) link;
    mta_site_t *site;          /* NULL while leaving: the site may go first */
    sender_t *s;
    apr_pool_t *pool;
    mta_client_t *client;
    /* done: its job ended, but RSET may not be answered yet; leaving: said
     * QUIT, is no longer the site's */
    enum { LINK_CONNECTING, LINK_READY, LINK_BUSY, LINK_DONE, LINK_LEAVING,
           LINK_DEAD } state;
    mta_attempt_t attempt;
    int host;                  /* index in the route */
    char address[64];          /* what is known of the host is under this */
    sender_group_t *group;     /* busy: with what */
    apr_time_t begun;
    int mail_refused;
    mta_reply_t refusal;
    loop_timer_t *timer;       /* idle */
    mta_link_t *next_dead;
};
APR_RING_HEAD(mta_link_ring_t, mta_link_t);

/* Small, and without a pool until it has a route: there may be a hundred
 * thousand dead domains in one customer's list. */
struct mta_site_t {
    sender_t *s;
    char *key;
    mta_protocol_t protocol;
    char *name;                /* domain, or host of a static transport */
    int port, by_mx;

    /* where it is */
    apr_pool_t *route_pool;    /* or NULL */
    dns_host_t *hosts;
    int nhosts;                /* at most 64 */
    apr_time_t route_until;    /* mg_ticks() */
    int resolving;

    /* what waits, and who carries it */
    struct sender_group_ring_t waiting;
    int ngroups, nentries;
    struct mta_link_ring_t links;
    int nlinks, nconnecting;
    int window, streak;        /* connections allowed; messages since */

    /* how it goes */
    int failures;              /* in a row: closed so many times */
    int mail_refusals;         /* 4xx to MAIL in a row */
    apr_time_t closed_until;   /* mg_now() */
    apr_time_t used_at;        /* mg_ticks() */
    int done, done_before;     /* results, for the rate */

    int is_dirty;
    mta_site_t *next_dirty;
};

/* mta_site.c */
void mta_site_touch(mta_site_t *site);
/** Close it: what waits is put off, or fails. */
void mta_site_fail(mta_site_t *site, const char *reply, int code,
                   int permanent);
void mta_site_put_back(mta_site_t *site, sender_group_t *group);

/* mta_link.c */
/** Open one connection, to the first host that was not tried in this attempt.
 * @param attempt  NULL: a new one */
void mta_link_open(mta_site_t *site, const mta_attempt_t *attempt);
void mta_link_send(mta_link_t *link, sender_group_t *group);
/** Ready and without work: closes after a while. */
void mta_link_rest(mta_link_t *link);
void mta_link_quit(mta_link_t *link);
#endif
