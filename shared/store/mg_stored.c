/* mg_stored.c - messages that store() keeps for the customer (mg_stored.h). */
#include <apr_strings.h>

#include "mg_id.h"
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_stored.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

const char *mg_stored_key(apr_pool_t *p)
{
    return mg_id_random(26, p);
}

const char *mg_stored_path(const char *domain, const char *key, apr_pool_t *p)
{
    return apr_pstrcat(p, "/domains/", domain, "/messages/", key, NULL);
}

apr_status_t mg_stored_insert(mg_db_t *db, const mg_stored_t *s)
{
    return mg_db_exec(db, NULL,
                      "INSERT INTO stored_message (id, key, message_id,"
                      " account_id, domain_id, recipient, expires_at)"
                      " VALUES ($1, $2, $3, $4, $5, $6, $7)", "itiiiti",
                      s->id ? s->id : mg_id_next(), s->key, s->message_id,
                      s->account_id, s->domain_id, s->recipient,
                      (apr_int64_t)s->expires_at);
}

apr_status_t mg_stored_get(mg_stored_t **pstored, mg_db_t *db,
                           apr_int64_t domain_id, const char *key,
                           apr_pool_t *p)
{
    mg_stored_t *s;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pstored = NULL;
    rv = mg_db_query(&stmt, db,
                     "SELECT id, message_id, account_id, recipient, expires_at"
                     " FROM stored_message WHERE key = $1 AND domain_id = $2"
                     " AND expires_at > $3", "tii", key, domain_id,
                     (apr_int64_t)mg_now());
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    s = apr_pcalloc(p, sizeof(*s));
    s->id = mg_stmt_int(stmt, 0);
    s->key = apr_pstrdup(p, key);
    s->message_id = mg_stmt_int(stmt, 1);
    s->account_id = mg_stmt_int(stmt, 2);
    s->domain_id = domain_id;
    s->recipient = mg_stmt_text(stmt, 3, p);
    s->expires_at = mg_stmt_int(stmt, 4);
    mg_stmt_done(stmt);
    *pstored = s;
    return APR_SUCCESS;
}

apr_status_t mg_stored_delete(mg_db_t *db, apr_int64_t id)
{
    apr_int64_t n = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &n, "DELETE FROM stored_message WHERE id = $1", "i",
                    id);
    return rv == APR_SUCCESS && n == 0 ? APR_ENOENT : rv;
}

apr_status_t mg_stored_forget(int *pn, mg_db_t *db, int limit)
{
    apr_int64_t now = mg_now(), n = 0;
    apr_status_t rv;
    int own;

    *pn = 0;
    /* is there anything? Then it is worth standing in line */
    rv = mg_db_get_int(db, &n, "SELECT 1 FROM stored_message"
                       " WHERE expires_at <= $1 LIMIT 1", "i", now);
    if (rv != APR_SUCCESS)
        return rv == APR_ENOENT ? APR_SUCCESS : rv;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    mg_tx_lazy(db);
    rv = mg_db_exec(db, &n, "DELETE FROM stored_message WHERE id IN"
                    " (SELECT id FROM stored_message WHERE expires_at <= $1"
                    " ORDER BY expires_at LIMIT $2)", "ii", now,
                    (apr_int64_t)limit);
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *pn = (int)n;
    return rv;
}
