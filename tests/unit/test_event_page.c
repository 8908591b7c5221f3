/* test_event_page.c - a domain's events counted and walked through. */
#include <pthread.h>
#include <string.h>
#include <apr_strings.h>

#include "mg_event.h"
#include "mg_event_count.h"
#include "mg_event_page.h"
#include "mg_id.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_records.h"

#define HOUR APR_INT64_C(3600000)

/* An event of that hour (since 2020), the seq-th of it. */
static apr_int64_t put(unit_store_t *s, apr_int64_t domain, apr_int64_t hour,
                       apr_int64_t seq, const char *kind, const char *to)
{
    apr_int64_t id = ((hour * HOUR) << 22) + seq;

    unit_store_ok(s->db, mg_db_exec(
        s->db, NULL,
        "INSERT INTO event (id, account_id, domain_id, message_id,"
        " delivery_id, kind, recipient, log_text, detail, created_at)"
        " VALUES ($1, 1, $2, 0, 0, $3, $4, $5, '{}', $6)", "iittti", id,
        domain, kind, to, apr_psprintf(s->p, "%d/%d", (int)hour, (int)seq),
        (apr_int64_t)mg_id_time(id)));
    unit_store_ok(s->db, mg_db_exec(
        s->db, NULL, "INSERT INTO event_hour (domain_id, hour, slot, n) VALUES"
        " ($1, $2, $3, 1) ON CONFLICT (domain_id, hour, slot) DO UPDATE SET"
        " n = event_hour.n + 1", "iii", domain, hour, seq % 3));
    return id;
}

static const char *at(const apr_array_header_t *rows, int i)
{
    return APR_ARRAY_IDX(rows, i, mg_log_item_t *)->message;
}

/* Hours of several slots, another domain between. */
static void log_skips_to_any_row(void **state)
{
    static const int hours[] = { 10, 11, 13, 20 };
    static const int many[] = { 5, 1, 7, 4 };
    const char *want[17];
    unit_store_t *s = *state;
    apr_array_header_t *rows;
    apr_int64_t total;
    int i, k, n = 0, skip;

    for (i = 3; i >= 0; i--)
        for (k = many[i] - 1; k >= 0; k--) {
            put(s, 1, hours[i], k, "delivered", "bob@x.test");
            put(s, 2, hours[i], k + 100, "delivered", "bob@x.test");
            want[n++] = apr_psprintf(s->p, "%d/%d", hours[i], k);
        }
    for (skip = 0; skip < n; skip++) {
        unit_store_ok(s->db, mg_event_log(&rows, &total, s->db, 1, skip, 3,
                                          s->p));
        assert_int_equal(total, n);
        assert_int_equal(rows->nelts, n - skip < 3 ? n - skip : 3);
        for (i = 0; i < rows->nelts; i++)
            assert_string_equal(at(rows, i), want[skip + i]);
    }
    unit_store_ok(s->db, mg_event_log(&rows, &total, s->db, 1, n, 3, s->p));
    assert_int_equal(rows->nelts, 0);
    assert_int_equal(total, n);
    unit_store_ok(s->db, mg_event_log(&rows, &total, s->db, 3, 0, 3, s->p));
    assert_int_equal(total, 0);
}

/* Folding moves past hours into slot 0 and keeps sums. */
static void slots_are_folded(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t now = mg_event_hour(mg_id_floor(mg_now()));
    int folded;

    put(s, 1, 10, 1, "delivered", "x@x.test");
    put(s, 1, 10, 2, "delivered", "x@x.test");
    put(s, 1, 10, 3, "delivered", "x@x.test");
    put(s, 1, now, 1, "delivered", "x@x.test");
    unit_store_ok(s->db, mg_event_count_fold(&folded, s->db, 100, s->p));
    assert_int_equal(folded, 2);
    assert_int_equal(unit_store_int(s->db, "SELECT n FROM event_hour WHERE"
                                           " hour = 10 AND slot = 0"), 3);
    assert_int_equal(unit_store_int(s->db, "SELECT slot FROM event_hour WHERE"
                                           " hour > 10"), 1);
    unit_store_ok(s->db, mg_event_count_fold(&folded, s->db, 100, s->p));
    assert_int_equal(folded, 0);
}

