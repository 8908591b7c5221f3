/* track_host.c - is this the host that a token's domain has?
 *
 * A thread remembers hosts for a second: then a hit asks nobody, and waits for
 * no lock. While the store cannot be asked, what is remembered goes on being
 * true.
 */
#include "track.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mg_status.h"
#include "mg_time.h"
#include "mg_tracking.h"

#define FRESH_FOR APR_TIME_C(1000000)
#define HOSTS 256
#define NAME_MAX_ 256

typedef struct {
    apr_int64_t domain_id;
    apr_time_t asked;           /* mg_ticks(); 0: none is here */
    int is_gone;
    char domain[NAME_MAX_], host[NAME_MAX_];
} host_t;

/* By domain id; as old as the thread. */
static __thread host_t *hosts;

/* NULL: there is no memory. */
static host_t *slot_of(apr_int64_t domain_id)
{
    apr_uint64_t id = (apr_uint64_t)domain_id;

    if (!hosts)
        hosts = calloc(HOSTS, sizeof(*hosts));
    return hosts ? &hosts[(id ^ id >> 8 ^ id >> 22) % HOSTS] : NULL;
}

static void remember(host_t *slot, const mg_domain_t *domain,
                     const track_t *t)
{
    apr_cpystrn(slot->domain, domain->name_lc, NAME_MAX_);
    apr_cpystrn(slot->host, mg_tracking_host(
        t->child->config, domain->name_lc, t->p), NAME_MAX_);
}

static apr_status_t ask(host_t *slot, track_t *t)
{
    const mg_domain_t *domain;
    api_worker_t *worker;
    mg_db_t *db;
    apr_status_t rv;

    if (!t->child->leader || track_is_down(t->child))
        return APR_EGENERAL;
    rv = mg_leader_reader(&db, t->child->leader);
    if (rv != APR_SUCCESS)
        return rv;
    worker = api_worker_borrow(t->child);
    rv = mg_domain_cached_by_id(&domain, worker->domains, db,
                                t->track.domain_id);
    mg_leader_reader_done(t->child->leader, db);
    if (rv == APR_SUCCESS || rv == APR_ENOENT) {
        slot->domain_id = t->track.domain_id;
        slot->asked = mg_ticks();
        slot->is_gone = rv == APR_ENOENT;
    }
    if (rv == APR_SUCCESS)
        remember(slot, domain, t);
    api_worker_return(t->child, worker);
    return rv == APR_ENOENT ? APR_SUCCESS : rv;
}

void track_find_domain(int *pfits, track_t *t)
{
    const char *host = t->r->hostname;
    host_t *slot = slot_of(t->track.domain_id);
    int known;

    *pfits = 1;
    t->unchecked = 1;
    if (!slot)
        return;
    known = slot->asked && slot->domain_id == t->track.domain_id;
    if (!known || mg_ticks() - slot->asked > FRESH_FOR)
        known |= ask(slot, t) == APR_SUCCESS;
    t->unchecked = !known;
    if (!known || slot->is_gone)
        return; /* the link is signed: it still leads where it led */
    t->domain = apr_pstrdup(t->p, slot->domain);
    *pfits = host && strcasecmp(host, slot->host) == 0;
}
