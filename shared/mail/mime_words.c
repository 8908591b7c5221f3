/* mime_words.c - encoded words (RFC 2047), read.
 *
 *   encoded-word = "=?" charset ["*" language] "?" encoding "?" text "?="
 *
 * GMime loses what follows padding where words stand next to each other
 * ("=?utf-8?b?YQ==?= =?utf-8?b?Yg==?="), and such subjects are common: each
 * word is decoded here, and the bytes of neighbours are joined before their
 * charset is read, because some senders cut in the middle of a character.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include "mime_internal.h"

#define CHARSET_MAX 40
#define WORD_TEXT_MAX 4096   /* RFC 2047 says 75; some write one word only */

typedef struct {
    const char *charset, *text, *end;  /* end: behind "?=" */
    apr_size_t charset_len, len;
    char encoding;                     /* 'b' or 'q' */
} word_t;

static int read_word(word_t *w, const char *s)
{
    apr_size_t left;

    w->charset = s + 2;
    w->charset_len = strcspn(w->charset, "?* \t");
    s = w->charset + w->charset_len;
    if (w->charset_len == 0 || w->charset_len > CHARSET_MAX)
        return 0;
    if (*s == '*')
        s += strcspn(s, "? \t");
    if (s[0] != '?' || s[1] == '\0' || s[2] != '?')
        return 0;
    w->encoding = (char)apr_tolower(s[1]);
    if (w->encoding != 'b' && w->encoding != 'q')
        return 0;
    w->text = s + 3;
    left = strnlen(w->text, WORD_TEXT_MAX);
    s = memmem(w->text, left, "?=", 2);
    if (s == NULL)
        return 0;
    w->len = (apr_size_t)(s - w->text);
    w->end = s + 2;
    return 1;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)apr_toupper(c);
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char *decode_q(char *out, const char *s, apr_size_t len)
{
    const char *end = s + len;

    for (; s < end; s++) {
        if (*s == '=' && end - s >= 3 && hex_value(s[1]) >= 0
            && hex_value(s[2]) >= 0) {
            *out++ = (char)(hex_value(s[1]) << 4 | hex_value(s[2]));
            s += 2;
        }
        else {
            *out++ = *s == '_' ? ' ' : *s;
        }
    }
    return out;
}

static char *decode_b(char *out, const char *s, apr_size_t len)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "abcdefghijklmnopqrstuvwxyz0123456789+/";
    apr_uint32_t bits = 0;
    int have = 0;

    for (; len; s++, len--) {
        const char *at = *s ? strchr(alphabet, *s) : NULL;

        if (at == NULL)
            continue;
        bits = bits << 6 | (apr_uint32_t)(at - alphabet);
        have += 6;
        if (have >= 8) {
            have -= 8;
            *out++ = (char)(bits >> have);
        }
    }
    return out;
}

static const char *skip_blanks(const char *s)
{
    return s + strspn(s, " \t\r\n");
}

/* All words from s on that stand next to each other, as UTF-8. *pend: behind
 * the last. NULL: there is none at s. */
static const char *read_run(const char *s, const char **pend, int *pwords,
                            apr_pool_t *p)
{
    apr_array_header_t *texts;  /* a field may have thousands of charsets */
    word_t w, next;

    *pwords = 0;
    if (!read_word(&next, s))
        return NULL;
    texts = apr_array_make(p, 2, sizeof(const char *));
    do {
        char *bytes, *o, *charset;
        const char *first = next.charset;
        apr_size_t first_len = next.charset_len, size = 0;
        word_t ahead = next;

        /* how much the words of one charset are, then their bytes */
        do {
            size += ahead.len;
            s = skip_blanks(ahead.end);
        } while (s[0] == '=' && s[1] == '?' && read_word(&ahead, s)
                 && ahead.charset_len == first_len
                 && strncasecmp(ahead.charset, first, first_len) == 0);
        o = bytes = apr_palloc(p, size + 1);
        do {
            w = next;
            *pwords += 1;
            o = w.encoding == 'q' ? decode_q(o, w.text, w.len)
                                  : decode_b(o, w.text, w.len);
            s = skip_blanks(w.end);
            if (s[0] != '=' || s[1] != '?' || !read_word(&next, s)) {
                s = NULL;
                break;
            }
        } while (next.charset_len == first_len
                 && strncasecmp(next.charset, first, first_len) == 0);
        charset = apr_pstrmemdup(p, first, first_len);
        APR_ARRAY_PUSH(texts, const char *) =
            mime_to_utf8(charset, bytes, (apr_size_t)(o - bytes), p);
    } while (s);
    *pend = w.end;
    return apr_array_pstrcat(p, texts, 0);
}

static void push_text(apr_array_header_t *out, const char *s, const char *end,
                      apr_pool_t *p)
{
    if (end > s)
        APR_ARRAY_PUSH(out, const char *) =
            mime_to_utf8(NULL, s, (apr_size_t)(end - s), p);
}

const char *mime_decode_words(const char *raw, apr_pool_t *p)
{
    apr_array_header_t *out = apr_array_make(p, 8, sizeof(const char *));
    const char *s = raw, *plain = raw, *end, *text;
    int words;

    while ((s = strstr(s, "=?")) != NULL) {
        text = read_run(s, &end, &words, p);
        if (text == NULL) {
            s += 2;
            continue;
        }
        push_text(out, plain, s, p);
        APR_ARRAY_PUSH(out, const char *) = text;
        s = plain = end;
    }
    push_text(out, plain, plain + strlen(plain), p);
    return apr_array_pstrcat(p, out, 0);
}

const char *mime_merge_words(const char *raw, apr_pool_t *p)
{
    apr_array_header_t *out;
    const char *s = raw, *plain = raw, *end, *text;
    int words;

    if (strstr(raw, "=?") == NULL)
        return raw;
    out = apr_array_make(p, 8, sizeof(const char *));
    while ((s = strstr(s, "=?")) != NULL) {
        text = read_run(s, &end, &words, p);
        if (text && words > 1) {
            char *encoded = apr_palloc(p, strlen(text) * 4 / 3 + 8);

            mime_base64(encoded, text, strlen(text));
            APR_ARRAY_PUSH(out, const char *) =
                apr_pstrmemdup(p, plain, (apr_size_t)(s - plain));
            APR_ARRAY_PUSH(out, const char *) =
                apr_pstrcat(p, "=?utf-8?b?", encoded, "?=", NULL);
            plain = end;
        }
        s = text ? end : s + 2;
    }
    APR_ARRAY_PUSH(out, const char *) = plain;
    return apr_array_pstrcat(p, out, 0);
}
