/* test_mime_compose.c - messages built from API parameters (mg_mime.h).
 *
 * Each sample is read back by our own parser. Where MG_EML_DIR is set, it is
 * written there too, with what it should say as JSON: tests/checks/mime_python
 * reads both with Python's parser.
 */
#include "unit_pool.h"
#include <apr_base64.h>
#include <apr_file_io.h>
#include <apr_thread_proc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "mg_json.h"
#include "mg_mime.h"
#include "mg_status.h"

#define JA "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"
#define PARTY "\xf0\x9f\x8e\x89"
#define UE "\xc3\xbc"
#define W50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define W500 W50 W50 W50 W50 W50 W50 W50 W50 W50 W50

typedef struct {
    const char *filename, *content_type, *bytes;
    int len, is_inline;
    const char *want_type;
} file_t;

typedef struct {
    const char *name, *from, *to, *cc, *subject, *text, *html;
    const char *header_name, *header_value, *variables;
    const char *structure;       /* content types in the order of a walk */
    file_t files[3];
} sample_t;

static const sample_t samples[] = {
    { "plain", "me@d.test", "bob@x.com", NULL, "Hello",
      "Testing some Mailgun awesomeness!\n", NULL, NULL, NULL, NULL,
      "text/plain", { { 0 } } },
    { "no-subject", "me@d.test", "bob@x.com", NULL, NULL, "x", NULL, NULL,
      NULL, NULL, "text/plain", { { 0 } } },
    { "empty-text", "me@d.test", "bob@x.com", NULL, "", "", NULL, NULL, NULL,
      NULL, "text/plain", { { 0 } } },
    { "html", "Excited User <me@d.test>", "bob@x.com", NULL, "Hello", NULL,
      "<html>HTML version</html>", NULL, NULL, NULL, "text/html", { { 0 } } },
    { "both", "Excited User <me@d.test>", "bob@x.com, Al <al@y.com>",
      "baz@z.com", "Hello", "text\n", "<b>html</b>\n", NULL, NULL, NULL,
      "multipart/alternative text/plain text/html", { { 0 } } },
    { "emoji", "J" UE "rgen <me@d.test>", JA " <bob@x.com>", NULL,
      "Hi " PARTY " party", "gr" UE "n ist die Hoffnung, sagt man so\n", NULL,
      NULL, NULL, NULL, "text/plain", { { 0 } } },
    { "long-subject", "me@d.test", "bob@x.com", NULL,
      "A subject of many words that goes on and on, " JA JA JA JA " in the "
      "middle, " PARTY PARTY " and then again plain words up to the end of it",
      "x", NULL, NULL, NULL, NULL, "text/plain", { { 0 } } },
    { "plain-long-subject", "me@d.test", "bob@x.com", NULL,
      "A subject of many  words that goes on and on and has to be folded "
      "somewhere, best where a blank is, so that it reads the same", "x",
      NULL, NULL, NULL, NULL, "text/plain", { { 0 } } },
    { "one-long-word", "me@d.test", "bob@x.com", NULL, W500 W500 W50, "x",
      NULL, NULL, NULL, NULL, "text/plain", { { 0 } } },
    { "looks-encoded", "me@d.test", "bob@x.com", NULL, "=?utf-8?q?x?= is not",
      "x", NULL, NULL, NULL, NULL, "text/plain", { { 0 } } },
    { "cjk", "me@d.test", "bob@x.com", NULL, JA, JA JA JA JA "\n" JA "\n",
      NULL, NULL, NULL, NULL, "text/plain", { { 0 } } },
    { "long-line", "me@d.test", "bob@x.com", NULL, "x",
      W500 W500 " end\nFrom here\n.\n..\ntrailing \n", NULL, NULL, NULL, NULL,
      "text/plain", { { 0 } } },
    { "cr-lf", "me@d.test", "bob@x.com", NULL, "x", "a\r\nb\rc\nd", NULL,
      NULL, NULL, NULL, "text/plain", { { 0 } } },
    { "cr-in-html", "me@d.test", "bob@x.com", NULL, "x", NULL,
      "<p>a\rb</p>\r\n<p>c</p>\r", NULL, NULL, NULL, "text/html", { { 0 } } },
    { "names", "\"O'Hara, B. \\\"x\\\"\" <me@d.test>",
      "\"Doe, John\" <a@b.com>, Mr. X <x@y.com>, \"\" <z@y.com>", NULL, "x",
      "x", NULL, NULL, NULL, NULL, "text/plain", { { 0 } } },
    { "idn", "me@d.test", "bob@\xe6\x97\xa5\xe6\x9c\xac.jp", NULL, "x", "x",
      NULL, NULL, NULL, NULL, "text/plain", { { 0 } } },
    { "header", "me@d.test", "bob@x.com", NULL, "x", "x", NULL, "X-My",
      "some v" UE "lue", NULL, "text/plain", { { 0 } } },
    { "long-header", "me@d.test", "bob@x.com", NULL, "x", "x", NULL,
      "X-" W50 W50, W500 W50 W50 W50 W50 W50 W50 W50 "xxxxxxxxxxxxxxxxxxxxxxxxx"
      "xxxxxxxxxxxxxxxxxxxxxxxx", NULL, "text/plain", { { 0 } } },
    { "long-url", "me@d.test", "bob@x.com", NULL, "x", "x", NULL,
      "List-Unsubscribe", "<mailto:u+" W50 W50 "@d.test>, <https://d.test/" W50
      W50 W50 "/x>", NULL, "text/plain", { { 0 } } },
    { "long-spec", W50 "@" W50 "." W50 "." W50 ".test", "A Name That is Long "
      "Enough to Fold <" W50 "@" W50 "." W50 ".test>, " W50 "@" W50 "." W50
      ".test", NULL, "x", "x", NULL, NULL, NULL, NULL, "text/plain",
      { { 0 } } },
    { "long-name", JA JA JA JA JA JA JA JA JA JA JA JA " " JA " <me@d.test>",
      W50 W50 " " W50 " <bob@x.com>, \"" W50 " (" UE ") " W50 ", " W50
      "\" <al@y.com>, =?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?= <c@y.com>", NULL,
      "x", "x", NULL, NULL, NULL, NULL, "text/plain", { { 0 } } },
    { "wide-subject", "me@d.test", "bob@x.com", NULL, JA JA JA JA JA JA JA JA
      JA JA JA JA JA JA JA JA PARTY PARTY PARTY PARTY PARTY PARTY PARTY PARTY
      PARTY PARTY PARTY PARTY PARTY PARTY PARTY PARTY, "x", NULL, NULL, NULL,
      NULL, "text/plain", { { 0 } } },
    { "variables", "me@d.test", "bob@x.com", NULL, "x", "x", NULL, NULL, NULL,
      "{\"my-data\":{\"id\":1,\"name\":\"" JA PARTY "\"},\"a\":\"" W50 W50
      "\",\"b\":\"c, d: e\"}", "text/plain", { { 0 } } },
    { "attachment", "me@d.test", "bob@x.com", NULL, "x", "text\n", NULL, NULL,
      NULL, NULL, "multipart/mixed text/plain application/pdf",
      { { "a.pdf", NULL, "%PDF\0\x80\xff\r\n.\r\n", 12, 0,
          "application/pdf" } } },
    { "all", "me@d.test", "bob@x.com", NULL, "x", "text",
      "<img src=\"cid:i.png\">", NULL, NULL, NULL,
      "multipart/mixed multipart/alternative text/plain multipart/related "
      "text/html image/png application/octet-stream text/plain",
      { { "i.png", NULL, "\x89PNG", 4, 1, "image/png" },
        { JA "\xe3\x81\xae\xe3\x83\x95\xe3\x82\xa1\xe3\x82\xa4\xe3\x83\xab"
          ".bin", "application/octet-stream", "", 0, 0,
          "application/octet-stream" },
        { "notes; \"x\".txt", "text/plain; charset=koi8-r",
          "\xcd\xc9\xd2\n", 4, 0, "text/plain" } } },
    { "inline-html", "me@d.test", "bob@x.com", NULL, "x", NULL,
      "<img src=\"cid:my pic.png\">", NULL, NULL, NULL,
      "multipart/related text/html image/png",
      { { "my pic.png", "image/png", "PNG", 3, 1, "image/png" } } },
    { "inline-text", "me@d.test", "bob@x.com", NULL, "x", "text", NULL, NULL,
      NULL, NULL, "multipart/mixed text/plain image/gif",
      { { "a.gif", NULL, "GIF", 3, 1, "image/gif" } } },
    { "message-file", "me@d.test", "bob@x.com", NULL, "x", "text", NULL, NULL,
      NULL, NULL, "multipart/mixed text/plain application/octet-stream",
      { { "m.eml", "message/rfc822", "Subject: x\r\n\r\n\xff", 15, 0,
          "application/octet-stream" } } },
    { "bad-type", "me@d.test", "bob@x.com", NULL, "x", "text", NULL, NULL,
      NULL, NULL, "multipart/mixed text/plain application/octet-stream",
      { { "x", "a/b\r\nBcc: c@d.e", "x", 1, 0, "a/b" } } },
};

