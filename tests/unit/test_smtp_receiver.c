/* test_smtp_receiver.c - what a receiver stores, when it says so, and how it
 * defends itself. The dialogue itself is tested by transcripts. */
#include <stdlib.h>

#include "mg_fault.h"
#include "mg_log.h"
#include "mg_message.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_pool.h"
#include "unit_smtp.h"
#include "unit_store.h"

static unit_smtp_t *u;

/* --- helpers --- */

static const char *say(unit_client_t *c, const char *text)
{
    const char *reply;

    unit_client_send(c, text, strlen(text));
    reply = unit_client_reply(c, pool);
    return reply ? reply : "(nothing)";
}

static void expect(unit_client_t *c, const char *text, const char *want)
{
    const char *got = say(c, text);

    if (strncmp(got, want, strlen(want)) != 0)
        fail_msg("%s: expected %s, got %s", text, want, got);
}

static unit_client_t *hello(int role)
{
    unit_client_t *c = unit_client_connect(u, role, pool);

    expect(c, "", "220 ");
    expect(c, "EHLO client.test\r\n", "250-");
    return c;
}

/* Up to the 354. */
static unit_client_t *up_to_data(const char *rcpts[], int n)
{
    unit_client_t *c = hello(MG_LISTEN_MX);
    int i;

    expect(c, "MAIL FROM:<x@remote.test>\r\n", "250 ");
    for (i = 0; i < n; i++)
        expect(c, apr_psprintf(pool, "RCPT TO:<%s>\r\n", rcpts[i]), "250 ");
    expect(c, "DATA\r\n", "354 ");
    return c;
}

static apr_int64_t count(const char *table)
{
    return unit_smtp_count(u, apr_pstrcat(pool, "SELECT count(*) FROM ", table,
                                          NULL));
}

static apr_int64_t newest(int nth)
{
    apr_int64_t id = 0;

    assert_int_equal(mg_db_get_int(u->db, &id, "SELECT id FROM message ORDER"
                                   " BY id DESC LIMIT 1 OFFSET $1", "i",
                                   (apr_int64_t)nth), APR_SUCCESS);
    return id;
}

static const char *content_of(apr_int64_t id, apr_size_t *plen)
{
    char *all = apr_palloc(pool, 8 << 20);
    const void *bytes;
    apr_size_t len;
    int seq;

    *plen = 0;
    for (seq = 0; mg_message_slice(&bytes, &len, u->db, id, seq, pool)
                  == APR_SUCCESS; seq++) {
        memcpy(all + *plen, bytes, len);
        *plen += len;
    }
    all[*plen] = '\0';
    return all;
}

static mg_message_t *message(apr_int64_t id)
{
    mg_message_t *m;

    assert_int_equal(mg_message_get(&m, u->db, id, pool), APR_SUCCESS);
    return m;
}

/* --- what is stored --- */

static void test_incoming(void **state)
{
    const char *to[] = { "bob@a.test", "carol@a.test", "BOB@a.test" };
    apr_int64_t deliveries = count("delivery"), events = count("event");
    unit_client_t *c = up_to_data(to, 3);
    const char *content, *end;
    apr_size_t len;
    mg_message_t *m;

    (void)state;
    expect(c, "From: =?utf-8?q?J=C3=BCrgen?= <j@remote.test>\r\n"
              "Subject: hi\r\nMessage-Id: <1@remote.test>\r\n\r\n"
              "..dot\r\n.\r\n", "250 2.0.0 Ok: queued as 1@remote.test");
    m = message(newest(0));
    assert_int_equal(m->direction, MG_INCOMING);
    assert_int_equal(m->account_id, u->account_id);
    assert_int_equal(m->domain_id, u->domain_id);
    assert_string_equal(m->method, "smtp");
    assert_string_equal(m->message_id, "1@remote.test");
    assert_string_equal(m->sender, "x@remote.test");
    assert_string_equal(m->from_header, "J\xc3\xbcrgen <j@remote.test>");
    assert_string_equal(m->subject, "hi");
    assert_int_equal(count("delivery"), deliveries + 2);
    assert_int_equal(count("event"), events + 2);
    content = content_of(m->id, &len);
    assert_int_equal(len, m->size);
    assert_memory_equal(content, "Received: from client.test ([127.0.0.1])"
                                 "\r\n\tby mx.a.test with ESMTP id ", 67);
    end = strstr(content, "\r\nFrom: ");
    assert_non_null(end);
    assert_null(strstr(content, "for <")); /* two recipients */
    assert_string_equal(strstr(content, "\r\n\r\n"), "\r\n\r\n.dot\r\n");
    unit_client_close(c);
}

static void test_two_domains(void **state)
{
    const char *to[] = { "bob@a.test", "bob@other.test", "bob@b.test" };
    apr_int64_t messages = count("message");
    unit_client_t *c = up_to_data(to, 3);
    mg_message_t *m[3];
    int i;

    (void)state;
    expect(c, "Subject: hi\r\n\r\ntext\r\n.\r\n", "250 2.0.0 ");
    assert_int_equal(count("message"), messages + 3);
    for (i = 0; i < 3; i++)
        m[i] = message(newest(i));
    assert_int_not_equal(m[0]->domain_id, m[1]->domain_id);
    assert_int_not_equal(m[1]->domain_id, m[2]->domain_id);
    assert_string_equal(m[0]->message_id, m[2]->message_id);
    unit_client_close(c);
}

