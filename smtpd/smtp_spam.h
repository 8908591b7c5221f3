/* smtp_spam.h - incoming mail is looked at for spam: between its end of data and
 * the decision who gets it (smtp_inbound.h).
 *
 * A domain's setting spam_action (user manual, "Spam Filter"; api-reference 3):
 *
 *   disabled  nothing is asked
 *   tag       X-Mailgun-SFlag, -SScore, -SPF, -Dkim-Check-Result, -Spam-Rules
 *             at the end of its copy's header block; routes see them
 *   block     spam gets our 250, a row in the domain's log (spam_dropped), and is
 *             gone; what is no spam is delivered as it came
 *
 * spamd is asked once per message, however many domains want it. Mail to the
 * keeper's addresses is never spam: reports of bounces and of spam show some.
 * Where spamd could not be asked the message passes with
 * "X-Mailgun-Spam-Check: skipped; <why>", and is counted
 * (MG_GAUGE_SPAM_UNCHECKED).
 *
 * Fields of these names that came from outside are taken out before
 * (smtp_inbound_header()).
 */
#ifndef SMTP_SPAM_H
#define SMTP_SPAM_H

#include "smtp_session.h"

apr_status_t smtp_spam_setup(smtp_server_t *server);
/**
 * The shares of tx are there.
 *
 * @return 1: spamd was asked; the session waits in S_COMMIT, and
 *         smtp_data_checked() goes on. 0: all there is to say has been said
 */
int smtp_spam_check(smtp_tx_t *tx);
/** Its client left. */
void smtp_spam_forget(smtp_tx_t *tx);
/** Is nothing of it to be kept for that recipient? Then it was noted. */
int smtp_spam_drops(smtp_tx_t *tx, const smtp_share_t *share,
                    const smtp_rcpt_t *rcpt);
/** The events of those, inside of the message's unit. */
apr_status_t smtp_spam_append(mg_db_t *db, const smtp_tx_t *tx,
                              apr_pool_t *ptemp);
/** How they were told: the log line. */
void smtp_spam_log(const smtp_session_t *s);

#endif
