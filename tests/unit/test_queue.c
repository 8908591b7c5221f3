/* test_queue.c - claims, leases, fencing, fairness. */
#include <string.h>
#include <apr_hash.h>
#include <apr_strings.h>

#include "mg_destination.h"
#include "mg_id.h"
#include "mg_queue_sql.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_records.h"

static mg_delivery_t *at(const apr_array_header_t *list, int i)
{
    return APR_ARRAY_IDX(list, i, mg_delivery_t *);
}

static void claim_and_settle(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_message_t *m = unit_message(s, d);
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    apr_array_header_t *list;
    mg_envelope_t *e;
    apr_time_t due;

    assert_int_equal(unit_claim(s, s->db, c, 10)->nelts, 0);
    unit_store_ok(s->db, mg_queue_next_due(&due, s->db, c));
    assert_int_equal(due, 0);

    e = unit_envelope(m, MG_TRANSPORT_SMTP, "bob@b.test", "b.test");
    e->recipient_as_given = "Bob <bob@b.test>";
    e->variables = "{\"n\":1}";
    e->payload = "{}";
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    unit_store_ok(s->db, mg_queue_next_due(&due, s->db, c));
    assert_int_equal(due, m->created_at);

    list = unit_claim(s, s->db, c, 10);
    assert_int_equal(list->nelts, 1);
    assert_int_equal(at(list, 0)->id, e->id);
    assert_int_equal(at(list, 0)->message_id, m->id);
    assert_int_equal(at(list, 0)->domain_id, d->id);
    assert_int_equal(at(list, 0)->account_id, d->account_id);
    assert_int_equal(at(list, 0)->transport, MG_TRANSPORT_SMTP);
    assert_string_equal(at(list, 0)->recipient, "bob@b.test");
    assert_string_equal(at(list, 0)->recipient_as_given, "Bob <bob@b.test>");
    assert_string_equal(at(list, 0)->variables, "{\"n\":1}");
    assert_string_equal(at(list, 0)->dest, "b.test");
    assert_string_equal(at(list, 0)->target, "");
    assert_null(at(list, 0)->last_reply);
    assert_int_equal(at(list, 0)->claim_no, 1);
    assert_int_equal(at(list, 0)->attempts, 0);
    assert_int_equal(at(list, 0)->expires_at, 0); /* as is configured then */
    assert_true(at(list, 0)->due_at > mg_now() + apr_time_from_sec(50));
    /* claimed is not due */
    assert_int_equal(unit_claim(s, s->db, c, 10)->nelts, 0);

    unit_store_ok(s->db, unit_result(s->db, at(list, 0), MG_EVENT_DELIVERED,
                                     s->p));
    unit_store_is(s->db, unit_result(s->db, at(list, 0), MG_EVENT_DELIVERED,
                                     s->p), MG_ELEASE);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM delivery"),
                     0);
    unit_fsck(s, 1, "no DKIM key");
}

static void defer_release_bury(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    apr_array_header_t *list;
    apr_time_t due, later = mg_now() + apr_time_from_sec(600);

    unit_accept_many(s, d, 1);
    list = unit_claim(s, s->db, c, 1);
    unit_store_ok(s->db, mg_queue_defer(s->db, at(list, 0),
                                        "451 4.7.1 later \xff", later));
    unit_store_is(s->db, mg_queue_defer(s->db, at(list, 0), "x", later),
                  APR_SUCCESS); /* nobody else has claimed it since */
    assert_int_equal(unit_claim(s, s->db, c, 1)->nelts, 0);
    unit_store_ok(s->db, mg_queue_next_due(&due, s->db, c));
    assert_int_equal(due, later);

    unit_store_ok(s->db, mg_db_exec(s->db, NULL,
                                    "UPDATE delivery SET due_at = 0", ""));
    list = unit_claim(s, s->db, c, 1);
    assert_int_equal(at(list, 0)->attempts, 2);
    assert_string_equal(at(list, 0)->last_reply, "x");
    unit_store_ok(s->db, mg_queue_release(s->db, at(list, 0), mg_now()));
    list = unit_claim(s, s->db, c, 1);
    assert_int_equal(list->nelts, 1);
    assert_int_equal(at(list, 0)->attempts, 2);
    assert_int_equal(at(list, 0)->claim_no, 3);

    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_queue_bury(s->db, at(list, 0), "gave up"));
    unit_store_ok(s->db, mg_tx_commit(s->db));
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM delivery"),
                     0);
    assert_int_equal(unit_store_int(s->db, "SELECT attempts FROM dead_letter"),
                     3);
    unit_store_is(s->db, mg_queue_bury(s->db, at(list, 0), "x"), MG_ELEASE);
}