static void test_submitted(void **state)
{
    unit_client_t *c;
    const char *content;
    apr_size_t len;
    mg_message_t *m;

    (void)state;
    u->config->auth_without_tls = MG_NOTLS_AUTH_ON;
    c = hello(MG_LISTEN_SUBMISSION);
    expect(c, "AUTH PLAIN AGJvYkBhLnRlc3QAc2VjcmV0\r\n", "235 ");
    expect(c, "MAIL FROM:<me@elsewhere.test>\r\n", "250 ");
    expect(c, "RCPT TO:<x@remote.test>\r\n", "250 ");
    expect(c, "RCPT TO:<bob@b.test>\r\n", "250 ");
    expect(c, "DATA\r\n", "354 ");
    expect(c, "From: me@elsewhere.test\r\nBcc: x@remote.test\r\n"
              "Subject: out\r\n\r\ntext\r\n.\r\n", "250 2.0.0 ");
    m = message(newest(0));
    assert_int_equal(m->direction, MG_OUTGOING);
    assert_int_equal(m->domain_id, u->domain_id);
    assert_string_equal(m->sender, "me@elsewhere.test");
    assert_non_null(strstr(m->message_id, "@a.test"));
    content = content_of(m->id, &len);
    assert_int_equal(len, m->size);
    assert_int_equal(strncmp(content, "Received: from client.test", 26), 0);
    assert_non_null(strstr(content, "ESMTPA"));
    assert_non_null(strstr(content, "\r\nDate: "));
    assert_non_null(strstr(content, "\r\nMessage-Id: <"));
    assert_null(strstr(content, "Bcc"));
    assert_string_equal(strstr(content, "\r\n\r\n"), "\r\n\r\ntext\r\n");
    assert_int_equal(unit_smtp_count(u, apr_psprintf(pool,
        "SELECT count(*) FROM delivery WHERE message_id = %" APR_INT64_T_FMT
        " AND transport = %d AND dest = 'remote.test'", m->id,
        MG_TRANSPORT_SMTP)), 1);
    assert_int_equal(unit_smtp_count(u, apr_psprintf(pool,
        "SELECT count(*) FROM delivery WHERE message_id = %" APR_INT64_T_FMT
        " AND transport = %d", m->id, MG_TRANSPORT_LMTP)), 1);
    unit_client_close(c);
    u->config->auth_without_tls = MG_NOTLS_AUTH_OFF;
}

static apr_int64_t deliveries_like(apr_int64_t id, const char *payload)
{
    apr_int64_t n = 0;

    assert_int_equal(mg_db_get_int(u->db, &n, "SELECT count(*) FROM delivery"
                                   " WHERE message_id = $1 AND payload = $2",
                                   "it", id, payload), APR_SUCCESS);
    return n;
}

#define OURS "X-Mailgun-Incoming: Yes\r\nX-Envelope-From: <x@remote.test>\r\n"

/* Mail from outside as it is kept: with our fields behind its own. */
static const char *as_kept(const char *text)
{
    const char *empty = strstr(text, "\r\n\r\n") + 2;

    return apr_pstrcat(pool, apr_pstrmemdup(pool, text,
                                            (apr_size_t)(empty - text)),
                       OURS, empty, NULL);
}

/* By BDAT, with all that RFC 3461 has. */
static void test_dsn_stored(void **state)
{
    unit_client_t *c = hello(MG_LISTEN_MX);
    const char *content;
    apr_size_t len;
    mg_message_t *m;

    (void)state;
    expect(c, "MAIL FROM:<x@remote.test> RET=HDRS ENVID=a+2Bb\r\n", "250 ");
    expect(c, "RCPT TO:<bob@a.test> NOTIFY=DELAY,FAILURE"
              " ORCPT=rfc822;b+2Bob@x\r\n", "250 ");
    expect(c, "RCPT TO:<carol@a.test> NOTIFY=NEVER\r\n", "250 ");
    expect(c, "BDAT 14\r\nSubject: dsn\r\n", "250 2.0.0 Ok: octets taken: 14");
    expect(c, "BDAT 9 LAST\r\n\r\n..\r\n.\r\n", "250 2.0.0 Ok: queued as ");
    m = message(newest(0));
    assert_string_equal(m->options,
                        "{\"dsn\":{\"ret\":\"HDRS\",\"envid\":\"a+2Bb\"}}");
    content = content_of(m->id, &len);
    assert_non_null(strstr(content, "\r\nSubject: dsn\r\n" OURS
                                    "\r\n..\r\n.\r\n"));
    assert_int_equal(deliveries_like(m->id, "{\"notify\":\"FAILURE,DELAY\","
                                     "\"orcpt\":\"rfc822;b+2Bob@x\"}"), 1);
    assert_int_equal(deliveries_like(m->id, "{\"notify\":\"NEVER\"}"), 1);
    unit_client_close(c);
}

/* --- submitted mail and its options --- */

/* A session that is logged in, up to the 354. */
static unit_client_t *submit_to(const char *const *to)
{
    unit_client_t *c;

    u->config->auth_without_tls = MG_NOTLS_AUTH_ON;
    c = hello(MG_LISTEN_SUBMISSION);
    expect(c, "AUTH PLAIN AGJvYkBhLnRlc3QAc2VjcmV0\r\n", "235 ");
    u->config->auth_without_tls = MG_NOTLS_AUTH_OFF;
    expect(c, "MAIL FROM:<me@elsewhere.test> RET=FULL\r\n", "250 ");
    for (; *to != NULL; to++)
        expect(c, apr_psprintf(pool, "RCPT TO:<%s>\r\n", *to), "250 ");
    expect(c, "DATA\r\n", "354 ");
    return c;
}

