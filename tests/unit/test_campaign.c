/* test_campaign.c - rows of campaigns. */
#include <pthread.h>

#include "mg_campaign_report.h"
#include "mg_status.h"
#include "unit_records.h"

#define SIXTY "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *id, *name;
    apr_status_t rv;
} cases[] = {
    { "my_campaign_id", "Newsletter", APR_SUCCESS },
    { "my_campaign_id", "Another", MG_ECONFLICT },
    { "My_campaign_id", "Newsletter", APR_SUCCESS },
    { NULL, "\xe2\x82\xac", APR_SUCCESS },
    { SIXTY "aaaa", SIXTY "\xe2\x82\xac" "aaa", APR_SUCCESS },
    { SIXTY "aaaaa", "x", MG_EBADINPUT },
    { "x", SIXTY "aaaaa", MG_EBADINPUT },
    { "", "x", MG_EBADINPUT },
    { "x", "", MG_EBADINPUT },
    { "a b", "x", MG_EBADINPUT },
    { "\xc3\xa4", "x", MG_EBADINPUT },
    { "x", "\xff", MG_EBADINPUT },
    { "x", "a\nb", MG_EBADINPUT },
};

static void adds(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_campaign_t *c, *got;
    apr_array_header_t *list;
    apr_int64_t total;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unit_store_is(s->db, mg_campaign_add(&c, s->db, d->id, cases[i].id,
                                             cases[i].name, s->p),
                      cases[i].rv);
        if (cases[i].rv != APR_SUCCESS) {
            assert_null(c);
            continue;
        }
        unit_store_ok(s->db, mg_campaign_by_id(&got, s->db, d->id,
                                               c->public_id, s->p));
        assert_string_equal(got->name, cases[i].name);
        assert_int_equal(got->created_at, c->created_at);
    }
    unit_store_ok(s->db, mg_campaign_list(&list, s->db, d->id, 1, 2, s->p));
    assert_int_equal(list->nelts, 2);
    unit_store_ok(s->db, mg_campaign_total(&total, s->db, d->id));
    assert_int_equal(total, 4);
}

static void finds_and_removes(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t account = unit_account(s, "a");
    mg_domain_t *d = unit_domain(s, account, "a.test");
    mg_domain_t *other = unit_domain(s, account, "b.test");
    apr_array_header_t *ids = apr_array_make(s->p, 3, sizeof(char *));
    const char *unknown;
    mg_campaign_t *c;

    unit_store_ok(s->db, mg_campaign_add(&c, s->db, d->id, "one", "x", s->p));
    unit_store_ok(s->db, mg_campaign_unknown(&unknown, s->db, d->id, ids));
    assert_null(unknown);
    APR_ARRAY_PUSH(ids, const char *) = "one";
    unit_store_ok(s->db, mg_campaign_unknown(&unknown, s->db, d->id, ids));
    assert_null(unknown);
    APR_ARRAY_PUSH(ids, const char *) = "two\xff";
    unit_store_ok(s->db, mg_campaign_unknown(&unknown, s->db, d->id, ids));
    assert_string_equal(unknown, "two\xff");
    unit_store_ok(s->db, mg_campaign_unknown(&unknown, s->db, other->id, ids));
    assert_string_equal(unknown, "one");
    unit_store_is(s->db, mg_campaign_by_id(&c, s->db, other->id, "one", s->p),
                  APR_ENOENT);
    unit_store_is(s->db, mg_campaign_remove(s->db, other->id, "one"),
                  APR_ENOENT);
    unit_store_ok(s->db, mg_campaign_remove(s->db, d->id, "one"));
    unit_store_is(s->db, mg_campaign_by_id(&c, s->db, d->id, "one", s->p),
                  APR_ENOENT);
}

static const struct {
    const char *was, *id, *name;
    apr_status_t rv;
} renames[] = {
    { "one", "uno", NULL, APR_SUCCESS },
    { "uno", NULL, "Uno", APR_SUCCESS },
    { "uno", "uno", "Same", APR_SUCCESS },
    { "uno", "two", NULL, MG_ECONFLICT },
    { "uno", "two", "Other", MG_ECONFLICT },
    { "one", "three", NULL, APR_ENOENT },
    { "uno", "a b", NULL, MG_EBADINPUT },
    { "uno", NULL, "", MG_EBADINPUT },
    { "uno", "one", "Newsletter", APR_SUCCESS },
};

