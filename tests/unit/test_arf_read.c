/* test_arf_read.c - reports of spam that come back (mg_arf.h). */
#include <stdlib.h>

#include "unit_pool.h"
#include "mg_arf.h"
#include "mg_mime.h"

#define MAC "0123456789abcdef0123"
#define SENDER "bounce+" MAC ".1a2b-bob=x.test@d.test"
#define MULTIPART(type) \
    "MIME-Version: 1.0\r\nContent-Type: multipart/" type "; boundary=b\r\n" \
    "\r\n--b\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse " \
    "report.\r\n\r\n"
#define ARF "From: <abusedesk@x.test>\r\nSubject: FW: Earn money\r\n" \
    MULTIPART("report; report-type=feedback-report") \
    "--b\r\nContent-Type: message/feedback-report\r\n\r\n"
#define MESSAGE(header) "\r\n--b\r\nContent-Type: message/rfc822\r\n" \
    "Content-Disposition: inline\r\n\r\n" header "Subject: Earn money\r\n" \
    "\r\nbody bounce+fedcba98765432100123.99-x@d.test\r\n\r\n--b--\r\n"

/* RFC 5965, appendix B.2 */
static const char full[] = ARF
    "Feedback-Type: abuse\r\nUser-Agent: SomeGenerator/1.0\r\nVersion: 1\r\n"
    "Original-Mail-From: <" SENDER ">\r\n"
    "Original-Rcpt-To: <bob@x.test>\r\n"
    "Arrival-Date: Thu, 8 Mar 2005 14:00:00 EDT\r\n"
    "Reporting-MTA: dns; mail.x.test\r\nSource-IP: 192.0.2.1\r\n"
    "Removal-Recipient: ann@x.test\r\n"
    MESSAGE("Received: from d.test\r\nFrom: <me@d.test>\r\n");
/* AOL: whom it is about is redacted everywhere */
static const char aol[] =
    "Return-Path: <>\r\nX-Loop: scomp\r\n" ARF
    "Feedback-Type: abuse\r\nUser-Agent: AOL SComp\r\nVersion: 0.1\r\n"
    "Removal-Recipient: redacted-address@redacted.invalid\r\n"
    MESSAGE("Return-Path: <bounce+" MAC ".1A2B-redacted@d.test>\r\n"
            "To: undisclosed-recipients:;\r\n");
/* Yahoo: no envelope, the message has what we put into it */
static const char yahoo[] = ARF
    "Feedback-Type: abuse\r\nUser-Agent: Yahoo!-Mail-Feedback/2.0\r\n"
    "Version: 0.1\r\nOriginal-Mail-From: <>\r\nReported-Domain: d.test\r\n"
    MESSAGE("X-Apparently-To: x; Thu, 13 Oct 2011 18:02:00 +0000\r\n"
            "X-Mailgun-Report-Id: " MAC ".1a2b\r\n");
/* Microsoft's JMRP: no feedback-report */
static const char jmrp[] =
    "From: <staff@hotmail.test>\r\nTo: <fbl@d.test>\r\n"
    "Subject: complaint about message from 192.0.2.1\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n"
    "X-HmXmrOriginalRecipient: <bob@x.test>\r\n"
    "X-Mailgun-Report-Id:\r\n " MAC ".1a2b\r\n"
    "To: Somebody <other@x.test>\r\nSubject: Earn\r\n\r\nbody\r\n\r\n--b--\r\n";
static const char jmrp_single[] =
    "From: <staff@hotmail.test>\r\nSubject: complaint\r\n"
    "Content-Type: message/rfc822\r\n\r\n"
    "X-HmXmrOriginalRecipient: bob@x.test\r\nReturn-Path: " SENDER "\r\n"
    "\r\nbody\r\n";
static const char jmrp_on_top[] =
    "X-HmXmrOriginalRecipient: bob@x.test\r\nReturn-Path: <" SENDER ">\r\n"
    "From: me@d.test\r\nSubject: Earn\r\n\r\nbody\r\n";
/* mail.ru: header only, folded, in lower case */
static const char mail_ru[] =
    "From: fbl@mail.test\r\n" MULTIPART("report;report-type=feedback-report")
    "--b\r\ncontent-type: message/feedback-report\r\n"
    "content-disposition: inline\r\n\r\n"
    "feedback-type: Abuse\r\nuser-agent: mailru-fbl\r\n\tv1\r\n"
    "original-mail-from:\r\n <" SENDER ">\r\n\r\n--b\r\n"
    "content-type: text/rfc822-headers\r\n\r\n"
    "to: bob@x.test\r\n\r\n--b--\r\n";
