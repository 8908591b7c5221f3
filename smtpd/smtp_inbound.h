/* smtp_inbound.h - from the end of data of incoming mail to its commit.
 *
 *  1. the body is sound                    smtp_data_verdict()
 *  2. the header: hops, and no fields in it that only we may set
 *                                          smtp_inbound_header()
 *  3. a share for each of our domains that it is for, with our own fields at
 *     the end of its header block          smtp_inbound_shares()
 *  4. is it spam, where a domain wants to know  smtp_spam.h: asynchronous
 *  5. who gets it: mailbox, routes; recipients whom nothing wants, now that the
 *     header fields are known, are in the domain's log. If nothing wants any,
 *     the answer is 550 and nothing is stored: there is never a DSN of it
 *                                          smtp_inbound_decide()
 *  6. the commit                           receiver_commit.c
 *
 * RCPT asked before whether anything could want a recipient (smtp_tx.c).
 */
#ifndef SMTP_INBOUND_H
#define SMTP_INBOUND_H

#include "smtp_tx.h"

/** Sets tx->head, rest and headers of what came. */
void smtp_inbound_header(smtp_tx_t *tx, const apr_array_header_t *headers,
                         apr_size_t header_len);
/** Sets tx->shares; their fields are seen by routes. */
void smtp_inbound_shares(smtp_tx_t *tx);
/** One more field of ours for this share. */
void smtp_inbound_add(smtp_tx_t *tx, smtp_share_t *share, const char *name,
                      const char *value);
/** Fills the envelopes of shares; of those that nobody in them wants nothing is
 * left.
 * @return SAY_OK, SAY_UNKNOWN_USER, SAY_LOOP, SAY_TRY_LATER */
smtp_reply_t smtp_inbound_decide(smtp_tx_t *tx);
#endif
