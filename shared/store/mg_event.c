/* mg_event.c - append what happened: row, counters, webhook, one after the
 * other, in the caller's transaction. */
#include <string.h>
#include <apr_strings.h>

#include "mg_batch.h"
#include "mg_event_kind.h"
#include "mg_id.h"
#include "mg_stat.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define LOG_SUBJECT_MAX 512
#define LOG_REPLY_MAX 1024
/* A delivered hook is posted once (manual, "Delivered Event Webhook"); one
 * that waits longer than this for a notifier is stale. */
#define HOOK_LIFE (24 * 3600 * APR_TIME_C(1000000))

const mg_event_kind_info_t mg_event_kinds[MG_EVENT_MAX] = {
    [MG_EVENT_ACCEPTED] = { "accepted", "accepted", "info", "Accepted",
                            { "accepted", "accepted.in",
                              "accepted.test" }, NULL },
    [MG_EVENT_DELIVERED] = { "delivered", "delivered", "info", "Delivered",
                             { "delivered", "delivered.in",
                               "delivered.test" },
                             "webhook.deliver" },
    [MG_EVENT_FAILED_TEMP] = { "failed_temp", "tempfail", "warn", "Will retry",
                               { "failed_temp", "failed_temp.in" }, NULL },
    [MG_EVENT_FAILED] = { "failed", "bounced", "error", "Bounced",
                          { "failed", "failed.in" }, NULL },
    [MG_EVENT_DROPPED] = { "dropped", "dropped", "error", "Dropped",
                           { "dropped", "dropped.in" }, NULL },
    [MG_EVENT_POSTED] = { "posted", "forwarded", "info", "Forwarded",
                          { "posted", "posted.in" }, NULL },
    [MG_EVENT_FAILED_LATE] = { "failed_late", "bounced", "error", "Bounced",
                               { "failed_late", "failed_late.in" }, NULL },
};

const mg_event_kind_info_t *mg_event_kind_by_name(const char *name)
{
    int i;

    for (i = 0; i < MG_EVENT_MAX; i++)
        if (!strcmp(mg_event_kinds[i].name, name))
            return &mg_event_kinds[i];
    return NULL;
}

mg_event_t mg_event_of(mg_event_kind_t kind, const mg_delivery_t *delivery,
                       const mg_message_t *message)
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
    if (message) {
        event.direction = message->direction;
        event.sender = message->sender;
        event.subject = message->subject;
    }
    return event;
}

/* Valid UTF-8 on one line, at most max bytes. */
static const char *one_line(const char *s, apr_size_t max, apr_pool_t *p)
{
    apr_size_t len = s ? strlen(s) : 0, i;
    char *line = NULL;

    if (!s)
        return "";
    if (len > max) {
        for (len = max; len > 0 && ((unsigned char)s[len] & 0xC0) == 0x80;)
            len--;
        s = apr_pstrmemdup(p, s, len);
    }
    s = mg_text_clean(s, len, p);
    for (i = 0; s[i]; i++) {
        if ((unsigned char)s[i] >= 0x20 && s[i] != 0x7F)
            continue;
        if (!line)
            s = line = apr_pstrdup(p, s);
        line[i] = ' ';
    }
    return s;
}

/* "Delivered: me@d -> Bob <bob@x> 'Hello'", with what the remote said where it
 * matters. */
static const char *log_text(const mg_event_t *event, apr_pool_t *p)
{
    const char *word = mg_event_kinds[event->kind].word;
    const char *reply = NULL;

    if (event->kind == MG_EVENT_FAILED_TEMP && event->retry_in)
        word = apr_psprintf(p, "Will retry in %" APR_INT64_T_FMT " seconds",
                            (apr_int64_t)apr_time_sec(event->retry_in));
    if (event->kind == MG_EVENT_FAILED_TEMP ||
        event->kind == MG_EVENT_FAILED || event->kind == MG_EVENT_DROPPED ||
        event->kind == MG_EVENT_FAILED_LATE)
        reply = one_line(event->reply, LOG_REPLY_MAX, p);
    return apr_pstrcat(
        p, word, event->testmode ? " (test mode): " : ": ", one_line(event->sender, LOG_SUBJECT_MAX, p),
        " \xE2\x86\x92 ",
        one_line(event->recipient_as_given && *event->recipient_as_given
                     ? event->recipient_as_given
                     : event->recipient,
                 LOG_SUBJECT_MAX, p),
        " '", one_line(event->subject, LOG_SUBJECT_MAX, p), "'",
        !reply || !*reply ? ""
        : event->kind == MG_EVENT_DROPPED ? " Reason: "
                                          : " Server response: ",
        reply ? reply : "", NULL);
}

