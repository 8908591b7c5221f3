/* mime_octets.c - octets under a transfer encoding, none of them changed (RFC
 * 2045 6.7, 6.8): what is decoded is what was encoded, line ends too. */
#include <apr_strings.h>
#include <string.h>

#include "mime_internal.h"

#define LINE 76
#define BASE64_LINE 57   /* octets: 76 characters */

static void put_base64(mime_sink_t *sink, const char *bytes, apr_size_t len)
{
    char line[LINE + 4];

    while (len > 0) {
        apr_size_t n = len < BASE64_LINE ? len : BASE64_LINE;
        int chars = mime_base64(line, bytes, n);

        line[chars++] = '\r';
        line[chars++] = '\n';
        mime_put(sink, line, (apr_size_t)chars);
        bytes += n;
        len -= n;
    }
}

/* May it stand there as it is? A blank may not end a line; "--" that begins one
 * looks like a boundary, "From " and "." have been changed on the way. */
static int is_plain(const char *s, const char *end, int begins_line)
{
    unsigned char c = (unsigned char)*s;

    if (begins_line && (c == '-' || c == '.' || c == 'F'))
        return 0;
    if (c == ' ' || c == '\t')
        return s + 1 < end && s[1] != '\r' && s[1] != '\n';
    return c > ' ' && c < 0x7f && c != '=';
}

static void put_qp(mime_sink_t *sink, const char *bytes, apr_size_t len)
{
    static const char hex[] = "0123456789ABCDEF";
    const char *s = bytes, *end = bytes + len;
    char line[LINE + 8];
    apr_size_t n = 0;

    while (s < end) {
        if (*s == '\r' && s + 1 < end && s[1] == '\n') {
            memcpy(line + n, "\r\n", 2);
            mime_put(sink, line, n + 2);
            n = 0;
            s += 2;
            continue;
        }
        if (n > LINE - 4) { /* room for "=XX" and the soft line break */
            memcpy(line + n, "=\r\n", 3);
            mime_put(sink, line, n + 3);
            n = 0;
        }
        if (is_plain(s, end, n == 0)) {
            line[n++] = *s++;
            continue;
        }
        line[n++] = '=';
        line[n++] = hex[(unsigned char)*s >> 4];
        line[n++] = hex[(unsigned char)*s++ & 15];
    }
    mime_put(sink, line, n);
}

void mime_put_octets(mime_sink_t *sink, const char *bytes, apr_size_t len,
                     mime_encoding_t encoding, int is_last)
{
    int ended = len == 0 || bytes[len - 1] == '\n';

    switch (encoding) {
    case MIME_BASE64:
        put_base64(sink, bytes, len);
        return;
    case MIME_QP:
        put_qp(sink, bytes, len);
        if (is_last && !ended)
            mime_puts(sink, "=\r\n"); /* which is no line end of the text */
        return;
    case MIME_7BIT:
        mime_put(sink, bytes, len);
        if (is_last && !ended)
            mime_puts(sink, "\r\n");
        return;
    }
}
