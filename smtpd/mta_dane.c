/* mta_dane.c - see mta_dane.h. */
#include <apr_strings.h>

#include "mta_dane.h"

static void on_tlsa(const dns_answer_t *answer, void *baton)
{
    mta_site_t *site = baton;

    (void)answer;
    site->asking--;
    mta_site_touch(site);
    loop_again(site->s->loop);
}

static int counts(const mta_site_t *site, const dns_host_t *host)
{
    return host->secure && !site->way.skip
           && site->s->config->dane != MG_DANE_OFF;
}

int mta_dane_ready(mta_site_t *site)
{
    int i;

    if (site->asking)
        return 0;
    for (i = 0; i < site->nhosts; i++) {
        const dns_host_t *host = &site->hosts[i];

        if (!counts(site, host))
            continue;
        site->asking++;
        dns_tlsa(site->s->dns, host->name, site->port, on_tlsa, site);
    }
    return !site->asking;
}

int mta_dane_set(mta_peer_t *peer, const mta_site_t *site,
                 const dns_host_t *host, const char **preply, apr_pool_t *p)
{
    const dns_answer_t *answer;
    dns_tlsa_t *tlsa;
    int i, n = 0;

    if (!counts(site, host))
        return 1;
    answer = dns_tlsa_known(site->s->dns, host->name, site->port);
    if (!answer || answer->status == DNS_LATER) {
        *preply = apr_psprintf(p, "499 4.7.5 the TLSA records of %s are not "
                               "known%s%s", host->name, answer ? ": " : "",
                               answer ? answer->reply : "");
        return 0;
    }
    if (answer->status != DNS_FOUND || !answer->secure)
        return 1;
    tlsa = apr_pcalloc(p, sizeof(*tlsa) * (apr_size_t)answer->nrecords);
    for (i = 0; i < answer->nrecords; i++)
        if (dns_tlsa_value(&tlsa[n], &answer->records[i])) {
            tlsa[n].data = apr_pmemdup(p, tlsa[n].data, tlsa[n].len);
            n++;
        }
    peer->least = peer->need;
    peer->need = MTA_TLS_DANE;
    peer->policy = "dane";
    peer->tlsa = tlsa;
    peer->ntlsa = n;
    return 1;
}
