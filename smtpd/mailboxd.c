/* mailboxd.c - the mailboxd role: sessions of mail processes
 * (mailboxd_protocol.h). All changes of a turn are one commit. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mailboxd.h"
#include "mg_log.h"
#include "mg_status.h"

#define SESSIONS_MAX 8192

/* answers */

static const struct {
    apr_status_t rv;
    const char *code;
} codes[] = {
    { MG_EQUOTA, "QUOTA" },  { APR_ENOENT, "UNKNOWN" },
    { MG_EBUSY, "BUSY" },    { MG_ELIMIT, "LIMIT" },
};

static void say_no(mailboxd_session_t *session, const char *tag,
                   const char *code, const char *words)
{
    conn_printf(session->conn, "%s\tNO\t%s\t%s\n", *tag ? tag : "*", code,
                words);
}

static void answer(mailboxd_job_t *job, const char *fields)
{
    mailboxd_session_t *session = job->session;
    const char *code = "TEMPORARY", *tag = job->request.tag;
    char words[200];
    size_t i;

    if (!session)
        return;
    session->open--;
    if (job->rv == APR_SUCCESS && job->request.verb == MAILBOXD_RESERVE) {
        conn_printf(session->conn, "%s\tOK\t%" APR_INT64_T_FMT "\n", tag,
                    job->reservation);
        return;
    }
    if (job->rv == APR_SUCCESS) {
        conn_printf(session->conn, "%s\tOK%s\n", tag, fields);
        return;
    }
    for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        /* a locked store is no disturbed recount */
        if (codes[i].rv == job->rv &&
            (job->rv != MG_EBUSY || job->request.verb == MAILBOXD_RECOUNT))
            code = codes[i].code;
    }
    say_no(session, tag, code, mg_strerror(job->rv, words, sizeof(words)));
}

void mailboxd_say_gone(mailboxd_session_t *session, apr_int64_t mailbox_id)
{
    conn_printf(session->conn, "*\tGONE\t%" APR_INT64_T_FMT "\n", mailbox_id);
}

/* jobs */

static mailboxd_job_t *job_new(mailboxd_session_t *session,
                               const mailboxd_request_t *request)
{
    mailboxd_t *d = session->d;
    mailboxd_job_t *job = d->free_jobs;

    if (job)
        d->free_jobs = job->next;
    else
        job = apr_palloc(d->worker->pool, sizeof(*job));
    memset(job, 0, sizeof(*job));
    job->d = d;
    job->session = session;
    job->request = *request;
    session->open++;
    return job;
}

static void job_queue(mailboxd_t *d, mailboxd_job_t *job)
{
    if (job->request.is_change) {
        *d->pchange_last = job;
        d->pchange_last = &job->next;
    }
    else {
        *d->pquestion_last = job;
        d->pquestion_last = &job->next;
    }
}

static void jobs_free(mailboxd_t *d, mailboxd_job_t *jobs)
{
    mailboxd_job_t *next;

    for (; jobs; jobs = next) {
        next = jobs->next;
        jobs->next = d->free_jobs;
        d->free_jobs = jobs;
    }
}

static mailboxd_job_t *jobs_take(mailboxd_job_t **plist,
                                 mailboxd_job_t ***plast)
{
    mailboxd_job_t *jobs = *plist;

    *plist = NULL;
    *plast = plist;
    return jobs;
}

static void commit_changes(mailboxd_t *d, mailboxd_job_t *jobs)
{
    mg_unit_t *units = NULL, **plast = &units;
    mailboxd_job_t *job;
    apr_status_t rv = MG_ELOST;

    for (job = jobs; job; job = job->next) {
        mailboxd_store_prepare(job);
        job->unit.status = MG_ELOST;
        *plast = &job->unit;
        plast = &job->unit.next;
    }
    *plast = NULL;
    if (worker_db_usable(d->worker))
        rv = mg_group_commit(d->worker->db, units, d->ptemp);
    worker_db_check(d->worker, rv);
    for (job = jobs; job; job = job->next) {
        mailboxd_store_done(job);
        answer(job, "");
    }
}

static void answer_questions(mailboxd_t *d, mailboxd_job_t *jobs)
{
    mailboxd_job_t *job;
    const char *fields;

    for (job = jobs; job; job = job->next) {
        if (!job->session)
            continue;
        fields = "";
        job->rv = MG_ELOST;
        if (worker_db_usable(d->worker) ||
            job->request.verb == MAILBOXD_PING) {
            job->rv = mailboxd_store_ask(&fields, job);
            worker_db_check(d->worker, job->rv);
            /* it broke while we were idle, and is there again */
            if (job->rv == MG_ELOST && worker_db_usable(d->worker))
                job->rv = mailboxd_store_ask(&fields, job);
        }
        if (APR_STATUS_IS_ENOENT(job->rv) &&
            job->request.verb == MAILBOXD_WATCH) {
            mailboxd_session_t *session = job->session;

            job->rv = APR_SUCCESS;
            answer(job, "");
            mailboxd_say_gone(session, job->request.mailbox_id);
            continue;
        }
        answer(job, fields);
    }
}

static void check_stopped(mailboxd_t *d);

static void on_turn_end(loop_t *loop, void *baton)
{
    mailboxd_t *d = baton;
    mailboxd_job_t *changes, *questions;
    mailboxd_session_t *session;

    (void)loop;
    if (d->changes || d->questions) {
        changes = jobs_take(&d->changes, &d->pchange_last);
        questions = jobs_take(&d->questions, &d->pquestion_last);
        if (changes)
            commit_changes(d, changes);
        answer_questions(d, questions);
        jobs_free(d, changes);
        jobs_free(d, questions);
        apr_pool_clear(d->ptemp);
        APR_RING_FOREACH(session, &d->sessions, mailboxd_session_t, link)
            if (session->full) {
                session->full = 0;
                conn_pause(session->conn, 0);
            }
    }
    if (d->worker->stopping)
        check_stopped(d);
}

