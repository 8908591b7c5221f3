/* test_link.c - which links of html and of text lead by us, and where the pixel
 * goes.
 *
 * What comes out is written so: a link that was found is [where it leads], and
 * {} stands where something is added.
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_link.h"
#include "mg_mime.h"
#include "mg_time.h"
#include "mime_internal.h"
#include "unit_pool.h"

static const char *marked(const mg_links_t *found, const char *charset,
                          const char *text, apr_size_t len, int html)
{
    char *out = "";
    apr_size_t at = 0;
    int i, added = 0;

    for (i = 0; i <= found->links->nelts; i++) {
        mg_link_t end = { len, 0 };
        const mg_link_t *l = i < found->links->nelts
                                 ? &APR_ARRAY_IDX(found->links, i, mg_link_t)
                                 : &end;
        const char *target;

        if (!added && found->end <= l->offset) {
            out = apr_pstrcat(pool, out, apr_pstrmemdup(pool, text + at,
                                                        found->end - at),
                              "{}", NULL);
            at = found->end;
            added = 1;
        }
        out = apr_pstrcat(pool, out, apr_pstrmemdup(pool, text + at,
                                                    l->offset - at), NULL);
        at = l->offset + l->len;
        if (l == &end)
            break;
        target = mime_to_utf8(charset, text + l->offset, l->len, pool);
        if (html)
            target = mg_link_unescape(target, strlen(target), pool);
        target = mg_link_target(target, pool);
        out = apr_pstrcat(pool, out, "[", target ? target : "none", "]", NULL);
    }
    return out;
}

static const char *in_html(const char *charset, const char *text)
{
    apr_size_t len = strlen(text);
    mg_links_t found;
    int shifted;
    char *shadow = mg_link_shadow(&shifted, charset, text, len, pool);

    if (!shadow)
        return "no ASCII";
    mg_links_html(&found, shadow, len, pool);
    if (shifted)
        return "shifted";
    return found.why ? found.why : marked(&found, charset, text, len, 1);
}

typedef struct {
    const char *text, *is;
} case_t;

static const case_t bodies[] = {
    /* plain cases */
    { "<a href=\"http://x.test/\">x</a>", "<a href=\"[http://x.test/]\">x</a>{}" },
    { "<html><body><a href='https://x.test/a?b=1#c'>x</a></body></html>",
      "<html><body><a href='[https://x.test/a?b=1#c]'>x</a>{}</body></html>" },
    { "<a href=http://x.test/a?b=c>x</a>",
      "<a href=[http://x.test/a?b=c]>x</a>{}" },
    { "<a href=http://x.test/a/>x</a>", "<a href=[http://x.test/a/]>x</a>{}" },
    { "<A HREF=\"HTTP://X.test/\">x</A>", "<A HREF=\"[HTTP://X.test/]\">x</A>{}" },
    { "<a class=b href = \"http://x.test/\" target=_blank>x</a>",
      "<a class=b href = \"[http://x.test/]\" target=_blank>x</a>{}" },
    { "<a\nhref\n=\n\"http://x.test/\"\n>x</a>",
      "<a\nhref\n=\n\"[http://x.test/]\"\n>x</a>{}" },
    { "<a/href=\"http://x.test/\">x</a>",
      "<a/href=\"[http://x.test/]\">x</a>{}" },
    { "<map><area shape=rect href=\"http://x.test/m\"></map>",
      "<map><area shape=rect href=\"[http://x.test/m]\"></map>{}" },
    { "<a title=\">\" href=\"http://x.test/\">x</a>",
      "<a title=\">\" href=\"[http://x.test/]\">x</a>{}" },
    { "<a title='a href=\"http://no.test/\"' href=\"http://x.test/\">x</a>",
      "<a title='a href=\"http://no.test/\"' href=\"[http://x.test/]\">x</a>{}" },
    /* two of one name: the first is the one */
    { "<a href=\"http://x.test/1\" href=\"http://x.test/2\">x</a>",
      "<a href=\"[http://x.test/1]\" href=\"http://x.test/2\">x</a>{}" },
    /* blanks and line breaks in it */
    { "<a href=\" http://x.test/ \">x</a>", "<a href=\"[http://x.test/]\">x</a>{}" },
    { "<a href=\"http://x.test/a\r\nb\">x</a>",
      "<a href=\"[http://x.test/ab]\">x</a>{}" },
    { "<a href=\"http://x.test/a b\">x</a>",
      "<a href=\"[http://x.test/a%20b]\">x</a>{}" },
    { "<a href=\"http://x.test/\xc3\xbc\">x</a>",
      "<a href=\"[http://x.test/%C3%BC]\">x</a>{}" },
    /* character references */
    { "<a href=\"http://x.test/?a=1&amp;b=2\">x</a>",
      "<a href=\"[http://x.test/?a=1&b=2]\">x</a>{}" },
    { "<a href=\"http://x.test/?a=1&b=2\">x</a>",
      "<a href=\"[http://x.test/?a=1&b=2]\">x</a>{}" },
    { "<a href=\"http://x.test/?a=1&#38;b=2&#x26;c=3\">x</a>",
      "<a href=\"[http://x.test/?a=1&b=2&c=3]\">x</a>{}" },
    { "<a href=\"http://x.test/?a&copy=1&lt=2&amp=3\">x</a>",
      "<a href=\"[http://x.test/?a&copy=1&lt=2&amp=3]\">x</a>{}" },
    { "<a href=\"&#104;ttp&colon;&sol;&sol;x.test/&quest;q\">x</a>",
      "<a href=\"[http://x.test/?q]\">x</a>{}" },
    { "<a href=\"http://x.test/?a=&quot;b&quot;\">x</a>",
      "<a href=\"[http://x.test/?a=%22b%22]\">x</a>{}" },
    { "<a href=\"http://x.test/?q=&#xfc;&#228\">x</a>",
      "<a href=\"[http://x.test/?q=%C3%BC%C3%A4]\">x</a>{}" },
    /* references that only a browser knows: left alone, not led astray */
    { "<a href=\"http://x.test/&copy;&NotEqualTilde;\">x</a>",
      "<a href=\"http://x.test/&copy;&NotEqualTilde;\">x</a>{}" },
    { "<a href=\"http://x.test/&#128;\">x</a>",
      "<a href=\"http://x.test/&#128;\">x</a>{}" },
    /* what is no web link */
    { "<a href=\"mailto:bob@x.test?subject=http://y.test/\">x</a>",
      "<a href=\"mailto:bob@x.test?subject=http://y.test/\">x</a>{}" },
    { "<a href=\"tel:+123\">x</a><a href='sms:1'>y</a>",
      "<a href=\"tel:+123\">x</a><a href='sms:1'>y</a>{}" },
    { "<a href=\"#top\">x</a><a name=\"top\"></a>",
      "<a href=\"#top\">x</a><a name=\"top\"></a>{}" },
    { "<a href=\"/a\">x</a><a href=\"//x.test/\">y</a><a href=\"\">z</a><a href>",
      "<a href=\"/a\">x</a><a href=\"//x.test/\">y</a><a href=\"\">z</a><a href>{}" },
    { "<a href=\"javascript:location='http://x.test/'\">x</a>",
      "<a href=\"javascript:location='http://x.test/'\">x</a>{}" },
    { "<a href=\"ftp://x.test/\">x</a><a href='http:/x'>y</a><a href='http://'>",
      "<a href=\"ftp://x.test/\">x</a><a href='http:/x'>y</a><a href='http://'>{}" },
    { "<img src=\"http://x.test/i.png\"><link href=\"http://x.test/s.css\">",
      "<img src=\"http://x.test/i.png\"><link href=\"http://x.test/s.css\">{}" },
    { "<base href=\"http://x.test/\"><form action=\"http://x.test/\"></form>",
      "<base href=\"http://x.test/\"><form action=\"http://x.test/\"></form>{}" },
    { "<p>http://x.test/ in the text</p>", "<p>http://x.test/ in the text</p>{}" },
    /* disable-tracking */
    { "<a disable-tracking=true href=\"http://x.test/\">x</a>",
      "<a disable-tracking=true href=\"http://x.test/\">x</a>{}" },
    { "<a disable-tracking href=\"http://x.test/\">x</a>",
      "<a disable-tracking href=\"http://x.test/\">x</a>{}" },
    { "<a href=\"http://x.test/\" Disable-Tracking=\"true\">x</a>",
      "<a href=\"http://x.test/\" Disable-Tracking=\"true\">x</a>{}" },
    { "<a disable-tracking=false href=\"http://x.test/\">x</a>",
      "<a disable-tracking=false href=\"[http://x.test/]\">x</a>{}" },
    /* our own */
    { "<a href=\"%unsubscribe_url%\">x</a><a href='%tag_unsubscribe_url%'>y</a>",
      "<a href=\"%unsubscribe_url%\">x</a><a href='%tag_unsubscribe_url%'>y</a>{}" },
    { "<a href=\"http://x.test/?u=%mailing_list_unsubscribe_url%\">x</a>",
      "<a href=\"http://x.test/?u=%mailing_list_unsubscribe_url%\">x</a>{}" },
    /* variables: where they lead is known later */
    { "<a href=\"%recipient.url%\">x</a>", "<a href=\"[none]\">x</a>{}" },
    { "<a href=\"http://x.test/%recipient.id%?m=%recipient_email%\">x</a>",
      "<a href=\"[http://x.test/%recipient.id%?m=%recipient_email%]\">x</a>{}" },
    { "<a href=\"http://%recipient.host name%/\">x</a>",
      "<a href=\"[http://%recipient.host%20name%/]\">x</a>{}" },
    /* what is not shown */
    { "<!-- <a href=\"http://x.test/\">x</a> -->",
      "<!-- <a href=\"http://x.test/\">x</a> -->{}" },
    { "<!--[if mso]><a href=\"http://x.test/\">x</a><![endif]-->",
      "<!--[if mso]><a href=\"http://x.test/\">x</a><![endif]-->{}" },
    { "<!--[if mso]><v:roundrect href=\"http://x.test/\"><![endif]-->"
      "<!--[if !mso]><!--><a href=\"http://y.test/\">y</a><!--<![endif]-->",
      "<!--[if mso]><v:roundrect href=\"http://x.test/\"><![endif]-->"
      "<!--[if !mso]><!--><a href=\"[http://y.test/]\">y</a><!--<![endif]-->{}" },
    { "<![if !mso]><a href=\"http://x.test/\">x</a><![endif]>",
      "<![if !mso]><a href=\"[http://x.test/]\">x</a><![endif]>{}" },
    { "<!-- a > b --><a href=\"http://x.test/\">x</a>",
      "<!-- a > b --><a href=\"[http://x.test/]\">x</a>{}" },
    { "<style>a { background: url(http://x.test/) } /* <a href=\"http://y.test/\">"
      "*/</style>", "<style>a { background: url(http://x.test/) } /* <a href=\""
      "http://y.test/\">*/</style>{}" },
    { "<script>s = '<a href=\"http://x.test/\">';</script><a href='http://y.test/'"
      ">y</a>", "<script>s = '<a href=\"http://x.test/\">';</script><a href='["
      "http://y.test/]'>y</a>{}" },
    { "<script><!-- <script> <a href=\"http://x.test/\"> </script> --></script>",
      "<script><!-- <script> <a href=\"http://x.test/\"> </script> --></script>{}" },
    { "<title><a href=\"http://x.test/\">x</a></title>",
      "<title><a href=\"http://x.test/\">x</a></title>{}" },
    { "<textarea><a href=\"http://x.test/\">x</a></textarea>",
      "<textarea><a href=\"http://x.test/\">x</a></textarea>{}" },
    { "<template><a href=\"http://x.test/\">x</a></template>",
      "<template><a href=\"http://x.test/\">x</a></template>{}" },
    { "<xmp><a href=\"http://x.test/\">x</a></xmp><noscript><a href=\"http://"
      "y.test/\">y</a></noscript>", "<xmp><a href=\"http://x.test/\">x</a></xmp>"
      "<noscript><a href=\"[http://y.test/]\">y</a></noscript>{}" },
    { "<svg><a href=\"http://x.test/\"><text>x</text></a></svg>",
      "<svg><a href=\"http://x.test/\"><text>x</text></a></svg>{}" },
    /* broken html */
    { "<a href=\"http://x.test/\">x<a href=\"http://y.test/\">y",
      "<a href=\"[http://x.test/]\">x<a href=\"[http://y.test/]\">y{}" },
    { "<p><b><a href=\"http://x.test/\">x<p>y</b></a>",
      "<p><b><a href=\"[http://x.test/]\">x<p>y</b></a>{}" },
    { "<table><a href=\"http://x.test/\">x<tr><td>y</table>",
      "<table><a href=\"[http://x.test/]\">x<tr><td>y</table>{}" },
    { "<a href=\"http://x.test/>never ended", "<a href=\"http://x.test/>never ended{}" },
    { "<a href=\"http://x.test/\"", "<a href=\"http://x.test/\"{}" },
    { "</a><a href=\"http://x.test/\" =\"\" <b>x</a>",
      "</a><a href=\"[http://x.test/]\" =\"\" <b>x</a>{}" },
    { "<select><a href=\"http://x.test/\">x</a></select>",
      "<select><a href=\"http://x.test/\">x</a></select>{}" },
    { "", "{}" },
    { "just text", "just text{}" },
    /* where the body ends */
    { "<body>a</body>\r\n</html>\r\n", "<body>a{}</body>\r\n</html>\r\n" },
    { "<BODY>a</BODY >", "<BODY>a{}</BODY >" },
    { "<p>a</p></body>", "<p>a</p>{}</body>" },
    { "<p>a</p></html>", "<p>a</p></html>{}" },
    { "<body>a<!-- </body> -->b</body>", "<body>a<!-- </body> -->b{}</body>" },
    { "<body>a<script>'</body>'</script></body>",
      "<body>a<script>'</body>'</script>{}</body>" },
    { "<body>a<a title=\"</body>\">b", "<body>a<a title=\"</body>\">b{}" },
};

