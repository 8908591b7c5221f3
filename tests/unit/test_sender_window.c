/* test_sender_window.c - how hard the sender role works a destination: how many
 * connections, what it learns and is asked for, what is closed, warm-up. */
#include "unit_sender.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "mg_log.h"
#include "mg_time.h"
#include "mg_warmup.h"

/* Others hold many connections that hang. */
static void test_many_connections(void **state)
{
    unit_sender_t *b = unit_sender(state);
    int i;

    b->s->connections += MTA_CONNECTIONS;
    unit_mail_to(b, "bob@a.test");
    unit_await(b, "delivery", 0);
    b->s->connections -= MTA_CONNECTIONS / 2;
    for (i = 0; i < 5; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 5);
    assert_int_equal(b->mx->sessions, 1);
}

/* All are taken, and one of them is at rest: it makes room for another site,
 * which has it as soon as the other is gone. */
static void test_rest_makes_room(void **state)
{
    unit_sender_t *b = unit_sender(state);
    int i;

    unit_sender_transport(b, "y.test", b->lmtp->port);
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(b->s->nresting, 1);
    b->s->connections += MTA_CONNECTIONS - 1;
    unit_mail_to(b, "ok@y.test");
    for (i = 0; i < 400 && b->s->nleaving == 0; i++)
        loop_turn(b->worker.loop, 1000);
    assert_int_equal(b->s->nleaving, 1);
    assert_int_equal(b->s->nroom_line, 1);
    unit_await(b, "delivery", 0);
    assert_int_equal(b->lmtp->messages, 1);
    assert_int_equal(b->s->nroom_line, 0);
    b->s->connections -= MTA_CONNECTIONS - 1;
}

/* A site that takes three connections and no more: it is worked with three,
 * and hardly ever asked for a fourth. */
