/* test_dkim.c - signatures: the RFCs' examples, canonical forms, parts of any
 * size, what is signed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dkim_internal.h"
#include "mg_status.h"

/* RFC 8463 A.1 to A.3 */
static const char rsa_pem[] =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi\n"
    "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM\n"
    "KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB\n"
    "AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm\n"
    "6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe\n"
    "zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy\n"
    "6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc\n"
    "uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy\n"
    "WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd\n"
    "WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a\n"
    "licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst\n"
    "o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe\n"
    "uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL\n"
    "-----END RSA PRIVATE KEY-----\n";
static const char ed25519_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";
static const char rfc_head[] =
    "From: Joe SixPack <joe@football.example.com>\r\n"
    "To: Suzie Q <suzie@shopping.example.net>\r\n"
    "Subject: Is dinner ready?\r\n"
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
    "\r\n";
static const char rfc_body[] =
    "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";

typedef struct {
    const char *pem, *selector, *field, *h, *b;
} rfc_t;
static const rfc_t rfc8463[] = {
    { ed25519_pem, "brisbane",
      "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
      " d=football.example.com; i=@football.example.com;\r\n"
      " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
      " subject : date : message-id : from : subject : date;\r\n"
      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
      " b=",
      "from : to : subject : date : message-id : from : subject : date",
      "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus"
      "Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==" },
    { rsa_pem, "test",
      "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
      " d=football.example.com; i=@football.example.com;\r\n"
      " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
      " date : message-id : from : subject : date;\r\n"
      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
      " b=",
      "from : to : subject : date : message-id : from : subject : date",
      "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3"
      "DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz"
      "dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=" },
};

static apr_pool_t *pool;

static int setup(void **state)
{
    (void)state;
    apr_pool_create(&pool, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

static mg_dkim_signer_t *signer_of(const char *pem, const char *domain,
                                   const char *selector)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    mg_dkim_signer_t *signer;
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);

    assert_true(len > 0);
    assert_int_equal(mg_dkim_signer_make(&signer, domain, selector, der,
                                         (apr_size_t)len, pool), APR_SUCCESS);
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return signer;
}

static const char *body_hash(const char *body, apr_size_t len, apr_size_t step)
{
    dkim_body_t *b = apr_palloc(pool, sizeof(*b));
    unsigned char hash[DKIM_HASH_LEN];
    char *text = apr_palloc(pool, 64);
    apr_size_t at, n;

    assert_int_equal(dkim_body_init(b, pool), APR_SUCCESS);
    for (at = 0; at < len; at += n) {
        n = len - at < step ? len - at : step;
        dkim_body_feed(b, body + at, n);
    }
    assert_int_equal(dkim_body_end(hash, b), APR_SUCCESS);
    EVP_EncodeBlock((unsigned char *)text, hash, DKIM_HASH_LEN);
    return text;
}

/* RFC 8463 A.3 has the signatures that its keys make of its message. */
static void the_rfc_signatures(void **state)
{
    dkim_header_t header;
    unsigned char digest[DKIM_HASH_LEN];
    const char *b;
    size_t i;

    (void)state;
    assert_string_equal(body_hash(rfc_body, strlen(rfc_body), 7),
                        "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    for (i = 0; i < 2; i++) {
        const rfc_t *r = &rfc8463[i];
        mg_dkim_signer_t *s = signer_of(r->pem, "football.example.com",
                                        r->selector);

        assert_int_equal(dkim_header_choose(&header, r->h, 0, rfc_head,
                                            strlen(rfc_head), pool),
                         APR_SUCCESS);
        assert_int_equal(dkim_digest(digest, &header, r->field,
                                     strlen(r->field), pool), APR_SUCCESS);
        assert_int_equal(dkim_sign_digest(&b, s, digest, pool), APR_SUCCESS);
        assert_string_equal(b, r->b);
        assert_int_equal(mg_dkim_signer_algorithm(s),
                         i ? MG_DKIM_RSA : MG_DKIM_ED25519);
    }
}

