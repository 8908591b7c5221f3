/* keeper.c - the keeper role: what has to be done again and again.
 *
 * Each task does one small step when its time has come and says whether there
 * is more; then it comes again soon, else after its rest. A step never holds
 * SQLite's write lock for more than some milliseconds.
 */
#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "keeper_bounce.h"
#include "keeper_campaign.h"
#include "keeper_dns.h"
#include "keeper_list.h"
#include "mg_dkim_key.h"
#include "mg_destination.h"
#include "mg_event_count.h"
#include "mg_hit_journal.h"
#include "mg_list.h"
#include "mg_log.h"
#include "mg_mailbox.h"
#include "mg_message.h"
#include "mg_queue.h"
#include "mg_dead_letter.h"
#include "mg_retention.h"
#include "mg_stored.h"
#include "mg_saved_delivery.h"
#include "mg_stat.h"
#include "mg_status.h"
#include "mg_suppression.h"
#include "mg_time.h"
#include "mg_usage.h"
#include "reaper.h"
#include "remover.h"
#include "worker.h"

#define MSEC(n) apr_time_from_msec(n)
#define SEC(n) apr_time_from_sec(n)
#define DEAD_AFTER SEC(120)        /* a node of which nothing was seen */
#define LARGE_WAL (16 * 1024 * 1024)
#define MAILBOX_GRACE SEC(2)       /* mailboxd has ended its sessions */
#define MAILBOX_RETRY SEC(600)     /* files that would not go */
/* Rows a step: some 3 ms. With a rest of 20 ms, 10,000 rows a second. */
#define RETENTION_STEP 250
#define DELIVERY_MEMORY SEC(86400) /* beyond MailgunRetryLimit */

typedef struct keeper_t keeper_t;
typedef struct {
    const char *name;
    /** @param pmore  set to 1 where there is more to do */
    apr_status_t (*step)(keeper_t *keeper, int *pmore);
    apr_interval_time_t rest, soon;
} task_t;

typedef struct {
    apr_int64_t id;
    apr_time_t not_before;
} tombstone_t;

struct keeper_t {
    worker_t *worker;
    apr_pool_t *ptemp;             /* of one step */
    apr_hash_t *tombstones;        /* mailbox id -> tombstone_t */
    apr_pool_t *tombstones_pool;
    keeper_bounce_t *bounces;
    keeper_list_t *lists;
    remover_t *remover;            /* the one under way */
    apr_pool_t *remover_pool;
    apr_int64_t removing;
    keeper_dns_t *dns;
    keeper_campaign_t *campaigns;
    apr_int64_t measured;          /* accounts up to this id */
    mg_retention_t events, counters;
    struct running_t *expanding;   /* lists: somebody waits */
};

typedef struct running_t {
    keeper_t *keeper;
    const task_t *task;
    apr_status_t said;             /* the failure that is in the log */
    loop_timer_t *timer;
} running_t;

/* tasks */

static apr_status_t checkpoint(keeper_t *k, int *pmore)
{
    worker_t *w = k->worker;
    mg_checkpoint_t result;
    apr_status_t rv;

    rv = mg_db_checkpoint(w->db, w->config->wal_limit, &result);
    if (rv != APR_SUCCESS)
        return rv;
    mg_shared_set(w->shared, w->slot, MG_GAUGE_WAL_BYTES, result.wal_bytes);
    *pmore = result.wal_bytes > LARGE_WAL;
    return APR_SUCCESS;
}

static apr_status_t sweep_content(keeper_t *k, int *pmore)
{
    int n = 0;
    apr_status_t rv = mg_message_sweep(&n, k->worker->db, 100, k->ptemp);

    *pmore = n > 0;
    return rv;
}

/* Nodes that are silent, and workers of this one that are gone: their process
 * says so, whatever the clock says. */
static apr_status_t release_claims(keeper_t *k, int *pmore)
{
    worker_t *w = k->worker;
    apr_array_header_t *ids = apr_array_make(k->ptemp, 8,
                                             sizeof(apr_int64_t));
    mg_stmt_t *stmt;
    apr_status_t rv;
    int i, n, released = 0;

    (void)pmore;
    rv = reaper_sweep(&released, w->db, w->node, 0, k->ptemp);
    if (rv == APR_SUCCESS)
        rv = mg_db_query(&stmt, w->db,
                         "SELECT id FROM node WHERE host <> $1 AND"
                         " seen_at < $2", "ti", w->node,
                         (apr_int64_t)(mg_now() - DEAD_AFTER));
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(ids, apr_int64_t) = mg_stmt_int(stmt, 0);
    if (rv == APR_EOF)
        rv = APR_SUCCESS;
    for (i = 0; i < ids->nelts && rv == APR_SUCCESS; i++) {
        rv = mg_worker_gone(&n, w->db, APR_ARRAY_IDX(ids, i, apr_int64_t));
        released += n;
    }
    if (released) {
        mg_log(MG_LOG_INFO, APR_SUCCESS, "gave %d claims of the dead back",
               released);
        mg_bell_ring(w->config->run_dir, MG_ROLE_SENDER);
        mg_bell_ring(w->config->run_dir, MG_ROLE_NOTIFIER);
    }
    return rv;
}

