/* smtp_submission.c - see smtp_submission.h. RFC 6409 8, RFC 5321 4.4. */
#include <string.h>

#include "mg_id.h"
#include "mg_log.h"
#include "mg_mime.h"
#include "mg_status.h"
#include "mg_time.h"
#include "smtp_session.h"
#include "smtp_submission.h"

smtp_reply_t smtp_submission_fix(smtp_tx_t *tx, apr_size_t header_len,
                                 const char **pmessage_id)
{
    const smtp_session_t *s = tx->session;
    smtp_body_t *body = &tx->body;
    mg_mime_fix_t fix;
    apr_status_t rv;

    memset(&fix, 0, sizeof(fix));
    fix.new_message_id = mg_id_message(s->login.domain, tx->pool);
    fix.received = smtp_tx_received(tx, " ");
    fix.date = mg_now();
    rv = mg_mime_fix_headers(&tx->head, &tx->head_len, pmessage_id, body->buf,
                             header_len, &fix, tx->pool);
    if (rv != APR_SUCCESS)
        return rv == MG_EBADINPUT ? SAY_BAD_HEADER : SAY_TRY_LATER;
    tx->rest = body->buf + header_len;
    tx->rest_len = body->len - header_len;
    return SAY_OK;
}
