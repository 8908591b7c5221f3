/* mg_reply_signature.c - where the signature of a text begins (mg_reply.h). */
#include <string.h>
#include <strings.h>
#include <apr_lib.h>

#include "mg_reply_private.h"

#define LINES_MAX 12      /* of a signature, empty ones not counted */
#define SHAPE_MAX 8       /* ... that only its shape gives away */
#define LINE_LONG 80      /* characters: no line of a signature */
#define NAME_WORDS 6

static apr_size_t characters(reply_span_t span)
{
    apr_size_t i, n = 0;

    for (i = 0; i < span.len; i++)
        n += ((unsigned char)span.s[i] & 0xC0) != 0x80;
    return n;
}

static int is_long(const reply_line_t *line)
{
    return characters(line->text) > LINE_LONG;
}

/* How many lines from first on have something; -1: one of them is long. */
static int count_short(const reply_line_t *lines, int first, int end)
{
    int n = 0;

    for (; first < end; first++) {
        if (is_long(&lines[first]))
            return -1;
        n += lines[first].text.len > 0;
    }
    return n;
}

static int is_first(const reply_line_t *lines, int first, int i)
{
    for (; first < i; first++)
        if (lines[first].text.len > 0)
            return 0;
    return 1;
}

/* --- "-- " --- */

static int is_rule(reply_span_t s, const char *mark)
{
    apr_size_t n = strlen(mark), i;

    if (s.len < n * 2 || s.len > n * 40 || s.len % n)
        return 0;
    for (i = 0; i < s.len; i += n)
        if (memcmp(s.s + i, mark, n) != 0)
            return 0;
    return 1;
}

static int is_delimiter(reply_span_t s)
{
    return (s.len == 2 && !memcmp(s.s, "--", 2))
           || (s.len == 3 && (!memcmp(s.s, "\xe2\x80\x94", 3)    /* em dash */
                              || !memcmp(s.s, "\xe2\x80\x93", 3)));
}

static int is_soft_delimiter(reply_span_t s)
{
    return is_rule(s, "-") || is_rule(s, "_") || is_rule(s, "\xe2\x80\x94")
           || is_rule(s, "*") || is_rule(s, "=");
}

/* Where the last lines begin that may be a signature. */
static int last_lines(const reply_line_t *lines, int first, int end)
{
    int i, n = 0;

    for (i = end; i > first && n <= 2 * LINES_MAX && end - i < 100; i--)
        n += lines[i - 1].text.len > 0;
    return i;
}

/* The first delimiter behind which there is nothing but a signature: behind
 * "-- " a disclaimer may be part of it. */
static int by_delimiter(const reply_line_t *lines, int first, int end)
{
    int i, n;

    for (i = last_lines(lines, first, end); i < end; i++) {
        if (is_delimiter(lines[i].text))
            return i;
        if (!is_soft_delimiter(lines[i].text) || is_first(lines, first, i))
            continue;
        n = count_short(lines, i + 1, end);
        if (n > 0 && n <= SHAPE_MAX)
            return i;
    }
    return end;
}

/* --- "Sent from my iPhone" --- */

static int by_device(const reply_line_t *lines, int first, int end)
{
    int i, n = 0, found = end;

    for (i = end - 1; i >= first && n < 4; i--) {
        if (lines[i].text.len == 0)
            continue;
        n++;
        if (reply_says(REPLY_DEVICE, lines[i].text))
            found = i;
    }
    return found;
}

/* --- "Best regards," --- */

static int by_closing(const reply_line_t *lines, int first, int end)
{
    int i, n = 0, found = end;

    for (i = end - 1; i >= first && n < LINES_MAX; i--) {
        if (lines[i].text.len == 0)
            continue;
        if (is_long(&lines[i]))
            break;
        n++;
        if (reply_says(REPLY_CLOSING, lines[i].text)
            && !is_first(lines, first, i))
            found = i;
    }
    return found;
}

/* --- by shape --- */

/* The words of a name, at most NAME_WORDS. */
static int words_of(reply_span_t *words, const char *from)
{
    const char *end = strchr(from, '<');
    apr_size_t len = end ? (apr_size_t)(end - from) : 0;
    int n = 0;

    while (len > 0 && n < NAME_WORDS) {
        apr_size_t i = 0;

        while (i < len && !strchr(" \",'()", from[i]))
            i++;
        if (i > 1) {
            words[n].s = from;
            words[n++].len = i;
        }
        i += i < len;
        from += i;
        len -= i;
    }
    return n;
}

static int holds_word(reply_span_t line, reply_span_t word)
{
    apr_size_t i;

    for (i = 0; i + word.len <= line.len; i++) {
        if (strncasecmp(line.s + i, word.s, word.len) == 0
            && (i == 0 || !apr_isalnum(line.s[i - 1]))
            && (i + word.len == line.len
                || !apr_isalnum(line.s[i + word.len])))
            return 1;
    }
    return 0;
}

/* Is the line a name, and the sender's? */
static int is_name(reply_span_t line, const reply_span_t *words, int n)
{
    apr_size_t i, blanks = 0;
    int k;

    for (i = 0; i < line.len; i++)
        blanks += line.s[i] == ' ';
    if (n == 0 || characters(line) > 40 || blanks > 4
        || strchr("?!:;", line.s[line.len - 1]))
        return 0;
    for (k = 0; k < n; k++)
        if (holds_word(line, words[k])
            && line.len <= words[k].len + 30)
            return 1;
    return 0;
}

static int is_prose(reply_span_t line)
{
    char last = line.s[line.len - 1];

    return strchr("?!:", last) != NULL
           || (line.len > 1 && strchr("-*+", line.s[0]) && line.s[1] == ' ')
           || (last == '.' && characters(line) > 45)
           || (apr_isdigit(line.s[0]) && line.len > 1
               && strchr(".)", line.s[1]));
}

/* The last block, behind an empty line. */
static int by_shape(const reply_line_t *lines, int first, int end,
                    const char *from)
{
    reply_span_t words[NAME_WORDS];
    int n = from ? words_of(words, from) : 0, i, contacts = 0, begin;

    while (end > first && lines[end - 1].text.len == 0)
        end--;
    for (begin = end; begin > first && lines[begin - 1].text.len > 0;
         begin--)
        ;
    if (begin == end || begin <= first || is_first(lines, first, begin)
        || end - begin > SHAPE_MAX)
        return end;
    for (i = begin; i < end; i++) {
        if (is_long(&lines[i]) || is_prose(lines[i].text))
            return end;
        contacts += reply_says(REPLY_CONTACT, lines[i].text);
    }
    if (is_name(lines[begin].text, words, n))
        return begin;
    return contacts > 0 && end - begin > 1
                   && !reply_says(REPLY_CONTACT, lines[begin].text)
               ? begin : end;
}

/* --- all --- */

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

int reply_signature(const reply_line_t *lines, int first, int end,
                    const char *from)
{
    int begin, more;

    while (end > first && lines[end - 1].text.len == 0)
        end--;
    begin = smaller(by_delimiter(lines, first, end),
                    by_device(lines, first, end));
    /* what a phone adds stands below what a person wrote */
    more = by_closing(lines, first, begin);
    if (more == begin)
        more = by_shape(lines, first, begin, from);
    return smaller(begin, more);
}
