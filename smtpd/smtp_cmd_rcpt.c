/* smtp_cmd_rcpt.c - RCPT (RFC 5321 4.1.1.3).
 *
 *   "RCPT TO:" ("<Postmaster@" Domain ">" / "<Postmaster>" / Forward-Path)
 *   [SP Rcpt-parameters]           NOTIFY and ORCPT (RFC 3461)
 */
#include <string.h>

#include "smtp_params.h"
#include "smtp_session.h"

static smtp_reply_t read_parameters(mg_dsn_rcpt_t *dsn, const char *rest,
                                    apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;
    smtp_param_t param;

    while (rv == APR_SUCCESS && smtp_param_next(&param, &rest))
        rv = mg_dsn_rcpt_param(dsn, param.name, param.name_len, param.value,
                               param.value_len, p);
    if (rv == APR_ENOENT)
        return SAY_UNKNOWN_PARAMETER;
    return rv == APR_SUCCESS ? SAY_OK : SAY_BAD_PARAMETER;
}

static smtp_reply_t check_rcpt(smtp_session_t *s, const char *args,
                               mg_address_t **prcpt, mg_dsn_rcpt_t *dsn)
{
    const char *path = smtp_after(args, "TO:");
    const char *rest = "";
    smtp_reply_t reply;

    if (path == NULL)
        return SAY_SYNTAX_RCPT;
    if (s->tx->rcpts->nelts >= s->server->worker->config->recipient_limit)
        return SAY_TOO_MANY_RECIPIENTS; /* a client may try many more */
    if (mg_address_parse_path(prcpt, &rest, path, 0, 1, s->tx->pool)
        != APR_SUCCESS)
        return SAY_BAD_RECIPIENT;
    reply = read_parameters(dsn, rest, s->tx->pool);
    if (reply != SAY_OK)
        return reply;
    if (!s->tx->utf8 && !smtp_is_ascii((*prcpt)->address))
        return SAY_NEEDS_UTF8;
    return SAY_OK;
}

void smtp_cmd_rcpt(smtp_session_t *s, const char *args)
{
    mg_address_t *rcpt = NULL;
    mg_dsn_rcpt_t dsn = { NULL, NULL };
    smtp_reply_t reply;

    reply = check_rcpt(s, args, &rcpt, &dsn);
    if (reply == SAY_OK)
        reply = smtp_rate_of_recipients(s);
    if (reply == SAY_OK)
        reply = smtp_tx_recipient(s->tx, rcpt, &dsn);
    if (reply != SAY_RECIPIENT_OK) {
        s->tx->refused++;
        if (reply == SAY_UNKNOWN_USER && rcpt->domain != NULL)
            smtp_refused_recipient(s, s->tx->nobody_account,
                                   s->tx->nobody_domain, rcpt->address, reply);
        smtp_refuse(s, reply, rcpt ? rcpt->as_given : NULL);
        return;
    }
    smtp_rate_taken(s, 0, 1);
    if (s->state != S_RCPT)
        smtp_session_enter(s, S_RCPT);
    smtp_reply(s, SAY_RECIPIENT_OK, NULL);
}
