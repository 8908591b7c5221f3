/* keeper_list_post.c - what was posted becomes a message of the list's own.
 *
 * It is sent by the domain it was posted by, or, where it came from outside, by
 * the list's; its content is what was posted, of mail from outside with the
 * header that a list's copies need (mg_list_copy.h). Message and progress row
 * are there with the end of the posted row, or not at all.
 */
#include <string.h>
#include <apr_strings.h>

#include "keeper_list.h"
#include "mg_event.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_list_copy.h"
#include "mg_log.h"
#include "mg_message_content.h"
#include "mg_mime.h"
#include "mg_sending.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_tracking.h"
#include "mg_tx.h"

#define TRIES 3                         /* ids that are taken */
#define STRETCH (2 * MG_CONTENT_SLICE)  /* of content, in one transaction */

typedef struct {
    keeper_list_t *owner;
    const mg_delivery_t *row;
    const mg_message_t *posted;
    mg_list_t *list;
    const char *why;                    /* it is given up */
    mg_message_t message;
    const char *bytes;
    apr_size_t len;
} post_t;

/* --- the message --- */

/* What unsubscribing may go by. */
static apr_status_t links_of(int *plinks, const post_t *post)
{
    worker_t *w = post->owner->worker;
    const mg_domain_t *domain;
    mg_tracking_t tracking;
    apr_status_t rv;

    *plinks = MG_LIST_NO_LINK;
    rv = mg_domain_cached_by_id(&domain, w->domains, w->db,
                                post->posted->domain_id);
    if (rv != APR_SUCCESS)
        return rv;
    mg_tracking_of_domain(&tracking, domain,
                          mg_tracking_is_forced(w->config));
    if (tracking.works)
        *plinks = MG_LIST_LINKS;
    else if (domain->mx != MG_MX_ELSEWHERE)
        *plinks = MG_LIST_MAIL_LINK;
    return APR_SUCCESS;
}

/* From outside: the header as the list sends it on. */
static apr_status_t rewrite(post_t *post, apr_pool_t *p)
{
    const char *at = strrchr(post->list->address, '@'), *head;
    apr_array_header_t *headers;
    apr_size_t head_len, old_len;
    apr_status_t rv;
    char *bytes;

    rv = mg_mime_headers(&headers, &old_len, post->bytes, post->len, p);
    if (rv == APR_SUCCESS)
        rv = mg_list_copy_header(&head, &head_len, post->list, at ? at + 1 : "",
                                 post->bytes, old_len, p);
    if (rv != APR_SUCCESS)
        return rv;
    bytes = apr_palloc(p, head_len + (post->len - old_len) + 1);
    memcpy(bytes, head, head_len);
    memcpy(bytes + head_len, post->bytes + old_len, post->len - old_len);
    post->bytes = bytes;
    post->len = head_len + (post->len - old_len);
    return APR_SUCCESS;
}

/* As those of what was posted, but RET and ENVID (RFC 3461 5.2.7): nobody is
 * told what became of each member. */
static apr_status_t options_of(post_t *post, apr_pool_t *p)
{
    const char *error, *text = post->posted->options;
    json_t *options = NULL, *list;
    apr_array_header_t *headers;
    apr_status_t rv;
    int links;

    if (text && *text)
        options = mg_json_parse(text, strlen(text), &error, p);
    if (!json_is_object(options)) {
        options = json_object();
        mg_json_bind(options, p);
    }
    rv = links_of(&links, post);
    if (rv == APR_SUCCESS)
        rv = mg_mime_headers(&headers, NULL, post->bytes, post->len, p);
    if (rv != APR_SUCCESS)
        return rv;
    list = mg_list_copy_option(post->list, headers, links,
                               mg_list_copy_read(options, p), p);
    if (!list) {
        post->why = "554 5.4.6 lists are members of each other";
        return APR_SUCCESS;
    }
    json_object_del(options, "dsn");
    json_object_set_new(options, "list", list);
    json_object_set_new(options, "batch", json_true());
    post->message.options = mg_json_compact(options, p);
    return APR_SUCCESS;
}

static void fill_message(post_t *post, apr_pool_t *p)
{
    mg_message_t *m = &post->message;
    const char *options = m->options;
    mg_envelope_t *e;

    *m = *post->posted;
    m->options = options;
    m->direction = MG_OUTGOING;
    m->size = (apr_int64_t)post->len;
    m->created_at = mg_now();
    m->content_is_stored = post->len > MG_CONTENT_INLINE;
    m->bytes = m->content_is_stored ? NULL : post->bytes;
    m->bytes_len = m->content_is_stored ? 0 : post->len;
    m->envelopes = apr_array_make(p, 1, sizeof(mg_envelope_t));
    e = apr_array_push(m->envelopes);
    memset(e, 0, sizeof(*e));
    e->transport = MG_TRANSPORT_EXPANSION;
    e->recipient = e->recipient_as_given = post->list->address;
    e->dest = post->row->dest;
    e->payload = keeper_list_begin(post->list->id, m->created_at, p);
}

