/* mg_suppression_event.c - rows that follow from events.
 *
 * Who unsubscribes or complains is entered in the transaction of the event
 * (mg_event_append): no caller has to think of it. A bounce is entered by who
 * knows that it was a hard one.
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_list.h"
#include "mg_suppression_private.h"

static apr_status_t unsubscribe(mg_db_t *db, const mg_event_t *event,
                                apr_pool_t *p)
{
    mg_suppression_t entry = { .kind = MG_UNSUBSCRIBED,
                               .address = event->recipient, .tag = "*" };
    char *tags, *tag, *last = NULL;
    apr_status_t rv = APR_SUCCESS;

    if (event->mailing_list && !event->tag) /* the list's member is marked */
        return mg_list_subscribe(db, event->mailing_list, event->recipient, 0,
                                 p);
    if (!event->tag || !*event->tag)
        return mg_suppression_add(db, event->domain_id, &entry, p);
    tags = apr_pstrdup(p, event->tag);
    for (tag = apr_strtok(tags, "\n", &last); rv == APR_SUCCESS && tag;
         tag = apr_strtok(NULL, "\n", &last)) {
        entry.tag = tag;
        rv = mg_suppression_add(db, event->domain_id, &entry, p);
    }
    return rv;
}

apr_status_t mg_suppression_of_event(mg_db_t *db, const mg_event_t *event,
                                     apr_pool_t *p)
{
    mg_suppression_t complaint = { .kind = MG_COMPLAINED,
                                   .address = event->recipient };

    if (event->direction != MG_OUTGOING || event->machine)
        return APR_SUCCESS;
    if (event->kind == MG_EVENT_UNSUBSCRIBED)
        return unsubscribe(db, event, p);
    if (event->kind == MG_EVENT_COMPLAINED)
        return mg_suppression_add(db, event->domain_id, &complaint, p);
    return APR_SUCCESS;
}
