/* test_verp.c - envelope senders that know their delivery (mg_verp.h). */
#include "unit_pool.h"
#include "mg_status.h"
#include "mg_verp.h"

static const unsigned char key[32] = "one key of thirty-two octets....";
static const unsigned char other[32] = "another key";

static const struct {
    const char *recipient, *tail; /* behind the id */
} makes[] = {
    { "bob@x.com", "-bob=x.com@d.test" },
    { "bob.smith@a-very-long-name.example.com",
      "-bob.smith=a-very-long-name@d.test" },
    { "\"a b\"@x.com", "-_a_b_=x.com@d.test" },
    { "a@[192.0.2.1]", "-a=_192.0.2.1_@d.test" },
    { "j\xc3\xbc@x.de", "-j__=x.de@d.test" },
    { "aaaaaaaaaaaaaaaaaaaaaaaaaa.b@x", "-aaaaaaaaaaaaaaaaaaaaaaaaaa@d.test" },
};

static void test_make(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(makes); i++) {
        apr_int64_t id = APR_INT64_C(0x7edcba9876543210), back = 0;
        char *address = mg_verp_make(key, id, makes[i].recipient, "d.test",
                                     pool);
        char *at = strrchr(address, '@');

        assert_non_null(strstr(address, ".7edcba9876543210-"));
        assert_true(at - address <= 64);
        assert_string_equal(strchr(address, '-'), makes[i].tail);
        *at = '\0';
        assert_int_equal(mg_verp_read(&back, key, address, "d.test"),
                         APR_SUCCESS);
        assert_true(back == id);
        assert_int_equal(mg_verp_read(&back, key, address, "D.TEST"),
                         APR_SUCCESS);
        assert_int_equal(mg_verp_read(&back, key, address, "e.test"),
                         MG_EDENIED);
        assert_int_equal(mg_verp_read(&back, other, address, "d.test"),
                         MG_EDENIED);
        /* some servers shout */
        for (at = address; *at; at++)
            *at = (char)(*at >= 'a' && *at <= 'z' ? *at - 32 : *at);
        assert_int_equal(mg_verp_read(&back, key, address, "d.test"),
                         APR_SUCCESS);
    }
}

static const struct {
    const char *local;
    apr_status_t rv;
} reads[] = {
    { "bounce+000000000000.1-a=b.c", MG_EDENIED },
    { "bounce+000000000000.ffffffffffffffff-a=b.c", MG_EDENIED },
    { "bounce+000000000000.fffffffffffffffff-a=b.c", APR_ENOENT },
    { "bounce+00000000000.1-a=b.c", APR_ENOENT },
    { "bounce+000000000000-1-a=b.c", APR_ENOENT },
    { "bounce+000000000000.-a=b.c", APR_ENOENT },
    { "bounce+000000000000.1", APR_ENOENT },
    { "bounce+xyz", APR_ENOENT },
    { "bounce+", APR_ENOENT },
    { "bounce", APR_ENOENT },
    { "bob", APR_ENOENT },
    { "", APR_ENOENT },
};

static void test_read(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(reads); i++) {
        apr_int64_t id;

        if (mg_verp_read(&id, key, reads[i].local, "d.test") != reads[i].rv)
            fail_msg("%s", reads[i].local);
    }
}

UNIT_MAIN(cmocka_unit_test(test_make), cmocka_unit_test(test_read))