/* What httpd kept while it could not reach the store. */
static apr_status_t replay_hits(keeper_t *k, int *pmore)
{
    const mg_config_t *config = k->worker->config;
    int n = 0;
    apr_status_t rv = mg_hit_journal_replay(&n, pmore, k->worker->db,
                                            config->spool_dir, config,
                                            k->ptemp);

    if (n)
        mg_log(MG_LOG_INFO, APR_SUCCESS, "%d opens and clicks came out of the "
               "journal", n);
    return rv;
}

static apr_status_t fold_stats(keeper_t *k, int *pmore)
{
    int n = 0;
    apr_status_t rv = mg_stat_fold(&n, k->worker->db, 200, k->ptemp);

    *pmore = n > 0;
    if (rv == APR_SUCCESS)
        rv = mg_suppression_fold(&n, k->worker->db, 200, k->ptemp);
    *pmore |= n > 0;
    if (rv == APR_SUCCESS)
        rv = mg_event_count_fold(&n, k->worker->db, 200, k->ptemp);
    *pmore |= n > 0;
    return rv;
}

static apr_status_t measure_usage(keeper_t *k, int *pmore)
{
    apr_status_t rv = mg_usage_measure(&k->measured, k->worker->db, 50,
                                       k->ptemp);

    *pmore = rv == APR_SUCCESS && k->measured != 0;
    return rv;
}

static apr_status_t forget_events(keeper_t *k, int *pmore)
{
    int n;

    return mg_retention_events(&n, pmore, &k->events, k->worker->db,
                               mg_now() - k->worker->config->event_retention,
                               RETENTION_STEP, k->ptemp);
}

static apr_status_t forget_counters(keeper_t *k, int *pmore)
{
    int n;

    return mg_retention_counters(&n, pmore, &k->counters, k->worker->db,
                                 mg_now() -
                                     k->worker->config->stat_retention,
                                 RETENTION_STEP, k->ptemp);
}

static apr_status_t forget_deliveries(keeper_t *k, int *pmore)
{
    int n = 0;
    apr_status_t rv;

    rv = mg_saved_expire(&n, k->worker->db,
                         mg_now() - k->worker->config->retry_limit -
                             DELIVERY_MEMORY, 200);
    *pmore = n > 0;
    return rv;
}

/* What was learned of destinations fades; a week later it says nothing. */
static apr_status_t forget_destinations(keeper_t *k, int *pmore)
{
    int n = 0;
    apr_status_t rv;

    rv = mg_destination_forget(&n, k->worker->db, mg_now() - SEC(7 * 86400),
                               200);
    *pmore = n > 0;
    return rv;
}

/* mailboxes that were deleted: their files */

/* Is it time? The first look at one begins its grace. */
static int tombstone_is_due(keeper_t *k, apr_int64_t id)
{
    tombstone_t *t = apr_hash_get(k->tombstones, &id, sizeof(id));

    if (t)
        return t->not_before <= mg_ticks();
    t = apr_palloc(k->tombstones_pool, sizeof(*t));
    t->id = id;
    t->not_before = mg_ticks() + MAILBOX_GRACE;
    apr_hash_set(k->tombstones, &t->id, sizeof(t->id), t);
    return 0;
}

static void removal_ends(keeper_t *k)
{
    apr_pool_clear(k->remover_pool);
    k->remover = NULL;
    k->removing = 0;
}

static void removal_failed(keeper_t *k, apr_status_t rv)
{
    tombstone_t *t = apr_hash_get(k->tombstones, &k->removing,
                                  sizeof(k->removing));

    mg_log(MG_LOG_ERR, rv, "mailbox %" APR_INT64_T_FMT ": cannot remove %s; "
           "trying again in ten minutes", k->removing,
           remover_path(k->remover));
    if (t)
        t->not_before = mg_ticks() + MAILBOX_RETRY;
    removal_ends(k);
}

