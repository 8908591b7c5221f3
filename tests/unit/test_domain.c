/* test_domain.c - domains, settings, DKIM keys, the cache, removal. */
#include <string.h>
#include <apr_strings.h>

#include "mg_fault.h"
#include "mg_status.h"
#include "unit_records.h"

static void adds(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t a = unit_account(s, "a"), b = unit_account(s, "b"), total;
    mg_secret_t *secret = unit_secret(s);
    apr_array_header_t *list, *keys;
    mg_domain_t *d, *got;
    mg_mailbox_t *postmaster;
    mg_dkim_public_t *key;
    mg_dkim_t *dkim;

    assert_int_equal(mg_dkim_make(&dkim, s->p), APR_SUCCESS);
    unit_store_ok(s->db, mg_domain_add(&d, s->db, secret, a, "Mail.Test",
                                       "$2y$h", dkim, s->p));
    assert_string_equal(d->name, "Mail.Test");
    assert_string_equal(d->name_lc, "mail.test");
    assert_string_equal(mg_domain_setting(d, "spam_action"), "disabled");
    unit_store_is(s->db, mg_domain_add(&got, s->db, secret, b, "mail.TEST",
                                       "$2y$h", dkim, s->p), APR_EEXIST);
    assert_null(got);
    unit_store_is(s->db, mg_domain_add(&got, s->db, secret, b, "no domain",
                                       "$2y$h", dkim, s->p), MG_EBADINPUT);
    unit_store_is(s->db, mg_domain_add(&got, s->db, secret, b, "a\xff.test",
                                       "$2y$h", dkim, s->p), MG_EBADINPUT);
    unit_store_ok(s->db, mg_domain_by_name(&got, s->db, "MAIL.test", s->p));
    assert_int_equal(got->id, d->id);
    unit_store_ok(s->db, mg_domain_by_id(&got, s->db, d->id, s->p));
    assert_int_equal(got->account_id, a);
    unit_store_is(s->db, mg_domain_by_name(&got, s->db, "x.test", s->p),
                  APR_ENOENT);
    unit_store_is(s->db, mg_domain_by_name(&got, s->db, "\xff", s->p),
                  APR_ENOENT);

    unit_store_ok(s->db, mg_mailbox_by_address(&postmaster, s->db,
                                               "Postmaster@mail.test", s->p));
    assert_string_equal(postmaster->password_hash, "$2y$h");
    unit_store_ok(s->db, mg_domain_dkim(&keys, s->db, d->id, s->p));
    assert_int_equal(keys->nelts, 2);
    key = &APR_ARRAY_IDX(keys, 0, mg_dkim_public_t);
    assert_string_equal(key->algorithm, "rsa-sha256");
    assert_int_equal(strncmp(key->public_key, "MIIBIjANBgkqhkiG9w0", 19), 0);
    key = &APR_ARRAY_IDX(keys, 1, mg_dkim_public_t);
    assert_string_equal(key->algorithm, "ed25519-sha256");
    assert_int_equal(strlen(key->public_key), 44);
    assert_string_equal(d->state, "unverified");
    unit_fsck(s, 0, NULL);

    unit_domain(s, a, "b.test");
    unit_domain(s, b, "c.test");
    unit_domain(s, a, "a.test");
    unit_store_ok(s->db, mg_domain_list(&list, &total, s->db, a, 1, 1, s->p));
    assert_int_equal(total, 3);
    assert_int_equal(list->nelts, 1);
    got = APR_ARRAY_IDX(list, 0, mg_domain_t *);
    assert_string_equal(got->name, "b.test");
    assert_string_equal(mg_domain_setting(got, "local"), "auto");
    unit_store_ok(s->db, mg_domain_list(&list, &total, s->db, 0, 0, 9, s->p));
    assert_int_equal(total, 4);
    unit_store_ok(s->db, mg_domain_list(&list, &total, s->db, 77, 0, 9, s->p));
    assert_int_equal(total, 0);
}

