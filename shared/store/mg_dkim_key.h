/* mg_dkim_key.h - a domain's DKIM keys, from their making to their end.
 *
 * A domain is made with two, RSA-2048 and Ed25519 (RFC 8463), and signs with
 * both. Their seals open for the senders only.
 *
 *   waits    made by a rotation; its record is listed, to be published
 *   signs    since its record was seen, or it was told to at once
 *   retired  a newer one signs; its record stays listed for a week, because
 *            mail that it signed is still on its way. Then the row goes.
 *
 * Selectors: "mg" and "mge" of a new domain, "mg2" and "mge2" of its first
 * rotation, and so on.
 */
#ifndef MG_DKIM_KEY_H
#define MG_DKIM_KEY_H

#include "mg_domain.h"

#define MG_DKIM_RETIRED_FOR (APR_TIME_C(7 * 86400) * APR_USEC_PER_SEC)

typedef enum { MG_DKIM_WAITS, MG_DKIM_SIGNS, MG_DKIM_RETIRED } mg_dkim_state_t;

/** "waits", "signs", "retired" */
const char *mg_dkim_state_name(const mg_dkim_public_t *key);
/** The text of its TXT record: "k=rsa; p=..." or "v=DKIM1; k=ed25519; p=..." */
const char *mg_dkim_record(const mg_dkim_public_t *key, apr_pool_t *p);
/** "mg._domainkey.example.com" */
const char *mg_dkim_name(const mg_dkim_public_t *key, const char *domain,
                         apr_pool_t *p);

/** A pair of keys more, which waits.
 * @return APR_EEXIST: some wait already; APR_ENOENT: no such domain */
apr_status_t mg_dkim_rotate(mg_db_t *db, const mg_secret_t *secret,
                            apr_int64_t domain_id, const mg_dkim_t *dkim,
                            apr_pool_t *p);
/** A key that waits signs from now on; the ones of its algorithm that did are
 * retired. The caller bumps the generation.
 * @param selector  NULL: all that wait @param pn  how many */
apr_status_t mg_dkim_switch(int *pn, mg_db_t *db, apr_int64_t domain_id,
                            const char *selector, apr_pool_t *p);
/** Keys that were retired before then go, up to limit of them. */
apr_status_t mg_dkim_expire(int *pn, mg_db_t *db, apr_time_t before, int limit,
                            apr_pool_t *p);

/** A key that signs, opened: the newest of each algorithm. */
typedef struct {
    const char *selector, *algorithm;
    const void *der;           /* PKCS#8; wiped with the pool */
    apr_size_t len;
} mg_dkim_private_t;
/** @return array of mg_dkim_private_t, perhaps empty; MG_ECRYPT: a seal does
 *          not open */
apr_status_t mg_dkim_open(apr_array_header_t **pkeys, mg_db_t *db,
                          const mg_secret_t *secret, apr_int64_t domain_id,
                          apr_pool_t *p);

#endif
