/* mta_reply.c - replies of remote servers (RFC 5321 4.2, RFC 2034, 3463). */
#include <apr_lib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* --- how long to wait --- */

/* The next word of letters or of digits, whatever parts it from the last. */
static const char *next_word(const char **pword, apr_size_t *plen,
                             const char *at)
{
    while (*at && !apr_isalnum(*at))
        at++;
    *pword = at;
    if (apr_isdigit(*at))
        while (apr_isdigit(*at))
            at++;
    else
        while (apr_isalpha(*at))
            at++;
    *plen = (apr_size_t)(at - *pword);
    return at;
}

static int is_word(const char *word, apr_size_t len, const char *const *words)
{
    for (; *words; words++)
        if (strlen(*words) == len && strncasecmp(*words, word, len) == 0)
            return 1;
    return 0;
}

/* @return seconds of the unit, or 0 */
static apr_int64_t unit_of(const char *word, apr_size_t len)
{
    static const char *const seconds[] = { "s", "sec", "secs", "second",
                                           "seconds", NULL };
    static const char *const minutes[] = { "m", "min", "mins", "minute",
                                           "minutes", NULL };
    static const char *const hours[] = { "h", "hr", "hrs", "hour", "hours",
                                         NULL };

    return is_word(word, len, seconds)   ? 1
           : is_word(word, len, minutes) ? 60
           : is_word(word, len, hours)   ? 3600
                                         : 0;
}

/* "4 minutes 30 seconds", from its first word on; 0: no length of time */
static apr_int64_t length_of(const char *at)
{
    apr_int64_t n, unit, total = 0;
    const char *word;
    apr_size_t len;

    for (;;) {
        at = next_word(&word, &len, at);
        if (len == 0 || len > 6 || !apr_isdigit(*word))
            return total;
        n = strtol(word, NULL, 10);
        at = next_word(&word, &len, at);
        unit = unit_of(word, len);
        if (unit == 0)
            return total;
        total += n * unit;
    }
}

apr_interval_time_t mta_reply_wait(const char *text)
{
    static const char *const before[] = { "in", "after", "wait", "for",
                                          "least", "within", NULL };
    apr_int64_t seconds = 0;
    const char *at = text, *word;
    apr_size_t len;

    while (*at && seconds == 0) {
        at = next_word(&word, &len, at);
        if (is_word(word, len, before))
            seconds = length_of(at);
    }
    if (seconds > apr_time_sec(MTA_REPLY_WAIT_MAX))
        return MTA_REPLY_WAIT_MAX;
    return apr_time_from_sec(seconds);
}
