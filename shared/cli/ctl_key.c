/* ctl_key.c - mailgunctl key: an account's API keys. */
#include "ctl.h"
#include "mg_status.h"

#include <apr_strings.h>
#include <stdio.h>

int ctl_key_add(ctl_t *ctl)
{
    mg_account_t *account;
    mg_secret_t *secret;
    const char *key;
    apr_status_t rv;
    int code;

    if ((code = ctl_secret(&secret, ctl)) != 0
        || (code = ctl_begin(ctl)) != 0
        || (code = ctl_account(&account, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_key_add(&key, ctl->db, secret, account->id, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "key of account %s", account->name);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    /* the key last and alone: for people to copy and scripts to cut */
    printf("key of account %s, shown this once:\n%s\n", account->name, key);
    return 0;
}

int ctl_key_revoke(ctl_t *ctl)
{
    mg_account_t *account;
    apr_status_t rv;
    int code;

    if ((code = ctl_begin(ctl)) != 0
        || (code = ctl_account(&account, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_key_revoke(ctl->db, account->id, ctl->argv[1], ctl->pool);
    if (rv == APR_ENOENT)
        return ctl_error(ctl, "account %s has no live key that is or ends "
                         "with what you gave", account->name);
    if (rv == MG_EBADINPUT)
        return ctl_error(ctl, "several keys of account %s end with '%s'; give "
                         "the whole key", account->name, ctl->argv[1]);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "key of account %s", account->name);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("key of account %s revoked\n", account->name);
    return 0;
}

int ctl_key_list(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    apr_array_header_t *list;
    mg_account_t *account;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_open(ctl)) != 0
        || (code = ctl_account(&account, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_key_list(&list, ctl->db, account->id, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "keys of account %s", account->name);
    ctl_table_row(table, "ENDS WITH", "SINCE", "REVOKED", NULL);
    for (i = 0; i < list->nelts; i++) {
        mg_key_t *key = APR_ARRAY_IDX(list, i, mg_key_t *);
        ctl_table_row(table, apr_pstrcat(ctl->pool, "...", key->hint, NULL),
                      ctl_time(ctl, key->created_at),
                      ctl_time(ctl, key->revoked_at), NULL);
    }
    ctl_table_print(table);
    return 0;
}
