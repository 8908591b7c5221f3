/* mg_group.h - group commit (design 3): many units of work, one fsync.
 *
 * A unit is one message accepted, one batch of results, one API change. It
 * runs inside a transaction together with others; if the batch fails, the
 * units are replayed one by one, so that one bad unit fails alone: run() may
 * be called more than once and must start from the same state each time.
 *
 * A unit that fails with MG_ECONFLICT runs once more: ids it draws itself are
 * others then. One whose ids are fixed fails again, and the caller draws anew.
 *
 * A COMMIT whose answer was lost: reconnect, ask each unit is_there(), and
 * replay only those that are not. run() therefore keeps its ids.
 */
#ifndef MG_GROUP_H
#define MG_GROUP_H

#include "mg_db.h"

typedef struct mg_unit_t mg_unit_t;
struct mg_unit_t {
    apr_status_t (*run)(mg_db_t *db, void *baton, apr_pool_t *ptemp);
    /** APR_SUCCESS: this unit's id exists; APR_ENOENT: it does not. NULL for
     * units that may be run twice without harm. */
    apr_status_t (*is_there)(mg_db_t *db, void *baton);
    void *baton;
    apr_status_t status;   /* out: the unit's own result, committed or not */
    mg_unit_t *next;
};

/** For event loops: run and commit a list of units now, in a transaction that
 * may be open already. Each unit's status is
 * set; the result is APR_SUCCESS if the store worked, whatever units said. */
apr_status_t mg_group_commit(mg_db_t *db, mg_unit_t *units, apr_pool_t *p);

/* --- for threads (mg_leader.c) ---
 *
 * Threads hand over their unit and wait. One of them leads: it commits all
 * that wait, its own among them, and passes the lead to one that came
 * meanwhile. There is no thread besides, so nothing has to be stopped.
 */
typedef struct mg_leader_t mg_leader_t;
/** *pleader is set even if the store could not be opened; the units that come
 * try again. After a fork, in the child. */
apr_status_t mg_leader_create(mg_leader_t **pleader, const char *url,
                              int flags, apr_pool_t *p);
/** @return unit->status; MG_EBUSY when draining */
apr_status_t mg_leader_run(mg_leader_t *leader, mg_unit_t *unit);
/** The same for who has another way to go: after `wait` a unit whose turn has
 * not come is taken back. @return also MG_EBUSY: it was, and did not run */
apr_status_t mg_leader_run_within(mg_leader_t *leader, mg_unit_t *unit,
                                  apr_interval_time_t wait);
/** What the store said last, copied into p. */
char *mg_leader_error(mg_leader_t *leader, apr_pool_t *p);
/** Nothing new is taken, what waits is committed; then it returns. Also the
 * cleanup of its pool. */
void mg_leader_drain(mg_leader_t *leader);

/** Read connections for threads: borrow and give back. They are opened
 * MG_DB_READONLY; what is left open in one is ended when it comes back. Do not
 * borrow two at a time: there are MG_LEADER_READERS, and one waits for one. */
#define MG_LEADER_READERS 32
apr_status_t mg_leader_reader(mg_db_t **pdb, mg_leader_t *leader);
void mg_leader_reader_done(mg_leader_t *leader, mg_db_t *db);

#endif
