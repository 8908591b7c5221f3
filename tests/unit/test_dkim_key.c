/* test_dkim_key.c - DKIM keys of a domain: made, opened, rotated, retired. */
#include <string.h>
#include <apr_strings.h>

#include "mg_dkim.h"
#include "mg_dkim_key.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_records.h"

/* "mg signs, mge signs, mg2 waits" */
static const char *keys_of(unit_store_t *s, apr_int64_t domain_id)
{
    apr_array_header_t *keys;
    const char *all = "";
    int i;

    unit_store_ok(s->db, mg_domain_dkim(&keys, s->db, domain_id, s->p));
    for (i = 0; i < keys->nelts; i++) {
        const mg_dkim_public_t *k = &APR_ARRAY_IDX(keys, i, mg_dkim_public_t);

        all = apr_pstrcat(s->p, all, i ? ", " : "", k->selector, " ",
                          mg_dkim_state_name(k), NULL);
    }
    return all;
}

/* The selectors that a sender gets, each key of which signs. */
static const char *opened(unit_store_t *s, const mg_secret_t *secret,
                          apr_int64_t domain_id)
{
    apr_array_header_t *keys;
    mg_dkim_signer_t *signer;
    const char *all = "";
    int i;

    unit_store_ok(s->db, mg_dkim_open(&keys, s->db, secret, domain_id, s->p));
    for (i = 0; i < keys->nelts; i++) {
        const mg_dkim_private_t *k = &APR_ARRAY_IDX(keys, i,
                                                    mg_dkim_private_t);

        all = apr_pstrcat(s->p, all, i ? " " : "", k->selector, NULL);
        assert_int_equal(mg_dkim_signer_make(&signer, "a.test", k->selector,
                                             k->der, k->len, s->p),
                         APR_SUCCESS);
        assert_int_equal(mg_dkim_signer_algorithm(signer),
                         strcmp(k->algorithm, "rsa-sha256") == 0
                             ? MG_DKIM_RSA : MG_DKIM_ED25519);
    }
    return all;
}

static mg_domain_t *domain_with_keys(unit_store_t *s, mg_secret_t *secret)
{
    mg_domain_t *d;

    unit_store_ok(s->db, mg_domain_add(&d, s->db, secret,
                                       unit_account(s, "a"), "a.test", "$2y$h",
                                       unit_dkim(), s->p));
    return d;
}

static void rotates(void **state)
{
    unit_store_t *s = *state;
    mg_secret_t *secret = unit_secret(s);
    mg_domain_t *d = domain_with_keys(s, secret), *again;
    int n;

    assert_string_equal(keys_of(s, d->id), "mg signs, mge signs");
    assert_string_equal(opened(s, secret, d->id), "mge mg");

    unit_store_ok(s->db, mg_dkim_rotate(s->db, secret, d->id, unit_dkim(),
                                        s->p));
    assert_string_equal(keys_of(s, d->id),
                        "mg signs, mge signs, mg2 waits, mge2 waits");
    assert_string_equal(opened(s, secret, d->id), "mge mg");
    unit_store_is(s->db, mg_dkim_rotate(s->db, secret, d->id, unit_dkim(),
                                        s->p), APR_EEXIST);

    unit_store_ok(s->db, mg_dkim_switch(&n, s->db, d->id, "mg2", s->p));
    assert_int_equal(n, 1);
    assert_string_equal(keys_of(s, d->id),
                        "mg retired, mge signs, mg2 signs, mge2 waits");
    assert_string_equal(opened(s, secret, d->id), "mg2 mge");
    unit_store_ok(s->db, mg_dkim_switch(&n, s->db, d->id, NULL, s->p));
    assert_int_equal(n, 1);
    unit_store_ok(s->db, mg_dkim_switch(&n, s->db, d->id, NULL, s->p));
    assert_int_equal(n, 0);
    assert_string_equal(keys_of(s, d->id),
                        "mg retired, mge retired, mg2 signs, mge2 signs");
    assert_string_equal(opened(s, secret, d->id), "mge2 mg2");
    /* who caches keys sees it */
    unit_store_ok(s->db, mg_domain_by_id(&again, s->db, d->id, s->p));
    assert_true(again->revision > d->revision);

    unit_store_ok(s->db, mg_dkim_rotate(s->db, secret, d->id, unit_dkim(),
                                        s->p));
    unit_store_ok(s->db, mg_dkim_expire(&n, s->db, mg_now() - 1000000, 10,
                                        s->p));
    assert_int_equal(n, 0);
    unit_store_ok(s->db, mg_dkim_expire(&n, s->db, mg_now() + 1, 10, s->p));
    assert_int_equal(n, 2);
    assert_string_equal(keys_of(s, d->id),
                        "mg2 signs, mge2 signs, mg3 waits, mge3 waits");
    unit_fsck(s, 0, NULL);
    unit_store_is(s->db, mg_dkim_rotate(s->db, secret, 77, unit_dkim(), s->p),
                  APR_ENOENT);
    unit_store_is(s->db, mg_dkim_switch(&n, s->db, 77, NULL, s->p),
                  APR_ENOENT);
}

/* A domain of an older version has an RSA key alone; its first rotation gives
 * it both. */
static void one_key_only(void **state)
{
    unit_store_t *s = *state;
    mg_secret_t *secret = unit_secret(s);
    mg_domain_t *d = domain_with_keys(s, secret);
    int n;

    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "DELETE FROM dkim_key"
                                    " WHERE selector = 'mge'", ""));
    assert_string_equal(opened(s, secret, d->id), "mg");
    unit_store_ok(s->db, mg_dkim_rotate(s->db, secret, d->id, unit_dkim(),
                                        s->p));
    unit_store_ok(s->db, mg_dkim_switch(&n, s->db, d->id, NULL, s->p));
    assert_int_equal(n, 2);
    assert_string_equal(opened(s, secret, d->id), "mge2 mg2");
}

static void seals(void **state)
{
    unit_store_t *s = *state;
    mg_secret_t *secret = unit_secret(s);
    mg_domain_t *d = domain_with_keys(s, secret);
    apr_array_header_t *keys;

    /* a seal that was moved to another row does not open */
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "UPDATE dkim_key SET sealed ="
                                    " (SELECT o.sealed FROM dkim_key o"
                                    " WHERE o.selector = 'mg')"
                                    " WHERE selector = 'mge'", ""));
    unit_store_is(s->db, mg_dkim_open(&keys, s->db, secret, d->id, s->p),
                  MG_ECRYPT);
    unit_store_ok(s->db, mg_dkim_open(&keys, s->db, secret, 77, s->p));
    assert_int_equal(keys->nelts, 0);
}

static void records(void **state)
{
    unit_store_t *s = *state;
    mg_dkim_public_t rsa = { "mg", "rsa-sha256", "AAAA", 0, 0, 0 };
    mg_dkim_public_t ed = { "mge", "ed25519-sha256", "BBBB", 0, 0, 0 };

    assert_string_equal(mg_dkim_record(&rsa, s->p), "k=rsa; p=AAAA");
    assert_string_equal(mg_dkim_record(&ed, s->p),
                        "v=DKIM1; k=ed25519; p=BBBB");
    assert_string_equal(mg_dkim_name(&ed, "a.test", s->p),
                        "mge._domainkey.a.test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(rotates),
        UNIT_ON_BOTH(one_key_only),
        UNIT_ON_BOTH(seals),
        UNIT_ON_SQLITE(records),
    };
    return unit_store_run("dkim_key", tests);
}
