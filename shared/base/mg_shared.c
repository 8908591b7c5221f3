/* mg_shared.c - the mapped file: generation and gauges. */
#include "mg_shared.h"
#include "mg_status.h"
#include "mg_time.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARED_MAGIC "MGSHARE1"
#define SHARED_LAYOUT 2
#define SHARED_SLOTS 64
#define CHECK_EVERY apr_time_from_sec(1)

typedef struct {
    char magic[8];
    uint32_t layout;
    uint32_t generation;
    uint64_t boot_id;
    int64_t gauges[SHARED_SLOTS][MG_GAUGE_MAX];
} layout_t;

struct mg_shared_t {
    layout_t *map;          /* the file, or local */
    layout_t *stale;        /* the mapping before: a thread may be in it */
    layout_t local;
    const char *path;
    uint64_t boot_id;
    dev_t dev;
    ino_t ino;
    apr_time_t next_check;
    pthread_mutex_t lock;   /* of attaching anew */
};

const char *mg_role_name(mg_role_t role)
{
    static const char *const names[] = { "master", "receiver", "auth",
                                         "sender", "notifier", "keeper",
                                         "mailboxd" };

    return (unsigned)role < MG_ROLE_MAX ? names[role] : "unknown";
}

static layout_t *map_file(int fd)
{
    layout_t *map = mmap(NULL, sizeof(*map), PROT_READ | PROT_WRITE,
                         MAP_SHARED, fd, 0);

    return map == MAP_FAILED ? NULL : map;
}

static void take_map(mg_shared_t *shared, layout_t *map, const struct stat *st)
{
    layout_t *old = shared->map;

    if (shared->stale && shared->stale != &shared->local)
        munmap(shared->stale, sizeof(layout_t));
    shared->stale = old;
    shared->boot_id = map->boot_id;
    shared->dev = st->st_dev;
    shared->ino = st->st_ino;
    __atomic_store_n(&shared->map, map, __ATOMIC_RELEASE);
}

static void attach_now(mg_shared_t *shared)
{
    layout_t *map;
    struct stat st;
    int fd;

    /* a file that is gone changes nothing: the mapping is still shared */
    if (!shared->path || stat(shared->path, &st) != 0)
        return;
    if (shared->map != &shared->local && st.st_dev == shared->dev
        && st.st_ino == shared->ino && shared->map->boot_id == shared->boot_id)
        return;
    fd = open(shared->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(layout_t)
        && (map = map_file(fd)) != NULL) {
        if (memcmp(map->magic, SHARED_MAGIC, 8) == 0
            && map->layout == SHARED_LAYOUT)
            take_map(shared, map, &st);
        else
            munmap(map, sizeof(*map));
    }
    close(fd);
}

static layout_t *current(mg_shared_t *shared)
{
    apr_time_t now = mg_ticks();
    apr_time_t next = __atomic_load_n(&shared->next_check, __ATOMIC_RELAXED);

    if (now >= next && pthread_mutex_trylock(&shared->lock) == 0) {
        __atomic_store_n(&shared->next_check, now + CHECK_EVERY,
                         __ATOMIC_RELAXED);
        attach_now(shared);
        pthread_mutex_unlock(&shared->lock);
    }
    return __atomic_load_n(&shared->map, __ATOMIC_ACQUIRE);
}

static apr_status_t detach(void *data)
{
    mg_shared_t *shared = data;

    if (shared->map != &shared->local)
        munmap(shared->map, sizeof(layout_t));
    if (shared->stale && shared->stale != &shared->local)
        munmap(shared->stale, sizeof(layout_t));
    pthread_mutex_destroy(&shared->lock);
    return APR_SUCCESS;
}

static mg_shared_t *make(const char *run_dir, apr_pool_t *p)
{
    mg_shared_t *shared = apr_pcalloc(p, sizeof(*shared));

    shared->map = &shared->local;
    if (run_dir)
        shared->path = apr_pstrcat(p, run_dir, "/shared", NULL);
    pthread_mutex_init(&shared->lock, NULL);
    apr_pool_cleanup_register(p, shared, detach, apr_pool_cleanup_null);
    return shared;
}

