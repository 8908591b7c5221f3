/* api_events_item.c - an event as the events API shows it (reference, section
 * 12). What stands in the event's detail (mg_event_detail.c) under the same
 * name is shown as it is. */
#include "api_events.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_campaign.h"
#include "mg_id.h"

#define BIG (10 * 1024 * 1024)   /* octets: is-big */

static const struct {
    const char *event, *severity, *level;
} shown[MG_EVENT_MAX] = {
    [MG_EVENT_ACCEPTED] = { "accepted", "", "info" },
    [MG_EVENT_DELIVERED] = { "delivered", "", "info" },
    [MG_EVENT_MAILBOX] = { "delivered", "", "info" },
    [MG_EVENT_POSTED] = { "delivered", "", "info" },
    [MG_EVENT_FAILED_TEMP] = { "failed", "temporary", "warn" },
    [MG_EVENT_FAILED] = { "failed", "permanent", "error" },
    [MG_EVENT_FAILED_LATE] = { "failed", "permanent", "error" },
    [MG_EVENT_DROPPED] = { "failed", "permanent", "error" },
    [MG_EVENT_FORWARD_FAILED] = { "failed", "permanent", "error" },
    [MG_EVENT_OPENED] = { "opened", "", "info" },
    [MG_EVENT_CLICKED] = { "clicked", "", "info" },
    [MG_EVENT_UNSUBSCRIBED] = { "unsubscribed", "", "info" },
    [MG_EVENT_COMPLAINED] = { "complained", "", "warn" },
    [MG_EVENT_STORED] = { "stored", "", "info" },
    [MG_EVENT_REFUSED] = { "rejected", "", "warn" },
    [MG_EVENT_SPAM_DROPPED] = { "rejected", "", "warn" },
};

const char *api_events_name(mg_event_kind_t kind, const char **pseverity)
{
    *pseverity = shown[kind].severity;
    return shown[kind].event;
}

const json_t *api_events_detail(const mg_event_row_t *row, apr_pool_t *p)
{
    const char *error;
    json_t *detail = mg_json_parse(row->detail, strlen(row->detail), &error,
                                   p);

    if (json_is_object(detail))
        return detail;
    detail = json_object();
    mg_json_bind(detail, p);
    return detail;
}

static int code_of(const json_t *detail)
{
    return (int)json_integer_value(json_object_get(detail, "code"));
}

/* 605, 606, 607: not tried, as the recipient is suppressed. */
static int is_suppressed(int code)
{
    return code >= 605 && code <= 607;
}

int api_events_is_repeat(const mg_event_row_t *row, const json_t *detail)
{
    const char *reason = json_string_value(json_object_get(detail, "reason"));

    return !strcmp(row->kind, mg_event_kinds[MG_EVENT_DROPPED].name) &&
           reason && !strcmp(reason, "hardfail") &&
           !is_suppressed(code_of(detail));
}

const json_t *api_events_labels(const mg_event_row_t *row,
                                const json_t *detail, const char *name,
                                apr_pool_t *p)
{
    const json_t *labels = json_object_get(detail, name);
    const char *error;

    if (labels || row->options[0] != '{' || row->options[1] == '}')
        return labels;
    labels = json_object_get(mg_json_parse(row->options, strlen(row->options),
                                           &error, p), name);
    return json_is_array(labels) ? labels : NULL;
}

/* --- members --- */

typedef struct {
    api_t *q;
    const mg_event_row_t *row;
    const json_t *detail;
    mg_event_kind_t kind;
    json_t *item;
} show_t;

/* A member of detail under a name of its own, if it is there. */
static void copy(json_t *to, const char *name, const show_t *show,
                 const char *from)
{
    json_t *value = json_object_get(show->detail, from);

    if (value)
        json_object_set(to, name, value);
}

static void set(json_t *to, const char *name, const char *text)
{
    json_object_set_new(to, name, json_string(text));
}

static int is_set(const json_t *of, const char *name)
{
    return json_is_true(json_object_get(of, name));
}

/* Names are looked up once a page would ask; a campaign that is gone has its
 * id for a name. */
static const char *campaign_name(const show_t *show, const char *id)
{
    mg_campaign_t *campaign;

    if (mg_campaign_by_id(&campaign, show->q->db, show->q->domain.id, id,
                          show->q->p) != APR_SUCCESS)
        return id;
    return campaign->name;
}

