/* mg_queue_move.c - many rows get another time at once (mg_destination.h). */
#include "mg_destination.h"
#include "mg_queue_sql.h"
#include "mg_status.h"
#include "mg_tx.h"

static apr_status_t look(apr_int64_t *plast, mg_db_t *db,
                         mg_queue_move_t *move, int limit)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db, QUEUE_MOVE_LOOK, "tiii", move->dest,
                     move->domain_id, move->after, (apr_int64_t)limit);
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv;
    *plast = mg_stmt_int(stmt, 0);
    move->looked = (int)mg_stmt_int(stmt, 1);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

static apr_status_t move_some(mg_db_t *db, mg_queue_move_t *move, int limit)
{
    apr_int64_t last = 0, moved = 0;
    apr_status_t rv = look(&last, db, move, limit);

    if (rv != APR_SUCCESS || move->looked == 0)
        return rv;
    rv = mg_db_exec(db, &moved,
                    mg_db_kind(db) == MG_DB_PGSQL ? QUEUE_MOVE_PGSQL
                                                  : QUEUE_MOVE_SQLITE,
                    "iitiiiit", (apr_int64_t)move->until,
                    (apr_int64_t)move->spread, move->dest, move->domain_id,
                    move->after, last, (apr_int64_t)move->retry_limit,
                    move->target);
    if (rv == APR_SUCCESS) {
        move->after = last;
        move->moved = (int)moved;
    }
    return rv;
}

apr_status_t mg_queue_move(mg_db_t *db, mg_queue_move_t *move, int limit)
{
    apr_status_t rv;
    int own;

    move->looked = move->moved = 0;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv == APR_SUCCESS)
        rv = mg_tx_leave(db, own, move_some(db, move, limit));
    return rv;
}
