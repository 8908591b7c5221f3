/* mg_suppression.h - addresses that a domain sends nothing any more.
 *
 *   table        who enters it                         what it stops
 *   bounce       a hard bounce (mg_bounce.h)           all mail of the domain
 *   complaint    a report of spam                      all mail of the domain
 *   unsubscribe  whoever follows a link, by tag        mail with that tag; all
 *                                                      where the tag is '*'
 *
 * The API and mailgunctl add and remove too; removing lets mail flow again.
 * Addresses and tags are compared in ASCII lower case. The API takes a message to a
 * suppressed recipient; the sender drops it as it comes due.
 */
#ifndef MG_SUPPRESSION_H
#define MG_SUPPRESSION_H

#include <apr_tables.h>
#include <apr_time.h>
#include "mg_db.h"

/** In the order of precedence: the first that applies is the reason. */
typedef enum {
    MG_BOUNCED, MG_UNSUBSCRIBED, MG_COMPLAINED, MG_SUPPRESSIONS
} mg_suppression_kind_t;

typedef struct {
    mg_suppression_kind_t kind;
    const char *address;
    const char *code, *error;    /* bounce: "550", words; NULL: "550", "" */
    const char *class;           /* bounce: mg_bounce.h; NULL: "" */
    apr_int64_t count;           /* complaint; read only */
    const char *tag;             /* unsubscribe; NULL: "*" */
    const char *public_id;       /* unsubscribe; read only */
    apr_time_t created_at;       /* 0: now */
} mg_suppression_t;

/** "bounce", "complaint", "unsubscribe"; -1: no such table. */
const char *mg_suppression_name(mg_suppression_kind_t kind);
int mg_suppression_by_name(const char *name);

/** One that is there is replaced (a complaint counts one more; an unsubscribe
 * keeps its id and time). */
apr_status_t mg_suppression_add(mg_db_t *db, apr_int64_t domain_id,
                                const mg_suppression_t *entry, apr_pool_t *p);
/** @param tag  of an unsubscribe; NULL: all tags
 *  @return APR_ENOENT: there was none */
apr_status_t mg_suppression_remove(mg_db_t *db, apr_int64_t domain_id,
                                   mg_suppression_kind_t kind,
                                   const char *address, const char *tag,
                                   apr_pool_t *p);
/** Array of mg_suppression_t, by address; an address may have several tags.
 * @param address  only this one; NULL: all, behind `after` ("" from the
 *                 first), skip left out, limit at most */
apr_status_t mg_suppression_list(apr_array_header_t **plist, mg_db_t *db,
                                 apr_int64_t domain_id,
                                 mg_suppression_kind_t kind,
                                 const char *address, const char *after,
                                 apr_int64_t skip, apr_int64_t limit,
                                 apr_pool_t *p);
/** *pis: is each of tags (of const char *; "*" is all mail) in the table? */
apr_status_t mg_suppression_has_tags(int *pis, mg_db_t *db,
                                     apr_int64_t domain_id,
                                     const char *address,
                                     const apr_array_header_t *tags,
                                     apr_pool_t *p);
/** An unsubscribe by its public id. @return APR_ENOENT */
apr_status_t mg_suppression_by_id(mg_suppression_t **pentry, mg_db_t *db,
                                  apr_int64_t domain_id, const char *public_id,
                                  apr_pool_t *p);
/** Paging by address (version 3 of the API). */
typedef struct {
    const char *prefix;          /* of addresses; NULL: all */
    const char *pivot;           /* not part of the page; NULL: from the end
                                    that down says */
    int down;                    /* what lies before the pivot */
    apr_int64_t limit;           /* addresses, not rows */
} mg_suppression_page_t;
/** Array of mg_suppression_t, by address also where it is down. */
apr_status_t mg_suppression_page(apr_array_header_t **plist, mg_db_t *db,
                                 apr_int64_t domain_id,
                                 mg_suppression_kind_t kind,
                                 const mg_suppression_page_t *page,
                                 apr_pool_t *p);
/** Rows of one table: exact, and not by counting them. */
apr_status_t mg_suppression_count(apr_int64_t *pn, mg_db_t *db,
                                  apr_int64_t domain_id,
                                  mg_suppression_kind_t kind);
/** Those of a domain that goes, a step of them. *pmore: there are others; they
 * are the keeper's (mg_suppression_sweep). */
apr_status_t mg_suppression_forget(int *pmore, mg_db_t *db,
                                   apr_int64_t domain_id);
/** The keeper's: a step of what domains left that are gone. */
apr_status_t mg_suppression_sweep(int *pmore, mg_db_t *db);
/** At most limit addresses of one table (*pn: rows), so that nobody waits for
 * a million of them. */
apr_status_t mg_suppression_clear_some(apr_int64_t *pn, mg_db_t *db,
                                       apr_int64_t domain_id,
                                       mg_suppression_kind_t kind,
                                       apr_int64_t limit);
/** The keeper's: totals of writers are added up. *pfolded: how many. */
apr_status_t mg_suppression_fold(int *pfolded, mg_db_t *db, int limit,
                                 apr_pool_t *ptemp);

/* --- the sender's question --- */

typedef struct {
    apr_int64_t domain_id;
    const char *address;
} mg_suppression_ask_t;
typedef struct {
    int index;                   /* of the question */
    mg_suppression_kind_t kind;
    const char *tag;             /* unsubscribe; else NULL */
} mg_suppression_hit_t;
/** All that stands in the tables about n recipients: one statement where there
 * is anything in them, and a glance where they are empty. */
apr_status_t mg_suppression_match(apr_array_header_t **phits, mg_db_t *db,
                                  const mg_suppression_ask_t *asks, int n,
                                  apr_pool_t *p);
/**
 * Does a hit stop a message with these options (message.options)?
 *
 * @param pcode, pwhy  605, 606 or 607, and its words
 */
int mg_suppression_stops(int *pcode, const char **pwhy,
                         const mg_suppression_hit_t *hit, const char *options,
                         apr_pool_t *p);
#endif
