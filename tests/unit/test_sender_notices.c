/* test_sender_notices.c - who is no longer written to after a result, and who
 * is told of it (RFC 3461, 3464). */
#include "unit_sender.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mg_log.h"
#include "mg_suppression.h"

/* Hard: one attempt, and in the table; not for a refusal of another kind. */
static void test_bounce_table(void **state)
{
    unit_sender_t *b = unit_sender(state);

    unit_mail_to(b, "bounce@x.test,spam@x.test");
    unit_mail_to(b, "bounce@y.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed'"), 3);
    assert_int_equal(unit_rows(b, "bounce"), 2);
    assert_int_equal(unit_rows(b, "bounce WHERE code = '550' AND class ="
                               " 'unknown' AND error ="
                               " '550 5.1.1 no such user' AND"
                               " address_lc IN ('bounce@x.test',"
                               " 'bounce@y.test')"), 2);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed' AND detail LIKE"
                               " '%\"class\":\"spam\"%'"), 1);
    /* from now on it is not even tried */
    unit_mail_to(b, "Bounce@X.test,ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'dropped' AND detail LIKE"
                               " '{\"code\":605,\"reply\":\"Not delivering to"
                               " previously bounced address\","
                               "\"reason\":\"hardfail\",%'"), 1);
    unit_fsck(b->store, 0, NULL);
}

/* A full mailbox is temporary, whatever digits its server uses. */
static void test_full_is_soft(void **state)
{
    unit_sender_t *b = unit_sender(state);

    unit_mail_to(b, "full@x.test");
    unit_await(b, "delivery WHERE attempts = 1", 1);
    assert_int_equal(unit_rows(b, "bounce"), 0);
    assert_string_equal(unit_text(b, "SELECT last_reply FROM delivery"),
                        "552 5.2.2 mailbox full");
}

/* Mail that comes in is delivered, whoever is in the tables. */
static void test_suppressed(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mg_suppression_t entry = { .kind = MG_COMPLAINED,
                               .address = "ok@x.test" };
    apr_pool_t *p = b->store->p;
    mg_db_t *db = b->look;

    unit_store_ok(db, mg_suppression_add(db, b->domain_id, &entry, p));
    entry.kind = MG_UNSUBSCRIBED;
    entry.address = "out@x.test";
    unit_store_ok(db, mg_suppression_add(db, b->domain_id, &entry, p));
    entry.address = "bob@a.test";
    unit_store_ok(db, mg_suppression_add(db, b->domain_id, &entry, p));
    unit_mail_to(b, "bob@a.test,ok@x.test"); /* incoming */
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind IN ('mailbox', 'posted')"),
                     2);
    unit_mail_to(b, "ok@x.test,out@x.test,ok@y.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(unit_rows(b, "event WHERE detail LIKE '%\"code\":607,%'"),
                     1);
    assert_int_equal(unit_rows(b, "event WHERE detail LIKE '%\"code\":606,%'"),
                     1);
    /* the null sender is a customer's too */
    b->sender = "";
    b->method = "smtp";
    unit_mail_to(b, "ok@x.test,bounce@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(unit_rows(b, "bounce"), 1);
    b->sender = NULL;
    unit_store_ok(db, mg_suppression_remove(db, b->domain_id, MG_COMPLAINED,
                                            "ok@x.test", NULL, p));
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 2);
}

/* Who sent by SMTP is told; a sender in a domain of ours by mailbox. */
static void test_notices(void **state)
{
    static const struct {
        const char *to, *method, *sender, *payload;
        const char *action;         /* of the report; NULL: there is none */
    } cases[] = {
        { "bounce@x.test", "smtp", "bob@a.test", NULL, "failed" },
        { "bounce@x.test", "smtp", "bob@a.test", "{\"notify\":\"NEVER\"}",
          NULL },
        { "bounce@x.test", "smtp", "bob@a.test", "{\"notify\":\"SUCCESS\"}",
          NULL },
        { "bounce@x.test", "smtp", "", NULL, NULL },
        { "bounce@x.test", "http", "bob@a.test", NULL, NULL },
        { "ok@x.test", "smtp", "bob@a.test", NULL, NULL },
        { "ok@x.test", "smtp", "bob@a.test",
          "{\"notify\":\"SUCCESS,FAILURE\"}", "relayed" },
        { "bob@a.test", "smtp", "bob@a.test", "{\"notify\":\"SUCCESS\"}",
          "delivered" },
        { "bob@a.test", "smtp", "bob@a.test", NULL, NULL },
    };
    unit_sender_t *b = unit_sender(state);
    apr_pool_t *p = b->store->p;
    mg_db_t *db = b->look;
    int before, own, more;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unit_store_ok(db, mg_suppression_forget(&more, db, b->domain_id));
        b->method = cases[i].method;
        b->sender = cases[i].sender;
        b->payload = cases[i].payload;
        before = b->lmtp->messages;
        own = strcmp(cases[i].to, "bob@a.test") == 0;
        unit_mail_to(b, cases[i].to);
        unit_await(b, "delivery", 0);
        if (b->lmtp->messages != before + own + (cases[i].action != NULL))
            fail_msg("case %d: %d messages", (int)i, b->lmtp->messages);
        if (!cases[i].action)
            continue;
        assert_non_null(strstr(b->lmtp->seen[before + own], "MAIL FROM:<>"));
        assert_non_null(strstr(b->lmtp->contents[before + own],
                               apr_pstrcat(p, "\r\nAction: ",
                                           cases[i].action, "\r\n", NULL)));
        assert_non_null(strstr(b->lmtp->contents[before + own],
                               "\r\nSubject: hello\r\n"));
    }
    unit_fsck(b->store, 0, NULL);
}

