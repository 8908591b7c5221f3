/* mta_learned.c - what sites learned, kept over restarts (mg_destination.h).
 *
 * Every few seconds the sites where something changed, or that are at work, are
 * written in one transaction. When a sender starts, and when a site is made
 * again that was forgotten while it was idle, what is known of it counts: less
 * with each day that nothing went there, after three the ceiling is gone.
 */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "mg_destination.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mta_site_private.h"

#define SAVE_EVERY apr_time_from_sec(2)
#define SAVE_MANY 100          /* rows of one transaction */
#define NOTES_MAX 20000        /* sites that are remembered */
#define DAY apr_time_from_sec(86400)
#define CEILING_DAYS 3

/* What is remembered of a site that is not there. */
typedef struct {
    char *key;
    int window, ceiling, failures;
    apr_interval_time_t probe_wait;
    apr_time_t closed_until, at; /* mg_now() */
} mta_note_t;

static void note_keep(sender_t *s, const char *key, const mta_note_t *what)
{
    mta_note_t *note = apr_hash_get(s->notes, key, APR_HASH_KEY_STRING);
    char *own;

    if (!note) {
        if (apr_hash_count(s->notes) >= NOTES_MAX)
            return;
        note = calloc(1, sizeof(*note));
        if (!note || !(own = strdup(key)))
            abort(); /* as APR's pools do */
        note->key = own;
        apr_hash_set(s->notes, own, APR_HASH_KEY_STRING, note);
    }
    own = note->key;
    *note = *what;
    note->key = own;
}

static void note_drop(sender_t *s, mta_note_t *note)
{
    apr_hash_set(s->notes, note->key, APR_HASH_KEY_STRING, NULL);
    free(note->key);
    free(note);
}

/* Growing to a window is quick: a refusal is what should not be forgotten. */
void mta_learned_keep(mta_site_t *site)
{
    mta_note_t note = { NULL, site->window, site->ceiling, site->failures,
                        site->probe_wait, site->closed_until, mg_now() };

    if (site->ceiling > 0 || site->failures > 0)
        note_keep(site->s, site->key, &note);
}

void mta_learned_recall(mta_site_t *site)
{
    mta_note_t *note = apr_hash_get(site->s->notes, site->key,
                                    APR_HASH_KEY_STRING);
    int days, fade, max = mta_window_max(site);

    if (!note)
        return;
    days = (int)((mg_now() - note->at) / DAY);
    fade = days < 0 ? 0 : days > 20 ? 20 : days;
    site->failures = note->failures >> fade;
    site->closed_until = note->closed_until;
    if (fade < CEILING_DAYS && note->ceiling > 0) {
        site->ceiling = note->ceiling;
        site->probe_wait = note->probe_wait >> fade;
        site->probe_at = mg_ticks() + site->probe_wait;
    }
    if (note->window > site->window)
        site->window += (note->window - site->window) >> fade;
    if (site->window > max)
        site->window = max;
    note_drop(site->s, note);
}

/* --- the store --- */

static const char *worker_name(sender_t *s, apr_pool_t *p)
{
    return apr_psprintf(p, "%s/%d", s->worker->node ? s->worker->node : "",
                        s->worker->index);
}

void mta_learned_load(sender_t *s)
{
    apr_array_header_t *rows;
    apr_pool_t *ptemp;
    int i;

    apr_pool_create(&ptemp, s->pool);
    if (sender_store_works(s, mg_destination_list(&rows, s->db,
                                                  worker_name(s, ptemp),
                                                  NOTES_MAX, ptemp)))
        for (i = 0; i < rows->nelts; i++) {
            const mg_learned_t *row = APR_ARRAY_IDX(rows, i, mg_learned_t *);
            mta_note_t note = { NULL, row->window, row->ceiling, row->failures,
                                row->probe_wait, row->closed_until,
                                row->updated_at };

            note_keep(s, row->site, &note);
        }
    apr_pool_destroy(ptemp);
}

static const apr_array_header_t *some_domains(mta_site_t *site, int *pn,
                                              apr_pool_t *p)
{
    apr_array_header_t *names = apr_array_make(p, 4, sizeof(char *));
    const mta_domain_t *d;

    *pn = 0;
    APR_RING_FOREACH(d, &site->domains, mta_domain_t, link)
        if ((*pn)++ < MG_DESTINATION_DOMAINS)
            APR_ARRAY_PUSH(names, const char *) = d->name;
    return names;
}

static void fill(mg_learned_t *row, mta_site_t *site, apr_pool_t *p)
{
    memset(row, 0, sizeof(*row));
    row->site = site->key;
    row->worker = worker_name(site->s, p);
    row->window = site->window;
    row->ceiling = site->ceiling;
    row->probe_wait = site->probe_wait;
    row->links = site->nlinks;
    row->waiting = site->nentries;
    row->per_hour = site->limits ? site->limits->per_hour : 0;
    row->failures = site->failures;
    row->closed_until = mta_site_closed_until(site);
    row->source = site->way.source ? site->way.source->name : "";
    row->last_reply = site->last_reply;
    row->domains = some_domains(site, &row->ndomains, p);
}

static int is_news(const mta_site_t *site)
{
    return site->learned || site->used_at > site->saved_at || site->nlinks > 0
           || site->nentries > 0;
}

static void save_some(sender_t *s, apr_pool_t *ptemp)
{
    mg_learned_t *rows = apr_palloc(ptemp, sizeof(*rows) * SAVE_MANY);
    apr_time_t before = mg_ticks();
    mta_site_t *sites[SAVE_MANY];
    apr_hash_index_t *hi;
    int i, n = 0;

    /* the more there are, the longer until each has its turn again */
    before -= SAVE_EVERY * (1 + (int)apr_hash_count(s->sites) / SAVE_MANY);
    for (hi = apr_hash_first(ptemp, s->sites); hi && n < SAVE_MANY;
         hi = apr_hash_next(hi)) {
        mta_site_t *site;

        apr_hash_this(hi, NULL, NULL, (void **)&site);
        if (!is_news(site) || site->saved_at > before)
            continue;
        fill(&rows[n], site, ptemp);
        sites[n++] = site;
    }
    if (!sender_store_works(s, mg_destination_save(s->db, rows, n, ptemp)))
        return;
    for (i = 0; i < n; i++) {
        sites[i]->learned = 0;
        sites[i]->saved_at = mg_ticks();
    }
}

void mta_learned_save(sender_t *s)
{
    apr_pool_t *ptemp;

    if (s->store_down)
        return;
    apr_pool_create(&ptemp, s->pool);
    save_some(s, ptemp);
    apr_pool_destroy(ptemp);
}

void mta_learned_forget(sender_t *s)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->notes); hi; hi = apr_hash_next(hi)) {
        mta_note_t *note;

        apr_hash_this(hi, NULL, NULL, (void **)&note);
        note_drop(s, note);
    }
}
