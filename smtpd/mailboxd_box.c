/* mailboxd_box.c - who is interested in which mailbox; whose reservations are
 * still somebody's. */
#include <string.h>

#include <apr_strings.h>

#include "mailboxd.h"
#include "mg_status.h"
#include "mg_time.h"

#define LOOK_AT_ALL apr_time_from_sec(10) /* other nodes bump no generation */
#define TOMBSTONES_BACK apr_time_from_sec(15) /* clocks of nodes differ */

/* interests */

static mailboxd_box_t *box_get(mailboxd_t *d, apr_int64_t id, int make)
{
    mailboxd_box_t *box = apr_hash_get(d->boxes, &id, sizeof(id));

    if (box || !make)
        return box;
    box = d->free_boxes;
    if (box)
        d->free_boxes = box->next;
    else
        box = apr_palloc(d->worker->pool, sizeof(*box));
    memset(box, 0, sizeof(*box));
    box->id = id;
    APR_RING_INIT(&box->interests, mailboxd_interest_t, of_box);
    apr_hash_set(d->boxes, &box->id, sizeof(box->id), box);
    return box;
}

static void box_put(mailboxd_t *d, mailboxd_box_t *box)
{
    if (!APR_RING_EMPTY(&box->interests, mailboxd_interest_t, of_box))
        return;
    apr_hash_set(d->boxes, &box->id, sizeof(box->id), NULL);
    box->next = d->free_boxes;
    d->free_boxes = box;
}

/* The oldest that only counted makes place. */
static int make_place(mailboxd_session_t *session)
{
    mailboxd_interest_t *i;

    if (session->n_interests < MAILBOXD_WATCH_MAX)
        return 1;
    APR_RING_FOREACH(i, &session->interests, mailboxd_interest_t, of_session) {
        if (!i->watching) {
            mailboxd_interest_drop(i);
            return 1;
        }
    }
    return 0;
}

mailboxd_interest_t *mailboxd_interest_get(mailboxd_session_t *session,
                                           apr_int64_t mailbox_id, int make)
{
    mailboxd_t *d = session->d;
    mailboxd_interest_t *i;

    APR_RING_FOREACH(i, &session->interests, mailboxd_interest_t, of_session) {
        if (i->box->id == mailbox_id)
            return i;
    }
    if (!make || !make_place(session))
        return NULL;
    i = d->free_interests;
    if (i)
        d->free_interests = i->next;
    else
        i = apr_palloc(d->worker->pool, sizeof(*i));
    memset(i, 0, sizeof(*i));
    i->session = session;
    i->box = box_get(d, mailbox_id, 1);
    APR_RING_INSERT_TAIL(&i->box->interests, i, mailboxd_interest_t, of_box);
    APR_RING_INSERT_TAIL(&session->interests, i, mailboxd_interest_t,
                         of_session);
    session->n_interests++;
    return i;
}

void mailboxd_interest_drop(mailboxd_interest_t *i)
{
    mailboxd_t *d = i->session->d;

    APR_RING_REMOVE(i, of_box);
    APR_RING_REMOVE(i, of_session);
    i->session->n_interests--;
    box_put(d, i->box);
    i->next = d->free_interests;
    d->free_interests = i;
}

void mailboxd_box_changed(mailboxd_t *d, apr_int64_t mailbox_id)
{
    mailboxd_box_t *box = box_get(d, mailbox_id, 0);
    mailboxd_interest_t *i;

    if (!box)
        return;
    APR_RING_FOREACH(i, &box->interests, mailboxd_interest_t, of_box)
        i->changed = 1;
}

/* reservations */

typedef struct mailboxd_held_t held_t;
struct mailboxd_held_t {
    apr_int64_t id;
    mailboxd_session_t *session;
    held_t *next;              /* free ones */
};

void mailboxd_hold(mailboxd_t *d, apr_int64_t reservation,
                   mailboxd_session_t *session)
{
    held_t *held = d->free_held;

    if (held)
        d->free_held = held->next;
    else
        held = apr_palloc(d->worker->pool, sizeof(*held));
    held->id = reservation;
    held->session = session;
    apr_hash_set(d->held, &held->id, sizeof(held->id), held);
}

void mailboxd_unhold(mailboxd_t *d, apr_int64_t reservation)
{
    held_t *held = apr_hash_get(d->held, &reservation, sizeof(reservation));

    if (!held)
        return;
    apr_hash_set(d->held, &held->id, sizeof(held->id), NULL);
    held->next = d->free_held;
    d->free_held = held;
}

void mailboxd_session_forget(mailboxd_session_t *session)
{
    mailboxd_t *d = session->d;
    apr_hash_index_t *hi;

    while (!APR_RING_EMPTY(&session->interests, mailboxd_interest_t,
                           of_session))
        mailboxd_interest_drop(APR_RING_FIRST(&session->interests));
    /* deleting the current entry is allowed */
    for (hi = apr_hash_first(NULL, d->held); hi; hi = apr_hash_next(hi)) {
        held_t *held = apr_hash_this_val(hi);

        if (held->session == session)
            mailboxd_unhold(d, held->id);
    }
}

/* One that is held by a connection, or whose process lives: it may reconnect
 * and settle, but no save takes MG_QUOTA_STALE_AFTER: of a mailboxd that died
 * between COMMIT and answer its process knows nothing. Of other nodes' we only
 * know the age (mg_quota_get). */
