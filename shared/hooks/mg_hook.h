/* mg_hook.h - what is posted to a customer: fields and signature.
 *
 * Signature (manual, "Securing Webhooks"): timestamp, token (50 of [0-9a-z]),
 * signature = hex HMAC-SHA256(API key, timestamp . token). Made at each
 * attempt, so that a retry has a fresh one.
 */
#ifndef MG_HOOK_H
#define MG_HOOK_H

#include "mg_event.h"
#include "mg_mime.h"

typedef struct {
    const char *name, *value;                      /* a field, or */
    const void *file; apr_size_t file_len;         /* a file */
    const char *filename, *content_type;
} mg_field_t;

/** Array of mg_field_t to append to. */
void mg_hook_field(apr_array_header_t *fields, const char *name,
                   const char *value);
void mg_hook_sign(apr_array_header_t *fields, const char *api_key,
                  apr_time_t now, apr_pool_t *p);
/** "delivered": event, recipient, domain, message-headers, Message-Id,
 * is-test-mode ("true", of a message sent in test mode) and the message's
 * variables, each top-level key its own field. */
void mg_hook_delivered(apr_array_header_t *fields, const mg_domain_t *domain,
                       const mg_message_t *message, const char *recipient,
                       const apr_array_header_t *headers, apr_pool_t *p);
/** A route's forward, parsed form; raw form if the URL ends in "mime". */
void mg_hook_forward(apr_array_header_t *fields, const mg_delivery_t *delivery,
                     const mg_message_t *message, const char *bytes,
                     apr_size_t len, apr_pool_t *p);
/** application/x-www-form-urlencoded; only where no field is a file. */
char *mg_hook_urlencode(const apr_array_header_t *fields, apr_size_t *plen,
                        apr_pool_t *p);
int mg_hook_has_files(const apr_array_header_t *fields);
#endif
