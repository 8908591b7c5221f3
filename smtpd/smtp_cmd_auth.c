/* smtp_cmd_auth.c - AUTH PLAIN and LOGIN (RFC 4954, RFC 4616).
 *
 * Whether a password is right is for the auth workers to say (auth_client.h);
 * the session waits in S_CHECK. Passwords never reach the log, and are wiped.
 */
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_text.h"
#include "smtp_session.h"

#define SECRET_MAX 1024 /* decoded, with its end */

static int from_loopback(const smtp_session_t *s)
{
    const char *ip = conn_peer_ip(s->conn);

    return strncmp(ip, "127.", 4) == 0 || strcmp(ip, "::1") == 0;
}

int smtp_auth_is_usable(const smtp_session_t *s)
{
    if (s->server->ask == NULL)
        return 0;
    if (s->tls)
        return 1;
    switch (s->server->worker->config->auth_without_tls) {
    case MG_NOTLS_AUTH_ON:
        return 1;
    case MG_NOTLS_AUTH_LOOPBACK:
        return from_loopback(s);
    default:
        return 0;
    }
}

/* --- base64, strictly --- */

static int digit_of(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* @return octets, NUL behind them; -1: malformed or over SECRET_MAX - 1 */
static int decode(char out[SECRET_MAX], const char *text)
{
    apr_size_t len = strlen(text), pad = 0, i;
    unsigned int bits = 0;
    int n = 0, digit;

    while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
        pad++;
    if (len % 4 != 0 || len / 4 * 3 >= SECRET_MAX)
        return -1;
    for (i = 0; i < len; i++) {
        digit = i < len - pad ? digit_of(text[i]) : 0;
        if (digit < 0)
            return -1;
        bits = bits << 6 | (unsigned int)digit;
        if (i % 4 == 3) {
            out[n++] = (char)(bits >> 16);
            out[n++] = (char)(bits >> 8);
            out[n++] = (char)bits;
        }
    }
    n -= (int)pad;
    out[n] = '\0';
    return n;
}

/* --- the answer --- */

static void login_failed(smtp_session_t *s, smtp_reply_t reply)
{
    mg_log(MG_LOG_INFO, APR_SUCCESS, "smtp login refused: %s login=%s "
           "client=[%s]", smtp_reply_text(reply), s->login.login,
           conn_peer_ip(s->conn));
    smtp_reply(s, reply, NULL);
    if (reply == SAY_AUTH_WRONG)
        s->login_failures++;
}

/* Whose domain the mail will be. */
static smtp_reply_t take_login(smtp_session_t *s, const auth_answer_t *answer)
{
    worker_t *worker = s->server->worker;
    const mg_domain_t *domain;
    apr_status_t rv;

    rv = mg_domain_cached_by_id(&domain, worker->domains, worker->db,
                                answer->domain_id);
    if (rv == APR_ENOENT)
        return SAY_AUTH_WRONG;
    if (rv != APR_SUCCESS) {
        worker_db_check(worker, rv);
        return SAY_AUTH_LATER;
    }
    s->login.account_id = answer->account_id;
    s->login.domain_id = answer->domain_id;
    apr_cpystrn(s->login.domain, domain->name, sizeof(s->login.domain));
    s->authenticated = 1;
    return SAY_AUTH_OK;
}

static void on_answer(const auth_answer_t *answer, void *baton)
{
    smtp_session_t *s = baton;
    smtp_reply_t reply = SAY_AUTH_LATER;

    s->ticket = 0;
    smtp_session_enter(s, S_READY);
    if (answer->verdict == AUTH_OK)
        reply = take_login(s, answer);
    else if (answer->verdict == AUTH_WRONG)
        reply = SAY_AUTH_WRONG;
    if (reply == SAY_AUTH_OK)
        smtp_reply(s, reply, NULL);
    else
        login_failed(s, reply);
    smtp_session_run(s);
}

static void ask(smtp_session_t *s, const char *password)
{
    smtp_session_enter(s, S_CHECK);
    s->ticket = s->server->ask(s->server, s->login.login, password,
                               conn_peer_ip(s->conn), on_answer, s);
    if (s->state != S_CHECK)
        s->ticket = 0; /* it was answered at once */
}

/* --- the exchange --- */

static int take_name(smtp_session_t *s, const char *name, apr_size_t len)
{
    if (len == 0 || len > SMTP_LOGIN_MAX || strlen(name) != len
        || !mg_text_is_utf8(name, len))
        return 0;
    memcpy(s->login.login, name, len + 1);
    return 1;
}

/* message = [authzid] UTF8NUL authcid UTF8NUL passwd */
static void plain_message(smtp_session_t *s, const char *text, int len)
{
    const char *end = text + len;
    const char *name = memchr(text, '\0', (apr_size_t)len);
    const char *password = NULL;

    if (name != NULL && ++name <= end)
        password = memchr(name, '\0', (apr_size_t)(end - name));
    if (password == NULL || strlen(password + 1)
                                != (apr_size_t)(end - password - 1)) {
        smtp_reply(s, SAY_AUTH_SYNTAX, NULL);
        return;
    }
    if (!take_name(s, name, strlen(name)) || password + 1 == end
        || (*text != '\0' && strcasecmp(text, name) != 0)) {
        login_failed(s, SAY_AUTH_WRONG);
        return;
    }
    ask(s, password + 1);
}

static void continue_with(smtp_session_t *s, char *text, int len)
{
    int step = s->auth;

    s->auth = AUTH_NONE;
    smtp_session_enter(s, S_READY);
    switch (step) {
    case AUTH_PLAIN:
        plain_message(s, text, len);
        break;
    case AUTH_LOGIN_NAME:
        if (!take_name(s, text, (apr_size_t)len)) {
            login_failed(s, SAY_AUTH_WRONG);
            break;
        }
        s->auth = AUTH_LOGIN_PASSWORD;
        smtp_session_enter(s, S_AUTH);
        smtp_reply(s, SAY_AUTH_PASSWORD, NULL);
        break;
    case AUTH_LOGIN_PASSWORD:
        if (len == 0 || strlen(text) != (apr_size_t)len)
            login_failed(s, SAY_AUTH_WRONG);
        else
            ask(s, text);
        break;
    default:
        break;
    }
}

static void auth_response(smtp_session_t *s, const char *line)
{
    char text[SECRET_MAX];
    int len = decode(text, line);

    if (len < 0) {
        s->auth = AUTH_NONE;
        smtp_session_enter(s, S_READY);
        smtp_reply(s, SAY_AUTH_SYNTAX, NULL);
    }
    else {
        continue_with(s, text, len);
    }
    OPENSSL_cleanse(text, sizeof(text));
}

void smtp_auth_line(smtp_session_t *s, const char *line)
{
    if (strcmp(line, "*") == 0) {
        s->auth = AUTH_NONE;
        smtp_session_enter(s, S_READY);
        smtp_reply(s, SAY_AUTH_CANCELLED, NULL);
        return;
    }
    auth_response(s, line);
}

static int is_mechanism(const char *args, apr_size_t len, const char *name)
{
    return len == strlen(name) && strncasecmp(args, name, len) == 0;
}

void smtp_cmd_auth(smtp_session_t *s, const char *args)
{
    apr_size_t len = strcspn(args, " ");
    const char *initial = args + len + strspn(args + len, " ");

    if (s->authenticated || s->server->ask == NULL) {
        smtp_reply(s, s->authenticated ? SAY_AUTH_ALREADY : SAY_AUTH_OFF, NULL);
        return;
    }
    if (len == 0) {
        smtp_reply(s, SAY_NEED_ARGUMENT, NULL);
        return;
    }
    if (is_mechanism(args, len, "PLAIN")) {
        s->auth = AUTH_PLAIN;
    }
    else if (is_mechanism(args, len, "LOGIN")) {
        s->auth = AUTH_LOGIN_NAME;
    }
    else {
        smtp_reply(s, SAY_AUTH_MECHANISM, NULL);
        return;
    }
    if (!smtp_auth_is_usable(s)) {
        s->auth = AUTH_NONE;
        smtp_refuse(s, SAY_AUTH_NEEDS_TLS, NULL);
        return;
    }
    smtp_session_enter(s, S_AUTH);
    if (*initial != '\0')
        auth_response(s, strcmp(initial, "=") == 0 ? "" : initial);
    else
        smtp_reply(s, s->auth == AUTH_PLAIN ? SAY_AUTH_GO : SAY_AUTH_NAME,
                   NULL);
}
