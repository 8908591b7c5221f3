/* mta_way.c - see mta_way.h. */
#include <apr_strings.h>
#include <string.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mta_way.h"
#include "sender_warmup.h"

#define FROM "from="

/* --- where it comes from --- */

static const mg_sending_ip_t *ip_named(const mg_config_t *config,
                                       const char *name)
{
    int i;

    for (i = 0; config->sending_ips && i < config->sending_ips->nelts; i++) {
        const mg_sending_ip_t *ip = &APR_ARRAY_IDX(config->sending_ips, i,
                                                   mg_sending_ip_t);

        if (!strcmp(ip->name, name))
            return ip;
    }
    return NULL;
}

static const mg_sending_pool_t *pool_named(const mg_config_t *config,
                                           const char *name)
{
    int i;

    for (i = 0; config->sending_pools && i < config->sending_pools->nelts;
         i++) {
        const mg_sending_pool_t *pool = &APR_ARRAY_IDX(config->sending_pools,
                                                       i, mg_sending_pool_t);

        if (!strcmp(pool->name, name))
            return pool;
    }
    return NULL;
}

/* The same destination has the same address at each first try, so that there is
 * a window to speak of; each later try takes the next one. A new address that has
 * sent what it may today is left out. */
static const mg_sending_ip_t *ip_of_pool(const sender_t *s,
                                         const mg_sending_pool_t *pool,
                                         const mg_delivery_t *row)
{
    apr_uint32_t hash = 2166136261u, n = (apr_uint32_t)pool->ips->nelts, i;
    const mg_sending_ip_t *ip, *first = NULL;
    const char *c; /* FNV-1a */

    for (c = row->dest; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    hash += (apr_uint32_t)row->attempts;
    for (i = 0; i < n; i++) {
        ip = ip_named(s->config, APR_ARRAY_IDX(pool->ips, (hash + i) % n,
                                               const char *));
        if (!sender_warmup_ip_closed(s, ip))
            return ip;
        if (!first)
            first = ip;
    }
    return first;
}

/* A name that the configuration does not know (any more) is as good as none:
 * mail is not kept for that. */
static const mg_sending_ip_t *source_of(const sender_t *s,
                                        const mg_domain_t *domain,
                                        const mg_delivery_t *row)
{
    const mg_config_t *config = s->config;
    const char *name = domain ? mg_domain_setting(domain, "sending_ip") : "";
    const mg_sending_ip_t *ip = name && *name ? ip_named(config, name) : NULL;
    const mg_sending_pool_t *pool;

    if (ip)
        return ip;
    name = domain ? mg_domain_setting(domain, "sending_pool") : "";
    pool = name && *name ? pool_named(config, name) : NULL;
    if (!pool)
        pool = pool_named(config, "default");
    return pool ? ip_of_pool(s, pool, row) : NULL;
}

/* --- what it needs --- */

static int is_on(const mg_domain_t *domain, const char *name)
{
    const char *value = domain ? mg_domain_setting(domain, name) : NULL;

    return value && !strcmp(value, "true");
}

static void write_way(char *buf, apr_size_t len, const char *need,
                      int skip, const mg_sending_ip_t *source)
{
    apr_snprintf(buf, len, "%s%s%s%s%s%s", need, *need && skip ? " " : "",
                 skip ? "skip" : "",
                 (*need || skip) && source ? " " : "", source ? FROM : "",
                 source ? source->name : "");
}

apr_status_t mta_way_of(char *buf, apr_size_t len, sender_t *s,
                        const sender_entry_t *e)
{
    const char *said = e->row.target ? e->row.target : "";
    const mg_domain_t *domain = NULL;
    apr_status_t rv;
    int require, skip;

    *buf = '\0';
    if (e->row.transport != MG_TRANSPORT_SMTP)
        return APR_SUCCESS;
    rv = mg_domain_cached_by_id(&domain, s->worker->domains, s->db,
                                e->row.domain_id);
    if (APR_STATUS_IS_ENOENT(rv))
        domain = NULL; /* removed: as without settings */
    else if (!sender_store_works(s, rv))
        return rv;
    require = is_on(domain, "require_tls");
    skip = is_on(domain, "skip_verification");
    if (strstr(said, "tls="))
        require = strstr(said, "tls=1") != NULL;
    if (strstr(said, "skip="))
        skip = strstr(said, "skip=1") != NULL;
    write_way(buf, len, require ? "require" : "", skip,
              source_of(s, domain, &e->row));
    return APR_SUCCESS;
}

void mta_way_add_sts(char *buf, apr_size_t len, const char *way)
{
    if (strncmp(way, "require", 7) == 0)
        apr_snprintf(buf, len, "%s", way);
    else
        apr_snprintf(buf, len, "sts%s%s", *way ? " " : "", way);
}

void mta_way_read(mta_way_t *way, const char *text, const mg_config_t *config)
{
    static const mta_tls_need_t needs[] = { MTA_TLS_MAY, MTA_TLS_ENCRYPT,
                                            MTA_TLS_VERIFY };
    const char *from = strstr(text, FROM);

    memset(way, 0, sizeof(*way));
    way->need = needs[config->tls_policy];
    way->policy = way->need == MTA_TLS_MAY ? "opportunistic"
                                           : "MailgunTLSPolicy";
    if (strncmp(text, "require", 7) == 0) {
        way->need = MTA_TLS_VERIFY;
        way->policy = "require-tls";
    }
    else if (strncmp(text, "sts", 3) == 0) {
        way->need = MTA_TLS_VERIFY;
        way->policy = "mta-sts";
    }
    way->skip = strstr(text, "skip") && (!from || strstr(text, "skip") < from);
    /* of what others need, not of what the operator does */
    if (way->skip && needs[config->tls_policy] < MTA_TLS_VERIFY
        && way->need == MTA_TLS_VERIFY)
        way->need = MTA_TLS_ENCRYPT;
    way->source = from ? ip_named(config, from + sizeof(FROM) - 1) : NULL;
}

apr_time_t mta_way_closed(const sender_t *s, const char *text)
{
    const char *from = s->config->warmup.first ? strstr(text, FROM) : NULL;

    return from ? sender_warmup_ip_closed(s, ip_named(s->config,
                                                      from + sizeof(FROM) - 1))
                : 0;
}
