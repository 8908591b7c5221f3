/* mg_path.c - see mg_path.h. */
#include "mg_path.h"

#include <apr_strings.h>
#include <string.h>

static int is_end(const char *s)
{
    return *s == '\0' || (*s == '/' && s[1] == '\0');
}

int mg_path_match(const char *args[MG_PATH_ARGS], const char *pattern,
                  const char *path, apr_pool_t *p)
{
    int n = 0;

    memset(args, 0, MG_PATH_ARGS * sizeof(*args));
    while (*pattern) {
        if (*pattern == '{') {
            apr_size_t len = strcspn(path, "/");

            if (!len || n == MG_PATH_ARGS)
                return 0;
            args[n++] = apr_pstrmemdup(p, path, len);
            path += len;
            pattern += strcspn(pattern, "}");
            if (*pattern)
                pattern++;
        } else if (*pattern == *path) {
            pattern++;
            path++;
        } else {
            return 0;
        }
    }
    return is_end(path);
}

int mg_path_version(const char **prest, const char *prefix, const char *path)
{
    apr_size_t len = strlen(prefix);

    while (len && prefix[len - 1] == '/')
        len--;
    if (strncmp(path, prefix, len) != 0)
        return 0;
    path += len;
    if (path[0] != '/' || path[1] != 'v' || (path[2] != '2' && path[2] != '3'))
        return 0;
    if (path[3] != '/' && path[3] != '\0')
        return 0;
    *prest = path[3] ? path + 3 : "/";
    return path[2] - '0';
}
