/* test_mime_batch.c - multipart/mailgun-variables, whole and in pieces. */
#include "mg_mime_batch.h"
#include "mg_status.h"
#include "unit_pool.h"

#define HEAD "Content-Type: multipart/mailgun-variables; boundary=b\r\n\r\n"
#define JSON "--b\r\nContent-Type: application/json\r\n\r\n{}\r\n"
#define BASE64 "--b\r\nContent-Type: application/json\r\n" \
    "Content-Transfer-Encoding: base64\r\n\r\neyJh\r\nIjoxfQ==\r\n"
#define RFC822 "--b\r\nContent-Type: message/rfc822\r\n\r\n"
#define MAIL "From: x@y\r\n\r\n--bb\r\ntext"

static const struct {
    const char *text;
    const char *variables;  /* or NULL: refused */
    const char *message;    /* or NULL: its end is missing */
} cases[] = {
    { HEAD JSON RFC822 MAIL "\r\n--b--\r\n", "{}", MAIL "\r\n" },
    { HEAD "preamble\r\n" BASE64 RFC822 MAIL "\r\n--b--", "{\"a\":1}",
      MAIL "\r\n" },
    { HEAD JSON RFC822 MAIL "\r\n--b--\r\nepilogue", "{}", MAIL "\r\n" },
    { HEAD JSON RFC822 MAIL "\r\n--b-- \t\r\n", "{}", MAIL "\r\n" },
    { HEAD JSON RFC822 "\r\n--b--\r\n", "{}", "\r\n" },
    { HEAD JSON RFC822 MAIL "\r\n--b\r\n", "{}", NULL },
    { HEAD JSON RFC822 MAIL "--b--\r\n", "{}", NULL },
    { HEAD JSON RFC822 MAIL, "{}", NULL },
    { HEAD JSON "--b--\r\n", NULL, NULL },
    { HEAD RFC822 MAIL "\r\n" JSON "--b--\r\n", NULL, NULL },
    { HEAD JSON "--b\r\nContent-Type: message/rfc822\r\n"
      "Content-Transfer-Encoding: base64\r\n\r\n" MAIL "\r\n--b--", NULL,
      NULL },
    { HEAD JSON, NULL, NULL },
    { HEAD "--b--\r\n", NULL, NULL },
    { HEAD, NULL, NULL },
    { "Content-Type: multipart/mailgun-variables\r\n\r\n" JSON RFC822, NULL,
      NULL },
};

static void test_read(void **state)
{
    const char *error;
    mg_mime_batch_t b;
    apr_size_t i, end;
    apr_status_t rv;

    (void)state;
    mg_mime_init();
    for (i = 0; i < COUNT(cases); i++) {
        const char *text = cases[i].text;
        apr_size_t len = strlen(text);

        error = NULL;
        rv = mg_mime_batch_read(&b, &error, text, len, pool);
        if ((rv == APR_SUCCESS) != (cases[i].variables != NULL))
            fail_msg("case %d: %s", (int)i, error ? error : "taken");
        if (rv != APR_SUCCESS) {
            assert_non_null(error);
            continue;
        }
        assert_int_equal(b.variables_len, strlen(cases[i].variables));
        assert_memory_equal(b.variables, cases[i].variables, b.variables_len);
        rv = mg_mime_batch_end(&end, &b, text + b.begin, len - b.begin);
        if ((rv == APR_SUCCESS) != (cases[i].message != NULL))
            fail_msg("case %d: its end is %d", (int)i, rv);
        if (rv != APR_SUCCESS)
            continue;
        assert_int_equal(end, strlen(cases[i].message));
        assert_memory_equal(text + b.begin, cases[i].message, end);
    }
}

static void test_is_batch(void **state)
{
    static const struct {
        const char *head;
        int is;
    } heads[] = {
        { HEAD, 1 },
        { "content-type: Multipart/Mailgun-Variables;boundary=x\r\n\r\n", 1 },
        { "Content-Type: multipart/mailgun-variables\r\n\r\n", 1 },
        { "Content-Type: multipart/mailgun-variables2; x\r\n\r\n", 0 },
        { "Content-Type: multipart/mixed; boundary=b\r\n\r\n", 0 },
        { "X: multipart/mailgun-variables\r\n\r\n", 0 },
    };
    apr_array_header_t *headers;
    apr_size_t i;

    (void)state;
    for (i = 0; i < COUNT(heads); i++) {
        mg_mime_headers(&headers, NULL, heads[i].head, strlen(heads[i].head),
                        pool);
        assert_int_equal(mg_mime_is_batch(headers), heads[i].is);
    }
}

UNIT_MAIN(cmocka_unit_test(test_read), cmocka_unit_test(test_is_batch))
