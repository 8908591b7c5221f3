/* test_reply_html.c - quotes in html, as clients write them (mg_reply.h). */
#include <string.h>
#include <apr_strings.h>

#include "mg_reply.h"
#include "mg_time.h"
#include "unit_pool.h"

#define ATTR "On Mon, Jan 6, 2020 at 10:21 AM Ann &lt;<a href=\"mailto:a@x.test\">" \
             "a@x.test</a>&gt; wrote:"

static const struct {
    const char *title, *html, *want;   /* NULL: as it is */
} cases[] = {
    { "nothing", "<p>Hello</p>", NULL },
    { "text without tags", "Hello", NULL },
    { "empty", "", NULL },
    { "Gmail",
      "<div dir=\"ltr\">Fine.</div><br><div class=\"gmail_quote\"><div dir="
      "\"ltr\" class=\"gmail_attr\">" ATTR "<br></div><blockquote class="
      "\"gmail_quote\" style=\"margin:0\"><div>Shall we?</div></blockquote>"
      "</div>\n",
      "<div dir=\"ltr\">Fine.</div><br>\n" },
    { "Gmail, newer",
      "<div dir=\"ltr\">Fine.</div><br><div class=\"gmail_quote "
      "gmail_quote_container\"><div class=\"gmail_attr\">" ATTR "</div>"
      "<blockquote>Shall we?</blockquote></div>",
      "<div dir=\"ltr\">Fine.</div><br>" },
    { "Gmail, a forwarded message stays",
      "<div>FYI</div><div class=\"gmail_quote\"><div class=\"gmail_attr\">"
      "---------- Forwarded message ---------<br>From: Ann</div>Shall we?"
      "</div>", NULL },
    { "Apple Mail",
      "<html><body>Fine.<div><br><blockquote type=\"cite\"><div>On Jan 6, 2020,"
      " at 10:21 AM, Ann wrote:</div><div>Shall we?</div></blockquote></div>"
      "</body></html>",
      "<html><body>Fine.<div><br></div></body></html>" },
    { "Thunderbird",
      "<html><body><p>Fine.</p><div class=\"moz-cite-prefix\">Am 06.01.20 um "
      "10:21 schrieb Ann:<br></div><blockquote type=\"cite\" cite=\"mid:1\">"
      "Shall we?</blockquote></body></html>",
      "<html><body><p>Fine.</p></body></html>" },
    { "Thunderbird, below",
      "<body><div class=\"moz-cite-prefix\">Am 06.01.20 um 10:21 schrieb Ann:"
      "</div><blockquote type=\"cite\">Shall we?</blockquote><p>Fine.</p>"
      "</body>", "<body><p>Fine.</p></body>" },
    { "Yahoo",
      "<div>Fine.</div><div id=\"yahoo_quoted_123\" class=\"yahoo_quoted\">"
      "<div>On Monday, Ann wrote:</div>Shall we?</div>",
      "<div>Fine.</div>" },
    { "Outlook on the web",
      "<body><div>Fine.</div><div id=\"appendonsend\"></div><hr tabindex=\"-1\">"
      "<div id=\"divRplyFwdMsg\"><b>From:</b> Ann</div><div>Shall we?</div>"
      "</body>", "<body><div>Fine.</div></body>" },
    { "Outlook on the web, without the mark",
      "<body><div>Fine.</div><hr style=\"width:98%\" tabindex=\"-1\"><div id="
      "\"divRplyFwdMsg\" dir=\"ltr\"><b>From:</b> Ann</div><div>Shall we?</div>"
      "</body>", "<body><div>Fine.</div></body>" },
    { "Outlook",
      "<body><div class=\"WordSection1\"><p>Fine.</p><div><div style=\"border:"
      "none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in\"><p><b>"
      "From:</b> Ann &lt;a@x.test&gt; <br><b>Sent:</b> Monday, January 6, 2020"
      " 10:21 AM<br><b>To:</b> Bob<br><b>Subject:</b> x</p></div></div>"
      "<p>Shall we?</p></div></body>",
      "<body><div class=\"WordSection1\"><p>Fine.</p><div></div></div></body>" },
    { "Outlook, German",
      "<body><div><p>Gut.</p><div style='border:none;border-top:solid #B5C4DF "
      "1.0pt'><p><b>Von:</b> Ann [mailto:a@x.test]<br><b>Gesendet:</b> Montag"
      "</p></div><p>Wollen wir?</p></div></body>",
      "<body><div><p>Gut.</p></div></body>" },
    { "a border that is no quote",
      "<div style=\"border:none;border-top:solid #E1E1E1 1.0pt\">Prices</div>",
      NULL },
    { "Outlook on a phone",
      "<body><div>Fine.</div><div id=\"ms-outlook-mobile-body-separator-line\">"
      "</div><div id=\"ms-outlook-mobile-signature\">Get Outlook</div><div>x"
      "</div></body>", "<body><div>Fine.</div></body>" },
    { "Proton",
      "<div>Fine.</div><div class=\"protonmail_quote\">On Monday, Ann wrote:"
      "<blockquote class=\"protonmail_quote\" type=\"cite\">x</blockquote></div>",
      "<div>Fine.</div>" },
    { "Zoho",
      "<div>Fine.</div><div class=\"zmail_extra\"><blockquote>x</blockquote>"
      "</div>", "<div>Fine.</div>" },
    { "GMX", "<div>Gut.</div><div name=\"quote\">Von: Ann<div>x</div></div>",
      "<div>Gut.</div>" },
    { "163", "<div>好。</div><div id=\"isReplyContent\">写道：x</div>",
      "<div>好。</div>" },
    { "QQ",
      "<div>好。</div><div id=\"original-content\"><div>------------------ "
      "原始邮件 ------------------</div>x</div>",
      "<div>好。</div>" },
    { "original message",
      "<body><p>Yes.</p><p>-----Original Message-----</p><p>From: Ann</p>"
      "</body>", "<body><p>Yes.</p></body>" },
    { "attribution and a plain blockquote",
      "<p>Fine.</p><p>" ATTR "</p><blockquote><p>x</p></blockquote><p>Bye</p>",
      "<p>Fine.</p><p>Bye</p>" },
    { "Russian, without a verb",
      "<div>Да.</div><div>пн, 6 янв. 2020 г. в 10:21, Ann &lt;a@x.test&gt;:"
      "</div><blockquote>x</blockquote>", "<div>Да.</div>" },
    { "a blockquote of one's own",
      "<p>As Goethe says:</p><blockquote>Mehr Licht</blockquote>", NULL },
    { "end tags left out",
      "<p>Fine.<div class=gmail_quote>" ATTR "<blockquote>x",
      "<p>Fine." },
    { "tables around it",
      "<table><tr><td>Fine.<div class=\"gmail_quote\">x</div></td></tr></table>",
      "<table><tr><td>Fine.</td></tr></table>" },
    { "comments and styles stay",
      "<!-- a --><style>.gmail_quote{color:red}</style><p>Fine.</p>"
      "<div class='gmail_quote'>x</div><!-- b -->",
      "<!-- a --><style>.gmail_quote{color:red}</style><p>Fine.</p><!-- b -->" },
    { "case of tags",
      "<DIV>Fine.</DIV><BLOCKQUOTE TYPE=CITE>x</BLOCKQUOTE>",
      "<DIV>Fine.</DIV>" },
};