/* Netease: multipart/mixed, base64 of "Feedback-Type: abuse\r\n
 * Original-Mail-From: <bounce+0123456789abcdef0123.1a2b-x@d.test>\r\n" */
static const char encoded[] = MULTIPART("mixed")
    "--b\r\nContent-Type: message/feedback-report\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\n"
    "RmVlZGJhY2stVHlwZTogYWJ1c2UNCk9yaWdpbmFsLU1haWwtRnJvbTogPGJvdW5jZSswMTIz"
    "\r\nNDU2Nzg5YWJjZGVmMDEyMy4xYTJiLXhAZC50ZXN0Pg0K\r\n--b--\r\n";
/* sent on: a report in a message */
static const char nested[] =
    "From: abuse@isp.test\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n"
    "--a\r\nContent-Type: text/plain\r\n\r\nplease see\r\n"
    "--a\r\nContent-Type: message/rfc822\r\n\r\n"
    ARF "Feedback-Type: fraud\r\n"
    MESSAGE("Return-Path: <" SENDER ">\r\n") "--a--\r\n";
static const char eml[] = MULTIPART("mixed")
    "--b\r\nContent-Type: application/octet-stream; name=\"spam.EML\"\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\n"
    "UmV0dXJuLVBhdGg6IDxib3VuY2UrMDEyMzQ1Njc4OWFiY2RlZjAxMjMuMWEyYi14QGQudGVz"
    "\r\ndD4NCg0KYm9keQ0K\r\n--b--\r\n";
static const char srs[] = ARF "Feedback-Type: abuse\r\nOriginal-Mail-From: "
    "<SRS0=abcd=ef=d.test=bounce+" MAC ".1a2b-bob=x.test@forward.test>\r\n"
    MESSAGE("");
static const char unsigned_report[] = ARF "Feedback-Type: abuse\r\n"
    "Original-Rcpt-To: bob@x.test\r\nOriginal-Mail-From: <me@other.test>\r\n"
    MESSAGE("From: me@other.test\r\n");
static const char not_spam[] = ARF "Feedback-Type: not-spam\r\n"
    MESSAGE("Return-Path: <" SENDER ">\r\n");
static const char opt_out[] = ARF "Feedback-Type: opt-out\r\n"
    MESSAGE("Return-Path: <" SENDER ">\r\n");
static const char auth_failure[] = ARF "Feedback-Type: auth-failure\r\n"
    "Auth-Failure: dkim\r\n" MESSAGE("Return-Path: <" SENDER ">\r\n");
static const char dsn[] =
    MULTIPART("report; report-type=delivery-status")
    "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
    "Reporting-MTA: dns; x.test\r\n\r\nFinal-Recipient: rfc822; b@x.test\r\n"
    MESSAGE("Return-Path: <" SENDER ">\r\n");
static const char attached[] = MULTIPART("mixed")
    "--b\r\nContent-Type: message/rfc822\r\n\r\n"
    "From: a@other.test\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
    "--c\r\nContent-Type: message/rfc822\r\n\r\nReturn-Path: <" SENDER ">\r\n"
    "\r\nhi\r\n--c--\r\n--b--\r\n";
static const char person[] =
    "From: Bob <bob@x.test>\r\nSubject: spam\r\n\r\nstop " SENDER "\r\n";

