/* test_dead_letter.c - what was given up: listed, posted again, forgotten. */
#include <string.h>
#include <apr_strings.h>

#include "mg_dead_letter.h"
#include "mg_id.h"
#include "mg_time.h"
#include "unit_records.h"

#define DAY APR_TIME_C(86400000000)

static apr_int64_t bury(unit_store_t *s, const mg_domain_t *d, int transport,
                        const char *event, apr_time_t made)
{
    apr_int64_t id = mg_id_floor(made) + mg_id_next() % 1000;

    unit_store_ok(s->db, mg_db_exec(
        s->db, NULL,
        "INSERT INTO dead_letter (id, message_id, domain_id, transport,"
        " recipient, target, payload, attempts, last_reply, created_at)"
        " VALUES ($1, 4711, $2, $3, 'bob@x.test', 'http://old.test/x', $4, 8,"
        " '503 no', $5)", "iiiti", id, d->id, (apr_int64_t)transport,
        apr_psprintf(s->p, "{\"event\":\"%s\"}", event), (apr_int64_t)made));
    return id;
}

static int rows(unit_store_t *s, const char *table)
{
    return (int)unit_store_int(s->db, apr_pstrcat(s->p, "SELECT COUNT(*) FROM ",
                                                  table, NULL));
}

static void listed(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t account = unit_account(s, "a");
    mg_domain_t *a = unit_domain(s, account, "a.test");
    mg_domain_t *b = unit_domain(s, account, "b.test");
    apr_array_header_t *list;
    const mg_dead_letter_t *l;
    apr_int64_t newest;

    bury(s, a, MG_TRANSPORT_HOOK, "bounced", mg_now() - DAY);
    bury(s, b, MG_TRANSPORT_HOOK, "opened", mg_now() - DAY / 2);
    bury(s, a, MG_TRANSPORT_HTTP, "", mg_now());
    newest = bury(s, a, MG_TRANSPORT_HOOK, "dropped", mg_now());
    unit_store_ok(s->db, mg_dead_letter_hooks(&list, s->db, 0, 10, s->p));
    assert_int_equal(list->nelts, 3); /* a forward is none */
    l = &APR_ARRAY_IDX(list, 0, mg_dead_letter_t);
    assert_int_equal(l->id, newest);
    assert_string_equal(l->event, "dropped");
    assert_string_equal(l->domain, "a.test");
    assert_string_equal(l->url, "http://old.test/x");
    assert_string_equal(l->recipient, "bob@x.test");
    assert_string_equal(l->last_reply, "503 no");
    assert_int_equal(l->attempts, 8);
    unit_store_ok(s->db, mg_dead_letter_hooks(&list, s->db, a->id, 10, s->p));
    assert_int_equal(list->nelts, 2);
    unit_store_ok(s->db, mg_dead_letter_hooks(&list, s->db, 0, 1, s->p));
    assert_int_equal(list->nelts, 1);
}

/* All of a domain, in steps, to where it wants them now. */
static void replayed(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t account = unit_account(s, "a"), n = 0, after = 0, before;
    mg_domain_t *a = unit_domain(s, account, "a.test");
    mg_domain_t *b = unit_domain(s, account, "b.test");
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_HOOK);
    apr_array_header_t *list;
    const char *error;
    int i, more = 1, to_new = 0;
    mg_delivery_t *row;

    unit_store_ok(s->db, mg_domain_set(s->db, a->id, "webhook.bounce",
                                       "http://New.test:81/y", &error, s->p));
    for (i = 0; i < 5; i++)
        bury(s, a, MG_TRANSPORT_HOOK, i % 2 ? "bounced" : "opened",
             mg_now() - i * DAY);
    bury(s, a, MG_TRANSPORT_HTTP, "", mg_now());
    bury(s, b, MG_TRANSPORT_HOOK, "opened", mg_now());
    before = mg_id_next();
    for (i = 0; more && i < 10; i++) {
        unit_store_ok(s->db, mg_dead_letter_replay(&n, &more, &after, before,
                                                   s->db, 0, a->id, 2, s->p));
        /* given up again, at once: not for this round */
        unit_store_ok(s->db, mg_db_exec(
            s->db, NULL, "UPDATE dead_letter SET domain_id = $1, id = $2"
            " WHERE domain_id = $3", "iii", a->id, mg_id_next(), b->id));
    }
    assert_int_equal(n, 5);
    assert_int_equal(i, 3);
    assert_int_equal(rows(s, "dead_letter"), 2);
    list = unit_claim(s, s->db, c, 10);
    assert_int_equal(list->nelts, 5);
    for (i = 0; i < 5; i++) {
        row = APR_ARRAY_IDX(list, i, mg_delivery_t *);
        assert_int_equal(row->account_id, account);
        assert_int_equal(row->message_id, 4711);
        assert_int_equal(row->attempts, 0);
        to_new += strcmp(row->dest, "new.test:81") == 0
                  && strcmp(row->target, "http://New.test:81/y") == 0;
    }
    assert_int_equal(to_new, 2);
}

static void replayed_one(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *a = unit_domain(s, unit_account(s, "a"), "a.test");
    apr_int64_t id = bury(s, a, MG_TRANSPORT_HOOK, "opened", mg_now() - DAY);
    apr_int64_t n = 0, after = 0;
    int more, i;

    bury(s, a, MG_TRANSPORT_HOOK, "opened", mg_now());
    for (i = 0; i < 2; i++) {
        after = 0;
        unit_store_ok(s->db, mg_dead_letter_replay(&n, &more, &after,
                                                   mg_id_next(), s->db, id, 0,
                                                   10, s->p));
        assert_int_equal(n, 1); /* not twice */
        assert_false(more);
    }
    assert_int_equal(rows(s, "dead_letter"), 1);
    assert_int_equal(rows(s, "delivery"), 1);
    /* nobody's */
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "UPDATE dead_letter SET"
                                    " domain_id = 1", ""));
    after = 0;
    unit_store_ok(s->db, mg_dead_letter_replay(&n, &more, &after,
                                               mg_id_next(), s->db, 0, 1, 10,
                                               s->p));
    assert_int_equal(n, 1);
    assert_int_equal(rows(s, "dead_letter"), 1);
}

static void forgotten(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *a = unit_domain(s, unit_account(s, "a"), "a.test");
    int i, n, all = 0;

    for (i = 0; i < 10; i++)
        bury(s, a, i % 2 ? MG_TRANSPORT_HOOK : MG_TRANSPORT_HTTP, "opened",
             mg_now() - i * DAY - DAY / 2);
    for (i = 0; i < 10; i++) {
        unit_store_ok(s->db, mg_dead_letter_forget(&n, s->db,
                                                   mg_now() - 4 * DAY, 4));
        all += n;
        if (n == 0)
            break;
    }
    assert_int_equal(all, 6);
    assert_int_equal(i, 2);
    assert_int_equal(rows(s, "dead_letter"), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(listed), UNIT_ON_BOTH(replayed),
        UNIT_ON_BOTH(replayed_one), UNIT_ON_BOTH(forgotten),
    };

    return unit_store_run("dead_letter", tests);
}
