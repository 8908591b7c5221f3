/* unit_cert.c - a self-signed certificate, made for the test. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <apr_strings.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

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
