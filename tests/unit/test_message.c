/* test_message.c - accepting, content, sweeping. */
#include <string.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "mg_id.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_records.h"

static void accepts(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_message_t *m = unit_message(s, d), *got;
    mg_message_t other = { .id = 1 };
    const void *bytes;
    apr_size_t len;

    unit_envelope(m, MG_TRANSPORT_LMTP, "b@a.test", "77");
    unit_envelope(m, MG_TRANSPORT_HTTP, "b@a.test", "x.test:80")->target =
        "http://x.test/";
    unit_envelope(m, MG_TRANSPORT_SMTP, "c@b.test", "b.test");
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));

    unit_store_ok(s->db, mg_message_is_there(s->db, m));
    unit_store_is(s->db, mg_message_is_there(s->db, &other), APR_ENOENT);
    unit_store_ok(s->db, mg_message_get(&got, s->db, m->id, s->p));
    assert_string_equal(got->subject, "Hello");
    assert_string_equal(got->sender, "me@a.test");
    assert_string_equal(got->options, "{}");
    assert_string_equal(got->message_id, m->message_id);
    assert_int_equal(got->size, 4096);
    assert_int_equal(got->created_at, m->created_at);
    unit_store_is(s->db, mg_message_get(&got, s->db, 1, s->p), APR_ENOENT);

    unit_store_ok(s->db, mg_message_slice(&bytes, &len, s->db, m->id, 0,
                                          s->p));
    assert_int_equal(len, 4096);
    assert_memory_equal(bytes, m->bytes, 4096);
    unit_store_is(s->db, mg_message_slice(&bytes, &len, s->db, m->id, 1, s->p),
                  APR_EOF);
    /* one accepted event per recipient, one row per envelope */
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM event"), 2);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM delivery"),
                     3);
    assert_int_equal(unit_store_int(s->db, "SELECT CAST(SUM(n) AS BIGINT)"
                                    " FROM stat WHERE kind = 'accepted'"), 2);
    assert_int_equal(unit_store_int(s->db, "SELECT CAST(SUM(n) AS BIGINT)"
                                    " FROM account_usage"), 2);
}

/* Booked, and nobody is asked to deliver. */
static void test_mode(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_message_t *m = unit_message(s, d);

    unit_envelope(m, MG_TRANSPORT_SMTP, "b@a.test", "a.test");
    unit_envelope(m, MG_TRANSPORT_SMTP, "c@b.test", "b.test");
    m->testmode = 1;
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    unit_store_ok(s->db, mg_message_is_there(s->db, m));
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM delivery"),
                     0);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM event WHERE"
                                    " kind = 'accepted'"), 2);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM event WHERE"
                                    " kind = 'delivered'"), 2);
}

/* When a delivery ends: by the configuration, or as the message says. */
static void ends(void **state)
{
    static const struct {
        const char *options;
        int due, expires, want; /* seconds from acceptance; 0: not said */
    } cases[] = {
        { NULL, 0, 0, 0 },
        { NULL, 0, 500, 500 },
        { NULL, 100, 0, 100 + 3 * 86400 },
        { "{\"deliver-within\":60}", 0, 0, 60 },
        { "{\"deliver-within\":60}", 100, 0, 160 },
        { "{\"deliver-within\":60}", 100, 130, 130 },
        { "{\"deliver-within\":9000}", 0, 500, 500 },
        { "{\"deliver-within\":\"x\"}", 0, 0, 0 },
    };
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        mg_message_t *m = unit_message(s, d);
        mg_envelope_t *e = unit_envelope(m, MG_TRANSPORT_SMTP, "c@b.test",
                                         "b.test");
        apr_time_t t = m->created_at;

        m->options = cases[i].options;
        e->due_at = cases[i].due ? t + apr_time_from_sec(cases[i].due) : 0;
        e->expires_at = cases[i].expires
                            ? t + apr_time_from_sec(cases[i].expires) : 0;
        unit_store_ok(s->db, unit_accept(s->db, m, s->p));
        assert_int_equal(unit_store_int(s->db, apr_psprintf(
            s->p, "SELECT expires_at FROM delivery WHERE id = %"
            APR_INT64_T_FMT, e->id)),
            cases[i].want ? t + apr_time_from_sec(cases[i].want) : 0);
    }
}

