/* sts.h - MTA-STS policies of recipients' domains, found, fetched and kept (RFC
 * 8461).
 *
 * The TXT record at _mta-sts.<domain> says that there is a policy and which
 * one; it is fetched from https://mta-sts.<domain>/ when its id is new to us or
 * what we have is getting old, and holds for its max_age. What holds is kept
 * when DNS or the web server fails or is silenced: that is its whole point. So
 * it is saved too, and loaded at the next start.
 */
#ifndef STS_H
#define STS_H

#include "dns.h"
#include "sts_policy.h"

typedef struct sts_t sts_t;

/** @param policy  NULL: there is none; lives until fn returns */
typedef void sts_fn(const sts_policy_t *policy, void *baton);

/** What came of a fetch: the policy file, or why there is none. */
typedef void sts_got_fn(const char *text, apr_size_t len, const char *why,
                        void *baton);
/** Begin to fetch; got() comes later or at once, exactly once. */
typedef void sts_fetch_fn(const char *domain, sts_got_fn *got, void *got_baton,
                          void *baton);
/** Keep it; times as of mg_now(). */
typedef void sts_save_fn(const char *domain, const char *id, const char *text,
                         apr_time_t fetched_at, apr_time_t expires_at,
                         void *baton);

/** Nothing is called any more once the pool goes. */
sts_t *sts_create(dns_t *dns, sts_fetch_fn *fetch, void *fetch_baton,
                  sts_save_fn *save, void *save_baton, apr_pool_t *p);
/** What was saved once. */
void sts_load(sts_t *sts, const char *domain, const char *id,
              const char *text, apr_time_t fetched_at, apr_time_t expires_at);
/** fn may be called before it returns.
 * @param domain  A-labels, lower case */
void sts_lookup(sts_t *sts, const char *domain, sts_fn *fn, void *baton);
/** The policy that holds, without asking anybody, or NULL. *pfresh: DNS was
 * asked a short while ago; else call sts_lookup(). */
const sts_policy_t *sts_known(sts_t *sts, const char *domain, int *pfresh);

#endif
