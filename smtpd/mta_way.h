/* mta_way.h - what parts mail to one destination from other mail to it: what it
 * needs of TLS, and which of our addresses it comes from.
 *
 * Written as text it is part of a site's key, so that no message goes over a
 * connection that is less than what it needs, and windows are those of one
 * address of ours: "" (nothing), "verify/require-tls from=a".
 */
#ifndef MTA_WAY_H
#define MTA_WAY_H

#include "sender.h"

typedef struct {
    mta_tls_need_t need;
    const char *policy;              /* who needs it; static */
    int skip;                        /* whatever certificate will do */
    const mg_sending_ip_t *source;   /* NULL: whatever the system takes */
} mta_way_t;

#define MTA_WAY_MAX 160              /* octets of a way as text */

/** What an entry needs. What its message says stands in the row's target,
 * "tls=1 skip=0", each only if it was said. @return the store's error */
apr_status_t mta_way_of(char *buf, apr_size_t len, sender_t *s,
                        const sender_entry_t *e);
/** The same with a certificate that must be right, as the domain's MTA-STS
 * policy demands. */
void mta_way_add_sts(char *buf, apr_size_t len, const char *way);
/** When the address that it comes from may send again; 0: now. */
apr_time_t mta_way_closed(const sender_t *s, const char *text);
void mta_way_read(mta_way_t *way, const char *text, const mg_config_t *config);

#endif
