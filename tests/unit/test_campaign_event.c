/* test_campaign_event.c - what happens to campaigns' messages: noted, counted,
 * made segments, grouped, removed. With MG_CAMPAIGN_DIR, the events of the last
 * test and what reports say of them are written there: tests/checks/
 * campaign_python computes all of it again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <apr_strings.h>

#include "mg_campaign_report.h"
#include "mg_event.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_records.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ALL_KINDS ((1u << MG_CAMPAIGN_KINDS) - 1)

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

/* Fold, then make segments, until nothing is left to do. */
static void keep(const place_t *at)
{
    mg_campaign_cursor_t cursor;
    int more = 1;

    memset(&cursor, 0, sizeof(cursor));
    while (more)
        unit_store_ok(at->s->db, mg_campaign_fold(&more, at->s->db, &cursor, 3,
                                                  at->s->p));
    for (more = 1; more;)
        unit_store_ok(at->s->db, mg_campaign_pack(&more, at->s->db, at->s->p));
}

/* --- what is counted as what --- */

static const struct {
    mg_event_kind_t kind;
    int machine, testmode, counted; /* -1: not at all */
    int listed;
} noted[] = {
    { MG_EVENT_ACCEPTED, 0, 0, MG_CAMPAIGN_SUBMITTED, 0 },
    { MG_EVENT_DELIVERED, 0, 0, MG_CAMPAIGN_DELIVERED, 1 },
    { MG_EVENT_OPENED, 0, 0, MG_CAMPAIGN_OPENED, 1 },
    { MG_EVENT_OPENED, 1, 0, MG_CAMPAIGN_OPENED_MACHINE, 1 },
    { MG_EVENT_CLICKED, 0, 0, MG_CAMPAIGN_CLICKED, 1 },
    { MG_EVENT_CLICKED, 1, 0, MG_CAMPAIGN_CLICKED_MACHINE, 1 },
    { MG_EVENT_UNSUBSCRIBED, 0, 0, MG_CAMPAIGN_UNSUBSCRIBED, 1 },
    { MG_EVENT_FAILED, 0, 0, MG_CAMPAIGN_BOUNCED, 1 },
    { MG_EVENT_FAILED_LATE, 0, 0, MG_CAMPAIGN_BOUNCED, 1 },
    { MG_EVENT_COMPLAINED, 0, 0, MG_CAMPAIGN_COMPLAINED, 1 },
    { MG_EVENT_DROPPED, 0, 0, MG_CAMPAIGN_DROPPED, 0 },
    { MG_EVENT_FAILED_TEMP, 0, 0, -1, 0 },
    { MG_EVENT_STORED, 0, 0, -1, 0 },
    { MG_EVENT_ACCEPTED, 0, 1, -1, 0 },
    { MG_EVENT_DELIVERED, 0, 1, -1, 0 },
};

static void notes(void **state)
{
    place_t at = place_of(*state);
    mg_campaign_t *one = campaign(&at, "one"), *two = campaign(&at, "two");
    apr_int64_t want[MG_CAMPAIGN_KINDS] = { 0 }, listed = 0, found;
    mg_campaign_query_t query;
    mg_event_t event;
    size_t i;
    int kind;

    for (i = 0; i < COUNT(noted); i++) {
        event = event_of(&at, noted[i].kind, "Bob@B.test");
        event.machine = noted[i].machine;
        event.testmode = noted[i].testmode;
        event.campaigns = ids(&at, "one", i % 2 ? "two" : "no such");
        append(&at, &event);
        event.campaigns = NULL;
        append(&at, &event);
        if (noted[i].counted >= 0)
            want[noted[i].counted]++;
        want[MG_CAMPAIGN_DROPPED] += /* who is given up is dropped */
            noted[i].counted == MG_CAMPAIGN_BOUNCED;
        listed += noted[i].listed;
    }
    for (kind = 0; kind < MG_CAMPAIGN_KINDS; kind++)
        assert_int_equal(counted(&at, one, kind), want[kind]);
    assert_true(counted(&at, two, MG_CAMPAIGN_DELIVERED) == 1);
    memset(&query, 0, sizeof(query));
    query.campaign_id = one->id;
    query.kinds = ALL_KINDS;
    unit_store_ok(at.s->db, mg_campaign_events_count(&found, at.s->db, &query,
                                                     at.s->p));
    assert_int_equal(found, listed);
}

