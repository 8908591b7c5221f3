/* mg_message.c - accept a message; find it again. */
#include <string.h>
#include <apr_strings.h>

#include "mg_batch.h"
#include "mg_event.h"
#include "mg_message.h"
#include "mg_message_content.h"
#include "mg_sending.h"
#include "mg_status.h"
#include "mg_stored.h"
#include "mg_text.h"
#include "mg_time.h"

static const char *clean(const char *s, const char *if_null, apr_pool_t *p)
{
    return s ? mg_text_clean(s, strlen(s), p) : if_null;
}

/* Who works on what; rung after COMMIT. */
static mg_role_t role_of(mg_transport_kind_t transport)
{
    switch (transport) {
    case MG_TRANSPORT_SMTP:
    case MG_TRANSPORT_LMTP:
        return MG_ROLE_SENDER;
    case MG_TRANSPORT_HTTP:
    case MG_TRANSPORT_HOOK:
        return MG_ROLE_NOTIFIER;
    case MG_TRANSPORT_LIST:
    case MG_TRANSPORT_BOUNCE:
    case MG_TRANSPORT_EXPANSION:
        break;
    }
    return MG_ROLE_KEEPER;
}

static const mg_envelope_t *envelope_at(const mg_message_t *message, int i)
{
    return &APR_ARRAY_IDX(message->envelopes, i, const mg_envelope_t);
}

/* Work of the keeper, no recipient. */
static int is_unsaid(const mg_message_t *message, int i)
{
    mg_transport_kind_t transport = envelope_at(message, i)->transport;

    return transport == MG_TRANSPORT_BOUNCE
           || transport == MG_TRANSPORT_EXPANSION;
}

/* Kept, and nobody is told. */
static int is_only_stored(const mg_message_t *message, int i)
{
    return envelope_at(message, i)->stored_key
           && !envelope_at(message, i)->target;
}

/* Whom it was accepted for. */
static const char *came_to(const mg_envelope_t *envelope)
{
    return envelope->came_to ? envelope->came_to : envelope->recipient;
}

/* Envelopes of one recipient stand together. */
static int is_new_recipient(const mg_message_t *message, int i)
{
    if (is_unsaid(message, i))
        return 0;
    return i == 0 || strcmp(came_to(envelope_at(message, i)),
                            came_to(envelope_at(message, i - 1))) != 0;
}

/* ... and then those of one route. */
static int is_new_route(const mg_message_t *message, int i)
{
    const char *route = envelope_at(message, i)->route_id, *before;

    if (!route)
        return 0;
    before = i > 0 ? envelope_at(message, i - 1)->route_id : NULL;
    return is_new_recipient(message, i) || !before || strcmp(route, before);
}

static apr_status_t insert_message(mg_db_t *db, const mg_message_t *message,
                                   int recipients, int deliveries,
                                   apr_pool_t *p)
{
    return mg_db_exec(
        db, NULL,
        "INSERT INTO message (id, account_id, domain_id, direction, method,"
        " message_id, sender, from_header, subject, options, variables, size,"
        " recipients, deliveries, created_at, summary) VALUES ($1, $2, $3, $4,"
        " $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        "iiiitttttttiiiit", message->id, message->account_id,
        message->domain_id, (apr_int64_t)message->direction, message->method,
        clean(message->message_id, "", p), clean(message->sender, "", p),
        clean(message->from_header, "", p), clean(message->subject, "", p),
        clean(message->options, "{}", p), clean(message->variables, "{}", p),
        message->size, (apr_int64_t)recipients, (apr_int64_t)deliveries,
        (apr_int64_t)message->created_at, clean(message->summary, "{}", p));
}

/* o:deliver-within of message.options. */
static apr_interval_time_t deliver_within(const mg_message_t *message,
                                          apr_pool_t *p)
{
    mg_sending_t sending;

    if (!message->options || !strstr(message->options, "\"deliver-within\""))
        return 0;
    mg_sending_read(&sending, message->options, p);
    return sending.deliver_within;
}

/* What decides about the connection must be known before the message is read:
 * it stands with the delivery. "tls=1 skip=0"; '' if nothing was said. */
static const char *tls_of(const mg_message_t *message, apr_pool_t *p)
{
    mg_sending_t sending;

    if (!message->options
        || (!strstr(message->options, "\"require-tls\"")
            && !strstr(message->options, "\"skip-verification\"")))
        return NULL;
    mg_sending_read(&sending, message->options, p);
    return apr_pstrcat(p, sending.require_tls < 0 ? ""
                          : sending.require_tls ? "tls=1 " : "tls=0 ",
                       sending.skip_verification < 0 ? ""
                       : sending.skip_verification ? "skip=1" : "skip=0",
                       NULL);
}

