/* mg_mailbox.c - rows of mailboxes. */
#include <string.h>
#include <apr_strings.h>

#include "mg_address.h"
#include "mg_domain_private.h"
#include "mg_id.h"
#include "mg_mailbox.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

#define MAILBOX_SELECT                                                        \
    "SELECT b.id, b.account_id, b.domain_id, b.address, b.password_hash,"     \
    " b.revision, b.quota_bytes, u.bytes, b.created_at FROM mailbox b"        \
    " LEFT JOIN mailbox_usage u ON u.mailbox_id = b.id"

static mg_mailbox_t *mailbox_from_row(mg_stmt_t *stmt, apr_pool_t *p)
{
    mg_mailbox_t *m = apr_pcalloc(p, sizeof(*m));

    m->id = mg_stmt_int(stmt, 0);
    m->account_id = mg_stmt_int(stmt, 1);
    m->domain_id = mg_stmt_int(stmt, 2);
    m->address = mg_stmt_text(stmt, 3, p);
    m->password_hash = mg_stmt_text(stmt, 4, p);
    m->revision = mg_stmt_int(stmt, 5);
    m->quota_bytes = mg_stmt_is_null(stmt, 6) ? -1 : mg_stmt_int(stmt, 6);
    m->size_bytes = mg_stmt_is_null(stmt, 7) ? -1 : mg_stmt_int(stmt, 7);
    if (!mg_stmt_is_null(stmt, 7) && m->size_bytes < 0)
        m->size_bytes = 0; /* a recount is due */
    m->created_at = mg_stmt_int(stmt, 8);
    return m;
}

static apr_status_t mailbox_one(mg_mailbox_t **pmailbox, mg_stmt_t *stmt,
                                apr_pool_t *p)
{
    apr_status_t rv = mg_stmt_next(stmt);

    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    *pmailbox = mailbox_from_row(stmt, p);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

static apr_status_t insert_mailbox(mg_db_t *db, const mg_mailbox_t *m,
                                   apr_pool_t *p)
{
    apr_int64_t added = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &added,
                    "INSERT INTO mailbox (id, account_id, domain_id, address,"
                    " address_lc, password_hash, revision, created_at)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
                    " ON CONFLICT (address_lc) WHERE deleted_at IS NULL"
                    " DO NOTHING",
                    "iiitttii", m->id, m->account_id, m->domain_id, m->address,
                    mg_text_lower(m->address, p), m->password_hash,
                    m->revision, (apr_int64_t)m->created_at);
    return rv == APR_SUCCESS && added == 0 ? APR_EEXIST : rv;
}

apr_status_t mg_mailbox_add(mg_mailbox_t **pmailbox, mg_db_t *db,
                            apr_int64_t account_id, apr_int64_t domain_id,
                            const char *address, const char *password_hash,
                            apr_pool_t *p)
{
    mg_mailbox_t *m = apr_pcalloc(p, sizeof(*m));
    const mg_address_t *parsed;
    mg_address_t *path;
    const char *rest;
    apr_status_t rv;
    int own;

    *pmailbox = NULL;
    rv = mg_address_parse_path(&path, &rest,
                               apr_pstrcat(p, "<", address, ">", NULL), 0, 1,
                               p);
    parsed = path;
    if (rv != APR_SUCCESS || *rest || !parsed->domain ||
        !mg_text_is_utf8(address, strlen(address)))
        return MG_EADDRESS;
    m->id = mg_id_next();
    m->account_id = account_id;
    m->domain_id = domain_id;
    m->address = parsed->address;
    m->password_hash = password_hash;
    m->revision = mg_id_next();
    m->quota_bytes = -1;
    m->size_bytes = -1;
    m->created_at = mg_now();
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_domain_hold(db, domain_id);
    if (rv == APR_SUCCESS)
        rv = insert_mailbox(db, m, p);
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *pmailbox = m;
    return rv;
}

apr_status_t mg_mailbox_by_address(mg_mailbox_t **pmailbox, mg_db_t *db,
                                   const char *address, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pmailbox = NULL;
    if (!mg_text_is_utf8(address, strlen(address)))
        return APR_ENOENT;
    rv = mg_db_query(&stmt, db,
                     MAILBOX_SELECT " WHERE b.address_lc = $1"
                                    " AND b.deleted_at IS NULL",
                     "t", mg_text_lower(address, p));
    return rv == APR_SUCCESS ? mailbox_one(pmailbox, stmt, p) : rv;
}

apr_status_t mg_mailbox_by_id(mg_mailbox_t **pmailbox, mg_db_t *db,
                              apr_int64_t id, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pmailbox = NULL;
    rv = mg_db_query(&stmt, db,
                     MAILBOX_SELECT " WHERE b.id = $1"
                                    " AND b.deleted_at IS NULL",
                     "i", id);
    return rv == APR_SUCCESS ? mailbox_one(pmailbox, stmt, p) : rv;
}