static void lost_lease(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_claimer_t *slow = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    mg_claimer_t *quick = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    apr_array_header_t *a, *b;
    int lost;

    unit_accept_many(s, d, 3);
    a = unit_claim(s, s->db, slow, 3);
    assert_int_equal(a->nelts, 3);
    /* two leases run out, another takes them */
    unit_store_ok(s->db, mg_db_exec(s->db, NULL,
                                    "UPDATE delivery SET due_at = 1"
                                    " WHERE id <> $1", "i", at(a, 0)->id));
    b = unit_claim(s, s->db, quick, 10);
    assert_int_equal(b->nelts, 2);
    assert_int_equal(at(b, 0)->claim_no, 2);

    unit_store_is(s->db, mg_queue_settle(s->db, at(a, 1)), MG_ELEASE);
    unit_store_is(s->db, mg_queue_defer(s->db, at(a, 1), "x", 5), MG_ELEASE);
    unit_store_is(s->db, mg_queue_release(s->db, at(a, 1), 5), MG_ELEASE);
    unit_store_ok(s->db, mg_queue_renew(&lost, s->db, a,
                                        apr_time_from_sec(999)));
    assert_int_equal(lost, 2);
    assert_true(at(a, 0)->due_at > mg_now() + apr_time_from_sec(900));
    assert_int_equal(at(a, 0)->claim_no, 1);
    assert_int_equal(at(a, 1)->claim_no, -1);
    assert_int_equal(at(a, 2)->claim_no, -1);
    unit_store_ok(s->db, mg_queue_settle(s->db, at(a, 0)));
    unit_store_ok(s->db, mg_queue_settle(s->db, at(b, 0)));
    unit_store_ok(s->db, mg_queue_settle(s->db, at(b, 1)));
}

static void two_claimers(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d1 = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_domain_t *d2 = unit_domain(s, d1->account_id, "b.test");
    mg_db_t *other = unit_store_open(s, 0);
    mg_claimer_t *c[2];
    apr_hash_t *seen = apr_hash_make(s->p);
    apr_array_header_t *list;
    int i, n, total = 0;

    c[0] = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    c[1] = unit_claimer(s, other, MG_TRANSPORT_SMTP);
    unit_accept_many(s, d1, 150);
    unit_accept_many(s, d2, 150);
    if (s->kind == MG_DB_PGSQL) {
        /* both are claiming at the same time: rows of an open claim are
         * skipped, not waited for */
        unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
        list = unit_claim(s, s->db, c[0], 100);
        assert_int_equal(list->nelts, 100);
        for (i = 0; i < list->nelts; i++)
            apr_hash_set(seen, &at(list, i)->id, sizeof(apr_int64_t), "");
        list = unit_claim(s, other, c[1], 100);
        assert_int_equal(list->nelts, 100);
        for (i = 0; i < list->nelts; i++)
            assert_null(apr_hash_get(seen, &at(list, i)->id,
                                     sizeof(apr_int64_t)));
        for (i = 0; i < list->nelts; i++)
            apr_hash_set(seen, &at(list, i)->id, sizeof(apr_int64_t), "");
        unit_store_ok(s->db, mg_tx_commit(s->db));
        total = 200;
    }
    for (n = 0; n < 40; n++) {
        list = unit_claim(s, n % 2 ? other : s->db, c[n % 2], 17);
        for (i = 0; i < list->nelts; i++, total++) {
            assert_null(apr_hash_get(seen, &at(list, i)->id,
                                     sizeof(apr_int64_t)));
            apr_hash_set(seen, &at(list, i)->id, sizeof(apr_int64_t), "");
        }
    }
    assert_int_equal(total, 300);
}

