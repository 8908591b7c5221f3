/* mg_log.h - one line for whoever runs this.
 *
 * shared/ does not know where lines go: each face sets a sink at start (httpd's
 * error log, smtpd's stderr or syslog, Dovecot's i_error, mailgunctl's stderr).
 * The level that knows the domain or message id logs a failure, once. No
 * secrets, no message bodies. Control characters in arguments are the sink's
 * to escape: a line stays a line.
 */
#ifndef MG_LOG_H
#define MG_LOG_H

#include <apr_errno.h>
#include <stdarg.h>

typedef enum {
    MG_LOG_ERR,   /* somebody must act */
    MG_LOG_WARN,  /* somebody should look */
    MG_LOG_INFO,  /* what happened: a message came, left, was refused */
    MG_LOG_DEBUG  /* every step */
} mg_log_level_t;

typedef void mg_log_sink_fn(mg_log_level_t level, apr_status_t rv,
                            const char *line, void *baton);

void mg_log_set_sink(mg_log_sink_fn *sink, void *baton);
void mg_log_set_level(mg_log_level_t level);
mg_log_level_t mg_log_get_level(void);
/** The plain sink: "2026-11-23T03:12:00.123Z name[pid]: warn: text: why". */
void mg_log_to_stderr(const char *program);

/** rv is APR_SUCCESS where there is no error to name. */
void mg_log(mg_log_level_t level, apr_status_t rv, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
