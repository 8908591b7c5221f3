/* smtp_submission.c - see smtp_submission.h. RFC 6409 8, RFC 5321 4.4. */
#include <apr_strings.h>
#include <string.h>

#include "mg_campaign.h"
#include "mg_id.h"
#include "mg_log.h"
#include "mg_mime.h"
#include "mg_mime_batch.h"
#include "mg_options.h"
#include "mg_render.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "smtp_session.h"
#include "smtp_submission.h"

#define WHY_MAX 300 /* RFC 5321 4.5.3.1.5: a reply line has 512 octets */

/* The API's words, which may hold what the client sent: one line of ASCII. */
static smtp_reply_t refuse(smtp_tx_t *tx, const char *words)
{
    char *c, *why = apr_pstrmemdup(tx->pool, words,
                                   strnlen(words, WHY_MAX));

    for (c = why; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    tx->why = why;
    return SAY_OPTIONS;
}

/* --- a batch: what is sent is within what came --- */

/* The last octets of what came, at most MG_MIME_BATCH_TAIL of them. */
static apr_status_t read_tail(const char **ptail, apr_size_t *plen,
                              const smtp_tx_t *tx)
{
    const smtp_body_t *body = &tx->body;
    apr_int64_t all = (apr_int64_t)body->len + body->file_size;
    apr_size_t len = all < MG_MIME_BATCH_TAIL ? (apr_size_t)all
                                              : MG_MIME_BATCH_TAIL;
    apr_size_t in_file = body->file_size < (apr_int64_t)len
                             ? (apr_size_t)body->file_size : len;
    apr_off_t where = body->file_size - (apr_int64_t)in_file;
    char *tail = apr_palloc(tx->pool, len);
    apr_status_t rv = APR_SUCCESS;

    memcpy(tail, body->buf + body->len - (len - in_file), len - in_file);
    if (in_file > 0)
        rv = apr_file_seek(body->file, APR_SET, &where);
    if (in_file > 0 && rv == APR_SUCCESS)
        rv = apr_file_read_full(body->file, tail + len - in_file, in_file,
                                NULL);
    *ptail = tail;
    *plen = len;
    return rv;
}

static void cut_content(smtp_body_t *body, apr_int64_t end)
{
    if (end > (apr_int64_t)body->len) {
        body->file_size = end - (apr_int64_t)body->len;
        return;
    }
    body->len = (apr_size_t)end;
    body->file_size = 0;
}

/* *pbegin: where the message begins that is sent. */
static smtp_reply_t unwrap(smtp_tx_t *tx, mg_options_t *options,
                           apr_size_t *pbegin)
{
    smtp_body_t *body = &tx->body;
    apr_int64_t all = (apr_int64_t)body->len + body->file_size;
    const char *tail, *error = NULL;
    apr_size_t tail_len, end;
    mg_mime_batch_t batch;
    apr_status_t rv;

    rv = mg_mime_batch_read(&batch, &error, body->buf, body->len, tx->pool);
    if (rv == APR_SUCCESS)
        rv = mg_options_recipient_variables(options, batch.variables,
                                            batch.variables_len, &error);
    if (rv != APR_SUCCESS)
        return error ? refuse(tx, error) : SAY_TRY_LATER;
    if (read_tail(&tail, &tail_len, tx) != APR_SUCCESS)
        return SAY_SPOOL;
    rv = mg_mime_batch_end(&end, &batch, tail, tail_len);
    if (rv != APR_SUCCESS
        || all - (apr_int64_t)(tail_len - end) < (apr_int64_t)batch.begin)
        return refuse(tx, "the end of multipart/mailgun-variables is missing");
    cut_content(body, all - (apr_int64_t)(tail_len - end));
    *pbegin = batch.begin;
    return SAY_OK;
}

/* --- who it is from --- */

/* A list of more takes too long for a loop that others wait for: it counts as
 * none. */
#define ADDRESSES_MAX (8 * 1024)

static apr_array_header_t *addresses_in(const char *text, apr_pool_t *p)
{
    apr_array_header_t *list;

    if (text == NULL || strlen(text) > ADDRESSES_MAX
        || mg_address_parse_list(&list, text, p) != APR_SUCCESS)
        return apr_array_make(p, 1, sizeof(mg_address_t *));
    return list;
}

static smtp_reply_t check_from(smtp_tx_t *tx,
                               const apr_array_header_t *headers)
{
    const smtp_login_t *login = &tx->session->login;
    worker_t *worker = tx->session->server->worker;
    const mg_domain_t *domain;
    apr_status_t rv;

    rv = mg_domain_cached_by_id(&domain, worker->domains, worker->db,
                                login->domain_id);
    if (rv != APR_SUCCESS) {
        worker_db_check(worker, rv);
        return rv == APR_ENOENT ? SAY_LOGIN_GONE : SAY_TRY_LATER;
    }
    if (strcmp(domain->state, "disabled") == 0)
        return SAY_LOGIN_GONE;
    mg_tracking_of_domain(&tx->track.tracking, domain,
                          mg_tracking_is_forced(worker->config));
    if (!mg_domain_restricts_from(domain, worker->config->restrict_from))
        return SAY_OK;
    if (!mg_mime_header(headers, "From")
        || !mg_mime_is_from(headers, login->domain, tx->pool))
        return SAY_FROM_NOT_YOURS;
    return SAY_OK;
}

static smtp_reply_t check_campaigns(smtp_tx_t *tx, const mg_options_t *options)
{
    worker_t *worker = tx->session->server->worker;
    apr_array_header_t *ids = mg_options_campaigns(options, tx->pool);
    const char *unknown = NULL;
    apr_status_t rv;

    if (ids->nelts == 0)
        return SAY_OK;
    rv = mg_campaign_unknown(&unknown, worker->db,
                             tx->session->login.domain_id, ids);
    if (rv != APR_SUCCESS) {
        worker_db_check(worker, rv);
        return SAY_TRY_LATER;
    }
    if (unknown != NULL)
        return refuse(tx, apr_pstrcat(tx->pool, "Campaign not found: ",
                                      unknown, NULL));
    return SAY_OK;
}

static void log_variables(const smtp_tx_t *tx, const char *message_id)
{
    mg_log(MG_LOG_INFO, APR_SUCCESS, "domain %s: message %s: an "
           "X-Mailgun-Variables is no JSON object and stays as it is",
           tx->session->login.domain, message_id);
}

/* --- the header --- */

static smtp_reply_t fix_header(smtp_tx_t *tx, mg_options_t *options,
                               const apr_array_header_t *headers,
                               apr_size_t begin, apr_size_t header_len,
                               const char **pmessage_id)
{
    const smtp_session_t *s = tx->session;
    const mg_header_t *h = mg_mime_header(headers, "From");
    /* as it stands: what is decoded may read otherwise */
    apr_array_header_t *from = addresses_in(h ? h->raw : NULL, tx->pool);
    smtp_body_t *body = &tx->body;
    mg_mime_fix_t fix;
    smtp_reply_t reply;
    apr_status_t rv;

    reply = check_from(tx, headers);
    if (reply == SAY_OK)
        reply = check_campaigns(tx, options);
    if (reply != SAY_OK)
        return reply;
    memset(&fix, 0, sizeof(fix));
    fix.new_message_id = mg_id_message(s->login.domain, tx->pool);
    fix.received = smtp_tx_received(tx, " ");
    fix.date = tx->now;
    fix.variables = mg_options_variables(options, tx->pool);
    if (from->nelts > 0)
        fix.sender = mg_address_sender(
            APR_ARRAY_IDX(from, 0, const mg_address_t *), s->login.domain,
            tx->pool);
    rv = mg_mime_fix_headers(&tx->head, &tx->head_len, pmessage_id,
                             body->buf + begin, header_len, &fix, tx->pool);
    if (rv != APR_SUCCESS)
        return rv == MG_EBADINPUT ? SAY_BAD_HEADER : SAY_TRY_LATER;
    tx->rest = body->buf + begin + header_len;
    tx->rest_len = body->len - begin - header_len;
    if (options->bad_variables)
        log_variables(tx, *pmessage_id);
    return SAY_OK;
}

smtp_reply_t smtp_submission_fix(smtp_tx_t *tx,
                                 const apr_array_header_t *headers,
                                 apr_size_t header_len,
                                 const char **pmessage_id)
{
    mg_options_t *options = mg_options_create(tx->pool);
    smtp_body_t *body = &tx->body;
    apr_array_header_t *inner;
    const char *error = NULL;
    apr_size_t begin = 0;
    smtp_reply_t reply;

    tx->options = options;
    tx->headers = headers;
    if (mg_options_from_headers(options, headers, tx->now, &error)
        != APR_SUCCESS)
        return refuse(tx, error);
    if (mg_mime_is_batch(headers)) {
        reply = unwrap(tx, options, &begin);
        if (reply != SAY_OK)
            return reply;
        if (mg_mime_headers(&inner, &header_len, body->buf + begin,
                            body->len - begin, tx->pool) != APR_SUCCESS)
            return SAY_BAD_HEADER;
        tx->headers = inner;
        if (mg_options_from_headers(options, inner, tx->now, &error)
            != APR_SUCCESS)
            return refuse(tx, error);
    }
    if (body->file_size > 0 && begin + header_len == body->len)
        return SAY_BAD_HEADER; /* 256 KB of header */
    return fix_header(tx, options, tx->headers, begin, header_len, pmessage_id);
}

/* --- variables in the content --- */

#define LOOK_INLINE (16 * 1024) /* of links a loop looks for: 2 ms of html */

/* What is scanned in another thread has memory of its own. */
static apr_pool_t *own_pool(const smtp_tx_t *tx)
{
    apr_allocator_t *allocator;
    apr_pool_t *p;

    apr_allocator_create(&allocator);
    apr_pool_create_ex(&p, tx->pool, NULL, allocator);
    apr_allocator_owner_set(allocator, p);
    return p;
}

/* The content is in the store, or about to be; here it is read once more. */
static apr_status_t look_through(smtp_tx_t *tx)
{
    mg_render_scan_t *scan = mg_render_scan_begin(0, &tx->track,
                                                  tx->look_pool);
    char *buf = apr_palloc(tx->look_pool, MG_CONTENT_SLICE);
    apr_int64_t offset = 0;
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS && offset < tx->size) {
        apr_size_t n = tx->size - offset < MG_CONTENT_SLICE
                           ? (apr_size_t)(tx->size - offset)
                           : MG_CONTENT_SLICE;

        rv = smtp_tx_content(tx, offset, buf, n);
        if (rv == APR_SUCCESS)
            mg_render_scan_feed(scan, buf, n);
        offset += (apr_int64_t)n;
    }
    if (rv != APR_SUCCESS) {
        tx->look_error = "the message cannot be read again";
        return rv;
    }
    return mg_render_scan_end(scan, tx->options->options, &tx->look_error);
}

