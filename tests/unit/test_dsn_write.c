/* test_dsn_write.c - delivery reports that we write, read back. */
#include "unit_pool.h"
#include "mg_dsn.h"
#include "mg_dsn_write.h"
#include "mg_mime.h"

static const char original[] = "From: me@a.test\r\nSubject: hello\r\n"
                               "\r\nthe body\r\n";

static const struct {
    mg_dsn_says_t says;
    const char *recipient, *orcpt, *envid, *reply, *mx;
    int whole;
    const char *lines[8];  /* are there */
    const char *not;       /* is not */
} cases[] = {
    { MG_DSN_SAYS_FAILED, "bob@x.test", NULL, NULL, "550 5.1.1 no such user",
      "mx.x.test", 0,
      { "To: <me@a.test>\r\n", "\r\nAction: failed\r\n",
        "\r\nStatus: 5.1.1\r\n",
        "\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n",
        "\r\nRemote-MTA: dns; mx.x.test\r\n", "\r\nSubject: hello\r\n",
        "\r\nAuto-Submitted: auto-replied\r\n" }, "the body" },
    { MG_DSN_SAYS_FAILED, "bob@x.test", "rfc822;bob+2Btag@x.test", "id+3D7",
      "451 4.7.1 later", NULL, 1,
      { "\r\nOriginal-Envelope-Id: id=7\r\n",
        "\r\nOriginal-Recipient: rfc822; bob+tag@x.test\r\n",
        "\r\nStatus: 5.7.1\r\n",
        "\r\nDiagnostic-Code: x-mailgun; 451 4.7.1 later\r\n",
        "\r\nContent-Type: message/rfc822\r\n", "\r\nthe body\r\n" }, NULL },
    { MG_DSN_SAYS_FAILED, "bob@x.test", NULL, NULL, NULL, NULL, 0,
      { "\r\nStatus: 5.0.0\r\n" }, "Diagnostic-Code" },
    { MG_DSN_SAYS_DELAYED, "bob@x.test", NULL, NULL, "421 busy", "mx", 0,
      { "\r\nAction: delayed\r\n", "\r\nStatus: 4.0.0\r\n",
        "\r\nWill-Retry-Until: " }, NULL },
    { MG_DSN_SAYS_RELAYED, "bob@x.test", NULL, NULL, "250 2.0.0 ok", "mx", 0,
      { "\r\nAction: relayed\r\n", "\r\nStatus: 2.0.0\r\n" }, NULL },
    { MG_DSN_SAYS_DELIVERED, "bob@x.test", NULL, NULL, "250 ok", "mx", 0,
      { "\r\nAction: delivered\r\n" }, NULL },
    /* what would break out of a field */
    { MG_DSN_SAYS_FAILED, "b\r\nX: y@x.test", NULL, NULL, "550 a\r\nB: c",
      "mx\r\nC: d", 0, { "\r\nFinal-Recipient: rfc822; b  X: y@x.test\r\n" },
      "\r\nB: c" },
    { MG_DSN_SAYS_FAILED, "j\xc3\xbc@x.test", NULL, NULL, "550 no", "mx", 0,
      { "\r\nContent-Type: message/global-delivery-status\r\n",
        "\r\nFinal-Recipient: utf-8; j\xc3\xbc@x.test\r\n" }, NULL },
};

static void test_write(void **state)
{
    mg_dsn_write_t d;
    apr_size_t len;
    mg_dsn_t dsn;
    size_t i, k;
    char *text;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        memset(&d, 0, sizeof(d));
        d.says = cases[i].says;
        d.hostname = "mail.a.test";
        d.to = "me@a.test";
        d.message_id = "1@mail.a.test";
        d.recipient = cases[i].recipient;
        d.orcpt = cases[i].orcpt;
        d.envid = cases[i].envid;
        d.reply = cases[i].reply;
        d.mx = cases[i].mx;
        d.arrived = d.now = d.until = apr_time_from_sec(1318528920);
        d.original = original;
        d.original_len = sizeof(original) - 1;
        d.whole = cases[i].whole;
        text = mg_dsn_write(&len, &d, pool);
        assert_int_equal(strlen(text), len);
        for (k = 0; k < COUNT(cases[i].lines) && cases[i].lines[k]; k++)
            if (!strstr(text, cases[i].lines[k]))
                fail_msg("%d: no '%s' in\n%s", (int)i, cases[i].lines[k],
                         text);
        if (cases[i].not && strstr(text, cases[i].not))
            fail_msg("%d: '%s' in\n%s", (int)i, cases[i].not, text);
        mg_dsn_read(&dsn, text, len, pool);
        assert_int_equal(dsn.kind, MG_DSN_REPORT);
        assert_int_equal(dsn.reports->nelts, 1);
    }
}

/* A large header is cut at a line; a long message is not sent back. */
static void test_sizes(void **state)
{
    apr_size_t n = 200000, len, i;
    char *large = apr_palloc(pool, n);
    mg_dsn_write_t d;

    (void)state;
    for (i = 0; i < n; i++)
        large[i] = "X: 34567\r\n"[i % 10];
    memset(&d, 0, sizeof(d));
    d.hostname = d.to = d.message_id = d.recipient = "a@a.test";
    d.original = large;
    d.original_len = n;
    d.whole = 1;
    mg_dsn_write(&len, &d, pool);
    assert_true(len < 70000);
    d.original_len = 0;
    mg_dsn_write(&len, &d, pool);
    assert_true(len < 2000);
}

/* RFC 5322 2.1.1: 998 octets, whatever the other server said. */
static void test_long_reply(void **state)
{
    char *reply = apr_palloc(pool, 1005), *text, *s, *next;
    mg_dsn_write_t d;
    apr_size_t len;

    (void)state;
    memset(reply, 'x', 1004);
    memcpy(reply, "550 ", 4);
    memcpy(reply + 896, "\xe2\x82\xac\xe2\x82\xac", 6);
    reply[1004] = '\0';
    memset(&d, 0, sizeof(d));
    d.hostname = d.to = d.message_id = d.recipient = d.mx = "a@a.test";
    d.reply = reply;
    d.original = "";
    text = mg_dsn_write(&len, &d, pool);
    assert_non_null(strstr(text, "\r\nDiagnostic-Code: smtp; 550 xxx"));
    for (s = text; (next = strstr(s, "\r\n")) != NULL; s = next + 2)
        assert_true(next - s <= 998);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_long_reply),
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    mg_mime_init();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