static void worker_dies(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_transport_kind_t smtp = MG_TRANSPORT_SMTP;
    apr_int64_t one, two;
    mg_claimer_t *c1, *c2;
    apr_array_header_t *list;
    int given_back;

    unit_store_ok(s->db, mg_worker_register(&one, s->db, "sender"));
    unit_store_ok(s->db, mg_worker_register(&two, s->db, "sender"));
    assert_true(one != two && one != 0);
    unit_store_ok(s->db, mg_worker_seen(s->db, one));
    c1 = mg_claimer_create(one, &smtp, 1, apr_time_from_sec(60), s->p);
    c2 = mg_claimer_create(two, &smtp, 1, apr_time_from_sec(60), s->p);
    unit_accept_many(s, d, 10);
    list = unit_claim(s, s->db, c1, 10);
    /* one is put off for an hour: that must stay so */
    unit_store_ok(s->db, mg_queue_defer(s->db, at(list, 0), "451 later",
                                        mg_now() + apr_time_from_sec(3600)));
    assert_int_equal(unit_claim(s, s->db, c2, 10)->nelts, 0);
    unit_store_ok(s->db, mg_worker_gone(&given_back, s->db, one));
    assert_int_equal(given_back, 9);
    assert_int_equal(unit_claim(s, s->db, c2, 20)->nelts, 9);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM node"), 1);
    unit_store_ok(s->db, mg_worker_gone(&given_back, s->db, one));
    assert_int_equal(given_back, 0);
}

/* a.test has three turns where others have one; c.test may have two rows */
static void share_by_name(int *pshare, int *proom, apr_int64_t domain_id,
                          void *baton)
{
    const apr_int64_t *ids = baton;

    if (domain_id == ids[0])
        *pshare = 3;
    if (domain_id == ids[2])
        *proom = 2;
}

static void shares(void **state)
{
    static const char *const names[] = { "a.test", "b.test", "c.test" };
    unit_store_t *s = *state;
    apr_int64_t account = unit_account(s, "a"), ids[3];
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    apr_array_header_t *list;
    int i, j, got[3] = { 0, 0, 0 };

    for (i = 0; i < 3; i++) {
        mg_domain_t *d = unit_domain(s, account, names[i]);

        unit_accept_many(s, d, 100);
        ids[i] = d->id;
    }
    mg_claimer_shares(c, share_by_name, ids);
    list = unit_claim(s, s->db, c, 50);
    assert_int_equal(list->nelts, 50);
    for (i = 0; i < list->nelts; i++)
        for (j = 0; j < 3; j++)
            got[j] += at(list, i)->domain_id == ids[j];
    assert_in_range(got[0], 35, 37); /* of the 48 that c left over */
    assert_int_equal(got[2], 2);
}

/* More domains than a round looks at have no room: who stands behind them is
 * found all the same, and the caller is told to go on. */
static void no_room(int *pshare, int *proom, apr_int64_t domain_id,
                    void *baton)
{
    (void)pshare;
    if (domain_id != *(const apr_int64_t *)baton)
        *proom = 0;
}

static void behind_those_without_room(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t account = unit_account(s, "a"), last = 0;
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    apr_array_header_t *list = NULL;
    int i;

    for (i = 0; i < 130; i++) {
        mg_domain_t *d = unit_domain(s, account, apr_psprintf(
            s->p, "d%d.test", i));

        unit_accept_many(s, d, 1);
        last = d->id;
    }
    mg_claimer_shares(c, no_room, &last);
    for (i = 0; i < 4; i++) {
        list = unit_claim(s, s->db, c, 100);
        if (list->nelts)
            break;
        assert_true(mg_claimer_more(c));
    }
    assert_in_range(i, 1, 2);
    assert_int_equal(list->nelts, 1);
    assert_int_equal(at(list, 0)->domain_id, last);
}