/* Content that is in one piece. */
static apr_status_t check_whole(const smtp_tx_t *tx, const char **perror,
                                mg_render_track_t *track, apr_pool_t *p)
{
    const mg_message_t *m =
        &APR_ARRAY_IDX(tx->shares, 0, smtp_share_t *)->message;

    return mg_render_check(tx->options->options, perror, 0, track, m->bytes,
                           m->bytes_len, p);
}

void smtp_submission_look(smtp_tx_t *tx)
{
    if (tx->ahead)
        tx->look_rv = look_through(tx);
    else
        tx->look_rv = check_whole(tx, &tx->look_error, &tx->track,
                                  tx->look_pool);
    tx->is_looked = 1;
}

void smtp_submission_stored(smtp_tx_t *tx, apr_int64_t offset,
                            const char *bytes, apr_size_t len)
{
    if (tx->scan == NULL || offset != tx->scanned)
        return;
    mg_render_scan_feed(tx->scan, bytes, len);
    tx->scanned += (apr_int64_t)len;
}

static apr_status_t find_variables(smtp_tx_t *tx, const char **perror)
{
    if (tx->is_looked) {
        *perror = tx->look_error;
        return tx->look_rv;
    }
    if (tx->scan != NULL)
        return mg_render_scan_end(tx->scan, tx->options->options, perror);
    return check_whole(tx, perror, &tx->track, tx->pool);
}

