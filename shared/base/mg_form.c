/* mg_form.c - see mg_form.h. The sink for values and the urlencoded reader;
 * the multipart reader is mg_form_multipart.c. */
#include "mg_form_private.h"

#include <apr_lib.h>
#include <apr_mmap.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mg_status.h"
#include "mg_text.h"

#define FIRST_BUFFER 4096
/* Values up to this size stay in memory even when the form's share is used
 * up, until there are SMALL_SHARE times as many bytes: a thousand "to" fields
 * shall not cost a page of the file each. */
#define SMALL_VALUE 4096
#define SMALL_SHARE 16

static apr_status_t free_buffer(void *baton)
{
    mg_form_t *form = baton;
    free(form->buf);
    form->buf = NULL;
    return APR_SUCCESS;
}

mg_form_t *mg_form_create(const mg_form_limits_t *limits, apr_pool_t *p)
{
    mg_form_t *form = apr_pcalloc(p, sizeof(*form));

    form->pool = p;
    form->limits = *limits;
    form->fields = apr_array_make(p, 16, sizeof(mg_form_field_t));
    apr_pool_cleanup_register(p, form, free_buffer, apr_pool_cleanup_null);
    return form;
}

apr_status_t mg_form_fail(mg_form_t *form, apr_status_t rv, const char *why)
{
    if (!form->error)
        form->error = why;
    return rv;
}

const char *mg_form_error(const mg_form_t *form)
{
    return form->error ? form->error : "cannot read the form";
}

/* the sink */

static apr_status_t open_spool(mg_form_t *form)
{
    char *template = apr_pstrcat(form->pool, form->limits.spool_dir,
                                 "/form.XXXXXX", NULL);
    apr_status_t rv;

    rv = apr_file_mktemp(&form->spool, template,
                         APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE |
                             APR_FOPEN_EXCL | APR_FOPEN_BINARY,
                         form->pool);
    if (rv != APR_SUCCESS) {
        form->spool = NULL;
        return mg_form_fail(form, rv, "cannot make a spool file");
    }
    apr_file_remove(template, form->pool);
    return APR_SUCCESS;
}

/* This field goes to the spool file, from a new page on: it can be mapped. */
static apr_status_t begin_spooling(mg_form_t *form)
{
    apr_off_t page = getpagesize();
    apr_off_t start = (form->spool_end + page - 1) / page * page;
    apr_status_t rv = form->spool ? APR_SUCCESS : open_spool(form);

    if (rv != APR_SUCCESS)
        return rv;
    form->is_spooled = 1;
    form->field.file = form->spool;
    form->field.offset = form->spool_end = start;
    rv = apr_file_seek(form->spool, APR_SET, &start);
    if (rv != APR_SUCCESS)
        return mg_form_fail(form, rv, "cannot write a spool file");
    return APR_SUCCESS;
}

static apr_status_t flush_spool(mg_form_t *form)
{
    apr_status_t rv;

    rv = apr_file_write_full(form->spool, form->buf, form->buf_len, NULL);
    if (rv != APR_SUCCESS)
        return mg_form_fail(form, rv, "cannot write a spool file");
    form->spool_end += (apr_off_t)form->buf_len;
    form->buf_len = 0;
    return APR_SUCCESS;
}

static apr_status_t grow(mg_form_t *form)
{
    apr_size_t size = form->buf_size ? form->buf_size * 2 : FIRST_BUFFER;
    char *buf;

    if (size > form->limits.memory)
        size = form->limits.memory;
    buf = realloc(form->buf, size);
    if (!buf)
        return APR_ENOMEM;
    form->buf = buf;
    form->buf_size = size;
    return APR_SUCCESS;
}

