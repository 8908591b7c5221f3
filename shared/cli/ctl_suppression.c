/* ctl_suppression.c - mailgunctl suppression: whom a domain sends nothing. */
#include "ctl.h"
#include "mg_address.h"
#include "mg_status.h"
#include "mg_suppression.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

static int kind_of(mg_suppression_kind_t *pkind, ctl_t *ctl, const char *name)
{
    int kind = mg_suppression_by_name(name);

    if (kind < 0)
        return ctl_usage(ctl, "'%s' is none of bounce, unsubscribe, "
                         "complaint", name);
    *pkind = (mg_suppression_kind_t)kind;
    return 0;
}

static void add_row(ctl_t *ctl, ctl_table_t *table,
                    const mg_suppression_t *entry)
{
    const char *what = "";

    if (entry->kind == MG_BOUNCED)
        what = apr_pstrcat(ctl->pool, entry->code, " ", entry->class,
                           *entry->class ? ": " : "", entry->error, NULL);
    else if (entry->kind == MG_COMPLAINED)
        what = apr_psprintf(ctl->pool, "%" APR_INT64_T_FMT " times",
                            entry->count);
    else
        what = apr_pstrcat(ctl->pool, "tag ", entry->tag, NULL);
    ctl_table_row(table, mg_suppression_name(entry->kind), entry->address,
                  ctl_time(ctl, entry->created_at), what, NULL);
}

/* DOMAIN [KIND] [--address A] */
int ctl_suppression_list(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    mg_suppression_kind_t only = MG_BOUNCED;
    apr_array_header_t *list;
    mg_domain_t *domain;
    apr_int64_t limit;
    apr_status_t rv;
    int code, kind, i, n = 0;

    if ((ctl->argc > 1 && (code = kind_of(&only, ctl, ctl->argv[1])) != 0)
        || (code = ctl_option_number(&limit, ctl, "limit", 1000, 1, 1000000))
               != 0
        || (code = ctl_open(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0)
        return code;
    ctl_table_row(table, "TABLE", "ADDRESS", "SINCE", "WHY", NULL);
    for (kind = 0; kind < MG_SUPPRESSIONS; kind++) {
        if (ctl->argc > 1 && kind != (int)only)
            continue;
        rv = mg_suppression_list(&list, ctl->db, domain->id,
                                 (mg_suppression_kind_t)kind,
                                 ctl_option(ctl, "address"), "", 0, limit,
                                 ctl->pool);
        if (rv != APR_SUCCESS)
            return ctl_failed(ctl, rv, "suppressions");
        for (i = 0; i < list->nelts; i++)
            add_row(ctl, table, &APR_ARRAY_IDX(list, i, mg_suppression_t));
        n += list->nelts;
    }
    if (n > 0)
        ctl_table_print(table);
    else
        printf("Nobody is suppressed.\n");
    return 0;
}

/* DOMAIN KIND ADDRESS: both of the changes begin so */
static int begin(mg_suppression_t *entry, mg_domain_t **pdomain, ctl_t *ctl)
{
    mg_address_t *address;
    int code;

    memset(entry, 0, sizeof(*entry));
    if ((code = kind_of(&entry->kind, ctl, ctl->argv[1])) != 0)
        return code;
    if (mg_address_parse(&address, ctl->argv[2], ctl->pool) != APR_SUCCESS)
        return ctl_error(ctl, "'%s' is no address", ctl->argv[2]);
    entry->address = address->address;
    entry->tag = ctl_option(ctl, "tag");
    entry->code = ctl_option(ctl, "code");
    entry->error = ctl_option(ctl, "error");
    if ((code = ctl_begin(ctl)) != 0)
        return code;
    return ctl_domain(pdomain, ctl, ctl->argv[0]);
}

int ctl_suppression_add(ctl_t *ctl)
{
    mg_suppression_t entry;
    mg_domain_t *domain;
    apr_status_t rv;
    int code;

    if ((code = begin(&entry, &domain, ctl)) != 0)
        return code;
    rv = mg_suppression_add(ctl->db, domain->id, &entry, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "%s", entry.address);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("%s sends nothing to %s any more.\n", domain->name, entry.address);
    return 0;
}

int ctl_suppression_remove(ctl_t *ctl)
{
    mg_suppression_t entry;
    mg_domain_t *domain;
    apr_status_t rv;
    int code;

    if ((code = begin(&entry, &domain, ctl)) != 0)
        return code;
    rv = mg_suppression_remove(ctl->db, domain->id, entry.kind, entry.address,
                               entry.tag, ctl->pool);
    if (APR_STATUS_IS_ENOENT(rv))
        return ctl_error(ctl, "there is no %s of %s",
                         mg_suppression_name(entry.kind), entry.address);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "%s", entry.address);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("The %s of %s is removed.\n", mg_suppression_name(entry.kind),
           entry.address);
    return 0;
}
