/* test_time.c - dates in and out (mg_time.h). */
#include "unit_pool.h"
#include "mg_status.h"
#include "mg_time.h"

#define BAD APR_INT64_MIN
#define S(n) (APR_INT64_C(n) * 1000000)

static const struct {
    const char *text;
    apr_time_t t;
} parses[] = {
    /* RFC 5322 3.3 */
    { "Thu, 13 Oct 2011 18:02:00 +0000", S(1318528920) },
    { "Thu, 13 Oct 2011 18:02:00 GMT", S(1318528920) },
    { "13 Oct 2011 18:02:00 +0000", S(1318528920) },
    { "13 Oct 2011 18:02 +0000", S(1318528920) },
    { "Thu,13 Oct 2011 18:02:00 -0430", S(1318545120) },
    { "Fri, 14 Oct 2011 00:32:00 +0630", S(1318528920) },
    { "  thu , 3 oct 2011 18:02:00 gmt  ", S(1317664920) },
    { "Thu, 13 Oct 2011 18:02:60 GMT", S(1318528980) },
    { "29 Feb 2012 00:00:00 GMT", S(1330473600) },
    { "1 Jan 1970 00:00:00 GMT", 0 },
    /* the week day is not checked, but it is one */
    { "Mon, 13 Oct 2011 18:02:00 GMT", S(1318528920) },
    { "Thursday, 13 October 2011 18:02:00 GMT", S(1318528920) },
    { "Xxx, 13 Oct 2011 18:02:00 GMT", BAD },
    /* 4.3, obsolete */
    { "13 Oct 11 18:02:00 EST", S(1318546920) },
    { "13 Oct 111 18:02:00 UT", S(1318528920) },
    { "13 Oct 2011 18:02:00 PDT", S(1318554120) },
    { "13 Oct 99 18:02:00 MST", S(939862920) },
    { "13 Oct 2011 18:02:00 Z", S(1318528920) },
    { "13 Oct 2011 18:02:00 a", S(1318528920) },
    { "13 Oct 2011 18:02:00 J", BAD },
    { "13 (thirteen (13)) Oct 2011 18 : 02 : 00 GMT (\\) in London)",
      S(1318528920) },
    /* neither */
    { "13 Oct 2011 18:02:00", BAD },
    { "13 Oct 2011 18:02:00 +00", BAD },
    { "13 Oct 2011 18:02:00 +0070", BAD },
    { "13 Oct 2011 18:02:00 XYZ", BAD },
    { "13 Oct 2011 18:02:00 GMT (", BAD },
    { "13 Oct 2011 18:02:00 GMT x", BAD },
    { "29 Feb 2011 00:00:00 GMT", BAD },
    { "31 Apr 2011 00:00:00 GMT", BAD },
    { "0 Oct 2011 00:00:00 GMT", BAD },
    { "13 Oct 2011 24:00:00 GMT", BAD },
    { "13 Oct 2011 18:60:00 GMT", BAD },
    { "13 Oct 20111 18:02:00 GMT", BAD },
    { "2011-10-13T18:02:00Z", BAD },
    { "tomorrow", BAD },
    { "", BAD },
    { "   ", BAD },
    { NULL, BAD },
    /* epoch */
    { "0", 0 },
    { "1318528920", S(1318528920) },
    { " 1318528920 ", S(1318528920) },
    { "1318528920.5", S(1318528920) + 500000 },
    { "1318528920.1234567", S(1318528920) + 123456 },
    { "1318528920.", S(1318528920) },
    { "-1", BAD },
    { "1e9", BAD },
    { "1.2.3", BAD },
    { "999999999999999999999999", BAD },
};

static void test_parse(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(parses); i++) {
        apr_time_t t = BAD;
        apr_status_t rv = mg_time_parse(&t, parses[i].text);

        if (parses[i].t == BAD ? rv != MG_EBADINPUT
                               : rv != APR_SUCCESS || t != parses[i].t)
            fail_msg("'%s': %d, %" APR_INT64_T_FMT, parses[i].text, rv, t);
    }
}

static void test_print(void **state)
{
    apr_time_t t = S(1318528920) + 123456;

    (void)state;
    assert_string_equal(mg_time_gmt(t, pool), "Thu, 13 Oct 2011 18:02:00 GMT");
    assert_string_equal(mg_time_rfc5322(t, pool),
                        "Thu, 13 Oct 2011 18:02:00 +0000");
    assert_string_equal(mg_time_compact(t, pool), "20111013180200");
    assert_string_equal(mg_time_iso(t, pool), "2011-10-13T18:02:00.123Z");
    assert_string_equal(mg_time_gmt(S(1320105600), pool),
                        "Tue, 01 Nov 2011 00:00:00 GMT");
    assert_int_equal(mg_time_day(t), 15260);
    assert_int_equal(mg_time_day(S(86400)), 1);
    assert_int_equal(mg_time_day(S(86400) - 1), 0);
    assert_int_equal(mg_time_day(-1), -1);
}

static void test_days(void **state)
{
    static const struct {
        const char *text;
        apr_int64_t day;
    } cases[] = {
        { "2011-10-13", 15260 },
        { " 2011-10-13 ", 15260 },
        { "2012-02-29", 15399 },
        { "1970-01-01", 0 },
        /* RFC 3339 5.6 */
        { "2011-10-13T18:02:00Z", 15260 },
        { "2011-10-13t18:02:00.52z", 15260 },
        { "2011-10-13 18:02:00+00:00", 15260 },
        { "2011-10-13T23:30:00-01:00", 15261 },
        { "2011-10-13T00:30:00+01:00", 15259 },
        { "2011-10-13T23:59:60Z", 15261 },
        { "Thu, 13 Oct 2011 18:02:00 GMT", 15260 },
        { "1318528920", 15260 },
        { "2011-13-01", BAD },
        { "2011-00-01", BAD },
        { "2011-02-29", BAD },
        { "2011-10-13T18:02:00", BAD },
        { "2011-10-13T18:02Z", BAD },
        { "2011-10-13T25:02:00Z", BAD },
        { "2011-10-13T18:02:00+1", BAD },
        { "2011-10-13T18:02:00+24:00", BAD },
        { "2011-10-13x", BAD },
        { "2011-1-3", BAD },
        { "yesterday", BAD },
        { "", BAD },
        { NULL, BAD },
    };
    apr_int64_t day;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        day = BAD;
        assert_int_equal(mg_time_parse_day(&day, cases[i].text),
                         cases[i].day == BAD ? MG_EBADINPUT : APR_SUCCESS);
        assert_int_equal(day, cases[i].day);
    }
    assert_string_equal(mg_time_day_text(15260, pool), "2011-10-13");
}

UNIT_MAIN(cmocka_unit_test(test_parse), cmocka_unit_test(test_days), cmocka_unit_test(test_print))
