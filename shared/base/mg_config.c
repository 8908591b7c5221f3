/* mg_config.c - the table of directives, and what reads a value.
 *
 * To add one: a member of mg_config_t, a line of the table (sorted), an entry
 * in docs/CONFIG.md. A setter names the value that is wrong and one that would
 * do.
 */
#include "mg_config_sending.h"
#include "mg_status.h"
#include "mg_text.h"

#include <apr_lib.h>
#include <apr_network_io.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define SETTER(name) \
    static const char *name(mg_config_t *config, const mg_directive_t *d, \
                            int argc, const char *const *argv, apr_pool_t *p)
#define FIELD(type) (*(type *)(void *)((char *)config + d->offset))

typedef struct {
    int min, max;
    const char *example;
} range_t;

static int given_before(mg_config_t *config, const mg_directive_t *d);

static const char *wrong_count(const mg_directive_t *d, apr_pool_t *p)
{
    return apr_psprintf(p, "%s takes: %s", d->name, d->args);
}

/* one value */

SETTER(set_text)
{
    if (argc != 1 || !*argv[0])
        return wrong_count(d, p);
    FIELD(const char *) = apr_pstrdup(p, argv[0]);
    return NULL;
}

SETTER(set_path)
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

SETTER(set_store)
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

SETTER(set_hostname)
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

SETTER(set_size)
{
    if (argc != 1)
        return wrong_count(d, p);
    if (mg_text_size(&FIELD(apr_int64_t), argv[0]) != APR_SUCCESS)
        return apr_psprintf(p, "%s: '%s' is no size; try 26214400 or 25M",
                            d->name, argv[0]);
    return NULL;
}

SETTER(set_time)
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
    const range_t *range = d->extra;
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

SETTER(set_number)
{
    apr_int64_t n;
    const char *error = read_number(&n, d, argc, argv, p);

    if (!error)
        FIELD(int) = (int)n;
    return error;
}

SETTER(set_count)
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

SETTER(set_word)
{
    if (argc != 1)
        return wrong_count(d, p);
    return read_word(&FIELD(int), d, argv[0], p);
}

SETTER(set_word_text)
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
SETTER(set_rate)
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

static int is_ip(const char *text)
{
    unsigned char raw[16];

    return inet_pton(AF_INET, text, raw) == 1
           || inet_pton(AF_INET6, text, raw) == 1;
}

