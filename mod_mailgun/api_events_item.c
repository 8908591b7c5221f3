/* api_events_item.c - an event as the events API shows it (reference, section
 * 12). What stands in the event's detail (mg_event_detail.c) under the same
 * name is shown as it is. */
#include "api_events.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_campaign.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_stored.h"

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

void api_events_detail(mg_json_view_t *detail, const mg_event_row_t *row,
                       apr_pool_t *p)
{
    mg_json_view(detail, row->detail, strlen(row->detail), '{', p);
}

static const char *text_of(const mg_json_view_t *detail, const char *name,
                           apr_pool_t *p)
{
    return mg_json_span_text(mg_json_view_find(detail, name), p);
}

static int code_of(const mg_json_view_t *detail)
{
    return (int)mg_json_span_int(mg_json_view_find(detail, "code"));
}

/* 605, 606, 607: not tried, as the recipient is suppressed. */
static int is_suppressed(int code)
{
    return code >= 605 && code <= 607;
}

int api_events_is_repeat(const mg_event_row_t *row,
                         const mg_json_view_t *detail, apr_pool_t *p)
{
    const char *reason = text_of(detail, "reason", p);

    return !strcmp(row->kind, mg_event_kinds[MG_EVENT_DROPPED].name) &&
           reason && !strcmp(reason, "hardfail") &&
           !is_suppressed(code_of(detail));
}

mg_json_span_t api_events_labels(const mg_event_row_t *row,
                                 const mg_json_view_t *detail,
                                 const char *name, apr_pool_t *p)
{
    mg_json_span_t labels = mg_json_view_find(detail, name), none = { 0 };
    mg_json_view_t options;

    if (labels.at || row->options[0] != '{' || row->options[1] == '}')
        return labels;
    mg_json_view(&options, row->options, strlen(row->options), '{', p);
    labels = mg_json_view_find(&options, name);
    return labels.at && *labels.at == '[' ? labels : none;
}

/* --- members --- */

typedef struct {
    mg_json_out_t *out;
    const api_events_show_t *page;
    const mg_event_row_t *row;
    mg_json_view_t detail;
    mg_event_kind_t kind;
    apr_pool_t *p;               /* of this item */
} show_t;

/* A member of detail under a name of its own, if it is there. */
static void copy(const show_t *show, const char *name, const char *from)
{
    mg_json_out_copy(show->out, name, mg_json_view_find(&show->detail, from));
}

static void set(const show_t *show, const char *name, const char *text)
{
    mg_json_out_text(show->out, name, text);
}

static void begin(const show_t *show, const char *name, char bracket)
{
    mg_json_out_open(show->out, name, bracket);
}

static void end(const show_t *show, char bracket)
{
    mg_json_out_close(show->out, bracket);
}

/* Looked up once a page; a campaign that is gone has its id for a name. */
static const char *campaign_name(const show_t *show, const char *id)
{
    api_t *q = show->page->q;
    apr_hash_t *names = show->page->campaigns;
    const char *name = apr_hash_get(names, id, APR_HASH_KEY_STRING);
    mg_campaign_t *campaign;

    if (name)
        return name;
    id = apr_pstrdup(q->p, id);
    name = mg_campaign_by_id(&campaign, q->db, q->domain.id, id, q->p)
                   == APR_SUCCESS ? campaign->name : id;
    apr_hash_set(names, id, APR_HASH_KEY_STRING, name);
    return name;
}

static void add_labels(const show_t *show)
{
    mg_json_span_t ids = api_events_labels(show->row, &show->detail,
                                           "campaigns", show->p);
    mg_json_span_t tags = api_events_labels(show->row, &show->detail, "tags",
                                            show->p);
    mg_json_view_t list = { 0 };
    int i;

    if (ids.at)
        mg_json_view(&list, ids.at, ids.len, '[', show->p);
    begin(show, "campaigns", '[');
    for (i = 0; i < list.n; i++) {
        const char *id = mg_json_span_text(list.members[i].value, show->p);

        if (!id)
            continue;
        begin(show, NULL, '{');
        set(show, "id", id);
        set(show, "name", campaign_name(show, id));
        end(show, '}');
    }
    end(show, ']');
    if (tags.at) {
        mg_json_out_copy(show->out, "tags", tags);
        return;
    }
    begin(show, "tags", '[');
    end(show, ']');
}

