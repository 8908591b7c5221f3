/* mg_summary.h - what the events API says of a message and nobody else asks
 * for (message.summary): JSON,
 *
 *   {"to": "Bob <bob@x>", "attachments": [{"filename": "report.pdf",
 *    "content-type": "application/pdf", "size": 4711}]}
 *
 * Each member may lack. Made when the message is accepted, as its bytes are
 * gone once it is delivered.
 */
#ifndef MG_SUMMARY_H
#define MG_SUMMARY_H

#include "mg_mime.h"

#define MG_SUMMARY_TO_MAX 1024      /* octets */
#define MG_SUMMARY_ATTACHMENTS_MAX 50

/** Of a message composed from parts. */
const char *mg_summary_of_parts(const apr_array_header_t *to,
                                const apr_array_header_t *parts,
                                apr_pool_t *p);
/** Of one that came whole. Reads lines, decodes nothing: an attachment's size
 * is what its base64 makes, to a few octets.
 * @param body  what is here of it: of a part that does not end in it no size
 *              is told */
const char *mg_summary_of_mime(const apr_array_header_t *headers,
                               const char *body, apr_size_t len,
                               apr_pool_t *p);
#endif
