/* test_keeper_complaint.c - reports of spam, and mail that unsubscribes
 * (keeper_complaint.c, keeper_unsubscribe.c). */
#include <string.h>

#include <apr_strings.h>

#include "keeper_bounce.h"
#include "mg_log.h"
#include "mg_seal.h"
#include "mg_suppression.h"
#include "mg_track.h"
#include "mg_verp.h"
#include "unit_records.h"
#include "unit_worker.h"

typedef struct {
    unit_store_t *s;
    keeper_bounce_t *bounce;
    mg_domain_t *domain;
    mg_track_keys_t *tracking;
    unsigned char key[32];
    mg_message_t *sent;
} bench_t;

#define ARF(type, fields) \
    "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n" \
    "Content-Type: message/feedback-report\r\n\r\nFeedback-Type: " type \
    "\r\nUser-Agent: u\r\n" fields "\r\n--b\r\n" \
    "Content-Type: message/rfc822\r\n\r\n"

static bench_t *bench(void **state, const char *recipients,
                      const char *options)
{
    unit_store_t *s = *state;
    bench_t *b = apr_pcalloc(s->p, sizeof(*b));
    worker_t *w = unit_worker(s, MG_ROLE_KEEPER);
    char *list = apr_pstrdup(s->p, recipients), *last = NULL, *one;
    const char *secret = apr_pstrcat(s->p, s->dir, "/tracking", NULL);
    int i;

    mg_log_set_level(MG_LOG_WARN);
    b->s = s;
    w->secret = unit_secret(s);
    unit_worker_config(w)->hostname = "mail.a.test";
    unit_worker_config(w)->tracking_secret = secret;
    (void)mg_track_keys_create(secret, s->p);
    unit_store_ok(s->db, mg_track_keys_load(&b->tracking, secret, s->p));
    unit_store_ok(s->db, mg_worker_register(&w->worker_id, s->db, "keeper"));
    unit_store_ok(s->db, keeper_bounce_create(&b->bounce, w));
    unit_store_ok(s->db, mg_secret_derive(b->key, w->secret, "verp"));
    b->domain = unit_domain(s, unit_account(s, "acme"), "a.test");
    b->sent = unit_message(s, b->domain);
    b->sent->options = options;
    for (one = apr_strtok(list, ",", &last); one;
         one = apr_strtok(NULL, ",", &last))
        unit_envelope(b->sent, MG_TRANSPORT_SMTP, one, "x.test");
    unit_store_ok(s->db, unit_accept(s->db, b->sent, s->p));
    for (i = 0; i < b->sent->envelopes->nelts; i++) {
        apr_array_header_t *claimed = unit_claim(
            s, s->db, unit_claimer(s, s->db, MG_TRANSPORT_SMTP), 1);

        unit_store_ok(s->db, unit_result(
            s->db, APR_ARRAY_IDX(claimed, 0, mg_delivery_t *),
            MG_EVENT_DELIVERED, s->p));
    }
    return b;
}

static void came(bench_t *b, const char *to, const char *payload,
                 const char *content)
{
    unit_store_t *s = b->s;
    mg_message_t *m = unit_message(s, b->domain);
    mg_envelope_t *e = unit_envelope(m, MG_TRANSPORT_BOUNCE, to, "a.test");
    int more = 0;

    e->payload = payload;
    m->direction = MG_INCOMING;
    m->sender = "";
    m->bytes = content;
    m->bytes_len = strlen(content);
    m->size = (apr_int64_t)m->bytes_len;
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    unit_store_ok(s->db, keeper_bounce_step(b->bounce, &more, s->p));
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM delivery"
                                    " WHERE transport = 6"), 0);
}

/* "<mac><tag>.<id>" of the copy that went to copy_of. */
static const char *id_of(bench_t *b, const char *copy_of)
{
    return mg_verp_report_id(mg_verp_make(b->key, b->sent->id, copy_of,
                                          "a.test", b->s->p), b->s->p);
}

static void feedback(bench_t *b, const char *arf, const char *header)
{
    came(b, "fbl@a.test", "{\"feedback\":true}",
         apr_pstrcat(b->s->p, arf, header, "\r\n\r\nhi\r\n--b--\r\n", NULL));
}

static void to_sender(bench_t *b, const char *copy_of, const char *arf)
{
    char *to = mg_verp_make(b->key, b->sent->id, copy_of, "a.test", b->s->p);
    mg_verp_t verp;

    *strchr(to, '@') = '\0';
    assert_int_equal(mg_verp_read(&verp, b->key, to, "a.test"), APR_SUCCESS);
    came(b, apr_pstrcat(b->s->p, to, "@a.test", NULL),
         apr_psprintf(b->s->p, "{\"message\":\"%" APR_INT64_T_FMT
                      "\",\"tag\":\"%s\"}", verp.message_id, verp.tag),
         apr_pstrcat(b->s->p, arf, "\r\nhi\r\n--b--\r\n", NULL));
}

