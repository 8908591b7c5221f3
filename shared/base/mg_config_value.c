/* mg_config_value.c - setters of the kinds of values that directives have:
 * paths, sizes, times, numbers, words, addresses and lists of them.
 *
 * A setter names the value that is wrong and one that would do.
 */
#include "mg_config_private.h"
#include "mg_text.h"

#include <apr_lib.h>
#include <apr_network_io.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELD(type) (*(type *)(void *)((char *)config + d->offset))

static const char *wrong_count(const mg_directive_t *d, apr_pool_t *p)
{
    return apr_psprintf(p, "%s takes: %s", d->name, d->args);
}

/* one value */

MG_CONFIG_SETTER(mg_config_set_text)
{
    if (argc != 1 || !*argv[0])
        return wrong_count(d, p);
    FIELD(const char *) = apr_pstrdup(p, argv[0]);
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_path)
{
    if (argc != 1)
        return wrong_count(d, p);
    if (argv[0][0] != '/')
        return apr_psprintf(p, "%s: '%s' is no absolute path; try %s", d->name,
                            argv[0], *d->default_text ? d->default_text
                                                      : "/etc/mailgun/tls.pem");
    FIELD(const char *) = apr_pstrdup(p, argv[0]);
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_store)
{
    if (argc != 1)
        return wrong_count(d, p);
    if (strncmp(argv[0], "sqlite:/", 8) != 0
        && strncmp(argv[0], "postgresql://", 13) != 0)
        return apr_psprintf(p, "%s: '%s' is no store; try "
                            "sqlite:/var/lib/mailgun/mailgun.db or "
                            "postgresql://user@host/mailgun", d->name,
                            argv[0]);
    FIELD(const char *) = apr_pstrdup(p, argv[0]);
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_hostname)
{
    const char *c;

    if (argc != 1 || !*argv[0])
        return wrong_count(d, p);
    for (c = argv[0]; *c; c++)
        if (!apr_isalnum(*c) && *c != '-' && *c != '.')
            break;
    if (*c || strlen(argv[0]) > 253)
        return apr_psprintf(p, "%s: '%s' is no host name; try "
                            "mail.example.com", d->name, argv[0]);
    FIELD(const char *) = apr_pstrdup(p, argv[0]);
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_url)
{
    apr_size_t len;

    if (argc != 1)
        return wrong_count(d, p);
    len = strlen(argv[0]);
    if ((strncasecmp(argv[0], "http://", 7) && strncasecmp(argv[0], "https://",
                                                            8))
        || strpbrk(argv[0], " \"<>?#") || argv[0][len - 1] == '/')
        return apr_psprintf(p, "%s: '%s' is no URL, or ends in a slash; try "
                            "https://api.example.com", d->name, argv[0]);
    FIELD(const char *) = apr_pstrdup(p, argv[0]);
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_size)
{
    if (argc != 1)
        return wrong_count(d, p);
    if (mg_text_size(&FIELD(apr_int64_t), argv[0]) != APR_SUCCESS)
        return apr_psprintf(p, "%s: '%s' is no size; try 26214400 or 25M",
                            d->name, argv[0]);
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_time)
{
    apr_interval_time_t t;

    if (argc != 1)
        return wrong_count(d, p);
    if (mg_text_duration(&t, argv[0]) != APR_SUCCESS || t <= 0)
        return apr_psprintf(p, "%s: '%s' is no length of time; try %s",
                            d->name, argv[0], d->default_text);
    FIELD(apr_interval_time_t) = t;
    return NULL;
}

static const char *read_number(apr_int64_t *pn, const mg_directive_t *d,
                               int argc, const char *const *argv,
                               apr_pool_t *p)
{
    const mg_config_range_t *range = d->extra;
    char *end;

    if (argc != 1)
        return wrong_count(d, p);
    *pn = apr_strtoi64(argv[0], &end, 10);
    if (end == argv[0] || *end)
        return apr_psprintf(p, "%s: '%s' is no number; try %s", d->name,
                            argv[0], range->example);
    if (*pn < range->min || *pn > range->max)
        return apr_psprintf(p, "%s: '%s' is not within %d and %d; try %s",
                            d->name, argv[0], range->min, range->max,
                            range->example);
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_number)
{
    apr_int64_t n;
    const char *error = read_number(&n, d, argc, argv, p);

    if (!error)
        FIELD(int) = (int)n;
    return error;
}

MG_CONFIG_SETTER(mg_config_set_count)
{
    apr_int64_t n;
    const char *error = read_number(&n, d, argc, argv, p);

    if (!error)
        FIELD(apr_int64_t) = n;
    return error;
}

