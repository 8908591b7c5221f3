/* test_account.c - accounts and keys. */
#include <string.h>
#include <apr_strings.h>

#include "mg_status.h"
#include "unit_records.h"

static void accounts(void **state)
{
    unit_store_t *s = *state;
    mg_account_t *a, *b;
    const char *error;

    unit_store_ok(s->db, mg_account_add(&a, s->db, "acme", s->p));
    unit_store_is(s->db, mg_account_add(&b, s->db, "acme", s->p), APR_EEXIST);
    unit_store_is(s->db, mg_account_add(&b, s->db, "", s->p), MG_EBADINPUT);
    unit_store_ok(s->db, mg_account_by_name(&b, s->db, "acme", s->p));
    assert_int_equal(a->id, b->id);
    assert_string_equal(b->state, "active");
    unit_store_is(s->db, mg_account_by_name(&b, s->db, "Acme", s->p),
                  APR_ENOENT);

    unit_store_is(s->db, mg_account_set(s->db, a->id, "x", "y", &error, s->p),
                  MG_EBADINPUT);
    assert_string_equal(error,
                        "'x' is no setting of an account; there are state, campaigns, members");
    unit_store_is(s->db, mg_account_set(s->db, a->id, "state", "off", &error,
                                        s->p), MG_EBADINPUT);
    assert_string_equal(error, "state: 'off' is none of active, disabled");
    unit_store_is(s->db, mg_account_set(s->db, 1, "state", "disabled", &error,
                                        s->p), APR_ENOENT);
    unit_store_ok(s->db, mg_account_set(s->db, a->id, "state", "disabled",
                                        &error, s->p));
}

static apr_int64_t keys_where(unit_store_t *s, const char *where,
                              const void *bytes, apr_size_t len)
{
    apr_int64_t n = -1;

    unit_store_ok(s->db, mg_db_get_int(s->db, &n, apr_psprintf(s->p,
        "SELECT COUNT(*) FROM api_key WHERE %s", where), "b", bytes, len));
    return n;
}

/* Found by its SHA-256; the key itself is nowhere in its row, but sealed. */
static void keys_are_sealed(void **state)
{
    unit_store_t *s = *state;
    mg_secret_t *secret = unit_secret(s);
    apr_int64_t a = unit_account(s, "a"), id;
    unsigned char digest[32];
    const void *sealed, *data;
    apr_size_t len;
    const char *key;
    mg_stmt_t *stmt;

    unit_store_ok(s->db, mg_key_add(&key, s->db, secret, a, s->p));
    mg_sha256(digest, key, strlen(key));
    assert_int_equal(keys_where(s, "digest = $1", digest, 32), 1);
    unit_store_ok(s->db, mg_db_query(&stmt, s->db,
        "SELECT id, sealed, hint FROM api_key", ""));
    unit_store_ok(s->db, mg_stmt_next(stmt));
    id = mg_stmt_int(stmt, 0);
    sealed = mg_stmt_blob(stmt, 1, &len, s->p);
    assert_string_equal(mg_stmt_text(stmt, 2, s->p), key + 32);
    mg_stmt_done(stmt);
    assert_null(memmem(sealed, len, key + 4, 8));
    assert_int_equal(mg_unseal(&data, &len, secret, "api_key", id, sealed,
                               len, s->p), APR_SUCCESS);
    assert_int_equal(len, strlen(key));
    assert_memory_equal(data, key, len);
}

static void keys(void **state)
{
    unit_store_t *s = *state;
    mg_secret_t *secret = unit_secret(s);
    apr_int64_t a = unit_account(s, "a"), b = unit_account(s, "b"), id;
    const char *k1, *k2, *kb, *sign, *error;

    unit_store_is(s->db, mg_key_signing(&sign, s->db, secret, a, s->p),
                  APR_ENOENT);
    unit_store_ok(s->db, mg_key_add(&k1, s->db, secret, a, s->p));
    unit_store_ok(s->db, mg_key_add(&k2, s->db, secret, a, s->p));
    unit_store_ok(s->db, mg_key_add(&kb, s->db, secret, b, s->p));
    assert_int_equal(strlen(k1), 36);
    assert_int_equal(strncmp(k1, "key-", 4), 0);

    unit_store_ok(s->db, mg_key_find(&id, s->db, k1, s->p));
    assert_int_equal(id, a);
    unit_store_ok(s->db, mg_key_find(&id, s->db, kb, s->p));
    assert_int_equal(id, b);
    unit_store_is(s->db, mg_key_find(&id, s->db, "key-x", s->p), APR_ENOENT);
    unit_store_is(s->db, mg_key_find(&id, s->db, "", s->p), APR_ENOENT);

    /* the oldest live one signs */
    unit_store_ok(s->db, mg_key_signing(&sign, s->db, secret, a, s->p));
    assert_string_equal(sign, k1);
    /* not of another account */
    unit_store_is(s->db, mg_key_revoke(s->db, b, k1, s->p), APR_ENOENT);
    unit_store_is(s->db, mg_key_revoke(s->db, a, kb + 32, s->p), APR_ENOENT);
    unit_store_ok(s->db, mg_key_revoke(s->db, a, k1, s->p));
    unit_store_is(s->db, mg_key_revoke(s->db, a, k1, s->p), APR_ENOENT);
    unit_store_is(s->db, mg_key_find(&id, s->db, k1, s->p), APR_ENOENT);
    unit_store_ok(s->db, mg_key_signing(&sign, s->db, secret, a, s->p));
    assert_string_equal(sign, k2);

    /* a disabled account's key knows nobody */
    unit_store_ok(s->db, mg_account_set(s->db, b, "state", "disabled", &error,
                                        s->p));
    unit_store_is(s->db, mg_key_find(&id, s->db, kb, s->p), APR_ENOENT);

    /* by its last four */
    unit_store_ok(s->db, mg_key_revoke(s->db, a, k2 + 32, s->p));
    unit_store_is(s->db, mg_key_find(&id, s->db, k2, s->p), APR_ENOENT);
    unit_store_ok(s->db, mg_key_add(&k1, s->db, secret, a, s->p));
    unit_store_ok(s->db, mg_key_add(&k2, s->db, secret, a, s->p));
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "UPDATE api_key"
                                    " SET hint = 'same'", ""));
    unit_store_is(s->db, mg_key_revoke(s->db, a, "same", s->p), MG_EBADINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(accounts),
        UNIT_ON_BOTH(keys),
        UNIT_ON_BOTH(keys_are_sealed),
    };
    return unit_store_run("account", tests);
}
