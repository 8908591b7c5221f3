/* keeper_unsubscribe.c - mail to an address that unsubscribes (mg_track.h).
 *
 * The receiver has verified the token; what the mail says does not matter, nor
 * who sends it: machines do, with a null sender. The token is bound to one
 * recipient: who wrote the mail is tried first, then the recipients of the
 * message. It works as long as one of the two is known: longer than we keep
 * the message, where people write themselves.
 */
#include <apr_strings.h>
#include <string.h>

#include "keeper_bounce_private.h"
#include "mg_hit.h"
#include "mg_mime.h"
#include "mg_status.h"
#include "mg_suppression.h"
#include "mg_track.h"

static const char *local_of(const char *address, apr_pool_t *p)
{
    const char *at = strrchr(address, '@');

    return at ? apr_pstrmemdup(p, address, (apr_size_t)(at - address))
              : address;
}

static int is_for(const report_t *r, const char *address)
{
    return address && *address
           && mg_track_mail_is_for(&r->mail, r->owner->tracking, address);
}

/* From, where it is the recipient's own address; else "". */
static const char *writer_of(const report_t *r, const char *bytes,
                             apr_size_t len, apr_pool_t *p)
{
    apr_array_header_t *headers, *list;
    const mg_header_t *from;
    int i;

    if (mg_mime_headers(&headers, NULL, bytes, len, p) != APR_SUCCESS)
        return "";
    from = mg_mime_header(headers, "From");
    if (!from || strlen(from->raw) > 1000
        || mg_address_parse_list(&list, from->raw, p) != APR_SUCCESS)
        return "";
    for (i = 0; i < list->nelts && i < 5; i++) {
        const mg_address_t *one = APR_ARRAY_IDX(list, i, mg_address_t *);

        if (is_for(r, one->address))
            return one->address;
    }
    return "";
}

apr_status_t keeper_unsubscribe_read(report_t *r, mg_db_t *db,
                                     const char *bytes, apr_size_t len,
                                     apr_pool_t *p)
{
    apr_status_t rv;

    r->act = REPORT_SWALLOW;
    r->said = "an unsubscribe by a secret that is gone";
    if (mg_track_mail_read(&r->mail, r->owner->tracking, r->domain_id,
                           local_of(r->row->recipient, p)) != APR_SUCCESS)
        return APR_SUCCESS;
    r->act = REPORT_UNSUBSCRIBE;
    r->said = "an unsubscribe";
    r->verp.message_id = r->mail.message_id;
    r->from = writer_of(r, bytes, len, p);
    rv = mg_message_get(&r->about, db, r->mail.message_id, p);
    if (rv == APR_SUCCESS && r->about->domain_id != r->domain_id)
        r->about = NULL;
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

/* --- booking --- */

static apr_status_t who(const char **precipient, const report_t *r,
                        mg_db_t *db, apr_pool_t *p)
{
    apr_array_header_t *list;
    apr_status_t rv;
    int i;

    *precipient = *r->from ? r->from : NULL;
    if (*precipient || !r->about)
        return APR_SUCCESS;
    rv = keeper_recipients_of(&list, db, r->about->id, p);
    for (i = 0; rv == APR_SUCCESS && i < list->nelts && !*precipient; i++)
        if (is_for(r, APR_ARRAY_IDX(list, i, const char *)))
            *precipient = APR_ARRAY_IDX(list, i, const char *);
    return rv;
}

static apr_status_t event_of(mg_event_t *event, const report_t *r, mg_db_t *db,
                             const char *recipient, apr_pool_t *p)
{
    memset(event, 0, sizeof(*event));
    if (r->about)
        return mg_event_of_message(event, MG_EVENT_UNSUBSCRIBED, db, r->about,
                                   recipient, p);
    event->kind = MG_EVENT_UNSUBSCRIBED;
    event->account_id = r->account_id;
    event->domain_id = r->domain_id;
    event->direction = MG_OUTGOING;
    event->recipient = event->recipient_as_given = recipient;
    event->sender = event->subject = "";
    return APR_SUCCESS;
}

static apr_status_t is_booked(int *pis, mg_db_t *db, const mg_event_t *event,
                              const char *recipient, apr_pool_t *p)
{
    mg_track_t list = { MG_TRACK_UNSUBSCRIBE_LIST, event->domain_id,
                        event->message_id, recipient, event->mailing_list };

    if (!event->tag)
        return mg_hit_is_unsubscribed(pis, db, &list, p);
    return mg_suppression_has_tags(pis, db, event->domain_id, recipient,
                                   mg_track_tags_of(event->tag, p), p);
}

apr_status_t keeper_unsubscribe_book(report_t *r, mg_db_t *db, apr_pool_t *p)
{
    const char *recipient;
    mg_event_t event;
    apr_status_t rv;
    int booked;

    rv = who(&recipient, r, db, p);
    if (rv != APR_SUCCESS || !recipient)
        return rv;
    if (r->about)
        rv = keeper_lock_message(db, r->about->id);
    if (rv == APR_SUCCESS)
        rv = event_of(&event, r, db, recipient, p);
    if (rv != APR_SUCCESS)
        return rv;
    /* which tags, only the message knew; one without tags is all we know */
    if (r->mail.kind == MG_TRACK_UNSUBSCRIBE_LIST && !event.mailing_list)
        return APR_SUCCESS; /* which list, nobody knows any more */
    event.tag = r->mail.kind == MG_TRACK_UNSUBSCRIBE_TAGS
                    ? mg_track_tags(event.tags, p) : NULL;
    if (!event.tag && r->mail.kind != MG_TRACK_UNSUBSCRIBE_LIST)
        event.tag = "*";
    /* machines repeat themselves */
    rv = is_booked(&booked, db, &event, recipient, p);
    if (rv != APR_SUCCESS || booked)
        return rv;
    r->booked++;
    return mg_event_append(db, &event, p);
}
