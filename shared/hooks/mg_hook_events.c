/* mg_hook_events.c - webhooks of events (manual, "Tracking Messages"; reference,
 * section 11).
 *
 * timestamp, token and signature follow at each attempt: mg_hook_sign().
 */
#include <apr_base64.h>
#include <apr_strings.h>
#include <string.h>
#include "mg_hook.h"
#include "mg_json.h"

enum {
    HEADERS = 1,     /* message-headers, Message-Id */
    FILE_TOO = 2,    /* the message as attachment-1 */
    LABELS = 4,      /* campaign-id, campaign-name, tag */
    MESSAGE_ID = 8,  /* message-id, which has no < > */
    TAG_FIELD = 16   /* tags as X-Mailgun-Tag: no "tag" is documented */
};

static const struct {
    const char *event;
    int has;
} shapes[] = {
    { "delivered", HEADERS | TAG_FIELD },
    { "bounced", HEADERS | FILE_TOO | LABELS },
    { "dropped", HEADERS | FILE_TOO | TAG_FIELD },
    { "complained", HEADERS | FILE_TOO | LABELS },
    { "opened", LABELS | MESSAGE_ID },
    { "clicked", LABELS | MESSAGE_ID },
    { "unsubscribed", LABELS | MESSAGE_ID },
};

static int shape_of(const char *event)
{
    size_t i;

    for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (strcmp(shapes[i].event, event) == 0)
            return shapes[i].has;
    return 0;
}

int mg_hook_has_file(const char *event)
{
    return (shape_of(event) & FILE_TOO) != 0;
}

int mg_hook_has_headers(const char *event)
{
    return (shape_of(event) & HEADERS) != 0;
}

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

/* A message that is not there any more is told of by what the store kept. */
static void add_headers(apr_array_header_t *fields, const mg_hook_event_t *e,
                        apr_pool_t *p)
{
    const mg_message_t *m = e->message;
    json_t *list;

    if (e->headers && e->headers->nelts) {
        mg_hook_field(fields, "message-headers",
                      mg_mime_headers_json(e->headers, p));
        return;
    }
    list = json_array();
    mg_json_bind(list, p);
    if (m && m->from_header && *m->from_header)
        json_array_append_new(list, json_pack("[ss]", "From",
                                              m->from_header));
    if (m)
        json_array_append_new(list, json_pack("[ss]", "Subject", m->subject));
    json_array_append_new(list, json_pack("[ss]", "To", e->recipient));
    if (m)
        json_array_append_new(
            list, json_pack("[ss]", "Message-Id",
                            apr_pstrcat(p, "<", m->message_id, ">", NULL)));
    mg_hook_field(fields, "message-headers", mg_json_compact(list, p));
}

static void add_said(apr_array_header_t *fields, const json_t *said,
                     apr_pool_t *p)
{
    json_t *value;
    const char *name;

    json_object_foreach((json_t *)said, name, value)
        if (json_is_string(value))
            mg_hook_field(fields, apr_pstrdup(p, name),
                          apr_pstrdup(p, json_string_value(value)));
}

static void add_strings(apr_array_header_t *fields, const char *name,
                        const json_t *list, apr_pool_t *p)
{
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one)
        if (json_is_string(one))
            mg_hook_field(fields, name,
                          apr_pstrdup(p, json_string_value(one)));
}

static void add_labels(apr_array_header_t *fields, const mg_hook_event_t *e,
                       const json_t *options, int has, apr_pool_t *p)
{
    const json_t *tags = json_object_get(options, "tags");
    int i;

    if (has & TAG_FIELD) {
        add_strings(fields, "X-Mailgun-Tag", tags, p);
        return;
    }
    for (i = 0; e->campaigns && i < e->campaigns->nelts; i++) {
        const mg_hook_campaign_t *c = &APR_ARRAY_IDX(e->campaigns, i,
                                                     mg_hook_campaign_t);

        mg_hook_field(fields, "campaign-id", apr_pstrdup(p, c->id));
        mg_hook_field(fields, "campaign-name", apr_pstrdup(p, c->name));
    }
    /* unsubscribed from all: "*" stands instead of the message's */
    if (json_object_get(e->said, "tag") == NULL)
        add_strings(fields, "tag", tags, p);
}

