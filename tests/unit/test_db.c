/* test_db.c - the store's interface on both drivers: values, statements,
 * transactions, and the defects of apr_dbd that ours must not have (design 1).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <apr_strings.h>
#include <sqlite3.h>
#include "db_pgsql.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_store.h"

#define I(n) ((apr_int64_t)(n))

/* thing: all kinds of columns */
static void make_thing(unit_store_t *store)
{
    unit_store_ok(store->db, mg_db_script(store->db, apr_psprintf(store->p,
        "CREATE TABLE thing (id BIGINT PRIMARY KEY, t TEXT, b %s, n BIGINT "
        "CHECK (n <> 13), CHECK (t <> 'bad'));"
        "CREATE UNIQUE INDEX thing_n ON thing(n);",
        store->kind == MG_DB_SQLITE ? "BLOB" : "BYTEA")));
}

static apr_status_t add_thing(mg_db_t *db, int id, const char *t)
{
    return mg_db_exec(db, NULL, "INSERT INTO thing (id, t) VALUES ($1, $2)",
                      "it", I(id), t);
}

static apr_int64_t things(mg_db_t *db)
{
    return unit_store_int(db, "SELECT count(*) FROM thing");
}

/* --- values --- */

static void values_come_back_exact(void **state)
{
    static const apr_int64_t ints[] = { 0, 1, -1, APR_INT64_MAX,
                                        APR_INT64_MIN, I(1) << 40 };
    unit_store_t *store = *state;
    unsigned char bytes[600];
    mg_stmt_t *stmt;
    apr_size_t i, len;
    const void *blob;

    make_thing(store);
    for (i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    for (i = 0; i < 6; i++)
        unit_store_ok(store->db, mg_db_exec(store->db, NULL,
            "INSERT INTO thing (id, t, b, n) VALUES ($1, $2, $3, $4)", "itbi",
            I(i), "na\xc3\xafve \xe2\x82\xac", bytes, sizeof(bytes),
            ints[i]));
    unit_store_ok(store->db, mg_db_query(&stmt, store->db,
        "SELECT t, b, n, id FROM thing ORDER BY id", ""));
    for (i = 0; i < 6; i++) {
        unit_store_ok(store->db, mg_stmt_next(stmt));
        assert_string_equal(mg_stmt_text(stmt, 0, store->p),
                            "na\xc3\xafve \xe2\x82\xac");
        blob = mg_stmt_blob(stmt, 1, &len, NULL);
        assert_int_equal(len, sizeof(bytes));
        assert_memory_equal(blob, bytes, len);
        assert_true(mg_stmt_int(stmt, 2) == ints[i]);
        assert_true(mg_stmt_int(stmt, 3) == I(i));
    }
    unit_store_is(store->db, mg_stmt_next(stmt), APR_EOF);
}

static void empty_is_not_null(void **state)
{
    unit_store_t *store = *state;
    mg_stmt_t *stmt;
    apr_size_t len;

    make_thing(store);
    unit_store_ok(store->db, mg_db_exec(store->db, NULL,
        "INSERT INTO thing (id, t, b) VALUES (1, $1, $2), (2, $3, $4)",
        "tbtb", "", "", (apr_size_t)0, NULL, NULL, (apr_size_t)0));
    unit_store_ok(store->db, mg_db_query(&stmt, store->db,
        "SELECT t, b, n FROM thing ORDER BY id", ""));
    unit_store_ok(store->db, mg_stmt_next(stmt));
    assert_string_equal(mg_stmt_text(stmt, 0, store->p), "");
    assert_non_null(mg_stmt_blob(stmt, 1, &len, store->p));
    assert_int_equal(len, 0);
    assert_true(mg_stmt_is_null(stmt, 2));
    unit_store_ok(store->db, mg_stmt_next(stmt));
    assert_null(mg_stmt_text(stmt, 0, store->p));
    assert_null(mg_stmt_blob(stmt, 1, &len, store->p));
    assert_int_equal(mg_stmt_int(stmt, 2), 0);
    mg_stmt_done(stmt);
}

/* apr_dbd_pgsql counted a NULL blob as no parameter: what stood behind it
 * shifted. */
static void null_and_value_take_turns(void **state)
{
    unit_store_t *store = *state;
    const char *sql = "INSERT INTO thing (b, id, t, n) "
                      "VALUES ($1, $2, $3, $4)";

    make_thing(store);
    unit_store_ok(store->db, mg_db_exec(store->db, NULL, sql, "biti", NULL,
                                        (apr_size_t)0, I(1), "one", I(10)));
    unit_store_ok(store->db, mg_db_exec(store->db, NULL, sql, "biti", "x",
                                        (apr_size_t)1, I(2), NULL, I(20)));
    unit_store_ok(store->db, mg_db_exec(store->db, NULL, sql, "nitn", I(3),
                                        "three"));
    assert_int_equal(unit_store_int(store->db, "SELECT count(*) FROM thing "
        "WHERE (id = 1 AND b IS NULL AND t = 'one' AND n = 10) OR "
        "(id = 2 AND b IS NOT NULL AND t IS NULL AND n = 20) OR "
        "(id = 3 AND b IS NULL AND t = 'three' AND n IS NULL)"), 3);
}

/* PostgreSQL refuses what SQLite takes: both get it clean. */
static void text_goes_in_clean(void **state)
{
    unit_store_t *store = *state;
    mg_stmt_t *stmt;

    make_thing(store);
    unit_store_ok(store->db, add_thing(store->db, 1, "a\xff" "b\xc3"));
    unit_store_ok(store->db, mg_db_query(&stmt, store->db,
                                         "SELECT t FROM thing", ""));
    unit_store_ok(store->db, mg_stmt_next(stmt));
    assert_string_equal(mg_stmt_text(stmt, 0, store->p),
                        "a\xef\xbf\xbd" "b\xef\xbf\xbd");
    mg_stmt_done(stmt);
}

static void text_compares_bytewise(void **state)
{
    unit_store_t *store = *state;

    /* 'B' before 'a' before U+00E4 */
    assert_int_equal(unit_store_int(store->db,
        "SELECT count(*) FROM account"), 0);
    unit_store_ok(store->db, mg_db_exec(store->db, NULL,
        "INSERT INTO account (id, name, created_at) VALUES (1, 'a', 0), "
        "(2, 'B', 0), (3, $1, 0)", "t", "\xc3\xa4"));
    assert_int_equal(unit_store_int(store->db,
        "SELECT id FROM account ORDER BY name LIMIT 1"), 2);
    assert_int_equal(unit_store_int(store->db,
        "SELECT id FROM account ORDER BY name DESC LIMIT 1"), 3);
}

static void parameters_go_by_number(void **state)
{
    unit_store_t *store = *state;
    apr_int64_t v = 0;

    make_thing(store);
    unit_store_ok(store->db, mg_db_exec(store->db, NULL,
        "INSERT INTO thing (n, id, t) VALUES ($2, $1, $3)", "iit", I(1), I(2),
        "x"));
    unit_store_ok(store->db, mg_db_get_int(store->db, &v,
        "SELECT id FROM thing WHERE n = $2 AND id = $1 AND n = $2", "ii",
        I(1), I(2)));
    assert_int_equal(v, 1);
    unit_store_is(store->db, mg_db_get_int(store->db, &v,
        "SELECT id FROM thing WHERE n = $1", "i", I(99)), APR_ENOENT);
    assert_int_equal(v, 1);
    unit_store_is(store->db, mg_db_get_int(store->db, &v,
        "SELECT id FROM thing WHERE n = $1", "ii", I(1), I(2)), MG_ESQL);
    unit_store_is(store->db, mg_db_get_int(store->db, &v,
        "SELECT nothing FROM nowhere", ""), MG_ESQL);
    unit_store_is(store->db, mg_db_exec(store->db, NULL, "SELECT $1", "q"),
                  MG_ESQL);
}

/* What PostgreSQL gives as numeric or boolean is an integer for us. */
static void numbers_of_any_type(void **state)
{
    static const struct {
        const char *sql;
        apr_int64_t want;
    } cases[] = {
        { "SELECT sum(n) FROM thing", I(5000000100002) },
        { "SELECT COALESCE(sum(n), 0) FROM thing WHERE id < 0", 0 },
        { "SELECT -sum(n) FROM thing WHERE id = 1", -100002 },
        { "SELECT sum(n) FROM thing WHERE id = 2", I(5000000000000) },
        { "SELECT count(*) FROM thing", 2 },
        { "SELECT count(*) = 2 FROM thing", 1 },
        { "SELECT EXISTS (SELECT 1 FROM thing WHERE id = 9)", 0 },
        { "SELECT 3", 3 },
        { "SELECT CAST(2.0 AS DOUBLE PRECISION)", 2 },
        { "SELECT max(n) FROM thing", I(5000000000000) },
    };
    unit_store_t *store = *state;
    mg_stmt_t *stmt;
    apr_size_t i;

    make_thing(store);
    unit_store_ok(store->db, mg_db_exec(store->db, NULL,
        "INSERT INTO thing (id, n) VALUES (1, 100002), (2, 5000000000000)",
        ""));
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (unit_store_int(store->db, cases[i].sql) != cases[i].want)
            fail_msg("%s", cases[i].sql);
    unit_store_ok(store->db, mg_db_query(&stmt, store->db,
        "SELECT n FROM thing WHERE id = 1", ""));
    unit_store_ok(store->db, mg_stmt_next(stmt));
    assert_string_equal(mg_stmt_text(stmt, 0, store->p), "100002");
    mg_stmt_done(stmt);
}

/* --- statements --- */

static void affected_rows(void **state)
{
    static const struct {
        const char *sql;
        apr_int64_t want;
    } cases[] = {
        { "INSERT INTO thing (id) VALUES (1), (2), (3)", 3 },
        { "INSERT INTO thing (id) VALUES (1) ON CONFLICT (id) DO NOTHING", 0 },
        { "UPDATE thing SET n = 5 WHERE id = 1", 1 },
        { "UPDATE thing SET n = 6 WHERE id = 99", 0 },
        { "DELETE FROM thing WHERE id > 1", 2 },
        { "INSERT INTO thing (id, n) VALUES (1, 8) ON CONFLICT (id) DO "
          "UPDATE SET n = excluded.n", 1 },
    };
    unit_store_t *store = *state;
    apr_int64_t n;
    apr_size_t i;
    int in_tx;

    make_thing(store);
    for (in_tx = 0; in_tx < 2; in_tx++) {
        if (in_tx)
            unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
        for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
            n = -1;
            unit_store_ok(store->db, mg_db_exec(store->db, &n, cases[i].sql,
                                                ""));
            if (n != cases[i].want)
                fail_msg("%s: %d", cases[i].sql, (int)n);
        }
        unit_store_ok(store->db, mg_db_exec(store->db, NULL,
                                            "DELETE FROM thing", ""));
        if (in_tx)
            unit_store_ok(store->db, mg_tx_commit(store->db));
    }
}

