/* test_render.c - templates and their copies (mg_render.h).
 *
 * Each case is a message, a recipient with values, and what the copy must say:
 * decoded, as our own reader (GMime) gives it, and raw.
 */
#include "unit_pool.h"
#include "mg_mime.h"
#include "mg_render.h"
#include "mg_status.h"

#define H "From: me@d.test\r\nMIME-Version: 1.0\r\n"
#define UE "\xc3\xbc"
#define EURO "\xe2\x82\xac"
#define PARTY "\xf0\x9f\x8e\x89"
#define W50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx "
#define W500 W50 W50 W50 W50 W50 W50 W50 W50 W50 W50

/* what a case is about: which decoded thing, what it must be */
typedef struct {
    const char *title;
    const char *content;
    const char *to;          /* as given; NULL: Bob Lee <bob@x.test> */
    const char *variables;   /* JSON */
    const char *field;       /* a header field, "text" or "html" */
    const char *want;        /* NULL: the message is no template */
    const char *raw;         /* must be in the octets; or NULL */
    const char *not_raw;     /* must not be; or NULL */
} case_t;

#define TEXT H "Content-Type: text/plain; charset=utf-8\r\n\r\n"
#define HTML H "Content-Type: text/html; charset=utf-8\r\n\r\n"
#define QP "Content-Transfer-Encoding: quoted-printable\r\n"
#define B64 "Content-Transfer-Encoding: base64\r\n"

