/* test_suppression.c - addresses a domain sends nothing any more. */
#include <string.h>

#include <apr_strings.h>

#include "mg_event.h"
#include "mg_status.h"
#include "mg_suppression.h"
#include "unit_records.h"

static apr_int64_t domain;

static void add(unit_store_t *s, mg_suppression_kind_t kind,
                const char *address, const char *tag)
{
    mg_suppression_t entry = { .kind = kind, .address = address, .tag = tag };

    unit_store_ok(s->db, mg_suppression_add(s->db, domain, &entry, s->p));
}

static const mg_suppression_t *get(unit_store_t *s, mg_suppression_kind_t kind,
                                   const char *address, int n)
{
    apr_array_header_t *list;

    unit_store_ok(s->db, mg_suppression_list(&list, s->db, domain, kind,
                                             address, NULL, 0, 0, s->p));
    assert_int_equal(list->nelts, n);
    return n ? &APR_ARRAY_IDX(list, 0, mg_suppression_t) : NULL;
}

static void setup(unit_store_t *s)
{
    domain = unit_domain(s, unit_account(s, "acme"), "a.test")->id;
}

static void test_rows(void **state)
{
    unit_store_t *s = *state;
    mg_suppression_t bounce = { .kind = MG_BOUNCED, .address = "Bob@X.test",
                                .code = "554", .error = "no \xff such",
                                .class = "unknown" };
    const mg_suppression_t *found;
    apr_int64_t n;

    setup(s);
    unit_store_ok(s->db, mg_suppression_add(s->db, domain, &bounce, s->p));
    found = get(s, MG_BOUNCED, "bob@x.TEST", 1);
    assert_string_equal(found->address, "Bob@X.test");
    assert_string_equal(found->code, "554");
    assert_string_equal(found->error, "no \xef\xbf\xbd such");
    assert_string_equal(found->class, "unknown");
    add(s, MG_BOUNCED, "bob@x.test", NULL); /* replaced */
    assert_string_equal(get(s, MG_BOUNCED, "bob@x.test", 1)->code, "550");

    add(s, MG_COMPLAINED, "bob@x.test", NULL);
    add(s, MG_COMPLAINED, "BOB@x.test", NULL);
    assert_int_equal(get(s, MG_COMPLAINED, "bob@x.test", 1)->count, 2);

    add(s, MG_UNSUBSCRIBED, "bob@x.test", "news");
    add(s, MG_UNSUBSCRIBED, "bob@x.test", "news");
    add(s, MG_UNSUBSCRIBED, "bob@x.test", NULL);
    found = get(s, MG_UNSUBSCRIBED, "bob@x.test", 2);
    assert_string_equal(found[0].tag, "*");
    assert_string_equal(found[1].tag, "news");
    assert_int_equal(strlen(found[1].public_id), 24);
    unit_store_ok(s->db, mg_suppression_count(&n, s->db, domain,
                                              MG_UNSUBSCRIBED));
    assert_int_equal(n, 2);
    unit_store_ok(s->db, mg_suppression_remove(s->db, domain, MG_UNSUBSCRIBED,
                                               "BOB@x.test", "news", s->p));
    assert_int_equal(mg_suppression_remove(s->db, domain, MG_UNSUBSCRIBED,
                                           "bob@x.test", "news", s->p),
                     APR_ENOENT);
    get(s, MG_UNSUBSCRIBED, "bob@x.test", 1);
    unit_store_ok(s->db, mg_suppression_remove(s->db, domain, MG_BOUNCED,
                                               "bob@x.test", NULL, s->p));
    get(s, MG_BOUNCED, "bob@x.test", 0);

    unit_store_ok(s->db, mg_domain_remove(s->db, domain, s->p));
    get(s, MG_UNSUBSCRIBED, "bob@x.test", 0);
    get(s, MG_COMPLAINED, "bob@x.test", 0);
}

static void counts(unit_store_t *s, int bounces, int unsubscribes,
                   int complaints)
{
    const int want[] = { bounces, unsubscribes, complaints };
    apr_int64_t n;
    int kind;

    for (kind = 0; kind < MG_SUPPRESSIONS; kind++) {
        unit_store_ok(s->db, mg_suppression_count(
            &n, s->db, domain, (mg_suppression_kind_t)kind));
        assert_int_equal(n, want[kind]);
    }
}

