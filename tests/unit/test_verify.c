/* test_verify.c - signatures and chains, verified and sealed.
 *
 *   test_verify --verify MESSAGE RECORDS   what mg_verify says of it
 *   test_verify --seal MESSAGE HOST DER DOMAIN SELECTOR   with an ARC set on top
 *
 * for others to be judge (tests/checks/verify_python). RECORDS: lines "name
 * text"; a name without text has no record, one that is not there fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <cmocka.h>

#include "mg_arc.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_verify_private.h"

static apr_pool_t *pool;

static void tag_lists(void **state)
{
    static const struct { const char *text; int n; } cases[] = {
        { "v=1; a=rsa-sha256", 2 }, { " v = 1 ;\r\n\ta=b;", 2 }, { "", 0 },
        { "v=1;v=2", 0 }, { "v", 0 }, { "v=1; x", 0 }, { "1v=1", 0 },
        { "v=1;;a=2", 2 }, { "v=", 1 }, { "=1", 0 }, { ";", 0 },
        { "a=b=c", 1 },
    };
    verify_tags_t tags;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int ok = verify_tags_read(&tags, cases[i].text, strlen(cases[i].text),
                                  pool);

        if (ok != (cases[i].n > 0) || (ok && tags.n != cases[i].n))
            fail_msg("'%s': %d, %d tags", cases[i].text, ok, tags.n);
    }
}

static void own_signature_is_left_out(void **state)
{
    static const struct { const char *field, *without; } cases[] = {
        { "X: a=1; b=abc", "X: a=1; b=" },
        { "X: b=abc; a=1", "X: b=; a=1" },
        { "X: bh=abc;\r\n b = a\r\n bc ;h=d", "X: bh=abc;\r\n b =;h=d" },
        { "X:b=x", "X:b=" }, { "X: a=b=c;", "X: a=b=c;" }, { "X", "X" },
    };
    apr_size_t len;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(verify_without_b(&len, cases[i].field,
                                             strlen(cases[i].field), pool),
                            cases[i].without);
}

/* Nothing is asked, and the verdict is there. */
static void what_cannot_be_verified(void **state)
{
#define GOOD "v=1; a=rsa-sha256; d=a.test; s=s; h=from; bh=x; b=y"
    static const struct { const char *head, *results; } cases[] = {
        { "From: a\r\n", "h;\r\n\tdkim=none;\r\n\tarc=none" },
        { "DKIM-Signature: v=1\r\n",
          "h;\r\n\tdkim=permerror (d= or s= lacks);\r\n\tarc=none" },
        { "DKIM-Signature: v=1; a=rsa-sha1; d=a.test; s=s; h=from; bh=x; b=y"
          "\r\n", "h;\r\n\tdkim=permerror (its algorithm counts for nothing)"
          "\r\n\t header.d=a.test header.s=s\r\n\t header.a=rsa-sha1"
          " header.b=\"y\";\r\n\tarc=none" },
        { "DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=s; h=to; bh=x; b=y;"
          " x=9999999999; t=1\r\n", "h;\r\n\tdkim=permerror (h= has no From, or"
          " too many names)\r\n\t header.d=a.test header.s=s\r\n\t"
          " header.a=rsa-sha256 header.b=\"y\";\r\n\tarc=none" },
        { "DKIM-Signature: " GOOD "; x=1\r\n", "h;\r\n\tdkim=permerror (it has"
          " expired)\r\n\t header.d=a.test header.s=s\r\n\t"
          " header.a=rsa-sha256 header.b=\"y\";\r\n\tarc=none" },
        { "ARC-Seal: i=1; cv=none\r\n", "h;\r\n\tdkim=none;\r\n\tarc=fail (the"
          " chain is malformed, or was broken before)" },
        { "ARC-Seal: i=51\r\n", "h;\r\n\tdkim=none;\r\n\tarc=fail (the"
          " chain is malformed, or was broken before)" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mg_verify_t *v = mg_verify_begin(cases[i].head, strlen(cases[i].head),
                                         apr_time_from_sec(1000000), pool);

        assert_false(mg_verify_is_needed(v));
        mg_verify_end(v);
        assert_string_equal(mg_verify_results(v, "h", pool),
                            cases[i].results);
    }
}

static void dns_that_fails_is_no_verdict(void **state)
{
    static const char head[] = "DKIM-Signature: " GOOD "\r\nFrom: a\r\n\r\n";
    mg_verify_t *v = mg_verify_begin(head, strlen(head), mg_now(), pool);

    (void)state;
    assert_true(mg_verify_is_needed(v));
    assert_int_equal(mg_verify_keys(v)->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(mg_verify_keys(v), 0, const char *),
                        "s._domainkey.a.test");
    mg_verify_end(v);
    assert_int_equal(mg_verify_dkim(v), MG_VERIFY_TEMPERROR);
}

/* --- for others --- */

static char *read_file(const char *path, apr_size_t *plen)
{
    char *bytes = apr_palloc(pool, 8 * 1024 * 1024);
    FILE *f = fopen(path, "rb");

    if (!f)
        exit(2);
    *plen = fread(bytes, 1, 8 * 1024 * 1024 - 1, f);
    fclose(f);
    bytes[*plen] = '\0';
    return bytes;
}

static void answer(mg_verify_t *v, char *records)
{
    const apr_array_header_t *names = mg_verify_keys(v);
    char *last, *line = apr_strtok(records, "\n", &last);
    int i;

    for (; line; line = apr_strtok(NULL, "\n", &last)) {
        char *text = strchr(line, ' ');

        if (text)
            *text++ = '\0';
        for (i = 0; i < names->nelts; i++) {
            if (strcmp(APR_ARRAY_IDX(names, i, const char *), line) != 0)
                continue;
            if (text && *text)
                mg_verify_key_found(v, i, text);
            else
                mg_verify_key_is_none(v, i);
        }
    }
}

static int verify_file(const char *path, const char *records_path)
{
    apr_size_t len, records_len, head_len, at, n;
    char *bytes = read_file(path, &len), *end = strstr(bytes, "\r\n\r\n");
    char *records = read_file(records_path, &records_len);
    mg_verify_t *v;

    head_len = end ? (apr_size_t)(end + 2 - bytes) : len;
    v = mg_verify_begin(bytes, head_len, mg_now(), pool);
    answer(v, records);
    for (at = head_len + 2; at < len; at += n) { /* in pieces */
        n = len - at < 7 ? len - at : 7;
        mg_verify_feed(v, bytes + at, n);
    }
    mg_verify_end(v);
    printf("%s", mg_verify_results(v, "mx.test", pool));
    return 0;
}

static int seal_file(char **argv)
{
    apr_size_t len, der_len, n;
    char *bytes = read_file(argv[0], &len), *der = read_file(argv[2], &der_len);
    mg_dkim_content_t *content = mg_dkim_content_make(pool);
    mg_dkim_signer_t *signer;
    const char *fields;
    apr_status_t rv;

    rv = mg_dkim_signer_make(&signer, argv[3], argv[4], der, der_len, pool);
    if (rv != APR_SUCCESS)
        return 3;
    mg_dkim_content_feed(content, bytes, len);
    rv = mg_dkim_content_end(content);
    if (rv == APR_SUCCESS)
        rv = mg_arc_seal(&fields, &n, signer, content, argv[1], mg_now(),
                         pool);
    if (rv != APR_SUCCESS)
        return 4;
    fwrite(fields, 1, n, stdout);
    fwrite(bytes, 1, len, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tag_lists),
        cmocka_unit_test(own_signature_is_left_out),
        cmocka_unit_test(what_cannot_be_verified),
        cmocka_unit_test(dns_that_fails_is_no_verdict),
    };

    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (argc == 4 && strcmp(argv[1], "--verify") == 0)
        return verify_file(argv[2], argv[3]);
    if (argc == 7 && strcmp(argv[1], "--seal") == 0)
        return seal_file(argv + 2);
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
