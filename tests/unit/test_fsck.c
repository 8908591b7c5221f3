/* test_fsck.c - a good store has no findings; each wrong one has its own. */
#include <string.h>
#include <apr_strings.h>

#include "mg_id.h"
#include "mg_status.h"
#include "mg_retention.h"
#include "mg_time.h"
#include "unit_records.h"

/* Test mode: a message without deliveries, with events as if. */
static void tested(unit_store_t *s, mg_message_t *m)
{
    mg_event_t e;

    memset(&e, 0, sizeof(e));
    e.account_id = m->account_id;
    e.domain_id = m->domain_id;
    e.message_id = m->id;
    e.recipient = e.recipient_as_given = "x@b.test";
    e.sender = m->sender;
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_message_accept(s->db, m, s->p));
    unit_store_ok(s->db, mg_event_append(s->db, &e, s->p));
    e.kind = MG_EVENT_DELIVERED;
    unit_store_ok(s->db, mg_event_append(s->db, &e, s->p));
    unit_store_ok(s->db, mg_tx_commit(s->db));
}

/* Mail that came in and was forwarded comes back: it is not given up by us. */
static void came_back(unit_store_t *s, mg_message_t *m)
{
    mg_event_t e;

    m->direction = MG_INCOMING;
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_message_accept(s->db, m, s->p));
    e = mg_event_from(m, s->p);
    e.kind = MG_EVENT_FAILED_LATE;
    e.recipient = "x@b.test";
    e.reason = "maxfails";
    unit_store_ok(s->db, mg_event_append(s->db, &e, s->p));
    unit_store_ok(s->db, mg_tx_commit(s->db));
}

/* A store where everything happened once. */
static mg_domain_t *lived_in(unit_store_t *s)
{
    apr_int64_t a = unit_account(s, "a");
    mg_secret_t *secret = unit_secret(s);
    static const mg_transport_kind_t mail[] = { MG_TRANSPORT_SMTP,
                                                MG_TRANSPORT_LMTP,
                                                MG_TRANSPORT_HTTP };
    static const mg_event_kind_t ends[] = {
        MG_EVENT_DELIVERED, MG_EVENT_FAILED, MG_EVENT_DROPPED, MG_EVENT_POSTED
    };
    mg_claimer_t *c = mg_claimer_create(7, mail, 3, apr_time_from_sec(60),
                                        s->p);
    apr_array_header_t *list;
    mg_domain_t *d;
    const char *key, *error;
    mg_mailbox_t *box;
    mg_message_t *m;
    apr_int64_t r;
    int i;

    unit_store_ok(s->db, mg_domain_add(&d, s->db, secret, a, "a.test", "h",
                                       unit_dkim(), s->p));
    unit_store_ok(s->db, mg_domain_set(s->db, d->id, "webhook.deliver",
                                       "http://h.test/", &error, s->p));
    unit_store_ok(s->db, mg_key_add(&key, s->db, secret, a, s->p));
    unit_store_ok(s->db, mg_mailbox_add(&box, s->db, a, d->id, "x@a.test",
                                        "h", s->p));
    unit_store_ok(s->db, mg_quota_reserve(&r, s->db, box->id, 10, 1, 0, "o"));
    unit_store_ok(s->db, mg_quota_settle(s->db, r, box->id, 10, 1));
    unit_store_ok(s->db, mg_quota_reserve(&r, s->db, box->id, 10, 1, 0, "o"));
    tested(s, unit_message(s, d));
    came_back(s, unit_message(s, d));
    unit_accept_many(s, d, 20);
    m = unit_message(s, d);
    unit_envelope(m, MG_TRANSPORT_LMTP, "x@a.test", "1");
    unit_envelope(m, MG_TRANSPORT_HTTP, "x@a.test", "h.test:80");
    unit_envelope(m, MG_TRANSPORT_HTTP, "x@a.test", "h.test:80");
    unit_envelope(m, MG_TRANSPORT_SMTP, "y@b.test", "b.test");
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    list = unit_claim(s, s->db, c, 15);
    assert_int_equal(list->nelts, 15);
    for (i = 0; i < 10; i++)
        unit_store_ok(s->db, unit_result(
                                 s->db, APR_ARRAY_IDX(list, i, mg_delivery_t *),
                                 ends[i % 4], s->p));
    unit_store_ok(s->db, mg_queue_defer(s->db, APR_ARRAY_IDX(list, 10,
                                                             mg_delivery_t *),
                                        "451", mg_now() + 1000000));
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_queue_bury(s->db, APR_ARRAY_IDX(list, 11,
                                                            mg_delivery_t *),
                                       "no"));
    unit_store_ok(s->db, mg_tx_commit(s->db));
    return d;
}

