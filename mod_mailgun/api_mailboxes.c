/* api_mailboxes.c - /<domain>/mailboxes: POP3, IMAP and SMTP logins. */
#include "api.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_log.h"
#include "mg_mailbox.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

static int characters(const char *s)
{
    int n = 0;

    for (; *s; s++)
        n += (*s & 0xc0) != 0x80;
    return n;
}

int api_check_password(api_t *q, const char *password)
{
    const char *problem = mg_password_problem(password);
    int n = characters(password);

    if (!problem)
        return API_GO_ON;
    if (n >= MG_PASSWORD_MIN && n <= MG_PASSWORD_MAX)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Password is not valid: %s", problem);
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "Password is too %s. It must be between 5 and 32 "
                             "characters.",
                             n < MG_PASSWORD_MIN ? "short" : "long");
}

apr_status_t api_mailbox_has_hash(api_t *q, mg_db_t *db, const char *address,
                                  const char *password_hash)
{
    mg_mailbox_t *mailbox;
    apr_status_t rv = mg_mailbox_by_address(&mailbox, db, address, q->p);

    if (rv != APR_SUCCESS)
        return rv;
    return strcmp(mailbox->password_hash, password_hash) == 0 ? APR_SUCCESS
                                                              : APR_ENOENT;
}

static int missing(api_t *q, const char *name)
{
    return api_reply_message(q, HTTP_BAD_REQUEST, "Parameter '%s' is missing",
                             name);
}

static int not_found(api_t *q)
{
    return api_reply_message(q, HTTP_NOT_FOUND, "Mailbox not found");
}

/* "user" or "user@domain" in this domain; NULL: another domain's. */
static const char *full_address(api_t *q, const char *mailbox)
{
    const char *at = strrchr(mailbox, '@');

    if (!at)
        return apr_pstrcat(q->p, mailbox, "@", q->domain.name, NULL);
    if (strcasecmp(at + 1, q->domain.name) != 0)
        return NULL;
    return apr_pstrcat(q->p, apr_pstrmemdup(q->p, mailbox,
                                            (apr_size_t)(at - mailbox)),
                       "@", q->domain.name, NULL);
}

/* GET */

static json_t *mailbox_json(const mg_mailbox_t *mailbox, apr_pool_t *p)
{
    json_t *size = mailbox->size_bytes < 0
                       ? json_null()
                       : json_integer((json_int_t)mailbox->size_bytes);

    return json_pack("{s:o, s:s, s:s}", "size_bytes", size, "created_at",
                     mg_time_gmt(mailbox->created_at, p), "mailbox",
                     mailbox->address);
}

int api_mailboxes_list(api_t *q)
{
    apr_array_header_t *mailboxes;
    apr_int64_t skip, limit, total;
    apr_status_t rv;
    json_t *items;
    int i;

    if (api_paging(q, &skip, &limit) || api_reader(q))
        return API_REPLIED;
    rv = mg_mailbox_list(&mailboxes, &total, q->db, q->domain.id, skip, limit,
                         q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list mailboxes");
    items = json_array();
    for (i = 0; i < mailboxes->nelts; i++)
        json_array_append_new(
            items,
            mailbox_json(APR_ARRAY_IDX(mailboxes, i, mg_mailbox_t *), q->p));
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:I, s:o}", "total_count",
                                    (json_int_t)total, "items", items));
}

/* POST */

typedef struct {
    api_t *q;
    const char *address, *password_hash;
    apr_int64_t id;               /* PUT, DELETE */
} change_t;

static apr_status_t run_create(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;
    mg_mailbox_t *mailbox;

    return mg_mailbox_add(&mailbox, db, change->q->account_id,
                          change->q->domain.id, change->address,
                          change->password_hash, ptemp);
}

/* After a COMMIT whose answer was lost: bcrypt's salt makes the hash ours. */
static apr_status_t is_created(mg_db_t *db, void *baton)
{
    const change_t *change = baton;

    return api_mailbox_has_hash(change->q, db, change->address,
                                change->password_hash);
}

