/* mg_event_hook.c - who is told of an event by webhook (manual, "Tracking
 * Messages"): a row for the notifier for each URL that wants it, in the event's
 * transaction.
 *
 * The row's payload is JSON: what only the event knew. The message, which has
 * the rest, stays in the store as long as the row does, its content too where
 * that is still there (mg_message_sweep, mg_retention_step).
 *
 *   event      "bounced": what is posted
 *   id         of the event, as the events API shows it
 *   timestamp  when it happened, seconds
 *   fields     an object of strings, by the names that are posted, in order
 *   original   base64: what a report showed of the message (mg_event_t)
 *
 * of one that was given up (mg_dead_letter.h) also
 *
 *   posted     array of [name, value]: all fields but timestamp, token and
 *              signature, as they were
 */
#include <apr_base64.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_bounce.h"
#include "mg_event_private.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_text.h"
#include "mg_time.h"

/* How long it may wait for a notifier and for a host that is left alone, before
 * it is given up; as mail does. */
#define HOOK_LIFE MG_RETRY_LIMIT
/* Of a message in a report; base64 makes a third more of it. */
#define ORIGINAL_MAX (64 * 1024)

static int machines_too;

void mg_event_hook_machines(int too)
{
    machines_too = too;
}

/* --- what is posted --- */

static void put(json_t *fields, const char *name, const char *value,
                apr_pool_t *p)
{
    if (value && *value)
        json_object_set_new(fields, name,
                            json_string(mg_text_clean(value, strlen(value),
                                                      p)));
}

/* As received: the enhanced code where there is one, else the three digits
 * (reference, section 0). What we say ourselves has ours alone. */
static const char *code_of(const mg_event_t *event, apr_pool_t *p)
{
    char enhanced[MG_ENHANCED_LEN] = "";

    if (event->reply)
        mg_bounce_enhanced(enhanced, event->reply);
    if (*enhanced)
        return apr_pstrdup(p, enhanced);
    return event->code ? apr_itoa(p, event->code) : "";
}

/* "550 5.1.1 no such user" without the digits that stand there already. */
static const char *words_of(const mg_event_t *event)
{
    const char *reply = event->reply ? event->reply : "";

    if (strspn(reply, "0123456789") == 3 && (reply[3] == ' '
                                             || reply[3] == '-'))
        return reply + 4;
    return reply;
}

static void put_bounced(json_t *fields, const mg_event_t *event, apr_pool_t *p)
{
    put(fields, "code", code_of(event, p), p);
    json_object_set_new(fields, "error", json_string(
        mg_text_clean(words_of(event), strlen(words_of(event)), p)));
    put(fields, "notification", event->bounce_class, p);
}

static void put_dropped(json_t *fields, const mg_event_t *event, apr_pool_t *p)
{
    int soft = event->reason && strcmp(event->reason, "maxfails") == 0;

    put(fields, "reason", soft ? "maxfails" : "hardfail", p);
    put(fields, "code", code_of(event, p), p);
    json_object_set_new(fields, "description", json_string(
        mg_text_clean(words_of(event), strlen(words_of(event)), p)));
}

/* opened, clicked, unsubscribed: by whom */
static void put_client(json_t *fields, const mg_event_t *event, apr_pool_t *p)
{
    put(fields, "url", event->kind == MG_EVENT_CLICKED ? event->url : NULL, p);
    put(fields, "ip", event->ip, p);
    put(fields, "country", event->country, p);
    put(fields, "region", event->region, p);
    put(fields, "city", event->city, p);
    put(fields, "user-agent", event->user_agent, p);
    put(fields, "device-type", event->device_type, p);
    put(fields, "client-type", event->client_type, p);
    put(fields, "client-name", event->client_name, p);
    put(fields, "client-os", event->client_os, p);
    if (event->kind == MG_EVENT_UNSUBSCRIBED && !event->mailing_list
        && (!event->tag || strcmp(event->tag, "*") == 0))
        put(fields, "tag", "*", p); /* else the message's tags */
}

static void put_nothing(json_t *fields, const mg_event_t *event, apr_pool_t *p)
{
    (void)fields;
    (void)event;
    (void)p;
}