static void fair(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t account = unit_account(s, "a");
    mg_domain_t *big = unit_domain(s, account, "big.test"), *small[70];
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    apr_array_header_t *list;
    int i, of_small = 0;

    unit_accept_many(s, big, 5000);
    small[0] = unit_domain(s, account, "small.test");
    unit_accept_many(s, small[0], 1);
    list = unit_claim(s, s->db, c, 100);
    assert_int_equal(list->nelts, 100); /* the share not used is used */
    for (i = 0; i < list->nelts; i++)
        of_small += at(list, i)->domain_id == small[0]->id;
    assert_int_equal(of_small, 1);

    /* more domains than a round takes: each is served in the next rounds */
    for (i = 1; i < 70; i++) {
        small[i] = unit_domain(s, account,
                               apr_psprintf(s->p, "small%d.test", i));
        unit_accept_many(s, small[i], 1);
    }
    for (of_small = 0, i = 0; i < 18; i++) {
        int j;

        list = unit_claim(s, s->db, c, 4);
        assert_int_equal(list->nelts, 4);
        for (j = 0; j < list->nelts; j++)
            of_small += at(list, j)->domain_id != big->id;
    }
    assert_int_equal(of_small, 69);
}

static void transports_apart(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    static const mg_transport_kind_t both[] = { MG_TRANSPORT_SMTP,
                                                MG_TRANSPORT_LMTP };
    mg_claimer_t *sender, *notifier;
    mg_message_t *m;
    apr_array_header_t *list;
    int i, lmtp = 0;

    sender = mg_claimer_create(7, both, 2, apr_time_from_sec(60), s->p);
    notifier = unit_claimer(s, s->db, MG_TRANSPORT_HTTP);
    unit_accept_many(s, d, 100);
    for (i = 0; i < 30; i++) {
        m = unit_message(s, d);
        unit_envelope(m, MG_TRANSPORT_LMTP, "x@a.test", "1");
        unit_envelope(m, MG_TRANSPORT_HTTP, "x@a.test", "h:80");
        unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    }
    /* held back by a person, not for anybody */
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "UPDATE delivery SET hold = 1"
                                    " WHERE message_id = $1", "i", m->id));
    list = unit_claim(s, s->db, sender, 20);
    assert_int_equal(list->nelts, 20);
    for (i = 0; i < 20; i++)
        lmtp += at(list, i)->transport == MG_TRANSPORT_LMTP;
    assert_int_equal(lmtp, 10);
    assert_int_equal(unit_claim(s, s->db, notifier, 100)->nelts, 29);
    for (i = 0; i < 10; i++)
        unit_claim(s, s->db, sender, 50);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM delivery"
                                    " WHERE claimed_by = 0"), 2);
}

/* Mailboxes have their half of a claim, and there are more domains than the
 * other half has rows: all of them have their turn all the same. */
static void fair_in_half_a_claim(void **state)
{
    unit_store_t *s = *state;
    static const mg_transport_kind_t both[] = { MG_TRANSPORT_SMTP,
                                                MG_TRANSPORT_LMTP };
    apr_int64_t account = unit_account(s, "a");
    int i, j, k, got[6] = { 0 };
    mg_claimer_t *sender;
    mg_domain_t *d[6];

    sender = mg_claimer_create(7, both, 2, apr_time_from_sec(60), s->p);
    for (i = 0; i < 6; i++) {
        d[i] = unit_domain(s, account, apr_psprintf(s->p, "d%d.test", i));
        unit_accept_many(s, d[i], 20);
    }
    for (i = 0; i < 40; i++) {
        mg_message_t *m = unit_message(s, d[0]);

        unit_envelope(m, MG_TRANSPORT_LMTP, "x@a.test", "1");
        unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    }
    for (i = 0; i < 4; i++) {
        apr_array_header_t *list = unit_claim(s, s->db, sender, 6);

        assert_int_equal(list->nelts, 6);
        for (j = 0; j < list->nelts; j++)
            for (k = 0; k < 6; k++)
                got[k] += at(list, j)->transport == MG_TRANSPORT_SMTP
                          && at(list, j)->domain_id == d[k]->id;
    }
    for (k = 0; k < 6; k++)
        assert_int_equal(got[k], 2);
}