static const char *const one_remote[] = { "x@remote.test", NULL };

static mg_message_t *submitted(const char *text)
{
    unit_client_t *c = submit_to(one_remote);

    expect(c, text, "250 2.0.0 ");
    unit_client_close(c);
    return message(newest(0));
}

static const char *const refusals[][2] = {
    { "X-Mailgun-Drop-Message: perhaps", "550 5.6.0 " },
    { "X-Mailgun-Require-TLS: a\xc3\xbc", "550 5.6.0 " },
    { "X-Mailgun-Deliver-By: tomorrow\x01", "550 5.6.0 tomorrow" },
    { "X-Mailgun-Deliver-By: Fri, 25 Oct 2099 23:10:10 -0000", "550 5.6.0 " },
    { "X-Mailgun-Tag: 1\r\nX-Mailgun-Tag: 2\r\nX-Mailgun-Tag: 3\r\n"
      "X-Mailgun-Tag: 4", "550 5.6.0 Too many tags, max is 3" },
    { "X-Mailgun-Campaign-Id: none", "550 5.6.0 Campaign not found: none" },
    { "X-Mailgun-Recipient-Variables: [1]", "550 5.6.0 'recipient-variables'" },
    { "X-Mailgun-Recipient-Variables: {", "550 5.6.0 'recipient-variables'" },
    { "Content-Type: multipart/mailgun-variables", "550 5.6.0 " },
    { "Content-Type: multipart/mailgun-variables; boundary=b",
      "550 5.6.0 multipart/mailgun-variables has no parts" },
};

static void test_bad_options(void **state)
{
    apr_int64_t messages = count("message");
    apr_size_t i;

    (void)state;
    for (i = 0; i < COUNT(refusals); i++) {
        unit_client_t *c = submit_to(one_remote);
        const char *got = say(c, apr_pstrcat(
            pool, refusals[i][0], "\r\nFrom: bob@a.test\r\n\r\nx\r\n.\r\n",
            NULL));

        if (strncmp(got, refusals[i][1], strlen(refusals[i][1])) != 0)
            fail_msg("%s: %s", refusals[i][0], got);
        for (; *got; got++)
            assert_in_range(*got, ' ', '~');
        expect(c, "NOOP\r\n", "250 ");
        unit_client_close(c);
    }
    assert_int_equal(count("message"), messages);
}

static void test_options(void **state)
{
    mg_message_t *m;
    const char *content;
    apr_size_t len;

    (void)state;
    m = submitted("From: Bob <bob@a.test>\r\n"
                  "X-Mailgun-Tag: news\r\nx-mailgun-tag: more\r\n"
                  "X-Mailgun-Dkim: no\r\nX-Mailgun-Track: yes\r\n"
                  "X-Mailgun-Track-Clicks: htmlonly\r\n"
                  "X-Mailgun-Track-Opens: no\r\n"
                  "X-Mailgun-Require-TLS: yes\r\n"
                  "X-Mailgun-Skip-Verification: no\r\n"
                  "X-Mailgun-Variables: {\"a\": 1,\r\n \"b\": {}}\r\n"
                  "X-Mailgun-Variables: {\"c\": \"d\"}\r\n"
                  "Subject: all\r\n\r\ntext\r\n.\r\n");
    assert_non_null(strstr(m->options, "\"tags\":[\"news\",\"more\"]"));
    assert_non_null(strstr(m->options, "\"dkim\":false"));
    assert_non_null(strstr(m->options, "\"tracking\":true"));
    assert_non_null(strstr(m->options, "\"tracking-clicks\":\"htmlonly\""));
    assert_non_null(strstr(m->options, "\"tracking-opens\":false"));
    assert_non_null(strstr(m->options, "\"require-tls\":true"));
    assert_non_null(strstr(m->options, "\"skip-verification\":false"));
    assert_non_null(strstr(m->options, "\"dsn\":{\"ret\":\"FULL\"}"));
    assert_string_equal(m->variables, "{\"a\":1,\"b\":{},\"c\":\"d\"}");
    content = content_of(m->id, &len);
    assert_int_equal(len, m->size);
    assert_non_null(strstr(content, "X-Mailgun-Tag: news\r\n"));
    assert_null(strstr(content, "Require-TLS"));
    assert_null(strstr(content, "\r\nSender:"));
    assert_null(strstr(strstr(content, "X-Mailgun-Variables:") + 1,
                       "X-Mailgun-Variables"));

    m = submitted("From: a@else.test\r\nX-Mailgun-Variables: {no\r\n\r\n"
                  ".\r\n");
    assert_string_equal(m->variables, "{}");
    content = content_of(m->id, &len);
    assert_non_null(strstr(content, "\r\nX-Mailgun-Variables: {no\r\n"));
    assert_non_null(strstr(content, "\r\nSender: a=else.test@a.test\r\n"));
}

static apr_int64_t due_of(apr_int64_t id)
{
    apr_int64_t due = 0;

    assert_int_equal(mg_db_get_int(u->db, &due, "SELECT due_at FROM delivery"
                                   " WHERE message_id = $1", "i", id),
                     APR_SUCCESS);
    return due;
}

