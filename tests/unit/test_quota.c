/* test_quota.c - strict limits of mailbox and domain, alone and in a crowd. */
#include <pthread.h>
#include <string.h>
#include <apr_strings.h>

#include "mg_id.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_records.h"

#define OWNER "node:1:1"

static mg_mailbox_t *mailbox(unit_store_t *s, const mg_domain_t *d,
                             const char *address)
{
    mg_mailbox_t *m;

    unit_store_ok(s->db, mg_mailbox_add(&m, s->db, d->account_id, d->id,
                                        address, "h", s->p));
    return m;
}

/* Each row: what is there, what the limits are, whether n more fits. */
static void limits(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_mailbox_t *one = mailbox(s, d, "one@a.test");
    mg_mailbox_t *two = mailbox(s, d, "two@a.test");
    static const struct {
        apr_int64_t used, reserved, others_used, others_reserved;
        apr_int64_t quota, default_quota, domain_quota;
        apr_int64_t bytes;
        apr_status_t want;
    } cases[] = {
        /* no limit at all */
        { 1000000, 0, 0, 0, -1, 0, 0, 1000000, APR_SUCCESS },
        /* the default */
        { 900, 0, 0, 0, -1, 1000, 0, 100, APR_SUCCESS },
        { 900, 0, 0, 0, -1, 1000, 0, 101, MG_EQUOTA },
        /* its own, more or less than the default, or none */
        { 900, 0, 0, 0, 2000, 1000, 0, 1100, APR_SUCCESS },
        { 900, 0, 0, 0, 950, 1000, 0, 100, MG_EQUOTA },
        { 900, 0, 0, 0, 0, 1000, 0, 10000, APR_SUCCESS },
        /* open reservations count */
        { 500, 400, 0, 0, -1, 1000, 0, 100, APR_SUCCESS },
        { 500, 401, 0, 0, -1, 1000, 0, 100, MG_EQUOTA },
        /* another mailbox's do not, unless the domain has a limit */
        { 500, 0, 5000, 5000, -1, 1000, 0, 500, APR_SUCCESS },
        { 500, 0, 300, 100, -1, 1000, 1000, 100, APR_SUCCESS },
        { 500, 0, 300, 100, -1, 1000, 1000, 101, MG_EQUOTA },
        { 500, 0, 300, 100, 0, 0, 1000, 101, MG_EQUOTA },
        /* nothing more always fits; one byte over a lowered limit does not */
        { 1001, 0, 0, 0, -1, 1000, 0, 0, APR_SUCCESS },
        { 1001, 0, 0, 0, -1, 0, 1000, 0, APR_SUCCESS },
        { 1001, 0, 0, 0, -1, 1000, 0, 1, MG_EQUOTA },
    };
    const char *error;
    apr_int64_t r;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unit_store_ok(s->db, mg_db_script(s->db,
                                          "DELETE FROM quota_reservation;"
                                          "DELETE FROM mailbox_usage;"));
        unit_store_ok(s->db, mg_mailbox_set_quota(s->db, one->id, 0));
        unit_store_ok(s->db, mg_domain_set(s->db, d->id, "quota_bytes", "0",
                                           &error, s->p));
        unit_store_ok(s->db, mg_quota_settle(s->db, 0, one->id, cases[i].used,
                                             1));
        unit_store_ok(s->db, mg_quota_settle(s->db, 0, two->id,
                                             cases[i].others_used, 1));
        unit_store_ok(s->db, mg_quota_reserve(&r, s->db, one->id,
                                              cases[i].reserved, 1, 0,
                                              OWNER));
        unit_store_ok(s->db, mg_quota_reserve(&r, s->db, two->id,
                                              cases[i].others_reserved, 1, 0,
                                              OWNER));
        unit_store_ok(s->db, mg_mailbox_set_quota(s->db, one->id,
                                                  cases[i].quota));
        unit_store_ok(s->db, mg_domain_set(
                                 s->db, d->id, "quota_bytes",
                                 apr_psprintf(s->p, "%d",
                                              (int)cases[i].domain_quota),
                                 &error, s->p));
        unit_store_is(s->db, mg_quota_reserve(&r, s->db, one->id,
                                              cases[i].bytes, 1,
                                              cases[i].default_quota, OWNER),
                      cases[i].want);
        assert_int_equal(r != 0, cases[i].want == APR_SUCCESS);
    }
    unit_store_is(s->db, mg_quota_reserve(&r, s->db, 1, 1, 1, 0, OWNER),
                  APR_ENOENT);
}

static void another_domain(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *a = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_domain_t *b = unit_domain(s, a->account_id, "b.test");
    mg_mailbox_t *ma = mailbox(s, a, "x@a.test"), *mb = mailbox(s, b,
                                                                "x@b.test");
    const char *error;
    apr_int64_t r;

    unit_store_ok(s->db, mg_domain_set(s->db, a->id, "quota_bytes", "1000",
                                       &error, s->p));
    unit_store_ok(s->db, mg_quota_settle(s->db, 0, mb->id, 5000, 1));
    unit_store_ok(s->db, mg_quota_reserve(&r, s->db, mb->id, 5000, 1, 0,
                                          OWNER));
    unit_store_ok(s->db, mg_quota_reserve(&r, s->db, ma->id, 1000, 1, 0,
                                          OWNER));
    unit_store_is(s->db, mg_quota_reserve(&r, s->db, ma->id, 1, 1, 0, OWNER),
                  MG_EQUOTA);
}