static void returning_gives_rows(void **state)
{
    unit_store_t *store = *state;
    mg_db_t *other = unit_store_open(store, 0);
    mg_stmt_t *stmt;
    int n = 0;

    make_thing(store);
    unit_store_ok(store->db, mg_db_exec(store->db, NULL,
        "INSERT INTO thing (id, n) VALUES (1, 1), (2, 2), (3, 3)", ""));
    unit_store_ok(store->db, mg_db_query(&stmt, store->db,
        "UPDATE thing SET t = $1 WHERE n > $2 RETURNING id, t", "ti", "x",
        I(1)));
    while (mg_stmt_next(stmt) == APR_SUCCESS) {
        assert_string_equal(mg_stmt_text(stmt, 1, store->p), "x");
        n++;
    }
    assert_int_equal(n, 2);
    assert_int_equal(unit_store_int(other, "SELECT count(*) FROM thing "
                                           "WHERE t = 'x'"), 2);
    /* and it gave the line back */
    unit_store_ok(other, add_thing(other, 4, "y"));

    /* a write of its own while rows are half read */
    unit_store_ok(store->db, mg_db_query(&stmt, store->db,
        "DELETE FROM thing WHERE n > $1 RETURNING id", "i", I(2)));
    unit_store_ok(store->db, mg_stmt_next(stmt));
    unit_store_ok(store->db, add_thing(store->db, 5, "z"));
    mg_stmt_done(stmt);
    unit_store_ok(other, add_thing(other, 6, "y"));
    assert_int_equal(things(other), 5);
}