static void test_due_and_test_mode(void **state)
{
    apr_int64_t deliveries, events;
    apr_time_t at = apr_time_from_sec(apr_time_sec(mg_now()) + 3600);
    mg_message_t *m;

    (void)state;
    m = submitted(apr_psprintf(pool, "From: bob@a.test\r\n"
                               "X-Mailgun-Deliver-By: %d\r\n\r\n.\r\n",
                               (int)apr_time_sec(at)));
    assert_int_equal(due_of(m->id), at);
    m = submitted("From: bob@a.test\r\nX-Mailgun-Deliver-By: "
                  "Fri, 25 Oct 2011 23:10:10 -0000\r\n\r\n.\r\n");
    assert_int_equal(due_of(m->id), m->created_at);
    deliveries = count("delivery");
    events = count("event");
    m = submitted("From: bob@a.test\r\nX-Mailgun-Drop-Message: yes\r\n\r\n"
                  ".\r\n");
    assert_non_null(strstr(m->options, "\"testmode\":true"));
    assert_int_equal(count("delivery"), deliveries);
    assert_int_equal(count("event"), events + 2);
}

static apr_int64_t with_variables(apr_int64_t id, const char *recipient,
                                  const char *variables)
{
    apr_int64_t n = 0;

    assert_int_equal(mg_db_get_int(u->db, &n, "SELECT count(*) FROM delivery"
                                   " WHERE message_id = $1 AND recipient = $2"
                                   " AND variables = $3", "itt", id, recipient,
                                   variables), APR_SUCCESS);
    return n;
}

#define BATCH_HEAD "From: outer@a.test\r\nX-Mailgun-Tag: outer\r\n" \
    "Content-Type: multipart/mailgun-variables; boundary=\"=b=\"\r\n\r\n" \
    "preamble\r\n--=b=\r\nContent-Type: application/json\r\n" \
    "Content-Transfer-Encoding: base64\r\n\r\n" \
    "eyJYQHJlbW90ZS50ZXN0Ijp7Im4iOjF9LA0K\r\n" \
    "ICJ5QHJlbW90ZS50ZXN0Ijp7Im4iOjJ9fQ==\r\n--=b=\r\n" \
    "Content-Type: message/rfc822\r\n\r\n"
#define BATCH_INNER "From: inner@a.test\r\nTo: X <x@remote.test>\r\n" \
    "Subject: batch\r\nX-Mailgun-Tag: inner\r\n\r\n"

/* Each recipient has its own variables, and the inner message is what goes. */
static void check_batch(mg_message_t *m)
{
    const char *content;
    apr_size_t len;

    assert_non_null(strstr(m->options, "\"batch\":true"));
    assert_non_null(strstr(m->options, "\"tags\":[\"outer\",\"inner\"]"));
    assert_string_equal(m->subject, "batch");
    assert_string_equal(m->from_header, "inner@a.test");
    assert_int_equal(with_variables(m->id, "x@remote.test", "{\"n\":1}"), 1);
    assert_int_equal(with_variables(m->id, "y@remote.test", "{\"n\":2}"), 1);
    content = content_of(m->id, &len);
    assert_int_equal(len, m->size);
    assert_null(strstr(content, "=b="));
    assert_null(strstr(content, "outer"));
    assert_string_equal(content + len - 8, "\r\nend.\r\n");
}

static void test_batch(void **state)
{
    static const char *const two[] = { "x@remote.test", "y@remote.test", NULL };
    static const int lines[] = { 0, 3900, 4087, 4088, 4089, 4090, 4091, 20000 };
    char line[65];
    apr_size_t i;
    int n;

    (void)state;
    for (i = 0; i < COUNT(lines); i++) {
        unit_client_t *c = submit_to(two);

        unit_client_send(c, BATCH_HEAD BATCH_INNER,
                         sizeof(BATCH_HEAD BATCH_INNER) - 1);
        for (n = 0; n < lines[i]; n++) {
            snprintf(line, sizeof(line), "%062d\r\n", n);
            unit_client_send(c, line, 64);
        }
        expect(c, "end.\r\n--=b=--\r\n.\r\n", "250 2.0.0 ");
        check_batch(message(newest(0)));
        unit_client_close(c);
    }
}

static void test_recipient_variables(void **state)
{
    static const char *const two[] = { "x@remote.test", "y@remote.test", NULL };
    unit_client_t *c = submit_to(two);
    const char *content;
    apr_size_t len;
    mg_message_t *m;

    (void)state;
    expect(c, "From: bob@a.test\r\nX-Mailgun-Recipient-Variables: "
              "{\"X@remote.test\": {\"n\": 1},\r\n \"z@x\": {}}\r\n"
              "Subject: b\r\n\r\n.\r\n", "250 2.0.0 ");
    m = message(newest(0));
    assert_non_null(strstr(m->options, "\"batch\":true"));
    assert_int_equal(with_variables(m->id, "x@remote.test", "{\"n\":1}"), 1);
    assert_int_equal(with_variables(m->id, "y@remote.test", "{}"), 1);
    content = content_of(m->id, &len);
    assert_null(strstr(content, "Recipient-Variables"));
    unit_client_close(c);
}

/* More fields than are looked at. */
static void expect_many_fields(void)
{
    unit_client_t *c = submit_to(one_remote);
    char *all = apr_palloc(pool, 2000 * 6 + 200), *at = all;
    int i;

    at += apr_snprintf(at, 100, "From: bob@a.test\r\n");
    for (i = 0; i < 2000; i++) {
        memcpy(at, "X: y\r\n", 6);
        at += 6;
    }
    apr_snprintf(at, 100, "From: eve@else.test\r\n\r\n.\r\n");
    expect(c, all, "550 5.7.1 From must");
    unit_client_close(c);
}

