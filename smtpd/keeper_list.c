/* keeper_list.c - see keeper_list.h. */
#include "keeper_list.h"
#include "mg_log.h"
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_time.h"

#define AT_ONCE 4
#define TRY_AGAIN apr_time_from_sec(60)

static apr_status_t step_of(keeper_list_t *lists, const mg_delivery_t *row,
                            apr_pool_t *p)
{
    apr_status_t rv = row->transport == MG_TRANSPORT_LIST
                          ? keeper_list_post(lists, row, p)
                          : keeper_list_expand(lists, row, p);

    if (APR_STATUS_IS_ENOENT(rv)) {
        mg_log(MG_LOG_ERR, rv, "list: message %" APR_INT64_T_FMT " is not in "
               "the store any more: its list gets nothing", row->message_id);
        rv = mg_queue_settle(lists->worker->db, row);
    }
    if (rv == MG_ELEASE) {
        mg_log(MG_LOG_WARN, rv, "list: delivery %" APR_INT64_T_FMT
               ": its result came too late", row->id);
        return APR_SUCCESS;
    }
    return rv;
}

apr_status_t keeper_list_step(keeper_list_t *lists, int *pmore,
                              apr_pool_t *ptemp)
{
    mg_db_t *db = lists->worker->db;
    apr_array_header_t *claimed;
    apr_status_t rv, all = APR_SUCCESS;
    apr_pool_t *p;
    int i;

    rv = mg_queue_claim(&claimed, db, lists->claimer, AT_ONCE, ptemp);
    if (rv != APR_SUCCESS || claimed->nelts == 0)
        return rv;
    *pmore = 1;
    apr_pool_create(&p, ptemp);
    for (i = 0; i < claimed->nelts; i++) {
        const mg_delivery_t *row = APR_ARRAY_IDX(claimed, i,
                                                 const mg_delivery_t *);

        rv = step_of(lists, row, p);
        apr_pool_clear(p);
        if (rv == APR_SUCCESS)
            continue;
        all = rv;
        mg_log(MG_LOG_WARN, rv, "list: message %" APR_INT64_T_FMT ": %s; "
               "trying again in a minute", row->message_id, mg_db_error(db));
        /* a store that is down leaves the lease to run out */
        (void)mg_queue_defer(db, row, "it cannot be expanded",
                             mg_now() + TRY_AGAIN);
    }
    return all;
}

apr_status_t keeper_list_create(keeper_list_t **plists, worker_t *worker)
{
    static const mg_transport_kind_t transports[] = {
        MG_TRANSPORT_LIST, MG_TRANSPORT_EXPANSION
    };
    keeper_list_t *lists = apr_pcalloc(worker->pool, sizeof(*lists));
    apr_status_t rv = mg_secret_derive(lists->verp_key, worker->secret,
                                       "verp");

    *plists = lists;
    lists->worker = worker;
    lists->routing = mg_routing_create(worker->domains, worker->shared,
                                       lists->verp_key, worker->pool);
    lists->claimer = mg_claimer_create(worker->worker_id, transports, 2,
                                       worker->config->lease, worker->pool);
    return rv;
}
