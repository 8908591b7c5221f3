/* test_route.c - rows of routes. */
#include <string.h>
#include <apr_strings.h>

#include "mg_route.h"
#include "mg_status.h"
#include "unit_records.h"

static mg_route_t *add(unit_store_t *s, apr_int64_t account, int priority,
                       const char *expression)
{
    apr_array_header_t *actions = apr_array_make(s->p, 2, sizeof(char *));
    mg_route_t *r;

    APR_ARRAY_PUSH(actions, const char *) = "forward(\"http://a.test/\\1\")";
    APR_ARRAY_PUSH(actions, const char *) = "stop()";
    unit_store_ok(s->db, mg_route_add(&r, s->db, account, priority,
                                      "Sample \xff route", expression,
                                      actions, s->p));
    return r;
}

static void in_order(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t a = unit_account(s, "a"), b = unit_account(s, "b");
    apr_array_header_t *list;
    mg_route_t *r[4], *got;
    static const int want[] = { 2, 3, 1, 0 };
    int i;

    r[0] = add(s, a, 5, "match_recipient('0')");
    r[1] = add(s, a, 1, "match_recipient('1')");
    r[2] = add(s, a, -1, "match_recipient('2')");
    r[3] = add(s, a, 1, "match_recipient('3')"); /* newest first */
    add(s, b, 0, "catch_all()");
    unit_store_ok(s->db, mg_route_list(&list, s->db, a, s->p));
    assert_int_equal(list->nelts, 4);
    for (i = 0; i < 4; i++) {
        got = APR_ARRAY_IDX(list, i, mg_route_t *);
        assert_string_equal(got->public_id, r[want[i]]->public_id);
        assert_string_equal(got->expression, r[want[i]]->expression);
    }
    assert_int_equal(strlen(got->public_id), 24);
    assert_string_equal(got->description, "Sample \xef\xbf\xbd route");
    assert_int_equal(got->actions->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(got->actions, 0, const char *),
                        "forward(\"http://a.test/\\1\")");
    assert_string_equal(APR_ARRAY_IDX(got->actions, 1, const char *),
                        "stop()");
    assert_int_equal(got->created_at, r[0]->created_at);

    unit_store_is(s->db, mg_route_remove(s->db, b, r[0]->public_id),
                  APR_ENOENT);
    unit_store_ok(s->db, mg_route_remove(s->db, a, r[0]->public_id));
    unit_store_is(s->db, mg_route_remove(s->db, a, r[0]->public_id),
                  APR_ENOENT);
    unit_store_ok(s->db, mg_route_list(&list, s->db, a, s->p));
    assert_int_equal(list->nelts, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(in_order),
    };
    return unit_store_run("route", tests);
}
