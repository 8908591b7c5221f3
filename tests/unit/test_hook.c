/* test_hook.c - what is posted to a customer (mg_hook.h). */
#include "unit_pool.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "mg_hook.h"
#include "mg_json.h"
#include "mg_text.h"

static apr_array_header_t *new_fields(void)
{
    return apr_array_make(pool, 16, sizeof(mg_field_t));
}

/* "name=value" lines, files as "name=@filename:type:length" */
static const char *show(const apr_array_header_t *fields)
{
    const char *out = "";
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const mg_field_t *f = &APR_ARRAY_IDX(fields, i, mg_field_t);

        if (f->value)
            out = apr_pstrcat(pool, out, f->name, "=", f->value, "\n", NULL);
        else
            out = apr_psprintf(pool, "%s%s=@%s:%s:%d\n", out, f->name,
                               f->filename, f->content_type,
                               (int)f->file_len);
    }
    return out;
}

static const char *value_of(const apr_array_header_t *fields, const char *name)
{
    int i;

    for (i = 0; i < fields->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(fields, i, mg_field_t).name, name) == 0)
            return APR_ARRAY_IDX(fields, i, mg_field_t).value;
    }
    return NULL;
}

/* The manual's verify(), on OpenSSL itself. */
static void test_sign(void **state)
{
    const char *key = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0", *text;
    apr_array_header_t *one = new_fields(), *two = new_fields();
    unsigned char mac[EVP_MAX_MD_SIZE];
    char hex[65];
    unsigned int len, i;

    (void)state;
    mg_hook_sign(one, key, apr_time_from_sec(1327604000) + 999999, pool);
    mg_hook_sign(two, key, apr_time_from_sec(1327604000), pool);
    assert_int_equal(one->nelts, 3);
    assert_string_equal(value_of(one, "timestamp"), "1327604000");
    text = value_of(one, "token");
    assert_int_equal(strlen(text), 50);
    assert_int_equal(strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz"), 50);
    assert_string_not_equal(text, value_of(two, "token"));
    text = apr_pstrcat(pool, "1327604000", text, NULL);
    HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)text,
         strlen(text), mac, &len);
    for (i = 0; i < len; i++)
        apr_snprintf(hex + 2 * i, 3, "%02x", mac[i]);
    assert_string_equal(value_of(one, "signature"), hex);
}

static const struct {
    const char *name, *value, *encoded;
} encodes[] = {
    { "a", "b", "a=b" },
    { "a", "", "a=" },
    { "Message-Id", "<1@d.test>", "Message-Id=%3C1%40d.test%3E" },
    { "a b", "c d+e&f=g", "a+b=c+d%2Be%26f%3Dg" },
    { "x", "gr\xc3\xbc\r\n", "x=gr%C3%BC%0D%0A" },
    { "x", "-._~*", "x=-._~%2A" },
};

static void test_urlencode(void **state)
{
    apr_array_header_t *all = new_fields();
    apr_size_t len;
    size_t i;
    char *out;

    (void)state;
    for (i = 0; i < COUNT(encodes); i++) {
        apr_array_header_t *fields = new_fields();

        mg_hook_field(fields, encodes[i].name, encodes[i].value);
        mg_hook_field(all, encodes[i].name, encodes[i].value);
        out = mg_hook_urlencode(fields, &len, pool);
        assert_string_equal(out, encodes[i].encoded);
        assert_int_equal(len, strlen(out));
        assert_false(mg_hook_has_files(fields));
    }
    out = mg_hook_urlencode(all, &len, pool);
    assert_true(strncmp(out, "a=b&a=&Message-Id=", 18) == 0);
    assert_string_equal(mg_hook_urlencode(new_fields(), &len, pool), "");
}

#define SAID(json) "{" json "}"
#define LABELS                                                                \
    "campaign-id=c1\ncampaign-name=First\ncampaign-id=c2\ncampaign-name=c2\n"  \
    "tag=one\ntag=t 2\n"
#define HEADERS "message-headers=[[\"Subject\",\"x\"],[\"To\",\"y\"]]\n"
#define VARIABLES "id=7\nname=\xe2\x82\xac\ndeep={\"a\":[1]}\nevent=mine\nok=true\n"

