/* test_group.c - group commit: together, one bad one alone, answers lost. */
#include <string.h>
#include <unistd.h>
#include <apr_strings.h>
#include "mg_group.h"
#include "mg_status.h"
#include "unit_proxy.h"
#include "unit_store.h"

#define I(n) ((apr_int64_t)(n))

/* A unit that adds a row; how it behaves is a letter:
 *   .  good                  !  says MG_EQUOTA after it wrote
 *   =  writes a row that is there (a conflict)
 *   o  overlooks its conflict
 *   q  good, and asks (so PostgreSQL's errors show here)
 *   x  ends the transaction  B  needs 400,000 bytes
 *   u  changes its one row   L  changes a row that is not there
 *   l  the same, and takes it well
 *   d  draws an id that is taken, and another one the next time
 */
typedef struct {
    apr_int64_t id;
    char kind;
    int runs, asked, lies;
    int *commits;
} job_t;

static void count_commit(mg_db_t *db, void *baton)
{
    (void)db;
    ++*(int *)baton;
}

static apr_status_t add(mg_db_t *db, apr_int64_t id, const void *bytes,
                        apr_size_t len)
{
    return mg_db_exec(db, NULL, "INSERT INTO job (id, b) VALUES ($1, $2)",
                      "ib", id, bytes, len);
}

static apr_status_t change_one(mg_db_t *db, apr_int64_t id)
{
    return mg_db_exec_one(db, MG_ELEASE, "UPDATE job SET b = $1 "
                          "WHERE id = $2", "bi", "y", (apr_size_t)1, id);
}

static apr_status_t run_job(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    job_t *job = baton;
    apr_int64_t n;
    apr_status_t rv;

    job->runs++;
    assert_true(mg_tx_is_open(db));
    mg_tx_hook(db, NULL, count_commit, job->commits);
    if (job->kind == 'd' && job->runs == 1)
        return add(db, 1, "x", 1);
    if (job->kind == 'B')
        return add(db, job->id, apr_pcalloc(ptemp, 400000), 400000);
    rv = add(db, job->id, "x", 1);
    switch (job->kind) {
    case '!':
        return MG_EQUOTA;
    case '=':
        return add(db, 1, "x", 1);
    case 'o':
        (void)add(db, 1, "x", 1);
        return APR_SUCCESS;
    case 'q':
        return rv != APR_SUCCESS ? rv : mg_db_get_int(db, &n,
            "SELECT count(*) FROM job", "");
    case 'x':
        mg_tx_rollback(db);
        return APR_SUCCESS;
    case 'u':
        return change_one(db, job->id);
    case 'L':
        return change_one(db, -1);
    case 'l':
        rv = change_one(db, -1);
        return rv == MG_ELEASE ? APR_SUCCESS : rv;
    default:
        return rv;
    }
}

static apr_status_t job_is_there(mg_db_t *db, void *baton)
{
    job_t *job = baton;
    apr_int64_t one;

    job->asked++;
    if (job->lies-- > 0)
        return APR_ENOENT; /* the server was still at it */
    return mg_db_get_int(db, &one, "SELECT 1 FROM job WHERE id = $1", "i",
                         job->id);
}

static void make_jobs(unit_store_t *store)
{
    unit_store_ok(store->db, mg_db_script(store->db, apr_psprintf(store->p,
        "CREATE TABLE job (id BIGINT PRIMARY KEY, b %s);"
        "INSERT INTO job (id) VALUES (1);",
        store->kind == MG_DB_SQLITE ? "BLOB" : "BYTEA")));
}

static mg_unit_t *units_of(unit_store_t *store, const char *kinds,
                           int *commits, apr_int64_t first)
{
    int i, n = (int)strlen(kinds);
    mg_unit_t *units = apr_pcalloc(store->p, (n + 1) * sizeof(*units));
    job_t *jobs = apr_pcalloc(store->p, (n + 1) * sizeof(*jobs));

    *commits = 0;
    for (i = 0; i < n; i++) {
        jobs[i].id = first + i;
        jobs[i].kind = kinds[i];
        jobs[i].commits = commits;
        units[i].run = run_job;
        units[i].is_there = job_is_there;
        units[i].baton = &jobs[i];
        units[i].status = -1;
        units[i].next = i + 1 < n ? &units[i + 1] : NULL;
    }
    return units;
}

