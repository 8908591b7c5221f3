/* mg_event_log.c - GET /<domain>/log: an event's line, the newest first. */
#include <string.h>
#include <apr_strings.h>

#include "mg_event_count.h"
#include "mg_event_kind.h"
#include "mg_event_private.h"
#include "mg_status.h"
#include "mg_text.h"

#define FIELD_MAX 512
#define REPLY_MAX 1024

/* --- a line --- */

/* Valid UTF-8 on one line, at most max bytes. */
static const char *one_line(const char *s, apr_size_t max, apr_pool_t *p)
{
    apr_size_t len = s ? strlen(s) : 0, i;
    char *line = NULL;

    if (!s)
        return "";
    if (len > max) {
        for (len = max; len > 0 && ((unsigned char)s[len] & 0xC0) == 0x80;)
            len--;
        s = apr_pstrmemdup(p, s, len);
    }
    s = mg_text_clean(s, len, p);
    for (i = 0; s[i]; i++) {
        if ((unsigned char)s[i] >= 0x20 && s[i] != 0x7F)
            continue;
        if (!line)
            s = line = apr_pstrdup(p, s);
        line[i] = ' ';
    }
    return s;
}

static const char *word_of(const mg_event_t *event, apr_pool_t *p)
{
    if (event->kind == MG_EVENT_ACCEPTED && event->direction == MG_INCOMING)
        return "Received";
    if (event->kind == MG_EVENT_FAILED_TEMP && event->retry_in)
        return apr_psprintf(p, "Will retry in %" APR_INT64_T_FMT " seconds",
                            (apr_int64_t)apr_time_sec(event->retry_in));
    return mg_event_kinds[event->kind].word;
}

/* " Server response: 550 no", what the line ends in; "" */
static const char *ending(const mg_event_t *event, apr_pool_t *p)
{
    const char *label = NULL, *words = NULL;

    switch (event->kind) {
    case MG_EVENT_FAILED_TEMP:
    case MG_EVENT_FAILED:
    case MG_EVENT_FAILED_LATE:
    case MG_EVENT_FORWARD_FAILED:
        label = " Server response: ";
        words = event->reply;
        break;
    case MG_EVENT_DROPPED:
    case MG_EVENT_REFUSED:
    case MG_EVENT_SPAM_DROPPED:
        label = " Reason: ";
        words = event->reply;
        break;
    case MG_EVENT_CLICKED:
        label = " URL: ";
        words = event->url;
        break;
    case MG_EVENT_UNSUBSCRIBED:
        label = " Tag: ";
        words = event->tag;
        break;
    case MG_EVENT_ROUTED:
        label = " Route: ";
        words = event->reply;
        break;
    default:
        break;
    }
    words = one_line(words, REPLY_MAX, p);
    return *words ? apr_pstrcat(p, label, words, NULL) : "";
}

/* "Delivered: me@d -> Bob <bob@x> 'Hello'", with what the remote said where it
 * matters. */
const char *mg_event_line(const mg_event_t *event, apr_pool_t *p)
{
    const char *recipient = event->recipient_as_given;
    const char *subject = "";

    if (event->subject || event->message_id) /* at RCPT there is none yet */
        subject = apr_pstrcat(p, " '", one_line(event->subject, FIELD_MAX, p),
                              "'", NULL);
    /* a path of SMTP says no more than the address */
    if (!recipient || !*recipient || *recipient == '<')
        recipient = event->recipient;
    return apr_pstrcat(p, word_of(event, p),
                       event->testmode  ? " (test mode): "
                       : event->machine ? " (by a machine): "
                                        : ": ",
                       one_line(event->sender, FIELD_MAX, p),
                       " \xE2\x86\x92 ", one_line(recipient, FIELD_MAX, p),
                       subject, ending(event, p), NULL);
}

/* --- many --- */

/* The id of the first row behind skip: an hour is found by adding up
 * (mg_event_count.h), and then a walk along the index, without the rows.
 * *pid 0: there is none. */
static apr_status_t find_first(apr_int64_t *pid, apr_int64_t *ptotal,
                               mg_db_t *db, apr_int64_t domain_id,
                               apr_int64_t skip)
{
    apr_int64_t below, rest;
    apr_status_t rv;

    *pid = 0;
    rv = mg_event_count_rank(ptotal, &below, &rest, db, domain_id, skip);
    if (rv != APR_SUCCESS || below == 0)
        return rv;
    rv = mg_db_get_int(db, pid,
                       "SELECT id FROM event WHERE domain_id = $1 AND id < $2"
                       " ORDER BY id DESC LIMIT 1 OFFSET $3", "iii", domain_id,
                       below, rest);
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

static mg_log_item_t *read_item(mg_stmt_t *stmt, apr_pool_t *p)
{
    const mg_event_kind_info_t *kind =
        mg_event_kind_by_name(mg_stmt_text(stmt, 0, p));
    mg_log_item_t *item = apr_pcalloc(p, sizeof(*item));

    item->hap = kind ? mg_event_hap(kind, (int)mg_stmt_int(stmt, 4))
                     : "unknown";
    item->type = kind ? kind->type : "info";
    item->message = mg_stmt_text(stmt, 1, p);
    item->created_at = mg_stmt_int(stmt, 2);
    item->message_id = mg_stmt_text(stmt, 3, p);
    if (!item->message_id)
        item->message_id = "";
    return item;
}

apr_status_t mg_event_log(apr_array_header_t **pitems, apr_int64_t *ptotal,
                          mg_db_t *db, apr_int64_t domain_id,
                          apr_int64_t skip, apr_int64_t limit, apr_pool_t *p)
{
    apr_int64_t first;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pitems = apr_array_make(p, 16, sizeof(mg_log_item_t *));
    rv = find_first(&first, ptotal, db, domain_id, skip);
    if (rv != APR_SUCCESS || first == 0 || limit == 0)
        return rv;
    rv = mg_db_query(&stmt, db,
                     "SELECT e.kind, e.log_text, e.created_at, m.message_id,"
                     " m.direction"
                     " FROM event e LEFT JOIN message m ON m.id = e.message_id"
                     " WHERE e.domain_id = $1 AND e.id <= $2"
                     " ORDER BY e.id DESC LIMIT $3",
                     "iii", domain_id, first, limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*pitems, mg_log_item_t *) = read_item(stmt, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}