/* A row's sealed bytes and id; the table is one of ours. */
static const void *sealed_in(unit_store_t *s, const char *table,
                             apr_int64_t *pid, apr_size_t *plen)
{
    const void *sealed;
    mg_stmt_t *stmt;

    unit_store_ok(s->db, mg_db_query(&stmt, s->db, apr_psprintf(s->p,
        "SELECT id, sealed FROM %s ORDER BY id", table), ""));
    unit_store_ok(s->db, mg_stmt_next(stmt));
    *pid = mg_stmt_int(stmt, 0);
    sealed = mg_stmt_blob(stmt, 1, plen, s->p);
    mg_stmt_done(stmt);
    return sealed;
}

static int holds(const void *bytes, apr_size_t len, const void *part,
                 apr_size_t part_len)
{
    return memmem(bytes, len, part, part_len) != NULL;
}

/* DKIM keys: they do not lie in the store as they are, and come back for who
 * has the secret, and for nobody else. */
static void keys_are_sealed(void **state)
{
    unit_store_t *s = *state;
    mg_secret_t *secret = unit_secret(s), *httpd;
    apr_int64_t a = unit_account(s, "a"), id;
    const void *sealed, *data;
    apr_size_t len, sealed_len;
    mg_domain_t *d, *e;
    mg_dkim_t *dkim;

    assert_int_equal(mg_dkim_make(&dkim, s->p), APR_SUCCESS);
    unit_store_ok(s->db, mg_domain_add(&d, s->db, secret, a, "a.test",
                                       "$2y$h", dkim, s->p));
    sealed = sealed_in(s, "dkim_key", &id, &sealed_len);
    assert_int_equal(mg_unseal(&data, &len, secret, "dkim_key", id, sealed,
                               sealed_len, s->p), APR_SUCCESS);
    assert_true(len > 1000); /* a PKCS#8 of RSA-2048 */
    assert_false(holds(sealed, sealed_len, (const char *)data + 200, 16));
    assert_int_equal(mg_unseal(&data, &len, secret, "api_key", id, sealed,
                               sealed_len, s->p), MG_ECRYPT);
    /* httpd has the public half only */
    assert_int_equal(apr_file_copy(
        apr_pstrcat(s->p, s->dir, "/secret.pub", NULL),
        apr_pstrcat(s->p, s->dir, "/half.pub", NULL),
        APR_FPROT_OS_DEFAULT, s->p), APR_SUCCESS);
    assert_int_equal(mg_secret_load(&httpd, apr_pstrcat(
        s->p, s->dir, "/half", NULL), s->p), APR_SUCCESS);
    assert_int_equal(mg_unseal(&data, &len, httpd, "dkim_key", id, sealed,
                               sealed_len, s->p), MG_ECRYPT);
    unit_store_ok(s->db, mg_domain_add(&e, s->db, httpd, a, "b.test",
                                       "$2y$h", dkim, s->p));
    unit_fsck(s, 0, NULL);
    unit_store_ok(s->db, mg_domain_remove(s->db, d->id, s->p));
    unit_fsck(s, 0, NULL);
}

