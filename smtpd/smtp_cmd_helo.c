/* smtp_cmd_helo.c - HELO and EHLO (RFC 5321 4.1.1.1, 4.1.4). */
#include <string.h>

#include "smtp_session.h"

/* Domain or address literal, generously: letters, digits and what stands in
 * names that real clients have. It goes into Received: and the log. */
static int helo_is_fine(const char *name)
{
    const char *c;

    for (c = name; *c; c++) {
        if (*c <= ' ' || *c >= 127 || strchr("()<>@,;\\\"", *c) != NULL)
            return 0;
    }
    return c > name && c - name <= SMTP_HELO_MAX;
}

static int take_name(smtp_session_t *s, const char *name)
{
    if (!helo_is_fine(name)) {
        smtp_reply(s, SAY_BAD_HELO, NULL);
        return 0;
    }
    memcpy(s->helo, name, strlen(name) + 1);
    smtp_session_reset(s); /* 4.1.4: as if RSET had been said */
    smtp_session_enter(s, S_READY);
    return 1;
}

void smtp_cmd_helo(smtp_session_t *s, const char *args)
{
    if (!take_name(s, args))
        return;
    s->esmtp = 0;
    conn_printf(s->conn, "250 %s\r\n", s->server->worker->config->hostname);
}

void smtp_cmd_ehlo(smtp_session_t *s, const char *args)
{
    const char *text;
    int offered = 0;

    if (!take_name(s, args))
        return;
    s->esmtp = 1;
    if (s->server->tls != NULL && !s->tls)
        offered |= 1;
    if (smtp_auth_is_usable(s) && !s->authenticated)
        offered |= 2;
    text = s->server->ehlo[offered];
    conn_write(s->conn, text, strlen(text));
}
