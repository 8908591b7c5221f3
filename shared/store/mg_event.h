/* mg_event.h - what happened to a message, appended in the transaction that
 * makes it true.
 *
 * Log, statistics, suppressions and webhooks follow from this one append
 * (mg_event_append): it writes the event row, adds to the counters of the batch
 * (written in key order just before COMMIT, into this process's slot), enters
 * who complained or unsubscribed in the domain's table and, where the domain
 * has a webhook for the kind, adds a row for the notifier.
 *
 * kind          when                              log line ("hap", type)
 * accepted      our 200 or 250, one per recipient   accepted      info
 *               the same of incoming mail           received      info
 * delivered     the remote's 250                    delivered     info
 * failed_temp   put off                             tempfail      warn
 * failed        refused for good                    bounced       error
 * failed_late   taken by the remote, whose report
 *               came back; there is no delivery     bounced       error
 * dropped       given up: refused, often enough
 *               tried, or suppressed                dropped       error
 * opened        the pixel was fetched               opened        info
 * clicked       a link was followed                 clicked       info
 * unsubscribed  the recipient wants no more         unsubscribed  info
 * complained    the recipient calls it spam         complained    warn
 * stored        kept for the customer (store())     stored        info
 *
 * Of incoming mail only:
 *
 * refused       at RCPT or the end of data; there
 *               is no message                       refused       warn
 * spam_dropped  taken, and thrown away as spam      spamdrop      warn
 * routed        a route matched                     routed        info
 * posted        a route's forward was taken         forwarded     info
 * forward_failed   ... was given up                 forwardfail   error
 * mailbox       put in a mailbox                    mailbox       info
 * list_expanded a list's members get it             expanded      info
 */
#ifndef MG_EVENT_H
#define MG_EVENT_H

#include <apr_tables.h>
#include "mg_domain.h"
#include "mg_queue.h"

typedef enum {
    MG_EVENT_ACCEPTED, MG_EVENT_DELIVERED, MG_EVENT_FAILED_TEMP,
    MG_EVENT_FAILED, MG_EVENT_DROPPED, MG_EVENT_POSTED, MG_EVENT_FAILED_LATE,
    MG_EVENT_OPENED, MG_EVENT_CLICKED, MG_EVENT_UNSUBSCRIBED,
    MG_EVENT_COMPLAINED, MG_EVENT_STORED,
    MG_EVENT_REFUSED, MG_EVENT_SPAM_DROPPED, MG_EVENT_ROUTED,
    MG_EVENT_FORWARD_FAILED, MG_EVENT_MAILBOX, MG_EVENT_LIST_EXPANDED,
    MG_EVENT_MAX
} mg_event_kind_t;

