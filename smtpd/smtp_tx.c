/* smtp_tx.c - see smtp_tx.h. */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_id.h"
#include "mg_json.h"
#include "mg_log.h"
#include "mg_message_content.h"
#include "mg_mime.h"
#include "mg_status.h"
#include "mg_summary.h"
#include "mg_text.h"
#include "mg_time.h"
#include "smtp_inbound.h"
#include "smtp_session.h"
#include "smtp_spam.h"
#include "smtp_submission.h"

#define HOPS_MAX 100 /* RFC 5321 6.3: at least 100 Received: are no loop */
#define NAME_MAX_SHOWN 200

smtp_tx_t *smtp_tx_create(smtp_session_t *s, const char *sender)
{
    apr_pool_t *p;
    smtp_tx_t *tx;

    apr_pool_create_ex(&p, s->pool, NULL, s->server->allocator);
    tx = apr_pcalloc(p, sizeof(*tx));
    APR_RING_ELEM_INIT(tx, link);
    tx->session = s;
    tx->pool = p;
    tx->sender = sender;
    tx->incoming = !s->authenticated;
    tx->rcpts = apr_array_make(p, 1, sizeof(smtp_rcpt_t *));
    tx->shares = apr_array_make(p, 1, sizeof(smtp_share_t *));
    return tx;
}

/* --- recipients --- */

/* Who repeats a recipient gets one delivery, as everywhere. Mailboxes of ours
 * are found in any case; whether others' are is theirs to know. */
static const char *recipient_key(const smtp_tx_t *tx, const char *address)
{
    return tx->incoming ? mg_text_lower(address, tx->pool) : address;
}

static int is_repeated(const smtp_tx_t *tx, const char *key)
{
    if (tx->rcpts->nelts == 0)
        return 0;
    if (tx->seen == NULL)
        return strcmp(tx->first_key, key) == 0;
    return apr_hash_get(tx->seen, key, APR_HASH_KEY_STRING) != NULL;
}

/* The one that was taken last. */
static void remember(smtp_tx_t *tx, const char *key)
{
    if (tx->rcpts->nelts == 1) {
        tx->first_key = key;
        return;
    }
    if (tx->seen == NULL) {
        tx->seen = apr_hash_make(tx->pool);
        apr_hash_set(tx->seen, tx->first_key, APR_HASH_KEY_STRING, "");
    }
    apr_hash_set(tx->seen, key, APR_HASH_KEY_STRING, "");
}

/* RFC 5321 4.1.1.3: "<postmaster>" is always somebody: here the one of the
 * login's domain, of our host's, or of the domain our host is in. */
static const char *postmaster_domain(const smtp_session_t *s, int widely)
{
    const char *host = s->server->worker->config->hostname;
    const char *dot;

    if (s->authenticated)
        return s->login.domain;
    dot = strchr(host, '.');
    return widely && dot ? dot + 1 : host;
}

static const mg_address_t *postmaster_at(const smtp_tx_t *tx,
                                         const char *domain)
{
    mg_address_t *a = apr_pcalloc(tx->pool, sizeof(*a));

    a->local = "postmaster";
    a->domain = mg_text_lower(domain, tx->pool);
    a->address = apr_pstrcat(tx->pool, "postmaster@", a->domain, NULL);
    a->as_given = a->address;
    return a;
}

smtp_share_t *smtp_tx_add_share(smtp_tx_t *tx, apr_int64_t account_id,
                                apr_int64_t domain_id, const char *domain)
{
    smtp_share_t *share = apr_pcalloc(tx->pool, sizeof(*share));

    share->account_id = account_id;
    share->domain_id = domain_id;
    share->domain = apr_pstrdup(tx->pool, domain);
    share->added = apr_pstrdup(tx->pool, "");
    share->envelopes = apr_array_make(tx->pool, 2, sizeof(mg_envelope_t));
    APR_ARRAY_PUSH(tx->shares, smtp_share_t *) = share;
    return share;
}

void smtp_tx_request_dsn(apr_array_header_t *envelopes, int first,
                         const mg_dsn_rcpt_t *dsn, apr_pool_t *p)
{
    const char *payload = mg_dsn_payload(dsn, p);
    int i;

    for (i = first; payload != NULL && i < envelopes->nelts; i++) {
        mg_envelope_t *e = &APR_ARRAY_IDX(envelopes, i, mg_envelope_t);

        if (e->transport == MG_TRANSPORT_SMTP
            || e->transport == MG_TRANSPORT_LMTP)
            e->payload = payload;
    }
}

