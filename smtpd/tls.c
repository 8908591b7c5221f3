/* tls.c - TLS contexts. */
#include <openssl/err.h>

#include <apr_strings.h>

#include "mg_status.h"
#include "tls.h"

static apr_status_t free_ctx(void *ctx)
{
    SSL_CTX_free(ctx);
    return APR_SUCCESS;
}

static apr_status_t ctx_create(SSL_CTX **pctx, const SSL_METHOD *method,
                               apr_pool_t *p)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    *pctx = NULL;
    if (!ctx)
        return APR_ENOMEM;
    apr_pool_cleanup_register(p, ctx, free_ctx, apr_pool_cleanup_null);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* conn.c's buffers move and grow between the tries of a write */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1); /* one recv() a record, not two */
    *pctx = ctx;
    return APR_SUCCESS;
}

static apr_status_t wrong(const char **perror, const char *what,
                          const char *path, apr_pool_t *p)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    *perror = apr_psprintf(p, "%s %s: %s", what, path,
                           reason ? reason : "cannot be used");
    ERR_clear_error();
    return MG_ECONFIG;
}

apr_status_t tls_server_create(SSL_CTX **pctx, const char *certificate,
                               const char *key, const char **perror,
                               apr_pool_t *p)
{
    SSL_CTX *ctx;
    apr_status_t rv = ctx_create(&ctx, TLS_server_method(), p);

    *pctx = NULL;
    *perror = "out of memory";
    if (rv != APR_SUCCESS)
        return rv;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
        return wrong(perror, "MailgunTLSCertificate", certificate, p);
    if (!key || !*key)
        key = certificate;
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return wrong(perror, "MailgunTLSKey", key, p);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return wrong(perror, "MailgunTLSKey", key, p);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"smtpd", 5);
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    *perror = NULL;
    *pctx = ctx;
    return APR_SUCCESS;
}

apr_status_t tls_client_create(SSL_CTX **pctx, const char *trust,
                               const char **perror, apr_pool_t *p)
{
    SSL_CTX *ctx;
    apr_status_t rv = ctx_create(&ctx, TLS_client_method(), p);

    *pctx = NULL;
    *perror = "out of memory";
    if (rv != APR_SUCCESS)
        return rv;
    ERR_clear_error();
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    if (SSL_CTX_dane_enable(ctx) != 1)
        return wrong(perror, "TLS", "for DANE", p);
    if (trust && *trust) {
        if (SSL_CTX_load_verify_file(ctx, trust) != 1)
            return wrong(perror, "MailgunTLSTrust", trust, p);
    }
    else if (SSL_CTX_set_default_verify_paths(ctx) != 1)
        return wrong(perror, "TLS", "the system's authorities", p);
    *perror = NULL;
    *pctx = ctx;
    return APR_SUCCESS;
}
