/* test_json_out.c - JSON read and written as text (mg_json_view.h,
 * mg_json_out.h), beside jansson. */
#include "unit_pool.h"
#include "mg_json.h"
#include "mg_json_out.h"

/* In an object; numbers as jansson prints them. */
static const char *const good[] = {
    "{}", "[]", "true", "false", "null", "0", "-17", "9.99", "1e300", "0.125",
    "9223372036854775807", "\"\"", "\"a\"", "\"}],:\\\"\\\\\"",
    "\"\\b\\f\\n\\r\\t\"", "\"\\u0001\\u001F\x7f\"", "\"gr\xc3\xbc\xc3\x9f\"",
    "\"\xe2\x86\x92 \xef\xbf\xbd\"", "\"\xf0\x9f\x93\xa7\"",
    "\"\\u00FC\\uD83D\\uDCE7\"", "{\"a\":1}", "[[],[{}],{\"a\":[1,[2,\"3\"]]}]",
    " { \"a\" :\t[ 1 ,\r\n 2 ] , \"\xc3\xbc\" : { } } ", "[1,2]", "[\"{\",{}]",
    "{\"{\":\"[\"}", "{\"country\":\"DE\",\"region\":\"\",\"city\":\"K\xc3\xb6ln\"}",
};

static const char *const bad[] = {
    "", "{", "}", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
    "{a:1}", "{1:1}", "[1 2]", "[01]", "[-]", "[1.]", "[.5]", "[1e]", "[+1]",
    "[tru]", "[True]", "[nul", "[\"a]", "[\"\\x\"]", "[\"\\u12\"]",
    "[\"\\u12g4\"]", "[\"\\u0000\"]", "[\"\\uD800\"]", "[\"\\uD800\\u0041\"]",
    "[\"\\uDC00\"]", "[\"\n\"]", "[\"\xff\"]", "[\"\xed\xa0\x80\"]",
    "[\"\xc3\"]", "[] x", "[][]", "[}", "{]", "[\"\\",
};

static json_t *parse(const char *text)
{
    const char *error;

    return mg_json_parse(text, strlen(text), &error, pool);
}

/* The text twice in an object, on its own way. */
static const char *copied(const char *text, int pretty)
{
    mg_json_out_t *out = mg_json_out_make(pretty, 0, pool);
    mg_json_view_t view;
    const char *list = apr_psprintf(pool, "[%s]", text);

    assert_true(mg_json_view(&view, list, strlen(list), '[', pool));
    assert_int_equal(view.n, 1);
    mg_json_out_open(out, NULL, '{');
    mg_json_out_copy(out, "one", view.members[0].value);
    mg_json_out_open(out, "two", '[');
    mg_json_out_copy(out, NULL, view.members[0].value);
    mg_json_out_int(out, NULL, 5);
    mg_json_out_close(out, ']');
    mg_json_out_close(out, '}');
    return out->text;
}

static void test_copy(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(good); i++) {
        json_t *one = parse(good[i]);
        json_t *all = json_pack("{s:O, s:[O, i]}", "one", one, "two", one, 5);

        mg_json_bind(all, pool);
        assert_string_equal(copied(good[i], 1), mg_json_pretty(all, pool));
        assert_string_equal(copied(good[i], 0), mg_json_ascii(all, pool));
    }
}

static void test_refused(void **state)
{
    mg_json_view_t view;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bad); i++) {
        assert_null(parse(bad[i]));
        assert_false(mg_json_view(&view, bad[i], strlen(bad[i]),
                                  bad[i][0] == '{' ? '{' : '[', pool));
        assert_int_equal(view.n, 0);
    }
    assert_false(mg_json_view(&view, "[]", 2, '{', pool));
    assert_false(mg_json_view(&view, "{}", 2, '[', pool));
}

static void test_depth(void **state)
{
    mg_json_view_t view;
    char text[131];

    (void)state;
    memset(text, '[', 65);
    memset(text + 64, ']', 65);
    assert_true(mg_json_view(&view, text, 128, '[', pool));
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_false(mg_json_view(&view, text, 130, '[', pool));
}

