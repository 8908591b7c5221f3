/* mg_campaign.h - what a customer counts messages under (manual, "Campaign
 * Analytics"). A message joins at most three, by their ids (o:campaign).
 *
 * The id is the customer's and may change; what was sent under an old one
 * stays the campaign's, even where another campaign takes that id later
 * (campaign_name). What happened is in mg_campaign_event.h.
 */
#ifndef MG_CAMPAIGN_H
#define MG_CAMPAIGN_H

#include <apr_tables.h>
#include "mg_db.h"

#define MG_CAMPAIGN_ID_MAX 64    /* printable ASCII */
#define MG_CAMPAIGN_NAME_MAX 64  /* characters */

/* Stored: numbers stay. Opens and clicks of machines are counted apart. */
typedef enum {
    MG_CAMPAIGN_SUBMITTED, MG_CAMPAIGN_DELIVERED, MG_CAMPAIGN_OPENED,
    MG_CAMPAIGN_CLICKED, MG_CAMPAIGN_UNSUBSCRIBED, MG_CAMPAIGN_BOUNCED,
    MG_CAMPAIGN_COMPLAINED, MG_CAMPAIGN_DROPPED, MG_CAMPAIGN_OPENED_MACHINE,
    MG_CAMPAIGN_CLICKED_MACHINE,
    MG_CAMPAIGN_KINDS
} mg_campaign_kind_t;

/** "submitted", "opened" ...; machines': the same words. */
const char *mg_campaign_kind_name(mg_campaign_kind_t kind);

typedef struct {
    apr_int64_t id, domain_id;
    const char *public_id, *name;
    apr_time_t created_at;
    apr_int64_t counts[MG_CAMPAIGN_KINDS]; /* mg_campaign_list, _counts */
} mg_campaign_t;

/** May that be an id, a name? NULL: yes; else why not, in words that go on
 * after it. */
const char *mg_campaign_bad_id(const char *public_id);
const char *mg_campaign_bad_name(const char *name);
/** @param public_id  NULL: one is made
 *  @return MG_EBADINPUT: bad id or name; MG_ECONFLICT: the domain has that id
 *          already; MG_ELIMIT: its account has as many as it may
 *          (mg_campaign_limit) */
apr_status_t mg_campaign_add(mg_campaign_t **pcampaign, mg_db_t *db,
                             apr_int64_t domain_id, const char *public_id,
                             const char *name, apr_pool_t *p);
/** How many the account of a domain may have; -1: as many as it wants. */
apr_status_t mg_campaign_limit(apr_int64_t *plimit, mg_db_t *db,
                               apr_int64_t domain_id);
/** Another id, another name; NULL: stays.
 * @return MG_EBADINPUT, MG_ECONFLICT; APR_ENOENT */
apr_status_t mg_campaign_rename(mg_db_t *db, apr_int64_t domain_id,
                                const char *public_id, const char *new_id,
                                const char *new_name);
/** @return APR_ENOENT */
apr_status_t mg_campaign_by_id(mg_campaign_t **pcampaign, mg_db_t *db,
                               apr_int64_t domain_id, const char *public_id,
                               apr_pool_t *p);
/** campaign->counts, from the counters. */
apr_status_t mg_campaign_read_counts(mg_campaign_t *campaign, mg_db_t *db);
/** The first of ids (const char *) that is no campaign of the domain; NULL:
 * there is none. */
apr_status_t mg_campaign_unknown(const char **punknown, mg_db_t *db,
                                 apr_int64_t domain_id,
                                 const apr_array_header_t *ids);
/** By id; array of mg_campaign_t *, with counts. */
apr_status_t mg_campaign_list(apr_array_header_t **plist, mg_db_t *db,
                              apr_int64_t domain_id, apr_int64_t skip,
                              apr_int64_t limit, apr_pool_t *p);
apr_status_t mg_campaign_total(apr_int64_t *ptotal, mg_db_t *db,
                               apr_int64_t domain_id);
/** Gone at once; what it counted is removed by the keeper.
 * @return APR_ENOENT */
apr_status_t mg_campaign_remove(mg_db_t *db, apr_int64_t domain_id,
                                const char *public_id);
/** All of a domain. Inside a transaction. */
apr_status_t mg_campaign_remove_all(mg_db_t *db, apr_int64_t domain_id);

#endif
