/* mg_dsn_private.h - between the files that read reports. */
#ifndef MG_DSN_PRIVATE_H
#define MG_DSN_PRIVATE_H

#include "mg_dsn.h"
#include "mime_internal.h"

typedef struct {
    mg_dsn_t *dsn;
    apr_pool_t *p;
    apr_array_header_t *headers;  /* of the message */
    const char *text;             /* its first text, UTF-8, or NULL */
    int parts, is_receipt;
} mg_dsn_read_t;

/** The digits a reply begins with, 4xx or 5xx; else 0. */
int mg_dsn_code(const char *text);
/** Valid UTF-8 on one line of bounded length, runs of blanks as one. */
const char *mg_dsn_line(const char *s, apr_size_t len, apr_pool_t *p);
/** What the text for people says behind a recipient's address, on a line; ""
 * if it does not name it. */
const char *mg_dsn_words(mg_dsn_read_t *r, const char *recipient);
/** An SMTP reply that is quoted in a line; NULL: there is none. */
const char *mg_dsn_find_reply(const char *line);
/** A report for people. @return whether it was understood */
int mg_dsn_guess(mg_dsn_read_t *r);
int mg_dsn_is_auto_reply(const mg_dsn_read_t *r);

#endif