static void sets(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test"), *got;
    static const struct {
        const char *name, *value, *becomes, *error;
    } cases[] = {
        { "spam_action", "TAG", "tag", NULL },
        { "spam_action", "x", NULL,
          "spam_action: 'x' is none of disabled, tag, block" },
        { "spam_action", "disabled", "disabled", NULL },
        { "wildcard", "yes", "true", NULL },
        { "wildcard", "maybe", NULL,
          "wildcard: 'maybe' is neither yes nor no" },
        { "quota_bytes", "1M", "1048576", NULL },
        { "quota_bytes", "-1", NULL, "quota_bytes: '-1' is no size; try"
          " 26214400 or 25M, or 0 for no limit" },
        { "local", "no", "no", NULL },
        { "webhook.deliver", "https://x.test/h?a=b", "https://x.test/h?a=b",
          NULL },
        { "webhook.deliver", "javascript:1", NULL, "webhook.deliver:"
          " 'javascript:1' is no URL; try https://example.com/hook" },
        { "webhook.deliver", "http://x.test/\r\nA: b", NULL,
          "webhook.deliver: 'http://x.test/\r\nA: b' is no URL; try"
          " https://example.com/hook" },
        { "webhook.deliver", "", "", NULL },
        { "colour", "red", NULL, "'colour' is no setting of a domain; there"
          " are dkim, local, quota_bytes, require_tls, restrict_from,"
          " sending_ip, sending_pool, skip_verification, spam_action,"
          " track_clicks, track_opens, unsubscribe, unsubscribe_html,"
          " unsubscribe_text,"
          " webhook.bounce, webhook.click, webhook.deliver, webhook.drop,"
          " webhook.open, webhook.spam, webhook.unsubscribe, wildcard" },
        { "track_clicks", "HTMLonly", "htmlonly", NULL },
        { "track_clicks", "True", "yes", NULL },
        { "track_clicks", "text", NULL, "track_clicks: 'text' is none of no,"
          " yes, htmlonly" },
        { "track_clicks", "0", "no", NULL },
        { "unsubscribe_text", "", "", NULL },
        { "unsubscribe_text", "default", "default", NULL },
        { "restrict_from", "YES", "yes", NULL },
        { "restrict_from", "default", "default", NULL },
        { "restrict_from", "maybe", NULL, "restrict_from: 'maybe' is none of"
          " default, yes, no" },
        { "sending_ip", "out 1", NULL, "sending_ip: 'out 1' is no name that"
          " the configuration could give" },
    };
    const char *error;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        apr_status_t rv = mg_domain_set(s->db, d->id, cases[i].name,
                                        cases[i].value, &error, s->p);

        if (cases[i].error) {
            assert_int_equal(rv, MG_EBADINPUT);
            assert_string_equal(error, cases[i].error);
            continue;
        }
        unit_store_ok(s->db, rv);
        unit_store_ok(s->db, mg_domain_by_id(&got, s->db, d->id, s->p));
        assert_string_equal(mg_domain_setting(got, cases[i].name),
                            cases[i].becomes);
    }
    unit_store_is(s->db, mg_domain_set(s->db, 1, "local", "no", &error, s->p),
                  APR_ENOENT);
}

