/* test_keeper_bounce.c - reports that come back are booked (keeper_bounce.h). */
#include <string.h>
#include <time.h>

#include <apr_strings.h>

#include "keeper_bounce.h"
#include "mg_id.h"
#include "mg_log.h"
#include "mg_seal.h"
#include "mg_suppression.h"
#include "mg_time.h"
#include "mg_verp.h"
#include "unit_records.h"
#include "unit_worker.h"

typedef struct {
    unit_store_t *s;
    keeper_bounce_t *bounce;
    mg_domain_t *domain;
    unsigned char key[32];
    mg_message_t *sent;
} bench_t;

#define FAILED(who, status) \
    "Final-Recipient: rfc822; " who "\r\nAction: failed\r\nStatus: " status \
    "\r\n\r\n"
#define DELAYED(who) \
    "Final-Recipient: rfc822; " who "\r\nAction: delayed\r\nStatus: 4.4.1\r\n"

static bench_t *bench(void **state, const char *recipients)
{
    unit_store_t *s = *state;
    bench_t *b = apr_pcalloc(s->p, sizeof(*b));
    worker_t *w = unit_worker(s, MG_ROLE_KEEPER);
    char *list = apr_pstrdup(s->p, recipients), *last = NULL, *one;
    mg_delivery_t *d;
    int i;

    mg_log_set_level(MG_LOG_WARN);
    b->s = s;
    w->secret = unit_secret(s);
    unit_worker_config(w)->hostname = "mail.a.test";
    unit_store_ok(s->db, mg_worker_register(&w->worker_id, s->db, "keeper"));
    unit_store_ok(s->db, keeper_bounce_create(&b->bounce, w));
    unit_store_ok(s->db, mg_secret_derive(b->key, w->secret, "verp"));
    b->domain = unit_domain(s, unit_account(s, "acme"), "a.test");
    b->sent = unit_message(s, b->domain);
    for (one = apr_strtok(list, ",", &last); one;
         one = apr_strtok(NULL, ",", &last))
        unit_envelope(b->sent, MG_TRANSPORT_SMTP, one, "x.test");
    unit_store_ok(s->db, unit_accept(s->db, b->sent, s->p));
    for (i = 0; i < b->sent->envelopes->nelts; i++) {
        apr_array_header_t *claimed = unit_claim(
            s, s->db, unit_claimer(s, s->db, MG_TRANSPORT_SMTP), 1);

        d = APR_ARRAY_IDX(claimed, 0, mg_delivery_t *);
        unit_store_ok(s->db, unit_result(s->db, d, MG_EVENT_DELIVERED, s->p));
    }
    return b;
}

/* To the sender of the copy that went to copy_of ("x.test": a shared one). */
static void came_back(bench_t *b, const char *copy_of, const char *content)
{
    unit_store_t *s = b->s;
    mg_message_t *m = unit_message(s, b->domain);
    const char *to = mg_verp_make(b->key, b->sent->id, copy_of, "a.test",
                                  s->p);
    mg_envelope_t *e = unit_envelope(m, MG_TRANSPORT_BOUNCE, to, "a.test");
    mg_verp_t verp;
    int more = 0;

    assert_int_equal(mg_verp_read(&verp, b->key, to, "a.test"), APR_SUCCESS);
    e->payload = apr_psprintf(s->p, "{\"message\":\"%" APR_INT64_T_FMT
                              "\",\"tag\":\"%s\"}", verp.message_id, verp.tag);
    m->direction = MG_INCOMING;
    m->sender = "";
    m->bytes = content;
    m->bytes_len = strlen(content);
    m->size = (apr_int64_t)m->bytes_len;
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    unit_store_ok(s->db, keeper_bounce_step(b->bounce, &more, s->p));
    assert_int_equal(more, 0);
}

static void report(bench_t *b, const char *copy_of, const char *status)
{
    came_back(b, copy_of, apr_pstrcat(
        b->s->p, "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
        "Content-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.x.test\r\n\r\n", status, "--b--\r\n", NULL));
}

