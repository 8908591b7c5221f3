/* ctl_domain.c - mailgunctl domain: domains, their settings, their DNS. */
#include "ctl.h"
#include "mg_dns_rule.h"
#include "mg_status.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

#define LIST_MAX 1000000

int ctl_domain_add(ctl_t *ctl)
{
    const char *name = ctl->argv[0], *account_name, *password, *hash;
    mg_account_t *account;
    mg_domain_t *domain;
    mg_secret_t *secret;
    mg_dkim_t *dkim;
    apr_status_t rv;
    int code, made;

    account_name = ctl_option(ctl, "account");
    if (!account_name)
        return ctl_usage(ctl, "--account is missing");
    if ((code = ctl_secret(&secret, ctl)) != 0
        || (code = ctl_password(&password, &hash, &made, ctl,
                                ctl_option(ctl, "password"))) != 0)
        return code;
    rv = mg_dkim_make(&dkim, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "the DKIM key cannot be made");
    if ((code = ctl_begin(ctl)) != 0
        || (code = ctl_account(&account, ctl, account_name)) != 0)
        return code;
    rv = mg_domain_add(&domain, ctl->db, secret, account->id, name, hash, dkim,
                       ctl->pool);
    if (rv == APR_EEXIST)
        return ctl_error(ctl, "there is a domain '%s' already", name);
    if (rv == MG_EBADINPUT)
        return ctl_error(ctl, "'%s' is no domain name", name);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "domain %s", name);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    mg_bell_ring(ctl->config->run_dir, MG_ROLE_KEEPER); /* looks at its DNS */
    printf("domain %s added to account %s\n", domain->name, account->name);
    printf("SMTP login postmaster@%s\n", domain->name);
    if (made)
        printf("SMTP password %s\n", password);
    return 0;
}

int ctl_domain_list(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    const char *account_name = ctl_option(ctl, "account");
    apr_array_header_t *list;
    mg_account_t *account = NULL;
    apr_int64_t total;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_open(ctl)) != 0)
        return code;
    if (account_name
        && (code = ctl_account(&account, ctl, account_name)) != 0)
        return code;
    rv = mg_domain_list(&list, &total, ctl->db, account ? account->id : 0, 0,
                        LIST_MAX, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "domains");
    ctl_table_row(table, "NAME", "STATE", "SINCE", NULL);
    for (i = 0; i < list->nelts; i++) {
        mg_domain_t *d = APR_ARRAY_IDX(list, i, mg_domain_t *);
        ctl_table_row(table, d->name, d->state, ctl_time(ctl, d->created_at),
                      NULL);
    }
    ctl_table_print(table);
    return 0;
}

static const char *account_of(ctl_t *ctl, const mg_domain_t *domain)
{
    apr_array_header_t *list;
    int i;

    if (mg_account_list(&list, ctl->db, ctl->pool) == APR_SUCCESS) {
        for (i = 0; i < list->nelts; i++) {
            mg_account_t *a = APR_ARRAY_IDX(list, i, mg_account_t *);
            if (a->id == domain->account_id)
                return a->name;
        }
    }
    return "?";
}

/* As lines of a zone file. */
static void print_zone(ctl_t *ctl, const apr_array_header_t *records)
{
    int i;

    for (i = 0; i < records->nelts; i++) {
        const mg_dns_record_t *r = &APR_ARRAY_IDX(records, i,
                                                  mg_dns_record_t);

        if (strcmp(r->type, "TXT") == 0)
            printf("%s. IN TXT ( %s )\n", r->name,
                   mg_dns_zone_text(r->value, ctl->pool));
        else if (strcmp(r->type, "MX") == 0)
            printf("%s. IN MX %d %s.\n", r->name, r->priority, r->value);
        else
            printf("%s. IN %s %s.\n", r->name, r->type, r->value);
    }
}

