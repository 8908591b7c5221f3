/* mg_form_multipart.c - multipart/form-data as it arrives (RFC 7578, framing
 * by RFC 2046 5.1.1).
 *
 *   delimiter := CRLF "--" boundary      the CRLF belongs to the delimiter
 *   behind it: "--" for the last one, or padding and CRLF
 *
 * The delimiter begins with a CR and holds no other, so a failed match can
 * only begin anew at the byte that did not fit: no look-back is needed, and a
 * 24 MB binary part goes through memchr() from CR to CR. What follows a whole
 * delimiter and is neither "--" nor padding shows that it was content.
 */
#include "mg_form_private.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_status.h"
#include "mg_text.h"

static const char malformed[] = "malformed multipart/form-data request";

static apr_status_t bad(mg_form_t *form)
{
    return mg_form_fail(form, MG_EBADINPUT, malformed);
}

/* header parameters: name=token or name="quoted" */

typedef struct {
    const char *name, *value;
} param_t;

static const char *skip_blank(const char *s)
{
    while (*s == ' ' || *s == '\t' || *s == ';' || *s == '\r' || *s == '\n')
        s++;
    return s;
}

/* Only \" and \\ are escapes: some send C:\path\name as it is. Browsers write
 * %22 for a quote (HTML standard, multipart/form-data encoding). */