static int is_live(mailboxd_t *d, apr_int64_t id, const char *owner,
                   apr_time_t created_at)
{
    const char *node = d->worker->node, *owners_node;
    apr_uint64_t start;
    apr_size_t len;
    pid_t pid;

    if (apr_hash_get(d->held, &id, sizeof(id)))
        return 1;
    if (created_at < mg_now() - MG_QUOTA_STALE_AFTER)
        return 0;
    if (!mailboxd_owner_parse(&pid, &start, &owners_node, &len, owner))
        return 0;
    if (len && (len != strlen(node) || memcmp(owners_node, node, len) != 0))
        return 1;
    return mailboxd_owner_alive(pid, start);
}

apr_status_t mailboxd_box_reservations(int *plive, int *pdead,
                                       apr_int64_t *pnewest, mailboxd_t *d,
                                       mg_db_t *db, apr_int64_t mailbox_id)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plive = *pdead = 0;
    *pnewest = 0;
    rv = mg_db_query(&stmt, db,
                     "SELECT id, owner, created_at FROM quota_reservation"
                     " WHERE mailbox_id = $1 ORDER BY id", "i", mailbox_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        apr_int64_t id = mg_stmt_int(stmt, 0);

        if (is_live(d, id, mg_stmt_text(stmt, 1, d->ptemp),
                    mg_stmt_int(stmt, 2)))
            *plive += 1;
        else
            *pdead += 1;
        if (id > *pnewest)
            *pnewest = id;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* watching */

/* Tell those who watch it as it was before; revision 0: all. */
static void box_gone(mailboxd_box_t *box, apr_int64_t revision)
{
    mailboxd_interest_t *i, *next;
    apr_int64_t id = box->id;

    /* the box goes with its last interest */
    for (i = APR_RING_FIRST(&box->interests);
         i != APR_RING_SENTINEL(&box->interests, mailboxd_interest_t, of_box);
         i = next) {
        int last = 0;

        next = APR_RING_NEXT(i, of_box);
        last = next == APR_RING_SENTINEL(&box->interests, mailboxd_interest_t,
                                         of_box);
        if (i->watching && (!revision || i->revision != revision)) {
            mailboxd_say_gone(i->session, id);
            mailboxd_interest_drop(i);
        }
        if (last)
            return;
    }
}

static void check_box(mailboxd_t *d, mailboxd_box_t *box)
{
    mg_mailbox_t *mailbox;
    apr_status_t rv;

    rv = mg_mailbox_by_id(&mailbox, d->worker->db, box->id, d->ptemp);
    worker_db_check(d->worker, rv);
    if (APR_STATUS_IS_ENOENT(rv)) {
        box_gone(box, 0);
        return;
    }
    if (rv == APR_SUCCESS)
        box_gone(box, mailbox->revision);
}

static void check_all(mailboxd_t *d)
{
    apr_array_header_t *ids = apr_array_make(d->ptemp, 64,
                                             sizeof(apr_int64_t));
    apr_hash_index_t *hi;
    mailboxd_box_t *box;
    int i;

    for (hi = apr_hash_first(d->ptemp, d->boxes); hi; hi = apr_hash_next(hi)) {
        box = apr_hash_this_val(hi);
        APR_ARRAY_PUSH(ids, apr_int64_t) = box->id;
    }
    for (i = 0; i < ids->nelts && worker_db_usable(d->worker); i++) {
        box = box_get(d, APR_ARRAY_IDX(ids, i, apr_int64_t), 0);
        if (box)
            check_box(d, box);
    }
}

static void check_tombstones(mailboxd_t *d)
{
    apr_array_header_t *ids = apr_array_make(d->ptemp, 8,
                                             sizeof(apr_int64_t));
    apr_time_t now = mg_now();
    mailboxd_box_t *box;
    mg_stmt_t *stmt;
    apr_status_t rv;
    int i;

    rv = mg_db_query(&stmt, d->worker->db,
                     "SELECT id FROM mailbox WHERE deleted_at >= $1"
                     " AND deleted_at IS NOT NULL",
                     "i", (apr_int64_t)d->tombstones_from);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(ids, apr_int64_t) = mg_stmt_int(stmt, 0);
    if (rv != APR_EOF) {
        worker_db_check(d->worker, rv);
        return;
    }
    worker_db_check(d->worker, APR_SUCCESS);
    d->tombstones_from = now - TOMBSTONES_BACK;
    for (i = 0; i < ids->nelts; i++) {
        box = box_get(d, APR_ARRAY_IDX(ids, i, apr_int64_t), 0);
        if (box)
            box_gone(box, 0);
    }
}

void mailboxd_look(mailboxd_t *d)
{
    apr_uint32_t generation = mg_shared_generation(d->worker->shared);
    apr_time_t now = mg_ticks();

    if (!worker_db_usable(d->worker) || !apr_hash_count(d->boxes))
        return;
    if (generation != d->generation || now - d->checked_at > LOOK_AT_ALL) {
        d->generation = generation;
        d->checked_at = now;
        check_all(d);
    }
    else {
        check_tombstones(d);
    }
    apr_pool_clear(d->ptemp);
}