/* Values are strings; what is none is JSON's text. */
static void add_variables(const show_t *show)
{
    const char *text = show->row->variables, *error;
    mg_json_view_t all;
    int i;

    mg_json_view(&all, text, strlen(text), '{', show->p);
    begin(show, "user-variables", '{');
    for (i = 0; i < all.n; i++) {
        const char *name = mg_json_span_text(all.members[i].name, show->p);
        mg_json_span_t value = all.members[i].value;

        if (*value.at == '"')
            mg_json_out_copy(show->out, name, value);
        else
            set(show, name, mg_json_compact(mg_json_parse(value.at, value.len,
                                                          &error, show->p),
                                            show->p));
    }
    end(show, '}');
}

static void flag(const show_t *show, const char *name, int value)
{
    mg_json_out_bool(show->out, name, value);
}

static void add_flags(const show_t *show)
{
    const mg_event_row_t *row = show->row;
    int outgoing = row->message && row->direction == MG_OUTGOING;

    begin(show, "flags", '{');
    flag(show, "is-authenticated", outgoing);
    flag(show, "is-test-mode",
         mg_json_span_is_true(mg_json_view_find(&show->detail,
                                                "is-test-mode")));
    flag(show, "is-routed", row->message && !outgoing);
    flag(show, "is-system-test", 0);
    flag(show, "is-delayed-bounce", show->kind == MG_EVENT_FAILED_LATE);
    flag(show, "is-big", row->size >= BIG);
    end(show, '}');
}

static void add_recipients(const show_t *show)
{
    const mg_event_row_t *row = show->row;
    int i;

    begin(show, "recipients", '[');
    if (!row->all_recipients)
        set(show, NULL, row->recipient);
    for (i = 0; row->all_recipients && i < row->all_recipients->nelts; i++)
        set(show, NULL, APR_ARRAY_IDX(row->all_recipients, i, const char *));
    end(show, ']');
}

/* Of opens and the like the message-id alone is told. */
static void add_message(const show_t *show, int is_brief)
{
    const mg_event_row_t *row = show->row;
    mg_json_span_t to, attachments;
    mg_json_view_t summary;

    begin(show, "message", '{');
    begin(show, "headers", '{');
    set(show, "message-id", row->message_id);
    if (is_brief) {
        end(show, '}');
        end(show, '}');
        return;
    }
    mg_json_view(&summary, row->summary, strlen(row->summary), '{', show->p);
    to = mg_json_view_find(&summary, "to");
    set(show, "to", to.at ? mg_json_span_text(to, show->p) : row->recipient);
    set(show, "from", row->from_header);
    set(show, "subject", row->subject);
    end(show, '}');
    attachments = mg_json_view_find(&summary, "attachments");
    if (!attachments.at)
        attachments = (mg_json_span_t){ "[]", 2 };
    mg_json_out_copy(show->out, "attachments", attachments);
    add_recipients(show);
    mg_json_out_int(show->out, "size", row->size);
    end(show, '}');
}

static void add_recipient(const show_t *show)
{
    const char *at = strrchr(show->row->recipient, '@');

    set(show, "recipient", show->row->recipient);
    if (at)
        set(show, "recipient-domain", at + 1);
}

/* How it went, or will go. */
static void add_envelope(const show_t *show)
{
    const char *transport = show->kind == MG_EVENT_POSTED ||
                                    show->kind == MG_EVENT_FORWARD_FAILED
                                ? "http"
                            : show->kind == MG_EVENT_MAILBOX ? "lmtp"
                                                             : "smtp";

    begin(show, "envelope", '{');
    set(show, "sender", show->row->sender);
    set(show, "transport", transport);
    set(show, "targets", show->row->recipient);
    copy(show, "sending-ip", "sending-ip");
    end(show, '}');
}

