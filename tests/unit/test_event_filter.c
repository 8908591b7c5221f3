/* test_event_filter.c - filters of GET /<domain>/events. */
#include <string.h>
#include <apr_strings.h>

#include "mg_event_filter.h"
#include "mg_status.h"
#include "unit_pool.h"

enum { NO, YES };

static const struct {
    mg_filter_field_t field;
    const char *filter, *value;
    int want;
} matches[] = {
    { MG_FILTER_EVENT, "failed", "failed", YES },
    { MG_FILTER_EVENT, "failed", "delivered", NO },
    { MG_FILTER_EVENT, "FAILED", "failed", YES },
    { MG_FILTER_EVENT, "fail", "failed", NO },
    { MG_FILTER_EVENT, "rejected OR failed", "failed", YES },
    { MG_FILTER_EVENT, "rejected OR failed", "opened", NO },
    { MG_FILTER_EVENT, "rejected failed", "failed", NO },
    { MG_FILTER_EVENT, "NOT delivered", "failed", YES },
    { MG_FILTER_EVENT, "NOT delivered", "delivered", NO },
    { MG_FILTER_EVENT, "-delivered", "failed", YES },
    { MG_FILTER_EVENT, "-delivered -accepted", "accepted", NO },
    { MG_FILTER_EVENT, "-(delivered OR accepted)", "accepted", NO },
    { MG_FILTER_EVENT, "-(delivered OR accepted)", "opened", YES },
    { MG_FILTER_EVENT, "NOT NOT delivered", "delivered", YES },
    { MG_FILTER_EVENT, "--delivered", "delivered", YES },
    { MG_FILTER_EVENT, "a OR b AND c", "a", YES },  /* AND binds closer */
    { MG_FILTER_EVENT, "a OR b AND c", "b", NO },
    { MG_FILTER_EVENT, "(a OR b) AND -c", "b", YES },
    { MG_FILTER_EVENT, "  delivered  ", "delivered", YES },
    { MG_FILTER_EVENT, "\"delivered\"", "delivered", YES },

    { MG_FILTER_SUBJECT, "hello", "Hello, World", YES },
    { MG_FILTER_SUBJECT, "hello world", "World: hello", YES },
    { MG_FILTER_SUBJECT, "\"hello world\"", "World: hello", NO },
    { MG_FILTER_SUBJECT, "\"hello world\"", "Oh hello, world!", YES },
    { MG_FILTER_SUBJECT, "\"hello world\"", "hello worldly", NO },
    { MG_FILTER_SUBJECT, "hell", "Hello", NO },
    { MG_FILTER_SUBJECT, "ello", "Hello", NO },
    { MG_FILTER_SUBJECT, "hello hello", "hello hellx hello", YES },
    { MG_FILTER_SUBJECT, "\"a b\"", "a a b", YES },
    { MG_FILTER_SUBJECT, "yes or no", "yes or no", YES },
    { MG_FILTER_SUBJECT, "yes OR no", "no", YES },
    { MG_FILTER_SUBJECT, "ORDER", "your order", YES },
    { MG_FILTER_SUBJECT, "invoice -paid", "Invoice 4711", YES },
    { MG_FILTER_SUBJECT, "invoice -paid", "Invoice 4711, paid", NO },
    { MG_FILTER_SUBJECT, "e-mail", "Your E-Mail", YES },
    { MG_FILTER_SUBJECT, "\"say \\\"hi\\\"\"", "I say hi", YES },
    { MG_FILTER_SUBJECT, "gr\xc3\xbc\xc3\x9f" "e",
      "Viele Gr\xc3\xbc\xc3\x9f" "e", YES },
    { MG_FILTER_SUBJECT, "gr", "Viele Gr\xc3\xbc\xc3\x9f" "e", NO },
    { MG_FILTER_SUBJECT, "***", "***", NO },       /* no word in it */
    { MG_FILTER_SUBJECT, "<3", "I <3 you", YES },  /* ranges are for size */
    { MG_FILTER_SUBJECT, "hello", "", NO },
    { MG_FILTER_SUBJECT, "NOT hello", "", YES },

    { MG_FILTER_ATTACHMENT, "report.pdf", "Report.pdf", YES },
    { MG_FILTER_ATTACHMENT, "pdf", "Report.pdf", YES },
    { MG_FILTER_ATTACHMENT, "report.doc", "Report.pdf", NO },

    { MG_FILTER_FROM, "me@a.test", "Excited User <me@a.test>", YES },
    { MG_FILTER_FROM, "ME@A.test", "me@a.test", YES },
    { MG_FILTER_FROM, "me@a.test", "some.me@a.test", NO },
    { MG_FILTER_FROM, "me@a.test", "me@a.test.org", NO },
    { MG_FILTER_FROM, "me@a.test", "x@b.test, me@a.test, y@b.test", YES },
    { MG_FILTER_FROM, "excited", "Excited User <me@a.test>", YES },
    { MG_FILTER_FROM, "\"excited user\"", "Excited User <me@a.test>", YES },
    { MG_FILTER_RECIPIENT, "a.test", "bob@a.test", YES },
    { MG_FILTER_RECIPIENT, "bob", "bob@a.test", YES },
    { MG_FILTER_RECIPIENT, "bob", "bobby@a.test", NO },
    { MG_FILTER_RECIPIENT, "bob+x@a.test", "bob+x@a.test", YES },

    { MG_FILTER_MESSAGE_ID, "A.1@x", "A.1@x", YES },
    { MG_FILTER_MESSAGE_ID, "<A.1@x>", "A.1@x", YES },
    { MG_FILTER_MESSAGE_ID, "a.1@x", "A.1@x", NO },

    { MG_FILTER_TAGS, "news", "news", YES },
    { MG_FILTER_TAGS, "news", "news march", NO },
    { MG_FILTER_TAGS, "\"news march\"", "news march", YES },
};