/* Totals are exact whatever happens to the rows. */
static void test_totals(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t n;
    int folded, more;

    setup(s);
    counts(s, 0, 0, 0);
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    add(s, MG_BOUNCED, "a@x.test", NULL);
    mg_tx_rollback(s->db);
    counts(s, 0, 0, 0);
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    mg_event_context(s->db, NULL, 7);
    add(s, MG_BOUNCED, "a@x.test", NULL);
    add(s, MG_BOUNCED, "A@x.test", NULL);
    add(s, MG_BOUNCED, "b@x.test", NULL);
    add(s, MG_COMPLAINED, "b@x.test", NULL);
    add(s, MG_UNSUBSCRIBED, "b@x.test", "one");
    add(s, MG_UNSUBSCRIBED, "b@x.test", "two");
    unit_store_ok(s->db, mg_tx_commit(s->db));
    counts(s, 2, 2, 1);
    mg_event_context(s->db, NULL, 8);
    unit_store_ok(s->db, mg_suppression_remove(s->db, domain, MG_UNSUBSCRIBED,
                                               "b@x.test", NULL, s->p));
    counts(s, 2, 0, 1);
    unit_store_ok(s->db, mg_suppression_fold(&folded, s->db, 100, s->p));
    assert_int_equal(folded, 4);
    counts(s, 2, 0, 1);
    unit_store_ok(s->db, mg_suppression_fold(&folded, s->db, 100, s->p));
    assert_int_equal(folded, 0);
    unit_store_ok(s->db, mg_suppression_clear_some(&n, s->db, domain,
                                                   MG_BOUNCED, 1));
    assert_int_equal(n, 1);
    get(s, MG_BOUNCED, "b@x.test", 1);
    counts(s, 1, 0, 1);
    unit_store_ok(s->db, mg_suppression_forget(&more, s->db, domain));
    assert_int_equal(more, 0);
    counts(s, 0, 0, 0);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM"
                                    " suppression_total"), 0);
}

/* A domain that is removed takes some at once; the keeper has the rest. */
static void test_go_with_their_domain(void **state)
{
    unit_store_t *s = *state;
    int i, more = 1, steps = 0;

    setup(s);
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    for (i = 0; i < 600; i++)
        add(s, i % 2 ? MG_BOUNCED : MG_UNSUBSCRIBED,
            apr_psprintf(s->p, "a%d@x.test", i), NULL);
    unit_store_ok(s->db, mg_tx_commit(s->db));
    unit_store_ok(s->db, mg_suppression_sweep(&more, s->db));
    assert_int_equal(more, 0); /* the domain is there */
    counts(s, 300, 300, 0);
    unit_store_ok(s->db, mg_domain_remove(s->db, domain, s->p));
    counts(s, 50, 300, 0);
    do
        unit_store_ok(s->db, mg_suppression_sweep(&more, s->db));
    while (more && ++steps < 9);
    assert_int_equal(steps, 2);
    counts(s, 0, 0, 0);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM bounce"), 0);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM"
                                    " suppression_total"), 0);
}

static void test_pages(void **state)
{
    unit_store_t *s = *state;
    apr_array_header_t *list;
    int i;

    setup(s);
    for (i = 0; i < 5; i++)
        add(s, MG_BOUNCED, apr_psprintf(s->p, "%c@x.test", 'e' - i), NULL);
    unit_store_ok(s->db, mg_suppression_list(&list, s->db, domain, MG_BOUNCED,
                                             NULL, "B@x.test", 1, 2, s->p));
    assert_int_equal(list->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(list, 0, mg_suppression_t).address,
                        "d@x.test");
}

static void happened(unit_store_t *s, mg_event_kind_t kind,
                     const char *recipient, const char *tag, const char *list,
                     int direction)
{
    mg_event_t event = { .kind = kind, .account_id = 1, .domain_id = domain,
                         .direction = direction, .recipient = recipient,
                         .recipient_as_given = recipient, .sender = "",
                         .subject = "", .tag = tag, .mailing_list = list };

    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_event_append(s->db, &event, s->p));
    unit_store_ok(s->db, mg_tx_commit(s->db));
}

/* What is appended as an event is entered. */
static void test_follow_from_events(void **state)
{
    unit_store_t *s = *state;
    const mg_suppression_t *found;

    setup(s);
    happened(s, MG_EVENT_UNSUBSCRIBED, "a@x.test", "one\ntwo words", NULL,
             MG_OUTGOING);
    found = get(s, MG_UNSUBSCRIBED, "a@x.test", 2);
    assert_string_equal(found[0].tag, "one");
    assert_string_equal(found[1].tag, "two words");
    happened(s, MG_EVENT_UNSUBSCRIBED, "b@x.test", NULL, NULL, MG_OUTGOING);
    assert_string_equal(get(s, MG_UNSUBSCRIBED, "b@x.test", 1)->tag, "*");
    happened(s, MG_EVENT_UNSUBSCRIBED, "c@x.test", NULL, "l@a.test",
             MG_OUTGOING);
    get(s, MG_UNSUBSCRIBED, "c@x.test", 0);
    happened(s, MG_EVENT_COMPLAINED, "a@x.test", NULL, NULL, MG_OUTGOING);
    happened(s, MG_EVENT_COMPLAINED, "A@x.test", NULL, NULL, MG_OUTGOING);
    happened(s, MG_EVENT_COMPLAINED, "b@x.test", NULL, NULL, MG_INCOMING);
    assert_int_equal(get(s, MG_COMPLAINED, "a@x.test", 1)->count, 2);
    counts(s, 0, 3, 1);
}

