/* mg_pattern.c - regular expressions of customers (mg_pattern.h).
 *
 * Most patterns of routes hold the domain they are for. The longest run of
 * plain characters that every match must have is looked for before PCRE2 is
 * asked: of ten thousand patterns nearly all end there.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "mg_log.h"
#include "mg_pattern.h"
#include "mg_status.h"
#include "mg_text.h"

#define STEPS_MAX 50000
#define DEPTH_MAX 1000
#define HEAP_MAX_KB 1024
#define GROUPS_MAX 100
/* A pattern that gives up so often is not asked again until the routes are read
 * anew: each time costs as much as hundreds that do not. */
#define GIVE_UP_MAX 3
/* Compiling to machine code costs as much as some ten matches. */
#define JIT_AFTER 16

struct mg_pattern_t {
    apr_pool_t *pool;
    const char *text;
    const char *literal;  /* lower case, "." any character: every match has
                             it; NULL: unknown */
    int any_case;
    pcre2_code *code;     /* NULL: not compiled yet, or is_bad */
    int is_bad;
    int uses;             /* until it is worth the JIT compiler's time */
    int gave_up;          /* how often; is_bad at GIVE_UP_MAX */
    apr_uint32_t number;  /* of the subject that was asked about last, */
    int matched;          /* and the answer */
};

/* --- what every match must have --- */

/* A walk over a pattern, character by character, as far as one needs to
 * understand it for this. */
typedef struct {
    const char *at;
    int depth;            /* of groups */
    int lost;             /* there is something that is not understood */
} walk_t;

static void skip_class(walk_t *w)
{
    const char *at = w->at + 1;

    if (*at == '^')
        at++;
    if (*at == ']')
        at++;
    for (; *at && *at != ']'; at++)
        if ((*at == '\\' && !*++at) || *at == '[')
            break; /* [[:alpha:]], or the end */
    if (*at == ']')
        w->at = at + 1;
    else
        w->lost = 1;
}

static void enter_group(walk_t *w)
{
    const char *at = w->at + 1;

    /* (?i) and (?x) change what follows; (*...) is a verb */
    if (*at == '*' || (*at == '?' && !strchr(":=!<", at[1])
                       && strncmp(at, "?P<", 3) != 0
                       && strncmp(at, "?P=", 3) != 0))
        w->lost = 1;
    w->depth++;
    w->at++;
}

#define ANY '.'           /* a literal dot counts as that, too */

/* The next character that stands for itself, or ANY, outside of all groups;
 * '\0': none does here, or the end. */
static char next_plain(walk_t *w)
{
    char c = *w->at;

    switch (c) {
    case '\\':
        c = w->at[1];
        if (!apr_ispunct(c) && !(c && strchr("dDwWsSbBAZ", c)))
            w->lost = 1; /* \x41, \Q ... */
        w->at += w->lost ? 0 : 2;
        return apr_ispunct(c) && !w->depth ? c : '\0';
    case '[':
        skip_class(w);
        return '\0';
    case '(':
        enter_group(w);
        return '\0';
    case ')':
        w->depth--;
        w->at++;
        return '\0';
    case '{':
        w->at += strcspn(w->at, "}");
        return '\0';
    case '|':
        w->lost |= !w->depth;
        w->at++;
        return '\0';
    default:
        w->at++;
        return !w->depth && (unsigned char)c < 0x80 && !strchr("^$*+?}", c)
                   ? c : '\0';
    }
}

/* Octets that are not ANY; those around are cut off. */
static apr_size_t plain_of(char **prun, apr_size_t *pn)
{
    char *run = *prun;
    apr_size_t n = *pn, i, plain = 0;

    while (n > 0 && run[n - 1] == ANY)
        n--;
    while (n > 0 && *run == ANY) {
        run++;
        n--;
    }
    for (i = 0; i < n; i++)
        plain += run[i] != ANY;
    *prun = run;
    *pn = n;
    return plain;
}

/* The longest plain run, or NULL. */
static const char *find_literal(const char *text, apr_pool_t *p)
{
    char *run = apr_palloc(p, strlen(text) + 1);
    const char *best = NULL;
    apr_size_t n = 0, best_plain = 1;
    walk_t w = { text, 0, 0 };

    for (;;) {
        char c = *w.at ? next_plain(&w) : '\0';

        if (w.lost)
            return NULL;
        if (c && !(*w.at && strchr("?*+{", *w.at))) {
            run[n++] = (char)apr_tolower(c);
            continue;
        }
        if (n > 0) {
            char *from = run;
            apr_size_t plain = plain_of(&from, &n);

            if (plain > best_plain) {
                best_plain = plain;
                best = apr_pstrmemdup(p, from, n);
            }
        }
        n = 0;
        if (!c && !*w.at)
            return best;
    }
}

static int begins_with(const char *s, const char *literal)
{
    for (; *literal; s++, literal++)
        if (!*s || (*literal != ANY && *s != *literal))
            return 0;
    return 1;
}

