/* test_form.c - form bodies: tables, and each body split at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <apr_file_info.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mg_form.h"
#include "mg_status.h"

#define URL "application/x-www-form-urlencoded"
#define MULTI "multipart/form-data; boundary=XX"

static apr_pool_t *pool;
static const mg_form_limits_t roomy = { 64 * 1024, 1 << 26, 100, 64, "/tmp" };

/* "name=value|name@filename(type)=value|" */
static char *show(const mg_form_t *form, apr_pool_t *p)
{
    const apr_array_header_t *fields = mg_form_fields(form);
    char *out = apr_pstrdup(p, "");
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const mg_form_field_t *f = &APR_ARRAY_IDX(fields, i, mg_form_field_t);
        const char *bytes;
        apr_size_t len;

        assert_int_equal(mg_form_bytes(&bytes, &len, f, p), APR_SUCCESS);
        out = apr_pstrcat(p, out, f->name, f->filename ? "@" : "",
                          f->filename ? f->filename : "",
                          f->content_type ? "(" : "",
                          f->content_type ? f->content_type : "",
                          f->content_type ? ")" : "", "=",
                          apr_pstrmemdup(p, bytes, len), "|", NULL);
    }
    return out;
}

static apr_status_t read_in(mg_form_t **pform, const mg_form_limits_t *limits,
                            const char *type, const char *body, apr_size_t len,
                            apr_size_t piece, apr_size_t first, apr_pool_t *p)
{
    mg_form_t *form = *pform = mg_form_create(limits, p);
    apr_size_t i, n;
    apr_status_t rv;
    int known;

    rv = mg_form_begin(form, type, &known);
    assert_true(known);
    for (i = 0; i < len && rv == APR_SUCCESS; i += n) {
        char *copy; /* exactly as long as said: ASan sees over-reads */

        n = i == 0 && first ? first : piece;
        if (n > len - i)
            n = len - i;
        copy = malloc(n);
        memcpy(copy, body + i, n);
        rv = mg_form_feed(form, copy, n);
        free(copy);
    }
    return rv == APR_SUCCESS ? mg_form_end(form) : rv;
}

