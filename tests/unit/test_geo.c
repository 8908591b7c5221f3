/* test_geo.c - where addresses are (mg_geo.h); tests/stack/mmdb.py wrote the
 * database. */
#include "unit_pool.h"
#include "mg_geo.h"
#include "mg_status.h"

static const struct {
    const char *ip, *country, *region, *city;
} cases[] = {
    { "192.0.2.1", "US", "CA", "San Francisco" },
    { "192.0.2.255", "US", "CA", "San Francisco" },
    { "198.51.100.1", "DE", NULL, NULL },
    { "198.51.100.200", NULL, NULL, NULL },
    { "203.0.113.7", "FR", "IDF", "\xc3\x8ele-de-Paris" },
    { "203.0.113.8", NULL, NULL, NULL },
    { "2001:db8::5", "JP", "13", "Tokyo" },
    { "2001:db9::5", NULL, NULL, NULL },
    { "127.0.0.1", NULL, NULL, NULL },
    { "nonsense", NULL, NULL, NULL },
    { "", NULL, NULL, NULL },
    { NULL, NULL, NULL, NULL },
};

static int same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void test_table(void **state)
{
    mg_geo_place_t place;
    mg_geo_t *geo;
    size_t i;

    (void)state;
    assert_int_equal(mg_geo_open(&geo, "tests/data/geo.mmdb", pool),
                     APR_SUCCESS);
    for (i = 0; i < COUNT(cases); i++) {
        mg_geo_find(&place, geo, cases[i].ip, pool);
        if (!same(place.country, cases[i].country)
            || !same(place.region, cases[i].region)
            || !same(place.city, cases[i].city))
            fail_msg("%s: %s, %s, %s", cases[i].ip, place.country,
                     place.region, place.city);
    }
    mg_geo_find(&place, NULL, "192.0.2.1", pool);
    assert_null(place.country);
}

static void test_no_database(void **state)
{
    mg_geo_t *geo;

    (void)state;
    assert_int_equal(mg_geo_open(&geo, "/nowhere/geo.mmdb", pool), ENOENT);
    assert_null(geo);
    assert_int_equal(mg_geo_open(&geo, "/etc/passwd", pool), MG_EBADINPUT);
}

UNIT_MAIN(cmocka_unit_test(test_table), cmocka_unit_test(test_no_database))
