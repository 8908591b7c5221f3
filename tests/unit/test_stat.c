/* test_stat.c - counters as customers and operators read them. */
#include <string.h>
#include <apr_strings.h>

#include "mg_id.h"
#include "mg_stat.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_usage.h"
#include "unit_records.h"

#define ALL ((1u << MG_STAT_MAX) - 1)
#define BIT(event) (1u << (event))

static apr_array_header_t *texts(apr_pool_t *p, const char *a, const char *b)
{
    apr_array_header_t *list = apr_array_make(p, 2, sizeof(const char *));

    APR_ARRAY_PUSH(list, const char *) = a;
    if (b)
        APR_ARRAY_PUSH(list, const char *) = b;
    return list;
}

static void slugs(void **state)
{
    static const char *const cases[][2] = {
        { "September newsletter", "september_newsletter" },
        { "newsletters", "newsletters" },
        { "A  B", "a_b" },
        { "a_b", "a_b" },
        { "a-b.c/d", "a-b_c_d" },
        { " x ", "_x_" },
        { "***", "_" },
        { "", "" },
    };
    unit_store_t *s = *state;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(mg_stat_slug(cases[i][0], s->p), cases[i][1]);
        assert_string_equal(mg_stat_slug(cases[i][1], s->p), cases[i][1]);
    }
}

static void happen(unit_store_t *s, const mg_domain_t *d, mg_event_kind_t kind,
                   const apr_array_header_t *tags, int n)
{
    mg_event_t e = { .kind = kind, .account_id = d->account_id,
                     .domain_id = d->id, .recipient = "a@x.test",
                     .tags = tags };
    int i;

    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    for (i = 0; i < n; i++)
        unit_store_ok(s->db, mg_event_append(s->db, &e, s->p));
    unit_store_ok(s->db, mg_tx_commit(s->db));
}

static void a_day_passes(unit_store_t *s)
{
    unit_store_ok(s->db, mg_db_script(
        s->db, "UPDATE stat SET day = day - 1;"
        "UPDATE stat_tag SET day = day - 1;"));
}

static apr_array_header_t *list(unit_store_t *s, const mg_domain_t *d,
                                unsigned events, apr_int64_t since,
                                int skip, int limit, int total)
{
    apr_array_header_t *items;
    apr_int64_t n;

    unit_store_ok(s->db, mg_stat_list(&items, &n, s->db, d->id, events, since,
                                      skip, limit, s->p));
    assert_int_equal(n, total);
    return items;
}

/* A tag for each message is the customer's affair, and no long answer. */
static void too_many_tags(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    apr_array_header_t *items;
    apr_int64_t total;
    int i;

    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    for (i = 0; i < MG_STAT_TAGS_MAX + 10; i++)
        mg_stat_add_tag(mg_batch_get(s->db), d->id, 5, "accepted",
                        apr_psprintf(s->p, "tag%d", i), 1);
    mg_stat_add(mg_batch_get(s->db), d->id, 5, "accepted", 7);
    mg_stat_add(mg_batch_get(s->db), d->id, 6, "accepted", 7);
    mg_stat_add_tag(mg_batch_get(s->db), d->id, 6, "accepted", "new", 1);
    unit_store_ok(s->db, mg_tx_commit(s->db));
    unit_store_ok(s->db, mg_stat_list(&items, &total, s->db, d->id, ALL, 0, 0,
                                      100, s->p));
    assert_int_equal(total, 2);
    assert_int_equal(APR_ARRAY_IDX(items, 0, mg_stat_item_t).tags->nelts, 1);
    assert_int_equal(APR_ARRAY_IDX(items, 1, mg_stat_item_t).tags->nelts,
                     MG_STAT_TAGS_MAX - 1);
}

/* tags: "slug=n slug=n " */
static void is(const apr_array_header_t *items, int i, mg_stat_event_t event,
               apr_int64_t n, const char *tags, apr_pool_t *p)
{
    const mg_stat_item_t *item = &APR_ARRAY_IDX(items, i, mg_stat_item_t);
    const char *words = "";
    int t;

    assert_true(i < items->nelts);
    for (t = 0; t < item->tags->nelts; t++) {
        const mg_stat_tag_t *tag = &APR_ARRAY_IDX(item->tags, t,
                                                  mg_stat_tag_t);

        words = apr_psprintf(p, "%s%s=%d ", words, tag->slug, (int)tag->n);
    }
    assert_int_equal(item->event, event);
    assert_int_equal(item->n, n);
    assert_string_equal(words, tags);
    assert_int_equal(strspn(item->id, "0123456789abcdef"), 24);
    assert_int_equal(strlen(item->id), 24);
}

