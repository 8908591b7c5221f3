/* mg_hit.c - a hit becomes an event. */
#include "mg_hit.h"

#include "mg_batch.h"
#include "mg_event.h"
#include "mg_list.h"
#include "mg_message.h"
#include "mg_status.h"
#include "mg_suppression.h"
#include "mg_tracking.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

/* Deliveries are tried no longer than this after acceptance, about: then
 * nobody asks any more when a copy was delivered. */
#define DELIVERED_BY (4 * 24 * 3600 * APR_TIME_C(1000000))

/* --- messages, read once per transaction --- */

typedef struct {
    apr_int64_t id;
    mg_message_t *message;     /* NULL: it is gone */
} known_t;

static apr_hash_t *known_of(mg_db_t *db)
{
    static const char key[] = "mg_hit";
    apr_pool_t *pool = mg_tx_pool(db);
    void *found = NULL;

    if (!pool)
        return NULL;
    apr_pool_userdata_get(&found, key, pool);
    if (!found) {
        found = apr_hash_make(pool);
        apr_pool_userdata_setn(found, key, NULL, pool);
    }
    return found;
}

static void know(apr_hash_t *known, apr_int64_t id, mg_message_t *message)
{
    known_t *one = apr_palloc(apr_hash_pool_get(known), sizeof(*one));

    one->id = id;
    one->message = message;
    apr_hash_set(known, &one->id, sizeof(one->id), one);
}

/* n ids that nobody knows, each once. */
static apr_status_t read_some(apr_hash_t *known, mg_db_t *db,
                              const apr_int64_t *ids, int n)
{
    mg_message_t *messages[MG_MESSAGES_AT_ONCE];
    apr_pool_t *pools[MG_MESSAGES_AT_ONCE];
    apr_status_t rv;
    int i;

    if (n < 1)
        return APR_SUCCESS;
    for (i = 0; i < MG_MESSAGES_AT_ONCE; i++)
        pools[i] = apr_hash_pool_get(known);
    rv = mg_message_get_many(messages, db, ids, pools, n, 0);
    for (i = 0; rv == APR_SUCCESS && i < n; i++)
        know(known, ids[i], messages[i]);
    return rv;
}

apr_status_t mg_hit_read_ahead(mg_db_t *db, const apr_int64_t *message_ids,
                               int n)
{
    apr_int64_t ids[MG_MESSAGES_AT_ONCE];
    apr_hash_t *known = known_of(db);
    apr_status_t rv = APR_SUCCESS;
    int i, j, have = 0;

    if (!known)
        return MG_ESQL; /* a hit is part of a transaction */
    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        if (apr_hash_get(known, &message_ids[i], sizeof(message_ids[i])))
            continue;
        for (j = 0; j < have && ids[j] != message_ids[i]; j++)
            ;
        if (j < have)
            continue;
        ids[have++] = message_ids[i];
        if (have < MG_MESSAGES_AT_ONCE)
            continue;
        rv = read_some(known, db, ids, have);
        have = 0;
    }
    return rv == APR_SUCCESS ? read_some(known, db, ids, have) : rv;
}

int mg_hit_is_known(mg_db_t *db, apr_int64_t message_id)
{
    apr_hash_t *known = known_of(db);

    return known && apr_hash_get(known, &message_id, sizeof(message_id));
}

static apr_status_t message_of(const mg_message_t **pmessage, mg_db_t *db,
                               apr_int64_t id)
{
    apr_status_t rv = mg_hit_read_ahead(db, &id, 1);
    const known_t *one;

    *pmessage = NULL;
    if (rv != APR_SUCCESS)
        return rv;
    one = apr_hash_get(known_of(db), &id, sizeof(id));
    *pmessage = one ? one->message : NULL;
    return APR_SUCCESS;
}

/* --- whose it is --- */

