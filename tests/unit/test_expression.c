/* test_expression.c - filters and actions of routes, good and bad. */
#include <string.h>
#include <apr_strings.h>

#include "mg_expression.h"
#include "mg_route.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_pool.h"

enum { NO_MATCH, MATCH, BAD };

static void filters(void **state)
{
    static const struct {
        const char *text, *recipient;
        int want;
    } cases[] = {
        { "match_recipient('.*@a.test')", "bob@a.test", MATCH },
        { "match_recipient(\".*@a.test\")", "bob@a.test", MATCH },
        { "match_recipient(r'.*@a\\.test')", "bob@a.test", MATCH },
        { "match_recipient('.*@a\\.test')", "bob@axtest", NO_MATCH },
        { "match_recipient('.*@a\\\\.test')", "bob@a.test", MATCH },
        { "match_recipient('.*@a.test')", "bob@b.test", NO_MATCH },
        { "match_recipient('foo@bar.com')", "foo@bar.com", MATCH },
        { "match_recipient('Foo@bar.com')", "foO@bar.com", MATCH },
        /* Python's match(): at the start, not to the end */
        { "match_recipient('bar.com')", "foo@bar.com", NO_MATCH },
        { "match_recipient('foo@bar')", "foo@bar.com", MATCH },
        { "match_recipient('^foo@bar$')", "foo@bar.com", NO_MATCH },
        { "match_recipient('(?P<user>.*?)@(?P<domain>.*)')", "a@b", MATCH },
        { "match_recipient('(a|b)+@(?!x)')", "abab@y", MATCH },
        { "match_recipient('a\\'b')", "a'b@x", MATCH },
        { "match_recipient(\"a\\d+\")", "a12@x", MATCH },
        { "match_recipient('\xc3\xbc@.*')", "\xc3\x9c@x", MATCH },
        { "match_recipient('.*')", "\xff\xfe@x", MATCH },
        { "match_recipient('')", "any@x", MATCH },
        { "  match_recipient ( 'a' )  ", "a@x", MATCH },
        { "catch_all()", "any@x", MATCH },
        { "catchall()", "any@x", MATCH },
        /* wrong */
        { "match_recipient('(')", NULL, BAD },
        { "match_recipient('a", NULL, BAD },
        { "match_recipient('a'", NULL, BAD },
        { "match_recipient('a') x", NULL, BAD },
        { "match_recipient('a', 'b')", NULL, BAD },
        { "match_recipient('a' 'b')", NULL, BAD },
        { "match_recipient()", NULL, BAD },
        { "match_recipient(a)", NULL, BAD },
        { "match_recipient", NULL, BAD },
        { "match_recipient('a\\", NULL, BAD },
        { "match_recipient('\\C')", NULL, BAD },
        { "catch_all('x')", NULL, BAD },
        { "match_all('x')", NULL, BAD },
        { "('x')", NULL, BAD }, { "", NULL, BAD }, { "''", NULL, BAD },
    };
    mg_expression_t *e;
    const char *error;
    size_t i;
    int n;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        apr_status_t rv = mg_expression_compile(&e, cases[i].text, &error,
                                                pool);

        if (cases[i].want == BAD) {
            if (rv != MG_EBADINPUT || !error)
                fail_msg("%s was taken", cases[i].text);
            continue;
        }
        if (rv != APR_SUCCESS)
            fail_msg("%s: %s", cases[i].text, error);
        for (n = 0; n < 20; n++) /* before and after the JIT compiler */
            if (mg_expression_matches(e, cases[i].recipient, 0, pool) !=
                cases[i].want)
                fail_msg("%s on %s", cases[i].text, cases[i].recipient);
    }
    assert_int_equal(mg_expression_compile(&e, "match_recipient('('", &error,
                                           pool), MG_EBADINPUT);
    assert_string_equal(error, "')' is missing at the end of"
                               " 'match_recipient('(''");
    assert_int_equal(mg_expression_compile(&e, "match_recipient('a(')", &error,
                                           pool), MG_EBADINPUT);
    assert_string_equal(error, "pattern 'a(': missing closing parenthesis at"
                               " character 2");
}

static void patterns_that_never_end(void **state)
{
    static const char *const patterns[] = {
        "(a+)+$", "(a|aa)+$", "(.*)*x", "((a*)*)*b", "(a?){50}a{50}",
        "(?:(?:(?:a+)+)+)+$", "(x+x+)+y", "(?R)?a*",
    };
    char victim[300], *text;
    apr_time_t start;
    const char *error;
    mg_expression_t *e;
    size_t i;
    int n;

    (void)state;
    memset(victim, 'a', 250);
    memcpy(victim + 250, "!@b", 4);
    for (i = 0; i < COUNT(patterns); i++) {
        text = apr_psprintf(pool, "match_recipient('%s')", patterns[i]);
        if (mg_expression_compile(&e, text, &error, pool) != APR_SUCCESS)
            continue;
        start = mg_ticks();
        for (n = 0; n < 20; n++)
            mg_expression_matches(e, victim, 0, pool);
        if (mg_ticks() - start > apr_time_from_sec(2))
            fail_msg("%s takes too long", patterns[i]);
    }
    text = apr_palloc(pool, 5001);
    memset(text, '(', 5000);
    text[5000] = '\0';
    assert_int_equal(mg_expression_compile(
                         &e, apr_psprintf(pool, "match_recipient('%.900s')",
                                          text), &error, pool), MG_EBADINPUT);
    assert_int_equal(mg_expression_compile(
                         &e, apr_psprintf(pool, "match_recipient('%s')", text),
                         &error, pool), MG_EBADINPUT);
    assert_int_equal(mg_expression_compile(
                         &e, "match_recipient('(((a{1,60000}){1,60000}))')",
                         &error, pool), MG_EBADINPUT);
}

static void actions(void **state)
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
                              : a->kind == MG_ACTION_FORWARD_URL ? "U:"
                                                                 : "A:",
                              a->target ? a->target : "", " ", NULL);
        }
        assert_string_equal(got, cases[i].targets);
    }
}

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
                                                    pool);
        const char *got = "";
        int j;

        for (j = 0; j < list->nelts; j++)
            got = apr_pstrcat(pool, got,
                              APR_ARRAY_IDX(list, j, mg_action_t).target, " ",
                              NULL);
        assert_string_equal(got, cases[i].targets);
    }
}

UNIT_MAIN(cmocka_unit_test(filters), cmocka_unit_test(patterns_that_never_end),
          cmocka_unit_test(actions), cmocka_unit_test(waterfall))
