/* api_suppressions.c - /<domain>/bounces, /complaints, /unsubscribes: whom a
 * domain sends nothing any more (mg_suppression.h).
 *
 * Version 2 has totals and one unsubscribe per tag; version 3 pages by address
 * (api_suppressions_page.c), prints codes as strings and all tags of an
 * address together, and takes JSON arrays.
 */
#include "api_suppressions.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_address.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define CODE_MAX 32
#define ERROR_MAX 4000
#define AT_ONCE 250         /* rows of one transaction: some 10 ms */

static const api_suppressions_t resources[MG_SUPPRESSIONS] = {
    [MG_BOUNCED] = {
        "bounces", MG_BOUNCED, "bounce",
        "Address not found in bounces table",
        "Address has been added to the bounces table",
        "addresses have been added to the bounces table",
        "Bounced address has been removed",
        "Bounced addresses for this domain have been removed" },
    [MG_UNSUBSCRIBED] = {
        "unsubscribes", MG_UNSUBSCRIBED, NULL,
        "Address not found in unsubscribers table",
        "Address has been added to the unsubscribes table",
        "addresses have been added to the unsubscribes table",
        "Unsubscribe event has been removed",
        "Unsubscribe addresses for this domain have been removed" },
    [MG_COMPLAINED] = {
        "complaints", MG_COMPLAINED, "complaint",
        "No spam complaints found for this address",
        "Address has been added to the complaints table",
        "complaint addresses have been added to the complaints table",
        "Spam complaint has been removed",
        "Complaint addresses for this domain have been removed" },
};

/* The endpoint's: "/{domain}/bounces/{address}". */
const api_suppressions_t *api_suppressions_of(const api_t *q)
{
    const char *name = strchr(q->endpoint->pattern + 1, '/') + 1;
    int i;

    for (i = 0; i < MG_SUPPRESSIONS - 1; i++)
        if (strncmp(name, resources[i].path, strlen(resources[i].path)) == 0)
            break;
    return &resources[i];
}

static int not_found(api_t *q)
{
    return api_reply_message(q, HTTP_NOT_FOUND, "%s",
                             api_suppressions_of(q)->not_found);
}

/* --- GET --- */

/* An API code is a number; "5.1.1" stays what it is. */
static json_t *code_json(const mg_suppression_t *entry, int version)
{
    const char *c = entry->code;

    while (apr_isdigit(*c))
        c++;
    if (version == 3 || *c || !*entry->code || c - entry->code > 9)
        return json_string(entry->code);
    return json_integer((json_int_t)apr_atoi64(entry->code));
}

/* "... GMT"; version 3 says UTC. */
static const char *date_of(const api_t *q, apr_time_t t)
{
    char *date = mg_time_gmt(t, q->p);

    if (q->version == 3)
        memcpy(date + strlen(date) - 3, "UTC", 3);
    return date;
}

json_t *api_suppression_json(api_t *q, const mg_suppression_t *entry)
{
    json_t *item = json_pack("{s:s, s:s}", "created_at",
                             date_of(q, entry->created_at), "address",
                             entry->address);

    switch (entry->kind) {
    case MG_BOUNCED:
        json_object_set_new(item, "code", code_json(entry, q->version));
        json_object_set_new(item, "error", json_string(entry->error));
        break;
    case MG_COMPLAINED:
        if (q->version == 2)
            json_object_set_new(item, "count",
                                json_integer((json_int_t)entry->count));
        break;
    case MG_UNSUBSCRIBED:
        if (q->version == 3) {
            json_object_set_new(item, "tags",
                                json_pack("[s]", entry->tag));
            break;
        }
        json_object_set_new(item, "tag", json_string(entry->tag));
        json_object_set_new(item, "id", json_string(entry->public_id));
        break;
    case MG_SUPPRESSIONS:
        break;
    }
    return item;
}

json_t *api_suppressions_json(api_t *q, const apr_array_header_t *list)
{
    const char *last = NULL;
    json_t *items = json_array(), *item = NULL;
    int i;

    for (i = 0; i < list->nelts; i++) {
        const mg_suppression_t *entry =
            &APR_ARRAY_IDX(list, i, mg_suppression_t);

        if (q->version == 3 && last && entry->kind == MG_UNSUBSCRIBED
            && strcasecmp(last, entry->address) == 0) {
            json_array_append_new(json_object_get(item, "tags"),
                                  json_string(entry->tag));
            continue;
        }
        item = api_suppression_json(q, entry);
        json_array_append_new(items, item);
        last = entry->address;
    }
    return items;
}

