/* mg_event_private.h - between the files of events. */
#ifndef MG_EVENT_PRIVATE_H
#define MG_EVENT_PRIVATE_H

#include "mg_batch.h"
#include "mg_event.h"

/** The line GET /<domain>/log shows. */
const char *mg_event_line(const mg_event_t *event, apr_pool_t *p);
/** event.detail. */
const char *mg_event_detail(const mg_event_t *event, apr_pool_t *p);
/** s as a string of JSON, cleaned first. */
const char *mg_event_json_text(const char *s, apr_pool_t *p);
/** Rows for the notifier (mg_event_hook.c). @param at  when it happened */
apr_status_t mg_event_hooks(const mg_batch_t *batch, const mg_event_t *event,
                            apr_int64_t event_id, apr_time_t at,
                            apr_pool_t *p);

#endif
