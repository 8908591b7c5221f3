/* fuzz_headers.c - header blocks: read, shown as JSON, taken for options,
 * mended; what was mended once stays as it is. */
#include "fuzz.h"
#include "mg_mime.h"
#include "mg_options.h"
#include "mg_text.h"

/* Refused in words, or options that are JSON within their limits. */
static void check_options(const apr_array_header_t *list, apr_pool_t *p)
{
    mg_options_t *options = mg_options_create(p);
    const char *error = NULL, *why;
    char *text;

    if (mg_options_from_headers(options, list, apr_time_from_sec(1700000000),
                                &error) != APR_SUCCESS) {
        FUZZ_MUST(error && *error && mg_text_is_utf8(error, strlen(error)));
        return;
    }
    text = mg_options_json(options, p);
    FUZZ_MUST(!text || mg_json_parse(text, strlen(text), &why, p));
    text = mg_options_variables(options, p);
    FUZZ_MUST(!text || mg_json_parse(text, strlen(text), &why, p));
    FUZZ_MUST(mg_options_campaigns(options, p)->nelts <= MG_CAMPAIGNS_MAX);
    FUZZ_MUST(options->deliver_within >= 0 && options->due_at >= 0);
}

FUZZ(text, len, p)
{
    mg_mime_fix_t fix = { .new_message_id = "new@d.test",
                          .sender = "me@d.test", .variables = "{\"a\":1}",
                          .received = "by x; now" };
    const char *head, *twice, *id, *id_twice;
    apr_size_t head_len, twice_len, body;
    char *exact = fuzz_exact(text, len);
    apr_array_header_t *list;
    int i;

    mg_mime_headers(&list, &body, exact, len, p);
    FUZZ_MUST(body <= len);
    for (i = 0; i < list->nelts; i++) {
        mg_header_t *h = &APR_ARRAY_IDX(list, i, mg_header_t);

        FUZZ_MUST(h->name[0] && !strpbrk(h->raw, "\r\n"));
        FUZZ_MUST(!strpbrk(h->value, "\r\n"));
        FUZZ_MUST(mg_text_is_utf8(h->value, strlen(h->value)));
    }
    FUZZ_MUST(mg_mime_headers_json(list, p)[0] == '[');
    check_options(list, p);
    FUZZ_MUST(mg_mime_fix_headers(&head, &head_len, &id, exact, body, &fix, p)
              == APR_SUCCESS);
    FUZZ_MUST(head_len >= 4 && memcmp(head + head_len - 4, "\r\n\r\n", 4) == 0);
    fix.received = NULL;
    FUZZ_MUST(mg_mime_fix_headers(&twice, &twice_len, &id_twice, head,
                                  head_len, &fix, p) == APR_SUCCESS);
    FUZZ_MUST(strcmp(id, id_twice) == 0);
    FUZZ_MUST(twice_len == head_len);
    free(exact);
}