static void print_records(ctl_t *ctl, const apr_array_header_t *records)
{
    ctl_table_t *table = ctl_table_make(ctl);
    int i;

    ctl_table_row(table, "  TYPE", "NAME", "VALID", "KEY", "VALUE", NULL);
    for (i = 0; i < records->nelts; i++) {
        const mg_dns_record_t *r = &APR_ARRAY_IDX(records, i,
                                                  mg_dns_record_t);
        const char *value = r->value;

        if (strcmp(r->type, "MX") == 0)
            value = apr_psprintf(ctl->pool, "%d %s.", r->priority, value);
        else if (strcmp(r->type, "CNAME") == 0)
            value = apr_pstrcat(ctl->pool, value, ".", NULL);
        ctl_table_row(table, apr_pstrcat(ctl->pool, "  ", r->type, NULL),
                      r->name, r->valid, *r->state ? r->state : "-", value,
                      NULL);
    }
    ctl_table_print(table);
    for (i = 0; i < records->nelts; i++) {
        const mg_dns_record_t *r = &APR_ARRAY_IDX(records, i,
                                                  mg_dns_record_t);

        if (strcmp(r->valid, "valid") != 0 && r->checked_at
            && (i == 0 || strcmp(r->record, r[-1].record) != 0))
            printf("  %s %s, seen %s: %s\n", r->type, r->name,
                   ctl_time(ctl, r->checked_at), *r->seen ? r->seen
                                                          : "nothing");
    }
}

static int print_dns(ctl_t *ctl, const mg_domain_t *domain)
{
    apr_array_header_t *records;
    apr_status_t rv;

    rv = mg_dns_records(&records, ctl->config, ctl->db, domain, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "records of %s", domain->name);
    if (ctl_option(ctl, "zone")) {
        print_zone(ctl, records);
        return 0;
    }
    printf("\nDNS records to publish:\n");
    print_records(ctl, records);
    return 0;
}

int ctl_domain_print_records(ctl_t *ctl, const mg_domain_t *domain)
{
    mg_domain_t *now;
    apr_status_t rv = mg_domain_by_id(&now, ctl->db, domain->id, ctl->pool);

    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "domain %s", domain->name);
    printf("domain %s is %s\n", now->name, now->state);
    return print_dns(ctl, now);
}

int ctl_domain_show(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    const mg_domain_setting_t *settings;
    mg_domain_t *domain;
    int i, n, code;

    if ((code = ctl_open(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0)
        return code;
    if (ctl_option(ctl, "zone"))
        return print_dns(ctl, domain);
    ctl_table_row(table, "domain", domain->name, NULL);
    ctl_table_row(table, "account", account_of(ctl, domain), NULL);
    ctl_table_row(table, "state", domain->state, NULL);
    ctl_table_row(table, "since", ctl_time(ctl, domain->created_at), NULL);
    ctl_table_print(table);

    table = ctl_table_make(ctl);
    settings = mg_domain_settings(&n);
    printf("\nSettings (mailgunctl domain set %s NAME=VALUE):\n",
           domain->name);
    for (i = 0; i < n; i++) {
        const char *value = mg_domain_setting(domain, settings[i].name);
        ctl_table_row(table,
                      apr_pstrcat(ctl->pool, "  ", settings[i].name, NULL),
                      value && *value ? value : "-", settings[i].help, NULL);
    }
    ctl_table_print(table);
    return print_dns(ctl, domain);
}

int ctl_domain_set(ctl_t *ctl)
{
    const char *name, *value, *error;
    mg_domain_t *domain;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_begin(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0)
        return code;
    for (i = 1; i < ctl->argc; i++) {
        if ((code = ctl_assignment(&name, &value, ctl, ctl->argv[i])) != 0)
            return code;
        rv = mg_domain_set(ctl->db, domain->id, name, value, &error,
                           ctl->pool);
        if (rv == MG_EBADINPUT)
            return ctl_error(ctl, "%s", error);
        if (rv != APR_SUCCESS)
            return ctl_failed(ctl, rv, "domain %s", domain->name);
    }
    rv = mg_domain_by_id(&domain, ctl->db, domain->id, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "domain %s", ctl->argv[0]);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    /* as it was understood: "25M" is 26214400 */
    for (i = 1; i < ctl->argc; i++) {
        ctl_assignment(&name, &value, ctl, ctl->argv[i]);
        printf("domain %s: %s=%s\n", domain->name, name,
               mg_domain_setting(domain, name));
    }
    return 0;
}

int ctl_domain_remove(ctl_t *ctl)
{
    mg_domain_t *domain;
    apr_status_t rv;
    int code;

    if ((code = ctl_open(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0)
        return code;
    /* no transaction around it: what is queued goes in steps, so that nobody
     * waits for a million rows */
    rv = mg_domain_remove(ctl->db, domain->id, ctl->pool);
    if (rv == APR_ENOENT)
        return ctl_error(ctl, "there is no domain '%s' any more",
                         domain->name);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "domain %s", domain->name);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    mg_bell_ring(ctl->config->run_dir, MG_ROLE_MAILBOXD);
    printf("domain %s removed\n", domain->name);
    return 0;
}
