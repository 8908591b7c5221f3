/* mg_options.h - how to send: o:, h:, v: parameters of the API and their twins
 * among submitted header fields (X-Mailgun-Tag ...; reference, sections 2, 3).
 *
 * options (message.options) is a JSON object with those that were given:
 *   tags, campaigns            arrays of strings, at most three of each
 *   dkim, testmode, tracking, tracking-opens,
 *   require-tls, skip-verification   booleans
 *   tracking-clicks            "yes", "no", "htmlonly"
 *   deliverytime               as it was given; the time is in due_at
 *   deliver-within             seconds
 *   batch                      true: there are recipient variables
 *   any other o:name           its last value as a string, under "name"
 * variables (message.variables) has a member for each v:name: the value as
 * text, or the object or array if it is JSON's text for one.
 *
 * Where a wrong value could do harm (test mode, TLS) it is refused; a wrong
 * one of dkim or tracking is kept as a string and counts as not said.
 */
#ifndef MG_OPTIONS_H
#define MG_OPTIONS_H

#include <apr_tables.h>
#include <apr_time.h>

#include "mg_json.h"

typedef struct {
    apr_pool_t *pool;
    json_t *options, *variables;  /* objects */
    json_t *recipient_variables;  /* by address in lower case; NULL: no batch */
    apr_table_t *headers;         /* h: by name, may repeat */
    apr_time_t due_at;            /* o:deliverytime; 0: now */
    apr_interval_time_t deliver_within;  /* 0: not said */
    int testmode;
    int ignores_campaigns;        /* set it: version 3 of the API has none */
    apr_size_t bytes;             /* names and values together */
    const char *bad_variables;    /* the first X-Mailgun-Variables that is no
                                   * JSON object, or NULL: the message is taken
                                   * with that field as it is, the caller says
                                   * so in the log */
} mg_options_t;

#define MG_OPTIONS_LIMIT 16384    /* without recipient variables */
#define MG_TAGS_MAX 3
#define MG_TAG_LENGTH_MAX 128
#define MG_CAMPAIGNS_MAX 3

mg_options_t *mg_options_create(apr_pool_t *p);

/** True for names that begin with o:, h: or v:. */
int mg_options_is_name(const char *name);
/**
 * One parameter, its value valid UTF-8. h:X-Mailgun-Tag and the like are
 * options too.
 * @param now  delivery times before it mean now; after now + 3 days: refused
 * @return MG_EBADINPUT with *perror in the API's words; they may hold the
 *         value, which may be long and not ASCII
 */
apr_status_t mg_options_add(mg_options_t *options, const char *name,
                            const char *value, apr_time_t now,
                            const char **perror);
/** The X-Mailgun-* fields of a submitted message (array of mg_header_t).
 * Parameters that are to win over them are added after this.
 * @return as mg_options_add() */
apr_status_t mg_options_from_headers(mg_options_t *options,
                                     const apr_array_header_t *headers,
                                     apr_time_t now, const char **perror);
/** recipient-variables: {"address": {"key": value}}; makes it a batch.
 * @return as mg_options_add() */
apr_status_t mg_options_recipient_variables(mg_options_t *options,
                                            const char *text, apr_size_t len,
                                            const char **perror);

/** Is that field an instruction to us, and taken out of what is delivered?
 * Labels (X-Mailgun-Tag, -Campaign-Id, -Dkim, -Track*) stay, as real samples
 * have them. X-Mailgun-Variables stays too: the valid ones as one field
 * (mg_mime_fix_t.variables). */
int mg_options_removes_field(const char *name);

/* what came of it */

/** Compact JSON, or NULL if there are none. */
char *mg_options_json(const mg_options_t *options, apr_pool_t *p);
char *mg_options_variables(const mg_options_t *options, apr_pool_t *p);
/** What recipient variables say of that address, any case; or NULL. */
char *mg_options_of_recipient(const mg_options_t *options, const char *address,
                              apr_pool_t *p);
/** Array of const char *; whether they exist says mg_campaign_unknown(). */
apr_array_header_t *mg_options_campaigns(const mg_options_t *options,
                                         apr_pool_t *p);

#endif
