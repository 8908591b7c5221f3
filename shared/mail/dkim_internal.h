/* dkim_internal.h - between the files of DKIM; the RFCs' examples are tested
 * by these. */
#ifndef DKIM_INTERNAL_H
#define DKIM_INTERNAL_H

#include <apr_tables.h>
#include <openssl/evp.h>
#include "mg_dkim.h"

#define DKIM_HASH_LEN 32

/* The body hash, relaxed (RFC 6376 3.4.4) or simple (3.4.3). */
typedef struct {
    EVP_MD_CTX *md;
    int simple;
    apr_int64_t limit;         /* l=: so many octets count; -1: all */
    apr_int64_t total;         /* octets there were so far */
    apr_int64_t line_ends;     /* CRLFs that wait for something behind them */
    int space, cr;             /* white space, a CR that wait likewise */
    int any;                   /* something was hashed */
    apr_size_t len;            /* in out */
    char out[8192];
} dkim_body_t;

/** Relaxed, all of it; simple and limit may be set then. */
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

/** One field of a block. */
typedef struct {
    const char *at;            /* in the block */
    apr_size_t len;            /* without its last CRLF */
    apr_size_t name_len;
    int used;
} dkim_field_t;
/** From top to bottom, of dkim_field_t; lines that are none are left out. One
 * more than MG_DKIM_FIELDS_MAX, and it stops. */
apr_array_header_t *dkim_list_fields(const char *bytes, apr_size_t len,
                                     apr_pool_t *p);
int dkim_field_is(const dkim_field_t *field, const char *name);

/** One field, relaxed (RFC 6376 3.4.2), without its CRLF. out has room for
 * len bytes. @return how many there are; 0: this is no field */
apr_size_t dkim_header_relax(char *out, const char *field, apr_size_t len);
/** What is signed of a header block. @return MG_EBADINPUT: it has no From, or
 * more than MG_DKIM_FIELDS_MAX fields */
apr_status_t dkim_header_read(dkim_header_t *header, const char *bytes,
                              apr_size_t len, apr_pool_t *p);
/** The same for a given h=, "from:to:from"; simple: as they stand (3.4.1). */
apr_status_t dkim_header_choose(dkim_header_t *header, const char *h,
                                int simple, const char *bytes,
                                apr_size_t len, apr_pool_t *p);

/** What a key signs (RFC 6376 3.7): fields, and the field of the signature
 * up to "b=". */
apr_status_t dkim_digest(unsigned char digest[DKIM_HASH_LEN],
                         const dkim_header_t *header, const char *field,
                         apr_size_t len, apr_pool_t *p);
/** mg_dkim_sign(), or with an instance from 1 on an ARC-Message-Signature. */
apr_status_t dkim_sign_field(const char **pfield, apr_size_t *plen,
                             const mg_dkim_signer_t *signer,
                             const mg_dkim_content_t *content, int instance,
                             apr_time_t at, apr_pool_t *p);
/** An ARC-Seal over sets, relaxed (RFC 8617 4.1.3). */
apr_status_t dkim_seal_field(const char **pfield, apr_size_t *plen,
                             const mg_dkim_signer_t *signer, int instance,
                             const char *cv, const char *sets,
                             apr_size_t sets_len, apr_time_t at,
                             apr_pool_t *p);
const char *dkim_content_head(apr_size_t *plen,
                              const mg_dkim_content_t *content);
/** Base64 of a digest's signature. */
apr_status_t dkim_sign_digest(const char **pbase64,
                              const mg_dkim_signer_t *signer,
                              const unsigned char digest[DKIM_HASH_LEN],
                              apr_pool_t *p);

/** SHA-256, fetched once per process. */
const EVP_MD *dkim_sha256(void);

#endif
