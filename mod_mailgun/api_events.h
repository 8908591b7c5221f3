/* api_events.h - between the files of GET /<domain>/events. */
#ifndef API_EVENTS_H
#define API_EVENTS_H

#include "api.h"
#include "mg_event_filter.h"
#include "mg_event_kind.h"
#include "mg_event_page.h"

/** What was asked for, and from where on. All of it is in a page's token. */
typedef struct {
    int ascending, pretty, limit;
    apr_int64_t low, high;    /* ids from low on, below high */
    apr_int64_t gap;          /* where the page begins (mg_event_page.h) */
    int back;                 /* the page that ends there, rather */
    const char *filters[MG_FILTER_MAX]; /* as given, or NULL */
} api_events_query_t;

/* api_events_token.c: base64url of a check sum and JSON. Opaque for clients,
 * and good for nothing that parameters are not good for. */
const char *api_events_token(const api_events_query_t *query, apr_pool_t *p);
/** @return MG_EBADINPUT unless it is one of ours, whole */
apr_status_t api_events_token_read(api_events_query_t *query,
                                   const char *token, apr_pool_t *p);

/* api_events_item.c: an event as the API shows it */

/** Its event and severity ("" for none); NULL: it is not shown. */
const char *api_events_name(mg_event_kind_t kind, const char **pseverity);
/** detail: the row's, parsed. A refusal is "failed" once, though it is a
 * bounce and a drop in the log. */
int api_events_is_repeat(const mg_event_row_t *row, const json_t *detail);
/** detail, parsed; {} if it is damaged. */
const json_t *api_events_detail(const mg_event_row_t *row, apr_pool_t *p);
/** tags, campaigns: what detail has, else what the message was given. */
const json_t *api_events_labels(const mg_event_row_t *row,
                                const json_t *detail, const char *name,
                                apr_pool_t *p);
json_t *api_events_item(api_t *q, const mg_event_row_t *row);

#endif
