/* mg_dkim_key.c - a domain's DKIM keys (RFC 6376, RFC 8463), sealed. */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <apr_base64.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "mg_dkim_key.h"
#include "mg_domain_private.h"
#include "mg_id.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_tx.h"

enum { RSA_KEY, ED25519_KEY, KINDS };
static const struct {
    const char *algorithm, *selector;
} kinds[KINDS] = {
    { "rsa-sha256", "mg" },
    { "ed25519-sha256", "mge" },
};

typedef struct {
    unsigned char *private_der;       /* PKCS#8 */
    apr_size_t private_len;
    const char *public_base64;        /* for p= */
} pair_t;

struct mg_dkim_t {
    pair_t pairs[KINDS];
};

/* --- making --- */

static const char *base64_of(const unsigned char *bytes, int len,
                             apr_pool_t *p)
{
    char *text = apr_palloc(p, (apr_size_t)apr_base64_encode_len(len));

    apr_base64_encode_binary(text, bytes, len);
    return text;
}

/* p=: for RSA a SubjectPublicKeyInfo (RFC 6376 3.6.1), for Ed25519 the 32
 * octets (RFC 8463 4.2). */
static const char *public_of(int kind, EVP_PKEY *pkey, apr_pool_t *p)
{
    unsigned char raw[32], *der = NULL;
    size_t raw_len = sizeof(raw);
    const char *text = NULL;
    int len;

    if (kind == ED25519_KEY)
        return EVP_PKEY_get_raw_public_key(pkey, raw, &raw_len) == 1
                   ? base64_of(raw, (int)raw_len, p) : NULL;
    len = i2d_PUBKEY(pkey, &der);
    if (len > 0)
        text = base64_of(der, len, p);
    OPENSSL_free(der);
    return text;
}

static apr_status_t wipe(void *data)
{
    pair_t *pair = data;

    OPENSSL_cleanse(pair->private_der, pair->private_len);
    return APR_SUCCESS;
}

static apr_status_t pair_make(pair_t *pair, int kind, apr_pool_t *p)
{
    EVP_PKEY *pkey = kind == RSA_KEY
                         ? EVP_RSA_gen(2048)
                         : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    PKCS8_PRIV_KEY_INFO *info = pkey ? EVP_PKEY2PKCS8(pkey) : NULL;
    unsigned char *der = NULL;
    int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : 0;

    PKCS8_PRIV_KEY_INFO_free(info);
    if (len > 0) {
        pair->private_der = apr_pmemdup(p, der, (apr_size_t)len);
        pair->private_len = (apr_size_t)len;
        apr_pool_cleanup_register(p, pair, wipe, apr_pool_cleanup_null);
        pair->public_base64 = public_of(kind, pkey, p);
    }
    OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
    EVP_PKEY_free(pkey);
    return len > 0 && pair->public_base64 ? APR_SUCCESS : MG_ECRYPT;
}

apr_status_t mg_dkim_make(mg_dkim_t **pkey, apr_pool_t *p)
{
    mg_dkim_t *key = apr_pcalloc(p, sizeof(*key));
    apr_status_t rv = APR_SUCCESS;
    int kind;

    *pkey = NULL;
    for (kind = 0; rv == APR_SUCCESS && kind < KINDS; kind++)
        rv = pair_make(&key->pairs[kind], kind, p);
    if (rv == APR_SUCCESS)
        *pkey = key;
    return rv;
}

/* --- rows --- */

/* n 1: "mg", 2: "mg2" */
static apr_status_t insert(mg_db_t *db, const mg_secret_t *secret,
                           apr_int64_t domain_id, const mg_dkim_t *dkim,
                           int n, int waits, apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;
    apr_int64_t now = mg_now();
    int kind;

    for (kind = 0; rv == APR_SUCCESS && kind < KINDS; kind++) {
        const pair_t *pair = &dkim->pairs[kind];
        apr_int64_t id = mg_id_next();
        const char *selector = kinds[kind].selector;
        const void *sealed;
        apr_size_t len;

        if (n > 1)
            selector = apr_psprintf(p, "%s%d", selector, n);
        rv = mg_seal(&sealed, &len, secret, "dkim_key", id, pair->private_der,
                     pair->private_len, p);
        if (rv == APR_SUCCESS)
            rv = mg_db_exec(db, NULL,
                            "INSERT INTO dkim_key (id, domain_id, selector,"
                            " algorithm, public_key, sealed, created_at,"
                            " signs_since)"
                            " VALUES ($1, $2, $3, $4, $5, $6, $7,"
                            " NULLIF($8, 0))",
                            "iitttbii", id, domain_id, selector,
                            kinds[kind].algorithm, pair->public_base64, sealed,
                            len, now, waits ? (apr_int64_t)0 : now);
    }
    return rv;
}

