/* mg_srs.h - envelope senders of what routes forward (Sender Rewriting Scheme).
 *
 * A host that mail is forwarded to asks whether we may send for the sender's
 * domain (SPF): we may not. So the sender becomes one of ours, from which the
 * original can be read back when a bounce comes:
 *
 *     SRS0=<mac>=<tt>=<domain>=<local>@<ours>      sender local@domain
 *     SRS1=<mac>=<first>=<rest>@<ours>             SRS0<rest>@first, from the
 *                                                  host that forwarded first
 *     SRSM=<mac>=<tt>=<message id>@<ours>          where the others would pass
 *                                                  64 octets (RFC 5321 4.5.3.1.1)
 *                                                  or be no dot-string: the
 *                                                  message's sender
 *
 * mac: 8 letters of base32, HMAC-SHA256 over all that stands behind it and our
 * domain, in lower case: other hosts may change the case of local parts. tt: the
 * day, of 1024, in two letters of base32; what is older than MG_SRS_DAYS is no
 * address any more. The null sender is not rewritten.
 */
#ifndef MG_SRS_H
#define MG_SRS_H

#include <apr_pools.h>
#include <apr_time.h>

#define MG_SRS_DAYS 21

/** @param sender  bare, not empty @param domain  ours, lower case */
char *mg_srs_make(const unsigned char key[32], const char *sender,
                  const char *domain, apr_int64_t message_id, apr_time_t now,
                  apr_pool_t *p);

typedef struct {
    const char *address;      /* the original sender; NULL: */
    apr_int64_t message_id;   /* that of this message */
} mg_srs_t;

/** @return APR_ENOENT: no such address; MG_EDENIED: forged, or too old */
apr_status_t mg_srs_read(mg_srs_t *srs, const unsigned char key[32],
                         const char *local, const char *domain,
                         apr_time_t now, apr_pool_t *p);
#endif
