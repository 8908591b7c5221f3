/* mime_uuencode.c - files within a text, as mailers of before MIME sent them:
 * "begin 644 name", lines, "end" (POSIX, uuencode).
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mime_internal.h"

#define FILES_MAX 100
#define NAME_MAX_SHOWN 255

/* The line that begins at s; *pnext: the next one. */
static apr_size_t line_len(const char *s, const char *end, const char **pnext)
{
    const char *lf = memchr(s, '\n', (apr_size_t)(end - s));
    apr_size_t len = (apr_size_t)((lf ? lf : end) - s);

    *pnext = lf ? lf + 1 : end;
    while (len > 0 && s[len - 1] == '\r')
        len--;
    return len;
}

/* "begin 644 name" @return the name; NULL: it is none */
static const char *begin_name(const char *s, apr_size_t len, apr_pool_t *p)
{
    apr_size_t i = 6, mode;

    if (len < 11 || strncmp(s, "begin ", 6) != 0)
        return NULL;
    for (mode = i; i < len && s[i] >= '0' && s[i] <= '7'; i++)
        ;
    if (i - mode < 3 || i - mode > 4 || i + 1 >= len || s[i] != ' ')
        return NULL;
    i++;
    if (len - i > NAME_MAX_SHOWN)
        return NULL;
    return apr_pstrmemdup(p, s + i, len - i);
}

static unsigned int six(char c)
{
    return ((unsigned int)(unsigned char)c - 32) & 63;
}

/* One line of data. @return octets; -1: it is none */
static int decode_line(char *out, const char *s, apr_size_t len)
{
    unsigned int n = len ? six(s[0]) : 0, i, k = 0;
    apr_size_t at;

    if (len == 0 || s[0] < 32 || s[0] > 96 || n > 45)
        return -1;
    /* spaces at its end may have been cut off, a checksum may stand there */
    i = 1 + 4 * ((n + 2) / 3);
    if (n > 0 && (len > i + 2 || len + 8 < i))
        return -1;
    i = 0;
    for (; k < n; i++) {
        unsigned int quad[4];
        int j;

        for (j = 0; j < 4; j++) {
            at = 1 + 4 * (apr_size_t)i + (apr_size_t)j;
            if (at < len && (s[at] < 32 || s[at] > 96))
                return -1;
            quad[j] = at < len ? six(s[at]) : 0;
        }
        out[k++] = (char)(quad[0] << 2 | quad[1] >> 4);
        if (k < n)
            out[k++] = (char)(quad[1] << 4 | quad[2] >> 2);
        if (k < n)
            out[k++] = (char)(quad[2] << 6 | quad[3]);
    }
    return (int)n;
}

/* From behind "begin" up to and with "end". NULL: it is no such file. */
static const char *decode_file(const char **pbytes, apr_size_t *plen,
                               const char *s, const char *end, apr_pool_t *p)
{
    const char *next, *bytes = NULL;
    /* a line makes at most three times what it has */
    char *out = apr_palloc(p, 3 * (apr_size_t)(end - s) + 64);
    apr_size_t len, total = 0;
    int n = 1;

    for (; s < end && n > 0; s = next) {
        len = line_len(s, end, &next);
        if (len == 3 && strncmp(s, "end", 3) == 0)
            break; /* the empty line lacks */
        n = decode_line(out + total, s, len);
        if (n < 0)
            return NULL;
        total += (apr_size_t)n;
        bytes = out;
    }
    len = s < end ? line_len(s, end, &next) : 0;
    if (!bytes || len != 3 || strncmp(s, "end", 3) != 0)
        return NULL;
    *pbytes = bytes;
    *plen = total;
    return next;
}

const char *mime_uudecode(apr_size_t *plen, apr_array_header_t *files,
                          const char *text, apr_size_t len, apr_pool_t *p)
{
    const char *end = text + len, *s = text, *next, *behind, *kept = text;
    apr_array_header_t *pieces = NULL;
    mime_uufile_t file;

    *plen = len;
    if (len < 20 || memmem(text, len, "begin ", 6) == NULL)
        return text;
    for (; s < end && files->nelts < FILES_MAX; s = next) {
        apr_size_t n = line_len(s, end, &next);

        file.name = begin_name(s, n, p);
        behind = file.name ? decode_file(&file.bytes, &file.len, next, end, p)
                           : NULL;
        if (!behind)
            continue;
        if (!pieces)
            pieces = apr_array_make(p, 4, sizeof(const char *));
        APR_ARRAY_PUSH(pieces, const char *) =
            apr_pstrmemdup(p, kept, (apr_size_t)(s - kept));
        APR_ARRAY_PUSH(files, mime_uufile_t) = file;
        next = kept = behind;
    }
    if (!pieces)
        return text;
    APR_ARRAY_PUSH(pieces, const char *) =
        apr_pstrmemdup(p, kept, (apr_size_t)(end - kept));
    text = apr_array_pstrcat(p, pieces, 0);
    *plen = strlen(text);
    return text;
}
