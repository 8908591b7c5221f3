/* unit_records.h - an account, a domain and messages to test with. */
#ifndef UNIT_RECORDS_H
#define UNIT_RECORDS_H

#include "mg_account.h"
#include "mg_domain.h"
#include "mg_event.h"
#include "mg_mailbox.h"
#include "mg_message.h"
#include "mg_queue.h"
#include "unit_store.h"

/** A key pair in the test's folder, made once per store. */
mg_secret_t *unit_secret(unit_store_t *store);
apr_int64_t unit_account(unit_store_t *store, const char *name);
/** A DKIM key, the same for the whole program: it takes 0.2 s to make one. */
const mg_dkim_t *unit_dkim(void);
/** With postmaster, without a DKIM key. */
mg_domain_t *unit_domain(unit_store_t *store, apr_int64_t account_id,
                         const char *name);

/** A message of 4 KB from me@<domain>, "Hello", without recipients. */
mg_message_t *unit_message(unit_store_t *store, const mg_domain_t *domain);
mg_envelope_t *unit_envelope(mg_message_t *message,
                             mg_transport_kind_t transport,
                             const char *recipient, const char *dest);
/** One transaction. */
apr_status_t unit_accept(mg_db_t *db, const mg_message_t *message,
                         apr_pool_t *p);
/** n messages to a@remote.test, one recipient each, 100 per transaction. */
void unit_accept_many(unit_store_t *store, const mg_domain_t *domain, int n);

mg_claimer_t *unit_claimer(unit_store_t *store, mg_db_t *db,
                           mg_transport_kind_t transport);
/** The claimed rows; fails the test on any error. */
apr_array_header_t *unit_claim(unit_store_t *store, mg_db_t *db,
                               mg_claimer_t *claimer, int limit);
/** A result: settled, with this event; one transaction. */
apr_status_t unit_result(mg_db_t *db, const mg_delivery_t *delivery,
                         mg_event_kind_t kind, apr_pool_t *p);
/** mg_fsck() finds this many problems; the first is among the words. */
void unit_fsck(unit_store_t *store, int findings, const char *words);

#endif
