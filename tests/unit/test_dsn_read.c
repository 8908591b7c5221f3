/* test_dsn_read.c - delivery reports that come back (mg_dsn.h). */
#include "unit_pool.h"
#include "mg_dsn.h"
#include "mg_mime.h"

#define REPORT(status) \
    "From: MAILER-DAEMON@mx.x.test (Mail Delivery System)\r\n" \
    "Subject: Undelivered Mail Returned to Sender\r\n" \
    "Auto-Submitted: auto-replied\r\n" \
    "MIME-Version: 1.0\r\n" \
    "Content-Type: multipart/report; report-type=delivery-status;\r\n" \
    "\tboundary=\"b/1\"\r\n\r\n" \
    "This is a MIME-encapsulated message.\r\n\r\n--b/1\r\n" \
    "Content-Type: text/plain; charset=us-ascii\r\n\r\n" \
    "<bob@x.test>: host mx2.x.test[192.0.2.1] said: 550 5.1.1 <bob@x.test>\r\n"\
    "    no such user (in reply to RCPT TO command)\r\n\r\n--b/1\r\n" \
    "Content-Description: Delivery report\r\n" \
    "Content-Type: message/delivery-status\r\n\r\n" \
    "Reporting-MTA: dns; mx.x.test\r\nX-Postfix-Queue-ID: 4711\r\n" \
    "Arrival-Date: Thu, 13 Oct 2011 18:02:00 +0000 (UTC)\r\n\r\n" \
    status \
    "\r\n--b/1\r\nContent-Type: message/rfc822\r\n\r\n" \
    "Final-Recipient: rfc822; mallory@x.test\r\nAction: failed\r\n\r\n" \
    "Hello\r\n\r\n--b/1--\r\n"

static const char postfix[] = REPORT(
    "Final-Recipient: rfc822; bob@x.test\r\n"
    "Original-Recipient: rfc822;bob@x.test\r\nAction: failed\r\n"
    "Status: 5.1.1\r\nRemote-MTA: dns; mx2.x.test\r\n"
    "Diagnostic-Code: smtp; 550 5.1.1 <bob@x.test> no such\r\n    user\r\n");
static const char no_words[] = REPORT(
    "Final-Recipient: RFC822; bob@x.test\r\nAction: Failed\r\n"
    "Status: 5.2.1\r\n");
static const char digits_only[] = REPORT(
    "Final-Recipient: rfc822; <bob@x.test>\r\nAction: failed\r\n"
    "Status: 5.2.1 (disabled)\r\nDiagnostic-Code: smtp;550 no\r\n");
static const char delayed[] = REPORT(
    "Final-Recipient: rfc822; bob@x.test\r\nAction: delayed\r\n"
    "Status: 4.4.1\r\nDiagnostic-Code: X-Postfix; connect to mx: refused\r\n"
    "Will-Retry-Until: Tue, 18 Oct 2011 18:02:00 +0000 (UTC)\r\n");
static const char relayed[] = REPORT(
    "Final-Recipient: rfc822; bob@x.test\r\nAction: relayed\r\n"
    "Status: 2.0.0\r\n");
static const char xtext[] = REPORT(
    "Original-Recipient: rfc822;bob+2Btag@x.test\r\n"
    "Final-Recipient: rfc822; other@y.test\r\nAction: failed\r\n"
    "Status: 5.1.1\r\n");
static const char two[] = REPORT(
    "Final-Recipient: rfc822; bob@x.test\r\nAction: failed\r\n"
    "Status: 5.1.1\r\n\r\n\r\n"
    "Final-Recipient: rfc822; ann@x.test\r\nAction: delayed\r\n"
    "Status: 4.2.2\r\n");