static void test_members(void **state)
{
    static const char text[] = "{\"code\": 550, \"yes\": true, \"real\": 1.5,"
        " \"text\": \"a\\u00fc\\uD83D\\uDCE7\\n\\/\\\"\", \"twice\": 1,"
        " \"twice\": -2, \"none\": null, \"list\": [\"a\", {\"b\": \"c\"}]}";
    mg_json_view_t v, list;
    mg_json_span_t span;

    (void)state;
    assert_true(mg_json_view(&v, text, strlen(text), '{', pool));
    assert_int_equal(v.n, 8);
    assert_int_equal(mg_json_span_int(mg_json_view_find(&v, "code")), 550);
    assert_int_equal(mg_json_span_int(mg_json_view_find(&v, "twice")), -2);
    assert_int_equal(mg_json_span_int(mg_json_view_find(&v, "real")), 0);
    assert_int_equal(mg_json_span_int(mg_json_view_find(&v, "text")), 0);
    assert_int_equal(mg_json_span_int(mg_json_view_find(&v, "cod")), 0);
    assert_true(mg_json_span_is_true(mg_json_view_find(&v, "yes")));
    assert_false(mg_json_span_is_true(mg_json_view_find(&v, "none")));
    assert_false(mg_json_span_is_true(mg_json_view_find(&v, "no")));
    assert_null(mg_json_span_text(mg_json_view_find(&v, "code"), pool));
    assert_null(mg_json_span_text(mg_json_view_find(&v, "no"), pool));
    assert_string_equal(mg_json_span_text(mg_json_view_find(&v, "text"), pool),
                        "a\xc3\xbc\xf0\x9f\x93\xa7\n/\"");
    span = mg_json_view_find(&v, "list");
    assert_true(mg_json_view(&list, span.at, span.len, '[', pool));
    assert_int_equal(list.n, 2);
    assert_string_equal(mg_json_span_text(list.members[0].value, pool), "a");
}

/* What a real of jansson would bring back. */
static void test_seconds(void **state)
{
    static const struct {
        apr_int64_t us;
        const char *text;
    } cases[] = {
        { 1325376000000000, "1325376000.0" },
        { 1325376000123456, "1325376000.123456" },
        { 1325376000123000, "1325376000.123" },
        { 1325376000000001, "1325376000.000001" },
        { 0, "0.0" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        mg_json_out_t *out = mg_json_out_make(1, 0, pool);

        mg_json_out_seconds(out, NULL, cases[i].us);
        assert_string_equal(out->text, cases[i].text);
        assert_true(json_real_value(parse(out->text)) ==
                    (double)cases[i].us / 1e6);
    }
}

static void test_text(void **state)
{
    mg_json_out_t *out = mg_json_out_make(0, 0, pool);
    int i;

    (void)state;
    mg_json_out_open(out, NULL, '{');
    mg_json_out_text(out, "no", NULL);
    mg_json_out_copy(out, "none", mg_json_view_find(
                                      &(mg_json_view_t){ 0, NULL }, "a"));
    mg_json_out_text(out, "\"\xc3\xbc", "a\xff\x01\"\\{");
    mg_json_out_bool(out, "yes", 1);
    for (i = 0; i < 1000; i++)
        mg_json_out_bool(out, "no", 0);
    mg_json_out_close(out, '}');
    assert_int_equal(strlen(out->text), out->len);
    assert_int_equal(json_object_size(parse(out->text)), 3);
    out->text[52] = '\0';
    assert_string_equal(out->text, "{\"\\\"\\u00FC\": \"a\\uFFFD\\u0001\\\"\\\\{"
                                   "\", \"yes\": true, \"no\"");
}

UNIT_MAIN(cmocka_unit_test(test_copy), cmocka_unit_test(test_refused),
          cmocka_unit_test(test_depth), cmocka_unit_test(test_members),
          cmocka_unit_test(test_seconds), cmocka_unit_test(test_text))