/* --- the store --- */

static apr_status_t store_content(post_t *post)
{
    mg_db_t *db = post->owner->worker->db;
    apr_size_t at = 0, n;
    apr_status_t rv = APR_SUCCESS;

    for (; rv == APR_SUCCESS && at < post->len; at += n) {
        n = post->len - at < STRETCH ? post->len - at : STRETCH;
        rv = mg_tx_begin(db, MG_TX_WRITE);
        if (rv != APR_SUCCESS)
            break;
        mg_tx_lazy(db); /* the last transaction waits for the disk, if any */
        rv = mg_content_insert(db, post->message.id,
                               (apr_int64_t)(at / MG_CONTENT_SLICE),
                               post->bytes + at, n);
        rv = mg_tx_leave(db, 1, rv);
    }
    return rv;
}

static apr_status_t end_row(post_t *post, apr_pool_t *p)
{
    mg_db_t *db = post->owner->worker->db;
    mg_event_kind_t kind = post->why ? MG_EVENT_FAILED
                                     : MG_EVENT_LIST_EXPANDED;
    mg_event_t event = mg_event_of(kind, post->row, post->posted, p);
    apr_status_t rv = mg_queue_settle(db, post->row);

    if (rv != APR_SUCCESS)
        return rv;
    event.mailing_list = post->list ? post->list->address : NULL;
    event.list_id = 0; /* its members' copies are counted */
    event.reply = post->why;
    event.code = post->why ? (int)apr_strtoi64(post->why, NULL, 10) : 0;
    return mg_event_append(db, &event, p);
}

static apr_status_t accept_message(post_t *post, apr_pool_t *p)
{
    mg_db_t *db = post->owner->worker->db;
    apr_status_t rv = mg_tx_begin(db, MG_TX_WRITE);

    if (rv != APR_SUCCESS)
        return rv;
    rv = end_row(post, p);
    if (rv == APR_SUCCESS && !post->why)
        rv = mg_message_accept(db, &post->message, p);
    return mg_tx_leave(db, 1, rv);
}

static apr_status_t commit(post_t *post, apr_pool_t *p)
{
    apr_status_t rv = MG_ECONFLICT;
    int tries;

    for (tries = 0; tries < TRIES && rv == MG_ECONFLICT; tries++) {
        rv = APR_SUCCESS;
        if (!post->why) {
            post->message.id = mg_id_next();
            APR_ARRAY_IDX(post->message.envelopes, 0, mg_envelope_t).id =
                mg_id_next();
            if (post->message.content_is_stored)
                rv = store_content(post);
        }
        if (rv == APR_SUCCESS)
            rv = accept_message(post, p);
    }
    return rv;
}

/* --- one --- */

static apr_status_t make(post_t *post, apr_pool_t *p)
{
    mg_db_t *db = post->owner->worker->db;
    apr_status_t rv;

    rv = mg_list_by_id(&post->list, db, apr_atoi64(post->row->dest), p);
    if (APR_STATUS_IS_ENOENT(rv)) {
        post->why = "550 5.1.1 the mailing list is gone";
        return APR_SUCCESS;
    }
    if (rv == APR_SUCCESS)
        rv = mg_message_whole(&post->bytes, &post->len, db,
                              post->posted->id, post->posted->size, p);
    if (rv == APR_SUCCESS && post->posted->direction == MG_INCOMING)
        rv = rewrite(post, p);
    if (rv == APR_SUCCESS)
        rv = options_of(post, p);
    if (rv == APR_SUCCESS && !post->why)
        fill_message(post, p);
    return rv;
}

/* For the events API; nobody else asks a message for it. */
static apr_status_t read_summary(mg_message_t *message, mg_db_t *db,
                                 apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db, "SELECT summary FROM message WHERE id = $1",
                     "i", message->id);
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    message->summary = mg_stmt_text(stmt, 0, p);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

apr_status_t keeper_list_post(keeper_list_t *lists, const mg_delivery_t *row,
                              apr_pool_t *ptemp)
{
    post_t post = { .owner = lists, .row = row };
    mg_message_t *posted;
    apr_status_t rv;

    rv = mg_message_get(&posted, lists->worker->db, row->message_id, ptemp);
    if (rv != APR_SUCCESS)
        return rv;
    post.posted = posted;
    rv = read_summary(posted, lists->worker->db, ptemp);
    if (rv == APR_SUCCESS)
        rv = make(&post, ptemp);
    if (rv == APR_SUCCESS)
        rv = commit(&post, ptemp);
    if (rv != APR_SUCCESS)
        return rv;
    if (post.why)
        mg_log(MG_LOG_WARN, APR_SUCCESS, "list %s: message %" APR_INT64_T_FMT
               " is not expanded: %s", row->recipient, row->message_id,
               post.why);
    else
        mg_log(MG_LOG_INFO, APR_SUCCESS, "list %s: message %" APR_INT64_T_FMT
               " becomes message %" APR_INT64_T_FMT, row->recipient,
               row->message_id, post.message.id);
    return APR_SUCCESS;
}
