/* mg_hit_replay.c - the journal of hits, read into the store. */
#include "mg_hit_journal.h"
#include "mg_log.h"
#include "mg_message.h"
#include "mg_status.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A step's: some milliseconds of work. */
#define STEP_HITS 64
/* A token's text, a user agent, all of it escaped. */
#define LINE_MAX_ (64 * 1024)
#define OPEN ".open"
#define REPLAY ".replay"
#define NAME_LEN 21                /* "hits-" and 16 hex */

/* --- which file --- */

/* "hits-0123456789abcdef.open": its number */
static int file_number(apr_int64_t *pnumber, const char *name,
                       const char *suffix)
{
    int i;

    if (strncmp(name, "hits-", 5) != 0 || strlen(name) < NAME_LEN
        || strcmp(name + NAME_LEN, suffix) != 0)
        return 0;
    for (i = 5; i < NAME_LEN; i++)
        if (!apr_isxdigit(name[i]))
            return 0;
    *pnumber = (apr_int64_t)strtoull(name + 5, NULL, 16);
    return 1;
}

/* Taken from its writer, who sees under its lock that it has another name.
 * NULL: he has the lock now; next time. */
static char *take_file(const char *dir, const char *name, apr_pool_t *p)
{
    char *path = apr_pstrcat(p, dir, "/", name, NULL);
    char *taken = apr_pstrcat(p, dir, "/", apr_pstrmemdup(p, name, NAME_LEN),
                              REPLAY, NULL);
    FILE *f = fopen(path, "re");
    int done;

    if (!f)
        return NULL;
    done = flock(fileno(f), LOCK_EX | LOCK_NB) == 0
           && rename(path, taken) == 0;
    fclose(f);
    return done ? taken : NULL;
}

/* The oldest of a kind, or NULL: who unsubscribed and took it back with two
 * children of httpd did so in that order. */
static char *oldest(apr_int64_t *pnumber, const char *dir, const char *suffix,
                    apr_pool_t *p)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    apr_int64_t number;
    char *name = NULL;

    while (d && (entry = readdir(d)) != NULL) {
        if (!file_number(&number, entry->d_name, suffix)
            || (name && number > *pnumber))
            continue;
        name = apr_pstrdup(p, entry->d_name);
        *pnumber = number;
    }
    if (d)
        closedir(d);
    return name;
}

/* The next file to be read, or NULL: one that was begun before others. */
static char *next_file(apr_int64_t *pnumber, const char *dir, apr_pool_t *p)
{
    char *name = oldest(pnumber, dir, REPLAY, p);

    if (name)
        return apr_pstrcat(p, dir, "/", name, NULL);
    name = oldest(pnumber, dir, OPEN, p);
    return name ? take_file(dir, name, p) : NULL;
}

/* --- how far it was read --- */

