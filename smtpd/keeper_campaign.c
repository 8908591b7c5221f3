/* keeper_campaign.c - the keeper's work on what happened in campaigns. */
#include <apr_strings.h>

#include "keeper_campaign.h"
#include "mg_campaign_event.h"
#include "mg_status.h"
#include "mg_time.h"

#define FOLD_ROWS 100
#define LOOK_EVERY apr_time_from_sec(300) /* for what is old */

struct keeper_campaign_t {
    worker_t *worker;
    mg_campaign_cursor_t fold, expire;
    apr_time_t next_look;                 /* mg_ticks() */
};

keeper_campaign_t *keeper_campaign_create(worker_t *worker, apr_pool_t *p)
{
    keeper_campaign_t *c = apr_pcalloc(p, sizeof(*c));

    c->worker = worker;
    return c;
}

/* MG_EBUSY: rows came between those that were read; they are read again. */
apr_status_t keeper_campaign_pack(keeper_campaign_t *c, int *pmore,
                                  apr_pool_t *ptemp)
{
    int folding = 0, packing = 0;
    apr_status_t rv;

    rv = mg_campaign_fold(&folding, c->worker->db, &c->fold, FOLD_ROWS, ptemp);
    if (rv == APR_SUCCESS)
        rv = mg_campaign_pack(&packing, c->worker->db, ptemp);
    *pmore = folding || packing;
    return rv;
}

apr_status_t keeper_campaign_forget(keeper_campaign_t *c, int *pmore,
                                    apr_pool_t *ptemp)
{
    const mg_config_t *config = c->worker->config;
    apr_time_t now = mg_now();
    apr_status_t rv = mg_campaign_clear(pmore, c->worker->db, ptemp);

    if (rv != APR_SUCCESS || *pmore || mg_ticks() < c->next_look)
        return rv;
    rv = mg_campaign_expire(pmore, c->worker->db, &c->expire,
                            now - config->campaign_retention,
                            now - config->campaign_delivered_retention, ptemp);
    if (rv == APR_SUCCESS && !*pmore)
        c->next_look = mg_ticks() + LOOK_EVERY;
    return rv;
}
