/* mg_config.c - the table of directives, and the values when none is given.
 *
 * To add one: a member of mg_config_t, a line of the table (sorted), an entry
 * in docs/CONFIG.md; where no setter of mg_config_value.c fits, one of its own.
 */
#include "mg_config_private.h"

#include <apr_strings.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char *const dkim_words[] = { "none", "rsa", "ed25519", NULL };
static const char *const durability_words[] = { "full", "relaxed", NULL };
static const char *const switch_words[] = { "off", "on", NULL };
static const char *const notls_words[] = { "off", "loopback", "on", NULL };
static const char *const dane_words[] = { "off", "on", "auto", NULL };
static const char *const scheme_words[] = { "http", "https", NULL };
static const char *const tls_words[] = { "may", "encrypt", "verify", NULL };
static const char *const log_words[] = { "err", "warn", "info", "debug",
                                         NULL };
static const mg_config_range_t few = { 1, 64, "2" };
static const mg_config_range_t several = { 1, 1000, "10" };
static const mg_config_range_t some = { 1, 10000, "20" };
static const mg_config_range_t many = { 1, 1000000, "1000" };
static const mg_config_range_t ports = { 1, 65535, "25" };

#define AT(member) offsetof(mg_config_t, member)

static const mg_directive_t directives[] = {
    { "MailgunAPIURL", "URL", "(https:// and MailgunHostname)",
      "Where customers reach the API, for addresses in what is posted to them.",
      mg_config_set_url, AT(api_url), NULL },
    { "MailgunARC", "on|off", "on",
      "Whether what routes send on by mail gets an ARC set (RFC 8617), and "
      "signatures of what may be sent on are verified for it.",
      mg_config_set_word, AT(arc), switch_words },
    { "MailgunAuthWithoutTLS", "off|loopback|on", "off",
      "Whether AUTH is offered on connections without TLS: never, to loopback "
      "addresses, or to everybody.",
      mg_config_set_word, AT(auth_without_tls), notls_words },
    { "MailgunAuthWorkers", "number", "1",
      "Processes that check passwords for the receivers.",
      mg_config_set_number, AT(auth_workers), &few },
    { "MailgunCampaignDeliveredRetention", "time", "14d",
      "How long the delivered events of campaigns are kept; their counts stay.",
      mg_config_set_time, AT(campaign_delivered_retention), NULL },
    { "MailgunCampaignRetention", "time", "180d",
      "How long the other events of campaigns are kept; their counts stay.",
      mg_config_set_time, AT(campaign_retention), NULL },
    { "MailgunClaims", "number", "2000",
      "Deliveries that one sender holds in memory at most.",
      mg_config_set_number, AT(claims), &many },
    { "MailgunClientLimit", "number", "200",
      "SMTP sessions that one client address may have open.",
      mg_config_set_count, AT(client_limit), &many },
    { "MailgunClientRate", "off|messages [recipients]", "off",
      "How many messages and recipients an hour a client address may hand in "
      "that does not log in.",
      mg_config_set_rate, AT(client_rate), NULL },
    { "MailgunCommandTimeout", "time", "5m",
      "How long an SMTP client may be silent before its session ends.",
      mg_config_set_time, AT(command_timeout), NULL },
    { "MailgunDANE", "off|on|auto", "auto",
      "Whether TLSA records of receivers are acted on: never, always (all "
      "resolvers validate DNSSEC and the way to them is safe), or if all "
      "resolvers are on this machine.",
      mg_config_set_word, AT(dane), dane_words },
    { "MailgunDeadLetterRetention", "time", "30d",
      "How long webhooks and forwards that were given up can still be looked "
      "at and posted again.",
      mg_config_set_time, AT(dead_letter_retention), NULL },
    { "MailgunDestination",
      "pattern [connections=number] [messages=number] [rate=number/s|m|h]", "",
      "How hard one destination may be worked: connections of a sender, "
      "messages per connection, messages per time; repeat it for more.",
      mg_config_set_destination, AT(destinations), NULL },
    { "MailgunDestinationConnections", "number", "20",
      "Connections that one sender opens to one destination at most.",
      mg_config_set_number, AT(destination_connections), &some },
    { "MailgunDKIM", "rsa|ed25519 ...|none", "rsa ed25519",
      "The signatures that outgoing mail of our domains gets: by RSA-2048, by "
      "Ed25519, by both, or none.",
      mg_config_set_words, AT(dkim), dkim_words },
    { "MailgunDomainRate", "off|messages [recipients]", "off",
      "How many messages and recipients an hour the logins of one domain may "
      "submit by SMTP together.",
      mg_config_set_rate, AT(domain_rate), NULL },
    { "MailgunDurability", "full|relaxed", "full",
      "Whether accepted means on disk (full), or handed to the operating "
      "system (relaxed: a power failure may lose accepted messages).",
      mg_config_set_word, AT(relaxed), durability_words },
    { "MailgunEventRetention", "time", "180d",
      "How long events and the log are kept, and what messages were.",
      mg_config_set_time, AT(event_retention), NULL },
    { "MailgunEventSettle", "time", "2s",
      "How long an event waits until the events API shows it: longer than the "
      "clocks of the nodes are apart.",
      mg_config_set_time, AT(event_settle), NULL },
    { "MailgunFeedbackAddress", "address|local-part", "",
      "Where providers send their reports of spam (feedback loops): an address "
      "in a domain of this platform, or a local part in all of them.",
      mg_config_set_feedback, AT(feedback), NULL },
    { "MailgunGeoIPFile", "path", "",
      "A MaxMind database that tells where opens and clicks come from.",
      mg_config_set_path, AT(geo_file), NULL },
    { "MailgunGroup", "name", "mailgun",
      "The group that may use the store and the run directory.",
      mg_config_set_text, AT(group), NULL },
    { "MailgunHookAllow", "network ...", "",
      "Private networks that webhooks and forwards may reach all the same; "
      "without it they never reach loopback, private or link-local "
      "addresses.",
      mg_config_set_networks, AT(hook_allow), NULL },
    { "MailgunHookConnections", "number", "1000",
      "Webhooks and forwards that one notifier has under way at most.",
      mg_config_set_number, AT(hook_connections), &some },
    { "MailgunHookCustomerConnections", "number", "50",
      "How many of them may be one account's.",
      mg_config_set_number, AT(hook_customer_connections), &some },
    { "MailgunHookHostConnections", "number", "50",
      "How many of them may go to one host and port.",
      mg_config_set_number, AT(hook_host_connections), &some },
    { "MailgunHookMachines", "off|on", "off",
      "Whether opens and clicks of machines (link scanners, mail proxies) are "
      "posted, too.",
      mg_config_set_word, AT(hook_machines), switch_words },
    { "MailgunHookRetryDelivered", "off|on", "off",
      "Whether a delivered webhook that was not taken is tried again, as all "
      "others are.",
      mg_config_set_word, AT(hook_retry_delivered), switch_words },
    { "MailgunHookTimeout", "time", "30s",
      "How long a webhook or forward may take.",
      mg_config_set_time, AT(hook_timeout), NULL },
    { "MailgunHostname", "name", "(this machine's name)",
      "The name this server says in greetings, EHLO and Received lines.",
      mg_config_set_hostname, AT(hostname), NULL },
    { "MailgunLease", "time", "120s",
      "How long a claimed delivery belongs to a sender that shows no sign of "
      "life.",
      mg_config_set_time, AT(lease), NULL },
    { "MailgunListen", "address:port mx|submission|smtps", "*:25 mx",
      "An address to listen on and what is spoken there; repeat it for more.",
      mg_config_set_listen, AT(listen), NULL },
    { "MailgunLMTP", "unix:path|host:port", "unix:/run/dovecot/lmtp",
      "Where Dovecot takes mail for mailboxes.",
      mg_config_set_lmtp, AT(lmtp), NULL },
    { "MailgunLoginRate", "off|messages [recipients]", "off",
      "How many messages and recipients an hour one login may submit by SMTP.",
      mg_config_set_rate, AT(login_rate), NULL },
    { "MailgunLogLevel", "err|warn|info|debug", "info",
      "The least important lines that are logged.",
      mg_config_set_word_text, AT(log_level), log_words },
    { "MailgunMachineDelay", "time|off", "2s",
      "A click that comes sooner than this after its message was delivered is "
      "a machine's; off: the time says nothing.",
      mg_config_set_time_or_off, AT(machine_delay), NULL },
    { "MailgunMailboxQuota", "size", "0",
      "The quota of mailboxes that have none of their own; 0 is unlimited.",
      mg_config_set_size, AT(mailbox_quota), NULL },
    { "MailgunMailDir", "path", "/var/lib/mailgun/mail",
      "The directory of the mailboxes' homes, used by Dovecot.",
      mg_config_set_path, AT(mail_dir), NULL },
    { "MailgunMessageLimit", "size", "25M",
      "The largest message accepted, by API and by SMTP.",
      mg_config_set_size, AT(message_limit), NULL },
    { "MailgunMinFreeSpace", "size", "100M",
      "With less free space than this where the store is, nothing new is "
      "accepted; deliveries go on.",
      mg_config_set_size, AT(min_free), NULL },
    { "MailgunMTASTS", "off|on", "on",
      "Whether what domains publish about TLS to their MXs (MTA-STS) is "
      "fetched and held to.",
      mg_config_set_word, AT(mta_sts), switch_words },
    { "MailgunMTASTSPort", "port", "443",
      "The port that MTA-STS policies are fetched from.",
      mg_config_set_number, AT(mta_sts_port), &ports },
    { "MailgunMX", "name ...", "(MailgunHostname)",
      "The hosts that a domain's MX records should name.",
      mg_config_set_mx, AT(mx), NULL },
    { "MailgunReceivers", "number", "1",
      "Processes that take mail by SMTP.",
      mg_config_set_number, AT(receivers), &few },
    { "MailgunRecipientLimit", "number", "1000",
      "Recipients of one message at most.",
      mg_config_set_count, AT(recipient_limit), &many },
    { "MailgunResolver", "address[:port] ...", "",
      "DNS servers to ask instead of the system's.",
      mg_config_set_resolvers, AT(resolvers), NULL },
    { "MailgunRestrictFrom", "off|on", "off",
      "Whether From must be an address of the domain that sends, where the "
      "domain itself says nothing (restrict_from).",
      mg_config_set_word, AT(restrict_from), switch_words },
    { "MailgunRetry", "time ...", "1m 5m 15m 30m 1h 2h 4h",
      "The waits between tries of a delivery; the last one repeats.",
      mg_config_set_retry, AT(retry), NULL },
    { "MailgunRetryLimit", "time", "3d",
      "When a delivery is given up, counted from acceptance.",
      mg_config_set_time, AT(retry_limit), NULL },
    { "MailgunRunDir", "path", "/run/mailgun",
      "The directory of sockets, doorbells and shared state.",
      mg_config_set_path, AT(run_dir), NULL },
    { "MailgunSecretFile", "path", "/etc/mailgun/secret",
      "The file with the key that seals secrets; mailgunctl init makes it and "
      "its public half beside it.",
      mg_config_set_path, AT(secret_file), NULL },
    { "MailgunSenders", "number", "1",
      "Processes that deliver by SMTP and LMTP.",
      mg_config_set_number, AT(senders), &few },
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
      mg_config_set_count, AT(session_limit), &many },
    { "MailgunShare", "domain number", "",
      "How many turns a sending domain has in the queue where others have one; "
      "repeat it for more.",
      mg_config_set_share, AT(shares), NULL },
    { "MailgunSMTPPort", "port", "25",
      "The port that mail goes out to.",
      mg_config_set_number, AT(smtp_port), &ports },
    { "MailgunSpamConcurrency", "number", "10",
      "Messages that one receiver has spamd look at at a time; more wait "
      "briefly, then pass unchecked.",
      mg_config_set_number, AT(spam_concurrency), &several },
    { "MailgunSpamd", "unix:path|address:port", "",
      "Where spamd (or rspamd) listens, which says what of the mail for domains "
      "that ask for it is spam.",
      mg_config_set_spamd, AT(spamd), NULL },
    { "MailgunSpamFolder", "name", "",
      "The folder of a mailbox that mail marked as spam is put in; without it, "
      "the inbox.",
      mg_config_set_folder, AT(spam_folder), NULL },
    { "MailgunSpamSizeLimit", "size", "500k",
      "Larger messages are not looked at for spam.",
      mg_config_set_size, AT(spam_size_limit), NULL },
    { "MailgunSpamThreshold", "score", "5.0",
      "The score from which on a message is spam.",
      mg_config_set_score, AT(spam_threshold), NULL },
    { "MailgunSpamTimeout", "time", "30s",
      "How long spamd may take for a message before it passes unchecked.",
      mg_config_set_time, AT(spam_timeout), NULL },
    { "MailgunSPF", "name|mechanism ...", "(a: and MailgunHostname)",
      "What a domain's SPF record should have: a mechanism such as "
      "include:spf.example.com or ip4:192.0.2.0/24; a name alone is an "
      "include.",
      mg_config_set_spf, AT(spf), NULL },
    { "MailgunSpoolDir", "path", "/var/lib/mailgun/spool",
      "The directory of large messages while they come in.",
      mg_config_set_path, AT(spool_dir), NULL },
    { "MailgunStatRetention", "time", "180d",
      "How long statistics and usage are kept.",
      mg_config_set_time, AT(stat_retention), NULL },
    { "MailgunStore", "sqlite:path|postgresql://...",
      "sqlite:/var/lib/mailgun/mailgun.db",
      "Where everything is kept.",
      mg_config_set_store, AT(store), NULL },
    { "MailgunStoredRetention", "time", "3d",
      "How long a message that a route stores is kept.",
      mg_config_set_time, AT(stored_retention), NULL },
    { "MailgunTLSCertificate", "path", "",
      "The server's certificate chain in PEM; with it STARTTLS is offered.",
      mg_config_set_path, AT(tls_certificate), NULL },
    { "MailgunTLSKey", "path", "",
      "The private key of the certificate, in PEM.",
      mg_config_set_path, AT(tls_key), NULL },
    { "MailgunTLSPolicy", "may|encrypt|verify", "may",
      "What mail to other servers needs at least: TLS where it is offered, TLS "
      "always, or TLS with a certificate that is trusted for the host's name.",
      mg_config_set_word, AT(tls_policy), tls_words },
    { "MailgunTLSTrust", "path", "",
      "The authorities, in PEM, whose certificates are trusted when mail goes "
      "out, instead of the system's.",
      mg_config_set_path, AT(tls_trust), NULL },
    { "MailgunTrackingForce", "on|off", "off",
      "Whether links and opens are tracked although DNS does not have the CNAME "
      "record of the domain's tracking host.",
      mg_config_set_word, AT(tracking_force), switch_words },
    { "MailgunTrackingHost", "name", "email.<domain>",
      "The host of a domain's tracking links; <domain> is the domain's name.",
      mg_config_set_tracking_host, AT(tracking_host), NULL },
    { "MailgunTrackingScheme", "http|https", "http",
      "How tracking links begin.",
      mg_config_set_word_text, AT(tracking_scheme), scheme_words },
    { "MailgunTrackingSecretFile", "path", "/etc/mailgun/tracking",
      "The file with the secrets that sign tracking links; mailgunctl init "
      "makes it.",
      mg_config_set_path, AT(tracking_secret), NULL },
    { "MailgunTrackingTarget", "name", "(MailgunHostname)",
      "The host that a domain's CNAME record for links and opens, email.<domain>, "
      "should name.",
      mg_config_set_hostname, AT(tracking_target), NULL },
    { "MailgunTransport", "domain|* host[:port]", "",
      "Where mail for a domain goes instead of its MX; * is all other "
      "domains; repeat it for more.",
      mg_config_set_transport, AT(transports), NULL },
    { "MailgunUnsubscribeConfirm", "on|off", "on",
      "Whether an unsubscribe link shows a page that asks, or acts at once.",
      mg_config_set_word, AT(unsubscribe_confirm), switch_words },
    { "MailgunUser", "name", "mailgun",
      "The user that the workers run as.",
      mg_config_set_text, AT(user), NULL },
    { "MailgunWalLimit", "size", "64M",
      "The size above which SQLite's write-ahead log is cut.",
      mg_config_set_size, AT(wal_limit), NULL },
    { "MailgunWarmup", "off|first=number [growth=percent] [days=number]", "off",
      "What a domain may send on its first day, how that grows each day, and "
      "after how many days there is no limit; what exceeds it waits for the "
      "next day.",
      mg_config_set_warmup, AT(warmup), NULL },
};
#define DIRECTIVES ((int)(sizeof(directives) / sizeof(directives[0])))

/* A setter may get a copy of the table's entry: the offset tells which one it
 * is. */
int mg_config_given_before(mg_config_t *config, const mg_directive_t *d)
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

const char *mg_config_api_url(const mg_config_t *config, apr_pool_t *p)
{
    return config->api_url ? config->api_url
                           : apr_pstrcat(p, "https://", config->hostname,
                                         NULL);
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
