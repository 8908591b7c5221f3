/* api_lists.c - /lists: mailing lists (reference, section 10). */
#include "api_lists.h"

#include <apr_strings.h>
#include <http_core.h>
#include <string.h>

#include "mg_address.h"
#include "mg_campaign_report.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

int api_list_not_found(api_t *q, const char *address)
{
    return api_reply_message(q, HTTP_NOT_FOUND, "Mailing list %s not found",
                             address);
}

/* "Tue, 06 Mar 2012 05:44:45 -0000" */
static const char *date_of(apr_time_t t, apr_pool_t *p)
{
    char *date = mg_time_gmt(t, p);

    return apr_pstrcat(p, apr_pstrmemdup(p, date, strlen(date) - 3), "-0000",
                       NULL);
}

json_t *api_list_json(const api_t *q, const mg_list_t *list)
{
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I}", "address", list->address, "name",
        list->name, "description", list->description, "access_level",
        mg_list_access_name(list->access), "created_at",
        date_of(list->created_at, q->p), "members_count",
        (json_int_t)list->members);

    if (q->version == 3)
        json_object_set_new(json, "reply_preference",
                            json_string(mg_list_replies_to_list(list)
                                            ? "list" : "sender"));
    return json;
}

int api_list_find(api_t *q, mg_list_t **plist)
{
    apr_status_t rv;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_list_by_address(plist, q->db, q->account_id, q->args[0], q->p);
    if (rv == APR_ENOENT)
        return api_list_not_found(q, q->args[0]);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up a mailing list");
    return API_GO_ON;
}

int api_list_reply(api_t *q, const char *message, apr_int64_t list_id,
                   json_t *errors)
{
    mg_list_t *list;
    apr_status_t rv;
    json_t *json;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_list_by_id(&list, q->db, list_id, q->p);
    if (rv == APR_ENOENT)
        return api_list_not_found(q, q->args[0] ? q->args[0] : "");
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up a mailing list");
    json = json_pack("{s:s, s:o}", "message", message, "list",
                     api_list_json(q, list));
    if (errors)
        json_object_set_new(json, "errors", errors);
    return api_reply_json(q, HTTP_OK, json);
}

/* --- parameters --- */

int api_list_bool(api_t *q, const char *name, int *pvalue)
{
    const char *text = api_param(q, name);
    int value = text && *text ? mg_text_bool(text) : *pvalue;

    if (value < 0)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'%s' parameter is not a boolean", name);
    *pvalue = value;
    return API_GO_ON;
}

static int read_access(api_t *q, mg_list_t *list)
{
    const char *level = api_param(q, "access_level");
    const char *reply = api_param(q, "reply_preference");
    int value;

    if (level && *level) {
        value = mg_list_access_by_name(level);
        if (value < 0)
            return api_reply_message(
                q, HTTP_BAD_REQUEST, "Invalid access level '%s'. It can be "
                "any of: 'readonly', 'members', 'everyone'.", level);
        list->access = (mg_list_access_t)value;
    }
    if (reply && *reply) {
        value = mg_list_reply_by_name(reply);
        if (value < 0)
            return api_reply_message(
                q, HTTP_BAD_REQUEST, "Invalid reply preference '%s'. It can "
                "be any of: 'list', 'sender'.", reply);
        list->reply = (mg_list_reply_t)value;
    }
    return API_GO_ON;
}

static int too_long(api_t *q, const char *name, int max)
{
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "'%s' parameter is longer than %d", name, max);
}

/* In a domain of the account. */
static int read_address(api_t *q, mg_list_t *list)
{
    const char *text = api_param(q, "address");
    mg_address_t *address;

    if (!text || !*text)
        return API_GO_ON;
    if (strlen(text) > 1000
        || mg_address_parse(&address, text, q->p) != APR_SUCCESS
        || !address->domain || !*address->domain
        || strlen(address->address) > 254)
        return api_reply_message(q, HTTP_BAD_REQUEST, "'address' parameter is "
                                 "not a valid address. please check "
                                 "documentation");
    if (api_find_domain(q, address->domain, 1))
        return API_REPLIED;
    list->address = address->address;
    list->domain_id = q->domain.id;
    return API_GO_ON;
}

/* What is given replaces what is there. */
static int read_list(api_t *q, mg_list_t *list)
{
    const char *name = api_param(q, "name");
    const char *description = api_param(q, "description");

    if (read_address(q, list) || read_access(q, list))
        return API_REPLIED;
    if (name)
        list->name = name;
    if (description)
        list->description = description;
    if (!list->address)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Parameter 'address' is missing");
    if (strlen(list->name) > MG_LIST_NAME_MAX)
        return too_long(q, "name", MG_LIST_NAME_MAX);
    if (strlen(list->description) > MG_LIST_DESCRIPTION_MAX)
        return too_long(q, "description", MG_LIST_DESCRIPTION_MAX);
    return API_GO_ON;
}

