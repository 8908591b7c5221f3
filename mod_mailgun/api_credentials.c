/* api_credentials.c - /domains/<domain>/credentials: logins of a domain
 * (reference, section 8). One that is made here can send by SMTP and has no
 * mailbox; mailboxes are shown, get another password and are deleted here, too
 * (api_mailboxes.c). */
#include "api.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_credential.h"
#include "mg_mailbox.h"
#include "mg_status.h"
#include "mg_time.h"

static json_t *login_json(const mg_login_t *login, apr_pool_t *p)
{
    return json_pack("{s:o, s:s, s:s, s:s}", "size_bytes",
                     login->size_bytes < 0
                         ? json_null()
                         : json_integer((json_int_t)login->size_bytes),
                     "created_at", mg_time_gmt(login->created_at, p),
                     "mailbox", login->login, "login", login->login);
}

int api_credentials_list(api_t *q)
{
    apr_int64_t skip, limit, total;
    apr_array_header_t *logins;
    apr_status_t rv;
    json_t *items;
    int i;

    if (api_paging(q, &skip, &limit) || api_reader(q))
        return API_REPLIED;
    rv = mg_credential_logins(&logins, &total, q->db, q->domain.id, skip,
                              limit, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list credentials");
    items = json_array();
    for (i = 0; i < logins->nelts; i++)
        json_array_append_new(items, login_json(&APR_ARRAY_IDX(logins, i,
                                                               mg_login_t),
                                                q->p));
    return api_reply_items(q, total, items);
}

/* --- changing --- */

typedef struct {
    api_t *q;
    mg_domain_t domain;
    const char *login, *password_hash;
    apr_int64_t id, n;
} change_t;

static int missing(api_t *q, const char *name)
{
    return api_reply_message(q, HTTP_BAD_REQUEST, "Parameter '%s' is missing",
                             name);
}

static apr_status_t run_create(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;
    mg_credential_t *credential;

    return mg_credential_add(&credential, db, &change->domain, change->login,
                             change->password_hash, ptemp);
}

/* After a COMMIT whose answer was lost: bcrypt's salt makes the hash ours. */
static apr_status_t is_created(mg_db_t *db, void *baton)
{
    const change_t *change = baton;
    const char *login = change->login;
    mg_credential_t *there;
    apr_status_t rv;

    if (!strchr(login, '@'))
        login = apr_pstrcat(change->q->p, login, "@", change->domain.name,
                            NULL);
    rv = mg_credential_by_login(&there, db, login, change->q->p);
    if (rv != APR_SUCCESS)
        return rv;
    return strcmp(there->password_hash, change->password_hash) == 0
               ? APR_SUCCESS : APR_ENOENT;
}

int api_credentials_create(api_t *q)
{
    const char *login = api_param(q, "login");
    const char *password = api_param(q, "password");
    change_t change = { .q = q, .login = login };
    apr_status_t rv;

    if (!login || !*login)
        return missing(q, "login");
    if (!password || !*password)
        return missing(q, "password");
    if (api_check_password(q, password))
        return API_REPLIED;
    change.domain.id = q->domain.id;
    change.domain.account_id = q->account_id;
    change.domain.name = q->domain.name;
    change.password_hash = mg_password_hash(password, q->p);
    rv = api_unit(q, run_create, is_created, &change);
    if (rv == APR_EEXIST || rv == MG_ECONFLICT)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Address already exists '%s'",
                                 strchr(login, '@')
                                     ? login
                                     : apr_pstrcat(q->p, login, "@",
                                                   q->domain.name, NULL));
    if (rv == MG_EADDRESS)
        return api_reply_message(q, HTTP_BAD_REQUEST, "'login' parameter is "
                                 "not a valid address. please check "
                                 "documentation");
    if (rv == APR_ENOENT) /* removed meanwhile */
        return api_reply_message(q, HTTP_NOT_FOUND, "Domain not found: %s",
                                 q->domain.name);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot add a credential");
    mg_shared_bump(q->child->shared);
    return api_reply_message(q, HTTP_OK, "Created 1 credentials pair(s)");
}

/* *pid 0: it is no credential, but may be a mailbox. */
static int find(api_t *q, apr_int64_t *pid)
{
    const char *login = q->args[1];
    mg_credential_t *credential;
    apr_status_t rv;

    *pid = 0;
    if (!strchr(login, '@'))
        login = apr_pstrcat(q->p, login, "@", q->domain.name, NULL);
    if (api_reader(q))
        return API_REPLIED;
    rv = mg_credential_by_login(&credential, q->db, login, q->p);
    if (rv == APR_SUCCESS && credential->domain_id == q->domain.id)
        *pid = credential->id;
    if (rv != APR_SUCCESS && rv != APR_ENOENT)
        return api_reply_failed(q, rv, "cannot look up a credential");
    return API_GO_ON;
}

static int not_found(api_t *q)
{
    return api_reply_message(q, HTTP_NOT_FOUND, "Credentials not found");
}

static apr_status_t run_update(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;

    (void)ptemp;
    return mg_credential_set_password(db, change->id, change->password_hash);
}

int api_credentials_update(api_t *q)
{
    const char *password = api_param(q, "password");
    change_t change = { .q = q };
    apr_status_t rv;

    if (find(q, &change.id))
        return API_REPLIED;
    if (!change.id)
        return api_mailbox_credentials_update(q);
    if (!password || !*password)
        return missing(q, "password");
    if (api_check_password(q, password))
        return API_REPLIED;
    api_reader_done(q);
    change.password_hash = mg_password_hash(password, q->p);
    rv = api_unit(q, run_update, NULL, &change);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot change a credential");
    mg_shared_bump(q->child->shared);
    return api_reply_message(q, HTTP_OK, "Password changed");
}

static apr_status_t run_delete(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    (void)ptemp;
    return mg_credential_remove(db, ((const change_t *)baton)->id);
}

int api_credentials_delete(api_t *q)
{
    change_t change = { .q = q };
    const char *login = q->args[1];
    apr_status_t rv;

    if (find(q, &change.id))
        return API_REPLIED;
    if (!change.id)
        return api_mailbox_credentials_delete(q);
    rv = api_unit(q, run_delete, NULL, &change);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot delete a credential");
    mg_shared_bump(q->child->shared);
    if (!strchr(login, '@'))
        login = apr_pstrcat(q->p, login, "@", q->domain.name, NULL);
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:s, s:s}", "message",
                                    "Credentials have been deleted", "spec",
                                    login));
}

static apr_status_t run_clear(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    change_t *change = baton;

    (void)ptemp;
    return mg_credential_clear(&change->n, db, change->q->domain.id);
}

/* Mailboxes hold mail: they stay. */
int api_credentials_clear(api_t *q)
{
    change_t change = { .q = q };
    apr_status_t rv = api_unit(q, run_clear, NULL, &change);

    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot delete credentials");
    mg_shared_bump(q->child->shared);
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:s, s:I}", "message",
                                    "All domain credentials have been deleted",
                                    "count", (json_int_t)change.n));
}
