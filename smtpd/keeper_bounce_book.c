/* keeper_bounce_book.c - what reports of deliveries say is booked: whose copy
 * it was, event, bounce table, and word to who sent by SMTP. */
#include <apr_strings.h>
#include <string.h>

#include "keeper_bounce_private.h"
#include "mg_bounce.h"
#include "mg_suppression.h"
#include "mg_status.h"
#include "mg_time.h"
#include "notice.h"

/* --- which recipient --- */

apr_status_t keeper_recipients_of(apr_array_header_t **plist, mg_db_t *db,
                                  apr_int64_t message_id, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 4, sizeof(const char *));
    /* what a route forwards went to others than it came for */
    rv = mg_db_query(&stmt, db, "SELECT recipient FROM event"
                     " WHERE message_id = $1 AND kind IN ('accepted', 'posted')"
                     " UNION SELECT recipient FROM delivery"
                     " WHERE message_id = $1 AND transport = 1 ORDER BY 1", "i",
                     message_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plist, const char *) = mg_stmt_text(stmt, 0, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* A copy of its own names its recipient by the tag. */
const char *keeper_whose_copy(const report_t *r,
                              const apr_array_header_t *recipients)
{
    int i;

    for (i = 0; i < recipients->nelts; i++) {
        const char *one = APR_ARRAY_IDX(recipients, i, const char *);

        if (mg_verp_is_for(&r->verp, r->owner->verp_key, one))
            return one;
    }
    return NULL;
}

/* A shared one may come back for those of the message's recipients that are at
 * its destination, and for nobody else. */
apr_array_header_t *keeper_whose_shared(const report_t *r,
                                        apr_array_header_t *recipients,
                                        apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 4, sizeof(const char *));
    const char *last = "";
    int i, is_there = 0;

    if (mg_verp_is_for(&r->verp, r->owner->verp_key, ""))
        return recipients; /* of several destinations */
    for (i = 0; i < recipients->nelts; i++) {
        const char *one = APR_ARRAY_IDX(recipients, i, const char *);
        const char *at = strrchr(one, '@');

        if (!at)
            continue;
        if (strcasecmp(last, at + 1) != 0)
            is_there = mg_verp_is_for(&r->verp, r->owner->verp_key, at + 1);
        last = at + 1;
        if (is_there)
            APR_ARRAY_PUSH(list, const char *) = one;
    }
    return list;
}

static const char *who_is_meant(const mg_dsn_report_t *said,
                                const apr_array_header_t *recipients)
{
    int i;

    for (i = 0; i < recipients->nelts; i++) {
        const char *one = APR_ARRAY_IDX(recipients, i, const char *);

        if ((said->original && strcasecmp(one, said->original) == 0)
            || (said->recipient && strcasecmp(one, said->recipient) == 0))
            return one;
    }
    return NULL;
}

/* --- booking --- */

apr_status_t keeper_lock_message(mg_db_t *db, apr_int64_t id)
{
    return mg_db_exec(db, NULL, "UPDATE message SET size = size"
                      " WHERE id = $1", "i", id);
}

/* The message's row is locked, so that two nodes do not book one twice. */
static apr_status_t is_booked(int *pbooked, mg_db_t *db, apr_int64_t id,
                              const char *recipient, int delayed)
{
    apr_int64_t one;
    apr_status_t rv;

    rv = keeper_lock_message(db, id);
    if (rv == APR_SUCCESS)
        rv = mg_db_get_int(
            db, &one,
            "SELECT 1 FROM event WHERE message_id = $1 AND recipient = $2"
            " AND (kind IN ('failed', 'failed_late', 'dropped',"
            "   'forward_failed')"
            "  OR ($3 = 1 AND kind = 'failed_temp' AND delivery_id = 0))"
            " LIMIT 1", "iti", id, recipient, (apr_int64_t)delayed);
    *pbooked = rv == APR_SUCCESS;
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

/* A soft failure that ran out, there as with us, is dropped and no bounce. */
static mg_event_kind_t kind_of(const report_t *r, const mg_dsn_report_t *said,
                               const mg_bounce_t *bounce)
{
    if (said->action != MG_DSN_FAILED)
        return MG_EVENT_FAILED_TEMP;
    return bounce->severity == MG_SOFT && r->about->direction == MG_OUTGOING
               ? MG_EVENT_DROPPED : MG_EVENT_FAILED_LATE;
}

static apr_status_t event_of(mg_event_t *event, mg_db_t *db,
                             const report_t *r, const mg_dsn_report_t *said,
                             const mg_bounce_t *bounce, const char *recipient,
                             apr_pool_t *p)
{
    apr_status_t rv;

    rv = mg_event_of_message(event, kind_of(r, said, bounce), db, r->about,
                             recipient, p);
    event->bounce_class = bounce->name;
    if (event->kind == MG_EVENT_DROPPED)
        event->reason = "maxfails";
    event->code = said->code;
    event->reply = said->text;
    event->mx = said->mx;
    event->original = r->dsn.original;
    event->original_len = r->dsn.original_len;
    return rv;
}

/* The report came to us; who sent by SMTP is to know of it, unless he said
 * NEVER when the message went out. */
static apr_status_t tell_sender(report_t *r, mg_db_t *db,
                                const mg_dsn_report_t *said,
                                const char *recipient, apr_pool_t *p)
{
    notice_about_t about = { .says = MG_DSN_SAYS_FAILED };
    const char *detail = NULL;
    mg_stmt_t *stmt;
    notice_t *notice;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db, "SELECT detail FROM event WHERE message_id ="
                     " $1 AND recipient = $2 AND kind IN"
                     " ('delivered', 'posted') LIMIT 1",
                     "it", r->about->id, recipient);
    if (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        detail = mg_stmt_text(stmt, 0, p);
        mg_stmt_done(stmt);
    }
    if (rv != APR_SUCCESS && rv != APR_EOF)
        return rv;
    about.message = r->about;
    about.recipient = recipient;
    about.payload = detail;   /* NOTIFY is under the same name in it */
    about.created_at = r->about->created_at;
    about.reply = said->text;
    about.mx = said->mx;
    if (!notice_is_wanted(&about, mg_now(), p))
        return APR_SUCCESS;
    rv = notice_make(&notice, db, r->owner->routing,
                     r->owner->worker->config->hostname, &about, p);
    if (rv == MG_EADDRESS || rv == MG_ELIMIT)
        return APR_SUCCESS;
    return rv == APR_SUCCESS ? notice_accept(db, notice, p) : rv;
}

