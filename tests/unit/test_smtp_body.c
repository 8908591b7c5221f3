/* test_smtp_body.c - the end-of-data scanner: each case whole, and cut in two
 * at every octet, and octet by octet: the outcome is the same. */
#include <stdlib.h>

#include "mg_message.h"
#include "smtp_body.h"
#include "unit_pool.h"

static smtp_spares_t spares;

typedef struct {
    const char *in;     /* after DATA's CRLF */
    const char *out;    /* content */
    int bare;
    const char *left;   /* behind the end; NULL: no end of data in it */
} body_case_t;

static const body_case_t cases[] = {
    /* plain ends */
    { ".\r\n", "", 0, "" },
    { "\r\n.\r\n", "\r\n", 0, "" },
    { "a\r\n.\r\n", "a\r\n", 0, "" },
    { "a\r\nb\r\n.\r\nQUIT\r\n", "a\r\nb\r\n", 0, "QUIT\r\n" },
    { "a\r\n.\r\n.\r\n", "a\r\n", 0, ".\r\n" },
    /* dots: one goes at the start of a line, no other */
    { "..\r\n.\r\n", ".\r\n", 0, "" },
    { ".a\r\n.\r\n", "a\r\n", 0, "" },
    { "...\r\n.\r\n", "..\r\n", 0, "" },
    { "a.\r\n.\r\n", "a.\r\n", 0, "" },
    { "a\r\n..b\r\n.\r\n", "a\r\n.b\r\n", 0, "" },
    { ". \r\n.\r\n", " \r\n", 0, "" },
    { "a\r\n.\r\n..\r\n", "a\r\n", 0, "..\r\n" },
    /* no end yet */
    { "", "", 0, NULL },
    { ".", "", 0, NULL },
    { ".\r", "", 0, NULL },
    { "a\r\n.", "a\r\n", 0, NULL },
    { "a\r\n.\r", "a\r\n", 0, NULL },
    { "a.\r\nb", "a.\r\nb", 0, NULL },
    { "..", ".", 0, NULL },
    /* smuggling: none of these ends is an end */
    { "a\n.\n", "a\n.\n", 1, NULL },
    { "a\n.\r\n", "a\n.\r\n", 1, NULL },
    { "a\r\n.\nb", "a\r\n\nb", 1, NULL },
    { "a\r\n.\rb", "a\r\n\rb", 1, NULL },
    { "a\r.\rb", "a\r.\rb", 1, NULL },
    { "a\r.\r\nb", "a\r.\r\nb", 1, NULL },
    { "a\r\r\n.\r\n", "a\r\r\n", 1, "" },
    { "a\r\n.\r\r\n", "a\r\n\r\r\n", 1, NULL },
    { "a\r\n\n.\r\n", "a\r\n\n.\r\n", 1, NULL },
    { "a\n\r\n.\r\n", "a\n\r\n", 1, "" },
    { "\n.\r\n", "\n.\r\n", 1, NULL },
    { "\r.\r\n", "\r.\r\n", 1, NULL },
    { "\n\r\n.\r\n", "\n\r\n", 1, "" },
    { ".\n\r\n.\r\n", "\n\r\n", 1, "" },
    { ".\r.\r\n", "\r.\r\n", 1, NULL },
    { ".\r\r\n.\r\n", "\r\r\n", 1, "" },
    { "a\r\n.\r\n\n.\r\n", "a\r\n", 0, "\n.\r\n" },
};

static apr_size_t feed(smtp_body_t *body, const char *in, apr_size_t len)
{
    /* exact copies, so that the sanitizer sees one octet too far */
    char *copy = malloc(len ? len : 1);
    apr_size_t n;

    memcpy(copy, in, len);
    n = smtp_body_feed(body, copy, len);
    free(copy);
    return n;
}

static void check(const body_case_t *c, const smtp_body_t *body,
                  apr_size_t taken, apr_size_t cut)
{
    apr_size_t left = c->left ? strlen(c->left) : 0;

    if (taken != strlen(c->in) - left || body->bare != c->bare
        || (body->state == BODY_END) != (c->left != NULL)) {
        /* a CR at the very end is not passed on yet: that is fine */
        fail_msg("case %d cut at %d: taken %d bare %d state %d",
                 (int)(c - cases), (int)cut, (int)taken, body->bare,
                 body->state);
    }
    if (body->len != strlen(c->out)
        || memcmp(body->buf ? body->buf : "", c->out, body->len) != 0)
        fail_msg("case %d cut at %d: content differs", (int)(c - cases),
                 (int)cut);
}