/* s as a JSON string; s is valid UTF-8. Hand-made: this runs per event. */
static const char *json_string(const char *s, apr_pool_t *p)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *c;
    char *out, *o;

    out = o = apr_palloc(p, strlen(s) * 6 + 3);
    *o++ = '"';
    for (c = (const unsigned char *)s; *c; c++) {
        if (*c == '"' || *c == '\\') {
            *o++ = '\\';
            *o++ = (char)*c;
        }
        else if (*c < 0x20) {
            memcpy(o, "\\u00", 4);
            o[4] = hex[*c >> 4];
            o[5] = hex[*c & 15];
            o += 6;
        }
        else {
            *o++ = (char)*c;
        }
    }
    *o++ = '"';
    *o = '\0';
    return out;
}

static const char *json_text(const char *s, apr_pool_t *p)
{
    return json_string(mg_text_clean(s, strlen(s), p), p);
}

/* How the mx was reached:
 *   ,"tls":true,"tls-version":"TLSv1.3","tls-cipher":"...",
 *    "certificate-verified":true,"tls-policy":"mta-sts",
 *    "sending-ip":"192.0.2.1" */
static const char *way_json(const mg_event_t *event, apr_pool_t *p)
{
    if (!event->mx || !event->tls_policy)
        return "";
    return apr_pstrcat(
        p, ",\"tls\":", event->tls ? "true" : "false",
        event->tls ? ",\"tls-version\":" : "",
        event->tls ? json_text(event->tls, p) : "",
        event->tls_cipher ? ",\"tls-cipher\":" : "",
        event->tls_cipher ? json_text(event->tls_cipher, p) : "",
        ",\"certificate-verified\":", event->verified ? "true" : "false",
        ",\"tls-policy\":", json_text(event->tls_policy, p),
        event->sending_ip ? ",\"sending-ip\":" : "",
        event->sending_ip ? json_text(event->sending_ip, p) : "", NULL);
}

/* {"code":550,"reply":"550 5.1.1 no","mx":"mx.x","class":"unknown",
 * "attempt":1}; '{}' if accepted; what nobody was asked about has no code */
static const char *detail_json(const mg_event_t *event, apr_pool_t *p)
{
    if (event->testmode)
        return "{\"is-test-mode\":true}";
    if (event->kind == MG_EVENT_ACCEPTED)
        return "{}";
    return apr_pstrcat(
        p, "{\"code\":", apr_itoa(p, event->code),
        event->reply ? ",\"reply\":" : "",
        event->reply ? json_text(event->reply, p) : "",
        event->mx ? ",\"mx\":" : "", event->mx ? json_text(event->mx, p) : "",
        way_json(event, p),
        event->bounce_class ? ",\"class\":" : "",
        event->bounce_class ? json_text(event->bounce_class, p) : "",
        event->notify ? ",\"notify\":" : "",
        event->notify ? json_text(event->notify, p) : "",
        event->reason ? ",\"reason\":" : "",
        event->reason ? json_text(event->reason, p) : "",
        ",\"attempt\":", apr_itoa(p, event->attempt),
        event->retry_in ? apr_psprintf(p, ",\"retry_in\":%" APR_INT64_T_FMT,
                                       apr_time_sec(event->retry_in))
                        : "",
        "}", NULL);
}

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
                                apr_time_t now, apr_pool_t *p)
{
    const mg_event_kind_info_t *kind = &mg_event_kinds[event->kind];
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
        json_text(event->recipient, p), ",\"timestamp\":",
        apr_psprintf(p, "%" APR_INT64_T_FMT, apr_time_sec(now)), "}", NULL);
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
    apr_time_t now = mg_now();
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
        log_text(event, ptemp), detail_json(event, ptemp), (apr_int64_t)now);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_stat_add(batch, event->account_id, event->domain_id,
                     mg_time_day(now),
                     event->testmode ? kind->counted_as[2]
                     : kind->counted_as[event->direction == MG_INCOMING],
                     "", 1);
    if (rv != APR_SUCCESS)
        return rv;
    return append_hook(batch, event, id, now, ptemp);
}
