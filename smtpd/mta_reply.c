/* mta_reply.c - replies of remote servers (RFC 5321 4.2, RFC 2034, 3463). */
#include <apr_lib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mg_status.h"
#include "mta_reply.h"

void mta_reply_clear(mta_reply_t *reply)
{
    reply->code = 0;
    reply->lines = 0;
    reply->enhanced[0] = '\0';
    reply->len = 0;
    reply->text[0] = '\0';
}

int mta_reply_class(const mta_reply_t *reply)
{
    return reply->code / 100;
}

static void add_text(mta_reply_t *reply, const char *s, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len && reply->len < MTA_REPLY_TEXT; i++) {
        unsigned char c = (unsigned char)s[i];

        reply->text[reply->len++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    reply->text[reply->len] = '\0';
}

/* class "." subject "." detail, 1 to 3 digits each, then a space or the end;
 * its class must be the code's (RFC 2034 4). */
static apr_size_t enhanced_len(const char *s, apr_size_t len, int class)
{
    apr_size_t i = 1;
    int part;

    if (len < 5 || s[0] != '0' + class)
        return 0;
    for (part = 0; part < 2; part++) {
        apr_size_t digits = 0;

        if (i >= len || s[i] != '.')
            return 0;
        i++;
        while (i < len && apr_isdigit(s[i]) && digits < 4) {
            i++;
            digits++;
        }
        if (digits == 0 || digits > 3)
            return 0;
    }
    return i == len || s[i] == ' ' ? i : 0;
}

static int code_of(const char *line, apr_size_t len)
{
    if (len < 3 || line[0] < '2' || line[0] > '5' || !apr_isdigit(line[1])
        || !apr_isdigit(line[2]))
        return 0;
    if (len > 3 && line[3] != ' ' && line[3] != '-')
        return 0;
    return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

apr_status_t mta_reply_add(mta_reply_t *reply, const char *line,
                           apr_size_t len, const char **pwords)
{
    int code = code_of(line, len);
    const char *words = line + (len > 3 ? 4 : 3);
    apr_size_t words_len = len > 4 ? len - 4 : 0, n;
    int last;

    if (code == 0 || (reply->lines > 0 && code != reply->code))
        return MG_EBADINPUT;
    if (len > MTA_REPLY_LINE || reply->lines >= MTA_REPLY_LINES)
        return MG_ELIMIT;
    last = len == 3 || line[3] == ' ';
    if (pwords)
        *pwords = words;

    n = enhanced_len(words, words_len, code / 100);
    if (reply->lines++ == 0) {
        reply->code = code;
        add_text(reply, line, 3);
        if (n > 0) {
            memcpy(reply->enhanced, words, n);
            reply->enhanced[n] = '\0';
            add_text(reply, " ", 1);
            add_text(reply, words, n);
        }
    }
    words += n;
    words_len -= n;
    while (words_len > 0 && *words == ' ') {
        words++;
        words_len--;
    }
    if (words_len > 0) {
        add_text(reply, " ", 1);
        add_text(reply, words, words_len);
    }
    return last ? APR_SUCCESS : APR_INCOMPLETE;
}

void mta_reply_set(mta_reply_t *reply, const char *fmt, ...)
{
    char text[MTA_REPLY_TEXT + 1];
    apr_size_t len, n;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    mta_reply_clear(reply);
    len = strlen(text);
    reply->code = code_of(text, len);
    reply->lines = 1;
    if (len > 4) {
        n = enhanced_len(text + 4, len - 4, reply->code / 100);
        memcpy(reply->enhanced, text + 4, n);
        reply->enhanced[n] = '\0';
    }
    add_text(reply, text, len);
}