mg_shared_t *mg_shared_attach(const char *run_dir, apr_pool_t *p)
{
    mg_shared_t *shared = make(run_dir, p);

    current(shared);
    return shared;
}

/* A new file under the same name: who has the old one mapped goes on with it
 * until the next check. */
apr_status_t mg_shared_create(mg_shared_t **pshared, const char *run_dir,
                              apr_pool_t *p)
{
    mg_shared_t *shared = make(run_dir, p);
    char *temp = apr_pstrcat(p, shared->path, ".new", NULL);
    apr_status_t rv = APR_SUCCESS;
    layout_t *map = NULL;
    struct stat st;
    int fd;

    *pshared = NULL;
    unlink(temp);
    fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    if (ftruncate(fd, sizeof(layout_t)) != 0 || fchmod(fd, 0660) != 0
        || fstat(fd, &st) != 0 || !(map = map_file(fd)))
        rv = errno;
    close(fd);
    if (rv == APR_SUCCESS) {
        memcpy(map->magic, SHARED_MAGIC, 8);
        map->layout = SHARED_LAYOUT;
        /* random, so that no cache takes itself for fresh by accident */
        if (RAND_bytes((unsigned char *)&map->generation, 4) != 1
            || RAND_bytes((unsigned char *)&map->boot_id, 8) != 1)
            rv = APR_EGENERAL;
        take_map(shared, map, &st);
    }
    if (rv == APR_SUCCESS && rename(temp, shared->path) != 0)
        rv = errno;
    if (rv != APR_SUCCESS) {
        unlink(temp);
        return rv;
    }
    *pshared = shared;
    return APR_SUCCESS;
}

apr_uint32_t mg_shared_generation(mg_shared_t *shared)
{
    layout_t *map = current(shared);
    apr_uint32_t n = __atomic_load_n(&map->generation, __ATOMIC_ACQUIRE);

    /* nobody can tell us of changes: whatever is cached is good for a second */
    if (map == &shared->local)
        n += (apr_uint32_t)apr_time_sec(mg_ticks());
    return n;
}

void mg_shared_bump(mg_shared_t *shared)
{
    __atomic_add_fetch(&current(shared)->generation, 1, __ATOMIC_ACQ_REL);
}

static int64_t *gauge(mg_shared_t *shared, int slot, mg_gauge_t g)
{
    if (slot < 0 || slot >= SHARED_SLOTS || (unsigned)g >= MG_GAUGE_MAX)
        return NULL;
    return &current(shared)->gauges[slot][g];
}

void mg_shared_add(mg_shared_t *shared, int slot, mg_gauge_t g, apr_int64_t n)
{
    int64_t *value = gauge(shared, slot, g);

    if (value)
        __atomic_add_fetch(value, n, __ATOMIC_RELAXED);
}

void mg_shared_set(mg_shared_t *shared, int slot, mg_gauge_t g, apr_int64_t v)
{
    int64_t *value = gauge(shared, slot, g);

    if (value)
        __atomic_store_n(value, v, __ATOMIC_RELAXED);
}

void mg_shared_zero_slot(mg_shared_t *shared, int slot)
{
    int g;

    for (g = 0; g < MG_GAUGE_MAX; g++)
        mg_shared_set(shared, slot, (mg_gauge_t)g, 0);
}

apr_int64_t mg_shared_sum(mg_shared_t *shared, mg_gauge_t g)
{
    layout_t *map = current(shared);
    apr_int64_t sum = 0;
    int slot;

    for (slot = 0; slot < SHARED_SLOTS && (unsigned)g < MG_GAUGE_MAX; slot++)
        sum += __atomic_load_n(&map->gauges[slot][g], __ATOMIC_RELAXED);
    return sum;
}
