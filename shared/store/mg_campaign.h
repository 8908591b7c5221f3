/* mg_campaign.h - what a customer counts messages under (manual, "Campaign
 * Analytics"). A message joins at most three, by their ids (o:campaign).
 */
#ifndef MG_CAMPAIGN_H
#define MG_CAMPAIGN_H

#include <apr_tables.h>
#include "mg_db.h"

#define MG_CAMPAIGN_ID_MAX 64    /* printable ASCII */
#define MG_CAMPAIGN_NAME_MAX 64  /* characters */

typedef struct {
    apr_int64_t id, domain_id;
    const char *public_id, *name;
    apr_time_t created_at;
} mg_campaign_t;

/** May that be an id, a name? NULL: yes; else why not, in words that go on
 * after it. */
const char *mg_campaign_bad_id(const char *public_id);
const char *mg_campaign_bad_name(const char *name);
/** @param public_id  NULL: one is made
 *  @return MG_EBADINPUT: bad id or name; MG_ECONFLICT: the domain has that id
 *          already */
apr_status_t mg_campaign_add(mg_campaign_t **pcampaign, mg_db_t *db,
                             apr_int64_t domain_id, const char *public_id,
                             const char *name, apr_pool_t *p);
/** @return APR_ENOENT */
apr_status_t mg_campaign_by_id(mg_campaign_t **pcampaign, mg_db_t *db,
                               apr_int64_t domain_id, const char *public_id,
                               apr_pool_t *p);
/** The first of ids (const char *) that is no campaign of the domain; NULL:
 * there is none. */
apr_status_t mg_campaign_unknown(const char **punknown, mg_db_t *db,
                                 apr_int64_t domain_id,
                                 const apr_array_header_t *ids);
/** By id; array of mg_campaign_t *. */
apr_status_t mg_campaign_list(apr_array_header_t **plist, mg_db_t *db,
                              apr_int64_t domain_id, apr_pool_t *p);
/** @return APR_ENOENT */
apr_status_t mg_campaign_remove(mg_db_t *db, apr_int64_t domain_id,
                                const char *public_id);

#endif