/* apr_dbd_pgsql freed rows early: what was read of one lives on. */
static void rows_live_as_said(void **state)
{
    enum { ROWS = 500 };
    unit_store_t *store = *state;
    mg_stmt_t *stmt, *inner;
    const char *texts[ROWS];
    char want[40];
    int i;

    make_thing(store);
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    for (i = 0; i < ROWS; i++)
        unit_store_ok(store->db, add_thing(store->db, i,
                                           apr_psprintf(store->p, "row %d",
                                                        i)));
    unit_store_ok(store->db, mg_tx_commit(store->db));
    unit_store_ok(store->db, mg_db_query(&stmt, store->db,
        "SELECT id, t FROM thing ORDER BY id", ""));
    for (i = 0; i < ROWS; i++) {
        apr_int64_t id;

        unit_store_ok(store->db, mg_stmt_next(stmt));
        id = mg_stmt_int(stmt, 0);
        /* another statement in between disturbs nothing */
        unit_store_ok(store->db, mg_db_query(&inner, store->db,
            "SELECT t FROM thing WHERE id = $1", "i", ROWS - 1 - id));
        unit_store_ok(store->db, mg_stmt_next(inner));
        mg_stmt_text(inner, 0, store->p);
        mg_stmt_done(inner);
        texts[i] = mg_stmt_text(stmt, 1, store->p);
    }
    unit_store_is(store->db, mg_stmt_next(stmt), APR_EOF);
    for (i = 0; i < ROWS; i++) {
        apr_snprintf(want, sizeof(want), "row %d", i);
        assert_string_equal(texts[i], want);
    }
}

static void used_twice_is_a_mistake(void **state)
{
    unit_store_t *store = *state;
    const char *sql = "SELECT id FROM thing";
    mg_stmt_t *one, *two;

    make_thing(store);
    unit_store_ok(store->db, add_thing(store->db, 1, "x"));
    unit_store_ok(store->db, mg_db_query(&one, store->db, sql, ""));
    unit_store_is(store->db, mg_db_query(&two, store->db, sql, ""), MG_ESQL);
    unit_store_is(store->db, mg_stmt_next(one), MG_ESQL);
    /* a leak is not for ever */
    assert_int_equal(unit_store_int(store->db, sql), 1);
}

static void many_texts_are_forgotten(void **state)
{
    unit_store_t *store = *state;
    int i, round;

    make_thing(store);
    for (round = 0; round < 2; round++) {
        unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
        for (i = 0; i < 1200; i++)
            unit_store_ok(store->db, mg_db_exec(store->db, NULL,
                apr_psprintf(store->p, "INSERT INTO thing (id) VALUES ($1) "
                             "-- %d", i), "i", I(round * 2000 + i)));
        unit_store_ok(store->db, mg_tx_commit(store->db));
    }
    assert_int_equal(things(store->db), 2400);
}

/* A point select in the same process, beside a long read. apr_dbd_sqlite3
 * held one mutex for all connections. */
static void *long_read(void *data)
{
    unit_store_t *store = data;
    apr_time_t begin = mg_ticks();
    apr_int64_t v;
    mg_db_t *db;
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    unit_store_ok(db, mg_db_open(&db, store->url, 0, p));
    do {
        unit_store_ok(db, mg_db_get_int(db, &v,
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c "
            "WHERE x < 1500000) SELECT count(*) FROM c", ""));
    } while (mg_ticks() - begin < 1000000);
    apr_pool_destroy(p);
    return NULL;
}

static void point_select_does_not_wait(void **state)
{
    unit_store_t *store = *state;
    apr_time_t begin, worst = 0;
    pthread_t thread;
    int i;

    make_thing(store);
    unit_store_ok(store->db, add_thing(store->db, 1, "x"));
    pthread_create(&thread, NULL, long_read, store);
    usleep(100000);
    for (i = 0; i < 50; i++) {
        begin = mg_ticks();
        assert_int_equal(things(store->db), 1);
        if (mg_ticks() - begin > worst)
            worst = mg_ticks() - begin;
        usleep(5000);
    }
    pthread_join(thread, NULL);
    print_message("           worst wait beside a long read: %d us\n",
                  (int)worst);
    assert_true(worst < 250000);
}

