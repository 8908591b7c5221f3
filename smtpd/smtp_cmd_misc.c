/* smtp_cmd_misc.c - RSET, NOOP, QUIT, VRFY, EXPN, HELP (RFC 5321 4.1.1.5 to
 * 4.1.1.10), and browsers that were sent here to do mischief. */
#include "smtp_session.h"

void smtp_cmd_rset(smtp_session_t *s, const char *args)
{
    if (*args != '\0') {
        smtp_reply(s, SAY_NO_ARGUMENTS, NULL);
        return;
    }
    smtp_session_reset(s);
    if (s->state & (S_MAIL | S_RCPT | S_BDAT))
        smtp_session_enter(s, S_READY);
    smtp_reply(s, SAY_OK, NULL);
}

void smtp_cmd_noop(smtp_session_t *s, const char *args)
{
    (void)args; /* 4.1.1.9: ignored */
    smtp_reply(s, SAY_OK, NULL);
}

void smtp_cmd_quit(smtp_session_t *s, const char *args)
{
    if (*args != '\0') {
        smtp_reply(s, SAY_NO_ARGUMENTS, NULL);
        return;
    }
    smtp_reply(s, SAY_BYE, NULL);
    smtp_session_finish(s);
}

/* 7.3: who is here is nobody's business; 252 is the answer for that. */
void smtp_cmd_vrfy(smtp_session_t *s, const char *args)
{
    smtp_reply(s, *args == '\0' ? SAY_NEED_ARGUMENT : SAY_VRFY, NULL);
}

void smtp_cmd_expn(smtp_session_t *s, const char *args)
{
    (void)args;
    smtp_reply(s, SAY_NOT_OFFERED, NULL);
}

void smtp_cmd_help(smtp_session_t *s, const char *args)
{
    (void)args;
    smtp_reply(s, SAY_HELP, NULL);
}

void smtp_cmd_http(smtp_session_t *s, const char *args)
{
    (void)args;
    smtp_refuse(s, SAY_NOT_HTTP, NULL);
    smtp_session_finish(s);
}
