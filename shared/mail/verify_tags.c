/* verify_tags.c - tag lists of signatures and keys (RFC 6376 3.2). */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_verify_private.h"

static int is_fws(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What stands between, without white space at its ends. */
static const char *trimmed(const char *from, const char *to, apr_pool_t *p)
{
    while (from < to && is_fws(*from))
        from++;
    while (to > from && is_fws(to[-1]))
        to--;
    return apr_pstrmemdup(p, from, (apr_size_t)(to - from));
}

static int is_name(const char *name)
{
    if (!apr_isalpha(*name))
        return 0;
    for (; *name; name++)
        if (!apr_isalnum(*name) && *name != '_')
            return 0;
    return 1;
}

int verify_tags_read(verify_tags_t *tags, const char *text, apr_size_t len,
                     apr_pool_t *p)
{
    const char *at = text, *end = text + len, *semicolon, *equals, *name;

    tags->n = 0;
    if (memchr(text, '\0', len))
        return 0;
    for (; at < end; at = semicolon + 1) {
        semicolon = memchr(at, ';', (apr_size_t)(end - at));
        if (!semicolon)
            semicolon = end;
        equals = memchr(at, '=', (apr_size_t)(semicolon - at));
        if (!equals) {
            if (*trimmed(at, semicolon, p))
                return 0;
            continue; /* behind the last semicolon */
        }
        name = trimmed(at, equals, p);
        if (!is_name(name) || verify_tag(tags, name)
            || tags->n == VERIFY_TAGS_MAX)
            return 0;
        tags->tag[tags->n].name = name;
        tags->tag[tags->n++].value = trimmed(equals + 1, semicolon, p);
    }
    return tags->n > 0;
}

const char *verify_tag(const verify_tags_t *tags, const char *name)
{
    int i;

    for (i = 0; i < tags->n; i++)
        if (strcmp(tags->tag[i].name, name) == 0)
            return tags->tag[i].value;
    return NULL;
}

const char *verify_tag_packed(const verify_tags_t *tags, const char *name,
                              apr_pool_t *p)
{
    const char *value = verify_tag(tags, name);
    char *out, *o;

    if (!value)
        return NULL;
    out = o = apr_palloc(p, strlen(value) + 1);
    for (; *value; value++)
        if (!is_fws(*value))
            *o++ = *value;
    *o = '\0';
    return out;
}

apr_int64_t verify_tag_number(const verify_tags_t *tags, const char *name)
{
    const char *value = verify_tag(tags, name), *c;

    if (!value)
        return -1;
    for (c = value; apr_isdigit(*c); c++)
        ;
    return *c || c == value || c - value > 18 ? -2 : apr_atoi64(value);
}

char *verify_without_b(apr_size_t *plen, const char *field, apr_size_t len,
                       apr_pool_t *p)
{
    const char *at = memchr(field, ':', len), *end = field + len, *next;
    char *out = apr_palloc(p, len + 1), *o = out;
    const char *equals;

    at = at ? at + 1 : end;
    memcpy(o, field, (apr_size_t)(at - field));
    o += at - field;
    for (; at < end; at = next) {
        next = memchr(at, ';', (apr_size_t)(end - at));
        next = next ? next + 1 : end;
        equals = memchr(at, '=', (apr_size_t)(next - at));
        if (equals && strcmp(trimmed(at, equals, p), "b") == 0) {
            memcpy(o, at, (apr_size_t)(equals + 1 - at));
            o += equals + 1 - at;
            if (next[-1] == ';')
                *o++ = ';';
            continue;
        }
        memcpy(o, at, (apr_size_t)(next - at));
        o += next - at;
    }
    *o = '\0';
    *plen = (apr_size_t)(o - out);
    return out;
}
