/* mg_leader.c - group commit and readers for threads (mg_group.h). */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <apr_allocator.h>
#include <apr_strings.h>
#include "mg_fault.h"
#include "mg_group.h"
#include "mg_status.h"
#include "mg_time.h"

/* Units in one transaction: bounds how long the line is held. */
#define BATCH_MAX 200

/* One thread in mg_leader_run(), on its stack. It is woken once, when its unit
 * is settled or it shall lead, and then needs no lock: dozens that wake at once
 * would stand in line for one. */
typedef struct waiter_t waiter_t;
struct waiter_t {
    mg_unit_t *unit;
    int lead;
    sem_t wake;
    waiter_t *next;
};

typedef struct reader_t reader_t;
struct reader_t {
    mg_db_t *db;
    apr_pool_t *pool;
    int lent;
    reader_t *next;
};

struct mg_leader_t {
    apr_pool_t *pool;
    const char *url;
    int flags;
    pid_t pid;
    pthread_mutex_t lock;

    /* the lead */
    mg_db_t *db;             /* whose turn it is; nobody else touches it */
    apr_pool_t *write_pool;  /* of db; its own allocator */
    waiter_t *first, **plast;
    int busy;                /* somebody leads, or was told to */
    int inside;              /* units that are not settled */
    int draining;
    pthread_cond_t empty;

    /* readers */
    reader_t *readers;
    int nreaders;
    pthread_cond_t returned;

    char error[1024];
};

/* A pool used by one thread after the other must not share an allocator with
 * pools of threads that run at the same time. */
static apr_pool_t *own_pool(void)
{
    apr_allocator_t *allocator;
    apr_pool_t *pool = NULL;

    if (apr_allocator_create(&allocator) != APR_SUCCESS)
        return NULL;
    if (apr_pool_create_unmanaged_ex(&pool, NULL, allocator) != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return NULL;
    }
    apr_allocator_owner_set(allocator, pool);
    return pool;
}

static void keep_error(mg_leader_t *leader, const char *words)
{
    apr_cpystrn(leader->error, words, sizeof(leader->error));
}

/* --- the lead --- */

/* Takes up to BATCH_MAX waiters off the line; their units are chained. */
static waiter_t *take_batch(mg_leader_t *leader, int *pn)
{
    waiter_t *batch = leader->first, *w = batch;
    int n = 1;

    while (w->next && n < BATCH_MAX) {
        w->unit->next = w->next->unit;
        w = w->next;
        n++;
    }
    w->unit->next = NULL;
    leader->first = w->next;
    if (!leader->first)
        leader->plast = &leader->first;
    w->next = NULL;
    *pn = n;
    return batch;
}

/* w is gone once its thread wakes. */
static void wake_all(waiter_t *w)
{
    waiter_t *next;

    for (; w; w = next) {
        next = w->next;
        sem_post(&w->wake);
    }
}

/* No transaction can be had: so it is for all. */
static apr_status_t refuse_all(waiter_t *w, apr_status_t rv)
{
    for (; w; w = w->next)
        w->unit->status = rv;
    return rv;
}

/* Called with the lock, which is given back. The first of the batch is us.
 *
 * Our turn in the line of writers is waited for before the batch is taken: who
 * comes meanwhile is part of it, and who will not wait so long can still go. */
static void lead(mg_leader_t *leader)
{
    waiter_t *batch, *successor;
    apr_status_t rv;
    int n;

    pthread_mutex_unlock(&leader->lock);
    rv = mg_tx_begin(leader->db, MG_TX_WRITE);
    pthread_mutex_lock(&leader->lock);
    batch = take_batch(leader, &n);
    pthread_mutex_unlock(&leader->lock);
    if (rv == APR_SUCCESS || rv == MG_ELOST)
        rv = mg_group_commit(leader->db, batch->unit, leader->write_pool);
    else
        rv = refuse_all(batch, rv);
    (void)!MG_FAULT("leader.commit.after");
    pthread_mutex_lock(&leader->lock);
    if (rv != APR_SUCCESS || batch->unit->status != APR_SUCCESS)
        keep_error(leader, mg_db_error(leader->db));
    successor = leader->first;
    if (successor)
        successor->lead = 1;
    else
        leader->busy = 0;
    leader->inside -= n;
    if (leader->inside == 0 && leader->draining)
        pthread_cond_broadcast(&leader->empty);
    pthread_mutex_unlock(&leader->lock);
    if (successor)
        sem_post(&successor->wake);
    wake_all(batch->next);
}