static void stats(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_domain_t *other = unit_domain(s, d->account_id, "b.test");
    apr_array_header_t *items;
    apr_int64_t today = mg_time_day(mg_now());
    const char *id;

    happen(s, d, MG_EVENT_ACCEPTED, texts(s->p, "Big News", "x"), 3);
    happen(s, d, MG_EVENT_FAILED, texts(s->p, "x", NULL), 1);
    happen(s, d, MG_EVENT_FAILED_LATE, texts(s->p, "x", NULL), 1);
    a_day_passes(s);
    happen(s, d, MG_EVENT_ACCEPTED, texts(s->p, "big_news", "BIG  NEWS"), 2);
    happen(s, d, MG_EVENT_DELIVERED, NULL, 1);
    happen(s, d, MG_EVENT_ROUTED, texts(s->p, "x", NULL), 5); /* not shown */
    happen(s, d, MG_EVENT_OPENED, texts(s->p, "big news", NULL), 1);
    happen(s, other, MG_EVENT_ACCEPTED, texts(s->p, "x", NULL), 9);

    items = list(s, d, ALL, 0, 0, 100, 6);
    assert_int_equal(items->nelts, 6);
    is(items, 0, MG_STAT_SENT, 2, "big_news=2 ", s->p);
    is(items, 1, MG_STAT_DELIVERED, 1, "", s->p);
    is(items, 2, MG_STAT_OPENED, 1, "big_news=1 ", s->p);
    is(items, 3, MG_STAT_SENT, 3, "big_news=3 x=3 ", s->p);
    is(items, 4, MG_STAT_BOUNCED, 2, "x=2 ", s->p);
    is(items, 5, MG_STAT_DROPPED, 2, "x=2 ", s->p); /* comes with it */
    id = APR_ARRAY_IDX(items, 3, mg_stat_item_t).id;
    assert_string_not_equal(id, APR_ARRAY_IDX(items, 0, mg_stat_item_t).id);
    assert_string_not_equal(id, APR_ARRAY_IDX(items, 4, mg_stat_item_t).id);

    items = list(s, d, ALL, 0, 3, 1, 6);
    assert_int_equal(items->nelts, 1);
    is(items, 0, MG_STAT_SENT, 3, "big_news=3 x=3 ", s->p);
    assert_string_equal(APR_ARRAY_IDX(items, 0, mg_stat_item_t).id, id);
    items = list(s, d, BIT(MG_STAT_SENT) | BIT(MG_STAT_BOUNCED), 0, 1, 2, 3);
    assert_int_equal(items->nelts, 2);
    is(items, 1, MG_STAT_BOUNCED, 2, "x=2 ", s->p);
    items = list(s, d, ALL, today, 0, 100, 3);
    assert_int_equal(items->nelts, 3);
    assert_int_equal(list(s, d, ALL, today + 1, 0, 100, 0)->nelts, 0);
    assert_int_equal(list(s, d, ALL, 0, 6, 100, 6)->nelts, 0);
    assert_int_equal(list(s, d, ALL, 0, 0, 0, 6)->nelts, 0);
    assert_int_equal(list(s, d, BIT(MG_STAT_CLICKED), 0, 0, 9, 0)->nelts, 0);
}

/* What processes counted apart is one number. */
static void slots(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    apr_array_header_t *items;
    int slot;

    for (slot = 0; slot < 3; slot++)
        unit_store_ok(s->db, mg_db_script(s->db, apr_psprintf(
            s->p, "INSERT INTO stat (domain_id, day, kind, slot, n) SELECT"
            " id, 5, 'accepted', %d, 2 FROM domain; INSERT INTO stat_tag"
            " (domain_id, day, kind, tag, slot, n) SELECT id, 5, kind, tag,"
            " %d, 1 FROM domain, (SELECT 'accepted' AS kind, 'a' AS tag UNION"
            " ALL SELECT 'accepted', 'b' UNION ALL SELECT 'opened', 'b') t",
            slot, slot)));
    items = list(s, d, ALL, 0, 0, 100, 1);
    is(items, 0, MG_STAT_SENT, 6, "a=3 b=3 ", s->p);
}

