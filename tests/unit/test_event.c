/* test_event.c - the log's lines, counters, webhooks. */
#include <string.h>
#include <apr_strings.h>

#include "mg_id.h"
#include "mg_json.h"
#include "mg_stat.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_records.h"

#define ARROW "\xe2\x86\x92"

static mg_event_t event_of_domain(const mg_domain_t *d)
{
    mg_event_t e;

    memset(&e, 0, sizeof(e));
    e.account_id = d->account_id;
    e.domain_id = d->id;
    e.recipient = "alex@mailgun.net";
    e.recipient_as_given = "Sasha Klizhentas <alex@mailgun.net>";
    e.sender = "me@samples.mailgun.org";
    e.subject = "Hello";
    return e;
}

static apr_status_t append(mg_db_t *db, const mg_event_t *e, apr_pool_t *p)
{
    apr_status_t rv = mg_tx_begin(db, MG_TX_WRITE);

    if (rv == APR_SUCCESS)
        rv = mg_event_append(db, e, p);
    if (rv == APR_SUCCESS)
        return mg_tx_commit(db);
    mg_tx_rollback(db);
    return rv;
}

/* Marked in log and detail, counted apart. */
static void test_mode_is_marked(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_event_t e = event_of_domain(d);
    apr_array_header_t *items;
    apr_int64_t total;

    e.testmode = 1;
    e.kind = MG_EVENT_ACCEPTED;
    unit_store_ok(s->db, append(s->db, &e, s->p));
    e.kind = MG_EVENT_DELIVERED;
    unit_store_ok(s->db, append(s->db, &e, s->p));
    unit_store_ok(s->db, mg_event_log(&items, &total, s->db, d->id, 0, 10,
                                      s->p));
    assert_int_equal(total, 2);
    assert_string_equal(APR_ARRAY_IDX(items, 0, mg_log_item_t *)->message,
                        "Delivered (test mode): me@samples.mailgun.org " ARROW
                        " Sasha Klizhentas <alex@mailgun.net> 'Hello'");
    assert_string_equal(APR_ARRAY_IDX(items, 1, mg_log_item_t *)->message,
                        "Accepted (test mode): me@samples.mailgun.org " ARROW
                        " Sasha Klizhentas <alex@mailgun.net> 'Hello'");
    assert_int_equal(
        unit_store_int(s->db, "SELECT COUNT(*) FROM event"
                       " WHERE detail = '{\"is-test-mode\":true}'"), 2);
    assert_int_equal(
        unit_store_int(s->db, "SELECT CAST(SUM(n) AS BIGINT) FROM stat"
                       " WHERE kind IN ('accepted.test', 'delivered.test')"),
        2);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM stat"), 2);
}