static apr_status_t look(smtp_tx_t *tx, const mg_address_t *address,
                         const mg_dsn_rcpt_t *dsn)
{
    smtp_server_t *server = tx->session->server;
    smtp_rcpt_t *rcpt = apr_pcalloc(tx->pool, sizeof(*rcpt));
    apr_status_t rv;

    rcpt->dsn = *dsn;
    rv = mg_routing_look(&rcpt->wanted, server->routing, server->worker->db,
                         address, tx->incoming ? MG_ROUTING_INCOMING
                                               : MG_ROUTING_OUTGOING,
                         tx->incoming ? 0 : tx->session->login.account_id,
                         tx->pool);
    tx->nobody_domain = 0;
    if (rv == APR_ENOENT) {
        tx->nobody_account = rcpt->wanted.account_id;
        tx->nobody_domain = rcpt->wanted.domain_id;
    }
    if (rv == APR_SUCCESS)
        APR_ARRAY_PUSH(tx->rcpts, smtp_rcpt_t *) = rcpt;
    return rv;
}

static smtp_reply_t route_verdict(smtp_tx_t *tx, apr_status_t rv)
{
    worker_t *worker = tx->session->server->worker;

    if (rv == APR_SUCCESS)
        return SAY_RECIPIENT_OK;
    if (rv == MG_EDENIED)
        return SAY_RELAYING;
    if (rv == APR_ENOENT)
        return SAY_UNKNOWN_USER;
    if (rv == MG_EADDRESS)
        return SAY_BAD_RECIPIENT;
    worker_db_check(worker, rv);
    return SAY_TRY_LATER;
}

smtp_reply_t smtp_tx_recipient(smtp_tx_t *tx, const mg_address_t *address,
                               const mg_dsn_rcpt_t *dsn)
{
    smtp_session_t *s = tx->session;
    int bare = address->domain == NULL;
    const char *key;
    smtp_reply_t reply;
    apr_status_t rv;

    if (bare)
        address = postmaster_at(tx, postmaster_domain(s, 0));
    if (address->domain[0] == '[')
        return SAY_LITERAL; /* it could name our own inner hosts */
    key = recipient_key(tx, address->address);
    if (is_repeated(tx, key)) {
        s->idles++; /* for ever would fill the memory */
        return SAY_RECIPIENT_OK;
    }
    rv = look(tx, address, dsn);
    if (bare && tx->incoming && (rv == MG_EDENIED || rv == APR_ENOENT)) {
        address = postmaster_at(tx, postmaster_domain(s, 1));
        rv = look(tx, address, dsn);
        if (rv == MG_EDENIED)
            rv = APR_ENOENT;
    }
    reply = route_verdict(tx, rv);
    if (reply == SAY_RECIPIENT_OK)
        remember(tx, key);
    return reply;
}

/* --- the body --- */

/* RFC 3848: ESMTP, S for TLS, A for a login. */
static const char *with_protocol(const smtp_session_t *s)
{
    static const char *const names[] = { "ESMTP", "ESMTPS", "ESMTPA",
                                         "ESMTPSA" };

    if (!s->esmtp)
        return s->tls || s->authenticated
                   ? names[s->tls + 2 * s->authenticated] : "SMTP";
    return names[s->tls + 2 * s->authenticated];
}

char *smtp_tx_received(const smtp_tx_t *tx, const char *fold)
{
    const smtp_session_t *s = tx->session;
    const char *ip = conn_peer_ip(s->conn);
    SSL *ssl = conn_ssl(s->conn);
    /* who else got it is nobody's business: "for" only with one recipient */
    const mg_address_t *only =
        tx->rcpts->nelts == 1
            ? APR_ARRAY_IDX(tx->rcpts, 0, const smtp_rcpt_t *)->wanted.to
            : NULL;
    const char *tls = "";

    if (ssl != NULL)
        tls = apr_psprintf(tx->pool, "%s(using %s with cipher %s)", fold,
                           SSL_get_version(ssl), SSL_get_cipher_name(ssl));
    return apr_psprintf(tx->pool, "from %s ([%s%s])%s%sby %s with %s id %"
                        APR_UINT64_T_HEX_FMT "%s%s%s%s;%s%s", s->helo,
                        strchr(ip, ':') ? "IPv6:" : "", ip, tls, fold,
                        s->server->worker->config->hostname,
                        with_protocol(s), (apr_uint64_t)tx->id,
                        only ? fold : "", only ? "for <" : "",
                        only ? only->address : "", only ? ">" : "", fold,
                        mg_time_rfc5322(mg_now(), tx->pool));
}

