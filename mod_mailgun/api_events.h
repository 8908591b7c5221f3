/* api_events.h - between the files of GET /<domain>/events. */
#ifndef API_EVENTS_H
#define API_EVENTS_H

#include <apr_hash.h>

#include "api.h"
#include "mg_event_filter.h"
#include "mg_event_kind.h"
#include "mg_event_page.h"
#include "mg_json_out.h"

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
/** detail: the row's. A refusal is "failed" once, though it is a bounce and a
 * drop in the log. */
int api_events_is_repeat(const mg_event_row_t *row,
                         const mg_json_view_t *detail, apr_pool_t *p);
/** The row's detail; empty if it is damaged. */
void api_events_detail(mg_json_view_t *detail, const mg_event_row_t *row,
                       apr_pool_t *p);
/** tags, campaigns: what detail has, else what the message was given. */
mg_json_span_t api_events_labels(const mg_event_row_t *row,
                                 const mg_json_view_t *detail,
                                 const char *name, apr_pool_t *p);

/** What the items of a page have in common. */
typedef struct {
    api_t *q;
    mg_json_out_t *out;
    apr_hash_t *campaigns;    /* id to name, of those that were looked up */
    apr_pool_t *pitem;        /* cleared with each item */
} api_events_show_t;
/** Writes one. */
void api_events_item(const api_events_show_t *page,
                     const mg_event_row_t *row);

#endif
