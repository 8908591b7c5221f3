/* mg_fault.c - the file through which tests drive time and faults. */
#include "mg_fault.h"

#ifdef MG_TEST

#include "mg_status.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FAULT_MAGIC "MGFAULT1"
#define FAULT_SLOTS 32
#define CHECK_EVERY_NS INT64_C(20000000)

/* tests/stack/faults.py writes the same, little endian. */
struct mg_fault_slot {
    char name[40];
    int32_t action;    /* 0: a free slot */
    int32_t pad;
    int64_t argument;
    int64_t count;     /* -1: for ever */
    int64_t hits;
};
struct mg_fault_file {
    char magic[8];
    int64_t clock_offset; /* microseconds */
    struct mg_fault_slot slots[FAULT_SLOTS];
};
_Static_assert(sizeof(struct mg_fault_file) == 2320, "layout of faults");

static struct mg_fault_file *mapped;
static dev_t mapped_dev;
static ino_t mapped_ino;
static int64_t next_check;
static pthread_mutex_t attach_lock = PTHREAD_MUTEX_INITIALIZER;

static int64_t coarse_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void attach_now(void)
{
    const char *dir = getenv("MG_TEST_DIR");
    char path[4096];
    struct mg_fault_file *file;
    struct stat st;
    int fd;

    if (!dir || !*dir
        || snprintf(path, sizeof(path), "%s/faults", dir) >= (int)sizeof(path))
        return;
    if (stat(path, &st) != 0 || st.st_size < (off_t)sizeof(*file))
        return;
    if (mapped && st.st_dev == mapped_dev && st.st_ino == mapped_ino)
        return;
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    file = mmap(NULL, sizeof(*file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (file == MAP_FAILED)
        return;
    if (memcmp(file->magic, FAULT_MAGIC, 8) != 0) {
        munmap(file, sizeof(*file));
        return;
    }
    /* an older mapping stays: another thread may be reading it */
    mapped_dev = st.st_dev;
    mapped_ino = st.st_ino;
    __atomic_store_n(&mapped, file, __ATOMIC_RELEASE);
}

static struct mg_fault_file *fault_file(void)
{
    int64_t now = coarse_clock();

    if (now >= __atomic_load_n(&next_check, __ATOMIC_RELAXED)
        && pthread_mutex_trylock(&attach_lock) == 0) {
        __atomic_store_n(&next_check, now + CHECK_EVERY_NS, __ATOMIC_RELAXED);
        attach_now();
        pthread_mutex_unlock(&attach_lock);
    }
    return __atomic_load_n(&mapped, __ATOMIC_ACQUIRE);
}

apr_time_t mg_fault_clock_offset(void)
{
    struct mg_fault_file *file = fault_file();

    return file ? __atomic_load_n(&file->clock_offset, __ATOMIC_RELAXED) : 0;
}

/* Take one of what is left. False if others took the last. */
static int take(struct mg_fault_slot *slot)
{
    int64_t left = __atomic_load_n(&slot->count, __ATOMIC_ACQUIRE);

    do {
        if (left == 0)
            return 0;
        if (left < 0)
            break;
    } while (!__atomic_compare_exchange_n(&slot->count, &left, left - 1, 0,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    __atomic_add_fetch(&slot->hits, 1, __ATOMIC_RELAXED);
    return 1;
}

static apr_status_t act(int32_t action, int64_t argument)
{
    switch (action) {
    case 1:
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    case 2:
        return MG_EIO;
    case 3:
        return MG_EFULL;
    case 4:
        usleep((useconds_t)argument);
        return APR_SUCCESS;
    case 5:
        return MG_ELOST;
    default:
        return APR_SUCCESS;
    }
}

/* Is what was set for "who" meant for this process? Its title is read anew
 * each time: workers take theirs after the fork. */
static int is_for_us(const char *who, size_t len)
{
    char title[256], *name;
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return 0;
    n = read(fd, title, sizeof(title) - 1);
    close(fd);
    title[n > 0 ? n : 0] = '\0'; /* argv[0] alone */
    name = strrchr(title, '/');
    return memmem(name ? name : title, strlen(name ? name : title), who, len)
           != NULL;
}

/* name, or who:name. */
static int is_named(const struct mg_fault_slot *slot, const char *name)
{
    char copy[sizeof(slot->name) + 1], *colon;

    memcpy(copy, slot->name, sizeof(slot->name)); /* may fill its field */
    copy[sizeof(slot->name)] = '\0';
    colon = strchr(copy, ':');
    if (!colon)
        return strcmp(copy, name) == 0;
    return strcmp(colon + 1, name) == 0
           && is_for_us(copy, (size_t)(colon - copy));
}

apr_status_t mg_fault_point(const char *name)
{
    struct mg_fault_file *file = fault_file();
    int i;

    if (!file)
        return APR_SUCCESS;
    for (i = 0; i < FAULT_SLOTS; i++) {
        struct mg_fault_slot *slot = &file->slots[i];
        int32_t action = __atomic_load_n(&slot->action, __ATOMIC_ACQUIRE);

        if (action == 0 || !is_named(slot, name))
            continue;
        if (take(slot)) {
            apr_status_t rv = act(action, slot->argument);
            if (rv != APR_SUCCESS)
                return rv;
        }
    }
    return APR_SUCCESS;
}

#else
typedef int mg_fault_is_for_tests_t; /* an empty unit is no C */
#endif
