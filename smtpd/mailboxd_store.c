/* mailboxd_store.c - requests of mail processes against the store.
 *
 * A change that is refused (no room, no mailbox, busy) is no failure of its
 * unit: the others of the batch need not be run again for it. */
#include <apr_strings.h>

#include "mailboxd.h"
#include "mg_fault.h"
#include "mg_id.h"
#include "mg_saved_delivery.h"
#include "mg_status.h"
#include "mg_time.h"

/* changes */

static apr_status_t run_reserve(mg_db_t *db, mailboxd_job_t *job)
{
    const mailboxd_request_t *r = &job->request;
    worker_t *worker = job->d->worker;
    char owner[MAILBOXD_OWNER_MAX + 300];
    apr_status_t rv;

    apr_snprintf(owner, sizeof(owner), "%s:%s", worker->node, r->owner);
    rv = mg_quota_reserve(&job->reservation, db, r->mailbox_id, r->bytes,
                          r->messages, worker->config->mailbox_quota, owner);
    if (rv == MG_EQUOTA || APR_STATUS_IS_ENOENT(rv)) {
        job->rv = rv;
        return APR_SUCCESS;
    }
    if (rv == APR_SUCCESS && r->delivery_id)
        rv = mg_saved_begin(db, r->mailbox_id, r->delivery_id);
    return rv;
}

static apr_status_t run_settle(mg_db_t *db, mailboxd_job_t *job)
{
    const mailboxd_request_t *r = &job->request;
    apr_int64_t was_there = 1;
    apr_status_t rv = APR_SUCCESS;

    if (r->reservation)
        rv = mg_db_exec(db, &was_there,
                        "DELETE FROM quota_reservation WHERE id = $1"
                        " AND mailbox_id = $2", "ii", r->reservation,
                        r->mailbox_id);
    if (rv == APR_SUCCESS && was_there)
        rv = mg_quota_settle(db, 0, r->mailbox_id, r->bytes, r->messages);
    if (rv == APR_SUCCESS && r->delivery_id)
        rv = mg_saved_add(db, r->mailbox_id, r->delivery_id);
    return rv;
}

static apr_status_t run_recount(mg_db_t *db, mailboxd_job_t *job)
{
    const mailboxd_request_t *r = &job->request;
    int live, dead;
    apr_int64_t newest;
    apr_status_t rv;

    rv = mailboxd_box_reservations(&live, &dead, &newest, job->d, db,
                                   r->mailbox_id);
    if (rv != APR_SUCCESS)
        return rv;
    if (live) {
        job->rv = MG_EBUSY;
        return APR_SUCCESS;
    }
    return mg_quota_recount(db, r->mailbox_id, r->bytes, r->messages,
                            r->newest);
}

static apr_status_t run_change(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    mailboxd_job_t *job = baton;

    (void)ptemp;
    if (job->rv == MG_EBUSY && job->request.verb == MAILBOXD_RECOUNT)
        return APR_SUCCESS;
    job->rv = APR_SUCCESS;
    switch (job->request.verb) {
    case MAILBOXD_RESERVE:
        return run_reserve(db, job);
    case MAILBOXD_SETTLE:
        return run_settle(db, job);
    case MAILBOXD_RELEASE:
        return mg_quota_release(db, job->request.reservation);
    case MAILBOXD_RECOUNT:
        return run_recount(db, job);
    case MAILBOXD_SAVE:
        return mg_saved_add(db, job->request.mailbox_id,
                            job->request.delivery_id);
    default:
        return APR_EINVAL;
    }
}

static apr_status_t reservation_exists(mg_db_t *db, apr_int64_t id)
{
    apr_int64_t found;

    return mg_db_get_int(db, &found,
                         "SELECT 1 FROM quota_reservation WHERE id = $1",
                         "i", id);
}

/* A COMMIT without an answer. What may be run twice says no; an expunge's
 * deltas may not, and leave no trace that tells: the mailbox is marked to be
 * counted anew instead. */
static apr_status_t is_there(mg_db_t *db, void *baton)
{
    mailboxd_job_t *job = baton;
    const mailboxd_request_t *r = &job->request;

    if (r->verb == MAILBOXD_RESERVE && job->reservation)
        return reservation_exists(db, job->reservation);
    if (r->verb != MAILBOXD_SETTLE || r->reservation)
        return APR_ENOENT;
    return mg_db_exec(db, NULL,
                      "INSERT INTO quota_reservation (id, mailbox_id,"
                      " domain_id, bytes, messages, owner, created_at)"
                      " SELECT $1, b.id, b.domain_id, 0, 0, '', $2"
                      " FROM mailbox b WHERE b.id = $3"
                      " AND b.deleted_at IS NULL",
                      "iii", mg_id_next(), (apr_int64_t)mg_now(),
                      r->mailbox_id);
}