static apr_status_t begin_removal(keeper_t *k, apr_int64_t id)
{
    apr_pool_t *p = k->remover_pool;
    char *home = mg_mailbox_home(k->worker->config->mail_dir, id, p);
    char *name = strrchr(home, '/');

    *name++ = '\0';
    k->removing = id;
    return remover_create(&k->remover, home, name, p);
}

static apr_status_t forget_mailbox(keeper_t *k)
{
    apr_int64_t id = k->removing;
    apr_status_t rv = mg_mailbox_forget(k->worker->db, id);

    removal_ends(k);
    if (rv != APR_SUCCESS)
        return rv;
    apr_hash_set(k->tombstones, &id, sizeof(id), NULL);
    if (!apr_hash_count(k->tombstones)) {
        apr_pool_clear(k->tombstones_pool);
        k->tombstones = apr_hash_make(k->tombstones_pool);
    }
    mg_log(MG_LOG_INFO, APR_SUCCESS, "mailbox %" APR_INT64_T_FMT ": its files "
           "are removed", id);
    return APR_SUCCESS;
}

static apr_status_t next_removal(keeper_t *k, int *pmore)
{
    apr_array_header_t *list;
    apr_status_t rv;
    int i;

    rv = mg_mailbox_deleted(&list, k->worker->db, 100, k->ptemp);
    for (i = 0; rv == APR_SUCCESS && i < list->nelts; i++) {
        const mg_mailbox_t *box = APR_ARRAY_IDX(list, i, mg_mailbox_t *);

        if (!tombstone_is_due(k, box->id))
            continue;
        *pmore = 1;
        rv = begin_removal(k, box->id);
        if (APR_STATUS_IS_ENOENT(rv))
            return forget_mailbox(k);
        if (rv != APR_SUCCESS)
            removal_failed(k, rv);
        return APR_SUCCESS;
    }
    return rv;
}

static apr_status_t remove_mailboxes(keeper_t *k, int *pmore)
{
    apr_status_t rv;

    if (!k->removing)
        return next_removal(k, pmore);
    *pmore = 1;
    rv = remover_step(k->remover, 100);
    if (APR_STATUS_IS_EAGAIN(rv))
        return APR_SUCCESS;
    if (rv == APR_SUCCESS)
        return forget_mailbox(k);
    removal_failed(k, rv);
    return APR_SUCCESS;
}

static apr_status_t read_bounces(keeper_t *k, int *pmore)
{
    return keeper_bounce_step(k->bounces, pmore, k->ptemp);
}

static apr_status_t expand_lists(keeper_t *k, int *pmore)
{
    return keeper_list_step(k->lists, pmore, k->ptemp);
}

/* what DNS says of our domains, and DKIM keys whose time is over */

static apr_status_t look_at_dns(keeper_t *k, int *pmore)
{
    return keeper_dns_step(k->dns, pmore, k->ptemp);
}

static apr_status_t forget_keys(keeper_t *k, int *pmore)
{
    int n = 0;
    apr_status_t rv = mg_dkim_expire(&n, k->worker->db,
                                     mg_now() - MG_DKIM_RETIRED_FOR, 100,
                                     k->ptemp);

    *pmore = n > 0;
    return rv;
}

/* suppressions of domains that are gone */

static apr_status_t forget_suppressions(keeper_t *k, int *pmore)
{
    return mg_suppression_sweep(pmore, k->worker->db);
}

static apr_status_t forget_dead_letters(keeper_t *k, int *pmore)
{
    int n = 0;
    apr_status_t rv;

    rv = mg_dead_letter_forget(
        &n, k->worker->db,
        mg_now() - k->worker->config->dead_letter_retention, 200);
    *pmore = n > 0;
    return rv;
}

static apr_status_t forget_stored(keeper_t *k, int *pmore)
{
    int n = 0;
    apr_status_t rv = mg_stored_forget(&n, k->worker->db, 200);

    *pmore = n > 0;
    return rv;
}

static apr_status_t forget_members(keeper_t *k, int *pmore)
{
    return mg_list_sweep(pmore, k->worker->db, k->ptemp);
}

/* what happened in campaigns */

static apr_status_t pack_campaigns(keeper_t *k, int *pmore)
{
    return keeper_campaign_pack(k->campaigns, pmore, k->ptemp);
}

static apr_status_t forget_campaigns(keeper_t *k, int *pmore)
{
    return keeper_campaign_forget(k->campaigns, pmore, k->ptemp);
}

