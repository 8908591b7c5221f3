/* mg_campaign_group.c - counts by group: two tables with open addressing. */
#include <stdlib.h>
#include <string.h>

#include "mg_campaign_group.h"
#include "mg_status.h"

#define FIRST_SIZE 1024            /* slots; always a power of two */
#define AHEAD 16                   /* rows whose slots are fetched ahead */

typedef struct {
    apr_uint64_t key;
    apr_uint32_t row, time;        /* of the first of it */
    mg_campaign_kind_t kind;
} group_t;

struct mg_campaign_groups_t {
    group_t *list;
    apr_uint32_t count, room;
    apr_uint32_t *slots;           /* group + 1; 0: free */
    apr_uint32_t size;             /* of slots, twice the room of list */
};

struct mg_campaign_set_t {
    apr_uint64_t *slots;           /* mixed pair; 0: free */
    apr_uint32_t count, size, first_size;
};

/* groups */

static apr_status_t groups_free(void *baton)
{
    mg_campaign_groups_t *groups = baton;

    free(groups->list);
    free(groups->slots);
    return APR_SUCCESS;
}

mg_campaign_groups_t *mg_groups_create(apr_pool_t *p)
{
    mg_campaign_groups_t *groups = apr_pcalloc(p, sizeof(*groups));

    apr_pool_cleanup_register(p, groups, groups_free, apr_pool_cleanup_null);
    return groups;
}

int mg_groups_count(const mg_campaign_groups_t *groups)
{
    return (int)groups->count;
}

static apr_status_t groups_grow(mg_campaign_groups_t *groups)
{
    apr_uint32_t size = groups->size ? groups->size * 2 : FIRST_SIZE, i, at;
    apr_uint32_t *slots;
    group_t *list;

    if (groups->room >= MG_GROUPS_MAX)
        return MG_ELIMIT;
    slots = calloc(size, sizeof(*slots));
    list = realloc(groups->list, size / 2 * sizeof(*list));
    if (list)
        groups->list = list;
    if (!slots || !list) {
        free(slots);
        return APR_ENOMEM;
    }
    for (i = 0; i < groups->count; i++) {
        at = (apr_uint32_t)mg_mix(list[i].key) & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = i + 1;
    }
    free(groups->slots);
    groups->slots = slots;
    groups->size = size;
    groups->room = size / 2;
    return APR_SUCCESS;
}

static apr_status_t group_find(apr_uint32_t *pgroup,
                               mg_campaign_groups_t *groups, apr_uint64_t key,
                               mg_campaign_kind_t kind,
                               const mg_campaign_chunk_t *chunk, int row)
{
    apr_uint32_t at;
    apr_status_t rv;
    group_t *group;

    if (groups->count == groups->room) {
        rv = groups_grow(groups);
        if (rv != APR_SUCCESS)
            return rv;
    }
    at = (apr_uint32_t)mg_mix(key) & (groups->size - 1);
    for (; groups->slots[at]; at = (at + 1) & (groups->size - 1)) {
        if (groups->list[groups->slots[at] - 1].key == key) {
            *pgroup = groups->slots[at] - 1;
            return APR_SUCCESS;
        }
    }
    *pgroup = groups->count++;
    groups->slots[at] = *pgroup + 1;
    group = &groups->list[*pgroup];
    group->key = key;
    group->row = chunk->first + (apr_uint32_t)row;
    group->time = chunk->time ? chunk->time[row] : 0;
    group->kind = kind;
    return APR_SUCCESS;
}