static void append_counts(void **state)
{
    unit_store_t *s = *state;
    mg_event_t e;
    int i;

    memset(&e, 0, sizeof(e));
    e.account_id = 1;
    e.domain_id = 7;
    e.recipient = "bob@x.test";
    e.sender = e.subject = "";
    for (i = 0; i < 2; i++) {
        unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
        unit_store_ok(s->db, mg_event_append(s->db, &e, s->p));
        unit_store_ok(s->db, mg_event_append(s->db, &e, s->p));
        if (i == 0)
            mg_tx_rollback(s->db);
        else
            unit_store_ok(s->db, mg_tx_commit(s->db));
    }
    assert_int_equal(unit_store_int(s->db, "SELECT CAST(SUM(n) AS BIGINT) FROM"
                                           " event_hour WHERE domain_id = 7"),
                     2);
}

/* --- pages --- */

static const char *ids(const apr_array_header_t *rows, apr_pool_t *p)
{
    const char *out = "";
    int i;

    for (i = 0; i < rows->nelts; i++)
        out = apr_psprintf(p, "%s%s%d", out, i ? " " : "",
                           (int)(APR_ARRAY_IDX(rows, i, mg_event_row_t *)->id
                                 & 0x3FFFFF));
    return out;
}

static int is_odd(const mg_event_row_t *row, void *baton)
{
    (void)baton;
    return row->id & 1;
}

static const struct {
    int is_down, limit;
    const char *kind, *or_kind, *recipient;
    mg_event_wanted_fn *wanted;
    const char *pages;          /* one behind the other */
} walks[] = {
    { 0, 4, NULL, NULL, NULL, NULL, "1 2 3 4|5 6 7 8|9 10|" },
    { 1, 4, NULL, NULL, NULL, NULL, "10 9 8 7|6 5 4 3|2 1|" },
    { 0, 5, NULL, NULL, NULL, NULL, "1 2 3 4 5|6 7 8 9 10|" },
    { 0, 2, "failed", NULL, NULL, NULL, "3 6|9|" },
    { 1, 2, "failed", NULL, NULL, NULL, "9 6|3|" },
    { 1, 2, "opened", "failed", NULL, NULL, "9 6|3|" },
    { 0, 2, "opened", NULL, NULL, NULL, "|" },
    { 0, 3, "failed", "delivered", NULL, is_odd, "1 3 5|7 9|" },
    { 0, 9, NULL, NULL, "ann@x.test", NULL, "5 10|" },
    { 1, 1, NULL, NULL, "ann@x.test", NULL, "10|5|" },
    { 0, 3, NULL, NULL, NULL, is_odd, "1 3 5|7 9|" },
    { 1, 3, "failed", NULL, NULL, is_odd, "9 3|" },
    { 0, 0, NULL, NULL, NULL, NULL, "|" },
};

/* To the end, and then once more: an empty page that stays where it is. */
static void pages_are_walked(void **state)
{
    unit_store_t *s = *state;
    apr_array_header_t *rows;
    apr_int64_t after, end;
    apr_size_t i;
    int k, cut;

    for (k = 1; k <= 10; k++) {
        put(s, 1, 50, k, k % 3 ? "delivered" : "failed",
            k % 5 ? "bob@x.test" : "Ann@x.test");
        put(s, 2, 50, k + 20, "failed", "ann@x.test");
    }
    for (i = 0; i < sizeof(walks) / sizeof(walks[0]); i++) {
        mg_event_query_t q = { .domain_id = 1, .high = APR_INT64_MAX,
                               .is_down = walks[i].is_down,
                               .limit = walks[i].limit,
                               .kinds = { walks[i].kind,
                                          walks[i].or_kind },
                               .recipient = walks[i].recipient,
                               .wanted = walks[i].wanted,
                               .budget = apr_time_from_sec(600) };
        const char *pages = "";

        do {
            unit_store_ok(s->db, mg_event_page(&rows, &after, &cut, s->db, &q,
                                               s->p));
            assert_false(cut);
            if (rows->nelts)
                pages = apr_pstrcat(s->p, pages, ids(rows, s->p), "|", NULL);
            *(q.is_down ? &q.high : &q.low) = end = after;
        } while (rows->nelts);
        if (!*pages)
            pages = "|";
        if (strcmp(pages, walks[i].pages))
            fail_msg("walk %d: %s", (int)i, pages);
        unit_store_ok(s->db, mg_event_page(&rows, &after, &cut, s->db, &q,
                                           s->p));
        assert_int_equal(after, end);
    }
}

