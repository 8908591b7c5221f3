/* mg_worker.c - who claims: a row of `node` per worker process. */
#include <unistd.h>
#include <apr_strings.h>

#include "mg_id.h"
#include "mg_queue.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

apr_status_t mg_worker_register(apr_int64_t *pworker_id, mg_db_t *db,
                                const char *role)
{
    char host[256] = "";
    int i;
    apr_status_t rv = MG_ECONFLICT;

    gethostname(host, sizeof(host) - 1);
    for (i = 0; host[i]; i++)
        if (host[i] & 0x80)
            host[i] = '?';
    for (i = 0; i < 3 && rv == MG_ECONFLICT; i++) {
        *pworker_id = mg_id_next();
        rv = mg_db_exec(db, NULL,
                        "INSERT INTO node (id, host, role, pid, seen_at)"
                        " VALUES ($1, $2, $3, $4, $5)",
                        "ittii", *pworker_id, host, role,
                        (apr_int64_t)getpid(), (apr_int64_t)mg_now());
    }
    return rv;
}

apr_status_t mg_worker_seen(mg_db_t *db, apr_int64_t worker_id)
{
    return mg_db_exec(db, NULL, "UPDATE node SET seen_at = $1 WHERE id = $2",
                      "ii", (apr_int64_t)mg_now(), worker_id);
}

apr_status_t mg_worker_gone(int *preleased, mg_db_t *db,
                            apr_int64_t worker_id)
{
    apr_int64_t given_back = 0;
    apr_status_t rv;
    int own;

    *preleased = 0;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    /* claim_no stays: a result that was under way still counts, as long as
     * nobody else has claimed the row. What was begun comes first again, before
     * a million rows that are due longer */
    rv = mg_db_exec(db, &given_back,
                    "UPDATE delivery SET due_at = 1, claimed_by = 0"
                    " WHERE claimed_by = $1 AND claimed_by <> 0",
                    "i", worker_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM node WHERE id = $1", "i",
                        worker_id);
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *preleased = (int)given_back;
    return rv;
}
