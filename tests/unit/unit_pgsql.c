/* unit_pgsql.c - a private PostgreSQL server.
 *
 * A process between us and the server keeps it: it sees the end of a pipe when
 * we are gone, by exit, crash or SIGKILL, stops the server by its pid and
 * removes its files. PostgreSQL refuses to run as root: then it runs as the
 * user postgres, in a directory of that user.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <libpq-fe.h>
#include "unit_dir.h"
#include "unit_pgsql.h"

static const char *const bin_dirs[] = {
    "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/17/bin", "/usr/local/pgsql/bin", "/usr/bin",
};

static const char *find_bin(void)
{
    static char path[128];
    size_t i;

    for (i = 0; i < sizeof(bin_dirs) / sizeof(*bin_dirs); i++) {
        snprintf(path, sizeof(path), "%s/initdb", bin_dirs[i]);
        if (access(path, X_OK) == 0)
            return bin_dirs[i];
    }
    return NULL;
}

static int free_port(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, len) == 0
        && getsockname(fd, (struct sockaddr *)&addr, &len) == 0)
        port = ntohs(addr.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

/* --- the keeper's side; plain calls only, we may come from threads --- */

static void become(const struct passwd *pw)
{
    if (!pw)
        return;
    if (setgroups(0, NULL) != 0 || setgid(pw->pw_gid) != 0
        || setuid(pw->pw_uid) != 0)
        _exit(126);
}

static pid_t spawn(const struct passwd *pw, const char *log,
                   char *const argv[])
{
    pid_t pid = fork();
    int fd;

    if (pid != 0)
        return pid;
    become(pw);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    fd = open("/dev/null", O_RDONLY);
    dup2(fd, 0);
    for (fd = 3; fd < 1024; fd++)
        close(fd);
    execv(argv[0], argv);
    _exit(127);
}

static void keep(unit_pgsql_t *server, const char *bin,
                 const struct passwd *pw, int ready_fd, int alive_fd)
{
    char initdb[160], postgres[160], data[600], log[600], sockets[640],
        port[16], byte = 'x';
    char *init[] = { initdb, "-D", data, "-U", "mailgun", "-A", "trust", "-E",
                     "UTF8", "--locale=C", "--no-sync", NULL };
    char *run[] = { postgres, "-D", data, "-p", port, "-c", sockets, "-c",
                    "listen_addresses=127.0.0.1", "-c", "max_connections=80",
                    "-c", "shared_buffers=64MB", "-c", "log_statement=none",
                    /* the rest only if nothing has to outlive the machine */
                    server->durable ? NULL : "-c", "fsync=off", "-c",
                    "full_page_writes=off", "-c", "autovacuum=off", "-c",
                    "max_wal_size=128MB", NULL };
    pid_t pid;
    int status = 0;

    signal(SIGINT, SIG_IGN); /* Ctrl-C is for the test; we follow */
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    snprintf(initdb, sizeof(initdb), "%s/initdb", bin);
    snprintf(postgres, sizeof(postgres), "%s/postgres", bin);
    snprintf(data, sizeof(data), "%s/data", server->dir);
    snprintf(log, sizeof(log), "%s/log", server->dir);
    snprintf(port, sizeof(port), "%d", server->port);
    snprintf(sockets, sizeof(sockets), "unix_socket_directories=%s",
             server->dir);

    pid = spawn(pw, log, init);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        byte = 'i';
    pid = byte == 'x' ? spawn(pw, log, run) : -1;
    (void)!write(ready_fd, &byte, 1);
    while (read(alive_fd, &byte, 1) < 0 && errno == EINTR)
        ;
    if (pid > 0) {
        kill(pid, SIGQUIT); /* at once: the files are thrown away */
        waitpid(pid, &status, 0);
    }
    unit_dir_remove(server->dir);
    _exit(0);
}

/* --- our side --- */

static unit_pgsql_t *at_exit_server;
static pid_t at_exit_pid;

static void stop_at_exit(void)
{
    if (at_exit_server && at_exit_pid == getpid())
        unit_pgsql_stop(at_exit_server);
}

static int answers(unit_pgsql_t *server)
{
    char info[640];
    int i;

    snprintf(info, sizeof(info), "host=%s port=%d user=mailgun "
             "dbname=postgres connect_timeout=5", server->dir, server->port);
    for (i = 0; i < 600; i++) {
        if (PQping(info) == PQPING_OK)
            return 1;
        usleep(50000);
    }
    return 0;
}

static const char *start_keeper(unit_pgsql_t *server, const char *bin,
                                const struct passwd *pw)
{
    int ready[2], alive[2];
    char byte = 0;

    if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(alive, O_CLOEXEC) != 0)
        return "no pipe";
    fflush(NULL);
    server->keeper_pid = fork();
    if (server->keeper_pid < 0)
        return "no process";
    if (server->keeper_pid == 0) {
        close(alive[1]);
        close(ready[0]);
        keep(server, bin, pw, ready[1], alive[0]);
    }
    close(alive[0]);
    close(ready[1]);
    server->alive_fd = alive[1];
    at_exit_server = server;
    at_exit_pid = getpid();
    atexit(stop_at_exit);
    if (read(ready[0], &byte, 1) != 1 || byte != 'x') {
        close(ready[0]);
        return "initdb failed";
    }
    close(ready[0]);
    return answers(server) ? NULL : "the server does not answer";
}

const char *unit_pgsql_start(unit_pgsql_t *server, int durable)
{
    const char *bin = find_bin();
    struct passwd *pw = NULL;

    memset(server, 0, sizeof(*server));
    server->alive_fd = -1;
    server->durable = durable;
    if (!bin)
        return "PostgreSQL is not installed (make deps)";
    if (geteuid() == 0) {
        pw = getpwnam("postgres");
        if (!pw)
            return "there is no user postgres (make deps)";
    }
    if (!(durable ? unit_dir_make_on_disk : unit_dir_make)(
            server->dir, sizeof(server->dir), "pg"))
        return "no directory for PostgreSQL";
    if (pw && chown(server->dir, pw->pw_uid, pw->pw_gid) != 0)
        return "no directory of user postgres";
    server->port = free_port();
    return start_keeper(server, bin, pw);
}

void unit_pgsql_stop(unit_pgsql_t *server)
{
    if (server->alive_fd < 0)
        return;
    close(server->alive_fd);
    server->alive_fd = -1;
    while (waitpid(server->keeper_pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