static void test_window_is_learned(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mta_site_t *site;
    int i;

    b->config.destination_connections = 10;
    b->mx->limit = 3;
    for (i = 0; i < 300; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 300);
    assert_int_equal(unit_rows(b, "event WHERE kind <> 'accepted' AND"
                               " kind <> 'delivered'"), 0);
    site = unit_site_of_x(b);
    assert_int_equal(site->ceiling, 3);
    assert_in_range(b->mx->refused, 1, 3);
    /* time goes by: it may have room for more by now */
    b->mx->limit = 4;
    site->probe_at = 0;
    for (i = 0; i < 100; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(site->ceiling, 4);
    assert_in_range(b->mx->refused, 1, 3);
}

/* A server that restarts takes all connections with it: that is one reason for
 * fewer of them, not one each. */
static void test_window_after_a_restart(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mta_site_t *site = unit_site_of_x(b);
    int i;

    b->config.destination_connections = 16;
    site->window = 16;
    for (i = 0; i < 15; i++)
        mta_window_halve(site, "499 4.4.2 closed by the remote");
    assert_int_equal(site->window, 8);
    site->halved_at -= apr_time_from_sec(10);
    mta_window_halve(site, "421 4.7.0 still too much");
    assert_int_equal(site->window, 4);
}

/* What it asks for is done: one connection, twenty messages each, so many in a
 * second. */
static void test_limits_of_the_configuration(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mg_destination_t *limits;
    apr_time_t begun;
    int i;

    b->config.destinations = apr_array_make(b->store->p, 2,
                                            sizeof(mg_destination_t));
    limits = apr_array_push(b->config.destinations);
    memset(limits, 0, sizeof(*limits));
    limits->pattern = "*.test";
    limits->connections = 1;
    limits->messages = 5;
    limits->per_hour = 50 * 3600;
    begun = mg_ticks();
    for (i = 0; i < 20; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 20);
    assert_int_equal(b->mx->sessions, 4);
    assert_true(mg_ticks() - begun >= apr_time_from_msec(380));
}

/* "Try again in 10 minutes": not before, whatever the schedule says. */
static void test_waits_as_asked(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mta_site_t *site;

    b->mx->busy = "421 4.7.0 try again in 10 minutes\r\n";
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery WHERE attempts = 1", 1);
    site = unit_site_of_x(b);
    assert_true(mta_site_closed_until(site)
                > mg_now() + apr_time_from_sec(500));
    assert_true(unit_store_int(b->look, "SELECT due_at FROM delivery")
                > mg_now() + apr_time_from_sec(500));
}

/* Most rows of a closed destination are put off without having been in
 * anybody's hands. */
static void test_closed_is_moved(void **state)
{
    unit_sender_t *b = unit_sender(state);
    int i;

    APR_ARRAY_IDX(b->config.retry, 0, apr_interval_time_t) =
        apr_time_from_sec(100);
    for (i = 0; i < 400; i++)
        unit_mail_to(b, "ok@down.test");
    for (i = 0; i < 20; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, "event WHERE kind = 'delivered'", 20);
    unit_await(b, apr_psprintf(b->store->p, "delivery WHERE claimed_by = 0 AND"
                               " due_at > %" APR_INT64_T_FMT,
                               mg_now() + apr_time_from_sec(60)), 400);
    assert_true(unit_rows(b, "delivery WHERE claim_no = 0") > 150);
    assert_true(unit_rows(b, "delivery WHERE attempts = 0") > 150);
}

/* A host without TLS is closed to what needs it; what does not need it is not
 * kept from going there. */
static void test_closed_to_some(void **state)
{
    unit_sender_t *b = unit_sender(state);
    int i;

    APR_ARRAY_IDX(b->config.retry, 0, apr_interval_time_t) =
        apr_time_from_sec(100);
    b->options = "{\"require-tls\": true}";
    unit_mail_to(b, "secret@x.test");
    unit_await(b, "delivery WHERE attempts = 1", 1);
    b->options = NULL;
    for (i = 0; i < 3; i++)
        unit_sender_accept(b, "ok@x.test", "A: b\r\n\r\n", 8);
    b->options = "{\"require-tls\": true}";
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET"
                                      " due_at = $1 WHERE target = ''", "i",
                                      (apr_int64_t)(mg_now()
                                      + apr_time_from_sec(30))));
    /* it comes back, and all like it are moved with it */
    unit_mail_to(b, "secret@x.test");
    unit_await(b, apr_psprintf(b->store->p, "delivery WHERE claimed_by = 0 AND"
                               " due_at > %" APR_INT64_T_FMT
                               " AND target <> ''",
                               mg_now() + apr_time_from_sec(50)), 2);
    for (i = 0; i < 20 && b->s->moves_first; i++)
        unit_turn(b, 10);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed_temp'"), 1);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET"
                                      " due_at = due_at - $1", "i",
                                      (apr_int64_t)apr_time_from_sec(30)));
    unit_await(b, "event WHERE kind = 'delivered'", 3);
}

/* What it would come due for is past its end: it fails with what the closed
 * destination said. */
static void test_ends_while_closed(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->config.retry_limit = apr_time_from_sec(90);
    APR_ARRAY_IDX(b->config.retry, 0, apr_interval_time_t) =
        apr_time_from_sec(80);
    unit_mail_to(b, "ok@down.test");
    unit_await(b, "delivery WHERE attempts = 1", 1);
    b->config.retry_limit = apr_time_from_sec(10);
    unit_mail_to(b, "late@down.test");
    unit_await(b, "event WHERE kind = 'failed'", 1);
    assert_non_null(strstr(unit_text(b, "SELECT detail FROM event WHERE kind = "
                                     "'failed'"), "Connection refused"));
}