static void lists(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *a = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_domain_t *b = unit_domain(s, unit_account(s, "b"), "b.test");
    static const struct {
        const char *domain, *transport;
        int limit, want;
    } cases[] = {
        { NULL, NULL, 100, 9 }, { NULL, NULL, 4, 4 },
        { "A.test", NULL, 100, 6 }, { "b.test", "smtp", 100, 3 },
        { NULL, "lmtp", 100, 1 }, { NULL, "pigeon", 100, 0 },
        { "c.test", NULL, 100, 0 },
    };
    apr_array_header_t *list;
    mg_queue_filter_t f;
    mg_message_t *m;
    size_t i;

    unit_accept_many(s, a, 5);
    unit_accept_many(s, b, 3);
    m = unit_message(s, a);
    unit_envelope(m, MG_TRANSPORT_LMTP, "x@a.test", "1");
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(&f, 0, sizeof(f));
        f.domain = cases[i].domain;
        f.transport = cases[i].transport;
        unit_store_ok(s->db, mg_queue_list(&list, s->db, &f, 0, cases[i].limit,
                                           s->p));
        assert_int_equal(list->nelts, cases[i].want);
    }
    memset(&f, 0, sizeof(f));
    f.message_id = m->id;
    unit_store_ok(s->db, mg_queue_list(&list, s->db, &f, 0, 10, s->p));
    assert_int_equal(list->nelts, 1);
    assert_string_equal(mg_transport_name(at(list, 0)->transport), "lmtp");
}

static apr_int64_t change(unit_store_t *s, mg_queue_change_t what,
                          const mg_queue_filter_t *f, apr_int64_t *pin_hand)
{
    mg_queue_progress_t progress = { 0, 0, 0 };
    apr_array_header_t *shown = apr_array_make(s->p, 4,
                                               sizeof(mg_delivery_t *));
    apr_int64_t would;
    int more = 1;

    while (more)
        unit_store_ok(s->db, mg_queue_would(&progress, shown, &more, s->db, f,
                                            what, 3, s->p));
    would = progress.changed;
    memset(&progress, 0, sizeof(progress));
    for (more = 1; more;)
        unit_store_ok(s->db, mg_queue_change(&progress, &more, s->db, f, what,
                                             3, s->p));
    assert_int_equal(progress.changed + progress.in_hand, would);
    if (pin_hand)
        *pin_hand = progress.in_hand;
    return progress.changed;
}