static void test_cut_everywhere(void **state)
{
    apr_size_t i, cut, len, taken;
    apr_pool_t *p;
    smtp_body_t body;

    (void)state;
    smtp_spares_bind(&spares, pool);
    for (i = 0; i < COUNT(cases); i++) {
        len = strlen(cases[i].in);
        for (cut = 0; cut <= len; cut++) {
            apr_pool_create(&p, pool);
            smtp_body_init(&body, 1 << 20, "/tmp", &spares, p);
            taken = feed(&body, cases[i].in, cut);
            if (taken == cut)
                taken += feed(&body, cases[i].in + cut, len - cut);
            check(&cases[i], &body, taken, cut);
            apr_pool_destroy(p);
        }
    }
}

static void test_octet_by_octet(void **state)
{
    apr_size_t i, at, len;
    apr_pool_t *p;
    smtp_body_t body;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        apr_pool_create(&p, pool);
        smtp_body_init(&body, 1 << 20, "/tmp", &spares, p);
        len = strlen(cases[i].in);
        for (at = 0; at < len && body.state != BODY_END; at++)
            assert_int_equal(feed(&body, cases[i].in + at, 1), 1);
        check(&cases[i], &body, at, 9999);
        apr_pool_destroy(p);
    }
}

/* A slow scanner, written the other way: the whole text at hand. */
static apr_size_t slow_scan(char *out, apr_size_t *pout, int *pbare,
                            const char *in, apr_size_t len)
{
    apr_size_t i, n = 0;
    int line = 1;

    *pbare = 0;
    for (i = 0; i < len; i++) {
        if (line && in[i] == '.') {
            if (i + 2 < len && in[i + 1] == '\r' && in[i + 2] == '\n') {
                *pout = n;
                return i + 3;
            }
            line = 0;
            continue;
        }
        line = 0;
        if (in[i] == '\r' && i + 1 < len && in[i + 1] == '\n') {
            out[n++] = '\r';
            out[n++] = '\n';
            i++;
            line = 1;
            continue;
        }
        if (in[i] == '\r' || in[i] == '\n')
            *pbare = 1;
        out[n++] = in[i];
    }
    *pout = n;
    return 0;
}

static void test_random(void **state)
{
    static const char alphabet[] = "\r\n.\r\n.a";
    unsigned int seed = 4711, round;
    char in[64], out[64];

    (void)state;
    for (round = 0; round < 200000; round++) {
        apr_size_t len = 1 + (apr_size_t)(rand_r(&seed) % 24), i, cut, taken;
        apr_size_t out_len, end;
        smtp_body_t body;
        apr_pool_t *p;
        int bare;

        for (i = 0; i < len; i++)
            in[i] = alphabet[rand_r(&seed) % 7];
        memcpy(in + len, "x\r\n.\r\n", 7);
        len += 6; /* so that there is an end in any case */
        end = slow_scan(out, &out_len, &bare, in, len);
        assert_int_not_equal(end, 0);
        apr_pool_create(&p, pool);
        smtp_body_init(&body, 1 << 20, "/tmp", &spares, p);
        cut = (apr_size_t)rand_r(&seed) % len;
        taken = smtp_body_feed(&body, in, cut);
        if (taken == cut && body.state != BODY_END)
            taken += smtp_body_feed(&body, in + cut, len - cut);
        assert_int_equal(taken, end);
        assert_int_equal(body.state, BODY_END);
        assert_int_equal(body.bare, bare);
        assert_int_equal(body.len, out_len);
        if (out_len)
            assert_memory_equal(body.buf, out, out_len);
        apr_pool_destroy(p);
    }
}

/* Chunks, however they are cut: the octets as they came, CRLF at the end, and
 * a CR or LF that stands alone is seen. */
