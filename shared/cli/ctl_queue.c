/* ctl_queue.c - mailgunctl queue: what is not settled yet, and what happened
 * to one message. */
#include "ctl.h"
#include "mg_json.h"
#include "mg_queue.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

#define FOUND_MAX 10 /* messages with one message id */

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

static const char *domain_name(ctl_t *ctl, apr_table_t *names, apr_int64_t id)
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

static void print_deliveries(ctl_t *ctl, const apr_array_header_t *list)
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
                      domain_name(ctl, names, d->domain_id),
                      mg_transport_name(d->transport), d->recipient,
                      ctl_number(ctl, d->attempts), state_of(ctl, d),
                      d->last_reply ? d->last_reply : "", NULL);
    }
    ctl_table_print(table);
}

static int is_transport(const char *name)
{
    int t;

    for (t = MG_TRANSPORT_SMTP; t <= MG_TRANSPORT_BOUNCE; t++)
        if (strcmp(mg_transport_name((mg_transport_kind_t)t), name) == 0)
            return 1;
    return 0;
}

int ctl_queue_list(ctl_t *ctl)
{
    mg_queue_filter_t filter = { NULL, 0, NULL };
    apr_array_header_t *list;
    mg_domain_t *domain;
    apr_int64_t limit;
    apr_status_t rv;
    int code;

    filter.domain = ctl_option(ctl, "domain");
    filter.transport = ctl_option(ctl, "transport");
    if (filter.transport && !is_transport(filter.transport))
        return ctl_usage(ctl, "there is no transport '%s'", filter.transport);
    if ((code = ctl_option_number(&limit, ctl, "limit", 100, 1, 1000000)) != 0
        || (code = ctl_open(ctl)) != 0
        || (filter.domain
            && (code = ctl_domain(&domain, ctl, filter.domain)) != 0))
        return code;
    rv = mg_queue_list(&list, ctl->db, &filter, (int)limit, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "queue");
    if (list->nelts == 0) {
        printf("The queue is empty.\n");
        return 0;
    }
    print_deliveries(ctl, list);
    if (list->nelts == limit) {
        fflush(stdout);
        fprintf(stderr, "mailgunctl: there may be more; --limit shows them\n");
    }
    return 0;
}

/* --- one message --- */

/* Ids of messages: the number itself, or those with this message id. */
static int find_messages(apr_int64_t ids[FOUND_MAX], int *pn, ctl_t *ctl,
                         const char *text)
{
    apr_size_t len = strlen(text);
    mg_stmt_t *stmt;
    apr_status_t rv;
    char *end;

    *pn = 0;
    ids[0] = apr_strtoi64(text, &end, 10);
    if (len && !*end) {
        *pn = 1;
        return 0;
    }
    if (len > 2 && text[0] == '<' && text[len - 1] == '>')
        text = apr_pstrmemdup(ctl->pool, text + 1, len - 2);
    rv = mg_db_query(&stmt, ctl->db,
                     "SELECT id FROM message WHERE message_id = $1"
                     " ORDER BY id LIMIT 10",
                     "t", mg_text_clean(text, strlen(text), ctl->pool));
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS
           && *pn < FOUND_MAX)
        ids[(*pn)++] = mg_stmt_int(stmt, 0);
    if (rv == APR_SUCCESS)
        mg_stmt_done(stmt);
    else if (rv != APR_EOF)
        return ctl_failed(ctl, rv, "message %s", text);
    return *pn ? 0 : ctl_error(ctl, "there is no message '%s'", text);
}

