/* ctl_queue.c - mailgunctl queue list and count: what is not settled yet. */
#include "ctl.h"
#include "ctl_queue.h"
#include "mg_queue.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

/* "now", "in 5m", "sending (40s left)", "held": due_at says it all */
static const char *state_of(ctl_t *ctl, const mg_delivery_t *d)
{
    apr_int64_t left = apr_time_sec(d->due_at - mg_now());
    const char *wait;

    if (d->hold)
        return "held";
    if (left <= 0)
        return "due now";
    wait = left < 120 ? apr_psprintf(ctl->pool, "%ds", (int)left)
           : left < 7200 ? apr_psprintf(ctl->pool, "%dm", (int)(left / 60))
                         : apr_psprintf(ctl->pool, "%dh", (int)(left / 3600));
    if (d->claimed_by)
        return apr_psprintf(ctl->pool, "in hand (lease %s)", wait);
    return apr_psprintf(ctl->pool, "in %s", wait);
}

const char *ctl_queue_domain(ctl_t *ctl, apr_table_t *names, apr_int64_t id)
{
    const char *key = ctl_number(ctl, id), *name = apr_table_get(names, key);
    mg_domain_t *domain;

    if (name)
        return name;
    name = "(removed)";
    if (mg_domain_by_id(&domain, ctl->db, id, ctl->pool) == APR_SUCCESS)
        name = domain->name;
    apr_table_setn(names, key, name);
    return name;
}

void ctl_queue_print(ctl_t *ctl, const apr_array_header_t *list)
{
    apr_table_t *names = apr_table_make(ctl->pool, 16);
    ctl_table_t *table = ctl_table_make(ctl);
    int i;

    ctl_table_row(table, "ID", "MESSAGE", "DOMAIN", "BY", "RECIPIENT", "TRIES",
                  "NEXT", "LAST REPLY", NULL);
    for (i = 0; i < list->nelts; i++) {
        mg_delivery_t *d = APR_ARRAY_IDX(list, i, mg_delivery_t *);
        ctl_table_row(table, ctl_number(ctl, d->id),
                      ctl_number(ctl, d->message_id),
                      ctl_queue_domain(ctl, names, d->domain_id),
                      mg_transport_name(d->transport), d->recipient,
                      ctl_number(ctl, d->attempts), state_of(ctl, d),
                      d->last_reply ? d->last_reply : "", NULL);
    }
    ctl_table_print(table);
}

/* A message's number; or the one message, perhaps of many, with that id. */
static int read_message(mg_queue_filter_t *filter, ctl_t *ctl,
                        const char *text)
{
    apr_int64_t ids[CTL_QUEUE_FOUND];
    int n, code = ctl_queue_find(ids, &n, ctl, text);

    if (code)
        return code;
    if (n > 1)
        return ctl_error(ctl, "%d messages have the id '%s': give the number "
                         "of one (mailgunctl queue show)", n, text);
    filter->message_id = ids[0];
    return 0;
}

static int is_transport(const char *name)
{
    int t;

    for (t = MG_TRANSPORT_SMTP; t <= MG_TRANSPORT_EXPANSION; t++)
        if (strcmp(mg_transport_name((mg_transport_kind_t)t), name) == 0)
            return 1;
    return 0;
}

int ctl_queue_filter(mg_queue_filter_t *filter, ctl_t *ctl)
{
    const char *message = ctl_option(ctl, "message");
    mg_domain_t *domain;
    int code;

    memset(filter, 0, sizeof(*filter));
    filter->domain = ctl_option(ctl, "domain");
    filter->transport = ctl_option(ctl, "transport");
    filter->dest = ctl_option(ctl, "destination");
    if (filter->transport && !is_transport(filter->transport))
        return ctl_usage(ctl, "there is no transport '%s'",
                         filter->transport);
    if ((code = ctl_open(ctl)) != 0
        || (filter->domain
            && (code = ctl_domain(&domain, ctl, filter->domain)) != 0))
        return code;
    return message ? read_message(filter, ctl, message) : 0;
}

int ctl_queue_list(ctl_t *ctl)
{
    mg_queue_filter_t filter;
    apr_array_header_t *list;
    apr_int64_t limit;
    apr_status_t rv;
    int code;

    if ((code = ctl_option_number(&limit, ctl, "limit", 100, 1, 1000000)) != 0
        || (code = ctl_queue_filter(&filter, ctl)) != 0)
        return code;
    rv = mg_queue_list(&list, ctl->db, &filter, 0, (int)limit, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "queue");
    if (list->nelts == 0) {
        printf("The queue is empty.\n");
        return 0;
    }
    ctl_queue_print(ctl, list);
    if (list->nelts == limit) {
        fflush(stdout);
        fprintf(stderr, "mailgunctl: there may be more; --limit shows them\n");
    }
    return 0;
}

/* --- counts --- */

int ctl_queue_count(ctl_t *ctl)
{
    static const char *const bys[] = { "domain", "destination", "transport",
                                       "age" };
    const char *by = ctl_option(ctl, "by");
    ctl_table_t *table = ctl_table_make(ctl);
    apr_array_header_t *counts;
    mg_queue_count_t sum = { NULL, 0, 0, 0, 0, 0 };
    apr_int64_t limit;
    apr_status_t rv;
    int i, code;

    if (!by)
        by = bys[0];
    for (i = 0; i < 4 && strcmp(bys[i], by) != 0; i++)
        ;
    if (i == 4)
        return ctl_usage(ctl, "--by: '%s' is none of domain, destination, "
                         "transport, age", by);
    if ((code = ctl_option_number(&limit, ctl, "limit", 100, 1, 1000000)) != 0
        || (code = ctl_open(ctl)) != 0)
        return code;
    rv = mg_queue_counts(&counts, ctl->db, (mg_queue_by_t)i, (int)limit,
                         ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "queue");
    ctl_table_row(table, "BY", "ALL", "DUE NOW",
                  "IN HAND", "HELD", "OLDEST", NULL);
    for (i = 0; i < counts->nelts; i++) {
        const mg_queue_count_t *c = &APR_ARRAY_IDX(counts, i,
                                                   mg_queue_count_t);

        ctl_table_row(table, c->name, ctl_number(ctl, c->all),
                      ctl_number(ctl, c->due), ctl_number(ctl, c->in_hand),
                      ctl_number(ctl, c->held), ctl_time(ctl, c->oldest),
                      NULL);
        sum.all += c->all;
        sum.due += c->due;
        sum.in_hand += c->in_hand;
        sum.held += c->held;
    }
    if (counts->nelts == 0) {
        printf("The queue is empty.\n");
        return 0;
    }
    ctl_table_row(table, "(together)", ctl_number(ctl, sum.all),
                  ctl_number(ctl, sum.due), ctl_number(ctl, sum.in_hand),
                  ctl_number(ctl, sum.held), "", NULL);
    ctl_table_print(table);
    return 0;
}
