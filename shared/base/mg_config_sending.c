/* mg_config_sending.c - directives that say how mail goes out: shares, limits of
 * destinations, the volume of new domains, the addresses it comes from. */
#include "mg_config_private.h"
#include "mg_text.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SHARE_MAX 1000

/* "a.test", "*": something with a domain's characters */
static int is_domain(const char *text)
{
    return *text && strlen(text) <= 253
           && !text[strcspn(text, " \t\"'@/<>()[]")];
}

MG_CONFIG_SETTER(mg_config_set_share)
{
    mg_share_t share;
    apr_int64_t n;
    char *end;

    if (argc != 2)
        return apr_psprintf(p, "%s takes: %s", d->name, d->args);
    if (!is_domain(argv[0]))
        return apr_psprintf(p, "%s: '%s' is no domain; try example.com",
                            d->name, argv[0]);
    n = apr_strtoi64(argv[1], &end, 10);
    if (*end || end == argv[1] || n < 1 || n > SHARE_MAX)
        return apr_psprintf(p, "%s: '%s' is no number within 1 and %d; try 5",
                            d->name, argv[1], SHARE_MAX);
    share.domain = mg_text_lower(argv[0], p);
    share.share = (int)n;
    APR_ARRAY_PUSH(config->shares, mg_share_t) = share;
    return NULL;
}

/* --- addresses --- */

#define NAME_MAX_ 32

/* It is part of keys and stands in logs. */
static int is_name(const char *text)
{
    const char *c;

    for (c = text; *c; c++)
        if (!apr_isalnum(*c) && *c != '-' && *c != '_' && *c != '.')
            return 0;
    return c != text && c - text <= NAME_MAX_;
}

static const char *no_name(const mg_directive_t *d, const char *text,
                           apr_pool_t *p)
{
    return apr_psprintf(p, "%s: '%s' is no name; try a word of letters, "
                        "digits, - and _", d->name, text);
}

static mg_sending_ip_t *ip_named(const mg_config_t *config, const char *name)
{
    int i;

    for (i = 0; i < config->sending_ips->nelts; i++) {
        mg_sending_ip_t *ip = &APR_ARRAY_IDX(config->sending_ips, i,
                                             mg_sending_ip_t);

        if (!strcmp(ip->name, name))
            return ip;
    }
    return NULL;
}

/* "2026-11-25", its beginning in UTC */
static int read_day(apr_time_t *pday, const char *text)
{
    apr_time_exp_t day;
    int end = 0;

    memset(&day, 0, sizeof(day));
    if (sscanf(text, "%4d-%2d-%2d%n", &day.tm_year, &day.tm_mon, &day.tm_mday,
               &end) != 3
        || text[end] || day.tm_year < 1970 || day.tm_mon < 1 || day.tm_mon > 12
        || day.tm_mday < 1 || day.tm_mday > 31)
        return 0;
    day.tm_year -= 1900;
    day.tm_mon--;
    return apr_time_exp_gmt_get(pday, &day) == APR_SUCCESS;
}

MG_CONFIG_SETTER(mg_config_set_sending_ip)
{
    unsigned char raw[16];
    apr_time_t since = 0;
    mg_sending_ip_t *ip;
    const char **slot;
    int v6;

    if (argc > 2 && strncmp(argv[argc - 1], "since=", 6) == 0) {
        if (!read_day(&since, argv[argc - 1] + 6))
            return apr_psprintf(p, "%s: '%s' is no day; try since=2026-11-25",
                                d->name, argv[argc - 1]);
        argc--;
    }
    if (argc != 2 && argc != 3)
        return apr_psprintf(p, "%s takes: %s", d->name, d->args);
    if (!is_name(argv[0]))
        return no_name(d, argv[0], p);
    v6 = strchr(argv[1], ':') != NULL;
    if (inet_pton(v6 ? AF_INET6 : AF_INET, argv[1], raw) != 1)
        return apr_psprintf(p, "%s: '%s' is no address; try 192.0.2.1",
                            d->name, argv[1]);
    if (argc == 3 && !is_domain(argv[2]))
        return apr_psprintf(p, "%s: '%s' is no host name; try "
                            "out1.example.com", d->name, argv[2]);
    ip = ip_named(config, argv[0]);
    if (!ip) {
        ip = apr_array_push(config->sending_ips);
        memset(ip, 0, sizeof(*ip));
        ip->name = apr_pstrdup(p, argv[0]);
    }
    slot = v6 ? &ip->v6 : &ip->v4;
    if (*slot)
        return apr_psprintf(p, "%s: '%s' has the address %s already", d->name,
                            argv[0], *slot);
    *slot = apr_pstrdup(p, argv[1]);
    if (argc == 3)
        ip->hello = apr_pstrdup(p, argv[2]);
    if (since)
        ip->since = since;
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_sending_pool)
{
    mg_sending_pool_t *pool;
    int i;

    if (argc < 2)
        return apr_psprintf(p, "%s takes: %s", d->name, d->args);
    for (i = 0; i < argc; i++)
        if (!is_name(argv[i]))
            return no_name(d, argv[i], p);
    for (i = 0; i < config->sending_pools->nelts; i++)
        if (!strcmp(APR_ARRAY_IDX(config->sending_pools, i,
                                  mg_sending_pool_t).name, argv[0]))
            return apr_psprintf(p, "%s: there is a pool '%s' already",
                                d->name, argv[0]);
    pool = apr_array_push(config->sending_pools);
    pool->name = apr_pstrdup(p, argv[0]);
    pool->ips = apr_array_make(p, argc, sizeof(char *));
    for (i = 1; i < argc; i++)
        APR_ARRAY_PUSH(pool->ips, const char *) = apr_pstrdup(p, argv[i]);
    return NULL;
}