static const case_t cases[] = {
    /* the variables */
    { "no variable", TEXT "Hi Bob, 100% sure\r\n", NULL, NULL, "text", NULL,
      NULL, NULL },
    { "other percent signs", TEXT "%recip% %recipient_x% %recipient.%"
      " %recipient. a% %%recipient\r\n", NULL, NULL, "text", NULL, NULL, NULL },
    { "recipient", TEXT "to %recipient%.\r\n", NULL, NULL, "text",
      "to Bob Lee <bob@x.test>.\r\n", NULL, NULL },
    { "recipient without a name", TEXT "to %recipient%.\r\n", "bob@x.test",
      NULL, "text", "to bob@x.test.\r\n", NULL, NULL },
    { "its parts", TEXT "%recipient_name%|%recipient_email%|%recipient_fname%|"
      "%recipient_lname%\r\n", "\"Ludwig van Beethoven\" <bob@x.test>", NULL,
      "text", "Ludwig van Beethoven|bob@x.test|Ludwig|van Beethoven\r\n", NULL,
      NULL },
    { "no name has no parts", TEXT "<%recipient_name%%recipient_fname%"
      "%recipient_lname%>\r\n", "bob@x.test", NULL, "text", "<>\r\n", NULL,
      NULL },
    { "keys of all kinds", TEXT "%recipient.s% %recipient.i% %recipient.r% "
      "%recipient.b% [%recipient.n%] %recipient.o% %recipient.o.k%\r\n", NULL,
      "{\"s\":\"str\",\"i\":7,\"r\":9.9900000000000002,\"b\":true,\"n\":null,"
      "\"o\":{\"k\":\"v\"}}", "text",
      "str 7 9.99 true [] {\"k\":\"v\"} v\r\n", NULL, NULL },
    { "a dot may be part of a key", TEXT "%recipient.a.b%\r\n", NULL,
      "{\"a.b\":\"whole\",\"a\":{\"b\":\"within\"}}", "text", "whole\r\n",
      NULL, NULL },
    { "keys with blanks and letters", TEXT "%recipient.first name% "
      "%recipient.stra" UE "e%\r\n", NULL,
      "{\"first name\":\"Bob\",\"stra" UE "e\":\"X\"}", "text", "Bob X\r\n",
      NULL, NULL },
    { "unknown keys stay", TEXT "%recipient.x% %recipient_name%\r\n", NULL,
      "{\"y\":1}", "text", "%recipient.x% Bob Lee\r\n", NULL, NULL },
    { "no values at all", TEXT "%recipient.x%\r\n", NULL, NULL, "text",
      "%recipient.x%\r\n", NULL, NULL },
    { "a key that ends nowhere", TEXT "100%recipient.bob %recipient_name%\r\n",
      NULL, NULL, "text", "100%recipient.bob Bob Lee\r\n", NULL, NULL },
    { "values are not looked through", TEXT "%recipient.a%\r\n", NULL,
      "{\"a\":\"%recipient.b% %recipient_name%\",\"b\":\"no\"}", "text",
      "%recipient.b% %recipient_name%\r\n", NULL, NULL },
    { "links stay where none can be made", TEXT "%unsubscribe_url%\r\n%tag_unsubscribe_url%\r\n"
      "%mailing_list_unsubscribe_url%\r\n%unsubscribe_email%\r\n", NULL, NULL,
      "text", "%unsubscribe_url%\r\n%tag_unsubscribe_url%\r\n"
      "%mailing_list_unsubscribe_url%\r\n%unsubscribe_email%\r\n", NULL,
      NULL },

    /* html */
    { "html is escaped", HTML "<p>%recipient.x%</p>\r\n", NULL,
      "{\"x\":\"<script>alert('a&b\\\"')</script>\"}", "html",
      "<p>&lt;script&gt;alert(&#39;a&amp;b&quot;&#39;)&lt;/script&gt;</p>\r\n",
      NULL, "<script" },
    { "the full spec in html", HTML "%recipient%\r\n", NULL, NULL, "html",
      "Bob Lee &lt;bob@x.test&gt;\r\n", NULL, NULL },
    { "text is not escaped", TEXT "%recipient.x%\r\n", NULL,
      "{\"x\":\"<b>&\\\"'\"}", "text", "<b>&\"'\r\n", NULL, NULL },
    { "lines of a value", TEXT "a %recipient.x%\r\n", NULL,
      "{\"x\":\"1\\n2\\r\\n3\"}", "text", "a 1\r\n2\r\n3\r\n", NULL, NULL },

    /* encodings and charsets */
    { "ASCII stays 7bit", TEXT "Hi %recipient_name%\r\n", NULL, NULL, "text",
      "Hi Bob Lee\r\n", "\r\n\r\nHi Bob Lee\r\n", "quoted-printable" },
    { "what is not ASCII is encoded", TEXT "Hi %recipient_name%\r\n",
      "J" UE "rgen <bob@x.test>", NULL, "text", "Hi J" UE "rgen\r\n",
      "Content-Transfer-Encoding: quoted-printable", NULL },
    { "no Content-Type", H "\r\nHi %recipient_name%\r\n",
      "J" UE "rgen <bob@x.test>", NULL, "text", "Hi J" UE "rgen\r\n",
      "Content-Type: text/plain; charset=utf-8\r\n", NULL },
    { "us-ascii", H "Content-Type: text/plain; charset=us-ascii; "
      "format=flowed\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
      "Hi %recipient_name%\r\n", PARTY " <bob@x.test>", NULL, "text",
      "Hi " PARTY "\r\n", "format=flowed", "us-ascii" },
    { "quoted-printable", H "Content-Type: text/plain; charset=utf-8\r\n" QP
      "\r\nGr=C3=BC=C3=9Fe, %recipient_name%=21\r\n", NULL, NULL, "text",
      "Gr" UE "\xc3\x9f" "e, Bob Lee!\r\n", "Gr=C3=BC=C3=9Fe", NULL },
    { "over a soft line break", H "Content-Type: text/plain\r\n" QP
      "\r\nHi %recip=\r\nient_na=\r\nme%\r\n", NULL, NULL, "text",
      "Hi Bob Lee\r\n", NULL, NULL },
    { "hidden as =25", H "Content-Type: text/plain\r\n" QP
      "\r\nHi =25recipient=5Fname=25\r\n", NULL, NULL, "text",
      "Hi Bob Lee\r\n", NULL, NULL },
    { "base64", H "Content-Type: text/plain; charset=utf-8\r\n" B64
      "\r\nSGkgJXJlY2lwaWVudF9uYW1lJQo=\r\n", "J" UE "rgen <bob@x.test>", NULL,
      "text", "Hi J" UE "rgen\r\n", "Content-Transfer-Encoding: base64",
      NULL },
    { "ISO-8859-1 holds it", H "Content-Type: text/plain; "
      "charset=iso-8859-1\r\n" QP "\r\nGr=FC=DFe, %recipient_name%\r\n",
      "J" UE "rgen <bob@x.test>", NULL, "text",
      "Gr" UE "\xc3\x9f" "e, J" UE "rgen\r\n", "J=FCrgen", "utf-8" },
    { "ISO-8859-1 does not", H "Content-Type: text/plain; "
      "charset=iso-8859-1\r\n" QP "\r\nGr=FC=DFe, %recipient.x%\r\n", NULL,
      "{\"x\":\"" PARTY "\"}", "text",
      "Gr" UE "\xc3\x9f" "e, " PARTY "\r\n", "charset=utf-8",
      "iso-8859-1" },
    { "8bit ISO-8859-1", H "Content-Type: text/plain; charset=iso-8859-1\r\n"
      "Content-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdf" "e, "
      "%recipient_name%\r\n", NULL, NULL, "text", "Gr" UE "\xc3\x9f"
      "e, Bob Lee\r\n", "Gr=FC=DFe", "8bit" },
    { "ISO-2022-JP holds it", H "Content-Type: text/plain; "
      "charset=iso-2022-jp\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
      "\x1b$BF|K\\8l\x1b(B %recipient_name%\r\n",
      "\xe6\x97\xa5 <bob@x.test>", NULL, "text",
      "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xe6\x97\xa5\r\n",
      "\x1b$BF|\x1b(B\r\n", "utf-8" },
    { "ISO-2022-JP does not", H "Content-Type: text/plain; "
      "charset=iso-2022-jp\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
      "\x1b$BF|K\\8l\x1b(B %recipient_name%\r\n",
      "J" UE "rgen <bob@x.test>", NULL, "text",
      "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e J" UE "rgen\r\n",
      "charset=utf-8", "iso-2022" },
    { "UTF-16", H "Content-Type: text/plain; charset=utf-16le\r\n" B64
      "\r\nSABpACAAJQByAGUAYwBpAHAAaQBlAG4AdABfAG4AYQBtAGUAJQANAAoA\r\n", NULL,
      NULL, "text", "Hi Bob Lee\r\n", "charset=utf-8", "utf-16" },
    { "a line of 2,000", TEXT "%recipient.x%\r\n", NULL,
      "{\"x\":\"" W500 W500 W500 W500 "\"}", "text",
      W500 W500 W500 W500 "\r\n", "quoted-printable", NULL },

    /* header fields */
    { "subject", H "Subject: Hi %recipient_name%\r\n\r\nx\r\n", NULL, NULL,
      "Subject", "Hi Bob Lee", "Subject: Hi Bob Lee\r\n", NULL },
    { "subject not ASCII", H "Subject: Hi %recipient_name%\r\n\r\nx\r\n",
      "J" UE "rgen " PARTY " <bob@x.test>", NULL, "Subject",
      "Hi J" UE "rgen " PARTY, "Subject: Hi =?UTF-8?", NULL },
    { "in an encoded word", H "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_"
      "=25recipient=5Fname=25?=\r\n\r\nx\r\n", NULL, NULL, "Subject",
      "Gr" UE "\xc3\x9f" "e Bob Lee", NULL, NULL },
    { "in base64 words", H "Subject: =?utf-8?b?JXJlY2lwaWVudC54?= "
      "=?utf-8?b?JSE=?=\r\n\r\nx\r\n", NULL, "{\"x\":\"y\"}", "Subject", "y!",
      NULL, NULL },
    { "a value cannot add a field", H "Subject: Hi %recipient.x%\r\n\r\nx\r\n",
      NULL, "{\"x\":\"a\\r\\nBcc: eve@evil.test\\r\\n\\r\\nbody\\u0007\"}",
      "Subject", "Hi a  Bcc: eve@evil.test    body", NULL, "\nBcc" },
    { "nor a decoded word", H "X-A: =?utf-8?q?a=0D=0ABcc:_e@x=25recipient.x=25"
      "?=\r\n\r\nx\r\n", NULL, "{\"x\":\"y\"}", "X-A", "a  Bcc: e@xy", NULL,
      "\nBcc" },
    { "any field", H "List-Unsubscribe: <mailto:%unsubscribe_email%>,\r\n"
      " <%unsubscribe_url%>\r\n\r\nx\r\n", NULL, NULL, "List-Unsubscribe",
      "<mailto:%unsubscribe_email%>, <%unsubscribe_url%>", NULL, NULL },
    { "fields of the body are left alone", H "Content-Type: text/plain; "
      "name=\"%recipient_name%\"\r\nContent-Description: %recipient%\r\n"
      "Message-Id: <%recipient_email%>\r\n\r\nx\r\n", NULL, NULL, "text", NULL,
      NULL, NULL },
    { "to", H "To: %recipient%\r\n\r\nx\r\n", NULL, NULL, "To",
      "Bob Lee <bob@x.test>", "To: Bob Lee <bob@x.test>\r\n", NULL },
    { "to, without a name", H "To: %recipient%\r\n\r\nx\r\n", "bob@x.test",
      NULL, "To", "bob@x.test", NULL, NULL },
    { "to, a name to be quoted", H "To: %recipient%\r\n\r\nx\r\n",
      "\"Lee, \\\"Bob\\\" <x>\" <bob@x.test>", NULL, "To",
      "\"Lee, \\\"Bob\\\" <x>\" <bob@x.test>", NULL, NULL },
    { "to, a name to be encoded", H "To: %recipient%\r\n\r\nx\r\n",
      "J" UE "rgen " PARTY " <bob@x.test>", NULL, "To",
      "J" UE "rgen " PARTY " <bob@x.test>", "=?UTF-8?", NULL },
    { "to, in an encoded word", H "To: =?utf-8?q?=25recipient=25?=\r\n\r\nx"
      "\r\n", NULL, NULL, "To", "Bob Lee <bob@x.test>", NULL, NULL },
    { "to, from its parts", H "To: \"%recipient_name%\" <%recipient_email%>"
      "\r\n\r\nx\r\n", "\"Lee, Bob\" <bob@x.test>", NULL, "To",
      "\"Lee, Bob\" <bob@x.test>", NULL, NULL },
    { "to, from its bare parts", H "To: %recipient_name% <%recipient_email%>, "
      "Al <al@x.test>\r\n\r\nx\r\n", "\"Lee, Bob\" <bob@x.test>", NULL, "To",
      "\"Lee, Bob\" <bob@x.test>, Al <al@x.test>", NULL, NULL },
    { "a name cannot add an address", H "To: %recipient.n% <%recipient_email%>"
      "\r\n\r\nx\r\n", NULL,
      "{\"n\":\"a <a@b.test>, \\\"eve\\r\\nBcc: x@y.test\\\"\"}", "To",
      "\"a <a@b.test>, \\\"eve  Bcc: x@y.test\\\"\" <bob@x.test>", NULL,
      "\nBcc" },
    { "an address cannot either", H "Reply-To: r+%recipient.id%@d.test\r\n\r\n"
      "x\r\n", NULL, "{\"id\":\"1>, <eve@evil.test\\r\\nX: y\"}", "Reply-To",
      "\"r+1____eve@evil.test__X__y\"@d.test", NULL, "\nX:" },
    { "nor does a comment become one", H "Reply-To: me@d.test "
      "(%recipient.n%)\r\n\r\nx\r\n", NULL, "{\"n\":\"@evil.test\"}",
      "Reply-To", "\"@evil.test\" <me@d.test>", NULL, NULL },
    { "nor one within brackets", H "Reply-To: Bob <me@d.test(\\)"
      "%recipient.n%)>\r\n\r\nx\r\n", NULL, "{\"n\":\"@evil.test\"}",
      "Reply-To", "Bob <me@d.test>", NULL, NULL },
    { "nor do several", H "Reply-To: (a (b) %recipient.n%) \"(\"@d.test (c) "
      "(%recipient.n%)\r\n\r\nx\r\n", NULL, "{\"n\":\"@evil.test\"}",
      "Reply-To", "\"@evil.test\" <\"(\"@d.test>", NULL, NULL },
    { "an address has one domain", H "Reply-To: me@d.test%recipient.n%\r\n\r\n"
      "x\r\n", NULL, "{\"n\":\"@evil.test\"}", "Reply-To",
      "me@d.test_evil.test", NULL, "@evil" },
    { "an address of a value", H "Reply-To: \"Agent\" <%recipient.agent%>"
      "\r\n\r\nx\r\n", NULL, "{\"agent\":\"al@d.test\"}", "Reply-To",
      "Agent <al@d.test>", NULL, NULL },
    { "other fields stay as they are", H "X-Odd:   a\t b\r\n  folded\r\n"
      "Subject: %recipient_name%\r\n\r\nx\r\n", NULL, NULL, "Subject",
      "Bob Lee", "MIME-Version: 1.0\r\nX-Odd:   a\t b\r\n  folded\r\nSubject: "
      "Bob Lee\r\n\r\nx\r\n", NULL },
    { "X-Mailgun-Variables", H "X-Mailgun-Variables: {\"a\": "
      "\"%recipient.x%\", \"n\": [9.99, {\"b\": \"=%recipient_email%\"}]}\r\n\r\n"
      "x\r\n", NULL, "{\"x\":\"\\\"\\r\\n\\\\" UE "\"}",
      "X-Mailgun-Variables", "{\"a\": \"\\\"\\r\\n\\\\\\u00FC\", \"n\": "
      "[9.99, {\"b\": \"=bob@x.test\"}]}", NULL, NULL },
    { "variables that are no JSON", H "X-Mailgun-Variables: a "
      "%recipient_name%\r\n\r\nx\r\n", NULL, NULL, "X-Mailgun-Variables",
      "a Bob Lee", NULL, NULL },

    /* parts */
    { "alternative", H "Content-Type: multipart/alternative; boundary=b\r\n"
      "\r\npreamble\r\n--b\r\n\r\nHi %recipient_name%\r\n--b\r\n"
      "Content-Type: text/html\r\n\r\n<b>%recipient_name%</b>\r\n--b--\r\n"
      "epilogue\r\n", "A&B <bob@x.test>", NULL, "html",
      "<b>A&amp;B</b>",
      "\r\n\r\npreamble\r\n--b\r\n\r\nHi A&B\r\n--b\r\nContent-Type: text/html"
      "\r\n\r\n<b>A&amp;B</b>\r\n--b--\r\nepilogue\r\n", NULL },
    { "nested, and attachments stay", H "Content-Type: multipart/mixed; "
      "boundary=\"o o\"\r\n\r\n--o o\r\nContent-Type: multipart/related; "
      "boundary=i\r\n\r\n--i\r\nContent-Type: text/html; charset=iso-8859-1"
      "\r\n\r\n%recipient.x%\r\n\r\n--i--\r\n--o o\r\n"
      "Content-Disposition: attachment\r\n\r\n%recipient.x%\r\n--o o\r\n"
      "Content-Type: text/plain; name=a.txt\r\n\r\n%recipient.x%\r\n--o o\r\n"
      "Content-Type: message/rfc822\r\n\r\nTo: %recipient%\r\n\r\n"
      "%recipient.x%\r\n--o o--\r\n", NULL, "{\"x\":\"" EURO "\"}", "html",
      EURO "\r\n", "\r\n\r\n4oKsDQo=\r\n--i--\r\n--o o\r\n"
      "Content-Disposition: attachment\r\n\r\n%recipient.x%\r\n--o o\r\n"
      "Content-Type: text/plain; name=a.txt\r\n\r\n%recipient.x%\r\n--o o\r\n"
      "Content-Type: message/rfc822\r\n\r\nTo: %recipient%\r\n\r\n"
      "%recipient.x%\r\n--o o--\r\n", NULL },
    { "signed parts stay", H "Content-Type: multipart/signed; boundary=b\r\n"
      "\r\n--b\r\n\r\n%recipient%\r\n--b\r\nContent-Type: application/"
      "pgp-signature\r\n\r\nx\r\n--b--\r\n", NULL, NULL, "text", NULL, NULL,
      NULL },
    { "a text that says it is a boundary", H "Content-Type: multipart/mixed; "
      "boundary=b\r\n\r\n--b\r\n\r\n%recipient.x%\r\n--b--\r\n", NULL,
      "{\"x\":\"a\\n--b\\n\\nb\"}", "text", "a\r\n--b\r\n\r\nb",
      "Content-Transfer-Encoding: base64\r\n", NULL },
    { "no end", H "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
      "\r\n%recipient_name%\r\n", NULL, NULL, "text", "Bob Lee\r\n", NULL,
      NULL },
    { "an outer boundary ends all", H "Content-Type: multipart/mixed; "
      "boundary=o\r\n\r\n--o\r\nContent-Type: multipart/mixed; boundary=i\r\n"
      "\r\n--i\r\n\r\n%recipient_name%\r\n--o\r\n\r\nb\r\n--o--\r\n", NULL,
      NULL, "text", "Bob Lee\nb", NULL, NULL },
};