static apr_array_header_t *parse_list(const char *text)
{
    apr_array_header_t *list;

    if (text == NULL)
        return NULL;
    assert_int_equal(mg_address_parse_list(&list, text, pool), APR_SUCCESS);
    return list;
}

static void fill(mg_compose_t *c, const sample_t *s)
{
    apr_table_t *headers = apr_table_make(pool, 1);
    apr_array_header_t *parts = apr_array_make(pool, 3, sizeof(mg_part_t *));
    mg_address_t *from;
    int i;

    memset(c, 0, sizeof(*c));
    assert_int_equal(mg_address_parse(&from, s->from, pool), APR_SUCCESS);
    c->from = from;
    c->to = parse_list(s->to);
    c->cc = parse_list(s->cc);
    c->subject = s->subject;
    c->text = s->text;
    c->text_len = s->text ? strlen(s->text) : 0;
    c->html = s->html;
    c->html_len = s->html ? strlen(s->html) : 0;
    if (s->header_name)
        apr_table_add(headers, s->header_name, s->header_value);
    c->headers = headers;
    c->variables = s->variables;
    for (i = 0; i < 3 && s->files[i].filename; i++) {
        mg_part_t *part = apr_pcalloc(pool, sizeof(*part));

        part->filename = s->files[i].filename;
        part->content_type = s->files[i].content_type;
        part->bytes = s->files[i].bytes;
        part->len = (apr_size_t)s->files[i].len;
        part->is_inline = s->files[i].is_inline;
        APR_ARRAY_PUSH(parts, mg_part_t *) = part;
    }
    c->parts = parts;
    c->message_id = "20111114174239.25659.5817@d.test";
    c->date = apr_time_from_sec(1321292559);
}

