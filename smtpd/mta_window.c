/* mta_window.c - how hard a site is worked: connections, pace, closing it.
 *
 * The window is how many connections a site may have. It begins small, grows
 * by one with each message that is taken, up to the limit of the configuration,
 * until the site refuses one more: what worked then is the ceiling. Below it
 * the window grows by one each time that all its connections delivered; beyond
 * it one connection is tried after PROBE_MIN, and after twice that each time it
 * is refused again. Where a transaction is refused or lost while others work,
 * the window is halved: once, however many are lost when a server restarts.
 *
 * Where nothing works the site is closed: for as long as it asks ("try again
 * in 5 minutes"), else for longer each time.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mta_site_private.h"
#include "sender_schedule.h"

#define CLOSED_MAX apr_time_from_sec(600)
#define WINDOW_START 2
#define PROBE_MIN apr_time_from_sec(600)
#define PROBE_MAX apr_time_from_sec(4 * 3600)
#define HALVE_EVERY apr_time_from_sec(2) /* what happens at once has one cause */

/* --- limits --- */

static int matches(const char *pattern, const char *name)
{
    apr_size_t len = strlen(pattern), name_len = strlen(name);

    if (strcmp(pattern, "*") == 0)
        return 1;
    if (pattern[0] != '*')
        return strcasecmp(pattern, name) == 0;
    return name_len > len - 1
           && strcasecmp(pattern + 1, name + name_len - (len - 1)) == 0;
}

static const mg_destination_t *limits_for(const mg_config_t *config,
                                          const char *name)
{
    int i;

    for (i = 0; config->destinations && i < config->destinations->nelts; i++) {
        const mg_destination_t *d = &APR_ARRAY_IDX(config->destinations, i,
                                                   mg_destination_t);

        if (matches(d->pattern, name))
            return d;
    }
    return NULL;
}

void mta_window_limits(mta_site_t *site, const char *name)
{
    const mg_config_t *config = site->s->config;
    const mg_destination_t *limits = limits_for(config, name);

    if (!limits || (site->limits && site->limits <= limits))
        return; /* the one that stands first counts */
    site->limits = limits;
    if (limits->per_hour > 0) /* each sender has its part of it */
        site->pace = apr_time_from_sec(3600)
                     * (config->senders > 1 ? config->senders : 1)
                     / limits->per_hour;
    if (site->window > mta_window_max(site))
        site->window = mta_window_max(site);
}

int mta_window_max(const mta_site_t *site)
{
    return site->limits && site->limits->connections > 0
               ? site->limits->connections
               : site->s->config->destination_connections;
}

int mta_window_messages(const mta_site_t *site)
{
    return site->limits && site->limits->messages > 0
               ? site->limits->messages
               : MTA_SITE_SERVED;
}

void mta_window_start(mta_site_t *site)
{
    int max = mta_window_max(site);

    /* our own LMTP server has nothing to learn about us */
    site->window = site->protocol == MTA_LMTP || max < WINDOW_START
                       ? max
                       : WINDOW_START;
    site->probe_wait = PROBE_MIN;
}

/* --- growing and shrinking --- */

static int established(const mta_site_t *site)
{
    return site->nlinks - site->nconnecting;
}

static void keep_reply(mta_site_t *site, const char *reply)
{
    free(site->last_reply);
    site->last_reply = strndup(reply, MTA_REPLY_KEPT);
    site->learned = 1;
}

static void set_ceiling(mta_site_t *site, int ceiling)
{
    site->ceiling = ceiling > 1 ? ceiling : 1;
    site->window = site->ceiling;
    site->streak = 0;
    site->probe_at = mg_ticks() + site->probe_wait;
    site->learned = 1;
}

void mta_window_delivered(mta_site_t *site)
{
    int max = mta_window_max(site);

    if (site->window >= max
        || (site->ceiling > 0 && site->window >= site->ceiling))
        return;
    if (site->ceiling > 0 && ++site->streak < site->window)
        return;
    site->window++;
    site->streak = 0;
    site->learned = 1;
}

