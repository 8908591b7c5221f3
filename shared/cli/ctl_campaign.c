/* ctl_campaign.c - mailgunctl campaign: what messages are counted under. */
#include "ctl.h"
#include "mg_campaign.h"
#include "mg_status.h"

#include <stdio.h>
#include <apr_strings.h>

int ctl_campaign_add(ctl_t *ctl)
{
    const char *id = ctl_option(ctl, "id"), *why;
    mg_campaign_t *campaign;
    mg_domain_t *domain;
    apr_status_t rv;
    int code;

    if (id && (why = mg_campaign_bad_id(id)) != NULL)
        return ctl_error(ctl, "the id %s", why);
    if ((why = mg_campaign_bad_name(ctl->argv[1])) != NULL)
        return ctl_error(ctl, "the name %s", why);
    if ((code = ctl_begin(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_campaign_add(&campaign, ctl->db, domain->id, id, ctl->argv[1],
                         ctl->pool);
    if (rv == MG_ECONFLICT)
        return ctl_error(ctl, "domain %s has a campaign '%s' already",
                         domain->name, id);
    if (rv == MG_ELIMIT)
        return ctl_error(ctl, "the account of domain %s has as many campaigns"
                         " as it may", domain->name);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "campaign of domain %s", domain->name);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("campaign %s added\n", campaign->public_id);
    return 0;
}

static const char *count(const ctl_t *ctl, const mg_campaign_t *campaign,
                         mg_campaign_kind_t kind)
{
    return apr_psprintf(ctl->pool, "%" APR_INT64_T_FMT,
                        campaign->counts[kind]);
}

int ctl_campaign_list(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    apr_array_header_t *list;
    mg_domain_t *domain;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_open(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_campaign_list(&list, ctl->db, domain->id, 0, APR_INT64_MAX,
                          ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "campaigns of domain %s", domain->name);
    ctl_table_row(table, "ID", "NAME", "CREATED", "SUBMITTED", "DELIVERED",
                  "OPENED", "CLICKED", NULL);
    for (i = 0; i < list->nelts; i++) {
        const mg_campaign_t *c = APR_ARRAY_IDX(list, i, mg_campaign_t *);

        ctl_table_row(table, c->public_id, c->name,
                      ctl_time(ctl, c->created_at),
                      count(ctl, c, MG_CAMPAIGN_SUBMITTED),
                      count(ctl, c, MG_CAMPAIGN_DELIVERED),
                      count(ctl, c, MG_CAMPAIGN_OPENED),
                      count(ctl, c, MG_CAMPAIGN_CLICKED), NULL);
    }
    ctl_table_print(table);
    return 0;
}

int ctl_campaign_show(ctl_t *ctl)
{
    mg_campaign_t *campaign;
    mg_domain_t *domain;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_open(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_campaign_by_id(&campaign, ctl->db, domain->id, ctl->argv[1],
                           ctl->pool);
    if (rv == APR_ENOENT)
        return ctl_error(ctl, "domain %s has no campaign '%s'", domain->name,
                         ctl->argv[1]);
    if (rv == APR_SUCCESS)
        rv = mg_campaign_read_counts(campaign, ctl->db);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "campaign %s", ctl->argv[1]);
    printf("id: %s\nname: %s\ncreated: %s\n", campaign->public_id,
           campaign->name, ctl_time(ctl, campaign->created_at));
    for (i = 0; i < MG_CAMPAIGN_KINDS; i++)
        printf("%s%s: %s\n", mg_campaign_kind_name(i),
               i >= MG_CAMPAIGN_OPENED_MACHINE ? " by machines" : "",
               count(ctl, campaign, i));
    return 0;
}

int ctl_campaign_remove(ctl_t *ctl)
{
    mg_domain_t *domain;
    apr_status_t rv;
    int code;

    if ((code = ctl_begin(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_campaign_remove(ctl->db, domain->id, ctl->argv[1]);
    if (rv == APR_ENOENT)
        return ctl_error(ctl, "domain %s has no campaign '%s'", domain->name,
                         ctl->argv[1]);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "campaign %s", ctl->argv[1]);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("campaign %s removed\n", ctl->argv[1]);
    return 0;
}
