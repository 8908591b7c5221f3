/* keeper_campaign.h - the keeper's work on what happened in campaigns
 * (mg_campaign_event.h): tasks of the keeper, each step a small one. */
#ifndef KEEPER_CAMPAIGN_H
#define KEEPER_CAMPAIGN_H

#include "worker.h"

typedef struct keeper_campaign_t keeper_campaign_t;

keeper_campaign_t *keeper_campaign_create(worker_t *worker, apr_pool_t *p);
/** Counters into one row each, then events into segments. */
apr_status_t keeper_campaign_pack(keeper_campaign_t *campaigns, int *pmore,
                                  apr_pool_t *ptemp);
/** What deleted campaigns left, and what is old. */
apr_status_t keeper_campaign_forget(keeper_campaign_t *campaigns, int *pmore,
                                    apr_pool_t *ptemp);

#endif
