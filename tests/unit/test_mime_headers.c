/* test_mime_headers.c - header blocks read, shown and mended (mg_mime.h). */
#include "unit_pool.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "mg_mime.h"
#include "mg_status.h"

static const struct {
    const char *head, *all; /* "name=value" lines */
    size_t body;            /* where the body begins; 0: the end */
} reads[] = {
    { "From: a@b.c\r\nSubject: hi\r\n\r\nbody", "From=a@b.c\nSubject=hi", 28 },
    { "From: a@b.c\nSubject: hi\n\nbody", "From=a@b.c\nSubject=hi", 25 },
    { "Subject: one\r\n two\r\n\tthree\r\n\r\n", "Subject=one two\tthree", 0 },
    { "Subject:no blank\r\n\r\n", "Subject=no blank", 0 },
    { "Subject : old\r\n\r\n", "Subject=old", 0 },
    { "Subject:\r\n\r\n", "Subject=", 0 },
    { "Subject:\r\n folded\r\n\r\n", "Subject=folded", 0 },
    { "A: 1\r\nno header here\r\nB: 2\r\n\r\n", "A=1", 6 },
    { "A: 1", "A=1", 0 },
    { "A: 1\r\n", "A=1", 0 },
    { "\r\nbody", "", 2 },
    { "", "", 0 },
    { "body", "", 0 },
    { ": no name\r\n\r\n", "", 0 },
    { "From bob Mon Jan 1 00:00:00 2001\r\nA: 1\r\n\r\n", "A=1", 0 },
    { "Received: 1\r\nReceived: 2\r\n\r\n", "Received=1\nReceived=2", 0 },
    { "Subject: =?utf-8?q?J=C3=BCrgen?=\r\n\r\n", "Subject=J\xc3\xbcrgen", 0 },
    { "Subject: =?utf-8?b?SsO8?=\r\n =?utf-8?b?cmdlbg==?=\r\n\r\n",
      "Subject=J\xc3\xbcrgen", 0 },
    { "Subject: =?iso-8859-1?q?J=FCrgen?= x\r\n\r\n",
      "Subject=J\xc3\xbcrgen x", 0 },
    { "Subject: J\xfcrgen\r\n\r\n", "Subject=J\xc3\xbcrgen", 0 },
    { "Subject: J\xc3\xbcrgen\r\n\r\n", "Subject=J\xc3\xbcrgen", 0 },
    { "Subject: =?iso-2022-jp?b?GyRCRnxLXBsoQg==?=\r\n\r\n",
      "Subject=\xe6\x97\xa5\xe6\x9c\xac", 0 },
    /* neighbours: padded, cut inside of a character, of two charsets */
    { "Subject: =?utf-8?b?YQ==?= =?utf-8?b?Yg==?= c\r\n\r\n", "Subject=ab c",
      0 },
    { "Subject: =?utf-8?q?=C3?= =?UTF-8?Q?=BCx?=\r\n\r\n",
      "Subject=\xc3\xbcx", 0 },
    { "Subject: =?utf-8?q?a?= =?iso-8859-1?q?=FC?=\r\n =?utf-8*de?b?YQ?=\r\n"
      "\r\n", "Subject=a\xc3\xbc" "a", 0 },
    { "Subject: a=?utf-8?q?b_c?=d\r\n\r\n", "Subject=ab cd", 0 },
    { "Subject: =?utf-8?q?two words?= =?x?y\r\n\r\n",
      "Subject=two words =?x?y", 0 },
    { "Subject: =?utf-8?x?a?= =? =?utf-8?q? \r\n\r\n",
      "Subject==?utf-8?x?a?= =? =?utf-8?q?", 0 },
    { "Subject: =?no-such?q?gr=C3=BC?=\r\n\r\n", "Subject=gr\xc3\xbc", 0 },
    { "Subject: =?utf-8?q?a=0D=0ABcc:_x?=\r\n\r\n", "Subject=a  Bcc: x", 0 },
};

