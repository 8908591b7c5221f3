/* setup.c - what the master makes of the configuration (setup.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mailboxd_protocol.h"
#include "mg_status.h"
#include "process.h"
#include "setup.h"
#include "tls.h"
#include "worker.h"

#define BACKLOG 1024

static apr_status_t fail(const char **perror, apr_pool_t *p, apr_status_t rv,
                         const char *what, const char *name)
{
    char why[200];

    *perror = apr_psprintf(p, "%s %s: %s", what, name,
                           mg_strerror(rv, why, sizeof(why)));
    return rv;
}

/* reading */

static apr_status_t find_user(setup_t *setup, const char **perror)
{
    const mg_config_t *config = setup->config;
    struct passwd *user;
    struct group *group;

    setup->uid = geteuid();
    setup->gid = getegid();
    if (setup->uid != 0)
        return APR_SUCCESS;
    user = getpwnam(config->user);
    if (!user) {
        *perror = apr_psprintf(setup->pool, "MailgunUser: there is no user "
                               "'%s'; try: useradd --system %s",
                               config->user, config->user);
        return MG_ECONFIG;
    }
    group = getgrnam(config->group);
    if (!group) {
        *perror = apr_psprintf(setup->pool, "MailgunGroup: there is no group "
                               "'%s'; try: groupadd --system %s",
                               config->group, config->group);
        return MG_ECONFIG;
    }
    setup->uid = user->pw_uid;
    setup->gid = group->gr_gid;
    return APR_SUCCESS;
}

static apr_status_t read_keys(setup_t *setup, const char **perror)
{
    const mg_config_t *config = setup->config;
    apr_status_t rv;

    rv = mg_secret_load(&setup->secret, config->secret_file, setup->pool);
    if (rv != APR_SUCCESS)
        return fail(perror, setup->pool, rv, "MailgunSecretFile",
                    config->secret_file);
    if (!mg_secret_can_open(setup->secret))
        return fail(perror, setup->pool, APR_EACCES, "MailgunSecretFile",
                    config->secret_file);
    if (!config->tls_certificate)
        return APR_SUCCESS;
    return tls_server_create(&setup->tls, config->tls_certificate,
                             config->tls_key, perror, setup->pool);
}

apr_status_t setup_read(setup_t **psetup, const char *path,
                        const char **perror, apr_pool_t *parent)
{
    apr_pool_t *p;
    setup_t *setup;
    mg_config_t *config;
    apr_status_t rv;

    *psetup = NULL;
    *perror = NULL;
    apr_pool_create(&p, parent);
    setup = apr_pcalloc(p, sizeof(*setup));
    setup->pool = p;
    setup->listeners = apr_array_make(p, 4, sizeof(listener_t));
    rv = mg_config_read(&config, path, perror, p);
    setup->config = config;
    if (rv == APR_SUCCESS)
        rv = find_user(setup, perror);
    if (rv == APR_SUCCESS)
        rv = read_keys(setup, perror);
    if (rv != APR_SUCCESS) {
        *perror = *perror ? apr_pstrdup(parent, *perror) : "out of memory";
        apr_pool_destroy(p);
        return rv;
    }
    *psetup = setup;
    return APR_SUCCESS;
}

/* directories */

static apr_status_t make_dir(const setup_t *setup, const char *path,
                             const char **perror)
{
    struct stat st;

    if (stat(path, &st) == 0)
        return APR_SUCCESS;
    /* group's bit: httpd's files in there belong to the group too */
    if (mkdir(path, 02770) != 0 && errno != EEXIST)
        return fail(perror, setup->pool, errno, "cannot make", path);
    if ((geteuid() == 0 && chown(path, setup->uid, setup->gid) != 0) ||
        chmod(path, 02770) != 0)
        return fail(perror, setup->pool, errno, "cannot give away", path);
    return APR_SUCCESS;
}

apr_status_t setup_make_dirs(const setup_t *setup, const char **perror)
{
    const mg_config_t *config = setup->config;
    apr_status_t rv;

    rv = make_dir(setup, config->run_dir, perror);
    if (rv == APR_SUCCESS)
        rv = make_dir(setup, config->spool_dir, perror);
    if (rv == APR_SUCCESS)
        rv = make_dir(setup, config->mail_dir, perror);
    return rv;
}

/* listening */