/* CRLF only, ASCII only, lines of at most 998 octets. */
static void check_lines(const char *name, const char *s, apr_size_t len)
{
    apr_size_t i, line = 0;

    for (i = 0; i < len; i++) {
        if (s[i] == '\r' && i + 1 < len && s[i + 1] == '\n') {
            line = 0;
            i++;
            continue;
        }
        if (s[i] == '\r' || s[i] == '\n' || (unsigned char)s[i] >= 0x80
            || s[i] == 0 || ++line > 998)
            fail_msg("%s: octet %02x at %d, line %d", name,
                     (unsigned char)s[i], (int)i, (int)line);
    }
    assert_int_equal(line, 0);
}

static const char *text_lines(const char *text)
{
    apr_size_t len;
    char *out = mg_mime_crlf(text, strlen(text), &len, pool);

    return out;
}

static const char *header_of(const mg_parsed_t *m, const char *name)
{
    const mg_header_t *h = mg_mime_header(m->headers, name);

    return h ? h->value : NULL;
}

static void check_parsed(const sample_t *s, const mg_parsed_t *m)
{
    const char *want = s->text ? text_lines(s->text) : NULL;
    int i;

    if (s->subject)
        assert_string_equal(m->subject, s->subject);
    else
        assert_null(header_of(m, "Subject"));
    if (want && strncmp(m->body_plain, want, strlen(want)) != 0)
        fail_msg("%s: '%s' is not '%s'", s->name, m->body_plain, want);
    if (s->html)
        assert_true(strncmp(m->body_html, text_lines(s->html),
                            strlen(s->html)) == 0);
    for (i = 0; i < 3 && s->files[i].filename; i++) {
        const mg_attachment_t *a;

        assert_true(i < m->attachments->nelts);
        a = &APR_ARRAY_IDX(m->attachments, i, mg_attachment_t);
        assert_string_equal(a->filename, s->files[i].filename);
        assert_int_equal(a->len, s->files[i].len);
        assert_memory_equal(a->bytes, s->files[i].bytes, a->len);
    }
    assert_int_equal(m->attachments->nelts, i);
}

