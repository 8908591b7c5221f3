/* sender.h - the sender role's own types: what is claimed, where it goes.
 *
 *   entry   one claimed delivery (a row of the queue, under our lease)
 *   group   entries of one message that go out as one transaction
 *   message the message of some entries: its row, and its content if small
 *   site    a destination with its connections (mta_site.h)
 *   result  what became of an entry, until that is committed
 *
 * An entry is always in one of these places: in a waiting group of a site, in
 * a running group of a connection, or among the results. It leaves memory when
 * its result is committed, or when its lease was lost while it waited.
 */
#ifndef SENDER_H
#define SENDER_H

#include <apr_hash.h>
#include <apr_ring.h>

#include "dns.h"
#include "mg_bounce.h"
#include "mg_event.h"
#include "mg_group.h"
#include "mg_queue.h"
#include "mg_sending.h"
#include "mta_client.h"
#include "notice.h"
#include "sts.h"
#include "sender_copy.h"
#include "worker.h"

typedef struct sender_t sender_t;
typedef struct sender_entry_t sender_entry_t;
typedef struct sender_group_t sender_group_t;
typedef struct mta_site_t mta_site_t;
typedef struct mta_link_t mta_link_t;
APR_RING_HEAD(mta_link_ring_t, mta_link_t);

typedef struct sender_message_t {
    apr_int64_t id;
    apr_pool_t *pool;          /* from when it is read */
    int refs;
    enum { SENDER_UNREAD, SENDER_THERE, SENDER_GONE } state;
    const mg_message_t *row;   /* bytes: the whole content, or NULL */
    const char *signature;     /* DKIM fields of the shared copy, once made */
    mg_sending_t sending;      /* its options */
    mg_template_t *parsed;     /* once the first copy is rendered */
} sender_message_t;

/* A sending domain of which something is held. */
typedef struct {
    apr_int64_t domain_id;
    int nheld;
} sender_owner_t;

typedef enum {
    SENDER_DELIVERED, SENDER_DEFERRED, SENDER_FAILED, SENDER_DROPPED,
    SENDER_RELEASED, SENDER_VERDICTS
} sender_verdict_t;

/** Why it is dropped, in the manual's words. */
#define SENDER_HARDFAIL "hardfail"  /* the recipient is suppressed */
#define SENDER_MAXFAILS "maxfails"  /* tried often enough */

struct sender_entry_t {
    APR_RING_ENTRY(sender_entry_t) held;  /* all there are */
    APR_RING_ENTRY(sender_entry_t) link;  /* its group, or the results */
    mg_delivery_t row;
    sender_message_t *message;
    sender_owner_t *owner;
    apr_time_t lease_until;               /* mg_ticks() */
    int lost;                             /* the lease went to another */
    int running;                          /* in a transaction, or done */
    mg_stage_t stage;                     /* where it was refused */
    /* the result */
    sender_verdict_t verdict;
    mg_bounce_t bounce;                   /* deferred, failed */
    const char *reason;                   /* dropped; a literal */
    notice_t *notice;                     /* to its sender, or NULL */
    int code, tries;
    char *reply, *mx;                     /* malloc'ed together, at reply */
    mta_via_t via;                        /* with an mx: how it was reached */
    apr_interval_time_t session;          /* and how long it took */
    apr_time_t due_at;
    mg_unit_t unit;
};
APR_RING_HEAD(sender_entry_ring_t, sender_entry_t);

struct sender_group_t {
    APR_RING_ENTRY(sender_group_t) link;  /* a site's waiting ones */
    struct sender_entry_ring_t entries;
    int n;
    sender_message_t *message;
    apr_int64_t domain_id;                /* that sends it */
    /* while it runs */
    apr_pool_t *pool;
    sender_t *sender;
    mta_job_t job;
    char from[160];                       /* lines on top: our address, whose
                                           * copy it is */
    int from_said;
    sender_copy_t *copy;
    int delivered;
};
APR_RING_HEAD(sender_group_ring_t, sender_group_t);

