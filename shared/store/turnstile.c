/* turnstile.c - two lock files (turnstile.h). */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <apr_strings.h>
#include "turnstile.h"

struct turnstile_t {
    int line;               /* A */
    int turn;               /* B */
    int inside;
    turnstile_t *next, **pprev;
};

/* --- forked children ---
 *
 * A child shares our open files, and with them our locks: were we killed
 * inside, the child would hold everybody up for as long as it lives. So
 * children close what they inherit. (After exec, O_CLOEXEC does it.) */

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static turnstile_t *all;

static void close_both(turnstile_t *t)
{
    if (t->line >= 0)
        close(t->line);
    if (t->turn >= 0)
        close(t->turn);
    t->line = t->turn = -1;
}

static void before_fork(void)
{
    pthread_mutex_lock(&all_lock);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&all_lock);
}

static void after_fork_child(void)
{
    turnstile_t *t;

    for (t = all; t; t = t->next)
        close_both(t);
    pthread_mutex_unlock(&all_lock);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void enlist(turnstile_t *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&all_lock);
    t->next = all;
    t->pprev = &all;
    if (all)
        all->pprev = &t->next;
    all = t;
    pthread_mutex_unlock(&all_lock);
}

static apr_status_t forget(void *data)
{
    turnstile_t *t = data;

    pthread_mutex_lock(&all_lock);
    *t->pprev = t->next;
    if (t->next)
        t->next->pprev = t->pprev;
    pthread_mutex_unlock(&all_lock);
    close_both(t);
    return APR_SUCCESS;
}

/* --- files --- */

void turnstile_share(const char *path, const char *store)
{
    struct stat want, is;
    mode_t mode;

    if (stat(store, &want) != 0 || lstat(path, &is) != 0
        || !S_ISREG(is.st_mode))
        return;
    /* who is neither root nor the owner cannot, and need not */
    if (is.st_gid != want.st_gid || (geteuid() == 0
                                     && is.st_uid != want.st_uid)) {
        if (chown(path, geteuid() == 0 ? want.st_uid : (uid_t)-1,
                  want.st_gid) != 0)
            return;
    }
    mode = want.st_mode & 0666;
    if ((is.st_mode & 0777) != mode)
        (void)!chmod(path, mode);
}

static apr_status_t open_lock(int *pfd, const char *store, const char *suffix,
                              apr_pool_t *p)
{
    const char *path = apr_pstrcat(p, store, suffix, NULL);

    *pfd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
    if (*pfd < 0)
        return APR_FROM_OS_ERROR(errno);
    turnstile_share(path, store);
    return APR_SUCCESS;
}

apr_status_t turnstile_open(turnstile_t **pturnstile, const char *store,
                            apr_pool_t *p)
{
    turnstile_t *t = apr_pcalloc(p, sizeof(*t));
    apr_status_t rv;

    *pturnstile = NULL;
    t->line = t->turn = -1;
    rv = open_lock(&t->line, store, "-line", p);
    if (rv == APR_SUCCESS)
        rv = open_lock(&t->turn, store, "-turn", p);
    if (rv != APR_SUCCESS) {
        close_both(t);
        return rv;
    }
    enlist(t);
    apr_pool_cleanup_register(p, t, forget, apr_pool_cleanup_null);
    *pturnstile = t;
    return APR_SUCCESS;
}

/* --- the line --- */

static apr_status_t lock(int fd, short type)
{
    struct flock whole = { .l_type = type, .l_whence = SEEK_SET };

    while (fcntl(fd, F_OFD_SETLKW, &whole) != 0) {
        if (errno != EINTR)
            return APR_FROM_OS_ERROR(errno);
    }
    return APR_SUCCESS;
}

apr_status_t turnstile_enter(turnstile_t *t)
{
    apr_status_t rv;

    if (t->inside || t->turn < 0)
        return APR_EINVAL;
    rv = lock(t->line, F_WRLCK);
    if (rv != APR_SUCCESS)
        return rv;
    rv = lock(t->turn, F_WRLCK);
    lock(t->line, F_UNLCK);
    if (rv == APR_SUCCESS)
        t->inside = 1;
    return rv;
}

void turnstile_leave(turnstile_t *t)
{
    if (!t->inside)
        return;
    t->inside = 0;
    lock(t->turn, F_UNLCK);
}
