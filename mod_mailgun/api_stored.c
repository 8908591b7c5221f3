/* api_stored.c - /domains/<domain>/messages/<key>: what a route's store() keeps
 * for the customer (mg_stored.h).
 *
 * Of a multiply-valued header field the JSON object shows the first;
 * message-headers has all.
 */
#include "api.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "mg_hook.h"
#include "mg_json.h"
#include "mg_message.h"
#include "mg_status.h"
#include "mg_stored.h"
#include "mg_text.h"

typedef struct {
    mg_stored_t *row;
    mg_message_t *message;
    const char *bytes;
    apr_size_t len;
    const char *url;
} stored_t;

static int not_found(api_t *q)
{
    return api_reply_message(q, HTTP_NOT_FOUND, "Message not found");
}

static int find(api_t *q, mg_stored_t **prow)
{
    apr_status_t rv;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_stored_get(prow, q->db, q->domain.id, q->args[1], q->p);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up a stored message");
    return API_GO_ON;
}

static int read_stored(api_t *q, stored_t *s)
{
    apr_status_t rv;

    if (find(q, &s->row))
        return API_REPLIED;
    rv = mg_message_get(&s->message, q->db, s->row->message_id, q->p);
    if (rv == APR_SUCCESS)
        rv = mg_message_whole(&s->bytes, &s->len, q->db, s->row->message_id,
                              s->message->size, q->p);
    if (rv == APR_ENOENT) /* it expired in between */
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read a stored message");
    api_reader_done(q);
    s->url = apr_pstrcat(q->p, api_url(q),
                         mg_stored_path(q->domain.name, s->row->key, q->p),
                         NULL);
    return API_GO_ON;
}

/* --- as JSON --- */

/* JSON text that was made for a form. */
static json_t *from_text(const char *text, apr_pool_t *p)
{
    const char *error;
    json_t *json = mg_json_parse(text, strlen(text), &error, p);

    return json ? json_incref(json) : json_null();
}

static void add_fields(json_t *all, const apr_array_header_t *fields,
                       apr_pool_t *p)
{
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const mg_field_t *f = &APR_ARRAY_IDX(fields, i, mg_field_t);
        const char *name = strcmp(f->name, "recipient") ? f->name
                                                        : "recipients";

        if (json_object_get(all, name))
            continue;
        if (!strcmp(name, "message-headers") || !strcmp(name, "attachments"))
            json_object_set_new(all, name, from_text(f->value, p));
        else if (strcmp(name, "content-id-map") != 0)
            json_object_set_new(all, name, json_string(f->value));
    }
}

/* {"<cid>": attachment} */
static json_t *content_ids(const mg_parsed_t *parsed, const char *url,
                           apr_pool_t *p)
{
    json_t *map = json_object();
    int i;

    for (i = 0; i < parsed->attachments->nelts; i++) {
        const mg_attachment_t *a = &APR_ARRAY_IDX(parsed->attachments, i,
                                                  mg_attachment_t);

        if (a->content_id)
            json_object_set_new(map, a->content_id,
                                mg_hook_attachment(a, i, url, p));
    }
    return map;
}

static int reply_parsed(api_t *q, const stored_t *s)
{
    apr_array_header_t *fields = apr_array_make(q->p, 32, sizeof(mg_field_t));
    mg_delivery_t delivery = { .recipient = s->row->recipient };
    mg_parsed_t *parsed;
    json_t *all = json_object();

    mg_mime_parse(&parsed, s->bytes, s->len, q->p);
    mg_hook_stored(fields, parsed, &delivery, s->message, q->domain.name,
                   s->url, q->p);
    add_fields(all, fields, q->p);
    json_object_set_new(all, "content-id-map",
                        content_ids(parsed, s->url, q->p));
    return api_reply_json(q, HTTP_OK, all);
}

static int reply_mime(api_t *q, const stored_t *s)
{
    apr_array_header_t *headers;
    const mg_header_t *from, *subject;
    apr_size_t len;
    const char *mime;

    if (mg_mime_headers(&headers, NULL, s->bytes, s->len, q->p) != APR_SUCCESS)
        headers = apr_array_make(q->p, 1, sizeof(mg_header_t));
    from = mg_mime_header(headers, "From");
    subject = mg_mime_header(headers, "Subject");
    mime = mg_mime_utf8(&len, s->bytes, s->len, q->p);
    return api_reply_json(
        q, HTTP_OK,
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "recipients", s->row->recipient,
                  "sender", s->message->sender, "from",
                  from ? from->value : "", "subject",
                  subject ? subject->value : "", "body-mime",
                  mg_text_clean(mime, len, q->p)));
}

int api_stored_get(api_t *q)
{
    const char *accept = apr_table_get(q->r->headers_in, "Accept");
    stored_t s;

    if (read_stored(q, &s))
        return API_REPLIED;
    return accept && ap_strcasestr(accept, "message/rfc2822")
               ? reply_mime(q, &s) : reply_parsed(q, &s);
}

/* --- attachments --- */

/* What a browser must not run stays a file, whatever its type says. */
static int reply_file(api_t *q, const mg_attachment_t *a)
{
    request_rec *r = q->r;
    const char *name = apr_pstrdup(q->p, a->filename);
    char *c;

    for (c = (char *)name; *c; c++)
        if ((unsigned char)*c < 0x20 || strchr("\"\\/\x7f", *c))
            *c = '_';
    api_headers(r);
    apr_table_setn(r->headers_out, "Content-Disposition",
                   apr_psprintf(q->p, "attachment; filename=\"%s\"", name));
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    r->status = HTTP_OK;
    ap_set_content_type(r, mg_text_breaks_header(a->content_type,
                                                 strlen(a->content_type))
                               ? "application/octet-stream"
                               : a->content_type);
    ap_set_content_length(r, (apr_off_t)a->len);
    if (!r->header_only)
        ap_rwrite(a->bytes, (int)a->len, r);
    return API_REPLIED;
}

int api_stored_attachment(api_t *q)
{
    const char *text = q->args[2];
    apr_int64_t n = apr_atoi64(text);
    mg_parsed_t *parsed;
    stored_t s;

    if (read_stored(q, &s))
        return API_REPLIED;
    mg_mime_parse(&parsed, s.bytes, s.len, q->p);
    if (text[strspn(text, "0123456789")] || strlen(text) > 9
        || n >= parsed->attachments->nelts)
        return api_reply_message(q, HTTP_NOT_FOUND, "Attachment not found");
    return reply_file(q, &APR_ARRAY_IDX(parsed->attachments, (int)n,
                                        mg_attachment_t));
}

/* --- DELETE --- */

static apr_status_t run_delete(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    (void)ptemp;
    return mg_stored_delete(db, ((const mg_stored_t *)baton)->id);
}

int api_stored_delete(api_t *q)
{
    mg_stored_t *row;
    apr_status_t rv;

    if (find(q, &row))
        return API_REPLIED;
    rv = api_unit(q, run_delete, NULL, row);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot delete a stored message");
    return api_reply_message(q, HTTP_OK, "Message has been deleted");
}