/* The manual's tables, key by key; what stands between domain and variables. */
static const struct {
    const char *event, *said, *shown;
} events[] = {
    { "delivered", "", HEADERS
      "X-Mailgun-Tag=one\nX-Mailgun-Tag=t 2\nMessage-Id=<1.2@d.test>\n" },
    { "bounced", SAID("\"code\":\"5.1.1\",\"error\":\"5.1.1 no such user\","
                      "\"notification\":\"unknown\","
                      "\"mailing-list\":\"l@d.test\""), HEADERS
      "code=5.1.1\nerror=5.1.1 no such user\nnotification=unknown\n"
      "mailing-list=l@d.test\n" LABELS "Message-Id=<1.2@d.test>\n"
      "attachment-count=1\nattachment-1=@message.mime:message/rfc822:12\n" },
    { "dropped", SAID("\"reason\":\"hardfail\",\"code\":\"605\","
                      "\"description\":\"Not delivering\""), HEADERS
      "reason=hardfail\ncode=605\ndescription=Not delivering\n"
      "X-Mailgun-Tag=one\nX-Mailgun-Tag=t 2\nMessage-Id=<1.2@d.test>\n"
      "attachment-count=1\nattachment-1=@message.mime:message/rfc822:12\n" },
    { "complained", SAID("\"mailing-list\":\"l@d.test\""), HEADERS
      "mailing-list=l@d.test\n" LABELS "Message-Id=<1.2@d.test>\n"
      "attachment-count=1\nattachment-1=@message.mime:message/rfc822:12\n" },
    { "opened", SAID("\"ip\":\"192.0.2.1\",\"country\":\"US\","
                     "\"client-type\":\"browser\""),
      "ip=192.0.2.1\ncountry=US\nclient-type=browser\n" LABELS
      "message-id=1.2@d.test\n" },
    { "clicked", SAID("\"url\":\"http://a.b/?c\",\"ip\":\"192.0.2.1\""),
      "url=http://a.b/?c\nip=192.0.2.1\n" LABELS "message-id=1.2@d.test\n" },
    { "unsubscribed", "", LABELS "message-id=1.2@d.test\n" },
    { "unsubscribed", SAID("\"tag\":\"*\""),
      "tag=*\ncampaign-id=c1\ncampaign-name=First\ncampaign-id=c2\n"
      "campaign-name=c2\nmessage-id=1.2@d.test\n" },
};

static mg_hook_event_t event_of(size_t i, const mg_message_t *message)
{
    static const char head[] = "Subject: x\r\nTo: y\r\n\r\n";
    static const mg_hook_campaign_t two[] = { { "c1", "First" },
                                              { "c2", "c2" } };
    apr_array_header_t *headers, *campaigns;
    const char *error;
    mg_hook_event_t e = {
        .event = events[i].event, .recipient = "bob@x.com",
        .domain = "d.test", .message = message,
        .variables = message ? message->variables : NULL,
        .original = "Subject: x\r\n", .original_len = 12,
        .said = *events[i].said
                    ? mg_json_parse(events[i].said, strlen(events[i].said),
                                    &error, pool) : NULL
    };

    mg_mime_headers(&headers, NULL, head, strlen(head), pool);
    e.headers = headers;
    campaigns = apr_array_make(pool, 2, sizeof(mg_hook_campaign_t));
    APR_ARRAY_PUSH(campaigns, mg_hook_campaign_t) = two[0];
    APR_ARRAY_PUSH(campaigns, mg_hook_campaign_t) = two[1];
    e.campaigns = campaigns;
    return e;
}

static void test_events(void **state)
{
    static const char said[] = "{\"tags\":[\"one\",\"t 2\"]}";
    mg_message_t message = {
        .message_id = "1.2@d.test", .subject = "x",
        .variables = "{\"id\":7,\"name\":\"\xe2\x82\xac\",\"deep\":{\"a\":[1]},"
                     "\"event\":\"mine\",\"ok\":true}"
    };
    const char *error;
    json_t *options = mg_json_parse(said, strlen(said), &error, pool);
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(events); i++) {
        apr_array_header_t *fields = new_fields();
        mg_hook_event_t e = event_of(i, &message);

        mg_hook_event(fields, &e, options, pool);
        assert_string_equal(show(fields),
            apr_pstrcat(pool, "event=", events[i].event,
                        "\nrecipient=bob@x.com\ndomain=d.test\n",
                        events[i].shown, VARIABLES, NULL));
    }
}

