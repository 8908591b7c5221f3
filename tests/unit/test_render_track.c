/* test_render_track.c - what tracking puts into a message: its copies.
 *
 * What comes out is read so: a link of ours is {c:where it leads}, {o:} the
 * pixel's, {u:}, {u:tags}, {u:list} an unsubscribe link, {mail} an address.
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_mime.h"
#include "mg_options.h"
#include "mg_render.h"
#include "mg_status.h"
#include "mime_internal.h"
#include "unit_dir.h"
#include "unit_pool.h"

static mg_track_keys_t *keys;
static mg_render_links_t links;
static const char *options_text;

#define OPENS 1
#define CLICKS 2
#define HTMLONLY 4
#define UNSUB 8
#define ALL (OPENS | CLICKS | UNSUB)

#define HEAD "From: me@d.test\r\nTo: bob@x.test\r\nMIME-Version: 1.0\r\n"
#define PLAIN HEAD "Content-Type: text/plain; charset=utf-8\r\n\r\n"
#define HTML HEAD "Content-Type: text/html; charset=utf-8\r\n\r\n"
#define PIXEL "<img width=\"1px\" height=\"1px\" alt=\"\" src=\"{o:}\">"
#define LIST "List-Unsubscribe: <{u:}>,\r\n <mailto:{mail}>\r\n" \
    "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
#define FOOT_HTML "\r\n<br>\r\n<p><a href=\"{u:}\">unsubscribe</a></p>\r\n"
#define FOOT_TEXT "\r\n\r\nTo unsubscribe click: <{u:}>\r\n\r\n"

/* Of length n, at s. */
static const char *one_link(const char *s, apr_size_t n)
{
    static const char *const kinds[] = { "", "o:", "c:", "u:", "u:tags ",
                                         "u:list " };
    mg_track_t track;
    char *text;

    if (mg_track_read(&track, keys, apr_pstrmemdup(pool, s + 2, n - 2), pool)
        != APR_SUCCESS)
        return "{bad}";
    assert_int_equal(track.domain_id, 10);
    assert_int_equal(track.message_id, 32);
    assert_string_equal(track.recipient, "bob@x.test");
    assert_int_equal(*s, mg_track_letter(track.kind));
    text = apr_pstrcat(pool, "{", kinds[track.kind], track.text ? track.text
                                                               : "", "}", NULL);
    for (s = text; *s; s++)
        if (*s == '\n')
            text[s - text] = ',';
    return text;
}

#define OURS "http://email.d.test/"
#define TOKEN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

static const char *readable(const char *s)
{
    char *out = "";
    const char *at;
    apr_size_t n;

    for (;;) {
        const char *url = strstr(s, OURS), *mail = strstr(s, "u+");

        at = url && (!mail || url < mail) ? url : mail;
        if (!at)
            return apr_pstrcat(pool, out, s, NULL);
        out = apr_pstrcat(pool, out, apr_pstrmemdup(pool, s,
                                                    (apr_size_t)(at - s)),
                          NULL);
        if (at == url) {
            s = at + strlen(OURS);
            n = 2 + strspn(s + 2, TOKEN);
            out = apr_pstrcat(pool, out, one_link(s, n), NULL);
            s += n;
        }
        else {
            mg_track_mail_t m;
            char *local = apr_pstrmemdup(pool, at, strcspn(at, "@"));

            n = strlen(local);
            out = apr_pstrcat(pool, out,
                              mg_track_mail_read(&m, keys, 10, local)
                                      == APR_SUCCESS
                                  && mg_track_mail_is_for(&m, keys,
                                                          "bob@x.test")
                                  ? "{mail}" : "{bad mail}", NULL);
            s = at + n + strlen("@d.test");
        }
    }
}

