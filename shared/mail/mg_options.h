/* mg_options.h - how to send: o:, h:, v: parameters of the API and their twins
 * among submitted header fields (X-Mailgun-Tag ...; reference, sections 2, 3).
 *
 * options (message.options) is a JSON object with those that were given:
 *   tags, campaigns            arrays of strings
 *   dkim, testmode, tracking, tracking-opens   booleans
 *   tracking-clicks            "yes", "no", "htmlonly"
 *   any other o:name           its last value as a string, under "name"
 * variables (message.variables) has a member for each v:name: the value as
 * text, or the object or array if it is JSON's text for one.
 */
#ifndef MG_OPTIONS_H
#define MG_OPTIONS_H

#include <apr_tables.h>
#include <apr_time.h>

#include "mg_json.h"

typedef struct {
    apr_pool_t *pool;
    json_t *options, *variables;  /* objects */
    apr_table_t *headers;         /* h: by name, may repeat */
    apr_time_t due_at;            /* o:deliverytime; 0: now */
    int testmode;
    apr_size_t bytes;             /* names and values together */
} mg_options_t;

#define MG_OPTIONS_LIMIT 16384

mg_options_t *mg_options_create(apr_pool_t *p);

/** True for names that begin with o:, h: or v:. */
int mg_options_is_name(const char *name);
/**
 * One parameter, its value valid UTF-8.
 * @param now  delivery times before it mean now; after now + 3 days: refused
 * @return MG_EBADINPUT with *perror in the API's words
 */
apr_status_t mg_options_add(mg_options_t *options, const char *name,
                            const char *value, apr_time_t now,
                            const char **perror);
/** The X-Mailgun-* fields of a submitted message (array of
 * mg_header_t). */
apr_status_t mg_options_from_headers(mg_options_t *options,
                                     const apr_array_header_t *headers,
                                     apr_time_t now, const char **perror);

/** Compact JSON, or NULL if there are none. */
char *mg_options_json(const mg_options_t *options, apr_pool_t *p);
char *mg_options_variables(const mg_options_t *options, apr_pool_t *p);

#endif
