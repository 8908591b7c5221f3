/* api_list_uploads.c - /lists/<list>/members.json and members.csv: many members
 * at once. What cannot be taken is passed over, and told. */
#include "api_lists.h"

#include <apr_strings.h>

#include "mg_members.h"
#include "mg_status.h"

typedef apr_status_t parse_fn(mg_members_t **presult, const char **perror,
                              const char *bytes, apr_size_t len,
                              int subscribed, apr_pool_t *p);

static json_t *errors_json(const mg_members_t *members)
{
    json_t *list = json_array();
    int i;

    for (i = 0; i < members->errors->nelts; i++) {
        const mg_members_error_t *e = &APR_ARRAY_IDX(members->errors, i,
                                                     mg_members_error_t);

        json_array_append_new(list, json_pack("{s:i, s:s}", "line", e->line,
                                              "error", e->error));
    }
    return list;
}

static int read_members(api_t *q, mg_members_t **pmembers, parse_fn *parse,
                        apr_int64_t max, const char *too_big)
{
    const mg_form_field_t *f = mg_form_find(q->form, "members", NULL);
    const char *bytes, *error;
    int subscribed = 1;
    apr_size_t len;

    if (!f || !f->size)
        f = mg_form_find(q->form, "", NULL); /* application/json */
    if (!f || !f->size)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Parameter 'members' is missing");
    if (f->size > max)
        return api_reply_message(q, HTTP_BAD_REQUEST, "%s", too_big);
    if (api_list_bool(q, "subscribed", &subscribed))
        return API_REPLIED;
    if (mg_form_bytes(&bytes, &len, f, q->p) != APR_SUCCESS)
        return api_reply_failed(q, APR_EGENERAL,
                                "cannot read a spooled field");
    if (parse(pmembers, &error, bytes, len, subscribed, q->p) != APR_SUCCESS)
        return api_reply_message(q, HTTP_BAD_REQUEST, "%s", error);
    return API_GO_ON;
}

/* Strict: nobody is added where one is there, unless somebody else adds him
 * meanwhile. */
static int are_new(api_t *q, const mg_list_t *list,
                   const apr_array_header_t *members)
{
    mg_list_member_t *there;
    apr_status_t rv;
    int i;

    for (i = 0; i < members->nelts; i++) {
        const char *address = APR_ARRAY_IDX(members, i, mg_list_member_t *)
                                  ->address;

        rv = mg_list_member(&there, q->db, list->id, address, q->p);
        if (rv == APR_SUCCESS)
            return api_reply_message(q, HTTP_BAD_REQUEST,
                                     "Address already exists '%s'", address);
        if (rv != APR_ENOENT)
            return api_reply_failed(q, rv, "cannot look up a member");
    }
    return API_GO_ON;
}

static int upload(api_t *q, parse_fn *parse, apr_int64_t max,
                  const char *too_big)
{
    mg_members_t *members;
    mg_list_t *list;
    int upsert = 0;

    if (api_list_bool(q, "upsert", &upsert)
        || read_members(q, &members, parse, max, too_big)
        || api_list_find(q, &list))
        return API_REPLIED;
    if (!upsert && are_new(q, list, members->members))
        return API_REPLIED;
    if (api_list_put(q, list, members->members,
                     upsert ? MG_LIST_UPSERT : MG_LIST_STRICT))
        return API_REPLIED;
    return api_list_reply(q, "Mailing list has been updated", list->id,
                          members->skipped ? errors_json(members) : NULL);
}

int api_list_members_json(api_t *q)
{
    return upload(q, mg_members_json, MG_MEMBERS_JSON_MAX,
                  "'members' parameter is larger than 8 MB");
}

int api_list_members_csv(api_t *q)
{
    return upload(q, mg_members_csv, MG_MEMBERS_CSV_MAX,
                  "CSV file is too big, max allowed size is 5 MB");
}