/* --- a copy --- */

static apr_status_t check(char **poptions, const char **perror, int flags,
                          const char *content, apr_size_t len)
{
    json_t *options = json_object();
    apr_status_t rv = mg_render_check(options, perror, flags, NULL, content, len,
                                      pool);

    *poptions = mg_json_compact(options, pool);
    json_decref(options);
    return rv;
}

/* The plan does not depend on the pieces that the content comes in. */
static void check_in_pieces(const char *options, int flags,
                            const char *content, apr_size_t len,
                            apr_size_t piece)
{
    mg_render_scan_t *scan = mg_render_scan_begin(flags, NULL, pool);
    json_t *json = json_object();
    const char *error;
    apr_size_t i;

    for (i = 0; i < len; i += piece)
        mg_render_scan_feed(scan, content + i,
                            len - i < piece ? len - i : piece);
    assert_int_equal(mg_render_scan_end(scan, json, &error), APR_SUCCESS);
    assert_string_equal(mg_json_compact(json, pool), options);
    json_decref(json);
}

static const char *copy_of(apr_size_t *plen, const char *options,
                           const char *content, apr_size_t len,
                           const char *to, const char *variables)
{
    mg_message_t message = { .id = 0x20, .domain_id = 10,
                             .options = options };
    mg_delivery_t delivery = { .id = 0x21, .recipient = "bob@x.test",
                               .recipient_as_given = to,
                               .variables = variables };
    mg_render_for_t who = { &message, &delivery, "d.test", NULL, NULL };
    const char *out;

    assert_int_equal(mg_render_whole(&out, plen, &who, content, len, pool),
                     APR_SUCCESS);
    return out;
}

