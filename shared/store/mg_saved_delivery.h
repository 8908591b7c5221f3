/* mg_saved_delivery.h - which LMTP deliveries a mailbox has taken already.
 *
 * A delivery whose LMTP session was killed comes again. It was begun when its
 * quota was reserved, and saved when that was settled; begun and not saved
 * means that nobody knows: who saves looks into the mailbox.
 */
#ifndef MG_SAVED_DELIVERY_H
#define MG_SAVED_DELIVERY_H

#include "mg_db.h"

enum { MG_DELIVERY_NEW = 0, MG_DELIVERY_SAVED = 1, MG_DELIVERY_BEGUN = 2 };

/** Note it as begun, unless it was saved already. */
apr_status_t mg_saved_begin(mg_db_t *db, apr_int64_t mailbox_id,
                            apr_int64_t delivery_id);
apr_status_t mg_saved_add(mg_db_t *db, apr_int64_t mailbox_id,
                          apr_int64_t delivery_id);
apr_status_t mg_saved_find(int *pstate, mg_db_t *db, apr_int64_t mailbox_id,
                           apr_int64_t delivery_id);
/** Forget what is older, at most limit rows. The keeper's. */
apr_status_t mg_saved_expire(int *pn, mg_db_t *db, apr_time_t before,
                             int limit);

#endif