static void write_file(const char *name, const void *bytes, apr_size_t len)
{
    apr_file_t *file;
    const char *dir = getenv("MG_EML_DIR");

    assert_int_equal(apr_file_open(&file, apr_pstrcat(pool, dir, "/", name,
                                                      NULL),
                                   APR_FOPEN_WRITE | APR_FOPEN_CREATE
                                       | APR_FOPEN_TRUNCATE,
                                   APR_FPROT_OS_DEFAULT, pool), APR_SUCCESS);
    apr_file_write_full(file, bytes, len, NULL);
    apr_file_close(file);
}

static json_t *text_or_null(const char *s)
{
    return s ? json_string(s) : json_null();
}

/* What Python should find in it. */
static void write_sample(const sample_t *s, const mg_mime_out_t *out)
{
    json_t *want = json_object(), *files = json_array();
    char encoded[64];
    char *text;
    int i;

    json_object_set_new(want, "subject", text_or_null(s->subject));
    json_object_set_new(want, "from", text_or_null(s->from));
    json_object_set_new(want, "to", text_or_null(s->to));
    json_object_set_new(want, "text", text_or_null(s->text));
    json_object_set_new(want, "html", text_or_null(s->html));
    json_object_set_new(want, "header_name", text_or_null(s->header_name));
    json_object_set_new(want, "header_value", text_or_null(s->header_value));
    json_object_set_new(want, "variables", text_or_null(s->variables));
    json_object_set_new(want, "structure", text_or_null(s->structure));
    for (i = 0; i < 3 && s->files[i].filename; i++) {
        apr_base64_encode(encoded, s->files[i].bytes, s->files[i].len);
        json_array_append_new(
            files, json_pack("{ss ss sb}", "name", s->files[i].filename,
                             "bytes", encoded, "inline",
                             s->files[i].is_inline));
    }
    json_object_set_new(want, "files", files);
    text = json_dumps(want, 0);
    write_file(apr_pstrcat(pool, s->name, ".json", NULL), text, strlen(text));
    write_file(apr_pstrcat(pool, s->name, ".eml", NULL), out->bytes,
               (apr_size_t)out->size);
    free(text);
    json_decref(want);
}

static void check_sample(const sample_t *s)
{
    mg_mime_out_t out, again;
    const char *error;
    mg_compose_t c;
    mg_parsed_t *m;

    fill(&c, s);
    if (mg_mime_compose(&out, &c, NULL, 0, &error, pool) != APR_SUCCESS)
        fail_msg("%s: %s", s->name, error);
    check_lines(s->name, out.bytes, (apr_size_t)out.size);
    /* the same again, byte for byte (design 9) */
    mg_mime_compose(&again, &c, NULL, 0, &error, pool);
    assert_int_equal(out.size, again.size);
    assert_memory_equal(out.bytes, again.bytes, (size_t)out.size);
    mg_mime_parse(&m, out.bytes, (apr_size_t)out.size, pool);
    check_parsed(s, m);
    assert_string_equal(header_of(m, "Message-Id"),
                        "<20111114174239.25659.5817@d.test>");
    assert_string_equal(header_of(m, "Date"),
                        "Mon, 14 Nov 2011 17:42:39 +0000");
    if (getenv("MG_EML_DIR"))
        write_sample(s, &out);
}

static void test_samples(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(samples); i++)
        check_sample(&samples[i]);
}

/* 1000 of them, 45 kB: To is folded, every address is there. */
static void test_many_recipients(void **state)
{
    sample_t s = samples[0];
    apr_array_header_t *all = apr_array_make(pool, 1000, sizeof(char *));
    int i;

    (void)state;
    for (i = 0; i < 1000; i++)
        APR_ARRAY_PUSH(all, char *) = apr_psprintf(
            pool, i % 3 ? "Recipient Number %d <number%d@x%d.test>"
                        : JA " %d <number%d@x%d.test>", i, i, i);
    s.name = "many-recipients";
    s.to = apr_array_pstrcat(pool, all, ',');
    check_sample(&s);
}

