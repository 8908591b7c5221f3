/* api_campaigns.c - /<domain>/campaigns: what messages are counted under
 * (reference, section 7; what happened in them: api_campaign_reports.c). */
#include "api.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_campaign.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"

typedef struct {
    api_t *q;
    const char *public_id, *name;
    mg_campaign_t *campaign;        /* of POST: as it was made */
} change_t;

static json_t *campaign_json(const mg_campaign_t *c, apr_pool_t *p)
{
    json_t *json = json_pack("{s:s, s:s, s:s}", "id", c->public_id, "name",
                             c->name, "created_at",
                             mg_time_gmt(c->created_at, p));
    int kind;

    for (kind = 0; kind <= MG_CAMPAIGN_DROPPED; kind++)
        json_object_set_new(json,
                            apr_pstrcat(p, mg_campaign_kind_name(kind),
                                        "_count", NULL),
                            json_integer((json_int_t)c->counts[kind]));
    return json;
}

static int not_found(api_t *q)
{
    return api_reply_message(q, HTTP_NOT_FOUND, "Campaign not found: %s",
                             q->args[1]);
}

int api_campaign_find(api_t *q, mg_campaign_t **pcampaign)
{
    apr_status_t rv;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_campaign_by_id(pcampaign, q->db, q->domain.id, q->args[1], q->p);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up a campaign");
    return API_GO_ON;
}

/* GET */

int api_campaigns_list(api_t *q)
{
    apr_array_header_t *list;
    apr_int64_t skip, limit, total;
    apr_status_t rv;
    json_t *items;
    int i;

    if (api_paging(q, &skip, &limit) || api_reader(q))
        return API_REPLIED;
    rv = mg_campaign_total(&total, q->db, q->domain.id);
    if (rv == APR_SUCCESS)
        rv = mg_campaign_list(&list, q->db, q->domain.id, skip, limit, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list campaigns");
    items = json_array();
    for (i = 0; i < list->nelts; i++)
        json_array_append_new(
            items,
            campaign_json(APR_ARRAY_IDX(list, i, mg_campaign_t *), q->p));
    return api_reply_items(q, total, items);
}

int api_campaigns_get(api_t *q)
{
    mg_campaign_t *campaign;
    apr_status_t rv;

    if (api_campaign_find(q, &campaign))
        return API_REPLIED;
    rv = mg_campaign_read_counts(campaign, q->db);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read a campaign's counts");
    return api_reply_json(q, HTTP_OK, campaign_json(campaign, q->p));
}

/* POST */

/* id and name, as far as they are given, or 400. */
static int read_names(api_t *q, change_t *change)
{
    const char *why;

    change->q = q;
    change->public_id = api_param(q, "id");
    change->name = api_param(q, "name");
    if (change->public_id && !*change->public_id)
        change->public_id = NULL;
    if (change->name && !*change->name)
        change->name = NULL;
    if (change->public_id &&
        (why = mg_campaign_bad_id(change->public_id)) != NULL)
        return api_reply_message(q, HTTP_BAD_REQUEST, "'id' parameter %s",
                                 why);
    if (change->name && (why = mg_campaign_bad_name(change->name)) != NULL)
        return api_reply_message(q, HTTP_BAD_REQUEST, "'name' parameter %s",
                                 why);
    return API_GO_ON;
}

static apr_status_t run_create(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    change_t *change = baton;

    (void)ptemp;
    return mg_campaign_add(&change->campaign, db, change->q->domain.id,
                           change->public_id, change->name, change->q->p);
}

/* After a COMMIT whose answer was lost. */
static apr_status_t is_created(mg_db_t *db, void *baton)
{
    const change_t *change = baton;
    mg_campaign_t *found;
    apr_status_t rv;

    if (!change->campaign)
        return APR_ENOENT;
    rv = mg_campaign_by_id(&found, db, change->q->domain.id,
                           change->campaign->public_id, change->q->p);
    if (rv != APR_SUCCESS)
        return rv;
    return found->id == change->campaign->id ? APR_SUCCESS : APR_ENOENT;
}

static int limit_reached(api_t *q)
{
    apr_int64_t limit = 0;
    apr_status_t rv;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_campaign_limit(&limit, q->db, q->domain.id);
    if (rv != APR_SUCCESS && rv != APR_ENOENT)
        return api_reply_failed(q, rv, "cannot read an account's limit");
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "Campaign limit reached: the account can have %"
                             APR_INT64_T_FMT " campaigns. Delete one to create "
                             "another.", limit);
}

int api_campaigns_create(api_t *q)
{
    change_t change = { .q = q };
    apr_status_t rv;

    if (read_names(q, &change))
        return API_REPLIED;
    if (!change.name)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Parameter 'name' is missing");
    rv = api_unit(q, run_create, is_created, &change);
    if (rv == MG_ECONFLICT)
        return api_reply_message(q, HTTP_BAD_REQUEST, "Duplicate object");
    if (rv == MG_ELIMIT)
        return limit_reached(q);
    if (rv == APR_ENOENT) /* removed meanwhile */
        return api_reply_message(q, HTTP_NOT_FOUND, "Domain not found: %s",
                                 q->domain.name);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot add a campaign");
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:s, s:o}", "message",
                                    "Campaign created", "campaign",
                                    campaign_json(change.campaign, q->p)));
}

/* PUT */

static apr_status_t run_update(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;

    (void)ptemp;
    return mg_campaign_rename(db, change->q->domain.id, change->q->args[1],
                              change->public_id, change->name);
}

int api_campaigns_update(api_t *q)
{
    change_t change = { .q = q };
    mg_campaign_t *campaign;
    apr_status_t rv;

    if (read_names(q, &change) || api_campaign_find(q, &campaign))
        return API_REPLIED;
    if (!change.name && !change.public_id)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Parameter 'name' or 'id' is missing");
    rv = api_unit(q, run_update, NULL, &change);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv == MG_ECONFLICT)
        return api_reply_message(q, HTTP_BAD_REQUEST, "Duplicate object");
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot change a campaign");
    if (api_reader(q))
        return API_REPLIED;
    if (change.name)
        campaign->name = change.name;
    if (change.public_id)
        campaign->public_id = change.public_id;
    rv = mg_campaign_read_counts(campaign, q->db);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read a campaign's counts");
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:s, s:o}", "message",
                                    "Campaign updated", "campaign",
                                    campaign_json(campaign, q->p)));
}

/* DELETE */

static apr_status_t run_delete(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;

    (void)ptemp;
    return mg_campaign_remove(db, change->q->domain.id, change->q->args[1]);
}

static apr_status_t is_deleted(mg_db_t *db, void *baton)
{
    const change_t *change = baton;
    mg_campaign_t *found;
    apr_status_t rv = mg_campaign_by_id(&found, db, change->q->domain.id,
                                        change->q->args[1], change->q->p);

    if (rv == APR_ENOENT)
        return APR_SUCCESS;
    return rv == APR_SUCCESS ? APR_ENOENT : rv;
}

int api_campaigns_delete(api_t *q)
{
    change_t change = { .q = q };
    apr_status_t rv;

    rv = api_unit(q, run_delete, is_deleted, &change);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot delete a campaign");
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:s, s:s}", "message",
                                    "Campaign deleted", "id", q->args[1]));
}