/* A link of a message is whatever octets stood there. */
static void octets_are_made_text(void **state)
{
    place_t at = place_of(*state);
    mg_campaign_t *one = campaign(&at, "one");
    mg_event_t event = event_of(&at, MG_EVENT_CLICKED, "b\xe9@b.test");
    mg_campaign_query_t query;
    apr_array_header_t *rows;

    event.campaigns = ids(&at, "one", NULL);
    event.tags = ids(&at, "t\xe9", NULL);
    event.url = "http://x.test/\xe9\xff";
    event.user_agent = "\xfe";
    event.country = "\xe9\xe9\xe9";
    event.region = event.city = event.ip = "\xe9";
    append(&at, &event);
    memset(&query, 0, sizeof(query));
    query.campaign_id = one->id;
    query.kinds = ALL_KINDS;
    query.limit = 10;
    unit_store_ok(at.s->db, mg_campaign_events(&rows, at.s->db, &query,
                                               at.s->p));
    assert_int_equal(rows->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(rows, 0, mg_campaign_row_t).link,
                        "http://x.test/\xEF\xBF\xBD\xEF\xBF\xBD");
}

/* --- removal --- */

static void many(const place_t *at, mg_event_kind_t kind, const char *id,
                 int n)
{
    mg_event_t event = event_of(at, kind, "");
    int i;

    event.campaigns = ids(at, id, NULL);
    event.url = "http://x.test/";
    unit_store_ok(at->s->db, mg_tx_begin(at->s->db, MG_TX_WRITE));
    for (i = 0; i < n; i++) {
        event.recipient = apr_psprintf(at->s->p, "r%d@b.test", i % 700);
        unit_store_ok(at->s->db, mg_event_append(at->s->db, &event, at->s->p));
    }
    unit_store_ok(at->s->db, mg_tx_commit(at->s->db));
}

static apr_int64_t rows_left(const place_t *at)
{
    return unit_store_int(at->s->db,
                          "SELECT (SELECT COUNT(*) FROM campaign_event)"
                          " + (SELECT COUNT(*) FROM campaign_segment)"
                          " + (SELECT COUNT(*) FROM campaign_column)"
                          " + (SELECT COUNT(*) FROM campaign_count)");
}

static void clear(const place_t *at)
{
    int more = 1;

    while (more)
        unit_store_ok(at->s->db, mg_campaign_clear(&more, at->s->db,
                                                   at->s->p));
}

static void leaves_nothing(void **state)
{
    place_t at = place_of(*state);
    mg_campaign_t *other;

    campaign(&at, "one");
    other = campaign(&at, "two");
    many(&at, MG_EVENT_CLICKED, "one", 2500);
    many(&at, MG_EVENT_OPENED, "two", 10);
    keep(&at);
    assert_int_equal(unit_store_int(at.s->db,
                                    "SELECT COUNT(*) FROM campaign_segment"),
                     2);
    clear(&at);
    assert_int_equal(unit_store_int(at.s->db,
                                    "SELECT COUNT(*) FROM campaign_segment"),
                     2);
    unit_store_ok(at.s->db, mg_campaign_remove(at.s->db, at.domain->id,
                                               "one"));
    clear(&at);
    assert_int_equal(rows_left(&at), 11); /* two's */
    assert_int_equal(counted(&at, other, MG_CAMPAIGN_OPENED), 10);
    unit_store_ok(at.s->db, mg_domain_remove(at.s->db, at.domain->id,
                                             at.s->p));
    clear(&at);
    assert_int_equal(rows_left(&at), 0);
    assert_int_equal(unit_store_int(at.s->db,
                                    "SELECT COUNT(*) FROM campaign_name"), 0);
}

static apr_int64_t events_of(const place_t *at, apr_int64_t id, unsigned kinds)
{
    mg_campaign_query_t query;
    apr_int64_t n;

    memset(&query, 0, sizeof(query));
    query.campaign_id = id;
    query.kinds = kinds;
    unit_store_ok(at->s->db, mg_campaign_events_count(&n, at->s->db, &query,
                                                      at->s->p));
    return n;
}

static void expire(const place_t *at, apr_time_t before,
                   apr_time_t delivered_before)
{
    mg_campaign_cursor_t cursor;
    int more = 1;

    memset(&cursor, 0, sizeof(cursor));
    while (more)
        unit_store_ok(at->s->db, mg_campaign_expire(&more, at->s->db, &cursor,
                                                    before, delivered_before,
                                                    at->s->p));
}

