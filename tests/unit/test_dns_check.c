/* test_dns_check.c - the records a domain needs, what is found, what follows.
 */
#include <string.h>
#include <apr_strings.h>

#include "mg_dkim_key.h"
#include "mg_dns_rule.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_records.h"

/* Texts, "|" between them; "" for none. */
static apr_array_header_t *list_of(unit_store_t *s, const char *texts)
{
    apr_array_header_t *list = apr_array_make(s->p, 2, sizeof(char *));
    char *copy = apr_pstrdup(s->p, texts), *last, *one;

    for (one = apr_strtok(copy, "|", &last); one;
         one = apr_strtok(NULL, "|", &last))
        APR_ARRAY_PUSH(list, char *) = one;
    return list;
}

static void judges_texts(void **state)
{
    static const struct {
        const char *record, *want, *found;
        mg_dns_verdict_t verdict;
    } cases[] = {
        { "spf", "v=spf1 include:s.test ~all", "v=spf1 include:s.test ~all",
          MG_DNS_VALID },
        { "spf", "v=spf1 include:s.test ~all",
          "x=y|v=spf1 ip4:192.0.2.1 +Include:S.test -all", MG_DNS_VALID },
        { "spf", "v=spf1 include:s.test ~all", "V=SPF1 include:s.test",
          MG_DNS_VALID },
        { "spf", "v=spf1 include:s.test ~all", "v=spf1 ~all include:s.test",
          MG_DNS_WRONG },
        { "spf", "v=spf1 include:s.test ~all", "v=spf1 ?include:s.test ~all",
          MG_DNS_WRONG },
        { "spf", "v=spf1 include:s.test ~all", "v=spf1 include:s.test.evil",
          MG_DNS_WRONG },
        { "spf", "v=spf1 include:s.test ~all", "v=spf1", MG_DNS_WRONG },
        { "spf", "v=spf1 include:s.test ~all",
          "v=spf1 include:s.test ~all|v=spf1 -all", MG_DNS_WRONG },
        { "spf", "v=spf1 include:s.test ~all", "v=spf10 include:s.test|other",
          MG_DNS_MISSING },
        { "spf", "v=spf1 include:s.test ~all", "", MG_DNS_MISSING },
        { "spf", "v=spf1 a:h.test ip4:192.0.2.1 ~all",
          "v=spf1 a:h.test ip4:192.0.2.1 ~all", MG_DNS_VALID },
        { "spf", "v=spf1 a:h.test ip4:192.0.2.1 ~all", "v=spf1 a:h.test ~all",
          MG_DNS_WRONG },
        { "dkim.mg", "k=rsa; p=AAAA", "k=rsa; p=AAAA", MG_DNS_VALID },
        { "dkim.mg", "k=rsa; p=AAAA", "v=DKIM1;k=rsa;p=AA AA;", MG_DNS_VALID },
        { "dkim.mg", "k=rsa; p=AAAA", "p=AAAA", MG_DNS_VALID },
        { "dkim.mg", "k=rsa; p=AAAA", "v=DKIM1; t=s; p=AAAA; n=x",
          MG_DNS_VALID },
        { "dkim.mg", "k=rsa; p=AAAA", "v=DKIM1; k=rsa; p=AAAB", MG_DNS_WRONG },
        { "dkim.mg", "k=rsa; p=AAAA", "v=DKIM1; k=rsa; p=", MG_DNS_WRONG },
        { "dkim.mg", "k=rsa; p=AAAA", "v=DKIM2; k=rsa; p=AAAA", MG_DNS_WRONG },
        { "dkim.mg", "k=rsa; p=AAAA", "k=ed25519; p=AAAA", MG_DNS_WRONG },
        { "dkim.mg", "k=rsa; p=AAAA", "k=rsa; p=AAAA|k=rsa; p=AAAB",
          MG_DNS_WRONG },
        { "dkim.mg", "k=rsa; p=AAAA", "no tags", MG_DNS_WRONG },
        { "dkim.mg", "k=rsa; p=AAAA", "", MG_DNS_MISSING },
        { "dkim.mge", "v=DKIM1; k=ed25519; p=BBBB", "k=ed25519; p=BBBB",
          MG_DNS_VALID },
        { "dkim.mge", "v=DKIM1; k=ed25519; p=BBBB", "p=BBBB", MG_DNS_WRONG },
    };
    unit_store_t *s = *state;
    mg_dns_record_t want;
    const char *seen;
    size_t i;

    memset(&want, 0, sizeof(want));
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        want.record = cases[i].record;
        want.value = cases[i].want;
        if (mg_dns_judge_text(&want, list_of(s, cases[i].found), &seen, s->p)
            != cases[i].verdict)
            fail_msg("%s: '%s' for '%s'", cases[i].record, cases[i].found,
                     cases[i].want);
        assert_non_null(seen);
    }
}

