/* mg_migrate.h - numbered migrations (design "Store").
 *
 * schema_version has one row: version, min_program. A program knows
 * MG_SCHEMA_VERSION; it runs on a store whose version >= its own and whose
 * min_program <= its own.
 */
#ifndef MG_MIGRATE_H
#define MG_MIGRATE_H

#include "mg_db.h"

#define MG_SCHEMA_VERSION 15

/** Apply what is missing, each in its own transaction. *pfrom, *pto say what
 * happened (0: the store was empty). */
apr_status_t mg_migrate(mg_db_t *db, int *pfrom, int *pto);
/** Only up to that version: a store as an older mailgunctl left it (tests). */
apr_status_t mg_migrate_to(mg_db_t *db, int version, int *pfrom, int *pto);
/** @return MG_ESCHEMA, and words: "the store has version 0, this program needs
 * 1: run mailgunctl init", or the other way round */
apr_status_t mg_schema_check(mg_db_t *db, const char **pwords, apr_pool_t *p);

#endif
