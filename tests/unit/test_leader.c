/* test_leader.c - threads that commit together, and their readers. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include <apr_strings.h>
#include <libpq-fe.h>
#include "mg_group.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_proxy.h"
#include "unit_store.h"

#define I(n) ((apr_int64_t)(n))
enum { THREADS = 16, UNITS = 60 };

static int commits;

static void count_commit(mg_db_t *db, void *baton)
{
    (void)db;
    __atomic_add_fetch((int *)baton, 1, __ATOMIC_RELAXED);
}

/* Every eleventh is bad. */
static int is_bad(apr_int64_t id)
{
    return id % 11 == 0;
}

static apr_status_t run_one(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    apr_int64_t id = *(apr_int64_t *)baton;
    apr_status_t rv;

    (void)ptemp;
    mg_tx_hook(db, NULL, count_commit, &commits);
    rv = mg_db_exec(db, NULL, "INSERT INTO job (id) VALUES ($1)", "i", id);
    return rv == APR_SUCCESS && is_bad(id) ? MG_EQUOTA : rv;
}

static apr_status_t is_there(mg_db_t *db, void *baton)
{
    apr_int64_t one;

    return mg_db_get_int(db, &one, "SELECT 1 FROM job WHERE id = $1", "i",
                         *(apr_int64_t *)baton);
}

static void make_jobs(unit_store_t *store)
{
    unit_store_ok(store->db, mg_db_script(store->db,
        "CREATE TABLE job (id BIGINT PRIMARY KEY);"));
    commits = 0;
}

typedef struct {
    mg_leader_t *leader;
    pthread_t thread;
    int first, n;
    apr_status_t status[UNITS];
} worker_t;

static void *work(void *data)
{
    worker_t *w = data;
    int i;

    for (i = 0; i < w->n; i++) {
        apr_int64_t id = w->first + i;
        mg_unit_t unit = { .run = run_one, .is_there = is_there,
                           .baton = &id };
        w->status[i] = mg_leader_run(w->leader, &unit);
        if (w->status[i] != unit.status)
            w->status[i] = -2;
        /* a stop of the store is not to be run into at full speed */
        if (w->status[i] == MG_ELOST)
            usleep(2000);
    }
    return NULL;
}

