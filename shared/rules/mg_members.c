/* mg_members.c - see mg_members.h: what all forms share, and JSON arrays. */
#include <string.h>
#include <apr_strings.h>

#include "mg_address.h"
#include "mg_json.h"
#include "mg_members_private.h"
#include "mg_status.h"
#include "mg_text.h"

#define ADDRESS_MAX 1000   /* octets of what may be an address */

mg_members_t *mg_members_create(apr_pool_t *p)
{
    mg_members_t *m = apr_pcalloc(p, sizeof(*m));

    m->members = apr_array_make(p, 64, sizeof(mg_list_member_t *));
    m->errors = apr_array_make(p, 4, sizeof(mg_members_error_t));
    return m;
}

void mg_members_skip(mg_members_t *m, int line, const char *error)
{
    m->skipped++;
    if (m->errors->nelts < MG_MEMBERS_ERRORS_MAX) {
        mg_members_error_t *e = apr_array_push(m->errors);

        e->line = line;
        e->error = error;
    }
}

mg_list_member_t *mg_members_make(int subscribed, apr_pool_t *p)
{
    mg_list_member_t *m = apr_pcalloc(p, sizeof(*m));

    m->name = m->description = "";
    m->vars = "{}";
    m->subscribed = subscribed;
    return m;
}

/* local@domain, as most are: no parser is asked. */
static int is_plain(const char *text)
{
    const char *at = strchr(text, '@');

    return at && at > text && mg_address_is_domain(at + 1)
           && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "0123456789-_+") == (size_t)(at - text);
}

apr_status_t mg_members_address(mg_list_member_t *member, const char *text,
                                apr_pool_t *p)
{
    mg_address_t *address;

    if (strlen(text) > ADDRESS_MAX)
        return MG_EADDRESS;
    if (is_plain(text) && strlen(text) <= 254) {
        member->address = text;
        return APR_SUCCESS;
    }
    if (mg_address_parse(&address, text, p) != APR_SUCCESS || !address->domain
        || !*address->domain || *address->domain == '['
        || strlen(address->address) > 254)
        return MG_EADDRESS;
    member->address = address->address;
    if (address->name && *address->name)
        member->name = address->name;
    return APR_SUCCESS;
}

const char *mg_members_vars(const char *text, apr_size_t len, apr_pool_t *p)
{
    const char *error, *compact;
    json_t *json;

    if (len == 0)
        return "{}";
    if (len > MG_LIST_VARS_MAX)
        return NULL;
    json = mg_json_parse(text, len, &error, p);
    if (!json_is_object(json))
        return NULL;
    compact = mg_json_compact(json, p);
    return compact && strlen(compact) <= MG_LIST_VARS_MAX ? compact : NULL;
}

const char *mg_members_check(const mg_list_member_t *member)
{
    if (strlen(member->name) > MG_LIST_NAME_MAX)
        return "the name is too long";
    if (strlen(member->description) > MG_LIST_DESCRIPTION_MAX)
        return "the description is too long";
    return NULL;
}

/* --- JSON --- */

static const char *text_of(const json_t *object, const char *name,
                           const char *unsaid)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : unsaid;
}

/* true, or "yes". @return 0: it is no such thing */
static int read_subscribed(int *psubscribed, const json_t *value)
{
    int said;

    if (!value || json_is_null(value))
        return 1;
    if (json_is_boolean(value)) {
        *psubscribed = json_is_true(value);
        return 1;
    }
    said = json_is_string(value) ? mg_text_bool(json_string_value(value)) : -1;
    if (said >= 0)
        *psubscribed = said;
    return said >= 0;
}

static const char *vars_of(const json_t *value, apr_pool_t *p)
{
    const char *text;

    if (!value || json_is_null(value))
        return "{}";
    text = json_is_string(value) ? json_string_value(value)
           : json_is_object(value) ? mg_json_compact(value, p) : NULL;
    return text ? mg_members_vars(text, strlen(text), p) : NULL;
}

/* @return why not; NULL: member is filled */
static const char *read_one(mg_list_member_t *member, const json_t *one,
                            apr_pool_t *p)
{
    const char *address;

    if (json_is_string(one))
        return mg_members_address(member, json_string_value(one), p)
                       == APR_SUCCESS ? mg_members_check(member)
                                      : "the address is malformed";
    if (!json_is_object(one))
        return "it is no address and no object";
    address = text_of(one, "address", "");
    if (mg_members_address(member, address, p) != APR_SUCCESS)
        return "the address is malformed";
    member->name = text_of(one, "name", member->name);
    member->description = text_of(one, "description", "");
    member->vars = vars_of(json_object_get(one, "vars"), p);
    if (!member->vars)
        return "vars is no JSON object, or too long";
    if (!read_subscribed(&member->subscribed,
                         json_object_get(one, "subscribed")))
        return "subscribed is no boolean";
    return mg_members_check(member);
}

apr_status_t mg_members_json(mg_members_t **presult, const char **perror,
                             const char *bytes, apr_size_t len, int subscribed,
                             apr_pool_t *p)
{
    mg_members_t *m = mg_members_create(p);
    const char *error = NULL, *why;
    const json_t *one;
    json_t *json;
    size_t i;

    *presult = m;
    json = len > MG_MEMBERS_JSON_MAX ? NULL
                                     : mg_json_parse(bytes, len, &error, p);
    if (!json_is_array(json)) {
        *perror = error ? apr_pstrcat(p, "'members' parameter is not a JSON "
                                      "array: ", error, NULL)
                        : "'members' parameter is not a JSON array";
        return MG_EBADINPUT;
    }
    if (json_array_size(json) > MG_LIST_AT_ONCE) {
        *perror = apr_psprintf(p, "Too many members, max is %d at once",
                               MG_LIST_AT_ONCE);
        return MG_EBADINPUT;
    }
    json_array_foreach(json, i, one) {
        mg_list_member_t *member = mg_members_make(subscribed, p);

        why = read_one(member, one, p);
        if (why)
            mg_members_skip(m, (int)i + 1, why);
        else
            APR_ARRAY_PUSH(m->members, mg_list_member_t *) = member;
    }
    return APR_SUCCESS;
}
