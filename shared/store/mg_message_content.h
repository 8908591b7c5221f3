/* mg_message_content.h - bytes of messages, in slices. */
#ifndef MG_MESSAGE_CONTENT_H
#define MG_MESSAGE_CONTENT_H

#include "mg_message.h"

/** Slices from first_seq on; at least one, be it empty. In the caller's
 * transaction. */
apr_status_t mg_content_insert(mg_db_t *db, apr_int64_t message_id,
                               apr_int64_t first_seq, const void *bytes,
                               apr_size_t len);
#endif
