/* notifier_fields.c - what is posted: the fields of a webhook or of a route's
 * forward, signed.
 */
#include <apr_strings.h>
#include <string.h>
#include "mg_account.h"
#include "mg_campaign.h"
#include "mg_json.h"
#include "mg_render.h"
#include "worker_links.h"
#include "mg_status.h"
#include "mg_stored.h"
#include "mg_time.h"
#include "notifier.h"

#define KEY_LIFE apr_time_from_sec(30)
#define KEPT_FILE_MAX (64 * 1024)  /* of a message, in a dead letter */

/* --- the row's payload --- */

const json_t *notifier_payload(notifier_post_t *post)
{
    const char *payload = post->row.payload, *error;

    if (post->payload == NULL && payload && *payload)
        post->payload = mg_json_parse(payload, strlen(payload), &error,
                                      post->pool);
    return post->payload;
}

const char *notifier_event(notifier_post_t *post)
{
    const char *event = json_string_value(
        json_object_get(notifier_payload(post), "event"));

    return event ? event : "";
}

/* --- what the store has --- */

static apr_status_t signing_key(const char **pkey, notifier_t *n,
                                apr_int64_t account_id)
{
    apr_uint32_t generation = mg_shared_generation(n->worker->shared);
    apr_int64_t *id;
    apr_status_t rv;

    if (n->key_pool == NULL || generation != n->key_generation
        || mg_ticks() > n->keys_until) {
        if (n->key_pool)
            apr_pool_destroy(n->key_pool);
        apr_pool_create(&n->key_pool, n->pool);
        n->keys = apr_hash_make(n->key_pool);
        n->key_generation = generation;
        n->keys_until = mg_ticks() + KEY_LIFE;
    }
    *pkey = apr_hash_get(n->keys, &account_id, sizeof(account_id));
    if (*pkey)
        return APR_SUCCESS;
    rv = mg_key_signing(pkey, n->worker->db, n->worker->secret, account_id,
                        n->key_pool);
    if (rv != APR_SUCCESS)
        return rv;
    id = apr_pmemdup(n->key_pool, &account_id, sizeof(account_id));
    apr_hash_set(n->keys, id, sizeof(*id), *pkey);
    return APR_SUCCESS;
}

/* The stored bytes, or only the slice that holds the header. */
static apr_status_t read_content(const char **pbytes, apr_size_t *plen,
                                 const notifier_post_t *post, int whole,
                                 apr_pool_t *p)
{
    const void *slice;
    apr_status_t rv;

    if (whole && post->message->size > MG_CONTENT_SLICE)
        return mg_message_whole(pbytes, plen, post->notifier->worker->db,
                                post->row.message_id, post->message->size, p);
    rv = mg_message_slice(&slice, plen, post->notifier->worker->db,
                          post->row.message_id, 0, p);
    *pbytes = slice;
    return rv == APR_EOF ? APR_ENOENT : rv;
}

/* A message has many recipients, whose posts follow each other: it is read
 * once. What is stored of a message never changes. */
static apr_status_t read_message(notifier_post_t *post)
{
    notifier_t *n = post->notifier;
    notifier_seen_t *seen = &n->seen;
    apr_status_t rv;

    if (seen->pool == NULL)
        apr_pool_create(&seen->pool, n->pool);
    if (seen->message == NULL || seen->message->id != post->row.message_id) {
        apr_pool_clear(seen->pool);
        memset(&seen->message, 0, sizeof(*seen) - APR_OFFSETOF(
            notifier_seen_t, message));
        rv = mg_message_get(&seen->message, n->worker->db,
                            post->row.message_id, seen->pool);
        if (rv != APR_SUCCESS) {
            seen->message = NULL;
            return rv;
        }
    }
    post->message = seen->message;
    return APR_SUCCESS;
}

static const json_t *read_options(notifier_post_t *post)
{
    notifier_seen_t *seen = &post->notifier->seen;
    const mg_message_t *m = post->message;
    const char *error;

    if (m && !seen->options && m->options && *m->options)
        seen->options = mg_json_parse(m->options, strlen(m->options), &error,
                                      seen->pool);
    return m ? seen->options : NULL;
}

/* As read_content(), of what was read last. */
static apr_status_t read_head(const char **pbytes, apr_size_t *plen,
                              const notifier_post_t *post)
{
    notifier_seen_t *seen = &post->notifier->seen;
    apr_status_t rv = APR_SUCCESS;

    if (seen->head == NULL)
        rv = read_content(&seen->head, &seen->head_len, post, 0, seen->pool);
    *pbytes = seen->head;
    *plen = seen->head_len;
    return rv;
}

/* --- webhooks --- */

