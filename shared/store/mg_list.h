/* mg_list.h - mailing lists and their members (manual, "Mailing Lists").
 *
 * A list is an address in a domain of an account; each subscribed member gets a
 * copy of what is posted to it. Addresses are found in any case of letters.
 * Names and descriptions are any text; vars a JSON object, whose members
 * %recipient.key% names in copies.
 *
 * How many members an account's lists may have together is a column of the
 * account (mailgunctl account set NAME members=N): a member more is MG_ELIMIT.
 */
#ifndef MG_LIST_H
#define MG_LIST_H

#include <apr_tables.h>
#include "mg_db.h"

#define MG_LIST_NAME_MAX 512          /* octets; of members too */
#define MG_LIST_DESCRIPTION_MAX 4096
#define MG_LIST_VARS_MAX 16384
#define MG_LIST_AT_ONCE 1000          /* members that one call may add */

/** Who may post besides the account itself. */
typedef enum {
    MG_LIST_READONLY, MG_LIST_MEMBERS, MG_LIST_EVERYONE
} mg_list_access_t;
/** "readonly" ...; -1: no such level. */
int mg_list_access_by_name(const char *name);
const char *mg_list_access_name(mg_list_access_t access);

/** Where replies go. Unsaid: to the list if others may post there, else to
 * who wrote the message. */
typedef enum {
    MG_LIST_REPLY_UNSAID, MG_LIST_REPLY_LIST, MG_LIST_REPLY_SENDER
} mg_list_reply_t;
/** "list", "sender"; -1. */
int mg_list_reply_by_name(const char *name);
const char *mg_list_reply_name(mg_list_reply_t reply);

typedef struct {
    apr_int64_t id, account_id, domain_id;
    const char *address, *name, *description;
    mg_list_access_t access;
    mg_list_reply_t reply;
    apr_int64_t members;
    apr_time_t created_at;
} mg_list_t;

typedef struct {
    const char *after;            /* behind this address; NULL: from the first */
    const char *before;           /* or: the last ones before this one, "" for
                                   * the end; NULL */
    int subscribed;               /* 1, 0: only those; -1: all */
    apr_time_t created_by;        /* 0: all; else only who was there then */
    apr_int64_t skip, limit;
} mg_list_page_t;
/** Do replies go to the list? */
int mg_list_replies_to_list(const mg_list_t *list);

/** id and created_at are drawn. @return MG_ECONFLICT: that address is a list's
 * already */
apr_status_t mg_list_add(mg_list_t *list, mg_db_t *db, apr_pool_t *ptemp);
/** @param account_id  0: any
 *  @return APR_ENOENT */
apr_status_t mg_list_by_address(mg_list_t **plist, mg_db_t *db,
                                apr_int64_t account_id, const char *address,
                                apr_pool_t *p);
apr_status_t mg_list_by_id(mg_list_t **plist, mg_db_t *db, apr_int64_t id,
                           apr_pool_t *p);
/** All but id, account_id, members, created_at.
 * @return APR_ENOENT; MG_ECONFLICT: another list has that address */
apr_status_t mg_list_update(mg_db_t *db, const mg_list_t *list,
                            apr_pool_t *ptemp);
/** Gone at once; the keeper removes its members. @return APR_ENOENT */
apr_status_t mg_list_remove(mg_db_t *db, apr_int64_t list_id);
/** All of a domain. Inside a transaction. */
apr_status_t mg_list_remove_all(mg_db_t *db, apr_int64_t domain_id);
/** By address; array of mg_list_t *. *ptotal: how many the account has. */
apr_status_t mg_list_page(apr_array_header_t **plists, apr_int64_t *ptotal,
                          mg_db_t *db, apr_int64_t account_id,
                          apr_int64_t skip, apr_int64_t limit, apr_pool_t *p);
/** A page by the address of its neighbour; subscribed and created_by say
 * nothing. */
apr_status_t mg_list_pages(apr_array_header_t **plists, mg_db_t *db,
                           apr_int64_t account_id, const mg_list_page_t *page,
                           apr_pool_t *p);
/** How many members the account's lists may have; -1: as many as it wants. */
apr_status_t mg_list_member_limit(apr_int64_t *plimit, mg_db_t *db,
                                  apr_int64_t account_id);
/** Remove a slice of what deleted lists left. */
apr_status_t mg_list_sweep(int *pmore, mg_db_t *db, apr_pool_t *ptemp);

/* --- members (mg_list_member.c) --- */

typedef struct {
    const char *address, *name, *description;
    const char *vars;             /* JSON object */
    int subscribed;               /* 1, 0 */
    apr_time_t created_at;
} mg_list_member_t;

enum { MG_LIST_STRICT, MG_LIST_UPSERT };

/**
 * Members, in one transaction: all or none.
 *
 * @param members  of mg_list_member_t *; of one address the last counts.
 *                 created_at of new ones is set
 * @param how      MG_LIST_UPSERT: who is there is changed; MG_LIST_STRICT: is
 *                 an error
 * @param pthere   MG_ECONFLICT: whose address is there
 * @return MG_ECONFLICT, MG_ELIMIT; APR_ENOENT: there is no such list
 */
apr_status_t mg_list_put_members(const char **pthere, mg_db_t *db,
                                 apr_int64_t list_id,
                                 const apr_array_header_t *members, int how,
                                 apr_pool_t *ptemp);
/** @return APR_ENOENT */
apr_status_t mg_list_member(mg_list_member_t **pmember, mg_db_t *db,
                            apr_int64_t list_id, const char *address,
                            apr_pool_t *p);
/** @param address  the member's as it is now; member may have another
 *  @return APR_ENOENT; MG_ECONFLICT: the new address is a member's already */
apr_status_t mg_list_update_member(mg_db_t *db, apr_int64_t list_id,
                                   const char *address,
                                   const mg_list_member_t *member,
                                   apr_pool_t *ptemp);
/** @return APR_ENOENT */
apr_status_t mg_list_remove_member(mg_db_t *db, apr_int64_t list_id,
                                   const char *address, apr_pool_t *ptemp);
/** Marked as subscribed (1) or not (0); no error if there is no such list or
 * member. */
apr_status_t mg_list_subscribe(mg_db_t *db, const char *list_address,
                               const char *address, int subscribed,
                               apr_pool_t *ptemp);

/** By address; array of mg_list_member_t *. */
apr_status_t mg_list_members(apr_array_header_t **pmembers, mg_db_t *db,
                             apr_int64_t list_id, const mg_list_page_t *page,
                             apr_pool_t *p);
/** How many: all (-1), or those that are subscribed or not. */
apr_status_t mg_list_count(apr_int64_t *pn, mg_db_t *db, apr_int64_t list_id,
                           int subscribed);
#endif