static const char encoded[] =
    "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
    "Content-Type: message/delivery-status\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\n"
    "UmVwb3J0aW5nLU1UQTogZG5zOyBteC54LnRlc3QNCg0KRmluYWwtUmVjaXBpZW50OiByZmM4"
    "MjI7\r\nIGJvYkB4LnRlc3QNCkFjdGlvbjogZmFpbGVkDQpTdGF0dXM6IDUuMS4xDQo=\r\n"
    "--b--\r\n";
/* as Exim 4.96 wrote it */
static const char exim_report[] =
    "X-Failed-Recipients: bob@late.test\r\n"
    "Auto-Submitted: auto-replied\r\n"
    "From: Mail Delivery System <Mailer-Daemon@exim.test>\r\n"
    "To: me@back.test\r\n"
    "References: <E1xWMMP-0005j7-2N@exim.test>\r\n"
    "Content-Type: multipart/report; report-type=delivery-status; boundary=1795649109-eximdsn-1322126978\r\n"
    "MIME-Version: 1.0\r\n"
    "Subject: Mail delivery failed: returning message to sender\r\n"
    "Message-Id: <E1xWMMP-0005jG-2c@exim.test>\r\n"
    "Date: Wed, 25 Nov 2026 23:25:09 +0000\r\n"
    "\r\n"
    "--1795649109-eximdsn-1322126978\r\n"
    "Content-type: text/plain; charset=us-ascii\r\n"
    "\r\n"
    "This message was created automatically by mail delivery software.\r\n"
    "\r\n"
    "A message that you sent could not be delivered to one or more of its\r\n"
    "recipients. This is a permanent error. The following address(es) failed:\r\n"
    "\r\n"
    "  bob@late.test\r\n"
    "    no such user\r\n"
    "\r\n"
    "--1795649109-eximdsn-1322126978\r\n"
    "Content-type: message/delivery-status\r\n"
    "\r\n"
    "Reporting-MTA: dns; exim.test\r\n"
    "\r\n"
    "Action: failed\r\n"
    "Final-Recipient: rfc822;bob@late.test\r\n"
    "Status: 5.0.0\r\n"
    "\r\n"
    "--1795649109-eximdsn-1322126978\r\n"
    "Content-type: message/rfc822\r\n"
    "\r\n"
    "Return-path: <me@back.test>\r\n"
    "Received: from root by exim.test with local (Exim 4.96)\r\n"
    "\t(envelope-from <me@back.test>)\r\n"
    "\tid 1xWMMP-0005j7-2N\r\n"
    "\tfor bob@late.test;\r\n"
    "\tWed, 25 Nov 2026 23:25:09 +0000\r\n"
    "Subject: hi\r\n"
    "Message-Id: <E1xWMMP-0005j7-2N@exim.test>\r\n"
    "From: me@back.test\r\n"
    "Date: Wed, 25 Nov 2026 23:25:09 +0000\r\n"
    "\r\n"
    "body\r\n"
    "\r\n"
    "--1795649109-eximdsn-1322126978--\r\n";
static const char exim[] =
    "From: Mail Delivery System <Mailer-Daemon@mx.x.test>\r\n"
    "X-Failed-Recipients: bob@x.test\r\nAuto-Submitted: auto-replied\r\n"
    "Subject: Mail delivery failed: returning message to sender\r\n\r\n"
    "This message was created automatically by mail delivery software.\r\n"
    "\r\nA message that you sent could not be delivered to one or more of its\r\n"
    "recipients. This is a permanent error. The following address(es) failed:"
    "\r\n\r\n  bob@x.test\r\n    host mx2.x.test [192.0.2.1]\r\n"
    "    SMTP error from remote mail server after RCPT TO:<bob@x.test>:\r\n"
    "    550 5.1.1 no such user\r\n\r\n"
    "------ This is a copy of the message ------\r\n\r\nSubject: hi\r\n";
