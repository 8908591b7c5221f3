/* api_messages.c - POST /<domain>/messages: a message from its parts. */
#include "api.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_id.h"
#include "mg_log.h"
#include "mg_mime.h"
#include "mg_status.h"
#include "mg_summary.h"
#include "mg_text.h"

static int missing(api_t *q, const char *name)
{
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "'%s' parameter is missing", name);
}

static int read_from(api_t *q, api_outgoing_t *out, mg_compose_t *c)
{
    const char *text = api_param(q, "from");
    apr_array_header_t *list;

    if (!text || !*text)
        return missing(q, "from");
    if (mg_address_parse_list(&list, text, q->p) != APR_SUCCESS ||
        list->nelts != 1)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'from' parameter is not a valid address. "
                                 "please check documentation");
    c->from = APR_ARRAY_IDX(list, 0, const mg_address_t *);
    c->from_as_given = text;
    c->sender = api_outgoing_sender(q, out, c->from);
    out->from_header = text;
    out->sender = c->from->address;
    return API_GO_ON;
}

static int read_recipients(api_t *q, api_outgoing_t *out, mg_compose_t *c)
{
    apr_array_header_t *to = apr_array_make(q->p, 8, sizeof(mg_address_t *));
    apr_array_header_t *cc = apr_array_make(q->p, 8, sizeof(mg_address_t *));
    int found;

    c->to = to;
    c->cc = cc;
    if (api_outgoing_addresses(q, out, "to", to, &found))
        return API_REPLIED;
    if (!found)
        return missing(q, "to");
    return api_outgoing_addresses(q, out, "cc", cc, NULL) ||
           api_outgoing_addresses(q, out, "bcc", NULL, NULL);
}

/* The last field of that name that has anything in it. */
static int read_text(api_t *q, const char *name, const char **ptext,
                     apr_size_t *plen)
{
    const mg_form_field_t *f = NULL, *last = NULL;
    apr_status_t rv;

    while ((f = mg_form_find(q->form, name, f)))
        if (f->size)
            last = f;
    if (!last)
        return API_GO_ON;
    rv = mg_form_bytes(ptext, plen, last, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read a spooled field");
    return API_GO_ON;
}

static int read_texts(api_t *q, mg_compose_t *c)
{
    if (read_text(q, "text", &c->text, &c->text_len) ||
        read_text(q, "html", &c->html, &c->html_len))
        return API_REPLIED;
    if (!c->text && !c->html)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Need at least one of 'text' or 'html' "
                                 "parameters specified");
    return API_GO_ON;
}

/* attachment and inline, in the order they came. A field that is no file is
 * taken as one without a name; an empty one is a file nobody chose. */
static apr_array_header_t *read_parts(api_t *q)
{
    const apr_array_header_t *fields = mg_form_fields(q->form);
    apr_array_header_t *parts =
        apr_array_make(q->p, 4, sizeof(const mg_part_t *));
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const mg_form_field_t *f =
            &APR_ARRAY_IDX(fields, i, mg_form_field_t);
        int is_inline = strcmp(f->name, "inline") == 0;
        mg_part_t *part;

        if (!is_inline && strcmp(f->name, "attachment") != 0)
            continue;
        if (!f->size && (!f->filename || !*f->filename))
            continue;
        part = apr_pcalloc(q->p, sizeof(*part));
        part->filename = f->filename && *f->filename ? f->filename
                                                     : "attachment";
        part->content_type = f->content_type;
        part->bytes = f->value;
        part->len = (apr_size_t)f->size;
        part->file = f->file;
        part->offset = f->offset;
        part->is_inline = is_inline;
        APR_ARRAY_PUSH(parts, const mg_part_t *) = part;
    }
    return parts;
}

/* h:Message-Id, if it can be one; "<a@b>" gives "a@b". */
static const char *given_message_id(const mg_options_t *options, apr_pool_t *p)
{
    const char *value = apr_table_get(options->headers, "Message-Id"), *s;
    apr_size_t len;

    if (!value)
        return NULL;
    value += strspn(value, " \t<");
    len = strcspn(value, " \t<>");
    for (s = value; s < value + len; s++)
        if ((unsigned char)*s <= ' ' || (unsigned char)*s > '~')
            return NULL;
    return len && len < 900 ? apr_pstrmemdup(p, value, len) : NULL;
}

/* Beyond what the form keeps in memory it is no subject. */
static int read_subject(api_t *q, api_outgoing_t *out)
{
    out->subject = api_param(q, "subject");
    if (!out->subject && mg_form_find(q->form, "subject", NULL))
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'subject' parameter is too long");
    return API_GO_ON;
}

static void set_headers(api_t *q, api_outgoing_t *out, mg_compose_t *c)
{
    const char *id = given_message_id(out->options, q->p);

    apr_table_unset(out->options->headers, "Message-Id");
    out->message_id = id ? id : mg_id_message(q->domain.name, q->p);
    c->message_id = out->message_id;
    c->subject = out->subject;
    c->headers = out->options->headers;
    c->variables = mg_options_variables(out->options, q->p);
    c->received = api_outgoing_received(q, out);
    c->date = out->now;
}

static int compose(api_t *q, api_outgoing_t *out, const mg_compose_t *c)
{
    const char *error = NULL;
    mg_mime_out_t mime = { 0 };
    apr_status_t rv;

    rv = mg_mime_compose(&mime, c, q->config->spool_dir,
                         q->config->message_limit, &error, q->p);
    if (rv == MG_ELIMIT)
        return api_outgoing_too_big(q);
    if (rv == MG_EBADINPUT)
        return api_reply_message(q, HTTP_BAD_REQUEST, "%s",
                                 error ? error : "malformed header");
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot build a message");
    out->bytes = mime.bytes;
    out->file = mime.file;
    out->size = mime.size;
    out->composed = 1;
    return API_GO_ON;
}

int api_messages_send(api_t *q)
{
    api_outgoing_t out;
    mg_compose_t c = { 0 };

    if (api_outgoing_begin(q, &out) || api_outgoing_options(q, &out, NULL) ||
        read_from(q, &out, &c) || read_recipients(q, &out, &c) ||
        read_subject(q, &out) || read_texts(q, &c))
        return API_REPLIED;
    api_reader_done(q); /* composing 25 MB takes a while */
    c.parts = read_parts(q);
    set_headers(q, &out, &c);
    out.summary = mg_summary_of_parts(c.to, c.parts, q->p);
    if (compose(q, &out, &c))
        return API_REPLIED;
    if (api_outgoing_restrict(q, mg_mime_is_own(out.from_header,
                                                q->domain.name, q->p)))
        return API_REPLIED;
    return api_accept(q, &out);
}
