/* mg_migrate.c - numbered migrations (mg_migrate.h).
 *
 * schema_NNNN.sql is one text for both drivers; these words are the dialect's:
 *
 *   @ID@             a table's own key, one 64-bit integer
 *   @TEXT@ @BLOB@    text that compares bytewise; bytes
 *   @WITHOUT_ROWID@  behind a table with a key of several narrow columns
 *   --@PGSQL@        the rest of the line is PostgreSQL's alone
 */
#include <string.h>
#include <apr_strings.h>
#include "mg_db_driver.h"
#include "mg_migrate.h"

typedef struct {
    int number;
    const char *sql;
} mg_migration_t;

#include "schema.h"

#define MIGRATIONS (int)(sizeof(migrations) / sizeof(*migrations))
_Static_assert(sizeof(migrations) / sizeof(*migrations) == MG_SCHEMA_VERSION,
               "mg_migrate.h does not know the last schema_NNNN.sql");

/* A program older than this does not understand the store any more. A
 * migration that contracts raises it. */
#define MIN_PROGRAM 10

static const char schema_version_sql[] =
    "CREATE TABLE schema_version (version BIGINT NOT NULL, "
    "min_program BIGINT NOT NULL);"
    "INSERT INTO schema_version (version, min_program) VALUES (0, 0);";

/* The dialect's word for what s begins with; *plen of it are replaced. */
static const char *word_of(const mg_db_driver_t *driver, const char *s,
                           apr_size_t *plen)
{
    const struct {
        const char *token, *word;
    } words[] = {
        { "@ID@", driver->id_type },
        { "@TEXT@", driver->text_type },
        { "@BLOB@", driver->blob_type },
        { "@WITHOUT_ROWID@", driver->without_rowid },
        { "@PGSQL@", driver->kind == MG_DB_PGSQL ? "\n" : "" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(words) / sizeof(*words); i++) {
        *plen = strlen(words[i].token);
        if (strncmp(s, words[i].token, *plen) == 0)
            return words[i].word;
    }
    return NULL;
}

static const char *in_dialect(const mg_db_driver_t *driver, const char *sql,
                              apr_pool_t *p)
{
    apr_array_header_t *parts = apr_array_make(p, 64, sizeof(char *));
    const char *at, *from = sql;
    apr_size_t len;

    for (at = strchr(sql, '@'); at; at = strchr(at, '@')) {
        const char *word = word_of(driver, at, &len);
        if (!word) {
            at++;
            continue;
        }
        APR_ARRAY_PUSH(parts, char *) = apr_pstrmemdup(p, from, at - from);
        APR_ARRAY_PUSH(parts, const char *) = word;
        from = at += len;
    }
    APR_ARRAY_PUSH(parts, const char *) = from;
    return apr_array_pstrcat(p, parts, '\0');
}

/* *pversion 0 and *pmin 0: an empty store. */
static apr_status_t read_version(mg_db_t *db, apr_int64_t *pversion,
                                 apr_int64_t *pmin)
{
    apr_int64_t there = 0;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pversion = *pmin = 0;
    rv = mg_db_get_int(db, &there, db->driver->has_table, "t",
                       "schema_version");
    if (rv != APR_SUCCESS)
        return rv == APR_ENOENT ? APR_SUCCESS : rv;
    rv = mg_db_query(&stmt, db, "SELECT version, min_program FROM "
                     "schema_version", "");
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv == APR_EOF)
        return APR_SUCCESS;
    if (rv != APR_SUCCESS)
        return rv;
    *pversion = mg_stmt_int(stmt, 0);
    *pmin = mg_stmt_int(stmt, 1);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

/* Somebody else may be at it: lock first, then look again. */
static apr_status_t begin_locked(mg_db_t *db, apr_int64_t *pversion)
{
    apr_int64_t min, ignored;
    apr_status_t rv = mg_tx_begin(db, MG_TX_WRITE);

    if (rv == APR_SUCCESS && db->driver->migration_lock)
        rv = mg_db_get_int(db, &ignored, db->driver->migration_lock, "");
    if (rv == APR_SUCCESS)
        rv = read_version(db, pversion, &min);
    if (rv == APR_SUCCESS && min > MG_SCHEMA_VERSION)
        rv = mg_db_fail(db, MG_ESCHEMA, "the store is for programs of version "
                        "%" APR_INT64_T_FMT " and later, this one is %d",
                        min, MG_SCHEMA_VERSION);
    return rv;
}

static apr_status_t apply(mg_db_t *db, const mg_migration_t *m, apr_pool_t *p)
{
    apr_int64_t version = 0, there = 0;
    apr_status_t rv = begin_locked(db, &version);

    if (rv == APR_SUCCESS && version >= m->number) {
        mg_tx_rollback(db); /* another init was quicker */
        return APR_SUCCESS;
    }
    if (rv == APR_SUCCESS) {
        rv = mg_db_get_int(db, &there, db->driver->has_table, "t",
                           "schema_version");
        if (rv == APR_ENOENT)
            rv = mg_db_script(db, schema_version_sql);
    }
    if (rv == APR_SUCCESS)
        rv = mg_db_script(db, in_dialect(db->driver, m->sql, p));
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "UPDATE schema_version SET version = $1, "
                        "min_program = $2", "ii", (apr_int64_t)m->number,
                        (apr_int64_t)MIN_PROGRAM);
    if (rv == APR_SUCCESS)
        return mg_tx_commit(db);
    mg_tx_rollback(db);
    return rv;
}

apr_status_t mg_migrate(mg_db_t *db, int *pfrom, int *pto)
{
    return mg_migrate_to(db, MG_SCHEMA_VERSION, pfrom, pto);
}

apr_status_t mg_migrate_to(mg_db_t *db, int to, int *pfrom, int *pto)
{
    apr_int64_t version = 0, min;
    apr_pool_t *ptemp;
    apr_status_t rv;
    int i;

    rv = read_version(db, &version, &min);
    *pfrom = *pto = (int)version;
    apr_pool_create(&ptemp, db->pool);
    for (i = 0; rv == APR_SUCCESS && i < MIGRATIONS; i++) {
        if (migrations[i].number <= version || migrations[i].number > to)
            continue;
        rv = apply(db, &migrations[i], ptemp);
        if (rv == APR_SUCCESS)
            *pto = migrations[i].number;
        apr_pool_clear(ptemp);
    }
    apr_pool_destroy(ptemp);
    return rv;
}

apr_status_t mg_schema_check(mg_db_t *db, const char **pwords, apr_pool_t *p)
{
    apr_int64_t version, min;
    apr_status_t rv = read_version(db, &version, &min);

    *pwords = NULL;
    if (rv != APR_SUCCESS)
        return rv;
    if (version < MG_SCHEMA_VERSION) {
        *pwords = apr_psprintf(p, "the store has version %" APR_INT64_T_FMT
                               ", this program needs %d: run mailgunctl init",
                               version, MG_SCHEMA_VERSION);
        return MG_ESCHEMA;
    }
    if (min > MG_SCHEMA_VERSION) {
        *pwords = apr_psprintf(p, "the store has version %" APR_INT64_T_FMT
                               " and is for programs of version %"
                               APR_INT64_T_FMT " and later, this one is %d: "
                               "install the newer programs",
                               version, min, MG_SCHEMA_VERSION);
        return MG_ESCHEMA;
    }
    return APR_SUCCESS;
}