static void test_chunks(void **state)
{
    static const char alphabet[] = "\r\n.\r\na\0";
    unsigned int seed = 4711, round;
    char in[32];

    (void)state;
    for (round = 0; round < 100000; round++) {
        apr_size_t len = (apr_size_t)(rand_r(&seed) % 24), i, at, n;
        int bare = 0, nul = 0, whole;
        smtp_body_t body;
        apr_pool_t *p;

        for (i = 0; i < len; i++)
            in[i] = alphabet[rand_r(&seed) % 7];
        for (i = 0; i < len; i++) {
            bare |= in[i] == '\n' && (i == 0 || in[i - 1] != '\r');
            bare |= in[i] == '\r' && (i + 1 == len || in[i + 1] != '\n');
            nul |= in[i] == '\0';
        }
        whole = len == 0 || in[len - 1] == '\n' || in[len - 1] == '\r';
        apr_pool_create(&p, pool);
        smtp_body_init(&body, 1 << 20, "/tmp", &spares, p);
        for (at = 0; at < len; at += n) {
            char *copy;

            n = 1 + (apr_size_t)rand_r(&seed) % (len - at);
            copy = malloc(n);
            memcpy(copy, in + at, n);
            smtp_body_chunk(&body, copy, n);
            free(copy);
        }
        smtp_body_last(&body);
        assert_int_equal(body.state, BODY_END);
        assert_int_equal(body.bare, bare);
        assert_int_equal(body.nul, nul);
        if (!bare) {
            assert_int_equal(body.len, len + (whole ? 0 : 2));
            if (len)
                assert_memory_equal(body.buf, in, len);
        }
        apr_pool_destroy(p);
    }
}

/* 1 MB: the first 256 KB in memory, the rest in a file without a name. */
static void test_spool(void **state)
{
    enum { LINES = 16384 };
    static const char line[] = "0123456789012345678901234567890123456789"
                               "0123456789012345678901\r\n";
    char back[4096];
    smtp_body_t body;
    apr_off_t at = 0;
    apr_pool_t *p;
    int i;

    (void)state;
    apr_pool_create(&p, pool);
    smtp_body_init(&body, 64 * LINES, "/tmp", &spares, p);
    smtp_body_put(&body, "Top: 1\r\n", 8);
    for (i = 0; i < LINES; i++)
        assert_int_equal(smtp_body_feed(&body, line, 64), 64);
    assert_int_equal(smtp_body_feed(&body, ".\r\n", 3), 3);
    assert_int_equal(body.state, BODY_END);
    assert_int_equal(body.size, 64 * LINES);
    assert_int_equal(body.too_big, 0);
    assert_int_equal(body.failed, APR_SUCCESS);
    assert_int_equal(body.len, MG_CONTENT_INLINE);
    assert_int_equal(body.file_size, 64 * LINES + 8 - MG_CONTENT_INLINE);
    assert_memory_equal(body.buf, "Top: 1\r\n012", 11);
    assert_int_equal(apr_file_seek(body.file, APR_SET, &at), APR_SUCCESS);
    assert_int_equal(apr_file_read_full(body.file, back, sizeof(back), NULL),
                     APR_SUCCESS);
    /* what was in memory ended 8 octets before the end of a line */
    assert_memory_equal(back, line + 56, 8);
    assert_memory_equal(back + 8, line, 64);
    apr_pool_destroy(p);
}

static void test_limit(void **state)
{
    smtp_body_t body;
    apr_pool_t *p;

    (void)state;
    apr_pool_create(&p, pool);
    smtp_body_init(&body, 10, "/tmp", &spares, p);
    smtp_body_put(&body, "Top: this does not count\r\n", 26);
    assert_int_equal(smtp_body_feed(&body, "12345678\r\n.\r\n", 13), 13);
    assert_int_equal(body.too_big, 0);
    apr_pool_clear(p);
    smtp_body_init(&body, 10, "/tmp", &spares, p);
    assert_int_equal(smtp_body_feed(&body, "123456789\r\n.\r\nX", 15), 14);
    assert_int_equal(body.too_big, 1);
    assert_int_equal(body.state, BODY_END);
    apr_pool_destroy(p);
}

static void test_no_spool_dir(void **state)
{
    static char much[MG_CONTENT_INLINE + 1];
    smtp_body_t body;
    apr_pool_t *p;

    (void)state;
    memset(much, 'x', sizeof(much));
    apr_pool_create(&p, pool);
    smtp_body_init(&body, 1 << 20, "/nonexistent", &spares, p);
    assert_int_equal(smtp_body_feed(&body, much, sizeof(much)), sizeof(much));
    assert_int_not_equal(body.failed, APR_SUCCESS);
    assert_int_equal(smtp_body_feed(&body, "\r\n.\r\nX", 6), 5);
    assert_int_equal(body.state, BODY_END);
    apr_pool_destroy(p);
}

UNIT_MAIN(cmocka_unit_test(test_cut_everywhere),
          cmocka_unit_test(test_octet_by_octet),
          cmocka_unit_test(test_random),
          cmocka_unit_test(test_chunks), cmocka_unit_test(test_spool),
          cmocka_unit_test(test_limit), cmocka_unit_test(test_no_spool_dir))
