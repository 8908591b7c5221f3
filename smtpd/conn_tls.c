/* conn_tls.c - TLS of a connection, by OpenSSL on the non-blocking socket
 * (RFC 3207 for STARTTLS). */
#include <errno.h>
#include <string.h>

#include <openssl/err.h>

#include "conn_private.h"
#include "mg_log.h"
#include "mg_status.h"

static apr_status_t tls_failed(conn_t *conn, const char *during)
{
    unsigned long code = ERR_peek_error();

    if (code && !conn->tls_words[0])
        ERR_error_string_n(code, conn->tls_words, sizeof(conn->tls_words));
    ERR_clear_error();
    mg_log(MG_LOG_DEBUG, MG_ETLS, "%s: %s: %s", conn_peer_ip(conn), during,
           conn->tls_words);
    return MG_ETLS;
}

/* What a negative result means; sets the interest it needs. */
static apr_status_t tls_status(conn_t *conn, int result, const char *during)
{
    int saved = errno;

    switch (SSL_get_error(conn->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return APR_EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        conn_want_write(conn, 1);
        return APR_EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return APR_EOF;
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        return saved ? saved : APR_EOF;
    default:
        return tls_failed(conn, during);
    }
}

apr_size_t conn_tls_read(conn_t *conn, char *buf, apr_size_t len,
                         apr_status_t *prv)
{
    size_t n = 0;
    int result;

    ERR_clear_error();
    errno = 0;
    result = SSL_read_ex(conn->ssl, buf, len, &n);
    *prv = result > 0 ? APR_SUCCESS : tls_status(conn, result, "TLS read");
    return result > 0 ? n : 0;
}

apr_size_t conn_tls_write(conn_t *conn, const char *buf, apr_size_t len,
                          apr_status_t *prv)
{
    size_t n = 0;
    int result;

    ERR_clear_error();
    errno = 0;
    result = SSL_write_ex(conn->ssl, buf, len, &n);
    if (result > 0) {
        *prv = APR_SUCCESS;
        return n;
    }
    *prv = tls_status(conn, result, "TLS write");
    conn->ssl_write_wants_read = SSL_want_read(conn->ssl);
    return 0;
}

apr_status_t conn_tls_handshake(conn_t *conn)
{
    apr_status_t rv;
    int result;

    ERR_clear_error();
    errno = 0;
    result = SSL_do_handshake(conn->ssl);
    if (result == 1)
        return APR_SUCCESS;
    conn_want_write(conn, 0);
    rv = tls_status(conn, result, "TLS handshake");
    return rv;
}

void conn_tls_bye(conn_t *conn)
{
    if (conn->tls != CONN_TLS || !conn->ssl)
        return;
    ERR_clear_error();
    SSL_shutdown(conn->ssl);
    ERR_clear_error();
}

void conn_tls_free(conn_t *conn)
{
    if (conn->ssl)
        SSL_free(conn->ssl);
    conn->ssl = NULL;
}

/* Both buffers are emptied: what came in clear is forgotten, what we said in
 * clear goes out in clear, and nothing of either crosses into TLS. */
static apr_status_t start_tls(conn_t *conn, SSL_CTX *ctx)
{
    if (conn->ssl || (conn->state != CONN_OPEN &&
                      conn->state != CONN_CONNECTING))
        return APR_EINVAL;
    conn->ssl = SSL_new(ctx);
    if (!conn->ssl || SSL_set_fd(conn->ssl, conn->fd) != 1)
        return tls_failed(conn, "TLS set-up");
    conn_drop_input(conn);
    conn->clear_left = conn->out.len;
    conn->tls = CONN_HANDSHAKE;
    loop_late(conn->loop, &conn->late);
    return APR_SUCCESS;
}

apr_status_t conn_start_tls_server(conn_t *conn, SSL_CTX *ctx)
{
    apr_status_t rv = start_tls(conn, ctx);

    if (rv == APR_SUCCESS)
        SSL_set_accept_state(conn->ssl);
    return rv;
}

apr_status_t conn_start_tls_client(conn_t *conn, SSL_CTX *ctx,
                                   const char *name)
{
    apr_status_t rv = start_tls(conn, ctx);

    if (rv != APR_SUCCESS)
        return rv;
    SSL_set_connect_state(conn->ssl);
    if (name && SSL_set_tlsext_host_name(conn->ssl, name) != 1)
        return tls_failed(conn, "TLS server name");
    return APR_SUCCESS;
}

SSL *conn_ssl(const conn_t *conn)
{
    return conn->tls == CONN_TLS ? conn->ssl : NULL;
}

SSL *conn_ssl_begun(const conn_t *conn)
{
    return conn->ssl;
}

const char *conn_tls_error(const conn_t *conn)
{
    return conn->tls_words;
}
