/* mg_queue.h - deliveries that are due (design 5).
 *
 * A delivery is one recipient by one transport. It stays here from our "250"
 * until it is settled (RFC 5321 6.1). due_at says everything about its state:
 *
 *   due_at <= now   anyone may claim it     due_at > now   leased, or deferred
 *
 * A claim moves due_at ahead by the lease, sets claimed_by and raises claim_no.
 * A worker that dies needs no repair: its leases run out; the master gives
 * them back at once when it sees the death. Results are written WHERE id = ?
 * AND claim_no = ?: no row means that the lease was lost (MG_ELEASE).
 *
 * Claims go round the sending domains (loose index scan), so one customer's
 * million messages do not delay another's password reset.
 */
#ifndef MG_QUEUE_H
#define MG_QUEUE_H

#include <apr_tables.h>
#include "mg_message.h"

typedef struct {
    apr_int64_t id, message_id, account_id, domain_id;
    mg_transport_kind_t transport;
    const char *recipient, *recipient_as_given, *variables;
    const char *dest, *target, *payload, *last_reply;
    apr_time_t due_at;          /* after a claim: when the lease ends */
    apr_time_t created_at;
    apr_time_t expires_at;      /* 0: by MailgunRetryLimit */
    apr_int64_t claimed_by, claim_no;
    int attempts, hold;
} mg_delivery_t;

/** Which statement claims; a worker keeps one per role. Remembers the domain
 * where the last round ended. */
typedef struct mg_claimer_t mg_claimer_t;
mg_claimer_t *mg_claimer_create(apr_int64_t worker_id,
                                const mg_transport_kind_t *transports,
                                int ntransports, apr_interval_time_t lease,
                                apr_pool_t *p);
/** What a domain gets of a claim: its share, where others have 1, and how many
 * rows at most (APR_INT32_MAX: as many as there are). Both are filled in
 * already. */
typedef void mg_claim_share_fn(int *pshare, int *proom, apr_int64_t domain_id,
                               void *baton);
void mg_claimer_shares(mg_claimer_t *claimer, mg_claim_share_fn *share_of,
                       void *baton);
/** Were there more domains with something due than the last claim looked at? It
 * may have claimed nothing all the same, where those had no room. */
int mg_claimer_more(const mg_claimer_t *claimer);
/** A worker's identity: takes a row in `node`. */
apr_status_t mg_worker_register(apr_int64_t *pworker_id, mg_db_t *db,
                                const char *role);
apr_status_t mg_worker_seen(mg_db_t *db, apr_int64_t worker_id);
/** Gives all claims of a worker back (due now) and removes its row. */
apr_status_t mg_worker_gone(int *preleased, mg_db_t *db,
                            apr_int64_t worker_id);

/** Array of mg_delivery_t *; empty if nothing is due. A transaction of its
 * own, or part of the one that is open (then the rows may be worked on once
 * that is committed). */
apr_status_t mg_queue_claim(apr_array_header_t **pclaimed, mg_db_t *db,
                            mg_claimer_t *claimer, int limit, apr_pool_t *p);
/** When something is next due for these transports; 0: never. */
apr_status_t mg_queue_next_due(apr_time_t *pdue, mg_db_t *db,
                               const mg_claimer_t *claimer);

/* In the caller's transaction, together with the event that says why: */
apr_status_t mg_queue_settle(mg_db_t *db, const mg_delivery_t *delivery);
/**
 * Put one delivery off after a temporary failure; attempts grows by one.
 *
 * @param reply  the answer as it came, "451 4.7.1 try later"; or why the
 *               connection failed
 * @return MG_ELEASE
 */
apr_status_t mg_queue_defer(mg_db_t *db, const mg_delivery_t *delivery,
                            const char *reply, apr_time_t due_at);
/** Give back unharmed: due now, attempts as it was. */
apr_status_t mg_queue_release(mg_db_t *db, const mg_delivery_t *delivery,
                              apr_time_t due_at);
/** Half-life: the lease of all these lasts from now on. *plost how many were
 * no longer ours; their claim_no is set to -1. Own transaction. */
apr_status_t mg_queue_renew(int *plost, mg_db_t *db,
                            apr_array_header_t *deliveries,
                            apr_interval_time_t lease);
/** Give up: to dead_letter (http, hook). */
apr_status_t mg_queue_bury(mg_db_t *db, const mg_delivery_t *delivery,
                           const char *reply);
/** A hook is posted for an event; called by mg_event_append. */
apr_status_t mg_queue_add_hook(mg_db_t *db, const mg_delivery_t *hook);

/* --- for people: mailgunctl queue --- */
typedef struct {
    const char *domain;       /* sending domain or NULL */
    apr_int64_t message_id;   /* or 0 */
    const char *transport;    /* or NULL */
    const char *dest;         /* a remote domain, host:port ... or NULL */
} mg_queue_filter_t;
/** In the order of ids, behind after. filter NULL: all. */
apr_status_t mg_queue_list(apr_array_header_t **plist, mg_db_t *db,
                           const mg_queue_filter_t *filter, apr_int64_t after,
                           int limit, apr_pool_t *p);

typedef enum { MG_QUEUE_BY_DOMAIN, MG_QUEUE_BY_DEST, MG_QUEUE_BY_TRANSPORT,
               MG_QUEUE_BY_AGE } mg_queue_by_t;
typedef struct {
    const char *name;
    apr_int64_t all, due, held, in_hand;  /* the rest is put off */
    apr_time_t oldest;                    /* when it was accepted */
} mg_queue_count_t;
/** Array of mg_queue_count_t, the most first (by age: the youngest first). */
apr_status_t mg_queue_counts(apr_array_header_t **pcounts, mg_db_t *db,
                             mg_queue_by_t by, int limit, apr_pool_t *p);

typedef enum {
    MG_QUEUE_HOLD,            /* stays until it is released */
    MG_QUEUE_RELEASE,
    MG_QUEUE_RETRY,           /* what is put off is due now; not what is held.
                                 last_reply is "" then: its destination is
                                 tried even if it is closed */
    MG_QUEUE_DROP             /* with a "dropped" event */
} mg_queue_change_t;
typedef struct {
    apr_int64_t after;        /* how far; 0: from the beginning */
    apr_int64_t changed;
    apr_int64_t in_hand;      /* drop: claimed; held until they come back */
} mg_queue_progress_t;
/** One slice of at most limit rows, in a transaction of its own. */
apr_status_t mg_queue_change(mg_queue_progress_t *progress, int *pmore,
                             mg_db_t *db, const mg_queue_filter_t *filter,
                             mg_queue_change_t change, int limit,
                             apr_pool_t *p);
/** What that would change; the first ones are shown (mg_delivery_t *). */
apr_status_t mg_queue_would(mg_queue_progress_t *progress,
                            apr_array_header_t *shown, int *pmore,
                            mg_db_t *db, const mg_queue_filter_t *filter,
                            mg_queue_change_t change, int limit,
                            apr_pool_t *p);
const char *mg_transport_name(mg_transport_kind_t t);
/** "host:port" of an http or https URL, lower case, the scheme's port where
 * none stands: dest of http and hook. NULL: no such URL. */
char *mg_queue_url_dest(const char *url, apr_pool_t *p);
#endif
