/* main.c - mailgun-smtpd: arguments, background, then the master.
 *
 *   mailgun-smtpd -c FILE [-f] [-l FILE] [-t]
 *
 *   -c FILE  mailgun.conf (default /etc/mailgun/mailgun.conf)
 *   -f       stay in the foreground, as systemd wants it
 *   -l FILE  log there instead of to stderr; SIGUSR1 reopens it
 *   -t       test the configuration, say what is wrong, start nothing
 *
 * Exit code 0: stopped as asked, or the configuration is fine; 1: it is not,
 * or something could not be bound; 2: wrong arguments.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "master.h"
#include "mg_log.h"
#include "process.h"

static const master_roles_t roles = {
    [MG_ROLE_RECEIVER] = receiver_start,
    [MG_ROLE_AUTH] = auth_start,
    [MG_ROLE_SENDER] = sender_start,
    [MG_ROLE_NOTIFIER] = notifier_start,
    [MG_ROLE_KEEPER] = keeper_start,
    [MG_ROLE_MAILBOXD] = mailboxd_start,
};

static int ready_fd = -1;

/* The one who started us waits for this. */
static void tell_ready(void)
{
    if (ready_fd < 0)
        return;
    if (write(ready_fd, "+", 1) != 1)
        mg_log(MG_LOG_DEBUG, APR_SUCCESS, "nobody waits for our start");
    close(ready_fd);
    ready_fd = -1;
}

/* The parent's exit code says how the start went. */
static void go_to_background(void)
{
    int fds[2], null;
    char c;

    if (pipe2(fds, O_CLOEXEC) != 0) {
        perror("mailgun-smtpd: pipe");
        exit(1);
    }
    switch (fork()) {
    case -1:
        perror("mailgun-smtpd: fork");
        exit(1);
    case 0:
        break;
    default:
        close(fds[1]);
        _exit(read(fds[0], &c, 1) == 1 ? 0 : 1);
    }
    close(fds[0]);
    ready_fd = fds[1];
    setsid();
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        close(null);
    }
}

static int usage(FILE *out)
{
    fprintf(out, "usage: mailgun-smtpd [-c FILE] [-f] [-l FILE] [-t]\n"
                 "  -c FILE  configuration (default "
                 "/etc/mailgun/mailgun.conf)\n"
                 "  -f       stay in the foreground\n"
                 "  -l FILE  log there; SIGUSR1 reopens it\n"
                 "  -t       test the configuration only\n");
    return 2;
}

int main(int argc, char **argv)
{
    const char *path = "/etc/mailgun/mailgun.conf", *log = NULL, *error;
    int foreground = 0, test = 0, c, code;
    apr_pool_t *pool;
    setup_t *setup;

    process_init(argc, argv);
    apr_initialize();
    apr_pool_create(&pool, NULL);
    while ((c = getopt(argc, argv, "c:fl:th")) != -1) {
        switch (c) {
        case 'c': path = apr_pstrdup(pool, optarg); break;
        case 'l': log = apr_pstrdup(pool, optarg); break;
        case 'f': foreground = 1; break;
        case 't': test = 1; break;
        case 'h': usage(stdout); return 0;
        default: return usage(stderr);
        }
    }
    if (optind < argc)
        return usage(stderr);
    umask(0007);
    mg_log_to_stderr("mailgun-smtpd/master");
    if (setup_read(&setup, path, &error, pool) != APR_SUCCESS) {
        mg_log(MG_LOG_ERR, APR_SUCCESS, "%s", error);
        return 1;
    }
    if (test) {
        printf("%s: fine\n", path);
        apr_pool_destroy(pool);
        return 0;
    }
    if (!foreground)
        go_to_background();
    if (process_log_to(log, setup->uid, setup->gid) != APR_SUCCESS) {
        mg_log(MG_LOG_ERR, APR_SUCCESS, "cannot write %s", log);
        return 1;
    }
    code = master_run(setup, path, roles, tell_ready, pool);
    apr_pool_destroy(pool);
    return code;
}