static apr_status_t want_of(char kind)
{
    switch (kind) {
    case '!':
        return MG_EQUOTA;
    case '=':
    case 'o':
        return MG_ECONFLICT;
    case 'x':
        return MG_ESQL;
    case 'L':
        return MG_ELEASE;
    default:
        return APR_SUCCESS;
    }
}

static int is_stored(unit_store_t *store, apr_int64_t id)
{
    return (int)unit_store_int(store->db, apr_psprintf(store->p,
        "SELECT count(*) FROM job WHERE id = %d", (int)id));
}

static void check_units(unit_store_t *store, const char *kinds,
                        const mg_unit_t *units)
{
    int i;

    for (i = 0; kinds[i]; i++) {
        job_t *job = units[i].baton;
        apr_status_t want = want_of(kinds[i]);

        if (units[i].status != want)
            fail_msg("%s: unit %d is %d, wanted %d", kinds, i,
                     units[i].status, want);
        if (is_stored(store, job->id) != (want == APR_SUCCESS))
            fail_msg("%s: unit %d is%s stored", kinds, i,
                     want == APR_SUCCESS ? " not" : "");
    }
}

/* --- one bad unit fails alone --- */

static void bad_ones_fail_alone(void **state)
{
    static const struct {
        const char *kinds;
        int commits;      /* at most */
    } cases[] = {
        { "", 0 },          { ".", 1 },         { "=", 0 },
        { "!", 0 },         { "x", 0 },         { "....................", 1 },
        { "!........", 1 }, { "....!....", 1 }, { "........!", 1 },
        { "....x....", 1 }, { "!!!......", 1 }, { "!!.q!.q!!!.", 8 },
        { ".=.......", 8 }, { "=.......q", 8 }, { "....o....", 8 },
        { "!=o!=o!=o!", 0 }, { ".=!o.q=!o.", 4 },
        { "uuuuuuuu", 1 },  { "u", 1 },         { "L", 0 },
        { "l", 1 },         { "uuuLuuu", 6 },   { "uuulu.quu", 9 },
        { "LLuL.lq!", 4 },  { "d", 1 },         { "..d..", 5 },
        { "d=d", 2 },
    };
    unit_store_t *store = *state;
    apr_size_t i;

    make_jobs(store);
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int commits;
        mg_unit_t *units = units_of(store, cases[i].kinds, &commits,
                                    I(100) * (i + 1));

        unit_store_ok(store->db, mg_group_commit(
            store->db, *cases[i].kinds ? units : NULL, store->p));
        check_units(store, cases[i].kinds, units);
        if (commits > cases[i].commits)
            fail_msg("%s: %d commits", cases[i].kinds, commits);
        assert_false(mg_tx_is_open(store->db));
    }
}

static void a_big_one_is_full_alone(void **state)
{
    unit_store_t *store = *state;
    int commits, i;
    mg_unit_t *units;

    make_jobs(store);
    unit_store_ok(store->db, mg_db_script(store->db,
                                          "PRAGMA max_page_count = 90"));
    units = units_of(store, "..B..", &commits, 10);
    unit_store_ok(store->db, mg_group_commit(store->db, units, store->p));
    for (i = 0; i < 5; i++)
        assert_int_equal(units[i].status, i == 2 ? MG_EFULL : APR_SUCCESS);
    units = units_of(store, "BB", &commits, 20);
    unit_store_is(store->db, mg_group_commit(store->db, units, store->p),
                  MG_EFULL);
}

