/* test_migrate.c - numbered migrations, and programs of another age. */
#include <pthread.h>
#include <string.h>
#include <apr_strings.h>
#include "mg_migrate.h"
#include "mg_status.h"
#include "unit_store.h"

static void from_nothing(void **state)
{
    unit_store_t *store = *state;
    int from = -1, to = -1;
    const char *words;
    mg_db_t *db;

    /* before: refused, in words */
    unit_store_is(db, mg_db_open(&db, store->url, 0, store->p), MG_ESCHEMA);
    assert_string_equal(mg_db_error(db), apr_psprintf(store->p,
        "the store has version 0, this program needs %d: run mailgunctl init",
        MG_SCHEMA_VERSION));
    unit_store_ok(store->db, mg_migrate(store->db, &from, &to));
    assert_int_equal(from, 0);
    assert_int_equal(to, MG_SCHEMA_VERSION);
    unit_store_ok(store->db, mg_schema_check(store->db, &words, store->p));
    assert_null(words);
    unit_store_ok(db, mg_db_open(&db, store->url, 0, store->p));

    /* again: nothing to do */
    unit_store_ok(store->db, mg_migrate(store->db, &from, &to));
    assert_int_equal(from, MG_SCHEMA_VERSION);
    assert_int_equal(to, MG_SCHEMA_VERSION);
    assert_int_equal(unit_store_int(store->db,
        "SELECT count(*) FROM schema_version"), 1);
}

static void other_ages(void **state)
{
    static const struct {
        int version, min_program; /* added to ours */
        apr_status_t want;
        const char *words;
    } cases[] = {
        { 0, 0, APR_SUCCESS, NULL },
        { 1, 0, APR_SUCCESS, NULL }, /* expanded by a newer one: it runs */
        { 5, 0, APR_SUCCESS, NULL },
        { 1, 1, MG_ESCHEMA, "install the newer programs" },
        { -1, 0, MG_ESCHEMA, "run mailgunctl init" },
    };
    unit_store_t *store = *state;
    apr_size_t i;
    mg_db_t *db;
    int from, to;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        unit_store_ok(store->db, mg_db_exec(store->db, NULL,
            "UPDATE schema_version SET version = $1, min_program = $2", "ii",
            (apr_int64_t)(MG_SCHEMA_VERSION + cases[i].version),
            (apr_int64_t)(MG_SCHEMA_VERSION + cases[i].min_program)));
        unit_store_is(db, mg_db_open(&db, store->url, 0, store->p),
                      cases[i].want);
        if (cases[i].words)
            assert_non_null(strstr(mg_db_error(db), cases[i].words));
        mg_db_close(db);
        /* who says so may look all the same */
        unit_store_ok(db, mg_db_open(&db, store->url, MG_DB_ANY_SCHEMA,
                                     store->p));
        mg_db_close(db);
    }
    /* an old mailgunctl init leaves a newer store alone */
    unit_store_ok(store->db, mg_db_exec(store->db, NULL,
        "UPDATE schema_version SET version = $1, min_program = $1", "i",
        (apr_int64_t)(MG_SCHEMA_VERSION + 1)));
    unit_store_ok(store->db, mg_migrate(store->db, &from, &to));
    assert_int_equal(from, MG_SCHEMA_VERSION + 1);
    assert_int_equal(to, MG_SCHEMA_VERSION + 1);
}

/* A store of an older version is refused, brought up to date where it is, and
 * keeps what it holds. */