/* Variables that are none, test mode, a message that is forgotten. */
static void test_events_at_the_edge(void **state)
{
    static const char test[] = "{\"testmode\":true}";
    mg_message_t message = { .message_id = "1.2@d.test", .subject = "s",
                             .variables = "no JSON" };
    const char *error;
    json_t *options = mg_json_parse(test, strlen(test), &error, pool);
    apr_array_header_t *fields = new_fields();
    mg_hook_event_t e = event_of(0, &message);

    (void)state;
    mg_hook_event(fields, &e, options, pool);
    assert_non_null(strstr(show(fields),
                           "Message-Id=<1.2@d.test>\nis-test-mode=true\n"));
    e = event_of(1, NULL);
    e.headers = NULL;
    e.original = NULL;
    fields = new_fields();
    mg_hook_event(fields, &e, NULL, pool);
    assert_non_null(strstr(show(fields),
                           "message-headers=[[\"To\",\"bob@x.com\"]]\n"));
    assert_non_null(strstr(show(fields), "attachment-count=0\n"));
    e.message = &message;
    message.from_header = "Al <al@y.com>";
    fields = new_fields();
    mg_hook_event(fields, &e, NULL, pool);
    assert_non_null(strstr(show(fields), "message-headers=[[\"From\",\"Al "
        "<al@y.com>\"],[\"Subject\",\"s\"],[\"To\",\"bob@x.com\"],"
        "[\"Message-Id\",\"<1.2@d.test>\"]]\n"));
}

/* What is kept of one is the same when it is read again. */
static void test_kept(void **state)
{
    static const char said[] = "{\"tags\":[\"one\",\"t 2\"]}";
    mg_message_t message = { .message_id = "1.2@d.test",
                             .variables = "{\"token\":\"mine\"}" };
    const char *error, *text;
    json_t *options = mg_json_parse(said, strlen(said), &error, pool);
    json_t *payload = json_object();
    size_t i;

    (void)state;
    mg_json_bind(payload, pool);
    assert_int_equal(mg_hook_kept(new_fields(), payload, pool), 0);
    assert_int_equal(mg_hook_kept(new_fields(), NULL, pool), 0);
    for (i = 0; i < COUNT(events); i++) {
        apr_array_header_t *fields = new_fields(), *again = new_fields();
        mg_hook_event_t e = event_of(i, &message);

        mg_hook_event(fields, &e, options, pool);
        text = mg_hook_keep(payload, fields, 12, pool);
        assert_int_equal(mg_hook_kept(again, mg_json_parse(
            text, strlen(text), &error, pool), pool), 1);
        assert_string_equal(show(again), show(fields));
        /* a file too large to be kept */
        text = mg_hook_keep(payload, fields, 11, pool);
        again = new_fields();
        assert_int_equal(mg_hook_kept(again, mg_json_parse(
            text, strlen(text), &error, pool), pool), 1);
        assert_null(strstr(show(again), "attachment-1"));
    }
}

static const char incoming[] =
    "Received: by one\r\nReceived: by two\r\nX-Envelope-From: <al@y.com>\r\n"
    "MIME-Version: 1.0\r\nFrom: \"Al\" <al@y.com>\r\n"
    "subject: =?iso-8859-1?q?gr=FC?=\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\n\r\ntext\r\n--b\r\nContent-Type: image/gif; name=a.gif\r\n"
    "Content-ID: <a@b>\r\n\r\nGIF\r\n--b--\r\n";

