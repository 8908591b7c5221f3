/* smtp_tx.h - a transaction: from MAIL to the commit.
 *
 * Recipients of several domains of ours in one transaction become one message
 * each, in one unit: all or nothing. Content over MG_CONTENT_INLINE is written
 * ahead, a stretch per turn of the loop (smtp_tx_t.stored says how far); the
 * unit that accepts the message comes last and makes it visible.
 *
 * What units do runs in the committer's thread (committer.h says what that may
 * use): what they need is made before, by smtp_tx_finish().
 */
#ifndef SMTP_TX_H
#define SMTP_TX_H

#include <apr_hash.h>
#include <apr_ring.h>
#include <apr_tables.h>

#include "mg_dsn_request.h"
#include "mg_group.h"
#include "mg_message.h"
#include "mg_options.h"
#include "mg_render.h"
#include "mg_routing.h"
#include "smtp_body.h"
#include "smtp_reply.h"

struct smtp_session_t;

/** What one domain gets of it. */
typedef struct {
    apr_int64_t account_id, domain_id;
    const char *domain;
    apr_array_header_t *envelopes;   /* of mg_envelope_t */
    char *added;                     /* header lines of ours, behind tx->head */
    apr_size_t added_len, added_room;
    apr_array_header_t *headers;     /* of mg_header_t, those too; incoming */
    int spam_action;                 /* smtp_spam.c's */
    int is_spam;                     /* and goes nowhere */
    mg_message_t message;
} smtp_share_t;

/** One recipient, from RCPT on. */
typedef struct {
    mg_wanted_t wanted;
    mg_dsn_rcpt_t dsn;
} smtp_rcpt_t;

/** Written ahead in one turn, at most. */
#define SMTP_STRETCH (2 * MG_CONTENT_SLICE)

typedef struct smtp_tx_t smtp_tx_t;
struct smtp_tx_t {
    APR_RING_ENTRY(smtp_tx_t) link;  /* ready or storing */
    struct smtp_session_t *session;
    apr_pool_t *pool;
    const char *sender;              /* bare, "" for the null sender */
    int utf8, eightbit;
    mg_dsn_mail_t dsn;
    int incoming;                    /* nobody logged in */
    apr_int64_t id;                  /* the first message's; in Received: */
    int refused;                     /* RCPTs */
    apr_int64_t nobody_account, nobody_domain; /* of the last RCPT, where the
                                      * domain is ours and has no such user */
    apr_hash_t *seen;                /* recipients, from the second on */
    const char *first_key;           /* the first recipient */
    apr_array_header_t *rcpts;       /* of smtp_rcpt_t * */
    apr_array_header_t *shares;      /* of smtp_share_t *; from the end of data */
    smtp_body_t body;
    /* the content: head, the share's added, rest, then the body's file */
    const char *head, *rest;
    apr_size_t head_len, rest_len;
    apr_int64_t size;                /* of all of it, without added */
    int ahead;                       /* it is too large for the unit */
    int share_no;                    /* which share's content is written */
    apr_int64_t stored;              /* of it, octets */
    int conflicts;                   /* ids that were taken */
    apr_time_t now;                  /* of the end of data */
    const apr_array_header_t *headers; /* of mg_header_t; of what is sent */
    const char *message_id;
    struct smtp_verifying_t *verifying; /* signatures (smtp_verify.h) */
    struct spamc_check_t *spam_check; /* spamd is asked (smtp_spam.h) */
    const char *return_path;         /* what is said above the content then */
    apr_array_header_t *dropped;     /* of smtp_rcpt_t *: spam; NULL: none */
    /* smtp_submission.c, of what is not incoming */
    mg_options_t *options;
    const char *why;                 /* it was refused; NULL: see the reply */
    mg_render_track_t track;         /* what of it is tracked */
    mg_render_scan_t *scan;          /* content that goes ahead */
    apr_int64_t scanned;             /* of it, octets */
    apr_pool_t *look_pool;           /* it is looked through off the loop */
    struct smtp_tx_t *look_next;     /* smtp_look.c's */
    int is_looked;
    apr_status_t look_rv;
    const char *look_error;
    int is_complete;                 /* smtp_submission_complete() came */
    apr_status_t completed;          /* and said that */
    int under_way;                   /* all of it is another thread's */
    mg_unit_t unit;
};

smtp_tx_t *smtp_tx_create(struct smtp_session_t *s, const char *sender);
/**
 * One recipient more; a repeated one is taken once.
 * @param dsn  what the sender wants to be told of it
 * @return SAY_RECIPIENT_OK or what to refuse it with
 */
smtp_reply_t smtp_tx_recipient(smtp_tx_t *tx, const mg_address_t *address,
                               const mg_dsn_rcpt_t *dsn);
/** DATA was taken: the body begins. */
void smtp_tx_begin_body(smtp_tx_t *tx);
/** The body is whole: read its header.
 * @return SAY_OK or what to refuse it with */
smtp_reply_t smtp_tx_read(smtp_tx_t *tx);
/** Make messages of it. @return as before */
smtp_reply_t smtp_tx_finish(smtp_tx_t *tx);
/** len octets of what came from offset on, without fields of ours. */
apr_status_t smtp_tx_original(const smtp_tx_t *tx, apr_int64_t offset,
                              char *to, apr_size_t len);
/** len octets of the content from offset on. */
apr_status_t smtp_tx_content(smtp_tx_t *tx, apr_int64_t offset, char *to,
                             apr_size_t len);
/** The unit that comes next: a stretch of content, or all the rest. */
mg_unit_t *smtp_tx_unit(smtp_tx_t *tx);
/** That unit was committed. @return 1: it was the last */
int smtp_tx_advance(smtp_tx_t *tx);
/** An id was taken: other ones, and the content from its beginning. What
 * Received: says stays. */
void smtp_tx_draw_anew(smtp_tx_t *tx);
/** What our 250 says. */
const char *smtp_tx_name(const smtp_tx_t *tx);

/** A domain more that gets it. */
smtp_share_t *smtp_tx_add_share(smtp_tx_t *tx, apr_int64_t account_id,
                                apr_int64_t domain_id, const char *domain);
/** Deliveries by mail, from the first on, carry what the sender asked for. */
void smtp_tx_request_dsn(apr_array_header_t *envelopes, int first,
                         const mg_dsn_rcpt_t *dsn, apr_pool_t *p);
/** Add what MAIL asked of DSNs to options. */
void smtp_tx_dsn_option(const smtp_tx_t *tx, json_t *options);

/** The body of a Received: field; fold: what stands where it may be folded. */
char *smtp_tx_received(const smtp_tx_t *tx, const char *fold);
#endif
