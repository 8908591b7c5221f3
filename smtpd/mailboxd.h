/* mailboxd.h - the inside of the mailboxd role.
 *
 * mailboxd.c        sessions, lines, answers (mailboxd_protocol.h)
 * mailboxd_parse.c  a line into a request
 * mailboxd_store.c  a request against the store
 * mailboxd_box.c    who is interested in which mailbox: watches, recounts
 */
#ifndef MAILBOXD_H
#define MAILBOXD_H

#include <apr_hash.h>
#include <apr_ring.h>

#include "conn.h"
#include "mailboxd_parse.h"
#include "mg_group.h"
#include "mg_mailbox.h"
#include "worker.h"

typedef struct mailboxd_t mailboxd_t;
typedef struct mailboxd_session_t mailboxd_session_t;
typedef struct mailboxd_box_t mailboxd_box_t;
typedef struct mailboxd_interest_t mailboxd_interest_t;
typedef struct mailboxd_job_t mailboxd_job_t;

/* One session's interest in one mailbox. */
struct mailboxd_interest_t {
    APR_RING_ENTRY(mailboxd_interest_t) of_box, of_session;
    mailboxd_session_t *session;
    mailboxd_box_t *box;
    int watching;             /* GONE is to be said ... */
    apr_int64_t revision;     /* ... when it is not this any more */
    int counting;             /* LIMITS was answered; a RECOUNT may follow */
    int changed;              /* by somebody since then */
    apr_int64_t newest;       /* as LIMITS said */
    mailboxd_interest_t *next; /* free ones */
};
APR_RING_HEAD(mailboxd_interests_t, mailboxd_interest_t);

struct mailboxd_box_t {
    apr_int64_t id;
    struct mailboxd_interests_t interests;
    mailboxd_box_t *next;     /* free ones */
};

struct mailboxd_session_t {
    APR_RING_ENTRY(mailboxd_session_t) link;
    mailboxd_t *d;
    apr_pool_t *pool;
    conn_t *conn;
    int open;                 /* requests without an answer */
    int n_interests;
    struct mailboxd_interests_t interests;
    int full;                 /* paused: so many are open */
};
APR_RING_HEAD(mailboxd_sessions_t, mailboxd_session_t);

/* One request on its way. */
struct mailboxd_job_t {
    mailboxd_job_t *next;
    mailboxd_t *d;
    mailboxd_session_t *session; /* NULL: hung up meanwhile */
    mailboxd_request_t request;
    mg_unit_t unit;              /* of a change */
    apr_status_t rv;             /* what it came to: MG_EQUOTA, MG_EBUSY ... */
    apr_int64_t reservation;     /* made */
};

struct mailboxd_t {
    worker_t *worker;
    conn_listener_t *listener;
    uid_t uid;                   /* may talk to us, beside root */
    struct mailboxd_sessions_t sessions;
    int n_sessions;
    mailboxd_job_t *changes, **pchange_last;
    mailboxd_job_t *questions, **pquestion_last;
    mailboxd_job_t *free_jobs;
    int leaving;
    loop_job_t leave;
    apr_pool_t *ptemp;           /* of a turn */
    /* mailboxd_box.c */
    apr_hash_t *boxes;           /* id -> mailboxd_box_t */
    mailboxd_box_t *free_boxes;
    mailboxd_interest_t *free_interests;
    struct mailboxd_held_t *free_held;
    apr_hash_t *held;            /* open reservations -> their session */
    apr_uint32_t generation;
    apr_time_t checked_at, tombstones_from;
};

/* mailboxd.c */
void mailboxd_say_gone(mailboxd_session_t *session, apr_int64_t mailbox_id);

/* mailboxd_store.c */
/** Fill in unit: run and is_there of a change. */
void mailboxd_store_prepare(mailboxd_job_t *job);
/** A question: *pfields behind OK, or "". */
apr_status_t mailboxd_store_ask(const char **pfields, mailboxd_job_t *job);
/** A change was committed, or refused: what is kept in memory follows. */
void mailboxd_store_done(mailboxd_job_t *job);

/* mailboxd_box.c */
/** @return NULL if the session has too many */
mailboxd_interest_t *mailboxd_interest_get(mailboxd_session_t *session,
                                           apr_int64_t mailbox_id, int make);
void mailboxd_interest_drop(mailboxd_interest_t *interest);
/** The session ends: its interests, and its reservations lose their holder. */
void mailboxd_session_forget(mailboxd_session_t *session);
/** Somebody reserved or settled: counts under way are worthless. */
void mailboxd_box_changed(mailboxd_t *d, apr_int64_t mailbox_id);
/** Are all its reservations those of the dead? *pdead: is there one such. */
apr_status_t mailboxd_box_reservations(int *plive, int *pdead,
                                       apr_int64_t *pnewest, mailboxd_t *d,
                                       mg_db_t *db, apr_int64_t mailbox_id);
void mailboxd_hold(mailboxd_t *d, apr_int64_t reservation,
                   mailboxd_session_t *session);
void mailboxd_unhold(mailboxd_t *d, apr_int64_t reservation);
/** Each second: who of the watched is gone? */
void mailboxd_look(mailboxd_t *d);

#endif