static void add_labels(const show_t *show)
{
    const json_t *ids = api_events_labels(show->row, show->detail,
                                          "campaigns", show->q->p), *id;
    const json_t *tags = api_events_labels(show->row, show->detail, "tags",
                                           show->q->p);
    json_t *campaigns = json_array();
    size_t i;

    json_array_foreach(ids, i, id)
        if (json_is_string(id))
            json_array_append_new(
                campaigns,
                json_pack("{s:O, s:s}", "id", id, "name",
                          campaign_name(show, json_string_value(id))));
    json_object_set_new(show->item, "campaigns", campaigns);
    json_object_set_new(show->item, "tags",
                        tags ? json_deep_copy(tags) : json_array());
}

/* Values are strings; what is none is JSON's text. */
static void add_variables(const show_t *show)
{
    json_t *out = json_object(), *value;
    const char *error, *key;
    json_t *all = mg_json_parse(show->row->variables,
                                strlen(show->row->variables), &error,
                                show->q->p);

    json_object_foreach(all, key, value)
        json_object_set_new(out, key,
                            json_is_string(value)
                                ? json_incref(value)
                                : json_string(mg_json_compact(value,
                                                              show->q->p)));
    json_object_set_new(show->item, "user-variables", out);
}

static void add_flags(const show_t *show)
{
    const mg_event_row_t *row = show->row;
    int outgoing = row->message && row->direction == MG_OUTGOING;

    json_object_set_new(
        show->item, "flags",
        json_pack("{s:b, s:b, s:b, s:b, s:b, s:b}", "is-authenticated",
                  outgoing, "is-test-mode",
                  is_set(show->detail, "is-test-mode"), "is-routed",
                  row->message && !outgoing, "is-system-test", 0,
                  "is-delayed-bounce", show->kind == MG_EVENT_FAILED_LATE,
                  "is-big", row->size >= BIG));
}

static json_t *recipients_json(const mg_event_row_t *row)
{
    json_t *list = json_array();
    int i;

    if (!row->all_recipients) {
        json_array_append_new(list, json_string(row->recipient));
        return list;
    }
    for (i = 0; i < row->all_recipients->nelts; i++)
        json_array_append_new(list, json_string(APR_ARRAY_IDX(
                                        row->all_recipients, i,
                                        const char *)));
    return list;
}

/* Of opens and the like the message-id alone is told. */
static void add_message(const show_t *show, int is_brief)
{
    const mg_event_row_t *row = show->row;
    json_t *headers = json_object(), *message = json_object();
    json_t *summary, *value;
    const char *error;

    json_object_set_new(message, "headers", headers);
    json_object_set_new(show->item, "message", message);
    set(headers, "message-id", row->message_id);
    if (is_brief)
        return;
    summary = mg_json_parse(row->summary, strlen(row->summary), &error,
                            show->q->p);
    value = json_object_get(summary, "to");
    set(headers, "to", value ? json_string_value(value) : row->recipient);
    set(headers, "from", row->from_header);
    set(headers, "subject", row->subject);
    value = json_object_get(summary, "attachments");
    json_object_set_new(message, "attachments",
                        value ? json_incref(value) : json_array());
    json_object_set_new(message, "recipients", recipients_json(row));
    json_object_set_new(message, "size", json_integer(row->size));
}

static void add_recipient(const show_t *show)
{
    const char *at = strrchr(show->row->recipient, '@');

    set(show->item, "recipient", show->row->recipient);
    if (at)
        set(show->item, "recipient-domain", at + 1);
}

/* How it went, or will go. */
static void add_envelope(const show_t *show)
{
    const char *transport = show->kind == MG_EVENT_POSTED ||
                                    show->kind == MG_EVENT_FORWARD_FAILED
                                ? "http"
                            : show->kind == MG_EVENT_MAILBOX ? "lmtp"
                                                             : "smtp";
    json_t *envelope = json_pack("{s:s, s:s, s:s}", "sender",
                                 show->row->sender, "transport", transport,
                                 "targets", show->row->recipient);

    copy(envelope, "sending-ip", show, "sending-ip");
    json_object_set_new(show->item, "envelope", envelope);
}

/* Ours is a description, the remote's words are the message. */
static void add_status(const show_t *show)
{
    const char *reply = json_string_value(json_object_get(show->detail,
                                                          "reply"));
    int code = code_of(show->detail);
    int is_ours = code >= 600 || code == 498 || code == 499;
    json_t *status = json_object();

    json_object_set_new(status, "code", json_integer(code));
    set(status, "message", reply && !is_ours ? reply : "");
    set(status, "description", reply && is_ours ? reply : "");
    copy(status, "attempt-no", show, "attempt");
    copy(status, "session-seconds", show, "session-seconds");
    copy(status, "mx-host", show, "mx");
    copy(status, "tls", show, "tls");
    copy(status, "utf8", show, "utf8");
    copy(status, "certificate-verified", show, "certificate-verified");
    copy(status, "retry-seconds", show, "retry_in");
    json_object_set_new(show->item, "delivery-status", status);
}

