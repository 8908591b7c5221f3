/* mg_config_read.c - a reader of httpd's configuration syntax.
 *
 * A line is words between white space; "..." and '...' make one word, a
 * backslash in them keeps the quote or the backslash behind it. A backslash at
 * the end joins the next line. <IfModule ...> lines are as if they were not
 * there: the file is included by httpd and read by everybody else.
 */
#include "mg_config.h"
#include "mg_status.h"

#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#define FILE_MAX (1024 * 1024)

static apr_status_t read_file(char **ptext, const char *path, apr_pool_t *p)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_size_t len;
    apr_status_t rv;

    rv = apr_file_open(&file, path, APR_READ | APR_BINARY, APR_OS_DEFAULT, p);
    if (rv != APR_SUCCESS)
        return rv;
    rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_TYPE, file);
    if (rv == APR_SUCCESS && info.filetype == APR_DIR)
        rv = APR_FROM_OS_ERROR(EISDIR);
    else if (rv == APR_SUCCESS && info.size > FILE_MAX)
        rv = MG_ELIMIT;
    if (rv == APR_SUCCESS) {
        *ptext = apr_pcalloc(p, (apr_size_t)info.size + 1);
        rv = apr_file_read_full(file, *ptext, (apr_size_t)info.size, &len);
        if (APR_STATUS_IS_EOF(rv))
            rv = APR_SUCCESS;
    }
    apr_file_close(file);
    return rv;
}

/* The next line, with those joined that a backslash continues; NULL at the
 * end. Written over the text. */
static char *next_line(char **pat, int *plines)
{
    char *line = *pat, *from = *pat, *to = *pat;

    *plines = 0;
    if (!*from)
        return NULL;
    while (*from && *from != '\n') {
        char *next = from + 1;
        if (*from == '\\' && *next == '\r' && next[1] == '\n')
            next++;
        if (*from == '\\' && *next == '\n') {
            from = next + 1;
            ++*plines;
            continue;
        }
        *to++ = *from++;
    }
    if (*from)
        from++;
    ++*plines;
    *to = '\0';
    *pat = from;
    return line;
}

/* One word from *pat on, or NULL at the end; *pclosed is 0 if its quote does
 * not end. */
static const char *next_word(const char **pat, int *pclosed, apr_pool_t *p)
{
    const char *s = *pat;
    char *word, *to, quote;

    while (apr_isspace(*s))
        s++;
    *pclosed = 1;
    if (!*s)
        return NULL;
    word = to = apr_palloc(p, strlen(s) + 1);
    quote = *s == '"' || *s == '\'' ? *s++ : '\0';
    while (*s && (quote ? *s != quote : !apr_isspace(*s))) {
        if (quote && *s == '\\' && (s[1] == quote || s[1] == '\\'))
            s++;
        *to++ = *s++;
    }
    *to = '\0';
    if (quote && *s++ != quote) {
        *pclosed = 0;
        s--;
    }
    *pat = s;
    return word;
}

static int is_transparent(const char *word)
{
    return strncasecmp(word, "<IfModule", 9) == 0
           || strncasecmp(word, "</IfModule", 10) == 0;
}

/* @return NULL or what is wrong with the line */
static const char *read_line(mg_config_t *config, const char *line,
                             apr_pool_t *p)
{
    apr_array_header_t *args = apr_array_make(p, 8, sizeof(const char *));
    const mg_directive_t *d;
    const char *name, *word;
    int closed;

    name = next_word(&line, &closed, p);
    if (!name || *name == '#' || is_transparent(name))
        return NULL;
    if (*name == '<')
        return apr_psprintf(p, "%s: of sections only <IfModule> may stand here",
                            name);
    while (closed && (word = next_word(&line, &closed, p)) != NULL)
        APR_ARRAY_PUSH(args, const char *) = word;
    if (!closed)
        return apr_psprintf(p, "%s: a quote is not closed", name);
    d = mg_config_find(name);
    if (!d)
        return apr_psprintf(p, "%s: there is no such directive; mailgunctl "
                            "config lists all", name);
    return d->set(config, d, args->nelts, (const char *const *)args->elts, p);
}

apr_status_t mg_config_read(mg_config_t **pconfig, const char *path,
                            const char **perror, apr_pool_t *p)
{
    mg_config_t *config = mg_config_create(p);
    const char *wrong;
    char *at, *line, why[120];
    int number = 1, lines;
    apr_status_t rv;

    *pconfig = NULL;
    *perror = NULL;
    rv = read_file(&at, path, p);
    if (rv != APR_SUCCESS) {
        *perror = apr_psprintf(p, "%s: %s", path,
                               mg_strerror(rv, why, sizeof(why)));
        return MG_ECONFIG;
    }
    while ((line = next_line(&at, &lines)) != NULL) {
        wrong = read_line(config, line, p);
        if (wrong) {
            *perror = apr_psprintf(p, "%s:%d: %s", path, number, wrong);
            return MG_ECONFIG;
        }
        number += lines;
    }
    wrong = mg_config_check(config, p);
    if (wrong) {
        *perror = apr_psprintf(p, "%s: %s", path, wrong);
        return MG_ECONFIG;
    }
    *pconfig = config;
    return APR_SUCCESS;
}
