/* fuzz_form.c - form bodies. The first octet says how many octets are fed at a
 * time, the first line the content type. */
#include "fuzz.h"
#include "mg_form.h"

FUZZ(text, len, p)
{
    mg_form_limits_t limits = { 4096, 65536, 50, 128, "/tmp" };
    mg_form_t *form = mg_form_create(&limits, p);
    const apr_array_header_t *fields;
    char *body, *end = text + len;
    size_t step;
    int known, i;

    if (len == 0)
        return;
    step = (size_t)(unsigned char)*text++ + 1;
    body = memchr(text, '\n', (size_t)(end - text));
    if (body == NULL)
        return;
    *body++ = '\0';
    if (mg_form_begin(form, text, &known) != APR_SUCCESS || !known)
        return;
    for (; body < end; body += step) {
        size_t n = (size_t)(end - body) < step ? (size_t)(end - body) : step;

        if (mg_form_feed(form, body, n) != APR_SUCCESS) {
            FUZZ_MUST(mg_form_error(form));
            return;
        }
    }
    if (mg_form_end(form) != APR_SUCCESS)
        return;
    fields = mg_form_fields(form);
    for (i = 0; i < fields->nelts; i++) {
        const mg_form_field_t *f = &APR_ARRAY_IDX(fields, i, mg_form_field_t);
        const char *bytes;
        apr_size_t n;

        FUZZ_MUST(f->name);
        FUZZ_MUST(mg_form_find(form, f->name, NULL));
        if (mg_form_bytes(&bytes, &n, f, p) == APR_SUCCESS)
            free(fuzz_exact(bytes, n));
    }
}
