/* mta_window.c - how hard a site is worked: connections, and closing it. */
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mta_site_private.h"
#include "sender_schedule.h"

#define CLOSED_MAX apr_time_from_sec(600)

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

    if (!permanent) {
        site->failures++;
        delay = sender_schedule_delay(site->s->config, site->failures,
                                      (apr_uint64_t)(apr_uintptr_t)site);
        if (delay > CLOSED_MAX)
            delay = CLOSED_MAX;
        site->closed_until = mg_now() + delay;
        mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: closed for %" APR_INT64_T_FMT
               " ms: %s", site->key, delay / 1000, reply);
    }
    site->mail_refusals = 0;
    mta_line_resolve_all(site, put_off, &words);
}

/* Slow start: as many again as already work. Where many sites hang, their
 * connections leave room for everybody's first one, and for our own LMTP. */
int mta_site_may_open(const mta_site_t *site)
{
    int working = site->nlinks - site->nconnecting;
    int most = site->protocol == MTA_LMTP ? 2 * MTA_CONNECTIONS
               : site->nlinks > 0         ? MTA_CONNECTIONS / 2
                                          : MTA_CONNECTIONS;

    return site->nconnecting < site->ngroups
           && site->nconnecting < (working > 1 ? working : 2)
           && site->nlinks < site->window
           && site->s->connections < most;
}
