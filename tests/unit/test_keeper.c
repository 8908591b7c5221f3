/* test_keeper.c - files that go, rows that expire, claims that come back. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mg_event_count.h"
#include "mg_id.h"
#include "mg_retention.h"
#include "mg_saved_delivery.h"
#include "mg_time.h"
#include "reaper.h"
#include "remover.h"
#include "unit_records.h"
#include "unit_worker.h"

static const char *path_of(unit_store_t *s, const char *name)
{
    return apr_pstrcat(s->p, s->dir, "/", name, NULL);
}

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static int exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void make_tree(unit_store_t *s, const char *root)
{
    int i, k;

    mkdir(path_of(s, root), 0700);
    for (i = 0; i < 5; i++) {
        const char *dir = path_of(s, apr_psprintf(s->p, "%s/d%d", root, i));

        mkdir(dir, 0700);
        mkdir(apr_pstrcat(s->p, dir, "/empty", NULL), 0700);
        for (k = 0; k < 50; k++)
            touch(apr_psprintf(s->p, "%s/u.%d", dir, k));
    }
}

static void removes_trees(void **state)
{
    unit_store_t *s = *state;
    const char *outside = path_of(s, "outside");
    remover_t *r;
    int steps = 0;

    make_tree(s, "outside");
    make_tree(s, "home");
    assert_int_equal(symlink(outside, path_of(s, "home/d1/link")), 0);
    assert_int_equal(symlink("/", path_of(s, "home/root")), 0);
    assert_int_equal(remover_create(&r, s->dir, "home", s->p), APR_SUCCESS);
    assert_false(exists(path_of(s, "home")));
    while (APR_STATUS_IS_EAGAIN(remover_step(r, 40)))
        steps++;
    assert_true(steps > 3);
    assert_false(exists(path_of(s, "home.gone")));
    assert_true(exists(path_of(s, "outside/d1/u.1")));
    assert_true(APR_STATUS_IS_ENOENT(remover_create(&r, s->dir, "home",
                                                    s->p)));
    assert_true(APR_STATUS_IS_ENOENT(
        remover_create(&r, path_of(s, "none"), "home", s->p)));

    /* the home itself is a link: the link goes, what it shows stays */
    assert_int_equal(symlink(outside, path_of(s, "home")), 0);
    assert_int_equal(remover_create(&r, s->dir, "home", s->p), APR_SUCCESS);
    assert_int_equal(remover_step(r, 100), APR_SUCCESS);
    assert_false(exists(path_of(s, "home")));
    assert_false(exists(path_of(s, "home.gone")));
    assert_true(exists(path_of(s, "outside/d1/u.1")));

    /* one that was interrupted, and a new one of that name */
    make_tree(s, "home");
    assert_int_equal(remover_create(&r, s->dir, "home", s->p), APR_SUCCESS);
    remover_step(r, 10);
    assert_int_equal(remover_create(&r, s->dir, "home", s->p), APR_SUCCESS);
    while (APR_STATUS_IS_EAGAIN(remover_step(r, 40)))
        ;
    assert_false(exists(path_of(s, "home.gone")));
    unit_dir_remove(outside);
}