static void conflict_and_rollback(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_message_t *m = unit_message(s, d);

    unit_envelope(m, MG_TRANSPORT_SMTP, "c@b.test", "b.test");
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    unit_store_is(s->db, unit_accept(s->db, m, s->p), MG_ECONFLICT);

    m->id = mg_id_next(); /* the envelope's id is still taken */
    unit_store_is(s->db, unit_accept(s->db, m, s->p), MG_ECONFLICT);

    m->id = mg_id_next();
    APR_ARRAY_IDX(m->envelopes, 0, mg_envelope_t).id = mg_id_next();
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_message_accept(s->db, m, s->p));
    mg_tx_rollback(s->db);
    /* nothing of it is left, counters too */
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    assert_int_equal(unit_store_int(s->db, "SELECT CAST(SUM(n) AS BIGINT)"
                                    " FROM stat"), 2);
    unit_fsck(s, 1, "no DKIM key");
    /* accepting is part of a transaction */
    unit_store_is(s->db, mg_message_accept(s->db, m, s->p), MG_ESQL);
}

/* Two processes may draw the same id: the content of the one that was first
 * stays its own. */
static void content_of_another(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_message_t *m = unit_message(s, d);
    const void *bytes;
    apr_file_t *file;
    apr_size_t len;

    unit_envelope(m, MG_TRANSPORT_SMTP, "c@b.test", "b.test");
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    assert_int_equal(apr_file_open(&file, apr_pstrcat(s->p, s->dir, "/body",
                                                      NULL),
                                   APR_FOPEN_CREATE | APR_FOPEN_READ |
                                       APR_FOPEN_WRITE, APR_FPROT_OS_DEFAULT,
                                   s->p), APR_SUCCESS);
    apr_file_puts("another customer's", file);
    unit_store_is(s->db, mg_message_store_content(s->db, m->id, file, 18,
                                                  s->p), MG_ECONFLICT);
    unit_store_ok(s->db, mg_message_slice(&bytes, &len, s->db, m->id, 0,
                                          s->p));
    assert_int_equal(len, 4096);
    assert_memory_equal(bytes, m->bytes, 4096);

    /* its own, where only the answer to COMMIT was lost */
    m->id = mg_id_next();
    unit_fault("store.commit.after", UNIT_LOST, 0, 1);
    unit_store_ok(s->db, mg_message_store_content(s->db, m->id, file, 18,
                                                  s->p));
    unit_fault("store.commit.before", UNIT_LOST, 0, 1);
    unit_store_ok(s->db, mg_message_store_content(s->db, mg_id_next(), file,
                                                  18, s->p));
    unit_fault_clear();
    unit_store_ok(s->db, mg_message_slice(&bytes, &len, s->db, m->id, 0,
                                          s->p));
    assert_memory_equal(bytes, "another customer's", 18);
}

/* What SQLite takes and PostgreSQL refuses must be the same on both. */
static void dirty_text(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_message_t *m = unit_message(s, d), *got;
    apr_array_header_t *items;
    apr_int64_t total;

    m->subject = "bad \xff\xc3 bytes\r\nInjected: \xe2\x82\xac";
    m->sender = "\xf0\x9f@a.test";
    m->variables = "{\"a\":\"\xc0\"}";
    unit_envelope(m, MG_TRANSPORT_SMTP, "\x80@b.test", "b.test");
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    unit_store_ok(s->db, mg_message_get(&got, s->db, m->id, s->p));
    assert_non_null(strstr(got->subject, "\xef\xbf\xbd"));
    assert_non_null(strstr(got->subject, "\xe2\x82\xac"));
    unit_store_ok(s->db, mg_event_log(&items, &total, s->db, d->id, 0, 10,
                                      s->p));
    assert_null(strchr(APR_ARRAY_IDX(items, 0, mg_log_item_t *)->message,
                       '\n'));
}