apr_status_t mg_dkim_insert(mg_db_t *db, const mg_secret_t *secret,
                            apr_int64_t domain_id, const mg_dkim_t *dkim,
                            apr_pool_t *p)
{
    return insert(db, secret, domain_id, dkim, 1, 0, p);
}

apr_status_t mg_domain_dkim(apr_array_header_t **pkeys, mg_db_t *db,
                            apr_int64_t domain_id, apr_pool_t *p)
{
    mg_dkim_public_t *key;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pkeys = apr_array_make(p, 2, sizeof(mg_dkim_public_t));
    rv = mg_db_query(&stmt, db,
                     "SELECT selector, algorithm, public_key,"
                     " COALESCE(signs_since, 0), COALESCE(retired_at, 0)"
                     " FROM dkim_key WHERE domain_id = $1 ORDER BY id",
                     "i", domain_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        key = apr_array_push(*pkeys);
        key->selector = mg_stmt_text(stmt, 0, p);
        key->algorithm = mg_stmt_text(stmt, 1, p);
        key->public_key = mg_stmt_text(stmt, 2, p);
        key->signs_since = mg_stmt_int(stmt, 3);
        key->retired_at = mg_stmt_int(stmt, 4);
        key->state = key->retired_at    ? MG_DKIM_RETIRED
                     : key->signs_since ? MG_DKIM_SIGNS
                                        : MG_DKIM_WAITS;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

const char *mg_dkim_state_name(const mg_dkim_public_t *key)
{
    static const char *const names[] = { "waits", "signs", "retired" };

    return names[key->state];
}

const char *mg_dkim_record(const mg_dkim_public_t *key, apr_pool_t *p)
{
    if (strcmp(key->algorithm, kinds[ED25519_KEY].algorithm) == 0)
        return apr_pstrcat(p, "v=DKIM1; k=ed25519; p=", key->public_key, NULL);
    return apr_pstrcat(p, "k=rsa; p=", key->public_key, NULL);
}

const char *mg_dkim_name(const mg_dkim_public_t *key, const char *domain,
                         apr_pool_t *p)
{
    return apr_pstrcat(p, key->selector, "._domainkey.", domain, NULL);
}

/* --- rotation --- */

/* The number of a selector: "mge3" is 3, "mg" is 1. */
static int selector_number(const char *selector)
{
    const char *digits = selector + strcspn(selector, "0123456789");
    int n = (int)strtol(digits, NULL, 10);

    return n > 1 ? n : 1;
}

static apr_status_t touch_domain(mg_db_t *db, apr_int64_t domain_id)
{
    apr_int64_t changed = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &changed, "UPDATE domain SET revision = revision + 1,"
                    " dns_due = 0 WHERE id = $1", "i", domain_id);
    return rv == APR_SUCCESS && changed == 0 ? APR_ENOENT : rv;
}

apr_status_t mg_dkim_rotate(mg_db_t *db, const mg_secret_t *secret,
                            apr_int64_t domain_id, const mg_dkim_t *dkim,
                            apr_pool_t *p)
{
    apr_array_header_t *keys;
    apr_status_t rv;
    int i, own, n = 0;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = touch_domain(db, domain_id); /* locks it, too */
    if (rv == APR_SUCCESS)
        rv = mg_domain_dkim(&keys, db, domain_id, p);
    for (i = 0; rv == APR_SUCCESS && i < keys->nelts; i++) {
        const mg_dkim_public_t *key = &APR_ARRAY_IDX(keys, i,
                                                     mg_dkim_public_t);

        if (key->state == MG_DKIM_WAITS)
            rv = APR_EEXIST;
        if (selector_number(key->selector) > n)
            n = selector_number(key->selector);
    }
    if (rv == APR_SUCCESS)
        rv = insert(db, secret, domain_id, dkim, n + 1, 1, p);
    return mg_tx_leave(db, own, rv);
}

static apr_status_t switch_one(mg_db_t *db, apr_int64_t domain_id,
                               const mg_dkim_public_t *key, apr_int64_t now)
{
    apr_status_t rv;

    rv = mg_db_exec(db, NULL, "UPDATE dkim_key SET retired_at = $1"
                    " WHERE domain_id = $2 AND algorithm = $3"
                    " AND retired_at IS NULL AND signs_since IS NOT NULL",
                    "iit", now, domain_id, key->algorithm);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "UPDATE dkim_key SET signs_since = $1"
                        " WHERE domain_id = $2 AND selector = $3"
                        " AND signs_since IS NULL", "iit", now, domain_id,
                        key->selector);
    return rv;
}

