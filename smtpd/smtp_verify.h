/* smtp_verify.h - who signed an incoming message (mg_verify.h), where a route
 * may send it on: between its end of data and the look for spam.
 *
 * Keys are asked for all at once, for MailgunARC's sake never longer than five
 * seconds; what DNS does not say by then is a temperror. Bodies are hashed in
 * slices between the turns of the loop. What was found is an
 * Authentication-Results field of ours at the end of each share's header block:
 * routes, applications and mailboxes see it, and the sender seals it
 * (mg_arc.h). Fields that claim to be ours are taken out of what comes in
 * (smtp_inbound.c).
 */
#ifndef SMTP_VERIFY_H
#define SMTP_VERIFY_H

#include "smtp_session.h"

apr_status_t smtp_verify_setup(smtp_server_t *server);
/**
 * The shares of tx are there.
 *
 * @return 1: the session waits in S_COMMIT, and smtp_data_verified() goes on.
 *         0: all there is to say has been said
 */
int smtp_verify_check(smtp_tx_t *tx);
/** Its client left. */
void smtp_verify_forget(smtp_tx_t *tx);

#endif
