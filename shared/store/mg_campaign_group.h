/* mg_campaign_group.h - counts by group, and how many are different in each.
 *
 * Groups are found by a 64-bit key and numbered in the order in which they are
 * first seen. All memory is the pool's in the end; it is bounded
 * (MG_ELIMIT), since one request may ask for as many groups as there are
 * events.
 */
#ifndef MG_CAMPAIGN_GROUP_H
#define MG_CAMPAIGN_GROUP_H

#include "mg_campaign.h"

#define MG_GROUPS_MAX (1 << 22)    /* groups of a report, members of a set */

typedef struct mg_campaign_groups_t mg_campaign_groups_t;
typedef struct mg_campaign_set_t mg_campaign_set_t;

mg_campaign_groups_t *mg_groups_create(apr_pool_t *p);
int mg_groups_count(const mg_campaign_groups_t *groups);
/** The number of the group with that key; seen there for the first time if
 * new: kind and row are kept.
 * @return MG_ELIMIT, APR_ENOMEM */
apr_status_t mg_groups_find(apr_uint32_t *pgroup, mg_campaign_groups_t *groups,
                            apr_uint64_t key, mg_campaign_kind_t kind,
                            apr_uint32_t row);
/** Where a group was first seen. */
void mg_groups_first(mg_campaign_kind_t *pkind, apr_uint32_t *prow,
                     const mg_campaign_groups_t *groups, apr_uint32_t group);

/** Pairs (group, value). */
mg_campaign_set_t *mg_set_create(apr_pool_t *p);
/** @param pis_new  1: it was not in the set */
apr_status_t mg_set_add(int *pis_new, mg_campaign_set_t *set,
                        apr_uint32_t group, apr_uint64_t value);

/** Another number for each number, evenly spread. */
apr_uint64_t mg_mix(apr_uint64_t x);

#endif
