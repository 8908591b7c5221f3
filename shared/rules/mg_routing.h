/* mg_routing.h - who gets a message: one recipient's deliveries.
 *
 * Both faces ask here. A recipient in a domain we host goes to everything that
 * wants it: its mailbox (LMTP), each target of each of the account's matching
 * routes (HTTP, SMTP), a target that stands in two of them twice, and the
 * mailing list that has this address (LIST), if it may be posted to
 * (mg_routing_list.c). What comes to addresses that we made ourselves (VERP
 * senders, those that unsubscribe), or where reports of spam come to, is the
 * keeper's alone. Any other recipient goes out by SMTP.
 */
#ifndef MG_ROUTING_H
#define MG_ROUTING_H

#include "mg_address.h"
#include "mg_domain.h"
#include "mg_list.h"
#include "mg_message.h"
#include "mg_ruleset.h"
#include "mg_track.h"

typedef struct mg_routing_t mg_routing_t;

/** A process's view: caches domains and compiled routes per generation. Not
 * thread-safe. verp_key: 32 bytes or NULL (VERP addresses are then unknown). */
mg_routing_t *mg_routing_create(mg_domain_cache_t *domains,
                                mg_shared_t *shared,
                                const unsigned char *verp_key, apr_pool_t *p);

/**
 * Addresses of ours besides VERP senders, which the keeper reads as well:
 * @param feedback  where reports of spam come to, "fbl" in every domain or
 *                  "fbl@a.test"; NULL: nowhere
 * @param tracking  verifies addresses that unsubscribe (mg_track.h); NULL:
 *                  there are none. Both live as long as routing.
 */
void mg_routing_reports(mg_routing_t *routing, const char *feedback,
                        const mg_track_keys_t *tracking);

enum {
    MG_ROUTING_INCOMING, /* from anybody: only what our domains want */
    MG_ROUTING_OUTGOING  /* from an authenticated customer: anywhere */
};

/** What is known of a recipient before the message is there. */
typedef struct {
    const mg_address_t *to;
    apr_int64_t account_id, domain_id; /* of ours that hosts it; 0: none does */
    const char *domain;                /* its name */
    mg_rules_t routes;                 /* does one of the account's want it? */
    const mg_list_t *list;             /* that has this address and may want it;
                                          NULL */
    apr_array_header_t *sure;          /* of mg_envelope_t: mailbox, keeper,
                                          another host */
    enum { MG_OTHERWISE_REFUSE, MG_OTHERWISE_NOBODY, MG_OTHERWISE_LEAVES }
        otherwise;                     /* if nothing wants it */
} mg_wanted_t;

/**
 * Could anything want this recipient? Asked at RCPT, where the header fields
 * are not known that routes may depend on.
 *
 * @param account_id  whose mail it is; incoming: 0
 * @param wanted  set in p; domain and to where the domain is ours even if it is
 *                refused
 *
 * Incoming:
 *   APR_ENOENT  the domain is ours and nothing can want this recipient: 550
 *               5.1.1
 *   MG_EDENIED  the domain is not ours: 550 5.7.1 relaying denied
 * Outgoing: a domain of ours gets it the inbound way if its setting local is
 * "yes", or "auto" and its MX is ours (mg_dns_check.h); "yes" holds for mail of
 * the domain's own account: it must not draw others' mail to a domain that was
 * only claimed; then a recipient nobody wants fails, as one at a mailbox that
 * is not there. With "auto" and no word from DNS yet it stays where something
 * wants it. Addresses that we made and signed are never somewhere else.
 * Everything else is MG_TRANSPORT_SMTP, dest = recipient's domain: a domain
 * that only sends has its mail delivered to its real MX. The account's own
 * lists get its mail wherever the domain's goes. What another account sends to
 * a list that is open to others leaves, and comes back as anybody's mail.
 */
apr_status_t mg_routing_look(mg_wanted_t *wanted, mg_routing_t *routing,
                             mg_db_t *db, const mg_address_t *recipient,
                             int way, apr_int64_t account_id, apr_pool_t *p);
/** Is it an address of ours, that only the keeper reads? */
int mg_routing_is_keepers(const mg_wanted_t *wanted);
/**
 * Who gets it, now that the header fields are there: this recipient's
 * deliveries are appended to envelopes (of mg_envelope_t), ids drawn, due_at 0
 * (the caller sets times).
 *
 * What was forwarded from that address before is not forwarded to an address
 * again.
 *
 * @param sender   of the envelope; NULL: the account itself sends it. Lists
 *                 ask
 * @param headers  of mg_header_t; NULL: there are none
 * @return APR_ENOENT: nothing wants it; only of incoming mail. MG_ELIMIT: so,
 *         because it comes back
 */
apr_status_t mg_routing_decide(apr_array_header_t *envelopes,
                               const mg_wanted_t *wanted,
                               mg_routing_t *routing, mg_db_t *db,
                               const char *sender,
                               const apr_array_header_t *headers,
                               apr_pool_t *p);
/**
 * The mark of a message that was forwarded from this address of ours to others
 * (MG_ROUTING_LOOP): who sees it again must not forward it once more. It is an
 * HMAC, so that it names nobody, and nobody else makes one. NULL: there is no
 * key.
 */
#define MG_ROUTING_LOOP "X-Mailgun-Loop"
/** In each copy of a list's message: its address. Such a copy is not posted to
 * that list again. */
#define MG_ROUTING_LIST "X-Mailgun-List-Address"
const char *mg_routing_loop_mark(const mg_routing_t *routing,
                                 const char *address, apr_pool_t *p);
/** Both at once. */
apr_status_t mg_routing_recipient(apr_array_header_t *envelopes,
                                  mg_routing_t *routing, mg_db_t *db,
                                  const mg_address_t *recipient,
                                  const char *sender,
                                  const apr_array_header_t *headers, int way,
                                  apr_int64_t account_id, apr_pool_t *p);
/** The account's routes, compiled, as they are now; until the next call. */
apr_status_t mg_routing_rules(const mg_ruleset_t **prules,
                              mg_routing_t *routing, mg_db_t *db,
                              apr_int64_t account_id);
#endif
