/* smtp_session_rates.c - MailgunLoginRate, MailgunDomainRate, MailgunClientRate:
 * which of them a session is held to. */
#include "smtp_session.h"

typedef struct {
    smtp_rate_kind_t kind;
    const char *who;
    const mg_rate_t *limit;
} held_to_t;

/* @return how many: two with a login, one without */
static int held_to(held_to_t to[2], smtp_session_t *s)
{
    const mg_config_t *config = s->server->worker->config;

    if (!s->authenticated) {
        to[0].kind = RATE_CLIENT;
        to[0].limit = &config->client_rate;
        to[0].who = smtp_client_name(s->client, s->tx->pool);
        return 1;
    }
    to[0].kind = RATE_LOGIN;
    to[0].limit = &config->login_rate;
    to[0].who = s->login.login;
    to[1].kind = RATE_DOMAIN;
    to[1].limit = &config->domain_rate;
    to[1].who = s->login.domain;
    return 2;
}

smtp_reply_t smtp_rate_of_messages(smtp_session_t *s)
{
    held_to_t to[2];
    int i, n = held_to(to, s);

    for (i = 0; i < n; i++)
        if (!smtp_rates_message_fits(s->server->rates, to[i].kind, to[i].who,
                                     to[i].limit))
            return SAY_MESSAGE_RATE;
    return SAY_OK;
}

smtp_reply_t smtp_rate_of_recipients(smtp_session_t *s)
{
    held_to_t to[2];
    int i, n = held_to(to, s);

    for (i = 0; i < n; i++)
        if (!smtp_rates_recipient_fits(s->server->rates, to[i].kind,
                                       to[i].who, to[i].limit))
            return SAY_RECIPIENT_RATE;
    return SAY_OK;
}

void smtp_rate_taken(smtp_session_t *s, int messages, int recipients)
{
    held_to_t to[2];
    int i, n = held_to(to, s);

    for (i = 0; i < n; i++)
        smtp_rates_count(s->server->rates, to[i].kind, to[i].who, to[i].limit,
                         messages, recipients);
}
