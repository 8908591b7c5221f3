/* sts_fetch.h - a policy file over HTTPS (RFC 8461 3.3). */
#ifndef STS_FETCH_H
#define STS_FETCH_H

#include "dns.h"
#include "mg_config.h"
#include "sts.h"

typedef struct sts_fetcher_t sts_fetcher_t;

/** config: MailgunMTASTSPort, MailgunTLSTrust, MailgunHookAllow */
apr_status_t sts_fetcher_create(sts_fetcher_t **pfetcher, loop_t *loop,
                                dns_t *dns, const mg_config_t *config,
                                apr_pool_t *p);
/** A sts_fetch_fn; baton is the fetcher. */
void sts_fetch(const char *domain, sts_got_fn *got, void *got_baton,
               void *baton);

#endif
