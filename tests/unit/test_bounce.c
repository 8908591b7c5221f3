/* test_bounce.c - what refusals mean (mg_bounce.h). */
#include "unit_pool.h"
#include <stdlib.h>
#include "mg_bounce.h"

#define NONE MG_STAGE_NONE
#define MAIL MG_STAGE_MAIL
#define RCPT MG_STAGE_RCPT
#define DATA MG_STAGE_DATA
#define END MG_STAGE_END
#define HOME MG_STAGE_HOME
#define LATER MG_STAGE_LATER

static const struct {
    mg_stage_t stage;
    const char *reply;
    mg_severity_t severity;
    const char *name;
} cases[] = {
    /* the address */
    { RCPT, "550 5.1.1 no such user", MG_HARD, "unknown" },
    { RCPT, "550 5.1.1", MG_HARD, "unknown" },
    { RCPT, "550 No such user here", MG_HARD, "unknown" },
    { RCPT, "550 no", MG_HARD, "unknown" },
    { RCPT, "551 user not local", MG_HARD, "unknown" },
    { RCPT, "553 5.1.3 bad address", MG_HARD, "unknown" },
    { RCPT, "550 5.2.1 account is disabled", MG_HARD, "inactive" },
    { RCPT, "554 delivery error: dd This user doesn't have an account",
      MG_HARD, "unknown" },
    { RCPT, "550 5.4.1 Recipient address rejected: Access denied", MG_HARD,
      "unknown" },
    { RCPT, "550 5.7.1 <a@b.c>: Recipient address rejected: user unknown",
      MG_HARD, "unknown" },
    { END, "550 5.1.1 user unknown", MG_HARD, "unknown" },
    { LATER, "550 5.1.1 user unknown", MG_HARD, "unknown" },
    { LATER, "550 mailbox unavailable", MG_HARD, "unknown" },
    { LATER, "550 5.0.0 no such user", MG_HARD, "unknown" },
    { LATER, "550 5.0.0", MG_REFUSED, "policy" },
    { RCPT, "550 5.0.0", MG_HARD, "unknown" },
    { HOME, "553 5.1.3 this is no address that SMTP can carry", MG_HARD,
      "unknown" },
    { RCPT, "550 5.1.1 <spam@quota.test>: Recipient address rejected",
      MG_HARD, "unknown" },
    /* its domain */
    { NONE, "556 5.1.10 x.test does not accept mail", MG_HARD, "dns" },
    { RCPT, "550 5.1.2 bad destination system", MG_HARD, "dns" },
    /* permanent, not the address's fault */
    { NONE, "554 5.7.1 you are blocked", MG_REFUSED, "blocked" },
    { NONE, "554 no service for you", MG_REFUSED, "policy" },
    { NONE, "550 5.1.1 no such user", MG_REFUSED, "unknown" },
    { MAIL, "550 5.7.1 sender denied", MG_REFUSED, "policy" },
    { MAIL, "550 5.1.1 no such user", MG_REFUSED, "unknown" },
    { MAIL, "550 5.1.8 sender domain not found", MG_REFUSED, "dns" },
    { MAIL, "552 5.3.4 too big", MG_REFUSED, "size" },
    { MAIL, "552 exceeds", MG_REFUSED, "size" },
    { RCPT, "550 5.7.1 listed by zen.spamhaus.org", MG_REFUSED, "blocked" },
    { RCPT, "554 5.7.1 <a@b.c>: Relay access denied", MG_REFUSED, "relay" },
    { RCPT, "550 5.7.1 go away", MG_REFUSED, "policy" },
    { RCPT, "554 no", MG_REFUSED, "policy" },
    { RCPT, "550 5.7.26 unauthenticated", MG_REFUSED, "auth" },
    { RCPT, "550 5.1.1 blocked using spamcop", MG_REFUSED, "blocked" },
    { DATA, "554 5.5.1 no valid recipients", MG_REFUSED, "protocol" },
    { END, "550 5.7.1 spam", MG_REFUSED, "spam" },
    { END, "554 5.6.0 virus found", MG_REFUSED, "content" },
    { END, "550 no", MG_REFUSED, "policy" },
    { END, "552 5.3.4 message too large", MG_REFUSED, "size" },
    { END, "554 5.4.6 too many hops", MG_REFUSED, "loop" },
    { HOME, "553 5.6.7 mx does not offer SMTPUTF8", MG_REFUSED, "protocol" },
    { HOME, "552 5.3.4 message of 9 octets is over the limit", MG_REFUSED,
      "size" },
    /* temporary */
    { RCPT, "451 4.7.1 try again later", MG_SOFT, "policy" },
    { RCPT, "450 4.2.0 Greylisted, see http://x", MG_SOFT, "greylist" },
    { RCPT, "421 4.7.28 too much mail", MG_SOFT, "rate" },
    { RCPT, "452 4.2.2 over quota", MG_SOFT, "full" },
    { RCPT, "450 4.1.1 user unknown", MG_SOFT, "unknown" },
    { RCPT, "552 5.2.2 mailbox full", MG_SOFT, "full" },
    { END, "552 5.2.2 mailbox full", MG_SOFT, "full" },
    { RCPT, "552 sorry", MG_SOFT, "full" },
    { NONE, "421 busy", MG_SOFT, "rate" },
    { NONE, "499 4.4.1 connect to mx: Connection refused", MG_SOFT,
      "network" },
    { NONE, "499 4.7.5 TLS could not be started", MG_SOFT, "tls" },
    { NONE, "498 4.4.3 the MX of x could not be asked", MG_SOFT, "dns" },
    { RCPT, "451 a", MG_SOFT, "other" },
    /* as providers and servers say it */
    { RCPT, "550-5.1.1 The email account that you tried to reach does not "
      "exist. Please try",
      MG_HARD, "unknown" },
    { RCPT, "550 5.2.1 The email account that you tried to reach is "
      "disabled",
      MG_HARD, "inactive" },
    { RCPT, "452 4.2.2 The email account that you tried to reach is over "
      "quota",
      MG_SOFT, "full" },
    { RCPT, "450-4.2.1 The user you are trying to contact is receiving mail "
      "too quickly",
      MG_SOFT, "rate" },
    { RCPT, "550-5.2.1 The user you are trying to contact is receiving mail "
      "at a rate that prevents",
      MG_REFUSED, "rate" },
    { END, "550-5.7.1 [192.0.2.1 12] Our system has detected that this "
      "message is likely unsolicited mail",
      MG_REFUSED, "spam" },
    { END, "421-4.7.0 [192.0.2.1 15] Our system has detected an unusual "
      "rate of unsolicited mail originating from your IP address",
      MG_SOFT, "rate" },
    { END, "550-5.7.26 This mail has been blocked because the sender is "
      "unauthenticated",
      MG_REFUSED, "auth" },
    { END, "552-5.7.0 This message was blocked because its content "
      "presents a potential security issue",
      MG_REFUSED, "content" },
    { END, "550-5.7.25 The IP address sending this message does not have a "
      "PTR record",
      MG_REFUSED, "blocked" },
    { RCPT, "550 5.5.0 Requested action not taken: mailbox unavailable "
      "(S2017062302)",
      MG_HARD, "unknown" },
    { RCPT, "550 5.4.1 Recipient address rejected: Access denied. "
      "AS(201806281)",
      MG_HARD, "unknown" },
    { LATER, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found "
      "by SMTP address lookup",
      MG_HARD, "unknown" },
    { LATER, "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found",
      MG_HARD, "unknown" },
    { LATER, "550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized",
      MG_REFUSED, "policy" },
    { NONE, "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't "
      "sent. Please contact your Internet service provider since part "
      "of their network is on our block list (S3140).",
      MG_REFUSED, "blocked" },
    { RCPT, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]",
      MG_REFUSED, "blocked" },
    { RCPT, "550 5.7.708 Service unavailable. Access denied, traffic not "
      "accepted from this IP",
      MG_REFUSED, "blocked" },
    { RCPT, "451 4.7.500 Server busy. Please try again later from "
      "[192.0.2.1]. (AS77712)",
      MG_SOFT, "rate" },
    { RCPT, "550 5.7.520 Access denied, Your organization does not allow "
      "external forwarding",
      MG_REFUSED, "policy" },
    { END, "550 5.7.501 Service unavailable. Access denied, spam abuse "
      "detected from",
      MG_REFUSED, "spam" },
    { RCPT, "452 4.5.3 Too many recipients",
      MG_SOFT, "rate" },
    { LATER, "554 5.2.2 mailbox full; "
      "STOREDRV.Deliver.Exception:QuotaExceededException",
      MG_SOFT, "full" },
    { NONE, "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred "
      "due to user complaints - 4.16.55.1",
      MG_SOFT, "blocked" },
    { RCPT, "554 delivery error: dd This user doesn't have a yahoo.test "
      "account (a@yahoo.test) [0]",
      MG_HARD, "unknown" },
    { END, "554 Message not allowed - [PH01] Email not accepted for policy "
      "reasons.",
      MG_REFUSED, "policy" },
    { END, "554 5.7.9 Message not accepted for policy reasons",
      MG_REFUSED, "policy" },
    { NONE, "554-gmx.test (mxgmx015) Nemesis ESMTP Service not available No "
      "SMTP service Bad DNS PTR resource record.",
      MG_REFUSED, "blocked" },
    { RCPT, "550 Requested action not taken: mailbox unavailable",
      MG_HARD, "unknown" },
    { RCPT, "552-Requested mail action aborted: exceeded storage allocation",
      MG_SOFT, "full" },
    { END, "554-Transaction failed Reject due to policy restrictions.",
      MG_REFUSED, "policy" },
    { NONE, "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster "
      "for help or to contact tosa@rx.t-online.test to clarify.)",
      MG_REFUSED, "blocked" },
    { RCPT, "550 5.1.1 unknown or illegal alias: a@icloud.test",
      MG_HARD, "unknown" },
    { RCPT, "550 5.1.1 Not our Customer",
      MG_HARD, "unknown" },
    { END, "554 resimta-po-03v.sys.test 192.0.2.1 Comcast block for spam. "
      "BL004 Blocked for spam.",
      MG_REFUSED, "blocked" },
    { RCPT, "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid "
      "recipient. OFR204_416 [416]",
      MG_HARD, "unknown" },
    { NONE, "421 4.7.1 Too many connections, slow down. OFR004_104 [104]",
      MG_SOFT, "rate" },
    { NONE, "550 5.5.0 Service refused, please try later. OFR_506 [506]",
      MG_REFUSED, "policy" },
    { RCPT, "550 spam detected, too many spams from your IP, see "
      "postmaster.free.test",
      MG_REFUSED, "blocked" },
    { RCPT, "550 Message was not accepted -- invalid mailbox. Local mailbox "
      "a@mail.test is unavailable: user not found",
      MG_HARD, "unknown" },
    { RCPT, "550 Message was not accepted -- invalid mailbox. Local mailbox "
      "a@mail.test is unavailable: account is disabled",
      MG_HARD, "unknown" },
    { END, "550 spam message rejected. Please visit "
      "http://help.mail.test/notspam-support",
      MG_REFUSED, "spam" },
    { END, "554 5.7.1 [2] Message rejected under suspicion of SPAM; "
      "https://ya.test/spam",
      MG_REFUSED, "spam" },
    { RCPT, "550 5.7.1 No such user!",
      MG_HARD, "unknown" },
    { RCPT, "550 Mailbox not found. "
      "http://service.mail.test/cgi-bin/help?subtype=1",
      MG_HARD, "unknown" },
    { NONE, "550 Connection frequency limited",
      MG_REFUSED, "rate" },
    { END, "554 DT:SPM 163 smtp10,x,1 http://mail.163.test/help",
      MG_REFUSED, "spam" },
    { RCPT, "550 User suspended",
      MG_HARD, "inactive" },
    { RCPT, "550 5.7.1 Client host rejected: cannot find your reverse "
      "hostname, [192.0.2.1]",
      MG_REFUSED, "blocked" },
    { RCPT, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked "
      "using zen.spamhaus.org",
      MG_REFUSED, "blocked" },
    { RCPT, "450 4.1.8 <me@d.test>: Sender address rejected: Domain not "
      "found",
      MG_SOFT, "policy" },
    { RCPT, "550 5.1.8 <me@d.test>: Sender address rejected: Domain not "
      "found",
      MG_REFUSED, "policy" },
    { RCPT, "550 5.1.0 <me@d.test>: Sender address rejected: User unknown",
      MG_REFUSED, "policy" },
    { RCPT, "450 4.2.0 <a@x.test>: Recipient address rejected: Greylisted, "
      "see http://postgrey.schweikert.test",
      MG_SOFT, "greylist" },
    { RCPT, "451 4.7.1 Greylisting in action, please come back later",
      MG_SOFT, "greylist" },
    { RCPT, "451 Internal resources are temporarily unavailable - "
      "https://community.mimecast.test/docs/DOC-1369#451",
      MG_SOFT, "greylist" },
    { RCPT, "550 #5.1.0 Address rejected.",
      MG_HARD, "unknown" },
    { RCPT, "550 #5.7.1 Your access to this mail system has been rejected "
      "due to the sending MTA's poor reputation.",
      MG_REFUSED, "blocked" },
    { END, "550 5.7.0 Local Policy Violation - x",
      MG_REFUSED, "policy" },
    { NONE, "421 Ip blocked: refer to "
      "https://ipcheck.proofpoint.test/?ip=192.0.2.1",
      MG_SOFT, "blocked" },
    { RCPT, "550 Rejected by header based Anti-Spoofing policy: me@d.test",
      MG_REFUSED, "auth" },
    { RCPT, "550 Administrative prohibition - envelope blocked",
      MG_REFUSED, "blocked" },
    { END, "550 permanent failure for one or more recipients "
      "(a@x.test:blocked)",
      MG_REFUSED, "policy" },
    { RCPT, "550 sorry, no mailbox here by that name (#5.1.1)",
      MG_HARD, "unknown" },
    { RCPT, "553 sorry, that domain isn't in my list of allowed rcpthosts "
      "(#5.7.1)",
      MG_REFUSED, "policy" },
    { RCPT, "550 Unrouteable address",
      MG_HARD, "unknown" },
    { RCPT, "550 5.1.1 <a@x.test>: Recipient address rejected: User unknown "
      "in local recipient table",
      MG_HARD, "unknown" },
    { RCPT, "550 5.1.1 <a@x.test>: Recipient address rejected: "
      "undeliverable address: host mx said",
      MG_HARD, "unknown" },
    { RCPT, "550 5.1.2 <a@x.test>... Host unknown (Name server: x.test: "
      "host not found)",
      MG_HARD, "dns" },
    { RCPT, "550 a@x.test... No such user",
      MG_HARD, "unknown" },
    { LATER, "550 5.0.0 User bob (bob@x.test) not listed in Domino Directory",
      MG_HARD, "unknown" },
    { RCPT, "550 relay not permitted",
      MG_REFUSED, "relay" },
    { END, "554 5.4.0 Error: too many hops",
      MG_REFUSED, "loop" },
    { MAIL, "530 5.7.0 Must issue a STARTTLS command first",
      MG_REFUSED, "tls" },
    { RCPT, "451 4.3.0 Temporary lookup failure",
      MG_SOFT, "other" },
    { RCPT, "452 4.3.1 Insufficient system storage",
      MG_SOFT, "full" },
    { END, "552 5.3.4 Message size exceeds fixed limit",
      MG_REFUSED, "size" },
    { END, "554 5.7.1 Message contains a link listed by URIBL",
      MG_REFUSED, "spam" },
};