/* A deleted mailbox: its files, then its row. */
static void forgets_mailboxes(void **state)
{
    unit_store_t *s = *state;
    worker_t *w = unit_worker(s, MG_ROLE_KEEPER);
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    apr_time_t until = mg_ticks() + apr_time_from_sec(10);
    mg_mailbox_t *box, *without;
    char *home, *parent;

    unit_store_ok(s->db, mg_mailbox_add(&box, s->db, d->account_id, d->id,
                                        "one@a.test", "h", s->p));
    unit_store_ok(s->db, mg_mailbox_add(&without, s->db, d->account_id, d->id,
                                        "two@a.test", "h", s->p));
    home = mg_mailbox_home(w->config->mail_dir, box->id, s->p);
    parent = apr_pstrdup(s->p, home);
    *strrchr(parent, '/') = '\0';
    mkdir(parent, 0700);
    mkdir(home, 0700);
    touch(apr_pstrcat(s->p, home, "/u.1", NULL));
    unit_store_ok(s->db, mg_mailbox_delete(s->db, box->id));
    unit_store_ok(s->db, mg_mailbox_delete(s->db, without->id));
    w->secret = unit_secret(s);
    assert_int_equal(keeper_start(w), APR_SUCCESS);
    while (mg_ticks() < until &&
           unit_store_int(s->db, "SELECT count(*) FROM mailbox"
                                 " WHERE deleted_at IS NOT NULL") > 0)
        loop_turn(w->loop, 20000);
    assert_int_equal(unit_store_int(s->db, "SELECT count(*) FROM mailbox"
                                           " WHERE deleted_at IS NOT NULL"),
                     0);
    assert_false(exists(home));
    assert_true(exists(parent));
    apr_pool_destroy(w->pool);
}

static void reaps(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_claimer_t *claimer;
    char node[256] = "";
    int released;
    pid_t dead;

    gethostname(node, sizeof(node) - 1);
    dead = fork();
    if (dead == 0)
        _exit(0);
    waitpid(dead, NULL, 0);
    unit_accept_many(s, d, 3);
    claimer = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    assert_int_equal(unit_claim(s, s->db, claimer, 10)->nelts, 3);
    /* we live: nothing is taken from us */
    unit_store_ok(s->db, reaper_sweep(&released, s->db, node, 0, s->p));
    assert_int_equal(released, 0);
    unit_store_ok(s->db, reaper_sweep(&released, s->db, node, dead, s->p));
    assert_int_equal(released, 0);
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "UPDATE node SET pid = $1",
                                    "i", (apr_int64_t)dead));
    unit_store_ok(s->db, reaper_sweep(&released, s->db, "another", 0, s->p));
    assert_int_equal(released, 0);
    unit_store_ok(s->db, reaper_sweep(&released, s->db, node, 0, s->p));
    assert_int_equal(released, 3);
    assert_int_equal(unit_store_int(s->db, "SELECT count(*) FROM node"), 0);
    assert_int_equal(unit_claim(s, s->db, claimer, 10)->nelts, 3);
}

/* Until all was looked at. @return rows that went */
static int forget_all(unit_store_t *s, apr_time_t before)
{
    mg_retention_t at = { 0, 0, 0 };
    int n, more, total = 0;

    do {
        unit_store_ok(s->db, mg_retention_events(&n, &more, &at, s->db, before,
                                                 2, s->p));
        assert_true(n <= 2);
        total += n;
    } while (more);
    return total;
}

static void retention(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    apr_time_t later = mg_now() + apr_time_from_sec(86400 * 3);

    unit_accept_many(s, d, 5);
    assert_int_equal(forget_all(s, mg_now() - apr_time_from_sec(60)), 0);
    /* still queued: messages stay, however old */
    assert_int_equal(forget_all(s, later), 5);
    assert_int_equal(unit_store_int(s->db, "SELECT count(*) FROM message"),
                     5);
    assert_int_equal(unit_store_int(s->db, "SELECT count(*) FROM event"), 0);
    assert_int_equal(unit_store_int(s->db, "SELECT count(*) FROM event_hour"),
                     0);
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "DELETE FROM delivery", ""));
    assert_int_equal(forget_all(s, later), 5);
    assert_int_equal(unit_store_int(s->db, "SELECT count(*) FROM message"),
                     0);
    assert_int_equal(unit_store_int(s->db, "SELECT count(*) FROM content"),
                     0);
}

/* What is opened late keeps its message, and the log is as long as it is
 * said to be. */
