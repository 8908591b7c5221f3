/* smtp_look.h - messages that are looked through off the loop.
 *
 * To find the links of html takes 100 us for a kilobyte (mg_link.h): a loop that
 * others wait for has no time for a large one. One thread of a receiver does it,
 * one message after the other, before the message is committed. From
 * smtp_look_add() until it comes back by smtp_commit_looked() a transaction is
 * the thread's (tx->under_way); of it the thread reads the content and the
 * options, and writes only what smtp_submission_look() says.
 */
#ifndef SMTP_LOOK_H
#define SMTP_LOOK_H

#include "smtp_session.h"

typedef struct smtp_look_t smtp_look_t;

/** The thread begins with the first one. */
void smtp_look_add(smtp_server_t *server, smtp_tx_t *tx);
int smtp_look_is_busy(const smtp_server_t *server);

#endif