static int holds(const char *lower, const char *literal)
{
    const char *at = lower;

    while ((at = strchr(at, *literal)) != NULL)
        if (begins_with(++at, literal + 1))
            return 1;
    return 0;
}

/* --- compiling --- */

mg_pattern_t *mg_pattern_make(const char *text, int any_case, apr_pool_t *p)
{
    mg_pattern_t *pattern = apr_pcalloc(p, sizeof(*pattern));

    pattern->pool = p;
    pattern->text = apr_pstrdup(p, text);
    pattern->any_case = any_case;
    pattern->literal = find_literal(text, p);
    return pattern;
}

mg_pattern_t *mg_pattern_intern(apr_hash_t *patterns, const char *text,
                                apr_pool_t *p)
{
    mg_pattern_t *pattern = apr_hash_get(patterns, text, APR_HASH_KEY_STRING);

    if (!pattern) {
        pattern = mg_pattern_make(text, 1, p);
        apr_hash_set(patterns, pattern->text, APR_HASH_KEY_STRING, pattern);
    }
    return pattern;
}

static apr_status_t free_code(void *code)
{
    pcre2_code_free(code);
    return APR_SUCCESS;
}

/* How many characters of one of Python's escapes that PCRE2 has otherwise:
 * \Z, \uXXXX, \UXXXXXXXX. 0: it is none. What PCRE2 calls it goes to *pout. */
static apr_size_t escape(const char *s, char **pout)
{
    apr_size_t digits = s[1] == 'u' ? 4 : s[1] == 'U' ? 8 : 0, i;

    if (s[1] == 'Z') {
        memcpy(*pout, "\\z", 2);
        *pout += 2;
        return 2;
    }
    for (i = 0; digits && i < digits; i++)
        if (!apr_isxdigit(s[2 + i]))
            return 0;
    if (!digits)
        return 0;
    memcpy(*pout, "\\x{", 3);
    memcpy(*pout + 3, s + 2, digits);
    (*pout)[3 + digits] = '}';
    *pout += 4 + digits;
    return 2 + digits;
}

/* "{,3}" is "{0,3}"; PCRE2 10.42 takes it as it stands. */
static int is_open_count(const char *s)
{
    return s[0] == '{' && s[1] == ','
           && s[2 + strspn(s + 2, "0123456789")] == '}';
}

/* The first len characters of a pattern as PCRE2 has them. */
static const char *translate(const char *text, apr_size_t len, apr_pool_t *p)
{
    char *copy = apr_palloc(p, 2 * len + 16), *to = copy;
    const char *s = text, *end = text + len;
    int in_class = 0;
    apr_size_t n;

    while (s < end) {
        n = *s == '\\' ? escape(s, &to) : 0;
        if (n) {
            s += n;
            continue;
        }
        if (*s == '\\' && s[1])
            *to++ = *s++;
        else if (*s == '[')
            in_class = 1;
        else if (*s == ']')
            in_class = 0;
        else if (!in_class && is_open_count(s)) {
            *to++ = *s++;
            *to++ = '0';
        }
        *to++ = *s++;
    }
    *to = '\0';
    return copy;
}

/* Where an error of the translated pattern is in the customer's. */
static int original_offset(const char *text, apr_size_t offset, apr_pool_t *p)
{
    int n = 0;

    while (text[n]
           && strlen(translate(text, (apr_size_t)n + 1, p)) <= offset)
        n++;
    return n;
}

apr_status_t mg_pattern_check(mg_pattern_t *pattern, const char **perror,
                              apr_pool_t *p)
{
    PCRE2_UCHAR words[256];
    PCRE2_SIZE offset;
    int code;

    if (pattern->code)
        return APR_SUCCESS;
    pattern->is_bad = 1;
    if (strlen(pattern->text) > MG_PATTERN_MAX) {
        *perror = "the pattern is too long";
        return MG_EBADINPUT;
    }
    pattern->code = pcre2_compile((PCRE2_SPTR)translate(pattern->text,
                                                        strlen(pattern->text),
                                                        p),
                                  PCRE2_ZERO_TERMINATED,
                                  PCRE2_ANCHORED | PCRE2_MATCH_INVALID_UTF
                                      | PCRE2_NEVER_BACKSLASH_C
                                      | (pattern->any_case ? PCRE2_CASELESS
                                                           : 0),
                                  &code, &offset, NULL);
    if (!pattern->code) {
        pcre2_get_error_message(code, words, sizeof(words));
        *perror = apr_psprintf(p, "pattern '%s': %s at character %d",
                               pattern->text, (const char *)words,
                               original_offset(pattern->text, offset, p));
        return MG_EBADINPUT;
    }
    apr_pool_cleanup_register(pattern->pool, pattern->code, free_code,
                              apr_pool_cleanup_null);
    if (mg_pattern_groups(pattern) >= GROUPS_MAX) {
        *perror = apr_psprintf(p, "pattern '%s': %d groups at most",
                               pattern->text, GROUPS_MAX - 1);
        return MG_EBADINPUT;
    }
    pattern->is_bad = 0;
    return APR_SUCCESS;
}

