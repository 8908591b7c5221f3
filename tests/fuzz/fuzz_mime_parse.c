/* fuzz_mime_parse.c - messages taken apart, and transcoded to UTF-8. */
#include "fuzz.h"
#include "mg_mime.h"
#include "mg_text.h"

FUZZ(text, len, p)
{
    char *exact = fuzz_exact(text, len);
    apr_size_t out_len;
    mg_parsed_t *m;
    int i;

    FUZZ_MUST(mg_mime_parse(&m, exact, len, p) == APR_SUCCESS);
    FUZZ_MUST(m->from && m->subject && m->body_plain);
    FUZZ_MUST(mg_text_is_utf8(m->body_plain, strlen(m->body_plain)));
    for (i = 0; i < m->attachments->nelts; i++) {
        mg_attachment_t *a = &APR_ARRAY_IDX(m->attachments, i,
                                            mg_attachment_t);

        FUZZ_MUST(a->filename && a->content_type);
        FUZZ_MUST(!strpbrk(a->filename, "\r\n"));
        FUZZ_MUST(!strpbrk(a->content_type, "\r\n"));
        free(fuzz_exact(a->bytes, a->len)); /* all of it is there */
    }
    FUZZ_MUST(mg_mime_utf8(&out_len, exact, len, p)[out_len] == '\0');
    free(exact);
}
