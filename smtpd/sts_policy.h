/* sts_policy.h - what a domain says about TLS to its MXs (RFC 8461, MTA-STS):
 * reading the TXT record and the policy file. Both come from anybody. */
#ifndef STS_POLICY_H
#define STS_POLICY_H

#include <apr_tables.h>

#define STS_ID_MAX 32             /* RFC 8461 3.1 */
#define STS_MX_MAX 100            /* patterns that are kept */
#define STS_TEXT_MAX (64 * 1024)  /* octets of a policy file, RFC 8461 3.3 */
#define STS_AGE_MAX 31557600      /* seconds, RFC 8461 3.2 */

typedef enum { STS_NONE, STS_TESTING, STS_ENFORCE } sts_mode_t;

typedef struct {
    sts_mode_t mode;
    apr_int64_t max_age;          /* seconds */
    apr_array_header_t *mx;       /* of const char *, lower case; "*.a.test" */
} sts_policy_t;

/**
 * "v=STSv1; id=20160831085700Z;" -> the id.
 * @return NULL: another kind of record, or damaged
 */
const char *sts_txt_id(const char *txt, apr_pool_t *p);
/** Is it one of ours at all? Two of them are as good as none. */
int sts_txt_is_ours(const char *txt);
/**
 * The policy file.
 * @param pwhy  what is wrong with it
 * @return MG_EBADINPUT; MG_ELIMIT: too large
 */
apr_status_t sts_policy_parse(sts_policy_t **ppolicy, const char *text,
                              apr_size_t len, const char **pwhy,
                              apr_pool_t *p);
/** A normal form that reads as the same policy. */
const char *sts_policy_text(const sts_policy_t *policy, apr_pool_t *p);
/** Does a pattern match this host? A wildcard is one label (RFC 8461 4.1). */
int sts_policy_matches(const sts_policy_t *policy, const char *host);

#endif