static const char *read_quoted(const char **pvalue, const char *s,
                               apr_pool_t *p)
{
    const char *end = s;
    char *out;

    while (*end && *end != '"')
        end += *end == '\\' && (end[1] == '"' || end[1] == '\\') ? 2 : 1;
    *pvalue = out = apr_palloc(p, (apr_size_t)(end - s) + 1);
    for (; *s && *s != '"'; s++) {
        if (*s == '\\' && (s[1] == '"' || s[1] == '\\'))
            s++;
        if (strncmp(s, "%22", 3) == 0) {
            *out++ = '"';
            s += 2;
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
    return *s ? s + 1 : s;
}

/* The next parameter, or NULL at the end. */
static const char *next_param(param_t *param, const char *s, apr_pool_t *p)
{
    const char *begin = skip_blank(s);

    if (!*begin)
        return NULL;
    s = begin;
    while (*s && *s != '=' && *s != ';')
        s++;
    param->name = apr_pstrmemdup(p, begin, (apr_size_t)(s - begin));
    param->value = "";
    if (*s != '=')
        return s;
    s++;
    if (*s == '"')
        return read_quoted(&param->value, s + 1, p);
    begin = s;
    while (*s && *s != ';' && !apr_isspace(*s))
        s++;
    param->value = apr_pstrmemdup(p, begin, (apr_size_t)(s - begin));
    return s;
}

/* RFC 8187: utf-8'en'na%20me; other charsets are left alone */
static const char *extended_value(const char *s, apr_pool_t *p)
{
    const char *quote = strchr(s, '\'');
    char *out, *begin;

    if (!quote || !(quote = strchr(quote + 1, '\'')) ||
        strncasecmp(s, "utf-8'", 6) != 0)
        return NULL;
    out = begin = apr_palloc(p, strlen(quote) + 1);
    for (s = quote + 1; *s; s++) {
        char digits[3] = { 0 };

        if (*s == '%' && apr_isxdigit(s[1]) && apr_isxdigit(s[2])) {
            memcpy(digits, s + 1, 2);
            *out++ = (char)apr_strtoi64(digits, NULL, 16);
            s += 2;
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
    return begin;
}

static const char *base_name(const char *name)
{
    const char *s;

    for (s = name; *s; s++)
        if (*s == '/' || *s == '\\')
            name = s + 1;
    return name;
}

static const char *clean_filename(const char *value, apr_pool_t *p)
{
    char *name = apr_pstrdup(p, mg_text_clean(value, strlen(value), p));
    char *s;

    for (s = name; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            *s = '_';
    return base_name(name);
}

apr_status_t mg_form_multipart_begin(mg_form_t *form,
                                     const char *content_type)
{
    mg_form_multipart_t *m = &form->multipart;
    const char *s = strchr(content_type, ';');
    const char *boundary = NULL;
    param_t param;

    while (s && (s = next_param(&param, s, form->pool)))
        if (strcasecmp(param.name, "boundary") == 0)
            boundary = param.value;
    if (!boundary || !*boundary || strlen(boundary) > MG_FORM_BOUNDARY_MAX ||
        strpbrk(boundary, "\r\n"))
        return bad(form);
    m->delimiter_len = (apr_size_t)apr_snprintf(
        m->delimiter, sizeof(m->delimiter), "\r\n--%s", boundary);
    m->matched = 2; /* the first one needs no CRLF before it */
    m->header_max = form->limits.name * 8;
    m->header = apr_palloc(form->pool, m->header_max + 1);
    return APR_SUCCESS;
}

/* a part's header */

static void read_disposition(mg_form_t *form, const char *s,
                             const char **pname, const char **pfilename)
{
    const char *extended = NULL;
    param_t param;

    s = skip_blank(s);
    while (*s && *s != ';')
        s++;
    while ((s = next_param(&param, s, form->pool))) {
        if (strcasecmp(param.name, "name") == 0)
            *pname = param.value;
        else if (strcasecmp(param.name, "filename") == 0)
            *pfilename = param.value;
        else if (strcasecmp(param.name, "filename*") == 0)
            extended = extended_value(param.value, form->pool);
    }
    if (extended)
        *pfilename = extended;
    if (*pfilename)
        *pfilename = clean_filename(*pfilename, form->pool);
}

static const char *clean_type(mg_form_t *form, const char *s)
{
    apr_size_t len = strlen(s);

    while (len && apr_isspace(s[len - 1]))
        len--;
    if (!len || !mg_text_is_utf8(s, len) || mg_text_breaks_header(s, len))
        return NULL;
    return apr_pstrmemdup(form->pool, s, len);
}

/* One unfolded line. */
static void header_line(mg_form_t *form, const char *line, const char **pname,
                        const char **pfilename, const char **ptype)
{
    static const char disposition[] = "content-disposition:";
    static const char type[] = "content-type:";

    if (strncasecmp(line, disposition, sizeof(disposition) - 1) == 0)
        read_disposition(form, line + sizeof(disposition) - 1, pname,
                         pfilename);
    else if (strncasecmp(line, type, sizeof(type) - 1) == 0)
        *ptype = clean_type(form, skip_blank(line + sizeof(type) - 1));
}

/* CRLF and LF end a line, a blank continues it. */
static char *next_line(char **ps)
{
    char *line = *ps, *end = line;

    if (!*line)
        return NULL;
    while ((end = strchr(end, '\n'))) {
        if (end > line && end[-1] == '\r')
            end[-1] = ' ';
        if (end[1] != ' ' && end[1] != '\t')
            break;
        *end = ' ';
    }
    if (end)
        *end = '\0';
    *ps = end ? end + 1 : line + strlen(line);
    return line;
}

static apr_status_t part_opened(mg_form_t *form)
{
    mg_form_multipart_t *m = &form->multipart;
    const char *name = NULL, *filename = NULL, *type = NULL;
    char *s = m->header, *line;

    if (++m->parts > form->limits.fields)
        return mg_form_fail(form, MG_ELIMIT, "too many fields");
    m->header[m->header_len] = '\0';
    if (memchr(m->header, '\0', m->header_len))
        return bad(form);
    while ((line = next_line(&s)))
        header_line(form, line, &name, &filename, &type);
    m->skip = !name || !*name;
    if (name && strlen(name) > form->limits.name)
        return mg_form_fail(form, MG_ELIMIT, "a field's name is too long");
    if (!m->skip) {
        mg_form_open_field(form, name, strlen(name));
        form->field.filename = filename;
        form->field.content_type = type;
    }
    m->state = PART_BODY;
    return APR_SUCCESS;
}

static int header_is_whole(const mg_form_multipart_t *m)
{
    const char *end = m->header + m->header_len;

    if (end[-1] != '\n')
        return 0;
    if (m->header_len == 1 || (m->header_len == 2 && end[-2] == '\r'))
        return 1; /* no header at all */
    return (m->header_len >= 2 && end[-2] == '\n') ||
           (m->header_len >= 3 && end[-2] == '\r' && end[-3] == '\n');
}

static apr_status_t feed_header(mg_form_t *form, const char **pdata,
                                const char *end)
{
    mg_form_multipart_t *m = &form->multipart;

    while (*pdata < end && m->state == PART_HEADER) {
        if (m->header_len == m->header_max)
            return mg_form_fail(form, MG_ELIMIT, "a part's header is too long");
        m->header[m->header_len++] = *(*pdata)++;
        if (header_is_whole(m))
            return part_opened(form);
    }
    return APR_SUCCESS;
}

/* a part's body */

static apr_status_t put(mg_form_t *form, const char *data, apr_size_t len)
{
    mg_form_multipart_t *m = &form->multipart;

    if (m->state != PART_BODY || m->skip || !len)
        return APR_SUCCESS;
    return mg_form_put(form, data, len);
}

static apr_status_t part_closed(mg_form_t *form, mg_form_part_state_t next)
{
    mg_form_multipart_t *m = &form->multipart;
    int had_field = m->state == PART_BODY && !m->skip;

    m->state = next;
    m->matched = 0;
    m->tail_len = 0;
    m->header_len = 0;
    return had_field ? mg_form_close_field(form) : APR_SUCCESS;
}

/* It was content after all. The tail is looked at anew: it may hold the CR of
 * the true delimiter. The first delimiter's "CRLF" never was on the wire, but
 * what stands before it is dropped anyway. */
static apr_status_t not_a_delimiter(mg_form_t *form)
{
    mg_form_multipart_t *m = &form->multipart;
    char tail[MG_FORM_TAIL_MAX];
    apr_size_t len = m->tail_len;
    apr_status_t rv;

    memcpy(tail, m->tail, len);
    m->matched = 0;
    m->tail_len = 0;
    rv = put(form, m->delimiter, m->delimiter_len);
    return rv == APR_SUCCESS ? mg_form_multipart_feed(form, tail, len) : rv;
}

/* One byte behind a whole delimiter. */
static apr_status_t feed_tail(mg_form_t *form, char c)
{
    mg_form_multipart_t *m = &form->multipart;
    char last = m->tail_len ? m->tail[m->tail_len - 1] : ' ';

    m->tail[m->tail_len++] = c;
    if (c == '-' && m->tail_len == 1)
        return APR_SUCCESS;
    if (c == '-' && m->tail_len == 2 && last == '-')
        return part_closed(form, PART_END);
    if (c == '\n' && last == '\r')
        return part_closed(form, PART_HEADER);
    if ((c == ' ' || c == '\t' || c == '\r') && last != '-' && last != '\r' &&
        m->tail_len < MG_FORM_TAIL_MAX)
        return APR_SUCCESS;
    return not_a_delimiter(form);
}

static apr_status_t feed_body(mg_form_t *form, const char **pdata,
                              const char *end)
{
    mg_form_multipart_t *m = &form->multipart;
    const char *cr;
    apr_size_t n = m->matched;
    apr_status_t rv;

    if (n == m->delimiter_len)
        return feed_tail(form, *(*pdata)++);
    if (n) {
        if (**pdata == m->delimiter[n]) {
            m->matched++;
            (*pdata)++;
            return APR_SUCCESS;
        }
        m->matched = 0;
        return put(form, m->delimiter, n);
    }
    cr = memchr(*pdata, '\r', (apr_size_t)(end - *pdata));
    rv = put(form, *pdata, (apr_size_t)((cr ? cr : end) - *pdata));
    *pdata = cr ? cr + 1 : end;
    m->matched = cr ? 1 : 0;
    return rv;
}

apr_status_t mg_form_multipart_feed(mg_form_t *form, const char *data,
                                    apr_size_t len)
{
    const char *end = data + len;
    apr_status_t rv = APR_SUCCESS;

    while (data < end && rv == APR_SUCCESS) {
        switch (form->multipart.state) {
        case PART_HEADER:
            rv = feed_header(form, &data, end);
            break;
        case PART_NONE:
        case PART_BODY:
            rv = feed_body(form, &data, end);
            break;
        case PART_END:
            return APR_SUCCESS; /* the epilogue says nothing */
        }
    }
    return rv;
}

apr_status_t mg_form_multipart_end(mg_form_t *form)
{
    return form->multipart.state == PART_END ? APR_SUCCESS : bad(form);
}