void smtp_tx_begin_body(smtp_tx_t *tx)
{
    smtp_server_t *server = tx->session->server;
    const mg_config_t *config = server->worker->config;
    const char *line;

    tx->id = mg_id_next();
    smtp_body_init(&tx->body, config->message_limit, config->spool_dir,
                   &server->spares, tx->pool);
    if (!tx->incoming)
        return; /* smtp_submission.c rewrites the header anyway */
    line = apr_pstrcat(tx->pool, "Received: ",
                       smtp_tx_received(tx, "\r\n\t"), "\r\n", NULL);
    smtp_body_put(&tx->body, line, strlen(line));
}

/* --- messages --- */

static int count_hops(const apr_array_header_t *headers)
{
    int i, n = 0;

    for (i = 0; i < headers->nelts; i++) {
        if (strcasecmp(APR_ARRAY_IDX(headers, i, mg_header_t).name,
                       "Received") == 0)
            n++;
    }
    return n;
}

static const char *header_value(const apr_array_header_t *headers,
                                const char *name)
{
    const mg_header_t *h = mg_mime_header(headers, name);

    return h != NULL ? h->value : "";
}

/* Without < >; one of ours where there is none that can be shown. */
static const char *message_id_of(smtp_tx_t *tx,
                                 const apr_array_header_t *headers)
{
    const char *value = header_value(headers, "Message-Id");
    const char *open = strchr(value, '<');
    const char *close = open ? strchr(open, '>') : NULL;
    const char *c;

    if (open && close && close - open > 1 && close - open < 1000) {
        for (c = open + 1; c < close && *c > ' ' && *c < 127; c++)
            ;
        if (c == close)
            return apr_pstrmemdup(tx->pool, open + 1,
                                  (apr_size_t)(close - open - 1));
    }
    return mg_id_message(APR_ARRAY_IDX(tx->rcpts, 0, smtp_rcpt_t *)
                             ->wanted.domain, tx->pool);
}

/* Small content: in one piece for the unit. */
static void join_content(smtp_tx_t *tx, smtp_share_t *share)
{
    apr_size_t len = tx->head_len + share->added_len + tx->rest_len;
    char *bytes = apr_palloc(tx->pool, len + 1);

    memcpy(bytes, tx->head, tx->head_len);
    memcpy(bytes + tx->head_len, share->added, share->added_len);
    memcpy(bytes + len - tx->rest_len, tx->rest, tx->rest_len);
    share->message.bytes = bytes;
    share->message.bytes_len = len;
}

/* As mg_sending.h has it. */
void smtp_tx_dsn_option(const smtp_tx_t *tx, json_t *options)
{
    json_t *dsn;

    if (tx->dsn.ret == NULL && tx->dsn.envid == NULL)
        return;
    dsn = json_object();
    if (tx->dsn.ret != NULL)
        json_object_set_new(dsn, "ret", json_string(tx->dsn.ret));
    if (tx->dsn.envid != NULL)
        json_object_set_new(dsn, "envid", json_string(tx->dsn.envid));
    json_object_set_new(options, "dsn", dsn);
}

static const char *incoming_options(const smtp_tx_t *tx)
{
    json_t *options;
    const char *text;

    if (tx->dsn.ret == NULL && tx->dsn.envid == NULL)
        return NULL;
    options = json_object();
    smtp_tx_dsn_option(tx, options);
    text = mg_json_compact(options, tx->pool);
    json_decref(options);
    return text;
}

/* When each delivery is given up. */
static void fill_expiry(const smtp_tx_t *tx, smtp_share_t *share)
{
    int i;

    for (i = 0; i < share->envelopes->nelts; i++)
        APR_ARRAY_IDX(share->envelopes, i, mg_envelope_t).expires_at =
            tx->now + tx->session->server->worker->config->retry_limit;
}

static smtp_reply_t fill_message(smtp_tx_t *tx, smtp_share_t *share, int i)
{
    mg_message_t *m = &share->message;

    m->id = i == 0 ? tx->id : mg_id_next();
    m->account_id = share->account_id;
    m->domain_id = share->domain_id;
    m->direction = tx->incoming ? MG_INCOMING : MG_OUTGOING;
    m->method = "smtp";
    m->message_id = tx->message_id;
    m->sender = tx->sender;
    m->from_header = header_value(tx->headers, "From");
    m->subject = header_value(tx->headers, "Subject");
    m->size = tx->size + (apr_int64_t)share->added_len;
    m->created_at = tx->now;
    m->envelopes = share->envelopes;
    m->content_is_stored = tx->ahead;
    if (!tx->ahead)
        join_content(tx, share);
    m->summary = i == 0 ? mg_summary_of_mime(tx->headers, tx->rest,
                                             tx->rest_len, tx->pool)
                        : APR_ARRAY_IDX(tx->shares, 0,
                                        smtp_share_t *)->message.summary;
    if (!tx->incoming)
        return smtp_submission_begin(tx, m);
    m->options = incoming_options(tx);
    fill_expiry(tx, share);
    return SAY_OK;
}

