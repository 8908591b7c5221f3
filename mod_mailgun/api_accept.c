/* api_accept.c - a message is taken over: what messages and messages.mime
 * share, from recipients to the commit and the answer.
 *
 * No 200 before the unit with message, content, deliveries and events is
 * committed. Content too large for one unit is written ahead, in slices.
 */
#include "api.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_campaign.h"
#include "mg_id.h"
#include "mg_log.h"
#include "mg_message.h"
#include "mg_mime.h"
#include "mg_render.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define TRIES 3                        /* ids that are taken */
#define ADDRESSES_MAX (1024 * 1024)    /* bytes of one field */
#define VARIABLES_MAX (4 * 1024 * 1024)
#define HEADER_MAX (256 * 1024)        /* of a message, looked at by routes */

/* first steps */

static int bad_request(api_t *q, const char *text)
{
    return api_reply_message(q, HTTP_BAD_REQUEST, "%s", text);
}

static int read_options(api_t *q, api_outgoing_t *out)
{
    const apr_array_header_t *fields = mg_form_fields(q->form);
    const char *error = NULL;
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const mg_form_field_t *f =
            &APR_ARRAY_IDX(fields, i, mg_form_field_t);
        const char *value = "";

        if (!mg_options_is_name(f->name))
            continue;
        if (f->value)
            value = mg_text_clean(f->value, (apr_size_t)f->size, q->p);
        else
            out->options->bytes += (apr_size_t)f->size; /* spooled: too many */
        if (mg_options_add(out->options, f->name, value, out->now, &error) !=
            APR_SUCCESS)
            return bad_request(q, error);
    }
    return API_GO_ON;
}

static int becomes_header(const char *name)
{
    static const char *const names[] = { "from", "to", "cc", "bcc", "subject",
                                         NULL };
    int i;

    for (i = 0; names[i]; i++)
        if (strcmp(name, names[i]) == 0)
            return 1;
    return strncmp(name, "h:", 2) == 0;
}

/* Behind this, a NUL is U+FFFD as in all text. */
static int refuse_nul(api_t *q)
{
    const apr_array_header_t *fields = mg_form_fields(q->form);
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const mg_form_field_t *f =
            &APR_ARRAY_IDX(fields, i, mg_form_field_t);

        if (f->value && becomes_header(f->name) &&
            memchr(f->value, '\0', (size_t)f->size))
            return api_reply_message(q, HTTP_BAD_REQUEST, "'%s' parameter "
                                     "contains a NUL character", f->name);
    }
    return API_GO_ON;
}

static int read_variables(api_t *q, api_outgoing_t *out)
{
    const mg_form_field_t *f =
        mg_form_find(q->form, "recipient-variables", NULL);
    const char *bytes, *error;
    apr_size_t len;
    apr_status_t rv;

    if (!f || !f->size)
        return API_GO_ON;
    if (f->size > VARIABLES_MAX)
        return bad_request(
            q, "'recipient-variables' parameter is larger than 4 MB");
    rv = mg_form_bytes(&bytes, &len, f, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read a spooled field");
    if (mg_options_recipient_variables(out->options, bytes, len, &error) !=
        APR_SUCCESS)
        return bad_request(q, error);
    return API_GO_ON;
}

int api_outgoing_begin(api_t *q, api_outgoing_t *out)
{
    memset(out, 0, sizeof(*out));
    out->now = mg_now();
    out->recipients = apr_array_make(q->p, 8, sizeof(mg_address_t *));
    if (strcmp(q->domain.state, "disabled") == 0)
        return api_reply_message(q, HTTP_FORBIDDEN,
                                 "Domain %s is not allowed to send: disabled",
                                 q->domain.name);
    return refuse_nul(q);
}

static int find_campaigns(api_t *q, const api_outgoing_t *out)
{
    apr_array_header_t *ids = mg_options_campaigns(out->options, q->p);
    const char *unknown;
    apr_status_t rv;

    if (ids->nelts == 0)
        return API_GO_ON;
    if (api_reader(q))
        return API_REPLIED;
    rv = mg_campaign_unknown(&unknown, q->db, q->domain.id, ids);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look for campaigns");
    if (unknown)
        return api_reply_message(q, HTTP_BAD_REQUEST, "Campaign not found: %s",
                                 unknown);
    return API_GO_ON;
}

int api_outgoing_options(api_t *q, api_outgoing_t *out,
                         const apr_array_header_t *headers)
{
    const char *error;

    out->options = mg_options_create(q->p);
    out->options->ignores_campaigns = q->version == 3;
    if (headers && mg_options_from_headers(out->options, headers, out->now,
                                           &error) != APR_SUCCESS)
        return bad_request(q, error);
    return read_options(q, out) || read_variables(q, out) ||
           find_campaigns(q, out);
}

/* recipients */

static int bad_address(api_t *q, const char *name)
{
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "'%s' parameter is not a valid address. please "
                             "check documentation", name);
}