const char *mg_config_check_pools(const mg_config_t *config, apr_pool_t *p)
{
    int i, j;

    for (i = 0; i < config->sending_pools->nelts; i++) {
        const mg_sending_pool_t *pool = &APR_ARRAY_IDX(config->sending_pools,
                                                       i, mg_sending_pool_t);

        for (j = 0; j < pool->ips->nelts; j++) {
            const char *name = APR_ARRAY_IDX(pool->ips, j, const char *);

            if (!ip_named(config, name))
                return apr_psprintf(p, "MailgunSendingPool: %s: there is no "
                                    "MailgunSendingIP %s", pool->name, name);
        }
    }
    return NULL;
}

/* "10/s", "600/m", "100/h" as messages an hour */
static int read_rate(int *per_hour, const char *text)
{
    char *end;
    apr_int64_t n = apr_strtoi64(text, &end, 10);

    if (end == text || n < 1 || n > 10000 || end[0] != '/' || !end[1]
        || end[2])
        return 0;
    if (end[1] != 's' && end[1] != 'm' && end[1] != 'h')
        return 0;
    *per_hour = (int)(end[1] == 's' ? n * 3600 : end[1] == 'm' ? n * 60 : n);
    return 1;
}

static int read_count(int *pn, const char *text, int max)
{
    char *end;
    apr_int64_t n = apr_strtoi64(text, &end, 10);

    if (end == text || *end || n < 1 || n > max)
        return 0;
    *pn = (int)n;
    return 1;
}

MG_CONFIG_SETTER(mg_config_set_destination)
{
    mg_destination_t to = { NULL, 0, 0, 0 };
    int i, ok;

    if (argc < 2)
        return apr_psprintf(p, "%s takes: %s", d->name, d->args);
    if (!is_domain(argv[0]) || strchr(argv[0] + 1, '*'))
        return apr_psprintf(p, "%s: '%s' is no domain; try example.com or "
                            "*.example.com", d->name, argv[0]);
    to.pattern = mg_text_lower(argv[0], p);
    for (i = 1; i < argc; i++) {
        if (strncmp(argv[i], "connections=", 12) == 0)
            ok = read_count(&to.connections, argv[i] + 12, 10000);
        else if (strncmp(argv[i], "messages=", 9) == 0)
            ok = read_count(&to.messages, argv[i] + 9, 10000);
        else if (strncmp(argv[i], "rate=", 5) == 0)
            ok = read_rate(&to.per_hour, argv[i] + 5);
        else
            ok = 0;
        if (!ok)
            return apr_psprintf(p, "%s: '%s' is no limit; try connections=10, "
                                "messages=100 or rate=10/s", d->name, argv[i]);
    }
    APR_ARRAY_PUSH(config->destinations, mg_destination_t) = to;
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_warmup)
{
    mg_warmup_plan_t plan = { 0, 50, 30 };
    int i, ok;

    if (argc < 1)
        return apr_psprintf(p, "%s takes: %s", d->name, d->args);
    if (argc == 1 && strcasecmp(argv[0], "off") == 0) {
        config->warmup.first = 0;
        return NULL;
    }
    for (i = 0; i < argc; i++) {
        if (strncmp(argv[i], "first=", 6) == 0)
            ok = read_count(&plan.first, argv[i] + 6, 1000000000);
        else if (strncmp(argv[i], "growth=", 7) == 0)
            ok = read_count(&plan.growth, argv[i] + 7, 1000);
        else if (strncmp(argv[i], "days=", 5) == 0)
            ok = read_count(&plan.days, argv[i] + 5, 365);
        else
            ok = 0;
        if (!ok)
            return apr_psprintf(p, "%s: '%s' is no part of a plan; try "
                                "first=200 growth=50 days=30", d->name,
                                argv[i]);
    }
    if (plan.first == 0)
        return apr_psprintf(p, "%s: first= is missing; try first=200",
                            d->name);
    config->warmup = plan;
    return NULL;
}
