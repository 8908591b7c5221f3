/* mg_seal.h - secrets at rest.
 *
 * `mailgunctl init` makes two files (design "Store", account row):
 *   MailgunSecretFile          X25519 private key and 32 bytes of HMAC root;
 *                              0640, opened by smtpd's master and mailgunctl
 *   MailgunSecretFile + ".pub" X25519 public key, 0644; who has only this can
 *                              seal (httpd) but not open
 *
 * A seal is: 1 byte version, 32 bytes ephemeral X25519 public key, 12 bytes
 * nonce, ciphertext, 16 bytes tag. Key: HKDF-SHA256 over the shared point with
 * the label as info. AES-256-GCM; the label and the row's id are additional
 * data, so a seal moved to another row does not open.
 *
 * @return MG_ECRYPT: wrong secret, wrong row, or damaged
 */
#ifndef MG_SEAL_H
#define MG_SEAL_H

#include <apr_pools.h>

typedef struct mg_secret_t mg_secret_t;

apr_status_t mg_secret_create(const char *path, apr_pool_t *p);
/** Reads the private file; where it is not readable, the public one. */
apr_status_t mg_secret_load(mg_secret_t **psecret, const char *path,
                            apr_pool_t *p);
int mg_secret_can_open(const mg_secret_t *secret);

apr_status_t mg_seal(const void **psealed, apr_size_t *psealed_len,
                     const mg_secret_t *secret, const char *label,
                     apr_int64_t row_id, const void *data, apr_size_t len,
                     apr_pool_t *p);
apr_status_t mg_unseal(const void **pdata, apr_size_t *plen,
                       const mg_secret_t *secret, const char *label,
                       apr_int64_t row_id, const void *sealed, apr_size_t len,
                       apr_pool_t *p);
/** HKDF-SHA256(root, info): 32 bytes for one purpose, e.g. "verp". */
apr_status_t mg_secret_derive(unsigned char key[32], const mg_secret_t *secret,
                              const char *info);

void mg_sha256(unsigned char digest[32], const void *data, apr_size_t len);
void mg_hmac_sha256(unsigned char mac[32], const void *key, apr_size_t key_len,
                    const void *data, apr_size_t len);

/** bcrypt, cost 10; about 50 ms. Never call from an event loop. */
char *mg_password_hash(const char *password, apr_pool_t *p);
/** NULL, or what is wrong with a new password: it has 5 to 32 characters of
 * UTF-8 (72 octets), none of them a control character. */
#define MG_PASSWORD_MIN 5
#define MG_PASSWORD_MAX 32
const char *mg_password_problem(const char *password);
int mg_password_matches(const char *password, const char *hash);

#endif
