/* api_list_members.c - /lists/<list>/members (reference, section 10). */
#include "api_lists.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_members.h"
#include "mg_status.h"
#include "mg_text.h"

#define AT_ONCE 250        /* members of one transaction: some 10 ms */

json_t *api_list_member_json(const mg_list_member_t *member, apr_pool_t *p)
{
    const char *error;
    json_t *vars = mg_json_parse(member->vars, strlen(member->vars), &error,
                                 p);

    return json_pack("{s:s, s:s, s:b, s:o}", "address", member->address,
                     "name", member->name, "subscribed", member->subscribed,
                     "vars", vars ? json_incref(vars) : json_object());
}

static int not_found(api_t *q)
{
    return api_reply_message(q, HTTP_NOT_FOUND, "Member %s of mailing list %s "
                             "not found", q->args[1], q->args[0]);
}

/* --- reading --- */

/* "yes", "no", or all. */
static int read_filter(api_t *q, int *psubscribed)
{
    const char *text = api_param(q, "subscribed");

    *psubscribed = 0;
    if (!text || !*text) {
        *psubscribed = -1;
        return API_GO_ON;
    }
    return api_list_bool(q, "subscribed", psubscribed);
}

static json_t *members_json(const apr_array_header_t *members, apr_pool_t *p)
{
    json_t *items = json_array();
    int i;

    for (i = 0; i < members->nelts; i++)
        json_array_append_new(items, api_list_member_json(
                                         APR_ARRAY_IDX(members, i,
                                                       mg_list_member_t *),
                                         p));
    return items;
}

int api_list_members_list(api_t *q)
{
    mg_list_page_t page = { 0 };
    apr_array_header_t *members;
    mg_list_t *list;
    apr_status_t rv;

    if (api_paging(q, &page.skip, &page.limit)
        || read_filter(q, &page.subscribed) || api_list_find(q, &list))
        return API_REPLIED;
    rv = mg_list_members(&members, q->db, list->id, &page, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list members");
    return api_reply_items(q, list->members, members_json(members, q->p));
}

int api_list_members_pages(api_t *q)
{
    const char *first = NULL, *last = NULL;
    mg_list_page_t page = { 0 };
    apr_array_header_t *members;
    mg_list_t *list;
    apr_status_t rv;

    if (api_list_paging(q, &page) || read_filter(q, &page.subscribed)
        || api_list_find(q, &list))
        return API_REPLIED;
    rv = mg_list_members(&members, q->db, list->id, &page, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list members");
    if (members->nelts) {
        first = APR_ARRAY_IDX(members, 0, mg_list_member_t *)->address;
        last = APR_ARRAY_IDX(members, members->nelts - 1,
                             mg_list_member_t *)->address;
    }
    return api_list_reply_page(q, members_json(members, q->p), &page, first,
                               last);
}

static int find_member(api_t *q, mg_list_t **plist, mg_list_member_t **pmember)
{
    apr_status_t rv;

    if (api_list_find(q, plist))
        return API_REPLIED;
    rv = mg_list_member(pmember, q->db, (*plist)->id, q->args[1], q->p);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up a member");
    return API_GO_ON;
}

int api_list_members_get(api_t *q)
{
    mg_list_member_t *member;
    mg_list_t *list;

    if (find_member(q, &list, &member))
        return API_REPLIED;
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:o}", "member",
                                    api_list_member_json(member, q->p)));
}

/* --- parameters --- */

static int bad_address(api_t *q)
{
    return api_reply_message(q, HTTP_BAD_REQUEST, "'address' parameter is not "
                             "a valid address. please check documentation");
}

static int read_vars(api_t *q, mg_list_member_t *member)
{
    const char *text = api_param(q, "vars");

    if (!text)
        return API_GO_ON;
    member->vars = mg_members_vars(text, strlen(text), q->p);
    if (!member->vars)
        return api_reply_message(q, HTTP_BAD_REQUEST, "'vars' parameter is "
                                 "not a JSON object of up to %d octets",
                                 MG_LIST_VARS_MAX);
    return API_GO_ON;
}

/* What is given replaces what is there. */
static int read_member(api_t *q, mg_list_member_t *member)
{
    const char *address = api_param(q, "address");
    const char *name = api_param(q, "name");
    const char *description = api_param(q, "description");

    if (address && *address
        && mg_members_address(member, address, q->p) != APR_SUCCESS)
        return bad_address(q);
    if (!member->address)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Parameter 'address' is missing");
    if (name)
        member->name = name;
    if (description)
        member->description = description;
    if (strlen(member->name) > MG_LIST_NAME_MAX)
        return api_reply_message(q, HTTP_BAD_REQUEST, "'name' parameter is "
                                 "longer than %d", MG_LIST_NAME_MAX);
    if (strlen(member->description) > MG_LIST_DESCRIPTION_MAX)
        return api_reply_message(q, HTTP_BAD_REQUEST, "'description' parameter "
                                 "is longer than %d", MG_LIST_DESCRIPTION_MAX);
    return read_vars(q, member)
           || api_list_bool(q, "subscribed", &member->subscribed);
}

/* --- changing --- */

