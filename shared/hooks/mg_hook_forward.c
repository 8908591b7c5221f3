/* mg_hook_forward.c - a route's forward("http://...") (manual, "Routes"): the
 * parsed form, or the raw one where the URL ends in "mime".
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include "mg_hook.h"
#include "mg_json.h"
#include "mg_reply.h"
#include "mg_text.h"

/* "MIME-Version" and "mime-version" are posted as "Mime-Version". */
static const char *title_case(const char *name, apr_pool_t *p)
{
    char *copy = apr_pstrdup(p, name), *c;
    int first = 1;

    for (c = copy; *c; c++) {
        *c = (char)(first ? apr_toupper(*c) : apr_tolower(*c));
        first = !apr_isalnum(*c);
    }
    return copy;
}

static int is_raw(const char *url)
{
    apr_size_t path = strcspn(url, "?#"), len = strlen(url);

    return (len >= 4 && strcmp(url + len - 4, "mime") == 0)
           || (path >= 4 && strncmp(url + path - 4, "mime", 4) == 0);
}

static void add_envelope(apr_array_header_t *fields,
                         const mg_delivery_t *delivery,
                         const mg_message_t *message, const char *subject,
                         const char *from)
{
    mg_hook_field(fields, "recipient", delivery->recipient);
    mg_hook_field(fields, "sender", message->sender);
    mg_hook_field(fields, "subject", subject);
    mg_hook_field(fields, "from", from);
}

static void add_headers(apr_array_header_t *fields,
                        const apr_array_header_t *headers, apr_pool_t *p)
{
    int i;

    for (i = 0; i < headers->nelts; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(headers, i, mg_header_t);

        mg_hook_field(fields, title_case(h->name, p), h->value);
    }
}

static void add_raw(apr_array_header_t *fields, const mg_delivery_t *delivery,
                    const mg_message_t *message, const char *bytes,
                    apr_size_t len, apr_pool_t *p)
{
    apr_array_header_t *headers;
    const mg_header_t *from, *subject;

    mg_mime_headers(&headers, NULL, bytes, len, p);
    from = mg_mime_header(headers, "From");
    subject = mg_mime_header(headers, "Subject");
    add_envelope(fields, delivery, message, subject ? subject->value : "",
                 from ? from->value : "");
    add_headers(fields, headers, p);
    mg_hook_field(fields, "message-headers", mg_mime_headers_json(headers, p));
    bytes = mg_mime_utf8(&len, bytes, len, p);
    mg_hook_field(fields, "body-mime", mg_text_clean(bytes, len, p));
}

static void add_attachments(apr_array_header_t *fields,
                            const apr_array_header_t *attachments,
                            apr_pool_t *p)
{
    int i;

    mg_hook_field(fields, "attachment-count",
                  apr_itoa(p, attachments->nelts));
    for (i = 0; i < attachments->nelts; i++) {
        const mg_attachment_t *a = &APR_ARRAY_IDX(attachments, i,
                                                  mg_attachment_t);
        mg_field_t *field = apr_array_push(fields);

        memset(field, 0, sizeof(*field));
        field->name = apr_psprintf(p, "attachment-%d", i + 1);
        field->file = a->bytes;
        field->file_len = a->len;
        field->filename = a->filename;
        field->content_type = a->content_type;
    }
}

static void add_bodies(apr_array_header_t *fields, const mg_parsed_t *parsed,
                       apr_pool_t *p)
{
    const char *text, *signature;
    const apr_array_header_t *others = apr_table_elts(parsed->other_texts);
    const apr_table_entry_t *e = (const apr_table_entry_t *)others->elts;
    int i;

    mg_hook_field(fields, "body-plain", parsed->body_plain);
    mg_reply_strip_text(&text, &signature, parsed->body_plain, parsed->from,
                        p);
    mg_hook_field(fields, "stripped-text", text);
    mg_hook_field(fields, "stripped-signature", signature);
    if (parsed->body_html) {
        mg_hook_field(fields, "body-html", parsed->body_html);
        mg_hook_field(fields, "stripped-html",
                      mg_reply_strip_html(parsed->body_html, p));
    }
    for (i = 0; i < others->nelts; i++)
        mg_hook_field(fields, e[i].key, e[i].val);
}

/* All but attachments. */
static void add_parsed(apr_array_header_t *fields,
                       const mg_delivery_t *delivery,
                       const mg_message_t *message, const mg_parsed_t *parsed,
                       apr_pool_t *p)
{
    add_envelope(fields, delivery, message, parsed->subject, parsed->from);
    add_headers(fields, parsed->headers, p);
    add_bodies(fields, parsed, p);
}

static void add_rest(apr_array_header_t *fields, const mg_parsed_t *parsed,
                     apr_pool_t *p)
{
    mg_hook_field(fields, "message-headers",
                  mg_mime_headers_json(parsed->headers, p));
    if (parsed->content_id_map)
        mg_hook_field(fields, "content-id-map", parsed->content_id_map);
}

void mg_hook_forward(apr_array_header_t *fields, const mg_delivery_t *delivery,
                     const mg_message_t *message, const char *bytes,
                     apr_size_t len, apr_pool_t *p)
{
    mg_parsed_t *parsed;

    if (delivery->target && is_raw(delivery->target)) {
        add_raw(fields, delivery, message, bytes, len, p);
        return;
    }
    mg_mime_parse(&parsed, bytes, len, p);
    add_parsed(fields, delivery, message, parsed, p);
    add_attachments(fields, parsed->attachments, p);
    add_rest(fields, parsed, p);
}

/* --- stored messages --- */

json_t *mg_hook_attachment(const mg_attachment_t *a, int i, const char *url,
                           apr_pool_t *p)
{
    return json_pack("{s:s, s:I, s:s, s:s}", "url",
                     apr_psprintf(p, "%s/attachments/%d", url, i), "size",
                     (json_int_t)a->len, "name", a->filename, "content-type",
                     a->content_type);
}

void mg_hook_stored(apr_array_header_t *fields, const mg_parsed_t *parsed,
                    const mg_delivery_t *delivery, const mg_message_t *message,
                    const char *domain, const char *url, apr_pool_t *p)
{
    json_t *attachments = json_array();
    int i;

    add_parsed(fields, delivery, message, parsed, p);
    for (i = 0; i < parsed->attachments->nelts; i++)
        json_array_append_new(
            attachments,
            mg_hook_attachment(&APR_ARRAY_IDX(parsed->attachments, i,
                                              mg_attachment_t), i, url, p));
    mg_hook_field(fields, "domain", domain);
    mg_hook_field(fields, "message-url", url);
    mg_hook_field(fields, "attachments", mg_json_compact(attachments, p));
    json_decref(attachments);
    add_rest(fields, parsed, p);
}
