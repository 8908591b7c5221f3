/* test_sending.c - options of a stored message, read back. */
#include "mg_sending.h"
#include "unit_pool.h"

static const struct {
    const char *options;
    int dkim, require_tls, skip_verification, testmode, batch, is_template;
    apr_interval_time_t deliver_within;
    const char *ret, *envid;
} cases[] = {
    { NULL, -1, -1, -1, 0, 0, 0, 0, NULL, NULL },
    { "", -1, -1, -1, 0, 0, 0, 0, NULL, NULL },
    { "{\"tags\":[\"a\"]}", -1, -1, -1, 0, 0, 0, 0, NULL, NULL },
    { "{\"dkim\":false,\"testmode\":true}", 0, -1, -1, 1, 0, 0, 0, NULL,
      NULL },
    { "{\"dkim\":\"maybe\"}", -1, -1, -1, 0, 0, 0, 0, NULL, NULL },
    { "{\"require-tls\":true,\"skip-verification\":false,\"batch\":true,"
      "\"template\":[[0,90,0]]}", -1, 1, 0, 0, 1, 1, 0, NULL, NULL },
    { "{\"deliver-within\":5400}", -1, -1, -1, 0, 0, 0,
      5400 * APR_TIME_C(1000000), NULL, NULL },
    { "{\"dsn\":{\"ret\":\"HDRS\",\"envid\":\"QQ314159\"}}", -1, -1, -1, 0, 0,
      0, 0, "HDRS", "QQ314159" },
    { "{", -1, -1, -1, 0, 0, 0, 0, NULL, NULL },
};

static void same(const char *a, const char *b)
{
    if (a && b)
        assert_string_equal(a, b);
    else
        assert_true(a == b);
}

static void reads_options(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        mg_sending_t s;

        mg_sending_read(&s, cases[i].options, pool);
        assert_int_equal(s.dkim, cases[i].dkim);
        assert_int_equal(s.require_tls, cases[i].require_tls);
        assert_int_equal(s.skip_verification, cases[i].skip_verification);
        assert_int_equal(s.testmode, cases[i].testmode);
        assert_int_equal(s.batch, cases[i].batch);
        assert_int_equal(s.is_template, cases[i].is_template);
        assert_int_equal(s.deliver_within, cases[i].deliver_within);
        same(s.dsn_ret, cases[i].ret);
        same(s.dsn_envid, cases[i].envid);
    }
}

UNIT_MAIN(cmocka_unit_test(reads_options))
