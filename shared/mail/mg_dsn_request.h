/* mg_dsn_request.h - what a sender asks to be told (RFC 3461).
 *
 * RET and ENVID belong to the message: they go into its options as "dsn"
 * (mg_sending.h). NOTIFY and ORCPT belong to a recipient: they are the JSON
 * payload of its delivery,
 *
 *   {"notify": "SUCCESS,FAILURE", "orcpt": "rfc822;bob@x"}
 *
 * each only if it was said. ENVID and ORCPT are kept as they came, in xtext:
 * so they go on to a server that offers DSN; a report shows them decoded.
 * What decodes to a control character was refused.
 */
#ifndef MG_DSN_REQUEST_H
#define MG_DSN_REQUEST_H

#include <apr_pools.h>

#define MG_DSN_ENVID_MAX 100  /* RFC 3461 4.4, as sent */
#define MG_DSN_ORCPT_MAX 500  /* RFC 3461 4.2 */

typedef struct {
    const char *ret;      /* "FULL", "HDRS" or NULL */
    const char *envid;    /* xtext or NULL */
} mg_dsn_mail_t;

typedef struct {
    const char *notify;   /* "NEVER", or of "SUCCESS,FAILURE,DELAY" those that
                           * were asked for, in this order; NULL */
    const char *orcpt;    /* "type;xtext" or NULL */
} mg_dsn_rcpt_t;

/**
 * One parameter of MAIL or RCPT, not NUL-terminated.
 * @return APR_ENOENT: none of DSN's; MG_EBADINPUT: malformed, or said twice
 */
apr_status_t mg_dsn_mail_param(mg_dsn_mail_t *mail, const char *name,
                               apr_size_t name_len, const char *value,
                               apr_size_t value_len, apr_pool_t *p);
apr_status_t mg_dsn_rcpt_param(mg_dsn_rcpt_t *rcpt, const char *name,
                               apr_size_t name_len, const char *value,
                               apr_size_t value_len, apr_pool_t *p);

/** mg_envelope_t.payload; NULL if nothing was asked for. */
char *mg_dsn_payload(const mg_dsn_rcpt_t *rcpt, apr_pool_t *p);
/** And back. What is no such payload asks for nothing. */
void mg_dsn_payload_read(mg_dsn_rcpt_t *rcpt, const char *payload,
                         apr_pool_t *p);

/** RFC 3461 4: "a+2Bb" is "a+b". @return MG_EBADINPUT */
apr_status_t mg_xtext_decode(char **ptext, const char *xtext, apr_size_t len,
                             apr_pool_t *p);
#endif