static void test_read(void **state)
{
    size_t i;
    int k;

    (void)state;
    for (i = 0; i < COUNT(reads); i++) {
        size_t len = strlen(reads[i].head), body;
        const char *all = "";
        apr_array_header_t *list;
        char *exact = malloc(len ? len : 1);

        memcpy(exact, reads[i].head, len); /* ASan sees a step beyond */
        assert_int_equal(mg_mime_headers(&list, &body, exact, len, pool),
                         APR_SUCCESS);
        free(exact);
        for (k = 0; k < list->nelts; k++) {
            const mg_header_t *h = &APR_ARRAY_IDX(list, k, mg_header_t);

            all = apr_pstrcat(pool, all, k ? "\n" : "", h->name, "=",
                              h->value, NULL);
        }
        assert_string_equal(all, reads[i].all);
        if (reads[i].body)
            assert_int_equal(body, reads[i].body);
    }
}

static long max_rss(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Words whose charsets alternate, 1 MB of them, take little more than that. */
static void test_words_of_many_charsets(void **state)
{
    enum { FIELDS = 15, WORDS = 2500 };
    char *bytes = apr_palloc(pool, FIELDS * (WORDS * 30 + 20)), *o = bytes;
    long before;
    apr_array_header_t *headers;
    int i, k;

    (void)state;
    for (i = 0; i < FIELDS; i++) {
        o += sprintf(o, "Subject:");
        for (k = 0; k < WORDS; k++)
            o += sprintf(o, " =?%s?q?0123456789?=",
                         k % 2 ? "utf-8" : "us-ascii");
        o += sprintf(o, "\r\n");
    }
    before = max_rss();
    mg_mime_headers(&headers, NULL, bytes, (apr_size_t)(o - bytes), pool);
    assert_int_equal(headers->nelts, FIELDS);
    assert_int_equal(strlen(APR_ARRAY_IDX(headers, 0, mg_header_t).value),
                     10 * WORDS);
    assert_true(max_rss() - before < 100 * 1024);
}

static void test_json(void **state)
{
    apr_array_header_t *list;
    const char *head = "From: \"A\" <a@b.c>\r\nSubject: =?utf-8?q?=E2=82=AC?="
                       "\r\nReceived: x\r\nReceived: y\r\n\r\n";

    (void)state;
    mg_mime_headers(&list, NULL, head, strlen(head), pool);
    assert_string_equal(mg_mime_header(list, "SUBJECT")->value,
                        "\xe2\x82\xac");
    assert_null(mg_mime_header(list, "Cc"));
    assert_string_equal(mg_mime_header(list, "received")->value, "x");
    assert_non_null(strstr(mg_mime_headers_json(list, pool),
                           "[\"From\",\"\\\"A\\\" <a@b.c>\"]"));
}

#define DATE "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"
#define ID "Message-Id: <new@d.test>\r\n"
#define MIME "MIME-Version: 1.0\r\n"
static const struct {
    const char *head, *sender, *set_name, *set_value;
    const char *out, *id;
} fixes[] = {
    { "From: a@b.c\r\n\r\n", NULL, NULL, NULL,
      "From: a@b.c\r\n" DATE ID MIME "\r\n", "new@d.test" },
    { "", NULL, NULL, NULL, DATE ID MIME "\r\n", "new@d.test" },
    { "\r\n", NULL, NULL, NULL, DATE ID MIME "\r\n", "new@d.test" },
    { "From: a@b.c\r\n", NULL, NULL, NULL,
      "From: a@b.c\r\n" DATE ID MIME "\r\n", "new@d.test" },
    { "date: x\r\nMESSAGE-ID:  <old@x>\r\nMime-Version: 1.0\r\n\r\n", NULL,
      NULL, NULL,
      "date: x\r\nMESSAGE-ID:  <old@x>\r\nMime-Version: 1.0\r\n\r\n",
      "old@x" },
    { "Message-Id: old@x\r\n" DATE MIME "\r\n", NULL, NULL, NULL,
      "Message-Id: old@x\r\n" DATE MIME "\r\n", "old@x" },
    { "Message-Id:\r\n" DATE MIME "\r\n", NULL, NULL, NULL,
      DATE MIME ID "\r\n", "new@d.test" },
    { "Message-Id: <a@b>\r\nMessage-Id: <c@d>\r\n" DATE MIME "\r\n", NULL,
      NULL, NULL, "Message-Id: <a@b>\r\n" DATE MIME "\r\n", "a@b" },
    { "Bcc: hidden@x.com,\r\n more@x.com\r\nTo: a@b.c\r\nbcc: x\r\n" DATE ID
      MIME "\r\n", NULL, NULL, NULL,
      "To: a@b.c\r\n" DATE ID MIME "\r\n", "new@d.test" },
    { "Sender: other@x.com\r\n" DATE ID MIME "\r\n", "me@d.test", NULL, NULL,
      DATE ID MIME "Sender: me@d.test\r\n\r\n", "new@d.test" },
    { "X-My: 1\r\nx-my: 2\r\n" DATE ID MIME "\r\n", NULL, "X-My", "3",
      DATE ID MIME "X-My: 3\r\n\r\n", "new@d.test" },
    { DATE ID MIME "\r\n", NULL, "Subject", "\xe2\x82\xac",
      DATE ID MIME "Subject: =?UTF-8?b?4oKs?=\r\n\r\n", "new@d.test" },
    { DATE ID MIME "\r\n", NULL, "Message-Id", "<set@d>",
      DATE MIME "Message-Id: <set@d>\r\n\r\n", "set@d" },
    { "A: 1\n 2\nB: 3\n" DATE ID MIME "\n", NULL, NULL, NULL,
      "A: 1\r\n 2\r\nB: 3\r\n" DATE ID MIME "\r\n", "new@d.test" },
    { "A: 1\r\n \r\n 2\r\n" DATE ID MIME "\r\n", NULL, NULL, NULL,
      "A: 1\r\n 2\r\n" DATE ID MIME "\r\n", "new@d.test" },
    { "Message-Id: <a@b\r>\r\n" DATE MIME "\r\n", NULL, NULL, NULL,
      DATE MIME ID "\r\n", "new@d.test" },
    /* a Sender in the domain stands, and is the only one */
    { "Sender: Me <other@D.test>\r\n" DATE ID MIME "\r\n", "me@d.test", NULL,
      NULL, "Sender: Me <other@D.test>\r\n" DATE ID MIME "\r\n",
      "new@d.test" },
    { DATE ID MIME "\r\n", "me@d.test", "Sender", "x@d.test",
      DATE ID MIME "Sender: x@d.test\r\n\r\n", "new@d.test" },
    { "Sender: z@d.test\r\n" DATE ID MIME "\r\n", "me@d.test", "Sender",
      "x@e.test", DATE ID MIME "Sender: me@d.test\r\n\r\n", "new@d.test" },
    /* instructions go, labels stay */
    { "X-Mailgun-Tag: a\r\nX-Mailgun-Drop-Message: no\r\n"
      "X-MAILGUN-RECIPIENT-VARIABLES: {\"b@c.d\":\r\n {}}\r\n"
      "X-Mailgun-Track: no\r\n" DATE ID MIME "\r\n", NULL, NULL, NULL,
      "X-Mailgun-Tag: a\r\nX-Mailgun-Track: no\r\n" DATE ID MIME "\r\n",
      "new@d.test" },
    { "A: 1\rBcc: x\r\r\n \r.\r\n \r \r\n" DATE ID MIME "\r\n", NULL, NULL,
      NULL, "A: 1 Bcc: x\r\n  .\r\n" DATE ID MIME "\r\n", "new@d.test" },
};

static void test_fix(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(fixes); i++) {
        mg_mime_fix_t fix = { .new_message_id = "new@d.test",
                              .sender = fixes[i].sender };
        apr_table_t *set = apr_table_make(pool, 1);
        size_t old_len = strlen(fixes[i].head), len;
        const char *head, *id;
        char *exact = malloc(old_len ? old_len : 1);

        memcpy(exact, fixes[i].head, old_len);
        if (fixes[i].set_name) {
            apr_table_add(set, fixes[i].set_name, fixes[i].set_value);
            fix.set = set;
        }
        assert_int_equal(mg_mime_fix_headers(&head, &len, &id, exact, old_len,
                                             &fix, pool), APR_SUCCESS);
        free(exact);
        assert_string_equal(apr_pstrmemdup(pool, head, len), fixes[i].out);
        assert_string_equal(id, fixes[i].id);
    }
}