/* The copy that bob gets. */
static const char *copy_of(int flags, const char *content, apr_size_t len,
                           apr_size_t *pout, const char *variables)
{
    mg_render_track_t track = { { 1, flags & OPENS,
                                  flags & HTMLONLY ? MG_CLICKS_HTMLONLY
                                  : flags & CLICKS ? MG_CLICKS_YES
                                                   : MG_CLICKS_NO,
                                  flags & UNSUB }, NULL };
    json_t *options = json_loads(options_text, 0, NULL);
    mg_message_t message = { 0 };
    mg_delivery_t delivery = { 0 };
    mg_render_for_t who = { &message, &delivery, "d.test", &links, NULL };
    const char *error, *out;

    assert_int_equal(mg_render_check(options, &error, 0, &track, content, len,
                                     pool), APR_SUCCESS);
    message.id = 32;
    message.domain_id = 10;
    message.options = mg_json_compact(options, pool);
    json_decref(options);
    delivery.id = 33;
    delivery.recipient = delivery.recipient_as_given = "bob@x.test";
    delivery.variables = variables;
    assert_int_equal(mg_render_whole(&out, pout, &who, content, len, pool),
                     APR_SUCCESS);
    return out;
}

static const struct {
    const char *name;
    int flags;
    const char *content, *variables, *is;
} cases[] = {
    { "nothing is wanted", 0, HTML "<a href='http://x.test/'>x</a>\r\n", NULL,
      HTML "<a href='http://x.test/'>x</a>\r\n" },
    { "html", OPENS | CLICKS,
      HTML "<body>\r\n<a href='http://x.test/?a&amp;b'>x</a></body>\r\n", NULL,
      HTML "<body>\r\n<a href='{c:http://x.test/?a&b}'>x</a>" PIXEL
      "</body>\r\n" },
    { "opens alone", OPENS, HTML "<a href='http://x.test/'>x</a>\r\n", NULL,
      HTML "<a href='http://x.test/'>x</a>\r\n" PIXEL "\r\n" },
    { "clicks alone", CLICKS, HTML "<a href=http://x.test/>x</a>\r\n", NULL,
      HTML "<a href={c:http://x.test/}>x</a>\r\n" },
    { "text", OPENS | CLICKS, PLAIN "See http://x.test/a, and <http://y.test>."
      "\r\n", NULL, PLAIN "See {c:http://x.test/a}, and <{c:http://y.test}>.\r\n"
    },
    { "text without links", ALL & ~UNSUB, PLAIN "no link\r\n", NULL,
      PLAIN "no link\r\n" },
    { "htmlonly spares text", HTMLONLY, PLAIN "http://x.test/\r\n", NULL,
      PLAIN "http://x.test/\r\n" },
    { "htmlonly", HTMLONLY, HTML "<a href=\"http://x.test/\">x</a>\r\n", NULL,
      HTML "<a href=\"{c:http://x.test/}\">x</a>\r\n" },
    { "footer and field", UNSUB, PLAIN "hello\r\n", NULL,
      HEAD "Content-Type: text/plain; charset=utf-8\r\n" LIST "\r\nhello\r\n"
      FOOT_TEXT },
    { "footer of html, then the pixel", UNSUB | OPENS,
      HTML "<body>a</body>\r\n", NULL,
      HEAD "Content-Type: text/html; charset=utf-8\r\n" LIST "\r\n<body>a"
      FOOT_HTML PIXEL "</body>\r\n" },
    { "no footer beside a variable", UNSUB, PLAIN "%unsubscribe_url%\r\n", NULL,
      HEAD "Content-Type: text/plain; charset=utf-8\r\n" LIST "\r\n{u:}\r\n" },
    { "a List-Unsubscribe of his own", UNSUB,
      HEAD "List-unsubscribe: <https://me.test/>\r\n\r\nhello\r\n", NULL,
      HEAD "List-unsubscribe: <https://me.test/>\r\n\r\nhello\r\n" FOOT_TEXT },
    { "variables of his own", 0, HEAD
      "List-Unsubscribe: <%unsubscribe_email%>, <%unsubscribe_url%>\r\n\r\n"
      "%tag_unsubscribe_url% %mailing_list_unsubscribe_url%\r\n", NULL, HEAD
      "List-Unsubscribe: <mailto:{mail}>,\r\n <{u:}>\r\n\r\n"
      "{u:tags one,two} {u:}\r\n" },
    { "an address where no URI is due", 0, PLAIN "<%unsubscribe_email%>\r\n",
      NULL, PLAIN "<{mail}>\r\n" },
    { "variables within links", CLICKS, HTML
      "<a href=\"http://x.test/?n=%recipient.n%&amp;m=%recipient_email%\">"
      "%recipient.n%</a>\r\n", "{\"n\":\"a&b <c>\"}",
      HTML "<a href=\"{c:http://x.test/?n=a&b%20%3Cc%3E&m=bob@x.test}\">"
      "a&amp;b &lt;c&gt;</a>\r\n" },
    { "a variable that is the link", CLICKS,
      HTML "<a href='%recipient.u%'>x</a>\r\n", "{\"u\":\"https://x.test/\"}",
      HTML "<a href='{c:https://x.test/}'>x</a>\r\n" },
    { "a variable that is none", CLICKS,
      HTML "<a href='%recipient.u%'>x</a>\r\n", "{\"u\":\"mailto:a'b\"}",
      HTML "<a href='mailto:a&#39;b'>x</a>\r\n" },
    { "a variable without a value", CLICKS,
      HTML "<a href='%recipient.u%'>x</a>\r\n", NULL,
      HTML "<a href='%recipient.u%'>x</a>\r\n" },
    { "variables within links of text", CLICKS,
      PLAIN "http://x.test/%recipient.n%.\r\n", "{\"n\":\"a b\"}",
      PLAIN "{c:http://x.test/a%20b}.\r\n" },
    { "an unsubscribe link is left alone", CLICKS,
      HTML "<a href=\"%unsubscribe_url%\">x</a>\r\n", NULL,
      HTML "<a href=\"{u:}\">x</a>\r\n" },
    { "the first html has the pixel, the attachment nothing", OPENS | CLICKS,
      HEAD "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
      "Content-Type: text/html\r\n\r\n<a href=\"http://x.test/1\">1</a>\r\n"
      "--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; "
      "filename=a.html\r\n\r\n<a href=\"http://x.test/2\">2</a>\r\n"
      "--b\r\nContent-Type: text/html\r\n\r\n<a href=\"http://x.test/3\">3</a>"
      "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@b\r\n"
      "Content-Type: text/html\r\n\r\n<a href=\"http://x.test/4\">4</a>\r\n"
      "--b\r\nContent-Type: text/calendar\r\n\r\nURL:http://x.test/5\r\n"
      "--b--\r\n", NULL,
      HEAD "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
      "Content-Type: text/html\r\n\r\n<a href=\"{c:http://x.test/1}\">1</a>"
      PIXEL "\r\n"
      "--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; "
      "filename=a.html\r\n\r\n<a href=\"http://x.test/2\">2</a>\r\n"
      "--b\r\nContent-Type: text/html\r\n\r\n<a href=\"{c:http://x.test/3}\">3"
      "</a>\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@b\r\n"
      "Content-Type: text/html\r\n\r\n<a href=\"http://x.test/4\">4</a>\r\n"
      "--b\r\nContent-Type: text/calendar\r\n\r\nURL:http://x.test/5\r\n"
      "--b--\r\n" },
    { "what is signed is left alone", ALL,
      HEAD "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n"
      "Content-Type: text/html\r\n\r\n<a href=\"http://x.test/1\">1</a>\r\n"
      "--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n",
      NULL, HEAD "Content-Type: multipart/signed; boundary=b\r\n" LIST
      "\r\n--b\r\n"
      "Content-Type: text/html\r\n\r\n<a href=\"http://x.test/1\">1</a>\r\n"
      "--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n" },
    { "alternatives", ALL,
      HEAD "Content-Type: multipart/alternative; boundary=b\r\n\r\n"
      "--b\r\n\r\nhttp://x.test/\r\n--b\r\nContent-Type: text/html\r\n\r\n"
      "<body><a href=\"http://x.test/\">x</a>  \t</body>\r\n\r\n--b--\r\n", NULL,
      HEAD "Content-Type: multipart/alternative; boundary=b\r\n" LIST "\r\n"
      "--b\r\n\r\n{c:http://x.test/}" FOOT_TEXT "\r\n"
      "--b\r\nContent-Type: text/html\r\n\r\n"
      "<body><a href=\"{c:http://x.test/}\">x</a>  \t" FOOT_HTML PIXEL
      "</body>\r\n\r\n--b--\r\n" },
    { "a variable in one part spares the other its footer", UNSUB,
      HEAD "Content-Type: multipart/alternative; boundary=b\r\n\r\n"
      "--b\r\n\r\nhello\r\n--b\r\nContent-Type: text/html\r\n\r\n"
      "<a href='%unsubscribe_url%'>x</a>\r\n--b--\r\n", NULL,
      HEAD "Content-Type: multipart/alternative; boundary=b\r\n" LIST "\r\n"
      "--b\r\n\r\nhello\r\n--b\r\nContent-Type: text/html\r\n\r\n"
      "<a href='{u:}'>x</a>\r\n--b--\r\n" },
};

