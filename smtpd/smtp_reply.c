/* smtp_reply.c - see smtp_reply.h. RFC 5321 4.2, RFC 3463, RFC 5248, RFC 2034.
 */
#include <string.h>

#include "mg_log.h"
#include "smtp_session.h"

static const char *const replies[SAY_MAX] = {
    [SAY_OK] = "250 2.0.0 Ok",
    [SAY_BYE] = "221 2.0.0 Bye",
    [SAY_HELP] = "214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY "
               "STARTTLS AUTH; RFC 5321",
    [SAY_VRFY] = "252 2.0.0 Cannot verify, but will take a message and try",
    [SAY_STARTTLS] = "220 2.0.0 Ready to start TLS",
    [SAY_SENDER_OK] = "250 2.1.0 Sender ok",
    [SAY_RECIPIENT_OK] = "250 2.1.5 Recipient ok",
    [SAY_QUEUED] = "250 2.0.0 Ok: queued as",
    [SAY_GO_AHEAD] = "354 End data with <CR><LF>.<CR><LF>",
    [SAY_CHUNK_OK] = "250 2.0.0 Ok: octets taken:",
    [SAY_AUTH_OK] = "235 2.7.0 Authentication successful",
    [SAY_AUTH_GO] = "334 ",
    [SAY_AUTH_NAME] = "334 VXNlcm5hbWU6",
    [SAY_AUTH_PASSWORD] = "334 UGFzc3dvcmQ6",

    [SAY_UNKNOWN_COMMAND] = "500 5.5.1 Command not recognized",
    [SAY_NOT_OFFERED] = "502 5.5.1 Command not implemented",
    [SAY_LINE_TOO_LONG] = "500 5.5.2 Line too long",
    [SAY_LINE_BAD] = "500 5.5.2 Bare CR, bare LF, NUL or bad UTF-8 in command",
    [SAY_SEQUENCE] = "503 5.5.1 Bad sequence of commands",
    [SAY_HELO_FIRST] = "503 5.5.1 Send HELO or EHLO first",
    [SAY_NESTED_MAIL] = "503 5.5.1 Nested MAIL command",
    [SAY_MAIL_FIRST] = "503 5.5.1 Need MAIL before RCPT",
    [SAY_RCPT_FIRST] = "503 5.5.1 Need RCPT before DATA",
    [SAY_NO_ARGUMENTS] = "501 5.5.4 No arguments, please",
    [SAY_NEED_ARGUMENT] = "501 5.5.4 Argument missing",
    [SAY_SYNTAX_MAIL] = "501 5.5.4 Syntax: MAIL FROM:<address>",
    [SAY_SYNTAX_RCPT] = "501 5.5.4 Syntax: RCPT TO:<address>",
    [SAY_BAD_PARAMETER] = "501 5.5.4 Bad parameter",
    [SAY_UNKNOWN_PARAMETER] = "555 5.5.4 Unsupported parameter",
    [SAY_BAD_HELO] = "501 5.5.4 Syntax: EHLO domain",
    [SAY_BDAT_SYNTAX] = "501 5.5.4 Syntax: BDAT size [LAST]",
    [SAY_BDAT_SIZE] = "552 5.3.4 Chunk size exceeds all limits",
    [SAY_NOT_IN_STEP] = "554 5.5.0 SMTP protocol synchronization",

    [SAY_BAD_SENDER] = "501 5.1.7 Bad sender address syntax",
    [SAY_BAD_RECIPIENT] = "501 5.1.3 Bad recipient address syntax",
    [SAY_UNKNOWN_USER] = "550 5.1.1 Recipient unknown",
    [SAY_RELAYING] = "550 5.7.1 Relaying denied",
    [SAY_LITERAL] = "550 5.1.2 No mail to address literals",
    [SAY_NEEDS_UTF8] = "553 5.6.7 Address needs SMTPUTF8",
    [SAY_TOO_MANY_RECIPIENTS] = "452 4.5.3 Too many recipients",
    [SAY_NO_RECIPIENTS] = "554 5.5.1 No valid recipients",
    [SAY_AUTH_REQUIRED] = "530 5.7.0 Authentication required",
    [SAY_STARTTLS_FIRST] = "530 5.7.0 Must issue a STARTTLS command first",

    [SAY_TOO_BIG] = "552 5.3.4 Message size exceeds limit",
    [SAY_BARE_NEWLINE] = "550 5.5.2 Message has a bare CR or LF",
    [SAY_NUL] = "554 5.6.0 Message has a NUL octet",
    [SAY_BAD_HEADER] = "554 5.6.0 Message header is malformed",
    [SAY_LOOP] = "554 5.4.6 Too many hops",
    [SAY_NO_SPACE] = "452 4.3.1 Insufficient system storage",
    [SAY_TRY_LATER] = "451 4.3.0 Temporary failure, try again later",
    [SAY_SPOOL] = "451 4.3.0 Cannot keep the message, try again later",

    [SAY_MESSAGE_RATE] = "451 4.7.1 Too many messages this hour, try again "
                         "later",
    [SAY_RECIPIENT_RATE] = "450 4.7.1 Too many recipients this hour, try "
                           "again later",
    [SAY_OPTIONS] = "550 5.6.0",
    [SAY_FROM_NOT_YOURS] = "550 5.7.1 From must be an address of your domain",
    [SAY_LOGIN_GONE] = "550 5.7.1 Your domain is not allowed to send: disabled",

    [SAY_AUTH_ALREADY] = "503 5.5.1 Already authenticated",
    [SAY_AUTH_MECHANISM] = "504 5.5.4 Unrecognized authentication type",
    [SAY_AUTH_NEEDS_TLS] = "538 5.7.11 Encryption required for authentication",
    [SAY_AUTH_WRONG] = "535 5.7.8 Authentication credentials invalid",
    [SAY_AUTH_LATER] = "454 4.7.0 Temporary authentication failure",
    [SAY_AUTH_CANCELLED] = "501 5.7.0 Authentication cancelled",
    [SAY_AUTH_SYNTAX] = "501 5.5.2 Cannot decode",
    [SAY_AUTH_OFF] = "503 5.5.1 Authentication not available",
    [SAY_TLS_ALREADY] = "503 5.5.1 TLS is already active",
    [SAY_TLS_OFF] = "502 5.5.1 TLS is not offered",
    [SAY_TLS_LATER] = "454 4.7.0 TLS not available due to temporary reason",

    [SAY_TOO_MANY_ERRORS] = "421 4.7.0 Too many errors",
    [SAY_TIMEOUT] = "421 4.4.2 Timeout, closing connection",
    [SAY_SHUTDOWN] = "421 4.3.2 Service shutting down, try again",
    [SAY_SESSIONS] = "421 4.3.2 Too many sessions, try again later",
    [SAY_CLIENT_SESSIONS] = "421 4.7.0 Too many sessions from your address",
    [SAY_EARLY_TALKER] = "554 5.5.0 You talk before my greeting",
    [SAY_NOT_HTTP] = "554 5.5.0 This is not a web server",
};