static void a_tag_goes(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_domain_t *other = unit_domain(s, d->account_id, "b.test");
    apr_array_header_t *items;
    int has;

    happen(s, d, MG_EVENT_ACCEPTED, texts(s->p, "Big News", "x"), 3);
    happen(s, other, MG_EVENT_ACCEPTED, texts(s->p, "Big News", "x"), 3);
    unit_store_is(s->db, mg_stat_remove_tag(s->db, d->id, "other", s->p),
                  APR_ENOENT);
    unit_store_ok(s->db, mg_stat_remove_tag(s->db, d->id, "Big News", s->p));
    unit_store_ok(s->db, mg_stat_has_tag(&has, s->db, d->id, "big_news",
                                         s->p));
    assert_false(has);
    items = list(s, d, ALL, 0, 0, 100, 1);
    is(items, 0, MG_STAT_SENT, 3, "x=3 ", s->p);
    unit_store_ok(s->db, mg_stat_remove_tag(s->db, other->id, "big_news",
                                            s->p));
    items = list(s, other, ALL, 0, 0, 100, 1);
    is(items, 0, MG_STAT_SENT, 3, "x=3 ", s->p);
}

static void usage_counts(unit_store_t *s, const mg_domain_t *d)
{
    mg_event_t e = { .account_id = d->account_id, .domain_id = d->id,
                     .recipient = "a@x.test" };
    int i;

    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    for (i = 0; i < 7; i++) {
        e.campaigns = i < 2 ? texts(s->p, "c1", "c2") : NULL;
        e.direction = i == 4 ? MG_INCOMING : MG_OUTGOING;
        e.testmode = i == 5;
        e.notice = i == 6;
        unit_store_ok(s->db, mg_event_append(s->db, &e, s->p));
    }
    unit_store_ok(s->db, mg_tx_commit(s->db));
}

static void usage(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    apr_int64_t today = mg_time_day(mg_now()), after = 0;
    apr_array_header_t *days;
    const mg_usage_t *u;
    int i;

    usage_counts(s, d);
    for (i = 3; i > 1; i--) {
        unit_store_ok(s->db, mg_db_exec(
            s->db, NULL, "INSERT INTO mailbox_usage (mailbox_id, domain_id,"
            " bytes, messages, updated_at) VALUES ($1, $2, 1000, 1, 0)", "ii",
            (apr_int64_t)i, d->id));
        unit_store_ok(s->db, mg_usage_measure(&after, s->db, 10, s->p));
        assert_int_equal(after, 0);
    }
    /* the most counts */
    unit_store_ok(s->db, mg_db_script(s->db, "DELETE FROM mailbox_usage"));
    unit_store_ok(s->db, mg_usage_measure(&after, s->db, 1, s->p));
    assert_int_equal(after, d->account_id);
    unit_store_ok(s->db, mg_usage_measure(&after, s->db, 1, s->p));
    assert_int_equal(after, 0);

    unit_store_ok(s->db, mg_usage_list(&days, s->db, d->account_id, today,
                                       today, s->p));
    assert_int_equal(days->nelts, 1);
    u = &APR_ARRAY_IDX(days, 0, mg_usage_t);
    assert_int_equal(u->sent, 4);
    assert_int_equal(u->campaign_sent, 2);
    assert_int_equal(u->received, 1);
    assert_int_equal(u->stored_bytes, 2000);
    unit_store_ok(s->db, mg_usage_list(&days, s->db, d->account_id, 0,
                                       today - 1, s->p));
    assert_int_equal(days->nelts, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_SQLITE(slugs),
        UNIT_ON_BOTH(stats),
        UNIT_ON_BOTH(slots),
        UNIT_ON_BOTH(a_tag_goes),
        UNIT_ON_BOTH(too_many_tags),
        UNIT_ON_BOTH(usage),
    };
    return unit_store_run("stat", tests);
}
