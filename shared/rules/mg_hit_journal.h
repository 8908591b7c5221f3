/* mg_hit_journal.h - hits that could not be committed: the store was down.
 *
 * A writer (an httpd child) keeps a file of its own in MailgunSpoolDir:
 *
 *     hits-<16 hex>.open     written to
 *     hits-<16 hex>.replay   taken by the keeper, which reads it into the store
 *
 * and a line is a hit: "<8 hex of its SHA-256> <JSON>\n". A line that was cut,
 * because its writer was killed, does not fit its sum and is passed over: nobody
 * was told that it is kept. Writer and keeper meet at the file's lock: who has
 * it finds whether the file still has its name.
 *
 * Each hit is replayed once. How far a file was read is committed with what was
 * read (setting: scope "hits", the file's number, "offset"); the file goes after
 * that, and the setting after the file: when that is on disk, for a file that
 * power brought back would be read once more. A hit whose COMMIT was not
 * answered has the id it had then: it may be in the store already.
 */
#ifndef MG_HIT_JOURNAL_H
#define MG_HIT_JOURNAL_H

#include "mg_hit.h"

typedef struct mg_hit_journal_t mg_hit_journal_t;

/** Nothing is written yet. The pool's cleanup closes. */
mg_hit_journal_t *mg_hit_journal_create(const char *dir, apr_pool_t *p);
/** On disk when it returns. Any thread. */
apr_status_t mg_hit_journal_write(mg_hit_journal_t *journal,
                                  const mg_hit_t *hit, apr_pool_t *ptemp);

/** Some hits (the keeper's step) of one file in dir are appended, in a
 * transaction of its own. *pn: how many; *pmore: call again. */
apr_status_t mg_hit_journal_replay(int *pn, int *pmore, mg_db_t *db,
                                   const char *dir, const mg_config_t *config,
                                   apr_pool_t *ptemp);

/** What was made, renamed or removed in dir is so on disk. */
apr_status_t mg_hit_journal_sync(const char *dir);

/* for tests */
char *mg_hit_to_line(const mg_hit_t *hit, apr_pool_t *p);
/** @return MG_EBADINPUT: cut or damaged */
apr_status_t mg_hit_from_line(mg_hit_t *hit, const char *line,
                              apr_pool_t *p);

#endif