/* RFC 6376 3.4.5, and what it leaves out. */
static void header_forms(void **state)
{
    static const struct {
        const char *field, *canon;
    } cases[] = {
        { "A: X", "a:X" },
        { "B : Y\t\r\n\tZ  ", "b:Y Z" },
        { "Subject:no space", "subject:no space" },
        { "SUBJECT \t:  \t two   words\t ", "subject:two words" },
        { "X:", "x:" },
        { "X: \r\n ", "x:" },
        { "X: a\r\n b\r\n\tc", "x:a b c" },
        { "X: a:b : c", "x:a:b : c" },
        { "X: a\rb\nc", "x:a\rb\nc" },
        { "X: caf\xc3\xa9", "x:caf\xc3\xa9" },
        { ": nameless", "" },
        { " : nameless", "" },
        { "no colon", "" },
        { "", "" },
    };
    char out[256];
    apr_size_t len;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        len = dkim_header_relax(out, cases[i].field, strlen(cases[i].field));
        assert_true(len <= strlen(cases[i].field));
        out[len] = '\0';
        assert_string_equal(out, cases[i].canon);
    }
}

static void body_forms(void **state)
{
    /* what a body is hashed as; the hash itself is OpenSSL's affair */
    static const struct {
        const char *body, *canon;
    } cases[] = {
        { " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n" }, /* RFC 6376 3.4.5 */
        { "", "" },                                      /* 3.4.4 */
        { "\r\n", "" },
        { "\r\n\r\n\r\n", "" },
        { " \t\r\n \r\n", "" },
        { "a", "a\r\n" },
        { "a \t", "a\r\n" },
        { "a\r\n", "a\r\n" },
        { "a\r\n\r\n", "a\r\n" },
        { "\r\n\r\na\r\n", "\r\n\r\na\r\n" },
        { "a\r\n \r\n\t\r\nb", "a\r\n\r\n\r\nb\r\n" },
        { "a\r\r\nb", "a\r\r\nb\r\n" },
        { "a\r", "a\r\r\n" },
        { "a \rb", "a \rb\r\n" },
        { "a\nb", "a\nb\r\n" },
        { "\t a", " a\r\n" },
    };
    unsigned char hash[DKIM_HASH_LEN];
    char want[64];
    apr_size_t len, step;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        len = strlen(cases[i].body);
        EVP_Digest(cases[i].canon, strlen(cases[i].canon), hash, NULL,
                   EVP_sha256(), NULL);
        EVP_EncodeBlock((unsigned char *)want, hash, DKIM_HASH_LEN);
        for (step = 1; step <= len + 1; step++)
            assert_string_equal(body_hash(cases[i].body, len, step), want);
    }
}

static const char *sign_in_steps(mg_dkim_signer_t *signer, const char *text,
                                 apr_size_t step, apr_status_t *prv)
{
    mg_dkim_content_t *c = mg_dkim_content_make(pool);
    const char *field = NULL;
    apr_size_t len = strlen(text), at, n, field_len;

    for (at = 0; at < len; at += n) {
        n = len - at < step ? len - at : step;
        mg_dkim_content_feed(c, text + at, n);
    }
    *prv = mg_dkim_content_end(c);
    if (*prv == APR_SUCCESS) {
        *prv = mg_dkim_sign(&field, &field_len, signer, c,
                            APR_TIME_C(1528637909999999), pool);
        assert_int_equal(strlen(field), field_len);
    }
    return field;
}

