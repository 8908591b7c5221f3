/* dkim_internal.h - between the files of DKIM; the RFCs' examples are tested
 * by these. */
#ifndef DKIM_INTERNAL_H
#define DKIM_INTERNAL_H

#include <openssl/evp.h>
#include "mg_dkim.h"

#define DKIM_HASH_LEN 32

/* The relaxed body hash (RFC 6376 3.4.4). */
typedef struct {
    EVP_MD_CTX *md;
    apr_int64_t line_ends;     /* CRLFs that wait for something behind them */
    int space, cr;             /* white space, a CR that wait likewise */
    int any;                   /* something was hashed */
    apr_size_t len;            /* in out */
    char out[8192];
} dkim_body_t;

apr_status_t dkim_body_init(dkim_body_t *body, apr_pool_t *p);
void dkim_body_feed(dkim_body_t *body, const char *bytes, apr_size_t len);
apr_status_t dkim_body_end(unsigned char hash[DKIM_HASH_LEN],
                           dkim_body_t *body);

/* The header block. */
typedef struct {
    const char *names;         /* for h=, a NUL behind each, two at the end */
    const char *canon;         /* the fields it names, relaxed, in its order */
    apr_size_t canon_len;
} dkim_header_t;

/** One field, relaxed (RFC 6376 3.4.2), without its CRLF. out has room for
 * len bytes. @return how many there are; 0: this is no field */
apr_size_t dkim_header_relax(char *out, const char *field, apr_size_t len);
/** What is signed of a header block. @return MG_EBADINPUT: it has no From, or
 * more than MG_DKIM_FIELDS_MAX fields */
apr_status_t dkim_header_read(dkim_header_t *header, const char *bytes,
                              apr_size_t len, apr_pool_t *p);
/** The same for a given h=, "from:to:from". */
apr_status_t dkim_header_choose(dkim_header_t *header, const char *h,
                                const char *bytes, apr_size_t len,
                                apr_pool_t *p);

/** What a key signs (RFC 6376 3.7): fields, and the field of the signature
 * up to "b=". */
apr_status_t dkim_digest(unsigned char digest[DKIM_HASH_LEN],
                         const dkim_header_t *header, const char *field,
                         apr_size_t len, apr_pool_t *p);
/** Base64 of a digest's signature. */
apr_status_t dkim_sign_digest(const char **pbase64,
                              const mg_dkim_signer_t *signer,
                              const unsigned char digest[DKIM_HASH_LEN],
                              apr_pool_t *p);

/** SHA-256, fetched once per process. */
const EVP_MD *dkim_sha256(void);

#endif
