/* ctl_webhooks.c - mailgunctl webhooks: those that were given up. */
#include "ctl.h"
#include "mg_dead_letter.h"
#include "mg_id.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

#define SLICE 200

/* [DOMAIN] [--limit N] */
int ctl_webhooks_failed(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    mg_domain_t *domain = NULL;
    apr_array_header_t *list;
    apr_int64_t limit;
    apr_status_t rv;
    int code, i;

    if ((code = ctl_option_number(&limit, ctl, "limit", 100, 1, 1000000)) != 0
        || (code = ctl_open(ctl)) != 0
        || (ctl->argc > 0
            && (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0))
        return code;
    rv = mg_dead_letter_hooks(&list, ctl->db, domain ? domain->id : 0, limit,
                              ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "webhooks");
    ctl_table_row(table, "ID", "DOMAIN", "EVENT", "RECIPIENT", "URL", "TRIES",
                  "GIVEN UP", "LAST ANSWER", NULL);
    for (i = 0; i < list->nelts; i++) {
        const mg_dead_letter_t *l = &APR_ARRAY_IDX(list, i, mg_dead_letter_t);

        ctl_table_row(table, ctl_number(ctl, l->id),
                      l->domain ? l->domain : "(removed)", l->event,
                      l->recipient, l->url, ctl_number(ctl, l->attempts),
                      ctl_time(ctl, l->created_at),
                      l->last_reply ? l->last_reply : "", NULL);
    }
    if (list->nelts > 0)
        ctl_table_print(table);
    else
        printf("No webhook was given up.\n");
    return 0;
}

static int which(apr_int64_t *pid, apr_int64_t *pdomain_id, ctl_t *ctl)
{
    const char *arg = ctl->argv[0];
    mg_domain_t *domain;
    int code;

    *pid = *pdomain_id = 0;
    if (arg[strspn(arg, "0123456789")] == '\0' && *arg) {
        *pid = apr_atoi64(arg);
        return *pid > 0 ? 0 : ctl_usage(ctl, "'%s' is no id", arg);
    }
    if ((code = ctl_domain(&domain, ctl, arg)) != 0)
        return code;
    *pdomain_id = domain->id;
    return 0;
}

/* ID|DOMAIN */
int ctl_webhooks_replay(ctl_t *ctl)
{
    apr_int64_t id, domain_id, after = 0, before, replayed = 0;
    apr_pool_t *step;
    apr_status_t rv;
    int code, more = 1;

    if ((code = ctl_open(ctl)) != 0
        || (code = which(&id, &domain_id, ctl)) != 0)
        return code;
    apr_pool_create(&step, ctl->pool);
    before = mg_id_next();
    while (more) {
        rv = mg_dead_letter_replay(&replayed, &more, &after, before, ctl->db,
                                   id, domain_id, SLICE, step);
        if (rv != APR_SUCCESS)
            return ctl_failed(ctl, rv, "after %" APR_INT64_T_FMT " webhooks",
                              replayed);
        apr_pool_clear(step);
    }
    mg_bell_ring(ctl->config->run_dir, MG_ROLE_NOTIFIER);
    if (id && replayed == 0)
        return ctl_error(ctl, "no webhook %s was given up", ctl->argv[0]);
    printf("%" APR_INT64_T_FMT " %s posted again.\n", replayed,
           replayed == 1 ? "webhook is" : "webhooks are");
    return 0;
}
