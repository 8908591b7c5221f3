/* mg_domain.h - domains, their settings and their keys.
 *
 * Everything a customer can set per domain is a row of `setting` and one line
 * of the table in mg_domain_setting.c: name, kind, default, help. `mailgunctl
 * domain set` and PUT /domains/<domain> both go through mg_domain_set().
 * Settings so far: spam_action (disabled|tag|block), wildcard, quota_bytes,
 * local (auto|yes|no), dkim, restrict_from (default|yes|no), require_tls,
 * skip_verification, sending_ip, sending_pool, track_opens, track_clicks
 * (no|yes|htmlonly), unsubscribe, unsubscribe_html, unsubscribe_text,
 * webhook.bounce, .click, .deliver, .drop, .open, .spam, .unsubscribe (URL; ''
 * removes it).
 */
#ifndef MG_DOMAIN_H
#define MG_DOMAIN_H

#include <apr_tables.h>
#include "mg_db.h"
#include "mg_seal.h"
#include "mg_shared.h"

/* Of the last look that had an answer (mg_dns_check.h). */
enum { MG_MX_UNKNOWN, MG_MX_OURS, MG_MX_ELSEWHERE };

typedef struct {
    apr_int64_t id;
    apr_int64_t account_id;
    const char *name;
    const char *name_lc;
    const char *state;        /* active, unverified, disabled */
    apr_time_t created_at;
    apr_int64_t revision;     /* grows when it, a setting or a key changes */
    int mx;                   /* MG_MX_*: where DNS says its mail goes */
    int cname;                /* DNS had its tracking host (mg_dns_check.h) */
    apr_table_t *settings;    /* every known name, defaults filled in */
} mg_domain_t;

typedef struct {
    const char *name;
    const char *default_value;
    const char *help;
    /** NULL or what is wrong; *pvalue is the normal form */
    const char *(*check)(const char **pvalue, apr_pool_t *p);
} mg_domain_setting_t;
const mg_domain_setting_t *mg_domain_settings(int *pn);
/** What is wrong with a value, without the setting's name; NULL: nothing, and
 * *pvalue is the normal form. name is one of the table. */
const char *mg_domain_setting_check(const char *name, const char **pvalue,
                                    apr_pool_t *p);

/**
 * Add a domain, unverified: its row, DKIM keys (RSA-2048 and Ed25519, sealed;
 * RSA takes ~100 ms: make them with mg_dkim_make() before the transaction),
 * and mailbox postmaster@<domain> with that password.
 * @return APR_EEXIST: the name is taken; MG_EBADINPUT: no domain name
 */
typedef struct mg_dkim_t mg_dkim_t;
apr_status_t mg_dkim_make(mg_dkim_t **pkey, apr_pool_t *p);
apr_status_t mg_domain_add(mg_domain_t **pdomain, mg_db_t *db,
                           const mg_secret_t *secret, apr_int64_t account_id,
                           const char *name, const char *password_hash,
                           const mg_dkim_t *dkim, apr_pool_t *p);
apr_status_t mg_domain_by_name(mg_domain_t **pdomain, mg_db_t *db,
                               const char *name, apr_pool_t *p);
apr_status_t mg_domain_by_id(mg_domain_t **pdomain, mg_db_t *db,
                             apr_int64_t id, apr_pool_t *p);
/** By name, ascending; account_id 0: all. Array of mg_domain_t *. */
apr_status_t mg_domain_list(apr_array_header_t **plist, apr_int64_t *ptotal,
                            mg_db_t *db, apr_int64_t account_id,
                            apr_int64_t skip, apr_int64_t limit,
                            apr_pool_t *p);
/** Its mailboxes become tombstones, what is queued for it is dropped with an
 * event; messages and events stay until they expire. */
apr_status_t mg_domain_remove(mg_db_t *db, apr_int64_t domain_id,
                              apr_pool_t *p);
/** Some of what is queued for it (500 rows) is dropped, with events; *pmore: call
 * again. Before mg_domain_remove() inside of a unit, so that no transaction is
 * long; without one open, mg_domain_remove() does so by itself. */
apr_status_t mg_domain_drop_queued(int *pmore, mg_db_t *db,
                                   apr_int64_t domain_id, apr_pool_t *p);
/** @param perror  in words, e.g. "spam_action: 'x' is none of disabled, tag,
 *                 block" @return MG_EBADINPUT with it */
apr_status_t mg_domain_set(mg_db_t *db, apr_int64_t domain_id,
                           const char *name, const char *value,
                           const char **perror, apr_pool_t *p);
const char *mg_domain_setting(const mg_domain_t *domain, const char *name);
/** May only its own addresses stand in From? unsaid: MailgunRestrictFrom. */
int mg_domain_restricts_from(const mg_domain_t *domain, int unsaid);

/** A domain's DKIM keys whose records are to be published, oldest first; array
 * of mg_dkim_public_t (mg_dkim_key.h has the rest of their life). */
typedef struct {
    const char *selector, *algorithm, *public_key;
    int state;                /* mg_dkim_state_t */
    apr_time_t signs_since, retired_at;  /* 0: not yet */
} mg_dkim_public_t;
apr_status_t mg_domain_dkim(apr_array_header_t **pkeys, mg_db_t *db,
                            apr_int64_t domain_id, apr_pool_t *p);

/* A process's cache of domains, dropped when the generation changes. Answers
 * APR_ENOENT are not kept. Not thread-safe: one per thread or loop. The domain
 * lives until the next call, and a minute longer (mg_event_append() asks
 * too). */
typedef struct mg_domain_cache_t mg_domain_cache_t;
mg_domain_cache_t *mg_domain_cache_create(mg_shared_t *shared, apr_pool_t *p);
apr_status_t mg_domain_cached_by_name(const mg_domain_t **pdomain,
                                      mg_domain_cache_t *cache, mg_db_t *db,
                                      const char *name);
apr_status_t mg_domain_cached_by_id(const mg_domain_t **pdomain,
                                    mg_domain_cache_t *cache, mg_db_t *db,
                                    apr_int64_t id);
#endif