apr_status_t mg_groups_find(apr_uint32_t *group_of,
                            mg_campaign_groups_t *groups,
                            const apr_uint64_t *keys, int n,
                            mg_campaign_kind_t kind,
                            const mg_campaign_chunk_t *chunk)
{
    apr_status_t rv = APR_SUCCESS;
    int i, last = -1;

    for (i = 0; i < n && rv == APR_SUCCESS; i++) {
        if (groups->size && i + AHEAD < n)
            __builtin_prefetch(&groups->slots[(apr_uint32_t)mg_mix(
                                   keys[i + AHEAD]) & (groups->size - 1)]);
        if (group_of[i] == MG_NO_GROUP)
            continue;
        if (last >= 0 && keys[i] == keys[last])
            group_of[i] = group_of[last];
        else
            rv = group_find(&group_of[i], groups, keys[i], kind, chunk, i);
        last = i;
    }
    return rv;
}

void mg_groups_first(mg_campaign_kind_t *pkind, apr_uint32_t *prow,
                     apr_uint32_t *ptime,
                     const mg_campaign_groups_t *groups, apr_uint32_t group)
{
    *pkind = groups->list[group].kind;
    *ptime = groups->list[group].time;
    *prow = groups->list[group].row;
}

/* sets */

static apr_status_t set_free(void *baton)
{
    mg_campaign_set_t *set = baton;

    free(set->slots);
    return APR_SUCCESS;
}

mg_campaign_set_t *mg_set_create(apr_uint32_t expected, apr_pool_t *p)
{
    mg_campaign_set_t *set = apr_pcalloc(p, sizeof(*set));

    set->first_size = FIRST_SIZE;
    while (set->first_size < expected && set->first_size < MG_GROUPS_MAX)
        set->first_size *= 2;
    apr_pool_cleanup_register(p, set, set_free, apr_pool_cleanup_null);
    return set;
}

static apr_status_t set_grow(mg_campaign_set_t *set)
{
    apr_uint32_t size = set->size ? set->size * 2 : set->first_size, i, at;
    apr_uint64_t *slots;

    if (set->size / 2 >= MG_GROUPS_MAX)
        return MG_ELIMIT;
    slots = calloc(size, sizeof(*slots));
    if (!slots)
        return APR_ENOMEM;
    for (i = 0; i < set->size; i++) {
        if (!set->slots[i])
            continue;
        at = (apr_uint32_t)set->slots[i] & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = set->slots[i];
    }
    free(set->slots);
    set->slots = slots;
    set->size = size;
    return APR_SUCCESS;
}

static apr_uint64_t pair_of(apr_uint32_t group, apr_uint64_t value)
{
    apr_uint64_t pair = mg_mix(value + mg_mix((apr_uint64_t)group + 1));

    return pair ? pair : 1;
}

static void set_put(apr_uint32_t *count, mg_campaign_set_t *set,
                    apr_uint64_t pair)
{
    apr_uint32_t at = (apr_uint32_t)pair & (set->size - 1);

    for (; set->slots[at]; at = (at + 1) & (set->size - 1))
        if (set->slots[at] == pair)
            return;
    set->slots[at] = pair;
    set->count++;
    *count += 1;
}

/* Most of the time is waiting for memory: what comes soon is asked for now. */
apr_status_t mg_set_add(apr_uint32_t *counts, mg_campaign_set_t *set,
                        const apr_uint32_t *group_of,
                        const apr_uint64_t *values, int n)
{
    apr_uint64_t pairs[AHEAD];
    apr_status_t rv;
    int i, j, m;

    for (i = 0; i < n; i += AHEAD) {
        m = n - i < AHEAD ? n - i : AHEAD;
        while (set->count + AHEAD > set->size / 2) {
            rv = set_grow(set);
            if (rv != APR_SUCCESS)
                return rv;
        }
        for (j = 0; j < m; j++) {
            pairs[j] = pair_of(group_of[i + j], values[i + j]);
            __builtin_prefetch(&set->slots[(apr_uint32_t)pairs[j] &
                                           (set->size - 1)], 1);
        }
        for (j = 0; j < m; j++)
            if (group_of[i + j] != MG_NO_GROUP)
                set_put(&counts[group_of[i + j]], set, pairs[j]);
    }
    return APR_SUCCESS;
}