static apr_status_t insert_delivery(mg_db_t *db, const mg_message_t *message,
                                    const mg_envelope_t *envelope,
                                    apr_interval_time_t within,
                                    apr_pool_t *p)
{
    apr_time_t due = envelope->due_at ? envelope->due_at
                                      : message->created_at;
    apr_time_t expires = envelope->expires_at;

    if (!expires && due > message->created_at)
        expires = due + MG_RETRY_LIMIT;
    if (within > 0 && (!expires || expires > due + within))
        expires = due + within;

    return mg_db_exec(
        db, NULL,
        "INSERT INTO delivery (id, message_id, account_id, domain_id,"
        " transport, recipient, recipient_as_given, variables, dest, target,"
        " payload, due_at, created_at, expires_at) VALUES ($1, $2, $3, $4, $5,"
        " $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        "iiiiittttttiii", envelope->id, message->id, message->account_id,
        message->domain_id, (apr_int64_t)envelope->transport,
        clean(envelope->recipient, "", p),
        clean(envelope->recipient_as_given ? envelope->recipient_as_given
                                           : envelope->recipient, "", p),
        clean(envelope->variables, "{}", p), clean(envelope->dest, "", p),
        clean(envelope->transport == MG_TRANSPORT_SMTP ? tls_of(message, p)
                                                       : envelope->target,
              "", p), clean(envelope->payload, "", p),
        (apr_int64_t)due, (apr_int64_t)message->created_at,
        (apr_int64_t)expires);
}

static apr_status_t append(mg_db_t *db, mg_event_kind_t kind,
                           mg_event_t *event, const mg_envelope_t *envelope,
                           apr_pool_t *p)
{
    event->kind = kind;
    event->delivery_id = event->testmode ? 0 : envelope->id;
    event->recipient = came_to(envelope);
    event->recipient_as_given = envelope->came_to
                                    ? envelope->came_to_as_given
                                    : envelope->recipient_as_given;
    event->variables = envelope->variables;
    return mg_event_append(db, event, p);
}

/* Test mode: accepted and, as far as anybody can see, delivered. */
static apr_status_t append_recipient(mg_db_t *db, mg_event_t *event,
                                     const mg_envelope_t *envelope,
                                     apr_pool_t *p)
{
    apr_status_t rv = append(db, MG_EVENT_ACCEPTED, event, envelope, p);

    if (rv == APR_SUCCESS && event->testmode)
        rv = append(db, MG_EVENT_DELIVERED, event, envelope, p);
    return rv;
}

static apr_status_t append_routed(mg_db_t *db, const mg_event_t *message,
                                  const mg_envelope_t *envelope,
                                  apr_pool_t *p)
{
    mg_event_t event = *message;

    event.kind = MG_EVENT_ROUTED;
    event.delivery_id = 0;
    event.recipient = event.recipient_as_given = came_to(envelope);
    event.reply = envelope->filter;
    return mg_event_append(db, &event, p);
}

/* --- store() --- */

static apr_interval_time_t stored_for = MG_RETRY_LIMIT;

void mg_message_set_stored_for(apr_interval_time_t interval)
{
    stored_for = interval;
}

static apr_status_t keep(mg_db_t *db, const mg_message_t *message,
                         const mg_event_t *of_message,
                         const mg_envelope_t *envelope, apr_pool_t *p)
{
    mg_stored_t stored = { 0, message->id, message->account_id,
                           message->domain_id, envelope->stored_key,
                           clean(envelope->recipient, "", p),
                           message->created_at + stored_for };
    mg_event_t event = *of_message;
    apr_status_t rv = mg_stored_insert(db, &stored);

    if (rv != APR_SUCCESS)
        return rv;
    event.kind = MG_EVENT_STORED;
    event.delivery_id = 0;
    event.recipient = envelope->recipient;
    event.recipient_as_given = envelope->recipient_as_given;
    event.url = envelope->stored_key;
    return mg_event_append(db, &event, p);
}

static apr_status_t append_events(mg_db_t *db, const mg_message_t *message,
                                  mg_event_t *event, int i, apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;

    if (is_new_recipient(message, i))
        rv = append_recipient(db, event, envelope_at(message, i), p);
    if (rv == APR_SUCCESS && is_new_route(message, i))
        rv = append_routed(db, event, envelope_at(message, i), p);
    if (rv == APR_SUCCESS && envelope_at(message, i)->stored_key)
        rv = keep(db, message, event, envelope_at(message, i), p);
    return rv;
}

typedef struct {
    int recipients, deliveries;   /* that end with an event */
} tally_t;