static socklen_t listen_address(struct sockaddr_storage *address,
                                const mg_listen_t *l)
{
    struct sockaddr_in *in = (void *)address;
    struct sockaddr_in6 *in6 = (void *)address;

    memset(address, 0, sizeof(*address));
    if (strcmp(l->address, "*") == 0 ||
        inet_pton(AF_INET6, l->address, &in6->sin6_addr) == 1) {
        if (strcmp(l->address, "*") == 0)
            in6->sin6_addr = in6addr_any;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((apr_uint16_t)l->port);
        return sizeof(*in6);
    }
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, l->address, &in->sin_addr) != 1)
        return 0;
    in->sin_family = AF_INET;
    in->sin_port = htons((apr_uint16_t)l->port);
    return sizeof(*in);
}

static apr_status_t bind_listen(int fd, const struct sockaddr_storage *address,
                                socklen_t len, int only_v6)
{
    int one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (address->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6));
    if (bind(fd, (const struct sockaddr *)address, len) != 0 ||
        listen(fd, BACKLOG) != 0)
        return errno;
    return APR_SUCCESS;
}

static apr_status_t open_listener(int *pfd, const mg_listen_t *l)
{
    struct sockaddr_storage address;
    socklen_t len = listen_address(&address, l);
    int any = strcmp(l->address, "*") == 0, fd;
    apr_status_t rv;

    if (!len)
        return APR_EINVAL;
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                0);
    if (fd < 0 && any && errno == EAFNOSUPPORT) { /* a machine without IPv6 */
        struct sockaddr_in *in = (void *)&address;

        memset(&address, 0, sizeof(address));
        in->sin_family = AF_INET;
        in->sin_port = htons((apr_uint16_t)l->port);
        len = sizeof(*in);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (fd < 0)
        return errno;
    rv = bind_listen(fd, &address, len, !any);
    if (rv != APR_SUCCESS) {
        close(fd);
        return rv;
    }
    *pfd = fd;
    return APR_SUCCESS;
}

static const listener_t *find_listener(const setup_t *setup,
                                       const mg_listen_t *l)
{
    int i;

    for (i = 0; setup && i < setup->listeners->nelts; i++) {
        const mg_listen_t *have =
            &APR_ARRAY_IDX(setup->config->listen, i, mg_listen_t);

        if (have->port == l->port && strcmp(have->address, l->address) == 0)
            return &APR_ARRAY_IDX(setup->listeners, i, listener_t);
    }
    return NULL;
}

void setup_close_others(const setup_t *old, const setup_t *setup)
{
    int i;

    for (i = 0; old && i < old->listeners->nelts; i++) {
        const mg_listen_t *l =
            &APR_ARRAY_IDX(old->config->listen, i, mg_listen_t);

        if (!find_listener(setup, l))
            close(APR_ARRAY_IDX(old->listeners, i, listener_t).fd);
    }
}

/* listeners has the order of config->listen, and stops at a failure */
apr_status_t setup_listen(setup_t *setup, const setup_t *old,
                          const char **perror)
{
    const apr_array_header_t *listen_to = setup->config->listen;
    apr_status_t rv;
    int i;

    for (i = 0; i < listen_to->nelts; i++) {
        const mg_listen_t *l = &APR_ARRAY_IDX(listen_to, i, mg_listen_t);
        const listener_t *have = find_listener(old, l);
        int fd = -1;

        rv = have ? APR_SUCCESS : open_listener(&fd, l);
        if (rv != APR_SUCCESS) {
            setup_close_others(setup, old);
            return fail(perror, setup->pool, rv, "MailgunListen",
                        apr_psprintf(setup->pool, "%s:%d", l->address,
                                     l->port));
        }
        APR_ARRAY_PUSH(setup->listeners, listener_t) = (listener_t){
            .fd = have ? have->fd : fd, .role = l->role
        };
    }
    return APR_SUCCESS;
}

static apr_status_t open_mailboxd(int *pfd, const struct sockaddr_un *address)
{
    apr_status_t rv;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno;
    unlink(address->sun_path);
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 ||
        chmod(address->sun_path, 0660) != 0 || listen(fd, BACKLOG) != 0) {
        rv = errno;
        close(fd);
        return rv;
    }
    *pfd = fd;
    return APR_SUCCESS;
}

apr_status_t setup_mailboxd(int *pfd, const setup_t *setup,
                            const char **perror)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *path = apr_pstrcat(setup->pool, setup->config->run_dir,
                                   "/" MAILBOXD_SOCKET, NULL);
    apr_status_t rv = APR_ENAMETOOLONG;

    *pfd = -1;
    if (strlen(path) < sizeof(address.sun_path)) {
        apr_cpystrn(address.sun_path, path, sizeof(address.sun_path));
        process_act_as(setup->uid, setup->gid);
        rv = open_mailboxd(pfd, &address);
        process_act_as_root();
    }
    return rv == APR_SUCCESS ? rv : fail(perror, setup->pool, rv,
                                         "cannot listen on", path);
}
