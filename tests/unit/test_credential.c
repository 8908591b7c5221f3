/* test_credential.c - logins without a mailbox. */
#include <string.h>

#include "mg_credential.h"
#include "mg_mailbox.h"
#include "mg_status.h"
#include "unit_records.h"

static void adds_and_finds(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t a = unit_account(s, "a"), total;
    mg_domain_t *d = unit_domain(s, a, "a.test");
    static const struct {
        const char *login;
        apr_status_t want;
    } cases[] = {
        { "App@a.test", APR_SUCCESS }, { "app@A.TEST", APR_EEXIST },
        { "app", APR_EEXIST }, { "other", APR_SUCCESS },
        { "app@b.test", MG_EADDRESS }, { "@a.test", MG_EADDRESS },
        { "", MG_EADDRESS }, { "a b", MG_EADDRESS },
        { "x\xff@a.test", MG_EADDRESS }, { "bob@a.test", APR_EEXIST },
        { "x> SIZE=1", MG_EADDRESS },
    };
    apr_array_header_t *list;
    mg_credential_t *c;
    mg_mailbox_t *m;
    size_t i;

    unit_store_ok(s->db, mg_mailbox_add(&m, s->db, a, d->id, "Bob@a.test",
                                        "h", s->p));
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        unit_store_is(s->db, mg_credential_add(&c, s->db, d, cases[i].login,
                                               "h", s->p), cases[i].want);
    unit_store_ok(s->db, mg_credential_by_login(&c, s->db, "APP@a.Test",
                                                s->p));
    assert_string_equal(c->login, "app@a.test");
    assert_int_equal(c->account_id, a);
    assert_int_equal(c->domain_id, d->id);
    unit_store_is(s->db, mg_credential_by_login(&c, s->db, "x@a.test", s->p),
                  APR_ENOENT);
    unit_store_is(s->db, mg_credential_by_login(&c, s->db, "\xff", s->p),
                  APR_ENOENT);
    unit_store_ok(s->db, mg_credential_list(&list, &total, s->db, d->id, 1, 5,
                                            s->p));
    assert_int_equal(total, 2);
    assert_int_equal(list->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(list, 0, mg_credential_t *)->login,
                        "other@a.test");
}

static void changes_and_goes(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    apr_int64_t revision;
    mg_credential_t *c;

    unit_store_ok(s->db, mg_credential_add(&c, s->db, d, "app", "h", s->p));
    revision = c->revision;
    unit_store_ok(s->db, mg_credential_set_password(s->db, c->id, "other"));
    unit_store_ok(s->db, mg_credential_by_login(&c, s->db, "app@a.test",
                                                s->p));
    assert_string_equal(c->password_hash, "other");
    assert_true(c->revision != revision);
    unit_store_ok(s->db, mg_credential_remove(s->db, c->id));
    unit_store_is(s->db, mg_credential_remove(s->db, c->id), APR_ENOENT);
    unit_store_is(s->db, mg_credential_set_password(s->db, c->id, "x"),
                  APR_ENOENT);
    unit_store_ok(s->db, mg_credential_add(&c, s->db, d, "app", "h", s->p));
    unit_store_ok(s->db, mg_domain_remove(s->db, d->id, s->p));
    unit_store_is(s->db, mg_credential_by_login(&c, s->db, "app@a.test", s->p),
                  APR_ENOENT);
    unit_store_is(s->db, mg_credential_add(&c, s->db, d, "late", "h", s->p),
                  APR_ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(adds_and_finds),
        UNIT_ON_BOTH(changes_and_goes),
    };

    return unit_store_run("credential", tests);
}
