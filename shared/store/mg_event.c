/* mg_event.c - append what happened: row, counters, webhook, one after the
 * other, in the caller's transaction. */
#include <string.h>
#include <apr_strings.h>

#include "mg_batch.h"
#include "mg_event_kind.h"
#include "mg_event_private.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_stat.h"
#include "mg_status.h"
#include "mg_suppression_private.h"
#include "mg_text.h"
#include "mg_time.h"

/* A delivered hook is posted once (manual, "Delivered Event Webhook"); one
 * that waits longer than this for a notifier is stale. */
#define HOOK_LIFE (24 * 3600 * APR_TIME_C(1000000))

/* --- what an event is filled with --- */

static apr_array_header_t *strings(const json_t *json, apr_pool_t *p)
{
    apr_array_header_t *list;
    const json_t *one;
    size_t i;

    if (!json_is_array(json) || json_array_size(json) == 0)
        return NULL;
    list = apr_array_make(p, (int)json_array_size(json), sizeof(const char *));
    json_array_foreach(json, i, one)
        if (json_is_string(one))
            APR_ARRAY_PUSH(list, const char *) = json_string_value(one);
    return list;
}

/* Most messages have neither: they are not parsed. */
static void read_options(mg_event_t *event, const char *options,
                         apr_pool_t *p)
{
    const json_t *json;
    const char *error;

    if (!options || (!strstr(options, "\"tags\"")
                     && !strstr(options, "\"campaigns\"")))
        return;
    json = mg_json_parse(options, strlen(options), &error, p);
    event->tags = strings(json_object_get(json, "tags"), p);
    event->campaigns = strings(json_object_get(json, "campaigns"), p);
}

static void read_message(mg_event_t *event, const mg_message_t *message,
                         apr_pool_t *p)
{
    event->direction = message->direction;
    event->sender = message->sender;
    event->subject = message->subject;
    event->testmode = message->testmode;
    read_options(event, message->options, p);
}

mg_event_t mg_event_of(mg_event_kind_t kind, const mg_delivery_t *delivery,
                       const mg_message_t *message, apr_pool_t *p)
{
    mg_event_t event;

    memset(&event, 0, sizeof(event));
    event.kind = kind;
    event.account_id = delivery->account_id;
    event.domain_id = delivery->domain_id;
    event.message_id = delivery->message_id;
    event.delivery_id = delivery->id;
    event.recipient = delivery->recipient;
    event.recipient_as_given = delivery->recipient_as_given;
    event.variables = delivery->variables;
    event.attempt = delivery->attempts + 1;
    if (message)
        read_message(&event, message, p);
    return event;
}

/* What the delivery of a batch knew of its recipient is kept with the event
 * of its end (mg_event_detail.c). */
static apr_status_t recall(mg_event_t *event, mg_db_t *db, apr_pool_t *p)
{
    const json_t *json;
    const char *error, *detail = NULL;
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db, "SELECT detail FROM event WHERE message_id ="
                     " $1 AND recipient = $2 AND kind = 'delivered' LIMIT 1",
                     "it", event->message_id, event->recipient);
    if (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        detail = mg_stmt_text(stmt, 0, p);
        mg_stmt_done(stmt);
    }
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_SUCCESS : rv;
    json = json_object_get(mg_json_parse(detail, strlen(detail), &error, p),
                           "recipient-variables");
    if (json_is_object(json))
        event->variables = mg_json_compact(json, p);
    return APR_SUCCESS;
}

apr_status_t mg_event_of_message(mg_event_t *event, mg_event_kind_t kind,
                                 mg_db_t *db, const mg_message_t *message,
                                 const char *recipient, apr_pool_t *p)
{
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    event->account_id = message->account_id;
    event->domain_id = message->domain_id;
    event->message_id = message->id;
    event->recipient = event->recipient_as_given = recipient;
    read_message(event, message, p);
    if (!message->options || !strstr(message->options, "\"batch\""))
        return APR_SUCCESS;
    return recall(event, db, p);
}

/* --- appending --- */

