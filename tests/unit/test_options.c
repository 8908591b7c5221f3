/* test_options.c - o:, h:, v: parameters and their header twins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_mime.h"
#include "mg_options.h"
#include "mg_status.h"

#define NOW apr_time_from_sec(1700000000)

static apr_pool_t *pool;

static const struct {
    const char *name, *value;
    const char *error;              /* or NULL, and then */
    const char *options, *variables;
} rows[] = {
    { "o:tag", "a", NULL, "{\"tags\":[\"a\"]}", NULL },
    { "o:campaign", "c", NULL, "{\"campaigns\":[\"c\"]}", NULL },
    { "o:dkim", "no", NULL, "{\"dkim\":false}", NULL },
    { "o:dkim", "maybe", NULL, "{\"dkim\":\"maybe\"}", NULL },
    { "o:tracking", "", NULL, "{\"tracking\":false}", NULL },
    { "o:tracking", "True", NULL, "{\"tracking\":true}", NULL },
    { "o:tracking-opens", "1", NULL, "{\"tracking-opens\":true}", NULL },
    { "o:tracking-clicks", "htmlonly", NULL,
      "{\"tracking-clicks\":\"htmlonly\"}", NULL },
    { "o:tracking-clicks", "true", NULL, "{\"tracking-clicks\":\"yes\"}",
      NULL },
    { "o:whatever", "x", NULL, "{\"whatever\":\"x\"}", NULL },
    { "o:deliverytime", "x", "x is not an RFC-2822 compliant date", NULL,
      NULL },
    { "o:deliverytime", "1800000000", "'o:deliverytime' parameter is too far "
      "in the future: the limit is 3 days", NULL, NULL },
    { "o:deliverytime", "1600000000", NULL,
      "{\"deliverytime\":\"1600000000\"}", NULL },
    { "v:a", "text", NULL, NULL, "{\"a\":\"text\"}" },
    { "v:a", "12", NULL, NULL, "{\"a\":\"12\"}" },
    { "v:a", " {\"b\":[1]}", NULL, NULL, "{\"a\":{\"b\":[1]}}" },
    { "v:a", "{broken", NULL, NULL, "{\"a\":\"{broken\"}" },
    { "h:X-A", "v", NULL, NULL, NULL },
    { "h:X-\xc5\xbc", "v", "Header name must be pure ASCII: X-\xc5\xbc", NULL,
      NULL },
    { "h:X A", "v", "Header name is not valid: X A", NULL, NULL },
    { "h:X:A", "v", "Header name is not valid: X:A", NULL, NULL },
    { "h:X-A", "a\nb", "Header value must be one line: X-A", NULL, NULL },
};

static void same(const char *got, const char *wanted)
{
    if (!wanted)
        assert_null(got);
    else
        assert_string_equal(got, wanted);
}

static void test_parameters(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mg_options_t *o = mg_options_create(pool);
        const char *error = NULL;
        apr_status_t rv = mg_options_add(o, rows[i].name, rows[i].value, NOW,
                                         &error);

        assert_true(mg_options_is_name(rows[i].name));
        assert_int_equal(rv, rows[i].error ? MG_EBADINPUT : APR_SUCCESS);
        same(error, rows[i].error);
        if (rv != APR_SUCCESS)
            continue;
        same(mg_options_json(o, pool), rows[i].options);
        same(mg_options_variables(o, pool), rows[i].variables);
    }
    assert_false(mg_options_is_name("o"));
    assert_false(mg_options_is_name("o:"));
    assert_false(mg_options_is_name("to"));
    assert_false(mg_options_is_name("x:y"));
}

static void test_time_and_limit(void **state)
{
    mg_options_t *o = mg_options_create(pool);
    const char *error = NULL;
    char *big = apr_pcalloc(pool, 16384);

    (void)state;
    assert_int_equal(mg_options_add(o, "o:deliverytime", "1700003600", NOW,
                                    &error), APR_SUCCESS);
    assert_true(o->due_at == apr_time_from_sec(1700003600));
    assert_int_equal(mg_options_add(o, "o:deliverytime", "1600003600", NOW,
                                    &error), APR_SUCCESS);
    assert_true(o->due_at == 0);
    memset(big, 'x', 16383);
    assert_int_equal(mg_options_add(o, "v:x", big, NOW, &error),
                     MG_EBADINPUT);
    assert_string_equal(error, "Send options (parameters starting with o:, "
                               "h:, or v:) are limited to 16 kB total");
}

static void test_submitted_headers(void **state)
{
    static const char head[] =
        "X-Mailgun-Tag: a\r\nx-mailgun-tag: b\r\nSubject: X-Mailgun-Tag: c\r\n"
        "X-Mailgun-Drop-Message: yes\r\nX-Mailgun-Track-Clicks: no\r\n"
        "X-Mailgun-Variables: {\"a\": 1}\r\nX-Mailgun-Variables: {\"b\": 2}\r\n"
        "X-Mailgun-Variables: nonsense\r\nX-Mailgun-Unknown: 1\r\n\r\n";
    mg_options_t *o = mg_options_create(pool);
    apr_array_header_t *headers;
    const char *error = NULL;

    (void)state;
    assert_int_equal(mg_mime_headers(&headers, NULL, head, sizeof(head) - 1,
                                     pool), APR_SUCCESS);
    assert_int_equal(mg_options_from_headers(o, headers, NOW, &error),
                     APR_SUCCESS);
    assert_true(o->testmode);
    assert_string_equal(mg_options_json(o, pool),
                        "{\"tags\":[\"a\",\"b\"],\"testmode\":true,"
                        "\"tracking-clicks\":\"no\"}");
    assert_string_equal(mg_options_variables(o, pool), "{\"a\":1,\"b\":2}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_time_and_limit),
        cmocka_unit_test(test_submitted_headers),
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    mg_mime_init();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
