/* test_receiver_rates.c - messages and recipients an hour. */
#include "mg_time.h"
#include "receiver_rates.h"
#include "unit_pool.h"

static int take(smtp_rates_t *r, smtp_rate_kind_t kind, const char *who,
                const mg_rate_t *limit)
{
    if (!smtp_rates_message_fits(r, kind, who, limit))
        return 0;
    smtp_rates_count(r, kind, who, limit, 1, 0);
    return 1;
}

/* An hour's worth at once, then no more; others are not held to it. */
static void test_burst(void **state)
{
    static const mg_rate_t limit = { 5, 2 };
    smtp_rates_t *r = smtp_rates_create(pool);
    int i;

    (void)state;
    for (i = 0; i < 5; i++)
        assert_true(take(r, RATE_LOGIN, "bob@a.test", &limit));
    assert_false(take(r, RATE_LOGIN, "bob@a.test", &limit));
    assert_false(take(r, RATE_LOGIN, "BOB@A.TEST", &limit));
    assert_true(take(r, RATE_LOGIN, "eve@a.test", &limit));
    assert_true(take(r, RATE_CLIENT, "bob@a.test", &limit));
    assert_true(smtp_rates_recipient_fits(r, RATE_LOGIN, "bob@a.test",
                                          &limit));
    smtp_rates_count(r, RATE_LOGIN, "bob@a.test", &limit, 0, 2);
    assert_false(smtp_rates_recipient_fits(r, RATE_LOGIN, "bob@a.test",
                                           &limit));
}

/* 36,000 an hour is one in 100 ms. */
static void test_comes_back(void **state)
{
    static const mg_rate_t limit = { 36000, 0 };
    smtp_rates_t *r = smtp_rates_create(pool);
    apr_time_t begun = mg_ticks(), waited;
    int n = 0;

    (void)state;
    smtp_rates_count(r, RATE_CLIENT, "4 7f000001", &limit, 36000, 0);
    while (mg_ticks() - begun < apr_time_from_msec(350))
        ;
    waited = mg_ticks() - begun;
    while (take(r, RATE_CLIENT, "4 7f000001", &limit))
        n++;
    assert_true(n >= waited / 100000 - 1);
    assert_true(n <= (mg_ticks() - begun) / 100000);
}

static void test_off_and_bounded(void **state)
{
    static const mg_rate_t off = { 0, 0 }, one = { 1, 1 };
    smtp_rates_t *r = smtp_rates_create(pool);
    char who[32];
    int i;

    (void)state;
    for (i = 0; i < 100; i++)
        assert_true(take(r, RATE_DOMAIN, "a.test", &off));
    assert_true(take(r, RATE_DOMAIN, "a.test", &one));
    for (i = 0; i < 25000; i++) {
        snprintf(who, sizeof(who), "%d.test", i);
        assert_true(take(r, RATE_DOMAIN, who, &one));
    }
    /* a generation has turned: it is still known */
    assert_false(take(r, RATE_DOMAIN, "a.test", &one));
    for (i = 0; i < 50000; i++) {
        snprintf(who, sizeof(who), "%d.b.test", i);
        assert_true(take(r, RATE_DOMAIN, who, &one));
    }
    assert_true(take(r, RATE_DOMAIN, "a.test", &one)); /* forgotten */
}

UNIT_MAIN(cmocka_unit_test(test_burst), cmocka_unit_test(test_comes_back),
          cmocka_unit_test(test_off_and_bounded))
