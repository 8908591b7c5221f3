/* ctl_queue_show.c - mailgunctl queue show: one message's whole history. */
#include "ctl.h"
#include "ctl_queue.h"
#include "mg_json.h"
#include "mg_queue.h"
#include "mg_status.h"
#include "mg_text.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

/* Ids of messages: the number itself, or those with this message id. */
int ctl_queue_find(apr_int64_t ids[CTL_QUEUE_FOUND], int *pn, ctl_t *ctl,
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
           && *pn < CTL_QUEUE_FOUND)
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
    ctl_table_row(table, "domain", ctl_queue_domain(ctl, names, m->domain_id),
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

static const char *member(ctl_t *ctl, const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);

    if (json_is_integer(value))
        return ctl_number(ctl, json_integer_value(value));
    return json_is_string(value) ? json_string_value(value) : "";
}

/* The words begin with the code where the remote said them. */
static const char *words_of(ctl_t *ctl, const json_t *json)
{
    const char *reply = member(ctl, json, "reply");
    const char *code = member(ctl, json, "code");

    if (!*code || strcmp(code, "0") == 0
        || strncmp(reply, code, strlen(code)) == 0)
        return reply;
    return apr_pstrcat(ctl->pool, code, *reply ? " " : "", reply, NULL);
}

static const char *try_of(ctl_t *ctl, const json_t *json)
{
    const char *attempt = member(ctl, json, "attempt");
    const char *again = member(ctl, json, "retry_in");

    if (!*again)
        return attempt;
    return apr_psprintf(ctl->pool, "%s, again in %ss", attempt, again);
}

static int print_events(ctl_t *ctl, const mg_message_t *m)
{
    ctl_table_t *table = ctl_table_make(ctl);
    const char *error, *detail;
    mg_stmt_t *stmt;
    apr_status_t rv;
    json_t *json;

    ctl_table_row(table, "WHEN", "EVENT", "RECIPIENT", "TRY", "MX", "WHY",
                  "REPLY", NULL);
    rv = mg_db_query(&stmt, ctl->db,
                     "SELECT created_at, kind, recipient, detail FROM event"
                     " WHERE message_id = $1 ORDER BY id", "i", m->id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        const char *why;

        detail = mg_stmt_text(stmt, 3, ctl->pool);
        json = detail ? mg_json_parse(detail, strlen(detail), &error,
                                      ctl->pool) : NULL;
        why = member(ctl, json, "class");
        if (!*why)
            why = member(ctl, json, "reason");
        ctl_table_row(table, ctl_time(ctl, mg_stmt_int(stmt, 0)),
                      mg_stmt_text(stmt, 1, ctl->pool),
                      mg_stmt_text(stmt, 2, ctl->pool), try_of(ctl, json),
                      member(ctl, json, "mx"), why, words_of(ctl, json),
                      NULL);
    }
    if (rv != APR_EOF)
        return ctl_failed(ctl, rv, "events of message %" APR_INT64_T_FMT,
                          m->id);
    printf("\nWhat happened:\n");
    ctl_table_print(table);
    return 0;
}

static int print_queued(ctl_t *ctl, const mg_message_t *m)
{
    mg_queue_filter_t filter = { NULL, m->id, NULL, NULL };
    apr_array_header_t *list;
    apr_status_t rv;

    rv = mg_queue_list(&list, ctl->db, &filter, 0, 100000, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "deliveries of message %" APR_INT64_T_FMT,
                          m->id);
    if (list->nelts == 0) {
        printf("\nNothing of it is queued any more.\n");
        return 0;
    }
    printf("\nQueued:\n");
    ctl_queue_print(ctl, list);
    return 0;
}

/* The message, also by the id of one of its deliveries: `queue list` prints
 * both. */
static apr_status_t find_message(mg_message_t **pmessage, ctl_t *ctl,
                                 apr_int64_t id)
{
    apr_status_t rv = mg_message_get(pmessage, ctl->db, id, ctl->pool);

    if (rv != APR_ENOENT)
        return rv;
    rv = mg_db_get_int(ctl->db, &id,
                       "SELECT message_id FROM delivery WHERE id = $1", "i",
                       id);
    return rv == APR_SUCCESS
               ? mg_message_get(pmessage, ctl->db, id, ctl->pool) : rv;
}

int ctl_queue_show(ctl_t *ctl)
{
    apr_int64_t ids[CTL_QUEUE_FOUND];
    mg_message_t *m;
    apr_status_t rv;
    int i, n, code;

    if ((code = ctl_open(ctl)) != 0
        || (code = ctl_queue_find(ids, &n, ctl, ctl->argv[0])) != 0)
        return code;
    for (i = 0; i < n; i++) {
        rv = find_message(&m, ctl, ids[i]);
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