/* What was learned of a site is there after a restart. */
static void test_learned_is_kept(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mta_site_t *site;

    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    site = unit_site_of_x(b);
    mta_window_refused(site, "421 no more");
    site->ceiling = 3;
    site->saved_at = 0;
    mta_learned_save(b->s);
    assert_int_equal(unit_rows(b, "destination"), 1);
    unit_sender_begin(b);
    site = unit_site_of_x(b);
    assert_int_equal(site->ceiling, 3);
    assert_true(site->probe_at > mg_ticks());
    /* idle for days: it may be otherwise by now */
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE destination SET "
                                      "updated_at = $1", "i",
                                      (apr_int64_t)(mg_now()
                                      - apr_time_from_sec(4 * 86400))));
    unit_sender_begin(b);
    assert_int_equal(unit_site_of_x(b)->ceiling, 0);
}

/* A new domain has a volume for the day; the rest waits for the next one. */
static void test_warmup(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->config.retry_limit = apr_time_from_sec(3 * 86400);
    b->config.warmup.first = 4;
    b->config.warmup.growth = 50;
    b->config.warmup.days = 10;
    unit_mail_to(b, "ok1@x.test");
    unit_await(b, "delivery", 0);
    unit_mail_to(b, "ok2@x.test,ok3@x.test,ok4@x.test,ok5@x.test");
    unit_mail_to(b, "ok6@y.test");
    unit_await(b, "event WHERE kind = 'delivered'", 4);
    unit_await(b, apr_psprintf(b->store->p, "delivery WHERE claimed_by = 0 AND"
                               " due_at > %" APR_INT64_T_FMT,
                               mg_now() + apr_time_from_sec(86000)), 2);
    assert_int_equal(unit_store_int(b->look, "SELECT sent FROM warmup"), 4);
    /* a day later */
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE warmup SET "
                                      "started_at = started_at - $1", "i",
                                      (apr_int64_t)apr_time_from_sec(86400)));
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET "
                                      "due_at = 0", ""));
    apr_hash_clear(b->s->warmups); /* a sender that knows nothing yet */
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_store_int(b->look, "SELECT sent FROM warmup"), 2);
    assert_int_equal(unit_store_int(b->look, "SELECT day FROM warmup"), 1);
    /* old enough */
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE warmup SET "
                                      "started_at = 0", ""));
    apr_hash_clear(b->s->warmups);
    unit_mail_to(b, "1@x.test,2@x.test,3@x.test,4@x.test,5@x.test,6@x.test,"
                 "7@x.test");
    unit_await(b, "delivery", 0);
}

/* A new address has a volume, too, whoever sends from it; the rest goes from
 * the other address of the pool. Alone, it waits. */
static void test_warmup_of_an_address(void **state)
{
    unit_sender_t *b = unit_sender(state);
    apr_pool_t *p = b->store->p;
    mg_sending_ip_t *ips;
    mg_sending_pool_t *pool;
    int i;

    b->config.warmup.first = 2;
    b->config.warmup.growth = 50;
    b->config.warmup.days = 10;
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE domain SET "
                                      "created_at = 1", ""));
    b->config.sending_ips = apr_array_make(p, 2, sizeof(*ips));
    ips = apr_array_push(b->config.sending_ips);
    memset(ips, 0, sizeof(*ips));
    ips->name = "new";
    ips->v4 = "127.0.0.9";
    ips->since = mg_now() - apr_time_from_sec(3600);
    b->config.sending_pools = apr_array_make(p, 1, sizeof(*pool));
    pool = apr_array_push(b->config.sending_pools);
    pool->name = "default";
    pool->ips = apr_array_make(p, 2, sizeof(char *));
    APR_ARRAY_PUSH(pool->ips, const char *) = "new";
    b->config.retry_limit = apr_time_from_sec(3 * 86400);
    for (i = 0; i < 3; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, apr_psprintf(p, "delivery WHERE claimed_by = 0 AND due_at > %"
                               APR_INT64_T_FMT, mg_now()
                               + apr_time_from_sec(80000)), 1);
    assert_int_equal(b->mx->messages, 2);
    assert_int_equal(unit_rows(b, "event WHERE detail LIKE '%127.0.0.9%'"), 2);
    assert_int_equal(unit_store_int(b->look, "SELECT sent FROM warmup WHERE "
                                    "subject = 'address 127.0.0.9'"), 2);
    /* an old one beside it */
    ips = apr_array_push(b->config.sending_ips);
    memset(ips, 0, sizeof(*ips));
    ips->name = "old";
    ips->v4 = "127.0.0.10";
    APR_ARRAY_PUSH(pool->ips, const char *) = "old";
    for (i = 0; i < 4; i++)
        unit_mail_to(b, apr_psprintf(p, "ok@y%d.test", i));
    unit_await(b, "event WHERE kind = 'delivered'", 6);
    assert_int_equal(unit_rows(b, "event WHERE detail LIKE '%127.0.0.10%'"), 4);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET "
                                      "due_at = 1", ""));
    unit_await(b, "delivery", 0);
}

