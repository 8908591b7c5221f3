/* mg_batch.c - what a transaction adds up until it commits. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mg_batch.h"
#include "mg_campaign_event.h"
#include "mg_campaign_name.h"
#include "mg_event.h"
#include "mg_event_count.h"
#include "mg_message.h"
#include "mg_stat.h"
#include "mg_status.h"

/* What mg_event_context() said of a connection. Few (one per connection of
 * this process), asked once per transaction. */
typedef struct context_t context_t;
struct context_t {
    const mg_db_t *db;
    mg_domain_cache_t *domains;
    mg_campaign_names_t *names;
    int stat_slot;
    context_t *next;
};

static pthread_mutex_t contexts_lock = PTHREAD_MUTEX_INITIALIZER;
static context_t *contexts;
static char *bell_dir;

void mg_message_set_run_dir(const char *run_dir)
{
    free(bell_dir);
    bell_dir = run_dir ? strdup(run_dir) : NULL;
}

static context_t *context_find(const mg_db_t *db)
{
    context_t *c;

    for (c = contexts; c && c->db != db; c = c->next)
        ;
    return c;
}

void mg_event_context(mg_db_t *db, mg_domain_cache_t *domains, int stat_slot)
{
    context_t *c;

    pthread_mutex_lock(&contexts_lock);
    c = context_find(db);
    if (!c && (c = calloc(1, sizeof(*c))) != NULL) {
        c->db = db;
        c->names = mg_campaign_names_create();
        c->next = contexts;
        contexts = c;
    }
    if (c) {
        if (c->domains != domains && c->names)
            mg_campaign_names_drop(c->names); /* perhaps another store's */
        c->domains = domains;
        c->stat_slot = stat_slot;
    }
    pthread_mutex_unlock(&contexts_lock);
}

/* A cache that goes takes its contexts along: a later connection may stand at
 * the same address. */
void mg_batch_forget_cache(const mg_domain_cache_t *domains)
{
    context_t **pc, *c;

    pthread_mutex_lock(&contexts_lock);
    for (pc = &contexts; (c = *pc) != NULL;) {
        if (c->domains == domains) {
            *pc = c->next;
            mg_campaign_names_destroy(c->names);
            free(c);
        }
        else {
            pc = &c->next;
        }
    }
    pthread_mutex_unlock(&contexts_lock);
}

static apr_status_t batch_before(mg_db_t *db, void *baton)
{
    mg_batch_t *batch = baton;
    apr_status_t rv = mg_stat_write(batch);

    (void)db;
    if (rv == APR_SUCCESS)
        rv = mg_event_count_write(batch);
    if (rv == APR_SUCCESS)
        rv = mg_campaign_count_write(batch);
    return rv == APR_SUCCESS ? mg_campaign_names_write(batch) : rv;
}

static void batch_after(mg_db_t *db, void *baton)
{
    mg_batch_t *batch = baton;
    int role;

    (void)db;
    if (!bell_dir)
        return;
    for (role = 0; role < MG_ROLE_MAX; role++)
        if (batch->bells & (1u << role))
            mg_bell_ring(bell_dir, role);
}

mg_batch_t *mg_batch_get(mg_db_t *db)
{
    static const char key[] = "mg_batch";
    apr_pool_t *pool = mg_tx_pool(db);
    mg_batch_t *batch;
    context_t *c;
    void *found = NULL;

    if (!pool)
        return NULL;
    apr_pool_userdata_get(&found, key, pool);
    if (found)
        return found;

    batch = apr_pcalloc(pool, sizeof(*batch));
    batch->db = db;
    batch->pool = pool;
    pthread_mutex_lock(&contexts_lock);
    c = context_find(db);
    if (c) {
        batch->domains = c->domains;
        batch->names = c->names;
        batch->stat_slot = c->stat_slot;
    }
    pthread_mutex_unlock(&contexts_lock);
    apr_pool_userdata_setn(batch, key, NULL, pool);
    mg_tx_hook(db, batch_before, batch_after, batch);
    return batch;
}

void mg_batch_ring(mg_batch_t *batch, mg_role_t role)
{
    batch->bells |= 1u << role;
}
