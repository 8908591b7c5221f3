/* api_messages_mime.c - POST /<domain>/messages.mime: a message the client
 * built. Its header is completed (Date, Message-Id, MIME-Version, Received),
 * its line ends become CRLF, the rest stays byte for byte. Who gets it say the
 * `to` parameters alone. */
#include "api.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_id.h"
#include "mg_log.h"
#include "mg_message.h"
#include "mg_mime.h"
#include "mg_status.h"
#include "mg_summary.h"
#include "mg_text.h"

#define BLOCK (256 * 1024)
#define HEAD_MAX (1024 * 1024)

typedef struct {
    const char *bytes;
    apr_size_t len;
    apr_array_header_t *headers;  /* of mg_header_t */
    apr_size_t body;              /* where the body begins */
} source_t;

static int not_a_file(api_t *q)
{
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "'message' parameter is not a file");
}

static int read_message(api_t *q, source_t *source)
{
    const mg_form_field_t *f = NULL, *last = NULL;
    apr_size_t head;
    apr_status_t rv;

    while ((f = mg_form_find(q->form, "message", f)))
        last = f;
    if (!last)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'message' parameter is missing");
    rv = mg_form_bytes(&source->bytes, &source->len, last, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read a spooled field");
    head = source->len < HEAD_MAX ? source->len : HEAD_MAX;
    rv = mg_mime_headers(&source->headers, &source->body, source->bytes, head,
                         q->p);
    if (rv != APR_SUCCESS || source->headers->nelts == 0)
        return not_a_file(q);
    return API_GO_ON;
}

/* From: of the message says who sends; it is not in the parameters. */
static void read_from(api_t *q, const source_t *source, api_outgoing_t *out,
                      mg_mime_fix_t *fix)
{
    const mg_header_t *from = mg_mime_header(source->headers, "From");
    const mg_header_t *subject = mg_mime_header(source->headers, "Subject");
    const mg_address_t *first = NULL;
    apr_array_header_t *list;

    out->subject = subject ? subject->value : "";
    out->from_header = from ? from->value : "";
    out->sender = apr_pstrcat(q->p, "postmaster@", q->domain.name, NULL);
    if (from &&
        mg_address_parse_list(&list, from->raw, q->p) == APR_SUCCESS &&
        list->nelts > 0) {
        first = APR_ARRAY_IDX(list, 0, const mg_address_t *);
        out->sender = first->address;
    }
    fix->sender = api_outgoing_sender(q, out, first);
}

static apr_status_t write_body(apr_file_t *file, apr_int64_t *psize,
                               const char *s, apr_size_t len, apr_pool_t *p)
{
    apr_pool_t *ptemp;
    apr_status_t rv = APR_SUCCESS;

    apr_pool_create(&ptemp, p);
    while (len && rv == APR_SUCCESS) {
        apr_size_t n = len < BLOCK ? len : BLOCK, out_len;
        char *out;

        if (n < len && s[n - 1] == '\r')
            n--; /* its LF comes with the next block, so it does too */
        out = mg_mime_crlf(s, n, &out_len, ptemp);
        rv = apr_file_write_full(file, out, out_len, NULL);
        *psize += (apr_int64_t)out_len;
        s += n;
        len -= n;
        apr_pool_clear(ptemp);
    }
    apr_pool_destroy(ptemp);
    return rv;
}

static apr_status_t finish_in_file(api_t *q, api_outgoing_t *out,
                                   const source_t *source, const char *head,
                                   apr_size_t head_len)
{
    char *name = apr_pstrcat(q->p, q->config->spool_dir, "/mime.XXXXXX", NULL);
    apr_off_t start = 0;
    apr_status_t rv;

    rv = apr_file_mktemp(&out->file, name,
                         APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE |
                             APR_FOPEN_EXCL | APR_FOPEN_BINARY, q->p);
    if (rv != APR_SUCCESS)
        return rv;
    apr_file_remove(name, q->p);
    rv = apr_file_write_full(out->file, head, head_len, NULL);
    out->size = (apr_int64_t)head_len;
    if (rv == APR_SUCCESS)
        rv = write_body(out->file, &out->size, source->bytes + source->body,
                        source->len - source->body, q->p);
    if (rv == APR_SUCCESS)
        rv = apr_file_seek(out->file, APR_SET, &start);
    return rv;
}

static void finish_in_memory(api_t *q, api_outgoing_t *out,
                             const source_t *source, const char *head,
                             apr_size_t head_len)
{
    apr_size_t len;
    const char *body = mg_mime_crlf(source->bytes + source->body,
                                    source->len - source->body, &len, q->p);
    char *all = apr_palloc(q->p, head_len + len + 1);

    memcpy(all, head, head_len);
    memcpy(all + head_len, body, len);
    out->bytes = all;
    out->size = (apr_int64_t)(head_len + len);
}

static int finish(api_t *q, api_outgoing_t *out, const source_t *source,
                  const mg_mime_fix_t *fix)
{
    const char *head;
    apr_size_t head_len;
    apr_status_t rv;

    rv = mg_mime_fix_headers(&head, &head_len, &out->message_id,
                             source->bytes, source->body, fix, q->p);
    if (rv == MG_EBADINPUT || rv == MG_ELIMIT)
        return not_a_file(q);
    /* line ends can double a text: decide by what it may become */
    if (rv == APR_SUCCESS &&
        head_len + 2 * (source->len - source->body) <= MG_CONTENT_INLINE)
        finish_in_memory(q, out, source, head, head_len);
    else if (rv == APR_SUCCESS)
        rv = finish_in_file(q, out, source, head, head_len);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot complete a message");
    if (out->size > q->config->message_limit)
        return api_outgoing_too_big(q);
    return API_GO_ON;
}

int api_messages_send_mime(api_t *q)
{
    api_outgoing_t out;
    source_t source = { 0 };
    mg_mime_fix_t fix = { 0 };
    int found;

    if (!q->is_multipart)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Invalid request content type. Expecting "
                                 "'multipart/form-data' but got '%s'",
                                 q->content_type);
    if (api_outgoing_begin(q, &out) ||
        api_outgoing_addresses(q, &out, "to", NULL, &found))
        return API_REPLIED;
    if (!found)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'to' parameter is missing");
    if (read_message(q, &source) ||
        api_outgoing_options(q, &out, source.headers))
        return API_REPLIED;
    api_reader_done(q);
    fix.new_message_id = mg_id_message(q->domain.name, q->p);
    fix.received = api_outgoing_received(q, &out);
    fix.date = out.now;
    fix.set = out.options->headers;
    fix.variables = mg_options_variables(out.options, q->p);
    read_from(q, &source, &out, &fix);
    out.summary = mg_summary_of_mime(source.headers,
                                     source.bytes + source.body,
                                     source.len - source.body, q->p);
    if (api_outgoing_restrict(q, mg_mime_is_from(source.headers,
                                                 q->domain.name, q->p)))
        return API_REPLIED;
    if (finish(q, &out, &source, &fix))
        return API_REPLIED;
    return api_accept(q, &out);
}
