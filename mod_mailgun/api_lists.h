/* api_lists.h - between the files of /lists. */
#ifndef API_LISTS_H
#define API_LISTS_H

#include "api.h"
#include "mg_list.h"

/** The list that the path names, of the account; or 404. Takes the reader. */
int api_list_find(api_t *q, mg_list_t **plist);
int api_list_not_found(api_t *q, const char *address);
/** As it is in the store now, with its members counted. */
int api_list_reply(api_t *q, const char *message, apr_int64_t list_id,
                   json_t *errors);
json_t *api_list_json(const api_t *q, const mg_list_t *list);
json_t *api_list_member_json(const mg_list_member_t *member, apr_pool_t *p);

/** A boolean parameter, or 400; unsaid: as it is. */
int api_list_bool(api_t *q, const char *name, int *pvalue);
/** page=first|last|next|previous, address, limit of version 3; or 400.
 * mg_list_page_t.after and .before are set. */
int api_list_paging(api_t *q, mg_list_page_t *page);
/** {"items", "paging"}; first, last: the addresses at the page's ends, NULL: it
 * is empty. Takes the reference. */
int api_list_reply_page(api_t *q, json_t *items, const mg_list_page_t *page,
                        const char *first, const char *last);

/** Members into the list, in several transactions if they are many; 400 where
 * one is there (strict) or the account may have no more. Gives the reader
 * back. */
int api_list_put(api_t *q, const mg_list_t *list,
                 const apr_array_header_t *members, int how);

#endif