const char *smtp_reply_text(smtp_reply_t reply)
{
    return replies[reply];
}

void smtp_reply(smtp_session_t *s, smtp_reply_t reply, const char *detail)
{
    const char *text = replies[reply];

    if (text[0] == '5')
        s->errors++;
    conn_write(s->conn, text, strlen(text));
    if (detail != NULL) {
        conn_write(s->conn, " ", 1);
        conn_write(s->conn, detail, strlen(detail));
    }
    conn_write(s->conn, "\r\n", 2);
    if (mg_log_get_level() >= MG_LOG_DEBUG)
        mg_log(MG_LOG_DEBUG, APR_SUCCESS, "smtp %s:%d: > %s %s",
               conn_peer_ip(s->conn), conn_peer_port(s->conn), text,
               detail ? detail : "");
}

void smtp_refuse(smtp_session_t *s, smtp_reply_t reply, const char *detail)
{
    const smtp_tx_t *tx = s->tx;

    smtp_reply(s, reply, detail);
    mg_log(MG_LOG_INFO, APR_SUCCESS,
           "smtp refused: %s%s%s client=[%s] helo=%s login=%s from=<%s>",
           replies[reply], detail ? " " : "", detail ? detail : "",
           conn_peer_ip(s->conn), s->helo, s->authenticated ? s->login.login
           : "", tx ? tx->sender : "");
}
