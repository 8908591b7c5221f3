/* test_json.c - jansson on pools (mg_json.h). */
#include "unit_pool.h"
#include "mg_json.h"

static const struct {
    const char *text;
    const char *compact;   /* NULL: refused */
} cases[] = {
    { "{\"b\": 1, \"a\": [true, null]}", "{\"b\":1,\"a\":[true,null]}" },
    { "{\"a\": 1, \"a\": 2}", "{\"a\":2}" },
    { "\"text\"", "\"text\"" },
    { "17", "17" },
    { "[9.99, 0.1, 2.0, 1e300]", "[9.99,0.1,2.0,1e300]" },
    { "0.30000000000000004", "0.30000000000000004" },
    { "{\"a\":{\"b\":[-123456.789]}}", "{\"a\":{\"b\":[-123456.789]}}" },
    { "", NULL },
    { "{", NULL },
    { "{} x", NULL },
    { "\"a\\u0000b\"", NULL },   /* PostgreSQL would refuse it */
    { "\"\xff\"", NULL },
};

static void test_parse(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        const char *error = NULL;
        json_t *json = mg_json_parse(cases[i].text, strlen(cases[i].text),
                                     &error, pool);

        if (!cases[i].compact) {
            assert_null(json);
            assert_non_null(error);
            continue;
        }
        assert_non_null(json);
        assert_string_equal(mg_json_compact(json, pool), cases[i].compact);
    }
}

static void test_depth(void **state)
{
    const char *error = NULL, *braces = "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[\"";
    char text[131];

    (void)state;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    assert_non_null(mg_json_parse(text, 128, &error, pool));
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_null(mg_json_parse(text, 130, &error, pool));
    assert_string_equal(error, "nested deeper than 64");
    assert_non_null(mg_json_parse(braces, strlen(braces), &error, pool));
}

static void test_pretty(void **state)
{
    json_t *json = json_pack("{s:s, s:[i, i], s:{}}", "message", "gr\xc3\xbc"
                             "\xc3\x9f", "items", 1, 2, "none");

    (void)state;
    mg_json_bind(json, pool);
    assert_string_equal(mg_json_pretty(json, pool),
                        "{\n"
                        "  \"message\": \"gr\\u00FC\\u00DF\",\n"
                        "  \"items\": [\n"
                        "    1,\n"
                        "    2\n"
                        "  ],\n"
                        "  \"none\": {}\n"
                        "}");
}

UNIT_MAIN(cmocka_unit_test(test_parse), cmocka_unit_test(test_depth),
          cmocka_unit_test(test_pretty))
