/* test_list.c - mailing lists and their members. */
#include <string.h>
#include <apr_strings.h>

#include "mg_account.h"
#include "mg_list.h"
#include "mg_status.h"
#include "unit_records.h"

static mg_list_t *list_of(unit_store_t *s, const mg_domain_t *d,
                          const char *address)
{
    mg_list_t *l = apr_pcalloc(s->p, sizeof(*l));

    l->account_id = d->account_id;
    l->domain_id = d->id;
    l->address = address;
    l->access = MG_LIST_READONLY;
    unit_store_ok(s->db, mg_list_add(l, s->db, s->p));
    return l;
}

static mg_list_member_t *member_of(unit_store_t *s, const char *address)
{
    mg_list_member_t *m = apr_pcalloc(s->p, sizeof(*m));

    m->address = address;
    m->name = m->description = "";
    m->vars = "{}";
    m->subscribed = 1;
    return m;
}

static apr_status_t put(unit_store_t *s, const mg_list_t *l, int how,
                        const char *addresses)
{
    apr_array_header_t *members = apr_array_make(s->p, 4, sizeof(void *));
    char *last, *one, *text = apr_pstrdup(s->p, addresses);
    const char *there;

    for (one = apr_strtok(text, " ", &last); one;
         one = apr_strtok(NULL, " ", &last))
        APR_ARRAY_PUSH(members, mg_list_member_t *) = member_of(s, one);
    return mg_list_put_members(&there, s->db, l->id, members, how, s->p);
}

static const char *members_text(unit_store_t *s, const mg_list_t *l,
                                const mg_list_page_t *page)
{
    apr_array_header_t *members;
    const char *text = "";
    int i;

    unit_store_ok(s->db, mg_list_members(&members, s->db, l->id, page, s->p));
    for (i = 0; i < members->nelts; i++)
        text = apr_pstrcat(s->p, text, i ? " " : "",
                           APR_ARRAY_IDX(members, i, mg_list_member_t *)
                               ->address, NULL);
    return text;
}

static void lists(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_domain_t *other = unit_domain(s, unit_account(s, "b"), "b.test");
    mg_list_t *l = list_of(s, d, "Dev@a.test"), *got, again = *l;
    apr_array_header_t *page;
    apr_int64_t total;

    again.address = "dev@a.test";
    unit_store_is(s->db, mg_list_add(&again, s->db, s->p), MG_ECONFLICT);
    unit_store_ok(s->db, mg_list_by_address(&got, s->db, d->account_id,
                                            "DEV@A.test", s->p));
    assert_string_equal(got->address, "Dev@a.test");
    unit_store_is(s->db, mg_list_by_address(&got, s->db, other->account_id,
                                            "dev@a.test", s->p), APR_ENOENT);
    again = *l;
    list_of(s, d, "ops@a.test");
    again.address = "ops@a.test";
    unit_store_is(s->db, mg_list_update(s->db, &again, s->p), MG_ECONFLICT);
    again.address = "dev2@a.test";
    again.access = MG_LIST_MEMBERS;
    again.reply = MG_LIST_REPLY_SENDER;
    unit_store_ok(s->db, mg_list_update(s->db, &again, s->p));
    unit_store_ok(s->db, mg_list_page(&page, &total, s->db, d->account_id, 0,
                                      1, s->p));
    assert_int_equal(total, 2);
    assert_int_equal(page->nelts, 1);
    got = APR_ARRAY_IDX(page, 0, mg_list_t *);
    assert_string_equal(got->address, "dev2@a.test");
    assert_int_equal(got->access, MG_LIST_MEMBERS);
    assert_false(mg_list_replies_to_list(got));
    unit_store_ok(s->db, mg_list_remove(s->db, l->id));
    unit_store_is(s->db, mg_list_remove(s->db, l->id), APR_ENOENT);
}

