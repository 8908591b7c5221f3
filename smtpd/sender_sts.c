/* sender_sts.c - the sender's MTA-STS policies: fetched, and kept in the store.
 *
 * What is in the store is read once, at the start or when the store works. What
 * was fetched is written at once, alone: that is rare. If it fails it is only
 * in memory, and fetched again after the next start.
 */
#include "mg_log.h"
#include "mg_sts.h"
#include "mg_time.h"
#include "sender.h"
#include "sts_fetch.h"

#define LOAD_MAX 10000

static apr_status_t run_save(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    (void)ptemp;
    return mg_sts_put(db, baton);
}

static void save(const char *domain, const char *id, const char *text,
                 apr_time_t fetched_at, apr_time_t expires_at, void *baton)
{
    mg_sts_t row = { domain, id, text, fetched_at, expires_at };
    sender_t *s = baton;
    apr_pool_t *ptemp;
    mg_unit_t unit;

    if (s->store_down)
        return;
    memset(&unit, 0, sizeof(unit));
    unit.run = run_save;
    unit.baton = &row;
    apr_pool_create(&ptemp, s->pool);
    if (sender_store_works(s, mg_group_commit(s->db, &unit, ptemp))
        && unit.status != APR_SUCCESS)
        mg_log(MG_LOG_INFO, unit.status, "mta-sts: the policy of %s is not "
               "saved", domain);
    apr_pool_destroy(ptemp);
}

void sender_sts_load(sender_t *s)
{
    apr_array_header_t *list;
    apr_pool_t *ptemp;
    apr_status_t rv;
    int i;

    if (!s->sts || s->sts_loaded || !worker_db_usable(s->worker))
        return;
    apr_pool_create(&ptemp, s->pool);
    rv = mg_sts_expire(s->db, mg_now(), LOAD_MAX);
    if (rv == APR_SUCCESS)
        rv = mg_sts_list(&list, s->db, mg_now(), LOAD_MAX, ptemp);
    if (sender_store_works(s, rv)) {
        s->sts_loaded = 1;
        for (i = 0; i < list->nelts; i++) {
            const mg_sts_t *row = &APR_ARRAY_IDX(list, i, mg_sts_t);

            sts_load(s->sts, row->domain, row->id, row->policy,
                     row->fetched_at, row->expires_at);
        }
    }
    apr_pool_destroy(ptemp);
}

apr_status_t sender_sts_create(sender_t *s)
{
    sts_fetcher_t *fetcher;
    apr_status_t rv;

    if (!s->config->mta_sts)
        return APR_SUCCESS;
    rv = sts_fetcher_create(&fetcher, s->loop, s->dns, s->config, s->pool);
    if (rv != APR_SUCCESS)
        return rv;
    s->sts = sts_create(s->dns, sts_fetch, fetcher, save, s, s->pool);
    return APR_SUCCESS;
}
