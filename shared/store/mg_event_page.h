/* mg_event_page.h - events of a domain, page by page (GET /<domain>/events).
 *
 * A page begins at a gap between two ids and goes up or down from there:
 *
 *         ids below gap   |   ids from gap on
 *         <- going down   gap   going up ->
 *
 * so that the same number says where a page began, where the one before it
 * ends, and where the next one goes on, and stays right whatever is appended
 * meanwhile.
 *
 * Ids are made before they are committed. So no page goes past what is settled
 * (mg_event_settled()): below that nothing will be committed any more, and a
 * poller that goes on behind the last row it saw misses none.
 *
 * Work is bounded: a page ends after limit rows that are wanted, or once the
 * time for looking is used up; then is_cut is set, and from pafter on it goes
 * on.
 */
#ifndef MG_EVENT_PAGE_H
#define MG_EVENT_PAGE_H

#include <apr_tables.h>
#include "mg_db.h"

/** An event and what its message was. Texts are never NULL. */
typedef struct {
    apr_int64_t id;
    const char *kind, *recipient;
    const char *detail;             /* JSON: mg_event_detail.c */
    apr_time_t created_at;
    apr_int64_t message;            /* its row; 0: it is forgotten */
    int direction;
    const char *method, *message_id, *sender, *from_header, *subject;
    const char *options, *variables, *summary; /* JSON */
    apr_int64_t size, recipients;
    apr_array_header_t *all_recipients; /* of const char *; NULL: only this
                                         * one, or mg_event_recipients() was
                                         * not called */
} mg_event_row_t;

#define MG_EVENT_KINDS 8

typedef int mg_event_wanted_fn(const mg_event_row_t *row, void *baton);

typedef struct {
    apr_int64_t domain_id;
    apr_int64_t low, high;          /* ids from low on, below high */
    int is_down;                    /* from high on downwards */
    int limit;
    /* What the store can look at by itself, in its index alone */
    const char *kinds[MG_EVENT_KINDS]; /* event.kind; the first NULL: all */
    const char *recipient;          /* in lower case; NULL: all */
    const char *message_id;         /* found by its own index; NULL: all */
    mg_event_wanted_fn *wanted;     /* what else is asked for; NULL: nothing */
    void *baton;
    apr_interval_time_t budget;     /* for looking, while nothing was found; a
                                     * tenth of it once something was.
                                     * 0: MG_EVENT_BUDGET */
} mg_event_query_t;

#define MG_EVENT_BUDGET (200 * APR_TIME_C(1000))

/**
 * @param prows   array of mg_event_row_t *, in the order of the walk; their
 *                text lives in p
 * @param pafter  the gap behind the last row that was looked at; where there
 *                was none: where the walk began
 * @param pcut    looked long enough: there may be more
 */
apr_status_t mg_event_page(apr_array_header_t **prows, apr_int64_t *pafter,
                           int *pcut, mg_db_t *db,
                           const mg_event_query_t *query, apr_pool_t *p);

/** Fill in all_recipients of those whose message had several, at most 100 of
 * each. */
apr_status_t mg_event_recipients(mg_db_t *db, const apr_array_header_t *rows,
                                 apr_pool_t *p);

/**
 * The gap below which all is settled.
 *
 * SQLite's writers are one behind the other, and ids are made by whoever has
 * the lock: only what processes' clocks are apart counts. PostgreSQL's are not:
 * it is asked for the oldest transaction that is still open.
 *
 * @param settle  how much the clocks of nodes may be apart, and a transaction's
 *                first id may be older than its BEGIN (MailgunEventSettle)
 */
apr_status_t mg_event_settled(apr_int64_t *pgap, mg_db_t *db,
                              apr_interval_time_t settle);

#endif