static void members(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_list_t *l = list_of(s, d, "dev@a.test");
    mg_list_page_t page = { .subscribed = -1, .limit = 100 };
    mg_list_member_t *m;
    apr_int64_t n;

    unit_store_ok(s->db, put(s, l, MG_LIST_STRICT, "c@x B@x a@x a@x"));
    assert_string_equal(members_text(s, l, &page), "a@x B@x c@x");
    unit_store_is(s->db, put(s, l, MG_LIST_STRICT, "d@x b@x"), MG_ECONFLICT);
    unit_store_ok(s->db, put(s, l, MG_LIST_UPSERT, "d@x b@x"));
    assert_string_equal(members_text(s, l, &page), "a@x b@x c@x d@x");
    unit_store_ok(s->db, mg_list_count(&n, s->db, l->id, -1));
    assert_int_equal(n, 4);
    page.after = "a@x";
    page.limit = 2;
    assert_string_equal(members_text(s, l, &page), "b@x c@x");
    page.before = "";
    assert_string_equal(members_text(s, l, &page), "c@x d@x");
    unit_store_ok(s->db, mg_list_subscribe(s->db, "DEV@a.test", "B@X", 0,
                                           s->p));
    page = (mg_list_page_t){ .subscribed = 1, .limit = 100 };
    assert_string_equal(members_text(s, l, &page), "a@x c@x d@x");
    page.subscribed = 0;
    assert_string_equal(members_text(s, l, &page), "b@x");
    unit_store_ok(s->db, mg_list_count(&n, s->db, l->id, 0));
    assert_int_equal(n, 1);
    m = member_of(s, "z@x");
    m->name = "Zoe";
    unit_store_ok(s->db, mg_list_update_member(s->db, l->id, "b@x", m, s->p));
    m = member_of(s, "A@x");
    unit_store_is(s->db, mg_list_update_member(s->db, l->id, "z@x", m, s->p),
                  MG_ECONFLICT);
    unit_store_ok(s->db, mg_list_member(&m, s->db, l->id, "Z@X", s->p));
    assert_string_equal(m->name, "Zoe");
    unit_store_ok(s->db, mg_list_remove_member(s->db, l->id, "z@X", s->p));
    unit_store_is(s->db, mg_list_remove_member(s->db, l->id, "z@X", s->p),
                  APR_ENOENT);
    unit_store_ok(s->db, mg_list_count(&n, s->db, l->id, -1));
    assert_int_equal(n, 3);
}

static void limits(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t account = unit_account(s, "a"), n;
    mg_domain_t *d = unit_domain(s, account, "a.test");
    mg_list_t *l = list_of(s, d, "dev@a.test");
    mg_list_t *other = list_of(s, d, "ops@a.test");
    const char *error;

    unit_store_ok(s->db, mg_account_set(s->db, account, "members", "3",
                                        &error, s->p));
    unit_store_ok(s->db, put(s, l, MG_LIST_STRICT, "a@x b@x"));
    unit_store_is(s->db, put(s, other, MG_LIST_STRICT, "a@x b@x"), MG_ELIMIT);
    unit_store_ok(s->db, put(s, other, MG_LIST_STRICT, "a@x"));
    unit_store_is(s->db, put(s, other, MG_LIST_UPSERT, "a@x c@x"), MG_ELIMIT);
    unit_store_ok(s->db, put(s, other, MG_LIST_UPSERT, "A@x"));
    unit_store_ok(s->db, mg_list_count(&n, s->db, other->id, -1));
    assert_int_equal(n, 1);
    unit_store_ok(s->db, mg_list_remove(s->db, l->id));
    unit_store_ok(s->db, put(s, other, MG_LIST_UPSERT, "b@x c@x"));
    unit_store_ok(s->db, mg_account_set(s->db, account, "members", "none",
                                        &error, s->p));
    unit_store_ok(s->db, put(s, other, MG_LIST_UPSERT, "d@x e@x"));
}

/* What a deleted list leaves goes step by step. */
static void swept(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_list_t *l = list_of(s, d, "dev@a.test");
    apr_array_header_t *many = apr_array_make(s->p, 1200, sizeof(void *));
    const char *there;
    apr_int64_t n;
    int i, more, steps = 0;

    for (i = 0; i < 1200; i++)
        APR_ARRAY_PUSH(many, mg_list_member_t *) =
            member_of(s, apr_psprintf(s->p, "m%d@x", i));
    unit_store_ok(s->db, mg_list_put_members(&there, s->db, l->id, many,
                                             MG_LIST_STRICT, s->p));
    unit_store_ok(s->db, mg_domain_remove(s->db, d->id, s->p));
    do {
        unit_store_ok(s->db, mg_list_sweep(&more, s->db, s->p));
        steps++;
    } while (more && steps < 10);
    assert_int_equal(steps, 4);
    unit_store_ok(s->db, mg_db_get_int(s->db, &n,
                                       "SELECT COUNT(*) FROM list_member",
                                       ""));
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(lists),
        UNIT_ON_BOTH(members),
        UNIT_ON_BOTH(limits),
        UNIT_ON_BOTH(swept),
    };

    return unit_store_run("list", tests);
}