static const char *read_word(int *pindex, const mg_directive_t *d,
                             const char *value, apr_pool_t *p)
{
    const char *const *names = d->extra;
    const char *list = "";
    int i;

    for (i = 0; names[i]; i++) {
        if (strcasecmp(names[i], value) == 0) {
            *pindex = i;
            return NULL;
        }
        list = apr_pstrcat(p, list, i ? ", " : "", names[i], NULL);
    }
    return apr_psprintf(p, "%s: '%s' is none of %s", d->name, value, list);
}

MG_CONFIG_SETTER(mg_config_set_word)
{
    if (argc != 1)
        return wrong_count(d, p);
    return read_word(&FIELD(int), d, argv[0], p);
}

MG_CONFIG_SETTER(mg_config_set_word_text)
{
    const char *const *names = d->extra;
    const char *error;
    int i = 0;

    if (argc != 1)
        return wrong_count(d, p);
    error = read_word(&i, d, argv[0], p);
    if (!error)
        FIELD(const char *) = names[i];
    return error;
}

/* "off", or messages and perhaps recipients an hour */
MG_CONFIG_SETTER(mg_config_set_rate)
{
    mg_rate_t rate = { 0, 0 };
    apr_int64_t *values[2] = { &rate.messages, &rate.recipients };
    char *end;
    int i;

    if (argc < 1 || argc > 2)
        return wrong_count(d, p);
    for (i = 0; i < argc && !(argc == 1 && strcasecmp(argv[0], "off") == 0);
         i++) {
        *values[i] = apr_strtoi64(argv[i], &end, 10);
        if (end == argv[i] || *end || *values[i] < 0 || *values[i] > 100000000)
            return apr_psprintf(p, "%s: '%s' is no number of messages or "
                                "recipients an hour; try 1000, or off",
                                d->name, argv[i]);
    }
    FIELD(mg_rate_t) = rate;
    return NULL;
}

/* addresses and lists */

int mg_config_is_ip(const char *text)
{
    unsigned char raw[16];

    return inet_pton(AF_INET, text, raw) == 1
           || inet_pton(AF_INET6, text, raw) == 1;
}

int mg_config_split_port(const char **phost, int *pport, const char *text,
                         apr_pool_t *p)
{
    const char *colon;
    char *end;
    long port;

    if (*text == '[') {
        const char *close = strchr(text, ']');
        if (!close || close == text + 1)
            return 0;
        *phost = apr_pstrmemdup(p, text + 1, (apr_size_t)(close - text - 1));
        colon = close + 1;
        if (!*colon)
            return 1;
        if (*colon != ':')
            return 0;
    }
    else {
        colon = strchr(text, ':');
        if (mg_config_is_ip(text))
            colon = NULL;
        *phost = colon ? apr_pstrmemdup(p, text, (apr_size_t)(colon - text))
                       : apr_pstrdup(p, text);
        if (!**phost)
            return 0;
        if (!colon)
            return 1;
    }
    port = strtol(colon + 1, &end, 10);
    if (!apr_isdigit(colon[1]) || *end || port < 1 || port > 65535)
        return 0;
    *pport = (int)port;
    return 1;
}

