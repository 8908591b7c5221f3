/* mg_tracking.h - what of a message is tracked.
 *
 * Its domain's settings (track_opens, track_clicks, unsubscribe) say so, unless
 * the message does (reference, section 2; mg_options.h):
 *
 *   tracking         no: neither opens nor clicks; yes: both, whatever the
 *                    domain and the two below say
 *   tracking-clicks  yes, no, htmlonly      tracking-opens  yes, no
 *
 * htmlonly stays htmlonly where tracking says yes. Nothing is tracked, and there
 * are no footers, as long as DNS does not have the domain's tracking host: links
 * that lead nowhere are worse than links nobody counts. MailgunTrackingForce
 * says otherwise.
 */
#ifndef MG_TRACKING_H
#define MG_TRACKING_H

#include <jansson.h>

#include "mg_config.h"
#include "mg_domain.h"

enum { MG_CLICKS_NO, MG_CLICKS_YES, MG_CLICKS_HTMLONLY };

typedef struct {
    int works;        /* the tracking host is there, or is said to be */
    int opens;        /* html gets a pixel */
    int clicks;       /* MG_CLICKS_*: links lead by us */
    int unsubscribe;  /* footers, List-Unsubscribe */
} mg_tracking_t;

/** Needs no CNAME record be there? MailgunTrackingForce, or one tracking host
 * for all domains. */
int mg_tracking_is_forced(const mg_config_t *config);
/** A domain's tracking host as requests name it: in ASCII (RFC 5890).
 * @param domain  mg_domain_t.name_lc */
const char *mg_tracking_host(const mg_config_t *config, const char *domain,
                             apr_pool_t *p);
/** What the domain says. @param force  mg_tracking_is_forced() */
void mg_tracking_of_domain(mg_tracking_t *tracking, const mg_domain_t *domain,
                           int force);
/** And then the message. @param options  mg_options_t.options, or NULL */
void mg_tracking_of_message(mg_tracking_t *tracking, const json_t *options);
/** Is there anything to do at all? */
int mg_tracking_is_on(const mg_tracking_t *tracking);

/** A domain's footer, UTF-8 with variables, "" for none. */
const char *mg_tracking_footer(const mg_domain_t *domain, int html);

#endif