apr_status_t mg_dkim_switch(int *pn, mg_db_t *db, apr_int64_t domain_id,
                            const char *selector, apr_pool_t *p)
{
    apr_array_header_t *keys;
    apr_int64_t now = mg_now();
    apr_status_t rv;
    int i, own;

    *pn = 0;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = touch_domain(db, domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_domain_dkim(&keys, db, domain_id, p);
    for (i = 0; rv == APR_SUCCESS && i < keys->nelts; i++) {
        const mg_dkim_public_t *key = &APR_ARRAY_IDX(keys, i,
                                                     mg_dkim_public_t);

        if (key->state != MG_DKIM_WAITS
            || (selector && strcmp(key->selector, selector) != 0))
            continue;
        rv = switch_one(db, domain_id, key, now);
        ++*pn;
    }
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_dkim_expire(int *pn, mg_db_t *db, apr_time_t before, int limit,
                            apr_pool_t *p)
{
    typedef struct {
        apr_int64_t id, domain_id;
        const char *selector;
    } old_t;
    apr_array_header_t *list = apr_array_make(p, 8, sizeof(old_t));
    mg_stmt_t *stmt;
    apr_status_t rv;
    int i, own;

    *pn = 0;
    rv = mg_db_query(&stmt, db, "SELECT id, domain_id, selector FROM dkim_key"
                     " WHERE retired_at IS NOT NULL AND retired_at < $1"
                     " ORDER BY retired_at LIMIT $2", "ii",
                     (apr_int64_t)before, (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        old_t *old = apr_array_push(list);

        old->id = mg_stmt_int(stmt, 0);
        old->domain_id = mg_stmt_int(stmt, 1);
        old->selector = mg_stmt_text(stmt, 2, p);
    }
    if (rv != APR_EOF || list->nelts == 0)
        return rv == APR_EOF ? APR_SUCCESS : rv;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; rv == APR_SUCCESS && i < list->nelts; i++) {
        const old_t *old = &APR_ARRAY_IDX(list, i, old_t);

        rv = mg_db_exec(db, NULL, "DELETE FROM dkim_key WHERE id = $1", "i",
                        old->id);
        if (rv == APR_SUCCESS)
            rv = mg_db_exec(db, NULL, "DELETE FROM dns_check"
                            " WHERE domain_id = $1 AND record = $2", "it",
                            old->domain_id,
                            apr_pstrcat(p, "dkim.", old->selector, NULL));
    }
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *pn = list->nelts;
    return rv;
}

/* --- opening --- */

typedef struct {
    void *der;
    apr_size_t len;
} opened_t;

static apr_status_t wipe_opened(void *data)
{
    opened_t *o = data;

    OPENSSL_cleanse(o->der, o->len);
    return APR_SUCCESS;
}

static apr_status_t open_one(mg_dkim_private_t *key, const mg_secret_t *secret,
                             apr_int64_t id, const void *sealed,
                             apr_size_t len, apr_pool_t *p)
{
    opened_t *o = apr_palloc(p, sizeof(*o));
    apr_status_t rv;

    rv = mg_unseal(&key->der, &key->len, secret, "dkim_key", id, sealed, len,
                   p);
    if (rv != APR_SUCCESS)
        return rv;
    o->der = (void *)key->der;
    o->len = key->len;
    apr_pool_cleanup_register(p, o, wipe_opened, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

apr_status_t mg_dkim_open(apr_array_header_t **pkeys, mg_db_t *db,
                          const mg_secret_t *secret, apr_int64_t domain_id,
                          apr_pool_t *p)
{
    mg_dkim_private_t *key;
    mg_stmt_t *stmt;
    apr_size_t len;
    apr_status_t rv;
    int i;

    *pkeys = apr_array_make(p, 2, sizeof(mg_dkim_private_t));
    rv = mg_db_query(&stmt, db,
                     "SELECT id, selector, algorithm, sealed FROM dkim_key"
                     " WHERE domain_id = $1 AND retired_at IS NULL"
                     " AND signs_since IS NOT NULL ORDER BY id DESC",
                     "i", domain_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        const char *algorithm = mg_stmt_text(stmt, 2, p);
        const void *sealed = mg_stmt_blob(stmt, 3, &len, p);
        apr_int64_t id = mg_stmt_int(stmt, 0);

        for (i = 0; i < (*pkeys)->nelts; i++)
            if (!strcmp(APR_ARRAY_IDX(*pkeys, i, mg_dkim_private_t).algorithm,
                        algorithm))
                break;
        if (i < (*pkeys)->nelts)
            continue; /* there is a newer one */
        key = apr_array_push(*pkeys);
        key->selector = mg_stmt_text(stmt, 1, p);
        key->algorithm = algorithm;
        rv = open_one(key, secret, id, sealed, len, p);
        if (rv != APR_SUCCESS)
            mg_stmt_done(stmt);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}
