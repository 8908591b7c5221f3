/* mg_config_tracking.c - directives of tracking links, and where reports of
 * spam come to. */
#include "mg_config_private.h"
#include "mg_text.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#define DOMAIN_MARK "<domain>"

static int is_host_text(const char *text)
{
    if (*text == '.' || *text == '-')
        return 0;
    for (; *text; text++)
        if (!apr_isalnum(*text) && *text != '-' && *text != '.'
            && *text != '_')
            return 0;
    return 1;
}

/* "email.<domain>", "links.example.com" */
MG_CONFIG_SETTER(mg_config_set_tracking_host)
{
    const char **value = (const char **)((char *)config + d->offset);
    const char *mark, *before;

    if (argc != 1)
        return apr_psprintf(p, "%s takes: %s", d->name, d->args);
    mark = strstr(argv[0], DOMAIN_MARK);
    before = mark ? apr_pstrmemdup(p, argv[0], (apr_size_t)(mark - argv[0]))
                  : argv[0];
    if (!is_host_text(before) || strlen(before) > 253
        || (mark ? mark[sizeof(DOMAIN_MARK) - 1] != '\0'
                       || (*before && before[strlen(before) - 1] != '.')
                 : !strchr(before, '.')))
        return apr_psprintf(p, "%s: '%s' is no host name; try "
                            "email.<domain> or links.example.com", d->name,
                            argv[0]);
    *value = mg_text_lower(argv[0], p);
    return NULL;
}

/* A dot-string (RFC 5321 4.1.2), with or without a domain. */
MG_CONFIG_SETTER(mg_config_set_feedback)
{
    const char **value = (const char **)((char *)config + d->offset);
    const char *c, *at;
    int is_good = argc == 1 && argv[0][0] && argv[0][0] != '.';

    at = is_good ? strchr(argv[0], '@') : NULL;
    for (c = argc == 1 ? argv[0] : ""; is_good && *c && c != at; c++)
        is_good = (apr_isalnum(*c) || strchr("!#$%&'*+-/=?^_`{|}~.", *c))
                  && c - argv[0] < 64;
    if (at)
        is_good = is_good && at > argv[0] && at[1] && is_host_text(at + 1);
    if (!is_good)
        return apr_psprintf(p, "%s: '%s' is no address; try fbl or "
                            "fbl@example.com", d->name,
                            argc == 1 ? argv[0] : "");
    *value = mg_text_lower(argv[0], p);
    return NULL;
}

/* "2s", "off" (0) */
MG_CONFIG_SETTER(mg_config_set_time_or_off)
{
    apr_interval_time_t *value =
        (apr_interval_time_t *)((char *)config + d->offset);
    apr_interval_time_t t = 0;

    if (argc != 1)
        return apr_psprintf(p, "%s takes: %s", d->name, d->args);
    if (strcasecmp(argv[0], "off") != 0
        && (mg_text_duration(&t, argv[0]) != APR_SUCCESS || t < 0))
        return apr_psprintf(p, "%s: '%s' is no length of time; try %s or off",
                            d->name, argv[0], d->default_text);
    *value = t;
    return NULL;
}

const char *mg_config_tracking_host(const mg_config_t *config,
                                    const char *domain, apr_pool_t *p)
{
    const char *host = config->tracking_host;
    const char *mark = strstr(host, DOMAIN_MARK);

    if (!mark)
        return host;
    return apr_pstrcat(p, apr_pstrmemdup(p, host, (apr_size_t)(mark - host)),
                       domain, NULL);
}

int mg_config_tracking_host_is_own(const mg_config_t *config)
{
    return strstr(config->tracking_host, DOMAIN_MARK) != NULL;
}