/* --- the message --- */

/* "Bob Lee <bob@x>" of To and Cc, by "bob@x". */
static apr_hash_t *names_of(const apr_array_header_t *headers, apr_pool_t *p)
{
    static const char *const fields[] = { "To", "Cc" };
    apr_hash_t *names = apr_hash_make(p);
    int i, k;

    for (k = 0; k < 2; k++) {
        const mg_header_t *h = mg_mime_header(headers, fields[k]);
        const apr_array_header_t *list = addresses_in(h ? h->value : NULL, p);

        for (i = 0; i < list->nelts; i++) {
            const mg_address_t *a = APR_ARRAY_IDX(list, i,
                                                  const mg_address_t *);

            if (a->name != NULL && *a->name)
                apr_hash_set(names, mg_text_lower(a->address, p),
                             APR_HASH_KEY_STRING, a->as_given);
        }
    }
    return names;
}

static void fill_envelopes(smtp_tx_t *tx, const mg_message_t *m)
{
    const mg_options_t *options = tx->options;
    apr_interval_time_t limit = tx->session->server->worker->config
                                    ->retry_limit;
    apr_hash_t *names = NULL;
    int i;

    if (options->deliver_within && options->deliver_within < limit)
        limit = options->deliver_within;
    if (json_object_get(options->options, "template"))
        names = names_of(tx->headers, tx->pool);
    for (i = 0; i < m->envelopes->nelts; i++) {
        mg_envelope_t *e = &APR_ARRAY_IDX(m->envelopes, i, mg_envelope_t);
        const char *name = NULL;

        if (names != NULL)
            name = apr_hash_get(names, mg_text_lower(e->recipient, tx->pool),
                                APR_HASH_KEY_STRING);
        if (name != NULL)
            e->recipient_as_given = name;
        if (options->recipient_variables)
            e->variables = mg_options_of_recipient(options, e->recipient,
                                                   tx->pool);
        e->due_at = options->due_at ? options->due_at : tx->now;
        e->expires_at = e->due_at + limit;
    }
}