static const struct {
    const char *name, *message;
    mg_arf_kind_t kind;
    int is_bare;
    const char *type, *reporter;
    int claims;
    const char *recipients;
} cases[] = {
    { "RFC 5965", full, MG_ARF_COMPLAINT, 0, "abuse", "SomeGenerator/1.0", 1,
      "bob@x.test ann@x.test" },
    { "AOL", aol, MG_ARF_COMPLAINT, 0, "abuse", "AOL SComp", 1,
      "redacted-address@redacted.invalid" },
    { "Yahoo", yahoo, MG_ARF_COMPLAINT, 0, "abuse", "Yahoo!-Mail-Feedback/2.0",
      1, "" },
    { "JMRP", jmrp, MG_ARF_COMPLAINT, 1, "", "", 1, "bob@x.test" },
    { "JMRP, one part", jmrp_single, MG_ARF_COMPLAINT, 1, "", "", 1,
      "bob@x.test" },
    { "JMRP on top", jmrp_on_top, MG_ARF_COMPLAINT, 1, "", "", 1,
      "bob@x.test" },
    { "mail.ru", mail_ru, MG_ARF_COMPLAINT, 0, "abuse", "mailru-fbl v1", 1,
      "" },
    { "base64", encoded, MG_ARF_COMPLAINT, 0, "abuse", "", 1, "" },
    { "nested", nested, MG_ARF_COMPLAINT, 0, "fraud", "", 1, "" },
    { "eml", eml, MG_ARF_COMPLAINT, 1, "", "", 1, "" },
    { "SRS", srs, MG_ARF_COMPLAINT, 0, "abuse", "", 1, "" },
    { "unsigned", unsigned_report, MG_ARF_COMPLAINT, 0, "abuse", "", 0,
      "bob@x.test" },
    { "not spam", not_spam, MG_ARF_NOT_SPAM, 0, "not-spam", "", 1, "" },
    { "opt-out", opt_out, MG_ARF_OPT_OUT, 0, "opt-out", "", 1, "" },
    { "auth-failure", auth_failure, MG_ARF_OTHER, 0, "auth-failure", "", 1,
      "" },
    { "a bounce", dsn, MG_ARF_NONE, 0, "", "", 1, "" },
    { "attached to a message", attached, MG_ARF_COMPLAINT, 1, "", "", 0, "" },
    { "person", person, MG_ARF_NONE, 0, "", "", 0, "" },
    { "nothing", "", MG_ARF_NONE, 0, "", "", 0, "" },
};

static void test_read(void **state)
{
    const mg_verp_claim_t *claim;
    mg_arf_t arf;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        mg_arf_read(&arf, cases[i].message, strlen(cases[i].message), pool);
        if (arf.kind != cases[i].kind || arf.is_bare != cases[i].is_bare
            || arf.claims->nelts != cases[i].claims)
            fail_msg("%s: kind %d, bare %d, %d claims", cases[i].name,
                     arf.kind, arf.is_bare, arf.claims->nelts);
        assert_string_equal(arf.type, cases[i].type);
        assert_string_equal(arf.reporter, cases[i].reporter);
        assert_string_equal(apr_array_pstrcat(pool, arf.recipients, ' ')
                                ? apr_array_pstrcat(pool, arf.recipients, ' ')
                                : "", cases[i].recipients);
        if (!cases[i].claims)
            continue;
        claim = &APR_ARRAY_IDX(arf.claims, 0, mg_verp_claim_t);
        assert_string_equal(claim->mac, "0123456789ab");
        assert_string_equal(claim->verp.tag, "cdef0123");
        assert_int_equal(claim->verp.message_id, 0x1a2b);
    }
}

/* Cut anywhere it neither reads beyond nor finds what is not there. */
static void test_cut(void **state)
{
    size_t len, i;
    mg_arf_t arf;

    (void)state;
    for (i = 0; i < COUNT(cases); i++)
        for (len = 0; len < strlen(cases[i].message); len += 5) {
            char *copy = malloc(len + 1);

            memcpy(copy, cases[i].message, len);
            mg_arf_read(&arf, copy, len, pool);
            assert_true(arf.claims->nelts <= cases[i].claims
                        || cases[i].claims == 0);
            free(copy);
        }
}

/* Many of all are read in part. */
static void test_bounded(void **state)
{
    static const char head[] = "Content-Type: message/feedback-report\r\n\r\n"
                               "Feedback-Type: abuse\r\n";
    char *all = apr_palloc(pool, 200000), *to = all;
    mg_arf_t arf;
    int i;

    (void)state;
    to += sprintf(to, "%s", head);
    for (i = 0; i < 1000; i++)
        to += sprintf(to, "Original-Rcpt-To: b%d@x.test\r\nOriginal-Mail-From:"
                      " bounce+%020x.%x-a@d.test\r\n", i, i, i);
    mg_arf_read(&arf, all, (apr_size_t)(to - all), pool);
    assert_int_equal(arf.claims->nelts, MG_ARF_CLAIMS);
    assert_int_equal(arf.recipients->nelts, MG_ARF_RECIPIENTS);
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
