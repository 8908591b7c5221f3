/* verify_key.c - public keys in DNS (RFC 6376 3.6.1, RFC 8463 4). */
#include <apr_strings.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "mg_verify_private.h"

#define RSA_BITS_MIN 1024      /* RFC 8301 3.2 */
#define RSA_BITS_MAX 4096
#define KEY_MAX 2048           /* octets */

/* Is one of a colon list that? */
static int has_word(const char *list, const char *word, apr_pool_t *p)
{
    char *last, *one = apr_strtok(apr_pstrdup(p, list), ": \t\r\n", &last);

    for (; one; one = apr_strtok(NULL, ": \t\r\n", &last))
        if (strcmp(one, word) == 0)
            return 1;
    return 0;
}

static apr_status_t free_key(void *key)
{
    EVP_PKEY_free(key);
    return APR_SUCCESS;
}

/* SubjectPublicKeyInfo, as all publish it, or RSAPublicKey, as the RFC says. */
static EVP_PKEY *read_rsa(const unsigned char *der, int len)
{
    const unsigned char *at = der;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, len);

    if (!key) {
        at = der;
        key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, len);
    }
    return key;
}

static const char *open_key(EVP_PKEY **pkey, const char *base64,
                            int is_ed25519, apr_pool_t *p)
{
    apr_size_t len = strlen(base64);
    unsigned char *der;
    int n, bits;

    if (len == 0)
        return "the key is revoked";
    if (len > KEY_MAX || len % 4)
        return "the key is damaged";
    der = apr_palloc(p, len);
    n = EVP_DecodeBlock(der, (const unsigned char *)base64, (int)len);
    if (n <= 0)
        return "the key is damaged";
    n -= base64[len - 1] == '=';
    n -= base64[len - 2] == '=';
    *pkey = is_ed25519
                ? n == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
                                                        der, 32) : NULL
                : read_rsa(der, n);
    if (!*pkey)
        return "the key is damaged";
    apr_pool_cleanup_register(p, *pkey, free_key, apr_pool_cleanup_null);
    bits = EVP_PKEY_get_bits(*pkey);
    if (!is_ed25519 && (!EVP_PKEY_is_a(*pkey, "RSA") || bits < RSA_BITS_MIN
                        || bits > RSA_BITS_MAX))
        return "the key is too small, or too large";
    return NULL;
}

const char *verify_key_open(EVP_PKEY **pkey, int *pstrict, const char *text,
                            int is_ed25519, apr_pool_t *p)
{
    const char *version, *kind, *hashes, *services, *flags, *base64;
    verify_tags_t tags;

    *pkey = NULL;
    *pstrict = 0;
    if (!verify_tags_read(&tags, text, strlen(text), p))
        return "the key's record is malformed";
    version = verify_tag(&tags, "v");
    if (version && (strcmp(version, "DKIM1") != 0
                    || strcmp(tags.tag[0].name, "v") != 0))
        return "the key's record is of another version";
    kind = verify_tag(&tags, "k");
    if (strcmp(kind ? kind : "rsa", is_ed25519 ? "ed25519" : "rsa") != 0)
        return "the key is of another kind";
    hashes = verify_tag(&tags, "h");
    if (hashes && !has_word(hashes, "sha256", p))
        return "the key is not for sha256";
    services = verify_tag(&tags, "s");
    if (services && !has_word(services, "*", p)
        && !has_word(services, "email", p))
        return "the key is not for mail";
    flags = verify_tag(&tags, "t");
    *pstrict = flags && has_word(flags, "s", p);
    base64 = verify_tag_packed(&tags, "p", p);
    return base64 ? open_key(pkey, base64, is_ed25519, p)
                  : "the key's record has no key";
}
