/* sts_policy.c - see sts_policy.h. */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_status.h"
#include "mg_text.h"
#include "sts_policy.h"

#define TAG "v=STSv1"

/* --- the TXT record --- */

static const char *skip_space(const char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

/* sts-version = "v=STSv1", then a ";" (RFC 8461 3.1: others are discarded) */
int sts_txt_is_ours(const char *txt)
{
    if (strncmp(txt, TAG, sizeof(TAG) - 1) != 0)
        return 0;
    txt = skip_space(txt + sizeof(TAG) - 1);
    return *txt == ';' || !*txt;
}

/* sts-id = "id" *WSP "=" *WSP 1*32(ALPHA / DIGIT) */
static const char *id_of(const char *field, apr_size_t len, apr_pool_t *p)
{
    const char *s = field + 2, *end = field + len, *id;

    if (len < 3 || strncmp(field, "id", 2) != 0)
        return NULL;
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    if (s == end || *s++ != '=')
        return NULL;
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    for (id = s; s < end && apr_isalnum(*s); s++)
        ;
    len = (apr_size_t)(s - id);
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    return s == end && len > 0 && len <= STS_ID_MAX
               ? apr_pstrmemdup(p, id, len) : NULL;
}

const char *sts_txt_id(const char *txt, apr_pool_t *p)
{
    if (!sts_txt_is_ours(txt))
        return NULL;
    txt += sizeof(TAG) - 1;
    while (*(txt = skip_space(txt)) == ';') {
        const char *field = skip_space(txt + 1);
        const char *id;

        txt = field + strcspn(field, ";");
        id = id_of(field, (apr_size_t)(txt - field), p);
        if (id)
            return id;
    }
    return NULL;
}

/* --- the policy file --- */

typedef struct {
    const char *key, *value;
    apr_size_t key_len, value_len;
} field_t;

/* key ":" *WSP value *WSP, up to LF or CRLF. @return where the next begins */
static const char *read_line(field_t *f, const char *at, const char *end)
{
    const char *lf = memchr(at, '\n', (apr_size_t)(end - at));
    const char *stop = lf ? lf : end, *colon;

    memset(f, 0, sizeof(*f));
    colon = memchr(at, ':', (apr_size_t)(stop - at));
    if (colon) {
        f->key = at;
        f->key_len = (apr_size_t)(colon - at);
        for (at = colon + 1; at < stop && (*at == ' ' || *at == '\t'); at++)
            ;
        f->value = at;
        for (colon = stop; colon > at && (colon[-1] == ' '
                                          || colon[-1] == '\t'
                                          || colon[-1] == '\r'); colon--)
            ;
        f->value_len = (apr_size_t)(colon - at);
    }
    return lf ? lf + 1 : end;
}

static int is_key(const field_t *f, const char *key)
{
    return f->key_len == strlen(key) && memcmp(f->key, key, f->key_len) == 0;
}

static int is_value(const field_t *f, const char *value)
{
    return f->value_len == strlen(value)
           && memcmp(f->value, value, f->value_len) == 0;
}

/* ["*."] Domain */
static const char *pattern_of(const field_t *f, apr_pool_t *p)
{
    apr_size_t i = 0, label = 0;

    if (f->value_len > 2 && f->value[0] == '*' && f->value[1] == '.')
        i = 2;
    if (f->value_len > 255)
        return NULL;
    for (; i < f->value_len; i++) {
        char c = f->value[i];

        if (c == '.') {
            if (label == 0)
                return NULL;
            label = 0;
        }
        else if (apr_isalnum(c) || c == '-' || c == '_')
            label++;
        else
            return NULL;
    }
    return label > 0 ? mg_text_lower(apr_pstrmemdup(p, f->value,
                                                    f->value_len), p)
                     : NULL;
}

static apr_int64_t age_of(const field_t *f)
{
    apr_int64_t n = 0;
    apr_size_t i;

    if (f->value_len == 0 || f->value_len > 10)
        return -1;
    for (i = 0; i < f->value_len; i++) {
        if (!apr_isdigit(f->value[i]))
            return -1;
        n = n * 10 + (f->value[i] - '0');
    }
    return n > STS_AGE_MAX ? STS_AGE_MAX : n;
}

static int mode_of(const field_t *f)
{
    return is_value(f, "enforce")   ? STS_ENFORCE
           : is_value(f, "testing") ? STS_TESTING
           : is_value(f, "none")    ? STS_NONE
                                    : -1;
}

static apr_status_t bad(const char **pwhy, const char *why)
{
    *pwhy = why;
    return MG_EBADINPUT;
}

/* Of what repeats but for mx the first counts; unknown keys are for later
 * versions (RFC 8461 3.2). */
apr_status_t sts_policy_parse(sts_policy_t **ppolicy, const char *text,
                              apr_size_t len, const char **pwhy,
                              apr_pool_t *p)
{
    const char *end = text + len;
    sts_policy_t *policy = apr_pcalloc(p, sizeof(*policy));
    int version = 0, mode = -2;
    field_t f;

    *ppolicy = NULL;
    *pwhy = "it is too large";
    if (len > STS_TEXT_MAX)
        return MG_ELIMIT;
    policy->mx = apr_array_make(p, 4, sizeof(char *));
    policy->max_age = -2;
    while (text < end) {
        text = read_line(&f, text, end);
        if (!f.key)
            continue;
        if (is_key(&f, "version") && version == 0)
            version = is_value(&f, "STSv1") ? 1 : -1;
        else if (is_key(&f, "mode") && mode == -2)
            mode = mode_of(&f);
        else if (is_key(&f, "max_age") && policy->max_age == -2)
            policy->max_age = age_of(&f);
        else if (is_key(&f, "mx")) {
            const char *pattern = pattern_of(&f, p);

            if (!pattern)
                return bad(pwhy, "an mx is no host name");
            if (policy->mx->nelts == STS_MX_MAX)
                return MG_ELIMIT;
            APR_ARRAY_PUSH(policy->mx, const char *) = pattern;
        }
    }
    if (version != 1)
        return bad(pwhy, "its version is not STSv1");
    if (mode < 0)
        return bad(pwhy, "its mode is none of enforce, testing, none");
    if (policy->max_age < 0)
        return bad(pwhy, "its max_age is no number");
    if (mode != STS_NONE && policy->mx->nelts == 0)
        return bad(pwhy, "it names no mx");
    policy->mode = (sts_mode_t)mode;
    *pwhy = NULL;
    *ppolicy = policy;
    return APR_SUCCESS;
}

const char *sts_policy_text(const sts_policy_t *policy, apr_pool_t *p)
{
    static const char *const modes[] = { "none", "testing", "enforce" };
    apr_array_header_t *lines = apr_array_make(p, 8, sizeof(char *));
    int i;

    APR_ARRAY_PUSH(lines, const char *) = "version: STSv1";
    APR_ARRAY_PUSH(lines, const char *) =
        apr_pstrcat(p, "mode: ", modes[policy->mode], NULL);
    for (i = 0; i < policy->mx->nelts; i++)
        APR_ARRAY_PUSH(lines, const char *) =
            apr_pstrcat(p, "mx: ", APR_ARRAY_IDX(policy->mx, i, const char *),
                        NULL);
    APR_ARRAY_PUSH(lines, const char *) =
        apr_psprintf(p, "max_age: %" APR_INT64_T_FMT "\n", policy->max_age);
    return apr_array_pstrcat(p, lines, '\n');
}

int sts_policy_matches(const sts_policy_t *policy, const char *host)
{
    const char *dot = strchr(host, '.');
    int i;

    for (i = 0; i < policy->mx->nelts; i++) {
        const char *pattern = APR_ARRAY_IDX(policy->mx, i, const char *);

        if (pattern[0] != '*' ? strcasecmp(pattern, host) == 0
                              : dot && dot != host
                                    && strcasecmp(pattern + 1, dot) == 0)
            return 1;
    }
    return 0;
}