static void step_by_step(void **state)
{
    unit_store_t *store = *state;
    int from = -1, to = -1;
    mg_db_t *db;

    unit_store_ok(store->db, mg_migrate_to(store->db, 1, &from, &to));
    assert_int_equal(from, 0);
    assert_int_equal(to, 1);
    unit_store_ok(store->db, mg_db_script(store->db,
        "INSERT INTO account (id, name, created_at) VALUES (1, 'a', 0);"
        "INSERT INTO stat (domain_id, day, kind, tag, slot, n)"
        " VALUES (1, 2, 'accepted', '', 3, 4);"
        "INSERT INTO account_usage (account_id, day, kind, slot, n)"
        " VALUES (1, 2, 'accepted', 3, 4), (1, 2, 'accepted.in', 3, 5),"
        " (1, 2, 'failed', 3, 6);"));
    unit_store_is(db, mg_db_open(&db, store->url, 0, store->p), MG_ESCHEMA);
    mg_db_close(db);
    unit_store_ok(store->db, mg_migrate(store->db, &from, &to));
    assert_int_equal(from, 1);
    assert_int_equal(to, MG_SCHEMA_VERSION);
    assert_int_equal(unit_store_int(store->db,
        "SELECT count(*) FROM account"), 1);
    assert_int_equal(unit_store_int(store->db, "SELECT n FROM stat"
        " WHERE domain_id = 1 AND day = 2 AND kind = 'accepted'"), 4);
    assert_int_equal(unit_store_int(store->db, "SELECT n FROM account_usage"
        " WHERE kind = 'received'"), 5);
    assert_int_equal(unit_store_int(store->db,
        "SELECT count(*) FROM account_usage"), 2);
    unit_store_ok(db, mg_db_open(&db, store->url, 0, store->p));
    mg_db_close(db);
}

/* What a store of the last release holds is there afterwards, and is counted. */
static void from_a_store_in_use(void **state)
{
    static const struct {
        const char *sql;
        int want;
    } checks[] = {
        { "SELECT count(*) FROM event", 4 },
        { "SELECT n FROM event_hour WHERE domain_id = 1 AND hour = 10", 2 },
        { "SELECT n FROM event_hour WHERE domain_id = 1 AND hour = 11", 1 },
        { "SELECT n FROM event_hour WHERE domain_id = 2 AND hour = 10", 1 },
        { "SELECT count(*) FROM event_hour WHERE slot = 0", 3 },
        { "SELECT n FROM suppression_total WHERE domain_id = 1"
          " AND kind = 0", 2 },
        { "SELECT n FROM suppression_total WHERE domain_id = 1"
          " AND kind = 1", 1 },
        { "SELECT n FROM suppression_total WHERE domain_id = 2"
          " AND kind = 2", 1 },
        { "SELECT count(*) FROM suppression_total WHERE slot = 0", 3 },
        { "SELECT count(*) FROM campaign_name WHERE domain_id = 1"
          " AND public_id = 'news' AND since = 0 AND campaign_id = 7"
          " AND until = 9223372036854775807", 1 },
        { "SELECT count(*) FROM message WHERE summary = '{}'", 1 },
        { "SELECT count(*) FROM account WHERE campaign_limit IS NULL", 1 },
        { "SELECT n FROM stat WHERE domain_id = 1 AND slot = 3", 4 },
        { "SELECT count(*) FROM stat_tag", 0 },
    };
    unit_store_t *store = *state;
    int from, to;
    size_t i;

    unit_store_ok(store->db, mg_migrate_to(store->db, 7, &from, &to));
    assert_int_equal(to, 7);
    /* ids of hours 10 and 11: the hour's milliseconds above 22 bits */
    unit_store_ok(store->db, mg_db_script(store->db,
        "INSERT INTO account (id, name, created_at) VALUES (1, 'a', 0);"
        "INSERT INTO message (id, account_id, domain_id, direction, method,"
        " message_id, sender, from_header, subject, options, variables, size,"
        " recipients, deliveries, created_at) VALUES (5, 1, 1, 0, 'http',"
        " 'm@a', 'a@a', 'a@a', '', '{}', '{}', 1, 1, 1, 0);"
        "INSERT INTO event (id, account_id, domain_id, message_id,"
        " delivery_id, kind, recipient, log_text, detail, created_at) VALUES"
        " (36000000 * CAST(4194304 AS BIGINT), 1, 1, 5, 0, 'accepted', 'b@x',"
        "  '', '{}', 0),"
        " (39599999 * CAST(4194304 AS BIGINT) + 4194303, 1, 1, 5, 0,"
        "  'delivered', 'b@x', '', '{}', 0),"
        " (39600000 * CAST(4194304 AS BIGINT), 1, 1, 5, 0, 'failed', 'b@x',"
        "  '', '{}', 0),"
        " (36000001 * CAST(4194304 AS BIGINT), 1, 2, 5, 0, 'accepted', 'b@x',"
        "  '', '{}', 0);"
        "INSERT INTO stat (domain_id, day, kind, tag, slot, n)"
        " VALUES (1, 2, 'accepted', '', 3, 4);"
        "INSERT INTO bounce (domain_id, address_lc, address, code, error,"
        " class, created_at) VALUES (1, 'a@x', 'a@x', '550', '', '', 0),"
        " (1, 'b@x', 'b@x', '550', '', '', 0);"
        "INSERT INTO unsubscribe (domain_id, address_lc, tag, address,"
        " public_id, created_at) VALUES (1, 'a@x', '*', 'a@x', 'p', 0);"
        "INSERT INTO complaint (domain_id, address_lc, address, count,"
        " created_at) VALUES (2, 'a@x', 'a@x', 3, 0);"
        "INSERT INTO campaign (id, domain_id, public_id, name, created_at)"
        " VALUES (7, 1, 'news', 'News', 0);"));
    unit_store_ok(store->db, mg_migrate(store->db, &from, &to));
    assert_int_equal(from, 7);
    assert_int_equal(to, MG_SCHEMA_VERSION);
    for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        if (unit_store_int(store->db, checks[i].sql) != checks[i].want)
            fail_msg("%s: not %d", checks[i].sql, checks[i].want);
}

