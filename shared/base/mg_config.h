/* mg_config.h - mailgun.conf: one table of directives (design 8).
 *
 * The file is in httpd's syntax: "Name argument ...", quotes, \ at the end of
 * a line, # comments. httpd includes it (mod_mailgun makes its command_rec
 * from the table), everybody else reads it with mg_config_read(). A directive
 * is declared once, in mg_config.c: name, kind, where its value goes, default,
 * help. `mailgunctl config` prints the table; docs/CONFIG.md is checked
 * against it.
 */
#ifndef MG_CONFIG_H
#define MG_CONFIG_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

typedef struct {
    const char *domain;  /* lower case, or "*" */
    const char *host;    /* name, IPv4, [IPv6] without brackets */
    int port;
} mg_transport_t;

/* A sending domain's share of claims and turns; others have 1. */
typedef struct {
    const char *domain;  /* lower case */
    int share;
} mg_share_t;

/* How hard destinations are worked; 0: not said. */
typedef struct {
    const char *pattern; /* lower case: "a.test", "*.a.test", "*" */
    int connections;     /* of a sender */
    int messages;        /* per connection */
    int per_hour;        /* messages of all senders of this machine */
} mg_destination_t;

/* What a new domain or address may send a day. */
typedef struct {
    int first;           /* on its first day; 0: no limit */
    int growth;          /* percent a day */
    int days;            /* then there is no limit */
} mg_warmup_plan_t;

typedef struct {
    const char *address; /* "127.0.0.1", "::", "*" */
    int port;
    int role;            /* MG_LISTEN_* */
} mg_listen_t;

/* An address that mail goes out from. */
typedef struct {
    const char *name;
    const char *v4, *v6; /* one of them may be NULL */
    const char *hello;   /* EHLO name; NULL: MailgunHostname */
    apr_time_t since;    /* in use, for MailgunWarmup; 0: long ago */
} mg_sending_ip_t;

typedef struct {
    const char *name;
    apr_array_header_t *ips; /* of const char *: names of addresses */
} mg_sending_pool_t;

typedef struct {
    apr_int64_t messages, recipients; /* an hour; 0: no limit */
} mg_rate_t;

enum { MG_LISTEN_MX, MG_LISTEN_SUBMISSION, MG_LISTEN_SMTPS };
/* what mail to others needs at least */
enum { MG_DANE_OFF, MG_DANE_ON, MG_DANE_AUTO };
enum { MG_TLS_MAY, MG_TLS_ENCRYPT, MG_TLS_VERIFY };
enum { MG_NOTLS_AUTH_OFF, MG_NOTLS_AUTH_LOOPBACK, MG_NOTLS_AUTH_ON };

