/* api_suppressions_page.c - suppressions of version 3: pages by address, JSON
 * arrays of up to 1000 (reference, section 6). */
#include "api_suppressions.h"

#include <apr_strings.h>
#include <http_core.h>
#include <string.h>

#include "mg_log.h"
#include "mg_time.h"

#define BATCH_MAX 1000
#define ROWS_MAX 5000          /* of one array: an address has one per tag */
#define BODY_MAX (8 * 1024 * 1024)

/* --- pages --- */

static const char *page_url(api_t *q, const char *which, const char *address,
                            apr_int64_t limit)
{
    const char *term = api_param(q, "term");

    return apr_pstrcat(
        q->p, ap_construct_url(q->p, ap_escape_uri(q->p, q->r->uri), q->r),
        "?page=", which, address ? "&address=" : "",
        address ? ap_escape_urlencoded(q->p, address) : "",
        apr_psprintf(q->p, "&limit=%" APR_INT64_T_FMT, limit),
        term && *term ? "&term=" : "",
        term && *term ? ap_escape_urlencoded(q->p, term) : "", NULL);
}

/* An empty page's neighbours are where it stands. */
static json_t *paging_json(api_t *q, const apr_array_header_t *list,
                           const char *pivot, apr_int64_t limit)
{
    const char *first = pivot ? pivot : "", *last = first;

    if (list->nelts) {
        first = APR_ARRAY_IDX(list, 0, mg_suppression_t).address;
        last = APR_ARRAY_IDX(list, list->nelts - 1, mg_suppression_t).address;
    }
    return json_pack("{s:s, s:s, s:s, s:s}",
                     "first", page_url(q, "first", NULL, limit),
                     "last", page_url(q, "last", NULL, limit),
                     "next", page_url(q, "next", last, limit),
                     "previous", page_url(q, "previous", first, limit));
}

int api_suppressions_page(api_t *q, apr_int64_t limit)
{
    const char *which = api_param(q, "page");
    mg_suppression_page_t page = { .prefix = api_param(q, "term"),
                                   .limit = limit };
    apr_array_header_t *list;
    apr_status_t rv;
    int is_next, is_previous;

    which = which && *which ? which : "first";
    is_next = strcmp(which, "next") == 0;
    is_previous = strcmp(which, "previous") == 0 || strcmp(which, "prev") == 0;
    page.down = is_previous || strcmp(which, "last") == 0;
    if (!is_next && !page.down && strcmp(which, "first") != 0)
        return api_reply_message(q, HTTP_BAD_REQUEST, "'page' parameter is "
                                 "none of first, last, next, previous");
    if (is_next || is_previous) {
        page.pivot = api_param(q, "address");
        if (!page.pivot)
            page.pivot = "";
    }
    rv = mg_suppression_page(&list, q->db, q->domain.id,
                             api_suppressions_of(q)->kind, &page, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list suppressions");
    return api_reply_json(
        q, HTTP_OK, json_pack("{s:o, s:o}", "items",
                              api_suppressions_json(q, list), "paging",
                              paging_json(q, list, page.pivot, limit)));
}

/* --- arrays --- */

/* A string, or a number as one; NULL: neither. */
static const char *text_of(api_t *q, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_integer(value))
        return apr_psprintf(q->p, "%" JSON_INTEGER_FORMAT,
                            json_integer_value(value));
    return NULL;
}

static int push(api_t *q, apr_array_header_t *entries,
                const mg_suppression_t *entry, const char *tag)
{
    mg_suppression_t *copy = apr_array_push(entries);

    *copy = *entry;
    copy->tag = tag;
    return api_suppression_check(q, copy);
}

static int take(api_t *q, apr_array_header_t *entries, const json_t *object)
{
    mg_suppression_t entry = { .kind = api_suppressions_of(q)->kind };
    const char *date = text_of(q, object, "created_at");
    const json_t *tags = json_object_get(object, "tags"), *tag;
    size_t i;

    entry.address = json_is_string(object) ? json_string_value(object)
                                           : text_of(q, object, "address");
    if (entry.kind == MG_BOUNCED) {
        entry.code = text_of(q, object, "code");
        entry.error = text_of(q, object, "error");
    }
    if (date && *date && mg_time_parse(&entry.created_at, date) != APR_SUCCESS)
        return api_reply_message(q, HTTP_BAD_REQUEST, "%s is not an RFC-2822 "
                                 "compliant date", date);
    if (entry.kind != MG_UNSUBSCRIBED || json_array_size(tags) == 0)
        return push(q, entries, &entry, text_of(q, object, "tag"));
    if (json_array_size(tags) + (size_t)entries->nelts > ROWS_MAX)
        return api_reply_message(q, HTTP_BAD_REQUEST, "Too many tags");
    json_array_foreach(tags, i, tag)
        if (!json_is_string(tag))
            return api_reply_message(q, HTTP_BAD_REQUEST,
                                     "'tag' parameter is not a valid tag");
        else if (push(q, entries, &entry, json_string_value(tag)))
            return API_REPLIED;
    return API_GO_ON;
}

int api_suppressions_read(api_t *q, apr_array_header_t **pentries, int *pn)
{
    const mg_form_field_t *body = mg_form_find(q->form, "", NULL);
    const char *bytes, *error = "there is none";
    json_t *json = NULL, *one;
    apr_size_t len;
    size_t i;

    if (body && body->size > BODY_MAX)
        error = "it is too large";
    else if (body && mg_form_bytes(&bytes, &len, body, q->p) == APR_SUCCESS)
        json = mg_json_parse(bytes, len, &error, q->p);
    if (!json)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "unable to parse request: %s", error);
    if (!json_is_array(json))
        return api_reply_message(q, HTTP_BAD_REQUEST, "unable to parse "
                                 "request: a JSON array is expected");
    if (json_array_size(json) > BATCH_MAX)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Batch size should be less than 1000");
    *pn = (int)json_array_size(json);
    *pentries = apr_array_make(q->p, *pn + 1, sizeof(mg_suppression_t));
    json_array_foreach(json, i, one)
        if (take(q, *pentries, one))
            return API_REPLIED;
    return API_GO_ON;
}