int api_suppressions_list(api_t *q)
{
    const api_suppressions_t *of = api_suppressions_of(q);
    apr_array_header_t *list;
    apr_int64_t skip, limit, total;
    apr_status_t rv;

    if (api_paging(q, &skip, &limit) || api_reader(q))
        return API_REPLIED;
    if (q->version == 3)
        return api_suppressions_page(q, limit);
    rv = mg_suppression_count(&total, q->db, q->domain.id, of->kind);
    if (rv == APR_SUCCESS)
        rv = mg_suppression_list(&list, q->db, q->domain.id, of->kind, NULL,
                                 NULL, skip, limit, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list suppressions");
    return api_reply_json(
        q, HTTP_OK,
        json_pack("{s:I, s:o}", "total_count", (json_int_t)total, "items",
                  api_suppressions_json(q, list)));
}

/* What stands about the address of the path, or 404. */
static int find(api_t *q, apr_array_header_t **plist)
{
    const api_suppressions_t *of = api_suppressions_of(q);
    apr_status_t rv;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_suppression_list(plist, q->db, q->domain.id, of->kind, q->args[1],
                             NULL, 0, 0, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up a suppression");
    return (*plist)->nelts ? API_GO_ON : not_found(q);
}

int api_suppressions_get(api_t *q)
{
    const api_suppressions_t *of = api_suppressions_of(q);
    apr_array_header_t *list;
    json_t *items;

    if (find(q, &list))
        return API_REPLIED;
    items = api_suppressions_json(q, list);
    if (q->version == 2 && of->kind == MG_UNSUBSCRIBED)
        return api_reply_json(q, HTTP_OK,
                              json_pack("{s:i, s:o}", "total_count",
                                        list->nelts, "items", items));
    mg_json_bind(items, q->p);
    if (q->version == 2)
        return api_reply_json(q, HTTP_OK,
                              json_pack("{s:O}", of->single,
                                        json_array_get(items, 0)));
    return api_reply_json(q, HTTP_OK, json_incref(json_array_get(items, 0)));
}

/* --- POST --- */

typedef struct {
    apr_int64_t domain_id;
    apr_array_header_t *entries;   /* of mg_suppression_t */
    int from, to;                  /* those of this transaction */
} change_t;

static apr_status_t run_add(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = change->from; rv == APR_SUCCESS && i < change->to; i++)
        rv = mg_suppression_add(db, change->domain_id,
                                &APR_ARRAY_IDX(change->entries, i,
                                               mg_suppression_t), ptemp);
    return rv;
}

static int invalid(api_t *q, const char *name, const char *why)
{
    return api_reply_message(q, HTTP_BAD_REQUEST, "'%s' parameter %s", name,
                             why);
}

/* As tags of messages are. */
static int is_tag(const char *tag)
{
    return strlen(tag) <= MG_TAG_LENGTH_MAX
           && !mg_text_has_eight_bit(tag, strlen(tag));
}

static int is_code(const char *code)
{
    return strlen(code) <= CODE_MAX && *code
           && code[strspn(code, "0123456789.")] == '\0';
}

int api_suppression_check(api_t *q, mg_suppression_t *entry)
{
    mg_address_t *address;

    if (!entry->address || !*entry->address)
        return invalid(q, "address", "is missing");
    if (mg_address_parse(&address, entry->address, q->p) != APR_SUCCESS)
        return invalid(q, "address", "is not a valid address. please check "
                       "documentation");
    entry->address = address->address;
    if (entry->code && !*entry->code)
        entry->code = NULL;
    if (entry->code && !is_code(entry->code))
        return invalid(q, "code", "is not a valid number");
    if (entry->error && strlen(entry->error) > ERROR_MAX)
        return invalid(q, "error", "is too long");
    if (entry->kind != MG_UNSUBSCRIBED)
        return API_GO_ON;
    if ((!entry->tag || !*entry->tag) && q->version == 2)
        return invalid(q, "tag", "is missing");
    if (!entry->tag || !*entry->tag)
        entry->tag = "*";
    if (!is_tag(entry->tag))
        return invalid(q, "tag", "is not a valid tag");
    return API_GO_ON;
}

/* In steps: who gets an error for a later one sends all of them again, and what
 * is there already stays. */
static int add(api_t *q, apr_array_header_t *entries)
{
    change_t change = { q->domain.id, entries, 0, 0 };
    apr_status_t rv = APR_SUCCESS;

    for (; rv == APR_SUCCESS && change.to < entries->nelts;
         change.from = change.to) {
        change.to = entries->nelts - change.from > AT_ONCE
                        ? change.from + AT_ONCE : entries->nelts;
        rv = api_unit(q, run_add, NULL, &change);
    }
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot add a suppression");
    return API_GO_ON;
}

static int add_many(api_t *q)
{
    const api_suppressions_t *of = api_suppressions_of(q);
    apr_array_header_t *entries;
    int n;

    if (api_suppressions_read(q, &entries, &n) || add(q, entries))
        return API_REPLIED;
    return api_reply_json(q, HTTP_OK, json_pack(
        "{s:s}", "message", apr_psprintf(q->p, "%d %s", n, of->added_many)));
}

int api_suppressions_add(api_t *q)
{
    const api_suppressions_t *of = api_suppressions_of(q);
    apr_array_header_t *entries = apr_array_make(q->p, 1,
                                                 sizeof(mg_suppression_t));
    mg_suppression_t *entry;
    const char *date;

    if (q->version == 3
        && strncasecmp(q->content_type, "application/json", 16) == 0)
        return add_many(q);
    entry = apr_array_push(entries);
    memset(entry, 0, sizeof(*entry));
    entry->kind = of->kind;
    entry->address = api_param(q, "address");
    if (of->kind == MG_BOUNCED) {
        entry->code = api_param(q, "code");
        entry->error = api_param(q, "error");
    }
    entry->tag = api_param(q, "tag");
    date = q->version == 3 ? api_param(q, "created_at") : NULL;
    if (date && *date
        && mg_time_parse(&entry->created_at, date) != APR_SUCCESS)
        return api_reply_message(q, HTTP_BAD_REQUEST, "%s is not an RFC-2822 "
                                 "compliant date", date);
    if (api_suppression_check(q, entry) || add(q, entries))
        return API_REPLIED;
    return api_reply_json(q, HTTP_OK, json_pack("{s:s, s:s}", "message",
                                                of->added, "address",
                                                entry->address));
}

/* --- DELETE --- */

typedef struct {
    apr_int64_t domain_id;
    mg_suppression_kind_t kind;
    const char *address, *tag;
    apr_int64_t removed;
} removal_t;

static apr_status_t run_remove(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const removal_t *removal = baton;
    apr_status_t rv = mg_suppression_remove(db, removal->domain_id,
                                            removal->kind, removal->address,
                                            removal->tag, ptemp);

    /* somebody else was faster: it is gone */
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

static int has_tag(const apr_array_header_t *list, const char *tag)
{
    int i;

    for (i = 0; i < list->nelts; i++)
        if (strcasecmp(APR_ARRAY_IDX(list, i, mg_suppression_t).tag, tag) == 0)
            return 1;
    return 0;
}

/* The path names an unsubscribe's id: its one row. */
static int find_by_id(api_t *q, removal_t *removal)
{
    mg_suppression_t *entry;
    apr_status_t rv;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_suppression_by_id(&entry, q->db, q->domain.id, q->args[1], q->p);
    if (APR_STATUS_IS_ENOENT(rv)
        || (rv == APR_SUCCESS && removal->tag
            && strcasecmp(removal->tag, entry->tag) != 0))
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up an unsubscribe");
    removal->address = entry->address;
    removal->tag = entry->tag;
    return API_GO_ON;
}

static int find_to_remove(api_t *q, removal_t *removal)
{
    apr_array_header_t *list;

    if (removal->kind == MG_UNSUBSCRIBED) {
        removal->tag = api_param(q, "tag");
        if (removal->tag && !*removal->tag)
            removal->tag = NULL;
        if (!strchr(q->args[1], '@'))
            return find_by_id(q, removal);
    }
    if (find(q, &list))
        return API_REPLIED;
    removal->address = APR_ARRAY_IDX(list, 0, mg_suppression_t).address;
    if (removal->tag && !has_tag(list, removal->tag))
        return api_reply_message(q, HTTP_NOT_FOUND, "Unsubscribe event for "
                                 "this tag does not exist");
    return API_GO_ON;
}

int api_suppressions_delete(api_t *q)
{
    const api_suppressions_t *of = api_suppressions_of(q);
    removal_t removal = { q->domain.id, of->kind, NULL, NULL, 0 };
    apr_status_t rv;

    if (find_to_remove(q, &removal))
        return API_REPLIED;
    rv = api_unit(q, run_remove, NULL, &removal);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot remove a suppression");
    return api_reply_json(q, HTTP_OK, json_pack("{s:s, s:s}", "message",
                                                of->removed, "address",
                                                removal.address));
}

static apr_status_t run_clear(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    removal_t *removal = baton;

    (void)ptemp;
    return mg_suppression_clear_some(&removal->removed, db,
                                     removal->domain_id, removal->kind,
                                     AT_ONCE);
}

int api_suppressions_clear(api_t *q)
{
    const api_suppressions_t *of = api_suppressions_of(q);
    removal_t removal = { q->domain.id, of->kind, NULL, NULL, 0 };
    apr_status_t rv;

    do {
        rv = api_unit(q, run_clear, NULL, &removal);
        if (rv != APR_SUCCESS)
            return api_reply_failed(q, rv, "cannot remove suppressions");
    } while (removal.removed > 0 && !q->r->connection->aborted);
    return api_reply_json(q, HTTP_OK, json_pack("{s:s}", "message",
                                                of->cleared));
}
