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

#define TEN "0123456789"
#define FORTY TEN TEN TEN TEN
#define LONG_TAG FORTY FORTY FORTY "01234567"
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
    { "o:tag", "\xc3\xa4", "'o:tag' parameter must be pure ASCII", NULL,
      NULL },
    { "o:tag", LONG_TAG, NULL, "{\"tags\":[\"" LONG_TAG "\"]}", NULL },
    { "o:tag", LONG_TAG "x", "'o:tag' parameter is longer than 128 "
      "characters", NULL, NULL },
    { "o:tag", "", NULL, NULL, NULL },
    { "o:testmode", "yes", NULL, "{\"testmode\":true}", NULL },
    { "o:testmode", "maybe", "'o:testmode' parameter must be yes or no", NULL,
      NULL },
    { "o:require-tls", "True", NULL, "{\"require-tls\":true}", NULL },
    { "o:require-tls", "sure", "'o:require-tls' parameter must be yes or no",
      NULL, NULL },
    { "o:skip-verification", "no", NULL, "{\"skip-verification\":false}",
      NULL },
    { "o:deliver-within", "1h30m", NULL, "{\"deliver-within\":5400}", NULL },
    { "o:deliver-within", "2d", NULL, "{\"deliver-within\":172800}", NULL },
    { "o:deliver-within", "90s", NULL, "{\"deliver-within\":90}", NULL },
    { "o:deliver-within", "90", "'o:deliver-within' parameter is not a "
      "duration like 1h30m", NULL, NULL },
    { "o:deliver-within", "", "'o:deliver-within' parameter is not a "
      "duration like 1h30m", NULL, NULL },
    { "o:deliver-within", "99999999999999999999h", "'o:deliver-within' "
      "parameter is not a duration like 1h30m", NULL, NULL },
    { "o:deliver-within", "-1h", "'o:deliver-within' parameter is not a "
      "duration like 1h30m", NULL, NULL },
    { "o:whatever", "x", NULL, "{\"whatever\":\"x\"}", NULL },
    { "o:batch", "yes", NULL, NULL, NULL },
    { "o:dsn", "x", NULL, NULL, NULL },
    { "h:X-Mailgun-Tag", "a", NULL, "{\"tags\":[\"a\"]}", NULL },
    { "h:X-Mailgun-Variables", "{\"a\":1}", NULL, NULL, "{\"a\":1}" },
    { "h:X-Mailgun-Drop-Message", "maybe", "'h:X-Mailgun-Drop-Message' "
      "parameter must be yes or no", NULL, NULL },
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

static apr_array_header_t *read_head(const char *head)
{
    apr_array_header_t *headers;

    assert_int_equal(mg_mime_headers(&headers, NULL, head, strlen(head), pool),
                     APR_SUCCESS);
    return headers;
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
    headers = read_head(head);
    assert_int_equal(mg_options_from_headers(o, headers, NOW, &error),
                     APR_SUCCESS);
    assert_true(o->testmode);
    assert_string_equal(mg_options_json(o, pool),
                        "{\"tags\":[\"a\",\"b\"],\"testmode\":true,"
                        "\"tracking-clicks\":\"no\"}");
    assert_string_equal(mg_options_variables(o, pool), "{\"a\":1,\"b\":2}");
    assert_string_equal(o->bad_variables, "nonsense");
}

static const struct {
    const char *field;
    int is_removed;
    const char *error;              /* or NULL, and then */
    const char *options;
} fields[] = {
    { "X-Mailgun-Tag: a", 0, NULL, "{\"tags\":[\"a\"]}" },
    { "X-Mailgun-Tag: =?utf-8?q?=C3=A4?=", 0,
      "'X-Mailgun-Tag' header must be pure ASCII", NULL },
    { "X-Mailgun-Campaign-Id: c", 0, NULL, "{\"campaigns\":[\"c\"]}" },
    { "X-Mailgun-Dkim: no", 0, NULL, "{\"dkim\":false}" },
    { "X-Mailgun-Track: yes", 0, NULL, "{\"tracking\":true}" },
    { "X-Mailgun-Track-Opens: no", 0, NULL, "{\"tracking-opens\":false}" },
    { "X-Mailgun-Track-Clicks: htmlonly", 0, NULL,
      "{\"tracking-clicks\":\"htmlonly\"}" },
    { "X-Mailgun-Drop-Message: yes", 1, NULL, "{\"testmode\":true}" },
    { "X-Mailgun-Deliver-By: 1600000000", 1, NULL,
      "{\"deliverytime\":\"1600000000\"}" },
    { "X-Mailgun-Deliver-By: 1800000000", 1, "'X-Mailgun-Deliver-By' header "
      "is too far in the future: the limit is 3 days", NULL },
    { "X-Mailgun-Deliver-Within: 2h", 1, NULL, "{\"deliver-within\":7200}" },
    { "X-Mailgun-Require-TLS: yes", 1, NULL, "{\"require-tls\":true}" },
    { "X-Mailgun-Skip-Verification: true", 1, NULL,
      "{\"skip-verification\":true}" },
    { "X-Mailgun-Recipient-Variables: {\"A@b.test\":\r\n {\"k\":\"v\"}}", 1,
      NULL, "{\"batch\":true}" },
    { "X-Mailgun-Recipient-Variables: nonsense", 1,
      "'recipient-variables' parameter is not a valid JSON", NULL },
    { "X-Mailgun-Sid: x", 1, NULL, NULL },
    { "X-Mailgun-Unknown: x", 0, NULL, NULL },
    { "X-Mailgun-Variables: {}", 0, NULL, NULL },
    { "Subject: x", 0, NULL, NULL },
};