/* A local part that is not ASCII has no other form (RFC 6532 3.2); the domain
 * beside it has. */
static void test_smtputf8(void **state)
{
    sample_t s = samples[0];
    mg_mime_out_t out;
    const char *error, *want;
    mg_compose_t c;

    (void)state;
    s.from = JA " <" JA "@" JA ".jp>";
    s.to = "b" UE "b@x.com";
    fill(&c, &s);
    assert_int_equal(mg_mime_compose(&out, &c, NULL, 0, &error, pool),
                     APR_SUCCESS);
    want = "From: =?UTF-8?b?5pel5pys6Kqe?= <" JA "@xn--wgv71a119e.jp>\r\n"
           "To: b" UE "b@x.com\r\n";
    assert_true(strncmp(out.bytes, want, strlen(want)) == 0);
}

static const struct {
    const char *name, *value, *error; /* error NULL: it is taken */
} headers[] = {
    { "X-My", "value", NULL },
    { "X-M" UE, "value", "Header name must be pure ASCII: X-M" UE },
    { "X My", "value", "Header name is not valid: X My" },
    { "X:My", "value", "Header name is not valid: X:My" },
    { "", "value", "Header name is not valid: " },
    { "X\r\nBcc", "value", "Header name is not valid: X\r\nBcc" },
    { "X-My", "a\r\nBcc: b@c.d",
      "Header value must not contain line breaks: X-My" },
    { "X-My", "a\rb", "Header value must not contain line breaks: X-My" },
    { "Content-Type", "text/evil", NULL },
};

static void test_headers(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(headers); i++) {
        apr_table_t *table = apr_table_make(pool, 1);
        const char *error = NULL;
        mg_mime_out_t out;
        mg_compose_t c;
        apr_status_t rv;

        fill(&c, &samples[0]);
        apr_table_add(table, headers[i].name, headers[i].value);
        c.headers = table;
        rv = mg_mime_compose(&out, &c, NULL, 0, &error, pool);
        if (headers[i].error == NULL) {
            assert_int_equal(rv, APR_SUCCESS);
            assert_null(strstr(apr_pstrmemdup(pool, out.bytes,
                                              (apr_size_t)out.size), "evil"));
            continue;
        }
        assert_int_equal(rv, MG_EBADINPUT);
        assert_string_equal(error, headers[i].error);
    }
}

/* h: replaces what is there, whatever its case; twice stays twice. */
static void test_replace(void **state)
{
    apr_table_t *table = apr_table_make(pool, 4);
    apr_array_header_t *list;
    mg_mime_out_t out;
    const char *error;
    mg_compose_t c;
    int i, my = 0, to = 0;

    (void)state;
    fill(&c, &samples[0]);
    apr_table_add(table, "to", "Other " UE " <other@x.com>");
    apr_table_add(table, "X-My", "1");
    apr_table_add(table, "X-My", "2");
    apr_table_add(table, "Bcc", "hidden@x.com");
    c.headers = table;
    c.sender = "me=x.com@d.test";
    c.received = "by host with HTTP; now";
    mg_mime_compose(&out, &c, NULL, 0, &error, pool);
    mg_mime_headers(&list, NULL, out.bytes, (apr_size_t)out.size, pool);
    for (i = 0; i < list->nelts; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(list, i, mg_header_t);

        my += strcmp(h->name, "X-My") == 0;
        to += strcasecmp(h->name, "To") == 0;
        assert_null(strstr(h->value, "hidden"));
    }
    assert_int_equal(my, 2);
    assert_int_equal(to, 1);
    assert_string_equal(mg_mime_header(list, "To")->value,
                        "Other " UE " <other@x.com>");
    assert_string_equal(mg_mime_header(list, "Sender")->value,
                        "me=x.com@d.test");
    assert_string_equal(APR_ARRAY_IDX(list, 0, mg_header_t).name, "Received");
}