static int too_many(api_t *q)
{
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "Too many recipients, max is %d",
                             API_RECIPIENTS_MAX);
}

static int field_addresses(api_t *q, const mg_form_field_t *f,
                           apr_array_header_t *list)
{
    apr_array_header_t *found;
    const char *bytes;
    apr_size_t len;
    apr_status_t rv;

    if (f->size > ADDRESSES_MAX)
        return too_many(q);
    rv = mg_form_bytes(&bytes, &len, f, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read a spooled field");
    if (mg_address_parse_list(&found, mg_text_clean(bytes, len, q->p), q->p) !=
            APR_SUCCESS || found->nelts == 0)
        return bad_address(q, f->name);
    if (found->nelts > API_RECIPIENTS_MAX)
        return too_many(q);
    apr_array_cat(list, found);
    return API_GO_ON;
}

int api_outgoing_addresses(api_t *q, api_outgoing_t *out, const char *name,
                           apr_array_header_t *list, int *pfound)
{
    const mg_form_field_t *f = NULL;
    int n = 0;

    if (!list)
        list = apr_array_make(q->p, 8, sizeof(mg_address_t *));
    while ((f = mg_form_find(q->form, name, f))) {
        if (!f->size)
            continue; /* "cc=" of a form nobody filled in */
        n++;
        if (field_addresses(q, f, list))
            return API_REPLIED;
        if (out->recipients->nelts + list->nelts > API_RECIPIENTS_MAX)
            return too_many(q);
    }
    apr_array_cat(out->recipients, list);
    if (pfound)
        *pfound = n;
    return API_GO_ON;
}

/* An address that is in to and in cc gets one copy. */
static apr_array_header_t *each_once(const apr_array_header_t *all,
                                     apr_pool_t *p)
{
    apr_array_header_t *list =
        apr_array_make(p, all->nelts, sizeof(mg_address_t *));
    apr_hash_t *seen = apr_hash_make(p);
    int i;

    for (i = 0; i < all->nelts; i++) {
        const mg_address_t *a = APR_ARRAY_IDX(all, i, const mg_address_t *);
        const char *key = mg_text_lower(a->address, p);

        if (apr_hash_get(seen, key, APR_HASH_KEY_STRING))
            continue;
        apr_hash_set(seen, key, APR_HASH_KEY_STRING, a);
        APR_ARRAY_PUSH(list, const mg_address_t *) = a;
    }
    return list;
}

/* headers */

const char *api_outgoing_received(api_t *q, const api_outgoing_t *out)
{
    return apr_psprintf(q->p, "by %s with HTTP; %s", q->config->hostname,
                        mg_time_rfc5322(out->now, q->p));
}

const char *api_outgoing_sender(api_t *q, const api_outgoing_t *out,
                                const mg_address_t *given)
{
    const char *set = apr_table_get(out->options->headers, "From");
    apr_array_header_t *list;

    if (set && mg_address_parse_list(&list, set, q->p) == APR_SUCCESS)
        given = APR_ARRAY_IDX(list, 0, const mg_address_t *);
    return given ? mg_address_sender(given, q->domain.name, q->p) : NULL;
}

int api_outgoing_too_big(api_t *q)
{
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "Message is too big: maximum is %d MB",
                             (int)(q->config->message_limit / (1024 * 1024)));
}

int api_outgoing_restrict(api_t *q, int is_own)
{
    if (!q->domain.restricts_from || is_own)
        return API_GO_ON;
    return api_reply_message(q, HTTP_FORBIDDEN,
                             "Domain %s is not allowed to send: From must be "
                             "an address of the domain", q->domain.name);
}

