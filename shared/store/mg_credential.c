/* mg_credential.c - rows of smtp_credential. */
#include <string.h>
#include <apr_strings.h>

#include "mg_address.h"
#include "mg_credential.h"
#include "mg_domain_private.h"
#include "mg_id.h"
#include "mg_mailbox.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

#define CREDENTIAL_SELECT                                                     \
    "SELECT c.id, d.account_id, c.domain_id, c.login_lc, c.password_hash,"    \
    " c.revision, c.created_at FROM smtp_credential c"                        \
    " JOIN domain d ON d.id = c.domain_id"

static mg_credential_t *credential_from_row(mg_stmt_t *stmt, apr_pool_t *p)
{
    mg_credential_t *c = apr_pcalloc(p, sizeof(*c));

    c->id = mg_stmt_int(stmt, 0);
    c->account_id = mg_stmt_int(stmt, 1);
    c->domain_id = mg_stmt_int(stmt, 2);
    c->login = mg_stmt_text(stmt, 3, p);
    c->password_hash = mg_stmt_text(stmt, 4, p);
    c->revision = mg_stmt_int(stmt, 5);
    c->created_at = mg_stmt_int(stmt, 6);
    return c;
}

/* The login's full form, lower case; NULL: no address of this domain. */
static const char *full_login(const mg_domain_t *domain, const char *login,
                              apr_pool_t *p)
{
    mg_address_t *path;
    const char *rest;

    if (!mg_text_is_utf8(login, strlen(login)))
        return NULL;
    if (!strchr(login, '@'))
        login = apr_pstrcat(p, login, "@", domain->name, NULL);
    if (mg_address_parse_path(&path, &rest,
                              apr_pstrcat(p, "<", login, ">", NULL), 0, 1, p)
            != APR_SUCCESS
        || *rest || !path->domain
        || strcasecmp(path->domain, domain->name) != 0)
        return NULL;
    return mg_text_lower(path->address, p);
}

static apr_status_t insert_credential(mg_db_t *db, const mg_credential_t *c,
                                      apr_pool_t *p)
{
    mg_mailbox_t *mailbox;
    apr_int64_t added = 0;
    apr_status_t rv;

    rv = mg_mailbox_by_address(&mailbox, db, c->login, p);
    if (rv != APR_ENOENT)
        return rv == APR_SUCCESS ? APR_EEXIST : rv;
    rv = mg_db_exec(db, &added,
                    "INSERT INTO smtp_credential (id, domain_id, login_lc,"
                    " password_hash, revision, created_at)"
                    " VALUES ($1, $2, $3, $4, $5, $6)"
                    " ON CONFLICT (login_lc) DO NOTHING",
                    "iittii", c->id, c->domain_id, c->login, c->password_hash,
                    c->revision, (apr_int64_t)c->created_at);
    return rv == APR_SUCCESS && added == 0 ? APR_EEXIST : rv;
}

apr_status_t mg_credential_add(mg_credential_t **pcredential, mg_db_t *db,
                               const mg_domain_t *domain, const char *login,
                               const char *password_hash, apr_pool_t *p)
{
    mg_credential_t *c = apr_pcalloc(p, sizeof(*c));
    apr_status_t rv;
    int own;

    *pcredential = NULL;
    c->login = full_login(domain, login, p);
    if (c->login == NULL)
        return MG_EADDRESS;
    c->id = mg_id_next();
    c->account_id = domain->account_id;
    c->domain_id = domain->id;
    c->password_hash = password_hash;
    c->revision = mg_id_next();
    c->created_at = mg_now();
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_domain_hold(db, domain->id);
    if (rv == APR_SUCCESS)
        rv = insert_credential(db, c, p);
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *pcredential = c;
    return rv;
}

apr_status_t mg_credential_by_login(mg_credential_t **pcredential, mg_db_t *db,
                                    const char *login, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pcredential = NULL;
    if (!mg_text_is_utf8(login, strlen(login)))
        return APR_ENOENT;
    rv = mg_db_query(&stmt, db, CREDENTIAL_SELECT " WHERE c.login_lc = $1",
                     "t", mg_text_lower(login, p));
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    *pcredential = credential_from_row(stmt, p);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

apr_status_t mg_credential_list(apr_array_header_t **plist,
                                apr_int64_t *ptotal, mg_db_t *db,
                                apr_int64_t domain_id, apr_int64_t skip,
                                apr_int64_t limit, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 8, sizeof(mg_credential_t *));
    rv = mg_db_get_int(db, ptotal, "SELECT COUNT(*) FROM smtp_credential"
                       " WHERE domain_id = $1", "i", domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_query(&stmt, db,
                         CREDENTIAL_SELECT " WHERE c.domain_id = $1"
                                           " ORDER BY c.login_lc"
                                           " LIMIT $2 OFFSET $3",
                         "iii", domain_id, limit, skip);
    if (rv != APR_SUCCESS)
        return rv;
    while ((rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plist, mg_credential_t *) = credential_from_row(stmt,
                                                                        p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_credential_set_password(mg_db_t *db, apr_int64_t id,
                                        const char *password_hash)
{
    apr_int64_t changed = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &changed, "UPDATE smtp_credential SET"
                    " password_hash = $1, revision = $2 WHERE id = $3",
                    "tii", password_hash, mg_id_next(), id);
    return rv == APR_SUCCESS && changed == 0 ? APR_ENOENT : rv;
}

apr_status_t mg_credential_remove(mg_db_t *db, apr_int64_t id)
{
    apr_int64_t gone = 0;
    apr_status_t rv = mg_db_exec(db, &gone, "DELETE FROM smtp_credential"
                                 " WHERE id = $1", "i", id);

    return rv == APR_SUCCESS && gone == 0 ? APR_ENOENT : rv;
}

apr_status_t mg_credential_clear(apr_int64_t *pn, mg_db_t *db,
                                 apr_int64_t domain_id)
{
    *pn = 0;
    return mg_db_exec(db, pn, "DELETE FROM smtp_credential"
                      " WHERE domain_id = $1", "i", domain_id);
}

apr_status_t mg_credential_logins(apr_array_header_t **plist,
                                  apr_int64_t *ptotal, mg_db_t *db,
                                  apr_int64_t domain_id, apr_int64_t skip,
                                  apr_int64_t limit, apr_pool_t *p)
{
    mg_login_t *login;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 8, sizeof(mg_login_t));
    rv = mg_db_get_int(db, ptotal, "SELECT (SELECT COUNT(*) FROM"
                       " smtp_credential WHERE domain_id = $1) +"
                       " (SELECT COUNT(*) FROM mailbox WHERE domain_id = $1"
                       " AND deleted_at IS NULL)", "i", domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_query(
            &stmt, db,
            "SELECT x.address, x.size, x.created_at FROM (SELECT b.address,"
            " b.address_lc AS k, COALESCE(u.bytes, -1) AS size, b.created_at"
            " FROM mailbox b LEFT JOIN mailbox_usage u ON u.mailbox_id = b.id"
            " WHERE b.domain_id = $1 AND b.deleted_at IS NULL UNION ALL"
            " SELECT c.login_lc, c.login_lc, -1, c.created_at FROM"
            " smtp_credential c WHERE c.domain_id = $1) x ORDER BY x.k"
            " LIMIT $2 OFFSET $3", "iii", domain_id, limit, skip);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        login = apr_array_push(*plist);
        login->login = mg_stmt_text(stmt, 0, p);
        login->size_bytes = mg_stmt_int(stmt, 1);
        login->created_at = mg_stmt_int(stmt, 2);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}