/* apr_dbd_sqlite3 never prepared anew. */
static void schema_change_is_followed(void **state)
{
    const char *all = "SELECT * FROM thing";
    unit_store_t *store = *state;
    mg_db_t *other = unit_store_open(store, 0);
    mg_stmt_t *stmt;
    apr_status_t rv;

    make_thing(store);
    unit_store_ok(store->db, add_thing(store->db, 1, "x"));
    assert_int_equal(unit_store_int(store->db, all), 1);
    unit_store_ok(other, mg_db_exec(other, NULL, "ALTER TABLE thing ADD "
                                    "COLUMN more BIGINT DEFAULT 42", ""));
    unit_store_ok(store->db, mg_db_query(&stmt, store->db, all, ""));
    unit_store_ok(store->db, mg_stmt_next(stmt));
    assert_int_equal(mg_stmt_int(stmt, 4), 42);
    mg_stmt_done(stmt);

    /* inside a transaction PostgreSQL can only begin again */
    unit_store_ok(other, mg_db_exec(other, NULL, "ALTER TABLE thing ADD "
                                    "COLUMN last BIGINT DEFAULT 43", ""));
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    rv = mg_db_query(&stmt, store->db, all, "");
    if (rv == MG_EBUSY) {
        mg_tx_rollback(store->db);
        unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
        rv = mg_db_query(&stmt, store->db, all, "");
    }
    unit_store_ok(store->db, rv);
    unit_store_ok(store->db, mg_stmt_next(stmt));
    assert_int_equal(mg_stmt_int(stmt, 5), 43);
    unit_store_ok(store->db, mg_tx_commit(store->db));
}

/* --- transactions --- */

static void only_commit_commits(void **state)
{
    unit_store_t *store = *state;
    mg_db_t *db;

    make_thing(store);
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    assert_true(mg_tx_is_open(store->db));
    assert_non_null(mg_tx_pool(store->db));
    unit_store_ok(store->db, add_thing(store->db, 1, "x"));
    mg_tx_rollback(store->db);
    assert_false(mg_tx_is_open(store->db));
    assert_null(mg_tx_pool(store->db));
    assert_int_equal(things(store->db), 0);

    /* the end of the pool is a rollback too */
    db = unit_store_open(store, 0);
    unit_store_ok(db, mg_tx_begin(db, MG_TX_WRITE));
    unit_store_ok(db, add_thing(db, 2, "x"));
    mg_db_close(db);
    assert_int_equal(things(store->db), 0);

    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    unit_store_ok(store->db, add_thing(store->db, 3, "x"));
    unit_store_ok(store->db, mg_tx_commit(store->db));
    assert_int_equal(things(store->db), 1);
    unit_store_is(store->db, mg_tx_commit(store->db), MG_ESQL);
}

/* transaction_end of apr_dbd returned success after a rollback. */
static void commit_after_an_error_is_none(void **state)
{
    unit_store_t *store = *state;

    make_thing(store);
    unit_store_ok(store->db, add_thing(store->db, 1, "x"));
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    unit_store_ok(store->db, add_thing(store->db, 2, "x"));
    (void)add_thing(store->db, 1, "again"); /* nobody looked */
    (void)add_thing(store->db, 3, "x");
    unit_store_is(store->db, mg_tx_commit(store->db), MG_ECONFLICT);
    assert_false(mg_tx_is_open(store->db));
    mg_tx_rollback(store->db); /* harmless */
    assert_int_equal(things(store->db), 1);

    /* the error shows at the next query at the latest */
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    (void)add_thing(store->db, 1, "again");
    {
        apr_int64_t v;
        unit_store_is(store->db, mg_db_get_int(store->db, &v,
            "SELECT count(*) FROM thing", ""), MG_ECONFLICT);
    }
    unit_store_is(store->db, mg_tx_error(store->db), MG_ECONFLICT);
    unit_store_is(store->db, mg_tx_commit(store->db), MG_ECONFLICT);
    unit_store_ok(store->db, add_thing(store->db, 2, "x"));
}

static void constraints_are_conflicts(void **state)
{
    static const char *const bad[] = {
        "INSERT INTO thing (id) VALUES (1)",
        "INSERT INTO thing (id, n) VALUES (2, 7)",
        "INSERT INTO thing (id, n) VALUES (2, 13)",
        "INSERT INTO thing (id, t) VALUES (2, 'bad')",
        "INSERT INTO account (id, name, created_at) VALUES (1, NULL, 0)",
    };
    unit_store_t *store = *state;
    apr_size_t i;

    make_thing(store);
    unit_store_ok(store->db, mg_db_exec(store->db, NULL,
        "INSERT INTO thing (id, n) VALUES (1, 7)", ""));
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        unit_store_is(store->db, mg_db_exec(store->db, NULL, bad[i], ""),
                      MG_ECONFLICT);
        assert_true(*mg_db_error(store->db));
    }
}

static void a_read_sees_one_moment(void **state)
{
    unit_store_t *store = *state;
    mg_db_t *other = unit_store_open(store, 0);

    make_thing(store);
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_READ));
    assert_int_equal(things(store->db), 0);
    unit_store_ok(other, add_thing(other, 1, "x"));
    assert_int_equal(things(store->db), 0);
    unit_store_ok(store->db, mg_tx_commit(store->db));
    assert_int_equal(things(store->db), 1);

    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_READ));
    (void)add_thing(store->db, 2, "x");
    assert_int_not_equal(mg_tx_commit(store->db), APR_SUCCESS);
    assert_int_equal(things(store->db), 1);
}