/* Ours is a description, the remote's words are the message. */
static void add_status(const show_t *show)
{
    const char *reply = text_of(&show->detail, "reply", show->p);
    int code = code_of(&show->detail);
    int is_ours = code >= 600 || code == 498 || code == 499;

    begin(show, "delivery-status", '{');
    mg_json_out_int(show->out, "code", code);
    set(show, "message", reply && !is_ours ? reply : "");
    set(show, "description", reply && is_ours ? reply : "");
    copy(show, "attempt-no", "attempt");
    copy(show, "session-seconds", "session-seconds");
    copy(show, "mx-host", "mx");
    copy(show, "tls", "tls");
    copy(show, "utf8", "utf8");
    copy(show, "certificate-verified", "certificate-verified");
    copy(show, "retry-seconds", "retry_in");
    end(show, '}');
}

static const char *failure_reason(const show_t *show)
{
    const char *class = text_of(&show->detail, "class", show->p);
    const char *reason = text_of(&show->detail, "reason", show->p);

    switch (code_of(&show->detail)) {
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
    set(show, "severity", shown[show->kind].severity);
    set(show, "reason", failure_reason(show));
}

static void add_reject(const show_t *show)
{
    mg_json_span_t why = mg_json_view_find(&show->detail, "reply");

    begin(show, "reject", '{');
    set(show, "reason",
        show->kind == MG_EVENT_SPAM_DROPPED ? "spam" : "refused");
    set(show, "description", why.at ? mg_json_span_text(why, show->p) : "");
    end(show, '}');
}

static void add_client(const show_t *show)
{
    copy(show, "ip", "ip");
    copy(show, "geolocation", "geolocation");
    copy(show, "client-info", "client-info");
    copy(show, "url", "url");
    copy(show, "machine", "machine");
    if (show->kind == MG_EVENT_UNSUBSCRIBED)
        copy(show, "tag", "tag");
}

/* "dev@a.test" is list dev.a.test (RFC 2919). */
static void add_list(const show_t *show)
{
    const char *address = text_of(&show->detail, "mailing-list", show->p);
    char *id, *at;

    if (!address)
        return;
    id = apr_pstrdup(show->p, address);
    at = strrchr(id, '@');
    if (at)
        *at = '.';
    begin(show, "mailing-list", '{');
    set(show, "address", address);
    set(show, "list-id", id);
    end(show, '}');
}

/* url is the key of the message that is kept (mg_stored.h). */
static void add_storage(const show_t *show)
{
    const char *key = text_of(&show->detail, "url", show->p);
    api_t *q = show->page->q;

    if (!key)
        return;
    begin(show, "storage", '{');
    set(show, "url", apr_pstrcat(show->p, api_url(q),
                                 mg_stored_path(q->domain.name, key, show->p),
                                 NULL));
    set(show, "key", key);
    end(show, '}');
}

static void add_own(const show_t *show)
{
    switch (show->kind) {
    case MG_EVENT_ACCEPTED:
        set(show, "method", show->row->method);
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

void api_events_item(const api_events_show_t *page, const mg_event_row_t *row)
{
    const mg_event_kind_info_t *kind = mg_event_kind_by_name(row->kind);
    show_t show = { .out = page->out, .page = page, .row = row,
                    .p = page->pitem };

    apr_pool_clear(show.p);
    api_events_detail(&show.detail, row, show.p);
    show.kind = kind ? (mg_event_kind_t)(kind - mg_event_kinds)
                     : MG_EVENT_ACCEPTED;
    begin(&show, NULL, '{');
    set(&show, "event", shown[show.kind].event);
    set(&show, "id", mg_id_event(row->id, show.p));
    mg_json_out_seconds(show.out, "timestamp", row->created_at);
    set(&show, "log-level", shown[show.kind].level);
    add_recipient(&show);
    add_labels(&show);
    add_variables(&show);
    add_flags(&show);
    add_list(&show);
    add_own(&show);
    end(&show, '}');
}
