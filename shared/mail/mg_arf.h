/* mg_arf.h - reports of spam that come back, read.
 *
 * RFC 5965 (ARF): a multipart/report with a message/feedback-report and the
 * message, or its header. Others only send the message back: Microsoft's JMRP
 * as message/rfc822, with X-HmXmrOriginalRecipient. Most hide whom it is about.
 *
 * Everything in a report is hearsay and hostile. What proves that it is about
 * a message of ours, and whose copy it was, is found by its form alone
 * (mg_verp.h) in the fields of the report and the header of the message, and
 * has to be proved by who has the key; addresses are hints among the recipients
 * of that message.
 */
#ifndef MG_ARF_H
#define MG_ARF_H

#include <apr_tables.h>
#include "mg_verp.h"

#define MG_ARF_READ_MAX (128 * 1024)  /* octets that are looked at */
#define MG_ARF_CLAIMS 8
#define MG_ARF_RECIPIENTS 20

typedef enum {
    MG_ARF_NONE,              /* no report, and no message in it */
    MG_ARF_COMPLAINT,         /* abuse, fraud, virus, other */
    MG_ARF_NOT_SPAM,          /* taken back */
    MG_ARF_OPT_OUT,           /* wants no more, and calls it no spam */
    MG_ARF_OTHER              /* about signatures (RFC 6591), about nobody */
} mg_arf_kind_t;

typedef struct {
    mg_arf_kind_t kind;
    int is_bare;              /* no feedback-report: a message in a message */
    const char *type;         /* Feedback-Type in lower case, or "" */
    const char *reporter;     /* who says so: User-Agent, one line, or "" */
    const char *original;     /* the message, or its header, maybe cut; NULL */
    apr_size_t original_len;
    apr_array_header_t *claims;      /* of mg_verp_claim_t, each once */
    apr_array_header_t *recipients;  /* of const char *: addresses */
} mg_arf_t;

/** @param len  what is beyond MG_ARF_READ_MAX is not looked at */
void mg_arf_read(mg_arf_t *arf, const char *bytes, apr_size_t len,
                 apr_pool_t *p);
#endif