static const char *failure_reason(const show_t *show)
{
    const char *class = json_string_value(json_object_get(show->detail,
                                                          "class"));
    const char *reason = json_string_value(json_object_get(show->detail,
                                                           "reason"));

    switch (code_of(show->detail)) {
    case 605:
        return "suppress-bounce";
    case 606:
        return "suppress-unsubscribe";
    case 607:
        return "suppress-complaint";
    }
    if (reason && !strcmp(reason, "maxfails"))
        return "old";
    if (class && !strcmp(class, "greylist"))
        return "greylisted";
    if (class && (!strcmp(class, "spam") || !strcmp(class, "policy")))
        return "espblock";
    return show->kind == MG_EVENT_FAILED || show->kind == MG_EVENT_FAILED_LATE
               ? "bounce" : "generic";
}

static void add_failure(const show_t *show)
{
    set(show->item, "severity", shown[show->kind].severity);
    set(show->item, "reason", failure_reason(show));
}

static void add_reject(const show_t *show)
{
    json_t *reject = json_object();
    json_t *why = json_object_get(show->detail, "reply");

    set(reject, "reason",
        show->kind == MG_EVENT_SPAM_DROPPED ? "spam" : "refused");
    set(reject, "description", why ? json_string_value(why) : "");
    json_object_set_new(show->item, "reject", reject);
}

static void add_client(const show_t *show)
{
    copy(show->item, "ip", show, "ip");
    copy(show->item, "geolocation", show, "geolocation");
    copy(show->item, "client-info", show, "client-info");
    copy(show->item, "url", show, "url");
    copy(show->item, "machine", show, "machine");
    if (show->kind == MG_EVENT_UNSUBSCRIBED)
        copy(show->item, "tag", show, "tag");
}

/* "dev@a.test" is list dev.a.test (RFC 2919). */
static void add_list(const show_t *show)
{
    const char *address = json_string_value(
        json_object_get(show->detail, "mailing-list"));
    char *id, *at;

    if (!address)
        return;
    id = apr_pstrdup(show->q->p, address);
    at = strrchr(id, '@');
    if (at)
        *at = '.';
    json_object_set_new(show->item, "mailing-list",
                        json_pack("{s:s, s:s}", "address", address, "list-id",
                                  id));
}

/* url: where the message is kept; its last part is the key. */
static void add_storage(const show_t *show)
{
    const char *url = json_string_value(json_object_get(show->detail, "url"));
    const char *key = url ? strrchr(url, '/') : NULL;

    if (key)
        json_object_set_new(show->item, "storage",
                            json_pack("{s:s, s:s}", "url", url, "key",
                                      key + 1));
}

static void add_own(const show_t *show)
{
    switch (show->kind) {
    case MG_EVENT_ACCEPTED:
        set(show->item, "method", show->row->method);
        add_envelope(show);
        add_message(show, 0);
        break;
    case MG_EVENT_FAILED_TEMP:
    case MG_EVENT_FAILED:
    case MG_EVENT_FAILED_LATE:
    case MG_EVENT_DROPPED:
    case MG_EVENT_FORWARD_FAILED:
        add_failure(show);
        /* fallthrough */
    case MG_EVENT_DELIVERED:
    case MG_EVENT_MAILBOX:
    case MG_EVENT_POSTED:
        add_envelope(show);
        add_status(show);
        add_message(show, 0);
        break;
    case MG_EVENT_REFUSED:
    case MG_EVENT_SPAM_DROPPED:
        add_reject(show);
        add_message(show, 0);
        break;
    case MG_EVENT_STORED:
        add_storage(show);
        /* fallthrough */
    case MG_EVENT_COMPLAINED:
        add_message(show, 0);
        break;
    default: /* opened, clicked, unsubscribed */
        add_client(show);
        add_message(show, 1);
        break;
    }
}

json_t *api_events_item(api_t *q, const mg_event_row_t *row)
{
    const mg_event_kind_info_t *kind = mg_event_kind_by_name(row->kind);
    show_t show = { .q = q, .row = row, .detail = api_events_detail(row, q->p),
                    .item = json_object() };

    show.kind = kind ? (mg_event_kind_t)(kind - mg_event_kinds)
                     : MG_EVENT_ACCEPTED;
    set(show.item, "event", shown[show.kind].event);
    set(show.item, "id", mg_id_event(row->id, q->p));
    json_object_set_new(show.item, "timestamp",
                        json_real((double)row->created_at / 1e6));
    set(show.item, "log-level", shown[show.kind].level);
    add_recipient(&show);
    add_labels(&show);
    add_variables(&show);
    add_flags(&show);
    add_list(&show);
    add_own(&show);
    return show.item;
}