/* Filters that find nothing end when time is up, and go on from there. */
static void looking_is_bounded(void **state)
{
    unit_store_t *s = *state;
    mg_event_query_t q = { .domain_id = 1, .high = APR_INT64_MAX, .limit = 10,
                           .recipient = "nobody@x.test", .budget = 1 };
    apr_array_header_t *rows;
    apr_int64_t after;
    int k, cut, pages = 0;

    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    for (k = 1; k <= 3000; k++)
        put(s, 1, 50, k, "delivered", k < 3000 ? "b@x.test"
                                               : "nobody@x.test");
    unit_store_ok(s->db, mg_tx_commit(s->db));
    do {
        unit_store_ok(s->db, mg_event_page(&rows, &after, &cut, s->db, &q,
                                           s->p));
        assert_true(after > q.low);
        q.low = after;
        q.budget = 2;   /* the first window always is looked at */
    } while (++pages < 50 && !rows->nelts);
    assert_int_equal(rows->nelts, 1);
    assert_string_equal(ids(rows, s->p), "3000");
}

/* Filters that cost much a row end inside of a window, and lose none. */
static int slow(const mg_event_row_t *row, void *baton)
{
    (void)baton;
    apr_sleep(20 * APR_TIME_C(1000));
    return row->id % 10 == 0;
}

static void slow_filters_are_bounded(void **state)
{
    unit_store_t *s = *state;
    mg_event_query_t q = { .domain_id = 1, .high = APR_INT64_MAX, .limit = 100,
                           .wanted = slow, .budget = 1 };
    int i, k, cut, pages, found;
    apr_array_header_t *rows;
    apr_int64_t after, last;

    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    for (k = 1; k <= 50; k++) /* all of them: a second */
        put(s, 1, 50, k, "delivered", "b@x.test");
    unit_store_ok(s->db, mg_tx_commit(s->db));
    for (i = 0; i < 2; i++, q.kinds[0] = "delivered") { /* by the index, too */
        q.low = last = found = pages = 0;
        do {
            unit_store_ok(s->db, mg_event_page(&rows, &after, &cut, s->db, &q,
                                               s->p));
            for (k = 0; k < rows->nelts; k++, found++) {
                assert_true(APR_ARRAY_IDX(rows, k, mg_event_row_t *)->id
                            > last);
                last = APR_ARRAY_IDX(rows, k, mg_event_row_t *)->id;
            }
            q.low = after;
        } while (++pages < 60 && cut);
        assert_int_equal(found, 5);
        assert_in_range(pages, 4, 59);
    }
}

static void message_is_found(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_event_query_t q = { .domain_id = d->id, .high = APR_INT64_MAX,
                           .limit = 10 };
    apr_array_header_t *rows;
    mg_message_t *m = unit_message(s, d);
    const mg_event_row_t *row;
    apr_int64_t after;
    int cut;

    unit_envelope(m, MG_TRANSPORT_SMTP, "a@x.test", "x.test");
    unit_envelope(m, MG_TRANSPORT_SMTP, "b@x.test", "x.test");
    unit_envelope(m, MG_TRANSPORT_SMTP, "c@x.test", "x.test");
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    unit_store_ok(s->db, mg_event_page(&rows, &after, &cut, s->db, &q, s->p));
    assert_int_equal(rows->nelts, 3);
    row = APR_ARRAY_IDX(rows, 0, const mg_event_row_t *);
    assert_int_equal(row->recipients, 3);
    unit_store_ok(s->db, mg_event_recipients(s->db, rows, s->p));
    assert_int_equal(row->all_recipients->nelts, 3);
    q.message_id = row->message_id;
    q.is_down = 1;
    unit_store_ok(s->db, mg_event_page(&rows, &after, &cut, s->db, &q, s->p));
    assert_int_equal(rows->nelts, 3);
    q.message_id = "other@x";
    unit_store_ok(s->db, mg_event_page(&rows, &after, &cut, s->db, &q, s->p));
    assert_int_equal(rows->nelts, 0);
}

