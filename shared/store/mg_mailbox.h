/* mg_mailbox.h - mailboxes: who may log in, where the mail is, how much.
 *
 * Look-ups take the full address, any case. A deleted mailbox is a tombstone
 * (deleted_at) until its files are gone. The home is <mail_dir>/<id % 1000>/
 * <id>, from the immutable id.
 */
#ifndef MG_MAILBOX_H
#define MG_MAILBOX_H

#include <apr_tables.h>
#include "mg_db.h"

typedef struct {
    apr_int64_t id;
    apr_int64_t account_id;
    apr_int64_t domain_id;
    const char *address;
    const char *password_hash;
    apr_int64_t revision;     /* another number after a password change */
    apr_int64_t quota_bytes;  /* -1: the default; 0: unlimited */
    apr_int64_t size_bytes;   /* -1: never counted */
    apr_time_t created_at;
} mg_mailbox_t;

/** @return APR_EEXIST; MG_EADDRESS; APR_ENOENT: the domain was removed */
apr_status_t mg_mailbox_add(mg_mailbox_t **pmailbox, mg_db_t *db,
                            apr_int64_t account_id, apr_int64_t domain_id,
                            const char *address, const char *password_hash,
                            apr_pool_t *p);
apr_status_t mg_mailbox_by_address(mg_mailbox_t **pmailbox, mg_db_t *db,
                                   const char *address, apr_pool_t *p);
apr_status_t mg_mailbox_by_id(mg_mailbox_t **pmailbox, mg_db_t *db,
                              apr_int64_t id, apr_pool_t *p);
/** Live ones by address; array of mg_mailbox_t *. */
apr_status_t mg_mailbox_list(apr_array_header_t **plist, apr_int64_t *ptotal,
                             mg_db_t *db, apr_int64_t domain_id,
                             apr_int64_t skip, apr_int64_t limit,
                             apr_pool_t *p);
apr_status_t mg_mailbox_set_password(mg_db_t *db, apr_int64_t id,
                                     const char *password_hash);
/** quota_bytes -1: the default. */
apr_status_t mg_mailbox_set_quota(mg_db_t *db, apr_int64_t id,
                                  apr_int64_t quota_bytes);
apr_status_t mg_mailbox_delete(mg_db_t *db, apr_int64_t id);
/** Tombstones whose files are still to be removed; array of mg_mailbox_t *. */
apr_status_t mg_mailbox_deleted(apr_array_header_t **plist, mg_db_t *db,
                                int limit, apr_pool_t *p);
apr_status_t mg_mailbox_forget(mg_db_t *db, apr_int64_t id);
char *mg_mailbox_home(const char *mail_dir, apr_int64_t id, apr_pool_t *p);

/* --- quota, mailboxd's --- */

/** A reservation lasts as long as one save. What is older is nobody's: its
 * mailbox is counted again. */
#define MG_QUOTA_STALE_AFTER (3600 * APR_TIME_C(1000000))

/** One atomic statement: reserve if used + reserved + n fits into the
 * mailbox's limit and its domain's; 0 bytes always fit. @return MG_EQUOTA, or
 * APR_ENOENT if the mailbox is gone */
apr_status_t mg_quota_reserve(apr_int64_t *preservation, mg_db_t *db,
                              apr_int64_t mailbox_id, apr_int64_t bytes,
                              apr_int64_t messages, apr_int64_t default_quota,
                              const char *owner);
/** The save is committed: release the reservation (0: there was none) and add
 * what really changed; deltas may be negative. */
apr_status_t mg_quota_settle(mg_db_t *db, apr_int64_t reservation,
                             apr_int64_t mailbox_id, apr_int64_t bytes_delta,
                             apr_int64_t messages_delta);
apr_status_t mg_quota_release(mg_db_t *db, apr_int64_t reservation);
/** The process "node:pid:start" is gone: what it had reserved and not settled
 * makes its mailboxes dirty. *pn: how many reservations. */
apr_status_t mg_quota_orphan(int *pn, mg_db_t *db, const char *owner);
/** After a recount: absolute values, and reservations made before it go. */
apr_status_t mg_quota_recount(mg_db_t *db, apr_int64_t mailbox_id,
                              apr_int64_t bytes, apr_int64_t messages,
                              apr_int64_t newest_reservation);
typedef struct {
    apr_int64_t used_bytes, used_messages, limit_bytes;   /* limit 0: none */
    apr_int64_t domain_used_bytes, domain_limit_bytes;
    int dirty;  /* a reservation outlived its process (mg_quota_orphan()), or is
                 * over an hour old: count anew */
} mg_quota_t;
apr_status_t mg_quota_get(mg_quota_t *quota, mg_db_t *db,
                          apr_int64_t mailbox_id, apr_int64_t default_quota);
#endif