/* APR_ENOENT: nobody's. */
static apr_status_t find_account(apr_int64_t *paccount, mg_db_t *db,
                                 const mg_hit_t *hit,
                                 const mg_config_t *config, apr_pool_t *p)
{
    const mg_batch_t *batch = mg_batch_get(db);
    const mg_domain_t *domain;
    mg_domain_t *read;
    apr_status_t rv;

    if (batch && batch->domains) {
        rv = mg_domain_cached_by_id(&domain, batch->domains, db,
                                    hit->track.domain_id);
    }
    else {
        rv = mg_domain_by_id(&read, db, hit->track.domain_id, p);
        domain = read;
    }
    if (rv != APR_SUCCESS)
        return rv;
    *paccount = domain->account_id;
    if (hit->host
        && strcasecmp(hit->host, mg_tracking_host(config, domain->name_lc, p))
               != 0)
        return APR_ENOENT;
    return APR_SUCCESS;
}

/* --- machines --- */

/* Is it a click that came before its copy was delivered, or at once? */
static apr_status_t is_too_soon(int *pis, mg_db_t *db, const mg_hit_t *hit,
                                const mg_message_t *message,
                                const mg_config_t *config)
{
    apr_int64_t delivered = 0;
    apr_status_t rv;

    *pis = 0;
    if (hit->track.kind != MG_TRACK_CLICK || !message
        || config->machine_delay == 0
        || hit->at > message->created_at + DELIVERED_BY
        || hit->at > message->created_at + config->event_retention / 2)
        return APR_SUCCESS;
    rv = mg_db_get_int(db, &delivered,
                       "SELECT created_at FROM event WHERE message_id = $1"
                       " AND recipient = $2 AND kind = 'delivered' LIMIT 1",
                       "it", hit->track.message_id, hit->track.recipient);
    if (rv != APR_SUCCESS && rv != APR_ENOENT)
        return rv;
    *pis = rv == APR_ENOENT || hit->at < delivered + config->machine_delay;
    return APR_SUCCESS;
}

/* --- unsubscribing --- */

/* What a link is about: tags, or "*". With no tags to unsubscribe from, who
 * wants no more mail gets none. */
static apr_array_header_t *tags_of(const mg_track_t *track, apr_pool_t *p)
{
    apr_array_header_t *tags = apr_array_make(p, 3, sizeof(char *));

    if (track->kind == MG_TRACK_UNSUBSCRIBE_TAGS)
        tags = mg_track_tags_of(track->text, p);
    if (tags->nelts == 0)
        APR_ARRAY_PUSH(tags, const char *) = "*";
    return tags;
}

/* A member who is not there gets nothing. */
static apr_status_t has_left_list(int *pis, mg_db_t *db,
                                  const mg_track_t *track, apr_pool_t *p)
{
    mg_list_member_t *member;
    mg_list_t *list;
    apr_status_t rv;

    *pis = 1;
    rv = mg_list_by_address(&list, db, 0, track->text, p);
    if (rv == APR_SUCCESS)
        rv = mg_list_member(&member, db, list->id, track->recipient, p);
    if (rv == APR_SUCCESS)
        *pis = !member->subscribed;
    return rv == APR_ENOENT ? APR_SUCCESS : rv;
}

apr_status_t mg_hit_is_unsubscribed(int *pis, mg_db_t *db,
                                    const mg_track_t *track, apr_pool_t *p)
{
    if (track->kind == MG_TRACK_UNSUBSCRIBE_LIST)
        return has_left_list(pis, db, track, p);
    return mg_suppression_has_tags(pis, db, track->domain_id,
                                   track->recipient, tags_of(track, p), p);
}

/* Two presses at once must not both find nothing. SQLite has one writer. */
static apr_status_t one_at_a_time(mg_db_t *db, apr_int64_t domain_id)
{
    apr_int64_t one;

    if (mg_db_kind(db) != MG_DB_PGSQL)
        return APR_SUCCESS;
    return mg_db_get_int(db, &one, "SELECT 1 FROM domain WHERE id = $1"
                         " FOR UPDATE", "i", domain_id);
}

