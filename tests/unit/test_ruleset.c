/* test_ruleset.c - routes of an account, one after the other. */
#include <string.h>
#include <apr_strings.h>

#include "mg_mime.h"
#include "mg_route.h"
#include "mg_ruleset.h"
#include "mg_status.h"
#include "unit_pool.h"

static mg_route_t *route(const char *expression, const char *action1,
                         const char *action2)
{
    mg_route_t *r = apr_pcalloc(pool, sizeof(*r));

    r->public_id = "4f2c144a3181336846057b77";
    r->expression = expression;
    r->actions = apr_array_make(pool, 2, sizeof(char *));
    APR_ARRAY_PUSH(r->actions, const char *) = action1;
    if (action2)
        APR_ARRAY_PUSH(r->actions, const char *) = action2;
    return r;
}

static void waterfall(void **state)
{
    apr_array_header_t *routes = apr_array_make(pool, 8, sizeof(mg_route_t *));
    static const struct {
        const char *recipient, *targets;
    } cases[] = {
        { "both@a.test", "http://1/ http://2/ " },
        { "stop@a.test", "http://s/ " },
        { "only@a.test", "http://2/ " },
        { "x@b.test", "http://all/ " },
    };
    mg_ruleset_t *set;
    size_t i;

    (void)state;
    APR_ARRAY_PUSH(routes, mg_route_t *) =
        route("match_recipient('both@')", "forward('http://1/')", NULL);
    APR_ARRAY_PUSH(routes, mg_route_t *) =
        route("match_recipient('(')", "forward('http://broken/')", NULL);
    APR_ARRAY_PUSH(routes, mg_route_t *) =
        route("match_recipient('stop@')", "stop()", "forward('http://s/')");
    APR_ARRAY_PUSH(routes, mg_route_t *) =
        route("match_recipient('.*@a.test')", "forward('http://2/')", NULL);
    APR_ARRAY_PUSH(routes, mg_route_t *) =
        route("catch_all()", "forward('http://all/')", NULL);
    assert_int_equal(mg_ruleset_compile(&set, routes, pool), APR_SUCCESS);
    for (i = 0; i < COUNT(cases); i++) {
        apr_array_header_t *list = mg_ruleset_apply(set, cases[i].recipient,
                                                    NULL, pool);
        const char *got = "";
        int j;

        for (j = 0; j < list->nelts; j++)
            got = apr_pstrcat(pool, got,
                              APR_ARRAY_IDX(list, j, mg_action_t).target, " ",
                              NULL);
        assert_string_equal(got, cases[i].targets);
    }
}


static void wanted(void **state)
{
    static const struct {
        const char *expression, *action, *recipient;
        mg_rules_t want;
    } cases[] = {
        { "match_recipient('a@')", "forward('http://1/')", "a@x",
          MG_RULES_YES },
        { "match_recipient('a@')", "forward('http://1/')", "b@x",
          MG_RULES_NO },
        { "match_recipient('a@')", "stop()", "a@x", MG_RULES_NO },
        { "match_header('a', 'b')", "forward('http://1/')", "a@x",
          MG_RULES_MAYBE },
    };
    mg_ruleset_t *set;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        apr_array_header_t *routes = apr_array_make(pool, 1,
                                                    sizeof(mg_route_t *));

        APR_ARRAY_PUSH(routes, mg_route_t *) =
            route(cases[i].expression, cases[i].action, NULL);
        assert_int_equal(mg_ruleset_compile(&set, routes, pool), APR_SUCCESS);
        assert_int_equal(mg_ruleset_wants(set, cases[i].recipient, pool),
                         cases[i].want);
        /* the second time it is compiled already */
        assert_int_equal(mg_ruleset_wants(set, cases[i].recipient, pool),
                         cases[i].want);
    }
}

static void explained(void **state)
{
    apr_array_header_t *routes = apr_array_make(pool, 3, sizeof(mg_route_t *));
    apr_array_header_t *list;
    mg_rule_verdict_t *v;
    mg_ruleset_t *set;

    (void)state;
    APR_ARRAY_PUSH(routes, mg_route_t *) =
        route("match_header('Subject', 'x') or match_recipient('b')",
              "forward('http://1/')", NULL);
    APR_ARRAY_PUSH(routes, mg_route_t *) =
        route("match_recipient('(a)')", "forward('http://2/\\1')", "stop()");
    APR_ARRAY_PUSH(routes, mg_route_t *) =
        route("catch_all()", "forward('http://3/')", NULL);
    assert_int_equal(mg_ruleset_compile(&set, routes, pool), APR_SUCCESS);
    list = mg_ruleset_explain(set, "a@x", NULL, pool);
    assert_int_equal(list->nelts, 2);
    v = &APR_ARRAY_IDX(list, 0, mg_rule_verdict_t);
    assert_false(v->matches);
    assert_null(v->actions);
    assert_string_equal(v->decided, "match_recipient('b')");
    v++;
    assert_true(v->matches && v->stops);
    assert_string_equal(APR_ARRAY_IDX(v->actions, 0, mg_action_t).target,
                        "http://2/a");
}

UNIT_MAIN(cmocka_unit_test(waterfall), cmocka_unit_test(wanted),
          cmocka_unit_test(explained))
