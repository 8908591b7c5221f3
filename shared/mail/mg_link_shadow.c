/* mg_link_shadow.c - a text's ASCII, whatever its charset. */
#include <apr_strings.h>
#include <iconv.h>
#include <string.h>
#include <strings.h>

#include "mg_link.h"
#include "mime_internal.h"

#define HIDDEN 0x7f
#define ESC 0x1b
#define SHIFT_OUT 0x0e
#define SHIFT_IN 0x0f

static int begins(const char *charset, const char *with)
{
    return strncasecmp(charset, with, strlen(with)) == 0;
}

/* The second octet of a character may be one of ASCII's: a letter, [ \ ] ^ ` {
 * | } ~; of GB18030 a digit, too. */
static int has_ascii_tails(const char *charset)
{
    static const char *const names[] = {
        "gb18030", "gbk", "gb2312", "x-gbk", "cp936", "windows-936", "big5",
        "cp950", "windows-950", "ks_c_5601", "cp949", "windows-949", "uhc",
        "johab", "euc-kr", NULL
    };
    int i;

    for (i = 0; names[i]; i++)
        if (begins(charset, names[i]))
            return 1;
    return 0;
}

static int is_shift_jis(const char *charset)
{
    return begins(charset, "shift") || begins(charset, "x-sjis")
           || begins(charset, "sjis") || begins(charset, "cp932")
           || begins(charset, "windows-31j") || begins(charset, "ms_kanji");
}

/* All printable ASCII reads as itself. What iconv does not know is read as
 * Windows-1252 (mime_charset.c), and that does. */
static int is_ascii_superset(const char *charset)
{
    char ascii[96], text[400], *in = ascii, *out = text;
    size_t in_left = 95, out_left = sizeof(text);
    iconv_t cd;
    int i;

    if (begins(charset, "hz"))
        return 0;
    if (strlen(charset) > 40 || strchr(charset, '/'))
        return 1;
    cd = iconv_open("UTF-8", charset);
    if (cd == (iconv_t)-1)
        return 1;
    for (i = 0; i < 95; i++)
        ascii[i] = (char)(' ' + i);
    i = iconv(cd, &in, &in_left, &out, &out_left) != (size_t)-1
        && out - text == 95 && memcmp(ascii, text, 95) == 0;
    iconv_close(cd);
    /* 0x5c and 0x7e are a yen and an overline there, which URLs do not have */
    return i || is_shift_jis(charset);
}

static void hide_high(char *shadow, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; i++)
        if ((unsigned char)shadow[i] > 126 || shadow[i] == '\0')
            shadow[i] = HIDDEN;
}

static void hide_tails(char *shadow, apr_size_t len, int sjis)
{
    unsigned char *s = (unsigned char *)shadow, *end = s + len;

    for (; s < end; s++) {
        if (*s < 0x81 || *s == 0xff || (sjis && *s >= 0xa0 && *s < 0xe0))
            continue;
        if (s + 1 < end && (s[1] >= 0x40 || (s[1] >= '0' && s[1] <= '9'
                                            && !sjis)))
            *++s = HIDDEN;
    }
}

/* How long the escape is, and whether ASCII follows it (RFC 1468, 1554, 1557,
 * ISO 2022). "ESC ( J" is JIS-Roman: ASCII but for the yen and the overline. */
static apr_size_t escape_len(const unsigned char *s, const unsigned char *end,
                             int *pascii)
{
    const unsigned char *c = s + 1;

    while (c < end && *c >= 0x20 && *c <= 0x2f)
        c++;
    if (c < end) {
        if (s[1] == '(')
            *pascii = c == s + 2 && (*c == 'B' || *c == 'J');
        else if (s[1] == '$' && c == s + 1 + 1)
            *pascii = 0;
        else if (s[1] == '$' && s[2] == '(')
            *pascii = 0;
        c++;
    }
    return (apr_size_t)(c - s);
}

static int hide_2022(char *shadow, apr_size_t len)
{
    unsigned char *s = (unsigned char *)shadow, *end = s + len;
    int ascii = 1, shifted = 0;
    apr_size_t n;

    while (s < end) {
        if (*s == ESC) {
            n = escape_len(s, end, &ascii);
            memset(s, HIDDEN, n);
            s += n;
            continue;
        }
        if (*s == SHIFT_OUT || *s == SHIFT_IN)
            shifted = *s == SHIFT_OUT;
        if (!ascii || shifted || *s == SHIFT_OUT || *s == SHIFT_IN)
            *s = HIDDEN;
        s++;
    }
    return !ascii || shifted;
}

char *mg_link_shadow(int *pshifted, const char *charset, const char *text,
                     apr_size_t len, apr_pool_t *p)
{
    char *shadow;

    *pshifted = 0;
    if (charset && !mime_is_utf8_name(charset) && !is_ascii_superset(charset))
        return NULL;
    shadow = apr_pstrmemdup(p, text, len);
    if (charset && begins(charset, "iso-2022-"))
        *pshifted = hide_2022(shadow, len);
    else if (charset && (has_ascii_tails(charset) || is_shift_jis(charset)))
        hide_tails(shadow, len, is_shift_jis(charset));
    hide_high(shadow, len);
    return shadow;
}