static apr_int64_t rows(bench_t *b, const char *where)
{
    return unit_store_int(b->s->db, apr_pstrcat(b->s->p, "SELECT COUNT(*) "
                                                "FROM ", where, NULL));
}

/* Booked once, for whom it proves, however it says so. */
static void test_own_copies(void **state)
{
    bench_t *b = bench(state, "Bob@x.test,ann@x.test,tom@x.test",
                       "{\"tags\":[\"news\"]}");
    apr_pool_t *p = b->s->p;

    feedback(b, ARF("abuse", ""), apr_pstrcat(
        p, "X-Mailgun-Report-Id: ", id_of(b, "bob@x.test"), NULL));
    feedback(b, ARF("abuse", ""), apr_pstrcat(
        p, "Return-Path: <bounce+", id_of(b, "bob@x.test"), "-x@a.test>",
        NULL));
    assert_int_equal(rows(b, "event WHERE kind = 'complained'"), 1);
    assert_int_equal(rows(b, "event WHERE kind = 'complained' AND recipient ="
                          " 'Bob@x.test' AND detail LIKE '%\"news\"%'"), 1);
    assert_int_equal(rows(b, "complaint WHERE address_lc = 'bob@x.test' AND"
                          " count = 1"), 1);
    /* whom the report names does not matter then */
    to_sender(b, "ann@x.test", ARF("fraud", "Original-Rcpt-To: tom@x.test"
                                   "\r\n"));
    assert_int_equal(rows(b, "complaint WHERE address_lc = 'ann@x.test'"), 1);
    assert_int_equal(rows(b, "complaint"), 2);
    /* no report, but the message: at the feedback address that is enough */
    came(b, "fbl@a.test", "{\"feedback\":true}", apr_pstrcat(
        p, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        "Content-Type: message/rfc822\r\n\r\nX-Mailgun-Report-Id: ",
        id_of(b, "tom@x.test"), "\r\n\r\nhi\r\n--b--\r\n", NULL));
    assert_int_equal(rows(b, "complaint"), 3);
    assert_int_equal(rows(b, "delivery"), 0);
    unit_fsck(b->s, 1, "domain a.test has no DKIM key");
}

/* A stranger complains for nobody. */
static void test_forged(void **state)
{
    bench_t *b = bench(state, "bob@x.test,ann@x.test", "{}");
    apr_pool_t *p = b->s->p;
    char *id = apr_pstrdup(p, id_of(b, "bob@x.test"));

    feedback(b, ARF("abuse", "Original-Rcpt-To: bob@x.test\r\n"),
             apr_psprintf(p, "Message-Id: <%s>", b->sent->message_id));
    id[0] = id[0] == '0' ? '1' : '0';
    feedback(b, ARF("abuse", "Original-Rcpt-To: bob@x.test\r\n"),
             apr_pstrcat(p, "X-Mailgun-Report-Id: ", id, NULL));
    /* good, but not where it is said to be: in the body */
    feedback(b, ARF("abuse", ""), apr_pstrcat(
        p, "Subject: x\r\n\r\nbounce+", id_of(b, "bob@x.test"), "-", NULL));
    feedback(b, ARF("not-spam", ""), apr_pstrcat(
        p, "X-Mailgun-Report-Id: ", id_of(b, "bob@x.test"), NULL));
    feedback(b, ARF("auth-failure", ""), apr_pstrcat(
        p, "X-Mailgun-Report-Id: ", id_of(b, "bob@x.test"), NULL));
    assert_int_equal(rows(b, "event WHERE kind = 'complained'"), 0);
    assert_int_equal(rows(b, "complaint"), 0);
    assert_int_equal(rows(b, "delivery"), 0);
    /* a person's mail goes to a person */
    came(b, "fbl@a.test", "{\"feedback\":true}", "From: x@y.test\r\n"
         "Subject: confirm your feedback loop\r\n\r\nclick\r\n");
    assert_int_equal(rows(b, "delivery WHERE transport = 2 AND recipient ="
                          " 'postmaster@a.test'"), 1);
}

