/* test_stored.c - messages that store() keeps (mg_stored.h). */
#include <string.h>
#include <apr_strings.h>

#include "mg_status.h"
#include "mg_stored.h"
#include "mg_time.h"
#include "unit_records.h"

/* A message for bob@a.test that is kept, without anybody who is told. */
static mg_stored_t *keep(unit_store_t *s, const mg_domain_t *d)
{
    mg_message_t *m = unit_message(s, d);
    mg_envelope_t *e = unit_envelope(m, MG_TRANSPORT_HTTP, "bob@a.test", "");
    mg_stored_t *stored;

    m->direction = MG_INCOMING;
    e->stored_key = mg_stored_key(s->p);
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));
    unit_store_ok(s->db, mg_stored_get(&stored, s->db, d->id, e->stored_key,
                                       s->p));
    assert_int_equal(stored->message_id, m->id);
    assert_string_equal(stored->recipient, "bob@a.test");
    return stored;
}

static int slices(unit_store_t *s)
{
    return (int)unit_store_int(s->db, "SELECT COUNT(*) FROM content");
}

static void sweep(unit_store_t *s)
{
    int swept;

    unit_store_ok(s->db, mg_message_sweep(&swept, s->db, 100, s->p));
    unit_store_ok(s->db, mg_message_sweep(&swept, s->db, 100, s->p));
}

static void kept(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t account = unit_account(s, "a");
    mg_domain_t *a = unit_domain(s, account, "a.test");
    mg_domain_t *b = unit_domain(s, account, "b.test");
    mg_stored_t *stored = keep(s, a), *found;

    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM delivery"),
                     0);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM event"
                                    " WHERE kind = 'stored'"), 1);
    assert_int_equal(mg_stored_get(&found, s->db, b->id, stored->key, s->p),
                     APR_ENOENT);
    assert_int_equal(mg_stored_get(&found, s->db, a->id, "other", s->p),
                     APR_ENOENT);
    sweep(s);
    assert_int_equal(slices(s), 1);
    unit_fsck(s, 2, "has no DKIM key"); /* and nothing else */
    unit_store_ok(s->db, mg_stored_delete(s->db, stored->id));
    assert_int_equal(mg_stored_delete(s->db, stored->id), APR_ENOENT);
    sweep(s);
    assert_int_equal(slices(s), 0);
}

static void expired(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *a = unit_domain(s, unit_account(s, "a"), "a.test");
    mg_stored_t *first = keep(s, a), *second = keep(s, a), *found;
    int n;

    unit_store_ok(s->db, mg_stored_forget(&n, s->db, 10));
    assert_int_equal(n, 0);
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "UPDATE stored_message"
                                    " SET expires_at = $1 WHERE id = $2", "ii",
                                    (apr_int64_t)mg_now(), first->id));
    assert_int_equal(mg_stored_get(&found, s->db, a->id, first->key, s->p),
                     APR_ENOENT);
    unit_store_ok(s->db, mg_stored_forget(&n, s->db, 10));
    assert_int_equal(n, 1);
    unit_store_ok(s->db, mg_stored_get(&found, s->db, a->id, second->key,
                                       s->p));
    sweep(s);
    assert_int_equal(slices(s), 1);
    /* with its domain all goes */
    unit_store_ok(s->db, mg_domain_remove(s->db, a->id, s->p));
    sweep(s);
    assert_int_equal(slices(s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(kept), UNIT_ON_BOTH(expired),
    };

    return unit_store_run("stored", tests);
}
