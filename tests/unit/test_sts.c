/* test_sts.c - MTA-STS: records, policies, and how long one holds. */
#include "unit_pool.h"

#include "mg_status.h"
#include "mg_time.h"
#include "sts_fetch.h"
#include "sts.h"

/* --- the TXT record --- */

static const struct {
    const char *txt, *id;
} txts[] = {
    { "v=STSv1; id=20160831085700Z;", "20160831085700Z" },
    { "v=STSv1;id=a", "a" },
    { "v=STSv1 ;\tid = a1 ; x=y;", "a1" },
    { "v=STSv1; x=y; id=b2", "b2" },
    { "v=STSv1; id=12345678901234567890123456789012;",
      "12345678901234567890123456789012" },
    { "v=STSv1; id=123456789012345678901234567890123;", NULL },
    { "v=STSv1; id=a-b;", NULL },
    { "v=STSv1; id=;", NULL },
    { "v=STSv1; ident=a;", NULL },
    { "v=STSv1;", NULL },
    { "v=STSv1", NULL },
    { "v=STSv10; id=a;", NULL },
    { "v=stsv1; id=a;", NULL },
    { " v=STSv1; id=a;", NULL },
    { "v=spf1 -all", NULL },
    { "", NULL },
};

static void test_txt(void **state)
{
    apr_size_t i;

    (void)state;
    for (i = 0; i < COUNT(txts); i++) {
        const char *id = sts_txt_id(txts[i].txt, pool);

        if ((id == NULL) != (txts[i].id == NULL)
            || (id && strcmp(id, txts[i].id) != 0))
            fail_msg("'%s' -> %s", txts[i].txt, id ? id : "none");
    }
}

/* --- the policy --- */

#define GOOD "version: STSv1\nmode: enforce\nmx: mx.a.test\nmax_age: 86400\n"

static const struct {
    const char *text;
    const char *normal;  /* NULL: refused */
} policies[] = {
    { GOOD, GOOD },
    { "version: STSv1\r\nmode: testing\r\nmx: *.A.test\r\nmx: b.test\r\n"
      "max_age: 1\r\n",
      "version: STSv1\nmode: testing\nmx: *.a.test\nmx: b.test\nmax_age: 1\n" },
    { "version:STSv1\nmode:none\nmax_age:0",
      "version: STSv1\nmode: none\nmax_age: 0\n" },
    /* any order, unknown keys, rubbish lines, what repeats */
    { "max_age: 5 \n\nx: y\nrubbish\nmx:\ta.test\nmode: enforce\n"
      "version: STSv1\nmode: none\nmax_age: 7\n",
      "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 5\n" },
    { "version: STSv1\nmode: enforce\nmx: a\nmax_age: 9999999999\n",
      "version: STSv1\nmode: enforce\nmx: a\nmax_age: 31557600\n" },
    { "", NULL },
    { "version: STSv2\nmode: enforce\nmx: a.test\nmax_age: 1\n", NULL },
    { "mode: enforce\nmx: a.test\nmax_age: 1\n", NULL },
    { "version: STSv1\nmode: strict\nmx: a.test\nmax_age: 1\n", NULL },
    { "version: STSv1\nmx: a.test\nmax_age: 1\n", NULL },
    { "version: STSv1\nmode: enforce\nmax_age: 1\n", NULL },
    { "version: STSv1\nmode: enforce\nmx: a.test\n", NULL },
    { "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: -1\n", NULL },
    { "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 1d\n", NULL },
    { "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 12345678901\n",
      NULL },
    { "version: STSv1\nmode: enforce\nmx: a..test\nmax_age: 1\n", NULL },
    { "version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n", NULL },
    { "version: STSv1\nmode: enforce\nmx: a.*.test\nmax_age: 1\n", NULL },
    { "version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1\n", NULL },
};

static void test_policies(void **state)
{
    sts_policy_t *policy;
    const char *why, *text;
    apr_size_t i;
    char *large;

    (void)state;
    for (i = 0; i < COUNT(policies); i++) {
        apr_status_t rv = sts_policy_parse(&policy, policies[i].text,
                                           strlen(policies[i].text), &why,
                                           pool);

        if ((rv == APR_SUCCESS) != (policies[i].normal != NULL))
            fail_msg("'%s': %s", policies[i].text, why ? why : "taken");
        if (rv != APR_SUCCESS) {
            assert_non_null(why);
            continue;
        }
        text = sts_policy_text(policy, pool);
        assert_string_equal(text, policies[i].normal);
    }
    large = apr_palloc(pool, STS_TEXT_MAX + 1);
    memset(large, '\n', STS_TEXT_MAX + 1);
    assert_int_equal(sts_policy_parse(&policy, large, STS_TEXT_MAX + 1, &why,
                                      pool), MG_ELIMIT);
    text = GOOD;
    for (i = 0; i < STS_MX_MAX; i++)
        text = apr_pstrcat(pool, text, "mx: a.test\n", NULL);
    assert_int_equal(sts_policy_parse(&policy, text, strlen(text), &why,
                                      pool), MG_ELIMIT);
}