static void print_head(ctl_t *ctl, const mg_message_t *m)
{
    apr_table_t *names = apr_table_make(ctl->pool, 1);
    ctl_table_t *table = ctl_table_make(ctl);

    ctl_table_row(table, "message", ctl_number(ctl, m->id), NULL);
    ctl_table_row(table, "message id",
                  apr_pstrcat(ctl->pool, "<", m->message_id, ">", NULL), NULL);
    ctl_table_row(table, "domain", domain_name(ctl, names, m->domain_id),
                  NULL);
    ctl_table_row(table, "direction",
                  m->direction == MG_INCOMING ? "incoming" : "outgoing", NULL);
    ctl_table_row(table, "by", m->method, NULL);
    ctl_table_row(table, "accepted", ctl_time(ctl, m->created_at), NULL);
    ctl_table_row(table, "sender",
                  apr_pstrcat(ctl->pool, "<", m->sender, ">", NULL), NULL);
    ctl_table_row(table, "from", m->from_header, NULL);
    ctl_table_row(table, "subject", m->subject, NULL);
    ctl_table_row(table, "size", ctl_size(ctl, m->size), NULL);
    ctl_table_print(table);
}

/* "550 5.1.1 no such user (mx.example.com)" from an event's detail */
static const char *reply_of(ctl_t *ctl, const char *detail)
{
    const char *error, *reply, *mx;
    json_t *json;
    json_int_t code;

    json = detail ? mg_json_parse(detail, strlen(detail), &error, ctl->pool)
                  : NULL;
    if (!json)
        return "";
    code = json_integer_value(json_object_get(json, "code"));
    reply = json_string_value(json_object_get(json, "reply"));
    mx = json_string_value(json_object_get(json, "mx"));
    return apr_pstrcat(ctl->pool, code ? ctl_number(ctl, code) : "",
                       code && reply ? " " : "", reply ? reply : "",
                       mx ? " (" : "", mx ? mx : "", mx ? ")" : "", NULL);
}

static int print_events(ctl_t *ctl, const mg_message_t *m)
{
    ctl_table_t *table = ctl_table_make(ctl);
    mg_stmt_t *stmt;
    apr_status_t rv;

    ctl_table_row(table, "WHEN", "EVENT", "RECIPIENT", "REPLY", NULL);
    rv = mg_db_query(&stmt, ctl->db,
                     "SELECT created_at, kind, recipient, detail FROM event"
                     " WHERE message_id = $1 ORDER BY id", "i", m->id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        ctl_table_row(table, ctl_time(ctl, mg_stmt_int(stmt, 0)),
                      mg_stmt_text(stmt, 1, ctl->pool),
                      mg_stmt_text(stmt, 2, ctl->pool),
                      reply_of(ctl, mg_stmt_text(stmt, 3, ctl->pool)), NULL);
    if (rv != APR_EOF)
        return ctl_failed(ctl, rv, "events of message %" APR_INT64_T_FMT,
                          m->id);
    printf("\nWhat happened:\n");
    ctl_table_print(table);
    return 0;
}

static int print_queued(ctl_t *ctl, const mg_message_t *m)
{
    mg_queue_filter_t filter = { NULL, m->id, NULL };
    apr_array_header_t *list;
    apr_status_t rv;

    rv = mg_queue_list(&list, ctl->db, &filter, 100000, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "deliveries of message %" APR_INT64_T_FMT,
                          m->id);
    if (list->nelts == 0) {
        printf("\nNothing of it is queued any more.\n");
        return 0;
    }
    printf("\nQueued:\n");
    print_deliveries(ctl, list);
    return 0;
}

int ctl_queue_show(ctl_t *ctl)
{
    apr_int64_t ids[FOUND_MAX];
    mg_message_t *m;
    apr_status_t rv;
    int i, n, code;

    if ((code = ctl_open(ctl)) != 0
        || (code = find_messages(ids, &n, ctl, ctl->argv[0])) != 0)
        return code;
    for (i = 0; i < n; i++) {
        rv = mg_message_get(&m, ctl->db, ids[i], ctl->pool);
        if (rv == APR_ENOENT)
            return ctl_error(ctl, "there is no message %" APR_INT64_T_FMT,
                             ids[i]);
        if (rv != APR_SUCCESS)
            return ctl_failed(ctl, rv, "message %" APR_INT64_T_FMT, ids[i]);
        if (i)
            printf("\n");
        print_head(ctl, m);
        if ((code = print_queued(ctl, m)) != 0
            || (code = print_events(ctl, m)) != 0)
            return code;
    }
    return 0;
}
