/* test_action.c - actions of routes, and what captures make of them. */
#include <string.h>
#include <apr_strings.h>

#include "mg_action.h"
#include "mg_status.h"
#include "unit_pool.h"

static void texts(void **state)
{
    static const struct {
        const char *text, *targets; /* "U:http://... A:x@y S" or NULL */
    } cases[] = {
        { "forward('http://a.test/')", "U:http://a.test/ " },
        { "forward(\"https://a.test/x?y=1,2\")",
          "U:https://a.test/x?y=1,2 " },
        { "forward('http://a.test/m, bob@b.test')",
          "U:http://a.test/m A:bob@b.test " },
        { "forward('bob@b.test,http://a.test/m')",
          "A:bob@b.test U:http://a.test/m " },
        { "forward('a@b.test , c@d.test')", "A:a@b.test A:c@d.test " },
        { "forward('http://a.test/1,http://a.test/2')",
          "U:http://a.test/1 U:http://a.test/2 " },
        { "forward(r'http://a.test/')", "U:http://a.test/ " },
        { "store()", "K: " }, { "store(notify='http://n.test/')",
          "K:http://n.test/ " }, { "store(notify = \"http://n.test/\")",
          "K:http://n.test/ " }, { "store('http://n.test/')",
          "K:http://n.test/ " },
        { "forward('http://a.test/\\1?x=\\g<n>')",
          "U:http://a.test/\\1?x=\\g<n> " },
        { "forward('\\1@b.test')", "A:\\1@b.test " },
        { "forward('http://\\1/')", NULL },
        { "forward('http://a.test:8\\1/')", NULL },
        { "forward('http://\\g<x>@a.test/')", NULL },
        { "store(url='http://n.test/')", NULL },
        { "store(notify='n.test')", NULL },
        { "store(notify='http://n.test/', notify='http://o.test/')", NULL },
        { "stop()", "S " }, { " stop ( ) ", "S " },
        { "forward()", NULL }, { "forward('')", NULL },
        { "forward('nothing')", NULL }, { "forward('ftp://a.test/')", NULL },
        { "forward('http://')", NULL }, { "forward('http://a b/')", NULL },
        { "forward('http://a.test/\r\nX: y')", NULL },
        { "forward('a@b.test, ')", NULL }, { "stop('x')", NULL },
        { "drop()", NULL }, { "", NULL }, { "forward('a@b', 'c@d')", NULL },
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        apr_array_header_t *list = apr_array_make(pool, 2,
                                                  sizeof(mg_action_t));
        const char *error = NULL, *got = "";
        apr_status_t rv = mg_action_parse(list, cases[i].text, &error, pool);
        int j;

        if (!cases[i].targets) {
            if (rv != MG_EBADINPUT || !error)
                fail_msg("%s was taken", cases[i].text);
            continue;
        }
        if (rv != APR_SUCCESS)
            fail_msg("%s: %s", cases[i].text, error);
        for (j = 0; j < list->nelts; j++) {
            mg_action_t *a = &APR_ARRAY_IDX(list, j, mg_action_t);

            got = apr_pstrcat(pool, got,
                              a->kind == MG_ACTION_STOP ? "S"
                              : a->kind == MG_ACTION_STORE ? "K:"
                              : a->kind == MG_ACTION_FORWARD_URL ? "U:"
                                                                 : "A:",
                              a->target ? a->target : "", " ", NULL);
        }
        assert_string_equal(got, cases[i].targets);
    }
}


