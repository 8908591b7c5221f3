/* test_expression.c - filters of routes, good and bad (mg_expression.h). */
#include <string.h>
#include <apr_strings.h>

#include "mg_expression.h"
#include "mg_json.h"
#include "mg_mime.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "unit_pool.h"

enum { NO_MATCH, MATCH, BAD };

static mg_rule_subject_t about(const char *recipient)
{
    mg_rule_subject_t subject = { .recipient = recipient };

    if (!mg_text_has_eight_bit(recipient, strlen(recipient)))
        subject.lower = mg_text_lower(recipient, pool);
    subject.headers = apr_array_make(pool, 1, sizeof(mg_header_t));
    return subject;
}

static int says(mg_expression_t *e, const char *recipient)
{
    mg_rule_subject_t subject = about(recipient);

    return mg_expression_match(e, &subject, NULL, NULL, pool) == MG_RULES_YES;
}

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
        /* what every match must hold is found in any case, or not relied on */
        { "match_recipient('.*@BAR[.]com')", "x@bar.com", MATCH },
        { "match_recipient('.*@bar.com|z')", "z", MATCH },
        { "match_recipient('(x|y)@bar.com')", "y@bar.com", MATCH },
        { "match_recipient('a?b*c{0}@x')", "@x", MATCH },
        { "match_recipient('\\x61@b')", "a@b", MATCH },
        { "match_recipient('.*@(?:a|b).com$')", "q@b.com", MATCH },
        { "match_recipient('(?x) a @ b')", "a@b", MATCH },
        { "match_recipient('.*kk@')", "k\xe2\x84\xaa@x", MATCH },
        { "match_recipient('a\\Z')", "a", MATCH },
        { "match_recipient('(?P<q>a)(?P=q)@')", "aa@x", MATCH },
        /* and, or, not, parentheses; and binds closer */
        { "match_recipient('a') and match_recipient('.*b')", "ab@x", MATCH },
        { "match_recipient('a') and match_recipient('.*b')", "a@x", NO_MATCH },
        { "match_recipient('a') or match_recipient('b')", "b@x", MATCH },
        { "not match_recipient('a')", "b@x", MATCH },
        { "not not match_recipient('a')", "b@x", NO_MATCH },
        { "match_recipient('a') or match_recipient('b') and "
          "match_recipient('c')", "a@x", MATCH },
        { "(match_recipient('a') or match_recipient('b')) and "
          "match_recipient('.*c')", "a@x", NO_MATCH },
        { "not (match_recipient('a')or match_recipient('b'))", "c@x", MATCH },
        { "((((match_recipient('a')))))", "a@x", MATCH },
        { "match_recipient('a') AND NOT catch_all()", "a@x", NO_MATCH },
        { "match_header('subject', '.*')", "a@x", NO_MATCH },
        { "not match_header('subject', '.*')", "a@x", MATCH },
        { "catch_all()", "any@x", MATCH },
        { "catchall()", "any@x", MATCH },
        /* wrong */
        { "match_recipient('(')", NULL, BAD },
        { "match_recipient('a", NULL, BAD },
        { "match_recipient('a'", NULL, BAD },
        { "match_recipient('a') x", NULL, BAD },
        { "match_recipient('a') and", NULL, BAD },
        { "match_recipient('a') match_recipient('b')", NULL, BAD },
        { "or match_recipient('a')", NULL, BAD },
        { "(match_recipient('a')", NULL, BAD },
        { "match_recipient('a'))", NULL, BAD },
        { "not", NULL, BAD }, { "()", NULL, BAD },
        { "notmatch_recipient('a')", NULL, BAD },
        { "match_header('a')", NULL, BAD },
        { "match_header('', 'b')", NULL, BAD },
        { "match_header('a', 'b', 'c')", NULL, BAD },
        { "match_recipient(x='a')", NULL, BAD },
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
        apr_status_t rv = mg_expression_compile(&e, cases[i].text, NULL,
                                                &error, pool);

        if (cases[i].want == BAD) {
            if (rv != MG_EBADINPUT || !error)
                fail_msg("%s was taken", cases[i].text);
            continue;
        }
        if (rv != APR_SUCCESS)
            fail_msg("%s: %s", cases[i].text, error);
        for (n = 0; n < 20; n++) /* before and after the JIT compiler */
            if (says(e, cases[i].recipient) != cases[i].want)
                fail_msg("%s on %s", cases[i].text, cases[i].recipient);
    }
    assert_int_equal(mg_expression_compile(&e, "match_recipient('('", NULL, &error,
                                           pool), MG_EBADINPUT);
    assert_string_equal(error, "')' is missing at the end of"
                               " 'match_recipient('(''");
    assert_int_equal(mg_expression_compile(&e, "match_recipient('a(')", NULL, &error,
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
        if (mg_expression_compile(&e, text, NULL, &error, pool) != APR_SUCCESS)
            continue;
        start = mg_ticks();
        for (n = 0; n < 20; n++)
            says(e, victim);
        if (mg_ticks() - start > apr_time_from_sec(2))
            fail_msg("%s takes too long", patterns[i]);
    }
    text = apr_palloc(pool, 5001);
    memset(text, '(', 5000);
    text[5000] = '\0';
    assert_int_equal(mg_expression_compile(
                         &e, apr_psprintf(pool, "match_recipient('%.900s')",
                                          text), NULL, &error, pool), MG_EBADINPUT);
    assert_int_equal(mg_expression_compile(
                         &e, apr_psprintf(pool, "match_recipient('%s')", text),
                         NULL, &error, pool), MG_EBADINPUT);
    assert_int_equal(mg_expression_compile(
                         &e, "match_recipient('(((a{1,60000}){1,60000}))')",
                         NULL, &error, pool), MG_EBADINPUT);
}