static void test_forward(void **state)
{
    apr_array_header_t *fields = new_fields();
    mg_delivery_t delivery = { .recipient = "bob@d.test",
                               .target = "http://a.test/messages" };
    mg_message_t message = { .sender = "al@y.com" };

    (void)state;
    mg_hook_forward(fields, &delivery, &message, incoming,
                    sizeof(incoming) - 1, pool);
    assert_true(mg_hook_has_files(fields));
    assert_string_equal(show(fields),
        "recipient=bob@d.test\nsender=al@y.com\nsubject=gr\xc3\xbc\n"
        "from=\"Al\" <al@y.com>\n"
        "Received=by one\nReceived=by two\nX-Envelope-From=<al@y.com>\n"
        "Mime-Version=1.0\nFrom=\"Al\" <al@y.com>\nSubject=gr\xc3\xbc\n"
        "Content-Type=multipart/mixed; boundary=b\n"
        "body-plain=text\nstripped-text=text\nstripped-signature=\n"
        "attachment-count=1\nattachment-1=@a.gif:image/gif:3\n"
        "message-headers=[[\"Received\",\"by one\"],[\"Received\",\"by two\"],"
        "[\"X-Envelope-From\",\"<al@y.com>\"],[\"MIME-Version\",\"1.0\"],"
        "[\"From\",\"\\\"Al\\\" <al@y.com>\"],[\"subject\",\"gr\xc3\xbc\"],"
        "[\"Content-Type\",\"multipart/mixed; boundary=b\"]]\n"
        "content-id-map={\"<a@b>\":\"attachment-1\"}\n");
}

static const struct {
    const char *url;
    int raw;
} urls[] = {
    { "http://a.test/post_mime", 1 }, { "http://a.test/mime", 1 },
    { "http://a.test/mime?x=1", 1 }, { "http://a.test/?to=mime", 1 },
    { "http://a.test/mimes", 0 }, { "http://mime.test/", 0 },
    { "http://a.test/", 0 },
};

static void test_raw(void **state)
{
    mg_delivery_t delivery = { .recipient = "bob@d.test" };
    mg_message_t message = { .sender = "" };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(urls); i++) {
        apr_array_header_t *fields = new_fields();

        delivery.target = urls[i].url;
        mg_hook_forward(fields, &delivery, &message, incoming,
                        sizeof(incoming) - 1, pool);
        assert_int_equal(value_of(fields, "body-mime") != NULL, urls[i].raw);
        assert_int_equal(value_of(fields, "body-plain") == NULL, urls[i].raw);
        assert_string_equal(value_of(fields, "sender"), "");
        assert_string_equal(value_of(fields, "subject"), "gr\xc3\xbc");
        if (urls[i].raw)
            assert_non_null(strstr(value_of(fields, "body-mime"),
                                   "subject: =?UTF-8?"));
    }
}

/* test_hook --post FILE [URL]: what would be posted, as JSON, for
 * tests/checks/broken_mail. */
static int post_file(const char *path, const char *url)
{
    mg_delivery_t delivery = { .recipient = "bob@d.test", .target = url };
    mg_message_t message = { .sender = "al@x.test" };
    apr_array_header_t *fields = new_fields();
    size_t room = 64 * 1024 * 1024, len;
    char *bytes = apr_palloc(pool, room);
    FILE *f = fopen(path, "rb");
    json_t *all = json_array();
    int i;

    if (!f)
        return 2;
    len = fread(bytes, 1, room, f);
    fclose(f);
    mg_hook_forward(fields, &delivery, &message, bytes, len, pool);
    for (i = 0; i < fields->nelts; i++) {
        const mg_field_t *one = &APR_ARRAY_IDX(fields, i, mg_field_t);

        if (one->value)
            json_array_append_new(all, json_pack("[s,s]", one->name,
                                                 one->value));
        else
            json_array_append_new(
                all, json_pack("[s,s,s,s]", one->name, one->filename,
                               one->content_type,
                               mg_text_hex(one->file,
                                           one->file_len < 4096
                                               ? one->file_len : 4096, pool)));
    }
    printf("%s\n", mg_json_compact(all, pool));
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign), cmocka_unit_test(test_urlencode),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_events_at_the_edge), cmocka_unit_test(test_kept),
        cmocka_unit_test(test_forward), cmocka_unit_test(test_raw),
    };

    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (argc >= 3 && strcmp(argv[1], "--post") == 0)
        return post_file(argv[2], argc > 3 ? argv[3] : NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
