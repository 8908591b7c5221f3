/* api_child.c - what one httpd child has: leader, readers, caches.
 *
 * All of it is made after the fork. Threads borrow a worker for a request, so
 * that caches stay with one thread at a time; the last one returned is the
 * first one lent, because its caches are warm.
 *
 * The event MPM joins its threads before it destroys pchild, so units in
 * flight have their leader; the drain in the pre-cleanup is for a child that
 * leaves by another way.
 */
#include "api.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <http_log.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "mg_event.h"
#include "mg_id.h"
#include "mg_log.h"
#include "mg_mime.h"
#include "mg_status.h"
#include "mg_time.h"

APLOG_USE_MODULE(mailgun);

#define SPACE_EVERY apr_time_from_sec(1)

static struct {
    api_child_t child;
    apr_thread_mutex_t *lock;     /* of what follows */
    api_worker_t *workers;        /* not lent */
    api_writer_t *writers;        /* not lent */
    const char *store_dir;        /* NULL: not on this machine */
    apr_time_t space_checked;
    volatile int is_full;

    /* in units only, so by one thread at a time */
    mg_domain_cache_t *domains;
    mg_db_t *context_db;
} self;

static api_child_t *ready;

/* the log */

static void to_httpd(mg_log_level_t level, apr_status_t rv, const char *line,
                     void *server)
{
    static const int levels[] = { APLOG_ERR, APLOG_WARNING, APLOG_INFO,
                                  APLOG_DEBUG };
    char why[200];

    if (rv == APR_SUCCESS)
        ap_log_error(APLOG_MARK, levels[level], 0, (server_rec *)server, "%s",
                     line);
    else
        ap_log_error(APLOG_MARK, levels[level], 0, (server_rec *)server,
                     "%s: %s", line, mg_strerror(rv, why, sizeof(why)));
}

/* life */

static apr_status_t drain(void *leader)
{
    ready = NULL;
    mg_leader_drain(leader);
    return APR_SUCCESS;
}

static apr_pool_t *own_pool(apr_pool_t *parent)
{
    apr_allocator_t *allocator;
    apr_pool_t *pool;

    /* its own allocator: the parent's is not for several threads */
    apr_allocator_create(&allocator);
    apr_pool_create_ex(&pool, parent, NULL, allocator);
    apr_allocator_owner_set(allocator, pool);
    return pool;
}

static const char *store_dir(const char *url, apr_pool_t *p)
{
    const char *slash;

    if (strncmp(url, "sqlite:", 7) != 0)
        return NULL;
    slash = strrchr(url + 7, '/');
    return slash ? apr_pstrmemdup(p, url + 7, (apr_size_t)(slash - url) - 6)
                 : ".";
}

static void begin_tracking(api_child_t *child)
{
    const mg_config_t *config = child->config;
    apr_status_t rv;

    rv = mg_track_keys_load(&child->track_keys, config->tracking_secret,
                            child->pool);
    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_WARN, rv, "%s: tracking links are not believed; "
               "mailgunctl init makes it", config->tracking_secret);
    child->journal = mg_hit_journal_create(config->spool_dir, child->pool);
    if (!config->geo_file)
        return;
    rv = mg_geo_open(&child->geo, config->geo_file, child->pool);
    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_WARN, rv, "MailgunGeoIPFile %s: nobody knows where opens "
               "and clicks come from", config->geo_file);
}

