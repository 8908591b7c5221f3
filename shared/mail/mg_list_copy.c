/* mg_list_copy.c - see mg_list_copy.h. */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_address.h"
#include "mg_list_copy.h"
#include "mg_text.h"
#include "mime_internal.h"

#define FROM_MAX 1000   /* octets of a From that is rewritten */

const mg_list_copy_t *mg_list_copy_read(const json_t *options, apr_pool_t *p)
{
    const json_t *json = json_object_get(options, "list");
    const char *address = json_string_value(json_object_get(json, "address"));
    const char *id = json_string_value(json_object_get(json, "id"));
    const char *fields = json_string_value(json_object_get(json, "fields"));
    mg_list_copy_t *copy;

    if (!address || !id)
        return NULL;
    copy = apr_pcalloc(p, sizeof(*copy));
    copy->address = address;
    copy->id = apr_atoi64(id);
    copy->unsubscribe = (int)json_integer_value(
        json_object_get(json, "unsubscribe"));
    copy->fields = fields ? fields : "";
    copy->via = json_object_get(json, "via");
    return copy;
}

/* --- the fields --- */

/* RFC 2919 3: "dev@a.test" is "dev.a.test". */
static const char *list_id(const char *address, apr_pool_t *p)
{
    char *id = apr_pstrdup(p, address), *at = strrchr(id, '@'), *c;

    for (c = id; c < at; c++)
        if (!apr_isalnum(*c) && !strchr("-_.", *c))
            *c = '-';
    if (at)
        *at = '.';
    return id;
}

static void put_list_id(mime_sink_t *sink, const mg_list_t *list,
                        apr_pool_t *p)
{
    mg_address_t id = { .name = *list->name ? list->name : NULL,
                        .address = list_id(list->address, p) };
    apr_array_header_t *one = apr_array_make(p, 1, sizeof(mg_address_t *));

    APR_ARRAY_PUSH(one, const mg_address_t *) = &id;
    if (id.name)
        mime_put_addresses(sink, "List-Id", one);
    else
        mime_put_plain(sink, "List-Id", apr_pstrcat(p, "<", id.address, ">",
                                                    NULL));
}

static const char *fields_of(const mg_list_t *list,
                             const apr_array_header_t *headers, apr_pool_t *p)
{
    mg_mime_out_t out;
    mime_sink_t sink;

    mime_sink_init(&sink, 512, NULL, 0, p);
    if (!mg_mime_header(headers, "List-Id"))
        put_list_id(&sink, list, p);
    if (!mg_mime_header(headers, "List-Post"))
        mime_put_plain(&sink, "List-Post",
                       list->access == MG_LIST_READONLY ? "NO"
                       : apr_pstrcat(p, "<mailto:", list->address, ">", NULL));
    if (!mg_mime_header(headers, "Precedence"))
        mime_put_plain(&sink, "Precedence", "list");
    if (mg_list_replies_to_list(list) && !mg_mime_header(headers, "Reply-To"))
        mime_put_plain(&sink, "Reply-To",
                       apr_pstrcat(p, "<", list->address, ">", NULL));
    mime_put_plain(&sink, "X-Mailgun-List-Address", list->address);
    return mime_sink_finish(&out, &sink) == APR_SUCCESS
               ? apr_pstrmemdup(p, out.bytes, (apr_size_t)out.size) : "";
}

static int came_through(const json_t *via, const char *id)
{
    const json_t *one;
    size_t i;

    json_array_foreach(via, i, one)
        if (json_is_string(one) && !strcmp(json_string_value(one), id))
            return 1;
    return 0;
}

json_t *mg_list_copy_option(const mg_list_t *list,
                            const apr_array_header_t *headers, int links,
                            const mg_list_copy_t *before, apr_pool_t *p)
{
    const char *id = apr_psprintf(p, "%" APR_INT64_T_FMT, list->id);
    json_t *via;

    if (before && (came_through(before->via, id)
                   || json_array_size(before->via) >= MG_LIST_NESTING_MAX))
        return NULL;
    via = before && before->via ? json_copy((json_t *)before->via)
                                : json_array();
    json_array_append_new(via, json_string(id));
    return json_pack("{s:s, s:s, s:i, s:o, s:s}", "address", list->address,
                     "id", id, "unsubscribe",
                     mg_mime_header(headers, "List-Unsubscribe")
                         ? MG_LIST_NO_LINK : links,
                     "via", via, "fields", fields_of(list, headers, p));
}

/* --- the header of what came from outside --- */