smtp_reply_t smtp_submission_begin(smtp_tx_t *tx, mg_message_t *m)
{
    m->testmode = tx->options->testmode;
    mg_tracking_of_message(&tx->track.tracking, tx->options->options);
    if (mg_tracking_is_on(&tx->track.tracking)
        && (tx->ahead || tx->size > LOOK_INLINE)) {
        tx->look_pool = own_pool(tx);
        return SAY_OK;
    }
    if (tx->ahead) {
        tx->scan = mg_render_scan_begin(0, NULL, own_pool(tx));
        return SAY_OK;
    }
    return smtp_submission_complete(tx, m) == APR_SUCCESS ? SAY_OK
                                                          : SAY_OPTIONS;
}

apr_status_t smtp_submission_complete(smtp_tx_t *tx, mg_message_t *m)
{
    mg_options_t *options = tx->options;
    const char *error = NULL;

    if (tx->is_complete)
        return tx->completed;
    tx->is_complete = 1;
    if (find_variables(tx, &error) != APR_SUCCESS) {
        refuse(tx, error ? error : "variables cannot be filled in");
        return tx->completed = MG_EBADINPUT;
    }
    if (tx->track.left_alone)
        mg_log(MG_LOG_INFO, APR_SUCCESS, "domain %s: message %s: links are left"
               " as they are: %s", tx->session->login.domain, m->message_id,
               tx->track.left_alone);
    smtp_tx_dsn_option(tx, options->options);
    m->options = mg_options_json(options, tx->pool);
    m->variables = mg_options_variables(options, tx->pool);
    fill_envelopes(tx, m);
    return APR_SUCCESS;
}