/* What operators do, in slices; a claimed row is its worker's. */
static void changes(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *a = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_queue_filter_t all = { 0 }, b = { .domain = "A.test",
                                         .dest = "B.test",
                                         .transport = "smtp" };
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    apr_array_header_t *list, *counts;
    apr_int64_t in_hand;
    mg_message_t *m;

    unit_accept_many(s, a, 5);
    m = unit_message(s, a);
    unit_envelope(m, MG_TRANSPORT_SMTP, "x@b.test", "b.test");
    unit_envelope(m, MG_TRANSPORT_SMTP, "y@b.test", "b.test");
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    assert_int_equal(change(s, MG_QUEUE_HOLD, &b, NULL), 2);
    assert_int_equal(change(s, MG_QUEUE_HOLD, &b, NULL), 0);
    list = unit_claim(s, s->db, c, 10);
    assert_int_equal(list->nelts, 5);      /* not what is held */
    unit_store_ok(s->db, mg_queue_counts(&counts, s->db, MG_QUEUE_BY_DEST, 10,
                                         s->p));
    assert_int_equal(counts->nelts, 2);
    assert_int_equal(APR_ARRAY_IDX(counts, 0, mg_queue_count_t).in_hand, 5);
    assert_int_equal(APR_ARRAY_IDX(counts, 1, mg_queue_count_t).held, 2);
    unit_store_ok(s->db, mg_queue_counts(&counts, s->db, MG_QUEUE_BY_AGE, 10,
                                         s->p));
    assert_int_equal(APR_ARRAY_IDX(counts, 0, mg_queue_count_t).all, 7);
    assert_int_equal(change(s, MG_QUEUE_RELEASE, &all, NULL), 2);

    /* put off: due now; and a claimed one is left alone */
    assert_int_equal(change(s, MG_QUEUE_RETRY, &all, NULL), 0);
    unit_store_ok(s->db, mg_queue_defer(s->db, at(list, 0), "451 later",
                                        mg_now() + apr_time_from_sec(99)));
    assert_int_equal(change(s, MG_QUEUE_RETRY, &all, NULL), 1);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM delivery"
                                    " WHERE last_reply = ''"), 1);

    /* four are in hand: held, and dropped when they come back */
    assert_int_equal(change(s, MG_QUEUE_DROP, &all, &in_hand), 3);
    assert_int_equal(in_hand, 4);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM delivery"
                                    " WHERE hold = 1"), 4);
    unit_store_ok(s->db, unit_result(s->db, at(list, 1), MG_EVENT_DELIVERED,
                                     s->p));
    unit_store_ok(s->db, mg_queue_release(s->db, at(list, 2), mg_now()));
    unit_store_ok(s->db, mg_queue_defer(s->db, at(list, 3), "451 later",
                                        mg_now() + apr_time_from_sec(99)));
    assert_int_equal(change(s, MG_QUEUE_DROP, &all, &in_hand), 2);
    assert_int_equal(in_hand, 1);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM event WHERE"
                                    " kind = 'dropped' AND detail LIKE"
                                    " '%operator%'"), 5);
    unit_fsck(s, 1, "domain a.test has no DKIM key");
}

static void url_dest(void **state)
{
    unit_store_t *s = *state;
    static const struct {
        const char *url, *dest;
    } cases[] = {
        { "http://A.test/x", "a.test:80" },
        { "https://a.test", "a.test:443" },
        { "HTTP://a.test:8080/?q", "a.test:8080" },
        { "http://u:p@a.test/", "a.test:80" },
        { "http://[::1]:81/", "[::1]:81" },
        { "http://127.0.0.1:9", "127.0.0.1:9" },
        { "ftp://a.test/", NULL }, { "a.test", NULL }, { "http:///x", NULL },
        { "http://a.test:0/", NULL }, { "http://a.test:99999/", NULL },
        { "", NULL },
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *dest = mg_queue_url_dest(cases[i].url, s->p);

        if (cases[i].dest)
            assert_string_equal(dest, cases[i].dest);
        else if (dest)
            fail_msg("%s: %s", cases[i].url, dest);
    }
}

/* The hot statements find their rows by an index, however long the queue. */
/* The rows of a closed destination get another time; those that somebody has,
 * that are held, that come later anyway or end before, stay as they are. */
