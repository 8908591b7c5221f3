/* smtp_inbound.c - see smtp_inbound.h. */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_mime.h"
#include "mg_status.h"
#include "smtp_inbound.h"
#include "smtp_session.h"
#include "smtp_spam.h"

/* --- the header --- */

/* Fields that say what we found: from outside they are forgeries, and routes
 * would believe them. */
static int is_ours(const char *name, apr_size_t len)
{
    static const char *const names[] = {
        "X-Mailgun-Incoming", "X-Envelope-From", "X-Mailgun-SFlag",
        "X-Mailgun-SScore", "X-Mailgun-SPF", "X-Mailgun-Dkim-Check-Result",
        "X-Mailgun-Spam-Rules", "X-Mailgun-Spam-Check", NULL
    };
    int i;

    for (i = 0; names[i]; i++)
        if (strlen(names[i]) == len && !strncasecmp(names[i], name, len))
            return 1;
    return 0;
}

/* An Authentication-Results that says it is of our host (RFC 8601 5).
 * @param value  what stands behind the colon, folded or not */
static int is_our_results(const char *name, apr_size_t len, const char *value,
                          const char *end, const char *host)
{
    apr_size_t n = strlen(host);

    if (len != 22 || strncasecmp(name, "Authentication-Results", len) != 0)
        return 0;
    while (value < end && strchr(" \t\r\n", *value) && *value)
        value++;
    return (apr_size_t)(end - value) >= n && !strncasecmp(value, host, n);
}

static apr_size_t name_len(const char *line, apr_size_t len)
{
    const char *colon = memchr(line, ':', len);

    if (colon == NULL)
        return 0;
    while (colon > line && (colon[-1] == ' ' || colon[-1] == '\t'))
        colon--;
    return (apr_size_t)(colon - line);
}

/* The block without those fields. */
static apr_size_t copy_block(char *to, const char *at, const char *end,
                             const char *host)
{
    char *start = to;
    int leave_out = 0;

    while (at < end) {
        const char *next = memchr(at, '\n', (apr_size_t)(end - at));
        apr_size_t len = (apr_size_t)((next ? next + 1 : end) - at);

        if (*at != ' ' && *at != '\t')
            leave_out = is_ours(at, name_len(at, len))
                        || is_our_results(at, name_len(at, len),
                                          at + name_len(at, len) + 1, end,
                                          host);
        if (!leave_out) {
            memcpy(to, at, len);
            to += len;
        }
        at += len;
    }
    return (apr_size_t)(to - start);
}

static const apr_array_header_t *
without_ours(const apr_array_header_t *headers, const char *host,
             apr_pool_t *p)
{
    apr_array_header_t *left = NULL;
    int i;

    for (i = 0; i < headers->nelts; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(headers, i, mg_header_t);

        if (!is_ours(h->name, strlen(h->name))
            && !is_our_results(h->name, strlen(h->name), h->raw,
                               h->raw + strlen(h->raw), host)) {
            if (left != NULL)
                APR_ARRAY_PUSH(left, mg_header_t) = *h;
            continue;
        }
        if (left == NULL) {
            left = apr_array_make(p, headers->nelts, sizeof(mg_header_t));
            memcpy(left->elts, headers->elts, sizeof(mg_header_t) * (size_t)i);
            left->nelts = i;
        }
    }
    return left != NULL ? left : headers;
}

void smtp_inbound_header(smtp_tx_t *tx, const apr_array_header_t *headers,
                         apr_size_t header_len)
{
    const char *host = tx->session->server->worker->config->hostname;
    const char *bytes = tx->body.buf;
    apr_size_t block = header_len;
    char *head = apr_palloc(tx->pool, header_len + 1);

    /* our fields go before the empty line */
    if (block >= 2 && memcmp(bytes + block - 2, "\r\n", 2) == 0
        && (block == 2 || bytes[block - 3] == '\n'))
        block -= 2;
    tx->head = head;
    tx->head_len = copy_block(head, bytes, bytes + block, host);
    tx->rest = bytes + block;
    tx->rest_len = tx->body.len - block;
    tx->headers = without_ours(headers, host, tx->pool);
}

/* --- shares --- */

static const smtp_rcpt_t *rcpt_at(const smtp_tx_t *tx, int i)
{
    return APR_ARRAY_IDX(tx->rcpts, i, const smtp_rcpt_t *);
}

static smtp_share_t *share_of(const smtp_tx_t *tx, apr_int64_t domain_id)
{
    int i;

    for (i = 0; i < tx->shares->nelts; i++) {
        smtp_share_t *share = APR_ARRAY_IDX(tx->shares, i, smtp_share_t *);

        if (share->domain_id == domain_id)
            return share;
    }
    return NULL;
}

