/* mg_text.c - UTF-8 (RFC 3629), hex, base64url (RFC 4648), sizes, times. */
#include "mg_text.h"
#include "mg_status.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

/* Octets of the character at s, 0 if it is none; then *pbad is how many of
 * them one U+FFFD stands for. NUL counts as none. */
static apr_size_t utf8_char(const unsigned char *s, apr_size_t left,
                            apr_size_t *pbad)
{
    unsigned char low = 0x80, high = 0xbf;
    apr_size_t n, i;

    *pbad = 1;
    if (s[0] < 0x80)
        return s[0] != 0;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] == 0xe0)
        low = 0xa0;             /* no overlong forms */
    else if (s[0] == 0xed)
        high = 0x9f;            /* no surrogates */
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;            /* no more than U+10FFFF */
    for (i = 1; i < n; i++) {
        if (i >= left || s[i] < low || s[i] > high) {
            *pbad = i;
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return n;
}

/* Eight octets at a time while none is 0 or over 127: most text is ASCII. */
static apr_size_t ascii_span(const unsigned char *s, apr_size_t len)
{
    const apr_uint64_t high = 0x8080808080808080u, one = 0x0101010101010101u;
    apr_uint64_t word;
    apr_size_t i;

    for (i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
        memcpy(&word, s + i, sizeof(word));
        if ((word | (word - one)) & high)
            break;
    }
    return i;
}

/* Octets of s that are good from its beginning. */
static apr_size_t utf8_span(const char *s, apr_size_t len)
{
    const unsigned char *u = (const unsigned char *)s;
    apr_size_t i = 0, n, bad;

    for (;;) {
        i += ascii_span(u + i, len - i);
        if (i >= len || (n = utf8_char(u + i, len - i, &bad)) == 0)
            return i;
        i += n;
    }
}

/* In octets below 0x80, +0x60 sets the high bit from 0x20 on, +1 that of DEL. */
apr_size_t mg_text_printable_span(const char *s, apr_size_t len)
{
    const apr_uint64_t high = 0x8080808080808080u, one = 0x0101010101010101u;
    apr_uint64_t word;
    apr_size_t i;

    for (i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
        memcpy(&word, s + i, sizeof(word));
        if (((word | (word + one)) & high) || (~(word + 0x60 * one) & high))
            break;
    }
    return i;
}

int mg_text_has_eight_bit(const char *s, apr_size_t len)
{
    apr_uint64_t all = 0, word;
    apr_size_t i;

    for (i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
        memcpy(&word, s + i, sizeof(word));
        all |= word;
    }
    for (; i < len; i++)
        all |= (unsigned char)s[i];
    return (all & 0x8080808080808080u) != 0;
}

int mg_text_is_utf8(const char *s, apr_size_t len)
{
    return utf8_span(s, len) == len;
}

const char *mg_text_clean(const char *s, apr_size_t len, apr_pool_t *p)
{
    apr_size_t from, to, bad;
    char *out;

    if (!s)
        return NULL;
    from = utf8_span(s, len);
    if (from == len)
        return apr_pstrmemdup(p, s, len);
    out = apr_palloc(p, from + (len - from) * 3 + 1);
    memcpy(out, s, from);
    to = from;
    while (from < len) {
        apr_size_t n = utf8_char((const unsigned char *)s + from, len - from,
                                 &bad);
        memcpy(out + to, n ? s + from : "\xef\xbf\xbd", n ? n : 3);
        to += n ? n : 3;
        from += n ? n : bad;
    }
    out[to] = '\0';
    return out;
}

char *mg_text_lower(const char *s, apr_pool_t *p)
{
    char *out = apr_pstrdup(p, s), *c;

    for (c = out; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 32);
    return out;
}

int mg_text_breaks_header(const char *s, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; i++)
        if (s[i] == '\r' || s[i] == '\n' || s[i] == '\0')
            return 1;
    return 0;
}

char *mg_text_hex(const void *data, apr_size_t len, apr_pool_t *p)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = data;
    char *out = apr_palloc(p, len * 2 + 1);
    apr_size_t i;

    for (i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[len * 2] = '\0';
    return out;
}

