/* test_sender_claims.c - what the sender role holds: its leases, its memory,
 * its results while the store fails, and what it gives back when it stops. */
#include "unit_sender.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"

/* What waits in memory goes back when the operator holds it; what is under
 * way is finished. */
static void test_held_in_memory(void **state)
{
    unit_sender_t *b = unit_sender(state);
    apr_pool_t *p = b->store->p;
    int i;

    b->config.destination_connections = 1;
    b->mx->hold_the_answer = 1;
    for (i = 0; i < 6; i++)
        unit_mail_to(b, apr_psprintf(p, "ok%d@x.test", i));
    unit_await(b, "delivery WHERE claimed_by <> 0", 6);
    for (i = 0; i < 100 && !b->mx->held; i++)
        unit_turn(b, 10);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery"
                                      " SET hold = 1", ""));
    b->s->hold_looked = 0;
    sender_look_for_held(b->s);
    assert_int_equal(b->s->nheld, 1);
    assert_int_equal(unit_rows(b, "delivery WHERE claimed_by = 0 AND hold = 1"),
                     5);
    conn_printf(b->mx->held->conn, "250 ok\r\n");
    b->mx->hold_the_answer = 0;
    unit_await(b, "delivery", 5);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(b->s->nheld, 0);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery"
                                      " SET hold = 0", ""));
    unit_await(b, "delivery", 0);
}

/* The store fails when results are to be committed: they stay and are
 * committed later, the remote is not asked again. */
static void test_failed_commit(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->mx->hold_the_answer = 1;
    unit_mail_to(b, "ok@x.test");
    while (!b->mx->held)
        unit_turn(b, 5);
    unit_fault("store.commit.before", UNIT_EIO, 0, 3);
    conn_printf(b->mx->held->conn, "250 2.0.0 at last\r\n");
    unit_turn(b, 50);
    assert_int_equal(b->s->nresults, 1);
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 1);
    assert_int_equal(b->mx->messages, 1);
    assert_int_equal(b->s->store_down, 0);
}

/* The answer to COMMIT is lost: nothing is written twice. */
static void test_lost_commit(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->mx->hold_the_answer = 1;
    unit_mail_to(b, "ok@x.test");
    while (!b->mx->held)
        unit_turn(b, 5);
    unit_fault("store.commit.after", UNIT_LOST, 0, 1);
    conn_printf(b->mx->held->conn, "451 4.3.0 not so\r\n");
    b->mx->hold_the_answer = 0;
    unit_await(b, "delivery WHERE attempts = 1 OR claimed_by = 0", 1);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed_temp'"), 1);
    assert_int_equal(unit_store_int(b->look, "SELECT attempts FROM delivery"),
                     1);
}

/* Our lease went to another while the remote took its time: his result
 * counts. */
static void test_lost_lease(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->mx->hold_the_answer = 1;
    unit_mail_to(b, "ok@x.test");
    while (!b->mx->held)
        unit_turn(b, 5);
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET "
                                      "claim_no = claim_no + 1, claimed_by = "
                                      "77", ""));
    conn_printf(b->mx->held->conn, "250 2.0.0 at last\r\n");
    unit_turn(b, 100);
    assert_int_equal(b->s->nheld, 0);
    assert_int_equal(unit_rows(b, "delivery WHERE claimed_by = 77"), 1);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 0);
}

/* The same, and the connection was gone before anything was said: what is
 * another's does not stand in the way of what is ours. */
static void test_lost_and_put_back(void **state)
{
    unit_sender_t *b = unit_sender(state);
    sender_group_t *group;
    mta_site_t *site;

    unit_site_stop(b, &site);
    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery WHERE claimed_by <> 0", 1);
    group = mta_line_first(site);
    mta_line_take_out(site, group);
    APR_RING_FIRST(&group->entries)->running = 1;
    unit_store_ok(b->look, mg_db_exec(b->look, NULL, "UPDATE delivery SET "
                                      "claim_no = claim_no + 1, claimed_by = "
                                      "77", ""));
    APR_RING_FIRST(&b->s->held)->lease_until = mg_ticks();
    unit_store_ok(b->look, sender_renew(b->s));
    assert_int_equal(b->s->nheld, 1);
    mta_site_put_back(site, group);
    assert_int_equal(b->s->nheld, 0);
    unit_mail_to(b, "ok@x.test");
    unit_site_go_on(site, 1);
    unit_await(b, "event WHERE kind = 'delivered'", 1);
    assert_int_equal(b->mx->messages, 1);
    assert_int_equal(unit_rows(b, "delivery WHERE claimed_by = 77"), 1);
}

