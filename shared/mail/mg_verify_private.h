/* mg_verify_private.h - between the files that verify signatures. */
#ifndef MG_VERIFY_PRIVATE_H
#define MG_VERIFY_PRIVATE_H

#include <openssl/evp.h>

#include "dkim_internal.h"
#include "mg_verify.h"

/* --- tag lists (verify_tags.c; RFC 6376 3.2) --- */

typedef struct {
    const char *name;
    const char *value;           /* without white space at its ends */
} verify_tag_t;
#define VERIFY_TAGS_MAX 40
typedef struct {
    verify_tag_t tag[VERIFY_TAGS_MAX];
    int n;
} verify_tags_t;

/* @return 0: it is no tag list, or a tag is there twice */
int verify_tags_read(verify_tags_t *tags, const char *text, apr_size_t len,
                     apr_pool_t *p);
/* NULL: it lacks. */
const char *verify_tag(const verify_tags_t *tags, const char *name);
/* Without any white space: base64, names. */
const char *verify_tag_packed(const verify_tags_t *tags, const char *name,
                              apr_pool_t *p);
/* A whole number of up to 18 digits; -1: it lacks, -2: it is none. */
apr_int64_t verify_tag_number(const verify_tags_t *tags, const char *name);
/* A field with nothing behind "b=". */
char *verify_without_b(apr_size_t *plen, const char *field, apr_size_t len,
                       apr_pool_t *p);

/* --- keys (verify_key.c) --- */

typedef struct {
    const char *name;            /* of the DNS record */
    enum { VERIFY_KEY_FAILED, VERIFY_KEY_NONE, VERIFY_KEY_FOUND } state;
    const char *text;
} verify_key_t;

/* @param is_ed25519  what the signature says
 * @param strict  set: d= and the domain of i= must be the same (t=s)
 * @return why it does not serve; NULL: *pkey, freed with p */
const char *verify_key_open(EVP_PKEY **pkey, int *pstrict, const char *text,
                            int is_ed25519, apr_pool_t *p);

/* --- one signature (verify_signature.c) --- */

/* A form of the body that some signature hashes. */
typedef struct {
    int simple;
    apr_int64_t limit;
    dkim_body_t body;
    unsigned char hash[DKIM_HASH_LEN];
    apr_status_t failed;
} verify_body_t;

typedef struct {
    const dkim_field_t *field;
    verify_tags_t tags;
    mg_verify_signature_t said;
    int is_ed25519, simple_head;
    int body;                    /* index of its form; -1: it has none */
    int key;                     /* index of its record; -1: none is asked */
    const char *h, *bh;
    const char *identity;        /* domain of i=, or d= */
} verify_signature_t;

struct mg_verify_t {
    apr_pool_t *p;
    const char *head;
    apr_size_t head_len;
    apr_time_t now;
    apr_array_header_t *fields;  /* of dkim_field_t */
    apr_array_header_t *names;   /* of const char *: keys' */
    apr_array_header_t *keys;    /* of verify_key_t */
    apr_array_header_t *bodies;  /* of verify_body_t */
    apr_array_header_t *signatures; /* of verify_signature_t: DKIM */
    apr_array_header_t *said;    /* of mg_verify_signature_t */
    /* the chain: sets[i - 1] is instance i */
    struct verify_set_t *sets;
    int nsets;
    mg_verify_result_t arc;
    const char *arc_why;
};

/* What its tags say: said.result is MG_VERIFY_PERMERROR if it cannot be
 * verified, else NEUTRAL until it is. is_ams: an ARC-Message-Signature, which
 * has no v= and another i=. */
void verify_signature_read(verify_signature_t *s, mg_verify_t *v,
                           const dkim_field_t *field, int is_ams);
void verify_signature_end(verify_signature_t *s, mg_verify_t *v);
/* The index of a key's record. */
int verify_key_index(mg_verify_t *v, const char *selector,
                     const char *domain);
/* Is base64 b a signature of that digest? */
int verify_digest(EVP_PKEY *key, int is_ed25519,
                  const unsigned char digest[DKIM_HASH_LEN], const char *b,
                  apr_pool_t *p);

/* --- the chain (verify_chain.c) --- */

typedef struct verify_set_t {
    const dkim_field_t *results, *signature, *seal;
    verify_signature_t ams;      /* of the last one alone */
    verify_tags_t seal_tags;
    int is_ed25519, key;
} verify_set_t;

void verify_chain_read(mg_verify_t *v);
void verify_chain_end(mg_verify_t *v);

#endif