static void ugly_bodies(void **state)
{
    size_t i, failed = 0;

    (void)state;
    assert_true(COUNT(bodies) >= 60);
    for (i = 0; i < COUNT(bodies); i++) {
        const char *is = in_html(NULL, bodies[i].text);

        if (strcmp(is, bodies[i].is) == 0)
            continue;
        failed++;
        print_message("%s\n  is     %s\n  wanted %s\n", bodies[i].text, is,
                      bodies[i].is);
    }
    assert_int_equal(failed, 0);
}

static void charsets(void **state)
{
    static const struct {
        const char *charset, *text, *is;
    } cases[] = {
        { "iso-8859-1", "\xfc<a href=\"http://x.test/\xfc\">\xe4</a>",
          "\xfc<a href=\"[http://x.test/%C3%BC]\">\xe4</a>{}" },
        { "windows-1252", "\x93<a href='http://x.test/'>\x94</a>",
          "\x93<a href='[http://x.test/]'>\x94</a>{}" },
        { "utf-8", "\xff\xfe<a href=\"http://x.test/\">\xc3</a>\x80",
          "\xff\xfe<a href=\"[http://x.test/]\">\xc3</a>\x80{}" },
        { "no-such-charset", "\xfc<a href=\"http://x.test/\">x</a>",
          "\xfc<a href=\"[http://x.test/]\">x</a>{}" },
        /* double octets that look like tags and quotes */
        { "iso-2022-jp", "\x1b$B<a href=\"http://no.test/\">\x1b(B"
          "<a href=\"http://x.test/\">\x1b$B%\"%/\x1b(B</a>",
          "\x1b$B<a href=\"http://no.test/\">\x1b(B"
          "<a href=\"[http://x.test/]\">\x1b$B%\"%/\x1b(B</a>{}" },
        { "ISO-2022-JP", "\x1b(J<a href='http://x.test/'>\x1b$@%\"\x1b(J</a>",
          "\x1b(J<a href='[http://x.test/]'>\x1b$@%\"\x1b(J</a>{}" },
        { "iso-2022-jp", "<a href=\"http://x.test/\">\x1b$B%\"", "shifted" },
        { "iso-2022-kr", "\x1b$)C<a href='http://x.test/'>\x0e<a\x0f</a>",
          "\x1b$)C<a href='[http://x.test/]'>\x0e<a\x0f</a>{}" },
        { "shift_jis", "\x83\x5c<a href=\"http://x.test/\">\xb1</a>\x83\x7c",
          "\x83\x5c<a href=\"[http://x.test/]\">\xb1</a>\x83\x7c{}" },
        { "big5", "\xa4\x7c<a href=\"http://x.test/\">\xb3\x5c</a>",
          "\xa4\x7c<a href=\"[http://x.test/]\">\xb3\x5c</a>{}" },
        { "gb18030", "\x81\x30\x81\x30<a href='http://x.test/'>\x81\x7c</a>",
          "\x81\x30\x81\x30<a href='[http://x.test/]'>\x81\x7c</a>{}" },
        { "euc-jp", "\xa4\xa2<a href='http://x.test/\xa4\xa2'>x</a>",
          "\xa4\xa2<a href='[http://x.test/%E3%81%82]'>x</a>{}" },
        { "utf-16", "x", "no ASCII" },
        { "utf-7", "x", "no ASCII" },
        { "hz-gb-2312", "x", "no ASCII" },
        { "ebcdic-us", "x", "no ASCII" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        const char *is = in_html(cases[i].charset, cases[i].text);

        if (strcmp(is, cases[i].is) != 0)
            fail_msg("%s: %s is %s, wanted %s", cases[i].charset,
                     cases[i].text, is, cases[i].is);
    }
}

static void texts(void **state)
{
    static const case_t cases[] = {
        { "See http://x.test/a?b=1&c=2#d now", "See [http://x.test/a?b=1&c=2#d] now{}" },
        { "http://x.test", "[http://x.test]{}" },
        { "HTTPS://x.test/", "[HTTPS://x.test/]{}" },
        { "at http://x.test/.", "at [http://x.test/].{}" },
        { "http://x.test/a, http://x.test/b; (http://x.test/c)!",
          "[http://x.test/a], [http://x.test/b]; ([http://x.test/c])!{}" },
        { "http://x.test/a_(b) and (http://x.test/a_(b))",
          "[http://x.test/a_(b)] and ([http://x.test/a_(b)]){}" },
        { "<http://x.test/a.>", "<[http://x.test/a]." ">{}" },
        { "\"http://x.test/\" 'http://y.test/'",
          "\"[http://x.test/]\" '[http://y.test/]'{}" },
        { "*http://x.test/* _http://y.test/_ [1]: http://z.test/",
          "*[http://x.test/]* _[http://y.test/]_ [1]: [http://z.test/]{}" },
        { "[x](http://x.test/)", "[x]([http://x.test/]){}" },
        { "http://x.test/\r\nhttp://y.test/\r\n",
          "[http://x.test/]\r\n[http://y.test/]\r\n{}" },
        { "xhttp://x.test/ 1https://x.test/", "xhttp://x.test/ 1https://x.test/{}" },
        { "mailto:a@x.test www.x.test ftp://x.test/ //x.test/ http: http:// "
          "http:///a", "mailto:a@x.test www.x.test ftp://x.test/ //x.test/ http: "
          "http:// http:///a{}" },
        { "http://x.test/\xe3\x81\x82 http://y.test/\xc3\xbc""ber",
          "http://x.test/\xe3\x81\x82 http://y.test/\xc3\xbc""ber{}" },
        { "\xe3\x80\x8chttp://x.test/ \xe3\x80\x8d",
          "\xe3\x80\x8c[http://x.test/] \xe3\x80\x8d{}" },
        { "http://user:pw@x.test:8080/?u=http://y.test/",
          "[http://user:pw@x.test:8080/?u=http://y.test/]{}" },
        { "http://x.test/%recipient.first name%/b, ok",
          "[http://x.test/%recipient.first%20name%/b], ok{}" },
        { "stop: %unsubscribe_url% http://x.test/?u=%tag_unsubscribe_url%",
          "stop: %unsubscribe_url% http://x.test/?u=%tag_unsubscribe_url%{}" },
        { "http://x.test/%20%3f%", "[http://x.test/%20%3f%]{}" },
        { ":", ":{}" }, { "", "{}" }, { "http:", "http:{}" },
        { "a:http://x.test/", "a:[http://x.test/]{}" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        apr_size_t len = strlen(cases[i].text);
        mg_links_t found;
        int shifted;
        const char *is;

        mg_links_text(&found, mg_link_shadow(&shifted, NULL, cases[i].text,
                                             len, pool), len, pool);
        is = marked(&found, NULL, cases[i].text, len, 0);
        if (strcmp(is, cases[i].is) != 0)
            fail_msg("%s is %s, wanted %s", cases[i].text, is, cases[i].is);
    }
}

static char *repeated(const char *what, apr_size_t total)
{
    apr_size_t n = strlen(what), i;
    char *text = apr_palloc(pool, total + n + 1);

    for (i = 0; i < total; i += n)
        memcpy(text + i, what, n);
    text[i] = '\0';
    return text;
}

/* It ends, and soon, with nothing rewritten. */
static void hostile(void **state)
{
    static const char *const bodies_of[] = {
        "<div>", "<b><i><a href='http://x.test/'><font>", "<svg>",
        "<p><b id=1><i class=x>", "<table><tr><td>", "<a b c d e f g h ",
        "</p>", "<a href=\"http://x.test/\">", "<select><option>",
    };
    apr_pool_t *p;
    size_t i;

    (void)state;
    apr_pool_create(&p, pool);
    for (i = 0; i < COUNT(bodies_of); i++) {
        char *text = repeated(bodies_of[i], 200 * 1024);
        mg_links_t found;

        mg_links_html(&found, text, strlen(text), p);
        assert_int_equal(found.links->nelts, 0);
        assert_true(found.why || !strstr(text, "href"));
        apr_pool_clear(p);
    }
    {
        char *text = repeated("a ", 300 * 1024);
        mg_links_t found;

        mg_links_html(&found, text, strlen(text), p);
        assert_string_equal(found.why, "its html is larger than 256 kB");
        text = repeated("<p><a href='http://x.test/'>x</a>", 1000 * 33);
        mg_links_html(&found, text, strlen(text), p);
        assert_int_equal(found.links->nelts, 1000);
        text = repeated("<p><a href='http://x.test/'>x</a>", 1001 * 33);
        mg_links_html(&found, text, strlen(text), p);
        assert_string_equal(found.why, "it has more than 1000 links");
        text = repeated("http://x.test/ ", 1001 * 15);
        mg_links_text(&found, text, strlen(text), p);
        assert_string_equal(found.why, "it has more than 1000 links");
    }
    apr_pool_destroy(p);
}

/* A million brackets behind a link are looked at a few times, not each for all
 * others. */
static void brackets(void **state)
{
    char *text = apr_pstrcat(pool, "http://x.test/(a) ", "http://x.test/(b",
                             repeated(")", 1000 * 1000), NULL);
    apr_time_t begun = mg_thread_ticks();
    mg_links_t found;

    (void)state;
    mg_links_text(&found, text, strlen(text), pool);
    assert_int_equal(found.links->nelts, 2);
    assert_int_equal(APR_ARRAY_IDX(found.links, 0, mg_link_t).len, 17);
    assert_int_equal(APR_ARRAY_IDX(found.links, 1, mg_link_t).len, 17);
    assert_true(mg_thread_ticks() - begun < APR_USEC_PER_SEC);
}

static void targets(void **state)
{
    static const case_t cases[] = {
        { "http://x.test/", "http://x.test/" },
        { "\n https://x.test/\ta \r\n", "https://x.test/a" },
        { "http://x.test/\x01\x7f\"<>", "http://x.test/%01%7F%22%3C%3E" },
        { "http://x.test/{a}|b^c\\d", "http://x.test/{a}|b^c\\d" },
        { "http://", NULL }, { "http:///x", NULL }, { "", NULL },
        { "ht\ntp://x.test/", "http://x.test/" },
        { "javascript://x.test/", NULL }, { "x", NULL },
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        const char *is = mg_link_target(cases[i].text, pool);

        if (cases[i].is)
            assert_string_equal(is, cases[i].is);
        else
            assert_null(is);
    }
    assert_null(mg_link_target(apr_pstrcat(pool, "http://x.test/",
                                           repeated("a", 4096), NULL), pool));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ugly_bodies), cmocka_unit_test(charsets),
        cmocka_unit_test(texts), cmocka_unit_test(targets),
        cmocka_unit_test(hostile), cmocka_unit_test(brackets),
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    mg_mime_init();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed ? 1 : 0;
}
