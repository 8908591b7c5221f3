/* mime_body.c - which content-transfer-encoding, and text in it (RFC 2045 6.7
 * and 6.8) by GMime's encoders.
 *
 * 8bit is never chosen: a server on the way that lacks 8BITMIME would have to
 * change the message, and the signature on it would break.
 */
#include <openssl/evp.h>
#include <string.h>
#include "mg_text.h"
#include "mime_internal.h"

#define LINE_MAX_OCTETS 998

const char *mime_encoding_name(mime_encoding_t encoding)
{
    static const char *const names[] = { "7bit", "quoted-printable",
                                         "base64" };
    return names[encoding];
}

GMimeContentEncoding mime_encoding_gmime(mime_encoding_t encoding)
{
    static const GMimeContentEncoding encodings[] = {
        GMIME_CONTENT_ENCODING_7BIT, GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE,
        GMIME_CONTENT_ENCODING_BASE64
    };
    return encodings[encoding];
}

/* GMime's own choice looks at ended lines only: one that is not may be longer
 * than any server takes. */
mime_encoding_t mime_best_encoding(const char *text, apr_size_t len,
                                   int *pascii)
{
    apr_size_t line = 0, longest = 0, high = 0, control = 0;
    const unsigned char *c = (const unsigned char *)text, *end = c + len;

    for (; c < end; c++) {
        apr_size_t plain = mg_text_printable_span((const char *)c,
                                                  (apr_size_t)(end - c));

        c += plain;
        line += plain;
        if (c == end)
            break;
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

void mime_put_text(mime_sink_t *sink, const char *text, apr_size_t len,
                   mime_encoding_t encoding)
{
    GMimeStream *out, *encoded;
    GMimeFilter *filter;

    text = mg_mime_crlf(text, len, &len, sink->p);
    if (encoding == MIME_7BIT) {
        mime_put(sink, text, len);
    }
    else {
        out = mime_stream_to_sink(sink);
        encoded = g_mime_stream_filter_new(out);
        filter = g_mime_filter_basic_new(mime_encoding_gmime(encoding), TRUE);
        g_mime_stream_filter_add(GMIME_STREAM_FILTER(encoded), filter);
        g_object_unref(filter);
        filter = g_mime_filter_unix2dos_new(FALSE);
        g_mime_stream_filter_add(GMIME_STREAM_FILTER(encoded), filter);
        g_object_unref(filter);
        g_mime_stream_write(encoded, text, len);
        g_mime_stream_flush(encoded);
        g_object_unref(encoded);
        g_object_unref(out);
    }
    if (len && encoding != MIME_BASE64 && text[len - 1] != '\n')
        mime_put(sink, "\r\n", 2);
}