static void lines_are_short(const char *title, const char *s)
{
    for (; *s; s += strcspn(s, "\n") + 1) {
        if (strcspn(s, "\n") > 999)
            fail_msg("%s: a line of %d", title, (int)strcspn(s, "\n"));
        if (!strchr(s, '\n'))
            break;
    }
}

static const char *value_in(const mg_parsed_t *parsed, const char *field)
{
    const mg_header_t *h;

    if (strcmp(field, "text") == 0)
        return parsed->body_plain;
    if (strcmp(field, "html") == 0)
        return parsed->body_html;
    h = mg_mime_header(parsed->headers, field);
    return h ? h->value : "(none)";
}

static void place_by_value(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        const case_t *c = &cases[i];
        apr_size_t len = strlen(c->content), out_len;
        const char *error, *out, *got;
        mg_parsed_t *parsed;
        char *options;

        if (check(&options, &error, 0, c->content, len) != APR_SUCCESS)
            fail_msg("%s: %s", c->title, error);
        check_in_pieces(options, 0, c->content, len, 1);
        check_in_pieces(options, 0, c->content, len, 7);
        if (c->want == NULL) {
            assert_string_equal(options, "{}");
            continue;
        }
        if (strcmp(options, "{}") == 0)
            fail_msg("%s: no template", c->title);
        out = copy_of(&out_len, options, c->content, len,
                      c->to ? c->to : "Bob Lee <bob@x.test>", c->variables);
        mg_mime_parse(&parsed, out, out_len, pool);
        got = value_in(parsed, c->field);
        if (strcmp(got, c->want) != 0)
            fail_msg("%s: got \"%s\", wanted \"%s\" in\n%s", c->title, got,
                     c->want, out);
        if (c->raw && !strstr(out, c->raw))
            fail_msg("%s: \"%s\" is not in\n%s", c->title, c->raw, out);
        if (c->not_raw && strstr(out, c->not_raw))
            fail_msg("%s: \"%s\" is in\n%s", c->title, c->not_raw, out);
        lines_are_short(c->title, out);
    }
}

