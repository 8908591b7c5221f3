/* smtp_cmd_starttls.c - STARTTLS (RFC 3207).
 *
 * conn_start_tls_server() empties both buffers: what was said in clear is
 * never taken as said inside (CVE-2011-0411).
 */
#include "mg_log.h"
#include "smtp_session.h"

void smtp_cmd_starttls(smtp_session_t *s, const char *args)
{
    apr_status_t rv;

    if (*args != '\0') {
        smtp_reply(s, SAY_NO_ARGUMENTS, NULL);
        return;
    }
    if (s->server->tls == NULL) {
        smtp_reply(s, SAY_TLS_OFF, NULL);
        return;
    }
    if (s->tls) {
        smtp_reply(s, SAY_TLS_ALREADY, NULL);
        return;
    }
    smtp_reply(s, SAY_STARTTLS, NULL);
    smtp_session_enter(s, S_HANDSHAKE);
    rv = conn_start_tls_server(s->conn, s->server->tls);
    if (rv != APR_SUCCESS) {
        mg_log(MG_LOG_ERR, rv, "smtp: cannot start TLS");
        smtp_session_finish(s);
    }
}