void mailboxd_store_prepare(mailboxd_job_t *job)
{
    const mailboxd_request_t *r = &job->request;
    mailboxd_interest_t *interest;

    job->rv = APR_SUCCESS;
    job->unit.run = run_change;
    job->unit.is_there = is_there;
    job->unit.baton = job;
    if (r->verb == MAILBOXD_RESERVE || r->verb == MAILBOXD_SETTLE)
        mailboxd_box_changed(job->d, r->mailbox_id);
    if (r->verb != MAILBOXD_RECOUNT)
        return;
    /* counted on what LIMITS said, and nothing happened since? */
    interest = job->session ? mailboxd_interest_get(job->session,
                                                    r->mailbox_id, 0) : NULL;
    if (!interest || !interest->counting || interest->changed ||
        interest->newest != r->newest)
        job->rv = MG_EBUSY;
    if (interest)
        interest->counting = 0;
}

void mailboxd_store_done(mailboxd_job_t *job)
{
    const mailboxd_request_t *r = &job->request;

    if (job->unit.status != APR_SUCCESS) {
        job->rv = job->unit.status;
        return;
    }
    if (job->rv != APR_SUCCESS)
        return;
    if (r->verb == MAILBOXD_RESERVE) {
        MG_FAULT("mailboxd.reserve.after");
        if (job->session)
            mailboxd_hold(job->d, job->reservation, job->session);
    }
    else if (r->reservation) {
        mailboxd_unhold(job->d, r->reservation);
    }
}

/* questions */

static apr_status_t ask_limits(const char **pfields, mailboxd_job_t *job)
{
    mailboxd_t *d = job->d;
    mg_db_t *db = d->worker->db;
    apr_int64_t id = job->request.mailbox_id, newest = 0;
    mailboxd_interest_t *interest;
    int live, dead;
    mg_quota_t q;
    apr_status_t rv;

    rv = mg_quota_get(&q, db, id, d->worker->config->mailbox_quota);
    if (rv == APR_SUCCESS)
        rv = mailboxd_box_reservations(&live, &dead, &newest, d, db, id);
    if (rv != APR_SUCCESS)
        return rv;
    interest = mailboxd_interest_get(job->session, id, 1);
    if (interest) {
        interest->counting = 1;
        interest->changed = 0;
        interest->newest = newest;
    }
#define N "%" APR_INT64_T_FMT
    *pfields = apr_psprintf(d->ptemp, "\t" N "\t" N "\t" N "\t" N "\t" N
                            "\t%d\t" N, q.used_bytes, q.used_messages,
                            q.limit_bytes, q.domain_used_bytes,
                            q.domain_limit_bytes, q.dirty || dead, newest);
#undef N
    return APR_SUCCESS;
}

static apr_status_t ask_seen(const char **pfields, mailboxd_job_t *job)
{
    const mailboxd_request_t *r = &job->request;
    int state;
    apr_status_t rv;

    rv = mg_saved_find(&state, job->d->worker->db, r->mailbox_id,
                       r->delivery_id);
    if (rv == APR_SUCCESS)
        *pfields = apr_psprintf(job->d->ptemp, "\t%d", state);
    return rv;
}

/* OK even if it is gone: GONE follows. */
static apr_status_t ask_watch(mailboxd_job_t *job)
{
    apr_int64_t id = job->request.mailbox_id;
    mailboxd_interest_t *interest;
    mg_mailbox_t *mailbox;
    apr_status_t rv;

    rv = mg_mailbox_by_id(&mailbox, job->d->worker->db, id, job->d->ptemp);
    if (rv != APR_SUCCESS)
        return rv;
    if (job->request.revision && job->request.revision != mailbox->revision)
        return APR_ENOENT;
    interest = mailboxd_interest_get(job->session, id, 1);
    if (!interest)
        return MG_ELIMIT;
    interest->watching = 1;
    interest->revision = mailbox->revision;
    return APR_SUCCESS;
}

static apr_status_t stop_watching(mailboxd_job_t *job)
{
    mailboxd_interest_t *interest =
        mailboxd_interest_get(job->session, job->request.mailbox_id, 0);

    if (interest)
        mailboxd_interest_drop(interest);
    return APR_SUCCESS;
}

apr_status_t mailboxd_store_ask(const char **pfields, mailboxd_job_t *job)
{
    *pfields = "";
    switch (job->request.verb) {
    case MAILBOXD_LIMITS:
        return ask_limits(pfields, job);
    case MAILBOXD_SEEN:
        return ask_seen(pfields, job);
    case MAILBOXD_WATCH:
        return ask_watch(job);
    case MAILBOXD_UNWATCH:
        return stop_watching(job);
    case MAILBOXD_PING:
        return APR_SUCCESS;
    default:
        return APR_EINVAL;
    }
}
