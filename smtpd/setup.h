/* setup.h - what the master makes of the configuration before workers start:
 * user, directories, listening sockets, the secret, the certificate. */
#ifndef SETUP_H
#define SETUP_H

#include <sys/types.h>

#include <apr_pools.h>
#include <apr_tables.h>
#include <openssl/types.h>

#include "mg_config.h"
#include "mg_seal.h"

typedef struct {
    apr_pool_t *pool;
    const mg_config_t *config;
    mg_secret_t *secret;
    SSL_CTX *tls;                  /* NULL: no certificate */
    uid_t uid;                     /* workers run as */
    gid_t gid;
    apr_array_header_t *listeners; /* of listener_t (worker.h) */
} setup_t;

/**
 * Read and check. Nothing is made or bound yet.
 *
 * @param perror  in words, with file and line where there are some
 */
apr_status_t setup_read(setup_t **psetup, const char *path,
                        const char **perror, apr_pool_t *parent);
/** Directories that are missing, with their owner. */
apr_status_t setup_make_dirs(const setup_t *setup, const char **perror);
/** Bind what MailgunListen says; sockets that old has already are taken from
 * there. On failure what was bound here is closed again. */
apr_status_t setup_listen(setup_t *setup, const setup_t *old,
                          const char **perror);
/** Close what old has and setup has not; then old's pool may go. */
void setup_close_others(const setup_t *old, const setup_t *setup);
/** The socket of mailboxd, made as the workers' user. */
apr_status_t setup_mailboxd(int *pfd, const setup_t *setup,
                            const char **perror);

#endif