#define SENDER_GROUP_MAX 100              /* RCPTs of a transaction */

struct sender_t {
    worker_t *worker;
    loop_t *loop;
    mg_db_t *db;
    const mg_config_t *config;
    apr_pool_t *pool;
    dns_t *dns;
    SSL_CTX *tls;
    sts_t *sts;                /* NULL: MailgunMTASTS off */
    int sts_loaded;
    unsigned char verp_key[32];
    mg_routing_t *routing;     /* of notices */
    struct sender_signers_t *signers; /* sender_sign.h */

    /* claiming */
    mg_claimer_t *claimer;
    int want_claim;            /* the bell rang, or more is due */
    int held_back;             /* a domain has more than it may hold; when
                                * this many are held it is looked at again */
    apr_time_t claimed_at;     /* mg_ticks() */
    loop_timer_t *claim_timer;

    /* what is held (sender_queue.c) */
    struct sender_entry_ring_t held;
    int nheld;
    apr_hash_t *owners;        /* domain id -> sender_owner_t */
    apr_hash_t *messages;      /* id -> sender_message_t */
    apr_int64_t content_bytes; /* cached content */
    apr_size_t template_bytes, copy_bytes; /* sender_copy.c */
    int copies_full;           /* nothing is begun until a copy is gone */
    apr_pool_t *mailbox_pool;  /* mailbox id -> address */
    apr_hash_t *mailboxes;
    apr_uint32_t mailbox_generation;

    /* results (sender_result.c) */
    struct sender_entry_ring_t results;
    int nresults;
    apr_time_t results_since;  /* mg_ticks() */
    apr_interval_time_t commit_took;
    loop_timer_t *commit_timer;
    loop_job_t commit_job;
    int store_down;
    int outage;                /* failed attempts in a row */

    /* what the operator holds (sender_hold.c) */
    apr_uint32_t hold_generation;
    apr_time_t hold_looked;    /* mg_ticks() */

    /* destinations (mta_site.h) */
    apr_hash_t *sites;         /* key -> mta_site_t */
    apr_hash_t *mx_domains;    /* name -> mta_domain_t */
    apr_hash_t *lines;         /* site and sending domain -> mta_line_t */
    apr_hash_t *hosts;         /* address -> what is known of it */
    apr_pool_t *hosts_pool;
    apr_hash_t *notes;         /* of sites that are gone (mta_learned.c) */
    int nbusy;                 /* sites where something waits */
    int connections;           /* open or opening */
    struct mta_link_ring_t resting; /* of them; the longest first */
    int nresting;
    int nleaving;              /* of them: said QUIT */
    mta_site_t *room_line, **room_line_end; /* wait for one (mta_room.c) */
    int nroom_line;
    int running;               /* groups in a transaction */
    int waiting;               /* groups, and entries without a site, that
                                * wait */
    mta_site_t *dirty;         /* sites to look at when the turn ends */
    mta_link_t *dead_links;    /* to be freed then */

    apr_hash_t *warmups;       /* by sending domain (sender_warmup.c) */

    /* rows of closed destinations (sender_move.c) */
    apr_hash_t *moves;         /* domain and destination -> sender_move_t */
    struct sender_move_t *moves_first, **moves_end; /* that have more to do */
    loop_timer_t *moves_timer;
    loop_job_t moves_job;
};

/* --- sender_queue.c: what is held --- */

/** Takes over a claimed delivery (copied). */
sender_entry_t *sender_hold(sender_t *s, const mg_delivery_t *delivery,
                            apr_time_t lease_until);
/** Its end: it is in no group and has no result to commit. */
void sender_let_go(sender_t *s, sender_entry_t *entry);
/** Leases that are past their half get a whole one. Those that were lost are
 * marked; the waiting ones among them are let go. */
