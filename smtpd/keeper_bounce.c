/* keeper_bounce.c - see keeper_bounce.h. */
#include <apr_strings.h>
#include <string.h>

#include "keeper_bounce.h"
#include "mg_bounce.h"
#include "mg_dsn.h"
#include "mg_event.h"
#include "mg_group.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_log.h"
#include "mg_mailbox.h"
#include "mg_mime.h"
#include "mg_queue.h"
#include "mg_status.h"
#include "mg_suppression.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_verp.h"
#include "notice.h"

#define AT_ONCE 20
#define TRY_AGAIN apr_time_from_sec(60)

struct keeper_bounce_t {
    worker_t *worker;
    mg_claimer_t *claimer;
    mg_routing_t *routing;      /* of notices */
    unsigned char verp_key[32];
};

/* One report under way. */
typedef struct {
    keeper_bounce_t *owner;
    const mg_delivery_t *row;
    mg_message_t *about;        /* the message it is about; NULL: forgotten */
    mg_verp_t verp;
    mg_dsn_t dsn;
    mg_unit_t unit;
    int booked, lost;
} report_t;

/* --- which recipient --- */

static apr_status_t recipients_of(apr_array_header_t **plist, mg_db_t *db,
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
static const char *whose_copy(const report_t *r,
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
static apr_array_header_t *whose_shared(const report_t *r,
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

/* The message's row is locked, so that two nodes do not book one twice. */
static apr_status_t is_booked(int *pbooked, mg_db_t *db, apr_int64_t id,
                              const char *recipient, int delayed)
{
    apr_int64_t one;
    apr_status_t rv;

    rv = mg_db_exec(db, NULL, "UPDATE message SET size = size WHERE id = $1",
                    "i", id);
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

static mg_event_t event_of(const report_t *r, const mg_dsn_report_t *said,
                           const char *recipient)
{
    const mg_message_t *m = r->about;
    mg_event_t event;

    memset(&event, 0, sizeof(event));
    event.kind = said->action == MG_DSN_FAILED ? MG_EVENT_FAILED_LATE
                                               : MG_EVENT_FAILED_TEMP;
    event.account_id = m->account_id;
    event.domain_id = m->domain_id;
    event.message_id = m->id;
    event.direction = m->direction;
    event.recipient = event.recipient_as_given = recipient;
    event.sender = m->sender;
    event.subject = m->subject;
    event.code = said->code;
    event.reply = said->text;
    event.mx = said->mx;
    return event;
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
    mg_event_t event = event_of(r, said, recipient);
    mg_bounce_t bounce;
    apr_status_t rv;
    int booked;

    rv = is_booked(&booked, db, r->about->id, recipient,
                   said->action == MG_DSN_DELAYED);
    if (rv != APR_SUCCESS || booked)
        return rv;
    bounce = mg_bounce_classify(MG_STAGE_LATER, said->code, said->text,
                                said->code >= 500);
    event.bounce_class = bounce.name;
    if (bounce.severity != MG_HARD)
        event.reason = "maxfails"; /* over there, but so it is */
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
    const char *recipient = whose_copy(r, recipients);
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

static apr_status_t book_all(report_t *r, mg_db_t *db, apr_pool_t *p)
{
    apr_array_header_t *recipients;
    apr_status_t rv;
    int i;

    rv = recipients_of(&recipients, db, r->about->id, p);
    if (rv != APR_SUCCESS)
        return rv;
    if (!mg_verp_is_shared(&r->verp))
        return book_copy(r, db, recipients, p);
    recipients = whose_shared(r, recipients, p);
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

/* What we cannot read, a person may. */
static apr_status_t to_postmaster(report_t *r, mg_db_t *db, apr_pool_t *p)
{
    const mg_delivery_t *row = r->row;
    const char *at = strrchr(row->recipient, '@');
    mg_message_t message = { 0 };
    mg_envelope_t envelope = { 0 };
    mg_mailbox_t *mailbox;
    const char *address;
    apr_status_t rv;

    address = apr_pstrcat(p, "postmaster", at ? at : "@", NULL);
    rv = mg_mailbox_by_address(&mailbox, db, mg_text_lower(address, p), p);
    if (APR_STATUS_IS_ENOENT(rv))
        return APR_SUCCESS;
    if (rv != APR_SUCCESS)
        return rv;
    message.id = row->message_id;
    message.account_id = row->account_id;
    message.domain_id = row->domain_id;
    message.created_at = mg_now();
    envelope.id = mg_id_next();
    envelope.transport = MG_TRANSPORT_LMTP;
    envelope.recipient = mailbox->address;
    envelope.recipient_as_given = row->recipient;
    envelope.dest = apr_psprintf(p, "%" APR_INT64_T_FMT, mailbox->id);
    return mg_message_add(db, &message, &envelope, p);
}

static apr_status_t run_report(mg_db_t *db, void *baton, apr_pool_t *p)
{
    report_t *r = baton;
    apr_status_t rv = mg_queue_settle(db, r->row);

    r->booked = 0;
    r->lost = rv == MG_ELEASE;
    if (rv != APR_SUCCESS)
        return r->lost ? APR_SUCCESS : rv;
    if (r->dsn.kind == MG_DSN_NONE)
        return to_postmaster(r, db, p);
    if (r->dsn.kind != MG_DSN_AUTO_REPLY && r->about)
        return book_all(r, db, p);
    return APR_SUCCESS;
}

/* After a COMMIT whose answer was lost. */
static apr_status_t report_is_there(mg_db_t *db, void *baton)
{
    const report_t *r = baton;
    apr_int64_t one;
    apr_status_t rv = mg_db_get_int(db, &one, "SELECT 1 FROM delivery WHERE "
                                    "id = $1 AND claim_no = $2", "ii",
                                    r->row->id, r->row->claim_no);

    if (rv == APR_SUCCESS)
        return APR_ENOENT;
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

/* --- reading --- */

/* payload: {"message":"4711","tag":"0a1b2c3d"} (mg_routing.c) */
static void read_payload(mg_verp_t *verp, const char *payload, apr_pool_t *p)
{
    const char *error, *id, *tag;
    json_t *json = mg_json_parse(payload, strlen(payload), &error, p);

    memset(verp, 0, sizeof(*verp));
    id = json_string_value(json_object_get(json, "message"));
    tag = json_string_value(json_object_get(json, "tag"));
    verp->message_id = id ? apr_atoi64(id) : 0;
    apr_cpystrn(verp->tag, tag ? tag : "", sizeof(verp->tag));
}

static apr_status_t read_report(report_t *r, mg_db_t *db, apr_pool_t *p)
{
    const void *bytes;
    apr_size_t len;
    apr_status_t rv;

    read_payload(&r->verp, r->row->payload ? r->row->payload : "", p);
    rv = mg_message_slice(&bytes, &len, db, r->row->message_id, 0, p);
    if (APR_STATUS_IS_EOF(rv))
        bytes = "", len = 0;
    else if (rv != APR_SUCCESS)
        return rv;
    mg_dsn_read(&r->dsn, bytes, len, p);
    rv = mg_message_get(&r->about, db, r->verp.message_id, p);
    if (APR_STATUS_IS_ENOENT(rv))
        return APR_SUCCESS;
    /* the MAC is over the domain too; this is a second lock */
    if (rv == APR_SUCCESS && r->about->domain_id != r->row->domain_id)
        r->about = NULL;
    return rv;
}

static void say(const report_t *r)
{
    static const char *const kinds[] = {
        [MG_DSN_NONE] = "no report: to postmaster",
        [MG_DSN_REPORT] = "a report", [MG_DSN_GUESS] = "a report",
        [MG_DSN_AUTO_REPLY] = "a machine's reply",
    };

    if (r->lost)
        mg_log(MG_LOG_WARN, MG_ELEASE, "bounce: delivery %" APR_INT64_T_FMT
               ": its result came too late", r->row->id);
    else
        mg_log(MG_LOG_INFO, APR_SUCCESS, "bounce: message %" APR_INT64_T_FMT
               " about message %" APR_INT64_T_FMT "%s: %s, %d booked",
               r->row->message_id, r->verp.message_id,
               r->about ? "" : " (forgotten)", kinds[r->dsn.kind], r->booked);
}

apr_status_t keeper_bounce_step(keeper_bounce_t *bounce, int *pmore,
                                apr_pool_t *ptemp)
{
    mg_db_t *db = bounce->worker->db;
    apr_array_header_t *claimed;
    mg_unit_t *units = NULL;
    report_t *reports;
    apr_status_t rv;
    int i;

    rv = mg_queue_claim(&claimed, db, bounce->claimer, AT_ONCE, ptemp);
    if (rv != APR_SUCCESS || claimed->nelts == 0)
        return rv;
    reports = apr_pcalloc(ptemp, sizeof(*reports) * (size_t)claimed->nelts);
    for (i = 0; i < claimed->nelts; i++) {
        report_t *r = &reports[i];

        r->owner = bounce;
        r->row = APR_ARRAY_IDX(claimed, i, mg_delivery_t *);
        rv = read_report(r, db, ptemp);
        if (rv != APR_SUCCESS)
            return rv; /* they come again when the lease is over */
        r->unit.run = run_report;
        r->unit.is_there = report_is_there;
        r->unit.baton = r;
        r->unit.next = units;
        units = &r->unit;
    }
    rv = mg_group_commit(db, units, ptemp);
    for (i = 0; i < claimed->nelts; i++) {
        if (reports[i].unit.status == APR_SUCCESS)
            say(&reports[i]);
        else if (rv == APR_SUCCESS)
            (void)mg_queue_defer(db, reports[i].row, "it cannot be booked",
                                 mg_now() + TRY_AGAIN);
    }
    *pmore = claimed->nelts == AT_ONCE;
    return rv;
}

apr_status_t keeper_bounce_create(keeper_bounce_t **pbounce, worker_t *worker)
{
    static const mg_transport_kind_t transports[] = { MG_TRANSPORT_BOUNCE };
    keeper_bounce_t *b = apr_pcalloc(worker->pool, sizeof(*b));
    apr_status_t rv;

    *pbounce = b;
    b->worker = worker;
    b->claimer = mg_claimer_create(worker->worker_id, transports, 1,
                                   worker->config->lease, worker->pool);
    mg_event_context(worker->db, worker->domains, worker->slot);
    mg_message_set_run_dir(worker->config->run_dir);
    mg_mime_init();
    rv = mg_secret_derive(b->verp_key, worker->secret, "verp");
    if (rv == APR_SUCCESS)
        b->routing = mg_routing_create(worker->domains, worker->shared,
                                       b->verp_key, worker->pool);
    return rv;
}