static void read_only_reads(void **state)
{
    unit_store_t *store = *state;
    mg_db_t *db;

    make_thing(store);
    unit_store_ok(store->db, add_thing(store->db, 1, "x"));
    db = unit_store_open(store, MG_DB_READONLY);
    assert_int_equal(things(db), 1);
    assert_int_not_equal(add_thing(db, 2, "x"), APR_SUCCESS);
    assert_int_equal(things(db), 1);
}

/* --- hooks --- */

typedef struct {
    int before, after;
    apr_status_t rv;
    apr_int64_t seen;
} counts_t;

static apr_status_t count_before(mg_db_t *db, void *baton)
{
    counts_t *c = baton;

    c->before++;
    if (c->rv == APR_SUCCESS)
        return add_thing(db, 100 + c->before, "hook");
    return c->rv;
}

static void count_after(mg_db_t *db, void *baton)
{
    counts_t *c = baton;

    c->after++;
    assert_false(mg_tx_is_open(db));
    unit_store_ok(db, mg_tx_begin(db, MG_TX_READ)); /* may have its own */
    c->seen = things(db);
    unit_store_ok(db, mg_tx_commit(db));
}

static void hooks_run_around_commit(void **state)
{
    unit_store_t *store = *state;
    counts_t c = { .rv = APR_SUCCESS };

    make_thing(store);
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    mg_tx_hook(store->db, count_before, NULL, &c);
    mg_tx_hook(store->db, NULL, count_after, &c);
    mg_tx_hook(store->db, count_before, NULL, &c); /* known already */
    assert_int_equal(c.before, 0);
    unit_store_ok(store->db, mg_tx_commit(store->db));
    assert_int_equal(c.before, 1);
    assert_int_equal(c.after, 1);
    assert_int_equal(c.seen, 1);

    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    mg_tx_hook(store->db, count_before, count_after, &c);
    mg_tx_rollback(store->db);
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    unit_store_ok(store->db, mg_tx_commit(store->db));
    assert_int_equal(c.before, 1);

    c.rv = MG_EQUOTA;
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    unit_store_ok(store->db, add_thing(store->db, 1, "x"));
    mg_tx_hook(store->db, count_before, count_after, &c);
    unit_store_is(store->db, mg_tx_commit(store->db), MG_EQUOTA);
    assert_int_equal(c.after, 1);
    assert_int_equal(things(store->db), 1);
}

/* --- errors told apart --- */

static void full_is_not_conflict(void **state)
{
    unit_store_t *store = *state;
    char *bytes = apr_pcalloc(store->p, 300000);

    make_thing(store);
    unit_store_ok(store->db, mg_db_script(store->db,
                                          "PRAGMA max_page_count = 80"));
    unit_store_is(store->db, mg_db_exec(store->db, NULL,
        "INSERT INTO thing (id, b) VALUES ($1, $2)", "ib", I(1), bytes,
        (apr_size_t)300000), MG_EFULL);
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    unit_store_ok(store->db, add_thing(store->db, 1, "x"));
    unit_store_is(store->db, mg_db_exec(store->db, NULL,
        "INSERT INTO thing (id, b) VALUES ($1, $2)", "ib", I(2), bytes,
        (apr_size_t)300000), MG_EFULL);
    unit_store_is(store->db, mg_tx_commit(store->db), MG_EFULL);
    assert_int_equal(things(store->db), 0);
    unit_store_ok(store->db, add_thing(store->db, 1, "small"));
}

static void sqlstates(void **state)
{
    static const struct {
        const char *state;
        apr_status_t want;
    } cases[] = {
        { "23505", MG_ECONFLICT }, { "23502", MG_ECONFLICT },
        { "23514", MG_ECONFLICT }, { "23P01", MG_ECONFLICT },
        { "53100", MG_EFULL },     { "53200", MG_EBUSY },
        { "53300", MG_EBUSY },     { "40001", MG_EBUSY },
        { "40P01", MG_EBUSY },     { "40003", MG_ELOST },
        { "55P03", MG_EBUSY },     { "57014", MG_EBUSY },
        { "57P01", MG_ELOST },     { "57P02", MG_ELOST },
        { "57P03", MG_ELOST },     { "57P05", MG_ELOST },
        { "08006", MG_ELOST },     { "08007", MG_ELOST },
        { "25P03", MG_ELOST },     { "58030", MG_EIO },
        { "XX001", MG_EIO },       { "XX000", MG_ESQL },
        { "42P01", MG_ESQL },      { "22021", MG_ESQL },
        { "25006", MG_ESQL },      { "", MG_ESQL },
    };
    apr_size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (db_pgsql_class_of(cases[i].state) != cases[i].want)
            fail_msg("%s", cases[i].state);
}

/* Somebody's sqlite3 outside of our line; a row lock on PostgreSQL. */
static void busy_sqlite(void **state)
{
    unit_store_t *store = *state;
    sqlite3 *theirs;

    make_thing(store);
    assert_int_equal(sqlite3_open(store->url + 7, &theirs), SQLITE_OK);
    assert_int_equal(sqlite3_exec(theirs, "BEGIN IMMEDIATE", NULL, NULL,
                                  NULL), SQLITE_OK);
    unit_store_is(store->db, mg_tx_begin(store->db, MG_TX_WRITE), MG_EBUSY);
    assert_false(mg_tx_is_open(store->db));
    assert_int_equal(things(store->db), 0);
    sqlite3_close(theirs);
    unit_store_ok(store->db, add_thing(store->db, 1, "x"));
}

