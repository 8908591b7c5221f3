/* test_turnstile.c - SQLite's writers in line: fair, and no worse for the
 * death of one; the checkpoint.
 */
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <apr_strings.h>
#include "mg_status.h"
#include "mg_time.h"
#include "turnstile.h"
#include "unit_store.h"

#define I(n) ((apr_int64_t)(n))
/* Generous: the machine may be busy. A starved writer waited 3 s. */
#define FAIR_US 1000000

static void make_job(unit_store_t *store)
{
    unit_store_ok(store->db, mg_db_script(store->db, apr_psprintf(store->p,
        "CREATE TABLE job (id BIGINT PRIMARY KEY, b %s);",
        store->kind == MG_DB_SQLITE ? "BLOB" : "BYTEA")));
}

static apr_status_t add(mg_db_t *db, apr_int64_t id, apr_size_t len)
{
    static char bytes[100000];

    return mg_db_exec(db, NULL, "INSERT INTO job (id, b) VALUES ($1, $2)",
                      "ib", id, bytes, len);
}

/* In a child: a connection of its own. */
static mg_db_t *child_open(const char *url)
{
    apr_pool_t *p;
    mg_db_t *db;

    apr_pool_create(&p, NULL);
    if (mg_db_open(&db, url, 0, p) != APR_SUCCESS)
        _exit(9);
    return db;
}

/* --- the death of one --- */

static void die_at(const char *url, const char *where, apr_int64_t id)
{
    mg_db_t *db = child_open(url);

    if (strcmp(where, "inside") != 0)
        unit_fault(where, UNIT_KILL, 0, 1);
    if (mg_tx_begin(db, MG_TX_WRITE) != APR_SUCCESS
        || add(db, id, 5000) != APR_SUCCESS)
        _exit(8);
    if (strcmp(where, "inside") == 0)
        kill(getpid(), SIGKILL);
    (void)mg_tx_commit(db);
    _exit(7); /* it should not have come here */
}

static void a_death_leaves_the_others_going(void **state)
{
    static const struct {
        const char *where;
        int stored;
    } cases[] = {
        { "store.begin", 0 },
        { "inside", 0 },
        { "store.commit.before", 0 },
        { "store.commit.after", 1 },
    };
    unit_store_t *store = *state;
    apr_time_t begin;
    apr_size_t i;
    int status;
    pid_t pid;

    make_job(store);
    unit_fault("nothing", UNIT_DELAY, 0, 0); /* the file is there at fork */
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        unit_fault_clear();
        pid = fork();
        if (pid == 0)
            die_at(store->url, cases[i].where, I(100) + i);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status))
            fail_msg("%s: %d", cases[i].where, status);
        unit_fault_clear();
        begin = mg_ticks();
        unit_store_ok(store->db, add(store->db, I(200) + i, 10));
        assert_true(mg_ticks() - begin < FAIR_US);
        assert_int_equal(unit_store_int(store->db, apr_psprintf(store->p,
            "SELECT count(*) FROM job WHERE id = %d", 100 + (int)i)),
            cases[i].stored);
    }
}

/* A child forked by a writer shares its lock files: it must not keep the turn
 * when the parent dies inside. */
static void a_fork_keeps_no_turn(void **state)
{
    unit_store_t *store = *state;
    int fds[2], status;
    apr_time_t begin;
    char byte;
    pid_t pid;

    make_job(store);
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        mg_db_t *db = child_open(store->url);
        if (mg_tx_begin(db, MG_TX_WRITE) != APR_SUCCESS)
            _exit(9);
        if (fork() == 0) { /* lives on after its parent */
            close(fds[1]);
            alarm(20);
            (void)!read(fds[0], &byte, 1);
            _exit(0);
        }
        kill(getpid(), SIGKILL);
    }
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    begin = mg_ticks();
    unit_store_ok(store->db, add(store->db, 1, 10));
    assert_true(mg_ticks() - begin < FAIR_US);
    close(fds[1]);
}

/* --- fairness --- */

typedef struct {
    volatile int stop;
    volatile int hogs;
    volatile apr_int64_t worst[8];
    volatile int writes[8];
} shared_t;