/* --- the recipient alone in To --- */

static void own_to(void **state)
{
    static const char content[] =
        H "To: Bob <bob@x.test>,\r\n Al <al@x.test>\r\nSubject: hi\r\n"
        "To: again@x.test\r\n\r\nno variable\r\n";
    const char *error, *out;
    apr_size_t len = sizeof(content) - 1, out_len;
    char *options;

    (void)state;
    assert_int_equal(check(&options, &error, MG_RENDER_OWN_TO, content, len),
                     APR_SUCCESS);
    check_in_pieces(options, MG_RENDER_OWN_TO, content, len, 3);
    out = copy_of(&out_len, options, content, len, "Bob Lee <bob@x.test>",
                  NULL);
    assert_string_equal(out, H "To: Bob Lee <bob@x.test>\r\nSubject: hi\r\n"
                        "\r\nno variable\r\n");
    /* without one there, it is added */
    assert_int_equal(check(&options, &error, MG_RENDER_OWN_TO, H "\r\nx\r\n",
                           sizeof(H "\r\nx\r\n") - 1), APR_SUCCESS);
    out = copy_of(&out_len, options, H "\r\nx\r\n",
                  sizeof(H "\r\nx\r\n") - 1, "bob@x.test", NULL);
    assert_string_equal(out, H "To: bob@x.test\r\n\r\nx\r\n");
}

