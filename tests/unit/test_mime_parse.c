/* test_mime_parse.c - messages taken apart (mg_mime.h), also broken ones. */
#include "unit_pool.h"
#include <stdlib.h>
#include "mg_mime.h"
#include "mg_status.h"

#define PLAIN "Content-Type: text/plain\r\n\r\n"
#define MIXED "Content-Type: multipart/mixed; boundary=b\r\n\r\n"

/* "plain=..|html=..|<other>=..|name:type:bytes|.." as is there */
static const struct {
    const char *message, *parsed;
} cases[] = {
    { "Subject: x\r\n\r\nhello\r\n", "plain=hello\r\n" },
    { "hello", "plain=hello" },
    { "", "plain=" },
    { "Subject: x\r\n\r\n", "plain=" },
    /* charsets: named, wrong, missing, unknown */
    { "Content-Type: text/plain; charset=iso-8859-1\r\n\r\ngr\xfc\xdf",
      "plain=gr\xc3\xbc\xc3\x9f" },
    { "Content-Type: text/plain; charset=iso-8859-1\r\n\r\n\x93x\x94",
      "plain=\xe2\x80\x9cx\xe2\x80\x9d" },
    { "Content-Type: text/plain; charset=us-ascii\r\n\r\ngr\xc3\xbc",
      "plain=gr\xc3\xbc" },
    { "Content-Type: text/plain; charset=us-ascii\r\n\r\ngr\xfc",
      "plain=gr\xc3\xbc" },
    { PLAIN "gr\xfc", "plain=gr\xc3\xbc" },
    { "Content-Type: text/plain; charset=utf-8\r\n\r\ngr\xfc",
      "plain=gr\xc3\xbc" },
    { "Content-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xbc\xfc",
      "plain=\xc3\xbc\xef\xbf\xbd" },
    { "Content-Type: text/plain; charset=no-such\r\n\r\ngr\xfc",
      "plain=gr\xc3\xbc" },
    { "Content-Type: text/plain; charset=no-such\r\n\r\ngr\xc3\xbc",
      "plain=gr\xc3\xbc" },
    { "Content-Type: text/plain; charset=\"../x\"\r\n\r\nhi", "plain=hi" },
    { "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n"
      "\x1b$BF|K\\\x1b(B", "plain=\xe6\x97\xa5\xe6\x9c\xac" },
    { "Content-Type: text/plain; charset=shift_jis\r\n\r\n\x93\xfa\x96\x7b",
      "plain=\xe6\x97\xa5\xe6\x9c\xac" },
    { "Content-Type: text/plain; charset=koi8-r\r\n\r\n\xcd\xc9\xd2",
      "plain=\xd0\xbc\xd0\xb8\xd1\x80" },
    { PLAIN "\xef\xbb\xbfmark", "plain=mark" },
    /* encodings */
    { "Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n", "plain=hello" },
    { "Content-Transfer-Encoding: BASE64\r\n\r\naGVs bG8\r\n", "plain=hello" },
    { "Content-Transfer-Encoding: quoted-printable\r\n\r\nh=65llo=\r\n!",
      "plain=hello!" },
    { "Content-Transfer-Encoding: nonsense\r\n\r\nhello", "plain=hello" },
    { "Content-Type: nonsense\r\n\r\nhello", "plain=hello" },
    /* html alone gives a text too */
    { "Content-Type: text/html\r\n\r\n<p>a &amp; b</p>",
      "plain=a & b\n|html=<p>a &amp; b</p>" },
    /* multiparts */
    { "Content-Type: multipart/alternative; boundary=\"b\"\r\n\r\npreamble"
      "\r\n--b\r\n" PLAIN "text\r\n--b\r\nContent-Type: text/html\r\n\r\n"
      "<b>html</b>\r\n--b--\r\nepilogue",
      "plain=text|html=<b>html</b>" },
    { MIXED "--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n",
      "plain=one\ntwo" },
    { MIXED "--b\n\none\n--b\n\ntwo\n--b--\n", "plain=one\ntwo" },
    { MIXED "--b\r\nContent-Type: text/calendar\r\n\r\nCAL\r\n--b\r\n" PLAIN
      "x\r\n--b--", "plain=x|body-calendar=CAL" },
    { MIXED "--b\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\n"
      "Content-Transfer-Encoding: base64\r\n\r\nUERG\r\n--b--\r\n",
      "plain=|a.pdf:application/pdf:PDF" },
    { MIXED "--b\r\nContent-Type: application/pdf\r\n"
      "Content-Disposition: attachment;\r\n filename*0*=utf-8''%E6%97%A5;\r\n"
      " filename*1*=%E6%9C%AC.pdf\r\n\r\nPDF\r\n--b--\r\n",
      "plain=|\xe6\x97\xa5\xe6\x9c\xac.pdf:application/pdf:PDF" },
    { MIXED "--b\r\nContent-Disposition: attachment; "
      "filename=\"=?utf-8?b?5pel?=.txt\"\r\n\r\ntext\r\n--b--\r\n",
      "plain=|\xe6\x97\xa5.txt:text/plain:text" },
    { MIXED "--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
      "Content-Disposition: attachment; filename=a.txt\r\n\r\ngr\xfc\r\n"
      "--b--\r\n",
      "plain=|a.txt:text/plain; charset=iso-8859-1:gr\xfc" },
    { MIXED "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\n"
      "body\r\n--b--\r\n",
      "plain=|message.eml:message/rfc822:Subject: in\r\n\r\nbody" },
    { MIXED "--b\r\nContent-Type: image/png\r\n\r\nPNG\r\n--b--\r\n",
      "plain=|attachment-1:image/png:PNG" },
    { MIXED "--b\r\nContent-Type: multipart/related; boundary=b2\r\n\r\n"
      "--b2\r\nContent-Type: text/html\r\n\r\n<i>\r\n--b2\r\n"
      "Content-Type: image/gif; name=i.gif\r\nContent-ID: <i@x>\r\n\r\nGIF\r\n"
      "--b2--\r\n--b\r\n" PLAIN "t\r\n--b--\r\n",
      "plain=t|html=<i>|i.gif:image/gif:GIF|map={\"<i@x>\":\"attachment-1\"}" },
    /* never closed; a boundary that begins alike; not at a line's start */
    { MIXED "--b\r\n\r\none\r\n--bb\r\nx --b\r\ny", "plain=one\r\n--bb\r\nx "
      "--b\r\ny" },
    { MIXED "--b \t\r\n\r\none\r\n--b-- \r\n", "plain=one" },
    { MIXED "--b\r\n--b\r\n--b--", "plain=\n" },
    /* a multipart that is none */
    { MIXED "no boundary here", "plain=no boundary here" },
    { "Content-Type: multipart/mixed\r\n\r\nhello", "plain=hello" },
    { "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\nhello",
      "plain=hello" },
};

