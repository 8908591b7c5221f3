/* mg_dkim.h - DKIM signatures: RFC 6376, and RFC 8463 for Ed25519.
 *
 * Relaxed/relaxed, the whole body (no l=). A copy is fed as it goes out, in
 * parts of any size; then each key makes its field of the same digests:
 *
 *     content = mg_dkim_content_make(p);
 *     mg_dkim_content_feed(content, bytes, len);       as often as it takes
 *     rv = mg_dkim_content_end(content);
 *     rv = mg_dkim_sign(&field, &len, rsa, content, created_at, p);
 *     rv = mg_dkim_sign(&field, &len, ed25519, content, created_at, p);
 *
 * The fields go on top of what was fed, in any order. They depend on the bytes,
 * the key and the time given, on nothing else: a copy that is made again after
 * a restart is the same copy.
 *
 * Which header fields are signed, and which of them once more than they are
 * there ("oversigned": one that is added on the way breaks the signature),
 * says the table in mg_dkim_header.c.
 */
#ifndef MG_DKIM_H
#define MG_DKIM_H

#include <apr_pools.h>
#include <apr_time.h>

enum { MG_DKIM_RSA, MG_DKIM_ED25519, MG_DKIM_ALGORITHMS };

/** A header block larger than this is not signed: it is kept in memory. */
#define MG_DKIM_HEADER_MAX (512 * 1024)
/** Nor one with more fields than this: each that is signed is named. */
#define MG_DKIM_FIELDS_MAX 1000

/* --- keys --- */

typedef struct mg_dkim_signer_t mg_dkim_signer_t;
/**
 * A private key, ready to sign; wiped with the pool. Not thread-safe.
 * @param domain  d=, as in DNS: A-labels
 * @param der     PKCS#8; not needed afterwards, the caller wipes it
 * @return MG_ECRYPT: no key, or of another kind than RSA and Ed25519
 */
apr_status_t mg_dkim_signer_make(mg_dkim_signer_t **psigner,
                                 const char *domain, const char *selector,
                                 const void *der, apr_size_t len,
                                 apr_pool_t *p);
/** MG_DKIM_RSA, MG_DKIM_ED25519 */
int mg_dkim_signer_algorithm(const mg_dkim_signer_t *signer);

/* --- content --- */

typedef struct mg_dkim_content_t mg_dkim_content_t;
mg_dkim_content_t *mg_dkim_content_make(apr_pool_t *p);
/** The next part: header block, empty line, body; lines end in CRLF. Costs
 * about 2 ms for 256 KB. */
void mg_dkim_content_feed(mg_dkim_content_t *content, const char *bytes,
                          apr_size_t len);
/** @return MG_EBADINPUT: the header block is larger than MG_DKIM_HEADER_MAX or
 *          MG_DKIM_FIELDS_MAX, or it has no From, which must be signed (RFC
 *          6376 5.4) */
apr_status_t mg_dkim_content_end(mg_dkim_content_t *content);

/** The whole field "DKIM-Signature: ...", folded, with its CRLF.
 * @param at  t=, of which the seconds count */
apr_status_t mg_dkim_sign(const char **pfield, apr_size_t *plen,
                          const mg_dkim_signer_t *signer,
                          const mg_dkim_content_t *content, apr_time_t at,
                          apr_pool_t *p);

#endif