static void test_restricted_from(void **state)
{
    static const struct {
        const char *header, *reply;
    } cases[] = {
        { "From: bob@a.test", "250 2.0.0 " },
        { "From: Anybody <any@A.TEST>", "250 2.0.0 " },
        { "From: bob@b.test", "550 5.7.1 From must" },
        { "From: bob@a.test, eve@else.test", "550 5.7.1 From must" },
        { "From: bob@sub.a.test", "550 5.7.1 From must" },
        { "Subject: none", "550 5.7.1 From must" },
        { "From: bob@a.test\r\nSender: eve@else.test", "550 5.7.1 From must" },
        /* as others read it */
        { "From: bob@a.test\r\nFrom: eve@else.test", "550 5.7.1 From must" },
        { "From: bob@a.test\r\nSender: bob@a.test\r\nSender: eve@else.test",
          "550 5.7.1 From must" },
        { "From: =?utf-8?q?=22?= <eve@else.test> =?utf-8?q?=22?= <bob@a.test>",
          "550 5.7.1 From must" },
        { "From: <eve@else.test> <bob@a.test>", "550 5.7.1 From must" },
        { "From: eve@else.test <bob@a.test>", "250 2.0.0 " },
        { "From: \"<eve@else.test>\" <bob@a.test>", "250 2.0.0 " },
        { "From: =?utf-8?q?J=C3=BCrgen?= <bob@a.test>", "250 2.0.0 " },
        { "From: J\xfcrgen <bob@a.test>", "250 2.0.0 " },
        /* with its variables filled in */
        { "From: \"%recipient.x%\" <bob@a.test>", "250 2.0.0 " },
        { "From: <%recipient.x%@a.test>", "250 2.0.0 " },
        { "From: bob@a.test (%recipient.x%)", "250 2.0.0 " },
        { "From: %recipient%", "550 5.7.1 From must" },
        { "From: bob@a.test]%recipient.x%", "550 5.7.1 From must" },
        { "From: bob@a.test@a.test%recipient.x%][", "550 5.7.1 From must" },
    };
    apr_size_t i;

    (void)state;
    u->config->restrict_from = 1;
    for (i = 0; i < COUNT(cases); i++) {
        unit_client_t *c = submit_to(one_remote);

        expect(c, apr_pstrcat(pool, cases[i].header, "\r\n\r\n.\r\n", NULL),
               cases[i].reply);
        unit_client_close(c);
    }
    expect_many_fields();
    u->config->restrict_from = 0;
}

/* What a login and its domain, and what a client without one may hand in. */
static void test_rates(void **state)
{
    static const mg_rate_t off = { 0, 0 };
    unit_client_t *c = hello(MG_LISTEN_MX);

    (void)state;
    u->config->client_rate = (mg_rate_t){ 1, 2 };
    expect(c, "MAIL FROM:<x@remote.test>\r\n", "250 ");
    expect(c, "RCPT TO:<bob@a.test>\r\n", "250 ");
    expect(c, "RCPT TO:<carol@a.test>\r\n", "250 ");
    expect(c, "RCPT TO:<bob@b.test>\r\n", "450 4.7.1 Too many recipients");
    expect(c, "BDAT 0 LAST\r\n", "250 2.0.0 ");
    expect(c, "MAIL FROM:<x@remote.test>\r\n", "451 4.7.1 Too many messages");
    expect(c, "NOOP\r\n", "250 ");
    unit_client_close(c);
    u->config->domain_rate = (mg_rate_t){ 1, 0 };
    c = submit_to(one_remote);
    expect(c, "From: bob@a.test\r\n\r\n.\r\n", "250 2.0.0 ");
    expect(c, "MAIL FROM:<x@remote.test>\r\n", "451 4.7.1 Too many messages");
    unit_client_close(c);
    u->config->client_rate = u->config->domain_rate = off;
}

/* Sizes about the limits of memory and slices: byte for byte. */
static void test_sizes(void **state)
{
    static const int lines[] = { 1, 4090, 4092, 4094, 4096, 4098, 8192, 12290,
                                 24577 };
    const char *to[] = { "bob@a.test", "bob@b.test" };
    char line[65];
    apr_size_t i, len;
    int n;

    (void)state;
    for (i = 0; i < COUNT(lines); i++) {
        unit_client_t *c = up_to_data(to, 1 + (int)(i % 2));
        char *text = apr_palloc(pool, (apr_size_t)lines[i] * 64 + 32), *at;
        const char *content;

        at = text;
        at += sprintf(at, "Subject: %d\r\n\r\n", lines[i]);
        for (n = 0; n < lines[i]; n++) {
            snprintf(line, sizeof(line), "%062d\r\n", n);
            memcpy(at, line, 64);
            at += 64;
        }
        *at = '\0';
        unit_client_send(c, text, strlen(text));
        expect(c, ".\r\n", "250 2.0.0 ");
        for (n = 0; n <= (int)(i % 2); n++) {
            content = content_of(newest(n), &len);
            assert_int_equal(len, message(newest(n))->size);
            content = strstr(content, "Subject: ");
            assert_non_null(content);
            assert_string_equal(content, as_kept(text));
        }
        unit_client_close(c);
    }
}

/* Another process made the same id: its content stays its own, and the message
 * is taken all the same, under another one. */