static tally_t tally_of(const mg_message_t *message)
{
    tally_t t = { 0, 0 };
    int i;

    for (i = 0; i < message->envelopes->nelts; i++) {
        t.recipients += is_new_recipient(message, i);
        t.deliveries += !is_unsaid(message, i) && !is_only_stored(message, i);
    }
    return t;
}

static apr_status_t insert_envelopes(mg_db_t *db, mg_batch_t *batch,
                                     const mg_message_t *message,
                                     apr_pool_t *p)
{
    apr_interval_time_t within = deliver_within(message, p);
    mg_event_t event = mg_event_from(message, p);
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < message->envelopes->nelts; i++) {
        const mg_envelope_t *envelope = envelope_at(message, i);

        if (!message->testmode && !is_only_stored(message, i)) {
            rv = insert_delivery(db, message, envelope, within, p);
            mg_batch_ring(batch, role_of(envelope->transport));
        }
        if (rv == APR_SUCCESS)
            rv = append_events(db, message, &event, i, p);
    }
    return rv;
}

apr_status_t mg_message_accept(mg_db_t *db, const mg_message_t *message,
                               apr_pool_t *ptemp)
{
    mg_batch_t *batch = mg_batch_get(db);
    tally_t tally = { 0, 0 };
    apr_status_t rv;

    if (!batch)
        return MG_ESQL; /* accepting is part of a transaction */
    if (message->envelopes && !message->testmode)
        tally = tally_of(message);
    rv = insert_message(db, message, tally.recipients, tally.deliveries,
                        ptemp);
    if (rv == APR_SUCCESS && !message->content_is_stored)
        rv = mg_content_insert(db, message->id, 0, message->bytes,
                               message->bytes_len);
    if (rv == APR_SUCCESS && message->envelopes)
        rv = insert_envelopes(db, batch, message, ptemp);
    return rv;
}

apr_status_t mg_message_add_recipients(mg_db_t *db,
                                       const mg_message_t *message,
                                       apr_pool_t *ptemp)
{
    mg_batch_t *batch = mg_batch_get(db);
    tally_t tally = tally_of(message);
    apr_status_t rv;

    if (!batch)
        return MG_ESQL;
    rv = mg_db_exec(db, NULL, "UPDATE message SET recipients = recipients"
                    " + $1, deliveries = deliveries + $2 WHERE id = $3", "iii",
                    (apr_int64_t)tally.recipients,
                    (apr_int64_t)tally.deliveries, message->id);
    return rv == APR_SUCCESS ? insert_envelopes(db, batch, message, ptemp)
                             : rv;
}

apr_status_t mg_message_add(mg_db_t *db, const mg_message_t *message,
                            const mg_envelope_t *envelope, apr_pool_t *ptemp)
{
    mg_batch_t *batch = mg_batch_get(db);
    apr_status_t rv;

    if (!batch)
        return MG_ESQL;
    rv = insert_delivery(db, message, envelope, 0, ptemp);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "UPDATE message SET deliveries ="
                        " deliveries + 1 WHERE id = $1", "i", message->id);
    mg_batch_ring(batch, role_of(envelope->transport));
    return rv;
}

apr_status_t mg_message_is_there(mg_db_t *db, void *message)
{
    apr_int64_t one;

    return mg_db_get_int(db, &one, "SELECT 1 FROM message WHERE id = $1", "i",
                         ((const mg_message_t *)message)->id);
}

apr_status_t mg_message_get(mg_message_t **pmessage, mg_db_t *db,
                            apr_int64_t id, apr_pool_t *p)
{
    mg_message_t *m;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pmessage = NULL;
    rv = mg_db_query(&stmt, db,
                     "SELECT account_id, domain_id, direction, method,"
                     " message_id, sender, from_header, subject, options,"
                     " variables, size, created_at FROM message WHERE id = $1",
                     "i", id);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    m = apr_pcalloc(p, sizeof(*m));
    m->id = id;
    m->account_id = mg_stmt_int(stmt, 0);
    m->domain_id = mg_stmt_int(stmt, 1);
    m->direction = (int)mg_stmt_int(stmt, 2);
    m->method = mg_stmt_text(stmt, 3, p);
    m->message_id = mg_stmt_text(stmt, 4, p);
    m->sender = mg_stmt_text(stmt, 5, p);
    m->from_header = mg_stmt_text(stmt, 6, p);
    m->subject = mg_stmt_text(stmt, 7, p);
    m->options = mg_stmt_text(stmt, 8, p);
    m->variables = mg_stmt_text(stmt, 9, p);
    m->size = mg_stmt_int(stmt, 10);
    m->created_at = mg_stmt_int(stmt, 11);
    m->content_is_stored = 1;
    mg_stmt_done(stmt);
    *pmessage = m;
    return APR_SUCCESS;
}
