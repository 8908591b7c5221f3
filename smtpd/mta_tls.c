/* mta_tls.c - the client's STARTTLS (RFC 3207): where it may be, must be, and
 * what the certificate must prove (RFC 7817; RFC 7672 for DANE).
 *
 * Certificates are looked at after the handshake, not during it, so that the
 * reason is ours to say in words; nothing was sent by then but EHLO. What is
 * not needed is looked at too, for the record.
 *
 * Whatever is missing is a temporary failure: 4.7.4 no STARTTLS, 4.7.5 a
 * handshake or a certificate that will not do (RFC 3463 3.8).
 */
#include <arpa/inet.h>

#include <openssl/x509v3.h>

#include "mta_client_private.h"
#include "mg_status.h"

static const char *whose(const mta_client_t *c)
{
    return c->via.policy ? c->via.policy : "the configuration";
}

static void refuse(mta_client_t *c, const char *enhanced, const char *what)
{
    mta_reply_t reply;

    mta_reply_set(&reply, "499 %s %s %s; %s requires %s", enhanced, c->where,
                  what, whose(c), c->need == MTA_TLS_ENCRYPT
                                      ? "TLS" : "TLS with a verified "
                                                "certificate");
    mta_end(c, MTA_END_POLICY, &reply);
}

int mta_tls_missing(mta_client_t *c)
{
    if (c->in_tls || c->need == MTA_TLS_MAY)
        return 0;
    refuse(c, "4.7.4", "does not offer STARTTLS");
    return 1;
}

void mta_say_starttls(mta_client_t *c)
{
    conn_write(c->conn, "STARTTLS\r\n", 10);
}

void mta_on_starttls_reply(mta_client_t *c)
{
    if (mta_reply_class(&c->reply) == MTA_GOOD)
        mta_enter(c, S_TLS);
    else if (c->need == MTA_TLS_MAY)
        mta_ready(c); /* a refusal is no reason to keep the mail */
    else
        refuse(c, "4.7.4", apr_psprintf(c->pool, "refused STARTTLS (%s)",
                                        c->reply.text));
}

/* The names that the certificate must be for. */
static int expect_name(mta_client_t *c, SSL *ssl)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    unsigned char raw[16];

    if (inet_pton(AF_INET, c->host, raw) == 1
        || inet_pton(AF_INET6, c->host, raw) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, c->host) == 1;
    X509_VERIFY_PARAM_set_hostflags(param,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, c->host) == 1
           && SSL_set1_host(ssl, c->host) == 1;
}

/* RFC 7672 3.1: DANE-TA(2) and DANE-EE(3) are for SMTP, and only (3) goes
 * without names. Where no record can be used, TLS is a must all the same, and
 * what else was needed is needed still. */
static int expect_dane(mta_client_t *c, SSL *ssl)
{
    int i, usable = 0;

    if (SSL_dane_enable(ssl, c->host) <= 0)
        return 0;
    SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    for (i = 0; i < c->ntlsa; i++) {
        const dns_tlsa_t *t = &c->tlsa[i];

        if (t->usage == 2 || t->usage == 3)
            usable += SSL_dane_tlsa_add(ssl, t->usage, t->selector,
                                        t->matching, t->data, t->len) > 0;
    }
    if (usable == 0) {
        c->need = c->least > MTA_TLS_ENCRYPT ? c->least : MTA_TLS_ENCRYPT;
        return expect_name(c, ssl);
    }
    return 1;
}

void mta_say_tls(mta_client_t *c)
{
    SSL *ssl;

    c->in_tls = 1;
    if (conn_start_tls_client(c->conn, c->tls, NULL) != APR_SUCCESS
        || !(ssl = conn_ssl_begun(c->conn))
        || !(c->need == MTA_TLS_DANE ? expect_dane(c, ssl)
                                     : expect_name(c, ssl)))
        mta_fail(c, "4.7.5", "TLS could not be started");
}

void mta_on_tls(mta_client_t *c)
{
    SSL *ssl = conn_ssl(c->conn);
    long result = SSL_get_verify_result(ssl);
    X509 *certificate = SSL_get0_peer_certificate(ssl);

    c->via.tls = SSL_get_version(ssl);
    c->via.cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl));
    c->via.verified = certificate != NULL && result == X509_V_OK;
    if (c->need < MTA_TLS_VERIFY || c->via.verified)
        mta_enter(c, S_HELLO);
    else
        refuse(c, "4.7.5", apr_psprintf(
            c->pool, "has a certificate that cannot be verified (%s)",
            certificate ? X509_verify_cert_error_string(result) : "none"));
}

void mta_tls_failed(mta_client_t *c, const mta_reply_t *reply)
{
    if (c->need == MTA_TLS_MAY)
        mta_end(c, MTA_END_TLS, reply);
    else
        refuse(c, "4.7.5", apr_psprintf(c->pool, "TLS failed (%s)",
                                        reply->text + 4));
}