/* w is taken out of the line; 0: it is not there any more. */
static int take_back(mg_leader_t *leader, waiter_t *w)
{
    waiter_t **pw;

    for (pw = &leader->first; *pw && *pw != w; pw = &(*pw)->next)
        ;
    if (!*pw)
        return 0;
    *pw = w->next;
    if (leader->plast == &w->next)
        leader->plast = pw;
    leader->inside--;
    if (leader->inside == 0 && leader->draining)
        pthread_cond_broadcast(&leader->empty);
    return 1;
}

/* Until we are woken. @return 0: not within that time (0: any), and nobody has
 * anything of us any more */
static int wait_for_wake(mg_leader_t *leader, waiter_t *me,
                         apr_interval_time_t within)
{
    struct timespec deadline;
    int gone = 0, failed;

    mg_time_deadline(&deadline, within);
    do
        failed = within ? sem_clockwait(&me->wake, CLOCK_MONOTONIC, &deadline)
                        : sem_wait(&me->wake);
    while (failed && errno == EINTR);
    if (!failed)
        return 1;
    pthread_mutex_lock(&leader->lock);
    if (!me->lead)
        gone = take_back(leader, me);
    pthread_mutex_unlock(&leader->lock);
    return gone ? 0 : wait_for_wake(leader, me, 0); /* it is under way */
}

apr_status_t mg_leader_run(mg_leader_t *leader, mg_unit_t *unit)
{
    return mg_leader_run_within(leader, unit, 0);
}

apr_status_t mg_leader_run_within(mg_leader_t *leader, mg_unit_t *unit,
                                  apr_interval_time_t wait)
{
    waiter_t me = { .unit = unit };

    pthread_mutex_lock(&leader->lock);
    if (leader->draining) {
        pthread_mutex_unlock(&leader->lock);
        return unit->status = MG_EBUSY;
    }
    sem_init(&me.wake, 0, 0);
    leader->inside++;
    *leader->plast = &me;
    leader->plast = &me.next;
    if (!leader->busy) {
        leader->busy = 1;
        me.lead = 1;
    } else {
        pthread_mutex_unlock(&leader->lock);
        if (!wait_for_wake(leader, &me, wait)) {
            sem_destroy(&me.wake);
            return unit->status = MG_EBUSY;
        }
        if (me.lead)
            pthread_mutex_lock(&leader->lock);
    }
    if (me.lead)
        lead(leader);
    sem_destroy(&me.wake);
    return unit->status;
}

char *mg_leader_error(mg_leader_t *leader, apr_pool_t *p)
{
    char *words;

    pthread_mutex_lock(&leader->lock);
    words = apr_pstrdup(p, leader->error);
    pthread_mutex_unlock(&leader->lock);
    return words;
}

void mg_leader_drain(mg_leader_t *leader)
{
    pthread_mutex_lock(&leader->lock);
    leader->draining = 1;
    while (leader->inside > 0)
        pthread_cond_wait(&leader->empty, &leader->lock);
    pthread_mutex_unlock(&leader->lock);
}

/* --- readers --- */

/* With the lock; NULL: none is free and no more may be opened. */
static reader_t *take_reader(mg_leader_t *leader)
{
    reader_t *r;

    for (r = leader->readers; r; r = r->next) {
        if (!r->lent) {
            r->lent = 1;
            return r;
        }
    }
    if (leader->nreaders >= MG_LEADER_READERS)
        return NULL;
    r = apr_pcalloc(leader->pool, sizeof(*r));
    r->lent = 1;
    r->next = leader->readers;
    leader->readers = r;
    leader->nreaders++;
    return r;
}

