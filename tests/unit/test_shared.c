/* test_shared.c - the mapped file, the doorbells, and what tests drive. */
#include "unit_pool.h"
#include "mg_fault.h"
#include "mg_log.h"
#include "mg_shared.h"
#include "mg_status.h"
#include "mg_time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *dir;

/* The file of mg_fault.h, as tests/stack/faults.py writes it. */
static struct {
    char magic[8];
    int64_t clock_offset;
    struct {
        char name[40];
        int32_t action, pad;
        int64_t argument, count, hits;
    } slots[32];
} *faults;

static int setup(void **state)
{
    char template[] = "/tmp/test_shared.XXXXXX";
    int fd;

    (void)state;
    dir = apr_pstrdup(pool, mkdtemp(template));
    fd = open(apr_pstrcat(pool, dir, "/faults", NULL), O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*faults)) != 0)
        return -1;
    faults = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED,
                  fd, 0);
    close(fd);
    memcpy(faults->magic, "MGFAULT1", 8);
    setenv("MG_TEST_DIR", dir, 1);
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = { "faults", "shared", "bell.sender.0",
                                         "bell.sender.1" };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(names); i++)
        unlink(apr_pstrcat(pool, dir, "/", names[i], NULL));
    return rmdir(dir);
}

static void pass(apr_interval_time_t t)
{
    faults->clock_offset += t;
}

static void test_clock(void **state)
{
    apr_time_t now, ticks;

    (void)state;
    usleep(50000); /* until it looks for the file again */
    now = mg_now();
    ticks = mg_ticks();
    pass(apr_time_from_sec(3 * 86400));
    assert_in_range(mg_now() - now, apr_time_from_sec(3 * 86400),
                    apr_time_from_sec(3 * 86400 + 5));
    assert_in_range(mg_ticks() - ticks, apr_time_from_sec(3 * 86400),
                    apr_time_from_sec(3 * 86400 + 5));
}

static void set_fault(int slot, const char *name, int action, int64_t argument,
                      int64_t count)
{
    memset(faults->slots[slot].name, 0, 40);
    memcpy(faults->slots[slot].name, name, strlen(name));
    faults->slots[slot].argument = argument;
    faults->slots[slot].count = count;
    faults->slots[slot].hits = 0;
    faults->slots[slot].action = action;
}

static void test_faults(void **state)
{
    pid_t child;
    int status;

    (void)state;
    assert_int_equal(MG_FAULT("store.begin"), APR_SUCCESS);
    set_fault(3, "store.begin", 3, 0, 2);
    assert_int_equal(MG_FAULT("store.beginning"), APR_SUCCESS);
    assert_int_equal(MG_FAULT("store.begin"), MG_EFULL);
    assert_int_equal(MG_FAULT("store.begin"), MG_EFULL);
    assert_int_equal(MG_FAULT("store.begin"), APR_SUCCESS);
    assert_int_equal(faults->slots[3].hits, 2);
    set_fault(4, "content.write", 2, 0, -1);
    assert_int_equal(MG_FAULT("content.write"), MG_EIO);
    assert_int_equal(MG_FAULT("content.write"), MG_EIO);
    assert_int_equal(faults->slots[4].count, -1);
    set_fault(4, "content.write", 5, 0, 1);
    assert_int_equal(MG_FAULT("content.write"), MG_ELOST);
    set_fault(4, "content.write", 4, 1000, 1);
    assert_int_equal(MG_FAULT("content.write"), APR_SUCCESS);
    assert_int_equal(faults->slots[4].hits, 1);

    set_fault(6, "sender:store.begin", 2, 0, 1);
    assert_int_equal(MG_FAULT("store.begin"), APR_SUCCESS);
    set_fault(6, "test_shared:store.begin", 2, 0, 1);
    assert_int_equal(MG_FAULT("begin"), APR_SUCCESS);
    assert_int_equal(MG_FAULT("store.begin"), MG_EIO);
    assert_int_equal(MG_FAULT("store.begin"), APR_SUCCESS);

    set_fault(5, "queue.claim.after", 1, 0, 1);
    child = fork();
    if (child == 0)
        _exit(MG_FAULT("queue.claim.after") != APR_SUCCESS);
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == 9);
    assert_int_equal(MG_FAULT("queue.claim.after"), APR_SUCCESS);
}

static void test_no_file(void **state)
{
    mg_shared_t *shared = mg_shared_attach("/nonexistent", pool);
    apr_uint32_t before;

    (void)state;
    before = mg_shared_generation(shared);
    mg_shared_bump(shared);
    assert_true(mg_shared_generation(shared) != before);
    /* nobody tells us: after a second, caches are stale in any case */
    before = mg_shared_generation(shared);
    pass(apr_time_from_sec(1));
    assert_true(mg_shared_generation(shared) != before);
    mg_shared_add(shared, 1, MG_GAUGE_ACCEPTED, 2);
    assert_int_equal(mg_shared_sum(shared, MG_GAUGE_ACCEPTED), 2);
}

