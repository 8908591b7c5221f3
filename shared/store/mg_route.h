/* mg_route.h - rows of routes; what they mean is in rules/. */
#ifndef MG_ROUTE_H
#define MG_ROUTE_H

#include <apr_tables.h>
#include "mg_db.h"

typedef struct {
    apr_int64_t id, account_id;
    const char *public_id;       /* 24 hex */
    apr_int64_t priority;
    const char *description, *expression;
    apr_array_header_t *actions; /* of const char * */
    apr_time_t created_at;
} mg_route_t;

/** A new one, ids drawn; the rest is the caller's to fill. */
mg_route_t *mg_route_make(apr_int64_t account_id, apr_pool_t *p);
apr_status_t mg_route_insert(mg_db_t *db, const mg_route_t *route,
                             apr_pool_t *ptemp);
/** Both. */
apr_status_t mg_route_add(mg_route_t **proute, mg_db_t *db,
                          apr_int64_t account_id, apr_int64_t priority,
                          const char *description, const char *expression,
                          const apr_array_header_t *actions, apr_pool_t *p);
/** @return APR_ENOENT */
apr_status_t mg_route_get(mg_route_t **proute, mg_db_t *db,
                          apr_int64_t account_id, const char *public_id,
                          apr_pool_t *p);
/** All but ids and created_at. @return APR_ENOENT */
apr_status_t mg_route_update(mg_db_t *db, const mg_route_t *route,
                             apr_pool_t *ptemp);
/** By priority, newest first among equals; array of mg_route_t *. */
apr_status_t mg_route_list(apr_array_header_t **plist, mg_db_t *db,
                           apr_int64_t account_id, apr_pool_t *p);
/** A page of them; *ptotal: how many there are in all. */
apr_status_t mg_route_page(apr_array_header_t **plist, apr_int64_t *ptotal,
                           mg_db_t *db, apr_int64_t account_id,
                           apr_int64_t skip, apr_int64_t limit, apr_pool_t *p);
/** @return APR_ENOENT */
apr_status_t mg_route_remove(mg_db_t *db, apr_int64_t account_id,
                             const char *public_id);
#endif