/* A file's name brings no line of its own. */
static void test_filename_is_one_line(void **state)
{
    mg_part_t part = { .filename = "a\r\nBcc: x@y.com\r\n\r\n\x01\xff",
                       .bytes = "x", .len = 1, .is_inline = 1 };
    apr_array_header_t *parts = apr_array_make(pool, 1, sizeof(mg_part_t *));
    mg_mime_out_t out;
    const char *error;
    mg_compose_t c;
    mg_parsed_t *m;

    (void)state;
    fill(&c, &samples[0]);
    APR_ARRAY_PUSH(parts, mg_part_t *) = &part;
    c.parts = parts;
    assert_int_equal(mg_mime_compose(&out, &c, NULL, 0, &error, pool),
                     APR_SUCCESS);
    check_lines("file name", out.bytes, (apr_size_t)out.size);
    mg_mime_parse(&m, out.bytes, (apr_size_t)out.size, pool);
    assert_string_equal(
        APR_ARRAY_IDX(m->attachments, 0, mg_attachment_t).filename,
        "a__Bcc: x@y.com_____\xef\xbf\xbd");
}

/* There is one Sender, and it is in the domain that sends. */
static void test_sender(void **state)
{
    static const struct {
        const char *given, *want;
    } cases[] = { { NULL, "me=x.com@d.test" }, { "a@d.test", "a@d.test" },
                  { "a@x.com", "me=x.com@d.test" } };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        apr_table_t *table = apr_table_make(pool, 1);
        apr_array_header_t *list;
        mg_mime_out_t out;
        const char *error;
        mg_compose_t c;
        int k, n = 0;

        fill(&c, &samples[0]);
        if (cases[i].given)
            apr_table_add(table, "sender", cases[i].given);
        c.headers = table;
        c.sender = "me=x.com@d.test";
        mg_mime_compose(&out, &c, NULL, 0, &error, pool);
        mg_mime_headers(&list, NULL, out.bytes, (apr_size_t)out.size, pool);
        for (k = 0; k < list->nelts; k++)
            n += strcasecmp(APR_ARRAY_IDX(list, k, mg_header_t).name,
                            "Sender") == 0;
        assert_int_equal(n, 1);
        assert_string_equal(mg_mime_header(list, "Sender")->value,
                            cases[i].want);
    }
}

/* Over MG_MIME_IN_MEMORY it is a file; over the limit it is nothing. */
static void test_large(void **state)
{
    apr_size_t size = 1024 * 1024, n;
    char *bytes = apr_palloc(pool, size), *back;
    const char *path = apr_psprintf(pool, "/tmp/mg_compose.%d", (int)getpid());
    mg_part_t part = { .filename = "a.bin", .len = 1024 * 1024,
                       .offset = 3 };
    apr_array_header_t *parts = apr_array_make(pool, 1, sizeof(mg_part_t *));
    apr_file_t *file;
    mg_mime_out_t out;
    const char *error;
    mg_attachment_t *a;
    mg_compose_t c;
    mg_parsed_t *m;
    apr_size_t i;

    (void)state;
    for (i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_WRITE
                                   | APR_FOPEN_CREATE | APR_FOPEN_TRUNCATE,
                  APR_FPROT_OS_DEFAULT, pool);
    apr_file_puts("not", file);
    apr_file_write_full(file, bytes, size, NULL);
    fill(&c, &samples[0]);
    part.file = file;
    APR_ARRAY_PUSH(parts, mg_part_t *) = &part;
    c.parts = parts;
    assert_int_equal(mg_mime_compose(&out, &c, "/tmp", 26214400, &error,
                                     pool), APR_SUCCESS);
    assert_null(out.bytes);
    back = apr_palloc(pool, (apr_size_t)out.size);
    assert_int_equal(apr_file_read_full(out.file, back, (apr_size_t)out.size,
                                        &n), APR_SUCCESS);
    assert_int_equal(apr_file_read_full(out.file, bytes, 1, &n), APR_EOF);
    bytes[0] = 0;
    mg_mime_parse(&m, back, (apr_size_t)out.size, pool);
    a = &APR_ARRAY_IDX(m->attachments, 0, mg_attachment_t);
    assert_int_equal(a->len, size);
    assert_memory_equal(a->bytes, bytes, size);
    assert_int_equal(mg_mime_compose(&out, &c, "/tmp", 1000000, &error, pool),
                     MG_ELIMIT);
    part.offset = 4; /* then it is too short */
    assert_int_equal(mg_mime_compose(&out, &c, "/tmp", 26214400, &error, pool),
                     MG_EIO);
    apr_file_close(file);
    apr_file_remove(path, pool);
}