static void life_of_a_save(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_mailbox_t *m = mailbox(s, d, "x@a.test");
    apr_int64_t r1, r2, r3;
    mg_quota_t q;
    int n;

    unit_store_ok(s->db, mg_quota_get(&q, s->db, m->id, 500));
    assert_int_equal(q.used_bytes, 0);
    assert_int_equal(q.limit_bytes, 500);
    assert_int_equal(q.domain_limit_bytes, 0);
    unit_store_ok(s->db, mg_quota_reserve(&r1, s->db, m->id, 100, 1, 500,
                                          OWNER));
    unit_store_ok(s->db, mg_quota_settle(s->db, r1, m->id, 90, 1));
    unit_store_ok(s->db, mg_quota_reserve(&r1, s->db, m->id, 100, 1, 500,
                                          OWNER));
    unit_store_ok(s->db, mg_quota_release(s->db, r1));
    unit_store_ok(s->db, mg_quota_settle(s->db, 0, m->id, -40, -1));
    unit_store_ok(s->db, mg_quota_get(&q, s->db, m->id, 500));
    assert_int_equal(q.used_bytes, 50);
    assert_int_equal(q.used_messages, 0);
    assert_int_equal(q.domain_used_bytes, 50);
    assert_int_equal(q.dirty, 0);

    /* its process dies between save and booking */
    unit_store_ok(s->db, mg_quota_reserve(&r2, s->db, m->id, 100, 1, 500,
                                          OWNER));
    unit_store_ok(s->db, mg_quota_orphan(&n, s->db, "node:2:2"));
    assert_int_equal(n, 0);
    unit_store_ok(s->db, mg_quota_orphan(&n, s->db, OWNER));
    assert_int_equal(n, 1);
    unit_store_ok(s->db, mg_quota_get(&q, s->db, m->id, 500));
    assert_int_equal(q.dirty, 1);
    unit_store_ok(s->db, mg_quota_reserve(&r3, s->db, m->id, 7, 1, 500,
                                          OWNER));
    unit_store_ok(s->db, mg_quota_recount(s->db, m->id, 150, 1, r2));
    unit_store_ok(s->db, mg_quota_get(&q, s->db, m->id, 500));
    assert_int_equal(q.dirty, 0);
    assert_int_equal(q.used_bytes, 150);
    assert_int_equal(unit_store_int(s->db, "SELECT id FROM quota_reservation"),
                     r3);

    /* a mailbox that was deleted meanwhile counts no more */
    unit_store_ok(s->db, mg_mailbox_delete(s->db, m->id));
    unit_store_ok(s->db, mg_quota_settle(s->db, r3, m->id, 7, 1));
    unit_store_ok(s->db, mg_quota_recount(s->db, m->id, 7, 1, r3));
    unit_store_is(s->db, mg_quota_get(&q, s->db, m->id, 500), APR_ENOENT);
    unit_store_is(s->db, mg_quota_reserve(&r3, s->db, m->id, 1, 1, 0, OWNER),
                  APR_ENOENT);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*)"
                                    " FROM mailbox_usage"), 0);
}

/* --- a crowd --- */

typedef struct {
    mg_db_t *db;
    apr_int64_t mailbox_id;
    int taken, refused, failed;
} crowd_t;

static void *reserve_often(void *data)
{
    crowd_t *c = data;
    apr_status_t rv;
    apr_int64_t r;
    int i;

    for (i = 0; i < 30; i++) {
        rv = mg_quota_reserve(&r, c->db, c->mailbox_id, 10, 1, 0, OWNER);
        c->taken += rv == APR_SUCCESS;
        c->refused += rv == MG_EQUOTA;
        if (rv == MG_EBUSY)
            i--;
        else
            c->failed += rv != APR_SUCCESS && rv != MG_EQUOTA;
    }
    return NULL;
}

static void a_crowd(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_mailbox_t *one = mailbox(s, d, "one@a.test");
    mg_mailbox_t *two = mailbox(s, d, "two@a.test");
    enum { N = 4 };
    pthread_t threads[N];
    crowd_t crowd[N];
    int i, taken = 0, by_domain;
    const char *error;

    for (by_domain = 0; by_domain < 2; by_domain++) {
        unit_store_ok(s->db, mg_db_script(s->db,
                                          "DELETE FROM quota_reservation;"));
        /* 45 of 120 fit: of one mailbox, then of the domain over two */
        unit_store_ok(s->db, mg_mailbox_set_quota(s->db, one->id,
                                                  by_domain ? 0 : 455));
        unit_store_ok(s->db, mg_domain_set(s->db, d->id, "quota_bytes",
                                           by_domain ? "455" : "0", &error,
                                           s->p));
        memset(crowd, 0, sizeof(crowd));
        for (i = 0; i < N; i++) {
            crowd[i].db = unit_store_open(s, 0);
            crowd[i].mailbox_id = by_domain && i % 2 ? two->id : one->id;
        }
        for (i = 0; i < N; i++)
            pthread_create(&threads[i], NULL, reserve_often, &crowd[i]);
        for (taken = 0, i = 0; i < N; i++) {
            pthread_join(threads[i], NULL);
            taken += crowd[i].taken;
            assert_int_equal(crowd[i].failed, 0);
        }
        assert_int_equal(taken, 45);
        assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*)"
                                        " FROM quota_reservation"), 45);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(limits),
        UNIT_ON_BOTH(another_domain),
        UNIT_ON_BOTH(life_of_a_save),
        UNIT_ON_BOTH(a_crowd),
    };
    return unit_store_run("quota", tests);
}
