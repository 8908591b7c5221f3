/* ctl_list.c - mailgunctl list: mailing lists and their members. */
#include "ctl.h"
#include "mg_address.h"
#include "mg_domain.h"
#include "mg_list.h"
#include "mg_members.h"
#include "mg_status.h"
#include "mg_text.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

#define AT_ONCE 500

static int find_list(mg_list_t **plist, ctl_t *ctl)
{
    apr_status_t rv = mg_list_by_address(plist, ctl->db, 0, ctl->argv[0],
                                         ctl->pool);

    if (rv == APR_ENOENT)
        return ctl_error(ctl, "there is no mailing list %s", ctl->argv[0]);
    return rv == APR_SUCCESS ? 0 : ctl_failed(ctl, rv, "list %s",
                                              ctl->argv[0]);
}

/* --access, --reply, --name, --description */
static int set_options(mg_list_t *list, ctl_t *ctl)
{
    const char *access = ctl_option(ctl, "access");
    const char *reply = ctl_option(ctl, "reply");
    const char *name = ctl_option(ctl, "name");
    const char *description = ctl_option(ctl, "description");

    if (access && mg_list_access_by_name(access) < 0)
        return ctl_error(ctl, "--access: '%s' is none of readonly, members,"
                         " everyone", access);
    if (reply && mg_list_reply_by_name(reply) < 0)
        return ctl_error(ctl, "--reply: '%s' is none of list, sender", reply);
    if (access)
        list->access = (mg_list_access_t)mg_list_access_by_name(access);
    if (reply)
        list->reply = (mg_list_reply_t)mg_list_reply_by_name(reply);
    list->name = name ? name : list->name ? list->name : "";
    list->description = description ? description
                        : list->description ? list->description : "";
    if (strlen(list->name) > MG_LIST_NAME_MAX
        || strlen(list->description) > MG_LIST_DESCRIPTION_MAX)
        return ctl_error(ctl, "a name has %d octets at most, a description %d",
                         MG_LIST_NAME_MAX, MG_LIST_DESCRIPTION_MAX);
    return 0;
}

int ctl_list_add(ctl_t *ctl)
{
    mg_list_t list = { 0 };
    mg_address_t *address;
    mg_domain_t *domain;
    apr_status_t rv;
    int code;

    if ((code = set_options(&list, ctl)) != 0)
        return code;
    if (mg_address_parse(&address, ctl->argv[0], ctl->pool) != APR_SUCCESS
        || !address->domain || !*address->domain)
        return ctl_error(ctl, "'%s' is no address", ctl->argv[0]);
    if ((code = ctl_begin(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, address->domain)) != 0)
        return code;
    list.account_id = domain->account_id;
    list.domain_id = domain->id;
    list.address = address->address;
    rv = mg_list_add(&list, ctl->db, ctl->pool);
    if (rv == MG_ECONFLICT)
        return ctl_error(ctl, "there is a mailing list %s already",
                         list.address);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "list %s", list.address);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("mailing list %s added\n", list.address);
    return 0;
}

int ctl_list_set(ctl_t *ctl)
{
    mg_list_t *list;
    apr_status_t rv;
    int code;

    if ((code = ctl_begin(ctl)) != 0 || (code = find_list(&list, ctl)) != 0
        || (code = set_options(list, ctl)) != 0)
        return code;
    rv = mg_list_update(ctl->db, list, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "list %s", list->address);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("mailing list %s changed\n", list->address);
    return 0;
}

