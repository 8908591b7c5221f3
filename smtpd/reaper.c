/* reaper.c - gives the claims of dead workers back (reaper.h). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "mg_id.h"
#include "mg_log.h"
#include "mg_message.h"
#include "mg_queue.h"
#include "mg_shared.h"
#include "mg_status.h"
#include "reaper.h"

#define TRIES 30

/* Dead, but nobody has asked for its status yet: it does nothing any more. */
static int is_zombie(pid_t pid)
{
    char path[40], line[400], *state;
    FILE *f;

    apr_snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return 0;
    state = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
    fclose(f);
    return state && strncmp(state, ") Z", 3) == 0;
}

static int is_gone(pid_t pid)
{
    return (kill(pid, 0) != 0 && errno == ESRCH) || is_zombie(pid);
}

static apr_status_t find_dead(apr_array_header_t *ids, mg_db_t *db,
                              const char *node, pid_t dead)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db, "SELECT id, pid FROM node WHERE host = $1",
                     "t", node);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        pid_t pid = (pid_t)mg_stmt_int(stmt, 1);

        if (dead ? pid == dead : is_gone(pid))
            APR_ARRAY_PUSH(ids, apr_int64_t) = mg_stmt_int(stmt, 0);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t reaper_sweep(int *preleased, mg_db_t *db, const char *node,
                          pid_t dead, apr_pool_t *ptemp)
{
    apr_array_header_t *ids = apr_array_make(ptemp, 8, sizeof(apr_int64_t));
    apr_status_t rv = find_dead(ids, db, node, dead);
    int i, n;

    *preleased = 0;
    for (i = 0; rv == APR_SUCCESS && i < ids->nelts; i++) {
        n = 0;
        rv = mg_worker_gone(&n, db, APR_ARRAY_IDX(ids, i, apr_int64_t));
        *preleased += n;
    }
    return rv;
}

int reaper_run(const mg_config_t *config, const char *node, pid_t dead)
{
    apr_status_t rv = MG_ELOST;
    apr_pool_t *pool;
    mg_db_t *db;
    int i, n = 0;

    mg_id_init();
    mg_message_set_run_dir(config->run_dir);
    apr_pool_create(&pool, NULL);
    for (i = 0; i < TRIES; i++) {
        rv = mg_db_open(&db, config->store,
                        config->relaxed ? MG_DB_RELAXED : 0, pool);
        if (rv == APR_SUCCESS)
            rv = reaper_sweep(&n, db, node, dead, pool);
        if (rv == APR_SUCCESS || rv == MG_ESCHEMA || rv == MG_ECONFIG)
            break;
        mg_db_close(db);
        apr_sleep(apr_time_from_sec(1));
    }
    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_WARN, rv, "cannot give claims back; the keeper will");
    if (!n)
        return 0;
    mg_bell_ring(config->run_dir, MG_ROLE_SENDER);
    mg_bell_ring(config->run_dir, MG_ROLE_NOTIFIER);
    mg_log(MG_LOG_INFO, APR_SUCCESS, "gave %d claims back", n);
    return 0;
}
