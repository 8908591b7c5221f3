/* mg_verp.h - envelope senders that know which delivery they belong to.
 *
 * bounce+<mac>.<delivery id>-<local>=<rcptdomain>@<domain> (reference,
 * section 2). mac: first 6 bytes, hex, of HMAC-SHA256(key, id|domain), key by
 * mg_secret_derive(secret, "verp"). Cut to 64 octets of local part: then the
 * tail after '-' is shortened, the id stays.
 */
#ifndef MG_VERP_H
#define MG_VERP_H

#include <apr_pools.h>

char *mg_verp_make(const unsigned char key[32], apr_int64_t id,
                   const char *recipient, const char *domain, apr_pool_t *p);
/** @return APR_ENOENT: no VERP address; MG_EDENIED: a forged one */
apr_status_t mg_verp_read(apr_int64_t *pid, const unsigned char key[32],
                          const char *local, const char *domain);
#endif
