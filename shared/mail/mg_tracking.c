/* mg_tracking.c - see mg_tracking.h. */
#include <string.h>
#include <strings.h>

#include "mg_address.h"
#include "mg_text.h"
#include "mg_tracking.h"

/* Reference, section 4. */
#define FOOTER_HTML                                                           \
    "\n<br>\n<p><a href=\"%unsubscribe_url%\">unsubscribe</a></p>\n"
#define FOOTER_TEXT "\n\nTo unsubscribe click: <%unsubscribe_url%>\n\n"

static int is_yes(const mg_domain_t *domain, const char *name)
{
    const char *value = mg_domain_setting(domain, name);

    return value && strcmp(value, "true") == 0;
}

static int clicks_of(const char *word)
{
    if (word == NULL)
        return MG_CLICKS_NO;
    if (strcasecmp(word, "htmlonly") == 0)
        return MG_CLICKS_HTMLONLY;
    return mg_text_bool(word) == 1 ? MG_CLICKS_YES : MG_CLICKS_NO;
}

int mg_tracking_is_forced(const mg_config_t *config)
{
    return config->tracking_force || !mg_config_tracking_host_is_own(config);
}

const char *mg_tracking_host(const mg_config_t *config, const char *domain,
                             apr_pool_t *p)
{
    return mg_address_ascii_domain(mg_config_tracking_host(config, domain, p),
                                   p);
}

void mg_tracking_of_domain(mg_tracking_t *tracking, const mg_domain_t *domain,
                           int force)
{
    memset(tracking, 0, sizeof(*tracking));
    tracking->works = force || domain->cname;
    tracking->opens = is_yes(domain, "track_opens");
    tracking->clicks = clicks_of(mg_domain_setting(domain, "track_clicks"));
    tracking->unsubscribe = is_yes(domain, "unsubscribe");
}

void mg_tracking_of_message(mg_tracking_t *tracking, const json_t *options)
{
    const json_t *all = json_object_get(options, "tracking"),
                 *opens = json_object_get(options, "tracking-opens"),
                 *clicks = json_object_get(options, "tracking-clicks");

    if (json_is_boolean(opens))
        tracking->opens = json_is_true(opens);
    if (json_is_string(clicks)) {
        int said = clicks_of(json_string_value(clicks));

        if (said != MG_CLICKS_NO
            || mg_text_bool(json_string_value(clicks)) == 0)
            tracking->clicks = said;
    }
    if (json_is_true(all)) {
        tracking->opens = 1;
        if (tracking->clicks == MG_CLICKS_NO)
            tracking->clicks = MG_CLICKS_YES;
    }
    else if (json_is_false(all))
        tracking->opens = tracking->clicks = 0;
    if (!tracking->works)
        tracking->opens = tracking->clicks = tracking->unsubscribe = 0;
}

int mg_tracking_is_on(const mg_tracking_t *tracking)
{
    return tracking->opens || tracking->clicks || tracking->unsubscribe;
}

const char *mg_tracking_footer(const mg_domain_t *domain, int html)
{
    const char *said = mg_domain_setting(domain, html ? "unsubscribe_html"
                                                      : "unsubscribe_text");

    if (said == NULL || strcmp(said, "default") == 0)
        return html ? FOOTER_HTML : FOOTER_TEXT;
    return said;
}
