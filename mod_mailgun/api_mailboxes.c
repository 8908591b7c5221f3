/* api_mailboxes.c - /<domain>/mailboxes: POP3, IMAP and SMTP logins. They are
 * credentials, too (api_credentials.c). */
#include "api.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_log.h"
#include "mg_mailbox.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

/* The two differ in words only. */
typedef struct {
    const char *deleted, *not_found;
} face_t;

static const face_t mailboxes = { "Mailbox has been deleted",
                                  "Mailbox not found" };
static const face_t credentials = { "Credentials have been deleted",
                                    "Credentials not found" };

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

static int not_found(api_t *q, const face_t *face)
{
    return api_reply_message(q, HTTP_NOT_FOUND, "%s", face->not_found);
}

/* Ours: "quota", a size or "default". *pbytes stays where it is not given. */
static int read_quota(api_t *q, apr_int64_t *pbytes)
{
    const char *quota = api_param(q, "quota");

    if (!quota)
        return API_GO_ON;
    if (strcmp(quota, "default") == 0) {
        *pbytes = -1;
        return API_GO_ON;
    }
    if (mg_text_size(pbytes, quota) == APR_SUCCESS)
        return API_GO_ON;
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "quota: '%s' is no size; try 104857600, 100M, 0 "
                             "for no limit, or default", quota);
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
    apr_array_header_t *found;
    apr_int64_t skip, limit, total;
    apr_status_t rv;
    json_t *items;
    int i;

    if (api_paging(q, &skip, &limit) || api_reader(q))
        return API_REPLIED;
    rv = mg_mailbox_list(&found, &total, q->db, q->domain.id, skip, limit,
                         q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list mailboxes");
    items = json_array();
    for (i = 0; i < found->nelts; i++)
        json_array_append_new(
            items, mailbox_json(APR_ARRAY_IDX(found, i, mg_mailbox_t *),
                                q->p));
    return api_reply_items(q, total, items);
}

/* POST */

#define QUOTA_STAYS (-2)

typedef struct {
    api_t *q;
    const char *address, *password_hash; /* PUT: NULL: it stays */
    apr_int64_t quota_bytes;      /* QUOTA_STAYS */
    apr_int64_t id;               /* PUT, DELETE */
} change_t;

static apr_status_t run_create(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;
    mg_mailbox_t *mailbox;
    apr_status_t rv;

    rv = mg_mailbox_add(&mailbox, db, change->q->account_id,
                        change->q->domain.id, change->address,
                        change->password_hash, ptemp);
    if (rv == APR_SUCCESS && change->quota_bytes != QUOTA_STAYS)
        rv = mg_mailbox_set_quota(db, mailbox->id, change->quota_bytes);
    return rv;
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
    change_t change = { .q = q, .quota_bytes = QUOTA_STAYS };
    apr_status_t rv;

    if (!mailbox || !*mailbox)
        return missing(q, "mailbox");
    if (!password || !*password)
        return missing(q, "password");
    if (api_check_password(q, password)
        || read_quota(q, &change.quota_bytes))
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

static int find_mailbox(api_t *q, change_t *change, const face_t *face)
{
    mg_mailbox_t *mailbox;
    apr_status_t rv;

    change->q = q;
    change->address = full_address(q, q->args[1]);
    if (!change->address)
        return not_found(q, face);
    if (api_reader(q))
        return API_REPLIED;
    rv = mg_mailbox_by_address(&mailbox, q->db, change->address, q->p);
    if (rv == APR_ENOENT || rv == MG_EADDRESS ||
        (rv == APR_SUCCESS && mailbox->domain_id != q->domain.id))
        return not_found(q, face);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up a mailbox");
    change->id = mailbox->id;
    change->address = mailbox->address;
    return API_GO_ON;
}

static apr_status_t run_update(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const change_t *change = baton;
    apr_status_t rv = APR_SUCCESS;

    (void)ptemp;
    if (change->password_hash)
        rv = mg_mailbox_set_password(db, change->id, change->password_hash);
    if (rv == APR_SUCCESS && change->quota_bytes != QUOTA_STAYS)
        rv = mg_mailbox_set_quota(db, change->id, change->quota_bytes);
    return rv;
}

static int update(api_t *q, const face_t *face)
{
    const char *password = api_param(q, "password");
    change_t change;
    apr_status_t rv;

    memset(&change, 0, sizeof(change));
    change.quota_bytes = QUOTA_STAYS;
    if (find_mailbox(q, &change, face) || read_quota(q, &change.quota_bytes))
        return API_REPLIED;
    if (change.quota_bytes == QUOTA_STAYS && (!password || !*password))
        return missing(q, "password");
    if (password && *password && api_check_password(q, password))
        return API_REPLIED;
    api_reader_done(q);
    if (password && *password)
        change.password_hash = mg_password_hash(password, q->p);
    rv = api_unit(q, run_update, NULL, &change);
    if (rv == APR_ENOENT)
        return not_found(q, face);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot change a mailbox");
    mg_shared_bump(q->child->shared);
    return api_reply_message(q, HTTP_OK, change.password_hash
                                             ? "Password changed"
                                             : "Quota changed");
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

static int delete(api_t *q, const face_t *face)
{
    change_t change;
    apr_status_t rv;

    memset(&change, 0, sizeof(change));
    if (find_mailbox(q, &change, face))
        return API_REPLIED;
    if (strncasecmp(change.address, "postmaster@", 11) == 0)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Cannot delete system mailbox: "
                                 "postmaster@%s", q->domain.name);
    rv = api_unit(q, run_delete, is_deleted, &change);
    if (rv == APR_ENOENT)
        return not_found(q, face);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot delete a mailbox");
    mg_shared_bump(q->child->shared);
    mg_bell_ring(q->config->run_dir, MG_ROLE_KEEPER);
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:s, s:s}", "message",
                                    face->deleted, "spec",
                                    change.address));
}

/* the two faces */

int api_mailboxes_update(api_t *q)
{
    return update(q, &mailboxes);
}

int api_mailboxes_delete(api_t *q)
{
    return delete(q, &mailboxes);
}

int api_mailbox_credentials_update(api_t *q)
{
    return update(q, &credentials);
}

int api_mailbox_credentials_delete(api_t *q)
{
    return delete(q, &credentials);
}
