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
    { "550 5.123.123 x", "5.123.123" },
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