static void add_file(apr_array_header_t *fields, const mg_hook_event_t *e)
{
    int is_there = e->original || e->stream;
    mg_field_t *field;

    mg_hook_field(fields, "attachment-count", is_there ? "1" : "0");
    if (!is_there)
        return;
    field = apr_array_push(fields);
    memset(field, 0, sizeof(*field));
    field->name = "attachment-1";
    field->file = e->original;
    field->stream = e->stream;
    field->file_len = e->original_len;
    field->filename = "message.mime";
    field->content_type = "message/rfc822";
}

void mg_hook_event(apr_array_header_t *fields, const mg_hook_event_t *e,
                   const json_t *options, apr_pool_t *p)
{
    const mg_message_t *m = e->message;
    int has = shape_of(e->event);

    mg_hook_field(fields, "event", e->event);
    mg_hook_field(fields, "recipient", e->recipient);
    mg_hook_field(fields, "domain", e->domain);
    if (has & HEADERS)
        add_headers(fields, e, p);
    add_said(fields, e->said, p);
    add_labels(fields, e, options, has, p);
    if (m && has & HEADERS)
        mg_hook_field(fields, "Message-Id",
                      apr_pstrcat(p, "<", m->message_id, ">", NULL));
    if (m && has & MESSAGE_ID)
        mg_hook_field(fields, "message-id", apr_pstrdup(p, m->message_id));
    if (json_is_true(json_object_get(options, "testmode")))
        mg_hook_field(fields, "is-test-mode", "true");
    if (has & FILE_TOO)
        add_file(fields, e);
    add_variables(fields, e->variables, p);
}

/* --- what was given up --- */

static char *base64_of(const void *bytes, apr_size_t len, apr_pool_t *p)
{
    char *text = apr_palloc(p, (apr_size_t)apr_base64_encode_len((int)len));

    apr_base64_encode_binary(text, bytes, (int)len);
    return text;
}

char *mg_hook_keep(const json_t *payload, const apr_array_header_t *fields,
                   apr_size_t file_max, apr_pool_t *p)
{
    json_t *kept = json_copy((json_t *)payload), *posted = json_array();
    int i;

    mg_json_bind(kept, p);
    for (i = 0; i < fields->nelts; i++) {
        const mg_field_t *f = &APR_ARRAY_IDX(fields, i, mg_field_t);

        if (f->value)
            json_array_append_new(posted, json_pack("[ss]", f->name,
                                                    f->value));
        else if (f->file && f->file_len <= file_max)
            json_object_set_new(kept, "original", json_string(
                base64_of(f->file, f->file_len, p)));
    }
    json_object_set_new(kept, "posted", posted);
    return mg_json_compact(kept, p);
}

int mg_hook_kept(apr_array_header_t *fields, const json_t *payload,
                 apr_pool_t *p)
{
    const json_t *posted = json_object_get(payload, "posted"), *one;
    mg_hook_event_t e;
    size_t i;

    if (!json_is_array(posted))
        return 0;
    memset(&e, 0, sizeof(e));
    e.original = mg_hook_original(payload, &e.original_len, p);
    json_array_foreach(posted, i, one) {
        const char *name = json_string_value(json_array_get(one, 0));
        const char *value = json_string_value(json_array_get(one, 1));

        if (!name || !value)
            continue;
        if (strcmp(name, "attachment-count") == 0)
            add_file(fields, &e);
        else
            mg_hook_field(fields, apr_pstrdup(p, name),
                          apr_pstrdup(p, value));
    }
    return 1;
}

const char *mg_hook_original(const json_t *payload, apr_size_t *plen,
                             apr_pool_t *p)
{
    const char *text = json_string_value(json_object_get(payload,
                                                         "original"));
    char *bytes;

    *plen = 0;
    if (text == NULL)
        return NULL;
    bytes = apr_palloc(p, (apr_size_t)apr_base64_decode_len(text));
    *plen = (apr_size_t)apr_base64_decode(bytes, text);
    return bytes;
}