static void of_clients(void **state)
{
    int missed = 0;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        const char *got = mg_reply_strip_html(cases[i].html, pool);
        const char *want = cases[i].want ? cases[i].want : cases[i].html;

        if (!strcmp(got, want))
            continue;
        missed++;
        print_message("%s:\n%s\ninstead of\n%s\n", cases[i].title, got, want);
    }
    print_message("%d of %d\n", (int)COUNT(cases) - missed, (int)COUNT(cases));
    assert_true(missed * 20 <= (int)COUNT(cases));
}

static void hostile(void **state)
{
    static const char *const pieces[] = {
        "<div>", "<blockquote>", "<blockquote type=cite>", "<b>", "<table><td>",
        "<p>On x@y.zz wrote:<blockquote>", "<div class=gmail_quote></div>",
        "<div style='border:none;border-top:solid'>From: a@b.cc</div>", "<hr>",
        "x ", "\xff", "<", "<a b=c", "</div>",
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(pieces); i++) {
        apr_size_t len = strlen(pieces[i]), n = 200000 / len, k;
        char *html = apr_palloc(pool, n * len + 1);
        apr_time_t start = mg_thread_ticks();

        for (k = 0; k < n; k++)
            memcpy(html + k * len, pieces[i], len);
        html[n * len] = '\0';
        assert_non_null(mg_reply_strip_html(html, pool));
        if (mg_thread_ticks() - start > apr_time_from_sec(4))
            fail_msg("'%s' takes too long", pieces[i]);
    }
}

UNIT_MAIN(cmocka_unit_test(of_clients), cmocka_unit_test(hostile))
