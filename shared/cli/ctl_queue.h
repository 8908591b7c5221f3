/* ctl_queue.h - between the files of mailgunctl queue. */
#ifndef CTL_QUEUE_H
#define CTL_QUEUE_H

#include "ctl.h"
#include "mg_queue.h"

#define CTL_QUEUE_FOUND 10 /* messages with one message id */

/** --domain, --destination, --transport, --message; opens the store. */
int ctl_queue_filter(mg_queue_filter_t *filter, ctl_t *ctl);
/** Ids of messages: the number itself, or those with this message id. */
int ctl_queue_find(apr_int64_t ids[CTL_QUEUE_FOUND], int *pn, ctl_t *ctl,
                   const char *text);
void ctl_queue_print(ctl_t *ctl, const apr_array_header_t *list);
const char *ctl_queue_domain(ctl_t *ctl, apr_table_t *names, apr_int64_t id);

#endif
