/* mg_event_kind.h - the one table of what can happen to a message. */
#ifndef MG_EVENT_KIND_H
#define MG_EVENT_KIND_H

#include "mg_event.h"

typedef struct {
    const char *name;         /* event.kind */
    const char *hap, *type;   /* GET /<domain>/log */
    const char *word;         /* the log line begins so */
    const char *counted_as[5]; /* stat.kind: outgoing, incoming, test mode,
                                * by a machine, a report of ours */
    const char *stat;         /* GET /<domain>/stats shows it as; or NULL */
} mg_event_kind_info_t;

extern const mg_event_kind_info_t mg_event_kinds[MG_EVENT_MAX];
/** NULL: no such kind. */
const mg_event_kind_info_t *mg_event_kind_by_name(const char *name);
/** An accepted message that came in was received. */
const char *mg_event_hap(const mg_event_kind_info_t *kind, int direction);
/** stat.kind of an event. */
const char *mg_event_counted_as(const mg_event_t *event);

#endif