int ctl_list_list(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    apr_array_header_t *lists;
    mg_account_t *account;
    apr_int64_t total;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_open(ctl)) != 0
        || (code = ctl_account(&account, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_list_page(&lists, &total, ctl->db, account->id, 0, APR_INT32_MAX,
                      ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "lists of account %s", account->name);
    ctl_table_row(table, "ADDRESS", "MEMBERS", "ACCESS", "REPLIES TO", "SINCE",
                  "NAME", NULL);
    for (i = 0; i < lists->nelts; i++) {
        const mg_list_t *l = APR_ARRAY_IDX(lists, i, const mg_list_t *);

        ctl_table_row(table, l->address, ctl_number(ctl, l->members),
                      mg_list_access_name(l->access),
                      mg_list_replies_to_list(l) ? "list" : "sender",
                      ctl_time(ctl, l->created_at), l->name, NULL);
    }
    ctl_table_print(table);
    return 0;
}

int ctl_list_members(ctl_t *ctl)
{
    mg_list_page_t page = { .subscribed = -1, .limit = AT_ONCE };
    ctl_table_t *table = ctl_table_make(ctl);
    apr_array_header_t *members;
    apr_status_t rv;
    mg_list_t *list;
    int i, code;

    if ((code = ctl_open(ctl)) != 0 || (code = find_list(&list, ctl)) != 0)
        return code;
    ctl_table_row(table, "ADDRESS", "SUBSCRIBED", "SINCE", "NAME", "VARS",
                  NULL);
    do {
        rv = mg_list_members(&members, ctl->db, list->id, &page, ctl->pool);
        if (rv != APR_SUCCESS)
            return ctl_failed(ctl, rv, "members of %s", list->address);
        for (i = 0; i < members->nelts; i++) {
            const mg_list_member_t *m = APR_ARRAY_IDX(
                members, i, const mg_list_member_t *);

            ctl_table_row(table, m->address, m->subscribed ? "yes" : "no",
                          ctl_time(ctl, m->created_at), m->name, m->vars,
                          NULL);
            page.after = m->address;
        }
    } while (members->nelts == AT_ONCE);
    ctl_table_print(table);
    return 0;
}

/* --- members of a file --- */

static apr_status_t read_file(const char **pbytes, apr_size_t *plen,
                              const char *path, apr_pool_t *p)
{
    apr_size_t room = MG_MEMBERS_CSV_MAX + 2;
    char *bytes = apr_palloc(p, room);
    apr_file_t *file;
    apr_status_t rv;

    rv = strcmp(path, "-") == 0
             ? apr_file_open_stdin(&file, p)
             : apr_file_open(&file, path, APR_FOPEN_READ, APR_OS_DEFAULT, p);
    if (rv == APR_SUCCESS)
        rv = apr_file_read_full(file, bytes, room - 1, plen);
    *pbytes = bytes;
    return APR_STATUS_IS_EOF(rv) ? APR_SUCCESS : rv;
}

static int put_members(ctl_t *ctl, const mg_list_t *list,
                       const mg_members_t *members)
{
    apr_array_header_t slice = *members->members;
    const char *there;
    apr_status_t rv;
    int at;

    for (at = 0; at < members->members->nelts; at += AT_ONCE) {
        slice.elts = members->members->elts
                     + (apr_size_t)at * (apr_size_t)slice.elt_size;
        slice.nelts = members->members->nelts - at < AT_ONCE
                          ? members->members->nelts - at : AT_ONCE;
        rv = mg_list_put_members(&there, ctl->db, list->id, &slice,
                                 MG_LIST_UPSERT, ctl->pool);
        if (rv == MG_ELIMIT)
            return ctl_error(ctl, "its account may have no more members; %d "
                             "are in", at);
        if (rv != APR_SUCCESS)
            return ctl_failed(ctl, rv, "members of %s", list->address);
    }
    return 0;
}

int ctl_list_import(ctl_t *ctl)
{
    const char *bytes, *error;
    mg_members_t *members;
    mg_list_t *list;
    apr_status_t rv;
    apr_size_t len;
    int i, code;

    rv = read_file(&bytes, &len, ctl->argv[1], ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "%s", ctl->argv[1]);
    if (mg_members_csv(&members, &error, bytes, len, 1, ctl->pool)
        != APR_SUCCESS)
        return ctl_error(ctl, "%s", error);
    if ((code = ctl_open(ctl)) != 0 || (code = find_list(&list, ctl)) != 0
        || (code = put_members(ctl, list, members)) != 0)
        return code;
    for (i = 0; i < members->errors->nelts; i++) {
        const mg_members_error_t *e = &APR_ARRAY_IDX(members->errors, i,
                                                     mg_members_error_t);

        printf("line %d: %s\n", e->line, e->error);
    }
    printf("%d members put into %s, %d lines passed over\n",
           members->members->nelts, list->address, members->skipped);
    return 0;
}

int ctl_list_remove(ctl_t *ctl)
{
    mg_list_t *list;
    apr_status_t rv;
    int code;

    if ((code = ctl_begin(ctl)) != 0 || (code = find_list(&list, ctl)) != 0)
        return code;
    rv = mg_list_remove(ctl->db, list->id);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "list %s", list->address);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("mailing list %s removed\n", list->address);
    return 0;
}
