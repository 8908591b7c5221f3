/* mta_site_private.h - what the files of sites and connections share. */
#ifndef MTA_SITE_PRIVATE_H
#define MTA_SITE_PRIVATE_H

#include "mta_site.h"
#include "mta_way.h"

/* Hosts that were tried to get one connection. */
typedef struct {
    apr_uint64_t tried;        /* a bit for each host of the route */
    int n, refused;            /* tried; of these answered 5xx */
    mta_reply_t reply;         /* the last one's */
} mta_attempt_t;

/* One connection of a site. */
struct mta_link_t {
    APR_RING_ENTRY(mta_link_t) link;
    APR_RING_ENTRY(mta_link_t) rest; /* while there is a timer */
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
    char address[100];         /* what is known of the host is under this */
    sender_group_t *group;     /* busy: with what */
    apr_time_t begun;
    int refused;               /* its transaction, as a whole, for now */
    mta_reply_t refusal;
    mta_site_t *left;          /* leaving: whose nleaving it is */
    loop_timer_t *timer;       /* idle */
    mta_link_t *next_dead;
};

/* Groups of one sending domain that wait at a site. */
typedef struct {
    mta_site_t *site;
    apr_int64_t domain_id;
} mta_line_key_t;
typedef struct mta_line_t mta_line_t;
struct mta_line_t {
    APR_RING_ENTRY(mta_line_t) link;
    mta_line_key_t key;        /* in sender_t.lines */
    struct sender_group_ring_t groups;
    int ngroups;
    int left;                  /* groups until the next line has its turn */
};
APR_RING_HEAD(mta_line_ring_t, mta_line_t);

/* A recipients' domain on its way to its site. One block, without a pool:
 * there may be a hundred thousand dead ones in one customer's list. */
typedef struct mta_domain_t mta_domain_t;
struct mta_domain_t {
    APR_RING_ENTRY(mta_domain_t) link; /* of the site's */
    sender_t *s;
    char *key, *name;
    const char *way;           /* what else parts its mail from others' */
    mta_site_t *site;          /* NULL: not known */
    apr_time_t until;          /* the answer holds: mg_ticks() */
    int resolving;
    int failures;              /* of look-ups, in a row */
    apr_time_t closed_until;   /* mg_now() */
    apr_time_t used_at;        /* mg_ticks() */
    struct sender_entry_ring_t waiting; /* for the answer */
    int nwaiting;
};
APR_RING_HEAD(mta_domain_ring_t, mta_domain_t);

/* Small, and without a pool, like a domain. */
struct mta_site_t {
    sender_t *s;
    char *key;
    mta_protocol_t protocol;
    char *name;                /* MX set, or host of a static transport */
    int port, by_mx;
    mta_way_t way;
    int asking;                /* TLSA look-ups that are out */

    /* where it is */
    dns_host_t *hosts;         /* malloc'ed with their names, or NULL */
    int nhosts;                /* at most 64 */
    apr_time_t route_until;    /* mg_ticks() */
    int resolving;
    struct mta_domain_ring_t domains; /* that lead here by MX */

    /* what waits, and who carries it */
    struct mta_line_ring_t lines;     /* the first one has its turn */
    int ngroups, nentries;
    struct mta_link_ring_t links;
    int nlinks, nconnecting;
    int nleaving;              /* said QUIT: the remote still counts them */
    const mg_destination_t *limits;   /* of the configuration, or NULL */
    int window;                /* connections it may have (mta_window.c) */
    int streak;                /* messages since it grew */
    int ceiling;               /* that many worked, one more was refused; or 0 */
    apr_time_t halved_at;      /* last: mg_ticks() */
    apr_time_t probe_at;       /* one more is tried: mg_ticks() */
    apr_interval_time_t probe_wait;
    apr_interval_time_t pace;  /* between messages; 0: none */
    apr_time_t next_at;        /* mg_ticks() */
    loop_timer_t *pace_timer;

    /* how it goes */
    int failures;              /* in a row: closed so many times */
    int mail_refusals;         /* 4xx to MAIL in a row */
    apr_time_t closed_until;   /* mg_now() */
    char *last_reply;          /* of those that made us slower, or NULL */
    int learned;               /* something that is not in the store yet */
    apr_time_t saved_at;       /* mg_ticks() */
    apr_time_t used_at;        /* mg_ticks() */
    int done, done_before;     /* results */
    int rate;                  /* of them in a second, lately */
    apr_time_t moved_at;       /* the last of them, about: mg_ticks(); or 0 */
    int seconds, is_slow;      /* it has had work; it holds its share */

    int is_dirty;
    mta_site_t *next_dirty;
    int in_line;               /* for a connection */
    mta_site_t *next_in_line;
};

/* mta_site.c */
/** The site of MailgunTransport or MailgunLMTP; NULL: the MX records say. */
mta_site_t *mta_site_for(sender_t *s, const mg_delivery_t *delivery,
                         const char *way);