static apr_int64_t rows(bench_t *b, const char *where)
{
    return unit_store_int(b->s->db, apr_pstrcat(b->s->p, "SELECT COUNT(*) "
                                                "FROM ", where, NULL));
}

static void test_booked(void **state)
{
    bench_t *b = bench(state, "Bob@x.test,ann@x.test,tom@x.test");

    /* the copy's recipient, whatever address the report has */
    report(b, "bob@x.test", DELAYED("other@y.test"));
    report(b, "bob@x.test", DELAYED("other@y.test"));
    assert_int_equal(rows(b, "event WHERE kind = 'failed_temp'"), 1);
    report(b, "bob@x.test", FAILED("other@y.test", "5.1.1"));
    report(b, "bob@x.test", FAILED("other@y.test", "5.1.1"));
    report(b, "bob@x.test", DELAYED("other@y.test"));
    assert_int_equal(rows(b, "event WHERE kind = 'failed_temp'"), 1);
    assert_int_equal(rows(b, "event WHERE kind = 'failed_late' AND recipient ="
                          " 'Bob@x.test' AND detail LIKE"
                          " '{\"code\":550,\"reply\":\"550 5.1.1\","
                          "\"mx\":\"mx.x.test\",\"class\":\"unknown\",%'"), 1);
    assert_int_equal(rows(b, "event WHERE kind = 'failed_late'"), 1);
    assert_int_equal(rows(b, "bounce WHERE address_lc = 'bob@x.test'"), 1);
    /* a policy is nobody's fault */
    report(b, "ann@x.test", FAILED("ann@x.test", "5.7.1"));
    assert_int_equal(rows(b, "event WHERE kind = 'failed_late'"), 2);
    assert_int_equal(rows(b, "bounce"), 1);
    assert_int_equal(rows(b, "event WHERE kind = 'dropped'"), 2);
    assert_int_equal(rows(b, "event WHERE detail LIKE '%maxfails%'"), 0);
    /* they tried until they had enough of it: no bounce */
    report(b, "tom@x.test", FAILED("tom@x.test", "4.4.7"));
    report(b, "tom@x.test", FAILED("tom@x.test", "4.4.7"));
    assert_int_equal(rows(b, "event WHERE kind = 'dropped' AND recipient ="
                          " 'tom@x.test' AND detail LIKE '%maxfails%'"), 1);
    assert_int_equal(rows(b, "event WHERE kind = 'failed_late'"), 2);
    assert_int_equal(rows(b, "event WHERE kind = 'dropped'"), 3);
    assert_int_equal(rows(b, "delivery"), 0);
    unit_fsck(b->s, 1, "domain a.test has no DKIM key");
}

/* A shared copy comes back for recipients of the message, and no other. */
static void test_shared(void **state)
{
    bench_t *b = bench(state, "bob@x.test,ann@x.test,eve@x.test,tom@y.test");

    report(b, "x.test", FAILED("stranger@x.test", "5.1.1")
                        FAILED("tom@y.test", "5.1.1")
                        FAILED("ANN@x.test", "5.1.1")
                        "Original-Recipient: rfc822;eve@x.test\r\n"
                        FAILED("eve@inside.x.test", "5.1.1"));
    assert_int_equal(rows(b, "event WHERE kind = 'failed_late'"), 2);
    assert_int_equal(rows(b, "bounce WHERE address_lc IN ('ann@x.test',"
                          " 'eve@x.test')"), 2);
    assert_int_equal(rows(b, "bounce"), 2);
    /* one that went to several destinations at one server */
    report(b, "", FAILED("tom@y.test", "5.1.1"));
    assert_int_equal(rows(b, "bounce WHERE address_lc = 'tom@y.test'"), 1);
}