/* Room for at least one byte in the buffer. */
static apr_status_t make_room(mg_form_t *form)
{
    apr_status_t rv;

    if (form->buf_len < form->buf_size)
        return APR_SUCCESS;
    if (form->buf_size < form->limits.memory)
        return grow(form);
    if (!form->is_spooled) {
        rv = begin_spooling(form);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return flush_spool(form);
}

apr_status_t mg_form_put(mg_form_t *form, const char *data, apr_size_t len)
{
    form->total += len;
    if (form->total > form->limits.total)
        return mg_form_fail(form, MG_ELIMIT, "the form is too large");
    form->field.size += len;
    while (len) {
        apr_status_t rv = make_room(form);
        apr_size_t n = form->buf_size - form->buf_len;

        if (rv != APR_SUCCESS)
            return rv;
        if (n > len)
            n = len;
        memcpy(form->buf + form->buf_len, data, n);
        form->buf_len += n;
        data += n;
        len -= n;
    }
    return APR_SUCCESS;
}

/* "to[]", "to[0]" -> "to" */
static void strip_brackets(char *name)
{
    apr_size_t len = strlen(name), i = len;

    if (!len || name[len - 1] != ']')
        return;
    for (i = len - 1; i > 0 && apr_isdigit(name[i - 1]); i--)
        ;
    if (i > 1 && name[i - 1] == '[')
        name[i - 1] = '\0';
}

void mg_form_open_field(mg_form_t *form, const char *name, apr_size_t len)
{
    char *copy = apr_pstrdup(form->pool, mg_text_clean(name, len, form->pool));

    strip_brackets(copy);
    memset(&form->field, 0, sizeof(form->field));
    form->field.name = copy;
    form->is_spooled = 0;
    form->buf_len = 0;
}

static int fits_in_memory(const mg_form_t *form)
{
    apr_size_t after = form->memory_used + form->buf_len;

    if (after <= form->limits.memory)
        return 1;
    return form->buf_len <= SMALL_VALUE &&
           after <= form->limits.memory * SMALL_SHARE;
}

apr_status_t mg_form_close_field(mg_form_t *form)
{
    mg_form_field_t *field = &form->field;
    apr_status_t rv;
    char *value;

    if (form->fields->nelts >= form->limits.fields)
        return mg_form_fail(form, MG_ELIMIT, "too many fields");
    if (!form->is_spooled && !fits_in_memory(form)) {
        if (form->buf_len <= SMALL_VALUE)
            return mg_form_fail(form, MG_ELIMIT, "too many fields");
        rv = begin_spooling(form);
        if (rv != APR_SUCCESS)
            return rv;
    }
    if (form->is_spooled) {
        rv = flush_spool(form);
        if (rv != APR_SUCCESS)
            return rv;
    } else {
        value = apr_palloc(form->pool, form->buf_len + 1);
        if (form->buf_len)
            memcpy(value, form->buf, form->buf_len);
        value[form->buf_len] = '\0';
        field->value = value;
        form->memory_used += form->buf_len;
    }
    APR_ARRAY_PUSH(form->fields, mg_form_field_t) = *field;
    return APR_SUCCESS;
}

/* urlencoded */

static int hex_value(unsigned char c)
{
    if (apr_isdigit(c))
        return c - '0';
    c = (unsigned char)apr_tolower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static apr_status_t url_put(mg_form_t *form, const char *data, apr_size_t len)
{
    mg_form_url_t *url = &form->url;

    if (url->in_value)
        return mg_form_put(form, data, len);
    if (url->name_len + len > form->limits.name)
        return mg_form_fail(form, MG_ELIMIT, "a field's name is too long");
    if (!url->name)
        url->name = apr_palloc(form->pool, form->limits.name);
    memcpy(url->name + url->name_len, data, len);
    url->name_len += len;
    return APR_SUCCESS;
}

/* A '%' without two digits behind it stands for itself. */
static apr_status_t url_give_back(mg_form_t *form)
{
    mg_form_url_t *url = &form->url;
    apr_size_t n = url->escape_len;

    url->escape_len = 0;
    return url_put(form, url->escape, n);
}

static apr_status_t url_begin_value(mg_form_t *form)
{
    mg_form_open_field(form, form->url.name ? form->url.name : "",
                       form->url.name_len);
    form->url.in_value = 1;
    return APR_SUCCESS;
}

static apr_status_t url_end_pair(mg_form_t *form)
{
    mg_form_url_t *url = &form->url;
    apr_status_t rv = url_give_back(form);

    if (rv != APR_SUCCESS)
        return rv;
    if (!url->in_value) {
        if (!url->name_len)
            return APR_SUCCESS;
        url_begin_value(form);
    }
    rv = mg_form_close_field(form);
    url->in_value = 0;
    url->name_len = 0;
    return rv;
}

static apr_status_t url_escape(mg_form_t *form, char c)
{
    mg_form_url_t *url = &form->url;
    char byte;

    url->escape[url->escape_len++] = c;
    if (url->escape_len < 3)
        return APR_SUCCESS;
    byte = (char)(hex_value((unsigned char)url->escape[1]) * 16 +
                  hex_value((unsigned char)url->escape[2]));
    url->escape_len = 0;
    return url_put(form, &byte, 1);
}

static int is_plain(const mg_form_t *form, char c)
{
    return c != '&' && c != '%' && c != '+' &&
           (c != '=' || form->url.in_value);
}

/* Where c comes next; what is known of it is looked for once. */
static const char *next_of(const char *known, char c, const char *at,
                           const char *end)
{
    if (known != NULL && known >= at)
        return known;
    known = memchr(at, c, (apr_size_t)(end - at));
    return known != NULL ? known : end;
}

static apr_status_t url_special(mg_form_t *form, char c)
{
    switch (c) {
    case '&':
        return url_end_pair(form);
    case '+':
        return url_put(form, " ", 1);
    case '%':
        form->url.escape[form->url.escape_len++] = c;
        return APR_SUCCESS;
    default: /* the first '=' */
        return url_begin_value(form);
    }
}

static apr_status_t url_feed(mg_form_t *form, const char *data, apr_size_t len)
{
    const char *end = data + len, *pair = NULL, *escape = NULL, *blank = NULL;
    apr_status_t rv = APR_SUCCESS;

    while (data < end && rv == APR_SUCCESS) {
        const char *run = data;

        if (form->url.escape_len) {
            if (hex_value((unsigned char)*data) >= 0)
                rv = url_escape(form, *data++);
            else
                rv = url_give_back(form);
            continue;
        }
        if (form->url.in_value) {
            pair = next_of(pair, '&', data, end);
            escape = next_of(escape, '%', data, pair);
            blank = next_of(blank, '+', data, escape);
            data = blank;
        }
        while (data < end && is_plain(form, *data))
            data++;
        if (data > run)
            rv = url_put(form, run, (apr_size_t)(data - run));
        else
            rv = url_special(form, *data++);
    }
    return rv;
}

apr_status_t mg_form_query(mg_form_t *form, const char *query)
{
    apr_status_t rv;

    if (!query || !*query)
        return APR_SUCCESS;
    rv = url_feed(form, query, strlen(query));
    return rv == APR_SUCCESS ? url_end_pair(form) : rv;
}

/* the body */

static int has_type(const char *content_type, const char *type)
{
    apr_size_t n = strlen(type);

    return strncasecmp(content_type, type, n) == 0 &&
           (content_type[n] == '\0' || content_type[n] == ';' ||
            apr_isspace(content_type[n]));
}

apr_status_t mg_form_begin(mg_form_t *form, const char *content_type,
                           int *pknown)
{
    *pknown = 1;
    if (has_type(content_type, "application/x-www-form-urlencoded")) {
        form->kind = MG_FORM_URL;
        return APR_SUCCESS;
    }
    if (has_type(content_type, "multipart/form-data")) {
        form->kind = MG_FORM_MULTIPART;
        return mg_form_multipart_begin(form, content_type);
    }
    if (has_type(content_type, "application/json")) {
        form->kind = MG_FORM_JSON;
        mg_form_open_field(form, "", 0);
        return APR_SUCCESS;
    }
    *pknown = 0;
    return APR_SUCCESS;
}

apr_status_t mg_form_feed(mg_form_t *form, const char *data, apr_size_t len)
{
    if (form->kind == MG_FORM_URL)
        return url_feed(form, data, len);
    if (form->kind == MG_FORM_MULTIPART)
        return mg_form_multipart_feed(form, data, len);
    if (form->kind == MG_FORM_JSON)
        return mg_form_put(form, data, len);
    return APR_SUCCESS;
}

apr_status_t mg_form_end(mg_form_t *form)
{
    if (form->kind == MG_FORM_URL)
        return url_end_pair(form);
    if (form->kind == MG_FORM_MULTIPART)
        return mg_form_multipart_end(form);
    if (form->kind == MG_FORM_JSON)
        return mg_form_close_field(form);
    return APR_SUCCESS;
}

/* asking */

const apr_array_header_t *mg_form_fields(const mg_form_t *form)
{
    return form->fields;
}

const mg_form_field_t *mg_form_find(const mg_form_t *form, const char *name,
                                    const mg_form_field_t *after)
{
    const mg_form_field_t *field = (const mg_form_field_t *)form->fields->elts;
    const mg_form_field_t *end = field + form->fields->nelts;

    for (field = after ? after + 1 : field; field < end; field++)
        if (strcmp(field->name, name) == 0)
            return field;
    return NULL;
}

const char *mg_form_text(const mg_form_t *form, const char *name,
                         apr_pool_t *p)
{
    const mg_form_field_t *field = NULL, *last = NULL;

    while ((field = mg_form_find(form, name, field)))
        last = field;
    if (!last || !last->value)
        return NULL;
    return mg_text_clean(last->value, (apr_size_t)last->size, p);
}

apr_status_t mg_form_bytes(const char **pbytes, apr_size_t *plen,
                           const mg_form_field_t *field, apr_pool_t *p)
{
    apr_mmap_t *map;
    apr_status_t rv;

    *plen = (apr_size_t)field->size;
    *pbytes = field->value;
    if (field->value)
        return APR_SUCCESS;
    rv = apr_mmap_create(&map, field->file, field->offset, *plen,
                         APR_MMAP_READ, p);
    if (rv != APR_SUCCESS)
        return rv;
    *pbytes = map->mm;
    return APR_SUCCESS;
}