static void retention_of_one_by_one(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    apr_int64_t second, total;
    apr_array_header_t *items;

    unit_accept_many(s, d, 5);
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "DELETE FROM delivery", ""));
    second = unit_store_int(s->db, "SELECT id FROM message ORDER BY id"
                                   " LIMIT 1 OFFSET 1");
    unit_store_ok(s->db, mg_db_exec(
        s->db, NULL, "UPDATE event SET id = $1 WHERE message_id = $2", "ii",
        mg_id_floor(mg_now() + apr_time_from_sec(86400 * 9)), second));
    unit_store_ok(s->db, mg_db_exec(
        s->db, NULL, "INSERT INTO event_hour (domain_id, hour, slot, n)"
        " VALUES ($1, $2, 0, 1)", "ii", d->id,
        mg_event_hour(mg_id_floor(mg_now() + apr_time_from_sec(86400 * 9)))));
    unit_store_ok(s->db, mg_db_exec(
        s->db, NULL, "UPDATE event_hour SET n = n - 1 WHERE hour = $1", "i",
        mg_event_hour(second)));
    assert_int_equal(forget_all(s, mg_now() + apr_time_from_sec(86400 * 3)),
                     4 + 4);
    assert_int_equal(unit_store_int(s->db, "SELECT id FROM message"), second);
    unit_store_ok(s->db, mg_event_log(&items, &total, s->db, d->id, 0, 10,
                                      s->p));
    assert_int_equal(total, 1);
    assert_int_equal(items->nelts, 1);
}

static void count(unit_store_t *s, const char *sql, apr_int64_t owner,
                  apr_int64_t day)
{
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, sql, "ii", owner, day));
}

static void retention_of_counters(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t today = mg_time_day(mg_now());
    mg_retention_t at = { 0, 0, 0 };
    int owner, day, n, more, total = 0;

    for (owner = 1; owner <= 100; owner++)
        for (day = 0; day < 3; day++) {
            count(s, "INSERT INTO stat (domain_id, day, kind, slot, n) VALUES"
                     " ($1, $2, 'a', 0, 1), ($1, $2, 'a', 1, 1),"
                     " ($1, $2, 'b', 0, 1)", owner, today - day * 100);
            count(s, "INSERT INTO stat_tag (domain_id, day, kind, tag, slot,"
                     " n) VALUES ($1, $2, 'a', 'x', 0, 1)", owner,
                  today - day * 100);
            count(s, "INSERT INTO account_usage (account_id, day, kind, slot,"
                     " n) VALUES ($1, $2, 'sent', 0, 1)", owner,
                  today - day * 100);
        }
    do {
        unit_store_ok(s->db, mg_retention_counters(
            &n, &more, &at, s->db, mg_now() - apr_time_from_sec(86400) * 100,
            2, s->p));
        assert_true(n <= 2);
        total += n;
    } while (more);
    assert_int_equal(total, 100 * (3 + 1 + 1));
    assert_int_equal(unit_store_int(s->db, "SELECT count(*) FROM stat"),
                     600);
    assert_int_equal(unit_store_int(s->db, "SELECT count(*) FROM stat_tag"),
                     200);
    unit_store_ok(s->db, mg_retention_counters(
        &n, &more, &at, s->db, mg_now() - apr_time_from_sec(86400) * 100, 2,
        s->p));
    assert_int_equal(n, 0);
}

static void expires_deliveries(void **state)
{
    unit_store_t *s = *state;
    int n;

    unit_store_ok(s->db, mg_saved_add(s->db, 1, 2));
    unit_store_ok(s->db, mg_saved_begin(s->db, 1, 3));
    unit_store_ok(s->db, mg_saved_expire(&n, s->db, mg_now() -
                                         apr_time_from_sec(5), 10));
    assert_int_equal(n, 0);
    unit_store_ok(s->db, mg_saved_expire(&n, s->db, mg_now() +
                                         apr_time_from_sec(5), 10));
    assert_int_equal(n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_SQLITE(removes_trees),
        UNIT_ON_SQLITE(forgets_mailboxes),
        UNIT_ON_BOTH(reaps),
        UNIT_ON_BOTH(retention),
        UNIT_ON_BOTH(retention_of_one_by_one),
        UNIT_ON_BOTH(retention_of_counters),
        UNIT_ON_BOTH(expires_deliveries),
    };

    return unit_store_run("keeper", tests);
}