/* What a route forwards has a sender of ours that leads back to its own, and
 * what that one asked for; where the next server offers no DSN, we say that it
 * was handed on. */
static void test_dsn_goes_along(void **state)
{
    unit_sender_t *b = unit_sender(state);
    int dsn;

    b->mx->hang_up_after_message = 1;
    for (dsn = 1; dsn >= 0; dsn--) {
        b->mx->dsn = dsn;
        b->method = "smtp";
        b->sender = "writer@z.test";
        b->payload = "{\"notify\":\"SUCCESS\","
                     "\"orcpt\":\"rfc822;a@a.test\"}";
        b->options = "{\"dsn\":{\"ret\":\"HDRS\",\"envid\":\"id7\"}}";
        unit_mail_to(b, dsn ? "bob@a.test,ok@x.test" : "bob@a.test,ok@y.test");
        unit_await(b, "delivery", 0);
        /* two at Dovecot's: mailbox "delivered" notices go out to z.test */
        assert_int_equal(unit_rows(b, "message WHERE method = 'dsn'"),
                         dsn ? 1 : 3);
    }
    assert_non_null(strstr(b->mx->seen[0], "MAIL FROM:<SRS0="));
    assert_non_null(strstr(b->mx->seen[0], "=z.test=writer@a.test> RET=HDRS"
                                           " ENVID=id7|RCPT TO:<ok@x.test>"
                                           " NOTIFY=SUCCESS"
                                           " ORCPT=rfc822;a@a.test|"));
    b->options = NULL;
}

/* To a sender elsewhere it goes from <>; that it bounces is told nobody. */
static void test_notice_outside(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->method = "smtp";
    b->sender = "bounce@y.test";
    unit_mail_to(b, "spam@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "message"), 2);
    assert_int_equal(unit_rows(b, "message WHERE method = 'dsn' AND"
                               " sender = ''"),
                     1);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed'"), 2);
    assert_int_equal(unit_rows(b, "bounce"), 0);
    b->sender = "ok@y.test";
    unit_mail_to(b, "spam@x.test");
    unit_await(b, "delivery", 0);
    assert_non_null(strstr(b->mx->seen[b->mx->messages - 1],
                           "MAIL FROM:<>|RCPT TO:<ok@y.test>|"));
}

/* Mail from outside in somebody's name does not flood him. */
static void test_notices_are_few(void **state)
{
    unit_sender_t *b = unit_sender(state);
    int i;

    b->method = "smtp";
    b->sender = apr_psprintf(b->store->p, "ok%d@y.test", (int)getpid());
    mg_log_set_level(MG_LOG_WARN);
    for (i = 0; i < NOTICE_AN_HOUR + 5; i++)
        unit_mail_to(b, "bob@a.test,spam@x.test");
    unit_await(b, "delivery", 0);
    assert_true(unit_rows(b, "message WHERE method = 'dsn'") <= NOTICE_AN_HOUR);
    assert_true(unit_rows(b, "message WHERE method = 'dsn'") > 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'forward_failed'"),
                     NOTICE_AN_HOUR + 5);
}

/* After four hours, and once. */
static void test_notice_of_delay(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->method = "smtp";
    b->sender = "bob@a.test";
    b->payload = "{\"notify\":\"DELAY\"}";
    b->config.retry_limit = apr_time_from_sec(86400);
    unit_mail_to(b, "defer@x.test");
    unit_await(b, "delivery WHERE attempts = 1", 1);
    assert_int_equal(unit_rows(b, "message"), 1);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET"
                                      " created_at = created_at -"
                                      " 15000000000", ""));
    unit_await(b, "message", 2);
    unit_await(b, "event WHERE kind = 'delivered'", 1);
    assert_non_null(strstr(b->lmtp->contents[0], "\r\nAction: delayed\r\n"));
    unit_await(b, "delivery WHERE attempts >= 5", 1);
    assert_int_equal(unit_rows(b, "message"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(test_bounce_table),
        UNIT_ON_BOTH(test_full_is_soft),
        UNIT_ON_BOTH(test_suppressed),
        UNIT_ON_BOTH(test_notices),
        UNIT_ON_BOTH(test_dsn_goes_along),
        UNIT_ON_BOTH(test_notice_outside),
        UNIT_ON_BOTH(test_notice_of_delay),
        UNIT_ON_SQLITE(test_notices_are_few),
    };

    mg_log_set_level(getenv("UNIT_LOG") ? MG_LOG_DEBUG : MG_LOG_ERR);
    return unit_store_run("sender_notices", tests);
}
