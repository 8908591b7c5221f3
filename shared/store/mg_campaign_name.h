/* mg_campaign_name.h - which campaign an id meant to a message.
 *
 * Campaigns are renamed and removed seldom, and each event of their messages
 * asks: a connection that appends events (mg_event_context) keeps what it read,
 * with the revision of the names, a setting: scope "campaign", 0, "names". Any
 * change of campaign_name gives that another value in its own transaction, and
 * each transaction reads it once before it believes what is kept. So an answer
 * is never older than the transaction that asks, whichever process or machine
 * made the change.
 */
#ifndef MG_CAMPAIGN_NAME_H
#define MG_CAMPAIGN_NAME_H

#include "mg_batch.h"

/** *pid 0: none; it is removed, or was made after the message. */
apr_status_t mg_campaign_name_find(apr_int64_t *pid, mg_batch_t *batch,
                                   apr_int64_t domain_id,
                                   const char *public_id,
                                   apr_int64_t message_id);
/** In a transaction: rows of campaign_name are changed. */
void mg_campaign_names_changed(mg_db_t *db);
/** The last of what stands before COMMIT: writers wait for each other at that
 * one row, and must not wait for anything while they have it. */
apr_status_t mg_campaign_names_write(mg_batch_t *batch);

/** What a connection keeps; not for two threads at once. */
mg_campaign_names_t *mg_campaign_names_create(void);
void mg_campaign_names_drop(mg_campaign_names_t *names);
void mg_campaign_names_destroy(mg_campaign_names_t *names);

#endif
