/* smtp_params.h - parameters behind a path (RFC 5321 4.1.2).
 *
 *   esmtp-param = esmtp-keyword ["=" esmtp-value]
 */
#ifndef SMTP_PARAMS_H
#define SMTP_PARAMS_H

#include <apr.h>

typedef struct {
    const char *name, *value;        /* within the line, not terminated */
    apr_size_t name_len, value_len;
    int has_value;                   /* there was a "=" */
} smtp_param_t;

/** @param prest  moved behind it @return 0: there is none left */
int smtp_param_next(smtp_param_t *param, const char **prest);
int smtp_param_is(const char *word, apr_size_t len, const char *name);
int smtp_is_ascii(const char *text);
#endif
