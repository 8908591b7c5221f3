/* mg_campaign_group.h - counts by group, and how many are different in each.
 *
 * Groups are found by a 64-bit key and numbered in the order in which they are
 * first seen. All memory is the pool's in the end; it is bounded
 * (MG_ELIMIT), since one request may ask for as many groups as there are
 * events.
 */
#ifndef MG_CAMPAIGN_GROUP_H
#define MG_CAMPAIGN_GROUP_H

#include "mg_campaign_scan.h"

#define MG_GROUPS_MAX (1 << 22)    /* groups of a report, members of a set */

typedef struct mg_campaign_groups_t mg_campaign_groups_t;
typedef struct mg_campaign_set_t mg_campaign_set_t;

mg_campaign_groups_t *mg_groups_create(apr_pool_t *p);
int mg_groups_count(const mg_campaign_groups_t *groups);

#define MG_NO_GROUP 0xffffffffu

/** The number of each key's group into group_of, but where MG_NO_GROUP stands
 * there already: those rows are passed over. A key that is seen for the first time begins a
 * group; kind, the row's number and its time (if the chunk has it) are kept.
 * @return MG_ELIMIT, APR_ENOMEM */
apr_status_t mg_groups_find(apr_uint32_t *group_of,
                            mg_campaign_groups_t *groups,
                            const apr_uint64_t *keys, int n,
                            mg_campaign_kind_t kind,
                            const mg_campaign_chunk_t *chunk);
/** Where a group was first seen. */
void mg_groups_first(mg_campaign_kind_t *pkind, apr_uint32_t *prow,
                     apr_uint32_t *ptime,
                     const mg_campaign_groups_t *groups, apr_uint32_t group);

/** Pairs (group, value).
 * @param expected  about how many: the room it begins with */
mg_campaign_set_t *mg_set_create(apr_uint32_t expected, apr_pool_t *p);
/** Add the pairs; counts[group] grows by those that were not in the set. */
apr_status_t mg_set_add(apr_uint32_t *counts, mg_campaign_set_t *set,
                        const apr_uint32_t *group_of,
                        const apr_uint64_t *values, int n);

/** Another number for each number, evenly spread: the finisher of SplitMix64
 * (Steele, Lea, Flood 2014), a bijection. */
static inline apr_uint64_t mg_mix(apr_uint64_t x)
{
    x ^= x >> 30;
    x *= APR_UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= APR_UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#endif