/* --- reading --- */

static int one_list(api_t *q, const char *address)
{
    json_t *items = json_array();
    apr_array_header_t *none;
    apr_int64_t total = 0;
    mg_list_t *list;
    apr_status_t rv;

    rv = mg_list_by_address(&list, q->db, q->account_id, address, q->p);
    if (rv == APR_SUCCESS)
        json_array_append_new(items, api_list_json(q, list));
    if (rv == APR_SUCCESS || rv == APR_ENOENT)
        rv = mg_list_page(&none, &total, q->db, q->account_id, 0, 0, q->p);
    if (rv == APR_SUCCESS)
        return api_reply_items(q, total, items);
    json_decref(items);
    return api_reply_failed(q, rv, "cannot list mailing lists");
}

int api_lists_list(api_t *q)
{
    const char *address = api_param(q, "address");
    apr_array_header_t *lists;
    apr_int64_t skip, limit, total;
    apr_status_t rv;
    json_t *items;
    int i;

    if (api_paging(q, &skip, &limit) || api_reader(q))
        return API_REPLIED;
    if (address && *address)
        return one_list(q, address);
    rv = mg_list_page(&lists, &total, q->db, q->account_id, skip, limit, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list mailing lists");
    items = json_array();
    for (i = 0; i < lists->nelts; i++)
        json_array_append_new(items, api_list_json(q, APR_ARRAY_IDX(
                                                          lists, i,
                                                          mg_list_t *)));
    return api_reply_items(q, total, items);
}

int api_lists_get(api_t *q)
{
    mg_list_t *list;

    if (api_list_find(q, &list))
        return API_REPLIED;
    return api_reply_json(q, HTTP_OK, json_pack("{s:o}", "list",
                                                api_list_json(q, list)));
}

/* --- pages of version 3 --- */

int api_list_paging(api_t *q, mg_list_page_t *page)
{
    const char *which = api_param(q, "page");
    const char *address = api_param(q, "address");

    if (api_paging(q, &page->skip, &page->limit))
        return API_REPLIED;
    page->skip = 0;
    if (page->limit < 1)
        page->limit = 1;
    page->after = page->before = NULL;
    which = which && *which ? which : "first";
    if (strcmp(which, "next") == 0)
        page->after = address ? address : "";
    else if (strcmp(which, "previous") == 0 || strcmp(which, "prev") == 0)
        page->before = address ? address : "";
    else if (strcmp(which, "last") == 0)
        page->before = "";
    else if (strcmp(which, "first") != 0)
        return api_reply_message(q, HTTP_BAD_REQUEST, "'page' parameter is "
                                 "none of first, last, next, previous");
    return API_GO_ON;
}

static const char *page_url(api_t *q, const char *which, const char *address,
                            const mg_list_page_t *page)
{
    const char *subscribed = api_param(q, "subscribed");

    return apr_pstrcat(
        q->p, ap_construct_url(q->p, ap_escape_uri(q->p, q->r->uri), q->r),
        "?page=", which, address ? "&address=" : "",
        address ? ap_escape_urlencoded(q->p, address) : "",
        apr_psprintf(q->p, "&limit=%" APR_INT64_T_FMT, page->limit),
        subscribed && *subscribed ? "&subscribed=" : "",
        subscribed && *subscribed ? ap_escape_urlencoded(q->p, subscribed)
                                  : "", NULL);
}

int api_list_reply_page(api_t *q, json_t *items, const mg_list_page_t *page,
                        const char *first, const char *last)
{
    const char *pivot = page->after ? page->after : page->before;

    first = first ? first : pivot ? pivot : "";
    last = last ? last : pivot ? pivot : "";
    return api_reply_json(
        q, HTTP_OK,
        json_pack("{s:o, s:{s:s, s:s, s:s, s:s}}", "items", items, "paging",
                  "first", page_url(q, "first", NULL, page),
                  "last", page_url(q, "last", NULL, page),
                  "next", page_url(q, "next", last, page),
                  "previous", page_url(q, "previous", first, page)));
}

int api_lists_pages(api_t *q)
{
    apr_array_header_t *lists;
    mg_list_page_t page = { 0 };
    const char *first = NULL, *last = NULL;
    apr_status_t rv;
    json_t *items;
    int i;

    if (api_list_paging(q, &page) || api_reader(q))
        return API_REPLIED;
    rv = mg_list_pages(&lists, q->db, q->account_id, &page, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list mailing lists");
    items = json_array();
    for (i = 0; i < lists->nelts; i++) {
        const mg_list_t *list = APR_ARRAY_IDX(lists, i, mg_list_t *);

        json_array_append_new(items, api_list_json(q, list));
        first = i == 0 ? list->address : first;
        last = list->address;
    }
    return api_list_reply_page(q, items, &page, first, last);
}

/* --- changing --- */

typedef struct {
    mg_list_t *list;
    apr_pool_t *p;
} change_t;

static apr_status_t run_create(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    return mg_list_add(((const change_t *)baton)->list, db, ptemp);
}

static apr_status_t is_created(mg_db_t *db, void *baton)
{
    const change_t *change = baton;
    mg_list_t *there;

    return mg_list_by_id(&there, db, change->list->id, change->p);
}

int api_lists_create(api_t *q)
{
    change_t change = { apr_pcalloc(q->p, sizeof(mg_list_t)), q->p };
    apr_status_t rv;

    change.list->account_id = q->account_id;
    change.list->name = change.list->description = "";
    if (read_list(q, change.list))
        return API_REPLIED;
    rv = api_unit(q, run_create, is_created, &change);
    if (rv == MG_ECONFLICT)
        return api_reply_message(q, HTTP_BAD_REQUEST, "Duplicate object");
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot add a mailing list");
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:s, s:o}", "message",
                                    "Mailing list has been created", "list",
                                    api_list_json(q, change.list)));
}

