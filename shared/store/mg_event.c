/* mg_event.c - append what happened: row, counters, webhook, one after the
 * other, in the caller's transaction. */
#include <string.h>
#include <apr_strings.h>

#include "mg_batch.h"
#include "mg_campaign_event.h"
#include "mg_event_count.h"
#include "mg_event_kind.h"
#include "mg_event_private.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_render.h"
#include "mg_stat.h"
#include "mg_status.h"
#include "mg_suppression_private.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_usage.h"

/* It stands in an index, whose entries are limited (PostgreSQL: 2704). */
#define RECIPIENT_MAX 512

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
    const mg_list_copy_t *list;
    const json_t *json;
    const char *error;

    if (!options || (!strstr(options, "\"tags\"")
                     && !strstr(options, "\"campaigns\"")
                     && !strstr(options, "\"list\"")))
        return;
    json = mg_json_parse(options, strlen(options), &error, p);
    event->tags = strings(json_object_get(json, "tags"), p);
    event->campaigns = strings(json_object_get(json, "campaigns"), p);
    list = mg_list_copy_read(json, p);
    if (list) {
        event->mailing_list = list->address;
        event->list_id = list->id;
    }
}

static void read_message(mg_event_t *event, const mg_message_t *message,
                         apr_pool_t *p)
{
    event->direction = message->direction;
    event->sender = message->sender;
    event->subject = message->subject;
    event->testmode = message->testmode;
    event->notice = !strcmp(message->method, MG_METHOD_NOTICE);
    read_options(event, message->options, p);
}

mg_event_t mg_event_from(const mg_message_t *message, apr_pool_t *p)
{
    mg_event_t event;

    memset(&event, 0, sizeof(event));
    event.account_id = message->account_id;
    event.domain_id = message->domain_id;
    event.message_id = message->id;
    read_message(&event, message, p);
    return event;
}

/* What became of a route's forward, or of mail for a mailbox of ours that came
 * in, has kinds of its own. */
static mg_event_kind_t kind_of(mg_event_kind_t kind,
                               const mg_delivery_t *delivery, int direction)
{
    int forwards = delivery->transport == MG_TRANSPORT_HTTP
                   || (delivery->transport == MG_TRANSPORT_SMTP
                       && direction == MG_INCOMING);

    if (kind == MG_EVENT_DELIVERED && forwards)
        return MG_EVENT_POSTED;
    if (kind == MG_EVENT_FAILED && forwards)
        return MG_EVENT_FORWARD_FAILED;
    if (kind == MG_EVENT_DELIVERED && direction == MG_INCOMING
        && delivery->transport == MG_TRANSPORT_LMTP)
        return MG_EVENT_MAILBOX;
    return kind;
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
    event.kind = kind_of(kind, delivery, event.direction);
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

/* As the recipient saw it. */
static const char *subject_of(const mg_event_t *event,
                              const mg_message_t *message, apr_pool_t *p)
{
    mg_delivery_t delivery = { .recipient = event->recipient,
                               .recipient_as_given = event->recipient,
                               .variables = event->variables };
    mg_render_for_t who = { .message = message, .delivery = &delivery,
                            .domain = "" };

    return mg_render_line(event->subject, &who, p);
}

apr_status_t mg_event_of_message(mg_event_t *event, mg_event_kind_t kind,
                                 mg_db_t *db, const mg_message_t *message,
                                 const char *recipient, apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;

    *event = mg_event_from(message, p);
    event->kind = kind;
    event->recipient = event->recipient_as_given = recipient;
    if (!message->options)
        return APR_SUCCESS;
    if (strstr(message->options, "\"batch\""))
        rv = recall(event, db, p);
    if (rv == APR_SUCCESS && strstr(message->options, "\"template\""))
        event->subject = subject_of(event, message, p);
    return rv;
}

/* --- appending --- */

/* What persons made of real mail is counted by tags, too. Two tags may have
 * one slug. */
static void count_tags(mg_batch_t *batch, const mg_event_t *event,
                       apr_int64_t day, apr_pool_t *p)
{
    const mg_event_kind_info_t *kind = &mg_event_kinds[event->kind];
    apr_array_header_t *slugs;
    const char *slug;
    int i, j;

    slugs = apr_array_make(p, event->tags->nelts, sizeof(const char *));
    for (i = 0; i < event->tags->nelts; i++) {
        slug = mg_stat_slug(APR_ARRAY_IDX(event->tags, i, const char *), p);
        for (j = 0; j < slugs->nelts; j++)
            if (!strcmp(APR_ARRAY_IDX(slugs, j, const char *), slug))
                break;
        if (j < slugs->nelts)
            continue;
        APR_ARRAY_PUSH(slugs, const char *) = slug;
        mg_stat_add_tag(batch, event->domain_id, day, kind->counted_as[0],
                        slug, 1);
    }
}

static void count(mg_batch_t *batch, const mg_event_t *event, apr_int64_t day,
                  apr_pool_t *p)
{
    const mg_event_kind_info_t *kind = &mg_event_kinds[event->kind];
    const char *counted_as = mg_event_counted_as(event);

    mg_stat_add(batch, event->domain_id, day, counted_as, 1);
    if (event->tags && kind->stat && counted_as == kind->counted_as[0])
        count_tags(batch, event, day, p);
    mg_usage_count(batch, event, day);
}

static apr_status_t append_one(mg_db_t *db, const mg_event_t *event,
                               apr_pool_t *ptemp)
{
    const mg_event_kind_info_t *kind = &mg_event_kinds[event->kind];
    mg_batch_t *batch = mg_batch_get(db);
    apr_int64_t id = event->id ? event->id : mg_id_next();
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
        mg_text_clean(event->recipient, strnlen(event->recipient,
                                                RECIPIENT_MAX), ptemp),
        mg_event_line(event, ptemp), mg_event_detail(event, ptemp),
        (apr_int64_t)at);
    if (rv != APR_SUCCESS)
        return rv;
    mg_event_count_add(batch, event->domain_id, id);
    count(batch, event, mg_time_day(at), ptemp);
    rv = mg_suppression_of_event(db, event, ptemp);
    if (rv == APR_SUCCESS)
        rv = mg_campaign_note(batch, event, id, at, ptemp);
    if (rv != APR_SUCCESS)
        return rv;
    return mg_event_hooks(batch, event, id, at, ptemp);
}

apr_status_t mg_event_append(mg_db_t *db, const mg_event_t *event,
                             apr_pool_t *ptemp)
{
    mg_event_t one = *event;
    apr_status_t rv;

    if ((one.kind != MG_EVENT_FAILED && one.kind != MG_EVENT_FAILED_LATE)
        || one.direction != MG_OUTGOING)
        return append_one(db, &one, ptemp);
    /* whoever is given up has one "dropped", however that came about */
    if (!one.reason)
        one.reason = "hardfail";
    rv = append_one(db, &one, ptemp);
    one.kind = MG_EVENT_DROPPED;
    one.id = 0;
    return rv == APR_SUCCESS ? append_one(db, &one, ptemp) : rv;
}
