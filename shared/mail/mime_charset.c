/* mime_charset.c - text of any charset as UTF-8.
 *
 * Mail lies about its charset. What is valid UTF-8 in spite of "us-ascii" or
 * no name at all is taken as that; ISO-8859-1 is read as Windows' superset, as
 * browsers do; bytes that no charset explains become U+FFFD. Nothing is lost
 * for want of a name.
 */
#include <apr_strings.h>
#include <ctype.h>
#include <iconv.h>
#include <string.h>
#include "mg_text.h"
#include "mime_internal.h"

/* what mail calls them, what is meant (WHATWG Encoding, 4.2) */
static const char *const aliases[][2] = {
    { "iso-8859-1", "WINDOWS-1252" },  { "latin1", "WINDOWS-1252" },
    { "iso8859-1", "WINDOWS-1252" },   { "iso-8859-9", "WINDOWS-1254" },
    { "gb2312", "GB18030" },           { "gbk", "GB18030" },
    { "x-gbk", "GB18030" },            { "ks_c_5601-1987", "CP949" },
    { "euc-kr", "CP949" },             { "shift_jis", "CP932" },
    { "shift-jis", "CP932" },          { "x-sjis", "CP932" },
    { "iso-8859-8-i", "ISO-8859-8" },  { "unicode-1-1-utf-7", "UTF-7" },
    { "x-unknown", "" },               { "unknown-8bit", "" },
    { "default", "" },                 { "us-ascii", "" },
    { "ascii", "" },                   { "utf-8", "" },
    { "utf8", "" },
};

/* NULL or "": guess. The name goes to iconv_open(), so no '/' gets there. */
static const char *real_charset(const char *charset)
{
    const char *c;
    apr_size_t i;

    if (charset == NULL || strlen(charset) > 40)
        return "";
    for (c = charset; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("-_.:+", *c))
            return "";
    }
    for (i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (strcasecmp(charset, aliases[i][0]) == 0)
            return aliases[i][1];
    }
    return charset;
}

/* All of it, with U+FFFD where a byte does not fit. NULL: no such charset. */
static char *convert(const char *charset, const char *bytes, apr_size_t len,
                     apr_size_t *pout_len, apr_pool_t *p)
{
    iconv_t cd = iconv_open("UTF-8", charset);
    apr_size_t size = len + len / 2 + 64, used = 0;
    char *in = (char *)(size_t)bytes, *out, *larger;
    int flush = 0;

    if (cd == (iconv_t)-1)
        return NULL;
    out = apr_palloc(p, size);
    for (;;) {
        size_t left = size - used - 4;
        char *to = out + used;
        size_t rc = flush ? iconv(cd, NULL, NULL, &to, &left)
                          : iconv(cd, &in, &len, &to, &left);

        used = (apr_size_t)(to - out);
        if (rc != (size_t)-1) {
            if (flush)
                break;
            flush = 1;
        }
        else if (errno == E2BIG) {
            larger = apr_palloc(p, size * 2);
            memcpy(larger, out, used);
            out = larger;
            size *= 2;
        }
        else if (flush || len == 0) {
            break;
        }
        else {
            memcpy(out + used, "\xef\xbf\xbd", 3);
            used += 3;
            in++;
            len--;
            if (size - used < 64) {
                larger = apr_palloc(p, size * 2);
                memcpy(larger, out, used);
                out = larger;
                size *= 2;
            }
        }
    }
    iconv_close(cd);
    *pout_len = used;
    return out;
}

/* Is any character of more than one octet there? Then it is UTF-8 that was
 * damaged, and not another charset. */
static int has_long_character(const char *bytes, apr_size_t len)
{
    apr_size_t i, n, k;

    for (i = 0; i + 1 < len; i++) {
        unsigned char c = (unsigned char)bytes[i];

        n = c >= 0xf0 && c <= 0xf4 ? 4 : c >= 0xe0 && c < 0xf0 ? 3
            : c >= 0xc2 && c < 0xe0 ? 2 : 0;
        for (k = 1; n && k < n && i + k < len
                    && ((unsigned char)bytes[i + k] & 0xc0) == 0x80; k++)
            ;
        if (n && k == n)
            return 1;
    }
    return 0;
}

const char *mime_to_utf8(const char *charset, const char *bytes,
                         apr_size_t len, apr_pool_t *p)
{
    const char *name = real_charset(charset);
    char *text = NULL;

    if (*name == '\0' && !mg_text_is_utf8(bytes, len)
        && memchr(bytes, 0, len) == NULL)
        name = charset && strncasecmp(charset, "utf", 3) == 0
                       && has_long_character(bytes, len)
                   ? "" : "WINDOWS-1252";
    if (*name)
        text = convert(name, bytes, len, &len, p);
    if (text == NULL && *name && !mg_text_is_utf8(bytes, len))
        text = convert("WINDOWS-1252", bytes, len, &len, p);
    return mg_text_clean(text ? text : bytes, len, p);
}

int mime_is_utf8_name(const char *charset)
{
    return charset == NULL || strcasecmp(charset, "utf-8") == 0
           || strcasecmp(charset, "us-ascii") == 0;
}

/* Where an octet of ASCII may be half of another character, line ends and
 * transfer encodings of text do not work. */
static int stands_among_ascii(const char *charset)
{
    return strncasecmp(charset, "utf-", 4) != 0
           && strncasecmp(charset, "utf1", 4) != 0
           && strncasecmp(charset, "utf3", 4) != 0
           && strncasecmp(charset, "ucs", 3) != 0
           && strncasecmp(charset, "iso-10646", 9) != 0
           && strncasecmp(charset, "unicode", 7) != 0;
}

char *mime_from_utf8(const char *charset, const char *text, apr_size_t len,
                     apr_size_t *plen, apr_pool_t *p)
{
    char *in = (char *)(size_t)text, *out, *to;
    size_t left = len * 4 + 64, rc;
    iconv_t cd;

    if (*real_charset(charset) == '\0' || !stands_among_ascii(charset)
        || len > 16 * 1024 * 1024)
        return NULL;
    cd = iconv_open(charset, "UTF-8");
    if (cd == (iconv_t)-1)
        return NULL;
    to = out = apr_palloc(p, left);
    rc = iconv(cd, &in, &len, &to, &left);
    if (rc == 0) /* more: characters were replaced by others */
        rc = iconv(cd, NULL, NULL, &to, &left);
    iconv_close(cd);
    *plen = (apr_size_t)(to - out);
    return rc == 0 ? out : NULL;
}