MG_CONFIG_SETTER(mg_config_set_listen)
{
    static const char *const roles[] = { "mx", "submission", "smtps", NULL };
    mg_directive_t words = *d;
    mg_listen_t listen = { NULL, 0, 0 };
    const char *error;

    if (argc != 2)
        return wrong_count(d, p);
    if (!mg_config_split_port(&listen.address, &listen.port, argv[0], p)
        || listen.port == 0
        || (strcmp(listen.address, "*") != 0
            && !mg_config_is_ip(listen.address)))
        return apr_psprintf(p, "%s: '%s' is no address and port; try *:25 or "
                            "[::1]:2525", d->name, argv[0]);
    words.extra = roles;
    error = read_word(&listen.role, &words, argv[1], p);
    if (error)
        return error;
    if (!mg_config_given_before(config, d))
        config->listen = apr_array_make(p, 4, sizeof(mg_listen_t));
    APR_ARRAY_PUSH(config->listen, mg_listen_t) = listen;
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_transport)
{
    mg_transport_t transport = { NULL, NULL, 25 };

    if (argc != 2)
        return wrong_count(d, p);
    if (!mg_config_split_port(&transport.host, &transport.port, argv[1], p))
        return apr_psprintf(p, "%s: '%s' is no host; try 127.0.0.1:2525 or "
                            "mx.example.com", d->name, argv[1]);
    transport.domain = mg_text_lower(argv[0], p);
    if (!mg_config_given_before(config, d))
        config->transports = apr_array_make(p, 4, sizeof(mg_transport_t));
    APR_ARRAY_PUSH(config->transports, mg_transport_t) = transport;
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_lmtp)
{
    const char *host;
    int port = 0;

    if (argc != 1)
        return wrong_count(d, p);
    if (strncmp(argv[0], "unix:/", 6) != 0
        && (!mg_config_split_port(&host, &port, argv[0], p) || port == 0))
        return apr_psprintf(p, "%s: '%s' is no LMTP server; try "
                            "unix:/run/dovecot/lmtp or 127.0.0.1:24", d->name,
                            argv[0]);
    config->lmtp = apr_pstrdup(p, argv[0]);
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_resolvers)
{
    const char *host;
    int i, port = 53;

    if (argc < 1)
        return wrong_count(d, p);
    if (!mg_config_given_before(config, d))
        config->resolvers = apr_array_make(p, argc, sizeof(char *));
    for (i = 0; i < argc; i++) {
        if (!mg_config_split_port(&host, &port, argv[i], p)
            || !mg_config_is_ip(host))
            return apr_psprintf(p, "%s: '%s' is no address; try 127.0.0.1 or "
                                "127.0.0.1:5353", d->name, argv[i]);
        APR_ARRAY_PUSH(config->resolvers, char *) = apr_pstrdup(p, argv[i]);
    }
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_retry)
{
    int i;

    if (argc < 1)
        return wrong_count(d, p);
    config->retry = apr_array_make(p, argc, sizeof(apr_interval_time_t));
    for (i = 0; i < argc; i++) {
        apr_interval_time_t t;
        if (mg_text_duration(&t, argv[i]) != APR_SUCCESS || t <= 0)
            return apr_psprintf(p, "%s: '%s' is no length of time; try %s",
                                d->name, argv[i], d->default_text);
        APR_ARRAY_PUSH(config->retry, apr_interval_time_t) = t;
    }
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_networks)
{
    apr_ipsubnet_t *net;
    int i;

    if (argc < 1)
        return wrong_count(d, p);
    if (!mg_config_given_before(config, d))
        config->hook_allow = apr_array_make(p, argc, sizeof(char *));
    for (i = 0; i < argc; i++) {
        char *address = apr_pstrdup(p, argv[i]);
        char *mask = strchr(address, '/');
        if (mask)
            *mask++ = '\0';
        if (!mg_config_is_ip(address)
            || apr_ipsubnet_create(&net, address, mask, p) != APR_SUCCESS)
            return apr_psprintf(p, "%s: '%s' is no network; try 10.0.0.0/8 or "
                                "127.0.0.1", d->name, argv[i]);
        APR_ARRAY_PUSH(config->hook_allow, char *) = apr_pstrdup(p, argv[i]);
    }
    return NULL;
}

/* The words of an enumeration, each a bit; "none" alone is none of them. */
MG_CONFIG_SETTER(mg_config_set_words)
{
    unsigned int bits = 0;
    const char *error;
    int i, bit = 0;

    if (argc < 1)
        return wrong_count(d, p);
    for (i = 0; i < argc; i++) {
        error = read_word(&bit, d, argv[i], p);
        if (error)
            return error;
        if (bit == 0 && argc > 1)
            return apr_psprintf(p, "%s: '%s' stands alone", d->name, argv[i]);
        if (bit > 0)
            bits |= 1u << (bit - 1);
    }
    FIELD(unsigned int) = bits;
    return NULL;
}

MG_CONFIG_SETTER(mg_config_set_mx)
{
    const char *const *at = argv, *name = NULL;
    mg_directive_t one = *d;
    const char *error;
    mg_config_t ignored;

    if (argc < 1)
        return wrong_count(d, p);
    if (!mg_config_given_before(config, d))
        config->mx = apr_array_make(p, argc, sizeof(char *));
    for (; at < argv + argc; at++) {
        one.offset = offsetof(mg_config_t, hostname);
        error = mg_config_set_hostname(&ignored, &one, 1, at, p);
        if (error)
            return error;
        name = apr_pstrdup(p, *at);
        APR_ARRAY_PUSH(config->mx, const char *) = name;
    }
    return NULL;
}

/* A bare host name is short for include: (RFC 7208 5.2). */
MG_CONFIG_SETTER(mg_config_set_spf)
{
    const char *c;
    int i;

    if (argc < 1)
        return wrong_count(d, p);
    if (!mg_config_given_before(config, d))
        config->spf = apr_array_make(p, argc, sizeof(char *));
    for (i = 0; i < argc; i++) {
        for (c = argv[i]; *c > ' ' && *c < 127 && *c != '"' && *c != ';'; c++)
            ;
        if (*c || c == argv[i] || c - argv[i] > 253
            || (!strpbrk(argv[i], ":/.") && strcasecmp(argv[i], "a") != 0
                && strcasecmp(argv[i], "mx") != 0))
            return apr_psprintf(p, "%s: '%s' is no mechanism; try "
                                "include:spf.example.com or ip4:192.0.2.1",
                                d->name, argv[i]);
        APR_ARRAY_PUSH(config->spf, const char *) =
            strpbrk(argv[i], ":/") || !strchr(argv[i], '.')
                ? apr_pstrdup(p, argv[i])
                : apr_pstrcat(p, "include:", argv[i], NULL);
    }
    return NULL;
}
