/* mg_account.h - accounts and their API keys.
 *
 * A key is "key-" and 32 of [0-9a-z]. It is found by its SHA-256 and kept
 * sealed (mg_seal.h), because v2 webhooks are signed with the key itself: by
 * the account's oldest live key.
 */
#ifndef MG_ACCOUNT_H
#define MG_ACCOUNT_H

#include <apr_tables.h>
#include "mg_db.h"
#include "mg_seal.h"

typedef struct {
    apr_int64_t id;
    const char *name;
    const char *state;       /* active, disabled */
    apr_int64_t campaign_limit; /* -1: none */
    apr_int64_t member_limit;   /* of all its mailing lists; -1: none */
    apr_time_t created_at;
} mg_account_t;

/** @return APR_EEXIST */
apr_status_t mg_account_add(mg_account_t **paccount, mg_db_t *db,
                            const char *name, apr_pool_t *p);
apr_status_t mg_account_by_name(mg_account_t **paccount, mg_db_t *db,
                                const char *name, apr_pool_t *p);
/** name: "state" = active|disabled; "campaigns", "members" (of all its mailing
 * lists together) = how many it may have, or "none": no limit. */
apr_status_t mg_account_set(mg_db_t *db, apr_int64_t account_id,
                            const char *name, const char *value,
                            const char **perror, apr_pool_t *p);

/** By name; array of mg_account_t *. */
apr_status_t mg_account_list(apr_array_header_t **plist, mg_db_t *db,
                             apr_pool_t *p);

/** *pkey is the only time the key is seen in clear. */
apr_status_t mg_key_add(const char **pkey, mg_db_t *db,
                        const mg_secret_t *secret, apr_int64_t account_id,
                        apr_pool_t *p);
/** By the key itself or its last four characters if they are unique.
 * @return APR_ENOENT; MG_EBADINPUT: several keys end so */
apr_status_t mg_key_revoke(mg_db_t *db, apr_int64_t account_id,
                           const char *key, apr_pool_t *p);
typedef struct {
    apr_int64_t id;
    const char *hint;        /* last four characters */
    apr_time_t created_at;
    apr_time_t revoked_at;   /* 0: live */
} mg_key_t;
/** Oldest first; array of mg_key_t *. */
apr_status_t mg_key_list(apr_array_header_t **plist, mg_db_t *db,
                         apr_int64_t account_id, apr_pool_t *p);
/** Who calls? @return APR_ENOENT: unknown, revoked, or account disabled */
apr_status_t mg_key_find(apr_int64_t *paccount_id, mg_db_t *db,
                         const char *key, apr_pool_t *p);
/** The key that signs: the oldest live one, opened. */
apr_status_t mg_key_signing(const char **pkey, mg_db_t *db,
                            const mg_secret_t *secret, apr_int64_t account_id,
                            apr_pool_t *p);
#endif