static void log_lines(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_domain_t *other = unit_domain(s, d->account_id, "b.test");
    static const struct {
        mg_event_kind_t kind;
        const char *reply;
        int retry_seconds;
        const char *hap, *type, *line;
    } cases[] = {
        { MG_EVENT_ACCEPTED, NULL, 0, "accepted", "info",
          "Accepted: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'" },
        { MG_EVENT_DELIVERED, "250 ok", 0, "delivered", "info",
          "Delivered: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'" },
        { MG_EVENT_FAILED_TEMP, "451 4.7.1 later\r\n451 so", 600, "tempfail",
          "warn",
          "Will retry in 600 seconds: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'"
          " Server response: 451 4.7.1 later  451 so" },
        { MG_EVENT_FAILED, "550 no such user", 0, "bounced", "error",
          "Bounced: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'"
          " Server response: 550 no such user" },
        { MG_EVENT_MAX, NULL, 0, "dropped", "error", /* comes with it */
          "Dropped: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'"
          " Reason: 550 no such user" },
        { MG_EVENT_DROPPED, "too old", 0, "dropped", "error",
          "Dropped: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello' Reason: too old" },
        { MG_EVENT_POSTED, "200", 0, "forwarded", "info",
          "Forwarded: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'" },
        { MG_EVENT_OPENED, NULL, 0, "opened", "info",
          "Opened: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'" },
        { MG_EVENT_CLICKED, NULL, 0, "clicked", "info",
          "Clicked: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'"
          " URL: http://x.test/a b" },
        { MG_EVENT_UNSUBSCRIBED, NULL, 0, "unsubscribed", "info",
          "Unsubscribed: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello' Tag: *" },
        { MG_EVENT_COMPLAINED, NULL, 0, "complained", "warn",
          "Complained: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'" },
        { MG_EVENT_STORED, NULL, 0, "stored", "info",
          "Stored: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'" },
        { MG_EVENT_REFUSED, "550 5.1.1 no such mailbox", 0, "refused", "warn",
          "Refused: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'"
          " Reason: 550 5.1.1 no such mailbox" },
        { MG_EVENT_SPAM_DROPPED, NULL, 0, "spamdrop", "warn",
          "Dropped as spam: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'" },
        { MG_EVENT_ROUTED, "match_all()", 0, "routed", "info",
          "Routed: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'"
          " Route: match_all()" },
        { MG_EVENT_FORWARD_FAILED, "406", 0, "forwardfail", "error",
          "Cannot forward: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'"
          " Server response: 406" },
        { MG_EVENT_MAILBOX, "250 saved", 0, "mailbox", "info",
          "Put in mailbox: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'" },
        { MG_EVENT_LIST_EXPANDED, NULL, 0, "expanded", "info",
          "List expanded: me@samples.mailgun.org " ARROW
          " Sasha Klizhentas <alex@mailgun.net> 'Hello'" },
    };
    enum { N = sizeof(cases) / sizeof(cases[0]) };
    apr_array_header_t *items;
    apr_int64_t total;
    mg_event_t e;
    int i;

    for (i = 0; i < N; i++) {
        e = event_of_domain(d);
        e.kind = cases[i].kind;
        e.reply = cases[i].reply;
        e.url = "http://x.test/a\nb";
        e.tag = "*";
        if (e.kind == MG_EVENT_MAX)
            continue;
        e.retry_in = apr_time_from_sec(cases[i].retry_seconds);
        unit_store_ok(s->db, append(s->db, &e, s->p));
    }
    e = event_of_domain(other);
    e.direction = MG_INCOMING;
    unit_store_ok(s->db, append(s->db, &e, s->p));

    unit_store_ok(s->db, mg_event_log(&items, &total, s->db, d->id, 0, 100,
                                      s->p));
    assert_int_equal(total, N);
    assert_int_equal(items->nelts, N);
    for (i = 0; i < N; i++) {
        mg_log_item_t *item = APR_ARRAY_IDX(items, N - 1 - i, mg_log_item_t *);

        assert_string_equal(item->message, cases[i].line);
        assert_string_equal(item->hap, cases[i].hap);
        assert_string_equal(item->type, cases[i].type);
        assert_true(mg_now() - item->created_at < apr_time_from_sec(60));
    }
    unit_store_ok(s->db, mg_event_log(&items, &total, s->db, d->id, 1, 2,
                                      s->p));
    assert_int_equal(total, N);
    assert_int_equal(items->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(items, 0, mg_log_item_t *)->hap,
                        "mailbox");
    unit_store_ok(s->db, mg_event_log(&items, &total, s->db, other->id, 0, 2,
                                      s->p));
    assert_int_equal(total, 1);
    assert_string_equal(APR_ARRAY_IDX(items, 0, mg_log_item_t *)->message_id,
                        "");
    assert_int_equal(unit_store_int(s->db, "SELECT n FROM stat"
                                    " WHERE kind = 'accepted.in'"), 1);
}

