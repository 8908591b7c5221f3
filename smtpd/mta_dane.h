/* mta_dane.h - TLSA records of a site's hosts (RFC 7672).
 *
 * They count where MX and addresses were validated (dns_host_t.secure). A host
 * whose records cannot be looked up is not spoken to: silence must not make us
 * forget them.
 */
#ifndef MTA_DANE_H
#define MTA_DANE_H

#include "mta_site_private.h"

/** @return whether the records of all secure hosts are known; if not they are
 *          asked for, and the answer will touch the site */
int mta_dane_ready(mta_site_t *site);
/**
 * What a host's records demand.
 *
 * @param preply  why it cannot be spoken to now
 * @return 0: with *preply
 */
int mta_dane_set(mta_peer_t *peer, const mta_site_t *site,
                 const dns_host_t *host, const char **preply, apr_pool_t *p);

#endif