/* sessions */

static void session_end(mailboxd_session_t *session)
{
    mailboxd_t *d = session->d;
    mailboxd_job_t *job;

    for (job = d->changes; job; job = job->next)
        if (job->session == session)
            job->session = NULL;
    for (job = d->questions; job; job = job->next)
        if (job->session == session)
            job->session = NULL;
    mailboxd_session_forget(session);
    APR_RING_REMOVE(session, link);
    d->n_sessions--;
    apr_pool_destroy(session->pool);
}

/* @return false: the session is over */
static int take_request(mailboxd_session_t *session, char *line)
{
    mailboxd_request_t request;
    const char *wrong = mailboxd_parse(&request, line);

    if (!wrong) {
        job_queue(session->d, job_new(session, &request));
        return 1;
    }
    mg_log(MG_LOG_WARN, APR_SUCCESS, "mailboxd: a mail process asked "
           "nonsense: %s", wrong);
    say_no(session, request.tag, "SYNTAX", wrong);
    conn_finish(session->conn);
    session_end(session);
    return 0;
}

static void on_input(conn_t *conn, void *baton)
{
    mailboxd_session_t *session = baton;
    char line[MAILBOXD_LINE_MAX + 1];
    const char *input, *lf;
    apr_size_t len;

    for (;;) {
        input = conn_peek(conn, &len);
        lf = memchr(input, '\n', len < sizeof(line) ? len : sizeof(line));
        if (!lf && len < MAILBOXD_LINE_MAX)
            return;
        if (!lf) {
            line[0] = '\0'; /* too long: no tag in it, says the parser */
            take_request(session, line);
            return;
        }
        if (session->open >= MAILBOXD_OPEN_MAX) {
            session->full = 1;
            conn_pause(conn, 1);
            return;
        }
        len = (apr_size_t)(lf - input);
        memcpy(line, input, len);
        line[len] = '\0';
        conn_skip(conn, len + 1);
        if (strlen(line) != len)
            line[0] = '\0';
        if (!take_request(session, line))
            return;
    }
}

static void on_close(conn_t *conn, apr_status_t rv, void *baton)
{
    (void)conn;
    (void)rv;
    session_end(baton);
}

static const conn_events_t events = { on_input, NULL, NULL, on_close };

static int may_talk(const mailboxd_t *d, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return 0;
    if (peer.uid == 0 || peer.uid == d->uid)
        return 1;
    mg_log(MG_LOG_WARN, APR_SUCCESS, "mailboxd: uid %d (pid %d) may not talk "
           "to us", (int)peer.uid, (int)peer.pid);
    return 0;
}

static void on_accept(int fd, const struct sockaddr *peer, socklen_t len,
                      void *baton)
{
    mailboxd_t *d = baton;
    mailboxd_session_t *session;
    apr_pool_t *p;

    (void)peer;
    (void)len;
    if (!may_talk(d, fd) || d->n_sessions >= SESSIONS_MAX) {
        close(fd);
        return;
    }
    apr_pool_create(&p, d->worker->pool);
    session = apr_pcalloc(p, sizeof(*session));
    session->d = d;
    session->pool = p;
    APR_RING_INIT(&session->interests, mailboxd_interest_t, of_session);
    APR_RING_INSERT_TAIL(&d->sessions, session, mailboxd_session_t, link);
    d->n_sessions++;
    session->conn = conn_create(d->worker->loop, fd, &events, session, p);
}

/* the role */

/* Idle connections are closed: mail processes connect again, to the next
 * mailboxd. What was asked is answered first. */
static void check_stopped(mailboxd_t *d)
{
    mailboxd_session_t *s, *next;

    for (s = APR_RING_FIRST(&d->sessions);
         s != APR_RING_SENTINEL(&d->sessions, mailboxd_session_t, link);
         s = next) {
        next = APR_RING_NEXT(s, link);
        if (s->open)
            continue;
        conn_finish(s->conn);
        session_end(s);
    }
    if (!d->n_sessions && !d->leaving) {
        /* after the flushes of this turn */
        d->leaving = 1;
        loop_late(d->worker->loop, &d->leave);
    }
}

static void leave(loop_t *loop, void *baton)
{
    (void)loop;
    worker_done(baton);
}

static void on_stop(worker_t *worker)
{
    mailboxd_t *d = worker->role_data;

    conn_listen_stop(d->listener);
    loop_again(worker->loop); /* the turn's end does the rest */
}

static void on_bell(worker_t *worker)
{
    mailboxd_look(worker->role_data);
}

apr_status_t mailboxd_start(worker_t *worker)
{
    mailboxd_t *d = apr_pcalloc(worker->pool, sizeof(*d));

    d->worker = worker;
    d->uid = geteuid();
    d->pchange_last = &d->changes;
    d->pquestion_last = &d->questions;
    APR_RING_INIT(&d->sessions, mailboxd_session_t, link);
    d->boxes = apr_hash_make(worker->pool);
    d->held = apr_hash_make(worker->pool);
    d->leave.fn = leave;
    d->leave.baton = worker;
    d->generation = mg_shared_generation(worker->shared);
    d->tombstones_from = 0;
    apr_pool_create(&d->ptemp, worker->pool);
    worker->role_data = d;
    worker->on_bell = on_bell;
    worker->on_stop = on_stop;
    loop_at_turn_end(worker->loop, on_turn_end, d);
    return conn_listen_accept(&d->listener, worker->loop, worker->mailboxd_fd,
                              on_accept, d);
}