apr_status_t sender_renew(sender_t *s);
/** The same, some of them. *pmore: there may be others. */
apr_status_t sender_renew_some(sender_t *s, int *pmore);
/** May a transaction begin with this lease? */
int sender_lease_is_good(const sender_t *s, const sender_entry_t *entry);

/** Puts a message that was not read yet on a list of up to
 * MG_MESSAGES_AT_ONCE, once. */
void sender_list_unread(sender_message_t **list, int *pn, sender_message_t *m);
/** Reads rows, and content where that is small, of n messages at once; none
 * of them twice. */
apr_status_t sender_read_messages(sender_t *s, sender_message_t **messages,
                                  int n);

sender_group_t *sender_group_make(sender_t *s, sender_entry_t *first);
int sender_group_takes(const sender_group_t *group,
                       const sender_entry_t *entry);
void sender_group_add(sender_group_t *group, sender_entry_t *entry);
/** The group keeps so many entries. @return a group of the others, or NULL */
sender_group_t *sender_group_cut(sender_group_t *group, int keep);
/** Once the message was read: where each recipient has a copy of his own, the
 * group keeps its first entry. @return as sender_group_cut() */
sender_group_t *sender_group_split(sender_group_t *group);
/** Without its entries: they are elsewhere. */
void sender_group_free(sender_group_t *group);

/* --- sender_job.c: a group becomes a transaction --- */

/**
 * Fills group->job. Recipients that cannot be sent to get their result here.
 * @return APR_SUCCESS: send it; APR_ENOENT: no recipient is left, free the
 *         group; else the store failed: try again later
 */
apr_status_t sender_job_make(sender_t *s, sender_group_t *group);

/** Which of our addresses it goes out from is known when it does: it stands in
 * a line on top, X-Mailgun-Sending-Ip, which nothing signs; beside it what
 * proves whose copy it is, where a report of spam hides that (mg_verp.h). */
void sender_job_from(sender_group_t *group, const char *ip);

/* --- sender_result.c: what became of it --- */

/** The entry leaves its group. reply NULL: none; mx: who said it, or NULL. */
void sender_delivered(sender_t *s, sender_entry_t *entry, const char *reply,
                      int code, const char *mx);
/** Permanent. What is temporary all the same (a full mailbox: mg_bounce.h) is
 * put off. */
void sender_failed(sender_t *s, sender_entry_t *entry, const char *reply,
                   int code, const char *mx);
/** Given up. @param reason  SENDER_HARDFAIL, SENDER_MAXFAILS */
void sender_dropped(sender_t *s, sender_entry_t *entry, int code,
                    const char *why, const char *reason);
/** Temporary; given up if it would come due after its last day. */
void sender_deferred(sender_t *s, sender_entry_t *entry, const char *reply,
                     int code, const char *mx);
/** Unharmed, due at that time. */
void sender_released(sender_t *s, sender_entry_t *entry, apr_time_t due_at);
/** At the end of each turn: commits when it is time. */
void sender_results_check(sender_t *s);
/** @return whether the store works */
int sender_store_works(sender_t *s, apr_status_t rv);

/* --- sender_suppress.c --- */

/** Claims whose recipient is suppressed are dropped: NULL in the array then.
 */
void sender_suppress(sender_t *s, apr_array_header_t *claimed,
                     apr_time_t lease_until, apr_pool_t *p);

/* --- sender_hold.c --- */

/** Did the operator say "retry"? Then no back-off keeps it. */
int sender_is_asked_for(const sender_entry_t *entry);
/** Each second: does the operator want something back? */
void sender_look_for_held(sender_t *s);

/* --- sender_sts.c: MTA-STS policies --- */

apr_status_t sender_sts_create(sender_t *s);
/** Those of the store, once it works. */
void sender_sts_load(sender_t *s);

/* --- sender.c --- */

/** Things changed while stopping: is everything done? */
void sender_check_done(sender_t *s);

#endif
