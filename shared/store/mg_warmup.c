/* mg_warmup.c - see mg_warmup.h. */
#include "mg_status.h"
#include "mg_time.h"
#include "mg_tx.h"
#include "mg_warmup.h"

#define VOLUME_MAX 1000000000

apr_int64_t mg_warmup_volume(const mg_warmup_plan_t *plan, apr_int64_t day)
{
    apr_int64_t volume = plan->first;

    /* a whole one more at least, or small volumes would never grow */
    for (; day > 0 && volume < VOLUME_MAX && plan->growth > 0; day--)
        volume += volume * plan->growth / 100 > 0
                      ? volume * plan->growth / 100
                      : 1;
    return volume < VOLUME_MAX ? volume : VOLUME_MAX;
}

/* The row as it is today; from then on it is ours until the commit. */
static apr_status_t touch(apr_int64_t *psent, mg_db_t *db, const char *subject,
                          apr_int64_t day)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db,
                     "UPDATE warmup SET sent = CASE WHEN day < $1 THEN 0"
                     " ELSE sent END, day = $1 WHERE subject = $2"
                     " RETURNING sent", "it", day, subject);
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? MG_EBUSY : rv;
    *psent = mg_stmt_int(stmt, 0);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

static apr_status_t take(mg_db_t *db, const mg_warmup_plan_t *plan,
                         mg_warmup_t *w)
{
    apr_int64_t day, started, sent = 0, left;
    apr_time_t now = mg_now();
    apr_status_t rv;

    rv = mg_db_exec(db, NULL,
                    "INSERT INTO warmup (subject, started_at, day, sent)"
                    " VALUES ($1, $2, 0, 0) ON CONFLICT (subject) DO NOTHING",
                    "ti", w->subject, (apr_int64_t)w->started_at);
    if (rv == APR_SUCCESS)
        rv = mg_db_get_int(db, &started,
                           "SELECT started_at FROM warmup WHERE subject = $1",
                           "t", w->subject);
    if (rv != APR_SUCCESS)
        return rv;
    w->started_at = started;
    day = now > started ? (now - started) / MG_WARMUP_DAY : 0;
    w->next = started + (day + 1) * MG_WARMUP_DAY;
    if (day >= plan->days) {
        w->over = 1;
        w->got = w->want;
        return APR_SUCCESS;
    }
    rv = touch(&sent, db, w->subject, day);
    if (rv != APR_SUCCESS)
        return rv;
    left = mg_warmup_volume(plan, day) - sent;
    w->got = left < 0 ? 0 : left < w->want ? (int)left : w->want;
    return mg_db_exec(db, NULL,
                      "UPDATE warmup SET sent = sent + $1 WHERE subject = $2",
                      "it", (apr_int64_t)w->got, w->subject);
}

apr_status_t mg_warmup_take(mg_db_t *db, const mg_warmup_plan_t *plan,
                            mg_warmup_t *warmup)
{
    apr_status_t rv;
    int own;

    warmup->got = warmup->over = 0;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv == APR_SUCCESS)
        rv = mg_tx_leave(db, own, take(db, plan, warmup));
    return rv;
}

apr_status_t mg_warmup_return(mg_db_t *db, const char *subject,
                              apr_int64_t day, int n)
{
    return mg_db_exec(db, NULL,
                      "UPDATE warmup SET sent = sent - $1"
                      " WHERE subject = $2 AND day = $3 AND sent >= $1",
                      "iti", (apr_int64_t)n, subject, day);
}