static mg_header_t field(const char *name, const char *value)
{
    return (mg_header_t){ name, value, value };
}

static void header_fields(void **state)
{
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        { "match_header('subject', 'Gr\xc3\xbc.e')", MATCH },
        { "match_header('SUBJECT', '.*aus Ulm')", MATCH },
        { "match_header('subject', 'aus')", NO_MATCH },     /* at the start */
        { "match_header('subject', 'gr.*')", NO_MATCH },    /* case counts */
        { "match_header('subject', '(?i)gr.*')", MATCH },
        { "match_header('received', '.*second')", MATCH },  /* any of several */
        { "match_header('received', '.*third')", NO_MATCH },
        { "match_header('X-Mailgun-Sflag', 'Yes')", MATCH },
        { "match_header('x-none', '')", NO_MATCH },
        { "match_header('subject', '.*') and match_recipient('a@')", MATCH },
    };
    apr_array_header_t *headers = apr_array_make(pool, 4, sizeof(mg_header_t));
    mg_rule_subject_t subject = about("a@b.test");
    const char *error;
    mg_expression_t *e;
    size_t i;

    (void)state;
    APR_ARRAY_PUSH(headers, mg_header_t) = field("Received", "from first");
    APR_ARRAY_PUSH(headers, mg_header_t) = field("Received", "from second");
    APR_ARRAY_PUSH(headers, mg_header_t) =
        field("Subject", "Gr\xc3\xbc\xc3\x9f" "e aus Ulm");
    APR_ARRAY_PUSH(headers, mg_header_t) = field("X-Mailgun-SFlag", "Yes");
    for (i = 0; i < COUNT(cases); i++) {
        if (mg_expression_compile(&e, cases[i].text, NULL, &error, pool)
            != APR_SUCCESS)
            fail_msg("%s: %s", cases[i].text, error);
        subject.headers = headers;
        if (mg_expression_match(e, &subject, NULL, NULL, pool)
            != (cases[i].want ? MG_RULES_YES : MG_RULES_NO))
            fail_msg("%s", cases[i].text);
    }
}

