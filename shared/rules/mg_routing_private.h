/* mg_routing_private.h - between the files of routing. */
#ifndef MG_ROUTING_PRIVATE_H
#define MG_ROUTING_PRIVATE_H

#include <apr_hash.h>

#include "mg_routing.h"

/* Most recipients of outgoing mail are in domains that are not ours. That is
 * remembered, in a table of fixed size, for one generation and FRESH_FOR. */
#define FOREIGN_MAX 256
#define FOREIGN_NAME 64
typedef struct {
    char name[FOREIGN_NAME];
    apr_uint32_t generation;
    apr_time_t asked;        /* mg_ticks(); 0: empty */
} foreign_t;

struct mg_routing_t {
    apr_pool_t *pool;        /* of accounts */
    mg_domain_cache_t *domains;
    mg_shared_t *shared;
    unsigned char verp_key[32];
    int has_verp_key;
    const char *feedback;    /* or NULL */
    const mg_track_keys_t *tracking;
    apr_hash_t *accounts;    /* of compiled_t, by account id */
    foreign_t foreign[FOREIGN_MAX];
};

/* One delivery more, its id drawn. */
mg_envelope_t *mg_routing_add(apr_array_header_t *envelopes,
                              mg_transport_kind_t transport,
                              const char *recipient, const char *as_given);
mg_envelope_t *mg_routing_add_smtp(apr_array_header_t *envelopes,
                                   const char *recipient,
                                   const char *as_given, apr_pool_t *p);

/* Addresses that we made and signed, wherever the domain's mail goes; and, where
 * it comes to us, all of ours.
 * @return APR_ENOENT: it is none; MG_EDENIED: a forged or old one */
apr_status_t mg_routing_add_signed(apr_array_header_t *envelopes,
                                   mg_routing_t *routing, mg_db_t *db,
                                   const mg_domain_t *domain,
                                   const mg_address_t *to, apr_pool_t *p);
apr_status_t mg_routing_add_ours(apr_array_header_t *envelopes,
                                 mg_routing_t *routing, mg_db_t *db,
                                 const mg_domain_t *domain,
                                 const mg_address_t *to, apr_pool_t *p);

/* The mailing list that has this address, where what the account sends, or
 * anybody, could be posted to it.
 * @return APR_ENOENT: there is none */
apr_status_t mg_routing_find_list(const mg_list_t **plist, mg_db_t *db,
                                  const mg_address_t *to,
                                  apr_int64_t account_id, apr_pool_t *p);
/* Its delivery, if this message may be posted.
 * @param sender  NULL: the account's own
 * @return APR_ENOENT: it may not; MG_ELIMIT: it comes from the list itself */
apr_status_t mg_routing_add_list(apr_array_header_t *envelopes,
                                 const mg_wanted_t *wanted, mg_db_t *db,
                                 const char *sender,
                                 const apr_array_header_t *headers,
                                 apr_pool_t *p);

#endif
