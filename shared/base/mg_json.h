/* mg_json.h - jansson on pools. */
#ifndef MG_JSON_H
#define MG_JSON_H

#include <apr_pools.h>
#include <jansson.h>

/** The pool owns a reference from now on. */
void mg_json_bind(json_t *json, apr_pool_t *p);
/** Limits: depth 64, no duplicates refused (last wins). NULL and *perror. */
json_t *mg_json_parse(const char *text, apr_size_t len, const char **perror,
                      apr_pool_t *p);
/** Reals with as many digits as bring them back: 9.99 stays 9.99. */
char *mg_json_compact(const json_t *json, apr_pool_t *p);
/** One line of ASCII, a blank behind each ',' and ':'. */
char *mg_json_ascii(const json_t *json, apr_pool_t *p);
/** Two spaces, characters outside ASCII escaped: as API replies are printed. */
char *mg_json_pretty(const json_t *json, apr_pool_t *p);

#endif
