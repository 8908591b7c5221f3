/* test_sender.c - what the sender role delivers, and what becomes of what it
 * cannot: one transaction, one result each. */
#include "unit_sender.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_verp.h"

static void test_delivered(void **state)
{
    unit_sender_t *b = unit_sender(state);
    apr_int64_t id;
    char address[200];
    unsigned char key[32];
    mg_verp_t verp;

    id = unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(b->mx->messages, 1);
    assert_non_null(strstr(b->mx->contents[0], "X-Mailgun-Sid: "));
    assert_non_null(strstr(b->mx->contents[0],
                           "Subject: hello\r\n\r\n.dot\r\n"));
    assert_int_equal(sscanf(b->mx->seen[0], "MAIL FROM:<%199[^@]@a.test>",
                            address), 1);
    assert_int_equal(mg_secret_derive(key, b->worker.secret, "verp"),
                     APR_SUCCESS);
    assert_int_equal(mg_verp_read(&verp, key, address, "a.test"),
                     APR_SUCCESS);
    assert_true(verp.message_id == id);
    assert_true(mg_verp_is_for(&verp, key, "OK@x.test"));
    assert_non_null(strstr(unit_text(b, "SELECT detail FROM event WHERE kind = "
                                     "'delivered'"), "250 2.0.0 queued as 1"));
    /* everything that was held is let go */
    assert_int_equal(b->s->nheld, 0);
    assert_int_equal(apr_hash_count(b->s->messages), 0);
    assert_int_equal(b->s->content_bytes, 0);
}

static void test_connection_is_reused(void **state)
{
    unit_sender_t *b = unit_sender(state);
    int i;

    for (i = 0; i < 20; i++) {
        unit_mail_to(b, "ok@x.test");
        unit_await(b, "delivery", 0);
    }
    assert_int_equal(b->mx->messages, 20);
    assert_int_equal(b->mx->sessions, 1);
}

static void test_many(void **state)
{
    unit_sender_t *b = unit_sender(state);
    int i;

    for (i = 0; i < 250; i++)
        unit_mail_to(b, apr_psprintf(b->store->p, "ok@%d.test", i % 7));
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 250);
    assert_int_equal(b->mx->messages, 250);
    assert_true(b->mx->sessions <= 4);
}

static void test_shared_transaction(void **state)
{
    unit_sender_t *b = unit_sender(state);

    unit_mail_to(b, "ok1@x.test,bounce@x.test,ok2@x.test,defer@x.test");
    unit_await(b, "delivery", 1);
    assert_int_equal(b->mx->messages, 1);
    assert_non_null(strstr(b->mx->seen[0],
                           "RCPT TO:<ok1@x.test>|RCPT TO:<ok2@x.test>|"));
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 2);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed'"), 1);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed_temp'"), 1);
    assert_string_equal(unit_text(b, "SELECT last_reply FROM delivery"),
                        "451 4.7.1 later");
    assert_int_equal(unit_store_int(b->look, "SELECT attempts FROM delivery"),
                     1);
    /* nobody learns of another */
    assert_null(strstr(b->mx->seen[0], "ok1=x.test"));
    assert_non_null(strstr(b->mx->seen[0], "-x.test@a.test>"));
    /* several destinations of one server: the address is bound to none */
    unit_mail_to(b, "ok1@x.test,ok2@y.test");
    unit_await(b, "event WHERE kind = 'delivered'", 4);
    assert_non_null(strstr(b->mx->seen[1], "-@a.test>|RCPT TO:<ok1@x.test>|"
                                           "RCPT TO:<ok2@y.test>|"));
}

static void test_deferred_comes_again(void **state)
{
    unit_sender_t *b = unit_sender(state);

    unit_mail_to(b, "defer@x.test");
    unit_await(b, "delivery WHERE attempts = 2", 1);
    unit_await(b, "delivery WHERE attempts = 3", 1);
    assert_true(unit_rows(b, "event WHERE kind = 'failed_temp'") >= 3);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed'"), 0);
}

static void test_content_refused(void **state)
{
    unit_sender_t *b = unit_sender(state);

    unit_mail_to(b, "spam@x.test");
    unit_await(b, "delivery", 0);
    assert_non_null(strstr(unit_text(b, "SELECT detail FROM event WHERE kind = "
                                     "'failed'"), "550 5.7.1 spam"));
}

