/* unit_store.h - a fresh store for each test, on both drivers.
 *
 *     static void finds_it(void **state)
 *     {
 *         unit_store_t *store = *state;
 *         ... store->db, store->p ...
 *     }
 *     int main(void)
 *     {
 *         const struct CMUnitTest tests[] = {
 *             UNIT_ON_BOTH(finds_it),
 *         };
 *         return unit_store_run("things", tests);
 *     }
 *
 * SQLite: a file of its own (unit_dir.h). PostgreSQL: a database of its own,
 * copied from a migrated one, on the server of the run (run_unit.py gives its
 * port in MG_UNIT_PGSQL_PORT). A program that is run alone starts one when the
 * first test needs it, by a process that stops it and removes its files when
 * this one is gone, however it went.
 */
#ifndef UNIT_STORE_H
#define UNIT_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "mg_db.h"

typedef struct {
    mg_db_kind_t kind;
    const char *url;
    const char *dir;     /* for files of the test's own */
    apr_pool_t *p;       /* the test's */
    mg_db_t *db;         /* open and migrated (not with UNIT_EMPTY...) */
} unit_store_t;

/** One more connection, closed with the test. */
mg_db_t *unit_store_open(unit_store_t *store, int flags);
/** Fails the test, with the store's words, unless rv is want. */
#define unit_store_is(db, rv, want) \
    unit_store_is_at(db, rv, want, #rv, __FILE__, __LINE__)
#define unit_store_ok(db, rv) unit_store_is(db, rv, APR_SUCCESS)
void unit_store_is_at(mg_db_t *db, apr_status_t rv, apr_status_t want,
                      const char *what, const char *file, int line);
/** SELECT of one integer; fails the test if it fails. */
apr_int64_t unit_store_int(mg_db_t *db, const char *sql);
/** TCP port of the PostgreSQL server, for proxies. */
int unit_store_pgsql_port(void);
/** The URL of store's database on another port. */
const char *unit_store_url_at(unit_store_t *store, int port);

int unit_sqlite_setup(void **state);
int unit_sqlite_empty_setup(void **state);
int unit_pgsql_setup(void **state);
int unit_pgsql_empty_setup(void **state);
int unit_store_teardown(void **state);

#define UNIT_ON_SQLITE(f) \
    { #f "[sqlite]", f, unit_sqlite_setup, unit_store_teardown, NULL }
#define UNIT_ON_PGSQL(f) \
    { #f "[pgsql]", f, unit_pgsql_setup, unit_store_teardown, NULL }
#define UNIT_ON_BOTH(f) UNIT_ON_SQLITE(f), UNIT_ON_PGSQL(f)
#define UNIT_EMPTY_ON_BOTH(f) \
    { #f "[sqlite]", f, unit_sqlite_empty_setup, unit_store_teardown, NULL }, \
    { #f "[pgsql]", f, unit_pgsql_empty_setup, unit_store_teardown, NULL }

void unit_store_begin(void);
#define unit_store_run(name, tests) \
    (unit_store_begin(), cmocka_run_group_tests_name(name, tests, NULL, NULL))

/* --- failpoints (mg_fault.h) --- */
enum { UNIT_KILL = 1, UNIT_EIO, UNIT_ENOSPC, UNIT_DELAY, UNIT_LOST };
void unit_fault(const char *name, int action, apr_int64_t argument,
                apr_int64_t count);
void unit_fault_clear(void);

#endif
