/* notifier_line.c - who is posted to, and how hard.
 *
 * A line is one customer's posts to one host (host:port). It has a window of
 * posts under way, which grows with each answer and shrinks where there is
 * none: a URL that hangs holds a few places for one time limit and is then
 * left alone for a while, whose other posts go back to the queue until then. A
 * host that many customers use hangs for one of them alone.
 */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include "mg_log.h"
#include "mg_time.h"
#include "notifier.h"

#define WINDOW_FIRST 4
#define FAILURES 3               /* in a row, then it is left alone */
#define CLOSED apr_time_from_sec(30)
#define CLOSED_MAX apr_time_from_sec(600)
#define IDLE apr_time_from_sec(60)

/* --- who there is --- */

static notifier_host_t *host_for(notifier_t *n, const char *dest)
{
    notifier_host_t *host = apr_hash_get(n->hosts, dest, APR_HASH_KEY_STRING);

    if (host)
        return host;
    host = calloc(1, sizeof(*host) + strlen(dest) + 1);
    if (host == NULL)
        abort();
    host->dest = memcpy(host + 1, dest, strlen(dest) + 1);
    apr_hash_set(n->hosts, host->dest, APR_HASH_KEY_STRING, host);
    return host;
}

static notifier_customer_t *customer_for(notifier_t *n, apr_int64_t id)
{
    notifier_customer_t *c = apr_hash_get(n->customers, &id, sizeof(id));

    if (c)
        return c;
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        abort();
    c->account_id = id;
    apr_hash_set(n->customers, &c->account_id, sizeof(c->account_id), c);
    return c;
}

notifier_line_t *notifier_line(notifier_t *n, apr_int64_t account_id,
                               const char *dest, apr_pool_t *ptemp)
{
    const char *key = apr_psprintf(ptemp, "%" APR_INT64_T_FMT " %s",
                                   account_id, dest);
    notifier_line_t *line = apr_hash_get(n->lines, key, APR_HASH_KEY_STRING);

    if (line)
        return line;
    line = calloc(1, sizeof(*line) + strlen(key) + 1);
    if (line == NULL)
        abort();
    line->key = memcpy(line + 1, key, strlen(key) + 1);
    line->host = host_for(n, dest);
    line->customer = customer_for(n, account_id);
    line->host->lines++;
    line->customer->lines++;
    line->window = WINDOW_FIRST;
    APR_RING_INIT(&line->waiting, notifier_post_t, link);
    APR_RING_ELEM_INIT(line, link);
    apr_hash_set(n->lines, line->key, APR_HASH_KEY_STRING, line);
    return line;
}

static void line_free(notifier_t *n, notifier_line_t *line)
{
    notifier_customer_t *customer = line->customer;
    notifier_host_t *host = line->host;

    apr_hash_set(n->lines, line->key, APR_HASH_KEY_STRING, NULL);
    free(line);
    if (--host->lines == 0) {
        apr_hash_set(n->hosts, host->dest, APR_HASH_KEY_STRING, NULL);
        free(host);
    }
    if (--customer->lines == 0) {
        apr_hash_set(n->customers, &customer->account_id,
                     sizeof(customer->account_id), NULL);
        free(customer);
    }
}

/* A customer has lines as long as something of it is held: what is held is
 * waiting, under way, or a result that is not committed yet. */
static int is_idle(const notifier_line_t *line, apr_time_t now)
{
    return line->held == 0 && now >= line->closed_until
           && now >= line->idle_since + IDLE;
}

static void on_tidy(loop_t *loop, void *baton)
{
    notifier_t *n = baton;
    apr_time_t now = mg_ticks();
    apr_hash_index_t *hi;

    loop_timer_set(loop, IDLE, on_tidy, n);
    for (hi = apr_hash_first(NULL, n->lines); hi; hi = apr_hash_next(hi)) {
        notifier_line_t *line = apr_hash_this_val(hi);

        if (is_idle(line, now))
            line_free(n, line);
    }
}

static apr_status_t cleanup(void *baton)
{
    notifier_t *n = baton;
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, n->lines); hi; hi = apr_hash_next(hi))
        line_free(n, apr_hash_this_val(hi));
    return APR_SUCCESS;
}

void notifier_lines_init(notifier_t *n)
{
    n->lines = apr_hash_make(n->pool);
    n->hosts = apr_hash_make(n->pool);
    n->customers = apr_hash_make(n->pool);
    n->owners = apr_hash_make(n->pool);
    APR_RING_INIT(&n->ready, notifier_line_t, link);
    apr_pool_cleanup_register(n->pool, n, cleanup, apr_pool_cleanup_null);
    loop_timer_set(n->worker->loop, IDLE, on_tidy, n);
}

/* --- how hard --- */

int notifier_line_may_start(const notifier_t *n, const notifier_line_t *line)
{
    const mg_config_t *config = n->worker->config;

    return line->running < line->window
           && line->host->running < config->hook_host_connections
           && line->customer->running < config->hook_customer_connections
           && mg_ticks() >= line->closed_until;
}

void notifier_line_answered(notifier_line_t *line)
{
    line->failures = 0;
    if (line->window < NOTIFIER_LINE_POSTS)
        line->window++;
}

void notifier_line_failed(notifier_line_t *line)
{
    apr_interval_time_t closed = CLOSED;
    int i;

    if (mg_ticks() < line->closed_until)
        return; /* it began before that was known */
    line->window = line->window > 1 ? line->window / 2 : 1;
    if (++line->failures < FAILURES)
        return;
    line->window = 1; /* one tries whether it is there again */
    for (i = FAILURES; i < line->failures && closed < CLOSED_MAX; i++)
        closed *= 2;
    if (closed > CLOSED_MAX)
        closed = CLOSED_MAX;
    line->closed_until = mg_ticks() + closed;
    mg_log(MG_LOG_INFO, APR_SUCCESS, "notifier: %s does not answer account %"
           APR_INT64_T_FMT "; left alone for %d s", line->host->dest,
           line->customer->account_id, (int)apr_time_sec(closed));
}

/* --- how much is claimed --- */

void notifier_owner(notifier_t *n, apr_int64_t domain_id,
                    apr_int64_t account_id)
{
    apr_int64_t *ids = apr_hash_get(n->owners, &domain_id, sizeof(domain_id));

    if (ids)
        return;
    ids = apr_palloc(n->pool, 2 * sizeof(*ids));
    ids[0] = domain_id;
    ids[1] = account_id;
    apr_hash_set(n->owners, &ids[0], sizeof(ids[0]), &ids[0]);
}

void notifier_share(int *pshare, int *proom, apr_int64_t domain_id,
                    void *baton)
{
    notifier_t *n = baton;
    const apr_int64_t *ids = apr_hash_get(n->owners, &domain_id,
                                          sizeof(domain_id));
    const notifier_customer_t *customer;

    (void)pshare;
    *proom = NOTIFIER_CUSTOMER_CLAIMS;
    if (ids == NULL)
        return;
    customer = apr_hash_get(n->customers, &ids[1], sizeof(ids[1]));
    if (customer)
        *proom -= customer->held;
    if (*proom < 0)
        *proom = 0;
}