static void test_host_down(void **state)
{
    unit_sender_t *b = unit_sender(state);

    /* closed for long enough that a slow machine still sees it so */
    APR_ARRAY_IDX(b->config.retry, 0, apr_interval_time_t) =
        apr_time_from_sec(3);
    unit_mail_to(b, "ok@down.test");
    unit_await(b, "delivery WHERE attempts = 1", 1);
    assert_int_equal(strncmp(unit_text(b, "SELECT last_reply FROM delivery"),
                             "499 4.4.1 ", 10), 0);
    /* while it is closed nothing is tried, and others go on */
    unit_mail_to(b, "late@down.test");
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "event WHERE kind = 'delivered'", 1);
    assert_int_equal(unit_rows(b, "delivery WHERE recipient = 'late@down.test'"
                               " AND claimed_by = 0 AND attempts = 0"), 1);
    /* and it comes again in its time: either it is the one that finds the
     * host down, or the other one was first, and it waits once more */
    unit_await(b, "delivery WHERE recipient = 'late@down.test' AND"
                  " (attempts > 0 OR claim_no > 1)", 1);
}

static void test_busy_greeting(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->mx->busy = "421 busy\r\n";
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery WHERE attempts = 1", 1);
    assert_string_equal(unit_text(b, "SELECT last_reply FROM delivery"),
                        "421 busy");
    b->mx->busy = NULL;
    unit_await(b, "delivery", 0);
}

static void test_expired(void **state)
{
    unit_sender_t *b = unit_sender(state);
    const char *found;

    b->config.retry_limit = apr_time_from_msec(100);
    unit_mail_to(b, "defer@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'dropped'"), 1);
    found = unit_text(b, "SELECT detail FROM event WHERE kind = 'dropped'");
    assert_non_null(strstr(found, "451 4.7.1 later"));
    assert_non_null(strstr(found, "\"reason\":\"maxfails\""));
    assert_int_equal(unit_rows(b, "bounce"), 0);
}

static void test_closed_behind_our_back(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->mx->hang_up_after_message = 1;
    unit_mail_to(b, "ok@x.test");
    unit_mail_to(b, "ok@x.test");
    unit_mail_to(b, "ok@x.test");
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 4);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed_temp'"), 0);
    assert_int_equal(b->mx->messages, 4);
}

static void test_lmtp(void **state)
{
    unit_sender_t *b = unit_sender(state);

    unit_mail_to(b, "bob+x@a.test,bob@a.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(b->lmtp->messages, 2); /* one delivery each */
    assert_string_equal(b->lmtp->seen[0],
                        "MAIL FROM:<me@a.test>|RCPT TO:<Bob@a.test>|");
    assert_int_equal(strncmp(b->lmtp->contents[0],
                             "X-Mailgun-Delivery-Id: ", 23), 0);
    assert_null(strstr(b->lmtp->contents[0], "X-Mailgun-Sid"));
    assert_int_equal(unit_rows(b, "event WHERE kind = 'mailbox'"), 2);

    unit_store_ok(b->look, mg_mailbox_delete(b->look, b->mailbox_id));
    mg_shared_bump(b->worker.shared);
    unit_mail_to(b, "bob@a.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(b->lmtp->messages, 2);
    assert_non_null(strstr(unit_text(b, "SELECT detail FROM event WHERE kind = "
                                     "'failed'"), "550 5.1.1"));
}

static void test_large(void **state)
{
    unit_sender_t *b = unit_sender(state);
    apr_size_t len = 700 * 1024, i, top;
    char *content = apr_palloc(b->store->p, len);

    memset(content, 'x', len);
    memcpy(content, "Subject: l\r\n\r\n", 14);
    for (i = 100; i + 3 < len; i += 100)
        memcpy(content + i, "\r\n.", 3);
    memcpy(content + len - 2, "\r\n", 2);
    unit_sender_accept(b, "ok@x.test", content, len);
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 1);
    top = b->mx->lens[0] - len;
    assert_memory_equal(b->mx->contents[0] + top, content, len);
}

/* A transaction that was given up ends with RSET: the next one begins when
 * that was answered, else its recipients get each other's replies. */
static void test_after_reset(void **state)
{
    unit_sender_t *b = unit_sender(state);
    int i;

    b->config.destination_connections = 1;
    for (i = 0; i < 3; i++)
        unit_mail_to(b, apr_psprintf(b->store->p, "bounce%d@x.test", i));
    unit_mail_to(b, "bounce@x.test,ok1@x.test,ok2@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 2);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed'"), 4);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed' AND recipient "
                               "LIKE 'bounce%'"), 4);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed_temp'"), 0);
    assert_int_equal(b->mx->sessions, 1);
}

/* The handshake fails: again in clear, at once, and from then on. */
static void test_broken_tls(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->mx->broken_tls = 1;
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(unit_rows(b, "event"), 2);
    assert_int_equal(b->mx->sessions, 2);
    b->mx->hang_up_after_message = 1;
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 3);
    assert_int_equal(b->mx->sessions, 3);
}

