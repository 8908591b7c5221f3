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
#endif
