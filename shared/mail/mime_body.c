/* mime_body.c - content-transfer-encodings, RFC 2045 6.7 and 6.8.
 *
 * 8bit is never chosen: a server on the way that lacks 8BITMIME would have to
 * change the message, and the signature on it would break.
 */
#include <openssl/evp.h>
#include <string.h>
#include "mg_status.h"
#include "mime_internal.h"

#define LINE_MAX_OCTETS 998
#define QP_LINE 76

const char *mime_encoding_name(mime_encoding_t encoding)
{
    static const char *const names[] = { "7bit", "quoted-printable",
                                         "base64" };
    return names[encoding];
}

mime_encoding_t mime_best_encoding(const char *text, apr_size_t len,
                                   int *pascii)
{
    apr_size_t line = 0, longest = 0, high = 0, control = 0;
    const unsigned char *c = (const unsigned char *)text, *end = c + len;

    for (; c < end; c++) {
        line++;
        if (*c >= 0x20 && *c < 0x7f)
            continue;
        if (*c == '\n' || *c == '\r') {
            if (line > longest)
                longest = line;
            line = 0;
        }
        else if (*c >= 0x80) {
            high++;
        }
        else if (*c != '\t') {
            control++;
        }
    }
    if (line > longest)
        longest = line;
    *pascii = high == 0;
    if (high + control == 0 && longest <= LINE_MAX_OCTETS + 1)
        return MIME_7BIT;
    /* QP costs 3 octets for each, base64 4 for 3: but QP can be read */
    return (high + control) * 6 > len ? MIME_BASE64 : MIME_QP;
}

int mime_base64(char *out, const void *bytes, apr_size_t len)
{
    return EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

void mime_put_base64(mime_sink_t *sink, const void *bytes, apr_size_t len)
{
    const unsigned char *from = bytes;
    char out[50 * 78 + 1]; /* lines of 57 octets are 76 characters */
    apr_size_t used = 0;

    while (len) {
        apr_size_t n = len > 57 ? 57 : len;

        used += (apr_size_t)mime_base64(out + used, from, n);
        out[used++] = '\r';
        out[used++] = '\n';
        from += n;
        len -= n;
        if (used > sizeof(out) - 79 || len == 0) {
            mime_put(sink, out, used);
            used = 0;
        }
    }
}

apr_status_t mime_put_file_base64(mime_sink_t *sink, apr_file_t *file,
                                  apr_off_t offset, apr_size_t len)
{
    char buf[57 * 512];
    apr_status_t rv;
    apr_size_t n;

    rv = apr_file_seek(file, APR_SET, &offset);
    for (; rv == APR_SUCCESS && sink->rv == APR_SUCCESS && len; len -= n) {
        n = len < sizeof(buf) ? len : sizeof(buf);
        rv = apr_file_read_full(file, buf, n, NULL);
        if (rv == APR_SUCCESS)
            mime_put_base64(sink, buf, n);
    }
    return APR_STATUS_IS_EOF(rv) ? MG_EIO : rv;
}

/* One line of text, without its end, in quoted-printable. */
static void put_qp_line(mime_sink_t *sink, const char *s, apr_size_t len)
{
    static const char hex[] = "0123456789ABCDEF";
    char out[QP_LINE + 8];
    apr_size_t used = 0, i;

    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        int last = i + 1 == len;
        int plain = (c > 0x20 && c < 0x7f && c != '=')
                    || ((c == ' ' || c == '\t') && !last);

        /* "From " and a lone dot get mangled by old hands on the way */
        if (used == 0 && ((c == 'F' && len - i >= 5
                           && memcmp(s + i, "From ", 5) == 0)
                          || (c == '.' && last)))
            plain = 0;
        if (used + (plain ? 1 : 3) > QP_LINE - 1) {
            memcpy(out + used, "=\r\n", 3);
            mime_put(sink, out, used + 3);
            used = 0;
            i--;
            continue;
        }
        if (plain) {
            out[used++] = (char)c;
        }
        else {
            out[used++] = '=';
            out[used++] = hex[c >> 4];
            out[used++] = hex[c & 15];
        }
    }
    memcpy(out + used, "\r\n", 2);
    mime_put(sink, out, used + 2);
}

static void put_lines(mime_sink_t *sink, const char *text, apr_size_t len,
                      int qp)
{
    const char *s = text, *end = text + len, *eol;
    const char *lf = NULL; /* the next LF; looked for once */

    while (s < end) {
        if (lf < s && (lf = memchr(s, '\n', (apr_size_t)(end - s))) == NULL)
            lf = end;
        eol = memchr(s, '\r', (apr_size_t)(lf - s));
        if (eol == NULL)
            eol = lf;
        if (qp) {
            put_qp_line(sink, s, (apr_size_t)(eol - s));
        }
        else {
            mime_put(sink, s, (apr_size_t)(eol - s));
            mime_put(sink, "\r\n", 2);
        }
        if (eol < end && *eol == '\r' && eol + 1 < end && eol[1] == '\n')
            eol++;
        s = eol + 1;
    }
}

void mime_put_text(mime_sink_t *sink, const char *text, apr_size_t len,
                   mime_encoding_t encoding)
{
    if (encoding == MIME_BASE64) {
        /* what is encoded has CRLF line ends (RFC 2045 6.8) */
        text = mg_mime_crlf(text, len, &len, sink->p);
        mime_put_base64(sink, text, len);
        return;
    }
    put_lines(sink, text, len, encoding == MIME_QP);
}
