/* mg_group.c - many units, one commit (mg_group.h).
 *
 * All units run in one transaction. When one fails, the transaction is undone
 * and the others run again without it; the one set aside then runs alone, so
 * that its own error is its own. After a few such rounds, or where nobody can
 * say who failed (PostgreSQL's pipeline tells at COMMIT), each runs alone.
 *
 * Large units do not pile up in one transaction: above TX_BYTES it commits,
 * the lock goes round, and the rest follows.
 */
#include "mg_group.h"
#include "mg_id.h"
#include "mg_status.h"

/* Rounds together before each goes alone. */
#define ASIDE_MAX 3
/* 25 MB in one transaction stops everyone for 0.2 s. */
#define TX_BYTES (1024 * 1024)
/* How often a unit that met a conflict runs again: run() draws ids of its own
 * (events), and another process may have been faster with the same ones. */
#define CONFLICT_MAX 1
/* How often one attempt connects anew. */
#define LOST_MAX 2

typedef enum { WAITS, RAN, ASIDE, SETTLED } member_state_t;

typedef struct {
    mg_unit_t *unit;
    member_state_t state;
} member_t;

typedef struct {
    mg_db_t *db;
    apr_pool_t *ptemp;     /* the units'; cleared before each attempt */
    member_t *members;
    int n;
    int in_doubt;          /* the answer to a COMMIT was lost */
    apr_status_t down;     /* no transaction can be had: give up */
} group_t;

static void settle(member_t *m, apr_status_t rv)
{
    m->unit->status = rv;
    m->state = SETTLED;
}

static void settle_all(group_t *g, member_state_t state, apr_status_t rv)
{
    int i;

    for (i = 0; i < g->n; i++)
        if (g->members[i].state == state)
            settle(&g->members[i], rv);
}

static void move_all(group_t *g, member_state_t from, member_state_t to)
{
    int i;

    for (i = 0; i < g->n; i++)
        if (g->members[i].state == from)
            g->members[i].state = to;
}

static int count(const group_t *g, member_state_t state)
{
    int i, n = 0;

    for (i = 0; i < g->n; i++)
        n += g->members[i].state == state;
    return n;
}

/* --- one attempt --- */

static apr_status_t run_one(group_t *g, member_t *m)
{
    apr_status_t rv = m->unit->run(g->db, m->unit->baton, g->ptemp);

    if (rv == APR_SUCCESS)
        rv = mg_tx_error(g->db); /* one that overlooked its error */
    if (rv == APR_SUCCESS && !mg_tx_is_open(g->db))
        rv = MG_ESQL; /* one that ended what is not its own */
    return rv;
}

static apr_status_t run_waiting(group_t *g, member_t **pculprit)
{
    apr_status_t rv;
    int i;

    for (i = 0; i < g->n; i++) {
        if (g->members[i].state != WAITS)
            continue;
        rv = run_one(g, &g->members[i]);
        if (rv != APR_SUCCESS) {
            *pculprit = &g->members[i];
            return rv;
        }
        g->members[i].state = RAN;
        if (mg_tx_bytes(g->db) >= TX_BYTES)
            break;
    }
    return APR_SUCCESS;
}

/* Those who wait, or the first of them if they are large, in one transaction.
 * *pculprit: whose run() failed. */
static apr_status_t attempt(group_t *g, member_t **pculprit)
{
    apr_status_t rv;

    *pculprit = NULL;
    apr_pool_clear(g->ptemp);
    rv = mg_tx_is_open(g->db) ? APR_SUCCESS /* mg_leader.c */
                              : mg_tx_begin(g->db, MG_TX_WRITE);
    if (rv != APR_SUCCESS) {
        if (rv != MG_ELOST)
            g->down = rv;
        return rv;
    }
    if (count(g, WAITS) > 1)
        mg_tx_will_replay(g->db);
    rv = run_waiting(g, pculprit);
    if (rv == APR_SUCCESS) {
        rv = mg_tx_commit(g->db);
        if (rv == MG_ELOST)
            g->in_doubt = 1;
    } else {
        mg_tx_rollback(g->db);
    }
    if (rv == APR_SUCCESS)
        settle_all(g, RAN, APR_SUCCESS);
    else
        move_all(g, RAN, WAITS);
    return rv;
}

/* --- when the answer was lost --- */

