/* mg_sts.c - see mg_sts.h. */
#include "mg_sts.h"
#include "mg_status.h"

apr_status_t mg_sts_put(mg_db_t *db, const mg_sts_t *sts)
{
    return mg_db_exec(db, NULL,
                      "INSERT INTO mta_sts (domain, policy_id, policy,"
                      " fetched_at, expires_at) VALUES ($1, $2, $3, $4, $5)"
                      " ON CONFLICT (domain) DO UPDATE SET"
                      " policy_id = excluded.policy_id,"
                      " policy = excluded.policy,"
                      " fetched_at = excluded.fetched_at,"
                      " expires_at = excluded.expires_at",
                      "tttii", sts->domain, sts->id, sts->policy,
                      (apr_int64_t)sts->fetched_at,
                      (apr_int64_t)sts->expires_at);
}

apr_status_t mg_sts_list(apr_array_header_t **plist, mg_db_t *db,
                         apr_time_t now, int limit, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_sts_t));
    rv = mg_db_query(&stmt, db,
                     "SELECT domain, policy_id, policy, fetched_at, expires_at"
                     " FROM mta_sts WHERE expires_at > $1 ORDER BY domain"
                     " LIMIT $2", "ii", (apr_int64_t)now, (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        mg_sts_t *sts = apr_array_push(*plist);

        sts->domain = mg_stmt_text(stmt, 0, p);
        sts->id = mg_stmt_text(stmt, 1, p);
        sts->policy = mg_stmt_text(stmt, 2, p);
        sts->fetched_at = mg_stmt_int(stmt, 3);
        sts->expires_at = mg_stmt_int(stmt, 4);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_sts_expire(mg_db_t *db, apr_time_t now, int limit)
{
    apr_int64_t found;
    apr_status_t rv;

    /* mostly there is nothing: no write transaction for that */
    rv = mg_db_get_int(db, &found, "SELECT 1 FROM mta_sts WHERE expires_at"
                       " <= $1 LIMIT 1", "i", (apr_int64_t)now);
    if (rv != APR_SUCCESS)
        return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
    return mg_db_exec(db, NULL,
                      "DELETE FROM mta_sts WHERE domain IN (SELECT domain"
                      " FROM mta_sts WHERE expires_at <= $1"
                      " ORDER BY domain LIMIT $2)", "ii", (apr_int64_t)now,
                      (apr_int64_t)limit);
}
