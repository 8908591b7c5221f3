/* mg_stat.h - counters by day.
 *
 * Added up per transaction, written in key order just before its COMMIT, into
 * this process's slot: no two processes write the same row, no two
 * transactions lock rows in different orders (design, "Store"). The keeper
 * folds slots into slot 0.
 *
 *   stat            a domain's events, by kind (mg_event_kind.h, counted_as):
 *                   each event is counted once
 *   stat_tag        the same by the tags of the event's message
 *   account_usage   what is charged for (mg_usage.h)
 *
 * Tags are counted by their slug: "September newsletter" under
 * "september_newsletter".
 */
#ifndef MG_STAT_H
#define MG_STAT_H

#include <apr_tables.h>
#include "mg_batch.h"

/** Count n of kind, a literal. */
void mg_stat_add(mg_batch_t *batch, apr_int64_t domain_id, apr_int64_t day,
                 const char *kind, apr_int64_t n);
void mg_stat_add_tag(mg_batch_t *batch, apr_int64_t domain_id,
                     apr_int64_t day, const char *kind, const char *slug,
                     apr_int64_t n);
void mg_stat_add_usage(mg_batch_t *batch, apr_int64_t account_id,
                       apr_int64_t day, const char *kind, apr_int64_t n);
/** Write what was added up; the batch's before-commit hook. */
apr_status_t mg_stat_write(mg_batch_t *batch);

/** Lower case; whatever is no letter, digit or hyphen becomes "_", several in
 * a row one. The slug of a slug is the slug. */
const char *mg_stat_slug(const char *tag, apr_pool_t *p);

/* --- GET /<domain>/stats --- */

/** The events a day's numbers have, in the order they are shown. */
typedef enum {
    MG_STAT_SENT, MG_STAT_DELIVERED, MG_STAT_OPENED, MG_STAT_CLICKED,
    MG_STAT_BOUNCED, MG_STAT_DROPPED, MG_STAT_COMPLAINED,
    MG_STAT_UNSUBSCRIBED, MG_STAT_MAX
} mg_stat_event_t;
extern const char *const mg_stat_events[MG_STAT_MAX];

/** One event on one day. */
typedef struct {
    apr_int64_t day;
    mg_stat_event_t event;
    const char *id;              /* 24 hex; the same each time */
    apr_int64_t n;
    apr_array_header_t *tags;    /* of mg_stat_tag_t, by slug */
} mg_stat_item_t;
typedef struct {
    const char *slug;
    apr_int64_t n;
} mg_stat_tag_t;
/** Of one answer; the newest days have all their tags first. */
#define MG_STAT_TAGS_MAX 20000
/**
 * Outgoing mail that was sent for real, and what persons made of it.
 *
 * @param events  1 << mg_stat_event_t, those that are wanted
 * @param since   the first day
 * @param pitems  newest first, array of mg_stat_item_t; *ptotal: how many
 *                there are without skip and limit
 */
apr_status_t mg_stat_list(apr_array_header_t **pitems, apr_int64_t *ptotal,
                          mg_db_t *db, apr_int64_t domain_id,
                          unsigned events, apr_int64_t since,
                          apr_int64_t skip, apr_int64_t limit, apr_pool_t *p);
/** A tag's counters go; tag as given or its slug. In a transaction.
 * @return APR_ENOENT: it has none */
apr_status_t mg_stat_remove_tag(mg_db_t *db, apr_int64_t domain_id,
                                const char *tag, apr_pool_t *p);

apr_status_t mg_stat_has_tag(int *phas, mg_db_t *db, apr_int64_t domain_id,
                             const char *tag, apr_pool_t *p);

/** Fold the slots of past days into slot 0, at most limit rows of
 * each table. The keeper's. */
apr_status_t mg_stat_fold(int *pfolded, mg_db_t *db, int limit,
                          apr_pool_t *ptemp);
#endif
