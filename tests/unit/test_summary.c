/* test_summary.c - who a message was to, and its attachments. */
#include "mg_summary.h"
#include "unit_pool.h"

static const struct {
    const char *message, *want;    /* NULL: nothing to say */
} cases[] = {
    { "Subject: x\r\n\r\nhello\r\n", NULL },
    { "To: Bob <bob@x.test>\r\n\r\nhello\r\n",
      "{\"to\":\"Bob <bob@x.test>\"}" },
    { "To: =?utf-8?q?Gr=C3=BCn?= <g@x.test>\r\n\r\n",
      "{\"to\":\"Gr\xc3\xbcn <g@x.test>\"}" },
    { "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
      "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
      "--b\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\n"
      "Content-Disposition: attachment; filename=\"a.pdf\"\r\n"
      "Content-Transfer-Encoding: base64\r\n\r\nQUJDREVG\r\n--b--\r\n",
      "{\"attachments\":[{\"filename\":\"a.pdf\",\"content-type\":"
      "\"application/pdf\",\"size\":6}]}" },
    { "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
      "--b\r\nContent-Type: text/csv\r\n"
      "Content-Disposition: attachment; filename*=utf-8''gr%C3%BCn.csv\r\n\r\n"
      "1,2\r\n--b\r\nContent-Type: image/png; name=i.png\r\n\r\nxy\r\n--b--\r\n",
      "{\"attachments\":[{\"filename\":\"gr\xc3\xbcn.csv\",\"content-type\":"
      "\"text/csv\",\"size\":3},{\"filename\":\"i.png\",\"content-type\":"
      "\"image/png\",\"size\":2}]}" },
    /* nested; lines that only look like delimiters; one that is cut */
    { "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
      "--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n"
      "--c\r\n\r\nhello\r\n-- \r\nsignature\r\n--c--\r\n"
      "--b\r\nContent-Disposition: attachment\r\n\r\nendless",
      "{\"attachments\":[{\"filename\":\"attachment\",\"content-type\":"
      "\"text/plain\"}]}" },
    /* no multipart: its lines are text */
    { "Content-Type: text/plain\r\n\r\n--b\r\n"
      "Content-Disposition: attachment; filename=x\r\n\r\nx\r\n", NULL },
    { "Content-Type: multipart/mixed\r\n\r\n--", NULL },
    { "Content-Type: multipart/mixed\r\n\r\n", NULL },
};

static void of_mime(void **state)
{
    apr_size_t i, body;

    (void)state;
    mg_mime_init();
    for (i = 0; i < COUNT(cases); i++) {
        const char *m = cases[i].message, *got;
        apr_array_header_t *headers;

        assert_int_equal(mg_mime_headers(&headers, &body, m, strlen(m), pool),
                         APR_SUCCESS);
        got = mg_summary_of_mime(headers, m + body, strlen(m) - body, pool);
        if (!cases[i].want != !got ||
            (got && strcmp(got, cases[i].want) != 0))
            fail_msg("%d: %s", (int)i, got ? got : "nothing");
    }
}

static void of_parts(void **state)
{
    mg_part_t one = { .filename = "a.txt", .content_type = "text/plain",
                      .len = 7 }, two = { .len = 9 };
    apr_array_header_t *parts = apr_array_make(pool, 2, sizeof(mg_part_t *));
    apr_array_header_t *to;

    (void)state;
    mg_address_parse_list(&to, "Bob <b@x.test>, c@x.test", pool);
    APR_ARRAY_PUSH(parts, mg_part_t *) = &one;
    APR_ARRAY_PUSH(parts, mg_part_t *) = &two;
    assert_string_equal(
        mg_summary_of_parts(to, parts, pool),
        "{\"to\":\"Bob <b@x.test>, c@x.test\",\"attachments\":[{\"filename\":"
        "\"a.txt\",\"content-type\":\"text/plain\",\"size\":7},{\"filename\":"
        "\"attachment\",\"content-type\":\"application/octet-stream\",\"size\":"
        "9}]}");
    assert_null(mg_summary_of_parts(NULL, NULL, pool));
}

/* Limits: names, how many, how long To is. */
static void is_bounded(void **state)
{
    apr_array_header_t *headers;
    apr_size_t body, i;
    char *m = apr_pcalloc(pool, 300000), *at = m;
    const char *got;

    (void)state;
    at += apr_snprintf(at, 4000, "To: %03000d\r\nContent-Type: "
                       "multipart/mixed\r\n\r\n", 7);
    for (i = 0; i < 200; i++)
        at += apr_snprintf(at, 400, "--b\r\nContent-Disposition: attachment; "
                           "filename=\"%0300d\"\r\n\r\nx\r\n", (int)i);
    mg_mime_headers(&headers, &body, m, strlen(m), pool);
    got = mg_summary_of_mime(headers, m + body, strlen(m) - body, pool);
    assert_true(strlen(got) < MG_SUMMARY_TO_MAX + 100 +
                                  MG_SUMMARY_ATTACHMENTS_MAX * 330);
}

UNIT_MAIN(cmocka_unit_test(of_mime), cmocka_unit_test(of_parts),
          cmocka_unit_test(is_bounded))