/* @return APR_SUCCESS if it is known for each whether it is there */
static apr_status_t ask_all(group_t *g)
{
    apr_status_t rv;
    int i;

    for (i = 0; i < g->n; i++) {
        mg_unit_t *unit = g->members[i].unit;

        if (g->members[i].state != WAITS || !unit->is_there)
            continue;
        rv = unit->is_there(g->db, unit->baton);
        if (rv == APR_SUCCESS)
            settle(&g->members[i], APR_SUCCESS);
        else if (!APR_STATUS_IS_ENOENT(rv))
            return rv;
    }
    return APR_SUCCESS;
}

/* As attempt(), through lost connections. */
static apr_status_t attempt_through(group_t *g, member_t **pculprit)
{
    apr_status_t rv;
    int lost = 0;

    for (;;) {
        rv = attempt(g, pculprit);
        if (rv != MG_ELOST)
            return rv;
        *pculprit = NULL;
        do {
            if (lost++ == LOST_MAX
                || mg_db_reconnect(g->db) != APR_SUCCESS)
                return g->down = MG_ELOST;
            rv = g->in_doubt ? ask_all(g) : APR_SUCCESS;
        } while (rv == MG_ELOST);
        if (rv != APR_SUCCESS)
            return g->down = rv; /* not known: nothing is run twice */
        if (count(g, WAITS) == 0)
            return APR_SUCCESS;
    }
}

/* Our lost transaction may have been still committing when we asked: then the
 * replay ran into its rows. */
static int was_there(group_t *g, const mg_unit_t *unit, apr_status_t rv)
{
    return rv == MG_ECONFLICT && g->in_doubt && unit->is_there
           && unit->is_there(g->db, unit->baton) == APR_SUCCESS;
}

/* --- rounds --- */

static void commit_together(group_t *g)
{
    member_t *culprit;
    apr_status_t rv;
    int failures = 0;

    while (count(g, WAITS) > 0) {
        rv = attempt_through(g, &culprit);
        if (g->down != APR_SUCCESS)
            return;
        if (rv == APR_SUCCESS)
            continue;
        if (rv == MG_EIO && !culprit) {
            g->down = rv; /* COMMIT: perhaps they are there, nobody can say */
            return;
        }
        if (culprit && failures++ < ASIDE_MAX)
            culprit->state = ASIDE;
        else
            move_all(g, WAITS, ASIDE);
    }
}

static void commit_alone(group_t *g, member_t *m)
{
    member_t *culprit;
    apr_status_t rv;
    int conflicts = 0;

    m->state = WAITS;
    do {
        rv = attempt_through(g, &culprit);
        if (g->down != APR_SUCCESS)
            return; /* still waits: gets what all get */
        if (m->state == SETTLED)
            return;
        if (was_there(g, m->unit, rv))
            rv = APR_SUCCESS;
        if (rv == MG_ECONFLICT)
            mg_id_draw_anew();
    } while (rv == MG_ECONFLICT && conflicts++ < CONFLICT_MAX);
    settle(m, rv);
    if (rv == MG_EIO && !culprit)
        g->down = rv; /* the disk: no use in asking it for each */
}

/* A failure of the store, not of a unit, if all failed and so. */
static apr_status_t verdict(const group_t *g)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < g->n; i++) {
        rv = g->members[i].unit->status;
        if (rv != MG_EBUSY && rv != MG_EFULL && rv != MG_EIO && rv != MG_ELOST)
            return APR_SUCCESS;
    }
    return rv;
}

apr_status_t mg_group_commit(mg_db_t *db, mg_unit_t *units, apr_pool_t *p)
{
    group_t g = { .db = db, .down = APR_SUCCESS };
    apr_pool_t *pool;
    mg_unit_t *unit;
    apr_status_t rv;
    int i;

    for (unit = units; unit; unit = unit->next)
        g.n++;
    if (g.n == 0)
        return APR_SUCCESS;
    apr_pool_create(&pool, p);
    apr_pool_create(&g.ptemp, pool);
    g.members = apr_pcalloc(pool, g.n * sizeof(*g.members));
    for (i = 0, unit = units; unit; unit = unit->next)
        g.members[i++].unit = unit;

    if (g.n > 1)
        commit_together(&g);
    else
        g.members[0].state = ASIDE;
    for (i = 0; i < g.n && g.down == APR_SUCCESS; i++)
        if (g.members[i].state == ASIDE)
            commit_alone(&g, &g.members[i]);
    for (i = 0; i < g.n; i++)
        if (g.members[i].state != SETTLED)
            settle(&g.members[i], g.down);
    rv = g.down != APR_SUCCESS ? g.down : verdict(&g);
    apr_pool_destroy(pool);
    return rv;
}