static apr_status_t run_update(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    return mg_list_update(db, ((const change_t *)baton)->list, ptemp);
}

int api_lists_update(api_t *q)
{
    change_t change = { NULL, q->p };
    apr_status_t rv;

    if (api_list_find(q, &change.list) || read_list(q, change.list))
        return API_REPLIED;
    rv = api_unit(q, run_update, NULL, &change);
    if (rv == MG_ECONFLICT)
        return api_reply_message(q, HTTP_BAD_REQUEST, "Duplicate object");
    if (rv == APR_ENOENT)
        return api_list_not_found(q, q->args[0]);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot change a mailing list");
    return api_list_reply(q, "Mailing list has been updated", change.list->id,
                          NULL);
}

static apr_status_t run_delete(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    (void)ptemp;
    return mg_list_remove(db, ((const change_t *)baton)->list->id);
}

static apr_status_t is_deleted(mg_db_t *db, void *baton)
{
    apr_status_t rv = is_created(db, baton);

    if (rv == APR_ENOENT)
        return APR_SUCCESS;
    return rv == APR_SUCCESS ? APR_ENOENT : rv;
}

int api_lists_delete(api_t *q)
{
    change_t change = { NULL, q->p };
    apr_status_t rv;

    if (api_list_find(q, &change.list))
        return API_REPLIED;
    rv = api_unit(q, run_delete, is_deleted, &change);
    if (rv == APR_ENOENT)
        return api_list_not_found(q, q->args[0]);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot delete a mailing list");
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:s, s:s}", "address",
                                    change.list->address, "message",
                                    "Mailing list has been removed"));
}

/* --- stats --- */

int api_lists_stats(api_t *q)
{
    mg_campaign_query_t query = {
        .kinds = 1u << MG_CAMPAIGN_CLICKED | 1u << MG_CAMPAIGN_OPENED,
        .unique = 1u << MG_CAMPAIGN_CLICKED | 1u << MG_CAMPAIGN_OPENED,
        .limit = 1 };
    mg_campaign_group_t none = { .total = { 0 } };
    const mg_campaign_group_t *g = &none;
    apr_array_header_t *groups;
    mg_campaign_t counts = { 0 };
    apr_int64_t n;
    mg_list_t *list;
    apr_status_t rv;

    if (api_list_find(q, &list))
        return API_REPLIED;
    counts.id = query.campaign_id = list->id;
    rv = mg_campaign_read_counts(&counts, q->db);
    if (rv == APR_SUCCESS)
        rv = mg_campaign_report(&groups, &n, q->db, &query, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot count a mailing list's events");
    if (groups->nelts)
        g = &APR_ARRAY_IDX(groups, 0, mg_campaign_group_t);
#define TOTAL(kind) (json_int_t)counts.counts[MG_CAMPAIGN_##kind]
    return api_reply_json(
        q, HTTP_OK,
        json_pack("{s:{s:I, s:I, s:I, s:I, s:I, s:I},"
                  " s:{s:{s:I, s:I}, s:{s:I}}}", "total",
                  "complained", TOTAL(COMPLAINED), "delivered",
                  TOTAL(DELIVERED), "clicked", TOTAL(CLICKED), "opened",
                  TOTAL(OPENED), "unsubscribed", TOTAL(UNSUBSCRIBED),
                  "bounced", TOTAL(BOUNCED), "unique", "clicked", "link",
                  (json_int_t)g->links[MG_CAMPAIGN_CLICKED], "recipient",
                  (json_int_t)g->recipients[MG_CAMPAIGN_CLICKED], "opened",
                  "recipient",
                  (json_int_t)g->recipients[MG_CAMPAIGN_OPENED]));
}
