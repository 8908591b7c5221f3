/* mg_dns_check.h - what DNS says of a domain's records, as last seen.
 *
 * The keeper looks: at once for a new domain or where somebody asks, then
 * hourly. domain.dns_due says when; who looks moves it ahead by a lease first,
 * so that of several keepers one does. A record is
 *
 *   valid     as it should be
 *   invalid   there is another, or none
 *   unknown   there was no answer (SERVFAIL, silence), or nobody looked yet
 *
 * What follows from it:
 *   - a domain is active from the first time on that its SPF record and a key
 *     that signs are valid; it stays so, for mail that flows is not stopped by
 *     a slip in DNS
 *   - a DKIM key that waits begins to sign when its record is valid
 *   - domain.mx is where its mail goes: ours, elsewhere, or '' (there is no MX,
 *     or nobody looked). No answer leaves it as it was.
 *   - links and opens are tracked while the CNAME of the tracking host is
 *     valid (mg_tracking.h). No answer leaves it as it was.
 */
#ifndef MG_DNS_CHECK_H
#define MG_DNS_CHECK_H

#include "mg_domain.h"

typedef enum {
    MG_DNS_VALID,
    MG_DNS_WRONG,              /* another than it should be */
    MG_DNS_MISSING,
    MG_DNS_FAILED              /* no answer */
} mg_dns_verdict_t;

/** One record as it was seen; record: "mx", "spf", "cname", "dkim.<selector>" */
typedef struct {
    const char *record, *valid, *seen;
    apr_time_t checked_at;
} mg_dns_seen_t;
/** Array of mg_dns_seen_t. */
apr_status_t mg_dns_seen(apr_array_header_t **plist, mg_db_t *db,
                         apr_int64_t domain_id, apr_pool_t *p);

/** Look at once: the keeper's doorbell is the caller's to ring. */
apr_status_t mg_dns_ask(mg_db_t *db, apr_int64_t domain_id);
/** When the last look began, 0: never. @return APR_ENOENT: no such domain */
apr_status_t mg_dns_checked(apr_time_t *pat, mg_db_t *db,
                            apr_int64_t domain_id);

/** Up to limit domains whose time has come, for us until the lease ends; array
 * of mg_dns_due_t. */
typedef struct {
    apr_int64_t domain_id;
    apr_time_t claimed;        /* what dns_due is now */
} mg_dns_due_t;
apr_status_t mg_dns_claim(apr_array_header_t **plist, mg_db_t *db, int limit,
                          apr_interval_time_t lease, apr_pool_t *p);

typedef struct {
    const char *record;
    mg_dns_verdict_t verdict;
    const char *seen;          /* in words */
} mg_dns_result_t;
/**
 * Store what was found. If somebody asked again meanwhile, or the lease was
 * lost, nothing is: another look follows.
 *
 * @param began     when the look began
 * @param next_due  of the next one
 * @param pwords    NULL, or what is new: "active, mx ours, mg2 signs"; then the
 *                  caller bumps the generation
 */
apr_status_t mg_dns_store(const char **pwords, mg_db_t *db,
                          const mg_dns_due_t *due,
                          const apr_array_header_t *results,
                          apr_time_t began, apr_time_t next_due,
                          apr_pool_t *p);

#endif
