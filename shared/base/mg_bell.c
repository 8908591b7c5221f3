/* mg_bell.c - doorbells: one byte over a Unix datagram socket, best effort. */
#include "mg_shared.h"

#include <apr_strings.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BELLS_MAX 16

static int bell_address(struct sockaddr_un *address, const char *run_dir,
                        mg_role_t role, int n)
{
    int len;

    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    len = snprintf(address->sun_path, sizeof(address->sun_path),
                   "%s/bell.%s.%d", run_dir, mg_role_name(role), n);
    return len > 0 && len < (int)sizeof(address->sun_path);
}

static apr_status_t close_fd(void *data)
{
    close((int)(intptr_t)data);
    return APR_SUCCESS;
}

apr_status_t mg_bell_open(int *pfd, const char *run_dir, mg_role_t role, int n,
                          apr_pool_t *p)
{
    struct sockaddr_un address;
    int fd, err;

    *pfd = -1;
    if (n < 0 || n >= BELLS_MAX)
        return APR_EINVAL;
    if (!bell_address(&address, run_dir, role, n))
        return APR_ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    unlink(address.sun_path); /* of a worker that died */
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0
        || chmod(address.sun_path, 0660) != 0) {
        err = errno;
        close(fd);
        return err;
    }
    apr_pool_cleanup_register(p, (void *)(intptr_t)fd, close_fd,
                              apr_pool_cleanup_null);
    *pfd = fd;
    return APR_SUCCESS;
}

/* One socket rings all bells of this process and its children. */
static int ringer(void)
{
    static int shared_fd = -1;
    int fd = __atomic_load_n(&shared_fd, __ATOMIC_ACQUIRE), none = -1;

    if (fd >= 0)
        return fd;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0
        && !__atomic_compare_exchange_n(&shared_fd, &none, fd, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        close(fd);
        fd = none;
    }
    return fd;
}

void mg_bell_ring(const char *run_dir, mg_role_t role)
{
    struct sockaddr_un address;
    int n, fd = run_dir ? ringer() : -1;

    if (fd < 0)
        return;
    for (n = 0; n < BELLS_MAX; n++) {
        if (!bell_address(&address, run_dir, role, n))
            return;
        /* nobody there, or rung enough already: both are fine. Numbers have
         * no gaps, and the bell of one that died stays: none, none behind */
        if (sendto(fd, "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
                   (struct sockaddr *)&address, sizeof(address)) < 0
            && errno == ENOENT)
            return;
    }
}