static const char *show(const mg_parsed_t *m)
{
    const apr_array_header_t *others = apr_table_elts(m->other_texts);
    const apr_table_entry_t *e = (const apr_table_entry_t *)others->elts;
    const char *out;
    int i;

    out = apr_pstrcat(pool, "plain=", m->body_plain, NULL);
    if (m->body_html)
        out = apr_pstrcat(pool, out, "|html=", m->body_html, NULL);
    for (i = 0; i < others->nelts; i++)
        out = apr_pstrcat(pool, out, "|", e[i].key, "=", e[i].val, NULL);
    for (i = 0; i < m->attachments->nelts; i++) {
        mg_attachment_t *a = &APR_ARRAY_IDX(m->attachments, i,
                                            mg_attachment_t);

        out = apr_pstrcat(pool, out, "|", a->filename, ":", a->content_type,
                          ":", apr_pstrmemdup(pool, a->bytes, a->len), NULL);
    }
    if (m->content_id_map)
        out = apr_pstrcat(pool, out, "|map=", m->content_id_map, NULL);
    return out;
}

static void test_parse(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        size_t len = strlen(cases[i].message);
        char *exact = malloc(len ? len : 1);
        mg_parsed_t *m;

        memcpy(exact, cases[i].message, len);
        assert_int_equal(mg_mime_parse(&m, exact, len, pool), APR_SUCCESS);
        assert_string_equal(show(m), cases[i].parsed);
        free(exact);
    }
}

/* 40 multiparts in each other: the 33rd stays whole, as an attachment. */
static void test_depth(void **state)
{
    const char *message = "";
    mg_attachment_t *a;
    mg_parsed_t *m;
    int i;

    (void)state;
    for (i = 0; i < 40; i++)
        message = apr_psprintf(pool, "%sContent-Type: multipart/mixed; "
                               "boundary=b%d.\r\n\r\n--b%d.\r\n", message, i,
                               i);
    message = apr_pstrcat(pool, message, PLAIN, "deep", NULL);
    assert_int_equal(mg_mime_parse(&m, message, strlen(message), pool),
                     APR_SUCCESS);
    assert_int_equal(m->attachments->nelts, 1);
    a = &APR_ARRAY_IDX(m->attachments, 0, mg_attachment_t);
    assert_string_equal(a->content_type, "multipart/mixed");
    assert_non_null(strstr(apr_pstrmemdup(pool, a->bytes, a->len), "deep"));
}

