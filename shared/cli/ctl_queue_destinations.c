/* ctl_queue_destinations.c - mailgunctl queue destinations: how each one is
 * treated, and why. */
#include "ctl.h"
#include "mg_destination.h"
#include "mg_time.h"

#include <apr_strings.h>
#include <stdio.h>

#define LIVE apr_time_from_sec(60)  /* a sender at work writes more often */

static const char *rate_of(ctl_t *ctl, const mg_learned_t *row)
{
    int n = row->per_hour;

    if (n == 0)
        return "-";
    return n % 3600 == 0 ? apr_psprintf(ctl->pool, "%d/s", n / 3600)
           : n % 60 == 0 ? apr_psprintf(ctl->pool, "%d/m", n / 60)
                         : apr_psprintf(ctl->pool, "%d/h", n);
}

/* "5 of 5" where one more was refused, else "5" */
static const char *window_of(ctl_t *ctl, const mg_learned_t *row)
{
    if (row->ceiling == 0)
        return ctl_number(ctl, row->window);
    return apr_psprintf(ctl->pool, "%d of %d", row->window, row->ceiling);
}

static const char *domains_of(ctl_t *ctl, const mg_learned_t *row)
{
    const char *list = "";
    int i;

    for (i = 0; i < row->domains->nelts && i < 3; i++)
        list = apr_pstrcat(ctl->pool, list, i ? ", " : "",
                           APR_ARRAY_IDX(row->domains, i, const char *), NULL);
    if (row->ndomains > i)
        list = apr_psprintf(ctl->pool, "%s and %d more", list,
                            row->ndomains - i);
    return list;
}

static int queued_of(apr_int64_t *pn, ctl_t *ctl, const mg_learned_t *row)
{
    apr_status_t rv;
    apr_int64_t n;
    int i;

    *pn = 0;
    for (i = 0; i < row->domains->nelts; i++) {
        rv = mg_destination_queued(&n, ctl->db,
                                   APR_ARRAY_IDX(row->domains, i,
                                                 const char *));
        if (rv != APR_SUCCESS)
            return ctl_failed(ctl, rv, "queue");
        *pn += n;
    }
    return 0;
}

static int print_row(ctl_t *ctl, ctl_table_t *table, const mg_learned_t *row)
{
    int live = row->updated_at > mg_now() - LIVE, code;
    apr_int64_t queued;

    if ((code = queued_of(&queued, ctl, row)) != 0)
        return code;
    ctl_table_row(table, row->site, row->worker,
                  row->source && *row->source ? row->source : "-",
                  window_of(ctl, row), ctl_number(ctl, live ? row->links : 0),
                  rate_of(ctl, row),
                  row->closed_until > mg_now()
                      ? ctl_time(ctl, row->closed_until)
                      : "-",
                  ctl_number(ctl, queued), domains_of(ctl, row),
                  row->last_reply ? row->last_reply : "", NULL);
    return 0;
}

int ctl_queue_destinations(ctl_t *ctl)
{
    ctl_table_t *table;
    apr_array_header_t *list;
    apr_int64_t limit;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_option_number(&limit, ctl, "limit", 100, 1, 100000)) != 0
        || (code = ctl_open(ctl)) != 0)
        return code;
    rv = mg_destination_list(&list, ctl->db, NULL, (int)limit, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "destinations");
    if (list->nelts == 0) {
        printf("Nothing was sent anywhere yet.\n");
        return 0;
    }
    table = ctl_table_make(ctl);
    ctl_table_row(table, "SITE", "SENDER", "SOURCE", "WINDOW", "IN USE",
                  "RATE", "CLOSED UNTIL", "QUEUED", "DOMAINS", "LAST REPLY",
                  NULL);
    for (i = 0; i < list->nelts; i++)
        if ((code = print_row(ctl, table, APR_ARRAY_IDX(list, i,
                                                        mg_learned_t *))) != 0)
            return code;
    ctl_table_print(table);
    return 0;
}
