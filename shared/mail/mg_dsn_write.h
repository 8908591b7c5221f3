/* mg_dsn_write.h - delivery reports that we write (RFC 3464, 3461, 6522).
 *
 * A multipart/report of three parts: words for people, message/delivery-status
 * for machines, and the header of the message it is about (all of it where
 * RET=FULL asks for that and it is no longer than MG_DSN_FULL_MAX). One report
 * is about one recipient. It is sent from the null sender, so nothing ever
 * answers it.
 */
#ifndef MG_DSN_WRITE_H
#define MG_DSN_WRITE_H

#include <apr_pools.h>
#include <apr_time.h>

#define MG_DSN_FULL_MAX 50000

typedef enum {
    MG_DSN_SAYS_FAILED, MG_DSN_SAYS_DELAYED,
    MG_DSN_SAYS_DELIVERED,    /* into a mailbox here */
    MG_DSN_SAYS_RELAYED       /* to a server that will not tell more */
} mg_dsn_says_t;

typedef struct {
    mg_dsn_says_t says;
    const char *hostname;     /* ours: Reporting-MTA */
    const char *to;           /* the envelope sender of the message */
    const char *message_id;   /* of the report, without < > */
    const char *recipient;
    const char *orcpt;        /* "type;xtext" as it was given, or NULL */
    const char *envid;        /* xtext as it was given, or NULL */
    const char *reply;        /* "550 5.1.1 no such user"; NULL: none */
    const char *mx;           /* who said it, or NULL */
    apr_time_t arrived, now;
    apr_time_t until;         /* delayed: when it is given up */
    const char *original;     /* the message, or its beginning */
    apr_size_t original_len;
    int whole;                /* all of it is there, and is wanted */
} mg_dsn_write_t;

const char *mg_dsn_subject(mg_dsn_says_t says);
/** CRLF line ends. */
char *mg_dsn_write(apr_size_t *plen, const mg_dsn_write_t *d, apr_pool_t *p);
#endif
