/* smtp_submission.h - a customer's own mail (RFC 6409).
 *
 * Whatever the API can be asked for has its header field here (mg_options.h),
 * or its own content type (mg_mime_batch.h).
 */
#ifndef SMTP_SUBMISSION_H
#define SMTP_SUBMISSION_H

#include "smtp_tx.h"

/**
 * Read the options, and bring the header into the form we store: Date and
 * Message-Id where they lack, no Bcc, Sender, our Received on top. Sets
 * tx->head, rest, headers, options and, of what it refuses, why.
 *
 * @param headers  of what came
 * @param pmessage_id  without < >
 */
smtp_reply_t smtp_submission_fix(smtp_tx_t *tx,
                                 const apr_array_header_t *headers,
                                 apr_size_t header_len,
                                 const char **pmessage_id);
/** What the options say becomes the message's: at once, or, if its content
 * goes ahead or is looked through elsewhere, when that is done. */
smtp_reply_t smtp_submission_begin(smtp_tx_t *tx, mg_message_t *m);
/** Find variables and links; off the loop where tx->look_pool is set, before
 * smtp_submission_complete() (smtp_look.h). Writes tx->look_*, is_looked, track
 * and the options' JSON, takes memory from look_pool only. */
void smtp_submission_look(smtp_tx_t *tx);
/** Content went to the store, in its order; what is repeated counts once. Any
 * thread, one at a time. */
void smtp_submission_stored(smtp_tx_t *tx, apr_int64_t offset,
                            const char *bytes, apr_size_t len);
/** All of it did. @return MG_EBADINPUT, and tx->why */
apr_status_t smtp_submission_complete(smtp_tx_t *tx, mg_message_t *m);
#endif
