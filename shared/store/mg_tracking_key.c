/* mg_tracking_key.c - the key that signs a domain's tracking links. */
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "mg_domain.h"
#include "mg_domain_private.h"
#include "mg_id.h"
#include "mg_status.h"
#include "mg_time.h"

#define LABEL "tracking_key"

apr_status_t mg_tracking_key_insert(mg_db_t *db, const mg_secret_t *secret,
                                    apr_int64_t domain_id, apr_pool_t *p)
{
    unsigned char key[MG_TRACKING_KEY_LEN];
    apr_int64_t id = mg_id_next();
    const void *sealed;
    apr_size_t len;
    apr_status_t rv;

    if (RAND_bytes(key, sizeof(key)) != 1)
        return MG_ECRYPT;
    rv = mg_seal(&sealed, &len, secret, LABEL, id, key, sizeof(key), p);
    OPENSSL_cleanse(key, sizeof(key));
    if (rv != APR_SUCCESS)
        return rv;
    return mg_db_exec(db, NULL,
                      "INSERT INTO tracking_key (id, domain_id, sealed,"
                      " created_at) VALUES ($1, $2, $3, $4)",
                      "iibi", id, domain_id, sealed, len,
                      (apr_int64_t)mg_now());
}

apr_status_t mg_domain_tracking_key(unsigned char key[MG_TRACKING_KEY_LEN],
                                    apr_int64_t *pid, mg_db_t *db,
                                    const mg_secret_t *secret,
                                    apr_int64_t domain_id, apr_pool_t *p)
{
    const void *sealed, *data;
    apr_size_t len = 0;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pid = 0;
    rv = mg_db_query(&stmt, db,
                     "SELECT id, sealed FROM tracking_key"
                     " WHERE domain_id = $1 AND retired_at IS NULL"
                     " ORDER BY id DESC LIMIT 1",
                     "i", domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    *pid = mg_stmt_int(stmt, 0);
    sealed = mg_stmt_blob(stmt, 1, &len, p);
    mg_stmt_done(stmt);
    rv = mg_unseal(&data, &len, secret, LABEL, *pid, sealed, len, p);
    if (rv == APR_SUCCESS && len != MG_TRACKING_KEY_LEN)
        rv = MG_ECRYPT;
    if (rv == APR_SUCCESS)
        memcpy(key, data, len);
    return rv;
}