static void cached(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t a = unit_account(s, "a");
    mg_domain_t *d = unit_domain(s, a, "a.test");
    mg_shared_t *shared = mg_shared_attach(s->dir, s->p);
    mg_domain_cache_t *cache = mg_domain_cache_create(shared, s->p);
    const mg_domain_t *one, *two;
    const char *error;
    char longer[1000];

    unit_store_ok(s->db, mg_domain_cached_by_name(&one, cache, s->db,
                                                  "A.Test"));
    unit_store_ok(s->db, mg_domain_cached_by_id(&two, cache, s->db, d->id));
    assert_ptr_equal(one, two);
    memset(longer, 'a', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    unit_store_is(s->db, mg_domain_cached_by_name(&two, cache, s->db, longer),
                  APR_ENOENT);
    unit_store_is(s->db, mg_domain_cached_by_name(&two, cache, s->db, "b.test"),
                  APR_ENOENT);
    unit_domain(s, a, "b.test"); /* not being there is not remembered */
    unit_store_ok(s->db, mg_domain_cached_by_name(&two, cache, s->db,
                                                  "b.test"));

    unit_store_ok(s->db, mg_domain_set(s->db, d->id, "local", "no", &error,
                                       s->p));
    unit_store_ok(s->db, mg_domain_cached_by_id(&two, cache, s->db, d->id));
    assert_string_equal(mg_domain_setting(two, "local"), "auto");
    mg_shared_bump(shared);
    unit_store_ok(s->db, mg_domain_cached_by_id(&two, cache, s->db, d->id));
    assert_string_equal(mg_domain_setting(two, "local"), "no");
    /* who holds the old one holds it for a while */
    assert_string_equal(mg_domain_setting(one, "local"), "auto");

    /* nobody tells: seen after a second */
    unit_store_ok(s->db, mg_domain_set(s->db, d->id, "local", "yes", &error,
                                       s->p));
    apr_sleep(apr_time_from_msec(1100));
    unit_store_ok(s->db, mg_domain_cached_by_id(&two, cache, s->db, d->id));
    assert_string_equal(mg_domain_setting(two, "local"), "yes");
    unit_store_ok(s->db, mg_domain_remove(s->db, d->id, s->p));
    apr_sleep(apr_time_from_msec(1100));
    unit_store_is(s->db, mg_domain_cached_by_id(&two, cache, s->db, d->id),
                  APR_ENOENT);
    unit_store_is(s->db, mg_domain_cached_by_name(&two, cache, s->db,
                                                  "a.test"), APR_ENOENT);
}

static void removes(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t a = unit_account(s, "a"), reservation;
    mg_domain_t *d = unit_domain(s, a, "a.test");
    mg_domain_t *other = unit_domain(s, a, "b.test");
    apr_array_header_t *deleted;
    mg_mailbox_t *box, *got;
    mg_message_t *m;
    const char *error;

    unit_store_ok(s->db, mg_mailbox_add(&box, s->db, a, d->id, "x@a.test",
                                        "h", s->p));
    unit_store_ok(s->db, mg_quota_reserve(&reservation, s->db, box->id, 10, 1,
                                          0, "n:1:1"));
    unit_store_ok(s->db, mg_quota_settle(s->db, 0, box->id, 10, 1));
    unit_store_ok(s->db, mg_domain_set(s->db, d->id, "webhook.deliver",
                                       "http://h.test/", &error, s->p));
    unit_accept_many(s, d, 1200);
    unit_accept_many(s, other, 5);
    m = unit_message(s, d);
    unit_envelope(m, MG_TRANSPORT_LMTP, "x@a.test", "1");
    unit_envelope(m, MG_TRANSPORT_HTTP, "x@a.test", "h.test:80");
    unit_store_ok(s->db, unit_accept(s->db, m, s->p));

    unit_store_ok(s->db, mg_domain_remove(s->db, d->id, s->p));
    unit_store_is(s->db, mg_domain_remove(s->db, d->id, s->p), APR_ENOENT);
    unit_store_is(s->db, mg_mailbox_by_id(&got, s->db, box->id, s->p),
                  APR_ENOENT);
    unit_store_ok(s->db, mg_mailbox_deleted(&deleted, s->db, 10, s->p));
    assert_int_equal(deleted->nelts, 2); /* x and postmaster */
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM event"
                                    " WHERE kind = 'dropped'"), 1202);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM delivery"),
                     5);
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM setting"
                                    " WHERE scope = 'domain'"), 0);
    unit_fsck(s, 1, "b.test has no DKIM key");

    /* the name is free again; a mailbox of that name is another one */
    d = unit_domain(s, a, "a.test");
    unit_store_ok(s->db, mg_mailbox_add(&got, s->db, a, d->id, "x@a.test",
                                        "h", s->p));
    assert_true(got->id != box->id);

    /* inside a unit of somebody else's */
    unit_accept_many(s, d, 3);
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_domain_remove(s->db, d->id, s->p));
    mg_tx_rollback(s->db);
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_domain_remove(s->db, d->id, s->p));
    unit_store_ok(s->db, mg_tx_commit(s->db));
    assert_int_equal(unit_store_int(s->db, "SELECT COUNT(*) FROM event"
                                    " WHERE kind = 'dropped'"), 1205);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(adds),
        UNIT_ON_BOTH(keys_are_sealed),
        UNIT_ON_BOTH(sets),
        UNIT_ON_BOTH(cached),
        UNIT_ON_BOTH(removes),
    };
    return unit_store_run("domain", tests);
}
