/* fuzz_dkim.c - a message's header fields and body in canonical form: the same
 * whatever the parts it came in, and canonical itself. */
#include "dkim_internal.h"
#include "fuzz.h"

static apr_status_t content_of(mg_dkim_content_t **pcontent, const char *text,
                               size_t len, size_t step, apr_pool_t *p)
{
    size_t at, n;

    *pcontent = mg_dkim_content_make(p);
    for (at = 0; at < len; at += n) {
        n = len - at < step ? len - at : step;
        mg_dkim_content_feed(*pcontent, text + at, n);
    }
    return mg_dkim_content_end(*pcontent);
}

static const mg_dkim_signer_t *signer_in(apr_pool_t *p)
{
    static const unsigned char der[] = {
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65,
        0x70, 0x04, 0x22, 0x04, 0x20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
        13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
        30, 31, 32
    };
    mg_dkim_signer_t *made;

    FUZZ_MUST(mg_dkim_signer_make(&made, "d.test", "s", der, sizeof(der), p)
              == APR_SUCCESS);
    return made;
}

FUZZ(text, len, p)
{
    const mg_dkim_signer_t *key = signer_in(p);
    mg_dkim_content_t *one, *two;
    const char *field, *again;
    char *exact = fuzz_exact(text, len), *relaxed, *twice;
    apr_size_t n, again_len;
    apr_status_t rv;

    rv = content_of(&one, exact, len, len ? len : 1, p);
    FUZZ_MUST(content_of(&two, exact, len, len % 7 + 1, p) == rv);
    if (rv == APR_SUCCESS) {
        FUZZ_MUST(mg_dkim_sign(&field, &n, key, one, 0, p)
                  == APR_SUCCESS);
        FUZZ_MUST(mg_dkim_sign(&again, &again_len, key, two, 0, p)
                  == APR_SUCCESS);
        FUZZ_MUST(n == again_len && memcmp(field, again, n) == 0);
        FUZZ_MUST(memcmp(field + n - 2, "\r\n", 2) == 0);
    }
    relaxed = apr_palloc(p, len + 1);
    twice = apr_palloc(p, len + 1);
    n = dkim_header_relax(relaxed, exact, len);
    FUZZ_MUST(n <= len);
    if (n > 0 && !memchr(relaxed, '\r', n)) {
        FUZZ_MUST(dkim_header_relax(twice, relaxed, n) == n);
        FUZZ_MUST(memcmp(twice, relaxed, n) == 0);
    }
    free(exact);
}