static void filled_in(void **state)
{
    static const struct {
        const char *filter, *recipient, *action, *want;
    } cases[] = {
        /* the manual's */
        { "match_recipient(\"(.*)@bar.com\")", "bob@bar.com",
          "forward(\"http://myhost.com/post/?mailbox=\\1\")",
          "http://myhost.com/post/?mailbox=bob" },
        { "match_recipient(\"(?P<user>.*?)@(?P<domain>.*)\")", "bob@bar.com",
          "forward(\"http://mycallback.com/domains/\\g<domain>/users/"
          "\\g<user>\")", "http://mycallback.com/domains/bar.com/users/bob" },
        { "match_recipient('(.*)@x')", "a+b&c@d@x",
          "forward('http://h/?mailbox=\\1')",
          "http://h/?mailbox=a%2Bb%26c%40d" },
        { "match_recipient('(?s)(.*)@x')", "../\r\n?#%00@x",
          "forward('http://h/\\1')",
          "http://h/..%2F%0D%0A%3F%23%2500" },
        { "match_recipient('(.*)@x')", "\xc3\xbc@x", "forward('http://h/\\1')",
          "http://h/%C3%BC" },
        { "match_recipient('(.*)@x')", "bob@x", "forward('\\1@b.test')",
          "bob@b.test" },
        { "match_recipient('(.*)@x')", "bob@x", "forward('\\g<1>+r@b.test')",
          "bob+r@b.test" },
        { "match_recipient('(.*)@x')", "a,b@c@x", "forward('\\1@b.test')",
          NULL },
        { "match_recipient('(.*)@x')", "a b@x", "forward('\\1@b.test')",
          NULL },
        { "match_recipient('(.*)@x')", "a@evil.test>,<b@x",
          "forward('\\1@b.test')", NULL },
        { "match_recipient('(y)?.*@x')", "bob@x", "forward('http://h/\\1')",
          "http://h/" },
        { "match_recipient('.*@x')", "bob@x", "forward('http://h/\\0\\q')",
          "http://h/bob%40x\\q" },
        { "match_recipient('(.*)@x')", "n@x",
          "store(notify='http://h/\\1')", "http://h/n" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        apr_array_header_t *list = apr_array_make(pool, 1,
                                                  sizeof(mg_action_t));
        mg_rule_subject_t subject = { .recipient = cases[i].recipient };
        const char *error = "", *got;
        mg_captures_t captures;
        mg_expression_t *e;

        if (mg_expression_compile(&e, cases[i].filter, NULL, &error, pool)
                != APR_SUCCESS
            || mg_action_parse(list, cases[i].action, &error, pool)
                   != APR_SUCCESS
            || mg_action_check(&APR_ARRAY_IDX(list, 0, mg_action_t), e, &error,
                               pool) != APR_SUCCESS)
            fail_msg("%s: %s", cases[i].action, error);
        assert_int_equal(mg_expression_match(e, &subject, &captures, NULL,
                                             pool), MG_RULES_YES);
        got = mg_action_target(&APR_ARRAY_IDX(list, 0, mg_action_t),
                               &captures, pool);
        if (!got != !cases[i].want || (got && strcmp(got, cases[i].want)))
            fail_msg("%s: %s", cases[i].action, got ? got : "nothing");
    }
}

static void routes(void **state)
{
    static const struct {
        const char *filter, *action, *error;
    } cases[] = {
        { "match_recipient('(.*)@x')", "forward('http://h/\\1')", NULL },
        { "match_recipient('(.*)@x')", "forward('http://h/\\2')",
          "action: '\\2' in 'http://h/\\2': the filter has no such group" },
        { "match_recipient('(?P<a>.*)@x')", "forward('http://h/\\g<b>')",
          "action: '\\g<b>' in 'http://h/\\g<b>': the filter has no such"
          " group" },
        { "catch_all()", "forward('http://h/\\1')",
          "action: '\\1' in 'http://h/\\1': the filter has no such group" },
        { "match_recipient('a' and catch_all()", "stop()",
          "expression: ')' is missing at character 21, 'and catch_all()'" },
        { "match_all('a')", "stop()",
          "expression: 'match_all' is no filter (there are match_recipient(),"
          " match_header(), catch_all()) at character 1, 'match_all('a')'" },
        { "catch_all()", "drop()",
          "action: 'drop' is no action; there are forward(), store(),"
          " stop()" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        apr_array_header_t *list = apr_array_make(pool, 1, sizeof(char *));
        const char *error = NULL;
        apr_status_t rv;

        APR_ARRAY_PUSH(list, const char *) = cases[i].action;
        rv = mg_action_check_route(cases[i].filter, list, &error, pool);
        assert_int_equal(rv, cases[i].error ? MG_EBADINPUT : APR_SUCCESS);
        if (cases[i].error)
            assert_string_equal(error, cases[i].error);
    }
}

UNIT_MAIN(cmocka_unit_test(texts), cmocka_unit_test(filled_in),
          cmocka_unit_test(routes))
