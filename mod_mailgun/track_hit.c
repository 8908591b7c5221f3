/* track_hit.c - a hit is committed, or kept in the journal.
 *
 * Hits of one batch (mg_group.h) have their messages read together: the first
 * that runs looks at those behind it.
 */
#include "track.h"

#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_hit_journal.h"
#include "mg_id.h"
#include "mg_log.h"
#include "mg_message.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define TRIES 3                        /* ids that are taken */
/* While the store fails, it is asked this often; what comes meanwhile goes to
 * the journal and waits for nobody. */
#define ASK_EVERY APR_TIME_C(1000000)
/* How long somebody who clicked waits for his turn. */
#define PATIENCE APR_TIME_C(2000000)

typedef struct {
    mg_unit_t unit;
    mg_hit_t hit;
    api_child_t *child;
} job_t;

/* --- what the request says --- */

static int says(const request_rec *r, const char *field, const char *word)
{
    const char *value = apr_table_get(r->headers_in, field);

    return value && ap_strcasestr(value, word) != NULL;
}

void track_client(track_t *t)
{
    const request_rec *r = t->r;

    mg_client_read(&t->client, apr_table_get(r->headers_in, "User-Agent"));
    t->machine = t->client.machine || r->header_only
                 || says(r, "Sec-Purpose", "prefetch")
                 || says(r, "Purpose", "prefetch")
                 || says(r, "Purpose", "preview")
                 || says(r, "X-Purpose", "preview")
                 || says(r, "X-Moz", "prefetch");
}

static void fill(mg_hit_t *hit, track_t *t)
{
    const char *agent = apr_table_get(t->r->headers_in, "User-Agent");

    hit->track = t->track;
    hit->at = mg_now();
    hit->ip = t->r->useragent_ip;
    hit->host = t->unchecked ? (t->r->hostname ? t->r->hostname : "") : NULL;
    hit->client = t->client;
    if (agent && *agent) {
        apr_size_t len = strnlen(agent, MG_USER_AGENT_MAX);

        hit->user_agent = mg_text_clean(agent, len, t->p);
    }
    mg_geo_find(&hit->place, t->child->geo, hit->ip, t->p);
}

/* --- committing --- */

static apr_status_t run(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    job_t *job = baton;
    apr_int64_t ids[MG_MESSAGES_AT_ONCE];
    const mg_unit_t *unit;
    apr_status_t rv;
    int n = 0;

    api_child_context(job->child, db);
    for (unit = &job->unit; unit && n < MG_MESSAGES_AT_ONCE;
         unit = unit->next)
        if (unit->run == run)
            ids[n++] = ((job_t *)unit->baton)->hit.track.message_id;
    rv = mg_hit_is_known(db, ids[0]) ? APR_SUCCESS
                                     : mg_hit_read_ahead(db, ids, n);
    if (rv != APR_SUCCESS)
        return rv;
    return mg_hit_append(db, &job->hit, job->child->config, ptemp);
}

static apr_status_t is_there(mg_db_t *db, void *baton)
{
    apr_int64_t one;

    return mg_db_get_int(db, &one, "SELECT 1 FROM event WHERE id = $1", "i",
                         ((job_t *)baton)->hit.event_id);
}

static apr_status_t commit(job_t *job)
{
    apr_status_t rv = MG_ECONFLICT;
    int tries;

    if (!job->child->leader)
        return MG_ELOST;
    for (tries = 0; tries < TRIES && rv == MG_ECONFLICT; tries++) {
        job->hit.event_id = mg_id_next();
        job->unit.run = run;
        job->unit.is_there = is_there;
        job->unit.baton = job;
        job->unit.next = NULL;
        rv = mg_leader_run_within(job->child->leader, &job->unit, PATIENCE);
    }
    return rv;
}

/* Is it this hit alone that cannot be stored? It never will be. */
static int is_its_own(apr_status_t rv)
{
    return rv == MG_ESQL || rv == MG_ECONFLICT || rv == MG_EBADINPUT;
}

static void keep(job_t *job, apr_pool_t *p)
{
    apr_status_t rv = mg_hit_journal_write(job->child->journal, &job->hit, p);

    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_ERR, rv, "domain %" APR_INT64_T_FMT ": a hit of message %"
               APR_INT64_T_FMT " is lost: neither store nor journal take it",
               job->hit.track.domain_id, job->hit.track.message_id);
}

static void say_down(api_child_t *child, apr_status_t rv, apr_pool_t *p)
{
    apr_time_t now = mg_ticks();

    if (!child->track_down)
        mg_log(MG_LOG_WARN, rv, "opens and clicks go to the journal: the store "
               "is not to be had (%s)", child->leader
                   ? mg_leader_error(child->leader, p) : "never opened");
    child->track_down = now ? now : 1;
}

int track_is_down(const api_child_t *child)
{
    apr_time_t down = child->track_down;

    return down && mg_ticks() - down < ASK_EVERY;
}

void track_hit(track_t *t, int machine, int undo)
{
    job_t *job = apr_pcalloc(t->p, sizeof(*job));
    api_child_t *child = t->child;
    apr_status_t rv;

    job->child = child;
    fill(&job->hit, t);
    job->hit.machine = machine;
    job->hit.undo = undo;
    if (track_is_down(child)) {
        keep(job, t->p);
        return;
    }
    rv = commit(job);
    if (rv == APR_SUCCESS) {
        child->track_down = 0;
        return;
    }
    if (is_its_own(rv)) {
        mg_log(MG_LOG_ERR, rv, "domain %" APR_INT64_T_FMT ": a hit of message %"
               APR_INT64_T_FMT " cannot be stored", t->track.domain_id,
               t->track.message_id);
        return;
    }
    say_down(child, rv, t->p);
    keep(job, t->p);
}
