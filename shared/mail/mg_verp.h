/* mg_verp.h - envelope senders that know which message and recipient they
 * belong to.
 *
 *     bounce+<mac><tag>.<message id>-<local>=<rcptdomain>@<domain>
 *
 * (reference, section 2). A bounce may come when the delivery is long gone, so
 * the message's id stands there, and a tag that tells which of its recipients
 * this copy went to: 8 hex digits of a MAC over both. Where recipients share the
 * copy it is over their destination ("": they have several), and begins with
 * 'f'. mac: 12 hex digits of HMAC-SHA256(key, id|tag|domain), key by
 * mg_secret_derive(secret, "verp"): nobody else makes one. Cut to 64 octets of
 * local part: then what stands behind '-', for people, is shortened.
 */
#ifndef MG_VERP_H
#define MG_VERP_H

#include <apr_pools.h>

#define MG_VERP_TAG 8

typedef struct {
    apr_int64_t message_id;
    char tag[MG_VERP_TAG + 1];
} mg_verp_t;

/** @param recipient  an address; without an '@' (a destination, or "") the
 *                    sender is one that recipients share */
char *mg_verp_make(const unsigned char key[32], apr_int64_t message_id,
                   const char *recipient, const char *domain, apr_pool_t *p);
/** @return APR_ENOENT: no VERP address; MG_EDENIED: a forged one */
apr_status_t mg_verp_read(mg_verp_t *verp, const unsigned char key[32],
                          const char *local, const char *domain);
int mg_verp_is_shared(const mg_verp_t *verp);
/** Was it made for this recipient, or this destination (in any case)? */
int mg_verp_is_for(const mg_verp_t *verp, const unsigned char key[32],
                   const char *recipient);

/* --- where the address did not survive ---
 *
 * Reports of spam show the message, but mail that was forwarded, rewritten
 * (SRS, BATV) or redacted on its way has lost the address. What proves
 * something, "<mac><tag>.<message id>", stands in a header field of the copy
 * too (MG_VERP_FIELD), and is looked for wherever it may be. */

#define MG_VERP_FIELD "X-Mailgun-Report-Id"
#define MG_VERP_MAC 12

/** What somebody says; nothing is believed yet. */
typedef struct {
    mg_verp_t verp;
    char mac[MG_VERP_MAC + 1];
} mg_verp_claim_t;

/** The body of that field for a copy with this sender; NULL: no VERP sender. */
char *mg_verp_report_id(const char *sender, apr_pool_t *p);
/** The next claim in a text. @return behind it; NULL: there is none */
const char *mg_verp_find(mg_verp_claim_t *claim, const char *text);
/** @param domain  of the message that the claim names
 *  @return MG_EDENIED: forged */
apr_status_t mg_verp_prove(const mg_verp_claim_t *claim,
                           const unsigned char key[32], const char *domain);
#endif