/* x.test has two hosts. */
static mta_site_t *site_of_two(unit_sender_t *b)
{
    static const unsigned int ips[] = { 0x7f000002, INADDR_LOOPBACK };
    mta_site_t *site = unit_site_of_x(b);
    dns_host_t hosts[2];
    int i;

    memset(hosts, 0, sizeof(hosts));
    for (i = 0; i < 2; i++) {
        struct sockaddr_in *in = (struct sockaddr_in *)&hosts[i].addr;

        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(ips[i]);
        hosts[i].addr_len = (int)sizeof(*in);
        hosts[i].name = "mx.x.test";
    }
    mta_route_set(site, hosts, 2, APR_INT64_MAX);
    return site;
}

/* Nobody listens at the first address, the second one takes it; and where
 * neither does, the site is closed. */
static void test_next_host(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mta_site_t *site = site_of_two(b);

    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 1);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed_temp'"), 0);
    /* the bad one comes last for a while: now it would be the second try */
    b->mx->hang_up_after_message = 1;
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    b->mx->busy = "421 busy\r\n";
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery WHERE attempts = 1", 1);
    assert_int_equal(strncmp(unit_text(b, "SELECT last_reply FROM delivery"),
                             "499 4.4.1 ", 10), 0);
    assert_int_equal(site->failures, 1);
}

/* The first host takes nobody now, or nobody ever: the second one is asked (RFC
 * 5321 5.1), and mail is returned only where both say so. */
static void test_next_host_after_a_greeting(void **state)
{
    static const char *const greetings[] = { "421 4.3.2 not now\r\n",
                                             "554 5.3.2 never\r\n" };
    unit_sender_t *b = unit_sender(state);
    unit_mx_t *first = unit_mx_start(b->worker.loop, 0x7f000002, b->mx->port,
                                     b->store->p);
    int i;

    site_of_two(b);
    b->mx->hang_up_after_message = 1;
    for (i = 0; i < 2; i++) {
        first->busy = greetings[i];
        apr_hash_clear(b->s->hosts); /* it is not known as a bad one */
        unit_mail_to(b, "ok@x.test");
        unit_await(b, "delivery", 0);
        assert_int_equal(first->sessions, i + 1);
        assert_int_equal(b->mx->messages, i + 1);
    }
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 2);
    assert_int_equal(unit_rows(b, "event WHERE kind LIKE 'failed%'"), 0);
    b->mx->busy = "421 busy\r\n";
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery WHERE attempts = 1", 1);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed'"), 0);
}

/* 4.7.x to MAIL means us, not the recipient: the third in a row closes the
 * site, for as long as it asks, and the fourth is not even said. */
static void test_refused_at_mail(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mta_site_t *site;
    int i;

    b->config.destination_connections = 1;
    b->mx->refusal = "450 4.7.1 slow down, try again in 20 seconds\r\n";
    unit_site_stop(b, &site);
    for (i = 0; i < 6; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery WHERE claimed_by <> 0", 6);
    unit_site_go_on(site, 1);
    unit_await(b, "delivery WHERE claimed_by = 0", 6);
    assert_int_equal(site->failures, 1);
    assert_in_range(mta_site_closed_until(site) - mg_now(),
                    apr_time_from_sec(15), apr_time_from_sec(20));
    assert_string_equal(site->last_reply, "450 4.7.1 slow down, try again in "
                        "20 seconds");
    assert_int_equal(b->mx->messages, 0);
    b->mx->refusal = NULL;
    site->closed_until = 0;
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET "
                                      "due_at = 1", ""));
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 6);
    assert_int_equal(site->mail_refusals, 0);
}

static void test_too_many_recipients(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->mx->rcpt_limit = 2;
    unit_mail_to(b, "a@x.test,b@x.test,c@x.test,d@x.test,e@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 3);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 5);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed_temp'"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(test_delivered),
        UNIT_ON_BOTH(test_connection_is_reused),
        UNIT_ON_BOTH(test_many),
        UNIT_ON_BOTH(test_shared_transaction),
        UNIT_ON_BOTH(test_deferred_comes_again),
        UNIT_ON_BOTH(test_content_refused),
        UNIT_ON_BOTH(test_host_down),
        UNIT_ON_BOTH(test_busy_greeting),
        UNIT_ON_BOTH(test_expired),
        UNIT_ON_BOTH(test_closed_behind_our_back),
        UNIT_ON_BOTH(test_lmtp),
        UNIT_ON_BOTH(test_large),
        UNIT_ON_SQLITE(test_after_reset),
        UNIT_ON_SQLITE(test_broken_tls),
        UNIT_ON_SQLITE(test_next_host),
        UNIT_ON_SQLITE(test_next_host_after_a_greeting),
        UNIT_ON_SQLITE(test_refused_at_mail),
        UNIT_ON_SQLITE(test_too_many_recipients),
    };

    mg_log_set_level(getenv("UNIT_LOG") ? MG_LOG_DEBUG : MG_LOG_ERR);
    return unit_store_run("sender", tests);
}