/* The URL a domain wants this kind posted to, or NULL. Without a cache
 * (mailgunctl) the row is asked. */
static apr_status_t webhook_url(const char **purl, const mg_batch_t *batch,
                                const mg_event_t *event, apr_pool_t *p)
{
    const char *setting = mg_event_kinds[event->kind].webhook;
    const mg_domain_t *domain;
    mg_domain_t *read;
    apr_status_t rv;

    *purl = NULL;
    if (!setting || event->direction != MG_OUTGOING)
        return APR_SUCCESS;
    if (batch->domains) {
        rv = mg_domain_cached_by_id(&domain, batch->domains, batch->db,
                                    event->domain_id);
    }
    else {
        rv = mg_domain_by_id(&read, batch->db, event->domain_id, p);
        domain = read;
    }
    if (rv == APR_ENOENT)
        return APR_SUCCESS;
    if (rv != APR_SUCCESS)
        return rv;
    *purl = mg_domain_setting(domain, setting);
    if (*purl && !**purl)
        *purl = NULL;
    return APR_SUCCESS;
}

static apr_status_t append_hook(const mg_batch_t *batch,
                                const mg_event_t *event, apr_int64_t event_id,
                                apr_time_t at, apr_pool_t *p)
{
    const mg_event_kind_info_t *kind = &mg_event_kinds[event->kind];
    apr_time_t now = mg_now();
    mg_delivery_t hook;
    const char *url;
    apr_status_t rv;

    rv = webhook_url(&url, batch, event, p);
    if (rv != APR_SUCCESS || !url)
        return rv;
    memset(&hook, 0, sizeof(hook));
    hook.id = mg_id_next();
    hook.message_id = event->message_id;
    hook.account_id = event->account_id;
    hook.domain_id = event->domain_id;
    hook.transport = MG_TRANSPORT_HOOK;
    hook.recipient = event->recipient;
    hook.recipient_as_given = event->recipient_as_given;
    hook.variables = event->variables;
    hook.target = url;
    hook.dest = mg_queue_url_dest(url, p);
    if (!hook.dest)
        return APR_SUCCESS; /* the setting was checked; nothing to do here */
    hook.payload = apr_pstrcat(
        p, "{\"event\":\"", kind->name, "\",\"id\":\"",
        mg_id_event(event_id, p), "\",\"recipient\":",
        mg_event_json_text(event->recipient, p), ",\"timestamp\":",
        apr_psprintf(p, "%" APR_INT64_T_FMT, apr_time_sec(at)), "}", NULL);
    hook.created_at = hook.due_at = now;
    hook.expires_at = now + HOOK_LIFE;
    return mg_queue_add_hook(batch->db, &hook);
}

apr_status_t mg_event_append(mg_db_t *db, const mg_event_t *event,
                             apr_pool_t *ptemp)
{
    const mg_event_kind_info_t *kind = &mg_event_kinds[event->kind];
    mg_batch_t *batch = mg_batch_get(db);
    apr_int64_t id = mg_id_next();
    apr_time_t at = event->at ? event->at : mg_now();
    apr_status_t rv;

    if (!batch)
        return MG_ESQL; /* an event is part of a transaction */
    rv = mg_db_exec(
        db, NULL,
        "INSERT INTO event (id, account_id, domain_id, message_id,"
        " delivery_id, kind, recipient, log_text, detail, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        "iiiiitttti", id, event->account_id, event->domain_id,
        event->message_id, event->delivery_id, kind->name,
        mg_text_clean(event->recipient, strlen(event->recipient), ptemp),
        mg_event_line(event, ptemp), mg_event_detail(event, ptemp), (apr_int64_t)at);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_stat_add(batch, event->account_id, event->domain_id,
                     mg_time_day(at), mg_event_counted_as(event), "", 1);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_suppression_of_event(db, event, ptemp);
    if (rv != APR_SUCCESS)
        return rv;
    return event->quiet ? APR_SUCCESS
                        : append_hook(batch, event, id, at, ptemp);
}