static void test_taken_ids(void **state)
{
    static const int lines[] = { 10, 24577 };
    const char *to[] = { "bob@a.test" };
    apr_size_t i, len, size;
    int n;

    (void)state;
    for (i = 0; i < COUNT(lines); i++) {
        unit_client_t *c = up_to_data(to, 1);
        apr_int64_t id = APR_RING_LAST(&u->server->sessions)->tx->id;
        char *text = apr_palloc(pool, (apr_size_t)lines[i] * 64 + 32), *at;

        assert_int_equal(mg_db_exec(u->db, NULL, "INSERT INTO content"
                                    " (message_id, seq, bytes)"
                                    " VALUES ($1, 0, $2)", "ib", id, "hers",
                                    (apr_size_t)4), APR_SUCCESS);
        at = text + sprintf(text, "Subject: x\r\n\r\n");
        for (n = 0; n < lines[i]; n++)
            at += sprintf(at, "%062d\r\n", n);
        size = strlen(text);
        unit_client_send(c, text, size);
        expect(c, ".\r\n", "250 2.0.0 ");
        assert_true(newest(0) != id);
        assert_true(message(newest(0))->size > (apr_int64_t)size);
        assert_non_null(strstr(content_of(newest(0), &len), as_kept(text)));
        assert_memory_equal(content_of(id, &len), "hers", 4);
        assert_int_equal(len, 4);
        unit_client_close(c);
    }
}

/* --- group commit --- */

static void test_together(void **state)
{
    enum { N = 8 };
    const char *to[] = { "bob@a.test" };
    unit_client_t *c[N];
    apr_uint32_t epoch;
    int i;

    (void)state;
    for (i = 0; i < N; i++)
        c[i] = up_to_data(to, 1);
    epoch = u->server->epoch;
    for (i = 0; i < N; i++)
        unit_client_send(c[i], "Subject: x\r\n\r\n.\r\n", 17);
    for (i = 0; i < N; i++)
        expect(c[i], "", "250 2.0.0 ");
    assert_int_equal(u->server->epoch, epoch + 1);
    for (i = 0; i < N; i++)
        unit_client_close(c[i]);
}

static void test_hang_up_before_commit(void **state)
{
    const char *to[] = { "bob@a.test" };
    apr_int64_t messages = count("message");
    unit_client_t *other = hello(MG_LISTEN_MX);
    unit_client_t *c = up_to_data(to, 1);
    char *large = apr_palloc(pool, 900000);

    (void)state;
    memset(large, 'x', 900000);
    memcpy(large, "A: b\r\n\r\n", 8);
    unit_client_send(c, large, 900000);
    unit_client_send(c, "\r\n.\r\n", 5);
    unit_client_close(c);
    do
        unit_smtp_turn(u, 10000);
    while (u->server->n_sessions > 1 || !smtp_commit_is_idle(u->server));
    expect(other, "NOOP\r\n", "250 ");
    /* it may have been accepted: then wholly */
    assert_true(count("message") <= messages + 1);
    assert_int_equal(u->server->n_ready, 0);
    unit_client_close(other);
}

/* --- faults --- */

static const struct {
    const char *point;
    int action;
    const char *reply;
} faults[] = {
    { "store.begin", UNIT_EIO, "451 4.3.0" },
    { "store.begin", UNIT_LOST, "451 4.3.0" },
    { "store.commit.before", UNIT_EIO, "451 4.3.0" },
    { "content.write", UNIT_ENOSPC, "452 4.3.1" },
    { "content.write", UNIT_EIO, "451 4.3.0" },
};

/* What worker.c does each second. */
static void wait_for_store(void)
{
    while (!worker_db_usable(&u->worker)) {
        unit_smtp_turn(u, apr_time_from_msec(100));
        worker_db_check(&u->worker, MG_ELOST);
    }
}

static void test_faults(void **state)
{
    static const int sizes[] = { 10, 700000 };
    const char *to[] = { "bob@a.test" };
    char *body = apr_palloc(pool, 700010);
    apr_size_t i, size;

    (void)state;
    memset(body, 'x', 700000);
    memcpy(body, "A: b\r\n\r\n", 8);
    for (i = 0; i < COUNT(faults) * 2; i++) {
        unit_client_t *c = up_to_data(to, 1);
        apr_int64_t messages = count("message");

        size = (apr_size_t)sizes[i % 2];
        unit_client_send(c, body, size);
        unit_fault(faults[i / 2].point, faults[i / 2].action, 0, -1);
        expect(c, "\r\n.\r\n", faults[i / 2].reply);
        unit_fault_clear();
        assert_int_equal(count("message"), messages);
        wait_for_store();
        expect(c, "MAIL FROM:<x@remote.test>\r\n", "250 ");
        expect(c, "RCPT TO:<bob@a.test>\r\n", "250 ");
        expect(c, "DATA\r\n", "354 ");
        expect(c, "A: b\r\n\r\n.\r\n", "250 2.0.0 ");
        assert_int_equal(count("message"), messages + 1);
        unit_client_close(c);
    }
}

static void test_no_space(void **state)
{
    unit_client_t *c = hello(MG_LISTEN_MX);

    (void)state;
    u->config->min_free = APR_INT64_MAX;
    expect(c, "MAIL FROM:<x@remote.test>\r\n", "452 4.3.1");
    u->config->min_free = 1;
    u->server->space_checked = 0;
    expect(c, "MAIL FROM:<x@remote.test>\r\n", "250 ");
    u->config->min_free = 0;
    unit_client_close(c);
}

/* --- limits --- */

static void test_client_limit(void **state)
{
    unit_client_t *c[10], *more;
    int i;

    (void)state;
    for (i = 0; i < 10; i++)
        c[i] = hello(MG_LISTEN_MX);
    more = unit_client_connect(u, MG_LISTEN_MX, pool);
    expect(more, "", "421 4.7.0");
    assert_true(unit_client_is_closed(more));
    unit_client_close(more);
    unit_client_close(c[0]);
    c[0] = hello(MG_LISTEN_MX);
    for (i = 0; i < 10; i++)
        unit_client_close(c[i]);
}