static const struct {
    const char *host;
    int matches;
} hosts[] = {
    { "mx.a.test", 1 }, { "MX.A.TEST", 1 }, { "x.mx.a.test", 0 },
    { "a.test", 0 }, { "one.b.test", 1 }, { "b.test", 0 },
    { "two.one.b.test", 0 }, { ".b.test", 0 }, { "xb.test", 0 }, { "", 0 },
};

static void test_matches(void **state)
{
    static const char text[] = "version: STSv1\nmode: enforce\nmx: mx.a.test\n"
                               "mx: *.b.test\nmax_age: 1\n";
    sts_policy_t *policy;
    const char *why;
    apr_size_t i;

    (void)state;
    assert_int_equal(sts_policy_parse(&policy, text, strlen(text), &why,
                                      pool), APR_SUCCESS);
    for (i = 0; i < COUNT(hosts); i++)
        if (sts_policy_matches(policy, hosts[i].host) != hosts[i].matches)
            fail_msg("%s", hosts[i].host);
}

/* --- how long it holds --- */

/* dns_txt() and dns_txt_value() are the test's own: linked before smtpd's they
 * would clash, so the state machine is compiled in here. */
static const char *record;        /* NULL: silence; "": none */
static int asked, fetched, saved;
static const char *file;          /* NULL: the fetch fails */

static void fake_txt(dns_t *dns, const char *name, dns_fn *fn, void *baton)
{
    dns_answer_t answer;
    dns_record_t r;

    (void)dns;
    assert_string_equal(name, "_mta-sts.a.test");
    asked++;
    memset(&answer, 0, sizeof(answer));
    answer.status = !record ? DNS_LATER : *record ? DNS_FOUND : DNS_NONE;
    if (record && *record) {
        r.data = (const unsigned char *)record;
        r.len = strlen(record);
        answer.records = &r;
        answer.nrecords = 1;
    }
    fn(&answer, baton);
}

static char *fake_value(const dns_record_t *r, apr_pool_t *p)
{
    return apr_pstrmemdup(p, (const char *)r->data, r->len);
}

static apr_time_t ticks;          /* both clocks of what is compiled in here */

static apr_time_t fake_time(void)
{
    return ticks;
}

#define dns_txt fake_txt
#define dns_txt_value fake_value
#define mg_ticks fake_time
#define mg_now fake_time
#define sts_create test_sts_create
#define sts_load test_sts_load
#define sts_lookup test_sts_lookup
#define sts_known test_sts_known
sts_t *test_sts_create(dns_t *, sts_fetch_fn *, void *, sts_save_fn *, void *,
                       apr_pool_t *);
void test_sts_load(sts_t *, const char *, const char *, const char *,
                   apr_time_t, apr_time_t);
void test_sts_lookup(sts_t *, const char *, sts_fn *, void *);
const sts_policy_t *test_sts_known(sts_t *, const char *, int *);
#include "../../smtpd/sts.c"

static void fake_fetch(const char *domain, sts_got_fn *got, void *got_baton,
                       void *baton)
{
    (void)baton;
    assert_string_equal(domain, "a.test");
    fetched++;
    if (file)
        got(file, strlen(file), NULL, got_baton);
    else
        got(NULL, 0, "HTTP status 500", got_baton);
}

static void fake_save(const char *domain, const char *id, const char *text,
                      apr_time_t fetched_at, apr_time_t expires_at,
                      void *baton)
{
    (void)id;
    (void)baton;
    assert_string_equal(domain, "a.test");
    assert_string_equal(text, GOOD);
    assert_true(expires_at == fetched_at + apr_time_from_sec(86400));
    saved++;
}

static void on_known(const sts_policy_t *policy, void *baton)
{
    *(int *)baton = policy ? (int)policy->mode : -1;
}

/* Each step: seconds go by, what DNS and web server say, what comes of it. */
static const struct {
    const char *what;
    int seconds;
    const char *record, *file;
    int asked, fetched;   /* in this step */
    int mode;             /* -1: no policy */
} steps[] = {
    { "DNS is silent", 0, NULL, NULL, 1, 0, -1 },
    { "not asked again at once", 30, "v=STSv1; id=1;", GOOD, 0, 0, -1 },
    { "none", 60, "", NULL, 1, 0, -1 },
    { "there is one, and the fetch fails", 61, "v=STSv1; id=1;", NULL, 1, 1,
      -1 },
    { "no new fetch for five minutes", 100, "v=STSv1; id=1;", GOOD, 1, 0, -1 },
    { "fetched", 300, "v=STSv1; id=1;", GOOD, 1, 1, STS_ENFORCE },
    { "known", 10, "v=STSv1; id=1;", NULL, 0, 0, STS_ENFORCE },
    { "same id: not fetched", 61, "v=STSv1; id=1;", NULL, 1, 0, STS_ENFORCE },
    { "the record goes: it holds", 61, "", NULL, 1, 0, STS_ENFORCE },
    { "DNS is silent: it holds", 61, NULL, NULL, 1, 0, STS_ENFORCE },
    { "another id, the fetch fails: it holds", 61, "v=STSv1; id=2;", NULL, 1,
      1, STS_ENFORCE },
    { "a policy that is none: it holds", 301, "v=STSv1; id=2;", "<html>", 1,
      1, STS_ENFORCE },
    { "half of its time: fetched anew", 43201, "v=STSv1; id=1;", GOOD, 1, 1,
      STS_ENFORCE },
    { "over: it is gone", 86401, "", NULL, 1, 0, -1 },
};

