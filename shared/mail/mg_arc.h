/* mg_arc.h - the ARC set of what we send on (RFC 8617 5.1).
 *
 * The receiver wrote what it found (mg_verify.h) into an Authentication-Results
 * field of ours; the set says it again, signs the message as it goes out, and
 * seals the chain: cv=none on the first set, pass where the chain was good,
 * fail where it was broken. A chain that says cv=fail is left alone.
 */
#ifndef MG_ARC_H
#define MG_ARC_H

#include "mg_dkim.h"

/**
 * The three fields, with their line ends, to go on top of the content.
 *
 * @param content  fed and ended
 * @param host     whose Authentication-Results counts
 * @return APR_ENOENT: none is there, the chain is at its end (cv=fail, or
 *         MG_ARC_SETS), or DNS did not say what the chain is worth
 */
apr_status_t mg_arc_seal(const char **pfields, apr_size_t *plen,
                         const mg_dkim_signer_t *signer,
                         const mg_dkim_content_t *content, const char *host,
                         apr_time_t at, apr_pool_t *p);

#endif