static apr_status_t undo(mg_db_t *db, const mg_track_t *track, apr_pool_t *p)
{
    apr_array_header_t *tags = tags_of(track, p);
    apr_status_t rv = APR_SUCCESS;
    int i;

    if (track->kind == MG_TRACK_UNSUBSCRIBE_LIST)
        return mg_list_subscribe(db, track->text, track->recipient, 1, p);
    for (i = 0; rv == APR_SUCCESS && i < tags->nelts; i++) {
        rv = mg_suppression_remove(db, track->domain_id, MG_UNSUBSCRIBED,
                                   track->recipient,
                                   APR_ARRAY_IDX(tags, i, const char *), p);
        if (rv == APR_ENOENT)
            rv = APR_SUCCESS;
    }
    return rv;
}

/* --- the event --- */

static mg_event_kind_t kind_of(const mg_track_t *track)
{
    return track->kind == MG_TRACK_OPEN ? MG_EVENT_OPENED
           : track->kind == MG_TRACK_CLICK ? MG_EVENT_CLICKED
                                           : MG_EVENT_UNSUBSCRIBED;
}

static apr_status_t fill(mg_event_t *event, mg_db_t *db, const mg_hit_t *hit,
                         const mg_message_t *message, apr_int64_t account_id,
                         apr_pool_t *p)
{
    const mg_track_t *track = &hit->track;
    apr_status_t rv;

    memset(event, 0, sizeof(*event));
    event->kind = kind_of(track);
    event->direction = MG_OUTGOING;
    event->recipient = event->recipient_as_given = track->recipient;
    if (message) {
        rv = mg_event_of_message(event, kind_of(track), db, message,
                                 track->recipient, p);
        if (rv != APR_SUCCESS)
            return rv;
    }
    event->account_id = account_id;
    event->domain_id = track->domain_id;
    event->message_id = track->message_id;
    event->id = hit->event_id;
    event->at = hit->at;
    event->ip = hit->ip;
    event->user_agent = hit->user_agent;
    event->client_type = hit->client.type;
    event->client_name = hit->client.name;
    event->client_os = hit->client.os;
    event->device_type = hit->client.device;
    event->country = hit->place.country;
    event->region = hit->place.region;
    event->city = hit->place.city;
    if (track->kind == MG_TRACK_CLICK)
        event->url = track->text;
    else if (track->kind == MG_TRACK_UNSUBSCRIBE_LIST)
        event->mailing_list = track->text;
    else if (event->kind == MG_EVENT_UNSUBSCRIBED)
        event->tag = apr_array_pstrcat(p, tags_of(track, p), '\n');
    return APR_SUCCESS;
}

apr_status_t mg_hit_append(mg_db_t *db, const mg_hit_t *hit,
                           const mg_config_t *config, apr_pool_t *ptemp)
{
    const mg_message_t *message;
    apr_int64_t account_id = 0;
    mg_event_t event;
    apr_status_t rv;
    int is_done = 0, too_soon;

    rv = find_account(&account_id, db, hit, config, ptemp);
    if (rv != APR_SUCCESS)
        return rv == APR_ENOENT ? APR_SUCCESS : rv;
    if (hit->undo)
        return undo(db, &hit->track, ptemp);
    if (kind_of(&hit->track) == MG_EVENT_UNSUBSCRIBED) {
        rv = one_at_a_time(db, hit->track.domain_id);
        if (rv == APR_SUCCESS)
            rv = mg_hit_is_unsubscribed(&is_done, db, &hit->track, ptemp);
        if (rv != APR_SUCCESS || is_done)
            return rv;
    }
    rv = message_of(&message, db, hit->track.message_id);
    if (rv == APR_SUCCESS)
        rv = fill(&event, db, hit, message, account_id, ptemp);
    if (rv == APR_SUCCESS)
        rv = is_too_soon(&too_soon, db, hit, message, config);
    if (rv != APR_SUCCESS)
        return rv;
    event.machine = hit->machine || too_soon;
    return mg_event_append(db, &event, ptemp);
}