static void test_session_limit(void **state)
{
    unit_client_t *c[2], *more;

    (void)state;
    u->config->session_limit = 2;
    c[0] = hello(MG_LISTEN_MX);
    c[1] = hello(MG_LISTEN_MX);
    more = unit_client_connect(u, MG_LISTEN_MX, pool);
    expect(more, "", "421 4.3.2");
    u->config->session_limit = 100;
    unit_client_close(more);
    unit_client_close(c[0]);
    unit_client_close(c[1]);
}

static void test_timeouts(void **state)
{
    const char *to[] = { "bob@a.test" };
    unit_client_t *idle, *data, *tls;

    (void)state;
    u->config->command_timeout = apr_time_from_msec(300);
    idle = hello(MG_LISTEN_MX);
    tls = unit_client_connect(u, MG_LISTEN_SMTPS, pool);
    data = up_to_data(to, 1);
    unit_client_send(data, "A: b\r\n", 6);
    expect(idle, "", "421 4.4.2");
    assert_true(unit_client_is_closed(idle));
    expect(data, "", "421 4.4.2");
    assert_true(unit_client_is_closed(data));
    assert_true(unit_client_is_closed(tls));
    u->config->command_timeout = apr_time_from_sec(60);
    unit_client_close(idle);
    unit_client_close(data);
    unit_client_close(tls);
}

/* A line that comes octet by octet is no sign of life. */
static void test_slow_line(void **state)
{
    unit_client_t *c;
    int i;

    (void)state;
    u->config->command_timeout = apr_time_from_msec(300);
    c = hello(MG_LISTEN_MX);
    for (i = 0; i < 20 && u->server->n_sessions > 0; i++) {
        unit_client_send(c, "N", 1);
        unit_smtp_turn(u, apr_time_from_msec(100));
    }
    assert_true(i < 20);
    u->config->command_timeout = apr_time_from_sec(60);
    unit_client_close(c);
}

static void test_early_talker(void **state)
{
    unit_client_t *c = unit_client_connect(u, MG_LISTEN_MX, pool);

    (void)state;
    expect(c, "EHLO x\r\n", "554 5.5.0");
    assert_true(unit_client_is_closed(c));
    unit_client_close(c);
}

static void test_nuisance(void **state)
{
    unit_client_t *c = hello(MG_LISTEN_MX);
    int i;

    (void)state;
    for (i = 0; i < 99; i++)
        expect(c, "NOOP\r\n", "250 ");
    expect(c, "RSET\r\n", "250 ");
    expect(c, "", "421 4.7.0");
    unit_client_close(c);
    c = hello(MG_LISTEN_MX);
    expect(c, "MAIL FROM:<x@remote.test>\r\n", "250 ");
    for (i = 0; i < 101; i++)
        expect(c, "RCPT TO:<bob@a.test>\r\n", "250 ");
    expect(c, "", "421 4.7.0");
    unit_client_close(c);
}

/* A message that comes a drop at a time. */
static void test_slow_content(void **state)
{
    static const char *const how[] = { "DATA\r\n", "BDAT 1000\r\n" };
    unit_client_t *c;
    int i, k;

    (void)state;
    u->config->command_timeout = apr_time_from_msec(300);
    for (k = 0; k < 2; k++) {
        c = hello(MG_LISTEN_MX);
        expect(c, "MAIL FROM:<x@remote.test>\r\n", "250 ");
        expect(c, "RCPT TO:<bob@a.test>\r\n", "250 ");
        unit_client_send(c, how[k], strlen(how[k]));
        if (k == 0)
            expect(c, "", "354 ");
        for (i = 0; i < 40 && u->server->n_sessions > 0; i++) {
            unit_client_send(c, "x", 1);
            unit_smtp_turn(u, apr_time_from_msec(50));
        }
        assert_true(i < 40);
        expect(c, "", "421 4.4.2");
        unit_client_close(c);
    }
    u->config->command_timeout = apr_time_from_sec(60);
}

/* Octets of no meaning, to every state: no crash, and it ends. */
static void test_rubbish(void **state)
{
    static const char *const words[] = {
        "EHLO a\r\n", "MAIL FROM:<x@remote.test>", "RCPT TO:<bob@a.test>",
        "DATA\r\n", "\r\n", ".\r\n", "\r\n.\r\n", "AUTH LOGIN ", "AUTH PLAIN ",
        "=", "STARTTLS\r\n", "\n", "\r", "\0", "<", ">", "@", " SIZE=", "QUIT",
        "RSET\r\n", "\xff", "\"", "\\", ":", "BODY=", "BDAT 20\r\n", "BDAT 3 LAST\r\n", "BDAT ",
        " NOTIFY=", " ENVID=", "xxxxxxxxxxxxxxxxxxxxxxx",
    };
    unsigned int seed = 42;
    int round, i;

    (void)state;
    u->config->auth_without_tls = MG_NOTLS_AUTH_ON;
    mg_log_set_level(MG_LOG_ERR);
    for (round = 0; round < 150; round++) {
        unit_client_t *c = hello(MG_LISTEN_MX);

        for (i = 0; i < 60 && !c->closed; i++) {
            const char *word = words[rand_r(&seed) % COUNT(words)];

            unit_client_send(c, word, *word ? strlen(word) : 1);
            if (rand_r(&seed) % 4 == 0)
                unit_smtp_turn(u, 0);
        }
        unit_smtp_turn(u, 0);
        unit_client_close(c);
    }
    unit_smtp_turn(u, 20000);
    assert_int_equal(u->server->n_sessions, 0);
    assert_int_equal(u->server->n_ready, 0);
    u->config->auth_without_tls = MG_NOTLS_AUTH_OFF;
    mg_log_set_level(MG_LOG_INFO);
}

