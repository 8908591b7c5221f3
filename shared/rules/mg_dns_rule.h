/* mg_dns_rule.h - the DNS records a domain needs, and whether one that was
 * found will do.
 *
 *   mx     MX     any host of MailgunMX                       receiving
 *   spf    TXT    all mechanisms of MailgunSPF, before "all"   RFC 7208
 *   dkim.S TXT    the key of selector S                        RFC 6376 3.6.1
 *   cname  CNAME  MailgunTrackingHost (email.<domain>):        tracking
 *                 MailgunTrackingTarget
 */
#ifndef MG_DNS_RULE_H
#define MG_DNS_RULE_H

#include "mg_config.h"
#include "mg_dns_check.h"

typedef struct {
    const char *record;        /* "mx", "spf", "cname", "dkim.<selector>" */
    const char *type;          /* "MX", "TXT", "CNAME" */
    const char *name;          /* where it is published */
    const char *value;         /* what is published; MX: the host */
    int priority;              /* MX */
    const char *state;         /* a key: "waits", "signs", "retired"; else "" */
    const char *valid;         /* "valid", "invalid", "unknown" */
    const char *seen;          /* what was there, "" */
    apr_time_t checked_at;     /* 0: never */
} mg_dns_record_t;

/** Array of mg_dns_record_t: MX (a row for each host of ours), SPF, DKIM keys,
 * CNAME, with what was last seen of them. */
apr_status_t mg_dns_records(apr_array_header_t **plist,
                            const mg_config_t *config, mg_db_t *db,
                            const mg_domain_t *domain, apr_pool_t *p);

/** @param found  of char *: the TXT records at its name
 *  @param pseen  in words, for people */
mg_dns_verdict_t mg_dns_judge_text(const mg_dns_record_t *want,
                                   const apr_array_header_t *found,
                                   const char **pseen, apr_pool_t *p);
/** @param wanted  all records; those with want's key are as good
 *  @param found   of char *: the hosts of the MX or CNAME records */
mg_dns_verdict_t mg_dns_judge_host(const mg_dns_record_t *want,
                                   const apr_array_header_t *wanted,
                                   const apr_array_header_t *found,
                                   const char **pseen, apr_pool_t *p);

/** A TXT value as in a zone file: strings of up to 255 octets (RFC 1035
 * 3.3.14). */
char *mg_dns_zone_text(const char *value, apr_pool_t *p);

#endif