/* Delivered ones earlier; counters stay. */
static void grows_old(void **state)
{
    place_t at = place_of(*state);
    mg_campaign_t *c = campaign(&at, "one");
    apr_time_t past = mg_now() - apr_time_from_sec(60), then;

    many(&at, MG_EVENT_DELIVERED, "one", 1500);
    many(&at, MG_EVENT_OPENED, "one", 1500);
    keep(&at);
    expire(&at, past, past);
    assert_int_equal(events_of(&at, c->id, ALL_KINDS), 3000);
    wait_a_tick();
    then = mg_now();
    wait_a_tick();
    expire(&at, past, then);
    assert_int_equal(events_of(&at, c->id, 1u << MG_CAMPAIGN_DELIVERED), 0);
    assert_int_equal(events_of(&at, c->id, ALL_KINDS), 1500);
    many(&at, MG_EVENT_OPENED, "one", 5);
    expire(&at, then, then);
    assert_int_equal(events_of(&at, c->id, ALL_KINDS), 5);
    assert_int_equal(counted(&at, c, MG_CAMPAIGN_DELIVERED), 1500);
    assert_int_equal(counted(&at, c, MG_CAMPAIGN_OPENED), 1505);
    keep(&at);
    assert_int_equal(unit_store_int(at.s->db, "SELECT CAST(SUM(waiting) AS"
                                              " BIGINT) FROM campaign_count"),
                     5);
}

/* --- reports, over what is random but the same each time --- */

static apr_uint32_t seed;

static apr_uint32_t draw(apr_uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static const struct {
    mg_event_kind_t kind;
    mg_campaign_kind_t as;
    apr_uint32_t weight;
} mix[] = {
    { MG_EVENT_ACCEPTED, MG_CAMPAIGN_SUBMITTED, 4 },
    { MG_EVENT_DELIVERED, MG_CAMPAIGN_DELIVERED, 30 },
    { MG_EVENT_OPENED, MG_CAMPAIGN_OPENED, 30 },
    { MG_EVENT_CLICKED, MG_CAMPAIGN_CLICKED, 24 },
    { MG_EVENT_UNSUBSCRIBED, MG_CAMPAIGN_UNSUBSCRIBED, 4 },
    { MG_EVENT_FAILED, MG_CAMPAIGN_BOUNCED, 4 },
    { MG_EVENT_COMPLAINED, MG_CAMPAIGN_COMPLAINED, 2 },
    { MG_EVENT_DROPPED, MG_CAMPAIGN_DROPPED, 2 },
};
static const char *const countries[] = { "", "US", "DE", "FR" };
static const char *const regions[] = { "", "CA", "OH", "Bayern", "Paris" };
static const char *const cities[] = { "", "Chicago", "M\xc3\xbcnchen", "Paris",
                                      "Oakland" };

static void draw_event(mg_event_t *event, const place_t *at, apr_time_t now)
{
    apr_uint32_t i, place = draw(100);

    for (i = 0; place >= mix[i].weight; i++)
        place -= mix[i].weight;
    *event = event_of(at, mix[i].kind,
                      apr_psprintf(at->s->p, "%s%d@%s%d.test",
                                   draw(9) ? "user" : "User", draw(300),
                                   draw(7) ? "d" : "D", draw(8)));
    event->at = now - apr_time_from_sec(draw(100 * 86400));
    event->campaigns = ids(at, draw(10) ? "one" : "two",
                           draw(5) ? NULL : "three");
    if (event->kind != MG_EVENT_OPENED && event->kind != MG_EVENT_CLICKED &&
        event->kind != MG_EVENT_UNSUBSCRIBED)
        return;
    event->machine = draw(10) == 0 && event->kind != MG_EVENT_UNSUBSCRIBED;
    event->country = countries[draw(COUNT(countries))];
    event->region = regions[draw(COUNT(regions))];
    event->city = cities[draw(COUNT(cities))];
    event->ip = "192.0.2.1";
    event->user_agent = "Mozilla/5.0";
    if (event->kind == MG_EVENT_CLICKED)
        event->url = apr_psprintf(at->s->p, "http://X.test/%d", draw(20));
}

static json_t *text_json(const char *s)
{
    return json_string(s ? s : "");
}

static json_t *event_json(const mg_event_t *event)
{
    json_t *campaigns = json_array();
    int i;

    for (i = 0; i < event->campaigns->nelts; i++)
        json_array_append_new(
            campaigns,
            json_string(APR_ARRAY_IDX(event->campaigns, i, char *)));
    for (i = 0; mix[i].kind != event->kind; i++)
        ;
    return json_pack("{s:i, s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "kind",
                     !event->machine ? (int)mix[i].as
                     : event->kind == MG_EVENT_OPENED
                         ? MG_CAMPAIGN_OPENED_MACHINE
                         : MG_CAMPAIGN_CLICKED_MACHINE,
                     "time", (json_int_t)apr_time_sec(event->at), "recipient",
                     event->recipient, "link", text_json(event->url),
                     "country", text_json(event->country), "region",
                     text_json(event->region), "city", text_json(event->city),
                     "campaigns", campaigns);
}

static void feed(json_t *written, const place_t *at, int n)
{
    apr_time_t now = mg_now();
    mg_event_t event;
    int i;

    unit_store_ok(at->s->db, mg_tx_begin(at->s->db, MG_TX_WRITE));
    for (i = 0; i < n; i++) {
        draw_event(&event, at, now);
        unit_store_ok(at->s->db, mg_event_append(at->s->db, &event, at->s->p));
        json_array_append_new(written, event_json(&event));
    }
    unit_store_ok(at->s->db, mg_tx_commit(at->s->db));
}

static json_t *row_json(const mg_campaign_row_t *row)
{
    return json_pack("{s:i, s:I, s:s, s:s, s:s, s:s, s:s}", "kind", row->kind,
                     "time", (json_int_t)apr_time_sec(row->created_at),
                     "recipient", row->recipient ? row->recipient : "", "link",
                     row->link ? row->link : "", "country",
                     row->country ? row->country : "", "region",
                     row->region ? row->region : "", "city",
                     row->city ? row->city : "");
}

static json_t *numbers_json(const apr_int64_t *numbers)
{
    json_t *list = json_array();
    int kind;

    for (kind = 0; kind < MG_CAMPAIGN_KINDS; kind++)
        json_array_append_new(list, json_integer(numbers[kind]));
    return list;
}

static json_t *query_json(const char *name, const mg_campaign_query_t *q)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:s?, s:s?, s:s?, s:s?, s:I, s:I}",
                     "campaign", name, "kinds", (json_int_t)q->kinds, "by",
                     (json_int_t)q->by, "unique", (json_int_t)q->unique,
                     "recipient", q->recipient, "country", q->country,
                     "region", q->region, "city", q->city, "skip",
                     (json_int_t)q->skip, "limit", (json_int_t)q->limit);
}