static void moved(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t account = unit_account(s, "a");
    mg_domain_t *d = unit_domain(s, account, "a.test");
    mg_domain_t *other = unit_domain(s, account, "b.test");
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    apr_array_header_t *list;
    mg_queue_move_t move;
    const char *dest;
    int steps = 0, n = 0;

    unit_accept_many(s, d, 50);
    unit_accept_many(s, other, 5);
    list = unit_claim(s, s->db, c, 10); /* of both */
    dest = at(list, 0)->dest;
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "UPDATE delivery SET hold = 1"
                                    " WHERE id = (SELECT MAX(id) FROM delivery"
                                    " WHERE domain_id = $1)", "i", d->id));
    memset(&move, 0, sizeof(move));
    move.dest = dest;
    move.domain_id = d->id;
    move.target = "";
    move.until = mg_now() + apr_time_from_sec(1000);
    move.spread = 1000;
    move.retry_limit = apr_time_from_sec(86400);
    do {
        unit_store_ok(s->db, mg_queue_move(s->db, &move, 20));
        n += move.moved;
        steps++;
    } while (move.looked > 0);
    assert_int_equal(steps, 4);
    assert_int_equal(unit_store_int(
        s->db, apr_psprintf(s->p, "SELECT COUNT(*) FROM delivery WHERE due_at"
                            " >= %" APR_INT64_T_FMT " AND due_at < %"
                            APR_INT64_T_FMT, move.until, move.until + 1000)),
        n);
    for (list = unit_claim(s, s->db, c, 100), steps = 0; steps < list->nelts;
         steps++)
        assert_int_equal(at(list, steps)->domain_id, other->id);
    assert_in_range(n, 39, 44); /* 50 less what was claimed, less one */
    /* what was asked for by hand, and what needs another connection, stays */
    move.after = 0;
    move.until += apr_time_from_sec(1000);
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "UPDATE delivery SET"
                                    " last_reply = '' WHERE id = (SELECT"
                                    " MIN(id) FROM delivery WHERE domain_id ="
                                    " $1 AND claimed_by = 0)", "i", d->id));
    move.target = "tls=1 ";
    unit_store_ok(s->db, mg_queue_move(s->db, &move, 100));
    assert_int_equal(move.moved, 0);
    move.after = 0;
    move.target = "";
    unit_store_ok(s->db, mg_queue_move(s->db, &move, 100));
    assert_int_equal(move.moved, n - 1);
    /* nothing of it ends before its next try */
    move.after = 0;
    move.until += apr_time_from_sec(4 * 86400);
    unit_store_ok(s->db, mg_queue_move(s->db, &move, 100));
    assert_int_equal(move.looked, 50);
    assert_int_equal(move.moved, 0);
}

static void destinations(void **state)
{
    unit_store_t *s = *state;
    apr_array_header_t *list, *names = apr_array_make(s->p, 1,
                                                      sizeof(char *));
    mg_learned_t rows[2];
    const mg_learned_t *row;
    apr_int64_t queued;
    int n, i;

    memset(rows, 0, sizeof(rows));
    for (i = 0; i < 2; i++) {
        rows[i].site = i ? "smtp b:25" : "smtp a:25";
        rows[i].worker = "host/0";
        rows[i].domains = names;
    }
    APR_ARRAY_PUSH(names, const char *) = "a.test";
    rows[0].ndomains = 1;
    unit_store_ok(s->db, mg_destination_save(s->db, rows, 2, s->p));
    rows[0].window = 7;
    rows[0].ceiling = 9;
    rows[0].failures = 2;
    rows[0].closed_until = 12345;
    rows[0].last_reply = "421 \xff no";
    unit_store_ok(s->db, mg_destination_save(s->db, rows, 1, s->p));
    unit_store_ok(s->db, mg_destination_list(&list, s->db, "host/0", 10,
                                             s->p));
    assert_int_equal(list->nelts, 2);
    row = APR_ARRAY_IDX(list, 0, mg_learned_t *);
    assert_string_equal(row->site, "smtp a:25");
    assert_int_equal(row->window, 7);
    assert_int_equal(row->ceiling, 9);
    assert_int_equal(row->failures, 2);
    assert_int_equal(row->closed_until, 12345);
    assert_int_equal(row->domains->nelts, 1);
    assert_non_null(strstr(row->last_reply, "no"));
    unit_store_ok(s->db, mg_destination_list(&list, s->db, "host/1", 10,
                                             s->p));
    assert_int_equal(list->nelts, 0);
    unit_store_ok(s->db, mg_destination_queued(&queued, s->db, "a.test"));
    assert_int_equal(queued, 0);
    unit_store_ok(s->db, mg_destination_forget(&n, s->db, mg_now() + 1, 1));
    assert_int_equal(n, 1);
    unit_store_ok(s->db, mg_destination_forget(&n, s->db, 1, 10));
    assert_int_equal(n, 0);
}

