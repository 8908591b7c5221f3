/* mg_batch.h - what a transaction adds up until it commits.
 *
 * Counters are added up in memory and written in key order just before COMMIT
 * (mg_stat.c); doorbells ring once after it. Both are lost with a rollback, as
 * they must be.
 */
#ifndef MG_BATCH_H
#define MG_BATCH_H

#include <apr_hash.h>
#include <apr_tables.h>
#include "mg_domain.h"
#include "mg_shared.h"

typedef struct mg_campaign_names_t mg_campaign_names_t; /* mg_campaign_name.h */

typedef struct {
    mg_db_t *db;
    apr_pool_t *pool;            /* the transaction's */
    mg_domain_cache_t *domains;  /* NULL: nobody said mg_event_context() */
    int stat_slot;
    apr_hash_t *counters;        /* of mg_stat_t, by key; NULL: none yet */
    apr_array_header_t *event_counts; /* of mg_event_count_t; NULL: none yet */
    mg_campaign_names_t *names;  /* NULL, as domains */
    int names_checked, names_changed;
    apr_hash_t *campaign_names;  /* of this transaction alone */
    apr_hash_t *campaign_tallies; /* mg_campaign_event.c */
    unsigned bells;              /* 1 << mg_role_t */
} mg_batch_t;

/** The open transaction's batch; NULL where none is open. */
mg_batch_t *mg_batch_get(mg_db_t *db);
/** Ring once COMMIT succeeded. */
void mg_batch_ring(mg_batch_t *batch, mg_role_t role);
/** A domain cache goes: no connection may point at it any more. */
void mg_batch_forget_cache(const mg_domain_cache_t *domains);

#endif
