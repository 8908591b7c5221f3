/* mg_dsn.h - delivery reports: those that come back, read.
 *
 * RFC 3464 reports are read field by field; what other servers write for
 * people only is guessed at, by its header and the reply it quotes. A report
 * says what became of some recipients; whose message that was, the address it
 * came to knows (mg_verp.h). Everything in it is hearsay and hostile: bounded
 * in length and number, and of no consequence beyond that message.
 */
#ifndef MG_DSN_H
#define MG_DSN_H

#include <apr_tables.h>

#define MG_DSN_READ_MAX (128 * 1024)  /* octets that are looked at */
#define MG_DSN_RECIPIENTS 1000        /* of a report */

typedef enum { MG_DSN_FAILED, MG_DSN_DELAYED, MG_DSN_WELL } mg_dsn_action_t;

typedef struct {
    mg_dsn_action_t action;   /* well: delivered, relayed, expanded */
    const char *original;     /* Original-Recipient, decoded, or NULL */
    const char *recipient;    /* Final-Recipient, or NULL */
    int code;                 /* three digits; by the status if none are
                                 quoted: 550, 450; 0: it says nothing */
    const char *text;         /* "550 5.1.1 user unknown": one line, never
                                 NULL; begins with the code if there is one */
    const char *mx;           /* who said so, or NULL */
} mg_dsn_report_t;

typedef enum {
    MG_DSN_NONE,              /* no report that we can read */
    MG_DSN_REPORT,            /* RFC 3464 */
    MG_DSN_GUESS,             /* for people, and understood */
    MG_DSN_AUTO_REPLY         /* a machine's: out of office, read receipt */
} mg_dsn_kind_t;

typedef struct {
    mg_dsn_kind_t kind;
    apr_array_header_t *reports;  /* of mg_dsn_report_t */
    const char *original;         /* the message, or its header, as it came
                                     back, maybe cut; NULL: it did not */
    apr_size_t original_len;
} mg_dsn_t;

/** @param len  what is beyond MG_DSN_READ_MAX is not looked at */
void mg_dsn_read(mg_dsn_t *dsn, const char *bytes, apr_size_t len,
                 apr_pool_t *p);
#endif