static apr_status_t book(report_t *r, mg_db_t *db, const mg_dsn_report_t *said,
                         const char *recipient, apr_pool_t *p)
{
    mg_suppression_t entry = { .kind = MG_BOUNCED, .address = recipient };
    mg_event_t event;
    mg_bounce_t bounce;
    apr_status_t rv;
    int booked;

    rv = is_booked(&booked, db, r->about->id, recipient,
                   said->action == MG_DSN_DELAYED);
    if (rv != APR_SUCCESS || booked)
        return rv;
    bounce = mg_bounce_classify(MG_STAGE_LATER, said->code, said->text,
                                said->code >= 500);
    rv = event_of(&event, db, r, said, &bounce, recipient, p);
    if (rv == APR_SUCCESS)
        rv = mg_event_append(db, &event, p);
    if (rv != APR_SUCCESS)
        return rv;
    r->booked++;
    if (said->action == MG_DSN_FAILED)
        rv = tell_sender(r, db, said, recipient, p);
    if (rv != APR_SUCCESS)
        return rv;
    if (said->action != MG_DSN_FAILED || bounce.severity != MG_HARD
        || r->about->direction != MG_OUTGOING)
        return APR_SUCCESS;
    entry.code = apr_itoa(p, said->code);
    entry.error = said->text;
    entry.class = bounce.name;
    return mg_suppression_add(db, r->about->domain_id, &entry, p);
}

/* The worst that is said of it. */
static apr_status_t book_copy(report_t *r, mg_db_t *db,
                              const apr_array_header_t *recipients,
                              apr_pool_t *p)
{
    const char *recipient = keeper_whose_copy(r, recipients);
    const mg_dsn_report_t *worst = NULL;
    int i;

    for (i = 0; i < r->dsn.reports->nelts; i++) {
        const mg_dsn_report_t *said = &APR_ARRAY_IDX(r->dsn.reports, i,
                                                     mg_dsn_report_t);

        if (said->action != MG_DSN_WELL
            && (!worst || (said->action == MG_DSN_FAILED
                           && worst->action != MG_DSN_FAILED)))
            worst = said;
    }
    return recipient && worst ? book(r, db, worst, recipient, p)
                              : APR_SUCCESS;
}

apr_status_t keeper_bounce_book(report_t *r, mg_db_t *db, apr_pool_t *p)
{
    apr_array_header_t *recipients;
    apr_status_t rv;
    int i;

    rv = keeper_recipients_of(&recipients, db, r->about->id, p);
    if (rv != APR_SUCCESS)
        return rv;
    if (!mg_verp_is_shared(&r->verp))
        return book_copy(r, db, recipients, p);
    recipients = keeper_whose_shared(r, recipients, p);
    for (i = 0; rv == APR_SUCCESS && i < r->dsn.reports->nelts; i++) {
        const mg_dsn_report_t *said = &APR_ARRAY_IDX(r->dsn.reports, i,
                                                     mg_dsn_report_t);
        const char *recipient = NULL;

        if (said->action != MG_DSN_WELL)
            recipient = who_is_meant(said, recipients);
        if (recipient)
            rv = book(r, db, said, recipient, p);
    }
    return rv;
}
