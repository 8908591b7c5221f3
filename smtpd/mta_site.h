/* mta_site.h - a destination: where it is, its connections, what waits.
 *
 * A site is a set of mail exchangers, for all domains that have the same, or
 * one host that MailgunTransport or MailgunLMTP names. Groups wait in lines, by
 * sending domain (mta_line.c); connections are opened as
 * they are needed, doubling as they succeed, up to
 * MailgunDestinationConnections, and stay for the next message for a while.
 *
 * When all hosts fail the site is closed: what waits is put off, and what is
 * claimed meanwhile goes back until the site's next try. A host that refuses
 * while other connections work only narrows the window.
 */
#ifndef MTA_SITE_H
#define MTA_SITE_H

#include "sender.h"

/** Take an entry to its site; it goes out when the turn ends. Where the MX
 * records of its domain are not known, it waits for them (mta_route.c). */
void mta_route_add(sender_t *s, sender_entry_t *entry);
/** When the site may be tried again; 0: it is open. */
apr_time_t mta_site_closed_until(const mta_site_t *site);
/** Work on all sites where something changed. */
void mta_sites_pump(sender_t *s);
/** At the beginning of a turn's end: connections that ended are freed. */
void mta_links_bury(sender_t *s);
/** From time to time: forget what is idle, end what takes for ever, give back
 * what a slow site holds over its share. */
void mta_sites_tidy(sender_t *s);
/** Stopping: give back what waits, close what is idle. */
void mta_sites_stop(sender_t *s);
/** The end of the process, or of a test: forget all. */
void mta_sites_forget(sender_t *s);
/** What was learned before, at the start; what is new, each second. */
void mta_learned_load(sender_t *s);
void mta_learned_save(sender_t *s);
/** Waiting entries whose lease was lost are let go. */
void mta_sites_drop_lost(sender_t *s);

#define MTA_SPREAD apr_time_from_sec(1)     /* of what a closed site gets back */
#define MTA_SITE_IDLE apr_time_from_sec(2)  /* a connection without work */
#define MTA_SITE_SERVED 1000                /* messages per connection */
#define MTA_CONNECTIONS 1000                /* of a sender, in all */
#endif
