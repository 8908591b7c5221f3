/* authdb-store.c - APR's side of the login look-up (authdb-store.h).
 *
 * The connection is opened at the first look-up, in the auth-worker, and opened
 * anew after it was lost. auth-worker answers one question at a time, so one
 * connection and no lock are enough.
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <string.h>

#include "authdb-store.h"
#include "mg_config.h"
#include "mg_db.h"
#include "mg_mailbox.h"
#include "mg_status.h"
#include "../smtpd/mailboxd_protocol.h"

static apr_pool_t *pool;
static const mg_config_t *config;
static mg_db_t *db;
static char error_text[512];

static enum authdb_answer unavailable(const char **error_r, const char *what,
                                      apr_status_t rv)
{
    char buf[128];

    apr_snprintf(error_text, sizeof(error_text), "%s: %s", what,
                 mg_strerror(rv, buf, sizeof(buf)));
    *error_r = error_text;
    return AUTHDB_UNAVAILABLE;
}

static void close_store(void)
{
    if (db != NULL)
        mg_db_close(db);
    db = NULL;
}

static enum authdb_answer open_store(const char *conf_path,
                                     const char **error_r)
{
    apr_status_t rv;
    mg_config_t *read;
    const char *why = NULL;

    if (db != NULL)
        return AUTHDB_FOUND;
    if (pool == NULL) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    if (config == NULL) {
        rv = mg_config_read(&read, conf_path, &why, pool);
        if (rv != APR_SUCCESS)
            return unavailable(error_r, why != NULL ? why : conf_path, rv);
        config = read;
    }
    rv = mg_db_open(&db, config->store, MG_DB_READONLY, pool);
    if (rv != APR_SUCCESS) {
        enum authdb_answer answer = unavailable(
            error_r, db != NULL ? mg_db_error(db) : config->store, rv);

        close_store();
        return answer;
    }
    return AUTHDB_FOUND;
}

static apr_status_t domain_is_disabled(int *pdisabled, apr_int64_t domain_id)
{
    apr_int64_t active = 0;
    apr_status_t rv;

    rv = mg_db_get_int(db, &active,
                       "SELECT COUNT(*) FROM domain d, account a"
                       " WHERE d.id = $1 AND a.id = d.account_id"
                       " AND d.state <> 'disabled' AND a.state = 'active'",
                       "i", domain_id);
    *pdisabled = active == 0;
    return rv;
}

static apr_status_t find(const char *address, struct authdb_login *login_r,
                         apr_pool_t *ptemp)
{
    mg_mailbox_t *mailbox;
    apr_status_t rv;
    int disabled;

    rv = mg_mailbox_by_address(&mailbox, db, address, ptemp);
    if (rv != APR_SUCCESS)
        return rv;
    rv = domain_is_disabled(&disabled, mailbox->domain_id);
    if (rv != APR_SUCCESS)
        return rv;
    if (disabled)
        return APR_ENOENT;
    login_r->mailbox_id = mailbox->id;
    login_r->revision = mailbox->revision;
    apr_cpystrn(login_r->address, mailbox->address, sizeof(login_r->address));
    apr_cpystrn(login_r->password_hash, mailbox->password_hash,
                sizeof(login_r->password_hash));
    apr_cpystrn(login_r->home,
                mg_mailbox_home(config->mail_dir, mailbox->id, ptemp),
                sizeof(login_r->home));
    apr_snprintf(login_r->socket, sizeof(login_r->socket), "%s/%s",
                 config->run_dir, MAILBOXD_SOCKET);
    apr_cpystrn(login_r->spam_folder,
                config->spam_folder ? config->spam_folder : "",
                sizeof(login_r->spam_folder));
    return APR_SUCCESS;
}

enum authdb_answer authdb_find(const char *conf_path, const char *address,
                               struct authdb_login *login_r,
                               const char **error_r)
{
    apr_pool_t *ptemp;
    apr_status_t rv = APR_SUCCESS;
    int attempt;

    /* twice: a connection that was lost is found out by using it */
    for (attempt = 0; attempt < 2; attempt++) {
        if (open_store(conf_path, error_r) != AUTHDB_FOUND)
            return AUTHDB_UNAVAILABLE;
        apr_pool_create(&ptemp, pool);
        rv = find(address, login_r, ptemp);
        apr_pool_destroy(ptemp);
        if (rv == APR_SUCCESS)
            return AUTHDB_FOUND;
        if (rv == APR_ENOENT)
            return AUTHDB_UNKNOWN;
        unavailable(error_r, mg_db_error(db), rv);
        close_store();
        if (rv != MG_ELOST)
            break;
    }
    return AUTHDB_UNAVAILABLE;
}

enum authdb_answer authdb_each(const char *conf_path,
                               void (*fn)(const char *address, void *context),
                               void *context, const char **error_r)
{
    mg_stmt_t *stmt;
    apr_pool_t *ptemp;
    apr_status_t rv;

    if (open_store(conf_path, error_r) != AUTHDB_FOUND)
        return AUTHDB_UNAVAILABLE;
    apr_pool_create(&ptemp, pool);
    rv = mg_db_query(&stmt, db,
                     "SELECT address FROM mailbox WHERE deleted_at IS NULL"
                     " ORDER BY address_lc", "");
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        fn(mg_stmt_text(stmt, 0, ptemp), context);
    apr_pool_destroy(ptemp);
    if (rv == APR_EOF)
        return AUTHDB_FOUND;
    unavailable(error_r, mg_db_error(db), rv);
    close_store();
    return AUTHDB_UNAVAILABLE;
}
