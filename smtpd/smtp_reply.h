/* smtp_reply.h - every reply of our SMTP server, with its RFC 3463 code. */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

typedef enum {
    SAY_OK, SAY_BYE, SAY_HELP, SAY_VRFY, SAY_STARTTLS, SAY_SENDER_OK,
    SAY_RECIPIENT_OK, SAY_QUEUED, SAY_GO_AHEAD, SAY_CHUNK_OK, SAY_AUTH_OK,
    SAY_AUTH_GO, SAY_AUTH_NAME, SAY_AUTH_PASSWORD,
    /* the command itself */
    SAY_UNKNOWN_COMMAND, SAY_NOT_OFFERED, SAY_LINE_TOO_LONG, SAY_LINE_BAD,
    SAY_SEQUENCE, SAY_HELO_FIRST, SAY_NESTED_MAIL, SAY_MAIL_FIRST,
    SAY_RCPT_FIRST, SAY_NO_ARGUMENTS, SAY_NEED_ARGUMENT, SAY_SYNTAX_MAIL,
    SAY_SYNTAX_RCPT, SAY_BAD_PARAMETER, SAY_UNKNOWN_PARAMETER, SAY_BAD_HELO,
    SAY_NOT_IN_STEP, SAY_BDAT_SYNTAX, SAY_BDAT_SIZE,
    /* who and where */
    SAY_BAD_SENDER, SAY_BAD_RECIPIENT, SAY_UNKNOWN_USER, SAY_RELAYING,
    SAY_LITERAL, SAY_NEEDS_UTF8, SAY_TOO_MANY_RECIPIENTS, SAY_NO_RECIPIENTS,
    SAY_AUTH_REQUIRED, SAY_STARTTLS_FIRST,
    /* the message */
    SAY_TOO_BIG, SAY_BARE_NEWLINE, SAY_NUL, SAY_BAD_HEADER, SAY_LOOP,
    SAY_NO_SPACE, SAY_TRY_LATER, SAY_SPOOL, SAY_OPTIONS,
    SAY_FROM_NOT_YOURS, SAY_LOGIN_GONE,
    SAY_MESSAGE_RATE, SAY_RECIPIENT_RATE,
    /* AUTH, STARTTLS */
    SAY_AUTH_ALREADY, SAY_AUTH_MECHANISM, SAY_AUTH_NEEDS_TLS, SAY_AUTH_WRONG,
    SAY_AUTH_LATER, SAY_AUTH_CANCELLED, SAY_AUTH_SYNTAX, SAY_AUTH_OFF,
    SAY_TLS_ALREADY, SAY_TLS_OFF, SAY_TLS_LATER,
    /* and close */
    SAY_TOO_MANY_ERRORS, SAY_TIMEOUT, SAY_SHUTDOWN, SAY_SESSIONS,
    SAY_CLIENT_SESSIONS, SAY_EARLY_TALKER, SAY_NOT_HTTP,
    SAY_MAX
} smtp_reply_t;

struct smtp_session_t;

/** Code and words, without CRLF. */
const char *smtp_reply_text(smtp_reply_t reply);
/** @param detail  put behind a blank; NULL for none */
void smtp_reply(struct smtp_session_t *s, smtp_reply_t reply,
                const char *detail);
/** The same, and one line in the log: mail was refused. */
void smtp_refuse(struct smtp_session_t *s, smtp_reply_t reply,
                 const char *detail);
#endif