static void judges_hosts(void **state)
{
    static const struct {
        const char *found;
        mg_dns_verdict_t verdict;
    } cases[] = {
        { "mx1.test", MG_DNS_VALID }, { "MX2.test.", MG_DNS_VALID },
        { "other.test|mx2.test", MG_DNS_VALID },
        { "other.test", MG_DNS_WRONG }, { "mx1.test.evil", MG_DNS_WRONG },
        { "", MG_DNS_MISSING },
    };
    unit_store_t *s = *state;
    apr_array_header_t *wanted = apr_array_make(s->p, 2,
                                                sizeof(mg_dns_record_t));
    apr_array_header_t *null_mx = apr_array_make(s->p, 1, sizeof(char *));
    mg_dns_record_t *r;
    const char *seen;
    size_t i;

    for (i = 1; i <= 2; i++) {
        r = apr_array_push(wanted);
        memset(r, 0, sizeof(*r));
        r->record = "mx";
        r->value = apr_psprintf(s->p, "mx%d.test", (int)i);
    }
    r = (mg_dns_record_t *)wanted->elts;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (mg_dns_judge_host(r, wanted, list_of(s, cases[i].found), &seen,
                              s->p) != cases[i].verdict)
            fail_msg("'%s'", cases[i].found);
    APR_ARRAY_PUSH(null_mx, const char *) = "";
    assert_int_equal(mg_dns_judge_host(r, wanted, null_mx, &seen, s->p),
                     MG_DNS_MISSING);
    assert_string_equal(seen, ".");
}

static void zone_text(void **state)
{
    unit_store_t *s = *state;
    char *text = apr_palloc(s->p, 301);

    assert_string_equal(mg_dns_zone_text("k=rsa", s->p), "\"k=rsa\"");
    assert_string_equal(mg_dns_zone_text("", s->p), "\"\"");
    memset(text, 'x', 300);
    text[300] = '\0';
    text = mg_dns_zone_text(text, s->p);
    assert_int_equal(strlen(text), 300 + 5);
    assert_memory_equal(text + 256, "\" \"", 3);
}

static mg_domain_t *made_domain(unit_store_t *s, const char *name)
{
    mg_domain_t *d;

    unit_store_ok(s->db, mg_domain_add(&d, s->db, unit_secret(s),
                                       unit_account(s, name), name, "$2y$h",
                                       unit_dkim(), s->p));
    return d;
}

/* Claim, store, in one: what mx, spf and the keys of the list said. */
static const char *look(unit_store_t *s, apr_int64_t domain_id,
                        const char *records, mg_dns_verdict_t verdict)
{
    apr_array_header_t *names = list_of(s, records), *due;
    apr_array_header_t *results = apr_array_make(s->p, 4,
                                                 sizeof(mg_dns_result_t));
    const char *words;
    int i;

    unit_store_ok(s->db, mg_dns_ask(s->db, domain_id));
    unit_store_ok(s->db, mg_dns_claim(&due, s->db, 10,
                                      apr_time_from_sec(60), s->p));
    assert_int_equal(due->nelts, 1);
    for (i = 0; i < names->nelts; i++) {
        mg_dns_result_t *r = apr_array_push(results);

        r->record = APR_ARRAY_IDX(names, i, char *);
        r->verdict = verdict;
        r->seen = "what \xff";
    }
    unit_store_ok(s->db,
                  mg_dns_store(&words, s->db,
                               &APR_ARRAY_IDX(due, 0, mg_dns_due_t), results,
                               mg_now(), mg_now() + apr_time_from_sec(3600),
                               s->p));
    return words ? words : "";
}

/* "mx valid, spf unknown", of what mg_dns_records() lists. */
static const char *validity(unit_store_t *s, const mg_domain_t *d)
{
    mg_config_t *config = mg_config_create(s->p);
    apr_array_header_t *list;
    const char *all = "";
    int i;

    config->hostname = "mail.host.test";
    unit_store_ok(s->db, mg_dns_records(&list, config, s->db, d, s->p));
    for (i = 0; i < list->nelts; i++) {
        const mg_dns_record_t *r = &APR_ARRAY_IDX(list, i, mg_dns_record_t);

        all = apr_pstrcat(s->p, all, i ? ", " : "", r->record, " ", r->valid,
                          NULL);
    }
    return all;
}

static int mx_of(unit_store_t *s, apr_int64_t id, const char **pstate)
{
    mg_domain_t *d;

    unit_store_ok(s->db, mg_domain_by_id(&d, s->db, id, s->p));
    *pstate = d->state;
    return d->mx;
}

static int tracks(unit_store_t *s, apr_int64_t id)
{
    mg_domain_t *d;

    unit_store_ok(s->db, mg_domain_by_id(&d, s->db, id, s->p));
    return d->cname;
}

/* Links lead to the tracking host while it was there when last an answer came.
 */
static void tracking_host(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = made_domain(s, "t.test");

    assert_int_equal(tracks(s, d->id), 0);
    assert_string_equal(look(s, d->id, "cname", MG_DNS_MISSING), "");
    assert_int_equal(tracks(s, d->id), 0);
    assert_string_equal(look(s, d->id, "cname", MG_DNS_VALID),
                        "tracking host ours");
    assert_int_equal(tracks(s, d->id), 1);
    assert_string_equal(look(s, d->id, "cname", MG_DNS_FAILED), "");
    assert_int_equal(tracks(s, d->id), 1);
    assert_string_equal(look(s, d->id, "cname", MG_DNS_VALID), "");
    assert_string_equal(look(s, d->id, "cname", MG_DNS_WRONG),
                        "tracking host missing");
    assert_int_equal(tracks(s, d->id), 0);
}