static void they_match(void **state)
{
    apr_pool_t *p = pool;
    mg_event_filter_t *f;
    const char *error = "";
    apr_size_t i;

    (void)state;
    for (i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
        if (mg_event_filter_compile(&f, matches[i].field, matches[i].filter,
                                    &error, p) != APR_SUCCESS)
            fail_msg("%s: %s", matches[i].filter, error);
        if (mg_event_filter_matches(f, &matches[i].value, 1) !=
            matches[i].want)
            fail_msg("'%s' on '%s': want %d", matches[i].filter,
                     matches[i].value, matches[i].want);
    }
}

static const struct {
    const char *filter;
    apr_int64_t value;
    int want;
} sizes[] = {
    { "100", 100, YES }, { "100", 101, NO },
    { ">100", 100, NO }, { ">100", 101, YES },
    { ">=100", 100, YES }, { "<100", 100, NO }, { "<100", 99, YES },
    { "<=100", 100, YES }, { "> 100", 101, YES },
    { ">100 <200", 150, YES }, { ">100 <200", 200, NO },
    { "(>100 <200) OR 5", 5, YES }, { "-<100", 99, NO },
    { "NOT >100", 100, YES }, { "<0", 0, NO },
    { ">999999999999999999", 5, NO },
};

static void sizes_match(void **state)
{
    apr_pool_t *p = pool;
    mg_event_filter_t *f;
    const char *error = "";
    apr_size_t i;

    (void)state;
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (mg_event_filter_compile(&f, MG_FILTER_SIZE, sizes[i].filter,
                                    &error, p) != APR_SUCCESS)
            fail_msg("%s: %s", sizes[i].filter, error);
        if (mg_event_filter_matches_number(f, sizes[i].value) !=
            sizes[i].want)
            fail_msg("'%s' on %d", sizes[i].filter, (int)sizes[i].value);
    }
}

