/* api_events_token.c - where a page of events begins, as a URL carries it. */
#include "api_events.h"

#include <string.h>

#include "mg_seal.h"
#include "mg_status.h"
#include "mg_text.h"

#define SUM_LENGTH 6
/* All filters at their longest, escaped, and what is around them. */
#define TOKEN_MAX (MG_FILTER_MAX * MG_FILTER_LENGTH * 2)

static void sum(unsigned char *out, const char *json, apr_size_t len)
{
    unsigned char digest[32];

    mg_sha256(digest, json, len);
    memcpy(out, digest, SUM_LENGTH);
}

const char *api_events_token(const api_events_query_t *query, apr_pool_t *p)
{
    json_t *all = json_pack("{s:i, s:i, s:i, s:I, s:I, s:I, s:i}", "a",
                            query->ascending, "p", query->pretty, "n",
                            query->limit, "l", (json_int_t)query->low, "h",
                            (json_int_t)query->high, "g",
                            (json_int_t)query->gap, "b", query->back);
    const char *json;
    apr_size_t len;
    char *bytes;
    int i;

    for (i = 0; i < MG_FILTER_MAX; i++)
        if (query->filters[i])
            json_object_set_new(all, mg_event_filter_name(i),
                                json_string(query->filters[i]));
    json = mg_json_compact(all, p);
    json_decref(all);
    len = strlen(json);
    bytes = apr_palloc(p, len + SUM_LENGTH);
    sum((unsigned char *)bytes, json, len);
    memcpy(bytes + SUM_LENGTH, json, len);
    return mg_text_base64url(bytes, len + SUM_LENGTH, p);
}

static char *decode(const char *text, apr_size_t *plen, apr_pool_t *p)
{
    apr_size_t len = strlen(text);
    char *out;
    int n;

    if (len > TOKEN_MAX)
        return NULL;
    out = apr_palloc(p, len + 1);
    n = mg_text_unbase64url(out, len, text);
    if (n < 0)
        return NULL;
    out[n] = '\0';
    *plen = (apr_size_t)n;
    return out;
}

static apr_int64_t number(const json_t *all, const char *name)
{
    return json_integer_value(json_object_get(all, name));
}

static int is_sane(const api_events_query_t *query)
{
    return query->limit > 0 && query->limit <= 300 && query->low >= 0 &&
           query->high >= 0 && query->gap >= 0;
}

apr_status_t api_events_token_read(api_events_query_t *query,
                                   const char *token, apr_pool_t *p)
{
    unsigned char want[SUM_LENGTH];
    const char *error;
    json_t *all;
    apr_size_t len;
    char *bytes = decode(token, &len, p);
    int i;

    memset(query, 0, sizeof(*query));
    if (!bytes || len <= SUM_LENGTH)
        return MG_EBADINPUT;
    sum(want, bytes + SUM_LENGTH, len - SUM_LENGTH);
    if (memcmp(want, bytes, SUM_LENGTH) != 0)
        return MG_EBADINPUT;
    all = mg_json_parse(bytes + SUM_LENGTH, len - SUM_LENGTH, &error, p);
    if (!json_is_object(all))
        return MG_EBADINPUT;
    query->ascending = number(all, "a") != 0;
    query->pretty = number(all, "p") != 0;
    query->limit = (int)number(all, "n");
    query->low = number(all, "l");
    query->high = number(all, "h");
    query->gap = number(all, "g");
    query->back = number(all, "b") != 0;
    for (i = 0; i < MG_FILTER_MAX; i++)
        query->filters[i] = json_string_value(
            json_object_get(all, mg_event_filter_name(i)));
    return is_sane(query) ? APR_SUCCESS : MG_EBADINPUT;
}