/* Two inits at once: one does it, the other finds it done. */
typedef struct {
    const char *url;
    apr_status_t rv;
    pthread_t thread;
} init_t;

static void *init(void *data)
{
    init_t *in = data;
    apr_pool_t *p;
    mg_db_t *db;
    int from, to;

    apr_pool_create(&p, NULL);
    in->rv = mg_db_open(&db, in->url, MG_DB_CREATE, p);
    if (in->rv == APR_SUCCESS)
        in->rv = mg_migrate(db, &from, &to);
    if (in->rv != APR_SUCCESS)
        print_error("%s\n", mg_db_error(db));
    apr_pool_destroy(p);
    return NULL;
}

static void two_at_once(void **state)
{
    unit_store_t *store = *state;
    init_t inits[4];
    int i;

    for (i = 0; i < 4; i++) {
        inits[i].url = store->url;
        pthread_create(&inits[i].thread, NULL, init, &inits[i]);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(inits[i].thread, NULL);
        assert_int_equal(inits[i].rv, APR_SUCCESS);
    }
    assert_int_equal(unit_store_int(store->db,
        "SELECT count(*) FROM schema_version"), 1);
    assert_int_equal(unit_store_int(store->db,
        "SELECT version FROM schema_version"), MG_SCHEMA_VERSION);
}

/* Keys are rowids, narrow composite ones WITHOUT ROWID: no second b-tree. */
static void sqlite_keys_cost_no_index(void **state)
{
    static const char *const tables[] = {
        "account", "message", "delivery", "event", "mailbox_usage",
        "setting", "stat", "stat_tag", "account_usage", "destination",
    };
    unit_store_t *store = *state;
    apr_size_t i;

    for (i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        assert_int_equal(unit_store_int(store->db, apr_psprintf(store->p,
            "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND "
            "tbl_name = '%s' AND name LIKE 'sqlite_autoindex%%' AND "
            "'%s' <> 'account'", tables[i], tables[i])), 0);
}

static void pgsql_text_is_bytewise(void **state)
{
    unit_store_t *store = *state;

    assert_int_equal(unit_store_int(store->db,
        "SELECT count(*) FROM information_schema.columns WHERE table_schema "
        "= 'public' AND data_type = 'text' AND collation_name IS DISTINCT "
        "FROM 'C'"), 0);
}

/* Lines of the schema that are PostgreSQL's alone. */
static void pgsql_lines_apply(void **state)
{
    unit_store_t *store = *state;

    assert_int_equal(unit_store_int(store->db,
        "SELECT count(*) FROM pg_class WHERE relname IN ('content', "
        "'delivery') AND reloptions IS NOT NULL"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_EMPTY_ON_BOTH(from_nothing),
        UNIT_ON_BOTH(other_ages),
        UNIT_EMPTY_ON_BOTH(step_by_step),
        UNIT_EMPTY_ON_BOTH(from_a_store_in_use),
        UNIT_EMPTY_ON_BOTH(two_at_once),
        UNIT_ON_SQLITE(sqlite_keys_cost_no_index),
        UNIT_ON_PGSQL(pgsql_text_is_bytewise),
        UNIT_ON_PGSQL(pgsql_lines_apply),
    };

    return unit_store_run("migrate", tests);
}