static const struct {
    const char *type, *body;
    apr_status_t rv;
    const char *fields;
} bodies[] = {
    /* urlencoded */
    { URL, "", APR_SUCCESS, "" },
    { URL, "a=1&b=2", APR_SUCCESS, "a=1|b=2|" },
    { URL "; charset=utf-8", "a=1&a=2", APR_SUCCESS, "a=1|a=2|" },
    { URL, "to[]=x&to[0]=y&to%5B12%5D=z", APR_SUCCESS, "to=x|to=y|to=z|" },
    { URL, "a[b]=1&[]=2&x]=3&c[1]d=4", APR_SUCCESS,
      "a[b]=1|[]=2|x]=3|c[1]d=4|" },
    { URL, "a=x+y%20z%2b", APR_SUCCESS, "a=x y z+|" },
    { URL, "a=%e2%86%92", APR_SUCCESS, "a=\xe2\x86\x92|" },
    { URL, "a=100%&b=%4&c=%zz&d=%%41&e=%", APR_SUCCESS,
      "a=100%|b=%4|c=%zz|d=%A|e=%|" },
    { URL, "a&b=&=c&&d==e=", APR_SUCCESS, "a=|b=|=c|d==e=|" },
    { URL, "a%3Db=c", APR_SUCCESS, "a=b=c|" },
    { URL, "\xff=1", APR_SUCCESS, "\xef\xbf\xbd=1|" },
    { URL, "0123456789012345678901234567890123456789"
           "0123456789012345678901234567890123456789=1", MG_ELIMIT, "" },
    /* multipart: the good ones */
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
             "--XX--\r\n", APR_SUCCESS, "a=1|" },
    { MULTI, "--XX--", APR_SUCCESS, "" },
    { "multipart/form-data; charset=x; boundary=\"X X\"",
      "--X X\r\ncontent-disposition:form-data;name=a\r\n\r\n\r\n--X X--",
      APR_SUCCESS, "a=|" },
    { MULTI, "preamble\r\n--XX \t\r\n"
             "Content-Disposition: form-data; name=\"to[]\"\r\n\r\n1\r\n"
             "--XX\r\nContent-Disposition: form-data; name=\"to[3]\"\r\n\r\n2\r\n"
             "--XX--epilogue\r\n--XX\r\n", APR_SUCCESS, "to=1|to=2|" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=\"f\";"
             " filename=\"a b.txt\"\r\nContent-Type: text/plain\r\n\r\nx\r\n"
             "--XX--", APR_SUCCESS, "f@a b.txt(text/plain)=x|" },
    { MULTI, "--XX\r\nContent-Disposition: form-data;\r\n name=\"f\";\r\n"
             "\tfilename=\"C:\\dir\\x.txt\"\r\n\r\nx\r\n--XX--",
      APR_SUCCESS, "f@x.txt=x|" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=f;"
             " filename=\"../../etc/passwd\"\r\n\r\n\r\n--XX--",
      APR_SUCCESS, "f@passwd=|" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=f;"
             " filename=\"a\\\"b%22c\"\r\n\r\n\r\n--XX--",
      APR_SUCCESS, "f@a\"b\"c=|" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=f;"
             " filename=\"x\"; filename*=UTF-8''%e2%82%ac.txt\r\n\r\n\r\n--XX--",
      APR_SUCCESS, "f@\xe2\x82\xac.txt=|" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=f;"
             " filename*=iso-8859-1''%a3.txt\r\n\r\n1\r\n--XX--",
      APR_SUCCESS, "f=1|" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=f; filename=\"\""
             "\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--XX--",
      APR_SUCCESS, "f@(application/octet-stream)=|" },
    { MULTI, "--XX\nContent-Disposition: form-data; name=a\n\n1\r\n--XX--",
      APR_SUCCESS, "" }, /* delimiters end in CRLF: this is preamble */
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=a\n\n1\r\n--XX--",
      APR_SUCCESS, "a=1|" }, /* header lines need not */
    { MULTI, "--XX\r\nX: y\r\n\r\nno name\r\n--XX\r\n"
             "Content-Disposition: form-data; name=\"b\"\r\n\r\n2\r\n--XX--",
      APR_SUCCESS, "b=2|" },
    { MULTI, "--XX\r\n\r\nno header\r\n--XX\r\n"
             "Content-Disposition: form-data; name=\"b\"\r\n\r\n2\r\n--XX--",
      APR_SUCCESS, "b=2|" },
    /* content that looks like a delimiter */
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n"
             "\r\n--XY\r\n--X\r\n\r\r\n\r\n--\r\n--XXX\r\n--XX -\r\n--XX-\r\n"
             "--XX--", APR_SUCCESS,
      "a=\r\n--XY\r\n--X\r\n\r\r\n\r\n--\r\n--XXX\r\n--XX -\r\n--XX-|" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n"
             "\r\n--XX\r\r\n--XX--", APR_SUCCESS, "a=\r\n--XX\r|" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n"
             "x\r\n--XX \r\r\n--XX--", APR_SUCCESS, "a=x\r\n--XX \r|" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n"
             "--XX--\r\n--XX--", APR_SUCCESS, "a=--XX--|" },
    /* the bad ones */
    { MULTI, "", MG_EBADINPUT, "" },
    { MULTI, "--XX", MG_EBADINPUT, "" },
    { MULTI, "--XX\r\n", MG_EBADINPUT, "" },
    { MULTI, "--YY\r\n\r\n\r\n--YY--", MG_EBADINPUT, "" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1",
      MG_EBADINPUT, "" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--XX",
      MG_EBADINPUT, "" },
    { MULTI, "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--XX-",
      MG_EBADINPUT, "" },
    { "multipart/form-data", "--XX--", MG_EBADINPUT, "" },
    { "multipart/form-data; boundary=", "--XX--", MG_EBADINPUT, "" },
    { "multipart/form-data; boundary=\"\"", "--XX--", MG_EBADINPUT, "" },
    { "multipart/form-data; boundary=\"", "--XX--", MG_EBADINPUT, "" },
};

static void test_bodies(void **state)
{
    size_t i, split;

    (void)state;
    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        size_t len = strlen(bodies[i].body);

        for (split = 0; split <= len; split++) {
            apr_pool_t *p;
            mg_form_t *form;
            apr_status_t rv;

            apr_pool_create(&p, pool);
            /* 0: byte by byte */
            rv = read_in(&form, &roomy, bodies[i].type, bodies[i].body, len,
                         split ? len : 1, split, p);
            if (rv != bodies[i].rv)
                print_error("row %d split %d\n", (int)i, (int)split);
            assert_int_equal(rv, bodies[i].rv);
            if (rv == APR_SUCCESS)
                assert_string_equal(show(form, p), bodies[i].fields);
            else
                assert_non_null(mg_form_error(form));
            apr_pool_destroy(p);
        }
    }
}