/* Values of all directives. Sizes in bytes, times in microseconds. */
typedef struct mg_config_t {
    /* where things are */
    const char *store;        /* MailgunStore sqlite:PATH | postgresql://... */
    const char *secret_file;  /* MailgunSecretFile */
    const char *run_dir;      /* MailgunRunDir: doorbells, shared state */
    const char *spool_dir;    /* MailgunSpoolDir: large bodies */
    const char *mail_dir;     /* MailgunMailDir: homes of mailboxes */
    const char *user;         /* MailgunUser: workers run as */
    const char *group;        /* MailgunGroup */
    const char *hostname;     /* MailgunHostname: greeting, EHLO, Received */

    /* store */
    int relaxed;              /* MailgunDurability full|relaxed */
    apr_int64_t wal_limit;    /* MailgunWalLimit */
    apr_int64_t min_free;     /* MailgunMinFreeSpace */

    /* receiving */
    apr_array_header_t *listen;   /* of mg_listen_t; MailgunListen addr:port role */
    const char *tls_certificate;  /* MailgunTLSCertificate: PEM chain */
    const char *tls_key;          /* MailgunTLSKey */
    int auth_without_tls;         /* MailgunAuthWithoutTLS off|loopback|on */
    apr_int64_t message_limit;    /* MailgunMessageLimit */
    int restrict_from;            /* MailgunRestrictFrom off|on */
    apr_int64_t recipient_limit;  /* MailgunRecipientLimit per message */
    apr_int64_t session_limit;    /* MailgunSessionLimit per receiver */
    apr_int64_t client_limit;     /* MailgunClientLimit sessions an address */
    mg_rate_t login_rate;         /* MailgunLoginRate */
    mg_rate_t domain_rate;        /* MailgunDomainRate, of all its logins */
    mg_rate_t client_rate;        /* MailgunClientRate, without a login */
    apr_interval_time_t command_timeout; /* MailgunCommandTimeout */
    int receivers;            /* MailgunReceivers */
    int auth_workers;         /* MailgunAuthWorkers */

    /* sending */
    int senders;              /* MailgunSenders */
    apr_array_header_t *transports; /* of mg_transport_t; MailgunTransport */
    const char *lmtp;         /* MailgunLMTP unix:PATH | host:port */
    apr_array_header_t *resolvers;  /* of char *; MailgunResolver addr[:port] */
    apr_array_header_t *retry;      /* of apr_interval_time_t; MailgunRetry */
    apr_interval_time_t retry_limit;/* MailgunRetryLimit: give up after */
    int smtp_port;            /* MailgunSMTPPort to remote MXs, 25 */
    int claims;               /* MailgunClaims: rows a sender holds */
    int destination_connections; /* MailgunDestinationConnections */
    apr_array_header_t *destinations; /* of mg_destination_t;
                                         MailgunDestination */
    apr_interval_time_t lease;   /* MailgunLease */
    mg_warmup_plan_t warmup;     /* MailgunWarmup */
    apr_array_header_t *shares;  /* of mg_share_t; MailgunShare */
    int mta_sts;              /* MailgunMTASTS on|off */
    int mta_sts_port;         /* MailgunMTASTSPort, 443 */
    apr_array_header_t *sending_ips;   /* of mg_sending_ip_t; MailgunSendingIP */
    apr_array_header_t *sending_pools; /* of mg_sending_pool_t;
                                          MailgunSendingPool */
    int dane;                 /* MailgunDANE: MG_DANE_* */
    int tls_policy;           /* MailgunTLSPolicy: MG_TLS_* */
    const char *tls_trust;    /* MailgunTLSTrust: PEM; NULL: the system's */

    int arc;                  /* MailgunARC */
    unsigned int dkim;        /* MailgunDKIM: 1 << MG_DKIM_RSA ... */

    /* what domains publish */
    apr_array_header_t *mx;   /* of char *; MailgunMX: hosts; none: hostname */
    apr_array_header_t *spf;  /* of char *; MailgunSPF: mechanisms; none: a: */
    const char *tracking_target; /* MailgunTrackingTarget; NULL: hostname */
    int tracking_force;       /* MailgunTrackingForce on|off */

    /* tracking */
    const char *tracking_secret; /* MailgunTrackingSecretFile */
    const char *tracking_host;   /* MailgunTrackingHost; see
                                    mg_config_tracking_host() */
    const char *tracking_scheme; /* MailgunTrackingScheme http|https */
    const char *feedback;        /* MailgunFeedbackAddress, "fbl" or
                                    "fbl@a.test"; NULL: none */
    const char *geo_file;        /* MailgunGeoIPFile; NULL: none */
    apr_interval_time_t machine_delay; /* MailgunMachineDelay; 0: off */
    int unsubscribe_confirm;     /* MailgunUnsubscribeConfirm off|on */

    /* HTTP out */
    const char *api_url;      /* MailgunAPIURL: without a slash at its end */
    apr_array_header_t *hook_allow; /* of char *, CIDR; MailgunHookAllow */
    apr_interval_time_t hook_timeout; /* MailgunHookTimeout */
    int hook_connections;     /* MailgunHookConnections: of a notifier */
    int hook_customer_connections; /* MailgunHookCustomerConnections */
    int hook_host_connections; /* MailgunHookHostConnections */
    int hook_machines;        /* MailgunHookMachines on|off */
    int hook_retry_delivered; /* MailgunHookRetryDelivered on|off */

    /* spam */
    const char *spamd;        /* MailgunSpamd unix:PATH | address:port; NULL */
    apr_interval_time_t spam_timeout; /* MailgunSpamTimeout */
    int spam_concurrency;     /* MailgunSpamConcurrency: of a receiver */
    apr_int64_t spam_size_limit; /* MailgunSpamSizeLimit */
    int spam_threshold;       /* MailgunSpamThreshold, in thousandths */
    const char *spam_folder;  /* MailgunSpamFolder; NULL: INBOX */

    /* mailboxes */
    apr_int64_t mailbox_quota; /* MailgunMailboxQuota: default, 0 unlimited */

    /* keeping */
    apr_interval_time_t event_retention; /* MailgunEventRetention */
    apr_interval_time_t campaign_retention; /* MailgunCampaignRetention */
    /* MailgunCampaignDeliveredRetention */
    apr_interval_time_t campaign_delivered_retention;
    apr_interval_time_t dead_letter_retention; /* MailgunDeadLetterRetention */
    apr_interval_time_t stat_retention;  /* MailgunStatRetention */
    apr_interval_time_t stored_retention; /* MailgunStoredRetention */
    apr_interval_time_t event_settle;    /* MailgunEventSettle */
    const char *log_level;    /* MailgunLogLevel err|warn|info|debug */

    apr_uint64_t given[2];    /* bit n: directive n of the table was given */
} mg_config_t;

typedef struct mg_directive_t mg_directive_t;
struct mg_directive_t {
    const char *name;
    const char *args;          /* "path", "yes|no", "size", for the docs */
    const char *default_text;  /* as one would write it; "": none; "(words)":
                                  worked out at start */
    const char *help;          /* one sentence */
    /** @return NULL, or what is wrong: "MailgunSenders: 'x' is no number; try
     * 2". What repeats adds up; the first one given replaces the default. */
    const char *(*set)(mg_config_t *config, const mg_directive_t *d, int argc,
                       const char *const *argv, apr_pool_t *p);
    apr_size_t offset;         /* of the value in mg_config_t */
    const void *extra;         /* e.g. words of an enumeration */
};

/** All directives, sorted by name in any case; *pn of them. */
const mg_directive_t *mg_config_directives(int *pn);
const mg_directive_t *mg_config_find(const char *name);
mg_config_t *mg_config_create(apr_pool_t *p);  /* defaults only */
/** Where customers reach the API: "https://api.x.test", no slash. */
const char *mg_config_api_url(const mg_config_t *config, apr_pool_t *p);
/** The host of a domain's tracking links, "email.a.test". */
const char *mg_config_tracking_host(const mg_config_t *config,
                                    const char *domain, apr_pool_t *p);
/** Has each domain a host of its own? Else they need no CNAME record. */
int mg_config_tracking_host_is_own(const mg_config_t *config);
/** What only shows when all is read. @return NULL, or what is wrong */
const char *mg_config_check(const mg_config_t *config, apr_pool_t *p);
/**
 * Read one file. Names that do not begin with "Mailgun" are an error too.
 * @param perror  "mailgun.conf:12: MailgunSenders: 'x' is no number; try 2"
 * @return MG_ECONFIG with *perror
 */
apr_status_t mg_config_read(mg_config_t **pconfig, const char *path,
                            const char **perror, apr_pool_t *p);

#endif
