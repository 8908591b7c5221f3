/* mg_hit.h - somebody, or something, fetched a tracking link.
 *
 * A hit becomes an event (mg_event.h) of its message's recipient. What the
 * event has of the message (tags, campaigns, variables) is read here, for all
 * hits of a batch at once; where the message is gone already, it has none.
 * Nobody waits for the machine rule (docs/API.md, "Machines"):
 *
 *   what the request says      machine is set by who saw it: HEAD, prefetch,
 *                              a scanner's name
 *   what the message says      a click before its copy was delivered, or within
 *                              MailgunMachineDelay of that
 *
 * Unsubscribing is one thing that is done once: who is in the table already
 * makes no event.
 */
#ifndef MG_HIT_H
#define MG_HIT_H

#include "mg_client.h"
#include "mg_config.h"
#include "mg_geo.h"
#include "mg_group.h"
#include "mg_track.h"

typedef struct {
    mg_track_t track;
    apr_int64_t event_id;      /* as mg_event_t.id */
    apr_time_t at;             /* when it came */
    int machine;
    int undo;                  /* unsubscribing is taken back */
    const char *host;          /* it came to this host, and nobody has checked
                                  whether it is the domain's; NULL: it is */
    const char *ip, *user_agent;  /* valid UTF-8; NULL: unknown */
    mg_client_t client;
    mg_geo_place_t place;
} mg_hit_t;

/** In a transaction. What cannot become an event any more (the domain is gone,
 * the host another's) is passed over. */
apr_status_t mg_hit_append(mg_db_t *db, const mg_hit_t *hit,
                           const mg_config_t *config, apr_pool_t *ptemp);
/** Reads the messages of hits that are going to be appended in this
 * transaction, as few statements as can be. */
apr_status_t mg_hit_read_ahead(mg_db_t *db, const apr_int64_t *message_ids,
                               int n);
int mg_hit_is_known(mg_db_t *db, apr_int64_t message_id);
/** Is that recipient unsubscribed, as the link says? For pages. */
apr_status_t mg_hit_is_unsubscribed(int *pis, mg_db_t *db,
                                    const mg_track_t *track, apr_pool_t *p);

#endif