int mg_pattern_groups(const mg_pattern_t *pattern)
{
    uint32_t n = 0;

    pcre2_pattern_info(pattern->code, PCRE2_INFO_CAPTURECOUNT, &n);
    return (int)n;
}

int mg_pattern_has_name(const mg_pattern_t *pattern, const char *name)
{
    return pcre2_substring_number_from_name(pattern->code, (PCRE2_SPTR)name)
           > 0;
}

/* --- matching --- */

/* One per thread: PCRE2's contexts may not be shared. Freed with the thread's
 * process; a few hundred bytes. */
static pcre2_match_context *match_limits(void)
{
    static __thread pcre2_match_context *context;

    if (!context && (context = pcre2_match_context_create(NULL)) != NULL) {
        pcre2_set_match_limit(context, STEPS_MAX);
        pcre2_set_depth_limit(context, DEPTH_MAX);
        pcre2_set_heap_limit(context, HEAP_MAX_KB);
    }
    return context;
}

static void name_captures(mg_captures_t *captures, const pcre2_code *code,
                          apr_pool_t *p)
{
    const char *entry;
    uint32_t count = 0, size = 0, i;
    PCRE2_SPTR table = NULL;

    captures->names = apr_table_make(p, 4);
    pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
    pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &table);
    for (i = 0; i < count; i++) {
        int n;

        entry = (const char *)table + i * size;
        n = (unsigned char)entry[0] << 8 | (unsigned char)entry[1];
        if (n < captures->groups->nelts
            && APR_ARRAY_IDX(captures->groups, n, const char *))
            apr_table_setn(captures->names, apr_pstrdup(p, entry + 2),
                           APR_ARRAY_IDX(captures->groups, n, const char *));
    }
}

static void take_captures(mg_captures_t *captures,
                          const mg_pattern_t *pattern, const char *subject,
                          pcre2_match_data *data, apr_pool_t *p)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
    int i, n = mg_pattern_groups(pattern);

    captures->groups = apr_array_make(p, n + 1, sizeof(const char *));
    for (i = 0; i <= n; i++)
        APR_ARRAY_PUSH(captures->groups, const char *) =
            at[2 * i] == PCRE2_UNSET || at[2 * i + 1] < at[2 * i]
                ? NULL
                : apr_pstrmemdup(p, subject + at[2 * i],
                                 at[2 * i + 1] - at[2 * i]);
    name_captures(captures, pattern->code, p);
}

static void give_up(mg_pattern_t *pattern, const char *subject, int error,
                    const char *whose)
{
    pattern->is_bad = ++pattern->gave_up >= GIVE_UP_MAX;
    if (pattern->gave_up == 1 || pattern->is_bad)
        mg_log(MG_LOG_WARN, APR_SUCCESS, "route %s: the pattern '%s' gave up"
               " on '%.200s' (PCRE2 error %d): no match%s",
               whose ? whose : "", pattern->text, subject, error,
               pattern->is_bad ? "; it is not tried any more" : "");
}

int mg_pattern_matches(mg_pattern_t *pattern, const char *subject,
                       const char *lower, mg_captures_t *captures,
                       const char *whose, apr_pool_t *p)
{
    static __thread pcre2_match_data *data;
    apr_size_t len;
    const char *error;
    int n;

    if (lower && pattern->literal && !holds(lower, pattern->literal))
        return 0;
    if (pattern->is_bad)
        return 0;
    if (mg_pattern_check(pattern, &error, p) != APR_SUCCESS) {
        mg_log(MG_LOG_WARN, APR_SUCCESS, "route %s: %s: no match",
               whose ? whose : "", error);
        return 0;
    }
    len = strlen(subject);
    if (len > MG_PATTERN_SUBJECT_MAX)
        len = MG_PATTERN_SUBJECT_MAX;
    if (!data)
        data = pcre2_match_data_create(GROUPS_MAX, NULL);
    if (!data)
        return 0;
    if (++pattern->uses == JIT_AFTER)
        pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE); /* or without */
    n = pcre2_match(pattern->code, (PCRE2_SPTR)subject, len, 0, 0, data,
                    match_limits());
    if (n < 0 && n != PCRE2_ERROR_NOMATCH)
        give_up(pattern, subject, n, whose);
    if (n >= 0 && captures)
        take_captures(captures, pattern, subject, data, p);
    return n >= 0;
}

int mg_pattern_matches_again(mg_pattern_t *pattern, apr_uint32_t number,
                             const char *subject, const char *lower,
                             const char *whose, apr_pool_t *p)
{
    if (pattern->number != number) {
        pattern->number = number;
        pattern->matched = mg_pattern_matches(pattern, subject, lower, NULL,
                                              whose, p);
    }
    return pattern->matched;
}
