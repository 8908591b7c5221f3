/* mg_event_log.c - GET /<domain>/log: an event's line, the newest first. */
#include <string.h>
#include <apr_strings.h>

#include "mg_event_kind.h"
#include "mg_event_private.h"
#include "mg_stat.h"
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

    if (!recipient || !*recipient)
        recipient = event->recipient;
    return apr_pstrcat(p, word_of(event, p),
                       event->testmode  ? " (test mode): "
                       : event->machine ? " (by a machine): "
                                        : ": ",
                       one_line(event->sender, FIELD_MAX, p),
                       " \xE2\x86\x92 ", one_line(recipient, FIELD_MAX, p),
                       " '", one_line(event->subject, FIELD_MAX, p), "'",
                       ending(event, p), NULL);
}

/* --- many --- */

apr_status_t mg_event_log(apr_array_header_t **pitems, apr_int64_t *ptotal,
                          mg_db_t *db, apr_int64_t domain_id,
                          apr_int64_t skip, apr_int64_t limit, apr_pool_t *p)
{
    const mg_event_kind_info_t *kind;
    mg_log_item_t *item;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pitems = apr_array_make(p, 16, sizeof(mg_log_item_t *));
    rv = mg_stat_total(ptotal, db, domain_id);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_query(&stmt, db,
                     "SELECT e.kind, e.log_text, e.created_at, m.message_id,"
                     " m.direction"
                     " FROM event e LEFT JOIN message m ON m.id = e.message_id"
                     " WHERE e.domain_id = $1"
                     " ORDER BY e.id DESC LIMIT $2 OFFSET $3",
                     "iii", domain_id, limit, skip);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        item = apr_pcalloc(p, sizeof(*item));
        kind = mg_event_kind_by_name(mg_stmt_text(stmt, 0, p));
        item->hap = kind ? mg_event_hap(kind, (int)mg_stmt_int(stmt, 4))
                         : "unknown";
        item->type = kind ? kind->type : "info";
        item->message = mg_stmt_text(stmt, 1, p);
        item->created_at = mg_stmt_int(stmt, 2);
        item->message_id = mg_stmt_text(stmt, 3, p);
        if (!item->message_id)
            item->message_id = "";
        APR_ARRAY_PUSH(*pitems, mg_log_item_t *) = item;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}