typedef struct {
    apr_int64_t id;               /* 0: one is drawn. Who may have to ask
                                   * whether it was committed draws it before,
                                   * by mg_id_next(), as close to the commit as
                                   * can be: readers trust that old ids are
                                   * there */
    mg_event_kind_t kind;
    apr_int64_t account_id, domain_id;
    apr_int64_t message_id, delivery_id;  /* 0 where there is none */
    int direction;                /* of its message */
    int testmode;                 /* nothing was sent: so say log, detail and
                                   * webhook; counted as "<kind>.test" */
    int notice;                   /* its message is a report of ours: counted
                                   * as "<kind>.notice", no webhook */
    int machine;                  /* opened, clicked: nobody has seen it (link
                                   * scanners, mail proxies): so say log and
                                   * detail; counted as "<kind>.machine" */
    apr_time_t at;                /* 0: now; before, for what was kept in a
                                   * journal while the store was down */
    const char *recipient;        /* bare */
    const char *recipient_as_given;
    const char *variables;        /* JSON, the recipient's own; or NULL */
    const char *sender, *subject; /* of its message, for the log line */
    const apr_array_header_t *tags;       /* of const char *, as given; NULL: */
    const apr_array_header_t *campaigns;  /* none. Public ids of campaigns */
    const char *mailing_list;     /* its address, or NULL */
    apr_int64_t list_id;          /* its reports are under this; 0 */
    int code;                     /* SMTP reply code or ours (498, 605 ...) */
    const char *reply;            /* the remote's words, or NULL */
    const char *mx;               /* who said it, or NULL */
    /* with an mx: how it was reached. tls: "TLSv1.3", NULL in clear; policy:
     * what it was held to; verified: the certificate, for the mx's name */
    const char *tls, *tls_cipher, *tls_policy;
    int verified;
    int utf8;                     /* it offers SMTPUTF8 */
    apr_interval_time_t session;  /* what its transaction took; 0: unknown */
    const char *sending_ip;       /* our address, or NULL */
    const char *bounce_class;     /* failed, failed_temp: mg_bounce.h; NULL */
    const char *notify;           /* delivered: what RFC 3461 NOTIFY asked for,
                                     for a report that may come later; NULL */
    const char *reason;           /* dropped, failed: "hardfail", "maxfails",
                                   * "operator"; NULL */
    int attempt;
    apr_interval_time_t retry_in; /* failed_temp: until the next try */
    /* opened, clicked, unsubscribed: who did it, each NULL if unknown */
    const char *ip, *user_agent;
    const char *client_type, *client_name, *client_os;
    const char *device_type;      /* desktop, mobile, tablet, other, unknown */
    const char *country;          /* "US" */
    const char *region, *city;
    const char *url;              /* clicked: where to; posted: where
                                   * to; stored: its key (mg_stored.h) */
    const char *tag;              /* unsubscribed: from which, one a line;
                                   * "*": all; NULL: all, or with a mailing_list
                                   * only that */
    /* failed_late, complained: the message, or its header, as the report that
     * came shows it, for the webhook; NULL: it does not */
    const char *original;
    apr_size_t original_len;
} mg_event_t;

/** What the append needs to know of its process. One per db connection. */
void mg_event_context(mg_db_t *db, mg_domain_cache_t *domains, int stat_slot);

/** One event; of outgoing mail a "failed" or "failed_late" is followed by the
 * "dropped" that each recipient has who is given up (reason "hardfail" where
 * none is said). Inside of a transaction. */
apr_status_t mg_event_append(mg_db_t *db, const mg_event_t *event,
                             apr_pool_t *ptemp);
/** mg_event_t with what it has from its message: options are read once for
 * many recipients. */
mg_event_t mg_event_from(const mg_message_t *message, apr_pool_t *p);
/** mg_event_t filled from a delivery and its message (NULL: forgotten). Of
 * incoming mail "delivered" and "failed" become "mailbox", "posted" and
 * "forward_failed", as the transport was. */
mg_event_t mg_event_of(mg_event_kind_t kind, const mg_delivery_t *delivery,
                       const mg_message_t *message, apr_pool_t *p);
/** The same where there is no delivery any more: opens, clicks, complaints.
 * What only the delivery knew (the recipient's own variables) is taken from
 * the event that it was delivered; none is no error. */
apr_status_t mg_event_of_message(mg_event_t *event, mg_event_kind_t kind,
                                 mg_db_t *db, const mg_message_t *message,
                                 const char *recipient, apr_pool_t *p);

/** Are webhooks told of what machines did (MailgunHookMachines)? Said once per
 * process. */
void mg_event_hook_machines(int too);

/** Where a domain wants that event ("bounced") posted to, or NULL. */
const char *mg_event_hook_url(const mg_domain_t *domain, const char *event);

/** One row of GET /<domain>/log. */
typedef struct {
    const char *hap, *type, *message, *message_id;
    apr_time_t created_at;
} mg_log_item_t;
/** Newest first; array of mg_log_item_t; *ptotal from the counters. */
apr_status_t mg_event_log(apr_array_header_t **pitems, apr_int64_t *ptotal,
                          mg_db_t *db, apr_int64_t domain_id,
                          apr_int64_t skip, apr_int64_t limit, apr_pool_t *p);

/* --- fsck --- */
typedef struct {
    const char *problem;   /* in words, with ids */
} mg_fsck_finding_t;
/** accepted = delivered + failed + dropped + queued for each message, content
 * without message, deliveries without message or content, usage against
 * reservations, ...  *pcounts: lines to print (const char *); *pfindings: of
 * mg_fsck_finding_t. */
apr_status_t mg_fsck(apr_array_header_t **pfindings,
                     apr_array_header_t **pcounts, mg_db_t *db,
                     apr_pool_t *p);
#endif
