/* test_mta_reply.c - replies of remote servers, good and bad. */
#include "unit_pool.h"
#include "mg_status.h"
#include "mta_reply.h"

static const struct {
    const char *lines;       /* with \n between */
    apr_status_t rv;         /* of the last line */
    int code;
    const char *enhanced, *text;
} replies[] = {
    { "250 ok", APR_SUCCESS, 250, "", "250 ok" },
    { "250", APR_SUCCESS, 250, "", "250" },
    { "250 ", APR_SUCCESS, 250, "", "250" },
    { "250 2.1.5 fine", APR_SUCCESS, 250, "2.1.5", "250 2.1.5 fine" },
    { "250 2.1.5", APR_SUCCESS, 250, "2.1.5", "250 2.1.5" },
    { "451 4.7.1 try later", APR_SUCCESS, 451, "4.7.1",
      "451 4.7.1 try later" },
    { "550-5.1.1 no such\n550-5.1.1 user\n550 5.1.1 here", APR_SUCCESS, 550,
      "5.1.1", "550 5.1.1 no such user here" },
    { "550-no\n550", APR_SUCCESS, 550, "", "550 no" },
    /* the class of the enhanced code is the code's, or it is no such code */
    { "550 4.1.1 odd", APR_SUCCESS, 550, "", "550 4.1.1 odd" },
    { "550 5.1. odd", APR_SUCCESS, 550, "", "550 5.1. odd" },
    { "550 5.1.1234 odd", APR_SUCCESS, 550, "", "550 5.1.1234 odd" },
    { "550 5.1.1x odd", APR_SUCCESS, 550, "", "550 5.1.1x odd" },
    { "250 tab\there \x01", APR_SUCCESS, 250, "", "250 tab here  " },
    { "250-more", APR_INCOMPLETE, 250, "", "250 more" },
    { "", MG_EBADINPUT, 0, "", "" },
    { "25", MG_EBADINPUT, 0, "", "" },
    { "hello", MG_EBADINPUT, 0, "", "" },
    { "2x0 no", MG_EBADINPUT, 0, "", "" },
    { "150 no", MG_EBADINPUT, 0, "", "" },
    { "650 no", MG_EBADINPUT, 0, "", "" },
    { "2500 no", MG_EBADINPUT, 0, "", "" },
    { "250-a\n251 b", MG_EBADINPUT, 250, "", "250 a" },
    { "250-a\nb", MG_EBADINPUT, 250, "", "250 a" },
};

static void test_replies(void **state)
{
    apr_size_t i;

    (void)state;
    for (i = 0; i < COUNT(replies); i++) {
        mta_reply_t r;
        const char *at = replies[i].lines, *nl;
        apr_status_t rv;

        mta_reply_clear(&r);
        do {
            nl = strchr(at, '\n');
            rv = mta_reply_add(&r, at, nl ? (apr_size_t)(nl - at)
                                          : strlen(at), NULL);
            at = nl ? nl + 1 : NULL;
            if (at)
                assert_int_equal(rv, APR_INCOMPLETE);
        } while (at);
        assert_int_equal(rv, replies[i].rv);
        assert_int_equal(r.code, replies[i].code);
        assert_string_equal(r.enhanced, replies[i].enhanced);
        assert_string_equal(r.text, replies[i].text);
    }
}

static void test_limits(void **state)
{
    mta_reply_t r;
    char line[MTA_REPLY_LINE + 2];
    int i;

    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "250-", 4);
    mta_reply_clear(&r);
    assert_int_equal(mta_reply_add(&r, line, MTA_REPLY_LINE, NULL),
                     APR_INCOMPLETE);
    assert_int_equal(r.len, MTA_REPLY_TEXT);
    assert_int_equal(mta_reply_add(&r, line, MTA_REPLY_LINE, NULL),
                     APR_INCOMPLETE);
    assert_int_equal(strlen(r.text), MTA_REPLY_TEXT);
    assert_int_equal(mta_reply_add(&r, line, MTA_REPLY_LINE + 1, NULL),
                     MG_ELIMIT);

    mta_reply_clear(&r);
    for (i = 0; i < MTA_REPLY_LINES; i++)
        assert_int_equal(mta_reply_add(&r, "250-a", 5, NULL), APR_INCOMPLETE);
    assert_int_equal(mta_reply_add(&r, "250 a", 5, NULL), MG_ELIMIT);
}

static void test_words_of_our_own(void **state)
{
    mta_reply_t r;

    (void)state;
    mta_reply_set(&r, "499 4.4.1 %s: %s", "mx", "refused");
    assert_int_equal(r.code, 499);
    assert_int_equal(mta_reply_class(&r), MTA_TEMPORARY);
    assert_string_equal(r.enhanced, "4.4.1");
    assert_string_equal(r.text, "499 4.4.1 mx: refused");
}

static const struct {
    const char *text;
    int seconds;
} waits[] = {
    { "421 4.7.0 try again in 5 minutes", 300 },
    { "450 4.7.1 Greylisted, please try again in 300 seconds.", 300 },
    { "451 Try again in 04 min 30 sec", 270 },
    { "421 Retry after 60s", 60 },
    { "450 wait at least 2 hours, please", 7200 },
    { "451 4.7.1 Greylisting in action, please come back in 00:04:00", 0 },
    { "421 4.7.0 later", 0 },
    { "421 in no 5 minutes", 0 },
    { "421 in 5 apples", 0 },
    { "421 within 12345678 hours", 0 },
    { "421 in 999999 hours", 14400 },
    { "421 in", 0 },
    { "in 10 s in 20 s", 10 },
    { "", 0 },
};

static void test_waits(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
        if (mta_reply_wait(waits[i].text)
            != apr_time_from_sec(waits[i].seconds))
            fail_msg("%s: %d", waits[i].text,
                     (int)apr_time_sec(mta_reply_wait(waits[i].text)));
}

UNIT_MAIN(cmocka_unit_test(test_replies), cmocka_unit_test(test_limits),
          cmocka_unit_test(test_words_of_our_own),
          cmocka_unit_test(test_waits))