/* Their names; one that is removed is called by its id. */
static apr_status_t read_campaigns(apr_array_header_t **plist,
                                   const notifier_post_t *post,
                                   const json_t *options, apr_pool_t *p)
{
    const json_t *ids = json_object_get(options, "campaigns"), *one;
    mg_db_t *db = post->notifier->worker->db;
    size_t i;

    *plist = NULL;
    if (!json_is_array(ids))
        return APR_SUCCESS;
    *plist = apr_array_make(p, 3, sizeof(mg_hook_campaign_t));
    json_array_foreach(ids, i, one) {
        const char *id = json_string_value(one);
        mg_campaign_t *campaign;
        mg_hook_campaign_t c = { id, id };
        apr_status_t rv;

        if (id == NULL)
            continue;
        rv = mg_campaign_by_id(&campaign, db, post->row.domain_id, id, p);
        if (rv == APR_SUCCESS)
            c.name = campaign->name;
        else if (!APR_STATUS_IS_ENOENT(rv))
            return rv;
        APR_ARRAY_PUSH(*plist, mg_hook_campaign_t) = c;
    }
    return APR_SUCCESS;
}

/* A large one is read as it goes out. */
static apr_status_t stream_copy(mg_hook_event_t *e, notifier_post_t *post,
                                const mg_render_for_t *who,
                                const char **pbytes, apr_size_t *plen,
                                apr_pool_t *p)
{
    notifier_stream_t *stream;
    apr_status_t rv;

    rv = notifier_stream(&stream, post->notifier->worker->db, who, p);
    if (rv == APR_SUCCESS)
        rv = read_head(pbytes, plen, post);
    if (rv != APR_SUCCESS)
        return rv;
    mg_render_head(pbytes, plen, who, *pbytes, *plen, p);
    e->stream = stream;
    e->original_len = (apr_size_t)notifier_stream_size(stream);
    post->memory += 2 * MG_CONTENT_SLICE;
    return APR_SUCCESS;
}

/* What the recipient got is what is told of it. */
static apr_status_t stored_copy(mg_hook_event_t *e, notifier_post_t *post,
                                const mg_render_for_t *who,
                                const char **pbytes, apr_size_t *plen,
                                apr_pool_t *p)
{
    int with_file = mg_hook_has_file(e->event);
    apr_status_t rv;

    if (post->message == NULL)
        return APR_ENOENT;
    if (with_file && post->message->size > MG_CONTENT_SLICE)
        return stream_copy(e, post, who, pbytes, plen, p);
    if (!with_file) {
        rv = read_head(pbytes, plen, post);
        if (rv == APR_SUCCESS)
            mg_render_head(pbytes, plen, who, *pbytes, *plen, p);
        return rv;
    }
    rv = read_content(pbytes, plen, post, 1, p);
    if (rv == APR_SUCCESS)
        rv = mg_render_whole(pbytes, plen, who, *pbytes, *plen, p);
    return rv;
}

/* Of a message that is gone, what a report showed. */
static apr_status_t read_copy(mg_hook_event_t *e, notifier_post_t *post,
                              const mg_render_for_t *who, apr_pool_t *p)
{
    apr_array_header_t *headers;
    const char *bytes = NULL;
    apr_size_t len = 0;
    apr_status_t rv;

    if (!mg_hook_has_headers(e->event))
        return APR_SUCCESS;
    rv = stored_copy(e, post, who, &bytes, &len, p);
    if (rv == APR_ENOENT || rv == MG_EBADINPUT || rv == MG_ELIMIT) {
        bytes = mg_hook_original(notifier_payload(post), &len, p);
        rv = APR_SUCCESS;
    }
    if (rv != APR_SUCCESS || bytes == NULL)
        return rv;
    mg_mime_headers(&headers, NULL, bytes, len, p);
    e->headers = headers;
    if (mg_hook_has_file(e->event) && !e->stream) {
        e->original = bytes;
        e->original_len = len;
        post->memory += 2 * (apr_int64_t)len;
    }
    return APR_SUCCESS;
}

static apr_status_t add_event(apr_array_header_t *fields,
                              notifier_post_t *post,
                              const mg_domain_t *domain, apr_pool_t *p)
{
    mg_render_for_t who = { post->message, &post->row,
                            apr_pstrdup(p, domain->name), NULL, NULL };
    const json_t *payload = notifier_payload(post), *options;
    const mg_message_t *m = post->message;
    apr_array_header_t *campaigns = NULL;
    mg_hook_event_t e;
    apr_status_t rv;

    if (mg_hook_kept(fields, payload, p))
        return APR_SUCCESS;
    memset(&e, 0, sizeof(e));
    e.event = notifier_event(post);
    e.recipient = post->row.recipient;
    e.domain = who.domain;
    e.message = m;
    e.said = json_object_get(payload, "fields");
    options = read_options(post);
    if (m)
        e.variables = mg_render_variables(&who, p);
    rv = read_campaigns(&campaigns, post, options, p);
    e.campaigns = campaigns;
    if (rv == APR_SUCCESS)
        rv = read_copy(&e, post, &who, p);
    if (rv == APR_SUCCESS)
        mg_hook_event(fields, &e, options, p);
    return rv;
}

