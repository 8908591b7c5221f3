/* unit_dir.c - a place for a test's files (unit_dir.h). */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "unit_dir.h"

#define ROOM (1024ULL * 1024 * 1024) /* containers often have 64 MB there */

static int memory_has_room(void)
{
    struct statvfs fs;

    return statvfs("/dev/shm", &fs) == 0
           && (unsigned long long)fs.f_bavail * fs.f_frsize >= ROOM
           && access("/dev/shm", W_OK | X_OK) == 0;
}

/* PostgreSQL runs as another user, and its socket's name must fit into a
 * sockaddr_un. */
static int build_is_reachable(char *cwd, size_t size)
{
    char part[256];
    struct stat st;
    const char *slash;

    if (!getcwd(cwd, size) || strlen(cwd) >= 50 || stat("build", &st) != 0)
        return 0;
    for (slash = strchr(cwd + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(slash - cwd), cwd);
        if (stat(part, &st) != 0 || !(st.st_mode & S_IXOTH))
            return 0;
    }
    return stat(cwd, &st) == 0 && (st.st_mode & S_IXOTH);
}

int unit_dir_make_on_disk(char *dir, size_t size, const char *name)
{
    char cwd[256];

    if (build_is_reachable(cwd, sizeof(cwd)))
        snprintf(dir, size, "%s/build/%s-XXXXXX", cwd, name);
    else
        snprintf(dir, size, "/tmp/mailgun-%s-XXXXXX", name);
    return mkdtemp(dir) != NULL;
}

int unit_dir_make(char *dir, size_t size, const char *name)
{
    if (!memory_has_room())
        return unit_dir_make_on_disk(dir, size, name);
    snprintf(dir, size, "/dev/shm/mailgun-%s-XXXXXX", name);
    return mkdtemp(dir) != NULL;
}

static int remove_one(const char *path, const struct stat *st, int flag,
                      struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    (void)!remove(path);
    return 0;
}

void unit_dir_remove(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
