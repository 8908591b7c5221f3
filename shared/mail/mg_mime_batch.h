/* mg_mime_batch.h - a batch by SMTP: multipart/mailgun-variables.
 *
 *   Content-Type: multipart/mailgun-variables; boundary="b"
 *
 *   --b
 *   Content-Type: application/json
 *   Content-Transfer-Encoding: base64
 *
 *   {"bob@x": {"first": "Bob"}}           (encoded)
 *   --b
 *   Content-Type: message/rfc822
 *
 *   what is sent
 *   --b--
 *
 * The variables come first, and all of them within what is read here; the
 * message may be as long as any. Nothing is copied: what is sent is a stretch
 * of what came.
 */
#ifndef MG_MIME_BATCH_H
#define MG_MIME_BATCH_H

#include "mg_mime.h"

typedef struct {
    const char *variables;    /* JSON, decoded */
    apr_size_t variables_len;
    apr_size_t begin;         /* of the message, in bytes */
    const char *boundary;
} mg_mime_batch_t;

/** Is it one, by its header? */
int mg_mime_is_batch(const apr_array_header_t *headers);
/**
 * @param bytes  the beginning of what came, or all of it
 * @return MG_EBADINPUT with *perror in words
 */
apr_status_t mg_mime_batch_read(mg_mime_batch_t *batch, const char **perror,
                                const char *bytes, apr_size_t len,
                                apr_pool_t *p);
/**
 * Where the message ends: behind the line end before the last "--boundary--".
 * @param tail  the end of what came: MG_MIME_BATCH_TAIL octets will do
 * @return MG_EBADINPUT: it is not there
 */
#define MG_MIME_BATCH_TAIL 4096
apr_status_t mg_mime_batch_end(apr_size_t *pend, const mg_mime_batch_t *batch,
                               const char *tail, apr_size_t len);
#endif
