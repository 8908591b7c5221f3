/* test_campaign_name.c - whose events they are, as ids come and go. */
#include <string.h>

#include "mg_campaign_event.h"
#include "mg_event.h"
#include "mg_id.h"
#include "mg_time.h"
#include "unit_records.h"

typedef struct {
    unit_store_t *s;
    mg_domain_t *domain;
} place_t;

static place_t place_of(unit_store_t *s)
{
    place_t place = { s, unit_domain(s, unit_account(s, "a"), "a.test") };

    return place;
}

static mg_campaign_t *campaign(const place_t *at, const char *id)
{
    mg_campaign_t *c;

    unit_store_ok(at->s->db, mg_campaign_add(&c, at->s->db, at->domain->id, id,
                                             "Name", at->s->p));
    return c;
}

static apr_array_header_t *ids(const place_t *at, const char *a, const char *b)
{
    apr_array_header_t *list = apr_array_make(at->s->p, 2, sizeof(char *));

    APR_ARRAY_PUSH(list, const char *) = a;
    if (b)
        APR_ARRAY_PUSH(list, const char *) = b;
    return list;
}

static mg_event_t event_of(const place_t *at, mg_event_kind_t kind,
                           const char *recipient)
{
    mg_event_t event;

    memset(&event, 0, sizeof(event));
    event.kind = kind;
    event.account_id = at->domain->account_id;
    event.domain_id = at->domain->id;
    event.message_id = mg_id_next();
    event.recipient = recipient;
    event.sender = "me@a.test";
    event.subject = "Hello";
    return event;
}

static void append(const place_t *at, const mg_event_t *event)
{
    unit_store_ok(at->s->db, mg_tx_begin(at->s->db, MG_TX_WRITE));
    unit_store_ok(at->s->db, mg_event_append(at->s->db, event, at->s->p));
    unit_store_ok(at->s->db, mg_tx_commit(at->s->db));
}

static apr_int64_t counted(const place_t *at, const mg_campaign_t *c, int kind)
{
    mg_campaign_t copy = *c;

    memset(copy.counts, 0, sizeof(copy.counts));
    unit_store_ok(at->s->db, mg_campaign_read_counts(&copy, at->s->db));
    return copy.counts[kind];
}

static void wait_a_tick(void)
{
    apr_time_t now = mg_now();

    while (mg_now() < now + 2000)
        apr_sleep(500);
}

static void follow_the_campaign(void **state)
{
    place_t at = place_of(*state);
    mg_campaign_t *one = campaign(&at, "one"), *again, *third;
    mg_event_t sent, later, last;

    sent = event_of(&at, MG_EVENT_OPENED, "bob@b.test");
    sent.campaigns = ids(&at, "one", NULL);
    append(&at, &sent);
    wait_a_tick();
    unit_store_ok(at.s->db, mg_campaign_rename(at.s->db, at.domain->id, "one",
                                               "uno", NULL));
    again = campaign(&at, "one");
    later = event_of(&at, MG_EVENT_OPENED, "bob@b.test");
    later.campaigns = ids(&at, "one", "uno");
    append(&at, &sent); /* what was sent before is opened now */
    append(&at, &later);
    assert_int_equal(counted(&at, one, MG_CAMPAIGN_OPENED), 3);
    assert_int_equal(counted(&at, again, MG_CAMPAIGN_OPENED), 1);

    wait_a_tick();
    unit_store_ok(at.s->db, mg_campaign_remove(at.s->db, at.domain->id,
                                               "one"));
    wait_a_tick();
    third = campaign(&at, "one");
    append(&at, &sent);
    append(&at, &later); /* for uno; the other one is no more */
    last = event_of(&at, MG_EVENT_OPENED, "bob@b.test");
    last.campaigns = ids(&at, "one", NULL);
    append(&at, &last);
    assert_int_equal(counted(&at, one, MG_CAMPAIGN_OPENED), 5);
    assert_int_equal(counted(&at, third, MG_CAMPAIGN_OPENED), 1);
}

/* What a connection keeps of names is what others made of them. */
static void hears_of_changes(void **state)
{
    place_t at = place_of(*state);
    mg_db_t *writer = unit_store_open(at.s, 0), *db = at.s->db;
    unit_store_t there = *at.s;
    place_t other = { &there, at.domain };
    mg_domain_cache_t *cache = mg_domain_cache_create(NULL, at.s->p);
    mg_campaign_t *one, *two, *three;
    mg_event_t sent;

    there.db = writer;
    mg_event_context(db, cache, 3);
    sent = event_of(&at, MG_EVENT_OPENED, "bob@b.test");
    sent.campaigns = ids(&at, "one", NULL);
    append(&at, &sent); /* there is none, and that is kept */
    wait_a_tick();
    one = campaign(&other, "one");
    sent.message_id = mg_id_next();
    append(&at, &sent);
    append(&at, &sent);
    assert_int_equal(counted(&at, one, MG_CAMPAIGN_OPENED), 2);

    wait_a_tick();
    unit_store_ok(writer, mg_campaign_rename(writer, at.domain->id, "one",
                                             "uno", NULL));
    two = campaign(&other, "one");
    append(&at, &sent);
    sent.message_id = mg_id_next();
    append(&at, &sent);
    assert_int_equal(counted(&at, one, MG_CAMPAIGN_OPENED), 3);
    assert_int_equal(counted(&at, two, MG_CAMPAIGN_OPENED), 1);

    /* within the transaction of the change, and after it was undone */
    wait_a_tick();
    unit_store_ok(db, mg_tx_begin(db, MG_TX_WRITE));
    unit_store_ok(db, mg_event_append(db, &sent, at.s->p));
    unit_store_ok(db, mg_campaign_remove(db, at.domain->id, "one"));
    three = campaign(&at, "one");
    sent.message_id = mg_id_next();
    unit_store_ok(db, mg_event_append(db, &sent, at.s->p));
    mg_tx_rollback(db);
    append(&at, &sent);
    assert_int_equal(counted(&at, two, MG_CAMPAIGN_OPENED), 2);
    assert_int_equal(counted(&at, three, MG_CAMPAIGN_OPENED), 0);

    wait_a_tick();
    unit_store_ok(db, mg_tx_begin(db, MG_TX_WRITE));
    unit_store_ok(db, mg_event_append(db, &sent, at.s->p));
    unit_store_ok(db, mg_campaign_remove(db, at.domain->id, "one"));
    three = campaign(&at, "one");
    sent.message_id = mg_id_next();
    unit_store_ok(db, mg_event_append(db, &sent, at.s->p));
    unit_store_ok(db, mg_tx_commit(db));
    append(&at, &sent);
    assert_int_equal(counted(&at, three, MG_CAMPAIGN_OPENED), 2);
    unit_store_ok(writer, mg_campaign_remove(writer, at.domain->id, "one"));
    append(&at, &sent);
    assert_int_equal(counted(&at, three, MG_CAMPAIGN_OPENED), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(follow_the_campaign),
        UNIT_ON_BOTH(hears_of_changes),
    };

    return unit_store_run("campaign_name", tests);
}