/* The valid ones become one; what is none stays as it is. */
static void test_fix_variables(void **state)
{
    static const char given[] =
        "X-Mailgun-Variables: {\"a\": 1}\r\nX-Mailgun-Variables: no json\r\n"
        "X-Mailgun-Variables: {\"b\":\r\n 2}\r\n" DATE ID MIME "\r\n";
    mg_mime_fix_t fix = { .variables = "{\"a\":1,\"b\":2}" };
    const char *head, *id;
    size_t len;

    (void)state;
    assert_int_equal(mg_mime_fix_headers(&head, &len, &id, given,
                                         sizeof(given) - 1, &fix, pool),
                     APR_SUCCESS);
    assert_string_equal(apr_pstrmemdup(pool, head, len),
                        "X-Mailgun-Variables: no json\r\n" DATE ID MIME
                        "X-Mailgun-Variables: {\"a\": 1, \"b\": 2}\r\n\r\n");
}

static void test_fix_refuses(void **state)
{
    mg_mime_fix_t fix = { .new_message_id = "new@d.test",
                          .received = "by me; now" };
    apr_table_t *set = apr_table_make(pool, 1);
    const char *head, *id;
    size_t len;

    (void)state;
    assert_int_equal(mg_mime_fix_headers(&head, &len, &id, "A: 1\r\n", 6, &fix,
                                         pool), APR_SUCCESS);
    assert_true(strncmp(head, "Received: by me; now\r\nA: 1\r\n", 28) == 0);
    assert_int_equal(mg_mime_fix_headers(&head, &len, &id, "A: \0x\r\n", 8,
                                         &fix, pool), APR_SUCCESS);
    assert_null(memchr(head, '\0', len));
    apr_table_add(set, "X", "a\r\nBcc: b@c.d");
    fix.set = set;
    assert_int_equal(mg_mime_fix_headers(&head, &len, &id, "", 0, &fix, pool),
                     MG_EBADINPUT);
}

static const struct {
    const char *in, *out;
} ends[] = {
    { "a\nb\n", "a\r\nb\r\n" }, { "a\r\nb", "a\r\nb" }, { "a\rb", "a\r\nb" },
    { "\n\n", "\r\n\r\n" }, { "\r\r\n", "\r\n\r\n" }, { "", "" },
    { "\r", "\r\n" },
};

static void test_crlf(void **state)
{
    size_t i, len;

    (void)state;
    for (i = 0; i < COUNT(ends); i++) {
        char *out = mg_mime_crlf(ends[i].in, strlen(ends[i].in), &len, pool);

        assert_string_equal(out, ends[i].out);
        assert_int_equal(len, strlen(ends[i].out));
    }
}

UNIT_MAIN(cmocka_unit_test(test_read), cmocka_unit_test(test_json),
          cmocka_unit_test(test_words_of_many_charsets),
          cmocka_unit_test(test_fix), cmocka_unit_test(test_fix_variables),
          cmocka_unit_test(test_fix_refuses),
          cmocka_unit_test(test_crlf))