/** by_sts: the certificate must be right, as the domains' policies demand.
 * secure: TLSA records count, which they do not for domains that name the same
 * hosts in records nobody validated. */
mta_site_t *mta_site_by_mx(sender_t *s, const char *mx_set, const char *way,
                           int by_sts, int secure);
/** The entry waits there, or comes back when the site opens. */
void mta_site_add(mta_site_t *site, sender_entry_t *entry);
/** It may not go now: it and all like it come back then. */
void mta_site_hold_off(sender_t *s, sender_entry_t *entry, apr_time_t until,
                       const char *why);
/** A group that is in no line. */
void mta_site_hold_off_all(mta_site_t *site, sender_group_t *group,
                           apr_time_t until);
/** How many entries may wait at one place. */
int mta_site_share(const sender_t *s, int rate);
void mta_site_put_back(mta_site_t *site, sender_group_t *group);

/* mta_route.c */
/** Copies n hosts. until: mg_ticks() */
void mta_route_set(mta_site_t *site, const dns_host_t *hosts, int n,
                   apr_time_t until);
void mta_route_drop(mta_site_t *site);
/** @return whether hosts are known now; if not, the answer will touch us */
int mta_route_known(mta_site_t *site);
/** The site ends: its domains look for it anew. */
void mta_route_leave(mta_site_t *site);
void mta_route_tidy(sender_t *s);
void mta_route_stop(sender_t *s);
void mta_route_forget(sender_t *s);
void mta_route_drop_lost(sender_t *s);

/* mta_line.c */
void mta_line_add(mta_site_t *site, sender_entry_t *entry);
/** As the first of its line. */
void mta_line_put_back(mta_site_t *site, sender_group_t *group);
/** What goes out next; NULL: nothing waits. */
sender_group_t *mta_line_first(const mta_site_t *site);
void mta_line_take_out(mta_site_t *site, sender_group_t *group);
/** Each entry gets its result by fn; the groups are gone. */
typedef void mta_each_fn(sender_t *s, sender_entry_t *e, const void *baton);
void mta_line_resolve_all(mta_site_t *site, mta_each_fn *fn,
                          const void *baton);
/** The same, the newest of the longest lines, until so many entries wait. */
void mta_line_resolve_newest(mta_site_t *site, int keep, mta_each_fn *fn,
                             const void *baton);
/** Waiting entries whose lease was lost are let go. */
void mta_line_drop_lost(sender_t *s);
/** The same of one group, which may be gone then. */
void mta_line_drop_lost_of(mta_site_t *site, sender_group_t *group);

/* mta_window.c */
/** Close it: what waits is put off, or fails. */
void mta_site_fail(mta_site_t *site, const char *reply, int code,
                   int permanent);
#define MTA_REPLY_KEPT 200     /* octets */
void mta_window_start(mta_site_t *site);
/** A domain or host it serves: MailgunDestination may say something. */
void mta_window_limits(mta_site_t *site, const char *name);
int mta_window_max(const mta_site_t *site);
/** Messages per connection. */
int mta_window_messages(const mta_site_t *site);
void mta_window_connected(mta_site_t *site);
void mta_window_delivered(mta_site_t *site);
/** No more connections than those that work. */
void mta_window_refused(mta_site_t *site, const char *reply);
/** A transaction was refused or lost, while others work. */
void mta_window_halve(mta_site_t *site, const char *reply);
/** May one more connection be opened now? */
int mta_window_may_open(mta_site_t *site);
/** May one more message go out now? If not, the time will touch the site. */
int mta_window_may_send(mta_site_t *site);
void mta_window_sent(mta_site_t *site);

/* mta_learned.c */
/** A site is made again: what is known of it counts. */
void mta_learned_recall(mta_site_t *site);
/** A site goes that learned something. */
void mta_learned_keep(mta_site_t *site);
void mta_learned_forget(sender_t *s);

/* mta_pump.c */
/** Something changed: it is looked at when the turn ends. */
void mta_site_touch(mta_site_t *site);

/* mta_room.c */
/** Has the sender room for one more of this site? If not, it may be touched
 * when there is. */
int mta_room_for(mta_site_t *site);
/** Before work is handed out: who waits gets the room there is. */
void mta_room_give(sender_t *s);
/** After it: as many at rest leave as sites wait. */
void mta_room_make(sender_t *s);

/* mta_link.c */
/** Open one connection, to the first host that was not tried in this attempt.
 * @param attempt  NULL: a new one */
void mta_link_open(mta_site_t *site, const mta_attempt_t *attempt);
void mta_link_send(mta_link_t *link, sender_group_t *group);
/** Ready and without work: closes after a while. */
void mta_link_rest(mta_link_t *link);
void mta_link_quit(mta_link_t *link);
#endif
