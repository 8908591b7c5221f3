/* test_sender_schedule.c - when a delivery is tried again, and when not. */
#include "unit_pool.h"
#include "mg_status.h"
#include "sender_schedule.h"

#define SEC APR_USEC_PER_SEC

static mg_config_t config_with(const int *seconds, int n)
{
    mg_config_t config;
    int i;

    memset(&config, 0, sizeof(config));
    config.retry = apr_array_make(pool, 4, sizeof(apr_interval_time_t));
    for (i = 0; i < n; i++)
        APR_ARRAY_PUSH(config.retry, apr_interval_time_t) =
            seconds[i] * (apr_interval_time_t)SEC;
    return config;
}

static const struct {
    int attempts, seconds;
} delays[] = {
    { 0, 10 }, { 1, 10 }, { 2, 60 }, { 3, 600 }, { 4, 600 }, { 1000, 600 },
};

static void test_delays(void **state)
{
    static const int seconds[] = { 10, 60, 600 };
    mg_config_t config = config_with(seconds, 3);
    apr_size_t i;
    apr_uint64_t seed;

    (void)state;
    for (i = 0; i < COUNT(delays); i++)
        for (seed = 0; seed < 200; seed++) {
            apr_interval_time_t want = delays[i].seconds
                                       * (apr_interval_time_t)SEC;
            apr_interval_time_t got = sender_schedule_delay(
                &config, delays[i].attempts, seed);

            assert_true(got >= want && got <= want + want / 10);
        }
    /* neighbours do not come back together */
    assert_true(sender_schedule_delay(&config, 3, 1)
                != sender_schedule_delay(&config, 3, 2));
}

static void test_no_schedule(void **state)
{
    mg_config_t config = config_with(NULL, 0);

    (void)state;
    assert_true(sender_schedule_delay(&config, 1, 1) >= 600 * SEC);
}

static void test_end(void **state)
{
    static const int seconds[] = { 100 };
    mg_config_t config = config_with(seconds, 1);
    mg_delivery_t d;
    apr_time_t due = 0, now = apr_time_from_sec(1000000);

    (void)state;
    memset(&d, 0, sizeof(d));
    d.created_at = now;
    d.expires_at = now + 200 * SEC;
    assert_int_equal(sender_schedule_next(&due, &config, &d, now),
                     APR_SUCCESS);
    assert_true(due >= now + 100 * SEC && due <= now + 110 * SEC);
    assert_int_equal(sender_schedule_next(&due, &config, &d,
                                          now + 150 * SEC), MG_EEXPIRED);
    d.expires_at = 0;
    config.retry_limit = 50 * SEC;
    assert_int_equal(sender_schedule_next(&due, &config, &d, now),
                     MG_EEXPIRED);
    config.retry_limit = 0;
    assert_int_equal(sender_schedule_next(&due, &config, &d, now),
                     APR_SUCCESS);
}

UNIT_MAIN(cmocka_unit_test(test_delays), cmocka_unit_test(test_no_schedule),
          cmocka_unit_test(test_end))
