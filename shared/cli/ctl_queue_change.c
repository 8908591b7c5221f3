/* ctl_queue_change.c - mailgunctl queue hold, release, retry, drop.
 *
 * In slices, so that no transaction is long. What a sender has claimed is
 * never taken from it: hold and drop mark such rows, the senders give back
 * what has not begun, and drop waits a little for that.
 */
#include "ctl.h"
#include "ctl_queue.h"
#include "mg_message.h"
#include "mg_shared.h"

#include <apr_time.h>
#include <stdio.h>
#include <string.h>

#define SLICE 200
#define SHOWN 20
#define WAITS 20                           /* for what is in hand */
#define WAIT apr_time_from_msec(500)

static const struct {
    const char *done, *would;
} words[] = {
    [MG_QUEUE_HOLD] = { "held", "would be held" },
    [MG_QUEUE_RELEASE] = { "released", "would be released" },
    [MG_QUEUE_RETRY] = { "due now", "would be due now" },
    [MG_QUEUE_DROP] = { "dropped", "would be dropped" },
};

static const char *deliveries(apr_int64_t n)
{
    return n == 1 ? "delivery" : "deliveries";
}

static int dry_run(ctl_t *ctl, const mg_queue_filter_t *filter,
                   mg_queue_change_t change)
{
    apr_array_header_t *shown = apr_array_make(ctl->pool, SHOWN,
                                               sizeof(mg_delivery_t *));
    mg_queue_progress_t progress = { 0, 0, 0 };
    apr_array_header_t *first = NULL;
    apr_pool_t *step;
    apr_status_t rv;
    int more = 1;

    while (more) {
        /* the first slice is shown and stays */
        apr_pool_create(&step, ctl->pool);
        rv = mg_queue_would(&progress, shown, &more, ctl->db, filter, change,
                            SLICE, step);
        if (rv != APR_SUCCESS)
            return ctl_failed(ctl, rv, "queue");
        if (!first && shown->nelts > 0) {
            first = shown;
            if (first->nelts > SHOWN)
                first->nelts = SHOWN;
            ctl_queue_print(ctl, first);
            if (progress.changed > SHOWN || more)
                printf("...\n");
        }
        shown = apr_array_make(ctl->pool, 1, sizeof(mg_delivery_t *));
        apr_pool_destroy(step);
    }
    printf("%" APR_INT64_T_FMT " %s %s", progress.changed,
           deliveries(progress.changed), words[change].would);
    if (progress.in_hand && change != MG_QUEUE_RELEASE)
        printf("; a sender has %" APR_INT64_T_FMT " of them in hand",
               progress.in_hand);
    printf(".\n");
    return 0;
}

static int change_all(mg_queue_progress_t *progress, ctl_t *ctl,
                      const mg_queue_filter_t *filter,
                      mg_queue_change_t change)
{
    apr_pool_t *step;
    apr_status_t rv;
    int more = 1;

    progress->after = progress->in_hand = 0;
    apr_pool_create(&step, ctl->pool);
    while (more) {
        rv = mg_queue_change(progress, &more, ctl->db, filter, change, SLICE,
                             step);
        if (rv != APR_SUCCESS)
            return ctl_failed(ctl, rv, "after %" APR_INT64_T_FMT " %s",
                              progress->changed,
                              deliveries(progress->changed));
        apr_pool_clear(step);
    }
    apr_pool_destroy(step);
    /* the senders look what is held, and what is due */
    mg_shared_bump(mg_shared_attach(ctl->config->run_dir, ctl->pool));
    mg_bell_ring(ctl->config->run_dir, MG_ROLE_SENDER);
    mg_bell_ring(ctl->config->run_dir, MG_ROLE_NOTIFIER);
    return 0;
}

static int run(ctl_t *ctl, mg_queue_change_t change)
{
    mg_queue_progress_t progress = { 0, 0, 0 };
    mg_queue_filter_t filter;
    int code, i;

    if ((code = ctl_queue_filter(&filter, ctl)) != 0)
        return code;
    if (!filter.domain && !filter.message_id && !filter.transport
        && !filter.dest && !ctl_option(ctl, "all"))
        return ctl_usage(ctl, "which ones? --all means all");
    if (ctl_option(ctl, "dry-run"))
        return dry_run(ctl, &filter, change);
    if ((code = change_all(&progress, ctl, &filter, change)) != 0)
        return code;
    for (i = 0; i < WAITS && progress.in_hand > 0; i++) {
        apr_sleep(WAIT);
        if ((code = change_all(&progress, ctl, &filter, change)) != 0)
            return code;
    }
    printf("%" APR_INT64_T_FMT " %s %s.\n", progress.changed,
           deliveries(progress.changed), words[change].done);
    if (progress.in_hand)
        printf("%" APR_INT64_T_FMT " more: a sender is at it. Held; what it "
               "does not deliver can be dropped then.\n", progress.in_hand);
    return 0;
}

int ctl_queue_hold(ctl_t *ctl)
{
    return run(ctl, MG_QUEUE_HOLD);
}

int ctl_queue_release(ctl_t *ctl)
{
    return run(ctl, MG_QUEUE_RELEASE);
}

int ctl_queue_retry(ctl_t *ctl)
{
    return run(ctl, MG_QUEUE_RETRY);
}

int ctl_queue_drop(ctl_t *ctl)
{
    return run(ctl, MG_QUEUE_DROP);
}
