/* keeper_bounce.c - see keeper_bounce.h. */
#include <apr_strings.h>
#include <string.h>

#include "keeper_bounce_private.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_log.h"
#include "mg_mailbox.h"
#include "mg_mime.h"
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "worker_links.h"

#define AT_ONCE 20
#define TRY_AGAIN apr_time_from_sec(60)

/* What we cannot read, a person may: the mailbox it was for, if there is one,
 * else the postmaster's. */
static apr_status_t find_mailbox(mg_mailbox_t **pmailbox, const report_t *r,
                                 mg_db_t *db, apr_pool_t *p)
{
    const char *at = strrchr(r->row->recipient, '@');
    apr_status_t rv;

    rv = mg_mailbox_by_address(pmailbox, db, r->row->recipient, p);
    if (APR_STATUS_IS_ENOENT(rv))
        rv = mg_mailbox_by_address(
            pmailbox, db,
            mg_text_lower(apr_pstrcat(p, "postmaster", at ? at : "@", NULL),
                          p), p);
    return rv;
}

static apr_status_t to_person(report_t *r, mg_db_t *db, apr_pool_t *p)
{
    const mg_delivery_t *row = r->row;
    mg_message_t message = { 0 };
    mg_envelope_t envelope = { 0 };
    mg_mailbox_t *mailbox;
    apr_status_t rv;

    rv = find_mailbox(&mailbox, r, db, p);
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
    switch (r->act) {
    case REPORT_SWALLOW:
        break;
    case REPORT_BOUNCE:
        return keeper_bounce_book(r, db, p);
    case REPORT_COMPLAINT:
        return keeper_complaint_book(r, db, p);
    case REPORT_UNSUBSCRIBE:
        return keeper_unsubscribe_book(r, db, p);
    case REPORT_TO_PERSON:
        return to_person(r, db, p);
    }
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

/* payload: {"message":"4711","tag":"0a1b2c3d"}, {"feedback":true},
 * {"unsubscribe":true} (mg_routing.c) */
static void read_payload(report_t *r, const char *payload, apr_pool_t *p)
{
    const char *error, *id, *tag;
    json_t *json = mg_json_parse(payload, strlen(payload), &error, p);

    memset(&r->verp, 0, sizeof(r->verp));
    if (json_is_true(json_object_get(json, "feedback")))
        r->to = REPORT_TO_FEEDBACK;
    if (json_is_true(json_object_get(json, "unsubscribe")))
        r->to = REPORT_TO_UNSUBSCRIBE;
    id = json_string_value(json_object_get(json, "message"));
    tag = json_string_value(json_object_get(json, "tag"));
    r->verp.message_id = id ? apr_atoi64(id) : 0;
    apr_cpystrn(r->verp.tag, tag ? tag : "", sizeof(r->verp.tag));
}

/* Came to a VERP sender: a report of spam, of a delivery, or a machine's
 * reply. */
static apr_status_t read_to_sender(report_t *r, mg_db_t *db,
                                   const char *bytes, apr_size_t len,
                                   apr_pool_t *p)
{
    apr_status_t rv;

    rv = mg_message_get(&r->about, db, r->verp.message_id, p);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_ENOENT(rv))
        return rv;
    /* the MAC is over the domain too; this is a second lock */
    if (rv != APR_SUCCESS || r->about->domain_id != r->domain_id)
        r->about = NULL;
    if (r->arf.kind != MG_ARF_NONE && !r->arf.is_bare)
        return keeper_complaint_read(r, db, p);
    mg_dsn_read(&r->dsn, bytes, len, p);
    r->act = REPORT_SWALLOW;
    r->said = "a report";
    if (r->dsn.kind == MG_DSN_NONE) {
        r->act = REPORT_TO_PERSON;
        r->said = "no report: to a mailbox";
    }
    else if (r->dsn.kind == MG_DSN_AUTO_REPLY)
        r->said = "a machine's reply";
    else if (r->about)
        r->act = REPORT_BOUNCE;
    return APR_SUCCESS;
}

/* Whose address it came to: mg_routing.c says so in dest. */
static apr_status_t find_domain(report_t *r, mg_db_t *db)
{
    const mg_domain_t *domain;
    apr_status_t rv;

    rv = mg_domain_cached_by_name(&domain, r->owner->worker->domains, db,
                                  r->row->dest);
    if (rv == APR_SUCCESS) {
        r->domain_id = domain->id;
        r->account_id = domain->account_id;
    }
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

static apr_status_t read_report(report_t *r, mg_db_t *db, apr_pool_t *p)
{
    const void *bytes;
    apr_size_t len;
    apr_status_t rv;

    read_payload(r, r->row->payload ? r->row->payload : "", p);
    rv = find_domain(r, db);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_message_slice(&bytes, &len, db, r->row->message_id, 0, p);
    if (APR_STATUS_IS_EOF(rv))
        bytes = "", len = 0;
    else if (rv != APR_SUCCESS)
        return rv;
    if (r->to == REPORT_TO_UNSUBSCRIBE)
        return keeper_unsubscribe_read(r, db, bytes, len, p);
    mg_arf_read(&r->arf, bytes, len, p);
    if (r->to == REPORT_TO_FEEDBACK)
        return keeper_complaint_read(r, db, p);
    return read_to_sender(r, db, bytes, len, p);
}

static void say(const report_t *r)
{
    if (r->lost)
        mg_log(MG_LOG_WARN, MG_ELEASE, "bounce: delivery %" APR_INT64_T_FMT
               ": its result came too late", r->row->id);
    else
        mg_log(MG_LOG_INFO, APR_SUCCESS, "bounce: message %" APR_INT64_T_FMT
               " about message %" APR_INT64_T_FMT "%s: %s%s%s%s%s, %d booked",
               r->row->message_id, r->verp.message_id,
               r->verp.message_id && !r->about ? " (forgotten)" : "", r->said,
               r->arf.type && *r->arf.type ? " of type " : "",
               r->arf.type ? r->arf.type : "",
               r->arf.reporter && *r->arf.reporter ? " by " : "",
               r->arf.reporter ? r->arf.reporter : "", r->booked);
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
    b->tracking = worker_track_keys(worker);
    rv = mg_secret_derive(b->verp_key, worker->secret, "verp");
    if (rv == APR_SUCCESS)
        b->routing = mg_routing_create(worker->domains, worker->shared,
                                       b->verp_key, worker->pool);
    return rv;
}
