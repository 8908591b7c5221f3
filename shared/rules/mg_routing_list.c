/* mg_routing_list.c - may this message be posted to a mailing list?
 *
 * What the list's account sends may (manual, "Sending to a list"). Of what
 * comes from outside nothing goes to a "readonly" list; to one of "members"
 * what a subscribed member sends, by its envelope and by its From; to one of
 * "everyone" anything but what machines send: reports, replies of machines
 * (RFC 3834), and the list's own copies.
 */
#include <string.h>
#include <apr_strings.h>

#include "mg_list.h"
#include "mg_mime.h"
#include "mg_routing_private.h"
#include "mg_status.h"

#define FROM_MAX 1000   /* octets of a From that is looked at */

apr_status_t mg_routing_find_list(const mg_list_t **plist, mg_db_t *db,
                                  const mg_address_t *to,
                                  apr_int64_t account_id, apr_pool_t *p)
{
    mg_list_t *list;
    apr_status_t rv = mg_list_by_address(&list, db, 0, to->address, p);

    *plist = NULL;
    if (rv != APR_SUCCESS)
        return rv;
    if (list->access == MG_LIST_READONLY && list->account_id != account_id)
        return APR_ENOENT;
    *plist = list;
    return APR_SUCCESS;
}

/* RFC 3834 5: anything but "no". */
static int is_automatic(const apr_array_header_t *headers)
{
    const mg_header_t *h = mg_mime_header(headers, "Auto-Submitted");

    return h && strncasecmp(h->value, "no", 2) != 0;
}

static int is_copy(const mg_list_t *list, const apr_array_header_t *headers)
{
    int i;

    for (i = 0; headers && i < headers->nelts; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(headers, i, mg_header_t);

        if (strcasecmp(h->name, MG_ROUTING_LIST) == 0
            && strcasecmp(h->value, list->address) == 0)
            return 1;
    }
    return 0;
}

/* @return APR_ENOENT: not a member who gets the list's messages */
static apr_status_t is_member(mg_db_t *db, const mg_list_t *list,
                              const char *address, apr_pool_t *p)
{
    mg_list_member_t *member;
    apr_status_t rv = mg_list_member(&member, db, list->id, address, p);

    return rv == APR_SUCCESS && !member->subscribed ? APR_ENOENT : rv;
}

/* Each address of From. */
static apr_status_t is_from_member(mg_db_t *db, const mg_list_t *list,
                                   const apr_array_header_t *headers,
                                   apr_pool_t *p)
{
    const mg_header_t *from = headers ? mg_mime_header(headers, "From") : NULL;
    apr_array_header_t *addresses;
    apr_status_t rv = APR_ENOENT;
    int i;

    if (!from || strlen(from->raw) > FROM_MAX
        || mg_address_parse_list(&addresses, from->raw, p) != APR_SUCCESS)
        return APR_ENOENT;
    for (i = 0; i < addresses->nelts; i++) {
        rv = is_member(db, list,
                       APR_ARRAY_IDX(addresses, i, mg_address_t *)->address,
                       p);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return rv;
}

static apr_status_t may_post(const mg_list_t *list, mg_db_t *db,
                             const char *sender,
                             const apr_array_header_t *headers, apr_pool_t *p)
{
    apr_status_t rv;

    if (is_copy(list, headers))
        return MG_ELIMIT;
    if (!*sender || list->access == MG_LIST_READONLY
        || (headers && is_automatic(headers)))
        return APR_ENOENT;
    if (list->access == MG_LIST_EVERYONE)
        return APR_SUCCESS;
    rv = is_member(db, list, sender, p);
    return rv == APR_SUCCESS ? is_from_member(db, list, headers, p) : rv;
}

apr_status_t mg_routing_add_list(apr_array_header_t *envelopes,
                                 const mg_wanted_t *wanted, mg_db_t *db,
                                 const char *sender,
                                 const apr_array_header_t *headers,
                                 apr_pool_t *p)
{
    const mg_list_t *list = wanted->list;
    apr_status_t rv = APR_SUCCESS;

    if (sender)
        rv = may_post(list, db, sender, headers, p);
    if (rv != APR_SUCCESS)
        return rv;
    mg_routing_add(envelopes, MG_TRANSPORT_LIST, wanted->to->address,
                   wanted->to->as_given)->dest =
        apr_psprintf(p, "%" APR_INT64_T_FMT, list->id);
    return APR_SUCCESS;
}