static void empty_and_large(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    static const apr_size_t sizes[] = { 0, 1, MG_CONTENT_SLICE,
                                        MG_CONTENT_SLICE + 1,
                                        4 * MG_CONTENT_SLICE,
                                        9 * MG_CONTENT_SLICE + 7 };
    char *bytes = apr_palloc(s->p, 10 * MG_CONTENT_SLICE);
    const void *slice;
    apr_size_t i, j, len, total;
    apr_file_t *file;
    int stored;

    for (i = 0; i < 10 * MG_CONTENT_SLICE; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (stored = 0; stored < 2; stored++) {
            mg_message_t *m = unit_message(s, d);

            m->bytes = bytes;
            m->bytes_len = sizes[i];
            m->size = (apr_int64_t)sizes[i];
            unit_envelope(m, MG_TRANSPORT_SMTP, "c@b.test", "b.test");
            if (stored) {
                assert_int_equal(
                    apr_file_open(&file,
                                  apr_pstrcat(s->p, s->dir, "/body", NULL),
                                  APR_FOPEN_CREATE | APR_FOPEN_READ |
                                      APR_FOPEN_WRITE | APR_FOPEN_TRUNCATE,
                                  APR_FPROT_OS_DEFAULT, s->p), APR_SUCCESS);
                apr_file_write_full(file, bytes, sizes[i], NULL);
                unit_store_ok(s->db, mg_message_store_content(
                                         s->db, m->id, file, m->size, s->p));
                m->content_is_stored = 1;
                m->bytes = NULL;
                /* a file that is shorter than it was said to be */
                unit_store_is(s->db, mg_message_store_content(
                                         s->db, mg_id_next(), file,
                                         m->size + 1, s->p), MG_EIO);
                apr_file_close(file);
            }
            unit_store_ok(s->db, unit_accept(s->db, m, s->p));
            for (total = 0, j = 0;
                 mg_message_slice(&slice, &len, s->db, m->id, (apr_int64_t)j,
                                  s->p) == APR_SUCCESS; j++) {
                assert_true(total + len <= sizes[i]);
                assert_memory_equal(slice, bytes + total, len);
                total += len;
            }
            assert_int_equal(total, sizes[i]);
            assert_true(j >= 1);
        }
    }
}

static void sweeps(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_SMTP);
    apr_array_header_t *claimed;
    int swept, i, sum;

    unit_accept_many(s, d, 30);
    unit_store_ok(s->db, mg_message_sweep(&swept, s->db, 100, s->p));
    assert_int_equal(swept, 0);

    claimed = unit_claim(s, s->db, c, 20);
    assert_int_equal(claimed->nelts, 20);
    for (i = 0; i < 20; i++)
        unit_store_ok(s->db, unit_result(
                                 s->db, APR_ARRAY_IDX(claimed, i,
                                                      mg_delivery_t *),
                                 MG_EVENT_DELIVERED, s->p));
    for (sum = 0, i = 0; i < 10; i++, sum += swept)
        unit_store_ok(s->db, mg_message_sweep(&swept, s->db, 3, s->p));
    for (; i < 20; i++, sum += swept)
        unit_store_ok(s->db, mg_message_sweep(&swept, s->db, 100, s->p));
    assert_int_equal(sum, 20);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM content"),
                     10);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM message"),
                     30);

    /* written ahead by one who is gone; and by one who is at it */
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "INSERT INTO content"
                                    " (message_id, seq, bytes)"
                                    " VALUES ($1, 0, $2), ($3, 0, $2)", "ibi",
                                    mg_id_floor(mg_now() -
                                                apr_time_from_sec(4000)),
                                    "x", (apr_size_t)1, mg_id_next()));
    unit_fsck(s, 2, "there is no such message");
    for (sum = 0, i = 0; i < 2; i++, sum += swept)
        unit_store_ok(s->db, mg_message_sweep(&swept, s->db, 100, s->p));
    assert_int_equal(sum, 1);
    unit_fsck(s, 1, "no DKIM key");
}

