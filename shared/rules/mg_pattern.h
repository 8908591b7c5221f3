/* mg_pattern.h - regular expressions of customers: Python's, on PCRE2.
 *
 * A pattern is anchored at the start only, as Python's match() is. It is
 * compiled when it is first needed, so that ten thousand of them cost little
 * until then; mg_pattern_check() compiles at once. Steps, depth and heap are
 * limited whatever a customer writes: what gives up is no match, and is said in
 * the log; at the third time it is not tried any more.
 */
#ifndef MG_PATTERN_H
#define MG_PATTERN_H

#include <apr_hash.h>
#include <apr_pools.h>
#include <apr_tables.h>

typedef struct mg_pattern_t mg_pattern_t;

#define MG_PATTERN_MAX 1024          /* octets */
#define MG_PATTERN_SUBJECT_MAX 65536 /* octets; of longer ones the beginning */

/** What stood in parentheses, of one match or of several together. */
typedef struct {
    apr_array_header_t *groups;      /* of const char *; [0] is the match; NULL:
                                        that group took no part */
    apr_table_t *names;              /* of (?P<name>...) */
} mg_captures_t;

/** @param any_case  letter case does not count */
mg_pattern_t *mg_pattern_make(const char *text, int any_case, apr_pool_t *p);
/** The same, from the table of those that were made so (by text), so that one
 * that stands in many routes is one. */
mg_pattern_t *mg_pattern_intern(apr_hash_t *patterns, const char *text,
                                apr_pool_t *p);
/** Does it compile? Its groups are known then.
 * @param perror  what is wrong and at which character
 * @return MG_EBADINPUT */
apr_status_t mg_pattern_check(mg_pattern_t *pattern, const char **perror,
                              apr_pool_t *p);
/** How many groups a checked pattern has, and whether one is called so. */
int mg_pattern_groups(const mg_pattern_t *pattern);
int mg_pattern_has_name(const mg_pattern_t *pattern, const char *name);

/**
 * @param lower     subject in lower case (ASCII), or NULL: then what a match
 *                  must hold is not looked for first
 * @param captures  filled in p if it matches and has groups; or NULL
 * @param whose     who wrote it, for the log; or NULL
 */
int mg_pattern_matches(mg_pattern_t *pattern, const char *subject,
                       const char *lower, mg_captures_t *captures,
                       const char *whose, apr_pool_t *p);
/** The same without captures, remembered for as long as the subject has that
 * number, which is none's before (> 0). */
int mg_pattern_matches_again(mg_pattern_t *pattern, apr_uint32_t number,
                             const char *subject, const char *lower,
                             const char *whose, apr_pool_t *p);
#endif
