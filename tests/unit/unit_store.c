/* unit_store.c - a fresh store for each test (unit_store.h). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <libpq-fe.h>
#include "mg_id.h"
#include "mg_migrate.h"
#include "mg_status.h"
#include "unit_dir.h"
#include "unit_pgsql.h"
#include "unit_store.h"

/* --- the program's folder --- */

static char top[300];
static pid_t top_pid;
static apr_pool_t *root;

static void remove_top(void)
{
    if (top_pid == getpid())
        unit_dir_remove(top);
}

void unit_store_begin(void)
{
    if (top_pid == getpid())
        return;
    apr_initialize();
    mg_id_init();
    apr_pool_create(&root, NULL);
    if (!unit_dir_make(top, sizeof(top), "unit")) {
        perror(top);
        exit(1);
    }
    top_pid = getpid();
    atexit(remove_top);
}

/* --- words --- */

void unit_store_is_at(mg_db_t *db, apr_status_t rv, apr_status_t want,
                      const char *what, const char *file, int line)
{
    char is[120], wanted[120];

    if (rv == want)
        return;
    print_error("%s\n  is %d (%s), wanted %d (%s)\n  store: %s\n", what, rv,
                mg_strerror(rv, is, sizeof(is)), want,
                mg_strerror(want, wanted, sizeof(wanted)),
                db ? mg_db_error(db) : "");
    _fail(file, line);
}

apr_int64_t unit_store_int(mg_db_t *db, const char *sql)
{
    apr_int64_t value = 0;

    unit_store_ok(db, mg_db_get_int(db, &value, sql, ""));
    return value;
}

/* --- PostgreSQL --- */

/* The run's server (tests/run_unit.py), if there is one: then other programs
 * have databases on it too, and names of ours begin with our pid. */
static int pgsql_port;
static PGconn *admin;

static void pgsql_admin(const char *sql)
{
    PGresult *r = PQexec(admin, sql);
    int good = PQresultStatus(r) == PGRES_COMMAND_OK
               || PQresultStatus(r) == PGRES_TUPLES_OK;

    if (!good)
        print_error("%s: %s", sql, PQerrorMessage(admin));
    PQclear(r);
    if (!good)
        fail();
}

static const char *pgsql_url(apr_pool_t *p, const char *name)
{
    return apr_psprintf(p, "postgresql://mailgun@127.0.0.1:%d/%s", pgsql_port,
                        name);
}

/* Programs that come at the same time make it once. */
static void make_template(void)
{
    apr_pool_t *p;
    PGresult *r;
    mg_db_t *db;
    int from, to, there;

    pgsql_admin("SELECT pg_advisory_lock(1)");
    r = PQexec(admin, "SELECT 1 FROM pg_database WHERE datname = 'migrated'");
    there = PQntuples(r) == 1;
    PQclear(r);
    if (!there) {
        pgsql_admin("CREATE DATABASE migrated");
        apr_pool_create(&p, root);
        unit_store_ok(db, mg_db_open(&db, pgsql_url(p, "migrated"),
                                     MG_DB_CREATE, p));
        unit_store_ok(db, mg_migrate(db, &from, &to));
        apr_pool_destroy(p);
    }
    pgsql_admin("SELECT pg_advisory_unlock(1)");
}

static void need_server(void)
{
    static unit_pgsql_t server;
    const char *given = getenv("MG_UNIT_PGSQL_PORT"), *why;
    char info[80];

    if (admin)
        return;
    if (given) {
        pgsql_port = (int)strtol(given, NULL, 10);
    } else {
        why = unit_pgsql_start(&server, 0);
        if (why) {
            print_error("PostgreSQL: %s (log: %s/log)\n", why, server.dir);
            fail();
        }
        pgsql_port = server.port;
    }
    snprintf(info, sizeof(info),
             "host=127.0.0.1 port=%d user=mailgun dbname=postgres",
             pgsql_port);
    admin = PQconnectdb(info);
    make_template();
}

int unit_store_pgsql_port(void)
{
    return pgsql_port;
}

const char *unit_store_url_at(unit_store_t *store, int port)
{
    return apr_psprintf(store->p, "postgresql://mailgun@127.0.0.1:%d%s", port,
                        strrchr(store->url, '/'));
}

/* --- one test's store --- */

