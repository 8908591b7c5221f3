/* smtp_submission.h - a customer's own mail (RFC 6409). */
#ifndef SMTP_SUBMISSION_H
#define SMTP_SUBMISSION_H

#include "smtp_tx.h"

/** Bring the header into the form we store: Date and Message-Id where they
 * lack, no Bcc, our Received on top. Sets tx->head, rest and size.
 * @param pmessage_id  without < > */
smtp_reply_t smtp_submission_fix(smtp_tx_t *tx, apr_size_t header_len,
                                 const char **pmessage_id);
#endif