/* Each of those that parameters set: one may be given twice. */
static int set_fields_are_own(api_t *q, const api_outgoing_t *out)
{
    const apr_array_header_t *all = apr_table_elts(out->options->headers);
    const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts;
    int i;

    for (i = 0; i < all->nelts; i++)
        if ((strcasecmp(e[i].key, "From") == 0 ||
             strcasecmp(e[i].key, "Sender") == 0) &&
            !mg_mime_is_own(e[i].val, q->domain.name, q->p))
            return 0;
    return 1;
}

/* the unit */

typedef struct {
    mg_message_t message;   /* first: is_there() is given it */
    api_child_t *child;
} accept_t;

static apr_status_t run_accept(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    accept_t *a = baton;

    api_child_context(a->child, db);
    return mg_message_accept(db, &a->message, ptemp);
}

static void draw_ids(mg_message_t *message)
{
    int i;

    message->id = mg_id_next();
    for (i = 0; i < message->envelopes->nelts; i++)
        APR_ARRAY_IDX(message->envelopes, i, mg_envelope_t).id = mg_id_next();
}

static apr_status_t store_content(api_t *q, const api_outgoing_t *out,
                                  mg_message_t *message)
{
    api_writer_t *writer;
    apr_status_t rv;

    rv = api_writer_borrow(&writer, q->child);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_message_store_content(writer->db, message->id, out->file,
                                  out->size, q->p);
    message->content_is_stored = 1;
    api_writer_return(writer, rv == APR_SUCCESS);
    return rv;
}

/* deliveries */

static apr_interval_time_t retry_limit(const api_t *q,
                                       const mg_options_t *options)
{
    apr_interval_time_t limit = q->config->retry_limit;

    return options->deliver_within && options->deliver_within < limit
               ? options->deliver_within : limit;
}

/* What routes of our own recipients look at. */
static apr_status_t read_header(api_t *q, api_outgoing_t *out)
{
    apr_size_t len = HEADER_MAX;
    const char *bytes = out->bytes;
    apr_off_t where = 0;
    apr_status_t rv = APR_SUCCESS;
    char *buf;

    if (out->header)
        return APR_SUCCESS;
    if ((apr_int64_t)len > out->size)
        len = (apr_size_t)out->size;
    if (!bytes) {
        bytes = buf = apr_palloc(q->p, len);
        rv = apr_file_seek(out->file, APR_SET, &where);
        if (rv == APR_SUCCESS)
            rv = apr_file_read_full(out->file, buf, len, NULL);
    }
    return rv == APR_SUCCESS ? mg_mime_headers(&out->header, NULL, bytes, len,
                                               q->p) : rv;
}

static apr_status_t route_one(api_t *q, api_outgoing_t *out,
                              apr_array_header_t *envelopes,
                              const mg_address_t *to)
{
    int i = envelopes->nelts;
    mg_wanted_t wanted;
    apr_status_t rv;

    rv = mg_routing_look(&wanted, q->worker->routing, q->db, to,
                         MG_ROUTING_OUTGOING, q->account_id, q->p);
    if (rv == APR_SUCCESS && wanted.routes != MG_RULES_NO)
        rv = read_header(q, out);
    if (rv == APR_SUCCESS)
        rv = mg_routing_decide(envelopes, &wanted, q->worker->routing, q->db,
                               NULL, out->header, q->p);
    for (; rv == APR_SUCCESS && i < envelopes->nelts; i++) {
        mg_envelope_t *e = &APR_ARRAY_IDX(envelopes, i, mg_envelope_t);

        e->recipient_as_given = to->as_given;
        e->variables = mg_options_of_recipient(out->options, to->address,
                                               q->p);
        e->due_at = out->options->due_at ? out->options->due_at : out->now;
        e->expires_at = e->due_at + retry_limit(q, out->options);
    }
    return rv;
}

/* Nothing is delivered, so nobody is asked who wants it. */
static void test_all(const api_outgoing_t *out, apr_array_header_t *envelopes)
{
    int i;

    for (i = 0; i < out->recipients->nelts; i++) {
        const mg_address_t *to =
            APR_ARRAY_IDX(out->recipients, i, const mg_address_t *);
        mg_envelope_t *e = apr_array_push(envelopes);

        memset(e, 0, sizeof(*e));
        e->transport = MG_TRANSPORT_SMTP;
        e->recipient = to->address;
        e->recipient_as_given = to->as_given;
    }
}