/* A transaction that is open holds the boundary back, however long it is. Its
 * BEGIN is sent with its first statements: SETTLE is for what is before. */
#define SETTLE (50 * APR_TIME_C(1000))

static void open_transactions_hold_back(void **state)
{
    unit_store_t *s = *state;
    mg_db_t *other = unit_store_open(s, 0);
    apr_int64_t gap, mine;

    unit_store_ok(s->db, mg_event_settled(&gap, s->db, 0));
    assert_true(gap <= mg_id_floor(mg_now()));
    assert_true(gap > mg_id_floor(mg_now() - APR_TIME_C(60000000)));
    unit_store_ok(other, mg_tx_begin(other, MG_TX_WRITE));
    mine = mg_id_next();
    unit_store_ok(other, mg_db_exec(other, NULL, "INSERT INTO event_hour"
                                    " (domain_id, hour, slot, n) VALUES"
                                    " (1, 1, 1, $1)", "i", mine));
    unit_store_int(other, "SELECT COUNT(*) FROM event_hour"); /* it is there */
    apr_sleep(4 * SETTLE);
    unit_store_ok(s->db, mg_event_settled(&gap, s->db, SETTLE));
    if (s->kind == MG_DB_PGSQL)
        assert_true(gap <= mine);
    unit_store_ok(other, mg_tx_commit(other));
    apr_sleep(2 * SETTLE);
    unit_store_ok(s->db, mg_event_settled(&gap, s->db, SETTLE));
    assert_true(gap > mine);
}

/* Who is late adds to counters of past hours, domain by domain: the keeper
 * that folds them meanwhile goes the same way, and neither is thrown out. */
static void *fold(void *data)
{
    unit_store_t *s = data;
    apr_pool_t *p;
    static apr_status_t rv;
    int folded;

    apr_pool_create(&p, NULL);
    rv = mg_event_count_fold(&folded, s->db, 100, p);
    apr_pool_destroy(p);
    return &rv;
}

static void late_add(mg_db_t *db, apr_int64_t domain, apr_int64_t hour)
{
    unit_store_ok(db, mg_db_exec(db, NULL, "UPDATE event_hour SET n = n + 1"
                                 " WHERE domain_id = $1 AND hour = $2"
                                 " AND slot = 1", "ii", domain, hour));
}

static void folding_waits_for_the_late(void **state)
{
    unit_store_t *s = *state;
    mg_db_t *other = unit_store_open(s, 0);
    pthread_t thread;
    void *rv;

    put(s, 2, 9, 1, "delivered", "x@x.test");
    put(s, 1, 10, 1, "delivered", "x@x.test");
    unit_store_ok(other, mg_tx_begin(other, MG_TX_WRITE));
    late_add(other, 1, 10);
    unit_store_int(other, "SELECT COUNT(*) FROM event_hour"); /* it is there */
    assert_int_equal(pthread_create(&thread, NULL, fold, s), 0);
    apr_sleep(300 * APR_TIME_C(1000));
    late_add(other, 2, 9);
    unit_store_ok(other, mg_tx_commit(other));
    pthread_join(thread, &rv);
    assert_int_equal(*(apr_status_t *)rv, APR_SUCCESS);
    assert_int_equal(unit_store_int(s->db, "SELECT SUM(n) FROM event_hour"),
                     4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(log_skips_to_any_row), UNIT_ON_BOTH(slots_are_folded),
        UNIT_ON_BOTH(append_counts), UNIT_ON_BOTH(pages_are_walked),
        UNIT_ON_BOTH(looking_is_bounded),
        UNIT_ON_BOTH(slow_filters_are_bounded), UNIT_ON_BOTH(message_is_found),
        UNIT_ON_BOTH(open_transactions_hold_back),
        UNIT_ON_PGSQL(folding_waits_for_the_late),
    };

    return unit_store_run("event pages", tests);
}
