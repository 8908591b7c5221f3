/* mg_path.h - paths of endpoints: "/domains/{domain}/x" against a path. */
#ifndef MG_PATH_H
#define MG_PATH_H

#include <apr_pools.h>

#define MG_PATH_ARGS 4

/**
 * True if the path has the pattern's form: a {word} takes one segment that is
 * not empty, all else is literal; one slash at the path's end is ignored.
 * @param args  what the {words} took, in order; unused ones are NULL
 */
int mg_path_match(const char *args[MG_PATH_ARGS], const char *pattern,
                  const char *path, apr_pool_t *p);

/**
 * Split "/prefix/v2/rest": what follows the version, at least "/".
 * @return the version, 2 or 3; 0: another path
 */
int mg_path_version(const char **prest, const char *prefix, const char *path);

#endif