/* --- limits --- */

static char *repeat(const char *before, const char *what, int n,
                    const char *after)
{
    apr_size_t len = strlen(what), head = strlen(before);
    char *out = apr_palloc(pool, head + len * (apr_size_t)n + strlen(after)
                                     + 1), *o = out + head;

    memcpy(out, before, head);
    for (; n > 0; n--, o += len)
        memcpy(o, what, len);
    apr_cpystrn(o, after, strlen(after) + 1);
    return out;
}

static void refused(const char *content, const char *want)
{
    const char *error = NULL;
    char *options;

    assert_int_equal(check(&options, &error, 0, content, strlen(content)),
                     MG_EBADINPUT);
    assert_string_equal(error, want);
    assert_string_equal(options, "{}");
}

static void taken(const char *content, int is_template)
{
    const char *error = NULL;
    char *options;

    assert_int_equal(check(&options, &error, 0, content, strlen(content)),
                     APR_SUCCESS);
    assert_int_equal(strcmp(options, "{}") != 0, is_template);
}

static char *deep(int depth, const char *text)
{
    char *content = H;
    int i;

    for (i = 0; i < depth; i++)
        content = apr_psprintf(pool, "%sContent-Type: multipart/mixed; "
                               "boundary=b%d\r\n\r\n--b%d\r\n", content, i,
                               i);
    return apr_pstrcat(pool, content, "\r\n", text, NULL);
}