static const char exim_delay[] =
    "From: Mail Delivery System <Mailer-Daemon@mx.x.test>\r\n"
    "Auto-Submitted: auto-replied\r\n"
    "Subject: Warning: message 1abc-0001 delayed 24 hours\r\n\r\n"
    "This message was created automatically.\r\n"
    "A message that you sent has not yet been delivered to one or more of its"
    "\r\nrecipients:\r\n\r\n  bob@x.test\r\n    Delay reason: x\r\n";
static const char plain_postfix[] =
    "From: MAILER-DAEMON@mx.x.test\r\n"
    "Subject: Undelivered Mail Returned to Sender\r\n\r\n"
    "I'm sorry to have to inform you that your message could not be\r\n"
    "delivered.\r\n\r\n"
    "<bob@x.test>: host mx2.x.test[192.0.2.1] said: 552 5.2.2 mailbox full\r\n";
static const char away[] =
    "From: bob@x.test\r\nSubject: Out of office\r\n\r\nSee you in 2 weeks, "
    "call 550 1234.\r\n";
static const char rfc3834[] =
    "From: bob@x.test\r\nSubject: Re: hi\r\nAuto-Submitted: auto-replied "
    "(vacation)\r\n\r\nGone.\r\n";
static const char receipt[] =
    "From: bob@x.test\r\nSubject: Read: hi\r\n"
    "Content-Type: multipart/report; report-type=disposition-notification;"
    " boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nread\r\n--b\r\n"
    "Content-Type: message/disposition-notification\r\n\r\n"
    "Final-Recipient: rfc822; bob@x.test\r\nDisposition: x\r\n--b--\r\n";
static const char person[] =
    "From: Bob <bob@x.test>\r\nSubject: Re: hi\r\n\r\nThanks. 550 5.1.1\r\n";

static const struct {
    const char *name, *message;
    mg_dsn_kind_t kind;
    int n;
    mg_dsn_action_t action;
    const char *recipient, *original, *mx;
    int code;
    const char *text;
} cases[] = {
    { "postfix", postfix, MG_DSN_REPORT, 1, MG_DSN_FAILED, "bob@x.test",
      "bob@x.test", "mx2.x.test", 550, "550 5.1.1 <bob@x.test> no such user" },
    { "no words", no_words, MG_DSN_REPORT, 1, MG_DSN_FAILED, "bob@x.test",
      NULL, "mx.x.test", 550, "550 5.2.1 host mx2.x.test[192.0.2.1] said: "
      "550 5.1.1 <bob@x.test> no such user (in reply to RCPT TO command)" },
    { "digits only", digits_only, MG_DSN_REPORT, 1, MG_DSN_FAILED,
      "bob@x.test", NULL, "mx.x.test", 550, "550 5.2.1 no" },
    { "delayed", delayed, MG_DSN_REPORT, 1, MG_DSN_DELAYED, "bob@x.test",
      NULL, "mx.x.test", 450, "450 4.4.1 connect to mx: refused" },
    { "relayed", relayed, MG_DSN_REPORT, 1, MG_DSN_WELL, "bob@x.test", NULL,
      "mx.x.test", 0, "" },
    { "xtext", xtext, MG_DSN_REPORT, 1, MG_DSN_FAILED, "other@y.test",
      "bob+tag@x.test", "mx.x.test", 550, "550 5.1.1" },
    { "two", two, MG_DSN_REPORT, 2, MG_DSN_FAILED, "bob@x.test", NULL,
      "mx.x.test", 550, "550 5.1.1 host mx2.x.test[192.0.2.1] said: "
      "550 5.1.1 <bob@x.test> no such user (in reply to RCPT TO command)" },
    { "encoded", encoded, MG_DSN_REPORT, 1, MG_DSN_FAILED, "bob@x.test", NULL,
      "mx.x.test", 550, "550 5.1.1" },
    { "a report of exim", exim_report, MG_DSN_REPORT, 1, MG_DSN_FAILED,
      "bob@late.test", NULL, "exim.test", 550, "550 5.0.0 no such user" },
    { "exim", exim, MG_DSN_GUESS, 1, MG_DSN_FAILED, "bob@x.test", NULL, NULL,
      550, "550 5.1.1 no such user" },
    { "exim's delay", exim_delay, MG_DSN_GUESS, 1, MG_DSN_DELAYED, NULL, NULL,
      NULL, 0, "Warning: message 1abc-0001 delayed 24 hours" },
    { "text of postfix", plain_postfix, MG_DSN_GUESS, 1, MG_DSN_FAILED,
      "bob@x.test", NULL, NULL, 552, "552 5.2.2 mailbox full" },
    { "away", away, MG_DSN_AUTO_REPLY, 0, 0, NULL, NULL, NULL, 0, NULL },
    { "RFC 3834", rfc3834, MG_DSN_AUTO_REPLY, 0, 0, NULL, NULL, NULL, 0,
      NULL },
    { "receipt", receipt, MG_DSN_AUTO_REPLY, 0, 0, NULL, NULL, NULL, 0, NULL },
    { "person", person, MG_DSN_NONE, 0, 0, NULL, NULL, NULL, 0, NULL },
    { "nothing", "", MG_DSN_NONE, 0, 0, NULL, NULL, NULL, 0, NULL },
};

