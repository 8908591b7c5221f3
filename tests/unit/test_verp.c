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
      "-bob.smith=a-very-lo@d.test" },
    { "\"a b\"@x.com", "-_a_b_=x.com@d.test" },
    { "a@[192.0.2.1]", "-a=_192.0.2.1_@d.test" },
    { "j\xc3\xbc@x.de", "-j__=x.de@d.test" },
    { "aaaaaaaaaaaaaaaaaaaaaaaaaa.b@x", "-aaaaaaaaaaaaaaaaaaa@d.test" },
};

static void test_make(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(makes); i++) {
        apr_int64_t id = APR_INT64_C(0x7edcba9876543210);
        char *address = mg_verp_make(key, id, makes[i].recipient, "d.test",
                                     pool);
        char *at = strrchr(address, '@');
        mg_verp_t back;

        assert_non_null(strstr(address, ".7edcba9876543210-"));
        assert_true(at - address <= 64);
        assert_string_equal(strchr(address, '-'), makes[i].tail);
        *at = '\0';
        assert_int_equal(mg_verp_read(&back, key, address, "d.test"),
                         APR_SUCCESS);
        assert_true(back.message_id == id);
        assert_int_equal(mg_verp_is_shared(&back), 0);
        assert_true(back.tag[0] != 'f');
        assert_true(mg_verp_is_for(&back, key, makes[i].recipient));
        assert_int_equal(mg_verp_is_for(&back, key, "other@x.com"), 0);
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
    { "bounce+00000000000000000000.1-a=b.c", MG_EDENIED },
    { "bounce+00000000000000000000.ffffffffffffffff-a=b.c", MG_EDENIED },
    { "bounce+00000000000000000000.fffffffffffffffff-a=b.c", APR_ENOENT },
    { "bounce+0000000000000000000.1-a=b.c", APR_ENOENT },
    { "bounce+00000000000000000000-1-a=b.c", APR_ENOENT },
    { "bounce+00000000000000000000.-a=b.c", APR_ENOENT },
    { "bounce+00000000000000000000.1", APR_ENOENT },
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
        mg_verp_t verp;

        if (mg_verp_read(&verp, key, reads[i].local, "d.test") != reads[i].rv)
            fail_msg("%s", reads[i].local);
    }
}

/* Many recipients have it: it names their destination. */
static void test_shared(void **state)
{
    char *address = mg_verp_make(key, 4711, "x.com", "d.test", pool);
    mg_verp_t verp;

    (void)state;
    assert_non_null(strstr(address, ".1267-x.com@d.test"));
    *strrchr(address, '@') = '\0';
    assert_int_equal(mg_verp_read(&verp, key, address, "d.test"),
                     APR_SUCCESS);
    assert_int_equal(mg_verp_is_shared(&verp), 1);
    assert_int_equal(mg_verp_is_for(&verp, key, "bob@x.com"), 0);
    assert_true(mg_verp_is_for(&verp, key, "X.com"));
    assert_int_equal(mg_verp_is_for(&verp, key, "y.com"), 0);
    /* its MAC does not serve another's tag */
    memcpy(address + sizeof("bounce+") - 1 + 12, "f0000001", 8);
    assert_int_equal(mg_verp_read(&verp, key, address, "d.test"), MG_EDENIED);
}

static const struct {
    const char *text;
    int found;
} texts[] = {
    { "0123456789abcdef0123.1a2b", 1 },
    { "<bounce+0123456789ABCDEF0123.1A2B-bob=x@d.test>", 1 },
    { "prvs=0a=bounce+0123456789abcdef0123.1a2b-bob=x@d.test", 1 },
    { "a.b 0123456789abcdef0123.1a2b, 0123456789abcdef0123.7;", 2 },
    { "a0123456789abcdef0123.1a2b", 0 },
    { "0123456789abcdef0123.1a2bz", 0 },
    { "0123456789abcdef0123.11111111111111111", 0 },
    { "0123456789abcdef0123.", 0 },
    { "0123456789abcdef012g.1", 0 },
    { "123456789abcdef0123.1", 0 },
    { ".....", 0 },
    { "", 0 },
};

static void test_find(void **state)
{
    mg_verp_claim_t claim;
    const char *at;
    size_t i;
    int n;

    (void)state;
    for (i = 0; i < COUNT(texts); i++) {
        for (at = texts[i].text, n = 0; (at = mg_verp_find(&claim, at)); n++)
            assert_string_equal(claim.mac, "0123456789ab");
        assert_int_equal(n, texts[i].found);
    }
}

static void test_report_id(void **state)
{
    char *address = mg_verp_make(key, 4711, "bob@x.test", "d.test", pool);
    char *id = mg_verp_report_id(address, pool);
    mg_verp_claim_t claim;

    (void)state;
    assert_null(mg_verp_report_id("me@d.test", pool));
    assert_null(mg_verp_report_id("", pool));
    assert_null(mg_verp_report_id("bounce+x@d.test", pool));
    assert_string_equal(id + 20, ".1267");
    assert_non_null(mg_verp_find(&claim, id));
    assert_int_equal(mg_verp_prove(&claim, key, "d.test"), APR_SUCCESS);
    assert_int_equal(mg_verp_prove(&claim, key, "e.test"), MG_EDENIED);
    assert_true(mg_verp_is_for(&claim.verp, key, "bob@x.test"));
    claim.verp.message_id++;
    assert_int_equal(mg_verp_prove(&claim, key, "d.test"), MG_EDENIED);
}

UNIT_MAIN(cmocka_unit_test(test_shared), cmocka_unit_test(test_make),
          cmocka_unit_test(test_read), cmocka_unit_test(test_find),
          cmocka_unit_test(test_report_id))
