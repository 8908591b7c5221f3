/* test_path.c - patterns of endpoints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <apr_general.h>
#include <string.h>

#include "mg_path.h"

static apr_pool_t *pool;

static const struct {
    const char *pattern, *path;
    int matches;
    const char *first, *second;
} rows[] = {
    { "/domains", "/domains", 1, NULL, NULL },
    { "/domains", "/domains/", 1, NULL, NULL },
    { "/domains", "/domains//", 0, NULL, NULL },
    { "/domains", "/domain", 0, NULL, NULL },
    { "/domains", "/domainsx", 0, NULL, NULL },
    { "/domains/{domain}", "/domains/a.test", 1, "a.test", NULL },
    { "/domains/{domain}", "/domains/a.test/", 1, "a.test", NULL },
    { "/domains/{domain}", "/domains/", 0, NULL, NULL },
    { "/domains/{domain}", "/domains/a/b", 0, NULL, NULL },
    { "/{domain}/messages", "/a.test/messages", 1, "a.test", NULL },
    { "/{domain}/messages", "/a.test/messages.mime", 0, NULL, NULL },
    { "/{domain}/messages.mime", "/a.test/messages.mime", 1, "a.test", NULL },
    { "/{domain}/messages", "//messages", 0, NULL, NULL },
    { "/{domain}/mailboxes/{mailbox}", "/a/mailboxes/b@a", 1, "a", "b@a" },
    { "/{domain}/mailboxes/{mailbox}", "/a/mailboxes", 0, NULL, NULL },
    { "/{domain}/mailboxes/{mailbox}", "/a/mailboxes/", 0, NULL, NULL },
    { "/", "/", 1, NULL, NULL },
    { "/x", "", 0, NULL, NULL },
};

static void test_match(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *args[MG_PATH_ARGS];

        assert_int_equal(
            mg_path_match(args, rows[i].pattern, rows[i].path, pool),
            rows[i].matches);
        if (!rows[i].matches)
            continue;
        assert_int_equal(args[0] != NULL, rows[i].first != NULL);
        if (rows[i].first)
            assert_string_equal(args[0], rows[i].first);
        assert_int_equal(args[1] != NULL, rows[i].second != NULL);
        if (rows[i].second)
            assert_string_equal(args[1], rows[i].second);
    }
}

static const struct {
    const char *prefix, *path;
    int version;
    const char *rest;
} versions[] = {
    { "", "/v2/a", 2, "/a" },       { "", "/v3/a/b", 3, "/a/b" },
    { "", "/v3", 3, "/" },          { "", "/v3/", 3, "/" },
    { "", "/v4/a", 0, NULL },       { "", "/v2x", 0, NULL },
    { "", "/", 0, NULL },           { "", "", 0, NULL },
    { "/", "/v2/a", 2, "/a" },      { "/mail", "/mail/v2/a", 2, "/a" },
    { "/mail/", "/mail/v2", 2, "/" }, { "/mail", "/v2/a", 0, NULL },
    { "/mail", "/mailv2/a", 0, NULL },
};

static void test_version(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        const char *rest = NULL;

        assert_int_equal(
            mg_path_version(&rest, versions[i].prefix, versions[i].path),
            versions[i].version);
        if (versions[i].rest)
            assert_string_equal(rest, versions[i].rest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_version),
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
