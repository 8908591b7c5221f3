/* keeper_bounce_private.h - between the files that read what came to addresses
 * of ours (keeper_bounce.h). */
#ifndef KEEPER_BOUNCE_PRIVATE_H
#define KEEPER_BOUNCE_PRIVATE_H

#include "keeper_bounce.h"
#include "mg_arf.h"
#include "mg_dsn.h"
#include "mg_event.h"
#include "mg_group.h"
#include "mg_queue.h"
#include "mg_routing.h"
#include "mg_track.h"
#include "mg_verp.h"

struct keeper_bounce_t {
    worker_t *worker;
    mg_claimer_t *claimer;
    mg_routing_t *routing;      /* of notices */
    const mg_track_keys_t *tracking; /* of addresses that unsubscribe */
    unsigned char verp_key[32];
};

/* Where it came to. */
typedef enum {
    REPORT_TO_SENDER,           /* a VERP sender of ours */
    REPORT_TO_FEEDBACK,         /* MailgunFeedbackAddress */
    REPORT_TO_UNSUBSCRIBE       /* an address that unsubscribes */
} report_to_t;

/* What will become of it. */
typedef enum {
    REPORT_SWALLOW, REPORT_BOUNCE, REPORT_COMPLAINT, REPORT_UNSUBSCRIBE,
    REPORT_TO_PERSON            /* what we cannot read */
} report_act_t;

/* One under way: read first, then booked in a transaction. */
typedef struct {
    keeper_bounce_t *owner;
    const mg_delivery_t *row;   /* of who sent it: a customer may, too */
    apr_int64_t domain_id;      /* of the address it came to; 0: gone */
    apr_int64_t account_id;
    report_to_t to;
    report_act_t act;
    const char *said;           /* for the log: what it is */
    mg_message_t *about;        /* the message it is about; NULL: forgotten,
                                 * or nothing proves which */
    mg_verp_t verp;
    mg_dsn_t dsn;
    mg_arf_t arf;
    const char *from;           /* unsubscribe: who wrote it, or "" */
    mg_track_mail_t mail;       /* unsubscribe */
    mg_unit_t unit;
    int booked, lost;
} report_t;

/* keeper_bounce_book.c */

/** Recipients that a message was accepted for; array of const char *. */
apr_status_t keeper_recipients_of(apr_array_header_t **plist, mg_db_t *db,
                                  apr_int64_t message_id, apr_pool_t *p);
/** A copy of its own: whose. NULL: nobody's among them */
const char *keeper_whose_copy(const report_t *r,
                              const apr_array_header_t *recipients);
/** A shared copy: those who may have got it. */
apr_array_header_t *keeper_whose_shared(const report_t *r,
                                        apr_array_header_t *recipients,
                                        apr_pool_t *p);
/** The message's row, locked: nobody else books about it meanwhile. */
apr_status_t keeper_lock_message(mg_db_t *db, apr_int64_t id);
apr_status_t keeper_bounce_book(report_t *r, mg_db_t *db, apr_pool_t *p);

/* keeper_complaint.c */

/** Sets act. Came to MailgunFeedbackAddress: also which message. */
apr_status_t keeper_complaint_read(report_t *r, mg_db_t *db, apr_pool_t *p);
apr_status_t keeper_complaint_book(report_t *r, mg_db_t *db, apr_pool_t *p);

/* keeper_unsubscribe.c */

/** @param bytes, len  the mail's beginning */
apr_status_t keeper_unsubscribe_read(report_t *r, mg_db_t *db,
                                     const char *bytes, apr_size_t len,
                                     apr_pool_t *p);
apr_status_t keeper_unsubscribe_book(report_t *r, mg_db_t *db, apr_pool_t *p);

#endif
