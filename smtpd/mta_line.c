/* mta_line.c - what waits at a site: a line for each sending domain.
 *
 * Lines are served in turns, as many groups a turn as the domain's share
 * (MailgunShare), so that fifty thousand messages of one customer to a
 * destination do not delay another's one to it. Within a line the order is
 * that of the claims: by the time they were due.
 */
#include <stdlib.h>

#include "mg_time.h"
#include "mta_site_private.h"
#include "sender_share.h"

#define LOOK_BACK 50          /* groups that an entry may still join */

static mta_line_t *line_find(mta_site_t *site, apr_int64_t domain_id)
{
    mta_line_key_t key = { site, domain_id };

    return apr_hash_get(site->s->lines, &key, sizeof(key));
}

static mta_line_t *line_make(mta_site_t *site, apr_int64_t domain_id)
{
    mta_line_t *line = calloc(1, sizeof(*line));

    if (!line)
        abort(); /* as APR's pools do */
    line->key.site = site;
    line->key.domain_id = domain_id;
    line->left = sender_share(site->s, domain_id);
    APR_RING_INIT(&line->groups, sender_group_t, link);
    APR_RING_INSERT_TAIL(&site->lines, line, mta_line_t, link);
    apr_hash_set(site->s->lines, &line->key, sizeof(line->key), line);
    return line;
}

static void line_free(mta_site_t *site, mta_line_t *line)
{
    apr_hash_set(site->s->lines, &line->key, sizeof(line->key), NULL);
    APR_RING_REMOVE(line, link);
    free(line);
}

static mta_line_t *line_for(mta_site_t *site, apr_int64_t domain_id)
{
    mta_line_t *line = line_find(site, domain_id);

    return line ? line : line_make(site, domain_id);
}

/* The group of the same message that waits and has room. */
static sender_group_t *group_for(mta_line_t *line, const sender_entry_t *entry)
{
    sender_group_t *g;
    int n = 0;

    if (entry->message->refs < 2)
        return NULL; /* it is alone */
    for (g = APR_RING_LAST(&line->groups);
         g != APR_RING_SENTINEL(&line->groups, sender_group_t, link)
         && n < LOOK_BACK;
         g = APR_RING_PREV(g, link), n++)
        if (sender_group_takes(g, entry))
            return g;
    return NULL;
}

static void count_in(mta_site_t *site, mta_line_t *line,
                     const sender_group_t *group)
{
    line->ngroups++;
    if (site->ngroups++ == 0)
        site->s->nbusy++;
    site->nentries += group->n;
    site->s->waiting++;
}

void mta_line_add(mta_site_t *site, sender_entry_t *entry)
{
    mta_line_t *line = line_for(site, entry->row.domain_id);
    sender_group_t *group = NULL;

    /* LMTP: the content names the delivery, so each has its own */
    if (site->protocol == MTA_SMTP)
        group = group_for(line, entry);
    if (group) {
        sender_group_add(group, entry);
        site->nentries++;
        return;
    }
    group = sender_group_make(site->s, entry);
    APR_RING_INSERT_TAIL(&line->groups, group, sender_group_t, link);
    count_in(site, line, group);
}

void mta_line_put_back(mta_site_t *site, sender_group_t *group)
{
    mta_line_t *line = line_for(site, group->domain_id);
    sender_entry_t *e;

    APR_RING_FOREACH(e, &group->entries, sender_entry_t, link) {
        e->running = 0;
        e->stage = MG_STAGE_NONE;
    }
    APR_RING_INSERT_HEAD(&line->groups, group, sender_group_t, link);
    count_in(site, line, group);
}

sender_group_t *mta_line_first(const mta_site_t *site)
{
    if (APR_RING_EMPTY(&site->lines, mta_line_t, link))
        return NULL;
    return APR_RING_FIRST(&APR_RING_FIRST(&site->lines)->groups);
}

/* Out of its line; a line that had its turn goes behind the others. */
void mta_line_take_out(mta_site_t *site, sender_group_t *group)
{
    mta_line_t *line = line_for(site, group->domain_id);

    APR_RING_REMOVE(group, link);
    APR_RING_ELEM_INIT(group, link);
    line->ngroups--;
    if (--site->ngroups == 0)
        site->s->nbusy--;
    site->nentries -= group->n;
    site->s->waiting--;
    if (APR_RING_EMPTY(&line->groups, sender_group_t, link))
        line_free(site, line);
    else if (--line->left <= 0) {
        line->left = sender_share(site->s, line->key.domain_id);
        APR_RING_REMOVE(line, link);
        APR_RING_INSERT_TAIL(&site->lines, line, mta_line_t, link);
    }
}

/* --- ends --- */

static void resolve(mta_site_t *site, sender_group_t *group,
                    mta_each_fn *fn, const void *baton)
{
    mta_line_take_out(site, group);
    while (!APR_RING_EMPTY(&group->entries, sender_entry_t, link))
        fn(site->s, APR_RING_FIRST(&group->entries), baton);
    sender_group_free(group);
}

void mta_line_resolve_all(mta_site_t *site, mta_each_fn *fn,
                          const void *baton)
{
    sender_group_t *group;

    while ((group = mta_line_first(site)) != NULL)
        resolve(site, group, fn, baton);
}

void mta_line_resolve_newest(mta_site_t *site, int keep, mta_each_fn *fn,
                             const void *baton)
{
    mta_line_t *line, *longest;

    while (site->nentries > keep) {
        longest = APR_RING_FIRST(&site->lines);
        APR_RING_FOREACH(line, &site->lines, mta_line_t, link)
            if (line->ngroups > longest->ngroups)
                longest = line;
        resolve(site, APR_RING_LAST(&longest->groups), fn, baton);
    }
}

void mta_line_drop_lost_of(mta_site_t *site, sender_group_t *group)
{
    sender_entry_t *e, *next;

    for (e = APR_RING_FIRST(&group->entries);
         e != APR_RING_SENTINEL(&group->entries, sender_entry_t, link);
         e = next) {
        next = APR_RING_NEXT(e, link);
        if (!e->lost)
            continue;
        APR_RING_REMOVE(e, link);
        group->n--;
        site->nentries--;
        sender_let_go(site->s, e);
    }
    if (group->n > 0)
        return;
    mta_line_take_out(site, group);
    sender_group_free(group);
}

void mta_line_drop_lost(sender_t *s)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->lines); hi; hi = apr_hash_next(hi)) {
        sender_group_t *g, *next;
        mta_line_t *line;
        mta_site_t *site;

        apr_hash_this(hi, NULL, NULL, (void **)&line);
        site = line->key.site;
        for (g = APR_RING_FIRST(&line->groups);
             g != APR_RING_SENTINEL(&line->groups, sender_group_t, link);
             g = next) {
            next = APR_RING_NEXT(g, link);
            mta_line_drop_lost_of(site, g);
        }
    }
}