static apr_status_t take_list(apr_array_header_t *list, mg_stmt_t *stmt,
                              apr_pool_t *p)
{
    apr_status_t rv;

    while ((rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(list, mg_mailbox_t *) = mailbox_from_row(stmt, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_mailbox_list(apr_array_header_t **plist, apr_int64_t *ptotal,
                             mg_db_t *db, apr_int64_t domain_id,
                             apr_int64_t skip, apr_int64_t limit,
                             apr_pool_t *p)
{
    apr_int64_t total = 0;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_mailbox_t *));
    rv = mg_db_get_int(db, &total,
                       "SELECT COUNT(*) FROM mailbox WHERE domain_id = $1"
                       " AND deleted_at IS NULL",
                       "i", domain_id);
    if (rv != APR_SUCCESS)
        return rv;
    if (ptotal)
        *ptotal = total;
    rv = mg_db_query(&stmt, db,
                     MAILBOX_SELECT " WHERE b.domain_id = $1"
                                    " AND b.deleted_at IS NULL"
                                    " ORDER BY b.address_lc"
                                    " LIMIT $2 OFFSET $3",
                     "iii", domain_id, limit, skip);
    return rv == APR_SUCCESS ? take_list(*plist, stmt, p) : rv;
}

static apr_status_t found(apr_status_t rv, apr_int64_t changed)
{
    return rv == APR_SUCCESS && changed == 0 ? APR_ENOENT : rv;
}

apr_status_t mg_mailbox_set_password(mg_db_t *db, apr_int64_t id,
                                     const char *password_hash)
{
    apr_int64_t changed = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &changed,
                    "UPDATE mailbox SET password_hash = $1, revision = $2"
                    " WHERE id = $3 AND deleted_at IS NULL",
                    "tii", password_hash, mg_id_next(), id);
    return found(rv, changed);
}

apr_status_t mg_mailbox_set_quota(mg_db_t *db, apr_int64_t id,
                                  apr_int64_t quota_bytes)
{
    apr_int64_t changed = 0;
    apr_status_t rv;

    if (quota_bytes < 0)
        rv = mg_db_exec(db, &changed,
                        "UPDATE mailbox SET quota_bytes = NULL WHERE id = $1"
                        " AND deleted_at IS NULL",
                        "i", id);
    else
        rv = mg_db_exec(db, &changed,
                        "UPDATE mailbox SET quota_bytes = $1 WHERE id = $2"
                        " AND deleted_at IS NULL",
                        "ii", quota_bytes, id);
    return found(rv, changed);
}

/* --- deleting: a tombstone, then nothing --- */

apr_status_t mg_mailbox_delete(mg_db_t *db, apr_int64_t id)
{
    apr_int64_t changed = 0;
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, &changed,
                    "UPDATE mailbox SET deleted_at = $1, revision = $2"
                    " WHERE id = $3 AND deleted_at IS NULL",
                    "iii", (apr_int64_t)mg_now(), mg_id_next(), id);
    rv = found(rv, changed);
    /* its bytes no longer count for the domain */
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM mailbox_usage"
                        " WHERE mailbox_id = $1", "i", id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM quota_reservation"
                        " WHERE mailbox_id = $1", "i", id);
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_mailbox_delete_all(mg_db_t *db, apr_int64_t domain_id)
{
    apr_status_t rv;

    rv = mg_db_exec(db, NULL,
                    "UPDATE mailbox SET deleted_at = $1, revision = $2"
                    " WHERE domain_id = $3 AND deleted_at IS NULL",
                    "iii", (apr_int64_t)mg_now(), mg_id_next(), domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM mailbox_usage"
                        " WHERE domain_id = $1", "i", domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM quota_reservation"
                        " WHERE domain_id = $1", "i", domain_id);
    return rv;
}

apr_status_t mg_mailbox_deleted(apr_array_header_t **plist, mg_db_t *db,
                                int limit, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_mailbox_t *));
    rv = mg_db_query(&stmt, db,
                     MAILBOX_SELECT " WHERE b.deleted_at IS NOT NULL"
                                    " ORDER BY b.deleted_at LIMIT $1",
                     "i", (apr_int64_t)limit);
    return rv == APR_SUCCESS ? take_list(*plist, stmt, p) : rv;
}

apr_status_t mg_mailbox_forget(mg_db_t *db, apr_int64_t id)
{
    return mg_db_exec(db, NULL,
                      "DELETE FROM mailbox WHERE id = $1"
                      " AND deleted_at IS NOT NULL",
                      "i", id);
}

char *mg_mailbox_home(const char *mail_dir, apr_int64_t id, apr_pool_t *p)
{
    return apr_psprintf(p, "%s/%d/%" APR_INT64_T_FMT, mail_dir,
                        (int)(id % 1000), id);
}
