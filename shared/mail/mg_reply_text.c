/* mg_reply_text.c - quotes in plain text (mg_reply.h).
 *
 * Each line is marked once, from the top:
 *
 *   e  empty       q  begins with ">"      s  says that a quote follows
 *   t  text        f  says that a forwarded message follows
 *
 * Then the marks say what is cut.
 */
#include <string.h>
#include <apr_strings.h>

#include "mg_reply_private.h"

#define LINES_MAX 100000
#define JOINED_LINES 4     /* of one attribution */
#define JOINED_MAX 500     /* octets of it */
#define BLOCK_LINES 8      /* of header fields of a quoted message */

typedef struct {
    reply_line_t *lines;
    char *marks;
    int n;
    apr_pool_t *p;
} text_t;

/* --- lines --- */

static int split(text_t *t, const char *body)
{
    const char *at = body, *end = body + strlen(body);
    int n = 0;

    for (; at < end; n++) {
        const char *next = memchr(at, '\n', (apr_size_t)(end - at));

        at = next ? next + 1 : end;
    }
    if (n > LINES_MAX)
        return 0;
    t->lines = apr_palloc(t->p, sizeof(*t->lines) * (apr_size_t)(n + 1));
    t->marks = apr_pcalloc(t->p, (apr_size_t)n + 1);
    for (at = body; t->n < n; t->n++) {
        const char *next = memchr(at, '\n', (apr_size_t)(end - at));
        reply_line_t *line = &t->lines[t->n];

        line->all.s = at;
        line->all.len = (apr_size_t)((next ? next + 1 : end) - at);
        line->text = reply_trim(line->all);
        at += line->all.len;
    }
    return 1;
}

static int next_filled(const text_t *t, int i)
{
    while (i < t->n && t->lines[i].text.len == 0)
        i++;
    return i;
}

/* --- what says that a quote follows --- */

/* Lines i to i + k in one, no-break spaces as others. */
static int join(reply_span_t *joined, char *buf, const text_t *t, int i, int k)
{
    apr_size_t len = 0, n;
    int last = i + k;

    for (; i <= last; i++) {
        const reply_span_t *s = &t->lines[i].text;

        if (len + s->len + 1 > JOINED_MAX)
            return 0;
        if (len)
            buf[len++] = ' ';
        for (n = 0; n < s->len; n++) {
            if (n + 1 < s->len && (unsigned char)s->s[n] == 0xC2
                && (unsigned char)s->s[n + 1] == 0xA0) {
                buf[len++] = ' ';
                n++;
            }
            else {
                buf[len++] = s->s[n];
            }
        }
    }
    joined->s = buf;
    joined->len = len;
    return 1;
}

static int ends_sentence(reply_span_t s)
{
    return s.len > 1 && strchr("!?", s.s[s.len - 1]) != NULL;
}

/* How many lines from i on say who wrote; 0: they do not. */
static int attribution_at(const text_t *t, int i)
{
    char buf[JOINED_MAX + 1];
    reply_span_t joined;
    int k, starts = reply_says(REPLY_START, t->lines[i].text);

    for (k = 0; k < JOINED_LINES && i + k < t->n; k++) {
        reply_span_t s = t->lines[i + k].text;
        reply_strength_t strength;
        int next;

        if (s.len == 0 || s.s[0] == '>' || (k > 0 && !starts)
            || !join(&joined, buf, t, i, k))
            return 0;
        if (!reply_ends_with_colon(s)) {
            if (ends_sentence(s))
                return 0;
            continue;
        }
        strength = reply_attribution(joined);
        next = next_filled(t, i + k + 1);
        if (strength == REPLY_STRONG
            || (strength == REPLY_WEAK && next < t->n && next <= i + k + 2
                && t->lines[next].text.s[0] == '>'))
            return k + 1;
        if (k > 0)
            return 0;
    }
    return 0;
}

/* How many lines the header fields of a quoted message take from i on. */
static int block_at(const text_t *t, int i)
{
    int k, from = 0, fields = 0, end = i;

    if (!reply_says(REPLY_FROM, t->lines[i].text)
        && !reply_says(REPLY_FIELD, t->lines[i].text))
        return 0;
    for (k = i; k < t->n && k < i + BLOCK_LINES; k++) {
        reply_span_t s = t->lines[k].text;

        if (s.len == 0) {
            if (fields + from >= 3)
                break;
            continue;
        }
        if (reply_says(REPLY_FROM, s))
            from++;
        else if (reply_says(REPLY_FIELD, s))
            fields++;
        else if (k == i || fields + from >= 3)
            break;
        end = k + 1;
    }
    return from == 1 && fields >= 2 ? end - i : 0;
}

static int is_rule(reply_span_t s)
{
    apr_size_t i;

    if (s.len < 5 || !strchr("_-=*", s.s[0]))
        return 0;
    for (i = 1; i < s.len; i++)
        if (s.s[i] != s.s[0])
            return 0;
    return 1;
}

/* How many lines from i on announce a quote. */
static int splitter_at(const text_t *t, int i)
{
    int n = attribution_at(t, i), next;

    if (n == 0)
        n = block_at(t, i);
    if (n > 0)
        return n;
    if (reply_says(REPLY_ORIGINAL, t->lines[i].text))
        return 1;
    if (!is_rule(t->lines[i].text))
        return 0;
    next = next_filled(t, i + 1);
    if (next >= t->n || next > i + 2)
        return 0;
    n = block_at(t, next);
    return n > 0 ? next - i + n : 0;
}