/* Before the header fields are there. */
static void maybe(void **state)
{
    static const struct {
        const char *text;
        mg_rules_t want;
    } cases[] = {
        { "match_header('a', 'b')", MG_RULES_MAYBE },
        { "not match_header('a', 'b')", MG_RULES_MAYBE },
        { "match_header('a', 'b') and match_recipient('x')", MG_RULES_NO },
        { "match_header('a', 'b') and match_recipient('r')", MG_RULES_MAYBE },
        { "match_header('a', 'b') or match_recipient('r')", MG_RULES_YES },
        { "match_header('a', 'b') or match_recipient('x')", MG_RULES_MAYBE },
        { "catch_all()", MG_RULES_MAYBE },   /* one before matched, maybe */
    };
    mg_rule_subject_t subject = about("r@b.test");
    const char *error;
    mg_expression_t *e;
    size_t i;

    (void)state;
    subject.headers = NULL;
    subject.matched_before = MG_RULES_MAYBE;
    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(mg_expression_compile(&e, cases[i].text, apr_hash_make(pool), &error,
                                               pool), APR_SUCCESS);
        if (mg_expression_match(e, &subject, NULL, NULL, pool)
            != cases[i].want)
            fail_msg("%s", cases[i].text);
    }
}

/* Which groups count, where several terms have some. */
static void captures(void **state)
{
    static const struct {
        const char *text, *one, *name;
    } cases[] = {
        { "match_recipient('(.*)@')", "r", NULL },
        { "match_recipient('(?P<n>.*)@')", "r", "r" },
        { "match_recipient('(.)') and match_recipient('r@(.)')", "r", NULL },
        { "match_recipient('.') and match_recipient('r@(?P<n>.)')", "b", "b" },
        { "match_recipient('(r)') and match_recipient('x') or "
          "match_recipient('.@(.)')", "b", NULL },
        { "not match_recipient('(x)')", NULL, NULL },
        { "match_recipient('(x)?r')", NULL, NULL },
    };
    mg_rule_subject_t subject = about("r@b.test");
    mg_captures_t c;
    const char *error;
    mg_expression_t *e;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        const char *one, *name;

        assert_int_equal(mg_expression_compile(&e, cases[i].text, NULL, &error,
                                               pool), APR_SUCCESS);
        assert_int_equal(mg_expression_match(e, &subject, &c, NULL, pool),
                         MG_RULES_YES);
        one = c.groups && c.groups->nelts > 1
                  ? APR_ARRAY_IDX(c.groups, 1, const char *) : NULL;
        name = c.names ? apr_table_get(c.names, "n") : NULL;
        if (strcmp(one ? one : "-", cases[i].one ? cases[i].one : "-") != 0
            || strcmp(name ? name : "-", cases[i].name ? cases[i].name : "-"))
            fail_msg("%s: '%s' '%s'", cases[i].text, one, name);
    }
}

/* test_expression --match: lines of JSON, [pattern, subject, any case], and for
 * each null, or the groups; "bad" if it does not compile. For
 * tests/checks/pattern_python. */
static json_t *match_line(const char *line)
{
    const char *error;
    json_t *in = mg_json_parse(line, strlen(line), &error, pool), *out;
    const char *subject = json_string_value(json_array_get(in, 1));
    mg_pattern_t *pattern = mg_pattern_make(
        json_string_value(json_array_get(in, 0)),
        (int)json_integer_value(json_array_get(in, 2)), pool);
    mg_captures_t c = { NULL, NULL };
    int i;

    if (mg_pattern_check(pattern, &error, pool) != APR_SUCCESS)
        return json_string("bad");
    /* with and without what it looks for first */
    i = mg_pattern_matches(pattern, subject, mg_text_lower(subject, pool),
                           NULL, NULL, pool);
    if (mg_pattern_matches(pattern, subject, NULL, &c, NULL, pool) != i)
        return json_string("the prefilter says otherwise");
    if (!i)
        return json_null();
    out = json_array();
    for (i = 1; c.groups && i < c.groups->nelts; i++) {
        const char *group = APR_ARRAY_IDX(c.groups, i, const char *);

        json_array_append_new(out, group ? json_string(group) : json_null());
    }
    return out;
}

static int match_lines(void)
{
    static char line[65536];
    json_t *out;

    while (fgets(line, sizeof(line), stdin)) {
        out = match_line(line);
        printf("%s\n", json_dumps(out, JSON_COMPACT | JSON_ENCODE_ANY));
        json_decref(out);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters), cmocka_unit_test(patterns_that_never_end),
        cmocka_unit_test(header_fields), cmocka_unit_test(maybe),
        cmocka_unit_test(captures),
    };

    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (argc == 2 && strcmp(argv[1], "--match") == 0)
        return match_lines();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
