/* test_suppression.c - addresses a domain sends nothing any more. */
#include <string.h>

#include <apr_strings.h>

#include "mg_status.h"
#include "mg_suppression.h"
#include "unit_records.h"

static apr_int64_t domain;

static void add(unit_store_t *s, mg_suppression_kind_t kind,
                const char *address, const char *tag)
{
    mg_suppression_t entry = { .kind = kind, .address = address, .tag = tag };

    unit_store_ok(s->db, mg_suppression_add(s->db, domain, &entry, s->p));
}

static const mg_suppression_t *get(unit_store_t *s, mg_suppression_kind_t kind,
                                   const char *address, int n)
{
    apr_array_header_t *list;

    unit_store_ok(s->db, mg_suppression_list(&list, s->db, domain, kind,
                                             address, NULL, 0, 0, s->p));
    assert_int_equal(list->nelts, n);
    return n ? &APR_ARRAY_IDX(list, 0, mg_suppression_t) : NULL;
}

static void setup(unit_store_t *s)
{
    domain = unit_domain(s, unit_account(s, "acme"), "a.test")->id;
}

static void test_rows(void **state)
{
    unit_store_t *s = *state;
    mg_suppression_t bounce = { .kind = MG_BOUNCED, .address = "Bob@X.test",
                                .code = "554", .error = "no \xff such",
                                .class = "unknown" };
    const mg_suppression_t *found;
    apr_int64_t n;

    setup(s);
    unit_store_ok(s->db, mg_suppression_add(s->db, domain, &bounce, s->p));
    found = get(s, MG_BOUNCED, "bob@x.TEST", 1);
    assert_string_equal(found->address, "Bob@X.test");
    assert_string_equal(found->code, "554");
    assert_string_equal(found->error, "no \xef\xbf\xbd such");
    assert_string_equal(found->class, "unknown");
    add(s, MG_BOUNCED, "bob@x.test", NULL); /* replaced */
    assert_string_equal(get(s, MG_BOUNCED, "bob@x.test", 1)->code, "550");

    add(s, MG_COMPLAINED, "bob@x.test", NULL);
    add(s, MG_COMPLAINED, "BOB@x.test", NULL);
    assert_int_equal(get(s, MG_COMPLAINED, "bob@x.test", 1)->count, 2);

    add(s, MG_UNSUBSCRIBED, "bob@x.test", "news");
    add(s, MG_UNSUBSCRIBED, "bob@x.test", "news");
    add(s, MG_UNSUBSCRIBED, "bob@x.test", NULL);
    found = get(s, MG_UNSUBSCRIBED, "bob@x.test", 2);
    assert_string_equal(found[0].tag, "*");
    assert_string_equal(found[1].tag, "news");
    assert_int_equal(strlen(found[1].public_id), 24);
    unit_store_ok(s->db, mg_suppression_count(&n, s->db, domain,
                                              MG_UNSUBSCRIBED));
    assert_int_equal(n, 2);
    unit_store_ok(s->db, mg_suppression_remove(s->db, domain, MG_UNSUBSCRIBED,
                                               "BOB@x.test", "news", s->p));
    assert_int_equal(mg_suppression_remove(s->db, domain, MG_UNSUBSCRIBED,
                                           "bob@x.test", "news", s->p),
                     APR_ENOENT);
    get(s, MG_UNSUBSCRIBED, "bob@x.test", 1);
    unit_store_ok(s->db, mg_suppression_remove(s->db, domain, MG_BOUNCED,
                                               "bob@x.test", NULL, s->p));
    get(s, MG_BOUNCED, "bob@x.test", 0);

    unit_store_ok(s->db, mg_domain_remove(s->db, domain, s->p));
    get(s, MG_UNSUBSCRIBED, "bob@x.test", 0);
    get(s, MG_COMPLAINED, "bob@x.test", 0);
}

static void test_pages(void **state)
{
    unit_store_t *s = *state;
    apr_array_header_t *list;
    int i;

    setup(s);
    for (i = 0; i < 5; i++)
        add(s, MG_BOUNCED, apr_psprintf(s->p, "%c@x.test", 'e' - i), NULL);
    unit_store_ok(s->db, mg_suppression_list(&list, s->db, domain, MG_BOUNCED,
                                             NULL, "B@x.test", 1, 2, s->p));
    assert_int_equal(list->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(list, 0, mg_suppression_t).address,
                        "d@x.test");
}

/* The tables say what? of whom? */
static void test_match(void **state)
{
    static const struct {
        const char *address, *options;
        int code;
    } cases[] = {
        { "ok@x.test", "{}", 0 },
        { "BOUNCED@x.test", "{}", 605 },
        { "all@x.test", "{}", 606 },
        { "news@x.test", "{}", 0 },
        { "news@x.test", "{\"tags\":[\"other\",\"News\"]}", 606 },
        { "spam@x.test", "{}", 607 },
        { "both@x.test", "{}", 605 },
        { "o\"dd'@x.test", "{}", 0 },
    };
    enum { N = sizeof(cases) / sizeof(cases[0]) };
    unit_store_t *s = *state;
    mg_suppression_ask_t asks[N + 1];
    apr_array_header_t *hits;
    const char *why;
    int i, k, code, found;

    setup(s);
    for (i = 0; i < N; i++) {
        asks[i].domain_id = domain;
        asks[i].address = cases[i].address;
    }
    asks[N].domain_id = domain + 1;         /* another domain's */
    asks[N].address = "bounced@x.test";
    unit_store_ok(s->db, mg_suppression_match(&hits, s->db, asks, N + 1,
                                              s->p));
    assert_int_equal(hits->nelts, 0);
    add(s, MG_BOUNCED, "bounced@x.test", NULL);
    add(s, MG_COMPLAINED, "both@x.test", NULL);
    add(s, MG_BOUNCED, "both@x.test", NULL);
    add(s, MG_UNSUBSCRIBED, "all@x.test", "*");
    add(s, MG_UNSUBSCRIBED, "news@x.test", "news");
    add(s, MG_COMPLAINED, "spam@x.test", NULL);
    unit_store_ok(s->db, mg_suppression_match(&hits, s->db, asks, N + 1,
                                              s->p));
    for (i = 0; i <= N; i++) {
        found = 0;
        for (k = 0; k < hits->nelts && !found; k++) {
            const mg_suppression_hit_t *hit =
                &APR_ARRAY_IDX(hits, k, mg_suppression_hit_t);

            if (hit->index == i
                && mg_suppression_stops(&code, &why, hit,
                                        i < N ? cases[i].options : "{}", s->p))
                found = code;
        }
        assert_int_equal(found, i < N ? cases[i].code : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(test_rows),
        UNIT_ON_BOTH(test_pages),
        UNIT_ON_BOTH(test_match),
    };
    return unit_store_run("suppression", tests);
}
