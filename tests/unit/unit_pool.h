/* unit_pool.h - what every unit test begins with: cmocka and a pool.
 *
 *     static void test_this(void **state) { ... pool ... }
 *     UNIT_MAIN(cmocka_unit_test(test_this), ...)
 */
#ifndef UNIT_POOL_H
#define UNIT_POOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <apr_general.h>
#include <apr_pools.h>
#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

static apr_pool_t *pool;

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define UNIT_MAIN(...) \
    int main(void) \
    { \
        const struct CMUnitTest tests[] = { __VA_ARGS__ }; \
        int failed; \
        apr_initialize(); \
        apr_pool_create(&pool, NULL); \
        failed = cmocka_run_group_tests(tests, NULL, NULL); \
        apr_pool_destroy(pool); \
        apr_terminate(); \
        return failed ? 1 : 0; \
    }

#endif
