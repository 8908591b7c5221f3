/* mg_list_copy.h - what copies of a list's message have besides what was
 * posted.
 *
 * What is posted to a mailing list becomes a message of its own, whose option
 * "list" (mg_options.h) is
 *
 *   {"address": "dev@a.test", "id": "4711", "unsubscribe": 2,
 *    "via": ["4711"], "fields": "List-Id: <dev.a.test>\r\n..."}
 *
 * fields are the same in each copy, above the content as it was posted:
 * List-Id (RFC 2919), List-Post (RFC 2369), Precedence, X-Mailgun-List-Address,
 * and Reply-To where replies go to the list. What the message has of them
 * already stays its own. Each copy has a List-Unsubscribe (RFC 2369, RFC 8058)
 * that marks its member, unless the message has one.
 */
#ifndef MG_LIST_COPY_H
#define MG_LIST_COPY_H

#include "mg_domain.h"
#include "mg_json.h"
#include "mg_list.h"
#include "mg_mime.h"

#define MG_LIST_NESTING_MAX 5   /* a list may be a member of a list */

enum { MG_LIST_NO_LINK, MG_LIST_MAIL_LINK, MG_LIST_LINKS };

typedef struct {
    const char *address;
    apr_int64_t id;
    int unsubscribe;      /* by MG_LIST_MAIL_LINK, MG_LIST_LINKS */
    const char *fields;   /* with their line ends; or "" */
    const json_t *via;    /* array of ids: lists it has come through; NULL */
} mg_list_copy_t;

/** @param options  a message's, parsed. NULL: it is no list's */
const mg_list_copy_t *mg_list_copy_read(const json_t *options, apr_pool_t *p);

/**
 * The option "list" of a message that is posted.
 *
 * @param headers  of what was posted
 * @param links    what unsubscribing may go by
 * @param before   the message was itself a list's; NULL
 * @return a new reference; NULL: it came through that list before, or through
 *         too many
 */
json_t *mg_list_copy_option(const mg_list_t *list,
                            const apr_array_header_t *headers, int links,
                            const mg_list_copy_t *before, apr_pool_t *p);

/**
 * The header block of what somebody outside posted, as the list sends it on.
 * Fields that a list must set, or that ask each member for a receipt, are taken
 * out. Where the author is not of our domain, From becomes the list's address
 * with the author's name, and Reply-To the author, unless replies go to the
 * list: the author's domain would refuse mail from it that we send (DMARC, RFC
 * 7489).
 */
apr_status_t mg_list_copy_header(const char **phead, apr_size_t *plen,
                                 const mg_list_t *list,
                                 const char *domain, const char *old_head,
                                 apr_size_t old_len, apr_pool_t *p);
#endif