static void test_each_field(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        mg_options_t *o = mg_options_create(pool);
        const char *error = NULL, *head;
        apr_array_header_t *headers;
        apr_status_t rv;

        head = apr_pstrcat(pool, fields[i].field, "\r\n\r\n", NULL);
        headers = read_head(head);
        rv = mg_options_from_headers(o, headers, NOW, &error);
        assert_int_equal(rv, fields[i].error ? MG_EBADINPUT : APR_SUCCESS);
        same(error, fields[i].error);
        assert_int_equal(
            mg_options_removes_field(APR_ARRAY_IDX(headers, 0,
                                                   mg_header_t).name),
            fields[i].is_removed);
        if (rv == APR_SUCCESS)
            same(mg_options_json(o, pool), fields[i].options);
    }
}

/* A fourth is one too many; the same again is none more. */
static void test_at_most_three(void **state)
{
    static const char *const names[] = { "o:tag", "o:campaign" };
    static const char *const errors[] = { "Too many tags, max is 3",
                                          "Too many campaigns, max is 3" };
    const char *error = NULL;
    int i;

    (void)state;
    for (i = 0; i < 2; i++) {
        mg_options_t *o = mg_options_create(pool);

        assert_int_equal(mg_options_add(o, names[i], "a", NOW, &error), 0);
        assert_int_equal(mg_options_add(o, names[i], "b", NOW, &error), 0);
        assert_int_equal(mg_options_add(o, names[i], "c", NOW, &error), 0);
        assert_int_equal(mg_options_add(o, names[i], "b", NOW, &error), 0);
        assert_int_equal(mg_options_add(o, names[i], "d", NOW, &error),
                         MG_EBADINPUT);
        assert_string_equal(error, errors[i]);
        assert_int_equal(mg_options_campaigns(o, pool)->nelts, i ? 3 : 0);
    }
}

static void test_recipient_variables(void **state)
{
    static const char good[] = "{\"Bob@B.test\":{\"n\":1},\"x@y\":\"no\"}";
    mg_options_t *o = mg_options_create(pool);
    const char *error = NULL;

    (void)state;
    assert_int_equal(mg_options_recipient_variables(o, "[1]", 3, &error),
                     MG_EBADINPUT);
    assert_null(o->recipient_variables);
    assert_int_equal(mg_options_recipient_variables(o, good, strlen(good),
                                                    &error), APR_SUCCESS);
    assert_string_equal(mg_options_json(o, pool), "{\"batch\":true}");
    same(mg_options_of_recipient(o, "bob@b.TEST", pool), "{\"n\":1}");
    same(mg_options_of_recipient(o, "x@y", pool), NULL);
    same(mg_options_of_recipient(o, "z@y", pool), NULL);
}

/* What h: makes a header, and what it makes an option alone. */
static void test_fields_as_parameters(void **state)
{
    mg_options_t *o = mg_options_create(pool);
    const char *error = NULL;

    (void)state;
    mg_options_add(o, "h:X-Mailgun-Tag", "a", NOW, &error);
    mg_options_add(o, "h:X-Mailgun-Require-TLS", "yes", NOW, &error);
    mg_options_add(o, "h:X-Mailgun-Variables", "{\"a\":1}", NOW, &error);
    mg_options_add(o, "h:X-Mailgun-Variables", "{", NOW, &error);
    assert_int_equal(apr_table_elts(o->headers)->nelts, 2);
    same(apr_table_get(o->headers, "X-Mailgun-Tag"), "a");
    same(apr_table_get(o->headers, "X-Mailgun-Variables"), "{");
    same(o->bad_variables, "{");
    /* a second one stays, too */
    mg_options_add(o, "h:X-Mailgun-Variables", "[", NOW, &error);
    assert_int_equal(apr_table_elts(o->headers)->nelts, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_time_and_limit),
        cmocka_unit_test(test_submitted_headers),
        cmocka_unit_test(test_each_field),
        cmocka_unit_test(test_at_most_three),
        cmocka_unit_test(test_recipient_variables),
        cmocka_unit_test(test_fields_as_parameters),
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
