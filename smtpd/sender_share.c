/* sender_share.c - see sender_share.h. */
#include <string.h>

#include "sender_share.h"

static int share_of(const mg_config_t *config, const char *name)
{
    int i;

    for (i = 0; i < config->shares->nelts; i++) {
        const mg_share_t *share = &APR_ARRAY_IDX(config->shares, i,
                                                 mg_share_t);

        if (strcmp(share->domain, name) == 0)
            return share->share;
    }
    return 1;
}

int sender_share(sender_t *s, apr_int64_t domain_id)
{
    const mg_domain_t *domain;

    if (!s->config->shares || s->config->shares->nelts == 0)
        return 1;
    if (mg_domain_cached_by_id(&domain, s->worker->domains, s->db, domain_id)
        != APR_SUCCESS)
        return 1; /* removed, or the store is down: no reason to stop */
    return share_of(s->config, domain->name_lc);
}
