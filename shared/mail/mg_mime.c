/* mg_mime.c - GMime's start, and line ends. */
#include <pthread.h>
#include <string.h>
#include "mg_mime.h"
#include "mime_internal.h"

static GMimeParserOptions *options;
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

char *mg_mime_crlf(const char *bytes, apr_size_t len, apr_size_t *pout_len,
                   apr_pool_t *p)
{
    apr_size_t i, ends = 0;
    char *out, *o;

    for (i = 0; i < len; i++)
        ends += bytes[i] == '\n' || bytes[i] == '\r';
    o = out = apr_palloc(p, len + ends + 1);
    for (i = 0; i < len; i++) {
        if (bytes[i] != '\n' && bytes[i] != '\r') {
            *o++ = bytes[i];
            continue;
        }
        if (bytes[i] == '\r' && i + 1 < len && bytes[i + 1] == '\n')
            i++;
        *o++ = '\r';
        *o++ = '\n';
    }
    *o = '\0';
    *pout_len = (apr_size_t)(o - out);
    return out;
}