static void test_classify(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        mg_bounce_t b = mg_bounce_classify(cases[i].stage,
                                           atoi(cases[i].reply),
                                           cases[i].reply, 0);

        if (b.severity != cases[i].severity
            || strcmp(b.name, cases[i].name) != 0)
            fail_msg("%d %s: %d %s", cases[i].stage, cases[i].reply,
                     b.severity, b.name);
    }
}

/* "No MX" has a 4 in front, and is for good. */
static void test_permanent(void **state)
{
    mg_bounce_t b = mg_bounce_classify(NONE, 498, "498 No MX for x.test", 1);

    (void)state;
    assert_int_equal(b.severity, MG_HARD);
    assert_string_equal(b.name, "dns");
    b = mg_bounce_classify(RCPT, 550, NULL, 0);
    assert_int_equal(b.severity, MG_HARD);
    b = mg_bounce_classify(RCPT, 0, "", 0);
    assert_int_equal(b.severity, MG_SOFT);
}

static const struct {
    const char *reply, *enhanced;
} enhanced[] = {
    { "550 5.1.1 no", "5.1.1" },     { "550-5.1.10 no", "5.1.10" },
    { "5.1.1", "5.1.1" },            { "550 5.1.1", "5.1.1" },
    { "550 5.1.1: no", "5.1.1" },    { "550 5.1", "" },
    { "550 5.1.", "" },              { "550 5.1.1.1", "" },
    { "550 5.1.1x", "" },            { "550 6.1.1", "" },
    { "550 5.1.1111", "" },          { "550 5..1", "" },
    { "550 555.1.1", "" },           { "550", "" },
    { "", "" },                      { NULL, "" },
    { "550 5.123.123 x", "5.123.123" }, { "550: 5.1.1 x", "5.1.1" },
    { "550 #5.1.0 no", "5.1.0" },    { "550 sorry (#5.1.1)", "5.1.1" },
    { "550 (#5.1) (#4.2.2)", "4.2.2" }, { "550 sorry (#5.1.1", "" },
};

static void test_enhanced(void **state)
{
    char found[MG_ENHANCED_LEN];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(enhanced); i++) {
        mg_bounce_enhanced(found, enhanced[i].reply);
        if (strcmp(found, enhanced[i].enhanced) != 0)
            fail_msg("%s: '%s'", enhanced[i].reply, found);
    }
}

UNIT_MAIN(cmocka_unit_test(test_classify), cmocka_unit_test(test_permanent),
          cmocka_unit_test(test_enhanced))
