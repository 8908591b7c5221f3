/* test_dsn_request.c - parameters of RFC 3461, good and bad. */
#include "mg_dsn_request.h"
#include "mg_status.h"
#include "unit_pool.h"

enum { GOOD, BAD, OTHER };

static const struct {
    const char *name, *value;
    int want;
    const char *kept;
} mail_cases[] = {
    { "RET", "FULL", GOOD, "FULL" },
    { "ret", "hdrs", GOOD, "HDRS" },
    { "RET", "", BAD, NULL },
    { "RET", "FULLY", BAD, NULL },
    { "ENVID", "QQ314159", GOOD, "QQ314159" },
    { "ENVID", "a+20b+2B", GOOD, "a+20b+2B" },
    { "ENVID", "+", BAD, NULL },
    { "ENVID", "+2", BAD, NULL },
    { "ENVID", "+2b", BAD, NULL },
    { "ENVID", "a b", BAD, NULL },
    { "ENVID", "+00", BAD, NULL },
    { "ENVID", "+0A", BAD, NULL },
    { "ENVID", "+7F", BAD, NULL },
    { "ENVID", "+C3+BC", BAD, NULL },
    { "ENVID", "\xc3\xbc", BAD, NULL },
    { "ENVI", "x", OTHER, NULL },
    { "NOTIFY", "NEVER", OTHER, NULL },
}, rcpt_cases[] = {
    { "NOTIFY", "NEVER", GOOD, "NEVER" },
    { "NOTIFY", "delay,success", GOOD, "SUCCESS,DELAY" },
    { "NOTIFY", "FAILURE", GOOD, "FAILURE" },
    { "NOTIFY", "SUCCESS,FAILURE,DELAY", GOOD, "SUCCESS,FAILURE,DELAY" },
    { "NOTIFY", ",", BAD, NULL },
    { "NOTIFY", "SUCCESS,,DELAY", BAD, NULL },
    { "NOTIFY", "NEVER,NEVER", BAD, NULL },
    { "ORCPT", "rfc822;bob@x.test", GOOD, "rfc822;bob@x.test" },
    { "ORCPT", "x400;+2FC=de", BAD, NULL },
    { "ORCPT", "RFC822;b+2Bob@x", GOOD, "RFC822;b+2Bob@x" },
    { "ORCPT", "utf-8;b\xc3\xbc@x", GOOD, "utf-8;b\xc3\xbc@x" },
    { "ORCPT", "utf-8;b\\x{FC}@x", GOOD, "utf-8;b\\x{FC}@x" },
    { "ORCPT", "rfc822;b\xc3\xbc@x", BAD, NULL },
    { "ORCPT", "rfc822;b+0D@x", BAD, NULL },
    { "ORCPT", "rfc 822;b@x", BAD, NULL },
    { "ORCPT", "", BAD, NULL },
    { "RET", "FULL", OTHER, NULL },
};

static int as_want(apr_status_t rv)
{
    return rv == APR_SUCCESS ? GOOD : rv == APR_ENOENT ? OTHER : BAD;
}

static void test_mail(void **state)
{
    apr_size_t i;

    (void)state;
    for (i = 0; i < COUNT(mail_cases); i++) {
        const char *name = mail_cases[i].name, *value = mail_cases[i].value;
        mg_dsn_mail_t mail = { NULL, NULL };
        apr_status_t rv = mg_dsn_mail_param(&mail, name, strlen(name), value,
                                            strlen(value), pool);
        const char *kept = mail.ret ? mail.ret : mail.envid;

        if (as_want(rv) != mail_cases[i].want)
            fail_msg("%s=%s: %d", name, value, rv);
        if (mail_cases[i].kept)
            assert_string_equal(kept, mail_cases[i].kept);
        else
            assert_null(kept);
    }
}

static void test_rcpt(void **state)
{
    apr_size_t i;

    (void)state;
    for (i = 0; i < COUNT(rcpt_cases); i++) {
        const char *name = rcpt_cases[i].name, *value = rcpt_cases[i].value;
        mg_dsn_rcpt_t rcpt = { NULL, NULL };
        apr_status_t rv = mg_dsn_rcpt_param(&rcpt, name, strlen(name), value,
                                            strlen(value), pool);
        const char *kept = rcpt.notify ? rcpt.notify : rcpt.orcpt;

        if (as_want(rv) != rcpt_cases[i].want)
            fail_msg("%s=%s: %d", name, value, rv);
        if (rcpt_cases[i].kept)
            assert_string_equal(kept, rcpt_cases[i].kept);
        else
            assert_null(kept);
    }
}

static void test_payload(void **state)
{
    mg_dsn_rcpt_t rcpt = { NULL, NULL }, back;
    char *text;

    (void)state;
    assert_null(mg_dsn_payload(&rcpt, pool));
    rcpt.notify = "SUCCESS,FAILURE";
    rcpt.orcpt = "utf-8;\"b\xc3\xbc\"@x";
    text = mg_dsn_payload(&rcpt, pool);
    mg_dsn_payload_read(&back, text, pool);
    assert_string_equal(back.notify, rcpt.notify);
    assert_string_equal(back.orcpt, rcpt.orcpt);
    mg_dsn_payload_read(&back, "", pool);
    assert_null(back.notify);
    mg_dsn_payload_read(&back, "[1]", pool);
    assert_null(back.orcpt);
    mg_dsn_payload_read(&back, NULL, pool);
    assert_null(back.orcpt);
}

static void test_xtext(void **state)
{
    char *text;

    (void)state;
    assert_int_equal(mg_xtext_decode(&text, "a+2Bb+3D", 8, pool), APR_SUCCESS);
    assert_string_equal(text, "a+b=");
    assert_int_equal(mg_xtext_decode(&text, "a+2", 3, pool), MG_EBADINPUT);
    assert_int_equal(mg_xtext_decode(&text, "", 0, pool), APR_SUCCESS);
    assert_string_equal(text, "");
}

UNIT_MAIN(cmocka_unit_test(test_mail), cmocka_unit_test(test_rcpt),
          cmocka_unit_test(test_payload), cmocka_unit_test(test_xtext))
