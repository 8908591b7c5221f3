/* notice.h - whoever sent a message by SMTP is told what became of it
 * (RFC 3461, 3464).
 *
 *   failed     unless NOTIFY says NEVER, or leaves FAILURE out
 *   delayed    after NOTICE_DELAY, once, if NOTIFY says DELAY
 *   delivered, relayed   if NOTIFY says SUCCESS: into a mailbox of ours; by a
 *              remote server, which we write to under a sender of our own, so
 *              that what it would report would come to us
 *
 * Never to a null sender, so nothing goes round; never for what came by the
 * API, which has events. A notice is a message of its own (method "dsn", null
 * sender), routed as any: a hosted sender gets it into the mailbox. It is made
 * ready before the transaction that settles the delivery, and committed in it.
 */
#ifndef NOTICE_H
#define NOTICE_H

#include "mg_dsn_write.h"
#include "mg_queue.h"
#include "mg_routing.h"

#define NOTICE_DELAY apr_time_from_sec(4 * 3600)
#define NOTICE_METHOD MG_METHOD_NOTICE
#define NOTICE_AN_HOUR 20  /* to one address, about mail from outside */

typedef struct {
    apr_pool_t *pool;
    mg_message_t message;     /* ids are drawn as it is accepted */
    const char *payload;      /* delayed: the delivery's from now on; or NULL */
    apr_int64_t delivery_id;
} notice_t;

/** What became of it. */
typedef struct {
    mg_dsn_says_t says;
    const mg_message_t *message;
    const char *recipient, *payload;
    apr_int64_t delivery_id;
    apr_time_t created_at;
    const char *reply, *mx;   /* or NULL */
    apr_time_t until;         /* delayed */
} notice_about_t;

/** Is there somebody to be told? Cheap: for each result. */
int notice_is_wanted(const notice_about_t *about, apr_time_t now,
                     apr_pool_t *ptemp);
/** In a pool of its own below p, that the caller destroys.
 * @return MG_EADDRESS, MG_ELIMIT (NOTICE_AN_HOUR): nobody is told */
apr_status_t notice_make(notice_t **pnotice, mg_db_t *db,
                         mg_routing_t *routing, const char *hostname,
                         const notice_about_t *about, apr_pool_t *p);
/** Inside the transaction. */
apr_status_t notice_accept(mg_db_t *db, notice_t *notice, apr_pool_t *ptemp);
#endif