/* A customer's own mail is one message, of his domain. */
static smtp_reply_t decide_outgoing(smtp_tx_t *tx)
{
    const smtp_login_t *login = &tx->session->login;
    smtp_server_t *server = tx->session->server;
    smtp_share_t *share = smtp_tx_add_share(tx, login->account_id,
                                            login->domain_id, login->domain);
    apr_status_t rv;
    int i;

    for (i = 0; i < tx->rcpts->nelts; i++) {
        const smtp_rcpt_t *rcpt = APR_ARRAY_IDX(tx->rcpts, i,
                                                const smtp_rcpt_t *);
        int first = share->envelopes->nelts;

        rv = mg_routing_decide(share->envelopes, &rcpt->wanted,
                               server->routing, server->worker->db, NULL,
                               tx->headers, tx->pool);
        if (rv != APR_SUCCESS) {
            worker_db_check(server->worker, rv);
            return SAY_TRY_LATER;
        }
        smtp_tx_request_dsn(share->envelopes, first, &rcpt->dsn, tx->pool);
    }
    return SAY_OK;
}

static smtp_reply_t make_messages(smtp_tx_t *tx)
{
    smtp_reply_t reply = SAY_OK;
    int i;

    tx->size = (apr_int64_t)(tx->head_len + tx->rest_len)
               + tx->body.file_size;
    /* what lost header fields may be small, and in a file all the same */
    tx->ahead = tx->body.file_size > 0;
    for (i = 0; i < tx->shares->nelts; i++)
        if (tx->size + (apr_int64_t)APR_ARRAY_IDX(tx->shares, i, smtp_share_t *)
                           ->added_len > MG_CONTENT_INLINE)
            tx->ahead = 1;
    for (i = 0; reply == SAY_OK && i < tx->shares->nelts; i++)
        reply = fill_message(tx, APR_ARRAY_IDX(tx->shares, i, smtp_share_t *),
                             i);
    return reply;
}

smtp_reply_t smtp_tx_read(smtp_tx_t *tx)
{
    smtp_body_t *body = &tx->body;
    apr_array_header_t *headers;
    apr_size_t header_len;

    tx->now = mg_now();
    if (mg_mime_headers(&headers, &header_len, body->len ? body->buf : "",
                        body->len, tx->pool) != APR_SUCCESS)
        return SAY_BAD_HEADER;
    if (count_hops(headers) > HOPS_MAX)
        return SAY_LOOP;
    if (!tx->incoming)
        return smtp_submission_fix(tx, headers, header_len, &tx->message_id);
    smtp_inbound_header(tx, headers, header_len);
    smtp_inbound_shares(tx);
    tx->message_id = message_id_of(tx, tx->headers);
    return SAY_OK;
}

smtp_reply_t smtp_tx_finish(smtp_tx_t *tx)
{
    smtp_reply_t reply = tx->incoming ? smtp_inbound_decide(tx)
                                      : decide_outgoing(tx);

    return reply == SAY_OK ? make_messages(tx) : reply;
}

const char *smtp_tx_name(const smtp_tx_t *tx)
{
    if (strlen(tx->message_id) <= NAME_MAX_SHOWN)
        return tx->message_id;
    return apr_psprintf(tx->pool, "%" APR_INT64_T_FMT, tx->id);
}

/* --- units --- */

/* head, added, rest, then the body's file */
static apr_status_t content_of(const smtp_tx_t *tx, const char *added,
                               apr_size_t added_len, apr_int64_t offset,
                               char *to, apr_size_t len)
{
    struct { const char *bytes; apr_size_t len; } part[3] = {
        { tx->head, tx->head_len }, { added, added_len },
        { tx->rest, tx->rest_len }
    };
    apr_off_t where;
    apr_status_t rv;
    apr_size_t n;
    int i;

    for (i = 0; i < 3; i++) {
        if (offset < (apr_int64_t)part[i].len) {
            n = part[i].len - (apr_size_t)offset;
            if (n > len)
                n = len;
            memcpy(to, part[i].bytes + offset, n);
            to += n;
            len -= n;
            offset = 0;
        }
        else {
            offset -= (apr_int64_t)part[i].len;
        }
    }
    if (len == 0)
        return APR_SUCCESS;
    where = offset;
    rv = apr_file_seek(tx->body.file, APR_SET, &where);
    if (rv == APR_SUCCESS)
        rv = apr_file_read_full(tx->body.file, to, len, NULL);
    return rv;
}