/* The same field whatever the parts; every line short; one field. */
static void parts_of_any_size(void **state)
{
    mg_dkim_signer_t *signer = signer_of(ed25519_pem, "example.com", "s1");
    const char *text = apr_pstrcat(pool, rfc_head, rfc_body, NULL);
    const char *want, *line, *end;
    apr_status_t rv;
    apr_size_t step;

    (void)state;
    want = sign_in_steps(signer, text, strlen(text), &rv);
    assert_int_equal(rv, APR_SUCCESS);
    assert_non_null(strstr(want, "v=1; a=ed25519-sha256; c=relaxed/relaxed;"));
    assert_non_null(strstr(want, "d=example.com;"));
    assert_non_null(strstr(want, "i=@example.com;"));
    assert_non_null(strstr(want, "s=s1;"));
    assert_non_null(strstr(want, "t=1528637909;"));
    assert_null(strstr(want, "l="));
    for (line = want; *line; line = end + 2) {
        end = strstr(line, "\r\n");
        assert_non_null(end);
        assert_true(end - line <= 76);
        assert_true(line == want || *line == ' ');
    }
    for (step = 1; step < strlen(text); step++) {
        assert_string_equal(sign_in_steps(signer, text, step, &rv), want);
        assert_int_equal(rv, APR_SUCCESS);
    }
}

static const char *names_of(const char *head)
{
    dkim_header_t header;
    const char *at, *list = "";

    assert_int_equal(dkim_header_read(&header, head, strlen(head), pool),
                     APR_SUCCESS);
    for (at = header.names; *at; at += strlen(at) + 1)
        list = apr_pstrcat(pool, list, *list ? ":" : "", at, NULL);
    return list;
}

#define LISTS ":list-id:list-help:list-unsubscribe:list-unsubscribe-post:" \
              "list-subscribe:list-post:list-owner:list-archive"

/* Once more than it is there: From, the fields people see, List-*. */
static void what_is_signed(void **state)
{
    dkim_header_t header;
    const char *twice = "From: a@a.test\r\nReceived: x\r\nTO: b@b.test\r\n"
                        "to: c@c.test\r\n\r\n";

    (void)state;
    assert_string_equal(names_of("From: a@a.test\r\n\r\n"),
                        "from:from:reply-to:subject:date:message-id:to:cc"
                        LISTS);
    assert_string_equal(names_of("from: a@a.test\r\nSender: s@a.test\r\n"
                                 "Mime-Version: 1.0\r\n"
                                 "List-Unsubscribe: <x:>\r\n"
                                 "Resent-To: x@x.test\r\n"
                                 "X-Own: x\r\n\r\n"),
                        "from:from:sender:sender:reply-to:subject:date:"
                        "message-id:to:cc:mime-version:mime-version:list-id:"
                        "list-help:list-unsubscribe:list-unsubscribe:"
                        "list-unsubscribe-post:list-subscribe:list-post:"
                        "list-owner:list-archive:resent-to");
    /* from the bottom up (RFC 6376 5.4.2) */
    assert_int_equal(dkim_header_read(&header, twice, strlen(twice), pool),
                     APR_SUCCESS);
    assert_int_equal(header.canon_len,
                     strlen("from:a@a.test\r\nto:c@c.test\r\nto:b@b.test\r\n"));
    assert_memory_equal(header.canon, "from:a@a.test\r\nto:c@c.test\r\n"
                        "to:b@b.test\r\n", header.canon_len);
    assert_int_equal(dkim_header_read(&header, "To: b@b.test\r\n\r\n", 16,
                                      pool), MG_EBADINPUT);
}

static const char *many_fields(int n)
{
    char *text = apr_palloc(pool, 6 * (apr_size_t)n + 1);
    int i;

    for (i = 0; i < n; i++)
        memcpy(text + 6 * i, "To:x\r\n", 6);
    text[6 * n] = '\0';
    return text;
}

