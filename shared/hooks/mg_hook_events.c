/* mg_hook_events.c - webhooks of events (manual, "Tracking Messages").
 *
 * timestamp, token and signature follow at each attempt: mg_hook_sign().
 */
#include <apr_strings.h>
#include <string.h>
#include "mg_hook.h"
#include "mg_json.h"
#include "mg_sending.h"

/* Each top-level key is its own field; what is no string is JSON text. On a
 * name clash the event's field comes first (reference, section 11). */
static void add_variables(apr_array_header_t *fields, const char *variables,
                          apr_pool_t *p)
{
    const char *error, *key;
    json_t *all, *value;

    if (variables == NULL || *variables == '\0')
        return;
    all = mg_json_parse(variables, strlen(variables), &error, p);
    if (!json_is_object(all))
        return;
    json_object_foreach(all, key, value) {
        if (json_is_string(value))
            mg_hook_field(fields, apr_pstrdup(p, key),
                          apr_pstrdup(p, json_string_value(value)));
        else
            mg_hook_field(fields, apr_pstrdup(p, key),
                          mg_json_compact(value, p));
    }
}

static int is_test(const char *options, apr_pool_t *p)
{
    mg_sending_t sending;

    mg_sending_read(&sending, options, p);
    return sending.testmode;
}

void mg_hook_delivered(apr_array_header_t *fields, const mg_domain_t *domain,
                       const mg_message_t *message, const char *recipient,
                       const apr_array_header_t *headers, apr_pool_t *p)
{
    mg_hook_field(fields, "event", "delivered");
    mg_hook_field(fields, "recipient", recipient);
    mg_hook_field(fields, "domain", domain->name);
    mg_hook_field(fields, "message-headers",
                  mg_mime_headers_json(headers, p));
    mg_hook_field(fields, "Message-Id",
                  apr_pstrcat(p, "<", message->message_id, ">", NULL));
    if (is_test(message->options, p))
        mg_hook_field(fields, "is-test-mode", "true");
    add_variables(fields, message->variables, p);
}