static void limits(void **state)
{
    (void)state;
    refused(repeat(TEXT, "%recipient%", 10001, "\r\n"),
            "too many variables: maximum is 10000");
    taken(repeat(TEXT, "%recipient%", 10000, "\r\n"), 1);
    refused(repeat(TEXT, W50 "\r\n", 12000, "%recipient%\r\n"),
            "a text that holds variables is larger than 512 kB");
    refused(repeat(TEXT "%recipient%\r\n", W50 "\r\n", 12000, ""),
            "a text that holds variables is larger than 512 kB");
    taken(repeat(TEXT, W50 "\r\n", 12000, ""), 0);
    refused(repeat(H "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
                   "--b\r\n\r\n%recipient%\r\n", 65, "--b--\r\n"),
            "too many parts hold variables: maximum is 64");
    taken(repeat(H "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
                 "--b\r\n\r\n%recipient%\r\n", 64, "--b--\r\n"), 1);
    refused(apr_pstrcat(pool, "Subject: %recipient%\r\n", deep(33, "x"),
                        NULL), "parts are nested deeper than 32");
    taken(deep(33, "%recipient%\r\n"), 0);
    taken(deep(32, "%recipient%\r\n"), 1);
    /* parts beyond the thousandth are not looked at */
    taken(repeat(H "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
                 "--b\r\n\r\nx\r\n", 1001,
                 "--b\r\n\r\n%recipient%\r\n--b--\r\n"), 0);
}

/* A MB of value in each of sixty parts: no copy of that is made. */
static void large_values(void **state)
{
    char *content = repeat(H "Content-Type: multipart/mixed; boundary=b\r\n"
                           "\r\n", "--b\r\n\r\n%recipient.x%\r\n", 60,
                           "--b--\r\n");
    mg_message_t message = { 0 };
    mg_delivery_t delivery = { 0 };
    mg_render_for_t who = { &message, &delivery, "d.test", NULL, NULL };
    apr_size_t len = strlen(content), out_len;
    const char *error, *out;
    char *options;

    (void)state;
    assert_int_equal(check(&options, &error, 0, content, len), APR_SUCCESS);
    message.options = options;
    delivery.recipient = delivery.recipient_as_given = "bob@x.test";
    delivery.variables = repeat("{\"x\":\"", W50, 20000, "\"}");
    assert_int_equal(mg_render_whole(&out, &out_len, &who, content, len, pool),
                     MG_ELIMIT);
    delivery.variables = repeat("{\"x\":\"", W50, 1000, "\"}");
    assert_int_equal(mg_render_whole(&out, &out_len, &who, content, len, pool),
                     APR_SUCCESS);
    assert_true(out_len > 60 * 1000 * 50);
}

static void thousand_keys(void **state)
{
    const char *error, *out, *values = "{\"k0\":0";
    char *content = TEXT, *want = "", *options;
    apr_size_t len;
    int i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        values = apr_psprintf(pool, "%s,\"k%d\":\"v%d\"", values, i, i);
        content = apr_psprintf(pool, "%s%%recipient.k%d%%\r\n", content, i);
        want = apr_psprintf(pool, "%sv%d\r\n", want, i);
    }
    values = apr_pstrcat(pool, values, "}", NULL);
    assert_int_equal(check(&options, &error, 0, content, strlen(content)),
                     APR_SUCCESS);
    out = copy_of(&len, options, content, strlen(content), "bob@x.test",
                  values);
    assert_string_equal(out + strlen(TEXT), want);
}

/* --- what a copy is told apart by --- */

