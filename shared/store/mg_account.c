/* mg_account.c - accounts and their API keys. */
#include <string.h>
#include <apr_strings.h>

#include "mg_account.h"
#include "mg_id.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define KEY_PREFIX "key-"
#define KEY_RANDOM 32
#define HINT_LEN 4
/* Longer than any key: whoever sends more is guessing. */
#define KEY_MAX 128

apr_status_t mg_account_add(mg_account_t **paccount, mg_db_t *db,
                            const char *name, apr_pool_t *p)
{
    mg_account_t *account = apr_pcalloc(p, sizeof(*account));
    apr_int64_t added = 0;
    apr_status_t rv;

    *paccount = NULL;
    if (!*name)
        return MG_EBADINPUT;
    account->id = mg_id_next();
    account->name = mg_text_clean(name, strlen(name), p);
    account->state = "active";
    account->campaign_limit = account->member_limit = -1;
    account->created_at = mg_now();
    rv = mg_db_exec(db, &added,
                    "INSERT INTO account (id, name, state, created_at)"
                    " VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING",
                    "itti", account->id, account->name, account->state,
                    (apr_int64_t)account->created_at);
    if (rv != APR_SUCCESS)
        return rv;
    if (added == 0)
        return APR_EEXIST;
    *paccount = account;
    return APR_SUCCESS;
}

static mg_account_t *account_from_row(mg_stmt_t *stmt, apr_pool_t *p)
{
    mg_account_t *account = apr_pcalloc(p, sizeof(*account));

    account->id = mg_stmt_int(stmt, 0);
    account->name = mg_stmt_text(stmt, 1, p);
    account->state = mg_stmt_text(stmt, 2, p);
    account->created_at = mg_stmt_int(stmt, 3);
    account->campaign_limit = mg_stmt_int(stmt, 4);
    account->member_limit = mg_stmt_int(stmt, 5);
    return account;
}

