/* fuzz_compose.c - messages composed: lines NAME, SUBJECT, header, JSON, file
 * name; then the text. What is written is ASCII in short lines, and the
 * subject reads back as it was. */
#include "fuzz.h"
#include "mg_mime.h"
#include "mg_text.h"

static char *next_line(char **ptext)
{
    char *line = *ptext, *end = strchr(line, '\n');

    if (end)
        *end++ = '\0';
    else
        end = line + strlen(line);
    *ptext = end;
    return line;
}

static void check_bytes(const char *s, apr_int64_t len)
{
    apr_int64_t i, line = 0;

    for (i = 0; i < len; i++) {
        if (s[i] == '\r') {
            FUZZ_MUST(i + 1 < len && s[i + 1] == '\n');
            line = 0;
            i++;
            continue;
        }
        FUZZ_MUST(s[i] != '\n' && s[i] > 0 && ++line <= 998);
    }
}

static const char *trimmed(const char *s, apr_pool_t *p)
{
    char *copy, *end;

    while (*s == ' ' || *s == '\t')
        s++;
    copy = apr_pstrdup(p, mg_text_clean(s, strlen(s), p));
    for (end = copy + strlen(copy);
         end > copy && (end[-1] == ' ' || end[-1] == '\t');)
        *--end = '\0';
    return copy;
}

static int has_controls(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return 1;
    }
    return 0;
}

FUZZ(text, len, p)
{
    mg_address_t from = { .address = "a@b.c", .local = "a", .domain = "b.c" };
    apr_array_header_t *to = apr_array_make(p, 1, sizeof(mg_address_t *));
    apr_array_header_t *parts = apr_array_make(p, 1, sizeof(mg_part_t *));
    apr_table_t *headers = apr_table_make(p, 1);
    mg_compose_t c = { .from = &from, .to = to, .message_id = "x@b.c" };
    mg_part_t part = { .bytes = "x", .len = 1 };
    const char *error, *want;
    char *end = text + len;
    mg_mime_out_t out;
    mg_parsed_t *m;

    from.name = next_line(&text);
    if (has_controls(from.name) || !mg_text_is_utf8(from.name,
                                                    strlen(from.name)))
        from.name = NULL; /* mg_address_parse() gives no such name */
    APR_ARRAY_PUSH(to, mg_address_t *) = &from;
    c.subject = next_line(&text);
    apr_table_add(headers, "X-My", next_line(&text));
    c.headers = headers;
    c.variables = next_line(&text);
    part.filename = next_line(&text);
    APR_ARRAY_PUSH(parts, mg_part_t *) = &part;
    c.parts = *part.filename ? parts : NULL;
    c.text = c.html = text;
    c.text_len = c.html_len = (apr_size_t)(end - text);
    if (mg_mime_compose(&out, &c, NULL, 0, &error, p) != APR_SUCCESS) {
        FUZZ_MUST(error && *error);
        return;
    }
    check_bytes(out.bytes, out.size);
    FUZZ_MUST(mg_mime_parse(&m, out.bytes, (apr_size_t)out.size, p)
              == APR_SUCCESS);
    want = trimmed(c.subject, p);
    if (!has_controls(want))
        FUZZ_MUST(strcmp(m->subject, want) == 0);
    FUZZ_MUST(m->attachments->nelts == (c.parts != NULL));
}
