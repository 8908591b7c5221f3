/* test_hook.c - what is posted to a customer (mg_hook.h). */
#include "unit_pool.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "mg_hook.h"

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

static void test_delivered(void **state)
{
    apr_array_header_t *fields = new_fields(), *headers;
    mg_domain_t domain = { .name = "d.test" };
    mg_message_t message = {
        .message_id = "1.2@d.test",
        .variables = "{\"id\":7,\"name\":\"\xe2\x82\xac\",\"deep\":{\"a\":[1]},"
                     "\"event\":\"mine\",\"ok\":true}"
    };
    const char *head = "Subject: x\r\nTo: y\r\n\r\n";

    (void)state;
    mg_mime_headers(&headers, NULL, head, strlen(head), pool);
    mg_hook_delivered(fields, &domain, &message, "bob@x.com", headers, pool);
    assert_string_equal(show(fields),
        "event=delivered\nrecipient=bob@x.com\ndomain=d.test\n"
        "message-headers=[[\"Subject\",\"x\"],[\"To\",\"y\"]]\n"
        "Message-Id=<1.2@d.test>\nid=7\nname=\xe2\x82\xac\n"
        "deep={\"a\":[1]}\nevent=mine\nok=true\n");
    message.variables = NULL;
    mg_hook_delivered(new_fields(), &domain, &message, "b@c.d", headers, pool);
    message.options = "{\"testmode\":true}";
    fields = new_fields();
    mg_hook_delivered(fields, &domain, &message, "b@c.d", headers, pool);
    assert_non_null(strstr(show(fields),
                           "Message-Id=<1.2@d.test>\nis-test-mode=true\n"));
    message.variables = "no JSON";
    mg_hook_delivered(new_fields(), &domain, &message, "b@c.d", headers, pool);
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

UNIT_MAIN(cmocka_unit_test(test_sign), cmocka_unit_test(test_urlencode),
          cmocka_unit_test(test_delivered), cmocka_unit_test(test_forward),
          cmocka_unit_test(test_raw))
