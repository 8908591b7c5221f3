/* ctl_credential.c - mailgunctl credential. */
#include "ctl.h"
#include "mg_credential.h"
#include "mg_status.h"

#include <stdio.h>

#define LIST_MAX 1000000

static int find_credential(mg_credential_t **pcredential, ctl_t *ctl,
                           const char *login)
{
    apr_status_t rv;

    rv = mg_credential_by_login(pcredential, ctl->db, login, ctl->pool);
    if (rv == APR_ENOENT)
        return ctl_error(ctl, "there is no credential '%s'", login);
    return rv == APR_SUCCESS ? 0 : ctl_failed(ctl, rv, "credential %s", login);
}

static const char *given_password(const ctl_t *ctl)
{
    return ctl->argc > 1 ? ctl->argv[1] : NULL;
}

int ctl_credential_add(ctl_t *ctl)
{
    const char *login = ctl->argv[0], *password, *hash;
    mg_credential_t *credential;
    mg_domain_t *domain;
    apr_status_t rv;
    int code, made;

    if ((code = ctl_password(&password, &hash, &made, ctl,
                             given_password(ctl))) != 0
        || (code = ctl_begin(ctl)) != 0
        || (code = ctl_domain_of(&domain, ctl, login)) != 0)
        return code;
    rv = mg_credential_add(&credential, ctl->db, domain, login, hash,
                           ctl->pool);
    if (rv == APR_EEXIST)
        return ctl_error(ctl, "there is a credential or mailbox '%s' already",
                         login);
    if (rv == MG_EADDRESS)
        return ctl_error(ctl, "'%s' is no address; try bob@example.com",
                         login);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "credential %s", login);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("credential %s added\n", credential->login);
    if (made)
        printf("password %s\n", password);
    return 0;
}

int ctl_credential_list(ctl_t *ctl)
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
    rv = mg_credential_list(&list, &total, ctl->db, domain->id, 0, LIST_MAX,
                            ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "credentials of %s", domain->name);
    ctl_table_row(table, "LOGIN", "SINCE", NULL);
    for (i = 0; i < list->nelts; i++) {
        mg_credential_t *c = APR_ARRAY_IDX(list, i, mg_credential_t *);

        ctl_table_row(table, c->login, ctl_time(ctl, c->created_at), NULL);
    }
    ctl_table_print(table);
    return 0;
}

int ctl_credential_password(ctl_t *ctl)
{
    const char *password, *hash;
    mg_credential_t *credential;
    apr_status_t rv;
    int code, made;

    if ((code = ctl_password(&password, &hash, &made, ctl,
                             given_password(ctl))) != 0
        || (code = ctl_begin(ctl)) != 0
        || (code = find_credential(&credential, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_credential_set_password(ctl->db, credential->id, hash);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "credential %s", credential->login);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("credential %s changed\n", credential->login);
    if (made)
        printf("password %s\n", password);
    return 0;
}

int ctl_credential_remove(ctl_t *ctl)
{
    mg_credential_t *credential;
    apr_status_t rv;
    int code;

    if ((code = ctl_begin(ctl)) != 0
        || (code = find_credential(&credential, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_credential_remove(ctl->db, credential->id);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "credential %s", credential->login);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("credential %s removed\n", credential->login);
    return 0;
}