/* r is lent to us; only its pointer to the store is looked at by others. */
static apr_status_t reader_ready(reader_t *r, mg_leader_t *leader)
{
    int flags = (leader->flags & MG_DB_ANY_SCHEMA) | MG_DB_READONLY;
    mg_db_t *db;
    apr_status_t rv;

    if (r->db)
        return mg_db_alive(r->db) == APR_SUCCESS ? APR_SUCCESS
                                                 : mg_db_reconnect(r->db);
    r->pool = own_pool();
    if (!r->pool)
        return APR_ENOMEM;
    rv = mg_db_open(&db, leader->url, flags, r->pool);
    pthread_mutex_lock(&leader->lock);
    r->db = db;
    pthread_mutex_unlock(&leader->lock);
    return rv;
}

apr_status_t mg_leader_reader(mg_db_t **pdb, mg_leader_t *leader)
{
    reader_t *r;
    apr_status_t rv;

    *pdb = NULL;
    pthread_mutex_lock(&leader->lock);
    while ((r = take_reader(leader)) == NULL)
        pthread_cond_wait(&leader->returned, &leader->lock);
    pthread_mutex_unlock(&leader->lock);

    rv = reader_ready(r, leader);
    if (rv == APR_SUCCESS) {
        *pdb = r->db;
        return APR_SUCCESS;
    }
    pthread_mutex_lock(&leader->lock);
    if (r->db)
        keep_error(leader, mg_db_error(r->db));
    r->lent = 0; /* kept as it is: the next borrower connects */
    pthread_cond_signal(&leader->returned);
    pthread_mutex_unlock(&leader->lock);
    return rv;
}

void mg_leader_reader_done(mg_leader_t *leader, mg_db_t *db)
{
    reader_t *r;

    if (!db)
        return;
    mg_db_reset(db);
    pthread_mutex_lock(&leader->lock);
    for (r = leader->readers; r; r = r->next) {
        if (r->db == db) {
            r->lent = 0;
            pthread_cond_signal(&leader->returned);
            break;
        }
    }
    pthread_mutex_unlock(&leader->lock);
}

/* --- its life --- */

static apr_status_t close_leader(void *data)
{
    mg_leader_t *leader = data;
    reader_t *r;

    if (leader->pid != getpid())
        return APR_SUCCESS; /* a forked child: threads and store are not ours */
    mg_leader_drain(leader);
    for (r = leader->readers; r; r = r->next)
        if (r->pool)
            apr_pool_destroy(r->pool);
    apr_pool_destroy(leader->write_pool);
    pthread_cond_destroy(&leader->returned);
    pthread_cond_destroy(&leader->empty);
    pthread_mutex_destroy(&leader->lock);
    apr_pool_destroy(leader->pool);
    return APR_SUCCESS;
}

apr_status_t mg_leader_create(mg_leader_t **pleader, const char *url,
                              int flags, apr_pool_t *p)
{
    apr_pool_t *pool = own_pool(), *write_pool = own_pool();
    mg_leader_t *leader;
    apr_status_t rv;

    *pleader = NULL;
    if (!pool || !write_pool)
        return APR_ENOMEM;
    leader = apr_pcalloc(pool, sizeof(*leader));
    leader->pool = pool;
    leader->write_pool = write_pool;
    leader->url = apr_pstrdup(pool, url);
    leader->flags = flags;
    leader->pid = getpid();
    leader->plast = &leader->first;
    pthread_mutex_init(&leader->lock, NULL);
    pthread_cond_init(&leader->empty, NULL);
    pthread_cond_init(&leader->returned, NULL);
    apr_pool_cleanup_register(p, leader, close_leader,
                              apr_pool_cleanup_null);
    *pleader = leader;
    rv = mg_db_open(&leader->db, url, flags, write_pool);
    if (rv != APR_SUCCESS)
        keep_error(leader, mg_db_error(leader->db));
    return rv;
}
