/* mg_stored.h - messages that a route's store() keeps for the customer.
 *
 * A row is one recipient's copy, found by its key alone: 128 random bits that
 * stand in the URL. The message and its content stay as long as there is a row
 * (mg_message_sweep(), mg_retention.h).
 */
#ifndef MG_STORED_H
#define MG_STORED_H

#include "mg_db.h"

typedef struct {
    apr_int64_t id, message_id, account_id, domain_id;
    const char *key;
    const char *recipient;
    apr_time_t expires_at;
} mg_stored_t;

/** A new key. */
const char *mg_stored_key(apr_pool_t *p);
/** "/domains/<domain>/messages/<key>": behind the API's address and version. */
const char *mg_stored_path(const char *domain, const char *key, apr_pool_t *p);
/** In the transaction that accepts the message. id 0: one is drawn. */
apr_status_t mg_stored_insert(mg_db_t *db, const mg_stored_t *stored);
/** @return APR_ENOENT, also if it has expired */
apr_status_t mg_stored_get(mg_stored_t **pstored, mg_db_t *db,
                           apr_int64_t domain_id, const char *key,
                           apr_pool_t *p);
/** @return APR_ENOENT */
apr_status_t mg_stored_delete(mg_db_t *db, apr_int64_t id);
/** Forget at most limit of those that have expired. The keeper's. */
apr_status_t mg_stored_forget(int *pn, mg_db_t *db, int limit);
#endif