/* design 4: checkpoints keep the WAL small; content goes as it is settled */
static const task_t tasks[] = {
    { "checkpoint", checkpoint, SEC(1), MSEC(300) },
    { "sweeping content", sweep_content, SEC(1), MSEC(5) },
    { "claims of the dead", release_claims, SEC(5), SEC(5) },
    { "deleted mailboxes", remove_mailboxes, SEC(1), MSEC(2) },
    { "bounces", read_bounces, SEC(1), MSEC(2) },
    { "mailing lists", expand_lists, SEC(1), MSEC(1) },
    { "journal of hits", replay_hits, SEC(1), MSEC(5) },
    { "statistics", fold_stats, SEC(60), MSEC(20) },
    { "usage", measure_usage, SEC(900), MSEC(20) },
    { "old events", forget_events, SEC(60), MSEC(20) },
    { "old counters", forget_counters, SEC(300), MSEC(20) },
    { "dead letters", forget_dead_letters, SEC(300), MSEC(50) },
    { "stored messages", forget_stored, SEC(60), MSEC(20) },
    { "deleted lists", forget_members, SEC(5), MSEC(10) },
    { "delivery memory", forget_deliveries, SEC(300), MSEC(50) },
    { "DNS records", look_at_dns, SEC(1), MSEC(20) },
    { "DKIM keys", forget_keys, SEC(300), MSEC(50) },
    { "destinations", forget_destinations, SEC(300), MSEC(50) },
    { "suppressions", forget_suppressions, SEC(60), MSEC(20) },
    { "campaigns", pack_campaigns, SEC(2), MSEC(5) },
    { "deleted campaigns", forget_campaigns, SEC(5), MSEC(20) },
};

/* the role */

static void on_time(loop_t *loop, void *baton)
{
    running_t *running = baton;
    keeper_t *k = running->keeper;
    apr_status_t rv = APR_SUCCESS;
    int more = 0;

    if (k->worker->stopping)
        return;
    if (worker_db_usable(k->worker)) {
        rv = running->task->step(k, &more);
        worker_db_check(k->worker, rv);
        /* outages of the store are said already */
        if (rv != APR_SUCCESS && rv != MG_EBUSY && rv != MG_ELOST &&
            rv != MG_EIO && rv != MG_EFULL && rv != running->said)
            mg_log(MG_LOG_WARN, rv, "%s: %s", running->task->name,
                   mg_db_error(k->worker->db));
        running->said = rv;
        apr_pool_clear(k->ptemp);
    }
    running->timer = loop_timer_set(
        loop, more && rv == APR_SUCCESS ? running->task->soon
                                        : running->task->rest,
        on_time, running);
}

/* Something was posted to a list, or somebody wants to know what DNS says. */
static void on_bell(worker_t *worker)
{
    keeper_t *k = worker->role_data;
    int more;

    if (worker->stopping || !worker_db_usable(worker))
        return;
    worker_db_check(worker, keeper_dns_step(k->dns, &more, k->ptemp));
    apr_pool_clear(k->ptemp);
    loop_timer_cancel(k->expanding->timer);
    k->expanding->timer = loop_timer_set(worker->loop, 0, on_time,
                                         k->expanding);
}

static void on_stop(worker_t *worker)
{
    worker_done(worker); /* each step was whole */
}

apr_status_t keeper_start(worker_t *worker)
{
    keeper_t *k = apr_pcalloc(worker->pool, sizeof(*k));
    apr_status_t rv;
    size_t i;

    k->worker = worker;
    apr_pool_create(&k->ptemp, worker->pool);
    apr_pool_create(&k->remover_pool, worker->pool);
    apr_pool_create(&k->tombstones_pool, worker->pool);
    k->tombstones = apr_hash_make(k->tombstones_pool);
    k->campaigns = keeper_campaign_create(worker, worker->pool);
    rv = keeper_bounce_create(&k->bounces, worker);
    if (rv == APR_SUCCESS)
        rv = keeper_list_create(&k->lists, worker);
    if (rv == APR_SUCCESS)
        rv = keeper_dns_create(&k->dns, worker, worker->pool);
    if (rv != APR_SUCCESS)
        return rv;
    worker->role_data = k;
    worker->on_bell = on_bell;
    worker->on_stop = on_stop;
    for (i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
        running_t *running = apr_pcalloc(worker->pool, sizeof(*running));

        running->keeper = k;
        running->task = &tasks[i];
        running->timer = loop_timer_set(
            worker->loop, MSEC(50) * (apr_interval_time_t)(i + 1), on_time,
            running);
        if (running->task->step == expand_lists)
            k->expanding = running;
    }
    return APR_SUCCESS;
}
