/* process.c - what a daemon needs of the system. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mg_log.h"
#include "process.h"

extern char **environ;

/* title: written over the arguments and, beyond them, the environment */

static char *title_at;
static size_t title_room;

void process_init(int argc, char **argv)
{
    char *end = argv[0];
    int i;

    for (i = 0; i < argc; i++) {
        if (argv[i] == end)
            end = argv[i] + strlen(argv[i]) + 1;
    }
    for (i = 0; environ[i]; i++) {
        if (environ[i] == end)
            end = environ[i] + strlen(environ[i]) + 1;
    }
    for (i = 0; environ[i]; i++) {
        environ[i] = strdup(environ[i]);
        if (!environ[i])
            abort();
    }
    title_at = argv[0];
    title_room = (size_t)(end - argv[0]);
}

void process_title(const char *title)
{
    size_t len = strlen(title);

    if (title_room < 2)
        return;
    if (len > title_room - 1)
        len = title_room - 1;
    memcpy(title_at, title, len);
    memset(title_at + len, 0, title_room - len);
}

/* log */

static char log_path[4096];

static apr_status_t open_log(uid_t uid, gid_t gid)
{
    int fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);

    if (fd < 0)
        return errno;
    if (geteuid() == 0 && fchown(fd, uid, gid) != 0)
        mg_log(MG_LOG_WARN, errno, "cannot give %s to its user", log_path);
    if (dup2(fd, STDERR_FILENO) < 0) {
        close(fd);
        return errno;
    }
    close(fd);
    return APR_SUCCESS;
}

static uid_t log_uid;
static gid_t log_gid;

apr_status_t process_log_to(const char *path, uid_t uid, gid_t gid)
{
    if (!path)
        return APR_SUCCESS;
    if (strlen(path) >= sizeof(log_path))
        return APR_ENAMETOOLONG;
    apr_cpystrn(log_path, path, sizeof(log_path));
    log_uid = uid;
    log_gid = gid;
    return open_log(uid, gid);
}

void process_reopen_log(void)
{
    apr_status_t rv = log_path[0] ? open_log(log_uid, log_gid) : APR_SUCCESS;

    if (rv != APR_SUCCESS)
        mg_log(MG_LOG_ERR, rv, "cannot reopen %s", log_path);
}

/* rights */

apr_status_t process_drop(const char *user, uid_t uid, gid_t gid)
{
    if (geteuid() == 0) {
        if (initgroups(user, gid) != 0 || setgid(gid) != 0 ||
            setuid(uid) != 0)
            return errno;
        if (uid != 0 && setuid(0) == 0)
            return APR_EGENERAL;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return errno;
    return APR_SUCCESS;
}

void process_act_as(uid_t uid, gid_t gid)
{
    if (geteuid() != 0)
        return;
    if (setegid(gid) != 0 || seteuid(uid) != 0)
        mg_log(MG_LOG_ERR, errno, "cannot act as uid %d", (int)uid);
}

void process_act_as_root(void)
{
    if (getuid() != 0 || geteuid() == 0)
        return;
    if (seteuid(0) != 0 || setegid(0) != 0)
        mg_log(MG_LOG_ERR, errno, "cannot act as root again");
}

/* descriptors */

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void process_close_others(int *keep, int n)
{
    unsigned int from = 3;
    int i;

    qsort(keep, (size_t)n, sizeof(*keep), compare_ints);
    for (i = 0; i < n; i++) {
        if (keep[i] < (int)from)
            continue;
        if (keep[i] > (int)from)
            close_range(from, (unsigned int)keep[i] - 1, 0);
        from = (unsigned int)keep[i] + 1;
    }
    close_range(from, ~0U, 0);
}

void process_raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_cur > 65536)
        limit.rlim_cur = 65536;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void process_notify(const char *state)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;
    int fd;

    if (len < 2 || len >= sizeof(address.sun_path) ||
        (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL,
               (struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
        mg_log(MG_LOG_DEBUG, errno, "cannot notify %s", path);
    close(fd);
}
