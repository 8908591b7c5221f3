/* ctl_mailbox.c - mailgunctl mailbox. */
#include "ctl.h"
#include "mg_mailbox.h"
#include "mg_status.h"
#include "mg_text.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

#define LIST_MAX 1000000

static int find_mailbox(mg_mailbox_t **pmailbox, ctl_t *ctl,
                        const char *address)
{
    apr_status_t rv;

    rv = mg_mailbox_by_address(pmailbox, ctl->db, address, ctl->pool);
    if (rv == APR_ENOENT || rv == MG_EADDRESS)
        return ctl_error(ctl, "there is no mailbox '%s'", address);
    return rv == APR_SUCCESS ? 0 : ctl_failed(ctl, rv, "mailbox %s", address);
}

/* A size, or "default" (-1). */
static int read_quota(apr_int64_t *pbytes, ctl_t *ctl, const char *text)
{
    if (strcmp(text, "default") == 0) {
        *pbytes = -1;
        return 0;
    }
    if (mg_text_size(pbytes, text) != APR_SUCCESS)
        return ctl_error(ctl, "quota: '%s' is no size; try 104857600, 100M, 0 "
                         "for no limit, or default", text);
    return 0;
}

int ctl_mailbox_add(ctl_t *ctl)
{
    const char *address = ctl->argv[0], *quota = ctl_option(ctl, "quota");
    const char *password, *hash;
    apr_int64_t quota_bytes = -1;
    mg_mailbox_t *mailbox;
    mg_domain_t *domain;
    apr_status_t rv;
    int code, made;

    if ((quota && (code = read_quota(&quota_bytes, ctl, quota)) != 0)
        || (code = ctl_password(&password, &hash, &made, ctl,
                                ctl->argc > 1 ? ctl->argv[1] : NULL)) != 0
        || (code = ctl_begin(ctl)) != 0
        || (code = ctl_domain_of(&domain, ctl, address)) != 0)
        return code;
    rv = mg_mailbox_add(&mailbox, ctl->db, domain->account_id, domain->id,
                        address, hash, ctl->pool);
    if (rv == APR_SUCCESS && quota_bytes >= 0)
        rv = mg_mailbox_set_quota(ctl->db, mailbox->id, quota_bytes);
    if (rv == APR_EEXIST)
        return ctl_error(ctl, "there is a mailbox '%s' already", address);
    if (rv == MG_EADDRESS)
        return ctl_error(ctl, "'%s' is no address; try bob@example.com",
                         address);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "mailbox %s", address);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("mailbox %s added\n", mailbox->address);
    if (made)
        printf("password %s\n", password);
    return 0;
}

static const char *quota_text(ctl_t *ctl, apr_int64_t quota_bytes)
{
    if (quota_bytes < 0)
        return "default";
    return quota_bytes == 0 ? "unlimited" : ctl_size(ctl, quota_bytes);
}

int ctl_mailbox_list(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    apr_array_header_t *list;
    mg_domain_t *domain;
    apr_int64_t total;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_open(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_mailbox_list(&list, &total, ctl->db, domain->id, 0, LIST_MAX,
                         ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "mailboxes of %s", domain->name);
    ctl_table_row(table, "ADDRESS", "SIZE", "QUOTA", "SINCE", NULL);
    for (i = 0; i < list->nelts; i++) {
        mg_mailbox_t *m = APR_ARRAY_IDX(list, i, mg_mailbox_t *);
        ctl_table_row(table, m->address,
                      m->size_bytes < 0 ? "-" : ctl_size(ctl, m->size_bytes),
                      quota_text(ctl, m->quota_bytes),
                      ctl_time(ctl, m->created_at), NULL);
    }
    ctl_table_print(table);
    return 0;
}

/* One name=value; the hash was made before the transaction began. */
static int set_one(ctl_t *ctl, const mg_mailbox_t *mailbox, const char *name,
                   const char *value, const char *hash)
{
    apr_int64_t bytes;
    apr_status_t rv;
    int code;

    if (strcmp(name, "password") == 0) {
        rv = mg_mailbox_set_password(ctl->db, mailbox->id, hash);
    }
    else if (strcmp(name, "quota") == 0) {
        if ((code = read_quota(&bytes, ctl, value)) != 0)
            return code;
        rv = mg_mailbox_set_quota(ctl->db, mailbox->id, bytes);
    }
    else {
        return ctl_error(ctl, "'%s' is no setting of a mailbox; there are "
                         "password, quota", name);
    }
    return rv == APR_SUCCESS ? 0 : ctl_failed(ctl, rv, "mailbox %s",
                                              mailbox->address);
}

int ctl_mailbox_set(ctl_t *ctl)
{
    const char *name, *value, *password, *hash = NULL;
    mg_mailbox_t *mailbox;
    int i, made, code;

    for (i = 1; i < ctl->argc; i++) {
        if ((code = ctl_assignment(&name, &value, ctl, ctl->argv[i])) != 0)
            return code;
        if (strcmp(name, "password") == 0
            && (code = ctl_password(&password, &hash, &made, ctl, value))
                   != 0)
            return code;
    }
    if ((code = ctl_begin(ctl)) != 0
        || (code = find_mailbox(&mailbox, ctl, ctl->argv[0])) != 0)
        return code;
    for (i = 1; i < ctl->argc; i++) {
        ctl_assignment(&name, &value, ctl, ctl->argv[i]);
        if ((code = set_one(ctl, mailbox, name, value, hash)) != 0)
            return code;
    }
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("mailbox %s changed\n", mailbox->address);
    return 0;
}

int ctl_mailbox_remove(ctl_t *ctl)
{
    mg_mailbox_t *mailbox;
    apr_status_t rv;
    int code;

    if ((code = ctl_begin(ctl)) != 0
        || (code = find_mailbox(&mailbox, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_mailbox_delete(ctl->db, mailbox->id);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "mailbox %s", mailbox->address);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    mg_bell_ring(ctl->config->run_dir, MG_ROLE_MAILBOXD);
    printf("mailbox %s removed\n", mailbox->address);
    return 0;
}