/* every byte value, CRs in all places, well beyond what memory may hold */
static void test_large_part_is_exact(void **state)
{
    static const char head[] = "--XX\r\nContent-Disposition: form-data; "
                               "name=\"f\"; filename=\"f\"\r\n\r\n";
    size_t len = 3 * 1024 * 1024 + 17, i, head_len = strlen(head);
    char *body = malloc(head_len + len + 32);
    uint32_t x = 12345;
    apr_size_t piece;

    (void)state;
    memcpy(body, head, head_len);
    for (i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        body[head_len + i] = (x >> 24) < 40 ? "\r\n--X"[(x >> 8) % 5]
                                            : (char)(x >> 16);
    }
    memcpy(body + head_len + len, "\r\n--XX--\r\n", 11);
    for (piece = 4093; piece < 200000; piece *= 3) {
        const mg_form_field_t *f;
        const char *bytes;
        apr_size_t n;
        mg_form_t *form;
        apr_pool_t *p;

        apr_pool_create(&p, pool);
        assert_int_equal(read_in(&form, &roomy, MULTI, body,
                                 head_len + len + 10, piece, 0, p),
                         APR_SUCCESS);
        f = mg_form_find(form, "f", NULL);
        assert_non_null(f);
        assert_null(f->value);
        assert_int_equal(mg_form_bytes(&bytes, &n, f, p), APR_SUCCESS);
        assert_int_equal(n, len);
        assert_memory_equal(bytes, body + head_len, len);
        assert_null(mg_form_text(form, "f", p));
        apr_pool_destroy(p);
    }
    free(body);
}

static int open_files(void)
{
    apr_finfo_t info;
    apr_dir_t *dir;
    int n = 0;

    assert_int_equal(apr_dir_open(&dir, "/proc/self/fd", pool), APR_SUCCESS);
    while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS)
        n++;
    apr_dir_close(dir);
    return n;
}

/* One request does not use up the process's descriptors. */
static void test_many_large(void **state)
{
    enum { MANY = 2000, EACH = 5000 };
    mg_form_limits_t limits = roomy;
    char *body = malloc(MANY * (EACH + 8)), *at = body;
    int i, before = open_files();
    apr_size_t len;
    mg_form_t *form;

    (void)state;
    limits.fields = MANY;
    for (i = 0; i < MANY; i++) {
        at += sprintf(at, "&f=%04d", i);
        memset(at, 'a' + i % 26, EACH - 4);
        at += EACH - 4;
    }
    assert_int_equal(read_in(&form, &limits, URL, body, (apr_size_t)(at - body),
                             65536, 0, pool), APR_SUCCESS);
    assert_true(open_files() <= before + 1);
    for (i = 0; i < MANY; i += 99) {
        const mg_form_field_t *f = &APR_ARRAY_IDX(mg_form_fields(form), i,
                                                  mg_form_field_t);
        const char *bytes;

        assert_int_equal(mg_form_bytes(&bytes, &len, f, pool), APR_SUCCESS);
        assert_int_equal(len, EACH);
        assert_memory_equal(bytes, body + i * (EACH + 3) + 3, EACH);
    }
    free(body);
}

/* APR's blocks are mapped, not malloc'ed. */
static long mapped_pages(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long n = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld", &n), 1);
    fclose(f);
    return n;
}

/* A part's header costs memory as its length does, with a name or without. */
static void test_costly_parts(void **state)
{
    mg_form_limits_t limits = roomy;
    char *part = apr_pcalloc(pool, 9000), *body = "";
    mg_form_t *form;
    long before;
    int i;

    (void)state;
    limits.name = 1024;
    memcpy(part, "--XX\r\nContent-Disposition: x", 28);
    for (i = 28; i < 8000; i += 5)
        memcpy(part + i, ";a=\"\"", 5);
    memcpy(part + i, "\r\n\r\n\r\n", 6);
    for (i = 0; i < 10; i++)
        body = apr_pstrcat(pool, body, part, NULL);
    body = apr_pstrcat(pool, body, "--XX--", NULL);
    before = mapped_pages();
    assert_int_equal(read_in(&form, &limits, MULTI, body, strlen(body), 4096,
                             0, pool), APR_SUCCESS);
    assert_true(mapped_pages() < before + 2000);
    limits.fields = 9;
    assert_int_equal(read_in(&form, &limits, MULTI, body, strlen(body), 4096,
                             0, pool), MG_ELIMIT);
}