static const struct {
    mg_event_kind_t kind;
    const char *event, *setting;
    void (*put)(json_t *fields, const mg_event_t *event, apr_pool_t *p);
} posts[] = {
    { MG_EVENT_DELIVERED, "delivered", "webhook.deliver", put_nothing },
    { MG_EVENT_FAILED, "bounced", "webhook.bounce", put_bounced },
    { MG_EVENT_FAILED_LATE, "bounced", "webhook.bounce", put_bounced },
    { MG_EVENT_DROPPED, "dropped", "webhook.drop", put_dropped },
    { MG_EVENT_OPENED, "opened", "webhook.open", put_client },
    { MG_EVENT_CLICKED, "clicked", "webhook.click", put_client },
    { MG_EVENT_UNSUBSCRIBED, "unsubscribed", "webhook.unsubscribe",
      put_client },
    { MG_EVENT_COMPLAINED, "complained", "webhook.spam", put_nothing },
};
enum { POSTS = sizeof(posts) / sizeof(posts[0]) };

const char *mg_event_hook_url(const mg_domain_t *domain, const char *event)
{
    const char *url = NULL;
    int i;

    for (i = 0; i < POSTS && !url; i++)
        if (strcmp(posts[i].event, event) == 0)
            url = mg_domain_setting(domain, posts[i].setting);
    return url && *url ? url : NULL;
}

static void put_original(json_t *payload, const mg_event_t *event,
                         apr_pool_t *p)
{
    int len = (int)(event->original_len < ORIGINAL_MAX ? event->original_len
                                                       : ORIGINAL_MAX);
    char *text;

    if (!event->original || len == 0)
        return;
    text = apr_palloc(p, (apr_size_t)apr_base64_encode_len(len));
    apr_base64_encode_binary(text, (const unsigned char *)event->original,
                             len);
    json_object_set_new(payload, "original", json_string(text));
}

static const char *payload_of(int post, const mg_event_t *event,
                              apr_int64_t event_id, apr_time_t at,
                              apr_pool_t *p)
{
    json_t *fields = json_object();
    json_t *payload = json_pack(
        "{s:s, s:s, s:I, s:o}", "event", posts[post].event, "id",
        mg_id_event(event_id, p), "timestamp",
        (json_int_t)apr_time_sec(at), "fields", fields);

    mg_json_bind(payload, p);
    posts[post].put(fields, event, p);
    put(fields, "mailing-list", event->mailing_list, p);
    put_original(payload, event, p);
    return mg_json_compact(payload, p);
}

/* --- to whom --- */

/* Without a cache (mailgunctl) the row is asked. */
static apr_status_t domain_of(const mg_domain_t **pdomain,
                              const mg_batch_t *batch, apr_int64_t id,
                              apr_pool_t *p)
{
    mg_domain_t *read = NULL;
    apr_status_t rv;

    if (batch->domains)
        return mg_domain_cached_by_id(pdomain, batch->domains, batch->db, id);
    rv = mg_domain_by_id(&read, batch->db, id, p);
    *pdomain = read;
    return rv;
}

static apr_status_t add_row(const mg_batch_t *batch, int post,
                            const char *url, const mg_event_t *event,
                            apr_int64_t event_id, apr_time_t at,
                            apr_pool_t *p)
{
    apr_time_t now = mg_now();
    mg_delivery_t hook;

    memset(&hook, 0, sizeof(hook));
    hook.dest = mg_queue_url_dest(url, p);
    if (!hook.dest)
        return APR_SUCCESS; /* the setting was checked; nothing to do here */
    hook.id = mg_id_next();
    hook.message_id = event->message_id;
    hook.account_id = event->account_id;
    hook.domain_id = event->domain_id;
    hook.transport = MG_TRANSPORT_HOOK;
    hook.recipient = event->recipient;
    hook.recipient_as_given = event->recipient_as_given;
    hook.variables = event->variables;
    hook.target = url;
    hook.payload = payload_of(post, event, event_id, at, p);
    hook.created_at = hook.due_at = now;
    hook.expires_at = now + HOOK_LIFE;
    return mg_queue_add_hook(batch->db, &hook);
}

apr_status_t mg_event_hooks(const mg_batch_t *batch, const mg_event_t *event,
                            apr_int64_t event_id, apr_time_t at,
                            apr_pool_t *p)
{
    const mg_domain_t *domain = NULL;
    apr_status_t rv = APR_SUCCESS;
    const char *url;
    int i;

    if (event->direction != MG_OUTGOING || event->notice
        || (event->machine && !machines_too))
        return APR_SUCCESS;
    for (i = 0; rv == APR_SUCCESS && i < POSTS; i++) {
        if (posts[i].kind != event->kind)
            continue;
        if (!domain)
            rv = domain_of(&domain, batch, event->domain_id, p);
        if (rv == APR_ENOENT)
            return APR_SUCCESS; /* removed meanwhile */
        if (rv != APR_SUCCESS)
            return rv;
        url = mg_domain_setting(domain, posts[i].setting);
        if (url && *url)
            rv = add_row(batch, i, url, event, event_id, at, p);
    }
    return rv;
}