static void test_parts(void **state)
{
    char *message = apr_palloc(pool, 64 + 1500 * 16), *o = message;
    mg_attachment_t *rest;
    mg_parsed_t *m;
    int i;

    (void)state;
    o += apr_snprintf(o, 64, MIXED);
    for (i = 0; i < 1500; i++)
        o += apr_snprintf(o, 16, "--b\r\n\r\n%d\r\n", i);
    assert_int_equal(mg_mime_parse(&m, message, (size_t)(o - message), pool),
                     APR_SUCCESS);
    assert_int_equal(m->attachments->nelts, 1);
    rest = &APR_ARRAY_IDX(m->attachments, 0, mg_attachment_t);
    assert_non_null(strstr(m->body_plain, "\n998"));
    assert_null(strstr(m->body_plain, "\n999"));
    assert_true(strncmp(rest->bytes, "\r\n999\r\n--b", 10) == 0);
}

static const struct {
    const char *html, *text;
} htmls[] = {
    { "<p>one</p><p>two</p>", "one\n\ntwo\n" },
    { "a<br>b<br/>c", "a\nb\nc\n" },
    { "a  \r\n b", "a b\n" },
    { "<head><title>t</title></head><style>p{}</style>x<script>1<2</script>y",
      "xy\n" },
    { "&lt;&#65;&#x42;&eacute;&nbsp;&bogus; & x", "<AB\xc3\xa9 &bogus; & x\n" },
    { "<ul><li>a</li><li>b</li></ul>", "* a\n* b\n" },
    { "<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>",
      "1 2\n3\n" },
    { "<a href=\"x>y\">link</a>", "link\n" },
    { "<!-- a > b -->x<!--", "x\n" },
    { "1 < 2 and <b", "1 < 2 and\n" },
    { "<pre>a\n  b</pre>", "a\nb\n" },
    { "<script>", "" }, { "", "" }, { "<", "<\n" }, { "&", "&\n" },
    { "&#0;&#xd800;&#99999999999;", "\xef\xbf\xbd\xef\xbf\xbd&#99999999999;\n" },
};

static void test_html(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(htmls); i++) {
        mg_parsed_t *m;
        const char *message = apr_pstrcat(pool, "Content-Type: text/html\r\n"
                                          "\r\n", htmls[i].html, NULL);

        mg_mime_parse(&m, message, strlen(message), pool);
        assert_string_equal(m->body_plain, htmls[i].text);
    }
}

static const struct {
    const char *in, *out;
} utf8s[] = {
    { "Subject: hi\r\n\r\nplain\r\n", "Subject: hi\r\n\r\nplain\r\n" },
    { "Subject: =?iso-8859-1?q?gr=FC?=\r\n\r\nx\r\n",
      "Subject: =?UTF-8?b?Z3LDvA==?=\r\n\r\nx\r\n" },
    { "Content-Type: text/plain; charset=iso-8859-1\r\n\r\n"
      "some more text, gr\xfc\r\n",
      "Content-Type: text/plain; charset=utf-8\r\n"
      "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
      "some more text, gr=C3=BC\r\n" },
    { MIXED "pre\r\n--b\r\nContent-Type: text/plain; charset=koi8-r\r\n"
      "Content-Transfer-Encoding: 8bit\r\n\r\nabcdefghijkl\xcd\r\n--b\r\n"
      "Content-Type: image/png\r\n\r\n\xff\xfe\r\n--b--\r\nepi",
      MIXED "pre\r\n--b\r\nContent-Type: text/plain; charset=utf-8"
      "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
      "abcdefghijkl=D0=BC\r\n--b\r\n"
      "Content-Type: image/png\r\n\r\n\xff\xfe\r\n--b--\r\nepi" },
};

static void test_utf8(void **state)
{
    size_t i, len;

    (void)state;
    for (i = 0; i < COUNT(utf8s); i++) {
        const char *out = mg_mime_utf8(&len, utf8s[i].in, strlen(utf8s[i].in),
                                       pool);

        assert_string_equal(out, utf8s[i].out);
        assert_int_equal(len, strlen(out));
    }
}

UNIT_MAIN(cmocka_unit_test(test_parse), cmocka_unit_test(test_depth),
          cmocka_unit_test(test_parts), cmocka_unit_test(test_html),
          cmocka_unit_test(test_utf8))