/* @return APR_ENOENT: something it needs is not there, *pwhy says what */
static apr_status_t make_hook(apr_array_header_t *fields, const char **pwhy,
                              notifier_post_t *post, apr_pool_t *p)
{
    worker_t *worker = post->notifier->worker;
    const mg_domain_t *domain;
    apr_status_t rv;

    rv = read_message(post);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_ENOENT(rv))
        return rv; /* forgotten: the news is told all the same */
    *pwhy = "the domain was removed";
    rv = mg_domain_cached_by_id(&domain, worker->domains, worker->db,
                                post->row.domain_id);
    if (rv == APR_SUCCESS)
        rv = add_event(fields, post, domain, p);
    post->message = NULL; /* another's soon */
    return rv;
}

/* --- forwards --- */

/* Whoever store(notify=...) names is told where it is. */
static void add_stored(apr_array_header_t *fields,
                       const notifier_post_t *post, const char *key,
                       const char *domain, const char *bytes, apr_size_t len,
                       apr_pool_t *p)
{
    const mg_config_t *config = post->notifier->worker->config;
    mg_parsed_t *parsed;

    mg_mime_parse(&parsed, bytes, len, p);
    mg_hook_stored(fields, parsed, &post->row, post->message, domain,
                   apr_pstrcat(p, mg_config_api_url(config, p), "/v2",
                               mg_stored_path(domain, key, p), NULL), p);
}

static apr_status_t add_forward(apr_array_header_t *fields,
                                notifier_post_t *post,
                                const char *bytes, apr_size_t len,
                                apr_pool_t *p)
{
    mg_render_for_t who = { post->message, &post->row, "", NULL, NULL };
    mg_render_links_t links;
    worker_t *worker = post->notifier->worker;
    const mg_domain_t *domain;
    const char *key;
    apr_status_t rv;

    rv = mg_domain_cached_by_id(&domain, worker->domains, worker->db,
                                post->message->domain_id);
    if (rv == APR_SUCCESS) {
        const mg_render_links_t *made = worker_links(worker, domain, p);

        who.domain = apr_pstrdup(p, domain->name);
        if (made) {
            links = *made;
            links.only_variables = 1;
            who.links = &links;
        }
    }
    else if (!APR_STATUS_IS_ENOENT(rv))
        return rv;
    rv = mg_render_whole(&bytes, &len, &who, bytes, len, p);
    if (rv != APR_SUCCESS)
        return APR_ENOENT;
    key = json_string_value(json_object_get(notifier_payload(post), "stored"));
    if (key == NULL)
        mg_hook_forward(fields, &post->row, post->message, bytes, len, p);
    else
        add_stored(fields, post, key, who.domain, bytes, len, p);
    return APR_SUCCESS;
}

static apr_status_t make_forward(apr_array_header_t *fields, const char **pwhy,
                                 notifier_post_t *post, apr_pool_t *p)
{
    worker_t *worker = post->notifier->worker;
    const char *bytes;
    apr_size_t len;
    apr_status_t rv;

    *pwhy = "the message is not in the store any more";
    rv = mg_message_get(&post->message, worker->db, post->row.message_id,
                        post->pool);
    if (rv == APR_SUCCESS)
        rv = read_content(&bytes, &len, post, 1, p);
    if (rv != APR_SUCCESS)
        return rv;
    post->memory += 3 * (apr_int64_t)len;
    *pwhy = "the message's variables cannot be filled in";
    return add_forward(fields, post, bytes, len, p);
}

/* --- both --- */

apr_status_t notifier_fields_make(apr_array_header_t **pfields,
                                  const char **pwhy, notifier_post_t *post)
{
    apr_pool_t *p = post->body_pool;
    apr_array_header_t *fields = apr_array_make(p, 32, sizeof(mg_field_t));
    apr_status_t rv;
    const char *key;

    *pwhy = "";
    post->memory = 64 * 1024;
    rv = notifier_is_hook(post) ? make_hook(fields, pwhy, post, p)
                                : make_forward(fields, pwhy, post, p);
    if (rv != APR_SUCCESS)
        return rv;
    *pwhy = "the account has no API key to sign with";
    rv = signing_key(&key, post->notifier, post->row.account_id);
    if (rv != APR_SUCCESS)
        return rv;
    mg_hook_sign(fields, key, mg_now(), p);
    *pfields = fields;
    return APR_SUCCESS;
}

void notifier_fields_keep(notifier_post_t *post)
{
    apr_int64_t memory = post->memory; /* what was added to the notifier's */
    apr_array_header_t *fields;
    const char *why;
    apr_pool_t *p;

    if (json_object_get(notifier_payload(post), "posted"))
        return; /* it was one before */
    apr_pool_create(&p, post->pool);
    fields = apr_array_make(p, 32, sizeof(mg_field_t));
    if (make_hook(fields, &why, post, p) == APR_SUCCESS)
        post->row.payload = mg_hook_keep(notifier_payload(post), fields,
                                         KEPT_FILE_MAX, post->pool);
    post->memory = memory;
    apr_pool_destroy(p);
}
