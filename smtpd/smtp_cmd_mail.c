/* smtp_cmd_mail.c - MAIL (RFC 5321 4.1.1.2; RFC 1870 SIZE, RFC 6152 BODY,
 * RFC 6531 SMTPUTF8, RFC 4954 AUTH=, RFC 3461 RET and ENVID).
 *
 *   "MAIL FROM:" ("<>" / Reverse-Path) [SP Mail-parameters]
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_status.h"
#include "smtp_params.h"
#include "smtp_session.h"

typedef struct {
    int size_seen, body_seen, utf8, eightbit, auth_seen;
    apr_int64_t size;
    mg_dsn_mail_t dsn;
} mail_parameters_t;

static smtp_reply_t param_size(mail_parameters_t *m, const char *value,
                               apr_size_t len)
{
    apr_size_t i;

    if (m->size_seen++ || len == 0 || len > 20) /* RFC 1870 6.1: 20 digits */
        return SAY_BAD_PARAMETER;
    for (i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9')
            return SAY_BAD_PARAMETER;
    }
    m->size = len > 18 ? APR_INT64_MAX : apr_strtoi64(value, NULL, 10);
    return SAY_OK;
}

static smtp_reply_t param_body(mail_parameters_t *m, const char *value,
                               apr_size_t len)
{
    if (m->body_seen++)
        return SAY_BAD_PARAMETER;
    if (smtp_param_is(value, len, "8BITMIME"))
        m->eightbit = 1;
    else if (!smtp_param_is(value, len, "7BIT"))
        return SAY_BAD_PARAMETER;
    return SAY_OK;
}

static smtp_reply_t one_param(mail_parameters_t *m, const smtp_param_t *param,
                              apr_pool_t *p)
{
    const char *name = param->name, *value = param->value;
    apr_size_t len = param->name_len, value_len = param->value_len;
    int eq = param->has_value;
    apr_status_t rv;

    if (smtp_param_is(name, len, "SIZE") && eq)
        return param_size(m, value, value_len);
    if (smtp_param_is(name, len, "BODY") && eq)
        return param_body(m, value, value_len);
    if (smtp_param_is(name, len, "SMTPUTF8") && !eq)
        return m->utf8++ ? SAY_BAD_PARAMETER : SAY_OK;
    /* who sends on behalf of whom: we trust only our own login */
    if (smtp_param_is(name, len, "AUTH") && value_len > 0)
        return m->auth_seen++ ? SAY_BAD_PARAMETER : SAY_OK;
    rv = mg_dsn_mail_param(&m->dsn, name, len, value, value_len, p);
    if (rv == APR_ENOENT)
        return SAY_UNKNOWN_PARAMETER;
    return rv == APR_SUCCESS ? SAY_OK : SAY_BAD_PARAMETER;
}

static smtp_reply_t read_parameters(mail_parameters_t *m, const char *rest,
                                    apr_pool_t *p)
{
    smtp_reply_t reply = SAY_OK;
    smtp_param_t param;

    memset(m, 0, sizeof(*m));
    while (reply == SAY_OK && smtp_param_next(&param, &rest))
        reply = one_param(m, &param, p);
    return reply;
}

static smtp_reply_t check_mail(smtp_session_t *s, const char *args,
                               mg_address_t **psender, mail_parameters_t *m)
{
    const char *path = smtp_after(args, "FROM:");
    const char *rest = "";
    smtp_reply_t reply;

    if (s->role != MG_LISTEN_MX && !s->authenticated)
        return smtp_auth_is_usable(s) || s->server->tls == NULL
                   ? SAY_AUTH_REQUIRED : SAY_STARTTLS_FIRST;
    if (path == NULL)
        return SAY_SYNTAX_MAIL;
    if (mg_address_parse_path(psender, &rest, path, 1, 1, s->tx->pool)
        != APR_SUCCESS)
        return SAY_BAD_SENDER;
    reply = read_parameters(m, rest, s->tx->pool);
    if (reply != SAY_OK)
        return reply;
    if (!m->utf8 && !smtp_is_ascii((*psender)->address))
        return SAY_NEEDS_UTF8;
    if (m->size > s->server->worker->config->message_limit)
        return SAY_TOO_BIG;
    if (smtp_space_is_low(s->server))
        return SAY_NO_SPACE;
    reply = smtp_rate_of_messages(s);
    if (reply != SAY_OK)
        return reply;
    if (!worker_db_usable(s->server->worker))
        return SAY_TRY_LATER;
    return SAY_OK;
}

void smtp_cmd_mail(smtp_session_t *s, const char *args)
{
    mg_address_t *sender = NULL;
    mail_parameters_t m;
    smtp_reply_t reply;

    s->tx = smtp_tx_create(s, "");
    reply = check_mail(s, args, &sender, &m);
    if (reply != SAY_OK) {
        if (sender != NULL)
            s->tx->sender = sender->address;
        smtp_refuse(s, reply, NULL);
        smtp_session_reset(s);
        return;
    }
    s->tx->sender = sender->address;
    s->tx->utf8 = m.utf8;
    s->tx->eightbit = m.eightbit;
    s->tx->dsn = m.dsn;
    smtp_session_enter(s, S_MAIL);
    smtp_reply(s, SAY_SENDER_OK, NULL);
}