static void whole_messages(void **state)
{
    size_t i, failed = 0;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        apr_size_t len;
        const char *is = copy_of(cases[i].flags, cases[i].content,
                                 strlen(cases[i].content), &len,
                                 cases[i].variables);

        is = readable(is);
        if (strcmp(is, cases[i].is) == 0)
            continue;
        failed++;
        print_message("%s: is\n%s\nwanted\n%s\n", cases[i].name, is,
                      cases[i].is);
    }
    assert_int_equal(failed, 0);
}

/* --- encodings: what is decoded is as it was, but for what was put in --- */

static const char *wrapped_base64(const char *bytes, apr_size_t len)
{
    mime_sink_t sink;
    mg_mime_out_t out;

    mime_sink_init(&sink, 2 * len + 64, NULL, 0, pool);
    mime_put_octets(&sink, bytes, len, MIME_BASE64, 0);
    mime_sink_finish(&out, &sink);
    return apr_pstrmemdup(pool, out.bytes, (apr_size_t)out.size);
}

#define JP "\x1b$B$3$s<a href=\"http://no.test/\">\x1b(B"

static const struct {
    const char *name, *type, *encoding, *body;
    apr_size_t len;
    const char *is;
    apr_size_t is_len;
} encoded[] = {
#define E(name, type, encoding, body, is) \
    { name, type, encoding, body, sizeof(body) - 1, is, sizeof(is) - 1 }
    E("LF alone, and none at the end", "text/html; charset=utf-8", "base64",
      "<a href=\"http://x.test/\">\nx\xc3\xbc\n\r</a>",
      "<a href=\"{c:http://x.test/}\">\nx\xc3\xbc\n\r</a>" PIXEL),
    E("Latin-1", "text/html; charset=iso-8859-1", "base64",
      "\xfc<a href='http://x.test/?\xfc'>\xe4</a>\r\n",
      "\xfc<a href='{c:http://x.test/?%C3%BC}'>\xe4</a>\r\n" PIXEL),
    E("no UTF-8 though it says so", "text/html; charset=utf-8", "base64",
      "\xff<a href='http://x.test/'>\xc3</a><body>\x80</body>",
      "\xff<a href='{c:http://x.test/}'>\xc3</a><body>\x80" PIXEL "</body>"),
    E("Japanese", "text/html; charset=ISO-2022-JP", "7bit",
      JP "<a href=\"http://x.test/\">\x1b$B%\"%/\x1b(B</a></body>\r\n",
      JP "<a href=\"{c:http://x.test/}\">\x1b$B%\"%/\x1b(B</a>" PIXEL
      "</body>\r\n"),
    E("Shift_JIS", "text/html; charset=Shift_JIS", "base64",
      "\x83\x5c<a href='http://x.test/'>\x83\x7c</a>",
      "\x83\x5c<a href='{c:http://x.test/}'>\x83\x7c</a>" PIXEL),
    E("UTF-16 becomes UTF-8", "text/plain; charset=utf-16le", "base64",
      "h\0t\0t\0p\0:\0/\0/\0x\0.\0t\0e\0s\0t\0",
      "{c:http://x.test}"),
    E("quoted-printable", "text/plain; charset=utf-8", "quoted-printable",
      "http://x.test/a=3Db=\r\n_c =C3=BC =20\r\n=0A=3D--b\r\n",
      "{c:http://x.test/a=b_c} \xc3\xbc  \r\n\n=--b\r\n"),
    E("a line that becomes too long", "text/html; charset=us-ascii", "7bit",
      "<a href='http://x.test/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "'>x</a><a href='http://x.test/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "'>y</a>\r\n",
      "<a href='{c:http://x.test/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "}'>x</a><a href='{c:http://x.test/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "}'>y</a>\r\n" PIXEL),
    E("8bit", "text/html; charset=utf-8", "8bit",
      "\xc3\xa4\xc3\xb6\xc3\xbc <a href=\"http://x.test/\">x</a>\r\n",
      "\xc3\xa4\xc3\xb6\xc3\xbc <a href=\"{c:http://x.test/}\">x</a>\r\n"
      PIXEL),
};

static void encodings(void **state)
{
    size_t i, k;

    (void)state;
    for (i = 0; i < COUNT(encoded); i++) {
        for (k = 0; k < 2; k++) { /* alone, and among parts */
            int base64 = strcmp(encoded[i].encoding, "base64") == 0;
            const char *part, *content, *copy, *body, *is;
            apr_size_t len, n;
            mime_entity_t e;

            part = base64 ? wrapped_base64(encoded[i].body, encoded[i].len)
                          : encoded[i].body;
            part = apr_pstrcat(pool, "Content-Type: ", encoded[i].type,
                               "\r\nContent-Transfer-Encoding: ",
                               encoded[i].encoding, "\r\n\r\n", part, NULL);
            content = k == 0 ? apr_pstrcat(pool, HEAD, part, NULL)
                             : apr_pstrcat(pool, HEAD "Content-Type: multipart/"
                                           "mixed; boundary=b\r\n\r\n--b\r\n",
                                           part, "\r\n--b--\r\n", NULL);
            copy = copy_of(OPENS | CLICKS, content, strlen(content), &len,
                           NULL);
            assert_string_equal(copy + len - 2, "\r\n");
            for (body = copy, n = 0; *body; body++)
                assert_true((n = *body == '\n' ? 0 : n + 1) <= 998);
            if (k == 1) {
                copy = strstr(copy, "--b\r\n") + 5;
                len = (apr_size_t)(strstr(copy, "\r\n--b--\r\n") - copy);
            }
            mime_entity_read(&e, copy, len, "text/plain", pool);
            body = mime_entity_decode(&n, &e, pool);
            is = readable(apr_pstrmemdup(pool, body, n));
            n = strlen(is); /* k 0: perhaps with the line end that mail needs */
            if (n != encoded[i].is_len
                && (k == 1 || n != encoded[i].is_len + 2
                    || strcmp(is + n - 2, "\r\n") != 0))
                n = 0;
            if (n == 0 || strncmp(is, encoded[i].is, encoded[i].is_len) != 0)
                fail_msg("%s, %d: is\n%s\nwanted\n%s", encoded[i].name, (int)k,
                         is, encoded[i].is);
        }
    }
}

static void own_footers(void **state)
{
    static const struct {
        const char *type, *body, *is;
    } rows[] = {
        { "text/html; charset=utf-8", "<body>\xc3\xa4</body>\r\n",
          "<body>\xc3\xa4<i>f\xc3\xbcr bob@x.test</i></body>\r\n" },
        { "text/html; charset=iso-8859-1", "<body>\xe4</body>\r\n",
          "<body>\xe4<i>f&#252;r bob@x.test</i></body>\r\n" },
        { "text/plain; charset=iso-8859-1", "\xe4\r\n",
          "\xe4\r\n--\r\nf\xfcr bob@x.test" },
        { "text/plain; charset=iso-2022-jp", "a\r\n",
          "a\r\n--\r\nf?r bob@x.test" },
        { "text/plain; charset=us-ascii", "a\r\n",
          "a\r\n--\r\nf\xc3\xbcr bob@x.test" },
    };
    size_t i;

    (void)state;
    links.footer_html = "<i>f\xc3\xbcr %recipient_email%</i>";
    links.footer_text = "--\nf\xc3\xbcr %recipient_email%";
    for (i = 0; i < COUNT(rows); i++) {
        const char *content = apr_pstrcat(
            pool, HEAD "Content-Type: ", rows[i].type,
            "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", rows[i].body, NULL);
        apr_size_t len, n;
        mime_entity_t e;
        const char *copy, *body;

        copy = copy_of(UNSUB, content, strlen(content), &len, NULL);
        mime_entity_read(&e, copy, len, "text/plain", pool);
        body = mime_entity_decode(&n, &e, pool);
        if (strncmp(body, rows[i].is, strlen(rows[i].is)) != 0)
            fail_msg("%s: %s, wanted %s", rows[i].type, body, rows[i].is);
        if (strstr(rows[i].type, "us-ascii"))
            assert_string_equal(e.charset, "utf-8");
    }
    links.footer_html = links.footer_text = "";
    {
        apr_size_t len;
        const char *copy = copy_of(UNSUB, PLAIN "a\r\n", strlen(PLAIN "a\r\n"),
                                   &len, NULL);

        assert_string_equal(readable(copy), HEAD "Content-Type: text/plain; "
                            "charset=utf-8\r\n" LIST "\r\na\r\n");
    }
}

/* No secret: the message goes out as it was. */
static void without_secret(void **state)
{
    mg_render_links_t none = links;
    const char *copy;
    apr_size_t len;

    (void)state;
    mg_track_keys_load(&keys, "/nonexistent", pool);
    none.keys = keys;
    none.footer_text = "bye %unsubscribe_url%";
    links = none;
    copy = copy_of(ALL, PLAIN "http://x.test/\r\n",
                   strlen(PLAIN "http://x.test/\r\n"), &len, NULL);
    assert_string_equal(copy, PLAIN "http://x.test/\r\nbye %unsubscribe_url%"
                        "\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_messages), cmocka_unit_test(encodings),
        cmocka_unit_test(own_footers), cmocka_unit_test(without_secret),
    };
    const char *path;
    char dir[256];
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    mg_mime_init();
    if (!unit_dir_make(dir, sizeof(dir), "render_track"))
        return 1;
    path = apr_pstrcat(pool, dir, "/tracking", NULL);
    if (mg_track_keys_create(path, pool) != APR_SUCCESS
        || mg_track_keys_load(&keys, path, pool) != APR_SUCCESS)
        return 1;
    links.keys = keys;
    links.scheme = "http";
    links.host = "email.d.test";
    links.footer_html = "\n<br>\n<p><a href=\"%unsubscribe_url%\">unsubscribe"
                        "</a></p>\n";
    links.footer_text = "\n\nTo unsubscribe click: <%unsubscribe_url%>\n\n";
    options_text = "{\"tags\": [\"one\", \"two\"]}";
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unit_dir_remove(dir);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed ? 1 : 0;
}
