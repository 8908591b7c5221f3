/* mg_domain_cache.c - domains as a process last read them.
 *
 * The generation of the shared state says when something changed on this
 * machine. Where nobody can say so (another machine, mailgunctl without a run
 * directory) an entry is asked for its revision once a second.
 */
#include <string.h>
#include <apr_hash.h>
#include <apr_strings.h>

#include "mg_batch.h"
#include "mg_domain.h"
#include "mg_domain_private.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define FRESH_FOR APR_TIME_C(1000000)
/* Whoever holds a domain of a dropped cache is done with it by then. */
#define KEEP_DROPPED (60 * APR_TIME_C(1000000))
#define ENTRIES_MAX 20000

typedef struct {
    mg_domain_t *domain;
    apr_int64_t revision;
    apr_time_t checked;    /* mg_ticks() */
} entry_t;

/* What was read under one generation. */
typedef struct store_t store_t;
struct store_t {
    apr_pool_t *pool;
    apr_hash_t *by_name, *by_id;
    apr_time_t dropped;
    store_t *next;
};

struct mg_domain_cache_t {
    apr_pool_t *pool;
    mg_shared_t *shared;
    apr_uint32_t generation;
    store_t *live, *dropped;
};

static store_t *store_make(apr_pool_t *parent)
{
    apr_pool_t *pool;
    store_t *s;

    apr_pool_create(&pool, parent);
    s = apr_pcalloc(pool, sizeof(*s));
    s->pool = pool;
    s->by_name = apr_hash_make(pool);
    s->by_id = apr_hash_make(pool);
    return s;
}

static apr_status_t cache_gone(void *data)
{
    mg_batch_forget_cache(data);
    return APR_SUCCESS;
}

mg_domain_cache_t *mg_domain_cache_create(mg_shared_t *shared, apr_pool_t *p)
{
    mg_domain_cache_t *cache = apr_pcalloc(p, sizeof(*cache));

    apr_pool_create(&cache->pool, p);
    cache->shared = shared;
    cache->generation = shared ? mg_shared_generation(shared) : 0;
    cache->live = store_make(cache->pool);
    apr_pool_cleanup_register(p, cache, cache_gone, apr_pool_cleanup_null);
    return cache;
}

static void drop_all(mg_domain_cache_t *cache)
{
    cache->live->dropped = mg_ticks();
    cache->live->next = cache->dropped;
    cache->dropped = cache->live;
    cache->live = store_make(cache->pool);
}

static void free_old(mg_domain_cache_t *cache)
{
    apr_time_t before = mg_ticks() - KEEP_DROPPED;
    store_t **ps = &cache->dropped, *s;

    while ((s = *ps) != NULL) {
        if (s->dropped >= before) {
            ps = &s->next;
            continue;
        }
        *ps = s->next;
        apr_pool_destroy(s->pool);
    }
}

static void cache_tidy(mg_domain_cache_t *cache)
{
    apr_uint32_t generation =
        cache->shared ? mg_shared_generation(cache->shared) : 0;

    if (generation != cache->generation ||
        apr_hash_count(cache->live->by_id) >= ENTRIES_MAX) {
        drop_all(cache);
        cache->generation = generation;
    }
    if (cache->dropped)
        free_old(cache);
}

static void entry_forget(store_t *s, const entry_t *entry)
{
    apr_hash_set(s->by_id, &entry->domain->id, sizeof(entry->domain->id),
                 NULL);
    apr_hash_set(s->by_name, entry->domain->name_lc, APR_HASH_KEY_STRING,
                 NULL);
}

/* Is it still what the store has? */
static apr_status_t entry_check(const mg_domain_t **pdomain, store_t *s,
                                entry_t *entry, mg_db_t *db)
{
    apr_int64_t revision = 0;
    apr_time_t ticks = mg_ticks();
    apr_status_t rv;

    if (ticks - entry->checked > FRESH_FOR) {
        rv = mg_db_get_int(db, &revision,
                           "SELECT revision FROM domain WHERE id = $1", "i",
                           entry->domain->id);
        if (rv != APR_SUCCESS && rv != APR_ENOENT)
            return rv;
        if (rv == APR_ENOENT || revision != entry->revision) {
            entry_forget(s, entry);
            return APR_ENOENT;
        }
        entry->checked = ticks;
    }
    *pdomain = entry->domain;
    return APR_SUCCESS;
}

static void entry_add(store_t *s, mg_domain_t *domain, apr_int64_t revision)
{
    entry_t *entry = apr_pcalloc(s->pool, sizeof(*entry));

    entry->domain = domain;
    entry->revision = revision;
    entry->checked = mg_ticks();
    apr_hash_set(s->by_id, &domain->id, sizeof(domain->id), entry);
    apr_hash_set(s->by_name, domain->name_lc, APR_HASH_KEY_STRING, entry);
}

/* Lower-cased into buf, so that a look-up takes nothing from the pool. */
static const char *lower(char *buf, apr_size_t size, const char *name)
{
    apr_size_t i;

    for (i = 0; name[i]; i++) {
        if (i + 1 >= size)
            return NULL;
        buf[i] = name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i];
    }
    buf[i] = '\0';
    return buf;
}

apr_status_t mg_domain_cached_by_name(const mg_domain_t **pdomain,
                                      mg_domain_cache_t *cache, mg_db_t *db,
                                      const char *name)
{
    mg_domain_t *domain;
    apr_int64_t revision, id = 0;
    apr_status_t rv;
    entry_t *entry;
    char buf[512];

    *pdomain = NULL;
    name = lower(buf, sizeof(buf), name);
    if (!name || !mg_text_is_utf8(name, strlen(name)))
        return APR_ENOENT; /* longer than any domain, or none */
    cache_tidy(cache);
    entry = apr_hash_get(cache->live->by_name, name, APR_HASH_KEY_STRING);
    if (entry) {
        rv = entry_check(pdomain, cache->live, entry, db);
        if (rv != APR_ENOENT)
            return rv;
    }
    /* most names asked for are not ours: they must not fill the pool */
    rv = mg_db_get_int(db, &id, "SELECT id FROM domain WHERE name_lc = $1",
                       "t", name);
    if (rv == APR_SUCCESS)
        rv = mg_domain_read_by_id(&domain, &revision, db, id,
                                  cache->live->pool);
    if (rv != APR_SUCCESS)
        return rv;
    entry_add(cache->live, domain, revision);
    *pdomain = domain;
    return APR_SUCCESS;
}

apr_status_t mg_domain_cached_by_id(const mg_domain_t **pdomain,
                                    mg_domain_cache_t *cache, mg_db_t *db,
                                    apr_int64_t id)
{
    mg_domain_t *domain;
    apr_int64_t revision;
    apr_status_t rv;
    entry_t *entry;

    *pdomain = NULL;
    cache_tidy(cache);
    entry = apr_hash_get(cache->live->by_id, &id, sizeof(id));
    if (entry) {
        rv = entry_check(pdomain, cache->live, entry, db);
        if (rv != APR_ENOENT)
            return rv;
    }
    rv = mg_domain_read_by_id(&domain, &revision, db, id, cache->live->pool);
    if (rv != APR_SUCCESS)
        return rv;
    entry_add(cache->live, domain, revision);
    *pdomain = domain;
    return APR_SUCCESS;
}