static void test_limits(void **state)
{
    mg_form_limits_t few = roomy, small = roomy;
    mg_form_t *form;
    char *body = apr_pstrdup(pool, "a=1"), *big;
    int i;

    (void)state;
    few.fields = 3;
    assert_int_equal(read_in(&form, &few, URL, "a&b&c", 5, 9, 0, pool),
                     APR_SUCCESS);
    assert_int_equal(read_in(&form, &few, URL, "a&b&c&d", 7, 9, 0, pool),
                     MG_ELIMIT);
    small.total = 10;
    assert_int_equal(read_in(&form, &small, URL, "a=12345&b=12345", 15, 99, 0,
                             pool), APR_SUCCESS);
    assert_int_equal(read_in(&form, &small, URL, "a=12345&b=123456", 16, 99, 0,
                             pool), MG_ELIMIT);
    /* many small values do not become files, large ones do */
    for (i = 0; i < 50; i++)
        body = apr_pstrcat(pool, body, "&a=1234567890", NULL);
    few = roomy;
    few.memory = 64;
    assert_int_equal(read_in(&form, &few, URL, body, strlen(body), 7, 0, pool),
                     APR_SUCCESS);
    assert_non_null(mg_form_find(form, "a", NULL)->value);
    big = apr_pcalloc(pool, 9001);
    memset(big, 'x', 9000);
    body = apr_pstrcat(pool, "b=", big, NULL);
    few.memory = 8192;
    assert_int_equal(read_in(&form, &few, URL, body, strlen(body), 7, 0, pool),
                     APR_SUCCESS);
    assert_null(mg_form_find(form, "b", NULL)->value);
    few.spool_dir = "/nonexistent";
    assert_true(APR_STATUS_IS_ENOENT(
        read_in(&form, &few, URL, body, strlen(body), 7, 0, pool)));
    /* a header without end */
    memset(big, 'h', 9000);
    memcpy(big, "--XX\r\n", 6);
    assert_int_equal(read_in(&form, &roomy, MULTI, big, 9000, 100, 0, pool),
                     MG_ELIMIT);
}

static void test_query_and_asking(void **state)
{
    mg_form_t *form = mg_form_create(&roomy, pool);
    const mg_form_field_t *f;
    int known;

    (void)state;
    assert_int_equal(mg_form_query(form, "skip=1&limit=2"), APR_SUCCESS);
    assert_int_equal(mg_form_query(form, NULL), APR_SUCCESS);
    assert_int_equal(mg_form_begin(form, URL, &known), APR_SUCCESS);
    assert_int_equal(mg_form_feed(form, "skip=3&to=a\xff&to=b", 17),
                     APR_SUCCESS);
    assert_int_equal(mg_form_end(form), APR_SUCCESS);
    assert_string_equal(mg_form_text(form, "skip", pool), "3");
    assert_string_equal(mg_form_text(form, "limit", pool), "2");
    assert_null(mg_form_text(form, "nothing", pool));
    f = mg_form_find(form, "to", NULL);
    assert_string_equal(f->value, "a\xff");
    f = mg_form_find(form, "to", f);
    assert_string_equal(f->value, "b");
    assert_null(mg_form_find(form, "to", f));
    assert_int_equal(mg_form_begin(form, "text/plain", &known), APR_SUCCESS);
    assert_false(known);
}

/* One field, without a name. */
static void test_json(void **state)
{
    mg_form_t *form = mg_form_create(&roomy, pool);
    const mg_form_field_t *f;
    int known;

    (void)state;
    assert_int_equal(mg_form_query(form, "skip=1"), APR_SUCCESS);
    assert_int_equal(mg_form_begin(form, "application/json; charset=utf-8",
                                   &known), APR_SUCCESS);
    assert_true(known);
    assert_int_equal(mg_form_feed(form, "[\"a", 3), APR_SUCCESS);
    assert_int_equal(mg_form_feed(form, "=b&\"]", 5), APR_SUCCESS);
    assert_int_equal(mg_form_end(form), APR_SUCCESS);
    f = mg_form_find(form, "", NULL);
    assert_string_equal(f->value, "[\"a=b&\"]");
    assert_string_equal(mg_form_text(form, "skip", pool), "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_large_part_is_exact),
        cmocka_unit_test(test_many_large),
        cmocka_unit_test(test_costly_parts),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_query_and_asking),
        cmocka_unit_test(test_json),
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
