/* unit_cert.h - a self-signed certificate, made for the test. */
#ifndef UNIT_CERT_H
#define UNIT_CERT_H

#include <apr_pools.h>

/** Two PEM files in a folder of their own, removed with the pool. */
void unit_cert_make(const char **pcertificate, const char **pkey,
                    apr_pool_t *p);

#endif
