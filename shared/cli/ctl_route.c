/* ctl_route.c - mailgunctl route: what happens to incoming mail. */
#include "ctl.h"
#include "mg_address.h"
#include "mg_mime.h"
#include "mg_route.h"
#include "mg_ruleset.h"
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

/* What is given replaces what is there; actions all that there were. */
static int change_route(mg_route_t *route, ctl_t *ctl)
{
    const char *expression = ctl_option(ctl, "expression");
    const char *description = ctl_option(ctl, "description");
    apr_array_header_t *actions = apr_array_make(ctl->pool, 4, sizeof(char *));
    const char *error;
    int code;

    apr_table_do(keep_action, actions, ctl->options, "action", NULL);
    if (expression)
        route->expression = expression;
    if (description)
        route->description = description;
    if (actions->nelts)
        route->actions = actions;
    if (mg_action_check_route(route->expression, route->actions, &error,
                              ctl->pool) != APR_SUCCESS)
        return ctl_error(ctl, "%s", error);
    code = ctl_option_number(&route->priority, ctl, "priority",
                             route->priority, 0, APR_INT32_MAX);
    return code;
}

int ctl_route_set(ctl_t *ctl)
{
    mg_account_t *account;
    mg_route_t *route;
    apr_status_t rv;
    int code;

    if ((code = ctl_begin(ctl)) != 0
        || (code = ctl_account(&account, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_route_get(&route, ctl->db, account->id, ctl->argv[1], ctl->pool);
    if (rv == APR_ENOENT)
        return ctl_error(ctl, "account %s has no route '%s'", account->name,
                         ctl->argv[1]);
    if (rv == APR_SUCCESS && (code = change_route(route, ctl)) != 0)
        return code;
    if (rv == APR_SUCCESS)
        rv = mg_route_update(ctl->db, route, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "route %s", ctl->argv[1]);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    printf("route %s changed\n", route->public_id);
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

/* --- what would happen --- */

#define HEADER_MAX (256 * 1024)

/* The header of a message in a file, or on standard input. */
static int read_headers(apr_array_header_t **pheaders, ctl_t *ctl,
                        const char *path)
{
    char *bytes = apr_palloc(ctl->pool, HEADER_MAX);
    apr_size_t len;
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");

    if (!in)
        return ctl_error(ctl, "cannot read '%s'", path);
    len = fread(bytes, 1, HEADER_MAX, in);
    if (in != stdin)
        fclose(in);
    bytes = mg_mime_crlf(bytes, len, &len, ctl->pool);
    if (mg_mime_headers(pheaders, NULL, bytes, len, ctl->pool) != APR_SUCCESS)
        return ctl_error(ctl, "'%s' is no message", path);
    return 0;
}

static void print_verdict(ctl_t *ctl, const mg_rule_verdict_t *v)
{
    int i;

    printf("%s %s: %s\n", v->matches ? "+" : "-", v->route_id, v->expression);
    printf("    %s: %s\n", v->matches ? "yes" : "no", v->decided);
    for (i = 0; v->actions && i < v->actions->nelts; i++)
        printf("    %s\n", mg_action_text(&APR_ARRAY_IDX(v->actions, i,
                                                         mg_action_t),
                                          ctl->pool));
    if (v->matches && v->stops)
        printf("    stop(): no route behind it is asked\n");
}

int ctl_route_test(ctl_t *ctl)
{
    apr_array_header_t *headers = NULL, *routes, *verdicts;
    mg_account_t *account;
    mg_address_t *to;
    mg_ruleset_t *rules;
    apr_status_t rv;
    int i, code, n = 0;

    if (mg_address_parse(&to, ctl->argv[1], ctl->pool) != APR_SUCCESS
        || !to->domain)
        return ctl_error(ctl, "'%s' is no address", ctl->argv[1]);
    if ((ctl->argc > 2
         && (code = read_headers(&headers, ctl, ctl->argv[2])) != 0)
        || (code = ctl_open(ctl)) != 0
        || (code = ctl_account(&account, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_route_list(&routes, ctl->db, account->id, ctl->pool);
    if (rv == APR_SUCCESS)
        rv = mg_ruleset_compile(&rules, routes, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "routes of account %s", account->name);
    verdicts = mg_ruleset_explain(rules, to->address, headers, ctl->pool);
    for (i = 0; i < verdicts->nelts; i++) {
        print_verdict(ctl, &APR_ARRAY_IDX(verdicts, i, mg_rule_verdict_t));
        n += APR_ARRAY_IDX(verdicts, i, mg_rule_verdict_t).matches;
    }
    printf("%d of %d routes match %s\n", n, routes->nelts, to->address);
    return 0;
}
