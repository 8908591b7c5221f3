/* mg_domain_private.h - between the files of domains. */
#ifndef MG_DOMAIN_PRIVATE_H
#define MG_DOMAIN_PRIVATE_H

#include "mg_domain.h"

/* prevision: grows with each change of the domain or its settings */
apr_status_t mg_domain_read_by_name(mg_domain_t **pdomain,
                                    apr_int64_t *prevision, mg_db_t *db,
                                    const char *name, apr_pool_t *p);
apr_status_t mg_domain_read_by_id(mg_domain_t **pdomain,
                                  apr_int64_t *prevision, mg_db_t *db,
                                  apr_int64_t id, apr_pool_t *p);
apr_status_t mg_domain_load_settings(mg_domain_t *domain, mg_db_t *db,
                                     apr_pool_t *p);
apr_status_t mg_dkim_insert(mg_db_t *db, const mg_secret_t *secret,
                            apr_int64_t domain_id, const mg_dkim_t *dkim,
                            apr_pool_t *p);
/* Within a transaction: whoever removes the domain now waits for us, or we for
 * him: no login is left behind that would get the next owner's mail.
 * APR_ENOENT: it is gone. */
apr_status_t mg_domain_hold(mg_db_t *db, apr_int64_t domain_id);
/* All mailboxes of a domain become tombstones. */
apr_status_t mg_mailbox_delete_all(mg_db_t *db, apr_int64_t domain_id);

#endif
