/* keeper_dns.h - the keeper's look at the DNS records of our domains
 * (mg_dns_check.h says when, and what follows).
 *
 * All queries of a domain are out at once, some domains at a time; the answers
 * are stored together when the last one came. Where there was one without an
 * answer, the next look is after minutes instead of an hour.
 */
#ifndef KEEPER_DNS_H
#define KEEPER_DNS_H

#include "worker.h"

typedef struct keeper_dns_t keeper_dns_t;

apr_status_t keeper_dns_create(keeper_dns_t **pdns, worker_t *worker,
                               apr_pool_t *p);
/** Begin with domains that are due. @param pmore  there may be others */
apr_status_t keeper_dns_step(keeper_dns_t *dns, int *pmore, apr_pool_t *ptemp);
/** Domains that are being looked at. */
int keeper_dns_busy(const keeper_dns_t *dns);

#endif