static void be_a_hog(const char *url, shared_t *shared)
{
    mg_db_t *db = child_open(url);
    apr_int64_t id = 1000000;
    apr_time_t until;

    while (!shared->stop) {
        if (mg_tx_begin(db, MG_TX_WRITE) != APR_SUCCESS)
            _exit(8);
        until = mg_ticks() + 20000;
        while (mg_ticks() < until)
            if (add(db, id++, 1000) != APR_SUCCESS)
                _exit(7);
        if (mg_tx_commit(db) != APR_SUCCESS)
            _exit(6);
        shared->hogs++;
    }
    _exit(0);
}

static void be_small(const char *url, shared_t *shared, int me)
{
    mg_db_t *db = child_open(url);
    int i;

    for (i = 0; i < 30 && !shared->stop; i++) {
        apr_time_t begin = mg_ticks();
        if (add(db, I(1000) * (me + 1) + i, 100) != APR_SUCCESS)
            _exit(8);
        begin = mg_ticks() - begin;
        if (begin > shared->worst[me])
            shared->worst[me] = begin;
        shared->writes[me]++;
        usleep(5000);
    }
    _exit(0);
}

static void small_ones_beside_a_hog(void **state)
{
    enum { SMALL = 3 };
    unit_store_t *store = *state;
    shared_t *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    apr_int64_t worst = 0;
    pid_t pids[SMALL], hog;
    int i, status;

    assert_true(shared != MAP_FAILED);
    memset(shared, 0, sizeof(*shared));
    make_job(store);
    hog = fork();
    if (hog == 0)
        be_a_hog(store->url, shared);
    usleep(50000);
    for (i = 0; i < SMALL; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            be_small(store->url, shared, i);
    }
    for (i = 0; i < SMALL; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
        assert_int_equal(shared->writes[i], 30);
        if (shared->worst[i] > worst)
            worst = shared->worst[i];
    }
    shared->stop = 1;
    assert_int_equal(waitpid(hog, &status, 0), hog);
    assert_int_equal(status, 0);
    print_message("           worst wait beside a hog of 20 ms: %d ms "
                  "(it wrote %d times)\n", (int)(worst / 1000), shared->hogs);
    assert_true(worst < FAIR_US);
    assert_true(shared->hogs > 0); /* it came to its turns too */
    munmap(shared, sizeof(*shared));
}

/* --- the two files by themselves --- */

static void one_at_a_time(void **state)
{
    unit_store_t *store = *state;
    const char *path = apr_pstrcat(store->p, store->dir, "/x", NULL);
    volatile int *inside = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[4];
    turnstile_t *t;
    int i, k, status;

    assert_int_equal(turnstile_open(&t, path, store->p), APR_SUCCESS);
    assert_int_equal(turnstile_enter(t), APR_SUCCESS);
    assert_int_not_equal(turnstile_enter(t), APR_SUCCESS); /* not twice */
    turnstile_leave(t);
    turnstile_leave(t); /* harmless */
    for (i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i])
            continue;
        if (turnstile_enter(t) == APR_SUCCESS)
            _exit(5); /* the parent's line is not a child's */
        if (turnstile_open(&t, path, store->p) != APR_SUCCESS)
            _exit(4);
        for (k = 0; k < 300; k++) {
            if (turnstile_enter(t) != APR_SUCCESS)
                _exit(3);
            if (++*inside != 1)
                _exit(2);
            --*inside;
            turnstile_leave(t);
        }
        _exit(0);
    }
    for (i = 0; i < 4; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    munmap((void *)inside, 4096);
}

/* --- the checkpoint --- */

static apr_int64_t log_size(unit_store_t *store)
{
    struct stat st;

    return stat(apr_pstrcat(store->p, store->url + 7, "-wal", NULL), &st) == 0
               ? st.st_size : -1;
}

static long mapped_pages(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long n = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld", &n), 1);
    fclose(f);
    return n;
}

/* The keeper makes one every 300 ms, for years. */
static void checkpoints_take_no_memory(void **state)
{
    unit_store_t *store = *state;
    mg_db_t *keeper = unit_store_open(store, MG_DB_KEEPER);
    mg_checkpoint_t result;
    long before = 0;
    int i;

    make_job(store);
    for (i = 0; i < 50000; i++) {
        if (i == 1000)
            before = mapped_pages();
        unit_store_ok(keeper, mg_db_checkpoint(keeper, 1 << 30, &result));
    }
    assert_true(mapped_pages() < before + 256);
}

