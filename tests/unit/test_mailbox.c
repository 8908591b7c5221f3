/* test_mailbox.c - mailboxes and their tombstones. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include <apr_strings.h>

#include "mg_status.h"
#include "unit_records.h"

static void adds_and_finds(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t a = unit_account(s, "a"), total;
    mg_domain_t *d = unit_domain(s, a, "a.test");
    static const struct {
        const char *address;
        apr_status_t want;
    } cases[] = {
        { "Bob@a.test", APR_SUCCESS }, { "bob@A.TEST", APR_EEXIST },
        { "bob", MG_EADDRESS }, { "@a.test", MG_EADDRESS },
        { "a b@a.test", MG_EADDRESS }, { "", MG_EADDRESS },
        { "a@a.test> SIZE=1", MG_EADDRESS }, { "x\xff@a.test", MG_EADDRESS },
        { "\"a b\"@a.test", APR_SUCCESS }, { "alice@a.test", APR_SUCCESS },
    };
    apr_array_header_t *list;
    mg_mailbox_t *m;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        unit_store_is(s->db, mg_mailbox_add(&m, s->db, a, d->id,
                                            cases[i].address, "h", s->p),
                      cases[i].want);
    unit_store_ok(s->db, mg_mailbox_by_address(&m, s->db, "BOB@a.Test",
                                               s->p));
    assert_string_equal(m->address, "Bob@a.test");
    assert_int_equal(m->account_id, a);
    assert_int_equal(m->quota_bytes, -1);
    assert_int_equal(m->size_bytes, -1);
    unit_store_is(s->db, mg_mailbox_by_address(&m, s->db, "x@a.test", s->p),
                  APR_ENOENT);
    unit_store_is(s->db, mg_mailbox_by_address(&m, s->db, "\xff", s->p),
                  APR_ENOENT);
    unit_store_ok(s->db, mg_mailbox_list(&list, &total, s->db, d->id, 1, 2,
                                         s->p));
    assert_int_equal(total, 4);
    assert_int_equal(list->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(list, 0, mg_mailbox_t *)->address,
                        "alice@a.test");
    assert_string_equal(APR_ARRAY_IDX(list, 1, mg_mailbox_t *)->address,
                        "Bob@a.test");
    assert_string_equal(mg_mailbox_home("/m", 1234567, s->p),
                        "/m/567/1234567");
}

typedef struct {
    unit_store_t *store;
    mg_db_t *db;
    mg_domain_t *domain;
    apr_status_t rv;
} adder_t;

static void *add_meanwhile(void *baton)
{
    adder_t *a = baton;
    mg_mailbox_t *m;
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    a->rv = mg_mailbox_add(&m, a->db, a->domain->account_id, a->domain->id,
                           "left@a.test", "h", p);
    apr_pool_destroy(p);
    return NULL;
}

/* None is left behind in a domain that goes: its next owner may be another
 * account. */
static void domain_goes(void **state)
{
    unit_store_t *s = *state;
    adder_t a = { s, unit_store_open(s, 0), NULL, APR_EGENERAL };
    mg_mailbox_t *m;
    pthread_t thread;

    a.domain = unit_domain(s, unit_account(s, "a"), "a.test");
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_domain_remove(s->db, a.domain->id, s->p));
    assert_int_equal(pthread_create(&thread, NULL, add_meanwhile, &a), 0);
    usleep(100000);
    unit_store_ok(s->db, mg_tx_commit(s->db));
    pthread_join(thread, NULL);
    unit_store_is(a.db, a.rv, APR_ENOENT);
    unit_store_is(s->db, mg_mailbox_by_address(&m, s->db, "left@a.test", s->p),
                  APR_ENOENT);
    unit_fsck(s, 0, NULL);
}

static void changes_and_dies(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t a = unit_account(s, "a");
    mg_domain_t *d = unit_domain(s, a, "a.test");
    apr_array_header_t *gone;
    mg_mailbox_t *m, *got;

    unit_store_ok(s->db, mg_mailbox_add(&m, s->db, a, d->id, "b@a.test", "h1",
                                        s->p));
    unit_store_ok(s->db, mg_mailbox_set_password(s->db, m->id, "h2"));
    unit_store_ok(s->db, mg_mailbox_set_quota(s->db, m->id, 1000));
    unit_store_ok(s->db, mg_quota_settle(s->db, 0, m->id, 123, 1));
    unit_store_ok(s->db, mg_mailbox_by_id(&got, s->db, m->id, s->p));
    assert_string_equal(got->password_hash, "h2");
    assert_true(got->revision != m->revision);
    assert_int_equal(got->quota_bytes, 1000);
    assert_int_equal(got->size_bytes, 123);
    unit_store_ok(s->db, mg_mailbox_set_quota(s->db, m->id, -1));
    unit_store_ok(s->db, mg_mailbox_by_id(&got, s->db, m->id, s->p));
    assert_int_equal(got->quota_bytes, -1);

    unit_store_ok(s->db, mg_mailbox_delete(s->db, m->id));
    unit_store_is(s->db, mg_mailbox_delete(s->db, m->id), APR_ENOENT);
    unit_store_is(s->db, mg_mailbox_by_id(&got, s->db, m->id, s->p),
                  APR_ENOENT);
    unit_store_is(s->db, mg_mailbox_by_address(&got, s->db, "b@a.test", s->p),
                  APR_ENOENT);
    unit_store_is(s->db, mg_mailbox_set_password(s->db, m->id, "x"),
                  APR_ENOENT);
    unit_store_is(s->db, mg_mailbox_set_quota(s->db, m->id, 1), APR_ENOENT);
    unit_store_ok(s->db, mg_mailbox_forget(s->db, 1));

    /* again at the same address: another one, empty */
    unit_store_ok(s->db, mg_mailbox_add(&got, s->db, a, d->id, "b@a.test",
                                        "h", s->p));
    assert_true(got->id != m->id);
    unit_store_ok(s->db, mg_mailbox_deleted(&gone, s->db, 5, s->p));
    assert_int_equal(gone->nelts, 1);
    assert_int_equal(APR_ARRAY_IDX(gone, 0, mg_mailbox_t *)->id, m->id);
    unit_store_ok(s->db, mg_mailbox_forget(s->db, m->id));
    unit_store_ok(s->db, mg_mailbox_forget(s->db, got->id)); /* it lives */
    unit_store_ok(s->db, mg_mailbox_deleted(&gone, s->db, 5, s->p));
    assert_int_equal(gone->nelts, 0);
    unit_store_ok(s->db, mg_mailbox_by_address(&got, s->db, "b@a.test",
                                               s->p));
    assert_int_equal(got->size_bytes, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(adds_and_finds),
        UNIT_ON_BOTH(domain_goes),
        UNIT_ON_BOTH(changes_and_dies),
    };
    return unit_store_run("mailbox", tests);
}
