/* mta_mx.c - see mta_mx.h.
 *
 * Where we are among the MXs ourselves, we and all that are preferred no more
 * than us are left out, else two backup hosts would send it to and fro; where
 * none is left it would loop, and is returned (RFC 5321 5.1).
 */
#include <apr_strings.h>
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "mg_log.h"
#include "mta_mx.h"

/* --- ourselves --- */

static int same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (!a || a->sa_family != b->sa_family)
        return 0;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr
               == ((const struct sockaddr_in *)(const void *)b)
                      ->sin_addr.s_addr;
    return a->sa_family == AF_INET6
           && memcmp(&((const struct sockaddr_in6 *)(const void *)a)
                          ->sin6_addr,
                     &((const struct sockaddr_in6 *)(const void *)b)
                          ->sin6_addr, 16) == 0;
}

/* Asked once per look-up of an MX: cheap enough not to be remembered, so that
 * addresses may come and go. */
static int is_of_this_machine(const struct sockaddr *addr)
{
    struct ifaddrs *all, *one;
    int found = 0;

    if (getifaddrs(&all) != 0)
        return 0;
    for (one = all; one && !found; one = one->ifa_next)
        found = same_address(one->ifa_addr, addr);
    freeifaddrs(all);
    return found;
}

static int is_text_of(const char *text, const struct sockaddr *addr)
{
    struct sockaddr_in6 in6;
    struct sockaddr_in in;

    memset(&in, 0, sizeof(in));
    memset(&in6, 0, sizeof(in6));
    in.sin_family = AF_INET;
    in6.sin6_family = AF_INET6;
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return same_address((const struct sockaddr *)&in, addr);
    return inet_pton(AF_INET6, text, &in6.sin6_addr) == 1
           && same_address((const struct sockaddr *)&in6, addr);
}

static int is_any(const char *text)
{
    return !strcmp(text, "*") || !strcmp(text, "0.0.0.0")
           || !strcmp(text, "::");
}

/* By name, or because what would be connected to is our own port. */
static int is_self(const sender_t *s, const dns_host_t *host)
{
    const struct sockaddr *addr = (const struct sockaddr *)&host->addr;
    const mg_config_t *config = s->config;
    int i;

    if (!strcasecmp(host->name, config->hostname))
        return 1;
    for (i = 0; config->listen && i < config->listen->nelts; i++) {
        const mg_listen_t *l = &APR_ARRAY_IDX(config->listen, i, mg_listen_t);

        if (l->role == MG_LISTEN_MX && l->port == config->smtp_port
            && (is_any(l->address) ? is_of_this_machine(addr)
                                   : is_text_of(l->address, addr)))
            return 1;
    }
    return 0;
}

static int drop_self(const sender_t *s, dns_host_t *hosts, int n)
{
    int i;

    for (i = 0; i < n; i++)
        if (is_self(s, &hosts[i]))
            break;
    if (i == n)
        return n;
    /* the hosts are in order of preference */
    while (i > 0 && hosts[i - 1].preference == hosts[i].preference)
        i--;
    return i;
}

/* --- the policy --- */

static int drop_unnamed(dns_host_t *hosts, int n, const sts_policy_t *policy)
{
    int i, left = 0;

    for (i = 0; i < n; i++)
        if (sts_policy_matches(policy, hosts[i].name))
            hosts[left++] = hosts[i];
    return left;
}

static void fail(mta_mx_t *mx, const char *reply, int permanent)
{
    mx->reply = reply;
    mx->permanent = permanent;
}

void mta_mx_choose(mta_mx_t *mx, sender_t *s, const char *domain,
                   const dns_answer_t *answer, const sts_policy_t *policy,
                   apr_pool_t *p)
{
    int n = answer->nhosts, named;

    memset(mx, 0, sizeof(*mx));
    mx->hosts = apr_pmemdup(p, answer->hosts,
                            sizeof(*mx->hosts) * (apr_size_t)n);
    n = drop_self(s, mx->hosts, n);
    if (n == 0) {
        fail(mx, apr_psprintf(p, "554 5.4.6 the MX of %s is this server, which "
                              "does not take its mail: it would loop", domain),
             1);
        return;
    }
    if (policy && policy->mode == STS_ENFORCE) {
        mx->by_sts = 1;
        n = drop_unnamed(mx->hosts, n, policy);
        if (n == 0)
            fail(mx, apr_psprintf(p, "499 4.7.5 no MX of %s is named by its "
                                  "MTA-STS policy", domain), 0);
    }
    else if (policy && policy->mode == STS_TESTING) {
        named = drop_unnamed(apr_pmemdup(p, mx->hosts, sizeof(*mx->hosts)
                                                           * (apr_size_t)n),
                             n, policy);
        if (named < n)
            mg_log(MG_LOG_INFO, APR_SUCCESS, "mta-sts: %d of %d addresses of "
                   "the MXs of %s are not named by its policy, which is being "
                   "tested", n - named, n, domain);
    }
    mx->n = n;
    while (--n >= 0)
        mx->secure |= mx->hosts[n].secure && s->config->dane != MG_DANE_OFF;
}