static void test_file(void **state)
{
    mg_shared_t *early = mg_shared_attach(dir, pool);
    mg_shared_t *master, *other;
    apr_uint32_t generation;
    struct stat st;

    (void)state;
    assert_int_equal(mg_shared_create(&master, dir, pool), APR_SUCCESS);
    assert_int_equal(stat(apr_pstrcat(pool, dir, "/shared", NULL), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    other = mg_shared_attach(dir, pool);
    generation = mg_shared_generation(master);
    assert_int_equal(mg_shared_generation(other), generation);
    mg_shared_bump(other);
    assert_int_equal(mg_shared_generation(master), generation + 1);
    mg_shared_add(other, 0, MG_GAUGE_SESSIONS, 3);
    mg_shared_add(master, 63, MG_GAUGE_SESSIONS, 4);
    mg_shared_add(master, 64, MG_GAUGE_SESSIONS, 5);
    mg_shared_add(master, -1, MG_GAUGE_SESSIONS, 5);
    mg_shared_set(master, 1, MG_GAUGE_CLAIMED, 9);
    assert_int_equal(mg_shared_sum(master, MG_GAUGE_SESSIONS), 7);
    mg_shared_zero_slot(other, 0);
    assert_int_equal(mg_shared_sum(master, MG_GAUGE_SESSIONS), 4);
    assert_int_equal(mg_shared_sum(other, MG_GAUGE_CLAIMED), 9);

    /* who was there before the file finds it */
    pass(apr_time_from_sec(2));
    assert_int_equal(mg_shared_generation(early), generation + 1);
}

static void test_boot(void **state)
{
    mg_shared_t *old = mg_shared_attach(dir, pool), *master;
    int i;

    (void)state;
    mg_shared_set(old, 1, MG_GAUGE_CLAIMED, 9);
    for (i = 0; i < 3; i++) {
        assert_int_equal(mg_shared_create(&master, dir, pool), APR_SUCCESS);
        pass(apr_time_from_sec(2));
        assert_int_equal(mg_shared_generation(old),
                         mg_shared_generation(master));
        assert_int_equal(mg_shared_sum(old, MG_GAUGE_CLAIMED), 0);
        mg_shared_bump(master);
        assert_int_equal(mg_shared_generation(old),
                         mg_shared_generation(master));
    }
}

static void test_bell(void **state)
{
    int zero, one, none, i;
    char buf[8];

    (void)state;
    mg_bell_ring(dir, MG_ROLE_SENDER); /* nobody there */
    mg_bell_ring(NULL, MG_ROLE_SENDER);
    assert_int_equal(mg_bell_open(&zero, dir, MG_ROLE_SENDER, 0, pool), 0);
    assert_int_equal(mg_bell_open(&one, dir, MG_ROLE_SENDER, 1, pool), 0);
    assert_int_equal(read(zero, buf, sizeof(buf)), -1);
    assert_int_equal(errno, EAGAIN);
    mg_bell_ring(dir, MG_ROLE_NOTIFIER);
    assert_int_equal(read(zero, buf, sizeof(buf)), -1);
    mg_bell_ring(dir, MG_ROLE_SENDER);
    assert_int_equal(read(zero, buf, sizeof(buf)), 1);
    assert_int_equal(read(one, buf, sizeof(buf)), 1);
    for (i = 0; i < 2000; i++)
        mg_bell_ring(dir, MG_ROLE_SENDER); /* never blocks */
    /* a new worker takes the place of a dead one */
    assert_int_equal(mg_bell_open(&zero, dir, MG_ROLE_SENDER, 0, pool), 0);
    mg_bell_ring(dir, MG_ROLE_SENDER);
    assert_int_equal(read(zero, buf, sizeof(buf)), 1);
    assert_int_equal(mg_bell_open(&none, dir, MG_ROLE_SENDER, 16, pool),
                     APR_EINVAL);
    memset(buf, 'x', sizeof(buf));
    assert_int_equal(mg_bell_open(&none, apr_psprintf(pool, "/tmp/%0120d", 1),
                                  MG_ROLE_SENDER, 1, pool),
                     APR_ENAMETOOLONG);
}

static char last_line[200];
static void keep_line(mg_log_level_t level, apr_status_t rv, const char *line,
                      void *baton)
{
    (void)rv;
    snprintf(last_line, sizeof(last_line), "%s%d %s", (char *)baton, level,
             line);
}

static void test_log(void **state)
{
    char buf[100], prefix[] = ">";

    (void)state;
    mg_log_set_sink(keep_line, prefix);
    mg_log_set_level(MG_LOG_INFO);
    mg_log(MG_LOG_DEBUG, 0, "not this");
    assert_string_equal(last_line, "");
    mg_log(MG_LOG_WARN, MG_EBUSY, "domain %s", "x");
    assert_string_equal(last_line, ">1 domain x");
    mg_log_set_sink(NULL, NULL);
    assert_string_equal(mg_strerror(MG_EFULL, buf, sizeof(buf)),
                        "the disk is full");
    assert_string_equal(mg_strerror(APR_FROM_OS_ERROR(ENOENT), buf,
                                    sizeof(buf)), "No such file or directory");
    assert_string_equal(mg_strerror(MG_EFULL, buf, 5), "the ");
    assert_true(mg_is_temporary(MG_ELOST));
    assert_false(mg_is_temporary(MG_ESQL));
}

UNIT_MAIN(cmocka_unit_test_setup(test_clock, setup),
          cmocka_unit_test(test_faults), cmocka_unit_test(test_no_file),
          cmocka_unit_test(test_file), cmocka_unit_test(test_boot),
          cmocka_unit_test(test_bell),
          cmocka_unit_test_teardown(test_log, teardown))
