/* ctl_account.c - mailgunctl account: who may do anything at all. */
#include "ctl.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_usage.h"

#include <stdio.h>
#include <apr_strings.h>

int ctl_account_add(ctl_t *ctl)
{
    mg_account_t *account;
    apr_status_t rv;
    int code;

    if ((code = ctl_begin(ctl)) != 0)
        return code;
    rv = mg_account_add(&account, ctl->db, ctl->argv[0], ctl->pool);
    if (rv == APR_EEXIST)
        return ctl_error(ctl, "there is an account '%s' already",
                         ctl->argv[0]);
    if (rv == MG_EBADINPUT)
        return ctl_error(ctl, "an account needs a name");
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "account %s", ctl->argv[0]);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("account %s added\n", account->name);
    return 0;
}

int ctl_account_set(ctl_t *ctl)
{
    const char *name, *value, *error;
    mg_account_t *account;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_begin(ctl)) != 0
        || (code = ctl_account(&account, ctl, ctl->argv[0])) != 0)
        return code;
    for (i = 1; i < ctl->argc; i++) {
        if ((code = ctl_assignment(&name, &value, ctl, ctl->argv[i])) != 0)
            return code;
        rv = mg_account_set(ctl->db, account->id, name, value, &error,
                            ctl->pool);
        if (rv == MG_EBADINPUT)
            return ctl_error(ctl, "%s", error);
        if (rv != APR_SUCCESS)
            return ctl_failed(ctl, rv, "account %s", account->name);
    }
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    for (i = 1; i < ctl->argc; i++)
        printf("account %s: %s\n", account->name, ctl->argv[i]);
    return 0;
}

static const char *limit_text(ctl_t *ctl, apr_int64_t limit)
{
    return limit < 0 ? "-" : apr_psprintf(ctl->pool, "%" APR_INT64_T_FMT,
                                          limit);
}

int ctl_account_list(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    apr_array_header_t *list;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_open(ctl)) != 0)
        return code;
    rv = mg_account_list(&list, ctl->db, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "accounts");
    ctl_table_row(table, "NAME", "STATE", "SINCE", "CAMPAIGNS",
                  "MEMBERS", NULL);
    for (i = 0; i < list->nelts; i++) {
        mg_account_t *a = APR_ARRAY_IDX(list, i, mg_account_t *);
        ctl_table_row(table, a->name, a->state, ctl_time(ctl, a->created_at),
                      limit_text(ctl, a->campaign_limit),
                      limit_text(ctl, a->member_limit), NULL);
    }
    ctl_table_print(table);
    return 0;
}

static void usage_row(ctl_table_t *table, ctl_t *ctl, const char *day,
                      const mg_usage_t *usage)
{
    ctl_table_row(table, day, ctl_number(ctl, usage->sent),
                  ctl_number(ctl, usage->campaign_sent),
                  ctl_number(ctl, usage->received),
                  ctl_number(ctl, usage->stored_bytes), NULL);
}

/* The last row: what was sent and received in all, the most that was stored. */
int ctl_account_usage(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    mg_usage_t all = { 0 };
    apr_array_header_t *list;
    apr_int64_t days, today = mg_time_day(mg_now());
    mg_account_t *account;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_option_number(&days, ctl, "days", 31, 1, 3660)) != 0
        || (code = ctl_open(ctl)) != 0
        || (code = ctl_account(&account, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_usage_list(&list, ctl->db, account->id, today - days + 1, today,
                       ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "usage of account %s", account->name);
    ctl_table_row(table, "DAY", "SENT", "IN CAMPAIGNS", "RECEIVED",
                  "STORED BYTES", NULL);
    for (i = 0; i < list->nelts; i++) {
        const mg_usage_t *u = &APR_ARRAY_IDX(list, i, mg_usage_t);

        usage_row(table, ctl, mg_time_day_text(u->day, ctl->pool), u);
        all.sent += u->sent;
        all.campaign_sent += u->campaign_sent;
        all.received += u->received;
        if (u->stored_bytes > all.stored_bytes)
            all.stored_bytes = u->stored_bytes;
    }
    usage_row(table, ctl, "all", &all);
    ctl_table_print(table);
    return 0;
}