static void renames_them(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_campaign_t *one, *two, *got;
    size_t i;

    unit_store_ok(s->db, mg_campaign_add(&one, s->db, d->id, "one", "x",
                                         s->p));
    unit_store_ok(s->db, mg_campaign_add(&two, s->db, d->id, "two", "y",
                                         s->p));
    for (i = 0; i < sizeof(renames) / sizeof(renames[0]); i++) {
        unit_store_is(s->db, mg_campaign_rename(s->db, d->id, renames[i].was,
                                                renames[i].id,
                                                renames[i].name),
                      renames[i].rv);
        if (renames[i].rv != APR_SUCCESS)
            continue;
        unit_store_ok(s->db, mg_campaign_by_id(
                                 &got, s->db, d->id,
                                 renames[i].id ? renames[i].id
                                               : renames[i].was, s->p));
        assert_int_equal(got->id, one->id);
        if (renames[i].name)
            assert_string_equal(got->name, renames[i].name);
    }
}

/* Of an account, whatever its domains. */
static void are_limited(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t account = unit_account(s, "a");
    mg_domain_t *d = unit_domain(s, account, "a.test");
    mg_domain_t *e = unit_domain(s, account, "b.test");
    mg_campaign_t *c;
    const char *error;

    unit_store_is(s->db, mg_account_set(s->db, account, "campaigns", "x",
                                        &error, s->p), MG_EBADINPUT);
    unit_store_ok(s->db, mg_account_set(s->db, account, "campaigns", "2",
                                        &error, s->p));
    unit_store_ok(s->db, mg_campaign_add(&c, s->db, d->id, "one", "x", s->p));
    unit_store_ok(s->db, mg_campaign_add(&c, s->db, e->id, "two", "x", s->p));
    unit_store_is(s->db, mg_campaign_add(&c, s->db, d->id, "three", "x",
                                         s->p), MG_ELIMIT);
    unit_store_ok(s->db, mg_campaign_remove(s->db, e->id, "two"));
    unit_store_ok(s->db, mg_campaign_add(&c, s->db, d->id, "three", "x",
                                         s->p));
    unit_store_ok(s->db, mg_account_set(s->db, account, "campaigns", "none",
                                        &error, s->p));
    unit_store_ok(s->db, mg_campaign_add(&c, s->db, d->id, "four", "x", s->p));
}

/* A domain takes its campaigns along. */
static void end_with_the_domain(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_campaign_t *c;

    unit_store_ok(s->db, mg_campaign_add(&c, s->db, d->id, "one", "x", s->p));
    unit_store_ok(s->db, mg_domain_remove(s->db, d->id, s->p));
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM campaign"),
                     0);
}

/* Reports take memory: only so many read at once, the others wait. Here those
 * that read wait, too, for a lock of the server. */
#define REPORTS 5

typedef struct {
    mg_db_t *db;
    apr_pool_t *p;
    apr_int64_t campaign_id;
    pthread_t thread;
    apr_status_t rv;
} reader_t;

static void *read_report(void *data)
{
    reader_t *r = data;
    mg_campaign_query_t query = { .campaign_id = r->campaign_id,
                                  .kinds = 1u << MG_CAMPAIGN_OPENED,
                                  .by = MG_BY_DOMAIN, .limit = 1 };
    apr_array_header_t *groups;
    apr_int64_t n;

    r->rv = mg_campaign_report(&groups, &n, r->db, &query, r->p);
    return NULL;
}

static void stand_in_line(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    reader_t readers[REPORTS];
    mg_campaign_t *c;
    int i;

    unit_store_ok(s->db, mg_campaign_add(&c, s->db, d->id, "one", "x", s->p));
    for (i = 0; i < REPORTS; i++) {
        readers[i].campaign_id = c->id;
        readers[i].db = unit_store_open(s, 0);
        apr_pool_create(&readers[i].p, NULL);
    }
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "LOCK TABLE campaign_segment"
                                    " IN ACCESS EXCLUSIVE MODE", ""));
    unit_store_int(s->db, "SELECT 1"); /* it is there */
    for (i = 0; i < REPORTS; i++)
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_report,
                                        &readers[i]), 0);
    apr_sleep(300 * APR_TIME_C(1000));
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM"
                                    " pg_stat_activity WHERE datname ="
                                    " current_database() AND wait_event_type"
                                    " = 'Lock'"), MG_CAMPAIGN_REPORTS_MAX);
    unit_store_ok(s->db, mg_tx_commit(s->db));
    for (i = 0; i < REPORTS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].rv, APR_SUCCESS);
        apr_pool_destroy(readers[i].p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(adds),
        UNIT_ON_BOTH(finds_and_removes),
        UNIT_ON_BOTH(renames_them),
        UNIT_ON_BOTH(are_limited),
        UNIT_ON_BOTH(end_with_the_domain),
        UNIT_ON_PGSQL(stand_in_line),
    };
    return unit_store_run("campaign", tests);
}