static void mark(text_t *t)
{
    int i = 0, n;

    while (i < t->n) {
        reply_span_t s = t->lines[i].text;

        if (s.len == 0) {
            t->marks[i++] = 'e';
        }
        else if (s.s[0] == '>') {
            t->marks[i++] = 'q';
        }
        else if (reply_says(REPLY_FORWARD, s)) {
            t->marks[i++] = 'f';
            break;
        }
        else if ((n = splitter_at(t, i)) > 0) {
            memset(t->marks + i, 's', (apr_size_t)n);
            i += n;
        }
        else {
            t->marks[i++] = 't';
        }
    }
    if (i < t->n)
        memset(t->marks + i, 't', (apr_size_t)(t->n - i));
}

/* A line that a mail program broke off the quoted one above. */
static void mend_broken_quotes(text_t *t)
{
    int i;

    for (i = 1; i + 1 < t->n; i++)
        if (t->marks[i] == 't' && t->marks[i - 1] == 'q'
            && t->marks[i + 1] == 'q' && t->lines[i].text.len < 60
            && t->lines[i - 1].text.len > 50)
            t->marks[i] = 'q';
}

/* --- what is cut --- */

static int has_mark(const text_t *t, int first, int end, char mark_)
{
    return end > first
           && memchr(t->marks + first, mark_, (apr_size_t)(end - first));
}

static int is_interleaved(const text_t *t)
{
    int i, quote = 0, text = 0;

    for (i = 0; i < t->n && t->marks[i] != 'f'; i++) {
        if (t->marks[i] == 'q') {
            if (text)
                return 1;
            quote = 1;
        }
        else if (t->marks[i] == 't') {
            text = quote;
        }
        else if (t->marks[i] == 's') {
            quote = text = 0; /* another quote begins */
        }
    }
    return 0;
}

/* Behind the last ">" line of the quote that begins at i. */
static int quote_end(const text_t *t, int i)
{
    int last = i;

    for (; i < t->n && strchr("qes", t->marks[i]); i++)
        if (t->marks[i] == 'q')
            last = i + 1;
    return last;
}

/* ">" lines without a word before them. */
static int is_bare_quote(const text_t *t, int begin, int end)
{
    int n = 0, i;

    for (i = begin; i < end; i++)
        n += t->marks[i] == 'q';
    return n >= 3
           || (!has_mark(t, end, t->n, 't')
               && (begin == 0 || t->marks[begin - 1] == 'e'))
           || (!has_mark(t, 0, begin, 't')
               && (end == t->n || t->marks[end] == 'e'));
}

/* Sets the marks of what is cut to 'x'. */
static void cut(text_t *t)
{
    int i = 0, end, splitter;

    while (i < t->n && t->marks[i] != 'f') {
        if (t->marks[i] != 's' && t->marks[i] != 'q') {
            i++;
            continue;
        }
        splitter = t->marks[i] == 's';
        end = quote_end(t, i);
        if (splitter && end == i) {
            /* no ">": all that follows is quoted, if anything was said before;
             * an attribution on top of all says nothing about what is below */
            if (has_mark(t, 0, i, 't') || block_at(t, i) > 0
                || !attribution_at(t, i)) {
                memset(t->marks + i, 'x', (apr_size_t)(t->n - i));
                return;
            }
            i++;
            continue;
        }
        if (splitter || is_bare_quote(t, i, end))
            memset(t->marks + i, 'x', (apr_size_t)(end - i));
        i = end;
    }
}

/* --- the result --- */

static reply_span_t whole(const reply_line_t *lines, int first, int end,
                          apr_pool_t *p)
{
    apr_size_t len = 0;
    reply_span_t out;
    char *buf;
    int i;

    for (i = first; i < end; i++)
        len += lines[i].all.len;
    buf = apr_palloc(p, len + 1);
    for (len = 0, i = first; i < end; i++) {
        memcpy(buf + len, lines[i].all.s, lines[i].all.len);
        len += lines[i].all.len;
    }
    out.s = buf;
    out.len = len;
    return out;
}

static const char *text_of(const reply_line_t *lines, int first, int end,
                           apr_pool_t *p)
{
    reply_span_t span = reply_trim(whole(lines, first, end, p));

    return apr_pstrmemdup(p, span.s, span.len);
}

/* Empty lines that a quote stood between are one. */
static int keep(reply_line_t *kept, const text_t *t)
{
    int i, n = 0;

    for (i = 0; i < t->n; i++) {
        if (t->marks[i] == 'x')
            continue;
        if (t->lines[i].text.len == 0 && i > 0 && t->marks[i - 1] == 'x'
            && n > 0 && kept[n - 1].text.len == 0)
            continue;
        kept[n++] = t->lines[i];
    }
    return n;
}

void mg_reply_strip_text(const char **ptext, const char **psignature,
                         const char *body, const char *from, apr_pool_t *p)
{
    text_t t = { NULL, NULL, 0, p };
    reply_line_t *kept;
    int n, first = 0, begin;

    *psignature = "";
    if (strlen(body) > MG_REPLY_MAX || !split(&t, body)) {
        *ptext = body;
        return;
    }
    mark(&t);
    mend_broken_quotes(&t);
    if (!is_interleaved(&t))
        cut(&t);
    kept = apr_palloc(p, sizeof(*kept) * (apr_size_t)(t.n + 1));
    n = keep(kept, &t);
    /* what is forwarded, or stands between replies, is nobody's signature */
    for (begin = 0; begin < n; begin++)
        if (kept[begin].text.len > 0
            && (kept[begin].text.s[0] == '>'
                || reply_says(REPLY_FORWARD, kept[begin].text)))
            first = begin + 1;
    begin = has_mark(&t, 0, t.n, 'f') ? n
                                      : reply_signature(kept, first, n, from);
    *ptext = text_of(kept, 0, begin, p);
    *psignature = text_of(kept, begin, n, p);
}