static void busy_pgsql(void **state)
{
    unit_store_t *store = *state;
    mg_db_t *other = unit_store_open(store, 0);

    make_thing(store);
    unit_store_ok(store->db, mg_db_script(store->db,
                                          "SET lock_timeout = '100ms'"));
    unit_store_ok(other, add_thing(other, 1, "x"));
    unit_store_ok(other, mg_tx_begin(other, MG_TX_WRITE));
    unit_store_ok(other, mg_db_exec(other, NULL, "UPDATE thing SET t = 'y'",
                                    ""));
    assert_int_equal(things(other), 1); /* it is sent */
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    (void)mg_db_exec(store->db, NULL, "UPDATE thing SET t = 'z'", "");
    unit_store_is(store->db, mg_tx_commit(store->db), MG_EBUSY);
    unit_store_ok(other, mg_tx_commit(other));
}

/* --- lost connections --- */

static void terminate(unit_store_t *store, mg_db_t *victim)
{
    mg_db_t *other = unit_store_open(store, MG_DB_ANY_SCHEMA);
    apr_int64_t pid = 0, ok = 0;

    /* asked before there is a transaction; else the answer is the same */
    unit_store_ok(victim, mg_db_get_int(victim, &pid,
                                        "SELECT pg_backend_pid()", ""));
    unit_store_ok(other, mg_db_get_int(other, &ok,
        "SELECT pg_terminate_backend(CAST($1 AS INTEGER))", "i", pid));
    while (unit_store_int(other, apr_psprintf(store->p, "SELECT count(*) FROM "
               "pg_stat_activity WHERE pid = %d", (int)pid)) > 0)
        usleep(5000);
    mg_db_close(other);
}

/* apr_dbd_pgsql crashed here. */
static void lost_is_said_and_mended(void **state)
{
    unit_store_t *store = *state;
    apr_int64_t v;

    make_thing(store);
    unit_store_ok(store->db, add_thing(store->db, 1, "x"));

    /* idle */
    terminate(store, store->db);
    unit_store_is(store->db, mg_db_alive(store->db), MG_ELOST);
    unit_store_is(store->db, mg_tx_begin(store->db, MG_TX_WRITE), MG_ELOST);
    assert_true(*mg_db_error(store->db));
    unit_store_is(store->db, add_thing(store->db, 2, "x"), MG_ELOST);
    unit_store_ok(store->db, mg_db_reconnect(store->db));
    unit_store_ok(store->db, add_thing(store->db, 2, "x"));

    /* a statement of its own */
    terminate(store, store->db);
    unit_store_is(store->db, mg_db_get_int(store->db, &v,
        "SELECT count(*) FROM thing", ""), MG_ELOST);
    unit_store_ok(store->db, mg_db_reconnect(store->db));

    /* inside, with things in the pipeline */
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    unit_store_ok(store->db, add_thing(store->db, 3, "x"));
    terminate(store, store->db);
    (void)add_thing(store->db, 4, "x");
    unit_store_is(store->db, mg_tx_commit(store->db), MG_ELOST);
    mg_tx_rollback(store->db);
    unit_store_is(store->db, mg_tx_begin(store->db, MG_TX_WRITE), MG_ELOST);
    unit_store_ok(store->db, mg_db_reconnect(store->db));
    assert_int_equal(things(store->db), 2);

    /* with a row half read: it is here already */
    {
        mg_stmt_t *stmt;
        unit_store_ok(store->db, mg_db_query(&stmt, store->db,
                                             "SELECT id FROM thing", ""));
        unit_store_ok(store->db, mg_stmt_next(stmt));
        terminate(store, store->db);
        unit_store_ok(store->db, mg_stmt_next(stmt));
        mg_stmt_done(stmt);
    }
    unit_store_is(store->db, mg_tx_begin(store->db, MG_TX_READ), MG_ELOST);
    mg_db_reset(store->db);
}

static void nobody_there(void **state)
{
    apr_pool_t *p;
    mg_db_t *db;

    (void)state;
    apr_pool_create(&p, NULL);
    unit_store_is(db, mg_db_open(&db, "postgresql://mailgun@127.0.0.1:1/x", 0,
                                 p), MG_ELOST);
    assert_true(*mg_db_error(db));
    unit_store_is(db, mg_tx_begin(db, MG_TX_READ), MG_ELOST);
    unit_store_is(db, mg_db_exec(db, NULL, "SELECT 1", ""), MG_ELOST);
    unit_store_is(db, mg_db_reconnect(db), MG_ELOST);
    unit_store_is(db, mg_db_open(&db, "mysql://x", 0, p), MG_ECONFIG);
    assert_non_null(strstr(mg_db_error(db), "mysql://x"));
    unit_store_is(db, mg_db_open(&db, "sqlite:/nowhere/at/all.db", 0, p),
                  MG_ESCHEMA);
    assert_string_equal(mg_db_error(db), "store /nowhere/at/all.db does not "
                                         "exist: run mailgunctl init");
    unit_store_is(db, mg_db_open(&db, "sqlite:/nowhere/at/all.db",
                                 MG_DB_CREATE, p), MG_EIO);
    apr_pool_destroy(p);
}

/* --- big batches: neither side may wait for the other for ever --- */

static void a_big_batch_passes(void **state)
{
    enum { N = 300, SIZE = 100000 };
    unit_store_t *store = *state;
    char *bytes = apr_pcalloc(store->p, SIZE);
    int i;

    make_thing(store);
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    for (i = 0; i < N; i++)
        unit_store_ok(store->db, mg_db_exec(store->db, NULL,
            "INSERT INTO thing (id, b) VALUES ($1, $2) RETURNING b", "ib",
            I(i), bytes, (apr_size_t)SIZE));
    unit_store_ok(store->db, mg_tx_commit(store->db));
    assert_int_equal(unit_store_int(store->db,
                                    "SELECT sum(length(b)) FROM thing"),
                     I(N) * SIZE);
}