static void hostile_detail(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_event_t e = event_of_domain(d);
    char *reply = apr_palloc(s->p, 100001);
    const char *error;
    mg_stmt_t *stmt;
    json_t *json;
    char *text;

    memset(reply, '"', 100000);
    memcpy(reply, "550 \\\x01\xff\xc3\n\t", 10);
    reply[100000] = '\0';
    e.kind = MG_EVENT_FAILED;
    e.code = 550;
    e.reply = reply;
    e.mx = "mx\"\\\x80.test";
    e.subject = reply;
    unit_store_ok(s->db, append(s->db, &e, s->p));
    unit_store_ok(s->db, mg_db_query(&stmt, s->db,
                                     "SELECT detail, log_text FROM event",
                                     ""));
    assert_int_equal(mg_stmt_next(stmt), APR_SUCCESS);
    text = mg_stmt_text(stmt, 0, s->p);
    json = mg_json_parse(text, strlen(text), &error, s->p);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "code")), 550);
    assert_true(strlen(mg_stmt_text(stmt, 1, s->p)) < 4096);
    mg_stmt_done(stmt);
}

static void detail_of_tls(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_event_t e = event_of_domain(d);

    e.kind = MG_EVENT_DELIVERED;
    e.code = 250;
    e.mx = "mx.test";
    e.tls = "TLSv1.3";
    e.tls_cipher = "AES";
    e.tls_policy = "mta-sts";
    e.verified = 1;
    e.sending_ip = "192.0.2.1";
    e.utf8 = 1;
    e.session = apr_time_from_msec(250);
    e.attempt = 1;
    unit_store_ok(s->db, append(s->db, &e, s->p));
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM event WHERE"
        " detail = '{\"code\":250,\"mx\":\"mx.test\",\"tls\":true,"
        "\"tls-version\":\"TLSv1.3\",\"tls-cipher\":\"AES\","
        "\"certificate-verified\":true,\"tls-policy\":\"mta-sts\","
        "\"utf8\":true,\"session-seconds\":0.250,"
        "\"sending-ip\":\"192.0.2.1\","
        "\"attempt\":1}'"), 1);
}

static const apr_array_header_t *one_text(const char *text, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 1, sizeof(const char *));

    APR_ARRAY_PUSH(list, const char *) = text;
    return list;
}

static void detail_of_clicks(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_event_t e = event_of_domain(d);
    const char *text;
    mg_stmt_t *stmt;

    e.kind = MG_EVENT_CLICKED;
    e.machine = 1;
    e.tags = one_text("September \"newsletter\"", s->p);
    e.campaigns = one_text("c1", s->p);
    e.url = "http://x.test/?a=1&b=2";
    e.ip = "192.0.2.1";
    e.user_agent = "Mozilla/5.0";
    e.client_type = "browser";
    e.client_name = "Firefox";
    e.client_os = "Linux";
    e.device_type = "desktop";
    e.country = "US";
    e.region = "CA";
    e.city = "San Francisco";
    unit_store_ok(s->db, append(s->db, &e, s->p));
    unit_store_ok(s->db, mg_db_query(&stmt, s->db,
                                     "SELECT detail, log_text FROM event",
                                     ""));
    assert_int_equal(mg_stmt_next(stmt), APR_SUCCESS);
    text = mg_stmt_text(stmt, 0, s->p);
    assert_string_equal(
        text,
        "{\"machine\":true,\"tags\":[\"September \\\"newsletter\\\"\"],"
        "\"campaigns\":[\"c1\"],\"url\":\"http://x.test/?a=1&b=2\","
        "\"ip\":\"192.0.2.1\",\"geolocation\":{\"country\":\"US\","
        "\"region\":\"CA\",\"city\":\"San Francisco\"},"
        "\"client-info\":{\"client-type\":\"browser\","
        "\"client-name\":\"Firefox\",\"client-os\":\"Linux\","
        "\"device-type\":\"desktop\",\"user-agent\":\"Mozilla/5.0\"}}");
    assert_non_null(strstr(mg_stmt_text(stmt, 1, s->p),
                           "Clicked (by a machine): me@"));
    mg_stmt_done(stmt);
    assert_int_equal(unit_store_int(s->db, "SELECT n FROM stat"
                                    " WHERE kind = 'clicked.machine'"), 1);
}