static const struct {
    mg_filter_field_t field;
    const char *filter, *want;   /* a part of what is said */
} refused[] = {
    { MG_FILTER_EVENT, "", "a word is missing at the end" },
    { MG_FILTER_EVENT, "   ", "a word is missing" },
    { MG_FILTER_EVENT, "a OR", "a word is missing at the end" },
    { MG_FILTER_EVENT, "OR a", "a word is missing at 'OR a'" },
    { MG_FILTER_EVENT, "a OR OR b", "a word is missing" },
    { MG_FILTER_EVENT, "a AND", "a word is missing" },
    { MG_FILTER_EVENT, "NOT", "a word is missing" },
    { MG_FILTER_EVENT, "()", "a word is missing at ')'" },
    { MG_FILTER_EVENT, "(a", "a parenthesis is not closed at the end" },
    { MG_FILTER_EVENT, "a)", "a parenthesis too many at ')'" },
    { MG_FILTER_EVENT, "\"a", "a quote is not closed at '\"a'" },
    { MG_FILTER_EVENT, "\"\"", "a word is missing" },
    { MG_FILTER_EVENT, "((((((((((((((((a))))))))))))))))",
      "it goes too deep" },
    { MG_FILTER_EVENT, "----------------a", "it goes too deep" },
    { MG_FILTER_SIZE, "big", "a number is missing" },
    { MG_FILTER_SIZE, ">", "a number is missing" },
    { MG_FILTER_SIZE, ">(100)", "a number is missing" },
    { MG_FILTER_SIZE, "><100", "'>', '>='" },
    { MG_FILTER_SIZE, "=100", "'>', '>='" },
    { MG_FILTER_SIZE, "9999999999999999999", "a number is missing" },
};

static void others_are_refused(void **state)
{
    apr_pool_t *p = pool;
    mg_event_filter_t *f;
    const char *error;
    apr_size_t i;

    (void)state;
    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        error = NULL;
        if (mg_event_filter_compile(&f, refused[i].field, refused[i].filter,
                                    &error, p) != MG_EBADINPUT)
            fail_msg("'%s' was taken", refused[i].filter);
        assert_null(f);
        if (!error || !strstr(error, refused[i].want))
            fail_msg("'%s': %s", refused[i].filter, error);
    }
}

static const char *repeat(const char *s, int n, apr_pool_t *p)
{
    apr_size_t len = strlen(s);
    char *out = apr_palloc(p, len * (apr_size_t)n + 1);
    int i;

    for (i = 0; i < n; i++)
        memcpy(out + len * (apr_size_t)i, s, len);
    out[len * (apr_size_t)n] = '\0';
    return out;
}

static void limits_hold(void **state)
{
    apr_pool_t *p = pool;
    mg_event_filter_t *f;
    const char *error = NULL;

    (void)state;
    assert_int_equal(mg_event_filter_compile(&f, MG_FILTER_SUBJECT,
                                             repeat("a ", 64, p), &error, p),
                     APR_SUCCESS);
    assert_int_equal(mg_event_filter_compile(&f, MG_FILTER_SUBJECT,
                                             repeat("-a ", 64, p), &error, p),
                     APR_SUCCESS);
    assert_int_equal(mg_event_filter_compile(&f, MG_FILTER_SUBJECT,
                                             repeat("a ", 65, p), &error, p),
                     MG_EBADINPUT);
    assert_non_null(strstr(error, "more than 64 words"));
    assert_int_equal(mg_event_filter_compile(&f, MG_FILTER_SUBJECT,
                                             repeat("a", 1025, p), &error, p),
                     MG_EBADINPUT);
    assert_non_null(strstr(error, "longer than 1024"));
}

static void one_of_several_values(void **state)
{
    static const char *const tags[] = { "one", "two" };
    apr_pool_t *p = pool;
    mg_event_filter_t *f;
    const char *error;

    (void)state;
    mg_event_filter_compile(&f, MG_FILTER_TAGS, "one two", &error, p);
    assert_true(mg_event_filter_matches(f, tags, 2));
    assert_false(mg_event_filter_matches(f, tags, 1));
    assert_false(mg_event_filter_matches(f, NULL, 0));
    assert_null(mg_event_filter_word(f));
    mg_event_filter_compile(&f, MG_FILTER_TAGS, "-three", &error, p);
    assert_true(mg_event_filter_matches(f, NULL, 0));
    assert_null(mg_event_filter_word(f));
    mg_event_filter_compile(&f, MG_FILTER_TAGS, " one ", &error, p);
    assert_string_equal(mg_event_filter_word(f), "one");
    assert_string_equal(mg_event_filter_name(MG_FILTER_MESSAGE_ID),
                        "message-id");
}

UNIT_MAIN(cmocka_unit_test(they_match), cmocka_unit_test(sizes_match),
          cmocka_unit_test(others_are_refused), cmocka_unit_test(limits_hold),
          cmocka_unit_test(one_of_several_values))