static int bad_address(api_t *q)
{
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "'mailbox' parameter is not a valid address. "
                             "please check documentation");
}

int api_mailboxes_create(api_t *q)
{
    const char *mailbox = api_param(q, "mailbox");
    const char *password = api_param(q, "password");
    change_t change = { .q = q };
    apr_status_t rv;

    if (!mailbox || !*mailbox)
        return missing(q, "mailbox");
    if (!password || !*password)
        return missing(q, "password");
    if (api_check_password(q, password))
        return API_REPLIED;
    change.address = full_address(q, mailbox);
    if (!change.address)
        return bad_address(q);
    change.password_hash = mg_password_hash(password, q->p);
    rv = api_unit(q, run_create, is_created, &change);
    if (rv == APR_EEXIST || rv == MG_ECONFLICT)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Address already exists '%s'",
                                 change.address);
    if (rv == MG_EADDRESS || rv == MG_EBADINPUT)
        return bad_address(q);
    if (rv == APR_ENOENT) /* removed meanwhile */
        return api_reply_message(q, HTTP_NOT_FOUND, "Domain not found: %s",
                                 q->domain.name);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot add a mailbox");
    mg_shared_bump(q->child->shared);
    return api_reply_message(q, HTTP_OK, "Created 1 mailboxes");
}

/* PUT and DELETE */

static int find_mailbox(api_t *q, change_t *change)
{
    mg_mailbox_t *mailbox;
    apr_status_t rv;

    change->q = q;
    change->address = full_address(q, q->args[1]);
    if (!change->address)
        return not_found(q);
    if (api_reader(q))
        return API_REPLIED;
    rv = mg_mailbox_by_address(&mailbox, q->db, change->address, q->p);
    if (rv == APR_ENOENT || rv == MG_EADDRESS ||
        (rv == APR_SUCCESS && mailbox->domain_id != q->domain.id))
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up a mailbox");
    change->id = mailbox->id;
    change->address = mailbox->address;
    return API_GO_ON;
}

static apr_status_t run_update(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;

    (void)ptemp;
    return mg_mailbox_set_password(db, change->id, change->password_hash);
}

int api_mailboxes_update(api_t *q)
{
    const char *password = api_param(q, "password");
    change_t change;
    apr_status_t rv;

    memset(&change, 0, sizeof(change));
    if (find_mailbox(q, &change))
        return API_REPLIED;
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
        return api_reply_failed(q, rv, "cannot change a password");
    mg_shared_bump(q->child->shared);
    return api_reply_message(q, HTTP_OK, "Password changed");
}

static apr_status_t run_delete(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;

    (void)ptemp;
    return mg_mailbox_delete(db, change->id);
}

static apr_status_t is_deleted(mg_db_t *db, void *baton)
{
    const change_t *change = baton;
    mg_mailbox_t *mailbox;
    apr_status_t rv = mg_mailbox_by_id(&mailbox, db, change->id, change->q->p);

    if (rv == APR_ENOENT)
        return APR_SUCCESS;
    return rv == APR_SUCCESS ? APR_ENOENT : rv;
}

int api_mailboxes_delete(api_t *q)
{
    change_t change;
    apr_status_t rv;

    memset(&change, 0, sizeof(change));
    if (find_mailbox(q, &change))
        return API_REPLIED;
    if (strncasecmp(change.address, "postmaster@", 11) == 0)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Cannot delete system mailbox: "
                                 "postmaster@%s", q->domain.name);
    rv = api_unit(q, run_delete, is_deleted, &change);
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot delete a mailbox");
    mg_shared_bump(q->child->shared);
    mg_bell_ring(q->config->run_dir, MG_ROLE_KEEPER);
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:s, s:s}", "message",
                                    "Mailbox has been deleted", "spec",
                                    change.address));
}