static void test_life(void **state)
{
    apr_pool_t *p;
    apr_size_t i;
    sts_t *sts;
    int mode, fresh;

    (void)state;
    apr_pool_create(&p, pool);
    ticks = apr_time_from_sec(1000000);
    sts = sts_create(NULL, fake_fetch, NULL, fake_save, NULL, p);
    assert_null(sts_known(sts, "a.test", &fresh));
    assert_int_equal(fresh, 0);
    for (i = 0; i < COUNT(steps); i++) {
        int asked_before = asked, fetched_before = fetched;

        ticks += apr_time_from_sec(steps[i].seconds);
        record = steps[i].record;
        file = steps[i].file;
        mode = -2;
        sts_lookup(sts, "a.test", on_known, &mode);
        if (mode != steps[i].mode || asked - asked_before != steps[i].asked
            || fetched - fetched_before != steps[i].fetched)
            fail_msg("%s: mode %d, asked %d, fetched %d", steps[i].what, mode,
                     asked - asked_before, fetched - fetched_before);
        sts_known(sts, "a.test", &fresh);
        assert_int_equal(fresh, 1);
    }
    assert_int_equal(saved, 2);
    apr_pool_destroy(p);

    /* saved once, it holds over a start; when it is over, it does not */
    apr_pool_create(&p, pool);
    sts = sts_create(NULL, fake_fetch, NULL, NULL, NULL, p);
    sts_load(sts, "a.test", "1", GOOD, ticks, ticks + 1);
    sts_load(sts, "b.test", "1", GOOD, ticks - 1, ticks);
    sts_load(sts, "c.test", "1", "damaged", ticks, ticks + 1);
    assert_non_null(sts_known(sts, "a.test", &fresh));
    assert_int_equal(fresh, 0);
    assert_null(sts_known(sts, "b.test", &fresh));
    assert_null(sts_known(sts, "c.test", &fresh));
    apr_pool_destroy(p);
}

/* --- many at once --- */

static struct {
    dns_fn *fn;
    void *baton;
} hosts_asked[400];
static int nhosts_asked;

static void fake_host(dns_t *dns, const char *host, dns_fn *fn, void *baton)
{
    (void)dns;
    (void)host;
    hosts_asked[nhosts_asked].fn = fn;
    hosts_asked[nhosts_asked++].baton = baton;
}

#define dns_host fake_host
#define sts_fetch test_sts_fetch
#define sts_fetcher_create test_sts_fetcher_create
void test_sts_fetch(const char *, sts_got_fn *, void *, void *);
apr_status_t test_sts_fetcher_create(sts_fetcher_t **, loop_t *, dns_t *,
                                     const mg_config_t *, apr_pool_t *);
#define cleanup fetch_cleanup
#undef fail /* cmocka's */
#include "../../smtpd/sts_fetch.c"

static void count_got(const char *text, apr_size_t len, const char *why,
                      void *baton)
{
    (void)text;
    (void)len;
    assert_non_null(why);
    ++*(int *)baton;
}

/* Fifty at a time; others wait for them, two hundred at most. */
static void test_many_fetches(void **state)
{
    static const mg_config_t config;
    dns_answer_t later;
    sts_fetcher_t *fetcher;
    loop_t *loop;
    apr_pool_t *p;
    int i, got = 0;

    (void)state;
    memset(&later, 0, sizeof(later));
    later.status = DNS_LATER;
    later.reply = "498 4.4.3 not now";
    apr_pool_create(&p, pool);
    assert_int_equal(loop_create(&loop, p), APR_SUCCESS);
    assert_int_equal(sts_fetcher_create(&fetcher, loop, NULL, &config, p),
                     APR_SUCCESS);
    for (i = 0; i < 250; i++)
        sts_fetch(apr_psprintf(p, "d%d.test", i), count_got, &got, fetcher);
    assert_int_equal(nhosts_asked, 50);
    assert_int_equal(got, 0);
    sts_fetch("more.test", count_got, &got, fetcher);
    assert_int_equal(got, 1);
    for (i = 0; i < 230; i++)
        hosts_asked[i].fn(&later, hosts_asked[i].baton);
    assert_int_equal(got, 231);
    assert_int_equal(nhosts_asked, 250);
    apr_pool_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_txt), cmocka_unit_test(test_policies),
        cmocka_unit_test(test_matches), cmocka_unit_test(test_life),
        cmocka_unit_test(test_many_fetches)
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed ? 1 : 0;
}