static void what_follows(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = made_domain(s, "a.test");
    const char *is;
    apr_time_t at;

    unit_store_ok(s->db, mg_dns_checked(&at, s->db, d->id));
    assert_int_equal(at, 0);
    assert_string_equal(validity(s, d), "mx unknown, spf unknown, dkim.mg "
                        "unknown, dkim.mge unknown, cname unknown");
    assert_string_equal(look(s, d->id, "mx|spf|dkim.mg", MG_DNS_FAILED), "");
    assert_int_equal(mx_of(s, d->id, &is), MG_MX_UNKNOWN);
    assert_string_equal(look(s, d->id, "mx", MG_DNS_WRONG), "mx elsewhere");
    assert_string_equal(look(s, d->id, "spf", MG_DNS_VALID), "");
    assert_int_equal(mx_of(s, d->id, &is), MG_MX_ELSEWHERE);
    assert_string_equal(is, "unverified");
    assert_string_equal(validity(s, d), "mx invalid, spf valid, dkim.mg "
                        "unknown, dkim.mge unknown, cname unknown");
    assert_string_equal(look(s, d->id, "mx|spf|dkim.mge", MG_DNS_VALID),
                        "mx ours, active");
    assert_int_equal(mx_of(s, d->id, &is), MG_MX_OURS);
    assert_string_equal(is, "active");
    /* no answer leaves things as they were */
    assert_string_equal(look(s, d->id, "mx|spf", MG_DNS_FAILED), "");
    assert_int_equal(mx_of(s, d->id, &is), MG_MX_OURS);
    assert_string_equal(validity(s, d), "mx unknown, spf unknown, dkim.mg "
                        "unknown, dkim.mge valid, cname unknown");
    /* a domain that was active once stays so */
    assert_string_equal(look(s, d->id, "mx|spf|dkim.mg|dkim.mge",
                             MG_DNS_MISSING), "mx missing");
    assert_int_equal(mx_of(s, d->id, &is), MG_MX_UNKNOWN);
    assert_string_equal(is, "active");
    unit_store_ok(s->db, mg_dns_checked(&at, s->db, d->id));
    assert_true(at > 0);

    unit_store_ok(s->db, mg_dkim_rotate(s->db, unit_secret(s), d->id,
                                        unit_dkim(), s->p));
    assert_string_equal(look(s, d->id, "dkim.mg|dkim.mge|dkim.mg2",
                             MG_DNS_VALID), "mg2 signs");
    unit_fsck(s, 0, NULL);
    unit_store_ok(s->db, mg_domain_remove(s->db, d->id, s->p));
    unit_fsck(s, 0, NULL);
    unit_store_is(s->db, mg_dns_ask(s->db, d->id), APR_ENOENT);
    unit_store_is(s->db, mg_dns_checked(&at, s->db, d->id), APR_ENOENT);
}

/* One keeper looks; who asks while it looks gets another look. */
static void one_looks(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = made_domain(s, "a.test");
    apr_array_header_t *due, *again;
    apr_array_header_t *none = apr_array_make(s->p, 1,
                                              sizeof(mg_dns_result_t));
    const char *words;
    apr_time_t at;

    made_domain(s, "b.test");
    unit_store_ok(s->db, mg_dns_claim(&due, s->db, 10, apr_time_from_sec(60),
                                      s->p));
    assert_int_equal(due->nelts, 2);
    unit_store_ok(s->db, mg_dns_claim(&again, s->db, 10, apr_time_from_sec(60),
                                      s->p));
    assert_int_equal(again->nelts, 0);
    unit_store_ok(s->db, mg_dns_ask(s->db, d->id));
    unit_store_ok(s->db, mg_dns_store(&words, s->db,
                                      &APR_ARRAY_IDX(due, 0, mg_dns_due_t),
                                      none, mg_now(),
                                      mg_now() + apr_time_from_sec(3600),
                                      s->p));
    unit_store_ok(s->db, mg_dns_checked(&at, s->db, d->id));
    assert_int_equal(at, 0);
    unit_store_ok(s->db, mg_dns_claim(&again, s->db, 10, apr_time_from_sec(60),
                                      s->p));
    assert_int_equal(again->nelts, 1);
    assert_int_equal(APR_ARRAY_IDX(again, 0, mg_dns_due_t).domain_id, d->id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_SQLITE(judges_texts),
        UNIT_ON_SQLITE(judges_hosts),
        UNIT_ON_SQLITE(zone_text),
        UNIT_ON_BOTH(tracking_host),
        UNIT_ON_BOTH(what_follows),
        UNIT_ON_BOTH(one_looks),
    };
    return unit_store_run("dns_check", tests);
}