/* Ten slices go in three steps, with a small one before and one behind. */
static void sweeps_large_ones_in_steps(void **state)
{
    static const int left[] = { 11, 7, 3, 1, 0 };
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    int swept, i;

    unit_accept_many(s, d, 3);
    unit_store_ok(s->db, mg_db_script(s->db, "DELETE FROM delivery;"
        "UPDATE message SET size = 2500000 WHERE id = (SELECT id FROM message"
        " ORDER BY id LIMIT 1 OFFSET 1)"));
    for (i = 1; i < 10; i++)
        unit_store_ok(s->db, mg_db_exec(s->db, NULL, "INSERT INTO content"
            " (message_id, seq, bytes) SELECT id, $1, $2 FROM message"
            " WHERE size = 2500000", "ib", (apr_int64_t)i, "x",
            (apr_size_t)1));
    for (i = 0; i < 5; i++) {
        unit_store_ok(s->db, mg_message_sweep(&swept, s->db, 100, s->p));
        assert_int_equal(swept, 1);
        assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM content"),
                         left[i]);
    }
}

/* A route forwards one recipient to two others: one was accepted. */
static void routed(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_message_t *m = unit_message(s, d);
    apr_array_header_t *items;
    mg_envelope_t *e;
    apr_int64_t total;
    const char *lines = "";
    int i;

    m->direction = MG_INCOMING;
    m->sender = "x@y.test";
    unit_envelope(m, MG_TRANSPORT_LMTP, "bob@a.test", "1");
    for (i = 0; i < 3; i++) {
        e = unit_envelope(m, MG_TRANSPORT_SMTP, i == 2 ? "c@z.test"
                                                       : "b@z.test", "z.test");
        e->came_to = "bob@a.test";
        e->came_to_as_given = "Bob <bob@a.test>";
        e->filter = i == 2 ? "catch_all()" : "match_recipient(\"bob\")";
        e->route_id = i == 2 ? "2" : "1";
    }
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    unit_store_ok(s->db, mg_event_log(&items, &total, s->db, d->id, 0, 10,
                                      s->p));
    for (i = items->nelts - 1; i >= 0; i--) {
        const mg_log_item_t *item = APR_ARRAY_IDX(items, i, mg_log_item_t *);

        lines = apr_pstrcat(s->p, lines, item->hap, " ", item->message, "\n",
                            NULL);
    }
    assert_string_equal(
        lines,
        "received Received: x@y.test \xe2\x86\x92 bob@a.test 'Hello'\n"
        "routed Routed: x@y.test \xe2\x86\x92 bob@a.test 'Hello' Route: "
        "match_recipient(\"bob\")\n"
        "routed Routed: x@y.test \xe2\x86\x92 bob@a.test 'Hello' Route: "
        "catch_all()\n");
    assert_int_equal(unit_store_int(s->db, "SELECT n FROM account_usage"
                                    " WHERE kind = 'received'"), 1);
    assert_int_equal(unit_store_int(s->db, "SELECT recipients FROM message"),
                     1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(routed),
        UNIT_ON_BOTH(accepts),
        UNIT_ON_BOTH(test_mode),
        UNIT_ON_BOTH(ends),
        UNIT_ON_BOTH(conflict_and_rollback),
        UNIT_ON_BOTH(content_of_another),
        UNIT_ON_BOTH(dirty_text),
        UNIT_ON_BOTH(empty_and_large),
        UNIT_ON_BOTH(sweeps),
        UNIT_ON_BOTH(sweeps_large_ones_in_steps),
    };
    return unit_store_run("message", tests);
}