/* --- forks, files, pragmas --- */

static void a_fork_disturbs_nobody(void **state)
{
    unit_store_t *store = *state;
    pid_t pid;
    int status;

    make_thing(store);
    unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
    unit_store_ok(store->db, add_thing(store->db, 1, "x"));
    assert_int_equal(things(store->db), 1);
    pid = fork();
    if (pid == 0) {
        apr_pool_destroy(store->p); /* its cleanups, in the child */
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    unit_store_ok(store->db, add_thing(store->db, 2, "x"));
    unit_store_ok(store->db, mg_tx_commit(store->db));
    assert_int_equal(things(store->db), 2);
}

static void files_are_the_groups(void **state)
{
    static const char *const names[] = { "", "-wal", "-shm", "-line",
                                         "-turn" };
    unit_store_t *store = *state;
    mode_t mask = umask(077);
    struct stat st;
    mg_db_t *db;
    apr_size_t i;
    char *url = apr_pstrcat(store->p, store->url, "2", NULL);

    unit_store_ok(db, mg_db_open(&db, url, MG_DB_CREATE, store->p));
    unit_store_ok(db, mg_db_script(db, "CREATE TABLE x (y BIGINT)"));
    umask(mask);
    for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
        assert_int_equal(stat(apr_pstrcat(store->p, url + 7, names[i], NULL),
                              &st), 0);
        assert_int_equal(st.st_mode & 0777, 0660);
    }
    /* the log stays: a reader could not make it */
    mg_db_close(db);
    assert_int_equal(stat(apr_pstrcat(store->p, url + 7, "-wal", NULL), &st),
                     0);
}

static void pragmas_are_set(void **state)
{
    static const struct {
        const char *sql;
        apr_int64_t full, relaxed;
    } cases[] = {
        { "PRAGMA synchronous", 1, 1 }, /* the rest is db_sqlite_sync() */
        { "PRAGMA secure_delete", 0, 0 },
        { "PRAGMA foreign_keys", 0, 0 },
        { "PRAGMA wal_autocheckpoint", 0, 0 },
        { "PRAGMA busy_timeout", 3000, 3000 },
    };
    unit_store_t *store = *state;
    mg_db_t *relaxed = unit_store_open(store, MG_DB_RELAXED);
    mg_stmt_t *stmt;
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(unit_store_int(store->db, cases[i].sql),
                         cases[i].full);
        assert_int_equal(unit_store_int(relaxed, cases[i].sql),
                         cases[i].relaxed);
    }
    unit_store_ok(store->db, mg_db_query(&stmt, store->db,
                                         "PRAGMA journal_mode", ""));
    unit_store_ok(store->db, mg_stmt_next(stmt));
    assert_string_equal(mg_stmt_text(stmt, 0, store->p), "wal");
    mg_stmt_done(stmt);
}

/* Ours comes before the C library's. */
static int syncs, syncs_fail;
int fdatasync(int fd)
{
    (void)fd;
    syncs++;
    errno = EIO;
    return syncs_fail ? -1 : 0;
}

static int syncs_since(int *pbefore)
{
    int n = syncs - *pbefore;

    *pbefore = syncs;
    return n;
}

static void sqlite_commits_wait_for_the_disk(void **state)
{
    unit_store_t *store = *state;
    mg_db_t *relaxed = unit_store_open(store, MG_DB_RELAXED);
    mg_db_t *db = store->db;
    mg_stmt_t *stmt;
    int n = syncs;

    unit_store_ok(db, mg_db_script(db, "CREATE TABLE s (x BIGINT)"));
    assert_int_equal(syncs_since(&n) > 0, 1);
    unit_store_ok(db, mg_tx_begin(db, MG_TX_WRITE));
    unit_store_ok(db, mg_db_exec(db, NULL, "INSERT INTO s VALUES (1)", ""));
    assert_int_equal(syncs_since(&n), 0);
    unit_store_ok(db, mg_tx_commit(db));
    assert_int_equal(syncs_since(&n), 1);
    unit_store_ok(db, mg_db_exec(db, NULL, "INSERT INTO s VALUES (2)", ""));
    assert_int_equal(syncs_since(&n), 1);
    unit_store_ok(db, mg_db_query(&stmt, db, "UPDATE s SET x = 3 WHERE x = 2"
                                  " RETURNING x", ""));
    assert_int_equal(mg_stmt_next(stmt), APR_SUCCESS);
    assert_int_equal(mg_stmt_next(stmt), APR_EOF);
    assert_int_equal(syncs_since(&n), 1);

    /* these need not */
    assert_int_equal(unit_store_int(db, "SELECT COUNT(*) FROM s"), 2);
    unit_store_ok(db, mg_tx_begin(db, MG_TX_READ));
    unit_store_ok(db, mg_tx_commit(db));
    unit_store_ok(db, mg_tx_begin(db, MG_TX_WRITE));
    mg_tx_lazy(db);
    unit_store_ok(db, mg_db_exec(db, NULL, "INSERT INTO s VALUES (4)", ""));
    unit_store_ok(db, mg_tx_commit(db));
    unit_store_ok(relaxed, mg_db_exec(relaxed, NULL,
                                      "INSERT INTO s VALUES (5)", ""));
    assert_int_equal(syncs_since(&n), 0);

    /* lazy is one transaction, not the next */
    unit_store_ok(db, mg_tx_begin(db, MG_TX_WRITE));
    unit_store_ok(db, mg_db_exec(db, NULL, "INSERT INTO s VALUES (6)", ""));
    syncs_fail = 1;
    assert_int_equal(mg_tx_commit(db), MG_EIO);
    assert_int_equal(mg_db_exec(db, NULL, "INSERT INTO s VALUES (7)", ""),
                     MG_EIO);
    syncs_fail = 0;
    assert_int_equal(syncs_since(&n), 2);
    assert_int_equal(unit_store_int(db, "SELECT COUNT(*) FROM s WHERE x = 7"),
                     0);

    /* a sync that works says nothing of what the one before it lost: first
     * the log goes into the store, and nothing while that cannot be done */
    unit_store_ok(relaxed, mg_tx_begin(relaxed, MG_TX_READ));
    assert_int_equal(unit_store_int(relaxed, "SELECT COUNT(*) FROM s"), 5);
    unit_store_ok(db, mg_db_exec(db, NULL, "INSERT INTO s VALUES (8)", ""));
    assert_true(syncs_since(&n) >= 3); /* log, store; and log */
    unit_store_ok(db, mg_db_exec(db, NULL, "INSERT INTO s VALUES (9)", ""));
    assert_int_equal(syncs_since(&n), 1);
    syncs_fail = 1;
    assert_int_equal(mg_db_exec(db, NULL, "INSERT INTO s VALUES (10)", ""),
                     MG_EIO);
    syncs_fail = 0;
    assert_int_equal(mg_tx_begin(db, MG_TX_WRITE), MG_EIO);
    mg_tx_rollback(relaxed);
    unit_store_ok(db, mg_tx_begin(db, MG_TX_WRITE));
    mg_tx_rollback(db);
}

