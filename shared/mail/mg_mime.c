/* mg_mime.c - GMime's start, and line ends. */
#include <pthread.h>
#include <string.h>
#include "mg_mime.h"
#include "mime_internal.h"

static GMimeParserOptions *options;
static GMimeFormatOptions *format;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    /* Text that names no charset and is no UTF-8 is mostly Windows' Latin;
     * the last one takes every byte. */
    static const char *charsets[] = { "utf-8", "windows-1252", "iso-8859-1",
                                      NULL };

    g_mime_init();
    options = g_mime_parser_options_new();
    g_mime_parser_options_set_fallback_charsets(options, charsets);
    format = g_mime_format_options_new();
    g_mime_format_options_set_newline_format(format,
                                             GMIME_NEWLINE_FORMAT_DOS);
}

void mg_mime_init(void)
{
    pthread_once(&once, init);
}

GMimeParserOptions *mime_options(void)
{
    pthread_once(&once, init);
    return options;
}

GMimeFormatOptions *mime_format(void)
{
    pthread_once(&once, init);
    return format;
}

typedef struct {
    const char *lf, *cr;  /* the next of each, looked for once; NULL: not yet */
} line_ends_t;

/* Where the line that starts at s ends: its LF or CR, or end. */
static const char *line_end(line_ends_t *next, const char *s, const char *end)
{
    if (next->lf < s && !(next->lf = memchr(s, '\n', (size_t)(end - s))))
        next->lf = end;
    if (next->cr < s && !(next->cr = memchr(s, '\r', (size_t)(end - s))))
        next->cr = end;
    return next->cr < next->lf ? next->cr : next->lf;
}

char *mg_mime_crlf(const char *bytes, apr_size_t len, apr_size_t *pout_len,
                   apr_pool_t *p)
{
    const char *s, *eol, *end = bytes + len;
    line_ends_t next = { NULL, NULL };
    apr_size_t ends = 0;
    char *out, *o;

    for (s = bytes; s < end && (eol = line_end(&next, s, end)) < end;
         s = eol + 1)
        ends++;
    next.lf = next.cr = NULL;
    o = out = apr_palloc(p, len + ends + 1);
    for (s = bytes; s < end; s = eol + 1) {
        eol = line_end(&next, s, end);
        memcpy(o, s, (size_t)(eol - s));
        o += eol - s;
        if (eol == end)
            break;
        if (*eol == '\r' && eol + 1 < end && eol[1] == '\n')
            eol++;
        *o++ = '\r';
        *o++ = '\n';
    }
    *o = '\0';
    *pout_len = (apr_size_t)(o - out);
    return out;
}
