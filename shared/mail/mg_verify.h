/* mg_verify.h - who signed a message: its DKIM signatures (RFC 6376, 8301,
 * 8463) and its ARC chain (RFC 8617), verified.
 *
 *     verify = mg_verify_begin(head, len, now, p);
 *     for each of mg_verify_keys(): ask DNS for TXT of that name,
 *         mg_verify_key_found(verify, i, text) or _is_none, or _failed
 *     mg_verify_feed(verify, bytes, len);    the body, as often as it takes
 *     mg_verify_end(verify);
 *     value = mg_verify_results(verify, "mx.our.host", p);
 *
 * Everything here is hostile: of a message MG_VERIFY_SIGNATURES signatures are
 * looked at, from the top, chains of up to MG_ARC_SETS sets, keys of RSA from
 * 1024 to 4096 bits and Ed25519; rsa-sha1 counts for nothing (RFC 8301). A
 * header block over MG_DKIM_HEADER_MAX or MG_DKIM_FIELDS_MAX is not looked at.
 */
#ifndef MG_VERIFY_H
#define MG_VERIFY_H

#include <apr_tables.h>
#include "mg_dkim.h"

#define MG_VERIFY_SIGNATURES 5
#define MG_ARC_SETS 50            /* RFC 8617 4.2.1 */
#define MG_VERIFY_KEYS (MG_VERIFY_SIGNATURES + MG_ARC_SETS + 1)

/** As Authentication-Results has them (RFC 8601 2.7.1). */
typedef enum {
    MG_VERIFY_NONE, MG_VERIFY_PASS, MG_VERIFY_FAIL, MG_VERIFY_NEUTRAL,
    MG_VERIFY_TEMPERROR, MG_VERIFY_PERMERROR
} mg_verify_result_t;
const char *mg_verify_word(mg_verify_result_t result);

typedef struct {
    mg_verify_result_t result;
    const char *why;              /* in words; NULL */
    const char *domain, *selector, *algorithm; /* "" where they lack */
    const char *b;                /* what its signature begins with */
} mg_verify_signature_t;

typedef struct mg_verify_t mg_verify_t;

/** @param head  the header block; lives as long as p
 *  @param now   when signatures expire */
mg_verify_t *mg_verify_begin(const char *head, apr_size_t len, apr_time_t now,
                             apr_pool_t *p);
/** Is there anything that the body and keys are needed for? */
int mg_verify_is_needed(const mg_verify_t *verify);
/** Names of DNS records, of const char *, each once. */
const apr_array_header_t *mg_verify_keys(const mg_verify_t *verify);
/** TXT of the i-th of them; it is copied. */
void mg_verify_key_found(mg_verify_t *verify, int i, const char *text);
void mg_verify_key_is_none(mg_verify_t *verify, int i);
/** DNS did not say, or not in time. The default. */
void mg_verify_key_failed(mg_verify_t *verify, int i);
/** Some 2 ms for 256 KB and form of a body that is asked for. */
void mg_verify_feed(mg_verify_t *verify, const char *bytes, apr_size_t len);
void mg_verify_end(mg_verify_t *verify);

/** Of mg_verify_signature_t, from the top. */
const apr_array_header_t *mg_verify_signatures(const mg_verify_t *verify);
/** What one says of all: pass if one passes. */
mg_verify_result_t mg_verify_dkim(const mg_verify_t *verify);
/** The chain, and how many sets it has. */
mg_verify_result_t mg_verify_arc(const mg_verify_t *verify, int *psets);
/** The body of an Authentication-Results field, folded. */
const char *mg_verify_results(const mg_verify_t *verify, const char *host,
                              apr_pool_t *p);

#endif