static apr_status_t offset_get(apr_int64_t *poffset, mg_db_t *db,
                               apr_int64_t number, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *poffset = 0;
    rv = mg_db_query(&stmt, db, "SELECT value FROM setting WHERE scope ="
                     " 'hits' AND scope_id = $1 AND name = 'offset'", "i",
                     number);
    if (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        *poffset = apr_atoi64(mg_stmt_text(stmt, 0, p));
        mg_stmt_done(stmt);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static apr_status_t offset_set(mg_db_t *db, apr_int64_t number,
                               apr_int64_t offset, apr_pool_t *p)
{
    return mg_db_exec(db, NULL,
                      "INSERT INTO setting (scope, scope_id, name, value)"
                      " VALUES ('hits', $1, 'offset', $2)"
                      " ON CONFLICT (scope, scope_id, name) DO UPDATE"
                      " SET value = excluded.value", "it", number,
                      apr_psprintf(p, "%" APR_INT64_T_FMT, offset));
}

static apr_status_t offset_forget(mg_db_t *db, apr_int64_t number)
{
    return mg_db_exec(db, NULL, "DELETE FROM setting WHERE scope = 'hits'"
                      " AND scope_id = $1 AND name = 'offset'", "i", number);
}

/* --- a step --- */

typedef struct {
    FILE *file;
    int max;                       /* lines, at once */
    int refused;                   /* what is read is passed over */
    apr_array_header_t *hits;      /* of mg_hit_t */
    apr_int64_t offset;            /* behind them */
    int at_end;
} slice_t;

/* Some lines from offset on. What is no line of ours is passed over. */
static void read_slice(slice_t *s, const char *path, apr_pool_t *p)
{
    char *line = apr_palloc(p, LINE_MAX_);
    mg_hit_t hit;

    s->hits = apr_array_make(p, STEP_HITS, sizeof(mg_hit_t));
    while (s->hits->nelts < s->max) {
        if (!fgets(line, LINE_MAX_, s->file)) {
            s->at_end = 1;
            return;
        }
        if (mg_hit_from_line(&hit, line, p) == APR_SUCCESS)
            APR_ARRAY_PUSH(s->hits, mg_hit_t) = hit;
        else
            mg_log(MG_LOG_INFO, APR_SUCCESS, "%s: a line at %"
                   APR_INT64_T_FMT " was cut and is passed over", path,
                   s->offset);
        s->offset = (apr_int64_t)ftello(s->file);
    }
}

/* An id of then is behind those that pollers have seen: it gets one of now. */
static apr_status_t append_one(mg_db_t *db, mg_hit_t *hit,
                               const mg_config_t *config, apr_pool_t *p)
{
    apr_status_t rv = APR_ENOENT;
    apr_int64_t one;

    if (hit->event_id)
        rv = mg_db_get_int(db, &one, "SELECT 1 FROM event WHERE id = $1", "i",
                           hit->event_id);
    if (rv != APR_ENOENT)
        return rv; /* it is there */
    hit->event_id = 0;
    return mg_hit_append(db, hit, config, p);
}

static apr_status_t append_slice(mg_db_t *db, const slice_t *s,
                                 const mg_config_t *config, apr_pool_t *p)
{
    apr_int64_t ids[STEP_HITS];
    apr_status_t rv;
    int i;

    for (i = 0; i < s->hits->nelts; i++)
        ids[i] = APR_ARRAY_IDX(s->hits, i, mg_hit_t).track.message_id;
    rv = mg_hit_read_ahead(db, ids, s->hits->nelts);
    for (i = 0; rv == APR_SUCCESS && i < s->hits->nelts; i++)
        rv = append_one(db, &APR_ARRAY_IDX(s->hits, i, mg_hit_t), config, p);
    return rv;
}

/* All of it is in the store. Who is killed in here leaves an empty step, or a
 * row that says nothing any more. */
static apr_status_t finish(mg_db_t *db, const char *dir, const char *path,
                           apr_int64_t number)
{
    apr_status_t rv;

    if (unlink(path) != 0 && errno != ENOENT)
        return errno;
    rv = mg_hit_journal_sync(dir);
    return rv == APR_SUCCESS ? offset_forget(db, number) : rv;
}

static apr_status_t commit_slice(mg_db_t *db, slice_t *s, apr_int64_t number,
                                 const char *path, const mg_config_t *config,
                                 apr_pool_t *p)
{
    apr_status_t rv = mg_tx_begin(db, MG_TX_WRITE);

    if (rv != APR_SUCCESS)
        return rv;
    rv = offset_get(&s->offset, db, number, p);
    if (rv == APR_SUCCESS
        && fseeko(s->file, (off_t)s->offset, SEEK_SET) != 0)
        rv = errno;
    if (rv == APR_SUCCESS) {
        read_slice(s, path, p);
        rv = s->refused ? APR_SUCCESS : append_slice(db, s, config, p);
    }
    if (rv == APR_SUCCESS)
        rv = offset_set(db, number, s->offset, p);
    if (rv == APR_SUCCESS)
        return mg_tx_commit(db);
    mg_tx_rollback(db);
    return rv;
}

/* Will the store never take it? */
static int is_its_own(apr_status_t rv)
{
    return rv == MG_ESQL || rv == MG_ECONFLICT || rv == MG_EBADINPUT;
}

/* If one is refused, the first of them goes alone; if that is it, it is lost,
 * and keeps no other from the store. */
static apr_status_t step(mg_db_t *db, slice_t *s, apr_int64_t number,
                         const char *path, const mg_config_t *config,
                         apr_pool_t *p)
{
    apr_status_t rv;

    s->max = STEP_HITS;
    rv = commit_slice(db, s, number, path, config, p);
    if (!is_its_own(rv))
        return rv;
    s->max = 1;
    s->at_end = 0;
    rv = commit_slice(db, s, number, path, config, p);
    if (!is_its_own(rv))
        return rv;
    mg_log(MG_LOG_ERR, rv, "%s: the store refuses the hit before %"
           APR_INT64_T_FMT "; it is passed over", path, s->offset);
    s->refused = 1;
    return commit_slice(db, s, number, path, config, p);
}

apr_status_t mg_hit_journal_replay(int *pn, int *pmore, mg_db_t *db,
                                   const char *dir, const mg_config_t *config,
                                   apr_pool_t *ptemp)
{
    slice_t s = { .file = NULL };
    apr_int64_t number = 0;
    apr_status_t rv;
    char *path;

    *pn = *pmore = 0;
    path = next_file(&number, dir, ptemp);
    if (!path)
        return APR_SUCCESS;
    s.file = fopen(path, "re");
    if (!s.file)
        return errno;
    rv = step(db, &s, number, path, config, ptemp);
    fclose(s.file);
    if (rv != APR_SUCCESS)
        return rv;
    *pn = s.hits->nelts;
    *pmore = 1;
    return s.at_end ? finish(db, dir, path, number) : APR_SUCCESS;
}
