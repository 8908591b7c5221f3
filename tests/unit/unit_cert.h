/* unit_cert.h - certificates, made for the test. */
#ifndef UNIT_CERT_H
#define UNIT_CERT_H

#include <apr_pools.h>

#include "dns.h"

/** Two PEM files in a folder of their own, removed with the pool. */
void unit_cert_make(const char **pcertificate, const char **pkey,
                    apr_pool_t *p);

typedef struct {
    const char *certificate, *key;  /* PEM files */
    void *x509, *pkey;
} unit_cert_t;

/** An authority of the test's own. */
void unit_cert_authority(unit_cert_t *ca, apr_pool_t *p);
/** For that name, the authority's (NULL: its own), good for so many days. With
 * the authority behind it in the file. */
void unit_cert_signed(unit_cert_t *cert, const unit_cert_t *ca,
                      const char *name, int days, apr_pool_t *p);
/** The TLSA record that fits (RFC 6698 2.1). */
void unit_cert_tlsa(dns_tlsa_t *tlsa, const unit_cert_t *cert, int usage,
                    int selector, int matching, apr_pool_t *p);

#endif
