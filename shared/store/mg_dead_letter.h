/* mg_dead_letter.h - webhooks and forwards that were given up.
 *
 * mg_queue_bury() puts them here. A webhook's payload has all that was posted
 * (mg_event_hook.c), so that it can be posted again when nothing else of its
 * message is left. They are kept for MailgunDeadLetterRetention.
 */
#ifndef MG_DEAD_LETTER_H
#define MG_DEAD_LETTER_H

#include <apr_tables.h>
#include "mg_queue.h"

typedef struct {
    apr_int64_t id, domain_id;
    const char *domain;       /* its name, or NULL: removed */
    const char *event;        /* "bounced" */
    const char *recipient, *url;
    const char *last_reply;   /* or NULL */
    int attempts;
    apr_time_t created_at;    /* when it was given up */
} mg_dead_letter_t;

/** Webhooks, newest first; domain_id 0: of all. Array of mg_dead_letter_t. */
apr_status_t mg_dead_letter_hooks(apr_array_header_t **plist, mg_db_t *db,
                                  apr_int64_t domain_id, apr_int64_t limit,
                                  apr_pool_t *p);
/**
 * Back into the queue, due now, with all tries: webhooks behind *pafter, which
 * moves on, and before `before`, an id of when it all began, as those that are
 * given up again meanwhile would be found without end; to the URL that the domain has for that event now, or to the old
 * one if it has none. Those of a domain that was removed stay. In a
 * transaction of its own.
 *
 * @param id         this one alone; 0: all of domain_id
 * @param preplayed  grows
 * @param pmore      call again
 */
apr_status_t mg_dead_letter_replay(apr_int64_t *preplayed, int *pmore,
                                   apr_int64_t *pafter, apr_int64_t before,
                                   mg_db_t *db, apr_int64_t id,
                                   apr_int64_t domain_id, int limit,
                                   apr_pool_t *p);
/** The keeper's: *pn of at most limit that were made before then. */
apr_status_t mg_dead_letter_forget(int *pn, mg_db_t *db, apr_time_t before,
                                   int limit);

#endif
