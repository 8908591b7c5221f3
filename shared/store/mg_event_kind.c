/* mg_event_kind.c - the one table of what can happen to a message. */
#include <string.h>

#include "mg_event_kind.h"

#define COUNTED(kind) \
    { kind, kind ".in", kind ".test", kind ".machine", kind ".notice" }

const mg_event_kind_info_t mg_event_kinds[MG_EVENT_MAX] = {
    [MG_EVENT_ACCEPTED] = { "accepted", "accepted", "info", "Accepted",
                            COUNTED("accepted"), "sent" },
    [MG_EVENT_DELIVERED] = { "delivered", "delivered", "info", "Delivered",
                             COUNTED("delivered"), "delivered" },
    [MG_EVENT_FAILED_TEMP] = { "failed_temp", "tempfail", "warn", "Will retry",
                               COUNTED("failed_temp"), NULL },
    [MG_EVENT_FAILED] = { "failed", "bounced", "error", "Bounced",
                          COUNTED("failed"), "bounced" },
    [MG_EVENT_DROPPED] = { "dropped", "dropped", "error", "Dropped",
                           COUNTED("dropped"), "dropped" },
    [MG_EVENT_POSTED] = { "posted", "forwarded", "info", "Forwarded",
                          COUNTED("posted"), NULL },
    [MG_EVENT_FAILED_LATE] = { "failed_late", "bounced", "error", "Bounced",
                               COUNTED("failed_late"), "bounced" },
    [MG_EVENT_OPENED] = { "opened", "opened", "info", "Opened",
                          COUNTED("opened"), "opened" },
    [MG_EVENT_CLICKED] = { "clicked", "clicked", "info", "Clicked",
                           COUNTED("clicked"), "clicked" },
    [MG_EVENT_UNSUBSCRIBED] = { "unsubscribed", "unsubscribed", "info",
                                "Unsubscribed", COUNTED("unsubscribed"),
                                "unsubscribed" },
    [MG_EVENT_COMPLAINED] = { "complained", "complained", "warn", "Complained",
                              COUNTED("complained"), "complained" },
    [MG_EVENT_STORED] = { "stored", "stored", "info", "Stored",
                          COUNTED("stored"), NULL },
    [MG_EVENT_REFUSED] = { "refused", "refused", "warn", "Refused",
                           COUNTED("refused"), NULL },
    [MG_EVENT_SPAM_DROPPED] = { "spam_dropped", "spamdrop", "warn",
                                "Dropped as spam", COUNTED("spam_dropped"),
                                NULL },
    [MG_EVENT_ROUTED] = { "routed", "routed", "info", "Routed",
                          COUNTED("routed"), NULL },
    [MG_EVENT_FORWARD_FAILED] = { "forward_failed", "forwardfail", "error",
                                  "Cannot forward", COUNTED("forward_failed"),
                                  NULL },
    [MG_EVENT_MAILBOX] = { "mailbox", "mailbox", "info", "Put in mailbox",
                           COUNTED("mailbox"), NULL },
    [MG_EVENT_LIST_EXPANDED] = { "list_expanded", "expanded", "info",
                                 "List expanded", COUNTED("list_expanded"),
                                 NULL },
};

const mg_event_kind_info_t *mg_event_kind_by_name(const char *name)
{
    int i;

    for (i = 0; i < MG_EVENT_MAX; i++)
        if (!strcmp(mg_event_kinds[i].name, name))
            return &mg_event_kinds[i];
    return NULL;
}

const char *mg_event_hap(const mg_event_kind_info_t *kind, int direction)
{
    return kind == &mg_event_kinds[MG_EVENT_ACCEPTED]
               && direction == MG_INCOMING ? "received" : kind->hap;
}

const char *mg_event_counted_as(const mg_event_t *event)
{
    const mg_event_kind_info_t *kind = &mg_event_kinds[event->kind];

    return kind->counted_as[event->testmode  ? 2
                            : event->machine ? 3
                            : event->notice  ? 4
                            : event->direction == MG_INCOMING];
}