/* "host:port", "[::1]:port", "host", "::1". *pport stays where none is given. */
static int split_port(const char **phost, int *pport, const char *text,
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
        if (is_ip(text))
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

SETTER(set_listen)
{
    static const char *const roles[] = { "mx", "submission", "smtps", NULL };
    mg_directive_t words = *d;
    mg_listen_t listen = { NULL, 0, 0 };
    const char *error;

    if (argc != 2)
        return wrong_count(d, p);
    if (!split_port(&listen.address, &listen.port, argv[0], p)
        || listen.port == 0
        || (strcmp(listen.address, "*") != 0 && !is_ip(listen.address)))
        return apr_psprintf(p, "%s: '%s' is no address and port; try *:25 or "
                            "[::1]:2525", d->name, argv[0]);
    words.extra = roles;
    error = read_word(&listen.role, &words, argv[1], p);
    if (error)
        return error;
    if (!given_before(config, d))
        config->listen = apr_array_make(p, 4, sizeof(mg_listen_t));
    APR_ARRAY_PUSH(config->listen, mg_listen_t) = listen;
    return NULL;
}

SETTER(set_transport)
{
    mg_transport_t transport = { NULL, NULL, 25 };

    if (argc != 2)
        return wrong_count(d, p);
    if (!split_port(&transport.host, &transport.port, argv[1], p))
        return apr_psprintf(p, "%s: '%s' is no host; try 127.0.0.1:2525 or "
                            "mx.example.com", d->name, argv[1]);
    transport.domain = mg_text_lower(argv[0], p);
    if (!given_before(config, d))
        config->transports = apr_array_make(p, 4, sizeof(mg_transport_t));
    APR_ARRAY_PUSH(config->transports, mg_transport_t) = transport;
    return NULL;
}

SETTER(set_lmtp)
{
    const char *host;
    int port = 0;

    if (argc != 1)
        return wrong_count(d, p);
    if (strncmp(argv[0], "unix:/", 6) != 0
        && (!split_port(&host, &port, argv[0], p) || port == 0))
        return apr_psprintf(p, "%s: '%s' is no LMTP server; try "
                            "unix:/run/dovecot/lmtp or 127.0.0.1:24", d->name,
                            argv[0]);
    config->lmtp = apr_pstrdup(p, argv[0]);
    return NULL;
}

SETTER(set_resolvers)
{
    const char *host;
    int i, port = 53;

    if (argc < 1)
        return wrong_count(d, p);
    if (!given_before(config, d))
        config->resolvers = apr_array_make(p, argc, sizeof(char *));
    for (i = 0; i < argc; i++) {
        if (!split_port(&host, &port, argv[i], p) || !is_ip(host))
            return apr_psprintf(p, "%s: '%s' is no address; try 127.0.0.1 or "
                                "127.0.0.1:5353", d->name, argv[i]);
        APR_ARRAY_PUSH(config->resolvers, char *) = apr_pstrdup(p, argv[i]);
    }
    return NULL;
}

SETTER(set_retry)
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

SETTER(set_networks)
{
    apr_ipsubnet_t *net;
    int i;

    if (argc < 1)
        return wrong_count(d, p);
    if (!given_before(config, d))
        config->hook_allow = apr_array_make(p, argc, sizeof(char *));
    for (i = 0; i < argc; i++) {
        char *address = apr_pstrdup(p, argv[i]);
        char *mask = strchr(address, '/');
        if (mask)
            *mask++ = '\0';
        if (!is_ip(address)
            || apr_ipsubnet_create(&net, address, mask, p) != APR_SUCCESS)
            return apr_psprintf(p, "%s: '%s' is no network; try 10.0.0.0/8 or "
                                "127.0.0.1", d->name, argv[i]);
        APR_ARRAY_PUSH(config->hook_allow, char *) = apr_pstrdup(p, argv[i]);
    }
    return NULL;
}

/* The words of an enumeration, each a bit; "none" alone is none of them. */
SETTER(set_words)
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

SETTER(set_mx)
{
    const char *const *at = argv, *name = NULL;
    mg_directive_t one = *d;
    const char *error;
    mg_config_t ignored;

    if (argc < 1)
        return wrong_count(d, p);
    if (!given_before(config, d))
        config->mx = apr_array_make(p, argc, sizeof(char *));
    for (; at < argv + argc; at++) {
        one.offset = offsetof(mg_config_t, hostname);
        error = set_hostname(&ignored, &one, 1, at, p);
        if (error)
            return error;
        name = apr_pstrdup(p, *at);
        APR_ARRAY_PUSH(config->mx, const char *) = name;
    }
    return NULL;
}

/* A bare host name is short for include: (RFC 7208 5.2). */
SETTER(set_spf)
{
    const char *c;
    int i;

    if (argc < 1)
        return wrong_count(d, p);
    if (!given_before(config, d))
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

/* the table */


static const char *const dkim_words[] = { "none", "rsa", "ed25519", NULL };
static const char *const durability_words[] = { "full", "relaxed", NULL };
static const char *const switch_words[] = { "off", "on", NULL };
static const char *const notls_words[] = { "off", "loopback", "on", NULL };
static const char *const dane_words[] = { "off", "on", "auto", NULL };
static const char *const tls_words[] = { "may", "encrypt", "verify", NULL };
static const char *const log_words[] = { "err", "warn", "info", "debug",
                                         NULL };
static const range_t few = { 1, 64, "2" };
static const range_t some = { 1, 10000, "20" };
static const range_t many = { 1, 1000000, "1000" };
static const range_t ports = { 1, 65535, "25" };

#define AT(member) offsetof(mg_config_t, member)

static const mg_directive_t directives[] = {
    { "MailgunAuthWithoutTLS", "off|loopback|on", "off",
      "Whether AUTH is offered on connections without TLS: never, to loopback "
      "addresses, or to everybody.",
      set_word, AT(auth_without_tls), notls_words },
    { "MailgunAuthWorkers", "number", "1",
      "Processes that check passwords for the receivers.",
      set_number, AT(auth_workers), &few },
    { "MailgunClaims", "number", "2000",
      "Deliveries that one sender holds in memory at most.",
      set_number, AT(claims), &many },
    { "MailgunClientLimit", "number", "200",
      "SMTP sessions that one client address may have open.",
      set_count, AT(client_limit), &many },
    { "MailgunClientRate", "off|messages [recipients]", "off",
      "How many messages and recipients an hour a client address may hand in "
      "that does not log in.",
      set_rate, AT(client_rate), NULL },
    { "MailgunCommandTimeout", "time", "5m",
      "How long an SMTP client may be silent before its session ends.",
      set_time, AT(command_timeout), NULL },
    { "MailgunDANE", "off|on|auto", "auto",
      "Whether TLSA records of receivers are acted on: never, always (all "
      "resolvers validate DNSSEC and the way to them is safe), or if all "
      "resolvers are on this machine.",
      set_word, AT(dane), dane_words },
    { "MailgunDestination",
      "pattern [connections=number] [messages=number] [rate=number/s|m|h]", "",
      "How hard one destination may be worked: connections of a sender, "
      "messages per connection, messages per time; repeat it for more.",
      mg_config_set_destination, AT(destinations), NULL },
    { "MailgunDestinationConnections", "number", "20",
      "Connections that one sender opens to one destination at most.",
      set_number, AT(destination_connections), &some },
    { "MailgunDKIM", "rsa|ed25519 ...|none", "rsa ed25519",
      "The signatures that outgoing mail of our domains gets: by RSA-2048, by "
      "Ed25519, by both, or none.",
      set_words, AT(dkim), dkim_words },
    { "MailgunDomainRate", "off|messages [recipients]", "off",
      "How many messages and recipients an hour the logins of one domain may "
      "submit by SMTP together.",
      set_rate, AT(domain_rate), NULL },
    { "MailgunDurability", "full|relaxed", "full",
      "Whether accepted means on disk (full), or handed to the operating "
      "system (relaxed: a power failure may lose accepted messages).",
      set_word, AT(relaxed), durability_words },
    { "MailgunEventRetention", "time", "180d",
      "How long events and statistics are kept.",
      set_time, AT(event_retention), NULL },
    { "MailgunGroup", "name", "mailgun",
      "The group that may use the store and the run directory.",
      set_text, AT(group), NULL },
    { "MailgunHookAllow", "network ...", "",
      "Private networks that webhooks and forwards may reach all the same; "
      "without it they never reach loopback, private or link-local "
      "addresses.",
      set_networks, AT(hook_allow), NULL },
    { "MailgunHookTimeout", "time", "30s",
      "How long a webhook or forward may take.",
      set_time, AT(hook_timeout), NULL },
    { "MailgunHostname", "name", "(this machine's name)",
      "The name this server says in greetings, EHLO and Received lines.",
      set_hostname, AT(hostname), NULL },
    { "MailgunLease", "time", "120s",
      "How long a claimed delivery belongs to a sender that shows no sign of "
      "life.",
      set_time, AT(lease), NULL },
    { "MailgunListen", "address:port mx|submission|smtps", "*:25 mx",
      "An address to listen on and what is spoken there; repeat it for more.",
      set_listen, AT(listen), NULL },
    { "MailgunLMTP", "unix:path|host:port", "unix:/run/dovecot/lmtp",
      "Where Dovecot takes mail for mailboxes.",
      set_lmtp, AT(lmtp), NULL },
    { "MailgunLoginRate", "off|messages [recipients]", "off",
      "How many messages and recipients an hour one login may submit by SMTP.",
      set_rate, AT(login_rate), NULL },
    { "MailgunLogLevel", "err|warn|info|debug", "info",
      "The least important lines that are logged.",
      set_word_text, AT(log_level), log_words },
    { "MailgunMailboxQuota", "size", "0",
      "The quota of mailboxes that have none of their own; 0 is unlimited.",
      set_size, AT(mailbox_quota), NULL },
    { "MailgunMailDir", "path", "/var/lib/mailgun/mail",
      "The directory of the mailboxes' homes, used by Dovecot.",
      set_path, AT(mail_dir), NULL },
    { "MailgunMessageLimit", "size", "25M",
      "The largest message accepted, by API and by SMTP.",
      set_size, AT(message_limit), NULL },
    { "MailgunMinFreeSpace", "size", "100M",
      "With less free space than this where the store is, nothing new is "
      "accepted; deliveries go on.",
      set_size, AT(min_free), NULL },
    { "MailgunMTASTS", "off|on", "on",
      "Whether what domains publish about TLS to their MXs (MTA-STS) is "
      "fetched and held to.",
      set_word, AT(mta_sts), switch_words },
    { "MailgunMTASTSPort", "port", "443",
      "The port that MTA-STS policies are fetched from.",
      set_number, AT(mta_sts_port), &ports },
    { "MailgunMX", "name ...", "(MailgunHostname)",
      "The hosts that a domain's MX records should name.",
      set_mx, AT(mx), NULL },
    { "MailgunReceivers", "number", "1",
      "Processes that take mail by SMTP.",
      set_number, AT(receivers), &few },
    { "MailgunRecipientLimit", "number", "1000",
      "Recipients of one message at most.",
      set_count, AT(recipient_limit), &many },
    { "MailgunResolver", "address[:port] ...", "",
      "DNS servers to ask instead of the system's.",
      set_resolvers, AT(resolvers), NULL },
    { "MailgunRestrictFrom", "off|on", "off",
      "Whether From must be an address of the domain that sends, where the "
      "domain itself says nothing (restrict_from).",
      set_word, AT(restrict_from), switch_words },
    { "MailgunRetry", "time ...", "1m 5m 15m 30m 1h 2h 4h",
      "The waits between tries of a delivery; the last one repeats.",
      set_retry, AT(retry), NULL },
    { "MailgunRetryLimit", "time", "3d",
      "When a delivery is given up, counted from acceptance.",
      set_time, AT(retry_limit), NULL },
    { "MailgunRunDir", "path", "/run/mailgun",
      "The directory of sockets, doorbells and shared state.",
      set_path, AT(run_dir), NULL },
    { "MailgunSecretFile", "path", "/etc/mailgun/secret",
      "The file with the key that seals secrets; mailgunctl init makes it and "
      "its public half beside it.",
      set_path, AT(secret_file), NULL },
    { "MailgunSenders", "number", "1",
      "Processes that deliver by SMTP and LMTP.",
      set_number, AT(senders), &few },
    { "MailgunSendingIP", "name address [hello-name] [since=date]", "",
      "An address of this machine that mail goes out from, and the name said "
      "in EHLO there; repeat it for more, with the same name for IPv4 and IPv6 "
      "of one.",
      mg_config_set_sending_ip, AT(sending_ips), NULL },
    { "MailgunSendingPool", "name address-name ...", "",
      "Addresses (names of MailgunSendingIP) that take turns; the pool named "
      "default is for domains that have none of their own.",
      mg_config_set_sending_pool, AT(sending_pools), NULL },
    { "MailgunSessionLimit", "number", "1000",
      "SMTP sessions that one receiver serves at a time.",
      set_count, AT(session_limit), &many },
    { "MailgunShare", "domain number", "",
      "How many turns a sending domain has in the queue where others have one; "
      "repeat it for more.",
      mg_config_set_share, AT(shares), NULL },
    { "MailgunSMTPPort", "port", "25",
      "The port that mail goes out to.",
      set_number, AT(smtp_port), &ports },
    { "MailgunSPF", "name|mechanism ...", "(a: and MailgunHostname)",
      "What a domain's SPF record should have: a mechanism such as "
      "include:spf.example.com or ip4:192.0.2.0/24; a name alone is an "
      "include.",
      set_spf, AT(spf), NULL },
    { "MailgunSpoolDir", "path", "/var/lib/mailgun/spool",
      "The directory of large messages while they come in.",
      set_path, AT(spool_dir), NULL },
    { "MailgunStore", "sqlite:path|postgresql://...",
      "sqlite:/var/lib/mailgun/mailgun.db",
      "Where everything is kept.",
      set_store, AT(store), NULL },
    { "MailgunTLSCertificate", "path", "",
      "The server's certificate chain in PEM; with it STARTTLS is offered.",
      set_path, AT(tls_certificate), NULL },
    { "MailgunTLSKey", "path", "",
      "The private key of the certificate, in PEM.",
      set_path, AT(tls_key), NULL },
    { "MailgunTLSPolicy", "may|encrypt|verify", "may",
      "What mail to other servers needs at least: TLS where it is offered, TLS "
      "always, or TLS with a certificate that is trusted for the host's name.",
      set_word, AT(tls_policy), tls_words },
    { "MailgunTLSTrust", "path", "",
      "The authorities, in PEM, whose certificates are trusted when mail goes "
      "out, instead of the system's.",
      set_path, AT(tls_trust), NULL },
    { "MailgunTrackingTarget", "name", "(MailgunHostname)",
      "The host that a domain's CNAME record for links and opens, email.<domain>, "
      "should name.",
      set_hostname, AT(tracking_target), NULL },
    { "MailgunTransport", "domain|* host[:port]", "",
      "Where mail for a domain goes instead of its MX; * is all other "
      "domains; repeat it for more.",
      set_transport, AT(transports), NULL },
    { "MailgunUser", "name", "mailgun",
      "The user that the workers run as.",
      set_text, AT(user), NULL },
    { "MailgunWalLimit", "size", "64M",
      "The size above which SQLite's write-ahead log is cut.",
      set_size, AT(wal_limit), NULL },
    { "MailgunWarmup", "off|first=number [growth=percent] [days=number]", "off",
      "What a domain may send on its first day, how that grows each day, and "
      "after how many days there is no limit; what exceeds it waits for the "
      "next day.",
      mg_config_set_warmup, AT(warmup), NULL },
};
#define DIRECTIVES ((int)(sizeof(directives) / sizeof(directives[0])))

/* True from the second time on that a directive is given. A setter may get a
 * copy of the table's entry: the offset tells which one it is. */
static int given_before(mg_config_t *config, const mg_directive_t *d)
{
    int i;

    for (i = 0; i < DIRECTIVES; i++) {
        if (directives[i].offset == d->offset) {
            apr_uint64_t bit = APR_UINT64_C(1) << (i & 63);
            int before = (config->given[i >> 6] & bit) != 0;
            config->given[i >> 6] |= bit;
            return before;
        }
    }
    return 0;
}

const mg_directive_t *mg_config_directives(int *pn)
{
    _Static_assert(sizeof(directives) / sizeof(directives[0]) <= 128,
                   "mg_config_t.given has 128 bits");
    *pn = DIRECTIVES;
    return directives;
}

const mg_directive_t *mg_config_find(const char *name)
{
    int i;

    for (i = 0; i < DIRECTIVES; i++)
        if (strcasecmp(directives[i].name, name) == 0)
            return &directives[i];
    return NULL;
}

static const char *machine_name(apr_pool_t *p)
{
    char name[256] = "";

    if (gethostname(name, sizeof(name) - 1) != 0 || !*name)
        return "localhost";
    return apr_pstrdup(p, name);
}

mg_config_t *mg_config_create(apr_pool_t *p)
{
    mg_config_t *config = apr_pcalloc(p, sizeof(*config));
    int i;

    config->hostname = machine_name(p);
    config->transports = apr_array_make(p, 1, sizeof(mg_transport_t));
    config->resolvers = apr_array_make(p, 1, sizeof(char *));
    config->hook_allow = apr_array_make(p, 1, sizeof(char *));
    config->sending_ips = apr_array_make(p, 1, sizeof(mg_sending_ip_t));
    config->sending_pools = apr_array_make(p, 1, sizeof(mg_sending_pool_t));
    config->destinations = apr_array_make(p, 1, sizeof(mg_destination_t));
    config->shares = apr_array_make(p, 1, sizeof(mg_share_t));
    config->mx = apr_array_make(p, 1, sizeof(char *));
    config->spf = apr_array_make(p, 1, sizeof(char *));
    for (i = 0; i < DIRECTIVES; i++) {
        const mg_directive_t *d = &directives[i];
        char **argv;
        int argc = 0;

        if (!*d->default_text || *d->default_text == '(')
            continue;
        if (apr_tokenize_to_argv(d->default_text, &argv, p) != APR_SUCCESS)
            abort();
        while (argv[argc])
            argc++;
        if (d->set(config, d, argc, (const char *const *)argv, p) != NULL)
            abort(); /* the table itself is wrong: a unit test would see it */
    }
    memset(config->given, 0, sizeof(config->given));
    return config;
}

const char *mg_config_check(const mg_config_t *config, apr_pool_t *p)
{
    int i;

    if (config->tls_certificate && !config->tls_key)
        return apr_pstrdup(p, "MailgunTLSCertificate needs MailgunTLSKey");
    if (config->tls_key && !config->tls_certificate)
        return apr_pstrdup(p, "MailgunTLSKey needs MailgunTLSCertificate");
    for (i = 0; i < config->listen->nelts; i++) {
        const mg_listen_t *l = &APR_ARRAY_IDX(config->listen, i, mg_listen_t);
        if (l->role == MG_LISTEN_SMTPS && !config->tls_certificate)
            return apr_psprintf(p, "MailgunListen: port %d, smtps needs "
                                "MailgunTLSCertificate", l->port);
    }
    return mg_config_check_pools(config, p);
}