static void test_shared_copy(void **state)
{
    bench_t *b = bench(state, "bob@x.test,ann@x.test,eve@y.test", "{}");
    const char *shared = apr_pstrcat(b->s->p, "X-Mailgun-Report-Id: ",
                                     id_of(b, "x.test"), NULL);

    feedback(b, ARF("abuse", ""), shared); /* one of two */
    feedback(b, ARF("abuse", "Original-Rcpt-To: eve@y.test\r\n"), shared);
    assert_int_equal(rows(b, "complaint"), 0);
    feedback(b, ARF("abuse", "Original-Rcpt-To: <ANN@x.test>\r\n"), shared);
    assert_int_equal(rows(b, "complaint WHERE address_lc = 'ann@x.test'"), 1);
    /* one alone at his destination may be hidden */
    feedback(b, ARF("abuse", ""), apr_pstrcat(
        b->s->p, "X-Mailgun-Report-Id: ", id_of(b, "y.test"), NULL));
    assert_int_equal(rows(b, "complaint WHERE address_lc = 'eve@y.test'"), 1);
    assert_int_equal(rows(b, "complaint"), 2);
}

static void test_opt_out(void **state)
{
    bench_t *b = bench(state, "bob@x.test", "{}");

    feedback(b, ARF("opt-out", ""), apr_pstrcat(
        b->s->p, "X-Mailgun-Report-Id: ", id_of(b, "bob@x.test"), NULL));
    assert_int_equal(rows(b, "complaint"), 0);
    assert_int_equal(rows(b, "unsubscribe WHERE address_lc = 'bob@x.test' AND"
                          " tag = '*'"), 1);
}

static void unsubscribe(bench_t *b, mg_track_kind_t kind,
                        const char *recipient, const char *content)
{
    mg_track_t track = { .kind = kind, .domain_id = b->domain->id,
                         .message_id = b->sent->id, .recipient = recipient };
    char *local;

    unit_store_ok(b->s->db, mg_track_mail_make(&local, b->tracking, &track,
                                               b->s->p));
    came(b, apr_pstrcat(b->s->p, local, "@a.test", NULL),
         "{\"unsubscribe\":true}", content);
}

static void test_unsubscribe(void **state)
{
    bench_t *b = bench(state, "Bob@x.test,ann@x.test",
                       "{\"tags\":[\"news\",\"offers\"]}");
    int more;

    unsubscribe(b, MG_TRACK_UNSUBSCRIBE, "Bob@x.test", "");
    unsubscribe(b, MG_TRACK_UNSUBSCRIBE, "Bob@x.test", "");
    assert_int_equal(rows(b, "unsubscribe WHERE address = 'Bob@x.test' AND"
                          " tag = '*'"), 1);
    assert_int_equal(rows(b, "event WHERE kind = 'unsubscribed' AND recipient"
                          " = 'Bob@x.test' AND detail LIKE '%\"news\"%'"), 1);
    unsubscribe(b, MG_TRACK_UNSUBSCRIBE_TAGS, "ann@x.test",
                "From: Somebody <else@y.test>\r\n\r\n");
    assert_int_equal(rows(b, "unsubscribe WHERE address_lc = 'ann@x.test' AND"
                          " tag IN ('news', 'offers')"), 2);
    assert_int_equal(rows(b, "unsubscribe"), 3);
    assert_int_equal(rows(b, "event WHERE kind = 'unsubscribed'"), 2);
    assert_int_equal(rows(b, "delivery"), 0);
    /* who came back may go again */
    unit_store_ok(b->s->db, mg_suppression_remove(
        b->s->db, b->domain->id, MG_UNSUBSCRIBED, "ann@x.test", "news",
        b->s->p));
    unsubscribe(b, MG_TRACK_UNSUBSCRIBE_TAGS, "ann@x.test", "");
    assert_int_equal(rows(b, "unsubscribe WHERE address_lc = 'ann@x.test'"),
                     2);
    unit_fsck(b->s, 1, "domain a.test has no DKIM key");
    /* the message is forgotten: who writes himself is known all the same */
    unit_store_ok(b->s->db, mg_suppression_forget(&more, b->s->db,
                                                  b->domain->id));
    unit_store_ok(b->s->db, mg_db_exec(b->s->db, NULL, "DELETE FROM event"
                                       " WHERE message_id = $1", "i",
                                       b->sent->id));
    unit_store_ok(b->s->db, mg_db_exec(b->s->db, NULL, "DELETE FROM message"
                                       " WHERE id = $1", "i", b->sent->id));
    unsubscribe(b, MG_TRACK_UNSUBSCRIBE, "bob@x.test", "");
    assert_int_equal(rows(b, "unsubscribe"), 0);
    unsubscribe(b, MG_TRACK_UNSUBSCRIBE, "bob@x.test",
                "From: Bob <BOB@x.test>\r\nSubject: unsubscribe\r\n\r\n");
    assert_int_equal(rows(b, "unsubscribe WHERE address_lc = 'bob@x.test' AND"
                          " tag = '*'"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(test_own_copies),
        UNIT_ON_BOTH(test_forged),
        UNIT_ON_BOTH(test_shared_copy),
        UNIT_ON_BOTH(test_opt_out),
        UNIT_ON_BOTH(test_unsubscribe),
    };
    return unit_store_run("keeper_complaint", tests);
}