static void what_cannot_be_signed(void **state)
{
    mg_dkim_signer_t *signer = signer_of(rsa_pem, "example.com", "s1"), *none;
    char *large = apr_palloc(pool, MG_DKIM_HEADER_MAX + 200);
    apr_status_t rv;
    size_t i;

    (void)state;
    sign_in_steps(signer, "", 1, &rv);
    assert_int_equal(rv, MG_EBADINPUT);
    sign_in_steps(signer, "\r\nFrom: x@x.test\r\n", 1, &rv);
    assert_int_equal(rv, MG_EBADINPUT);
    sign_in_steps(signer, "To: x@x.test\r\n\r\nbody", 3, &rv);
    assert_int_equal(rv, MG_EBADINPUT);
    sign_in_steps(signer, "From: x@x.test", 3, &rv); /* no empty line */
    assert_int_equal(rv, APR_SUCCESS);

    memcpy(large, "From: x@x.test\r\nTo: ", 20);
    for (i = 20; i < MG_DKIM_HEADER_MAX + 100; i++)
        large[i] = i % 70 ? 'a' : ' ';
    memcpy(large + i, "\r\n\r\nbody", 9);
    sign_in_steps(signer, large, 65536, &rv);
    assert_int_equal(rv, MG_EBADINPUT);
    memcpy(large + MG_DKIM_HEADER_MAX - 100, "\r\n\r\nbody", 9);
    sign_in_steps(signer, large, 65536, &rv);
    assert_int_equal(rv, APR_SUCCESS);

    /* many fields cost nothing */
    sign_in_steps(signer, apr_pstrcat(pool, "From: x@x.test\r\n",
                                      many_fields(999), "\r\nbody", NULL),
                  65536, &rv);
    assert_int_equal(rv, APR_SUCCESS);
    sign_in_steps(signer, apr_pstrcat(pool, "From: x@x.test\r\n",
                                      many_fields(80000), "\r\nbody", NULL),
                  65536, &rv);
    assert_int_equal(rv, MG_EBADINPUT);

    assert_int_equal(mg_dkim_signer_make(&none, "d", "s", "no key", 6, pool),
                     MG_ECRYPT);
    assert_null(none);
}

/* tests/checks/dkim_others has others verify what this prints. */
static void print_signed(const char *name, const char *text)
{
    static const struct {
        const char *pem, *selector;
    } keys[] = { { rsa_pem, "test" }, { ed25519_pem, "brisbane" } };
    const char *field, *all = "";
    apr_status_t rv;
    size_t i;

    for (i = 0; i < 2; i++) {
        field = sign_in_steps(signer_of(keys[i].pem, "football.example.com",
                                        keys[i].selector), text, 11, &rv);
        assert_int_equal(rv, APR_SUCCESS);
        all = apr_pstrcat(pool, all, field, NULL);
    }
    printf("--- %s\n%s%s\n---\n", name, all, text);
}

static void print_all(void)
{
    static const struct {
        const char *name, *head, *body;
    } cases[] = {
        { "rfc8463", rfc_head, rfc_body },
        { "empty", rfc_head, "" },
        { "blank-lines", rfc_head, "\r\n \r\n\r\n" },
        { "no-last-line-end", rfc_head, "a  b\t\tc" },
        { "folded", "From: a\r\n <a@football.example.com>\r\nSubject: one\r\n"
                    "\ttwo \r\n three\r\nTo: a@a.test,\r\n b@b.test\r\n"
                    "To: c@c.test\r\nX-Mailgun-Sid: x\r\n"
                    "List-Unsubscribe:\r\n <https://a.test/u>\r\n"
                    "MIME-Version:1.0\r\n\r\n", "text\r\n.\r\n..\r\n" },
        { "eight-bit", "From: \xc3\xa4 <a@football.example.com>\r\n\r\n",
          "\xc3\xa4\xff \r\n\r\nx" },
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        print_signed(cases[i].name, apr_pstrcat(pool, cases[i].head,
                                                cases[i].body, NULL));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_rfc_signatures, setup, teardown),
        cmocka_unit_test_setup_teardown(header_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(body_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_of_any_size, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_signed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_signed, setup,
                                        teardown),
    };

    apr_initialize();
    if (argc > 1 && !strcmp(argv[1], "--print")) {
        setup(NULL);
        print_all();
        teardown(NULL);
        return 0;
    }
    return cmocka_run_group_tests_name("dkim", tests, NULL, NULL);
}