static int is_taken_out(const char *name, apr_size_t len)
{
    static const char *const names[] = {
        "Return-Path", "Precedence", "Errors-To", "Bcc",
        "Disposition-Notification-To", "Return-Receipt-To",
        "X-Confirm-Reading-To", "X-Mailgun-Sid", "X-Mailgun-List-Address",
        "X-Mailgun-Variables", "X-Mailgun-Incoming", "X-Envelope-From", NULL
    };
    int i;

    if (len > 5 && strncasecmp(name, "List-", 5) == 0)
        return 1;
    for (i = 0; names[i]; i++)
        if (strlen(names[i]) == len && !strncasecmp(name, names[i], len))
            return 1;
    return 0;
}

static int is_name(const char *name, apr_size_t len, const char *other)
{
    return strlen(other) == len && !strncasecmp(name, other, len);
}

/* What becomes of the author's fields. */
typedef struct {
    const mg_address_t *author;  /* whose From is rewritten; NULL: it stays */
    int drop_reply_to;
} rewrite_t;

static void copy_fields(mime_sink_t *sink, const char *at, const char *end,
                        const rewrite_t *rewrite)
{
    const char *next, *name_end;
    int out = 0;

    for (; at < end; at = next) {
        next = memchr(at, '\n', (apr_size_t)(end - at));
        next = next ? next + 1 : end;
        if (*at != ' ' && *at != '\t') {
            for (name_end = at; name_end < next && *name_end != ':'
                                && *name_end != ' ' && *name_end != '\t'
                                && *name_end != '\r' && *name_end != '\n';
                 name_end++)
                ;
            out = is_taken_out(at, (apr_size_t)(name_end - at))
                  || (rewrite->author
                      && is_name(at, (apr_size_t)(name_end - at), "From"))
                  || (rewrite->drop_reply_to
                      && is_name(at, (apr_size_t)(name_end - at),
                                 "Reply-To"));
        }
        if (!out)
            mime_put(sink, at, (apr_size_t)(next - at));
    }
}

/* The first author; NULL: there is none that can be read. */
static const mg_address_t *author_of(const apr_array_header_t *headers,
                                     apr_pool_t *p)
{
    const mg_header_t *from = mg_mime_header(headers, "From");
    apr_array_header_t *list;

    if (!from || strlen(from->raw) > FROM_MAX
        || mg_address_parse_list(&list, from->raw, p) != APR_SUCCESS
        || list->nelts == 0)
        return NULL;
    return APR_ARRAY_IDX(list, 0, const mg_address_t *);
}

/* "Bob via Developers <dev@a.test>" */
static void put_from(mime_sink_t *sink, const mg_list_t *list,
                     const mg_address_t *author, apr_pool_t *p)
{
    apr_array_header_t *one = apr_array_make(p, 1, sizeof(mg_address_t *));
    mg_address_t from = { .address = list->address };
    const char *who = author->name && *author->name ? author->name
                                                    : author->local;

    from.name = apr_pstrcat(p, who, " via ",
                            *list->name ? list->name : list->address, NULL);
    APR_ARRAY_PUSH(one, const mg_address_t *) = &from;
    mime_put_addresses(sink, "From", one);
}

static void put_author(mime_sink_t *sink, const mg_address_t *author,
                       apr_pool_t *p)
{
    apr_array_header_t *one = apr_array_make(p, 1, sizeof(mg_address_t *));

    APR_ARRAY_PUSH(one, const mg_address_t *) = author;
    mime_put_addresses(sink, "Reply-To", one);
}

apr_status_t mg_list_copy_header(const char **phead, apr_size_t *plen,
                                 const mg_list_t *list, const char *domain,
                                 const char *old_head, apr_size_t old_len,
                                 apr_pool_t *p)
{
    apr_array_header_t *headers;
    apr_size_t body;
    const mg_address_t *author;
    int to_list = mg_list_replies_to_list(list);
    rewrite_t rewrite = { NULL, 0 };
    mg_mime_out_t out;
    mime_sink_t sink;
    apr_status_t rv;

    rv = mg_mime_headers(&headers, &body, old_head, old_len, p);
    if (rv != APR_SUCCESS)
        return rv;
    author = author_of(headers, p);
    if (author && mg_mime_is_from(headers, domain, p))
        author = NULL; /* one of us */
    rewrite.author = author;
    rewrite.drop_reply_to = to_list;
    mime_sink_init(&sink, old_len + 512, NULL, 0, p);
    if (author) {
        put_from(&sink, list, author, p);
        if (!to_list && !mg_mime_header(headers, "Reply-To"))
            put_author(&sink, author, p);
    }
    copy_fields(&sink, old_head, old_head + old_len, &rewrite);
    rv = mime_sink_finish(&out, &sink);
    *phead = out.bytes;
    *plen = (apr_size_t)out.size;
    return rv;
}