/* 400 KB each: three make a transaction. */
static void large_ones_do_not_pile_up(void **state)
{
    static const struct {
        const char *kinds;
        int least, most;
    } cases[] = {
        { "BBBBBBBBB", 3, 3 }, { "B..B..B..B", 2, 2 }, { "BBBBB!BBBB", 3, 5 },
        { "........", 1, 1 },
    };
    unit_store_t *store = *state;
    apr_size_t i;

    make_jobs(store);
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int commits;
        mg_unit_t *units = units_of(store, cases[i].kinds, &commits,
                                    I(100) * (i + 1));

        unit_store_ok(store->db, mg_group_commit(store->db, units, store->p));
        check_units(store, cases[i].kinds, units);
        if (commits < cases[i].least || commits > cases[i].most)
            fail_msg("%s: %d commits", cases[i].kinds, commits);
    }
}

/* --- answers lost --- */

/* Failpoints: no double, no loss, wherever the connection goes. */
static void lost_and_replayed(void **state)
{
    static const struct {
        const char *point, *kinds;
        int times;
        apr_status_t want;
        int runs;          /* of the first unit */
    } cases[] = {
        { "store.begin", "....", 1, APR_SUCCESS, 1 },
        { "store.begin", "....", 2, APR_SUCCESS, 1 },
        { "store.begin", "....", 9, MG_ELOST, 0 },
        { "store.commit.before", "....", 1, APR_SUCCESS, 2 },
        { "store.commit.before", ".", 1, APR_SUCCESS, 2 },
        { "store.commit.before", ".!..", 2, APR_SUCCESS, 4 },
        { "store.commit.after", "....", 1, APR_SUCCESS, 1 },
        { "store.commit.after", ".", 1, APR_SUCCESS, 1 },
        { "store.commit.after", ".!.q", 1, APR_SUCCESS, 2 },
        { "store.commit.after", "BBBBB", 1, APR_SUCCESS, 1 },
        { "store.commit.before", "BBBBB", 1, APR_SUCCESS, 2 },
    };
    unit_store_t *store = *state;
    apr_size_t i;
    int k;

    make_jobs(store);
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int commits;
        mg_unit_t *units = units_of(store, cases[i].kinds, &commits,
                                    I(100) * (i + 1));
        job_t *first = units[0].baton;

        unit_fault(cases[i].point, UNIT_LOST, 0, cases[i].times);
        unit_store_is(store->db, mg_group_commit(store->db, units, store->p),
                      cases[i].want);
        unit_fault_clear();
        assert_int_equal(first->runs, cases[i].runs);
        if (cases[i].want == APR_SUCCESS)
            check_units(store, cases[i].kinds, units);
        else
            for (k = 0; cases[i].kinds[k]; k++)
                assert_int_equal(units[k].status, cases[i].want);
    }
}

/* They are in the log, and nobody knows whether on disk: no other is run in
 * their place, and nobody is told that they are stored. */
static void sync_failed(void **state)
{
    static const int how[] = { UNIT_EIO, UNIT_ENOSPC };
    unit_store_t *store = *state;
    int commits, i, k;
    mg_unit_t *units;

    make_jobs(store);
    for (i = 0; i < 2; i++) {
        units = units_of(store, "...", &commits, I(10) * (i + 1));
        unit_fault("store.sync", how[i], 0, 1);
        unit_store_is(store->db, mg_group_commit(store->db, units, store->p),
                      MG_EIO);
        unit_fault_clear();
        for (k = 0; k < 3; k++) {
            assert_int_equal(units[k].status, MG_EIO);
            assert_int_equal(((job_t *)units[k].baton)->runs, 1);
        }
    }
}

/* We asked while the server was still committing: the replay meets its own
 * rows, and that is success. */
static void still_committing(void **state)
{
    unit_store_t *store = *state;
    int commits, i;
    mg_unit_t *units;

    make_jobs(store);
    units = units_of(store, "...", &commits, 10);
    for (i = 0; i < 3; i++)
        ((job_t *)units[i].baton)->lies = 1;
    unit_fault("store.commit.after", UNIT_LOST, 0, 1);
    unit_store_ok(store->db, mg_group_commit(store->db, units, store->p));
    check_units(store, "...", units);
}