typedef struct {
    api_t *q;
    apr_int64_t list_id;
    const apr_array_header_t *members;   /* of mg_list_member_t * */
    int how;
    const char *there;                   /* a member already */
    const mg_list_member_t *member;
} change_t;

static apr_status_t run_put(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    change_t *change = baton;
    const char *there;
    apr_status_t rv;

    rv = mg_list_put_members(&there, db, change->list_id, change->members,
                             change->how, ptemp);
    if (there)
        change->there = apr_pstrdup(change->q->p, there);
    return rv;
}

/* After a COMMIT whose answer was lost: nothing else of a slice is asked than
 * whether its last member is there. */
static apr_status_t is_put(mg_db_t *db, void *baton)
{
    const change_t *change = baton;
    const mg_list_member_t *last = APR_ARRAY_IDX(change->members,
                                                 change->members->nelts - 1,
                                                 const mg_list_member_t *);
    mg_list_member_t *there;

    return mg_list_member(&there, db, change->list_id, last->address,
                          change->q->p);
}

static int too_many(api_t *q)
{
    apr_int64_t limit = 0;

    if (api_reader(q))
        return API_REPLIED;
    (void)mg_list_member_limit(&limit, q->db, q->account_id);
    return api_reply_message(q, HTTP_BAD_REQUEST, "Too many members, max is %"
                             APR_INT64_T_FMT, limit);
}

static apr_array_header_t *slice_of(const apr_array_header_t *members, int at,
                                    apr_pool_t *p)
{
    int i, n = members->nelts - at < AT_ONCE ? members->nelts - at : AT_ONCE;
    apr_array_header_t *slice = apr_array_make(p, n, sizeof(void *));

    for (i = 0; i < n; i++)
        APR_ARRAY_PUSH(slice, void *) = APR_ARRAY_IDX(members, at + i, void *);
    return slice;
}

int api_list_put(api_t *q, const mg_list_t *list,
                 const apr_array_header_t *members, int how)
{
    change_t change = { .q = q, .list_id = list->id, .how = how };
    apr_status_t rv = APR_SUCCESS;
    int at;

    for (at = 0; rv == APR_SUCCESS && at < members->nelts; at += AT_ONCE) {
        change.members = slice_of(members, at, q->p);
        rv = api_unit(q, run_put, is_put, &change);
    }
    if (rv == MG_ECONFLICT)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Address already exists '%s'", change.there);
    if (rv == MG_ELIMIT)
        return too_many(q);
    if (rv == APR_ENOENT)
        return api_list_not_found(q, q->args[0]);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot add members");
    return API_GO_ON;
}

static int reply_member(api_t *q, const mg_list_member_t *member,
                        const char *message)
{
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:o, s:s}", "member",
                                    api_list_member_json(member, q->p),
                                    "message", message));
}

int api_list_members_create(api_t *q)
{
    mg_list_member_t *member = apr_pcalloc(q->p, sizeof(*member));
    apr_array_header_t *one = apr_array_make(q->p, 1, sizeof(void *));
    mg_list_t *list;
    int upsert = 0;

    member->name = member->description = "";
    member->vars = "{}";
    member->subscribed = 1;
    if (read_member(q, member) || api_list_bool(q, "upsert", &upsert)
        || api_list_find(q, &list))
        return API_REPLIED;
    APR_ARRAY_PUSH(one, mg_list_member_t *) = member;
    if (api_list_put(q, list, one, upsert ? MG_LIST_UPSERT : MG_LIST_STRICT))
        return API_REPLIED;
    return reply_member(q, member, "Mailing list member has been created");
}

static apr_status_t run_update(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;

    return mg_list_update_member(db, change->list_id, change->q->args[1],
                                 change->member, ptemp);
}

int api_list_members_update(api_t *q)
{
    change_t change = { .q = q };
    mg_list_member_t *member;
    mg_list_t *list;
    apr_status_t rv;

    if (find_member(q, &list, &member) || read_member(q, member))
        return API_REPLIED;
    change.list_id = list->id;
    change.member = member;
    rv = api_unit(q, run_update, NULL, &change);
    if (rv == MG_ECONFLICT)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Address already exists '%s'",
                                 member->address);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot change a member");
    return reply_member(q, member, "Mailing list member has been updated");
}

static apr_status_t run_delete(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;

    return mg_list_remove_member(db, change->list_id, change->member->address,
                                 ptemp);
}

static apr_status_t is_deleted(mg_db_t *db, void *baton)
{
    const change_t *change = baton;
    mg_list_member_t *there;
    apr_status_t rv = mg_list_member(&there, db, change->list_id,
                                     change->member->address, change->q->p);

    if (rv == APR_ENOENT)
        return APR_SUCCESS;
    return rv == APR_SUCCESS ? APR_ENOENT : rv;
}

int api_list_members_delete(api_t *q)
{
    change_t change = { .q = q };
    mg_list_member_t *member;
    mg_list_t *list;
    apr_status_t rv;

    if (find_member(q, &list, &member))
        return API_REPLIED;
    change.list_id = list->id;
    change.member = member;
    rv = api_unit(q, run_delete, is_deleted, &change);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot delete a member");
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:{s:s}, s:s}", "member", "address",
                                    member->address, "message",
                                    "Mailing list member has been deleted"));
}
