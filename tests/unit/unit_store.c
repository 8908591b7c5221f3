/* unit_store.c - a fresh store for each test (unit_store.h). */
#include <fcntl.h>
#include <ftw.h>
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
#include "unit_pgsql.h"
#include "unit_store.h"

/* --- the program's folder --- */

static char top[300];
static pid_t top_pid;
static apr_pool_t *root;

static int remove_one(const char *path, const struct stat *st, int flag,
                      struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    (void)!remove(path);
    return 0;
}

static void remove_top(void)
{
    if (top_pid == getpid())
        nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void unit_store_begin(void)
{
    char cwd[200];
    struct stat st;

    if (top_pid == getpid())
        return;
    apr_initialize();
    mg_id_init();
    apr_pool_create(&root, NULL);
    if (stat("build", &st) == 0 && getcwd(cwd, sizeof(cwd)))
        snprintf(top, sizeof(top), "%s/build/unit-XXXXXX", cwd);
    else
        snprintf(top, sizeof(top), "/tmp/mailgun-unit-XXXXXX");
    if (!mkdtemp(top)) {
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

static unit_pgsql_t server = { .alive_fd = -1 };
static int has_template;

static void pgsql_admin(const char *sql)
{
    char info[640];
    PGconn *pg;
    PGresult *r;

    snprintf(info, sizeof(info), "host=%s port=%d user=mailgun "
             "dbname=postgres", server.dir, server.port);
    pg = PQconnectdb(info);
    r = PQexec(pg, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK) {
        print_error("%s: %s", sql, PQerrorMessage(pg));
        PQclear(r);
        PQfinish(pg);
        fail();
    }
    PQclear(r);
    PQfinish(pg);
}

static const char *pgsql_url(apr_pool_t *p, const char *name)
{
    return apr_psprintf(p, "postgresql://mailgun@127.0.0.1:%d/%s",
                        server.port, name);
}

static void need_server(void)
{
    const char *why;

    if (server.alive_fd >= 0)
        return;
    why = unit_pgsql_start(&server);
    if (why) {
        print_error("PostgreSQL: %s (log: %s/log)\n", why, server.dir);
        fail();
    }
}

static void need_template(void)
{
    apr_pool_t *p;
    mg_db_t *db;
    int from, to;

    if (has_template)
        return;
    pgsql_admin("CREATE DATABASE migrated");
    apr_pool_create(&p, root);
    unit_store_ok(db, mg_db_open(&db, pgsql_url(p, "migrated"),
                                 MG_DB_CREATE, p));
    unit_store_ok(db, mg_migrate(db, &from, &to));
    apr_pool_destroy(p);
    has_template = 1;
}

int unit_store_pgsql_port(void)
{
    return server.port;
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
                     : pgsql_url(p, apr_psprintf(p, "t%d", number));
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

static int pgsql_setup(void **state, int empty)
{
    unit_store_t *store;

    need_server();
    if (!empty)
        need_template();
    store = make_store(MG_DB_PGSQL);
    *state = store;
    pgsql_admin(apr_psprintf(store->p, "CREATE DATABASE %s TEMPLATE %s",
                             strrchr(store->url, '/') + 1,
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
    char dir[400];

    unit_fault_clear();
    snprintf(dir, sizeof(dir), "%s", store->dir);
    apr_pool_destroy(store->p);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
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