void mta_window_connected(mta_site_t *site)
{
    site->failures = 0;
    if (site->ceiling == 0 || established(site) <= site->ceiling)
        return;
    /* one more than we believed */
    site->probe_wait = PROBE_MIN;
    set_ceiling(site, established(site));
}

void mta_window_refused(mta_site_t *site, const char *reply)
{
    keep_reply(site, reply);
    if (site->ceiling > 0 && established(site) >= site->ceiling) {
        site->probe_wait *= 2;
        if (site->probe_wait > PROBE_MAX)
            site->probe_wait = PROBE_MAX;
    }
    set_ceiling(site, established(site));
    mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: %d connections, no more: %s",
           site->key, site->window, reply);
}

void mta_window_halve(mta_site_t *site, const char *reply)
{
    keep_reply(site, reply);
    if (site->halved_at > 0 && mg_ticks() - site->halved_at < HALVE_EVERY)
        return;
    site->halved_at = mg_ticks();
    set_ceiling(site, site->window / 2);
    mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: %d connections: %s", site->key,
           site->window, reply);
}

/* Slow start: as many again as already work. */
int mta_window_may_open(mta_site_t *site)
{
    int working = established(site), window = site->window;

    if (site->ceiling > 0 && site->probe_at <= mg_ticks()
        && working == site->ceiling && window < mta_window_max(site))
        window++; /* perhaps there is room by now */
    return site->nconnecting < site->ngroups
           && site->nconnecting < (working > 1 ? working : 2)
           && site->nlinks + site->nleaving < window
           && mta_room_for(site);
}

/* --- pace --- */

static void on_pace(loop_t *loop, void *baton)
{
    mta_site_t *site = baton;

    (void)loop;
    site->pace_timer = NULL;
    mta_site_touch(site);
    loop_again(site->s->loop);
}

int mta_window_may_send(mta_site_t *site)
{
    apr_time_t now = mg_ticks();

    if (site->pace == 0 || site->next_at <= now)
        return 1;
    if (!site->pace_timer)
        site->pace_timer = loop_timer_set(site->s->loop, site->next_at - now,
                                          on_pace, site);
    return 0;
}

void mta_window_sent(mta_site_t *site)
{
    apr_time_t now = mg_ticks();

    if (site->pace > 0)
        site->next_at = (site->next_at > now - site->pace ? site->next_at
                                                          : now)
                        + site->pace;
}

/* --- closing --- */

typedef struct {
    const char *text;
    int code, permanent;
} words_t;

static void put_off(sender_t *s, sender_entry_t *e, const void *baton)
{
    const words_t *w = baton;

    if (w->permanent)
        sender_failed(s, e, w->text, w->code, NULL);
    else
        sender_deferred(s, e, w->text, w->code, NULL);
}

apr_time_t mta_site_closed_until(const mta_site_t *site)
{
    return site->closed_until > mg_now() ? site->closed_until : 0;
}

void mta_site_fail(mta_site_t *site, const char *reply, int code,
                   int permanent)
{
    words_t words = { reply, code, permanent };
    apr_interval_time_t delay;

    keep_reply(site, reply);
    if (!permanent) {
        site->failures++;
        delay = mta_reply_wait(reply);
        if (delay == 0) {
            delay = sender_schedule_delay(site->s->config, site->failures,
                                          (apr_uint64_t)(apr_uintptr_t)site);
            if (delay > CLOSED_MAX)
                delay = CLOSED_MAX;
        }
        site->closed_until = mg_now() + delay;
        mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: closed for %" APR_INT64_T_FMT
               " ms: %s", site->key, delay / 1000, reply);
    }
    site->mail_refusals = 0;
    mta_line_resolve_all(site, put_off, &words);
}
