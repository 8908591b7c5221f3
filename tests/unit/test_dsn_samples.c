/* test_dsn_samples.c - reports in the words of other servers (tests/data/dsn),
 * and what they are taken for. */
#include <stdio.h>

#include "unit_pool.h"
#include "mg_bounce.h"
#include "mg_dsn.h"
#include "mg_mime.h"

static const struct {
    const char *file;
    mg_dsn_kind_t kind;
    int n;
    /* of the report about bob, then about ann, then tom */
    struct {
        mg_dsn_action_t action;
        int code;
        const char *words;       /* begin of the text */
        mg_severity_t severity;
        const char *class;
    } want[3];
} cases[] = {
    { "office365", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 550, "550 5.1.10 RESOLVER.ADR.RecipientNotFound",
          MG_HARD, "unknown" } } },
    { "office365_blocked", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 550, "550 5.7.606 Access denied, banned sending IP",
          MG_REFUSED, "blocked" } } },
    { "exchange2010", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 550, "550 5.2.2 STOREDRV.Deliver: mailbox full",
          MG_SOFT, "full" } } },
    { "exchange2003", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 550, "550 5.1.1", MG_HARD, "unknown" } } },
    { "gmail", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 550, "550 5.1.1 <bob@x.test>: Recipient address "
          "rejected: User unknown", MG_HARD, "unknown" } } },
    { "gmail_delay", MG_DSN_REPORT, 1, {
        { MG_DSN_DELAYED, 450, "450 4.4.1 The recipient server did not accept",
          MG_SOFT, "network" } } },
    { "gmail_old", MG_DSN_GUESS, 1, {
        { MG_DSN_FAILED, 550, "550 5.1.1 <bob@x.test>: Recipient address",
          MG_HARD, "unknown" } } },
    { "exim_remote", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 550, "550-5.1.1 The email account that you tried",
          MG_HARD, "unknown" } } },
    { "exim_plain", MG_DSN_GUESS, 2, {
        { MG_DSN_FAILED, 550, "550 Unrouteable address", MG_HARD, "unknown" },
        { MG_DSN_FAILED, 552, "552 5.2.2 mailbox full", MG_SOFT, "full" } } },
    { "qmail", MG_DSN_GUESS, 1, {
        { MG_DSN_FAILED, 550, "550 5.1.1 Sorry, no mailbox here by that name.",
          MG_HARD, "unknown" } } },
    { "qmail_remote", MG_DSN_GUESS, 3, {
        { MG_DSN_FAILED, 550, "550 5.7.1 Service unavailable; Client host",
          MG_REFUSED, "blocked" },
        { MG_DSN_FAILED, 550, "550 5.1.2 Sorry, I couldn't find any host",
          MG_HARD, "dns" },
        { MG_DSN_FAILED, 450, "450 4.4.1 Sorry, I wasn't able to establish",
          MG_SOFT, "network" } } },
    { "yahoo", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 554, "554 5.0.0 delivery error: dd This user doesn't",
          MG_HARD, "unknown" } } },
    { "yahoo_plain", MG_DSN_GUESS, 1, {
        { MG_DSN_FAILED, 550, "550 5.2.1 <bob@x.test>... Mailbox disabled",
          MG_HARD, "inactive" } } },
    { "gmx", MG_DSN_GUESS, 1, {
        { MG_DSN_FAILED, 550, "550-Requested action not taken: mailbox "
          "unavailable 550 Unknown", MG_HARD, "unknown" } } },
    { "webde_de", MG_DSN_GUESS, 1, {
        { MG_DSN_FAILED, 554, "554 5.7.1 spam message rejected", MG_REFUSED,
          "spam" } } },
    { "sendmail", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 550, "550 5.1.1 <bob@x.test>... User unknown",
          MG_HARD, "unknown" } } },
    { "sendmail_plain", MG_DSN_GUESS, 1, {
        { MG_DSN_FAILED, 550, "550 5.1.2 <bob@x.test>... Host unknown",
          MG_HARD, "dns" } } },
    { "sendmail_warning", MG_DSN_REPORT, 1, {
        { MG_DSN_DELAYED, 450, "450 4.2.0", MG_SOFT, "other" } } },
    { "domino", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 550, "550 5.1.1 User bob (bob@x.test) not listed in "
          "Domino Directory", MG_HARD, "unknown" } } },
    { "domino_no_status", MG_DSN_GUESS, 1, {
        { MG_DSN_FAILED, 550, "550 DELIVERY FAILURE: User bob", MG_HARD,
          "unknown" } } },
    { "postfix_expired", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 450, "450 4.4.1 connect to mx.x.test", MG_SOFT,
          "network" } } },
    { "opensmtpd", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 550, "550 5.7.26 Unauthenticated email", MG_REFUSED,
          "auth" } } },
    { "hmailserver", MG_DSN_GUESS, 1, {
        { MG_DSN_FAILED, 550, "550 5.2.2 The mailbox is over quota", MG_SOFT,
          "full" } } },
    { "amazonses", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 550, "550 5.1.1 user unknown", MG_HARD,
          "unknown" } } },
    { "utf8", MG_DSN_REPORT, 1, {
        { MG_DSN_FAILED, 550, "550 5.1.1 unbekannter Empf\xc3\xa4nger",
          MG_HARD, "unknown" } } },
};

/* As it arrives: with CRLF. */
static char *read_sample(const char *name, apr_size_t *plen)
{
    char *path = apr_pstrcat(pool, "tests/data/dsn/", name, ".eml", NULL);
    char *bytes = apr_palloc(pool, 32768);
    FILE *f = fopen(path, "r");
    size_t len;

    if (!f)
        fail_msg("%s cannot be read", path);
    len = fread(bytes, 1, 32767, f);
    fclose(f);
    assert_true(len > 0 && len < 32767);
    return mg_mime_crlf(bytes, len, plen, pool);
}

static void test_samples(void **state)
{
    static const char *const who[] = { "bob@", "ann@", "tom@" };
    const mg_dsn_report_t *r;
    mg_bounce_t bounce;
    apr_size_t len;
    mg_dsn_t dsn;
    char *bytes;
    size_t i;
    int k;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        bytes = read_sample(cases[i].file, &len);
        mg_dsn_read(&dsn, bytes, len, pool);
        if (dsn.kind != cases[i].kind || dsn.reports->nelts != cases[i].n)
            fail_msg("%s: kind %d, %d reports", cases[i].file, dsn.kind,
                     dsn.reports->nelts);
        for (k = 0; k < cases[i].n; k++) {
            r = &APR_ARRAY_IDX(dsn.reports, k, mg_dsn_report_t);
            bounce = mg_bounce_classify(MG_STAGE_LATER, r->code, r->text,
                                        r->code >= 500);
            if (r->action != cases[i].want[k].action
                || r->code != cases[i].want[k].code
                || strncmp(r->text, cases[i].want[k].words,
                           strlen(cases[i].want[k].words)) != 0
                || bounce.severity != cases[i].want[k].severity
                || strcmp(bounce.name, cases[i].want[k].class) != 0)
                fail_msg("%s: action %d, code %d, '%s', severity %d, %s",
                         cases[i].file, r->action, r->code, r->text,
                         bounce.severity, bounce.name);
            if (strcmp(cases[i].file, "utf8") != 0
                && (!r->recipient || strncmp(r->recipient, who[k], 4) != 0))
                fail_msg("%s: about '%s'", cases[i].file,
                         r->recipient ? r->recipient : "");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_samples) };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    mg_mime_init();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