static void variables_of_events(void **state)
{
    mg_message_t message = { .variables = "{\"a\":\"<%recipient.x%>\"}" };
    mg_delivery_t delivery = { .recipient = "bob@x.test",
                               .recipient_as_given = "bob@x.test",
                               .variables = "{\"x\":\"\\\"1\\\"\"}" };
    mg_render_for_t who = { &message, &delivery, "d.test", NULL, NULL };

    (void)state;
    assert_string_equal(mg_render_variables(&who, pool),
                        "{\"a\":\"<\\\"1\\\">\"}");
    message.variables = "{\"a\": 1}";
    assert_string_equal(mg_render_variables(&who, pool), "{\"a\": 1}");
    message.variables = NULL;
    assert_null(mg_render_variables(&who, pool));
}

/* Only the content's beginning is at hand. */
static void fields_of_events(void **state)
{
    static const char content[] = H "Subject: for %recipient_name%\r\n"
                                  "To: all\r\n\r\n%recipient%";
    mg_message_t message = { .id = 1 };
    mg_delivery_t delivery = { .recipient = "bob@x.test",
                               .recipient_as_given = "Bob <bob@x.test>" };
    mg_render_for_t who = { &message, &delivery, "d.test", NULL, NULL };
    apr_size_t len = sizeof(content) - 1;
    const char *error, *head = content;
    char *options;

    (void)state;
    assert_int_equal(check(&options, &error, MG_RENDER_OWN_TO, content, len),
                     APR_SUCCESS);
    message.options = options;
    mg_render_head(&head, &len, &who, content, len, pool);
    assert_string_equal(head, H "Subject: for Bob\r\nTo: Bob <bob@x.test>"
                        "\r\n\r\n");
    len = 20; /* the header block is not all there: as it stands */
    mg_render_head(&head, &len, &who, content, len, pool);
    assert_true(head == content && len == 20);
    message.options = NULL;
    mg_render_head(&head, &len, &who, content, len, pool);
    assert_true(head == content && len == 20);
    assert_string_equal(mg_render_line("to %recipient_name%\n", &who, pool),
                        "to Bob\n");
    assert_string_equal(mg_render_line("100% sure", &who, pool), "100% sure");
}

static void damaged_plans(void **state)
{
    static const char *const plans[] = {
        "[]", "[1]", "[[0]]", "[[0,-1,0]]", "[[1,87,0]]", "[[0,1000,0]]",
        "[[0,4,0]]", "[[0,87,0],[0,5,5]]", "[[0,9223372036854775807,0]]",
        "[[\"0\",87,0]]", "[[0,87,9223372036854775807]]",
    };
    mg_message_t message = { .id = 1 };
    mg_delivery_t delivery = { .recipient = "b@x.test" };
    mg_render_for_t who = { &message, &delivery, "d.test", NULL, NULL };
    const char *out;
    apr_size_t len, i;

    (void)state;
    for (i = 0; i < COUNT(plans); i++) {
        message.options = apr_pstrcat(pool, "{\"template\":", plans[i], "}",
                                      NULL);
        if (mg_render_whole(&out, &len, &who, TEXT "x\r\n",
                            sizeof(TEXT "x\r\n") - 1, pool) != MG_EBADINPUT)
            fail_msg("%s", plans[i]);
    }
}

/* Two recipients differ in Sid; those who share a copy are not in it. */
static void header_lines(void **state)
{
    mg_message_t message = { .id = 0x123456, .domain_id = 0xabc };
    mg_delivery_t delivery = { .recipient = "bob@x.test" };
    mg_render_for_t who = { &message, &delivery, "d.test", NULL, NULL };

    (void)state;
    assert_string_equal(mg_render_top(&who, pool), "X-Mailgun-Sid: "
                        "WyIyMzQ1NiIsImJvYkB4LnRlc3QiLCJhYmMiXQ==\r\n");
    who.delivery = NULL;
    assert_string_equal(mg_render_top(&who, pool), "X-Mailgun-Sid: "
                        "WyIyMzQ1NiIsIjEyMzQ1NiIsImFiYyJd\r\n");
}

UNIT_MAIN(cmocka_unit_test(place_by_value), cmocka_unit_test(own_to),
          cmocka_unit_test(limits), cmocka_unit_test(large_values),
          cmocka_unit_test(thousand_keys),
          cmocka_unit_test(variables_of_events),
          cmocka_unit_test(fields_of_events),
          cmocka_unit_test(damaged_plans), cmocka_unit_test(header_lines))
