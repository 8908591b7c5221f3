/* smtp_cmd_rcpt.c - RCPT (RFC 5321 4.1.1.3).
 *
 *   "RCPT TO:" ("<Postmaster@" Domain ">" / "<Postmaster>" / Forward-Path)
 *   [SP Rcpt-parameters]           none of those are offered
 */
#include <string.h>

#include "smtp_session.h"

static int is_ascii(const char *text)
{
    while (*text > 0)
        text++;
    return *text == '\0';
}

static smtp_reply_t check_rcpt(smtp_session_t *s, const char *args,
                               mg_address_t **prcpt)
{
    const char *path = smtp_after(args, "TO:");
    const char *rest = "";

    if (path == NULL)
        return SAY_SYNTAX_RCPT;
    if (s->tx->n_recipients >= s->server->worker->config->recipient_limit)
        return SAY_TOO_MANY_RECIPIENTS; /* a client may try many more */
    if (mg_address_parse_path(prcpt, &rest, path, 0, 1, s->tx->pool)
        != APR_SUCCESS)
        return SAY_BAD_RECIPIENT;
    if (*rest != '\0')
        return SAY_UNKNOWN_PARAMETER;
    if (!s->tx->utf8 && !is_ascii((*prcpt)->address))
        return SAY_NEEDS_UTF8;
    return SAY_OK;
}

void smtp_cmd_rcpt(smtp_session_t *s, const char *args)
{
    mg_address_t *rcpt = NULL;
    smtp_reply_t reply;

    reply = check_rcpt(s, args, &rcpt);
    if (reply == SAY_OK)
        reply = smtp_tx_recipient(s->tx, rcpt);
    if (reply != SAY_RECIPIENT_OK) {
        s->tx->refused++;
        smtp_refuse(s, reply, rcpt ? rcpt->as_given : NULL);
        return;
    }
    if (s->state != S_RCPT)
        smtp_session_enter(s, S_RCPT);
    smtp_reply(s, SAY_RECIPIENT_OK, NULL);
}
