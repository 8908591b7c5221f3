/* track_host.c - is this the host that a token's domain has?
 *
 * A worker remembers hosts for a second: then a hit asks the store nothing.
 * While the store cannot be asked, what is remembered goes on being true.
 */
#include "track.h"

#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_config.h"
#include "mg_status.h"
#include "mg_time.h"

#define FRESH_FOR APR_TIME_C(1000000)

static track_host_t *slot_of(track_t *t)
{
    apr_uint64_t id = (apr_uint64_t)t->track.domain_id;

    return &t->worker->hosts[(id ^ id >> 8 ^ id >> 22) % TRACK_HOSTS];
}

static apr_status_t ask(track_host_t *slot, track_t *t)
{
    const mg_config_t *config = t->child->config;
    const mg_domain_t *domain;
    mg_db_t *db;
    apr_status_t rv;

    if (!t->child->leader)
        return APR_EGENERAL;
    rv = mg_leader_reader(&db, t->child->leader);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_domain_cached_by_id(&domain, t->worker->domains, db,
                                t->track.domain_id);
    mg_leader_reader_done(t->child->leader, db);
    if (rv != APR_SUCCESS && rv != APR_ENOENT)
        return rv;
    slot->domain_id = t->track.domain_id;
    slot->asked = mg_ticks();
    slot->is_gone = rv == APR_ENOENT;
    if (slot->is_gone)
        return APR_SUCCESS;
    apr_cpystrn(slot->domain, domain->name_lc, sizeof(slot->domain));
    apr_cpystrn(slot->host, mg_config_tracking_host(config, domain->name_lc,
                                                    t->p),
                sizeof(slot->host));
    return APR_SUCCESS;
}

void track_find_domain(int *pfits, track_t *t)
{
    const char *host = t->r->hostname;
    track_host_t *slot = slot_of(t);
    int known = slot->asked && slot->domain_id == t->track.domain_id;

    if (!known || mg_ticks() - slot->asked > FRESH_FOR)
        known |= ask(slot, t) == APR_SUCCESS;
    t->unchecked = !known;
    *pfits = 1;
    if (!known || slot->is_gone)
        return; /* the link is signed: it still leads where it led */
    t->domain = apr_pstrdup(t->p, slot->domain);
    *pfits = host && strcasecmp(host, slot->host) == 0;
}