static void uses_its_index(unit_store_t *s, const char *sql, mg_stmt_t *stmt)
{
    while (mg_stmt_next(stmt) == APR_SUCCESS) {
        const char *detail = mg_stmt_text(stmt, 3, s->p);

        if (strstr(detail, "TEMP B-TREE")
            || (strstr(detail, "SCAN") && !strstr(detail, "SCAN (")
                && !strstr(detail, "SCAN c")))
            fail_msg("%s: %s", sql, detail);
        if (strstr(detail, "SEARCH q") && !strstr(detail, "delivery_dest"))
            fail_msg("%s: %s", sql, detail);
    }
}

static void moves_use_their_index(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t one = 1;
    mg_stmt_t *stmt;

    unit_store_ok(s->db, mg_db_query(&stmt, s->db,
                                     "EXPLAIN QUERY PLAN " QUEUE_MOVE_LOOK,
                                     "tiii", "x", one, one, one));
    uses_its_index(s, QUEUE_MOVE_LOOK, stmt);
    unit_store_ok(s->db, mg_db_query(&stmt, s->db,
                                     "EXPLAIN QUERY PLAN " QUEUE_MOVE_SQLITE,
                                     "iitiiiit", one, one, "x", one, one, one,
                                     one, ""));
    uses_its_index(s, QUEUE_MOVE_SQLITE, stmt);
}

static void no_full_scans(void **state)
{
    unit_store_t *s = *state;
    static const struct {
        const char *sql, *fmt;
    } hot[] = {
        { QUEUE_CLAIM_SQLITE, "iiiiii" }, { QUEUE_DUE_DOMAINS, "iiii" },
        { QUEUE_NEXT_DUE, "i" }, { QUEUE_RENEW_SQLITE, "iii" },
        { "DELETE FROM delivery WHERE id = $1 AND claim_no = $2", "ii" },
        { "UPDATE delivery SET due_at = 1, claimed_by = 0"
          " WHERE claimed_by = $1 AND claimed_by <> 0", "i" },
    };
    mg_stmt_t *stmt;
    const char *detail;
    size_t i;

    for (i = 0; i < sizeof(hot) / sizeof(hot[0]); i++) {
        unit_store_ok(s->db,
                      mg_db_query(&stmt, s->db,
                                  apr_pstrcat(s->p, "EXPLAIN QUERY PLAN ",
                                              hot[i].sql, NULL),
                                  hot[i].fmt, (apr_int64_t)1, (apr_int64_t)1,
                                  (apr_int64_t)1, (apr_int64_t)1,
                                  (apr_int64_t)1, (apr_int64_t)1));
        while (mg_stmt_next(stmt) == APR_SUCCESS) {
            detail = mg_stmt_text(stmt, 3, s->p);
            if (strstr(detail, "SCAN") && !strstr(detail, "SCAN d") &&
                !strstr(detail, "CONSTANT"))
                fail_msg("%s: %s", hot[i].sql, detail);
            if (strstr(detail, "TEMP B-TREE"))
                fail_msg("%s: %s", hot[i].sql, detail);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(claim_and_settle),
        UNIT_ON_BOTH(defer_release_bury),
        UNIT_ON_BOTH(lost_lease),
        UNIT_ON_BOTH(two_claimers),
        UNIT_ON_BOTH(worker_dies),
        UNIT_ON_BOTH(shares), UNIT_ON_BOTH(behind_those_without_room),
        UNIT_ON_BOTH(fair),
        UNIT_ON_BOTH(transports_apart),
        UNIT_ON_BOTH(fair_in_half_a_claim),
        UNIT_ON_BOTH(lists),
        UNIT_ON_BOTH(changes),
        UNIT_ON_SQLITE(url_dest),
        UNIT_ON_BOTH(moved),
        UNIT_ON_BOTH(destinations),
        UNIT_ON_SQLITE(moves_use_their_index),
        UNIT_ON_SQLITE(no_full_scans),
    };
    return unit_store_run("queue", tests);
}