char *mg_text_base64url(const void *data, apr_size_t len, apr_pool_t *p)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *in = data;
    char *out = apr_palloc(p, (len + 2) / 3 * 4 + 1), *to = out;
    apr_size_t i, k;

    for (i = 0; i < len; i += 3) {
        apr_size_t n = len - i < 3 ? len - i : 3;
        apr_uint32_t bits = (apr_uint32_t)in[i] << 16;

        if (n > 1)
            bits |= (apr_uint32_t)in[i + 1] << 8;
        if (n > 2)
            bits |= in[i + 2];
        for (k = 0; k <= n; k++)
            *to++ = letters[bits >> (18 - 6 * k) & 63];
    }
    *to = '\0';
    return out;
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int mg_text_unbase64url(void *out, apr_size_t room, const char *text)
{
    unsigned char *to = out;
    apr_uint32_t bits = 0;
    apr_size_t n = 0;
    int have = 0;

    for (; *text; text++) {
        int six = sextet(*text);

        if (six < 0)
            return -1;
        bits = (bits << 6 | (apr_uint32_t)six) & 0xfff;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        if (n == room)
            return -1;
        to[n++] = (unsigned char)(bits >> have);
    }
    return have < 6 && !(bits & ((1u << have) - 1)) ? (int)n : -1;
}

int mg_text_same_secret(const void *a, const void *b, apr_size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

int mg_text_bool(const char *s)
{
    static const char *const yes[] = { "yes", "true", "1", "on" };
    static const char *const no[] = { "no", "false", "0", "off", "" };
    apr_size_t i;

    for (i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        if (strcasecmp(s, yes[i]) == 0)
            return 1;
    for (i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        if (strcasecmp(s, no[i]) == 0)
            return 0;
    return -1;
}

/* Digits from *ps on; at least one. */
static apr_status_t read_digits(apr_int64_t *pn, const char **ps)
{
    const char *s = *ps;
    apr_int64_t n = 0;

    if (!apr_isdigit(*s))
        return MG_EBADINPUT;
    for (; apr_isdigit(*s); s++) {
        if (n > (APR_INT64_MAX - 9) / 10)
            return MG_EBADINPUT;
        n = n * 10 + (*s - '0');
    }
    *pn = n;
    *ps = s;
    return APR_SUCCESS;
}

apr_status_t mg_text_size(apr_int64_t *pbytes, const char *s)
{
    static const char units[] = "kmgt";
    const char *unit;
    apr_int64_t n;
    int shift = 0;

    if (!s || read_digits(&n, &s) != APR_SUCCESS)
        return MG_EBADINPUT;
    if (*s) {
        unit = strchr(units, apr_tolower(*s));
        if (!unit)
            return MG_EBADINPUT;
        shift = 10 * (int)(unit - units + 1);
        s++;
        if (*s == 'b' || *s == 'B')
            s++;
    }
    if (*s || n > APR_INT64_MAX >> shift)
        return MG_EBADINPUT;
    *pbytes = n << shift;
    return APR_SUCCESS;
}

apr_status_t mg_text_thousandths(int *pn, const char *s)
{
    int minus = *s == '-', places = 0, n = 0;

    if (minus || *s == '+')
        s++;
    if (!apr_isdigit(*s))
        return MG_EBADINPUT;
    for (; apr_isdigit(*s); s++) {
        n = n * 10 + (*s - '0');
        if (n > 1000000)
            return MG_EBADINPUT;
    }
    if (*s == '.' && apr_isdigit(s[1]))
        for (s++; apr_isdigit(*s); s++)
            if (places < 3) {
                n = n * 10 + (*s - '0');
                places++;
            }
    if (*s)
        return MG_EBADINPUT;
    for (; places < 3; places++)
        n *= 10;
    *pn = minus ? -n : n;
    return APR_SUCCESS;
}

apr_status_t mg_text_duration(apr_interval_time_t *pt, const char *s)
{
    static const struct {
        const char *name;
        apr_interval_time_t unit;
    } units[] = {
        { "ms", 1000 }, { "s", APR_INT64_C(1000000) },
        { "m", APR_INT64_C(60000000) }, { "h", APR_INT64_C(3600000000) },
        { "d", APR_INT64_C(86400000000) }, { "w", APR_INT64_C(604800000000) },
    };
    apr_interval_time_t total = 0;
    int parts = 0;

    do {
        apr_size_t i, len = 0;
        apr_int64_t n;

        if (!s || read_digits(&n, &s) != APR_SUCCESS)
            return MG_EBADINPUT;
        while (apr_isalpha(s[len]))
            len++;
        for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
            if (strlen(units[i].name) == len
                && strncasecmp(s, units[i].name, len) == 0)
                break;
        if (len == 0 && parts == 0 && !*s)
            i = 1; /* a bare number is seconds */
        if (i == sizeof(units) / sizeof(units[0])
            || n > (APR_INT64_MAX - total) / units[i].unit)
            return MG_EBADINPUT;
        total += n * units[i].unit;
        s += len;
        parts++;
    } while (*s);
    *pt = total;
    return APR_SUCCESS;
}
