/* mg_hook.h - what is posted to a customer: fields and signature.
 *
 * Signature (manual, "Securing Webhooks"): timestamp, token (50 of [0-9a-z]),
 * signature = hex HMAC-SHA256(API key, timestamp . token). Made at each
 * attempt, so that a retry has a fresh one.
 */
#ifndef MG_HOOK_H
#define MG_HOOK_H

#include <jansson.h>

#include "mg_event.h"
#include "mg_mime.h"

typedef struct {
    const char *name, *value;                      /* a field, or */
    const void *file; apr_size_t file_len;         /* a file, or */
    void *stream;                                  /* one of file_len octets
                                                    * that is read by whoever
                                                    * posts it */
    const char *filename, *content_type;
} mg_field_t;

/** Array of mg_field_t to append to. */
void mg_hook_field(apr_array_header_t *fields, const char *name,
                   const char *value);
void mg_hook_sign(apr_array_header_t *fields, const char *api_key,
                  apr_time_t now, apr_pool_t *p);

/* --- webhooks of events --- */

typedef struct {
    const char *id, *name;
} mg_hook_campaign_t;

typedef struct {
    const char *event;            /* "bounced" */
    const char *recipient, *domain;
    const mg_message_t *message;  /* NULL: it is forgotten */
    const char *variables;        /* JSON, as this recipient's; or NULL */
    const json_t *said;           /* "fields" of the row's payload
                                     (mg_event_hook.c) */
    const apr_array_header_t *headers;    /* of mg_header_t; NULL: gone */
    const apr_array_header_t *campaigns;  /* of mg_hook_campaign_t; or NULL */
    const char *original;         /* the message for attachment-1, or NULL */
    apr_size_t original_len;
    void *stream;                 /* or so: mg_field_t */
} mg_hook_event_t;

/** Does this kind of event show the header, come with the message? */
int mg_hook_has_headers(const char *event);
int mg_hook_has_file(const char *event);
/**
 * All fields of an event in the manual's order, ours behind them (is-test-mode:
 * "true" of a message sent in test mode), then the message's variables, each
 * top-level key its own field.
 *
 * What the fields hold is in p: message and options may go before they are
 * posted; recipient, domain, original and stream may not.
 *
 * @param options  the message's, read; or NULL
 */
void mg_hook_event(apr_array_header_t *fields, const mg_hook_event_t *e,
                   const json_t *options, apr_pool_t *p);

/** The message a payload carries, or NULL. */
const char *mg_hook_original(const json_t *payload, apr_size_t *plen,
                             apr_pool_t *p);
/** A payload that needs nothing else of the store any more: all fields, and
 * the file if it has at most file_max octets. */
char *mg_hook_keep(const json_t *payload, const apr_array_header_t *fields,
                   apr_size_t file_max, apr_pool_t *p);
/** The fields of such a payload. @return 0: it is another */
int mg_hook_kept(apr_array_header_t *fields, const json_t *payload,
                 apr_pool_t *p);

/** A route's forward, parsed form; raw form if the URL ends in "mime". */
void mg_hook_forward(apr_array_header_t *fields, const mg_delivery_t *delivery,
                     const mg_message_t *message, const char *bytes,
                     apr_size_t len, apr_pool_t *p);
/** One attachment of a message that is stored at url, the i-th from 0. */
json_t *mg_hook_attachment(const mg_attachment_t *a, int i, const char *url,
                           apr_pool_t *p);
/** A message that store() keeps (reference, section 9): the parsed form without
 * files, but with where they are. */
void mg_hook_stored(apr_array_header_t *fields, const mg_parsed_t *parsed,
                    const mg_delivery_t *delivery, const mg_message_t *message,
                    const char *domain, const char *url, apr_pool_t *p);
/** application/x-www-form-urlencoded; only where no field is a file. */
char *mg_hook_urlencode(const apr_array_header_t *fields, apr_size_t *plen,
                        apr_pool_t *p);
int mg_hook_has_files(const apr_array_header_t *fields);
#endif