/* Whoever asks may have more than MailgunTLSPolicy says, never less. */
static void test_what_a_way_needs(void **state)
{
    static const struct {
        int policy;               /* may, encrypt, verify */
        const char *way;
        mta_tls_need_t need;
    } cases[] = {
        { 0, "", MTA_TLS_MAY }, { 0, "skip", MTA_TLS_MAY },
        { 0, "require", MTA_TLS_VERIFY }, { 0, "sts", MTA_TLS_VERIFY },
        { 0, "require skip", MTA_TLS_ENCRYPT },
        { 0, "sts skip", MTA_TLS_ENCRYPT },
        { 0, "require from=skip", MTA_TLS_VERIFY },
        { 1, "", MTA_TLS_ENCRYPT }, { 1, "skip", MTA_TLS_ENCRYPT },
        { 1, "require", MTA_TLS_VERIFY },
        { 2, "", MTA_TLS_VERIFY }, { 2, "skip", MTA_TLS_VERIFY },
        { 2, "require skip", MTA_TLS_VERIFY },
    };
    mg_config_t config;
    mta_way_t way;
    size_t i;

    (void)state;
    memset(&config, 0, sizeof(config));
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        config.tls_policy = cases[i].policy;
        mta_way_read(&way, cases[i].way, &config);
        if (way.need != cases[i].need)
            fail_msg("%d %s: %d", cases[i].policy, cases[i].way, way.need);
    }
}

static void test_warmup_grows(void **state)
{
    static const struct {
        int first, growth, day, volume;
    } cases[] = {
        { 200, 50, 0, 200 }, { 200, 50, 1, 300 }, { 200, 50, 2, 450 },
        { 1, 10, 1, 2 }, { 10, 0, 5, 10 }, { 1000000, 1000, 100, 1000000000 },
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mg_warmup_plan_t plan = { cases[i].first, cases[i].growth, 999 };

        assert_int_equal(mg_warmup_volume(&plan, cases[i].day),
                         cases[i].volume);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_SQLITE(test_many_connections),
        UNIT_ON_SQLITE(test_rest_makes_room),
        UNIT_ON_SQLITE(test_window_is_learned),
        UNIT_ON_SQLITE(test_window_after_a_restart),
        UNIT_ON_SQLITE(test_limits_of_the_configuration),
        UNIT_ON_SQLITE(test_waits_as_asked),
        UNIT_ON_BOTH(test_closed_is_moved),
        UNIT_ON_BOTH(test_closed_to_some),
        UNIT_ON_SQLITE(test_ends_while_closed),
        UNIT_ON_BOTH(test_learned_is_kept),
        UNIT_ON_BOTH(test_warmup),
        UNIT_ON_BOTH(test_warmup_of_an_address),
        UNIT_ON_SQLITE(test_what_a_way_needs),
        UNIT_ON_SQLITE(test_warmup_grows),
    };

    mg_log_set_level(getenv("UNIT_LOG") ? MG_LOG_DEBUG : MG_LOG_ERR);
    return unit_store_run("sender_window", tests);
}
