/* ctl_route.c - mailgunctl route: what happens to incoming mail. */
#include "ctl.h"
#include "mg_action.h"
#include "mg_route.h"
#include "mg_status.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

static int keep_action(void *baton, const char *name, const char *value)
{
    (void)name;
    APR_ARRAY_PUSH((apr_array_header_t *)baton, const char *) = value;
    return 1;
}

int ctl_route_add(ctl_t *ctl)
{
    const char *expression = ctl_option(ctl, "expression");
    const char *description = ctl_option(ctl, "description");
    apr_array_header_t *actions = apr_array_make(ctl->pool, 4, sizeof(char *));
    mg_account_t *account;
    mg_route_t *route;
    apr_int64_t priority;
    const char *error;
    apr_status_t rv;
    int code;

    apr_table_do(keep_action, actions, ctl->options, "action", NULL);
    if (!expression)
        return ctl_usage(ctl, "--expression is missing");
    if (actions->nelts == 0)
        return ctl_usage(ctl, "--action is missing");
    /* what would never work is refused now, not when mail comes */
    if (mg_action_check_route(expression, actions, &error, ctl->pool)
        != APR_SUCCESS)
        return ctl_error(ctl, "%s", error);
    if ((code = ctl_option_number(&priority, ctl, "priority", 0, 0,
                                  APR_INT32_MAX)) != 0
        || (code = ctl_begin(ctl)) != 0
        || (code = ctl_account(&account, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_route_add(&route, ctl->db, account->id, priority,
                      description ? description : "", expression, actions,
                      ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "route of account %s", account->name);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("route %s added\n", route->public_id);
    return 0;
}

int ctl_route_list(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    apr_array_header_t *list;
    mg_account_t *account;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_open(ctl)) != 0
        || (code = ctl_account(&account, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_route_list(&list, ctl->db, account->id, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "routes of account %s", account->name);
    ctl_table_row(table, "ID", "PRIORITY", "EXPRESSION", "ACTIONS",
                  "DESCRIPTION", NULL);
    for (i = 0; i < list->nelts; i++) {
        mg_route_t *r = APR_ARRAY_IDX(list, i, mg_route_t *);
        const char *actions = "";
        int k;

        for (k = 0; k < r->actions->nelts; k++)
            actions = apr_pstrcat(ctl->pool, actions, k ? "; " : "",
                                  APR_ARRAY_IDX(r->actions, k, const char *),
                                  NULL);
        ctl_table_row(table, r->public_id, ctl_number(ctl, r->priority),
                      r->expression, actions, r->description, NULL);
    }
    ctl_table_print(table);
    return 0;
}

int ctl_route_remove(ctl_t *ctl)
{
    mg_account_t *account;
    apr_status_t rv;
    int code;

    if ((code = ctl_begin(ctl)) != 0
        || (code = ctl_account(&account, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_route_remove(ctl->db, account->id, ctl->argv[1]);
    if (rv == APR_ENOENT)
        return ctl_error(ctl, "account %s has no route '%s'", account->name,
                         ctl->argv[1]);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "route %s", ctl->argv[1]);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("route %s removed\n", ctl->argv[1]);
    return 0;
}