static json_t *report_json(const place_t *at, const char *name,
                           const mg_campaign_query_t *query)
{
    json_t *answer = query_json(name, query), *list = json_array();
    apr_array_header_t *groups;
    apr_int64_t count;
    int i;

    unit_store_ok(at->s->db, mg_campaign_report(&groups, &count, at->s->db,
                                                query, at->s->p));
    for (i = 0; i < groups->nelts; i++) {
        const mg_campaign_group_t *g = &APR_ARRAY_IDX(groups, i,
                                                      mg_campaign_group_t);

        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:o}", "first",
                            row_json(&g->first), "total",
                            numbers_json(g->total), "recipients",
                            numbers_json(g->recipients), "links",
                            numbers_json(g->links)));
    }
    json_object_set_new(answer, "groups", list);
    json_object_set_new(answer, "count", json_integer(count));
    return answer;
}

static json_t *events_json(const place_t *at, const char *name,
                           const mg_campaign_query_t *query)
{
    json_t *answer = query_json(name, query), *list = json_array();
    apr_array_header_t *rows;
    apr_int64_t count;
    int i;

    unit_store_ok(at->s->db, mg_campaign_events(&rows, at->s->db, query,
                                                at->s->p));
    unit_store_ok(at->s->db, mg_campaign_events_count(&count, at->s->db, query,
                                                      at->s->p));
    for (i = 0; i < rows->nelts; i++)
        json_array_append_new(
            list, row_json(&APR_ARRAY_IDX(rows, i, mg_campaign_row_t)));
    json_object_set_new(answer, "events", list);
    json_object_set_new(answer, "count", json_integer(count));
    return answer;
}

static void draw_query(mg_campaign_query_t *q, const place_t *at, int i)
{
    memset(q, 0, sizeof(*q));
    if (i < 66) { /* each grouping of each report, then any */
        q->by = 1u << (i % 11);
        q->kinds = 1u << (MG_CAMPAIGN_DELIVERED + i / 11);
    }
    else {
        q->by = draw(1u << 11) & draw(1u << 11);
        q->kinds = draw(1u << MG_CAMPAIGN_KINDS);
    }
    q->unique = draw(4) ? ALL_KINDS : draw(1u << MG_CAMPAIGN_KINDS);
    q->country = draw(6) ? NULL : countries[draw(COUNT(countries))];
    q->region = draw(6) ? NULL : regions[draw(COUNT(regions))];
    q->city = draw(6) ? NULL : cities[draw(COUNT(cities))];
    q->recipient = draw(8) ? NULL
                           : apr_psprintf(at->s->p, "user%d@d%d.test",
                                          draw(30), draw(8));
    q->skip = draw(3) ? 0 : draw(60);
    q->limit = draw(3) ? 100 : draw(20);
}

