/* unit_pgsql.h - a private PostgreSQL server for a test or a benchmark. */
#ifndef UNIT_PGSQL_H
#define UNIT_PGSQL_H

typedef struct {
    int port;
    int durable;
    char dir[512];       /* its files; the socket is in dir/s */
    int alive_fd;        /* closed: the server is stopped */
    int keeper_pid;
} unit_pgsql_t;

/**
 * @param durable  as it is shipped, on a disk; 0: without fsync, in memory
 * @return NULL, or words saying why there is no server
 */
const char *unit_pgsql_start(unit_pgsql_t *server, int durable);
/** Also at exit, and if this process dies. */
void unit_pgsql_stop(unit_pgsql_t *server);

#endif