/* The real thing: the network cuts at COMMIT. */
static void commit_cut_off(void **state)
{
    static const struct {
        int how;
        const char *kinds;
    } cases[] = {
        { UNIT_CUT_BEFORE, "....." }, { UNIT_CUT_AFTER, "....." },
        { UNIT_CUT_BEFORE, "." },     { UNIT_CUT_AFTER, "." },
        { UNIT_CUT_AFTER, ".!.q." },
    };
    unit_store_t *store = *state;
    unit_proxy_t *proxy = unit_proxy_start(unit_store_pgsql_port(), 0);
    apr_size_t i;
    mg_db_t *db;

    make_jobs(store);
    unit_store_ok(db, mg_db_open(&db,
        unit_store_url_at(store, unit_proxy_port(proxy)), 0, store->p));
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int commits;
        mg_unit_t *units = units_of(store, cases[i].kinds, &commits,
                                    I(100) * (i + 1));

        unit_proxy_cut(proxy, cases[i].how, "COMMIT");
        unit_store_ok(db, mg_group_commit(db, units, store->p));
        check_units(store, cases[i].kinds, units);
    }

    /* gone for longer, then back */
    {
        int commits;
        mg_unit_t *units = units_of(store, "..", &commits, 1000);

        unit_proxy_down(proxy, 1);
        unit_store_is(db, mg_group_commit(db, units, store->p), MG_ELOST);
        assert_int_equal(units[0].status, MG_ELOST);
        assert_int_equal(units[1].status, MG_ELOST);
        unit_store_is(db, mg_group_commit(db, units, store->p), MG_ELOST);
        unit_proxy_down(proxy, 0);
        unit_store_ok(db, mg_group_commit(db, units, store->p));
        check_units(store, "..", units);
    }
    mg_db_close(db);
    unit_proxy_stop(proxy);
}

/* 50 units of 4 statements in few round trips. */
static apr_status_t run_four(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    apr_int64_t id = *(apr_int64_t *)baton;
    apr_status_t rv = APR_SUCCESS;
    int i;

    (void)ptemp;
    for (i = 0; i < 3 && rv == APR_SUCCESS; i++)
        rv = add(db, id * 4 + i, "x", 1);
    return rv == APR_SUCCESS ? change_one(db, id * 4) : rv;
}

static void few_round_trips(void **state)
{
    enum { N = 50 };
    unit_store_t *store = *state;
    unit_proxy_t *proxy = unit_proxy_start(unit_store_pgsql_port(), 0);
    mg_unit_t units[N];
    apr_int64_t ids[N];
    long turns;
    mg_db_t *db;
    int i;

    make_jobs(store);
    unit_store_ok(db, mg_db_open(&db,
        unit_store_url_at(store, unit_proxy_port(proxy)), 0, store->p));
    memset(units, 0, sizeof(units));
    for (i = 0; i < N; i++) {
        ids[i] = i + 10;
        units[i].run = run_four;
        units[i].baton = &ids[i];
        units[i].next = i + 1 < N ? &units[i + 1] : NULL;
    }
    turns = unit_proxy_turns(proxy);
    unit_store_ok(db, mg_group_commit(db, units, store->p));
    turns = unit_proxy_turns(proxy) - turns;
    print_message("           200 statements and a commit: %ld round trips\n",
                  turns);
    assert_true(turns <= 6);
    assert_int_equal(unit_store_int(store->db, "SELECT count(*) FROM job"),
                     3 * N + 1);
    mg_db_close(db);
    unit_proxy_stop(proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(bad_ones_fail_alone),
        UNIT_ON_SQLITE(a_big_one_is_full_alone),
        UNIT_ON_BOTH(large_ones_do_not_pile_up),
        UNIT_ON_BOTH(lost_and_replayed),
        UNIT_ON_SQLITE(sync_failed),
        UNIT_ON_BOTH(still_committing),
        UNIT_ON_PGSQL(commit_cut_off),
        UNIT_ON_PGSQL(few_round_trips),
    };

    return unit_store_run("group", tests);
}