/* There may be as many fields as recipients. */
static void append(smtp_share_t *share, const char *text, apr_pool_t *p)
{
    apr_size_t n = strlen(text);
    char *larger;

    if (share->added_len + n >= share->added_room) {
        share->added_room = 2 * (share->added_len + n) + 128;
        larger = apr_palloc(p, share->added_room);
        memcpy(larger, share->added, share->added_len);
        share->added = larger;
    }
    memcpy(share->added + share->added_len, text, n + 1);
    share->added_len += n;
}

void smtp_inbound_add(smtp_tx_t *tx, smtp_share_t *share, const char *name,
                      const char *value)
{
    mg_header_t *h = apr_array_push(share->headers);

    h->name = name;
    h->value = h->raw = value;
    append(share, name, tx->pool);
    append(share, ": ", tx->pool);
    append(share, value, tx->pool);
    append(share, "\r\n", tx->pool);
}

void smtp_inbound_shares(smtp_tx_t *tx)
{
    smtp_share_t *share;
    int i;

    for (i = 0; i < tx->rcpts->nelts; i++) {
        const mg_wanted_t *wanted = &rcpt_at(tx, i)->wanted;

        if (share_of(tx, wanted->domain_id) != NULL)
            continue;
        share = smtp_tx_add_share(tx, wanted->account_id, wanted->domain_id,
                                  wanted->domain);
        share->headers = apr_array_copy(tx->pool, tx->headers);
        smtp_inbound_add(tx, share, "X-Mailgun-Incoming", "Yes");
        smtp_inbound_add(tx, share, "X-Envelope-From",
                         apr_pstrcat(tx->pool, "<", tx->sender, ">", NULL));
    }
}

/* --- who gets it --- */

/* A route sends it on by mail: if it comes back here, that is a loop. */
static void mark_forwarded(smtp_tx_t *tx, smtp_share_t *share, int first,
                           const smtp_rcpt_t *rcpt)
{
    const char *mark;

    for (; first < share->envelopes->nelts; first++) {
        const mg_envelope_t *e = &APR_ARRAY_IDX(share->envelopes, first,
                                                mg_envelope_t);

        if (e->transport != MG_TRANSPORT_SMTP || e->route_id == NULL)
            continue;
        mark = mg_routing_loop_mark(tx->session->server->routing,
                                    rcpt->wanted.to->address, tx->pool);
        if (mark != NULL)
            smtp_inbound_add(tx, share, MG_ROUTING_LOOP, mark);
        return;
    }
}

static apr_status_t decide_one(smtp_tx_t *tx, const smtp_rcpt_t *rcpt)
{
    smtp_session_t *s = tx->session;
    smtp_share_t *share = share_of(tx, rcpt->wanted.domain_id);
    int first = share->envelopes->nelts;
    apr_status_t rv;

    if (smtp_spam_drops(tx, share, rcpt))
        return APR_SUCCESS;
    rv = mg_routing_decide(share->envelopes, &rcpt->wanted,
                           s->server->routing, s->server->worker->db,
                           tx->sender, share->headers, tx->pool);
    if (rv != APR_SUCCESS)
        return rv;
    smtp_tx_request_dsn(share->envelopes, first, &rcpt->dsn, tx->pool);
    mark_forwarded(tx, share, first, rcpt);
    return APR_SUCCESS;
}

/* Domains whose recipients were all unwanted get no message. */
static void drop_empty(smtp_tx_t *tx)
{
    int i, n = 0;

    for (i = 0; i < tx->shares->nelts; i++) {
        smtp_share_t *share = APR_ARRAY_IDX(tx->shares, i, smtp_share_t *);

        if (share->envelopes->nelts > 0)
            APR_ARRAY_IDX(tx->shares, n++, smtp_share_t *) = share;
    }
    tx->shares->nelts = n;
}

smtp_reply_t smtp_inbound_decide(smtp_tx_t *tx)
{
    smtp_session_t *s = tx->session;
    apr_array_header_t *unwanted = apr_array_make(tx->pool, 1,
                                                  sizeof(smtp_rcpt_t *));
    apr_status_t rv;
    int i, looped = 0;

    for (i = 0; i < tx->rcpts->nelts; i++) {
        rv = decide_one(tx, rcpt_at(tx, i));
        looped |= rv == MG_ELIMIT;
        if (rv == APR_ENOENT || rv == MG_ELIMIT) {
            APR_ARRAY_PUSH(unwanted, const smtp_rcpt_t *) = rcpt_at(tx, i);
        }
        else if (rv != APR_SUCCESS) {
            worker_db_check(s->server->worker, rv);
            return SAY_TRY_LATER;
        }
    }
    drop_empty(tx);
    if (tx->shares->nelts == 0 && !tx->dropped)
        /* smtp_refused_message() has them all */
        return looped ? SAY_LOOP : SAY_UNKNOWN_USER;
    for (i = 0; i < unwanted->nelts; i++) {
        const mg_wanted_t *w =
            &APR_ARRAY_IDX(unwanted, i, const smtp_rcpt_t *)->wanted;

        smtp_refused_recipient(s, w->account_id, w->domain_id, w->to->address,
                               SAY_UNKNOWN_USER);
    }
    return SAY_OK;
}
