/* mg_dkim_key.c - a domain's DKIM keys (RFC 6376): RSA-2048, sealed. */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <apr_base64.h>
#include <apr_strings.h>

#include "mg_domain.h"
#include "mg_domain_private.h"
#include "mg_id.h"
#include "mg_status.h"
#include "mg_time.h"

#define SELECTOR "mg"

struct mg_dkim_t {
    const unsigned char *private_der; /* PKCS#8 */
    apr_size_t private_len;
    const char *public_base64;        /* SubjectPublicKeyInfo, for p= */
};

static apr_status_t der_of(mg_dkim_t *key, EVP_PKEY *pkey, apr_pool_t *p)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    unsigned char *der = NULL, *pub = NULL;
    int len, pub_len;
    char *text;

    if (!info)
        return MG_ECRYPT;
    len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    PKCS8_PRIV_KEY_INFO_free(info);
    pub_len = i2d_PUBKEY(pkey, &pub);
    if (len > 0 && pub_len > 0) {
        key->private_der = apr_pmemdup(p, der, (apr_size_t)len);
        key->private_len = (apr_size_t)len;
        text = apr_palloc(p, (apr_size_t)apr_base64_encode_len(pub_len));
        apr_base64_encode_binary(text, pub, pub_len);
        key->public_base64 = text;
    }
    OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
    OPENSSL_free(pub);
    return len > 0 && pub_len > 0 ? APR_SUCCESS : MG_ECRYPT;
}

static apr_status_t wipe(void *data)
{
    mg_dkim_t *key = data;

    OPENSSL_cleanse((void *)key->private_der, key->private_len);
    return APR_SUCCESS;
}

apr_status_t mg_dkim_make(mg_dkim_t **pkey, apr_pool_t *p)
{
    mg_dkim_t *key = apr_pcalloc(p, sizeof(*key));
    EVP_PKEY *pkey_rsa = EVP_RSA_gen(2048);
    apr_status_t rv;

    *pkey = NULL;
    if (!pkey_rsa)
        return MG_ECRYPT;
    rv = der_of(key, pkey_rsa, p);
    EVP_PKEY_free(pkey_rsa);
    if (rv != APR_SUCCESS)
        return rv;
    apr_pool_cleanup_register(p, key, wipe, apr_pool_cleanup_null);
    *pkey = key;
    return APR_SUCCESS;
}

apr_status_t mg_dkim_insert(mg_db_t *db, const mg_secret_t *secret,
                            apr_int64_t domain_id, const mg_dkim_t *dkim,
                            apr_pool_t *p)
{
    apr_int64_t id = mg_id_next();
    const void *sealed;
    apr_size_t len;
    apr_status_t rv;

    rv = mg_seal(&sealed, &len, secret, "dkim_key", id, dkim->private_der,
                 dkim->private_len, p);
    if (rv != APR_SUCCESS)
        return rv;
    return mg_db_exec(db, NULL,
                      "INSERT INTO dkim_key (id, domain_id, selector,"
                      " algorithm, public_key, sealed, created_at)"
                      " VALUES ($1, $2, $3, $4, $5, $6, $7)",
                      "iitttbi", id, domain_id, SELECTOR, "rsa-sha256",
                      dkim->public_base64, sealed, len,
                      (apr_int64_t)mg_now());
}

apr_status_t mg_domain_dkim(apr_array_header_t **pkeys, mg_db_t *db,
                            apr_int64_t domain_id, apr_pool_t *p)
{
    mg_dkim_public_t *key;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pkeys = apr_array_make(p, 2, sizeof(mg_dkim_public_t));
    rv = mg_db_query(&stmt, db,
                     "SELECT selector, algorithm, public_key FROM dkim_key"
                     " WHERE domain_id = $1 AND retired_at IS NULL"
                     " ORDER BY id",
                     "i", domain_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        key = apr_array_push(*pkeys);
        key->selector = mg_stmt_text(stmt, 0, p);
        key->algorithm = mg_stmt_text(stmt, 1, p);
        key->public_key = mg_stmt_text(stmt, 2, p);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}