/* RFC 3207 4.2: what was learned in clear is forgotten, a login that somebody
 * on the way may have slipped in first of all. */
static void test_login_before_tls(void **state)
{
    unit_client_t *c;

    (void)state;
    u->config->auth_without_tls = MG_NOTLS_AUTH_ON;
    c = hello(MG_LISTEN_MX);
    /* \0bob@a.test\0secret */
    expect(c, "AUTH PLAIN AGJvYkBhLnRlc3QAc2VjcmV0\r\n", "235 ");
    expect(c, "STARTTLS\r\n", "220 ");
    assert_true(unit_client_start_tls(c));
    expect(c, "EHLO client.test\r\n", "250-");
    expect(c, "MAIL FROM:<x@remote.test>\r\n", "250 ");
    expect(c, "RCPT TO:<somebody@remote.test>\r\n", "550 5.7.1");
    expect(c, "RSET\r\n", "250 ");
    expect(c, "AUTH PLAIN AGJvYkBhLnRlc3QAc2VjcmV0\r\n", "235 ");
    unit_client_close(c);
    u->config->auth_without_tls = MG_NOTLS_AUTH_OFF;
}

/* The last test: a message that was begun is finished, then 421. */
static void test_stop(void **state)
{
    const char *to[] = { "bob@a.test" };
    unit_client_t *idle = hello(MG_LISTEN_MX);
    unit_client_t *c = up_to_data(to, 1);

    (void)state;
    u->worker.stopping = 1;
    u->worker.on_stop(&u->worker);
    expect(idle, "", "421 4.3.2");
    expect(c, "A: b\r\n\r\n.\r\n", "250 2.0.0 ");
    expect(c, "", "421 4.3.2");
    assert_true(unit_client_is_closed(c));
    unit_client_close(idle);
    unit_client_close(c);
}

static int setup(void **state)
{
    (void)state;
    unit_store_begin();
    u = unit_smtp_start(pool);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unit_smtp_stop(u);
    return 0;
}

/* Who is refused is in the log of his domain; a flood of them is not. */
static void test_refused(void **state)
{
    static const char refused[] = "event WHERE kind = 'refused'";
    const char *to[] = { "bob@a.test" };
    unit_client_t *c = hello(MG_LISTEN_MX);
    int session, i;

    (void)state;
    expect(c, "MAIL FROM:<x@remote.test>\r\n", "250 ");
    expect(c, "RCPT TO:<nobody@a.test>\r\n", "550 5.1.1");
    expect(c, "RCPT TO:<nobody@remote.test>\r\n", "550 5.7.1");
    unit_client_close(c);
    assert_int_equal(count(refused), 0); /* it waits for company */
    c = up_to_data(to, 1);
    expect(c, "Subject: x\r\n\r\na\nb\r\n.\r\n", "550 5.5.2");
    expect(c, "QUIT\r\n", "221 ");
    unit_client_close(c);
    unit_smtp_turn(u, apr_time_from_msec(1300));
    assert_int_equal(count(refused), 2);
    assert_int_equal(count("event WHERE recipient = 'nobody@a.test' AND"
                           " log_text = 'Refused: x@remote.test \xe2\x86\x92"
                           " nobody@a.test Reason: 550 5.1.1 Recipient"
                           " unknown' AND message_id = 0 AND detail LIKE"
                           " '%\"code\":550,%\"ip\":\"127.0.0.1\"%'"), 1);
    assert_int_equal(count("event WHERE kind = 'refused' AND recipient ="
                           " 'bob@a.test' AND log_text LIKE '%bare CR%'"), 1);
    assert_int_equal(count("stat WHERE kind = 'refused.in'"), 1);

    for (session = 0; session < 4; session++) {
        c = hello(MG_LISTEN_MX);
        expect(c, "MAIL FROM:<x@remote.test>\r\n", "250 ");
        for (i = 0; i < SMTP_ERROR_LIMIT - 1; i++)
            expect(c, apr_psprintf(pool, "RCPT TO:<guess%d@a.test>\r\n", i),
                   "550 5.1.1");
        unit_client_close(c);
    }
    unit_smtp_turn(u, apr_time_from_msec(1300));
    assert_int_equal(count(refused), SMTP_REFUSED_A_MINUTE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_incoming),
        cmocka_unit_test(test_two_domains),
        cmocka_unit_test(test_submitted),
        cmocka_unit_test(test_dsn_stored),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_due_and_test_mode),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_recipient_variables),
        cmocka_unit_test(test_restricted_from),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_taken_ids),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_hang_up_before_commit),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_no_space),
        cmocka_unit_test(test_client_limit),
        cmocka_unit_test(test_session_limit),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_slow_line),
        cmocka_unit_test(test_slow_content),
        cmocka_unit_test(test_early_talker),
        cmocka_unit_test(test_nuisance),
        cmocka_unit_test(test_rubbish),
        cmocka_unit_test(test_login_before_tls),
        cmocka_unit_test(test_stop),
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    failed = cmocka_run_group_tests(tests, setup, teardown);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed ? 1 : 0;
}
