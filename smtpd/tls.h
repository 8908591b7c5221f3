/* tls.h - the two kinds of TLS contexts: ours as a server, ours as a client. */
#ifndef TLS_H
#define TLS_H

#include <apr_pools.h>
#include <openssl/ssl.h>

/**
 * TLS 1.2 and up with our certificate chain. Freed with the pool. Made by the
 * master, which may read the key, and inherited by the receivers: so one
 * receiver can resume a session begun with another.
 *
 * @param perror  names the file and what is wrong with it
 * @return MG_ECONFIG
 */
apr_status_t tls_server_create(SSL_CTX **pctx, const char *certificate,
                               const char *key, const char **perror,
                               apr_pool_t *p);
/**
 * Goes through with any certificate: who needs a good one asks after the
 * handshake (mta_tls.c). Ready for DANE.
 *
 * @param trust   PEM file of authorities; NULL or "": the system's
 * @param perror  names the file and what is wrong with it
 * @return MG_ECONFIG
 */
apr_status_t tls_client_create(SSL_CTX **pctx, const char *trust,
                               const char **perror, apr_pool_t *p);

#endif
