/* remover.c - a tree of files is removed, a slice at a time. */
#include <dirent.h>
#include <limits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "remover.h"

#define DEPTH_MAX 64
#define REWINDS_MAX 8         /* a directory that is filled while we empty it */

typedef struct {
    DIR *dir;
    char name[NAME_MAX + 1];  /* in the one above */
    int rewinds;
} level_t;

struct remover_t {
    const char *path;
    int parent;               /* directory of the tree's root */
    level_t levels[DEPTH_MAX];
    int depth;
};

static apr_status_t close_all(void *baton)
{
    remover_t *r = baton;

    while (r->depth > 0)
        closedir(r->levels[--r->depth].dir);
    if (r->parent >= 0)
        close(r->parent);
    r->parent = -1;
    return APR_SUCCESS;
}

static int top_fd(const remover_t *r)
{
    return r->depth ? dirfd(r->levels[r->depth - 1].dir) : r->parent;
}

static apr_status_t descend(remover_t *r, const char *name)
{
    level_t *level = &r->levels[r->depth];
    int fd;

    if (r->depth == DEPTH_MAX)
        return APR_ENAMETOOLONG;
    fd = openat(top_fd(r), name,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    level->dir = fdopendir(fd);
    if (!level->dir) {
        close(fd);
        return APR_ENOMEM;
    }
    apr_cpystrn(level->name, name, sizeof(level->name));
    level->rewinds = 0;
    r->depth++;
    return APR_SUCCESS;
}

static apr_status_t remove_file(remover_t *r, const char *name)
{
    return unlinkat(top_fd(r), name, 0) == 0 ? APR_SUCCESS : errno;
}

apr_status_t remover_create(remover_t **premover, const char *dir,
                            const char *name, apr_pool_t *p)
{
    remover_t *r = apr_pcalloc(p, sizeof(*r));
    char *gone = apr_pstrcat(p, name, ".gone", NULL);
    apr_status_t rv;

    *premover = r;
    r->path = apr_pstrcat(p, dir, "/", gone, NULL);
    r->parent = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->parent < 0)
        return errno;
    apr_pool_cleanup_register(p, r, close_all, apr_pool_cleanup_null);
    if (renameat(r->parent, name, r->parent, gone) != 0 && errno != ENOENT &&
        errno != ENOTEMPTY && errno != EEXIST)
        return errno;
    rv = descend(r, gone);
    if (rv == ENOTDIR || rv == ELOOP) /* no directory at all: just a file */
        rv = remove_file(r, gone);
    return rv;
}

/* The top one is empty. @return APR_EAGAIN: it is not, look again */
static apr_status_t ascend(remover_t *r)
{
    level_t *level = &r->levels[r->depth - 1];
    int above = r->depth > 1 ? dirfd(r->levels[r->depth - 2].dir) : r->parent;

    if (unlinkat(above, level->name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        if ((errno == ENOTEMPTY || errno == EEXIST) &&
            level->rewinds++ < REWINDS_MAX) {
            rewinddir(level->dir);
            return APR_EAGAIN;
        }
        return errno;
    }
    closedir(level->dir);
    r->depth--;
    return APR_SUCCESS;
}

static apr_status_t remove_entry(remover_t *r, const struct dirent *entry)
{
    apr_status_t rv;

    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return APR_SUCCESS;
    if (entry->d_type != DT_DIR) {
        rv = remove_file(r, entry->d_name);
        if (rv != EISDIR && rv != EPERM)
            return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
    }
    rv = descend(r, entry->d_name);
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

apr_status_t remover_step(remover_t *r, int limit)
{
    const struct dirent *entry;
    apr_status_t rv;

    for (; limit > 0 && r->depth > 0; limit--) {
        errno = 0;
        entry = readdir(r->levels[r->depth - 1].dir);
        if (entry)
            rv = remove_entry(r, entry);
        else
            rv = errno ? errno : ascend(r);
        if (rv != APR_SUCCESS && rv != APR_EAGAIN)
            return rv;
    }
    return r->depth > 0 ? APR_EAGAIN : APR_SUCCESS;
}

const char *remover_path(const remover_t *r)
{
    return r->path;
}
