/* mta_mx.h - which of a domain's mail exchangers may be used: not ourselves,
 * and what its MTA-STS policy names. */
#ifndef MTA_MX_H
#define MTA_MX_H

#include "sender.h"

typedef struct {
    dns_host_t *hosts;     /* those that are left, in their order */
    int n;
    int by_sts;            /* the domain's policy is to be held to */
    int secure;            /* the MX records were validated: TLSA records count */
    const char *reply;     /* n 0: why, with a code */
    int permanent;
} mta_mx_t;

/** @param policy  of the domain, or NULL */
void mta_mx_choose(mta_mx_t *mx, sender_t *s, const char *domain,
                   const dns_answer_t *answer, const sts_policy_t *policy,
                   apr_pool_t *p);

#endif