/* Long after its delivery: options from the message, the recipient's own
 * variables from how it ended. */
static void of_a_message(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    mg_message_t *m = unit_message(s, d);
    mg_envelope_t *to = unit_envelope(m, MG_TRANSPORT_SMTP, "a@x.test",
                                      "x.test");
    apr_array_header_t *list;
    mg_event_t e;

    m->options = "{\"tags\":[\"t 1\",\"t2\"],\"batch\":true,"
                 "\"template\":[]}";
    m->subject = "Hello %recipient.id%";
    to->variables = "{\"id\":7}";
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    list = unit_claim(s, s->db, c, 10);
    unit_store_ok(s->db, unit_result(s->db, APR_ARRAY_IDX(list, 0,
                                     mg_delivery_t *), MG_EVENT_DELIVERED,
                                     s->p));
    unit_store_ok(s->db, mg_event_of_message(&e, MG_EVENT_OPENED, s->db, m,
                                             "a@x.test", s->p));
    assert_int_equal(e.kind, MG_EVENT_OPENED);
    assert_int_equal(e.message_id, m->id);
    assert_int_equal(e.delivery_id, 0);
    assert_string_equal(e.recipient, "a@x.test");
    assert_string_equal(e.subject, "Hello 7");
    assert_string_equal(e.variables, "{\"id\":7}");
    assert_int_equal(e.tags->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(e.tags, 0, const char *), "t 1");
    assert_null(e.campaigns);
    unit_store_ok(s->db, mg_event_of_message(&e, MG_EVENT_OPENED, s->db, m,
                                             "other@x.test", s->p));
    assert_null(e.variables);
}

/* One row per day and kind, whatever the size of the batch. */
static void counts_per_batch(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_domain_cache_t *cache = mg_domain_cache_create(NULL, s->p);
    mg_event_t e = event_of_domain(d);
    mg_db_t *other = unit_store_open(s, 0);
    int i;

    mg_event_context(s->db, cache, 3);
    mg_event_context(other, cache, 4);
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    for (i = 0; i < 500; i++)
        unit_store_ok(s->db, mg_event_append(s->db, &e, s->p));
    unit_store_ok(s->db, mg_tx_commit(s->db));
    unit_store_ok(s->db, append(s->db, &e, s->p));
    unit_store_ok(other, append(other, &e, s->p));
    assert_int_equal(unit_store_int(s->db, "SELECT n FROM stat"
                                    " WHERE slot = 3"), 501);
    assert_int_equal(unit_store_int(s->db, "SELECT n FROM stat"
                                    " WHERE slot = 4"), 1);
    assert_int_equal(unit_store_int(s->db, "SELECT n FROM account_usage"
                                    " WHERE slot = 3"), 501);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM stat"), 2);
}

static void folds(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_domain_cache_t *cache = mg_domain_cache_create(NULL, s->p);
    mg_event_t e = event_of_domain(d);
    int slot, day, folded;

    for (day = 0; day < 3; day++) {
        for (slot = 0; slot < 5; slot++) {
            mg_event_context(s->db, cache, slot);
            unit_store_ok(s->db, append(s->db, &e, s->p));
        }
        if (day < 2) /* those were two days ago */
            unit_store_ok(s->db, mg_db_script(
                                     s->db, "UPDATE stat SET day = day - 1;"
                                     "UPDATE account_usage"
                                     " SET day = day - 1;"));
    }
    unit_store_ok(s->db, mg_stat_fold(&folded, s->db, 3, s->p));
    assert_int_equal(folded, 6);
    while (folded > 0)
        unit_store_ok(s->db, mg_stat_fold(&folded, s->db, 100, s->p));
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM stat"), 7);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*)"
                                    " FROM account_usage"), 7);
    assert_int_equal(unit_store_int(s->db, "SELECT CAST(SUM(n) AS BIGINT)"
                                    " FROM stat"), 15);
    assert_int_equal(unit_store_int(s->db, "SELECT CAST(SUM(n) AS BIGINT)"
                                    " FROM account_usage"), 15);
}

