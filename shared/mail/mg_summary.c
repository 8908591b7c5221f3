/* mg_summary.c - what the events API says of a message: who it was to, and its
 * attachments. */
#include <string.h>
#include <strings.h>
#include <apr_strings.h>
#include <gmime/gmime.h>

#include "mg_json.h"
#include "mg_summary.h"
#include "mg_text.h"

#define NAME_MAX_OCTETS 255
#define PART_HEADER_MAX 4096
#define DELIMITERS_MAX 1000

/* Valid UTF-8 of at most max octets. */
static json_t *text_json(const char *s, apr_size_t max, apr_pool_t *p)
{
    apr_size_t len = strlen(s);

    if (len > max)
        for (len = max; len > 0 && ((unsigned char)s[len] & 0xC0) == 0x80;)
            len--;
    return json_string(mg_text_clean(apr_pstrmemdup(p, s, len), len, p));
}

static const char *finish(const char *to, json_t *attachments, apr_pool_t *p)
{
    json_t *summary = json_object();
    const char *text;

    if (to && *to)
        json_object_set_new(summary, "to",
                            text_json(to, MG_SUMMARY_TO_MAX, p));
    if (json_array_size(attachments))
        json_object_set(summary, "attachments", attachments);
    text = json_object_size(summary) ? mg_json_compact(summary, p) : NULL;
    json_decref(attachments);
    json_decref(summary);
    return text;
}

static void add(json_t *attachments, const char *filename, const char *type,
                apr_int64_t size, apr_pool_t *p)
{
    json_t *one = json_object();

    json_object_set_new(one, "filename",
                        text_json(filename, NAME_MAX_OCTETS, p));
    json_object_set_new(one, "content-type",
                        text_json(type, NAME_MAX_OCTETS, p));
    if (size >= 0)
        json_object_set_new(one, "size", json_integer(size));
    json_array_append_new(attachments, one);
}

const char *mg_summary_of_parts(const apr_array_header_t *to,
                                const apr_array_header_t *parts,
                                apr_pool_t *p)
{
    json_t *attachments = json_array();
    const char *list = "";
    int i;

    for (i = 0; to && i < to->nelts && strlen(list) < MG_SUMMARY_TO_MAX; i++)
        list = apr_pstrcat(p, list, i ? ", " : "",
                           APR_ARRAY_IDX(to, i, mg_address_t *)->as_given,
                           NULL);
    for (i = 0; parts && i < parts->nelts && i < MG_SUMMARY_ATTACHMENTS_MAX;
         i++) {
        const mg_part_t *part = APR_ARRAY_IDX(parts, i, const mg_part_t *);

        add(attachments, part->filename ? part->filename : "attachment",
            part->content_type ? part->content_type
                               : "application/octet-stream",
            (apr_int64_t)part->len, p);
    }
    return finish(list, attachments, p);
}

/* --- one that came whole --- */

static const char *field(const apr_array_header_t *headers, const char *name)
{
    const mg_header_t *h = mg_mime_header(headers, name);

    return h ? h->raw : "";
}

/* The file name of a part; "" for an attachment without one; NULL: it is no
 * attachment. */
static const char *filename_of(const apr_array_header_t *headers,
                               apr_pool_t *p)
{
    const char *disposition = field(headers, "Content-Disposition");
    const char *type = field(headers, "Content-Type"), *name, *found = NULL;
    GMimeContentDisposition *d;
    GMimeContentType *t;

    if (*disposition &&
        (d = g_mime_content_disposition_parse(NULL, disposition)) != NULL) {
        name = g_mime_content_disposition_get_parameter(d, "filename");
        if (name)
            found = apr_pstrdup(p, name);
        else if (g_mime_content_disposition_is_attachment(d))
            found = "";
        g_object_unref(d);
    }
    if ((!found || !*found) && strcasestr(type, "name") &&
        (t = g_mime_content_type_parse(NULL, type)) != NULL) {
        name = g_mime_content_type_get_parameter(t, "name");
        if (name)
            found = apr_pstrdup(p, name);
        g_object_unref(t);
    }
    return found;
}

/* "text/plain", without parameters. */
static const char *type_of(const apr_array_header_t *headers, apr_pool_t *p)
{
    const char *type = field(headers, "Content-Type");
    apr_size_t len = strcspn(type, "; \t");

    return len ? apr_pstrmemdup(p, type, len) : "text/plain";
}

/* The next line that begins with "--", or NULL. */
static const char *next_delimiter(const char *at, const char *end)
{
    while (at < end) {
        if (end - at > 2 && at[0] == '-' && at[1] == '-')
            return at;
        at = memchr(at, '\n', (apr_size_t)(end - at));
        if (!at)
            return NULL;
        at++;
    }
    return NULL;
}

static apr_int64_t size_of(const apr_array_header_t *headers,
                           const char *begin, const char *end)
{
    apr_int64_t n = 0;
    const char *s;

    if (strncasecmp(field(headers, "Content-Transfer-Encoding"), "base64", 6))
        return end - begin >= 2 ? end - begin - 2 : 0;
    for (s = begin; s < end; s++)
        if ((unsigned char)*s > ' ' && *s != '=')
            n++;
    return n * 3 / 4;
}

/* The part whose header begins at begin and that ends at end (NULL: not
 * here). */
static void look_at_part(json_t *attachments, const char *begin,
                         const char *end, const char *limit, apr_pool_t *p)
{
    apr_size_t len = (apr_size_t)((end ? end : limit) - begin), body;
    apr_array_header_t *headers;
    const char *name;

    if (mg_mime_headers(&headers, &body, begin,
                        len < PART_HEADER_MAX ? len : PART_HEADER_MAX, p)
        != APR_SUCCESS || headers->nelts == 0)
        return;
    name = filename_of(headers, p);
    if (name)
        add(attachments, *name ? name : "attachment", type_of(headers, p),
            end ? size_of(headers, begin + body, end) : -1, p);
}

const char *mg_summary_of_mime(const apr_array_header_t *headers,
                               const char *body, apr_size_t len,
                               apr_pool_t *p)
{
    const mg_header_t *to = mg_mime_header(headers, "To");
    const char *end = body + len, *at, *next;
    json_t *attachments = json_array();
    apr_pool_t *ptemp;
    int n;

    apr_pool_create(&ptemp, p);
    at = strncasecmp(field(headers, "Content-Type"), "multipart/", 10)
             ? NULL : next_delimiter(body, end);
    for (n = 0; at && n < DELIMITERS_MAX; n++) {
        const char *line = memchr(at, '\n', (apr_size_t)(end - at));

        if (!line || json_array_size(attachments) >=
                         MG_SUMMARY_ATTACHMENTS_MAX)
            break;
        next = next_delimiter(line + 1, end);
        look_at_part(attachments, line + 1, next, end, ptemp);
        apr_pool_clear(ptemp);
        at = next;
    }
    apr_pool_destroy(ptemp);
    return finish(to ? to->value : NULL, attachments, p);
}
