/* api_store.c - a request's reader, its units, its domain. */
#include "api.h"

#include <apr_strings.h>

#include "mg_status.h"

int api_reader(api_t *q)
{
    apr_status_t rv;

    if (q->db)
        return API_GO_ON;
    rv = mg_leader_reader(&q->db, q->child->leader);
    if (rv == APR_SUCCESS)
        return API_GO_ON;
    q->db = NULL;
    return api_reply_failed(q, rv, "cannot read the store");
}

void api_reader_done(api_t *q)
{
    if (q->db)
        mg_leader_reader_done(q->child->leader, q->db);
    q->db = NULL;
}

apr_status_t api_unit(api_t *q, apr_status_t (*run)(mg_db_t *, void *,
                                                    apr_pool_t *),
                      apr_status_t (*is_there)(mg_db_t *, void *),
                      void *baton)
{
    mg_unit_t unit = { .run = run, .is_there = is_there, .baton = baton };
    apr_status_t rv;

    api_reader_done(q);
    rv = mg_leader_run(q->child->leader, &unit);
    return rv != APR_SUCCESS ? rv : unit.status;
}

int api_find_domain(api_t *q, const char *name, int say_name)
{
    const mg_domain_t *domain;
    apr_status_t rv;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_domain_cached_by_name(&domain, q->worker->domains, q->db, name);
    if (rv == APR_ENOENT ||
        (rv == APR_SUCCESS && domain->account_id != q->account_id))
        return api_reply_message(q, HTTP_NOT_FOUND, "Domain not found%s%s",
                                 say_name ? ": " : "", say_name ? name : "");
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up the domain");
    /* the cached one only lives until the next look-up */
    q->domain.id = domain->id;
    q->domain.name = apr_pstrdup(q->p, domain->name);
    q->domain.state = apr_pstrdup(q->p, domain->state);
    q->domain.restricts_from =
        mg_domain_restricts_from(domain, q->config->restrict_from);
    mg_tracking_of_domain(&q->domain.tracking, domain,
                          mg_tracking_is_forced(q->config));
    return API_GO_ON;
}
