/* slowsync.c - LD_PRELOAD: count fsync and fdatasync, and make them slow.
 *
 * SLOWSYNC_FILE   a file of 8 bytes, mapped: the count, of all processes
 * SLOWSYNC_US     each call lasts at least that many microseconds (0: as it is)
 *
 * Both servers of a benchmark run under it, so that it favours neither.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int fsync(int fd);
int fdatasync(int fd);

static uint64_t *count;
static long least_us;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("SLOWSYNC_FILE");
    const char *us = getenv("SLOWSYNC_US");
    int fd;

    if (us != NULL)
        least_us = strtol(us, NULL, 10);
    if (path == NULL || (fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
        return;
    count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                 0);
    if (count == MAP_FAILED)
        count = NULL;
    close(fd);
}

static long now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static int slowly(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    long began = now_us(), left;
    int rc = real(fd);

    if (count != NULL)
        __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
    left = least_us - (now_us() - began);
    if (left > 0)
        usleep((useconds_t)left);
    return rc;
}

int fsync(int fd)
{
    return slowly("fsync", fd);
}

int fdatasync(int fd)
{
    return slowly("fdatasync", fd);
}