static json_t *ask(const place_t *at, int n)
{
    static const char *const names[] = { "one", "two", "three" };
    json_t *answers = json_array();
    mg_campaign_query_t query;
    mg_campaign_t *c;
    const char *name;
    int i;

    for (i = 0; i < n; i++) {
        draw_query(&query, at, i);
        name = names[i < 66 ? 0 : draw(3)];
        unit_store_ok(at->s->db, mg_campaign_by_id(&c, at->s->db,
                                                   at->domain->id, name,
                                                   at->s->p));
        query.campaign_id = c->id;
        json_array_append_new(answers, report_json(at, name, &query));
        if (i % 3 == 0)
            json_array_append_new(answers, events_json(at, name, &query));
    }
    return answers;
}

static void write_answers(const unit_store_t *s, const json_t *events,
                          const json_t *answers)
{
    const char *dir = getenv("MG_CAMPAIGN_DIR");
    json_t *all;

    if (!dir)
        return;
    all = json_pack("{s:O, s:O}", "events", events, "answers", answers);
    assert_int_equal(
        json_dump_file(all,
                       apr_pstrcat(s->p, dir, "/",
                                   s->kind == MG_DB_SQLITE ? "sqlite"
                                                           : "postgresql",
                                   ".json", NULL), 0), 0);
    json_decref(all);
}

/* What fsck says of campaigns; it finds that messages lack. */
static void fsck_is_content(const place_t *at)
{
    apr_array_header_t *findings, *counts;
    int i;

    unit_store_ok(at->s->db, mg_fsck(&findings, &counts, at->s->db, at->s->p));
    for (i = 0; i < findings->nelts; i++)
        assert_null(strstr(APR_ARRAY_IDX(findings, i,
                                         mg_fsck_finding_t).problem,
                           "campaign"));
    unit_store_ok(at->s->db, mg_db_exec(at->s->db, NULL,
        "UPDATE campaign_count SET waiting = waiting + 1 WHERE kind = 2"
        " AND slot = 0", ""));
    unit_store_ok(at->s->db, mg_fsck(&findings, &counts, at->s->db, at->s->p));
    for (i = 0; i < findings->nelts; i++)
        if (strstr(APR_ARRAY_IDX(findings, i, mg_fsck_finding_t).problem,
                   "are counted"))
            return;
    fail_msg("fsck believes a wrong counter");
}

static void begin_reports(const place_t *at)
{
    seed = getenv("MG_CAMPAIGN_SEED")
               ? (apr_uint32_t)apr_atoi64(getenv("MG_CAMPAIGN_SEED")) : 4711;
    campaign(at, "one");
    campaign(at, "two");
    campaign(at, "three");
}

/* What is asked before and after segments are made is answered alike. */
static void is_packed_unseen(void **state)
{
    place_t at = place_of(*state);
    json_t *events = json_array(), *before, *after;
    apr_uint32_t then;

    begin_reports(&at);
    feed(events, &at, 6000);
    then = seed;
    before = ask(&at, 100);
    keep(&at);
    assert_true(unit_store_int(at.s->db,
                               "SELECT COUNT(*) FROM campaign_segment") >= 3);
    fsck_is_content(&at);
    seed = then;
    after = ask(&at, 100);
    assert_true(json_equal(before, after));
    json_decref(events);
    json_decref(before);
    json_decref(after);
}

/* For campaign_python; some events are in segments, some wait. */
static void reports(void **state)
{
    place_t at = place_of(*state);
    json_t *events = json_array(), *answers;

    begin_reports(&at);
    feed(events, &at, 5000);
    keep(&at);
    feed(events, &at, 600);
    keep(&at);
    answers = ask(&at, 120);
    write_answers(at.s, events, answers);
    json_decref(events);
    json_decref(answers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(notes), UNIT_ON_BOTH(octets_are_made_text),
        UNIT_ON_BOTH(leaves_nothing),
        UNIT_ON_BOTH(grows_old),
        UNIT_ON_BOTH(is_packed_unseen),
        UNIT_ON_BOTH(reports),
    };
    if (getenv("MG_CAMPAIGN_DIR"))
        cmocka_set_test_filter("reports*");
    return unit_store_run("campaign_event", tests);
}