static void commits_wait_for_the_disk(void **state)
{
    unit_store_t *store = *state;
    mg_db_t *relaxed = unit_store_open(store, MG_DB_RELAXED);
    const char *sql = "SELECT current_setting('synchronous_commit') = 'on'";

    assert_int_equal(unit_store_int(store->db, sql), 1);
    assert_int_equal(unit_store_int(relaxed, sql), 0);
}

/* Eight by one statement, the rest one by one; what is there is added to. */
static void rows_by_few_statements(void **state)
{
    unit_store_t *s = *state;
    mg_value_t values[3 * 20];
    int i;

    unit_store_ok(s->db, mg_db_script(s->db, "CREATE TABLE many (id BIGINT"
                                      " PRIMARY KEY, name VARCHAR(9),"
                                      " n BIGINT)"));
    for (i = 0; i < 20; i++) {
        values[3 * i].num = i;
        values[3 * i + 1].text = i % 2 ? "a\xff" : NULL;
        values[3 * i + 2].num = 10 + i;
    }
    assert_int_equal(mg_db_exec_rows(s->db, "INSERT INTO many (id, name, n)",
                                     "", "iti", values, 20), MG_ESQL);
    for (i = 0; i <= 20; i++) {
        unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
        unit_store_ok(s->db, mg_db_exec_rows(
                                 s->db, "INSERT INTO many (id, name, n)",
                                 " ON CONFLICT (id) DO UPDATE"
                                 " SET n = many.n + excluded.n", "iti",
                                 values, i));
        unit_store_ok(s->db, mg_tx_commit(s->db));
        assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM many"),
                         i);
    }
    assert_int_equal(unit_store_int(s->db, "SELECT n FROM many WHERE id = 0"),
                     200);
    assert_int_equal(unit_store_int(s->db, "SELECT n FROM many WHERE id = 17"),
                     81);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM many"
                                    " WHERE name IS NULL"), 10);
    unit_store_ok(s->db, mg_db_script(s->db, "DROP TABLE many"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(values_come_back_exact),
        UNIT_ON_BOTH(empty_is_not_null),
        UNIT_ON_BOTH(null_and_value_take_turns),
        UNIT_ON_BOTH(text_goes_in_clean),
        UNIT_ON_BOTH(text_compares_bytewise),
        UNIT_ON_BOTH(parameters_go_by_number),
        UNIT_ON_BOTH(numbers_of_any_type),
        UNIT_ON_BOTH(affected_rows),
        UNIT_ON_BOTH(returning_gives_rows),
        UNIT_ON_BOTH(rows_live_as_said),
        UNIT_ON_BOTH(used_twice_is_a_mistake),
        UNIT_ON_BOTH(many_texts_are_forgotten),
        UNIT_ON_BOTH(point_select_does_not_wait),
        UNIT_ON_BOTH(schema_change_is_followed),
        UNIT_ON_BOTH(only_commit_commits),
        UNIT_ON_BOTH(commit_after_an_error_is_none),
        UNIT_ON_BOTH(constraints_are_conflicts),
        UNIT_ON_BOTH(a_read_sees_one_moment),
        UNIT_ON_BOTH(read_only_reads),
        UNIT_ON_BOTH(hooks_run_around_commit),
        UNIT_ON_SQLITE(full_is_not_conflict),
        cmocka_unit_test(sqlstates),
        UNIT_ON_SQLITE(busy_sqlite),
        UNIT_ON_PGSQL(busy_pgsql),
        UNIT_ON_PGSQL(lost_is_said_and_mended),
        cmocka_unit_test(nobody_there),
        UNIT_ON_BOTH(a_big_batch_passes),
        UNIT_ON_BOTH(a_fork_disturbs_nobody),
        UNIT_ON_BOTH(rows_by_few_statements),
        UNIT_ON_SQLITE(files_are_the_groups),
        UNIT_ON_SQLITE(pragmas_are_set),
        UNIT_ON_SQLITE(sqlite_commits_wait_for_the_disk),
        UNIT_ON_PGSQL(commits_wait_for_the_disk),
    };

    return unit_store_run("db", tests);
}
