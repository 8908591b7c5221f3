/* fuzz_mime_batch.c - multipart/mailgun-variables: the first octet says how much
 * of what came is at hand; what is sent lies within what came. */
#include "fuzz.h"
#include "mg_mime_batch.h"

FUZZ(text, len, p)
{
    static int initialized;
    apr_array_header_t *headers;
    const char *error = NULL;
    mg_mime_batch_t batch;
    char *head, *tail;
    size_t n, end = 0;

    if (!initialized)
        mg_mime_init();
    initialized = 1;
    if (len < 1)
        return;
    n = (len - 1) - (len - 1) * (unsigned char)text[0] / 512;
    text++;
    len--;
    head = fuzz_exact(text, n);
    tail = fuzz_exact(text + len - len / 2, len / 2);
    mg_mime_headers(&headers, NULL, head, n, p);
    (void)mg_mime_is_batch(headers);
    if (mg_mime_batch_read(&batch, &error, head, n, p) == APR_SUCCESS) {
        FUZZ_MUST(batch.begin <= n);
        FUZZ_MUST(batch.variables_len <= n);
        if (mg_mime_batch_end(&end, &batch, tail, len / 2) == APR_SUCCESS)
            FUZZ_MUST(end > 0 && end <= len / 2);
    }
    else {
        FUZZ_MUST(error != NULL);
    }
    free(head);
    free(tail);
}
