/* unit_fault.c - see unit_fault.h. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <apr_strings.h>

#include "unit_fault.h"

struct slot {
    char name[40];
    int32_t action, pad;
    int64_t argument, count, hits;
};
static struct {
    char magic[8];
    int64_t clock_offset;
    struct slot slots[32];
} *file;

static apr_status_t remove_it(void *path)
{
    remove(path);
    return APR_SUCCESS;
}

void unit_fault_dir(apr_pool_t *p)
{
    char *dir = apr_pstrdup(p, "/tmp/unit-fault-XXXXXX"), *path;
    int fd;

    if (mkdtemp(dir) == NULL)
        abort();
    apr_pool_cleanup_register(p, dir, remove_it, apr_pool_cleanup_null);
    path = apr_pstrcat(p, dir, "/faults", NULL);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*file)) != 0)
        abort();
    apr_pool_cleanup_register(p, path, remove_it, apr_pool_cleanup_null);
    file = mmap(NULL, sizeof(*file), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                0);
    if (file == MAP_FAILED)
        abort();
    close(fd);
    memcpy(file->magic, "MGFAULT1", 8);
    setenv("MG_TEST_DIR", dir, 1);
}

void unit_fault_set(const char *point, int action, apr_int64_t argument,
                    apr_int64_t count)
{
    struct slot *slot = &file->slots[0];

    apr_cpystrn(slot->name, point, sizeof(slot->name));
    slot->argument = argument;
    slot->count = count;
    __atomic_store_n(&slot->action, action, __ATOMIC_RELEASE);
}

void unit_fault_unset(void)
{
    __atomic_store_n(&file->slots[0].action, 0, __ATOMIC_RELEASE);
}
