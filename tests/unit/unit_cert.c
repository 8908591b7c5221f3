/* unit_cert.c - certificates, made for the test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "unit_cert.h"

static apr_status_t remove_file(void *path)
{
    remove(path);
    return APR_SUCCESS;
}

void unit_cert_make(const char **pcertificate, const char **pkey,
                    apr_pool_t *p)
{
    char *dir = apr_pstrdup(p, "/tmp/unit-cert-XXXXXX"), *cert, *key;
    EVP_PKEY *pkey_made = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    X509_NAME *name = X509_get_subject_name(x509);
    FILE *file;

    if (!mkdtemp(dir))
        abort();
    apr_pool_cleanup_register(p, dir, remove_file, apr_pool_cleanup_null);
    cert = apr_pstrcat(p, dir, "/cert.pem", NULL);
    key = apr_pstrcat(p, dir, "/key.pem", NULL);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)"unit.test", -1, -1, 0);
    X509_set_issuer_name(x509, name);
    X509_set_pubkey(x509, pkey_made);
    X509_sign(x509, pkey_made, EVP_sha256());
    file = fopen(cert, "w");
    if (!file || PEM_write_X509(file, x509) != 1)
        abort();
    fclose(file);
    apr_pool_cleanup_register(p, cert, remove_file, apr_pool_cleanup_null);
    file = fopen(key, "w");
    if (!file || PEM_write_PrivateKey(file, pkey_made, NULL, NULL, 0, NULL,
                                      NULL) != 1)
        abort();
    fclose(file);
    apr_pool_cleanup_register(p, key, remove_file, apr_pool_cleanup_null);
    X509_free(x509);
    EVP_PKEY_free(pkey_made);
    *pcertificate = cert;
    *pkey = key;
}

/* --- an authority, and what it signs --- */

static void add_extension(X509 *x509, X509 *issuer, int nid,
                          const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (!extension)
        abort();
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
}

static apr_status_t free_x509(void *x509)
{
    X509_free(x509);
    return APR_SUCCESS;
}

static apr_status_t free_pkey(void *pkey)
{
    EVP_PKEY_free(pkey);
    return APR_SUCCESS;
}

static void write_files(unit_cert_t *cert, const unit_cert_t *ca,
                        apr_pool_t *p)
{
    char *dir = apr_pstrdup(p, "/tmp/unit-cert-XXXXXX");
    FILE *file;

    if (!mkdtemp(dir))
        abort();
    apr_pool_cleanup_register(p, dir, remove_file, apr_pool_cleanup_null);
    cert->certificate = apr_pstrcat(p, dir, "/cert.pem", NULL);
    cert->key = apr_pstrcat(p, dir, "/key.pem", NULL);
    file = fopen(cert->certificate, "w");
    if (!file || PEM_write_X509(file, cert->x509) != 1
        || (ca && PEM_write_X509(file, ca->x509) != 1))
        abort();
    fclose(file);
    apr_pool_cleanup_register(p, cert->certificate, remove_file,
                              apr_pool_cleanup_null);
    file = fopen(cert->key, "w");
    if (!file || PEM_write_PrivateKey(file, cert->pkey, NULL, NULL, 0, NULL,
                                      NULL) != 1)
        abort();
    fclose(file);
    apr_pool_cleanup_register(p, cert->key, remove_file,
                              apr_pool_cleanup_null);
}

static void make(unit_cert_t *cert, const unit_cert_t *ca, const char *name,
                 int days, int is_ca, apr_pool_t *p)
{
    static long serial = 1;
    X509 *x509 = X509_new(), *issuer = ca ? ca->x509 : x509;
    EVP_PKEY *pkey = EVP_EC_gen("P-256");

    cert->x509 = x509;
    cert->pkey = pkey;
    apr_pool_cleanup_register(p, x509, free_x509, apr_pool_cleanup_null);
    apr_pool_cleanup_register(p, pkey, free_pkey, apr_pool_cleanup_null);
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x509), -20 * 86400);
    X509_gmtime_adj(X509_getm_notAfter(x509), days * 86400L);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN",
                               MBSTRING_ASC, (const unsigned char *)name, -1,
                               -1, 0);
    X509_set_issuer_name(x509, X509_get_subject_name(issuer));
    X509_set_pubkey(x509, pkey);
    add_extension(x509, issuer, NID_basic_constraints,
                  is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (!is_ca)
        add_extension(x509, issuer, NID_subject_alt_name,
                      apr_pstrcat(p, "DNS:", name, NULL));
    X509_sign(x509, ca ? ca->pkey : pkey, EVP_sha256());
    write_files(cert, ca, p);
}

void unit_cert_authority(unit_cert_t *ca, apr_pool_t *p)
{
    make(ca, NULL, "unit authority", 10, 1, p);
}

void unit_cert_signed(unit_cert_t *cert, const unit_cert_t *ca,
                      const char *name, int days, apr_pool_t *p)
{
    make(cert, ca, name, days, 0, p);
}

void unit_cert_tlsa(dns_tlsa_t *tlsa, const unit_cert_t *cert, int usage,
                    int selector, int matching, apr_pool_t *p)
{
    unsigned char *der = NULL, *data;
    unsigned int size = 0;
    int len = selector == 0
                  ? i2d_X509(cert->x509, &der)
                  : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(
                                        (const X509 *)cert->x509), &der);

    tlsa->usage = (unsigned char)usage;
    tlsa->selector = (unsigned char)selector;
    tlsa->matching = (unsigned char)matching;
    data = apr_palloc(p, (apr_size_t)len + EVP_MAX_MD_SIZE);
    if (matching == 0) {
        memcpy(data, der, (apr_size_t)len);
        tlsa->len = (apr_size_t)len;
    }
    else {
        EVP_Digest(der, (size_t)len, data, &size,
                   matching == 2 ? EVP_sha512() : EVP_sha256(), NULL);
        tlsa->len = size;
    }
    tlsa->data = data;
    OPENSSL_free(der);
}
