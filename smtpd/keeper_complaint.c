/* keeper_complaint.c - reports of spam are booked (mg_arf.h).
 *
 * A stranger must not complain for others. So a report counts only where it
 * shows what we signed for one copy: it came to that copy's envelope sender, or
 * has it, or X-Mailgun-Report-Id, among its fields or in the header of the
 * message. Where recipients share a copy, the report must name one of them; if
 * there is one alone, it may hide him.
 *
 * "complained" is booked once for a message and recipient; the append enters
 * the complaint. What counts not is a line in the log.
 */
#include <apr_strings.h>
#include <string.h>

#include "keeper_bounce_private.h"
#include "mg_status.h"

/* --- which message --- */

/* @return APR_ENOENT: it proves nothing */
static apr_status_t prove(report_t *r, mg_db_t *db,
                          const mg_verp_claim_t *claim, apr_pool_t *p)
{
    const mg_domain_t *domain;
    mg_message_t *m;
    apr_status_t rv;

    rv = mg_message_get(&m, db, claim->verp.message_id, p);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_domain_cached_by_id(&domain, r->owner->worker->domains, db,
                                m->domain_id);
    if (rv != APR_SUCCESS)
        return rv;
    if (mg_verp_prove(claim, r->owner->verp_key, domain->name_lc)
            != APR_SUCCESS)
        return APR_ENOENT;
    r->about = m;
    r->verp = claim->verp;
    return APR_SUCCESS;
}

static apr_status_t find_message(report_t *r, mg_db_t *db, apr_pool_t *p)
{
    apr_status_t rv = APR_ENOENT;
    int i;

    for (i = 0; APR_STATUS_IS_ENOENT(rv) && i < r->arf.claims->nelts; i++)
        rv = prove(r, db, &APR_ARRAY_IDX(r->arf.claims, i, mg_verp_claim_t),
                   p);
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

apr_status_t keeper_complaint_read(report_t *r, mg_db_t *db, apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;

    r->act = REPORT_SWALLOW;
    switch (r->arf.kind) {
    case MG_ARF_NONE:
        r->act = REPORT_TO_PERSON;
        r->said = "no report of spam: to a mailbox";
        return APR_SUCCESS;
    case MG_ARF_NOT_SPAM:
        r->said = "somebody says it is no spam";
        return APR_SUCCESS;
    case MG_ARF_OTHER:
        r->said = "a report about no recipient";
        return APR_SUCCESS;
    case MG_ARF_COMPLAINT:
    case MG_ARF_OPT_OUT:
        break;
    }
    if (r->to == REPORT_TO_FEEDBACK)
        rv = find_message(r, db, p);
    r->said = "a report of spam that proves nothing";
    if (r->about && r->about->direction == MG_OUTGOING) {
        r->said = "a report of spam";
        r->act = REPORT_COMPLAINT;
    }
    else if (r->arf.is_bare) {
        r->said = "no report of spam: to a mailbox";
        r->act = REPORT_TO_PERSON;
    }
    return rv;
}

/* --- which recipient --- */

static const char *named(const mg_arf_t *arf,
                         const apr_array_header_t *recipients)
{
    int i, k;

    for (i = 0; i < arf->recipients->nelts; i++)
        for (k = 0; k < recipients->nelts; k++) {
            const char *one = APR_ARRAY_IDX(recipients, k, const char *);

            if (strcasecmp(one, APR_ARRAY_IDX(arf->recipients, i,
                                              const char *)) == 0)
                return one;
        }
    return recipients->nelts == 1 ? APR_ARRAY_IDX(recipients, 0, const char *)
                                  : NULL;
}

static apr_status_t is_booked(int *pbooked, mg_db_t *db, apr_int64_t id,
                              mg_event_kind_t kind, const char *recipient)
{
    apr_int64_t one;
    apr_status_t rv;

    rv = keeper_lock_message(db, id);
    if (rv == APR_SUCCESS)
        rv = mg_db_get_int(db, &one, "SELECT 1 FROM event WHERE message_id ="
                           " $1 AND recipient = $2 AND kind = $3 LIMIT 1",
                           "itt", id, recipient,
                           kind == MG_EVENT_COMPLAINED ? "complained"
                                                       : "unsubscribed");
    *pbooked = rv == APR_SUCCESS;
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

static apr_status_t book(report_t *r, mg_db_t *db, const char *recipient,
                         apr_pool_t *p)
{
    mg_event_kind_t kind = r->arf.kind == MG_ARF_OPT_OUT
                               ? MG_EVENT_UNSUBSCRIBED : MG_EVENT_COMPLAINED;
    mg_event_t event;
    apr_status_t rv;
    int booked;

    rv = is_booked(&booked, db, r->about->id, kind, recipient);
    if (rv != APR_SUCCESS || booked)
        return rv;
    rv = mg_event_of_message(&event, kind, db, r->about, recipient, p);
    if (rv != APR_SUCCESS)
        return rv;
    event.original = r->arf.original;
    event.original_len = r->arf.original_len;
    if (kind == MG_EVENT_UNSUBSCRIBED)
        event.tag = "*";
    r->booked++;
    return mg_event_append(db, &event, p);
}

apr_status_t keeper_complaint_book(report_t *r, mg_db_t *db, apr_pool_t *p)
{
    apr_array_header_t *recipients;
    const char *recipient;
    apr_status_t rv;

    rv = keeper_recipients_of(&recipients, db, r->about->id, p);
    if (rv != APR_SUCCESS)
        return rv;
    recipient = mg_verp_is_shared(&r->verp)
                    ? named(&r->arf, keeper_whose_shared(r, recipients, p))
                    : keeper_whose_copy(r, recipients);
    return recipient ? book(r, db, recipient, p) : APR_SUCCESS;
}