/* 24 MB: read, encoded and written in steps, never held. */
static void test_memory(void **state)
{
    mg_part_t part = { .filename = "big.bin", .len = 24 * 1024 * 1024 };
    const char *path = apr_psprintf(pool, "/tmp/mg_memory.%d", (int)getpid());
    apr_array_header_t *parts = apr_array_make(pool, 1, sizeof(mg_part_t *));
    struct rusage before, after;
    mg_mime_out_t out;
    const char *error;
    mg_compose_t c;

    (void)state;
    assert_int_equal(apr_file_open(&part.file, path,
                                   APR_FOPEN_READ | APR_FOPEN_WRITE
                                       | APR_FOPEN_CREATE | APR_FOPEN_TRUNCATE
                                       | APR_FOPEN_DELONCLOSE,
                                   APR_FPROT_OS_DEFAULT, pool), APR_SUCCESS);
    apr_file_trunc(part.file, part.len);
    fill(&c, &samples[0]);
    APR_ARRAY_PUSH(parts, mg_part_t *) = &part;
    c.parts = parts;
    part.len = 1024 * 1024; /* what the libraries take once */
    mg_mime_compose(&out, &c, "/tmp", 64 << 20, &error, pool);
    part.len = 24 * 1024 * 1024;
    getrusage(RUSAGE_SELF, &before);
    assert_int_equal(mg_mime_compose(&out, &c, "/tmp", 64 << 20, &error, pool),
                     APR_SUCCESS);
    getrusage(RUSAGE_SELF, &after);
    assert_true(out.size > 32 * 1024 * 1024);
    assert_true(after.ru_maxrss - before.ru_maxrss < 2048); /* kB */
    apr_file_close(part.file);
    apr_file_close(out.file);
}

static void *APR_THREAD_FUNC compose_many(apr_thread_t *thread, void *baton)
{
    int i;

    for (i = 0; i < 200; i++) {
        apr_array_header_t *to;
        mg_address_t *from;
        mg_compose_t c = { 0 };
        mg_mime_out_t out;
        const char *error;
        mg_parsed_t *m;
        apr_pool_t *p;

        apr_pool_create(&p, apr_thread_pool_get(thread));
        mg_address_parse_list(&to, "J" UE "rgen <a@b.com>, c@d.com", p);
        mg_address_parse(&from, JA " <me@d.test>", p);
        c.from = from;
        c.to = to;
        c.subject = "=?" PARTY;
        c.text = "x" UE;
        c.text_len = 3;
        c.message_id = "x@d.test";
        if (mg_mime_compose(&out, &c, NULL, 0, &error, p) != APR_SUCCESS)
            *(int *)baton = 1;
        mg_mime_parse(&m, out.bytes, (apr_size_t)out.size, p);
        if (strcmp(m->subject, c.subject) != 0)
            *(int *)baton = 1;
        apr_pool_destroy(p);
    }
    return NULL;
}

static void test_threads(void **state)
{
    apr_thread_t *threads[4];
    apr_status_t rv;
    int i, failed = 0;

    (void)state;
    for (i = 0; i < 4; i++)
        assert_int_equal(apr_thread_create(&threads[i], NULL, compose_many,
                                           &failed, pool), APR_SUCCESS);
    for (i = 0; i < 4; i++)
        apr_thread_join(&rv, threads[i]);
    assert_false(failed);
}

/* first, while the process is small */
UNIT_MAIN(cmocka_unit_test(test_memory), cmocka_unit_test(test_samples),
          cmocka_unit_test(test_many_recipients),
          cmocka_unit_test(test_smtputf8), cmocka_unit_test(test_headers),
          cmocka_unit_test(test_replace), cmocka_unit_test(test_sender),
          cmocka_unit_test(test_filename_is_one_line),
          cmocka_unit_test(test_large), cmocka_unit_test(test_threads))
