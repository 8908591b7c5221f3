/* keeper_bounce.h - what came to addresses of ours is read and booked.
 *
 * A receiver queues it (MG_TRANSPORT_BOUNCE): reading takes no time of its
 * loop, and a report is not lost if we die. Here it is read (mg_dsn.h):
 *
 *   failed       "failed_late" for the message and recipient, once however
 *                often it is repeated; a hard one enters the bounce table, a
 *                soft one that ran out there is "dropped" alone
 *   delayed      "failed_temp", once
 *   a machine's  replies and receipts are swallowed: there may be a million
 *   spam         reports of it (mg_arf.h), here or at MailgunFeedbackAddress:
 *                "complained", once for message and recipient; the complaint
 *                table (keeper_complaint.c)
 *   unsubscribe  whatever came to an address that does so: "unsubscribed"
 *                (keeper_unsubscribe.c)
 *   anything     else goes to the mailbox of that address, or the domain's
 *                postmaster
 */
#ifndef KEEPER_BOUNCE_H
#define KEEPER_BOUNCE_H

#include "worker.h"

typedef struct keeper_bounce_t keeper_bounce_t;

apr_status_t keeper_bounce_create(keeper_bounce_t **pbounce,
                                  worker_t *worker);
/** Some of what waits; *pmore: there is more. */
apr_status_t keeper_bounce_step(keeper_bounce_t *bounce, int *pmore,
                                apr_pool_t *ptemp);
#endif