static void page(unit_store_t *s, const char *prefix, const char *pivot,
                 int down, int limit, const char *want)
{
    mg_suppression_page_t page = { prefix, pivot, down, limit };
    apr_array_header_t *list;
    const char *got = "";
    int i;

    unit_store_ok(s->db, mg_suppression_page(&list, s->db, domain,
                                             MG_UNSUBSCRIBED, &page, s->p));
    for (i = 0; i < list->nelts; i++)
        got = apr_pstrcat(s->p, got, apr_pstrmemdup(
            s->p, APR_ARRAY_IDX(list, i, mg_suppression_t).address, 2), NULL);
    assert_string_equal(got, want);
}

/* By address, all rows of each. */
static void test_pages_by_address(void **state)
{
    static const char *const who[] = { "a1", "a2", "B1", "b2", "c1" };
    unit_store_t *s = *state;
    mg_suppression_t *found;
    int i;

    setup(s);
    for (i = 0; i < 5; i++)
        add(s, MG_UNSUBSCRIBED, apr_pstrcat(s->p, who[i], "@x.test", NULL),
            "t");
    add(s, MG_UNSUBSCRIBED, "a2@x.test", "u");
    page(s, NULL, NULL, 0, 3, "a1a2a2B1");
    page(s, NULL, "b1@X.test", 0, 3, "b2c1");
    page(s, NULL, "c1@x.test", 0, 3, "");
    page(s, NULL, NULL, 1, 2, "b2c1");
    page(s, NULL, "b2@x.test", 1, 2, "a2a2B1");
    page(s, NULL, "a1@x.test", 1, 2, "");
    page(s, "B", NULL, 0, 9, "B1b2");
    page(s, "b", NULL, 1, 1, "b2");
    page(s, "b", "b2@x.test", 1, 9, "B1");
    unit_store_ok(s->db, mg_suppression_by_id(
        &found, s->db, domain,
        get(s, MG_UNSUBSCRIBED, "c1@x.test", 1)->public_id, s->p));
    assert_string_equal(found->address, "c1@x.test");
    assert_int_equal(mg_suppression_by_id(&found, s->db, domain + 1,
                                          found->public_id, s->p),
                     APR_ENOENT);
}

/* The tables say what? of whom? */
static void test_match(void **state)
{
    static const struct {
        const char *address, *options;
        int code;
    } cases[] = {
        { "ok@x.test", "{}", 0 },
        { "BOUNCED@x.test", "{}", 605 },
        { "all@x.test", "{}", 606 },
        { "news@x.test", "{}", 0 },
        { "news@x.test", "{\"tags\":[\"other\",\"News\"]}", 606 },
        { "spam@x.test", "{}", 607 },
        { "both@x.test", "{}", 605 },
        { "o\"dd'@x.test", "{}", 0 },
    };
    enum { N = sizeof(cases) / sizeof(cases[0]) };
    unit_store_t *s = *state;
    mg_suppression_ask_t asks[N + 1];
    apr_array_header_t *hits;
    const char *why;
    int i, k, code, found;

    setup(s);
    for (i = 0; i < N; i++) {
        asks[i].domain_id = domain;
        asks[i].address = cases[i].address;
    }
    asks[N].domain_id = domain + 1;         /* another domain's */
    asks[N].address = "bounced@x.test";
    unit_store_ok(s->db, mg_suppression_match(&hits, s->db, asks, N + 1,
                                              s->p));
    assert_int_equal(hits->nelts, 0);
    add(s, MG_BOUNCED, "bounced@x.test", NULL);
    add(s, MG_COMPLAINED, "both@x.test", NULL);
    add(s, MG_BOUNCED, "both@x.test", NULL);
    add(s, MG_UNSUBSCRIBED, "all@x.test", "*");
    add(s, MG_UNSUBSCRIBED, "news@x.test", "news");
    add(s, MG_COMPLAINED, "spam@x.test", NULL);
    unit_store_ok(s->db, mg_suppression_match(&hits, s->db, asks, N + 1,
                                              s->p));
    for (i = 0; i <= N; i++) {
        found = 0;
        for (k = 0; k < hits->nelts && !found; k++) {
            const mg_suppression_hit_t *hit =
                &APR_ARRAY_IDX(hits, k, mg_suppression_hit_t);

            if (hit->index == i
                && mg_suppression_stops(&code, &why, hit,
                                        i < N ? cases[i].options : "{}", s->p))
                found = code;
        }
        assert_int_equal(found, i < N ? cases[i].code : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(test_rows),
        UNIT_ON_BOTH(test_pages),
        UNIT_ON_BOTH(test_totals),
        UNIT_ON_BOTH(test_go_with_their_domain),
        UNIT_ON_BOTH(test_follow_from_events),
        UNIT_ON_BOTH(test_pages_by_address),
        UNIT_ON_BOTH(test_match),
    };
    return unit_store_run("suppression", tests);
}