apr_status_t mg_account_by_name(mg_account_t **paccount, mg_db_t *db,
                                const char *name, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *paccount = NULL;
    rv = mg_db_query(&stmt, db,
                     "SELECT id, name, state, created_at,"
                     " COALESCE(campaign_limit, -1),"
                     " COALESCE(member_limit, -1) FROM account"
                     " WHERE name = $1",
                     "t", mg_text_clean(name, strlen(name), p));
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    *paccount = account_from_row(stmt, p);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

apr_status_t mg_account_list(apr_array_header_t **plist, mg_db_t *db,
                             apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_account_t *));
    rv = mg_db_query(&stmt, db,
                     "SELECT id, name, state, created_at,"
                     " COALESCE(campaign_limit, -1),"
                     " COALESCE(member_limit, -1) FROM account"
                     " ORDER BY name", "");
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plist, mg_account_t *) = account_from_row(stmt, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static apr_status_t set_state(apr_int64_t *pchanged, mg_db_t *db,
                              apr_int64_t account_id, const char *value,
                              const char **perror, apr_pool_t *p)
{
    if (strcmp(value, "active") && strcmp(value, "disabled")) {
        *perror = apr_psprintf(p, "state: '%s' is none of active, disabled",
                               value);
        return MG_EBADINPUT;
    }
    return mg_db_exec(db, pchanged, "UPDATE account SET state = $1"
                      " WHERE id = $2", "ti", value, account_id);
}

static const struct {
    const char *name, *set, *unset;
} limits[] = {
    { "campaigns", "UPDATE account SET campaign_limit = $1 WHERE id = $2",
      "UPDATE account SET campaign_limit = NULL WHERE id = $1" },
    { "members", "UPDATE account SET member_limit = $1 WHERE id = $2",
      "UPDATE account SET member_limit = NULL WHERE id = $1" }
};
#define LIMITS (int)(sizeof(limits) / sizeof(*limits))

static apr_status_t set_limit(apr_int64_t *pchanged, mg_db_t *db,
                              apr_int64_t account_id, int which,
                              const char *value, const char **perror,
                              apr_pool_t *p)
{
    apr_int64_t limit;
    char *end;

    if (!strcmp(value, "none"))
        return mg_db_exec(db, pchanged, limits[which].unset, "i", account_id);
    limit = apr_strtoi64(value, &end, 10);
    if (!*value || *end || limit < 0 || limit > 1000000000) {
        *perror = apr_psprintf(p, "%s: '%s' is no number and not none",
                               limits[which].name, value);
        return MG_EBADINPUT;
    }
    return mg_db_exec(db, pchanged, limits[which].set, "ii", limit,
                      account_id);
}

apr_status_t mg_account_set(mg_db_t *db, apr_int64_t account_id,
                            const char *name, const char *value,
                            const char **perror, apr_pool_t *p)
{
    apr_int64_t changed = 0;
    apr_status_t rv;
    int i;

    *perror = NULL;
    for (i = 0; i < LIMITS && strcmp(limits[i].name, name); i++)
        ;
    if (i < LIMITS) {
        rv = set_limit(&changed, db, account_id, i, value, perror, p);
    }
    else if (!strcmp(name, "state")) {
        rv = set_state(&changed, db, account_id, value, perror, p);
    }
    else {
        *perror = apr_psprintf(p, "'%s' is no setting of an account; there"
                               " are state, campaigns, members", name);
        rv = MG_EBADINPUT;
    }
    return rv == APR_SUCCESS && changed == 0 ? APR_ENOENT : rv;
}

/* --- keys --- */

apr_status_t mg_key_add(const char **pkey, mg_db_t *db,
                        const mg_secret_t *secret, apr_int64_t account_id,
                        apr_pool_t *p)
{
    const char *key = apr_pstrcat(p, KEY_PREFIX,
                                  mg_id_random(KEY_RANDOM, p), NULL);
    apr_size_t len = strlen(key), sealed_len;
    apr_int64_t id = mg_id_next();
    unsigned char digest[32];
    const void *sealed;
    apr_status_t rv;

    *pkey = NULL;
    rv = mg_seal(&sealed, &sealed_len, secret, "api_key", id, key, len, p);
    if (rv != APR_SUCCESS)
        return rv;
    mg_sha256(digest, key, len);
    rv = mg_db_exec(db, NULL,
                    "INSERT INTO api_key (id, account_id, digest, sealed,"
                    " hint, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
                    "iibbti", id, account_id, (const void *)digest,
                    sizeof(digest), sealed, sealed_len, key + len - HINT_LEN,
                    (apr_int64_t)mg_now());
    if (rv == APR_SUCCESS)
        *pkey = key;
    return rv;
}

apr_status_t mg_key_revoke(mg_db_t *db, apr_int64_t account_id,
                           const char *key, apr_pool_t *p)
{
    apr_size_t len = strlen(key);
    unsigned char digest[32];
    apr_int64_t n = 0;
    apr_status_t rv;

    mg_sha256(digest, key, len);
    rv = mg_db_exec(db, &n,
                    "UPDATE api_key SET revoked_at = $1 WHERE account_id = $2"
                    " AND digest = $3 AND revoked_at IS NULL",
                    "iib", (apr_int64_t)mg_now(), account_id,
                    (const void *)digest, sizeof(digest));
    if (rv != APR_SUCCESS || n > 0)
        return rv;
    if (len != HINT_LEN)
        return APR_ENOENT;

    key = mg_text_clean(key, len, p);
    rv = mg_db_get_int(db, &n,
                       "SELECT COUNT(*) FROM api_key WHERE account_id = $1"
                       " AND hint = $2 AND revoked_at IS NULL",
                       "it", account_id, key);
    if (rv != APR_SUCCESS)
        return rv;
    if (n != 1)
        return n ? MG_EBADINPUT : APR_ENOENT;
    return mg_db_exec(db, NULL,
                      "UPDATE api_key SET revoked_at = $1"
                      " WHERE account_id = $2 AND hint = $3"
                      " AND revoked_at IS NULL",
                      "iit", (apr_int64_t)mg_now(), account_id, key);
}

apr_status_t mg_key_list(apr_array_header_t **plist, mg_db_t *db,
                         apr_int64_t account_id, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    mg_key_t *key;
    apr_status_t rv;

    *plist = apr_array_make(p, 4, sizeof(mg_key_t *));
    rv = mg_db_query(&stmt, db,
                     "SELECT id, hint, created_at, revoked_at FROM api_key"
                     " WHERE account_id = $1 ORDER BY id", "i", account_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        key = apr_pcalloc(p, sizeof(*key));
        key->id = mg_stmt_int(stmt, 0);
        key->hint = mg_stmt_text(stmt, 1, p);
        key->created_at = mg_stmt_int(stmt, 2);
        key->revoked_at = mg_stmt_int(stmt, 3);
        APR_ARRAY_PUSH(*plist, mg_key_t *) = key;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_key_find(apr_int64_t *paccount_id, mg_db_t *db,
                         const char *key, apr_pool_t *p)
{
    apr_size_t len = strlen(key);
    unsigned char digest[32];

    (void)p;
    *paccount_id = 0;
    if (len > KEY_MAX)
        return APR_ENOENT;
    mg_sha256(digest, key, len);
    return mg_db_get_int(db, paccount_id,
                         "SELECT k.account_id FROM api_key k"
                         " JOIN account a ON a.id = k.account_id"
                         " WHERE k.digest = $1 AND k.revoked_at IS NULL"
                         " AND a.state = 'active'",
                         "b", (const void *)digest, sizeof(digest));
}

apr_status_t mg_key_signing(const char **pkey, mg_db_t *db,
                            const mg_secret_t *secret, apr_int64_t account_id,
                            apr_pool_t *p)
{
    const void *sealed, *key;
    apr_size_t sealed_len, len;
    mg_stmt_t *stmt;
    apr_int64_t id;
    apr_status_t rv;

    *pkey = NULL;
    rv = mg_db_query(&stmt, db,
                     "SELECT id, sealed FROM api_key WHERE account_id = $1"
                     " AND revoked_at IS NULL ORDER BY id LIMIT 1",
                     "i", account_id);
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    id = mg_stmt_int(stmt, 0);
    sealed = mg_stmt_blob(stmt, 1, &sealed_len, p);
    mg_stmt_done(stmt);
    rv = mg_unseal(&key, &len, secret, "api_key", id, sealed, sealed_len, p);
    if (rv == APR_SUCCESS)
        *pkey = apr_pstrmemdup(p, key, len);
    return rv;
}
