/* test_text.c - UTF-8, encodings, sizes and lengths of time (mg_text.h). */
#include "unit_pool.h"
#include "mg_status.h"
#include "mg_text.h"

#define LIT(s) s, sizeof(s) - 1
#define R "\xef\xbf\xbd"
#define BAD -1

static const struct {
    const char *in;
    size_t len;
    const char *out;
} cleans[] = {
    { LIT(""), "" },
    { LIT("plain"), "plain" },
    { LIT("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f" },
    { LIT("\xe2\x82\xac \xf0\x9f\x98\x80"), "\xe2\x82\xac \xf0\x9f\x98\x80" },
    { LIT("a\0b"), "a" R "b" },
    { LIT("gr\xfc\xdf"), "gr" R R },                 /* ISO 8859-1 */
    { LIT("\xc0\xaf"), R R },                        /* overlong / */
    { LIT("\xe0\x80\xaf"), R R R },
    { LIT("\xed\xa0\x80"), R R R },                  /* a surrogate */
    { LIT("\xf4\x90\x80\x80"), R R R R },            /* above U+10FFFF */
    { LIT("\xff"), R },
    { LIT("\x80x"), R "x" },
    { LIT("\xe2\x82"), R },                          /* cut off */
    { LIT("\xe2\x82x"), R "x" },
    { LIT("\xf0\x9f\x98\xc3\xbc"), R "\xc3\xbc" },
};

static void test_clean(void **state)
{
    size_t i;

    (void)state;
    assert_null(mg_text_clean(NULL, 0, pool));
    for (i = 0; i < COUNT(cleans); i++) {
        const char *out = mg_text_clean(cleans[i].in, cleans[i].len, pool);

        assert_string_equal(out, cleans[i].out);
        assert_int_equal(mg_text_is_utf8(cleans[i].in, cleans[i].len),
                         strlen(out) == cleans[i].len
                             && memcmp(out, cleans[i].in, cleans[i].len) == 0);
        assert_true(mg_text_is_utf8(out, strlen(out)));
    }
}

static const struct {
    const char *text;
    apr_int64_t n;
} sizes[] = {
    { "0", 0 }, { "26214400", 26214400 }, { "25M", 26214400 },
    { "64k", 65536 }, { "64KB", 65536 }, { "1g", 1073741824 },
    { "2T", APR_INT64_C(2199023255552) },
    { "9223372036854775799", APR_INT64_C(9223372036854775799) },
    { "", BAD }, { NULL, BAD }, { "M", BAD }, { "-1", BAD }, { "1.5M", BAD },
    { "1 M", BAD }, { "1x", BAD }, { "1MM", BAD }, { "1kBx", BAD },
    { "9999999999999999999", BAD }, { "9000000000G", BAD },
}, durations[] = {
    { "30", 30000000 }, { "0", 0 }, { "30s", 30000000 }, { "250ms", 250000 },
    { "5m", 300000000 }, { "1h30m", APR_INT64_C(5400000000) },
    { "3d", APR_INT64_C(259200000000) }, { "1W", APR_INT64_C(604800000000) },
    { "2h0m1s", APR_INT64_C(7201000000) },
    { "", BAD }, { NULL, BAD }, { "s", BAD }, { "-5s", BAD }, { "5 m", BAD },
    { "1h30", BAD }, { "5y", BAD }, { "99999999999999d", BAD },
};

static void test_numbers(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(sizes); i++) {
        apr_int64_t n = BAD;
        apr_status_t rv = mg_text_size(&n, sizes[i].text);
        if (n != sizes[i].n || (rv == APR_SUCCESS) != (n != BAD))
            fail_msg("size '%s': %d, %" APR_INT64_T_FMT, sizes[i].text, rv, n);
    }
    for (i = 0; i < COUNT(durations); i++) {
        apr_interval_time_t n = BAD;
        apr_status_t rv = mg_text_duration(&n, durations[i].text);
        if (n != durations[i].n || (rv == APR_SUCCESS) != (n != BAD))
            fail_msg("time '%s': %d, %" APR_INT64_T_FMT, durations[i].text, rv,
                     n);
    }
}

static const struct {
    const char *text;
    int value;
} bools[] = {
    { "yes", 1 }, { "TRUE", 1 }, { "1", 1 }, { "On", 1 }, { "no", 0 },
    { "False", 0 }, { "0", 0 }, { "off", 0 }, { "", 0 }, { "2", -1 },
    { "yes ", -1 }, { "y", -1 },
};

static void test_small(void **state)
{
    /* padding; one letter is no octet; bits behind the last; other letters */
    static const char *const no_base64url[] = {
        "_w==", "_", "_x", "_-9", "_+8", "_-8\n", "_/8", "\xff\xff"
    };
    unsigned char out[8];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bools); i++)
        assert_int_equal(mg_text_bool(bools[i].text), bools[i].value);
    assert_string_equal(mg_text_lower("AbZ@[\xc3\x9c", pool),
                        "abz@[\xc3\x9c");
    assert_false(mg_text_breaks_header(LIT("fine\ttab")));
    assert_true(mg_text_breaks_header(LIT("a\nb")));
    assert_true(mg_text_breaks_header(LIT("a\rb")));
    assert_true(mg_text_breaks_header(LIT("a\0b")));
    assert_string_equal(mg_text_hex(LIT("\x00\xff\x10"), pool), "00ff10");
    assert_string_equal(mg_text_base64url(LIT(""), pool), "");
    assert_string_equal(mg_text_base64url(LIT("\xff"), pool), "_w");
    assert_string_equal(mg_text_base64url(LIT("\xff\xef"), pool), "_-8");
    assert_string_equal(mg_text_base64url(LIT("\xff\xef\xbe"), pool), "_---");
    assert_int_equal(mg_text_unbase64url(out, sizeof(out), ""), 0);
    assert_int_equal(mg_text_unbase64url(out, sizeof(out), "_-8"), 2);
    assert_memory_equal(out, "\xff\xef", 2);
    assert_int_equal(mg_text_unbase64url(out, sizeof(out), "_---"), 3);
    assert_memory_equal(out, "\xff\xef\xbe", 3);
    assert_int_equal(mg_text_unbase64url(out, 2, "_---"), -1);
    for (i = 0; i < COUNT(no_base64url); i++)
        assert_int_equal(mg_text_unbase64url(out, sizeof(out),
                                             no_base64url[i]), -1);
    assert_true(mg_text_same_secret("abc", "abd", 2));
    assert_false(mg_text_same_secret("abc", "abd", 3));
}

/* Each octet in each place of two words, against what the names say. */
static void test_words_at_a_time(void **state)
{
    char s[19];
    int octet, place;

    (void)state;
    for (octet = 0; octet < 256; octet++) {
        for (place = 0; place < 19; place++) {
            int printable = octet >= 0x20 && octet <= 0x7e;

            memset(s, 'x', sizeof(s));
            s[place] = (char)octet;
            assert_int_equal(mg_text_has_eight_bit(s, 19), octet > 127);
            assert_int_equal(mg_text_printable_span(s, 19),
                             printable || place > 15 ? 16 : place / 8 * 8);
        }
    }
}

UNIT_MAIN(cmocka_unit_test(test_words_at_a_time), cmocka_unit_test(test_clean), cmocka_unit_test(test_numbers),
          cmocka_unit_test(test_small))
