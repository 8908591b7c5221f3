/* mg_credential.h - logins that can send and have no mailbox.
 *
 * A credential belongs to a domain; its login is a full address there, found
 * in any case, and it sends as the domain does. A mailbox of the same address
 * goes first; none can be added where one is.
 */
#ifndef MG_CREDENTIAL_H
#define MG_CREDENTIAL_H

#include <apr_tables.h>
#include "mg_domain.h"

typedef struct {
    apr_int64_t id;
    apr_int64_t account_id;   /* of its domain */
    apr_int64_t domain_id;
    const char *login;        /* full, lower case */
    const char *password_hash;
    apr_int64_t revision;     /* another number after a password change */
    apr_time_t created_at;
} mg_credential_t;

/**
 * @param login  "alice@a.test", or "alice"
 * @return APR_EEXIST: there is such a credential or mailbox; MG_EADDRESS: no
 *         address, or of another domain; APR_ENOENT: the domain was removed
 */
apr_status_t mg_credential_add(mg_credential_t **pcredential, mg_db_t *db,
                               const mg_domain_t *domain, const char *login,
                               const char *password_hash, apr_pool_t *p);
/** @return APR_ENOENT */
apr_status_t mg_credential_by_login(mg_credential_t **pcredential, mg_db_t *db,
                                    const char *login, apr_pool_t *p);
/** By login; array of mg_credential_t *. */
apr_status_t mg_credential_list(apr_array_header_t **plist,
                                apr_int64_t *ptotal, mg_db_t *db,
                                apr_int64_t domain_id, apr_int64_t skip,
                                apr_int64_t limit, apr_pool_t *p);
/** All logins of a domain, its mailboxes too. */
typedef struct {
    const char *login;
    apr_int64_t size_bytes;   /* of a mailbox; -1: it has none, or nothing was
                                 counted */
    apr_time_t created_at;
} mg_login_t;
/** By login; array of mg_login_t. */
apr_status_t mg_credential_logins(apr_array_header_t **plist,
                                  apr_int64_t *ptotal, mg_db_t *db,
                                  apr_int64_t domain_id, apr_int64_t skip,
                                  apr_int64_t limit, apr_pool_t *p);
/** All of a domain. *pn: how many there were. */
apr_status_t mg_credential_clear(apr_int64_t *pn, mg_db_t *db,
                                 apr_int64_t domain_id);
apr_status_t mg_credential_set_password(mg_db_t *db, apr_int64_t id,
                                        const char *password_hash);
apr_status_t mg_credential_remove(mg_db_t *db, apr_int64_t id);
#endif