static void start(worker_t *workers, mg_leader_t *leader)
{
    int i;

    memset(workers, 0, THREADS * sizeof(*workers));
    for (i = 0; i < THREADS; i++) {
        workers[i].leader = leader;
        workers[i].first = 1 + i * UNITS;
        workers[i].n = UNITS;
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
}

static void join(worker_t *workers)
{
    int i;

    for (i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
}

/* Whoever was told so is there, and nobody else. @return how many */
static int check_told(unit_store_t *store, worker_t *workers, int unsure)
{
    int i, k, good = 0;
    apr_int64_t there;

    for (i = 0; i < THREADS; i++) {
        for (k = 0; k < UNITS; k++) {
            apr_int64_t id = workers[i].first + k;
            apr_status_t is = workers[i].status[k];

            there = 0;
            (void)mg_db_get_int(store->db, &there,
                                "SELECT 1 FROM job WHERE id = $1", "i", id);
            if (is == APR_SUCCESS ? !there : there && !(unsure
                                                        && is == MG_ELOST))
                fail_msg("%d: told %d, stored %d", (int)id, is, (int)there);
            good += is == APR_SUCCESS;
        }
    }
    return good;
}

static void threads_commit_together(void **state)
{
    unit_store_t *store = *state;
    worker_t workers[THREADS];
    mg_leader_t *leader;
    int i, k;

    make_jobs(store);
    unit_store_ok(NULL, mg_leader_create(&leader, store->url, 0, store->p));
    start(workers, leader);
    join(workers);
    check_told(store, workers, 0);
    for (i = 0; i < THREADS; i++)
        for (k = 0; k < UNITS; k++)
            assert_int_equal(workers[i].status[k],
                             is_bad(workers[i].first + k) ? MG_EQUOTA
                                                          : APR_SUCCESS);
    print_message("           %d units in %d commits\n", THREADS * UNITS,
                  commits);
    assert_true(commits < THREADS * UNITS);
}

/* As httpd ends a child: what was begun is committed, the rest is told no. */
static void drain_ends_in_order(void **state)
{
    unit_store_t *store = *state;
    worker_t workers[THREADS];
    mg_leader_t *leader;
    apr_int64_t id = 5000;
    mg_unit_t late = { .run = run_one, .baton = &id };
    int good;

    make_jobs(store);
    unit_store_ok(NULL, mg_leader_create(&leader, store->url, 0, store->p));
    start(workers, leader);
    while (__atomic_load_n(&commits, __ATOMIC_RELAXED) < 3)
        usleep(100);
    mg_leader_drain(leader);
    assert_int_equal(mg_leader_run(leader, &late), MG_EBUSY);
    join(workers);
    good = check_told(store, workers, 0);
    print_message("           %d of %d before the end\n", good,
                  THREADS * UNITS);
    mg_leader_drain(leader); /* again, and by the pool: harmless */
}

/* The writer's connection is killed over and over: nobody who was told yes is
 * missing, nobody is there who was told a plain no. */
static void *terminate_writers(void *data)
{
    unit_store_t *store = data;
    char info[300];
    PGconn *pg;
    int i;

    apr_snprintf(info, sizeof(info), "%s?application_name=killer", store->url);
    pg = PQconnectdb(info);
    for (i = 0; i < 40; i++) {
        PQclear(PQexec(pg, "SELECT pg_terminate_backend(pid) FROM "
                       "pg_stat_activity WHERE datname = current_database() "
                       "AND application_name = 'writer'"));
        usleep(10000);
    }
    PQfinish(pg);
    return NULL;
}

static void lost_while_threads_write(void **state)
{
    unit_store_t *store = *state;
    worker_t workers[THREADS];
    mg_leader_t *leader;
    pthread_t killer;
    int good;

    make_jobs(store);
    unit_store_ok(NULL, mg_leader_create(&leader, apr_pstrcat(store->p,
        store->url, "?application_name=writer", NULL), 0, store->p));
    pthread_create(&killer, NULL, terminate_writers, store);
    start(workers, leader);
    join(workers);
    pthread_join(killer, NULL);
    good = check_told(store, workers, 1);
    print_message("           %d of %d got through 40 killed connections\n",
                  good, THREADS * UNITS);
    assert_true(good > 0);
}

static void starts_without_a_store(void **state)
{
    unit_store_t *store = *state;
    unit_proxy_t *proxy = unit_proxy_start(unit_store_pgsql_port(), 0);
    apr_int64_t id = 1;
    mg_unit_t unit = { .run = run_one, .is_there = is_there, .baton = &id };
    mg_leader_t *leader;
    mg_db_t *reader;

    make_jobs(store);
    unit_proxy_down(proxy, 1);
    unit_store_is(NULL, mg_leader_create(&leader,
        unit_store_url_at(store, unit_proxy_port(proxy)), 0, store->p),
        MG_ELOST);
    assert_non_null(leader);
    assert_true(*mg_leader_error(leader, store->p));
    assert_int_equal(mg_leader_run(leader, &unit), MG_ELOST);
    assert_int_equal(mg_leader_reader(&reader, leader), MG_ELOST);
    assert_null(reader);
    unit_proxy_down(proxy, 0);
    assert_int_equal(mg_leader_run(leader, &unit), APR_SUCCESS);
    assert_int_equal(mg_leader_reader(&reader, leader), APR_SUCCESS);
    mg_leader_reader_done(leader, reader);

    /* a reader that was cut off while it waited is mended when borrowed */
    unit_proxy_down(proxy, 1);
    unit_proxy_down(proxy, 0);
    usleep(20000);
    assert_int_equal(mg_leader_reader(&reader, leader), APR_SUCCESS);
    assert_int_equal(unit_store_int(reader, "SELECT count(*) FROM job"), 1);
    mg_leader_reader_done(leader, reader);
    mg_leader_drain(leader);
    unit_proxy_stop(proxy);
}

/* --- readers --- */

typedef struct {
    mg_leader_t *leader;
    pthread_t thread;
} borrower_t;

static void *borrow(void *data)
{
    borrower_t *b = data;
    mg_stmt_t *stmt;
    mg_db_t *db;
    int i;

    for (i = 0; i < 20; i++) {
        if (mg_leader_reader(&db, b->leader) != APR_SUCCESS)
            return "no reader";
        /* came back clean from the one before, who left a mess */
        if (mg_tx_is_open(db) || mg_tx_begin(db, MG_TX_READ) != APR_SUCCESS
            || mg_db_query(&stmt, db, "SELECT id FROM job", "") != APR_SUCCESS
            || mg_stmt_next(stmt) != APR_SUCCESS)
            return "not clean";
        usleep(500);
        mg_leader_reader_done(b->leader, db);
    }
    return NULL;
}

static void readers_go_round(void **state)
{
    enum { N = MG_LEADER_READERS + 8 };
    unit_store_t *store = *state;
    borrower_t borrowers[N];
    mg_leader_t *leader;
    mg_db_t *db;
    void *failure;
    int i;

    make_jobs(store);
    unit_store_ok(store->db, mg_db_script(store->db,
                                          "INSERT INTO job VALUES (1)"));
    unit_store_ok(NULL, mg_leader_create(&leader, store->url, 0, store->p));
    for (i = 0; i < N; i++) {
        borrowers[i].leader = leader;
        pthread_create(&borrowers[i].thread, NULL, borrow, &borrowers[i]);
    }
    for (i = 0; i < N; i++) {
        pthread_join(borrowers[i].thread, &failure);
        if (failure)
            fail_msg("%s", (char *)failure);
    }
    /* they read */
    assert_int_equal(mg_leader_reader(&db, leader), APR_SUCCESS);
    assert_int_not_equal(mg_db_exec(db, NULL, "INSERT INTO job VALUES (2)",
                                    ""), APR_SUCCESS);
    mg_leader_reader_done(leader, db);
    mg_leader_reader_done(leader, NULL);
}

/* --- who will not wait --- */

typedef struct {
    mg_leader_t *leader;
    pthread_t thread;
    apr_int64_t id;
    apr_interval_time_t wait;
    apr_status_t status;
} patient_t;

static void *wait_so_long(void *data)
{
    patient_t *w = data;
    mg_unit_t unit = { .run = run_one, .is_there = is_there, .baton = &w->id };

    w->status = mg_leader_run_within(w->leader, &unit, w->wait);
    return NULL;
}

/* Another has the store's only pen, and does not give it back: who waits in
 * the line behind the one that leads may go. SQLite: its turnstile has no time
 * limit. */
static void some_will_not_wait(void **state)
{
    unit_store_t *store = *state;
    mg_db_t *other = unit_store_open(store, 0);
    patient_t w[6] = { { .id = 1 } };
    int i;

    make_jobs(store);
    assert_int_equal(mg_leader_create(&w[0].leader, store->url, 0, store->p),
                     APR_SUCCESS);
    unit_store_ok(other, mg_tx_begin(other, MG_TX_WRITE));
    for (i = 0; i < 6; i++) {
        w[i].leader = w[0].leader;
        w[i].id = i + 1;
        /* the first leads, the last has patience */
        w[i].wait = i < 5 ? apr_time_from_msec(200) : 0;
        assert_int_equal(pthread_create(&w[i].thread, NULL, wait_so_long,
                                        &w[i]), 0);
        usleep(50000);
    }
    for (i = 1; i < 5; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].status, MG_EBUSY);
    }
    mg_tx_rollback(other);
    pthread_join(w[0].thread, NULL);
    pthread_join(w[5].thread, NULL);
    assert_int_equal(w[0].status, APR_SUCCESS);
    assert_int_equal(w[5].status, APR_SUCCESS);
    assert_int_equal(unit_store_int(store->db, "SELECT count(*) FROM job"), 2);
    /* who came while the turn was waited for went along */
    assert_int_equal(commits, 1);
    mg_leader_drain(w[0].leader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(threads_commit_together),
        UNIT_ON_BOTH(drain_ends_in_order),
        UNIT_ON_PGSQL(lost_while_threads_write),
        UNIT_ON_PGSQL(starts_without_a_store),
        UNIT_ON_SQLITE(some_will_not_wait),
        UNIT_ON_BOTH(readers_go_round),
    };

    return unit_store_run("leader", tests);
}