/* A transaction that outlasts half of its lease is renewed. */
static void test_renewed(void **state)
{
    unit_sender_t *b = unit_sender(state);
    apr_int64_t first;

    b->mx->hold_the_answer = 1;
    unit_mail_to(b, "ok@x.test");
    while (!b->mx->held)
        unit_turn(b, 5);
    first = unit_store_int(b->look, "SELECT due_at FROM delivery");
    APR_RING_FIRST(&b->s->held)->lease_until = mg_ticks()
                                               + apr_time_from_sec(10);
    unit_turn(b, 20);
    unit_store_ok(b->look, sender_renew(b->s));
    assert_true(unit_store_int(b->look, "SELECT due_at FROM delivery")
                > first);
    conn_printf(b->mx->held->conn, "250 ok\r\n");
    unit_await(b, "delivery", 0);
}

/* Many leases are renewed in parts: other work has its turn between. */
static void test_renewed_in_parts(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mta_site_t *site;
    sender_entry_t *e;
    int i, more;

    b->config.claims = 1000;
    unit_site_stop(b, &site);
    for (i = 0; i < 250; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery WHERE claimed_by <> 0", 250);
    APR_RING_FOREACH(e, &b->s->held, sender_entry_t, held)
        e->lease_until = mg_ticks() + apr_time_from_sec(10);
    unit_store_ok(b->look, sender_renew_some(b->s, &more));
    assert_int_equal(more, 1);
    i = 0;
    APR_RING_FOREACH(e, &b->s->held, sender_entry_t, held)
        i += e->lease_until > mg_ticks() + apr_time_from_sec(20);
    assert_int_equal(i, 200);
    unit_store_ok(b->look, sender_renew_some(b->s, &more));
    assert_int_equal(more, 0);
}

static void test_stop(void **state)
{
    unit_sender_t *b = unit_sender(state);
    apr_int64_t claimed;
    int i;

    b->mx->hold_the_answer = 1;
    b->config.destination_connections = 1;
    for (i = 0; i < 5; i++)
        unit_mail_to(b, "ok@x.test");
    while (!b->mx->held)
        unit_turn(b, 5);
    unit_await(b, "delivery WHERE claimed_by <> 0", 5);
    b->worker.stopping = 1;
    b->worker.on_stop(&b->worker);
    unit_turn(b, 60);
    claimed = unit_rows(b, "delivery WHERE claimed_by <> 0");
    assert_int_equal(claimed, 1); /* what is under way; the rest is free */
    conn_printf(b->mx->held->conn, "250 ok\r\n");
    unit_turn(b, 60);
    assert_int_equal(unit_rows(b, "delivery"), 4);
    assert_int_equal(unit_rows(b, "delivery WHERE claimed_by <> 0"), 0);
    assert_int_equal(b->s->connections, 0);
    assert_int_equal(b->s->nheld, 0);
}

static void test_stop_idle(void **state)
{
    unit_sender_t *b = unit_sender(state);

    unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery", 0);
    b->worker.stopping = 1;
    b->worker.on_stop(&b->worker);
    unit_turn(b, 20);
    assert_int_equal(b->s->connections, 0);
}

/* More is due than may be held, and one destination stands still. */
static void test_memory_is_bounded(void **state)
{
    unit_sender_t *b = unit_sender(state);
    int i;

    for (i = 0; i < 300; i++)
        unit_mail_to(b, "ok@down.test");
    for (i = 0; i < 50; i++)
        unit_mail_to(b, "ok@x.test");
    for (i = 0; i < 300; i++) {
        unit_turn(b, 5);
        assert_true(b->s->nheld <= b->config.claims);
        if (b->mx->messages == 50)
            break;
    }
    unit_await(b, "event WHERE kind = 'delivered'", 50);
    assert_int_equal(unit_rows(b, "delivery"), 300);
}

/* Two of its recipients fail before the message was read, with another's result
 * between theirs: it is read once, and the third gets it. */
static void test_read_for_results(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mta_site_t *site;
    mg_delivery_t d;

    unit_sender_transport(b, "down2.test", 2);
    memset(&d, 0, sizeof(d));
    d.transport = MG_TRANSPORT_SMTP;
    d.dest = "x.test";
    site = mta_site_for(b->s, &d, "");
    site->window = 0;
    unit_mail_to(b, "1@down.test,1@down2.test,ok@x.test");
    unit_mail_to(b, "2@down.test,2@down2.test");
    unit_await(b, "delivery WHERE attempts > 0", 4);
    site->window = 4;
    mta_site_touch(site);
    unit_await(b, "event WHERE kind = 'delivered'", 1);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed'"), 0);
    assert_int_equal(b->mx->messages, 1);
    unit_await(b, "delivery WHERE claimed_by <> 0", 0);
    assert_int_equal(b->s->content_bytes, 0);
}

/* All that may be held is held and waits, and a question to the store fails:
 * nothing else asks it, yet it is seen that it works again. */
static void test_full_in_an_outage(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mta_site_t *site;
    mg_delivery_t d;
    int i;

    b->config.claims = 6; /* of which one domain may hold five */
    memset(&d, 0, sizeof(d));
    d.transport = MG_TRANSPORT_SMTP;
    d.dest = "x.test";
    site = mta_site_for(b->s, &d, "");
    site = mta_site_for(b->s, &d, "");
    site->done += 100000;
    site->window = 0;
    for (i = 0; i < 10; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery WHERE claimed_by <> 0", 5);
    assert_int_equal(sender_store_works(b->s, MG_EIO), 0);
    site->window = 4;
    for (i = 0; i < 400 && b->mx->messages == 0; i++) {
        unit_turn(b, 10);
        b->worker.on_bell(&b->worker);
    }
    assert_true(b->mx->messages > 0);
}

static apr_int64_t another_domain(unit_sender_t *b, const char *name)
{
    mg_domain_t *domain;
    mg_db_t *db = b->look;

    unit_store_ok(db, mg_domain_add(&domain, db, b->worker.secret,
                                    b->account_id, name, "$2y$none",
                                    unit_dkim(), b->store->p));
    return domain->id;
}

/* Many of one domain wait for a destination: another's one does not wait for
 * all of them, and shares say how many go first. */
static void test_turns_at_a_site(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mg_share_t *share;
    mta_site_t *site;
    int i, of_b = 0;

    b->config.shares = apr_array_make(b->store->p, 1, sizeof(mg_share_t));
    share = apr_array_push(b->config.shares);
    share->domain = "b.test";
    share->share = 3;
    unit_site_stop(b, &site);
    for (i = 0; i < 40; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery WHERE claimed_by <> 0", 40);
    b->domain_id = another_domain(b, "b.test");
    for (i = 0; i < 10; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery WHERE claimed_by <> 0", 50);
    unit_site_go_on(site, 1);
    unit_await(b, "delivery", 0);
    for (i = 0; i < 8; i++)
        of_b += strstr(b->mx->seen[i], "@b.test>") != NULL;
    assert_int_equal(of_b, 6);
    assert_int_equal(apr_hash_count(b->s->lines), 0);
    assert_int_equal(apr_hash_count(b->s->owners), 0);
}

/* All that one domain may hold is held: there is room for another's. */
static void test_room_for_others(void **state)
{
    unit_sender_t *b = unit_sender(state);
    mta_site_t *site;
    int i;

    unit_site_stop(b, &site);
    for (i = 0; i < 150; i++)
        unit_mail_to(b, "ok@x.test");
    unit_await(b, "delivery WHERE claimed_by <> 0", 75);
    b->domain_id = another_domain(b, "b.test");
    unit_mail_to(b, "ok@y.test,ok@x.test");
    unit_await(b, "delivery WHERE claimed_by <> 0", 77);
    unit_site_go_on(site, 4);
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 151);
}

static int silent_listener(int *pport)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *pport = ntohs(in.sin_port);
    return fd;
}

/* A destination that says nothing, and all that the domain may hold is for it:
 * the domain's other mail does not wait for the time-out. */
static void test_room_beside_silence(void **state)
{
    unit_sender_t *b = unit_sender(state);
    int port, i, fd = silent_listener(&port);

    unit_sender_transport(b, "silent.test", port);
    for (i = 0; i < 150; i++)
        unit_mail_to(b, "ok@silent.test");
    unit_await(b, "delivery WHERE claimed_by <> 0", 75);
    for (i = 0; i < 10; i++)
        unit_mail_to(b, "ok@x.test");
    for (i = 0; i < 2000 && b->mx->messages < 10; i++)
        unit_turn(b, 10);
    assert_int_equal(b->mx->messages, 10);
    unit_await(b, "delivery", 150);
    assert_int_equal(unit_rows(b, "delivery WHERE attempts > 0"), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(test_held_in_memory),
        UNIT_ON_BOTH(test_failed_commit),
        UNIT_ON_BOTH(test_lost_commit),
        UNIT_ON_BOTH(test_lost_lease),
        UNIT_ON_BOTH(test_lost_and_put_back),
        UNIT_ON_BOTH(test_renewed),
        UNIT_ON_BOTH(test_renewed_in_parts),
        UNIT_ON_BOTH(test_stop),
        UNIT_ON_BOTH(test_stop_idle),
        UNIT_ON_BOTH(test_memory_is_bounded),
        UNIT_ON_SQLITE(test_read_for_results),
        UNIT_ON_SQLITE(test_full_in_an_outage),
        UNIT_ON_BOTH(test_turns_at_a_site),
        UNIT_ON_BOTH(test_room_for_others),
        UNIT_ON_SQLITE(test_room_beside_silence),
    };

    mg_log_set_level(getenv("UNIT_LOG") ? MG_LOG_DEBUG : MG_LOG_ERR);
    return unit_store_run("sender_claims", tests);
}
