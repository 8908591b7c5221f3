/* mg_json.c - jansson on pools. */
#include "mg_json.h"

#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 64

static apr_status_t free_json(void *json)
{
    json_decref(json);
    return APR_SUCCESS;
}

void mg_json_bind(json_t *json, apr_pool_t *p)
{
    if (json)
        apr_pool_cleanup_register(p, json, free_json, apr_pool_cleanup_null);
}

/* jansson's own limit is its stack's. */
static int is_too_deep(const char *text, apr_size_t len)
{
    int depth = 0, quoted = 0;
    apr_size_t i;

    for (i = 0; i < len; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = 0;
        }
        else if (c == '"')
            quoted = 1;
        else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX)
                return 1;
        }
        else if (c == '}' || c == ']')
            depth--;
    }
    return 0;
}

json_t *mg_json_parse(const char *text, apr_size_t len, const char **perror,
                      apr_pool_t *p)
{
    json_error_t error;
    json_t *json;

    if (is_too_deep(text, len)) {
        if (perror)
            *perror = apr_psprintf(p, "nested deeper than %d", DEPTH_MAX);
        return NULL;
    }
    json = json_loadb(text, len, JSON_DECODE_ANY, &error);
    if (!json) {
        if (perror)
            *perror = apr_psprintf(p, "line %d column %d: %s", error.line,
                                   error.column, error.text);
        return NULL;
    }
    mg_json_bind(json, p);
    return json;
}

/* How many digits bring all its reals back: with jansson's 17 for each, a 9.99
 * that somebody sent us would go out as 9.9900000000000002. */
static int digits_needed(const json_t *json)
{
    char text[40];
    const char *key;
    json_t *member;
    int most = 15, n;
    size_t i;

    switch (json_typeof(json)) {
    case JSON_REAL:
        do
            snprintf(text, sizeof(text), "%.*g", most, json_real_value(json));
        while (strtod(text, NULL) != json_real_value(json) && ++most < 17);
        break;
    case JSON_ARRAY:
        json_array_foreach(json, i, member)
            if ((n = digits_needed(member)) > most)
                most = n;
        break;
    case JSON_OBJECT:
        json_object_foreach((json_t *)(size_t)json, key, member)
            if ((n = digits_needed(member)) > most)
                most = n;
        break;
    default:
        break;
    }
    return most;
}

static char *dump(const json_t *json, size_t flags, apr_pool_t *p)
{
    char *text, *out;

    if (!json)
        return NULL;
    text = json_dumps(json, flags | JSON_ENCODE_ANY |
                                JSON_REAL_PRECISION(digits_needed(json)));

    if (!text)
        return NULL;
    out = apr_pstrdup(p, text);
    free(text);
    return out;
}

char *mg_json_compact(const json_t *json, apr_pool_t *p)
{
    return dump(json, JSON_COMPACT, p);
}

char *mg_json_ascii(const json_t *json, apr_pool_t *p)
{
    return dump(json, JSON_ENSURE_ASCII, p);
}

char *mg_json_pretty(const json_t *json, apr_pool_t *p)
{
    return dump(json, JSON_INDENT(2) | JSON_ENSURE_ASCII, p);
}