static unit_store_t *make_store(mg_db_kind_t kind)
{
    static int number;
    unit_store_t *store;
    apr_pool_t *p;
    char *dir;

    unit_fault_clear();
    apr_pool_create(&p, root);
    store = apr_pcalloc(p, sizeof(*store));
    store->p = p;
    store->kind = kind;
    dir = apr_psprintf(p, "%s/t%d", top, ++number);
    mkdir(dir, 0755);
    store->dir = dir;
    store->url = kind == MG_DB_SQLITE
                     ? apr_psprintf(p, "sqlite:%s/mailgun.db", dir)
                     : pgsql_url(p, apr_psprintf(p, "t%d_%d", getpid(),
                                                number));
    return store;
}

static int sqlite_setup(void **state, int empty)
{
    unit_store_t *store = make_store(MG_DB_SQLITE);
    int from, to;

    *state = store;
    unit_store_ok(store->db, mg_db_open(&store->db, store->url, MG_DB_CREATE,
                                        store->p));
    if (!empty)
        unit_store_ok(store->db, mg_migrate(store->db, &from, &to));
    return 0;
}

static const char *pgsql_name(const unit_store_t *store)
{
    return strrchr(store->url, '/') + 1;
}

static int pgsql_setup(void **state, int empty)
{
    unit_store_t *store;

    need_server();
    store = make_store(MG_DB_PGSQL);
    *state = store;
    /* a third of the work of PostgreSQL 15's usual way, as nothing is synced */
    pgsql_admin(apr_psprintf(store->p, "CREATE DATABASE %s TEMPLATE %s "
                             "STRATEGY file_copy", pgsql_name(store),
                             empty ? "template0" : "migrated"));
    unit_store_ok(store->db, mg_db_open(&store->db, store->url, MG_DB_CREATE,
                                        store->p));
    return 0;
}

int unit_sqlite_setup(void **state)
{
    return sqlite_setup(state, 0);
}

int unit_sqlite_empty_setup(void **state)
{
    return sqlite_setup(state, 1);
}

int unit_pgsql_setup(void **state)
{
    return pgsql_setup(state, 0);
}

int unit_pgsql_empty_setup(void **state)
{
    return pgsql_setup(state, 1);
}

int unit_store_teardown(void **state)
{
    unit_store_t *store = *state;
    char dir[400], drop[100] = "";

    unit_fault_clear();
    snprintf(dir, sizeof(dir), "%s", store->dir);
    if (store->kind == MG_DB_PGSQL)
        snprintf(drop, sizeof(drop), "DROP DATABASE %s WITH (FORCE)",
                 pgsql_name(store));
    apr_pool_destroy(store->p);
    if (*drop)
        pgsql_admin(drop);
    unit_dir_remove(dir);
    return 0;
}

mg_db_t *unit_store_open(unit_store_t *store, int flags)
{
    mg_db_t *db;

    unit_store_ok(db, mg_db_open(&db, store->url, flags, store->p));
    return db;
}

/* --- failpoints: the file of mg_fault.c --- */

typedef struct {
    char name[40];
    int32_t action, pad;
    int64_t argument, count, hits;
} fault_slot_t;

typedef struct {
    char magic[8];
    int64_t clock_offset;
    fault_slot_t slots[32];
} fault_file_t;

static fault_file_t *faults;

static void need_faults(void)
{
    char path[400];
    int fd;

    if (faults)
        return;
    snprintf(path, sizeof(path), "%s/faults", top);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, sizeof(*faults)) == 0);
    faults = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED,
                  fd, 0);
    close(fd);
    assert_true(faults != MAP_FAILED);
    memcpy(faults->magic, "MGFAULT1", 8);
    setenv("MG_TEST_DIR", top, 1);
    usleep(30000); /* it is looked for each 20 ms */
}

void unit_fault(const char *name, int action, apr_int64_t argument,
                apr_int64_t count)
{
    fault_slot_t *slot;

    need_faults();
    slot = &faults->slots[0];
    while (slot->action && strcmp(slot->name, name) != 0)
        slot++;
    snprintf(slot->name, sizeof(slot->name), "%s", name);
    slot->argument = argument;
    slot->count = count;
    __atomic_store_n(&slot->action, action, __ATOMIC_RELEASE);
}

void unit_fault_clear(void)
{
    if (faults)
        memset(faults->slots, 0, sizeof(faults->slots));
}