static void test_others(void **state)
{
    bench_t *b = bench(state, "bob@x.test");

    came_back(b, "bob@x.test", "From: bob@x.test\r\nSubject: Out of office\r\n"
              "\r\n\r\n");
    report(b, "bob@x.test", "Final-Recipient: rfc822; bob@x.test\r\n"
           "Action: relayed\r\nStatus: 2.0.0\r\n");
    assert_int_equal(rows(b, "delivery"), 0);
    assert_int_equal(rows(b, "event"), 2);
    /* what nobody understands goes to a person */
    came_back(b, "bob@x.test", "From: bob@x.test\r\n\r\nWho are you?\r\n");
    assert_int_equal(rows(b, "delivery WHERE transport = 2 AND recipient ="
                          " 'postmaster@a.test'"), 1);
    unit_fsck(b->s, 1, "domain a.test has no DKIM key");
    /* a message that is forgotten */
    unit_store_ok(b->s->db, mg_db_exec(b->s->db, NULL, "DELETE FROM message"
                                       " WHERE id = $1", "i", b->sent->id));
    report(b, "bob@x.test", FAILED("bob@x.test", "5.1.1"));
    assert_int_equal(rows(b, "bounce"), 0);
    assert_int_equal(rows(b, "delivery WHERE transport = 6"), 0);
}

/* Who has one address of ours may answer to it at length: all others wait for
 * the transaction in which that is booked. */
static void test_long(void **state)
{
    bench_t *b = bench(state, "bob@x.test");
    mg_db_t *db = b->s->db;
    char *all, *at;
    clock_t begun;
    int i;

    unit_store_ok(db, mg_tx_begin(db, MG_TX_WRITE));
    for (i = 0; i < 1000; i++)
        unit_store_ok(db, mg_db_exec(
            db, NULL, "INSERT INTO event (id, account_id, domain_id,"
            " message_id, delivery_id, kind, recipient, log_text, detail,"
            " created_at) VALUES ($1, 1, $2, $3, 0, 'accepted', $4, '', '{}',"
            " 0)", "iiit", (apr_int64_t)i + 1, b->domain->id, b->sent->id,
            apr_psprintf(b->s->p, "a%d@x.test", i)));
    unit_store_ok(db, mg_tx_commit(db));
    all = at = apr_palloc(b->s->p, 1000 * 60 + 1);
    for (i = 0; i < 1000; i++)
        at += apr_snprintf(at, 60, "Final-Recipient: e; <a@b>\r\n"
                           "Action: delayed\r\n\r\n");
    begun = clock();
    report(b, "bob@x.test", all);
    assert_true(clock() - begun < CLOCKS_PER_SEC / 2);
    assert_int_equal(rows(b, "event WHERE kind = 'failed_temp'"), 1);
}

/* Who sent it by SMTP is told, unless he did not want to be. */
static void test_told(void **state)
{
    bench_t *b = bench(state, "bob@x.test,ann@x.test");

    unit_store_ok(b->s->db, mg_db_exec(b->s->db, NULL, "UPDATE message"
                                       " SET method = 'smtp' WHERE id = $1",
                                       "i", b->sent->id));
    unit_store_ok(b->s->db, mg_db_exec(b->s->db, NULL, "UPDATE event"
                                       " SET detail = '{\"notify\":\"NEVER\"}'"
                                       " WHERE kind = 'delivered' AND"
                                       " recipient = 'ann@x.test'", ""));
    report(b, "bob@x.test", FAILED("bob@x.test", "5.1.1"));
    report(b, "ann@x.test", FAILED("ann@x.test", "5.1.1"));
    assert_int_equal(rows(b, "event WHERE kind = 'failed_late'"), 2);
    assert_int_equal(rows(b, "message WHERE method = 'dsn'"), 1);
    assert_int_equal(rows(b, "delivery WHERE recipient = 'me@a.test'"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(test_booked),
        UNIT_ON_BOTH(test_shared),
        UNIT_ON_BOTH(test_long),
        UNIT_ON_BOTH(test_others),
        UNIT_ON_BOTH(test_told),
    };
    return unit_store_run("keeper_bounce", tests);
}