void api_child_init(apr_pool_t *pchild, server_rec *s)
{
    api_child_t *child = &self.child;
    apr_status_t rv;

    memset(&self, 0, sizeof(self));
    if (!api_is_wanted())
        return;
    mg_log_set_sink(to_httpd, s);
    mg_log_set_level(APLOGdebug(s) ? MG_LOG_DEBUG : MG_LOG_INFO);
    mg_id_init();
    mg_mime_init();
    apr_pool_create(&child->pool, pchild);
    child->server = s;
    child->config = api_config(s);
    child->shared = mg_shared_attach(child->config->run_dir, child->pool);
    mg_message_set_run_dir(child->config->run_dir);
    mg_message_set_stored_for(child->config->stored_retention);
    mg_event_hook_machines(child->config->hook_machines);
    apr_thread_mutex_create(&self.lock, APR_THREAD_MUTEX_DEFAULT, child->pool);
    self.domains = mg_domain_cache_create(child->shared,
                                          own_pool(child->pool));

    self.store_dir = store_dir(child->config->store, child->pool);

    rv = mg_secret_load((mg_secret_t **)&child->secret,
                        child->config->secret_file, child->pool);
    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_WARN, rv, "%s.pub: no domains can be added",
               child->config->secret_file);
    mg_event_hook_machines(child->config->hook_machines);
    begin_tracking(child);
    if (access(child->config->spool_dir, W_OK | X_OK) != 0)
        mg_log(MG_LOG_WARN, APR_FROM_OS_ERROR(errno),
               "MailgunSpoolDir %s: large messages will be refused",
               child->config->spool_dir);
    rv = mg_leader_create(&child->leader, child->config->store,
                          child->config->relaxed ? MG_DB_RELAXED : 0,
                          own_pool(child->pool));
    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_ERR, rv, "cannot open the store (%s)",
               mg_leader_error(child->leader, child->pool));
    apr_pool_pre_cleanup_register(pchild, child->leader, drain);
    ready = child;
}

api_child_t *api_child(void)
{
    return ready;
}

/* lending */

static api_worker_t *make_worker(api_child_t *child)
{
    apr_pool_t *pool = own_pool(child->pool);
    api_worker_t *worker = apr_pcalloc(pool, sizeof(*worker));

    worker->pool = pool;
    worker->domains = mg_domain_cache_create(child->shared, pool);
    worker->routing = mg_routing_create(worker->domains, child->shared, NULL,
                                        pool);
    mg_routing_reports(worker->routing, child->config->feedback,
                       child->track_keys);
    return worker;
}

api_worker_t *api_worker_borrow(api_child_t *child)
{
    api_worker_t *worker;

    apr_thread_mutex_lock(self.lock);
    worker = self.workers;
    if (worker)
        self.workers = worker->next;
    else
        worker = make_worker(child);
    apr_thread_mutex_unlock(self.lock);
    return worker;
}

void api_worker_return(api_child_t *child, api_worker_t *worker)
{
    (void)child;
    apr_thread_mutex_lock(self.lock);
    worker->next = self.workers;
    self.workers = worker;
    apr_thread_mutex_unlock(self.lock);
}

apr_status_t api_writer_borrow(api_writer_t **pwriter, api_child_t *child)
{
    api_writer_t *writer;
    apr_status_t rv;

    apr_thread_mutex_lock(self.lock);
    writer = self.writers;
    if (writer) {
        self.writers = writer->next;
    } else {
        writer = apr_pcalloc(child->pool, sizeof(*writer));
        writer->pool = own_pool(child->pool);
    }
    apr_thread_mutex_unlock(self.lock);

    *pwriter = writer;
    if (writer->db)
        return APR_SUCCESS;
    rv = mg_db_open(&writer->db, child->config->store,
                    child->config->relaxed ? MG_DB_RELAXED : 0, writer->pool);
    if (rv != APR_SUCCESS)
        api_writer_return(writer, 0);
    return rv;
}

void api_writer_return(api_writer_t *writer, int is_good)
{
    if (!is_good) {
        apr_pool_clear(writer->pool); /* closes: the next one opens anew */
        writer->db = NULL;
    }
    apr_thread_mutex_lock(self.lock);
    writer->next = self.writers;
    self.writers = writer;
    apr_thread_mutex_unlock(self.lock);
}

/* for units */

void api_child_context(api_child_t *child, mg_db_t *db)
{
    (void)child;
    if (self.context_db == db)
        return;
    mg_event_context(db, self.domains, (int)getpid());
    self.context_db = db;
}

/* free space */

static int is_short(const char *path, apr_int64_t min_free)
{
    struct statvfs fs;

    return statvfs(path, &fs) == 0 &&
           (apr_int64_t)fs.f_bavail * (apr_int64_t)fs.f_frsize < min_free;
}

int api_child_is_full(api_child_t *child)
{
    const mg_config_t *config = child->config;
    apr_time_t now = mg_ticks();
    int check;

    apr_thread_mutex_lock(self.lock);
    check = now >= self.space_checked + SPACE_EVERY;
    if (check)
        self.space_checked = now;
    apr_thread_mutex_unlock(self.lock);
    if (check)
        self.is_full =
            (self.store_dir && is_short(self.store_dir, config->min_free)) ||
            is_short(config->spool_dir, config->min_free);
    return self.is_full;
}
