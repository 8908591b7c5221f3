/* test_id.c - ids are unique and never go back (mg_id.h). */
#include "unit_pool.h"
#include "mg_id.h"
#include "mg_time.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define EACH 20000

static void *draw(void *out)
{
    apr_int64_t *ids = out;
    int i;

    for (i = 0; i < EACH; i++)
        ids[i] = mg_id_next();
    return NULL;
}

static int compare(const void *a, const void *b)
{
    apr_int64_t x = *(const apr_int64_t *)a, y = *(const apr_int64_t *)b;

    return x < y ? -1 : x > y;
}

static void test_threads(void **state)
{
    apr_int64_t *ids = calloc(THREADS * EACH, sizeof(*ids));
    pthread_t threads[THREADS];
    int i, k;

    (void)state;
    for (i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, draw, ids + i * EACH);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < THREADS; i++)
        for (k = 1; k < EACH; k++)
            assert_true(ids[i * EACH + k] > ids[i * EACH + k - 1]);
    qsort(ids, THREADS * EACH, sizeof(*ids), compare);
    for (i = 1; i < THREADS * EACH; i++)
        assert_true(ids[i] != ids[i - 1]);
    assert_true(ids[0] > 0);
    free(ids);
}

static void test_time_of_id(void **state)
{
    apr_time_t t = APR_INT64_C(1700000000123456);
    apr_int64_t floor = mg_id_floor(t), id;

    (void)state;
    assert_int_equal(mg_id_time(floor), APR_INT64_C(1700000000123000));
    assert_int_equal(mg_id_time(floor - 1), APR_INT64_C(1700000000122000));
    assert_int_equal(mg_id_floor(0), 0);
    assert_int_equal(mg_id_floor(-1), 0);
    assert_true(mg_id_floor(APR_INT64_C(4294967296000000)) == APR_INT64_MAX);
    usleep(2000);
    t = mg_now();
    id = mg_id_next();
    /* the threads' test drew faster than time passes: allow what it is ahead */
    assert_true(id >= mg_id_floor(t));
    assert_true(mg_id_time(id) < t + apr_time_from_sec(60));
}

static apr_int64_t child_bits(void)
{
    apr_int64_t id = 0;
    int ends[2];
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        mg_id_init();
        id = mg_id_next();
        _exit(write(ends[1], &id, sizeof(id)) != sizeof(id));
    }
    assert_int_equal(read(ends[0], &id, sizeof(id)), sizeof(id));
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    return id >> 8 & 0x3fff;
}

static void test_fork(void **state)
{
    apr_int64_t own = mg_id_next() >> 8 & 0x3fff;

    (void)state;
    /* 1 in 16,384 each: three alike is no accident */
    assert_false(child_bits() == own && child_bits() == own
                 && child_bits() == own);
}

static void test_draw_anew(void **state)
{
    apr_int64_t last = mg_id_next(), next;
    int i, others = 0;

    (void)state;
    for (i = 0; i < 1000; i++, last = next) {
        mg_id_draw_anew();
        next = mg_id_next();
        assert_true(next > last);
        others += (next >> 8 & 0x3fff) != (last >> 8 & 0x3fff);
    }
    assert_true(others > 990);
}

static void test_public_ids(void **state)
{
    char *id;
    size_t i;

    (void)state;
    id = mg_id_hex24(pool);
    assert_int_equal(strlen(id), 24);
    assert_int_equal(strspn(id, "0123456789abcdef"), 24);
    assert_string_not_equal(id, mg_id_hex24(pool));

    id = mg_id_event(APR_INT64_C(123456789012345678), pool);
    assert_int_equal(strlen(id), 22);
    assert_string_equal(id, mg_id_event(APR_INT64_C(123456789012345678),
                                        pool));
    assert_string_not_equal(id, mg_id_event(APR_INT64_C(123456789012345679),
                                            pool));
    for (i = 0; i < 200; i += 13) {
        id = mg_id_random(i, pool);
        assert_int_equal(strlen(id), i);
        assert_int_equal(strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz"),
                         i);
    }
}

static void test_message_id(void **state)
{
    char *id = mg_id_message("samples.mailgun.test", pool), *at;
    int i;

    (void)state;
    at = strchr(id, '@');
    assert_string_equal(at, "@samples.mailgun.test");
    assert_int_equal(strspn(id, "0123456789"), 14);
    assert_int_equal(strspn(id, "0123456789."), at - id);
    for (i = 0; i < 1000; i++) {
        char *next = mg_id_message("samples.mailgun.test", pool);
        assert_string_not_equal(id, next);
        id = next;
    }
}

UNIT_MAIN(cmocka_unit_test(test_threads), cmocka_unit_test(test_time_of_id),
          cmocka_unit_test(test_fork),
          cmocka_unit_test(test_draw_anew),
          cmocka_unit_test(test_public_ids),
          cmocka_unit_test(test_message_id))