/* What a journal kept is counted on the day it happened, and told of now. */
static void happened_before(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    const char *error;
    mg_event_t e = event_of_domain(d);

    unit_store_ok(s->db, mg_domain_set(s->db, d->id, "webhook.deliver",
                                       "http://hook.test/", &error, s->p));
    e.kind = MG_EVENT_DELIVERED;
    e.at = apr_time_from_sec(1318528920); /* 2011-10-13 */
    unit_store_ok(s->db, append(s->db, &e, s->p));
    assert_int_equal(unit_store_int(s->db, "SELECT created_at / 1000000 FROM"
                                    " event"), 1318528920);
    assert_int_equal(unit_store_int(s->db, "SELECT day FROM stat WHERE kind ="
                                    " 'delivered'"), 15260);
    assert_int_equal(unit_store_int(s->db, "SELECT count(*) FROM delivery"
                                    " WHERE due_at > 1400000000000000"), 1);
}

static void webhook(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    static const mg_transport_kind_t hook = MG_TRANSPORT_HOOK;
    static const struct {
        mg_event_kind_t kind;
        int direction, posts;
    } cases[] = {
        { MG_EVENT_DELIVERED, MG_OUTGOING, 1 },
        { MG_EVENT_DELIVERED, MG_INCOMING, 0 },
        { MG_EVENT_ACCEPTED, MG_OUTGOING, 0 },
        { MG_EVENT_FAILED, MG_OUTGOING, 0 },
    };
    mg_domain_cache_t *cache = mg_domain_cache_create(NULL, s->p);
    mg_claimer_t *c = mg_claimer_create(9, &hook, 1, apr_time_from_sec(60),
                                        s->p);
    apr_array_header_t *list;
    mg_delivery_t *row;
    const char *error;
    mg_event_t e;
    json_t *json;
    size_t i;
    int with_cache;

    unit_store_ok(s->db, mg_domain_set(s->db, d->id, "webhook.deliver",
                                       "http://Hook.test:8/x", &error, s->p));
    for (with_cache = 0; with_cache < 2; with_cache++) {
        if (with_cache)
            mg_event_context(s->db, cache, 1);
        for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            e = event_of_domain(d);
            e.kind = cases[i].kind;
            e.direction = cases[i].direction;
            e.message_id = 4711;
            unit_store_ok(s->db, append(s->db, &e, s->p));
            list = unit_claim(s, s->db, c, 10);
            assert_int_equal(list->nelts, cases[i].posts);
            if (!cases[i].posts)
                continue;
            row = APR_ARRAY_IDX(list, 0, mg_delivery_t *);
            assert_string_equal(row->dest, "hook.test:8");
            assert_string_equal(row->target, "http://Hook.test:8/x");
            assert_string_equal(row->recipient, "alex@mailgun.net");
            assert_int_equal(row->message_id, 4711);
            json = mg_json_parse(row->payload, strlen(row->payload), &error,
                                 s->p);
            assert_string_equal(
                json_string_value(json_object_get(json, "event")),
                "delivered");
            assert_int_equal(
                strlen(json_string_value(json_object_get(json, "id"))), 22);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(log_lines),
        UNIT_ON_BOTH(test_mode_is_marked),
        UNIT_ON_BOTH(hostile_detail),
        UNIT_ON_BOTH(detail_of_tls),
        UNIT_ON_BOTH(detail_of_clicks),
        UNIT_ON_BOTH(of_a_message),
        UNIT_ON_BOTH(counts_per_batch),
        UNIT_ON_BOTH(folds),
        UNIT_ON_BOTH(happened_before),
        UNIT_ON_BOTH(webhook),
    };
    return unit_store_run("event", tests);
}