static void good_store(void **state)
{
    unit_store_t *s = *state;
    apr_array_header_t *found, *counts;
    mg_domain_t *d = lived_in(s);
    mg_retention_t at = { 0, 0, 0 };
    int i, more, seen = 0;

    unit_fsck(s, 0, NULL);
    unit_store_ok(s->db, mg_fsck(&found, &counts, s->db, s->p));
    for (i = 0; i < counts->nelts; i++)
        seen += !strcmp(APR_ARRAY_IDX(counts, i, const char *),
                        "23 messages");
    assert_int_equal(seen, 1);
    unit_store_ok(s->db, mg_domain_remove(s->db, d->id, s->p));
    unit_fsck(s, 0, NULL);
    /* events expire, oldest first: their messages are no longer balanced */
    unit_store_ok(s->db, mg_retention_events(&i, &more, &at, s->db, mg_now() +
                                             apr_time_from_sec(60), 13,
                                             s->p));
    assert_int_equal(i, 13);
    unit_fsck(s, 0, NULL);
}

static void bad_stores(void **state)
{
    unit_store_t *s = *state;
    static const struct {
        const char *damage, *words;
    } cases[] = {
        { "DELETE FROM event WHERE id = (SELECT MAX(id) FROM event"
          " WHERE kind = 'accepted')", "were accepted" },
        { "DELETE FROM event WHERE delivery_id = (SELECT MAX(delivery_id)"
          " FROM event WHERE kind = 'failed')", "ended or are queued" },
        { "DELETE FROM event WHERE id = (SELECT e.id FROM event e JOIN event f"
          " ON f.delivery_id = e.delivery_id WHERE e.kind = 'dropped'"
          " AND f.kind = 'failed' LIMIT 1)", "and was not dropped" },
        { "INSERT INTO event SELECT 1, account_id, domain_id, message_id,"
          " delivery_id, kind, recipient, log_text, detail, created_at"
          " FROM event WHERE id = (SELECT MAX(id) FROM event"
          " WHERE kind = 'failed')", "ended 3 times" },
        { "DELETE FROM delivery WHERE id = (SELECT MAX(id) FROM delivery"
          " WHERE transport = 1)", "ended or are queued" },
        { "UPDATE event SET kind = 'failed' WHERE id = (SELECT MAX(id) FROM"
          " event WHERE kind = 'accepted')", "is still queued" },
        { "INSERT INTO event SELECT 1, account_id, domain_id, message_id,"
          " delivery_id, kind, recipient, log_text, detail, created_at"
          " FROM event WHERE id = (SELECT MAX(id) FROM event"
          " WHERE kind = 'delivered')", "ended 2 times" },
        { "UPDATE stat SET n = n - 1 WHERE kind = 'accepted'",
          "were counted" },
        { "DELETE FROM message WHERE id = (SELECT MAX(message_id) FROM"
          " delivery)", "is not there" },
        { "DELETE FROM message WHERE id = (SELECT MAX(message_id) FROM"
          " event)", "events without their message" },
        { "UPDATE event_hour SET n = n + 1", "are counted by the hour" },
        { "DELETE FROM content WHERE message_id = (SELECT MAX(message_id)"
          " FROM delivery)", "has no content" },
        { "UPDATE content SET seq = 1", "2 slices|is number 1" },
        { "INSERT INTO content (message_id, seq, bytes) VALUES (77, 0, 'x')",
          "there is no such message" },
        { "UPDATE delivery SET due_at = 5 WHERE claimed_by <> 0", "ran out" },
        { "UPDATE mailbox_usage SET bytes = -1", "-1 bytes" },
        { "UPDATE mailbox_usage SET mailbox_id = 4", "usage of mailbox 4" },
        { "UPDATE quota_reservation SET mailbox_id = 4",
          "there is no mailbox 4" },
        { "UPDATE quota_reservation SET created_at = 1", "over an hour old" },
        { "UPDATE mailbox SET domain_id = 9 WHERE address = 'x@a.test'",
          "its domain 9" },
        { "DELETE FROM dkim_key", "domain a.test has no DKIM key" },
        { "UPDATE api_key SET account_id = 8", "no account 8" },
        { "UPDATE setting SET scope_id = 6", "settings of domain 6" },
    };
    apr_array_header_t *found, *counts;
    size_t i;
    int j, hit;

    lived_in(s);
    /* SQLite checks no references; PostgreSQL does, and would refuse */
    if (s->kind == MG_DB_PGSQL)
        unit_store_ok(s->db, mg_db_script(s->db, "ALTER TABLE api_key DROP"
                                          " CONSTRAINT"
                                          " api_key_account_id_fkey;"));
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
        unit_store_ok(s->db, mg_db_script(s->db, cases[i].damage));
        unit_store_ok(s->db, mg_fsck(&found, &counts, s->db, s->p));
        mg_tx_rollback(s->db);
        for (hit = 0, j = 0; j < found->nelts; j++) {
            const char *problem =
                APR_ARRAY_IDX(found, j, mg_fsck_finding_t).problem;
            const char *bar = strchr(cases[i].words, '|');

            hit |= strstr(problem, bar ? bar + 1 : cases[i].words) != NULL;
            assert_null(strchr(problem, '%'));
        }
        if (!hit)
            fail_msg("%s: %d findings, none says '%s'", cases[i].damage,
                     found->nelts, cases[i].words);
        assert_true(found->nelts <= 51 * 20);
    }
    unit_fsck(s, 0, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(good_store),
        UNIT_ON_BOTH(bad_stores),
    };
    return unit_store_run("fsck", tests);
}