static void the_log_begins_anew(void **state)
{
    unit_store_t *store = *state;
    mg_db_t *keeper = unit_store_open(store, MG_DB_KEEPER);
    mg_checkpoint_t result;
    apr_int64_t grown = 0;
    int i, round;

    make_job(store);
    if (store->kind == MG_DB_PGSQL) {
        unit_store_ok(keeper, mg_db_checkpoint(keeper, 0, &result));
        assert_int_equal(result.wal_bytes, 0);
        return;
    }
    for (round = 0; round < 5; round++) {
        for (i = 0; i < 10; i++)
            unit_store_ok(store->db, add(store->db, round * 10 + i, 100000));
        unit_store_ok(keeper, mg_db_checkpoint(keeper, 1 << 30, &result));
        assert_false(result.busy);
        assert_true(result.wal_bytes > 0);
        if (round == 0)
            grown = result.wal_bytes;
    }
    /* it was used again from its start each time */
    assert_true(log_size(store) < 2 * grown);

    /* above the limit it is cut */
    unit_store_ok(keeper, mg_db_checkpoint(keeper, 100000, &result));
    unit_store_ok(store->db, add(store->db, 1000, 100000));
    unit_store_ok(keeper, mg_db_checkpoint(keeper, 100000, &result));
    assert_int_equal(result.wal_bytes, 0);
    assert_int_equal(log_size(store), 0);
    assert_int_equal(unit_store_int(store->db, "SELECT count(*) FROM job"),
                     51);

    /* a reader holds it up, and nobody waits long */
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_READ));
    assert_int_equal(unit_store_int(store->db, "SELECT count(*) FROM job"),
                     51);
    {
        mg_db_t *writer = unit_store_open(store, 0);
        apr_time_t begin;

        unit_store_ok(writer, add(writer, 2000, 1000));
        begin = mg_ticks();
        unit_store_ok(keeper, mg_db_checkpoint(keeper, 0, &result));
        assert_true(result.busy);
        assert_true(mg_ticks() - begin < FAIR_US);
        unit_store_ok(writer, add(writer, 2001, 1000));
    }
    unit_store_ok(store->db, mg_tx_commit(store->db));
    unit_store_ok(keeper, mg_db_checkpoint(keeper, 0, &result));
    assert_false(result.busy);
    assert_int_equal(result.wal_bytes, 0);
    unit_store_is(keeper, mg_tx_begin(keeper, MG_TX_READ), APR_SUCCESS);
    unit_store_is(keeper, mg_db_checkpoint(keeper, 0, &result), MG_ESQL);
    mg_tx_rollback(keeper);
}

/* Writers go on while the keeper checkpoints every 50 ms. */
static void the_log_stays_bounded(void **state)
{
    unit_store_t *store = *state;
    mg_db_t *keeper = unit_store_open(store, MG_DB_KEEPER);
    shared_t *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    apr_int64_t most = 0, written;
    mg_checkpoint_t result;
    int i, status;
    pid_t hog;

    memset(shared, 0, sizeof(*shared));
    make_job(store);
    hog = fork();
    if (hog == 0)
        be_a_hog(store->url, shared);
    for (i = 0; i < 20; i++) {
        usleep(50000);
        unit_store_ok(keeper, mg_db_checkpoint(keeper, 64 << 20, &result));
        if (result.wal_bytes > most)
            most = result.wal_bytes;
    }
    shared->stop = 1;
    assert_int_equal(waitpid(hog, &status, 0), hog);
    assert_int_equal(status, 0);
    written = unit_store_int(store->db, "SELECT page_count * page_size FROM "
                             "pragma_page_count, pragma_page_size");
    print_message("           log at most %d MB, store %d MB\n",
                  (int)(most >> 20), (int)(written >> 20));
    assert_true(most < written);
    munmap(shared, sizeof(*shared));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(a_death_leaves_the_others_going),
        UNIT_ON_SQLITE(a_fork_keeps_no_turn),
        UNIT_ON_BOTH(small_ones_beside_a_hog),
        UNIT_ON_SQLITE(one_at_a_time),
        UNIT_ON_SQLITE(checkpoints_take_no_memory),
        UNIT_ON_BOTH(the_log_begins_anew),
        UNIT_ON_SQLITE(the_log_stays_bounded),
    };

    return unit_store_run("turnstile", tests);
}