apr_status_t smtp_tx_content(smtp_tx_t *tx, apr_int64_t offset, char *to,
                             apr_size_t len)
{
    const smtp_share_t *share = APR_ARRAY_IDX(
        tx->shares, tx->share_no < tx->shares->nelts ? tx->share_no : 0,
        const smtp_share_t *);

    return content_of(tx, share->added, share->added_len, offset, to, len);
}

apr_status_t smtp_tx_original(const smtp_tx_t *tx, apr_int64_t offset,
                              char *to, apr_size_t len)
{
    return content_of(tx, "", 0, offset, to, len);
}

static mg_message_t *message_stored(const smtp_tx_t *tx)
{
    return &APR_ARRAY_IDX(tx->shares, tx->share_no, smtp_share_t *)->message;
}

static apr_size_t stretch_len(const smtp_tx_t *tx)
{
    apr_int64_t left = message_stored(tx)->size - tx->stored;

    return left < SMTP_STRETCH ? (apr_size_t)left : SMTP_STRETCH;
}

static apr_status_t run_stretch(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    smtp_tx_t *tx = baton;
    apr_size_t len = stretch_len(tx);
    char *bytes = apr_palloc(ptemp, len);
    apr_status_t rv;

    rv = smtp_tx_content(tx, tx->stored, bytes, len);
    if (rv == APR_SUCCESS && !tx->incoming)
        smtp_submission_stored(tx, tx->stored, bytes, len);
    if (rv == APR_SUCCESS)
        rv = mg_content_insert(db, message_stored(tx)->id,
                               tx->stored / MG_CONTENT_SLICE, bytes, len);
    return rv;
}

static apr_status_t is_stored(mg_db_t *db, void *baton)
{
    smtp_tx_t *tx = baton;

    return mg_content_is_there(db, message_stored(tx)->id,
                               tx->stored / MG_CONTENT_SLICE);
}

static apr_status_t run_accept(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    smtp_tx_t *tx = baton;
    apr_status_t rv = tx->completed;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < tx->shares->nelts; i++)
        rv = mg_message_accept(
            db, &APR_ARRAY_IDX(tx->shares, i, smtp_share_t *)->message, ptemp);
    return rv == APR_SUCCESS ? smtp_spam_append(db, tx, ptemp) : rv;
}

/* All or nothing: if the first is there, all are. Of spam that was dropped
 * there is only the log: rather no row than two. */
static apr_status_t is_accepted(mg_db_t *db, void *baton)
{
    smtp_tx_t *tx = baton;

    if (tx->shares->nelts == 0)
        return APR_SUCCESS;
    return mg_message_is_there(
        db, &APR_ARRAY_IDX(tx->shares, 0, smtp_share_t *)->message);
}

mg_unit_t *smtp_tx_unit(smtp_tx_t *tx)
{
    int storing = tx->ahead && tx->share_no < tx->shares->nelts;

    memset(&tx->unit, 0, sizeof(tx->unit));
    tx->unit.run = storing ? run_stretch : run_accept;
    tx->unit.is_there = storing ? is_stored : is_accepted;
    tx->unit.baton = tx;
    tx->unit.status = MG_ELOST; /* until the store says something else */
    return &tx->unit;
}

int smtp_tx_advance(smtp_tx_t *tx)
{
    if (!tx->ahead || tx->share_no == tx->shares->nelts)
        return 1;
    tx->stored += (apr_int64_t)stretch_len(tx);
    if (tx->stored < message_stored(tx)->size)
        return 0;
    tx->share_no++;
    tx->stored = 0;
    if (!tx->incoming && tx->share_no == tx->shares->nelts && !tx->look_pool)
        smtp_submission_complete(
            tx, &APR_ARRAY_IDX(tx->shares, 0, smtp_share_t *)->message);
    return 0;
}

void smtp_tx_draw_anew(smtp_tx_t *tx)
{
    int i, k;

    for (i = 0; i < tx->shares->nelts; i++) {
        smtp_share_t *share = APR_ARRAY_IDX(tx->shares, i, smtp_share_t *);

        share->message.id = mg_id_next();
        for (k = 0; k < share->envelopes->nelts; k++)
            APR_ARRAY_IDX(share->envelopes, k, mg_envelope_t).id =
                mg_id_next();
    }
    tx->share_no = 0;
    tx->stored = 0;
}