static int route_all(api_t *q, api_outgoing_t *out, accept_t *a)
{
    apr_array_header_t *envelopes = apr_array_make(
        q->p, out->recipients->nelts + 1, sizeof(mg_envelope_t));
    apr_status_t rv = APR_SUCCESS;
    int i;

    a->message.envelopes = envelopes;
    if (out->options->testmode) {
        test_all(out, envelopes);
        return API_GO_ON;
    }
    if (api_reader(q))
        return API_REPLIED;
    for (i = 0; i < out->recipients->nelts && rv == APR_SUCCESS; i++)
        rv = route_one(q, out, envelopes,
                       APR_ARRAY_IDX(out->recipients, i, mg_address_t *));
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot route a message");
    return API_GO_ON;
}

/* In a batch that was composed from parameters each sees itself alone in To;
 * a MIME's To is the client's own. */
static int look_for_variables(api_t *q, api_outgoing_t *out)
{
    int flags = out->composed && out->options->recipient_variables
                    ? MG_RENDER_OWN_TO : 0;
    json_t *options = out->options->options;
    mg_render_track_t track = { q->domain.tracking, NULL };
    const char *error = NULL;
    apr_status_t rv;

    mg_tracking_of_message(&track.tracking, options);
    rv = out->bytes ? mg_render_check(options, &error, flags, &track,
                                      out->bytes, (apr_size_t)out->size, q->p)
                    : mg_render_check_file(options, &error, flags, &track,
                                           out->file, out->size, q->p);
    if (track.left_alone)
        mg_log(MG_LOG_INFO, APR_SUCCESS, "domain %s: message %s: links are left"
               " as they are: %s", q->domain.name, out->message_id,
               track.left_alone);
    if (rv == MG_EBADINPUT)
        return api_reply_message(q, HTTP_BAD_REQUEST, "%s", error);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read a message");
    return API_GO_ON;
}

static void fill_message(api_t *q, const api_outgoing_t *out,
                         mg_message_t *message)
{
    message->account_id = q->account_id;
    message->domain_id = q->domain.id;
    message->direction = MG_OUTGOING;
    message->testmode = out->options->testmode;
    message->method = "http";
    message->message_id = out->message_id;
    message->sender = out->sender;
    message->from_header = out->from_header;
    message->subject = out->subject ? out->subject : "";
    message->options = mg_options_json(out->options, q->p);
    message->variables = mg_options_variables(out->options, q->p);
    message->summary = out->summary;
    message->size = out->size;
    message->created_at = out->now;
    message->bytes = out->bytes;
    message->bytes_len = out->bytes ? (apr_size_t)out->size : 0;
}

static apr_status_t commit(api_t *q, const api_outgoing_t *out, accept_t *a)
{
    apr_status_t rv = MG_ECONFLICT;
    int tries;

    api_reader_done(q);
    for (tries = 0; tries < TRIES && rv == MG_ECONFLICT; tries++) {
        draw_ids(&a->message);
        rv = APR_SUCCESS;
        if (!out->bytes)
            rv = store_content(q, out, &a->message);
        if (rv == APR_SUCCESS)
            rv = api_unit(q, run_accept, mg_message_is_there, a);
    }
    return rv;
}

int api_accept(api_t *q, api_outgoing_t *out)
{
    accept_t *a = apr_pcalloc(q->p, sizeof(*a));
    apr_status_t rv;

    if (api_child_is_full(q->child))
        return api_reply_failed(q, MG_EFULL, "below MailgunMinFreeSpace: "
                                             "a message is refused");
    if (out->options->bad_variables)
        mg_log(MG_LOG_INFO, APR_SUCCESS, "domain %s: message %s: an "
               "X-Mailgun-Variables is no JSON object and stays as it is",
               q->domain.name, out->message_id);
    if (api_outgoing_restrict(q, set_fields_are_own(q, out)) ||
        look_for_variables(q, out))
        return API_REPLIED;
    out->recipients = each_once(out->recipients, q->p);
    a->child = q->child;
    fill_message(q, out, &a->message);
    if (route_all(q, out, a))
        return API_REPLIED;
    rv = commit(q, out, a);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot store a message");
    mg_log(MG_LOG_DEBUG, APR_SUCCESS, "domain %s: message %s taken: %d "
           "recipients, %" APR_INT64_T_FMT " bytes", q->domain.name,
           out->message_id, out->recipients->nelts, out->size);
    return api_reply_json(
        q, HTTP_OK,
        json_pack("{s:s, s:s}", "message", "Queued. Thank you.", "id",
                  apr_pstrcat(q->p, "<", out->message_id, ">", NULL)));
}
