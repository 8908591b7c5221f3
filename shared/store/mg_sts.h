/* mg_sts.h - MTA-STS policies that were fetched, over restarts (RFC 8461). */
#ifndef MG_STS_H
#define MG_STS_H

#include <apr_tables.h>
#include "mg_db.h"

typedef struct {
    const char *domain;       /* A-labels, lower case */
    const char *id, *policy;  /* of the TXT record; the file's text */
    apr_time_t fetched_at, expires_at;
} mg_sts_t;

/** Put it in the place of the one before. */
apr_status_t mg_sts_put(mg_db_t *db, const mg_sts_t *sts);
/** Those that hold, at most limit; of mg_sts_t. */
apr_status_t mg_sts_list(apr_array_header_t **plist, mg_db_t *db,
                         apr_time_t now, int limit, apr_pool_t *p);
/** Those that do not hold any more go, some at a time. */
apr_status_t mg_sts_expire(mg_db_t *db, apr_time_t now, int limit);

#endif
