/* fuzz_mime_parse.c - messages taken apart, transcoded to UTF-8, and what is
 * posted of them in both forms. */
#include "fuzz.h"
#include "mg_hook.h"
#include "mg_mime.h"
#include "mg_text.h"

static void check_fields(const apr_array_header_t *fields)
{
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const mg_field_t *f = &APR_ARRAY_IDX(fields, i, mg_field_t);

        FUZZ_MUST(!strpbrk(f->name, "\r\n"));
        if (f->value)
            FUZZ_MUST(mg_text_is_utf8(f->value, strlen(f->value)));
    }
}

static void post(const char *exact, size_t len, apr_pool_t *p)
{
    static const char *const urls[] = { "http://a.test/", "http://a.test/mime" };
    mg_delivery_t delivery = { .recipient = "bob@d.test" };
    mg_message_t message = { .sender = "" };
    int i;

    for (i = 0; i < 2; i++) {
        apr_array_header_t *fields = apr_array_make(p, 16,
                                                    sizeof(mg_field_t));

        delivery.target = urls[i];
        mg_hook_forward(fields, &delivery, &message, exact, len, p);
        check_fields(fields);
    }
}

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
    post(exact, len, p);
    free(exact);
}