static void is_text(const char *name, const char *got, const char *want)
{
    if (strcmp(got ? got : "(null)", want ? want : "(null)") != 0)
        fail_msg("%s: '%s', wanted '%s'", name, got, want);
}

static void test_read(void **state)
{
    const mg_dsn_report_t *r;
    mg_dsn_t dsn;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        mg_dsn_read(&dsn, cases[i].message, strlen(cases[i].message), pool);
        if (dsn.kind != cases[i].kind || dsn.reports->nelts != cases[i].n)
            fail_msg("%s: kind %d, %d reports", cases[i].name, dsn.kind,
                     dsn.reports->nelts);
        if (cases[i].n == 0)
            continue;
        r = &APR_ARRAY_IDX(dsn.reports, 0, mg_dsn_report_t);
        assert_int_equal(r->action, cases[i].action);
        assert_int_equal(r->code, cases[i].code);
        is_text(cases[i].name, r->recipient, cases[i].recipient);
        is_text(cases[i].name, r->original, cases[i].original);
        is_text(cases[i].name, r->mx, cases[i].mx);
        is_text(cases[i].name, r->text, cases[i].text);
    }
}

/* Cut anywhere it neither reads beyond nor finds what is not there. */
static void test_cut(void **state)
{
    size_t len, i;
    mg_dsn_t dsn;

    (void)state;
    for (i = 0; i < COUNT(cases); i++)
        for (len = 0; len < strlen(cases[i].message); len += 7) {
            char *copy = apr_pmemdup(pool, cases[i].message, len);

            mg_dsn_read(&dsn, copy, len, pool);
            assert_true(dsn.reports->nelts <= cases[i].n || dsn.kind
                        != MG_DSN_NONE);
        }
}

/* A report of a million recipients is read in part. */
static void test_bounded(void **state)
{
    static const char one[] = "Final-Recipient: rfc822; b@x.test\r\n"
                              "Action: failed\r\nStatus: 5.1.1\r\n\r\n";
    static const char head[] = "Content-Type: message/delivery-status\r\n\r\n"
                               "Reporting-MTA: dns; a\r\n\r\n";
    size_t n = 20000, i;
    char *all = apr_palloc(pool, sizeof(head) + n * sizeof(one)), *to = all;
    mg_dsn_t dsn;

    (void)state;
    memcpy(to, head, sizeof(head) - 1);
    to += sizeof(head) - 1;
    for (i = 0; i < n; i++, to += sizeof(one) - 1)
        memcpy(to, one, sizeof(one) - 1);
    mg_dsn_read(&dsn, all, (apr_size_t)(to - all), pool);
    assert_int_equal(dsn.reports->nelts, MG_DSN_RECIPIENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_bounded),
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    mg_mime_init();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
