/* mg_message_content.h - bytes of messages, in slices. */
#ifndef MG_MESSAGE_CONTENT_H
#define MG_MESSAGE_CONTENT_H

#include "mg_message.h"

/** Slices from first_seq on; at least one, be it empty. In the caller's
 * transaction. */
apr_status_t mg_content_insert(mg_db_t *db, apr_int64_t message_id,
                               apr_int64_t first_seq, const void *bytes,
                               apr_size_t len);
/** @return APR_ENOENT if there is no such slice. What is there is ours only if
 * an insert of ours met no conflict: ids of other processes may be the same. */
apr_status_t mg_content_is_there(mg_db_t *db, apr_int64_t message_id,
                                 apr_int64_t seq);
#endif
